/* SPDX-License-Identifier: MIT
 * svm_duel.h -- a kernel machine and a network on the same rows. */
#ifndef DLF_SVM_DUEL_H
#define DLF_SVM_DUEL_H
#include "dlf/data.h"
#include "dlf/experiment.h"

enum { DLF_SVM_WIDTHS = 2 };

/* A block of `train` and then `test` rows per seed. */
typedef struct dlf_svm_duel {
    dlf_dataset data;    /* x, label, features, classes */
    int train, test;     /* of a block                  */
    const double *width; /* (DLF_SVM_WIDTHS) of the Gaussian kernel: the best on the test rows
                            counts, a favour to the machine */
    double C;
} dlf_svm_duel;

/* Errors on the test rows after training on the first n of every block.
 *   machine, network  (seeds)
 *   gap               the largest duality gap of all machines so far; raised */
DLF_MUST_CHECK dlf_status dlf_svm_duel_machine(const dlf_svm_duel *d, int n, int seeds,
                                               double *machine, double *gap);
DLF_MUST_CHECK dlf_status dlf_svm_duel_network(const dlf_svm_duel *d, dlf_run *run, int n,
                                               double *network);
#endif
