/* SPDX-License-Identifier: MIT
 * test_bias.c -- bias and its gradient.
 *
 * Tolerances. bias_add is one rounding: 2^-24 of the result. bias_grad adds up to 64 values in
 * float before it goes on in double: with |dy| ~ 1 and partial sums below 64 the error of a column
 * of B rows stays below B 2^-24 * 4, and is absolute where the column cancels. */
#include "kernel_test.h"

static const double one_rounding = 6e-8; /* 2^-24 */

static double grad_atol(int64_t B)
{
    return 3e-7 * (double)(B < 8 ? 8 : B);
}

static double add_worst(int64_t P, int64_t B, int64_t N)
{
    float *x = kt_random(P * B * N, 1, 1.0f, 0.0f), *b = kt_random(P * N, 2, 1.0f, 0.5f);
    dlf_tensor tx = kt_tensor(kt_dev, x, P, B, N), tb = kt_tensor(kt_dev, b, P, N);
    dlf_tensor rx = kt_tensor(kt_ref, x, P, B, N), rb = kt_tensor(kt_ref, b, P, N);
    dlf_tensor y = kt_tensor(kt_dev, NULL, P, B, N), ry = kt_tensor(kt_ref, NULL, P, B, N);
    OK(dlf_bias_add(&y, &tx, &tb));
    OK(dlf_bias_add(&ry, &rx, &rb));
    const double worst = kt_worst(&y, &ry, 0.0, one_rounding);
    dlf_tensor_free(&tx), dlf_tensor_free(&tb), dlf_tensor_free(&y);
    dlf_tensor_free(&rx), dlf_tensor_free(&rb), dlf_tensor_free(&ry);
    free(x), free(b);
    return worst;
}

static double grad_worst(int64_t P, int64_t B, int64_t N, double beta)
{
    float *g = kt_random(P * B * N, 3, 1.0f, 0.1f), *d = kt_random(P * N, 4, 1.0f, 0.0f);
    const float *before = beta == 0.0 ? NULL : d; /* NaN there: beta 0 must not read it */
    dlf_tensor tg = kt_tensor(kt_dev, g, P, B, N), rg = kt_tensor(kt_ref, g, P, B, N);
    dlf_tensor td = kt_tensor(kt_dev, before, P, N), rd = kt_tensor(kt_ref, before, P, N);
    OK(dlf_bias_grad(&td, &tg, beta));
    OK(dlf_bias_grad(&rd, &rg, beta));
    const double worst = kt_worst(&td, &rd, grad_atol(B), 2e-7);
    dlf_tensor_free(&tg), dlf_tensor_free(&td), dlf_tensor_free(&rg), dlf_tensor_free(&rd);
    free(g), free(d);
    return worst;
}

static const int64_t shapes[][3] = {{1, 1, 1},    {1, 1, 7},    {3, 7, 1},     {2, 33, 64},
                                    {5, 65, 10},  {16, 64, 64}, {1, 1031, 33}, {2, 129, 1009},
                                    {1, 2053, 4}, {3, 5, 260},  {3, 700, 5}};
enum { N_SHAPES = sizeof shapes / sizeof shapes[0] };

static void add_matches_reference(void **state)
{
    (void)state;
    for (int k = 0; k < N_SHAPES; k++)
        assert_true(add_worst(shapes[k][0], shapes[k][1], shapes[k][2]) <= 1.0);
}

static void grad_matches_reference(void **state)
{
    (void)state;
    const double betas[] = {0.0, 1.0, -0.3};
    for (int k = 0; k < N_SHAPES; k++)
        for (int b = 0; b < 3; b++)
            assert_true(grad_worst(shapes[k][0], shapes[k][1], shapes[k][2], betas[b]) <= 1.0);
}

