/* SPDX-License-Identifier: MIT
 * cpu_norm.h -- inner loops that the normalizations on the CPU share. */
#ifndef DLF_CPU_NORM_H
#define DLF_CPU_NORM_H
#include <math.h>
#include <stdint.h>

/* z = (x - hi) scale + shift + residual over a row of n channels, each with its own parameters.
 * residual may be NULL, and z may be x or residual. */
static inline void cpu_affine_row(float *z, const float *x, const float *residual, int64_t n,
                                  const float *restrict hi, const float *restrict scale,
                                  const float *restrict shift)
{
    if (residual) {
#pragma omp simd
        for (int64_t i = 0; i < n; i++) z[i] = fmaf(x[i] - hi[i], scale[i], shift[i]) + residual[i];
    } else {
#pragma omp simd
        for (int64_t i = 0; i < n; i++) z[i] = fmaf(x[i] - hi[i], scale[i], shift[i]);
    }
}
#endif
