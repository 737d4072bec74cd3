/* SPDX-License-Identifier: MIT
 * cpu_conv1x1_product.h -- the matrix product of forward and data gradient, tile by tile, and what
 * follows its sums while the tile is in the cache. */
#ifndef DLF_CPU_CONV1X1_PRODUCT_H
#define DLF_CPU_CONV1X1_PRODUCT_H
#include "cpu_conv1x1_tile.h"

/* ---- products ---- */

/* Where sums go: rows of `ld` floats in y itself, or in a buffer. */
typedef struct place {
    float *c;
    int64_t ld;
} place;

/* Rows of a register block: where they are, or where they were copied to. */
typedef struct row_block {
    const float *a;
    int64_t step; /* from row to row */
} row_block;

/* Floats of a copied row: an odd number of lines, or rows would share sets of the cache. */
static int64_t copied_row(const job *j)
{
    return (parts(least(DEPTH, j->depth), LINE) | 1) * LINE;
}

static row_block rows_of(const job *j, int64_t p, int64_t q, int64_t rows, int64_t d0,
                         int64_t depth, float *copy)
{
    const c1_positions *at = &j->in.at;
    int64_t more;
    const int64_t from = c1_member(j->in.t, p) + c1_place(at, q, &more) + d0;
    if (more >= rows && j->in.t->dtype == DLF_F32 && j->in.plain)
        return (row_block){(const float *)j->in.t->data + from, at->column};
    const int64_t step = copied_row(j);
    for (int64_t r = 0; r < rows; r++) {
        float *to = copy + r * step;
        const float *v = c1_channels(to, &j->in, p, q + r, d0, depth);
        if (v != to) vec_copy(to, v, depth);
    }
    return (row_block){copy, step};
}

static void multiply_nhwc(const job *j, const c1_task *t, place to, float *copies)
{
    const float *w = j->w + t->p * j->w_member + t->k0 * j->depth;
    epilogue e = {.alpha = 1.0f, .row = to.ld};
    for (int64_t d0 = 0; d0 < j->depth; d0 += DEPTH, e.beta = 1.0f) { /* channels */
        const int64_t depth = least(DEPTH, j->depth - d0);
        for (int64_t i = 0; i < t->positions; i += j->rows) {
            const int64_t mr = least(j->rows, t->positions - i);
            const row_block a = rows_of(j, t->p, t->q0 + i, mr, d0, depth, copies);
            for (int64_t k = 0; k < t->channels; k += j->width) {
                const int64_t nr = least(j->width, t->channels - k);
                e.next = k ? NULL : a.a + j->rows * a.step; /* rows of the next block */
                e.next_row = a.step, e.next_step = LINE;
                blocks[mr - 1][(nr - 1) / VEC](a.a, a.step, 1, w + k * j->depth + d0 * j->width,
                                               j->width, depth, to.c + i * to.ld + k, nr, &e);
            }
        }
    }
}

/* Whether the positions of a tile can be read where they are: rows of floats, whole vectors. Rows
 * that straddle cache lines are packed, which costs less than reading them again and again. */
static bool in_rows(const job *j)
{
    const c1_positions *at = &j->in.at;
    return j->in.t->dtype == DLF_F32 && j->in.plain && at->column == 1 && at->dense &&
           at->per_image % VEC == 0;
}

static const float *row_of(const job *j, const c1_task *t, int64_t d)
{
    int64_t more;
    return (const float *)j->in.t->data + c1_member(j->in.t, t->p) + d * j->in.at.channel +
           c1_place(&j->in.at, t->q0, &more);
}

/* Positions of the next tile, to be fetched into L2 while blocks of this one are computed. A step
 * is one line for each row of a block, `apart` from each other in one channel; a sweep takes it
 * channel after channel, so that a page is visited once for all of its lines. A block takes `share`
 * steps, every so many-th block. */
typedef struct sweep {
    const float *from;
    int64_t apart;
} sweep;

