/* SPDX-License-Identifier: MIT
 * batch_norm_cpu.c -- batch normalization, a channel (planes) or a block of rows (columns) at a
 * time.
 *
 * Planes: a channel's statistics and its y in one task, so that the second read of x comes from L2.
 * Columns: the rows of a block are read once; eight of them give mean and squares in registers,
 * which merge into those of the block, and blocks merge in double. y then runs from the last block
 * to the first: those are the ones still in the cache. A short row is taken several times over (a
 * lane of rows each), so that loops are long whatever C is. */
#include "batch_norm_cpu.h"
#include "batch_norm_cpu_pieces.h"

static dlf_status no_version(const char *op, int version)
{
    return dlf_fail(DLF_ERR_NO_KERNEL, "%s on cpu has version 1, not %d", op, version);
}

static dlf_status no_memory(const char *op)
{
    return dlf_fail(DLF_ERR_OOM, "%s on cpu: no memory for the statistics", op);
}

/* ---- planes: chunks of a channel --------------------------------------------------------------
 */

/* Pieces first .. last-1, from s, `length` values of each. */
typedef struct span {
    int64_t first, last, s, length;
} span;

static int64_t chunks_per_piece(const bn *b)
{
    return (b->S + CHUNK - 1) / CHUNK;
}

static int64_t pieces_per_chunk(const bn *b)
{
    return b->S < SHORT ? CHUNK / 2 / b->S : 1;
}

static int64_t chunk_count(const bn *b)
{
    const int64_t pieces = pieces_per_chunk(b);
    return pieces > 1 ? (b->N + pieces - 1) / pieces : b->N * chunks_per_piece(b);
}

static span chunk_of(const bn *b, int64_t k)
{
    const int64_t pieces = pieces_per_chunk(b);
    if (pieces > 1) return (span){k * pieces, at_most(b->N, (k + 1) * pieces), 0, b->S};
    const int64_t per = chunks_per_piece(b), n = k / per;
    const int64_t length = (b->S + per - 1) / per, s = k % per * length;
    return (span){n, n + 1, s, at_most(b->S - s, length)};
}

static int64_t size_of(span w)
{
    return (w.last - w.first) * w.length;
}

static int64_t position(const bn *b, int64_t n, int64_t c, int64_t s)
{
    return (n * b->C + c) * b->S + s;
}

/* memcpy for pieces of a few vectors, without the call: the last vector overlaps the one before. */
static void copy_short(float *restrict to, const float *restrict from, int64_t n)
{
    enum { V = 16 };
    int64_t i = 0;
    for (; i + V <= n; i += V) memcpy(to + i, from + i, V * sizeof *to);
    if (i < n && n >= V)
        memcpy(to + n - V, from + n - V, V * sizeof *to);
    else
        for (; i < n; i++) to[i] = from[i];
}

/* The chunk's values as floats: in place where they are, or in `buffer`. NULL: NULL. */
static const float *gather(float *buffer, const void *data, const bn *b, int64_t c, span w)
{
    if (!data) return NULL;
    if (w.last - w.first == 1)
        return dlf_cpu_load(buffer, data, b->dtype, position(b, w.first, c, w.s), w.length);
    for (int64_t n = w.first; n < w.last; n++) {
        float *to = buffer + (n - w.first) * w.length;
        const float *from = dlf_cpu_load(to, data, b->dtype, position(b, n, c, 0), w.length);
        if (from != to) copy_short(to, from, w.length);
    }
    return buffer;
}

/* Where to compute what `scatter` then stores. */
static float *target(float *buffer, void *data, const bn *b, int64_t c, span w)
{
    if (w.last - w.first > 1 || b->streams) return buffer;
    return dlf_cpu_target(buffer, data, b->dtype, position(b, w.first, c, w.s));
}

static void put(void *data, const bn *b, int64_t at, const float *v, int64_t n)
{
    if (b->streams)
        dlf_cpu_stream((float *)data + at, v, n);
    else
        dlf_cpu_store(data, b->dtype, at, v, n);
}

static void scatter(void *data, const float *v, const bn *b, int64_t c, span w)
{
    if (w.last - w.first > 1 && b->dtype == DLF_F32 && !b->streams) {
        for (int64_t n = w.first; n < w.last; n++)
            copy_short((float *)data + position(b, n, c, 0), v + (n - w.first) * w.length,
                       w.length);
        return;
    }
    for (int64_t n = w.first; n < w.last; n++)
        put(data, b, position(b, n, c, w.s), v + (n - w.first) * w.length, w.length);
}

