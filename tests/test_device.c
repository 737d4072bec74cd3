/* SPDX-License-Identifier: MIT
 * test_device.c -- opening devices, tensors, views, copies and what happens when memory runs out.
 * Runs on the device named by argv[1] (cpu if none) and, for the rest, on whatever is here. */
#include "kernel_test.h"

static void refused(const char *spec, dlf_status want, const char *fragment)
{
    dlf_device *dev = (dlf_device *)1;
    const dlf_status status = dlf_device_open(&dev, spec);
    if (status != want || !strstr(dlf_error_message(), fragment))
        fail_msg("'%s': %s, '%s'", spec, dlf_status_text(status), dlf_error_message());
    assert_null(dev);
}

static void bad_names_are_refused(void **state)
{
    static const char *const bad[] = {"",        "gpu",     "CPU",          "cuda:", "cuda:x",
                                      "cuda:-1", "cuda:1 ", "cuda:9999999", "cudax", "cpu:0"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        refused(bad[i], DLF_ERR_ARG, "use auto, cpu, cuda, cuda:N");
}

static void missing_gpu_says_why(void **state)
{
    const char *why = NULL;
    const int count = dlf_cuda_device_count(&why);
    assert_non_null(why);
    if (count > 0) {
        refused("cuda:123456", DLF_ERR_NO_DEVICE, "there is no cuda:123456");
        return;
    }
    assert_true(why[0] != '\0');
    refused("cuda", DLF_ERR_NO_DEVICE, why);
    refused("cuda", DLF_ERR_NO_DEVICE, "no usable CUDA device: ");
    refused("cuda:3", DLF_ERR_NO_DEVICE, "use --device cpu or run 'dlf doctor'");
    dlf_device *dev;
    OK(dlf_device_open(&dev, "auto")); /* falls back, and leaves no stale sentence */
    assert_string_equal(dev->info.backend, "cpu");
    assert_string_equal(dlf_error_message(), "");
    dlf_device_close(dev);
}

static void forced_cpu_level(void **state)
{
    const char *old = getenv("DLF_CPU_LEVEL");
    char *keep = old ? strdup(old) : NULL;
    setenv("DLF_CPU_LEVEL", "v9", 1);
    refused("cpu", DLF_ERR_NO_DEVICE, "DLF_CPU_LEVEL=v9");
    setenv("DLF_CPU_LEVEL", "v1", 1);
    dlf_device *dev;
    OK(dlf_device_open(&dev, "cpu"));
    assert_non_null(strstr(dev->info.detail, "(v1)"));
    dlf_device_close(dev);
    if (keep)
        setenv("DLF_CPU_LEVEL", keep, 1);
    else
        unsetenv("DLF_CPU_LEVEL");
    free(keep);
}

static void info_is_filled(void **state)
{
    dlf_device *devices[2] = {kt_dev, kt_ref};
    for (int d = 0; d < 2; d++) {
        assert_true(devices[d]->info.name[0] && devices[d]->info.detail[0]);
        assert_true(devices[d]->info.threads >= 1);
        assert_true(devices[d]->info.memory_bytes > 0);
        assert_int_equal(devices[d]->bytes_live, 0);
    }
    print_message("%s: %s, %s, %d threads\n", kt_dev->info.backend, kt_dev->info.name,
                  kt_dev->info.detail, kt_dev->info.threads);
    assert_int_equal(kt_dev->real, strcmp(kt_dev->info.backend, "ref") ? DLF_F32 : DLF_F64);
    dlf_device_close(NULL);
}

static void bad_shapes(void **state)
{
    dlf_tensor t;
    const int64_t zero[] = {3, 0}, huge[] = {1 << 30, 1 << 30, 1 << 30}, seven[7] = {1};
    assert_int_equal(dlf_tensor_init(&t, kt_dev, DLF_F32, 2, zero), DLF_ERR_ARG);
    assert_null(t.data);
    assert_int_equal(dlf_tensor_init(&t, kt_dev, DLF_F32, 0, zero), DLF_ERR_ARG);
    assert_int_equal(dlf_tensor_init(&t, kt_dev, DLF_F32, 7, seven), DLF_ERR_ARG);
    assert_int_equal(dlf_tensor_init(&t, kt_dev, DLF_F64, 3, huge), DLF_ERR_ARG);
    dlf_tensor_free(&t);
    dlf_tensor_free(NULL);
}

/* Too much memory is an error that leaves the device whole. */
static void out_of_memory(void **state)
{
    dlf_device *devices[2] = {kt_dev, kt_ref};
    for (int d = 0; d < 2; d++) {
        dlf_tensor keep = kt_tensor(devices[d], NULL, 2, 100), t;
        const size_t live = devices[d]->bytes_live;
        const int64_t count = ((int64_t)1 << 60) / (int64_t)dlf_dtype_size(devices[d]->real);
        assert_int_equal(dlf_tensor_new(&t, devices[d], devices[d]->real, count), DLF_ERR_OOM);
        assert_non_null(strstr(dlf_error_message(), "1099511627776.0 MiB"));
        assert_null(t.data);
        dlf_tensor_free(&t);
        assert_int_equal(devices[d]->bytes_live, live);
        OK(dlf_random_uniform(&keep, NULL, 2.0, 3.0, (dlf_rng){1, 1}));
        float x[200];
        OK(dlf_tensor_download(x, &keep));
        for (int i = 0; i < 200; i++) assert_true(x[i] >= 2.0f && x[i] <= 3.0f);
        OK(dlf_device_sync(devices[d]));
        dlf_tensor_free(&keep);
    }
}

static void memory_is_accounted(void **state)
{
    dlf_device *dev;
    OK(dlf_device_open(&dev, "cpu"));
    dlf_tensor a, b;
    OK(dlf_tensor_new(&a, dev, DLF_F32, 10, 7));
    OK(dlf_tensor_new(&b, dev, DLF_F64, 3));
    assert_int_equal(dev->bytes_live, 280 + 24);
    assert_int_equal((uintptr_t)a.data % 256, 0);
    dlf_tensor view = dlf_tensor_slice(&a, 2, 3);
    dlf_tensor_free(&view); /* owns nothing */
    assert_int_equal(dev->bytes_live, 280 + 24);
    dlf_tensor_free(&a);
    dlf_tensor_free(&a);
    assert_int_equal(dev->bytes_live, 24);
    assert_int_equal(dev->bytes_peak, 280 + 24);
    dlf_tensor_free(&b);
    assert_int_equal(dev->bytes_live, 0);
    dlf_device_close(dev);
}

/* Released memory comes back in use: many sizes, several rounds, no mix-up of live blocks. */
static void memory_is_reused_safely(void **state)
{
    enum { T = 24 };
    dlf_tensor t[T] = {{0}};
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < T; i++) {
            OK(dlf_tensor_new(&t[i], kt_dev, DLF_I32, 1 + (i * 37 + round * 11) % 700));
            assert_int_equal((uintptr_t)t[i].data % 256, 0);
            int32_t fill[700];
            for (int k = 0; k < 700; k++) fill[k] = i;
            OK(dlf_tensor_upload_i32(&t[i], fill));
        }
        for (int i = 0; i < T; i++) {
            int32_t got[700];
            OK(dlf_tensor_download_i32(got, &t[i]));
            for (int64_t k = 0; k < t[i].shape[0]; k++) assert_int_equal(got[k], i);
            if (i % 2 == round % 2) dlf_tensor_free(&t[i]);
        }
        for (int i = 0; i < T; i++) dlf_tensor_free(&t[i]);
    }
}

