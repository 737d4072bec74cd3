/* SPDX-License-Identifier: MIT
 * cpu_conv1x1_tile.h -- how the matrix product of forward and data gradient is cut, and the packing
 * of its operands.
 *
 * Vectors run along what is contiguous in y. NHWC: along channels; rows of a block are positions,
 * read where they are, w is turned into panels of columns. NCHW: along positions; rows of a block
 * are channels of w. Positions are read where they are if they lie in whole vectors, else packed
 * panel by panel.
 *
 * A task is a tile of positions and a group of channels. NHWC: the weights of a group stay in L2
 * while positions stream by; all tiles of a group come before the next group. NCHW: the
 * positions of a tile stay there while w streams by. How positions are cut depends on the shape
 * alone, so that statistics do not depend on the number of threads. */
#ifndef DLF_CPU_CONV1X1_TILE_H
#define DLF_CPU_CONV1X1_TILE_H
#include "conv1x1_cpu.h"

enum {
    DEPTH = 2048,    /* of the sums in one go                                                    */
    TILE = 120,      /* positions of a tile at most, NHWC: whole blocks of 12, 6 and 4           */
    TILE_NCHW = 192, /* and NCHW: whole panels                                                   */
    IN_L2 = 1 << 18, /* floats that stay in L2: half of it                                       */
    LEAST_TILE = 96, /* positions: below, w streams by too often, and groups share tiles instead */
    FEWEST_TILES = 10, /* so many at least, if they are not smaller than that                     */
    TASKS = 24, /* as many at least, if the shape has them                                  */
    PACKED_FROM = 1024, /* positions: w is packed in NCHW, too */
    GROUP = 64,       /* least channels of a task that shares its tile                            */
    AHEAD_PACKED = 12 /* channels from the packed one to the fetched one */
};

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

typedef struct job {
    c1_input in;
    c1_result out;
    int64_t P, M, columns, depth;
    bool nhwc;
    int64_t rows, width; /* of a register block                                  */
    int64_t per_run, run_tiles,
        tiles;             /* NCHW may cut each image by itself: then per_run positions */
    int64_t positions;     /* of a tile at most, NCHW, in whole panels             */
    int64_t groups, group; /* of channels; the largest                             */
    const float *w;        /* member p at p * w_member: panels, or rows as they are */
    int64_t w_member;
    bool packed;   /* w is panels already                                                        */
    bool panels;   /* w is, or becomes, panels                                                   */
    float *inputs; /* NCHW: packed for all groups, a tile after the other, or NULL  */
    c1_stat *part; /* (P, tiles, columns), or NULL                                  */
} job;

/* ---- how it is cut ---- */

/* Register blocks, and with them the panels of w. */
static void cut_blocks(job *j)
{
    const bool narrow = j->nhwc && j->columns <= NR;
    j->width = !j->nhwc ? EVEN : narrow ? NR : WIDE;
    j->rows = !j->nhwc ? EVEN_ROWS : narrow ? MR : WIDE_ROWS;
}

/* Channels of a panel of w. */
static int64_t panel_of(const job *j)
{
    return j->nhwc ? j->width : j->rows;
}

/* Tiles and groups, from the shape alone. */
static void cut(job *j)
{
    const int64_t image = j->in.at.per_image, depth = least(j->depth, DEPTH);
    const bool by_image = !j->nhwc && (image % VEC == 0 || image >= 32 * VEC);
    cut_blocks(j);
    j->per_run = by_image ? image : j->M;
    const int64_t runs = j->P * (j->M / j->per_run), fit = IN_L2 / depth / EVEN * EVEN;
    const int64_t tile = j->nhwc ? TILE : least(TILE_NCHW, fit);
    j->run_tiles = parts(j->per_run, tile);
    if (!j->nhwc && j->per_run >= parts(FEWEST_TILES, runs) * LEAST_TILE &&
        j->run_tiles < parts(FEWEST_TILES, runs))
        j->run_tiles = parts(FEWEST_TILES, runs);
    j->tiles = j->M / j->per_run * j->run_tiles;
    j->positions = parts(parts(j->per_run, EVEN), j->run_tiles) * EVEN;

    const int64_t unit = panel_of(j), units = parts(j->columns, unit);
    int64_t wanted = parts(TASKS, j->P * j->tiles);
    if (!j->nhwc && j->P * j->tiles >= FEWEST_TILES) wanted = 1;
    wanted = least(wanted, parts(j->columns, GROUP));
    if (j->nhwc && wanted * IN_L2 < j->columns * depth) wanted = parts(j->columns * depth, IN_L2);
    j->groups = least(wanted, units);
    j->group = parts(units, j->groups) * unit;
}

/* A tile of positions and channels k0 .. k0 + channels of member p. */
typedef struct c1_task {
    int64_t p, t, q0, positions, k0, channels;
} c1_task;

static void place_tile(const job *j, c1_task *t)
{
    const int64_t run = t->t / j->run_tiles, in = t->t % j->run_tiles;
    const int64_t size = least(j->per_run, j->M - run * j->per_run);
    const int64_t unit = j->nhwc ? j->rows : EVEN;
    const int64_t first = part_first(in, j->run_tiles, size, unit);
    t->q0 = run * j->per_run + first;
    t->positions = part_first(in + 1, j->run_tiles, size, unit) - first;
}

static c1_task task_of(const job *j, int64_t task)
{
    const int64_t each = j->tiles * j->groups, g = task % each / j->tiles;
    const int64_t unit = panel_of(j);
    c1_task t = {.p = task / each, .t = task % j->tiles};
    t.k0 = part_first(g, j->groups, j->columns, unit);
    t.channels = part_first(g + 1, j->groups, j->columns, unit) - t.k0;
    place_tile(j, &t);
    return t;
}

