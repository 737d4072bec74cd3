/* SPDX-License-Identifier: MIT
 * dropout_scaling.c -- Q31: what a mask does to a sum. Mean and variance of dropout with and
 * without rescaling, DropConnect and whole channels, and what is correlated with what. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/rng.h"
#include "dropout.h"
#include "figures.h"
#include "seed_check.h"

/* Two rows x, two units w: every second moment of the four sums x.w that a mask may couple. */
enum { ROWS = 2, UNITS = 2, SPAN = 6, INPUTS = 8 * SPAN, KEEPS = 6, SUMS = ROWS * UNITS };
static const double keeps[KEEPS] = {0.3, 0.4, 0.5, 0.7, 0.9, 1.0};

typedef enum mask_way { RESCALED, PLAIN, CHANNELS, CONNECT, WAYS } mask_way;
static const char *const way_ids[WAYS] = {"dropout", "plain", "channels", "dropconnect"};

typedef enum mask_moment { MEAN, VARIANCE, UNITS_TOGETHER, ROWS_TOGETHER, MOMENTS } mask_moment;
static const char *const moment_ids[MOMENTS] = {"mean", "variance", "unit_covariance",
                                                "row_covariance"};

typedef struct study {
    int masks, seeds;
    double x[ROWS * INPUTS], w[UNITS * INPUTS];
    double *value; /* (WAYS, KEEPS, MOMENTS, seeds) */
} study;

static double *cell(const study *s, int way, int keep, int moment)
{
    return s->value + ((way * KEEPS + keep) * MOMENTS + moment) * s->seeds;
}

/* ---- theory ---- */

/* Sum over what shares a mask. Row r, unit u: terms x_rj w_uj. */
static double theory(const study *s, int way, double keep, int moment)
{
    double mean = 0.0, couple = 0.0, run_a = 0.0, run_b = 0.0;
    const int row = moment == ROWS_TOGETHER, unit = moment == UNITS_TOGETHER;
    for (int j = 0; j < INPUTS; j++) {
        const double a = s->x[j] * s->w[j], b = s->x[row * INPUTS + j] * s->w[unit * INPUTS + j];
        mean += a;
        run_a += a;
        run_b += b;
        if (way == CHANNELS && (j + 1) % SPAN) continue; /* a mask for SPAN terms together */
        couple += run_a * run_b;
        run_a = run_b = 0.0;
    }
    if (moment == MEAN) return way == PLAIN ? keep * mean : mean;
    /* masks of units are drawn per row, masks of weights per unit */
    if (moment == ROWS_TOGETHER && way != CONNECT) return 0.0;
    if (moment == UNITS_TOGETHER && way == CONNECT) return 0.0;
    return (way == PLAIN ? keep * (1.0 - keep) : (1.0 - keep) / keep) * couple;
}

/* ---- measured ---- */

/* Mean and (co)variances of sums (masks, ROWS, UNITS) of each keep. */
static void take_moments(study *s, mask_way k, int seed, const double *y)
{
    for (int keep = 0; keep < KEEPS; keep++) {
        const double *from = y + (int64_t)keep * s->masks * SUMS;
        double mean[SUMS] = {0.0}, with[SUMS] = {0.0};
        for (int m = 0; m < s->masks; m++)
            for (int i = 0; i < SUMS; i++) mean[i] += from[m * SUMS + i] / s->masks;
        for (int m = 0; m < s->masks; m++)
            for (int i = 0; i < SUMS; i++)
                with[i] += (from[m * SUMS] - mean[0]) * (from[m * SUMS + i] - mean[i]);
        cell(s, k, keep, MEAN)[seed] = mean[0];
        cell(s, k, keep, VARIANCE)[seed] = with[0] / (s->masks - 1);
        cell(s, k, keep, UNITS_TOGETHER)[seed] = with[1] / (s->masks - 1);
        cell(s, k, keep, ROWS_TOGETHER)[seed] = with[UNITS] / (s->masks - 1);
    }
}

