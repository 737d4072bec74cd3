/* SPDX-License-Identifier: MIT
 * activation.cuh -- the activation functions and their slopes in float, for kernels/activation.cu
 * and for the epilogues of other kernels. */
#ifndef DLF_ACTIVATION_CUH
#define DLF_ACTIVATION_CUH
#include <math.h>

#include "common.cuh"

static constexpr float dlf_selu_scale = 1.05070098735548049342f;
static constexpr float dlf_selu_alpha = 1.67326324235437728482f;

/* sigmoid and its complement, both with small relative error; no overflow for any x. */
struct dlf_sigmoid_pair {
    float value, complement;
};

static __device__ __forceinline__ dlf_sigmoid_pair dlf_sigmoid_both(float x)
{
    const float e = expf(-fabsf(x)), r = 1.0f / (1.0f + e);
    return x < 0.0f ? dlf_sigmoid_pair{e * r, r} : dlf_sigmoid_pair{r, e * r};
}

static __device__ __forceinline__ float
dlf_gelu_tanh_inner(float x) /* 2 sqrt(2/pi)(x + 0.044715 x^3) */
{
    return x * fmaf(x * x, 0.0713548162726f, 1.59576912160573f);
}

template <int K> static __device__ __forceinline__ float dlf_act_value(float x, float alpha)
{
    if constexpr (K == DLF_SIGMOID) return dlf_sigmoid_both(x).value;
    if constexpr (K == DLF_TANH) return tanhf(x);
    if constexpr (K == DLF_RELU) return 0.0f > x ? 0.0f : x; /* fmaxf would hide a NaN */
    if constexpr (K == DLF_LEAKY_RELU) return x > 0.0f ? x : alpha * x;
    if constexpr (K == DLF_ELU) return x > 0.0f ? x : alpha * expm1f(x);
    if constexpr (K == DLF_SELU)
        return dlf_selu_scale * (x > 0.0f ? x : dlf_selu_alpha * expm1f(x));
    if constexpr (K == DLF_GELU) return x * normcdff(x);
    if constexpr (K == DLF_GELU_TANH) return x * dlf_sigmoid_both(dlf_gelu_tanh_inner(x)).value;
    if constexpr (K == DLF_SILU) return x * dlf_sigmoid_both(x).value;
    if constexpr (K == DLF_SOFTPLUS) return (x > 0.0f ? x : 0.0f) + log1pf(expf(-fabsf(x)));
    return x; /* linear */
}

/* f' at v, which is x for gelu, gelu_tanh and silu, else y = f(x). */
template <int K> static __device__ __forceinline__ float dlf_act_slope(float v, float alpha)
{
    if constexpr (K == DLF_SIGMOID) return v * (1.0f - v);
    if constexpr (K == DLF_TANH) return (1.0f - v) * (1.0f + v);
    if constexpr (K == DLF_RELU) return v > 0.0f ? 1.0f : (v <= 0.0f ? 0.0f : v); /* v: NaN */
    if constexpr (K == DLF_LEAKY_RELU) return v > 0.0f ? 1.0f : (v <= 0.0f ? alpha : v);
    if constexpr (K == DLF_ELU) return v > 0.0f ? 1.0f : v + alpha;
    if constexpr (K == DLF_SELU)
        return v > 0.0f ? dlf_selu_scale : v + dlf_selu_scale * dlf_selu_alpha;
    if constexpr (K == DLF_GELU)
        return fmaf(v, expf(-0.5f * v * v) * 0.398942280401432678f, normcdff(v));
    if constexpr (K == DLF_GELU_TANH) {
        /* Beyond |x| = 16 the sigmoid is 0 or 1 to the last bit; the clamp keeps x^2 finite.
         * v - v is 0, or NaN where the formula has 0 * Inf. */
        const float lo = v < -16.0f ? -16.0f : v, c = 16.0f < lo ? 16.0f : lo;
        const dlf_sigmoid_pair s = dlf_sigmoid_both(dlf_gelu_tanh_inner(c));
        const float du = fmaf(c * c, 0.2140644488178f, 1.59576912160573f);
        return fmaf(c * (s.value * s.complement), du, s.value) + (v - v);
    }
    if constexpr (K == DLF_SILU) {
        const dlf_sigmoid_pair s = dlf_sigmoid_both(v);
        return fmaf(v, s.value * s.complement, s.value);
    }
    if constexpr (K == DLF_SOFTPLUS) return -expm1f(-v);
    return 1.0f; /* linear */
}

