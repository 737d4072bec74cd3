/* SPDX-License-Identifier: MIT
 * cpu_conv_stack.h -- images side by side: a vector holds one element of VEC images.
 *
 * In this form every convolution is the same: a vector of x times one weight is added to a vector
 * of y, whatever the layout, the stride or the size of the image; padding is taps that are left
 * out, and no lane is lost at the end of a row. The price is one transposition on the way in and
 * one on the way out. Where there are fewer images than lanes, an image is cut into bands of rows,
 * and each lane takes a band. */
#ifndef DLF_CPU_CONV_STACK_H
#define DLF_CPU_CONV_STACK_H
#include <stdlib.h>

#include "conv_shape.h"
#include "cpu.h"
#include "cpu_interleave.h"

/* Rows first .. first+rows-1 of the images, where row 0 is where a lane's band begins, as
 * at[(row - first) step[0] + column step[1] + channel * channel + lane]. */
typedef struct stack {
    float *at;
    int64_t first, rows, width, channels;
    int64_t channel, step[2];
    bool planes;     /* NCHW: channels, each of positions      */
    bool contiguous; /* NHWC: in memory as it is in the tensor */
} stack;

/* all: these are all channels that the tensor has. */
static inline stack stack_of(bool nchw, int64_t channels, bool all, int64_t width, int64_t first,
                             int64_t rows)
{
    stack s = {.first = first,
               .rows = rows < 0 ? 0 : rows,
               .width = width,
               .channels = channels,
               .planes = nchw};
    if (nchw) { /* One vector more, or the channels would share a cache set. */
        s.step[0] = width * VEC;
        s.step[1] = VEC;
        s.channel = s.rows * s.step[0] + VEC;
    } else {
        s.contiguous = all && channels % VEC != 0;
        s.channel = VEC;
        s.step[1] = (channels + !s.contiguous) * VEC;
        s.step[0] = width * s.step[1];
    }
    return s;
}

static inline int64_t stack_floats(const stack *s)
{
    return s->planes ? s->channels * s->channel : s->rows * s->step[0];
}

/* Which images, and which bands of them, the lanes hold. */
typedef struct lanes_of_images {
    int64_t count, sample[VEC], band[VEC];
} lanes_of_images;

static inline lanes_of_images lanes_of_block(int64_t block, int64_t N, int64_t bands)
{
    lanes_of_images l = {.count = least(VEC, N * bands - block * VEC)};
    for (int64_t i = 0; i < l.count; i++) {
        l.sample[i] = (block * VEC + i) / bands;
        l.band[i] = (block * VEC + i) % bands;
    }
    return l;
}

/* Rows begin .. end-1 between a stack and tensors: the lanes' pointers are at row 0, channel 0.
 * Exactly one of from and to is given. */
static inline void move_rows(const stack *s, const dlf_conv_image *image, int64_t begin,
                             int64_t end, const float *const *from, float *const *to, float beta)
{
    if (begin >= end) return;
    const int64_t positions = (end - begin) * s->width, start = begin * image->at[0];
    float *at = s->at + (begin - s->first) * s->step[0];
    const int64_t runs = s->planes ? s->channels : s->contiguous ? 1 : positions;
    const int64_t length = s->planes       ? positions
                           : s->contiguous ? positions * s->channels
                                           : s->channels;
    const int64_t apart = s->planes ? image->channel : image->at[1];
    const int64_t here = s->planes ? s->channel : s->step[1];
    bool full = true;
    for (int i = 0; i < VEC; i++) full = full && (from ? from[i] != NULL : to[i] != NULL);
    for (int64_t i = 0; i < runs; i++, at += here) {
        const int64_t there = start + i * apart;
        if (from && full)
            spread(at, VEC, from, there, length, true);
        else if (from)
            spread(at, VEC, from, there, length, false);
        else if (full && beta == 0.0f)
            collect(to, there, at, VEC, length, 0.0f, true);
        else
            collect(to, there, at, VEC, length, beta, false);
    }
}

/* The whole stack from or to `tensor` (of the stack's first channel); band: rows from band to band,
 * size: rows of the image. Rows outside the image are 0, and are not written. */
static void move_stack(const stack *s, const dlf_conv_image *image, const lanes_of_images *l,
                       int64_t band, int64_t size, const float *tensor, float *into, float beta)
{
    const int64_t last = s->first + s->rows;
    const float *from[VEC] = {NULL}, *some[VEC];
    float *to[VEC] = {NULL}, *some_to[VEC];
    int64_t low = s->first, high = last; /* rows that all lanes have */
    for (int64_t i = 0; i < l->count; i++) {
        const int64_t start = l->band[i] * band;
        const int64_t at = l->sample[i] * image->sample + start * image->at[0];
        if (tensor) from[i] = tensor + at;
        if (into) to[i] = into + at;
        if (-start > low) low = -start;
        high = least(high, size - start);
    }
    if (low > last) low = last;
    if (high < low) high = low;
    for (int64_t row = s->first; row < last; row++) {
        if (row == low) {
            move_rows(s, image, low, high, tensor ? from : NULL, to, beta);
            row = high;
            if (row == last) break;
        }
        for (int64_t i = 0; i < VEC; i++) {
            const int64_t there = i < l->count ? l->band[i] * band + row : -1;
            const bool inside = there >= 0 && there < size;
            some[i] = inside ? from[i] : NULL;
            some_to[i] = inside ? to[i] : NULL;
        }
        move_rows(s, image, row, row + 1, tensor ? some : NULL, some_to, beta);
    }
}
#endif
