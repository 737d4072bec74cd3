/* SPDX-License-Identifier: MIT
 * test_npy.c -- data sets from .npy files that the test writes: exact values, and every way in
 * which they can be wrong. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "loader_test.h"

static void write_npy_version(const char *name, int version, const char *header, const void *data,
                              size_t size)
{
    unsigned char file[4096] = "\x93NUMPY";
    const size_t n = strlen(header), at = version == 1 ? 10 : 12;
    file[6] = (unsigned char)version;
    file[8] = (unsigned char)(n % 256);
    file[9] = (unsigned char)(n / 256);
    assert_true(at + n + size <= sizeof file);
    memcpy(file + at, header, n);
    memcpy(file + at + n, data, size);
    write_file(name, file, at + n + size);
}

static void write_npy(const char *name, const char *descr, const char *shape, const void *data,
                      size_t size)
{
    char header[256];
    snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }   \n",
             descr, shape);
    write_npy_version(name, 1, header, data, size);
}

static const int64_t eleven[11] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10};

/* The same numbers in every type that is read. */
static void npy_types(void **state)
{
    float f4[22];
    double f8[22];
    uint8_t u1[22];
    int32_t i4[22];
    int64_t i8[22];
    for (int i = 0; i < 22; i++) {
        u1[i] = (uint8_t)((i * i * 7 + i) % 256);
        f4[i] = (float)u1[i];
        f8[i] = u1[i];
        i4[i] = u1[i];
        i8[i] = u1[i];
    }
    const struct {
        const char *descr;
        const void *data;
        size_t size;
    } type[] = {{"<f4", f4, sizeof f4}, {"<f8", f8, sizeof f8}, {"|u1", u1, sizeof u1},
                {"<i4", i4, sizeof i4}, {"<i8", i8, sizeof i8}, {"<u1", u1, sizeof u1}};
    write_npy("y.npy", "<i8", "(11,)", eleven, sizeof eleven);
    for (size_t t = 0; t < sizeof type / sizeof type[0]; t++) {
        dlf_dataset d;
        write_npy("x.npy", type[t].descr, "(11, 2)", type[t].data, type[t].size);
        OK(dlf_dataset_load(&d, dir, NULL));
        assert_string_equal(d.name, "npy");
        assert_int_equal(d.train, 9); /* one in five is a test row */
        assert_int_equal(d.test, 2);
        assert_int_equal(d.features, 2);
        assert_int_equal(d.height, 0);
        assert_int_equal(d.classes, 11);
        double x[22];
        int seen[11] = {0};
        for (int r = 0; r < 11; r++) {
            seen[d.label[r]]++;
            x[2 * r] = f8[2 * d.label[r]];
            x[2 * r + 1] = f8[2 * d.label[r] + 1];
            d.label[r] = r;
        }
        for (int r = 0; r < 11; r++) assert_int_equal(seen[r], 1);
        same_data(&d, x);
        dlf_dataset_free(&d);
    }
}

static void npy_shapes_and_headers(void **state)
{
    static const struct {
        const char *shape;
        int rows, features, channels, height, width;
    } shape[] = {{"(12,)", 12, 1, 0, 0, 0},           {"(6, 2)", 6, 2, 0, 0, 0},
                 {"(3,2,2)", 3, 4, 1, 2, 2},          {"( 2 , 1 , 2 , 3 , )", 2, 6, 1, 2, 3},
                 {"(2L, 3L, 1L, 2L)", 2, 6, 3, 1, 2}, {"(4, 3)", 4, 3, 0, 0, 0}};
    static const char *const headers[] = {
        "{'descr': '|u1', 'fortran_order': False, 'shape': %s, }       \n",
        "{\"shape\":%s,\"fortran_order\":False,\"descr\":\"|u1\"}",
        "  {  'fortran_order' :False,'descr':'|u1'  , 'shape'  :%s}\n"};
    uint8_t x[12];
    for (int i = 0; i < 12; i++) x[i] = (uint8_t)(i * i);
    for (size_t s = 0; s < sizeof shape / sizeof shape[0]; s++) {
        for (int version = 1; version <= 3; version++) {
            char header[256], rows[32];
            dlf_dataset d;
            snprintf(header, sizeof header, headers[version - 1], shape[s].shape);
            write_npy_version("x.npy", version, header, x, sizeof x);
            snprintf(rows, sizeof rows, "(%d, 1)", shape[s].rows);
            write_npy("y.npy", "<i8", rows, eleven,
                      8 * (size_t)(shape[s].rows > 11 ? 11 : shape[s].rows));
            if (shape[s].rows > 11) {
                const uint8_t twelve[12] = {1};
                write_npy("y.npy", "|u1", rows, twelve, 12);
            }
            OK(dlf_dataset_load(&d, dir, NULL));
            assert_int_equal(d.train + d.test, shape[s].rows);
            assert_int_equal(d.test, shape[s].rows / 5 > 1 ? shape[s].rows / 5 : 1);
            assert_int_equal(d.features, shape[s].features);
            assert_int_equal(d.channels, shape[s].channels);
            assert_int_equal(d.height, shape[s].height);
            assert_int_equal(d.width, shape[s].width);
            dlf_dataset_free(&d);
        }
    }
}

