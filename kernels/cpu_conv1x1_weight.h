/* SPDX-License-Identifier: MIT
 * cpu_conv1x1_weight.h -- the gradients of w and of the bias: sums over all positions. */
#ifndef DLF_CPU_CONV1X1_WEIGHT_H
#define DLF_CPU_CONV1X1_WEIGHT_H
#include "cpu_conv1x1_product.h"

enum {
    TILE_K = 192,           /* of a task                                         */
    TILE_C = 4 * WIDE,      /* of a task, too                                    */
    STEP = 256,             /* positions in one go                               */
    STEP_ROW = STEP + LINE, /* of those as rows, which would share sets in L1    */
    LEAST_PIECE = 512       /* positions that are worth partial sums             */
};

/* dw (k, c) = sum over positions of dz (k, position) x (position, c). Vectors run along c: x is
 * packed in panels of positions by channels, transposed if it is NCHW. Of dz only single numbers
 * are read, so its copy lies as it lies itself. */
typedef struct weight_job {
    c1_input dz, x;
    dlf_conv1x1_geometry g;
    bool nhwc;
    int64_t P, pieces, piece, tiles_k, tiles_c;
    int64_t rows, width; /* of a register block */
    float *to;           /* (P, pieces, K, C), or dw with members to_member apart */
    int64_t to_member;
    float beta;
} weight_job;

/* Channels c .. c + channels at positions q .. q + n: out[i * row + channel], i < n. */
static void copy_rows(float *out, int64_t row, const c1_input *in, int64_t p, int64_t c,
                      int64_t channels, int64_t q, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        float *to = out + i * row;
        const float *v = c1_channels(to, in, p, q + i, c, channels);
        if (v != to) vec_copy(to, v, channels);
    }
}

/* The same as panels, each STEP * width floats; the rest of the last is 0. NHWC. */
static void pack_rows(float *packed, const weight_job *j, int64_t p, int64_t c, int64_t channels,
                      int64_t q, int64_t n)
{
    for (int64_t k = 0; k < channels; k += j->width) {
        const int64_t some = least(j->width, channels - k);
        float *to = packed + k * STEP;
        copy_rows(to, j->width, &j->x, p, c + k, some, q, n);
        for (int64_t i = 0; i < n && some < j->width; i++)
            memset(to + i * j->width + some, 0, (size_t)(j->width - some) * sizeof *to);
    }
}

/* Channels c .. c + channels at positions q .. q + n, NCHW: out[channel * STEP_ROW + i]. */
static void copy_runs(float *out, const c1_input *in, int64_t p, int64_t c, int64_t channels,
                      int64_t q, int64_t n)
{
    c1_piece piece[STEP];
    const int64_t count = c1_pieces(piece, &in->at, q, n);
    for (int64_t k = 0; k < channels; k++)
        c1_run_of(out + k * STEP_ROW, in, p, c + k, piece, count, n);
}

/* As panels. */
static void pack_runs(float *packed, const weight_job *j, int64_t p, int64_t c, int64_t channels,
                      int64_t q, int64_t n, float *buffer)
{
    for (int64_t k = 0; k < channels; k += j->width) {
        const int64_t some = least(j->width, channels - k);
        copy_runs(buffer, &j->x, p, c + k, some, q, n);
        pack_b(packed + k * STEP, j->width, buffer, true, STEP_ROW, n, some);
    }
}

