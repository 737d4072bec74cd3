/* SPDX-License-Identifier: MIT
 * cpu_conv_depthwise.h -- one input channel for each output channel: rows of an image (NCHW), or
 * channels side by side (NHWC), times one weight after another. */
#ifndef DLF_CPU_CONV_DEPTHWISE_H
#define DLF_CPU_CONV_DEPTHWISE_H
#include <stdlib.h>

#include "conv_shape.h"
#include "cpu.h"
#include "cpu_block.h"

static bool is_depthwise(const dlf_conv_shape *s)
{
    return s->C == 1 && (s->nchw || s->K == 1) && s->groups > 1;
}

/* Outputs first .. end-1 along an axis are those that tap `t` of the kernel finds inside. */
typedef struct range {
    int64_t first, end;
} range;

static range reading(const dlf_conv_shape *s, int axis, int64_t t)
{
    const int64_t start = t * s->dilation[axis] - s->pad[axis], stride = s->stride[axis];
    const int64_t last = s->in[axis] - 1 - start; /* of i stride */
    const int64_t first = start < 0 ? (-start + stride - 1) / stride : 0;
    return (range){first, last < 0 ? first : least(last / stride + 1, s->out[axis])};
}

typedef enum direction { FORWARD, DATA, WEIGHT } direction;

/* y[i] += a x[i step], or the other way round. */
static inline void add_multiple(float *restrict y, int64_t step_y, const float *restrict x,
                                int64_t step_x, float a, int64_t n)
{
    if (step_x != 1 || step_y != 1) {
        for (int64_t i = 0; i < n; i++) y[i * step_y] += a * x[i * step_x];
        return;
    }
    const vec all = vec_all(a), none = vec_all(0.0f);
    int64_t i = 0;
    for (; i + VEC <= n; i += VEC) vec_store(y + i, vec_fma(all, vec_load(x + i), vec_load(y + i)));
    if (i < n)
        vec_store_some(
            y + i, n - i,
            vec_fma(all, vec_load_some(x + i, n - i, none), vec_load_some(y + i, n - i, none)));
}

/* Products of two rows, added lane by lane. */
static inline vec add_products(vec sum, const float *y, const float *x, int64_t n)
{
    const vec none = vec_all(0.0f);
    int64_t i = 0;
    for (; i + VEC <= n; i += VEC) sum = vec_fma(vec_load(y + i), vec_load(x + i), sum);
    if (i < n)
        sum = vec_fma(vec_load_some(y + i, n - i, none), vec_load_some(x + i, n - i, none), sum);
    return sum;
}

static inline float dot(const float *y, const float *x, int64_t step, int64_t n)
{
    float sum = 0.0f;
    for (int64_t i = 0; i < n; i++) sum += y[i] * x[i * step];
    return sum;
}

/* NCHW: one output and its input channel of one sample, one tap of the kernel after another. */
static void plane(const dlf_conv_shape *s, float *y, float *x, float *w, direction d)
{
    for (int64_t r = 0; r < s->kernel[0]; r++)
        for (int64_t t = 0; t < s->kernel[1]; t++, w++) {
            const range is = reading(s, 0, r), js = reading(s, 1, t);
            const int64_t count = js.end - js.first;
            float sum = 0.0f;
            vec sums = vec_all(0.0f);
            for (int64_t i = is.first; i < is.end && count > 0; i++) {
                const int64_t h = i * s->stride[0] - s->pad[0] + r * s->dilation[0];
                const int64_t v = js.first * s->stride[1] - s->pad[1] + t * s->dilation[1];
                float *row_y = y + i * s->out[1] + js.first, *row_x = x + h * s->in[1] + v;
                if (d == FORWARD)
                    add_multiple(row_y, 1, row_x, s->stride[1], *w, count);
                else if (d == DATA)
                    add_multiple(row_x, s->stride[1], row_y, 1, *w, count);
                else if (s->stride[1] == 1)
                    sums = add_products(sums, row_y, row_x, count);
                else
                    sum += dot(row_y, row_x, s->stride[1], count);
            }
            if (d == WEIGHT) *w += sum + vec_sum(sums);
        }
}

/* NHWC: channels first .. first+n-1 of one sample. w: [tap][channel]. */
static void channels_side_by_side(const dlf_conv_shape *s, float *y, float *x, float *w,
                                  int64_t first, int64_t n, direction d)
{
    for (int64_t i = 0; i < s->out[0]; i++)
        for (int64_t j = 0; j < s->out[1]; j++) {
            float *tap = w + first, *at = y + i * s->y.at[0] + j * s->y.at[1] + first;
            for (int64_t r = 0; r < s->kernel[0]; r++)
                for (int64_t t = 0; t < s->kernel[1]; t++, tap += s->groups) {
                    const int64_t h = i * s->stride[0] - s->pad[0] + r * s->dilation[0];
                    const int64_t v = j * s->stride[1] - s->pad[1] + t * s->dilation[1];
                    if (h < 0 || h >= s->in[0] || v < 0 || v >= s->in[1]) continue;
                    float *from = x + h * s->x.at[0] + v * s->x.at[1] + first;
                    float *restrict to = d == FORWARD ? at : d == DATA ? from : tap;
                    const float *restrict a = d == FORWARD ? from : at;
                    const float *restrict b = d == WEIGHT ? from : tap;
#pragma omp simd
                    for (int64_t k = 0; k < n; k++) to[k] += a[k] * b[k];
                }
        }
}

