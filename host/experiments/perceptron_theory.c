/* SPDX-License-Identifier: MIT
 * perceptron_theory.c -- Q12: Cover's count. */
#include <math.h>

#include "perceptron.h"

/* sum_{k < dim} C(points-1, k), times `first`: each term from the one before. */
static double binomial_sum(int points, int dim, double first)
{
    double term = first, sum = 0.0;
    for (int k = 0; k < dim && k < points; k++) {
        sum += term;
        term = term * (points - 1 - k) / (k + 1);
    }
    return sum;
}

double dlf_cover_count(int points, int dim)
{
    return 2.0 * binomial_sum(points, dim, 1.0);
}

double dlf_cover_share(int points, int dim)
{
    return binomial_sum(points, dim, ldexp(1.0, 1 - points));
}
