/* SPDX-License-Identifier: MIT
 * ops_dense.c -- matmul, bias, activation, and the sums and products of nodes. */
#include "graph/graph_internal.h"

static const graph_attributes no_attributes;

/* ---- matmul ---- */

static dlf_status matmul_shape(dlf_graph *g, graph_node *n)
{
    const graph_node *a = graph_input(g, n, 0), *b = graph_input(g, n, 1);
    const bool ta = n->attr.matmul.trans_a, tb = n->attr.matmul.trans_b;
    DLF_TRY(graph_expect_axes(g, n, 0, 3));
    DLF_TRY(graph_expect_axes(g, n, 1, 3));
    const int64_t inner = a->shape[ta ? 1 : 2], other = b->shape[tb ? 2 : 1];
    if (inner != other)
        return graph_refuse(g, n, "a has %lld %s but b has %lld %s", (long long)inner,
                            ta ? "rows" : "columns", (long long)other, tb ? "columns" : "rows");
    n->ndim = 3;
    n->shape[0] = g->members;
    n->shape[1] = a->shape[ta ? 2 : 1];
    n->shape[2] = b->shape[tb ? 1 : 2];
    return DLF_OK;
}

static dlf_status matmul_forward(dlf_graph *g, graph_node *n, dlf_graph_mode mode)
{
    (void)mode;
    return dlf_gemm(
        &n->value, &graph_input_of(g, n, 0)->value, &graph_input_of(g, n, 1)->value,
        (dlf_gemm_args){n->attr.matmul.trans_a, n->attr.matmul.trans_b, n->attr.matmul.alpha, 0.0});
}

/* c = alpha op(a) op(b):  d op(a) = alpha dc op(b)^T,  d op(b) = alpha op(a)^T dc. */
static dlf_status matmul_backward(dlf_graph *g, graph_node *n, const graph_backward *call)
{
    const dlf_tensor *a = &graph_input_of(g, n, 0)->value, *b = &graph_input_of(g, n, 1)->value;
    const bool ta = n->attr.matmul.trans_a, tb = n->attr.matmul.trans_b;
    const double alpha = n->attr.matmul.alpha;
    if (call->dx[0]) {
        const double beta = call->beta[0];
        DLF_TRY(ta ? dlf_gemm(call->dx[0], b, call->dy, (dlf_gemm_args){tb, true, alpha, beta})
                   : dlf_gemm(call->dx[0], call->dy, b, (dlf_gemm_args){false, !tb, alpha, beta}));
    }
    if (call->dx[1]) {
        const double beta = call->beta[1];
        DLF_TRY(tb ? dlf_gemm(call->dx[1], call->dy, a, (dlf_gemm_args){true, ta, alpha, beta})
                   : dlf_gemm(call->dx[1], a, call->dy, (dlf_gemm_args){!ta, false, alpha, beta}));
    }
    return DLF_OK;
}

static unsigned matmul_saves(const dlf_graph *g, const graph_node *n)
{
    const graph_node *a = graph_input(g, n, 0), *b = graph_input(g, n, 1);
    return (b->active ? 1u : 0u) | (a->active ? 2u : 0u);
}

static double matmul_flops(const dlf_graph *g, const graph_node *n)
{
    const graph_node *a = graph_input(g, n, 0);
    return 2.0 * (double)graph_elements(n) * (double)a->shape[n->attr.matmul.trans_a ? 1 : 2];
}

const dlf_graph_op graph_op_matmul = {
    .name = "matmul",
    .shape = matmul_shape,
    .forward = matmul_forward,
    .backward = matmul_backward,
    .saves = matmul_saves,
    .accumulates = 3,
    .flops = matmul_flops,
};

dlf_node dlf_matmul(dlf_graph *g, const char *name, dlf_node a, bool trans_a, dlf_node b,
                    bool trans_b, double alpha)
{
    return graph_add(g, &graph_op_matmul, name,
                     (graph_attributes){.matmul = {trans_a, trans_b, alpha}}, 2, (dlf_node[]){a, b},
                     0);
}

/* ---- bias ---- */

