/* SPDX-License-Identifier: MIT
 * norm_equilibrium_run.c -- the training of norm-equilibrium: thousands of small steps of many
 * layers side by side, and a look at w before and after some of them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "norm_equilibrium.h"

enum { INPUTS = 20, BATCH = 16, PROBES = 40, STAGE = 200 };

typedef struct session {
    const balance_spec *spec;
    balance *out;
    norm_layer l;
    dlf_tensor target, rate;           /* t (P,B,C); (P) */
    int P, seeds, length, vectors;     /* of a member: vectors of `length` numbers */
    double *before, *after, *gradient; /* (P, vectors, length) */
    double *count;                     /* (arms) how often was looked */
    uint64_t seed;
} session;

static double dot(const double *a, const double *b, int n)
{
    double sum = 0.0;
    for (int i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static dlf_status oom(void)
{
    return dlf_fail(DLF_ERR_OOM, "norm-equilibrium: out of memory");
}

/* The gradient at w of a fresh batch; `t` numbers the batches. */
static dlf_status gradient(session *s, uint32_t t)
{
    norm_layer *l = &s->l;
    const int64_t matrix[] = {s->P, BATCH, l->C};
    const dlf_tensor y = dlf_tensor_reshape(&l->y, 3, matrix);
    dlf_tensor dy = dlf_tensor_reshape(&l->dy, 3, matrix);
    const dlf_loss mse = {.kind = DLF_LOSS_MSE};
    DLF_TRY(
        dlf_random_normal(&l->a, NULL, NULL, (dlf_rng){s->seed, dlf_stream(DLF_PURPOSE_INPUT, t)}));
    DLF_TRY(dlf_random_normal(&s->target, NULL, NULL,
                              (dlf_rng){s->seed, dlf_stream(DLF_PURPOSE_DATA, t)}));
    DLF_TRY(norm_layer_product(l));
    DLF_TRY(norm_layer_normalise(l));
    DLF_TRY(dlf_loss_backward(&dy, &y, &s->target, mse, 0.5 / BATCH));
    return norm_layer_backward(l);
}

static dlf_status update(session *s)
{
    const int64_t rows[] = {s->P, s->l.C * s->l.K};
    const dlf_tensor w = dlf_tensor_reshape(&s->l.w, 2, rows);
    const dlf_tensor g = dlf_tensor_reshape(&s->l.dw, 2, rows);
    for (int a = 0; a < s->spec->arms; a++) {
        dlf_tensor part = dlf_tensor_slice(&w, a * s->seeds, s->seeds);
        const dlf_tensor grad = dlf_tensor_slice(&g, a * s->seeds, s->seeds);
        const dlf_tensor rate = dlf_tensor_slice(&s->rate, a * s->seeds, s->seeds);
        DLF_TRY(dlf_sgd_step(&part, NULL, &grad, &rate, NULL,
                             (dlf_sgd_args){.weight_decay = s->spec->arm[a].lambda}));
    }
    return DLF_OK;
}

/* <|w|^2 |g|^2> of the starting weights: it does not depend on their length. */
static dlf_status probe(session *s, double *g2)
{
    const int n = s->P * s->vectors;
    *g2 = 0.0;
    DLF_TRY(dlf_tensor_download_f64(s->before, &s->l.w));
    for (int k = 0; k < PROBES; k++) {
        DLF_TRY(gradient(s, (uint32_t)(s->spec->steps + k)));
        DLF_TRY(dlf_tensor_download_f64(s->gradient, &s->l.dw));
        for (int v = 0; v < n; v++) {
            const double *w = s->before + v * s->length, *g = s->gradient + v * s->length;
            *g2 += dot(w, w, s->length) * dot(g, g, s->length) / n / PROBES;
        }
    }
    return DLF_OK;
}

/* Layer norm does not see what all units have in common either: that part of w has no gradient and
 * only decays, in twice the time that the length needs. Start without it. */
static void remove_common(session *s)
{
    const int units = (int)s->l.C;
    for (int p = 0; p < s->P; p++)
        for (int k = 0; k < INPUTS; k++) {
            double *w = s->before + p * s->length + k, mean = 0.0;
            for (int c = 0; c < units; c++) mean += w[c * INPUTS] / units;
            for (int c = 0; c < units; c++) w[c * INPUTS] -= mean;
        }
}

/* Random directions, of the predicted length times the arm's factor. */
static dlf_status start(session *s)
{
    double g2;
    DLF_TRY(dlf_random_normal(&s->l.w, NULL, NULL,
                              (dlf_rng){s->seed, dlf_stream(DLF_PURPOSE_WEIGHTS, 0)}));
    DLF_TRY(probe(s, &g2));
    if (s->spec->method == DLF_LAYER_NORM) remove_common(s);
    for (int p = 0; p < s->P; p++) {
        const balance_arm *arm = &s->spec->arm[p / s->seeds];
        const double length = arm->start * pow(arm->eta * g2 / (2.0 * arm->lambda), 0.25);
        for (int v = 0; v < s->vectors; v++) {
            double *w = s->before + (p * s->vectors + v) * s->length;
            const double scale = length / sqrt(dot(w, w, s->length));
            for (int i = 0; i < s->length; i++) w[i] *= scale;
        }
    }
    return dlf_tensor_upload_f64(&s->l.w, s->before);
}

/* Adds what one step of one vector shows to the sums of its member. */
static void note(session *s, int p, const double *w, const double *g, const double *next)
{
    balance *out = s->out;
    const int n = s->length;
    const double ww = dot(w, w, n), aa = dot(next, next, n), wa = dot(w, next, n);
    const double sine2 = fmax(1.0 - wa * wa / (ww * aa), 0.0); /* fine for 0.01: double */
    const double theta = atan2(sqrt(sine2), wa / sqrt(ww * aa));
    out->angle2[p] += theta * theta / s->vectors;
    out->log_cos[p] -= 0.5 * log1p(-sine2) / s->vectors;
    out->w4[p] += ww * ww / s->vectors;
    out->g2[p] += ww * dot(g, g, n) / s->vectors;
}

static dlf_status step(session *s, int t)
{
    const balance_spec *spec = s->spec;
    const bool look = t % spec->every == 0;
    DLF_TRY(gradient(s, (uint32_t)t));
    if (look) {
        DLF_TRY(dlf_tensor_download_f64(s->before, &s->l.w));
        DLF_TRY(dlf_tensor_download_f64(s->gradient, &s->l.dw));
    }
    DLF_TRY(update(s));
    if (!look) return DLF_OK;
    DLF_TRY(dlf_tensor_download_f64(s->after, &s->l.w));
    const int record = t / spec->every;
    if (t >= spec->burn) (*s->count)++;
    for (int p = 0; p < s->P; p++)
        for (int v = 0; v < s->vectors; v++) {
            const int at = (p * s->vectors + v) * s->length;
            const double ww = dot(s->before + at, s->before + at, s->length);
            s->out->course[record * s->P + p] += ww * ww / s->vectors;
            if (t >= spec->burn) note(s, p, s->before + at, s->gradient + at, s->after + at);
        }
    return DLF_OK;
}

static dlf_status allocate(session *s, dlf_run *run)
{
    const balance_spec *spec = s->spec;
    balance *out = s->out;
    dlf_device *device = dlf_run_device(run);
    const size_t P = (size_t)s->P, w = P * (size_t)spec->units * INPUTS;
    double rate[BALANCE_ARMS * 256];
    out->records = (spec->steps + spec->every - 1) / spec->every;
    out->angle2 = calloc(4 * P + (size_t)out->records * P, sizeof *out->angle2);
    s->before = malloc(3 * w * sizeof *s->before);
    if (!out->angle2 || !s->before) return oom();
    out->log_cos = out->angle2 + P;
    out->w4 = out->log_cos + P;
    out->g2 = out->w4 + P;
    out->course = out->g2 + P;
    s->after = s->before + w;
    s->gradient = s->after + w;
    for (int p = 0; p < s->P; p++) rate[p] = spec->arm[p / s->seeds].eta;
    DLF_TRY(
        norm_layer_new(&s->l, device, spec->method, 1, 0.0, s->P, BATCH, 1, INPUTS, spec->units));
    DLF_TRY(dlf_tensor_new(&s->target, device, device->real, s->P, BATCH, spec->units));
    DLF_TRY(dlf_tensor_new(&s->rate, device, device->real, s->P));
    return dlf_tensor_upload_f64(&s->rate, rate);
}

dlf_status balance_run(balance *out, dlf_run *run, const balance_spec *spec, double from, double to)
{
    const int seeds = dlf_run_seeds(run) < 256 ? dlf_run_seeds(run) : 256;
    const bool whole = spec->method == DLF_LAYER_NORM;
    double count = 0.0;
    session s = {.spec = spec,
                 .out = out,
                 .P = spec->arms * seeds,
                 .seeds = seeds,
                 .length = whole ? spec->units * INPUTS : INPUTS,
                 .vectors = whole ? 1 : spec->units,
                 .count = &count,
                 .seed = dlf_run_seed(run) + (uint64_t)spec->method};
    dlf_status status;
    *out = (balance){.arms = spec->arms, .seeds = seeds, .every = spec->every};
    DLF_TRY_DONE(allocate(&s, run));
    DLF_TRY_DONE(start(&s));
    for (int t = 0; t < spec->steps; t++) {
        if (t % STAGE == 0)
            DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * t / spec->steps, "%s",
                                       norm_method_id(spec->method)));
        DLF_TRY_DONE(step(&s, t));
    }
    for (int p = 0; p < s.P; p++) {
        out->angle2[p] /= count;
        out->log_cos[p] /= count;
        out->w4[p] /= count;
        out->g2[p] /= count;
    }
done:
    dlf_tensor_free(&s.rate);
    dlf_tensor_free(&s.target);
    norm_layer_free(&s.l);
    free(s.before);
    if (status != DLF_OK) balance_free(out);
    return status;
}

void balance_free(balance *b)
{
    free(b->angle2);
    *b = (balance){.arms = 0};
}
