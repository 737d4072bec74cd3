/* SPDX-License-Identifier: MIT
 * quadrature.c -- expectations over standard normals by graded Gauss-Legendre panels. */
#include "theory/quadrature.h"

#include <math.h>
#include <pthread.h>

/* Nodes of the 16-point Gauss-Legendre rule on [-1,1] by Newton's method on P_16. */
enum { POINTS = 16 };

static void legendre_rule(double node[POINTS], double weight[POINTS])
{
    for (int i = 0; i < POINTS; i++) {
        double x = cos(M_PI * (i + 0.75) / (POINTS + 0.5)), slope = 1.0;
        for (int step = 0; step < 50; step++) {
            double p = 1.0, previous = 0.0;
            for (int k = 1; k <= POINTS; k++) {
                const double next = ((2 * k - 1) * x * p - (k - 1) * previous) / k;
                previous = p;
                p = next;
            }
            slope = POINTS * (x * p - previous) / (x * x - 1.0);
            const double dx = p / slope;
            x -= dx;
            if (fabs(dx) < 1e-16) break;
        }
        node[i] = x;
        weight[i] = 2.0 / ((1.0 - x * x) * slope * slope);
    }
}

/* Panels 0 < edge < 2 edge < ... on each side of 0, then unit steps to `far`. */
static int build(dlf_gauss_rule *rule, double smallest, double far)
{
    double node[POINTS], weight[POINTS];
    legendre_rule(node, weight);
    int n = 0;
    double a = 0.0, b = smallest;
    while (a < far) {
        if (b > far) b = far;
        for (int i = 0; i < POINTS; i++) {
            const double z = 0.5 * (a + b) + 0.5 * (b - a) * node[i];
            const double w = 0.5 * (b - a) * weight[i] * exp(-0.5 * z * z) / sqrt(2.0 * M_PI);
            rule->z[n] = z;
            rule->w[n++] = w;
            rule->z[n] = -z;
            rule->w[n++] = w;
        }
        a = b;
        b = b < 1.0 ? 2.0 * b : b + 1.0;
    }
    rule->n = n;
    return n;
}

static dlf_gauss_rule fine_rule, coarse_rule;

static void build_rules(void)
{
    build(&fine_rule, 0x1p-18, 11.0); /* resolves features of width 4e-6 at z = 0 */
    build(&coarse_rule, 0x1p-3, 9.0); /* for products of two rules                 */
}

static pthread_once_t once = PTHREAD_ONCE_INIT;

const dlf_gauss_rule *dlf_gauss_fine(void)
{
    pthread_once(&once, build_rules);
    return &fine_rule;
}

const dlf_gauss_rule *dlf_gauss_coarse(void)
{
    pthread_once(&once, build_rules);
    return &coarse_rule;
}
