/* SPDX-License-Identifier: MIT
 * gemm_cpu.c -- matrix products on the CPU: our own register-blocked kernel for the many small
 * products of a population, a BLAS for large ones.
 *
 * Own kernel: c is cut into tasks of ROWS x COLUMNS; a task walks over k in blocks of DEPTH and
 * over its tile in register blocks of MR rows x 2 vectors. Every element of c is the same sequence
 * of fused multiply-adds over k, wherever it lies in a block and whoever computes it: so the bits
 * do not depend on the number of threads. BLAS gets fixed row panels for the same reason. */
#include <stdlib.h>

#include "cpu_vector.h"
#include "gemm_blas.h"

/* Rows of a register block. */
#if defined(__AVX512F__)
enum { MR = 12 }; /* 24 accumulators of 32 registers */
#elif defined(__AVX2__) && defined(__FMA__)
enum { MR = 6 }; /* 12 accumulators of 16 registers */
#else
enum { MR = 4 };
#endif

enum {
    NR = 2 * VEC,
    DEPTH = 256,             /* of k: MR rows of a stay in L1                            */
    COLUMNS = 16 * NR,       /* DEPTH x COLUMNS of b stay in L2: 512 KiB at v4           */
    FAR = 256,               /* beyond this row length a is packed: its rows would share L1 sets */
    WORK_PER_CHUNK = 1 << 19 /* flops of the least piece of work handed to a thread    */
};

/* What the register blocks need to know about c. */
typedef struct epilogue {
    float alpha, beta; /* beta == 0: c is not read */
    int64_t row;       /* elements from row to row */
} epilogue;

/* c[i, 0..n) = alpha sum_k a[i,k] b[k, 0..n) + beta c for `mr` rows and `nv` vectors; a element
 * (i,k) is a[i*ar + k*ak], b row k is at b + k*bk. Inlined with constant mr and nv. */
__attribute__((always_inline)) static inline void block(const int mr, const int nv, const float *a,
                                                        int64_t ar, int64_t ak, const float *b,
                                                        int64_t bk, int64_t depth, float *c,
                                                        int64_t n, const epilogue *e)
{
    vec sum[MR][2];
#pragma GCC unroll 16
    for (int i = 0; i < mr; i++)
#pragma GCC unroll 16
        for (int j = 0; j < nv; j++) sum[i][j] = vec_all(0.0f);
    /* Three rows per pointer: base, base + ar, base + 2 ar are addressing modes. */
    const float *rows[(MR + 2) / 3];
#pragma GCC unroll 16
    for (int g = 0; 3 * g < mr; g++) rows[g] = a + 3 * g * ar;
    for (int64_t k = 0; k < depth; k++) {
        vec bv[2];
#pragma GCC unroll 16
        for (int j = 0; j < nv; j++) bv[j] = vec_load(b + j * VEC);
#pragma GCC unroll 16
        for (int i = 0; i < mr; i++) {
            const vec av = vec_all(rows[i / 3][i % 3 * ar]);
#pragma GCC unroll 16
            for (int j = 0; j < nv; j++) sum[i][j] = vec_fma(av, bv[j], sum[i][j]);
        }
#pragma GCC unroll 16
        for (int g = 0; 3 * g < mr; g++) rows[g] += ak;
        b += bk;
    }
    const vec alpha = vec_all(e->alpha), beta = vec_all(e->beta), none = vec_all(0.0f);
    const int64_t last = n - (nv - 1) * VEC; /* columns of the last vector */
    if (e->beta == 0.0f && last == VEC) {
#pragma GCC unroll 16
        for (int i = 0; i < mr; i++)
#pragma GCC unroll 16
            for (int j = 0; j < nv; j++) {
                float *to = c + i * e->row + j * VEC;
                vec_store(to, alpha * sum[i][j]);
            }
    } else {
#pragma GCC unroll 16
        for (int i = 0; i < mr; i++)
#pragma GCC unroll 16
            for (int j = 0; j < nv; j++) {
                float *to = c + i * e->row + j * VEC;
                const int64_t width = j < nv - 1 ? VEC : last;
                vec v = alpha * sum[i][j];
                if (e->beta != 0.0f) v = vec_fma(beta, vec_load_some(to, width, none), v);
                vec_store_some(to, width, v);
            }
    }
}

