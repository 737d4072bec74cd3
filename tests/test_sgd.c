/* SPDX-License-Identifier: MIT
 * test_sgd.c -- the optimiser step.
 *
 * Tolerances. One step is three fused multiply-adds and a product: each result is off by a few
 * 2^-24 of the largest of its terms. With all terms of order 1, and differences that may cancel,
 * that is 5e-7 absolute per step. */
#include "optimiser_test.h"

static const double per_step = 5e-7;

typedef struct optimiser {
    dlf_tensor w, v, g, lr, s;
} optimiser;

/* `steps` steps from zero velocity. */
static optimiser run(dlf_device *dev, const problem *q, bool velocity, bool scaled, int steps,
                     dlf_sgd_args args)
{
    optimiser o = {.w = kt_tensor(dev, q->w, q->P, q->n),
                   .g = kt_tensor(dev, q->g, q->P, q->n),
                   .v = kt_tensor(dev, NULL, q->P, q->n),
                   .lr = kt_tensor(dev, q->lr, q->P),
                   .s = kt_tensor(dev, q->s, q->P)};
    if (velocity) OK(dlf_tensor_zero(&o.v));
    for (int k = 0; k < steps; k++)
        OK(dlf_sgd_step(&o.w, velocity ? &o.v : NULL, &o.g, &o.lr, scaled ? &o.s : NULL, args));
    return o;
}

static void optimiser_free(optimiser *o)
{
    dlf_tensor_free(&o->w), dlf_tensor_free(&o->v), dlf_tensor_free(&o->g);
    dlf_tensor_free(&o->lr), dlf_tensor_free(&o->s);
}

static void matches_reference(void **state)
{
    (void)state;
    const int64_t shapes[][2] = {{1, 1}, {3, 7}, {2, 33}, {5, 1009}, {16, 4099}, {2, 16411}};
    const dlf_sgd_args args[] = {{0.0, 0.0}, {0.9, 0.0}, {0.9, 0.01}, {0.0, 0.1}};
    for (size_t k = 0; k < sizeof shapes / sizeof shapes[0]; k++)
        for (int a = 0; a < 4; a++)
            for (int scaled = 0; scaled < 2; scaled++)
                for (int velocity = args[a].momentum != 0.0; velocity < 2; velocity++) {
                    problem q = problem_of(shapes[k][0], shapes[k][1]);
                    optimiser got = run(kt_dev, &q, velocity, scaled, 3, args[a]);
                    optimiser want = run(kt_ref, &q, velocity, scaled, 3, args[a]);
                    assert_true(kt_worst(&got.w, &want.w, 3 * per_step, 3e-7) <= 1.0);
                    if (velocity) assert_true(kt_worst(&got.v, &want.v, 3 * per_step, 3e-7) <= 1.0);
                    optimiser_free(&got), optimiser_free(&want), problem_free(&q);
                }
}

/* Powers of two: exact in float. d = 0.5*4 + 0.25*8 = 4; v = 0.5*2 + 4 = 5; w = 8 - 0.125*5. */
static void small_case_by_hand(void **state)
{
    (void)state;
    dlf_device *devices[] = {kt_dev, kt_ref};
    for (int k = 0; k < 2; k++) {
        const float w[] = {8.0f}, v[] = {2.0f}, g[] = {4.0f}, lr[] = {0.125f}, s[] = {0.5f};
        optimiser o = {kt_tensor(devices[k], w, 1, 1), kt_tensor(devices[k], v, 1, 1),
                       kt_tensor(devices[k], g, 1, 1), kt_tensor(devices[k], lr, 1),
                       kt_tensor(devices[k], s, 1)};
        float got;
        OK(dlf_sgd_step(&o.w, &o.v, &o.g, &o.lr, &o.s, (dlf_sgd_args){0.5, 0.25}));
        OK(dlf_tensor_download(&got, &o.w));
        assert_true(got == 7.375f);
        OK(dlf_tensor_download(&got, &o.v));
        assert_true(got == 5.0f);
        OK(dlf_sgd_step(&o.w, NULL, &o.g, &o.lr, NULL, (dlf_sgd_args){0.0, 0.0}));
        OK(dlf_tensor_download(&got, &o.w));
        assert_true(got == 6.875f);
        optimiser_free(&o);
    }
}

/* With a constant gradient momentum sums a geometric series: after k steps the velocity is
 * g (1 - mu^k)/(1 - mu). And without gradient, weight decay shrinks w by (1 - lr lambda) a step. */
