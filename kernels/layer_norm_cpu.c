/* SPDX-License-Identifier: MIT
 * layer_norm_cpu.c -- layer and RMS normalization, one row (sample) at a time.
 *
 * A row is read from memory once and stays in the caches for the other passes. It is worked on in
 * pieces of PIECE elements, whose temporaries stay in the first-level cache. gamma and beta come as
 * one value per element of the piece: with S = 1 they are the arrays themselves.
 * Backward: a task is a fixed run of rows with its own float sums for dgamma and dbeta, added in
 * task order in double at the end. */
#include <stdatomic.h>
#include <stdlib.h>

#include "cpu.h"
#include "cpu_lanes.h"
#include "cpu_storage.h"

enum {
    PIECE = 1024,
    SHORT_ROW = 256 /* up to here backward takes two rows at a time; beyond, latency is hidden */
};

typedef struct shape {
    int64_t P, N, C, S, L; /* L = C S: a row */
    bool nhwc, rms;
} shape;

static dlf_status shape_of(shape *out, const dlf_tensor *x, const dlf_norm *norm)
{
    dlf_norm_geometry g;
    DLF_TRY(dlf_norm_geometry_of(&g, x, *norm));
    *out = (shape){.P = g.P,
                   .N = g.N,
                   .C = g.C,
                   .S = g.S,
                   .L = g.count,
                   .nhwc = norm->layout == DLF_NHWC,
                   .rms = norm->kind == DLF_RMS_NORM};
    return DLF_OK;
}

static inline int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline const float *member(const dlf_tensor *t, int64_t p)
{
    return t ? (const float *)t->data + p * t->stride : NULL;
}

/* The part [at, at + n) of a row, cut where the channel changes (NCHW) or starts again at 0 (NHWC).
 */
typedef struct run {
    int64_t c, n; /* NCHW: n elements of channel c; NHWC: channels c .. c+n-1 */
} run;

static inline run run_at(const shape *s, int64_t at, int64_t left)
{
    const int64_t c = s->nhwc ? at % s->C : at / s->S;
    return (run){c, least(left, s->nhwc ? s->C - c : (c + 1) * s->S - at)};
}

/* gamma or beta for the elements [at, at + n) of a row; `otherwise` where it is NULL. */
static const float *per_element(float *buffer, const float *values, float otherwise, const shape *s,
                                int64_t at, int64_t n)
{
    if (!values) {
        for (int64_t i = 0; i < n; i++) buffer[i] = otherwise;
        return buffer;
    }
    if (s->S == 1) return values + at;
    for (int64_t i = 0; i < n;) {
        const run r = run_at(s, at + i, n - i);
        for (int64_t k = 0; k < r.n; k++) buffer[i + k] = values[s->nhwc ? r.c + k : r.c];
        i += r.n;
    }
    return buffer;
}

/* sums[c] += the values of channel c */
static void fold(float *sums, const float *values, const shape *s, int64_t at, int64_t n)
{
    for (int64_t i = 0; i < n;) {
        const run r = run_at(s, at + i, n - i);
        if (s->nhwc) {
#pragma omp simd
            for (int64_t k = 0; k < r.n; k++) sums[r.c + k] += values[i + k];
        } else {
            float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
            for (int64_t k = 0; k < r.n; k++) sum += values[i + k];
            sums[r.c] += sum;
        }
        i += r.n;
    }
}

/* ---- statistics ------------------------------------------------------------------------------ */

typedef struct statistic {
    float hi, lo, rstd; /* the mean is hi + lo: (x - hi) - lo keeps the digits of a large mean */
} statistic;

static inline statistic statistic_of(double mean, float rstd)
{
    const float hi = (float)mean;
    return (statistic){hi, (float)(mean - (double)hi), rstd};
}

static float sum_of(const float *x, int64_t n)
{
    lanes a = {0}, b = {0};
    int64_t i = 0;
    for (; i + 2 * LANES <= n; i += 2 * LANES) {
        a += *const_lanes_at(x + i);
        b += *const_lanes_at(x + i + LANES);
    }
    a += b;
    float tail = 0.0f;
    for (; i < n; i++) tail += x[i];
    return lanes_total(&a) + tail;
}

