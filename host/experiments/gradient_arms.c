/* SPDX-License-Identifier: MIT
 * gradient_arms.c -- growth factor of the gradient per layer, measured and predicted. */
#include "gradient_arms.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/propagate.h"
#include "dlf/theory.h"
#include "figures.h"

void dlf_arm_label(const dlf_arm *arm, char *text, size_t size)
{
    const char *name = dlf_activation_name(arm->kind);
    if (arm->sigma_b2 > 0.0)
        snprintf(text, size, "%s σw²=%.4g σb²=%.3g", name, arm->sigma_w2, arm->sigma_b2);
    else
        snprintf(text, size, "%s σw²=%.4g", name, arm->sigma_w2);
}

dlf_status dlf_choose_arms(dlf_run *run, const dlf_arm *defaults, int n_defaults, dlf_arm *arms,
                           int *n_arms)
{
    const char *name = dlf_run_choice(run, "activation");
    if (strcmp(name, "all") == 0) {
        if (dlf_run_is_set(run, "sigma_w2") || dlf_run_is_set(run, "sigma_b2"))
            return dlf_fail(DLF_ERR_ARG, "sigma_w2 and sigma_b2 describe one network: add "
                                         "--set activation=NAME");
        memcpy(arms, defaults, (size_t)n_defaults * sizeof *arms);
        *n_arms = n_defaults;
    } else {
        dlf_activation f;
        DLF_TRY(dlf_activation_find(&f, name));
        const double sigma_b2 = dlf_run_real(run, "sigma_b2");
        arms[0] = (dlf_arm){"yours", f.kind, dlf_run_real(run, "sigma_w2"), sigma_b2, false};
        arms[1] = (dlf_arm){"critical", f.kind, -1.0, sigma_b2, true};
        *n_arms = isnan(dlf_meanfield_edge(f, sigma_b2)) ? 1 : 2;
    }
    for (int i = 0; i < *n_arms; i++)
        if (arms[i].sigma_w2 < 0.0)
            arms[i].sigma_w2 =
                dlf_meanfield_edge(dlf_activation_of(arms[i].kind), arms[i].sigma_b2);
    return DLF_OK;
}

dlf_estimate dlf_log_mean(const double *values, int n, int step)
{
    double sum = 0.0;
    for (int i = 0; i < n; i++) sum += values[i * step];
    dlf_estimate e = {.mean = sum / n, .lo = NAN, .hi = NAN, .sd = NAN, .n = n};
    if (n < 2 || !(sum > 0.0) || !isfinite(sum)) return e;
    /* jackknife: spread of the n leave-one-out values around their mean */
    double mean = 0.0, square = 0.0;
    for (int i = 0; i < n; i++) mean += log((sum - values[i * step]) / (n - 1)) / n;
    for (int i = 0; i < n; i++) {
        const double d = log((sum - values[i * step]) / (n - 1)) - mean;
        square += d * d;
    }
    const double half = dlf_student_t975(n - 1) * sqrt(square * (n - 1) / n);
    e.lo = e.mean * exp(-half);
    e.hi = e.mean * exp(half);
    e.sd = half;
    return e;
}

/* Jackknife interval of the growth factor over the seeds of one arm. */
static dlf_estimate growth_estimate(const dlf_propagation *p, int first, int count)
{
    dlf_estimate e = {.mean = dlf_growth_factor(p, first, count, -1),
                      .lo = NAN,
                      .hi = NAN,
                      .sd = NAN,
                      .n = count};
    if (count < 2 || !(e.mean > 0.0)) return e;
    double mean = 0.0, square = 0.0;
    for (int i = 0; i < count; i++)
        mean += log(dlf_growth_factor(p, first, count, first + i)) / count;
    for (int i = 0; i < count; i++) {
        const double d = log(dlf_growth_factor(p, first, count, first + i)) - mean;
        square += d * d;
    }
    const double half = dlf_student_t975(count - 1) * sqrt(square * (count - 1) / count);
    e.lo = e.mean * exp(-half);
    e.hi = e.mean * exp(half);
    return e;
}

