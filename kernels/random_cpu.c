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
    VECTORS = 2,
    WORDS = 4 * LANES * VECTORS, /* of one call of philox */
    GROUP = 32,                  /* numbers searched for a tail at once */
    CHUNK = 448,                 /* words between Philox and transform */
    PIECE = 8192,                /* elements that one thread takes     */
    COST = 32                    /* operations per number              */
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

/* The words of blocks first .. first + VECTORS * LANES - 1. Two vectors side by side hide the
 * latency of the multiplications. */
static inline void philox(uint32_t *out, uint64_t first, uint64_t seed, uint32_t stream,
                          uint32_t member)
{
    const lanes zero = {0};
    const lanes m0 = zero + 0xD2511F53u, m1 = zero + 0xCD9E8D57u;
    lanes c0[VECTORS], c1[VECTORS], c2[VECTORS], c3[VECTORS];
    for (int v = 0; v < VECTORS; v++) {
        c0[v] = block_of_lane + (first + (uint64_t)(v * LANES));
        c1[v] = c0[v] >> 32;
        c2[v] = zero + stream;
        c3[v] = zero + member;
    }
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
#pragma GCC unroll 10
    for (int round = 0; round < 10; round++) {
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++) {
            const lanes p0 = multiply_low(c0[v], m0), p1 = multiply_low(c2[v], m1);
            c0[v] = (p1 >> 32) ^ c1[v] ^ (zero + k0);
            c2[v] = (p0 >> 32) ^ c3[v] ^ (zero + k1);
            c1[v] = p1;
            c3[v] = p0;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    const lanes low = zero + 0xffffffffu;
    for (int v = 0; v < VECTORS; v++) {
        const lanes w01 = (c0[v] & low) | c1[v] << 32, w23 = (c2[v] & low) | c3[v] << 32;
        const lanes lo = __builtin_shuffle(w01, w23, INTERLEAVE_LO);
        const lanes hi = __builtin_shuffle(w01, w23, INTERLEAVE_HI);
        memcpy(out + v * 4 * LANES, &lo, sizeof lo);
        memcpy(out + v * 4 * LANES + 2 * LANES, &hi, sizeof hi);
    }
}

/* What becomes of the bits. */
typedef struct transform {
    bool normal;
    float scale;     /* normal  */
    float lo, range; /* uniform */
} transform;

/* Loops with short dependency chains: they overlap better than one with a long chain. All numbers
 * are first taken for central ones; the one in 300 that lies in a tail is then done again. `bits`
 * is filled up to a multiple of GROUP. */
static void normals(float *restrict out, const uint32_t *restrict bits, int n, float scale)
{
    _Alignas(64) float w[CHUNK], y[CHUNK];
    const int padded = (n + GROUP - 1) / GROUP * GROUP;
    for (int i = 0; i < padded; i++) {
        const dlf_normal_half h = dlf_normal_begin(bits[i]);
        w[i] = h.w;
        y[i] = h.y;
    }
    for (int i = 0; i < n; i++)
        out[i] = scale * dlf_normal_end(dlf_normal_centre(w[i]), (dlf_normal_half){w[i], y[i]});
    for (int from = 0; from < padded; from += GROUP) {
        int tails = 0;
        for (int i = 0; i < GROUP; i++) tails |= !(w[from + i] < 5.0f);
        if (!tails) continue;
        for (int i = from; i < from + GROUP && i < n; i++)
            if (!(w[i] < 5.0f)) out[i] = scale * dlf_normal_of_bits(bits[i]);
    }
}

/* Elements begin .. end-1 of one member; begin is a multiple of 4. */
static void fill(float *x, int64_t begin, int64_t end, dlf_rng rng, uint32_t member, transform t)
{
    _Alignas(64) uint32_t bits[CHUNK];
    for (int64_t i = begin; i < end; i += CHUNK) {
        const int n = (int)(end - i < CHUNK ? end - i : CHUNK);
        for (int w = 0; w < n; w += WORDS)
            philox(bits + w, (uint64_t)(i + w) / 4, rng.seed, rng.stream, member);
        if (t.normal)
            normals(x + i, bits, n, t.scale);
        else
            for (int w = 0; w < n; w++)
                x[i + w] = fmaf(t.range, dlf_uniform_of_bits(bits[w]), t.lo);
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
