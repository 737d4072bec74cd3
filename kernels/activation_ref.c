/* SPDX-License-Identifier: MIT
 * activation_ref.c -- the activations by definition, in double.
 *
 * Formulas are taken literally also at +-Inf, where "x f(x)" may read 0 * Inf: gelu(-Inf),
 * silu(-Inf) and the derivatives of gelu, gelu_tanh and silu at +-Inf are NaN (as in PyTorch). */
#include <math.h>

#include "dlf/backend.h"
#include "dlf/ops.h"

static const double selu_scale = 1.0507009873554804934193349852946;
static const double selu_alpha = 1.6732632423543772848170429916717;
static const double gelu_cubic = 0.044715;

/* Both halves avoid exp(+large): no overflow, and no 1 - (1 - tiny). */
static double sigmoid(double x)
{
    const double e = exp(-fabs(x));
    return x < 0.0 ? e / (1.0 + e) : 1.0 / (1.0 + e);
}

static double sigmoid_slope(double x)
{
    const double e = exp(-fabs(x));
    return e / ((1.0 + e) * (1.0 + e));
}

static double tanh_slope(double x)
{
    const double e = exp(-2.0 * fabs(x));
    return 4.0 * e / ((1.0 + e) * (1.0 + e));
}

static double normal_cdf(double x)
{
    return 0.5 * erfc(-x * M_SQRT1_2);
}

static double normal_pdf(double x)
{
    return exp(-0.5 * x * x) * 0.5 * M_2_SQRTPI * M_SQRT1_2;
}

/* x/2 (1 + tanh u) = x sigmoid(2u); this is 2u and d(2u)/dx. */
static double gelu_tanh_inner(double x)
{
    return 2.0 * M_2_SQRTPI * M_SQRT1_2 * (x + gelu_cubic * x * x * x);
}

static double gelu_tanh_inner_slope(double x)
{
    return 2.0 * M_2_SQRTPI * M_SQRT1_2 * (1.0 + 3.0 * gelu_cubic * x * x);
}

double dlf_activation_value(dlf_activation f, double x)
{
    switch (f.kind) {
    case DLF_LINEAR: return x;
    case DLF_SIGMOID: return sigmoid(x);
    case DLF_TANH: return tanh(x);
    case DLF_RELU: return x <= 0.0 ? 0.0 : x; /* NaN is not <= 0 */
    case DLF_LEAKY_RELU: return x > 0.0 ? x : f.alpha * x;
    case DLF_ELU: return x > 0.0 ? x : f.alpha * expm1(x);
    case DLF_SELU: return selu_scale * (x > 0.0 ? x : selu_alpha * expm1(x));
    case DLF_GELU: return x * normal_cdf(x);
    case DLF_GELU_TANH: return x * sigmoid(gelu_tanh_inner(x));
    case DLF_SILU: return x * sigmoid(x);
    case DLF_SOFTPLUS: return x > 0.0 ? x + log1p(exp(-x)) : log1p(exp(x));
    case DLF_ACTIVATION_COUNT: break;
    }
    return NAN;
}

double dlf_activation_derivative(dlf_activation f, double x)
{
    if (isnan(x) && f.kind != DLF_LINEAR) return x;
    switch (f.kind) {
    case DLF_LINEAR: return 1.0;
    case DLF_SIGMOID: return sigmoid_slope(x);
    case DLF_TANH: return tanh_slope(x);
    case DLF_RELU: return x > 0.0 ? 1.0 : 0.0;
    case DLF_LEAKY_RELU: return x > 0.0 ? 1.0 : f.alpha;
    case DLF_ELU: return x > 0.0 ? 1.0 : f.alpha * exp(x);
    case DLF_SELU: return selu_scale * (x > 0.0 ? 1.0 : selu_alpha * exp(x));
    case DLF_GELU: return normal_cdf(x) + x * normal_pdf(x);
    case DLF_GELU_TANH: {
        const double u = gelu_tanh_inner(x);
        return sigmoid(u) + x * sigmoid_slope(u) * gelu_tanh_inner_slope(x);
    }
    case DLF_SILU: return sigmoid(x) + x * sigmoid_slope(x);
    case DLF_SOFTPLUS: return sigmoid(x);
    case DLF_ACTIVATION_COUNT: break;
    }
    return NAN;
}

/* f' as a function of y = f(x); only for the kinds where y determines it. */
static double derivative_from_value(dlf_activation f, double y)
{
    if (isnan(y) && f.kind != DLF_LINEAR) return y;
    switch (f.kind) {
    case DLF_SIGMOID: return y * (1.0 - y);
    case DLF_TANH: return (1.0 - y) * (1.0 + y);
    case DLF_RELU: return y > 0.0 ? 1.0 : 0.0;
    case DLF_LEAKY_RELU: return y > 0.0 ? 1.0 : f.alpha;
    case DLF_ELU: return y > 0.0 ? 1.0 : y + f.alpha;
    case DLF_SELU: return y > 0.0 ? selu_scale : y + selu_scale * selu_alpha;
    case DLF_SOFTPLUS: return -expm1(-y);
    default: return 1.0; /* linear */
    }
}

static double *member(const dlf_tensor *t, int64_t p)
{
    return (double *)t->data + p * t->stride;
}

dlf_status dlf_activation_forward_ref(dlf_tensor *y, const dlf_tensor *x, dlf_activation f)
{
    const int64_t n = dlf_tensor_member_count(y);
    for (int64_t p = 0; p < y->shape[0]; p++)
        for (int64_t i = 0; i < n; i++) member(y, p)[i] = dlf_activation_value(f, member(x, p)[i]);
    return DLF_OK;
}

dlf_status dlf_activation_backward_ref(dlf_tensor *dx, const dlf_tensor *dy, const dlf_tensor *x,
                                       const dlf_tensor *y, dlf_activation f)
{
    const bool from_x = f.kind == DLF_GELU || f.kind == DLF_GELU_TANH || f.kind == DLF_SILU;
    const int64_t n = dlf_tensor_member_count(dx);
    for (int64_t p = 0; p < dx->shape[0]; p++)
        for (int64_t i = 0; i < n; i++) {
            double slope = 1.0;
            if (from_x)
                slope = dlf_activation_derivative(f, member(x, p)[i]);
            else if (f.kind != DLF_LINEAR) /* reads neither x nor y */
                slope = derivative_from_value(f, member(y, p)[i]);
            member(dx, p)[i] = member(dy, p)[i] * slope;
        }
    return DLF_OK;
}
