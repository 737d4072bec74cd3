/* SPDX-License-Identifier: MIT
 * bn_statistics.h -- the parts of the experiment `bn-statistics` (Q25). */
#ifndef DLF_BN_STATISTICS_H
#define DLF_BN_STATISTICS_H
#include "dlf/experiment.h"

/* Each uses the share from..to of the progress bar and adds its tables, checks and figures. */
DLF_MUST_CHECK dlf_status dlf_bn_laws(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_bn_histogram(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_bn_space(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_bn_folding(dlf_run *run, double from, double to);

/* Batches of N(0,1), normalized by the library's own op, in host memory. */
typedef struct dlf_bn_sample {
    int members, rows, columns; /* batch_norm: `columns` independent batches of `rows` values   */
    float *x, *y;               /* (members, rows, columns)                                     */
    double *mean, *rstd;        /* (members, columns), batch_norm only, else NULL               */
} dlf_bn_sample;

/* eps is 1e-30: nothing, but two equal values give 0 and not NaN. *out is zeroed on failure. */
DLF_MUST_CHECK dlf_status dlf_bn_sample_new(dlf_bn_sample *out, dlf_run *run, dlf_norm norm,
                                            int members, int rows, int columns);
void dlf_bn_sample_free(dlf_bn_sample *s);

#endif
