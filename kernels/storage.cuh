/* SPDX-License-Identifier: MIT
 * storage.cuh -- float, half and bfloat16 arrays as floats, one element or 16 bytes at a time. */
#ifndef DLF_STORAGE_CUH
#define DLF_STORAGE_CUH
#include "math.cuh"
#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

static __device__ __forceinline__ float dlf_to_float(float x)
{
    return x;
}
static __device__ __forceinline__ float dlf_to_float(__half x)
{
    return __half2float(x);
}
static __device__ __forceinline__ float dlf_to_float(__nv_bfloat16 x)
{
    return __bfloat162float(x);
}

template <class T> static __device__ __forceinline__ T dlf_of_float(float x);
template <> __device__ __forceinline__ float dlf_of_float<float>(float x)
{
    return x;
}
template <> __device__ __forceinline__ __half dlf_of_float<__half>(float x)
{
    return __float2half_rn(x);
}
template <> __device__ __forceinline__ __nv_bfloat16 dlf_of_float<__nv_bfloat16>(float x)
{
    return __float2bfloat16_rn(x);
}

/* Elements in 16 bytes. */
template <class T> constexpr int dlf_vector = 16 / (int)sizeof(T);

/* V = dlf_vector<T>: one 16-byte access; `p` is aligned to it. V = 1: one element. Nothing else. */
template <int V, class T> static __device__ __forceinline__ void dlf_load(float (&v)[V], const T *p)
{
    static_assert(V == 1 || V == dlf_vector<T>, "one element or 16 bytes");
    if constexpr (V == 1) {
        v[0] = dlf_to_float(*p);
    } else {
        DLF_ALIGNED(p, 16);
        const uint4 raw = *reinterpret_cast<const uint4 *>(p);
        T t[V];
        memcpy(static_cast<void *>(t), &raw, sizeof raw);
#pragma unroll
        for (int i = 0; i < V; i++) v[i] = dlf_to_float(t[i]);
    }
}

template <int V, class T>
static __device__ __forceinline__ void dlf_store(T *p, const float (&v)[V])
{
    static_assert(V == 1 || V == dlf_vector<T>, "one element or 16 bytes");
    if constexpr (V == 1) {
        *p = dlf_of_float<T>(v[0]);
    } else {
        T t[V];
#pragma unroll
        for (int i = 0; i < V; i++) t[i] = dlf_of_float<T>(v[i]);
        uint4 raw;
        memcpy(&raw, t, sizeof raw);
        DLF_ALIGNED(p, 16);
        *reinterpret_cast<uint4 *>(p) = raw;
    }
}

/* May every row of `length` elements in each member be read 16 bytes at a time? NULL: yes. */
static inline bool dlf_rows_aligned(const dlf_tensor *t, int64_t length)
{
    return !t ||
           (length * (int64_t)dlf_dtype_size(t->dtype) % 16 == 0 && dlf_aligned16(t, t->shape[0]));
}

/* launch(T()) with the element type of `t`. */
template <class F> static inline dlf_status dlf_with_storage(const dlf_tensor *t, F launch)
{
    switch (t->dtype) {
    case DLF_F16: return launch(__half());
    case DLF_BF16: return launch(__nv_bfloat16());
    default: return launch(float());
    }
}
#endif
