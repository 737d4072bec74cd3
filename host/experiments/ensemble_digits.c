/* SPDX-License-Identifier: MIT
 * ensemble_digits.c -- Q3, Q38 on handwritten digits: what a mean of networks gains, predicted from
 * what they disagree about; control: copies of one network. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/data.h"
#include "dlf/rng.h"
#include "ensemble.h"
#include "ensemble_nets.h"
#include "figures.h"
#include "seed_check.h"

enum { TESTS = 500, C = 10, SIZES = 5, SHUFFLES = 200 };
static const char *const kind_ids[DLF_DIVERSITIES] = {"bootstrap", "starts", "copies"};

/* Scores of the mean of some models, per kind, size and seed. */
typedef struct score {
    double brier, error, nll, vote; /* vote: error of the plurality */
} score;

typedef struct study {
    int seeds, models, size[SIZES]; /* 1, 2, 4, .., models               */
    float *p;
    int32_t label[TESTS];
    score *at;      /* (DLF_DIVERSITIES, SIZES, seeds)          */
    double *spread; /* (DLF_DIVERSITIES, seeds)                 */
    double *line;   /* (DLF_DIVERSITIES, SIZES, seeds): theory  */
    double identity;
    double *odd; /* (seeds) vote error of the largest odd number of bootstrap models */
    int odd_size;
} study;

static score *cell(const study *s, int kind, int size)
{
    return s->at + ((long)kind * SIZES + size) * s->seeds;
}

static const float *predictions(const study *s, int kind, int seed, int model)
{
    return s->p + (((long)kind * s->seeds + seed) * s->models + model) * TESTS * C;
}

static int largest(const double *v)
{
    int best = 0;
    for (int c = 1; c < C; c++)
        if (v[c] > v[best]) best = c;
    return best;
}

/* The mean of the n models of `which`, judged on all test rows. */
static score judge(const study *s, int kind, int seed, const int32_t *which, int n)
{
    score total = {0};
    for (int t = 0; t < TESTS; t++) {
        double mean[C] = {0.0}, votes[C] = {0.0};
        for (int k = 0; k < n; k++) {
            const float *p = predictions(s, kind, seed, which[k]) + t * C;
            double own[C];
            for (int c = 0; c < C; c++) {
                own[c] = p[c];
                mean[c] += own[c] / n;
            }
            votes[largest(own)] += 1.0;
        }
        const int label = s->label[t];
        for (int c = 0; c < C; c++) total.brier += pow(mean[c] - (c == label), 2.0) / TESTS;
        total.error += (double)(largest(mean) != label) / TESTS;
        total.vote += (double)(largest(votes) != label) / TESTS;
        total.nll -= log(fmax(mean[label], 1e-30)) / TESTS;
    }
    return total;
}

/* 1/M sum over models and rows of |p_m - mean|^2. */
static double spread(const study *s, int kind, int seed)
{
    double sum = 0.0;
    for (int t = 0; t < TESTS; t++)
        for (int c = 0; c < C; c++) {
            double mean = 0.0, square = 0.0;
            for (int m = 0; m < s->models; m++) mean += predictions(s, kind, seed, m)[t * C + c];
            mean /= s->models;
            for (int m = 0; m < s->models; m++)
                square += pow(predictions(s, kind, seed, m)[t * C + c] - mean, 2.0);
            sum += square / s->models / TESTS;
        }
    return sum;
}

static void add(score *to, score s, double weight)
{
    to->brier += weight * s.brier;
    to->error += weight * s.error;
    to->nll += weight * s.nll;
    to->vote += weight * s.vote;
}

