/* SPDX-License-Identifier: MIT
 * cpu_conv_weight.h -- the gradient of the weights: sums over all positions of the batch.
 *
 *   NCHW  dw^T (d, k) += columns (d, position) dy^T (position, k)
 *   NHWC  dw (k, d)   += dy^T (k, position) rows (position, d)
 *
 * in register blocks. A task takes a member's group, some units k and a part of the batch. How many
 * parts there are follows from the shape; they are added in order. */
#ifndef DLF_CPU_CONV_WEIGHT_H
#define DLF_CPU_CONV_WEIGHT_H
#include "cpu_conv_product.h"

enum {
    UNITS_MOST = 4 * NR,   /* of a task                       */
    COLUMN_PANEL = 128,    /* positions side by side          */
    TASKS_WANTED = 8,      /* before a batch is cut           */
    POSITIONS_LEAST = 2048 /* of a part                       */
};

typedef struct weight_plan {
    plan p; /* of forward: the lattice and how x is read */
    const dlf_conv_shape *s;
    const float *dy;
    float *dw, *partial; /* partial: [part][member][group][unit][d], where there are several */
    double beta;
    int64_t unit_blocks, pieces, parts, per_part; /* pieces: tasks of the lattice, or rows */
    column_scratch columns;
    row_scratch rows;
} weight_plan;

/* Where a task's results go: of unit k and d at to[k * D + d], to be multiplied by beta. */
typedef struct weight_target {
    float *to;
    float beta;
} weight_target;

typedef struct weight_task {
    int64_t member, group, part, unit, units; /* unit: the first, in the group */
} weight_task;

static weight_task weight_task_of(const weight_plan *w, int64_t task)
{
    weight_task t;
    t.unit = task % w->unit_blocks * UNITS_MOST;
    task /= w->unit_blocks;
    t.part = task % w->parts;
    task /= w->parts;
    t.group = task % w->s->groups;
    t.member = task / w->s->groups;
    t.units = least(UNITS_MOST, w->s->K - t.unit);
    return t;
}

static weight_target weight_target_of(const weight_plan *w, const weight_task *t)
{
    const dlf_conv_shape *s = w->s;
    const int64_t unit = t->group * s->K + t->unit, all = (int64_t)s->groups * s->K;
    if (w->parts == 1)
        return (weight_target){w->dw + t->member * s->w.member + unit * s->w.unit, (float)w->beta};
    return (weight_target){w->partial + ((t->part * s->P + t->member) * all + unit) * s->w.unit,
                           0.0f};
}

/* ---- NCHW ---- */

/* dy of a task's columns as [block of NR units][column][NR]. */
static void pack_dy(float *out, const dlf_conv_shape *s, const columns *c, const float *dy,
                    int64_t units)
{
    const int64_t length = c->end - c->first, count = c->samples * length;
    for (int64_t k = 0; k < units; k += NR)
        for (int64_t n = 0; n < c->samples; n++)
            pack_b(out + (k * count + n * length * NR), NR,
                   dy + n * s->y.sample + k * s->y.channel + c->first, true, s->y.channel, length,
                   least(NR, units - k));
}

static void columns_of_weight(const weight_plan *w, int64_t task, float *scratch)
{
    const dlf_conv_shape *s = w->s;
    const lattice *l = &w->p.l;
    const weight_task t = weight_task_of(w, task);
    const weight_target goal = weight_target_of(w, &t);
    const int64_t D = s->w.unit, taps = l->taps[0] * l->taps[1];
    const int64_t width = (t.units + NR - 1) / NR * NR;
    const float *in = w->p.in + t.member * l->in.member + t.group * w->p.in_group;
    const float *dy =
        w->dy + t.member * s->y.member + (t.group * (int64_t)s->K + t.unit) * s->y.channel;
    float *packed = scratch + w->columns.slab, *turned = packed + w->columns.packed;
    float *sum = turned + UNITS_MOST * COLUMNS_MOST; /* [d][width] */
    memset(sum, 0, (size_t)(D * width) * sizeof *sum);
    const int64_t first = t.part * w->per_part, end = least(first + w->per_part, w->pieces);
    for (int64_t piece = first; piece < end; piece++) {
        const columns c = columns_of(l, &w->columns.tasks, piece);
        const int64_t count = c.samples * (c.end - c.first);
        const epilogue e = {.alpha = 1.0f, .beta = 1.0f, .row = width};
        slab rows = slab_of(l, &c);
        rows.at = scratch;
        pack_dy(turned, s, &c, dy + c.n * s->y.sample, t.units);
        for (int64_t k = 0; k < l->channels; k += w->columns.channels) {
            const int64_t channels = least(w->columns.channels, l->channels - k);
            const int64_t depth = channels * taps;
            fill_slab(&rows, l, &c, in + c.n * l->in.sample + k * l->in.channel, channels);
            for (int64_t j = 0; j < count; j += COLUMN_PANEL) {
                const int64_t n = least(COLUMN_PANEL, count - j);
                pack_columns(packed, COLUMN_PANEL, &rows, l, &c, channels, j, n);
                for (int64_t u = 0; u < t.units; u += NR)
                    for (int64_t d = 0; d < depth; d += MR)
                        blocks[least(MR, depth - d) - 1][t.units - u > VEC](
                            packed + d * COLUMN_PANEL, COLUMN_PANEL, 1, turned + u * count + j * NR,
                            NR, n, sum + (k * taps + d) * width + u, t.units - u > VEC ? NR : VEC,
                            &e);
            }
        }
    }
    for (int64_t k = 0; k < t.units; k++)
        for (int64_t d = 0; d < D; d++) {
            float *to = goal.to + k * D + d;
            const float v = sum[d * width + k];
            *to = goal.beta == 0.0f ? v : fmaf(goal.beta, *to, v);
        }
}

