/* SPDX-License-Identifier: MIT
 * conv1x1_cpu.c -- 1x1 convolution on the CPU, from the register blocks of cpu_block.h.
 *
 * Vectors run along what is contiguous in y: channels (NHWC: rows of a block are positions, read
 * where they are; w is turned into panels of WIDE columns) or positions (NCHW: rows are channels;
 * the forward pass reads w where it is, the positions of a tile are packed). A task is a tile of
 * positions and a group of channels; what follows the sums is done while the tile is in the cache.
 * How positions are cut depends on the shape alone, so that the statistics do not depend on the
 * number of threads. */
#include "conv1x1_cpu.h"

enum {
    DEPTH = 512,         /* of the sums in one go                                              */
    TILE = 120,          /* positions of a tile at most, NHWC: whole blocks of 12, 6 and 4     */
    TILE_NCHW = 208,     /* and NCHW: whole vectors                                            */
    LD = TILE_NCHW + 16, /* of packed positions: rows of x would share L1 sets at a power of two */
    ROW = DEPTH + 16,    /* the same for copied rows                                           */
    INPUTS = DEPTH * LD, /* floats of a tile's inputs; TILE rows of ROW are less               */
    MOST_LINES = 64,     /* of a channel that are fetched ahead                                */
    LEAST_TILE = 64,     /* positions: below, the weights come from L3 too often               */
    TASKS = 24,          /* as many at least, if the shape has them                            */
    IN_L2 = 256,         /* channels whose weights, DEPTH of each, stay in L2: 512 KiB         */
    GROUP = 64           /* least channels of a task that shares its tile                      */
};
_Static_assert(TILE *ROW <= INPUTS, "rows of a tile fit where its packed positions would stand");

static int64_t parts(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* Part i of n of `total`, in whole units but for the last: from first to the first of part i + 1.
 */
static int64_t part_first(int64_t i, int64_t n, int64_t total, int64_t unit)
{
    return least(parts(total, unit) * i / n * unit, total);
}

/* ---- forward and data gradient ---- */

typedef struct job {
    c1_input in;
    c1_result out;
    int64_t P, M, columns, depth;
    bool nhwc;
    int64_t rows, width; /* of a register block; width: NHWC                              */
    int64_t per_run, run_tiles,
        tiles;             /* NCHW may cut each image by itself: then per_run positions */
    int64_t groups, group; /* of channels; the largest                                      */
    const float *w;        /* member p at p * w_member: panels, or rows as they are         */
    int64_t w_member;
    bool panels;
    float *inputs; /* NCHW: packed for all groups, a tile after the other, or NULL  */
    c1_stat *part; /* (P, tiles, columns), or NULL                                  */
} job;

/* A tile of positions and channels k0 .. k0 + channels of member p. */
typedef struct c1_task {
    int64_t p, t, q0, positions, k0, channels;
} c1_task;

static void place_tile(const job *j, c1_task *t)
{
    const int64_t run = t->t / j->run_tiles, in = t->t % j->run_tiles;
    const int64_t size = least(j->per_run, j->M - run * j->per_run);
    const int64_t unit = j->nhwc ? j->rows : VEC;
    const int64_t first = part_first(in, j->run_tiles, size, unit);
    t->q0 = run * j->per_run + first;
    t->positions = part_first(in + 1, j->run_tiles, size, unit) - first;
}

static c1_task task_of(const job *j, int64_t task)
{
    const int64_t each = j->tiles * j->groups, g = task % each % j->groups;
    const int64_t unit = j->nhwc ? j->width : j->rows;
    c1_task t = {.p = task / each, .t = task % each / j->groups};
    t.k0 = part_first(g, j->groups, j->columns, unit);
    t.channels = part_first(g + 1, j->groups, j->columns, unit) - t.k0;
    place_tile(j, &t);
    return t;
}

/* Panels of `width` columns (NHWC) or `rows` rows (NCHW) of w over the whole depth. */
static void pack_weights(float *out, const job *j, const float *w, bool forward, int64_t C,
                         int threads)
{
    const int64_t width = j->nhwc ? j->width : j->rows, panels = parts(j->columns, width);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t t = 0; t < panels; t++) {
        const int64_t first = t * width, n = least(width, j->columns - first);
        const float *from = w + first * (forward ? C : 1);
        float *to = out + first * j->depth;
        if (j->nhwc)
            pack_b(to, width, from, forward, C, j->depth, n);
        else
            pack_a(to, width, from, forward ? C : 1, forward ? 1 : C, j->depth, n);
    }
}

