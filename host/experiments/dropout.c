/* SPDX-License-Identifier: MIT
 * dropout.c -- Q31: what does dropout do to the training of a neural network?
 *
 * Claim   Dropout is multiplicative noise of mean one. In a linear model it is a weighted L2
 * penalty, in a softmax layer the geometric mean of all sub-networks, in a deep random network the
 * end of criticality; in practice it helps where a network can memorise. */
#include "dropout.h"

static const dlf_param params[] = {
    DLF_INT_PARAM("masks", 2000, 20000, 10, 1000000, "draws", "每个种子的随机掩码数",
                  "random masks per seed"),
    DLF_INT_PARAM("linear_steps", 2400, 20000, 8, 1000000, "steps", "最小二乘参与平均的训练步数",
                  "steps of the least squares that are averaged"),
    DLF_INT_PARAM("copies", 4, 16, 1, 1000, "fits", "每个种子的最小二乘训练次数",
                  "least-squares trainings per seed"),
    DLF_INT_PARAM("width", 300, 1000, 8, 8192, "units", "随机网络的宽度",
                  "width of the random networks"),
    DLF_INT_PARAM("depth", 60, 100, 4, 1000, "layers", "随机网络的深度",
                  "depth of the random networks"),
    DLF_INT_PARAM("rows", 400, 400, 8, 400, "rows", "手写数字的训练样本数",
                  "training rows of the digits networks"),
    DLF_INT_PARAM("digits_width", 64, 128, 1, 4096, "units", "手写数字网络的隐藏层宽度",
                  "hidden width of the digits networks"),
    DLF_INT_PARAM("digits_steps", 600, 2000, 2, 1000000, "steps", "手写数字网络的训练步数",
                  "training steps of the digits networks"),
    DLF_REAL_PARAM("label_noise", 0.4, 0.4, 0.0, 1.0, "1", "标签出错的比例",
                   "share of training labels that are wrong"),
    {.name = NULL},
};

static dlf_status run_dropout(dlf_run *run)
{
    DLF_TRY(dlf_dropout_scaling(run, 0.0, 0.05));
    DLF_TRY(dlf_dropout_linear(run, 0.05, 0.2));
    DLF_TRY(dlf_dropout_logistic(run, 0.2, 0.25));
    DLF_TRY(dlf_dropout_meanfield(run, 0.25, 0.45));
    DLF_TRY(dlf_dropout_ensemble(run, 0.45, 0.5));
    return dlf_dropout_digits(run, 0.5, 1.0);
}

static dlf_status network(dlf_graph **out, dlf_device *device)
{
    static const double unit[] = {0.0, 0.5}, weight[] = {0.25, 0.0};
    const dlf_dropout_net net = {.members = 2,
                                 .batch = 4,
                                 .inputs = 64,
                                 .width = 32,
                                 .depth = 2,
                                 .classes = 10,
                                 .unit = unit,
                                 .weight = weight};
    return dlf_dropout_net_new(out, device, &net);
}

const dlf_experiment dlf_experiment_dropout = {
    .slug = "dropout",
    .questions = "Q31",
    .title = {"dropout 对神经网络训练有什么影响？",
              "What does dropout do to the training of a neural network?"},
    .claim =
        {"dropout 是均值为一的乘性噪声：线性模型中等于加权 L2，softmax 层中等于子网络的几何平均",
         "dropout is multiplicative noise of mean one: weighted L2 in a linear model, the "
         "geometric mean of all sub-networks in a softmax layer"},
    .quick_seeds = 5,
    .full_seeds = 16,
    .params = params,
    .network = network,
    .run = run_dropout,
};
