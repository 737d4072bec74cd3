/* SPDX-License-Identifier: MIT
 * half.h -- the two 16-bit floating types of tensors, as bits.
 *
 *   f16   IEEE 754 binary16: 1 sign, 5 exponent, 10 fraction bits    max 65504, least 2^-24
 *   bf16  the upper half of a float: 1, 8, 7                         max 3.39e38
 *
 * Rounding is to nearest, ties to even, once, also from double. Too large becomes Inf, NaN stays
 * NaN, denormals are kept. Compiles as C11 and C++17. */
#ifndef DLF_HALF_H
#define DLF_HALF_H
#include <stdint.h>
#include <string.h>

static inline uint32_t dlf_bits_of_float(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float dlf_float_of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint16_t dlf_f16_of_float(float x)
{
    const uint32_t infinity = 0x7f800000u, sign = dlf_bits_of_float(x) >> 16 & 0x8000u;
    uint32_t u = dlf_bits_of_float(x) & 0x7fffffffu;
    if (u > infinity) return (uint16_t)(sign | 0x7e00u);
    if (u >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* 65520 and above round to Inf */
    if (u < 0x38800000u) { /* below 2^-14: the last place of 0.5 is 2^-24, so that the sum rounds */
        const float sum = dlf_float_of_bits(u) + 0.5f;
        return (uint16_t)(sign | (dlf_bits_of_float(sum) - 0x3f000000u));
    }
    u += 0xfffu + (u >> 13 & 1u);
    return (uint16_t)(sign | (u - 0x38000000u) >> 13);
}

static inline float dlf_float_of_f16(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16, rest = h & 0x7fffu;
    if (rest >= 0x7c00u) return dlf_float_of_bits(sign | 0x7f800000u | (rest & 0x3ffu) << 13);
    if (rest < 0x400u) { /* fraction times 2^-24 */
        const float x = (float)rest * 0x1p-24f;
        return sign ? -x : x;
    }
    return dlf_float_of_bits(sign | ((rest << 13) + 0x38000000u));
}

static inline uint16_t dlf_bf16_of_float(float x)
{
    const uint32_t u = dlf_bits_of_float(x);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(u >> 16 | 0x40u);
    return (uint16_t)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}

static inline float dlf_float_of_bf16(uint16_t h)
{
    return dlf_float_of_bits((uint32_t)h << 16);
}

/* Nearest float, except that an inexact one is made odd: rounding it again to 16 bits gives what
 * rounding x once would have given (Boldo and Melquiond 2008). */
static inline float dlf_float_to_odd(double x)
{
    const float f = (float)x;
    if ((double)f == x || x != x) return f;
    uint32_t u = dlf_bits_of_float(f);
    if ((f < 0 ? -(double)f : (double)f) > (x < 0 ? -x : x)) u--; /* towards zero */
    return dlf_float_of_bits(u | 1u);
}

static inline uint16_t dlf_f16_of_double(double x)
{
    return dlf_f16_of_float(dlf_float_to_odd(x));
}

static inline uint16_t dlf_bf16_of_double(double x)
{
    return dlf_bf16_of_float(dlf_float_to_odd(x));
}
#endif
