/* SPDX-License-Identifier: MIT
 * cpu_block.h -- what matrix products on the CPU are made of: register blocks of MR rows x 2
 * vectors, and the packing of their operands. Every element of c is the same sequence of fused
 * multiply-adds over k, wherever it lies in a block. */
#ifndef DLF_CPU_BLOCK_H
#define DLF_CPU_BLOCK_H
#include "cpu_vector.h"

/* Rows of a register block. */
#if defined(__AVX512F__)
enum { MR = 12 }; /* 24 accumulators of 32 registers */
#elif defined(__AVX2__) && defined(__FMA__)
enum { MR = 6 }; /* 12 accumulators of 16 registers */
#else
enum { MR = 4 };
#endif

enum { NR = 2 * VEC };

static inline int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

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
            /* c is not in the cache yet, and by the end of the sums it can be. */
#pragma GCC unroll 16
    for (int i = 0; i < mr; i++)
#pragma GCC unroll 16
        for (int j = 0; j < nv; j++) __builtin_prefetch(c + i * e->row + j * VEC, 1);
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
BLOCKS(2)
BLOCKS(3)
BLOCKS(4)
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
static inline void pack_b(float *out, const float *b, bool trans, int64_t ldb, int64_t depth,
                          int64_t n)
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
static inline void pack_a(float *out, const float *a, int64_t ar, int64_t ak, int64_t depth,
                          int64_t rows)
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
#endif
