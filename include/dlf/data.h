/* SPDX-License-Identifier: MIT
 * data.h -- data sets in host memory, ready for upload. */
#ifndef DLF_DATA_H
#define DLF_DATA_H
#include <stddef.h>
#include <stdint.h>

#include "dlf/status.h"
#ifdef __cplusplus
extern "C" {
#endif

/* Rows 0..train-1 are the training set, rows train..train+test-1 the test set. */
typedef struct dlf_dataset {
    const char *name;
    int train, test, features, classes;
    float *x;       /* (train+test, features) row-major */
    int32_t *label; /* (train+test), 0..classes-1; NULL where there are only targets               */
    int targets;    /* T: real targets per row; 0: none                                            */
    float *target;  /* (train+test, T)                                                             */
} dlf_dataset;

/* The 1,797 handwritten digits (8x8 pixels, 10 classes) that ship inside the binary: 1,297 train,
 * 500 test, by one fixed permutation. Pixels are centred by their training mean and divided by one
 * global number, the training standard deviation over all pixels, so that E x^2 = 1.
 *   errors  DLF_ERR_INPUT (damaged archive), DLF_ERR_OOM */
DLF_MUST_CHECK dlf_status dlf_digits_load(dlf_dataset *out);

/* The same from gzip'ed CSV text in memory: one line per image, `features` pixels 0..16, then the
 * label. Hostile input is DLF_ERR_INPUT with the line number.  `name` is for messages. */
DLF_MUST_CHECK dlf_status dlf_digits_parse(dlf_dataset *out, const void *gz, size_t size,
                                           const char *name);

/* NULL and zeroed are fine. */
void dlf_dataset_free(dlf_dataset *d);

/* Fisher-Yates permutation of 0..n-1 from (seed, stream, member): the same everywhere. */
void dlf_permutation(int32_t *out, int32_t n, uint64_t seed, uint32_t stream, uint32_t member);

#ifdef __cplusplus
}
#endif
#endif
