/* SPDX-License-Identifier: MIT
 * cpu_block.h -- what matrix products on the CPU are made of: register blocks of MR rows x 2
 * vectors, EVEN_ROWS x 3 or WIDE_ROWS x 4, and the packing of their operands. Every element of c is
 * the same sequence of fused multiply-adds over k, wherever it lies in a block. */
#ifndef DLF_CPU_BLOCK_H
#define DLF_CPU_BLOCK_H
#include "cpu_vector.h"

/* Rows of a register block of 2 vectors, and other ways to cut the same registers: with 4 vectors a
 * row of b serves fewer rows of a, but a step of k loads 10 operands instead of 14 for its 24
 * products; 8 rows of 3 vectors load 11 and fit numbers of rows that are powers of two. */
#if defined(__AVX512F__)
enum { MR = 12, EVEN_ROWS = 8, EVEN = 3 * VEC, WIDE_ROWS = 6, WIDE = 4 * VEC }; /* 24 sums */
#elif defined(__AVX2__) && defined(__FMA__)
enum { MR = 6, EVEN_ROWS = MR, EVEN = 2 * VEC, WIDE_ROWS = MR, WIDE = 2 * VEC }; /* 12 of 16 */
#else
enum { MR = 4, EVEN_ROWS = MR, EVEN = 2 * VEC, WIDE_ROWS = MR, WIDE = 2 * VEC };
#endif

enum {
    NR = 2 * VEC,
    LINE = 16, /* floats of a cache line */
    AHEAD = 8 /* rows of b that are fetched before they are needed: from L2 it takes 14 cycles, more
                 where it is shared, and the prefetchers of the CPU alone lose a third */
};

/* What the register blocks need to know about c, and what will be read after this block and can be
 * fetched into L2 meanwhile: next, next + next_row, .., one line for each row of the block, and
 * after every line of a the same from next_step on. */
typedef struct epilogue {
    float alpha, beta; /* beta == 0: c is not read */
    int64_t row;       /* elements from row to row */
    const float *next; /* or NULL                  */
    int64_t next_row, next_step;
} epilogue;

/* c[i, 0..n) = alpha sum_k a[i,k] b[k, 0..n) + beta c for `mr` rows and `nv` vectors; a element
 * (i,k) is a[i*ar + k*ak], b row k is at b + k*bk. Inlined with constant mr and nv. */