static dlf_status bias_shape(dlf_graph *g, graph_node *n)
{
    const graph_node *x = graph_input(g, n, 0), *b = graph_input(g, n, 1);
    DLF_TRY(graph_expect_axes(g, n, 0, 3));
    DLF_TRY(graph_expect_axes(g, n, 1, 2));
    if (x->shape[0] != g->members || b->shape[0] != g->members || x->shape[2] != b->shape[1])
        return graph_refuse(g, n, "x needs %d members, and as many columns as the bias has entries",
                            g->members);
    return graph_same_as(g, n, 0);
}

static dlf_status bias_forward(dlf_graph *g, graph_node *n, dlf_graph_mode mode)
{
    (void)mode;
    return dlf_bias_add(&n->value, &graph_input_of(g, n, 0)->value,
                        &graph_input_of(g, n, 1)->value);
}

/* dx += dy, where dx may be dy itself. */
static dlf_status pass_on(dlf_tensor *dx, const dlf_tensor *dy, double beta)
{
    if (!dx || dx->data == dy->data) return DLF_OK;
    return dlf_axpby(dx, dy, NULL, 1.0, beta);
}

static dlf_status bias_backward(dlf_graph *g, graph_node *n, const graph_backward *call)
{
    (void)g, (void)n;
    if (call->dx[1]) DLF_TRY(dlf_bias_grad(call->dx[1], call->dy, call->beta[1]));
    return pass_on(call->dx[0], call->dy, call->beta[0]);
}

const dlf_graph_op graph_op_bias = {
    .name = "bias",
    .shape = bias_shape,
    .forward = bias_forward,
    .backward = bias_backward,
    .accumulates = 3,
    .value_alias = 1,
    .gradient_alias = 1,
};

dlf_node dlf_bias(dlf_graph *g, const char *name, dlf_node x, dlf_node b)
{
    return graph_add(g, &graph_op_bias, name, no_attributes, 2, (dlf_node[]){x, b}, 0);
}

/* ---- activation ---- */

static dlf_status first_shape(dlf_graph *g, graph_node *n)
{
    return graph_same_as(g, n, 0);
}

static dlf_status activate_forward(dlf_graph *g, graph_node *n, dlf_graph_mode mode)
{
    (void)mode;
    return dlf_activation_forward(&n->value, &graph_input_of(g, n, 0)->value, n->attr.activation);
}

static dlf_status activate_backward(dlf_graph *g, graph_node *n, const graph_backward *call)
{
    const bool needs_x = dlf_activation_needs_x(n->attr.activation.kind);
    return dlf_activation_backward(call->dx[0], call->dy,
                                   needs_x ? &graph_input_of(g, n, 0)->value : NULL,
                                   needs_x ? NULL : &n->value, n->attr.activation);
}

static unsigned activate_saves(const dlf_graph *g, const graph_node *n)
{
    (void)g;
    return dlf_activation_needs_x(n->attr.activation.kind) ? 1u : (unsigned)SAVES_OUTPUT;
}

const dlf_graph_op graph_op_activate = {
    .name = "activation",
    .shape = first_shape,
    .forward = activate_forward,
    .backward = activate_backward,
    .saves = activate_saves,
    .value_alias = 1,
    .gradient_alias = 1,
};

dlf_node dlf_activate(dlf_graph *g, const char *name, dlf_node x, dlf_activation f)
{
    return graph_add(g, &graph_op_activate, name, (graph_attributes){.activation = f}, 1,
                     (dlf_node[]){x}, 0);
}

/* ---- sum, product, multiple ---- */

static dlf_status pair_shape(dlf_graph *g, graph_node *n)
{
    if (!graph_same_shape(graph_input(g, n, 0), graph_input(g, n, 1)))
        return graph_refuse(g, n, "the two must have one shape");
    return graph_same_as(g, n, 0);
}

