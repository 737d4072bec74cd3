/* SPDX-License-Identifier: MIT
 * print.c -- a graph for people: a table, or DOT for Graphviz; and what it costs. */
#include <string.h>

#include "graph/graph_internal.h"

/* Products of the values of two inputs: what is counted in multiply-adds. */
static bool is_product(const graph_node *n)
{
    return n->op && (strcmp(n->op->name, "matmul") == 0 || strcmp(n->op->name, "convolution") == 0);
}

static double forward_flops(const dlf_graph *g, const graph_node *n)
{
    if (!n->op || n->op->shares) return 0.0;
    return n->op->flops ? n->op->flops(g, n) : (double)graph_elements(n);
}

static double forward_bytes(const dlf_graph *g, const graph_node *n)
{
    if (!n->op || n->op->shares) return 0.0;
    int64_t elements = graph_elements(n);
    for (int i = 0; i < n->inputs; i++)
        if (n->input[i]) elements += graph_elements(graph_input(g, n, i));
    return (double)elements * (double)dlf_dtype_size(g->device->real);
}

dlf_node_info dlf_graph_node(const dlf_graph *g, dlf_node x)
{
    dlf_node_info info = {0};
    if (x.id < 1 || x.id > g->nodes) return info;
    const graph_node *n = &g->node[x.id];
    info.name = n->name;
    info.op = n->kind;
    info.parameter = n->parameter;
    info.has_running = n->running_mean.data != NULL;
    if (n->op && strcmp(n->op->name, "activation") == 0) info.activation = n->attr.activation;
    info.ndim = n->ndim;
    memcpy(info.shape, n->shape, sizeof info.shape);
    info.inputs = n->inputs;
    for (int i = 0; i < n->inputs; i++) info.input[i] = (dlf_node){n->input[i]};
    info.flops = forward_flops(g, n);
    info.bytes = forward_bytes(g, n);
    return info;
}

int64_t dlf_graph_parameter_count(const dlf_graph *g)
{
    int64_t sum = 0;
    for (int id = 1; id <= g->nodes; id++) {
        const dlf_node_info n = dlf_graph_node(g, (dlf_node){id});
        int64_t count = n.parameter;
        for (int axis = 1; axis < n.ndim; axis++) count *= n.shape[axis];
        sum += count;
    }
    return sum;
}

dlf_graph_cost dlf_graph_cost_of(const dlf_graph *g)
{
    dlf_graph_cost cost = {0};
    for (int id = 1; id <= g->nodes; id++) {
        const graph_node *n = &g->node[id];
        cost.forward_flops += forward_flops(g, n);
        cost.forward_calls += n->op && !n->op->shares;
        cost.backward_calls += n->backward_step >= 0 && !n->op->shares;
        if (!is_product(n)) continue;
        const int64_t macs = (int64_t)(forward_flops(g, n) / 2.0);
        cost.forward_macs += macs;
        if (n->backward_step < 0) continue;
        for (int i = 0; i < 2; i++) cost.backward_macs += graph_input(g, n, i)->active ? macs : 0;
    }
    return cost;
}

static dlf_status compiled(const dlf_graph *g)
{
    return g->compiled ? DLF_OK : dlf_fail(DLF_ERR_ARG, "graph: compile it before printing it");
}

/* "input, hidden.w" */
static const char *inputs_text(const dlf_graph *g, const graph_node *n, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < n->inputs && used < size; i++)
        if (n->input[i])
            used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "",
                                     graph_input(g, n, i)->name);
    return text;
}

static const char *kind_text(const graph_node *n)
{
    if (n->op && strcmp(n->op->name, "activation") == 0)
        return dlf_activation_name(n->attr.activation.kind);
    if (n->op && strcmp(n->op->name, "normalise") == 0) return dlf_norm_name(n->attr.norm.kind);
    if (n->op && strcmp(n->op->name, "row_loss") == 0) return dlf_loss_name(n->attr.loss.kind);
    return n->kind;
}

static double mebi(int64_t bytes)
{
    return (double)bytes / 1048576.0;
}

static void print_totals(const dlf_graph *g, FILE *out)
{
    const dlf_graph_memory m = g->memory;
    const dlf_graph_cost c = dlf_graph_cost_of(g);
    fprintf(
        out, "\ncost      forward %lld multiply-adds in %d calls, backward %lld (%.4g x) in %d\n",
        (long long)c.forward_macs, c.forward_calls, (long long)c.backward_macs,
        c.forward_macs ? (double)c.backward_macs / (double)c.forward_macs : 0.0, c.backward_calls);
    fprintf(out,
            "memory    values and gradients %.3f MiB in one block; lower bound %.3f MiB (alive at "
            "step %d of %d), without reuse %.3f MiB\n",
            mebi(m.planned), mebi(m.lower_bound), m.peak_step, g->forward_steps + g->backward_steps,
            mebi(m.unshared));
    fprintf(out, "          parameters, their gradients and statistics %.3f MiB, inputs %.3f MiB\n",
            mebi(m.parameters), mebi(m.inputs));
}

dlf_status dlf_graph_print(const dlf_graph *g, FILE *out)
{
    DLF_TRY(compiled(g));
    fprintf(out, "%4s  %-14s %-20s %-20s %9s  %s\n", "node", "op", "name", "shape", "kflop",
            "inputs");
    for (int id = 1; id <= g->nodes; id++) {
        const graph_node *n = &g->node[id];
        char shape[80], inputs[4 * GRAPH_NAME], flops[24] = "";
        if (n->op) snprintf(flops, sizeof flops, "%.1f", forward_flops(g, n) / 1e3);
        fprintf(out, "%4d  %-14s %-20s %-20s %9s  %s%s%s\n", id, kind_text(n), n->name,
                graph_shape_text(n, shape, sizeof shape), flops,
                inputs_text(g, n, inputs, sizeof inputs), n->minimised ? "  <- minimised" : "",
                n->op && !n->active ? "  (no gradient)" : "");
    }
    print_totals(g, out);
    return DLF_OK;
}

dlf_status dlf_graph_print_dot(const dlf_graph *g, FILE *out)
{
    DLF_TRY(compiled(g));
    fprintf(out, "digraph dlf {\n  rankdir=BT;\n  node [fontname=\"Helvetica\", fontsize=10];\n");
    for (int id = 1; id <= g->nodes; id++) {
        const graph_node *n = &g->node[id];
        char shape[80];
        const char *look = n->parameter     ? "shape=box, style=filled, fillcolor=\"#dbe9f6\""
                           : !n->op         ? "shape=box, style=filled, fillcolor=\"#eeeeee\""
                           : n->op->is_loss ? "shape=doubleoctagon"
                                            : "shape=ellipse";
        fprintf(out, "  n%d [label=\"%s\\n%s %s\", %s];\n", id, n->name, kind_text(n),
                graph_shape_text(n, shape, sizeof shape), look);
        for (int i = 0; i < n->inputs; i++)
            if (n->input[i]) fprintf(out, "  n%d -> n%d;\n", n->input[i], id);
    }
    fprintf(out, "}\n");
    return DLF_OK;
}
