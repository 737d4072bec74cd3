/* SPDX-License-Identifier: MIT
 * pool_cpu.c -- max and average pooling as SIMD loops over channels (NHWC) or columns (NCHW).
 *
 * NCHW goes in two steps: the rows of a window are reduced column by column over the whole width,
 * then neighbouring columns of the result. Padding is a margin of neutral elements around the row
 * between the two, so that neither step asks where it ends. For the place of a maximum, floats
 * become integers of the same order (key_of): NaN is the largest and equal to itself, -0 equals 0.
 *
 * Narrow NCHW images have no rows worth a vector: 16 of them are interleaved in a buffer, which is
 * NHWC with 16 channels.
 *
 * Backward works on blocks of rows of dx, each by one thread, which visits the windows that touch
 * it in row-major order: every dx is a sum in a fixed order. Windows between two blocks are reduced
 * twice. */
#include "cpu.h"
#include "cpu_interleave.h"
#include "pool_shape.h"

enum {
    LANE = 512,        /* channels at a time                          */
    ROW = 4096,        /* columns at a time, with margins: 16 KiB     */
    BLOCK = 8192,      /* elements per task, about                    */
    SIDE = 16,         /* narrow images side by side                  */
    NARROW = 64,       /* columns                                     */
    NARROW_ALL = 4096, /* positions; of all images of a task: 256 KiB */
};

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

typedef struct range {
    int64_t first, end;
} range;

/* Positions of window i along an axis that are not padding. */
static range covered(const dlf_pool_shape *s, int axis, int64_t i)
{
    const int64_t start = i * s->stride[axis] - s->pad[axis];
    return (range){max64(start, 0), min64(start + s->kernel[axis], s->in[axis])};
}

/* Windows that touch positions first .. end - 1. */
static range touching(const dlf_pool_shape *s, int axis, int64_t first, int64_t end)
{
    const int64_t before = first + s->pad[axis] - s->kernel[axis];
    const int64_t last = (end - 1 + s->pad[axis]) / s->stride[axis];
    return (range){before < 0 ? 0 : before / s->stride[axis] + 1, min64(last + 1, s->out[axis])};
}

static float divisor(const dlf_pool_shape *s, range h, range w)
{
    return s->count_pad ? (float)s->kernel[0] * (float)s->kernel[1]
                        : (float)(h.end - h.first) * (float)(w.end - w.first);
}

static const float *image(const dlf_tensor *t, int64_t p, int64_t o, int64_t size)
{
    return (const float *)t->data + p * t->stride + o * size;
}

/* ---- one row and another --------------------------------------------------------------------- */

/* The larger; a NaN stays. */
static inline float max_nan(float best, float v)
{
    return (best >= v) | (best != best) ? best : v;
}

static void max_into(float *restrict best, const float *restrict v, int64_t n)
{
#pragma omp simd
    for (int64_t k = 0; k < n; k++) best[k] = max_nan(best[k], v[k]);
}

static void add_into(float *restrict sum, const float *restrict v, int64_t n)
{
#pragma omp simd
    for (int64_t k = 0; k < n; k++) sum[k] += v[k];
}

static inline int32_t key_of(float v)
{
    int32_t bits;
    const float no_minus_zero = v + 0.0f;
    memcpy(&bits, &no_minus_zero, sizeof bits);
    return v != v ? INT32_MAX : bits ^ ((bits >> 31) & INT32_MAX);
}

/* Keys so far and the number `u` of the row they are from; of equals the first stays. */
static void argmax_into(int32_t *restrict best, int32_t *restrict at, const float *restrict v,
                        int32_t u, int64_t n)
{
#pragma omp simd
    for (int64_t k = 0; k < n; k++) {
        const int32_t key = key_of(v[k]);
        at[k] = key > best[k] ? u : at[k];
        best[k] = key > best[k] ? key : best[k];
    }
}

static void argmax_begin(int32_t *restrict best, int32_t *restrict at, const float *restrict v,
                         int32_t u, int64_t n)
{
#pragma omp simd
    for (int64_t k = 0; k < n; k++) {
        best[k] = key_of(v[k]);
        at[k] = u;
    }
}

