/* SPDX-License-Identifier: MIT
 * conv1x1.c -- Q15: what does a 1x1 convolution mean?
 *
 * Claim   It is one matrix product over the channels, the same dense layer at every pixel; it does
 *         not look at neighbours, and it buys cheap changes of the number of channels.
 * Control kernels of 3x3 and more, which do look at neighbours; a ReLU in between, without which a
 *         1x1 adds nothing; a bottleneck of one channel. */
#include "conv1x1.h"

#include <math.h>

#include "nets_graph.h"

double dlf_conv1x1_taps(int kernel, int side)
{
    const double p = (kernel - 1) / 2;
    return pow(kernel - p * (p + 1.0) / side, 2.0);
}

double dlf_conv1x1_permutation_law(int kernel, int side)
{
    return sqrt(2.0 * (1.0 - 1.0 / dlf_conv1x1_taps(kernel, side)));
}

double dlf_conv1x1_mac_ratio(int kernel, int channels, int reduce)
{
    const double k2 = (double)kernel * kernel, C = channels, r = reduce;
    return k2 * C * C / (2.0 * C * r + k2 * r * r);
}

static const dlf_param params[] = {
    DLF_INT_PARAM("side", 14, 28, 7, 112, "pixels", "图的边长", "side of the images"),
    DLF_INT_PARAM("channels", 64, 256, 1, 1024, "channels", "计时与核对所用的通道数",
                  "channels of the convolutions that are timed and compared"),
    DLF_INT_PARAM("images", 1, 16, 1, 256, "images", "计时所用的图数",
                  "images of the timed convolutions"),
    DLF_INT_PARAM("batch", 32, 64, 1, 4096, "images", "批大小", "images per batch"),
    DLF_INT_PARAM("digits_width", 24, 32, 4, 256, "channels", "手写数字网络的通道数",
                  "channels of the digits networks"),
    DLF_INT_PARAM("digits_steps", 160, 1000, 1, 1000000, "steps", "手写数字网络的训练步数",
                  "training steps of the digits networks"),
    DLF_INT_PARAM("rows", 500, 500, 1, 500, "images", "所用的手写数字测试图数",
                  "digits to test on"),
    {.name = NULL},
};

static dlf_status run_conv1x1(dlf_run *run)
{
    DLF_TRY(dlf_conv1x1_counts(run));
    DLF_TRY(dlf_conv1x1_identities(run, 0.0, 0.05));
    DLF_TRY(dlf_conv1x1_permutations(run, 0.05, 0.1));
    DLF_TRY(dlf_conv1x1_speed(run, 0.1, 0.2));
    return dlf_conv1x1_digits(run, 0.2, 1.0);
}

static dlf_status network(dlf_graph **out, dlf_device *device)
{
    net_totals sum;
    const net_shape shape = {2, 3, 1, 4, 4};
    net *n = net_new();
    if (!n) return dlf_fail(DLF_ERR_OOM, "conv1x1: out of memory");
    net_bottleneck(n, 4, 2, 4);
    dlf_status status = net_count(n, shape.c, shape.h, shape.w, &sum);
    if (status == DLF_OK) status = net_graph_new(out, device, n, &shape);
    net_free(n);
    return status;
}

const dlf_experiment dlf_experiment_conv1x1 = {
    .slug = "conv1x1",
    .questions = "Q15",
    .title = {"解释 1×1 卷积操作的意义？", "What does a 1×1 convolution mean?"},
    .claim =
        {"1×1 卷积是通道上的矩阵乘法，每个像素共用一个全连接层；它不看邻居，用很少的乘加改变通道数",
         "a 1×1 convolution is a matrix product over channels, one dense layer shared by all "
         "pixels; it sees no neighbours and changes the number of channels cheaply"},
    .quick_seeds = 5,
    .full_seeds = 12,
    .params = params,
    .run = run_conv1x1,
    .network = network,
};
