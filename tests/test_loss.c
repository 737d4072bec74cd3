/* SPDX-License-Identifier: MIT
 * test_loss.c -- elementwise losses, their row sums and gradients.
 *
 * Tolerances. x - t is rounded once, a square or a product twice more; exp and log1p are good to 3
 * units in the last place. All terms of a row have one sign and are added in double, so that a row
 * is as good as its worst term: 10 roundings, 6e-7. The gradient of bce is a difference that may
 * cancel: 6e-7 of the terms, which are at most 1. */
#include "kernel_test.h"

static const double rtol = 6e-7;
static const double delta = 0.75; /* exact in float */

static dlf_loss loss_of(int kind)
{
    return (dlf_loss){(dlf_loss_kind)kind, delta};
}

/* Targets as each loss wants them: real, in [0,1] with hard labels among them, or +-1. */
static float *targets(int kind, int64_t n, uint32_t stream)
{
    float *t = kt_random(n, stream, 1.0f, 0.2f);
    for (int64_t i = 0; i < n; i++) {
        if (kind == DLF_LOSS_BCE) t[i] = i % 3 == 0 ? (float)(i % 2) : 1.0f / (1.0f + expf(t[i]));
        if (kind == DLF_LOSS_HINGE) t[i] = t[i] < 0.0f ? -1.0f : 1.0f;
    }
    return t;
}

/* ---- reference ------------------------------------------------------------------------------ */

typedef struct operands {
    dlf_tensor x, t, loss, dx;
} operands;

static operands operands_of(dlf_device *dev, const float *x, const float *t, int64_t P, int64_t T,
                            int64_t B, int64_t N)
{
    return (operands){kt_tensor(dev, x, P, B, N), kt_tensor(dev, t, T, B, N),
                      kt_tensor(dev, NULL, P, B), kt_tensor(dev, NULL, P, B, N)};
}

static void operands_free(operands *o)
{
    dlf_tensor_free(&o->x), dlf_tensor_free(&o->t);
    dlf_tensor_free(&o->loss), dlf_tensor_free(&o->dx);
}

static void compare(int kind, int64_t P, int64_t B, int64_t N, bool shared, double scale)
{
    const int64_t T = shared ? 1 : P;
    float *x = kt_random(P * B * N, 1, 2.0f, 0.1f), *t = targets(kind, T * B * N, 2);
    operands got = operands_of(kt_dev, x, t, P, T, B, N);
    operands want = operands_of(kt_ref, x, t, P, T, B, N);
    const dlf_loss l = loss_of(kind);
    OK(dlf_loss_forward(&got.loss, &got.x, &got.t, l));
    OK(dlf_loss_forward(&want.loss, &want.x, &want.t, l));
    OK(dlf_loss_backward(&got.dx, &got.x, &got.t, l, scale));
    OK(dlf_loss_backward(&want.dx, &want.x, &want.t, l, scale));
    const double atol = kind == DLF_LOSS_BCE ? rtol * fabs(scale) : 0.0;
    const bool good = kt_worst(&got.loss, &want.loss, 1e-30, rtol) <= 1.0 &&
                      kt_worst(&got.dx, &want.dx, atol + 1e-30, rtol) <= 1.0;
    OK(dlf_loss_backward(&got.x, &got.x, &got.t, l, scale)); /* dx may be x */
    if (!good || kt_worst(&got.x, &got.dx, 1e-45, 0.0) > 0.0)
        fail_msg("%s P %lld B %lld N %lld", dlf_loss_name(l.kind), (long long)P, (long long)B,
                 (long long)N);
    operands_free(&got), operands_free(&want);
    free(x), free(t);
}

static void matches_reference(void **state)
{
    (void)state;
    const int64_t shapes[][3] = {{1, 1, 1},    {3, 37, 1},   {2, 65, 3},   {2, 33, 7},
                                 {3, 35, 8},   {2, 9, 63},   {2, 9, 64},   {3, 5, 100},
                                 {2, 3, 1009}, {2, 9, 132},  {1, 3, 2048}, {2, 2, 2049},
                                 {1, 2, 8196}, {2, 1, 16389}};
    for (size_t k = 0; k < sizeof shapes / sizeof shapes[0]; k++)
        for (int kind = 0; kind < DLF_LOSS_COUNT; kind++)
            compare(kind, shapes[k][0], shapes[k][1], shapes[k][2], (k + (size_t)kind) % 2,
                    kind % 2 ? -0.125 : 3.0);
    compare(DLF_LOSS_MSE, 1, 1, 40000, false, 1.0);
    compare(DLF_LOSS_BCE, 1, 700, 33, true, 1.0);
}

