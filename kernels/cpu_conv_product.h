/* SPDX-License-Identifier: MIT
 * cpu_conv_product.h -- a plan's product, task by task, in register blocks.
 *
 * The sum of a result runs over d in blocks of about DEPTH_MOST, each block from a register; so its
 * bits depend on the shape alone. */
#ifndef DLF_CPU_CONV_PRODUCT_H
#define DLF_CPU_CONV_PRODUCT_H
#include "cpu_conv_plan.h"

/* Channels (NCHW) or taps (NHWC) whose products are summed before a result is stored. */
static inline int64_t per_block(int64_t others)
{
    const int64_t n = DEPTH_MOST / (others > 0 ? others : 1);
    return n > 0 ? n : 1;
}

static inline void store_results(float *to, int64_t step, const float *v, int64_t n, float beta,
                                 float bias)
{
    if (beta == 0.0f)
        for (int64_t i = 0; i < n; i++) to[i * step] = v[i] + bias;
    else
        for (int64_t i = 0; i < n; i++) to[i * step] = fmaf(beta, to[i * step], v[i] + bias);
}

/* ---- NCHW ---- */

/* Sizes of a task's scratch, which is slab, packed columns and a row of blocks of results. */
typedef struct column_scratch {
    column_tasks tasks;
    int64_t channels, slab, packed, results;
} column_scratch;

static column_scratch column_scratch_of(const plan *p)
{
    const lattice *l = &p->l;
    column_scratch s = {.tasks = column_tasks_of(l),
                        .channels = least(per_block(l->taps[0] * l->taps[1]), l->channels)};
    const columns c = columns_of(l, &s.tasks, 0), whole = {0, 1, 0, s.tasks.positions};
    const slab one = slab_of(l, &c), all = slab_of(l, &whole);
    /* A piece may begin in the middle of a row, and then touch one row more than the first does. */
    const int64_t rows = least(one.rows + l->step[0], all.rows);
    s.slab = (c.samples * s.channels * rows * one.width + SLACK + 15) / 16 * 16;
    const int64_t width = COLUMNS_MOST;
    s.packed = (s.channels * l->taps[0] * l->taps[1] * width + SLACK + 15) / 16 * 16;
    s.results = MR * width;
    return s;
}

/* A block of units from a row of results to where they belong. */
static void scatter(const target *t, const lattice *l, const columns *c, float *out, const float *v,
                    int64_t units, int64_t width, float beta, const float *bias)
{
    const int64_t length = c->end - c->first;
    for (int64_t k = 0; k < units; k++)
        for (int64_t n = 0; n < c->samples; n++) {
            float *to = out + n * t->sample + k * t->unit;
            const float *from = v + k * width + n * length, b = bias ? bias[k] : 0.0f;
            if (t->dense) {
                store_results(to + c->first, 1, from, length, beta, b);
                continue;
            }
            for (int64_t q = c->first; q < c->end;) {
                const int64_t i = q / l->grid[1], j = q % l->grid[1];
                const int64_t count = least(l->grid[1] - j, c->end - q);
                store_results(to + i * t->at[0] + j * t->at[1], t->at[1], from + (q - c->first),
                              count, beta, b);
                q += count;
            }
        }
}

/* A block of units for all columns of a task; d0: where the depth begins. */
static void multiply_columns(const plan *p, const columns *c, const float *a, const float *b,
                             int64_t depth, float *out, int64_t units, const float *bias,
                             bool first, float *results)
{
    const target *t = &p->t;
    const int64_t count = c->samples * (c->end - c->first), width = (count + NR - 1) / NR * NR;
    const bool direct = t->dense && c->samples == 1 && !(bias && first);
    const epilogue e = {.alpha = 1.0f,
                        .beta = !direct ? 0.0f
                                : first ? t->beta
                                        : 1.0f,
                        .row = direct ? t->unit : width};
    float *to = direct ? out + c->first : results;
    for (int64_t j = 0; j < count; j += NR) {
        const int64_t n = least(NR, count - j);
        blocks[units - 1][n > VEC](a, 1, MR, b + j * depth, NR, depth, to + j, n, &e);
    }
    if (!direct)
        scatter(t, &p->l, c, out, results, units, width, first ? t->beta : 1.0f,
                first ? bias : NULL);
}

static void column_task(const plan *p, const column_scratch *s, int64_t task, float *scratch)
{
    const lattice *l = &p->l;
    const int64_t which = task / s->tasks.tasks, member = which / p->groups;
    const int64_t group = which % p->groups, taps = l->taps[0] * l->taps[1];
    const columns c = columns_of(l, &s->tasks, task % s->tasks.tasks);
    const int64_t count = c.samples * (c.end - c.first), D = lattice_depth(l);
    const float *in = p->in + member * l->in.member + group * p->in_group + c.n * l->in.sample;
    float *out = p->t.out + member * p->t.member + group * p->t.group + c.n * p->t.sample;
    const float *w = p->packed + (p->w.member == 0 ? group : which) * p->packed_size;
    const float *bias =
        p->t.bias ? p->t.bias + member * p->t.bias_member + group * p->w.units : NULL;
    slab rows = slab_of(l, &c);
    rows.at = scratch;
    float *packed = scratch + s->slab, *results = packed + s->packed;
    for (int64_t k = 0; k < l->channels; k += s->channels) {
        const int64_t channels = least(s->channels, l->channels - k), depth = channels * taps;
        if (depth > 0) {
            fill_slab(&rows, l, &c, in + k * l->in.channel, channels);
            for (int64_t j = 0; j < count; j += NR)
                pack_columns(packed + j * depth, NR, &rows, l, &c, channels, j,
                             least(NR, count - j));
        }
        for (int64_t block = 0; block < p->blocks; block++) {
            const int64_t first = block * p->block, units = least(p->block, p->w.units - first);
            multiply_columns(p, &c, w + (block * D + k * taps) * MR, packed, depth,
                             out + first * p->t.unit, units, bias ? bias + first : NULL, k == 0,
                             results);
        }
        if (depth == 0) break; /* nothing is read: results are 0 */
    }
}

