/* SPDX-License-Identifier: MIT
 * synthetic.c -- generated classification: mixture, xor, spirals, parity. */
#include "data/synthetic.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/rounded.h"
#include "dlf/rng.h"

enum { CLASSES_MAX = 4096 };
uint32_t dlf_drawn_stream(dlf_drawn what)
{
    return dlf_stream(DLF_PURPOSE_DATA, (uint32_t)what);
}

void dlf_draw_normal(float *out, size_t n, uint64_t seed, dlf_drawn what, dlf_part part)
{
    const uint32_t stream = dlf_drawn_stream(what);
    for (size_t i = 0; i < n; i += 4) {
        const dlf_philox_block block = dlf_rng_block(seed, stream, (uint32_t)part, i / 4);
        for (size_t j = 0; j < 4 && i + j < n; j++) out[i + j] = dlf_normal_of_bits(block.v[j]);
    }
}

dlf_status dlf_in_range(const char *generator, const char *argument, double x, double lo, double hi)
{
    if (x >= lo && x <= hi) return DLF_OK;
    return dlf_fail(DLF_ERR_ARG, "%s: %s must lie in %.10g..%.10g; %.10g does not", generator,
                    argument, lo, hi, x);
}

dlf_status dlf_synthetic_start(dlf_dataset *out, dlf_rows rows)
{
    DLF_TRY(dlf_in_range(out->name, "train", rows.train, 1, INT_MAX));
    DLF_TRY(dlf_in_range(out->name, "test", rows.test, 0, INT_MAX));
    out->train = rows.train;
    out->test = rows.test;
    const dlf_status status = dlf_dataset_allocate(out, out->classes > 0, out->name);
    if (status != DLF_OK) dlf_dataset_free(out);
    return status;
}

/* The rows of one part. */
typedef struct span {
    dlf_part part;
    int rows;
    float *x;
    int32_t *label;
} span;

static span part_of(const dlf_dataset *d, dlf_part part)
{
    const size_t first = part == DLF_PART_TRAIN ? 0 : (size_t)d->train;
    return (span){part, part == DLF_PART_TRAIN ? d->train : d->test,
                  d->x + first * (size_t)d->features, d->label + first};
}

/* ---- Gaussian mixture ---------------------------------------------------------------------- */