static dlf_status add_profile(dlf_table *gradients, dlf_table *seeds, const dlf_arm *arm,
                              const dlf_propagation *p, int first, int count, double chi)
{
    const size_t row = (size_t)p->depth + 1;
    for (int l = 1; l <= p->depth; l++) {
        const double *layer = p->gradient + (size_t)first * row + (size_t)l;
        const dlf_estimate e = dlf_log_mean(layer, count, (int)row);
        DLF_TRY(dlf_table_row(gradients, DLF_TXT(arm->id), DLF_NUM(l), DLF_NUM(e.mean),
                              DLF_NUM(e.lo), DLF_NUM(e.hi), DLF_NUM(pow(chi, p->depth - l))));
        for (int s = 0; s < count; s++)
            DLF_TRY(dlf_table_row(seeds, DLF_TXT(arm->id), DLF_NUM(s), DLF_NUM(l),
                                  DLF_NUM(layer[(size_t)s * row])));
    }
    return DLF_OK;
}

static dlf_status add_check(dlf_run *run, const dlf_arm *arm, const dlf_meanfield *theory,
                            const dlf_estimate *e, int width, int depth)
{
    char id[64], zh[256], en[256], label[96];
    const double noise = sqrt(5.0 / ((double)width * depth * e->n));
    snprintf(id, sizeof id, "chi_%s", arm->id);
    dlf_arm_label(arm, label, sizeof label);
    const char *what_zh = theory->chi_1 < 0.995 ? "消失" : theory->chi_1 > 1.005 ? "爆炸" : "不变";
    const char *what_en = theory->chi_1 < 0.995   ? "vanish"
                          : theory->chi_1 > 1.005 ? "explode"
                                                  : "persist";
    snprintf(zh, sizeof zh, "%s：|δ|² 每层乘以 χ₁，梯度%s", label, what_zh);
    snprintf(en, sizeof en, "%s: |δ|² changes by χ₁ per layer, gradients %s", label, what_en);
    return dlf_result_check(
        dlf_run_result(run),
        (dlf_check){.id = id,
                    .claim = {zh, en},
                    .measured = e->mean,
                    .lo = e->lo,
                    .hi = e->hi,
                    .n = e->n,
                    .expected = theory->chi_1,
                    .tolerance = fmax(0.02, 3.0 * noise),
                    .relative = true,
                    .relation = DLF_EQUAL,
                    .source =
                        "mean field: chi_1 = sigma_w^2 E[f'(sqrt(q*) z)^2], Schoenholz et al. "
                        "2017; tolerance 2 % or 3 sqrt(5/(N L S)), Hanin 2018"});
}

static dlf_status add_tables(dlf_run *run, dlf_table **growth, dlf_table **gradients,
                             dlf_table **seeds)
{
    dlf_result *r = dlf_run_result(run);
    DLF_TRY(dlf_result_table(
        r, "growth",
        (dlf_text){"每层梯度平方的增长因子", "growth factor of the squared gradient per layer"},
        (const dlf_column[]){{"arm", NULL},
                             {"label", NULL},
                             {"role", NULL},
                             {"sigma_w2", "1"},
                             {"sigma_b2", "1"},
                             {"q_star", "1"},
                             {"chi_theory", "1"},
                             {"chi_measured", "1"},
                             {"chi_lo", "1"},
                             {"chi_hi", "1"},
                             {NULL, NULL}},
        growth));
    DLF_TRY(dlf_result_table(
        r, "gradients",
        (dlf_text){"各层 |δ|²，相对顶层", "|delta|^2 by layer, relative to the top layer"},
        (const dlf_column[]){{"arm", NULL},
                             {"layer", "layer"},
                             {"mean", "1"},
                             {"lo", "1"},
                             {"hi", "1"},
                             {"theory", "1"},
                             {NULL, NULL}},
        gradients));
    return dlf_result_table(
        r, "gradient_seeds", (dlf_text){"同上，每个种子", "the same, every seed"},
        (const dlf_column[]){
            {"arm", NULL}, {"seed", "1"}, {"layer", "layer"}, {"value", "1"}, {NULL, NULL}},
        seeds);
}

dlf_status dlf_report_stage(void *user, double fraction)
{
    const dlf_stage *s = user;
    return dlf_run_stage(s->run, s->from + (s->to - s->from) * fraction, "%s", s->text);
}

