/* SPDX-License-Identifier: MIT
 * dimension_distances.c -- Q39: distances of random points, and how far the nearest of many is. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dimension.h"
#include "dlf/rng.h"
#include "figures.h"
#include "seed_check.h"

double dlf_cube_spread(double d)
{
    return 6.0 * sqrt(7.0 / (180.0 * d));
}

double dlf_torus_nearest(int d, double n)
{
    const double log_volume = 0.5 * d * log(M_PI) - lgamma(0.5 * d + 1.0);
    return exp(lgamma(1.0 + 1.0 / d) - (log(n) + log_volume) / d);
}

static const int cubes[] = {2, 5, 10, 30, 100, 300}, tori[] = {1, 2, 4, 8};
enum {
    CUBES = sizeof cubes / sizeof cubes[0],
    TORI = sizeof tori / sizeof tori[0],
    MOST = 300,
    CLOUD = 2000
};

static void uniform_point(float *x, int d, uint64_t seed, uint32_t layer, uint32_t member,
                          uint64_t number)
{
    for (int j = 0; j < d; j++)
        x[j] = dlf_rng_uniform(seed, dlf_stream(DLF_PURPOSE_INPUT, layer), member,
                               number * (uint64_t)d + (uint64_t)j);
}

/* sd(D^2) / mean(D^2) of pairs, and (largest - smallest) / smallest distance from one point to the
 * other points of as many pairs. */
static void pairs_in_cube(const dlf_run *run, int k, int seed, double *spread, double *contrast)
{
    const int n = dlf_run_int(run, "pairs_of_points"), d = cubes[k];
    float a[MOST], b[MOST], first[MOST];
    double sum = 0.0, square = 0.0, nearest = INFINITY, furthest = 0.0;
    uniform_point(first, d, dlf_run_seed(run), 80, (uint32_t)(seed * CUBES + k), 0);
    for (int i = 0; i < n; i++) {
        uniform_point(a, d, dlf_run_seed(run), 81, (uint32_t)(seed * CUBES + k), 2 * (uint64_t)i);
        uniform_point(b, d, dlf_run_seed(run), 81, (uint32_t)(seed * CUBES + k),
                      2 * (uint64_t)i + 1);
        double pair = 0.0, one = 0.0;
        for (int j = 0; j < d; j++) {
            pair += (double)(a[j] - b[j]) * (a[j] - b[j]);
            one += (double)(a[j] - first[j]) * (a[j] - first[j]);
        }
        sum += pair / n;
        square += pair * pair / n;
        nearest = fmin(nearest, one);
        furthest = fmax(furthest, one);
    }
    *spread = sqrt(square - sum * sum) / sum;
    *contrast = sqrt(furthest / nearest) - 1.0;
}

/* Mean distance from queries to the nearest of CLOUD points on the torus. */
static dlf_status nearest_on_torus(const dlf_run *run, int k, int seed, double *distance)
{
    const int d = tori[k], queries = dlf_run_int(run, "queries");
    float *cloud = malloc((size_t)CLOUD * (size_t)d * sizeof *cloud), q[8];
    if (!cloud) return dlf_fail(DLF_ERR_OOM, "dimension: out of memory");
    const uint32_t member = (uint32_t)(seed * TORI + k);
    for (int i = 0; i < CLOUD; i++)
        uniform_point(cloud + (long)i * d, d, dlf_run_seed(run), 82, member, (uint64_t)i);
    *distance = 0.0;
    for (int n = 0; n < queries; n++) {
        double least = INFINITY;
        uniform_point(q, d, dlf_run_seed(run), 83, member, (uint64_t)n);
        for (int i = 0; i < CLOUD; i++) {
            double square = 0.0;
            for (int j = 0; j < d; j++) {
                const double gap = fabs((double)q[j] - cloud[(long)i * d + j]);
                const double round = fmin(gap, 1.0 - gap);
                square += round * round;
            }
            least = fmin(least, square);
        }
        *distance += sqrt(least) / queries;
    }
    free(cloud);
    return DLF_OK;
}

static dlf_status spread_table(dlf_run *run, const double *spread, const double *contrast)
{
    const int seeds = dlf_run_seeds(run);
    dlf_table *t;
    DLF_TRY(
        dlf_result_table(dlf_run_result(run), "distances",
                         (dlf_text){"立方体中两点的距离", "distances of two points of the cube"},
                         (const dlf_column[]){{"dim", "1"},
                                              {"spread", "1"},
                                              {"lo", "1"},
                                              {"hi", "1"},
                                              {"theory", "1"},
                                              {"contrast", "1"},
                                              {NULL, NULL}},
                         &t));
    for (int k = 0; k < CUBES; k++) {
        const dlf_estimate e = dlf_estimate_of(spread + k * seeds, seeds, 1);
        const double c = dlf_estimate_of(contrast + k * seeds, seeds, 1).mean;
        DLF_TRY(dlf_table_row(t, DLF_NUM(cubes[k]), DLF_NUM(e.mean), DLF_NUM(e.lo), DLF_NUM(e.hi),
                              DLF_NUM(dlf_cube_spread(cubes[k])), DLF_NUM(c)));
        if (k == 0) DLF_TRY(dlf_result_fact(dlf_run_result(run), "contrast_low", c, "1"));
        if (k == CUBES - 1) DLF_TRY(dlf_result_fact(dlf_run_result(run), "contrast_high", c, "1"));
        if (cubes[k] != 10 && cubes[k] != 100) continue;
        char id[32], zh[160], en[160];
        snprintf(id, sizeof id, "spread_%d", cubes[k]);
        snprintf(zh, sizeof zh, "%d 维立方体：距离平方的标准差比均值", cubes[k]);
        snprintf(en, sizeof en, "cube of %d dimensions: standard deviation of D² over its mean",
                 cubes[k]);
        dlf_check check = dlf_check_of(id, (dlf_text){zh, en}, e);
        check.expected = dlf_cube_spread(cubes[k]);
        check.tolerance = 0.05;
        check.relative = true;
        check.source =
            "closed form: 6 sqrt(7/(180 d)); 5 %: the sampling error of a standard deviation";
        DLF_TRY(dlf_result_check(dlf_run_result(run), check));
    }
    return DLF_OK;
}

