/* SPDX-License-Identifier: MIT
 * digits.c -- the shipped handwritten digits: inflate, parse, split, scale. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "data/dataset.h"
#include "data/embedded.h"
#include "dlf/rng.h"

enum { SIDE = 8, PIXELS = SIDE * SIDE, CLASSES = 10, PIXEL_MAX = 16, TEST_ROWS = 500 };
enum { TEXT_MAX = 1 << 20 }; /* the real file inflates to 264 kB */

/* gzip -> NUL-terminated text. */
static dlf_status inflate_text(char **out, size_t *out_size, const void *gz, size_t size,
                               const char *name)
{
    char *text = malloc(TEXT_MAX + 1);
    if (!text) return dlf_fail(DLF_ERR_OOM, "%s: out of memory", name);
    z_stream z = {.next_in = (Bytef *)(uintptr_t)gz,
                  .avail_in = (uInt)size,
                  .next_out = (Bytef *)text,
                  .avail_out = TEXT_MAX};
    int rc = inflateInit2(&z, 16 + MAX_WBITS);
    if (rc == Z_OK) rc = inflate(&z, Z_FINISH);
    inflateEnd(&z);
    if (rc != Z_STREAM_END) {
        free(text);
        return dlf_fail(DLF_ERR_INPUT, "%s: damaged or truncated gzip data", name);
    }
    text[z.total_out] = '\0';
    *out_size = z.total_out;
    *out = text;
    return DLF_OK;
}

/* One unsigned number below `limit`, then `end`. */
static bool parse_field(const char **p, char end, int limit, int *value)
{
    int v = 0, digits = 0;
    for (; **p >= '0' && **p <= '9' && digits < 4; (*p)++, digits++) v = 10 * v + (**p - '0');
    if (!digits || v >= limit || **p != end) return false;
    (*p)++;
    *value = v;
    return true;
}

static dlf_status parse_rows(dlf_dataset *d, const char *text, int rows, const char *name)
{
    const char *p = text;
    for (int r = 0; r < rows; r++) {
        int value = 0;
        for (int c = 0; c < PIXELS; c++) {
            if (!parse_field(&p, ',', PIXEL_MAX + 1, &value))
                return dlf_fail(DLF_ERR_INPUT, "%s: line %d: pixel %d is not a number 0..%d", name,
                                r + 1, c + 1, PIXEL_MAX);
            d->x[r * PIXELS + c] = (float)value;
        }
        if (!parse_field(&p, '\n', CLASSES, &value))
            return dlf_fail(DLF_ERR_INPUT, "%s: line %d: the label is not a digit 0..9", name,
                            r + 1);
        d->label[r] = value;
    }
    return DLF_OK;
}

static dlf_status shuffle(dlf_dataset *d, int rows)
{
    int32_t *order = malloc((size_t)rows * sizeof *order);
    float *x = malloc((size_t)rows * PIXELS * sizeof *x);
    int32_t *label = malloc((size_t)rows * sizeof *label);
    if (!order || !x || !label) {
        free(order);
        free(x);
        free(label);
        return dlf_fail(DLF_ERR_OOM, "digits: out of memory");
    }
    dlf_permutation(order, rows, 123, dlf_stream(DLF_PURPOSE_SHUFFLE, 0), 0);
    for (int r = 0; r < rows; r++) {
        memcpy(x + r * PIXELS, d->x + order[r] * PIXELS, PIXELS * sizeof *x);
        label[r] = d->label[order[r]];
    }
    free(order);
    free(d->x);
    free(d->label);
    free(d->target);
    d->x = x;
    d->label = label;
    return DLF_OK;
}

/* Keep the first `train` and the first `test` rows. */
static void keep(dlf_dataset *d, int train, int test)
{
    memmove(d->x + train * PIXELS, d->x + d->train * PIXELS,
            (size_t)(test * PIXELS) * sizeof *d->x);
    memmove(d->label + train, d->label + d->train, (size_t)test * sizeof *d->label);
    d->train = train;
    d->test = test;
}

static dlf_status parse(dlf_dataset *out, const void *gz, size_t size, const char *name, int train,
                        int test)
{
    dlf_status status;
    char *text = NULL;
    size_t text_size = 0;
    memset(out, 0, sizeof *out);
    DLF_TRY_DONE(inflate_text(&text, &text_size, gz, size, name));
    int rows = 0;
    for (size_t i = 0; i < text_size; i++) rows += text[i] == '\n';
    if (rows < 2 * TEST_ROWS) {
        status =
            dlf_fail(DLF_ERR_INPUT, "%s: %d lines, need at least %d", name, rows, 2 * TEST_ROWS);
        goto done;
    }
    *out = (dlf_dataset){.name = "digits",
                         .train = rows - TEST_ROWS,
                         .test = TEST_ROWS,
                         .features = PIXELS,
                         .classes = CLASSES,
                         .channels = 1,
                         .height = SIDE,
                         .width = SIDE};
    DLF_TRY_DONE(dlf_dataset_allocate(out, true, name));
    DLF_TRY_DONE(parse_rows(out, text, rows, name));
    DLF_TRY_DONE(shuffle(out, rows));
    keep(out, dlf_rows_wanted(train, out->train), dlf_rows_wanted(test, out->test));
    status = dlf_dataset_scale(out);
done:
    free(text);
    if (status != DLF_OK) dlf_dataset_free(out);
    return status;
}

dlf_status dlf_digits_parse(dlf_dataset *out, const void *gz, size_t size, const char *name)
{
    return parse(out, gz, size, name, 0, 0);
}

dlf_status dlf_load_digits(dlf_dataset *out, int train, int test)
{
    size_t size = 0;
    const unsigned char *gz = dlf_embedded_find("data/digits.csv.gz", &size);
    if (!gz) return dlf_fail(DLF_ERR_INTERNAL, "digits are missing from this build");
    return parse(out, gz, size, "data/digits.csv.gz", train, test);
}

dlf_status dlf_digits_load(dlf_dataset *out)
{
    return dlf_load_digits(out, 0, 0);
}
