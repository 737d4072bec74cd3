/* SPDX-License-Identifier: MIT
 * rng.h -- random numbers as a pure function of (seed, stream, member, index).
 *
 * Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3").
 *
 *   key     = seed                              64 bits
 *   counter = (block, stream, member)           block = index / 4, 64 bits; stream, member 32 bits
 *   word    = index mod 4 of the four outputs
 *
 * The same bits come out on CPU and GPU, for any number of threads and in any order. The normal
 * draws are bit-identical too: they use only operations that IEEE 754 rounds correctly (add, mul,
 * fma, sqrt), spelled so that no compiler may contract or reassociate them.
 *
 * This header compiles as C11, C++17 and CUDA. */
#ifndef DLF_RNG_H
#define DLF_RNG_H
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__CUDACC__)
#define DLF_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define DLF_HOST_DEVICE inline
#endif

/* What a stream of numbers is for; layer and repetition go below it. */
enum dlf_purpose {
    DLF_PURPOSE_WEIGHTS = 1,
    DLF_PURPOSE_BIAS,
    DLF_PURPOSE_INPUT,
    DLF_PURPOSE_GRADIENT,
    DLF_PURPOSE_SHUFFLE,
    DLF_PURPOSE_START,
    DLF_PURPOSE_TEST,
    DLF_PURPOSE_DROPOUT,
    DLF_PURPOSE_DATA
};
static DLF_HOST_DEVICE uint32_t dlf_stream(enum dlf_purpose purpose, uint32_t layer)
{
    return (uint32_t)purpose << 24 | (layer & 0xffffffu);
}

typedef struct dlf_philox_block {
    uint32_t v[4];
} dlf_philox_block;

/* Ten rounds. Test vectors: Random123 kat_vectors, see tests/test_random.c. */
static DLF_HOST_DEVICE dlf_philox_block dlf_philox4x32(uint32_t c0, uint32_t c1, uint32_t c2,
                                                       uint32_t c3, uint32_t k0, uint32_t k1)
{
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = (uint64_t)0xD2511F53u * c0;
        const uint64_t p1 = (uint64_t)0xCD9E8D57u * c2;
        const uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        const uint32_t n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u; /* golden ratio */
        k1 += 0xBB67AE85u; /* sqrt(3) - 1  */
    }
    const dlf_philox_block out = {{c0, c1, c2, c3}};
    return out;
}

/* The four words of indices 4*block .. 4*block+3. */
static DLF_HOST_DEVICE dlf_philox_block dlf_rng_block(uint64_t seed, uint32_t stream,
                                                      uint32_t member, uint64_t block)
{
    return dlf_philox4x32((uint32_t)block, (uint32_t)(block >> 32), stream, member, (uint32_t)seed,
                          (uint32_t)(seed >> 32));
}

static DLF_HOST_DEVICE uint32_t dlf_rng_bits(uint64_t seed, uint32_t stream, uint32_t member,
                                             uint64_t index)
{
    return dlf_rng_block(seed, stream, member, index / 4).v[index % 4];
}

/* [0,1), 24 bits: every value is a multiple of 2^-24. */
static DLF_HOST_DEVICE float dlf_uniform_of_bits(uint32_t bits)
{
    return (float)(bits >> 8) * 0x1p-24f;
}

static DLF_HOST_DEVICE float dlf_mul_rn(float a, float b)
{
#if defined(__CUDA_ARCH__)
    return __fmul_rn(a, b); /* never contracted into an fma */
#else
    return a * b; /* host files are compiled with -ffp-contract=off */
#endif
}

/* Standard normal quantile of the 32 random bits, |x| < 6.35.
 *
 * u = (bits + 1/2) 2^-32 is split as sign and tail: t = min(u, 1-u) in (0, 1/2]. Then
 * x = -+ sqrt(2) erfinv(1 - 2t). With w = -ln(4 t (1-t)), erfinv(y)/y is two polynomials, one in
 * w for the centre, one in sqrt(w) for the tail (Giles 2010, "Approximating the erfinv function").
 * ln is our own (exponent and a polynomial), because libm and the GPU round theirs differently.
 * It comes in pieces for kernels/random_cpu.c, which needs them in loops of their own. Absolute
 * error < 2e-6 against the exact quantile over all 2^32 inputs (tests/test_random.c). */
typedef struct dlf_normal_half {
    float w; /* -ln(4 t (1-t))                    */
    float y; /* 1 - 2t, with the sign of u - 1/2  */
} dlf_normal_half;