enum { CHANNELS_MOST = 64 /* of a task that sums over the batch */ };

/* [member][tap][channel] from w, or back: dw = turned + beta dw. */
static void turn(const dlf_conv_shape *s, float *turned, float *w, int64_t members, bool back,
                 float beta)
{
    const int64_t taps = (int64_t)s->kernel[0] * s->kernel[1], n = s->groups;
    for (int64_t p = 0; p < members; p++)
        for (int64_t k = 0; k < n; k++)
            for (int64_t t = 0; t < taps; t++) {
                float *there = turned + (p * taps + t) * n + k,
                      *here = w + p * s->w.member + k * taps + t;
                if (!back)
                    *there = *here;
                else
                    *here = beta == 0.0f ? *there : fmaf(beta, *here, *there);
            }
}

/* Weights for every member, turned for NHWC; NULL: no memory. */
static float *turned_new(const dlf_conv_shape *s, const float *w)
{
    const int64_t members = s->w.member == 0 ? 1 : s->P;
    float *turned = calloc((size_t)(members * s->groups * s->w.unit), sizeof *turned);
    if (turned && w) turn(s, turned, (float *)w, members, false, 0.0f);
    return turned;
}

typedef struct depthwise {
    dlf_conv_shape s;
    float *y, *x, *w, *turned;
    const float *bias;
    int64_t bias_member;
    float beta;
} depthwise;

/* Forward or data gradient of a sample. */
static void depthwise_sample(const depthwise *o, int64_t p, int64_t n, direction d)
{
    const dlf_conv_shape *s = &o->s;
    float *y = o->y + p * s->y.member + n * s->y.sample,
          *x = o->x + p * s->x.member + n * s->x.sample;
    const int64_t channels = (int64_t)s->groups * s->K;
    if (d == DATA)
        for (int64_t i = 0; i < s->x.sample; i++) x[i] = o->beta == 0.0f ? 0.0f : o->beta * x[i];
    for (int64_t k = 0; d == FORWARD && k < channels; k++) {
        const float b = o->bias ? o->bias[p * o->bias_member + k] : 0.0f;
        float *to = y + k * s->y.channel;
        for (int64_t i = 0; i < (int64_t)s->out[0] * s->out[1]; i++) to[i * s->y.at[1]] = b;
    }
    const int64_t member = s->w.member == 0 ? 0 : p;
    if (!s->nchw) {
        channels_side_by_side(s, y, x, o->turned + member * channels * s->w.unit, 0, channels, d);
        return;
    }
    for (int64_t k = 0; k < channels; k++)
        plane(s, y + k * s->y.channel, x + k / s->K * s->x.channel,
              o->w + p * s->w.member + k * s->w.unit, d);
}

static dlf_status depthwise_samples(depthwise *o, direction d, int threads)
{
    if (!o->s.nchw && !(o->turned = turned_new(&o->s, o->w)))
        return dlf_fail(DLF_ERR_OOM, "conv: no memory for the weights");
    const int64_t N = o->s.N, tasks = o->s.P * N;
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads) if (threads > 1)
    for (int64_t task = 0; task < tasks; task++) depthwise_sample(o, task / N, task % N, d);
    free(o->turned);
    return DLF_OK;
}

/* dw of some channels of a member, summed over the batch. */
static void depthwise_weights(const depthwise *o, int64_t p, int64_t first, int64_t count)
{
    const dlf_conv_shape *s = &o->s;
    const int64_t unit = s->w.unit;
    float *w = o->w + p * s->w.member;
    for (int64_t i = first * unit; s->nchw && i < (first + count) * unit; i++)
        w[i] = o->beta == 0.0f ? 0.0f : o->beta * w[i];
    for (int64_t n = 0; n < s->N; n++) {
        float *y = o->y + p * s->y.member + n * s->y.sample;
        float *x = o->x + p * s->x.member + n * s->x.sample;
        if (!s->nchw)
            channels_side_by_side(s, y, x, o->turned + p * s->groups * unit, first, count, WEIGHT);
        for (int64_t k = first; s->nchw && k < first + count; k++)
            plane(s, y + k * s->y.channel, x + k / s->K * s->x.channel, w + k * unit, WEIGHT);
    }
}

static dlf_status depthwise_weight_grad(depthwise *o, int threads)
{
    if (!o->s.nchw && !(o->turned = turned_new(&o->s, NULL)))
        return dlf_fail(DLF_ERR_OOM, "conv: no memory for the weights");
    const int64_t channels = (int64_t)o->s.groups * o->s.K, P = o->s.P;
    const int64_t each = (channels + CHANNELS_MOST - 1) / CHANNELS_MOST;
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads) if (threads > 1)
    for (int64_t task = 0; task < P * each; task++) {
        const int64_t first = task % each * CHANNELS_MOST;
        depthwise_weights(o, task / each, first, least(CHANNELS_MOST, channels - first));
    }
    if (o->turned) turn(&o->s, o->turned, o->w, P, true, o->beta);
    free(o->turned);
    return DLF_OK;
}
#endif
