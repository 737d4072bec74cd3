/* SPDX-License-Identifier: MIT
 * dataset.h -- what loaders and generators share: memory, order of rows, scaling. */
#ifndef DLF_DATA_DATASET_H
#define DLF_DATA_DATASET_H
#include <stdbool.h>

#include "dlf/data.h"

enum { DLF_DATASET_NUMBERS_MAX = 1 << 29 }; /* 2 GiB of f32 */

/* x, target (if targets > 0) and, if asked for, label, for d's sizes; `what` is for messages.
 *   errors  DLF_ERR_ARG (more than DLF_DATASET_NUMBERS_MAX numbers), DLF_ERR_OOM */
DLF_MUST_CHECK dlf_status dlf_dataset_allocate(dlf_dataset *d, bool labels, const char *what);

/* Centre and divide as data.h says. */
DLF_MUST_CHECK dlf_status dlf_dataset_scale(dlf_dataset *d);

/* ---- which rows of a file go where ----------------------------------------------------------- */

typedef enum dlf_part { DLF_PART_TRAIN, DLF_PART_TEST } dlf_part;

/* Of the n rows of a file, in the order of a fixed permutation: behind the first `from` rows, the
 * next `count` go to rows `to`, to+1, ... of the data set. */
typedef struct dlf_taken {
    int32_t from, count, to;
} dlf_taken;
/* (*slot)[r]: where row r of the file goes, -1: nowhere; malloc'ed.  errors  DLF_ERR_OOM */
DLF_MUST_CHECK dlf_status dlf_take_rows(int32_t **slot, int32_t n, dlf_part permutation,
                                        const dlf_taken *taken, int n_taken);
/* How many rows to take of `there` when at most `wanted` are asked for, 0: all. */
int32_t dlf_rows_wanted(int wanted, int32_t there);

/* ---- formats --------------------------------------------------------------------------------- */

typedef struct dlf_loading {
    const char *dir;
    int train, test; /* as in the request                                        */
    int classes;     /* how many there must be; 0: as many as training labels say */
} dlf_loading;

/* One format: is DIR of it, and its rows, not yet scaled. *out is zeroed on entry; the caller frees
 * it on failure. */
bool dlf_is_idx(const char *dir);
bool dlf_is_cifar(const char *dir);
bool dlf_is_npy(const char *dir);
DLF_MUST_CHECK dlf_status dlf_load_idx(dlf_dataset *out, const dlf_loading *l);
DLF_MUST_CHECK dlf_status dlf_load_cifar(dlf_dataset *out, const dlf_loading *l);
DLF_MUST_CHECK dlf_status dlf_load_npy(dlf_dataset *out, const dlf_loading *l);

/* The shipped digits, scaled; at most so many rows. */
DLF_MUST_CHECK dlf_status dlf_load_digits(dlf_dataset *out, int train, int test);

/* DIR/name, malloc'ed, if there is such a file, else NULL. */
char *dlf_file_in(const char *dir, const char *name);

#endif
