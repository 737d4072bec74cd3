/* SPDX-License-Identifier: MIT
 * conv_equals_fc.c -- Q22: when is a convolution layer equal to a fully connected layer?
 *
 * Claim   It is one where the kernel is the input, on 1x1 inputs, and per pixel for 1x1 kernels;
 *         in general it is a dense layer with a sparse matrix of tied weights.
 * Control the same sparse matrix with untied weights, a full matrix: they do not move with the
 *         input; padding: then a network does not give at once what it gives window by window. */
#include "conv_equals_fc.h"

static const dlf_param params[] = {
    DLF_INT_PARAM(
        "channels", 16, 64, 1, 64, "channels", "输入通道数（输出为其两倍；滑窗网络第一层为其一半）",
        "input channels (twice as many out; half as many in the first layer of the sliding "
        "network)"),
    {.name = NULL},
};

static dlf_status run_conv_equals_fc(dlf_run *run)
{
    DLF_TRY(dlf_conv_fc_counts(run, 0.0));
    DLF_TRY(dlf_conv_fc_identities(run, 0.0, 0.4));
    DLF_TRY(dlf_conv_fc_shifts(run, 0.4, 0.8));
    return dlf_conv_fc_windows(run, 0.8, 1.0);
}

static dlf_status network(dlf_graph **out, dlf_device *device)
{
    const dlf_conv_fc_net spec = {2, 3, dlf_conv_fc_window(false), 2, false};
    return dlf_conv_fc_net_new(out, device, &spec, true);
}

const dlf_experiment dlf_experiment_conv_equals_fc = {
    .slug = "conv-equals-fc",
    .questions = "Q22",
    .title = {"卷积层什么时候与全连接层等价？",
              "When is a convolution layer equal to a fully connected layer?"},
    .claim =
        {"核等于输入、输入只有一个位置、或 1×1 "
         "核逐像素看时，卷积就是全连接；任意卷积是权重共用的稀疏全连接",
         "with a kernel as large as the input, on one position, or per pixel for 1×1 kernels a "
         "convolution is a dense layer; any other is a dense layer with a sparse, tied matrix"},
    .quick_seeds = 5,
    .full_seeds = 16,
    .params = params,
    .run = run_conv_equals_fc,
    .network = network,
};