/* Mean over random subsets of every size; all single models for size 1. */
static dlf_status judge_all(study *s, dlf_run *run, int kind, int seed)
{
    int32_t *order = malloc((size_t)s->models * sizeof *order);
    if (!order) return dlf_fail(DLF_ERR_OOM, "ensemble: out of memory");
    for (int k = 0; k < SIZES; k++) {
        score *to = cell(s, kind, k) + seed;
        const int n = s->size[k], tries = n == 1 ? s->models : n == s->models ? 1 : SHUFFLES;
        *to = (score){0};
        for (int i = 0; i < tries; i++) {
            dlf_permutation(order, s->models, dlf_run_seed(run),
                            dlf_stream(DLF_PURPOSE_SHUFFLE, 31), (uint32_t)(seed * SHUFFLES + i));
            if (n == 1) order[0] = i;
            add(to, judge(s, kind, seed, order, n), 1.0 / tries);
        }
    }
    if (kind == DLF_BOOTSTRAP) s->odd[seed] = judge(s, kind, seed, order, s->odd_size).vote;
    free(order);
    const double one = cell(s, kind, 0)[seed].brier, v = spread(s, kind, seed);
    s->spread[kind * s->seeds + seed] = v;
    for (int k = 0; k < SIZES; k++)
        s->line[(kind * SIZES + k) * s->seeds + seed] = dlf_brier_of(s->size[k], s->models, one, v);
    /* Krogh & Vedelsby: the whole ensemble's score is the mean score less the spread */
    const double off = fabs(cell(s, kind, SIZES - 1)[seed].brier - (one - v));
    if (!(off <= s->identity)) s->identity = off;
    return DLF_OK;
}

/* ---- report ---- */

static dlf_estimate over_seeds(const study *s, int kind, int size, size_t offset)
{
    const char *first = (const char *)cell(s, kind, size) + offset;
    return dlf_estimate_of((const double *)(const void *)first, s->seeds,
                           (int)(sizeof(score) / sizeof(double)));
}

static dlf_status table_of(const study *s, dlf_run *run)
{
    dlf_table *t;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "digits",
                             (dlf_text){"手写数字：集成的得分与网络个数",
                                        "digits: scores of ensembles by number of networks"},
                             (const dlf_column[]){{"kind", NULL},
                                                  {"models", "1"},
                                                  {"inverse", "1"},
                                                  {"brier", "1"},
                                                  {"brier_lo", "1"},
                                                  {"brier_hi", "1"},
                                                  {"theory", "1"},
                                                  {"error", "1"},
                                                  {"error_lo", "1"},
                                                  {"error_hi", "1"},
                                                  {"nll", "nat"},
                                                  {NULL, NULL}},
                             &t));
    for (int kind = 0; kind < DLF_DIVERSITIES; kind++)
        for (int k = 0; k < SIZES; k++) {
            const dlf_estimate b = over_seeds(s, kind, k, offsetof(score, brier)),
                               e = over_seeds(s, kind, k, offsetof(score, error)),
                               n = over_seeds(s, kind, k, offsetof(score, nll)),
                               l = dlf_estimate_of(s->line + (kind * SIZES + k) * s->seeds,
                                                   s->seeds, 1);
            DLF_TRY(dlf_table_row(t, DLF_TXT(kind_ids[kind]), DLF_NUM(s->size[k]),
                                  DLF_NUM(1.0 / s->size[k]), DLF_NUM(b.mean), DLF_NUM(b.lo),
                                  DLF_NUM(b.hi), DLF_NUM(l.mean), DLF_NUM(e.mean), DLF_NUM(e.lo),
                                  DLF_NUM(e.hi), DLF_NUM(n.mean)));
        }
    return DLF_OK;
}

/* Gain in errors from one model to all. */
static dlf_status gain_check(const study *s, dlf_run *run, int kind, double *value)
{
    static const dlf_text claims[DLF_DIVERSITIES] = {
        {"自助法抽样的网络取平均，错误率下降（一个减全部）",
         "bootstrap networks: their mean errs less (one less all)"},
        {"只有起点不同的网络取平均，错误率也下降（一个减全部）",
         "networks that differ by their start only: their mean errs less, too (one less all)"},
        {"对照，同一个网络的复制品：一点也不下降（一个减全部）",
         "control, copies of one network: nothing is gained (one less all)"}};
    char id[32];
    snprintf(id, sizeof id, "gain_%s", kind_ids[kind]);
    for (int seed = 0; seed < s->seeds; seed++)
        value[seed] = cell(s, kind, 0)[seed].error - cell(s, kind, SIZES - 1)[seed].error;
    const dlf_estimate e = dlf_estimate_of(value, s->seeds, 1);
    dlf_check c = dlf_check_of(id, claims[kind], e);
    if (kind == DLF_COPIES) {
        c.tolerance = 1e-12;
        c.source = "identity: the mean of equal predictions";
    } else {
        c.relation = DLF_AT_LEAST;
        c.has_verdict = true;
        c.verdict = dlf_verdict_above(e, 0.0);
        c.source = "Hansen & Salamon 1990, in direction; decided by the whole interval";
    }
    return dlf_result_check(dlf_run_result(run), c);
}

