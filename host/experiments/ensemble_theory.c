/* SPDX-License-Identifier: MIT
 * ensemble_theory.c -- closed forms of Q3. */
#include <math.h>

#include "ensemble.h"

double dlf_condorcet(int n, double p)
{
    double sum = 0.0;
    for (int k = n / 2 + 1; k <= n; k++)
        sum += exp(lgamma(n + 1.0) - lgamma(k + 1.0) - lgamma(n - k + 1.0) + k * log(p) +
                   (n - k) * log1p(-p));
    return sum;
}

double dlf_brier_of(int K, int M, double one, double spread)
{
    return one - (1.0 - 1.0 / K) * M / (M - 1.0) * spread;
}
