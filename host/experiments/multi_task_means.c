/* SPDX-License-Identifier: MIT
 * multi_task_means.c -- Q26 at its smallest: fifty means of five rows each, alone, pooled, and
 * shrunk towards each other. Control: tasks that lie far apart; one that does not belong. */
#include <math.h>
#include <stdlib.h>

#include "dlf/rng.h"
#include "figures.h"
#include "multi_task.h"
#include "multi_task_checks.h"

static const double taus[] = {0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 1.0, 2.0};
enum { TAUS = sizeof taus / sizeof taus[0], T = 50, N = 5, NEAR = 3, BELOW = 4, FAR = 7 };
enum { ALONE, POOLED, STEIN, METHODS };
static const double v = 1.0 / N, outlier = 2.0; /* the latter in standard deviations of a row */

typedef struct outcome {
    int seeds, copies;
    double *risk;       /* (TAUS, METHODS, seeds)                                        */
    double *odd, *rest; /* (seeds): James-Stein on the task that lies far off, and on all */
} outcome;

static double *cell(const outcome *o, int t, int method)
{
    return o->risk + ((long)t * METHODS + method) * o->seeds;
}

/* Means of N rows each, around theta. */
static void observe(uint64_t seed, uint32_t member, int at, const double theta[T], double mean[T])
{
    const uint32_t stream = dlf_stream(DLF_PURPOSE_INPUT, 84);
    for (int t = 0; t < T; t++) {
        mean[t] = theta[t];
        for (int i = 0; i < N; i++)
            mean[t] += dlf_rng_normal(seed, stream, member, (uint64_t)((at * T + t) * N + i)) / N;
    }
}

/* Squared error of the three estimates of every task. */
static void estimate(const double theta[T], const double mean[T], double error[METHODS][T])
{
    double all = 0.0, spread = 0.0;
    for (int t = 0; t < T; t++) all += mean[t] / T;
    for (int t = 0; t < T; t++) spread += pow(mean[t] - all, 2.0);
    const double keep = 1.0 - (T - 3) * v / spread;
    for (int t = 0; t < T; t++) {
        error[ALONE][t] = pow(mean[t] - theta[t], 2.0);
        error[POOLED][t] = pow(all - theta[t], 2.0);
        error[STEIN][t] = pow(all + keep * (mean[t] - all) - theta[t], 2.0);
    }
}

static double mean_of(const double *x, int n)
{
    double sum = 0.0;
    for (int i = 0; i < n; i++) sum += x[i] / n;
    return sum;
}

static dlf_status measure(const outcome *o, dlf_run *run, double from, double to)
{
    const uint64_t seed = dlf_run_seed(run);
    double theta[T], z[T], mean[T], error[METHODS][T];
    for (int s = 0; s < o->seeds; s++) {
        DLF_TRY(dlf_run_stage(run, from + (to - from) * s / o->seeds, "means"));
        for (int c = 0; c < o->copies; c++) {
            const uint32_t member = (uint32_t)(s * o->copies + c);
            for (int t = 0; t < T; t++)
                z[t] =
                    dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_WEIGHTS, 84), member, (uint64_t)t);
            for (int k = 0; k <= TAUS; k++) { /* the last: one task does not belong */
                for (int t = 0; t < T; t++) theta[t] = (k < TAUS ? taus[k] : taus[1]) * z[t];
                if (k == TAUS) theta[0] = outlier;
                observe(seed, member, k, theta, mean);
                estimate(theta, mean, error);
                for (int m = 0; m < METHODS && k < TAUS; m++)
                    cell(o, k, m)[s] += mean_of(error[m], T) / o->copies;
            }
            o->odd[s] += error[STEIN][0] / o->copies;
            o->rest[s] += mean_of(error[STEIN], T) / o->copies;
        }
    }
    return DLF_OK;
}

/* ---- report ---- */

static double theory(int t, int method)
{
    return method == ALONE    ? v
           : method == POOLED ? dlf_mean_pooled(taus[t], T, v)
                              : dlf_mean_james_stein(taus[t], T, v);
}