/* The tile as it is computed: rows of `ld` floats in y itself, or in a buffer. */
typedef struct place {
    float *c;
    int64_t ld;
} place;

/* Rows of a tile, block by block: where they are, or where they were copied to. */
typedef struct row_block {
    const float *a;
    int64_t step; /* from row to row */
} row_block;

static row_block rows_of(const job *j, int64_t p, int64_t q, int64_t rows, int64_t d0,
                         int64_t depth, float *copy)
{
    const c1_positions *at = &j->in.at;
    int64_t more;
    const int64_t from = c1_member(j->in.t, p) + c1_place(at, q, &more) + d0;
    if (more >= rows && j->in.t->dtype == DLF_F32 && j->in.plain)
        return (row_block){(const float *)j->in.t->data + from, at->column};
    for (int64_t r = 0; r < rows; r++) {
        const float *v = c1_channels(copy + r * ROW, &j->in, p, q + r, d0, depth);
        if (v != copy + r * ROW) vec_copy(copy + r * ROW, v, depth);
    }
    return (row_block){copy, ROW};
}

static void multiply_nhwc(const job *j, const c1_task *t, place to, float *copies)
{
    const float *w = j->w + t->p * j->w_member + t->k0 * j->depth;
    epilogue e = {.alpha = 1.0f, .row = to.ld};
    for (int64_t d0 = 0; d0 < j->depth; d0 += DEPTH, e.beta = 1.0f) { /* channels */
        const int64_t depth = least(DEPTH, j->depth - d0);
        row_block a[TILE / 4];
        for (int64_t i = 0; i < t->positions; i += j->rows)
            a[i / j->rows] = rows_of(j, t->p, t->q0 + i, least(j->rows, t->positions - i), d0,
                                     depth, copies + i * ROW);
        for (int64_t first = 0; first < t->channels; first += IN_L2) {
            const int64_t end = least(first + IN_L2, t->channels);
            for (int64_t i = 0; i < t->positions; i += j->rows)
                for (int64_t k = first; k < end; k += j->width) {
                    const int64_t mr = least(j->rows, t->positions - i);
                    const int64_t nr = least(j->width, end - k);
                    const row_block *from = &a[i / j->rows];
                    e.next = k ? NULL : from->a + j->rows * from->step; /* rows of the next block */
                    e.next_row = from->step, e.next_step = LINE;
                    blocks[mr - 1][(nr - 1) / VEC](from->a, from->step, 1,
                                                   w + k * j->depth + d0 * j->width, j->width,
                                                   depth, to.c + i * to.ld + k, nr, &e);
                }
        }
    }
}