/* ---- properties ----------------------------------------------------------------------------- */

/* One loss and slope on a device. */
static void at(dlf_device *dev, int kind, double d, double x, double t, double *value,
               double *slope)
{
    operands o = operands_of(dev, NULL, NULL, 1, 1, 1, 1);
    const dlf_loss l = {(dlf_loss_kind)kind, d};
    OK(dlf_tensor_upload_f64(&o.x, &x));
    OK(dlf_tensor_upload_f64(&o.t, &t));
    OK(dlf_loss_forward(&o.loss, &o.x, &o.t, l));
    OK(dlf_loss_backward(&o.dx, &o.x, &o.t, l, 1.0));
    OK(dlf_tensor_download_f64(value, &o.loss));
    OK(dlf_tensor_download_f64(slope, &o.dx));
    operands_free(&o);
}

/* Ref: the slope is the difference quotient, away from the kinks; error h^2/6 l''' and 2^-53 l/h.
 */
static void slopes_of_ref_are_difference_quotients(void **state)
{
    (void)state;
    const double h = 1e-5, points[] = {-3.1, -0.9, -0.2, 0.3, 0.77, 1.9, 4.2};
    for (int kind = 0; kind < DLF_LOSS_COUNT; kind++)
        for (size_t i = 0; i < sizeof points / sizeof points[0]; i++)
            for (int which = 0; which < 2; which++) {
                const double t = kind == DLF_LOSS_HINGE ? 2.0 * which - 1.0 : 0.25 + 0.5 * which;
                double low, high, slope, unused;
                at(kt_ref, kind, delta, points[i] - h, t, &low, &unused);
                at(kt_ref, kind, delta, points[i] + h, t, &high, &unused);
                at(kt_ref, kind, delta, points[i], t, &unused, &slope);
                assert_true(fabs((high - low) / (2 * h) - slope) <= 1e-9 * (1.0 + fabs(slope)));
            }
}

/* What is a choice, and the values on either side of it. */
static void kinks(void **state)
{
    (void)state;
    dlf_device *devices[] = {kt_dev, kt_ref};
    for (int k = 0; k < 2; k++) {
        dlf_device *dev = devices[k];
        double l, d, l2, d2;
        at(dev, DLF_LOSS_MAE, 0, 0.5, 0.5, &l, &d);
        assert_true(l == 0.0 && d == 0.0);
        at(dev, DLF_LOSS_MAE, 0, 0.5, 0.5 + 0x1p-24, &l, &d);
        assert_true(l == 0x1p-24 && d == -1.0);
        /* huber and its slope are continuous at delta: 1/2 delta^2 and delta from both sides */
        for (int side = -1; side <= 1; side += 2) {
            at(dev, DLF_LOSS_HUBER, delta, side * delta, 0.0, &l, &d);
            assert_true(l == delta * delta / 2 && d == side * delta);
            at(dev, DLF_LOSS_HUBER, delta, side * (delta + 0x1p-20), 0.0, &l2, &d2);
            assert_true(d2 == side * delta && fabs(l2 - l - delta * 0x1p-20) <= 0x1p-24);
            at(dev, DLF_LOSS_HUBER, delta, side * (delta - 0x1p-20), 0.0, &l2, &d2);
            assert_true(d2 == side * (delta - 0x1p-20) &&
                        fabs(l2 - l + delta * 0x1p-20) <= 0x1p-24);
        }
        for (int t = -1; t <= 1; t += 2) {
            at(dev, DLF_LOSS_HINGE, 0, t, t, &l, &d);
            assert_true(l == 0.0 && d == 0.0); /* t x = 1 */
            at(dev, DLF_LOSS_HINGE, 0, t * (1.0 - 0x1p-24), t, &l, &d);
            assert_true(l == 0x1p-24 && d == -t);
            at(dev, DLF_LOSS_HINGE, 0, t * (1.0 + 0x1p-23), t, &l, &d);
            assert_true(l == 0.0 && d == 0.0);
            at(dev, DLF_LOSS_HINGE, 0, -t, t, &l, &d);
            assert_true(l == 2.0 && d == -t);
        }
        at(dev, DLF_LOSS_MSE, 0, 3.0, 1.0, &l, &d);
        assert_true(l == 4.0 && d == 4.0);
        at(dev, DLF_LOSS_BCE, 0, 0.0, 1.0, &l, &d);
        assert_true(fabs(l - M_LN2) <= 1e-7 && d == -0.5);
    }
}

