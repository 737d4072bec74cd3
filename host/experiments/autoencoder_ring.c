/* SPDX-License-Identifier: MIT
 * autoencoder_ring.c -- Q23, Q32: autoencoders on eight Gaussians on a ring, where what is
 * generated can be counted: two latents and two dimensions, so that nothing is lost on the way, and
 * still the codes' distribution has to be known to generate. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "autoencoder.h"
#include "autoencoder_study.h"
#include "figures.h"
#include "ring.h"
#include "seed_check.h"

/* Ways to draw latents for a trained decoder. */
typedef struct way {
    const char *id;
    dlf_text name;
    bool linear, variational; /* of which net                                                  */
    enum { GAUSSIAN, STANDARD, JITTERED } latents;
} way;

static const way ways[] = {
    {"linear",
     {"线性自编码器，编码的高斯", "linear autoencoder, codes' Gaussian"},
     true,
     false,
     GAUSSIAN},
    {"gaussian", {"自编码器，编码的高斯", "autoencoder, codes' Gaussian"}, false, false, GAUSSIAN},
    {"jittered",
     {"自编码器，编码的核密度", "autoencoder, codes' kernel density"},
     false,
     false,
     JITTERED},
    {"variational", {"VAE，N(0,1)", "VAE, N(0,1)"}, false, true, STANDARD},
};
enum {
    WAYS = sizeof ways / sizeof ways[0],
    LINEAR = 0,
    FITTED,
    JITTER,
    VARIATIONAL,
    K = 2,
    BATCH = 128,
    POOL = 32,
    BATCHES = 16,
    WIDTH = 32
};
static const double linear_rate = 0.03, deep_rate = 0.005, decoder_sd = 0.2, bandwidth = 0.02;

static dlf_status study_new(dlf_coder_study *s, const dlf_run *run, bool linear)
{
    const dlf_coder_spec shape = {
        .batch = BATCH, .inputs = 2, .width = WIDTH, .depth = linear ? 0 : 2, .latents = K};
    DLF_TRY(dlf_coder_study_new(s, run, shape, POOL, decoder_sd));
    for (int b = 0; b < POOL; b++)
        for (int p = 0; p < s->P; p++)
            dlf_ring_rows(s->rows + (long)(b * s->P + p) * BATCH * 2, BATCH, s->seed + (uint64_t)b,
                          (uint32_t)(p % s->seeds));
    return DLF_OK;
}

/* Reconstruction of rows, and what is generated in each way. miss (P): mean |x - out|^2 per row;
 * sample (WAYS,BATCH,2): of the first seed. */
static dlf_status look(dlf_coder_study *s, bool linear, dlf_ring_count *count, double *miss,
                       double *sample)
{
    const long n = BATCH * K;
    dlf_row_moments *m = calloc((size_t)s->P, sizeof *m);
    dlf_status status;
    if (!m) return dlf_fail(DLF_ERR_OOM, "autoencoder: out of memory");
    for (int p = 0; p < s->P; p++) {
        m[p].n = K;
        miss[p] = 0.0;
    }
    for (int b = 0; b < BATCHES; b++) {
        DLF_TRY_DONE(dlf_coder_study_feed(s, b % POOL, DLF_PURPOSE_TEST, b));
        DLF_TRY_DONE(dlf_graph_forward(s->c.graph, DLF_TRAINING));
        DLF_TRY_DONE(dlf_coder_read(s->c.graph, "mu", s->mu));
        DLF_TRY_DONE(dlf_coder_read(s->c.graph, "miss", s->made));
        for (int p = 0; p < s->P; p++) {
            dlf_row_moments_add(&m[p], s->mu + p * n, BATCH);
            for (int i = 0; i < 2 * BATCH; i++)
                miss[p] += pow(s->made[(long)p * 2 * BATCH + i], 2.0) / (BATCH * BATCHES);
        }
    }
    for (int w = 0; w < WAYS; w++) {
        if (ways[w].linear != linear) continue;
        for (int b = 0; b < BATCHES; b++) {
            dlf_coder_study_noise(s->z, s, DLF_PURPOSE_TEST, 1000 + b);
            for (int p = 0; p < s->P; p++) {
                double *z = s->z + p * n;
                const double spread = sqrt((m[p].square[0] + m[p].square[3]) / m[p].rows);
                if (ways[w].latents == GAUSSIAN) dlf_row_moments_colour(&m[p], z, BATCH);
                if (ways[w].latents == JITTERED) /* about the codes of the last rows */
                    for (int i = 0; i < n; i++) z[i] = s->mu[p * n + i] + bandwidth * spread * z[i];
            }
            DLF_TRY_DONE(dlf_coder_decode(&s->c, s->z, s->made));
            for (int i = 0; i < s->seeds; i++) {
                const long p = (ways[w].variational ? s->seeds : 0) + i;
                dlf_ring_add(&count[w * s->seeds + i], s->made + p * BATCH * 2, BATCH);
                for (int j = 0; i == 0 && b == 0 && j < BATCH * 2; j++)
                    sample[(long)w * BATCH * 2 + j] = s->made[p * BATCH * 2 + j];
            }
        }
    }
done:
    free(m);
    return status;
}

