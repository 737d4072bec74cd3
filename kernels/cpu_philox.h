/* SPDX-License-Identifier: MIT
 * cpu_philox.h -- Philox blocks of rng.h, a vector of them at a time, the same bits.
 *
 * Philox multiplies 32 x 32 -> 64 bits, and SIMD has that only for 64-bit lanes of which it reads
 * the low halves. So each of the four counter words lives in the low half of a 64-bit lane, and the
 * high halves may hold rubbish: no masking between rounds. */
#ifndef DLF_CPU_PHILOX_H
#define DLF_CPU_PHILOX_H
#include <stdint.h>
#include <string.h>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define PHILOX_LANES 8
#elif defined(__AVX2__)
#define PHILOX_LANES 4
#else
#define PHILOX_LANES 2
#endif

enum {
    PHILOX_VECTORS = 2,
    PHILOX_WORDS = 4 * PHILOX_LANES * PHILOX_VECTORS /* of one call of philox_words */
};

typedef uint64_t philox_lanes __attribute__((vector_size(8 * PHILOX_LANES)));

static inline philox_lanes philox_multiply(philox_lanes a, philox_lanes b)
{
#if defined(__AVX512F__)
    return (philox_lanes)_mm512_mul_epu32((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
    return (philox_lanes)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#else
    return (a & 0xffffffffu) * (b & 0xffffffffu);
#endif
}

/* The 2 x LANES words of even (lo) or odd lanes, in memory order. Lane 2i holds block i and lane
 * 2i+1 block LANES/2 + i, so that interleaving pairs leaves whole blocks in order. */
#if defined(__AVX512F__)
#define PHILOX_LO ((philox_lanes){0, 8, 2, 10, 4, 12, 6, 14})
#define PHILOX_HI ((philox_lanes){1, 9, 3, 11, 5, 13, 7, 15})
static const philox_lanes philox_block_of_lane = {0, 4, 1, 5, 2, 6, 3, 7};
#elif defined(__AVX2__)
#define PHILOX_LO ((philox_lanes){0, 4, 2, 6})
#define PHILOX_HI ((philox_lanes){1, 5, 3, 7})
static const philox_lanes philox_block_of_lane = {0, 2, 1, 3};
#else
#define PHILOX_LO ((philox_lanes){0, 2})
#define PHILOX_HI ((philox_lanes){1, 3})
static const philox_lanes philox_block_of_lane = {0, 1};
#endif

/* The PHILOX_WORDS words of blocks first, first+1, .. Two vectors side by side hide the latency of
 * the multiplications. */
static inline void philox_words(uint32_t *out, uint64_t first, uint64_t seed, uint32_t stream,
                                uint32_t member)
{
    const philox_lanes zero = {0};
    const philox_lanes m0 = zero + 0xD2511F53u, m1 = zero + 0xCD9E8D57u;
    philox_lanes c0[PHILOX_VECTORS], c1[PHILOX_VECTORS], c2[PHILOX_VECTORS], c3[PHILOX_VECTORS];
    for (int v = 0; v < PHILOX_VECTORS; v++) {
        c0[v] = philox_block_of_lane + (first + (uint64_t)(v * PHILOX_LANES));
        c1[v] = c0[v] >> 32;
        c2[v] = zero + stream;
        c3[v] = zero + member;
    }
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
#pragma GCC unroll 10
    for (int round = 0; round < 10; round++) {
#pragma GCC unroll 2
        for (int v = 0; v < PHILOX_VECTORS; v++) {
            const philox_lanes p0 = philox_multiply(c0[v], m0), p1 = philox_multiply(c2[v], m1);
            c0[v] = (p1 >> 32) ^ c1[v] ^ (zero + k0);
            c2[v] = (p0 >> 32) ^ c3[v] ^ (zero + k1);
            c1[v] = p1;
            c3[v] = p0;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    const philox_lanes low = zero + 0xffffffffu;
    for (int v = 0; v < PHILOX_VECTORS; v++) {
        const philox_lanes w01 = (c0[v] & low) | c1[v] << 32, w23 = (c2[v] & low) | c3[v] << 32;
        const philox_lanes lo = __builtin_shuffle(w01, w23, PHILOX_LO);
        const philox_lanes hi = __builtin_shuffle(w01, w23, PHILOX_HI);
        memcpy(out + v * 4 * PHILOX_LANES, &lo, sizeof lo);
        memcpy(out + v * 4 * PHILOX_LANES + 2 * PHILOX_LANES, &hi, sizeof hi);
    }
}
#endif
