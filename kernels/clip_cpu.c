/* SPDX-License-Identifier: MIT
 * clip_cpu.c -- sums of squares of fixed chunks in double, then the chunks in order. Squares of
 * floats are exact in double, and their sums stay far inside its range. The guard of a step. */
#include <stdlib.h>

#include "cpu.h"

enum { CHUNK = 16384 };

static double sum_of_squares(const float *x, int64_t n)
{
    double sum = 0.0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    return sum;
}

dlf_status DLF_CPU(clip_by_norm)(dlf_tensor *g_scale, dlf_tensor *norm, const dlf_tensor *g,
                                 const dlf_tensor *max_norm)
{
    const int64_t P = g->shape[0], n = dlf_tensor_member_count(g);
    const int64_t chunks = (n + CHUNK - 1) / CHUNK;
    double *parts = malloc((size_t)(P * chunks) * sizeof *parts);
    if (!parts)
        return dlf_fail(DLF_ERR_OOM, "clip_by_norm on cpu: no memory for %lld partial sums",
                        (long long)(P * chunks));
    const int threads = dlf_cpu_threads(g, 0.2 * (double)(P * n));
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t task = 0; task < P * chunks; task++) {
        const int64_t p = task / chunks, i = task % chunks * CHUNK;
        parts[task] = sum_of_squares((const float *)g->data + p * g->stride + i,
                                     n - i < CHUNK ? n - i : CHUNK);
    }
    for (int64_t p = 0; p < P; p++) {
        double squares = 0.0;
        for (int64_t i = 0; i < chunks; i++) squares += parts[p * chunks + i];
        const double length = sqrt(squares);
        const double limit = (double)((const float *)max_norm->data)[p * max_norm->stride];
        const bool keep = length <= limit || limit == (double)INFINITY; /* NaN <= limit is false */
        ((float *)norm->data)[p * norm->stride] = (float)length;
        ((float *)g_scale->data)[p * g_scale->stride] = keep ? 1.0f : (float)(limit / length);
    }
    free(parts);
    return DLF_OK;
}

dlf_status DLF_CPU(step_guard)(dlf_tensor *lr_out, dlf_tensor *first_bad, const dlf_tensor *lr,
                               const dlf_tensor *moments, const dlf_tensor *clock)
{
    const int32_t now = *(const int32_t *)clock->data;
    for (int64_t p = 0; p < lr_out->shape[0]; p++) {
        const double *m = (const double *)moments->data + p * moments->stride;
        int32_t *since = (int32_t *)first_bad->data + p * first_bad->stride;
        if (*since < 0 && m[DLF_MOMENT_NONFINITE] > 0.0) *since = now;
        const float rate = ((const float *)lr->data)[p * lr->stride];
        ((float *)lr_out->data)[p * lr_out->stride] = *since < 0 ? rate : 0.0f;
    }
    return DLF_OK;
}
