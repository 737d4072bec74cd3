/* SPDX-License-Identifier: MIT
 * bn_theory.h -- closed forms of batch normalization, for the experiments of Q25.
 *
 * One unit, a batch of B values z_i ~ N(0,1), biased variance, eps = 0, h = (z - mu) / s. The
 * vector (h_1 .. h_B) has the length sqrt(B) and the sum 0, and is uniform among all that do: the
 * sphere of dimension B-2. Everything below follows from that. */
#ifndef DLF_BN_THEORY_H
#define DLF_BN_THEORY_H
#include "dlf/activation.h"

/* ---- statistics and outputs of a batch --------------------------------------------------------
 */

double dlf_bn_mean_variance(double B);   /* Var mu   = 1/B                      */
double dlf_bn_variance_mean(double B);   /* E s^2    = (B-1)/B                  */
double dlf_bn_variance_spread(double B); /* Var s^2  = 2 (B-1)/B^2              */
double dlf_bn_fourth(double B);          /* E h^4    = 3 (B-1)/(B+1)            */
/* E relu(h) = sqrt(B-1) Gamma((B-1)/2) / (2 sqrt(pi) Gamma(B/2)) */
double dlf_bn_relu(double B);
/* corr(h, z) = sqrt(2/B) Gamma(B/2) / Gamma((B-1)/2) = 1 - 3/(4B) + ..: how much of what the layer
 * does in evaluation (z itself) is in what it does in training (h). E (h-z)^2 = 2 - 2 corr. */
double dlf_bn_correlation(double B);
/* h^2/(B-1) ~ Beta(1/2, (B-2)/2): density and distribution function of h, B >= 3. */
double dlf_bn_density(double h, int B);
double dlf_bn_cdf(double h, int B);

/* How many independent values B maps of `positions` are worth whose positions have the correlation
 * r within a map: B positions / (1 + (positions-1) r). */
double dlf_bn_effective(double B, double positions, double r);

/* dh_i/dz_j = (delta_ij - 1/B - h_i h_j / B) / s: the share of |dh_i/dz|^2 that belongs to other
 * rows than i. (delta_ij - ..) = Q is a projector, so sum_j Q_ij^2 = Q_ii = 1 - 1/B - h_i^2/B, and
 * with E h^4 the share is 1 - E Q_ii^2 / E Q_ii = 2/(B+1). B = 2: no gradient at all, NaN. */
double dlf_bn_leak(double B);

/* ---- running statistics -----------------------------------------------------------------------
 * r_t = (1-m) r_{t-1} + m x_t, x_t independent with mean x and variance v: E r_t - x =
 * bias (r_0 - x), Var r_t = spread v. */
double dlf_ema_bias(double m, double t);   /* (1-m)^t                          */
double dlf_ema_spread(double m, double t); /* m/(2-m) (1 - (1-m)^{2t})         */

/* ---- gradients ----------------------------------------------------------------------------------
 * E|g|^2 at the input of BN-phi-W over that at its output, per layer, width to infinity. W's
 * variance cancels: the next norm divides by it.
 *
 * At the fixed point the centred batch vector of a unit is isotropic: h is uniform on the sphere,
 * as above, and |z|^2 is independent of it; so is the centred gradient, of covariance P = 1 -
 * 11^T/B. With D = diag phi'(h), Q = P - h h^T/B, a = E phi(h_i)^2, b = E phi(h_i) phi(h_j):
 *
 *     rate = B / ((B-3) (a-b)) E tr(Q D P D Q) / (B-1)                 since E 1/|z|^2 ~ 1/(B-3)
 *
 *     linear  (B-2)/(B-3)                          (also Yang et al. 2019)
 *     relu    E tr = (B-2)/2 - (1/B) (B/2 - (1/2 + (B-1) p) - (1/2 + (B-1) b)),   a = 1/2,
 *             p = P(h_i > 0, h_j > 0) = kappa_0(c)/2,  b = kappa_1(c)/2,  c = -1/(B-1)
 *             (arc-cosine kernels, theory.h)       -> pi/(pi-1) for large B
 *     B = inf E phi'^2 / Var phi  >= 1 by the Gaussian Poincare inequality                      */
double dlf_bn_rate_linear(double B); /* B > 3 */
double dlf_bn_rate_relu(double B);   /* B > 3 */
/* The factor of the first layer below a gradient of independent entries, which is not centred:
 * E tr(Q D^2) / B instead of E tr(Q D P D Q) / (B-1); E tr(Q D^2) = (B-2) E phi'^2. */
double dlf_bn_first_linear(double B);
double dlf_bn_first_relu(double B);
double dlf_bn_rate_wide(dlf_activation f);
/* Layer norm: E phi'^2 / E phi^2, for any batch. */
double dlf_ln_rate_wide(dlf_activation f);

#endif