typedef struct arrays {
    dlf_tensor full, masked, other, y, member, rate;
    float *tile;
    double *host;
    int32_t *index;
} arrays;

static void arrays_free(arrays *a)
{
    dlf_tensor *all[] = {&a->full, &a->masked, &a->other, &a->y, &a->member, &a->rate};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) dlf_tensor_free(all[i]);
    free(a->tile);
    free(a->host);
    free(a->index);
}

/* What is masked, once per member (keep, mask); the other factor once. */
static dlf_status arrays_new(arrays *a, const study *s, dlf_device *dev, mask_way k)
{
    const int64_t P = KEEPS * (int64_t)s->masks, each = ROWS * INPUTS;
    const double *what = k == CONNECT ? s->w : s->x, *other = k == CONNECT ? s->x : s->w;
    a->tile = malloc((size_t)(P * each) * sizeof *a->tile);
    a->host = malloc((size_t)(P * SUMS) * sizeof *a->host);
    a->index = malloc((size_t)P * sizeof *a->index);
    if (!a->tile || !a->host || !a->index) return dlf_fail(DLF_ERR_OOM, "dropout: out of memory");
    for (int64_t p = 0; p < P; p++) {
        for (int64_t i = 0; i < each; i++) a->tile[p * each + i] = (float)what[i];
        a->host[p] = 1.0 - keeps[p / s->masks];
    }
    DLF_TRY(dlf_tensor_new(&a->full, dev, dev->real, P, ROWS, INPUTS));
    DLF_TRY(dlf_tensor_new(&a->masked, dev, dev->real, P, ROWS, INPUTS));
    DLF_TRY(dlf_tensor_new(&a->other, dev, dev->real, 1, UNITS, INPUTS));
    DLF_TRY(dlf_tensor_new(&a->y, dev, dev->real, P, ROWS, UNITS));
    DLF_TRY(dlf_tensor_new(&a->member, dev, DLF_I32, P));
    DLF_TRY(dlf_tensor_new(&a->rate, dev, dev->real, P));
    DLF_TRY(dlf_tensor_upload(&a->full, a->tile));
    DLF_TRY(dlf_tensor_upload_f64(&a->other, other));
    return dlf_tensor_upload_f64(&a->rate, a->host);
}

static dlf_status measure(dlf_run *run, study *s, mask_way k)
{
    dlf_status status;
    arrays a = {0};
    const int64_t P = KEEPS * (int64_t)s->masks;
    DLF_TRY_DONE(arrays_new(&a, s, dlf_run_device(run), k));
    for (int seed = 0; seed < s->seeds; seed++) {
        /* every keep sees the same uniform numbers: its curve is smooth */
        for (int64_t p = 0; p < P; p++) a.index[p] = (int32_t)(seed * s->masks + p % s->masks);
        DLF_TRY_DONE(dlf_tensor_upload_i32(&a.member, a.index));
        const dlf_dropout how = {
            .rng = {dlf_run_seed(run), dlf_stream(DLF_PURPOSE_DROPOUT, (uint32_t)(120 + k))},
            .run = k == CHANNELS ? SPAN : 1,
            .rescale = k != PLAIN};
        DLF_TRY_DONE(dlf_dropout_apply(&a.masked, &a.full, &a.member, &a.rate, NULL, how));
        const dlf_gemm_args args = {.trans_b = true, .alpha = 1.0};
        DLF_TRY_DONE(k == CONNECT ? dlf_gemm(&a.y, &a.other, &a.masked, args)
                                  : dlf_gemm(&a.y, &a.masked, &a.other, args));
        DLF_TRY_DONE(dlf_tensor_download_f64(a.host, &a.y));
        take_moments(s, k, seed, a.host);
    }
done:
    arrays_free(&a);
    return status;
}

/* ---- report ---- */