/* ---- NHWC --------------------------------------------------------------------------------------
 */

/* y of window row i, channels c .. c + n. Inlined where n is known. */
static inline __attribute__((always_inline)) void forward_channels(const dlf_pool_shape *s,
                                                                   bool max, float *y,
                                                                   const float *x, int64_t i,
                                                                   int64_t c, int64_t n)
{
    const range h = covered(s, DLF_VERTICAL, i);
    for (int64_t j = 0; j < s->out[1]; j++) {
        const range w = covered(s, DLF_HORIZONTAL, j);
        float *to = y + (i * s->out[1] + j) * s->inner + c;
        float sum[LANE];
        for (int64_t a = h.first; a < h.end; a++)
            for (int64_t b = w.first; b < w.end; b++) {
                const float *v = x + (a * s->in[1] + b) * s->inner + c;
                if (a == h.first && b == w.first)
                    memcpy(sum, v, (size_t)n * sizeof *v);
                else if (max)
                    max_into(sum, v, n);
                else
                    add_into(sum, v, n);
            }
        const float d = max ? 1.0f : divisor(s, h, w);
#pragma omp simd
        for (int64_t k = 0; k < n; k++) to[k] = sum[k] / d;
    }
}

/* dx of rows first .. end - 1, channels c .. c + n. x: for max, else NULL. */
static inline __attribute__((always_inline)) void backward_channels(const dlf_pool_shape *s,
                                                                    float *dx, const float *dy,
                                                                    const float *x, range rows,
                                                                    int64_t c, int64_t n)
{
    int32_t best[LANE], at[LANE];
    for (int64_t h = rows.first; h < rows.end; h++)
        for (int64_t w = 0; w < s->in[1]; w++)
            memset(dx + (h * s->in[1] + w) * s->inner + c, 0, (size_t)n * sizeof *dx);
    const range is = touching(s, DLF_VERTICAL, rows.first, rows.end);
    for (int64_t i = is.first; i < is.end; i++)
        for (int64_t j = 0; j < s->out[1]; j++) {
            const range h = covered(s, DLF_VERTICAL, i), w = covered(s, DLF_HORIZONTAL, j);
            const float *g = dy + (i * s->out[1] + j) * s->inner + c;
            int32_t u = 0;
            for (int64_t a = h.first; x && a < h.end; a++)
                for (int64_t b = w.first; b < w.end; b++, u++) {
                    const float *v = x + (a * s->in[1] + b) * s->inner + c;
                    if (u == 0)
                        argmax_begin(best, at, v, u, n);
                    else
                        argmax_into(best, at, v, u, n);
                }
            const float d = divisor(s, h, w);
            for (int64_t a = max64(h.first, rows.first); a < min64(h.end, rows.end); a++)
                for (int64_t b = w.first; b < w.end; b++) {
                    float *to = dx + (a * s->in[1] + b) * s->inner + c;
                    u = (int32_t)((a - h.first) * (w.end - w.first) + (b - w.first));
                    if (x) {
#pragma omp simd
                        for (int64_t k = 0; k < n; k++) to[k] = at[k] == u ? to[k] + g[k] : to[k];
                    } else {
#pragma omp simd
                        for (int64_t k = 0; k < n; k++) to[k] += g[k] / d;
                    }
                }
        }
}

/* ---- NCHW, narrow ------------------------------------------------------------------------------
 */

static bool narrow(const dlf_pool_shape *s)
{
    return s->inner == 1 && !s->whole && s->in[1] < NARROW && s->out[1] <= NARROW &&
           (int64_t)s->in[0] * s->in[1] <= NARROW_ALL &&
           (int64_t)s->out[0] * s->out[1] <= NARROW_ALL;
}

/* to[i][k] = from[k][i] for k < count images of n positions; the rest of the SIDE is 0. */
static void interleave(float *to, const float *from, int64_t n, int64_t count)
{
    for (int64_t k = 0; k < SIDE; k += VEC) {
        const float *image_at[VEC];
        for (int64_t i = 0; i < VEC; i++) image_at[i] = k + i < count ? from + (k + i) * n : NULL;
        if (k + VEC <= count)
            spread(to + k, SIDE, image_at, 0, n, true);
        else
            spread(to + k, SIDE, image_at, 0, n, false);
    }
}