/* Count, mean and sum of squared deviations of a part of a row. */
typedef struct moments {
    double n, mean, squares;
} moments;

/* Of a part that the first-level cache holds. `first` is its mean as a float sum gave it; the sum
 * of the deviations from it corrects that (Chan, Golub, LeVeque 1983). */
static moments moments_of(const float *x, int64_t n, float first)
{
    lanes s = {0}, s1 = {0}, q = {0}, q1 = {0};
    int64_t i = 0;
    for (; i + 2 * LANES <= n; i += 2 * LANES) {
        const lanes d = *const_lanes_at(x + i) - first, d1 = *const_lanes_at(x + i + LANES) - first;
        s += d;
        s1 += d1;
        q += d * d;
        q1 += d1 * d1;
    }
    s += s1;
    q += q1;
    float sum = 0.0f, squares = 0.0f;
    for (; i < n; i++) {
        const float d = x[i] - first;
        sum += d;
        squares += d * d;
    }
    const double all = (double)(lanes_total(&s) + sum), shift = all * (1.0 / (double)n);
    const double m2 = (double)(lanes_total(&q) + squares) - all * shift;
    return (moments){(double)n, (double)first + shift, m2 < 0.0 ? 0.0 : m2};
}

static moments merge(moments a, moments b)
{
    const double n = a.n + b.n, d = b.mean - a.mean;
    return (moments){n, a.mean + d * (b.n / n), a.squares + b.squares + d * d * (a.n * (b.n / n))};
}

static double squares_of(const float *x, int64_t n)
{
    lanes q = {0}, q1 = {0};
    int64_t i = 0;
    for (; i + 2 * LANES <= n; i += 2 * LANES) {
        const lanes d = *const_lanes_at(x + i), d1 = *const_lanes_at(x + i + LANES);
        q += d * d;
        q1 += d1 * d1;
    }
    q += q1;
    float squares = 0.0f;
    for (; i < n; i++) squares += x[i] * x[i];
    return (double)(lanes_total(&q) + squares);
}

/* Part by part, so that both passes over a long row find it in the first-level cache. */
static void statistics(double *mean, double *var, const float *x, int64_t L, bool rms)
{
    enum { PART = 4 * PIECE };
    moments all = {0.0, 0.0, 0.0};
    for (int64_t i = 0; i < L; i += PART) {
        const int64_t n = least(PART, L - i);
        if (rms) {
            all.squares += squares_of(x + i, n);
            continue;
        }
        const moments part = moments_of(x + i, n, sum_of(x + i, n) * (float)(1.0 / (double)n));
        all = i ? merge(all, part) : part;
    }
    *mean = all.mean;
    *var = all.squares * (1.0 / (double)L);
}

/* ---- pieces ---------------------------------------------------------------------------------- */

/* z = gamma xhat + beta + residual, the same bits in forward and backward */
static void affine(float *z, const float *x, int64_t n, statistic s, const float *gamma,
                   const float *beta, const float *residual)
{
    if (residual) {
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            z[i] = fmaf(((x[i] - s.hi) - s.lo) * s.rstd, gamma[i], beta[i]) + residual[i];
        return;
    }
#pragma omp simd
    for (int64_t i = 0; i < n; i++) z[i] = fmaf(((x[i] - s.hi) - s.lo) * s.rstd, gamma[i], beta[i]);
}

/* Elements of a tensor like x: where they go, and how. */
typedef struct output {
    void *data;
    dlf_dtype dtype;
    bool stream;
} output;

/* One of `tensors` like it that the op goes through: together they leave the cache. */
static output output_of(const dlf_tensor *t, int tensors)
{
    const int64_t bytes = dlf_tensor_count(t) * (int64_t)dlf_dtype_size(t->dtype);
    return (output){t->data, t->dtype, t->dtype == DLF_F32 && dlf_cpu_streams(tensors * bytes)};
}

/* Where to compute a piece that `put` then sends to data[at ..]. */
static inline float *place(const output *o, float *buffer, int64_t at)
{
    return o->stream ? buffer : dlf_cpu_target(buffer, o->data, o->dtype, at);
}

static inline void put(const output *o, int64_t at, const float *v, int64_t n)
{
    if (o->stream)
        dlf_cpu_stream((float *)o->data + at, v, n);
    else
        dlf_cpu_store(o->data, o->dtype, at, v, n);
}