/* With hard labels nothing cancels: loss and gradient keep their relative precision however sure
 * the prediction is, down to the least float. Far out the loss is |x| or e^-|x|. */
static void bce_is_stable(void **state)
{
    (void)state;
    dlf_device *devices[] = {kt_dev, kt_ref};
    const double points[] = {1e-6, 0.5, 3.0, 15.0, 20.0, 40.0, 60.0, 80.0, 87.0, 100.0, 1e3, 1e4};
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i < sizeof points / sizeof points[0]; i++)
            for (int right = 0; right < 2; right++)
                for (int label = 0; label < 2; label++) {
                    const double x = right == label ? points[i] : -points[i];
                    const double a = (float)fabs(x), e = exp(-a);
                    double l, d;
                    at(devices[k], DLF_LOSS_BCE, 0, x, label, &l, &d);
                    const bool sure = (x > 0) == (label == 1);
                    const double want = (sure ? 0.0 : a) + log1p(e);
                    const double slope = (sure ? e : 1.0) / (1.0 + e) * (label ? -1.0 : 1.0);
                    assert_true(fabs(l - want) <= rtol * want + 0x1p-149);
                    assert_true(fabs(d - slope) <= rtol * fabs(slope) + 0x1p-149);
                }
}

/* The sum of a row does not depend on what is in the other rows or members, nor on their number. */
static void rows_are_independent(void **state)
{
    (void)state;
    const int64_t sizes[] = {5, 40, 300, 3000};
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
        enum { P = 2, B = 5 };
        const int64_t N = sizes[k];
        float *x = kt_random(P * B * N, 5, 1.0f, 0.0f), *t = kt_random(P * B * N, 6, 1.0f, 0.0f);
        operands all = operands_of(kt_dev, x, t, P, P, B, N);
        float sums[P * B], one;
        OK(dlf_loss_forward(&all.loss, &all.x, &all.t, loss_of(DLF_LOSS_MSE)));
        OK(dlf_tensor_download(sums, &all.loss));
        for (int64_t r = 0; r < P * B; r++) {
            operands single = operands_of(kt_dev, x + r * N, t + r * N, 1, 1, 1, N);
            OK(dlf_loss_forward(&single.loss, &single.x, &single.t, loss_of(DLF_LOSS_MSE)));
            OK(dlf_tensor_download(&one, &single.loss));
            if (N % 4 == 0 || kt_dev->real == DLF_F64)
                assert_true(one == sums[r]);
            else
                assert_true(fabsf(one - sums[r]) <= 1e-6f * one);
            operands_free(&single);
        }
        operands_free(&all);
        free(x), free(t);
    }
}

/* ---- extremes ------------------------------------------------------------------------------- */

static void extremes(void **state)
{
    (void)state;
    enum { N = 15 };
    const float values[N] = {NAN,    INFINITY, -INFINITY, 0.0f,  -0.0f, 1e18f, -1e18f, 1e-45f,
                             1e-38f, -1e-40f,  1.0f,      -1.0f, 0.5f,  2.0f,  1e10f};
    float x[N * N], t[N * N];
    for (int i = 0; i < N * N; i++) x[i] = values[i / N], t[i] = values[i % N];
    for (int kind = 0; kind < DLF_LOSS_COUNT; kind++) {
        /* rows of one, so that every pair shows */
        operands got = operands_of(kt_dev, x, t, 1, 1, N * N, 1);
        operands want = operands_of(kt_ref, x, t, 1, 1, N * N, 1);
        const dlf_loss l = loss_of(kind);
        OK(dlf_loss_forward(&got.loss, &got.x, &got.t, l));
        OK(dlf_loss_forward(&want.loss, &want.x, &want.t, l));
        OK(dlf_loss_backward(&got.dx, &got.x, &got.t, l, 2.0));
        OK(dlf_loss_backward(&want.dx, &want.x, &want.t, l, 2.0));
        assert_true(kt_worst(&got.loss, &want.loss, 1e-37, 2e-6) <= 1.0);
        assert_true(kt_worst(&got.dx, &want.dx, kind == DLF_LOSS_BCE ? 1e-6 : 1e-37, 2e-6) <= 1.0);
        double dx[N * N];
        OK(dlf_tensor_download_f64(dx, &got.dx));
        for (int i = 0; i < N * N; i++)
            if (isnan(x[i]) || isnan(t[i])) assert_true(isnan(dx[i]));
        operands_free(&got), operands_free(&want);
    }
    /* a NaN anywhere in a long row makes that row NaN and no other */
    const int64_t lengths[] = {6, 33, 700, 9001};
    for (size_t k = 0; k < sizeof lengths / sizeof lengths[0]; k++)
        for (int kind = 0; kind < DLF_LOSS_COUNT; kind++) {
            const int64_t n = lengths[k];
            float *a = kt_random(3 * n, 7, 1.0f, 0.0f), *b = targets(kind, 3 * n, 8), got[3];
            (kind % 2 ? a : b)[n + (n * 3) / 4] = NAN;
            operands o = operands_of(kt_dev, a, b, 1, 1, 3, n);
            OK(dlf_loss_forward(&o.loss, &o.x, &o.t, loss_of(kind)));
            OK(dlf_tensor_download(got, &o.loss));
            assert_true(isfinite(got[0]) && isnan(got[1]) && isfinite(got[2]));
            operands_free(&o);
            free(a), free(b);
        }
}

