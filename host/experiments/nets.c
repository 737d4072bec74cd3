/* SPDX-License-Identifier: MIT
 * nets.c -- the counter of nets.h, and the table of networks with what was published of them. */
#include "nets.h"

#include <stdlib.h>
#include <string.h>

struct net {
    net_layer *layer;
    int n, room, at;
    int64_t inputs;
    bool failed; /* out of memory while building */
};

net *net_new(void)
{
    net *n = calloc(1, sizeof *n);
    if (n) n->at = -1;
    return n;
}

void net_free(net *n)
{
    if (!n) return;
    free(n->layer);
    free(n);
}

void net_add(net *n, net_layer layer)
{
    if (n->n == n->room) {
        const int room = n->room ? 2 * n->room : 64;
        net_layer *more = realloc(n->layer, (size_t)room * sizeof *more);
        if (!more) {
            n->failed = true;
            return;
        }
        n->layer = more;
        n->room = room;
    }
    layer.from = n->at;
    if (!layer.stride) layer.stride = 1;
    if (!layer.groups) layer.groups = 1;
    n->layer[n->n] = layer;
    n->at = n->n++;
}

int net_here(const net *n)
{
    return n->at;
}

void net_from(net *n, int layer)
{
    n->at = layer;
}

void net_sum(net *n, int other)
{
    net_add(n, (net_layer){.kind = NET_SUM, .with = other});
}

void net_sum_relu(net *n, int other)
{
    net_add(n, (net_layer){.kind = NET_SUM, .with = other, .relu = true});
}

void net_concat(net *n, int other)
{
    net_add(n, (net_layer){.kind = NET_CONCAT, .with = other});
}

int net_layers(const net *n)
{
    return n->n;
}

const net_layer *net_layer_at(const net *n, int layer)
{
    return &n->layer[layer];
}

int64_t net_inputs(const net *n)
{
    return n->inputs;
}

/* ---- the walk ------------------------------------------------------------------------------- */

static const char *const kinds[] = {
    [NET_CONV] = "convolution", [NET_NORM] = "norm",           [NET_POOL] = "pooling",
    [NET_GLOBAL_POOL] = "mean", [NET_DENSE] = "dense",         [NET_SUBSAMPLE] = "subsampling",
    [NET_SUM] = "sum",          [NET_CONCAT] = "concatenation"};

static dlf_status refuse(const net_layer *l, int index, const char *why)
{
    return dlf_fail(DLF_ERR_SHAPE, "layer %d (%s of %d, kernel %d, stride %d): %s", index,
                    kinds[l->kind], l->channels, l->kernel, l->stride, why);
}

/* Positions of a window along one axis; 0: it does not fit. */
static int positions(const net_layer *l, int size)
{
    const int room = size + 2 * l->pad - l->kernel;
    if (room < 0) return 0;
    const int n = (room + (l->ceil ? l->stride - 1 : 0)) / l->stride + 1;
    /* a window must start inside the input or its left margin */
    return l->ceil && (n - 1) * l->stride >= size + l->pad ? n - 1 : n;
}

static void count_conv(net_layer *l, const net_layer *x)
{
    const int64_t links =
        l->links ? l->links : (int64_t)l->channels * (x->c / l->groups); /* pairs of maps */
    const int64_t weights = links * l->kernel * l->kernel, biases = l->no_bias ? 0 : l->channels;
    const int64_t at = (int64_t)l->h * l->w;
    l->parameters = weights + biases;
    l->biases = biases;
    l->macs = weights * at;
    l->connections = l->parameters * at;
}

static void count_dense(net_layer *l, const net_layer *x)
{
    const int64_t inputs = (int64_t)x->c * x->h * x->w;
    l->c = l->channels;
    l->h = l->w = 1;
    l->macs = inputs * l->channels;
    l->biases = l->no_bias ? 0 : l->channels;
    l->connections = l->macs + l->biases;
    l->parameters = l->fixed ? 0 : l->connections;
}

