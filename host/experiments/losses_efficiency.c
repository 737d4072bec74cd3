/* SPDX-License-Identifier: MIT
 * losses_efficiency.c -- Q19: which loss estimates a centre best depends on the noise. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dlf/ops.h"
#include "dlf/rng.h"
#include "losses.h"
#include "seed_check.h"

enum { NOISES = 3, ESTIMATORS = 3, PIECE = 500 };
static const dlf_loss losses[ESTIMATORS] = {
    {.kind = DLF_LOSS_MSE}, {.kind = DLF_LOSS_MAE}, {DLF_LOSS_HUBER, 1.345}};
static const char *const loss_ids[ESTIMATORS] = {"mse", "mae", "huber"};
static const dlf_text loss_names[ESTIMATORS] = {{"MSE（均值）", "MSE (mean)"},
                                                {"MAE（中位数）", "MAE (median)"},
                                                {"Huber δ=1.345", "Huber δ=1.345"}};
static const struct {
    const char *id;
    dlf_text name;
    dlf_noise law;
} noises[NOISES] = {
    {"gaussian", {"高斯噪声", "Gaussian noise"}, {false, 0.0, 1.0}},
    {"laplace", {"拉普拉斯噪声", "Laplace noise"}, {true, 0.0, 1.0}},
    {"outliers", {"10% 离群点，σ=10", "10 % outliers, σ=10"}, {false, 0.1, 10.0}},
};

/* n draws of repetition `rep`; the stream of each noise is its own. */
static void draw(double *x, int n, int noise, uint64_t seed, uint32_t rep)
{
    const dlf_noise f = noises[noise].law;
    const uint32_t values = dlf_stream(DLF_PURPOSE_INPUT, 16 + (uint32_t)noise);
    const uint32_t choice = dlf_stream(DLF_PURPOSE_INPUT, 32 + (uint32_t)noise);
    for (int i = 0; i < n; i++) {
        if (f.laplace) {
            const double u = ((double)dlf_rng_bits(seed, values, rep, (uint64_t)i) + 0.5) * 0x1p-32;
            x[i] = u < 0.5 ? log(2.0 * u) : -log(2.0 * (1.0 - u));
            continue;
        }
        x[i] = dlf_rng_normal(seed, values, rep, (uint64_t)i);
        if (f.share > 0.0 && dlf_rng_uniform(seed, choice, rep, (uint64_t)i) < f.share)
            x[i] *= f.outlier;
    }
}

/* The middle of n values, n odd; reorders x (Hoare's selection). */
static double median(double *x, int n)
{
    int low = 0, high = n - 1;
    const int middle = n / 2;
    while (low < high) {
        const double pivot = x[middle];
        int i = low, j = high;
        while (i <= j) {
            while (x[i] < pivot) i++;
            while (pivot < x[j]) j--;
            if (i > j) break;
            const double t = x[i];
            x[i++] = x[j];
            x[j--] = t;
        }
        if (j < middle) low = i;
        if (middle < i) high = j;
    }
    return x[middle];
}

/* Newton's method on sum psi(x - m) = 0 from the median: psi is piecewise linear, so it ends. */
static double huber_centre(const double *x, int n, double start, double k)
{
    double m = start;
    for (int step = 0; step < 30; step++) {
        double sum = 0.0;
        int inside = 0;
        for (int i = 0; i < n; i++) {
            const double d = x[i] - m;
            sum += d < -k ? -k : d > k ? k : d;
            inside += fabs(d) <= k;
        }
        const double move = sum / (inside ? inside : n);
        m += move;
        if (fabs(move) < 1e-12) break;
    }
    return m;
}