/* A piece whose y goes past the caches: by lines, with an activation by tiles. */
static void apply_streamed(const bn *b, const float *x, const float *residual, float *y, int64_t n,
                           bn_coef k)
{
    if (!b->active && !residual) {
        const dlf_cpu_lines lines = dlf_cpu_lines_of(y, n);
        bn_affine(y, x, NULL, lines.first, k);
        DLF_CPU_EACH_LINE(i, lines, true, y, x, x, fmaf(x[i] - k.hi, k.scale, k.shift))
        bn_affine(y + lines.end, x + lines.end, NULL, n - lines.end, k);
        return;
    }
    float tile[TILE];
    for (int64_t i = 0; i < n; i += TILE) {
        const int64_t count = at_most(TILE, n - i);
        bn_affine(tile, x + i, residual ? residual + i : NULL, count, k);
        if (b->active) DLF_CPU(activation_values)(tile, tile, count, b->f);
        dlf_cpu_stream(y + i, tile, count);
    }
}

/* y of a chunk whose x the caller has. */
static void apply_to(const bn *b, const dlf_norm_fwd *io, const float *x, int64_t p, int64_t c,
                     span w, bn_coef k)
{
    float br[CHUNK], by[CHUNK];
    const float *residual = gather(br, bn_member(io->residual, p), b, c, w);
    void *data = bn_member(io->y, p);
    if (b->streams && w.last - w.first == 1) {
        apply_streamed(b, x, residual, (float *)data + position(b, w.first, c, w.s), w.length, k);
        return;
    }
    float *y = target(by, data, b, c, w);
    bn_affine(y, x, residual, size_of(w), k);
    if (b->active) DLF_CPU(activation_values)(y, y, size_of(w), b->f);
    scatter(data, y, b, c, w);
}

static void apply_chunk(const bn *b, const dlf_norm_fwd *io, int64_t p, int64_t c, span w,
                        bn_coef k)
{
    float buffer[CHUNK];
    apply_to(b, io, gather(buffer, bn_member(io->x, p), b, c, w), p, c, w, k);
}

static bn_stat chunk_stat(const bn *b, const dlf_tensor *x, int64_t p, int64_t c, int64_t k)
{
    float buffer[CHUNK];
    const span w = chunk_of(b, k);
    return bn_stat_of(gather(buffer, bn_member(x, p), b, c, w), size_of(w));
}

static bn_coef finish_channel(const bn *b, const dlf_norm_fwd *io, double momentum, int64_t p,
                              int64_t c, bn_stat s)
{
    const float rstd = bn_write(b, io, momentum, p, c, s.mean, s.m2 / b->count);
    return bn_coef_of(s.mean, rstd, bn_member(io->gamma, p), bn_member(io->beta, p), c);
}

/* So few channels that each is shared by the threads: parts[channel][chunk]. */
static bool few_channels(const bn *b)
{
    return b->P * b->C < 16 && b->count > 8 * CHUNK;
}

static dlf_status forward_few(const bn *b, const dlf_norm_fwd *io, double momentum)
{
    const int64_t chunks = chunk_count(b), channels = b->P * b->C;
    bn_stat *parts = malloc((size_t)(channels * chunks) * sizeof *parts);
    bn_coef *coefs = malloc((size_t)channels * sizeof *coefs);
    if (!parts || !coefs) {
        free(parts), free(coefs);
        return no_memory("norm_forward");
    }
#pragma omp parallel for num_threads(b->threads) schedule(static)
    for (int64_t task = 0; task < channels * chunks; task++)
        parts[task] =
            chunk_stat(b, io->x, task / chunks / b->C, task / chunks % b->C, task % chunks);
    for (int64_t i = 0; i < channels; i++) {
        bn_stat s = {0};
        for (int64_t k = 0; k < chunks; k++) s = bn_merge(s, parts[i * chunks + k]);
        coefs[i] = finish_channel(b, io, momentum, i / b->C, i % b->C, s);
    }
#pragma omp parallel for num_threads(b->threads) schedule(static)
    for (int64_t task = 0; task < channels * chunks; task++) {
        const int64_t i = task / chunks;
        apply_chunk(b, io, i / b->C, i % b->C, chunk_of(b, task % chunks), coefs[i]);
        if (b->streams) dlf_cpu_stream_end();
    }
    free(parts), free(coefs);
    return DLF_OK;
}

