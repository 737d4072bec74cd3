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

/* ---- pieces --------------------------------------------------------------------------------- */

/* out[p,k] = moments of x[p, offsets[k] ..]; x begins `gap` elements into rows of n + 2 gap. */
static void run_pieces(dlf_device *dev, double *out, const float *x, int64_t P, int64_t n,
                       int64_t gap, const int32_t *offsets, int64_t K)
{
    dlf_tensor whole = kt_tensor(dev, x, P, n + 2 * gap), o, at;
    dlf_tensor t = dlf_tensor_window(&whole, gap, 2, (int64_t[]){P, n});
    OK(dlf_tensor_new(&o, dev, DLF_F64, P, K, DLF_MOMENTS));
    OK(dlf_tensor_new(&at, dev, DLF_I32, K + 1));
    for (int64_t i = 0; i < P * K * DLF_MOMENTS; i++) out[i] = NAN;
    OK(dlf_tensor_upload_f64(&o, out)); /* unwritten outputs show */
    OK(dlf_tensor_upload_i32(&at, offsets));
    OK(dlf_moments_pieces(&o, &t, &at));
    OK(dlf_tensor_download_f64(out, &o));
    dlf_tensor_free(&whole), dlf_tensor_free(&o), dlf_tensor_free(&at);
}

/* Against ref, and exactly against dlf_moments of each piece alone if `alone`. */
static void compare_pieces(int64_t P, int64_t n, int64_t gap, const int32_t *offsets, int64_t K,
                           bool alone)
{
    const int64_t pitch = n + 2 * gap, count = P * K * DLF_MOMENTS;
    float *x = kt_random(P * pitch, 3, 2.0f, 0.3f);
    for (int64_t i = 0; i < P * pitch; i += 11) x[i] = 0.0f;
    for (int64_t p = 0; p < P; p++)
        for (int64_t i = 0; i < gap; i++) x[p * pitch + i] = x[(p + 1) * pitch - 1 - i] = NAN;
    double *got = malloc((size_t)count * sizeof *got), *want = malloc((size_t)count * sizeof *want);
    assert_true(got && want);
    run_pieces(kt_dev, got, x, P, n, gap, offsets, K);
    run_pieces(kt_ref, want, x, P, n, gap, offsets, K);
    const double e = (double)n * 0x1p-53 * (double)n;
    for (int64_t i = 0; i < P * K; i++) {
        const double *g = got + i * DLF_MOMENTS, *w = want + i * DLF_MOMENTS;
        assert_moment(g + DLF_MOMENT_SUM, w[DLF_MOMENT_SUM], 4 * e, "sum");
        assert_moment(g + DLF_MOMENT_SUM_SQUARES, w[DLF_MOMENT_SUM_SQUARES], 10 * e, "squares");
        assert_moment(g + DLF_MOMENT_MAX_ABS, w[DLF_MOMENT_MAX_ABS], 0, "max");
        assert_moment(g + DLF_MOMENT_NONFINITE, w[DLF_MOMENT_NONFINITE], 0, "nonfinite");
        assert_moment(g + DLF_MOMENT_ZEROS, w[DLF_MOMENT_ZEROS], 0, "zeros");
        const int32_t begin = offsets[i % K], end = offsets[i % K + 1];
        if (end <= begin) {
            for (int k = 0; k < DLF_MOMENTS; k++) assert_true(g[k] == 0.0);
        } else if (alone && begin >= 0 && end <= n) {
            double single[DLF_MOMENTS];
            run(kt_dev, single, x + i / K * pitch + gap + begin, 1, end - begin);
            assert_memory_equal(g, single, sizeof single);
        }
    }
    free(x), free(got), free(want);
}
#define COMPARE_PIECES(P, n, gap, alone, ...)                                                      \
    compare_pieces(P, n, gap, (const int32_t[]){__VA_ARGS__},                                      \
                   (int64_t)(sizeof((int32_t[]){__VA_ARGS__}) / sizeof(int32_t)) - 1, alone)

static void pieces_match_reference(void **state)
{
    (void)state;
    COMPARE_PIECES(1, 1, 0, true, 0, 1);
    COMPARE_PIECES(3, 10, 1, true, 0, 3, 4, 10);
    COMPARE_PIECES(2, 10, 3, true, 2, 2, 7);             /* an empty one; ends left out       */
    COMPARE_PIECES(2, 10, 2, true, 8, 3, 9, 1);          /* backwards: empty; overlap         */
    COMPARE_PIECES(2, 10, 1, true, -5, 4, 100, 7, 9999); /* clamped; empty beyond the end     */
    COMPARE_PIECES(2, 10, 1, true, -7, -3, 20, 30);      /* empty before 0 and beyond n       */
    COMPARE_PIECES(2, 8192, 0, true, 0, 8192);           /* exactly one chunk of cuda         */
    COMPARE_PIECES(2, 8193, 1, true, 0, 8192, 8193);
    COMPARE_PIECES(1, 8193, 0, true, 0, 8193);
    COMPARE_PIECES(2, 40000, 1, true, 0, 5, 5, 16389, 16390, 39000, 40000);
    COMPARE_PIECES(1, 70000, 0, true, 10, 16394, 32778, 69999);
    COMPARE_PIECES(3, 20000, 2, true, 19999, 20000, 3, 20000);
}

