/* SPDX-License-Identifier: MIT
 * cpu_conv.h -- what is read by a convolution, gathered into the operands of register blocks.
 *
 * Forward and data gradient are one thing: every position q of a grid reads the inputs at
 * q step + offset, offset from a list of taps along each axis. For the data gradient the grid is
 * one residue of the input's positions modulo the stride, and the taps are those that reach it.
 *
 *   NCHW  columns of positions: out[d][column], d = (channel, row of taps, column of taps)
 *   NHWC  rows of positions:    out[row][d],    d = (row of taps, column of taps, channel) */
#ifndef DLF_CPU_CONV_H
#define DLF_CPU_CONV_H
#include <stdlib.h>

#include "conv_shape.h"
#include "cpu.h"
#include "cpu_block.h"

enum {
    COLUMNS_MOST = 512, /* columns of a task: whole registers                           */
    DEPTH_MOST = 288,   /* of a sum before the result is stored: MR x DEPTH stay in L1  */
    SLACK = 2 * NR      /* floats behind a buffer that vectors may touch                */
};

typedef struct lattice {
    int64_t N, channels; /* samples; channels of the group */
    int64_t size[2];     /* of the input                   */
    int64_t grid[2], step[2];
    int64_t taps[2];
    int32_t *offset[2]; /* ascending */
    dlf_conv_image in;
} lattice;

static inline int64_t lattice_depth(const lattice *l)
{
    return l->channels * l->taps[0] * l->taps[1];
}

/* From the first tap to the last; 0 without taps. */
static inline int64_t lattice_reach(const lattice *l, int axis)
{
    const int64_t n = l->taps[axis];
    return n ? l->offset[axis][n - 1] - l->offset[axis][0] : 0;
}

/* ---- NCHW: columns ----------------------------------------------------------------------------
 */

/* Columns of one task: positions first .. end-1 of `samples` samples from n on. */
typedef struct columns {
    int64_t n, samples, first, end;
} columns;

/* Tasks of a member: whole samples where they are small, pieces of one where they are large. */
typedef struct column_tasks {
    int64_t positions, per_sample, samples, tasks;
} column_tasks;

static inline column_tasks column_tasks_of(const lattice *l)
{
    column_tasks t = {.positions = l->grid[0] * l->grid[1], .per_sample = 1, .samples = 1};
    if (t.positions > COLUMNS_MOST) {
        t.per_sample = (t.positions + COLUMNS_MOST - 1) / COLUMNS_MOST;
        t.tasks = l->N * t.per_sample;
    } else {
        t.samples = COLUMNS_MOST / t.positions;
        t.tasks = (l->N + t.samples - 1) / t.samples;
    }
    return t;
}

static inline columns columns_of(const lattice *l, const column_tasks *t, int64_t task)
{
    if (t->per_sample == 1)
        return (columns){task * t->samples, least(t->samples, l->N - task * t->samples), 0,
                         t->positions};
    /* Whole registers, so that only the last piece of a sample has a rest. */
    const int64_t even = (t->positions + t->per_sample - 1) / t->per_sample;
    const int64_t piece = (even + VEC - 1) / VEC * VEC, first = task % t->per_sample * piece;
    return (columns){task / t->per_sample, 1, first, least(first + piece, t->positions)};
}

/* The input rows that these columns read, with zeros where there is no input:
 * at[((sample * channels) + channel) * rows + row][width]. */
typedef struct slab {
    int64_t rows, width, plane;
    float *at;
} slab;

static inline slab slab_of(const lattice *l, const columns *c)
{
    const int64_t rows = (c->end - 1) / l->grid[1] - c->first / l->grid[1];
    slab s = {.rows = rows * l->step[0] + lattice_reach(l, 0) + 1,
              .width = (l->grid[1] - 1) * l->step[1] + lattice_reach(l, 1) + 1};
    s.plane = s.rows * s.width;
    return s;
}

/* One row of a slab: input columns from `start` on. Zeros run over its end into the next row, which
 * is written later. */
static inline void fill_row(float *to, int64_t width, const float *from, int64_t start,
                            int64_t size)
{
    const int64_t left = start < 0 ? least(-start, width) : 0;
    const int64_t right = least(size - start, width), end = right > left ? right : left;
    for (int64_t i = 0; i < left; i += VEC) vec_store(to + i, vec_all(0.0f));
    for (int64_t i = end; i < width; i += VEC) vec_store(to + i, vec_all(0.0f));
    vec_copy(to + left, from + start + left, end - left);
}

/* `channels` channels from `in` on, which is the first sample of the task. */
static void fill_slab(const slab *s, const lattice *l, const columns *c, const float *in,
                      int64_t channels)
{
    const int64_t top = c->first / l->grid[1] * l->step[0] + l->offset[0][0];
    float *to = s->at;
    for (int64_t n = 0; n < c->samples; n++)
        for (int64_t k = 0; k < channels; k++)
            for (int64_t r = 0; r < s->rows; r++, to += s->width) {
                const int64_t h = top + r;
                if (h < 0 || h >= l->size[0])
                    memset(to, 0, (size_t)s->width * sizeof *to);
                else
                    fill_row(to, s->width,
                             in + n * l->in.sample + k * l->in.channel + h * l->in.at[0],
                             l->offset[1][0], l->size[1]);
            }
}

