/* SPDX-License-Identifier: MIT
 * array.h -- a file of rows of equal numbers (IDX, NPY), read row by row. */
#ifndef DLF_DATA_ARRAY_H
#define DLF_DATA_ARRAY_H
#include "data/dataset.h"
#include "data/source.h"

typedef enum dlf_number { DLF_U1, DLF_I4, DLF_I8, DLF_F4, DLF_F8 } dlf_number;

enum { DLF_ARRAY_AXES = 3 };

typedef struct dlf_array {
    dlf_source source; /* stands at the first row */
    dlf_number type;
    int32_t rows;
    int axes;                    /* of a row      */
    int32_t size[DLF_ARRAY_AXES]; /* of the axes   */
    int32_t columns;              /* their product */
} dlf_array;

/* Read the header: how many rows there are, and of what. Afterwards the file is known to be long
 * enough, and rows, columns >= 1.  errors  DLF_ERR_INPUT, DLF_ERR_OOM.  Close in every case. */
DLF_MUST_CHECK dlf_status dlf_idx_open(dlf_array *a, const char *path, int axes);
DLF_MUST_CHECK dlf_status dlf_npy_open(dlf_array *a, const char *path);
void dlf_array_close(dlf_array *a); /* zeroed is fine */

/* For the openers: take rows and axes from the header's `n` sizes, check them against the file. */
DLF_MUST_CHECK dlf_status dlf_array_shape(dlf_array *a, const int64_t *size, int n);

bool dlf_number_is_integer(dlf_number type);

/* Row r of the file goes to row slot[r] of `out` (.., columns), where that is not negative; reads
 * to the end of the file. */
DLF_MUST_CHECK dlf_status dlf_array_numbers(dlf_array *a, const int32_t *slot, float *out);

/* The same for one integer per row in 0..classes-1; *largest is the largest of the whole file. */
enum { DLF_CLASSES_MAX = 1 << 16 };
DLF_MUST_CHECK dlf_status dlf_array_labels(dlf_array *a, const int32_t *slot, int32_t classes,
                                           int32_t *out, int32_t *largest);

/* A data set from arrays x and y of both parts, opened; with one part (x[1], y[1] zeroed) its last
 * fifth in the fixed order becomes the test rows. *out has its name. */
typedef struct dlf_arrays {
    dlf_array x[2], y[2]; /* by dlf_part */
} dlf_arrays;
DLF_MUST_CHECK dlf_status dlf_load_arrays(dlf_dataset *out, dlf_arrays *a, const dlf_loading *l);
void dlf_arrays_close(dlf_arrays *a);

#endif
