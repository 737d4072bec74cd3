/* SPDX-License-Identifier: MIT
 * clip_ref.c -- norm and clipping factor by definition, in double, and the guard of a step.
 *
 * The sum of squares is scaled by the largest element, so that float64 gradients of any size have a
 * norm. max_norm = Inf switches clipping off: the factor is 1 whatever the norm. */
#include <math.h>

#include "dlf/backend.h"
#include "dlf/ops.h"

static double norm_of(const double *g, int64_t n)
{
    double scale = 0.0, sum = 0.0;
    for (int64_t i = 0; i < n; i++) {
        if (isnan(g[i])) return g[i];
        if (fabs(g[i]) > scale) scale = fabs(g[i]);
    }
    if (scale == 0.0 || isinf(scale)) return scale;
    for (int64_t i = 0; i < n; i++) sum += (g[i] / scale) * (g[i] / scale);
    return scale * sqrt(sum);
}

dlf_status dlf_clip_by_norm_ref(dlf_tensor *g_scale, dlf_tensor *norm, const dlf_tensor *g,
                                const dlf_tensor *max_norm)
{
    const int64_t n = dlf_tensor_member_count(g);
    for (int64_t p = 0; p < g->shape[0]; p++) {
        const double length = norm_of((const double *)g->data + p * g->stride, n);
        const double limit = ((const double *)max_norm->data)[p * max_norm->stride];
        double *scale = (double *)g_scale->data + p * g_scale->stride;
        ((double *)norm->data)[p * norm->stride] = length;
        if (length <= limit || (isinf(limit) && limit > 0.0))
            *scale = 1.0;
        else
            *scale = limit / length;
    }
    return DLF_OK;
}

dlf_status dlf_step_guard_ref(dlf_tensor *lr_out, dlf_tensor *first_bad, const dlf_tensor *lr,
                              const dlf_tensor *moments, const dlf_tensor *clock)
{
    const int32_t now = *(const int32_t *)clock->data;
    for (int64_t p = 0; p < lr_out->shape[0]; p++) {
        const double *m = (const double *)moments->data + p * moments->stride;
        int32_t *since = (int32_t *)first_bad->data + p * first_bad->stride;
        if (*since < 0 && m[DLF_MOMENT_NONFINITE] > 0.0) *since = now;
        const double rate = ((const double *)lr->data)[p * lr->stride];
        ((double *)lr_out->data)[p * lr_out->stride] = *since < 0 ? rate : 0.0;
    }
    return DLF_OK;
}