static void dtypes_convert(void **state)
{
    const double f64[4] = {1.0 + 0x1p-40, -INFINITY, NAN, 1e-300};
    const float f32[4] = {1.5f, INFINITY, NAN, -0.0f};
    double d[4];
    float f[4];
    dlf_device *devices[2] = {kt_dev, kt_ref};
    for (int k = 0; k < 2; k++) {
        dlf_tensor a, b, i;
        OK(dlf_tensor_new(&a, devices[k], DLF_F32, 4));
        OK(dlf_tensor_new(&b, devices[k], DLF_F64, 4));
        OK(dlf_tensor_new(&i, devices[k], DLF_I32, 4));
        OK(dlf_tensor_upload_f64(&a, f64)); /* rounded to nearest */
        OK(dlf_tensor_download_f64(d, &a));
        assert_true(d[0] == 1.0 && d[1] == -INFINITY && isnan(d[2]) && d[3] == 0.0);
        OK(dlf_tensor_upload_f64(&b, f64)); /* exact */
        OK(dlf_tensor_download_f64(d, &b));
        assert_true(d[0] == f64[0] && d[3] == 1e-300);
        OK(dlf_tensor_download(f, &b));
        assert_true(f[0] == 1.0f && f[1] == -INFINITY && isnan(f[2]) && f[3] == 0.0f);
        OK(dlf_tensor_upload(&b, f32));
        OK(dlf_tensor_download(f, &b));
        assert_true(f[0] == 1.5f && f[1] == INFINITY && isnan(f[2]) && signbit(f[3]));
        assert_int_equal(dlf_tensor_upload(&i, f32), DLF_ERR_ARG);
        assert_int_equal(dlf_tensor_download_i32((int32_t *)f, &a), DLF_ERR_ARG);
        assert_non_null(strstr(dlf_error_message(), "f32(4)"));
        dlf_tensor_free(&i);
        dlf_tensor_free(&b);
        dlf_tensor_free(&a);
    }
}

