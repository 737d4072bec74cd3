/* SPDX-License-Identifier: MIT
 * ensemble.h -- the parts of the experiment `ensemble` (Q3, Q38), and its closed forms. */
#ifndef DLF_ENSEMBLE_H
#define DLF_ENSEMBLE_H
#include "dlf/experiment.h"

/* Each uses the share from..to of the progress bar and adds its tables, checks and figures. */
DLF_MUST_CHECK dlf_status dlf_ensemble_laws(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_ensemble_digits(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_ensemble_masks(dlf_run *run, double from, double to);

/* Probability that more than half of n independent voters, n odd, each right with probability p,
 * are right (Condorcet 1785). */
double dlf_condorcet(int n, double p);

/* Expected Brier score of the mean of K out of M predictors: their mean score `one`, less what K
 * share of their spread V (1/M sum of |p_m - mean|^2): one - (1 - 1/K) M/(M-1) V. A straight line
 * in 1/K, and exact as a mean over all subsets. */
double dlf_brier_of(int K, int M, double one, double spread);
#endif
