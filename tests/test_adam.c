/* SPDX-License-Identifier: MIT
 * test_adam.c -- Adam and AdamW.
 *
 * Tolerances. m and v are weighted sums of terms of one sign of rounding: each step adds a few
 * 2^-24 of the largest term, and 0.999f differs from 0.999 by 2^-26, which makes v wrong by as much
 * per step. The update lr m/sqrt(v) is at most about lr in magnitude (|m_hat| <= sqrt(v_hat) for a
 * constant d), so that w is off by a few 2^-24 (lr + |w|) per step; d = s g + lambda w may cancel,
 * which its effect on m, of order 1, covers: 1e-6 lr. All sums below have terms of order 1. */
#include "optimiser_test.h"

static const double per_step = 5e-7;
static const dlf_adam_args usual = {.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .step = 1};

typedef struct optimiser {
    dlf_tensor w, m, v, g, lr, s;
} optimiser;

static optimiser optimiser_of(dlf_device *dev, const problem *q)
{
    optimiser o = {.w = kt_tensor(dev, q->w, q->P, q->n),
                   .m = kt_tensor(dev, NULL, q->P, q->n),
                   .v = kt_tensor(dev, NULL, q->P, q->n),
                   .g = kt_tensor(dev, q->g, q->P, q->n),
                   .lr = kt_tensor(dev, q->lr, q->P),
                   .s = kt_tensor(dev, q->s, q->P)};
    OK(dlf_tensor_zero(&o.m));
    OK(dlf_tensor_zero(&o.v));
    return o;
}

static void optimiser_free(optimiser *o)
{
    dlf_tensor_free(&o->w), dlf_tensor_free(&o->m), dlf_tensor_free(&o->v);
    dlf_tensor_free(&o->g), dlf_tensor_free(&o->lr), dlf_tensor_free(&o->s);
}

/* `steps` steps from zero moments with one gradient. */
static optimiser run(dlf_device *dev, const problem *q, bool scaled, int steps, dlf_adam_args args)
{
    optimiser o = optimiser_of(dev, q);
    for (int k = 0; k < steps; k++, args.step++)
        OK(dlf_adam_step(&o.w, &o.m, &o.v, &o.g, &o.lr, scaled ? &o.s : NULL, NULL, args));
    return o;
}

/* ---- reference ------------------------------------------------------------------------------ */

static void matches_reference(void **state)
{
    (void)state;
    const int64_t shapes[][2] = {{1, 1}, {3, 7}, {2, 33}, {5, 1009}, {16, 1028}, {2, 8201}};
    dlf_adam_args cases[] = {usual, usual, usual, usual};
    cases[1].weight_decay = 0.1;
    cases[2].weight_decay = 0.1, cases[2].decoupled = true;
    cases[3].beta1 = 0.5, cases[3].beta2 = 0.0, cases[3].eps = 0.01, cases[3].step = 40;
    for (size_t k = 0; k < sizeof shapes / sizeof shapes[0]; k++)
        for (int c = 0; c < 4; c++)
            for (int scaled = 0; scaled < 2; scaled++) {
                problem q = problem_of(shapes[k][0], shapes[k][1]);
                optimiser got = run(kt_dev, &q, scaled, 3, cases[c]);
                optimiser want = run(kt_ref, &q, scaled, 3, cases[c]);
                assert_true(kt_worst(&got.w, &want.w, 3 * per_step, 3e-7) <= 1.0);
                assert_true(kt_worst(&got.m, &want.m, 3 * per_step, 3e-7) <= 1.0);
                assert_true(kt_worst(&got.v, &want.v, 1e-9, 6e-7) <= 1.0);
                optimiser_free(&got), optimiser_free(&want), problem_free(&q);
            }
}

/* Five steps of torch.optim.Adam and AdamW (PyTorch 2.15, float64), lr 0.05, weight_decay 0.1, on
 * the gradient (k+1) w - cos w of step k; also with a g_scale of 1/2 on twice the gradient. */