/* Targets come as they are, with the rows they belong to; test files of their own. */
static void npy_targets(void **state)
{
    float x[5] = {1.0f, 2.0f, 3.0f, 4.0f, 5.0f}, x_test[2] = {10.0f, 20.0f};
    double y[10], y_test[4] = {-10.0, 0.5, -20.0, 1e300};
    for (int i = 0; i < 5; i++) {
        y[2 * i] = -(double)x[i];
        y[2 * i + 1] = i + 0.25;
    }
    write_npy("x.npy", "<f4", "(5, 1)", x, sizeof x);
    write_npy("y.npy", "<f8", "(5, 2)", y, sizeof y);
    write_npy("x_test.npy", "<f4", "(2, 1)", x_test, sizeof x_test);
    write_npy("y_test.npy", "<f8", "(2, 2)", y_test, sizeof y_test);
    dlf_dataset d;
    OK(dlf_dataset_load(&d, dir, NULL));
    assert_int_equal(d.train, 5);
    assert_int_equal(d.test, 2);
    assert_int_equal(d.classes, 0);
    assert_int_equal(d.targets, 2);
    assert_null(d.label);
    double raw[7];
    for (int r = 0; r < 7; r++) { /* mean 3, sd sqrt(2) of the training rows */
        raw[r] = (double)d.x[r] * sqrt(2.0) + 3.0;
        assert_true(fabs(raw[r] + (double)d.target[2 * r]) < 1e-5);
    }
    for (int r = 0; r < 5; r++)
        assert_true((double)d.target[2 * r + 1] == round(raw[r]) - 1.0 + 0.25);
    for (int r = 5; r < 7; r++)
        assert_true(d.target[2 * r + 1] == (raw[r] < 15.0 ? 0.5f : INFINITY)); /* 1e300 in f32 */
    dlf_dataset_free(&d);
}

/* Files of the same rows: the two parts have orders of their own. */
static void parts_are_permuted_differently(void **state)
{
    dlf_dataset d;
    const char *const names[] = {"x.npy", "y.npy", "x_test.npy", "y_test.npy"};
    for (int i = 0; i < 4; i++) write_npy(names[i], "<i8", "(11,)", eleven, sizeof eleven);
    OK(dlf_dataset_load(&d, dir, NULL));
    assert_int_equal(d.train, 11);
    assert_memory_not_equal(d.label, d.label + 11, 11 * sizeof *d.label);
    dlf_dataset_free(&d);
}

