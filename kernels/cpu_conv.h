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

/* One row of a slab: input columns from `start` on. */
static inline void fill_row(float *to, int64_t width, const float *from, int64_t start,
                            int64_t size)
{
    const int64_t left = start < 0 ? least(-start, width) : 0;
    const int64_t right = least(size - start, width), end = right > left ? right : left;
    for (int64_t i = 0; i < left; i++) to[i] = 0.0f;
    if (end > left) memcpy(to + left, from + start + left, (size_t)(end - left) * sizeof *to);
    for (int64_t i = end; i < width; i++) to[i] = 0.0f;
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

/* Columns in a row of the image: to[0..count) comes from the slab at `from`, from + step, .. */
typedef struct run {
    int64_t to, from, count;
} run;

enum { WIDTH_MOST = 128 };

static inline int runs_of(run runs[WIDTH_MOST], const slab *s, const lattice *l, const columns *c,
                          int64_t channels, int64_t column, int64_t count)
{
    const int64_t length = c->end - c->first, top = c->first / l->grid[1];
    int n = 0;
    for (int64_t done = 0; done < count; n++) {
        const int64_t sample = (column + done) / length;
        const int64_t q = c->first + (column + done) % length;
        const int64_t i = q / l->grid[1], j = q % l->grid[1];
        const int64_t rest = least(least(l->grid[1] - j, c->end - q), count - done);
        runs[n] = (run){
            done, sample * channels * s->plane + (i - top) * l->step[0] * s->width + j * l->step[1],
            rest};
        done += rest;
    }
    return n;
}

/* out[d * width + 0 .. count) for all taps of `channels` channels; the rest of a row is 0 up to the
 * next whole register. Vectors run over the end of a row into the next, which is written later. */
static void pack_columns(float *out, int64_t width, const slab *s, const lattice *l,
                         const columns *c, int64_t channels, int64_t column, int64_t count)
{
    run runs[WIDTH_MOST];
    const int n = runs_of(runs, s, l, c, channels, column, count);
    const int64_t step = l->step[1], rest = (count + VEC - 1) / VEC * VEC - count;
    for (int64_t k = 0; k < channels; k++)
        for (int64_t r = 0; r < l->taps[0]; r++)
            for (int64_t t = 0; t < l->taps[1]; t++, out += width) {
                const float *from = s->at + k * s->plane +
                                    (l->offset[0][r] - l->offset[0][0]) * s->width +
                                    (l->offset[1][t] - l->offset[1][0]);
                for (int i = 0; i < n; i++) {
                    const float *source = from + runs[i].from;
                    float *to = out + runs[i].to;
                    if (step == 1)
                        for (int64_t j = 0; j < runs[i].count; j += VEC)
                            vec_store(to + j, vec_load(source + j));
                    else
                        for (int64_t j = 0; j < runs[i].count; j++) to[j] = source[j * step];
                }
                for (int64_t j = 0; j < rest; j++) out[count + j] = 0.0f;
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
