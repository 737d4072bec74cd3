/* SPDX-License-Identifier: MIT
 * test_loaders.c -- data sets from IDX and CIFAR-10 files that the test writes: exact values, and
 * every way in which they can be wrong; names and places. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "data_test.h"
#include "loader_test.h"

/* ---- IDX ----------------------------------------------------------------------------------- */

enum { TRAIN = 7, TEST = 3, ROWS = TRAIN + TEST, H = 3, W = 2, PIXELS = H * W };
enum { IMAGE_HEAD = 16, LABEL_HEAD = 8 };

typedef struct idx_files {
    unsigned char images[2][IMAGE_HEAD + TRAIN * PIXELS], labels[2][LABEL_HEAD + TRAIN];
    double x[ROWS * PIXELS]; /* train, then test */
} idx_files;

static const int part_rows[2] = {TRAIN, TEST};
static const char *const image_name[2] = {"train-images-idx3-ubyte", "t10k-images-idx3-ubyte"};
static const char *const label_name[2] = {"train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte"};

/* Labels 6,5,..,0 for training rows: label l belongs to file row 6-l. */
static idx_files make_idx(void)
{
    idx_files f;
    memset(&f, 0, sizeof f);
    for (int p = 0; p < 2; p++) {
        const int n = part_rows[p];
        memcpy(f.images[p],
               (unsigned char[]){0, 0, 8, 3, 0, 0, 0, (unsigned char)n, 0, 0, 0, H, 0, 0, 0, W},
               16);
        memcpy(f.labels[p], (unsigned char[]){0, 0, 8, 1, 0, 0, 0, (unsigned char)n}, 8);
        for (int r = 0; r < n; r++) {
            const int label = n - 1 - r;
            f.labels[p][LABEL_HEAD + r] = (unsigned char)label;
            for (int i = 0; i < PIXELS; i++) {
                const unsigned char pixel = (unsigned char)((p * 91 + r * 57 + i * i * 31) % 256);
                f.images[p][IMAGE_HEAD + r * PIXELS + i] = pixel;
                f.x[(p * TRAIN + label) * PIXELS + i] = pixel;
            }
        }
    }
    return f;
}

static void store_idx(const idx_files *f)
{
    for (int p = 0; p < 2; p++) {
        write_file(image_name[p], f->images[p], IMAGE_HEAD + (size_t)part_rows[p] * PIXELS);
        write_file(label_name[p], f->labels[p], LABEL_HEAD + (size_t)part_rows[p]);
    }
}

static void check_idx(idx_files *f)
{
    dlf_dataset d;
    OK(dlf_dataset_load(&d, dir, NULL));
    assert_string_equal(d.name, "idx");
    assert_int_equal(d.train, TRAIN);
    assert_int_equal(d.test, TEST);
    assert_int_equal(d.features, PIXELS);
    assert_int_equal(d.channels, 1);
    assert_int_equal(d.height, H);
    assert_int_equal(d.width, W);
    assert_int_equal(d.classes, TRAIN);
    assert_null(d.target);
    int seen[TRAIN] = {0}, in_order = 1;
    for (int r = 0; r < TRAIN; r++) {
        seen[d.label[r]]++;
        in_order = in_order && d.label[r] == TRAIN - 1 - r;
    }
    for (int r = 0; r < TRAIN; r++) assert_int_equal(seen[r], 1);
    assert_false(in_order);
    for (int r = TRAIN; r < ROWS; r++) d.label[r] += TRAIN; /* where f->x has them */
    same_data(&d, f->x);
    dlf_dataset_free(&d);
}

static void idx_plain_and_gzipped(void **state)
{
    idx_files f = make_idx();
    store_idx(&f);
    check_idx(&f);
    f = make_idx();
    for (int p = 0; p < 2; p++) { /* both kinds mixed; the plain file wins where both exist */
        assert_int_equal(unlink(in_dir(image_name[p])), 0);
        char zipped[64];
        snprintf(zipped, sizeof zipped, "%s.gz", image_name[p]);
        write_gz(zipped, f.images[p], IMAGE_HEAD + (size_t)part_rows[p] * PIXELS);
    }
    write_file("train-labels-idx1-ubyte.gz", "garbage", 7);
    check_idx(&f);
}