/* Rows so long that those which were not asked for are not read, but sought over. */
static void rows_far_apart(void **state)
{
    enum { FAR_ROWS = 11, LONG = 1 << 20 };
    static uint8_t x[128 + (size_t)FAR_ROWS * LONG];
    dlf_dataset d;
    const int n = snprintf((char *)x, 128,
                           "\x93NUMPY\x01%c\x76%c{'descr': '|u1', 'fortran_order': False, "
                           "'shape': (%d, %d), }",
                           0, 0, FAR_ROWS, LONG);
    memset(x + n, ' ', 128 - (size_t)n);
    for (int r = 0; r < FAR_ROWS; r++)
        for (int i = 0; i < 2; i++) /* at both ends, so that the norm is 2 (20 r)^2 */
            x[128 + (size_t)r * LONG + (size_t)i * (LONG - 1)] = (uint8_t)(20 * r);
    write_file("x.npy", x, sizeof x);
    write_npy("y.npy", "<i8", "(11,)", eleven, sizeof eleven);
    OK(dlf_dataset_load(&d, dir, &(dlf_dataset_request){NULL, 2, 2}));
    /* Of two training rows a and b: x = +-(a-b)/2 at the ends, divided by its own rms. */
    const double factor = sqrt(LONG / 2.0) / fabs(10.0 * (d.label[0] - d.label[1]));
    for (int r = 0; r < 4; r++) {
        const double x0 = (20.0 * d.label[r] - 10.0 * (d.label[0] + d.label[1])) * factor;
        const float *row = d.x + (size_t)r * LONG;
        assert_true(fabs((double)row[0] - x0) < 1e-6 * fabs(x0));
        assert_true(row[LONG - 1] == row[0] && row[1] == 0.0f && row[LONG / 2] == 0.0f);
    }
    dlf_dataset_free(&d);
}

static void extreme_values(void **state)
{
    dlf_dataset d;
    float x[5] = {1.0f, NAN, 2.0f, 3.0f, 4.0f};
    write_npy("y.npy", "<i8", "(5,)", eleven, 40);
    write_npy("x.npy", "<f4", "(5,)", x, sizeof x);
    OK(dlf_dataset_load(&d, dir, NULL)); /* a value, and it spreads: to the mean or not at all */
    int nans = 0;
    for (int r = 0; r < 5; r++) nans += isnan(d.x[r]) != 0;
    assert_true(nans == 5 || (nans == 1 && isnan(d.x[4])));
    dlf_dataset_free(&d);
    for (int i = 0; i < 5; i++) x[i] = 7.0f; /* no deviation: centred, divided by nothing */
    write_npy("x.npy", "<f4", "(5,)", x, sizeof x);
    OK(dlf_dataset_load(&d, dir, NULL));
    for (int r = 0; r < 5; r++) assert_true(d.x[r] == 0.0f);
    dlf_dataset_free(&d);
    for (int i = 0; i < 5; i++) x[i] = (float)i * 1e-42f; /* denormal, 1/sd beyond f32 */
    write_npy("x.npy", "<f4", "(5,)", x, sizeof x);
    OK(dlf_dataset_load(&d, dir, NULL));
    double square = 0.0;
    for (int r = 0; r < 4; r++) square += (double)d.x[r] * (double)d.x[r];
    assert_true(fabs(square / 4.0 - 1.0) < 1e-3); /* the mean is rounded to 1.4e-45 */
    dlf_dataset_free(&d);
    const int64_t large[5] = {INT64_MIN, 0, INT64_MAX, 5, 7};
    write_npy("x.npy", "<i8", "(5,)", large, sizeof large);
    OK(dlf_dataset_load(&d, dir, NULL));
    for (int r = 0; r < 5; r++) assert_true(isfinite(d.x[r]));
    dlf_dataset_free(&d);
}

/* x.npy with this header and 24 bytes of data. */
static void npy_header(const char *header, const char *says)
{
    const char data[24] = {0};
    write_npy_version("x.npy", 1, header, data, sizeof data);
    refused(dir, DLF_ERR_INPUT, says);
    SAYS("x.npy");
}

