/* SPDX-License-Identifier: MIT
 * check_gradients.c -- backward against central differences of the objective. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/rng.h"
#include "graph/graph_internal.h"

dlf_status dlf_graph_objective(dlf_graph *g, double *out)
{
    for (int p = 0; p < g->members; p++) out[p] = 0.0;
    for (int id = 1; id <= g->nodes; id++) {
        const graph_node *n = &g->node[id];
        if (!n->minimised) continue;
        const int64_t rows = n->shape[1];
        double *host = malloc((size_t)(g->members * rows) * sizeof *host);
        if (!host) return dlf_fail(DLF_ERR_OOM, "graph: out of memory");
        const dlf_status status = dlf_tensor_download_f64(host, &n->value);
        for (int p = 0; p < g->members && status == DLF_OK; p++)
            for (int64_t i = 0; i < rows; i++) out[p] += n->scale * host[p * rows + i];
        free(host);
        DLF_TRY(status);
    }
    return DLF_OK;
}

/* One leaf while its derivative is taken: P rows of n numbers each. */
typedef struct probe {
    dlf_graph *g;
    graph_node *leaf;
    int64_t n;
    double *start, *gradient, *direction, *moved; /* (P,n)  */
    double *step;                                 /* (P): h times the rms of the leaf */
    double *up, *down;                            /* (P)    */
} probe;

/* Objective at start + sign step direction. */
static dlf_status objective_at(probe *q, double sign, double *out)
{
    for (int p = 0; p < q->g->members; p++)
        for (int64_t i = 0; i < q->n; i++)
            q->moved[p * q->n + i] =
                q->start[p * q->n + i] + sign * q->step[p] * q->direction[p * q->n + i];
    DLF_TRY(dlf_tensor_upload_f64(&q->leaf->value, q->moved));
    DLF_TRY(dlf_graph_forward(q->g, DLF_TRAINING));
    return dlf_graph_objective(q->g, out);
}

/* A random unit vector per member. */
static void draw_direction(probe *q, uint32_t number)
{
    const uint32_t stream = dlf_stream(DLF_PURPOSE_TEST, 0x800000u + number);
    for (int p = 0; p < q->g->members; p++) {
        double square = 0.0, *u = q->direction + p * q->n;
        for (int64_t i = 0; i < q->n; i++) {
            u[i] = (double)dlf_rng_normal(1, stream, (uint32_t)p, (uint64_t)i);
            square += u[i] * u[i];
        }
        for (int64_t i = 0; i < q->n; i++) u[i] /= sqrt(square);
    }
}

static void set_steps(probe *q, double h)
{
    for (int p = 0; p < q->g->members; p++) {
        double square = 0.0;
        for (int64_t i = 0; i < q->n; i++)
            square += q->start[p * q->n + i] * q->start[p * q->n + i];
        const double length = sqrt(square);
        q->step[p] = h * (length > 0.0 ? length : 1.0); /* the direction has length 1 */
    }
}

/* Pairs (analytic, numeric) of every member and direction, appended to `pairs`. */
static dlf_status probe_leaf(probe *q, int directions, double h, double *pairs)
{
    dlf_graph *g = q->g;
    dlf_status status;
    DLF_TRY_DONE(dlf_tensor_download_f64(q->start, &q->leaf->value));
    set_steps(q, h);
    for (int k = 0; k < directions; k++) {
        draw_direction(q, (uint32_t)((q->leaf - g->node) * directions + k));
        DLF_TRY_DONE(objective_at(q, 1.0, q->up));
        DLF_TRY_DONE(objective_at(q, -1.0, q->down));
        for (int p = 0; p < g->members; p++) {
            double dot = 0.0;
            for (int64_t i = 0; i < q->n; i++)
                dot += q->gradient[p * q->n + i] * q->direction[p * q->n + i];
            *pairs++ = dot;
            *pairs++ = (q->up[p] - q->down[p]) / (2.0 * q->step[p]);
        }
    }
done:
    if (dlf_tensor_upload_f64(&q->leaf->value, q->start) != DLF_OK && status == DLF_OK)
        status = DLF_ERR_DEVICE;
    return status;
}

