/* SPDX-License-Identifier: MIT
 * adam_ref.c -- one step of Adam or AdamW by definition, in double. Terms with a zero factor are
 * computed all the same, as in sgd_ref.c, but of a frozen member nothing is. */
#include <math.h>

#include "dlf/backend.h"
#include "dlf/ops.h"

dlf_status dlf_adam_step_ref(dlf_tensor *w, dlf_tensor *m, dlf_tensor *v, const dlf_tensor *g,
                             const dlf_tensor *lr, const dlf_tensor *g_scale,
                             const dlf_tensor *clock, dlf_adam_args args);

dlf_status dlf_adam_step_ref(dlf_tensor *w, dlf_tensor *m, dlf_tensor *v, const dlf_tensor *g,
                             const dlf_tensor *lr, const dlf_tensor *g_scale,
                             const dlf_tensor *clock, dlf_adam_args args)
{
    const int64_t n = dlf_tensor_member_count(w);
    const double lambda = args.weight_decay;
    const double t = clock ? (double)*(const int32_t *)clock->data + 1.0 : (double)args.step;
    for (int64_t p = 0; p < w->shape[0]; p++) {
        double *w_p = (double *)w->data + p * w->stride;
        double *m_p = (double *)m->data + p * m->stride;
        double *v_p = (double *)v->data + p * v->stride;
        const double *g_p = (const double *)g->data + p * g->stride;
        const double rate = ((const double *)lr->data)[p * lr->stride];
        const double s = g_scale ? ((const double *)g_scale->data)[p * g_scale->stride] : 1.0;
        if (rate == 0.0) continue;
        for (int64_t i = 0; i < n; i++) {
            const double d = s * g_p[i] + (args.decoupled ? 0.0 : lambda * w_p[i]);
            m_p[i] = args.beta1 * m_p[i] + (1.0 - args.beta1) * d;
            v_p[i] = args.beta2 * v_p[i] + (1.0 - args.beta2) * d * d;
            const double m_hat = m_p[i] / (1.0 - pow(args.beta1, t));
            const double v_hat = v_p[i] / (1.0 - pow(args.beta2, t));
            if (args.decoupled) w_p[i] -= rate * lambda * w_p[i];
            w_p[i] -= rate * m_hat / (sqrt(v_hat) + args.eps);
        }
    }
    return DLF_OK;
}