static dlf_status count_window(net_layer *l, const net_layer *x, int index)
{
    const bool conv = l->kind == NET_CONV;
    if (conv && (x->c % l->groups || l->channels % l->groups))
        return refuse(l, index, "the groups do not divide the channels");
    l->h = positions(l, x->h);
    l->w = positions(l, x->w);
    l->c = conv ? l->channels : x->c;
    if (l->h < 1 || l->w < 1) return refuse(l, index, "larger than what it reads");
    if (conv) count_conv(l, x);
    if (l->kind == NET_SUBSAMPLE) {
        const int64_t at = (int64_t)l->h * l->w;
        l->parameters = 2 * (int64_t)l->c;
        l->connections = l->c * at * ((int64_t)l->kernel * l->kernel + 1);
    }
    return DLF_OK;
}

static dlf_status count_layer(net_layer *l, const net_layer *x, const net_layer *with, int index)
{
    l->c = x->c;
    l->h = x->h;
    l->w = x->w;
    l->parameters = l->biases = l->macs = l->statistics = l->connections = 0;
    switch (l->kind) {
    case NET_CONV:
    case NET_POOL:
    case NET_SUBSAMPLE: return count_window(l, x, index);
    case NET_DENSE: count_dense(l, x); break;
    case NET_NORM: l->parameters = l->statistics = 2 * (int64_t)x->c; break;
    case NET_GLOBAL_POOL: l->h = l->w = 1; break;
    case NET_SUM:
        if (with->c != x->c || with->h != x->h || with->w != x->w)
            return refuse(l, index, "what it adds has another shape");
        break;
    case NET_CONCAT:
        if (with->h != x->h || with->w != x->w)
            return refuse(l, index, "what it joins has another size");
        l->c += with->c;
        break;
    }
    return DLF_OK;
}

static void add_totals(net_totals *t, const net_layer *l)
{
    t->parameters += l->parameters;
    t->macs += l->macs;
    t->biases += l->biases;
    t->statistics += l->statistics;
    t->connections += l->connections;
    t->weighted += l->kind == NET_CONV || l->kind == NET_DENSE;
    if (l->kind == NET_NORM) t->norm_parameters += l->parameters;
    if (l->kind == NET_DENSE) t->dense_parameters += l->parameters;
    if (l->kind == NET_CONV && l->kernel == 1 && l->groups == 1) {
        t->pointwise_parameters += l->parameters;
        t->pointwise_macs += l->macs;
    }
}

dlf_status net_count(net *n, int c, int h, int w, net_totals *out)
{
    const net_layer input = {.c = c, .h = h, .w = w};
    *out = (net_totals){0};
    n->inputs = (int64_t)c * h * w;
    if (n->failed) return dlf_fail(DLF_ERR_OOM, "network: out of memory");
    for (int i = 0; i < n->n; i++) {
        net_layer *l = &n->layer[i];
        const bool two = l->kind == NET_SUM || l->kind == NET_CONCAT;
        const net_layer *x = l->from < 0 ? &input : &n->layer[l->from];
        const net_layer *with = !two ? NULL : l->with < 0 ? &input : &n->layer[l->with];
        DLF_TRY(count_layer(l, x, with, i));
        add_totals(out, l);
    }
    return DLF_OK;
}

/* ---- the networks --------------------------------------------------------------------------- */

#define TORCHVISION     "torchvision, num_params of the weights"
#define TORCHVISION_OPS "torchvision, _ops of the weights"
#define HE              "He et al. 2016, table 1"

