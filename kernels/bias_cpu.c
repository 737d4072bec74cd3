/* SPDX-License-Identifier: MIT
 * bias_cpu.c -- bias over rows; its gradient as column sums over tiles of 64 columns. */
#include "cpu.h"

enum {
    ROWS = 64, /* rows per task, and rows summed in float before they go to the double total */
    TILE = 64  /* columns per task of the gradient: 256 bytes of a row                         */
};

dlf_status DLF_CPU(bias_add)(dlf_tensor *y, const dlf_tensor *x, const dlf_tensor *bias)
{
    const int64_t P = y->shape[0], B = y->shape[1], N = y->shape[2];
    const int64_t blocks = (B + ROWS - 1) / ROWS;
    const int threads = dlf_cpu_threads(y, 0.2 * (double)(P * B * N));
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t task = 0; task < P * blocks; task++) {
        const int64_t p = task / blocks, first = task % blocks * ROWS;
        const int64_t last = first + ROWS < B ? first + ROWS : B;
        const float *bias_p = (const float *)bias->data + p * bias->stride;
        for (int64_t i = first; i < last; i++) {
            float *y_i = (float *)y->data + p * y->stride + i * N;
            const float *x_i = (const float *)x->data + p * x->stride + i * N;
#pragma omp simd
            for (int64_t j = 0; j < N; j++) y_i[j] = x_i[j] + bias_p[j];
        }
    }
    return DLF_OK;
}

/* total[j] += sum of `rows` rows (at most ROWS) of `width` columns, four rows at a time: a quarter
 * of the additions wait for the one before them, and the rounding errors are as few. */
static void add_rows(double *total, const float *dy, int64_t rows, int64_t N, int width)
{
    float sum[TILE] = {0};
    int64_t i = 0;
    for (; i + 4 <= rows; i += 4) {
        const float *a = dy + i * N, *b = a + N, *c = b + N, *d = c + N;
#pragma omp simd
        for (int j = 0; j < width; j++) sum[j] += (a[j] + b[j]) + (c[j] + d[j]);
    }
    for (; i < rows; i++) {
        const float *a = dy + i * N;
#pragma omp simd
        for (int j = 0; j < width; j++) sum[j] += a[j];
    }
#pragma omp simd
    for (int j = 0; j < width; j++) total[j] += (double)sum[j];
}

/* A tile is one task whatever the number of threads, so its sum has one order. */
dlf_status DLF_CPU(bias_grad)(dlf_tensor *dbias, const dlf_tensor *dy, double beta)
{
    const int64_t P = dy->shape[0], B = dy->shape[1], N = dy->shape[2];
    const int64_t tiles = (N + TILE - 1) / TILE;
    const int threads = dlf_cpu_threads(dy, 0.2 * (double)(P * B * N));
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t task = 0; task < P * tiles; task++) {
        const int64_t p = task / tiles, j0 = task % tiles * TILE;
        const int width = N - j0 < TILE ? (int)(N - j0) : TILE;
        const float *dy_p = (const float *)dy->data + p * dy->stride + j0;
        float *dbias_p = (float *)dbias->data + p * dbias->stride + j0;
        double total[TILE] = {0};
        for (int64_t i = 0; i < B; i += ROWS)
            add_rows(total, dy_p + i * N, B - i < ROWS ? B - i : ROWS, N, width);
        for (int j = 0; j < width; j++)
            dbias_p[j] = (float)(beta == 0.0 ? total[j] : total[j] + beta * (double)dbias_p[j]);
    }
    return DLF_OK;
}