static void requests_are_nested(void **state)
{
    const idx_files f = make_idx();
    store_idx(&f);
    dlf_dataset all, few;
    OK(dlf_dataset_load(&all, dir, NULL));
    const dlf_dataset_request request = {NULL, 4, 2};
    OK(dlf_dataset_load(&few, dir, &request));
    assert_int_equal(few.train, 4);
    assert_int_equal(few.test, 2);
    assert_int_equal(few.classes, all.classes); /* whatever the request leaves out */
    assert_memory_equal(few.label, all.label, 4 * sizeof *few.label);
    assert_memory_equal(few.label + 4, all.label + TRAIN, 2 * sizeof *few.label);
    double x[6 * PIXELS]; /* scaled by the four rows alone */
    for (int r = 0; r < 6; r++) {
        const int from = r < 4 ? few.label[r] : TRAIN + few.label[r];
        memcpy(x + r * PIXELS, f.x + from * PIXELS, PIXELS * sizeof *x);
        few.label[r] = r;
    }
    same_data(&few, x);
    dlf_dataset_free(&few);
    OK(dlf_dataset_load(&few, dir, &(dlf_dataset_request){NULL, 1000, 1000}));
    assert_int_equal(few.train, TRAIN);
    assert_int_equal(few.test, TEST);
    assert_memory_equal(few.x, all.x, ROWS * PIXELS * sizeof *few.x);
    dlf_dataset_free(&few);
    dlf_dataset_free(&all);
    assert_int_equal(dlf_dataset_load(&few, dir, &(dlf_dataset_request){NULL, -1, 0}), DLF_ERR_ARG);
    assert_int_equal(dlf_dataset_load(&few, dir, &(dlf_dataset_request){NULL, 0, -1}), DLF_ERR_ARG);
}

