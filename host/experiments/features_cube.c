/* SPDX-License-Identifier: MIT
 * features_cube.c -- Q1: all 256 parities of 8 bits, explained by random units that stay as they
 * are drawn, and by as many trained ones. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/rng.h"
#include "dlf/train.h"
#include "features.h"
#include "figures.h"
#include "regressor.h"
#include "seed_check.h"

enum { N = DLF_CUBE, D = DLF_CUBE_BITS };

double dlf_cube_parity(int i, int k)
{
    double product = 1.0;
    for (int j = 0; j < k; j++) product *= dlf_cube_bit(i, j);
    return product;
}

void dlf_cube_units(double *h, int units, uint64_t seed, uint32_t member)
{
    for (int u = 0; u < units; u++) {
        double w[D + 1];
        for (int j = 0; j <= D; j++)
            w[j] = dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_WEIGHTS, 60), member,
                                  (uint64_t)u * (D + 1) + (uint64_t)j);
        for (int i = 0; i < N; i++) {
            double z = 0.5 * w[D];
            for (int j = 0; j < D; j++) z += sqrt(2.0 / D) * w[j] * dlf_cube_bit(i, j);
            h[(long)i * units + u] = fmax(z, 0.0);
        }
    }
}

/* In place: out[S] = sum_i q[i] (-1)^|S and i|, which is +-sum_i q[i] chi_S(i). */
static void walsh(double *q)
{
    for (int half = 1; half < N; half *= 2)
        for (int i = 0; i < N; i++)
            if (!(i & half)) {
                const double a = q[i], b = q[i + half];
                q[i] = a + b;
                q[i + half] = a - b;
            }
}

void dlf_cube_explained(double *explained, double *h, int units, int *rank)
{
    double q[N];
    *rank = 0;
    memset(explained, 0, N * sizeof *explained);
    for (int u = 0; u < units; u++) {
        double before = 0.0, after = 0.0;
        for (int i = 0; i < N; i++) {
            q[i] = h[(long)i * units + u];
            before += q[i] * q[i];
        }
        for (int twice = 0; twice < 2; twice++) /* Gram-Schmidt; the second pass mends the first */
            for (int v = 0; v < *rank; v++) {
                double dot = 0.0;
                for (int i = 0; i < N; i++) dot += q[i] * h[(long)i * units + v];
                for (int i = 0; i < N; i++) q[i] -= dot * h[(long)i * units + v];
            }
        for (int i = 0; i < N; i++) after += q[i] * q[i];
        if (!(sqrt(after) > 1e-9 * sqrt(before))) continue;
        for (int i = 0; i < N; i++) h[(long)i * units + *rank] = q[i] /= sqrt(after);
        ++*rank;
        walsh(q);
        for (int s = 0; s < N; s++) explained[s] += q[s] * q[s] / N;
    }
}

/* ---- fixed ---- */

static const int fixed_units[] = {16, 32, 64, 128};
enum {
    FIXED = sizeof fixed_units / sizeof fixed_units[0],
    TRAINED_UNITS = 32,
    SAME = 1, /* as many fixed ones */
    ARMS = FIXED + 1,
    DEGREES = D + 1,
    FEW_DEGREE = 4
};

/* degree (ARMS, DEGREES, seeds): explained variance, the mean over the parities of a degree */
typedef struct outcome {
    double *degree;
    double mean[FIXED], ranks[FIXED]; /* over all parities and seeds */
} outcome;

static double *cell(const outcome *o, int seeds, int arm, int k)
{
    return o->degree + ((long)arm * DEGREES + k) * seeds;
}

static dlf_status fixed(outcome *o, const dlf_run *run)
{
    static const double choose[DEGREES] = {1, 8, 28, 56, 70, 56, 28, 8, 1};
    const int seeds = dlf_run_seeds(run);
    double *h = malloc((size_t)N * 128 * sizeof *h), explained[N];
    if (!h) return dlf_fail(DLF_ERR_OOM, "features: out of memory");
    for (int a = 0; a < FIXED; a++)
        for (int s = 0; s < seeds; s++) {
            int rank;
            dlf_cube_units(h, fixed_units[a], dlf_run_seed(run), (uint32_t)(a * seeds + s));
            dlf_cube_explained(explained, h, fixed_units[a], &rank);
            for (int k = 0; k < DEGREES; k++) cell(o, seeds, a, k)[s] = 0.0;
            for (int set = 0; set < N; set++) {
                const int k = __builtin_popcount((unsigned)set);
                cell(o, seeds, a, k)[s] += explained[set] / choose[k];
                o->mean[a] += explained[set] / N / seeds;
            }
            o->ranks[a] += (double)rank / seeds;
        }
    free(h);
    return DLF_OK;
}

