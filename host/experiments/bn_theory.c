/* SPDX-License-Identifier: MIT
 * bn_theory.c -- closed forms of batch normalization. */
#include "bn_theory.h"

#include <math.h>

#include "dlf/theory.h"

double dlf_bn_mean_variance(double B)
{
    return 1.0 / B;
}

double dlf_bn_variance_mean(double B)
{
    return (B - 1.0) / B;
}

double dlf_bn_variance_spread(double B)
{
    return 2.0 * (B - 1.0) / (B * B);
}

double dlf_bn_fourth(double B)
{
    return 3.0 * (B - 1.0) / (B + 1.0);
}

/* Gamma(a) / Gamma(b) */
static double gamma_ratio(double a, double b)
{
    return exp(lgamma(a) - lgamma(b));
}

double dlf_bn_relu(double B)
{
    return 0.5 * sqrt((B - 1.0) / M_PI) * gamma_ratio((B - 1.0) / 2.0, B / 2.0);
}

double dlf_bn_correlation(double B)
{
    return sqrt(2.0 / B) * gamma_ratio(B / 2.0, (B - 1.0) / 2.0);
}

/* h = sqrt(B-1) sin t: the density of t is proportional to cos(t)^(B-3). */
static double sine_mass(int B)
{
    return sqrt(M_PI) * gamma_ratio((B - 2.0) / 2.0, (B - 1.0) / 2.0);
}

double dlf_bn_density(double h, int B)
{
    const double u = h * h / (B - 1.0);
    if (u >= 1.0) return 0.0;
    return pow(1.0 - u, (B - 4.0) / 2.0) / (sqrt(B - 1.0) * sine_mass(B));
}

double dlf_bn_cdf(double h, int B)
{
    enum { PANELS = 400 }; /* Simpson in t: the integrand is a power of a cosine, error < 1e-10 */
    const double u = h / sqrt(B - 1.0);
    if (u >= 1.0) return 1.0;
    if (u <= -1.0) return 0.0;
    const double end = asin(u), step = end / PANELS;
    double sum = 0.0;
    for (int i = 0; i <= PANELS; i++)
        sum += (i == 0 || i == PANELS ? 1.0 : i % 2 ? 4.0 : 2.0) * pow(cos(step * i), B - 3.0);
    return 0.5 + sum * step / 3.0 / sine_mass(B);
}

double dlf_bn_effective(double B, double positions, double r)
{
    return B * positions / (1.0 + (positions - 1.0) * r);
}

double dlf_bn_leak(double B)
{
    return B > 2.0 ? 2.0 / (B + 1.0) : NAN;
}

double dlf_ema_bias(double m, double t)
{
    return pow(1.0 - m, t);
}

double dlf_ema_spread(double m, double t)
{
    return m / (2.0 - m) * (1.0 - pow(1.0 - m, 2.0 * t));
}

double dlf_bn_rate_linear(double B)
{
    return (B - 2.0) / (B - 3.0);
}

double dlf_bn_rate_relu(double B)
{
    const double c = -1.0 / (B - 1.0), others = B - 1.0;
    const double p = 0.5 * dlf_arccos_kernel0(c), b = 0.5 * dlf_arccos_kernel1(c);
    const double trace = (B - 2.0) / 2.0 - (B / 2.0 - (0.5 + others * p) - (0.5 + others * b)) / B;
    return B / ((B - 3.0) * (0.5 - b)) * trace / others;
}

double dlf_bn_first_linear(double B)
{
    return (B - 1.0) * (B - 2.0) / (B * (B - 3.0));
}

double dlf_bn_first_relu(double B)
{
    const double b = 0.5 * dlf_arccos_kernel1(-1.0 / (B - 1.0));
    return (B - 2.0) / (2.0 * (B - 3.0) * (0.5 - b));
}

typedef struct moment {
    dlf_activation f;
    int what; /* 0: phi, 1: phi^2, 2: phi'^2 */
} moment;

static double moment_at(double z, const void *user)
{
    const moment *m = user;
    const double y = dlf_activation_value(m->f, z), d = dlf_activation_derivative(m->f, z);
    return m->what == 0 ? y : m->what == 1 ? y * y : d * d;
}

static double moment_of(dlf_activation f, int what)
{
    const moment m = {f, what};
    return dlf_gaussian_mean(moment_at, &m);
}

double dlf_bn_rate_wide(dlf_activation f)
{
    const double mean = moment_of(f, 0);
    return moment_of(f, 2) / (moment_of(f, 1) - mean * mean);
}

double dlf_ln_rate_wide(dlf_activation f)
{
    return moment_of(f, 2) / moment_of(f, 1);
}
