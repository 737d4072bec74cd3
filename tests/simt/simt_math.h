/* SPDX-License-Identifier: MIT */
/* Device functions that a C++ compiler does not know: fast math, directed rounding, bit tricks and
 * what cuda_fp16.h and cuda_bf16.h keep from the host. Included by simt.h. */
#ifndef DLF_SIMT_MATH_H
#define DLF_SIMT_MATH_H

/* Mostly one-line definitions, which are easier to read as a table. */
/* clang-format off */

#include "simt_core.h"
#include <limits.h>
#include <limits>
#include <math.h>
#include <string.h>

/* ---- fast math ----
 * As accurate as libm, so more accurate than the GPU. Macros because glibc declares functions of
 * these reserved names. */
#define __expf(x)          expf(x)
#define __exp10f(x)        exp10f(x)
#define __logf(x)          logf(x)
#define __log2f(x)         log2f(x)
#define __log10f(x)        log10f(x)
#define __sinf(x)          sinf(x)
#define __cosf(x)          cosf(x)
#define __tanf(x)          tanf(x)
#define __tanhf(x)         tanhf(x)
#define __powf(x, y)       powf(x, y)
#define __sincosf(x, s, c) sincosf(x, s, c)

inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
inline float rcbrtf(float x) { return 1.0f / cbrtf(x); }
inline float sinpif(float x) { return static_cast<float>(sin(M_PI * fmod(x, 2.0))); }
inline float cospif(float x) { return static_cast<float>(cos(M_PI * fmod(x, 2.0))); }
inline float normcdff(float x) { return static_cast<float>(0.5 * erfc(-x * M_SQRT1_2)); }
inline double normcdf(double x) { return 0.5 * erfc(-x * M_SQRT1_2); }
inline float fdividef(float x, float y) { return x / y; }
inline float __fdividef(float x, float y) { return x / y; }
inline float __saturatef(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; } /* NaN: 0 */

/* ---- one rounding per operation ----
 * The compiler must not contract these into a fused multiply-add, nor fold them into neighbours. */
#if defined(__x86_64__)
#define SIMT_ROUNDED(x) asm("" : "+x"(x))
#elif defined(__aarch64__)
#define SIMT_ROUNDED(x) asm("" : "+w"(x))
#else
#define SIMT_ROUNDED(x) asm("" : "+m"(x))
#endif
#define SIMT_ROUNDING_OP(T, name, expression)                                                      \
    inline T name(T a, T b)                                                                        \
    {                                                                                              \
        T r = expression;                                                                          \
        SIMT_ROUNDED(r);                                                                           \
        return r;                                                                                  \
    }
SIMT_ROUNDING_OP(float, __fadd_rn, a + b)
SIMT_ROUNDING_OP(float, __fsub_rn, a - b)
SIMT_ROUNDING_OP(float, __fmul_rn, a * b)
SIMT_ROUNDING_OP(float, __fdiv_rn, a / b)
SIMT_ROUNDING_OP(double, __dadd_rn, a + b)
SIMT_ROUNDING_OP(double, __dsub_rn, a - b)
SIMT_ROUNDING_OP(double, __dmul_rn, a * b)
SIMT_ROUNDING_OP(double, __ddiv_rn, a / b)
#undef SIMT_ROUNDING_OP

inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline double __fma_rn(double a, double b, double c) { return fma(a, b, c); }
inline float __frcp_rn(float x) { return __fdiv_rn(1.0f, x); }
inline double __drcp_rn(double x) { return __ddiv_rn(1.0, x); }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline double __dsqrt_rn(double x) { return sqrt(x); }
inline float __frsqrt_rn(float x) { return static_cast<float>(1.0 / sqrt(static_cast<double>(x))); }

/* ---- conversions: saturating and defined for NaN, which a C cast is not ---- */

namespace simt
{
template <class Int, class Real> inline Int saturate(Real x)
{
    /* NaN gives zero, but the top bit alone when one side has 64 bits (PTX ISA, cvt). */
    const bool is_wide = sizeof(Real) == 8 || sizeof(Int) == 8;
    if (isnan(x)) return is_wide ? static_cast<Int>(1ull << (8 * sizeof(Int) - 1)) : 0;
    if (x >= static_cast<Real>(std::numeric_limits<Int>::max()))
        return std::numeric_limits<Int>::max();
    if (x <= static_cast<Real>(std::numeric_limits<Int>::min()))
        return std::numeric_limits<Int>::min();
    return static_cast<Int>(x);
}
template <class To, class From> inline To bit_cast(From from)
{
    static_assert(sizeof(To) == sizeof(From), "bit_cast between sizes");
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}
} // namespace simt

#define SIMT_TO_INTEGER(Real, real, Int, name)                                                     \
    inline Int __##real##2##name##_rn(Real x) { return simt::saturate<Int>(rint(x)); }             \
    inline Int __##real##2##name##_rz(Real x) { return simt::saturate<Int>(trunc(x)); }            \
    inline Int __##real##2##name##_ru(Real x) { return simt::saturate<Int>(ceil(x)); }             \
    inline Int __##real##2##name##_rd(Real x) { return simt::saturate<Int>(floor(x)); }
