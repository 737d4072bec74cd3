/* SPDX-License-Identifier: MIT
 * conv_cpu.c -- convolution as loops over rows of the image (NCHW) or over channels (NHWC).
 *
 * Every result is written by one thread, which adds its products in the order of the loops. */
#include "conv_shape.h"
#include "cpu.h"

typedef struct range {
    int64_t first, end;
} range;

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Outputs along an axis that tap `t` of the kernel finds inside the image. */
static range reading(const dlf_conv_shape *s, int axis, int64_t t)
{
    const int64_t start = t * s->dilation[axis] - s->pad[axis], stride = s->stride[axis];
    const int64_t last = s->in[axis] - 1 - start; /* of i stride */
    const int64_t first = start < 0 ? (-start + stride - 1) / stride : 0;
    return (range){first, last < 0 ? first : least(last / stride + 1, s->out[axis])};
}

/* What a task works on. */
typedef struct operands {
    dlf_conv_shape s;
    float *y, *x, *w; /* of one member */
    double beta;
} operands;

static double work_of(const dlf_conv_shape *s)
{
    return (double)s->P * (double)s->N * s->groups * s->K * s->out[0] * s->out[1] * s->C *
           s->kernel[0] * s->kernel[1];
}

static void scale(float *to, int64_t n, double beta)
{
    const float b = (float)beta;
    for (int64_t i = 0; i < n; i++) to[i] = b == 0.0f ? 0.0f : b * to[i];
}

/* ---- a row of outputs, or the channels of one ---- */

/* y[i step_y] += a x[i step_x] */
static void add_multiple(float *restrict y, int64_t step_y, const float *restrict x, int64_t step_x,
                         float a, int64_t n)
{
    if (step_x == 1 && step_y == 1) {
#pragma omp simd
        for (int64_t i = 0; i < n; i++) y[i] += a * x[i];
    } else {
        for (int64_t i = 0; i < n; i++) y[i * step_y] += a * x[i * step_x];
    }
}

static float dot(const float *restrict x, int64_t step_x, const float *restrict y, int64_t step_y,
                 int64_t n)
{
    float sum = 0.0f;
    if (step_x == 1 && step_y == 1) {
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < n; i++) sum += x[i] * y[i];
    } else {
        for (int64_t i = 0; i < n; i++) sum += x[i * step_x] * y[i * step_y];
    }
    return sum;
}

/* ---- NCHW: a tap of the kernel at a time, over the rows of an image ---- */

typedef enum direction { FORWARD, DATA, WEIGHT } direction;

/* Output channel k and input channel c of group g, sample n. WEIGHT: adds to w; DATA: to x. */
static void plane(const operands *o, int64_t g, int64_t n, int64_t k, int64_t c, direction d)
{
    const dlf_conv_shape *s = &o->s;
    float *y = o->y + n * s->y.sample + (g * s->K + k) * s->y.channel;
    float *x = o->x + n * s->x.sample + (g * s->C + c) * s->x.channel;
    float *w = o->w + (g * s->K + k) * s->w.unit + c * s->w.channel;
    for (int64_t r = 0; r < s->kernel[0]; r++)
        for (int64_t t = 0; t < s->kernel[1]; t++) {
            const range is = reading(s, 0, r), js = reading(s, 1, t);
            const int64_t count = js.end - js.first;
            const int64_t v = js.first * s->stride[1] - s->pad[1] + t * s->dilation[1];
            float *tap = w + r * s->w.tap[0] + t * s->w.tap[1], sum = 0.0f;
            for (int64_t i = is.first; i < is.end && count > 0; i++) {
                const int64_t h = i * s->stride[0] - s->pad[0] + r * s->dilation[0];
                float *row_y = y + i * s->y.at[0] + js.first, *row_x = x + h * s->x.at[0] + v;
                if (d == FORWARD)
                    add_multiple(row_y, 1, row_x, s->stride[1], *tap, count);
                else if (d == DATA)
                    add_multiple(row_x, s->stride[1], row_y, 1, *tap, count);
                else
                    sum += dot(row_y, 1, row_x, s->stride[1], count);
            }
            if (d == WEIGHT) *tap += sum;
        }
}

/* ---- NHWC: an output position and a tap at a time, over the channels ---- */

static void position(const operands *o, int64_t g, int64_t n, int64_t k, int64_t i, int64_t j,
                     direction d)
{
    const dlf_conv_shape *s = &o->s;
    float *y = o->y + n * s->y.sample + i * s->y.at[0] + j * s->y.at[1] + g * s->K + k;
    for (int64_t r = 0; r < s->kernel[0]; r++)
        for (int64_t t = 0; t < s->kernel[1]; t++) {
            const int64_t h = i * s->stride[0] - s->pad[0] + r * s->dilation[0];
            const int64_t v = j * s->stride[1] - s->pad[1] + t * s->dilation[1];
            if (h < 0 || h >= s->in[0] || v < 0 || v >= s->in[1]) continue;
            float *x = o->x + n * s->x.sample + h * s->x.at[0] + v * s->x.at[1] + g * s->C;
            float *w = o->w + (g * s->K + k) * s->w.unit + r * s->w.tap[0] + t * s->w.tap[1];
            if (d == FORWARD)
                *y += dot(x, 1, w, 1, s->C);
            else if (d == DATA)
                add_multiple(x, 1, w, 1, *y, s->C);
            else
                add_multiple(w, 1, x, 1, *y, s->C);
        }
}