/* Each of x, t, dx and loss as a window at an odd offset in turn; what is around them stays. */
static void strided_misaligned_views(void **state)
{
    (void)state;
    const int64_t sizes[][2] = {{9, 8}, {3, 128}, {1, 2052}};
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++)
        for (int odd = 0; odd < 5; odd++) { /* 4: all */
            enum { P = 3 };
            const int64_t B = sizes[k][0], N = sizes[k][1], n = B * N;
            const int64_t counts[] = {n, n, n, B}, shape[] = {P, B, N};
            dlf_device *devices[] = {kt_dev, kt_ref};
            dlf_tensor whole[2][4], view[2][4];
            for (int j = 0; j < 4; j++) {
                const bool shifted = odd == j || odd == 4;
                const int64_t pitch = counts[j] + 8 + (shifted ? 1 : 0);
                float *host = kt_random(P * pitch, 20 + (uint32_t)j, 1.0f, 0.0f);
                for (int side = 0; side < 2; side++) {
                    whole[side][j] = kt_tensor(devices[side], host, P, pitch);
                    view[side][j] = dlf_tensor_window(&whole[side][j], shifted ? j + 1 : 4,
                                                      j == 3 ? 2 : 3, shape);
                }
                free(host);
            }
            for (int side = 0; side < 2; side++) {
                dlf_tensor *v = view[side];
                OK(dlf_loss_forward(&v[3], &v[0], &v[1], loss_of(DLF_LOSS_HUBER)));
                OK(dlf_loss_backward(&v[2], &v[0], &v[1], loss_of(DLF_LOSS_HUBER), 0.5));
            }
            for (int j = 0; j < 4; j++) {
                assert_true(kt_worst(&whole[0][j], &whole[1][j], 1e-30, rtol) <= 1.0);
                dlf_tensor_free(&whole[0][j]), dlf_tensor_free(&whole[1][j]);
            }
        }
}

static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    const int64_t shapes[][2] = {{4000, 7}, {2, 40003}};
    const int threads = kt_dev->info.threads;
    for (int k = 0; k < 2; k++) {
        const int64_t B = shapes[k][0], N = shapes[k][1];
        float *x = kt_random(2 * B * N, 9, 1.0f, 0.0f), *t = targets(DLF_LOSS_BCE, B * N, 10);
        float *sums[2], *grads[2];
        for (int run = 0; run < 2; run++) {
            kt_dev->info.threads = 1 + run;
            operands o = operands_of(kt_dev, x, t, 2, 1, B, N);
            OK(dlf_loss_forward(&o.loss, &o.x, &o.t, loss_of(DLF_LOSS_BCE)));
            OK(dlf_loss_backward(&o.dx, &o.x, &o.t, loss_of(DLF_LOSS_BCE), 1.0));
            sums[run] = malloc((size_t)(2 * B) * sizeof(float));
            grads[run] = malloc((size_t)(2 * B * N) * sizeof(float));
            assert_true(sums[run] && grads[run]);
            OK(dlf_tensor_download(sums[run], &o.loss));
            OK(dlf_tensor_download(grads[run], &o.dx));
            operands_free(&o);
        }
        assert_memory_equal(sums[0], sums[1], (size_t)(2 * B) * sizeof(float));
        assert_memory_equal(grads[0], grads[1], (size_t)(2 * B * N) * sizeof(float));
        for (int run = 0; run < 2; run++) free(sums[run]), free(grads[run]);
        free(x), free(t);
    }
    kt_dev->info.threads = threads;
}

