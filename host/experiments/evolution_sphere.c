/* SPDX-License-Identifier: MIT
 * evolution_sphere.c -- Q47: how large a mutation should be: the simplest evolution strategy on the
 * simplest landscape, and OneMax, where a genetic algorithm's time is known exactly. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dlf/backend.h"
#include "dlf/ops.h"
#include "dlf/rng.h"
#include "evolution.h"
#include "figures.h"
#include "seed_check.h"

static const double steps[] = {0.4, 0.8, 1.224, 2.0, 3.0};
enum { STEPS = sizeof steps / sizeof steps[0], DIM = 400, BEST = 2 };

/* Of one seed: mean progress and success of steps[k], from |x| = 1 along the first axis, by draws
 * of a full mutation each. */
static dlf_status sample(dlf_run *run, int seed, double *progress, double *success)
{
    const int n = dlf_run_int(run, "samples");
    dlf_device *dev = dlf_run_device(run);
    dlf_tensor z = {0};
    float *host = malloc((size_t)n * DIM * sizeof *host);
    dlf_status status;
    if (!host) return dlf_fail(DLF_ERR_OOM, "evolution: out of memory");
    DLF_TRY_DONE(dlf_tensor_new(&z, dev, dev->real, n, DIM));
    DLF_TRY_DONE(dlf_random_normal(
        &z, NULL, NULL,
        (dlf_rng){dlf_run_seed(run) + (uint64_t)seed, dlf_stream(DLF_PURPOSE_DATA, 60)}));
    DLF_TRY_DONE(dlf_tensor_download(host, &z));
    for (int k = 0; k < STEPS; k++) progress[k] = success[k] = 0.0;
    for (int i = 0; i < n; i++) {
        double square = 0.0;
        for (int j = 0; j < DIM; j++)
            square += (double)host[(long)i * DIM + j] * host[(long)i * DIM + j];
        for (int k = 0; k < STEPS; k++) {
            const double sigma = steps[k] / DIM;
            const double after = 1.0 + 2.0 * sigma * host[(long)i * DIM] + sigma * sigma * square;
            if (!(after < 1.0)) continue; /* the child is worse: the parent stays */
            success[k] += 1.0 / n;
            progress[k] += DIM * (1.0 - sqrt(after)) / n;
        }
    }
done:
    dlf_tensor_free(&z);
    free(host);
    return status;
}

static dlf_status sphere_report(dlf_run *run, const double *progress, const double *success)
{
    const int seeds = dlf_run_seeds(run);
    dlf_table *t;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "sphere",
        (dlf_text){"球面模型的进展速度与变异步长", "progress on the sphere by step"},
        (const dlf_column[]){{"step", "1"},
                             {"progress", "1"},
                             {"lo", "1"},
                             {"hi", "1"},
                             {"theory", "1"},
                             {"success", "1"},
                             {"success_theory", "1"},
                             {NULL, NULL}},
        &t));
    for (int k = 0; k < STEPS; k++) {
        const dlf_estimate p = dlf_estimate_of(progress + k, seeds, STEPS),
                           s = dlf_estimate_of(success + k, seeds, STEPS);
        DLF_TRY(dlf_table_row(t, DLF_NUM(steps[k]), DLF_NUM(p.mean), DLF_NUM(p.lo), DLF_NUM(p.hi),
                              DLF_NUM(dlf_sphere_progress(steps[k])), DLF_NUM(s.mean),
                              DLF_NUM(dlf_sphere_success(steps[k]))));
        if (k != BEST) continue;
        dlf_check c =
            dlf_check_of("sphere_progress",
                         (dlf_text){"球面模型，最佳步长：每代的进展（乘以维数）",
                                    "sphere, best step: progress per generation (times the "
                                    "dimensions)"},
                         p);
        c.expected = dlf_sphere_progress(steps[k]);
        c.tolerance = fmax(0.04 * c.expected, 4.0 * p.sd / sqrt(seeds));
        c.source = "Rechenberg 1973, d large; 4 % at 400 dimensions or 4 standard errors";
        DLF_TRY(dlf_result_check(dlf_run_result(run), c));
        c = dlf_check_of(
            "sphere_success",
            (dlf_text){"最佳步长时，变异成功的比例（五分之一法则的由来）",
                       "at the best step so many mutations succeed (where the 1/5 rule comes "
                       "from)"},
            s);
        c.expected = dlf_sphere_success(steps[k]);
        c.tolerance = fmax(0.03, 4.0 * s.sd / sqrt(seeds));
        c.source = "Rechenberg 1973: Phi(-s/2); 0.03 or 4 standard errors";
        DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    }
    dlf_figure f = {
        .id = "sphere",
        .kind = DLF_LINES,
        .title =
            {"变异太小走得慢，太大总失败：最佳步长时约四分之一成功",
             "Small mutations are slow, large ones fail: at the best about a quarter succeeds"},
        .subtitle = {"(1+1) 进化策略，400 维球面；步长以 |x|/d 为单位；虚线为理论，没有拟合参数",
                     "(1+1) evolution strategy on the sphere, 400 dimensions; step in |x|/d; "
                     "theory dashed, "
                     "nothing fitted"},
        .x = {{"变异步长", "step of mutations"}, false},
        .y = {{"每代进展（乘以维数）", "progress per generation (times d)"}, false}};
    f.series[0] = (dlf_series){.role = DLF_MEASURED,
                               .table = "sphere",
                               .x = "step",
                               .y = "progress",
                               .lo = "lo",
                               .hi = "hi",
                               .label = {"实测", "measured"},
                               .colour = 0,
                               .points = true};
    dlf_theory_of(&f, 0, 1, "theory");
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_evolution_sphere(dlf_run *run, double from, double to)
{
    const int seeds = dlf_run_seeds(run);
    double *progress = malloc(2 * (size_t)(seeds * STEPS) * sizeof *progress);
    if (!progress) return dlf_fail(DLF_ERR_OOM, "evolution: out of memory");
    double *success = progress + seeds * STEPS;
    dlf_status status;
    for (int s = 0; s < seeds; s++) {
        DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * s / seeds, "mutations on the sphere"));
        DLF_TRY_DONE(sample(run, s, progress + s * STEPS, success + s * STEPS));
    }
    status = sphere_report(run, progress, success);