static void five_steps_as_pytorch(void **state)
{
    (void)state;
    enum { N = 4 };
    static const struct {
        bool decoupled;
        double w[N], m[N], v[N];
    } cases[] = {
        {false,
         {0.76053105345651684, -1.7577788907292449, 0.44200642786033523, 0.35835286095486052},
         {0.9166610603629205, -2.3967062411100755, 0.34163374414392561, 0.095728843220334536},
         {0.026979849082454481, 0.18215531303129165, 0.0050249660278623752, 0.0019610666973675522}},
        {true,
         {0.73995829882825104, -1.7117179256262167, 0.44431443385749747, 0.35946585112455648},
         {0.86108277350162121, -2.2924001228098541, 0.32475169397265391, 0.080735584210220909},
         {0.024052073455092672, 0.16775742563386858, 0.0047881877671611664, 0.0018878826407432803}},
    };
    dlf_device *devices[] = {kt_dev, kt_ref};
    for (int side = 0; side < 2; side++)
        for (int c = 0; c < 2; c++)
            for (int scaled = 0; scaled < 2; scaled++) {
                const bool exact = devices[side]->real == DLF_F64;
                double w[N] = {1.0, -2.0, 0.5, 0.25}, g[N], got[N], lr = 0.05, half = 0.5;
                float start[N] = {1.0f, -2.0f, 0.5f, 0.25f}, one[1] = {1.0f};
                problem q = {1, N, start, start, one, one};
                optimiser o = optimiser_of(devices[side], &q);
                OK(dlf_tensor_upload_f64(&o.lr, &lr));
                OK(dlf_tensor_upload_f64(&o.s, &half));
                dlf_adam_args args = usual;
                args.weight_decay = 0.1;
                args.decoupled = cases[c].decoupled;
                for (int k = 0; k < 5; k++, args.step++) {
                    for (int i = 0; i < N; i++)
                        g[i] = ((k + 1) * w[i] - cos(w[i])) * (scaled ? 2.0 : 1.0);
                    OK(dlf_tensor_upload_f64(&o.g, g));
                    OK(dlf_adam_step(&o.w, &o.m, &o.v, &o.g, &o.lr, scaled ? &o.s : NULL, NULL,
                                     args));
                    OK(dlf_tensor_download_f64(w, &o.w));
                }
                for (int i = 0; i < N; i++)
                    assert_true(fabs(w[i] - cases[c].w[i]) <= (exact ? 1e-14 : 1e-6));
                OK(dlf_tensor_download_f64(got, &o.m));
                for (int i = 0; i < N; i++)
                    assert_true(fabs(got[i] - cases[c].m[i]) <= (exact ? 1e-14 : 2e-6));
                OK(dlf_tensor_download_f64(got, &o.v));
                for (int i = 0; i < N; i++)
                    assert_true(fabs(got[i] - cases[c].v[i]) <=
                                (exact ? 1e-13 : 2e-6) * cases[c].v[i]);
                optimiser_free(&o);
            }
}

/* ---- properties ----------------------------------------------------------------------------- */

/* m_hat = d and v_hat = d^2 at step 1, hence w loses lr sign(d), whatever the size of d: the step
 * does not depend on the scale of the loss. */
static void first_step_is_the_sign(void **state)
{
    (void)state;
    enum { N = 517 };
    for (int scale = -3; scale <= 3; scale++) {
        problem q = problem_of(2, N);
        for (int i = 0; i < 2 * N; i++) {
            q.g[i] = ldexpf(q.g[i], 8 * scale);
            q.w[i] = 0.0f;
        }
        dlf_adam_args args = usual;
        args.eps = 0.0;
        optimiser o = run(kt_dev, &q, false, 1, args);
        float w[2 * N];
        OK(dlf_tensor_download(w, &o.w));
        for (int i = 0; i < 2 * N; i++) {
            const float want = -copysignf(q.lr[i / N], q.g[i]);
            assert_true(fabsf(w[i] - want) <= 5e-7f * fabsf(want));
        }
        optimiser_free(&o), problem_free(&q);
    }
}

/* A constant d: m = d (1-beta1^t), v = d^2 (1-beta2^t), and every step is lr sign(d). */
static void constant_gradient_gives_equal_steps(void **state)
{
    (void)state;
    enum { N = 67, STEPS = 30 };
    problem q = problem_of(1, N);
    for (int i = 0; i < N; i++) q.w[i] = 0.0f;
    dlf_device *devices[] = {kt_dev, kt_ref};
    for (int side = 0; side < 2; side++) {
        dlf_adam_args args = usual;
        args.eps = 0.0;
        optimiser o = run(devices[side], &q, false, STEPS, args);
        double w[N], m[N], v[N];
        OK(dlf_tensor_download_f64(w, &o.w));
        OK(dlf_tensor_download_f64(m, &o.m));
        OK(dlf_tensor_download_f64(v, &o.v));
        for (int i = 0; i < N; i++) {
            const double g = q.g[i], want = -STEPS * copysign(q.lr[0], g);
            assert_true(fabs(w[i] - want) <= 5e-6 * fabs(want));
            assert_true(fabs(m[i] / g - (1.0 - pow(0.9, STEPS))) <= 5e-6);
            assert_true(fabs(v[i] / (g * g * (1.0 - pow(0.999, STEPS))) - 1.0) <= 5e-6);
        }
        optimiser_free(&o);
    }
    problem_free(&q);
}

