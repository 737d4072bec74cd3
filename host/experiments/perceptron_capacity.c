/* SPDX-License-Identifier: MIT
 * perceptron_capacity.c -- Q12: which labelings a hyperplane separates: Cover's count, exactly for
 * all labelings of a few points, and as a share of random ones of many. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dlf/rng.h"
#include "figures.h"
#include "hull.h"
#include "perceptron.h"
#include "seed_check.h"

static void gaussian_points(double *x, int points, int dim, uint64_t seed, uint32_t layer,
                            uint32_t member)
{
    for (long i = 0; i < (long)points * dim; i++)
        x[i] = dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_INPUT, layer), member, (uint64_t)i);
}

/* Decides one labeling, and keeps the worst proof: how little a certificate says. */
static dlf_status decide(bool *separable, double *worst, const double *x, const float *t,
                         int t_stride, int points, int dim, double *scratch)
{
    dlf_hull hull;
    for (int i = 0; i < points; i++)
        for (int j = 0; j < dim; j++)
            scratch[(long)i * dim + j] = x[(long)i * dim + j] * t[(long)i * t_stride];
    DLF_TRY(dlf_hull_nearest(&hull, scratch, points, dim, NULL, NULL));
    *separable = hull.separable;
    if (!hull.separable) *worst = fmax(*worst, hull.proof);
    return DLF_OK;
}

/* ---- all labelings of a few points ---- */

enum { POINTS = 10, DIM = 4, LABELINGS = 1 << POINTS };

typedef struct census {
    int seeds;
    double *x;       /* (seeds, POINTS, DIM)                            */
    float *xf, *t;   /* the same; (POINTS, LABELINGS)                   */
    double *total;   /* (seeds, LABELINGS) mistakes                     */
    int *last;       /* (seeds, LABELINGS)                              */
    int32_t *order;  /* (POINTS, seeds) rows of x, and of t             */
    double *counted; /* (seeds) separable labelings                     */
    double *found;   /* (seeds) share of them that the perceptron ended */
    double wrong;    /* labelings that it ended although they are not   */
    double proof;
} census;

static void census_free(census *c)
{
    free(c->found);
    free(c->counted);
    free(c->order);
    free(c->last);
    free(c->total);
    free(c->t);
    free(c->xf);
    free(c->x);
}

static dlf_status census_new(census *c, const dlf_run *run)
{
    *c = (census){.seeds = dlf_run_seeds(run)};
    const size_t S = (size_t)c->seeds;
    c->x = malloc(S * POINTS * DIM * sizeof *c->x);
    c->xf = malloc(S * POINTS * DIM * sizeof *c->xf);
    c->t = malloc((size_t)POINTS * LABELINGS * sizeof *c->t);
    c->total = malloc(S * LABELINGS * sizeof *c->total);
    c->last = malloc(S * LABELINGS * sizeof *c->last);
    c->order = malloc(2 * S * POINTS * sizeof *c->order);
    c->counted = malloc(S * sizeof *c->counted);
    c->found = malloc(S * sizeof *c->found);
    if (!c->x || !c->xf || !c->t || !c->total || !c->last || !c->order || !c->counted || !c->found)
        return dlf_fail(DLF_ERR_OOM, "perceptron: out of memory");
    for (int k = 0; k < c->seeds; k++)
        gaussian_points(c->x + (long)k * POINTS * DIM, POINTS, DIM, dlf_run_seed(run), 1,
                        (uint32_t)k);
    for (long i = 0; i < (long)c->seeds * POINTS * DIM; i++) c->xf[i] = (float)c->x[i];
    for (int i = 0; i < POINTS; i++) {
        for (int l = 0; l < LABELINGS; l++) c->t[i * LABELINGS + l] = l >> i & 1 ? 1.0f : -1.0f;
        for (int k = 0; k < c->seeds; k++) {
            c->order[i * c->seeds + k] = k * POINTS + i;
            c->order[(POINTS + i) * c->seeds + k] = i;
        }
    }
    return DLF_OK;
}

/* One perceptron per labeling, all 1,024 of a point set in one layer. */
static dlf_status learn_all(census *c, dlf_run *run, int passes, double from, double to)
{
    dlf_perceptrons machine;
    dlf_status status;
    DLF_TRY_DONE(dlf_perceptrons_new(&machine, dlf_run_device(run), c->seeds, c->seeds * POINTS,
                                     DIM, c->xf, POINTS, LABELINGS, c->t, false));
    DLF_TRY_DONE(dlf_perceptrons_order(&machine, POINTS, c->order, c->order + POINTS * c->seeds));
    DLF_TRY_DONE(dlf_perceptrons_converge(&machine, passes, c->total, c->last, run, from, to,
                                          "all labelings of ten points"));
done:
    dlf_perceptrons_free(&machine);
    return status;
}