static dlf_status law_checks(const study *s, dlf_run *run)
{
    double worst = 0.0;
    for (int kind = 0; kind < DLF_COPIES; kind++)
        for (int k = 0; k < SIZES; k++) {
            const double d =
                over_seeds(s, kind, k, offsetof(score, brier)).mean /
                    dlf_estimate_of(s->line + (kind * SIZES + k) * s->seeds, s->seeds, 1).mean -
                1.0;
            if (!(fabs(d) <= worst)) worst = fabs(d);
        }
    DLF_TRY(dlf_add_exact(
        run, "straight_line",
        (dlf_text){"Brier 得分对 1/K 是一条直线，由单个网络的得分与分歧预测（最大相对差）",
                   "the Brier score is a straight line in 1/K, predicted from one "
                   "network's score and their spread (largest relative difference)"},
        worst, 0.0, 0.01,
        "E_K = E_1 - (1 - 1/K) M/(M-1) V, exact over all subsets; 1 %: 200 of them", NULL));
    dlf_check c = dlf_check_exact("ambiguity",
                                  (dlf_text){"集成的得分 = 平均得分 − 分歧（最大偏差）",
                                             "score of the ensemble = mean score − spread (largest "
                                             "difference)"},
                                  s->identity);
    c.tolerance = 1e-9;
    c.source = "Krogh & Vedelsby 1995, eq. 5: identity";
    c.self_check = true;
    return dlf_result_check(dlf_run_result(run), c);
}

static dlf_status vote_check(const study *s, dlf_run *run)
{
    const double p = 1.0 - over_seeds(s, DLF_BOOTSTRAP, 0, offsetof(score, error)).mean;
    dlf_check c = dlf_check_of("votes_independent",
                               (dlf_text){"网络投票的错误率与独立投票者（Condorcet）一样低",
                                          "votes of networks err as rarely as independent voters "
                                          "(Condorcet)"},
                               dlf_estimate_of(s->odd, s->seeds, 1));
    c.expected = 1.0 - dlf_condorcet(s->odd_size, p);
    c.tolerance = 0.01;
    c.source = "Condorcet 1785, two classes; networks err on the same hard rows";
    return dlf_result_check(dlf_run_result(run), c);
}

static dlf_status facts(const study *s, dlf_run *run)
{
    dlf_result *r = dlf_run_result(run);
    for (int kind = 0; kind < DLF_COPIES; kind++) {
        const double one = over_seeds(s, kind, 0, offsetof(score, brier)).mean;
        const double v = dlf_estimate_of(s->spread + kind * s->seeds, s->seeds, 1).mean;
        char id[40];
        snprintf(id, sizeof id, "rho_%s", kind_ids[kind]);
        DLF_TRY(dlf_result_fact(r, id, 1.0 - s->models / (s->models - 1.0) * v / one, "1"));
    }
    for (int all = 0; all < 2; all++) {
        const int k = all ? SIZES - 1 : 0;
        DLF_TRY(dlf_result_fact(r, all ? "error_all" : "error_one",
                                over_seeds(s, DLF_BOOTSTRAP, k, offsetof(score, error)).mean, "1"));
        DLF_TRY(dlf_result_fact(r, all ? "error_all_starts" : "error_one_starts",
                                over_seeds(s, DLF_STARTS, k, offsetof(score, error)).mean, "1"));
        DLF_TRY(dlf_result_fact(r, all ? "nll_all" : "nll_one",
                                over_seeds(s, DLF_BOOTSTRAP, k, offsetof(score, nll)).mean, "nat"));
    }
    return DLF_OK;
}

