/* SPDX-License-Identifier: MIT
 * multi_task_checks.h -- checks of values (seeds) against a law, or a bound from above. */
#ifndef DLF_MULTI_TASK_CHECKS_H
#define DLF_MULTI_TASK_CHECKS_H
#include "seed_check.h"

static inline dlf_status law(dlf_run *run, const char *id, dlf_text claim, const double *value,
                             double expected, const char *source)
{
    return dlf_add_law(run, id, claim, dlf_estimate_of(value, dlf_run_seeds(run), 1), expected,
                       0.02, source);
}

static inline dlf_status at_most(dlf_run *run, const char *id, dlf_text claim, const double *value,
                                 double bound, const char *source)
{
    return dlf_add_bound(run, id, claim, dlf_estimate_of(value, dlf_run_seeds(run), 1), DLF_AT_MOST,
                         bound, source);
}

#endif
