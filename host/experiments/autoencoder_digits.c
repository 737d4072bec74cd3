/* SPDX-License-Identifier: MIT
 * autoencoder_digits.c -- Q27, Q32: AE and VAE on handwritten digits: what they reconstruct against
 * PCA of as many numbers, and how far what they generate is from digits they have not seen. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "autoencoder.h"
#include "autoencoder_study.h"
#include "dlf/data.h"
#include "dlf/theory.h"
#include "figures.h"
#include "seed_check.h"

enum { PIXELS = 64, LATENTS = 8, BATCH = 128, DEPTH = 2, BATCHES = 16 };
static const double learning_rate = 0.003, decoder_sd = 0.5, bandwidth = 0.1;

/* Ways to generate. */
static const struct {
    const char *id;
    dlf_text name;
} ways[] = {
    {"prior", {"AE，N(0,1)", "AE, N(0,1)"}},
    {"gaussian", {"AE，编码的高斯", "AE, codes' Gaussian"}},
    {"jittered", {"AE，编码的核密度", "AE, codes' kernel density"}},
    {"variational", {"VAE，均值", "VAE, mean"}},
    {"noisy", {"VAE，加上噪声", "VAE, with its noise"}},
};
enum { WAYS = sizeof ways / sizeof ways[0], PRIOR = 0, GAUSSIAN, JITTERED, VARIATIONAL, NOISY };

/* Rows to compare with: their moments, and the root of their covariance. */
typedef struct yardstick {
    double mean[PIXELS], covariance[PIXELS * PIXELS], root[PIXELS * PIXELS];
} yardstick;

static dlf_status yardstick_of(yardstick *y, const dlf_row_moments *m)
{
    dlf_row_moments_of(m, y->mean, y->covariance);
    return dlf_symmetric_root(y->root, y->covariance, PIXELS)
               ? DLF_OK
               : dlf_fail(DLF_ERR_OOM, "autoencoder: out of memory");
}

/* Squared Frechet distance of m, with `noise` (PIXELS) or NULL added to its variances. */
static double distance(const yardstick *y, const dlf_row_moments *m, const double *noise)
{
    double mean[PIXELS], c[PIXELS * PIXELS], sum = 0.0;
    dlf_row_moments_of(m, mean, c);
    for (int i = 0; i < PIXELS; i++) {
        sum += pow(mean[i] - y->mean[i], 2.0);
        if (noise) c[i * PIXELS + i] += noise[i];
    }
    return sum + dlf_frechet_by_root(y->root, y->covariance, c, PIXELS);
}

typedef struct outcome {
    int seeds;
    yardstick test, train;
    double floor, pca;             /* of the training rows to the test rows; PCA's loss           */
    double *distance;              /* (WAYS, seeds)                                             */
    double *miss, *bound;          /* (2, seeds) on training rows; (seeds) Frechet - miss of AE  */
    dlf_row_moments *codes, *made; /* (P) each                                                  */
    double *left;                  /* (P, PIXELS): variance of x - out                          */
} outcome;

static void outcome_free(outcome *o)
{
    free(o->distance);
    free(o->codes);
    free(o->left);
}

/* The test rows' yardstick, the training rows' one, PCA on the training rows. */
static dlf_status measure_rows(outcome *o, const dlf_dataset *d)
{
    dlf_row_moments *m = calloc(2, sizeof *m);
    double *work = malloc(PIXELS * (PIXELS + 1) * sizeof *work);
    dlf_status status = DLF_OK;
    if (!m || !work) {
        status = dlf_fail(DLF_ERR_OOM, "autoencoder: out of memory");
        goto done;
    }
    for (int i = 0; i < d->train / BATCH * BATCH + d->test; i++) {
        const bool test = i >= d->train / BATCH * BATCH;
        const int row = test ? d->train + i - d->train / BATCH * BATCH : i;
        double x[PIXELS];
        for (int j = 0; j < PIXELS; j++) x[j] = d->x[(long)row * PIXELS + j];
        m[test].n = PIXELS;
        dlf_row_moments_add(&m[test], x, 1);
    }
    DLF_TRY_DONE(yardstick_of(&o->train, &m[0]));
    DLF_TRY_DONE(yardstick_of(&o->test, &m[1]));
    o->floor = distance(&o->test, &m[0], NULL);
    for (int i = 0; i < PIXELS * PIXELS; i++) work[i] = o->train.covariance[i];
    double *value = work + PIXELS * PIXELS;
    dlf_symmetric_eigen(work, PIXELS, value, NULL);
    o->pca = dlf_pca_loss(value, PIXELS, LATENTS);
done:
    free(work);
    free(m);
    return status;
}

