/* SPDX-License-Identifier: MIT
 * more_data.h -- the parts of the experiment `more-data` (Q2), and its closed forms. */
#ifndef DLF_MORE_DATA_H
#define DLF_MORE_DATA_H
#include "dlf/experiment.h"

/* Each uses the share from..to of the progress bar and adds its tables, checks and figures. */
DLF_MUST_CHECK dlf_status dlf_more_cases(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_more_rows(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_more_examples(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_more_digits(dlf_run *run, double from, double to);

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

/* Error of a perceptron trained by Hebb's rule w = sum t x on alpha N examples of a teacher, N
 * large: atan(sqrt(pi / (2 alpha))) / pi (Vallet 1989). */
double dlf_hebb_error(double alpha);
#endif
