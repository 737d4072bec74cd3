/* SPDX-License-Identifier: MIT
 * bn_statistics_laws.c -- Q25: mean, variance and moments of the output of batch norm over B
 * values, every law at every batch size; layer and group norm as controls. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bn_statistics.h"
#include "bn_theory.h"
#include "seed_check.h"

enum { LAWS = 6, SIZES = 6, CONTROLS = 2, GROUP = 8 };
static const int sizes[SIZES] = {2, 4, 8, 16, 32, 128};

/* Each law is the expectation of one number per batch. */
typedef struct law {
    const char *id;
    dlf_text claim, label;
    double (*theory)(double B);
    double scale; /* of the figure, so that all laws run from 0 to 1 */
} law;

static const law laws[LAWS] = {
    {"mean_noise",
     {"批均值的方差是 1/B", "the batch mean has the variance 1/B"},
     {"Var μ", "Var μ"},
     dlf_bn_mean_variance,
     1.0},
    {"variance_bias",
     {"批方差（有偏）的期望是 (B−1)/B", "the (biased) batch variance has the mean (B−1)/B"},
     {"E s²", "E s²"},
     dlf_bn_variance_mean,
     1.0},
    {"variance_noise",
     {"批方差的方差是 2(B−1)/B²", "the batch variance has the variance 2(B−1)/B²"},
     {"Var s²", "Var s²"},
     dlf_bn_variance_spread,
     1.0},
    {"fourth_moment",
     {"输出的四阶矩是 3(B−1)/(B+1)：B = 2 时是 1，即 h = ±1",
      "the output has the fourth moment 3(B−1)/(B+1): at B = 2 it is 1, that is h = ±1"},
     {"E h⁴ / 3", "E h⁴ / 3"},
     dlf_bn_fourth,
     1.0 / 3.0},
    {"relu_mean",
     {"E relu(h) = √(B−1) Γ((B−1)/2) / (2√π Γ(B/2))：下一层的输入也随 B 而变",
      "E relu(h) = √(B−1) Γ((B−1)/2) / (2√π Γ(B/2)): what the next layer gets depends on B too"},
     {"E relu(h)", "E relu(h)"},
     dlf_bn_relu,
     1.0},
    {"correlation",
     {"训练时的输出与推理时的输出相关 ρ_B = √(2/B) Γ(B/2)/Γ((B−1)/2)",
      "the outputs of training and evaluation have the correlation ρ_B = √(2/B) "
      "Γ(B/2)/Γ((B−1)/2)"},
     {"ρ_B", "ρ_B"},
     dlf_bn_correlation,
     1.0}};

/* Of one law and batch size: the mean of each seed, and the standard error of their mean, from the
 * spread over batches. */
typedef struct measured {
    double *mean; /* (seeds) */
    double error;
} measured;

/* The LAWS numbers of each batch, summed over batches with their squares. */
static void add_batch(const dlf_bn_sample *s, int seed, int column, const double *power,
                      double *sum, double *square)
{
    const double B = s->rows, mu = s->mean[seed * s->columns + column];
    const double rstd = s->rstd[seed * s->columns + column], s2 = 1.0 / (rstd * rstd);
    const double d = s2 - dlf_bn_variance_mean(B);
    const double value[LAWS] = {mu * mu, s2, d * d, power[0] / B, power[1] / B, power[2] / B};
    for (int k = 0; k < LAWS; k++) {
        sum[k] += value[k];
        square[k] += value[k] * value[k];
    }
}

static void measure_seed(const dlf_bn_sample *s, int seed, double *power, double *sum,
                         double *square)
{
    const size_t C = (size_t)s->columns;
    memset(power, 0, 3 * C * sizeof *power);
    for (int i = 0; i < s->rows; i++) {
        const float *x = s->x + ((size_t)seed * (size_t)s->rows + (size_t)i) * C;
        const float *y = s->y + ((size_t)seed * (size_t)s->rows + (size_t)i) * C;
        for (size_t c = 0; c < C; c++) {
            const double h = y[c], h2 = h * h;
            power[3 * c] += h2 * h2;
            power[3 * c + 1] += h > 0.0 ? h : 0.0;
            power[3 * c + 2] += h * x[c];
        }
    }
    for (int c = 0; c < s->columns; c++) add_batch(s, seed, c, power + 3 * c, sum, square);
}

static dlf_status measure_size(dlf_run *run, int B, measured *out)
{
    const int values = dlf_run_int(run, "values"), columns = values / B > 2 ? values / B : 2;
    dlf_bn_sample s;
    DLF_TRY(dlf_bn_sample_new(&s, run, (dlf_norm){.kind = DLF_BATCH_NORM}, dlf_run_seeds(run), B,
                              columns));
    double *power = malloc(3 * (size_t)columns * sizeof *power);
    double square[LAWS] = {0.0}, total[LAWS] = {0.0};
    const double n = (double)columns * s.members;
    for (int seed = 0; power && seed < s.members; seed++) {
        double sum[LAWS] = {0.0};
        measure_seed(&s, seed, power, sum, square);
        for (int k = 0; k < LAWS; k++) {
            out[k].mean[seed] = sum[k] / columns;
            total[k] += sum[k];
        }
    }
    for (int k = 0; k < LAWS; k++)
        out[k].error = sqrt(fmax(square[k] / n - total[k] / n * (total[k] / n), 0.0) / n);
    const dlf_status status = power ? DLF_OK : dlf_fail(DLF_ERR_OOM, "laws: out of memory");
    free(power);
    dlf_bn_sample_free(&s);
    return status;
}