static void forward_channel(const bn *b, const dlf_norm_fwd *io, double momentum, int64_t p,
                            int64_t c, int64_t chunks)
{
    if (chunks == 1) {
        float buffer[CHUNK];
        const span w = chunk_of(b, 0);
        const float *x = gather(buffer, bn_member(io->x, p), b, c, w);
        const bn_stat s = bn_stat_of(x, size_of(w));
        apply_to(b, io, x, p, c, w, finish_channel(b, io, momentum, p, c, s));
        return;
    }
    bn_stat s = {0};
    for (int64_t k = 0; k < chunks; k++) s = bn_merge(s, chunk_stat(b, io->x, p, c, k));
    const bn_coef coef = finish_channel(b, io, momentum, p, c, s);
    for (int64_t k = 0; k < chunks; k++) apply_chunk(b, io, p, c, chunk_of(b, k), coef);
}

static dlf_status forward_planes(const bn *b, const dlf_norm_fwd *io, double momentum)
{
    if (few_channels(b)) return forward_few(b, io, momentum);
    const int64_t chunks = chunk_count(b);
#pragma omp parallel for num_threads(b->threads) schedule(static)
    for (int64_t task = 0; task < b->P * b->C; task++) {
        forward_channel(b, io, momentum, task / b->C, task % b->C, chunks);
        if (b->streams) dlf_cpu_stream_end();
    }
    return DLF_OK;
}

static bn_coef infer_coef(const bn *b, const dlf_norm_fwd *io, int64_t p, int64_t c)
{
    const float *mean = bn_member(io->running_mean, p), *var = bn_member(io->running_var, p);
    return bn_coef_of((double)mean[c], bn_rstd((double)var[c], b->eps), bn_member(io->gamma, p),
                      bn_member(io->beta, p), c);
}

/* Short pieces by channel, gathered. Others in the order of memory, as one stream: by channel every
 * piece was a new one to the hardware that reads ahead. */
static dlf_status infer_planes(const bn *b, const dlf_norm_fwd *io)
{
    const bool by_channel = pieces_per_chunk(b) > 1;
    const int64_t chunks = chunk_count(b), channels = b->P * b->C;
    const int64_t per = chunks_per_piece(b), rows = by_channel ? 1 : b->N;
#pragma omp parallel for num_threads(b->threads) schedule(static)
    for (int64_t task = 0; task < rows * channels; task++) {
        const int64_t p = task / (rows * b->C), n = task / b->C % rows, c = task % b->C;
        const bn_coef coef = infer_coef(b, io, p, c);
        const int64_t last = by_channel ? chunks : (n + 1) * per;
        for (int64_t k = n * per; k < last; k++) apply_chunk(b, io, p, c, chunk_of(b, k), coef);
        if (b->streams) dlf_cpu_stream_end();
    }
    return DLF_OK;
}

/* ---- planes, backward -------------------------------------------------------------------------
 */

/* dz = dy f'(z) of n values, in `buffer`; without an activation dy itself. */
static void slopes(float *dz, const float *dy, const float *z, int64_t n, dlf_activation f)
{
    if (f.kind == DLF_RELU)
        bn_relu_slope(dz, dy, z, n);
    else
        DLF_CPU(activation_slopes)(dz, dy, z, n, f);
}

/* x and dz of a chunk. */
static const float *chunk_dz(float *bx, float *bz, const float **x, const bn *b,
                             const dlf_norm_bwd *io, int64_t p, int64_t c, span w, bn_coef k)
{
    float bd[CHUNK];
    *x = gather(bx, bn_member(io->x, p), b, c, w);
    if (!b->active) return gather(bz, bn_member(io->dy, p), b, c, w);
    float br[CHUNK];
    const float *dy = gather(bd, bn_member(io->dy, p), b, c, w);
    bn_affine(bz, *x, gather(br, bn_member(io->residual, p), b, c, w), size_of(w), k);
    slopes(bz, dy, bz, size_of(w), b->f);
    return bz;
}

static void chunk_sums(double *sum, double *product, const bn *b, const dlf_norm_bwd *io, int64_t p,
                       int64_t c, int64_t k, bn_coef coef)
{
    float bx[CHUNK], bz[CHUNK];
    const float *x;
    const span w = chunk_of(b, k);
    const float *dz = chunk_dz(bx, bz, &x, b, io, p, c, w, coef);
    bn_product_sums(sum, product, dz, x, size_of(w), coef.hi);
}

