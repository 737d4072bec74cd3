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

/* ---- stores past the caches --------------------------------------------------------------------
 * A plain store first reads the line it overwrites, which costs a third of a memory-bound y = f(x).
 * A line is computed, written and forgotten before the next one: a buffer of many lines written at
 * once kept reads and writes from overlapping and took 1.3 times as long. Call dlf_cpu_stream_end
 * once per thread before others read. */

enum {
    DLF_CPU_LINE = 16,  /* floats of a cache line                                           */
    DLF_CPU_AHEAD = 512 /* floats from a line to the one that is fetched while it is computed */
};

/* dst[0 .. 15] = src[0 .. 15]; dst is the start of a line. */
static inline void dlf_cpu_stream_line(float *dst, const float *src)
{
#if defined(__AVX512F__)
    _mm512_stream_ps(dst, _mm512_loadu_ps(src));
#elif defined(__AVX__)
    for (int i = 0; i < DLF_CPU_LINE; i += 8) _mm256_stream_ps(dst + i, _mm256_loadu_ps(src + i));
#elif defined(__x86_64__)
    for (int i = 0; i < DLF_CPU_LINE; i += 4) _mm_stream_ps(dst + i, _mm_loadu_ps(src + i));
#else
    memcpy(dst, src, DLF_CPU_LINE * sizeof *dst);
#endif
}

/* Of dst[0 .. n): where its first whole line begins, and where its last one ends. Both are n where
 * there is none. */
typedef struct dlf_cpu_lines {
    int64_t first, end;
} dlf_cpu_lines;

static inline dlf_cpu_lines dlf_cpu_lines_of(const float *dst, int64_t n)
{
    const int64_t first = (int64_t)(-((uintptr_t)dst / sizeof *dst) % DLF_CPU_LINE);
    if (first + DLF_CPU_LINE > n) return (dlf_cpu_lines){n, n};
    return (dlf_cpu_lines){first, first + (n - first) / DLF_CPU_LINE * DLF_CPU_LINE};
}

/* out[i] = value for first <= i < end, lines of `out`, with `value` an expression in i that reads
 * a[i] and perhaps b[i]. Inputs are fetched ahead, and so is `out` where it does not `stream`: the
 * hardware that reads ahead stops at the end of a page and knows nothing of stores. */
#define DLF_CPU_EACH_LINE(i, lines, stream, out, a, b, value)                                      \
    for (int64_t at_ = (lines).first; at_ < (lines).end; at_ += DLF_CPU_LINE) {                    \
        _Alignas(64) float line_[DLF_CPU_LINE];                                                    \
        __builtin_prefetch((a) + at_ + DLF_CPU_AHEAD);                                             \
        if ((b) != (a)) __builtin_prefetch((b) + at_ + DLF_CPU_AHEAD);                             \
        if (!(stream)) __builtin_prefetch((out) + at_ + DLF_CPU_AHEAD);                            \
        _Pragma("omp simd") for (int k_ = 0; k_ < DLF_CPU_LINE; k_++)                              \
        {                                                                                          \
            const int64_t i = at_ + k_;                                                            \
            line_[k_] = (value);                                                                   \
        }                                                                                          \
        if (stream)                                                                                \
            dlf_cpu_stream_line((out) + at_, line_);                                               \
        else                                                                                       \
            memcpy((out) + at_, line_, sizeof line_);                                              \
    }

/* dst[i] = src[i] */
static inline void dlf_cpu_stream(float *dst, const float *src, int64_t n)
{
    const dlf_cpu_lines lines = dlf_cpu_lines_of(dst, n);
    for (int64_t i = 0; i < lines.first; i++) dst[i] = src[i];
    for (int64_t i = lines.first; i < lines.end; i += DLF_CPU_LINE)
        dlf_cpu_stream_line(dst + i, src + i);
    for (int64_t i = lines.end; i < n; i++) dst[i] = src[i];
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
