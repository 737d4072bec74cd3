/* SPDX-License-Identifier: MIT
 * array.c -- rows of numbers from a file, converted one row at a time. */
#include "data/array.h"

#include <stdlib.h>
#include <string.h>

static const int bytes_of[] = {
    [DLF_U1] = 1, [DLF_I4] = 4, [DLF_I8] = 8, [DLF_F4] = 4, [DLF_F8] = 8};

bool dlf_number_is_integer(dlf_number type)
{
    return type == DLF_U1 || type == DLF_I4 || type == DLF_I8;
}

void dlf_array_close(dlf_array *a)
{
    dlf_source_close(&a->source);
    *a = (dlf_array){0};
}

dlf_status dlf_array_shape(dlf_array *a, const int64_t *size, int n)
{
    int64_t columns = 1, total;
    if (n < 1 || n > 1 + DLF_ARRAY_AXES)
        return dlf_fail(DLF_ERR_INPUT, "%s: %d axes; 1 to %d can be used", a->source.path, n,
                        1 + DLF_ARRAY_AXES);
    for (int i = 0; i < n; i++) {
        if (size[i] < 1 || size[i] > INT32_MAX)
            return dlf_fail(DLF_ERR_INPUT, "%s: axis %d has size %lld; 1 to %d can be used",
                            a->source.path, i, (long long)size[i], INT32_MAX);
        if (i == 0) continue;
        a->size[i - 1] = (int32_t)size[i];
        columns *= size[i];
        if (columns > INT32_MAX)
            return dlf_fail(DLF_ERR_INPUT, "%s: a row has more than %d numbers", a->source.path,
                            INT32_MAX);
    }
    a->axes = n - 1;
    a->rows = (int32_t)size[0];
    a->columns = (int32_t)columns;
    if (__builtin_mul_overflow(columns * a->rows, bytes_of[a->type], &total)) total = INT64_MAX;
    return dlf_source_promises(&a->source, total);
}

/* ---- numbers ------------------------------------------------------------------------------- */

static uint64_t little_endian(const unsigned char *p, int bytes)
{
    uint64_t bits = 0;
    for (int i = bytes - 1; i >= 0; i--) bits = bits << 8 | p[i];
    return bits;
}

static int64_t integer_at(const unsigned char *p, dlf_number type)
{
    if (type == DLF_U1) return *p;
    if (type == DLF_I4) return (int32_t)(uint32_t)little_endian(p, 4);
    return (int64_t)little_endian(p, 8);
}

/* Rounded to nearest; beyond f32 is an infinity, as IEEE 754 has it. */
static float number_at(const unsigned char *p, dlf_number type)
{
    if (type == DLF_F4) {
        const uint32_t bits = (uint32_t)little_endian(p, 4);
        float x;
        memcpy(&x, &bits, sizeof x);
        return x;
    }
    if (type == DLF_F8) {
        const uint64_t bits = little_endian(p, 8);
        double x;
        memcpy(&x, &bits, sizeof x);
        return (float)x;
    }
    return (float)integer_at(p, type);
}

static void convert(float *out, const unsigned char *row, int n, dlf_number type)
{
    if (type == DLF_U1)
        for (int i = 0; i < n; i++) out[i] = (float)row[i];
    else
        for (int i = 0; i < n; i++) out[i] = number_at(row + (size_t)i * bytes_of[type], type);
}

dlf_status dlf_array_numbers(dlf_array *a, const int32_t *slot, float *out)
{
    const size_t size = (size_t)a->columns * bytes_of[a->type];
    unsigned char *row = malloc(size);
    if (!row) return dlf_fail(DLF_ERR_OOM, "no memory for a row of %s", a->source.path);
    dlf_status status = DLF_OK;
    int64_t skip = 0;
    for (int32_t r = 0; r < a->rows; r++) {
        if (slot[r] < 0) {
            skip += (int64_t)size;
            continue;
        }
        DLF_TRY_DONE(dlf_source_skip(&a->source, skip));
        skip = 0;
        DLF_TRY_DONE(dlf_source_read(&a->source, row, size));
        convert(out + (size_t)slot[r] * a->columns, row, a->columns, a->type);
    }
    DLF_TRY_DONE(dlf_source_skip(&a->source, skip));
    status = dlf_source_end(&a->source);
done:
    free(row);
    return status;
}

dlf_status dlf_array_labels(dlf_array *a, const int32_t *slot, int32_t classes, int32_t *out,
                            int32_t *largest)
{
    *largest = -1;
    for (int32_t r = 0; r < a->rows; r++) {
        unsigned char bytes[8];
        DLF_TRY(dlf_source_read(&a->source, bytes, (size_t)bytes_of[a->type]));
        const int64_t label = integer_at(bytes, a->type);
        if (label < 0 || label >= classes)
            return dlf_fail(DLF_ERR_INPUT, "%s: row %d: label %lld is not in 0..%d", a->source.path,
                            r, (long long)label, classes - 1);
        if (label > *largest) *largest = (int32_t)label;
        if (slot[r] >= 0) out[slot[r]] = (int32_t)label;
    }
    return dlf_source_end(&a->source);
}
