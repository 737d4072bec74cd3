/* SPDX-License-Identifier: MIT
 * test_data.c -- the shipped digits, and what the parser does with damaged ones. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

#include "data/embedded.h"
#include "data_test.h"
#include "dlf/data.h"

static void shipped_digits(void **state)
{
    dlf_dataset d;
    assert_int_equal(dlf_digits_load(&d), DLF_OK);
    assert_int_equal(d.train, 1297);
    assert_int_equal(d.test, 500);
    assert_int_equal(d.features, 64);
    assert_int_equal(d.classes, 10);
    assert_int_equal(d.channels, 1);
    assert_int_equal(d.height, 8);
    assert_int_equal(d.width, 8);
    assert_int_equal(d.targets, 0);
    assert_null(d.target);
    /* The numbers that stored results were made with, bit for bit. */
    assert_true(fnv(FNV_START, d.x, 1797 * 64 * sizeof *d.x) == 0x0e56cd3de39cf436u);
    assert_true(fnv(FNV_START, d.label, 1797 * sizeof *d.label) == 0x602dabb728d31f21u);
    int per_class[10] = {0};
    for (int r = 0; r < d.train + d.test; r++) {
        assert_in_range(d.label[r], 0, 9);
        per_class[d.label[r]]++;
    }
    for (int c = 0; c < 10; c++) assert_in_range(per_class[c], 174, 183); /* published counts */
    double square = 0.0;
    for (int c = 0; c < 64; c++) {
        double mean = 0.0;
        for (int r = 0; r < d.train; r++) {
            const double x = d.x[r * 64 + c];
            mean += x;
            square += x * x;
        }
        assert_true(fabs(mean / d.train) < 1e-5);
    }
    assert_true(fabs(square / (d.train * 64.0) - 1.0) < 1e-5);
    dlf_dataset_free(&d);
    dlf_dataset_free(&d); /* harmless */
}

static void *zip(const char *text, size_t *size)
{
    const size_t n = strlen(text);
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, 0), Z_OK);
    const uLong bound = deflateBound(&z, n) + 64;
    void *out = malloc(bound);
    assert_non_null(out);
    z.next_in = (Bytef *)(uintptr_t)text;
    z.avail_in = (uInt)n;
    z.next_out = out;
    z.avail_out = (uInt)bound;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    *size = z.total_out;
    deflateEnd(&z);
    return out;
}

/* 1,100 good rows with row 7 replaced by `bad`. */
static dlf_status parse_with(const char *bad)
{
    char row[200] = "", *text = malloc(1100 * 200 + strlen(bad));
    assert_non_null(text);
    for (int i = 0; i < 64; i++) strcat(row, "3,");
    strcat(row, "5\n");
    text[0] = '\0';
    size_t at = 0;
    for (int r = 0; r < 1100; r++) {
        const char *line = r == 6 ? bad : row;
        memcpy(text + at, line, strlen(line) + 1);
        at += strlen(line);
    }
    size_t size;
    void *gz = zip(text, &size);
    dlf_dataset d;
    const dlf_status status = dlf_digits_parse(&d, gz, size, "bad.gz");
    dlf_dataset_free(&d);
    free(gz);
    free(text);
    return status;
}

static void damaged_rows_name_the_line(void **state)
{
    static const char *const bad[] = {"\n",  "1,2,3\n",         "x,",   "17,1\n",
                                      "-1,", "99999999999999,", ",,,\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(parse_with(bad[i]), DLF_ERR_INPUT);
        assert_non_null(strstr(dlf_error_message(), "bad.gz: line 7"));
    }
}

static void truncated_and_flipped_archives(void **state)
{
    size_t size;
    const unsigned char *gz = dlf_embedded_find("data/digits.csv.gz", &size);
    assert_non_null(gz);
    dlf_dataset d;
    for (size_t cut = 0; cut < size; cut += 1499) /* never a crash, never a success */
        assert_int_equal(dlf_digits_parse(&d, gz, cut, "cut"), DLF_ERR_INPUT);
    unsigned char *copy = malloc(size);
    assert_non_null(copy);
    int accepted = 0;
    for (size_t at = 10; at < size; at += 997) {
        memcpy(copy, gz, size);
        copy[at] ^= 0x20;
        const dlf_status status = dlf_digits_parse(&d, copy, size, "flipped");
        assert_true(status == DLF_ERR_INPUT || status == DLF_OK);
        accepted += status == DLF_OK;
        dlf_dataset_free(&d);
    }
    assert_int_equal(accepted, 0); /* gzip's checksum sees every flipped bit */
    free(copy);
}

static void a_bomb_is_refused(void **state)
{
    char *text = malloc((8 << 20) + 1);
    assert_non_null(text);
    memset(text, '1', 8 << 20);
    text[8 << 20] = '\0';
    size_t size;
    void *gz = zip(text, &size);
    dlf_dataset d;
    assert_int_equal(dlf_digits_parse(&d, gz, size, "bomb"), DLF_ERR_INPUT);
    free(gz);
    free(text);
}

static void permutations(void **state)
{
    int32_t a[100], b[100], seen[100] = {0};
    dlf_permutation(a, 100, 1, 2, 3);
    dlf_permutation(b, 100, 1, 2, 3);
    assert_memory_equal(a, b, sizeof a);
    for (int i = 0; i < 100; i++) seen[a[i]]++;
    for (int i = 0; i < 100; i++) assert_int_equal(seen[i], 1);
    dlf_permutation(b, 100, 1, 2, 4);
    assert_memory_not_equal(a, b, sizeof a);
    /* uniform first element: chi-square over 10 values, 5000 draws, 9 dof: 33.7 is p = 1e-4 */
    int count[10] = {0};
    for (uint32_t member = 0; member < 5000; member++) {
        dlf_permutation(a, 10, 7, 1, member);
        count[a[0]]++;
    }
    double chi2 = 0.0;
    for (int i = 0; i < 10; i++) chi2 += (count[i] - 500.0) * (count[i] - 500.0) / 500.0;
    assert_true(chi2 < 33.7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shipped_digits),
        cmocka_unit_test(damaged_rows_name_the_line),
        cmocka_unit_test(truncated_and_flipped_archives),
        cmocka_unit_test(a_bomb_is_refused),
        cmocka_unit_test(permutations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