const net_info net_infos[] = {
    {"lenet5_1998", "LeNet-5", "lenet", 1998, net_lenet5_1998, 0, 1, 32, 60000,
     "LeCun et al. 1998, section II.B: 60,000 trainable parameters", 0, 0, NULL},
    {"lenet5_dense", "LeNet-5 (C3 dense)", "lenet", 1998, net_lenet5_dense, 0, 1, 32, 61706,
     "closed form: 6(25+1) + 16(6 25+1) + 120(400+1) + 84(120+1) + 10(84+1)", 0, 0, NULL},
    {"alexnet_2012", "AlexNet (2 groups)", "alexnet", 2012, net_alexnet_2012, 0, 3, 227, 60965224,
     "Krizhevsky et al. 2012: 60 million; bvlc_alexnet to the digit", 0, 0, NULL},
    {"alexnet", "AlexNet (torchvision)", "alexnet", 2014, net_alexnet_torchvision, 0, 3, 224,
     61100840, TORCHVISION, 0.714, 1e-3, TORCHVISION_OPS},
    {"vgg16", "VGG-16", "vgg", 2014, net_vgg, 16, 3, 224, 138357544, TORCHVISION, 15.47, 1e-2,
     TORCHVISION_OPS},
    {"vgg19", "VGG-19", "vgg", 2014, net_vgg, 19, 3, 224, 143667240, TORCHVISION, 19.632, 1e-3,
     TORCHVISION_OPS},
    {"googlenet_paper", "GoogLeNet (paper)", "googlenet", 2014, net_googlenet, NET_GOOGLENET_PAPER,
     3, 224, 6998552, "bvlc_googlenet without the auxiliary classifiers", 1.58, 1e-2,
     "bvlc_googlenet"},
    {"googlenet", "GoogLeNet (torchvision)", "googlenet", 2014, net_googlenet,
     NET_GOOGLENET_TORCHVISION, 3, 224, 6624904, TORCHVISION, 1.498, 1e-3, TORCHVISION_OPS},
    {"resnet18", "ResNet-18", "resnet", 2015, net_resnet, 18, 3, 224, 11689512, TORCHVISION, 1.814,
     1e-3, TORCHVISION_OPS},
    {"resnet34", "ResNet-34", "resnet", 2015, net_resnet, 34, 3, 224, 21797672, TORCHVISION, 3.664,
     1e-3, TORCHVISION_OPS},
    {"resnet50", "ResNet-50 (v1.5)", "resnet", 2015, net_resnet, 50, 3, 224, 25557032, TORCHVISION,
     4.089, 1e-3, TORCHVISION_OPS},
    {"resnet50_v1", "ResNet-50 (v1)", "resnet", 2015, net_resnet, NET_STRIDE_IN_1X1 + 50, 3, 224,
     25557032, TORCHVISION " (the stride moves no weight)", 3.8, 0.1, HE},
    {"resnet101", "ResNet-101 (v1.5)", "resnet", 2015, net_resnet, 101, 3, 224, 44549160,
     TORCHVISION, 7.801, 1e-3, TORCHVISION_OPS},
    {"resnet101_v1", "ResNet-101 (v1)", "resnet", 2015, net_resnet, NET_STRIDE_IN_1X1 + 101, 3, 224,
     44549160, TORCHVISION " (the stride moves no weight)", 7.6, 0.1, HE},
    {"resnet152", "ResNet-152 (v1.5)", "resnet", 2015, net_resnet, 152, 3, 224, 60192808,
     TORCHVISION, 11.514, 1e-3, TORCHVISION_OPS},
    {"resnet152_v1", "ResNet-152 (v1)", "resnet", 2015, net_resnet, NET_STRIDE_IN_1X1 + 152, 3, 224,
     60192808, TORCHVISION " (the stride moves no weight)", 11.3, 0.1, HE},
    {"squeezenet", "SqueezeNet 1.0", "squeezenet", 2016, net_squeezenet, 0, 3, 224, 1248424,
     TORCHVISION, 0.819, 1e-3, TORCHVISION_OPS},
    {"densenet121", "DenseNet-121", "densenet", 2016, net_densenet121, 0, 3, 224, 7978856,
     TORCHVISION, 2.834, 1e-3, TORCHVISION_OPS},
    {"mobilenet_v1", "MobileNet-v1", "mobilenet", 2017, net_mobilenet_v1, 0, 3, 224, 4231976,
     "Keras, trainable parameters of MobileNet", 0.569, 1e-3, "Howard et al. 2017, table 4"},
    {"mobilenet_v2", "MobileNet-v2", "mobilenet", 2018, net_mobilenet_v2, 0, 3, 224, 3504872,
     TORCHVISION, 0.301, 1e-3, TORCHVISION_OPS},
};
const int n_net_infos = sizeof net_infos / sizeof net_infos[0];

const net_info *net_find(const char *id)
{
    for (int i = 0; i < n_net_infos; i++)
        if (strcmp(net_infos[i].id, id) == 0) return &net_infos[i];
    return NULL;
}

dlf_status net_build(const net_info *info, net **out, net_totals *totals)
{
    net *n = net_new();
    if (out) *out = NULL;
    if (!n) return dlf_fail(DLF_ERR_OOM, "%s: out of memory", info->name);
    info->build(n, info->variant);
    const dlf_status status = net_count(n, info->channels, info->side, info->side, totals);
    if (out && status == DLF_OK)
        *out = n;
    else
        net_free(n);
    return status;
}
