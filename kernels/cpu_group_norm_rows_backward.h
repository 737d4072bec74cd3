/* SPDX-License-Identifier: MIT
 * cpu_group_norm_rows_backward.h -- backward of cpu_group_norm_rows.h. */
#ifndef DLF_CPU_GROUP_NORM_ROWS_BACKWARD_H
#define DLF_CPU_GROUP_NORM_ROWS_BACKWARD_H
#include "cpu_group_norm_rows.h"

typedef struct rows_buffers {
    float x[4][PIECE], dy[4][PIECE], r[PIECE], z[4][PIECE], out[4][PIECE];
} rows_buffers;

/* x and dz = dy f'(z) of a block of the chunk at `start`. */
static void rows_load(const rows_sample *s, const dlf_norm_bwd *io, int64_t start,
                      const row_block *b, rows_buffers *buffers, const float *x[4],
                      const float *dz[4])
{
    const job *j = s->j;
    const void *residual = storage_of(io->residual, s->p);
    for (int i = 0; i < b->rows; i++) {
        const int64_t at = start + b->from + i * s->plan.wide + b->c;
        float *z = buffers->z[i];
        x[i] = dlf_cpu_load(buffers->x[i], storage_of(io->x, s->p), j->dtype, at, b->n);
        dz[i] = dlf_cpu_load(buffers->dy[i], storage_of(io->dy, s->p), j->dtype, at, b->n);
        if (j->f.kind == DLF_LINEAR) continue;
        rows_piece(z, x[i],
                   residual ? dlf_cpu_load(buffers->r, residual, j->dtype, at, b->n) : NULL, s,
                   b->c, b->n);
        DLF_CPU(activation_slopes)(z, dz[i], z, b->n, j->f);
        dz[i] = z;
    }
}

/* deviations[c] += sum of dz (x - hi) and plain[c] += sum of dz over 1 or 4 rows. */
static void add_products(const float *const x[4], const float *const dz[4], int64_t rows, int64_t n,
                         const float *restrict hi, float *restrict deviations,
                         float *restrict plain)
{
    const float *restrict x0 = x[0], *restrict g0 = dz[0];
    if (rows == 1) {
#pragma omp simd
        for (int64_t e = 0; e < n; e++) {
            deviations[e] = fmaf(g0[e], x0[e] - hi[e], deviations[e]);
            plain[e] += g0[e];
        }
        return;
    }
    const float *restrict x1 = x[1], *restrict x2 = x[2], *restrict x3 = x[3];
    const float *restrict g1 = dz[1], *restrict g2 = dz[2], *restrict g3 = dz[3];
#pragma omp simd
    for (int64_t e = 0; e < n; e++) {
        const float h = hi[e];
        deviations[e] += fmaf(g0[e], x0[e] - h, g1[e] * (x1[e] - h)) +
                         fmaf(g2[e], x2[e] - h, g3[e] * (x3[e] - h));
        plain[e] += (g0[e] + g1[e]) + (g2[e] + g3[e]);
    }
}

/* Sums of dz (x - hi) and of dz over chunk k by channel. */
static void chunk_sums(const rows_sample *s, const dlf_norm_bwd *io, int64_t k)
{
    const int64_t length = chunk_length(s, k), start = chunk_start(s, k), wide = s->plan.wide;
    float *deviations = s->sums + k * 3 * wide, *plain = deviations + wide;
    double *total = s->total + 2 * k * s->j->g.C;
    rows_buffers buffers;
    const float *x[4] = {0}, *dz[4] = {0};
    memset(deviations, 0, (size_t)(2 * wide) * sizeof *deviations);
    for (row_block b = {0}; next_block(s, length, &b);) {
        rows_load(s, io, start, &b, &buffers, x, dz);
        add_products(x, dz, b.rows, b.n, s->array[HI] + b.c, deviations + b.c, plain + b.c);
    }
    fold(s, deviations, total), fold(s, plain, total + s->j->g.C);
}

/* dx = rstd (gamma dz - mean_g - xhat mean_gx) of one row. */
static void dx_piece(float *dx, const float *x, const float *dz, const rows_sample *s, int64_t c,
                     int64_t n)
{
    const float *restrict hi = s->array[HI] + c, *restrict rstd = s->array[RSTD] + c;
    const float *restrict offset = s->array[OFFSET] + c, *restrict scale = s->array[SCALE] + c;
    const float *restrict minus = s->array[MINUS] + c, *restrict slope = s->array[SLOPE] + c;
#pragma omp simd
    for (int64_t e = 0; e < n; e++)
        dx[e] =
            fmaf(fmaf(x[e] - hi[e], rstd[e], offset[e]), slope[e], fmaf(dz[e], scale[e], minus[e]));
}

static void dx_pieces(float *const dx[4], const float *const x[4], const float *const dz[4],
                      const rows_sample *s, int64_t c, int64_t n)
{
    const float *restrict hi = s->array[HI] + c, *restrict rstd = s->array[RSTD] + c;
    const float *restrict offset = s->array[OFFSET] + c, *restrict scale = s->array[SCALE] + c;
    const float *restrict minus = s->array[MINUS] + c, *restrict slope = s->array[SLOPE] + c;
    const float *x0 = x[0], *x1 = x[1], *x2 = x[2], *x3 = x[3];
    const float *g0 = dz[0], *g1 = dz[1], *g2 = dz[2], *g3 = dz[3];
    float *d0 = dx[0], *d1 = dx[1], *d2 = dx[2], *d3 = dx[3];
#pragma omp simd
    for (int64_t e = 0; e < n; e++) {
        const float h = hi[e], r = rstd[e], o = offset[e], w = scale[e], m = minus[e], k = slope[e];
        d0[e] = fmaf(fmaf(x0[e] - h, r, o), k, fmaf(g0[e], w, m));
        d1[e] = fmaf(fmaf(x1[e] - h, r, o), k, fmaf(g1[e], w, m));
        d2[e] = fmaf(fmaf(x2[e] - h, r, o), k, fmaf(g2[e], w, m));
        d3[e] = fmaf(fmaf(x3[e] - h, r, o), k, fmaf(g3[e], w, m));
    }
}

