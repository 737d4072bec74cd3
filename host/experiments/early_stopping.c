/* SPDX-License-Identifier: MIT
 * early_stopping.c -- Q10: what is early stopping?
 *
 * Claim   Stopping gradient descent at time t regularises like ridge with lambda = 1/t: at
 * most 1.69 times its risk along the whole path. On real data it pays where there is something
 * wrong to be learnt. Control data without noise, digits with right labels: longer training does
 * not hurt. */
#include "early_stopping.h"

#include "digits_nets.h"

static const dlf_param params[] = {
    DLF_INT_PARAM("n", 100, 100, 8, 2000, "rows", "最小二乘的样本数", "rows of the least squares"),
    DLF_INT_PARAM("p", 60, 60, 2, 500, "weights", "最小二乘的权重数",
                  "weights of the least squares"),
    DLF_INT_PARAM("copies", 60, 400, 1, 100000, "draws", "每个设计矩阵的模拟次数",
                  "simulated draws per design"),
    DLF_INT_PARAM("descent_steps", 600, 3000, 4, 1000000, "steps", "最小二乘的梯度下降步数",
                  "steps of gradient descent on the least squares"),
    DLF_REAL_PARAM("label_noise", 0.4, 0.4, 0.0, 1.0, "1", "训练与验证标签出错的比例",
                   "share of training and validation labels that are wrong"),
    DLF_INT_PARAM("width", 64, 128, 1, 4096, "units", "手写数字网络的隐藏层宽度",
                  "hidden width of the digits networks"),
    DLF_INT_PARAM("steps", 1600, 6000, 10, 1000000, "steps", "手写数字网络的训练步数",
                  "training steps of the digits networks"),
    {.name = NULL},
};

static dlf_status run_early_stopping(dlf_run *run)
{
    DLF_TRY(dlf_early_paths(run, 0.0, 0.25));
    return dlf_early_digits(run, 0.25, 1.0);
}

static dlf_status network(dlf_graph **out, dlf_device *device)
{
    return dlf_digits_network(out, device, DLF_RELU, 1, 64);
}

const dlf_experiment dlf_experiment_early_stopping = {
    .slug = "early-stopping",
    .questions = "Q10",
    .title = {"什么是早停策略？", "What is early stopping?"},
    .claim =
        {"在时刻 t 停下的梯度下降等效于 λ = 1/t 的岭回归：整条路径上风险至多是它的 1.69 倍",
         "gradient descent stopped at time t acts as ridge with λ = 1/t: at most 1.69 times its "
         "risk along the whole path"},
    .quick_seeds = 6,
    .full_seeds = 16,
    .params = params,
    .network = network,
    .run = run_early_stopping,
};