/* Without gradient AdamW shrinks w by 1 - lr lambda a step, with eps above 0 to divide 0 by. */
static void decay_alone(void **state)
{
    (void)state;
    enum { N = 35, STEPS = 10 };
    problem q = problem_of(3, N);
    for (int i = 0; i < 3 * N; i++) q.g[i] = 0.0f;
    dlf_adam_args args = usual;
    args.weight_decay = 0.5, args.decoupled = true;
    optimiser o = run(kt_dev, &q, false, STEPS, args);
    double w[3 * N];
    OK(dlf_tensor_download_f64(w, &o.w));
    for (int i = 0; i < 3 * N; i++) {
        const double want = q.w[i] * pow(1.0 - 0.5 * (double)q.lr[i / N], STEPS);
        assert_true(fabs(w[i] - want) <= 2e-6 * fabs(want));
    }
    optimiser_free(&o), problem_free(&q);
}

/* ---- extremes ------------------------------------------------------------------------------- */

/* A NaN or Inf gradient changes its own parameter and no other; a NaN g_scale its own member. */
static void what_is_not_finite_stays_where_it_is(void **state)
{
    (void)state;
    enum { P = 3, N = 41 };
    problem q = problem_of(P, N);
    float want[P * N], got[P * N];
    optimiser clean = run(kt_dev, &q, true, 2, usual);
    OK(dlf_tensor_download(want, &clean.w));
    q.g[0 * N + 5] = NAN, q.g[0 * N + 40] = INFINITY, q.s[1] = NAN;
    optimiser o = run(kt_dev, &q, true, 2, usual);
    OK(dlf_tensor_download(got, &o.w));
    for (int i = 0; i < P * N; i++) {
        if (i == 5 || i == 40 || i / N == 1)
            assert_true(isnan(got[i]));
        else
            assert_true(got[i] == want[i]);
    }
    OK(dlf_tensor_download(got, &o.v));
    assert_true(isnan(got[5]) && isnan(got[40]) && isnan(got[N]) && isfinite(got[2 * N]));
    optimiser_free(&clean), optimiser_free(&o), problem_free(&q);
}

/* Values at the ends of the range; d^2 stays within float, or the reference knows more than v. */
static void extremes(void **state)
{
    (void)state;
    enum { N = 16 };
    const float g[N] = {NAN,  INFINITY, -INFINITY, 0.0f,   -0.0f, 1e18f, -1e18f, 1e-15f,
                        1.0f, -2.0f,    3.0f,      -1e-8f, 1e10f, 0.5f,  -7.0f,  1e-12f};
    float w[N];
    for (int i = 0; i < N; i++) w[i] = i % 3 ? 1.0f : i % 2 ? 1e30f : -1e-40f;
    const float lr[] = {0.25f}, scales[] = {1.0f, 0.0f, NAN};
    for (int k = 0; k < 3; k++) {
        const float s[] = {scales[k]};
        problem q = {1, N, w, (float *)g, (float *)lr, (float *)s};
        optimiser got = run(kt_dev, &q, true, 2, usual), want = run(kt_ref, &q, true, 2, usual);
        assert_true(kt_worst(&got.w, &want.w, 2 * per_step, 1e-6) <= 1.0);
        assert_true(kt_worst(&got.m, &want.m, 1e-44, 1e-6) <= 1.0);
        assert_true(kt_worst(&got.v, &want.v, 1e-44, 1e-6) <= 1.0);
        optimiser_free(&got), optimiser_free(&want);
    }
    /* eps 0 and nothing but zeros: 0/0 */
    float zero[] = {0.0f}, one[] = {1.0f}, result;
    problem q = {1, 1, one, zero, one, one};
    dlf_adam_args args = usual;
    args.eps = 0.0;
    optimiser o = run(kt_dev, &q, false, 1, args);
    OK(dlf_tensor_download(&result, &o.w));
    assert_true(isnan(result));
    optimiser_free(&o);
    /* an overflowed v stays infinite and stops its parameter, as in PyTorch */
    float huge[] = {1e30f};
    q = (problem){1, 1, one, huge, one, one};
    o = run(kt_dev, &q, false, 2, usual);
    if (kt_dev->real == DLF_F32) {
        OK(dlf_tensor_download(&result, &o.v));
        assert_true(result == INFINITY);
        OK(dlf_tensor_download(&result, &o.w));
        assert_true(result == 1.0f);
    }
    optimiser_free(&o);
    /* after very many steps the corrections are 1 */
    args = usual;
    args.step = INT64_C(1) << 40;
    q = (problem){1, 1, one, one, one, one}; /* lr 1 */
    o = run(kt_dev, &q, false, 1, args);
    OK(dlf_tensor_download(&result, &o.w));
    assert_true(fabs(result - (1.0 - 0.1 / sqrt(0.001))) <= 2e-6);
    optimiser_free(&o);
}

