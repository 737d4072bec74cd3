/* SPDX-License-Identifier: MIT
 * batch_norm_cpu_pieces.h -- the pieces of a channel as they lie; part of batch_norm_cpu.c.
 *
 * A piece of 49 values is three vectors and one that overlaps the third, of which the lanes already
 * taken are cleared: no scalar tail, and one horizontal sum per channel instead of one per piece.
 */
#ifndef DLF_BATCH_NORM_CPU_PIECES_H
#define DLF_BATCH_NORM_CPU_PIECES_H
#include "batch_norm_cpu.h"
#include "cpu_lanes.h"

/* What comes this many values later is fetched in passing: pieces are short, and each begins a new
 * stream to the hardware that reads ahead. */
enum { BN_AHEAD = 256 };

/* Sums of a channel's pieces, each in two halves that do not wait for each other. */
typedef struct bn_sums {
    lanes sum[2], product[2];
} bn_sums;

/* sum += dz, product += dz (x - hi) over a piece of `length` >= LANES values */
static inline void bn_piece_sums(bn_sums *to, const float *dz, const float *x, int64_t length,
                                 float hi)
{
    lanes s = to->sum[0], s1 = to->sum[1], q = to->product[0], q1 = to->product[1];
    const int64_t rest = length % LANES, whole = length - rest;
    int64_t i = 0;
    for (; i + 2 * LANES <= whole; i += 2 * LANES) {
        for (int64_t k = i; k < i + 2 * LANES; k += LANES) {
            __builtin_prefetch(dz + k + BN_AHEAD);
            __builtin_prefetch(x + k + BN_AHEAD);
        }
        const lanes d = *const_lanes_at(dz + i), d1 = *const_lanes_at(dz + i + LANES);
        s += d;
        s1 += d1;
        q += d * (*const_lanes_at(x + i) - hi);
        q1 += d1 * (*const_lanes_at(x + i + LANES) - hi);
    }
    __builtin_prefetch(dz + i + BN_AHEAD);
    __builtin_prefetch(x + i + BN_AHEAD);
    if (i < whole) {
        const lanes d = *const_lanes_at(dz + i);
        s += d;
        q += d * (*const_lanes_at(x + i) - hi);
    }
    if (rest) {
        lanes d = *const_lanes_at(dz + length - LANES);
        lanes e = d * (*const_lanes_at(x + length - LANES) - hi);
        lanes_keep_last(&d, rest);
        lanes_keep_last(&e, rest);
        s1 += d;
        q1 += e;
    }
    to->sum[0] = s, to->sum[1] = s1, to->product[0] = q, to->product[1] = q1;
}

static inline double bn_sums_total(const lanes halves[2])
{
    const lanes v = halves[0] + halves[1];
    return (double)lanes_total(&v);
}

/* dx may be dz: the last vector of a piece is read before the one it overlaps is written. */
static inline void bn_piece_dx(float *dx, const float *dz, const float *x, int64_t length,
                               bn_coef k)
{
    const lanes zero = {0}, scale = zero + k.scale, slope = zero + k.slope,
                offset = zero + k.offset;
    const int64_t end = length - LANES;
    lanes last = *const_lanes_at(x + end) - k.hi;
    lanes_fma(&last, &last, &slope, &offset);
    lanes_fma(&last, &scale, const_lanes_at(dz + end), &last);
    for (int64_t i = 0; i < end; i += LANES) {
        __builtin_prefetch(dx + i + BN_AHEAD);
        lanes v = *const_lanes_at(x + i) - k.hi;
        lanes_fma(&v, &v, &slope, &offset);
        lanes_fma(lanes_at(dx + i), &scale, const_lanes_at(dz + i), &v);
    }
    __builtin_prefetch(dx + end + BN_AHEAD);
    *lanes_at(dx + end) = last;
}

/* The same past the caches, but for the ends of a piece that share their lines with its neighbours.
 */
static inline void bn_piece_dx_streamed(float *dx, const float *dz, const float *x, int64_t length,
                                        bn_coef k)
{
    const lanes zero = {0}, scale = zero + k.scale, slope = zero + k.slope,
                offset = zero + k.offset;
    const dlf_cpu_lines whole = dlf_cpu_lines_of(dx, length);
    for (int64_t i = 0, next = 0; i < length; i = next) {
        const bool line = i >= whole.first && i < whole.end;
        next = at_most(i + LANES, i < whole.first ? whole.first : length);
        lanes v, d;
        if (next == i + LANES) {
            v = *const_lanes_at(x + i), d = *const_lanes_at(dz + i);
        } else {
            lanes_load_some(&v, x + i, next - i);
            lanes_load_some(&d, dz + i, next - i);
        }
        v -= k.hi;
        lanes_fma(&v, &v, &slope, &offset);
        lanes_fma(&v, &scale, &d, &v);
        if (line)
            dlf_cpu_stream_line(dx + i, (const float *)&v);
        else
            lanes_store_some(dx + i, &v, next - i);
    }
}
#endif
