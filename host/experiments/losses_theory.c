/* SPDX-License-Identifier: MIT
 * losses_theory.c -- closed forms of Q19. */
#include <math.h>

#include "losses.h"

double dlf_losses_escape_ce(double z0)
{
    return z0 - expm1(-z0);
}

/* 1 / (s (1-s)^2) = (1 + e^-z) (1 + e^z)^2 = 3 + 3 e^z + e^2z + e^-z, integrated from -z0 to 0. */
double dlf_losses_escape_mse(double z0)
{
    return expm1(z0) + 3.0 * z0 - 3.0 * expm1(-z0) - 0.5 * expm1(-2.0 * z0);
}

/* ---- noise ---- */

static double normal_density(double x, double s)
{
    return exp(-0.5 * x * x / (s * s)) / (s * sqrt(2.0 * M_PI));
}

double dlf_noise_variance(dlf_noise f)
{
    return f.laplace ? 2.0 : 1.0 - f.share + f.share * f.outlier * f.outlier;
}

double dlf_noise_density(dlf_noise f, double x)
{
    if (f.laplace) return 0.5 * exp(-fabs(x));
    double density = (1.0 - f.share) * normal_density(x, 1.0);
    if (f.share > 0.0) density += f.share * normal_density(x, f.outlier);
    return density;
}

double dlf_noise_cdf(dlf_noise f, double x)
{
    if (f.laplace) return x < 0.0 ? 0.5 * exp(x) : 1.0 - 0.5 * exp(-x);
    double below = (1.0 - f.share) * 0.5 * erfc(-x * M_SQRT1_2);
    if (f.share > 0.0) below += f.share * 0.5 * erfc(-x * M_SQRT1_2 / f.outlier);
    return below;
}

double dlf_noise_mean_abs(dlf_noise f)
{
    return f.laplace ? 1.0 : sqrt(2.0 / M_PI) * (1.0 - f.share + f.share * f.outlier);
}

/* ---- variances of location estimates ---- */

/* P(|X| <= k) and E[X^2; |X| <= k] of N(0,s^2). */
static void normal_inside(double s, double k, double *within, double *square)
{
    const double a = k * M_SQRT1_2 / s;
    *within = erf(a);
    *square = s * s * (erf(a) - 2.0 / sqrt(M_PI) * a * exp(-a * a));
}

static double huber_variance(dlf_noise f, double k)
{
    double within, square;
    if (f.laplace) {
        within = -expm1(-k);
        square = 2.0 - exp(-k) * (k * k + 2.0 * k + 2.0);
    } else {
        double p, q;
        normal_inside(1.0, k, &within, &square);
        normal_inside(f.outlier, k, &p, &q);
        within += f.share * (p - within);
        square += f.share * (q - square);
    }
    return (square + k * k * (1.0 - within)) / (within * within);
}

double dlf_loss_variance(dlf_noise f, dlf_loss loss)
{
    const double centre = dlf_noise_density(f, 0.0);
    switch (loss.kind) {
    case DLF_LOSS_MSE: return dlf_noise_variance(f);
    case DLF_LOSS_MAE: return 0.25 / (centre * centre);
    case DLF_LOSS_HUBER: return huber_variance(f, loss.delta);
    default: return NAN;
    }
}

double dlf_median_variance(dlf_noise f, int n)
{
    /* E X_(m+1)^2, n = 2m + 1, by Simpson's rule on the upper half. The integrand falls at least as
     * fast as the density: 14 standard deviations of the widest part are beyond double; and of many
     * draws the middle one lies within 40 of its own, 1 / (2 f(0) sqrt n). */
    enum { PANELS = 40000 };
    double far = f.laplace ? 40.0 : 14.0 * fmax(1.0, f.share > 0.0 ? f.outlier : 1.0);
    if (n > 100) far = fmin(far, 20.0 / (dlf_noise_density(f, 0.0) * sqrt(n)));
    const double m = (n - 1) / 2, h = far / PANELS;
    const double log_coefficient = lgamma(n + 1.0) - 2.0 * lgamma(m + 1.0);
    double sum = 0.0;
    for (int i = 1; i <= PANELS; i++) { /* the term of x = 0 is 0 */
        const double x = i * h, above = dlf_noise_cdf(f, -x);
        const double log_weight = log_coefficient + m * (log(above) + log1p(-above));
        const double weight = i == PANELS ? 1.0 : i % 2 ? 4.0 : 2.0;
        sum += weight * x * x * exp(log_weight) * dlf_noise_density(f, x);
    }
    return 2.0 * n * sum * h / 3.0;
}

/* ---- what a loss elicits ---- */

/* E psi(X - m) for X ~ Exp(1), psi(d) = d clipped to [-k, k]. */
static double huber_balance(double m, double k)
{
    const double low = fmax(0.0, m - k), high = m + k;
    const double inside = (low - m + 1.0) * exp(-low) - (high - m + 1.0) * exp(-high);
    return inside + k * exp(-high) + (m > k ? k * expm1(-low) : 0.0);
}

double dlf_loss_location_exponential(dlf_loss loss)
{
    if (loss.kind == DLF_LOSS_MSE) return 1.0;
    if (loss.kind == DLF_LOSS_MAE) return log(2.0);
    if (loss.kind != DLF_LOSS_HUBER) return NAN;
    double low = log(2.0) / 2, high = 1.0; /* between half the median and the mean */
    for (int i = 0; i < 60; i++) {
        const double middle = 0.5 * (low + high);
        if (huber_balance(middle, loss.delta) > 0.0)
            low = middle;
        else
            high = middle;
    }
    return 0.5 * (low + high);
}
