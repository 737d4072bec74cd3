/* SPDX-License-Identifier: MIT
 * relu_vs_sigmoid.c -- Q36: what is better about ReLU than about sigmoid?
 *
 * Claim   (a) at its standard initialisation ReLU keeps the gradient per layer (chi_1 = 1) where
 *         sigmoid divides it by 18, and never better than sigma_w^2/16; (b) outputs of non-zero
 * mean make a layer's second-moment matrix ill-conditioned, 1 + N m^2/v; (c) half of ReLU's outputs
 * are exactly 0; (d) the price: units, and whole networks, that are dead. Control the critical arm,
 * tanh (a sigmoid without mean), leaky ReLU (cannot die), and sigmoid at its own critical
 * initialisation: what is left of the difference then. */
#include "relu_vs_sigmoid.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "dlf/theory.h"
#include "gradient_arms.h"
#include "observed_nets.h"

static const dlf_param params[] = {
    DLF_ARM_PARAMS,
    DLF_INT_PARAM("digits_depth", 8, 8, 1, DLF_OBSERVED_DEPTH, "layers", "深层网络的隐藏层数",
                  "hidden layers of the deep networks"),
    DLF_INT_PARAM("digits_width", 64, 64, 8, 1024, "units", "训练的网络的宽度",
                  "width of the trained networks"),
    DLF_INT_PARAM("steps", 500, 1280, 10, 100000, "steps", "训练步数", "training steps"),
    DLF_INT_PARAM("rows", 512, 1297, 8, 1297, "rows", "测量训练误差所用的训练样本数",
                  "training rows on which the error is measured"),
    DLF_INT_PARAM("samples", 40000, 200000, 10, 10000000, "rows", "测量一层的协方差所用的样本数",
                  "samples for the covariance of a layer"),
    DLF_INT_PARAM("trials", 4000, 4000, 3, 1000000, "nets", "出生即死亡：每个种子的网络数",
                  "born dead: networks per seed"),
    {.name = NULL},
};

static const dlf_arm arms_default[] = {
    {"sigmoid_1", DLF_SIGMOID, 1.0, 0.0, false},     {"sigmoid_16", DLF_SIGMOID, 16.0, 0.0, false},
    {"relu_1", DLF_RELU, 1.0, 0.0, false},           {"relu_2", DLF_RELU, 2.0, 0.0, true},
    {"sigmoid_edge", DLF_SIGMOID, -1.0, 0.0, false},
};
enum { N_DEFAULT = sizeof arms_default / sizeof arms_default[0] };

/* ---- (a) the factor per layer ------------------------------------------------------------------
 */

static const dlf_check *find_factor(dlf_run *run, const char *arm)
{
    char id[64];
    snprintf(id, sizeof id, "chi_%s", arm);
    return dlf_result_find_check(dlf_run_result(run), id);
}

/* Half width of the interval of ln(measured). */
static double log_half(const dlf_check *c)
{
    return 0.5 * log(c->hi / c->lo);
}

static dlf_status ratio_check(dlf_run *run)
{
    const dlf_check *relu = find_factor(run, "relu_2"), *sigmoid = find_factor(run, "sigmoid_1");
    if (!relu || !sigmoid) return DLF_OK; /* the user chose arms of their own */
    const double ratio = relu->measured / sigmoid->measured;
    const double half = hypot(log_half(relu), log_half(sigmoid));
    return dlf_result_check(
        dlf_run_result(run),
        (dlf_check){.id = "factor_ratio",
                    .claim = {"在各自的标准初始化下，ReLU 每层保留的 |δ|² 是 sigmoid 的约 18 倍",
                              "at their standard initialisations ReLU keeps about 18 times as much "
                              "|δ|² per layer as sigmoid"},
                    .measured = ratio,
                    .lo = ratio * exp(-half),
                    .hi = ratio * exp(half),
                    .n = relu->n,
                    .expected = relu->expected / sigmoid->expected,
                    .tolerance = relu->tolerance + sigmoid->tolerance,
                    .relative = true,
                    .relation = DLF_EQUAL,
                    .source = "mean field: chi_1 of ReLU at sigma_w^2 = 2 (He) over chi_1 of "
                              "sigmoid at sigma_w^2 = 1 (Xavier); Schoenholz et al. 2017"});
}

