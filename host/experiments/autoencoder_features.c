/* SPDX-License-Identifier: MIT
 * autoencoder_features.c -- Q32: the codes of autoencoders as features of digits, against as many
 * numbers from PCA and at random, and against all pixels: a linear classifier that knows all
 * training labels, and the nearest neighbour with five labels per class. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "autoencoder.h"
#include "autoencoder_study.h"
#include "dlf/theory.h"
#include "figures.h"
#include "host_arrays.h"
#include "least_squares.h"
#include "seed_check.h"

static const struct {
    const char *id;
    dlf_text name;
} kinds[] = {
    {"random", {"随机投影", "random projection"}},
    {"pca", {"PCA", "PCA"}},
    {"plain", {"AE 的编码", "codes of the AE"}},
    {"variational", {"VAE 的编码", "codes of the VAE"}},
    {"pixels", {"全部像素", "all pixels"}},
};
enum {
    KINDS = sizeof kinds / sizeof kinds[0],
    RANDOM = 0,
    PCA,
    PLAIN,
    VARIATIONAL,
    ALL,
    CLASSES = 10,
    FEW = 5, /* labels per class */
    MEASURES = 2
};
static const double ridge = 1.0;

/* x (n, features) of the rows of a data set, in its order: training, then test. */
typedef struct atlas {
    const dlf_dataset *d;
    int n, features;
    double *x;
} atlas;

/* Error on the test rows of least squares for the classes' indicators, with a constant. */
static dlf_status linear_error(const atlas *a, double *error)
{
    const int p = a->features + 1, n = a->d->train;
    double *x = malloc(((size_t)a->n * (size_t)p + (size_t)n + CLASSES * (size_t)p) * sizeof *x);
    if (!x) return dlf_fail(DLF_ERR_OOM, "autoencoder: out of memory");
    double *y = x + (long)a->n * p, *w = y + n;
    dlf_status status = DLF_OK;
    for (int i = 0; i < a->n; i++) {
        for (int j = 0; j < a->features; j++) x[(long)i * p + j] = a->x[(long)i * a->features + j];
        x[(long)i * p + p - 1] = 1.0;
    }
    for (int c = 0; c < CLASSES; c++) {
        for (int i = 0; i < n; i++) y[i] = a->d->label[i] == c;
        DLF_TRY_DONE(dlf_least_squares(w + (long)c * p, x, y, n, p, ridge));
    }
    *error = 0.0;
    for (int i = n; i < a->n; i++) {
        double most = -INFINITY;
        int best = 0;
        for (int c = 0; c < CLASSES; c++) {
            double sum = 0.0;
            for (int j = 0; j < p; j++) sum += w[(long)c * p + j] * x[(long)i * p + j];
            if (sum > most) {
                most = sum;
                best = c;
            }
        }
        *error += (best != a->d->label[i]) / (double)a->d->test;
    }
done:
    free(x);
    return status;
}

/* Error of the nearest of the first FEW rows of each class in `order`. */
static double few_error(const atlas *a, const int32_t *order)
{
    int chosen[FEW * CLASSES], count[CLASSES] = {0}, m = 0;
    double error = 0.0;
    for (int i = 0; i < a->d->train && m < FEW * CLASSES; i++)
        if (count[a->d->label[order[i]]]++ < FEW) chosen[m++] = order[i];
    for (int i = a->d->train; i < a->n; i++) {
        double least = INFINITY;
        int best = -1;
        for (int k = 0; k < m; k++) {
            double square = 0.0;
            for (int j = 0; j < a->features; j++)
                square += pow(
                    a->x[(long)i * a->features + j] - a->x[(long)chosen[k] * a->features + j], 2.0);
            if (square < least) {
                least = square;
                best = a->d->label[chosen[k]];
            }
        }
        error += (best != a->d->label[i]) / (double)a->d->test;
    }
    return error;
}

/* x = rows times map (features, pixels). */
static void project(atlas *a, const double *map)
{
    const int D = a->d->features;
    for (int i = 0; i < a->n; i++)
        for (int j = 0; j < a->features; j++) {
            double sum = 0.0;
            for (int k = 0; k < D; k++) sum += map[j * D + k] * a->d->x[(long)i * D + k];
            a->x[(long)i * a->features + j] = sum;
        }
}

