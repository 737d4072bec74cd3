/* SPDX-License-Identifier: MIT
 * graph.c -- nodes: making them, finding them, and errors that stick. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "graph/graph_internal.h"

dlf_status dlf_graph_new(dlf_graph **out, dlf_device *device, int members)
{
    *out = NULL;
    if (members < 1) return dlf_fail(DLF_ERR_ARG, "graph: %d members; the least is 1", members);
    dlf_graph *g = calloc(1, sizeof *g);
    if (!g) return dlf_fail(DLF_ERR_OOM, "graph: out of memory");
    g->device = device;
    g->members = members;
    *out = g;
    return DLF_OK;
}

static void free_node(graph_node *n)
{
    dlf_tensor *owned[] = {&n->value,        &n->gradient,    &n->seed, &n->mean, &n->rstd,
                           &n->running_mean, &n->running_var, &n->hit,  &n->keep};
    for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++) dlf_tensor_free(owned[i]);
    free(n->given);
}

void dlf_graph_free(dlf_graph *g)
{
    if (!g) return;
    graph_free_lanes(g);
    for (int id = 1; id <= g->nodes; id++) free_node(&g->node[id]);
    dlf_tensor *owned[] = {&g->parameters, &g->gradients, &g->block, &g->clock, &g->draw};
    for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++) dlf_tensor_free(owned[i]);
    free(g->node);
    free(g->store);
    free(g);
}

dlf_device *dlf_graph_device(const dlf_graph *g)
{
    return g->device;
}
int dlf_graph_members(const dlf_graph *g)
{
    return g->members;
}

/* ---- errors ---- */

dlf_status graph_fail(dlf_graph *g, dlf_status status, const char *format, ...)
{
    if (g->failed != DLF_OK) return g->failed; /* the first one counts */
    va_list args;
    va_start(args, format);
    vsnprintf(g->message, sizeof g->message, format, args);
    va_end(args);
    g->failed = status;
    return dlf_fail(status, "%s", g->message);
}

const char *graph_shape_text(const graph_node *n, char *text, size_t size)
{
    size_t used = 0;
    for (int i = 0; i < n->ndim && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%c%lld", i ? ',' : '(',
                                 (long long)n->shape[i]);
    if (used < size) snprintf(text + used, size - used, ")");
    return text;
}

dlf_status graph_refuse(dlf_graph *g, const graph_node *n, const char *format, ...)
{
    char rule[200], operands[240], shape[80];
    size_t used = 0;
    va_list args;
    va_start(args, format);
    vsnprintf(rule, sizeof rule, format, args);
    va_end(args);
    operands[0] = '\0';
    for (int i = 0; i < n->inputs; i++) {
        const graph_node *x = graph_input(g, n, i);
        if (!x || used >= sizeof operands) continue;
        used +=
            (size_t)snprintf(operands + used, sizeof operands - used, "%s%s %s", used ? ", " : "",
                             x->name, graph_shape_text(x, shape, sizeof shape));
    }
    return graph_fail(g, DLF_ERR_SHAPE, "node '%s' (%s): %s (%s)", n->name, n->kind, rule,
                      operands);
}

/* ---- nodes ---- */

graph_node *graph_at(dlf_graph *g, dlf_node x)
{
    return x.id >= 1 && x.id <= g->nodes ? &g->node[x.id] : NULL;
}

const graph_node *graph_input(const dlf_graph *g, const graph_node *n, int i)
{
    return i < n->inputs && n->input[i] ? &g->node[n->input[i]] : NULL;
}

graph_node *graph_input_of(dlf_graph *g, graph_node *n, int i)
{
    return i < n->inputs && n->input[i] ? &g->node[n->input[i]] : NULL;
}

int64_t graph_elements(const graph_node *n)
{
    int64_t count = 1;
    for (int i = 0; i < n->ndim; i++) count *= n->shape[i];
    return count;
}

dlf_node dlf_graph_find(const dlf_graph *g, const char *name)
{
    for (int id = 1; id <= g->nodes; id++)
        if (strcmp(g->node[id].name, name) == 0) return (dlf_node){id};
    return (dlf_node){0};
}

