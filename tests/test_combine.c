/* SPDX-License-Identifier: MIT
 * test_combine.c -- sums, products and columns.
 *
 * Tolerances. axpby rounds alpha s, its product with x and the sum (cpu: the product with y too),
 * multiply rounds the product and the sum: with terms of a few units, which may cancel, each
 * rounding is off by 2^-24 of a number below 16, together 2e-6. One product alone is off by two
 * roundings of itself. A copy is exact. */
#include "kernel_test.h"

static const double sum_atol = 2e-6, two_roundings = 1.2e-7;

static const int64_t shapes[][3] = {{1, 1, 1},    {1, 1, 7},   {3, 7, 1},
                                    {2, 33, 64},  {5, 3, 343}, {16, 8, 64},
                                    {1, 41, 101}, {3, 10, 26}, {2, 64, 260}};
enum { N_SHAPES = sizeof shapes / sizeof shapes[0] };
static const double betas[] = {0.0, 1.0, -0.7};

/* The same operands on both devices. */
typedef struct pair {
    dlf_tensor t[2];
} pair;

static pair pair_of(const float *host, int ndim, const int64_t *shape)
{
    return (pair){
        {kt_tensor_of(kt_dev, host, ndim, shape), kt_tensor_of(kt_ref, host, ndim, shape)}};
}

static pair random_pair(uint32_t stream, int ndim, const int64_t *shape)
{
    int64_t n = 1;
    for (int i = 0; i < ndim; i++) n *= shape[i];
    float *x = kt_random(n, stream, 1.0f, 0.0f);
    const pair p = pair_of(x, ndim, shape);
    free(x);
    return p;
}

/* What is added to, or NaN where beta 0 must not read it. */
static pair target_of(double beta, int ndim, const int64_t *shape)
{
    return beta == 0.0 ? pair_of(NULL, ndim, shape) : random_pair(9, ndim, shape);
}

static void pair_free(pair *p)
{
    dlf_tensor_free(&p->t[0]), dlf_tensor_free(&p->t[1]);
}

static double worst(const pair *p, double atol)
{
    return kt_worst(&p->t[0], &p->t[1], atol, two_roundings);
}

static void axpby_matches_reference(void **state)
{
    (void)state;
    for (int k = 0; k < N_SHAPES; k++)
        for (int v = 0; v < 24; v++) {
            const double beta = betas[v % 3];
            const bool shared = v / 3 % 2, scaled = v / 6 % 2, in_place = v / 12;
            int64_t x_shape[3] = {shared ? 1 : shapes[k][0], shapes[k][1], shapes[k][2]};
            if (in_place && x_shape[0] != shapes[k][0]) continue;
            pair x = random_pair(1, 3, x_shape), s = random_pair(2, 1, shapes[k]);
            pair y = in_place ? random_pair(1, 3, shapes[k]) : target_of(beta, 3, shapes[k]);
            for (int d = 0; d < 2; d++)
                OK(dlf_axpby(&y.t[d], in_place ? &y.t[d] : &x.t[d], scaled ? &s.t[d] : NULL, -1.3,
                             beta));
            assert_true(worst(&y, beta == 0.0 ? 0.0 : sum_atol) <= 1.0);
            pair_free(&x), pair_free(&s), pair_free(&y);
        }
}

static void multiply_matches_reference(void **state)
{
    (void)state;
    for (int k = 0; k < N_SHAPES; k++)
        for (int v = 0; v < 12; v++) {
            const double beta = betas[v % 3];
            const int alias = v / 3; /* none, a, b, both: the square */
            pair a = random_pair(1, 3, shapes[k]), b = random_pair(2, 3, shapes[k]);
            pair y = alias ? random_pair(3, 3, shapes[k]) : target_of(beta, 3, shapes[k]);
            for (int d = 0; d < 2; d++)
                OK(dlf_multiply(&y.t[d], alias & 1 ? &y.t[d] : &a.t[d],
                                alias & 2 ? &y.t[d] : &b.t[d], beta));
            assert_true(worst(&y, beta == 0.0 ? 0.0 : sum_atol) <= 1.0);
            pair_free(&a), pair_free(&b), pair_free(&y);
        }
}

