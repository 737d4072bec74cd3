/* SPDX-License-Identifier: MIT
 * teacher.c -- generated regression: linear models and random networks. */
#include <math.h>
#include <stdlib.h>

#include "data/rounded.h"
#include "data/synthetic.h"
#include "dlf/rng.h"

/* N(0,1) in double, for weights; NULL: no memory. */
static double *draw_weights(size_t n, uint64_t seed, dlf_drawn what)
{
    double *w = malloc(n * sizeof *w);
    const uint32_t stream = dlf_drawn_stream(what);
    for (size_t i = 0; w && i < n; i++) w[i] = (double)dlf_rng_normal(seed, stream, 0, i);
    return w;
}

/* x of both parts, and noise in the place of the targets. */
static void draw_rows(dlf_dataset *d, uint64_t seed, dlf_drawn x, dlf_drawn noise)
{
    const size_t features = (size_t)d->features, targets = (size_t)d->targets;
    const size_t train = (size_t)d->train, test = (size_t)d->test;
    dlf_draw_normal(d->x, train * features, seed, x, DLF_PART_TRAIN);
    dlf_draw_normal(d->x + train * features, test * features, seed, x, DLF_PART_TEST);
    dlf_draw_normal(d->target, train * targets, seed, noise, DLF_PART_TRAIN);
    dlf_draw_normal(d->target + train * targets, test * targets, seed, noise, DLF_PART_TEST);
}

/* w . x / divisor */
static double output(const double *w, const float *x, int n, double divisor)
{
    double sum = 0.0;
    for (int i = 0; i < n; i++) sum += w[i] * (double)x[i];
    return sum / divisor;
}

dlf_status dlf_make_linear(dlf_dataset *out, dlf_rows rows, int features, double signal,
                           double noise, double *beta)
{
    *out = (dlf_dataset){.name = "linear", .features = features, .targets = 1};
    DLF_TRY(dlf_in_range(out->name, "features", features, 1, DLF_DATASET_NUMBERS_MAX));
    DLF_TRY(dlf_in_range(out->name, "signal", signal, 0.0, DLF_SYNTHETIC_MAX));
    DLF_TRY(dlf_in_range(out->name, "noise", noise, 0.0, DLF_SYNTHETIC_MAX));
    DLF_TRY(dlf_synthetic_start(out, rows));
    double *b = draw_weights((size_t)features, rows.seed, DLF_DRAWN_LINEAR_BETA);
    if (!b) {
        dlf_dataset_free(out);
        return dlf_fail(DLF_ERR_OOM, "linear: no memory for %d coefficients", features);
    }
    double square = 0.0;
    for (int i = 0; i < features; i++) square += b[i] * b[i];
    for (int i = 0; i < features; i++) b[i] *= signal / sqrt(square);
    draw_rows(out, rows.seed, DLF_DRAWN_LINEAR_X, DLF_DRAWN_LINEAR_NOISE);
    for (int r = 0; r < out->train + out->test; r++) {
        const float *x = out->x + (size_t)r * (size_t)features;
        out->target[r] = (float)(output(b, x, features, 1.0) + noise * out->target[r]);
    }
    for (int i = 0; beta && i < features; i++) beta[i] = b[i];
    free(b);
    return DLF_OK;
}

/* ---- random networks ----------------------------------------------------------------------- */

typedef struct network {
    dlf_teacher is;
    double *w;      /* (hidden, features), linear: (targets, features) */
    double *a;      /* (targets, hidden) */
    double *hidden; /* (hidden) */
} network;

static void answer(const network *t, const float *x, float *y)
{
    const int n = t->is.features, hidden = t->is.hidden;
    const double by_features = sqrt((double)n), by_hidden = sqrt((double)hidden);
    for (int h = 0; h < hidden; h++) {
        const double z = output(t->w + (size_t)h * (size_t)n, x, n, by_features);
        t->hidden[h] = t->is.kind == DLF_TEACHER_TANH ? dlf_rounded_tanh(z) : z > 0.0 ? z : 0.0;
    }
    for (int k = 0; k < t->is.targets; k++) {
        double sum = 0.0;
        const double *a = t->a + (size_t)k * (size_t)hidden;
        for (int h = 0; h < hidden; h++) sum += a[h] * t->hidden[h];
        if (t->is.kind == DLF_TEACHER_LINEAR)
            sum = output(t->w + (size_t)k * (size_t)n, x, n, by_features);
        else
            sum /= by_hidden;
        y[k] = (float)(sum + t->is.noise * y[k]); /* the noise is there already */
    }
}

static dlf_status check_teacher(const char *name, dlf_teacher t)
{
    const double most = DLF_DATASET_NUMBERS_MAX;
    const bool linear = t.kind == DLF_TEACHER_LINEAR;
    DLF_TRY(dlf_in_range(name, "kind", (double)t.kind, DLF_TEACHER_LINEAR, DLF_TEACHER_TANH));
    DLF_TRY(dlf_in_range(name, "features", t.features, 1, most));
    DLF_TRY(dlf_in_range(name, "hidden", t.hidden, linear ? 0 : 1, linear ? 0 : most));
    DLF_TRY(dlf_in_range(name, "targets", t.targets, 1, most));
    DLF_TRY(dlf_in_range(name, "noise", t.noise, 0.0, DLF_SYNTHETIC_MAX));
    const double units = linear ? t.targets : t.hidden;
    return dlf_in_range(name, "the number of weights",
                        units * t.features + (double)t.hidden * t.targets, 1, most);
}

dlf_status dlf_make_teacher(dlf_dataset *out, dlf_rows rows, dlf_teacher teacher)
{
    const size_t features = (size_t)teacher.features, hidden = (size_t)teacher.hidden;
    const size_t targets = (size_t)teacher.targets;
    *out =
        (dlf_dataset){.name = "teacher", .features = teacher.features, .targets = teacher.targets};
    DLF_TRY(check_teacher(out->name, teacher));
    DLF_TRY(dlf_synthetic_start(out, rows));
    dlf_status status = DLF_OK;
    network t = {
        .is = teacher,
        .w = draw_weights((hidden ? hidden : targets) * features, rows.seed, DLF_DRAWN_TEACHER_W),
        .a = draw_weights(targets * hidden + 1, rows.seed, DLF_DRAWN_TEACHER_A),
        .hidden = malloc((hidden + 1) * sizeof *t.hidden)};
    if (t.w && t.a && t.hidden) {
        draw_rows(out, rows.seed, DLF_DRAWN_TEACHER_X, DLF_DRAWN_TEACHER_NOISE);
        for (size_t r = 0; r < (size_t)rows.train + (size_t)rows.test; r++)
            answer(&t, out->x + r * features, out->target + r * targets);
    } else {
        dlf_dataset_free(out);
        status = dlf_fail(DLF_ERR_OOM, "teacher: no memory for its weights");
    }
    free(t.w);
    free(t.a);
    free(t.hidden);
    return status;
}