enum { MOST_SWEEPS = 32 };

typedef struct forecast {
    sweep sweeps[MOST_SWEEPS];
    int64_t count, depth, share, every;
} forecast;

static void add_sweep(forecast *f, const float *from, int64_t apart)
{
    if (f->count < MOST_SWEEPS) f->sweeps[f->count++] = (sweep){from, apart};
}

static void look_ahead(forecast *f, const job *j, int64_t next, int64_t blocks_before)
{
    if (next >= j->P * j->tiles * j->groups || j->inputs || j->in.t->dtype != DLF_F32) return;
    const c1_task t = task_of(j, next);
    const c1_positions *at = &j->in.at;
    const float *x = (const float *)j->in.t->data + c1_member(j->in.t, t.p);
    c1_piece piece[TILE_NCHW];
    const int64_t count = c1_pieces(piece, at, t.q0, t.positions);
    for (int64_t s = 0, rows = 1; s < count; s += rows) {
        const int64_t length = piece[s].n * at->column;
        if (at->dense) {
            for (int64_t i = 0; i < length; i += j->rows * LINE)
                add_sweep(f, x + piece[s].from + i, LINE);
            continue;
        }
        rows = 1; /* of an image, as many as a block has */
        while (rows < j->rows && s + rows < count &&
               piece[s + rows].from <= piece[s + rows - 1].from + at->row)
            rows++;
        for (int64_t i = 0; i < length; i += LINE) add_sweep(f, x + piece[s].from + i, at->row);
    }
    f->depth = least(DEPTH, j->depth);
    f->share = parts(f->depth, LINE);
    f->every = blocks_before * f->share / (f->depth * f->count);
    if (f->every < 1) f->every = 1;
}

static void fetch_share(epilogue *e, const job *j, const forecast *f, int64_t block)
{
    const int64_t step = f->count ? block / f->every * f->share : 0;
    e->next = NULL;
    if (!f->count || block % f->every || step >= f->depth * f->count) return;
    const sweep *s = &f->sweeps[step / f->depth];
    e->next = s->from + step % f->depth * j->in.at.channel;
    e->next_row = s->apart, e->next_step = j->in.at.channel;
}

static void multiply_nchw(const job *j, const c1_task *t, int64_t next, const place *panels,
                          float *scratch)
{
    const float *w = j->w + t->p * j->w_member + t->k0 * j->depth;
    const bool direct = in_rows(j);
    forecast f = {.count = 0};
    look_ahead(&f, j, next, parts(t->channels, j->rows) * parts(t->positions, EVEN));
    epilogue e = {.alpha = 1.0f};
    for (int64_t d0 = 0; d0 < j->depth; d0 += DEPTH, e.beta = 1.0f) { /* positions */
        const int64_t depth = least(DEPTH, j->depth - d0);
        const float *b = scratch;
        if (direct)
            b = row_of(j, t, d0);
        else if (j->inputs)
            b = j->inputs + ((t->p * j->tiles + t->t) * j->depth + d0) * j->positions;
        else
            pack_positions(scratch, j, t, d0, depth, 0, depth);
        int64_t block = 0;
        for (int64_t i = 0; i < t->channels; i += j->rows)
            for (int64_t q = 0; q < t->positions; q += EVEN, block++) {
                const int64_t width = panel_width(t, q), n = least(EVEN, t->positions - q);
                const int64_t mr = least(j->rows, t->channels - i);
                const float *a = w + i * j->depth + d0 * (j->panels ? j->rows : 1);
                const place to = panels[q / EVEN];
                e.row = to.ld;
                fetch_share(&e, j, &f, block);
                blocks[mr - 1][width / VEC - 1](
                    a, j->panels ? 1 : j->depth, j->panels ? j->rows : 1,
                    direct ? b + q : b + depth * q, direct ? j->in.at.channel : width, depth,
                    to.c + i * to.ld, n, &e);
            }
    }
}

/* ---- what follows the sums ---- */

