/* SPDX-License-Identifier: MIT
 * random_cpu.c -- normal and uniform draws, a vector of Philox blocks at a time; bit for bit what
 * rng.h gives one at a time.
 *
 * Philox multiplies 32 x 32 -> 64 bits, and SIMD has that only for 64-bit lanes of which it reads
 * the low halves. So each of the four counter words lives in the low half of a 64-bit lane, and the
 * high halves may hold rubbish: no masking between rounds. */
#include "cpu.h"
#include "dlf/rng.h"

#if defined(__AVX512F__)
#include <immintrin.h>
enum { LANES = 8 };
#elif defined(__AVX2__)
#include <immintrin.h>
enum { LANES = 4 };
#else
enum { LANES = 2 };
#endif

enum {
    WORDS = 4 * LANES, /* of one vector of blocks            */
    CHUNK = 512,       /* words between Philox and transform */
    PIECE = 8192,      /* elements that one thread takes     */
    COST = 32          /* operations per number              */
};

typedef uint64_t lanes __attribute__((vector_size(8 * LANES)));

static inline lanes multiply_low(lanes a, lanes b)
{
#if defined(__AVX512F__)
    return (lanes)_mm512_mul_epu32((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
    return (lanes)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#else
    return (a & 0xffffffffu) * (b & 0xffffffffu);
#endif
}

/* The 2 x LANES words of even (lo) or odd lanes, in memory order. Lane 2i holds block i and lane
 * 2i+1 block LANES/2 + i, so that interleaving pairs leaves whole blocks in order. */
#if defined(__AVX512F__)
#define INTERLEAVE_LO ((lanes){0, 8, 2, 10, 4, 12, 6, 14})
#define INTERLEAVE_HI ((lanes){1, 9, 3, 11, 5, 13, 7, 15})
static const lanes block_of_lane = {0, 4, 1, 5, 2, 6, 3, 7};
#elif defined(__AVX2__)
#define INTERLEAVE_LO ((lanes){0, 4, 2, 6})
#define INTERLEAVE_HI ((lanes){1, 5, 3, 7})
static const lanes block_of_lane = {0, 2, 1, 3};
#else
#define INTERLEAVE_LO ((lanes){0, 2})
#define INTERLEAVE_HI ((lanes){1, 3})
static const lanes block_of_lane = {0, 1};
#endif

/* The words of blocks first .. first + LANES - 1. */
static inline void philox(uint32_t *out, uint64_t first, uint64_t seed, uint32_t stream,
                          uint32_t member)
{
    const lanes zero = {0};
    const lanes m0 = zero + 0xD2511F53u, m1 = zero + 0xCD9E8D57u;
    const lanes block = block_of_lane + first;
    lanes c0 = block, c1 = block >> 32, c2 = zero + stream, c3 = zero + member;
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
#pragma GCC unroll 10
    for (int round = 0; round < 10; round++) {
        const lanes p0 = multiply_low(c0, m0), p1 = multiply_low(c2, m1);
        c0 = (p1 >> 32) ^ c1 ^ (zero + k0);
        c2 = (p0 >> 32) ^ c3 ^ (zero + k1);
        c1 = p1;
        c3 = p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    const lanes low = zero + 0xffffffffu;
    const lanes w01 = (c0 & low) | c1 << 32, w23 = (c2 & low) | c3 << 32;
    const lanes lo = __builtin_shuffle(w01, w23, INTERLEAVE_LO);
    const lanes hi = __builtin_shuffle(w01, w23, INTERLEAVE_HI);
    memcpy(out, &lo, sizeof lo);
    memcpy(out + WORDS / 2, &hi, sizeof hi);
}

/* What becomes of the bits. */
typedef struct transform {
    bool normal;
    float scale;     /* normal  */
    float lo, range; /* uniform */
} transform;

static void apply(float *restrict out, const uint32_t *restrict bits, int n, transform t)
{
    if (t.normal) {
        for (int i = 0; i < n; i++) out[i] = t.scale * dlf_normal_of_bits(bits[i]);
    } else {
        for (int i = 0; i < n; i++) out[i] = fmaf(t.range, dlf_uniform_of_bits(bits[i]), t.lo);
    }
}

/* Elements begin .. end-1 of one member; begin is a multiple of 4. */
static void fill(float *x, int64_t begin, int64_t end, dlf_rng rng, uint32_t member, transform t)
{
    uint32_t bits[CHUNK];
    for (int64_t i = begin; i < end; i += CHUNK) {
        const int n = (int)(end - i < CHUNK ? end - i : CHUNK);
        for (int w = 0; w < n; w += WORDS)
            philox(bits + w, (uint64_t)(i + w) / 4, rng.seed, rng.stream, member);
        apply(x + i, bits, n, t);
    }
}

static dlf_status draw(dlf_tensor *x, const dlf_tensor *member, const dlf_tensor *scale,
                       dlf_rng rng, transform t)
{
    const int64_t P = x->shape[0], n = dlf_tensor_member_count(x);
    const int64_t pieces = (n + PIECE - 1) / PIECE;
    const int threads = dlf_cpu_threads(x, (double)P * (double)n * COST);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t job = 0; job < P * pieces; job++) {
        const int64_t p = job / pieces, begin = job % pieces * PIECE;
        const int64_t end = begin + PIECE < n ? begin + PIECE : n;
        const uint32_t id =
            (uint32_t)(member ? ((const int32_t *)member->data)[p * member->stride] : p);
        transform mine = t;
        if (scale) mine.scale = ((const float *)scale->data)[p * scale->stride];
        fill((float *)x->data + p * x->stride, begin, end, rng, id, mine);
    }
    return DLF_OK;
}

dlf_status DLF_CPU(random_normal)(dlf_tensor *x, const dlf_tensor *member, const dlf_tensor *scale,
                                  dlf_rng rng)
{
    return draw(x, member, scale, rng, (transform){.normal = true, .scale = 1.0f});
}

dlf_status DLF_CPU(random_uniform)(dlf_tensor *x, const dlf_tensor *member, double lo, double hi,
                                   dlf_rng rng)
{
    return draw(x, member, NULL, rng, (transform){.lo = (float)lo, .range = (float)(hi - lo)});
}