typedef void block_fn(const float *a, int64_t ar, int64_t ak, const float *b, int64_t bk,
                      int64_t depth, float *c, int64_t n, const epilogue *e);

#define BLOCK(mr, nv)                                                                              \
    static void block_##mr##_##nv(const float *a, int64_t ar, int64_t ak, const float *b,          \
                                  int64_t bk, int64_t depth, float *c, int64_t n,                  \
                                  const epilogue *e)                                               \
    {                                                                                              \
        block(mr, nv, a, ar, ak, b, bk, depth, c, n, e);                                           \
    }
#define BLOCKS(mr) BLOCK(mr, 1) BLOCK(mr, 2)
#define ROW(mr)                                                                                    \
    {                                                                                              \
        block_##mr##_1, block_##mr##_2                                                             \
    }

BLOCKS(1)
BLOCKS(2) BLOCKS(3) BLOCKS(4)
#if defined(__AVX2__)
    BLOCKS(5) BLOCKS(6)
#endif
#if defined(__AVX512F__)
        BLOCKS(7) BLOCKS(8) BLOCKS(9) BLOCKS(10) BLOCKS(11) BLOCKS(12)
#endif

            static block_fn *const blocks[MR][2] = {
                /* by rows - 1 and vectors - 1 */
                ROW(1), ROW(2), ROW(3), ROW(4),
#if defined(__AVX2__)
                ROW(5), ROW(6),
#endif
#if defined(__AVX512F__)
                ROW(7), ROW(8), ROW(9), ROW(10), ROW(11), ROW(12),
#endif
};

/* ---- packing ---- */

typedef float vec4 __attribute__((vector_size(16)));
typedef int32_t pick4 __attribute__((vector_size(16)));

