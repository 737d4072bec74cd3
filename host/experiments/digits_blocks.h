/* SPDX-License-Identifier: MIT
 * digits_blocks.h -- one data set in which every member of a population has rows of its own: fresh
 * draws, a part of them wrong or repeated. For dlf_train_spec.base. */
#ifndef DLF_DIGITS_BLOCKS_H
#define DLF_DIGITS_BLOCKS_H
#include "dlf/data.h"

/* Rows of a block: training, validation, test, in this order. */
typedef struct dlf_block_size {
    int train, valid, test;
} dlf_block_size;

typedef struct dlf_block {
    uint32_t draw; /* equal draws take the same rows and make the same labels wrong     */
    double wrong;  /* share of training and validation labels that name another class   */
    int distinct;  /* different training rows, repeated to `train` of them; 0: all are  */
} dlf_block;

/* Training and validation rows are drawn without replacement from the training rows of `source`,
 * afresh for every draw; test rows are its first ones, their labels right. base[m]: the first row
 * of block m.  errors  DLF_ERR_ARG (source too small), DLF_ERR_OOM */
DLF_MUST_CHECK dlf_status dlf_blocks_make(dlf_dataset *out, int32_t *base,
                                          const dlf_dataset *source, uint64_t seed,
                                          dlf_block_size size, const dlf_block *block, int blocks);
#endif
