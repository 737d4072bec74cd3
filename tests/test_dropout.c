/* SPDX-License-Identifier: MIT
 * test_dropout.c -- dropout with a recomputed mask.
 *
 * Tolerances: none where a device computes in float. What is dropped and what is kept follows from
 * dlf_rng_uniform exactly, and the result is one product with 1/(1 - rate) as float gives it. Ref
 * divides in double: within 2^-22 of that. */
#include "kernel_test.h"

static const dlf_rng rng = {0x9876543210abcdefu, 0x08000007u};

/* What the device must give, bit for bit (ref: what float would give). */
static float expected(float x, float rate, uint32_t member, uint64_t draw, bool rescale)
{
    const float keep = rescale ? 1.0f / (1.0f - rate) : 1.0f;
    return x * (dlf_rng_uniform(rng.seed, rng.stream, member, draw) < rate ? 0.0f : keep);
}

static bool same(float got, float want)
{
    if (isnan(got) || isnan(want)) return isnan(got) && isnan(want);
    if (kt_dev->real == DLF_F64) return got == want || fabs(got - want) <= 0x1p-22 * fabs(want);
    return memcmp(&got, &want, sizeof got) == 0;
}

static void upload_ids(dlf_tensor *t, const int32_t *ids, int64_t P)
{
    OK(dlf_tensor_new(t, kt_dev, DLF_I32, P));
    OK(dlf_tensor_upload_i32(t, ids));
}

/* ---- reference: every element, for odd sizes, offsets, runs and views ------------------------ */

typedef struct layout {
    int64_t x_gap, y_gap; /* before each member; the pitch is n + 2 gap */
    bool in_place, named;
} layout;

static void compare(int64_t P, int64_t n, uint64_t first, int64_t run, bool rescale, layout l)
{
    const int64_t x_pitch = n + 2 * l.x_gap, y_pitch = l.in_place ? x_pitch : n + 2 * l.y_gap;
    const int64_t y_gap = l.in_place ? l.x_gap : l.y_gap, shape[] = {P, n};
    float *x = kt_random(P * x_pitch, 1, 1.0f, 0.0f), *rates = malloc((size_t)P * sizeof *rates);
    float *got = malloc((size_t)(P * y_pitch) * sizeof *got);
    int32_t *ids = malloc((size_t)P * sizeof *ids);
    assert_true(rates && got && ids);
    for (int64_t p = 0; p < P; p++) {
        rates[p] = (float)(p + 1) / (float)(P + 2);
        ids[p] = l.named ? (int32_t)(1000000007 * (p + 1) % 5003) - 2000 : (int32_t)p;
    }
    dlf_tensor xt = kt_tensor(kt_dev, x, P, x_pitch), rate = kt_tensor(kt_dev, rates, P);
    dlf_tensor yt = kt_tensor(kt_dev, NULL, P, y_pitch), member = {0};
    if (l.named) upload_ids(&member, ids, P);
    dlf_tensor xv = dlf_tensor_window(&xt, l.x_gap, 2, shape);
    dlf_tensor yv = l.in_place ? xv : dlf_tensor_window(&yt, l.y_gap, 2, shape);
    const dlf_dropout args = {rng, first, 0, run, rescale};
    OK(dlf_dropout_apply(&yv, &xv, l.named ? &member : NULL, &rate, NULL, args));
    OK(dlf_tensor_download(got, l.in_place ? &xt : &yt));
    for (int64_t p = 0; p < P; p++)
        for (int64_t i = -y_gap; i < n + y_gap; i++) {
            const float g = got[p * y_pitch + y_gap + i];
            float want = l.in_place ? x[p * x_pitch + l.x_gap + i] : NAN; /* outside: as before */
            if (i >= 0 && i < n)
                want = expected(x[p * x_pitch + l.x_gap + i], rates[p], (uint32_t)ids[p],
                                first + (uint64_t)(i / run), rescale);
            if (!same(g, want))
                fail_msg("P %lld n %lld first %llu run %lld: [%lld,%lld] is %.9g, not %.9g",
                         (long long)P, (long long)n, (unsigned long long)first, (long long)run,
                         (long long)p, (long long)i, g, want);
        }
    dlf_tensor_free(&xt), dlf_tensor_free(&yt), dlf_tensor_free(&rate), dlf_tensor_free(&member);
    free(x), free(rates), free(got), free(ids);
}

