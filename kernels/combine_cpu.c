/* SPDX-License-Identifier: MIT
 * combine_cpu.c -- sums, products and columns in pieces that stay in the first-level cache, so that
 * a large result that is only written can go past the caches. */
#include "cpu.h"
#include "cpu_storage.h"

enum {
    PIECE = 2048, /* elements at a time                            */
    ROWS = 64     /* rows per task of a copy, where they are short */
};

/* y = a x + b y; b 0 does not read y. */
static void scaled(float *y, const float *x, int64_t n, float a, float b)
{
    if (b == 0.0f)
#pragma omp simd
        for (int64_t i = 0; i < n; i++) y[i] = a * x[i];
    else
#pragma omp simd
        for (int64_t i = 0; i < n; i++) y[i] = a * x[i] + b * y[i];
}

static void product(float *y, const float *u, const float *v, int64_t n, float b)
{
    if (b == 0.0f)
#pragma omp simd
        for (int64_t i = 0; i < n; i++) y[i] = u[i] * v[i];
    else
#pragma omp simd
        for (int64_t i = 0; i < n; i++) y[i] = u[i] * v[i] + b * y[i];
}

/* Pieces of the members of y, shared among threads. */
typedef struct pieces {
    int64_t n, count; /* elements of a member, pieces of all members */
    int threads;
    bool stream; /* past the caches: y is not read, and is large */
} pieces;

static pieces pieces_of(const dlf_tensor *y, bool only_written)
{
    const int64_t P = y->shape[0], n = dlf_tensor_member_count(y);
    return (pieces){n, P * ((n + PIECE - 1) / PIECE), dlf_cpu_threads(y, 0.2 * (double)(P * n)),
                    only_written && dlf_cpu_streams(P * n * (int64_t)sizeof(float))};
}

/* Where piece `task` starts, and how long it is. */
static int64_t piece_at(const pieces *q, int64_t task, int64_t *p, int64_t *n)
{
    const int64_t per_member = (q->n + PIECE - 1) / PIECE, i = task % per_member * PIECE;
    *p = task / per_member;
    *n = q->n - i < PIECE ? q->n - i : PIECE;
    return i;
}

dlf_status DLF_CPU(axpby)(dlf_tensor *y, const dlf_tensor *x, const dlf_tensor *scale, double alpha,
                          double beta)
{
    const float b = (float)beta;
    const int64_t x_stride = x->shape[0] == 1 ? 0 : x->stride;
    const pieces q = pieces_of(y, b == 0.0f && y->data != x->data);
#pragma omp parallel for num_threads(q.threads) schedule(static)
    for (int64_t task = 0; task < q.count; task++) {
        float buffer[PIECE];
        int64_t p, n;
        const int64_t i = piece_at(&q, task, &p, &n);
        const double s = scale ? (double)((const float *)scale->data)[p * scale->stride] : 1.0;
        float *y_i = (float *)y->data + p * y->stride + i;
        scaled(q.stream ? buffer : y_i, (const float *)x->data + p * x_stride + i, n,
               (float)(alpha * s), b);
        if (!q.stream) continue;
        dlf_cpu_stream(y_i, buffer, n);
        dlf_cpu_stream_end();
    }
    return DLF_OK;
}

dlf_status DLF_CPU(multiply)(dlf_tensor *y, const dlf_tensor *a, const dlf_tensor *b, double beta)
{
    const float c = (float)beta;
    const pieces q = pieces_of(y, c == 0.0f && y->data != a->data && y->data != b->data);
#pragma omp parallel for num_threads(q.threads) schedule(static)
    for (int64_t task = 0; task < q.count; task++) {
        float buffer[PIECE];
        int64_t p, n;
        const int64_t i = piece_at(&q, task, &p, &n);
        float *y_i = (float *)y->data + p * y->stride + i;
        product(q.stream ? buffer : y_i, (const float *)a->data + p * a->stride + i,
                (const float *)b->data + p * b->stride + i, n, c);
        if (!q.stream) continue;
        dlf_cpu_stream(y_i, buffer, n);
        dlf_cpu_stream_end();
    }
    return DLF_OK;
}

dlf_status DLF_CPU(copy_columns)(dlf_tensor *y, int64_t to, const dlf_tensor *x, int64_t from,
                                 int64_t count, double beta)
{
    const int64_t P = y->shape[0], B = y->shape[1], N = y->shape[2], K = x->shape[2];
    const int64_t blocks = (B + ROWS - 1) / ROWS;
    const int threads = dlf_cpu_threads(y, 0.2 * (double)(P * B * count));
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t task = 0; task < P * blocks; task++) {
        const int64_t p = task / blocks, first = task % blocks * ROWS;
        const int64_t last = first + ROWS < B ? first + ROWS : B;
        for (int64_t i = first; i < last; i++)
            scaled((float *)y->data + p * y->stride + i * N + to,
                   (const float *)x->data + p * x->stride + i * K + from, count, 1.0f, (float)beta);
    }
    return DLF_OK;
}