static void hostile_npy_headers(void **state)
{
    static const uint8_t y[6] = {0, 1, 2, 0, 1, 2};
    write_npy("y.npy", "|u1", "(6,)", y, sizeof y);
#define HEADER(descr, order, shape)                                                                \
    "{'descr': '" descr "', 'fortran_order': " order ", 'shape': " shape "}\n"
    npy_header(HEADER(">f4", "False", "(6, 1)"), "numbers of type '>f4'");
    npy_header(HEADER("<f2", "False", "(6, 2)"), "numbers of type '<f2'");
    npy_header(HEADER("|O", "False", "(6, 1)"), "numbers of type '|O'");
    npy_header(HEADER("<f4", "True", "(6, 1)"), "Fortran order");
    npy_header(HEADER("<f4", "Maybe", "(6, 1)"), "True or False");
    npy_header(HEADER("<f4", "False", "()"), "0 axes");
    npy_header(HEADER("<f4", "False", "(6, 1, 1, 1, 1)"), "5 axes");
    npy_header(HEADER("<f4", "False", "(1,1,1,1,1,1,1,1,1)"), "too many axes");
    npy_header(HEADER("<f4", "False", "(-6, 1)"), "the size of an axis");
    npy_header(HEADER("<f4", "False", "(0, 1)"), "axis 0 has size 0");
    npy_header(HEADER("<f4", "False", "(6, 0)"), "axis 1 has size 0");
    npy_header(HEADER("<f4", "False", "(6.0, 1)"), "',' or ')'");
    npy_header(HEADER("<f4", "False", "6"), "'('");
    npy_header(HEADER("<f4", "False", "(6, 1"), "',' or ')'");
    npy_header(HEADER("<f4", "False", "(6, 1)") "x", "its end");
    npy_header(HEADER("<f4", "False", "(6, 2)"), "truncated");
    npy_header(HEADER("<f4", "False", "(5, 1)"), "4 bytes too many, from offset");
    npy_header(HEADER("<f4", "False", "(2147483647, 2147483647)"), "truncated");
    npy_header(HEADER("<f8", "False", "(2147483647, 2147483647, 1)"), "truncated");
    npy_header(HEADER("<f8", "False", "(1, 2147483647, 2147483647)"), "more than 2147483647");
    npy_header(HEADER("<f4", "False", "(2147483648, 1)"), "axis 0 has size");
    npy_header(HEADER("<f4", "False", "(18446744073709551622, 1)"),
               "axis 0 has size"); /* 6 mod 2^64 */
    npy_header(HEADER("<f4", "False", "(1, 6)"), "x.npy has 1 rows, but");
    npy_header("", "'{'");
    npy_header("[1]", "'{'");
    npy_header("{", "a quoted name");
    npy_header("{'descr", "a short quoted name");
    npy_header("{'descr'}", "':'");
    npy_header("{'descr': 4}", "a quoted name");
    npy_header("{'descr': '<f4' 'shape'}", "',' or '}'");
    npy_header("{'descr': '<f4', 'descr': '<f4'}", "once each");
    npy_header("{'names': '<f4'}", "once each");
    npy_header("{'an_overlong_key_name': 1}", "a short quoted name");
    npy_header("{'descr': '<f4', 'shape': (6, 1)}", "descr, fortran_order and shape");
#undef HEADER
}