/* ---- packing ---- */

static float *floats_of(int64_t n)
{
    return aligned_alloc(64, ((size_t)n * sizeof(float) + 63) / 64 * 64);
}

/* Panels of `width` columns (NHWC) or `rows` rows (NCHW) of w over the whole depth. */
static void pack_weights(float *out, const job *j, const float *w, bool forward, int64_t C,
                         int threads)
{
    const int64_t width = panel_of(j), panels = parts(j->columns, width);
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

/* Floats of a member's panels. */
static int64_t panels_size(const job *j)
{
    return parts(j->columns, panel_of(j)) * panel_of(j) * j->depth;
}

/* Panels of every member of w, `apart` floats from each other. */
static dlf_status pack_members(float *out, int64_t apart, const job *j, const dlf_tensor *w,
                               bool forward, int64_t C, int threads)
{
    const int64_t size = j->columns * j->depth;
    float *floats = w->dtype == DLF_F32 ? NULL : floats_of(size);
    if (!floats && w->dtype != DLF_F32)
        return dlf_fail(DLF_ERR_OOM, "conv1x1: no memory for weights as floats");
    for (int64_t p = 0; p < w->shape[0]; p++)
        pack_weights(out + p * apart, j,
                     dlf_cpu_load(floats, w->data, w->dtype, c1_member(w, p), size), forward, C,
                     threads);
    free(floats);
    return DLF_OK;
}

/* Positions of a tile at equal distances that lie within one of its panels, NCHW: EVEN positions
 * each, the last in whole vectors. */
typedef struct stretch {
    int64_t from, n, first; /* in the tensor, channel 0; how many; in the tile     */
    int64_t panel, width;   /* where the panel begins in the tile; what a row takes */
} stretch;

enum { MOST_STRETCHES = TILE_NCHW + TILE_NCHW / EVEN };

static int64_t panel_width(const c1_task *t, int64_t panel)
{
    return least(EVEN, parts(t->positions - panel, VEC) * VEC);
}

static int64_t stretches_of(stretch *out, const c1_positions *at, const c1_task *t)
{
    c1_piece piece[TILE_NCHW];
    const int64_t pieces = c1_pieces(piece, at, t->q0, t->positions);
    int64_t count = 0;
    for (int64_t s = 0; s < pieces; s++)
        for (int64_t done = 0, n; done < piece[s].n; done += n) {
            const int64_t first = piece[s].first + done, panel = first - first % EVEN;
            n = least(piece[s].n - done, panel + EVEN - first);
            out[count++] = (stretch){piece[s].from + done * at->column, n, first, panel,
                                     panel_width(t, panel)};
        }
    return count;
}

/* The same from floats that need no prologue; what comes later is fetched. */
static void copy_stretch(float *to, const float *from, int64_t n, int64_t column, int64_t later)
{
    for (int64_t i = 0; i < n * column; i += LINE) __builtin_prefetch(from + later + i);
    if (column == 1 && n == EVEN)
        for (int64_t i = 0; i < EVEN; i += VEC) vec_store(to + i, vec_load(from + i));
    else if (column == 1)
        vec_copy(to, from, n);
    else
        vec_copy_even(to, from, n);
}

/* Channels first .. end of the `depth` from d0 on, at the positions of a tile: a panel that begins
 * at position q has its rows from depth * q on. */
static void pack_positions(float *out, const job *j, const c1_task *t, int64_t d0, int64_t depth,
                           int64_t first, int64_t end)
{
    stretch part[MOST_STRETCHES];
    const c1_positions *at = &j->in.at;
    const int64_t count = stretches_of(part, at, t), rest = t->positions % VEC;
    const bool floats = j->in.t->dtype == DLF_F32 && j->in.plain && at->column <= 2;
    for (int64_t d = first; d < end; d++) {
        const int64_t channel = c1_member(j->in.t, t->p) + (d0 + d) * at->channel;
        const float *x = (const float *)j->in.t->data + channel;
        for (int64_t s = 0; s < count; s++) {
            const int64_t lane = part[s].first - part[s].panel;
            float *v = out + depth * part[s].panel + d * part[s].width + lane;
            if (floats) {
                copy_stretch(v, x + part[s].from, part[s].n, at->column,
                             AHEAD_PACKED * at->channel);
                continue;
            }
            c1_copy(v, &j->in, channel + part[s].from, part[s].n);
            c1_prologue(v, &j->in, t->p, d0 + d, part[s].n);
        }
        const stretch *last = &part[count - 1];
        float *row = out + depth * last->panel + d * last->width;
        for (int64_t i = last->width - VEC + rest; rest && i < last->width; i++) row[i] = 0.0f;
    }
}

/* Where several groups read the same tile, it is packed once. */
static void pack_inputs(const job *j, int threads)
{
    const int64_t pieces = parts(j->depth, GROUP);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t i = 0; i < j->P * j->tiles * pieces; i++) {
        c1_task t = {.p = i / pieces / j->tiles, .t = i / pieces % j->tiles};
        const int64_t first = i % pieces * GROUP, d0 = first / DEPTH * DEPTH;
        float *to = j->inputs + (i / pieces * j->depth + d0) * j->positions;
        place_tile(j, &t);
        pack_positions(to, j, &t, d0, least(DEPTH, j->depth - d0), first - d0,
                       least(first + GROUP, j->depth) - d0);
    }
}
#endif