/* ---- report ---- */

typedef struct outcome {
    dlf_ring_count *count;         /* (WAYS, seeds)                                            */
    double *hits, *modes, *sample; /* (WAYS, seeds) both; (WAYS, BATCH, 2)                     */
    double *miss;                  /* (WAYS, seeds)                                            */
} outcome;

static dlf_status checks(dlf_run *run, const outcome *o)
{
    const int seeds = dlf_run_seeds(run);
    double *gain = malloc((size_t)seeds * sizeof *gain);
    if (!gain) return dlf_fail(DLF_ERR_OOM, "autoencoder: out of memory");
    dlf_status status;
    DLF_TRY_DONE(dlf_add_near(
        run, "ring_linear",
        (dlf_text){"环，线性自编码器，编码的高斯：落在模态上的比例",
                   "ring, linear autoencoder, codes' Gaussian: share on a mode"},
        dlf_estimate_of(o->hits + LINEAR * seeds, seeds, 1), dlf_ring_gaussian_hits(), 0.002,
        "closed form: the Gaussian with the ring's covariance near its modes; 0.002 or 4 standard "
        "errors"));
    DLF_TRY_DONE(dlf_add_bound(
        run, "ring_miss",
        (dlf_text){"环，线性自编码器：重建误差（生成得再差，重建也无误）",
                   "ring, linear autoencoder: reconstruction error (however badly it generates)"},
        dlf_estimate_of(o->miss + LINEAR * seeds, seeds, 1), DLF_AT_MOST, 1e-4,
        "two latents, two dimensions: the identity is in reach"));
    for (int s = 0; s < seeds; s++)
        gain[s] = o->hits[JITTER * seeds + s] - o->hits[FITTED * seeds + s];
    DLF_TRY_DONE(dlf_add_above(
        run, "ring_density",
        (dlf_text){"环，同一个解码器：编码的核密度比编码的高斯多命中多少",
                   "ring, one decoder: share on a mode that a kernel density of the codes gains "
                   "over their Gaussian"},
        dlf_estimate_of(gain, seeds, 1), "the decoder is good where codes lie; whole interval"));
    for (int s = 0; s < seeds; s++)
        gain[s] = o->hits[VARIATIONAL * seeds + s] - o->hits[FITTED * seeds + s];
    DLF_TRY_DONE(dlf_add_above(
        run, "ring_vae",
        (dlf_text){"环，VAE 从先验采样比自编码器的编码高斯多命中多少",
                   "ring: share on a mode that a VAE's prior gains over the Gaussian of an "
                   "autoencoder's codes"},
        dlf_estimate_of(gain, seeds, 1),
        "Kingma & Welling 2014, in direction: training fills the prior; whole interval"));
done:
    free(gain);
    return status;
}