static c1_stat *stats_of(const job *j, const c1_task *t)
{
    return j->part ? j->part + (t->p * j->tiles + t->t) * j->columns + t->k0 : NULL;
}

/* Whether sums can go straight to where they belong: an array of floats that is not to be
 * overwritten yet. Then it is where `positions` from q on lie in even rows. */
static bool in_place(const job *j, int64_t q, int64_t positions)
{
    const c1_result *r = &j->out;
    int64_t more;
    c1_place(&r->at, q, &more);
    return r->at.dense && more >= positions && (j->nhwc || r->at.column == 1) &&
           r->t->dtype == DLF_F32 && r->keep == 0.0f &&
           !(r->residual && r->residual->data == r->t->data);
}

static place place_in_result(const job *j, const c1_task *t, int64_t q)
{
    const c1_result *r = &j->out;
    int64_t more;
    const int64_t at = c1_place(&r->at, q, &more) + t->k0 * r->at.channel;
    return (place){(float *)r->t->data + t->p * r->t->stride + at,
                   j->nhwc ? r->at.column : r->at.channel};
}

static void finish_nhwc(const job *j, const c1_task *t, place from, bool direct)
{
    const c1_result *r = &j->out;
    c1_stat *part = stats_of(j, t);
    int64_t more;
    for (int64_t i = 0; i < t->positions && !(direct && r->finished); i++)
        c1_finish(from.c + i * from.ld, r, t->p, c1_place(&r->at, t->q0 + i, &more) + t->k0, 1,
                  t->k0, true, t->channels);
    if (part) c1_stat_columns(part, from.c, from.ld, t->positions, t->channels);
}

/* Rows of the whole tile. */
static void finish_rows(const job *j, const c1_task *t, place from, bool direct)
{
    const c1_result *r = &j->out;
    c1_stat *part = stats_of(j, t);
    c1_piece piece[TILE_NCHW];
    const bool nothing = direct && r->finished;
    const int64_t count = nothing ? 0 : c1_pieces(piece, &r->at, t->q0, t->positions);
    for (int64_t k = 0; k < t->channels; k++) {
        float *row = from.c + k * from.ld;
        for (int64_t s = 0; s < count; s++)
            c1_finish(row + piece[s].first, r, t->p, (t->k0 + k) * r->at.channel + piece[s].from,
                      r->at.column, t->k0 + k, false, piece[s].n);
        if (part) part[k] = c1_stat_row(row, t->positions);
    }
}

static void task_nhwc(const job *j, const c1_task *t, float *inputs, float *tile)
{
    const bool direct = in_place(j, t->q0, t->positions);
    const place to = direct ? place_in_result(j, t, t->q0) : (place){tile, j->group};
    multiply_nhwc(j, t, to, inputs);
    finish_nhwc(j, t, to, direct);
}

/* Panels that reach into the next image were computed in a buffer. */
static void copy_panels(const job *j, const c1_task *t, const place *panels, float *tile)
{
    const c1_result *r = &j->out;
    const bool floats = r->t->dtype == DLF_F32 && r->keep == 0.0f && r->at.column == 1;
    stretch part[MOST_STRETCHES];
    int64_t count = stretches_of(part, &r->at, t), left = 0;
    for (int64_t s = 0; s < count; s++)
        if (panels[part[s].panel / EVEN].c == tile + part[s].panel) part[left++] = part[s];
    for (int64_t k = 0; k < t->channels; k++)
        for (int64_t s = 0; s < left; s++) {
            float *from = tile + k * TILE_NCHW + part[s].first;
            const int64_t to = (t->k0 + k) * r->at.channel + part[s].from;
            if (floats)
                vec_copy((float *)r->t->data + t->p * r->t->stride + to, from, part[s].n);
            else
                c1_finish(from, r, t->p, to, r->at.column, t->k0 + k, false, part[s].n);
        }
}

/* Where nothing follows the sums, every panel that lies within an image goes to y by itself. Else a
 * tile is one place, y or the buffer. */
