/* SPDX-License-Identifier: MIT
 * cpu_math.h -- float exp, expm1, log1p, sigmoid, tanh and the normal distribution as straight-line
 * code: no branch, no table, no call, so that gcc turns a loop over them into SIMD code.
 *
 * Every multiply-add is an explicit fmaf, hence the bits are the same at every SIMD level (v1 calls
 * libm's fmaf: the same numbers, slowly). Clamps are written `limit < x ? limit : x`, which lets a
 * NaN through, and powers of two are multiplied in as floats, which does too; adding n to the
 * exponent bits of a NaN would not. Results down to the smallest denormal are rounded once.
 *
 * Largest error seen over every seventh float of the domain, against double, in units of the last
 * place (denormal results: of the smallest normal):
 *
 *   vm_exp_nonpos 0.9   vm_expm1_nonpos 0.9   vm_log1p_01 2.0   vm_sigmoid 2.5   vm_tanh 2.5
 *   vm_softplus 2.9     vm_normal cdf 5.3, pdf 2.1
 *
 * Polynomials are minimax fits (Remez exchange, 120-bit arithmetic) of relative error. */
#ifndef DLF_CPU_MATH_H
#define DLF_CPU_MATH_H
#include <math.h>
#include <stdint.h>
#include <string.h>

#define VM_LOG2E  1.44269504088896340736f
#define VM_LN2_HI 0.693145751953125f /* 16 bits, so that n * VM_LN2_HI is exact */
#define VM_LN2_LO 1.42860682030941723212e-6f

