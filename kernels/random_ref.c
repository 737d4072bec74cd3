/* SPDX-License-Identifier: MIT
 * random_ref.c -- the definition: one call of rng.h per element. The float32 draw is kept, so that
 * every device starts from the same numbers. */
#include <math.h>

#include "dlf/backend.h"
#include "dlf/rng.h"

dlf_status dlf_random_normal_ref(dlf_tensor *x, const dlf_tensor *member, const dlf_tensor *scale,
                                 dlf_rng rng);
dlf_status dlf_random_uniform_ref(dlf_tensor *x, const dlf_tensor *member, double lo, double hi,
                                  dlf_rng rng);

static uint32_t member_of(const dlf_tensor *member, int64_t p)
{
    return (uint32_t)(member ? ((const int32_t *)member->data)[p * member->stride] : p);
}

dlf_status dlf_random_normal_ref(dlf_tensor *x, const dlf_tensor *member, const dlf_tensor *scale,
                                 dlf_rng rng)
{
    for (int64_t p = 0; p < x->shape[0]; p++) {
        const double s = scale ? ((const double *)scale->data)[p * scale->stride] : 1.0;
        double *x_p = (double *)x->data + p * x->stride;
        for (int64_t i = 0; i < dlf_tensor_member_count(x); i++)
            x_p[i] = s * dlf_rng_normal(rng.seed, rng.stream, member_of(member, p), (uint64_t)i);
    }
    return DLF_OK;
}

dlf_status dlf_random_uniform_ref(dlf_tensor *x, const dlf_tensor *member, double lo, double hi,
                                  dlf_rng rng)
{
    for (int64_t p = 0; p < x->shape[0]; p++) {
        double *x_p = (double *)x->data + p * x->stride;
        for (int64_t i = 0; i < dlf_tensor_member_count(x); i++)
            x_p[i] =
                fma(hi - lo,
                    dlf_rng_uniform(rng.seed, rng.stream, member_of(member, p), (uint64_t)i), lo);
    }
    return DLF_OK;
}
