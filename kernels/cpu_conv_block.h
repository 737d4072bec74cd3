/* SPDX-License-Identifier: MIT
 * cpu_conv_block.h -- the register blocks of a convolution over stacks: UNITS output channels x
 * VECS positions, or x VECS input channels for the gradient of the weights. */
#ifndef DLF_CPU_CONV_BLOCK_H
#define DLF_CPU_CONV_BLOCK_H
#include "cpu_conv_taps.h"

#if defined(__AVX512F__)
enum { UNITS = 6, VECS = 4 }; /* 24 accumulators of 32 registers */
#elif defined(__AVX2__) && defined(__FMA__)
enum { UNITS = 6, VECS = 2 }; /* 12 of 16 */
#else
enum { UNITS = 4, VECS = 2 };
#endif

/* Channels that are fetched before they are needed, for no prefetcher guesses their distance. */
enum { CHANNELS_AHEAD = 4 };

/* What a block of results reads: taps `of` both axes times all channels of a group. */
typedef struct reading {
    const float *w; /* [tap][tap][channel][UNITS] */
    int64_t tap[2]; /* floats from tap to tap of w    */
    const taps *list[2];
    range of[2];
    int64_t channels, channel, step[2]; /* of the stack: floats from one to the next */
} reading;

/* Where it goes: unit i and position j at out[i unit + j position]. */
typedef struct writing {
    float *out;
    int64_t unit, position;
    const float *bias; /* or NULL */
} writing;

/* b: what position 0 reads with an offset of 0; apart: floats from position to position. */
__attribute__((always_inline)) static inline void taps_block(const int mr, const int nv,
                                                             const reading *t, const float *b,
                                                             int64_t apart, const writing *to)
{
    vec sum[UNITS][VECS];
#pragma GCC unroll 16
    for (int i = 0; i < mr; i++)
#pragma GCC unroll 16
        for (int j = 0; j < nv; j++) sum[i][j] = vec_all(to->bias ? to->bias[i] : 0.0f);
    for (int64_t r = t->of[0].first; r < t->of[0].end; r++)
        for (int64_t q = t->of[1].first; q < t->of[1].end; q++) {
            const float *w =
                t->w + t->list[0]->index[r] * t->tap[0] + t->list[1]->index[q] * t->tap[1];
            const float *low =
                b + t->list[0]->offset[r] * t->step[0] + t->list[1]->offset[q] * t->step[1];
            const float *high = low + 2 * apart;
            for (int64_t c = 0; c < t->channels; c++) {
                vec bv[VECS];
#pragma GCC unroll 16
                for (int j = 0; j < nv; j++) {
                    const float *at = (j < 2 ? low : high) + (j & 1) * apart;
                    bv[j] = vec_load(at);
                    __builtin_prefetch(at + CHANNELS_AHEAD * t->channel);
                }
#pragma GCC unroll 16
                for (int i = 0; i < mr; i++) {
                    const vec av = vec_all(w[i]);
#pragma GCC unroll 16
                    for (int j = 0; j < nv; j++) sum[i][j] = vec_fma(av, bv[j], sum[i][j]);
                }
                w += UNITS;
                low += t->channel;
                high += t->channel;
            }
        }
#pragma GCC unroll 16
    for (int i = 0; i < mr; i++)
#pragma GCC unroll 16
        for (int j = 0; j < nv; j++)
            vec_store(to->out + i * to->unit + j * to->position, sum[i][j]);
}

/* Positions that a gradient of weights sums over: a rectangle of dy, and of x. */
typedef struct rectangle {
    int64_t rows, columns, dy[2], x[2]; /* floats from row to row, column to column */
} rectangle;

