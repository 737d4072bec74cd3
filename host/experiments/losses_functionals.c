/* SPDX-License-Identifier: MIT
 * losses_functionals.c -- Q19: the constant that minimises a loss. Exponential draws, whose mean,
 * median and quantiles differ; symmetric draws as the control, where they agree. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dlf/ops.h"
#include "dlf/rng.h"
#include "losses.h"
#include "seed_check.h"

enum { GRID = 151, LOSSES = 4 };
#define STEP     0.02
#define QUANTILE 0.9
#define DRAWN    0.3
static const dlf_loss huber = {DLF_LOSS_HUBER, 0.5};

/* Pinball loss d+ max(tau d, (tau-1) d) = |d|/2 + (tau - 1/2) d: absolute error and a slope. */
typedef enum elicit { MEAN, MEDIAN, QUANTILE_90, HUBER } elicit;
static const struct {
    const char *id;
    dlf_text label, functional;
    dlf_loss loss;
} kinds[LOSSES] = {
    {"mse", {"MSE", "MSE"}, {"均值", "mean"}, {.kind = DLF_LOSS_MSE}},
    {"mae", {"MAE", "MAE"}, {"中位数", "median"}, {.kind = DLF_LOSS_MAE}},
    {"pinball",
     {"分位数损失 τ=0.9", "pinball τ=0.9"},
     {"0.9 分位数", "0.9 quantile"},
     {.kind = DLF_LOSS_MAE}},
    {"huber",
     {"Huber δ=0.5", "Huber δ=0.5"},
     {"Huber 中心", "Huber's centre"},
     {DLF_LOSS_HUBER, 0.5}},
};

/* Draws of all seeds and their mean losses over the grid of constants. */
typedef struct sample {
    int seeds, n;
    float *draw;    /* (seeds, n), each seed ascending */
    double *risk;   /* (LOSSES, seeds, GRID)           */
    double *best;   /* (LOSSES, seeds): argmin          */
    double *wanted; /* (LOSSES, seeds): the functional of the sample */
} sample;

static void sample_free(sample *s)
{
    free(s->draw);
    free(s->risk);
    free(s->best);
    free(s->wanted);
}

