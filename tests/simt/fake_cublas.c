/* SPDX-License-Identifier: MIT
 * fake_cublas.c -- a cuBLAS for the test bed, whose device memory is host memory: the entry points
 * that host/backend/cublas.c asks for, on plain loops. It checks what the real one would: the
 * handle, leading dimensions and the size of the batch; and that the workspace is set after the
 * stream, which resets it (a call without one would allocate while a graph is captured). What it
 * cannot show is how the real library rounds. */
#include <stdbool.h>
#include <stdlib.h>

#include "simt_control.h"
#include "simt_internal.h"

enum { SUCCESS = 0, ALLOC_FAILED = 3, INVALID_VALUE = 7, EXECUTION_FAILED = 13 };

static struct {
    bool is_open, has_workspace;
    cudaStream_t stream;
    int math;
} the;

int cublasCreate_v2(void **handle);
int cublasDestroy_v2(void *handle);
int cublasSetStream_v2(void *handle, cudaStream_t stream);
int cublasSetMathMode(void *handle, int mode);
int cublasSetWorkspace_v2(void *handle, void *workspace, size_t bytes);
int cublasGetVersion_v2(void *handle, int *version);
int cublasSgemmStridedBatched(void *handle, int trans_a, int trans_b, int m, int n, int k,
                              const float *alpha, const float *a, int lda, long long stride_a,
                              const float *b, int ldb, long long stride_b, const float *beta,
                              float *c, int ldc, long long stride_c, int count);

int cublasCreate_v2(void **handle)
{
    if (the.is_open) return ALLOC_FAILED;
    the.is_open = true;
    the.math = -1;
    *handle = &the;
    return SUCCESS;
}

int cublasDestroy_v2(void *handle)
{
    if (handle != &the || !the.is_open) return INVALID_VALUE;
    the.is_open = the.has_workspace = false;
    return SUCCESS;
}

int cublasSetStream_v2(void *handle, cudaStream_t stream)
{
    if (handle != &the) return INVALID_VALUE;
    the.stream = stream;
    the.has_workspace = false;
    return SUCCESS;
}

int cublasSetMathMode(void *handle, int mode)
{
    if (handle != &the) return INVALID_VALUE;
    the.math = mode;
    return SUCCESS;
}

int cublasSetWorkspace_v2(void *handle, void *workspace, size_t bytes)
{
    if (handle != &the || !workspace || !bytes) return INVALID_VALUE;
    the.has_workspace = true;
    return SUCCESS;
}

int cublasGetVersion_v2(void *handle, int *version)
{
    *version = 130100;
    return handle == &the ? SUCCESS : INVALID_VALUE;
}

/* One call, taken down for a graph. Column-major: op(a) is m x k, op(b) is k x n. */
typedef struct call {
    bool trans_a, trans_b;
    int m, n, k, lda, ldb, ldc, count;
    long long stride_a, stride_b, stride_c;
    float alpha, beta;
    const float *a, *b;
    float *c;
} call;

/* `packed` holds op(a) with m contiguous, `sums` a column of c. */
static void multiply(const call *g, const float *a, const float *b, float *c, float *packed,
                     float *sums)
{
    for (int l = 0; l < g->k; l++)
        for (int i = 0; i < g->m; i++)
            packed[(size_t)l * g->m + i] =
                g->trans_a ? a[l + (size_t)i * g->lda] : a[i + (size_t)l * g->lda];
    for (int j = 0; j < g->n; j++) {
        for (int i = 0; i < g->m; i++) sums[i] = 0.0f;
        for (int l = 0; l < g->k; l++) {
            const float y = g->trans_b ? b[j + (size_t)l * g->ldb] : b[l + (size_t)j * g->ldb];
            const float *x = packed + (size_t)l * g->m;
            for (int i = 0; i < g->m; i++) sums[i] += x[i] * y;
        }
        float *to = c + (size_t)j * g->ldc;
        for (int i = 0; i < g->m; i++) /* c is not read where beta is 0 */
            to[i] = g->beta == 0.0f ? g->alpha * sums[i] : g->alpha * sums[i] + g->beta * to[i];
    }
}

static cudaError_t run(const void *bytes)
{
    const call *g = bytes;
    float *scratch = malloc(sizeof *scratch * ((size_t)g->m * (size_t)(g->k + 1) + 1));
    if (!scratch) return cudaErrorMemoryAllocation;
    simt_memory_open();
    for (int p = 0; p < g->count; p++)
        multiply(g, g->a + p * g->stride_a, g->b + p * g->stride_b, g->c + p * g->stride_c, scratch,
                 scratch + (size_t)g->m * g->k);
    simt_memory_close();
    free(scratch);
    return cudaSuccess;
}

int cublasSgemmStridedBatched(void *handle, int trans_a, int trans_b, int m, int n, int k,
                              const float *alpha, const float *a, int lda, long long stride_a,
                              const float *b, int ldb, long long stride_b, const float *beta,
                              float *c, int ldc, long long stride_c, int count)
{
    if (handle != &the || !the.has_workspace || the.math != 0 || (trans_a | trans_b) & ~1 ||
        m < 0 || n < 0 || k < 0 || count < 0 || count > 65535 || lda < 1 ||
        lda < (trans_a ? k : m) || ldb < 1 || ldb < (trans_b ? n : k) || ldc < 1 || ldc < m)
        return INVALID_VALUE;
    const call g = {trans_a,  trans_b,  m,        n,      k,     lda, ldb, ldc, count,
                    stride_a, stride_b, stride_c, *alpha, *beta, a,   b,   c};
    cudaError_t err;
    if (!simt_capture(the.stream, run, &g, sizeof g, &err)) err = run(&g);
    return err == cudaSuccess ? SUCCESS : EXECUTION_FAILED;
}
