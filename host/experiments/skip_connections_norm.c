/* SPDX-License-Identifier: MIT
 * skip_connections_norm.c -- Q40: batch norm in the branch of a deep residual network divides block
 * l by sqrt(v_l), v_l = 1 + l (pi-1)/pi, so that its gradient grows like a power of depth. The
 * control has the same blocks without the skip: there it grows exponentially, and the base is the
 * very number that is the power's exponent, pi/(pi-1).
 *
 * A branch adds 2 Var[relu(z)] = (pi-1)/pi to the variance over the batch (the mean of relu, 1/(2
 * pi) of 1/2, is the same for all rows, and the next BN takes it away); backwards it adds the
 * energy 2 E[relu'^2] / v_l = 1/v_l. Without skip v = (pi-1)/pi in every layer: a factor pi/(pi-1).
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "gradient_arms.h"
#include "skip_connections.h"

enum { RESIDUAL, PLAIN, ARMS, LOOKS = 20 };
#define BASE (M_PI / (M_PI - 1.0))

static dlf_status tables(dlf_run *run, const dlf_skip_view *v, int every)
{
    dlf_table *table;
    double *seed = malloc((size_t)v->nets * sizeof *seed);
    dlf_status status;
    if (!seed) return dlf_fail(DLF_ERR_OOM, "skip connections: out of memory");
    DLF_TRY_DONE(dlf_result_table(
        dlf_run_result(run), "norm_profile",
        (dlf_text){"分支内 BN：各块的梯度能量与方差",
                   "batch norm in the branch: gradient energy and variance by block"},
        (const dlf_column[]){{"arm", NULL},
                             {"block", "block"},
                             {"from_top", "blocks"},
                             {"energy", "1"},
                             {"lo", "1"},
                             {"hi", "1"},
                             {"theory", "1"},
                             {"variance", "1"},
                             {"variance_lo", "1"},
                             {"variance_hi", "1"},
                             {"variance_theory", "1"},
                             {NULL, NULL}},
        &table));
    const int depth = (v->looks - 1) * every;
    for (int a = 0; a < ARMS; a++)
        for (int k = 0; k < v->looks; k++) {
            const int l = k * every, stride = v->arms * v->looks;
            const double *energy = v->energy + dlf_skip_at(v, 0, a, k);
            const double *variance = v->variance + dlf_skip_at(v, 0, a, k);
            const dlf_estimate e = dlf_log_mean(energy, v->nets, stride);
            const dlf_estimate q = dlf_estimate_of(variance, v->nets, stride);
            const bool residual = a == RESIDUAL;
            DLF_TRY_DONE(
                dlf_table_row(table, DLF_TXT(residual ? "residual" : "plain"), DLF_NUM(l),
                              DLF_NUM(depth - l), DLF_NUM(e.mean), DLF_NUM(e.lo), DLF_NUM(e.hi),
                              DLF_NUM(residual ? dlf_skip_norm_energy(l, depth)
                                               : pow(BASE, depth - l) * (l ? 1.0 : 1.0 / BASE)),
                              DLF_NUM(q.mean), DLF_NUM(q.lo), DLF_NUM(q.hi),
                              DLF_NUM(residual ? dlf_skip_variance(l)
                                      : l      ? 1.0 / BASE
                                               : 1.0)));
        }
done:
    free(seed);
    return status;
}

/* Of each seed: the slope of ln(energy) against ln(v_L/v_l), or against depth. */
static dlf_status slope_checks(dlf_run *run, const dlf_skip_view *v, int every)
{
    const int n = v->looks, depth = (n - 1) * every;
    double x[2][LOOKS + 1], y[LOOKS + 1], theory[LOOKS + 1];
    double *slope = malloc((size_t)(2 * v->nets) * sizeof *slope);
    if (!slope) return dlf_fail(DLF_ERR_OOM, "skip connections: out of memory");
    for (int k = 0; k < n; k++) {
        x[RESIDUAL][k] = log(dlf_skip_variance(depth) / dlf_skip_variance(k * every));
        x[PLAIN][k] = depth - k * every;
        theory[k] = log(dlf_skip_norm_energy(k * every, depth));
    }
    for (int a = 0; a < ARMS; a++)
        for (int s = 0; s < v->nets; s++) {
            for (int k = 0; k < n; k++) y[k] = log(v->energy[dlf_skip_at(v, s, a, k)]);
            /* the plain arm's first layer divides by the input's variance, which is 1 */
            const int skip = a == PLAIN;
            slope[a * v->nets + s] = dlf_slope(x[a] + skip, y + skip, n - skip);
        }
    const dlf_estimate power = dlf_estimate_of(slope, v->nets, 1);
    const dlf_estimate base = dlf_estimate_of(slope + v->nets, v->nets, 1);
    free(slope);
    DLF_TRY(dlf_result_fact(dlf_run_result(run), "norm_constant", BASE, "1"));
    DLF_TRY(dlf_result_check(
        dlf_run_result(run),
        (dlf_check){
            .id = "norm_power",
            .claim = {"残差+BN：梯度能量是 v 的幂律（指数随深度趋于 π/(π−1)）",
                      "residual with BN: the gradient energy is a power of v (its exponent tends "
                      "to π/(π−1) with depth)"},
            .measured = power.mean,
            .lo = power.lo,
            .hi = power.hi,
            .n = v->nets,
            .expected = dlf_slope(x[RESIDUAL], theory, n),
            .tolerance = 0.05,
            .relative = true,
            .relation = DLF_EQUAL,
            .source = "closed form: the same regression through prod(1+1/v_l); 5 %: terms of 1/B "
                      "and 1/N are left out"}));
    return dlf_result_check(
        dlf_run_result(run),
        (dlf_check){.id = "norm_base",
                    .claim = {"对照，去掉跳转：梯度能量每层乘以同一个数 π/(π−1)",
                              "control, the same without the skip: the energy grows by the very "
                              "number π/(π−1) per layer"},
                    .measured = exp(base.mean),
                    .lo = exp(base.lo),
                    .hi = exp(base.hi),
                    .n = v->nets,
                    .expected = BASE,
                    .tolerance = 0.02,
                    .relative = true,
                    .relation = DLF_EQUAL,
                    .source = "closed form: E relu'^2 / Var relu = pi/(pi-1), also Luther 2020; "
                              "2 %: terms of 1/B are left out"});
}