/* A case done by hand, on the device and on ref. */
static void small_case_by_hand(void **state)
{
    (void)state;
    dlf_device *devices[] = {kt_dev, kt_ref};
    for (int k = 0; k < 2; k++) {
        const float x[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, b[] = {10, 20, 30, 40};
        const float y_want[] = {11, 22, 13, 24, 15, 26, 37, 48, 39, 50, 41, 52};
        const float g_want[] = {1 + 3 + 5 + 20, 2 + 4 + 6 + 40, 7 + 9 + 11 + 60, 8 + 10 + 12 + 80};
        float y[12], g[4];
        dlf_tensor tx = kt_tensor(devices[k], x, 2, 3, 2), tb = kt_tensor(devices[k], b, 2, 2);
        dlf_tensor ty = kt_tensor(devices[k], NULL, 2, 3, 2);
        OK(dlf_bias_add(&ty, &tx, &tb));
        OK(dlf_bias_grad(&tb, &tx, 2.0));
        OK(dlf_tensor_download(y, &ty));
        OK(dlf_tensor_download(g, &tb));
        assert_memory_equal(y, y_want, sizeof y);
        assert_memory_equal(g, g_want, sizeof g);
        dlf_tensor_free(&tx), dlf_tensor_free(&tb), dlf_tensor_free(&ty);
    }
}

/* bias_grad is the slope of L = sum w (x + bias): difference quotients, exact for a linear L up to
 * the rounding of the quotient. */
static void grad_on_ref_is_the_difference_quotient(void **state)
{
    (void)state;
    enum { B = 13, N = 5 };
    const double h = 1e-3;
    float *w = kt_random(B * N, 5, 1.0f, 0.2f), *x = kt_random(B * N, 6, 1.0f, 0.0f);
    double grad[N], y[B * N];
    dlf_tensor tw = kt_tensor(kt_ref, w, 1, B, N), tg = kt_tensor(kt_ref, NULL, 1, N);
    OK(dlf_bias_grad(&tg, &tw, 0.0));
    OK(dlf_tensor_download_f64(grad, &tg));
    dlf_tensor tx = kt_tensor(kt_ref, x, 1, B, N), ty = kt_tensor(kt_ref, NULL, 1, B, N);
    for (int j = 0; j < N; j++) {
        double loss[2] = {0.0, 0.0};
        for (int side = 0; side < 2; side++) {
            double bias[N] = {0};
            bias[j] = side ? h : -h;
            OK(dlf_tensor_upload_f64(&tg, bias));
            OK(dlf_bias_add(&ty, &tx, &tg));
            OK(dlf_tensor_download_f64(y, &ty));
            for (int i = 0; i < B * N; i++) loss[side] += (double)w[i] * y[i];
        }
        const double slope = (loss[1] - loss[0]) / (2 * h);
        assert_true(fabs(slope - grad[j]) <= 1e-6 * fabs(grad[j]));
    }
    dlf_tensor_free(&tw), dlf_tensor_free(&tg), dlf_tensor_free(&tx), dlf_tensor_free(&ty);
    free(w), free(x);
}

/* y alias x; x, bias and dbias are windows of larger rows, at an odd offset; what is around them
 * stays as it was. */
static void strided_misaligned_and_in_place(void **state)
{
    (void)state;
    enum { P = 3, B = 9, N = 8, PITCH = B * N + 5, PARAMS = 2 * N + 3 };
    const int64_t rows[] = {P, B, N}, row[] = {P, N};
    float *x = kt_random(P * PITCH, 7, 1.0f, 0.0f), *w = kt_random(P * PARAMS, 8, 1.0f, 0.0f);
    float y[P * PITCH], g[P * PARAMS];
    dlf_tensor arena = kt_tensor(kt_dev, x, P, PITCH), params = kt_tensor(kt_dev, w, P, PARAMS);
    dlf_tensor tx = dlf_tensor_window(&arena, 3, 3, rows);
    dlf_tensor tb = dlf_tensor_window(&params, 1, 2, row);
    dlf_tensor td = dlf_tensor_window(&params, N + 2, 2, row);
    OK(dlf_bias_grad(&td, &tx, 1.0));
    OK(dlf_bias_add(&tx, &tx, &tb));
    OK(dlf_tensor_download(y, &arena));
    OK(dlf_tensor_download(g, &params));
    for (int p = 0; p < P; p++) {
        for (int i = 0; i < PITCH; i++) {
            float want = x[p * PITCH + i];
            if (i >= 3 && i < 3 + B * N) want += w[p * PARAMS + 1 + (i - 3) % N];
            assert_true(y[p * PITCH + i] == want);
        }
        for (int j = 0; j < PARAMS; j++) {
            double want = w[p * PARAMS + j];
            if (j >= N + 2 && j < 2 * N + 2)
                for (int i = 0; i < B; i++) want += x[p * PITCH + 3 + i * N + j - (N + 2)];
            assert_true(fabs(g[p * PARAMS + j] - want) <= grad_atol(B));
        }
    }
    dlf_tensor_free(&arena), dlf_tensor_free(&params);
    free(x), free(w);
}

/* Rows that could be read 16 bytes at a time, and a bias that cannot. */
static void only_the_bias_is_misaligned(void **state)
{
    (void)state;
    enum { P = 2, B = 5, N = 8, PARAMS = 17 };
    const int64_t row[] = {P, N};
    float x[P * B * N], w[P * PARAMS], got[P * B * N];
    for (int i = 0; i < P * B * N; i++) x[i] = (float)i;
    for (int i = 0; i < P * PARAMS; i++) w[i] = (float)(1000 * i);
    dlf_tensor t = kt_tensor(kt_dev, x, P, B, N), params = kt_tensor(kt_dev, w, P, PARAMS);
    dlf_tensor bias = dlf_tensor_window(&params, 3, 2, row);
    OK(dlf_bias_add(&t, &t, &bias));
    OK(dlf_tensor_download(got, &t));
    for (int i = 0; i < P * B * N; i++)
        assert_true(got[i] == x[i] + w[i / (B * N) * PARAMS + 3 + i % N]);
    dlf_tensor_free(&t), dlf_tensor_free(&params);
}

static void extremes(void **state)
{
    (void)state;
    enum { B = 70, N = 6 };
    float x[B * N] = {0}, got[N];
    x[3 * N + 0] = NAN;
    x[1 * N + 1] = INFINITY;
    x[2 * N + 2] = INFINITY, x[69 * N + 2] = -INFINITY;
    x[0 * N + 3] = 1e38f, x[68 * N + 3] = -1e38f, x[69 * N + 3] = 1e38f;
    for (int i = 0; i < B; i++) x[i * N + 4] = 1e-45f;
    dlf_tensor t = kt_tensor(kt_dev, x, 1, B, N), d = kt_tensor(kt_dev, NULL, 1, N);
    OK(dlf_bias_grad(&d, &t, 0.0));
    OK(dlf_tensor_download(got, &d));
    assert_true(isnan(got[0]));
    assert_true(got[1] == INFINITY);
    assert_true(isnan(got[2]));
    assert_true(got[3] == 1e38f);
    assert_true(got[4] == 70 * 1e-45f);
    assert_true(got[5] == 0.0f);

    const float bias[N] = {1.0f, NAN, 1.0f, 1e38f, 1e-45f, -INFINITY};
    float y[B * N];
    dlf_tensor b = kt_tensor(kt_dev, bias, 1, N);
    OK(dlf_bias_add(&t, &t, &b));
    OK(dlf_tensor_download(y, &t));
    for (int i = 0; i < B * N; i++) {
        const float want = x[i] + bias[i % N];
        assert_true(y[i] == want || (isnan(y[i]) && isnan(want)));
    }
    dlf_tensor_free(&t), dlf_tensor_free(&d), dlf_tensor_free(&b);
}

static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    enum { P = 5, B = 700, N = 131 };
    const int threads = kt_dev->info.threads;
    float *x = kt_random(P * B * N, 9, 1.0f, 0.0f), got[2][P * N];
    for (int k = 0; k < 2; k++) {
        kt_dev->info.threads = 1 + k;
        dlf_tensor t = kt_tensor(kt_dev, x, P, B, N), d = kt_tensor(kt_dev, NULL, P, N);
        OK(dlf_bias_grad(&d, &t, 0.0));
        OK(dlf_bias_add(&t, &t, &d));
        OK(dlf_bias_grad(&d, &t, 0.5));
        OK(dlf_tensor_download(got[k], &d));
        dlf_tensor_free(&t), dlf_tensor_free(&d);
    }
    kt_dev->info.threads = threads;
    assert_memory_equal(got[0], got[1], sizeof got[0]);
    free(x);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_case_by_hand),
        cmocka_unit_test(grad_on_ref_is_the_difference_quotient),
        cmocka_unit_test(add_matches_reference),
        cmocka_unit_test(grad_matches_reference),
        cmocka_unit_test(strided_misaligned_and_in_place),
        cmocka_unit_test(only_the_bias_is_misaligned),
        cmocka_unit_test(extremes),
        cmocka_unit_test(bits_do_not_depend_on_threads),
    };
    kt_open(argc, argv);
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