/* n times the mean square of every estimate over the repetitions of one seed; the truth is 0. */
static dlf_status one_seed(dlf_run *run, int noise, int seed, double *work, double out[ESTIMATORS])
{
    const int n = dlf_run_int(run, "samples") | 1, trials = dlf_run_int(run, "trials");
    double square[ESTIMATORS] = {0.0};
    for (int t = 0; t < trials; t++) {
        const uint32_t rep = (uint32_t)seed * (uint32_t)trials + (uint32_t)t;
        draw(work, n, noise, dlf_run_seed(run), rep);
        double mean = 0.0;
        for (int i = 0; i < n; i++) mean += work[i] / n;
        const double middle = median(work, n);
        const double huber = huber_centre(work, n, middle, losses[2].delta);
        square[0] += mean * mean;
        square[1] += middle * middle;
        square[2] += huber * huber;
    }
    for (int k = 0; k < ESTIMATORS; k++) out[k] = n * square[k] / trials;
    return DLF_OK;
}

/* Variance of each estimator times n; of the median at this n, of Huber's for large n. */
static double theory(int noise, int k, int n)
{
    return k == 1 ? dlf_median_variance(noises[noise].law, n)
                  : dlf_loss_variance(noises[noise].law, losses[k]);
}

/* Four standard errors of the ratio of two mean squares of `trials` pairs of estimates whose
 * correlation is that of mean and median for large n, Cov = E|X| / (2 f(0) n). */
static double ratio_tolerance(int noise, double trials)
{
    const dlf_noise f = noises[noise].law;
    const double cov = dlf_noise_mean_abs(f) / (2.0 * dlf_noise_density(f, 0.0));
    const double rho2 = cov * cov / (dlf_noise_variance(f) * dlf_loss_variance(f, losses[1]));
    return 4.0 * sqrt(4.0 * (1.0 - rho2) / trials);
}

static dlf_status ratio_check(dlf_run *run, int noise, const double *variance)
{
    const int seeds = dlf_run_seeds(run), n = dlf_run_int(run, "samples") | 1;
    double *ratio = malloc((size_t)seeds * sizeof *ratio);
    if (!ratio) return dlf_fail(DLF_ERR_OOM, "losses: out of memory");
    for (int p = 0; p < seeds; p++)
        ratio[p] = variance[p * ESTIMATORS + 1] / variance[p * ESTIMATORS];
    const dlf_estimate e = dlf_estimate_of(ratio, seeds, 1);
    free(ratio);
    char id[40], fact[48], zh[160], en[200];
    snprintf(id, sizeof id, "efficiency_%s", noises[noise].id);
    snprintf(fact, sizeof fact, "efficiency_limit_%s", noises[noise].id);
    snprintf(zh, sizeof zh, "%s下，中位数（MAE）的方差是均值（MSE）的这么多倍",
             noises[noise].name.zh);
    snprintf(en, sizeof en,
             "with %s the variance of the median (MAE) is this many times the mean's",
             noises[noise].name.en);
    dlf_check c = dlf_check_of(id, (dlf_text){zh, en}, e);
    c.expected = theory(noise, 1, n) / theory(noise, 0, n);
    c.relative = true;
    c.tolerance = ratio_tolerance(noise, (double)seeds * dlf_run_int(run, "trials"));
    c.source = "exact variance of the middle order statistic at this n; four standard errors";
    DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    return dlf_result_fact(dlf_run_result(run), fact,
                           dlf_loss_variance(noises[noise].law, losses[1]) /
                               dlf_loss_variance(noises[noise].law, losses[0]),
                           "1");
}

/* Is there one loss that is best for every noise? */
static dlf_status best_check(dlf_run *run, double best[NOISES][ESTIMATORS])
{
    int winner[NOISES];
    for (int i = 0; i < NOISES; i++) {
        winner[i] = 0;
        for (int k = 1; k < ESTIMATORS; k++)
            if (best[i][k] < best[i][winner[i]]) winner[i] = k;
    }
    dlf_check c = dlf_check_exact(
        "one_loss_for_all",
        (dlf_text){"有一种损失在每种噪声下都最好", "one loss is best whatever the noise"},
        1.0 + (winner[1] != winner[0]) + (winner[2] != winner[0] && winner[2] != winner[1]));
    c.n = dlf_run_seeds(run);
    c.expected = 1.0;
    c.source = "maximum likelihood: the best loss is −ln of the noise's density (Huber 1964)";
    c.note = "number of different winners over the three kinds of noise";
    return dlf_result_check(dlf_run_result(run), c);
}