static void separate(float *to, const float *from, int64_t n, int64_t count)
{
    for (int64_t k = 0; k < count; k += VEC) {
        float *image_at[VEC];
        for (int64_t i = 0; i < VEC; i++) image_at[i] = k + i < count ? to + (k + i) * n : NULL;
        if (k + VEC <= count)
            collect(image_at, 0, from + k, SIDE, n, 0.0f, true);
        else
            collect(image_at, 0, from + k, SIDE, n, 0.0f, false);
    }
}

static void forward_narrow(const dlf_pool_shape *s, bool max, float *y, const float *x,
                           int64_t count)
{
    const int64_t in = s->in[0] * s->in[1], out = s->out[0] * s->out[1];
    dlf_pool_shape side = *s;
    side.inner = SIDE;
    _Alignas(64) float x_side[NARROW_ALL * SIDE], y_side[NARROW_ALL * SIDE];
    interleave(x_side, x, in, count);
    for (int64_t i = 0; i < s->out[0]; i++)
        forward_channels(&side, max, y_side, x_side, i, 0, SIDE);
    separate(y, y_side, out, count);
}

static void backward_narrow(const dlf_pool_shape *s, float *dx, const float *dy, const float *x,
                            int64_t count)
{
    const int64_t in = s->in[0] * s->in[1], out = s->out[0] * s->out[1];
    dlf_pool_shape side = *s;
    side.inner = SIDE;
    _Alignas(64) float x_side[NARROW_ALL * SIDE], dx_side[NARROW_ALL * SIDE],
        dy_side[NARROW_ALL * SIDE];
    if (x) interleave(x_side, x, in, count);
    interleave(dy_side, dy, out, count);
    backward_channels(&side, dx_side, dy_side, x ? x_side : NULL, (range){0, s->in[0]}, 0, SIDE);
    separate(dx, dx_side, in, count);
}

/* ---- NCHW --------------------------------------------------------------------------------------
 */

/* Output columns first .. end - 1 see extended columns 0 .. width - 1, that is columns from
 * `start` on, of which those outside the image are margin. */
typedef struct strip {
    range out;
    int64_t start, width;
    range real; /* extended columns that exist */
} strip;

/* 0: a window is wider than a buffer. Whole SIMD vectors if there is room for one. */
static int64_t outputs_per_strip(const dlf_pool_shape *s)
{
    const int64_t fit = s->kernel[1] > ROW ? 0 : (ROW - s->kernel[1]) / s->stride[1] + 1;
    return fit < 16 ? fit : fit / 16 * 16;
}

static strip strip_of(const dlf_pool_shape *s, int64_t j, int64_t outputs)
{
    strip r;
    r.out = (range){j, min64(j + outputs, s->out[1])};
    r.start = j * s->stride[1] - s->pad[1];
    r.width = (r.out.end - 1 - j) * s->stride[1] + s->kernel[1];
    r.real = (range){max64(-r.start, 0), min64(s->in[1] - r.start, r.width)};
    return r;
}

/* out[j] = max or sum of v[j stride .. + kernel - 1], j < n */
#define ACROSS(name, stride, combine)                                                              \
    static void name(float *restrict out, const float *restrict v, int64_t n, int64_t kernel,      \
                     int64_t any_stride)                                                           \
    {                                                                                              \
        (void)any_stride;                                                                          \
        for (int64_t j = 0; j < n; j++) out[j] = v[j * (stride)];                                  \
        for (int64_t b = 1; b < kernel; b++) _Pragma("omp simd") for (int64_t j = 0; j < n; j++)   \
            {                                                                                      \
                const float a = out[j], c = v[j * (stride) + b];                                   \
                out[j] = combine;                                                                  \
            }                                                                                      \
    }