static DLF_HOST_DEVICE dlf_normal_half dlf_normal_begin(uint32_t bits)
{
    const int32_t below = (bits & 0x80000000u) == 0;                   /* u < 1/2          */
    /* bits or ~bits, by xor: for ~ gcc uses an instruction that waits for the last iteration. */
    const uint32_t flip = 0u - (bits >> 31);
    const int32_t k = (int32_t)((bits ^ flip) & 0x7fffffffu); /* t = (k+1/2) 2^-32 */
    const float t = dlf_mul_rn((float)k + 0.5f, 0x1p-32f);
    const float y =
        dlf_mul_rn((float)(0x7fffffff - k) + 0.5f, 0x1p-31f); /* 1 - 2t, no cancellation */
    const float s = dlf_mul_rn(4.0f * t, 1.0f - t);           /* 1 - y^2 in (0,1]        */

    /* w = -ln s: s = 2^e m, m in [sqrt(1/2), sqrt(2)), ln m by a degree-9 polynomial in f = m-1 */
    uint32_t si;
    memcpy(&si, &s, sizeof si);
    const uint32_t shifted = si - 0x3f3504f3u; /* bits of sqrt(1/2) */
    const int32_t e = (int32_t)shifted >> 23;
    const uint32_t mi = (shifted & 0x007fffffu) + 0x3f3504f3u;
    float m;
    memcpy(&m, &mi, sizeof m);
    const float f = m - 1.0f, ff = dlf_mul_rn(f, f);
    float q = 7.0376836292e-2f;
    q = fmaf(q, f, -1.1514610310e-1f);
    q = fmaf(q, f, 1.1676998740e-1f);
    q = fmaf(q, f, -1.2420140846e-1f);
    q = fmaf(q, f, 1.4249322787e-1f);
    q = fmaf(q, f, -1.6668057665e-1f);
    q = fmaf(q, f, 2.0000714765e-1f);
    q = fmaf(q, f, -2.4999993993e-1f);
    q = fmaf(q, f, 3.3333331174e-1f);
    q = fmaf(dlf_mul_rn(q, f), ff, fmaf(-0.5f, ff, f));
    const dlf_normal_half h = {fmaf((float)e, -0.69314718056f, -q), below ? -y : y};
    return h;
}

/* erfinv(y)/y where w < 5: 99.7 % of all draws. */
static DLF_HOST_DEVICE float dlf_normal_centre(float w)
{
    const float wc = w - 2.5f;
    float c = 2.81022636e-08f;
    c = fmaf(c, wc, 3.43273939e-07f);
    c = fmaf(c, wc, -3.5233877e-06f);
    c = fmaf(c, wc, -4.39150654e-06f);
    c = fmaf(c, wc, 0.00021858087f);
    c = fmaf(c, wc, -0.00125372503f);
    c = fmaf(c, wc, -0.00417768164f);
    c = fmaf(c, wc, 0.246640727f);
    return fmaf(c, wc, 1.50140941f);
}

/* The same where w >= 5. Giles' tail polynomial is fitted to w <= 16; 32 bits reach w = 22.2, so
 * ours is a new Chebyshev fit of degree 9 in sqrt(w) over [2.236, 4.74], error 4e-7. */
static DLF_HOST_DEVICE float dlf_normal_tail(float w)
{
    const float wt = sqrtf(w < 0.0f ? 0.0f : w) - 3.5f;
    float d = 2.9568163881776854e-05f;
    d = fmaf(d, wt, 1.012020766211208e-05f);
    d = fmaf(d, wt, -0.0002781756629701704f);
    d = fmaf(d, wt, 0.0005288139800541103f);
    d = fmaf(d, wt, -0.0006431182846426964f);
    d = fmaf(d, wt, 0.0010377713479101658f);
    d = fmaf(d, wt, -0.002073760610073805f);
    d = fmaf(d, wt, 0.003287847386673093f);
    d = fmaf(d, wt, 1.0073696374893188f);
    return fmaf(d, wt, 3.3354854583740234f);
}

static DLF_HOST_DEVICE float dlf_normal_end(float ratio, dlf_normal_half h)
{
    return dlf_mul_rn(dlf_mul_rn(ratio, h.y), 1.41421356f);
}

static DLF_HOST_DEVICE float dlf_normal_of_bits(uint32_t bits)
{
    const dlf_normal_half h = dlf_normal_begin(bits);
    return dlf_normal_end(h.w < 5.0f ? dlf_normal_centre(h.w) : dlf_normal_tail(h.w), h);
}

static DLF_HOST_DEVICE float dlf_rng_uniform(uint64_t seed, uint32_t stream, uint32_t member,
                                             uint64_t index)
{
    return dlf_uniform_of_bits(dlf_rng_bits(seed, stream, member, index));
}

static DLF_HOST_DEVICE float dlf_rng_normal(uint64_t seed, uint32_t stream, uint32_t member,
                                            uint64_t index)
{
    return dlf_normal_of_bits(dlf_rng_bits(seed, stream, member, index));
}
#endif
