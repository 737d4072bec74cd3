/* SPDX-License-Identifier: MIT
 * architectures.h -- the parts of the experiment `architectures` (Q28). */
#ifndef DLF_ARCHITECTURES_H
#define DLF_ARCHITECTURES_H
#include "dlf/experiment.h"

/* Each uses the share from..to of the progress bar and adds its tables, checks and figures. */
DLF_MUST_CHECK dlf_status dlf_architectures_counts(dlf_run *run, double from);
DLF_MUST_CHECK dlf_status dlf_architectures_blocks(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_architectures_trained(dlf_run *run, double from, double to);

/* How many of `all` test rows are looked at: an eighth of parameter rows. */
int dlf_architectures_test_rows(const dlf_run *run, int all);

#endif