ACROSS(max_across_1, 1, max_nan(a, c))
ACROSS(max_across_2, 2, max_nan(a, c))
ACROSS(max_across, any_stride, max_nan(a, c))
ACROSS(sum_across_1, 1, a + c)
ACROSS(sum_across_2, 2, a + c)
ACROSS(sum_across, any_stride, a + c)

static void forward_row(const dlf_pool_shape *s, bool max, float *y, const float *x, int64_t i)
{
    const range h = covered(s, DLF_VERTICAL, i);
    const int64_t outputs = outputs_per_strip(s);
    const float neutral = max ? -INFINITY : 0.0f;
    float v[ROW];
    for (int64_t j = 0; j < s->out[1]; j += outputs) {
        const strip t = strip_of(s, j, outputs);
        const int64_t n = t.real.end - t.real.first;
        for (int64_t k = 0; k < t.real.first; k++) v[k] = neutral;
        for (int64_t k = t.real.end; k < t.width; k++) v[k] = neutral;
        for (int64_t a = h.first; a < h.end; a++) {
            const float *row = x + a * s->in[1] + t.start + t.real.first;
            if (a == h.first)
                memcpy(v + t.real.first, row, (size_t)n * sizeof *v);
            else if (max)
                max_into(v + t.real.first, row, n);
            else
                add_into(v + t.real.first, row, n);
        }
        float *out = y + i * s->out[1] + j;
        const int64_t count = t.out.end - j;
        const bool one = s->stride[1] == 1, two = s->stride[1] == 2;
        if (max)
            (one   ? max_across_1
             : two ? max_across_2
                   : max_across)(out, v, count, s->kernel[1], s->stride[1]);
        else
            (one   ? sum_across_1
             : two ? sum_across_2
                   : sum_across)(out, v, count, s->kernel[1], s->stride[1]);
        for (int64_t k = 0; !max && k < count; k++)
            out[k] /= divisor(s, h, covered(s, DLF_HORIZONTAL, j + k));
    }
}

/* Where in row-major order the first maximum of each window is: keys and rows of columns in, row
 * and column (of the window) out. */
#define ARGMAX_ACROSS(name, stride)                                                                \
    static void name(int32_t *restrict row, int32_t *restrict column, const int32_t *restrict key, \
                     const int32_t *restrict at, int64_t n, int64_t kernel, int64_t any_stride)    \
    {                                                                                              \
        (void)any_stride;                                                                          \
        int32_t best[ROW];                                                                         \
        _Pragma("omp simd") for (int64_t j = 0; j < n; j++)                                        \
        {                                                                                          \
            best[j] = key[j * (stride)];                                                           \
            row[j] = at[j * (stride)];                                                             \
            column[j] = 0;                                                                         \
        }                                                                                          \
        for (int64_t b = 1; b < kernel; b++) _Pragma("omp simd") for (int64_t j = 0; j < n; j++)   \
            {                                                                                      \
                const int32_t k = key[j * (stride) + b], a = at[j * (stride) + b];                 \
                const bool better = (k > best[j]) | ((k == best[j]) & (a < row[j]));               \
                best[j] = better ? k : best[j];                                                    \
                row[j] = better ? a : row[j];                                                      \
                column[j] = better ? (int32_t)b : column[j];                                       \
            }                                                                                      \
    }

ARGMAX_ACROSS(argmax_across_2, 2)
ARGMAX_ACROSS(argmax_across, any_stride)