done:
    free(progress);
    return status;
}

/* ---- OneMax --------------------------------------------------------------------------------- */

/* Evaluations of one run from a random string to all ones. */
static double climb(int n, uint64_t seed, uint32_t member)
{
    unsigned char bit[200], child[200];
    uint64_t index = 0;
    int ones = 0;
    for (int i = 0; i < n; i++) {
        bit[i] = dlf_rng_bits(seed, dlf_stream(DLF_PURPOSE_START, 60), member, (uint64_t)i) & 1;
        ones += bit[i];
    }
    double evaluations = 0.0;
    while (ones < n) {
        int now = 0;
        for (int i = 0; i < n; i++) {
            const bool flip = dlf_rng_uniform(seed, dlf_stream(DLF_PURPOSE_DATA, 61), member,
                                              index++) < 1.0f / (float)n;
            child[i] = bit[i] ^ flip;
            now += child[i];
        }
        evaluations += 1.0;
        if (now < ones) continue;
        for (int i = 0; i < n; i++) bit[i] = child[i];
        ones = now;
    }
    return evaluations;
}

dlf_status dlf_evolution_onemax(dlf_run *run, double from, double to)
{
    const int seeds = dlf_run_seeds(run), runs = dlf_run_int(run, "runs"),
              most = dlf_run_int(run, "bits");
    const int bits[] = {most / 4 > 1 ? most / 4 : 2, most / 2, most};
    dlf_table *t;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "onemax", (dlf_text){"OneMax 的求值次数", "evaluations of OneMax"},
        (const dlf_column[]){
            {"bits", "1"}, {"time", "1"}, {"lo", "1"}, {"hi", "1"}, {"theory", "1"}, {NULL, NULL}},
        &t));
    double *mean = malloc((size_t)seeds * sizeof *mean);
    if (!mean) return dlf_fail(DLF_ERR_OOM, "evolution: out of memory");
    dlf_status status = DLF_OK;
    for (int k = 0; k < 3; k++) {
        for (int s = 0; s < seeds; s++) {
            DLF_TRY_DONE(
                dlf_run_stage(run, from + (to - from) * k / 3, "OneMax, %d bits", bits[k]));
            mean[s] = 0.0;
            for (int r = 0; r < runs; r++)
                mean[s] +=
                    climb(bits[k], dlf_run_seed(run), (uint32_t)((k * seeds + s) * runs + r)) /
                    runs;
        }
        const dlf_estimate e = dlf_estimate_of(mean, seeds, 1);
        DLF_TRY_DONE(dlf_table_row(t, DLF_NUM(bits[k]), DLF_NUM(e.mean), DLF_NUM(e.lo),
                                   DLF_NUM(e.hi), DLF_NUM(dlf_onemax_time(bits[k]))));
        if (k < 2) continue;
        dlf_check c = dlf_check_of(
            "onemax",
            (dlf_text){"OneMax：(1+1) 进化算法从随机串到全一的平均求值次数",
                       "OneMax: mean evaluations of the (1+1) EA from a random string to all ones"},
            e);
        c.expected = dlf_onemax_time(bits[k]);
        c.tolerance = fmax(4.0 * e.sd / sqrt(seeds), 0.05 * c.expected);
        c.source = "exact Markov chain (Droste, Jansen & Wegener 2002); 4 standard errors or 5 %";
        DLF_TRY_DONE(dlf_result_check(dlf_run_result(run), c));
        DLF_TRY_DONE(
            dlf_result_fact(dlf_run_result(run), "onemax_over_n", c.expected / bits[k], "1"));
        DLF_TRY_DONE(
            dlf_result_fact(dlf_run_result(run), "onemax_random_log10", bits[k] * log10(2.0), "1"));
    }
done:
    free(mean);
    return status;
}
