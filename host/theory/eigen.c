/* SPDX-License-Identifier: MIT
 * eigen.c -- eigenvalues of small symmetric matrices. */
#include <math.h>
#include <stdlib.h>

#include "dlf/theory.h"

/* Turn rows and columns p and q of the symmetric a so that a[p][q] becomes 0. */
static void rotate(double *a, int n, int p, int q)
{
    const double apq = a[p * n + q];
    if (apq == 0.0) return;
    const double theta = (a[q * n + q] - a[p * n + p]) / (2.0 * apq);
    const double t = copysign(1.0, theta) / (fabs(theta) + sqrt(theta * theta + 1.0));
    const double c = 1.0 / sqrt(t * t + 1.0), s = t * c;
    for (int k = 0; k < n; k++) {
        const double x = a[p * n + k], y = a[q * n + k];
        a[p * n + k] = c * x - s * y;
        a[q * n + k] = s * x + c * y;
    }
    for (int k = 0; k < n; k++) {
        const double x = a[k * n + p], y = a[k * n + q];
        a[k * n + p] = c * x - s * y;
        a[k * n + q] = s * x + c * y;
    }
}

static int descending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

void dlf_symmetric_eigenvalues(double *a, int n, double *value)
{
    double trace2 = 0.0; /* squared Frobenius norm, which rotations keep */
    for (int i = 0; i < n * n; i++) trace2 += a[i] * a[i];
    for (int sweep = 0; sweep < 60; sweep++) {
        double off = 0.0;
        for (int p = 0; p < n; p++)
            for (int q = p + 1; q < n; q++) off += 2.0 * a[p * n + q] * a[p * n + q];
        if (!(off > 1e-26 * trace2)) break;
        for (int p = 0; p < n; p++)
            for (int q = p + 1; q < n; q++) rotate(a, n, p, q);
    }
    for (int i = 0; i < n; i++) value[i] = a[i * n + i];
    qsort(value, (size_t)n, sizeof *value, descending);
}
