/* SPDX-License-Identifier: MIT
 * cpu_conv_weight.h -- the gradient of the weights: sums over the positions of all images, lane by
 * lane in registers, the lanes last.
 *
 * A task takes a member, some groups or some units and channels of one, and a part of the batch.
 * How many parts there are follows from the shape; they are added in order. */
#ifndef DLF_CPU_CONV_WEIGHT_H
#define DLF_CPU_CONV_WEIGHT_H
#include "cpu_conv_block.h"

enum {
    CHANNELS_MOST = 64,    /* of a task, of x and of y                                            */
    WEIGHT_TASKS = 8,      /* wanted before a batch is cut                                        */
    PRODUCTS_WANTED = 256, /* of a sum before its lanes are added                               */
    POSITIONS_MOST = 64    /* of UNITS + VECS channels: they stay in L1                         */
};

typedef struct weight_plan {
    const dlf_conv_shape *s;
    axis axes[2];
    layers cut;
    const float *x, *dy;
    float *dw, *partial; /* partial: [part][member][as dw], where there are several             */
    double beta;
    int64_t groups, group_cuts; /* groups of a task, and how many such                     */
    int64_t units, unit_cuts;   /* of a group that a task takes                            */
    int64_t channels, channel_cuts;
    int64_t chunk, chunks, parts; /* blocks of lanes that are stacked together; chunk x strip */
    void *memory;
} weight_plan;

typedef struct weight_task {
    int64_t member, part;
    range group, unit, channel; /* unit and channel: in a group */
} weight_task;

static weight_task weight_task_of(const weight_plan *w, int64_t task)
{
    const dlf_conv_shape *s = w->s;
    weight_task t;
    const int64_t c = task % w->channel_cuts * w->channels;
    task /= w->channel_cuts;
    const int64_t k = task % w->unit_cuts * w->units;
    task /= w->unit_cuts;
    const int64_t g = task % w->group_cuts * w->groups;
    task /= w->group_cuts;
    t.part = task % w->parts;
    t.member = task / w->parts;
    t.group = (range){g, least(g + w->groups, s->groups)};
    t.unit = (range){k, least(k + w->units, s->K)};
    t.channel = (range){c, least(c + w->channels, s->C)};
    return t;
}

/* Stacks of one block of lanes and the accumulators of a tile. */
typedef struct weight_scratch {
    stack x, dy;
    int64_t x_floats, dy_floats, acc_floats;
} weight_scratch;

static weight_scratch weight_scratch_of(const weight_plan *w, const weight_task *t, range q)
{
    const dlf_conv_shape *s = w->s;
    const range rows = rows_read(&w->axes[0], &w->cut, q);
    const int64_t groups = t->group.end - t->group.first;
    const int64_t channels = groups * (t->channel.end - t->channel.first);
    const int64_t units = groups * (t->unit.end - t->unit.first);
    weight_scratch a = {.x = stack_of(s->nchw, channels, channels == (int64_t)s->groups * s->C,
                                      s->in[1], rows.first, rows.end - rows.first),
                        .dy = stack_of(s->nchw, units, units == (int64_t)s->groups * s->K,
                                       s->out[1], q.first, q.end - q.first)};
    a.x_floats = (stack_floats(&a.x) + 15) / 16 * 16;
    a.dy_floats = (stack_floats(&a.dy) + 15) / 16 * 16;
    const int64_t n = (int64_t)s->kernel[0] * s->kernel[1] * UNITS * VECS;
    a.acc_floats = (n + VEC - 1) / VEC * VEC * VEC;
    return a;
}

/* One tap: all quotients of rows [first, end) that it finds inside. */
static void add_tap(const weight_plan *w, const weight_scratch *a, const int64_t tap[2], range rows,
                    products_fn *f, const float *dy, const float *x, float *acc)
{
    const axis *axes = w->axes;
    const int64_t offset[2] = {axes[0].of[0].offset[tap[0]], axes[1].of[0].offset[tap[1]]};
    range q[2] = {rows, {0, axes[1].out}};
    for (int k = w->cut.bands > 1; k < 2; k++) { /* bands have zeros around them */
        while (q[k].first < q[k].end && q[k].first * axes[k].step + offset[k] < 0) q[k].first++;
        while (q[k].first < q[k].end && (q[k].end - 1) * axes[k].step + offset[k] >= axes[k].in)
            q[k].end--;
    }
    const rectangle r = {
        q[0].end - q[0].first,
        q[1].end - q[1].first,
        {a->dy.step[0], a->dy.step[1]},
        {axes[0].step * a->x.step[0], axes[1].step * a->x.step[1]},
    };
    if (r.rows <= 0 || r.columns <= 0) return;
    dy += (q[0].first - a->dy.first) * r.dy[0] + q[1].first * r.dy[1];
    x += (q[0].first * axes[0].step + offset[0] - a->x.first) * a->x.step[0] +
         (q[1].first * axes[1].step + offset[1]) * a->x.step[1];
    f(&r, dy, a->dy.channel, x, a->x.channel, acc);
}

