/* SPDX-License-Identifier: MIT
 * nets_inception.c -- branches side by side, joined by concatenation: GoogLeNet, SqueezeNet. */
#include "nets.h"

/* ---- GoogLeNet: Szegedy et al. 2015, table 1 --------------------------------------------------
 *
 * The paper's layers have biases and no norm. torchvision has batch norm after every convolution
 * instead of biases, and 3x3 where the paper has 5x5 (a slip that its weights share). Both leave
 * the auxiliary classifiers out: inference does not use them. */
typedef struct inception {
    int c1, reduce3, c3, reduce5, c5, pool;
} inception;

static void conv(net *n, int variant, int channels, int kernel, int stride)
{
    const bool norm = variant == NET_GOOGLENET_TORCHVISION;
    CONV(n, channels, kernel, .stride = stride, .pad = kernel / 2, .no_bias = norm);
    if (norm) NORM(n);
}

static void module(net *n, int variant, inception m)
{
    const int x = net_here(n);
    conv(n, variant, m.c1, 1, 1);
    int joined = net_here(n);

    net_from(n, x);
    conv(n, variant, m.reduce3, 1, 1);
    conv(n, variant, m.c3, 3, 1);
    net_concat(n, joined);
    joined = net_here(n);

    net_from(n, x);
    conv(n, variant, m.reduce5, 1, 1);
    conv(n, variant, m.c5, variant == NET_GOOGLENET_PAPER ? 5 : 3, 1);
    net_concat(n, joined);
    joined = net_here(n);

    net_from(n, x);
    POOL(n, 3, 1, .pad = 1);
    conv(n, variant, m.pool, 1, 1);
    net_concat(n, joined);
}

void net_googlenet(net *n, int variant)
{
    static const inception modules[] = {
        {64, 96, 128, 16, 32, 32},     {128, 128, 192, 32, 96, 64},  /* 3a 3b */
        {192, 96, 208, 16, 48, 64},    {160, 112, 224, 24, 64, 64},  /* 4a 4b */
        {128, 128, 256, 24, 64, 64},   {112, 144, 288, 32, 64, 64},  /* 4c 4d */
        {256, 160, 320, 32, 128, 128},                               /* 4e    */
        {256, 160, 320, 32, 128, 128}, {384, 192, 384, 48, 128, 128} /* 5a 5b */
    };
    conv(n, variant, 64, 7, 2);
    POOL(n, 3, 2, .ceil = true);
    conv(n, variant, 64, 1, 1);
    conv(n, variant, 192, 3, 1);
    POOL(n, 3, 2, .ceil = true);
    for (int i = 0; i < 9; i++) {
        module(n, variant, modules[i]);
        if (i == 1 || i == 6) POOL(n, 3, 2, .ceil = true);
    }
    GLOBAL_POOL(n);
    DENSE(n, 1000);
}

/* ---- SqueezeNet 1.0: Iandola et al. 2016 ---- */

static void fire(net *n, int squeeze, int expand)
{
    CONV(n, squeeze, 1);
    const int x = net_here(n);
    CONV(n, expand, 1);
    const int one = net_here(n);
    net_from(n, x);
    CONV(n, expand, 3, .pad = 1);
    net_concat(n, one);
}

void net_squeezenet(net *n, int variant)
{
    (void)variant;
    CONV(n, 96, 7, .stride = 2);
    POOL(n, 3, 2, .ceil = true);
    fire(n, 16, 64);
    fire(n, 16, 64);
    fire(n, 32, 128);
    POOL(n, 3, 2, .ceil = true);
    fire(n, 32, 128);
    fire(n, 48, 192);
    fire(n, 48, 192);
    fire(n, 64, 256);
    POOL(n, 3, 2, .ceil = true);
    fire(n, 64, 256);
    CONV(n, 1000, 1); /* the classes, per position; no dense layer */
    GLOBAL_POOL(n);
}
