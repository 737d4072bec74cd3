/* SPDX-License-Identifier: MIT
 * ops_layers.c -- normalization, pooling, dropout, row losses. */
#include <stdlib.h>
#include <string.h>

#include "dlf/rng.h"
#include "graph/graph_internal.h"

static const dlf_tensor *value_or_null(dlf_graph *g, graph_node *n, int input)
{
    const graph_node *x = graph_input(g, n, input);
    return x ? &x->value : NULL;
}

/* ---- normalization: inputs x, gamma, beta, residual ---- */

/* The geometry of a node's x, which has no memory yet when shapes are checked. */
static dlf_status norm_geometry(dlf_norm_geometry *out, const dlf_graph *g, const graph_node *n)
{
    const graph_node *x = graph_input(g, n, 0);
    dlf_tensor t = {.device = g->device, .dtype = x->dtype, .ndim = x->ndim};
    memcpy(t.shape, x->shape, sizeof t.shape);
    return dlf_norm_geometry_of(out, &t, n->attr.norm);
}

static dlf_status norm_shape(dlf_graph *g, graph_node *n)
{
    dlf_norm_geometry geometry;
    const graph_node *x = graph_input(g, n, 0), *residual = graph_input(g, n, 3);
    DLF_TRY(graph_same_as(g, n, 0));
    if (x->shape[0] != g->members) return graph_refuse(g, n, "x needs %d members", g->members);
    if (norm_geometry(&geometry, g, n) != DLF_OK) {
        char why[200];
        snprintf(why, sizeof why, "%s", dlf_error_message());
        return graph_refuse(g, n, "%s", why);
    }
    for (int i = 1; i <= 2; i++) {
        const graph_node *c = graph_input(g, n, i);
        if (c && (c->ndim != 2 || c->shape[0] != g->members || c->shape[1] != geometry.C))
            return graph_refuse(g, n, "gamma and beta are (%d,%lld)", g->members,
                                (long long)geometry.C);
    }
    if (residual && !graph_same_shape(x, residual))
        return graph_refuse(g, n, "the residual must be shaped like x");
    return DLF_OK;
}

static dlf_status norm_allocate(dlf_graph *g, graph_node *n)
{
    dlf_norm_geometry e;
    dlf_device *dev = g->device;
    DLF_TRY(norm_geometry(&e, g, n));
    const dlf_norm_kind kind = n->attr.norm.kind;
    const int64_t real = (int64_t)dlf_dtype_size(dev->real), P = g->members;
    const bool batch = kind == DLF_BATCH_NORM;
    const int64_t shape[] = {P, batch ? e.C : e.N, e.groups};
    const int ndim = kind == DLF_INSTANCE_NORM || kind == DLF_GROUP_NORM ? 3 : 2;
    if (n->active) {
        if (kind != DLF_RMS_NORM) DLF_TRY(dlf_tensor_init(&n->mean, dev, DLF_F64, ndim, shape));
        DLF_TRY(dlf_tensor_init(&n->rstd, dev, dev->real, ndim, shape));
        g->memory.parameters += P * e.statistics * (real + 8);
    }
    if (!batch) return DLF_OK;
    DLF_TRY(dlf_tensor_new(&n->running_mean, dev, dev->real, P, e.C));
    DLF_TRY(dlf_tensor_new(&n->running_var, dev, dev->real, P, e.C));
    g->memory.parameters += 2 * P * e.C * real;
    return DLF_OK;
}

static dlf_status norm_forward(dlf_graph *g, graph_node *n, dlf_graph_mode mode)
{
    const bool batch = n->attr.norm.kind == DLF_BATCH_NORM, training = mode == DLF_TRAINING;
    const bool running = batch && !(training && g->keep_running);
    const bool statistics = training && n->active;
    const dlf_norm_fwd io = {
        .y = &n->value,
        .mean = statistics && n->mean.data ? &n->mean : NULL,
        .rstd = statistics ? &n->rstd : NULL,
        .running_mean = running ? &n->running_mean : NULL,
        .running_var = running ? &n->running_var : NULL,
        .x = value_or_null(g, n, 0),
        .gamma = value_or_null(g, n, 1),
        .beta = value_or_null(g, n, 2),
        .residual = value_or_null(g, n, 3),
    };
    return training ? dlf_norm_forward(&io, &n->attr.norm) : dlf_norm_infer(&io, &n->attr.norm);
}

