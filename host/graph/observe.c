/* SPDX-License-Identifier: MIT
 * observe.c -- what a layer does: moments, dead units, saturation. Computed on the host from one
 * download, so that a graph nobody looks at pays nothing. */
#include <math.h>
#include <stdlib.h>

#include "graph/graph_internal.h"

/* max |f'| of the activations that saturate on both sides; NaN for the others. */
static double steepest(dlf_activation f)
{
    if (f.kind == DLF_SIGMOID) return 0.25;
    if (f.kind == DLF_TANH) return 1.0;
    return (double)NAN;
}

/* |f'| from the value y = f(x). */
static double slope_from_value(dlf_activation f, double y)
{
    return f.kind == DLF_SIGMOID ? y * (1.0 - y) : 1.0 - y * y;
}

/* How the values of a member are numbered: [row][unit][position], one position where units are the
 * last axis. */
typedef struct numbering {
    int64_t rows, units, positions;
} numbering;

/* Do channels come before positions? The op that made the node knows, or, for ops on single
 * elements, the one before. */
static bool channels_first(const dlf_graph *g, const graph_node *n)
{
    for (; n && n->op; n = graph_input(g, n, 0)) {
        if (n->op == &graph_op_conv) return n->attr.conv.layout == DLF_NCHW;
        if (n->op == &graph_op_pool) return n->attr.pool.layout == DLF_NCHW;
        if (n->op == &graph_op_norm) return n->attr.norm.layout == DLF_NCHW;
        if (!graph_same_shape(n, graph_input(g, n, 0))) return false;
    }
    return false;
}

static numbering numbering_of(const dlf_graph *g, const graph_node *n)
{
    const int64_t count = graph_elements(n) / g->members;
    numbering m = {.units = n->ndim > 1 ? n->shape[n->ndim - 1] : 1, .positions = 1};
    if (n->ndim > 3 && channels_first(g, n)) {
        m.units = n->shape[2];
        for (int i = 3; i < n->ndim; i++) m.positions *= n->shape[i];
    }
    m.rows = count / (m.units * m.positions);
    return m;
}

/* Is a unit 0 in every row and at every position? */
static bool is_dead(const double *x, const numbering *m, int64_t unit)
{
    for (int64_t row = 0; row < m->rows; row++)
        for (int64_t i = 0; i < m->positions; i++)
            if (x[(row * m->units + unit) * m->positions + i] != 0.0) return false;
    return true;
}

static dlf_observation observe_member(const double *x, const numbering *m, dlf_activation f)
{
    dlf_observation o = {0};
    const int64_t count = m->rows * m->units * m->positions;
    const double limit = steepest(f) / 20.0;
    double sum = 0.0, squares = 0.0;
    int64_t saturated = 0, nonfinite = 0, dead = 0;
    for (int64_t i = 0; i < count; i++) {
        sum += x[i];
        squares += x[i] * x[i];
        nonfinite += !isfinite(x[i]);
        if (isnan(x[i]) || fabs(x[i]) > o.max_abs) o.max_abs = fabs(x[i]); /* a NaN stays */
        saturated += slope_from_value(f, x[i]) < limit;
    }
    for (int64_t j = 0; j < m->units; j++) dead += is_dead(x, m, j);
    o.mean = sum / (double)count;
    for (int64_t i = 0; i < count; i++) o.var += (x[i] - o.mean) * (x[i] - o.mean);
    o.var /= (double)count;
    o.rms = sqrt(squares / (double)count);
    o.nonfinite = (double)nonfinite / (double)count;
    o.dead = (double)dead / (double)m->units;
    o.saturated = isnan(limit) ? (double)NAN : (double)saturated / (double)count;
    return o;
}

static double root_mean_square(const double *x, int64_t count)
{
    double squares = 0.0;
    for (int64_t i = 0; i < count; i++) squares += x[i] * x[i];
    return sqrt(squares / (double)count);
}

dlf_status dlf_graph_observe(dlf_graph *g, dlf_node node, dlf_observation *out)
{
    const graph_node *n = graph_at(g, node);
    const dlf_tensor *value = dlf_graph_value(g, node);
    if (!value || n->dtype != g->device->real || n->shape[0] != g->members)
        return dlf_fail(DLF_ERR_ARG, "graph: '%s' is not kept; dlf_want_value before compile",
                        n ? n->name : "?");
    dlf_status status;
    const dlf_tensor *gradient = dlf_graph_gradient(g, node);
    const int64_t count = graph_elements(n) / g->members;
    const numbering m = numbering_of(g, n);
    const bool is_activation = n->op && dlf_graph_node(g, node).activation.kind != DLF_LINEAR;
    const dlf_activation f = is_activation ? n->attr.activation : dlf_activation_of(DLF_LINEAR);
    double *host = malloc((size_t)(count * g->members) * sizeof *host);
    if (!host) return dlf_fail(DLF_ERR_OOM, "graph: out of memory");
    DLF_TRY_DONE(dlf_tensor_download_f64(host, value));
    for (int p = 0; p < g->members; p++) out[p] = observe_member(host + p * count, &m, f);
    for (int p = 0; p < g->members; p++) out[p].gradient_rms = (double)NAN;
    if (gradient) {
        DLF_TRY_DONE(dlf_tensor_download_f64(host, gradient));
        for (int p = 0; p < g->members; p++)
            out[p].gradient_rms = root_mean_square(host + p * count, count);
    }
done:
    free(host);
    return status;
}