/* ---- trained: one network per degree and seed, on the parity of the first bits ---- */

static dlf_status cube_data(dlf_dataset *data, int degrees)
{
    *data = (dlf_dataset){.name = "cube", .train = degrees * N, .features = D, .targets = 1};
    data->x = malloc((size_t)(degrees * N) * D * sizeof *data->x);
    data->target = malloc((size_t)(degrees * N) * sizeof *data->target);
    if (!data->x || !data->target) return dlf_fail(DLF_ERR_OOM, "features: out of memory");
    for (int k = 0; k < degrees; k++)
        for (int i = 0; i < N; i++) {
            const long row = (long)k * N + i;
            for (int j = 0; j < D; j++) data->x[row * D + j] = dlf_cube_bit(i, j);
            data->target[row] = (float)dlf_cube_parity(i, k);
        }
    return DLF_OK;
}

static dlf_status trained(outcome *o, dlf_run *run)
{
    const int seeds = dlf_run_seeds(run), steps = dlf_run_int(run, "steps"), P = DEGREES * seeds;
    dlf_dataset data = {0};
    dlf_graph *g = NULL;
    dlf_train *t = NULL;
    dlf_status status;
    double *lr = malloc((size_t)P * sizeof *lr);
    int32_t *base = malloc((size_t)P * sizeof *base);
    if (!lr || !base) {
        status = dlf_fail(DLF_ERR_OOM, "features: out of memory");
        goto done;
    }
    for (int p = 0; p < P; p++) {
        lr[p] = 0.01;
        base[p] = p / seeds * N;
    }
    DLF_TRY_DONE(cube_data(&data, DEGREES));
    DLF_TRY_DONE(regressor_new(&g, dlf_run_device(run), P, N, D, TRAINED_UNITS));
    DLF_TRY_DONE(dlf_graph_initialise(g, dlf_run_seed(run), NULL));
    const dlf_train_spec spec = {
        .seed = dlf_run_seed(run),
        .base = base,
        .lr = lr,
        .rows = N,
        .optimiser = dlf_adam(0.0),
        .schedule = {.kind = DLF_SCHEDULE_COSINE, .steps = steps, .final = 0.0}};
    DLF_TRY_DONE(dlf_train_new(&t, g, &data, &spec));
    DLF_TRY_DONE(dlf_train_run(t, steps));
    DLF_TRY_DONE(dlf_train_evaluate(t, 0, N, cell(o, seeds, FIXED, 0), NULL));
    for (int p = 0; p < P; p++) cell(o, seeds, FIXED, 0)[p] = 1.0 - cell(o, seeds, FIXED, 0)[p];
done:
    dlf_train_free(t);
    dlf_graph_free(g);
    dlf_dataset_free(&data);
    free(base);
    free(lr);
    return status;
}

/* ---- report ---- */