static void chunk_dx(const rows_sample *s, const dlf_norm_bwd *io, int64_t k)
{
    const int64_t length = chunk_length(s, k), start = chunk_start(s, k), wide = s->plan.wide;
    const job *j = s->j;
    void *dx = storage_of(io->dx, s->p), *dresidual = storage_of(io->dresidual, s->p);
    rows_buffers buffers;
    const float *x[4] = {0}, *dz[4] = {0};
    float *out[4] = {0};
    for (row_block b = {0}; next_block(s, length, &b);) {
        const int64_t at = start + b.from + b.c;
        rows_load(s, io, start, &b, &buffers, x, dz);
        for (int i = 0; i < b.rows; i++) {
            if (dresidual) dlf_cpu_store(dresidual, j->dtype, at + i * wide, dz[i], b.n);
            out[i] = target(j, buffers.out[i], dx, at + i * wide);
        }
        if (b.rows == 4)
            dx_pieces(out, x, dz, s, b.c, b.n);
        else
            dx_piece(out[0], x[0], dz[0], s, b.c, b.n);
        for (int i = 0; i < b.rows; i++) store(j, dx, at + i * wide, out[i], b.n);
    }
    if (j->stream) dlf_cpu_stream_end();
}

/* Means of g and of g xhat over a group, as MINUS and SLOPE, from sum dz (x - hi), sum dz of its
 * channels, which are added to `block` as (dgamma, dbeta). */
static void set_means(rows_sample *s, int64_t group, affine a, const double *deviations,
                      const double *plain, double *block)
{
    const int64_t width = s->j->g.width, first = group * width;
    const double count = (double)s->j->g.count;
    const float *gamma = s->array[GAMMA];
    double gx = 0.0, g = 0.0;
    for (int64_t c = first; c < first + width; c++) {
        const double scaled = (double)a.rstd * deviations[c] + (double)a.offset * plain[c];
        block[2 * c] += scaled;
        block[2 * c + 1] += plain[c];
        gx += (double)gamma[c] * scaled;
        g += (double)gamma[c] * plain[c];
    }
    fill(s->array[MINUS] + first, width, -a.rstd * (float)(g / count));
    fill(s->array[SLOPE] + first, width, -a.rstd * (float)(gx / count));
}

/* Adds the sample's sums to `block`, C pairs (dgamma, dbeta). */
static void sample_backward(rows_sample *s, const dlf_norm_bwd *io, double *block)
{
    const int64_t C = s->j->g.C, groups = s->j->g.groups, chunks = s->plan.chunks;
    const int threads = s->plan.inside ? s->j->threads : 1;
    set_parameters(s, io->gamma, io->beta);
    for (int64_t g = 0; g < groups; g++) set_statistic(s, g, kept(io, s->p, s->n * groups + g));
    for (int i = HI; i <= OFFSET; i++) repeat_array(s, i);
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int64_t k = 0; k < chunks; k++) chunk_sums(s, io, k);
    for (int64_t k = 1; k < chunks; k++)
        for (int64_t c = 0; c < 2 * C; c++) s->total[c] += s->total[2 * k * C + c];
    for (int64_t g = 0; g < groups; g++)
        set_means(s, g, kept(io, s->p, s->n * groups + g), s->total, s->total + C, block);
    repeat_array(s, MINUS), repeat_array(s, SLOPE);
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int64_t k = 0; k < chunks; k++) chunk_dx(s, io, k);
}

static dlf_status rows_backward(const job *j, const dlf_norm_bwd *io)
{
    const int64_t N = j->g.N, blocks = N < SAMPLE_BLOCKS ? N : SAMPLE_BLOCKS;
    const int64_t per_block = (N + blocks - 1) / blocks, tasks = j->g.P * blocks;
    const rows_plan plan = rows_plan_of(j, tasks);
    const size_t bytes = rows_scratch(j, &plan);
    char *scratch = malloc((size_t)plan.team * bytes);
    double *part = calloc((size_t)(2 * tasks * j->g.C), sizeof *part);
    if (!scratch || !part) {
        free(scratch), free(part);
        return no_memory("group_norm_backward");
    }
#pragma omp parallel for num_threads(plan.team) schedule(static) if (plan.team > 1)
    for (int slot = 0; slot < plan.team; slot++) {
        rows_sample s = rows_sample_of(j, &plan, scratch + (size_t)slot * bytes);
        for (int64_t i = slot; i < tasks; i += plan.team) {
            s.p = i / blocks;
            for (s.n = i % blocks * per_block; s.n < N && s.n < (i % blocks + 1) * per_block; s.n++)
                sample_backward(&s, io, part + 2 * i * j->g.C);
        }
    }
    finish(j, io, part, blocks);
    free(scratch), free(part);
    return DLF_OK;
}
#endif
