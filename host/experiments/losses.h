/* SPDX-License-Identifier: MIT
 * losses.h -- the parts of the experiment `losses` (Q19), and its closed forms. */
#ifndef DLF_LOSSES_H
#define DLF_LOSSES_H
#include "dlf/experiment.h"

/* Each uses the share from..to of the progress bar and adds its tables, checks and figures. */
DLF_MUST_CHECK dlf_status dlf_losses_functionals(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_losses_efficiency(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_losses_escape(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_losses_saturated(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_losses_regression(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_losses_classes(dlf_run *run, double from, double to);

/* The network that losses_saturated trains: 64 - width (relu) - 10 logits, squared error of their
 * sigmoid, or the cross-entropy of the sigmoid. gains (P): variance gain of the logits' weights. */
DLF_MUST_CHECK dlf_status dlf_losses_network(dlf_graph **out, dlf_device *device, int members,
                                             int batch, int width, const double *gains,
                                             bool squared);

/* ---- closed forms --------------------------------------------------------------------------- */

/* Time that gradient flow takes to bring one sigmoid unit with target 1 from z = -z0 to z = 0:
 *   cross-entropy     dz/dt = 1 - s(z)            z0 + 1 - e^-z0
 *   (s(z) - 1)^2 / 2  dz/dt = s (1 - s)^2         e^z0 - 1 + 3 z0 + 3 (1 - e^-z0) + (1 - e^-2z0)/2
 */
double dlf_losses_escape_ce(double z0);
double dlf_losses_escape_mse(double z0);

/* Symmetric noise: Laplace of scale 1, or (1 - share) N(0,1) + share N(0, outlier^2). */
typedef struct dlf_noise {
    bool laplace;
    double share, outlier;
} dlf_noise;
double dlf_noise_variance(dlf_noise f);
double dlf_noise_density(dlf_noise f, double x);
double dlf_noise_cdf(dlf_noise f, double x);
double dlf_noise_mean_abs(dlf_noise f);

/* n Var of the estimate of the centre that a loss gives, as n grows (Huber 1964):
 * E psi^2 / (E psi')^2 with psi = l'.   mse: the variance;  mae: 1 / (4 f(0)^2);  huber by delta */
double dlf_loss_variance(dlf_noise f, dlf_loss loss);
/* n Var of the median of n draws, n odd, exactly: the density of the middle order statistic. */
double dlf_median_variance(dlf_noise f, int n);

/* What the loss elicits of X ~ Exp(1): mse 1, mae ln 2, huber the root of E psi(X - m). */
double dlf_loss_location_exponential(dlf_loss loss);
#endif