/* Room for `rows` rows of floats, needed where a row cannot be used as it lies. */
static float *row_room(int64_t rows, int64_t L)
{
    return aligned_alloc(64, ((size_t)(rows * L) * sizeof(float) + 63) / 64 * 64);
}

static dlf_status no_room(const char *op)
{
    return dlf_fail(DLF_ERR_OOM, "%s on cpu: no memory for a row", op);
}

/* ---- forward --------------------------------------------------------------------------------- */

typedef struct forward {
    const dlf_norm_fwd *io;
    shape s;
    double eps;
    dlf_activation f;
    output y;
} forward;

static void forward_row(const forward *a, int64_t p, int64_t n, float *room)
{
    const dlf_norm_fwd *io = a->io;
    const int64_t L = a->s.L, x_at = p * io->x->stride + n * L, y_at = p * io->y->stride + n * L;
    const float *x = dlf_cpu_load(room, io->x->data, io->x->dtype, x_at, L);
    double mean, var;
    statistics(&mean, &var, x, L, a->s.rms);
    const statistic s = statistic_of(mean, 1.0f / sqrtf((float)(var + a->eps)));
    if (io->mean) ((double *)io->mean->data)[p * io->mean->stride + n] = mean;
    if (io->rstd) ((float *)io->rstd->data)[p * io->rstd->stride + n] = s.rstd;
    const float *gamma = member(io->gamma, p), *beta = member(io->beta, p), *residual = NULL;
    float buffer[PIECE], g[PIECE], b[PIECE], r[PIECE];
    for (int64_t i = 0; i < L; i += PIECE) {
        const int64_t count = least(PIECE, L - i);
        float *z = place(&a->y, buffer, y_at + i);
        if (io->residual)
            residual = dlf_cpu_load(r, io->residual->data, io->residual->dtype,
                                    p * io->residual->stride + n * L + i, count);
        affine(z, x + i, count, s, per_element(g, gamma, 1.0f, &a->s, i, count),
               per_element(b, beta, 0.0f, &a->s, i, count), residual);
        if (a->f.kind != DLF_LINEAR) DLF_CPU(activation_values)(z, z, count, a->f);
        put(&a->y, y_at + i, z, count);
    }
}

dlf_status DLF_CPU(layer_norm_forward)(const dlf_norm_fwd *io, const dlf_norm *norm)
{
    if ((unsigned)norm->version > 1)
        return dlf_fail(DLF_ERR_NO_KERNEL, "layer_norm_forward on cpu has version 1, not %d",
                        norm->version);
    forward a = {.io = io, .eps = norm->eps, .f = norm->activation, .y = output_of(io->y, 1)};
    DLF_TRY(shape_of(&a.s, io->x, norm));
    const int64_t rows = a.s.P * a.s.N;
    atomic_bool failed = false;
#pragma omp parallel num_threads(dlf_cpu_threads(io->x, 4.0 * (double)(rows * a.s.L)))
    {
        float *room = io->x->dtype == DLF_F32 ? NULL : row_room(1, a.s.L);
        const bool ready = room || io->x->dtype == DLF_F32;
        if (!ready) failed = true;
#pragma omp for schedule(static) nowait
        for (int64_t row = 0; row < rows; row++)
            if (ready) forward_row(&a, row / a.s.N, row % a.s.N, room);
        if (a.y.stream) dlf_cpu_stream_end();
        free(room);
    }
    return failed ? no_room("layer_norm_forward") : DLF_OK;
}

/* ---- backward -------------------------------------------------------------------------------- */

typedef struct backward {
    const dlf_norm_bwd *io;
    shape s;
    dlf_activation f;
    output dx, dresidual;
    bool two_rows; /* at a time                                                    */
    bool sums;     /* dgamma or dbeta is wanted                                    */
    int64_t tasks; /* per member                                                   */
    float *part;   /* per task: C sums of dz xhat, then C sums of dz               */
} backward;

/* Tasks per member, by the shape alone: rows enough that the sums of a task cost little beside it.
 */
