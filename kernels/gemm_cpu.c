/* SPDX-License-Identifier: MIT
 * gemm_cpu.c -- matrix products on the CPU: our own register-blocked kernel for the many small
 * products of a population, a BLAS for large ones.
 *
 * Own kernel: c is cut into tasks of ROWS x COLUMNS; a task walks over k in blocks of DEPTH and
 * over its tile in register blocks of MR rows x 2 vectors. Every element of c is the same sequence
 * of fused multiply-adds over k, wherever it lies in a block and whoever computes it: so the bits
 * do not depend on the number of threads. BLAS gets fixed row panels for the same reason. */
#include <stdlib.h>

#include "cpu_block.h"
#include "gemm_blas.h"

enum {
    DEPTH = 256,             /* of k: MR rows of a stay in L1                            */
    COLUMNS = 16 * NR,       /* DEPTH x COLUMNS of b stay in L2: 512 KiB at v4           */
    FAR = 256,               /* beyond this row length a is packed: its rows would share L1 sets */
    WORK_PER_CHUNK = 1 << 19 /* flops of the least piece of work handed to a thread    */
};

/* ---- one member's tile ---- */

typedef struct product {
    int64_t m, n, k, rows, tiles_m, tiles_n;
    bool trans_a, trans_b, pack_a, pack_b;
    float alpha, beta;
    int64_t lda, ldb, stride_a, stride_b, stride_c;
    const float *a, *b;
    float *c;
} product;

static void tile(const product *g, int64_t p, int64_t row, int64_t column, float *scratch)
{
    const int64_t rows = least(g->rows, g->m - row), columns = least(COLUMNS, g->n - column);
    const int64_t ar = g->trans_a ? 1 : g->lda, ak = g->trans_a ? g->lda : 1;
    const float *a = g->a + p * g->stride_a + row * ar;
    const float *b = g->b + p * g->stride_b + (g->trans_b ? column * g->ldb : column);
    float *c = g->c + p * g->stride_c + row * g->n + column;
    float *packed_b = scratch + MR * DEPTH;
    epilogue e = {.alpha = g->alpha, .beta = g->beta, .row = g->n};

    for (int64_t k0 = 0; k0 < g->k; k0 += DEPTH, e.beta = 1.0f) {
        const int64_t depth = least(DEPTH, g->k - k0);
        const float *b_k = b + (g->trans_b ? k0 : k0 * g->ldb);
        for (int64_t j = 0; j < columns; j += NR)
            if (g->pack_b || columns - j < NR)
                pack_b(packed_b + j * DEPTH, NR, b_k + (g->trans_b ? j * g->ldb : j), g->trans_b,
                       g->ldb, depth, least(NR, columns - j));
        for (int64_t i = 0; i < rows; i += MR) {
            const int64_t mr = least(MR, rows - i);
            const float *a_k = a + i * ar + k0 * ak;
            if (g->pack_a) pack_a(scratch, MR, a_k, ar, ak, depth, mr);
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