/* dx of rows first .. end - 1 of a plane, which window row i touches: add its part. */
static void backward_max_row(const dlf_pool_shape *s, float *dx, const float *dy, const float *x,
                             int64_t i, range rows)
{
    const range h = covered(s, DLF_VERTICAL, i);
    const int64_t outputs = outputs_per_strip(s);
    int32_t key[ROW], at[ROW], row[ROW], column[ROW];
    for (int64_t j = 0; j < s->out[1]; j += outputs) {
        const strip t = strip_of(s, j, outputs);
        const int64_t n = t.real.end - t.real.first, count = t.out.end - j;
        /* Whole vectors: what follows the last output is computed too, from margin. */
        const int64_t padded = outputs < 16 ? count : (count + 15) / 16 * 16;
        const int64_t reach = (padded - 1) * s->stride[1] + s->kernel[1];
        for (int64_t k = 0; k < t.real.first; k++) key[k] = INT32_MIN, at[k] = INT32_MAX;
        for (int64_t k = t.real.end; k < reach; k++) key[k] = INT32_MIN, at[k] = INT32_MAX;
        for (int64_t a = h.first; a < h.end; a++) {
            const float *v = x + a * s->in[1] + t.start + t.real.first;
            if (a == h.first)
                argmax_begin(key + t.real.first, at + t.real.first, v, (int32_t)a, n);
            else
                argmax_into(key + t.real.first, at + t.real.first, v, (int32_t)a, n);
        }
        if (s->stride[1] == 2)
            argmax_across_2(row, column, key, at, padded, s->kernel[1], 2);
        else
            argmax_across(row, column, key, at, padded, s->kernel[1], s->stride[1]);
        const float *g = dy + i * s->out[1] + j;
        for (int64_t k = 0; k < count; k++)
            if (row[k] >= rows.first && row[k] < rows.end)
                dx[row[k] * s->in[1] + t.start + k * s->stride[1] + column[k]] += g[k];
    }
}

static void backward_average_row(const dlf_pool_shape *s, float *dx, const float *dy, int64_t i,
                                 range rows)
{
    const range h = covered(s, DLF_VERTICAL, i);
    for (int64_t a = max64(h.first, rows.first); a < min64(h.end, rows.end); a++)
        for (int64_t j = 0; j < s->out[1]; j++) {
            const range w = covered(s, DLF_HORIZONTAL, j);
            const float g = dy[i * s->out[1] + j] / divisor(s, h, w);
            for (int64_t b = w.first; b < w.end; b++) dx[a * s->in[1] + b] += g;
        }
}

/* ---- one window over a plane ------------------------------------------------------------------
 */

/* Floats in lanes for 1024 elements, then double: the error stays below 1e-6 of the mean |x|. */
static float mean_of(const float *x, int64_t n)
{
    double total = 0.0;
    for (int64_t k = 0; k < n; k += 1024) {
        const int64_t count = min64(n - k, 1024);
        float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < count; i++) sum += x[k + i];
        total += (double)sum;
    }
    return (float)(total / (double)n);
}

static int64_t argmax_of(const float *x, int64_t n)
{
    int32_t best = INT32_MIN;
#pragma omp simd reduction(max : best)
    for (int64_t k = 0; k < n; k++) {
        const int32_t key = key_of(x[k]);
        best = key > best ? key : best;
    }
    int64_t at = 0;
    while (key_of(x[at]) != best) at++;
    return at;
}

static void backward_whole(float *dx, float dy, const float *x, int64_t n)
{
    const float share = x ? 0.0f : dy / (float)n;
    for (int64_t k = 0; k < n; k++) dx[k] = share;
    if (x) dx[argmax_of(x, n)] += dy;
}

/* ---- tasks -------------------------------------------------------------------------------------
 */

/* Images of one channel go together as far as they fit a task. */
static int64_t images_per_task(const dlf_pool_shape *s)
{
    if (s->inner > 1) return 1;
    if (narrow(s)) return SIDE;
    return max64(1, min64(BLOCK / ((int64_t)s->in[0] * s->in[1]), s->outer));
}

static int threads_for(const dlf_pool_shape *s, const dlf_tensor *x, double per_element)
{
    return dlf_cpu_threads(x, per_element * (double)(s->P * s->outer) *
                                  (double)((int64_t)s->in[0] * s->in[1] * s->inner));
}

