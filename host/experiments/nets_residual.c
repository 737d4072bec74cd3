/* SPDX-License-Identifier: MIT
 * nets_residual.c -- batch norm after every convolution, skips and separable convolutions: ResNet,
 * DenseNet, MobileNet. Convolutions have no bias: the norm's shift is one. */
#include "nets.h"

static void conv_norm(net *n, int channels, int kernel, int stride, int groups)
{
    CONV(n, channels, kernel, .stride = stride, .pad = kernel / 2, .groups = groups,
         .no_bias = true);
    NORM(n);
}

/* ---- ResNet: He et al. 2016, table 1
 * --------------------------------------------------------------
 *
 * Shortcuts that change the shape are 1x1 convolutions (option B). The bottleneck's stride sits in
 * its first 1x1 in the paper ("v1"), in its 3x3 in torchvision ("v1.5"). */
typedef struct residual {
    bool bottleneck, stride_in_1x1;
} residual;

static void residual_block(net *n, residual r, int width, int stride, bool project)
{
    int skip = net_here(n);
    const int out = r.bottleneck ? 4 * width : width;
    if (r.bottleneck) {
        conv_norm(n, width, 1, r.stride_in_1x1 ? stride : 1, 1);
        conv_norm(n, width, 3, r.stride_in_1x1 ? 1 : stride, 1);
        conv_norm(n, out, 1, 1, 1);
    } else {
        conv_norm(n, width, 3, stride, 1);
        conv_norm(n, out, 3, 1, 1);
    }
    const int branch = net_here(n);
    net_from(n, skip);
    if (project) conv_norm(n, out, 1, stride, 1);
    net_sum(n, branch);
}

void net_resnet(net *n, int layers)
{
    static const struct {
        int layers, blocks[4];
    } table[] = {{18, {2, 2, 2, 2}},
                 {34, {3, 4, 6, 3}},
                 {50, {3, 4, 6, 3}},
                 {101, {3, 4, 23, 3}},
                 {152, {3, 8, 36, 3}}};
    const residual r = {layers % NET_STRIDE_IN_1X1 >= 50, layers >= NET_STRIDE_IN_1X1};
    int row = 0;
    while (table[row].layers != layers % NET_STRIDE_IN_1X1) row++;
    conv_norm(n, 64, 7, 2, 1);
    POOL(n, 3, 2, .pad = 1);
    for (int stage = 0; stage < 4; stage++)
        for (int i = 0; i < table[row].blocks[stage]; i++)
            residual_block(n, r, 64 << stage, i == 0 && stage > 0 ? 2 : 1,
                           i == 0 && (stage > 0 || r.bottleneck));
    GLOBAL_POOL(n);
    DENSE(n, 1000);
}

/* ---- DenseNet-121: Huang et al. 2017, growth 32; norm before convolution ---- */

static void norm_conv(net *n, int channels, int kernel)
{
    NORM(n);
    CONV(n, channels, kernel, .pad = kernel / 2, .no_bias = true);
}

void net_densenet121(net *n, int variant)
{
    (void)variant;
    enum { GROWTH = 32 };
    static const int layers[4] = {6, 12, 24, 16};
    int channels = 2 * GROWTH;
    conv_norm(n, channels, 7, 2, 1);
    POOL(n, 3, 2, .pad = 1);
    for (int block = 0; block < 4; block++) {
        for (int i = 0; i < layers[block]; i++) {
            const int x = net_here(n);
            norm_conv(n, 4 * GROWTH, 1);
            norm_conv(n, GROWTH, 3);
            net_concat(n, x);
        }
        channels += layers[block] * GROWTH;
        if (block == 3) break;
        channels /= 2;
        norm_conv(n, channels, 1); /* transition */
        POOL(n, 2, 2, .average = true);
    }
    NORM(n);
    GLOBAL_POOL(n);
    DENSE(n, 1000);
}

/* ---- MobileNet: depthwise 3x3, then 1x1 ---- */

/* Howard et al. 2017, table 1. */
void net_mobilenet_v1(net *n, int variant)
{
    (void)variant;
    static const struct {
        int out, stride;
    } pairs[] = {{64, 1},  {128, 2}, {128, 1}, {256, 2}, {256, 1},  {512, 2}, {512, 1},
                 {512, 1}, {512, 1}, {512, 1}, {512, 1}, {1024, 2}, {1024, 1}};
    int channels = 32;
    conv_norm(n, channels, 3, 2, 1);
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        conv_norm(n, channels, 3, pairs[i].stride, channels);
        conv_norm(n, channels = pairs[i].out, 1, 1, 1);
    }
    GLOBAL_POOL(n);
    DENSE(n, 1000);
}

/* Sandler et al. 2018, table 2: expand by t, depthwise, project; a sum where the shape allows. */
void net_mobilenet_v2(net *n, int variant)
{
    (void)variant;
    static const struct {
        int expand, out, times, stride;
    } stages[] = {{1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
                  {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};
    int channels = 32;
    conv_norm(n, channels, 3, 2, 1);
    for (size_t s = 0; s < sizeof stages / sizeof stages[0]; s++)
        for (int i = 0; i < stages[s].times; i++) {
            const int x = net_here(n), wide = channels * stages[s].expand;
            const int stride = i ? 1 : stages[s].stride;
            if (stages[s].expand > 1) conv_norm(n, wide, 1, 1, 1);
            conv_norm(n, wide, 3, stride, wide);
            conv_norm(n, stages[s].out, 1, 1, 1);
            if (i) net_sum(n, x);
            channels = stages[s].out;
        }
    conv_norm(n, 1280, 1, 1, 1);
    GLOBAL_POOL(n);
    DENSE(n, 1000);
}
