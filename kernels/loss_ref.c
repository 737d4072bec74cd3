/* SPDX-License-Identifier: MIT
 * loss_ref.c -- elementwise losses and their derivatives by definition, in double. */
#include <math.h>

#include "dlf/backend.h"
#include "dlf/ops.h"

dlf_status dlf_loss_forward_ref(dlf_tensor *loss, const dlf_tensor *x, const dlf_tensor *t,
                                dlf_loss l);
dlf_status dlf_loss_backward_ref(dlf_tensor *dx, const dlf_tensor *x, const dlf_tensor *t,
                                 dlf_loss l, double scale);

static double value(double x, double t, dlf_loss l)
{
    const double d = x - t;
    switch (l.kind) {
    case DLF_LOSS_MSE: return d * d;
    case DLF_LOSS_MAE: return fabs(d);
    case DLF_LOSS_HUBER: return fabs(d) <= l.delta ? d * d / 2 : l.delta * (fabs(d) - l.delta / 2);
    case DLF_LOSS_BCE: return (x > 0 ? x : 0) - x * t + log1p(exp(-fabs(x)));
    case DLF_LOSS_HINGE: return 1 - t * x < 0 ? 0 : 1 - t * x;
    case DLF_LOSS_COUNT: break;
    }
    return NAN;
}

static double sign(double d) /* NaN for NaN */
{
    return d > 0 ? 1 : d < 0 ? -1 : d;
}

static double slope(double x, double t, dlf_loss l)
{
    const double d = x - t;
    switch (l.kind) {
    case DLF_LOSS_MSE: return 2 * d;
    case DLF_LOSS_MAE: return sign(d);
    case DLF_LOSS_HUBER: return fabs(d) <= l.delta ? d : l.delta * sign(d);
    case DLF_LOSS_BCE: /* sigmoid(x) - t, by the smaller of sigmoid(x) and 1 - sigmoid(x) */
        return x > 0 ? 1 - t - 1 / (1 + exp(x)) : 1 / (1 + exp(-x)) - t;
    case DLF_LOSS_HINGE: return 1 - t * x > 0 ? -t : 1 - t * x <= 0 ? 0 : NAN;
    case DLF_LOSS_COUNT: break;
    }
    return NAN;
}

static const double *member(const dlf_tensor *t, int64_t p)
{
    return (const double *)t->data + (t->shape[0] == 1 ? 0 : p) * t->stride;
}

dlf_status dlf_loss_forward_ref(dlf_tensor *loss, const dlf_tensor *x, const dlf_tensor *t,
                                dlf_loss l)
{
    const int64_t B = x->shape[1], N = x->shape[2];
    for (int64_t p = 0; p < x->shape[0]; p++)
        for (int64_t i = 0; i < B; i++) {
            double sum = 0.0;
            for (int64_t j = i * N; j < (i + 1) * N; j++)
                sum += value(member(x, p)[j], member(t, p)[j], l);
            ((double *)loss->data)[p * loss->stride + i] = sum;
        }
    return DLF_OK;
}

dlf_status dlf_loss_backward_ref(dlf_tensor *dx, const dlf_tensor *x, const dlf_tensor *t,
                                 dlf_loss l, double scale)
{
    const int64_t n = dlf_tensor_member_count(x);
    for (int64_t p = 0; p < x->shape[0]; p++)
        for (int64_t i = 0; i < n; i++)
            ((double *)dx->data)[p * dx->stride + i] =
                scale * slope(member(x, p)[i], member(t, p)[i], l);
    return DLF_OK;
}