__attribute__((always_inline)) static inline void block(const int mr, const int nv, const float *a,
                                                        int64_t ar, int64_t ak, const float *b,
                                                        int64_t bk, int64_t depth, float *c,
                                                        int64_t n, const epilogue *e)
{
    vec sum[MR][WIDE / VEC];
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
    const float *next = e->next;
    for (int64_t k = 0; k < depth;) {
        const int64_t end = least(k + LINE, depth);
        if (next) {
#pragma GCC unroll 16
            for (int i = 0; i < mr; i++) __builtin_prefetch(next + i * e->next_row, 0, 2);
            next += e->next_step;
        }
        for (; k < end; k++) {
            vec bv[WIDE / VEC];
#pragma GCC unroll 16
            for (int j = 0; j < nv; j++) {
                bv[j] = vec_load(b + j * VEC);
                __builtin_prefetch(b + AHEAD * bk + j * VEC);
            }
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
#define BLOCKS2(mr) BLOCK(mr, 1) BLOCK(mr, 2)
#define ROW2(mr)    block_##mr##_1, block_##mr##_2
#if defined(__AVX512F__)
#define BLOCKS3(mr) BLOCKS2(mr) BLOCK(mr, 3)
#define ROW3(mr)    ROW2(mr), block_##mr##_3
#define BLOCKS4(mr) BLOCKS3(mr) BLOCK(mr, 4)
#define ROW4(mr)    ROW3(mr), block_##mr##_4
#else
#define BLOCKS4 BLOCKS2
#define ROW4    ROW2
#endif

BLOCKS4(1)
BLOCKS4(2)
BLOCKS4(3)
BLOCKS4(4)
#if defined(__AVX2__)
BLOCKS4(5)
BLOCKS4(6)
#endif
#if defined(__AVX512F__)
BLOCKS3(7)
BLOCKS3(8)
BLOCKS2(9)
BLOCKS2(10)
BLOCKS2(11)
BLOCKS2(12)
#endif

/* By rows - 1 and vectors - 1; NULL where the accumulators would not fit. */
static block_fn *const blocks[MR][WIDE / VEC] = {
    {ROW4(1)}, {ROW4(2)}, {ROW4(3)}, {ROW4(4)},
#if defined(__AVX2__)
    {ROW4(5)}, {ROW4(6)},
#endif
#if defined(__AVX512F__)
    {ROW3(7)}, {ROW3(8)}, {ROW2(9)}, {ROW2(10)}, {ROW2(11)}, {ROW2(12)},
#endif
};

/* ---- packing ---- */

/* n <= VEC elements of `rows` <= VEC rows. */
__attribute__((always_inline)) static inline void transpose_some(float *out, int64_t out_row,
                                                                 int64_t lanes, const float *in,
                                                                 int64_t in_row, int64_t rows,
                                                                 int64_t n)
{
    const vec none = vec_all(0.0f);
    vec r[VEC];
#pragma GCC unroll 16
    for (int i = 0; i < VEC; i++)
        r[i] = i >= rows  ? none
               : n == VEC ? vec_load(in + i * in_row)
                          : vec_load_some(in + i * in_row, n, none);
    vec_transpose(r);
#pragma GCC unroll 16
    for (int i = 0; i < VEC; i++)
        if (i < n && lanes == VEC)
            vec_store(out + i * out_row, r[i]);
        else if (i < n)
            vec_store_some(out + i * out_row, lanes, r[i]);
}

/* out[k*out_row + j] = in[j*in_row + k] for j < rows <= VEC, k < depth; 0 for rows <= j < lanes. */
static inline void transpose_rows(float *out, int64_t out_row, int64_t lanes, const float *in,
                                  int64_t in_row, int64_t rows, int64_t depth)
{
    int64_t k = 0;
    for (; lanes == VEC && rows == VEC && k + VEC <= depth; k += VEC)
        transpose_some(out + k * out_row, out_row, VEC, in + k, in_row, VEC, VEC);
    for (; k < depth; k += VEC)
        transpose_some(out + k * out_row, out_row, lanes, in + k, in_row, rows,
                       least(VEC, depth - k));
}

/* Rows k of b, n <= width columns wide, zero-padded to width, which is whole vectors:
 * out[k*width + j]. */
static inline void pack_b(float *out, int64_t width, const float *b, bool trans, int64_t ldb,
                          int64_t depth, int64_t n)
{
    for (int64_t j = 0; trans && j < width; j += VEC) {
        const int64_t rows = n - j < 0 ? 0 : least(VEC, n - j);
        transpose_rows(out + j, width, VEC, b + j * ldb, ldb, rows, depth);
    }
    if (trans) return;
    const vec none = vec_all(0.0f);
    for (int64_t k = 0; k < depth; k++, b += ldb, out += width)
        for (int64_t j = 0; j < width; j += VEC) {
            const int64_t left = n - j;
            vec_store(out + j, left >= VEC ? vec_load(b + j)
                               : left > 0  ? vec_load_some(b + j, left, none)
                                           : none);
        }
}

/* Columns k of `rows` <= width rows of a: out[k*width + i]. Nothing is written behind row i. */
static inline void pack_a(float *out, int64_t width, const float *a, int64_t ar, int64_t ak,
                          int64_t depth, int64_t rows)
{
    if (ar == 1) {
        for (int64_t k = 0; k < depth; k++)
            memcpy(out + k * width, a + k * ak, (size_t)rows * sizeof *a);
        return;
    }
    for (int64_t i = 0; ak == 1 && i < rows; i += VEC) {
        const int64_t some = least(VEC, rows - i);
        transpose_rows(out + i, width, some, a + i * ar, ar, some, depth);
    }
    for (int64_t i = 0; ak != 1 && i < rows; i++)
        for (int64_t k = 0; k < depth; k++) out[k * width + i] = a[i * ar + k * ak];
}
#endif
