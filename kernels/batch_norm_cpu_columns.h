/* SPDX-License-Identifier: MIT
 * batch_norm_cpu_columns.h -- NHWC and matrices: N rows of C channels; part of batch_norm_cpu.c.
 *
 * Rows are cut into blocks, C into tiles of at most TILE columns. Where C is small, `lanes` rows
 * lie side by side in a tile and have statistics of their own until the block ends. */
#ifndef DLF_BATCH_NORM_CPU_COLUMNS_H
#define DLF_BATCH_NORM_CPU_COLUMNS_H
#include "batch_norm_cpu.h"

/* Of a block: bytes that stay in L2, and rows enough that its sums are little beside it. */
enum { BLOCK_BYTES = 256 << 10, BLOCK_ROWS = 128, BLOCKS_MAX = 32 };

typedef struct cut {
    int64_t lanes,
        period;          /* rows side by side; their values: lanes C, what coefficients repeat by */
    int64_t tile, tiles; /* columns of a tile: all `period`, or TILE of C                        */
    int64_t rows, blocks; /* of a block; of a member                                              */
} cut;

static cut cut_of(const bn *b)
{
    cut k = {.lanes = b->C < TILE ? TILE / b->C : 1};
    if (k.lanes > b->N) k.lanes = b->N;
    k.period = k.lanes * b->C;
    k.tile = at_most(k.period, TILE);
    k.tiles = (k.period + k.tile - 1) / k.tile;
    const int64_t unit = k.lanes * BATCH, few = (b->N + BLOCKS_MAX - 1) / BLOCKS_MAX;
    k.rows = BLOCK_BYTES / (int64_t)sizeof(float) / b->C;
    if (k.rows < BLOCK_ROWS) k.rows = BLOCK_ROWS;
    if (k.rows < few) k.rows = few;
    k.rows = (k.rows + unit - 1) / unit * unit;
    k.blocks = (b->N + k.rows - 1) / k.rows;
    return k;
}

/* The same for elementwise passes, which leave nothing behind and take smaller blocks. */
static cut strips_of(const bn *b, cut k)
{
    k.rows = BLOCK_BYTES / (int64_t)sizeof(float) / b->C + 1;
    k.blocks = (b->N + k.rows - 1) / k.rows;
    return k;
}

/* A block's share of the sums: [0] mean or sum of dz, [1] squares or sum of dz (x - hi). */
typedef struct part {
    double *of[2]; /* C each */
} part;

static part part_at(double *parts, const bn *b, int64_t index)
{
    return (part){{parts + 2 * index * b->C, parts + (2 * index + 1) * b->C}};
}

static double block_rows(const bn *b, const cut *k, int64_t block)
{
    return (double)at_most(k->rows, b->N - block * k->rows);
}

/* Calls of `body` for the rows of a block: wide rows of `tile` columns, `batch` at a time, then the
 * rest of less than `lanes` rows as one narrower wide row. */
typedef struct window {
    int64_t at[BATCH]; /* where the rows begin   */
    int64_t count;     /* rows: BATCH or 1       */
    int64_t width;     /* columns                */
    double before;     /* wide rows before these */
} window;

static bool next_window(window *w, int64_t *done, const bn *b, const cut *k, int64_t block,
                        int64_t tile)
{
    const int64_t rows = at_most(k->rows, b->N - block * k->rows), wide = rows / k->lanes;
    const int64_t first = block * k->rows * b->C + tile * k->tile;
    const int64_t rest = rows % k->lanes;
    if (*done > wide || (*done == wide && rest == 0)) return false;
    w->before = (double)*done;
    w->count = *done + BATCH <= wide ? BATCH : 1;
    w->width = *done < wide ? at_most(k->tile, k->period - tile * k->tile) : rest * b->C;
    for (int64_t i = 0; i < w->count; i++) w->at[i] = first + (*done + i) * k->period;
    *done += w->count;
    return true;
}

