/* SPDX-License-Identifier: MIT
 * ensemble_laws.c -- Q3: votes and means of predictors whose dependence is known. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dlf/rng.h"
#include "ensemble.h"
#include "figures.h"
#include "seed_check.h"

static const int counts[] = {1, 3, 5, 11, 21, 51, 101};
enum { COUNTS = sizeof counts / sizeof counts[0], MOST = 101 };
static const double p_right = 0.6, rho = 0.3;

/* Of one seed: how often the majority of the first counts[k] of MOST independent voters is right,
 * and the variance of the mean of as many errors of correlation rho. */
static void simulate(const dlf_run *run, int seed, double *vote, double *variance)
{
    const int trials = dlf_run_int(run, "voters");
    const uint64_t s = dlf_run_seed(run);
    for (int k = 0; k < COUNTS; k++) vote[k] = variance[k] = 0.0;
    for (int t = 0; t < trials; t++) {
        const uint64_t at = (uint64_t)t * (MOST + 1);
        const double common = sqrt(rho) * dlf_rng_normal(s, dlf_stream(DLF_PURPOSE_DATA, 31),
                                                         (uint32_t)seed, at + MOST);
        double sum = 0.0;
        for (int i = 0, right = 0, k = 0; i < MOST; i++) {
            right += dlf_rng_uniform(s, dlf_stream(DLF_PURPOSE_DATA, 30), (uint32_t)seed,
                                     at + (uint64_t)i) < p_right;
            sum += common + sqrt(1.0 - rho) * dlf_rng_normal(s, dlf_stream(DLF_PURPOSE_DATA, 31),
                                                             (uint32_t)seed, at + (uint64_t)i);
            if (i + 1 != counts[k]) continue;
            vote[k] += (double)(2 * right > counts[k]) / trials;
            variance[k] += pow(sum / counts[k], 2.0) / trials;
            k++;
        }
    }
}

static dlf_status vote_check(dlf_run *run, int k, dlf_estimate e)
{
    char id[32], zh[160], en[160];
    snprintf(id, sizeof id, "condorcet_%d", counts[k]);
    snprintf(zh, sizeof zh, "%d 个独立的投票者，各有六成正确：多数票正确的概率", counts[k]);
    snprintf(en, sizeof en,
             "%d independent voters, each right 60 %% of the time: the majority is right",
             counts[k]);
    dlf_check c = dlf_check_of(id, (dlf_text){zh, en}, e);
    c.expected = dlf_condorcet(counts[k], p_right);
    c.tolerance =
        4.0 * sqrt(c.expected * (1.0 - c.expected) / ((double)e.n * dlf_run_int(run, "voters")));
    c.source = "Condorcet 1785: sum of binomials; 4 standard errors";
    return dlf_result_check(dlf_run_result(run), c);
}

static dlf_status variance_check(dlf_run *run, int k, dlf_estimate e)
{
    char id[32], zh[160], en[160];
    snprintf(id, sizeof id, "variance_%d", counts[k]);
    snprintf(zh, sizeof zh, "%d 个误差取平均，两两相关 0.3：方差是 ρ + (1−ρ)/K", counts[k]);
    snprintf(en, sizeof en, "mean of %d errors of correlation 0.3: variance ρ + (1−ρ)/K",
             counts[k]);
    dlf_check c = dlf_check_of(id, (dlf_text){zh, en}, e);
    c.expected = rho + (1.0 - rho) / counts[k];
    c.tolerance = 4.0 * sqrt(2.0 / ((double)e.n * dlf_run_int(run, "voters")));
    c.relative = true;
    c.source = "closed form; 4 standard errors of a variance, sqrt(2/n)";
    return dlf_result_check(dlf_run_result(run), c);
}

static dlf_status report(dlf_run *run, const double *vote, const double *variance)
{
    const int seeds = dlf_run_seeds(run);
    dlf_table *table;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "laws",
        (dlf_text){"独立投票与相关误差的平均", "independent votes, and means of correlated errors"},
        (const dlf_column[]){{"models", "1"},
                             {"vote", "1"},
                             {"vote_theory", "1"},
                             {"variance", "1"},
                             {"variance_theory", "1"},
                             {NULL, NULL}},
        &table));
    for (int k = 0; k < COUNTS; k++) {
        const dlf_estimate v = dlf_estimate_of(vote + k, seeds, COUNTS),
                           s = dlf_estimate_of(variance + k, seeds, COUNTS);
        DLF_TRY(dlf_table_row(table, DLF_NUM(counts[k]), DLF_NUM(v.mean),
                              DLF_NUM(dlf_condorcet(counts[k], p_right)), DLF_NUM(s.mean),
                              DLF_NUM(rho + (1.0 - rho) / counts[k])));
        if (counts[k] == 5 || counts[k] == 21 || counts[k] == MOST) {
            DLF_TRY(vote_check(run, k, v));
            DLF_TRY(variance_check(run, k, s));
        }
    }
    dlf_figure f = {
        .id = "laws",
        .kind = DLF_LINES,
        .title = {"误差相关时，平均再多模型也降不到 ρ 以下",
                  "Where errors are correlated no number of models gets below ρ"},
        .subtitle =
            {"两两相关 0.3 的误差取平均（方差），与六成正确的独立投票（正确率）；虚线为闭式解",
             "mean of errors of correlation 0.3 (variance), and majority of independent voters, 60 "
             "% right "
             "(share right); closed forms dashed"},
        .x = {{"模型个数 K", "models K"}, true},
        .y = {{"方差，或多数票正确的概率", "variance, or how often the majority is right"}, false}};
    static const dlf_text names[2] = {
        {"相关误差的方差", "variance, correlated"},
        {"对照：独立投票的正确率", "control: independent votes right"}};
    for (int i = 0; i < 2; i++) {
        f.series[2 * i] = (dlf_series){.role = i ? DLF_CONTROL : DLF_MEASURED,
                                       .table = "laws",
                                       .x = "models",
                                       .y = i ? "vote" : "variance",
                                       .label = names[i],
                                       .colour = i,
                                       .points = true};
        dlf_theory_of(&f, 2 * i, 2 * i + 1, i ? "vote_theory" : "variance_theory");
    }
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_ensemble_laws(dlf_run *run, double from, double to)
{
    const int seeds = dlf_run_seeds(run);
    double *vote = malloc(2 * (size_t)(seeds * COUNTS) * sizeof *vote),
           *variance = vote + seeds * COUNTS;
    if (!vote) return dlf_fail(DLF_ERR_OOM, "ensemble: out of memory");
    dlf_status status;
    for (int s = 0; s < seeds; s++) {
        DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * s / seeds, "votes"));
        simulate(run, s, vote + s * COUNTS, variance + s * COUNTS);
    }
    status = report(run, vote, variance);
done:
    free(vote);
    return status;
}
