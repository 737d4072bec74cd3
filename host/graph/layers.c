/* SPDX-License-Identifier: MIT
 * layers.c -- what most networks are made of: dense layers, convolutions and normalizations with
 * parameters. */
#include <stdio.h>

#include "graph/graph_internal.h"

/* "hidden" and ".w": the name of a part. Too long a name is refused when the node is made. */
static const char *part(char *text, const char *name, const char *suffix)
{
    snprintf(text, GRAPH_NAME + 8, "%s%s", name, suffix);
    return text;
}

dlf_node dlf_dense_init(dlf_graph *g, const char *name, dlf_node x, int64_t units, dlf_activation f,
                        dlf_init w, const dlf_init *b)
{
    char text[GRAPH_NAME + 8];
    const graph_node *input = graph_at(g, x);
    if (!input) return (dlf_node){0};
    const int64_t P = g->members;
    const bool last_is_bias = f.kind == DLF_LINEAR;
    const int64_t w_shape[] = {P, units, input->ndim == 3 ? input->shape[2] : 1};
    const int64_t b_shape[] = {P, units};
    const dlf_node weight = dlf_parameter(g, part(text, name, ".w"), 3, w_shape, w);
    const bool last_is_matmul = last_is_bias && !b;
    dlf_node y = dlf_matmul(g, last_is_matmul ? name : part(text, name, b ? ".xw" : ".z"), x, false,
                            weight, true, 1.0);
    if (b) {
        const dlf_node bias = dlf_parameter(g, part(text, name, ".b"), 2, b_shape, *b);
        y = dlf_bias(g, last_is_bias ? name : part(text, name, ".z"), y, bias);
    }
    return last_is_bias ? y : dlf_activate(g, name, y, f);
}

dlf_node dlf_dense(dlf_graph *g, const char *name, dlf_node x, int64_t units, dlf_activation f,
                   dlf_init init)
{
    const dlf_init zero = dlf_init_constant(0.0);
    return dlf_dense_init(g, name, x, units, f, init, &zero);
}

dlf_node dlf_conv_layer_init(dlf_graph *g, const char *name, dlf_node x, int64_t channels,
                             dlf_conv conv, dlf_activation f, dlf_init w, const dlf_init *b)
{
    char text[GRAPH_NAME + 8];
    const graph_node *input = graph_at(g, x);
    if (!input) return (dlf_node){0};
    const bool nchw = conv.layout == DLF_NCHW;
    const int64_t P = g->members, R = conv.kernel[0], S = conv.kernel[1];
    const int64_t C = input->ndim == 5 ? input->shape[nchw ? 2 : 4] : 1;
    /* Groups that do not divide C are refused by the convolution, with a message that says so. */
    const int64_t each = conv.groups >= 1 && conv.groups <= C ? C / conv.groups : 1;
    const int64_t nchw_w[] = {P, channels, each, R, S}, nhwc_w[] = {P, channels, R, S, each};
    const int64_t b_shape[] = {P, channels};
    w.receptive = R * S;
    const dlf_node weight = dlf_parameter(g, part(text, name, ".w"), 5, nchw ? nchw_w : nhwc_w, w);
    const dlf_node bias =
        b ? dlf_parameter(g, part(text, name, ".b"), 2, b_shape, *b) : (dlf_node){0};
    const bool last = f.kind == DLF_LINEAR;
    const dlf_node z =
        dlf_convolve_bias(g, last ? name : part(text, name, ".z"), x, weight, bias, conv);
    return last ? z : dlf_activate(g, name, z, f);
}

dlf_node dlf_conv_layer(dlf_graph *g, const char *name, dlf_node x, int64_t channels, dlf_conv conv,
                        dlf_activation f, dlf_init init)
{
    const dlf_init zero = dlf_init_constant(0.0);
    return dlf_conv_layer_init(g, name, x, channels, conv, f, init, &zero);
}

dlf_node dlf_norm_layer(dlf_graph *g, const char *name, dlf_node x, dlf_norm norm)
{
    char text[GRAPH_NAME + 8];
    const graph_node *input = graph_at(g, x);
    if (!input) return (dlf_node){0};
    const int axis = norm.layout == DLF_NHWC || input->ndim < 3 ? input->ndim - 1 : 2;
    const int64_t shape[] = {g->members, input->shape[axis]};
    const dlf_node gamma =
        dlf_parameter(g, part(text, name, ".gamma"), 2, shape, dlf_init_constant(1.0));
    const dlf_node beta =
        dlf_parameter(g, part(text, name, ".beta"), 2, shape, dlf_init_constant(0.0));
    return dlf_normalise(g, name, x, gamma, beta, (dlf_node){0}, norm);
}