/* dw of `units` units and `channels` channels from the stacks of a chunk, added to `to`. */
static void add_tile(const weight_plan *w, const weight_scratch *a, int64_t blocks, range q,
                     const float *dy, int64_t units, const float *x, int64_t channels, float *acc,
                     float *to)
{
    const dlf_conv_shape *s = w->s;
    const int64_t tile = units * channels, sums = tile * s->kernel[0] * s->kernel[1];
    products_fn *f = tile == 1 ? products_single : products_blocks[units - 1][channels - 1];
    const int64_t vectors = (sums + VEC - 1) / VEC * VEC;
    memset(acc, 0, (size_t)(vectors * VEC) * sizeof *acc);
    const int64_t most = POSITIONS_MOST / w->axes[1].out;
    const int64_t some = even_piece(q.end - q.first, most < 1 ? 1 : most);
    for (int64_t block = 0; block < blocks; block++)
        for (int64_t row = q.first; row < q.end; row += some)
            for (int64_t tap[2] = {0, 0}; tap[0] < s->kernel[0]; tap[0]++)
                for (tap[1] = 0; tap[1] < s->kernel[1]; tap[1]++)
                    add_tap(w, a, tap, (range){row, least(row + some, q.end)}, f,
                            dy + block * a->dy_floats, x + block * a->x_floats,
                            acc + (tap[0] * s->kernel[1] + tap[1]) * tile * VEC);
    for (int64_t n = 0; n < vectors; n += VEC) {
        vec r[VEC];
#pragma GCC unroll 16
        for (int i = 0; i < VEC; i++) r[i] = vec_load(acc + (n + i) * VEC);
        vec_store(acc + n, vec_sums(r)); /* in the place of sums that are done */
    }
    for (int64_t r = 0; r < s->kernel[0]; r++)
        for (int64_t t = 0; t < s->kernel[1]; t++)
            for (int64_t k = 0; k < units; k++)
                for (int64_t c = 0; c < channels; c++)
                    to[k * s->w.unit + c * s->w.channel + r * s->w.tap[0] + t * s->w.tap[1]] +=
                        *acc++;
}

/* The tiles of a chunk, whose stacks lie at x and dy. */
static void add_chunk(const weight_plan *w, const weight_task *t, const weight_scratch *a,
                      int64_t blocks, range q, float *acc, float *to)
{
    const dlf_conv_shape *s = w->s;
    const int64_t units = t->unit.end - t->unit.first, channels = t->channel.end - t->channel.first;
    int64_t mr, nv;
    for (int64_t g = 0; g < t->group.end - t->group.first; g++)
        for (int64_t k = 0; k < units; k += mr) {
            mr = even_piece(units - k, UNITS);
            for (int64_t c = 0; c < channels; c += nv) {
                nv = even_piece(channels - c, VECS);
                add_tile(w, a, blocks, q, a->dy.at + (g * units + k) * a->dy.channel, mr,
                         a->x.at + (g * channels + c) * a->x.channel, nv, acc,
                         to + (g * s->K + k) * s->w.unit + c * s->w.channel);
            }
        }
}

static void run_weight_task(const weight_plan *w, int64_t task, float *scratch)
{
    const dlf_conv_shape *s = w->s;
    const weight_task t = weight_task_of(w, task);
    const int64_t all = (int64_t)s->groups * s->K * s->w.unit;
    const int64_t row = t.group.first * s->K + t.unit.first;
    float *whole = w->parts == 1 ? w->dw + t.member * s->w.member
                                 : w->partial + (t.part * s->P + t.member) * all;
    float *to = whole + row * s->w.unit + t.channel.first * s->w.channel;
    const int64_t each = w->chunks * w->cut.strips;
    for (int64_t n = t.part * each / w->parts; n < (t.part + 1) * each / w->parts; n++) {
        const range q = strip_of(&w->cut, n % w->cut.strips);
        const int64_t first = n / w->cut.strips * w->chunk;
        const int64_t blocks = least(w->chunk, w->cut.blocks - first);
        weight_scratch a = weight_scratch_of(w, &t, q);
        float *const x = scratch + a.acc_floats, *const dy = x + w->chunk * a.x_floats;
        for (int64_t b = blocks - 1; b >= 0; b--) { /* a ends at block 0 */
            const lanes_of_images lanes = lanes_of_block(first + b, s->N, w->cut.bands);
            a.x.at = x + b * a.x_floats, a.dy.at = dy + b * a.dy_floats;
            move_stack(&a.x, &s->x, &lanes, w->cut.band * s->stride[0], s->in[0],
                       w->x + t.member * s->x.member +
                           (t.group.first * s->C + t.channel.first) * s->x.channel,
                       NULL, 0.0f);
            move_stack(&a.dy, &s->y, &lanes, w->cut.band, s->out[0],
                       w->dy + t.member * s->y.member + row * s->y.channel, NULL, 0.0f);
        }
        add_chunk(w, &t, &a, blocks, q, scratch, to);
    }
}

