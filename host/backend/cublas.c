/* SPDX-License-Identifier: MIT
 * cublas.c -- find cuBLAS and call it. */
#include "backend/cublas.h"

#include <dlfcn.h>
#include <limits.h>
#include <string.h>

#include "backend/cuda_library.h"

enum { CUBLAS_OP_N = 0, CUBLAS_OP_T = 1, CUBLAS_DEFAULT_MATH = 0 /* true fp32: no TF32 */ };
enum { MAX_BATCH = 65535 }; /* older versions put the batch on grid.z */

bool dlf_cublas_open(dlf_cublas *out, void *stream, void *workspace, size_t workspace_bytes,
                     const char **why)
{
    static const char *const names[] = {"libcublas.so.13", "libcublas.so.12", "libcublas.so", NULL};
    memset(out, 0, sizeof *out);
    dlf_cublas b = {.library = dlf_cuda_library("DLF_CUBLAS", names)};
    if (!b.library) {
        *why = "no cuBLAS";
        return false;
    }
    int (*create)(void **), (*set_stream)(void *, void *), (*set_math_mode)(void *, int);
    int (*set_workspace)(void *, void *, size_t), (*get_version)(void *, int *);
    const dlf_cuda_wanted wanted[] = {
        {&create, "cublasCreate_v2"},
        {&b.destroy, "cublasDestroy_v2"},
        {&set_stream, "cublasSetStream_v2"},
        {&set_math_mode, "cublasSetMathMode"},
        {&set_workspace, "cublasSetWorkspace_v2"},
        {&get_version, "cublasGetVersion_v2"},
        {&b.sgemm, "cublasSgemmStridedBatched"},
    };
    if (!dlf_cuda_symbols(b.library, wanted, sizeof wanted / sizeof *wanted)) {
        *why = "cuBLAS too old";
    } else if (create(&b.handle) != 0) {
        b.handle = NULL;
        *why = "cuBLAS does not start";
    } else if (set_stream(b.handle, stream) == 0 &&
               set_math_mode(b.handle, CUBLAS_DEFAULT_MATH) == 0 &&
               /* After the stream, which resets it. A fixed workspace makes results repeatable and
                * keeps allocations out of captured graphs. */
               set_workspace(b.handle, workspace, workspace_bytes) == 0) {
        (void)get_version(b.handle, &b.version);
        *out = b;
        return true;
    } else {
        *why = "cuBLAS cannot be set up";
    }
    dlf_cublas_close(&b);
    return false;
}

void dlf_cublas_close(dlf_cublas *b)
{
    if (b->handle) b->destroy(b->handle);
    if (b->library) dlclose(b->library);
    memset(b, 0, sizeof *b);
}

dlf_status dlf_cublas_sgemm(const dlf_cublas *b, const dlf_sgemm_batch *g)
{
    if (g->m > INT_MAX || g->n > INT_MAX || g->k > INT_MAX) return DLF_ERR_NO_KERNEL;
    /* cuBLAS is column-major, and a row-major matrix read that way is its transpose: compute
     * c' = op(b)' op(a)', the operands exchanged and their flags unchanged. */
    const int lda = (int)(g->trans_a ? g->m : g->k), ldb = (int)(g->trans_b ? g->k : g->n);
    for (int64_t first = 0; first < g->count; first += MAX_BATCH) {
        const int64_t left = g->count - first;
        const int status = b->sgemm(b->handle, g->trans_b ? CUBLAS_OP_T : CUBLAS_OP_N,
                                    g->trans_a ? CUBLAS_OP_T : CUBLAS_OP_N, (int)g->n, (int)g->m,
                                    (int)g->k, &g->alpha, g->b + first * g->stride_b, ldb,
                                    g->stride_b, g->a + first * g->stride_a, lda, g->stride_a,
                                    &g->beta, g->c + first * g->stride_c, (int)g->n, g->stride_c,
                                    (int)(left < MAX_BATCH ? left : MAX_BATCH));
        if (status != 0)
            return dlf_fail(DLF_ERR_DEVICE,
                            "gemm: cuBLAS failed with status %d for %lld x %lldx%lldx%lld", status,
                            (long long)g->count, (long long)g->m, (long long)g->n, (long long)g->k);
    }
    return DLF_OK;
}
