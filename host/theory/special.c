/* SPDX-License-Identifier: MIT
 * special.c -- digamma, trigamma, the laws built on them, Student's t. */
#include <math.h>

#include "dlf/theory.h"

/* Shift x above 12 by the recurrence, then the asymptotic series (Abramowitz & Stegun 6.3.18). */
double dlf_digamma(double x)
{
    double sum = 0.0;
    for (; x < 12.0; x += 1.0) sum -= 1.0 / x;
    const double r = 1.0 / (x * x);
    const double series =
        r *
        (1.0 / 12 -
         r * (1.0 / 120 -
              r * (1.0 / 252 - r * (1.0 / 240 - r * (1.0 / 132 - r * (691.0 / 32760 - r / 12))))));
    return sum + log(x) - 0.5 / x - series;
}

double dlf_trigamma(double x)
{
    double sum = 0.0;
    for (; x < 12.0; x += 1.0) sum += 1.0 / (x * x);
    const double r = 1.0 / (x * x);
    const double series =
        r *
        (1.0 / 6 -
         r * (1.0 / 30 -
              r * (1.0 / 42 - r * (1.0 / 30 - r * (5.0 / 66 - r * (691.0 / 2730 - r * 7.0 / 6))))));
    return sum + 1.0 / x + 0.5 * r + series / x;
}

dlf_log_law dlf_log_law_linear(int width)
{
    const double n = width;
    return (dlf_log_law){dlf_digamma(n / 2) + log(2 / n), dlf_trigamma(n / 2)};
}

dlf_log_law dlf_log_law_relu(int width)
{
    const double n = width;
    double total = 0.0, mean = 0.0, square = 0.0, inside = 0.0;
    for (int k = 1; k <= width; k++) {
        const double p = exp(lgamma(n + 1) - lgamma(k + 1.0) - lgamma(n - k + 1) - n * M_LN2);
        const double centre = dlf_digamma(0.5 * k) + log(4 / n);
        total += p;
        mean += p * centre;
        square += p * centre * centre;
        inside += p * dlf_trigamma(0.5 * k);
    }
    mean /= total;
    return (dlf_log_law){mean, inside / total + square / total - mean * mean};
}

double dlf_arccos_kernel0(double c)
{
    return 1.0 - acos(c) / M_PI;
}

double dlf_arccos_kernel1(double c)
{
    return (sqrt((1.0 - c) * (1.0 + c)) + (M_PI - acos(c)) * c) / M_PI;
}

double dlf_arccos_kernel2(double c)
{
    return (3.0 * c * sqrt((1.0 - c) * (1.0 + c)) + (M_PI - acos(c)) * (1.0 + 2.0 * c * c)) / M_PI;
}

/* Distribution function of |t| by the finite trigonometric sums for integer degrees of freedom
 * (Abramowitz & Stegun 26.7.3, 26.7.4), inverted by bisection. */
static double student_two_sided(double t, int dof)
{
    const double theta = atan(t / sqrt(dof)), c = cos(theta), s = sin(theta);
    double sum = 0.0, term = dof % 2 ? c : 1.0;
    for (int k = dof % 2 ? 1 : 0; k <= dof - 2; k += 2) {
        sum += term;
        term *= c * c * (k + 1) / (k + 2);
    }
    return dof % 2 ? 2.0 / M_PI * (theta + s * sum) : s * sum;
}

double dlf_student_t975(int dof)
{
    if (dof > 10000) return 1.959963984540054;
    double low = 0.0, high = 13.0; /* t(1) = 12.706 is the largest */
    for (int i = 0; i < 100; i++) {
        const double mid = 0.5 * (low + high);
        if (student_two_sided(mid, dof) < 0.95)
            low = mid;
        else
            high = mid;
    }
    return 0.5 * (low + high);
}

double dlf_normal_cdf(double x)
{
    return 0.5 * erfc(-x * M_SQRT1_2);
}
