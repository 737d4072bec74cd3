/* SPDX-License-Identifier: MIT
 * early_stopping.h -- the parts of the experiment `early-stopping` (Q10), and its closed forms. */
#ifndef DLF_EARLY_STOPPING_H
#define DLF_EARLY_STOPPING_H
#include "dlf/experiment.h"

/* Each uses the share from..to of the progress bar and adds its tables, checks and figures. */
DLF_MUST_CHECK dlf_status dlf_early_paths(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_early_digits(dlf_run *run, double from, double to);

/* ---- least squares with a prior --------------------------------------------------------------
 *
 * y = X b + sigma e, X (n,p), b ~ N(0, I/p), H = X^T X / n with eigenvalues s. Ridge, gradient flow
 * and gradient descent from 0 all multiply the least-squares solution by a filter phi(s) in [0,1]:
 *
 *   ridge lambda  s / (s + lambda)       flow  1 - e^-ts       k steps of eta  1 - (1 - eta s)^k
 *
 * and have the risk E|w - b|^2 = sum_s (1 - phi)^2 / p + sigma^2/n phi^2 / s. */
typedef struct dlf_ridge_problem {
    int n, p;
    double sigma;
    const double *s; /* (p) > 0 */
} dlf_ridge_problem;

double dlf_ridge_risk(const dlf_ridge_problem *q, double lambda);
double dlf_flow_risk(const dlf_ridge_problem *q, double t);
/* *spread (may be NULL): standard deviation of |w - b|^2 over b and e. */
double dlf_descent_risk(const dlf_ridge_problem *q, double eta, double steps, double *spread);
double dlf_converged_risk(const dlf_ridge_problem *q); /* least squares */

/* Least over t or lambda in 1e-4..1e4 and where: a scan, then golden section. */
double dlf_best_flow(const dlf_ridge_problem *q, double *t);
double dlf_best_ridge(const dlf_ridge_problem *q, double *lambda);

/* At x = s t, lambda = 1/t: flow over ridge (Ali, Kolter & Tibshirani 2019).
 *   variance  ((1 - e^-x)(1 + x)/x)^2   bias  (e^-x (1 + x))^2
 *   tuned     (1 + x)(e^-2x + (1 - e^-x)^2/x): risks at the best lambda = sigma^2 p/n */
double dlf_flow_variance_ratio(double x);
double dlf_flow_bias_ratio(double x);
double dlf_flow_tuned_ratio(double x);
/* Greatest value of f on (0, 100) and where. */
double dlf_greatest(double (*f)(double), double *x);
#endif