static void every_element(void **state)
{
    (void)state;
    static const int64_t sizes[] = {1, 2, 3, 4, 5, 7, 16, 33, 63, 65, 1000, 2047, 2053};
    int variant = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (uint64_t first = 0; first < 5; first++, variant++)
            compare(1 + variant % 3, sizes[i], first + (variant % 2 ? 0 : 1000000000001u), 1,
                    variant % 2,
                    (layout){variant % 5, variant % 4, variant % 3 == 1, variant % 7 < 3});
    compare(2, 20011, 3, 1, true, (layout){0, 0, false, true}); /* several pieces per member */
    compare(3, 9000, 4, 1, true, (layout){4, 0, false, false});
}

static void runs_of_elements(void **state)
{
    (void)state;
    static const int64_t runs[] = {2, 3, 4, 5, 7, 8, 15, 16, 17, 49, 100, 5000};
    int variant = 0;
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++)
        for (uint64_t first = 0; first < 4; first++, variant++)
            compare(1 + variant % 2, 300 + 7 * variant, first, runs[i], variant % 2,
                    (layout){variant % 5, variant % 4, variant % 3 == 1, variant % 2});
    compare(2, 20011, 5, 3, true, (layout){0, 0, false, true});
    compare(2, 20011, 6, 49, true, (layout){0, 0, false, true});
    compare(1, 10, 7, INT64_C(1) << 40, true, (layout){0, 0, false, false});
}

/* ---- properties ----------------------------------------------------------------------------- */

/* The mask as 0 and 1: dropout of ones without rescaling. */
static void masks(float *out, int64_t P, int64_t n, const float *rates, const int32_t *ids,
                  dlf_dropout args)
{
    float *ones = malloc((size_t)(P * n) * sizeof *ones);
    assert_non_null(ones);
    for (int64_t i = 0; i < P * n; i++) ones[i] = 1.0f;
    dlf_tensor x = kt_tensor(kt_dev, ones, P, n), rate = kt_tensor(kt_dev, rates, P), member = {0};
    if (ids) upload_ids(&member, ids, P);
    OK(dlf_dropout_apply(&x, &x, ids ? &member : NULL, &rate, NULL, args));
    OK(dlf_tensor_download(out, &x));
    dlf_tensor_free(&x), dlf_tensor_free(&rate), dlf_tensor_free(&member);
    free(ones);
}

/* Kept: binomial, so within 5 standard deviations of 1 - rate; with rescale the mean of ones is 1
 * within 5 sigma as well. Two members agree as often as independent ones would. */
static void keeps_the_right_fraction(void **state)
{
    (void)state;
    enum { P = 5, N = 40000 };
    const float rates[P] = {0.1f, 0.5f, 0.5f, 0.9f, 0.999f};
    float *mask = malloc(2 * P * N * sizeof *mask);
    assert_non_null(mask);
    masks(mask, P, N, rates, NULL, (dlf_dropout){rng, 0, 0, 1, false});
    masks(mask + P * N, P, N, rates, NULL, (dlf_dropout){rng, 0, 0, 1, true});
    for (int p = 0; p < P; p++) {
        double kept = 0.0, mean = 0.0;
        for (int i = 0; i < N; i++) kept += mask[p * N + i], mean += mask[(P + p) * N + i] / N;
        const double q = 1.0 - rates[p], sigma = sqrt(q * rates[p] / N);
        assert_true(fabs(kept / N - q) <= 5.0 * sigma);
        assert_true(fabs(mean - 1.0) <= 5.0 * sigma / q);
    }
    int agree = 0;
    for (int i = 0; i < N; i++) agree += mask[N + i] == mask[2 * N + i];
    assert_true(fabs((double)agree / N - 0.5) <= 5.0 * sqrt(0.25 / N));
    free(mask);
}

