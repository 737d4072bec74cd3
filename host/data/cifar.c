/* SPDX-License-Identifier: MIT
 * cifar.c -- CIFAR-10's binary version: records of one label and 3x32x32 bytes, nothing else. */
#include <stdio.h>
#include <stdlib.h>

#include "data/dataset.h"
#include "data/source.h"

enum { CHANNELS = 3, SIDE = 32, PIXELS = CHANNELS * SIDE * SIDE, CLASSES = 10, FILES = 5 };
enum { RECORD = 1 + PIXELS };

/* The files of one part, which together are one sequence of rows. */
typedef struct part {
    dlf_source file[FILES];
    int32_t rows[FILES]; /* of each */
    int files;
    int32_t all; /* rows of all together */
} part;

static dlf_status open_file(part *p, const char *path)
{
    dlf_source *s = &p->file[p->files++];
    DLF_TRY(dlf_source_open(s, path));
    if (!s->plain) return dlf_fail(DLF_ERR_INPUT, "%s: offset 0: gzip'ed; unpack it first", path);
    const int64_t rows = s->most / RECORD;
    if (s->most % RECORD || rows < 1)
        return dlf_fail(
            DLF_ERR_INPUT, "%s: truncated: record %lld, at offset %lld, has %lld of %d bytes", path,
            (long long)rows, (long long)(rows * RECORD), (long long)(s->most % RECORD), RECORD);
    if (rows > INT32_MAX - p->all)
        return dlf_fail(DLF_ERR_INPUT, "%s: more than %d records", path, INT32_MAX);
    p->rows[p->files - 1] = (int32_t)rows;
    p->all += (int32_t)rows;
    return DLF_OK;
}

static dlf_status open_train(part *p, const char *dir)
{
    for (int i = 1; i <= FILES; i++) {
        char name[32];
        snprintf(name, sizeof name, "data_batch_%d.bin", i);
        char *path = dlf_file_in(dir, name);
        if (!path) break;
        const dlf_status status = open_file(p, path);
        free(path);
        if (status != DLF_OK) return status;
    }
    return DLF_OK;
}

static dlf_status open_test(part *p, const char *dir)
{
    char *path = dlf_file_in(dir, "test_batch.bin");
    if (!path) return dlf_fail(DLF_ERR_INPUT, "%s has no test_batch.bin", dir);
    const dlf_status status = open_file(p, path);
    free(path);
    return status;
}

static void close_part(part *p)
{
    for (int i = 0; i < p->files; i++) dlf_source_close(&p->file[i]);
}

static dlf_status read_record(dlf_dataset *out, dlf_source *s, int32_t row, int32_t slot)
{
    unsigned char record[RECORD];
    DLF_TRY(dlf_source_read(s, record, sizeof record));
    if (record[0] >= CLASSES)
        return dlf_fail(DLF_ERR_INPUT, "%s: record %d: label %d is not in 0..%d", s->path, row,
                        record[0], CLASSES - 1);
    if (slot < 0) return DLF_OK;
    float *x = out->x + (size_t)slot * PIXELS;
    for (int i = 0; i < PIXELS; i++) x[i] = (float)record[1 + i];
    out->label[slot] = record[0];
    return DLF_OK;
}

/* Every record is looked at: its label must be one. */
static dlf_status read_part(dlf_dataset *out, part *p, dlf_part which, dlf_taken taken)
{
    int32_t *slot = NULL;
    DLF_TRY(dlf_take_rows(&slot, p->all, which, &taken, 1));
    dlf_status status = DLF_OK;
    const int32_t *next = slot;
    for (int i = 0; i < p->files; i++) {
        for (int32_t r = 0; r < p->rows[i]; r++)
            DLF_TRY_DONE(read_record(out, &p->file[i], r, *next++));
        DLF_TRY_DONE(dlf_source_end(&p->file[i]));
    }
done:
    free(slot);
    return status;
}

bool dlf_is_cifar(const char *dir)
{
    char *path = dlf_file_in(dir, "data_batch_1.bin");
    free(path);
    return path != NULL;
}

dlf_status dlf_load_cifar(dlf_dataset *out, const dlf_loading *l)
{
    part train = {0}, test = {0};
    dlf_status status;
    DLF_TRY_DONE(open_train(&train, l->dir));
    DLF_TRY_DONE(open_test(&test, l->dir));
    *out = (dlf_dataset){.name = "cifar-10",
                         .train = dlf_rows_wanted(l->train, train.all),
                         .test = dlf_rows_wanted(l->test, test.all),
                         .features = PIXELS,
                         .classes = CLASSES,
                         .channels = CHANNELS,
                         .height = SIDE,
                         .width = SIDE};
    DLF_TRY_DONE(dlf_dataset_allocate(out, true, l->dir));
    DLF_TRY_DONE(read_part(out, &train, DLF_PART_TRAIN, (dlf_taken){0, out->train, 0}));
    status = read_part(out, &test, DLF_PART_TEST, (dlf_taken){0, out->test, out->train});
done:
    close_part(&train);
    close_part(&test);
    return status;
}
