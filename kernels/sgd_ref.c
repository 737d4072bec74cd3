/* SPDX-License-Identifier: MIT
 * sgd_ref.c -- one optimiser step by definition, in double. Terms with a zero factor are computed
 * all the same: weight_decay 0 times an infinite weight is NaN. A learning rate of 0 is no term, it
 * freezes the member. */
#include "dlf/backend.h"
#include "dlf/ops.h"

dlf_status dlf_sgd_step_ref(dlf_tensor *w, dlf_tensor *v, const dlf_tensor *g, const dlf_tensor *lr,
                            const dlf_tensor *g_scale, dlf_sgd_args args)
{
    const int64_t n = dlf_tensor_member_count(w);
    for (int64_t p = 0; p < w->shape[0]; p++) {
        double *w_p = (double *)w->data + p * w->stride;
        double *v_p = v ? (double *)v->data + p * v->stride : NULL;
        const double *g_p = (const double *)g->data + p * g->stride;
        const double rate = ((const double *)lr->data)[p * lr->stride];
        const double s = g_scale ? ((const double *)g_scale->data)[p * g_scale->stride] : 1.0;
        if (rate == 0.0) continue;
        for (int64_t i = 0; i < n; i++) {
            double d = s * g_p[i] + args.weight_decay * w_p[i];
            if (v_p) d = v_p[i] = args.momentum * v_p[i] + d;
            w_p[i] -= rate * d;
        }
    }
    return DLF_OK;
}
