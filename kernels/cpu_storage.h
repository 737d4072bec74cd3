/* SPDX-License-Identifier: MIT
 * cpu_storage.h -- pieces of f32, f16 and bf16 arrays as floats, and stores that bypass the cache.
 */
#ifndef DLF_CPU_STORAGE_H
#define DLF_CPU_STORAGE_H
#include <string.h>

#include "cpu.h"
#include "dlf/half.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* out[i] = data[at + i], i < n. f32: no copy is made, the return value points into data. */
static inline const float *dlf_cpu_load(float *out, const void *data, dlf_dtype dtype, int64_t at,
                                        int64_t n)
{
    if (dtype == DLF_F32) return (const float *)data + at;
    const uint16_t *h = (const uint16_t *)data + at;
    int64_t i = 0;
    if (dtype == DLF_BF16) {
#pragma omp simd
        for (i = 0; i < n; i++) out[i] = dlf_float_of_bf16(h[i]);
        return out;
    }
#if defined(__F16C__)
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(h + i))));
#endif
    for (; i < n; i++) out[i] = dlf_float_of_f16(h[i]);
    return out;
}

/* Where to compute n elements that belong to data[at ..]: in place for f32, else in `buffer`. */
static inline float *dlf_cpu_target(float *buffer, void *data, dlf_dtype dtype, int64_t at)
{
    return dtype == DLF_F32 ? (float *)data + at : buffer;
}

/* data[at + i] = v[i]; nothing is left to do when v is the place itself (dlf_cpu_target). */
static inline void dlf_cpu_store(void *data, dlf_dtype dtype, int64_t at, const float *v, int64_t n)
{
    if (dtype == DLF_F32) {
        if (v != (float *)data + at) memcpy((float *)data + at, v, (size_t)n * sizeof *v);
        return;
    }
    uint16_t *h = (uint16_t *)data + at;
    int64_t i = 0;
    if (dtype == DLF_BF16) {
#pragma omp simd
        for (i = 0; i < n; i++) h[i] = dlf_bf16_of_float(v[i]);
        return;
    }
#if defined(__F16C__)
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((__m128i *)(h + i),
                         _mm256_cvtps_ph(_mm256_loadu_ps(v + i), _MM_FROUND_TO_NEAREST_INT));
#endif
    for (; i < n; i++) h[i] = dlf_f16_of_float(v[i]);
}

/* dst[i] = src[i] past the caches: a plain store first reads the line it overwrites, which costs a
 * third of a memory-bound y = f(x). Call dlf_cpu_stream_end once per thread before others read. */
static inline void dlf_cpu_stream(float *dst, const float *src, int64_t n)
{
    int64_t i = 0;
#if defined(__x86_64__)
    for (; i < n && (uintptr_t)(dst + i) % 64; i++) dst[i] = src[i];
#if defined(__AVX512F__)
    for (; i + 16 <= n; i += 16) _mm512_stream_ps(dst + i, _mm512_loadu_ps(src + i));
#elif defined(__AVX__)
    for (; i + 8 <= n; i += 8) _mm256_stream_ps(dst + i, _mm256_loadu_ps(src + i));
#else
    for (; i + 4 <= n; i += 4) _mm_stream_ps(dst + i, _mm_loadu_ps(src + i));
#endif
#endif
    for (; i < n; i++) dst[i] = src[i];
}

static inline void dlf_cpu_stream_end(void)
{
#if defined(__x86_64__)
    _mm_sfence();
#endif
}

/* Is an output of so many bytes too large to be found in a cache by the op that comes next? */
static inline bool dlf_cpu_streams(int64_t bytes)
{
    return bytes >= (int64_t)32 << 20;
}
#endif
