/* SPDX-License-Identifier: MIT
 * ops_loss.c -- row losses: where backward starts. */
#include "graph/graph_internal.h"

static dlf_status rows_of_input(dlf_graph *g, graph_node *n)
{
    const graph_node *x = graph_input(g, n, 0);
    if (x->shape[0] != g->members) return graph_refuse(g, n, "x needs %d members", g->members);
    n->ndim = 2;
    n->shape[0] = x->shape[0];
    n->shape[1] = x->shape[1];
    return DLF_OK;
}

/* ---- softmax and cross-entropy ---- */

static dlf_status cross_entropy_shape(dlf_graph *g, graph_node *n)
{
    const graph_node *x = graph_input(g, n, 0), *label = graph_input(g, n, 1);
    DLF_TRY(graph_expect_axes(g, n, 0, 3));
    if (label->dtype != DLF_I32 || label->ndim != 2 || label->shape[1] != x->shape[1])
        return graph_refuse(g, n, "the labels are int32, one per row");
    return rows_of_input(g, n);
}

static dlf_status cross_entropy_allocate(dlf_graph *g, graph_node *n)
{
    return dlf_tensor_init(&n->hit, g->device, n->dtype, n->ndim, n->shape);
}

static dlf_status cross_entropy_forward(dlf_graph *g, graph_node *n, dlf_graph_mode mode)
{
    return dlf_softmax_xent_forward(&n->value, mode == DLF_EVALUATION ? &n->hit : NULL,
                                    &graph_input_of(g, n, 0)->value,
                                    &graph_input_of(g, n, 1)->value);
}

static dlf_status cross_entropy_backward(dlf_graph *g, graph_node *n, const graph_backward *call)
{
    return dlf_softmax_xent_backward(call->dx[0], &graph_input_of(g, n, 0)->value,
                                     &graph_input_of(g, n, 1)->value, n->scale);
}

static unsigned both_inputs(const dlf_graph *g, const graph_node *n)
{
    (void)g, (void)n;
    return 3;
}

static double cross_entropy_flops(const dlf_graph *g, const graph_node *n)
{
    return 3.0 * (double)graph_elements(graph_input(g, n, 0)); /* maximum, exponential, sum */
}

const dlf_graph_op graph_op_cross_entropy = {
    .name = "cross_entropy",
    .shape = cross_entropy_shape,
    .allocate = cross_entropy_allocate,
    .forward = cross_entropy_forward,
    .backward = cross_entropy_backward,
    .saves = both_inputs,
    .constant = 2,
    .is_loss = true,
    .flops = cross_entropy_flops,
};

dlf_node dlf_cross_entropy(dlf_graph *g, const char *name, dlf_node logits, dlf_node labels)
{
    return graph_add(g, &graph_op_cross_entropy, name, (graph_attributes){0}, 2,
                     (dlf_node[]){logits, labels}, 0);
}

/* ---- elementwise losses, summed over a row ---- */

static dlf_status row_loss_shape(dlf_graph *g, graph_node *n)
{
    const graph_node *x = graph_input(g, n, 0), *t = graph_input(g, n, 1);
    DLF_TRY(graph_expect_axes(g, n, 0, 3));
    DLF_TRY(graph_expect_axes(g, n, 1, 3));
    if (t->shape[1] != x->shape[1] || t->shape[2] != x->shape[2])
        return graph_refuse(g, n, "x and target must have the same rows and columns");
    return rows_of_input(g, n);
}

static dlf_status row_loss_forward(dlf_graph *g, graph_node *n, dlf_graph_mode mode)
{
    (void)mode;
    return dlf_loss_forward(&n->value, &graph_input_of(g, n, 0)->value,
                            &graph_input_of(g, n, 1)->value, n->attr.loss);
}

static dlf_status row_loss_backward(dlf_graph *g, graph_node *n, const graph_backward *call)
{
    return dlf_loss_backward(call->dx[0], &graph_input_of(g, n, 0)->value,
                             &graph_input_of(g, n, 1)->value, n->attr.loss, n->scale);
}

static double row_loss_flops(const dlf_graph *g, const graph_node *n)
{
    return 3.0 * (double)graph_elements(graph_input(g, n, 0));
}

const dlf_graph_op graph_op_row_loss = {
    .name = "row_loss",
    .shape = row_loss_shape,
    .forward = row_loss_forward,
    .backward = row_loss_backward,
    .saves = both_inputs,
    .constant = 2,
    .is_loss = true,
    .flops = row_loss_flops,
};

dlf_node dlf_row_loss(dlf_graph *g, const char *name, dlf_node x, dlf_node target, dlf_loss loss)
{
    return graph_add(g, &graph_op_row_loss, name, (graph_attributes){.loss = loss}, 2,
                     (dlf_node[]){x, target}, 0);
}