static dlf_status count_all(census *c, int passes)
{
    double scratch[POINTS * DIM];
    for (int k = 0; k < c->seeds; k++) {
        c->counted[k] = c->found[k] = 0.0;
        for (int l = 0; l < LABELINGS; l++) {
            bool separable;
            DLF_TRY(decide(&separable, &c->proof, c->x + (long)k * POINTS * DIM, c->t + l,
                           LABELINGS, POINTS, DIM, scratch));
            const bool ended = c->last[(long)k * LABELINGS + l] < passes;
            c->counted[k] += separable;
            c->found[k] += separable && ended;
            c->wrong += ended && !separable;
        }
        c->found[k] /= c->counted[k];
    }
    return DLF_OK;
}

static dlf_status census_checks(const census *c, dlf_run *run)
{
    dlf_check check = dlf_check_of(
        "cover_count",
        (dlf_text){"4 维空间中 10 个一般位置的点：1024 种标记里恰有这么多可分，与点的位置无关",
                   "10 points in general position in 4 dimensions: exactly so many of the 1,024 "
                   "labelings can be separated, wherever the points lie"},
        dlf_estimate_of(c->counted, c->seeds, 1));
    check.expected = dlf_cover_count(POINTS, DIM);
    check.source = "Cover 1965, eq. 5: 2 (C(9,0) + C(9,1) + C(9,2) + C(9,3))";
    DLF_TRY(dlf_result_check(dlf_run_result(run), check));
    check = dlf_check_exact(
        "never_ends_wrongly",
        (dlf_text){"感知机从不在不可分的标记上停下来（停下的个数）",
                   "the perceptron never ends on a labeling that cannot be separated (how many)"},
        c->wrong);
    check.source = "identity: a pass without a mistake is a separating hyperplane";
    check.self_check = true;
    DLF_TRY(dlf_result_check(dlf_run_result(run), check));
    check = dlf_check_exact(
        "hull_proofs",
        (dlf_text){"不可分的证明：原点是各点的凸组合（最大余项）",
                   "proof of what cannot be separated: the origin is a convex combination (largest "
                   "remainder)"},
        c->proof);
    check.expected = 1e-9;
    check.relation = DLF_AT_MOST;
    check.source = "Gordan 1873: weights >= 0 of sum 1 with sum lambda a = 0; rounding";
    check.self_check = true;
    DLF_TRY(dlf_result_check(dlf_run_result(run), check));
    return dlf_result_fact(dlf_run_result(run), "found_share",
                           dlf_estimate_of(c->found, c->seeds, 1).mean, "1");
}

/* ---- random labelings of many points ---- */

static const int dims[] = {5, 10, 20};
enum { DIMS = sizeof dims / sizeof dims[0], LOADS = 11, HALF = 5 };

static double load_of(int i)
{
    return 1.0 + 0.2 * i; /* 1 .. 3; load_of(HALF) = 2 */
}

static int points_of(int k, int i)
{
    return (int)lround(load_of(i) * dims[k]);
}

/* Share of `draws` random labelings of fresh points that can be separated. */
static dlf_status sample(double *share, double *proof, int points, int dim, int draws,
                         uint64_t seed, uint32_t layer, int seed_index)
{
    double *x = malloc(2 * (size_t)points * (size_t)dim * sizeof *x);
    float *t = malloc((size_t)points * sizeof *t);
    dlf_status status = DLF_OK;
    if (!x || !t) {
        status = dlf_fail(DLF_ERR_OOM, "perceptron: out of memory");
        goto done;
    }
    int count = 0;
    for (int draw = 0; draw < draws; draw++) {
        const uint32_t member = (uint32_t)(seed_index * draws + draw);
        bool separable;
        gaussian_points(x, points, dim, seed, layer, member);
        for (int i = 0; i < points; i++)
            t[i] = dlf_rng_bits(seed, dlf_stream(DLF_PURPOSE_TEST, layer), member, (uint64_t)i) & 1
                       ? 1.0f
                       : -1.0f;
        DLF_TRY_DONE(decide(&separable, proof, x, t, 1, points, dim, x + (long)points * dim));
        count += separable;
    }
    *share = (double)count / draws;
done:
    free(t);
    free(x);
    return status;
}

