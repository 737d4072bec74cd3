/* SPDX-License-Identifier: MIT
 * test_moments.c -- sum, sum of squares, largest magnitude and counts per segment.
 *
 * Tolerances. Everything is accumulated in float64 and squares of floats are exact there, so that
 * device and reference differ only by the order of additions: n 2^-53 of the sum of magnitudes.
 * Maximum and counts must agree exactly. */
#include "kernel_test.h"

/* One moment of every segment against `want`, within `tolerance` (0: exact). */
static void assert_moment(const double *got, double want, double tolerance, const char *what)
{
    if (isnan(want) ? !isnan(*got) : !(*got == want || fabs(*got - want) <= tolerance))
        fail_msg("%s: %.17g, not %.17g", what, *got, want);
}

static void run(dlf_device *dev, double *out, const float *x, int64_t S, int64_t n)
{
    dlf_tensor t = kt_tensor(dev, x, S, n), o;
    OK(dlf_tensor_new(&o, dev, DLF_F64, S, DLF_MOMENTS));
    for (int64_t i = 0; i < S * DLF_MOMENTS; i++) out[i] = NAN;
    OK(dlf_tensor_upload_f64(&o, out)); /* unwritten outputs show */
    OK(dlf_moments(&o, &t));
    OK(dlf_tensor_download_f64(out, &o));
    dlf_tensor_free(&t), dlf_tensor_free(&o);
}

static void matches_reference(void **state)
{
    (void)state;
    const int64_t shapes[][2] = {{1, 1},     {3, 7},     {7, 33},    {2, 1009},
                                 {3, 16384}, {2, 16385}, {5, 32771}, {1, 100003}};
    for (size_t k = 0; k < sizeof shapes / sizeof shapes[0]; k++) {
        const int64_t S = shapes[k][0], n = shapes[k][1];
        float *x = kt_random(S * n, 1, 2.0f, 0.3f);
        for (int64_t i = 0; i < S * n; i += 11) x[i] = i % 2 ? 0.0f : -0.0f;
        double *got = malloc((size_t)(S * DLF_MOMENTS) * sizeof *got);
        double *want = malloc((size_t)(S * DLF_MOMENTS) * sizeof *want);
        assert_non_null(got), assert_non_null(want);
        run(kt_dev, got, x, S, n);
        run(kt_ref, want, x, S, n);
        const double e = (double)n * 0x1p-53 * (double)n; /* |x| sums to about 1.7 n */
        for (int64_t s = 0; s < S; s++) {
            const double *g = got + s * DLF_MOMENTS, *w = want + s * DLF_MOMENTS;
            assert_moment(g + DLF_MOMENT_SUM, w[DLF_MOMENT_SUM], 4 * e, "sum");
            assert_moment(g + DLF_MOMENT_SUM_SQUARES, w[DLF_MOMENT_SUM_SQUARES], 10 * e, "squares");
            assert_moment(g + DLF_MOMENT_MAX_ABS, w[DLF_MOMENT_MAX_ABS], 0, "max");
            assert_moment(g + DLF_MOMENT_NONFINITE, 0.0, 0, "nonfinite");
            assert_moment(g + DLF_MOMENT_ZEROS, w[DLF_MOMENT_ZEROS], 0, "zeros");
        }
        free(got), free(want), free(x);
    }
}

/* Integers have one sum in any order: exact, on the device and on ref. */
static void integers_are_exact(void **state)
{
    (void)state;
    enum { N = 40009 };
    float *x = malloc(N * sizeof *x);
    assert_non_null(x);
    double sum = 0.0, squares = 0.0, zeros = 0.0;
    for (int i = 0; i < N; i++) {
        x[i] = (float)((i * 7919) % 2001 - 1000);
        sum += x[i], squares += (double)x[i] * x[i], zeros += x[i] == 0.0f;
    }
    dlf_device *devices[] = {kt_dev, kt_ref};
    for (int k = 0; k < 2; k++) {
        double got[DLF_MOMENTS];
        run(devices[k], got, x, 1, N);
        assert_moment(got + DLF_MOMENT_SUM, sum, 0, "sum");
        assert_moment(got + DLF_MOMENT_SUM_SQUARES, squares, 0, "squares");
        assert_moment(got + DLF_MOMENT_MAX_ABS, 1000.0, 0, "max");
        assert_moment(got + DLF_MOMENT_NONFINITE, 0.0, 0, "nonfinite");
        assert_moment(got + DLF_MOMENT_ZEROS, zeros, 0, "zeros");
    }
    free(x);
}

/* A special value at each of several places of a segment, among ordinary ones: start, tail of a
 * vector, either side of a chunk boundary, the very end. */
static void one_special_value_anywhere(void **state)
{
    (void)state;
    enum { N = 33001 };
    const int at[] = {0, 5, 8191, 8192, 16383, 16384, 32768, 32998, 33000};
    float *x = malloc(N * sizeof *x);
    assert_non_null(x);
    for (size_t k = 0; k < sizeof at / sizeof at[0]; k++) {
        double got[DLF_MOMENTS];
        for (int i = 0; i < N; i++) x[i] = 1.0f;
        x[at[k]] = NAN;
        run(kt_dev, got, x, 1, N);
        assert_moment(got + DLF_MOMENT_SUM, NAN, 0, "sum with NaN");
        assert_moment(got + DLF_MOMENT_SUM_SQUARES, NAN, 0, "squares with NaN");
        assert_moment(got + DLF_MOMENT_MAX_ABS, NAN, 0, "max with NaN");
        assert_moment(got + DLF_MOMENT_NONFINITE, 1.0, 0, "nonfinite with NaN");
        x[at[k]] = -INFINITY;
        run(kt_dev, got, x, 1, N);
        assert_moment(got + DLF_MOMENT_SUM, -INFINITY, 0, "sum with -Inf");
        assert_moment(got + DLF_MOMENT_MAX_ABS, INFINITY, 0, "max with -Inf");
        assert_moment(got + DLF_MOMENT_NONFINITE, 1.0, 0, "nonfinite with -Inf");
        x[at[k]] = -0.0f;
        run(kt_dev, got, x, 1, N);
        assert_moment(got + DLF_MOMENT_SUM, N - 1, 0, "sum with a zero");
        assert_moment(got + DLF_MOMENT_ZEROS, 1.0, 0, "zeros");
        x[at[k]] = -7.0f;
        run(kt_dev, got, x, 1, N);
        assert_moment(got + DLF_MOMENT_MAX_ABS, 7.0, 0, "max");
    }
    free(x);
}

