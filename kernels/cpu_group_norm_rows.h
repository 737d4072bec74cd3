/* SPDX-License-Identifier: MIT
 * cpu_group_norm_rows.h -- group and instance norm where channels run fastest (group_norm_cpu.c).
 *
 * A sample is S rows of C channels without gaps. Where C is small, several rows make one wide row
 * of `wide` = k C elements and the per-channel arrays are repeated k times, so that the SIMD loops
 * are long for any C. */
#ifndef DLF_CPU_GROUP_NORM_ROWS_H
#define DLF_CPU_GROUP_NORM_ROWS_H
#include "cpu_group_norm.h"

/* How samples are cut. */
typedef struct rows_plan {
    int64_t wide;   /* elements of a wide row                           */
    int64_t chunk;  /* elements of a chunk: whole wide rows             */
    int64_t chunks; /* per sample                                       */
    bool inside;    /* threads share a sample, else take samples each   */
    int team;       /* samples at a time, each with scratch of its own  */
} rows_plan;

static rows_plan rows_plan_of(const job *j, int64_t tasks)
{
    const int64_t C = j->g.C, S = j->g.S;
    int64_t repeat = PIECE / C < S ? PIECE / C : S;
    if (repeat < 1) repeat = 1;
    rows_plan plan = {.wide = repeat * C};
    int64_t rows = CHUNK / plan.wide;
    rows = rows < 4 ? 4 : rows > CHUNK_ROWS ? CHUNK_ROWS : rows;
    plan.chunk = rows * plan.wide;
    plan.chunks = (S * C + plan.chunk - 1) / plan.chunk;
    plan.inside = tasks < 4 * j->threads && plan.chunks >= 2 * j->threads;
    plan.team = plan.inside ? 1 : (int)(tasks < j->threads ? tasks : j->threads);
    return plan;
}

/* Per-channel arrays of one sample, `wide` floats each, and per-chunk sums. */
enum { HI, LO, RSTD, GAMMA, BETA, MEAN_G, MEAN_GX, ARRAYS };

typedef struct rows_sample {
    const job *j;
    rows_plan plan;
    int64_t p, n;
    float *array[ARRAYS];
    float *sums;   /* chunks x 3 x wide               */
    stat *stats;   /* chunks x groups: forward        */
    double *total; /* C pairs: backward, this sample  */
} rows_sample;

static size_t rows_scratch(const job *j, const rows_plan *plan)
{
    const int64_t floats = (ARRAYS + 3 * plan->chunks) * plan->wide;
    return (size_t)(plan->chunks * j->g.groups) * sizeof(stat) +
           (size_t)(2 * j->g.C) * sizeof(double) + (size_t)(floats + floats % 2) * sizeof(float);
}

static rows_sample rows_sample_of(const job *j, const rows_plan *plan, char *scratch)
{
    rows_sample s = {.j = j, .plan = *plan, .stats = (stat *)(void *)scratch};
    s.total = (double *)(void *)(s.stats + plan->chunks * j->g.groups);
    s.array[0] = (float *)(void *)(s.total + 2 * j->g.C);
    for (int i = 1; i < ARRAYS; i++) s.array[i] = s.array[0] + i * plan->wide;
    s.sums = s.array[0] + ARRAYS * plan->wide;
    return s;
}

/* Elements of chunk k, and where it starts in a member. */
static int64_t chunk_length(const rows_sample *s, int64_t k)
{
    const int64_t rest = s->j->g.S * s->j->g.C - k * s->plan.chunk;
    return rest < s->plan.chunk ? rest : s->plan.chunk;
}

static int64_t chunk_start(const rows_sample *s, int64_t k)
{
    return s->n * s->j->g.S * s->j->g.C + k * s->plan.chunk;
}

/* Channel c of each repetition in a wide array becomes v. */
static void spread(const rows_sample *s, float *array, int64_t c, float v)
{
    for (; c < s->plan.wide; c += s->j->g.C) array[c] = v;
}

/* Sum over the repetitions of channel c. */
static double folded(const rows_sample *s, const float *array, int64_t c)
{
    double sum = 0.0;
    for (; c < s->plan.wide; c += s->j->g.C) sum += (double)array[c];
    return sum;
}

static void set_parameters(rows_sample *s, const dlf_tensor *gamma, const dlf_tensor *beta)
{
    const float *g = real_of(gamma, s->p), *b = real_of(beta, s->p);
    for (int64_t c = 0; c < s->plan.wide; c++) {
        s->array[GAMMA][c] = g ? g[c % s->j->g.C] : 1.0f;
        s->array[BETA][c] = b ? b[c % s->j->g.C] : 0.0f;
    }
}