static void hostile_npy_files(void **state)
{
    static const uint8_t y[6] = {0, 1, 2, 0, 1, 2};
    const float x[6] = {0};
    char head[] = "\x93NUMPY\1\0\xff\xff{}";
    refused(dir, DLF_ERR_INPUT, "holds no data set");
    write_file("x.npy", head, sizeof head);
    refused(dir, DLF_ERR_INPUT, "truncated"); /* before y.npy is looked for */
    write_npy("x.npy", "<f4", "(6,)", x, sizeof x);
    refused(dir, DLF_ERR_INPUT, "has no y.npy");
    write_npy("y.npy", "|u1", "(6,)", y, sizeof y);
    dlf_dataset d;
    OK(dlf_dataset_load(&d, dir, NULL));
    dlf_dataset_free(&d);

    for (long bytes = 1; bytes <= 90; bytes++) { /* cut anywhere */
        write_npy("x.npy", "<f4", "(6,)", x, sizeof x);
        cut("x.npy", bytes);
        refused(dir, DLF_ERR_INPUT, "x.npy");
    }
    head[6] = 4;
    write_file("x.npy", head, sizeof head);
    refused(dir, DLF_ERR_INPUT, "version 4.0");
    write_file("x.npy", "\x93NUMPY\2\0\xff\xff\xff\xff{", 13);
    refused(dir, DLF_ERR_INPUT, "a header of 4294967295 bytes");
    write_file("x.npy", "\x93NUMPX\1\0\1\0{", 11);
    refused(dir, DLF_ERR_INPUT, "offset 0: not a .npy file");
    write_file("x.npy", "\x93NUMPY\1\0\x03\0{}\0", 13);
    refused(dir, DLF_ERR_INPUT, "shape before");
    head[6] = 1;
    head[7] = 1;
    write_file("x.npy", head, sizeof head);
    refused(dir, DLF_ERR_INPUT, "version 1.1");
    char zero[] =
        "\x93NUMPY\1\0\0\0{'descr': '|u1', 'fortran_order': False, 'shape': (6,)}\0\n123456";
    zero[8] = (char)(sizeof zero - 1 - 10 - 6); /* a zero byte where the header seems to end */
    write_file("x.npy", zero, sizeof zero - 1);
    refused(dir, DLF_ERR_INPUT, "no zero byte");
    write_gz("x.npy", "x", 1);
    refused(dir, DLF_ERR_INPUT, "gzip'ed");

    write_npy("x.npy", "<f4", "(6,)", x, sizeof x);
    const int32_t minus[6] = {0, 1, -1, 0, 0, 0};
    write_npy("y.npy", "<i4", "(6,)", minus, sizeof minus);
    refused(dir, DLF_ERR_INPUT, "y.npy: row 2: label -1 is not in 0..65535");
    const int64_t many[6] = {0, 1, 2, 65536, 0, 0};
    write_npy("y.npy", "<i8", "(6,)", many, sizeof many);
    refused(dir, DLF_ERR_INPUT, "row 3: label 65536 is not in 0..65535");
    const int64_t wraps[6] = {0, 1, 2, 3, (int64_t)1 << 32, 0};
    write_npy("y.npy", "<i8", "(6,)", wraps, sizeof wraps);
    refused(dir, DLF_ERR_INPUT, "row 4: label 4294967296");
    write_npy("y.npy", "|u1", "(3, 2)", y, sizeof y);
    refused(dir, DLF_ERR_INPUT, "has 6 rows, but");
    write_npy("y.npy", "|u1", "(6, 1, 1)", y, sizeof y);
    refused(dir, DLF_ERR_INPUT, "3 axes; labels or targets have 1 or 2");
    write_npy("x.npy", "<f4", "(3, 2)", x, sizeof x);
    write_npy("y.npy", "|u1", "(3, 2)", y, sizeof y);
    refused(dir, DLF_ERR_INPUT, "2 labels per row");
    write_npy("x.npy", "<f4", "(1, 6)", x, sizeof x);
    write_npy("y.npy", "|u1", "(1,)", y, 1);
    refused(dir, DLF_ERR_INPUT, "1 row cannot be split");

    write_npy("x.npy", "<f4", "(6,)", x, sizeof x);
    write_npy("y.npy", "|u1", "(6,)", y, sizeof y);
    write_npy("x_test.npy", "<f4", "(6,)", x, sizeof x);
    refused(dir, DLF_ERR_INPUT, "has no y_test.npy");
    const uint8_t beyond[6] = {0, 1, 2, 0, 3, 0};
    write_npy("y_test.npy", "|u1", "(6,)", beyond, sizeof beyond);
    refused(dir, DLF_ERR_INPUT, "y_test.npy: row 4: label 3 is not in 0..2");
    write_npy("y_test.npy", "<f4", "(6,)", x, sizeof x);
    refused(dir, DLF_ERR_INPUT, "or the other way round");
    write_npy("x_test.npy", "<f4", "(3, 2)", x, sizeof x);
    refused(dir, DLF_ERR_INPUT, "has 3 rows, but");
    write_npy("x.npy", "<f4", "(3, 2)", x, sizeof x);
    write_npy("y.npy", "<f4", "(3, 1)", x,
              12); /* more targets per test row than there is room for */
    write_npy("y_test.npy", "<f4", "(3, 2)", x, sizeof x);
    refused(dir, DLF_ERR_INPUT, "y_test.npy: its rows have another shape (2 numbers)");
    write_npy("x.npy", "<f4", "(6,)", x, sizeof x);
    write_npy("y.npy", "|u1", "(6,)", y, sizeof y);
    write_npy("y_test.npy", "|u1", "(3,)", y, 3);
    refused(dir, DLF_ERR_INPUT, "another shape");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(npy_types),           IN_DIR(npy_shapes_and_headers),
        IN_DIR(npy_targets),         IN_DIR(parts_are_permuted_differently),
        IN_DIR(rows_far_apart),      IN_DIR(extreme_values),
        IN_DIR(hostile_npy_headers), IN_DIR(hostile_npy_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