/* dx and dresidual of a chunk whose x and dz the caller has. */
static void dx_to(const bn *b, const dlf_norm_bwd *io, const float *x, const float *dz, int64_t p,
                  int64_t c, span w, bn_coef coef)
{
    float bd[CHUNK];
    void *data = bn_member(io->dx, p), *dresidual = bn_member(io->dresidual, p);
    float *dx = dresidual ? bd : target(bd, data, b, c, w); /* dz may be dy, which may be dx */
    bn_dx(dx, dz, x, size_of(w), coef);
    if (dresidual) scatter(dresidual, dz, b, c, w);
    scatter(data, dx, b, c, w);
}

static void chunk_dx(const bn *b, const dlf_norm_bwd *io, int64_t p, int64_t c, int64_t k,
                     bn_coef coef)
{
    float bx[CHUNK], bz[CHUNK];
    const float *x;
    const span w = chunk_of(b, k);
    const float *dz = chunk_dz(bx, bz, &x, b, io, p, c, w, coef);
    dx_to(b, io, x, dz, p, c, w, coef);
}

static bn_coef channel_coef(const dlf_norm_bwd *io, int64_t p, int64_t c)
{
    return bn_coef_of(((double *)bn_member(io->mean, p))[c], ((float *)bn_member(io->rstd, p))[c],
                      bn_member(io->gamma, p), bn_member(io->beta, p), c);
}

static void finish_channel_backward(bn_coef *k, const bn *b, const dlf_norm_bwd *io, int64_t p,
                                    int64_t c, double sum, double product)
{
    const double mean = ((double *)bn_member(io->mean, p))[c];
    const double dgamma =
        bn_coef_backward(k, mean, ((float *)bn_member(io->rstd, p))[c], sum, product, b->count);
    bn_add_to(bn_member(io->dgamma, p), c, dgamma, io->accumulate);
    bn_add_to(bn_member(io->dbeta, p), c, sum, io->accumulate);
}

static dlf_status backward_few(const bn *b, const dlf_norm_bwd *io)
{
    const int64_t chunks = chunk_count(b), channels = b->P * b->C;
    double(*parts)[2] = calloc((size_t)(channels * chunks), sizeof *parts);
    bn_coef *coefs = malloc((size_t)channels * sizeof *coefs);
    if (!parts || !coefs) {
        free(parts), free(coefs);
        return no_memory("norm_backward");
    }
    for (int64_t i = 0; i < channels; i++) coefs[i] = channel_coef(io, i / b->C, i % b->C);
#pragma omp parallel for num_threads(b->threads) schedule(static)
    for (int64_t task = 0; task < channels * chunks; task++) {
        const int64_t i = task / chunks;
        chunk_sums(&parts[task][0], &parts[task][1], b, io, i / b->C, i % b->C, task % chunks,
                   coefs[i]);
    }
    for (int64_t i = 0; i < channels; i++) {
        double sum = 0.0, product = 0.0;
        for (int64_t k = 0; k < chunks; k++) {
            sum += parts[i * chunks + k][0];
            product += parts[i * chunks + k][1];
        }
        finish_channel_backward(&coefs[i], b, io, i / b->C, i % b->C, sum, product);
    }
#pragma omp parallel for num_threads(b->threads) schedule(static)
    for (int64_t task = 0; task < channels * chunks; task++) {
        const int64_t i = task / chunks;
        chunk_dx(b, io, i / b->C, i % b->C, task % chunks, coefs[i]);
        if (b->streams) dlf_cpu_stream_end();
    }
    free(parts), free(coefs);
    return DLF_OK;
}

static void backward_channel(const bn *b, const dlf_norm_bwd *io, int64_t p, int64_t c,
                             int64_t chunks)
{
    bn_coef coef = channel_coef(io, p, c);
    double sum = 0.0, product = 0.0;
    if (chunks == 1) {
        float bx[CHUNK], bz[CHUNK];
        const float *x;
        const span w = chunk_of(b, 0);
        const float *dz = chunk_dz(bx, bz, &x, b, io, p, c, w, coef);
        bn_product_sums(&sum, &product, dz, x, size_of(w), coef.hi);
        finish_channel_backward(&coef, b, io, p, c, sum, product);
        dx_to(b, io, x, dz, p, c, w, coef);
        return;
    }
    for (int64_t k = 0; k < chunks; k++) chunk_sums(&sum, &product, b, io, p, c, k, coef);
    finish_channel_backward(&coef, b, io, p, c, sum, product);
    for (int64_t k = 0; k < chunks; k++) chunk_dx(b, io, p, c, k, coef);
}

/* f32 that needs no conversion and no dz is worked on where it is: gathering short pieces costs as
 * much as the sums, and long ones are fetched ahead. */