/* All four as windows of larger rows, each at its own offset; what is around them stays. */
static void strided_misaligned_views(void **state)
{
    (void)state;
    enum { P = 3, N = 133, PITCH = N + 7 };
    const int64_t shape[] = {P, N};
    for (int which = 0; which < 5; which++) { /* the one that is misaligned; 4: all */
        dlf_device *devices[] = {kt_dev, kt_ref};
        dlf_tensor whole[2][4], view[2][4], lr[2];
        float *host[4];
        for (int k = 0; k < 4; k++) {
            host[k] = kt_random(P * (PITCH + 4), 10 + (uint32_t)k, 1.0f, 0.0f);
            for (int i = 0; k == 2 && i < P * (PITCH + 4); i++) host[k][i] = fabsf(host[k][i]);
            const bool odd = which == k || which == 4;
            for (int side = 0; side < 2; side++) {
                whole[side][k] = kt_tensor(devices[side], host[k], P, PITCH + (odd ? 1 : 0));
                view[side][k] = dlf_tensor_window(&whole[side][k], odd ? k + 1 : 4, 2, shape);
            }
        }
        const float rates[P] = {0.1f, 0.2f, 0.3f};
        dlf_adam_args args = usual;
        args.step = 3;
        for (int side = 0; side < 2; side++) {
            lr[side] = kt_tensor(devices[side], rates, P);
            dlf_tensor *v = view[side];
            OK(dlf_adam_step(&v[0], &v[1], &v[2], &v[3], &lr[side], NULL, NULL, args));
        }
        for (int k = 0; k < 4; k++) {
            assert_true(kt_worst(&whole[0][k], &whole[1][k], per_step, 1e-6) <= 1.0);
            for (int side = 0; side < 2; side++) dlf_tensor_free(&whole[side][k]);
            free(host[k]);
        }
        dlf_tensor_free(&lr[0]), dlf_tensor_free(&lr[1]);
    }
}

static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    enum { P = 3, N = 20004 };
    const int threads = kt_dev->info.threads;
    problem q = problem_of(P, N);
    float *got[2];
    for (int k = 0; k < 2; k++) {
        kt_dev->info.threads = 1 + k;
        optimiser o = run(kt_dev, &q, true, 2, usual);
        got[k] = malloc(P * N * sizeof *got[k]);
        assert_non_null(got[k]);
        OK(dlf_tensor_download(got[k], &o.w));
        optimiser_free(&o);
    }
    kt_dev->info.threads = threads;
    assert_memory_equal(got[0], got[1], P * N * sizeof *got[0]);
    free(got[0]), free(got[1]), problem_free(&q);
}

/* Two members more than 2^31 elements apart give the bits of two neighbours. The memory between
 * them is mapped and never touched; a device that refuses so much is not tested. */