static double dot(const double *a, const double *b, int n)
{
    double sum = 0.0;
    for (int i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* `classes` random orthonormal rows times separation / sqrt(2). Gram-Schmidt in double: what
 * rounding leaves of the earlier axes is far below what f32 can show. */
static void draw_centres(double *centre, int classes, int n, double separation, uint64_t seed)
{
    const uint32_t stream = dlf_drawn_stream(DLF_DRAWN_MIXTURE_CENTRE);
    for (int k = 0; k < classes; k++) {
        double *v = centre + (size_t)k * (size_t)n;
        for (int i = 0; i < n; i++)
            v[i] = (double)dlf_rng_normal(seed, stream, (uint32_t)k, (uint64_t)i);
        for (int other = 0; other < k; other++) {
            const double *w = centre + (size_t)other * (size_t)n;
            const double along = dot(v, w, n);
            for (int i = 0; i < n; i++) v[i] -= along * w[i];
        }
        const double length = sqrt(dot(v, v, n));
        for (int i = 0; i < n; i++) v[i] /= length;
    }
    for (size_t i = 0; i < (size_t)classes * (size_t)n; i++)
        centre[i] *= separation * 0.7071067811865476;
}

dlf_status dlf_make_mixture(dlf_dataset *out, dlf_rows rows, int classes, int features,
                            double separation)
{
    *out = (dlf_dataset){.name = "mixture", .features = features, .classes = classes};
    DLF_TRY(
        dlf_in_range(out->name, "features", features, 2, DLF_DATASET_NUMBERS_MAX / CLASSES_MAX));
    DLF_TRY(dlf_in_range(out->name, "classes", classes, 2,
                         features < CLASSES_MAX ? features : CLASSES_MAX));
    DLF_TRY(dlf_in_range(out->name, "separation", separation, 0.0, DLF_SYNTHETIC_MAX));
    DLF_TRY(dlf_synthetic_start(out, rows));
    double *centre = malloc((size_t)classes * (size_t)features * sizeof *centre);
    if (!centre) {
        dlf_dataset_free(out);
        return dlf_fail(DLF_ERR_OOM, "mixture: no memory for %d centres", classes);
    }
    draw_centres(centre, classes, features, separation, rows.seed);
    for (dlf_part p = DLF_PART_TRAIN; p <= DLF_PART_TEST; p++) {
        const span s = part_of(out, p);
        dlf_draw_normal(s.x, (size_t)s.rows * (size_t)features, rows.seed, DLF_DRAWN_MIXTURE_X, p);
        for (int r = 0; r < s.rows; r++) {
            const double *at = centre + (size_t)(r % classes) * (size_t)features;
            float *x = s.x + (size_t)r * (size_t)features;
            for (int i = 0; i < features; i++) x[i] = (float)((double)x[i] + at[i]);
            s.label[r] = r % classes;
        }
    }
    free(centre);
    return DLF_OK;
}

/* ---- xor, spirals, parity ------------------------------------------------------------------ */

dlf_status dlf_make_xor(dlf_dataset *out, dlf_rows rows, double noise)
{
    *out = (dlf_dataset){.name = "xor", .features = 2, .classes = 2};
    DLF_TRY(dlf_in_range(out->name, "noise", noise, 0.0, DLF_SYNTHETIC_MAX));
    DLF_TRY(dlf_synthetic_start(out, rows));
    for (dlf_part p = DLF_PART_TRAIN; p <= DLF_PART_TEST; p++) {
        const span s = part_of(out, p);
        dlf_draw_normal(s.x, 2 * (size_t)s.rows, rows.seed, DLF_DRAWN_XOR_X, p);
        for (int r = 0; r < s.rows; r++) {
            float *x = s.x + 2 * (size_t)r;
            const int right = r & 1, up = r >> 1 & 1; /* r mod 4 is the corner */
            x[0] = (float)(noise * x[0] + (right ? 1.0 : -1.0));
            x[1] = (float)(noise * x[1] + (up ? 1.0 : -1.0));
            s.label[r] = right != up;
        }
    }
    return DLF_OK;
}

dlf_status dlf_make_spirals(dlf_dataset *out, dlf_rows rows, int arms, double turns, double noise)
{
    *out = (dlf_dataset){.name = "spirals", .features = 2, .classes = arms};
    DLF_TRY(dlf_in_range(out->name, "arms", arms, 2, CLASSES_MAX));
    DLF_TRY(dlf_in_range(out->name, "turns", turns, -DLF_SYNTHETIC_MAX, DLF_SYNTHETIC_MAX));
    DLF_TRY(dlf_in_range(out->name, "noise", noise, 0.0, DLF_SYNTHETIC_MAX));
    DLF_TRY(dlf_synthetic_start(out, rows));
    const uint32_t radius = dlf_drawn_stream(DLF_DRAWN_SPIRAL_RADIUS);
    for (dlf_part p = DLF_PART_TRAIN; p <= DLF_PART_TEST; p++) {
        const span s = part_of(out, p);
        dlf_draw_normal(s.x, 2 * (size_t)s.rows, rows.seed, DLF_DRAWN_SPIRAL_X, p);
        for (int r = 0; r < s.rows; r++) {
            float *x = s.x + 2 * (size_t)r;
            const double t = (double)dlf_rng_uniform(rows.seed, radius, (uint32_t)p, (uint64_t)r);
            double cosine, sine;
            dlf_rounded_circle(turns * t + (double)(r % arms) / arms, &cosine, &sine);
            x[0] = (float)(t * cosine + noise * x[0]);
            x[1] = (float)(t * sine + noise * x[1]);
            s.label[r] = r % arms;
        }
    }
    return DLF_OK;
}

dlf_status dlf_make_parity(dlf_dataset *out, dlf_rows rows, int bits)
{
    *out = (dlf_dataset){.name = "parity", .features = bits, .classes = 2};
    DLF_TRY(dlf_in_range(out->name, "bits", bits, 1, DLF_DATASET_NUMBERS_MAX));
    DLF_TRY(dlf_synthetic_start(out, rows));
    const uint32_t stream = dlf_drawn_stream(DLF_DRAWN_PARITY_X);
    for (dlf_part p = DLF_PART_TRAIN; p <= DLF_PART_TEST; p++) {
        const span s = part_of(out, p);
        uint64_t index = 0;
        for (int r = 0; r < s.rows; r++) {
            uint32_t odd = 0;
            for (int i = 0; i < bits; i++, index++) {
                const uint32_t bit = dlf_rng_bits(rows.seed, stream, (uint32_t)p, index) >> 31;
                s.x[index] = bit ? 1.0f : -1.0f;
                odd ^= bit;
            }
            s.label[r] = (int32_t)odd;
        }
    }
    return DLF_OK;
}