/* E h^4 of layer or group norm over batches of B rows. */
static dlf_status measure_control(dlf_run *run, dlf_norm norm, int B, double *fourth)
{
    const int features = dlf_run_int(run, "features"), seeds = dlf_run_seeds(run);
    const int wanted = dlf_run_int(run, "values") / (features * B), each = wanted ? wanted : 1;
    dlf_bn_sample s;
    DLF_TRY(dlf_bn_sample_new(&s, run, norm, seeds * each, B, features));
    const size_t n = (size_t)each * (size_t)B * (size_t)features;
    for (int seed = 0; seed < seeds; seed++) {
        double sum = 0.0;
        for (size_t i = 0; i < n; i++) {
            const double h = s.y[(size_t)seed * n + i];
            sum += h * h * h * h;
        }
        fourth[seed] = sum / (double)n;
    }
    dlf_bn_sample_free(&s);
    return DLF_OK;
}

/* ---- report -----------------------------------------------------------------------------------
 */

static dlf_status add_row(dlf_table *t, const char *id, int B, const double *mean, int seeds,
                          double theory, double error, double scale)
{
    const dlf_estimate e = dlf_estimate_of(mean, seeds, 1);
    return dlf_table_row(t, DLF_TXT(id), DLF_NUM(B), DLF_NUM(e.mean), DLF_NUM(e.lo), DLF_NUM(e.hi),
                         DLF_NUM(theory), DLF_NUM(error), DLF_NUM(e.mean * scale),
                         DLF_NUM(e.lo * scale), DLF_NUM(e.hi * scale), DLF_NUM(theory * scale));
}

/* At the batch size where it is worst, in standard errors. */
static dlf_status law_check(dlf_run *run, const law *l, const measured *m, int seeds)
{
    int worst = 0;
    double most = -1.0;
    for (int i = 0; i < SIZES; i++) {
        const double mean = dlf_estimate_of(m[i * LAWS].mean, seeds, 1).mean;
        const double off = fabs(mean - l->theory(sizes[i]));
        /* at B = 2 some laws are exact: what is left is float32 */
        const double error = fmax(m[i * LAWS].error, 1e-7);
        if (off / error <= most) continue;
        most = off / error;
        worst = i;
    }
    dlf_check check =
        dlf_check_of(l->id, l->claim, dlf_estimate_of(m[worst * LAWS].mean, seeds, 1));
    char note[160];
    snprintf(note, sizeof note, "B = %d, the worst of 2, 4, 8, 16, 32, 128: %.2f standard errors",
             sizes[worst], most);
    check.expected = l->theory(sizes[worst]);
    check.tolerance = fmax(4.0 * m[worst * LAWS].error, 1e-6);
    check.source =
        "closed form: uniform on the sphere (bn_theory.h); 4 standard errors of the mean "
        "over all batches, because the worst of 36 is taken";
    check.note = note;
    return dlf_result_check(dlf_run_result(run), check);
}

static dlf_status control_check(dlf_run *run, const char *id, dlf_text claim, const double *fourth,
                                int seeds, int count)
{
    /* the difference between the smallest and the largest batch, seed by seed */
    const double *small = fourth, *large = fourth + (SIZES - 1) * seeds;
    double *difference = malloc((size_t)seeds * sizeof *difference);
    if (!difference) return dlf_fail(DLF_ERR_OOM, "laws: out of memory");
    for (int s = 0; s < seeds; s++) difference[s] = small[s] - large[s];
    dlf_check check = dlf_check_of(id, claim, dlf_estimate_of(difference, seeds, 1));
    free(difference);
    /* Var of a group's mean h^4 is below Var h^4 / count, and that below 96 / count (Gaussian) */
    const double groups = (double)dlf_run_int(run, "values") / count * seeds;
    check.expected = 0.0;
    check.tolerance = 4.0 * sqrt(2.0 * 96.0 / count / groups);
    check.source = "closed form: the law knows only how many positions share a statistic; 4 "
                   "standard errors";
    return dlf_result_check(dlf_run_result(run), check);
}