static void channel(const operands *o, int64_t g, int64_t n, int64_t k, direction d)
{
    if (o->s.nchw) {
        for (int64_t c = 0; c < o->s.C; c++) plane(o, g, n, k, c, d);
        return;
    }
    for (int64_t i = 0; i < o->s.out[0]; i++)
        for (int64_t j = 0; j < o->s.out[1]; j++) position(o, g, n, k, i, j, d);
}

static operands operands_of(const dlf_conv_shape *s, int64_t p, const dlf_tensor *y,
                            const dlf_tensor *x, const dlf_tensor *w, double beta)
{
    return (operands){*s, (float *)y->data + p * s->y.member, (float *)x->data + p * s->x.member,
                      (float *)w->data + p * s->w.member, beta};
}

dlf_status DLF_CPU(conv_forward)(dlf_tensor *y, const dlf_tensor *x, const dlf_tensor *w,
                                 const dlf_tensor *bias, dlf_conv conv)
{
    const dlf_conv_shape s = dlf_conv_shape_of(y, x, w, y, &conv);
    const int64_t tasks = s.P * s.N;
    const int threads = dlf_cpu_threads(y, work_of(&s));
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads) if (threads > 1)
    for (int64_t task = 0; task < tasks; task++) {
        const int64_t p = task / s.N, n = task % s.N;
        const operands o = operands_of(&s, p, y, x, w, 0.0);
        for (int64_t k = 0; k < s.groups * s.K; k++) {
            const float b = bias ? ((const float *)bias->data)[p * bias->stride + k] : 0.0f;
            float *to = o.y + n * s.y.sample + k * s.y.channel;
            for (int64_t i = 0; i < (int64_t)s.out[0] * s.out[1]; i++) to[i * s.y.at[1]] = b;
            channel(&o, k / s.K, n, k % s.K, FORWARD);
        }
    }
    return DLF_OK;
}

dlf_status DLF_CPU(conv_data_grad)(dlf_tensor *dx, const dlf_tensor *dy, const dlf_tensor *w,
                                   dlf_conv conv, double beta)
{
    const dlf_conv_shape s = dlf_conv_shape_of(dy, dx, w, dx, &conv);
    const int64_t tasks = s.P * s.N;
    const int threads = dlf_cpu_threads(dx, work_of(&s));
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads) if (threads > 1)
    for (int64_t task = 0; task < tasks; task++) {
        const int64_t n = task % s.N;
        const operands o = operands_of(&s, task / s.N, dy, dx, w, beta);
        scale(o.x + n * s.x.sample, s.x.sample, beta);
        for (int64_t k = 0; k < s.groups * s.K; k++) channel(&o, k / s.K, n, k % s.K, DATA);
    }
    return DLF_OK;
}

dlf_status DLF_CPU(conv_weight_grad)(dlf_tensor *dw, const dlf_tensor *x, const dlf_tensor *dy,
                                     dlf_conv conv, double beta)
{
    const dlf_conv_shape s = dlf_conv_shape_of(dy, x, dw, dw, &conv);
    const int64_t units = (int64_t)s.groups * s.K;
    const int threads = dlf_cpu_threads(dw, work_of(&s));
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads) if (threads > 1)
    for (int64_t task = 0; task < s.P * units; task++) {
        const int64_t k = task % units;
        const operands o = operands_of(&s, task / units, dy, x, dw, beta);
        scale(o.w + k * s.w.unit, s.w.unit, beta);
        for (int64_t n = 0; n < s.N; n++) channel(&o, k / s.K, n, k % s.K, WEIGHT);
    }
    return DLF_OK;
}

/* DLF_NCHW; the other layout is bias_grad. */
dlf_status DLF_CPU(conv_bias_grad)(dlf_tensor *dbias, const dlf_tensor *dy, double beta)
{
    const int64_t P = dy->shape[0], N = dy->shape[1], K = dy->shape[2];
    const int64_t positions = dy->shape[3] * dy->shape[4];
    const int threads = dlf_cpu_threads(dbias, (double)dlf_tensor_count(dy));
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t task = 0; task < P * K; task++) {
        const int64_t p = task / K, k = task % K;
        double sum = 0.0;
        for (int64_t n = 0; n < N; n++) {
            const float *from = (const float *)dy->data + p * dy->stride + (n * K + k) * positions;
            float part = 0.0f;
#pragma omp simd reduction(+ : part)
            for (int64_t i = 0; i < positions; i++) part += from[i];
            sum += (double)part;
        }
        float *to = (float *)dbias->data + p * dbias->stride + k;
        *to = (float)(beta == 0.0 ? sum : sum + beta * (double)*to);
    }
    return DLF_OK;
}
