/* SPDX-License-Identifier: MIT
 * loss_cpu.c -- elementwise losses: flat SIMD loops over pieces that stay in the first-level cache,
 * one function per kind, then the sums of the rows in double. */
#include <stdlib.h>

#include "cpu.h"
#include "cpu_math.h"
#include "cpu_storage.h"

enum {
    BUFFER = 2048, /* elements at a time                                         */
    CHUNK = 16384  /* elements per task; longer rows are summed in such chunks   */
};

/* ---- l and l' by x: branch-free, and a NaN in x or t comes out ------------------------------ */

typedef void values_fn(float *out, const float *x, const float *t, int64_t n, float delta);
typedef void slopes_fn(float *dx, const float *x, const float *t, int64_t n, float delta,
                       float scale);

#define KIND(name, value, slope)                                                                   \
    static void name##_values(float *out, const float *x, const float *t, int64_t n, float delta)  \
    {                                                                                              \
        (void)delta;                                                                               \
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++) out[i] = value;                        \
    }                                                                                              \
    static void name##_slopes(float *dx, const float *x, const float *t, int64_t n, float delta,   \
                              float scale)                                                         \
    {                                                                                              \
        (void)delta;                                                                               \
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++) dx[i] = scale * (slope);               \
    }

static inline float sign(float d)
{
    return d > 0.0f ? 1.0f : d < 0.0f ? -1.0f : d; /* 0 or NaN */
}

static inline float huber(float d, float delta)
{
    const float a = fabsf(d);
    return a <= delta ? 0.5f * d * d : delta * (a - 0.5f * delta);
}

static inline float huber_slope(float d, float delta)
{
    const float low = d < -delta ? -delta : d;
    return low > delta ? delta : low;
}

/* One rounding of max(x,0) - x t, where hard labels cancel to 0. */
static inline float bce(float x, float t)
{
    return fmaf(-x, t, x > 0.0f ? x : 0.0f) + vm_log1p_01(vm_exp_nonpos(-fabsf(x)));
}

/* sigmoid(x) - t. For x > 0 it is (1 - t) - (1 - sigmoid(x)): nothing is lost as both approach 1.
 */
static inline float bce_slope(float x, float t)
{
    const float e = vm_exp_nonpos(-fabsf(x)), r = 1.0f / (1.0f + e);
    return x > 0.0f ? (1.0f - t) - e * r : (x < 0.0f ? e * r : r) - t;
}

static inline float hinge(float x, float t)
{
    const float v = fmaf(-t, x, 1.0f);
    return v < 0.0f ? 0.0f : v;
}

static inline float hinge_slope(float x, float t)
{
    const float v = fmaf(-t, x, 1.0f);
    return v > 0.0f ? -t : v <= 0.0f ? 0.0f : v;
}

KIND(mse, (x[i] - t[i]) * (x[i] - t[i]), 2.0f * (x[i] - t[i]))
KIND(mae, fabsf(x[i] - t[i]), sign(x[i] - t[i]))
KIND(huber, huber(x[i] - t[i], delta), huber_slope(x[i] - t[i], delta))
KIND(bce, bce(x[i], t[i]), bce_slope(x[i], t[i]))
KIND(hinge, hinge(x[i], t[i]), hinge_slope(x[i], t[i]))

/* `cost` is in elementary operations per element, for dlf_cpu_threads. */
static const struct kind {
    values_fn *values;
    slopes_fn *slopes;
    double cost;
} kinds[DLF_LOSS_COUNT] = {
    [DLF_LOSS_MSE] = {mse_values, mse_slopes, 0.4},
    [DLF_LOSS_MAE] = {mae_values, mae_slopes, 0.4},
    [DLF_LOSS_HUBER] = {huber_values, huber_slopes, 0.4},
    [DLF_LOSS_BCE] = {bce_values, bce_slopes, 1.5},
    [DLF_LOSS_HINGE] = {hinge_values, hinge_slopes, 0.4},
};

static const float *member(const dlf_tensor *t, int64_t p)
{
    return (const float *)t->data + (t->shape[0] == 1 ? 0 : p) * t->stride;
}

/* ---- forward -------------------------------------------------------------------------------- */

static double sum_of(const float *v, int64_t n)
{
    double sum = 0.0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) sum += (double)v[i];
    return sum;
}

/* loss[r] = sum of row r of v, `rows` of N. Rows shorter than a few vectors are added side by side,
 * so that no addition waits for the one before. */
static void sums_of_rows(float *loss, const float *v, int64_t rows, int64_t N)
{
    enum { SHORT = 32, SIDE = 8 };
    int64_t r = 0;
    for (; N < SHORT && r + SIDE <= rows; r += SIDE) {
        double sum[SIDE] = {0.0};
        for (int64_t j = 0; j < N; j++)
            for (int k = 0; k < SIDE; k++) sum[k] += (double)v[(r + k) * N + j];
        for (int k = 0; k < SIDE; k++) loss[r + k] = (float)sum[k];
    }
    for (; r < rows; r++) {
        double sum = 0.0;
        if (N < SHORT)
            for (int64_t j = 0; j < N; j++) sum += (double)v[r * N + j];
        else
            sum = sum_of(v + r * N, N);
        loss[r] = (float)sum;
    }
}

