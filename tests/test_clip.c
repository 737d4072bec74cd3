/* SPDX-License-Identifier: MIT
 * test_clip.c -- gradient norm and clipping factor; the guard of a step.
 *
 * Tolerances. The square is summed in float64; what is left is the rounding of norm and factor to
 * float: 2^-24, doubled. The guard copies or writes 0: exact. */
#include "kernel_test.h"

static const double rounding = 1.2e-7;

typedef struct result {
    dlf_tensor scale, norm;
} result;

static result run(dlf_device *dev, const float *g, const float *max_norm, int64_t P, int64_t n)
{
    dlf_tensor tg = kt_tensor(dev, g, P, n), limit = kt_tensor(dev, max_norm, P);
    result r = {kt_tensor(dev, NULL, P), kt_tensor(dev, NULL, P)};
    OK(dlf_clip_by_norm(&r.scale, &r.norm, &tg, &limit));
    dlf_tensor_free(&tg), dlf_tensor_free(&limit);
    return r;
}

static void result_free(result *r)
{
    dlf_tensor_free(&r->scale), dlf_tensor_free(&r->norm);
}

static void matches_reference(void **state)
{
    (void)state;
    const int64_t shapes[][2] = {{1, 1},     {3, 7},     {7, 33},     {5, 1009},   {2, 16384},
                                 {3, 16385}, {4, 40009}, {1, 200003}, {1, 2105347}};
    for (size_t k = 0; k < sizeof shapes / sizeof shapes[0]; k++) {
        const int64_t P = shapes[k][0], n = shapes[k][1];
        float *g = kt_random(P * n, 1, 1.0f, 0.0f), limit[8];
        for (int64_t p = 0; p < P; p++) limit[p] = (float)sqrt((double)n) * (p % 2 ? 0.5f : 1.5f);
        result got = run(kt_dev, g, limit, P, n), want = run(kt_ref, g, limit, P, n);
        assert_true(kt_worst(&got.norm, &want.norm, 0.0, rounding) <= 1.0);
        assert_true(kt_worst(&got.scale, &want.scale, 0.0, rounding) <= 1.0);
        result_free(&got), result_free(&want);
        free(g);
    }
}

static void by_hand(dlf_device *dev, const float *g, int64_t n, float limit, double norm,
                    double scale)
{
    double got_norm, got_scale;
    result r = run(dev, g, &limit, 1, n);
    OK(dlf_tensor_download_f64(&got_norm, &r.norm));
    OK(dlf_tensor_download_f64(&got_scale, &r.scale));
    result_free(&r);
    const bool norm_ok = isnan(norm) ? isnan(got_norm)
                                     : got_norm == norm || fabs(got_norm - norm) <= rounding * norm;
    const bool scale_ok = isnan(scale)
                              ? isnan(got_scale)
                              : got_scale == scale || fabs(got_scale - scale) <= rounding * scale;
    if (!norm_ok || !scale_ok)
        fail_msg("limit %g: norm %.9g not %.9g, factor %.9g not %.9g", limit, got_norm, norm,
                 got_scale, scale);
}

static void small_cases_by_hand(void **state)
{
    (void)state;
    const float g[] = {3.0f, -4.0f, 12.0f}, zeros[] = {0.0f, -0.0f}; /* |g| = 13 */
    dlf_device *devices[] = {kt_dev, kt_ref};
    for (int k = 0; k < 2; k++) {
        by_hand(devices[k], g, 3, 13.0f, 13.0, 1.0);
        by_hand(devices[k], g, 3, 26.0f, 13.0, 1.0);
        by_hand(devices[k], g, 3, 6.5f, 13.0, 0.5);
        by_hand(devices[k], g, 3, INFINITY, 13.0, 1.0);
        by_hand(devices[k], g, 3, 0.0f, 13.0, 0.0);
        by_hand(devices[k], zeros, 2, 1.0f, 0.0, 1.0);
        by_hand(devices[k], zeros, 2, 0.0f, 0.0, 1.0);
    }
}

