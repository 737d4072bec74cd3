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
 *   vm_softplus 2.9     vm_normal cdf 6.0, pdf 1.3     vm_gelu 6.3
 *
 * Polynomials are minimax fits (Remez exchange, 120-bit arithmetic) of relative error. */
#ifndef DLF_CPU_MATH_H
#define DLF_CPU_MATH_H
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "dlf/half.h"

#define VM_LOG2E  1.44269504088896340736f
#define VM_LN2_HI 0.693145751953125f /* 16 bits, so that n * VM_LN2_HI is exact */
#define VM_LN2_LO 1.42860682030941723212e-6f

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
    return (vm_reduced){r, dlf_float_of_bits(dlf_bits_of_float(t) << 23)};
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

/* m / (m + 2) with m = e^(-2|x|) - 1: vm_expm1_nonpos of -2|x|, with the factor -2 inside the
 * constants. */
static inline float vm_tanh(float x)
{
    const float limit = 20.0f, magic = 12582912.0f + 128.0f;
    const float a = limit < fabsf(x) ? limit : fabsf(x);
    const float t = fmaf(a, -2.0f * VM_LOG2E, magic); /* as in vm_reduce */
    const float n = t - magic;
    const float h = fmaf(n, 0.5f * VM_LN2_LO, fmaf(n, 0.5f * VM_LN2_HI, a));
    const float twice = dlf_float_of_bits(dlf_bits_of_float(t) << 23); /* 2^(n+1) */
    float p = 64.0f * 0.000198459581329f;
    p = fmaf(p, h, -32.0f * 0.0013941652492f);
    p = fmaf(p, h, 16.0f * 0.00833339163722f);
    p = fmaf(p, h, -8.0f * 0.0416663487105f);
    p = fmaf(p, h, 4.0f * 0.166666663524f);
    p = fmaf(p, h, -2.0f * 0.500000004682f);
    const float w = fmaf(p, h * h, h);
    const float m = fmaf(-w, twice, fmaf(twice, 0.5f, -1.0f));
    return copysignf(m / (m + 2.0f), x);
}

static inline float vm_softplus(float x)
{
    const float e = vm_exp_nonpos(-fabsf(x));
    return (x > 0.0f ? x : 0.0f) + vm_log1p_01(e); /* a NaN is still in e */
}

/* The left tail of N(0,1), with small relative error however far out: for 0 <= a <= VM_TAIL_END
 * Phi(-a) = pdf(a) N(a)/D(a), where N and D have degrees 4 and 5, leading coefficient 1 and no
 * negative one: nothing cancels. pdf is 2^64 times the density and ratio 2^-64 N/D, so that only
 * their product may be denormal; powers of two go into exponents as integers, beside the
 * multiplications that take the time. The square enters the exponent unrounded, or its rounding
 * would be multiplied by a^2/2. */
#define VM_TAIL_END 14.42f                /* there Phi(-a) and its product with a round to 0 */
#define VM_PDF_0    0.398942280401432678f /* 1 / sqrt(2 pi) */

typedef struct vm_tail {
    float pdf, ratio;
} vm_tail;

/* min(|x|, VM_TAIL_END), by the bits: of floats gcc makes two arms and folds the rest into them. A
 * NaN becomes VM_TAIL_END and has to come through elsewhere. */
static inline float vm_tail_clamp(float x)
{
    const int32_t bits = (int32_t)(dlf_bits_of_float(x) & 0x7fffffffu);
    const int32_t end = (int32_t)dlf_bits_of_float(VM_TAIL_END);
    return dlf_float_of_bits((uint32_t)(bits < end ? bits : end));
}

static inline vm_tail vm_normal_tail(float a)
{
    const float magic = 12582912.0f + 64.0f;
    const float t = fmaf(a * a, -0.5f * VM_LOG2E, magic); /* as in vm_reduce */
    const float n = t - magic;
    /* s = a^2 + 2 n ln2; p(s) = e^(-s/2) / sqrt(2 pi), by the polynomial of vm_exp_reduced */
    const float s = fmaf(n, 2.0f * VM_LN2_LO, fmaf(a, a, n * (2.0f * VM_LN2_HI)));
    float p = VM_PDF_0 * (0.00138131422638f / 64.0f);
    p = fmaf(p, s, VM_PDF_0 * (-0.00836941880236f / 32.0f));
    p = fmaf(p, s, VM_PDF_0 * (0.0416684568195f / 16.0f));
    p = fmaf(p, s, VM_PDF_0 * (-0.166665147919f / 8.0f));
    p = fmaf(p, s, VM_PDF_0 * (0.499999930507f / 4.0f));
    p = fmaf(p, s, VM_PDF_0 * -0.5f);
    p = fmaf(p, s, VM_PDF_0);
    float over = fmaf(a, 0x1p-64f, 0x1p-64f * 9.37673332678f), under = a + 9.37683297819f;
    over = fmaf(over, a, 0x1p-64f * 40.7077691326f);
    over = fmaf(over, a, 0x1p-64f * 94.2610724629f);
    over = fmaf(over, a, 0x1p-64f * 103.089089949f);
    under = fmaf(under, a, 41.7032410694f);
    under = fmaf(under, a, 103.725111509f);
    under = fmaf(under, a, 140.838094241f);
    under = fmaf(under, a, 82.2531919383f);
    return (vm_tail){dlf_float_of_bits(dlf_bits_of_float(p) + (dlf_bits_of_float(t) << 23)),
                     over / under};
}

/* Cumulative distribution and density of N(0,1); not of a NaN. */
typedef struct vm_normal_at {
    float cdf, pdf;
} vm_normal_at;

static inline vm_normal_at vm_normal(float x)
{
    const vm_tail t = vm_normal_tail(vm_tail_clamp(x));
    const float tail = t.pdf * t.ratio;
    return (vm_normal_at){x > 0.0f ? 1.0f - tail : tail, t.pdf * 0x1p-64f};
}

/* x Phi(x) as max(x, 0) - a Phi(-a). x - x is 0, or NaN: of a NaN, and of -Inf, where the
 * formula reads -Inf * 0. */
static inline float vm_gelu(float x)
{
    const float a = vm_tail_clamp(x);
    const vm_tail t = vm_normal_tail(a);
    return fmaf(-t.ratio, a * t.pdf, x > 0.0f ? x : x - x);
}
#endif
