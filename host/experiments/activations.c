/* SPDX-License-Identifier: MIT
 * activations.c -- Q4: how do you choose an activation function?
 *
 * Claim   Hidden layers: each activation has a gain 1/sqrt(E f^2) that keeps the signal's length,
 * and then multiplies |delta|^2 by E f'^2 / E f^2 per layer. Output layer: the loss decides, since
 *         it is the pair that gives the gradient p - y; tanh is a rescaled sigmoid.
 * Control linear and ReLU, which keep both at once. */
#include "activations.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "dlf/theory.h"
#include "gradient_arms.h"
#include "observed_nets.h"

static const dlf_param params[] = {
    DLF_ARM_PARAMS,
    DLF_INT_PARAM("digits_depth", 8, 8, 1, DLF_OBSERVED_DEPTH, "layers", "手写数字网络的隐藏层数",
                  "hidden layers of the digits networks"),
    DLF_INT_PARAM("digits_width", 64, 64, 8, 1024, "units", "手写数字网络的宽度",
                  "width of the digits networks"),
    DLF_INT_PARAM("steps", 150, 600, 10, 100000, "steps", "手写数字网络的训练步数",
                  "training steps of the digits networks"),
    {.name = NULL},
};

static double square(double z, const void *user)
{
    const double y = dlf_activation_value(*(const dlf_activation *)user, z);
    return y * y;
}
static double value(double z, const void *user)
{
    return dlf_activation_value(*(const dlf_activation *)user, z);
}
static double slope_square(double z, const void *user)
{
    const double d = dlf_activation_derivative(*(const dlf_activation *)user, z);
    return d * d;
}

double dlf_activation_gain2(dlf_activation_kind kind)
{
    const dlf_activation f = dlf_activation_of(kind);
    return 1.0 / dlf_gaussian_mean(square, &f);
}

/* d ln E f(sqrt(q) z)^2 / d ln q at q = 1: how a deviation of the length grows per layer. */
typedef struct scaled {
    dlf_activation f;
    double root;
} scaled;

static double scaled_square(double z, const void *user)
{
    const scaled *s = user;
    const double y = dlf_activation_value(s->f, s->root * z);
    return y * y;
}

static double length_slope(dlf_activation f)
{
    const double h = 1e-4;
    const scaled up = {f, exp(0.5 * h)}, down = {f, exp(-0.5 * h)};
    return log(dlf_gaussian_mean(scaled_square, &up) / dlf_gaussian_mean(scaled_square, &down)) /
           (2.0 * h);
}

/* ---- hidden layers: gain, factor per layer ------------------------------------------------------
 */

static dlf_status gain_table(dlf_run *run)
{
    dlf_table *table;
    double least = INFINITY, steepest = 0.0;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "gains",
        (dlf_text){"每种激活函数的增益，以及此时每层的 |δ|² 因子",
                   "the gain of every activation, and the factor of |δ|² per layer with it"},
        (const dlf_column[]){{"activation", NULL},
                             {"mean", "1"},
                             {"gain", "1"},
                             {"sigma_w2", "1"},
                             {"factor", "1"},
                             {"factor_bn", "1"},
                             {"length_slope", "1"},
                             {NULL, NULL}},
        &table));
    for (int k = 0; k < DLF_ACTIVATION_COUNT; k++) {
        const dlf_activation f = dlf_activation_of((dlf_activation_kind)k);
        const double mean = dlf_gaussian_mean(value, &f), second = dlf_gaussian_mean(square, &f);
        const double slope = dlf_gaussian_mean(slope_square, &f);
        const double norm = slope / (second - mean * mean);
        const double length = length_slope(f);
        least = fmin(least, norm);
        steepest = fmax(steepest, length);
        DLF_TRY(dlf_table_row(table, DLF_TXT(dlf_activation_name(f.kind)), DLF_NUM(mean),
                              DLF_NUM(1.0 / sqrt(second)), DLF_NUM(1.0 / second),
                              DLF_NUM(slope / second), DLF_NUM(norm), DLF_NUM(length)));
    }
    DLF_TRY(dlf_result_check(
        dlf_run_result(run),
        (dlf_check){.id = "gain_is_stable",
                    .claim = {"对每种激活函数，增益都使信号长度稳定",
                              "for every activation the gain makes the signal's length stable"},
                    .measured = steepest,
                    .lo = NAN,
                    .hi = NAN,
                    .n = 0,
                    .expected = 1.0,
                    .tolerance = 1e-6,
                    .relation = DLF_AT_MOST,
                    .source = "d ln E f(sqrt(q) z)^2 / d ln q at q = 1, by quadrature: above 1 a "
                              "deviation of the length grows",
                    .note = "largest over all activations; above 1 for gelu, gelu_tanh and silu, "
                            "whose factor per layer then leaves that of q = 1"}));
    return dlf_result_check(
        dlf_run_result(run),
        (dlf_check){.id = "poincare",
                    .claim = {"归一化到零均值、单位方差后，任何激活函数每层的因子都不小于 1",
                              "normalised to mean 0 and variance 1, no activation has a factor "
                              "below 1 per layer"},
                    .measured = least,
                    .lo = NAN,
                    .hi = NAN,
                    .n = 0,
                    .expected = 1.0,
                    .tolerance = 1e-12,
                    .relation = DLF_AT_LEAST,
                    .source = "Gaussian Poincare inequality: Var f(z) <= E f'(z)^2, equality for "
                              "linear f only",
                    .note = "smallest E f'^2 / Var f over all activations"});
}