/* Channels d0 .. d0 + depth at the positions of a tile: out[d * LD + i]. */
static void pack_positions(float *out, const job *j, const c1_task *t, int64_t d0, int64_t depth)
{
    c1_piece piece[TILE_NCHW];
    const int64_t count = c1_pieces(piece, &j->in.at, t->q0, t->positions);
    for (int64_t d = 0; d < depth; d++, out += LD) {
        const int64_t channel = c1_member(j->in.t, t->p) + (d0 + d) * j->in.at.channel;
        for (int64_t s = 0; s < count; s++)
            c1_copy(out + piece[s].first, &j->in, channel + piece[s].from, piece[s].n);
        c1_prologue(out, &j->in, t->p, d0 + d, t->positions);
        for (int64_t i = t->positions; i % VEC; i++) out[i] = 0.0f;
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

/* Inputs of the next tile, or of the next channels of this one, to be fetched from memory while
 * blocks are computed: the lines of one channel after the other, each of them in `depth` channels.
 */
typedef struct forecast {
    const float *line[MOST_LINES];
    int64_t lines, channel, depth;
} forecast;

static void look_ahead(forecast *f, const job *j, int64_t task, int64_t d0, int64_t depth)
{
    const bool same = d0 + depth < j->depth;
    f->lines = 0;
    if (j->inputs || j->in.t->dtype != DLF_F32) return;
    if (!same && task + 1 >= j->P * j->tiles * j->groups) return;
    const c1_task t = task_of(j, same ? task : task + 1);
    const int64_t first = same ? d0 + depth : 0;
    c1_piece piece[TILE_NCHW];
    const int64_t count = c1_pieces(piece, &j->in.at, t.q0, t.positions);
    const float *from =
        (const float *)j->in.t->data + c1_member(j->in.t, t.p) + first * j->in.at.channel;
    for (int64_t s = 0; s < count; s++) {
        const float *at = from + piece[s].from;
        const float *end = at + (piece[s].n - 1) * j->in.at.column + 1;
        at -= (uintptr_t)at / sizeof *at % LINE;
        for (; at < end && f->lines < MOST_LINES; at += LINE) f->line[f->lines++] = at;
    }
    f->channel = j->in.at.channel;
    f->depth = least(DEPTH, j->depth - first);
}

/* The share of block `call` of `calls`. */
static void fetch_share(epilogue *e, const forecast *f, int64_t call, int64_t calls, int64_t rows)
{
    const int64_t at = f->lines * f->depth * call / calls;
    e->next = f->lines ? f->line[at / f->depth] + at % f->depth * f->channel : NULL;
    e->next_row = f->channel, e->next_step = rows * f->channel;
}

static void multiply_nchw(const job *j, int64_t task, const c1_task *t, place to, float *scratch)
{
    const float *w = j->w + t->p * j->w_member + t->k0 * j->depth;
    const int64_t vectors = parts(t->positions, VEC), panels = parts(vectors, WIDE / VEC);
    const int64_t each = j->depth * LD, calls = parts(t->channels, j->rows) * panels;
    const bool direct = in_rows(j);
    forecast f = {.lines = 0};
    epilogue e = {.alpha = 1.0f, .row = to.ld};
    for (int64_t d0 = 0; d0 < j->depth; d0 += DEPTH, e.beta = 1.0f) {
        const int64_t depth = least(DEPTH, j->depth - d0);
        look_ahead(&f, j, task, d0, depth);
        const float *b = scratch;
        int64_t ld = LD, more;
        if (direct) {
            ld = j->in.at.channel;
            b = (const float *)j->in.t->data + c1_member(j->in.t, t->p) + d0 * ld +
                c1_place(&j->in.at, t->q0, &more);
        } else if (j->inputs) {
            b = j->inputs + (t->p * j->tiles + t->t) * each + d0 * LD;
        } else {
            pack_positions(scratch, j, t, d0, depth);
        }
        int64_t call = 0;
        for (int64_t i = 0; i < t->channels; i += j->rows)
            for (int64_t s = 0; s < panels; s++, call++) { /* as even as can be */
                const int64_t k = vectors * s / panels * VEC;
                const int64_t end = least(vectors * (s + 1) / panels * VEC, t->positions);
                const int64_t mr = least(j->rows, t->channels - i);
                const float *a = w + i * j->depth + d0 * (j->panels ? j->rows : 1);
                fetch_share(&e, &f, call, calls, mr);
                blocks[mr - 1][(end - k - 1) / VEC](a, j->panels ? 1 : j->depth,
                                                    j->panels ? j->rows : 1, b + k, ld, depth,
                                                    to.c + i * to.ld + k, end - k, &e);
            }
    }
}

/* What follows the sums, row by row. */
static void finish(const job *j, const c1_task *t, place from, bool in_place)
{
    const c1_result *r = &j->out;
    c1_stat *part = j->part ? j->part + (t->p * j->tiles + t->t) * j->columns + t->k0 : NULL;
    const bool nothing = in_place && r->finished;
    int64_t more;
    if (j->nhwc) {
        for (int64_t i = 0; i < t->positions && !nothing; i++)
            c1_finish(from.c + i * from.ld, r, t->p, c1_place(&r->at, t->q0 + i, &more) + t->k0, 1,
                      t->k0, true, t->channels);
        if (part) c1_stat_columns(part, from.c, from.ld, t->positions, t->channels);
        return;
    }
    c1_piece piece[TILE_NCHW];
    const int64_t count = nothing ? 0 : c1_pieces(piece, &r->at, t->q0, t->positions);
    const bool copy = r->finished && r->t->dtype == DLF_F32 && r->keep == 0.0f && r->at.column == 1;
    for (int64_t k = 0; k < t->channels; k++) {
        float *row = from.c + k * from.ld;
        const int64_t channel = (t->k0 + k) * r->at.channel;
        for (int64_t s = 0; s < count; s++) {
            float *v = row + piece[s].first;
            const int64_t to = channel + piece[s].from;
            if (copy)
                vec_copy((float *)r->t->data + t->p * r->t->stride + to, v, piece[s].n);
            else
                c1_finish(v, r, t->p, to, r->at.column, t->k0 + k, false, piece[s].n);
        }
        if (part) part[k] = c1_stat_row(row, t->positions);
    }
}

static void one_task(const job *j, int64_t task, float *scratch)
{
    const c1_task t = task_of(j, task);
    float *inputs = scratch, *tile = scratch + INPUTS;

    /* Sums go straight to where they belong if that is an array of floats with even rows. */
    const c1_result *r = &j->out;
    int64_t more;
    const int64_t first = c1_place(&r->at, t.q0, &more);
    const bool even = r->at.dense && more >= t.positions && (j->nhwc || r->at.column == 1);
    const bool in_place =
        even && r->t->dtype == DLF_F32 && r->keep == 0.0f &&
        !(r->residual && r->residual->data == r->t->data); /* it is not to be overwritten yet */
    place to = {tile, j->nhwc ? j->group : TILE_NCHW};
    if (in_place) {
        to.c = (float *)r->t->data + t.p * r->t->stride + first + t.k0 * r->at.channel;
        to.ld = j->nhwc ? r->at.column : r->at.channel;
    }
    if (j->nhwc)
        multiply_nhwc(j, &t, to, inputs);
    else
        multiply_nchw(j, task, &t, to, inputs);
    finish(j, &t, to, in_place);
}

/* Tiles and groups, from the shape alone. */
static void cut(job *j)
{
    const int64_t image = j->in.at.per_image;
    const bool by_image = !j->nhwc && (image % VEC == 0 || image >= 32 * VEC);
    const bool narrow = j->nhwc && j->columns <= NR;
    j->width = narrow ? NR : WIDE;
    j->rows = narrow ? MR : WIDE_ROWS;
    j->per_run = by_image ? image : j->M;
    j->run_tiles = parts(j->per_run, j->nhwc ? TILE : TILE_NCHW);
    /* NCHW, too few tiles: of deep inputs smaller ones, since groups of channels need them packed
     * for all before the first product; of shallow ones groups, since every tile reads all of w. */
    const int64_t runs = j->P * (j->M / j->per_run);
    if (!j->nhwc && j->depth > j->columns && runs * parts(j->per_run, LEAST_TILE) >= TASKS)
        for (int64_t tile = TILE_NCHW; runs * j->run_tiles < TASKS; tile -= LEAST_TILE)
            j->run_tiles = parts(j->per_run, tile / LEAST_TILE * LEAST_TILE);
    j->tiles = j->M / j->per_run * j->run_tiles;
    const int64_t unit = j->nhwc ? j->width : j->rows, units = parts(j->columns, unit);
    const int64_t wanted = parts(TASKS, j->P * j->tiles), most = parts(j->columns, GROUP);
    j->groups = least(least(wanted, most), units);
    j->group = parts(units, j->groups) * unit;
}

/* w as floats, if it is not. */
static const float *weights_as_floats(float *out, const dlf_tensor *w, int64_t p, int64_t n)
{
    return dlf_cpu_load(out, w->data, w->dtype, c1_member(w, p), n);
}

static float *floats_of(int64_t n)
{
    return aligned_alloc(64, ((size_t)n * sizeof(float) + 63) / 64 * 64);
}

/* Where several groups read the same tile, it is packed once. */
static void pack_inputs(const job *j, int threads)
{
    const int64_t pieces = parts(j->depth, GROUP);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t i = 0; i < j->P * j->tiles * pieces; i++) {
        c1_task t = {.p = i / pieces / j->tiles, .t = i / pieces % j->tiles};
        const int64_t d0 = i % pieces * GROUP, at = i / pieces * j->depth + d0;
        place_tile(j, &t);
        pack_positions(j->inputs + at * LD, j, &t, d0, least(GROUP, j->depth - d0));
    }
}

static dlf_status run(job *j, const dlf_tensor *w, bool forward, int64_t C)
{
    cut(j);
    const bool convert = w->dtype != DLF_F32,
               shared_tiles = !j->nhwc && j->groups > 1 && !in_rows(j);
    const int64_t members = w->shape[0], unit = j->nhwc ? j->width : j->rows;
    const int64_t own = parts(j->columns, unit) * unit * j->depth;
    const double work = (double)j->P * (double)j->M * (double)j->columns * (double)j->depth;
    const int threads = dlf_cpu_threads(j->out.t, work / VEC);
    j->panels = j->nhwc || !forward || convert;
    const int64_t weights = j->panels ? members * own + (convert ? own : 0) : 0;
    const int64_t inputs = shared_tiles ? j->P * j->tiles * j->depth * LD : 0;
    float *packed = floats_of(weights + inputs + 1);
    if (!packed) return dlf_fail(DLF_ERR_OOM, "conv1x1: no memory for packing");
    for (int64_t p = 0; j->panels && p < members; p++)
        pack_weights(packed + p * own, j,
                     weights_as_floats(packed + members * own, w, p, j->columns * j->depth),
                     forward, C, threads);
    j->w = j->panels ? packed : w->data;
    j->w_member = members == 1 ? 0 : j->panels ? own : w->stride;
    j->inputs = shared_tiles ? packed + weights : NULL;
    if (shared_tiles) pack_inputs(j, threads);

    const int64_t tasks = j->P * j->tiles * j->groups;
    const int64_t chunk = 1 + tasks / (threads * 16);
    const int64_t floats = INPUTS + (j->nhwc ? TILE : TILE_NCHW) * j->group;
    bool oom = false;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        float *scratch = floats_of(floats);
        if (!scratch) {
#pragma omp atomic write
            oom = true;
        }
#pragma omp for schedule(dynamic, chunk) nowait
        for (int64_t t = 0; t < tasks; t++)
            if (scratch) one_task(j, t, scratch);
        free(scratch);
    }
    free(packed);
    return oom ? dlf_fail(DLF_ERR_OOM, "conv1x1: no memory for a tile") : DLF_OK;
}

