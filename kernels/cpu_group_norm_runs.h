/* SPDX-License-Identifier: MIT
 * cpu_group_norm_runs.h -- loops of group_norm_cpu.c over a run of consecutive elements with the
 * same parameters: a group for statistics, else a channel. A run may be as short as 49 elements (7
 * x 7), and its rest is one masked vector. */
#ifndef DLF_CPU_GROUP_NORM_RUNS_H
#define DLF_CPU_GROUP_NORM_RUNS_H
#include "cpu_group_norm.h"
#include "cpu_vector.h"

static stat piece_stat(const float *restrict x, int64_t n)
{
    const vec zero = vec_all(0.0f);
    vec a[4] = {zero, zero, zero, zero}, b[4] = {zero, zero, zero, zero};
    int64_t i = 0;
    for (; i + 4 * VEC <= n; i += 4 * VEC) {
        a[0] += vec_load(x + i);
        a[1] += vec_load(x + i + VEC);
        a[2] += vec_load(x + i + 2 * VEC);
        a[3] += vec_load(x + i + 3 * VEC);
    }
    for (; i + VEC <= n; i += VEC) a[0] += vec_load(x + i);
    if (i < n) a[1] += vec_load_some(x + i, n - i, zero);
    const float first = vec_sum((a[0] + a[1]) + (a[2] + a[3])) / (float)n;
    const vec shift = vec_all(first);
    for (int k = 0; k < 4; k++) a[k] = zero;
    for (i = 0; i + 4 * VEC <= n; i += 4 * VEC) {
        const vec d0 = vec_load(x + i) - shift, d1 = vec_load(x + i + VEC) - shift;
        const vec d2 = vec_load(x + i + 2 * VEC) - shift, d3 = vec_load(x + i + 3 * VEC) - shift;
        a[0] += d0, a[1] += d1, a[2] += d2, a[3] += d3;
        b[0] = vec_fma(d0, d0, b[0]), b[1] = vec_fma(d1, d1, b[1]);
        b[2] = vec_fma(d2, d2, b[2]), b[3] = vec_fma(d3, d3, b[3]);
    }
    for (; i < n; i += VEC) {
        const vec d = (i + VEC <= n ? vec_load(x + i) : vec_load_some(x + i, n - i, shift)) - shift;
        a[0] += d;
        b[0] = vec_fma(d, d, b[0]);
    }
    const float s1 = vec_sum((a[0] + a[1]) + (a[2] + a[3]));
    const float s2 = vec_sum((b[0] + b[1]) + (b[2] + b[3]));
    return corrected(first, (double)s1, (double)s2, (double)n);
}

/* z = fma(x - hi, scale, shift) + residual. */
static inline void affine_run(float *z, const float *x, const float *residual, int64_t n, affine a)
{
    const vec hi = vec_all(a.hi), scale = vec_all(a.scale), shift = vec_all(a.shift);
    int64_t i = 0;
    if (residual) {
        for (; i + VEC <= n; i += VEC)
            vec_store(z + i, vec_fma(vec_load(x + i) - hi, scale, shift) + vec_load(residual + i));
        if (i < n)
            vec_store_some(z + i, n - i,
                           vec_fma(vec_load_some(x + i, n - i, hi) - hi, scale, shift) +
                               vec_load_some(residual + i, n - i, hi));
        return;
    }
    for (; i + VEC <= n; i += VEC) vec_store(z + i, vec_fma(vec_load(x + i) - hi, scale, shift));
    if (i < n)
        vec_store_some(z + i, n - i, vec_fma(vec_load_some(x + i, n - i, hi) - hi, scale, shift));
}

/* sums[0] += sum dz xhat, sums[1] += sum dz, from the sum of dz (x - hi). */
static inline void sums_run(const float *x, const float *dz, int64_t n, affine a, double *sums)
{
    const vec hi = vec_all(a.hi), zero = vec_all(0.0f);
    vec s[4] = {zero, zero, zero, zero}, t[4] = {zero, zero, zero, zero};
    int64_t i = 0;
    for (; i + 4 * VEC <= n; i += 4 * VEC)
        for (int k = 0; k < 4; k++) {
            const vec v = vec_load(dz + i + k * VEC);
            s[k] = vec_fma(v, vec_load(x + i + k * VEC) - hi, s[k]);
            t[k] += v;
        }
    for (; i + VEC <= n; i += VEC) {
        const vec v = vec_load(dz + i);
        s[0] = vec_fma(v, vec_load(x + i) - hi, s[0]);
        t[0] += v;
    }
    if (i < n) {
        const vec v = vec_load_some(dz + i, n - i, zero);
        s[1] = vec_fma(v, vec_load_some(x + i, n - i, hi) - hi, s[1]);
        t[1] += v;
    }
    const double deviations = (double)vec_sum((s[0] + s[1]) + (s[2] + s[3]));
    const double plain = (double)vec_sum((t[0] + t[1]) + (t[2] + t[3]));
    sums[0] += (double)a.rstd * deviations + (double)a.offset * plain;
    sums[1] += plain;
}

/* dx = rstd (gamma dz - mean_g - xhat mean_gx). */
static inline void dx_run(float *dx, const float *x, const float *dz, int64_t n, affine a,
                          float mean_g, float mean_gx)
{
    const vec hi = vec_all(a.hi), rstd = vec_all(a.rstd), offset = vec_all(a.offset);
    const vec scale = vec_all(a.scale), slope = vec_all(-a.rstd * mean_gx);
    const vec minus = vec_all(-a.rstd * mean_g);
    int64_t i = 0;
    for (; i + VEC <= n; i += VEC) {
        const vec xhat = vec_fma(vec_load(x + i) - hi, rstd, offset);
        vec_store(dx + i, vec_fma(xhat, slope, vec_fma(vec_load(dz + i), scale, minus)));
    }
    if (i < n) {
        const vec xhat = vec_fma(vec_load_some(x + i, n - i, hi) - hi, rstd, offset);
        const vec v = vec_load_some(dz + i, n - i, hi);
        vec_store_some(dx + i, n - i, vec_fma(xhat, slope, vec_fma(v, scale, minus)));
    }
}
#endif
