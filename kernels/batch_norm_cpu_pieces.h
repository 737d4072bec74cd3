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

/* `count` pieces of `length` >= LANES values, `step` apart. What comes `ahead` values later is
 * fetched in passing: the pieces are too short and too far apart for the hardware to foresee. */
typedef struct bn_pieces {
    int64_t count, length, step, ahead;
} bn_pieces;

static inline void bn_fetch(const float *p, int64_t n)
{
    for (int64_t i = 0; i < n; i += LANES) __builtin_prefetch(p + i);
}

/* *sum += dz, *product += dz (x - hi) */
static inline void bn_pieces_sums(double *sum, double *product, const float *dz, const float *x,
                                  bn_pieces of, float hi)
{
    lanes s = {0}, s1 = {0}, q = {0}, q1 = {0};
    const int64_t rest = of.length % LANES, whole = of.length - rest;
    for (int64_t n = 0; n < of.count; n++, dz += of.step, x += of.step) {
        if (of.ahead) {
            bn_fetch(dz + of.ahead, of.length);
            bn_fetch(x + of.ahead, of.length);
        }
        int64_t i = 0;
        for (; i + 2 * LANES <= whole; i += 2 * LANES) {
            const lanes d = *const_lanes_at(dz + i), d1 = *const_lanes_at(dz + i + LANES);
            s += d;
            s1 += d1;
            q += d * (*const_lanes_at(x + i) - hi);
            q1 += d1 * (*const_lanes_at(x + i + LANES) - hi);
        }
        if (i < whole) {
            const lanes d = *const_lanes_at(dz + i);
            s += d;
            q += d * (*const_lanes_at(x + i) - hi);
        }
        if (rest) {
            lanes d = *const_lanes_at(dz + of.length - LANES);
            lanes e = d * (*const_lanes_at(x + of.length - LANES) - hi);
            lanes_keep_last(&d, rest);
            lanes_keep_last(&e, rest);
            s1 += d;
            q1 += e;
        }
    }
    s += s1;
    q += q1;
    *sum += (double)lanes_total(&s);
    *product += (double)lanes_total(&q);
}

/* dx may be dz: the last vector of a piece is read before the one it overlaps is written. */
static inline void bn_pieces_dx(float *dx, const float *dz, const float *x, bn_pieces of, bn_coef k)
{
    const lanes zero = {0}, scale = zero + k.scale, slope = zero + k.slope,
                offset = zero + k.offset;
    for (int64_t n = 0; n < of.count; n++, dx += of.step, dz += of.step, x += of.step) {
        if (of.ahead)
            for (int64_t i = 0; i < of.length; i += LANES) __builtin_prefetch(dx + of.ahead + i, 1);
        const int64_t end = of.length - LANES;
        lanes last = *const_lanes_at(x + end) - k.hi;
        lanes_fma(&last, &last, &slope, &offset);
        lanes_fma(&last, &scale, const_lanes_at(dz + end), &last);
        for (int64_t i = 0; i < end; i += LANES) {
            lanes v = *const_lanes_at(x + i) - k.hi;
            lanes_fma(&v, &v, &slope, &offset);
            lanes_fma(lanes_at(dx + i), &scale, const_lanes_at(dz + i), &v);
        }
        *lanes_at(dx + end) = last;
    }
}
#endif
