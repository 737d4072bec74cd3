/* SPDX-License-Identifier: MIT
 * svm.h -- the parts of the experiment `svm` (Q35), a support vector machine, and closed forms. */
#ifndef DLF_SVM_H
#define DLF_SVM_H
#include "dlf/experiment.h"

/* Each uses the share from..to of the progress bar and adds its tables, checks and figures. */
DLF_MUST_CHECK dlf_status dlf_svm_margin(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_svm_digits(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_svm_features(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_svm_sparsity(dlf_run *run, double from, double to);

/* ---- gradient descent and the hard margin --------------------------------------------------- */

/* Logistic loss on rows a_i = y_i x_i in the plane, mean over n, step `rate`: after t steps from 0
 *
 *   w = w^ ln t + w~ + o(1)                          (Soudry et al. 2018, theorem 3 and its proof)
 *
 * w^ = v/|v|^2 points to the hull's nearest point v = sum lambda_i a_i (hull.h); on the two support
 * vectors (rate/n) exp(-w~ a_i) = lambda_i/|v|^2, which is w~. */
typedef struct dlf_svm_limit {
    double w_hat[2], w_tilde[2];
    double margin; /* |v| = 1/|w^| */
} dlf_svm_limit;
/* False unless exactly two rows are support vectors, all others lie at least `apart` times the
 * margin away, and sum lambda_i |a_i|^2 >= 2 |v|^2: what is not in the limit yet goes like t^-kappa
 * across v, kappa = sum lambda_i |a_i|^2 / |v|^2 - 1 (the flow in ln t, linearised). errors as
 * dlf_hull_nearest */
DLF_MUST_CHECK dlf_status dlf_svm_limit_of(dlf_svm_limit *out, bool *usable, const double *a, int n,
                                           double rate, double apart);
/* 1 - cos of w^ ln t + w~ and w^;  |w^ ln t + w~| |v| */
double dlf_svm_angle(const dlf_svm_limit *limit, double t);
double dlf_svm_length(const dlf_svm_limit *limit, double t);

/* ---- a kernel machine ----------------------------------------------------------------------- */

/* min 1/2 |f|^2 + C sum max(0, 1 - y_i (f(x_i) + bias)) by its dual,
 *
 *   max sum |beta_i| - 1/2 sum beta_i beta_j K_ij,  0 <= y_i beta_i <= C,  sum beta_i = 0
 *
 * two coefficients at a time, chosen by second order (Platt 1998; Fan, Chen & Lin 2005).
 *
 *   k       (n,pitch) rows of the Gram matrix, positive definite; the first n columns are used
 *   y       (n) +1 or -1; of one kind alone: beta = 0 and the bias is y
 *   beta    (n) gets the coefficients of f(x) = sum beta_i K(x_i, x);  f (n) gets f(x_i)
 *   gap     primal less dual, over the primal: what is left to gain at most; NULL: not wanted
 *   stops   where the conditions hold to 2e-4, or after 1,000 n moves
 *   cost    about 4 n flops per move
 *   returns the bias */
double dlf_svm_train(double *beta, float *f, const float *k, long pitch, const float *y, int n,
                     double C, double *gap);

/* k (m,n) = exp(-width |x_i - z_j|^2), x (m,d), z (n,d). */
void dlf_svm_gaussian(float *k, const float *x, int m, const float *z, int n, int d, double width);
/* Coefficients at least 1e-6 of C in size: support vectors. */
int dlf_svm_support(const double *beta, int n, double C);
#endif