static inline float vm_float_of_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline uint32_t vm_bits_of_float(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

/* x = n ln2 + r with |r| <= ln2/2. Adding 1.5 2^23 rounds x/ln2 to an integer n that then sits in
 * the low bits of the sum; `bias` is added on the way, so that these bits, moved into the exponent
 * field, read 2^(n+bias-127). */
typedef struct vm_reduced {
    float r, scale;
} vm_reduced;

static inline vm_reduced vm_reduce(float x, float bias)
{
    const float magic = 12582912.0f + bias;
    const float t = fmaf(x, VM_LOG2E, magic);
    const float n = t - magic;
    const float r = fmaf(n, -VM_LN2_LO, fmaf(n, -VM_LN2_HI, x));
    return (vm_reduced){r, vm_float_of_bits(vm_bits_of_float(t) << 23)};
}

/* e^r for |r| <= ln2/2, relative error 2^-28. */
static inline float vm_exp_reduced(float r)
{
    float p = 0.00138131422638f;
    p = fmaf(p, r, 0.00836941880236f);
    p = fmaf(p, r, 0.0416684568195f);
    p = fmaf(p, r, 0.166665147919f);
    p = fmaf(p, r, 0.499999930507f);
    p = fmaf(p, r, 1.0f);
    return fmaf(p, r, 1.0f);
}

/* e^x, x <= 0. Scaled up by 2^64 until the last product, which rounds a denormal result once. */
static inline float vm_exp_nonpos(float x)
{
    const vm_reduced d = vm_reduce(x < -104.0f ? -104.0f : x, 127.0f + 64.0f);
    return vm_exp_reduced(d.r) * d.scale * 0x1p-64f;
}

/* e^x - 1, x <= 0: 2^n (e^r - 1) + (2^n - 1), where no cancellation loses bits. */
static inline float vm_expm1_nonpos(float x)
{
    const vm_reduced d = vm_reduce(x < -40.0f ? -40.0f : x, 127.0f);
    float p = 0.000198459581329f;
    p = fmaf(p, d.r, 0.0013941652492f);
    p = fmaf(p, d.r, 0.00833339163722f);
    p = fmaf(p, d.r, 0.0416663487105f);
    p = fmaf(p, d.r, 0.166666663524f);
    p = fmaf(p, d.r, 0.500000004682f);
    p = fmaf(p, d.r * d.r, d.r);
    return fmaf(p, d.scale, d.scale - 1.0f);
}

/* log(1+e), 0 <= e <= 1: 2 atanh(h/2) with h = 2e/(2+e). */
static inline float vm_log1p_01(float e)
{
    const float h = e / fmaf(0.5f, e, 1.0f);
    const float u = h * h;
    float q = 0.000547109175381f;
    q = fmaf(q, u, 0.00218764098437f);
    q = fmaf(q, u, 0.012506727277f);
    q = fmaf(q, u, 0.0833330203559f);
    return fmaf(q * u, h, h);
}

/* sigmoid(x) and 1 - sigmoid(x), each with small relative error:
 *   1/(1+e^-x) = 2^-64 / (2^-64 + 2^-64 e^-x): nothing overflows before the division.
 * Beyond x = 40 the sigmoid is 1, below -104 it is 0; the complement stops falling at x = 40. */
typedef struct vm_sigmoid_pair {
    float value, complement;
} vm_sigmoid_pair;

/* For -104 <= x <= 40, or NaN. */
static inline vm_sigmoid_pair vm_sigmoid_within(float x)
{
    const vm_reduced d = vm_reduce(-x, 127.0f - 64.0f);
    const float e = vm_exp_reduced(d.r) * d.scale;
    const float r = 1.0f / (e + 0x1p-64f);
    return (vm_sigmoid_pair){0x1p-64f * r, e * r};
}

static inline float vm_sigmoid_clamp(float x)
{
    const float a = x < -104.0f ? -104.0f : x;
    return 40.0f < a ? 40.0f : a;
}

static inline vm_sigmoid_pair vm_sigmoid_both(float x)
{
    return vm_sigmoid_within(vm_sigmoid_clamp(x));
}

static inline float vm_sigmoid(float x)
{
    return vm_sigmoid_both(x).value;
}

static inline float vm_tanh(float x)
{
    const float m = vm_expm1_nonpos(-2.0f * fabsf(x));
    return copysignf(m / (m + 2.0f), x);
}

static inline float vm_softplus(float x)
{
    const float e = vm_exp_nonpos(-fabsf(x));
    return (x > 0.0f ? x : 0.0f) + vm_log1p_01(e); /* a NaN is still in e */
}

/* Cumulative distribution and density of N(0,1), with small relative error also far out in the left
 * tail: Phi(-a) = e^(-a^2/2) M(a), where (a+3) M(a) is a polynomial in (a-3)/(a+3). The square is
 * carried in two floats, or its rounding would be multiplied by a^2/2. */
typedef struct vm_normal_at {
    float cdf, pdf;
} vm_normal_at;

static inline vm_normal_at vm_normal(float x)
{
    const float ax = fabsf(x);
    const float a = 14.42f < ax ? 14.42f : ax; /* there both round to 0 */
    const float square = a * a;
    const float square_lo = fmaf(a, a, -square);
    const vm_reduced d = vm_reduce(-0.5f * square, 127.0f + 64.0f);
    const float e = vm_exp_reduced(fmaf(-0.5f, square_lo, d.r)) * d.scale; /* 2^64 e^(-a^2/2) */
    const float w = 1.0f / (a + 3.0f);
    const float q = (a - 3.0f) * w;
    float m = 5.44456812678e-05f;
    m = fmaf(m, q, 0.000131232761791f);
    m = fmaf(m, q, -0.000244761488249f);
    m = fmaf(m, q, -0.00103251046225f);
    m = fmaf(m, q, 0.00102479232453f);
    m = fmaf(m, q, 0.00696929977309f);
    m = fmaf(m, q, -0.0104625224109f);
    m = fmaf(m, q, -0.047262687486f);
    m = fmaf(m, q, 0.230017700104f);
    m = fmaf(m, q, -0.509331991407f);
    m = fmaf(m, q, 0.729083690369f);
    const float tail = e * (m * w) * 0x1p-64f;
    return (vm_normal_at){x > 0.0f ? 1.0f - tail : tail, e * 0.398942280401432678f * 0x1p-64f};
}
#endif