static dlf_status load_check(dlf_run *run, int k, int i, dlf_estimate e, int all)
{
    char id[32], zh[160], en[160];
    const int points = points_of(k, i);
    snprintf(id, sizeof id, "capacity_%d_%d", dims[k], points);
    snprintf(zh, sizeof zh, "%d 维、%d 个点（负载 %g）：随机标记可分的比例", dims[k], points,
             load_of(i));
    snprintf(
        en, sizeof en,
        "%d points in %d dimensions (load %g): share of random labelings that can be separated",
        points, dims[k], load_of(i));
    dlf_check c = dlf_check_of(id, (dlf_text){zh, en}, e);
    c.expected = dlf_cover_share(points, dims[k]);
    c.tolerance = 4.0 * sqrt(c.expected * (1.0 - c.expected) / all);
    c.source = "Cover 1965, eq. 5 over 2^P; 4 binomial standard errors of all labelings";
    return dlf_result_check(dlf_run_result(run), c);
}

static dlf_status sweep(dlf_run *run, double *proof, double from, double to)
{
    const int seeds = dlf_run_seeds(run), draws = dlf_run_int(run, "draws");
    dlf_table *table;
    DLF_TRY(
        dlf_result_table(dlf_run_result(run), "capacity",
                         (dlf_text){"随机标记可分的比例", "share of random labelings that can be "
                                                          "separated"},
                         (const dlf_column[]){{"dim", NULL},
                                              {"load", "1"},
                                              {"points", "1"},
                                              {"share", "1"},
                                              {"lo", "1"},
                                              {"hi", "1"},
                                              {"theory", "1"},
                                              {NULL, NULL}},
                         &table));
    double *share = malloc((size_t)seeds * sizeof *share);
    if (!share) return dlf_fail(DLF_ERR_OOM, "perceptron: out of memory");
    dlf_status status = DLF_OK;
    for (int k = 0; k < DIMS; k++)
        for (int i = 0; i < LOADS; i++) {
            const int points = points_of(k, i);
            char dim[16];
            snprintf(dim, sizeof dim, "%d", dims[k]);
            DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * (k * LOADS + i) / (DIMS * LOADS),
                                       "capacity, %d points in %d dimensions", points, dims[k]));
            for (int seed = 0; seed < seeds; seed++)
                DLF_TRY_DONE(sample(share + seed, proof, points, dims[k], draws, dlf_run_seed(run),
                                    (uint32_t)(100 + k * LOADS + i), seed));
            const dlf_estimate e = dlf_estimate_of(share, seeds, 1);
            DLF_TRY_DONE(dlf_table_row(table, DLF_TXT(dim), DLF_NUM(load_of(i)), DLF_NUM(points),
                                       DLF_NUM(e.mean), DLF_NUM(e.lo), DLF_NUM(e.hi),
                                       DLF_NUM(dlf_cover_share(points, dims[k]))));
            if (i == HALF || (k == DIMS - 1 && (i == HALF - 2 || i == HALF + 2)))
                DLF_TRY_DONE(load_check(run, k, i, e, seeds * draws));
        }
done:
    free(share);
    return status;
}

static dlf_status figure(dlf_run *run)
{
    static const char *const names[DIMS] = {"5", "10", "20"};
    dlf_figure f = {
        .id = "capacity",
        .kind = DLF_LINES,
        .title = {"N 维空间里，随机标记的点多于 2N 个就不再可分",
                  "In N dimensions, random labels of more than 2N points cannot be separated"},
        .subtitle = {"高斯点，过原点的超平面；每个标记都有证明；虚线为 Cover 的公式",
                     "Gaussian points, hyperplanes through the origin; every labeling decided with "
                     "proof; Cover's formula dashed"},
        .x = {{"负载 P/N", "load P/N"}, false},
        .y = {{"可分的比例", "share separable"}, false}};
    int n = 0;
    for (int k = 0; k < DIMS; k++) {
        static const dlf_text labels[DIMS] = {
            {"N = 5", "N = 5"}, {"N = 10", "N = 10"}, {"N = 20", "N = 20"}};
        f.series[n] = dlf_arm_series(DLF_MEASURED, "capacity", "dim", names[k], "load", "share",
                                     labels[k], k);
        f.series[n].points = true;
        dlf_theory_of(&f, n, n + 1, "theory");
        n += 2;
    }
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_perceptron_capacity(dlf_run *run, double from, double to)
{
    const double middle = from + 0.4 * (to - from);
    const int passes = dlf_run_int(run, "passes");
    census c;
    dlf_status status;
    DLF_TRY_DONE(census_new(&c, run));
    DLF_TRY_DONE(learn_all(&c, run, passes, from, middle));
    DLF_TRY_DONE(count_all(&c, passes));
    DLF_TRY_DONE(sweep(run, &c.proof, middle, to));
    DLF_TRY_DONE(census_checks(&c, run));
    DLF_TRY_DONE(figure(run));
done:
    census_free(&c);
    return status;
}
