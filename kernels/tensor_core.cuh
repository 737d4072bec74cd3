/* SPDX-License-Identifier: MIT */
/* The machine instructions that C++ cannot express: cp.async, ldmatrix and mma.sync, each with a
 * GPU body here and a CPU body in the test bed. Kernels contain no inline assembly of their own.
 *
 * They are used from sm_80 on. Below that, cp.async becomes an ordinary copy and the others trap: a
 * launcher must not choose such a kernel there (DLF_HAVE_MMA tells device code at compile time).
 *
 *   dlf_cp_async<16>(smem, gmem)              4, 8 or 16 bytes, both addresses aligned to as much
 *   dlf_cp_async_zfill<16>(smem, gmem, n)     copies n <= 16 bytes, sets the others to zero
 *   dlf_cp_async_commit()                     closes a group of copies of this thread
 *   dlf_cp_async_wait<N>()                    until at most N of this thread's groups are open;
 *                                             other threads see the data after a barrier
 *   dlf_ldmatrix_x4(r, row)                   four 8x8 matrices of 16-bit elements; lane l gives
 *   dlf_ldmatrix_x4_trans(r, row)             the address of row l % 8 of matrix l / 8
 *   dlf_mma_bf16(c, a, b)                     c += a b, 16x8 += 16x16 16x8, fp32 accumulators
 *   dlf_mma_f16(c, a, b)
 *   dlf_mma_tf32(c, a, b)                     16x8 += 16x8 8x8; operands from dlf_to_tf32()
 *
 * Warp operations need all 32 lanes. Fragments (g = lane / 4, t = lane % 4), as in the PTX ISA:
 *   c[i]   row g + 8 (i / 2), column 2 t + i % 2
 *   16-bit: a[i] row g + 8 (i % 2), columns 2 t + 8 (i / 2) and the next (low half first)
 *           b[i] column g, rows 2 t + 8 i and the next
 *   tf32:   a[i] row g + 8 (i % 2), column t + 4 (i / 2);  b[i] column g, row t + 4 i
 */
#ifndef DLF_TENSOR_CORE_CUH
#define DLF_TENSOR_CORE_CUH

#include "launch.cuh"

#if !defined(__CUDACC__)
#define DLF_HAVE_MMA 1
#include "simt_tensor.h"
#else

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
#define DLF_HAVE_MMA 1
#else
#define DLF_HAVE_MMA 0
#endif

template <int BYTES>
static __device__ __forceinline__ void dlf_cp_async_zfill(void *smem, const void *gmem,
                                                          unsigned valid)
{
    static_assert(BYTES == 4 || BYTES == 8 || BYTES == 16, "cp.async copies 4, 8 or 16 bytes");
#if DLF_HAVE_MMA
    const unsigned dst = static_cast<unsigned>(__cvta_generic_to_shared(smem));
    if (BYTES == 16) /* .cg keeps the data out of L1 and exists for 16 bytes only */
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(dst), "l"(gmem),
                     "r"(valid)
                     : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;\n" ::"r"(dst), "l"(gmem),
                     "n"(BYTES), "r"(valid)
                     : "memory");
#else
    for (unsigned i = 0; i < BYTES; i++)
        static_cast<char *>(smem)[i] = i < valid ? static_cast<const char *>(gmem)[i] : 0;
#endif
}

template <int BYTES>
static __device__ __forceinline__ void dlf_cp_async(void *smem, const void *gmem)
{
    dlf_cp_async_zfill<BYTES>(smem, gmem, BYTES);
}

static __device__ __forceinline__ void dlf_cp_async_commit()
{
#if DLF_HAVE_MMA
    asm volatile("cp.async.commit_group;\n" ::: "memory");
#endif
}

template <int PENDING> static __device__ __forceinline__ void dlf_cp_async_wait()
{
#if DLF_HAVE_MMA
    asm volatile("cp.async.wait_group %0;\n" ::"n"(PENDING) : "memory");
#endif
}

static __device__ __forceinline__ void dlf_ldmatrix_x4(uint32_t (&r)[4], const void *row)
{
#if DLF_HAVE_MMA
    const unsigned src = static_cast<unsigned>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(src)
                 : "memory");
#else
    (void)r, (void)row;
    __trap();
#endif
}

static __device__ __forceinline__ void dlf_ldmatrix_x4_trans(uint32_t (&r)[4], const void *row)
{
#if DLF_HAVE_MMA
    const unsigned src = static_cast<unsigned>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(src)
                 : "memory");
#else
    (void)r, (void)row;
    __trap();
#endif
}

#if DLF_HAVE_MMA
#define DLF_MMA_BODY(instruction)                                                                  \
    asm volatile(instruction " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\n"  \
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])                                  \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))
#else
#define DLF_MMA_BODY(instruction)                                                                  \
    (void)c, (void)a, (void)b;                                                                     \
    __trap()
#endif

static __device__ __forceinline__ void dlf_mma_bf16(float (&c)[4], const uint32_t (&a)[4],
                                                    const uint32_t (&b)[2])
{
    DLF_MMA_BODY("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32");
}

static __device__ __forceinline__ void dlf_mma_f16(float (&c)[4], const uint32_t (&a)[4],
                                                   const uint32_t (&b)[2])
{
    DLF_MMA_BODY("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32");
}

static __device__ __forceinline__ void dlf_mma_tf32(float (&c)[4], const uint32_t (&a)[4],
                                                    const uint32_t (&b)[2])
{
    DLF_MMA_BODY("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32");
}
#undef DLF_MMA_BODY

/* Rounds to nearest, ties away from zero; without it mma.sync cuts the low bits off. */
static __device__ __forceinline__ uint32_t dlf_to_tf32(float x)
{
#if DLF_HAVE_MMA
    uint32_t r;
    asm("cvt.rna.tf32.f32 %0, %1;\n" : "=r"(r) : "f"(x));
    return r;
#else
    return __float_as_uint(x);
#endif
}

#endif
#endif