/* Every batch of the pool once: codes, what is left, what is reconstructed. */
static dlf_status reconstruct(outcome *o, dlf_coder_study *s)
{
    const long n = BATCH * LATENTS;
    for (int b = 0; b < s->pool; b++) {
        DLF_TRY(dlf_coder_study_feed(s, b, DLF_PURPOSE_TEST, b));
        DLF_TRY(dlf_graph_forward(s->c.graph, DLF_TRAINING));
        DLF_TRY(dlf_coder_read(s->c.graph, "mu", s->mu));
        DLF_TRY(dlf_coder_read(s->c.graph, "miss", s->made));
        for (int p = 0; p < s->P; p++) {
            dlf_row_moments_add(&o->codes[p], s->mu + p * n, BATCH);
            for (int i = 0; i < BATCH * PIXELS; i++) {
                const double e = s->made[(long)p * BATCH * PIXELS + i];
                o->left[p * PIXELS + i % PIXELS] += e * e / (BATCH * s->pool);
            }
        }
        DLF_TRY(dlf_coder_read(s->c.graph, "out", s->made));
        for (int p = 0; p < s->seeds; p++) /* plain ones: for the bound */
            dlf_row_moments_add(&o->made[p], s->made + (long)p * BATCH * PIXELS, BATCH);
    }
    for (int p = 0; p < s->P; p++) {
        o->miss[p] = 0.0;
        for (int i = 0; i < PIXELS; i++) o->miss[p] += o->left[p * PIXELS + i];
    }
    for (int i = 0; i < s->seeds; i++)
        o->bound[i] = distance(&o->train, &o->made[i], NULL) - o->miss[i];
    return DLF_OK;
}

static dlf_status generate(outcome *o, dlf_coder_study *s)
{
    const long n = BATCH * LATENTS;
    for (int w = 0; w < WAYS; w++) {
        const int first = w >= VARIATIONAL ? s->seeds : 0;
        if (w == NOISY) { /* the same means */
            for (int i = 0; i < s->seeds; i++)
                o->distance[w * s->seeds + i] =
                    distance(&o->test, &o->made[first + i], o->left + (long)(first + i) * PIXELS);
            continue;
        }
        for (int p = 0; p < s->P; p++) o->made[p] = (dlf_row_moments){.n = PIXELS};
        for (int b = 0; b < BATCHES; b++) {
            dlf_coder_study_noise(s->z, s, DLF_PURPOSE_TEST, 1000 + b);
            for (int p = 0; p < s->P; p++) {
                double *z = s->z + p * n, spread = 0.0;
                for (int k = 0; k < LATENTS; k++)
                    spread += o->codes[p].square[k * (LATENTS + 1)] / o->codes[p].rows / LATENTS;
                if (w == GAUSSIAN) dlf_row_moments_colour(&o->codes[p], z, BATCH);
                if (w == JITTERED) /* about the codes of the last rows */
                    for (int i = 0; i < n; i++)
                        z[i] = s->mu[p * n + i] + bandwidth * sqrt(spread) * z[i];
            }
            DLF_TRY(dlf_coder_decode(&s->c, s->z, s->made));
            for (int p = 0; p < s->P; p++)
                dlf_row_moments_add(&o->made[p], s->made + (long)p * BATCH * PIXELS, BATCH);
        }
        for (int i = 0; i < s->seeds; i++)
            o->distance[w * s->seeds + i] = distance(&o->test, &o->made[first + i], NULL);
    }
    return DLF_OK;
}

/* ---- report ---- */