static int ascending(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static dlf_status sample_new(sample *s, dlf_run *run, int n, bool symmetric)
{
    const size_t seeds = (size_t)dlf_run_seeds(run);
    *s = (sample){.seeds = (int)seeds, .n = n};
    s->draw = malloc(seeds * (size_t)n * sizeof *s->draw);
    s->risk = malloc(LOSSES * seeds * GRID * sizeof *s->risk);
    s->best = malloc(LOSSES * seeds * sizeof *s->best);
    s->wanted = malloc(LOSSES * seeds * sizeof *s->wanted);
    if (!s->draw || !s->risk || !s->best || !s->wanted)
        return dlf_fail(DLF_ERR_OOM, "losses: out of memory");
    const uint32_t stream = dlf_stream(DLF_PURPOSE_INPUT, symmetric ? 1 : 0);
    for (size_t p = 0; p < seeds; p++) {
        float *x = s->draw + p * (size_t)n;
        for (int i = 0; i < n; i++)
            x[i] = symmetric
                       ? 1.0f + dlf_rng_normal(dlf_run_seed(run), stream, (uint32_t)p, (uint64_t)i)
                       : -log1pf(
                             -dlf_rng_uniform(dlf_run_seed(run), stream, (uint32_t)p, (uint64_t)i));
        qsort(x, (size_t)n, sizeof *x, ascending);
    }
    return DLF_OK;
}

/* Sums of a loss over the sample for every constant of the grid, on the device. */
static dlf_status sums_on_device(const sample *s, dlf_device *dev, dlf_loss loss, double *out)
{
    dlf_status status;
    dlf_tensor constant = {0}, draw = {0}, sum = {0};
    const int64_t P = s->seeds, N = s->n;
    float *host = malloc((size_t)(GRID * P * N) * sizeof *host);
    if (!host) return dlf_fail(DLF_ERR_OOM, "losses: out of memory");
    DLF_TRY_DONE(dlf_tensor_new(&constant, dev, dev->real, P, GRID, N));
    DLF_TRY_DONE(dlf_tensor_new(&draw, dev, dev->real, P, GRID, N));
    DLF_TRY_DONE(dlf_tensor_new(&sum, dev, dev->real, P, GRID));
    for (int64_t i = 0; i < P * GRID * N; i++) host[i] = (float)(STEP * (double)(i / N % GRID));
    DLF_TRY_DONE(dlf_tensor_upload(&constant, host));
    for (int64_t i = 0; i < P * GRID * N; i++) host[i] = s->draw[i / (GRID * N) * N + i % N];
    DLF_TRY_DONE(dlf_tensor_upload(&draw, host));
    DLF_TRY_DONE(dlf_loss_forward(&sum, &constant, &draw, loss));
    DLF_TRY_DONE(dlf_tensor_download_f64(out, &sum));
done:
    dlf_tensor_free(&constant);
    dlf_tensor_free(&draw);
    dlf_tensor_free(&sum);
    free(host);
    return status;
}

static double sample_mean(const float *x, int n)
{
    double sum = 0.0;
    for (int i = 0; i < n; i++) sum += x[i];
    return sum / n;
}

/* Root of sum clip(x - m, -k, k): the sum falls with m. */
static double sample_huber(const float *x, int n, double k)
{
    double low = x[0], high = x[n - 1];
    for (int step = 0; step < 60; step++) {
        const double m = 0.5 * (low + high);
        double sum = 0.0;
        for (int i = 0; i < n; i++) sum += fmax(-k, fmin(k, x[i] - m));
        if (sum > 0.0)
            low = m;
        else
            high = m;
    }
    return 0.5 * (low + high);
}

static double functional(elicit kind, const float *x, int n)
{
    switch (kind) {
    case MEAN: return sample_mean(x, n);
    case MEDIAN: return x[n / 2];
    case QUANTILE_90: return x[(int)(QUANTILE * n)]; /* n odd: 0.9 n is not whole */
    default: return sample_huber(x, n, huber.delta);
    }
}

static dlf_status minimise(sample *s, dlf_run *run)
{
    for (int k = 0; k < LOSSES; k++) {
        double *risk = s->risk + (size_t)k * (size_t)s->seeds * GRID;
        DLF_TRY(sums_on_device(s, dlf_run_device(run), kinds[k].loss, risk));
        for (int p = 0; p < s->seeds; p++) {
            const float *x = s->draw + (size_t)p * (size_t)s->n;
            const double mean = sample_mean(x, s->n);
            int best = 0;
            for (int j = 0; j < GRID; j++) {
                double *r = &risk[p * GRID + j];
                *r /= s->n;
                if (k == QUANTILE_90) *r = 0.5 * *r + (QUANTILE - 0.5) * (mean - j * STEP);
                if (*r < risk[p * GRID + best]) best = j;
            }
            s->best[k * s->seeds + p] = best * STEP;
            s->wanted[k * s->seeds + p] = functional((elicit)k, x, s->n);
        }
    }
    return DLF_OK;
}

/* ---- theory of Exp(1) ---- */

static double location(int k)
{
    return k == QUANTILE_90 ? -log(1.0 - QUANTILE) : dlf_loss_location_exponential(kinds[k].loss);
}

/* Mean loss at the constant c above its minimum. E (c - X)+ = c - 1 + e^-c. */
static double excess(int k, double c)
{
    if (k == MEAN) return (c - 1.0) * (c - 1.0);
    const double tau = k == MEDIAN ? 0.5 : QUANTILE, scale = k == MEDIAN ? 2.0 : 1.0;
    const double at = tau * (1.0 - c) + c - 1.0 + exp(-c), q = -log(1.0 - tau);
    return scale * (at - (tau * (1.0 - q) + q - 1.0 + exp(-q)));
}

/* Standard deviation of the estimate times sqrt n. */
static double spread(int k)
{
    if (k == MEAN || k == HUBER) return 1.0; /* huber's is smaller than the mean's */
    const double tau = k == MEDIAN ? 0.5 : QUANTILE;
    return sqrt(tau * (1.0 - tau)) / (1.0 - tau);
}

/* ---- report ---- */

static dlf_status curves(dlf_run *run, const sample *s, const sample *symmetric)
{
    dlf_table *table;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "landscape",
                             (dlf_text){"平均损失与预测常数（减去最小值）",
                                        "mean loss of a constant, minimum subtracted"},
                             (const dlf_column[]){{"loss", NULL},
                                                  {"constant", "1"},
                                                  {"excess", "1"},
                                                  {"lo", "1"},
                                                  {"hi", "1"},
                                                  {"theory", "1"},
                                                  {NULL, NULL}},
                             &table));
    double *value = malloc((size_t)s->seeds * sizeof *value);
    if (!value) return dlf_fail(DLF_ERR_OOM, "losses: out of memory");
    dlf_status status = DLF_OK;
    for (int row = 0; row < 4 && status == DLF_OK; row++) {
        const sample *from = row == 3 ? symmetric : s;
        const int k = row == 3 ? MEDIAN : row;
        for (int j = 0; j < GRID && status == DLF_OK; j += 3) {
            for (int p = 0; p < s->seeds; p++) {
                const double *r = from->risk + ((size_t)k * (size_t)s->seeds + (size_t)p) * GRID;
                const int best = (int)lrint(from->best[k * s->seeds + p] / STEP);
                value[p] = r[j] - r[best];
            }
            const dlf_estimate e = dlf_estimate_of(value, s->seeds, 1);
            if (e.mean > DRAWN) continue; /* the minima are what there is to see */
            status = dlf_table_row(table, DLF_TXT(row == 3 ? "control" : kinds[k].id),
                                   DLF_NUM(j * STEP), DLF_NUM(e.mean), DLF_NUM(e.lo), DLF_NUM(e.hi),
                                   DLF_NUM(row == 3 ? NAN : excess(k, j * STEP)));
        }
    }
    free(value);
    return status;
}

