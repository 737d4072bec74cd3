/* SPDX-License-Identifier: MIT
 * dropout_ref.c -- dropout by definition, one draw of rng.h per element. The rate is compared as a
 * float, so that all devices keep the same elements. */
#include <math.h>

#include "dlf/backend.h"
#include "dlf/rng.h"

dlf_status dlf_dropout_apply_ref(dlf_tensor *y, const dlf_tensor *x, const dlf_tensor *member,
                                 const dlf_tensor *rate, const dlf_tensor *clock,
                                 dlf_dropout dropout);

dlf_status dlf_dropout_apply_ref(dlf_tensor *y, const dlf_tensor *x, const dlf_tensor *member,
                                 const dlf_tensor *rate, const dlf_tensor *clock,
                                 dlf_dropout dropout)
{
    const int64_t n = dlf_tensor_member_count(y);
    const int32_t now = clock ? *(const int32_t *)clock->data : 0;
    const uint64_t first = dropout.first + dropout.stride * (uint64_t)now;
    for (int64_t p = 0; p < y->shape[0]; p++) {
        const uint32_t id =
            (uint32_t)(member ? ((const int32_t *)member->data)[p * member->stride] : p);
        const double r = ((const double *)rate->data)[p * rate->stride];
        const double *x_p = (const double *)x->data + p * x->stride;
        double *y_p = (double *)y->data + p * y->stride;
        for (int64_t i = 0; i < n; i++) {
            const float u = dlf_rng_uniform(dropout.rng.seed, dropout.rng.stream, id,
                                            first + (uint64_t)(i / dropout.run));
            if (isnan(r))
                y_p[i] = r;
            else if (u < (float)r)
                y_p[i] = x_p[i] * 0.0;
            else
                y_p[i] = x_p[i] / (dropout.rescale ? 1.0 - r : 1.0);
        }
    }
    return DLF_OK;
}