SIMT_TO_INTEGER(float, float, int, int)
SIMT_TO_INTEGER(float, float, unsigned, uint)
SIMT_TO_INTEGER(float, float, long long, ll)
SIMT_TO_INTEGER(float, float, unsigned long long, ull)
SIMT_TO_INTEGER(double, double, int, int)
SIMT_TO_INTEGER(double, double, unsigned, uint)
SIMT_TO_INTEGER(double, double, long long, ll)
SIMT_TO_INTEGER(double, double, unsigned long long, ull)
#undef SIMT_TO_INTEGER
inline float __int2float_rn(int x) { return static_cast<float>(x); }
inline float __uint2float_rn(unsigned x) { return static_cast<float>(x); }
inline float __ll2float_rn(long long x) { return static_cast<float>(x); }
inline float __ull2float_rn(unsigned long long x) { return static_cast<float>(x); }
inline double __int2double_rn(int x) { return x; }
inline double __uint2double_rn(unsigned x) { return x; }
inline float __double2float_rn(double x) { return static_cast<float>(x); }

inline int __float_as_int(float x) { return simt::bit_cast<int>(x); }
inline unsigned __float_as_uint(float x) { return simt::bit_cast<unsigned>(x); }
inline float __int_as_float(int x) { return simt::bit_cast<float>(x); }
inline float __uint_as_float(unsigned x) { return simt::bit_cast<float>(x); }
inline long long __double_as_longlong(double x) { return simt::bit_cast<long long>(x); }
inline double __longlong_as_double(long long x) { return simt::bit_cast<double>(x); }

/* ---- integers ---- */

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x ? __builtin_clz(static_cast<unsigned>(x)) : 32; }
inline int __clzll(long long x) { return x ? __builtin_clzll(static_cast<unsigned long long>(x)) : 64; }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline unsigned long long __brevll(unsigned long long x)
{
    unsigned long long r = 0;
    for (int i = 0; i < 64; i++) r |= (x >> i & 1) << (63 - i);
    return r;
}
inline unsigned __brev(unsigned x) { return static_cast<unsigned>(__brevll(x) >> 32); }
inline unsigned __umulhi(unsigned a, unsigned b)
{
    return static_cast<unsigned>(static_cast<unsigned long long>(a) * b >> 32);
}
inline int __mulhi(int a, int b) { return static_cast<int>(static_cast<long long>(a) * b >> 32); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b)
{
    return static_cast<unsigned long long>(static_cast<unsigned __int128>(a) * b >> 64);
}
inline long long __mul64hi(long long a, long long b)
{
    return static_cast<long long>(static_cast<__int128>(a) * b >> 64);
}
inline int __mul24(int a, int b)
{
    /* the low 24 bits, sign-extended */
    const long long x = static_cast<int>(static_cast<unsigned>(a) << 8) >> 8;
    const long long y = static_cast<int>(static_cast<unsigned>(b) << 8) >> 8;
    return static_cast<int>(x * y);
}
inline unsigned __umul24(unsigned a, unsigned b) { return (a & 0xffffffu) * (b & 0xffffffu); }
inline unsigned __funnelshift_l(unsigned lo, unsigned hi, unsigned shift)
{
    return static_cast<unsigned>(
        ((static_cast<unsigned long long>(hi) << 32 | lo) << (shift & 31)) >> 32);
}
inline unsigned __funnelshift_r(unsigned lo, unsigned hi, unsigned shift)
{
    return static_cast<unsigned>((static_cast<unsigned long long>(hi) << 32 | lo) >> (shift & 31));
}
/* Each of the four low nibbles of s picks one of eight bytes; its top bit replicates the sign. */
inline unsigned __byte_perm(unsigned x, unsigned y, unsigned s)
{
    const unsigned long long bytes = static_cast<unsigned long long>(y) << 32 | x;
    unsigned r = 0;
    for (int i = 0; i < 4; i++) {
        const unsigned pick = s >> 4 * i & 0xf;
        unsigned byte = bytes >> 8 * (pick & 7) & 0xff;
        if (pick & 8) byte = byte & 0x80 ? 0xff : 0;
        r |= byte << 8 * i;
    }
    return r;
}

/* CUDA has these in the global namespace, for every arithmetic type. */
#define SIMT_MIN_MAX(T)                                                                            \
    inline T min(T a, T b) { return b < a ? b : a; }                                               \
    inline T max(T a, T b) { return a < b ? b : a; }
SIMT_MIN_MAX(int)
SIMT_MIN_MAX(unsigned)
SIMT_MIN_MAX(long)
SIMT_MIN_MAX(unsigned long)
SIMT_MIN_MAX(long long)
SIMT_MIN_MAX(unsigned long long)
#undef SIMT_MIN_MAX
/* For real numbers they are fmin and fmax: one NaN gives the other argument. */
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }

#endif