/* The clipped gradient has the norm that was asked for, in double. */
static void clipped_gradient_has_the_norm(void **state)
{
    (void)state;
    enum { N = 20011 };
    const float limit = 0.37f;
    float *g = kt_random(N, 2, 5.0f, 1.0f), scale;
    dlf_device *devices[] = {kt_dev, kt_ref};
    for (int k = 0; k < 2; k++) {
        double square = 0.0;
        result r = run(devices[k], g, &limit, 1, N);
        OK(dlf_tensor_download(&scale, &r.scale));
        for (int i = 0; i < N; i++) square += pow((double)scale * g[i], 2);
        assert_true(fabs(sqrt(square) - limit) <= rounding * limit);
        result_free(&r);
    }
    free(g);
}

static void extremes(void **state)
{
    (void)state;
    dlf_device *devices[] = {kt_dev, kt_ref};
    for (int k = 0; k < 2; k++) {
        const float huge[] = {1e38f, -1e38f, 1e38f, 1e38f}; /* norm 2e38; squares overflow float */
        by_hand(devices[k], huge, 4, 1.0f, 2.0 * (double)1e38f, 0.5 / (double)1e38f);
        const float tiny[] = {1e-45f, 1e-45f, -1e-45f, 1e-45f};
        by_hand(devices[k], tiny, 4, 1.0f, 2 * 0x1p-149, 1.0);
        by_hand(devices[k], tiny, 4, 1e-45f, 2 * 0x1p-149, 0.5);
        const float nan[] = {1.0f, NAN, INFINITY};
        by_hand(devices[k], nan, 3, 1.0f, NAN, NAN);
        by_hand(devices[k], nan, 3, INFINITY, NAN, 1.0); /* clipping is off */
        const float inf[] = {1.0f, -INFINITY};
        by_hand(devices[k], inf, 2, 1.0f, INFINITY, 0.0);
        by_hand(devices[k], inf, 2, INFINITY, INFINITY, 1.0);
        by_hand(devices[k], inf + 0, 1, NAN, 1.0, NAN);
    }
    /* a norm that no float holds is Inf, but its factor is right */
    const float beyond[] = {3e38f, 3e38f};
    by_hand(kt_dev, beyond, 2, 1000.0f,
            kt_dev->real == DLF_F64 ? sqrt(2.0) * (double)3e38f : INFINITY,
            1000.0 / (sqrt(2.0) * (double)3e38f));
}

/* One element that differs, at chunk boundaries and the ends. */
static void every_element_counts(void **state)
{
    (void)state;
    enum { N = 33001 };
    const int at[] = {0, 5, 8191, 8192, 16383, 16384, 32768, 32998, 33000};
    float *g = calloc(N, sizeof *g);
    assert_non_null(g);
    for (size_t k = 0; k < sizeof at / sizeof at[0]; k++) {
        g[at[k]] = -3.0f;
        by_hand(kt_dev, g, N, 1.5f, 3.0, 0.5);
        g[at[k]] = NAN;
        by_hand(kt_dev, g, N, 1.5f, NAN, NAN);
        g[at[k]] = 0.0f;
    }
    free(g);
}

static void strided_misaligned_views(void **state)
{
    (void)state;
    enum { P = 3, N = 50, PITCH = 57, OFFSET = 3 };
    const int64_t shape[] = {P, N};
    float x[P * PITCH], limit[] = {1.0f, 2.0f, INFINITY}, norm[P], scale[P];
    for (int i = 0; i < P * PITCH; i++) x[i] = NAN; /* around the view: must not be read */
    for (int p = 0; p < P; p++)
        for (int i = 0; i < N; i++) x[p * PITCH + OFFSET + i] = (float)(p + 1);
    dlf_tensor arena = kt_tensor(kt_dev, x, P, PITCH), max = kt_tensor(kt_dev, limit, P);
    dlf_tensor g = dlf_tensor_window(&arena, OFFSET, 2, shape);
    result r = {kt_tensor(kt_dev, NULL, P), kt_tensor(kt_dev, NULL, P)};
    OK(dlf_clip_by_norm(&r.scale, &r.norm, &g, &max));
    OK(dlf_tensor_download(norm, &r.norm));
    OK(dlf_tensor_download(scale, &r.scale));
    for (int p = 0; p < P; p++) {
        const double want = (p + 1) * sqrt(N);
        assert_true(fabs(norm[p] - want) <= rounding * want);
        assert_true(fabs(scale[p] - fmin(1.0, limit[p] / want)) <= rounding);
    }
    dlf_tensor_free(&arena), dlf_tensor_free(&max), result_free(&r);
}

