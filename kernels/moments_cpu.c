/* SPDX-License-Identifier: MIT
 * moments_cpu.c -- moments of fixed chunks, then the chunks in order: one result for any number of
 * threads. */
#include <stdlib.h>

#include "cpu.h"
#include "cpu_math.h"

enum { CHUNK = 16384 };

typedef struct moments {
    double sum, squares;
    int32_t max_bits; /* of |x| as an integer: ordered like the numbers, and NaN is above Inf */
    int64_t nonfinite, zeros;
} moments;

static moments of_chunk(const float *x, int n)
{
    enum { INF_BITS = 0x7f800000 };
    double sum = 0.0, squares = 0.0;
    int32_t max_bits = 0, nonfinite = 0, zeros = 0;
#pragma omp simd reduction(+ : sum, squares, nonfinite, zeros) reduction(max : max_bits)
    for (int i = 0; i < n; i++) {
        const double v = (double)x[i];
        const int32_t bits = (int32_t)(vm_bits_of_float(x[i]) & 0x7fffffffu);
        sum += v;
        squares += v * v; /* the product of two floats is exact in double */
        max_bits = bits > max_bits ? bits : max_bits;
        nonfinite += bits >= INF_BITS;
        zeros += bits == 0;
    }
    return (moments){sum, squares, max_bits, nonfinite, zeros};
}

static void combine(double *out, const moments *parts, int64_t n)
{
    moments all = parts[0];
    for (int64_t i = 1; i < n; i++) {
        all.sum += parts[i].sum;
        all.squares += parts[i].squares;
        if (parts[i].max_bits > all.max_bits) all.max_bits = parts[i].max_bits;
        all.nonfinite += parts[i].nonfinite;
        all.zeros += parts[i].zeros;
    }
    out[DLF_MOMENT_SUM] = all.sum;
    out[DLF_MOMENT_SUM_SQUARES] = all.squares;
    out[DLF_MOMENT_MAX_ABS] = (double)vm_float_of_bits((uint32_t)all.max_bits);
    out[DLF_MOMENT_NONFINITE] = (double)all.nonfinite;
    out[DLF_MOMENT_ZEROS] = (double)all.zeros;
}

dlf_status DLF_CPU(moments)(dlf_tensor *out, const dlf_tensor *x)
{
    const int64_t S = x->shape[0], n = dlf_tensor_member_count(x);
    const int64_t chunks = (n + CHUNK - 1) / CHUNK;
    moments *parts = malloc((size_t)(S * chunks) * sizeof *parts);
    if (!parts)
        return dlf_fail(DLF_ERR_OOM, "moments on cpu: no memory for %lld partial results",
                        (long long)(S * chunks));
    const int threads = dlf_cpu_threads(x, 0.3 * (double)(S * n));
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t task = 0; task < S * chunks; task++) {
        const int64_t s = task / chunks, i = task % chunks * CHUNK;
        parts[task] = of_chunk((const float *)x->data + s * x->stride + i,
                               n - i < CHUNK ? (int)(n - i) : CHUNK);
    }
    for (int64_t s = 0; s < S; s++)
        combine((double *)out->data + s * out->stride, parts + s * chunks, chunks);
    free(parts);
    return DLF_OK;
}

dlf_status DLF_CPU(moments_pieces)(dlf_tensor *out, const dlf_tensor *x, const dlf_tensor *offsets)
{
    return dlf_fail(DLF_ERR_NO_KERNEL, "moments_pieces: not written yet");
}
