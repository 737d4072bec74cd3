/* SPDX-License-Identifier: MIT
 * rounded.c -- Taylor polynomials after exact range reduction. */
#include "data/rounded.h"

#include <math.h>

/* sum of c^k a^2 / ((n+1)(n+2)) ... by Horner: 1 - a^2/(n (n+1)) (1 - a^2/((n+2)(n+3)) (...)). */
static double alternating(double square, int n, int last)
{
    double sum = 1.0;
    for (int k = last; k >= n; k -= 2) sum = 1.0 - square / (double)(k * (k + 1)) * sum;
    return sum;
}

void dlf_rounded_circle(double turns, double *cosine, double *sine)
{
    const double u = turns - floor(turns); /* [0,1]; exact but for tiny negative turns */
    const double quarter = rint(4.0 * u);  /* 0..4 */
    const double a = (u - 0.25 * quarter) * 6.283185307179586; /* in +-pi/4 */
    const double square = a * a;
    const double c = alternating(square, 1, 17), s = a * alternating(square, 2, 18);
    switch ((int)quarter & 3) {
    case 0: *cosine = c, *sine = s; break;
    case 1: *cosine = -s, *sine = c; break;
    case 2: *cosine = -c, *sine = -s; break;
    default: *cosine = s, *sine = -c; break;
    }
}

/* e^x - 1 for |x| <= 44: x = k ln 2 + r, |r| <= ln(2)/2. */
static double exp_minus_1(double x)
{
    const double k = rint(x * 1.4426950408889634);
    /* ln 2 in two parts, the first with so few bits that its product with k is exact. */
    const double r = (x - k * 0x1.62e42fee00000p-1) - k * 0x1.a39ef35793c76p-33;
    double sum = 1.0;
    for (int n = 18; n >= 2; n--) sum = 1.0 + r / n * sum;
    const double power = ldexp(1.0, (int)k);
    return power * (r * sum) + (power - 1.0);
}

double dlf_rounded_tanh(double x)
{
    if (!(fabs(x) < 22.0)) return isnan(x) ? x : copysign(1.0, x); /* 1 - tanh 22 < 2^-62 */
    const double e = exp_minus_1(2.0 * fabs(x));
    return copysign(e / (e + 2.0), x);
}