static dlf_status figure(dlf_run *run)
{
    dlf_figure f = {
        .id = "laws",
        .kind = DLF_LINES,
        .title = {"批越小，统计量的噪声越大，输出离高斯越远",
                  "The smaller the batch, the noisier its statistics and the less Gaussian its "
                  "output"},
        .subtitle = {"z ~ N(0,1)，有偏方差；虚线为精确公式，无拟合参数；灰色：层归一化，与 B 无关",
                     "z ~ N(0,1), biased variance; dashed: exact laws, nothing fitted; grey: layer "
                     "norm, which does not know B"},
        .x = {{"批大小 B", "batch size B"}, true},
        .y = {{"统计量", "value"}, false}};
    for (int k = 0; k < LAWS; k++) {
        const dlf_series shared = {
            .table = "laws", .where = "law", .equals = laws[k].id, .x = "batch", .colour = k};
        f.series[2 * k] = f.series[2 * k + 1] = shared;
        f.series[2 * k].role = DLF_MEASURED;
        f.series[2 * k].y = "shown";
        f.series[2 * k].lo = "shown_lo";
        f.series[2 * k].hi = "shown_hi";
        f.series[2 * k].points = true;
        f.series[2 * k].label = laws[k].label;
        f.series[2 * k + 1].role = DLF_THEORY;
        f.series[2 * k + 1].y = "shown_theory";
        f.series[2 * k + 1].label = k ? (dlf_text){"", ""} : (dlf_text){"公式", "law"};
    }
    f.series[2 * LAWS] =
        (dlf_series){.role = DLF_CONTROL,
                     .table = "laws",
                     .where = "law",
                     .equals = "layer_norm",
                     .x = "batch",
                     .y = "shown",
                     .lo = "shown_lo",
                     .hi = "shown_hi",
                     .label = {"对照：层归一化 E h⁴ / 3", "control: layer norm, E h⁴ / 3"}};
    return dlf_result_figure(dlf_run_result(run), &f);
}

static dlf_status all_laws(dlf_run *run, measured *m, double *fourth, double from, double to)
{
    const int seeds = dlf_run_seeds(run), features = dlf_run_int(run, "features");
    const dlf_norm control[CONTROLS] = {{.kind = DLF_LAYER_NORM},
                                        {.kind = DLF_GROUP_NORM, .groups = features / GROUP}};
    dlf_table *table;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "laws",
                             (dlf_text){"批统计量的定律", "the laws of batch statistics"},
                             (const dlf_column[]){{"law", NULL},
                                                  {"batch", "rows"},
                                                  {"measured", "1"},
                                                  {"lo", "1"},
                                                  {"hi", "1"},
                                                  {"theory", "1"},
                                                  {"standard_error", "1"},
                                                  {"shown", "1"},
                                                  {"shown_lo", "1"},
                                                  {"shown_hi", "1"},
                                                  {"shown_theory", "1"},
                                                  {NULL, NULL}},
                             &table));
    for (int i = 0; i < SIZES; i++) {
        DLF_TRY(dlf_run_stage(run, from + (to - from) * i / SIZES, "laws, B = %d", sizes[i]));
        DLF_TRY(measure_size(run, sizes[i], m + i * LAWS));
        for (int k = 0; k < CONTROLS; k++)
            DLF_TRY(measure_control(run, control[k], sizes[i], fourth + (k * SIZES + i) * seeds));
    }
    for (int k = 0; k < LAWS; k++)
        for (int i = 0; i < SIZES; i++)
            DLF_TRY(add_row(table, laws[k].id, sizes[i], m[i * LAWS + k].mean, seeds,
                            laws[k].theory(sizes[i]), m[i * LAWS + k].error, laws[k].scale));
    for (int k = 0; k < CONTROLS; k++)
        for (int i = 0; i < SIZES; i++)
            DLF_TRY(add_row(table, dlf_norm_name(control[k].kind), sizes[i],
                            fourth + (k * SIZES + i) * seeds, seeds,
                            dlf_bn_fourth(k ? GROUP : features), NAN, 1.0 / 3.0));
    for (int k = 0; k < LAWS; k++) DLF_TRY(law_check(run, &laws[k], m + k, seeds));
    DLF_TRY(
        control_check(run, "layer_norm_batch",
                      (dlf_text){"对照，层归一化：B = 2 与 B = 128 的输出同分布（E h⁴ 之差为 0）",
                                 "control, layer norm: the same output at B = 2 and B = 128 "
                                 "(difference of E h⁴)"},
                      fourth, seeds, features));
    DLF_TRY(
        control_check(run, "group_norm_batch",
                      (dlf_text){"对照，组归一化：B = 2 与 B = 128 的输出同分布（E h⁴ 之差为 0）",
                                 "control, group norm: the same output at B = 2 and B = 128 "
                                 "(difference of E h⁴)"},
                      fourth + SIZES * seeds, seeds, GROUP));
    return figure(run);
}

dlf_status dlf_bn_laws(dlf_run *run, double from, double to)
{
    const int seeds = dlf_run_seeds(run);
    double *memory = malloc((size_t)((LAWS + CONTROLS) * SIZES * seeds) * sizeof *memory);
    measured m[SIZES * LAWS];
    if (!memory) return dlf_fail(DLF_ERR_OOM, "laws: out of memory");
    for (int i = 0; i < SIZES * LAWS; i++) m[i] = (measured){.mean = memory + i * seeds};
    const dlf_status status = all_laws(run, m, memory + SIZES * LAWS * seeds, from, to);
    free(memory);
    return status;
}
