/* SPDX-License-Identifier: MIT
 * fuzz_data.c -- the hostile file meets partners that fit it, so that parsing goes as far as it
 * can. */
#include "fuzz_data.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/array.h"

#define PROMISE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "broken promise: %s\n", #condition);                                   \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { PARTNER_MAX = 1 << 16, PATH_SIZE = 512 };

static void path_in(char *path, const char *dir, const char *name)
{
    PROMISE(snprintf(path, PATH_SIZE, "%s/%s", dir, name) < PATH_SIZE);
}

static void write_file(const char *dir, const char *name, const void *head, size_t head_size,
                       const void *data, size_t size)
{
    char path[PATH_SIZE];
    path_in(path, dir, name);
    FILE *file = fopen(path, "wb");
    PROMISE(file);
    PROMISE(fwrite(head, 1, head_size, file) == head_size);
    PROMISE(size == 0 || fwrite(data, 1, size, file) == size);
    PROMISE(fclose(file) == 0);
}

/* ---- what data.h promises ------------------------------------------------------------------ */

static void check_dataset(const dlf_dataset *d)
{
    PROMISE(d->name && d->train > 0 && d->test > 0 && d->features > 0 && d->x);
    PROMISE((d->classes > 0) == (d->label != NULL) && (d->targets > 0) == (d->target != NULL));
    PROMISE(d->label || d->target);
    PROMISE(d->height == 0 || d->channels * d->height * d->width == d->features);
    const size_t rows = (size_t)d->train + (size_t)d->test;
    for (size_t r = 0; d->label && r < rows; r++)
        PROMISE(d->label[r] >= 0 && d->label[r] < d->classes);
    /* Every number is there: the sanitizers watch these reads. */
    double sum = 0.0;
    for (size_t i = 0; i < rows * (size_t)d->features; i++) sum += (double)d->x[i];
    for (size_t i = 0; i < rows * (size_t)d->targets; i++) sum += (double)d->target[i];
    PROMISE(sum <= 0.0 || !(sum <= 0.0));
}

static void check_outcome(dlf_dataset *d, dlf_status status, const char *file)
{
    if (status == DLF_OK) {
        check_dataset(d);
    } else {
        PROMISE(status == DLF_ERR_INPUT || status == DLF_ERR_ARG);
        PROMISE(strstr(dlf_error_message(), file) && !strchr(dlf_error_message(), '\n'));
        PROMISE(!d->x && !d->label && !d->target && d->train == 0);
    }
    dlf_dataset_free(d);
}

static void load(const char *dir)
{
    dlf_dataset d;
    const dlf_dataset_request few = {NULL, 2, 1};
    check_outcome(&d, dlf_dataset_load(&d, dir, NULL), dir);
    check_outcome(&d, dlf_dataset_load(&d, dir, &few), dir);
}

/* ---- partners ------------------------------------------------------------------------------ */

static const unsigned char zeros[PARTNER_MAX];

static void big_endian(unsigned char *out, uint32_t x)
{
    for (int i = 0; i < 4; i++) out[i] = (unsigned char)(x >> (24 - 8 * i));
}

static void idx_partner(const char *dir, const char *name, int axes, const uint32_t *size)
{
    unsigned char head[16] = {0, 0, 8, (unsigned char)axes};
    size_t bytes = 1;
    for (int i = 0; i < axes; i++) {
        big_endian(head + 4 + 4 * i, size[i]);
        bytes *= size[i];
    }
    write_file(dir, name, head, 4 + 4 * (size_t)axes, zeros, bytes);
}

static void npy_partner(const char *dir, const char *name, const char *descr, const char *shape,
                        size_t bytes)
{
    char head[128] = "\x93NUMPY\x01\x00\x76", *text = head + 10;
    memset(text, ' ', 118);
    text[snprintf(text, 117, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }", descr,
                  shape)] = ' ';
    text[117] = '\n';
    write_file(dir, name, head, sizeof head, zeros, bytes);
}

