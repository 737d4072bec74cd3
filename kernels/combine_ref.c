/* SPDX-License-Identifier: MIT
 * combine_ref.c -- sums, products and columns by definition, in double. */
#include "dlf/backend.h"
#include "dlf/ops.h"

/* beta 0 does not read what was there: NaN does not stay. */
static double plus(double value, double beta, double before)
{
    return beta == 0.0 ? value : value + beta * before;
}

dlf_status dlf_axpby_ref(dlf_tensor *y, const dlf_tensor *x, const dlf_tensor *scale, double alpha,
                         double beta)
{
    const int64_t n = dlf_tensor_member_count(y);
    for (int64_t p = 0; p < y->shape[0]; p++) {
        double *y_p = (double *)y->data + p * y->stride;
        const double *x_p = (const double *)x->data + (x->shape[0] == 1 ? 0 : p * x->stride);
        const double s = scale ? ((const double *)scale->data)[p * scale->stride] : 1.0;
        for (int64_t i = 0; i < n; i++) y_p[i] = plus(alpha * s * x_p[i], beta, y_p[i]);
    }
    return DLF_OK;
}

dlf_status dlf_multiply_ref(dlf_tensor *y, const dlf_tensor *a, const dlf_tensor *b, double beta)
{
    const int64_t n = dlf_tensor_member_count(y);
    for (int64_t p = 0; p < y->shape[0]; p++) {
        double *y_p = (double *)y->data + p * y->stride;
        const double *a_p = (const double *)a->data + p * a->stride;
        const double *b_p = (const double *)b->data + p * b->stride;
        for (int64_t i = 0; i < n; i++) y_p[i] = plus(a_p[i] * b_p[i], beta, y_p[i]);
    }
    return DLF_OK;
}

dlf_status dlf_copy_columns_ref(dlf_tensor *y, int64_t to, const dlf_tensor *x, int64_t from,
                                int64_t count, double beta)
{
    const int64_t B = y->shape[1], N = y->shape[2], K = x->shape[2];
    for (int64_t p = 0; p < y->shape[0]; p++)
        for (int64_t i = 0; i < B; i++) {
            double *y_i = (double *)y->data + p * y->stride + i * N + to;
            const double *x_i = (const double *)x->data + p * x->stride + i * K + from;
            for (int64_t j = 0; j < count; j++) y_i[j] = plus(x_i[j], beta, y_i[j]);
        }
    return DLF_OK;
}