static inline vec4 load4(const float *p)
{
    vec4 v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* out[k*out_row + j] = in[j*in_row + k] for a 4 x 4 block. */
static inline void transpose4(float *out, int64_t out_row, const float *in, int64_t in_row)
{
    const vec4 a = load4(in), b = load4(in + in_row);
    const vec4 c = load4(in + 2 * in_row), d = load4(in + 3 * in_row);
    const vec4 ab_lo = __builtin_shuffle(a, b, (pick4){0, 4, 1, 5});
    const vec4 ab_hi = __builtin_shuffle(a, b, (pick4){2, 6, 3, 7});
    const vec4 cd_lo = __builtin_shuffle(c, d, (pick4){0, 4, 1, 5});
    const vec4 cd_hi = __builtin_shuffle(c, d, (pick4){2, 6, 3, 7});
    const vec4 r[4] = {__builtin_shuffle(ab_lo, cd_lo, (pick4){0, 1, 4, 5}),
                       __builtin_shuffle(ab_lo, cd_lo, (pick4){2, 3, 6, 7}),
                       __builtin_shuffle(ab_hi, cd_hi, (pick4){0, 1, 4, 5}),
                       __builtin_shuffle(ab_hi, cd_hi, (pick4){2, 3, 6, 7})};
    for (int k = 0; k < 4; k++) memcpy(out + k * out_row, &r[k], sizeof r[k]);
}

/* Rows k of b, n <= NR columns wide, zero-padded to NR: out[k*NR + j]. */
static void pack_b(float *out, const float *b, bool trans, int64_t ldb, int64_t depth, int64_t n)
{
    if (!trans) {
        const vec none = vec_all(0.0f);
        for (int64_t k = 0; k < depth; k++, b += ldb, out += NR)
            for (int v = 0; v < 2; v++) {
                const int64_t left = n - v * VEC;
                const float *from = b + v * VEC;
                vec_store(out + v * VEC, left >= VEC ? vec_load(from)
                                         : left > 0  ? vec_load_some(from, left, none)
                                                     : none);
            }
        return;
    }
    if (n < NR) memset(out, 0, (size_t)(depth * NR) * sizeof *out);
    int64_t j = 0;
    for (; j + 4 <= n; j += 4) {
        int64_t k = 0;
        for (; k + 4 <= depth; k += 4) transpose4(out + k * NR + j, NR, b + j * ldb + k, ldb);
        for (; k < depth; k++)
            for (int i = 0; i < 4; i++) out[k * NR + j + i] = b[(j + i) * ldb + k];
    }
    for (; j < n; j++)
        for (int64_t k = 0; k < depth; k++) out[k * NR + j] = b[j * ldb + k];
}

/* Columns k of `rows` <= MR rows of a: out[k*MR + i]. */
static void pack_a(float *out, const float *a, int64_t ar, int64_t ak, int64_t depth, int64_t rows)
{
    if (ar == 1) {
        for (int64_t k = 0; k < depth; k++)
            memcpy(out + k * MR, a + k * ak, (size_t)rows * sizeof *a);
        return;
    }
    int64_t i = 0;
    for (; ak == 1 && i + 4 <= rows; i += 4) {
        int64_t k = 0;
        for (; k + 4 <= depth; k += 4) transpose4(out + k * MR + i, MR, a + i * ar + k, ar);
        for (; k < depth; k++)
            for (int q = 0; q < 4; q++) out[k * MR + i + q] = a[(i + q) * ar + k];
    }
    for (; i < rows; i++)
        for (int64_t k = 0; k < depth; k++) out[k * MR + i] = a[i * ar + k * ak];
}

/* ---- one member's tile ---- */

typedef struct product {
    int64_t m, n, k, rows, tiles_m, tiles_n;
    bool trans_a, trans_b, pack_a, pack_b;
    float alpha, beta;
    int64_t lda, ldb, stride_a, stride_b, stride_c;
    const float *a, *b;
    float *c;
} product;

static inline int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void tile(const product *g, int64_t p, int64_t row, int64_t column, float *scratch)
{
    const int64_t rows = least(g->rows, g->m - row), columns = least(COLUMNS, g->n - column);
    const int64_t ar = g->trans_a ? 1 : g->lda, ak = g->trans_a ? g->lda : 1;
    const float *a = g->a + p * g->stride_a + row * ar;
    const float *b = g->b + p * g->stride_b + (g->trans_b ? column * g->ldb : column);
    float *c = g->c + p * g->stride_c + row * g->n + column;
    float *packed_b = scratch + MR * DEPTH;
    epilogue e = {g->alpha, g->beta, g->n};

    for (int64_t k0 = 0; k0 < g->k; k0 += DEPTH, e.beta = 1.0f) {
        const int64_t depth = least(DEPTH, g->k - k0);
        const float *b_k = b + (g->trans_b ? k0 : k0 * g->ldb);
        for (int64_t j = 0; j < columns; j += NR)
            if (g->pack_b || columns - j < NR)
                pack_b(packed_b + j * DEPTH, b_k + (g->trans_b ? j * g->ldb : j), g->trans_b,
                       g->ldb, depth, least(NR, columns - j));
        for (int64_t i = 0; i < rows; i += MR) {
            const int64_t mr = least(MR, rows - i);
            const float *a_k = a + i * ar + k0 * ak;
            if (g->pack_a) pack_a(scratch, a_k, ar, ak, depth, mr);
            for (int64_t j = 0; j < columns; j += NR) {
                const int64_t n = least(NR, columns - j);
                const bool packed = g->pack_b || n < NR;
                blocks[mr - 1][n > VEC](g->pack_a ? scratch : a_k, g->pack_a ? 1 : ar,
                                        g->pack_a ? MR : ak,
                                        packed ? packed_b + j * DEPTH : b_k + j,
                                        packed ? NR : g->ldb, depth, c + i * g->n + j, n, &e);
            }
        }
    }
}

static dlf_status own(const product *g, int64_t members, int threads)
{
    const int64_t tasks = members * g->tiles_m * g->tiles_n;
    const double flops = 2.0 * (double)g->rows * (double)least(g->n, COLUMNS) * (double)g->k;
    const int chunk = flops >= WORK_PER_CHUNK ? 1 : 1 + (int)(WORK_PER_CHUNK / flops);
    const int64_t columns = (least(g->n, COLUMNS) + NR - 1) / NR * NR;
    const size_t floats = (size_t)(MR * DEPTH + columns * DEPTH);
    if ((int64_t)threads > tasks) threads = (int)tasks;
    bool oom = false;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        float *scratch = aligned_alloc(64, floats * sizeof *scratch);
        if (!scratch) {
#pragma omp atomic write
            oom = true;
        }
#pragma omp for schedule(dynamic, chunk) nowait
        for (int64_t t = 0; t < tasks; t++) {
            const int64_t tiles = g->tiles_m * g->tiles_n, in = t % tiles;
            if (scratch)
                tile(g, t / tiles, in / g->tiles_n * g->rows, in % g->tiles_n * COLUMNS, scratch);
        }
        free(scratch);
    }
    return oom ? dlf_fail(DLF_ERR_OOM, "gemm: no memory for packing") : DLF_OK;
}