/* Large enough for stores that bypass the caches. */
static void a_large_gradient(void **state)
{
    (void)state;
    if (strcmp(kt_dev->info.backend, "cpu") != 0) skip();
    const int64_t N = (INT64_C(32) << 20) / 4 + 21, shape[] = {1, 1, N};
    float *x = malloc((size_t)N * sizeof *x);
    assert_non_null(x);
    for (int64_t i = 0; i < N; i++) x[i] = (float)(i % 1000);
    operands o = operands_of(kt_dev, x, x, 1, 1, 1, N);
    dlf_tensor wide = kt_tensor(kt_dev, NULL, 1, N + 3);
    dlf_tensor dx = dlf_tensor_window(&wide, 3, 3, shape);
    OK(dlf_tensor_zero(&o.t));
    OK(dlf_loss_backward(&dx, &o.x, &o.t, loss_of(DLF_LOSS_MSE), 1.0));
    float *got = malloc((size_t)(N + 3) * sizeof *got);
    assert_non_null(got);
    OK(dlf_tensor_download(got, &wide));
    for (int64_t i = 0; i < N + 3; i++)
        if (i < 3 ? !isnan(got[i]) : got[i] != 2.0f * x[i - 3]) fail_msg("at %lld", (long long)i);
    dlf_tensor_free(&wide), operands_free(&o);
    free(x), free(got);
}

/* Two members more than 2^31 elements apart give the bits of two neighbours. The memory between
 * them is mapped and never touched; a device that refuses so much is not tested. */
static void far_members(void **state)
{
    (void)state;
    enum { B = 3, N = 20 };
    const int64_t far = ((int64_t)1 << 31) + 64;
    dlf_tensor arena;
    if (kt_dev->real != DLF_F32 || dlf_tensor_new(&arena, kt_dev, DLF_F32, 2, far) != DLF_OK)
        skip();
    float *x = kt_random(2 * B * N, 11, 1.0f, 0.0f), *t = targets(DLF_LOSS_BCE, 2 * B * N, 12);
    operands near = operands_of(kt_dev, x, t, 2, 2, B, N);
    const int64_t shape[] = {2, B, N};
    dlf_tensor view[4];
    for (int k = 0; k < 4; k++) view[k] = dlf_tensor_window(&arena, k * 80, k == 2 ? 2 : 3, shape);
    OK(dlf_tensor_upload(&view[0], x));
    OK(dlf_tensor_upload(&view[1], t));
    const dlf_loss bce = loss_of(DLF_LOSS_BCE);
    OK(dlf_loss_forward(&near.loss, &near.x, &near.t, bce));
    OK(dlf_loss_forward(&view[2], &view[0], &view[1], bce));
    OK(dlf_loss_backward(&near.dx, &near.x, &near.t, bce, 1.0));
    OK(dlf_loss_backward(&view[3], &view[0], &view[1], bce, 1.0));
    assert_true(kt_worst(&view[2], &near.loss, 1e-45, 0.0) == 0.0);
    assert_true(kt_worst(&view[3], &near.dx, 1e-45, 0.0) == 0.0);
    dlf_tensor_free(&arena), operands_free(&near);
    free(x), free(t);
}

static void arguments_are_checked(void **state)
{
    (void)state;
    operands o = operands_of(kt_dev, NULL, NULL, 3, 2, 4, 5);
    const dlf_loss mse = loss_of(DLF_LOSS_MSE);
    assert_int_equal(dlf_loss_forward(&o.loss, &o.x, &o.t, mse), DLF_ERR_SHAPE);
    assert_int_equal(dlf_loss_backward(&o.dx, &o.x, &o.t, mse, 1.0), DLF_ERR_SHAPE);
    assert_int_equal(dlf_loss_forward(&o.loss, &o.x, &o.x, (dlf_loss){DLF_LOSS_HUBER, 0.0}),
                     DLF_ERR_ARG);
    assert_int_equal(dlf_loss_forward(&o.loss, &o.x, &o.x, (dlf_loss){DLF_LOSS_COUNT, 0.0}),
                     DLF_ERR_ARG);
    operands_free(&o);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_reference),
        cmocka_unit_test(slopes_of_ref_are_difference_quotients),
        cmocka_unit_test(kinks),
        cmocka_unit_test(bce_is_stable),
        cmocka_unit_test(rows_are_independent),
        cmocka_unit_test(extremes),
        cmocka_unit_test(strided_misaligned_views),
        cmocka_unit_test(bits_do_not_depend_on_threads),
        cmocka_unit_test(a_large_gradient),
        cmocka_unit_test(arguments_are_checked),
        cmocka_unit_test(far_members),
    };
    kt_open(argc, argv);
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