static dlf_status table(dlf_run *run, const study *s)
{
    dlf_table *t;
    char name[40];
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "scaling",
        (dlf_text){"掩码后求和的均值与协方差", "mean and covariances of masked sums"},
        (const dlf_column[]){{"way", NULL},
                             {"moment", NULL},
                             {"curve", NULL},
                             {"keep", "1"},
                             {"measured", "1"},
                             {"lo", "1"},
                             {"hi", "1"},
                             {"theory", "1"},
                             {NULL, NULL}},
        &t));
    for (int k = 0; k < WAYS; k++)
        for (int m = 0; m < MOMENTS; m++)
            for (int i = 0; i < KEEPS; i++) {
                const dlf_estimate e = dlf_estimate_of(cell(s, k, i, m), s->seeds, 1);
                snprintf(name, sizeof name, "%s_%s", way_ids[k], moment_ids[m]);
                DLF_TRY(dlf_table_row(t, DLF_TXT(way_ids[k]), DLF_TXT(moment_ids[m]), DLF_TXT(name),
                                      DLF_NUM(keeps[i]), DLF_NUM(e.mean), DLF_NUM(e.lo),
                                      DLF_NUM(e.hi), DLF_NUM(theory(s, k, keeps[i], m))));
            }
    return DLF_OK;
}

/* One check per way and moment, of the worst keep: how many standard errors the mean over all masks
 * of all seeds is from theory. */
static dlf_status check(dlf_run *run, const study *s, const char *id, dlf_text claim, mask_way k,
                        mask_moment m)
{
    const double masks = (double)s->masks * s->seeds;
    dlf_check c = {.n = 0};
    double worst = -1.0;
    for (int i = 0; i + 1 < KEEPS; i++) {
        const dlf_estimate e = dlf_estimate_of(cell(s, k, i, m), s->seeds, 1);
        const double want = theory(s, k, keeps[i], m);
        /* Standard errors: sqrt(Var/n) of the mean; sqrt(2/n) Var of a variance of nearly normal
         * sums, sqrt(1/n) Var of a covariance that is 0. */
        const double variance = theory(s, k, keeps[i], VARIANCE);
        const double error = m == MEAN ? sqrt(variance / masks) : variance * sqrt(2.0 / masks);
        if (fabs(e.mean - want) / error <= worst) continue;
        worst = fabs(e.mean - want) / error;
        c = dlf_check_of(id, claim, e);
        c.expected = want;
        c.tolerance = 4.0 * error;
    }
    c.source = "Bernoulli variance keep(1−keep), summed over what shares a mask; four standard "
               "errors of all masks; the worst keep";
    return dlf_result_check(dlf_run_result(run), c);
}

static dlf_status checks(dlf_run *run, const study *s)
{
    DLF_TRY(check(run, s, "scaling_mean",
                  (dlf_text){"除以保留概率后，期望与不丢弃时相同",
                             "divided by the keep probability, the expectation is that without "
                             "dropout"},
                  RESCALED, MEAN));
    DLF_TRY(check(run, s, "scaling_mean_plain",
                  (dlf_text){"对照：不除时，期望缩小为保留概率倍",
                             "control: not divided, the expectation shrinks by the keep "
                             "probability"},
                  PLAIN, MEAN));
    DLF_TRY(
        check(run, s, "scaling_variance",
              (dlf_text){"方差等于 (1−keep)/keep·Σ(w·x)²", "the variance is (1−keep)/keep Σ(w x)²"},
              RESCALED, VARIANCE));
    DLF_TRY(check(run, s, "scaling_variance_channels",
                  (dlf_text){"整个通道一起丢弃：同一通道内先相加再平方",
                             "whole channels dropped: summed within the channel, then squared"},
                  CHANNELS, VARIANCE));
    DLF_TRY(check(run, s, "connect_variance",
                  (dlf_text){"DropConnect 的单个输出方差与 dropout 相同",
                             "one output has the same variance under DropConnect"},
                  CONNECT, VARIANCE));
    DLF_TRY(check(run, s, "dropout_units_together",
                  (dlf_text){"dropout 使同一层的单元互相关联",
                             "dropout correlates the units of a layer with each other"},
                  RESCALED, UNITS_TOGETHER));
    DLF_TRY(check(run, s, "connect_units_together",
                  (dlf_text){"对照：DropConnect 的单元互不相关",
                             "control: under DropConnect units are uncorrelated"},
                  CONNECT, UNITS_TOGETHER));
    return check(run, s, "connect_rows_together",
                 (dlf_text){"一批样本共用一个 DropConnect 掩码时，样本之间互相关联",
                            "a DropConnect mask shared by a batch correlates its rows"},
                 CONNECT, ROWS_TOGETHER);
}

