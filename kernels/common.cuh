/* SPDX-License-Identifier: MIT
 * common.cuh -- what every .cu file needs: launches, the launch check, tensor accessors, warp and
 * block reductions. Compiles with nvcc and, for the CPU test bed, with g++ (see launch.cuh). */
#ifndef DLF_COMMON_CUH
#define DLF_COMMON_CUH
#include "dlf/backend.h"
#include "launch.cuh"

enum { DLF_WARP = 32 };

static inline int64_t dlf_ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

static inline cudaStream_t dlf_stream_of(const dlf_tensor *t)
{
    return (cudaStream_t)dlf_cuda_stream(t->device);
}

/* Turn the result of DLF_LAUNCH into a status with a sentence. Does not wait. */
static inline dlf_status dlf_launched(cudaError_t error, const char *op)
{
    if (error == cudaSuccess) return DLF_OK;
    return dlf_fail(DLF_ERR_DEVICE, "%s: launch failed: %s", op, cudaGetErrorString(error));
}

template <class T> static __device__ __forceinline__ T dlf_warp_sum(T v)
{
    for (int d = DLF_WARP / 2; d > 0; d /= 2) v += __shfl_xor_sync(0xffffffffu, v, d);
    return v;
}

/* The larger of two magnitudes; NaN wins (fmaxf would drop it). */
template <class T> static __device__ __forceinline__ T dlf_max_nan(T a, T b)
{
    return (a > b || a != a) ? a : b;
}

template <class T> static __device__ __forceinline__ T dlf_warp_max_nan(T v)
{
    for (int d = DLF_WARP / 2; d > 0; d /= 2)
        v = dlf_max_nan(v, __shfl_xor_sync(0xffffffffu, v, d));
    return v;
}
#endif