/* The first principal directions of the training rows as rows of map. */
static dlf_status principal(double *map, const atlas *a, int k)
{
    const int D = a->d->features;
    double *c = calloc(2 * (size_t)(D * D) + (size_t)D, sizeof *c);
    if (!c) return dlf_fail(DLF_ERR_OOM, "autoencoder: out of memory");
    double *vector = c + D * D;
    for (int r = 0; r < a->d->train; r++) /* centred by the loader */
        for (int i = 0; i < D; i++)
            for (int j = 0; j < D; j++)
                c[i * D + j] += (double)a->d->x[(long)r * D + i] * a->d->x[(long)r * D + j];
    dlf_symmetric_eigen(c, D, vector + D * D, vector);
    for (int i = 0; i < k * D; i++) map[i] = vector[i];
    free(c);
    return DLF_OK;
}

/* codes (P, n, latents) of all rows. */
static dlf_status encode(dlf_coder_study *s, const dlf_dataset *d, double *codes)
{
    const int n = d->train + d->test, B = s->batch;
    for (int from = 0; from < n; from += B) {
        for (int p = 0; p < s->P; p++)
            for (int i = 0; i < B; i++)
                for (int j = 0; j < d->features; j++)
                    s->made[((long)p * B + i) * d->features + j] =
                        from + i < n ? d->x[(long)(from + i) * d->features + j] : 0.0;
        DLF_TRY(dlf_coder_feed(s->c.graph, "x", s->made));
        DLF_TRY(dlf_graph_forward(s->c.graph, DLF_TRAINING));
        DLF_TRY(dlf_coder_read(s->c.graph, "mu", s->mu));
        for (int p = 0; p < s->P; p++)
            for (int i = 0; i < B && from + i < n; i++)
                for (int k = 0; k < s->latents; k++)
                    codes[((long)p * n + from + i) * s->latents + k] =
                        s->mu[((long)p * B + i) * s->latents + k];
    }
    return DLF_OK;
}

/* ---- report ---- */

/* error (MEASURES, KINDS, seeds) */
static double *cell(double *error, int seeds, int measure, int kind)
{
    return error + ((long)measure * KINDS + kind) * seeds;
}

static dlf_status report(dlf_run *run, double *error)
{
    const int seeds = dlf_run_seeds(run);
    static const char *const measures[MEASURES] = {"linear", "few"};
    static const dlf_text labels[MEASURES] = {
        {"线性分类器，全部标签", "linear classifier, all labels"},
        {"最近邻，每类五个标签", "nearest neighbour, five labels per class"}};
    dlf_table *t;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "features",
        (dlf_text){"手写数字：用编码作特征的错误率", "digits: error with codes as features"},
        (const dlf_column[]){{"kind", NULL},
                             {"kind_zh", NULL},
                             {"kind_en", NULL},
                             {"classifier", NULL},
                             {"error", "1"},
                             {"lo", "1"},
                             {"hi", "1"},
                             {NULL, NULL}},
        &t));
    dlf_figure f = {
        .id = "features",
        .kind = DLF_BARS,
        .title = {"编码可以当特征：远好于随机投影，与 PCA 不相上下",
                  "Codes are features: far better than random projections, on a par with PCA"},
        .subtitle = {"手写数字，测试错误率；随机投影、PCA、AE、VAE 都是八个数",
                     "digits, test error; random projection, PCA, AE and VAE have eight numbers "
                     "each"},
        .x = {{"特征", "features"}, false},
        .y = {{"测试错误率", "test error"}, false}};
    for (int m = 0; m < MEASURES; m++) {
        for (int k = 0; k < KINDS; k++) {
            char id[48];
            const dlf_estimate e = dlf_estimate_of(cell(error, seeds, m, k), seeds, 1);
            DLF_TRY(dlf_table_row(t, DLF_TXT(kinds[k].id), DLF_TXT(kinds[k].name.zh),
                                  DLF_TXT(kinds[k].name.en), DLF_TXT(measures[m]), DLF_NUM(e.mean),
                                  DLF_NUM(e.lo), DLF_NUM(e.hi)));
            snprintf(id, sizeof id, "features_%s_%s", measures[m], kinds[k].id);
            DLF_TRY(dlf_result_fact(dlf_run_result(run), id, e.mean, "1"));
        }
        f.series[m] = dlf_arm_series(DLF_MEASURED, "features", "classifier", measures[m], "kind",
                                     "error", labels[m], m);
    }
    return dlf_result_figure(dlf_run_result(run), &f);
}