static void set_statistic(rows_sample *s, int64_t group, affine a)
{
    for (int64_t c = group * s->j->g.width; c < (group + 1) * s->j->g.width; c++) {
        spread(s, s->array[HI], c, a.hi);
        spread(s, s->array[LO], c, a.lo);
        spread(s, s->array[RSTD], c, a.rstd);
    }
}

/* ---- forward ----------------------------------------------------------------------------------
 */

/* sum[c] += x - shift and square[c] += (x - shift)^2 over one row; without `shift`: sum[c] += x. */
static void add_row(const float *restrict x, const float *restrict shift, int64_t n,
                    float *restrict sum, float *restrict square)
{
    if (!shift) {
#pragma omp simd
        for (int64_t c = 0; c < n; c++) sum[c] += x[c];
        return;
    }
#pragma omp simd
    for (int64_t c = 0; c < n; c++) {
        const float d = x[c] - shift[c];
        sum[c] += d;
        square[c] = fmaf(d, d, square[c]);
    }
}

/* The same over four rows, so that the sums are loaded and stored a quarter as often. */
static void add_rows(const float *const x[4], const float *restrict shift, int64_t n,
                     float *restrict sum, float *restrict square)
{
    const float *restrict x0 = x[0], *restrict x1 = x[1], *restrict x2 = x[2], *restrict x3 = x[3];
    if (!shift) {
#pragma omp simd
        for (int64_t c = 0; c < n; c++) sum[c] += (x0[c] + x1[c]) + (x2[c] + x3[c]);
        return;
    }
#pragma omp simd
    for (int64_t c = 0; c < n; c++) {
        const float d0 = x0[c] - shift[c], d1 = x1[c] - shift[c];
        const float d2 = x2[c] - shift[c], d3 = x3[c] - shift[c];
        sum[c] += (d0 + d1) + (d2 + d3);
        square[c] += fmaf(d0, d0, d1 * d1) + fmaf(d2, d2, d3 * d3);
    }
}

static void column_sums(const rows_sample *s, const void *x, int64_t at, int64_t length,
                        const float *shift, float *sum, float *square)
{
    const int64_t wide = s->plan.wide;
    const dlf_dtype dtype = s->j->dtype;
    float buffer[4][PIECE];
    memset(sum, 0, (size_t)wide * sizeof *sum);
    memset(square, 0, (size_t)wide * sizeof *square);
    for (int64_t c = 0; c < wide; c += PIECE) {
        const int64_t columns = wide - c < PIECE ? wide - c : PIECE;
        const float *moved = shift ? shift + c : NULL;
        int64_t row = 0;
        for (; row + 4 * wide <= length; row += 4 * wide) {
            const float *v[4];
            for (int i = 0; i < 4; i++)
                v[i] = dlf_cpu_load(buffer[i], x, dtype, at + row + i * wide + c, columns);
            add_rows(v, moved, columns, sum + c, square + c);
        }
        for (; row + c < length; row += wide) { /* the last row may be cut */
            const int64_t n = length - row - c < columns ? length - row - c : columns;
            add_row(dlf_cpu_load(buffer[0], x, dtype, at + row + c, n), moved, n, sum + c,
                    square + c);
        }
    }
}

/* Statistics of every group over chunk k: its mean from the column sums, then the deviations. */
static void chunk_stats(const rows_sample *s, const dlf_norm_fwd *io, int64_t k)
{
    const int64_t width = s->j->g.width, length = chunk_length(s, k), at = chunk_start(s, k);
    const double count = (double)(length / s->j->g.C * width);
    const void *x = storage_of(io->x, s->p);
    float *sum = s->sums + k * 3 * s->plan.wide, *square = sum + s->plan.wide;
    float *shift = square + s->plan.wide;
    stat *stats = s->stats + k * s->j->g.groups;
    column_sums(s, x, at, length, NULL, sum, square);
    for (int64_t g = 0; g < s->j->g.groups; g++) {
        double total = 0.0;
        for (int64_t c = g * width; c < (g + 1) * width; c++) total += folded(s, sum, c);
        for (int64_t c = g * width; c < (g + 1) * width; c++)
            spread(s, shift, c, (float)(total / count));
    }
    column_sums(s, x, at, length, shift, sum, square);
    for (int64_t g = 0; g < s->j->g.groups; g++) {
        double s1 = 0.0, s2 = 0.0;
        for (int64_t c = g * width; c < (g + 1) * width; c++) {
            s1 += folded(s, sum, c);
            s2 += folded(s, square, c);
        }
        stats[g] = corrected(shift[g * width], s1, s2, count);
    }
}