/* first = n continues where first = 0 stopped, also when n is not a multiple of four. */
static void streams_continue(void **state)
{
    (void)state;
    enum { N = 1031 };
    const float rates[] = {0.5f, 0.5f};
    const int32_t ids[] = {3, 4};
    float whole[2 * 2 * N], head[2 * N], tail[2 * N];
    masks(whole, 2, 2 * N, rates, ids, (dlf_dropout){rng, 0, 0, 1, false});
    masks(head, 2, N, rates, ids, (dlf_dropout){rng, 0, 0, 1, false});
    masks(tail, 2, N, rates, ids, (dlf_dropout){rng, N, 0, 1, false});
    int differ = 0;
    for (int p = 0; p < 2; p++)
        for (int i = 0; i < N; i++) {
            assert_true(head[p * N + i] == whole[p * 2 * N + i]);
            assert_true(tail[p * N + i] == whole[p * 2 * N + N + i]);
            differ += head[p * N + i] != tail[p * N + i];
        }
    assert_true(abs(differ - N) <= 5 * 23); /* 2N coins: sigma = sqrt(2N)/2 = 23 */
}

/* A member's mask depends on its number, not on its place or on who else is there. */
static void population_is_a_set_of_members(void **state)
{
    (void)state;
    enum { N = 129 };
    const float rates[] = {0.3f, 0.3f, 0.3f};
    const int32_t ids[] = {0, 1, 2}, turned[] = {2, 0, 1};
    float a[3 * N], b[3 * N], c[N];
    masks(a, 3, N, rates, NULL, (dlf_dropout){rng, 8, 0, 1, false});
    masks(b, 3, N, rates, turned, (dlf_dropout){rng, 8, 0, 1, false});
    masks(c, 1, N, rates, ids + 1, (dlf_dropout){rng, 8, 0, 1, false});
    assert_memory_equal(b, a + 2 * N, N * sizeof *a);
    assert_memory_equal(b + N, a, 2 * N * sizeof *a);
    assert_memory_equal(c, a + N, N * sizeof *a);
    assert_memory_not_equal(a, a + N, N * sizeof *a);
    masks(b, 3, N, rates, NULL, (dlf_dropout){{rng.seed + 1, rng.stream}, 8, 0, 1, false});
    assert_memory_not_equal(a, b, N * sizeof *a);
    masks(b, 3, N, rates, NULL, (dlf_dropout){{rng.seed, rng.stream + 1}, 8, 0, 1, false});
    assert_memory_not_equal(a, b, N * sizeof *a);
}

/* y = M x is linear with a diagonal M, hence its own transpose: <dy, M x> = <M dy, x> exactly,
 * term by term, when all numbers are small integers. */
static void is_its_own_backward(void **state)
{
    (void)state;
    enum { N = 517 };
    float x[N], dy[N], y[N], dx[N];
    for (int i = 0; i < N; i++) x[i] = (float)(i % 13 - 6), dy[i] = (float)(i * i % 17 - 8);
    const float rates[] = {0.5f}; /* 1/(1-rate) = 2 is exact */
    dlf_tensor tx = kt_tensor(kt_dev, x, 1, N), tdy = kt_tensor(kt_dev, dy, 1, N);
    dlf_tensor rate = kt_tensor(kt_dev, rates, 1);
    const dlf_dropout args = {rng, 21, 0, 1, true};
    OK(dlf_dropout_apply(&tx, &tx, NULL, &rate, NULL, args));
    OK(dlf_dropout_apply(&tdy, &tdy, NULL, &rate, NULL, args));
    OK(dlf_tensor_download(y, &tx));
    OK(dlf_tensor_download(dx, &tdy));
    double forward = 0.0, backward = 0.0;
    for (int i = 0; i < N; i++) {
        assert_true((y[i] == 0.0f || y[i] == 2.0f * x[i]) && dy[i] * y[i] == dx[i] * x[i]);
        forward += dy[i] * y[i], backward += dx[i] * x[i];
    }
    assert_true(forward == backward && forward != 0.0);
    dlf_tensor_free(&tx), dlf_tensor_free(&tdy), dlf_tensor_free(&rate);
}

/* With a clock the first draw is first + stride clock[0]: the mask of a later step, beyond 2^32
 * draws too. */