/* A hundred layers of a few sizes, one of them large, and more layers than a block has threads. */
static void many_small_and_a_few_large(void **state)
{
    (void)state;
    enum { K = 100, MANY = 700 };
    int32_t offsets[MANY + 1] = {0};
    for (int k = 0; k < K; k++)
        offsets[k + 1] = offsets[k] + (k == 40 ? 30011 : k % 2 ? 1 + k : 64 + 3 * k);
    compare_pieces(2, offsets[K], 1, offsets, K, false);
    for (int k = 0; k < MANY; k++) offsets[k + 1] = offsets[k] + k % 5 * (k % 50 == 4 ? 300 : 3);
    compare_pieces(1, offsets[MANY], 0, offsets, MANY, false);
}

/* So much overlap that the chunks of all pieces exceed what disjoint pieces need. */
static void overlapping_pieces(void **state)
{
    (void)state;
    enum { K = 41, N = 20000 };
    int32_t offsets[K + 1];
    for (int k = 0; k <= K; k++) offsets[k] = k % 2 ? N - k : k;
    compare_pieces(2, N, 1, offsets, K, false);
}

/* More chunks than cuda keeps apart, so that it takes larger ones. Integers: exact. */
static void a_very_long_member(void **state)
{
    (void)state;
    enum { N = 2049 * 8192 + 5, K = 3 };
    const int32_t offsets[K + 1] = {0, 3, N - 70000, N};
    float *x = malloc(N * sizeof *x);
    assert_non_null(x);
    for (int i = 0; i < N; i++) x[i] = (float)(i % 7 - 2);
    dlf_tensor t = kt_tensor(kt_dev, x, 1, N), out, at;
    double got[K * DLF_MOMENTS];
    OK(dlf_tensor_new(&out, kt_dev, DLF_F64, 1, K, DLF_MOMENTS));
    OK(dlf_tensor_new(&at, kt_dev, DLF_I32, K + 1));
    OK(dlf_tensor_upload_i32(&at, offsets));
    OK(dlf_moments_pieces(&out, &t, &at));
    OK(dlf_tensor_download_f64(got, &out));
    for (int k = 0; k < K; k++) {
        double sum = 0.0, squares = 0.0, zeros = 0.0;
        for (int i = offsets[k]; i < offsets[k + 1]; i++)
            sum += x[i], squares += (double)x[i] * x[i], zeros += x[i] == 0.0f;
        const double *g = got + k * DLF_MOMENTS;
        assert_moment(g + DLF_MOMENT_SUM, sum, 0, "sum");
        assert_moment(g + DLF_MOMENT_SUM_SQUARES, squares, 0, "squares");
        assert_moment(g + DLF_MOMENT_MAX_ABS, k ? 4.0 : 2.0, 0, "max");
        assert_moment(g + DLF_MOMENT_ZEROS, zeros, 0, "zeros");
    }
    dlf_tensor_free(&t), dlf_tensor_free(&out), dlf_tensor_free(&at);
    free(x);
}

static void a_nan_stays_in_its_piece(void **state)
{
    (void)state;
    enum { N = 30000, K = 4 };
    const int32_t offsets[K + 1] = {0, 100, 101, 20000, N};
    const int at[] = {99, 100, 101, 19999, 20000, N - 1}, piece[] = {0, 1, 2, 2, 3, 3};
    float *x = malloc(N * sizeof *x);
    assert_non_null(x);
    for (int i = 0; i < N; i++) x[i] = 1.0f;
    for (int j = 0; j < 6; j++) {
        double got[K * DLF_MOMENTS];
        x[at[j]] = NAN;
        run_pieces(kt_dev, got, x, 1, N, 0, offsets, K);
        for (int k = 0; k < K; k++) {
            const double *g = got + k * DLF_MOMENTS, length = offsets[k + 1] - offsets[k];
            const bool hit = k == piece[j];
            assert_moment(g + DLF_MOMENT_SUM, hit ? NAN : length, 0, "sum");
            assert_moment(g + DLF_MOMENT_SUM_SQUARES, hit ? NAN : length, 0, "squares");
            assert_moment(g + DLF_MOMENT_MAX_ABS, hit ? NAN : 1.0, 0, "max");
            assert_moment(g + DLF_MOMENT_NONFINITE, hit, 0, "nonfinite");
        }
        x[at[j]] = 1.0f;
    }
    free(x);
}

