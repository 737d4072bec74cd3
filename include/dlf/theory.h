/* SPDX-License-Identifier: MIT
 * theory.h -- the closed forms that experiments are compared with, computed, never typed in.
 *
 * Mean-field theory of wide random networks (Poole et al. 2016; Schoenholz et al. 2017):
 *
 *     z^l = W^l phi(z^{l-1}) + b^l,   W_ij ~ N(0, sigma_w^2 / fan_in),   b_i ~ N(0, sigma_b^2)
 *
 *     q*     = sigma_w^2 E[phi(sqrt(q*) z)^2] + sigma_b^2                 length fixed point
 *     chi_1  = sigma_w^2 E[phi'(sqrt(q*) z)^2]           E|delta^l|^2 = chi_1 E|delta^{l+1}|^2
 *     c*     = (sigma_w^2 E[phi(u) phi(v)] + sigma_b^2) / q*              correlation fixed point
 *     chi_c  = sigma_w^2 E[phi'(u) phi'(v)]              u,v ~ N(0, q*), corr(u,v) = c*
 *     xi_c   = -1 / ln chi_c                             depth over which two inputs stay apart
 *     xi_1   = -1 / ln chi_1 (chi_1 < 1)                 depth over which the gradient falls by e
 *
 * Quadrature. The usual Gauss-Hermite rule is wrong for activations with a kink: with an odd number
 * of nodes one node sits on z = 0 with phi'(0) arbitrary (201 nodes: chi_1 of ReLU off by 9 %), and
 * with any number it converges like 1/n there. Here every expectation is split at 0 and integrated
 * by Gauss-Legendre panels graded geometrically towards 0: kinks cost nothing, and a sigmoid of
 * sqrt(q*) = 1000 is resolved as well as one of 0.001. Relative error below 1e-12 (tests). */
#ifndef DLF_THEORY_H
#define DLF_THEORY_H
#include <stdbool.h>

#include "dlf/ops.h"
#ifdef __cplusplus
extern "C" {
#endif

/* E[g(z)], z ~ N(0,1).  cost: 1000 calls of g */
double dlf_gaussian_mean(double (*g)(double z, const void *user), const void *user);

typedef struct dlf_meanfield {
    double sigma_w2, sigma_b2;
    double q_star; /* Infinity if lengths grow without bound, 0 if they vanish   */
    double chi_1;  /* for q* = 0 or Infinity: the limit                          */
    double c_star; /* 1 in the ordered phase                                     */
    double chi_c;  /* == chi_1 when c* == 1                                      */
    double xi_c;   /* layers; Infinity at criticality                            */
} dlf_meanfield;

/* Solve the fixed points, lengths started from q = 1. `with_correlation` false leaves c_star, chi_c
 * and xi_c NaN and is 100 times faster. Every sigma >= 0 is allowed.  cost 0.1 ms / 10 ms */
dlf_meanfield dlf_meanfield_solve(dlf_activation f, double sigma_w2, double sigma_b2,
                                  bool with_correlation);

/* chi_1 at a given length q instead of the fixed point. */
double dlf_meanfield_chi(dlf_activation f, double sigma_w2, double q);

/* The sigma_w^2 at which chi_1 = 1 for this sigma_b^2 (the edge of chaos): the smallest root in
 * (1e-3, 1e4) that a scan in steps of 1.5 sees. NaN if there is none.  cost 10 ms */
double dlf_meanfield_edge(dlf_activation f, double sigma_b2);

/* The same with dropout: every unit is kept with probability `keep`, in (0,1], and divided by it,
 * z^l = W^l (m^l phi(z^{l-1}) / keep) + b^l; two inputs meet independent masks (Schoenholz et al.
 * 2017, section 5). Lengths and gradients see sigma_w^2 / keep, correlations sigma_w^2:
 *
 *     q*    = sigma_w^2 / keep E[phi(sqrt(q*) z)^2] + sigma_b^2
 *     chi_1 = sigma_w^2 / keep E[phi'(sqrt(q*) z)^2]
 *     c*    = (sigma_w^2 E[phi(u) phi(v)] + sigma_b^2) / q*
 *     chi_c = sigma_w^2 E[phi'(u) phi'(v)]
 *
 * For keep < 1 the correlation 1 is no fixed point: c* < 1, and chi_c < 1 at every sigma_w^2.
 * E[phi(u) phi(v)] = sum_k a_k^2 c^k over Hermite coefficients; c*, chi_c and xi_c are NaN where q*
 * is 0 or Infinity. keep = 1 is dlf_meanfield_solve with correlation.
 * Error of c* below 1e-12 for smooth activations, c*^128 / 1000 with a kink.  cost 0.5 ms */
dlf_meanfield dlf_meanfield_dropout(dlf_activation f, double sigma_w2, double sigma_b2,
                                    double keep);

/* c[0] given: the correlations of the next `layers` layers, all of length m->q_star, into c[1..].
 */
void dlf_meanfield_dropout_path(const dlf_meanfield *m, dlf_activation f, double *c, int layers);

/* psi(x) = d/dx ln Gamma(x) and psi'(x), x > 0; relative error < 1e-13. */
double dlf_digamma(double x);
double dlf_trigamma(double x);

/* Law of ln |W v|^2 for a unit v and W of N x N, one layer at criticality (Hanin 2018):
 *   linear  W_ij ~ N(0,1/N):            mean psi(N/2) + ln(2/N), variance psi'(N/2)
 *   relu    |relu(W v)|, N(0,2/N):      k ~ Bin(N,1/2) given k >= 1:
 *           mean of psi(k/2) + ln(4/N), variance of that plus mean of psi'(k/2)            */
typedef struct dlf_log_law {
    double mean, variance;
} dlf_log_law;
dlf_log_law dlf_log_law_linear(int width);
dlf_log_law dlf_log_law_relu(int width);

/* Arc-cosine kernels (Cho & Saul 2009) of two inputs of correlation c, -1 <= c <= 1:
 *   kappa_0 = 2 E[1(u>0) 1(v>0)] = 1 - acos(c)/pi              share of active units in common
 *   kappa_1 = 2 E[relu(u) relu(v)] = (sqrt(1-c^2) + (pi - acos c) c) / pi       correlation after
 *   kappa_2 = 2 E[relu(u)^2 relu(v)^2] = (3 c sqrt(1-c^2) + (pi - acos c) (1 + 2 c^2)) / pi
 * Var[2 relu(u) relu(v)] = 2 kappa_2 - kappa_1^2: how far one unit is from the kernel. */
double dlf_arccos_kernel0(double c);
double dlf_arccos_kernel1(double c);
double dlf_arccos_kernel2(double c);

/* Eigenvalues of the symmetric a (n,n), descending, by Jacobi's rotations; a is destroyed.
 * Absolute error < 1e-13 |a|_F.  cost about 50 n^3 flops
 * vector  (n,n): row k is the unit eigenvector of value[k]; NULL: not wanted (cost + 50 %) */
void dlf_symmetric_eigen(double *a, int n, double *value, double *vector);

/* P(N(0,1) <= x), without cancellation in the lower tail. */
double dlf_normal_cdf(double x);

/* Two-sided 97.5 % quantile of Student's t with `dof` degrees of freedom, dof >= 1. */
double dlf_student_t975(int dof);

#ifdef __cplusplus
}
#endif
#endif