/* The lanes of a column about their common mean. */
static void join_lanes(part out, const bn *b, const cut *k, int64_t block, int64_t tile,
                       const float *origin, const float *mean, const float *m2)
{
    const int64_t rows = at_most(k->rows, b->N - block * k->rows);
    const int64_t first = tile * k->tile, width = at_most(b->C - first, k->tile);
    for (int64_t c = 0; c < width; c++) {
        double sum = 0.0, squares = 0.0;
        for (int64_t i = 0, j = c; i < k->lanes && i < rows; i++, j += b->C) {
            const double n = (double)(rows / k->lanes + (i < rows % k->lanes));
            sum += n * ((double)(origin[j] - origin[c]) + (double)mean[j]);
        }
        const double common = sum / (double)rows;
        for (int64_t i = 0, j = c; i < k->lanes && i < rows; i++, j += b->C) {
            const double n = (double)(rows / k->lanes + (i < rows % k->lanes));
            const double d = (double)(origin[j] - origin[c]) + (double)mean[j] - common;
            squares += (double)m2[j] + n * d * d;
        }
        out.of[0][first + c] = (double)origin[c] + common;
        out.of[1][first + c] = squares;
    }
}

static void block_stats(part out, const bn *b, const cut *k, const void *x, int64_t block,
                        int64_t tile)
{
    float mean[TILE], m2[TILE], origin[TILE], buffer[BATCH][TILE];
    memset(mean, 0, sizeof mean), memset(m2, 0, sizeof m2);
    window w;
    for (int64_t done = 0; next_window(&w, &done, b, k, block, tile);) {
        const float *rows[BATCH] = {0};
        for (int64_t i = 0; i < w.count; i++)
            rows[i] = dlf_cpu_load(buffer[i], x, b->dtype, w.at[i], w.width);
        if (w.before == 0.0) memcpy(origin, rows[0], (size_t)w.width * sizeof *origin);
        if (w.count == BATCH)
            bn_merge_rows(mean, m2, origin, rows, w.width, w.before);
        else
            bn_merge_row(mean, m2, origin, rows[0], w.width, w.before);
    }
    join_lanes(out, b, k, block, tile, origin, mean, m2);
}

/* The coefficients of `width` channels from c on: repeat them for the other lanes. */
static void repeat(const bn *b, const cut *k, const bn_coefs *coefs, int64_t c, int64_t width)
{
    float *all[] = {coefs->hi, coefs->scale, coefs->shift, coefs->slope, coefs->offset};
    for (int a = 0; a < 5; a++)
        for (int64_t i = 1; i < k->lanes; i++)
            memcpy(all[a] + i * b->C + c, all[a] + c, (size_t)width * sizeof(float));
}

static void set_coef(const bn_coefs *to, int64_t c, bn_coef k)
{
    to->hi[c] = k.hi;
    to->scale[c] = k.scale;
    to->shift[c] = k.shift;
    to->slope[c] = k.slope;
    to->offset[c] = k.offset;
}

/* Channels whose statistics are finished in one task. */
enum { FINISH = 128 };

static int64_t finish_tasks(const bn *b)
{
    return (b->C + FINISH - 1) / FINISH;
}

/* Statistics and coefficients of FINISH channels of member p from its blocks' parts. */
static void finish_columns(const bn_coefs *coefs, const bn *b, const cut *k, const dlf_norm_fwd *io,
                           double momentum, int64_t p, int64_t task, double *parts)
{
    const float *gamma = bn_member(io->gamma, p), *beta = bn_member(io->beta, p);
    const int64_t first = task * FINISH, width = at_most(FINISH, b->C - first);
    double mean[FINISH] = {0}, m2[FINISH] = {0};
    for (int64_t i = 0; i < k->blocks; i++) {
        const double *of = part_at(parts, b, i).of[0] + first, n = block_rows(b, k, i);
        for (int64_t c = 0; c < width; c++) mean[c] += n * of[c];
    }
    for (int64_t c = 0; c < width; c++) mean[c] /= b->count;
    for (int64_t i = 0; i < k->blocks; i++) {
        const part at = part_at(parts, b, i);
        const double *of = at.of[0] + first, *squares = at.of[1] + first, n = block_rows(b, k, i);
        for (int64_t c = 0; c < width; c++) {
            const double d = of[c] - mean[c];
            m2[c] += squares[c] + n * d * d;
        }
    }
    for (int64_t c = 0; c < width; c++) {
        const float rstd = bn_write(b, io, momentum, p, first + c, mean[c], m2[c] / b->count);
        set_coef(coefs, first + c, bn_coef_of(mean[c], rstd, gamma, beta, first + c));
    }
    repeat(b, k, coefs, first, width);
}