static dlf_status checks(dlf_run *run, const outcome *o)
{
    const int seeds = o->seeds;
    double *gain = malloc((size_t)seeds * sizeof *gain), worst = -INFINITY;
    if (!gain) return dlf_fail(DLF_ERR_OOM, "autoencoder: out of memory");
    dlf_status status;
    for (int s = 0; s < seeds; s++) {
        gain[s] = o->pca - o->miss[s];
        worst = fmax(worst, o->bound[s]);
    }
    DLF_TRY_DONE(dlf_add_above(
        run, "digits_pca",
        (dlf_text){"手写数字：八个隐变量的自编码器比八个主成分少的重建误差",
                   "digits: reconstruction error that an autoencoder of eight latents saves over "
                   "eight principal components"},
        dlf_estimate_of(gain, seeds, 1),
        "PCA is the best linear one (Baldi & Hornik 1989; Hinton & Salakhutdinov 2006, in "
        "direction); training rows, whole interval"));
    for (int s = 0; s < seeds; s++)
        gain[s] = o->distance[PRIOR * seeds + s] - o->distance[GAUSSIAN * seeds + s];
    DLF_TRY_DONE(dlf_add_above(
        run, "digits_codes",
        (dlf_text){"手写数字：编码取自己的高斯而不是 N(0,1)，Fréchet 距离减少",
                   "digits: Fréchet distance saved by the codes' own Gaussian over N(0,1)"},
        dlf_estimate_of(gain, seeds, 1), "as with linear nets; whole interval"));
    for (int s = 0; s < seeds; s++)
        gain[s] = o->distance[VARIATIONAL * seeds + s] - o->distance[NOISY * seeds + s];
    DLF_TRY_DONE(dlf_add_above(
        run, "digits_noise",
        (dlf_text){"手写数字：VAE 加上噪声，Fréchet 距离减少",
                   "digits: Fréchet distance saved by the VAE's noise"},
        dlf_estimate_of(gain, seeds, 1),
        "as with linear nets; noise of the variance left by each pixel; whole interval"));
    dlf_check c = dlf_check_exact(
        "gelbrich",
        (dlf_text){"手写数字：重建的 Fréchet 距离不超过重建误差（最大的差）",
                   "digits: the Fréchet distance of reconstructions is at most the reconstruction "
                   "error (largest difference)"},
        worst);
    c.relation = DLF_AT_MOST;
    c.self_check = true;
    c.tolerance = 1e-3;
    c.source = "Gelbrich 1990: moments are never further apart than the rows that have them";
    status = dlf_result_check(dlf_run_result(run), c);
done:
    free(gain);
    return status;
}

static dlf_status tables(dlf_run *run, const outcome *o)
{
    dlf_table *t;
    DLF_TRY(
        dlf_result_table(dlf_run_result(run), "digits",
                         (dlf_text){"手写数字：生成的样本到测试样本的 Fréchet 距离",
                                    "digits: Fréchet distance of what is generated from test rows"},
                         (const dlf_column[]){{"way", NULL},
                                              {"way_zh", NULL},
                                              {"way_en", NULL},
                                              {"arm", NULL},
                                              {"distance", "1"},
                                              {"lo", "1"},
                                              {"hi", "1"},
                                              {NULL, NULL}},
                         &t));
    for (int w = 0; w < WAYS; w++) {
        const dlf_estimate e = dlf_estimate_of(o->distance + w * o->seeds, o->seeds, 1);
        DLF_TRY(dlf_table_row(t, DLF_TXT(ways[w].id), DLF_TXT(ways[w].name.zh),
                              DLF_TXT(ways[w].name.en), DLF_TXT("generated"), DLF_NUM(e.mean),
                              DLF_NUM(e.lo), DLF_NUM(e.hi)));
    }
    DLF_TRY(dlf_table_row(t, DLF_TXT("rows"), DLF_TXT("训练样本"), DLF_TXT("training rows"),
                          DLF_TXT("control"), DLF_NUM(o->floor), DLF_NUM(o->floor),
                          DLF_NUM(o->floor)));
    const struct {
        const char *id;
        double value;
    } facts[] = {
        {"digits_floor", o->floor},
        {"digits_pca_loss", o->pca},
        {"digits_miss_plain", dlf_estimate_of(o->miss, o->seeds, 1).mean},
        {"digits_miss_variational", dlf_estimate_of(o->miss + o->seeds, o->seeds, 1).mean},
    };
    for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++)
        DLF_TRY(dlf_result_fact(dlf_run_result(run), facts[i].id, facts[i].value, "1"));
    dlf_figure f = {
        .id = "digits",
        .kind = DLF_BARS,
        .title = {"手写数字：从哪里取编码、加不加噪声，都改变生成的分布",
                  "Digits: where codes are drawn, and whether the noise is added, both matter"},
        .subtitle = {"八个隐变量；像素空间的 Fréchet 距离，对未见过的样本；灰色对照：训练样本",
                     "eight latents; Fréchet distance of pixels from unseen rows; grey control: "
                     "training rows"},
        .x = {{"生成的方法", "way to generate"}, false},
        .y = {{"Fréchet 距离（平方）", "squared Fréchet distance"}, false}};
    for (int a = 0; a < 2; a++)
        f.series[a] =
            (dlf_series){.role = a ? DLF_CONTROL : DLF_MEASURED,
                         .table = "digits",
                         .where = "arm",
                         .equals = a ? "control" : "generated",
                         .x = "way",
                         .y = "distance",
                         .lo = "lo",
                         .hi = "hi",
                         .label = a ? (dlf_text){"对照：训练样本", "control: training rows"}
                                    : (dlf_text){"生成的样本", "generated"},
                         .colour = a};
    return dlf_result_figure(dlf_run_result(run), &f);
}

