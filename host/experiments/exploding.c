/* SPDX-License-Identifier: MIT
 * exploding.c -- Q8: how do you tell that gradients explode, and what helps?
 *
 * Claim   chi_1 > 1 (or a recurrent spectral radius > 1) makes the gradient grow exponentially with
 *         depth (time); clipping bounds the step and keeps its direction. The document's symptoms
 *         (loss high, unstable, NaN; every gradient above 1.0) are tested one by one.
 * Control chi_1 = 1 and rho = 1 in the same figures; healthy networks in the audit. */
#include "exploding.h"
#include "digits_nets.h"

#include <math.h>

#include "gradient_arms.h"

static const dlf_param params[] = {
    DLF_ARM_PARAMS,
    DLF_INT_PARAM("time", 100, 100, 2, 10000, "steps", "循环网络展开的步数",
                  "unrolled steps of the recurrent networks"),
    DLF_INT_PARAM("starts", 40, 200, 1, 100000, "runs", "悬崖实验中每个种子的起点数",
                  "starting points per seed on the cliff"),
    DLF_INT_PARAM("steps", 200, 400, 10, 100000, "steps", "手写数字网络的训练步数",
                  "training steps of the digits networks"),
    {.name = NULL},
};

static const dlf_arm arms_default[] = {
    {"tanh_2p5", DLF_TANH, 2.5, 0.05, false},  {"tanh_4", DLF_TANH, 4.0, 0.05, false},
    {"relu_3", DLF_RELU, 3.0, 0.0, false},     {"relu_2", DLF_RELU, 2.0, 0.0, true},
    {"tanh_edge", DLF_TANH, -1.0, 0.05, true},
};
enum { N_DEFAULT = sizeof arms_default / sizeof arms_default[0] };

dlf_status dlf_identity_check(dlf_run *run, const char *id, dlf_text claim, double measured,
                              double bound, const char *source)
{
    return dlf_result_check(dlf_run_result(run), (dlf_check){.id = id,
                                                             .claim = claim,
                                                             .measured = measured,
                                                             .lo = NAN,
                                                             .hi = NAN,
                                                             .n = 0,
                                                             .expected = 0.0,
                                                             .tolerance = bound,
                                                             .relation = DLF_AT_MOST,
                                                             .source = source,
                                                             .self_check = true});
}

static dlf_status run_exploding(dlf_run *run)
{
    dlf_arm arms[N_DEFAULT];
    int n = 0;
    DLF_TRY(dlf_choose_arms(run, arms_default, N_DEFAULT, arms, &n));
    DLF_TRY(dlf_measure_arms(run, arms, n, 0.0, 0.15));
    DLF_TRY(dlf_gradient_figure(
        run, arms, NULL, n,
        (dlf_text){"χ₁ > 1 时梯度朝输入方向指数爆炸；χ₁ = 1 时不爆炸",
                   "Above χ₁ = 1 the gradient explodes exponentially towards the input; at χ₁ = 1 "
                   "it does not"}));
    DLF_TRY(dlf_exploding_rnn(run, 0.15, 0.2));
    DLF_TRY(dlf_exploding_lstm(run));
    DLF_TRY(dlf_exploding_cliff(run, 0.2, 0.4));
    return dlf_exploding_digits(run, 0.4, 1.0);
}

static dlf_status network(dlf_graph **out, dlf_device *device)
{
    return dlf_digits_network(out, device, DLF_TANH, 8, 64);
}

const dlf_experiment dlf_experiment_exploding = {
    .slug = "exploding",
    .questions = "Q8",
    .title = {"如何判断深度学习模型是否存在梯度爆炸问题？怎么确定？",
              "How do you tell that gradients explode in a deep model, and make sure?"},
    .claim = {"χ₁ > 1 或循环矩阵谱半径 ρ > 1 时梯度指数增长；裁剪限制步长而保持方向",
              "χ₁ > 1 or a recurrent spectral radius ρ > 1 makes gradients grow exponentially; "
              "clipping bounds the step and keeps its direction"},
    .quick_seeds = 8,
    .full_seeds = 32,
    .params = params,
    .run = run_exploding,
    .network = network,
};