static dlf_status checks(const outcome *o, dlf_run *run)
{
    const int seeds = dlf_run_seeds(run);
    DLF_TRY(dlf_add_exact(
        run, "share_of_all",
        (dlf_text){"固定的 64 个特征，对全部 256 个目标平均解释的方差",
                   "64 fixed features: explained variance, the mean over all 256 targets"},
        o->mean[2], o->ranks[2] / N, 1e-12,
        "trace of a projection: rank / 2^d for every choice of features", NULL));
    const dlf_estimate f = dlf_estimate_of(cell(o, seeds, SAME, FEW_DEGREE), seeds, 1),
                       t = dlf_estimate_of(cell(o, seeds, FIXED, FEW_DEGREE), seeds, 1),
                       low = dlf_estimate_of(cell(o, seeds, SAME, 1), seeds, 1);
    DLF_TRY(dlf_add_bound(
        run, "fixed_degree_4",
        (dlf_text){"固定的 32 个特征：4 位之积平均只能解释这么多（不等式：32/70）",
                   "32 fixed features: explained variance of products of 4 bits, the mean of 70 "
                   "(inequality: 32/70)"},
        f, DLF_AT_MOST, (double)fixed_units[SAME] / 70.0,
        "counting dimensions, as Barron 1993 (sec. X): sum over any orthonormal targets <= N"));
    DLF_TRY(dlf_add_bound(
        run, "trained_degree_4",
        (dlf_text){"训练出来的 32 个特征：同一个目标", "32 trained features: the same target"}, t,
        DLF_AT_LEAST, 0.95,
        "Daniely & Malach 2020, in direction: networks learn parities that fixed features cannot "
        "approximate"));
    return dlf_add_bound(
        run, "fixed_degree_1",
        (dlf_text){"对照，目标合特征的口味（单个位）：固定的 32 个特征也够",
                   "control, a target of the features' taste (a single bit): 32 fixed "
                   "ones are enough"},
        low, DLF_AT_LEAST, 0.95, "random ReLU units have most of their energy in low degrees");
}

static dlf_status table_and_figure(const outcome *o, dlf_run *run)
{
    static const char *const ids[ARMS] = {"fixed_16", "fixed_32", "fixed_64", "fixed_128",
                                          "trained_32"};
    static const dlf_text names[ARMS] = {{"固定，16 个", "16 fixed"},
                                         {"固定，32 个", "32 fixed"},
                                         {"固定，64 个", "64 fixed"},
                                         {"固定，128 个", "128 fixed"},
                                         {"训练，32 个", "32 trained"}};
    const int seeds = dlf_run_seeds(run);
    dlf_table *t;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "cube",
        (dlf_text){"解释的方差与目标的次数", "explained variance by the target's degree"},
        (const dlf_column[]){{"features", NULL},
                             {"degree", "bits"},
                             {"explained", "1"},
                             {"lo", "1"},
                             {"hi", "1"},
                             {NULL, NULL}},
        &t));
    dlf_figure f = {
        .id = "cube",
        .kind = DLF_LINES,
        .title = {"固定的特征有固定的口味；学出来的特征随目标而变",
                  "Fixed features have a fixed taste; learned ones follow the target"},
        .subtitle =
            {"8 位的全部 256 个乘积，按位数平均；随机 ReLU 特征加最小二乘；误差棒为种子间 95 % "
             "区间",
             "all 256 products of 8 bits, by number of bits; random ReLU features and least "
             "squares; bars: 95 % over seeds"},
        .x = {{"目标是几位的乘积", "bits in the product"}, false},
        .y = {{"解释的方差", "explained variance"}, false}};
    for (int a = 0; a < ARMS; a++) {
        for (int k = 0; k < DEGREES; k++) {
            const dlf_estimate e = dlf_estimate_of(cell(o, seeds, a, k), seeds, 1);
            DLF_TRY(dlf_table_row(t, DLF_TXT(ids[a]), DLF_NUM(k), DLF_NUM(e.mean), DLF_NUM(e.lo),
                                  DLF_NUM(e.hi)));
        }
        f.series[a] = dlf_arm_series(a == FIXED ? DLF_MEASURED : DLF_CONTROL, "cube", "features",
                                     ids[a], "degree", "explained", names[a], a);
    }
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_features_cube(dlf_run *run, double from, double to)
{
    outcome o = {.degree = malloc((size_t)(ARMS * DEGREES * dlf_run_seeds(run)) * sizeof(double))};
    if (!o.degree) return dlf_fail(DLF_ERR_OOM, "features: out of memory");
    dlf_status status;
    DLF_TRY_DONE(dlf_run_stage(run, from, "fixed features of 256 targets"));
    DLF_TRY_DONE(fixed(&o, run));
    DLF_TRY_DONE(dlf_run_stage(run, 0.5 * (from + to), "trained features"));
    DLF_TRY_DONE(trained(&o, run));
    DLF_TRY_DONE(checks(&o, run));
    status = table_and_figure(&o, run);
done:
    free(o.degree);
    return status;
}