static void columns_match_reference(void **state)
{
    (void)state;
    /* P, B, N, to, K, from, count */
    const int64_t cases[][7] = {
        {1, 1, 1, 0, 1, 0, 1},      {3, 5, 7, 6, 4, 0, 1},      {2, 33, 8, 4, 12, 4, 4},
        {2, 33, 8, 4, 12, 8, 3},    {2, 17, 64, 16, 32, 0, 32}, {2, 17, 64, 15, 32, 0, 32},
        {2, 17, 64, 16, 32, 1, 28}, {2, 17, 63, 16, 32, 0, 32}, {1, 3, 1400, 100, 1031, 7, 1024},
        {3, 300, 3, 1, 2, 0, 2},    {1, 130, 10, 0, 10, 0, 10}, {2, 9, 64, 16, 30, 4, 24}};
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++)
        for (int b = 0; b < 3; b++) {
            const int64_t *c = cases[k];
            const int64_t y_shape[] = {c[0], c[1], c[2]}, x_shape[] = {c[0], c[1], c[4]};
            pair y = random_pair(1, 3, y_shape), x = random_pair(2, 3, x_shape);
            for (int d = 0; d < 2; d++)
                OK(dlf_copy_columns(&y.t[d], c[3], &x.t[d], c[5], c[6], betas[b]));
            assert_true(worst(&y, betas[b] == 0.0 ? 1e-300 : sum_atol) <= 1.0);
            pair_free(&y), pair_free(&x);
        }
}

static void expect(dlf_tensor *t, const float *want, size_t bytes)
{
    float got[16];
    assert_true(bytes <= sizeof got);
    OK(dlf_tensor_download(got, t));
    assert_memory_equal(got, want, bytes);
    dlf_tensor_free(t);
}

/* Small integers and powers of two: exact in float. */
static void small_cases_by_hand(void **state)
{
    (void)state;
    dlf_device *devices[] = {kt_dev, kt_ref};
    for (int d = 0; d < 2; d++) {
        const float x[] = {1, 2, 3}, y[] = {10, 20, 30, 40, 50, 60}, s[] = {1, -2};
        const float sum[] = {10.5f, 21, 31.5f, 9, 8, 7}; /* y/2 + 5.5 s x, x for both members */
        dlf_tensor tx = kt_tensor(devices[d], x, 1, 3), ty = kt_tensor(devices[d], y, 2, 3);
        dlf_tensor ts = kt_tensor(devices[d], s, 2);
        OK(dlf_axpby(&ty, &tx, &ts, 5.5, 0.5));
        float got[6];
        OK(dlf_tensor_download(got, &ty));
        for (int i = 0; i < 6; i++) assert_true(got[i] == 0.5f * y[i] + 5.5f * s[i / 3] * x[i % 3]);
        assert_true(got[0] == sum[0] && got[3] == sum[3]);
        dlf_tensor_free(&tx), dlf_tensor_free(&ty), dlf_tensor_free(&ts);

        const float a[] = {1, -2, 3, 0.5f}, b[] = {4, 5, 6, 7}, c[] = {1, 1, 1, 2};
        const float fma_[] = {4 - 2, -10 - 2, 18 - 2, 3.5f - 4};
        dlf_tensor ta = kt_tensor(devices[d], a, 2, 2), tb = kt_tensor(devices[d], b, 2, 2);
        dlf_tensor tc = kt_tensor(devices[d], c, 2, 2);
        OK(dlf_multiply(&tc, &ta, &tb, -2.0));
        expect(&tc, fma_, sizeof fma_);
        dlf_tensor_free(&ta), dlf_tensor_free(&tb);

        const float u[] = {1, 2, 3, 4}, v[] = {10, 20, 30, 40, 50, 60, 70, 80};
        const float w[] = {10, 22, 30, 40, 50, 64, 70, 80};
        dlf_tensor tu = kt_tensor(devices[d], u, 1, 2, 2), tv = kt_tensor(devices[d], v, 1, 2, 4);
        OK(dlf_copy_columns(&tv, 1, &tu, 1, 1, 1.0));
        expect(&tv, w, sizeof w);
        dlf_tensor_free(&tu);
    }
}

/* Parts side by side and taken apart again are the parts, bit for bit; what the forward joins the
 * backward of a sum adds up. */
static void parts_join_and_come_back(void **state)
{
    (void)state;
    enum { P = 3, B = 19, A = 5, C = 8 };
    float *x = kt_random(P * B * A, 1, 1.0f, 0.0f), *z = kt_random(P * B * C, 2, 1.0f, 0.0f);
    float *got = malloc(sizeof *got * P * B * C);
    assert_non_null(got);
    dlf_tensor tx = kt_tensor(kt_dev, x, P, B, A), tz = kt_tensor(kt_dev, z, P, B, C);
    dlf_tensor both = kt_tensor(kt_dev, NULL, P, B, A + C);
    OK(dlf_copy_columns(&both, 0, &tx, 0, A, 0.0));
    OK(dlf_copy_columns(&both, A, &tz, 0, C, 0.0));
    OK(dlf_tensor_zero(&tx));
    OK(dlf_copy_columns(&tx, 0, &both, 0, A, 0.0));
    OK(dlf_copy_columns(&tz, 0, &both, A, C, 1.0));
    OK(dlf_tensor_download(got, &tx));
    assert_memory_equal(got, x, sizeof *x * P * B * A);
    OK(dlf_tensor_download(got, &tz));
    for (int i = 0; i < P * B * C; i++) assert_true(got[i] == 2.0f * z[i]);
    dlf_tensor_free(&tx), dlf_tensor_free(&tz), dlf_tensor_free(&both);
    free(x), free(z), free(got);
}

