/* SPDX-License-Identifier: MIT
 * test_gather.c -- rows by index: a copy, so every comparison is exact. */
#include "kernel_test.h"

static dlf_tensor indices(dlf_device *dev, int64_t P, int64_t B, int64_t R, bool outside)
{
    dlf_tensor t;
    OK(dlf_tensor_new(&t, dev, DLF_I32, P, B));
    int32_t *host = malloc((size_t)(P * B) * sizeof *host);
    assert_non_null(host);
    for (int64_t i = 0; i < P * B; i++) {
        const uint32_t bits = dlf_rng_bits(1, dlf_stream(DLF_PURPOSE_TEST, 20), 0, (uint64_t)i);
        host[i] = (int32_t)(bits % (uint64_t)R);
        if (outside && i % 3 == 1) host[i] = i % 2 ? -1 : (int32_t)R;
        if (outside && i % 7 == 3) host[i] = i % 2 ? INT32_MIN : INT32_MAX;
    }
    OK(dlf_tensor_upload_i32(&t, host));
    free(host);
    return t;
}

static void compare(int64_t P, int64_t B, int64_t N, int64_t R, bool shared, bool outside)
{
    float *x = kt_random(R * N, 1, 1.0f, 0.0f);
    dlf_device *devices[2] = {kt_dev, kt_ref};
    dlf_tensor tx[2], ty[2], ti[2];
    for (int d = 0; d < 2; d++) {
        tx[d] = kt_tensor(devices[d], x, R, N);
        ty[d] = kt_tensor(devices[d], NULL, P, B, N);
        ti[d] = indices(devices[d], shared ? 1 : P, B, R, outside);
        OK(dlf_gather_rows(&ty[d], &tx[d], &ti[d]));
    }
    assert_true(kt_worst(&ty[0], &ty[1], 1e-300, 0.0) <= 1.0); /* bits, NaN rows included */
    for (int d = 0; d < 2; d++) {
        dlf_tensor_free(&ti[d]);
        dlf_tensor_free(&ty[d]);
        dlf_tensor_free(&tx[d]);
    }
    free(x);
}

