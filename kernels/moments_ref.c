/* SPDX-License-Identifier: MIT
 * moments_ref.c -- sums, maximum and counts of a segment by definition, in double. */
#include <math.h>

#include "dlf/backend.h"
#include "dlf/ops.h"

static void moments_of(double *out, const double *x, int64_t n)
{
    double sum = 0.0, squares = 0.0, max = 0.0, nonfinite = 0.0, zeros = 0.0;
    for (int64_t i = 0; i < n; i++) {
        sum += x[i];
        squares += x[i] * x[i];
        if (isnan(x[i]) || fabs(x[i]) > max) max = fabs(x[i]); /* nothing > NaN */
        if (!isfinite(x[i])) nonfinite += 1.0;
        if (x[i] == 0.0) zeros += 1.0;
    }
    out[DLF_MOMENT_SUM] = sum;
    out[DLF_MOMENT_SUM_SQUARES] = squares;
    out[DLF_MOMENT_MAX_ABS] = max;
    out[DLF_MOMENT_NONFINITE] = nonfinite;
    out[DLF_MOMENT_ZEROS] = zeros;
}

dlf_status dlf_moments_ref(dlf_tensor *out, const dlf_tensor *x)
{
    for (int64_t s = 0; s < x->shape[0]; s++)
        moments_of((double *)out->data + s * out->stride, (const double *)x->data + s * x->stride,
                   dlf_tensor_member_count(x));
    return DLF_OK;
}

static int64_t clamped(int64_t offset, int64_t n)
{
    return offset < 0 ? 0 : offset > n ? n : offset;
}

dlf_status dlf_moments_pieces_ref(dlf_tensor *out, const dlf_tensor *x, const dlf_tensor *offsets)
{
    const int64_t K = offsets->shape[0] - 1, n = x->shape[1];
    for (int64_t p = 0; p < x->shape[0]; p++)
        for (int64_t k = 0; k < K; k++) {
            const int32_t *offset = (const int32_t *)offsets->data + k * offsets->stride;
            const int64_t begin = clamped(offset[0], n);
            const int64_t end = clamped(offset[offsets->stride], n);
            moments_of((double *)out->data + p * out->stride + k * DLF_MOMENTS,
                       (const double *)x->data + p * x->stride + begin, end - begin);
        }
    return DLF_OK;
}