static void far_members(void **state)
{
    (void)state;
    enum { N = 70 };
    const int64_t far = ((int64_t)1 << 31) + 64;
    dlf_tensor arena;
    if (kt_dev->real != DLF_F32 || dlf_tensor_new(&arena, kt_dev, DLF_F32, 2, far) != DLF_OK)
        skip();
    problem q = problem_of(2, N);
    dlf_tensor near[4], view[4], lr = kt_tensor(kt_dev, q.lr, 2);
    for (int k = 0; k < 4; k++) {
        float *host = kt_random(2 * N, 30 + (uint32_t)k, 1.0f, 3.0f);
        near[k] = kt_tensor(kt_dev, host, 2, N);
        view[k] = dlf_tensor_window(&arena, k * 80, 2, (int64_t[]){2, N});
        OK(dlf_tensor_upload(&view[k], host));
        free(host);
    }
    OK(dlf_adam_step(&near[0], &near[1], &near[2], &near[3], &lr, NULL, NULL, usual));
    OK(dlf_adam_step(&view[0], &view[1], &view[2], &view[3], &lr, NULL, NULL, usual));
    for (int k = 0; k < 4; k++) {
        float a[2 * N], b[2 * N];
        OK(dlf_tensor_download(a, &near[k]));
        OK(dlf_tensor_download(b, &view[k]));
        assert_memory_equal(a, b, sizeof a);
        dlf_tensor_free(&near[k]);
    }
    dlf_tensor_free(&arena), dlf_tensor_free(&lr), problem_free(&q);
}

/* ---- clock and freezing --------------------------------------------------------------------- */

/* A step whose number stands on the device gives the bits of one whose number is an
 * argument. */
static void clock_is_the_step(void **state)
{
    (void)state;
    enum { P = 2, N = 37 };
    const int32_t steps[] = {1, 2, 3, 10, 37, 1000, 35000, 1 << 20, INT32_MAX};
    problem q = problem_of(P, N);
    for (size_t k = 0; k < sizeof steps / sizeof steps[0]; k++)
        for (int decoupled = 0; decoupled < 2; decoupled++) {
            dlf_adam_args args = usual;
            args.weight_decay = 0.1, args.decoupled = decoupled;
            double got[4][3][P * N];
            for (int turn = 0; turn < 4; turn++) {
                dlf_device *dev = turn / 2 ? kt_ref : kt_dev;
                const bool by_clock = turn % 2;
                optimiser o = optimiser_of(dev, &q);
                dlf_tensor clock;
                OK(dlf_tensor_new(&clock, dev, DLF_I32, 1));
                OK(dlf_tensor_upload_i32(&clock, &(int32_t){steps[k] - 1}));
                args.step = by_clock ? 0 : steps[k]; /* 0 is not looked at */
                OK(dlf_adam_step(&o.w, &o.m, &o.v, &o.g, &o.lr, &o.s, by_clock ? &clock : NULL,
                                 args));
                OK(dlf_tensor_download_f64(got[turn][0], &o.w));
                OK(dlf_tensor_download_f64(got[turn][1], &o.m));
                OK(dlf_tensor_download_f64(got[turn][2], &o.v));
                dlf_tensor_free(&clock), optimiser_free(&o);
            }
            assert_memory_equal(got[0], got[1], sizeof got[0]);
            assert_memory_equal(got[2], got[3], sizeof got[2]);
        }
    problem_free(&q);
}

/* (1 - beta1^t) and (1 - beta2^t) themselves: with d = 1 and eps 0 the step is
 * lr (1-beta1)/(1-beta1^t) sqrt(1-beta2^t)/sqrt(1-beta2). Three float roundings each way. */
static void corrections_by_the_formula(void **state)
{
    (void)state;
    const double betas[][2] = {{0.9, 0.999}, {0.5, 0.9999}, {0.0, 0.0}, {0.99, 0.999999}};
    const int32_t steps[] = {1, 2, 7, 100, 12345, 1000000};
    for (size_t b = 0; b < sizeof betas / sizeof betas[0]; b++)
        for (size_t k = 0; k < sizeof steps / sizeof steps[0]; k++) {
            float zero[] = {0.0f}, one[] = {1.0f};
            problem q = {1, 1, zero, one, one, one};
            optimiser o = optimiser_of(kt_dev, &q);
            dlf_tensor clock;
            OK(dlf_tensor_new(&clock, kt_dev, DLF_I32, 1));
            OK(dlf_tensor_upload_i32(&clock, &(int32_t){steps[k] - 1}));
            const double b1 = betas[b][0], b2 = betas[b][1], t = steps[k];
            OK(dlf_adam_step(&o.w, &o.m, &o.v, &o.g, &o.lr, NULL, &clock,
                             (dlf_adam_args){.beta1 = b1, .beta2 = b2}));
            double w;
            OK(dlf_tensor_download_f64(&w, &o.w));
            const double want = -(1 - b1) / (1 - pow(b1, t)) * sqrt((1 - pow(b2, t)) / (1 - b2));
            if (fabs(w - want) > 5e-7 * fabs(want))
                fail_msg("beta %g %g, t %g: %.9g not %.9g", b1, b2, t, w, want);
            dlf_tensor_free(&clock), optimiser_free(&o);
        }
}