/* ---- NHWC ---- */

enum { ROWS = 96 /* positions of a task: a multiple of every MR */ };

typedef struct row_scratch {
    int64_t rows, tasks, taps, width, packed, results; /* rows: of all samples */
} row_scratch;

/* Whole vectors may be read at the end of a row; rows do not share cache sets. */
static inline int64_t row_width(int64_t depth)
{
    return (depth + NR - 1) / NR * NR + VEC;
}

static row_scratch row_scratch_of(const plan *p)
{
    const lattice *l = &p->l;
    row_scratch s = {.rows = l->N * l->grid[0] * l->grid[1]};
    s.tasks = (s.rows + ROWS - 1) / ROWS;
    s.taps = least(per_block(l->channels), l->taps[0] * l->taps[1]);
    s.width = row_width(s.taps * l->channels);
    s.packed = ROWS * s.width + SLACK;
    s.results = MR * NR;
    return s;
}

/* A block of MR x NR results to rows that do not follow each other. */
static void scatter_rows(const target *t, const lattice *l, float *out, const float *v, int64_t row,
                         int64_t rows, int64_t units, float beta, const float *bias)
{
    const int64_t positions = l->grid[0] * l->grid[1];
    for (int64_t i = 0; i < rows; i++) {
        const int64_t n = (row + i) / positions, q = (row + i) % positions;
        float *to = out + n * t->sample + q / l->grid[1] * t->at[0] + q % l->grid[1] * t->at[1];
        for (int64_t k = 0; k < units; k++) {
            const float value = v[i * NR + k] + (bias ? bias[k] : 0.0f);
            to[k] = beta == 0.0f ? value : fmaf(beta, to[k], value);
        }
    }
}

static void row_task(const plan *p, const row_scratch *s, int64_t task, float *scratch)
{
    const lattice *l = &p->l;
    const target *t = &p->t;
    const int64_t which = task / s->tasks, member = which / p->groups, group = which % p->groups;
    const int64_t row = task % s->tasks * ROWS, rows = least(ROWS, s->rows - row);
    const int64_t taps = l->taps[0] * l->taps[1], D = lattice_depth(l);
    const float *in = p->in + member * l->in.member + group * p->in_group;
    const float *w = p->packed + (p->w.member == 0 ? group : which) * p->packed_size;
    const float *bias = t->bias ? t->bias + member * t->bias_member + group * p->w.units : NULL;
    float *out = t->out + member * t->member + group * t->group;
    float *packed = scratch, *results = scratch + s->packed;
    int64_t tap = 0;
    do {
        const int64_t some = least(s->taps, taps - tap), depth = some * l->channels;
        const bool first = tap == 0, direct = t->dense && !(bias && first);
        const epilogue e = {.alpha = 1.0f,
                            .beta = !direct ? 0.0f
                                    : first ? t->beta
                                            : 1.0f,
                            .row = direct ? t->at[1] : NR};
        pack_rows(packed, s->width, l, in, row, rows, tap, some);
        for (int64_t i = 0; i < rows; i += MR)
            for (int64_t block = 0; block < p->blocks; block++) {
                const int64_t k = block * NR, units = least(NR, p->w.units - k);
                const int64_t mr = least(MR, rows - i);
                blocks[mr - 1][units > VEC](
                    packed + i * s->width, s->width, 1, w + (block * D + tap * l->channels) * NR,
                    NR, depth, direct ? out + (row + i) * t->at[1] + k : results, units, &e);
                if (!direct)
                    scatter_rows(t, l, out + k, results, row + i, mr, units, first ? t->beta : 1.0f,
                                 bias && first ? bias + k : NULL);
            }
        tap += some;
    } while (tap < taps);
}

/* ---- all tasks ---- */

static dlf_status run_plan(plan *p)
{
    DLF_TRY(pack_weights(p));
    const column_scratch columns_ = p->nchw ? column_scratch_of(p) : (column_scratch){0};
    const row_scratch rows = p->nchw ? (row_scratch){0} : row_scratch_of(p);
    const int64_t each = p->nchw ? columns_.tasks.tasks : rows.tasks;
    const int64_t tasks = p->P * p->groups * each;
    const int64_t floats =
        p->nchw ? columns_.slab + columns_.packed + columns_.results : rows.packed + rows.results;
    const int threads = (int)least(p->threads, tasks);
    bool oom = false;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        float *scratch = aligned_alloc(64, (size_t)(floats + 15) / 16 * 64);
        if (!scratch) {
#pragma omp atomic write
            oom = true;
        }
#pragma omp for schedule(dynamic, 1) nowait
        for (int64_t task = 0; task < tasks; task++) {
            if (!scratch) continue;
            if (p->nchw)
                column_task(p, &columns_, task, scratch);
            else
                row_task(p, &rows, task, scratch);
        }
        free(scratch);
    }
    return oom ? dlf_fail(DLF_ERR_OOM, "conv: no memory for packing") : DLF_OK;
}
#endif
