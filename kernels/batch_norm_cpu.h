/* SPDX-License-Identifier: MIT
 * batch_norm_cpu.h -- shape, coefficients and inner loops of batch_norm_cpu.c.
 *
 * z = (x - hi) scale + shift with scale = rstd gamma and shift = beta - (mean - hi) scale, hi the
 * mean as a float: x - hi is exact where the mean is large, and z has the same bits in forward and
 * backward. dx = scale dz + (x - hi) slope + offset. */
#ifndef DLF_BATCH_NORM_CPU_H
#define DLF_BATCH_NORM_CPU_H
#include <stdlib.h>

#include "cpu_norm.h"
#include "cpu_storage.h"

enum {
    TILE = 512,   /* values at a time of what is buffered: 2 KiB, eight rows in half of L1    */
    BATCH = 8,    /* rows whose mean and squares are taken in registers                  */
    CHUNK = 4096, /* values of a channel whose variance takes two passes over L1: 16 KiB */
    SHORT = 256   /* pieces below this are gathered, several to a chunk                  */
};

/* planes: N pieces of S neighbours per channel, C S apart. columns: N rows of C, S = 1. */
typedef struct bn {
    int64_t P, N, C, S;
    double count, eps;
    bool columns, active, streams;
    dlf_dtype dtype;
    dlf_activation f;
    int threads;
} bn;

typedef struct bn_stat {
    double n, mean, m2;
} bn_stat;

typedef struct bn_coef {
    float hi, scale, shift, slope, offset;
} bn_coef;

/* The same per channel, as arrays of `period` = a multiple of C entries, repeated. */
typedef struct bn_coefs {
    float *hi, *scale, *shift, *slope, *offset;
} bn_coefs;