static bool is_checked(const graph_node *n)
{
    return n->parameter || (n->external && n->want_gradient);
}

static dlf_status check_leaf(dlf_graph *g, graph_node *n, int directions, double h, double *pairs)
{
    const int64_t count = graph_elements(n);
    const size_t P = (size_t)g->members;
    double *memory = malloc((4 * (size_t)count + 3 * P) * sizeof *memory);
    if (!memory) return dlf_fail(DLF_ERR_OOM, "graph: out of memory");
    probe q = {.g = g, .leaf = n, .n = count / g->members, .start = memory};
    q.gradient = q.start + count;
    q.direction = q.gradient + count;
    q.moved = q.direction + count;
    q.step = q.moved + count;
    q.up = q.step + P;
    q.down = q.up + P;
    dlf_status status = dlf_tensor_download_f64(q.gradient, &n->gradient);
    if (status == DLF_OK) status = probe_leaf(&q, directions, h, pairs);
    free(memory);
    return status;
}

/* The worst pair; the floor keeps derivatives that are 0 up to rounding from counting. */
static void judge(const dlf_graph *g, const double *pairs, int per_leaf, dlf_gradient_check *out)
{
    double largest = 0.0;
    for (int i = 0; i < 2 * out->directions; i++)
        if (fabs(pairs[i]) > largest) largest = fabs(pairs[i]);
    const double floor = 1e-6 * largest;
    int leaf = 0;
    out->worst = 0.0;
    for (int id = 1; id <= g->nodes; id++) {
        if (!is_checked(&g->node[id])) continue;
        for (int k = leaf * per_leaf; k < (leaf + 1) * per_leaf; k++) {
            const double a = pairs[2 * k], b = pairs[2 * k + 1];
            double size = fabs(a) > fabs(b) ? fabs(a) : fabs(b);
            if (size < floor) size = floor;
            const double error = size > 0.0 ? fabs(a - b) / size : a == b ? 0.0 : (double)INFINITY;
            if (error <= out->worst) continue; /* a NaN is worse than anything */
            out->worst = isnan(error) ? (double)INFINITY : error;
            snprintf(out->where, sizeof out->where, "%s", g->node[id].name);
        }
        leaf++;
    }
}

dlf_status dlf_graph_check_gradients(dlf_graph *g, int directions, double h,
                                     dlf_gradient_check *out)
{
    memset(out, 0, sizeof *out);
    int leaves = 0;
    for (int id = 1; id <= g->nodes; id++) leaves += is_checked(&g->node[id]);
    const int per_leaf = directions * g->members;
    out->directions = leaves * per_leaf;
    if (!g->compiled || out->directions < 1)
        return dlf_fail(DLF_ERR_ARG, "graph: nothing to check; compile, and have a parameter");
    double *pairs = malloc(2 * (size_t)out->directions * sizeof *pairs);
    if (!pairs) return dlf_fail(DLF_ERR_OOM, "graph: out of memory");
    dlf_status status;
    g->keep_running = true;
    DLF_TRY_DONE(dlf_graph_forward(g, DLF_TRAINING));
    DLF_TRY_DONE(dlf_graph_backward(g));
    int leaf = 0;
    for (int id = 1; id <= g->nodes; id++) {
        if (!is_checked(&g->node[id])) continue;
        /* gradients of inputs share planned memory with nothing later: read before the next run */
        DLF_TRY_DONE(check_leaf(g, &g->node[id], directions, h, pairs + 2 * leaf * per_leaf));
        DLF_TRY_DONE(dlf_graph_forward(g, DLF_TRAINING));
        DLF_TRY_DONE(dlf_graph_backward(g));
        leaf++;
    }
    judge(g, pairs, per_leaf, out);
done:
    g->keep_running = false;
    free(pairs);
    return status;
}
