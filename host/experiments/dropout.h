/* SPDX-License-Identifier: MIT
 * dropout.h -- the parts of the experiment `dropout` (Q31), and its closed forms.
 *
 * keep: the probability that a unit stays; rate = 1 - keep. m: independent Bernoulli(keep). */
#ifndef DLF_DROPOUT_EXPERIMENT_H
#define DLF_DROPOUT_EXPERIMENT_H
#include "dlf/experiment.h"

/* Each uses the share from..to of the progress bar and adds its tables, checks and figures. */
DLF_MUST_CHECK dlf_status dlf_dropout_scaling(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_dropout_linear(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_dropout_logistic(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_dropout_meanfield(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_dropout_ensemble(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_dropout_digits(dlf_run *run, double from, double to);

/* The classifier that dropout_digits trains, compiled:
 *
 *   "x" -> dense "h1" relu -> dropout -> .. "h<depth>" -> dropout -> "logits" -> mean cross-entropy
 *
 * unit (P): dropout rate of the hidden units; weight (P): DropConnect rate of the weights that
 * leave them, or NULL: no such node. Both divide what they keep by 1 - rate. shared: x is (1,B,N).
 */
typedef struct dlf_dropout_net {
    int members, batch, inputs, width, depth, classes;
    const double *unit, *weight;
    bool shared;
} dlf_dropout_net;
DLF_MUST_CHECK dlf_status dlf_dropout_net_new(dlf_graph **out, dlf_device *device,
                                              const dlf_dropout_net *net);

/* ---- closed forms ---------------------------------------------------------------------------
 *
 * Dropped sum  y = sum_j t_j m_j / c,  c = keep if rescaled, else 1 */
typedef struct dlf_dropped_sum {
    double mean, variance;
} dlf_dropped_sum;
dlf_dropped_sum dlf_dropout_sum(const double *t, int n, double keep, bool rescale);

/* Least squares without rescaling (Srivastava et al. 2014, section 9.1):
 * E|y - (m o X) w|^2 = |y - keep X w|^2 + keep (1 - keep) sum_j w_j^2 |X_j|^2
 *   x (n,p), y (n), w (p).  *noise (may be NULL): the second term */
double dlf_dropout_loss(const double *x, const double *y, const double *w, int n, int p,
                        double keep, double *noise);
/* Its minimiser with rescaling, (G + (1-keep)/keep diag d) w = X^T y, G = X^T X. With d = diag G
 * that is dropout; with a constant d the ridge that treats all columns alike.
 *   gram (p,p), xty, d, w (p).  p <= 32 */
void dlf_dropout_ridge(const double *gram, const double *xty, const double *d, int p, double keep,
                       double *w);

/* Logistic regression: what dropout of the inputs adds to the log-loss of one row, whatever its
 * label, t_j = x_j w_j, z = sum t_j, A(z) = ln(1 + e^z) (Wager, Wang & Liang 2013):
 *   exact      E A(sum t_j m_j / keep) - A(z), over all 2^n masks, n <= 24
 *   quadratic  A''(z) Var / 2
 *   normal     E A(z + sqrt(Var) xi) - A(z), xi ~ N(0,1), by quadrature
 *   fourth     quadratic + A'''(z) k3 / 6 + A''''(z) (k4 + 3 Var^2) / 24, k the cumulants of the
 * sum gaussian: A(z) = z^2 / 2 instead, least squares, where the quadratic form is exact. */
double dlf_dropout_penalty(const double *t, int n, double keep, bool gaussian);
double dlf_dropout_penalty_quadratic(const double *t, int n, double keep, bool gaussian);
double dlf_dropout_penalty_normal(const double *t, int n, double keep);
double dlf_dropout_penalty_fourth(const double *t, int n, double keep);

/* Log-probabilities of a softmax classifier whose n units have dropout, divided by keep:
 *   scaled      every unit at its mean, 1: what a network does in evaluation
 *   geometric   the normalised geometric mean of the 2^n masked classifiers, each weighted by the
 *               probability of its mask.  Equal to `scaled` where the logits are linear in the
 * units arithmetic  the mean of their probabilities n <= 20, classes <= 16 */
typedef struct dlf_mask_ensemble {
    double scaled[16], geometric[16], arithmetic[16];
} dlf_mask_ensemble;
/* The logits when unit j is multiplied by factor[j]. */
typedef void (*dlf_masked_logits)(const void *user, const double *factor, double *logits);
void dlf_mask_ensemble_of(dlf_mask_ensemble *out, dlf_masked_logits logits, const void *user, int n,
                          int classes, double keep);
/* Total variation between two laws given by their logarithms. */
double dlf_total_variation(const double *a, const double *b, int classes);
/* z - ln sum e^z, in place. */
void dlf_log_softmax(double *z, int classes);
#endif