/* Where columns of a panel come from: pieces[i].count columns from pieces[i].to on stand in the
 * slab at pieces[i].from, and from there step by step. */
typedef struct stretch {
    int32_t to, count;
    int64_t from;
} stretch;

enum { WIDTH_MOST = 128 };

/* Pieces end with a row of the image, and have at most VEC columns. */
static inline int pieces_of(stretch pieces[WIDTH_MOST], const slab *s, const lattice *l,
                            const columns *c, int64_t channels, int64_t column, int64_t count)
{
    const int64_t length = c->end - c->first, top = c->first / l->grid[1];
    int n = 0;
    for (int64_t done = 0; done < count; n++) {
        const int64_t sample = (column + done) / length;
        const int64_t q = c->first + (column + done) % length;
        const int64_t i = q / l->grid[1], j = q % l->grid[1];
        const int64_t rest = least(least(l->grid[1] - j, c->end - q), count - done);
        const int64_t from =
            sample * channels * s->plane + (i - top) * l->step[0] * s->width + j * l->step[1];
        pieces[n] = (stretch){(int32_t)done, (int32_t)least(rest, VEC), from};
        done += pieces[n].count;
    }
    return n;
}

/* Whole vectors run over the end of a piece, and of a row of the panel; what comes next is written
 * later. */
static inline __attribute__((always_inline)) void
copy_pieces(float *out, const float *from, const stretch *pieces, int n, int64_t step)
{
#pragma GCC unroll 8
    for (int i = 0; i < n; i++)
        if (step == 1)
            vec_store(out + pieces[i].to, vec_load(from + pieces[i].from));
        else
            for (int32_t j = 0; j < pieces[i].count; j++)
                out[pieces[i].to + j] = from[pieces[i].from + j * step];
}

/* out[d * width + 0 .. count) for all taps of `channels` channels; the rest of a row is 0 up to the
 * next whole register. Inlined with constant n where that is small. */
static inline __attribute__((always_inline)) void
pack_taps(float *out, int64_t width, const slab *s, const lattice *l, int64_t channels,
          int64_t count, const stretch *pieces, int n, int64_t step)
{
    const int64_t rest = (count + VEC - 1) / VEC * VEC - count;
    for (int64_t k = 0; k < channels; k++)
        for (int64_t r = 0; r < l->taps[0]; r++) {
            const float *from =
                s->at + k * s->plane + (l->offset[0][r] - l->offset[0][0]) * s->width;
            for (int64_t t = 0; t < l->taps[1]; t++, out += width) {
                copy_pieces(out, from + (l->offset[1][t] - l->offset[1][0]), pieces, n, step);
                if (rest > 0) vec_store(out + count, vec_all(0.0f));
            }
        }
}

static void pack_columns(float *out, int64_t width, const slab *s, const lattice *l,
                         const columns *c, int64_t channels, int64_t column, int64_t count)
{
    stretch list[WIDTH_MOST];
    const int n = pieces_of(list, s, l, c, channels, column, count);
    if (l->step[1] != 1) {
        pack_taps(out, width, s, l, channels, count, list, n, l->step[1]);
        return;
    }
    switch (n) {
    case 2: pack_taps(out, width, s, l, channels, count, list, 2, 1); break;
    case 3: pack_taps(out, width, s, l, channels, count, list, 3, 1); break;
    case 4: pack_taps(out, width, s, l, channels, count, list, 4, 1); break;
    case 5: pack_taps(out, width, s, l, channels, count, list, 5, 1); break;
    default: pack_taps(out, width, s, l, channels, count, list, n, 1);
    }
}

/* ---- NHWC: rows -------------------------------------------------------------------------------
 */

/* out[row * width + d] for rows first .. first+count-1 of the grids of all samples and taps
 * tap .. tap+taps-1 (row of taps * taps[1] + column of taps); in: the group's channels. */
static void pack_rows(float *out, int64_t width, const lattice *l, const float *in, int64_t first,
                      int64_t count, int64_t tap, int64_t taps)
{
    const int64_t positions = l->grid[0] * l->grid[1];
    const size_t bytes = (size_t)l->channels * sizeof *out;
    for (int64_t row = first; row < first + count; row++, out += width) {
        const int64_t n = row / positions, q = row % positions;
        const int64_t h = q / l->grid[1] * l->step[0], v = q % l->grid[1] * l->step[1];
        const float *sample = in + n * l->in.sample;
        float *to = out;
        for (int64_t k = tap; k < tap + taps; k++, to += l->channels) {
            const int64_t i = h + l->offset[0][k / l->taps[1]];
            const int64_t j = v + l->offset[1][k % l->taps[1]];
            if (i < 0 || i >= l->size[0] || j < 0 || j >= l->size[1])
                memset(to, 0, bytes);
            else
                memcpy(to, sample + i * l->in.at[0] + j * l->in.at[1], bytes);
        }
    }
}
#endif
