/* SPDX-License-Identifier: MIT
 * evolution_theory.c -- closed forms of Q47. */
#include <math.h>

#include "dlf/theory.h"
#include "evolution.h"

double dlf_sphere_success(double s)
{
    return dlf_normal_cdf(-0.5 * s);
}

double dlf_sphere_progress(double s)
{
    return s * exp(-s * s / 8.0) / sqrt(2.0 * M_PI) - 0.5 * s * s * dlf_normal_cdf(-0.5 * s);
}

double dlf_es_alignment(double m, double d)
{
    return m / (m + d + 1.0);
}

static double log_choose(int n, int k)
{
    return lgamma(n + 1.0) - lgamma(k + 1.0) - lgamma(n - k + 1.0);
}

/* P(k of n bits flip) */
static double flips(int n, int k, double p)
{
    return exp(log_choose(n, k) + k * log(p) + (n - k) * log1p(-p));
}

double dlf_onemax_time(int n)
{
    double time[201] = {0.0}, mean = 0.0; /* from i zeros */
    for (int i = 1; i <= n; i++) {
        double leave = 0.0, later = 0.0;
        for (int gained = 1; gained <= i; gained++) /* zeros that become ones   */
            for (int lost = 0; lost < gained && lost <= n - i;
                 lost++) { /* and the other way round */
                const double p = flips(i, gained, 1.0 / n) * flips(n - i, lost, 1.0 / n);
                leave += p;
                later += p * time[i - gained + lost];
            }
        time[i] = (1.0 + later) / leave;
    }
    for (int i = 0; i <= n; i++) mean += exp(log_choose(n, i) - n * log(2.0)) * time[i];
    return mean;
}