/* mean and var of each channel from its tiles, in their order. */
static void merge(const job *j, const dlf_conv1x1_fwd *io)
{
    for (int64_t p = 0; p < j->P; p++)
        for (int64_t k = 0; k < j->columns; k++) {
            const c1_stat *s = j->part + p * j->tiles * j->columns + k;
            double mean = 0.0, m2 = 0.0;
            for (int64_t t = 0; t < j->tiles; t++)
                mean += s[t * j->columns].n * s[t * j->columns].mean;
            mean /= (double)j->M;
            for (int64_t t = 0; t < j->tiles; t++) {
                const c1_stat part = s[t * j->columns];
                m2 += part.m2 + part.n * (part.mean - mean) * (part.mean - mean);
            }
            ((double *)io->mean->data)[p * io->mean->stride + k] = mean;
            ((double *)io->var->data)[p * io->var->stride + k] = m2 / (double)j->M;
        }
}

static dlf_conv1x1_geometry geometry_of(const dlf_tensor *x, const dlf_tensor *y,
                                        const dlf_conv1x1 *conv)
{
    dlf_conv1x1_geometry g = {0};
    if (dlf_conv1x1_geometry_of(&g, x, NULL, *conv) != DLF_OK) abort(); /* has been checked */
    g.K = y->shape[conv->layout == DLF_NCHW ? 2 : y->ndim - 1];
    return g;
}