static void momentum_and_decay_follow_their_series(void **state)
{
    (void)state;
    enum { N = 67, STEPS = 20 };
    dlf_device *devices[] = {kt_dev, kt_ref};
    problem q = problem_of(2, N);
    for (int k = 0; k < 2; k++) {
        double v[2 * N], w[2 * N];
        optimiser o = run(devices[k], &q, true, false, STEPS, (dlf_sgd_args){0.9, 0.0});
        OK(dlf_tensor_download_f64(v, &o.v));
        for (int i = 0; i < 2 * N; i++) {
            const double want = q.g[i] * (1.0 - pow(0.9, STEPS)) / 0.1;
            assert_true(fabs(v[i] - want) <= 3e-6 * fabs(want));
        }
        optimiser_free(&o);
        problem still = q;
        still.g = calloc(2 * N, sizeof *still.g);
        assert_non_null(still.g);
        o = run(devices[k], &still, false, false, STEPS, (dlf_sgd_args){0.0, 0.5});
        OK(dlf_tensor_download_f64(w, &o.w));
        for (int i = 0; i < 2 * N; i++) {
            const double want = q.w[i] * pow(1.0 - 0.5 * q.lr[i / N], STEPS);
            assert_true(fabs(w[i] - want) <= 3e-6 * fabs(want));
        }
        free(still.g), optimiser_free(&o);
    }
    problem_free(&q);
}

static void extremes(void **state)
{
    (void)state;
    enum { N = 20 };
    const float values[] = {NAN,    INFINITY, -INFINITY, 0.0f,   -0.0f, 1e38f,  -1e38f,
                            1e-45f, -1e-40f,  1.0f,      -2.0f,  3.0f,  1e-20f, 1e20f,
                            0.5f,   7.0f,     -1e-45f,   1e-38f, 2.0f,  -3e37f};
    float w[N];
    for (int i = 0; i < N; i++) w[i] = i % 3 ? 1.0f : values[N - 1 - i];
    const float lr[] = {0.25f}, scales[] = {1.0f, 0.0f, NAN};
    for (int k = 0; k < 3; k++)
        for (int velocity = 0; velocity < 2; velocity++) {
            const float s[] = {scales[k]};
            problem q = {1, N, w, (float *)values, (float *)lr, (float *)s};
            const dlf_sgd_args args = {velocity ? 0.5 : 0.0, 0.0};
            optimiser got = run(kt_dev, &q, velocity, true, 2, args);
            optimiser want = run(kt_ref, &q, velocity, true, 2, args);
            assert_true(kt_worst(&got.w, &want.w, 1e-44, 3e-7) <= 1.0);
            if (velocity) assert_true(kt_worst(&got.v, &want.v, 1e-44, 3e-7) <= 1.0);
            optimiser_free(&got), optimiser_free(&want);
        }
    /* clipping an infinite gradient gives s = 0, and 0 * Inf must show */
    float one[] = {1.0f}, inf[] = {INFINITY}, zero[] = {0.0f}, result;
    problem q = {1, 1, one, inf, one, zero};
    optimiser o = run(kt_dev, &q, false, true, 1, (dlf_sgd_args){0.0, 0.0});
    OK(dlf_tensor_download(&result, &o.w));
    assert_true(isnan(result));
    optimiser_free(&o);
}

/* w, v and g as windows of larger rows with different strides at an odd offset. */
static void strided_misaligned_views(void **state)
{
    (void)state;
    enum { P = 3, N = 517, PITCH = N + 6, OFFSET = 3 };
    const int64_t shape[] = {P, N};
    const dlf_sgd_args args = {0.9, 0.01};
    problem q = problem_of(P, PITCH), g = problem_of(P, N);
    dlf_tensor w = kt_tensor(kt_dev, q.w, P, PITCH), v = kt_tensor(kt_dev, q.g, P, PITCH);
    dlf_tensor tg = kt_tensor(kt_dev, g.g, P, N), lr = kt_tensor(kt_dev, q.lr, P);
    dlf_tensor rw = kt_tensor(kt_ref, q.w, P, PITCH), rv = kt_tensor(kt_ref, q.g, P, PITCH);
    dlf_tensor rg = kt_tensor(kt_ref, g.g, P, N), rlr = kt_tensor(kt_ref, q.lr, P);
    dlf_tensor ww = dlf_tensor_window(&w, OFFSET, 2, shape);
    dlf_tensor vv = dlf_tensor_window(&v, OFFSET, 2, shape);
    dlf_tensor rww = dlf_tensor_window(&rw, OFFSET, 2, shape);
    dlf_tensor rvv = dlf_tensor_window(&rv, OFFSET, 2, shape);
    OK(dlf_sgd_step(&ww, &vv, &tg, &lr, NULL, args));
    OK(dlf_sgd_step(&rww, &rvv, &rg, &rlr, NULL, args));
    assert_true(kt_worst(&w, &rw, per_step, 3e-7) <= 1.0);
    assert_true(kt_worst(&v, &rv, per_step, 3e-7) <= 1.0);
    float got[P * PITCH];
    OK(dlf_tensor_download(got, &w));
    for (int p = 0; p < P; p++)
        for (int i = 0; i < PITCH; i++)
            assert_true((i >= OFFSET && i < OFFSET + N) ==
                        (got[p * PITCH + i] != q.w[p * PITCH + i]));
    dlf_tensor_free(&w), dlf_tensor_free(&v), dlf_tensor_free(&tg), dlf_tensor_free(&lr);
    dlf_tensor_free(&rw), dlf_tensor_free(&rv), dlf_tensor_free(&rg), dlf_tensor_free(&rlr);
    problem_free(&q), problem_free(&g);
}

