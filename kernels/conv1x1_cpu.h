/* SPDX-License-Identifier: MIT
 * conv1x1_cpu.h -- the operands of a 1x1 convolution as floats: pieces of x and dz with the
 * prologue applied, pieces of y and dx with what follows the sums. */
#ifndef DLF_CONV1X1_CPU_H
#define DLF_CONV1X1_CPU_H
#include <stdlib.h>

#include "conv1x1_shape.h"
#include "cpu_block.h"

/* Row p of a parameter that may be shared, or NULL. */
static inline const float *c1_parameter(const dlf_tensor *t, int64_t p)
{
    return t ? (const float *)t->data + (t->shape[0] == 1 ? 0 : p * t->stride) : NULL;
}

/* Element 0 of member p. */
static inline int64_t c1_member(const dlf_tensor *t, int64_t p)
{
    return t->shape[0] == 1 ? 0 : p * t->stride;
}

/* ---- inputs ---- */

typedef struct c1_input {
    const dlf_tensor *t;
    c1_positions at;
    const dlf_tensor *scale, *shift;
    dlf_activation g;
    bool plain; /* no prologue */
} c1_input;

static inline c1_input c1_input_of(const dlf_tensor *t, const dlf_conv1x1_geometry *g, bool nhwc,
                                   bool is_x, const dlf_tensor *scale, const dlf_tensor *shift,
                                   dlf_activation f)
{
    return (c1_input){.t = t,
                      .at = c1_positions_of(g, nhwc, is_x),
                      .scale = scale,
                      .shift = shift,
                      .g = f,
                      .plain = !scale && !shift && f.kind == DLF_LINEAR};
}

/* Element of channel 0 of position q, and how many positions follow at equal distances. */
static inline int64_t c1_place(const c1_positions *at, int64_t q, int64_t *more)
{
    const int64_t n = q / at->per_image, s = q % at->per_image;
    if (at->dense) {
        *more = at->per_image - s;
        return n * at->image + s * at->column;
    }
    *more = at->OW - s % at->OW;
    return n * at->image + s / at->OW * at->row + s % at->OW * at->column;
}

/* Channels c .. c + n of position q, NHWC. f32 without prologue: no copy is made. */
static inline const float *c1_channels(float *out, const c1_input *in, int64_t p, int64_t q,
                                       int64_t c, int64_t n)
{
    int64_t more;
    const int64_t from = c1_member(in->t, p) + c1_place(&in->at, q, &more) + c;
    const float *v = dlf_cpu_load(out, in->t->data, in->t->dtype, from, n);
    if (in->plain) return v;
    const float *scale = c1_parameter(in->scale, p), *shift = c1_parameter(in->shift, p);
    for (int64_t i = 0; i < n; i++)
        out[i] = fmaf(scale ? scale[c + i] : 1.0f, v[i], shift ? shift[c + i] : 0.0f);
    DLF_CPU(activation_values)(out, out, n, in->g);
    return out;
}