/* dw = beta dw, and partial sums from 0. */
static void prepare_sums(const weight_plan *w, int threads)
{
    const int64_t n = (int64_t)w->s->groups * w->s->K * w->s->w.unit, P = w->s->P;
    const float beta = (float)w->beta;
    if (w->parts > 1) memset(w->partial, 0, (size_t)(w->parts * P * n) * sizeof *w->partial);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t p = 0; p < P; p++) {
        float *to = w->dw + p * w->s->w.member;
        for (int64_t i = 0; i < n; i++) to[i] = beta == 0.0f ? 0.0f : beta * to[i];
    }
}

static void add_partial(const weight_plan *w, int threads)
{
    const int64_t n = (int64_t)w->s->groups * w->s->K * w->s->w.unit, P = w->s->P;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t p = 0; p < P; p++) {
        float *to = w->dw + p * w->s->w.member;
        for (int64_t part = 0; part < w->parts; part++) {
            const float *from = w->partial + (part * P + p) * n;
#pragma omp simd
            for (int64_t i = 0; i < n; i++) to[i] += from[i];
        }
    }
}

/* What a task takes. */
static void cut_weight(weight_plan *w)
{
    const dlf_conv_shape *s = w->s;
    w->units = even_piece(s->K, CHANNELS_MOST);
    w->channels = even_piece(s->C, CHANNELS_MOST);
    w->unit_cuts = (s->K + w->units - 1) / w->units;
    w->channel_cuts = (s->C + w->channels - 1) / w->channels;
    cut_into_bands(&w->cut, &w->axes[0], s->N, true);
    const int64_t in = s->in[1] * w->channels, out = s->out[1] * w->units;
    const bool whole = w->unit_cuts * w->channel_cuts == 1;
    int64_t together = whole ? groups_together(&w->cut, &w->axes[0], in, out) : 1;
    if (whole && !s->nchw && together * s->C < VEC) together = (VEC + s->C - 1) / s->C;
    w->groups = even_piece(s->groups, together);
    w->group_cuts = (s->groups + w->groups - 1) / w->groups;
    cut_into_strips(&w->cut, &w->axes[0], in * w->groups, out * w->groups);
    /* Small images: several blocks of lanes together. */
    const int64_t positions = w->cut.strip * s->out[1];
    const int64_t each = w->groups * (in * s->in[0] + out * s->out[0]) / w->cut.bands;
    const int64_t wanted = (PRODUCTS_WANTED + positions - 1) / positions;
    const int64_t most = w->cut.strips > 1 ? 1 : least(wanted, 2 * VECTORS_MOST / each);
    w->chunk = even_piece(w->cut.blocks, most < 1 ? 1 : most);
    w->chunks = (w->cut.blocks + w->chunk - 1) / w->chunk;
    const int64_t tasks = s->P * w->group_cuts * w->unit_cuts * w->channel_cuts;
    w->parts = least((WEIGHT_TASKS + tasks - 1) / tasks, w->chunks * w->cut.strips);
}

static dlf_status run_weight(weight_plan *w, int threads)
{
    const dlf_conv_shape *s = w->s;
    DLF_TRY(list_taps(w->axes, s, false, &w->memory));
    cut_weight(w);
    int64_t floats = 0;
    const weight_task largest = {
        .group = {0, w->groups}, .unit = {0, w->units}, .channel = {0, w->channels}};
    for (int64_t strip = 0; strip < w->cut.strips; strip++) {
        const weight_scratch a = weight_scratch_of(w, &largest, strip_of(&w->cut, strip));
        const int64_t n = a.acc_floats + w->chunk * (a.x_floats + a.dy_floats) +
                          w->chunk * (a.x.rows * a.x.width + a.dy.rows * a.dy.width) * VEC;
        if (n > floats) floats = n;
    }
    if (w->parts > 1) {
        const int64_t all = w->parts * s->P * s->groups * s->K * s->w.unit;
        w->partial = malloc((size_t)all * sizeof *w->partial);
        if (!w->partial) return dlf_fail(DLF_ERR_OOM, "conv: no memory for partial sums");
    }
    prepare_sums(w, threads);
    const int64_t tasks = s->P * w->parts * w->group_cuts * w->unit_cuts * w->channel_cuts;
    if (threads > tasks) threads = (int)tasks;
    bool oom = false;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        float *scratch = aligned_alloc(64, (size_t)(floats + 15) / 16 * 64);
        if (!scratch) {
#pragma omp atomic write
            oom = true;
        }
#pragma omp for schedule(dynamic, 1) nowait
        for (int64_t task = 0; task < tasks; task++)
            if (scratch) run_weight_task(w, task, scratch);
        free(scratch);
    }
    if (!oom && w->parts > 1) add_partial(w, threads);
    return oom ? dlf_fail(DLF_ERR_OOM, "conv: no memory for packing") : DLF_OK;
}

static void weight_free(weight_plan *w)
{
    free(w->partial);
    free(w->memory);
}
#endif
