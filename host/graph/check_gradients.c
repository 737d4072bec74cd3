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
    double *step;                                 /* (P): h times the length of the leaf */
    double *value[4];                             /* (P): objectives at 1, -1, 2, -2 steps */
} probe;

/* Objective at start + length step direction. */
static dlf_status objective_at(probe *q, double length, double *out)
{
    for (int p = 0; p < q->g->members; p++)
        for (int64_t i = 0; i < q->n; i++)
            q->moved[p * q->n + i] =
                q->start[p * q->n + i] + length * q->step[p] * q->direction[p * q->n + i];
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

/* A derivative by backward and by differences, as far as they agree. */
typedef struct pair {
    double analytic, numeric;
} pair;

/* Four-point central differences (error h^4) at h, h/10, h/100, h/1000: large steps feel curvature
 * and kinks, small ones cancellation, and where between them a derivative is best seen depends on
 * how small it is beside the objective. The step that agrees best counts; a wrong derivative agrees
 * at none. */
static dlf_status difference(probe *q, double h, pair *out)
{
    static const double at[] = {1.0, -1.0, 2.0, -2.0};
    const int P = q->g->members;
    for (int k = 0; k < 4; k++, h /= 10.0) {
        set_steps(q, h);
        for (int i = 0; i < 4; i++) DLF_TRY(objective_at(q, at[i], q->value[i]));
        for (int p = 0; p < P; p++) {
            const double near = q->value[0][p] - q->value[1][p];
            const double far = q->value[2][p] - q->value[3][p];
            const double numeric = (8.0 * near - far) / (12.0 * q->step[p]);
            const double error = fabs(numeric - out[p].analytic);
            if (k == 0 || error < fabs(out[p].numeric - out[p].analytic)) out[p].numeric = numeric;
        }
    }
    return DLF_OK;
}

/* Every member and direction of one leaf. */
static dlf_status probe_leaf(probe *q, int directions, double h, pair *out)
{
    dlf_graph *g = q->g;
    dlf_status status;
    DLF_TRY_DONE(dlf_tensor_download_f64(q->start, &q->leaf->value));
    for (int k = 0; k < directions; k++, out += g->members) {
        draw_direction(q, (uint32_t)((q->leaf - g->node) * directions + k));
        for (int p = 0; p < g->members; p++) {
            out[p].analytic = 0.0;
            for (int64_t i = 0; i < q->n; i++)
                out[p].analytic += q->gradient[p * q->n + i] * q->direction[p * q->n + i];
        }
        DLF_TRY_DONE(difference(q, h, out));
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

static dlf_status check_leaf(dlf_graph *g, graph_node *n, int directions, double h, pair *out)
{
    const int64_t count = graph_elements(n);
    const size_t P = (size_t)g->members;
    double *memory = malloc((4 * (size_t)count + 5 * P) * sizeof *memory);
    if (!memory) return dlf_fail(DLF_ERR_OOM, "graph: out of memory");
    probe q = {.g = g, .leaf = n, .n = count / g->members, .start = memory};
    q.gradient = q.start + count;
    q.direction = q.gradient + count;
    q.moved = q.direction + count;
    q.step = q.moved + count;
    for (size_t i = 0; i < 4; i++) q.value[i] = q.step + (i + 1) * P;
    dlf_status status = dlf_tensor_download_f64(q.gradient, &n->gradient);
    if (status == DLF_OK) status = probe_leaf(&q, directions, h, out);
    free(memory);
    return status;
}

/* The worst pair; the floor keeps derivatives that are 0 up to rounding from counting. */
static void judge(const dlf_graph *g, const pair *pairs, int per_leaf, dlf_gradient_check *out)
{
    double largest = 0.0;
    for (int i = 0; i < out->directions; i++) largest = fmax(largest, fabs(pairs[i].analytic));
    const double floor = 1e-6 * largest;
    int leaf = 0;
    out->worst = 0.0;
    for (int id = 1; id <= g->nodes; id++) {
        if (!is_checked(&g->node[id])) continue;
        for (int k = leaf * per_leaf; k < (leaf + 1) * per_leaf; k++) {
            const double a = pairs[k].analytic, b = pairs[k].numeric;
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
    pair *pairs = malloc((size_t)out->directions * sizeof *pairs);
    if (!pairs) return dlf_fail(DLF_ERR_OOM, "graph: out of memory");
    dlf_status status;
    g->keep_running = true;
    DLF_TRY_DONE(dlf_graph_forward(g, DLF_TRAINING));
    DLF_TRY_DONE(dlf_graph_backward(g));
    int leaf = 0;
    for (int id = 1; id <= g->nodes; id++) {
        if (!is_checked(&g->node[id])) continue;
        /* gradients of inputs share planned memory with nothing later: read before the next run */
        DLF_TRY_DONE(check_leaf(g, &g->node[id], directions, h, pairs + leaf * per_leaf));
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