static dlf_status norm_backward(dlf_graph *g, graph_node *n, const graph_backward *call)
{
    const dlf_norm_bwd io = {
        .dx = call->dx[0],
        .dresidual = call->dx[3],
        .dgamma = call->dx[1],
        .dbeta = call->dx[2],
        .dy = call->dy,
        .x = value_or_null(g, n, 0),
        .mean = n->mean.data ? &n->mean : NULL,
        .rstd = &n->rstd,
        .gamma = value_or_null(g, n, 1),
        .beta = value_or_null(g, n, 2),
        .residual = value_or_null(g, n, 3),
    };
    return dlf_norm_backward(&io, &n->attr.norm);
}

static unsigned norm_saves(const dlf_graph *g, const graph_node *n)
{
    (void)g;
    return n->input[3] ? 1u | 1u << 3 : 1u;
}

static double norm_flops(const dlf_graph *g, const graph_node *n)
{
    (void)g;
    return 8.0 *
           (double)graph_elements(n); /* two for the mean, three for the variance, three for y */
}

const dlf_graph_op graph_op_norm = {
    .name = "normalise",
    .shape = norm_shape,
    .allocate = norm_allocate,
    .forward = norm_forward,
    .backward = norm_backward,
    .saves = norm_saves,
    .value_alias = 1,
    .gradient_alias = 1,
    .always_writes = 1,
    .flops = norm_flops,
};

dlf_node dlf_normalise(dlf_graph *g, const char *name, dlf_node x, dlf_node gamma, dlf_node beta,
                       dlf_node residual, dlf_norm norm)
{
    return graph_add(g, &graph_op_norm, name, (graph_attributes){.norm = norm}, 4,
                     (dlf_node[]){x, gamma, beta, residual}, 0xe);
}

/* ---- pooling ---- */

static dlf_status pool_shape(dlf_graph *g, graph_node *n)
{
    const graph_node *x = graph_input(g, n, 0);
    const dlf_pool *pool = &n->attr.pool;
    const int row = pool->layout == DLF_NCHW ? 3 : 2;
    DLF_TRY(graph_expect_axes(g, n, 0, 5));
    DLF_TRY(graph_same_as(g, n, 0));
    for (int i = 0; i < 2; i++) {
        const int64_t room = x->shape[row + i] + 2 * pool->pad[i] - pool->kernel[i];
        if (pool->kernel[i] < 1 || pool->stride[i] < 1 || room < 0 || pool->pad[i] < 0 ||
            pool->pad[i] > pool->kernel[i] / 2)
            return graph_refuse(g, n,
                                "window %lld, stride %lld, pad %lld do not fit %lld positions",
                                (long long)pool->kernel[i], (long long)pool->stride[i],
                                (long long)pool->pad[i], (long long)x->shape[row + i]);
        n->shape[row + i] = room / pool->stride[i] + 1;
    }
    return DLF_OK;
}

static dlf_status pool_forward(dlf_graph *g, graph_node *n, dlf_graph_mode mode)
{
    (void)mode;
    return dlf_pool_forward(&n->value, &graph_input_of(g, n, 0)->value, n->attr.pool);
}

static dlf_status pool_backward(dlf_graph *g, graph_node *n, const graph_backward *call)
{
    const bool max = n->attr.pool.kind == DLF_POOL_MAX;
    return dlf_pool_backward(call->dx[0], call->dy, max ? value_or_null(g, n, 0) : NULL,
                             n->attr.pool);
}

