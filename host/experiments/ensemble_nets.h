/* SPDX-License-Identifier: MIT
 * ensemble_nets.h -- the networks of `ensemble`: where their differences come from. */
#ifndef DLF_ENSEMBLE_NETS_H
#define DLF_ENSEMBLE_NETS_H
#include "classifier.h"
#include "dlf/experiment.h"

/* What distinguishes the members of an ensemble. */
typedef enum dlf_diversity {
    DLF_BOOTSTRAP, /* rows drawn with replacement (Breiman 1996), start and batches */
    DLF_STARTS,    /* start and batches; the same rows (Lakshminarayanan 2017)      */
    DLF_COPIES,    /* nothing: the control                                          */
    DLF_DIVERSITIES
} dlf_diversity;

/* 64 - width (relu) - 10. */
classifier_spec dlf_ensemble_net(int members, int batch, int inputs, int width);

/* Trains models networks per seed and kind and gives their probabilities on the first `tests` test
 * rows of the digits. p      (DLF_DIVERSITIES, seeds, models, tests, 10) label  (tests) */
DLF_MUST_CHECK dlf_status dlf_ensemble_train(dlf_run *run, int tests, float *p, int32_t *label,
                                             double from, double to);
#endif