dlf_status dlf_measure_arms(dlf_run *run, const dlf_arm *arms, int n_arms, double from, double to)
{
    const int S = dlf_run_seeds(run), width = dlf_run_int(run, "width");
    const int depth = dlf_run_int(run, "depth"), batch = dlf_run_int(run, "batch");
    dlf_status status;
    dlf_propagation p = {0};
    dlf_random_net *net = malloc((size_t)n_arms * (size_t)S * sizeof *net);
    if (!net) return dlf_fail(DLF_ERR_OOM, "gradient arms: out of memory");
    for (int a = 0; a < n_arms; a++)
        for (int s = 0; s < S; s++)
            net[a * S + s] = dlf_random_net_of(dlf_activation_of(arms[a].kind), arms[a].sigma_w2,
                                               arms[a].sigma_b2, depth, a * S + s);
    dlf_stage progress = {run, from, to, "untrained networks: gradient by layer"};
    DLF_TRY_DONE(dlf_propagate(&p, dlf_run_device(run), dlf_run_seed(run), width, depth, batch, net,
                               n_arms * S, dlf_report_stage, &progress));
    dlf_table *growth, *gradients, *seeds;
    DLF_TRY_DONE(add_tables(run, &growth, &gradients, &seeds));
    for (int a = 0; a < n_arms; a++) {
        const dlf_arm *arm = &arms[a];
        char label[96];
        dlf_arm_label(arm, label, sizeof label);
        const dlf_meanfield theory =
            dlf_meanfield_solve(dlf_activation_of(arm->kind), arm->sigma_w2, arm->sigma_b2, false);
        const dlf_estimate e = growth_estimate(&p, a * S, S);
        DLF_TRY_DONE(dlf_table_row(growth, DLF_TXT(arm->id), DLF_TXT(label),
                                   DLF_TXT(arm->control ? "control" : "measured"),
                                   DLF_NUM(arm->sigma_w2), DLF_NUM(arm->sigma_b2),
                                   DLF_NUM(theory.q_star), DLF_NUM(theory.chi_1), DLF_NUM(e.mean),
                                   DLF_NUM(e.lo), DLF_NUM(e.hi)));
        DLF_TRY_DONE(add_profile(gradients, seeds, arm, &p, a * S, S, theory.chi_1));
        DLF_TRY_DONE(add_check(run, arm, &theory, &e, width, depth));
    }
done:
    dlf_propagation_free(&p);
    free(net);
    return status;
}

/* The three series of one arm: every seed, the mean, the theory (named once for all arms). */
static void add_series(dlf_series *series, const dlf_arm *arm, dlf_text label, int colour)
{
    series[0] = (dlf_series){.role = DLF_SEEDS,
                             .table = "gradient_seeds",
                             .where = "arm",
                             .equals = arm->id,
                             .x = "layer",
                             .y = "value",
                             .by = "seed",
                             .label = {"", ""},
                             .colour = colour};
    series[1] = dlf_arm_series(arm->control ? DLF_CONTROL : DLF_MEASURED, "gradients", "arm",
                               arm->id, "layer", "mean", label, colour);
    series[2] = (dlf_series){.role = DLF_THEORY,
                             .table = "gradients",
                             .where = "arm",
                             .equals = arm->id,
                             .x = "layer",
                             .y = "theory",
                             .label = {"理论 χ₁^(L−l)", "theory χ₁^(L−l)"},
                             .colour = colour};
    if (colour > 0) series[2].label = (dlf_text){"", ""};
}

dlf_status dlf_gradient_figure(dlf_run *run, const dlf_arm *arms, const int *pick, int n,
                               dlf_text title)
{
    char labels[DLF_ARMS_DRAWN][96];
    dlf_figure figure = {
        .id = "gradient_by_layer",
        .kind = DLF_LINES,
        .title = title,
        .subtitle = {"随机全连接网络，未训练；虚线为平均场理论，无拟合参数",
                     "random fully connected networks, untrained; dashed: mean-field theory, no "
                     "fitted parameter"},
        .x = {{"层 l（1 最靠近输入）", "layer l (1 is next to the input)"}, false},
        .y = {{"E|δˡ|² / E|δᴸ|²", "E|δˡ|² / E|δᴸ|²"}, true},
        .residuals = true,
    };
    for (int i = 0; i < n && i < DLF_ARMS_DRAWN; i++) {
        const dlf_arm *arm = &arms[pick ? pick[i] : i];
        dlf_arm_label(arm, labels[i], sizeof labels[i]);
        add_series(figure.series + 3 * i, arm, (dlf_text){labels[i], labels[i]}, i);
    }
    return dlf_result_figure(dlf_run_result(run), &figure);
}
