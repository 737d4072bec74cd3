/* SPDX-License-Identifier: MIT
 * multi_task.h -- the parts of the experiment `multi-task` (Q26), and its closed forms. */
#ifndef DLF_MULTI_TASK_H
#define DLF_MULTI_TASK_H
#include "dlf/experiment.h"

/* Each uses the share from..to of the progress bar and adds its tables, checks and figures. */
DLF_MUST_CHECK dlf_status dlf_multi_task_means(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_multi_task_representation(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_multi_task_digits(dlf_run *run, double from, double to);

/* T tasks, each to estimate a mean theta_t ~ N(0, tau^2) from n rows of variance 1; v = 1/n.
 * Expected squared error per task:
 *   alone         v
 *   pooled        tau^2 (1 - 1/T) + v/T                   one mean for all
 *   James-Stein   v - (T-3)/T v^2 / (v + tau^2)           towards the mean of all, T > 3; tau is
 *                 unknown to it (James & Stein 1961; Efron & Morris 1973) */
double dlf_mean_pooled(double tau, int T, double v);
double dlf_mean_james_stein(double tau, int T, double v);

/* T tasks in d dimensions whose weights lie in one subspace of k, estimated alone with noise 1 per
 * weight; the k singular values of the T weight vectors are x sqrt(T) each. Projecting the
 * estimates on their k principal directions, d and T large with b = (d-k)/T, has the risk per task
 *
 *   k (1 + b (1 + 3/x^2))           x^4 > b: the noise along the subspace, and what it costs to
 * find k ((1 + sqrt(b))^2 + x^2)       else: the directions are noise
 *
 * from k (y^2 + x^2 - 2 x y c_u c_v) with the singular values y and alignments c of Benaych-Georges
 * & Nadakuditi (2012). With d-k in the place of d it is right for small T, too. */
double dlf_shared_risk(int d, int k, int T, double x);
/* One task alone with the best ridge, |w|^2 = k x^2 in unknown directions: d q/(1+q), q = k x^2/d
 */
double dlf_alone_ridge_risk(int d, int k, double x);
#endif
