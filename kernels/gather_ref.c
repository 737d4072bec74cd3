/* SPDX-License-Identifier: MIT
 * gather_ref.c -- the definition: y[p,i,:] = x[index[p,i],:]. */
#include <math.h>

#include "dlf/backend.h"

dlf_status dlf_gather_rows_ref(dlf_tensor *y, const dlf_tensor *x, const dlf_tensor *index);

dlf_status dlf_gather_rows_ref(dlf_tensor *y, const dlf_tensor *x, const dlf_tensor *index)
{
    const int64_t P = y->shape[0], B = y->shape[1], N = dlf_tensor_member_count(x);
    for (int64_t p = 0; p < P; p++)
        for (int64_t i = 0; i < B; i++) {
            const int32_t *rows = index->data;
            const int64_t r = rows[(index->shape[0] == 1 ? 0 : p * index->stride) + i];
            const bool inside = r >= 0 && r < x->shape[0];
            for (int64_t j = 0; j < N; j++) {
                const int64_t to = p * y->stride + i * N + j, from = r * x->stride + j;
                if (y->dtype == DLF_I32)
                    ((int32_t *)y->data)[to] =
                        inside ? ((const int32_t *)x->data)[from] : INT32_MIN;
                else
                    ((double *)y->data)[to] = inside ? ((const double *)x->data)[from] : NAN;
            }
        }
    return DLF_OK;
}
