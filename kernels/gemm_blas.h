/* SPDX-License-Identifier: MIT
 * gemm_blas.h -- the vendor GEMMs that a backend may have found at run time. The backends define
 * these functions, the gemm family calls them; neither needs a BLAS header or library to build. */
#ifndef DLF_KERNELS_GEMM_BLAS_H
#define DLF_KERNELS_GEMM_BLAS_H
#include "dlf/backend.h"
#ifdef __cplusplus
extern "C" {
#endif

/* The values of CBLAS_ORDER and CBLAS_TRANSPOSE; every CBLAS uses these. */
enum { DLF_CBLAS_ROW_MAJOR = 101, DLF_CBLAS_NO_TRANS = 111, DLF_CBLAS_TRANS = 112 };

/* cblas_sgemm with 32-bit integers. */
typedef void (*dlf_cblas_sgemm)(int order, int trans_a, int trans_b, int m, int n, int k,
                                float alpha, const float *a, int lda, const float *b, int ldb,
                                float beta, float *c, int ldc);

/* NULL: this machine has no BLAS, or DLF_BLAS=none. Safe to call from many threads. */
dlf_cblas_sgemm dlf_cpu_sgemm(const dlf_device *dev);

/* A batch of row-major products, for cuBLAS. Strides are elements between members; 0 = the same. */
typedef struct dlf_sgemm_batch {
    bool trans_a, trans_b;
    int64_t count, m, n, k;
    float alpha, beta;
    const float *a, *b;
    float *c;
    int64_t stride_a, stride_b, stride_c;
} dlf_sgemm_batch;

/* DLF_ERR_NO_KERNEL: there is no cuBLAS, or the sizes exceed what it takes; use another kernel. */
dlf_status dlf_cuda_sgemm(const dlf_device *dev, const dlf_sgemm_batch *g);

#ifdef __cplusplus
}
#endif
#endif
