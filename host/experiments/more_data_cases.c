/* SPDX-License-Identifier: MIT
 * more_data_cases.c -- Q2: a learner that only remembers. The cases have probabilities i^-(1+a);
 * its error is the probability of what it has not seen. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/rng.h"
#include "figures.h"
#include "more_data.h"
#include "seed_check.h"

enum { TAILS = 2, SIZES = 6, COPIES = 10 };
static const double tails[TAILS] = {0.5, 1.0};
static const char *const tail_ids[TAILS] = {"heavy", "light"};

typedef struct world {
    int cases, size[SIZES]; /* sample sizes, in equal ratios up to the largest        */
    double *p, *cumulative; /* (cases)                                                */
    unsigned char *seen;    /* (cases)                                                */
} world;

static int find(const double *cumulative, int n, double u)
{
    int low = 0, high = n - 1;
    while (low < high) {
        const int middle = low + (high - low) / 2;
        if (cumulative[middle] > u)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static void set_tail(world *w, double a)
{
    double sum = 0.0;
    for (int i = 0; i < w->cases; i++) sum += w->p[i] = pow(i + 1.0, -1.0 - a);
    double so_far = 0.0;
    for (int i = 0; i < w->cases; i++) {
        w->p[i] /= sum;
        w->cumulative[i] = so_far += w->p[i];
    }
}

/* sum p (1-p)^n */
static double unseen_expected(const world *w, int n)
{
    double sum = 0.0;
    for (int i = 0; i < w->cases; i++) sum += w->p[i] * exp(n * log1p(-w->p[i]));
    return sum;
}

/* Mass of the cases not among the first size[k] draws; draw number j is seen at once. */
static void draw_cases(world *w, const dlf_run *run, int tail, int seed, double *unseen)
{
    double mass = 1.0;
    int next = 0;
    memset(w->seen, 0, (size_t)w->cases);
    for (int j = 0; j < w->size[SIZES - 1]; j++) {
        /* 48 bits: 24 would leave out rare cases */
        const uint64_t hi =
            dlf_rng_bits(dlf_run_seed(run), dlf_stream(DLF_PURPOSE_DATA, 40 + (uint32_t)tail),
                         (uint32_t)seed, 2 * (uint64_t)j) >>
            8;
        const uint64_t lo =
            dlf_rng_bits(dlf_run_seed(run), dlf_stream(DLF_PURPOSE_DATA, 40 + (uint32_t)tail),
                         (uint32_t)seed, 2 * (uint64_t)j + 1) >>
            8;
        const int i = find(w->cumulative, w->cases, ldexp((double)(hi << 24 | lo), -48));
        if (!w->seen[i]) mass -= w->p[i];
        w->seen[i] = 1;
        if (j + 1 == w->size[next]) unseen[next++] = mass;
    }
}

static dlf_status checks(const world *w, dlf_run *run, int tail, const double *unseen,
                         const double *expected)
{
    const int seeds = dlf_run_seeds(run);
    const double a = tails[tail];
    char id[32], zh[200], en[200];
    double x[SIZES], y[SIZES];
    for (int k = 0; k < SIZES; k++) {
        x[k] = log(w->size[k]);
        y[k] = log(expected[k]);
    }
    snprintf(id, sizeof id, "power_%s", tail_ids[tail]);
    snprintf(zh, sizeof zh, "情形的概率 ∝ i^−%g：误差 ∝ n 的这个幂（后三个点的斜率）", 1.0 + a);
    snprintf(en, sizeof en,
             "cases of probability i^−%g: error ∝ this power of n (slope of the last three)",
             1.0 + a);
    dlf_check c =
        dlf_check_exact(id, (dlf_text){zh, en}, dlf_slope(x + SIZES - 3, y + SIZES - 3, 3));
    c.expected = -a / (1.0 + a);
    c.tolerance = 0.03;
    c.source = "Hutter 2021, beta = a/(1+a), n large; 0.03: the number of cases is finite";
    DLF_TRY(dlf_result_check(dlf_run_result(run), c));

    const int last = SIZES - 1;
    const dlf_estimate e = dlf_estimate_of(unseen + last, seeds, SIZES);
    snprintf(id, sizeof id, "unseen_%s", tail_ids[tail]);
    snprintf(zh, sizeof zh, "概率 ∝ i^−%g：抽样所得的误差等于 Σθ(1−θ)ⁿ", 1.0 + a);
    snprintf(en, sizeof en, "probability i^−%g: the error in the draws is Σθ(1−θ)ⁿ", 1.0 + a);
    c = dlf_check_of(id, (dlf_text){zh, en}, e);
    c.expected = expected[last];
    c.tolerance = fmax(4.0 * e.sd / sqrt(seeds), 1e-9);
    c.source = "closed form: a case is missed n times; 4 standard errors";
    return dlf_result_check(dlf_run_result(run), c);
}

static dlf_status figure(dlf_run *run)
{
    dlf_figure f = {
        .id = "cases",
        .kind = DLF_LINES,
        .title = {"只会记忆的学习者：误差就是没见过的情形的总概率，按幂律下降",
                  "A learner that only remembers: its error is the mass of what it has not seen, a "
                  "power law"},
        .subtitle =
            {"情形 i 的概率 ∝ i^−(1+a)；虚线为 Σθ(1−θ)ⁿ；对照：同样的行数，每行重复十次",
             "case i has probability i^−(1+a); dashed: Σθ(1−θ)ⁿ; control: as many rows, each ten "
             "times"},
        .x = {{"样本数 n", "rows n"}, true},
        .y = {{"误差", "error"}, true},
        .residuals = false};
    static const dlf_text labels[TAILS] = {{"重尾 a = 0.5", "heavy tail, a = 0.5"},
                                           {"轻尾 a = 1", "light tail, a = 1"}};
    for (int k = 0; k < TAILS; k++) {
        f.series[2 * k] =
            dlf_arm_series(DLF_MEASURED, "cases", "arm", tail_ids[k], "n", "error", labels[k], k);
        f.series[2 * k].points = true;
        dlf_theory_of(&f, 2 * k, 2 * k + 1, "theory");
    }
    f.series[4] = f.series[2];
    f.series[4].role = DLF_CONTROL;
    f.series[4].equals = "copies";
    f.series[4].points = false;
    f.series[4].label = (dlf_text){"对照：a = 1，每行十份", "control: a = 1, rows ten times"};
    f.series[4].colour = 3;
    return dlf_result_figure(dlf_run_result(run), &f);
}

static dlf_status rows_of(dlf_table *t, const world *w, const char *arm, int scale, int seeds,
                          const double *unseen, const double *expected)
{
    for (int k = 0; k < SIZES; k++) {
        const dlf_estimate e = dlf_estimate_of(unseen + k, seeds, SIZES);
        DLF_TRY(dlf_table_row(t, DLF_TXT(arm), DLF_NUM((double)scale * w->size[k]), DLF_NUM(e.mean),
                              DLF_NUM(e.lo), DLF_NUM(e.hi), DLF_NUM(expected[k])));
    }
    return DLF_OK;
}

static dlf_status study(world *w, dlf_run *run, double *unseen, double from, double to)
{
    const int seeds = dlf_run_seeds(run);
    double expected[SIZES];
    dlf_table *t;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "cases",
                             (dlf_text){"没见过的情形的总概率", "mass of the cases not seen"},
                             (const dlf_column[]){{"arm", NULL},
                                                  {"n", "1"},
                                                  {"error", "1"},
                                                  {"lo", "1"},
                                                  {"hi", "1"},
                                                  {"theory", "1"},
                                                  {NULL, NULL}},
                             &t));
    for (int tail = 0; tail < TAILS; tail++) {
        set_tail(w, tails[tail]);
        for (int k = 0; k < SIZES; k++) {
            DLF_TRY(dlf_run_stage(run, from + (to - from) * (tail * SIZES + k) / (TAILS * SIZES),
                                  "cases not seen"));
            expected[k] = unseen_expected(w, w->size[k]);
        }
        for (int seed = 0; seed < seeds; seed++)
            draw_cases(w, run, tail, seed, unseen + seed * SIZES);
        DLF_TRY(rows_of(t, w, tail_ids[tail], 1, seeds, unseen, expected));
        DLF_TRY(checks(w, run, tail, unseen, expected));
    }
    /* ten copies of each draw say nothing new: the errors of a tenth of the rows */
    DLF_TRY(rows_of(t, w, "copies", COPIES, seeds, unseen, expected));
    return figure(run);
}

dlf_status dlf_more_cases(dlf_run *run, double from, double to)
{
    world w = {.cases = dlf_run_int(run, "cases")};
    const double most = dlf_run_int(run, "largest_sample");
    for (int k = 0; k < SIZES; k++)
        w.size[k] = (int)lround(most * pow(10.0, 0.5 * (k - SIZES + 1)));
    double *unseen = malloc((size_t)(dlf_run_seeds(run) * SIZES) * sizeof *unseen);
    w.p = malloc((size_t)w.cases * sizeof *w.p);
    w.cumulative = malloc((size_t)w.cases * sizeof *w.cumulative);
    w.seen = malloc((size_t)w.cases);
    const dlf_status status = unseen && w.p && w.cumulative && w.seen
                                  ? study(&w, run, unseen, from, to)
                                  : dlf_fail(DLF_ERR_OOM, "more-data: out of memory");
    free(w.seen);
    free(w.cumulative);
    free(w.p);
    free(unseen);
    return status;
}