static void clock_moves_the_first_draw(void **state)
{
    (void)state;
    enum { P = 2, N = 101 };
    const struct {
        uint64_t first, stride;
        int32_t clock;
    } cases[] = {
        {5, 101, 0}, {5, 101, 1}, {5, 101, 7}, {0, 4, 12}, {3, UINT64_C(1) << 33, 1000003}};
    const float rates[P] = {0.3f, 0.6f};
    float ones[P * N], got[P * N], want[P * N];
    for (int i = 0; i < P * N; i++) ones[i] = 1.0f;
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++)
        for (int side = 0; side < 4; side++) {
            dlf_device *dev = side / 2 ? kt_ref : kt_dev;
            const int64_t run = side % 2 ? 3 : 1;
            dlf_tensor x = kt_tensor(dev, ones, P, N), rate = kt_tensor(dev, rates, P), clock;
            OK(dlf_tensor_new(&clock, dev, DLF_I32, 1));
            OK(dlf_tensor_upload_i32(&clock, &cases[k].clock));
            OK(dlf_dropout_apply(&x, &x, NULL, &rate, &clock,
                                 (dlf_dropout){rng, cases[k].first, cases[k].stride, run, false}));
            OK(dlf_tensor_download(got, &x));
            masks(want, P, N, rates, NULL,
                  (dlf_dropout){rng, cases[k].first + cases[k].stride * (uint64_t)cases[k].clock,
                                /* not looked at without a clock */ 99, run, false});
            if (dev == kt_ref && cases[k].clock == 0) { /* nor there */
                OK(dlf_tensor_upload(&x, ones));
                OK(dlf_dropout_apply(&x, &x, NULL, &rate, NULL,
                                     (dlf_dropout){rng, cases[k].first, 99, run, false}));
                OK(dlf_tensor_download(got, &x));
            }
            assert_memory_equal(got, want, sizeof got);
            dlf_tensor_free(&x), dlf_tensor_free(&rate), dlf_tensor_free(&clock);
        }
}

/* ---- extremes ------------------------------------------------------------------------------- */

static void rates_at_the_ends(void **state)
{
    (void)state;
    enum { N = 67, P = 5 };
    const float odd[] = {NAN, INFINITY, -INFINITY, -0.0f, 1e-45f, -1e38f, 0.0f};
    float x[P * N], y[P * N];
    for (int i = 0; i < P * N; i++) x[i] = i % N < 7 ? odd[i % N] : (float)(i + 1);
    const float rates[P] = {0.0f, 1.0f, NAN, 1e-45f, 0x1.fffffep-1f};
    for (int rescale = 0; rescale < 2; rescale++) {
        dlf_tensor t = kt_tensor(kt_dev, x, P, N), rate = kt_tensor(kt_dev, rates, P);
        OK(dlf_dropout_apply(&t, &t, NULL, &rate, NULL, (dlf_dropout){rng, 2, 0, 1, rescale}));
        OK(dlf_tensor_download(y, &t));
        for (int i = 0; i < N; i++) {
            const float *row = x + i;
            if (i) assert_memory_equal(y + i, row, sizeof *y); /* rate 0: the same bits */
            assert_true(isfinite(row[N]) ? y[N + i] == 0.0f : isnan(y[N + i]));
            assert_true(!signbit(y[N + i]) == !signbit(row[N]) || isnan(y[N + i]));
            assert_true(isnan(y[2 * N + i]));
            assert_true(
                same(y[3 * N + i], expected(row[3 * N], rates[3], 3, 2 + (uint64_t)i, rescale)));
            assert_true(
                same(y[4 * N + i], expected(row[4 * N], rates[4], 4, 2 + (uint64_t)i, rescale)));
        }
        assert_true(isnan(y[0]));
        dlf_tensor_free(&t), dlf_tensor_free(&rate);
    }
}

/* A rate equal to a draw keeps it, the next float above drops it. */
static void the_edge_of_the_rate(void **state)
{
    (void)state;
    enum { P = 12, N = 9 };
    float at[P], above[P], got[P * N];
    for (int p = 0; p < P; p++) {
        at[p] = dlf_rng_uniform(rng.seed, rng.stream, (uint32_t)p, 7);
        above[p] = nextafterf(at[p], 2.0f);
    }
    masks(got, P, N, at, NULL, (dlf_dropout){rng, 3, 0, 1, false});
    for (int p = 0; p < P; p++) assert_true(got[p * N + 4] == 1.0f);
    masks(got, P, N, above, NULL, (dlf_dropout){rng, 3, 0, 1, false});
    for (int p = 0; p < P; p++) assert_true(got[p * N + 4] == 0.0f);
}