static dlf_status study_new(dlf_coder_study *s, const dlf_run *run, const dlf_dataset *d)
{
    const dlf_coder_spec shape = {.batch = BATCH,
                                  .inputs = PIXELS,
                                  .width = dlf_run_int(run, "coder_digits_width"),
                                  .depth = DEPTH,
                                  .latents = LATENTS};
    const int pool = d->train / BATCH;
    DLF_TRY(dlf_coder_study_new(s, run, shape, pool, decoder_sd));
    int32_t *order = malloc((size_t)(pool * BATCH) * sizeof *order);
    if (!order) return dlf_fail(DLF_ERR_OOM, "autoencoder: out of memory");
    for (int p = 0; p < s->P; p++) {
        dlf_permutation(order, pool * BATCH, s->seed, dlf_stream(DLF_PURPOSE_SHUFFLE, 150),
                        (uint32_t)(p % s->seeds));
        for (int i = 0; i < pool * BATCH; i++)
            for (int j = 0; j < PIXELS; j++)
                s->rows[(((long)(i / BATCH) * s->P + p) * BATCH + i % BATCH) * PIXELS + j] =
                    d->x[(long)order[i] * PIXELS + j];
    }
    free(order);
    return DLF_OK;
}

dlf_status dlf_autoencoder_digits(dlf_run *run, double from, double to)
{
    const int seeds = dlf_run_seeds(run), P = 2 * seeds;
    dlf_dataset d = {0};
    dlf_coder_study s = {0};
    outcome *o = calloc(1, sizeof *o);
    dlf_status status;
    if (!o) return dlf_fail(DLF_ERR_OOM, "autoencoder: out of memory");
    o->seeds = seeds;
    o->distance = malloc((size_t)((WAYS + 3) * seeds) * sizeof *o->distance);
    o->codes = calloc(2 * (size_t)P, sizeof *o->codes);
    o->left = calloc((size_t)P * PIXELS, sizeof *o->left);
    if (!o->distance || !o->codes || !o->left) {
        status = dlf_fail(DLF_ERR_OOM, "autoencoder: out of memory");
        goto done;
    }
    o->miss = o->distance + WAYS * seeds;
    o->bound = o->miss + P;
    o->made = o->codes + P;
    for (int p = 0; p < P; p++) {
        o->codes[p].n = LATENTS;
        o->made[p].n = PIXELS;
    }
    DLF_TRY_DONE(dlf_digits_load(&d));
    DLF_TRY_DONE(measure_rows(o, &d));
    DLF_TRY_DONE(study_new(&s, run, &d));
    DLF_TRY_DONE(dlf_coder_study_train(&s, run, dlf_run_int(run, "coder_digits_steps"),
                                       learning_rate, "autoencoders on digits", from,
                                       from + 0.9 * (to - from)));
    DLF_TRY_DONE(reconstruct(o, &s));
    DLF_TRY_DONE(generate(o, &s));
    DLF_TRY_DONE(tables(run, o));
    DLF_TRY_DONE(checks(run, o));
    status = dlf_autoencoder_features(run, &s, &d);
done:
    outcome_free(o);
    free(o);
    dlf_coder_study_free(&s);
    dlf_dataset_free(&d);
    return status;
}