dlf_status DLF_CPU(conv1x1_forward)(const dlf_conv1x1_fwd *io, const dlf_conv1x1 *conv)
{
    if (conv->version > 1)
        return dlf_fail(DLF_ERR_NO_KERNEL, "conv1x1_forward on cpu has version 1 only");
    const dlf_conv1x1_geometry g = geometry_of(io->x, io->y, conv);
    const bool nhwc = conv->layout == DLF_NHWC;
    job j = {.in = c1_input_of(io->x, &g, nhwc, true, io->scale, io->shift, conv->input_activation),
             .out = {.t = io->y,
                     .residual = io->residual,
                     .bias = io->bias,
                     .at = c1_positions_of(&g, nhwc, false),
                     .f = conv->activation},
             .P = io->y->shape[0],
             .M = g.M,
             .columns = g.K,
             .depth = g.C,
             .nhwc = nhwc};
    j.out.finished = !io->residual && !io->bias && conv->activation.kind == DLF_LINEAR;
    if (!io->mean) return run(&j, io->w, true, g.C);
    cut(&j);
    j.part = malloc((size_t)(j.P * j.tiles * j.columns) * sizeof *j.part);
    if (!j.part) return dlf_fail(DLF_ERR_OOM, "conv1x1_forward: no memory for statistics");
    const dlf_status status = run(&j, io->w, true, g.C);
    if (status == DLF_OK) merge(&j, io);
    free(j.part);
    return status;
}

