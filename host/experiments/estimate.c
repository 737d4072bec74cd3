/* SPDX-License-Identifier: MIT
 * estimate.c -- mean and 95 % Student-t interval over seeds. */
#include <math.h>

#include "experiments/run.h"

/* P(|T| <= t) for T of v degrees of freedom, theta = atan(t / sqrt(v)): a finite sum for integer v
 * (Abramowitz & Stegun 26.7.3 and 26.7.4). */
static double probability_within(double theta, int v)
{
    const double c = cos(theta), s = sin(theta);
    if (v % 2 == 1) {
        double term = c, sum = v > 1 ? c : 0.0;
        for (int k = 3; k <= v - 2; k += 2) {
            term *= c * c * (k - 1) / k;
            sum += term;
        }
        return 2.0 / M_PI * (theta + s * sum);
    }
    double term = 1.0, sum = 1.0;
    for (int k = 2; k <= v - 2; k += 2) {
        term *= c * c * (k - 1) / k;
        sum += term;
    }
    return s * sum;
}

double dlf_student_t95(int v)
{
    if (v < 1) return NAN;
    const double z = 1.959963984540054;
    if (v > 400) { /* Abramowitz & Stegun 26.7.5; the next term is below 1e-7 here */
        const double z3 = z * z * z, z5 = z3 * z * z;
        return z + (z3 + z) / (4.0 * v) + (5.0 * z5 + 16.0 * z3 + 3.0 * z) / (96.0 * v * v);
    }
    double low = 0.0, high = M_PI / 2.0;
    for (int i = 0; i < 60; i++) {
        const double middle = 0.5 * (low + high);
        if (probability_within(middle, v) < 0.95)
            low = middle;
        else
            high = middle;
    }
    return tan(0.5 * (low + high)) * sqrt(v);
}

dlf_estimate dlf_estimate_of(const double *values, int n, int step)
{
    dlf_estimate e = {.mean = NAN, .lo = NAN, .hi = NAN, .sd = NAN, .n = n};
    if (n < 1) return e;
    /* Values are scaled by a power of two (exact), because squares of gradients that explode or
     * vanish leave the range of double. */
    double largest = 0.0;
    for (int i = 0; i < n; i++) largest = fmax(largest, fabs(values[(long)i * step]));
    int exponent = 0;
    if (isfinite(largest) && largest > 0.0) frexp(largest, &exponent);

    double sum = 0.0;
    for (int i = 0; i < n; i++) sum += ldexp(values[(long)i * step], -exponent);
    const double mean = sum / n;
    e.mean = ldexp(mean, exponent);
    if (n < 2) return e;

    double squares = 0.0;
    for (int i = 0; i < n; i++) {
        const double d = ldexp(values[(long)i * step], -exponent) - mean;
        squares += d * d;
    }
    const double sd = sqrt(squares / (n - 1));
    const double half = dlf_student_t95(n - 1) * sd / sqrt(n);
    e.sd = ldexp(sd, exponent);
    e.lo = ldexp(mean - half, exponent);
    e.hi = ldexp(mean + half, exponent);
    return e;
}

double dlf_slope(const double *x, const double *y, int n)
{
    double mx = 0.0, my = 0.0, xx = 0.0, xy = 0.0;
    for (int i = 0; i < n; i++) {
        mx += x[i] / n;
        my += y[i] / n;
    }
    for (int i = 0; i < n; i++) {
        xx += (x[i] - mx) * (x[i] - mx);
        xy += (x[i] - mx) * (y[i] - my);
    }
    return xy / xx;
}
