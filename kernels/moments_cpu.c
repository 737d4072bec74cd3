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
        const int32_t bits = (int32_t)(dlf_bits_of_float(x[i]) & 0x7fffffffu);
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
    out[DLF_MOMENT_MAX_ABS] = (double)dlf_float_of_bits((uint32_t)all.max_bits);
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

/* ---- pieces of each member ------------------------------------------------------------------ */

static int64_t clamped(int64_t offset, int64_t n)
{
    return offset < 0 ? 0 : offset > n ? n : offset;
}

/* Where the pieces lie and which chunks they are cut into; the same for every member. */
typedef struct piece {
    int64_t begin, end; /* elements of the member; end <= begin: empty, one chunk of nothing */
    int64_t first;      /* chunk of the member; the next piece's first is where it ends       */
} piece;

/* K + 1 entries; the last has only `first`. */
static void cut(piece *pieces, const dlf_tensor *offsets, int64_t n)
{
    const int64_t K = offsets->shape[0] - 1, stride = offsets->stride;
    const int32_t *offset = (const int32_t *)offsets->data;
    int64_t first = 0;
    for (int64_t k = 0; k < K; k++) {
        const int64_t begin = clamped(offset[k * stride], n);
        const int64_t end = clamped(offset[(k + 1) * stride], n);
        pieces[k] = (piece){begin, end, first};
        first += end - begin > CHUNK ? (end - begin + CHUNK - 1) / CHUNK : 1;
    }
    pieces[K].first = first;
}

/* The piece that this chunk belongs to. */
static int64_t piece_of(const piece *pieces, int64_t K, int64_t chunk)
{
    int64_t low = 0, high = K; /* pieces[low].first <= chunk < pieces[high].first */
    while (high - low > 1) {
        const int64_t middle = low + (high - low) / 2;
        if (pieces[middle].first <= chunk)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static void pieces_of(dlf_tensor *out, const dlf_tensor *x, const piece *pieces, int64_t K,
                      moments *parts)
{
    const int64_t P = x->shape[0], chunks = pieces[K].first;
    int64_t elements = 0;
    for (int64_t k = 0; k < K; k++) elements += pieces[k].end - pieces[k].begin;
    const int threads =
        dlf_cpu_threads(x, (double)P * (0.3 * (double)elements + 40.0 * (double)chunks));
    /* Chunks of large and small pieces take turns. */
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int64_t task = 0; task < P * chunks; task++) {
        const int64_t chunk = task % chunks, k = piece_of(pieces, K, chunk);
        const int64_t i = pieces[k].begin + (chunk - pieces[k].first) * CHUNK;
        const int64_t left = pieces[k].end - i, count = left < CHUNK ? left : CHUNK;
        parts[task] = of_chunk((const float *)x->data + task / chunks * x->stride + i,
                               count < 0 ? 0 : (int)count);
    }
    for (int64_t p = 0; p < P; p++)
        for (int64_t k = 0; k < K; k++)
            combine((double *)out->data + p * out->stride + k * DLF_MOMENTS,
                    parts + p * chunks + pieces[k].first, pieces[k + 1].first - pieces[k].first);
}

dlf_status DLF_CPU(moments_pieces)(dlf_tensor *out, const dlf_tensor *x, const dlf_tensor *offsets)
{
    const int64_t P = x->shape[0], K = offsets->shape[0] - 1;
    piece *pieces = malloc((size_t)(K + 1) * sizeof *pieces);
    if (!pieces)
        return dlf_fail(DLF_ERR_OOM, "moments_pieces on cpu: no memory for %lld pieces",
                        (long long)K);
    cut(pieces, offsets, x->shape[1]);
    moments *parts = malloc((size_t)(P * pieces[K].first) * sizeof *parts);
    if (parts) pieces_of(out, x, pieces, K, parts);
    const long long refused = parts ? 0 : (long long)(P * pieces[K].first);
    free(parts);
    free(pieces);
    if (!refused) return DLF_OK;
    return dlf_fail(DLF_ERR_OOM, "moments_pieces on cpu: no memory for %lld partial results",
                    refused);
}
