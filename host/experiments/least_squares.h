/* SPDX-License-Identifier: MIT
 * least_squares.h -- least squares on the host, in double, for experiments whose networks are
 * linear. */
#ifndef DLF_LEAST_SQUARES_H
#define DLF_LEAST_SQUARES_H
#include <stdbool.h>

#include "dlf/status.h"

/* a (n,n) symmetric and positive definite, of which the lower half is read, becomes its Cholesky
 * factor L; then L L^T x = b for the K columns of b (n,K), in place. False where a is not positive
 * definite within rounding: what b holds then is of no use. */
bool dlf_solve_positive(double *a, int n, double *b, int K);

/* Expected excess risk E |w - beta|^2 of least squares, x ~ N(0, I_p), noise sigma, |beta| = length
 * (Hastie et al. 2022, sec. 3: exact for Gaussian x by the mean of an inverse Wishart matrix)
 *   n > p + 1   sigma^2 p / (n - p - 1)
 *   n < p - 1   length^2 (1 - n/p) + sigma^2 n / (p - n - 1)       the solution of least norm
 *   else        Infinity */
double dlf_least_squares_risk(int n, int p, double sigma, double length);

/* Least squares by rows x (n,p) and y (n): w (p), of least norm where n < p; ridge adds
 * ridge |w|^2.
 *   errors  DLF_ERR_SELF_CHECK  the matrix is singular */
DLF_MUST_CHECK dlf_status dlf_least_squares(double *w, const double *x, const double *y, int n,
                                            int p, double ridge);
#endif