static void rows_piece(float *z, const float *x, const float *residual, const rows_sample *s,
                       int64_t c, int64_t n)
{
    const float *restrict hi = s->array[HI] + c, *restrict lo = s->array[LO] + c;
    const float *restrict rstd = s->array[RSTD] + c, *restrict gamma = s->array[GAMMA] + c;
    const float *restrict beta = s->array[BETA] + c;
    if (residual) {
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            z[i] = fmaf(((x[i] - hi[i]) - lo[i]) * rstd[i], gamma[i], beta[i]) + residual[i];
    } else {
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            z[i] = fmaf(((x[i] - hi[i]) - lo[i]) * rstd[i], gamma[i], beta[i]);
    }
}

static void chunk_outputs(const rows_sample *s, const dlf_norm_fwd *io, int64_t k)
{
    const int64_t length = chunk_length(s, k), start = chunk_start(s, k), wide = s->plan.wide;
    const job *j = s->j;
    const void *x = storage_of(io->x, s->p), *residual = storage_of(io->residual, s->p);
    void *y = storage_of(io->y, s->p);
    float bx[PIECE], br[PIECE], by[PIECE];
    for (int64_t i = 0; i < length;) {
        const int64_t c = i % wide, in_row = wide - c < PIECE ? wide - c : PIECE;
        const int64_t n = length - i < in_row ? length - i : in_row, at = start + i;
        const float *r = residual ? dlf_cpu_load(br, residual, j->dtype, at, n) : NULL;
        float *v = target(j, by, y, at);
        rows_piece(v, dlf_cpu_load(bx, x, j->dtype, at, n), r, s, c, n);
        if (j->f.kind != DLF_LINEAR) DLF_CPU(activation_values)(v, v, n, j->f);
        store(j, y, at, v, n);
        i += n;
    }
    if (j->stream) dlf_cpu_stream_end();
}

static void sample_forward(rows_sample *s, const dlf_norm_fwd *io)
{
    const int64_t groups = s->j->g.groups, chunks = s->plan.chunks;
    const int threads = s->plan.inside ? s->j->threads : 1;
    set_parameters(s, io->gamma, io->beta);
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int64_t k = 0; k < chunks; k++) chunk_stats(s, io, k);
    for (int64_t g = 0; g < groups; g++) {
        stat all = s->stats[g];
        for (int64_t k = 1; k < chunks; k++) all = merge(all, s->stats[k * groups + g]);
        set_statistic(s, g, keep(s->j, io, s->p, s->n * groups + g, all));
    }
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int64_t k = 0; k < chunks; k++) chunk_outputs(s, io, k);
}

static dlf_status rows_forward(const job *j, const dlf_norm_fwd *io)
{
    const int64_t samples = j->g.P * j->g.N;
    const rows_plan plan = rows_plan_of(j, samples);
    const size_t bytes = rows_scratch(j, &plan);
    char *scratch = malloc((size_t)plan.team * bytes);
    if (!scratch) return no_memory("group_norm_forward");
#pragma omp parallel for num_threads(plan.team) schedule(static) if (plan.team > 1)
    for (int slot = 0; slot < plan.team; slot++) {
        rows_sample s = rows_sample_of(j, &plan, scratch + (size_t)slot * bytes);
        for (int64_t i = slot; i < samples; i += plan.team) {
            s.p = i / j->g.N, s.n = i % j->g.N;
            sample_forward(&s, io);
        }
    }
    free(scratch);
    return DLF_OK;
}

/* ---- backward ---------------------------------------------------------------------------------
 */

typedef struct rows_buffers {
    float x[PIECE], dy[PIECE], r[PIECE], z[PIECE], out[PIECE];
} rows_buffers;

/* x and dz = dy f'(z) of n elements from channel c of a wide row. */
static void rows_load(const rows_sample *s, const dlf_norm_bwd *io, int64_t at, int64_t c,
                      int64_t n, rows_buffers *b, const float **x, const float **dz)
{
    const job *j = s->j;
    *x = dlf_cpu_load(b->x, storage_of(io->x, s->p), j->dtype, at, n);
    *dz = dlf_cpu_load(b->dy, storage_of(io->dy, s->p), j->dtype, at, n);
    if (j->f.kind == DLF_LINEAR) return;
    const void *residual = storage_of(io->residual, s->p);
    rows_piece(b->z, *x, residual ? dlf_cpu_load(b->r, residual, j->dtype, at, n) : NULL, s, c, n);
    DLF_CPU(activation_slopes)(b->z, *dz, b->z, n, j->f);
    *dz = b->z;
}