static dlf_status figure(dlf_run *run)
{
    dlf_figure f = {
        .id = "landscape",
        .kind = DLF_LINES,
        .title = {"损失决定预测什么：MSE 给均值，MAE 给中位数，分位数损失给分位数",
                  "The loss decides what is predicted: MSE the mean, MAE the median, pinball a "
                  "quantile"},
        .subtitle = {"用一个常数预测指数分布的样本；灰色：对称分布上的 MAE，最小值就在均值 1",
                     "one constant for exponential draws; grey: MAE on symmetric draws, whose "
                     "minimum is the mean, 1"},
        .x = {{"预测的常数", "constant predicted"}, false},
        .y = {{"平均损失 − 最小值", "mean loss − its minimum"}, false}};
    int n = 0;
    for (int k = 0; k < 3; k++) {
        const dlf_series measured = {.role = DLF_MEASURED,
                                     .table = "landscape",
                                     .where = "loss",
                                     .equals = kinds[k].id,
                                     .x = "constant",
                                     .y = "excess",
                                     .lo = "lo",
                                     .hi = "hi",
                                     .label = kinds[k].label,
                                     .colour = k,
                                     .points = true};
        f.series[n++] = measured;
        f.series[n] = measured;
        f.series[n].role = DLF_THEORY;
        f.series[n].y = "theory";
        f.series[n].lo = f.series[n].hi = NULL;
        f.series[n].points = false;
        f.series[n++].label = (dlf_text){"理论", "theory"};
    }
    f.series[n] = (dlf_series){.role = DLF_CONTROL,
                               .table = "landscape",
                               .where = "loss",
                               .equals = "control",
                               .x = "constant",
                               .y = "excess",
                               .label = {"对照：对称分布", "control: symmetric draws"},
                               .colour = 3};
    return dlf_result_figure(dlf_run_result(run), &f);
}

