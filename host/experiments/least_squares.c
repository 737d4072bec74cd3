/* SPDX-License-Identifier: MIT
 * least_squares.c -- least squares on the host, and its risk. */
#include "least_squares.h"

#include <math.h>
#include <stdlib.h>

double dlf_least_squares_risk(int n, int p, double sigma, double length)
{
    if (n > p + 1) return sigma * sigma * p / (n - p - 1.0);
    if (n < p - 1)
        return length * length * (1.0 - (double)n / p) + sigma * sigma * n / (p - n - 1.0);
    return INFINITY;
}

bool dlf_solve_positive(double *a, int n, double *b, int K)
{
    bool positive = true;
    for (int i = 0; i < n; i++)
        for (int j = 0; j <= i; j++) {
            double sum = a[i * n + j];
            for (int k = 0; k < j; k++) sum -= a[i * n + k] * a[j * n + k];
            if (i == j)
                positive &= sum > 1e-13 * a[i * n + i]; /* else rounding is all that is left */
            a[i * n + j] = i == j ? sqrt(sum) : sum / a[j * n + j];
        }
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < i; j++)
            for (int k = 0; k < K; k++) b[i * K + k] -= a[i * n + j] * b[j * K + k];
        for (int k = 0; k < K; k++) b[i * K + k] /= a[i * n + i];
    }
    for (int i = n - 1; i >= 0; i--) {
        for (int j = i + 1; j < n; j++)
            for (int k = 0; k < K; k++) b[i * K + k] -= a[j * n + i] * b[j * K + k];
        for (int k = 0; k < K; k++) b[i * K + k] /= a[i * n + i];
    }
    return positive;
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
    const bool solved = dlf_solve_positive(a, k, b, 1);
    for (int j = 0; j < p; j++) {
        w[j] = dual ? 0.0 : b[j];
        for (int i = 0; i < n && dual; i++) w[j] += x[(long)i * p + j] * b[i];
    }
    free(a);
    return solved
               ? DLF_OK
               : dlf_fail(DLF_ERR_SELF_CHECK, "least squares: %d rows, %d weights: singular", n, p);
}