/* On numbers of NaN, Inf and denormals every device does what the formula does; beta 0 hides what
 * was there, alpha 0 hides nothing. */
static void extremes(void **state)
{
    (void)state;
    const float tiny = 0x1p-149f, most = 3.4e38f;
    const float u[] = {NAN,  1,    INFINITY, -INFINITY, INFINITY, 0,
                       tiny, most, tiny,     0x1p-126f, -0.0f};
    const float v[] = {1, NAN, 1, INFINITY, 0, -0.0f, 1, most, 0x1p100f, 0.5f, 2};
    enum { N = sizeof u / sizeof u[0] };
    const int64_t shape[] = {1, N, 1};
    for (int k = 0; k < 6; k++) {
        const double alpha = k % 2, beta = betas[k / 2];
        float want[N], got[N];
        pair a = pair_of(u, 3, shape), b = pair_of(v, 3, shape);
        OK(dlf_axpby(&b.t[0], &a.t[0], NULL, alpha, beta));
        OK(dlf_tensor_download(got, &b.t[0]));
        for (int i = 0; i < N; i++) {
            want[i] = (float)alpha * u[i];
            if (beta != 0.0) want[i] += (float)beta * v[i];
            if (kt_dev->real == DLF_F32)
                assert_true(got[i] == want[i] || (isnan(got[i]) && isnan(want[i])) ||
                            fabsf(got[i] - want[i]) <= 2e-7f * fabsf(want[i]));
        }
        pair_free(&b);
        b = pair_of(v, 3, shape);
        OK(dlf_multiply(&b.t[0], &a.t[0], &b.t[0], 0.0));
        OK(dlf_tensor_download(got, &b.t[0]));
        for (int i = 0; i < N; i++) {
            const float product = u[i] * v[i];
            if (kt_dev->real == DLF_F32)
                assert_true(got[i] == product || (isnan(got[i]) && isnan(product)));
        }
        OK(dlf_copy_columns(&b.t[0], 0, &a.t[0], 0, 1, 0.0));
        OK(dlf_tensor_download(got, &b.t[0]));
        for (int i = 0; i < N; i++)
            assert_true(isnan(u[i]) ? isnan(got[i])
                                    : got[i] == u[i] && signbit(got[i]) == signbit(u[i]));
        pair_free(&a), pair_free(&b);
    }
}

/* Each operand alone at an odd address and with gaps between members; what is around y stays. */
static void strided_misaligned_views(void **state)
{
    (void)state;
    enum { P = 3, B = 4, N = 8, PITCH = B * N + 5, ALL = P * PITCH };
    const int64_t shape[] = {P, B, N};
    for (int op = 0; op < 3; op++)
        for (int odd = 0; odd < 8; odd++) {
            float *host[3], got[ALL], dense[P * B * N];
            dlf_tensor arena[3], t[3], same[3];
            for (int k = 0; k < 3; k++) {
                host[k] = kt_random(ALL, (uint32_t)k + 1, 1.0f, 0.0f);
                arena[k] = kt_tensor(kt_dev, host[k], P, PITCH);
                t[k] = dlf_tensor_window(&arena[k], odd >> k & 1 ? 3 : 0, 3, shape);
                if (!(odd >> k & 1)) t[k].stride = PITCH - 1; /* a multiple of 4 */
                same[k] = kt_tensor(kt_dev, NULL, P, B, N);
                OK(dlf_tensor_copy(&same[k], &t[k]));
            }
            for (int side = 0; side < 2; side++) {
                dlf_tensor *x = side ? same : t;
                if (op == 0) OK(dlf_axpby(&x[0], &x[1], NULL, 0.5, 0.25));
                if (op == 1) OK(dlf_multiply(&x[0], &x[1], &x[2], 0.25));
                if (op == 2) OK(dlf_copy_columns(&x[0], 4, &x[1], 0, 4, 0.25));
            }
            OK(dlf_tensor_download(got, &arena[0]));
            OK(dlf_tensor_download(dense, &same[0]));
            const int64_t offset = odd & 1 ? 3 : 0;
            bool inside[ALL] = {false};
            for (int p = 0; p < P; p++)
                for (int i = 0; i < B * N; i++) {
                    const int64_t at = offset + p * t[0].stride + i;
                    inside[at] = true;
                    assert_true(got[at] == dense[p * B * N + i]);
                }
            for (int i = 0; i < ALL; i++) assert_true(inside[i] || got[i] == host[0][i]);
            for (int k = 0; k < 3; k++) {
                dlf_tensor_free(&arena[k]), dlf_tensor_free(&same[k]);
                free(host[k]);
            }
        }
}