static int64_t task_count(int64_t N)
{
    const int64_t sixteenth = N / 16, rows = sixteenth < 16    ? 16
                                             : sixteenth > 128 ? 128
                                                               : sixteenth;
    return (N + rows - 1) / rows;
}

typedef struct row_sums {
    double g, g_xhat;
} row_sums;

/* Sums of g and g xhat over a piece of 1 or 2 rows; dgamma and dbeta, if wanted, element by
 * element. Two rows hide each other's latencies and share what is read and written per column. */
static inline __attribute__((always_inline)) void
piece_sums(int rows, row_sums *out, const float *const *x, const float *const *dz, int64_t n,
           const statistic *s, const float *gamma, float *dgamma, float *dbeta)
{
    const lanes zero = {0};
    lanes hi[2], rstd[2], shift[2], sum[2], sum_xhat[2];
    for (int r = 0; r < rows; r++) {
        hi[r] = zero + s[r].hi, rstd[r] = zero + s[r].rstd;
        shift[r] = zero - s[r].lo * s[r].rstd;
        sum[r] = sum_xhat[r] = zero;
    }
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        const lanes scale = *const_lanes_at(gamma + i);
        lanes column = zero, column_xhat = zero;
        if (dgamma) {
            column_xhat = *lanes_at(dgamma + i);
            column = *lanes_at(dbeta + i);
        }
        for (int r = 0; r < rows; r++) {
            const lanes d = *const_lanes_at(dz[r] + i), g = d * scale;
            const lanes above = *const_lanes_at(x[r] + i) - hi[r];
            lanes xhat = shift[r];
            lanes_add_product(&xhat, &above, &rstd[r]);
            sum[r] += g;
            lanes_add_product(&sum_xhat[r], &g, &xhat);
            lanes_add_product(&column_xhat, &d, &xhat);
            column += d;
        }
        if (dgamma) {
            *lanes_at(dgamma + i) = column_xhat;
            *lanes_at(dbeta + i) = column;
        }
    }
    for (int r = 0; r < rows; r++) {
        float tail = 0.0f, tail_xhat = 0.0f;
        for (int64_t k = i; k < n; k++) {
            const float xhat = ((x[r][k] - s[r].hi) - s[r].lo) * s[r].rstd, g = dz[r][k] * gamma[k];
            tail += g;
            tail_xhat += g * xhat;
            if (dgamma) {
                dgamma[k] += dz[r][k] * xhat;
                dbeta[k] += dz[r][k];
            }
        }
        out[r].g = (double)(lanes_total(&sum[r]) + tail);
        out[r].g_xhat = (double)(lanes_total(&sum_xhat[r]) + tail_xhat);
    }
}

/* dx = rstd (g - mean_g - mean_g_xhat xhat) */
static void piece_dx(float *dx, const float *x, const float *dz, int64_t n, statistic s,
                     const float *gamma, float mean_g, float mean_g_xhat)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const float xhat = ((x[i] - s.hi) - s.lo) * s.rstd;
        dx[i] = s.rstd * fmaf(-mean_g_xhat, xhat, dz[i] * gamma[i] - mean_g);
    }
}

/* dz = dy f'(z) of a row into `room`; without an activation dy as floats. */
static const float *row_dz(const backward *a, int64_t p, int64_t n, statistic s, const float *x,
                           float *room)
{
    const dlf_norm_bwd *io = a->io;
    const int64_t L = a->s.L;
    const float *dy =
        dlf_cpu_load(room, io->dy->data, io->dy->dtype, p * io->dy->stride + n * L, L);
    if (a->f.kind == DLF_LINEAR) return dy;
    const float *gamma = member(io->gamma, p), *beta = member(io->beta, p), *residual = NULL;
    float z[PIECE], g[PIECE], b[PIECE], r[PIECE];
    for (int64_t i = 0; i < L; i += PIECE) {
        const int64_t count = least(PIECE, L - i);
        if (io->residual)
            residual = dlf_cpu_load(r, io->residual->data, io->residual->dtype,
                                    p * io->residual->stride + n * L + i, count);
        affine(z, x + i, count, s, per_element(g, gamma, 1.0f, &a->s, i, count),
               per_element(b, beta, 0.0f, &a->s, i, count), residual);
        DLF_CPU(activation_slopes)(room + i, dy + i, z, count, a->f);
    }
    return room;
}

