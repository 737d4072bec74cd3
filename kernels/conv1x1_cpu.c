/* SPDX-License-Identifier: MIT
 * conv1x1_cpu.c -- 1x1 convolution on the CPU, from the register blocks of cpu_block.h.
 *
 * Vectors run along what is contiguous in y: channels (NHWC: rows of a block are positions, w is
 * packed once into panels of NR columns) or positions (NCHW: rows are channels, w is packed into
 * panels of MR rows, x tile by tile). A task is a tile of positions and a group of channels; what
 * follows the sums is done while the tile is in the cache. How the work is cut depends on the shape
 * alone, so that the statistics do not depend on the number of threads. */
#include "conv1x1_cpu.h"

enum {
    DEPTH = 512,         /* of the sums in one go                                              */
    TILE = 120,          /* positions of a tile, NHWC: whole blocks of 12, 6 and 4             */
    TILE_NCHW = 128,     /* and NCHW: whole blocks of 32, 16 and 8                             */
    LD = TILE_NCHW + 16, /* of packed positions: rows of x would share L1 sets at a power of two */
    ROW = DEPTH + 16,    /* the same for copied rows                                           */
    INPUTS = DEPTH * LD, /* floats of a tile's inputs; TILE rows of ROW are less               */
    FAR = 256,           /* beyond this distance rows share L1 sets                            */
    TASKS = 16,          /* as many at least, if the shape has them                            */
    WIDEST = 512,        /* channels of a task at most: its weights stay in L2, 1 MiB           */
    GROUP = 64           /* least channels of a task that shares its tile                      */
};
_Static_assert(TILE *ROW <= INPUTS, "rows of a tile fit where its packed positions would stand");

