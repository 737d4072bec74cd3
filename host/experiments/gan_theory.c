/* SPDX-License-Identifier: MIT
 * gan_theory.c -- closed forms of Q20 and Q45. */
#include <math.h>

#include "dlf/theory.h"
#include "gan.h"

static double normal(double x, double sd)
{
    return exp(-0.5 * x * x / (sd * sd)) / (sd * sqrt(2.0 * M_PI));
}

double dlf_humps_density(dlf_humps h, double x)
{
    return 0.5 * (normal(x - h.centre - h.half, h.sd) + normal(x - h.centre + h.half, h.sd));
}

double dlf_best_discriminator(dlf_humps p, dlf_humps q, double x)
{
    const double a = dlf_humps_density(p, x), b = dlf_humps_density(q, x);
    return a / (a + b);
}

/* p log(p / (p + q)), 0 where p is 0 */
static double share(double p, double q)
{
    return p > 0.0 ? p * log(p / (p + q)) : 0.0;
}

double dlf_gan_value(dlf_humps p, dlf_humps q)
{
    const double from = fmin(p.centre - p.half - 12.0 * p.sd, q.centre - q.half - 12.0 * q.sd),
                 to = fmax(p.centre + p.half + 12.0 * p.sd, q.centre + q.half + 12.0 * q.sd),
                 h = fmin(p.sd, q.sd) / 64.0;
    double sum = 0.0;
    for (long i = 0; from + (double)i * h < to; i++) {
        const double x = from + (double)i * h, a = dlf_humps_density(p, x),
                     b = dlf_humps_density(q, x);
        sum += h * (share(a, b) + share(b, a));
    }
    return sum;
}

static double judged_real(double z, const void *user)
{
    const double shift = *(const double *)user;
    return 1.0 / (1.0 + exp(shift * z + 0.5 * shift * shift));
}

double dlf_gan_saturating(double shift)
{
    return shift * dlf_gaussian_mean(judged_real, &shift);
}

double dlf_gan_non_saturating(double shift)
{
    return shift - dlf_gan_saturating(shift);
}

double dlf_dirac_rate(double h, double gamma, bool in_turns)
{
    /* theta' = theta - h/2 psi, or psi' in its place; psi' = psi + h/2 theta - h gamma psi */
    const double trace = 2.0 - h * gamma - (in_turns ? 0.25 * h * h : 0.0),
                 det = 1.0 - h * gamma + (in_turns ? 0.0 : 0.25 * h * h),
                 inside = 0.25 * trace * trace - det;
    if (inside <= 0.0) return sqrt(det);
    return fmax(fabs(0.5 * trace + sqrt(inside)), fabs(0.5 * trace - sqrt(inside)));
}
