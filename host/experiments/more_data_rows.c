/* SPDX-License-Identifier: MIT
 * more_data_rows.c -- Q2: least squares by number of rows: 1/n where rows are many, and a peak at n
 * = p where more rows are worse. Control: ridge. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dlf/rng.h"
#include "least_squares.h"
#include "more_data.h"
#include "seed_check.h"

static const double ratios[] = {0.2, 0.4, 0.6, 0.8, 1.2, 1.6, 2.4, 4.0, 10.0};
enum { RATIOS = sizeof ratios / sizeof ratios[0], FEW = 1, PEAK = 3, MANY = 7, ARMS = 2 };
static const double sigma = 1.0;
static const char *const arm_ids[ARMS] = {"plain", "ridge"};

static int rows_of(const dlf_run *run, int k)
{
    return (int)lround(ratios[k] * dlf_run_int(run, "p"));
}

/* |w - beta|^2 of one data set: without a penalty, and with the best ridge, sigma^2 p. */
static dlf_status fit(const dlf_run *run, int k, uint32_t member, double *room, double risk[ARMS])
{
    const int n = rows_of(run, k), p = dlf_run_int(run, "p");
    double *x = room, *y = x + (long)n * p, *beta = y + n, *w = beta + p, length = 0.0;
    const uint64_t seed = dlf_run_seed(run);
    const uint32_t layer = 50 + (uint32_t)k;
    for (int j = 0; j < p; j++) {
        beta[j] = dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_WEIGHTS, layer), member, (uint64_t)j);
        length += beta[j] * beta[j];
    }
    for (int j = 0; j < p; j++) beta[j] /= sqrt(length);
    for (long i = 0; i < (long)n * p; i++)
        x[i] = dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_INPUT, layer), member, (uint64_t)i);
    for (int i = 0; i < n; i++) {
        y[i] =
            sigma * dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_TEST, layer), member, (uint64_t)i);
        for (int j = 0; j < p; j++) y[i] += x[(long)i * p + j] * beta[j];
    }
    for (int arm = 0; arm < ARMS; arm++) {
        DLF_TRY(dlf_least_squares(w, x, y, n, p, arm ? sigma * sigma * p : 0.0));
        risk[arm] = 0.0;
        for (int j = 0; j < p; j++) risk[arm] += pow(w[j] - beta[j], 2.0);
    }
    return DLF_OK;
}

/* risk (ARMS, RATIOS, seeds) */
static double *cell(double *risk, const dlf_run *run, int arm, int k)
{
    return risk + ((long)arm * RATIOS + k) * dlf_run_seeds(run);
}

static dlf_status measure(dlf_run *run, double *risk, double from, double to)
{
    const int seeds = dlf_run_seeds(run), copies = dlf_run_int(run, "copies"),
              p = dlf_run_int(run, "p");
    const int most = rows_of(run, RATIOS - 1);
    double *room = malloc(((size_t)most * (size_t)(p + 1) + 2 * (size_t)p) * sizeof *room);
    if (!room) return dlf_fail(DLF_ERR_OOM, "more-data: out of memory");
    dlf_status status = DLF_OK;
    for (int k = 0; k < RATIOS; k++)
        for (int s = 0; s < seeds; s++) {
            DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * k / RATIOS,
                                       "least squares, %d rows", rows_of(run, k)));
            for (int arm = 0; arm < ARMS; arm++) cell(risk, run, arm, k)[s] = 0.0;
            for (int c = 0; c < copies; c++) {
                double one[ARMS];
                DLF_TRY_DONE(fit(run, k, (uint32_t)(s * copies + c), room, one));
                for (int arm = 0; arm < ARMS; arm++)
                    cell(risk, run, arm, k)[s] += one[arm] / copies;
            }
        }
done:
    free(room);
    return status;
}

static dlf_status checks(dlf_run *run, double *risk)
{
    const int seeds = dlf_run_seeds(run), p = dlf_run_int(run, "p");
    static const int checked[] = {FEW, MANY};
    double *value = malloc((size_t)seeds * sizeof *value);
    if (!value) return dlf_fail(DLF_ERR_OOM, "more-data: out of memory");
    dlf_status status = DLF_OK;
    for (int i = 0; i < 2; i++) {
        const int k = checked[i], n = rows_of(run, k);
        const dlf_estimate e = dlf_estimate_of(cell(risk, run, 0, k), seeds, 1);
        char zh[160], en[160];
        snprintf(zh, sizeof zh, "最小二乘，%d 行、%d 个权重：超出的风险", n, p);
        snprintf(en, sizeof en, "least squares, %d rows and %d weights: excess risk", n, p);
        dlf_check c = dlf_check_of(i ? "risk_many" : "risk_few", (dlf_text){zh, en}, e);
        c.expected = dlf_least_squares_risk(n, p, sigma, 1.0);
        c.tolerance = fmax(4.0 * e.sd / sqrt(seeds), 0.02 * c.expected);
        c.source = "closed form: mean of an inverse Wishart matrix; 4 standard errors or 2 %";
        DLF_TRY_DONE(dlf_result_check(dlf_run_result(run), c));
    }
    for (int arm = 0; arm < ARMS; arm++) {
        for (int s = 0; s < seeds; s++)
            value[s] = cell(risk, run, arm, PEAK)[s] / cell(risk, run, arm, FEW)[s];
        dlf_check c = dlf_check_of(
            arm ? "never_worse_ridge" : "never_worse",
            arm ? (dlf_text){"对照，最好的岭回归：数据翻倍（0.4p 到 0.8p 行）不会更差（风险之比）",
                             "control, the best ridge: twice the rows (0.4p to 0.8p) are no worse "
                             "(ratio "
                             "of risks)"}
                : (dlf_text){"更多数据总不会更差：0.4p 行翻倍到 0.8p 行（风险之比）",
                             "more data are never worse: 0.4p rows doubled to 0.8p (ratio of "
                             "risks)"},
            dlf_estimate_of(value, seeds, 1));
        c.expected = 1.0;
        c.relation = DLF_AT_MOST;
        c.source = arm ? "Nakkiran et al. 2021: optimal ridge is monotone"
                       : "double descent: 1/(p-n-1) grows up to n = p (Hastie et al. 2022)";
        DLF_TRY_DONE(dlf_result_check(dlf_run_result(run), c));
    }
done:
    free(value);
    return status;
}

