/* SPDX-License-Identifier: MIT
 * dropout_net.c -- the classifier of Q31: dropout of hidden units, DropConnect of their weights. */
#include <stdio.h>

#include "dropout.h"

/* f(x w^T + b), w with DropConnect. */
static dlf_node connect(dlf_graph *g, const char *name, dlf_node x, int64_t inputs, int64_t units,
                        dlf_activation f, dlf_init init, dlf_node rate)
{
    char text[64];
    const int64_t P = dlf_graph_members(g), w_shape[] = {P, units, inputs}, b_shape[] = {P, units};
    snprintf(text, sizeof text, "%s.w", name);
    const dlf_node w = dlf_parameter(g, text, 3, w_shape, init);
    snprintf(text, sizeof text, "%s.connect", name);
    const dlf_node kept = dlf_drop(g, text, w, rate, true);
    snprintf(text, sizeof text, "%s.xw", name);
    const dlf_node product = dlf_matmul(g, text, x, false, kept, true, 1.0);
    snprintf(text, sizeof text, "%s.b", name);
    const dlf_node b = dlf_parameter(g, text, 2, b_shape, dlf_init_constant(0.0));
    if (f.kind == DLF_LINEAR) return dlf_bias(g, name, product, b);
    snprintf(text, sizeof text, "%s.z", name);
    return dlf_activate(g, name, dlf_bias(g, text, product, b), f);
}

static dlf_status build(dlf_graph *g, const dlf_dropout_net *s)
{
    char name[32];
    const int64_t owners = s->shared ? 1 : s->members;
    dlf_node h = dlf_input(g, "x", 3, (int64_t[]){owners, s->batch, s->inputs});
    const dlf_node label = dlf_input_int(g, "label", 2, (int64_t[]){owners, s->batch});
    const dlf_node unit = dlf_hyper(g, "rate.unit", s->unit);
    const dlf_node weight = s->weight ? dlf_hyper(g, "rate.weight", s->weight) : (dlf_node){0};
    for (int l = 1; l <= s->depth + 1; l++) {
        const bool last = l > s->depth;
        const dlf_activation f = dlf_activation_of(last ? DLF_LINEAR : DLF_RELU);
        const dlf_init init = last ? dlf_lecun() : dlf_he();
        const int64_t units = last ? s->classes : s->width;
        if (last)
            snprintf(name, sizeof name, "logits");
        else
            snprintf(name, sizeof name, "h%d", l);
        h = l > 1 && s->weight ? connect(g, name, h, s->width, units, f, init, weight)
                               : dlf_dense(g, name, h, units, f, init);
        snprintf(name, sizeof name, "h%d.drop", l);
        if (!last) h = dlf_drop(g, name, h, unit, true);
    }
    dlf_want_value(g, h);
    dlf_graph_minimise(g, dlf_cross_entropy(g, "loss", h, label), 1.0 / s->batch);
    return dlf_graph_compile(g);
}

dlf_status dlf_dropout_net_new(dlf_graph **out, dlf_device *device, const dlf_dropout_net *net)
{
    DLF_TRY(dlf_graph_new(out, device, net->members));
    const dlf_status status = build(*out, net);
    if (status == DLF_OK) return DLF_OK;
    dlf_graph_free(*out);
    *out = NULL;
    return status;
}