/* Learning rate 0, of either sign: not a bit of w, m and v changes, whatever the gradient. */
static void frozen_members_stay(void **state)
{
    (void)state;
    enum { P = 4, N = 37 };
    const float lr[P] = {0.1f, 0.0f, -0.0f, 0.2f};
    for (int decoupled = 0; decoupled < 2; decoupled++) {
        problem q = problem_of(P, N);
        memcpy(q.lr, lr, sizeof lr);
        for (int p = 1; p < 3; p++) {
            q.g[p * N] = NAN, q.g[p * N + 1] = INFINITY, q.s[p] = NAN;
            q.w[p * N + 2] = -0.0f, q.w[p * N + 3] = INFINITY, q.w[p * N + 4] = NAN;
        }
        dlf_adam_args args = usual;
        args.weight_decay = 0.1, args.decoupled = decoupled;
        for (int side = 0; side < 2; side++) {
            optimiser o = run(side ? kt_ref : kt_dev, &q, true, 3, args);
            float w[P * N], m[P * N], v[P * N];
            OK(dlf_tensor_download(w, &o.w));
            OK(dlf_tensor_download(m, &o.m));
            OK(dlf_tensor_download(v, &o.v));
            for (int i = 0; i < P * N; i++) {
                const bool moved = i < N || i >= 3 * N;
                assert_true(isnan(q.w[i]) ? isnan(w[i]) : (w[i] != q.w[i]) == moved);
                assert_true((m[i] != 0.0f) == moved && (v[i] != 0.0f) == moved);
                assert_true(moved || isnan(w[i]) || signbit(w[i]) == signbit(q.w[i]));
            }
            optimiser_free(&o);
        }
        problem_free(&q);
    }
}

static void arguments_are_checked(void **state)
{
    (void)state;
    problem q = problem_of(2, 3);
    optimiser o = optimiser_of(kt_dev, &q);
    const dlf_adam_args wrong[] = {
        {.beta1 = 1.0, .beta2 = 0.9, .step = 1},       {.beta1 = 0.9, .beta2 = -0.1, .step = 1},
        {.beta1 = NAN, .beta2 = 0.9, .step = 1},       {.beta2 = 0.9, .eps = -1.0, .step = 1},
        {.beta2 = 0.9, .weight_decay = -1, .step = 1}, {.beta1 = 0.9, .beta2 = 0.9, .step = 0},
    };
    for (size_t k = 0; k < sizeof wrong / sizeof wrong[0]; k++)
        assert_int_equal(dlf_adam_step(&o.w, &o.m, &o.v, &o.g, &o.lr, NULL, NULL, wrong[k]),
                         DLF_ERR_ARG);
    dlf_tensor one = dlf_tensor_slice(&o.m, 0, 1);
    assert_int_equal(dlf_adam_step(&o.w, &one, &o.v, &o.g, &o.lr, NULL, NULL, usual),
                     DLF_ERR_SHAPE);
    assert_int_equal(dlf_adam_step(&o.w, &o.m, &o.v, &o.g, &o.lr, NULL, &o.lr, usual),
                     DLF_ERR_SHAPE);
    optimiser_free(&o), problem_free(&q);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clock_is_the_step),
        cmocka_unit_test(corrections_by_the_formula),
        cmocka_unit_test(frozen_members_stay),
        cmocka_unit_test(five_steps_as_pytorch),
        cmocka_unit_test(matches_reference),
        cmocka_unit_test(first_step_is_the_sign),
        cmocka_unit_test(constant_gradient_gives_equal_steps),
        cmocka_unit_test(decay_alone),
        cmocka_unit_test(what_is_not_finite_stays_where_it_is),
        cmocka_unit_test(extremes),
        cmocka_unit_test(strided_misaligned_views),
        cmocka_unit_test(bits_do_not_depend_on_threads),
        cmocka_unit_test(arguments_are_checked),
        cmocka_unit_test(far_members),
    };
    kt_open(argc, argv);
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