static bool is_direct(const bn *b, const dlf_norm_bwd *io)
{
    return b->dtype == DLF_F32 && !b->active && !io->dresidual && b->S >= LANES;
}

/* Channels that are taken together, so that their pieces, which are neighbours, are one stream: as
 * many as stay in half of a second-level cache of 512 KiB, and leave each thread eight tasks. */
enum { CHANNELS_MAX = 8 };

static int64_t channels_together(const bn *b)
{
    const int64_t fit = (32 << 10) / (b->N * b->S), share = b->P * b->C / (8 * b->threads);
    const int64_t least = at_most(fit, share);
    return least < 1 ? 1 : at_most(least, CHANNELS_MAX);
}

/* Sums of `width` channels from c on, over one chunk of each after the other. */
static void direct_sums(double *sum, double *product, const bn *b, const dlf_norm_bwd *io,
                        int64_t p, int64_t c, int64_t width, const bn_coef *coef)
{
    const float *x = bn_member(io->x, p), *dy = bn_member(io->dy, p);
    for (int64_t k = 0; k < chunk_count(b); k++) {
        const span w = chunk_of(b, k);
        bn_sums all[CHANNELS_MAX] = {0};
        for (int64_t n = w.first; n < w.last; n++)
            for (int64_t i = 0; i < width; i++) {
                const int64_t at = position(b, n, c + i, w.s);
                bn_piece_sums(&all[i], dy + at, x + at, w.length, coef[i].hi);
            }
        for (int64_t i = 0; i < width; i++) {
            sum[i] += bn_sums_total(all[i].sum);
            product[i] += bn_sums_total(all[i].product);
        }
    }
}

static void backward_direct(const bn *b, const dlf_norm_bwd *io, int64_t p, int64_t c,
                            int64_t width)
{
    const float *x = bn_member(io->x, p), *dy = bn_member(io->dy, p);
    float *dx = bn_member(io->dx, p);
    bn_coef coef[CHANNELS_MAX];
    double sum[CHANNELS_MAX] = {0}, product[CHANNELS_MAX] = {0};
    for (int64_t i = 0; i < width; i++) coef[i] = channel_coef(io, p, c + i);
    direct_sums(sum, product, b, io, p, c, width, coef);
    for (int64_t i = 0; i < width; i++)
        finish_channel_backward(&coef[i], b, io, p, c + i, sum[i], product[i]);
    for (int64_t n = 0; n < b->N; n++)
        for (int64_t i = 0; i < width; i++) {
            const int64_t at = position(b, n, c + i, 0);
            (b->streams ? bn_piece_dx_streamed : bn_piece_dx)(dx + at, dy + at, x + at, b->S,
                                                              coef[i]);
        }
}

static dlf_status backward_planes(const bn *b, const dlf_norm_bwd *io)
{
    if (few_channels(b)) return backward_few(b, io);
    const int64_t chunks = chunk_count(b), together = is_direct(b, io) ? channels_together(b) : 0;
    const int64_t step = together ? together : 1, tasks = (b->C + step - 1) / step;
#pragma omp parallel for num_threads(b->threads) schedule(static)
    for (int64_t task = 0; task < b->P * tasks; task++) {
        const int64_t p = task / tasks, c = task % tasks * step;
        if (together)
            backward_direct(b, io, p, c, at_most(step, b->C - c));
        else
            backward_channel(b, io, p, c, chunks);
        if (b->streams) dlf_cpu_stream_end();
    }
    return DLF_OK;
}

#include "batch_norm_cpu_columns.h"

/* ---- the ops ----------------------------------------------------------------------------------
 */

dlf_status DLF_CPU(batch_norm_forward)(const dlf_norm_fwd *io, const dlf_norm *norm)
{
    if (norm->version > 1) return no_version("norm_forward", norm->version);
    const bn b = bn_of(io->x, norm);
    return b.columns ? forward_columns(&b, io, norm->momentum)
                     : forward_planes(&b, io, norm->momentum);
}

dlf_status DLF_CPU(batch_norm_infer)(const dlf_norm_fwd *io, const dlf_norm *norm)
{
    if (norm->version > 1) return no_version("norm_infer", norm->version);
    const bn b = bn_of(io->x, norm);
    return b.columns ? infer_columns(&b, io) : infer_planes(&b, io);
}

dlf_status DLF_CPU(batch_norm_backward)(const dlf_norm_bwd *io, const dlf_norm *norm)
{
    if (norm->version > 1) return no_version("norm_backward", norm->version);
    const bn b = bn_of(io->x, norm);
    return b.columns ? backward_columns(&b, io) : backward_planes(&b, io);
}