static inline int64_t at_most(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline bn bn_of(const dlf_tensor *x, const dlf_norm *norm)
{
    dlf_norm_geometry g = {0};
    if (dlf_norm_geometry_of(&g, x, *norm) != DLF_OK) return (bn){0}; /* the op has checked */
    bn b = {.P = g.P,
            .N = g.N,
            .C = g.C,
            .S = g.S,
            .count = (double)(g.N * g.S),
            .eps = norm->eps,
            .active = norm->activation.kind != DLF_LINEAR,
            .dtype = x->dtype,
            .f = norm->activation};
    if (g.C == 1) { /* one channel: the positions are neighbours in either layout */
        b.N = 1;
        b.S = g.N * g.S;
    } else if (norm->layout == DLF_NHWC || g.S == 1) {
        b.columns = true;
        b.N = g.N * g.S;
        b.S = 1;
    }
    const double elements = (double)b.P * (double)b.C * b.count;
    b.threads = dlf_cpu_threads(x, 4.0 * elements);
    /* Read and write together fill half of what dlf_cpu_streams takes a cache to hold: measured,
     * streaming wins from there on by a quarter to a half. */
    b.streams = b.dtype == DLF_F32 && dlf_cpu_streams((int64_t)(4.0 * elements * sizeof(float)));
    return b;
}

static inline void *bn_member(const dlf_tensor *t, int64_t p)
{
    return t ? (char *)t->data + p * t->stride * (int64_t)dlf_dtype_size(t->dtype) : NULL;
}

static inline bn_stat bn_merge(bn_stat a, bn_stat b)
{
    if (a.n == 0.0) return b;
    const double n = a.n + b.n, d = b.mean - a.mean, part = b.n / n;
    return (bn_stat){n, a.mean + d * part, a.m2 + b.m2 + d * d * (a.n * part)};
}

static inline bn_coef bn_coef_of(double mean, float rstd, const float *gamma, const float *beta,
                                 int64_t c)
{
    const float hi = (float)mean, scale = gamma ? rstd * gamma[c] : rstd;
    const double lo = mean - (double)hi;
    return (bn_coef){
        .hi = hi, .scale = scale, .shift = (float)((beta ? (double)beta[c] : 0.0) - lo * scale)};
}

/* What backward adds, from the sums of dz and of dz (x - hi); also returns sum dz xhat. */
static inline double bn_coef_backward(bn_coef *k, double mean, float rstd, double sum,
                                      double product, double count)
{
    const double lo = mean - (double)k->hi, r = (double)rstd;
    const double dz_xhat = r * (product - lo * sum);
    const double a = sum / count, b = dz_xhat / count;
    k->slope = (float)(-(double)k->scale * r * b);
    k->offset = (float)((double)k->scale * (b * r * lo - a));
    return dz_xhat;
}

static inline void bn_add_to(float *out, int64_t c, double sum, double accumulate)
{
    if (out) out[c] = (float)(accumulate == 0.0 ? sum : sum + accumulate * (double)out[c]);
}

static inline float bn_rstd(double var, double eps)
{
    return (float)(1.0 / sqrt(var + eps));
}

/* Mean, rstd and running statistics of a channel; the rstd that y uses. */
static inline float bn_write(const bn *b, const dlf_norm_fwd *io, double momentum, int64_t p,
                             int64_t c, double mean, double var)
{
    const float rstd = bn_rstd(var, b->eps);
    if (io->mean) {
        ((double *)bn_member(io->mean, p))[c] = mean;
        ((float *)bn_member(io->rstd, p))[c] = rstd;
    }
    if (io->running_mean) {
        float *m = (float *)bn_member(io->running_mean, p) + c;
        float *v = (float *)bn_member(io->running_var, p) + c;
        const double unbiased = var * (b->count / (b->count - 1.0));
        *m = (float)((1.0 - momentum) * (double)*m + momentum * mean);
        *v = (float)((1.0 - momentum) * (double)*v + momentum * unbiased);
    }
    return rstd;
}

/* ---- inner loops: one channel (planes) --------------------------------------------------------
 */

/* Two passes over values that are in L1; four sums side by side, for the latency of an addition. */
static inline bn_stat bn_stat_of(const float *x, int64_t n)
{
    const int64_t q = n / 4 / 16 * 16;
    float a = 0.0f, b = 0.0f, c = 0.0f, d = 0.0f;
#pragma omp simd reduction(+ : a, b, c, d)
    for (int64_t i = 0; i < q; i++) {
        a += x[i];
        b += x[q + i];
        c += x[2 * q + i];
        d += x[3 * q + i];
    }
#pragma omp simd reduction(+ : a)
    for (int64_t i = 4 * q; i < n; i++) a += x[i];
    const float mean = ((a + b) + (c + d)) / (float)n;
    float s = 0.0f, t = 0.0f, u = 0.0f, v = 0.0f;
#pragma omp simd reduction(+ : s, t, u, v)
    for (int64_t i = 0; i < 2 * q; i++) {
        const float e = x[i] - mean, f = x[2 * q + i] - mean;
        s += e;
        t += e * e;
        u += f;
        v += f * f;
    }
#pragma omp simd reduction(+ : s, t)
    for (int64_t i = 4 * q; i < n; i++) {
        const float e = x[i] - mean;
        s += e;
        t += e * e;
    }
    const double sum = (double)s + (double)u, m2 = (double)t + (double)v - sum * sum / (double)n;
    return (bn_stat){(double)n, (double)mean + sum / (double)n, m2 < 0.0 ? 0.0 : m2};
}

static inline void bn_affine(float *z, const float *x, const float *residual, int64_t n, bn_coef k)
{
    if (residual) {
#pragma omp simd
        for (int64_t i = 0; i < n; i++) z[i] = fmaf(x[i] - k.hi, k.scale, k.shift) + residual[i];
    } else {
#pragma omp simd
        for (int64_t i = 0; i < n; i++) z[i] = fmaf(x[i] - k.hi, k.scale, k.shift);
    }
}

/* relu is almost every network's: its slope without a pass of its own. */
static inline void bn_relu_slope(float *dz, const float *dy, const float *z, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const float v = z[i];
        dz[i] = dy[i] * (v > 0.0f ? 1.0f : v <= 0.0f ? 0.0f : v);
    }
}

static inline void bn_product_sums(double *sum, double *product, const float *dz, const float *x,
                                   int64_t n, float hi)
{
    const int64_t q = n / 2 / 16 * 16;
    float a = 0.0f, b = 0.0f, c = 0.0f, d = 0.0f;
#pragma omp simd reduction(+ : a, b, c, d)
    for (int64_t i = 0; i < q; i++) {
        a += dz[i];
        b += dz[i] * (x[i] - hi);
        c += dz[q + i];
        d += dz[q + i] * (x[q + i] - hi);
    }
#pragma omp simd reduction(+ : a, b)
    for (int64_t i = 2 * q; i < n; i++) {
        a += dz[i];
        b += dz[i] * (x[i] - hi);
    }
    *sum += (double)a + (double)c;
    *product += (double)b + (double)d;
}