static void task_nchw(const job *j, const c1_task *t, int64_t next, float *inputs, float *tile)
{
    const bool direct = in_place(j, t->q0, t->positions);
    const bool by_panel = !direct && j->out.finished && !j->part;
    const place whole = direct ? place_in_result(j, t, t->q0) : (place){tile, TILE_NCHW};
    place panels[TILE_NCHW / EVEN];
    for (int64_t q = 0; q < t->positions; q += EVEN) {
        panels[q / EVEN] = (place){whole.c + q, whole.ld};
        if (by_panel && in_place(j, t->q0 + q, least(EVEN, t->positions - q)))
            panels[q / EVEN] = place_in_result(j, t, t->q0 + q);
    }
    multiply_nchw(j, t, next, panels, inputs);
    if (by_panel)
        copy_panels(j, t, panels, tile);
    else
        finish_rows(j, t, whole, direct);
}

/* ---- the whole ---- */

/* The next task of a thread that has done `task`, or -1 for none yet: its neighbour, as far as a
 * chunk goes. */
static int64_t task_after(int64_t task, int64_t chunk, int64_t *chunks_taken)
{
    if ((task + 1) % chunk) return task + 1;
    int64_t c;
#pragma omp atomic capture
    c = (*chunks_taken)++;
    return c * chunk;
}

static dlf_status product(job *j, const dlf_tensor *w, bool forward, int64_t C)
{
    cut(j);
    const bool shared_tiles = !j->nhwc && j->groups > 1 && !in_rows(j);
    const bool needed = j->nhwc || !forward || w->dtype != DLF_F32;
    const bool pack = !j->packed && (needed || j->M >= PACKED_FROM);
    const int64_t members = w->shape[0], own = panels_size(j);
    const double work = (double)j->P * (double)j->M * (double)j->columns * (double)j->depth;
    const int threads = dlf_cpu_threads(j->out.t, work / VEC);
    j->panels = pack || j->packed;
    const int64_t weights = pack ? members * own : 0;
    const int64_t inputs = shared_tiles ? j->P * j->tiles * j->depth * j->positions : 0;
    float *packed = floats_of(weights + inputs + 1);
    if (!packed) return dlf_fail(DLF_ERR_OOM, "conv1x1: no memory for packing");
    const dlf_status status = pack ? pack_members(packed, own, j, w, forward, C, threads) : DLF_OK;
    if (status != DLF_OK) {
        free(packed);
        return status;
    }
    j->w = pack ? packed : w->data;
    j->w_member = members == 1 ? 0 : pack ? own : w->stride;
    j->inputs = shared_tiles ? packed + weights : NULL;
    if (shared_tiles) pack_inputs(j, threads);

    const int64_t tasks = j->P * j->tiles * j->groups, chunk = 1 + tasks / (threads * 16);
    const int64_t own_inputs = j->nhwc        ? j->rows * copied_row(j)
                               : shared_tiles ? 0
                                              : least(DEPTH, j->depth) * j->positions;
    const int64_t tile = (j->nhwc ? TILE : TILE_NCHW) * j->group;
    int64_t taken = 0;
    bool oom = false;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        float *scratch = floats_of(own_inputs + tile);
        if (!scratch) {
#pragma omp atomic write
            oom = true;
        }
        /* Every thread takes a task ahead, since what will come next is fetched meanwhile. */
        int64_t i = task_after(-1, chunk, &taken), next;
        for (; scratch && i < tasks; i = next) {
            const c1_task t = task_of(j, i);
            next = task_after(i, chunk, &taken);
            if (j->nhwc)
                task_nhwc(j, &t, scratch, scratch + own_inputs);
            else
                task_nchw(j, &t, next, scratch, scratch + own_inputs);
        }
        free(scratch);
    }
    free(packed);
    return oom ? dlf_fail(DLF_ERR_OOM, "conv1x1: no memory for a tile") : DLF_OK;
}
#endif
