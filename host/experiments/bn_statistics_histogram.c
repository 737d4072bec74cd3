/* SPDX-License-Identifier: MIT
 * bn_statistics_histogram.c -- Q25: the whole distribution of batch norm's output,
 * h^2/(B-1) ~ Beta(1/2, (B-2)/2): two spikes at B = 2, uniform at B = 4, Gaussian only for large B;
 * and never beyond sqrt(B-1), whatever the outlier. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bn_statistics.h"
#include "bn_theory.h"
#include "seed_check.h"

enum { SIZES = 4, BINS = 40 };
static const int sizes[SIZES] = {3, 4, 8, 32};
#define REACH 4.0
#define WIDTH (2.0 * REACH / BINS)

/* Shares of the outputs in the bins, and the largest |h|. */
typedef struct counted {
    double *share; /* (seeds, BINS) */
    double reach;
} counted;

static dlf_status count(dlf_run *run, dlf_norm norm, int rows, int columns, counted *out)
{
    dlf_bn_sample s;
    DLF_TRY(dlf_bn_sample_new(&s, run, norm, dlf_run_seeds(run), rows, columns));
    const size_t n = (size_t)rows * (size_t)columns;
    out->reach = 0.0;
    for (int seed = 0; seed < s.members; seed++) {
        double *share = out->share + seed * BINS;
        for (int b = 0; b < BINS; b++) share[b] = 0.0;
        for (size_t i = 0; i < n; i++) {
            const double h = s.y[(size_t)seed * n + i];
            const int bin = (int)floor((h + REACH) / WIDTH);
            out->reach = !(fabs(h) <= out->reach) ? fabs(h) : out->reach;
            if (bin >= 0 && bin < BINS) share[bin] += 1.0 / (double)n;
        }
    }
    dlf_bn_sample_free(&s);
    return DLF_OK;
}

static double bin_theory(int b, int B)
{
    const double lo = -REACH + b * WIDTH;
    return dlf_bn_cdf(lo + WIDTH, B) - dlf_bn_cdf(lo, B);
}

/* Largest distance between the distribution functions, at the edges of the bins. */
static double distance(const double *share, int B)
{
    double sum = dlf_bn_cdf(-REACH, B), most = 0.0;
    for (int b = 0; b < BINS; b++) {
        sum += share[b];
        most = fmax(most, fabs(sum - dlf_bn_cdf(-REACH + (b + 1) * WIDTH, B)));
    }
    return most;
}

static dlf_status rows_of(dlf_table *t, const char *id, const counted *c, int seeds, int B)
{
    for (int b = 0; b < BINS; b++) {
        const dlf_estimate e = dlf_estimate_of(c->share + b, seeds, BINS);
        DLF_TRY(dlf_table_row(t, DLF_TXT(id), DLF_NUM(-REACH + (b + 0.5) * WIDTH),
                              DLF_NUM(e.mean / WIDTH), DLF_NUM(e.lo / WIDTH), DLF_NUM(e.hi / WIDTH),
                              DLF_NUM(bin_theory(b, B) / WIDTH)));
    }
    return DLF_OK;
}

static dlf_status size_checks(dlf_run *run, const counted *c, int seeds, int B, int batches)
{
    char id[32], zh[200], en[200];
    double *d = malloc((size_t)seeds * sizeof *d);
    if (!d) return dlf_fail(DLF_ERR_OOM, "histogram: out of memory");
    for (int s = 0; s < seeds; s++) d[s] = distance(c->share + s * BINS, B);
    const dlf_estimate e = dlf_estimate_of(d, seeds, 1);
    free(d);
    snprintf(id, sizeof id, "beta_%d", B);
    snprintf(zh, sizeof zh, "B = %d：输出服从 h²/(B−1) ~ Beta(1/2, (B−2)/2)（分布函数的最大偏差）",
             B);
    snprintf(en, sizeof en,
             "B = %d: h²/(B−1) ~ Beta(1/2, (B−2)/2) (largest distance of the distribution "
             "functions)",
             B);
    dlf_check check = dlf_check_of(id, (dlf_text){zh, en}, e);
    check.relation = DLF_AT_MOST;
    /* a seed's maximum of |F_n - F| exceeds 1.95/sqrt(n) once in 1000 (Kolmogorov); the values of a
     * batch sum to 0, so that n is at least the number of batches */
    check.tolerance = 1.95 / sqrt(batches);
    check.source = "closed form: uniform on the sphere; 1.95/sqrt(batches), Kolmogorov's 0.1 %";
    DLF_TRY(dlf_result_check(dlf_run_result(run), check));
    if (B != 8) return DLF_OK;
    check = dlf_check_exact("bounded",
                            (dlf_text){"任何离群值都越不过 |h| = √(B−1)（B = 8 的最大 |h|）",
                                       "no outlier passes |h| = √(B−1) (largest |h| at B = 8)"},
                            c->reach);
    check.expected = sqrt(B - 1.0);
    check.tolerance = 1e-5;
    check.relation = DLF_AT_MOST;
    check.self_check = true;
    check.source = "h_i^2 <= B - 1: the other B-1 values sum to -h_i and square to B - h_i^2 "
                   "(Cauchy-Schwarz); 1e-5: float32";
    return dlf_result_check(dlf_run_result(run), check);
}