static double sum_of_piece(const struct kind *kind, const float *x, const float *t, int64_t n,
                           float delta)
{
    float v[BUFFER];
    double sum = 0.0;
    for (int64_t i = 0; i < n; i += BUFFER) {
        const int64_t count = n - i < BUFFER ? n - i : BUFFER;
        kind->values(v, x + i, t + i, count, delta);
        sum += sum_of(v, count);
    }
    return sum;
}

/* Rows of N <= BUFFER columns, as many at a time as the buffer takes. */
static void short_rows(const struct kind *kind, float *loss, const float *x, const float *t,
                       int64_t rows, int64_t N, float delta)
{
    float v[BUFFER];
    const int64_t fit = BUFFER / N;
    for (int64_t i = 0; i < rows; i += fit) {
        const int64_t count = rows - i < fit ? rows - i : fit;
        kind->values(N == 1 ? loss + i : v, x + i * N, t + i * N, count * N, delta);
        if (N > 1) sums_of_rows(loss + i, v, count, N);
    }
}

/* Rows of at most CHUNK columns. */
static void forward_rows(dlf_tensor *loss, const dlf_tensor *x, const dlf_tensor *t,
                         const struct kind *kind, float delta, int threads)
{
    const int64_t P = x->shape[0], B = x->shape[1], N = x->shape[2];
    const int64_t rows = N < CHUNK ? CHUNK / N : 1, groups = (B + rows - 1) / rows;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t task = 0; task < P * groups; task++) {
        const int64_t p = task / groups, i = task % groups * rows;
        const int64_t count = B - i < rows ? B - i : rows;
        float *out = (float *)loss->data + p * loss->stride + i;
        const float *x_i = member(x, p) + i * N, *t_i = member(t, p) + i * N;
        if (N <= BUFFER)
            short_rows(kind, out, x_i, t_i, count, N, delta);
        else
            for (int64_t r = 0; r < count; r++)
                out[r] = (float)sum_of_piece(kind, x_i + r * N, t_i + r * N, N, delta);
    }
}

/* Longer rows: chunks, then their sums in order. */
static dlf_status forward_chunks(dlf_tensor *loss, const dlf_tensor *x, const dlf_tensor *t,
                                 const struct kind *kind, float delta, int threads)
{
    const int64_t P = x->shape[0], B = x->shape[1], N = x->shape[2];
    const int64_t chunks = (N + CHUNK - 1) / CHUNK;
    double *parts = malloc((size_t)(P * B * chunks) * sizeof *parts);
    if (!parts)
        return dlf_fail(DLF_ERR_OOM, "loss_forward on cpu: no memory for %lld partial sums",
                        (long long)(P * B * chunks));
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t task = 0; task < P * B * chunks; task++) {
        const int64_t row = task / chunks, j = task % chunks * CHUNK, p = row / B;
        const int64_t at = row % B * N + j;
        parts[task] = sum_of_piece(kind, member(x, p) + at, member(t, p) + at,
                                   N - j < CHUNK ? N - j : CHUNK, delta);
    }
    for (int64_t row = 0; row < P * B; row++) {
        double sum = 0.0;
        for (int64_t k = 0; k < chunks; k++) sum += parts[row * chunks + k];
        ((float *)loss->data)[row / B * loss->stride + row % B] = (float)sum;
    }
    free(parts);
    return DLF_OK;
}

dlf_status DLF_CPU(loss_forward)(dlf_tensor *loss, const dlf_tensor *x, const dlf_tensor *t,
                                 dlf_loss l)
{
    const struct kind *kind = &kinds[l.kind];
    const int threads = dlf_cpu_threads(x, kind->cost * (double)dlf_tensor_count(x));
    if (x->shape[2] > CHUNK) return forward_chunks(loss, x, t, kind, (float)l.delta, threads);
    forward_rows(loss, x, t, kind, (float)l.delta, threads);
    return DLF_OK;
}

/* ---- backward ------------------------------------------------------------------------------- */

dlf_status DLF_CPU(loss_backward)(dlf_tensor *dx, const dlf_tensor *x, const dlf_tensor *t,
                                  dlf_loss l, double scale)
{
    const struct kind *kind = &kinds[l.kind];
    const float delta = (float)l.delta, factor = (float)scale;
    const int64_t P = dx->shape[0], n = dlf_tensor_member_count(dx);
    const int64_t chunks = (n + CHUNK - 1) / CHUNK;
    const bool stream = dx->data != x->data && dlf_cpu_streams(P * n * (int64_t)sizeof(float));
    const int threads = dlf_cpu_threads(dx, kind->cost * (double)P * (double)n);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t task = 0; task < P * chunks; task++) {
        const int64_t p = task / chunks, begin = task % chunks * CHUNK;
        const int64_t end = begin + CHUNK < n ? begin + CHUNK : n;
        const float *x_p = member(x, p), *t_p = member(t, p);
        float *dx_p = (float *)dx->data + p * dx->stride;
        if (!stream) {
            kind->slopes(dx_p + begin, x_p + begin, t_p + begin, end - begin, delta, factor);
            continue;
        }
        float buffer[BUFFER];
        for (int64_t i = begin; i < end; i += BUFFER) {
            const int64_t count = end - i < BUFFER ? end - i : BUFFER;
            kind->slopes(buffer, x_p + i, t_p + i, count, delta, factor);
            dlf_cpu_stream(dx_p + i, buffer, count);
        }
        dlf_cpu_stream_end();
    }
    return DLF_OK;
}