/* What the hostile file says of itself; false if it is refused. */
static bool look(dlf_array *a, const char *format, const char *path, int axes)
{
    const dlf_status status =
        format[0] == 'i' ? dlf_idx_open(a, path, axes) : dlf_npy_open(a, path);
    const bool fits = status == DLF_OK && (int64_t)a->rows * 8 <= PARTNER_MAX &&
                      (int64_t)a->columns * 8 <= PARTNER_MAX;
    dlf_array copy = *a; /* its sizes survive closing */
    dlf_array_close(&copy);
    a->source = (dlf_source){0};
    return fits;
}

/* Which file the bytes are. */
typedef struct file_role {
    bool y;      /* labels or targets, not x           */
    bool test;   /* of the test rows, not the training */
    bool target; /* npy: its partners hold targets     */
} file_role;

static void fuzz_idx(const char *dir, file_role role, const unsigned char *data, size_t size)
{
    static const char *const names[2][2] = {{"train-images-idx3-ubyte", "train-labels-idx1-ubyte"},
                                            {"t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"}};
    char path[PATH_SIZE];
    dlf_array a;
    uint32_t own[3] = {1, 1, 1}, other[3] = {2, 1, 1};
    const char *name = names[role.test][role.y];
    path_in(path, dir, name);
    write_file(dir, name, "", 0, data, size);
    if (look(&a, "idx", path, role.y ? 1 : 3)) {
        own[0] = (uint32_t)a.rows;
        for (int i = 0; i < a.axes && !role.test; i++) other[1 + i] = (uint32_t)a.size[i];
    }
    idx_partner(dir, names[role.test][!role.y], role.y ? 3 : 1, own);
    idx_partner(dir, names[!role.test][0], 3, other);
    idx_partner(dir, names[!role.test][1], 1, other);
    load(dir);
}

static void fuzz_npy(const char *dir, file_role role, const unsigned char *data, size_t size)
{
    static const char *const names[2][2] = {{"x.npy", "y.npy"}, {"x_test.npy", "y_test.npy"}};
    char path[PATH_SIZE], shape[32];
    dlf_array a;
    const char *name = names[role.test][role.y];
    const char *y_type = role.target ? "<f8" : "<i8";
    path_in(path, dir, name);
    for (int i = 0; i < 4; i++) { /* none left over from the input before */
        char old[PATH_SIZE];
        path_in(old, dir, names[i / 2][i % 2]);
        unlink(old);
    }
    write_file(dir, name, "", 0, data, size);
    const int rows = look(&a, "npy", path, 0) ? a.rows : 1;
    snprintf(shape, sizeof shape, "(%d,)", rows);
    npy_partner(dir, names[role.test][!role.y], role.y ? "<f8" : y_type, shape, 8 * (size_t)rows);
    if (role.test) { /* the training files are right */
        npy_partner(dir, names[0][0], "<f8", "(3, 1)", 24);
        npy_partner(dir, names[0][1], y_type, "(3,)", 24);
    }
    load(dir);
}

static void fuzz_cifar(const char *dir, const unsigned char *data, size_t size)
{
    write_file(dir, "data_batch_1.bin", "", 0, data, size);
    write_file(dir, "test_batch.bin", "", 0, zeros, 3073);
    load(dir);
    write_file(dir, "test_batch.bin", "", 0, data, size);
    write_file(dir, "data_batch_1.bin", "", 0, zeros, 2 * 3073);
    load(dir);
}

int dlf_fuzz_data(const char *format, const char *scratch, const unsigned char *data, size_t size)
{
    const bool named = size > 0;
    const unsigned char bits = named ? data[0] : 0;
    const file_role role = {bits & 1, bits >> 1 & 1, bits >> 2 & 1};
    if (strcmp(format, "idx") == 0) {
        fuzz_idx(scratch, role, data + named, size - named);
    } else if (strcmp(format, "npy") == 0) {
        fuzz_npy(scratch, role, data + named, size - named);
    } else if (strcmp(format, "cifar") == 0) {
        fuzz_cifar(scratch, data, size);
    } else if (strcmp(format, "digits") == 0) {
        dlf_dataset d;
        check_outcome(&d, dlf_digits_parse(&d, data, size, "hostile"), "hostile");
    } else {
        return 0;
    }
    return 1;
}