static dlf_status bound_check(dlf_run *run)
{
    const struct {
        const char *arm;
        double sigma_w2;
    } sigmoids[] = {{"sigmoid_1", 1.0}, {"sigmoid_16", 16.0}};
    double worst = 0.0;
    int n = 0;
    for (size_t i = 0; i < sizeof sigmoids / sizeof sigmoids[0]; i++) {
        const dlf_check *c = find_factor(run, sigmoids[i].arm);
        if (!c) return DLF_OK;
        worst = fmax(worst, c->measured / (sigmoids[i].sigma_w2 / 16.0));
        n = c->n;
    }
    return dlf_result_check(
        dlf_run_result(run),
        (dlf_check){.id = "sigmoid_bound",
                    .claim = {"sigmoid 的每层因子不超过 σw²/16（因为 σ′ ≤ 1/4）",
                              "sigmoid's factor per layer is at most σw²/16 (since σ′ ≤ 1/4)"},
                    .measured = worst,
                    .lo = NAN,
                    .hi = NAN,
                    .n = n,
                    .expected = 1.0,
                    .relation = DLF_AT_MOST,
                    .source = "chi_1 = sigma_w^2 E[f'^2] <= sigma_w^2 max f'^2",
                    .note = "largest of measured factor / (sigma_w^2 / 16)"});
}

static dlf_status factors(dlf_run *run, double from, double to)
{
    dlf_arm arms[N_DEFAULT];
    int n = 0;
    DLF_TRY(dlf_choose_arms(run, arms_default, N_DEFAULT, arms, &n));
    DLF_TRY(dlf_measure_arms(run, arms, n, from, to));
    DLF_TRY(dlf_gradient_figure(
        run, arms, NULL, n,
        (dlf_text){"标准初始化下 ReLU 的梯度逐层不变，sigmoid 每层除以 18；sigmoid 也有临界初始化",
                   "At standard initialisation ReLU keeps the gradient, sigmoid divides it by 18 "
                   "per layer; sigmoid has a critical initialisation, too"}));
    DLF_TRY(ratio_check(run));
    DLF_TRY(bound_check(run));
    return dlf_result_fact(dlf_run_result(run), "sigmoid_edge",
                           dlf_meanfield_edge(dlf_activation_of(DLF_SIGMOID), 0.0), "1");
}

static dlf_status run_relu_vs_sigmoid(dlf_run *run)
{
    dlf_status status;
    dlf_dataset digits = {0};
    DLF_TRY(factors(run, 0.0, 0.15));
    DLF_TRY(dlf_relu_spectra(run, 0.15, 0.25));
    DLF_TRY(dlf_relu_sparsity(run));
    DLF_TRY(dlf_relu_born_dead(run, 0.25, 0.3));
    DLF_TRY(dlf_digits_load(&digits));
    DLF_TRY_DONE(dlf_relu_speed(run, &digits, 0.3, 0.7));
    DLF_TRY_DONE(dlf_relu_deep(run, &digits, 0.7, 0.92));
    DLF_TRY_DONE(dlf_relu_findings(run, &digits, 0.92, 1.0));
done:
    dlf_dataset_free(&digits);
    return status;
}

static dlf_status network(dlf_graph **out, dlf_device *device)
{
    return dlf_observed_network(out, device, DLF_SIGMOID, 2, 64);
}

const dlf_experiment dlf_experiment_relu_vs_sigmoid = {
    .slug = "relu-vs-sigmoid",
    .questions = "Q36",
    .title = {"ReLU 激活函数比 sigmoid 函数好的地方在哪里？",
              "What is better about ReLU than about sigmoid?"},
    .claim = {"标准初始化下 ReLU 的 χ₁ = 1 而 sigmoid 的 χ₁ = 1/18；代价是死亡单元",
              "at standard initialisation ReLU has χ₁ = 1 and sigmoid χ₁ = 1/18; the price is dead "
              "units"},
    .quick_seeds = 5,
    .full_seeds = 16,
    .params = params,
    .run = run_relu_vs_sigmoid,
    .network = network,
};