static void views_and_strided_copies(void **state)
{
    enum { P = 4, N = 11 };
    float x[P * N], got[P * N];
    for (int i = 0; i < P * N; i++) x[i] = (float)i;
    dlf_tensor whole = kt_tensor(kt_dev, x, P, N), other = kt_tensor(kt_dev, x, P, 6);
    dlf_tensor w = dlf_tensor_window(&whole, 3, 3, (int64_t[]){P, 2, 3});
    assert_false(dlf_tensor_contiguous(&w));
    assert_int_equal(dlf_tensor_count(&w), 24);
    assert_int_equal(dlf_tensor_member_count(&w), 6);
    char text[64];
    if (kt_dev->real == DLF_F32)
        assert_string_equal(dlf_tensor_describe(&w, text, sizeof text), "f32(4,2,3)");
    assert_int_equal(strlen(dlf_tensor_describe(&w, text, 6)), 5); /* cut, not overrun */

    OK(dlf_tensor_download(got, &w));
    for (int i = 0; i < 24; i++) assert_true(got[i] == x[i / 6 * N + 3 + i % 6]);

    dlf_tensor part = dlf_tensor_slice(&w, 1, 2); /* members 1, 2 of the window */
    OK(dlf_tensor_zero(&part));
    OK(dlf_tensor_download(got, &whole));
    for (int i = 0; i < P * N; i++) {
        const bool zeroed = i / N >= 1 && i / N <= 2 && i % N >= 3 && i % N < 9;
        assert_true(got[i] == (zeroed ? 0.0f : x[i]));
    }

    dlf_tensor flat = dlf_tensor_reshape(&w, 2, (int64_t[]){P, 6}); /* keeps the member stride */
    OK(dlf_tensor_copy(&flat, &other));                             /* contiguous into strided */
    OK(dlf_tensor_download(got, &whole));
    for (int i = 0; i < P * N; i++) {
        const int p = i / N, j = i % N;
        assert_true(got[i] == (j >= 3 && j < 9 ? (float)(p * 6 + j - 3) : x[i]));
    }
    for (int i = 0; i < 24; i++) x[i] = (float)(-i);
    OK(dlf_tensor_upload(&flat, x));
    OK(dlf_tensor_copy(&other, &flat)); /* strided into contiguous */
    OK(dlf_tensor_download(got, &other));
    assert_memory_equal(got, x, 24 * sizeof *x);
    assert_int_equal(dlf_tensor_copy(&other, &whole), DLF_ERR_SHAPE);
    assert_non_null(strstr(dlf_error_message(), "(4,11)"));

    dlf_tensor one = dlf_tensor_slice(&whole, 2, 1);
    assert_true(dlf_tensor_contiguous(&one)); /* whatever its stride */
    dlf_tensor all = dlf_tensor_reshape(&other, 1, (int64_t[]){24});
    assert_int_equal(all.stride, 1);
    dlf_tensor_free(&other);
    dlf_tensor_free(&whole);
}