/* Draws beyond 2^32 and beyond 2^34 (a block number of more than 32 bits). */
static void far_along_the_stream(void **state)
{
    (void)state;
    compare(2, 300, (UINT64_C(1) << 32) - 150, 1, true, (layout){0, 0, false, false});
    compare(2, 300, (UINT64_C(1) << 34) - 151, 1, true, (layout){1, 1, false, true});
    compare(1, 300, (UINT64_C(1) << 60) + 1, 2, false, (layout){0, 0, true, true});
}

static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    if (strcmp(kt_dev->info.backend, "cpu") != 0) skip();
    const int threads = kt_dev->info.threads;
    for (int k = 1; k <= 3; k++) {
        kt_dev->info.threads = k;
        compare(2, 30001, 5, 1, true, (layout){0, 0, false, true});
        compare(2, 30001, 5, 9, true, (layout){0, 0, false, true});
    }
    /* large enough for stores that bypass the caches, from a start that is not aligned to them */
    compare(1, (INT64_C(32) << 20) / 4 + 77, 3, 1, true, (layout){0, 3, false, false});
    kt_dev->info.threads = threads;
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
    const float rates[] = {0.25f, 0.5f};
    float *x = kt_random(2 * N, 9, 1.0f, 0.0f), got[2 * N];
    dlf_tensor in = dlf_tensor_window(&arena, 0, 2, (int64_t[]){2, N});
    dlf_tensor out = dlf_tensor_window(&arena, 80, 2, (int64_t[]){2, N});
    dlf_tensor rate = kt_tensor(kt_dev, rates, 2);
    OK(dlf_tensor_upload(&in, x));
    OK(dlf_dropout_apply(&out, &in, NULL, &rate, NULL, (dlf_dropout){rng, 6, 0, 1, true}));
    OK(dlf_tensor_download(got, &out));
    for (int i = 0; i < 2 * N; i++)
        assert_true(same(
            got[i], expected(x[i], rates[i / N], (uint32_t)(i / N), 6 + (uint64_t)(i % N), true)));
    dlf_tensor_free(&arena), dlf_tensor_free(&rate);
    free(x);
}

static void arguments_are_checked(void **state)
{
    (void)state;
    dlf_tensor x = kt_tensor(kt_dev, NULL, 3, 4), rate = kt_tensor(kt_dev, NULL, 2);
    dlf_tensor right = kt_tensor(kt_dev, NULL, 3);
    const dlf_dropout args = {rng, 0, 0, 1, true};
    assert_int_equal(dlf_dropout_apply(&x, &x, NULL, &rate, NULL, args), DLF_ERR_SHAPE);
    assert_non_null(strstr(dlf_error_message(), "rate must be"));
    assert_int_equal(dlf_dropout_apply(&x, &x, &right, &right, NULL, args), DLF_ERR_SHAPE);
    assert_int_equal(
        dlf_dropout_apply(&x, &x, NULL, &right, NULL, (dlf_dropout){rng, 0, 0, 0, true}),
        DLF_ERR_ARG);
    assert_int_equal(dlf_dropout_apply(&x, &x, NULL, &right, &right, args), DLF_ERR_SHAPE);
    dlf_tensor_free(&x), dlf_tensor_free(&rate), dlf_tensor_free(&right);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clock_moves_the_first_draw),
        cmocka_unit_test(every_element),
        cmocka_unit_test(runs_of_elements),
        cmocka_unit_test(keeps_the_right_fraction),
        cmocka_unit_test(streams_continue),
        cmocka_unit_test(population_is_a_set_of_members),
        cmocka_unit_test(is_its_own_backward),
        cmocka_unit_test(rates_at_the_ends),
        cmocka_unit_test(the_edge_of_the_rate),
        cmocka_unit_test(far_along_the_stream),
        cmocka_unit_test(bits_do_not_depend_on_threads),
        cmocka_unit_test(arguments_are_checked),
        cmocka_unit_test(far_members),
    };
    kt_open(argc, argv);
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
