/* SPDX-License-Identifier: MIT
 * ops_shape.c -- nodes that move numbers about: columns, concatenation, views, embeddings. */
#include <string.h>

#include "graph/graph_internal.h"

/* ---- concat ---- */

static dlf_status concat_shape(dlf_graph *g, graph_node *n)
{
    const graph_node *a = graph_input(g, n, 0), *b = graph_input(g, n, 1);
    DLF_TRY(graph_expect_axes(g, n, 0, 3));
    DLF_TRY(graph_expect_axes(g, n, 1, 3));
    if (a->shape[0] != g->members || b->shape[0] != g->members || a->shape[1] != b->shape[1])
        return graph_refuse(g, n, "both need %d members and as many rows", g->members);
    DLF_TRY(graph_same_as(g, n, 0));
    n->shape[2] += b->shape[2];
    return DLF_OK;
}

static dlf_status concat_forward(dlf_graph *g, graph_node *n, dlf_graph_mode mode)
{
    (void)mode;
    int64_t at = 0;
    for (int i = 0; i < 2; i++) {
        const dlf_tensor *x = &graph_input_of(g, n, i)->value;
        DLF_TRY(dlf_copy_columns(&n->value, at, x, 0, x->shape[2], 0.0));
        at += x->shape[2];
    }
    return DLF_OK;
}

static dlf_status concat_backward(dlf_graph *g, graph_node *n, const graph_backward *call)
{
    int64_t at = 0;
    for (int i = 0; i < 2; i++) {
        const int64_t width = graph_input(g, n, i)->shape[2];
        if (call->dx[i])
            DLF_TRY(dlf_copy_columns(call->dx[i], 0, call->dy, at, width, call->beta[i]));
        at += width;
    }
    return DLF_OK;
}

const dlf_graph_op graph_op_concat = {
    .name = "concat",
    .shape = concat_shape,
    .forward = concat_forward,
    .backward = concat_backward,
    .accumulates = 3,
};

dlf_node dlf_concat(dlf_graph *g, const char *name, dlf_node a, dlf_node b)
{
    return graph_add(g, &graph_op_concat, name, (graph_attributes){0}, 2, (dlf_node[]){a, b}, 0);
}

/* ---- columns ---- */

static dlf_status columns_shape(dlf_graph *g, graph_node *n)
{
    const graph_node *x = graph_input(g, n, 0);
    const int64_t first = n->attr.columns.first, count = n->attr.columns.count;
    DLF_TRY(graph_expect_axes(g, n, 0, 3));
    if (x->shape[0] != g->members || first < 0 || count < 1 || first > x->shape[2] - count)
        return graph_refuse(g, n, "columns %lld to %lld of %lld", (long long)first,
                            (long long)(first + count - 1), (long long)x->shape[2]);
    DLF_TRY(graph_same_as(g, n, 0));
    n->shape[2] = count;
    return DLF_OK;
}

static dlf_status columns_forward(dlf_graph *g, graph_node *n, dlf_graph_mode mode)
{
    (void)mode;
    return dlf_copy_columns(&n->value, 0, &graph_input_of(g, n, 0)->value, n->attr.columns.first,
                            n->attr.columns.count, 0.0);
}

static dlf_status columns_backward(dlf_graph *g, graph_node *n, const graph_backward *call)
{
    (void)g;
    const bool all = n->attr.columns.count == call->dx[0]->shape[2];
    if (call->beta[0] == 0.0 && !all) DLF_TRY(dlf_tensor_zero(call->dx[0]));
    return dlf_copy_columns(call->dx[0], n->attr.columns.first, call->dy, 0, n->attr.columns.count,
                            call->beta[0]);
}

const dlf_graph_op graph_op_columns = {
    .name = "columns",
    .shape = columns_shape,
    .forward = columns_forward,
    .backward = columns_backward,
    .accumulates = 1,
};

dlf_node dlf_columns(dlf_graph *g, const char *name, dlf_node x, int64_t first, int64_t count)
{
    return graph_add(g, &graph_op_columns, name, (graph_attributes){.columns = {first, count}}, 1,
                     (dlf_node[]){x}, 0);
}