static dlf_status tables(dlf_run *run, const outcome *o)
{
    const int seeds = dlf_run_seeds(run);
    dlf_table *t, *samples;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "ring",
                             (dlf_text){"环上的自编码器：命中、模态、重建",
                                        "autoencoders on a ring: hits, modes, reconstruction"},
                             (const dlf_column[]){{"way", NULL},
                                                  {"hits", "1"},
                                                  {"hits_lo", "1"},
                                                  {"hits_hi", "1"},
                                                  {"modes", "1"},
                                                  {"miss", "1"},
                                                  {NULL, NULL}},
                             &t));
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "samples",
        (dlf_text){"第一个种子的生成样本", "what is generated, first seed"},
        (const dlf_column[]){{"way", NULL}, {"x", "1"}, {"y", "1"}, {NULL, NULL}}, &samples));
    for (int w = 0; w < WAYS; w++) {
        const dlf_estimate h = dlf_estimate_of(o->hits + w * seeds, seeds, 1),
                           m = dlf_estimate_of(o->modes + w * seeds, seeds, 1),
                           e = dlf_estimate_of(o->miss + w * seeds, seeds, 1);
        char id[40];
        DLF_TRY(dlf_table_row(t, DLF_TXT(ways[w].id), DLF_NUM(h.mean), DLF_NUM(h.lo), DLF_NUM(h.hi),
                              DLF_NUM(m.mean), DLF_NUM(e.mean)));
        snprintf(id, sizeof id, "ring_hits_%s", ways[w].id);
        DLF_TRY(dlf_result_fact(dlf_run_result(run), id, h.mean, "1"));
        snprintf(id, sizeof id, "ring_modes_%s", ways[w].id);
        DLF_TRY(dlf_result_fact(dlf_run_result(run), id, m.mean, "1"));
        snprintf(id, sizeof id, "ring_miss_%s", ways[w].id);
        DLF_TRY(dlf_result_fact(dlf_run_result(run), id, e.mean, "1"));
        for (int i = 0; i < BATCH; i++)
            DLF_TRY(dlf_table_row(samples, DLF_TXT(ways[w].id),
                                  DLF_NUM(o->sample[((long)w * BATCH + i) * 2]),
                                  DLF_NUM(o->sample[((long)w * BATCH + i) * 2 + 1])));
    }
    return DLF_OK;
}

static dlf_status figure(dlf_run *run)
{
    static const int shown[] = {FITTED, VARIATIONAL, JITTER};
    dlf_figure f = {
        .id = "samples",
        .kind = DLF_LINES,
        .title = {"解码器没有错，错在从哪里取编码：高斯落进了空洞",
                  "The decoder is not to blame, where codes are drawn is: a Gaussian falls into "
                  "the holes"},
        .subtitle = {"环上八个高斯，两个隐变量，第一个种子；两组自编码器是同一个网络",
                     "eight Gaussians on a ring, two latents, first seed; both autoencoder arms "
                     "are one net"},
        .x = {{"x", "x"}, false},
        .y = {{"y", "y"}, false}};
    for (int j = 0; j < 3; j++)
        f.series[j] = (dlf_series){.role = shown[j] == FITTED ? DLF_CONTROL : DLF_MEASURED,
                                   .table = "samples",
                                   .where = "way",
                                   .equals = ways[shown[j]].id,
                                   .x = "x",
                                   .y = "y",
                                   .label = ways[shown[j]].name,
                                   .colour = j,
                                   .points = true};
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_autoencoder_ring(dlf_run *run, double from, double to)
{
    const int seeds = dlf_run_seeds(run);
    const size_t cells = (size_t)(WAYS * seeds);
    outcome o = {.count = calloc(cells, sizeof *o.count),
                 .hits = malloc((4 * cells + WAYS * BATCH * 2) * sizeof *o.hits)};
    dlf_status status = DLF_OK;
    if (!o.count || !o.hits) {
        status = dlf_fail(DLF_ERR_OOM, "autoencoder: out of memory");
        goto done;
    }
    o.modes = o.hits + cells;
    o.miss = o.modes + cells;
    o.sample = o.miss + cells;
    double *miss = o.sample + WAYS * BATCH * 2; /* (2 seeds) */
    const int steps = dlf_run_int(run, "coder_steps");
    const double half = 0.5 * (to - from);
    for (int linear = 0; linear < 2; linear++) {
        dlf_coder_study s = {0};
        status = study_new(&s, run, linear);
        if (status == DLF_OK)
            status = dlf_coder_study_train(&s, run, steps, linear ? linear_rate : deep_rate,
                                           "autoencoders on a ring", from + linear * half,
                                           from + (linear + 1) * half);
        if (status == DLF_OK) status = look(&s, linear, o.count, miss, o.sample);
        for (int w = 0; w < WAYS && status == DLF_OK; w++)
            for (int i = 0; i < seeds && ways[w].linear == linear; i++)
                o.miss[w * seeds + i] = miss[(ways[w].variational ? seeds : 0) + i];
        dlf_coder_study_free(&s);
        if (status != DLF_OK) goto done;
    }
    for (size_t i = 0; i < cells; i++) {
        o.hits[i] = o.count[i].hits / o.count[i].n;
        o.modes[i] = dlf_ring_effective(&o.count[i]);
    }
    DLF_TRY_DONE(tables(run, &o));
    DLF_TRY_DONE(figure(run));
    status = checks(run, &o);
done:
    free(o.hits);
    free(o.count);
    return status;
}