static unsigned pool_saves(const dlf_graph *g, const graph_node *n)
{
    (void)g;
    return n->attr.pool.kind == DLF_POOL_MAX ? 1 : 0;
}

static double pool_flops(const dlf_graph *g, const graph_node *n)
{
    (void)g;
    return (double)(graph_elements(n) * n->attr.pool.kernel[0] * n->attr.pool.kernel[1]);
}

const dlf_graph_op graph_op_pool = {
    .name = "pool",
    .shape = pool_shape,
    .forward = pool_forward,
    .backward = pool_backward,
    .saves = pool_saves,
    .flops = pool_flops,
};

dlf_node dlf_pooling(dlf_graph *g, const char *name, dlf_node x, dlf_pool pool)
{
    return graph_add(g, &graph_op_pool, name, (graph_attributes){.pool = pool}, 1, (dlf_node[]){x},
                     0);
}

/* ---- dropout: inputs x, rate ---- */

static dlf_status drop_shape(dlf_graph *g, graph_node *n)
{
    const graph_node *rate = graph_input(g, n, 1);
    if (!rate->hyper || graph_input(g, n, 0)->shape[0] != g->members)
        return graph_refuse(g, n, "the rate is a hyper, and x has %d members", g->members);
    return graph_same_as(g, n, 0);
}

static dlf_status drop_hyper_changed(dlf_graph *g, graph_node *n)
{
    double *keep = malloc((size_t)g->members * sizeof *keep);
    if (!keep) return dlf_fail(DLF_ERR_OOM, "graph: out of memory");
    const double *rate = graph_input(g, n, 1)->given;
    for (int p = 0; p < g->members; p++) keep[p] = n->attr.rescale ? 1.0 : 1.0 - rate[p];
    const dlf_status status = dlf_tensor_upload_f64(&n->keep, keep);
    free(keep);
    return status;
}

static dlf_status drop_allocate(dlf_graph *g, graph_node *n)
{
    DLF_TRY(dlf_tensor_new(&n->keep, g->device, g->device->real, g->members));
    return drop_hyper_changed(g, n);
}

static dlf_status drop(dlf_graph *g, graph_node *n, dlf_tensor *y, const dlf_tensor *x)
{
    const uint32_t layer = (uint32_t)(n - g->node);
    /* Four draws come from one block of random bits: a step starts with a whole one. */
    const uint64_t draws = (uint64_t)(dlf_tensor_member_count(y) + 3) / 4 * 4;
    const dlf_dropout how = {.rng = {g->seed, dlf_stream(DLF_PURPOSE_DROPOUT, layer)},
                             .stride = draws,
                             .run = 1,
                             .rescale = n->attr.rescale};
    return dlf_dropout_apply(y, x, &g->draw, value_or_null(g, n, 1), &g->clock, how);
}

/* In evaluation every unit stays, at what it was on average. */
static dlf_status drop_forward(dlf_graph *g, graph_node *n, dlf_graph_mode mode)
{
    const dlf_tensor *x = value_or_null(g, n, 0);
    if (mode == DLF_TRAINING) return drop(g, n, &n->value, x);
    return dlf_axpby(&n->value, x, &n->keep, 1.0, 0.0);
}

static dlf_status drop_backward(dlf_graph *g, graph_node *n, const graph_backward *call)
{
    return drop(g, n, call->dx[0], call->dy);
}

const dlf_graph_op graph_op_drop = {
    .name = "dropout",
    .shape = drop_shape,
    .allocate = drop_allocate,
    .hyper_changed = drop_hyper_changed,
    .forward = drop_forward,
    .backward = drop_backward,
    .value_alias = 1,
    .gradient_alias = 1,
};

dlf_node dlf_drop(dlf_graph *g, const char *name, dlf_node x, dlf_node rate, bool rescale)
{
    return graph_add(g, &graph_op_drop, name, (graph_attributes){.rescale = rescale}, 2,
                     (dlf_node[]){x, rate}, 0);
}
