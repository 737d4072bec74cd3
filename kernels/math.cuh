/* SPDX-License-Identifier: MIT
 * math.cuh -- what the elementwise and reduction kernels share: 16-byte access, grids, scratch
 * memory and block reductions in a fixed order. */
#ifndef DLF_MATH_CUH
#define DLF_MATH_CUH
#include <math.h>

#include "common.cuh"

enum {
    DLF_BLOCK = 256,
    DLF_GRID_YZ = 65535 /* largest grid in y and z; kernels stride over what is beyond */
};

static inline unsigned dlf_grid_yz(int64_t n)
{
    return (unsigned)(n < (int64_t)DLF_GRID_YZ ? n : (int64_t)DLF_GRID_YZ);
}

/* Blocks in x for `n` items at `per_block`, at most four rounds of what the device of `t` can hold
 * at once (8 blocks per multiprocessor); kernels stride over what is beyond. */
static inline unsigned dlf_grid_x(const dlf_tensor *t, int64_t n, int64_t per_block)
{
    const int64_t blocks = dlf_ceil_div(n, per_block);
    const int64_t cap = 32 * (int64_t)(t->device->info.threads > 0 ? t->device->info.threads : 1);
    return (unsigned)(blocks < cap ? blocks : cap);
}

/* May each of `members` members be accessed 16 bytes at a time? */
static inline bool dlf_aligned16(const dlf_tensor *t, int64_t members)
{
    return (uintptr_t)t->data % 16 == 0 &&
           (members == 1 || t->stride * (int64_t)dlf_dtype_size(t->dtype) % 16 == 0);
}

/* A tensor as kernels see it. */
template <class T> struct dlf_view {
    T *data;
    int64_t stride;
    __device__ __forceinline__ T *member(int64_t p) const { return data + p * stride; }
};

template <class T> static inline dlf_view<T> dlf_view_of(const dlf_tensor *t)
{
    return dlf_view<T>{t ? static_cast<T *>(t->data) : nullptr, t ? t->stride : 0};
}

/* i / by for i, by >= 0, in 32 bits where they suffice: a third of the time. */
static __device__ __forceinline__ int64_t dlf_divide(int64_t i, int64_t by)
{
    if (((i | by) >> 32) == 0) return (uint32_t)i / (uint32_t)by;
    return i / by;
}

/* *place = sum + beta *place; with beta = 0 what was there is not read. */
static __device__ __forceinline__ void dlf_store_sum(float *place, double sum, double beta)
{
    *place = (float)(beta == 0.0 ? sum : sum + beta * (double)*place);
}

/* Device memory for the partial results of one launch. Work on a device is one stream in order, so
 * the memory may go back to the allocator as soon as the reader is queued. */
static inline dlf_status dlf_scratch(const dlf_tensor *t, void **out, size_t bytes)
{
    return t->device->backend->alloc(t->device, out, bytes);
}

static inline void dlf_scratch_done(const dlf_tensor *t, void *p, size_t bytes)
{
    t->device->backend->release(t->device, p, bytes);
}

/* Sum over a block of DLF_BLOCK threads, valid in thread 0. The order is fixed: butterfly in a
 * warp, then the warps in order. All threads must call it. */
template <class T> static __device__ __forceinline__ T dlf_block_sum(T v)
{
    DLF_SHARED(T, warps, [DLF_BLOCK / DLF_WARP]);
    const int warp = (int)threadIdx.x / DLF_WARP, lane = (int)threadIdx.x % DLF_WARP;
    v = dlf_warp_sum(v);
    __syncthreads(); /* the array may still be read from the reduction before */
    if (lane == 0) warps[warp] = v;
    __syncthreads();
    if (threadIdx.x == 0)
        for (int i = 1; i < DLF_BLOCK / DLF_WARP; i++) v += warps[i];
    return v;
}

template <class T> static __device__ __forceinline__ T dlf_block_max_nan(T v)
{
    DLF_SHARED(T, warps, [DLF_BLOCK / DLF_WARP]);
    const int warp = (int)threadIdx.x / DLF_WARP, lane = (int)threadIdx.x % DLF_WARP;
    v = dlf_warp_max_nan(v);
    __syncthreads();
    if (lane == 0) warps[warp] = v;
    __syncthreads();
    if (threadIdx.x == 0)
        for (int i = 1; i < DLF_BLOCK / DLF_WARP; i++) v = dlf_max_nan(v, warps[i]);
    return v;
}
#endif
