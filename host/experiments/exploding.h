/* SPDX-License-Identifier: MIT
 * exploding.h -- the parts of the experiment `exploding` (Q8). */
#ifndef DLF_EXPLODING_H
#define DLF_EXPLODING_H
#include "dlf/experiment.h"

/* Each uses the share from..to of the progress bar and adds its tables, checks and figures. */
DLF_MUST_CHECK dlf_status dlf_exploding_rnn(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_exploding_lstm(dlf_run *run);
DLF_MUST_CHECK dlf_status dlf_exploding_cliff(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_exploding_digits(dlf_run *run, double from, double to);

/* A self-check: `measured` is an error that an identity forces below `bound`. */
DLF_MUST_CHECK dlf_status dlf_identity_check(dlf_run *run, const char *id, dlf_text claim,
                                             double measured, double bound, const char *source);

#endif