/* y of a block, in storage order: pieces of at most TILE values that do not cross a period. */
static void apply_block(const bn *b, const cut *k, const dlf_norm_fwd *io, int64_t p, int64_t block,
                        const bn_coefs *coefs)
{
    float bx[TILE], br[TILE], by[TILE];
    const int64_t begin = block * k->rows * b->C;
    const int64_t end = begin + (int64_t)block_rows(b, k, block) * b->C;
    const void *x = bn_member(io->x, p), *residual = bn_member(io->residual, p);
    void *y = bn_member(io->y, p);
    for (int64_t at = begin, n = 0; at < end; at += n) {
        const int64_t phase = (at - begin) % k->period;
        n = at_most(at_most(TILE, k->period - phase), end - at);
        const float *r = residual ? dlf_cpu_load(br, residual, b->dtype, at, n) : NULL;
        float *to = b->streams ? by : dlf_cpu_target(by, y, b->dtype, at);
        bn_affine_row(to, dlf_cpu_load(bx, x, b->dtype, at, n), r, n, coefs, phase);
        if (b->active) DLF_CPU(activation_values)(to, to, n, b->f);
        put(y, b, at, to, n);
    }
    if (b->streams) dlf_cpu_stream_end();
}

/* Member by member on the stack: when a member is one block and one tile. */
static bool is_small(const cut *k)
{
    return k->blocks == 1 && k->tiles == 1;
}

typedef struct small_work {
    double parts[2 * TILE];
    float coefs[5 * TILE];
} small_work;

static bn_coefs coefs_at(float *memory, const cut *k, int64_t index)
{
    float *at = memory + 5 * index * k->period;
    return (bn_coefs){at, at + k->period, at + 2 * k->period, at + 3 * k->period,
                      at + 4 * k->period};
}

/* Parts of all blocks, then coefficients of all members. */
typedef struct work {
    double *parts;
    float *coefs;
} work;

static bool work_open(work *w, const bn *b, const cut *k)
{
    w->parts = malloc((size_t)(2 * b->P * k->blocks * b->C) * sizeof *w->parts);
    w->coefs = malloc((size_t)(5 * b->P * k->period) * sizeof *w->coefs);
    return w->parts && w->coefs;
}

static void work_close(work *w)
{
    free(w->parts), free(w->coefs);
}

static dlf_status forward_columns(const bn *b, const dlf_norm_fwd *io, double momentum)
{
    const cut k = cut_of(b);
    if (is_small(&k)) {
#pragma omp parallel for num_threads(b->threads) schedule(static)
        for (int64_t p = 0; p < b->P; p++) {
            small_work w;
            const bn_coefs coefs = coefs_at(w.coefs, &k, 0);
            block_stats(part_at(w.parts, b, 0), b, &k, bn_member(io->x, p), 0, 0);
            for (int64_t i = 0; i < finish_tasks(b); i++)
                finish_columns(&coefs, b, &k, io, momentum, p, i, w.parts);
            apply_block(b, &k, io, p, 0, &coefs);
        }
        return DLF_OK;
    }
    work w;
    if (!work_open(&w, b, &k)) {
        work_close(&w);
        return no_memory("norm_forward");
    }
    const int64_t blocks = b->P * k.blocks;
    const cut strips = strips_of(b, k);
#pragma omp parallel for num_threads(b->threads) schedule(static)
    for (int64_t task = 0; task < blocks * k.tiles; task++) {
        const int64_t i = task / k.tiles;
        block_stats(part_at(w.parts, b, i), b, &k, bn_member(io->x, i / k.blocks), i % k.blocks,
                    task % k.tiles);
    }
    const int64_t finishes = finish_tasks(b);
#pragma omp parallel for num_threads(b->threads) schedule(static)
    for (int64_t task = 0; task < b->P * finishes; task++) {
        const int64_t p = task / finishes;
        const bn_coefs coefs = coefs_at(w.coefs, &k, p);
        finish_columns(&coefs, b, &k, io, momentum, p, task % finishes,
                       w.parts + 2 * p * k.blocks * b->C);
    }
#pragma omp parallel for num_threads(b->threads) schedule(static)
    for (int64_t task = 0; task < b->P * strips.blocks; task++) {
        const int64_t i = b->P * strips.blocks - 1 - task, p = i / strips.blocks;
        const bn_coefs coefs = coefs_at(w.coefs, &k, p);
        apply_block(b, &strips, io, p, i % strips.blocks, &coefs);
    }
    work_close(&w);
    return DLF_OK;
}

