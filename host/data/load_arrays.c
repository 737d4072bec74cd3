/* SPDX-License-Identifier: MIT
 * load_arrays.c -- a data set from files of x and files of y, whatever their format. */
#include <stdlib.h>

#include "data/array.h"

enum { TEST_SHARE = 5 }; /* one row in five, where there are no test files */

static dlf_status same_rows(const dlf_array *x, const dlf_array *y)
{
    if (x->rows == y->rows) return DLF_OK;
    return dlf_fail(DLF_ERR_INPUT, "%s has %d rows, but %s has %d", x->source.path, x->rows,
                    y->source.path, y->rows);
}

static dlf_status same_columns(const dlf_array *a, const dlf_array *b)
{
    bool same = a->axes == b->axes;
    for (int i = 0; same && i < a->axes; i++) same = a->size[i] == b->size[i];
    if (same) return DLF_OK;
    return dlf_fail(DLF_ERR_INPUT,
                    "%s: its rows have another shape (%d numbers) than those of %s (%d)",
                    b->source.path, b->columns, a->source.path, a->columns);
}

/* What the headers alone can get wrong. */
static dlf_status check_headers(const dlf_arrays *a, bool two)
{
    for (int p = 0; p < 1 + two; p++) {
        DLF_TRY(same_rows(&a->x[p], &a->y[p]));
        if (a->y[p].axes > 1)
            return dlf_fail(DLF_ERR_INPUT, "%s: %d axes; labels or targets have 1 or 2",
                            a->y[p].source.path, 1 + a->y[p].axes);
        if (dlf_number_is_integer(a->y[p].type) && a->y[p].columns != 1)
            return dlf_fail(DLF_ERR_INPUT, "%s: %d labels per row; targets must be f4 or f8",
                            a->y[p].source.path, a->y[p].columns);
    }
    if (!two) {
        if (a->x[0].rows >= 2) return DLF_OK;
        return dlf_fail(DLF_ERR_INPUT, "%s: 1 row cannot be split into training and test rows",
                        a->x[0].source.path);
    }
    DLF_TRY(same_columns(&a->x[0], &a->x[1]));
    DLF_TRY(same_columns(&a->y[0], &a->y[1]));
    if (dlf_number_is_integer(a->y[0].type) != dlf_number_is_integer(a->y[1].type))
        return dlf_fail(DLF_ERR_INPUT, "%s holds labels, %s targets, or the other way round",
                        a->y[0].source.path, a->y[1].source.path);
    return DLF_OK;
}

static void describe_row(dlf_dataset *out, const dlf_array *x)
{
    out->features = x->columns;
    if (x->axes < 2) return;
    out->channels = x->axes == 3 ? x->size[0] : 1;
    out->height = x->size[x->axes - 2];
    out->width = x->size[x->axes - 1];
}

/* One part's x and y. Labels first: they are small, and their errors come early. */
static dlf_status read_part(dlf_dataset *out, dlf_array *x, dlf_array *y, const int32_t *slot,
                            int classes)
{
    if (out->targets) {
        DLF_TRY(dlf_array_numbers(y, slot, out->target));
    } else {
        int32_t largest;
        DLF_TRY(
            dlf_array_labels(y, slot, classes ? classes : DLF_CLASSES_MAX, out->label, &largest));
        out->classes = classes ? classes : largest + 1;
    }
    return dlf_array_numbers(x, slot, out->x);
}

dlf_status dlf_load_arrays(dlf_dataset *out, dlf_arrays *a, const dlf_loading *l)
{
    const bool two = a->x[1].rows > 0;
    DLF_TRY(check_headers(a, two));
    const int32_t rows = a->x[0].rows, test_share = rows / TEST_SHARE ? rows / TEST_SHARE : 1;
    const int32_t train_there = two ? rows : rows - test_share;
    const int32_t test_there = two ? a->x[1].rows : test_share;
    out->train = dlf_rows_wanted(l->train, train_there);
    out->test = dlf_rows_wanted(l->test, test_there);
    describe_row(out, &a->x[0]);
    const bool labels = dlf_number_is_integer(a->y[0].type);
    out->targets = labels ? 0 : a->y[0].columns;
    DLF_TRY(dlf_dataset_allocate(out, labels, a->x[0].source.path));

    const dlf_taken train = {0, out->train, 0};
    const dlf_taken test = {two ? 0 : train_there, out->test, out->train};
    const dlf_taken both[2] = {train, test};
    int32_t *slot = NULL;
    DLF_TRY(dlf_take_rows(&slot, rows, DLF_PART_TRAIN, both, two ? 1 : 2));
    dlf_status status = read_part(out, &a->x[0], &a->y[0], slot, l->classes);
    free(slot);
    if (!two || status != DLF_OK) return status;
    DLF_TRY(dlf_take_rows(&slot, test_there, DLF_PART_TEST, &test, 1));
    status = read_part(out, &a->x[1], &a->y[1], slot, out->classes);
    free(slot);
    return status;
}

void dlf_arrays_close(dlf_arrays *a)
{
    for (int p = 0; p < 2; p++) {
        dlf_array_close(&a->x[p]);
        dlf_array_close(&a->y[p]);
    }
}