/* A node with a name, at the end of the list; NULL after recording why not. */
static graph_node *append(dlf_graph *g, const char *kind, const char *name)
{
    if (g->failed != DLF_OK) return NULL;
    if (g->compiled) {
        graph_fail(g, DLF_ERR_ARG, "graph: it is compiled; '%s' (%s) comes too late",
                   name ? name : kind, kind);
        return NULL;
    }
    if (g->nodes + 2 > g->room) {
        const int room = g->room ? 2 * g->room : 32;
        graph_node *grown = realloc(g->node, (size_t)room * sizeof *grown);
        if (!grown) {
            graph_fail(g, DLF_ERR_OOM, "graph: out of memory");
            return NULL;
        }
        g->node = grown;
        g->room = room;
    }
    graph_node *n = &g->node[g->nodes + 1];
    memset(n, 0, sizeof *n);
    n->kind = kind;
    n->dtype = g->device->real;
    n->value_store = n->gradient_store = -1;
    for (int i = 0; i < GRAPH_INPUTS; i++) n->temp_store[i] = -1;
    if (name)
        snprintf(n->name, sizeof n->name, "%s", name);
    else
        snprintf(n->name, sizeof n->name, "%s_%d", kind, g->nodes + 1);
    if (strlen(name ? name : "") >= sizeof n->name || dlf_graph_find(g, n->name).id) {
        graph_fail(g, DLF_ERR_ARG, "graph: '%s' (%s) needs a name of its own, shorter than %d",
                   n->name, kind, GRAPH_NAME);
        return NULL;
    }
    g->nodes++;
    return n;
}

static dlf_node handle(const dlf_graph *g, const graph_node *n)
{
    return (dlf_node){n && g->failed == DLF_OK ? (int)(n - g->node) : 0};
}

dlf_node graph_add(dlf_graph *g, const dlf_graph_op *op, const char *name, graph_attributes attr,
                   int count, const dlf_node *inputs, unsigned optional)
{
    graph_node *n = append(g, op->name, name);
    if (!n) return (dlf_node){0};
    n->op = op;
    n->attr = attr;
    n->inputs = count;
    for (int i = 0; i < count; i++) {
        n->input[i] = inputs[i].id;
        const graph_node *x = graph_at(g, inputs[i]);
        if (inputs[i].id == 0 && optional >> i & 1u) continue;
        if (!x || x == n) {
            graph_fail(g, DLF_ERR_ARG, "node '%s' (%s): input %d is no node of this graph", n->name,
                       n->kind, i);
            return (dlf_node){0};
        }
        if (x->op && x->op->is_loss) {
            graph_fail(g, DLF_ERR_ARG,
                       "node '%s' (%s): '%s' is a row loss; pass it to dlf_graph_minimise", n->name,
                       n->kind, x->name);
            return (dlf_node){0};
        }
    }
    if (op->shape(g, n) != DLF_OK) return (dlf_node){0};
    if (!op->shares && n->shape[0] != g->members) { /* members run at different times */
        graph_refuse(g, n,
                     "what all members share can only be read by matmul, embedding and losses");
        return (dlf_node){0};
    }
    return handle(g, n);
}

/* ---- leaves ---- */

static graph_node *leaf(dlf_graph *g, const char *kind, const char *name, int ndim,
                        const int64_t *shape)
{
    graph_node *n = append(g, kind, name);
    if (!n) return NULL;
    n->ndim = ndim;
    bool good = ndim >= 1 && ndim <= DLF_MAX_DIMS;
    for (int i = 0; good && i < ndim; i++) {
        n->shape[i] = shape[i];
        good = shape[i] >= 1 && shape[i] <= INT64_C(1) << 40;
    }
    if (good && (shape[0] == g->members || (shape[0] == 1 && !n->parameter))) return n;
    char text[80];
    if (!good) n->ndim = 0;
    graph_fail(g, DLF_ERR_SHAPE,
               "node '%s' (%s): shape %s; 1 to %d axes, each at least 1, the first %d%s", n->name,
               kind, good ? graph_shape_text(n, text, sizeof text) : "is malformed", DLF_MAX_DIMS,
               g->members, strcmp(kind, "input") == 0 ? " or 1" : "");
    return NULL;
}

dlf_node dlf_input(dlf_graph *g, const char *name, int ndim, const int64_t *shape)
{
    graph_node *n = leaf(g, "input", name, ndim, shape);
    if (n) n->external = true;
    return handle(g, n);
}

dlf_node dlf_input_int(dlf_graph *g, const char *name, int ndim, const int64_t *shape)
{
    graph_node *n = leaf(g, "input", name, ndim, shape);
    if (!n) return (dlf_node){0};
    n->external = true;
    n->dtype = DLF_I32;
    return handle(g, n);
}

/* The user's per-member numbers, copied. */
static dlf_status copy_given(dlf_graph *g, graph_node *n, const double *values)
{
    const size_t bytes = (size_t)g->members * sizeof *values;
    n->given = malloc(bytes);
    if (!n->given) return graph_fail(g, DLF_ERR_OOM, "graph: out of memory");
    memcpy(n->given, values, bytes);
    return DLF_OK;
}