dlf_status DLF_CPU(pool_forward)(dlf_tensor *y, const dlf_tensor *x, dlf_pool pool)
{
    const dlf_pool_shape s = dlf_pool_shape_of(x, y, &pool);
    const bool max = pool.kind == DLF_POOL_MAX, columns = s.inner == 1 && outputs_per_strip(&s) > 0;
    const int64_t in = (int64_t)s.in[0] * s.in[1] * s.inner;
    const int64_t out = (int64_t)s.out[0] * s.out[1] * s.inner;
    /* a task: some images, or a row of windows of one image for some channels */
    const int64_t lanes = (s.inner + LANE - 1) / LANE;
    const int64_t group = images_per_task(&s);
    const int64_t groups = (s.outer + group - 1) / group;
    const int64_t bands = group == 1 ? s.out[0] : 1;
    const int threads = threads_for(&s, x, 0.5);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t task = 0; task < s.P * groups * bands * lanes; task++) {
        const int64_t lane = task % lanes, band = task / lanes % bands;
        const int64_t o = task / (lanes * bands) % groups * group,
                      p = task / (lanes * bands * groups);
        if (narrow(&s)) {
            forward_narrow(&s, max, (float *)y->data + p * y->stride + o * out, image(x, p, o, in),
                           min64(group, s.outer - o));
            continue;
        }
        const range is = bands == 1 ? (range){0, s.out[0]} : (range){band, band + 1};
        for (int64_t k = o; k < min64(o + group, s.outer); k++) {
            float *to = (float *)y->data + p * y->stride + k * out;
            const float *from = image(x, p, k, in);
            if (s.whole && s.inner == 1) {
                *to = max ? from[argmax_of(from, in)] : mean_of(from, in);
                continue;
            }
            for (int64_t i = is.first; i < is.end; i++)
                if (columns)
                    forward_row(&s, max, to, from, i);
                else
                    forward_channels(&s, max, to, from, i, lane * LANE,
                                     min64(s.inner - lane * LANE, LANE));
        }
    }
    return DLF_OK;
}

dlf_status DLF_CPU(pool_backward)(dlf_tensor *dx, const dlf_tensor *dy, const dlf_tensor *x,
                                  dlf_pool pool)
{
    const dlf_pool_shape s = dlf_pool_shape_of(dx, dy, &pool);
    const bool max = pool.kind == DLF_POOL_MAX, columns = s.inner == 1 && outputs_per_strip(&s) > 0;
    const int64_t in = (int64_t)s.in[0] * s.in[1] * s.inner;
    const int64_t out = (int64_t)s.out[0] * s.out[1] * s.inner;
    const int64_t lanes = (s.inner + LANE - 1) / LANE;
    const int64_t group = images_per_task(&s);
    const int64_t groups = (s.outer + group - 1) / group;
    const int64_t row = s.in[1] * min64(s.inner, LANE);
    const int64_t height = group > 1 ? s.in[0] : max64(1, min64(BLOCK / row, s.in[0]));
    const int64_t bands = (s.in[0] + height - 1) / height;
    const int threads = threads_for(&s, dx, max ? 2.0 : 0.5);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t task = 0; task < s.P * groups * bands * lanes; task++) {
        const int64_t lane = task % lanes, h = task / lanes % bands * height;
        const int64_t o = task / (lanes * bands) % groups * group,
                      p = task / (lanes * bands * groups);
        const range rows = {h, min64(h + height, s.in[0])};
        if (narrow(&s)) {
            backward_narrow(&s, (float *)dx->data + p * dx->stride + o * in, image(dy, p, o, out),
                            max ? image(x, p, o, in) : NULL, min64(group, s.outer - o));
            continue;
        }
        for (int64_t k = o; k < min64(o + group, s.outer); k++) {
            float *to = (float *)dx->data + p * dx->stride + k * in;
            const float *g = image(dy, p, k, out), *from = max ? image(x, p, k, in) : NULL;
            if (s.whole && s.inner == 1) {
                backward_whole(to, *g, from, in);
                continue;
            }
            if (!columns) {
                backward_channels(&s, to, g, from, rows, lane * LANE,
                                  min64(s.inner - lane * LANE, LANE));
                continue;
            }
            memset(to + rows.first * s.in[1], 0,
                   (size_t)((rows.end - rows.first) * s.in[1]) * sizeof *to);
            const range is = touching(&s, DLF_VERTICAL, rows.first, rows.end);
            for (int64_t i = is.first; i < is.end; i++)
                if (max)
                    backward_max_row(&s, to, g, from, i, rows);
                else
                    backward_average_row(&s, to, g, i, rows);
        }
    }
    return DLF_OK;
}