/* Positions of dx that the stride skips: keep dx. The others are written later. */
static void skipped(const dlf_tensor *dx, const dlf_conv1x1_geometry *g, bool nhwc, double keep)
{
    const int threads = dlf_cpu_threads(dx, (double)dlf_tensor_count(dx));
    const size_t size = dlf_dtype_size(dx->dtype),
                 bytes = (size_t)dlf_tensor_member_count(dx) * size;
    for (int64_t p = 0; keep == 0.0 && p < dx->shape[0]; p++)
        memset((char *)dx->data + (size_t)(p * dx->stride) * size, 0, bytes);
    if (keep == 0.0) return;
    const int64_t pixel = nhwc ? g->C : 1, rows = dlf_tensor_member_count(dx) / (g->W * pixel);
    for (int64_t p = 0; p < dx->shape[0]; p++)
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
        for (int64_t r = 0; r < rows; r++)
            for (int64_t w = 0; w < g->W; w++) {
                if (r % g->H % g->stride[0] == 0 && w % g->stride[1] == 0) continue;
                for (int64_t c = 0; c < pixel; c++) {
                    const int64_t at = p * dx->stride + (r * g->W + w) * pixel + c;
                    float v;
                    v = (float)keep * *dlf_cpu_load(&v, dx->data, dx->dtype, at, 1);
                    dlf_cpu_store(dx->data, dx->dtype, at, &v, 1);
                }
            }
}

dlf_status DLF_CPU(conv1x1_backward_data)(const dlf_conv1x1_bwd *io, const dlf_conv1x1 *conv)
{
    if (conv->version > 1)
        return dlf_fail(DLF_ERR_NO_KERNEL, "conv1x1_backward on cpu has version 1 only");
    const dlf_conv1x1_geometry g = geometry_of(io->dx, io->dz, conv);
    const bool nhwc = conv->layout == DLF_NHWC;
    const dlf_activation none = {DLF_LINEAR, 0.0};
    job j = {.in = c1_input_of(io->dz, &g, nhwc, false, NULL, NULL, none),
             .out = {.t = io->dx,
                     .at = c1_positions_of(&g, nhwc, true),
                     .f = none,
                     .keep = (float)io->accumulate_dx,
                     .finished = true},
             .P = io->dx->shape[0],
             .M = g.M,
             .columns = g.C,
             .depth = g.K,
             .nhwc = nhwc};
    if (g.stride[0] * g.stride[1] > 1) skipped(io->dx, &g, nhwc, io->accumulate_dx);
    return run(&j, io->w, false, g.C);
}

/* ---- weight gradient ---- */

enum { TILE_K = 96, TILE_C = 4 * NR, LEAST_PIECE = 512 };

typedef struct weight_job {
    c1_input dz, x;
    dlf_conv1x1_geometry g;
    bool nhwc;
    int64_t P, pieces, piece, tiles_k, tiles_c;
    float *part; /* (P, pieces, K, C) */
} weight_job;

/* Channels c .. c + channels at positions q .. q + n as packed[position][channel], `width` channels
 * to a panel, panels DEPTH width apart. NHWC rows are copied, NCHW rows are transposed. */