static dlf_status infer_columns(const bn *b, const dlf_norm_fwd *io)
{
    const cut k = cut_of(b), strips = strips_of(b, k);
    float *memory = malloc((size_t)(5 * b->P * k.period) * sizeof *memory);
    if (!memory) return no_memory("norm_infer");
    for (int64_t p = 0; p < b->P; p++) {
        const float *mean = bn_member(io->running_mean, p), *var = bn_member(io->running_var, p);
        const float *gamma = bn_member(io->gamma, p), *beta = bn_member(io->beta, p);
        const bn_coefs coefs = coefs_at(memory, &k, p);
        for (int64_t c = 0; c < b->C; c++) {
            const float rstd = bn_rstd((double)var[c], b->eps);
            set_coef(&coefs, c, bn_coef_of((double)mean[c], rstd, gamma, beta, c));
        }
        repeat(b, &k, &coefs, 0, b->C);
    }
#pragma omp parallel for num_threads(b->threads) schedule(static)
    for (int64_t task = 0; task < b->P * strips.blocks; task++) {
        const bn_coefs coefs = coefs_at(memory, &k, task / strips.blocks);
        apply_block(b, &strips, io, task / strips.blocks, task % strips.blocks, &coefs);
    }
    free(memory);
    return DLF_OK;
}

/* ---- backward ---------------------------------------------------------------------------------
 */

static void block_sums(part out, const bn *b, const cut *k, const dlf_norm_bwd *io, int64_t p,
                       int64_t block, int64_t tile, const bn_coefs *coefs)
{
    float sum[TILE] = {0}, product[TILE] = {0};
    float bx[BATCH][TILE], bz[BATCH][TILE], bd[TILE], br[TILE];
    const void *x = bn_member(io->x, p), *dy = bn_member(io->dy, p);
    const void *residual = bn_member(io->residual, p);
    const int64_t phase = tile * k->tile;
    window w;
    for (int64_t done = 0; next_window(&w, &done, b, k, block, tile);) {
        const float *rows[BATCH] = {0}, *dz[BATCH] = {0};
        for (int64_t i = 0; i < w.count; i++) {
            rows[i] = dlf_cpu_load(bx[i], x, b->dtype, w.at[i], w.width);
            dz[i] = dlf_cpu_load(b->active ? bd : bz[i], dy, b->dtype, w.at[i], w.width);
            if (!b->active) continue;
            const float *r =
                residual ? dlf_cpu_load(br, residual, b->dtype, w.at[i], w.width) : NULL;
            bn_affine_row(bz[i], rows[i], r, w.width, coefs, phase);
            slopes(bz[i], dz[i], bz[i], w.width, b->f);
            dz[i] = bz[i];
        }
        bn_add_rows(sum, product, dz, rows, w.count, w.width, coefs->hi + phase);
    }
    const int64_t width = at_most(b->C - phase, k->tile);
    for (int64_t c = 0; c < width; c++) {
        double total[2] = {0.0, 0.0};
        for (int64_t i = 0, j = c; i < k->lanes; i++, j += b->C) {
            total[0] += (double)sum[j];
            total[1] += (double)product[j];
        }
        out.of[0][phase + c] = total[0];
        out.of[1][phase + c] = total[1];
    }
}

static void finish_columns_backward(const bn_coefs *coefs, const bn *b, const cut *k,
                                    const dlf_norm_bwd *io, int64_t p, int64_t task, double *parts)
{
    const int64_t first = task * FINISH, width = at_most(FINISH, b->C - first);
    double sum[FINISH] = {0}, product[FINISH] = {0};
    for (int64_t i = 0; i < k->blocks; i++) {
        const part at = part_at(parts, b, i);
        for (int64_t c = 0; c < width; c++) {
            sum[c] += at.of[0][first + c];
            product[c] += at.of[1][first + c];
        }
    }
    for (int64_t c = 0; c < width; c++) {
        bn_coef coef = channel_coef(io, p, first + c);
        finish_channel_backward(&coef, b, io, p, first + c, sum[c], product[c]);
        set_coef(coefs, first + c, coef);
    }
    repeat(b, k, coefs, first, width);
}

static void start_columns_backward(const bn_coefs *coefs, const bn *b, const cut *k,
                                   const dlf_norm_bwd *io, int64_t p)
{
    for (int64_t c = 0; c < b->C; c++) set_coef(coefs, c, channel_coef(io, p, c));
    repeat(b, k, coefs, 0, b->C);
}