/* Two parameters of one arena interleave in memory and still do not overlap. */
static void overlap_is_judged_exactly(void **state)
{
    float x[2 * 24];
    for (int i = 0; i < 48; i++) x[i] = 1.0f;
    dlf_tensor arena = kt_tensor(kt_dev, x, 2, 24);
    dlf_tensor a = dlf_tensor_window(&arena, 0, 3, (int64_t[]){2, 2, 4});
    dlf_tensor b = dlf_tensor_window(&arena, 8, 3, (int64_t[]){2, 4, 2});
    dlf_tensor c = dlf_tensor_window(&arena, 16, 3, (int64_t[]){2, 2, 2});
    dlf_tensor d = dlf_tensor_window(&arena, 13, 3, (int64_t[]){2, 2, 2}); /* into b by 3 */
    const dlf_gemm_args args = {false, false, 1.0, 0.0};
    OK(dlf_gemm(&c, &a, &b, args));
    assert_int_equal(dlf_gemm(&d, &a, &b, args), DLF_ERR_SHAPE);
    assert_non_null(strstr(dlf_error_message(), "c and b overlap"));
    dlf_tensor_free(&arena);
}

static void stopwatch(void **state)
{
    dlf_tensor x = kt_tensor(kt_dev, NULL, 4, 5000);
    double ns = -1.0;
    OK(kt_dev->backend->time_start(kt_dev));
    OK(dlf_random_normal(&x, NULL, NULL, (dlf_rng){1, 1}));
    OK(kt_dev->backend->time_stop(kt_dev, &ns));
    assert_true(ns > 0.0 && ns < 60e9);
    dlf_tensor_free(&x);
}

static void activation_names(void **state)
{
    for (int k = 0; k < DLF_ACTIVATION_COUNT; k++) {
        dlf_activation f;
        OK(dlf_activation_find(&f, dlf_activation_name((dlf_activation_kind)k)));
        assert_int_equal(f.kind, k);
    }
    assert_true(dlf_activation_of(DLF_LEAKY_RELU).alpha == 0.01);
    assert_true(dlf_activation_of(DLF_ELU).alpha == 1.0);
    dlf_activation f;
    assert_int_equal(dlf_activation_find(&f, "rellu"), DLF_ERR_NOT_FOUND);
    assert_non_null(strstr(dlf_error_message(), "'rellu'"));
    assert_non_null(strstr(dlf_error_message(), "softplus"));
    assert_true(dlf_activation_needs_x(DLF_SILU) && !dlf_activation_needs_x(DLF_TANH));
}

int main(int argc, char **argv)
{
    kt_open(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_names_are_refused),
        cmocka_unit_test(missing_gpu_says_why),
        cmocka_unit_test(forced_cpu_level),
        cmocka_unit_test(info_is_filled),
        cmocka_unit_test(bad_shapes),
        cmocka_unit_test(out_of_memory),
        cmocka_unit_test(memory_is_accounted),
        cmocka_unit_test(memory_is_reused_safely),
        cmocka_unit_test(dtypes_convert),
        cmocka_unit_test(views_and_strided_copies),
        cmocka_unit_test(overlap_is_judged_exactly),
        cmocka_unit_test(stopwatch),
        cmocka_unit_test(activation_names),
    };
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