static void weight_task(const weight_job *j, int64_t task, float *scratch)
{
    const int64_t tiles = j->tiles_k * j->tiles_c, tile = task % tiles;
    const int64_t p = task / tiles / j->pieces, piece = task / tiles % j->pieces;
    const int64_t k0 = tile / j->tiles_c * TILE_K, c0 = tile % j->tiles_c * TILE_C;
    const int64_t channels = least(TILE_K, j->g.K - k0), columns = least(TILE_C, j->g.C - c0);
    const int64_t end = least((piece + 1) * j->piece, j->g.M);
    float *a = scratch, *b = a + TILE_K * STEP_ROW, *buffer = b + TILE_C * STEP;
    float *to = j->to + p * j->to_member + (piece * j->g.K + k0) * j->g.C + c0;
    epilogue e = {.alpha = 1.0f, .beta = j->beta, .row = j->g.C};
    for (int64_t q = piece * j->piece; q < end; q += STEP, e.beta = 1.0f) {
        const int64_t n = least(STEP, end - q);
        if (j->nhwc) {
            copy_rows(a, TILE_K, &j->dz, p, k0, channels, q, n);
            pack_rows(b, j, p, c0, columns, q, n);
        } else {
            copy_runs(a, &j->dz, p, k0, channels, q, n);
            pack_runs(b, j, p, c0, columns, q, n, buffer);
        }
        const int64_t row = j->nhwc ? 1 : STEP_ROW, step = j->nhwc ? TILE_K : 1;
        for (int64_t c = 0; c < columns; c += j->width)
            for (int64_t i = 0; i < channels; i += j->rows) {
                const int64_t mr = least(j->rows, channels - i), nr = least(j->width, columns - c);
                blocks[mr - 1][(nr - 1) / VEC](a + i * row, row, step, b + c * STEP, j->width, n,
                                               to + i * j->g.C + c, nr, &e);
            }
    }
}

/* dw = accumulate dw + the pieces in their order. */
static void add_pieces(const dlf_conv1x1_bwd *io, const weight_job *j, int threads)
{
    const int64_t size = j->g.K * j->g.C;
    for (int64_t p = 0; p < j->P; p++) {
        float *dw = (float *)io->dw->data + p * io->dw->stride;
        const float *part = j->to + p * j->to_member;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
        for (int64_t i = 0; i < size; i++) {
            double sum = io->accumulate == 0.0 ? 0.0 : io->accumulate * (double)dw[i];
            for (int64_t k = 0; k < j->pieces; k++) sum += (double)part[k * size + i];
            dw[i] = (float)sum;
        }
    }
}

static dlf_status weight_gradient(const dlf_conv1x1_bwd *io, const dlf_conv1x1 *conv,
                                  const dlf_conv1x1_geometry *g)
{
    const bool nhwc = conv->layout == DLF_NHWC, narrow = g->C <= NR;
    const dlf_activation none = {DLF_LINEAR, 0.0};
    weight_job j = {
        .dz = c1_input_of(io->dz, g, nhwc, false, NULL, NULL, none),
        .x = c1_input_of(io->x, g, nhwc, true, io->scale, io->shift, conv->input_activation),
        .g = *g,
        .nhwc = nhwc,
        .P = io->dw->shape[0],
        .tiles_k = parts(g->K, TILE_K),
        .tiles_c = parts(g->C, TILE_C),
        .rows = narrow ? MR : WIDE_ROWS,
        .width = narrow ? NR : WIDE};
    const int64_t tiles = j.P * j.tiles_k * j.tiles_c, size = g->K * g->C;
    const int64_t wanted = least(parts(TASKS, tiles), parts(g->M, LEAST_PIECE));
    j.piece = parts(parts(g->M, wanted), STEP) * STEP;
    j.pieces = parts(g->M, j.piece);
    const int threads = dlf_cpu_threads(io->dw, (double)j.P * (double)g->M * (double)size / VEC);
    float *part = NULL;
    if (j.pieces > 1) {
        part = floats_of(j.P * j.pieces * size);
        if (!part) return dlf_fail(DLF_ERR_OOM, "conv1x1_backward: no memory for partial sums");
    }
    j.to = part ? part : io->dw->data;
    j.to_member = part ? j.pieces * size : io->dw->stride;
    j.beta = part ? 0.0f : (float)io->accumulate;
    bool oom = false;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        float *scratch = floats_of(TILE_K * STEP_ROW + TILE_C * STEP + WIDE * STEP_ROW);
        if (!scratch) {
#pragma omp atomic write
            oom = true;
        }
#pragma omp for schedule(dynamic, 1) nowait
        for (int64_t t = 0; t < tiles * j.pieces; t++)
            if (scratch) weight_task(&j, t, scratch);
        free(scratch);
    }
    if (part && !oom) add_pieces(io, &j, threads);
    free(part);
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
#endif