/* Columns of sum dz xhat and sum dz over chunk k. */
static void chunk_sums(const rows_sample *s, const dlf_norm_bwd *io, int64_t k)
{
    const int64_t length = chunk_length(s, k), start = chunk_start(s, k), wide = s->plan.wide;
    float *restrict scaled = s->sums + k * 3 * wide, *restrict plain = scaled + wide;
    rows_buffers b;
    memset(scaled, 0, (size_t)(2 * wide) * sizeof *scaled);
    for (int64_t i = 0; i < length;) {
        const int64_t c = i % wide, in_row = wide - c < PIECE ? wide - c : PIECE;
        const int64_t n = length - i < in_row ? length - i : in_row;
        const float *x, *dz;
        rows_load(s, io, start + i, c, n, &b, &x, &dz);
        const float *restrict hi = s->array[HI] + c, *restrict lo = s->array[LO] + c;
        const float *restrict rstd = s->array[RSTD] + c;
#pragma omp simd
        for (int64_t e = 0; e < n; e++) {
            scaled[c + e] = fmaf(dz[e], ((x[e] - hi[e]) - lo[e]) * rstd[e], scaled[c + e]);
            plain[c + e] += dz[e];
        }
        i += n;
    }
}

static void chunk_dx(const rows_sample *s, const dlf_norm_bwd *io, int64_t k)
{
    const int64_t length = chunk_length(s, k), start = chunk_start(s, k), wide = s->plan.wide;
    const job *j = s->j;
    void *dx = storage_of(io->dx, s->p), *dresidual = storage_of(io->dresidual, s->p);
    rows_buffers b;
    for (int64_t i = 0; i < length;) {
        const int64_t c = i % wide, in_row = wide - c < PIECE ? wide - c : PIECE;
        const int64_t n = length - i < in_row ? length - i : in_row, at = start + i;
        const float *x, *dz;
        rows_load(s, io, at, c, n, &b, &x, &dz);
        if (dresidual) dlf_cpu_store(dresidual, j->dtype, at, dz, n);
        const float *restrict hi = s->array[HI] + c, *restrict lo = s->array[LO] + c;
        const float *restrict rstd = s->array[RSTD] + c, *restrict gamma = s->array[GAMMA] + c;
        const float *restrict mean_g = s->array[MEAN_G] + c;
        const float *restrict mean_gx = s->array[MEAN_GX] + c;
        float *out = target(j, b.out, dx, at);
#pragma omp simd
        for (int64_t e = 0; e < n; e++) {
            const float xhat = ((x[e] - hi[e]) - lo[e]) * rstd[e];
            out[e] = rstd[e] * ((dz[e] * gamma[e] - mean_g[e]) - xhat * mean_gx[e]);
        }
        store(j, dx, at, out, n);
        i += n;
    }
    if (j->stream) dlf_cpu_stream_end();
}

/* Adds the sample's sums to `block`, C pairs (dgamma, dbeta). */
static void sample_backward(rows_sample *s, const dlf_norm_bwd *io, double *block)
{
    const int64_t C = s->j->g.C, width = s->j->g.width, chunks = s->plan.chunks;
    const int threads = s->plan.inside ? s->j->threads : 1;
    const double count = (double)s->j->g.count;
    set_parameters(s, io->gamma, io->beta);
    for (int64_t g = 0; g < s->j->g.groups; g++)
        set_statistic(s, g, kept(io, s->p, s->n * s->j->g.groups + g));
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int64_t k = 0; k < chunks; k++) chunk_sums(s, io, k);
    for (int64_t c = 0; c < C; c++)
        for (int which = 0; which < 2; which++) {
            double sum = 0.0;
            for (int64_t k = 0; k < chunks; k++)
                sum += folded(s, s->sums + (3 * k + which) * s->plan.wide, c);
            s->total[2 * c + which] = sum;
            block[2 * c + which] += sum;
        }
    for (int64_t first = 0; first < C; first += width) {
        double gx = 0.0, g = 0.0;
        for (int64_t c = first; c < first + width; c++) {
            gx += (double)s->array[GAMMA][c] * s->total[2 * c];
            g += (double)s->array[GAMMA][c] * s->total[2 * c + 1];
        }
        for (int64_t c = first; c < first + width; c++) {
            spread(s, s->array[MEAN_G], c, (float)(g / count));
            spread(s, s->array[MEAN_GX], c, (float)(gx / count));
        }
    }
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