static inline void bn_dx(float *dx, const float *dz, const float *x, int64_t n, bn_coef k)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        dx[i] = fmaf(k.scale, dz[i], fmaf(x[i] - k.hi, k.slope, k.offset));
}

/* ---- inner loops: a row of channels (columns) -------------------------------------------------
 */

static inline void bn_affine_row(float *z, const float *x, const float *residual, int64_t n,
                                 const bn_coefs *k, int64_t at)
{
    cpu_affine_row(z, x, residual, n, k->hi + at, k->scale + at, k->shift + at);
}

static inline void bn_dx_row(float *dx, const float *dz, const float *x, int64_t n,
                             const bn_coefs *k, int64_t at)
{
    const float *restrict hi = k->hi + at, *restrict scale = k->scale + at;
    const float *restrict slope = k->slope + at, *restrict offset = k->offset + at;
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        dx[i] = fmaf(scale[i], dz[i], fmaf(x[i] - hi[i], slope[i], offset[i]));
}

/* Mean and squared deviations of BATCH rows about `origin`, merged into those of `before` rows. */
static inline void bn_merge_rows(float *restrict mean, float *restrict m2,
                                 const float *restrict origin, const float *const *rows,
                                 int64_t width, double before)
{
    const float part = (float)(BATCH / (before + BATCH));
    const float weight = (float)(BATCH * (before / (before + BATCH)));
    const float *r0 = rows[0], *r1 = rows[1], *r2 = rows[2], *r3 = rows[3];
    const float *r4 = rows[4], *r5 = rows[5], *r6 = rows[6], *r7 = rows[7];
#pragma omp simd
    for (int64_t j = 0; j < width; j++) {
        const float o = origin[j];
        const float a = r0[j] - o, b = r1[j] - o, c = r2[j] - o, d = r3[j] - o;
        const float e = r4[j] - o, f = r5[j] - o, g = r6[j] - o, h = r7[j] - o;
        const float m = (((a + b) + (c + d)) + ((e + f) + (g + h))) * (1.0f / BATCH);
        const float q =
            ((a - m) * (a - m) + (b - m) * (b - m)) + ((c - m) * (c - m) + (d - m) * (d - m)) +
            ((e - m) * (e - m) + (f - m) * (f - m)) + ((g - m) * (g - m) + (h - m) * (h - m));
        const float delta = m - mean[j];
        mean[j] += delta * part;
        m2[j] += q + delta * delta * weight;
    }
}

static inline void bn_merge_row(float *restrict mean, float *restrict m2,
                                const float *restrict origin, const float *row, int64_t width,
                                double before)
{
    const float part = (float)(1.0 / (before + 1.0)), weight = (float)(before / (before + 1.0));
#pragma omp simd
    for (int64_t j = 0; j < width; j++) {
        const float delta = row[j] - origin[j] - mean[j];
        mean[j] += delta * part;
        m2[j] += delta * delta * weight;
    }
}

/* sum += dz, product += dz (x - hi), over `rows` <= BATCH rows */
static inline void bn_add_rows(float *restrict sum, float *restrict product, const float *const *dz,
                               const float *const *x, int64_t rows, int64_t width,
                               const float *restrict hi)
{
    if (rows < BATCH) {
        for (int64_t i = 0; i < rows; i++) {
            const float *dz_i = dz[i], *x_i = x[i];
#pragma omp simd
            for (int64_t j = 0; j < width; j++) {
                sum[j] += dz_i[j];
                product[j] += dz_i[j] * (x_i[j] - hi[j]);
            }
        }
        return;
    }
    for (int64_t half = 0; half < BATCH; half += 4) {
        const float *d0 = dz[half], *d1 = dz[half + 1], *d2 = dz[half + 2], *d3 = dz[half + 3];
        const float *x0 = x[half], *x1 = x[half + 1], *x2 = x[half + 2], *x3 = x[half + 3];
#pragma omp simd
        for (int64_t j = 0; j < width; j++) {
            const float h = hi[j];
            sum[j] += (d0[j] + d1[j]) + (d2[j] + d3[j]);
            product[j] += (d0[j] * (x0[j] - h) + d1[j] * (x1[j] - h)) +
                          (d2[j] * (x2[j] - h) + d3[j] * (x3[j] - h));
        }
    }
}
#endif
