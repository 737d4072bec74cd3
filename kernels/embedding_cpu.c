/* SPDX-License-Identifier: MIT
 * embedding_cpu.c -- rows picked by index, and the sum of their gradients.
 *
 * Backward sorts the positions by their index with a stable counting sort; the rows of dtable are
 * then independent, and each adds its dy rows in ascending order of position. */
#include <stdlib.h>

#include "cpu.h"
#include "cpu_storage.h"

static const int32_t *index_of(const dlf_tensor *index, int64_t p)
{
    return (const int32_t *)index->data + (index->shape[0] == 1 ? 0 : p * index->stride);
}

/* ---- forward ----------------------------------------------------------------------------------
 */

static void fill_nan(float *row, int64_t n)
{
    for (int64_t j = 0; j < n; j++) row[j] = NAN;
}

dlf_status DLF_CPU(embedding_forward)(dlf_tensor *y, const dlf_tensor *table,
                                      const dlf_tensor *index)
{
    const int64_t P = y->shape[0], B = y->shape[1], N = y->shape[2], V = table->shape[1];
    const bool stream = N >= 64 && dlf_cpu_streams(P * B * N * (int64_t)sizeof(float));
    const int threads = dlf_cpu_threads(y, (double)(P * B) * (double)(N / 8 + 4));
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static) nowait
        for (int64_t row = 0; row < P * B; row++) {
            const int64_t p = row / B, i = row - p * B, v = index_of(index, p)[i];
            float *to = (float *)y->data + p * y->stride + i * N;
            const float *from = (const float *)table->data + p * table->stride + v * N;
            if (v < 0 || v >= V)
                fill_nan(to, N);
            else if (stream)
                dlf_cpu_stream(to, from, N);
            else
                memcpy(to, from, (size_t)N * sizeof *to);
        }
        if (stream) dlf_cpu_stream_end();
    }
    return DLF_OK;
}

/* ---- backward ---------------------------------------------------------------------------------
 */

/* order[start[v] .. start[v+1] - 1]: the positions with index v, ascending. V + 1 starts. */
static void sort_positions(int64_t *start, int64_t *order, const int32_t *index, int64_t B,
                           int64_t V)
{
    memset(start, 0, (size_t)(V + 1) * sizeof *start);
    for (int64_t i = 0; i < B; i++)
        if (index[i] >= 0 && index[i] < V) start[index[i] + 1]++;
    for (int64_t v = 0; v < V; v++) start[v + 1] += start[v];
    for (int64_t i = 0; i < B; i++) /* start[v] runs up to what start[v+1] was */
        if (index[i] >= 0 && index[i] < V) order[start[index[i]]++] = i;
    memmove(start + 1, start, (size_t)V * sizeof *start);
    start[0] = 0;
}

static void add_rows(float *restrict to, const float *restrict dy, const int64_t *order,
                     int64_t count, int64_t N, float beta)
{
    int64_t k = 0;
    if (beta != 0.0f) {
#pragma omp simd
        for (int64_t j = 0; j < N; j++) to[j] *= beta;
    } else if (count == 0) {
        memset(to, 0, (size_t)N * sizeof *to);
    } else { /* 0 + v, which makes 0 of -0 */
        const float *v = dy + order[k++] * N;
#pragma omp simd
        for (int64_t j = 0; j < N; j++) to[j] = 0.0f + v[j];
    }
    for (; k + 1 < count; k += 2) { /* two at a time: one load and store of the sum less */
        const float *a = dy + order[k] * N, *b = dy + order[k + 1] * N;
#pragma omp simd
        for (int64_t j = 0; j < N; j++) to[j] = (to[j] + a[j]) + b[j];
    }
    if (k < count) {
        const float *a = dy + order[k] * N;
#pragma omp simd
        for (int64_t j = 0; j < N; j++) to[j] += a[j];
    }
}

dlf_status DLF_CPU(embedding_backward)(dlf_tensor *dtable, const dlf_tensor *dy,
                                       const dlf_tensor *index, double beta)
{
    const int64_t P = dy->shape[0], B = dy->shape[1], N = dy->shape[2], V = dtable->shape[1];
    const int64_t Q = index->shape[0], size = V + 1 + B;
    int64_t *sorted = malloc((size_t)(Q * size) * sizeof *sorted);
    if (!sorted)
        return dlf_fail(DLF_ERR_OOM, "embedding_backward: no memory to sort %lld indices",
                        (long long)(Q * B));
    const int threads = dlf_cpu_threads(dtable, (double)P * (double)(V + B) * (double)(N / 8 + 4));
    const int sort_threads = dlf_cpu_threads(dtable, 4.0 * (double)Q * (double)size);
#pragma omp parallel for num_threads(sort_threads) schedule(static)
    for (int64_t q = 0; q < Q; q++)
        sort_positions(sorted + q * size, sorted + q * size + V + 1, index_of(index, q), B, V);

    /* Rows are as unequal as the indices are: whoever is free takes the next few. */
    const int64_t fit = N < 4096 ? 4096 / N : 1, few = V / 32 + 1;
    const int64_t rows = fit < few ? fit : few, blocks = (V + rows - 1) / rows;
#pragma omp parallel num_threads(threads)
#pragma omp for schedule(dynamic, 1) nowait
    for (int64_t task = 0; task < P * blocks; task++) {
        const int64_t p = task / blocks, first = task % blocks * rows;
        const int64_t end = first + rows < V ? first + rows : V;
        const int64_t *start = sorted + (Q == 1 ? 0 : p) * size, *order = start + V + 1;
        for (int64_t v = first; v < end; v++)
            add_rows((float *)dtable->data + p * dtable->stride + v * N,
                     (const float *)dy->data + p * dy->stride, order + start[v],
                     start[v + 1] - start[v], N, (float)beta);
    }
    free(sorted);
    return DLF_OK;
}
