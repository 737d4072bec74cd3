/* SPDX-License-Identifier: MIT
 * moments_ref.c -- sums, maximum and counts of a segment by definition, in double. */
#include <math.h>

#include "dlf/backend.h"
#include "dlf/ops.h"

dlf_status dlf_moments_ref(dlf_tensor *out, const dlf_tensor *x)
{
    const int64_t n = dlf_tensor_member_count(x);
    for (int64_t s = 0; s < x->shape[0]; s++) {
        const double *x_s = (const double *)x->data + s * x->stride;
        double sum = 0.0, squares = 0.0, max = 0.0, nonfinite = 0.0, zeros = 0.0;
        for (int64_t i = 0; i < n; i++) {
            sum += x_s[i];
            squares += x_s[i] * x_s[i];
            if (isnan(x_s[i]) || fabs(x_s[i]) > max) max = fabs(x_s[i]); /* nothing > NaN */
            if (!isfinite(x_s[i])) nonfinite += 1.0;
            if (x_s[i] == 0.0) zeros += 1.0;
        }
        double *out_s = (double *)out->data + s * out->stride;
        out_s[DLF_MOMENT_SUM] = sum;
        out_s[DLF_MOMENT_SUM_SQUARES] = squares;
        out_s[DLF_MOMENT_MAX_ABS] = max;
        out_s[DLF_MOMENT_NONFINITE] = nonfinite;
        out_s[DLF_MOMENT_ZEROS] = zeros;
    }
    return DLF_OK;
}

dlf_status dlf_moments_pieces_ref(dlf_tensor *out, const dlf_tensor *x, const dlf_tensor *offsets)
{
    return dlf_fail(DLF_ERR_NO_KERNEL, "moments_pieces: not written yet");
}
