/* SPDX-License-Identifier: MIT
 * group_norm_cpu.c -- group and instance norm.
 *
 * Statistics are taken piece by piece: a piece is read from memory once, its mean and its squared
 * deviations come out of the cache, and pieces merge in order (Chan, Golub, LeVeque 1979). Pieces
 * are cut by shape alone, so the bits do not depend on the threads.
 *
 *   NCHW  a group is one run of width S elements; a task is a group, or a part of one where groups
 *         are few
 *   NHWC  sums of columns over a chunk of rows, vectorised across channels, then over the channels
 *         of each group; a task is a sample, or a chunk of one where samples are few. With S = 1
 *         both layouts are the same, and this is the faster way. */
#include "cpu_group_norm_rows_backward.h"
#include "cpu_group_norm_runs.h"

/* ---- NCHW: one channel at a time --------------------------------------------------------------
 */

static stat run_stat(const job *j, const void *x, int64_t at, int64_t n)
{
    float buffer[SUM];
    stat all = {0};
    for (int64_t i = 0; i < n; i += SUM) {
        const int64_t count = n - i < SUM ? n - i : SUM;
        all = merge(all, piece_stat(dlf_cpu_load(buffer, x, j->dtype, at + i, count), count));
    }
    return all;
}

/* Elements at a time: what fits into the buffers, or a whole sum where nothing is staged. */
static int64_t piece_of(const job *j)
{
    return j->dtype == DLF_F32 && j->f.kind == DLF_LINEAR && !j->stream ? SUM : PIECE;
}

/* y of elements from .. to of group q. */
static void run_forward(const job *j, const dlf_norm_fwd *io, int64_t p, int64_t q, int64_t from,
                        int64_t to, affine a)
{
    const void *x = storage_of(io->x, p), *residual = storage_of(io->residual, p);
    void *y = storage_of(io->y, p);
    const float *gamma = real_of(io->gamma, p), *beta = real_of(io->beta, p);
    const int64_t S = j->g.S, first = q * j->g.count, piece = piece_of(j);
    int64_t channel = from / S;
    float bx[PIECE], br[PIECE], by[PIECE];
    for (int64_t e = from; e < to; channel++) {
        const int64_t end = (channel + 1) * S < to ? (channel + 1) * S : to;
        const affine ac = affine_at(a, gamma, beta, q % j->g.groups * j->g.width + channel);
        while (e < end) {
            const int64_t n = end - e < piece ? end - e : piece, at = first + e;
            const float *r = residual ? dlf_cpu_load(br, residual, j->dtype, at, n) : NULL;
            float *v = target(j, by, y, at);
            affine_run(v, dlf_cpu_load(bx, x, j->dtype, at, n), r, n, ac);
            if (j->f.kind != DLF_LINEAR) DLF_CPU(activation_values)(v, v, n, j->f);
            store(j, y, at, v, n);
            e += n;
        }
    }
}

/* run_forward of a whole group of f32 with short channels: nothing is staged, nothing called. */
static void short_forward(const job *j, const dlf_norm_fwd *io, int64_t p, int64_t q, affine a)
{
    const float *gamma = real_of(io->gamma, p), *beta = real_of(io->beta, p);
    const int64_t S = j->g.S, width = j->g.width, channel = q * width % j->g.C;
    const float *x = (const float *)storage_of(io->x, p) + q * j->g.count;
    float *y = (float *)storage_of(io->y, p) + q * j->g.count;
    for (int64_t k = 0; k < width; k++)
        affine_run(y + k * S, x + k * S, NULL, S, affine_at(a, gamma, beta, channel + k));
}

static stat group_stat(const job *j, const void *x, int64_t q)
{
    stat all = {0};
    for (int64_t e = 0; e < j->g.count; e += RUN)
        all = merge(
            all, run_stat(j, x, q * j->g.count + e, j->g.count - e < RUN ? j->g.count - e : RUN));
    return all;
}

/* Few groups: statistics of runs in parallel, then outputs of runs. */
static dlf_status few_forward(const job *j, const dlf_norm_fwd *io)
{
    const int64_t groups = j->g.P * j->g.statistics, count = j->g.count;
    const int64_t runs = (count + RUN - 1) / RUN;
    stat *part = malloc((size_t)(groups * runs) * sizeof *part);
    affine *all = malloc((size_t)groups * sizeof *all);
    if (!part || !all) {
        free(part), free(all);
        return no_memory("group_norm_forward");
    }
#pragma omp parallel for num_threads(j->threads) schedule(static)
    for (int64_t k = 0; k < groups * runs; k++) {
        const int64_t p = k / runs / j->g.statistics, q = k / runs % j->g.statistics;
        const int64_t e = k % runs * RUN;
        part[k] =
            run_stat(j, storage_of(io->x, p), q * count + e, count - e < RUN ? count - e : RUN);
    }
    for (int64_t k = 0; k < groups; k++) {
        stat s = {0};
        for (int64_t i = 0; i < runs; i++) s = merge(s, part[k * runs + i]);
        all[k] = keep(j, io, k / j->g.statistics, k % j->g.statistics, s);
    }
#pragma omp parallel for num_threads(j->threads) schedule(static)
    for (int64_t k = 0; k < groups * runs; k++) {
        const int64_t e = k % runs * RUN, q = k / runs;
        run_forward(j, io, q / j->g.statistics, q % j->g.statistics, e,
                    count - e < RUN ? count : e + RUN, all[q]);
        if (j->stream) dlf_cpu_stream_end();
    }
    free(part), free(all);
    return DLF_OK;
}

