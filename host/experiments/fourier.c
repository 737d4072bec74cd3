/* SPDX-License-Identifier: MIT
 * fourier.c -- Q37: what is the Fourier transform good for in deep learning?
 *
 * Claim   It turns convolutions into products, so that large kernels cost no more than small ones;
 * it diagonalises convolution layers, so that their singular values are seen; and it diagonalises
 * learning: every frequency has a rate of its own, a Fourier coefficient of the network's kernel.
 * Control a transform without zero padding; the kernel's norm as a matrix; a network without
 * biases, for which odd frequencies do not exist. */
#include "fourier.h"

static const dlf_param params[] = {
    DLF_INT_PARAM("side", 192, 192, 9, 2048, "pixels", "图像的边长", "side of the image"),
    DLF_INT_PARAM("width", 2048, 8192, 8, 1000000, "units", "网络的宽度", "units of the networks"),
    DLF_INT_PARAM("steps", 600, 1200, 2, 1000000, "steps", "训练步数", "training steps"),
    {.name = NULL},
};

static dlf_status run_fourier(dlf_run *run)
{
    DLF_TRY(dlf_fourier_convolution(run, 0.0, 0.3));
    DLF_TRY(dlf_fourier_spectrum(run, 0.3, 0.35));
    return dlf_fourier_learning(run, 0.35, 1.0);
}

static dlf_status network(dlf_graph **out, dlf_device *device)
{
    return dlf_fourier_network(
        out, device,
        &(dlf_fourier_net){.members = 2, .n = 4, .features = 1, .width = 8, .bias = true});
}

const dlf_experiment dlf_experiment_fourier = {
    .slug = "fourier",
    .questions = "Q37",
    .title = {"傅里叶变换在深度学习中有什么运用？",
              "What is the Fourier transform good for in deep learning?"},
    .claim = {"它把卷积变成乘积，把卷积层对角化，也把学习过程对角化：每个频率各有自己的学习速率，"
              "就是网络核函数的傅里叶系数",
              "it turns convolutions into products, diagonalises convolution layers, and "
              "diagonalises learning: every frequency has its own rate, a Fourier coefficient of "
              "the network's kernel"},
    .quick_seeds = 5,
    .full_seeds = 10,
    .params = params,
    .network = network,
    .run = run_fourier,
};