static dlf_status add_forward(dlf_graph *g, graph_node *n, dlf_graph_mode mode)
{
    (void)mode;
    const dlf_tensor *a = &graph_input_of(g, n, 0)->value, *b = &graph_input_of(g, n, 1)->value;
    if (n->value.data == a->data) return dlf_axpby(&n->value, b, NULL, 1.0, 1.0);
    if (n->value.data != b->data) DLF_TRY(dlf_axpby(&n->value, b, NULL, 1.0, 0.0));
    return dlf_axpby(&n->value, a, NULL, 1.0, 1.0);
}

static dlf_status add_backward(dlf_graph *g, graph_node *n, const graph_backward *call)
{
    (void)g, (void)n;
    DLF_TRY(
        pass_on(call->dx[0], call->dy, call->beta[0])); /* in this order: both may be one node */
    return pass_on(call->dx[1], call->dy, call->beta[1]);
}

const dlf_graph_op graph_op_add = {
    .name = "add",
    .shape = pair_shape,
    .forward = add_forward,
    .backward = add_backward,
    .accumulates = 3,
    .value_alias = 3,
    .gradient_alias = 3,
};

dlf_node dlf_add(dlf_graph *g, const char *name, dlf_node a, dlf_node b)
{
    return graph_add(g, &graph_op_add, name, no_attributes, 2, (dlf_node[]){a, b}, 0);
}

static dlf_status product_forward(dlf_graph *g, graph_node *n, dlf_graph_mode mode)
{
    (void)mode;
    return dlf_multiply(&n->value, &graph_input_of(g, n, 0)->value, &graph_input_of(g, n, 1)->value,
                        0.0);
}

static dlf_status product_backward(dlf_graph *g, graph_node *n, const graph_backward *call)
{
    const dlf_tensor *a = &graph_input_of(g, n, 0)->value, *b = &graph_input_of(g, n, 1)->value;
    if (call->dx[0]) DLF_TRY(dlf_multiply(call->dx[0], call->dy, b, call->beta[0]));
    if (call->dx[1]) DLF_TRY(dlf_multiply(call->dx[1], call->dy, a, call->beta[1]));
    return DLF_OK;
}

static unsigned product_saves(const dlf_graph *g, const graph_node *n)
{
    return matmul_saves(g, n); /* each factor's gradient reads the other */
}

const dlf_graph_op graph_op_product = {
    .name = "product",
    .shape = pair_shape,
    .forward = product_forward,
    .backward = product_backward,
    .saves = product_saves,
    .accumulates = 3,
    .value_alias = 3,
};

dlf_node dlf_product(dlf_graph *g, const char *name, dlf_node a, dlf_node b)
{
    return graph_add(g, &graph_op_product, name, no_attributes, 2, (dlf_node[]){a, b}, 0);
}

static dlf_status scale_shape(dlf_graph *g, graph_node *n)
{
    const graph_node *s = graph_input(g, n, 1);
    if (s && (!s->hyper || graph_input(g, n, 0)->shape[0] != g->members))
        return graph_refuse(g, n, "the factor per member is a hyper, and x has %d members",
                            g->members);
    return graph_same_as(g, n, 0);
}

static const dlf_tensor *factors(dlf_graph *g, graph_node *n)
{
    return n->input[1] ? &graph_input_of(g, n, 1)->value : NULL;
}

static dlf_status scale_forward(dlf_graph *g, graph_node *n, dlf_graph_mode mode)
{
    (void)mode;
    return dlf_axpby(&n->value, &graph_input_of(g, n, 0)->value, factors(g, n), n->attr.alpha, 0.0);
}

static dlf_status scale_backward(dlf_graph *g, graph_node *n, const graph_backward *call)
{
    return dlf_axpby(call->dx[0], call->dy, factors(g, n), n->attr.alpha, call->beta[0]);
}

const dlf_graph_op graph_op_scale = {
    .name = "scale",
    .shape = scale_shape,
    .forward = scale_forward,
    .backward = scale_backward,
    .accumulates = 1,
    .value_alias = 1,
    .gradient_alias = 1,
};

dlf_node dlf_scale(dlf_graph *g, const char *name, dlf_node x, dlf_node s, double alpha)
{
    return graph_add(g, &graph_op_scale, name, (graph_attributes){.alpha = alpha}, 2,
                     (dlf_node[]){x, s}, 2);
}