static dlf_status runs_forward(const job *j, const dlf_norm_fwd *io)
{
    const int64_t groups = j->g.P * j->g.statistics;
    const bool is_short = piece_of(j) == SUM && j->g.S <= SUM && !io->residual;
    if (groups < 2 * j->threads && j->g.count > RUN) return few_forward(j, io);
#pragma omp parallel for num_threads(j->threads) schedule(static)
    for (int64_t k = 0; k < groups; k++) {
        const int64_t p = k / j->g.statistics, q = k % j->g.statistics;
        const affine a = keep(j, io, p, q, group_stat(j, storage_of(io->x, p), q));
        if (is_short)
            short_forward(j, io, p, q, a);
        else
            run_forward(j, io, p, q, 0, j->g.count, a);
        if (j->stream) dlf_cpu_stream_end();
    }
    return DLF_OK;
}

/* A piece of one channel in backward: dz = dy f'(z), in `buffer` or dy itself. */
typedef struct bwd_piece {
    const float *x, *dz;
} bwd_piece;

typedef struct bwd_buffers {
    float x[PIECE], dy[PIECE], r[PIECE], z[PIECE], out[PIECE];
} bwd_buffers;

static inline bwd_piece load_bwd(const job *j, const dlf_norm_bwd *io, int64_t p, int64_t at,
                                 int64_t n, affine a, bwd_buffers *b)
{
    bwd_piece v = {dlf_cpu_load(b->x, storage_of(io->x, p), j->dtype, at, n),
                   dlf_cpu_load(b->dy, storage_of(io->dy, p), j->dtype, at, n)};
    if (j->f.kind == DLF_LINEAR) return v;
    const float *r =
        io->residual ? dlf_cpu_load(b->r, storage_of(io->residual, p), j->dtype, at, n) : NULL;
    affine_run(b->z, v.x, r, n, a);
    DLF_CPU(activation_slopes)(b->z, v.dz, b->z, n, j->f);
    v.dz = b->z;
    return v;
}

/* sums[0] = sum dz xhat, sums[1] = sum dz of channel c (counted over samples and channels). */
static void channel_sums(const job *j, const dlf_norm_bwd *io, int64_t p, int64_t c, affine a,
                         double *sums)
{
    const int64_t piece = piece_of(j);
    bwd_buffers b;
    sums[0] = sums[1] = 0.0;
    for (int64_t i = 0; i < j->g.S; i += piece) {
        const int64_t n = j->g.S - i < piece ? j->g.S - i : piece;
        const bwd_piece v = load_bwd(j, io, p, c * j->g.S + i, n, a, &b);
        sums_run(v.x, v.dz, n, a, sums);
    }
}

/* dx = rstd (gamma dz - mean_g - xhat mean_gx) of channel c. */
static void channel_dx(const job *j, const dlf_norm_bwd *io, int64_t p, int64_t c, affine a,
                       float mean_g, float mean_gx)
{
    const int64_t piece = piece_of(j);
    bwd_buffers b;
    void *dx = storage_of(io->dx, p), *dresidual = storage_of(io->dresidual, p);
    for (int64_t i = 0; i < j->g.S; i += piece) {
        const int64_t n = j->g.S - i < piece ? j->g.S - i : piece, at = c * j->g.S + i;
        const bwd_piece v = load_bwd(j, io, p, at, n, a, &b);
        if (dresidual) dlf_cpu_store(dresidual, j->dtype, at, v.dz, n);
        float *out = target(j, b.out, dx, at);
        dx_run(out, v.x, v.dz, n, a, mean_g, mean_gx);
        store(j, dx, at, out, n);
    }
}

/* Means of g and of g xhat over the group of channel c. */
static void group_means(const job *j, const dlf_norm_bwd *io, int64_t p, int64_t q,
                        const double *sums, float *mean_g, float *mean_gx)
{
    const float *gamma = real_of(io->gamma, p);
    double g = 0.0, gx = 0.0;
    const int64_t channel = q * j->g.width % j->g.C;
    for (int64_t k = 0; k < j->g.width; k++) {
        const int64_t c = q * j->g.width + k;
        const double scale = gamma ? (double)gamma[channel + k] : 1.0;
        gx += scale * sums[2 * c];
        g += scale * sums[2 * c + 1];
    }
    *mean_g = (float)(g / (double)j->g.count);
    *mean_gx = (float)(gx / (double)j->g.count);
}

