/* SPDX-License-Identifier: MIT */
/* CUDA device code under a plain C++ compiler: the spelling. kernels/launch.cuh includes this when
 * the compiler is not nvcc; nothing else should. What it models and what not: README.md. */
#ifndef DLF_SIMT_H
#define DLF_SIMT_H

/* Mostly one-line definitions, which are easier to read as a table. */
/* clang-format off */

#if defined(__CUDACC__)
#error "simt.h is for the CPU test bed; under nvcc include only launch.cuh"
#endif
#if defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__
#error "-ffast-math deletes NaN, and NaN is how the test bed shows reads before writes"
#endif

/* Everything that may look at the macros below has to be read before they exist; <memory> because
 * libstdc++ spells an attribute __noinline__. */
#include "simt_api.h"
#include "simt_core.h"
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <math.h>
#include <memory>
#include <stdio.h>
#include <string.h>

#undef __global__
#undef __device__
#undef __host__
#undef __constant__
#undef __shared__
#undef __managed__
#undef __forceinline__
#undef __noinline__
#undef __launch_bounds__
#undef __grid_constant__
#undef __align__
#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline
#define __noinline__    __attribute__((noinline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))
/* A raw shared array would be a plain variable here, with no red zone and no NaN in it. */
#define __shared__ static_assert(false, "declare shared memory with DLF_SHARED or DLF_DYN_SHARED");

#define threadIdx (::simt::self->index)
#define blockIdx  (::simt::block->index)
#define blockDim  (::simt::block->dim)
#define gridDim   (::simt::block->grid)
static constexpr int warpSize = 32; /* not a macro: cudaDeviceProp has a member of this name */

/* Macros only because of __COUNTER__: it tells two barriers on the same line apart. */
#define SIMT_BARRIER_SITE      (::simt::Site{__FILE__, __LINE__, __COUNTER__ + 1u})
#define __syncthreads()        ::simt::syncthreads(SIMT_BARRIER_SITE)
#define __syncthreads_count(p) ::simt::syncthreads_vote((p), ::simt::Vote::count, SIMT_BARRIER_SITE)
#define __syncthreads_and(p)   ::simt::syncthreads_vote((p), ::simt::Vote::all, SIMT_BARRIER_SITE)
#define __syncthreads_or(p)    ::simt::syncthreads_vote((p), ::simt::Vote::any, SIMT_BARRIER_SITE)

#include "simt_atomic.h"
#include "simt_half.h"
#include "simt_math.h"
#include "simt_warp.h"

/* ---- fences, cached loads and stores ---- */

inline void __threadfence() { simt::threadfence(); }
inline void __threadfence_block() { simt::threadfence(); }
inline void __threadfence_system() { simt::threadfence(); }
/* The one place where a thread that spins on shared memory lets the others of its block run. */
inline void __nanosleep(unsigned, simt::Site site = simt::Site::here()) { simt::yield(site); }
inline void __trap(simt::Site site = simt::Site::here()) { simt::fail(site, "__trap()"); }

#define SIMT_CACHED_LOAD(name)                                                                     \
    template <class T> inline T name(const T *p) { return *p; }
SIMT_CACHED_LOAD(__ldg)
SIMT_CACHED_LOAD(__ldca)
SIMT_CACHED_LOAD(__ldcg)
SIMT_CACHED_LOAD(__ldcs)
SIMT_CACHED_LOAD(__ldcv)
SIMT_CACHED_LOAD(__ldlu)
#undef SIMT_CACHED_LOAD

#define SIMT_CACHED_STORE(name)                                                                    \
    template <class T> inline void name(T *p, T value) { *p = value; }
SIMT_CACHED_STORE(__stwb)
SIMT_CACHED_STORE(__stwt)
SIMT_CACHED_STORE(__stcg)
SIMT_CACHED_STORE(__stcs)
#undef SIMT_CACHED_STORE

#endif