static dlf_status identity_check(dlf_run *run, const sample *s)
{
    double worst = 0.0;
    for (int i = 0; i < LOSSES * s->seeds; i++) {
        /* beyond the grid the nearest end is the answer */
        const double wanted = fmin(s->wanted[i], (GRID - 1) * STEP);
        worst = fmax(worst, fabs(s->best[i] - wanted));
    }
    dlf_check c =
        dlf_check_exact("argmin_is_functional",
                        (dlf_text){"每个样本上，损失的最小点就是样本的均值、中位数、分位数或 "
                                   "Huber 中心",
                                   "in every sample the minimiser of the loss is the "
                                   "sample's mean, median, quantile or Huber centre"},
                        worst);
    c.expected = 0.0;
    c.tolerance = STEP;
    c.source = "definition; the tolerance is the step of the grid";
    c.self_check = true;
    return dlf_result_check(dlf_run_result(run), c);
}

static dlf_status population_checks(dlf_run *run, const sample *s)
{
    for (int k = 0; k < LOSSES; k++) {
        char id[32], zh[160], en[160], fact[32];
        snprintf(id, sizeof id, "elicits_%s", kinds[k].id);
        snprintf(fact, sizeof fact, "location_%s", kinds[k].id);
        snprintf(zh, sizeof zh, "%s 的最优常数是分布的%s", kinds[k].label.zh,
                 kinds[k].functional.zh);
        snprintf(en, sizeof en, "the best constant for %s is the %s of the distribution",
                 kinds[k].label.en, kinds[k].functional.en);
        dlf_check c = dlf_check_of(id, (dlf_text){zh, en},
                                   dlf_estimate_of(s->best + k * s->seeds, s->seeds, 1));
        c.expected = location(k);
        c.tolerance = STEP / 2 + 4.0 * spread(k) / sqrt((double)s->n * s->seeds);
        c.source =
            "closed form for Exp(1); half a grid step and four standard errors of the sample "
            "functional (Koenker 2005)";
        DLF_TRY(dlf_result_check(dlf_run_result(run), c));
        DLF_TRY(dlf_result_fact(dlf_run_result(run), fact, c.expected, "1"));
    }
    return DLF_OK;
}

static dlf_status control_check(dlf_run *run, const sample *symmetric)
{
    const int seeds = symmetric->seeds;
    double *gap = malloc((size_t)seeds * sizeof *gap);
    if (!gap) return dlf_fail(DLF_ERR_OOM, "losses: out of memory");
    for (int p = 0; p < seeds; p++)
        gap[p] = symmetric->best[MEAN * seeds + p] - symmetric->best[MEDIAN * seeds + p];
    dlf_check c = dlf_check_of("symmetric_agree",
                               (dlf_text){"对照：对称分布上 MSE 与 MAE 的最优常数相同",
                                          "control: on symmetric draws MSE and MAE have the same "
                                          "best constant"},
                               dlf_estimate_of(gap, seeds, 1));
    free(gap);
    c.expected = 0.0;
    /* Var(mean - median) n = 1 - 2 E|X| / (2 f(0)) + pi/2 = pi/2 - 1 for N(0,1) */
    c.tolerance = STEP + 4.0 * sqrt((M_PI / 2 - 1.0) / ((double)symmetric->n * seeds));
    c.source = "symmetry; a grid step and four standard errors of mean - median";
    return dlf_result_check(dlf_run_result(run), c);
}

dlf_status dlf_losses_functionals(dlf_run *run, double from, double to)
{
    dlf_status status;
    sample skewed = {0}, symmetric = {0};
    const int n = dlf_run_int(run, "samples") | 1;
    DLF_TRY_DONE(dlf_run_stage(run, from, "what a loss elicits"));
    DLF_TRY_DONE(sample_new(&skewed, run, n, false));
    DLF_TRY_DONE(minimise(&skewed, run));
    DLF_TRY_DONE(dlf_run_stage(run, 0.5 * (from + to), "what a loss elicits: control"));
    DLF_TRY_DONE(sample_new(&symmetric, run, n, true));
    DLF_TRY_DONE(minimise(&symmetric, run));
    DLF_TRY_DONE(curves(run, &skewed, &symmetric));
    DLF_TRY_DONE(figure(run));
    DLF_TRY_DONE(identity_check(run, &skewed));
    DLF_TRY_DONE(population_checks(run, &skewed));
    DLF_TRY_DONE(control_check(run, &symmetric));
done:
    sample_free(&skewed);
    sample_free(&symmetric);
    return status;
}