static void block_dx(const bn *b, const cut *k, const dlf_norm_bwd *io, int64_t p, int64_t block,
                     const bn_coefs *coefs)
{
    float bx[TILE], br[TILE], bd[TILE], bz[TILE], bo[TILE];
    const int64_t begin = block * k->rows * b->C;
    const int64_t end = begin + (int64_t)block_rows(b, k, block) * b->C;
    const void *residual = bn_member(io->residual, p);
    void *dx = bn_member(io->dx, p), *dresidual = bn_member(io->dresidual, p);
    for (int64_t at = begin, n = 0; at < end; at += n) {
        const int64_t phase = (at - begin) % k->period;
        n = at_most(at_most(TILE, k->period - phase), end - at);
        const float *x = dlf_cpu_load(bx, bn_member(io->x, p), b->dtype, at, n);
        const float *dz = dlf_cpu_load(bd, bn_member(io->dy, p), b->dtype, at, n);
        if (b->active) {
            const float *r = residual ? dlf_cpu_load(br, residual, b->dtype, at, n) : NULL;
            bn_affine_row(bz, x, r, n, coefs, phase);
            slopes(bz, dz, bz, n, b->f);
            dz = bz;
        } else if (dresidual) { /* dx may be dy */
            dz = memcpy(bz, dz, (size_t)n * sizeof *dz);
        }
        float *to = b->streams ? bo : dlf_cpu_target(bo, dx, b->dtype, at);
        bn_dx_row(to, dz, x, n, coefs, phase);
        put(dx, b, at, to, n);
        if (dresidual) put(dresidual, b, at, dz, n);
    }
    if (b->streams) dlf_cpu_stream_end();
}

static dlf_status backward_columns(const bn *b, const dlf_norm_bwd *io)
{
    const cut k = cut_of(b);
    if (is_small(&k)) {
#pragma omp parallel for num_threads(b->threads) schedule(static)
        for (int64_t p = 0; p < b->P; p++) {
            small_work w;
            const bn_coefs coefs = coefs_at(w.coefs, &k, 0);
            start_columns_backward(&coefs, b, &k, io, p);
            block_sums(part_at(w.parts, b, 0), b, &k, io, p, 0, 0, &coefs);
            for (int64_t i = 0; i < finish_tasks(b); i++)
                finish_columns_backward(&coefs, b, &k, io, p, i, w.parts);
            block_dx(b, &k, io, p, 0, &coefs);
        }
        return DLF_OK;
    }
    work w;
    if (!work_open(&w, b, &k)) {
        work_close(&w);
        return no_memory("norm_backward");
    }
    const int64_t blocks = b->P * k.blocks;
    const cut strips = strips_of(b, k);
    for (int64_t p = 0; p < b->P; p++) {
        const bn_coefs coefs = coefs_at(w.coefs, &k, p);
        start_columns_backward(&coefs, b, &k, io, p);
    }
#pragma omp parallel for num_threads(b->threads) schedule(static)
    for (int64_t task = 0; task < blocks * k.tiles; task++) {
        const int64_t i = task / k.tiles, p = i / k.blocks;
        const bn_coefs coefs = coefs_at(w.coefs, &k, p);
        block_sums(part_at(w.parts, b, i), b, &k, io, p, i % k.blocks, task % k.tiles, &coefs);
    }
    const int64_t finishes = finish_tasks(b);
#pragma omp parallel for num_threads(b->threads) schedule(static)
    for (int64_t task = 0; task < b->P * finishes; task++) {
        const int64_t p = task / finishes;
        const bn_coefs coefs = coefs_at(w.coefs, &k, p);
        finish_columns_backward(&coefs, b, &k, io, p, task % finishes,
                                w.parts + 2 * p * k.blocks * b->C);
    }
#pragma omp parallel for num_threads(b->threads) schedule(static)
    for (int64_t task = 0; task < b->P * strips.blocks; task++) {
        const int64_t i = b->P * strips.blocks - 1 - task, p = i / strips.blocks;
        const bn_coefs coefs = coefs_at(w.coefs, &k, p);
        block_dx(b, &strips, io, p, i % strips.blocks, &coefs);
    }
    work_close(&w);
    return DLF_OK;
}
#endif
