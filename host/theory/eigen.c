/* SPDX-License-Identifier: MIT
 * eigen.c -- eigenvalues and eigenvectors of small symmetric matrices. */
#include <math.h>
#include <string.h>

#include "dlf/theory.h"

/* Rows p and q of a (rows of n, `step` from element to element), rotated by the angle of (c, s). */
static void turn(double *a, int n, int p, int q, double c, double s, bool columns)
{
    const int row = columns ? 1 : n, step = columns ? n : 1;
    for (int k = 0; k < n; k++) {
        double *const x = a + p * row + k * step, *const y = a + q * row + k * step;
        const double xp = *x, yq = *y;
        *x = c * xp - s * yq;
        *y = s * xp + c * yq;
    }
}

/* Turn rows and columns p and q of the symmetric a so that a[p][q] becomes 0 (Golub & Van Loan
 * 2013, 8.5). */
static void rotate(double *a, int n, int p, int q, double *vector)
{
    const double apq = a[p * n + q];
    if (apq == 0.0) return;
    const double theta = (a[q * n + q] - a[p * n + p]) / (2.0 * apq);
    const double t = copysign(1.0, theta) / (fabs(theta) + sqrt(theta * theta + 1.0));
    const double c = 1.0 / sqrt(t * t + 1.0), s = t * c;
    turn(a, n, p, q, c, s, false);
    turn(a, n, p, q, c, s, true);
    if (vector) turn(vector, n, p, q, c, s, false);
}

static void swap(double *x, double *y)
{
    const double kept = *x;
    *x = *y;
    *y = kept;
}

/* By selection: n is small, and the rows of `vector` must go along. */
static void sort_descending(int n, double *value, double *vector)
{
    for (int i = 0; i < n; i++) {
        int largest = i;
        for (int j = i + 1; j < n; j++)
            if (value[j] > value[largest]) largest = j;
        if (largest == i) continue;
        swap(&value[i], &value[largest]);
        for (int k = 0; vector && k < n; k++) swap(&vector[i * n + k], &vector[largest * n + k]);
    }
}

void dlf_symmetric_eigen(double *a, int n, double *value, double *vector)
{
    double trace2 = 0.0; /* squared Frobenius norm, which rotations keep */
    for (int i = 0; i < n * n; i++) trace2 += a[i] * a[i];
    if (vector) memset(vector, 0, (size_t)n * (size_t)n * sizeof *vector);
    for (int i = 0; vector && i < n; i++) vector[i * n + i] = 1.0;
    for (int sweep = 0; sweep < 60; sweep++) { /* convergence is quadratic: 8 or so are needed */
        double off = 0.0;
        for (int p = 0; p < n; p++)
            for (int q = p + 1; q < n; q++) off += 2.0 * a[p * n + q] * a[p * n + q];
        if (!(off > 1e-32 * trace2)) break;
        for (int p = 0; p < n; p++)
            for (int q = p + 1; q < n; q++) rotate(a, n, p, q, vector);
    }
    for (int i = 0; i < n; i++) value[i] = a[i * n + i];
    sort_descending(n, value, vector);
}
