/* SPDX-License-Identifier: MIT
 * cpu_group_norm_rows.h -- group and instance norm where channels run fastest (group_norm_cpu.c).
 *
 * A sample is S rows of C channels without gaps. Where C is small, several rows make one wide row
 * of `wide` = k C elements and the per-channel arrays are repeated k times, so that the SIMD loops
 * are long for any C. */
#ifndef DLF_CPU_GROUP_NORM_ROWS_H
#define DLF_CPU_GROUP_NORM_ROWS_H
#include "cpu_group_norm.h"
#include "cpu_norm.h"

/* How samples are cut. */
typedef struct rows_plan {
    int64_t wide;   /* elements of a wide row                           */
    int64_t chunk;  /* elements of a chunk: whole wide rows             */
    int64_t chunks; /* per sample                                       */
    int64_t rows;   /* wide rows at a time: 4, or 1                     */
    bool inside;    /* threads share a sample, else take samples each   */
    int team;       /* samples at a time, each with scratch of its own  */
} rows_plan;

static rows_plan rows_plan_of(const job *j, int64_t tasks)
{
    const int64_t C = j->g.C, S = j->g.S;
    int64_t repeat = PIECE / C < S ? PIECE / C : S;
    if (repeat < 1) repeat = 1;
    rows_plan plan = {.wide = repeat * C};
    /* Four at a time load parameters and sums a quarter as often; from memory one is faster, a
     * single stream. */
    plan.rows = S * C <= SECOND_CACHE ? 4 : 1;
    int64_t rows = CHUNK / plan.wide;
    rows = rows < 4 ? 4 : rows > CHUNK_ROWS ? CHUNK_ROWS : rows;
    plan.chunk = rows * plan.wide;
    plan.chunks = (S * C + plan.chunk - 1) / plan.chunk;
    plan.inside = tasks < 4 * j->threads && plan.chunks >= 2 * j->threads;
    plan.team = plan.inside ? 1 : (int)(tasks < j->threads ? tasks : j->threads);
    return plan;
}

/* Per-channel arrays of one sample, `wide` floats each. */
enum { HI, SCALE, SHIFT, RSTD, OFFSET, MINUS, SLOPE, GAMMA, BETA, ARRAYS };

typedef struct rows_sample {
    const job *j;
    rows_plan plan;
    int64_t p, n;
    float *array[ARRAYS];
    float *sums;   /* chunks x 3 x wide                         */
    stat *stats;   /* chunks x groups: forward                  */
    double *total; /* chunks x 2 x C: sums over the repetitions */
} rows_sample;

static size_t rows_scratch(const job *j, const rows_plan *plan)
{
    const int64_t floats = (ARRAYS + 3 * plan->chunks) * plan->wide;
    return (size_t)(plan->chunks * j->g.groups) * sizeof(stat) +
           (size_t)(2 * plan->chunks * j->g.C) * sizeof(double) +
           (size_t)(floats + floats % 2) * sizeof(float);
}

static rows_sample rows_sample_of(const job *j, const rows_plan *plan, char *scratch)
{
    rows_sample s = {.j = j, .plan = *plan, .stats = (stat *)(void *)scratch};
    s.total = (double *)(void *)(s.stats + plan->chunks * j->g.groups);
    s.array[0] = (float *)(void *)(s.total + 2 * plan->chunks * j->g.C);
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

/* The first C elements of a wide array become all of it. */
static void repeat_array(const rows_sample *s, int which)
{
    float *array = s->array[which];
    for (int64_t c = s->j->g.C; c < s->plan.wide; c += s->j->g.C)
        memcpy(array + c, array, (size_t)s->j->g.C * sizeof *array);
}

/* out[c] = sum over the repetitions of channel c. */
static void fold(const rows_sample *s, const float *restrict array, double *restrict out)
{
    const int64_t C = s->j->g.C;
    for (int64_t c = 0; c < C; c++) out[c] = (double)array[c];
    for (int64_t from = C; from < s->plan.wide; from += C)
        for (int64_t c = 0; c < C; c++) out[c] += (double)array[from + c];
}

static double sum_of(const double *v, int64_t n)
{
    double sum = 0.0;
    if (n < 8) {
        for (int64_t i = 0; i < n; i++) sum += v[i];
        return sum;
    }
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) sum += v[i];
    return sum;
}

static void fill(float *v, int64_t n, float value)
{
    for (int64_t i = 0; i < n; i++) v[i] = value;
}

static void set_parameters(rows_sample *s, const dlf_tensor *gamma, const dlf_tensor *beta)
{
    const float *g = real_of(gamma, s->p), *b = real_of(beta, s->p);
    for (int64_t c = 0; c < s->j->g.C; c++) {
        s->array[GAMMA][c] = g ? g[c] : 1.0f;
        s->array[BETA][c] = b ? b[c] : 0.0f;
    }
}

static void set_statistic(rows_sample *s, int64_t group, affine a)
{
    const int64_t width = s->j->g.width, first = group * width;
    const float *restrict gamma = s->array[GAMMA] + first, *restrict beta = s->array[BETA] + first;
    float *restrict scale = s->array[SCALE] + first, *restrict shift = s->array[SHIFT] + first;
    for (int64_t c = 0; c < width; c++) {
        scale[c] = gamma[c] * a.rstd;
        shift[c] = fmaf(-a.lo, scale[c], beta[c]);
    }
    fill(s->array[HI] + first, width, a.hi);
    fill(s->array[RSTD] + first, width, a.rstd);
    fill(s->array[OFFSET] + first, width, a.offset);
}

/* A block of a chunk: columns c to c + n of plan.rows wide rows, or of one, which at the end of the
 * chunk may be cut. */
typedef struct row_block {
    int64_t from, rows, c, n;
} row_block;