static dlf_status factor_figure(dlf_run *run)
{
    const dlf_figure figure = {
        .id = "factors",
        .kind = DLF_BARS,
        .title = {"保住信号长度的增益不一定保住梯度：sigmoid 与 softplus 仍然消失",
                  "The gain that keeps the signal need not keep the gradient: sigmoid and softplus "
                  "still vanish"},
        .subtitle = {"随机网络，σw² = 1/E φ²；灰色为对照（因子恰为 1），横线为理论",
                     "random networks, σw² = 1/E φ²; grey: controls, factor exactly 1; rungs: "
                     "theory"},
        .x = {{"激活函数", "activation"}, false},
        .y = {{"每层的 |δ|² 因子", "factor of |δ|² per layer"}, false},
        .series = {{.role = DLF_MEASURED,
                    .table = "growth",
                    .where = "role",
                    .equals = "measured",
                    .x = "arm",
                    .y = "chi_measured",
                    .lo = "chi_lo",
                    .hi = "chi_hi",
                    .label = {"实测", "measured"}},
                   {.role = DLF_CONTROL,
                    .table = "growth",
                    .where = "role",
                    .equals = "control",
                    .x = "arm",
                    .y = "chi_measured",
                    .lo = "chi_lo",
                    .hi = "chi_hi",
                    .label = {"对照", "control"},
                    .colour = 1},
                   {.role = DLF_THEORY,
                    .table = "growth",
                    .where = "role",
                    .equals = "measured",
                    .x = "arm",
                    .y = "chi_theory",
                    .label = {"理论", "theory"}}}};
    return dlf_result_figure(dlf_run_result(run), &figure);
}

static dlf_status hidden(dlf_run *run, double from, double to)
{
    dlf_arm defaults[DLF_ACTIVATION_COUNT], arms[DLF_ACTIVATION_COUNT];
    int n = 0;
    for (int k = 0; k < DLF_ACTIVATION_COUNT; k++) {
        const dlf_activation_kind kind = (dlf_activation_kind)k;
        defaults[k] = (dlf_arm){dlf_activation_name(kind), kind, dlf_activation_gain2(kind), 0.0,
                                kind == DLF_LINEAR || kind == DLF_RELU || kind == DLF_LEAKY_RELU};
    }
    DLF_TRY(dlf_choose_arms(run, defaults, DLF_ACTIVATION_COUNT, arms, &n));
    DLF_TRY(dlf_measure_arms(run, arms, n, from, to));
    DLF_TRY(gain_table(run));
    return factor_figure(run);
}

static dlf_status run_activations(dlf_run *run)
{
    DLF_TRY(hidden(run, 0.0, 0.4));
    DLF_TRY(dlf_activations_output(run));
    return dlf_activations_trained(run, 0.4, 1.0);
}

static dlf_status network(dlf_graph **out, dlf_device *device)
{
    return dlf_observed_network(out, device, DLF_SELU, 3, 64);
}

const dlf_experiment dlf_experiment_activations = {
    .slug = "activations",
    .questions = "Q4",
    .title = {"深度学习中，如何选择激活函数？",
              "How do you choose an activation function in deep learning?"},
    .claim = {"隐藏层看增益与每层的梯度因子；输出层由损失决定",
              "hidden layers: by gain and gradient factor per layer; output layer: by the loss"},
    .quick_seeds = 5,
    .full_seeds = 16,
    .params = params,
    .run = run_activations,
    .network = network,
};
