/* SPDX-License-Identifier: MIT
 * bias_ref.c -- bias and its gradient by definition, in double. */
#include "dlf/backend.h"
#include "dlf/ops.h"

dlf_status dlf_bias_add_ref(dlf_tensor *y, const dlf_tensor *x, const dlf_tensor *bias)
{
    const int64_t P = y->shape[0], B = y->shape[1], N = y->shape[2];
    for (int64_t p = 0; p < P; p++) {
        double *y_p = (double *)y->data + p * y->stride;
        const double *x_p = (const double *)x->data + p * x->stride;
        const double *bias_p = (const double *)bias->data + p * bias->stride;
        for (int64_t i = 0; i < B; i++)
            for (int64_t j = 0; j < N; j++) y_p[i * N + j] = x_p[i * N + j] + bias_p[j];
    }
    return DLF_OK;
}

dlf_status dlf_bias_grad_ref(dlf_tensor *dbias, const dlf_tensor *dy, double beta)
{
    const int64_t P = dy->shape[0], B = dy->shape[1], N = dy->shape[2];
    for (int64_t p = 0; p < P; p++) {
        double *dbias_p = (double *)dbias->data + p * dbias->stride;
        const double *dy_p = (const double *)dy->data + p * dy->stride;
        for (int64_t j = 0; j < N; j++) {
            double sum = 0.0;
            for (int64_t i = 0; i < B; i++) sum += dy_p[i * N + j];
            dbias_p[j] = beta == 0.0 ? sum : sum + beta * dbias_p[j];
        }
    }
    return DLF_OK;
}