static dlf_status figure(dlf_run *run)
{
    static const struct {
        const char *curve;
        dlf_text label;
        bool theory;
    } shown[] = {
        {"dropout_variance", {"dropout，除以 keep", "dropout, divided by keep"}, true},
        {"plain_variance", {"dropout，不除", "dropout, not divided"}, true},
        {"dropconnect_variance", {"DropConnect", "DropConnect"}, false}, /* theory of the first */
        {"dropout_unit_covariance", {"dropout：两单元协方差", "dropout: two units"}, true},
    };
    dlf_figure f = {
        .id = "scaling",
        .kind = DLF_LINES,
        .title = {"掩码给求和加上的方差与公式一致，keep = 1 时为零",
                  "The variance that a mask adds follows the formula and vanishes at keep = 1"},
        .subtitle = {"点：随机掩码；虚线：理论；灰色对照：DropConnect 下两个单元的协方差，恒为零",
                     "points: random masks; dashed: theory; grey control: covariance of two units "
                     "under DropConnect, always 0"},
        .x = {{"保留概率 keep", "keep probability"}, false},
        .y = {{"方差或协方差", "variance or covariance"}, false}};
    int n = 0;
    for (int k = 0; k < (int)(sizeof shown / sizeof shown[0]); k++) {
        f.series[n] = dlf_arm_series(DLF_MEASURED, "scaling", "curve", shown[k].curve, "keep",
                                     "measured", shown[k].label, k);
        f.series[n].points = true;
        n++;
        if (!shown[k].theory) continue;
        f.series[n] = f.series[n - 1];
        f.series[n].role = DLF_THEORY;
        f.series[n].y = "theory";
        f.series[n].lo = f.series[n].hi = NULL;
        f.series[n].points = false;
        f.series[n++].label = (dlf_text){"理论", "theory"};
    }
    f.series[n] = f.series[0];
    f.series[n].role = DLF_CONTROL;
    f.series[n].equals = "dropconnect_unit_covariance";
    f.series[n].label = (dlf_text){"对照：DropConnect，两单元", "control: DropConnect, two units"};
    f.series[n].colour = 4;
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_dropout_scaling(dlf_run *run, double from, double to)
{
    dlf_status status;
    study s = {.masks = dlf_run_int(run, "masks"), .seeds = dlf_run_seeds(run)};
    const uint64_t seed = dlf_run_seed(run);
    s.value = calloc((size_t)(WAYS * KEEPS * MOMENTS * s.seeds), sizeof *s.value);
    if (!s.value) return dlf_fail(DLF_ERR_OOM, "dropout: out of memory");
    for (int i = 0; i < ROWS * INPUTS; i++) { /* neighbours are alike, as in a channel */
        s.x[i] = 1.0 + 0.5 * (double)dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_INPUT, 120), 0,
                                                    (uint64_t)i);
        s.w[i] = 1.0 +
                 0.5 * (double)dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_WEIGHTS, 120), 0,
                                              (uint64_t)(i / SPAN)) +
                 0.2 * (double)dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_WEIGHTS, 121), 0,
                                              (uint64_t)i);
        s.w[i] /= sqrt(INPUTS);
    }
    for (int k = 0; k < WAYS; k++) {
        DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * k / WAYS, "masks: %s", way_ids[k]));
        DLF_TRY_DONE(measure(run, &s, (mask_way)k));
    }
    DLF_TRY_DONE(table(run, &s));
    DLF_TRY_DONE(checks(run, &s));
    DLF_TRY_DONE(figure(run));
done:
    free(s.value);
    return status;
}
