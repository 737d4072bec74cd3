/* SPDX-License-Identifier: MIT
 * few_labels.h -- the parts of the experiment `few-labels` (Q46), and its closed forms. */
#ifndef DLF_FEW_LABELS_H
#define DLF_FEW_LABELS_H
#include "dlf/experiment.h"

/* Each uses the share from..to of the progress bar and adds its tables, checks and figures. */
DLF_MUST_CHECK dlf_status dlf_labels_mixture(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_labels_digits(dlf_run *run, double from, double to);

/* Two classes y mu + N(0, I_d), y = +-1, s = |mu|^2, d large.
 *   supervised   error of the mean of y x over n labelled rows: Phi(-s / sqrt(s + d/n))
 *   alignment    cos^2 of the first principal direction of n unlabelled rows and mu:
 *                (1 - c/s^2) / (1 + c/s), c = d/n; 0 where c >= s^2 (Baik, Ben Arous & Peche 2005)
 *   unsupervised error of that direction, its sign known: Phi(-sqrt(s cos^2))
 *   worth        labelled rows with the error of n unlabelled ones */
double dlf_supervised_error(double s, double d, double n);
double dlf_pca_alignment(double s, double d, double n);
double dlf_unsupervised_error(double s, double d, double n);
double dlf_worth_labels(double s, double d, double n);
#endif
