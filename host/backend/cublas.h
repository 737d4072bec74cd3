/* SPDX-License-Identifier: MIT
 * cublas.h -- the five functions of cuBLAS that we use, opened at run time with prototypes of our
 * own, so that neither building nor starting dlf needs the library. No CUDA header here. */
#ifndef DLF_CUBLAS_H
#define DLF_CUBLAS_H
#include "../../kernels/gemm_blas.h"

typedef struct dlf_cublas {
    void *library, *handle;
    int version; /* 130100 = 13.1.0 */
    int (*destroy)(void *handle);
    int (*sgemm)(void *handle, int trans_a, int trans_b, int m, int n, int k, const float *alpha,
                 const float *a, int lda, long long stride_a, const float *b, int ldb,
                 long long stride_b, const float *beta, float *c, int ldc, long long stride_c,
                 int count);
} dlf_cublas;

/* Load it and bind it to a stream and a workspace. False: *why is a short reason, `out` is zeroed.
 */
bool dlf_cublas_open(dlf_cublas *out, void *stream, void *workspace, size_t workspace_bytes,
                     const char **why);
void dlf_cublas_close(dlf_cublas *b);
dlf_status dlf_cublas_sgemm(const dlf_cublas *b, const dlf_sgemm_batch *g);
#endif