/* ---- view ---- */

static dlf_status view_shape(dlf_graph *g, graph_node *n)
{
    const graph_node *x = graph_input(g, n, 0);
    n->dtype = x->dtype;
    n->ndim = n->attr.view.ndim;
    memcpy(n->shape, n->attr.view.shape, sizeof n->shape);
    bool good = n->ndim >= 1 && n->ndim <= DLF_MAX_DIMS && n->shape[0] == x->shape[0];
    for (int i = 0; good && i < n->ndim; i++) good = n->shape[i] >= 1;
    if (good && graph_elements(n) == graph_elements(x)) return DLF_OK;
    char text[80];
    n->ndim = good ? n->ndim : 0;
    return graph_refuse(g, n, "a view %s must keep the first axis and the number of elements",
                        graph_shape_text(n, text, sizeof text));
}

static dlf_status view_forward(dlf_graph *g, graph_node *n, dlf_graph_mode mode)
{
    (void)g, (void)n, (void)mode; /* the memory is the input's */
    return DLF_OK;
}

static dlf_status view_backward(dlf_graph *g, graph_node *n, const graph_backward *call)
{
    (void)g, (void)n;
    dlf_tensor *dx = call->dx[0];
    if (dx->data == call->dy->data) return DLF_OK;
    const dlf_tensor dy = dlf_tensor_reshape(call->dy, dx->ndim, dx->shape);
    return dlf_axpby(dx, &dy, NULL, 1.0, call->beta[0]);
}

const dlf_graph_op graph_op_view = {
    .name = "view",
    .shape = view_shape,
    .forward = view_forward,
    .backward = view_backward,
    .accumulates = 1,
    .gradient_alias = 1,
    .shares = true,
};

dlf_node dlf_view(dlf_graph *g, const char *name, dlf_node x, int ndim, const int64_t *shape)
{
    graph_attributes attr = {.view = {.ndim = ndim}};
    for (int i = 0; i < ndim && i < DLF_MAX_DIMS; i++) attr.view.shape[i] = shape[i];
    return graph_add(g, &graph_op_view, name, attr, 1, (dlf_node[]){x}, 0);
}

/* ---- embedding ---- */

static dlf_status embed_shape(dlf_graph *g, graph_node *n)
{
    const graph_node *table = graph_input(g, n, 0), *index = graph_input(g, n, 1);
    DLF_TRY(graph_expect_axes(g, n, 0, 3));
    if (index->dtype != DLF_I32 || index->ndim != 2 || table->shape[0] != g->members)
        return graph_refuse(g, n, "a table (%d,V,N) and int32 indices (%d,B) or (1,B)", g->members,
                            g->members);
    DLF_TRY(graph_same_as(g, n, 0));
    n->shape[1] = index->shape[1];
    return DLF_OK;
}

static dlf_status embed_forward(dlf_graph *g, graph_node *n, dlf_graph_mode mode)
{
    (void)mode;
    return dlf_embedding_forward(&n->value, &graph_input_of(g, n, 0)->value,
                                 &graph_input_of(g, n, 1)->value);
}

static dlf_status embed_backward(dlf_graph *g, graph_node *n, const graph_backward *call)
{
    return dlf_embedding_backward(call->dx[0], call->dy, &graph_input_of(g, n, 1)->value,
                                  call->beta[0]);
}

static unsigned embed_saves(const dlf_graph *g, const graph_node *n)
{
    (void)g, (void)n;
    return 2;
}

static double no_flops(const dlf_graph *g, const graph_node *n)
{
    (void)g, (void)n;
    return 0.0;
}

const dlf_graph_op graph_op_embed = {
    .name = "embedding",
    .shape = embed_shape,
    .forward = embed_forward,
    .backward = embed_backward,
    .saves = embed_saves,
    .accumulates = 1,
    .flops = no_flops,
};

dlf_node dlf_embed(dlf_graph *g, const char *name, dlf_node table, dlf_node index)
{
    return graph_add(g, &graph_op_embed, name, (graph_attributes){0}, 2, (dlf_node[]){table, index},
                     0);
}
