/* SPDX-License-Identifier: MIT */
/* The only place that spells kernel launches and shared memory.
 *
 * The same .cu file is compiled twice: by nvcc for a GPU, and by g++ -x c++ for the CPU test bed in
 * tests/simt, which has no other way to see a launch or a shared array than through these names.
 * Kernels and their launchers include this header and no other CUDA header.
 *
 *   DLF_SHARED(float, tile, [32][33]);      static shared array
 *   DLF_SHARED(int, is_last, );             static shared scalar (note the empty third argument)
 *   DLF_DYN_SHARED(float, scratch);         float *scratch = the dynamic shared memory
 *
 *   cudaError_t err = DLF_LAUNCH(kernel, grid, block, smem_bytes, stream, args...);
 *   cudaError_t err = DLF_LAUNCH((kernel<float, 4>), dim3(8, 2), 256, 0, stream, args...);
 *
 * DLF_LAUNCH converts every argument to the kernel's parameter type (a void * may be passed for a
 * const float *), raises the dynamic shared memory limit when it has to, does not wait, and
 * returns what cudaGetLastError() says, which also clears it. A kernel name with a comma in it goes
 * in parentheses. Static shared arrays start at a multiple of 16 bytes, whatever their type (so
 * that they take vector accesses and cp.async), dynamic shared memory at a multiple of 128.
 *
 * dlf_launch is static because structs of kernel arguments bear short names: two files with a struct
 * of the same name would otherwise share one instance, and with it one of the two layouts.
 *
 *   DLF_ALIGNED(p, bytes);    the test bed stops when p is not a multiple of that; nothing on a GPU,
 *                             which stops by itself. x86 would load from anywhere.
 */
#ifndef DLF_KERNELS_LAUNCH_CUH
#define DLF_KERNELS_LAUNCH_CUH

#include <stddef.h>
#include <stdint.h>

#if defined(__CUDACC__)
#include <cuda_runtime.h>
#else
#include "simt.h" /* tests/simt must be on the include path */

#include <type_traits>
#endif

#define DLF_DYN_SHARED_ALIGN 128

/* A kernel may use this much dynamic shared memory without asking for it first. */
#define DLF_SMEM_WITHOUT_OPT_IN ((size_t)48 << 10)

#if defined(__CUDACC__)

#define DLF_SHARED(T, name, ...) __shared__ __align__(16) T name __VA_ARGS__

/* All declarations of an extern shared array in one file name the same memory and must agree in
 * type, hence bytes and a cast. */
#define DLF_DYN_SHARED(T, name)                                                                    \
    extern __shared__ __align__(DLF_DYN_SHARED_ALIGN)                                              \
    unsigned char dlf_dyn_shared_[];                                                               \
    T *name = reinterpret_cast<T *>(dlf_dyn_shared_)

template <class... P, class... A>
static inline cudaError_t dlf_launch(const char *, void (*kernel)(P...), dim3 grid, dim3 block,
                              size_t smem, cudaStream_t stream, A... args)
{
    static_assert(sizeof...(P) == sizeof...(A), "DLF_LAUNCH: wrong number of kernel arguments");
    if (smem > DLF_SMEM_WITHOUT_OPT_IN) {
        const cudaError_t err = cudaFuncSetAttribute(
            kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(smem));
        if (err != cudaSuccess) {
            (void)cudaGetLastError(); /* or the next, innocent call reports it */
            return err;
        }
    }
    kernel<<<grid, block, smem, stream>>>(static_cast<P>(args)...);
    return cudaGetLastError();
}

#else

/* A declaration is found again by the address of a key that belongs to this very declaration (and,
 * in a template, to this very instance). */
#define DLF_SHARED(T, name, ...)                                                                   \
    typedef T dlf_type_of_##name __VA_ARGS__;                                                      \
    static const char dlf_key_of_##name = 0;                                                       \
    dlf_type_of_##name &name = *static_cast<dlf_type_of_##name *>(::simt::shared_static(           \
        &dlf_key_of_##name, sizeof(dlf_type_of_##name), alignof(dlf_type_of_##name), #name,        \
        ::simt::Site{__FILE__, __LINE__, 0}))

#define DLF_DYN_SHARED(T, name) T *name = static_cast<T *>(::simt::shared_dynamic())

template <class... P, class... A>
static inline cudaError_t dlf_launch(const char *name, void (*kernel)(P...), dim3 grid, dim3 block,
                              size_t smem, cudaStream_t stream, A... args)
{
    static_assert(sizeof...(P) == sizeof...(A), "DLF_LAUNCH: wrong number of kernel arguments");
    auto thread = [=] { kernel(static_cast<P>(args)...); };
    static_assert(std::is_trivially_copyable<decltype(thread)>::value,
                  "DLF_LAUNCH: arguments are copied as bytes");
    simt::launch(
        simt::LaunchConfig{name, grid, block, smem, stream},
        [](void *closure) { (*static_cast<decltype(thread) *>(closure))(); }, &thread,
        sizeof thread);
    return cudaGetLastError();
}

#endif

#if defined(__CUDACC__)
#define DLF_ALIGNED(p, bytes) ((void)0)
#else
#define DLF_ALIGNED(p, bytes)                                                                      \
    ::simt::check_aligned((p), (bytes), ::simt::Site { __FILE__, __LINE__, 0 })
#endif

/* The stream is the first of the variable arguments, so that a kernel without parameters works. */
#define DLF_LAUNCH(kernel, grid, block, smem_bytes, ...)                                           \
    dlf_launch(#kernel, kernel, grid, block, smem_bytes, __VA_ARGS__)

#endif
