/* SPDX-License-Identifier: MIT
 * cpu_lanes.h -- sixteen floats at once, whatever the registers hold.
 *
 * gcc's own reductions leave one sum that waits for every addition, and add its lanes one by one.
 * Never passed by value: the calling convention of vectors depends on the SIMD level. */
#ifndef DLF_CPU_LANES_H
#define DLF_CPU_LANES_H
#include <math.h>
#include <stdint.h>
#include <string.h>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

typedef float lanes __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t lane_bits __attribute__((vector_size(64), aligned(4), may_alias));
enum { LANES = 16 };

static inline lanes *lanes_at(float *p)
{
    return (lanes *)p;
}

static inline const lanes *const_lanes_at(const float *p)
{
    return (const lanes *)p;
}

/* The sum of the lanes, pairwise. */
static inline float lanes_total(const lanes *v)
{
    typedef float half __attribute__((vector_size(32)));
    typedef float quarter __attribute__((vector_size(16)));
    half h, h1;
    memcpy(&h, v, sizeof h);
    memcpy(&h1, (const char *)v + sizeof h, sizeof h1);
    h += h1;
    quarter q, q1;
    memcpy(&q, &h, sizeof q);
    memcpy(&q1, (const char *)&h + sizeof q, sizeof q1);
    q += q1;
    return (q[0] + q[2]) + (q[1] + q[3]);
}

/* The last `n` < LANES lanes remain, the others become 0: the end of an array as one vector that
 * overlaps the one before. */
static inline void lanes_keep_last(lanes *v, int64_t n)
{
    static const int32_t ramp[2 * LANES] = {0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,
                                            0,  0,  0,  0,  0,  -1, -1, -1, -1, -1, -1,
                                            -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
    *v = (lanes)((lane_bits)*v & *(const lane_bits *)(ramp + n));
}

/* The first n < LANES lanes from memory, 0 in the others; and to memory. No other memory is
 * touched.
 */
static inline void lanes_load_some(lanes *v, const float *p, int64_t n)
{
#if defined(__AVX512F__)
    *v = (lanes)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1u), p);
#else
    *v = (lanes){0};
    for (int64_t i = 0; i < n; i++) (*v)[i] = p[i];
#endif
}

static inline void lanes_store_some(float *p, const lanes *v, int64_t n)
{
#if defined(__AVX512F__)
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1u), (__m512)*v);
#else
    for (int64_t i = 0; i < n; i++) p[i] = (*v)[i];
#endif
}

/* out = a b + c, rounded once. out may be any of them. */
static inline void lanes_fma(lanes *out, const lanes *a, const lanes *b, const lanes *c)
{
#if defined(__AVX512F__)
    *out = (lanes)_mm512_fmadd_ps((__m512)*a, (__m512)*b, (__m512)*c);
#else
    float r[LANES];
#pragma omp simd
    for (int i = 0; i < LANES; i++)
        r[i] = fmaf(((const float *)a)[i], ((const float *)b)[i], ((const float *)c)[i]);
    memcpy(out, r, sizeof r);
#endif
}

/* sum += a b, rounded once where that costs nothing: for sums, whose bits depend on their order
 * anyway. */
static inline void lanes_add_product(lanes *sum, const lanes *a, const lanes *b)
{
#if defined(__AVX512F__)
    lanes_fma(sum, a, b, sum);
#else
    *sum += *a * *b;
#endif
}
#endif
