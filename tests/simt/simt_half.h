/* SPDX-License-Identifier: MIT */
/* What cuda_fp16.h and cuda_bf16.h offer to device code only. Computed in float, rounded once more;
 * the fused multiply-add in double, where neither the product nor, save for far-apart exponents,
 * the sum is rounded. Included by simt.h. */
#ifndef DLF_SIMT_HALF_H
#define DLF_SIMT_HALF_H

/* Mostly one-line definitions, which are easier to read as a table. */
/* clang-format off */

#include "simt_math.h"
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <math.h>

#define SIMT_HALF_FN(name, expression)                                                             \
    inline __half h##name(__half a)                                                                \
    {                                                                                              \
        const float x = __half2float(a);                                                           \
        return __float2half_rn(expression);                                                        \
    }                                                                                              \
    inline __half2 h2##name(__half2 a)                                                             \
    {                                                                                              \
        return __halves2half2(h##name(__low2half(a)), h##name(__high2half(a)));                    \
    }                                                                                              \
    inline __nv_bfloat16 h##name(__nv_bfloat16 a)                                                  \
    {                                                                                              \
        const float x = __bfloat162float(a);                                                       \
        return __float2bfloat16_rn(expression);                                                    \
    }                                                                                              \
    inline __nv_bfloat162 h2##name(__nv_bfloat162 a)                                               \
    {                                                                                              \
        return __halves2bfloat162(h##name(__low2bfloat16(a)), h##name(__high2bfloat16(a)));        \
    }
SIMT_HALF_FN(exp, expf(x))
SIMT_HALF_FN(exp2, exp2f(x))
SIMT_HALF_FN(log, logf(x))
SIMT_HALF_FN(log2, log2f(x))
SIMT_HALF_FN(sqrt, sqrtf(x))
SIMT_HALF_FN(rsqrt, rsqrtf(x))
SIMT_HALF_FN(rcp, 1.0f / x)
SIMT_HALF_FN(tanh, tanhf(x))
SIMT_HALF_FN(sin, sinf(x))
SIMT_HALF_FN(cos, cosf(x))
SIMT_HALF_FN(floor, floorf(x))
SIMT_HALF_FN(ceil, ceilf(x))
SIMT_HALF_FN(trunc, truncf(x))
SIMT_HALF_FN(rint, rintf(x))
#undef SIMT_HALF_FN

inline __half __hfma(__half a, __half b, __half c)
{
    const double product = static_cast<double>(__half2float(a)) * __half2float(b);
    return __double2half(product + __half2float(c));
}
inline __nv_bfloat16 __hfma(__nv_bfloat16 a, __nv_bfloat16 b, __nv_bfloat16 c)
{
    const double product = static_cast<double>(__bfloat162float(a)) * __bfloat162float(b);
    return __double2bfloat16(product + __bfloat162float(c));
}
inline __half2 __hfma2(__half2 a, __half2 b, __half2 c)
{
    return __halves2half2(__hfma(__low2half(a), __low2half(b), __low2half(c)),
                          __hfma(__high2half(a), __high2half(b), __high2half(c)));
}
inline __nv_bfloat162 __hfma2(__nv_bfloat162 a, __nv_bfloat162 b, __nv_bfloat162 c)
{
    return __halves2bfloat162(__hfma(__low2bfloat16(a), __low2bfloat16(b), __low2bfloat16(c)),
                              __hfma(__high2bfloat16(a), __high2bfloat16(b), __high2bfloat16(c)));
}

inline int __half2int_rn(__half a) { return __float2int_rn(__half2float(a)); }
inline int __bfloat162int_rn(__nv_bfloat16 a) { return __float2int_rn(__bfloat162float(a)); }

#endif
