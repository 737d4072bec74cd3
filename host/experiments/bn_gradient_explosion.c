/* SPDX-License-Identifier: MIT
 * bn_gradient_explosion.c -- Q25: in a plain network with batch norm the gradient explodes, at a
 * rate that no initial weight scale changes (Yang et al. 2019).
 *
 * Claim   |g|^2 grows by E phi'^2 / Var phi per layer: pi/(pi-1) = 1.467 for ReLU; (B-2)/(B-3) for
 *         linear units, from the batch statistics alone. The gradients of two samples lose half of
 *         their correlation in every layer.
 * Control Layer norm with ReLU, and no norm at all: factor 1. Weight scales over a factor of 16. */
#include "bn_gradient_explosion.h"

static const dlf_param params[] = {
    DLF_INT_PARAM("width", 384, 512, 4, 4096, "units", "随机网络的宽度",
                  "width of the random networks"),
    DLF_INT_PARAM("depth", 24, 32, 4, 200, "layers", "随机网络的层数",
                  "layers of the random networks"),
    DLF_INT_PARAM("largest_batch", 128, 256, 8, 1024, "rows", "最大的批大小", "largest batch"),
    DLF_INT_PARAM("shatter_batch", 128, 128, 4, 512, "rows", "梯度相关测量的批大小",
                  "batch of the correlation curves"),
    DLF_INT_PARAM("nets", 1, 4, 1, 1000, "networks", "每个种子的随机网络数",
                  "random networks per seed"),
    {.name = NULL},
};

static dlf_status run_bn_gradient_explosion(dlf_run *run)
{
    DLF_TRY(dlf_bn_rates(run, 0.0, 0.85));
    return dlf_bn_shattering(run, 0.85, 1.0);
}

const dlf_experiment dlf_experiment_bn_gradient_explosion = {
    .slug = "bn-gradient-explosion",
    .questions = "Q25",
    .title = {"在深度神经网络中使用Batch-Norm会有什么问题吗？梯度爆炸",
              "What problems can Batch Norm cause? Exploding gradients"},
    .claim = {"没有跳转的批归一化网络，梯度逐层按固定倍数爆炸，与权重的大小无关",
              "without skips, batch norm makes the gradient explode by a fixed factor per layer, "
              "whatever the scale of the weights"},
    .quick_seeds = 5,
    .full_seeds = 12,
    .params = params,
    .run = run_bn_gradient_explosion,
};