/* The block after b (all zeros: the first); false at the end. */
static bool next_block(const rows_sample *s, int64_t length, row_block *b)
{
    const int64_t wide = s->plan.wide;
    b->c += b->n;
    if (b->rows && (b->c == wide || b->from + b->c == length)) {
        b->from += b->rows * wide;
        b->c = 0;
    }
    if (b->from >= length) return false;
    b->rows = b->from + s->plan.rows * wide <= length ? s->plan.rows : 1;
    b->n = wide - b->c < PIECE ? wide - b->c : PIECE;
    if (length - b->from - b->c < b->n) b->n = length - b->from - b->c;
    return true;
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
    for (row_block b = {0}; next_block(s, length, &b);) {
        const float *v[4] = {0}, *moved = shift ? shift + b.c : NULL;
        for (int i = 0; i < b.rows; i++)
            v[i] = dlf_cpu_load(buffer[i], x, dtype, at + b.from + i * wide + b.c, b.n);
        if (b.rows == 4)
            add_rows(v, moved, b.n, sum + b.c, square + b.c);
        else
            add_row(v[0], moved, b.n, sum + b.c, square + b.c);
    }
}

/* Statistics of every group over chunk k in one pass: deviations from the mean of its first rows.
 * Where that turns out further from the chunk's mean than the values spread, s2 - s1^2 / n would
 * cancel, and a second pass takes the deviations from the mean found. */
static void chunk_stats(const rows_sample *s, const dlf_norm_fwd *io, int64_t k)
{
    const int64_t C = s->j->g.C, width = s->j->g.width, wide = s->plan.wide;
    const int64_t length = chunk_length(s, k), at = chunk_start(s, k);
    const int64_t head = length < 4 * wide ? length : 4 * wide;
    const double count = (double)(length / C * width), few = (double)(head / C * width);
    const void *x = storage_of(io->x, s->p);
    float *sum = s->sums + k * 3 * wide, *square = sum + wide, *shift = square + wide;
    double *s1 = s->total + 2 * k * C, *s2 = s1 + C;
    stat *stats = s->stats + k * s->j->g.groups;
    column_sums(s, x, at, head, NULL, sum, square);
    fold(s, sum, s1);
    for (int64_t g = 0; g < s->j->g.groups; g++)
        fill(shift + g * width, width, (float)(sum_of(s1 + g * width, width) / few));
    for (bool again = true, last = false; again; last = true) {
        for (int64_t c = C; c < wide; c += C) memcpy(shift + c, shift, (size_t)C * sizeof *shift);
        column_sums(s, x, at, length, shift, sum, square);
        fold(s, sum, s1), fold(s, square, s2);
        again = false;
        for (int64_t g = 0; g < s->j->g.groups; g++) {
            const float first = shift[g * width];
            const double off = sum_of(s1 + g * width, width), d = off / count;
            stats[g] = corrected(first, off, sum_of(s2 + g * width, width), count);
            if (last || !(d * d * count > stats[g].m2)) continue;
            fill(shift + g * width, width, (float)stats[g].mean);
            again = true;
        }
    }
}

static void rows_piece(float *z, const float *x, const float *residual, const rows_sample *s,
                       int64_t c, int64_t n)
{
    cpu_affine_row(z, x, residual, n, s->array[HI] + c, s->array[SCALE] + c, s->array[SHIFT] + c);
}

/* Four rows without residual, so that the parameters are loaded a quarter as often. */
static void rows_pieces(float *const z[4], const float *const x[4], const rows_sample *s, int64_t c,
                        int64_t n)
{
    const float *restrict hi = s->array[HI] + c, *restrict scale = s->array[SCALE] + c;
    const float *restrict shift = s->array[SHIFT] + c;
    const float *x0 = x[0], *x1 = x[1], *x2 = x[2], *x3 = x[3];
    float *z0 = z[0], *z1 = z[1], *z2 = z[2], *z3 = z[3];
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const float h = hi[i], m = scale[i], b = shift[i];
        z0[i] = fmaf(x0[i] - h, m, b);
        z1[i] = fmaf(x1[i] - h, m, b);
        z2[i] = fmaf(x2[i] - h, m, b);
        z3[i] = fmaf(x3[i] - h, m, b);
    }
}

static void chunk_outputs(const rows_sample *s, const dlf_norm_fwd *io, int64_t k)
{
    const int64_t length = chunk_length(s, k), start = chunk_start(s, k), wide = s->plan.wide;
    const job *j = s->j;
    const void *x = storage_of(io->x, s->p), *residual = storage_of(io->residual, s->p);
    void *y = storage_of(io->y, s->p);
    float bx[4][PIECE], br[PIECE], by[4][PIECE];
    for (row_block b = {0}; next_block(s, length, &b);) {
        const float *v[4] = {0};
        float *z[4] = {0};
        const int64_t at = start + b.from + b.c;
        for (int i = 0; i < b.rows; i++) {
            v[i] = dlf_cpu_load(bx[i], x, j->dtype, at + i * wide, b.n);
            z[i] = target(j, by[i], y, at + i * wide);
        }
        if (b.rows == 4 && !residual) rows_pieces(z, v, s, b.c, b.n);
        for (int i = 0; i < b.rows; i++) {
            const int64_t to = at + i * wide;
            if (b.rows == 1 || residual)
                rows_piece(z[i], v[i],
                           residual ? dlf_cpu_load(br, residual, j->dtype, to, b.n) : NULL, s, b.c,
                           b.n);
            if (j->f.kind != DLF_LINEAR) DLF_CPU(activation_values)(z[i], z[i], b.n, j->f);
            store(j, y, to, z[i], b.n);
        }
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
    for (int i = HI; i <= SHIFT; i++) repeat_array(s, i);
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
#endif