/* ---- NHWC ---- */

static void rows_of_weight(const weight_plan *w, int64_t task, float *scratch)
{
    const dlf_conv_shape *s = w->s;
    const lattice *l = &w->p.l;
    const weight_task t = weight_task_of(w, task);
    const weight_target goal = weight_target_of(w, &t);
    const int64_t D = s->w.unit, taps = l->taps[0] * l->taps[1];
    const float *in = w->p.in + t.member * l->in.member + t.group * w->p.in_group;
    const float *dy = w->dy + t.member * s->y.member + t.group * (int64_t)s->K + t.unit;
    const int64_t first = t.part * w->per_part, end = least(first + w->per_part, w->pieces);
    for (int64_t piece = first; piece < end; piece++) {
        const int64_t row = piece * ROWS, rows = least(ROWS, w->rows.rows - row);
        const epilogue e = {.alpha = 1.0f, .beta = piece == first ? goal.beta : 1.0f, .row = D};
        for (int64_t tap = 0; tap < taps; tap += w->rows.taps) {
            const int64_t some = least(w->rows.taps, taps - tap), depth = some * l->channels;
            pack_rows(scratch, w->rows.width, l, in, row, rows, tap, some);
            for (int64_t k = 0; k < t.units; k += MR)
                for (int64_t d = 0; d < depth; d += NR) {
                    const int64_t n = least(NR, depth - d);
                    blocks[least(MR, t.units - k) - 1][n > VEC](
                        dy + row * s->y.at[1] + k, 1, s->y.at[1], scratch + d, w->rows.width, rows,
                        goal.to + k * D + tap * l->channels + d, n, &e);
                }
        }
    }
}

/* ---- all tasks ---- */

static void add_partial(const weight_plan *w, int threads)
{
    const int64_t n = w->s->groups * w->s->K * w->s->w.unit, P = w->s->P;
    const float beta = (float)w->beta;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t p = 0; p < P; p++) {
        float *to = w->dw + p * w->s->w.member;
        for (int64_t i = 0; i < n; i++) to[i] = beta == 0.0f ? 0.0f : beta * to[i];
        for (int64_t part = 0; part < w->parts; part++) {
            const float *from = w->partial + (part * P + p) * n;
#pragma omp simd
            for (int64_t i = 0; i < n; i++) to[i] += from[i];
        }
    }
}

static dlf_status run_weight(weight_plan *w, int threads)
{
    const dlf_conv_shape *s = w->s;
    const int64_t D = s->w.unit;
    w->unit_blocks = (s->K + UNITS_MOST - 1) / UNITS_MOST;
    int64_t floats;
    if (s->nchw) {
        w->columns = column_scratch_of(&w->p);
        w->pieces = w->columns.tasks.tasks;
        floats = w->columns.slab + w->columns.packed + UNITS_MOST * COLUMNS_MOST + D * UNITS_MOST +
                 SLACK;
    } else {
        w->rows = row_scratch_of(&w->p);
        w->pieces = w->rows.tasks;
        floats = w->rows.packed;
    }
    const int64_t tasks = s->P * s->groups * w->unit_blocks;
    const int64_t positions = s->N * s->out[0] * s->out[1];
    const int64_t wanted = (TASKS_WANTED + tasks - 1) / tasks;
    const int64_t most = (positions + POSITIONS_LEAST - 1) / POSITIONS_LEAST;
    const int64_t parts = least(least(wanted, most), w->pieces);
    w->per_part = (w->pieces + parts - 1) / parts;
    w->parts = (w->pieces + w->per_part - 1) / w->per_part;
    if (w->parts > 1) {
        const int64_t all = w->parts * s->P * s->groups * s->K * D;
        w->partial = malloc((size_t)all * sizeof *w->partial);
        if (!w->partial) return dlf_fail(DLF_ERR_OOM, "conv: no memory for partial sums");
    }
    bool oom = false;
    const int64_t all = tasks * w->parts;
    if (threads > all) threads = (int)all;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        float *scratch = aligned_alloc(64, (size_t)(floats + 15) / 16 * 64);
        if (!scratch) {
#pragma omp atomic write
            oom = true;
        }
#pragma omp for schedule(dynamic, 1) nowait
        for (int64_t task = 0; task < all; task++) {
            if (!scratch) continue;
            if (s->nchw)
                columns_of_weight(w, task, scratch);
            else
                rows_of_weight(w, task, scratch);
        }
        free(scratch);
    }
    if (!oom && w->parts > 1) add_partial(w, threads);
    free(w->partial);
    return oom ? dlf_fail(DLF_ERR_OOM, "conv: no memory for packing") : DLF_OK;
}
#endif