/* Sums of a row; dgamma and dbeta of the task grow by it. */
static row_sums sums_of_row(const backward *a, const float *x, const float *dz, statistic s,
                            const float *gamma, float *part)
{
    const int64_t L = a->s.L, C = a->s.C;
    row_sums all = {0.0, 0.0};
    float g[PIECE], dgamma[PIECE], dbeta[PIECE];
    for (int64_t i = 0; i < L; i += PIECE) {
        const int64_t count = least(PIECE, L - i);
        const float *scale = per_element(g, gamma, 1.0f, &a->s, i, count);
        const bool direct = a->s.S == 1;
        if (part && !direct) {
            memset(dgamma, 0, (size_t)count * sizeof *dgamma);
            memset(dbeta, 0, (size_t)count * sizeof *dbeta);
        }
        float *to_gamma = !part ? NULL : direct ? part + i : dgamma;
        float *to_beta = !part ? NULL : direct ? part + C + i : dbeta;
        row_sums sums;
        const float *const x_i = x + i, *const dz_i = dz + i;
        piece_sums(1, &sums, &x_i, &dz_i, count, &s, scale, to_gamma, to_beta);
        all.g += sums.g;
        all.g_xhat += sums.g_xhat;
        if (part && !direct) {
            fold(part, dgamma, &a->s, i, count);
            fold(part + C, dbeta, &a->s, i, count);
        }
    }
    return all;
}

static inline statistic saved_statistic(const dlf_norm_bwd *io, int64_t p, int64_t n)
{
    const double mean = io->mean ? ((double *)io->mean->data)[p * io->mean->stride + n] : 0.0;
    return statistic_of(mean, member(io->rstd, p)[n]);
}

/* room: a row for x and a row for dz, or NULL where both can be used as they lie. */
static void backward_row(const backward *a, int64_t p, int64_t n, float *room, float *part)
{
    const dlf_norm_bwd *io = a->io;
    const int64_t L = a->s.L;
    const statistic s = saved_statistic(io, p, n);
    const float *x = dlf_cpu_load(room, io->x->data, io->x->dtype, p * io->x->stride + n * L, L);
    const float *dz = row_dz(a, p, n, s, x, room + (room ? L : 0));
    if (io->dresidual) put(&a->dresidual, p * io->dresidual->stride + n * L, dz, L);
    const float *gamma = member(io->gamma, p);
    const row_sums sums = sums_of_row(a, x, dz, s, gamma, part);
    const double each = 1.0 / (double)L;
    const float mean_g = a->s.rms ? 0.0f : (float)(sums.g * each);
    const float mean_g_xhat = (float)(sums.g_xhat * each);
    const int64_t dx_at = p * io->dx->stride + n * L;
    float buffer[PIECE], g[PIECE];
    for (int64_t i = 0; i < L; i += PIECE) {
        const int64_t count = least(PIECE, L - i);
        float *dx = place(&a->dx, buffer, dx_at + i);
        piece_dx(dx, x + i, dz + i, count, s, per_element(g, gamma, 1.0f, &a->s, i, count), mean_g,
                 mean_g_xhat);
        put(&a->dx, dx_at + i, dx, count);
    }
}

/* Rows n and n + 1, short, of floats that can be used as they lie. */
static void backward_two_rows(const backward *a, int64_t p, int64_t n, float *part)
{
    const dlf_norm_bwd *io = a->io;
    const int64_t L = a->s.L, dx_at = p * io->dx->stride + n * L;
    const float *x0 = member(io->x, p) + n * L, *dz0 = member(io->dy, p) + n * L;
    const float *const x[2] = {x0, x0 + L}, *const dz[2] = {dz0, dz0 + L};
    const statistic s[2] = {saved_statistic(io, p, n), saved_statistic(io, p, n + 1)};
    float buffer[PIECE], ones[PIECE];
    const float *gamma = per_element(ones, member(io->gamma, p), 1.0f, &a->s, 0, L);
    row_sums sums[2];
    piece_sums(2, sums, x, dz, L, s, gamma, part, part ? part + L : NULL);
    const double each = 1.0 / (double)L;
    for (int r = 0; r < 2; r++) {
        float *dx = place(&a->dx, buffer, dx_at + r * L);
        piece_dx(dx, x[r], dz[r], L, s[r], gamma, a->s.rms ? 0.0f : (float)(sums[r].g * each),
                 (float)(sums[r].g_xhat * each));
        put(&a->dx, dx_at + r * L, dx, L);
    }
}

