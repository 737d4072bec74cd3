/* SPDX-License-Identifier: MIT
 * nets_small.c -- networks small enough to train on two cores: one block of each architecture at
 * equal cost, LeNet-5 and a small ResNet for 28x28 images. */
#include <stdlib.h>

#include "nets_graph.h"

static void conv_norm(net *n, int channels, int kernel, int stride, int groups, bool relu)
{
    CONV(n, channels, kernel, .stride = stride, .pad = kernel / 2, .groups = groups,
         .no_bias = true);
    NORM(n, .relu = relu);
}

static void conv_norm_relu(net *n, int channels, int kernel)
{
    conv_norm(n, channels, kernel, 1, 1, true);
}

/* x + F(x), F two 3x3; a 1x1 where the shape changes. */
static void residual(net *n, int width, int stride, bool project)
{
    int skip = net_here(n);
    conv_norm(n, width, 3, stride, 1, true);
    conv_norm(n, width, 3, 1, 1, false);
    const int branch = net_here(n);
    net_from(n, skip);
    if (project) conv_norm(n, width, 1, stride, 1, false);
    net_sum_relu(n, branch);
}

static void join_branch(net *n, int *joined)
{
    if (*joined >= 0) net_concat(n, *joined);
    *joined = net_here(n);
}

/* GoogLeNet's proportions: a quarter 1x1, half 3x3, an eighth 5x5, the rest behind the pooling. */
static void inception(net *n, int width)
{
    const int quarter = width > 4 ? width / 4 : 1, eighth = width > 8 ? width / 8 : 1;
    const int rest = width - 3 * quarter - eighth, x = net_here(n);
    int joined = -1;
    conv_norm_relu(n, quarter, 1);
    join_branch(n, &joined);
    net_from(n, x);
    conv_norm_relu(n, quarter, 1);
    conv_norm_relu(n, 2 * quarter, 3);
    join_branch(n, &joined);
    net_from(n, x);
    conv_norm_relu(n, eighth, 1);
    conv_norm_relu(n, eighth, 5);
    join_branch(n, &joined);
    net_from(n, x);
    POOL(n, 3, 1, .pad = 1);
    conv_norm_relu(n, rest > 0 ? rest : 1, 1);
    join_branch(n, &joined);
}

static void dense(net *n, int width)
{
    for (int i = 0; i < 2; i++) {
        const int x = net_here(n);
        conv_norm_relu(n, (width + 1) / 2, 3);
        net_concat(n, x);
    }
    conv_norm_relu(n, width, 1);
}

static void depthwise(net *n, int width)
{
    for (int i = 0; i < 2; i++) {
        conv_norm(n, width, 3, 1, width, true);
        conv_norm_relu(n, width, 1);
    }
}

void net_of_blocks(net *n, net_block block, int width, int classes)
{
    conv_norm_relu(n, width, 3);
    POOL(n, 2, 2);
    for (int i = 0; i < 2; i++) {
        if (block == NET_BLOCK_PLAIN) {
            conv_norm_relu(n, width, 3);
            conv_norm_relu(n, width, 3);
        }
        if (block == NET_BLOCK_RESIDUAL) residual(n, width, 1, false);
        if (block == NET_BLOCK_INCEPTION) inception(n, width);
        if (block == NET_BLOCK_DENSE) dense(n, width);
        if (block == NET_BLOCK_DEPTHWISE) depthwise(n, width);
    }
    GLOBAL_POOL(n);
    DENSE(n, classes);
}

static dlf_status macs_of(int64_t *macs, net_block block, int width, int side, int classes)
{
    net_totals sum;
    net *n = net_new();
    if (!n) return dlf_fail(DLF_ERR_OOM, "network: out of memory");
    net_of_blocks(n, block, width, classes);
    const dlf_status status = net_count(n, 1, side, side, &sum);
    net_free(n);
    *macs = status == DLF_OK ? sum.macs : 0;
    return status;
}

dlf_status net_width_for(int *width, int64_t *step, net_block block, int64_t macs, int side,
                         int classes)
{
    int64_t least = INT64_MAX, now = 0, before = 0, after = 0;
    *width = NET_NARROWEST;
    for (int w = NET_NARROWEST; w <= NET_WIDEST; w++) {
        DLF_TRY(macs_of(&now, block, w, side, classes));
        const int64_t off = llabs(now - macs);
        if (off < least) *width = w;
        if (off < least) least = off;
    }
    DLF_TRY(macs_of(&now, block, *width, side, classes));
    DLF_TRY(macs_of(&before, block, *width - 1, side, classes));
    DLF_TRY(macs_of(&after, block, *width + 1, side, classes));
    *step = now - before > after - now ? now - before : after - now;
    return DLF_OK;
}

/* x + F(x), F one 3x3, or 1x1 to `reduce`, 3x3, 1x1 back. */
static void reduced(net *n, int width, int reduce)
{
    const int skip = net_here(n);
    if (reduce) conv_norm_relu(n, reduce, 1);
    if (reduce) conv_norm_relu(n, reduce, 3);
    conv_norm(n, width, reduce ? 1 : 3, 1, 1, false);
    net_sum_relu(n, skip);
}

void net_bottleneck(net *n, int width, int reduce, int classes)
{
    conv_norm_relu(n, width, 3);
    POOL(n, 2, 2);
    reduced(n, width, reduce);
    reduced(n, width, reduce);
    GLOBAL_POOL(n);
    DENSE(n, classes);
}

void net_lenet5_28(net *n, int classes)
{
    CONV(n, 6, 5, .pad = 2, .relu = true);
    POOL(n, 2, 2);
    CONV(n, 16, 5, .relu = true);
    POOL(n, 2, 2);
    DENSE(n, 120, .relu = true); /* C5: a convolution as large as its input is a dense layer */
    DENSE(n, 84, .relu = true);
    DENSE(n, classes);
}

void net_resnet_28(net *n, int classes)
{
    conv_norm(n, 8, 3, 2, 1, true);
    residual(n, 8, 1, false);
    residual(n, 16, 2, true);
    GLOBAL_POOL(n);
    DENSE(n, classes);
}

void net_linear(net *n, int classes)
{
    DENSE(n, classes);
}