static dlf_status figures(dlf_run *run)
{
    static const dlf_text names[DLF_DIVERSITIES] = {
        {"自助法抽样", "bootstrap"}, {"不同起点", "starts"}, {"对照：复制品", "control: copies"}};
    dlf_figure f = {
        .id = "line",
        .kind = DLF_LINES,
        .title =
            {"集成的误差对 1/K 是一条直线，截距就是误差的相关部分",
             "The error of an ensemble is a straight line in 1/K, down to what the errors share"},
        .subtitle =
            {"手写数字；误差棒为种子间 95 % 区间；虚线由单个网络与分歧算出，没有拟合参数",
             "digits; bars: 95 % over seeds; dashed: from one network and the spread, nothing "
             "fitted"},
        .x = {{"1/K", "1/K"}, false},
        .y = {{"Brier 得分", "Brier score"}, false}};
    dlf_figure g = {
        .id = "errors",
        .kind = DLF_LINES,
        .title = {"网络越多错得越少，收益很快用完；复制品没有收益",
                  "More networks err less, with quickly falling returns; copies gain nothing"},
        .subtitle = {"手写数字，K 个网络的概率取平均；带为种子间 95 % 区间",
                     "digits, mean of the probabilities of K networks; bands: 95 % over seeds"},
        .x = {{"网络个数 K", "networks K"}, true},
        .y = {{"测试错误率", "test error"}, false}};
    for (int kind = 0; kind < DLF_DIVERSITIES; kind++) {
        const dlf_role role = kind == DLF_COPIES ? DLF_CONTROL : DLF_MEASURED;
        const dlf_series s = {.role = role,
                              .table = "digits",
                              .where = "kind",
                              .equals = kind_ids[kind],
                              .x = "inverse",
                              .y = "brier",
                              .lo = "brier_lo",
                              .hi = "brier_hi",
                              .label = names[kind],
                              .colour = kind,
                              .points = true};
        f.series[2 * kind] = g.series[kind] = s;
        dlf_theory_of(&f, 2 * kind, 2 * kind + 1, "theory");
        g.series[kind].x = "models";
        g.series[kind].y = "error";
        g.series[kind].lo = "error_lo";
        g.series[kind].hi = "error_hi";
        g.series[kind].points = false;
    }
    DLF_TRY(dlf_result_figure(dlf_run_result(run), &f));
    return dlf_result_figure(dlf_run_result(run), &g);
}

static dlf_status study_new(study *s, const dlf_run *run)
{
    *s = (study){.seeds = dlf_run_seeds(run), .models = dlf_run_int(run, "models")};
    s->odd_size = s->models - (s->models + 1) % 2;
    for (int k = 0; k < SIZES; k++) /* 1 .. models in equal ratios */
        s->size[k] = (int)lround(pow(s->models, (double)k / (SIZES - 1)));
    const size_t cells = (size_t)(DLF_DIVERSITIES * SIZES * s->seeds);
    s->p =
        malloc((size_t)DLF_DIVERSITIES * (size_t)(s->seeds * s->models) * TESTS * C * sizeof *s->p);
    s->at = malloc(cells * sizeof *s->at);
    s->line = malloc(cells * sizeof *s->line);
    s->spread = malloc((size_t)((DLF_DIVERSITIES + 1) * s->seeds) * sizeof *s->spread);
    if (!s->p || !s->at || !s->line || !s->spread)
        return dlf_fail(DLF_ERR_OOM, "ensemble: out of memory");
    s->odd = s->spread + DLF_DIVERSITIES * s->seeds;
    return DLF_OK;
}

static dlf_status report(study *s, dlf_run *run)
{
    double *value = malloc((size_t)s->seeds * sizeof *value);
    if (!value) return dlf_fail(DLF_ERR_OOM, "ensemble: out of memory");
    dlf_status status;
    DLF_TRY_DONE(table_of(s, run));
    DLF_TRY_DONE(law_checks(s, run));
    for (int kind = 0; kind < DLF_DIVERSITIES; kind++)
        DLF_TRY_DONE(gain_check(s, run, kind, value));
    DLF_TRY_DONE(vote_check(s, run));
    DLF_TRY_DONE(facts(s, run));
    status = figures(run);
done:
    free(value);
    return status;
}

dlf_status dlf_ensemble_digits(dlf_run *run, double from, double to)
{
    study s;
    dlf_status status;
    DLF_TRY_DONE(study_new(&s, run));
    DLF_TRY_DONE(dlf_ensemble_train(run, TESTS, s.p, s.label, from, from + 0.8 * (to - from)));
    for (int kind = 0; kind < DLF_DIVERSITIES; kind++)
        for (int seed = 0; seed < s.seeds; seed++) {
            DLF_TRY_DONE(dlf_run_stage(run, from + 0.8 * (to - from), "scores of ensembles"));
            DLF_TRY_DONE(judge_all(&s, run, kind, seed));
        }
    status = report(&s, run);
done:
    free(s.spread);
    free(s.line);
    free(s.at);
    free(s.p);
    return status;
}