static void backward_task(const backward *a, int64_t task, float *room)
{
    const int64_t p = task / a->tasks, k = task % a->tasks,
                  per = (a->s.N + a->tasks - 1) / a->tasks;
    float *part = a->sums ? a->part + task * 2 * a->s.C : NULL;
    if (part) memset(part, 0, 2 * (size_t)a->s.C * sizeof *part);
    const int64_t end = least((k + 1) * per, a->s.N);
    int64_t n = k * per;
    if (a->two_rows)
        for (; n + 2 <= end; n += 2) backward_two_rows(a, p, n, part);
    for (; n < end; n++) backward_row(a, p, n, room, part);
}

/* out[c] = sum over tasks of part[task][c] + accumulate out[c], for a block of columns */
static void add_tasks(float *out, const float *part, int64_t tasks, int64_t pitch, int64_t count,
                      double accumulate)
{
    double sum[PIECE] = {0};
    for (int64_t k = 0; k < tasks; k++) {
#pragma omp simd
        for (int64_t c = 0; c < count; c++) sum[c] += (double)part[k * pitch + c];
    }
    for (int64_t c = 0; c < count; c++)
        out[c] = (float)(accumulate == 0.0 ? sum[c] : sum[c] + accumulate * (double)out[c]);
}

static void finish(const backward *a)
{
    const int64_t C = a->s.C, blocks = (C + PIECE - 1) / PIECE;
    const dlf_norm_bwd *io = a->io;
    const int threads = dlf_cpu_threads(io->dx, 2.0 * (double)(a->s.P * a->tasks * C));
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t i = 0; i < a->s.P * blocks; i++) {
        const int64_t p = i / blocks, c = i % blocks * PIECE, count = least(PIECE, C - c);
        const float *part = a->part + p * a->tasks * 2 * C + c;
        dlf_tensor *const out[] = {io->dgamma, io->dbeta};
        for (int which = 0; which < 2; which++)
            if (out[which])
                add_tasks((float *)out[which]->data + p * out[which]->stride + c, part + which * C,
                          a->tasks, 2 * C, count, io->accumulate);
    }
}

dlf_status DLF_CPU(layer_norm_backward)(const dlf_norm_bwd *io, const dlf_norm *norm)
{
    if ((unsigned)norm->version > 1)
        return dlf_fail(DLF_ERR_NO_KERNEL, "layer_norm_backward on cpu has version 1, not %d",
                        norm->version);
    backward a = {.io = io, .f = norm->activation, .dx = output_of(io->dx, 3)};
    DLF_TRY(shape_of(&a.s, io->x, norm));
    if (io->dresidual) a.dresidual = output_of(io->dresidual, 3);
    a.sums = io->dgamma || io->dbeta;
    a.tasks = task_count(a.s.N);
    if (a.sums) {
        a.part = row_room(a.s.P * a.tasks * 2, a.s.C);
        if (!a.part) return no_room("layer_norm_backward");
    }
    const bool as_it_lies = io->x->dtype == DLF_F32 && a.f.kind == DLF_LINEAR;
    a.two_rows = as_it_lies && !io->dresidual && a.s.S == 1 && a.s.L <= SHORT_ROW;
    atomic_bool failed = false;
#pragma omp parallel num_threads(dlf_cpu_threads(io->x, 8.0 * (double)(a.s.P * a.s.N * a.s.L)))
    {
        float *room = as_it_lies ? NULL : row_room(2, a.s.L);
        const bool ready = as_it_lies || room;
        if (!ready) failed = true;
#pragma omp for schedule(static) nowait
        for (int64_t task = 0; task < a.s.P * a.tasks; task++)
            if (ready) backward_task(&a, task, room);
        if (a.dx.stream) dlf_cpu_stream_end();
        free(room);
    }
    if (a.sums && !failed) finish(&a);
    free(a.part);
    return failed ? no_room("layer_norm_backward") : DLF_OK;
}