/* ---- BLAS ---- */

static void blas(const product *g, int64_t members, dlf_cblas_sgemm sgemm, int threads)
{
    enum { PANEL = 128 };
    const int64_t panels = (g->m + PANEL - 1) / PANEL;
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads) if (threads > 1)
    for (int64_t t = 0; t < members * panels; t++) {
        const int64_t p = t / panels, row = t % panels * PANEL;
        sgemm(DLF_CBLAS_ROW_MAJOR, g->trans_a ? DLF_CBLAS_TRANS : DLF_CBLAS_NO_TRANS,
              g->trans_b ? DLF_CBLAS_TRANS : DLF_CBLAS_NO_TRANS, (int)least(PANEL, g->m - row),
              (int)g->n, (int)g->k, g->alpha,
              g->a + p * g->stride_a + (g->trans_a ? row : row * g->lda), (int)g->lda,
              g->b + p * g->stride_b, (int)g->ldb, g->beta, g->c + p * g->stride_c + row * g->n,
              (int)g->n);
    }
}

/* From here on BLAS is at least as fast; below, its calls and its packing cost more than ours. */
static const double blas_from = 512.0 * 512.0 * 512.0;

static bool fits_blas(const product *g)
{
    return g->m <= INT32_MAX && g->n <= INT32_MAX && g->k <= INT32_MAX;
}

dlf_status DLF_CPU(gemm)(dlf_tensor *c, const dlf_tensor *a, const dlf_tensor *b,
                         dlf_gemm_args args)
{
    const int64_t members = c->shape[0];
    product g = {
        .m = c->shape[1],
        .n = c->shape[2],
        .k = a->shape[args.trans_a ? 1 : 2],
        .trans_a = args.trans_a,
        .trans_b = args.trans_b,
        .alpha = (float)args.alpha,
        .beta = (float)args.beta,
        .stride_a = a->shape[0] == 1 ? 0 : a->stride,
        .stride_b = b->shape[0] == 1 ? 0 : b->stride,
        .stride_c = c->stride,
        .a = a->data,
        .b = b->data,
        .c = c->data,
    };
    if (g.n == 1) { /* one column fills one lane; its transpose, op(b)' op(a)', fills them all */
        g.n = g.m;
        g.m = 1;
        g.a = b->data;
        g.b = a->data;
        const int64_t stride = g.stride_a;
        g.stride_a = g.stride_b;
        g.stride_b = stride;
        g.trans_a = !args.trans_b;
        g.trans_b = !args.trans_a;
    }
    g.lda = g.trans_a ? g.m : g.k;
    g.ldb = g.trans_b ? g.k : g.n;
    g.rows = g.m <= 512 ? 96 : 240;
    g.tiles_m = (g.m + g.rows - 1) / g.rows;
    g.tiles_n = (g.n + COLUMNS - 1) / COLUMNS;
    g.pack_a = g.lda > FAR;
    g.pack_b = g.trans_b || g.ldb > FAR;

    const double work = (double)g.m * (double)g.n * (double)g.k;
    const int threads = dlf_cpu_threads(c, (double)members * work / VEC);
    const dlf_cblas_sgemm sgemm = dlf_cpu_sgemm(c->device);
    if (sgemm && work >= blas_from && fits_blas(&g)) {
        blas(&g, members, sgemm, threads);
        return DLF_OK;
    }
    return own(&g, members, threads);
}