/* B = 2: the share of outputs that are +1 or -1. */
static dlf_status sign_check(dlf_run *run)
{
    const int seeds = dlf_run_seeds(run), columns = dlf_run_int(run, "values") / 2;
    dlf_bn_sample s;
    double *share = calloc((size_t)seeds, sizeof *share);
    if (!share) return dlf_fail(DLF_ERR_OOM, "histogram: out of memory");
    dlf_status status =
        dlf_bn_sample_new(&s, run, (dlf_norm){.kind = DLF_BATCH_NORM}, seeds, 2, columns);
    if (status == DLF_OK) {
        for (int seed = 0; seed < seeds; seed++)
            for (int i = 0; i < 2 * columns; i++) {
                const double h = s.y[(size_t)seed * 2 * (size_t)columns + (size_t)i];
                share[seed] += (fabs(fabs(h) - 1.0) < 1e-4) / (2.0 * columns);
            }
        dlf_bn_sample_free(&s);
        dlf_check check = dlf_check_of(
            "two_signs",
            (dlf_text){"B = 2：输出只剩 ±1，幅度信息全部丢失（|h| = 1 的比例）",
                       "B = 2: the output is +1 or −1 and nothing else, all magnitudes are lost "
                       "(share of |h| = 1)"},
            dlf_estimate_of(share, seeds, 1));
        check.expected = 1.0;
        check.tolerance = 1e-4;
        check.source = "closed form: (z1 - z2)/2 over |z1 - z2|/2; two draws that are equal in "
                       "float32 give 0, once in 10 million pairs";
        status = dlf_result_check(dlf_run_result(run), check);
    }
    free(share);
    return status;
}

static dlf_status figure(dlf_run *run)
{
    static const char *const ids[SIZES] = {"b3", "b4", "b8", "b32"};
    static const dlf_text labels[SIZES] = {
        {"B = 3", "B = 3"}, {"B = 4", "B = 4"}, {"B = 8", "B = 8"}, {"B = 32", "B = 32"}};
    dlf_figure f = {
        .id = "histogram",
        .kind = DLF_LINES,
        .title =
            {"批归一化的输出分布只由 B 决定：B = 4 时均匀，B = 32 时才接近高斯",
             "The output's distribution is a matter of B alone: uniform at B = 4, Gaussian only "
             "for large B"},
        .subtitle = {"z ~ N(0,1)；虚线为 Beta 定律；灰色：32 个特征的层归一化",
                     "z ~ N(0,1); dashed: the Beta law; grey: layer norm over 32 features"},
        .x = {{"输出 h", "output h"}, false},
        .y = {{"概率密度", "density"}, false}};
    for (int i = 0; i <= SIZES; i++) {
        const dlf_series shared = {.table = "histogram",
                                   .where = "arm",
                                   .equals = i < SIZES ? ids[i] : "layer_norm",
                                   .x = "h",
                                   .colour = i};
        dlf_series *s = &f.series[2 * i];
        s[0] = shared;
        s[0].role = i < SIZES ? DLF_MEASURED : DLF_CONTROL;
        s[0].y = "density";
        s[0].points = i < SIZES;
        s[0].label = i < SIZES ? labels[i] : (dlf_text){"对照：层归一化", "control: layer norm"};
        if (i == SIZES) break;
        s[1] = shared;
        s[1].role = DLF_THEORY;
        s[1].y = "theory";
        s[1].label = i ? (dlf_text){"", ""} : (dlf_text){"Beta 定律", "Beta law"};
    }
    return dlf_result_figure(dlf_run_result(run), &f);
}

static dlf_status all_sizes(dlf_run *run, counted *c, double from, double to)
{
    const int seeds = dlf_run_seeds(run), values = dlf_run_int(run, "values");
    const int features = dlf_run_int(run, "features");
    dlf_table *table;
    DLF_TRY(
        dlf_result_table(dlf_run_result(run), "histogram",
                         (dlf_text){"批归一化输出的分布", "distribution of batch norm's output"},
                         (const dlf_column[]){{"arm", NULL},
                                              {"h", "1"},
                                              {"density", "1"},
                                              {"lo", "1"},
                                              {"hi", "1"},
                                              {"theory", "1"},
                                              {NULL, NULL}},
                         &table));
    for (int i = 0; i < SIZES; i++) {
        const int B = sizes[i], batches = values / B;
        char id[16];
        DLF_TRY(dlf_run_stage(run, from + (to - from) * i / (SIZES + 1), "histogram, B = %d", B));
        DLF_TRY(count(run, (dlf_norm){.kind = DLF_BATCH_NORM}, B, batches, c));
        snprintf(id, sizeof id, "b%d", B);
        DLF_TRY(rows_of(table, id, c, seeds, B));
        DLF_TRY(size_checks(run, c, seeds, B, batches));
    }
    DLF_TRY(count(run, (dlf_norm){.kind = DLF_LAYER_NORM}, values / features, features, c));
    DLF_TRY(rows_of(table, "layer_norm", c, seeds, features));
    DLF_TRY(sign_check(run));
    return figure(run);
}

dlf_status dlf_bn_histogram(dlf_run *run, double from, double to)
{
    counted c = {.share = malloc((size_t)dlf_run_seeds(run) * BINS * sizeof(double))};
    if (!c.share) return dlf_fail(DLF_ERR_OOM, "histogram: out of memory");
    const dlf_status status = all_sizes(run, &c, from, to);
    free(c.share);
    return status;
}