/* acc[i][j] += dy of unit i times x of channel j, lane by lane. */
__attribute__((always_inline)) static inline void
products_block(const int mr, const int nv, const rectangle *r, const float *dy, int64_t unit,
               const float *x, int64_t channel, float *acc)
{
    vec sum[UNITS][VECS];
#pragma GCC unroll 16
    for (int i = 0; i < mr; i++)
#pragma GCC unroll 16
        for (int j = 0; j < nv; j++) sum[i][j] = vec_load(acc + (i * nv + j) * VEC);
    for (int64_t row = 0; row < r->rows; row++) {
        const float *a = dy + row * r->dy[0], *low = x + row * r->x[0];
        const float *a_high = a + 3 * unit, *high = low + 2 * channel;
        for (int64_t column = 0; column < r->columns; column++) {
            vec bv[VECS];
#pragma GCC unroll 16
            for (int j = 0; j < nv; j++) bv[j] = vec_load((j < 2 ? low : high) + (j & 1) * channel);
#pragma GCC unroll 16
            for (int i = 0; i < mr; i++) {
                const vec av = vec_load((i < 3 ? a : a_high) + i % 3 * unit);
#pragma GCC unroll 16
                for (int j = 0; j < nv; j++) sum[i][j] = vec_fma(av, bv[j], sum[i][j]);
            }
            a += r->dy[1], a_high += r->dy[1];
            low += r->x[1], high += r->x[1];
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < mr; i++)
#pragma GCC unroll 16
        for (int j = 0; j < nv; j++) vec_store(acc + (i * nv + j) * VEC, sum[i][j]);
}

/* The same for one unit and one channel, whose additions would wait for each other. */
static void products_single(const rectangle *r, const float *dy, int64_t unit, const float *x,
                            int64_t channel, float *acc)
{
    (void)unit, (void)channel;
    vec sum[4] = {vec_load(acc), vec_all(0.0f), vec_all(0.0f), vec_all(0.0f)};
    for (int64_t row = 0; row < r->rows; row++) {
        const float *a = dy + row * r->dy[0], *b = x + row * r->x[0];
        int64_t column = 0;
        for (; column + 4 <= r->columns; column += 4, a += 4 * r->dy[1], b += 4 * r->x[1])
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++)
                sum[j] = vec_fma(vec_load(a + j * r->dy[1]), vec_load(b + j * r->x[1]), sum[j]);
        for (; column < r->columns; column++, a += r->dy[1], b += r->x[1])
            sum[0] = vec_fma(vec_load(a), vec_load(b), sum[0]);
    }
    vec_store(acc, (sum[0] + sum[1]) + (sum[2] + sum[3]));
}

typedef void taps_fn(const reading *t, const float *b, int64_t apart, const writing *to);
typedef void products_fn(const rectangle *r, const float *dy, int64_t unit, const float *x,
                         int64_t channel, float *acc);

#define CONV_BLOCK(mr, nv)                                                                         \
    static void taps_##mr##_##nv(const reading *t, const float *b, int64_t apart,                  \
                                 const writing *to)                                                \
    {                                                                                              \
        taps_block(mr, nv, t, b, apart, to);                                                       \
    }                                                                                              \
    static void products_##mr##_##nv(const rectangle *r, const float *dy, int64_t unit,            \
                                     const float *x, int64_t channel, float *acc)                  \
    {                                                                                              \
        products_block(mr, nv, r, dy, unit, x, channel, acc);                                      \
    }
#if defined(__AVX512F__)
#define CONV_BLOCKS(mr)  CONV_BLOCK(mr, 1) CONV_BLOCK(mr, 2) CONV_BLOCK(mr, 3) CONV_BLOCK(mr, 4)
#define CONV_ROW(of, mr) of##_##mr##_1, of##_##mr##_2, of##_##mr##_3, of##_##mr##_4
#else
#define CONV_BLOCKS(mr)  CONV_BLOCK(mr, 1) CONV_BLOCK(mr, 2)
#define CONV_ROW(of, mr) of##_##mr##_1, of##_##mr##_2
#endif
CONV_BLOCKS(1)
CONV_BLOCKS(2)
CONV_BLOCKS(3)
CONV_BLOCKS(4)
#if defined(__AVX2__)
CONV_BLOCKS(5)
CONV_BLOCKS(6)
#endif

/* By units - 1 and vectors - 1. */
static taps_fn *const taps_blocks[UNITS][VECS] = {
    {CONV_ROW(taps, 1)}, {CONV_ROW(taps, 2)}, {CONV_ROW(taps, 3)}, {CONV_ROW(taps, 4)},
#if defined(__AVX2__)
    {CONV_ROW(taps, 5)}, {CONV_ROW(taps, 6)},
#endif
};
static products_fn *const products_blocks[UNITS][VECS] = {
    {CONV_ROW(products, 1)}, {CONV_ROW(products, 2)},
    {CONV_ROW(products, 3)}, {CONV_ROW(products, 4)},
#if defined(__AVX2__)
    {CONV_ROW(products, 5)}, {CONV_ROW(products, 6)},
#endif
};

/* How many of n things the next block takes when all are as even as they can be. */
static inline int64_t even_piece(int64_t n, int64_t most)
{
    const int64_t pieces = (n + most - 1) / most;
    return (n + pieces - 1) / pieces;
}
#endif