/* group_backward of short channels of f32 in place: nothing is staged, nothing called. */
static void short_backward(const job *j, const dlf_norm_bwd *io, int64_t p, int64_t q, double *sums)
{
    const affine a = kept(io, p, q);
    const float *gamma = real_of(io->gamma, p);
    const int64_t S = j->g.S, width = j->g.width, first = q * width, channel = first % j->g.C;
    const float *x = (const float *)storage_of(io->x, p) + first * S;
    const float *dz = (const float *)storage_of(io->dy, p) + first * S;
    float *dx = (float *)storage_of(io->dx, p) + first * S;
    float mean_g, mean_gx;
    memset(sums + 2 * first, 0, (size_t)(2 * width) * sizeof *sums);
    for (int64_t k = 0; k < width; k++)
        sums_run(x + k * S, dz + k * S, S, a, sums + 2 * (first + k));
    group_means(j, io, p, q, sums, &mean_g, &mean_gx);
    for (int64_t k = 0; k < width; k++)
        dx_run(dx + k * S, x + k * S, dz + k * S, S, affine_at(a, gamma, NULL, channel + k), mean_g,
               mean_gx);
}

static void group_backward(const job *j, const dlf_norm_bwd *io, int64_t p, int64_t q, double *sums)
{
    const affine a = kept(io, p, q);
    const float *gamma = real_of(io->gamma, p), *beta = real_of(io->beta, p);
    const int64_t first = q * j->g.width, channel = first % j->g.C;
    float mean_g, mean_gx;
    for (int64_t k = 0; k < j->g.width; k++)
        channel_sums(j, io, p, first + k, affine_at(a, gamma, beta, channel + k),
                     sums + 2 * (first + k));
    group_means(j, io, p, q, sums, &mean_g, &mean_gx);
    for (int64_t k = 0; k < j->g.width; k++)
        channel_dx(j, io, p, first + k, affine_at(a, gamma, beta, channel + k), mean_g, mean_gx);
}

/* Few groups: channels are the tasks, first for the sums, then for dx. */
static void few_backward(const job *j, const dlf_norm_bwd *io, double *sums)
{
    const int64_t rows = j->g.N * j->g.C;
    for (int pass = 0; pass < 2; pass++) {
#pragma omp parallel for num_threads(j->threads) schedule(static)
        for (int64_t k = 0; k < j->g.P * rows; k++) {
            const int64_t p = k / rows, c = k % rows, q = c / j->g.width;
            const affine a =
                affine_at(kept(io, p, q), real_of(io->gamma, p), real_of(io->beta, p), c % j->g.C);
            float mean_g, mean_gx;
            if (pass == 0) {
                channel_sums(j, io, p, c, a, sums + 2 * k);
                continue;
            }
            group_means(j, io, p, q, sums + 2 * p * rows, &mean_g, &mean_gx);
            channel_dx(j, io, p, c, a, mean_g, mean_gx);
            if (j->stream) dlf_cpu_stream_end();
        }
    }
}

static dlf_status runs_backward(const job *j, const dlf_norm_bwd *io)
{
    const int64_t groups = j->g.P * j->g.statistics, rows = j->g.N * j->g.C;
    const bool is_short = piece_of(j) == SUM && j->g.S <= SUM && !io->dresidual;
    double *sums = malloc((size_t)(2 * j->g.P * rows) * sizeof *sums);
    if (!sums) return no_memory("group_norm_backward");
    if (groups < 2 * j->threads && j->g.width > 1) {
        few_backward(j, io, sums);
    } else {
#pragma omp parallel for num_threads(j->threads) schedule(static)
        for (int64_t k = 0; k < groups; k++) {
            const int64_t p = k / j->g.statistics, q = k % j->g.statistics;
            if (is_short)
                short_backward(j, io, p, q, sums + 2 * p * rows);
            else
                group_backward(j, io, p, q, sums + 2 * p * rows);
            if (j->stream) dlf_cpu_stream_end();
        }
    }
    finish(j, io, sums, j->g.N);
    free(sums);
    return DLF_OK;
}

/* ---- entry ------------------------------------------------------------------------------------
 */

dlf_status DLF_CPU(group_norm_forward)(const dlf_norm_fwd *io, const dlf_norm *norm)
{
    job j;
    DLF_TRY(job_of(&j, io->x, io->y, io->x, norm, 3.0));
    return by_rows(&j, norm) ? rows_forward(&j, io) : runs_forward(&j, io);
}

dlf_status DLF_CPU(group_norm_backward)(const dlf_norm_bwd *io, const dlf_norm *norm)
{
    job j;
    DLF_TRY(job_of(&j, io->x, io->dx, io->dy, norm, 6.0));
    return by_rows(&j, norm) ? rows_backward(&j, io) : runs_backward(&j, io);
}