static void pack_panels(float *packed, int64_t width, const c1_input *in, bool nhwc, int64_t p,
                        int64_t c, int64_t channels, int64_t q, int64_t n, float *buffer)
{
    for (int64_t j = 0; j < channels; j += width) {
        const int64_t some = least(width, channels - j);
        float *to = packed + j * DEPTH;
        if (nhwc) {
            for (int64_t i = 0; i < n; i++) {
                const float *v = c1_channels(buffer, in, p, q + i, c + j, some);
                memcpy(to + i * width, v, (size_t)some * sizeof *v);
                for (int64_t m = some; m < width; m++) to[i * width + m] = 0.0f;
            }
            continue;
        }
        for (int64_t m = 0; m < some; m++) c1_run(buffer + m * ROW, in, p, c + j + m, q, n);
        if (width == NR)
            pack_b(to, NR, buffer, true, ROW, n, some);
        else
            pack_a(to, MR, buffer, ROW, 1, n, some);
    }
}

static void weight_task(const weight_job *j, int64_t task, float *scratch)
{
    const int64_t tiles = j->tiles_k * j->tiles_c, tile = task % tiles;
    const int64_t p = task / tiles / j->pieces, piece = task / tiles % j->pieces;
    const int64_t k0 = tile / j->tiles_c * TILE_K, c0 = tile % j->tiles_c * TILE_C;
    const int64_t rows = least(TILE_K, j->g.K - k0), columns = least(TILE_C, j->g.C - c0);
    const int64_t end = least((piece + 1) * j->piece, j->g.M);
    float *a = scratch, *b = a + TILE_K * DEPTH, *buffer = b + TILE_C * DEPTH;
    float *to = j->part + ((p * j->pieces + piece) * j->g.K + k0) * j->g.C + c0;
    epilogue e = {.alpha = 1.0f, .row = j->g.C};
    for (int64_t q = piece * j->piece; q < end; q += DEPTH, e.beta = 1.0f) {
        const int64_t n = least(DEPTH, end - q);
        pack_panels(a, MR, &j->dz, j->nhwc, p, k0, rows, q, n, buffer);
        pack_panels(b, NR, &j->x, j->nhwc, p, c0, columns, q, n, buffer);
        for (int64_t i = 0; i < rows; i += MR)
            for (int64_t c = 0; c < columns; c += NR) {
                const int64_t mr = least(MR, rows - i), nr = least(NR, columns - c);
                blocks[mr - 1][nr > VEC](a + i * DEPTH, 1, MR, b + c * DEPTH, NR, n,
                                         to + i * j->g.C + c, nr, &e);
            }
    }
}

static dlf_status weight_gradient(const dlf_conv1x1_bwd *io, const dlf_conv1x1 *conv,
                                  const dlf_conv1x1_geometry *g)
{
    const bool nhwc = conv->layout == DLF_NHWC;
    const dlf_activation none = {DLF_LINEAR, 0.0};
    weight_job j = {
        .dz = c1_input_of(io->dz, g, nhwc, false, NULL, NULL, none),
        .x = c1_input_of(io->x, g, nhwc, true, io->scale, io->shift, conv->input_activation),
        .g = *g,
        .nhwc = nhwc,
        .P = io->dw->shape[0],
        .tiles_k = parts(g->K, TILE_K),
        .tiles_c = parts(g->C, TILE_C)};
    const int64_t tiles = j.P * j.tiles_k * j.tiles_c;
    const int64_t wanted = least(parts(TASKS, tiles), parts(g->M, LEAST_PIECE));
    j.piece = parts(parts(g->M, wanted), DEPTH) * DEPTH;
    j.pieces = parts(g->M, j.piece);
    const int64_t size = g->K * g->C;
    j.part = malloc((size_t)(j.P * j.pieces * size) * sizeof *j.part);
    if (!j.part) return dlf_fail(DLF_ERR_OOM, "conv1x1_backward: no memory for partial sums");
    const int threads = dlf_cpu_threads(io->dw, (double)j.P * (double)g->M * (double)size / VEC);
    const size_t floats = (size_t)((TILE_K + TILE_C) * DEPTH + NR * ROW);
    bool oom = false;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        float *scratch = aligned_alloc(64, (floats * sizeof *scratch + 63) / 64 * 64);
        if (!scratch) {
#pragma omp atomic write
            oom = true;
        }
#pragma omp for schedule(dynamic, 1) nowait
        for (int64_t t = 0; t < tiles * j.pieces; t++)
            if (scratch) weight_task(&j, t, scratch);
        free(scratch);
    }
    for (int64_t p = 0; p < j.P; p++) {
        float *dw = (float *)io->dw->data + p * io->dw->stride;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
        for (int64_t i = 0; i < size; i++) {
            double sum = io->accumulate == 0.0 ? 0.0 : io->accumulate * (double)dw[i];
            for (int64_t k = 0; k < j.pieces; k++)
                sum += (double)j.part[(p * j.pieces + k) * size + i];
            dw[i] = (float)sum;
        }
    }
    free(j.part);
    return oom ? dlf_fail(DLF_ERR_OOM, "conv1x1_backward: no memory for a tile") : DLF_OK;
}