static void extremes(void **state)
{
    (void)state;
    double got[DLF_MOMENTS];
    const float huge[] = {1e38f, -3e38f, 2e38f, 0.0f, 1e-45f};
    run(kt_dev, got, huge, 1, 5);
    assert_moment(got + DLF_MOMENT_SUM, (double)1e38f - (double)3e38f + (double)2e38f, 1e24, "sum");
    const double a = 1e38f, b = 3e38f, c = 2e38f;
    assert_moment(got + DLF_MOMENT_SUM_SQUARES, a * a + b * b + c * c, 1e62, "squares");
    assert_moment(got + DLF_MOMENT_MAX_ABS, 3e38f, 0, "max");
    assert_moment(got + DLF_MOMENT_ZEROS, 1.0, 0, "a denormal is not zero");

    const float tiny[] = {1e-45f, -1e-45f, 1e-45f};
    run(kt_dev, got, tiny, 1, 3);
    assert_moment(got + DLF_MOMENT_SUM, 0x1p-149, 0, "sum of denormals");
    assert_moment(got + DLF_MOMENT_SUM_SQUARES, 3 * 0x1p-298, 0, "squares of denormals");
    assert_moment(got + DLF_MOMENT_MAX_ABS, 0x1p-149, 0, "max of denormals");
    assert_moment(got + DLF_MOMENT_ZEROS, 0.0, 0, "zeros");

    const float both[] = {INFINITY, 1.0f, -INFINITY, NAN, 0.0f};
    run(kt_dev, got, both, 1, 5);
    assert_moment(got + DLF_MOMENT_SUM, NAN, 0, "sum");
    assert_moment(got + DLF_MOMENT_MAX_ABS, NAN, 0, "NaN beats Inf");
    assert_moment(got + DLF_MOMENT_NONFINITE, 3.0, 0, "nonfinite");
    assert_moment(got + DLF_MOMENT_ZEROS, 1.0, 0, "zeros");
    run(kt_dev, got, both, 1, 3);
    assert_moment(got + DLF_MOMENT_SUM, NAN, 0, "Inf - Inf");
    assert_moment(got + DLF_MOMENT_SUM_SQUARES, INFINITY, 0, "squares");
    assert_moment(got + DLF_MOMENT_MAX_ABS, INFINITY, 0, "max");
}

/* Layers inside an arena: misaligned, strided, what is around them is not read. */
static void strided_misaligned_views(void **state)
{
    (void)state;
    enum { S = 3, PITCH = 41, OFFSET = 3, ROWS = 5, COLUMNS = 7 };
    const int64_t shape[] = {S, ROWS, COLUMNS};
    float x[S * PITCH];
    for (int i = 0; i < S * PITCH; i++) x[i] = NAN;
    for (int s = 0; s < S; s++)
        for (int i = 0; i < ROWS * COLUMNS; i++) x[s * PITCH + OFFSET + i] = (float)(s + 1);
    dlf_tensor arena = kt_tensor(kt_dev, x, S, PITCH), out;
    dlf_tensor view = dlf_tensor_window(&arena, OFFSET, 3, shape);
    double got[S * DLF_MOMENTS];
    OK(dlf_tensor_new(&out, kt_dev, DLF_F64, S, DLF_MOMENTS));
    OK(dlf_moments(&out, &view));
    OK(dlf_tensor_download_f64(got, &out));
    for (int s = 0; s < S; s++) {
        const double v = s + 1, n = ROWS * COLUMNS, *g = got + s * DLF_MOMENTS;
        assert_moment(g + DLF_MOMENT_SUM, v * n, 0, "sum");
        assert_moment(g + DLF_MOMENT_SUM_SQUARES, v * v * n, 0, "squares");
        assert_moment(g + DLF_MOMENT_MAX_ABS, v, 0, "max");
        assert_moment(g + DLF_MOMENT_NONFINITE, 0.0, 0, "nonfinite");
    }
    dlf_tensor_free(&arena), dlf_tensor_free(&out);
}

static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    enum { S = 2, N = 300007 };
    const int threads = kt_dev->info.threads;
    float *x = kt_random(S * N, 2, 1.0f, 0.0f);
    double got[2][S * DLF_MOMENTS];
    for (int k = 0; k < 2; k++) {
        kt_dev->info.threads = 1 + k;
        run(kt_dev, got[k], x, S, N);
    }
    kt_dev->info.threads = threads;
    assert_memory_equal(got[0], got[1], sizeof got[0]);
    free(x);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_exact),
        cmocka_unit_test(matches_reference),
        cmocka_unit_test(one_special_value_anywhere),
        cmocka_unit_test(extremes),
        cmocka_unit_test(strided_misaligned_views),
        cmocka_unit_test(bits_do_not_depend_on_threads),
    };
    kt_open(argc, argv);
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
