/* SPDX-License-Identifier: MIT
 * loader_test.h -- a directory for each test, files in it, and what loading them must give. Include
 * it behind cmocka.h. */
#ifndef DLF_LOADER_TEST_H
#define DLF_LOADER_TEST_H
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "dlf/data.h"

#define OK(call)     assert_int_equal((call), DLF_OK)
#define SAYS(text)   assert_non_null(strstr(dlf_error_message(), text))
#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)

static char dir[64];

static inline int make_dir(void **state)
{
    snprintf(dir, sizeof dir, "/tmp/dlf-loaders-XXXXXX");
    unsetenv("DLF_DATA");
    return mkdtemp(dir) ? 0 : -1;
}

static inline int remove_dir(void **state)
{
    char command[80];
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

static inline const char *in_dir(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static inline void write_file(const char *name, const void *data, size_t size)
{
    FILE *file = fopen(in_dir(name), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static inline void write_gz(const char *name, const void *data, size_t size)
{
    gzFile file = gzopen(in_dir(name), "wb9");
    assert_non_null(file);
    assert_int_equal(gzwrite(file, data, (unsigned)size), size);
    assert_int_equal(gzclose(file), Z_OK);
}

static inline void cut(const char *name, long bytes)
{
    struct stat info;
    assert_int_equal(stat(in_dir(name), &info), 0);
    assert_int_equal(truncate(in_dir(name), info.st_size - bytes), 0);
}

/* Loading fails, with nothing left to free, and says `text`. */
static inline void refused(const char *name, dlf_status status, const char *text)
{
    dlf_dataset d;
    const dlf_status got = dlf_dataset_load(&d, name, NULL);
    if (got != status || !strstr(dlf_error_message(), text))
        fail_msg("status %d, \"%s\"; expected %d, \"%s\"", got, dlf_error_message(), status, text);
    assert_null(d.x);
    assert_null(d.label);
    assert_int_equal(d.train, 0);
}

/* ---- what is expected ---------------------------------------------------------------------- */

/* Scaled as data.h says, the slow way. */
static inline void scale(double *x, int train, int rows, int features)
{
    double square = 0.0;
    for (int c = 0; c < features; c++) {
        double mean = 0.0;
        for (int r = 0; r < train; r++) mean += x[r * features + c] / train;
        for (int r = 0; r < rows; r++) x[r * features + c] -= mean;
        for (int r = 0; r < train; r++) square += x[r * features + c] * x[r * features + c];
    }
    for (int i = 0; i < rows * features; i++) x[i] /= sqrt(square / (train * features));
}

/* Row r of `part` in the file is row at[r] of it in the data set: told by the labels, which the
 * tests make all different. */
static inline void same_data(const dlf_dataset *d, double *x)
{
    const int n = d->features, rows = d->train + d->test;
    scale(x, d->train, rows, n);
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < n; c++) {
            const double expected = x[d->label[r] * n + c];
            /* f32 data, a mean and a factor rounded to f32: 3 roundings of numbers below 4 */
            if (fabs((double)d->x[r * n + c] - expected) > 1e-6)
                fail_msg("row %d column %d: %.9g, expected %.9g", r, c, (double)d->x[r * n + c],
                         expected);
        }
}

#endif