/* dbias: every channel by itself (NCHW), or 64 side by side (NHWC), in double. */
static void bias_gradient(const dlf_conv1x1_bwd *io, const dlf_conv1x1_geometry *g, bool nhwc)
{
    enum { SIDE_BY_SIDE = 64, RUN = 512 };
    const dlf_activation none = {DLF_LINEAR, 0.0};
    const c1_input dz = c1_input_of(io->dz, g, nhwc, false, NULL, NULL, none);
    const int64_t width = nhwc ? SIDE_BY_SIDE : 1, groups = parts(g->K, width);
    const int64_t tasks = io->dbias->shape[0] * groups;
    const int threads = dlf_cpu_threads(io->dbias, (double)tasks * (double)(width * g->M));
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads) if (threads > 1)
    for (int64_t t = 0; t < tasks; t++) {
        const int64_t p = t / groups, k = t % groups * width, n = least(width, g->K - k);
        double sum[SIDE_BY_SIDE] = {0.0};
        float buffer[RUN];
        for (int64_t q = 0; q < g->M; q += nhwc ? 1 : RUN) {
            if (nhwc) {
                const float *v = c1_channels(buffer, &dz, p, q, k, n);
                for (int64_t i = 0; i < n; i++) sum[i] += (double)v[i];
                continue;
            }
            const int64_t count = least(RUN, g->M - q);
            c1_run(buffer, &dz, p, k, q, count);
            double part = 0.0;
#pragma omp simd reduction(+ : part)
            for (int64_t i = 0; i < count; i++) part += (double)buffer[i];
            sum[0] += part;
        }
        float *to = (float *)io->dbias->data + p * io->dbias->stride + k;
        for (int64_t i = 0; i < n; i++)
            to[i] =
                (float)(io->accumulate == 0.0 ? sum[i] : sum[i] + io->accumulate * (double)to[i]);
    }
}

dlf_status DLF_CPU(conv1x1_backward_weight)(const dlf_conv1x1_bwd *io, const dlf_conv1x1 *conv)
{
    if (conv->version > 1)
        return dlf_fail(DLF_ERR_NO_KERNEL, "conv1x1_backward on cpu has version 1 only");
    dlf_conv1x1 dense = *conv;
    if (!io->x) dense.stride[0] = dense.stride[1] = 1; /* dbias alone: positions are dz's */
    const dlf_conv1x1_geometry g = geometry_of(io->x ? io->x : io->dz, io->dz, &dense);
    if (io->dbias) bias_gradient(io, &g, conv->layout == DLF_NHWC);
    return io->dw ? weight_gradient(io, conv, &g) : DLF_OK;
}

/* ---- batch norm as scale and shift ---- */

dlf_status DLF_CPU(conv1x1_fold)(dlf_tensor *scale, dlf_tensor *shift, const dlf_tensor *mean,
                                 const dlf_tensor *var, const dlf_tensor *gamma,
                                 const dlf_tensor *beta, double eps)
{
    for (int64_t p = 0; p < scale->shape[0]; p++) {
        const float *g = c1_parameter(gamma, p), *b = c1_parameter(beta, p);
        const double *mu = (const double *)mean->data + p * mean->stride;
        const double *v = (const double *)var->data + p * var->stride;
        for (int64_t c = 0; c < scale->shape[1]; c++) {
            const double s = (g ? (double)g[c] : 1.0) / sqrt(v[c] + eps);
            ((float *)scale->data)[p * scale->stride + c] = (float)s;
            ((float *)shift->data)[p * shift->stride + c] =
                (float)((b ? (double)b[c] : 0.0) - mu[c] * s);
        }
    }
    return DLF_OK;
}