static dlf_status figure(dlf_run *run)
{
    dlf_figure f = {
        .id = "efficiency",
        .kind = DLF_BARS,
        .title = {"没有对所有噪声都最好的损失：MSE 配高斯，MAE 配拉普拉斯，Huber 抗离群点",
                  "No loss is best for every noise: MSE for Gaussian, MAE for Laplace, Huber for "
                  "outliers"},
        .subtitle =
            {"估计中心的方差乘以样本数，虚线为理论；高斯是对照：MSE 在那里最好",
             "n × variance of the estimated centre, theory dashed; control: Gaussian noise, "
             "where MSE is best"},
        .x = {{"噪声", "noise"}, false},
        .y = {{"n × 方差", "n × variance"}, true}};
    for (int k = 0; k < ESTIMATORS; k++) {
        const dlf_series bar = {.role = k ? DLF_MEASURED : DLF_CONTROL,
                                .table = "efficiency",
                                .where = "loss",
                                .equals = loss_ids[k],
                                .x = "noise",
                                .y = "variance",
                                .lo = "lo",
                                .hi = "hi",
                                .label = loss_names[k],
                                .colour = k};
        f.series[2 * k] = f.series[2 * k + 1] = bar;
        f.series[2 * k + 1].role = DLF_THEORY;
        f.series[2 * k + 1].y = "theory";
        f.series[2 * k + 1].lo = f.series[2 * k + 1].hi = NULL;
        f.series[2 * k + 1].label = (dlf_text){"理论", "theory"};
    }
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_losses_efficiency(dlf_run *run, double from, double to)
{
    dlf_status status;
    const int seeds = dlf_run_seeds(run), n = dlf_run_int(run, "samples") | 1;
    double best[NOISES][ESTIMATORS];
    dlf_table *table;
    double *variance = malloc((size_t)(seeds * ESTIMATORS) * sizeof *variance);
    double *work = malloc((size_t)n * sizeof *work);
    if (!variance || !work) {
        status = dlf_fail(DLF_ERR_OOM, "losses: out of memory");
        goto done;
    }
    DLF_TRY_DONE(dlf_result_table(
        dlf_run_result(run), "efficiency",
        (dlf_text){"估计中心的方差乘以样本数", "n times the variance of the estimated centre"},
        (const dlf_column[]){{"noise", NULL},
                             {"noise_zh", NULL},
                             {"noise_en", NULL},
                             {"loss", NULL},
                             {"variance", "1"},
                             {"lo", "1"},
                             {"hi", "1"},
                             {"theory", "1"},
                             {NULL, NULL}},
        &table));
    for (int i = 0; i < NOISES; i++) {
        for (int p = 0; p < seeds; p++) {
            const double done = (double)(i * seeds + p) / (NOISES * seeds);
            DLF_TRY_DONE(
                dlf_run_stage(run, from + (to - from) * done, "efficiency: %s", noises[i].id));
            DLF_TRY_DONE(one_seed(run, i, p, work, variance + p * ESTIMATORS));
        }
        for (int k = 0; k < ESTIMATORS; k++) {
            const dlf_estimate e = dlf_estimate_of(variance + k, seeds, ESTIMATORS);
            best[i][k] = e.mean;
            DLF_TRY_DONE(dlf_table_row(table, DLF_TXT(noises[i].id), DLF_TXT(noises[i].name.zh),
                                       DLF_TXT(noises[i].name.en), DLF_TXT(loss_ids[k]),
                                       DLF_NUM(e.mean), DLF_NUM(e.lo), DLF_NUM(e.hi),
                                       DLF_NUM(theory(i, k, n))));
        }
        DLF_TRY_DONE(ratio_check(run, i, variance));
    }
    DLF_TRY_DONE(best_check(run, best));
    DLF_TRY_DONE(figure(run));
done:
    free(variance);
    free(work);
    return status;
}
