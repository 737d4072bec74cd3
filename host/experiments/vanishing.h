/* SPDX-License-Identifier: MIT
 * vanishing.h -- the parts of the experiment `vanishing` (Q7). */
#ifndef DLF_VANISHING_H
#define DLF_VANISHING_H
#include "dlf/experiment.h"

/* Each uses the share from..to of the progress bar and adds its tables, checks and figures. */
DLF_MUST_CHECK dlf_status dlf_vanishing_phase(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_vanishing_width(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_vanishing_digits(dlf_run *run, double from, double to);

#endif