static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    enum { P = 2, N = 300007 };
    const int threads = kt_dev->info.threads;
    float *g = kt_random(P * N, 3, 1.0f, 0.0f), limit[] = {1.0f, 1.0f}, norm[2][P];
    for (int k = 0; k < 2; k++) {
        kt_dev->info.threads = 1 + k;
        result r = run(kt_dev, g, limit, P, N);
        OK(dlf_tensor_download(norm[k], &r.norm));
        result_free(&r);
    }
    kt_dev->info.threads = threads;
    assert_memory_equal(norm[0], norm[1], sizeof norm[0]);
    free(g);
}

/* ---- the guard ------------------------------------------------------------------------------ */

/* The learning rates and the first bad steps after one call at step `now`. lr may be lr_out. */
static void guard(dlf_tensor *lr_out, dlf_tensor *first_bad, const dlf_tensor *lr,
                  const double *nonfinite, int32_t now, double *rate, int32_t *since)
{
    const int64_t P = lr_out->shape[0];
    dlf_device *dev = lr_out->device;
    dlf_tensor moments, clock;
    double *m = calloc((size_t)(P * DLF_MOMENTS), sizeof *m);
    assert_non_null(m);
    for (int64_t p = 0; p < P; p++) { /* all but the count is NaN: it alone decides */
        for (int k = 0; k < DLF_MOMENTS; k++) m[p * DLF_MOMENTS + k] = NAN;
        m[p * DLF_MOMENTS + DLF_MOMENT_NONFINITE] = nonfinite[p];
    }
    OK(dlf_tensor_new(&moments, dev, DLF_F64, P, DLF_MOMENTS));
    OK(dlf_tensor_new(&clock, dev, DLF_I32, 1));
    OK(dlf_tensor_upload_f64(&moments, m));
    OK(dlf_tensor_upload_i32(&clock, &now));
    OK(dlf_step_guard(lr_out, first_bad, lr, &moments, &clock));
    OK(dlf_tensor_download_f64(rate, lr_out));
    OK(dlf_tensor_download_i32(since, first_bad));
    dlf_tensor_free(&moments), dlf_tensor_free(&clock);
    free(m);
}

/* Five members over four steps: one is never bad, one always, one from step 1 on, one for step 0
 * alone, and one has no rate to begin with. */
static void guard_stops_a_member_for_good(void **state)
{
    (void)state;
    enum { P = 5 };
    const float lr[P] = {0.5f, 0.25f, -0.125f, INFINITY, 0.0f};
    const double bad[4][P] = {{0, 1, 0, 64, 0}, {0, 2, 1, 0, 0}, {0, 3, 1, 0, 0}, {0, 4, 0, 0, 1}};
    const int32_t from[P] = {-1, 0, 1, 0, 3};
    dlf_device *devices[] = {kt_dev, kt_ref};
    for (int d = 0; d < 2; d++) {
        dlf_tensor rate = kt_tensor(devices[d], lr, P), out = kt_tensor(devices[d], NULL, P);
        dlf_tensor first;
        OK(dlf_tensor_new(&first, devices[d], DLF_I32, P));
        OK(dlf_tensor_upload_i32(&first, (const int32_t[P]){-1, -1, -1, -1, -1}));
        for (int32_t step = 0; step < 4; step++) {
            double got[P];
            int32_t since[P];
            guard(&out, &first, &rate, bad[step], step, got, since);
            for (int p = 0; p < P; p++) {
                const bool stopped = from[p] >= 0 && from[p] <= step;
                assert_int_equal(since[p], stopped ? from[p] : -1);
                assert_true(got[p] == (stopped ? 0.0 : (double)lr[p]) &&
                            !(stopped && signbit(got[p])));
            }
        }
        dlf_tensor_free(&rate), dlf_tensor_free(&out), dlf_tensor_free(&first);
    }
}