static int64_t parts(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* ---- forward and data gradient ---- */

typedef struct job {
    c1_input in;
    c1_result out;
    int64_t P, M, columns, depth;
    bool nhwc;
    int64_t per_run, tile, tiles; /* NCHW may cut each image by itself: then per_run positions */
    int64_t group, groups;
    const float *w; /* packed; member p at p * w_member */
    int64_t w_member;
    c1_stat *part; /* (P, tiles, columns), or NULL */
} job;

/* Panels of NR columns (NHWC) or MR rows (NCHW) of w over the whole depth. */
static void pack_weights(float *out, const job *j, const float *w, bool forward, int64_t C,
                         int threads)
{
    const int64_t width = j->nhwc ? NR : MR, panels = parts(j->columns, width);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t t = 0; t < panels; t++) {
        const int64_t first = t * width, n = least(width, j->columns - first);
        const float *from = w + first * (forward ? C : 1);
        float *to = out + first * j->depth;
        if (j->nhwc)
            pack_b(to, from, forward, C, j->depth, n);
        else
            pack_a(to, from, forward ? C : 1, forward ? 1 : C, j->depth, n);
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
    if (at->column <= FAR && more >= rows && j->in.t->dtype == DLF_F32 && j->in.plain)
        return (row_block){(const float *)j->in.t->data + from, at->column};
    for (int64_t r = 0; r < rows; r++) {
        const float *v = c1_channels(copy + r * ROW, &j->in, p, q + r, d0, depth);
        if (v != copy + r * ROW) memcpy(copy + r * ROW, v, (size_t)depth * sizeof *v);
    }
    return (row_block){copy, ROW};
}

static void multiply_nhwc(const job *j, int64_t p, int64_t q0, int64_t rows, int64_t k0, int64_t n,
                          place to, float *copies)
{
    const float *w = j->w + p * j->w_member + k0 * j->depth;
    epilogue e = {1.0f, 0.0f, to.ld};
    for (int64_t d0 = 0; d0 < j->depth; d0 += DEPTH, e.beta = 1.0f) { /* channels */
        const int64_t depth = least(DEPTH, j->depth - d0);
        row_block a[TILE / 4];
        for (int64_t i = 0; i < rows; i += MR)
            a[i / MR] = rows_of(j, p, q0 + i, least(MR, rows - i), d0, depth, copies + i * ROW);
        for (int64_t i = 0; i < rows; i += MR)
            for (int64_t k = 0; k < n; k += NR) {
                const int64_t mr = least(MR, rows - i), nr = least(NR, n - k);
                blocks[mr - 1][nr > VEC](a[i / MR].a, a[i / MR].step, 1, w + k * j->depth + d0 * NR,
                                         NR, depth, to.c + i * to.ld + k, nr, &e);
            }
    }
}

static void multiply_nchw(const job *j, int64_t p, int64_t q0, int64_t n, int64_t k0, int64_t rows,
                          place to, float *packed)
{
    const float *w = j->w + p * j->w_member + k0 * j->depth;
    epilogue e = {1.0f, 0.0f, to.ld};
    for (int64_t d0 = 0; d0 < j->depth; d0 += DEPTH, e.beta = 1.0f) {
        const int64_t depth = least(DEPTH, j->depth - d0);
        for (int64_t d = 0; d < depth; d++) {
            c1_run(packed + d * LD, &j->in, p, d0 + d, q0, n);
            for (int64_t i = n; i % NR; i++) packed[d * LD + i] = 0.0f;
        }
        for (int64_t i = 0; i < rows; i += MR)
            for (int64_t k = 0; k < n; k += NR) {
                const int64_t mr = least(MR, rows - i), nr = least(NR, n - k);
                blocks[mr - 1][nr > VEC](w + i * j->depth + d0 * MR, 1, MR, packed + k, LD, depth,
                                         to.c + i * to.ld + k, nr, &e);
            }
    }
}

/* What follows the sums, row by row. */
static void finish(const job *j, int64_t p, int64_t t, int64_t q0, int64_t positions, int64_t k0,
                   int64_t channels, place from, bool in_place)
{
    const c1_result *r = &j->out;
    c1_stat *part = j->part ? j->part + (p * j->tiles + t) * j->columns + k0 : NULL;
    const bool nothing = in_place && r->finished;
    int64_t more;
    if (j->nhwc) {
        for (int64_t i = 0; i < positions && !nothing; i++)
            c1_finish(from.c + i * from.ld, r, p, c1_place(&r->at, q0 + i, &more) + k0, 1, k0, true,
                      channels);
        if (part) c1_stat_columns(part, from.c, from.ld, positions, channels);
        return;
    }
    for (int64_t k = 0; k < channels; k++) {
        float *row = from.c + k * from.ld;
        for (int64_t i = 0; i < positions && !nothing; i += more) {
            const int64_t to = c1_place(&r->at, q0 + i, &more) + (k0 + k) * r->at.channel;
            more = least(more, positions - i);
            c1_finish(row + i, r, p, to, r->at.column, k0 + k, false, more);
        }
        if (part) part[k] = c1_stat_row(row, positions);
    }
}

static void one_task(const job *j, int64_t task, float *scratch)
{
    const int64_t each = j->tiles * j->groups, p = task / each, in = task % each;
    const int64_t t = in / j->groups, k0 = in % j->groups * j->group;
    const int64_t cuts = parts(j->per_run, j->tile), run = t / cuts * j->per_run;
    const int64_t q0 = run + t % cuts * j->tile;
    const int64_t positions = least(j->tile, least(run + j->per_run, j->M) - q0);
    const int64_t channels = least(j->group, j->columns - k0);
    float *inputs = scratch, *tile = scratch + INPUTS;

    /* Sums go straight to where they belong if that is an array of floats with even rows. */
    const c1_result *r = &j->out;
    int64_t more;
    const int64_t first = c1_place(&r->at, q0, &more);
    const bool even = r->at.dense && more >= positions && (j->nhwc || r->at.column == 1);
    const bool in_place =
        even && r->t->dtype == DLF_F32 && r->keep == 0.0f &&
        !(r->residual && r->residual->data == r->t->data); /* it is not to be overwritten yet */
    place to = {tile, j->nhwc ? j->group : j->tile};
    if (in_place) {
        to.c = (float *)r->t->data + p * r->t->stride + first + k0 * r->at.channel;
        to.ld = j->nhwc ? r->at.column : r->at.channel;
    }
    if (j->nhwc)
        multiply_nhwc(j, p, q0, positions, k0, channels, to, inputs);
    else
        multiply_nchw(j, p, q0, positions, k0, channels, to, inputs);
    finish(j, p, t, q0, positions, k0, channels, to, in_place);
}

/* Tiles and groups, from the shape alone. */
static void cut(job *j)
{
    const int64_t image = j->in.at.per_image;
    const bool by_image = !j->nhwc && (image % NR == 0 || image >= 16 * NR);
    j->tile = j->nhwc ? TILE : TILE_NCHW;
    j->per_run = by_image ? image : j->M;
    j->tiles = j->M / j->per_run * parts(j->per_run, j->tile);
    const int64_t wanted = parts(TASKS, j->P * j->tiles), unit = j->nhwc ? NR : MR;
    const int64_t most = parts(j->columns, GROUP), least_groups = parts(j->columns, WIDEST);
    const int64_t groups = least(wanted, most) > least_groups ? least(wanted, most) : least_groups;
    j->group = parts(parts(j->columns, groups), unit) * unit;
    j->groups = parts(j->columns, j->group);
}

/* w as floats, if it is not. */
static const float *weights_as_floats(float *out, const dlf_tensor *w, int64_t p, int64_t n)
{
    return dlf_cpu_load(out, w->data, w->dtype, c1_member(w, p), n);
}

static dlf_status run(job *j, const dlf_tensor *w, bool forward, int64_t C)
{
    cut(j);
    const int64_t members = w->shape[0], unit = j->nhwc ? NR : MR;
    j->w_member = members == 1 ? 0 : parts(j->columns, unit) * unit * j->depth;
    const int64_t own = parts(j->columns, unit) * unit * j->depth;
    const double work = (double)j->P * (double)j->M * (double)j->columns * (double)j->depth;
    const int threads = dlf_cpu_threads(j->out.t, work / VEC);
    const bool convert = w->dtype != DLF_F32;
    const size_t packed_floats = (size_t)(members * own + (convert ? own : 0));
    float *packed = aligned_alloc(64, (packed_floats * sizeof *packed + 63) / 64 * 64);
    if (!packed) return dlf_fail(DLF_ERR_OOM, "conv1x1: no memory for packing");
    for (int64_t p = 0; p < members; p++)
        pack_weights(packed + p * own, j,
                     weights_as_floats(packed + members * own, w, p, j->columns * j->depth),
                     forward, C, threads);
    j->w = packed;

    const int64_t tasks = j->P * j->tiles * j->groups;
    const size_t floats = (size_t)(INPUTS + j->tile * j->group);
    bool oom = false;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        float *scratch = aligned_alloc(64, (floats * sizeof *scratch + 63) / 64 * 64);
        if (!scratch) {
#pragma omp atomic write
            oom = true;
        }
#pragma omp for schedule(dynamic, 1) nowait
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

/* Positions of dx that the stride skips: keep dx. */
static void skipped(const dlf_tensor *dx, const dlf_conv1x1_geometry *g, bool nhwc, double keep)
{
    const int threads = dlf_cpu_threads(dx, (double)dlf_tensor_count(dx));
    const int64_t pixel = nhwc ? g->C : 1, rows = dlf_tensor_member_count(dx) / (g->W * pixel);
    for (int64_t p = 0; p < dx->shape[0]; p++)
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
        for (int64_t r = 0; r < rows; r++)
            for (int64_t w = 0; w < g->W; w++) {
                if (r % g->H % g->stride[0] == 0 && w % g->stride[1] == 0) continue;
                for (int64_t c = 0; c < pixel; c++) {
                    const int64_t at = p * dx->stride + (r * g->W + w) * pixel + c;
                    float v = 0.0f;
                    if (keep != 0.0)
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
            pack_b(to, buffer, true, ROW, n, some);
        else
            pack_a(to, buffer, ROW, 1, n, some);
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
    epilogue e = {1.0f, 0.0f, j->g.C};
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
