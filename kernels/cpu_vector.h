/* SPDX-License-Identifier: MIT
 * cpu_vector.h -- one SIMD register of floats at the level being compiled, for loops where what gcc
 * makes of `omp simd` is too slow: short runs (the rest of a run costs one masked operation instead
 * of a scalar loop) and sums (several independent accumulators). + - * are the operators of C. */
#ifndef DLF_CPU_VECTOR_H
#define DLF_CPU_VECTOR_H
#include "cpu_storage.h"

#if defined(__AVX512F__)
enum { VEC = 16 };
typedef __m512 vec;
#elif defined(__AVX2__) && defined(__FMA__)
enum { VEC = 8 };
typedef __m256 vec;
#else
enum { VEC = 4 };
typedef float vec __attribute__((vector_size(16)));
#endif

static inline int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Lane numbers, for shuffles; F(0), F(1), .. for all lanes. */
typedef int32_t vec_pick __attribute__((vector_size(sizeof(vec))));
#define DLF_LANES4(F, l)  F((l)), F((l) + 1), F((l) + 2), F((l) + 3)
#define DLF_LANES8(F, l)  DLF_LANES4(F, l), DLF_LANES4(F, (l) + 4)
#define DLF_LANES16(F, l) DLF_LANES8(F, l), DLF_LANES8(F, (l) + 8)
#if defined(__AVX512F__)
#define DLF_LANES(F) DLF_LANES16(F, 0)
#elif defined(__AVX2__) && defined(__FMA__)
#define DLF_LANES(F) DLF_LANES8(F, 0)
#else
#define DLF_LANES(F) DLF_LANES4(F, 0)
#endif

static inline vec vec_all(float v)
{
#if defined(__AVX512F__)
    return _mm512_set1_ps(v);
#elif defined(__AVX2__) && defined(__FMA__)
    return _mm256_set1_ps(v);
#else
    return (vec){v, v, v, v};
#endif
}

static inline vec vec_load(const float *p)
{
    vec v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void vec_store(float *p, vec v)
{
    memcpy(p, &v, sizeof v);
}

/* a b + c, in one rounding where the level has the instruction. */
static inline vec vec_fma(vec a, vec b, vec c)
{
#if defined(__AVX512F__)
    return _mm512_fmadd_ps(a, b, c);
#elif defined(__AVX2__) && defined(__FMA__)
    return _mm256_fmadd_ps(a, b, c);
#else
    return a * b + c;
#endif
}

#if defined(__AVX512F__)
static inline __mmask16 vec_first(int64_t n)
{
    return (__mmask16)((1u << n) - 1u);
}
#elif defined(__AVX2__) && defined(__FMA__)
static inline __m256i vec_first(int64_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
#endif

/* The first n <= VEC lanes from memory, `fill` in the others, whose memory is not touched. */
static inline vec vec_load_some(const float *p, int64_t n, vec fill)
{
#if defined(__AVX512F__)
    return _mm512_mask_loadu_ps(fill, vec_first(n), p);
#elif defined(__AVX2__) && defined(__FMA__)
    const __m256i first = vec_first(n);
    return _mm256_blendv_ps(fill, _mm256_maskload_ps(p, first), _mm256_castsi256_ps(first));
#else
    for (int64_t i = 0; i < n; i++) fill[i] = p[i];
    return fill;
#endif
}

/* The first n <= VEC lanes to memory. */
static inline void vec_store_some(float *p, int64_t n, vec v)
{
#if defined(__AVX512F__)
    _mm512_mask_storeu_ps(p, vec_first(n), v);
#elif defined(__AVX2__) && defined(__FMA__)
    _mm256_maskstore_ps(p, vec_first(n), v);
#else
    for (int64_t i = 0; i < n; i++) p[i] = v[i];
#endif
}

static inline void vec_copy(float *to, const float *from, int64_t n)
{
    int64_t i = 0;
    for (; i + VEC <= n; i += VEC) vec_store(to + i, vec_load(from + i));
    if (i < n) vec_store_some(to + i, n - i, vec_load_some(from + i, n - i, vec_all(0.0f)));
}

/* to[i] = from[2 i], i < n; nothing behind from[2 n - 2] is read. */
static inline void vec_copy_even(float *to, const float *from, int64_t n)
{
#define EVEN(l) 2 * (l)
    const vec_pick even = {DLF_LANES(EVEN)};
#undef EVEN
    int64_t i = 0;
    for (; i + VEC < n; i += VEC)
        vec_store(to + i,
                  __builtin_shuffle(vec_load(from + 2 * i), vec_load(from + 2 * i + VEC), even));
    if (i == n) return;
    const int64_t left = 2 * (n - i) - 1;
    const vec none = vec_all(0.0f),
              low = vec_load_some(from + 2 * i, left < VEC ? left : VEC, none);
    const vec high = left > VEC ? vec_load_some(from + 2 * i + VEC, left - VEC, none) : none;
    vec_store_some(to + i, n - i, __builtin_shuffle(low, high, even));
}

/* r[i][j] becomes r[j][i]: halves of rows change places, then quarters, and so on. */
static inline void vec_transpose(vec r[VEC])
{
#define LOW(l)  (l) & H ? VEC + (l)-H : (l)
#define HIGH(l) (l) & H ? VEC + (l) : (l) + H
#define EXCHANGE                                                                                   \
    {                                                                                              \
        const vec_pick low = {DLF_LANES(LOW)}, high = {DLF_LANES(HIGH)};                           \
        _Pragma("GCC unroll 16") for (int i = 0; i < VEC; i++)                                     \
        {                                                                                          \
            if (i & H) continue;                                                                   \
            const vec a = r[i], b = r[i + H];                                                      \
            r[i] = __builtin_shuffle(a, b, low), r[i + H] = __builtin_shuffle(a, b, high);         \
        }                                                                                          \
    }
#if defined(__AVX512F__)
#define H 8
    EXCHANGE
#undef H
#endif
#if defined(__AVX2__) && defined(__FMA__)
#define H 4
    EXCHANGE
#undef H
#endif
#define H 2
    EXCHANGE
#undef H
#define H 1
    EXCHANGE
#undef H
#undef EXCHANGE
}

/* Lane l of the result is the sum of the lanes of r[l]; r is used up. */
static inline vec vec_sums(vec r[VEC])
{
#define HALVE                                                                                      \
    {                                                                                              \
        const vec_pick low = {DLF_LANES(LOW)}, high = {DLF_LANES(HIGH)};                           \
        _Pragma("GCC unroll 16") for (int i = 0; i < H; i++) r[i] =                                \
            __builtin_shuffle(r[i], r[i + H], low) + __builtin_shuffle(r[i], r[i + H], high);      \
    }
#if defined(__AVX512F__)
#define H 8
    HALVE
#undef H
#endif
#if defined(__AVX2__) && defined(__FMA__)
#define H 4
    HALVE
#undef H
#endif
#define H 2
    HALVE
#undef H
#define H 1
    HALVE
#undef H
#undef HALVE
#undef HIGH
#undef LOW
    return r[0];
}

static inline float vec_sum(vec v)
{
#if defined(__AVX512F__)
    return _mm512_reduce_add_ps(v);
#elif defined(__AVX2__) && defined(__FMA__)
    __m128 h = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    h = _mm_add_ps(h, _mm_movehl_ps(h, h));
    return _mm_cvtss_f32(h) + _mm_cvtss_f32(_mm_movehdup_ps(h));
#else
    return (v[0] + v[2]) + (v[1] + v[3]);
#endif
}
#endif