static dlf_status torus_table(dlf_run *run, const double *distance)
{
    const int seeds = dlf_run_seeds(run);
    dlf_table *t;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "nearest",
                             (dlf_text){"环面上最近邻的距离（2000 个点）",
                                        "distance to the nearest of 2,000 points on the torus"},
                             (const dlf_column[]){{"dim", "1"},
                                                  {"distance", "1"},
                                                  {"lo", "1"},
                                                  {"hi", "1"},
                                                  {"theory", "1"},
                                                  {NULL, NULL}},
                             &t));
    for (int k = 0; k < TORI; k++) {
        const dlf_estimate e = dlf_estimate_of(distance + k * seeds, seeds, 1);
        DLF_TRY(dlf_table_row(t, DLF_NUM(tori[k]), DLF_NUM(e.mean), DLF_NUM(e.lo), DLF_NUM(e.hi),
                              DLF_NUM(dlf_torus_nearest(tori[k], CLOUD))));
        if (tori[k] != 2 && tori[k] != 8) continue;
        char id[32], zh[160], en[160];
        snprintf(id, sizeof id, "nearest_%d", tori[k]);
        snprintf(zh, sizeof zh, "%d 维、2000 个点：到最近邻的平均距离", tori[k]);
        snprintf(en, sizeof en, "%d dimensions, 2,000 points: mean distance to the nearest",
                 tori[k]);
        dlf_check c = dlf_check_of(id, (dlf_text){zh, en}, e);
        c.expected = dlf_torus_nearest(tori[k], CLOUD);
        c.tolerance = fmax(0.05 * c.expected, 4.0 * e.sd / sqrt(seeds));
        c.source = "closed form: Gamma(1+1/d) / (n V_d)^(1/d); 5 % or 4 standard errors";
        DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    }
    return DLF_OK;
}

static dlf_status figure(dlf_run *run)
{
    dlf_figure f = {
        .id = "distances",
        .kind = DLF_LINES,
        .title = {"维数越高，距离越集中，最近邻也越远",
                  "In many dimensions distances concentrate and neighbours are far"},
        .subtitle =
            {"立方体中两点距离平方的相对离散；环面上 2000 个点中最近的距离；虚线为闭式解",
             "cube: relative spread of D²; torus: distance to the nearest of 2,000; closed forms "
             "dashed"},
        .x = {{"维数 d", "dimensions d"}, true},
        .y = {{"相对离散，或距离", "relative spread, or distance"}, true}};
    static const char *const tables[2] = {"distances", "nearest"}, *const ys[2] = {"spread",
                                                                                   "distance"};
    static const dlf_text names[2] = {{"距离的相对离散", "spread of distances"},
                                      {"最近邻的距离", "nearest neighbour"}};
    for (int i = 0; i < 2; i++) {
        f.series[2 * i] = (dlf_series){.role = DLF_MEASURED,
                                       .table = tables[i],
                                       .x = "dim",
                                       .y = ys[i],
                                       .lo = "lo",
                                       .hi = "hi",
                                       .label = names[i],
                                       .colour = i,
                                       .points = true};
        dlf_theory_of(&f, 2 * i, 2 * i + 1, "theory");
    }
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_dimension_distances(dlf_run *run, double from, double to)
{
    const int seeds = dlf_run_seeds(run);
    double *spread = malloc((size_t)((2 * CUBES + TORI) * seeds) * sizeof *spread);
    if (!spread) return dlf_fail(DLF_ERR_OOM, "dimension: out of memory");
    double *contrast = spread + CUBES * seeds, *distance = contrast + CUBES * seeds;
    dlf_status status = DLF_OK;
    for (int s = 0; s < seeds; s++) {
        DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * s / seeds, "distances"));
        for (int k = 0; k < CUBES; k++)
            pairs_in_cube(run, k, s, spread + k * seeds + s, contrast + k * seeds + s);
        for (int k = 0; k < TORI; k++)
            DLF_TRY_DONE(nearest_on_torus(run, k, s, distance + k * seeds + s));
    }
    DLF_TRY_DONE(spread_table(run, spread, contrast));
    DLF_TRY_DONE(torus_table(run, distance));
    status = figure(run);
done:
    free(spread);
    return status;
}