/* More members than a block has threads, strided, the rate in place; a NaN rate is a rate. */
static void guard_of_many_members_in_place(void **state)
{
    (void)state;
    enum { P = 700, PITCH = 3 };
    float lr[P * PITCH];
    double bad[P], got[P];
    int32_t since[P], before[P * PITCH];
    for (int i = 0; i < P * PITCH; i++) lr[i] = (float)i, before[i] = i % 5 == 0 ? 2 : -1 - i;
    lr[PITCH] = NAN;
    for (int p = 0; p < P; p++) bad[p] = p % 3 == 0;
    const int64_t own[] = {P};
    dlf_tensor rates = kt_tensor(kt_dev, lr, P, PITCH), firsts;
    OK(dlf_tensor_new(&firsts, kt_dev, DLF_I32, P, PITCH));
    OK(dlf_tensor_upload_i32(&firsts, before));
    dlf_tensor rate = dlf_tensor_window(&rates, 1, 1, own);
    dlf_tensor first = dlf_tensor_window(&firsts, 2, 1, own);
    guard(&rate, &first, &rate, bad, 9, got, since);
    for (int p = 0; p < P; p++) {
        const int32_t was = before[p * PITCH + 2];
        assert_int_equal(since[p], was < 0 && bad[p] > 0 ? 9 : was);
        assert_true(got[p] == (since[p] < 0 ? (double)lr[p * PITCH + 1] : 0.0));
    }
    OK(dlf_tensor_upload_f64(&rate, (double[P]){NAN, INFINITY, -INFINITY, 1e-45}));
    OK(dlf_tensor_upload_i32(&first, (int32_t[P]){-1, -7, INT32_MIN, -1, 0}));
    for (int p = 0; p < P; p++) bad[p] = 0.0;
    guard(&rate, &first, &rate, bad, 10, got, since);
    assert_true(isnan(got[0]) && got[1] == INFINITY && got[2] == -INFINITY && got[3] > 0.0);
    assert_true(got[4] == 0.0 && since[2] == INT32_MIN);
    dlf_tensor_free(&rates), dlf_tensor_free(&firsts);
}

static void guard_refuses_wrong_operands(void **state)
{
    (void)state;
    dlf_tensor lr = kt_tensor(kt_dev, NULL, 2), out = kt_tensor(kt_dev, NULL, 2);
    dlf_tensor first, clock, moments, short_, one = dlf_tensor_slice(&lr, 0, 1);
    OK(dlf_tensor_new(&first, kt_dev, DLF_I32, 2));
    OK(dlf_tensor_new(&clock, kt_dev, DLF_I32, 1));
    OK(dlf_tensor_new(&moments, kt_dev, DLF_F64, 2, DLF_MOMENTS));
    OK(dlf_tensor_new(&short_, kt_dev, DLF_F64, 2, DLF_MOMENTS - 1));
    assert_int_equal(dlf_step_guard(&out, &first, &one, &moments, &clock), DLF_ERR_SHAPE);
    assert_int_equal(dlf_step_guard(&out, &first, &lr, &short_, &clock), DLF_ERR_SHAPE);
    assert_int_equal(dlf_step_guard(&out, &first, &lr, &moments, &first), DLF_ERR_SHAPE);
    assert_int_equal(dlf_step_guard(&out, &clock, &lr, &moments, &clock), DLF_ERR_SHAPE);
    assert_int_equal(dlf_step_guard(&out, &lr, &lr, &moments, &clock), DLF_ERR_SHAPE);
    if (kt_dev->real == DLF_F32)
        assert_int_equal(dlf_step_guard(&out, &first, &lr, &lr, &clock), DLF_ERR_SHAPE);
    dlf_tensor_free(&lr), dlf_tensor_free(&out), dlf_tensor_free(&first), dlf_tensor_free(&clock);
    dlf_tensor_free(&moments), dlf_tensor_free(&short_);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_cases_by_hand),
        cmocka_unit_test(matches_reference),
        cmocka_unit_test(clipped_gradient_has_the_norm),
        cmocka_unit_test(extremes),
        cmocka_unit_test(every_element_counts),
        cmocka_unit_test(strided_misaligned_views),
        cmocka_unit_test(bits_do_not_depend_on_threads),
        cmocka_unit_test(guard_stops_a_member_for_good),
        cmocka_unit_test(guard_of_many_members_in_place),
        cmocka_unit_test(guard_refuses_wrong_operands),
    };
    kt_open(argc, argv);
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