static dlf_status checks(const outcome *o, dlf_run *run)
{
    static const char closed[] = "closed form; 4 standard errors or 2 %";
    double *value = malloc((size_t)o->seeds * sizeof *value);
    if (!value) return dlf_fail(DLF_ERR_OOM, "multi-task: out of memory");
    dlf_status status;
    DLF_TRY_DONE(law(run, "means_pooled",
                     (dlf_text){"五十个任务相差 0.3，合成一个均值：每个任务的误差",
                                "fifty tasks that differ by 0.3, one mean for all: error per task"},
                     cell(o, NEAR, POOLED), theory(NEAR, POOLED), closed));
    DLF_TRY_DONE(law(run, "means_stein",
                     (dlf_text){"同上，James–Stein 收缩：每个任务的误差",
                                "the same, shrunk by James and Stein: error per task"},
                     cell(o, NEAR, STEIN), theory(NEAR, STEIN),
                     "closed form: v - (T-3)/T v^2/(v+tau^2); 4 standard errors or 2 %"));
    for (int s = 0; s < o->seeds; s++) { /* the pooled risk is a straight line in tau^2 */
        const double a = cell(o, BELOW, POOLED)[s] - cell(o, BELOW, ALONE)[s],
                     b = cell(o, BELOW + 1, POOLED)[s] - cell(o, BELOW + 1, ALONE)[s],
                     low = taus[BELOW] * taus[BELOW], high = taus[BELOW + 1] * taus[BELOW + 1];
        value[s] = sqrt(low - a * (high - low) / (b - a));
    }
    DLF_TRY_DONE(law(run, "means_crossing",
                     (dlf_text){"任务间的标准差到多大，合并与单独学一样好",
                                "spread of the tasks at which pooling is as good as alone"},
                     value, sqrt(v), "closed form: sigma / sqrt(n), the noise of one task alone"));
    for (int s = 0; s < o->seeds; s++) value[s] = cell(o, FAR, POOLED)[s] / cell(o, FAR, ALONE)[s];
    DLF_TRY_DONE(
        at_most(run, "pooling_always",
                (dlf_text){"对照，任务相差 1：合并也不比单独学差（误差之比）",
                           "control, tasks that differ by 1: pooling is no worse than alone "
                           "(ratio of errors)"},
                value, 1.0, "the sentence \"sharing helps\""));
    for (int s = 0; s < o->seeds; s++) {
        value[s] = 0.0;
        for (int t = 0; t < TAUS; t++)
            value[s] = fmax(value[s], cell(o, t, STEIN)[s] / theory(t, ALONE));
    }
    DLF_TRY_DONE(at_most(run, "stein_never_loses",
                         (dlf_text){"James–Stein 收缩从不比单独学差（各种差别下误差之比的最大值）",
                                    "James–Stein is never worse than alone (largest ratio over all "
                                    "spreads)"},
                         value, 1.0, "James & Stein 1961: theorem"));
    for (int s = 0; s < o->seeds; s++) value[s] = o->rest[s] / v;
    DLF_TRY_DONE(at_most(run, "stein_in_sum",
                         (dlf_text){"一个任务不合群：全体的平均误差与单独学之比",
                                    "one task does not belong: error of all, as a ratio to alone"},
                         value, 1.0, "James & Stein 1961: theorem, of the sum"));
    for (int s = 0; s < o->seeds; s++) value[s] = o->odd[s] / v;
    DLF_TRY_DONE(at_most(run, "stein_each",
                         (dlf_text){"“共享对每个任务都有益”：不合群的那个任务，误差与单独学之比",
                                    "\"sharing helps every task\": error of the one that does not "
                                    "belong, as a ratio to alone"},
                         value, 1.0, "the sentence; the theorem is of the sum, not of each"));
    status = dlf_result_fact(dlf_run_result(run), "alone", v, "1");
done:
    free(value);
    return status;
}

static dlf_status table_and_figure(const outcome *o, dlf_run *run)
{
    static const char *const ids[METHODS] = {"alone", "pooled", "stein"};
    static const dlf_text names[METHODS] = {{"对照：单独学", "control: alone"},
                                            {"合成一个", "one for all"},
                                            {"收缩（James–Stein）", "shrunk (James–Stein)"}};
    dlf_table *t;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "means",
        (dlf_text){"每个任务的误差与任务间的差别", "error per task by spread of the tasks"},
        (const dlf_column[]){{"method", NULL},
                             {"spread", "1"},
                             {"risk", "1"},
                             {"lo", "1"},
                             {"hi", "1"},
                             {"theory", "1"},
                             {NULL, NULL}},
        &t));
    for (int m = 0; m < METHODS; m++)
        for (int k = 0; k < TAUS; k++) {
            const dlf_estimate e = dlf_estimate_of(cell(o, k, m), o->seeds, 1);
            DLF_TRY(dlf_table_row(t, DLF_TXT(ids[m]), DLF_NUM(taus[k]), DLF_NUM(e.mean),
                                  DLF_NUM(e.lo), DLF_NUM(e.hi), DLF_NUM(theory(k, m))));
        }
    dlf_figure f = {
        .id = "means",
        .kind = DLF_LINES,
        .title = {"任务的差别小于单独学的噪声（0.447）时合并有益；收缩从不吃亏",
                  "Pooling helps below the noise of one task (0.447); shrinking never loses"},
        .subtitle = {"估计五十个均值，各五行；虚线为闭式解，没有拟合参数",
                     "fifty means of five rows each; closed forms dashed, nothing fitted"},
        .x = {{"任务之间的标准差 τ", "spread of the tasks τ"}, true},
        .y = {{"每个任务的均方误差", "squared error per task"}, true}};
    for (int m = 0; m < METHODS; m++) {
        f.series[2 * m] = dlf_arm_series(m == ALONE ? DLF_CONTROL : DLF_MEASURED, "means", "method",
                                         ids[m], "spread", "risk", names[m], m);
        f.series[2 * m].points = true;
        dlf_theory_of(&f, 2 * m, 2 * m + 1, "theory");
    }
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_multi_task_means(dlf_run *run, double from, double to)
{
    outcome o = {.seeds = dlf_run_seeds(run), .copies = dlf_run_int(run, "copies")};
    const size_t S = (size_t)o.seeds;
    o.risk = calloc((TAUS * METHODS + 2) * S, sizeof *o.risk);
    if (!o.risk) return dlf_fail(DLF_ERR_OOM, "multi-task: out of memory");
    o.odd = o.risk + TAUS * METHODS * S;
    o.rest = o.odd + S;
    dlf_status status;
    DLF_TRY_DONE(measure(&o, run, from, to));
    DLF_TRY_DONE(checks(&o, run));
    status = table_and_figure(&o, run);
done:
    free(o.risk);
    return status;
}
