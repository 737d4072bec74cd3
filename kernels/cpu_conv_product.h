/* SPDX-License-Identifier: MIT
 * cpu_conv_product.h -- forward pass and data gradient, task by task: stack what is read, compute
 * in register blocks, and write the stack of results back. Every result is one sum over taps and
 * channels in a register, so its bits depend on the shape alone. */
#ifndef DLF_CPU_CONV_PRODUCT_H
#define DLF_CPU_CONV_PRODUCT_H
#include "cpu_conv_block.h"

enum { TASKS_WANTED = 16, UNITS_LEAST = 24 /* of a task, where units are shared out */ };

typedef struct product {
    axis axes[2];
    layers cut;
    int64_t P, N, groups, channels, units; /* channels and units of a group */
    bool nchw;
    const float *in, *w, *bias;
    float *out, beta;
    dlf_conv_image read, write;
    int64_t w_member, w_unit, w_channel, w_tap[2], bias_member;
    int64_t unit_blocks; /* in a group                                                      */
    int64_t parts;       /* of a group's units, for as many tasks; 1 of several groups      */
    int64_t group_cuts;  /* of the groups, for as many tasks                                */
    float *packed;       /* [member][group][block of units][tap][tap][channel][unit]        */
    void *memory;
} product;

/* Units of block b begin here: as even as they can be. */
static inline int64_t first_unit(const product *p, int64_t b)
{
    return b * p->units / p->unit_blocks;
}

static int64_t packed_block(const product *p, const dlf_conv_shape *s)
{
    return (int64_t)s->kernel[0] * s->kernel[1] * p->channels * UNITS;
}

static void pack_units(const product *p, const dlf_conv_shape *s, float *to, const float *w,
                       int64_t units)
{
    for (int64_t r = 0; r < s->kernel[0]; r++)
        for (int64_t q = 0; q < s->kernel[1]; q++)
            for (int64_t c = 0; c < p->channels; c++, to += UNITS) {
                const float *from = w + r * p->w_tap[0] + q * p->w_tap[1] + c * p->w_channel;
                for (int64_t i = 0; i < UNITS; i++) to[i] = i < units ? from[i * p->w_unit] : 0.0f;
            }
}

static dlf_status pack_weights(product *p, const dlf_conv_shape *s, int threads)
{
    const int64_t members = p->w_member == 0 ? 1 : p->P, each = packed_block(p, s);
    const int64_t blocks = p->groups * p->unit_blocks, all = members * blocks;
    const int64_t group = s->K * s->w.unit; /* of w, in either direction */
    p->packed = aligned_alloc(64, (size_t)(all * each + 15) / 16 * 64);
    if (!p->packed) return dlf_fail(DLF_ERR_OOM, "conv: no memory for packing");
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t k = 0; k < all; k++) {
        const int64_t member = k / blocks, g = k % blocks / p->unit_blocks;
        const int64_t b = k % p->unit_blocks, unit = first_unit(p, b);
        pack_units(p, s, p->packed + k * each,
                   p->w + member * p->w_member + g * group + unit * p->w_unit,
                   first_unit(p, b + 1) - unit);
    }
    return DLF_OK;
}

static void product_free(product *p)
{
    free(p->packed);
    free(p->memory);
}

/* Everything but bias and beta. */
static dlf_status product_of(product *p, const dlf_conv_shape *s, bool data, float *out,
                             const float *in, const float *w, int threads)
{
    *p = (product){.P = s->P,
                   .N = s->N,
                   .groups = s->groups,
                   .channels = data ? s->K : s->C,
                   .units = data ? s->C : s->K,
                   .nchw = s->nchw,
                   .in = in,
                   .w = w,
                   .out = out,
                   .read = data ? s->y : s->x,
                   .write = data ? s->x : s->y,
                   .w_member = s->w.member,
                   .w_unit = data ? s->w.channel : s->w.unit,
                   .w_channel = data ? s->w.unit : s->w.channel,
                   .w_tap = {s->w.tap[0], s->w.tap[1]}};
    DLF_TRY(list_taps(p->axes, s, data, &p->memory));
    p->unit_blocks = (p->units + UNITS - 1) / UNITS;
    cut_into_bands(&p->cut, &p->axes[0], p->N, false);
    /* Groups until a band is cut into strips, in whole vectors of NHWC. */
    const int64_t reads = p->axes[1].in * p->channels, writes = p->axes[1].out * p->units;
    int64_t together = groups_together(&p->cut, &p->axes[0], reads, writes);
    if (!p->nchw && together * p->channels < VEC) together = (VEC + p->channels - 1) / p->channels;
    p->group_cuts = (p->groups + together - 1) / together;
    together = (p->groups + p->group_cuts - 1) / p->group_cuts;
    cut_into_strips(&p->cut, &p->axes[0], reads * together, writes * together);
    const int64_t tasks = p->P * p->cut.blocks * p->cut.strips;
    const int64_t most = p->groups > 1 ? 1 : p->units / UNITS_LEAST;
    p->parts = least((TASKS_WANTED + tasks - 1) / tasks, most < 1 ? 1 : most);
    return pack_weights(p, s, threads);
}