/* `size` bytes `at` an offset of one file, then load. */
static void idx_with(const char *name, size_t at, const char *bytes, size_t size, const char *says)
{
    const idx_files f = make_idx();
    store_idx(&f);
    FILE *file = fopen(in_dir(name), "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, (long)at, SEEK_SET), 0);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    refused(dir, DLF_ERR_INPUT, says);
    SAYS(name);
}

static void hostile_idx(void **state)
{
    idx_with(image_name[0], 0, "\x01", 1, "offset 0: not an IDX file");
    idx_with(label_name[1], 1, "\x08", 1, "offset 0: not an IDX file");
    idx_with(image_name[1], 2, "\x0d", 1, "offset 2: type 0x0d");
    idx_with(image_name[0], 3, "\x01", 1, "offset 3: 1 axes, expected 3");
    idx_with(label_name[0], 3, "\x03", 1, "offset 3: 3 axes, expected 1");
    idx_with(image_name[0], 4, "\0\0\0\0", 4, "axis 0 has size 0");
    idx_with(image_name[0], 8, "\x80\0\0\0", 4, "axis 1 has size 2147483648");
    idx_with(image_name[0], 4, "\x7f\xff\xff\xff\x7f\xff\xff\xff\x7f\xff\xff\xff", 12,
             "a row has more than");
    idx_with(image_name[0], 4, "\x7f\xff\xff\xff\0\0\xff\xff\0\0\x40\0", 12, "truncated");
    idx_with(image_name[0], 4, "\0\0\0\x08", 4,
             "truncated: from offset 16 on 48 bytes should follow, 42 do");
    idx_with(image_name[0], 4, "\0\0\0\x06", 4, "6 bytes too many, from offset 52 on");
    idx_with(label_name[0], 15, "\x01", 1, "1 bytes too many, from offset 15 on");
    idx_with(label_name[1], LABEL_HEAD + 1, "\x07", 1, "row 1: label 7 is not in 0..6");
    idx_with(image_name[1], 8, "\0\0\0\x02\0\0\0\x03", 8, "another shape");
    idx_with(image_name[0], 4, "\0\0\0\x03\0\0\0\x07", 8, "has 3 rows, but");

    const idx_files f = make_idx();
    store_idx(&f);
    cut(image_name[0], 1);
    refused(dir, DLF_ERR_INPUT, "truncated");
    cut(image_name[0], IMAGE_HEAD + TRAIN * PIXELS - 1 - 9);
    refused(dir, DLF_ERR_INPUT, "it ends at offset 9, 7 bytes too early");
    write_file(image_name[0], "", 0);
    refused(dir, DLF_ERR_INPUT, "it ends at offset 0, 4 bytes too early");
    store_idx(&f);
    for (int p = 1; p >= 0; p--) {
        unlink(in_dir(label_name[p]));
        refused(dir, DLF_ERR_INPUT, label_name[p]);
        SAYS("has no");
    }
    store_idx(&f);
    unlink(in_dir(image_name[1]));
    refused(dir, DLF_ERR_INPUT, "has no t10k-images-idx3-ubyte, nor t10k-images-idx3-ubyte.gz");
    assert_int_equal(mkdir(in_dir(image_name[1]), 0700), 0);
    refused(dir, DLF_ERR_INPUT, "not a regular file");
    rmdir(in_dir(image_name[1]));
    assert_int_equal(mkfifo(in_dir(image_name[1]), 0600), 0); /* must not wait for a writer */
    refused(dir, DLF_ERR_INPUT, "not a regular file");
}

/* Training images from `name`.gz alone; the rest is right. */
static void only_gz(const unsigned char *data, size_t size)
{
    const idx_files f = make_idx();
    store_idx(&f);
    unlink(in_dir(image_name[0]));
    write_gz("train-images-idx3-ubyte.gz", data, size);
}

static void hostile_gzip(void **state)
{
    const char *name = "train-images-idx3-ubyte.gz";
    const idx_files f = make_idx();
    const size_t size = sizeof f.images[0];
    unsigned char longer[sizeof f.images[0] + 1] = {0};
    memcpy(longer, f.images[0], size);
    only_gz(longer, sizeof longer);
    refused(dir, DLF_ERR_INPUT, "more data than it announces, from offset 58 on");
    only_gz(longer, size - 1);
    refused(dir, DLF_ERR_INPUT,
            "truncated: it ends at offset 5");    /* 52: behind the last whole row read */
    for (int bytes = 1; bytes < 40; bytes += 6) { /* without checksum, then without data */
        only_gz(longer, size);
        cut(name, bytes);
        refused(dir, DLF_ERR_INPUT, name);
    }
    struct stat info;
    only_gz(longer, size);
    assert_int_equal(stat(in_dir(name), &info), 0);
    FILE *file = fopen(in_dir(name), "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, (long)info.st_size - 8, SEEK_SET), 0);
    const int byte = fgetc(file);
    assert_int_equal(fseek(file, (long)info.st_size - 8, SEEK_SET), 0);
    fputc(byte ^ 1, file); /* the checksum */
    fclose(file);
    refused(dir, DLF_ERR_INPUT, "damaged gzip data");

    /* A header that promises more than gzip can make of the file is refused before memory is asked
     * for: 2^31-1 rows of 4096 pixels. */
    memcpy(longer + 4, "\x7f\xff\xff\xff\0\0\0\x40\0\0\0\x40", 12);
    only_gz(longer, size);
    refused(dir, DLF_ERR_INPUT, "are the most that can");
    /* A real bomb: 16 MB of zeros in 16 kB. It is one row, which the labels contradict. */
    const size_t bomb_size = 16 << 20;
    unsigned char *bomb = calloc(bomb_size, 1);
    assert_non_null(bomb);
    memcpy(bomb, "\0\0\x08\x03\0\0\0\x01\0\0\x10\0\0\0\x0f\0", 16);
    only_gz(bomb, bomb_size);
    refused(dir, DLF_ERR_INPUT, "has 1 rows, but");
    free(bomb);
}

/* ---- CIFAR-10 ------------------------------------------------------------------------------ */

enum { RECORD = 3073, CIFAR_PIXELS = 3072 };

static unsigned char cifar_pixel(int row, int i)
{
    return (unsigned char)((row * 77 + i * 13 + i / 7) % 256);
}

static void write_cifar(const char *name, int first, int rows, int label_of_last)
{
    unsigned char *data = malloc((size_t)rows * RECORD);
    assert_non_null(data);
    for (int r = 0; r < rows; r++) {
        data[r * RECORD] = (unsigned char)(r == rows - 1 ? label_of_last : first + r);
        for (int i = 0; i < CIFAR_PIXELS; i++) data[r * RECORD + 1 + i] = cifar_pixel(first + r, i);
    }
    write_file(name, data, (size_t)rows * RECORD);
    free(data);
}

static void cifar(void **state)
{
    /* Three training files of 3, 2, 2 rows; a fifth that is cut off by the missing fourth. */
    write_cifar("data_batch_1.bin", 0, 3, 2);
    write_cifar("data_batch_2.bin", 3, 2, 4);
    write_cifar("data_batch_3.bin", 5, 2, 6);
    write_cifar("data_batch_5.bin", 0, 1, 0);
    write_cifar("test_batch.bin", 7, 2, 8);
    dlf_dataset d;
    OK(dlf_dataset_load(&d, dir, NULL));
    assert_string_equal(d.name, "cifar-10");
    assert_int_equal(d.train, 7);
    assert_int_equal(d.test, 2);
    assert_int_equal(d.classes, 10);
    assert_int_equal(d.features, CIFAR_PIXELS);
    assert_int_equal(d.channels, 3);
    assert_int_equal(d.height, 32);
    assert_int_equal(d.width, 32);
    double *x = malloc(9 * CIFAR_PIXELS * sizeof *x);
    assert_non_null(x);
    for (int r = 0; r < 9; r++)
        for (int i = 0; i < CIFAR_PIXELS; i++) x[r * CIFAR_PIXELS + i] = cifar_pixel(r, i);
    int32_t label[9];
    memcpy(label, d.label, sizeof label);
    same_data(&d, x);
    dlf_dataset_free(&d);
    OK(dlf_dataset_load(&d, "cifar-10", &(dlf_dataset_request){dir, 2, 1}));
    assert_int_equal(d.train, 2);
    assert_int_equal(d.test, 1);
    for (int r = 0; r < 3; r++) {
        assert_int_equal(d.label[r], label[r < 2 ? r : 7]);
        for (int i = 0; i < CIFAR_PIXELS; i++) x[r * CIFAR_PIXELS + i] = cifar_pixel(d.label[r], i);
        d.label[r] = r;
    }
    same_data(&d, x);
    free(x);
    dlf_dataset_free(&d);

    write_cifar("data_batch_3.bin", 5, 2, 10);
    refused(dir, DLF_ERR_INPUT, "data_batch_3.bin: record 1: label 10 is not in 0..9");
    write_cifar("data_batch_3.bin", 5, 2, 6);
    cut("data_batch_2.bin", 3);
    refused(dir, DLF_ERR_INPUT,
            "data_batch_2.bin: truncated: record 1, at offset 3073, has 3070 of 3073 bytes");
    write_file("data_batch_2.bin", "", 0);
    refused(dir, DLF_ERR_INPUT, "record 0, at offset 0, has 0 of 3073 bytes");
    write_gz("data_batch_2.bin", "x", 1);
    refused(dir, DLF_ERR_INPUT, "gzip'ed");
    write_cifar("data_batch_2.bin", 3, 2, 4);
    unlink(in_dir("test_batch.bin"));
    refused(dir, DLF_ERR_INPUT, "has no test_batch.bin");
}

/* ---- names and places ---------------------------------------------------------------------- */

static void names_and_places(void **state)
{
    char *place;
    OK(dlf_dataset_find(&place, "digits", "/nowhere"));
    assert_string_equal(place, "inside the binary");
    free(place);
    assert_int_equal(dlf_dataset_find(&place, "mnist", NULL), DLF_ERR_INPUT);
    assert_null(place);
    SAYS("--data");
    assert_int_equal(dlf_dataset_find(&place, "fashion-mnist", dir), DLF_ERR_INPUT);
    SAYS("fashion-mnist not found: no train-images-idx3-ubyte in");
    SAYS(dir);
    refused("fashion-mnits", DLF_ERR_NOT_FOUND, "did you mean 'fashion-mnist'?");
    refused(in_dir("absent"), DLF_ERR_NOT_FOUND, "neither a data set nor a directory");
    refused(dir, DLF_ERR_INPUT, "holds no data set");
    refused("cifar-10", DLF_ERR_INPUT, "--data DIR");

    /* DATA/name before DATA, and DLF_DATA where no directory is given. */
    const char *const below[] = {"cifar-10", "cifar-10-batches-bin", "."};
    for (int i = 2; i >= 0; i--) {
        char name[64], expected[128];
        if (i < 2) assert_int_equal(mkdir(in_dir(below[i]), 0700), 0);
        snprintf(name, sizeof name, "%s/data_batch_1.bin", below[i]);
        write_cifar(name, 0, 1, 0);
        snprintf(expected, sizeof expected, "%s%s%s", dir, i < 2 ? "/" : "", i < 2 ? below[i] : "");
        OK(dlf_dataset_find(&place, "cifar-10", dir));
        assert_string_equal(place, expected);
        free(place);
    }
    setenv("DLF_DATA", dir, 1);
    OK(dlf_dataset_find(&place, "cifar-10", NULL));
    assert_string_equal(place, in_dir("cifar-10"));
    free(place);
    unsetenv("DLF_DATA");
    for (int i = 0; dlf_dataset_names[i]; i++)
        assert_int_not_equal(dlf_dataset_find(&place, dlf_dataset_names[i], dir),
                             DLF_ERR_NOT_FOUND),
            free(place);
}

/* The name promises a size and ten classes. */
static void names_promise(void **state)
{
    dlf_dataset d;
    const dlf_dataset_request here = {dir, 0, 0};
    idx_files f = make_idx();
    store_idx(&f);
    assert_int_equal(dlf_dataset_load(&d, "mnist", &here), DLF_ERR_INPUT);
    SAYS("images of 3x2; those of mnist are 28x28");
    assert_null(d.x);
    for (int wide = 0; wide < 2; wide++) {
        unsigned char images[IMAGE_HEAD + TRAIN * 28] = {0};
        for (int p = 0; p < 2; p++) {
            memcpy(images, f.images[p], IMAGE_HEAD);
            images[11] = wide ? 1 : 28;
            images[15] = wide ? 28 : 1;
            write_file(image_name[p], images, IMAGE_HEAD + (size_t)part_rows[p] * 28);
        }
        assert_int_equal(dlf_dataset_load(&d, "mnist", &here), DLF_ERR_INPUT);
        SAYS(wide ? "images of 1x28" : "images of 28x1");
    }
    f.labels[0][LABEL_HEAD + 3] = 10;
    store_idx(&f);
    assert_int_equal(dlf_dataset_load(&d, "mnist", &here), DLF_ERR_INPUT);
    SAYS("row 3: label 10 is not in 0..9");
}

static void digits_by_name(void **state)
{
    dlf_dataset all, few;
    OK(dlf_dataset_load(&all, "digits", NULL));
    assert_true(fnv(FNV_START, all.x, 1797 * 64 * sizeof *all.x) == 0x0e56cd3de39cf436u);
    OK(dlf_dataset_load(&few, "digits", &(dlf_dataset_request){NULL, 100, 50}));
    assert_int_equal(few.train, 100);
    assert_int_equal(few.test, 50);
    assert_memory_equal(few.label, all.label, 100 * sizeof *few.label);
    assert_memory_equal(few.label + 100, all.label + 1297, 50 * sizeof *few.label);
    double square = 0.0;
    for (int i = 0; i < 100 * 64; i++) square += (double)few.x[i] * (double)few.x[i];
    assert_true(fabs(square / 6400.0 - 1.0) < 1e-5); /* by its own rows */
    /* The same images: differences of test rows, which know no mean, differ by one factor, the
     * deviation of all over that of the few. */
    double product = 0.0, norm = 0.0;
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 64; i < 50 * 64; i++) {
            const double a = (double)all.x[1297 * 64 + i] - (double)all.x[1297 * 64 + i % 64];
            const double f = (double)few.x[100 * 64 + i] - (double)few.x[100 * 64 + i % 64];
            if (pass) assert_true(fabs(f - a * product / norm) < 1e-5);
            if (!pass) product += a * f, norm += a * a;
        }
    }
    dlf_dataset_free(&all);
    dlf_dataset_free(&few);
}

static void fashion_mnist(void **state)
{
    char *place;
    if (dlf_dataset_find(&place, "fashion-mnist", NULL) != DLF_OK) skip();
    free(place);
    dlf_dataset d;
    OK(dlf_dataset_load(&d, "fashion-mnist", NULL));
    assert_string_equal(d.name, "fashion-mnist");
    assert_int_equal(d.train, 60000);
    assert_int_equal(d.test, 10000);
    assert_int_equal(d.features, 784);
    assert_int_equal(d.classes, 10);
    int count[2][10] = {{0}};
    for (int r = 0; r < 70000; r++) count[r >= 60000][d.label[r]]++;
    for (int c = 0; c < 10; c++) { /* published: balanced */
        assert_int_equal(count[0][c], 6000);
        assert_int_equal(count[1][c], 1000);
    }
    dlf_dataset_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(idx_plain_and_gzipped),
        IN_DIR(requests_are_nested),
        IN_DIR(hostile_idx),
        IN_DIR(hostile_gzip),
        IN_DIR(cifar),
        IN_DIR(names_and_places),
        IN_DIR(names_promise),
        cmocka_unit_test(digits_by_name),
        cmocka_unit_test(fashion_mnist),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
