/* SPDX-License-Identifier: MIT
 * cpu_interleave.h -- arrays side by side in the lanes of vectors, and back: VEC x VEC elements are
 * transposed in registers. */
#ifndef DLF_CPU_INTERLEAVE_H
#define DLF_CPU_INTERLEAVE_H
#include "cpu_vector.h"

/* out[k * row + lane] = from[lane][at + k], k < n; 0 where from[lane] is NULL. full: it is nowhere.
 * Inlined with constant full. */
__attribute__((always_inline)) static inline void spread(float *out, int64_t row,
                                                         const float *const from[VEC], int64_t at,
                                                         int64_t n, const bool full)
{
    const vec none = vec_all(0.0f);
    vec r[VEC];
    for (int64_t k = 0; k < n; k += VEC) {
        if (n - k < VEC && n > VEC) k = n - VEC; /* the last ones once more rather than some */
        const int64_t some = least(VEC, n - k);
        if (full && some == VEC) {
#pragma GCC unroll 16
            for (int i = 0; i < VEC; i++) r[i] = vec_load(from[i] + at + k);
        } else {
#pragma GCC unroll 16
            for (int i = 0; i < VEC; i++)
                r[i] = full || from[i] ? vec_load_some(from[i] + at + k, some, none) : none;
        }
        vec_transpose(r);
        if (some == VEC) {
#pragma GCC unroll 16
            for (int i = 0; i < VEC; i++) vec_store(out + (k + i) * row, r[i]);
        } else {
#pragma GCC unroll 16
            for (int i = 0; i < VEC; i++)
                if (i < some) vec_store(out + (k + i) * row, r[i]);
        }
    }
}

/* to[lane][at + k] = in[k * row + lane] + beta to[lane][at + k]; nothing where to[lane] is NULL.
 * plain: that is nowhere, and beta is 0. Inlined with constant plain. */
__attribute__((always_inline)) static inline void collect(float *const to[VEC], int64_t at,
                                                          const float *in, int64_t row, int64_t n,
                                                          float beta, const bool plain)
{
    const vec none = vec_all(0.0f), scale = vec_all(beta);
    vec r[VEC];
    for (int64_t k = 0; k < n; k += VEC) {
        if (plain && n - k < VEC && n > VEC) k = n - VEC;
        const int64_t some = least(VEC, n - k);
#pragma GCC unroll 16
        for (int i = 0; i < VEC; i++) r[i] = i < some ? vec_load(in + (k + i) * row) : none;
        vec_transpose(r);
        if (plain && some == VEC) {
#pragma GCC unroll 16
            for (int i = 0; i < VEC; i++) vec_store(to[i] + at + k, r[i]);
        } else {
#pragma GCC unroll 16
            for (int i = 0; i < VEC; i++) {
                if (!plain && !to[i]) continue;
                float *there = to[i] + at + k;
                if (!plain && beta != 0.0f)
                    r[i] = vec_fma(scale, vec_load_some(there, some, none), r[i]);
                vec_store_some(there, some, r[i]);
            }
        }
    }
}
#endif