/* Rows and columns of quotients whose results read the same taps. */
typedef struct patch {
    range q[2];
    int64_t residue[2];
} patch;

static void run_patch(const product *p, const reading *t, const stack *in, const float *from,
                      const stack *out, float *to, int64_t units, const float *bias,
                      const patch *where)
{
    const int64_t size[2] = {where->q[0].end - where->q[0].first,
                             where->q[1].end - where->q[1].first};
    const int along = size[1] >= size[0], across = !along; /* the axis of a block's vectors */
    const int64_t apart = p->axes[along].step * in->step[along];
    const int64_t origin[2] = {in->first, 0}, goal[2] = {out->first, 0};
    writing w = {
        .unit = out->channel, .position = p->axes[along].period * out->step[along], .bias = bias};
    for (int64_t i = 0; i < size[across]; i++) {
        int64_t n;
        for (int64_t j = 0; j < size[along]; j += n) {
            n = even_piece(size[along] - j, VECS);
            const float *b = from;
            w.out = to;
            for (int k = 0; k < 2; k++) {
                const int64_t q = where->q[k].first + (k == along ? j : i);
                const axis *a = &p->axes[k];
                b += (q * a->step - origin[k]) * in->step[k];
                w.out += (q * a->period + where->residue[k] - goal[k]) * out->step[k];
            }
            taps_blocks[units - 1][n - 1](t, b, apart, &w);
        }
    }
}

/* What a task computes: quotients of rows, groups, and blocks of units (of all groups). */
typedef struct piece {
    int64_t member, block;
    range strip, group, units;
    int64_t first_unit, end_unit; /* of all groups */
} piece;

static piece piece_of(const product *p, int64_t task)
{
    piece t;
    const int64_t part = task % p->parts, cut = task / p->parts % p->group_cuts;
    task /= p->parts * p->group_cuts;
    t.strip = strip_of(&p->cut, task % p->cut.strips);
    task /= p->cut.strips;
    t.block = task % p->cut.blocks;
    t.member = task / p->cut.blocks;
    t.group = (range){cut * p->groups / p->group_cuts, (cut + 1) * p->groups / p->group_cuts};
    t.units = (range){t.group.first * p->unit_blocks, t.group.end * p->unit_blocks};
    t.first_unit = t.group.first * p->units, t.end_unit = t.group.end * p->units;
    if (p->parts > 1) {
        t.units = (range){part * p->unit_blocks / p->parts, (part + 1) * p->unit_blocks / p->parts};
        t.first_unit = first_unit(p, t.units.first), t.end_unit = first_unit(p, t.units.end);
    }
    return t;
}

/* Its stacks: what it reads, and what it computes. */
static stack stack_in(const product *p, const piece *t)
{
    const range rows = rows_read(&p->axes[0], &p->cut, t->strip);
    return stack_of(p->nchw, (t->group.end - t->group.first) * p->channels, p->group_cuts == 1,
                    p->axes[1].in, rows.first, rows.end - rows.first);
}

static stack stack_out(const product *p, const piece *t)
{
    const int64_t period = p->axes[0].period;
    return stack_of(p->nchw, t->end_unit - t->first_unit, p->group_cuts * p->parts == 1,
                    p->axes[1].out, t->strip.first * period,
                    (t->strip.end - t->strip.first) * period);
}