static dlf_status variance_check(dlf_run *run, const dlf_skip_view *v, int every)
{
    const int depth = (v->looks - 1) * every;
    const dlf_estimate e = dlf_estimate_of(v->variance + dlf_skip_at(v, 0, RESIDUAL, v->looks - 1),
                                           v->nets, v->arms * v->looks);
    return dlf_result_check(
        dlf_run_result(run),
        (dlf_check){.id = "norm_variance",
                    .claim = {"残差+BN：前向方差线性增长，v = 1 + L(π−1)/π",
                              "residual with BN: the forward variance grows linearly, v = 1 + "
                              "L(π−1)/π"},
                    .measured = e.mean,
                    .lo = e.lo,
                    .hi = e.hi,
                    .n = v->nets,
                    .expected = dlf_skip_variance(depth),
                    .tolerance = 0.02,
                    .relative = true,
                    .relation = DLF_EQUAL,
                    .source = "closed form: 2 Var relu(z) = (pi-1)/pi per block (De & Smith 2020 "
                              "use it: branches are downscaled by sqrt(depth)); 2 %: 1/B and 1/N"});
}

static dlf_status figures(dlf_run *run)
{
    const dlf_series arms[] = {{.role = DLF_MEASURED,
                                .table = "norm_profile",
                                .where = "arm",
                                .equals = "residual",
                                .x = "from_top",
                                .y = "energy",
                                .lo = "lo",
                                .hi = "hi",
                                .label = {"残差 + BN", "residual + BN"}},
                               {.role = DLF_THEORY,
                                .table = "norm_profile",
                                .where = "arm",
                                .equals = "residual",
                                .x = "from_top",
                                .y = "theory",
                                .label = {"Π(1+1/v)", "Π(1+1/v)"}},
                               {.role = DLF_CONTROL,
                                .table = "norm_profile",
                                .where = "arm",
                                .equals = "plain",
                                .x = "from_top",
                                .y = "energy",
                                .lo = "lo",
                                .hi = "hi",
                                .label = {"对照：没有跳转", "control: without the skip"},
                                .colour = 1},
                               {.role = DLF_THEORY,
                                .table = "norm_profile",
                                .where = "arm",
                                .equals = "plain",
                                .x = "from_top",
                                .y = "theory",
                                .label = {"(π/(π−1))ᵏ", "(π/(π−1))ᵏ"},
                                .colour = 1}};
    dlf_figure figure = {
        .id = "norm_profile",
        .kind = DLF_LINES,
        .title = {"跳转把批归一化的指数爆炸变成幂律",
                  "The skip turns the exponential explosion of batch norm into a power law"},
        .subtitle = {"同一批随机网络；距顶部 k 块处的梯度能量",
                     "the same random networks; gradient energy k blocks below the top"},
        .x = {{"距顶部的块数 k", "blocks from the top k"}, false},
        .y = {{"梯度能量 / 顶部", "gradient energy / top"}, true},
        .residuals = true};
    for (size_t i = 0; i < sizeof arms / sizeof arms[0]; i++) figure.series[i] = arms[i];
    return dlf_result_figure(dlf_run_result(run), &figure);
}

dlf_status dlf_skip_batch_norm(dlf_run *run, double from, double to)
{
    const int wanted = dlf_run_int(run, "norm_depth"), batch = dlf_run_int(run, "norm_batch");
    const int every = wanted < LOOKS ? 1 : wanted / LOOKS;
    const double skip[ARMS] = {1.0, 0.0}, branch[ARMS] = {1.0, 1.0};
    double *mix = dlf_skip_identity(batch);
    dlf_skip_view view = {0};
    dlf_status status;
    if (!mix) return dlf_fail(DLF_ERR_OOM, "skip connections: out of memory");
    const dlf_skip_stack stack = {.kind = DLF_SKIP_NORM_SUM,
                                  .width = dlf_run_int(run, "width"),
                                  .depth = wanted / every * every,
                                  .batch = batch,
                                  .arms = ARMS,
                                  .skip = skip,
                                  .branch = branch,
                                  .mix = mix,
                                  .mix_columns = batch,
                                  .gradient_mix = mix,
                                  .gradient_columns = batch,
                                  .every = every};
    DLF_TRY_DONE(dlf_skip_look(&view, run, &stack, dlf_run_seeds(run), dlf_run_seed(run) + 1, from,
                               to, "batch norm in the branch"));
    DLF_TRY_DONE(tables(run, &view, every));
    DLF_TRY_DONE(slope_checks(run, &view, every));
    DLF_TRY_DONE(variance_check(run, &view, every));
    DLF_TRY_DONE(figures(run));
done:
    dlf_skip_view_free(&view);
    free(mix);
    return status;
}