/* Results beyond the caches take another way on cpu, and must not depend on it or on threads. */
static void large_results_and_threads(void **state)
{
    (void)state;
    if (strcmp(kt_dev->info.backend, "cpu") != 0) skip();
    enum { N = (8 << 20) + 4099 };
    const int threads = kt_dev->info.threads;
    float *u = kt_random(N, 1, 1.0f, 0.0f), *got = malloc(sizeof *got * N);
    assert_non_null(got);
    for (int k = 0; k < 2; k++) {
        kt_dev->info.threads = 1 + 2 * k;
        dlf_tensor x = kt_tensor(kt_dev, u, 1, N), y = kt_tensor(kt_dev, NULL, 1, N);
        OK(dlf_axpby(&y, &x, NULL, 3.0, 0.0));
        OK(dlf_tensor_download(got, &y));
        for (int i = 0; i < N; i++) assert_true(got[i] == 3.0f * u[i]);
        OK(dlf_multiply(&y, &x, &x, 0.0));
        OK(dlf_tensor_download(got, &y));
        for (int i = 0; i < N; i++) assert_true(got[i] == u[i] * u[i]);
        dlf_tensor_free(&x), dlf_tensor_free(&y);
    }
    kt_dev->info.threads = threads;
    free(u), free(got);
}

static void wrong_operands_are_refused(void **state)
{
    (void)state;
    dlf_tensor y = kt_tensor(kt_dev, NULL, 2, 3, 4), x = kt_tensor(kt_dev, NULL, 2, 3, 4);
    dlf_tensor one = kt_tensor(kt_dev, NULL, 1, 3, 4), wide = kt_tensor(kt_dev, NULL, 2, 3, 5);
    dlf_tensor s = kt_tensor(kt_dev, NULL, 3), first = dlf_tensor_slice(&y, 0, 1);
    dlf_tensor flat = dlf_tensor_reshape(&y, 2, (const int64_t[]){2, 12});
    assert_int_equal(dlf_axpby(&y, &wide, NULL, 1.0, 0.0), DLF_ERR_SHAPE);
    assert_int_equal(dlf_axpby(&y, &x, &s, 1.0, 0.0), DLF_ERR_SHAPE);
    assert_int_equal(dlf_axpby(&one, &x, NULL, 1.0, 0.0), DLF_ERR_SHAPE);
    assert_int_equal(dlf_axpby(&y, &first, NULL, 1.0, 0.0), DLF_ERR_SHAPE); /* shared and written */
    assert_non_null(strstr(dlf_error_message(), "overlap"));
    assert_int_equal(dlf_multiply(&y, &x, &one, 0.0), DLF_ERR_SHAPE);
    assert_int_equal(dlf_multiply(&y, &wide, &x, 0.0), DLF_ERR_SHAPE);
    const int64_t wrong[][3] = {{0, 0, 0}, {0, 0, -1}, {-1, 0, 2}, {0, -1, 2}, {3, 0, 2},
                                {0, 4, 2}, {0, 0, 5},  {1, 0, 4},  {0, 2, 4},  {1, 1, INT64_MAX}};
    for (size_t k = 0; k < sizeof wrong / sizeof wrong[0]; k++) {
        assert_int_equal(dlf_copy_columns(&y, wrong[k][0], &wide, wrong[k][1], wrong[k][2], 0.0),
                         DLF_ERR_SHAPE);
        assert_non_null(strstr(dlf_error_message(), "columns do not fit"));
    }
    assert_int_equal(dlf_copy_columns(&y, 0, &y, 2, 2, 0.0), DLF_ERR_SHAPE);
    assert_int_equal(dlf_copy_columns(&y, 0, &one, 0, 2, 0.0), DLF_ERR_SHAPE);
    assert_int_equal(dlf_copy_columns(&flat, 0, &flat, 0, 2, 0.0), DLF_ERR_SHAPE);
    OK(dlf_copy_columns(&y, 3, &wide, 4, 1, 0.0));
    dlf_tensor_free(&y), dlf_tensor_free(&x), dlf_tensor_free(&one), dlf_tensor_free(&wide);
    dlf_tensor_free(&s);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_cases_by_hand),        cmocka_unit_test(axpby_matches_reference),
        cmocka_unit_test(multiply_matches_reference), cmocka_unit_test(columns_match_reference),
        cmocka_unit_test(parts_join_and_come_back),   cmocka_unit_test(extremes),
        cmocka_unit_test(strided_misaligned_views),   cmocka_unit_test(large_results_and_threads),
        cmocka_unit_test(wrong_operands_are_refused),
    };
    kt_open(argc, argv);
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
