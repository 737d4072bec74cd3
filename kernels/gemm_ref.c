/* SPDX-License-Identifier: MIT
 * gemm_ref.c -- the definition: c[p] = alpha op(a[p]) op(b[p]) + beta c[p]. */
#include "dlf/backend.h"

dlf_status dlf_gemm_ref(dlf_tensor *c, const dlf_tensor *a, const dlf_tensor *b,
                        dlf_gemm_args args);

dlf_status dlf_gemm_ref(dlf_tensor *c, const dlf_tensor *a, const dlf_tensor *b, dlf_gemm_args args)
{
    const int64_t P = c->shape[0], M = c->shape[1], N = c->shape[2];
    const int64_t K = args.trans_a ? a->shape[1] : a->shape[2];
    for (int64_t p = 0; p < P; p++) {
        const double *a_p = (const double *)a->data + (a->shape[0] == 1 ? 0 : p * a->stride);
        const double *b_p = (const double *)b->data + (b->shape[0] == 1 ? 0 : p * b->stride);
        double *c_p = (double *)c->data + p * c->stride;
        for (int64_t i = 0; i < M; i++)
            for (int64_t j = 0; j < N; j++) {
                double sum = 0.0;
                for (int64_t k = 0; k < K; k++)
                    sum += (args.trans_a ? a_p[k * M + i] : a_p[i * K + k]) *
                           (args.trans_b ? b_p[j * K + k] : b_p[k * N + j]);
                const double old = args.beta == 0.0 ? 0.0 : args.beta * c_p[i * N + j];
                c_p[i * N + j] = args.alpha * sum + old;
            }
    }
    return DLF_OK;
}
