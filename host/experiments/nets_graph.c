/* SPDX-License-Identifier: MIT
 * nets_graph.c -- a list of layers as a graph that can be trained. */
#include <stdio.h>
#include <stdlib.h>

#include "nets.h"
#include "nets_graph.h"

typedef struct builder {
    dlf_graph *g;
    const net *n;
    int members, batch;
    dlf_node input, *node; /* (P,B,C,H,W), or (P,B,N) behind a dense layer */
} builder;

static dlf_node at(const builder *b, int layer)
{
    return layer < 0 ? b->input : b->node[layer];
}

static dlf_node flat(builder *b, dlf_node x, int64_t columns)
{
    return dlf_view(b->g, NULL, x, 3, (int64_t[]){b->members, b->batch, columns});
}

static int64_t columns_of(const net_layer *l)
{
    return (int64_t)l->c * l->h * l->w;
}

static dlf_node pooled(builder *b, dlf_node x, int height, int width, int kernel,
                       const net_layer *l)
{
    const bool average = l->kind == NET_GLOBAL_POOL || l->average;
    const dlf_pool pool = {.kind = average ? DLF_POOL_AVERAGE : DLF_POOL_MAX,
                           .layout = DLF_NCHW,
                           .kernel = {kernel ? kernel : height, kernel ? kernel : width},
                           .stride = {l->stride, l->stride},
                           .pad = {l->pad, l->pad}};
    return dlf_pooling(b->g, NULL, x, pool);
}

/* Channels side by side: with one image a row, planes are columns. */
static dlf_node joined(builder *b, dlf_node x, dlf_node with, const net_layer *l)
{
    const int64_t all = columns_of(l),
                  second = (int64_t)net_layer_at(b->n, l->from)->c * l->h * l->w;
    const dlf_node z = dlf_concat(b->g, NULL, flat(b, with, all - second), flat(b, x, second));
    return dlf_view(b->g, NULL, z, 5, (int64_t[]){b->members, b->batch, l->c, l->h, l->w});
}

static dlf_node layer(builder *b, const char *name, const net_layer *l)
{
    const dlf_activation f = dlf_activation_of(l->relu ? DLF_RELU : DLF_LINEAR);
    const dlf_node x = at(b, l->from);
    const net_layer *reads = l->from < 0 ? NULL : net_layer_at(b->n, l->from);
    const dlf_init zero = dlf_init_constant(0.0);
    const dlf_norm norm = {.kind = DLF_BATCH_NORM, .eps = 1e-5, .momentum = 0.1, .activation = f};
    dlf_conv conv = dlf_conv_of(DLF_NCHW, l->kernel, l->stride, l->pad);
    conv.groups = l->groups;
    switch (l->kind) {
    case NET_CONV:
        return dlf_conv_layer_init(b->g, name, x, l->channels, conv, f, dlf_he(),
                                   l->no_bias ? NULL : &zero);
    case NET_DENSE:
        return dlf_dense_init(b->g, name, flat(b, x, reads ? columns_of(reads) : net_inputs(b->n)),
                              l->channels, f, l->relu ? dlf_he() : dlf_lecun(),
                              l->no_bias ? NULL : &zero);
    case NET_NORM: return dlf_norm_layer(b->g, name, x, norm);
    case NET_POOL: return pooled(b, x, 0, 0, l->kernel, l);
    case NET_GLOBAL_POOL: return pooled(b, x, reads->h, reads->w, 0, l);
    case NET_SUM: {
        const dlf_node sum = dlf_add(b->g, NULL, at(b, l->with), x);
        return l->relu ? dlf_activate(b->g, NULL, sum, f) : sum;
    }
    case NET_CONCAT: return joined(b, x, at(b, l->with), l);
    case NET_SUBSAMPLE: break; /* LeNet-5's of 1998 is counted, not trained */
    }
    return (dlf_node){0};
}

dlf_status net_graph_new(dlf_graph **out, dlf_device *device, const net *n, const net_shape *s)
{
    const int layers = net_layers(n);
    dlf_status status;
    builder b = {.n = n, .members = s->members, .batch = s->batch};
    *out = NULL;
    b.node = malloc((size_t)layers * sizeof *b.node);
    if (!b.node) return dlf_fail(DLF_ERR_OOM, "network: out of memory");
    DLF_TRY_DONE(dlf_graph_new(&b.g, device, s->members));
    b.input = dlf_input(b.g, "x", 5, (int64_t[]){s->members, s->batch, s->c, s->h, s->w});
    const dlf_node label = dlf_input_int(b.g, "label", 2, (int64_t[]){s->members, s->batch});
    for (int i = 0; i < layers; i++) {
        char name[24];
        snprintf(name, sizeof name, "layer%d", i + 1);
        b.node[i] = layer(&b, i + 1 == layers ? "logits" : name, net_layer_at(n, i));
    }
    dlf_graph_minimise(b.g, dlf_cross_entropy(b.g, "loss", b.node[layers - 1], label),
                       1.0 / s->batch);
    DLF_TRY_DONE(dlf_graph_compile(b.g));
    *out = b.g;
    b.g = NULL;
done:
    dlf_graph_free(b.g);
    free(b.node);
    return status;
}