/* A patch for all units of a piece, a block after the other. */
static void run_units(const product *p, const dlf_conv_shape *s, const piece *task, reading *t,
                      const stack *in, const stack *out, const patch *where)
{
    const float *bias = p->bias ? p->bias + task->member * p->bias_member : NULL;
    const int64_t all = p->groups * p->unit_blocks, each = packed_block(p, s);
    for (int64_t b = task->units.first; b < task->units.end; b++) {
        const int64_t group = b / p->unit_blocks, first = first_unit(p, b % p->unit_blocks);
        const int64_t units = first_unit(p, b % p->unit_blocks + 1) - first;
        const int64_t k = group * p->units + first;
        t->w = p->packed + ((p->w_member == 0 ? 0 : task->member * all) + b) * each;
        run_patch(p, t, in, in->at + (group - task->group.first) * p->channels * in->channel, out,
                  out->at + (k - task->first_unit) * out->channel, units, bias ? bias + k : NULL,
                  where);
    }
}

/* Quotients along an axis for which there are results of this residue. */
static inline int64_t results_of(const axis *a, int64_t residue)
{
    return (a->out - residue + a->period - 1) / a->period;
}

/* All results of a strip, patch by patch. */
static void run_strip(const product *p, const dlf_conv_shape *s, const piece *task, const stack *in,
                      const stack *out)
{
    const bool all = p->cut.bands > 1;
    reading t = {.tap = {s->kernel[1] * p->channels * UNITS, p->channels * UNITS},
                 .channels = p->channels,
                 .channel = in->channel,
                 .step = {in->step[0], in->step[1]}};
    patch where;
    int64_t *residue = where.residue;
    for (residue[0] = 0; residue[0] < p->axes[0].residues; residue[0]++)
        for (residue[1] = 0; residue[1] < p->axes[1].residues; residue[1]++) {
            for (int k = 0; k < 2; k++) t.list[k] = &p->axes[k].of[residue[k]];
            const int64_t ends[2] = {all ? task->strip.end
                                         : least(task->strip.end, results_of(p->axes, residue[0])),
                                     results_of(&p->axes[1], residue[1])};
            for (int64_t i = task->strip.first; i < ends[0]; i = where.q[0].end) {
                t.of[0] = taps_at(&p->axes[0], t.list[0], i, all);
                where.q[0] = (range){i, same_taps(&p->axes[0], t.list[0], i, ends[0], all)};
                for (int64_t j = 0; j < ends[1]; j = where.q[1].end) {
                    t.of[1] = taps_at(&p->axes[1], t.list[1], j, false);
                    where.q[1] = (range){j, same_taps(&p->axes[1], t.list[1], j, ends[1], false)};
                    run_units(p, s, task, &t, in, out, &where);
                }
            }
        }
}

static void run_task(const product *p, const dlf_conv_shape *s, int64_t task, float *scratch)
{
    const piece t = piece_of(p, task);
    const lanes_of_images lanes = lanes_of_block(t.block, p->N, p->cut.bands);
    stack in = stack_in(p, &t), out = stack_out(p, &t);
    in.at = scratch;
    out.at = scratch + (stack_floats(&in) + 15) / 16 * 16;
    move_stack(&in, &p->read, &lanes, p->cut.band * p->axes[0].step, p->axes[0].in,
               p->in + t.member * p->read.member + t.group.first * p->channels * p->read.channel,
               NULL, 0.0f);
    run_strip(p, s, &t, &in, &out);
    move_stack(&out, &p->write, &lanes, p->cut.band * p->axes[0].period, p->axes[0].out, NULL,
               p->out + t.member * p->write.member + t.first_unit * p->write.channel, p->beta);
}

static dlf_status run_product(const product *p, const dlf_conv_shape *s, int threads)
{
    int64_t floats = 0;
    const int64_t each = p->cut.strips * p->group_cuts * p->parts;
    for (int64_t task = 0; task < each; task++) {
        const piece t = piece_of(p, task);
        const stack in = stack_in(p, &t), out = stack_out(p, &t);
        const int64_t n = (stack_floats(&in) + 15) / 16 * 16 + stack_floats(&out);
        if (n > floats) floats = n;
    }
    const int64_t tasks = p->P * p->cut.blocks * each;
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
            if (scratch) run_task(p, s, task, scratch);
        free(scratch);
    }
    return oom ? dlf_fail(DLF_ERR_OOM, "conv: no memory for packing") : DLF_OK;
}
#endif