dlf_node dlf_parameter(dlf_graph *g, const char *name, int ndim, const int64_t *shape,
                       dlf_init init)
{
    graph_node *n = leaf(g, "parameter", name, ndim, shape);
    if (!n) return (dlf_node){0};
    if (shape[0] != g->members || ndim < 2) {
        graph_refuse(g, n, "a parameter has the shape (%d,...)", g->members);
        return (dlf_node){0};
    }
    enum { ALIGN = 4 }; /* elements: vector loads of 16 bytes */
    n->parameter = true;
    n->has_gradient = true;
    n->offset = g->parameter_elements;
    g->parameter_elements += (graph_elements(n) / g->members + ALIGN - 1) / ALIGN * ALIGN;
    n->init = init;
    if (init.gains && copy_given(g, n, init.gains) != DLF_OK) return (dlf_node){0};
    if (init.gains) n->init.gains = n->given;
    return handle(g, n);
}

dlf_node dlf_hyper(dlf_graph *g, const char *name, const double *values)
{
    const int64_t shape[] = {g->members};
    graph_node *n = leaf(g, "hyper", name, 1, shape);
    if (!n || copy_given(g, n, values) != DLF_OK) return (dlf_node){0};
    n->hyper = true;
    return handle(g, n);
}

void dlf_want_gradient(dlf_graph *g, dlf_node x)
{
    graph_node *n = graph_at(g, x);
    if (!n || g->compiled) return;
    if (n->dtype == DLF_I32 || n->hyper || n->shape[0] != g->members) {
        graph_refuse(g, n, "it has no gradient per member");
        return;
    }
    n->want_gradient = true;
}

void dlf_want_value(dlf_graph *g, dlf_node x)
{
    graph_node *n = graph_at(g, x);
    if (n && !g->compiled) n->want_value = true;
}

void dlf_graph_minimise(dlf_graph *g, dlf_node loss, double scale)
{
    graph_node *n = graph_at(g, loss);
    if (!n || g->compiled) return;
    if (!n->op || !n->op->is_loss) {
        graph_fail(g, DLF_ERR_ARG,
                   "node '%s' (%s): only row losses are minimised; dlf_graph_seed gives any other "
                   "node a gradient",
                   n->name, n->kind);
        return;
    }
    n->minimised = true;
    n->scale += scale;
}

void dlf_graph_seed(dlf_graph *g, dlf_node x)
{
    graph_node *n = graph_at(g, x);
    if (!n || g->compiled) return;
    if (n->dtype == DLF_I32 || n->hyper || !n->op || n->op->is_loss)
        graph_refuse(g, n, "it takes no seed gradient");
    else
        n->seeded = true;
}

/* ---- looking ---- */

int dlf_graph_nodes(const dlf_graph *g)
{
    return g->nodes;
}

dlf_tensor *dlf_graph_value(dlf_graph *g, dlf_node x)
{
    graph_node *n = graph_at(g, x);
    if (!n || !g->compiled) return NULL;
    const bool kept = !n->op || n->want_value || n->op->is_loss;
    return kept ? &n->value : NULL;
}

dlf_tensor *dlf_graph_gradient(dlf_graph *g, dlf_node x)
{
    graph_node *n = graph_at(g, x);
    if (!n || !g->compiled) return NULL;
    return n->parameter || n->want_gradient ? &n->gradient : NULL;
}

dlf_tensor *dlf_graph_seed_gradient(dlf_graph *g, dlf_node x)
{
    graph_node *n = graph_at(g, x);
    return n && g->compiled && n->seeded ? &n->seed : NULL;
}

dlf_tensor *dlf_graph_parameters(dlf_graph *g)
{
    return g->parameters.data ? &g->parameters : NULL;
}
dlf_tensor *dlf_graph_gradients(dlf_graph *g)
{
    return g->gradients.data ? &g->gradients : NULL;
}
dlf_tensor *dlf_graph_clock(dlf_graph *g)
{
    return g->clock.data ? &g->clock : NULL;
}

dlf_tensor *dlf_graph_running_mean(dlf_graph *g, dlf_node x)
{
    graph_node *n = graph_at(g, x);
    return n && n->running_mean.data ? &n->running_mean : NULL;
}
dlf_tensor *dlf_graph_running_var(dlf_graph *g, dlf_node x)
{
    graph_node *n = graph_at(g, x);
    return n && n->running_var.data ? &n->running_var : NULL;
}

dlf_graph_memory dlf_graph_memory_of(const dlf_graph *g)
{
    return g->memory;
}
