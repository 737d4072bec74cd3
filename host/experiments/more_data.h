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

/* Error of a perceptron trained by Hebb's rule w = sum t x on alpha N examples of a teacher, N
 * large: atan(sqrt(pi / (2 alpha))) / pi (Vallet 1989). */
double dlf_hebb_error(double alpha);
#endif