static dlf_status checks(dlf_run *run, double *error)
{
    const int seeds = dlf_run_seeds(run);
    double *gain = malloc((size_t)seeds * sizeof *gain);
    if (!gain) return dlf_fail(DLF_ERR_OOM, "autoencoder: out of memory");
    dlf_status status;
    for (int s = 0; s < seeds; s++)
        gain[s] = cell(error, seeds, 0, RANDOM)[s] - cell(error, seeds, 0, PLAIN)[s];
    DLF_TRY_DONE(dlf_add_above(
        run, "features_random",
        (dlf_text){"手写数字：八个编码比八个随机投影（对照）少错多少（线性分类器）",
                   "digits: error that eight codes save over eight random projections (control), "
                   "linear classifier"},
        dlf_estimate_of(gain, seeds, 1), "trained without labels; whole interval"));
    for (int s = 0; s < seeds; s++)
        gain[s] = cell(error, seeds, 0, PCA)[s] - cell(error, seeds, 0, PLAIN)[s];
    status = dlf_add_above(
        run, "features_pca",
        (dlf_text){"手写数字：八个编码比八个主成分少错多少（线性分类器）",
                   "digits: error that eight codes save over eight principal components, linear "
                   "classifier"},
        dlf_estimate_of(gain, seeds, 1),
        "a linear AE's codes would err as often as PCA's, whose span they have; whole interval");
done:
    free(gain);
    return status;
}

dlf_status dlf_autoencoder_features(dlf_run *run, dlf_coder_study *s, const dlf_dataset *d)
{
    const int seeds = s->seeds, n = d->train + d->test, K = s->latents, D = d->features;
    double *codes = malloc((size_t)s->P * (size_t)(n * K) * sizeof *codes),
           *x = malloc((size_t)(n * D + K * D) * sizeof *x),
           *error = malloc(MEASURES * KINDS * (size_t)seeds * sizeof *error);
    int32_t *order = malloc((size_t)d->train * sizeof *order);
    dlf_status status;
    if (!codes || !x || !error || !order) {
        status = dlf_fail(DLF_ERR_OOM, "autoencoder: out of memory");
        goto done;
    }
    double *map = x + (long)n * D;
    DLF_TRY_DONE(encode(s, d, codes));
    for (int k = 0; k < KINDS; k++)
        for (int i = 0; i < seeds; i++) {
            atlas a = {.d = d, .n = n, .features = k == ALL ? D : K, .x = x};
            if (k == PCA && i == 0) DLF_TRY_DONE(principal(map, &a, K));
            if (k == RANDOM)
                host_normal(map, K * D, 1.0, s->seed, dlf_stream(DLF_PURPOSE_WEIGHTS, 150),
                            (uint32_t)i);
            if (k == RANDOM || k == PCA)
                project(&a, map);
            else if (k == ALL)
                for (int j = 0; j < n * D; j++) x[j] = d->x[j];
            else
                a.x = codes + (long)(k == VARIATIONAL ? seeds + i : i) * n * K;
            double *linear = cell(error, seeds, 0, k);
            if (i > 0 && (k == PCA || k == ALL))
                linear[i] = linear[0]; /* nothing that a seed could change */
            else
                DLF_TRY_DONE(linear_error(&a, &linear[i]));
            dlf_permutation(order, d->train, s->seed, dlf_stream(DLF_PURPOSE_SHUFFLE, 151),
                            (uint32_t)i);
            cell(error, seeds, 1, k)[i] = few_error(&a, order);
        }
    DLF_TRY_DONE(report(run, error));
    status = checks(run, error);
done:
    free(order);
    free(error);
    free(x);
    free(codes);
    return status;
}
