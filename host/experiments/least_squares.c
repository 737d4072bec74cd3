/* SPDX-License-Identifier: MIT
 * least_squares.c -- least squares on the host, and its risk. */
#include "least_squares.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

double dlf_least_squares_risk(int n, int p, double sigma, double length)
{
    if (n > p + 1) return sigma * sigma * p / (n - p - 1.0);
    if (n < p - 1)
        return length * length * (1.0 - (double)n / p) + sigma * sigma * n / (p - n - 1.0);
    return INFINITY;
}

/* a (k,k) positive definite, b (k): a^-1 b in b, by Cholesky; a is destroyed. False: singular. */
static bool solve(double *a, double *b, int k)
{
    for (int i = 0; i < k; i++) {
        for (int j = 0; j <= i; j++) {
            double s = a[i * k + j];
            for (int l = 0; l < j; l++) s -= a[i * k + l] * a[j * k + l];
            if (j < i) {
                a[i * k + j] = s / a[j * k + j];
            } else {
                if (!(s > 1e-13 * a[i * k + i])) return false; /* rounding is all that is left */
                a[i * k + i] = sqrt(s);
            }
        }
        for (int l = 0; l < i; l++) b[i] -= a[i * k + l] * b[l];
        b[i] /= a[i * k + i];
    }
    for (int i = k - 1; i >= 0; i--) {
        for (int l = i + 1; l < k; l++) b[i] -= a[l * k + i] * b[l];
        b[i] /= a[i * k + i];
    }
    return true;
}

dlf_status dlf_least_squares(double *w, const double *x, const double *y, int n, int p,
                             double ridge)
{
    /* (X^T X + r) w = X^T y, or w = X^T (X X^T + r)^-1 y: whichever matrix is smaller */
    const bool dual = n < p;
    const int k = dual ? n : p;
    double *a = malloc((size_t)k * (size_t)(k + 1) * sizeof *a), *b = a + (long)k * k;
    if (!a) return dlf_fail(DLF_ERR_OOM, "least squares: out of memory");
    for (int i = 0; i < k; i++)
        for (int j = 0; j <= i; j++) {
            double s = i == j ? ridge : 0.0;
            if (dual)
                for (int l = 0; l < p; l++) s += x[(long)i * p + l] * x[(long)j * p + l];
            else
                for (int l = 0; l < n; l++) s += x[(long)l * p + i] * x[(long)l * p + j];
            a[i * k + j] = s;
        }
    for (int i = 0; i < k; i++) {
        b[i] = dual ? y[i] : 0.0;
        for (int l = 0; l < n && !dual; l++) b[i] += x[(long)l * p + i] * y[l];
    }
    const bool solved = solve(a, b, k);
    for (int j = 0; j < p; j++) {
        w[j] = dual ? 0.0 : b[j];
        for (int i = 0; i < n && dual; i++) w[j] += x[(long)i * p + j] * b[i];
    }
    free(a);
    return solved
               ? DLF_OK
               : dlf_fail(DLF_ERR_SELF_CHECK, "least squares: %d rows, %d weights: singular", n, p);
}