static dlf_status table_and_figure(dlf_run *run, double *risk)
{
    const int p = dlf_run_int(run, "p"), seeds = dlf_run_seeds(run);
    dlf_table *t, *line;
    const dlf_column columns[] = {{"arm", NULL}, {"ratio", "1"}, {"risk", "1"},
                                  {"lo", "1"},   {"hi", "1"},    {NULL, NULL}};
    DLF_TRY(dlf_result_table(dlf_run_result(run), "rows",
                             (dlf_text){"最小二乘的风险与行数", "risk of least squares by rows"},
                             columns, &t));
    for (int arm = 0; arm < ARMS; arm++)
        for (int k = 0; k < RATIOS; k++) {
            const dlf_estimate e = dlf_estimate_of(cell(risk, run, arm, k), seeds, 1);
            DLF_TRY(dlf_table_row(t, DLF_TXT(arm_ids[arm]), DLF_NUM((double)rows_of(run, k) / p),
                                  DLF_NUM(e.mean), DLF_NUM(e.lo), DLF_NUM(e.hi)));
        }
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "rows_theory",
        (dlf_text){"最小二乘风险的闭式解", "risk in closed form"},
        (const dlf_column[]){{"side", NULL}, {"ratio", "1"}, {"risk", "1"}, {NULL, NULL}}, &line));
    for (int n = p / 5; n <= 10 * p; n += n < 2 * p ? 1 : p / 5 + 1) {
        const double r = dlf_least_squares_risk(n, p, sigma, 1.0);
        if (isfinite(r) && r < 20.0)
            DLF_TRY(dlf_table_row(line, DLF_TXT(n < p ? "few" : "many"), DLF_NUM((double)n / p),
                                  DLF_NUM(r)));
    }
    dlf_figure f = {
        .id = "rows",
        .kind = DLF_LINES,
        .title =
            {"更多数据不总是更好：行数接近权重数时，最小二乘最差",
             "More data are not always better: least squares is worst where rows equal weights"},
        .subtitle =
            {"高斯输入，噪声与信号相当；虚线为闭式解；灰色对照：最好的岭回归没有峰",
             "Gaussian inputs, noise as large as the signal; closed form dashed; grey control: the "
             "best ridge has no peak"},
        .x = {{"行数 / 权重数 n/p", "rows per weight n/p"}, true},
        .y = {{"超出的风险", "excess risk"}, true}};
    f.series[0] = (dlf_series){.role = DLF_MEASURED,
                               .table = "rows",
                               .where = "arm",
                               .equals = arm_ids[0],
                               .x = "ratio",
                               .y = "risk",
                               .lo = "lo",
                               .hi = "hi",
                               .label = {"最小二乘", "least squares"},
                               .colour = 0,
                               .points = true};
    f.series[1] = f.series[0];
    f.series[1].role = DLF_CONTROL;
    f.series[1].equals = arm_ids[1];
    f.series[1].points = false;
    f.series[1].label = (dlf_text){"对照：岭回归", "control: ridge"};
    f.series[1].colour = 1;
    for (int side = 0; side < 2; side++)
        f.series[2 + side] = (dlf_series){.role = DLF_THEORY,
                                          .table = "rows_theory",
                                          .where = "side",
                                          .equals = side ? "many" : "few",
                                          .x = "ratio",
                                          .y = "risk",
                                          .label = {"理论", "theory"},
                                          .colour = 0};
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_more_rows(dlf_run *run, double from, double to)
{
    double *risk = malloc((size_t)(ARMS * RATIOS * dlf_run_seeds(run)) * sizeof *risk);
    if (!risk) return dlf_fail(DLF_ERR_OOM, "more-data: out of memory");
    dlf_status status;
    DLF_TRY_DONE(measure(run, risk, from, to));
    DLF_TRY_DONE(checks(run, risk));
    status = table_and_figure(run, risk);
done:
    free(risk);
    return status;
}