/* out[0..n) = elements from, from + column, .. */
static inline void c1_copy(float *out, const c1_input *in, int64_t from, int64_t n)
{
    const dlf_tensor *t = in->t;
    const int64_t column = in->at.column;
    if (t->dtype == DLF_F32) {
        const float *v = (const float *)t->data + from;
        if (column == 1)
            vec_copy(out, v, n);
        else if (column == 2)
            vec_copy_even(out, v, n);
        else
            for (int64_t i = 0; i < n; i++) out[i] = v[i * column];
        return;
    }
    if (column == 1) {
        dlf_cpu_load(out, t->data, t->dtype, from, n);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        out[i] = *dlf_cpu_load(out + i, t->data, t->dtype, from + i * column, 1);
}

/* The prologue on n values of channel c. */
static inline void c1_prologue(float *v, const c1_input *in, int64_t p, int64_t c, int64_t n)
{
    if (in->plain) return;
    const float *scale = c1_parameter(in->scale, p), *shift = c1_parameter(in->shift, p);
    const float a = scale ? scale[c] : 1.0f, b = shift ? shift[c] : 0.0f;
    for (int64_t i = 0; i < n; i++) v[i] = fmaf(a, v[i], b);
    DLF_CPU(activation_values)(v, v, n, in->g);
}

/* out[0..n) = channel c at positions q .. q + n, NCHW. */
static inline void c1_run(float *out, const c1_input *in, int64_t p, int64_t c, int64_t q,
                          int64_t n)
{
    const int64_t channel = c1_member(in->t, p) + c * in->at.channel;
    for (int64_t done = 0, more; done < n; done += more) {
        const int64_t from = channel + c1_place(&in->at, q + done, &more);
        more = least(more, n - done);
        c1_copy(out + done, in, from, more);
    }
    c1_prologue(out, in, p, c, n);
}

/* Neighbouring positions at equal distances: `first` of the tile and where they are in channel 0.
 */
typedef struct c1_piece {
    int64_t first, n, from;
} c1_piece;

/* Positions q .. q + n as pieces, n of them at most. */
static inline int64_t c1_pieces(c1_piece *piece, const c1_positions *at, int64_t q, int64_t n)
{
    int64_t count = 0;
    for (int64_t done = 0, more; done < n; done += more) {
        const int64_t from = c1_place(at, q + done, &more);
        more = least(more, n - done);
        piece[count++] = (c1_piece){done, more, from};
    }
    return count;
}

/* out[0..n) = channel c at the n positions of these pieces: c1_run for many channels at the same
 * positions, which are looked up once. */
static inline void c1_run_of(float *out, const c1_input *in, int64_t p, int64_t c,
                             const c1_piece *piece, int64_t count, int64_t n)
{
    const int64_t channel = c1_member(in->t, p) + c * in->at.channel;
    for (int64_t s = 0; s < count; s++)
        c1_copy(out + piece[s].first, in, channel + piece[s].from, piece[s].n);
    c1_prologue(out, in, p, c, n);
}

/* ---- outputs ---- */

typedef struct c1_result {
    const dlf_tensor *t, *residual, *bias;
    c1_positions at;
    dlf_activation f;
    float keep;    /* y = f(..) + keep y; 0: not read                     */
    bool finished; /* sums are the result: nothing to do where they lie in t */
} c1_result;

/* `n` sums z that belong at element `to` of member p, `step` apart; channel k, or k, k + 1, .. if
 * `along`. z becomes what is stored; it may lie in t itself. */
static inline void c1_finish(float *z, const c1_result *r, int64_t p, int64_t to, int64_t step,
                             int64_t k, bool along, int64_t n)
{
    enum { PIECE = 256 };
    float other[PIECE];
    const dlf_dtype dtype = r->t->dtype;
    const float *bias = c1_parameter(r->bias, p);
    for (int64_t i = 0; i < n; i += PIECE) {
        const int64_t count = least(PIECE, n - i), at = to + i * step;
        float *v = z + i;
        if (bias && along)
            for (int64_t m = 0; m < count; m++) v[m] += bias[k + i + m];
        else if (bias)
            for (int64_t m = 0; m < count; m++) v[m] += bias[k];
        if (r->residual) {
            const float *add = dlf_cpu_load(other, r->residual->data, dtype,
                                            c1_member(r->residual, p) + at, count);
            for (int64_t m = 0; m < count; m++) v[m] += add[m];
        }
        if (r->f.kind != DLF_LINEAR) DLF_CPU(activation_values)(v, v, count, r->f);
        const int64_t own = p * r->t->stride + at;
        if (step != 1 && dtype == DLF_F32 && r->keep == 0.0f) { /* a data gradient that skips */
            float *at_step = (float *)r->t->data + own;
            for (int64_t m = 0; m < count; m++) at_step[m * step] = v[m];
            continue;
        }
        if (step != 1) {
            for (int64_t m = 0; m < count; m++) {
                const int64_t e = own + m * step;
                if (r->keep != 0.0f)
                    v[m] += r->keep * *dlf_cpu_load(other, r->t->data, dtype, e, 1);
                dlf_cpu_store(r->t->data, dtype, e, v + m, 1);
            }
            continue;
        }
        if (r->keep != 0.0f) {
            const float *old = dlf_cpu_load(other, r->t->data, dtype, own, count);
            for (int64_t m = 0; m < count; m++) v[m] += r->keep * old[m];
        }
        dlf_cpu_store(r->t->data, dtype, own, v, count);
        if (dtype != DLF_F32) { /* statistics are of what was stored */
            const float *stored = dlf_cpu_load(other, r->t->data, dtype, own, count);
            memcpy(v, stored, (size_t)count * sizeof *v);
        }
    }
}

/* ---- statistics of a tile ---- */

typedef struct c1_stat {
    double n, mean, m2;
} c1_stat;

/* Of `rows` values, `step` apart: two passes, the second corrects the first. */
static inline c1_stat c1_stat_of(float sum, float s1, float s2, int64_t rows)
{
    const double n = (double)rows, shift = (double)s1 / n;
    const double m2 = (double)s2 - (double)s1 * shift;
    return (c1_stat){n, (double)(sum / (float)rows) + shift, m2 < 0.0 ? 0.0 : m2};
}

/* A row of values each. */
static inline c1_stat c1_stat_row(const float *v, int64_t n)
{
    float sum = 0.0f, s1 = 0.0f, s2 = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) sum += v[i];
    const float first = sum / (float)n;
#pragma omp simd reduction(+ : s1, s2)
    for (int64_t i = 0; i < n; i++) {
        const float d = v[i] - first;
        s1 += d;
        s2 += d * d;
    }
    return c1_stat_of(sum, s1, s2, n);
}

/* A column of values each: out[j] of v[i * row + j], j < columns. */
static inline void c1_stat_columns(c1_stat *out, const float *v, int64_t row, int64_t rows,
                                   int64_t columns)
{
    enum { WIDTH = 64 };
    for (int64_t j = 0; j < columns; j += WIDTH) {
        const int64_t width = least(WIDTH, columns - j);
        float sum[WIDTH] = {0}, first[WIDTH], s1[WIDTH] = {0}, s2[WIDTH] = {0};
        for (int64_t i = 0; i < rows; i++)
            for (int64_t m = 0; m < width; m++) sum[m] += v[i * row + j + m];
        for (int64_t m = 0; m < width; m++) first[m] = sum[m] / (float)rows;
        for (int64_t i = 0; i < rows; i++)
            for (int64_t m = 0; m < width; m++) {
                const float d = v[i * row + j + m] - first[m];
                s1[m] += d;
                s2[m] += d * d;
            }
        for (int64_t m = 0; m < width; m++) out[j + m] = c1_stat_of(sum[m], s1[m], s2[m], rows);
    }
}
#endif