/* Two of w, v and g could be read 16 bytes at a time; the third lies one element off. */
static void one_operand_is_misaligned(void **state)
{
    (void)state;
    enum { P = 2, N = 516, PITCH = N + 4 };
    const int64_t shape[] = {P, N};
    const dlf_sgd_args args = {0.9, 0.01};
    problem q = problem_of(P, PITCH);
    for (int odd = 0; odd < 3; odd++) {
        const float *host[] = {q.w, q.g, q.g};
        dlf_tensor t[3], r[3], tw[3], rw[3];
        for (int k = 0; k < 3; k++) {
            t[k] = kt_tensor(kt_dev, host[k], P, PITCH),
            r[k] = kt_tensor(kt_ref, host[k], P, PITCH);
            tw[k] = dlf_tensor_window(&t[k], k == odd, 2, shape);
            rw[k] = dlf_tensor_window(&r[k], k == odd, 2, shape);
        }
        dlf_tensor lr = kt_tensor(kt_dev, q.lr, P), rlr = kt_tensor(kt_ref, q.lr, P);
        OK(dlf_sgd_step(&tw[0], &tw[1], &tw[2], &lr, NULL, args));
        OK(dlf_sgd_step(&rw[0], &rw[1], &rw[2], &rlr, NULL, args));
        for (int k = 0; k < 2; k++) assert_true(kt_worst(&t[k], &r[k], per_step, 3e-7) <= 1.0);
        for (int k = 0; k < 3; k++) dlf_tensor_free(&t[k]), dlf_tensor_free(&r[k]);
        dlf_tensor_free(&lr), dlf_tensor_free(&rlr);
    }
    problem_free(&q);
}

static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    enum { P = 4, N = 33004 };
    const int threads = kt_dev->info.threads;
    problem q = problem_of(P, N);
    float *got[2];
    for (int k = 0; k < 2; k++) {
        kt_dev->info.threads = 1 + k;
        optimiser o = run(kt_dev, &q, true, true, 3, (dlf_sgd_args){0.9, 0.01});
        got[k] = malloc(P * N * sizeof *got[k]);
        assert_non_null(got[k]);
        OK(dlf_tensor_download(got[k], &o.w));
        optimiser_free(&o);
    }
    kt_dev->info.threads = threads;
    assert_memory_equal(got[0], got[1], P * N * sizeof *got[0]);
    free(got[0]), free(got[1]), problem_free(&q);
}

/* Learning rate 0, of either sign: not a bit of w and v changes, whatever the gradient; the members
 * beside it are what they are without it. */
static void frozen_members_stay(void **state)
{
    (void)state;
    enum { P = 4, N = 37 };
    const float lr[P] = {0.1f, 0.0f, -0.0f, 0.2f}, s[P] = {1.0f, NAN, 0.0f, 1.0f};
    for (int side = 0; side < 4; side++) {
        dlf_device *dev = side / 2 ? kt_ref : kt_dev;
        const bool velocity = side % 2;
        problem q = problem_of(P, N);
        memcpy(q.lr, lr, sizeof lr), memcpy(q.s, s, sizeof s);
        for (int p = 1; p < 3; p++) {
            q.g[p * N] = NAN, q.g[p * N + 1] = INFINITY;
            q.w[p * N + 2] = -0.0f, q.w[p * N + 3] = INFINITY, q.w[p * N + 4] = NAN;
        }
        const dlf_sgd_args args = {velocity ? 0.9 : 0.0, 0.1};
        optimiser got = run(dev, &q, velocity, true, 3, args);
        float w[P * N], v[P * N];
        OK(dlf_tensor_download(w, &got.w));
        OK(dlf_tensor_download(v, &got.v));
        for (int i = N; i < 3 * N; i++) assert_true(!velocity || (v[i] == 0.0f && !signbit(v[i])));
        for (int i = N; i < 3 * N; i++)
            assert_true(isnan(q.w[i]) ? isnan(w[i]) : memcmp(&w[i], &q.w[i], sizeof *w) == 0);
        for (int p = 0; p < P; p += 3) {
            problem own = {1, N, q.w + p * N, q.g + p * N, q.lr + p, q.s + p};
            optimiser alone = run(dev, &own, velocity, true, 3, args);
            float want[N];
            OK(dlf_tensor_download(want, &alone.w));
            assert_memory_equal(w + p * N, want, sizeof want);
            assert_memory_not_equal(w + p * N, q.w + p * N, sizeof want);
            optimiser_free(&alone);
        }
        optimiser_free(&got), problem_free(&q);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frozen_members_stay),
        cmocka_unit_test(small_case_by_hand),
        cmocka_unit_test(matches_reference),
        cmocka_unit_test(momentum_and_decay_follow_their_series),
        cmocka_unit_test(extremes),
        cmocka_unit_test(strided_misaligned_views),
        cmocka_unit_test(one_operand_is_misaligned),
        cmocka_unit_test(bits_do_not_depend_on_threads),
    };
    kt_open(argc, argv);
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
