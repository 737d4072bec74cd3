/* SPDX-License-Identifier: MIT
 * vanishing.c -- Q7: how do you tell that gradients vanish?
 *
 * Claim   In a random network E|delta^l|^2 changes by chi_1 = sigma_w^2 E[f'(sqrt(q*) z)^2] per
 *         layer; the gradient vanishes if and only if chi_1 < 1. The symptoms that the document
 *         lists (slow loss, shrinking weights, zero weights) are tested one by one.
 * Control the critical arm (chi_1 = 1) in the same figure, healthy networks in the audit. */
#include "vanishing.h"
#include "digits_nets.h"

#include "gradient_arms.h"

static const dlf_param params[] = {
    DLF_ARM_PARAMS,
    DLF_INT_PARAM("digits_depth", 8, 8, 2, 64, "layers", "手写数字网络的隐藏层数",
                  "hidden layers of the digits networks"),
    DLF_INT_PARAM("digits_width", 64, 64, 8, 1024, "units", "手写数字网络的宽度",
                  "width of the digits networks"),
    DLF_INT_PARAM("steps", 300, 800, 10, 100000, "steps", "手写数字网络的训练步数",
                  "training steps of the digits networks"),
    DLF_INT_PARAM("phase_width", 128, 256, 4, 4096, "units", "相图中网络的宽度",
                  "width of the networks of the phase diagram"),
    DLF_INT_PARAM("trials", 1000, 8000, 3, 1000000, "runs",
                  "有限宽度实验：宽 16 时的试验次数，更宽时按比例减少",
                  "finite width: trials at width 16, proportionally fewer for wider ones"),
    {.name = NULL},
};

static const dlf_arm arms_default[] = {
    {"sigmoid_1", DLF_SIGMOID, 1.0, 0.0, false},
    {"sigmoid_16", DLF_SIGMOID, 16.0, 0.0, false},
    {"tanh_1", DLF_TANH, 1.0, 0.05, false},
    {"tanh_edge", DLF_TANH, -1.0, 0.05, true},
    {"tanh_2p5", DLF_TANH, 2.5, 0.05, false},
    {"tanh_4", DLF_TANH, 4.0, 0.05, false},
    {"relu_1", DLF_RELU, 1.0, 0.0, false},
    {"relu_2", DLF_RELU, 2.0, 0.0, true},
    {"relu_3", DLF_RELU, 3.0, 0.0, false},
    {"linear_third", DLF_LINEAR, 1.0 / 3.0, 0.0, false},
    {"leaky_relu_2", DLF_LEAKY_RELU, 2.0, 0.0, false},
    {"elu_1", DLF_ELU, 1.0, 0.05, false},
    {"selu_1", DLF_SELU, 1.0, 0.0, false},
    {"gelu_2", DLF_GELU, 2.0, 0.05, false},
    {"gelu_tanh_2", DLF_GELU_TANH, 2.0, 0.05, false},
    {"silu_2", DLF_SILU, 2.0, 0.05, false},
    {"softplus_1", DLF_SOFTPLUS, 1.0, 0.0, false},
};
enum { N_DEFAULT = sizeof arms_default / sizeof arms_default[0] };

static dlf_status factor_figure(dlf_run *run)
{
    const dlf_figure figure = {
        .id = "factor",
        .kind = DLF_LINES,
        .title = {"每种激活函数测得的每层增长因子都落在理论线上",
                  "For every activation the measured growth factor per layer falls on the theory "
                  "line"},
        .subtitle = {"一个点是一种激活函数与初始化；误差棒为种子间 95% 区间",
                     "one point per activation and initialisation; bars: 95 % interval over seeds"},
        .x = {{"理论 χ₁", "theory χ₁"}, true},
        .y = {{"实测每层因子", "measured factor per layer"}, true},
        .residuals = true,
        .series = {{.role = DLF_MEASURED,
                    .table = "growth",
                    .where = "role",
                    .equals = "measured",
                    .x = "chi_theory",
                    .y = "chi_measured",
                    .lo = "chi_lo",
                    .hi = "chi_hi",
                    .label = {"实测", "measured"},
                    .points = true},
                   {.role = DLF_CONTROL,
                    .table = "growth",
                    .where = "role",
                    .equals = "control",
                    .x = "chi_theory",
                    .y = "chi_measured",
                    .lo = "chi_lo",
                    .hi = "chi_hi",
                    .label = {"对照：临界初始化", "control: critical initialisation"},
                    .colour = 1,
                    .points = true},
                   {.role = DLF_THEORY,
                    .table = "growth",
                    .x = "chi_theory",
                    .y = "chi_theory",
                    .label = {"实测 = 理论", "measured = theory"}}}};
    return dlf_result_figure(dlf_run_result(run), &figure);
}

static dlf_status run_vanishing(dlf_run *run)
{
    dlf_arm arms[N_DEFAULT];
    int n = 0;
    DLF_TRY(dlf_choose_arms(run, arms_default, N_DEFAULT, arms, &n));
    DLF_TRY(dlf_measure_arms(run, arms, n, 0.0, 0.25));
    /* of the built-in arms six are drawn by layer: the vanishing ones and the controls */
    static const int drawn[] = {0, 2, 3, 6, 7, 9};
    const bool all = n == N_DEFAULT;
    DLF_TRY(dlf_gradient_figure(
        run, arms, all ? drawn : NULL, all ? (int)(sizeof drawn / sizeof drawn[0]) : n,
        (dlf_text){"χ₁ < 1 时梯度逐层按 χ₁ 指数消失；χ₁ = 1 时不消失",
                   "Below χ₁ = 1 the gradient vanishes by the factor χ₁ per layer; at χ₁ = 1 it "
                   "does not"}));
    DLF_TRY(factor_figure(run));
    DLF_TRY(dlf_vanishing_phase(run, 0.25, 0.32));
    DLF_TRY(dlf_vanishing_width(run, 0.32, 0.4));
    return dlf_vanishing_digits(run, 0.4, 1.0);
}

static dlf_status network(dlf_graph **out, dlf_device *device)
{
    return dlf_digits_network(out, device, DLF_SIGMOID, 8, 64);
}

const dlf_experiment dlf_experiment_vanishing = {
    .slug = "vanishing",
    .questions = "Q7",
    .title = {"如何判断深度学习模型中存在梯度消失问题？",
              "How do you tell that gradients vanish in a deep model?"},
    .claim = {"每层的 |δ|² 乘以 χ₁ = σw² E[φ'(√q* z)²]；当且仅当 χ₁ < 1 时梯度消失",
              "|δ|² changes by χ₁ = σw² E[φ'(√q* z)²] per layer; gradients vanish if and only if "
              "χ₁ < 1"},
    .quick_seeds = 8,
    .full_seeds = 32,
    .params = params,
    .run = run_vanishing,
    .network = network,
};