static void reference(void **state)
{
    static const int64_t shapes[][4] = {
        /* P, B, N, R */ {1, 1, 1, 1},
        {1, 1, 64, 9},
        {3, 5, 1, 7},
        {2, 7, 31, 13},
        {4, 16, 33, 100},
        {1, 300, 3, 50},
        {2, 3, 257, 11},
        {5, 64, 64, 200},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (int v = 0; v < 4; v++)
            compare(shapes[i][0], shapes[i][1], shapes[i][2], shapes[i][3], v & 1, v & 2);
}

/* Labels: int32 in, int32 out, one per row, in the short form (R) -> (P,B). */
static void labels(void **state)
{
    enum { R = 10, P = 2, B = 6 };
    int32_t host[R], pick[P * B] = {9, 0, 3, 3, -1, 10, 5, 8, 2, 1, INT32_MAX, 7}, got[P * B];
    for (int i = 0; i < R; i++) host[i] = 100 + i;
    dlf_tensor x, y, index;
    OK(dlf_tensor_new(&x, kt_dev, DLF_I32, R));
    OK(dlf_tensor_new(&y, kt_dev, DLF_I32, P, B));
    OK(dlf_tensor_new(&index, kt_dev, DLF_I32, P, B));
    OK(dlf_tensor_upload_i32(&x, host));
    OK(dlf_tensor_upload_i32(&index, pick));
    OK(dlf_gather_rows(&y, &x, &index));
    OK(dlf_tensor_download_i32(got, &y));
    for (int i = 0; i < P * B; i++)
        assert_int_equal(got[i], pick[i] >= 0 && pick[i] < R ? 100 + pick[i] : INT32_MIN);
    dlf_tensor_free(&index);
    dlf_tensor_free(&y);
    dlf_tensor_free(&x);
}

/* The index 0..R-1 is a copy, its reverse applied twice as well. */
static void reverse_twice_is_identity(void **state)
{
    enum { R = 29, N = 5 };
    float *x = kt_random(R * N, 2, 1.0f, 0.0f), got[R * N];
    int32_t reverse[R];
    for (int i = 0; i < R; i++) reverse[i] = R - 1 - i;
    dlf_tensor a = kt_tensor(kt_dev, x, R, N), b = kt_tensor(kt_dev, NULL, 1, R, N);
    dlf_tensor c = kt_tensor(kt_dev, NULL, 1, R, N), index;
    OK(dlf_tensor_new(&index, kt_dev, DLF_I32, 1, R));
    OK(dlf_tensor_upload_i32(&index, reverse));
    OK(dlf_gather_rows(&b, &a, &index));
    const dlf_tensor rows = dlf_tensor_reshape(&b, 2, (int64_t[]){R, N});
    OK(dlf_gather_rows(&c, &rows, &index));
    OK(dlf_tensor_download(got, &c));
    assert_memory_equal(got, x, sizeof got);
    dlf_tensor_free(&index);
    dlf_tensor_free(&c);
    dlf_tensor_free(&b);
    dlf_tensor_free(&a);
    free(x);
}

/* Rows, members and indices all as windows of something wider, at odd addresses. */
static void strided_views(void **state)
{
    enum { P = 3, B = 4, N = 7, R = 6 };
    float *x = kt_random(R * (N + 3), 3, 1.0f, 0.0f);
    x[4] = NAN;
    x[15] = -INFINITY;
    const int32_t pick[P * (B + 1)] = {0, 1, 2, 3, 99, 5, 0, 5, 6, 99, 1, 1, 4, 0, 99};
    dlf_device *devices[2] = {kt_dev, kt_ref};
    dlf_tensor wx[2], wy[2], wi[2];
    for (int d = 0; d < 2; d++) {
        wx[d] = kt_tensor(devices[d], x, R, N + 3);
        wy[d] = kt_tensor(devices[d], NULL, P, B * N + 2);
        OK(dlf_tensor_new(&wi[d], devices[d], DLF_I32, P, B + 1));
        OK(dlf_tensor_upload_i32(&wi[d], pick));
        const dlf_tensor vx = dlf_tensor_window(&wx[d], 1, 2, (int64_t[]){R, N});
        const dlf_tensor vi = dlf_tensor_window(&wi[d], 0, 2, (int64_t[]){P, B});
        dlf_tensor vy = dlf_tensor_window(&wy[d], 1, 3, (int64_t[]){P, B, N});
        OK(dlf_gather_rows(&vy, &vx, &vi));
    }
    assert_true(kt_worst(&wy[0], &wy[1], 1e-300, 0.0) <= 1.0); /* gaps are still NaN on both */
    for (int d = 0; d < 2; d++) {
        dlf_tensor_free(&wi[d]);
        dlf_tensor_free(&wy[d]);
        dlf_tensor_free(&wx[d]);
    }
    free(x);
}

static void shape_errors(void **state)
{
    dlf_tensor x = kt_tensor(kt_dev, NULL, 5, 4), y = kt_tensor(kt_dev, NULL, 2, 3, 4);
    dlf_tensor wide = kt_tensor(kt_dev, NULL, 2, 3, 5), index = indices(kt_dev, 2, 3, 5, false);
    dlf_tensor bad = indices(kt_dev, 2, 4, 5, false), ints;
    OK(dlf_tensor_new(&ints, kt_dev, DLF_I32, 2, 3, 4));
    assert_int_equal(dlf_gather_rows(&wide, &x, &index), DLF_ERR_SHAPE);
    assert_non_null(strstr(dlf_error_message(), "gather_rows"));
    assert_non_null(strstr(dlf_error_message(), "(2,3,4)"));
    assert_int_equal(dlf_gather_rows(&y, &x, &bad), DLF_ERR_SHAPE);
    assert_int_equal(dlf_gather_rows(&ints, &x, &index), DLF_ERR_SHAPE);
    assert_non_null(strstr(dlf_error_message(), "differ in type"));
    assert_int_equal(dlf_gather_rows(&y, &x, &x), DLF_ERR_SHAPE);
    assert_non_null(strstr(dlf_error_message(), "index must be i32"));
    dlf_tensor_free(&ints);
    dlf_tensor_free(&bad);
    dlf_tensor_free(&index);
    dlf_tensor_free(&wide);
    dlf_tensor_free(&y);
    dlf_tensor_free(&x);
}

int main(int argc, char **argv)
{
    kt_open(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference),
        cmocka_unit_test(labels),
        cmocka_unit_test(reverse_twice_is_identity),
        cmocka_unit_test(strided_views),
        cmocka_unit_test(shape_errors),
    };
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