static void bits_of_pieces_do_not_depend_on_threads(void **state)
{
    (void)state;
    enum { P = 2, N = 100003, K = 5 };
    const int32_t offsets[K + 1] = {0, 7, 50000, 50001, 99000, N};
    const int threads = kt_dev->info.threads;
    float *x = kt_random(P * N, 4, 1.0f, 0.0f);
    double got[2][P * K * DLF_MOMENTS];
    for (int k = 0; k < 2; k++) {
        kt_dev->info.threads = 1 + k;
        run_pieces(kt_dev, got[k], x, P, N, 0, offsets, K);
    }
    kt_dev->info.threads = threads;
    assert_memory_equal(got[0], got[1], sizeof got[0]);
    free(x);
}

/* out and offsets may be views with a stride of their own. */
static void pieces_of_views(void **state)
{
    (void)state;
    enum { P = 3, N = 20, K = 2 };
    const int32_t spaced[] = {0, -1, 5, -1, 20, -1};
    const int64_t shape[] = {P, K, DLF_MOMENTS};
    float x[P * N];
    for (int i = 0; i < P * N; i++) x[i] = (float)(i / N + 1);
    double got[P * (K * DLF_MOMENTS + 3)];
    for (size_t i = 0; i < sizeof got / sizeof got[0]; i++) got[i] = -1.0;
    dlf_tensor t = kt_tensor(kt_dev, x, P, N), wide, pairs;
    OK(dlf_tensor_new(&wide, kt_dev, DLF_F64, P, K * DLF_MOMENTS + 3));
    OK(dlf_tensor_upload_f64(&wide, got));
    OK(dlf_tensor_new(&pairs, kt_dev, DLF_I32, K + 1, 2));
    OK(dlf_tensor_upload_i32(&pairs, spaced));
    dlf_tensor out = dlf_tensor_window(&wide, 2, 3, shape);
    dlf_tensor at = dlf_tensor_window(&pairs, 0, 1, (int64_t[]){K + 1});
    OK(dlf_moments_pieces(&out, &t, &at));
    OK(dlf_tensor_download_f64(got, &wide));
    for (int p = 0; p < P; p++) {
        const double *row = got + p * (K * DLF_MOMENTS + 3);
        assert_true(row[0] == -1.0 && row[1] == -1.0 && row[2 + K * DLF_MOMENTS] == -1.0);
        assert_true(row[2 + DLF_MOMENT_SUM] == 5.0 * (p + 1));
        assert_true(row[2 + DLF_MOMENTS + DLF_MOMENT_SUM] == 15.0 * (p + 1));
    }
    assert_int_equal(dlf_moments_pieces(&out, &t, &pairs), DLF_ERR_SHAPE);
    dlf_tensor_free(&t), dlf_tensor_free(&wide), dlf_tensor_free(&pairs);
}

/* Two members more than 2^31 elements apart give the bits of two neighbours. The memory between
 * them is mapped and never touched; a device that refuses so much is not tested. */
static void far_members(void **state)
{
    (void)state;
    enum { N = 70, K = 2 };
    const int64_t far = ((int64_t)1 << 31) + 64;
    dlf_tensor arena;
    if (kt_dev->real != DLF_F32 || dlf_tensor_new(&arena, kt_dev, DLF_F32, 2, far) != DLF_OK)
        skip();
    const int32_t offsets[K + 1] = {1, 30, 69};
    float *x = kt_random(2 * N, 5, 1.0f, 0.0f);
    double near[2 * K * DLF_MOMENTS], got[2 * K * DLF_MOMENTS];
    run_pieces(kt_dev, near, x, 2, N, 0, offsets, K);
    dlf_tensor view = dlf_tensor_window(&arena, 0, 2, (int64_t[]){2, N}), out, at;
    OK(dlf_tensor_new(&out, kt_dev, DLF_F64, 2, K, DLF_MOMENTS));
    OK(dlf_tensor_new(&at, kt_dev, DLF_I32, K + 1));
    OK(dlf_tensor_upload_i32(&at, offsets));
    OK(dlf_tensor_upload(&view, x));
    OK(dlf_moments_pieces(&out, &view, &at));
    OK(dlf_tensor_download_f64(got, &out));
    assert_memory_equal(got, near, sizeof got);
    run(kt_dev, near, x, 2, N);
    dlf_tensor rows = dlf_tensor_window(&out, 0, 2, (int64_t[]){2, DLF_MOMENTS});
    OK(dlf_moments(&rows, &view));
    OK(dlf_tensor_download_f64(got, &rows));
    assert_memory_equal(got, near, 2 * DLF_MOMENTS * sizeof *got);
    dlf_tensor_free(&arena), dlf_tensor_free(&out), dlf_tensor_free(&at);
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
        cmocka_unit_test(pieces_match_reference),
        cmocka_unit_test(many_small_and_a_few_large),
        cmocka_unit_test(overlapping_pieces),
        cmocka_unit_test(a_very_long_member),
        cmocka_unit_test(a_nan_stays_in_its_piece),
        cmocka_unit_test(bits_of_pieces_do_not_depend_on_threads),
        cmocka_unit_test(pieces_of_views),
        cmocka_unit_test(far_members),
    };
    kt_open(argc, argv);
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