/* ---- as an epilogue: y = f(z) inside another kernel -------------------------------------------
 */

/* What an epilogue is compiled for: no activation, relu, or whichever `kind` says. Three, because a
 * kernel for each of the kinds would multiply the kernels of every family by eleven. */
enum { DLF_EPILOGUE_NONE, DLF_EPILOGUE_RELU, DLF_EPILOGUE_ANY };

typedef struct dlf_epilogue {
    int kind; /* dlf_activation_kind */
    float alpha;
} dlf_epilogue;

static inline dlf_epilogue dlf_epilogue_of(dlf_activation f)
{
    return dlf_epilogue{(int)f.kind, (float)f.alpha};
}

static inline int dlf_epilogue_case(dlf_activation f)
{
    return f.kind == DLF_LINEAR ? DLF_EPILOGUE_NONE
           : f.kind == DLF_RELU ? DLF_EPILOGUE_RELU
                                : DLF_EPILOGUE_ANY;
}

/* f(z) of whichever kind, called: eleven functions inlined for each element of a thread would be
 * most of a kernel, and nvcc would take minutes. Every thread of a warp takes the same branch. A
 * template only so that a file that does not use it does not have it. */
template <int E>
static __device__ __noinline__ float dlf_epilogue_any_value(float z, dlf_epilogue f)
{
    static_assert(E == DLF_EPILOGUE_ANY, "the other two are inlined");
    switch (f.kind) {
#define X(name, text)                                                                              \
    case DLF_##name: return dlf_act_value<DLF_##name>(z, f.alpha);
        DLF_ACTIVATION_MAP(X)
#undef X
    }
    return z;
}

/* f(z) */
template <int E> static __device__ __forceinline__ float dlf_epilogue_value(float z, dlf_epilogue f)
{
    if constexpr (E == DLF_EPILOGUE_NONE)
        return z;
    else if constexpr (E == DLF_EPILOGUE_RELU)
        return dlf_act_value<DLF_RELU>(z, 0.0f);
    else
        return dlf_epilogue_any_value<E>(z, f);
}

/* f'(z) from z itself, also for the kinds whose backward op reads y. */
template <int K> static __device__ __forceinline__ float dlf_act_slope_at(float z, float alpha)
{
    constexpr bool from_z = K == DLF_GELU || K == DLF_GELU_TANH || K == DLF_SILU || K == DLF_RELU ||
                            K == DLF_LEAKY_RELU || K == DLF_LINEAR;
    return dlf_act_slope<K>(from_z ? z : dlf_act_value<K>(z, alpha), alpha);
}

template <int E>
static __device__ __noinline__ float dlf_epilogue_any_slope(float z, dlf_epilogue f)
{
    static_assert(E == DLF_EPILOGUE_ANY, "the other two are inlined");
    switch (f.kind) {
#define X(name, text)                                                                              \
    case DLF_##name: return dlf_act_slope_at<DLF_##name>(z, f.alpha);
        DLF_ACTIVATION_MAP(X)
#undef X
    }
    return 1.0f;
}

template <int E> static __device__ __forceinline__ float dlf_epilogue_slope(float z, dlf_epilogue f)
{
    if constexpr (E == DLF_EPILOGUE_NONE)
        return 1.0f;
    else if constexpr (E == DLF_EPILOGUE_RELU)
        return dlf_act_slope<DLF_RELU>(z, 0.0f);
    else
        return dlf_epilogue_any_slope<E>(z, f);
}
#endif
