/* SPDX-License-Identifier: MIT
 * dataset.c -- memory, order of rows and scaling of data sets. */
#include "data/dataset.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dlf/rng.h"
#include "result/atomic_file.h"

enum { ORDER_SEED = 123 };

void dlf_dataset_free(dlf_dataset *d)
{
    if (!d) return;
    free(d->x);
    free(d->label);
    free(d->target);
    memset(d, 0, sizeof *d);
}

void dlf_permutation(int32_t *out, int32_t n, uint64_t seed, uint32_t stream, uint32_t member)
{
    for (int32_t i = 0; i < n; i++) out[i] = i;
    for (int32_t i = n - 1; i > 0; i--) {
        const uint32_t bits = dlf_rng_bits(seed, stream, member, (uint64_t)i);
        const int32_t j = (int32_t)((uint64_t)bits * (uint64_t)(i + 1) >> 32);
        const int32_t t = out[i];
        out[i] = out[j];
        out[j] = t;
    }
}

dlf_status dlf_dataset_allocate(dlf_dataset *d, bool labels, const char *what)
{
    const int64_t rows = (int64_t)d->train + d->test;
    const int64_t a_row = (int64_t)d->features + d->targets;
    if (rows > DLF_DATASET_NUMBERS_MAX / a_row)
        return dlf_fail(
            DLF_ERR_ARG,
            "%s: %lld rows of %lld numbers are too many; %d numbers can be held, so ask "
            "for fewer rows",
            what, (long long)rows, (long long)a_row, DLF_DATASET_NUMBERS_MAX);
    d->x = malloc((size_t)(rows * d->features) * sizeof *d->x);
    if (labels) d->label = malloc((size_t)rows * sizeof *d->label);
    if (d->targets) d->target = malloc((size_t)(rows * d->targets) * sizeof *d->target);
    if (!d->x || (labels && !d->label) || (d->targets && !d->target))
        return dlf_fail(DLF_ERR_OOM, "%s: no memory for %lld rows of %lld numbers", what,
                        (long long)rows, (long long)a_row);
    return DLF_OK;
}

/* Row by row, because columns of a large set are far apart; each column's sum still runs over the
 * rows in order. */
dlf_status dlf_dataset_scale(dlf_dataset *d)
{
    const size_t features = (size_t)d->features, rows = (size_t)d->train + (size_t)d->test;
    double *sum = calloc(features, sizeof *sum);
    if (!sum) return dlf_fail(DLF_ERR_OOM, "%s: no memory for %zu means", d->name, features);
    for (int r = 0; r < d->train; r++)
        for (size_t c = 0; c < features; c++) sum[c] += d->x[r * features + c];
    for (size_t c = 0; c < features; c++) sum[c] /= d->train;
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < features; c++) d->x[r * features + c] -= (float)sum[c];
    double square = 0.0;
    memset(sum, 0, features * sizeof *sum);
    for (int r = 0; r < d->train; r++)
        for (size_t c = 0; c < features; c++)
            sum[c] += (double)d->x[r * features + c] * d->x[r * features + c];
    for (size_t c = 0; c < features; c++) square += sum[c];
    free(sum);
    if (square == 0.0) return DLF_OK;
    const double inverse = 1.0 / sqrt(square / ((double)d->train * d->features));
    /* In f32 like x, unless x is so small that f32 does not reach. */
    const double factor = inverse <= FLT_MAX ? (float)inverse : inverse;
    for (size_t i = 0; i < rows * features; i++) d->x[i] = (float)(d->x[i] * factor);
    return DLF_OK;
}

dlf_status dlf_take_rows(int32_t **slot, int32_t n, dlf_part permutation, const dlf_taken *taken,
                         int n_taken)
{
    int32_t *order = malloc((size_t)n * sizeof *order);
    *slot = malloc((size_t)n * sizeof **slot);
    if (!order || !*slot) {
        free(order);
        free(*slot);
        *slot = NULL;
        return dlf_fail(DLF_ERR_OOM, "no memory for the order of %d rows", n);
    }
    /* Member 0 is the order of the shipped digits. */
    dlf_permutation(order, n, ORDER_SEED, dlf_stream(DLF_PURPOSE_SHUFFLE, 0),
                    1 + (uint32_t)permutation);
    for (int32_t r = 0; r < n; r++) (*slot)[r] = -1;
    for (int t = 0; t < n_taken; t++)
        for (int32_t i = 0; i < taken[t].count; i++)
            (*slot)[order[taken[t].from + i]] = taken[t].to + i;
    free(order);
    return DLF_OK;
}

int32_t dlf_rows_wanted(int wanted, int32_t there)
{
    return wanted > 0 && wanted < there ? wanted : there;
}

char *dlf_file_in(const char *dir, const char *name)
{
    char *path = dlf_path_join(dir, name);
    if (path && access(path, F_OK) == 0) return path;
    free(path);
    return NULL;
}
