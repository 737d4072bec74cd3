/* SPDX-License-Identifier: MIT
 * ops_conv.c -- convolution with an optional bias: inputs x, w, b. */
#include "graph/graph_internal.h"

static int channel_axis(dlf_layout layout)
{
    return layout == DLF_NCHW ? 2 : 4;
}

static int row_axis(dlf_layout layout)
{
    return layout == DLF_NCHW ? 3 : 2;
}

/* w (P,K,C/G,R,S) or (P,K,R,S,C/G), b (P,K). */
static dlf_status check_parameters(dlf_graph *g, const graph_node *n)
{
    const graph_node *x = graph_input(g, n, 0), *w = graph_input(g, n, 1),
                     *b = graph_input(g, n, 2);
    const dlf_conv *conv = &n->attr.conv;
    const int64_t C = x->shape[channel_axis(conv->layout)], K = w->shape[1], G = conv->groups;
    const int row = row_axis(conv->layout);
    if (G < 1 || C % G || K % G)
        return graph_refuse(g, n, "%lld groups do not divide %lld and %lld channels", (long long)G,
                            (long long)C, (long long)K);
    if (w->shape[channel_axis(conv->layout)] != C / G || w->shape[row] != conv->kernel[0] ||
        w->shape[row + 1] != conv->kernel[1])
        return graph_refuse(g, n, "'%s' must be a %lldx%lld kernel of %lld channels, %s", w->name,
                            (long long)conv->kernel[0], (long long)conv->kernel[1],
                            (long long)(C / G),
                            conv->layout == DLF_NCHW ? "(P,K,C,R,S)" : "(P,K,R,S,C)");
    if (b && (b->ndim != 2 || b->shape[0] != g->members || b->shape[1] != K ||
              b->dtype != g->device->real))
        return graph_refuse(g, n, "the bias '%s' is (%d,%lld)", b->name, g->members, (long long)K);
    return DLF_OK;
}

static dlf_status conv_shape(dlf_graph *g, graph_node *n)
{
    const graph_node *x = graph_input(g, n, 0), *w = graph_input(g, n, 1);
    const dlf_conv *conv = &n->attr.conv;
    const int row = row_axis(conv->layout);
    DLF_TRY(graph_expect_axes(g, n, 0, 5));
    DLF_TRY(graph_expect_axes(g, n, 1, 5));
    DLF_TRY(check_parameters(g, n));
    n->ndim = 5;
    n->shape[0] = g->members;
    n->shape[1] = x->shape[1];
    n->shape[channel_axis(conv->layout)] = w->shape[1];
    for (int i = 0; i < 2; i++) {
        n->shape[row + i] = dlf_conv_positions(conv, i, x->shape[row + i]);
        if (n->shape[row + i] == 0)
            return graph_refuse(
                g, n, "kernel %lld, stride %lld, pad %lld, dilation %lld do not fit %lld positions",
                (long long)conv->kernel[i], (long long)conv->stride[i], (long long)conv->pad[i],
                (long long)conv->dilation[i], (long long)x->shape[row + i]);
    }
    return DLF_OK;
}

static dlf_status conv_forward(dlf_graph *g, graph_node *n, dlf_graph_mode mode)
{
    (void)mode;
    return dlf_conv_forward(&n->value, &graph_input_of(g, n, 0)->value,
                            &graph_input_of(g, n, 1)->value,
                            n->input[2] ? &graph_input_of(g, n, 2)->value : NULL, n->attr.conv);
}

static dlf_status conv_backward(dlf_graph *g, graph_node *n, const graph_backward *call)
{
    const dlf_tensor *x = &graph_input_of(g, n, 0)->value, *w = &graph_input_of(g, n, 1)->value;
    const dlf_conv conv = n->attr.conv;
    if (call->dx[0]) DLF_TRY(dlf_conv_data_grad(call->dx[0], call->dy, w, conv, call->beta[0]));
    if (call->dx[1]) DLF_TRY(dlf_conv_weight_grad(call->dx[1], x, call->dy, conv, call->beta[1]));
    if (!call->dx[2]) return DLF_OK;
    return dlf_conv_bias_grad(call->dx[2], call->dy, conv.layout, call->beta[2]);
}

static unsigned conv_saves(const dlf_graph *g, const graph_node *n)
{
    const graph_node *x = graph_input(g, n, 0), *w = graph_input(g, n, 1);
    return (w->active ? 1u : 0u) | (x->active ? 2u : 0u);
}

static double conv_flops(const dlf_graph *g, const graph_node *n)
{
    const graph_node *w = graph_input(g, n, 1);
    const int64_t taps = w->shape[2] * w->shape[3] * w->shape[4];
    return 2.0 * (double)graph_elements(n) * (double)taps;
}

const dlf_graph_op graph_op_conv = {
    .name = "convolution",
    .shape = conv_shape,
    .forward = conv_forward,
    .backward = conv_backward,
    .saves = conv_saves,
    .accumulates = 7,
    .flops = conv_flops,
};

dlf_node dlf_convolve_bias(dlf_graph *g, const char *name, dlf_node x, dlf_node w, dlf_node b,
                           dlf_conv conv)
{
    return graph_add(g, &graph_op_conv, name, (graph_attributes){.conv = conv}, 3,
                     (dlf_node[]){x, w, b}, 4);
}

dlf_node dlf_convolve(dlf_graph *g, const char *name, dlf_node x, dlf_node w, dlf_conv conv)
{
    return dlf_convolve_bias(g, name, x, w, (dlf_node){0}, conv);
}
