/* SPDX-License-Identifier: MIT
 * test_gemm.c -- matrix products against the definition, on every shape class that a kernel treats
 * differently: one, below, at and above a register block, a tile, a depth block and a BLAS size. */
#include "kernel_test.h"

typedef struct shape {
    int64_t P, M, N, K;
} shape;

static const shape small[] = {
    {1, 1, 1, 1},    {2, 1, 1, 7},    {1, 1, 5, 1},    {3, 5, 1, 4},    {1, 1, 33, 17},
    {2, 2, 3, 5},    {3, 4, 16, 8},   {2, 6, 17, 31},  {5, 7, 10, 13},  {1, 12, 32, 16},
    {2, 13, 33, 15}, {1, 64, 64, 16}, {4, 65, 63, 17}, {1, 97, 31, 29}, {2, 11, 48, 257},
};
static const shape large[] = {
    {1, 64, 64, 64},   {3, 100, 10, 300}, {1, 193, 131, 263}, {2, 96, 530, 40},
    {1, 37, 61, 1031}, {16, 64, 64, 64},  {1, 500, 1, 300},   {1, 1, 500, 300},
};

/* One product on both devices. pa, pb: members of a and b (1 = broadcast). */
static void compare(shape s, int64_t pa, int64_t pb, dlf_gemm_args args)
{
    float *a = kt_random(pa * s.M * s.K, 1, 1.0f, 0.0f);
    float *b = kt_random(pb * s.K * s.N, 2, 1.0f, 0.0f);
    float *c = kt_random(s.P * s.M * s.N, 3, 1.0f, 0.0f);
    dlf_tensor ta[2], tb[2], tc[2];
    dlf_device *devices[2] = {kt_dev, kt_ref};
    for (int d = 0; d < 2; d++) {
        ta[d] = args.trans_a ? kt_tensor(devices[d], a, pa, s.K, s.M)
                             : kt_tensor(devices[d], a, pa, s.M, s.K);
        tb[d] = args.trans_b ? kt_tensor(devices[d], b, pb, s.N, s.K)
                             : kt_tensor(devices[d], b, pb, s.K, s.N);
        tc[d] = kt_tensor(devices[d], args.beta == 0.0 ? NULL : c, s.P, s.M, s.N);
        OK(dlf_gemm(&tc[d], &ta[d], &tb[d], args));
    }
    /* A sum of K products of unit normals has size sqrt(K); each of its K roundings is below
     * eps/2 sqrt(K), their random sum below eps/2 K. Six of these for the worst of many elements,
     * one eps each for alpha, beta and c. */
    const double eps = ldexp(1.0, -23);
    const double atol = fabs(args.alpha) * 3.0 * eps * (double)s.K + 4.0 * eps;
    const double worst = kt_worst(&tc[0], &tc[1], atol, 4.0 * eps);
    if (!(worst <= 1.0))
        fail_msg("P %lld M %lld N %lld K %lld pa %lld pb %lld %c%c alpha %g beta %g: %.3g",
                 (long long)s.P, (long long)s.M, (long long)s.N, (long long)s.K, (long long)pa,
                 (long long)pb, args.trans_a ? 'T' : 'N', args.trans_b ? 'T' : 'N', args.alpha,
                 args.beta, worst);
    for (int d = 0; d < 2; d++) {
        dlf_tensor_free(&tc[d]);
        dlf_tensor_free(&tb[d]);
        dlf_tensor_free(&ta[d]);
    }
    free(c);
    free(b);
    free(a);
}

static void all_transposes(shape s, int64_t pa, int64_t pb, double alpha, double beta)
{
    for (int t = 0; t < 4; t++)
        compare(s, pa, pb,
                (dlf_gemm_args){.trans_a = t & 1, .trans_b = t & 2, .alpha = alpha, .beta = beta});
}

static void reference(void **state)
{
    for (size_t i = 0; i < sizeof small / sizeof small[0]; i++) {
        const shape s = small[i];
        all_transposes(s, s.P, s.P, 1.0, 0.0);
        all_transposes(s, s.P, s.P, -0.5, 2.0);
        all_transposes(s, 1, s.P, 1.0, 1.0);
        all_transposes(s, s.P, 1, 3.0, 0.0);
        all_transposes(s, 1, 1, 1.0, 0.0);
    }
    for (size_t i = 0; i < sizeof large / sizeof large[0] && !kt_in_bed(); i++) {
        all_transposes(large[i], large[i].P, large[i].P, 1.0, 0.0);
        all_transposes(large[i], large[i].P, large[i].P, 2.0, -1.0);
    }
}

/* A size at which the cpu device calls BLAS, if it has one: against the exact integer product. */
static void large_product(void **state)
{
    if (kt_in_bed()) skip();
    enum { M = 515, N = 513, K = 517 };
    float *a = malloc(sizeof(float) * M * K), *b = malloc(sizeof(float) * K * N);
    float *c = malloc(sizeof(float) * M * N);
    assert_true(a && b && c);
    for (int t = 0; t < 4; t++) {
        const bool trans_a = t & 1, trans_b = t & 2;
        /* a(i,k) = (i+k)%3 - 1, b(k,j) = (k+2j)%5 - 2: sums stay far below 2^24, so are exact. */
        for (int i = 0; i < M; i++)
            for (int k = 0; k < K; k++)
                a[trans_a ? k * M + i : i * K + k] = (float)((i + k) % 3 - 1);
        for (int k = 0; k < K; k++)
            for (int j = 0; j < N; j++)
                b[trans_b ? j * K + k : k * N + j] = (float)((k + 2 * j) % 5 - 2);
        dlf_tensor ta = trans_a ? kt_tensor(kt_dev, a, 1, K, M) : kt_tensor(kt_dev, a, 1, M, K);
        dlf_tensor tb = trans_b ? kt_tensor(kt_dev, b, 1, N, K) : kt_tensor(kt_dev, b, 1, K, N);
        dlf_tensor tc = kt_tensor(kt_dev, NULL, 1, M, N);
        OK(dlf_gemm(&tc, &ta, &tb, (dlf_gemm_args){trans_a, trans_b, 1.0, 0.0}));
        OK(dlf_tensor_download(c, &tc));
        int sums[3][5]; /* c(i,j) depends on i mod 3 and 2j mod 5 only */
        for (int i = 0; i < 3; i++)
            for (int j = 0; j < 5; j++) {
                sums[i][j] = 0;
                for (int k = 0; k < K; k++) sums[i][j] += ((i + k) % 3 - 1) * ((k + j) % 5 - 2);
            }
        for (int i = 0; i < M; i++)
            for (int j = 0; j < N; j++)
                if (c[i * N + j] != (float)sums[i % 3][2 * j % 5])
                    fail_msg("%d: c[%d,%d] is %g, want %d", t, i, j, c[i * N + j],
                             sums[i % 3][2 * j % 5]);
        dlf_tensor_free(&tc);
        dlf_tensor_free(&tb);
        dlf_tensor_free(&ta);
    }
    free(c);
    free(b);
    free(a);
}

/* The bits must not depend on how many threads there were. */
static void same_bits_for_any_threads(void **state)
{
    if (strcmp(kt_dev->info.backend, "cpu") != 0) skip();
    static const shape shapes[] = {{16, 64, 64, 64},
                                   {3, 100, 70, 300},
                                   {1, 300, 500, 70},
                                   {1, 520, 530, 600},
                                   {7, 13, 1, 2000}};
    const int threads = kt_dev->info.threads;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (int t = 0; t < 4; t++) {
            const shape s = shapes[i];
            const bool trans_a = t & 1, trans_b = t & 2;
            float *x = kt_random(s.P * s.M * s.K, 4, 1.0f, 0.0f);
            float *y = kt_random(s.P * s.K * s.N, 5, 1.0f, 0.0f);
            const size_t n = (size_t)(s.P * s.M * s.N);
            float *one = malloc(n * sizeof *one), *many = malloc(n * sizeof *many);
            assert_true(one && many);
            dlf_tensor a =
                trans_a ? kt_tensor(kt_dev, x, s.P, s.K, s.M) : kt_tensor(kt_dev, x, s.P, s.M, s.K);
            dlf_tensor b =
                trans_b ? kt_tensor(kt_dev, y, s.P, s.N, s.K) : kt_tensor(kt_dev, y, s.P, s.K, s.N);
            dlf_tensor c = kt_tensor(kt_dev, NULL, s.P, s.M, s.N);
            for (int k = 1; k <= 4; k++) {
                kt_dev->info.threads = k;
                OK(dlf_gemm(&c, &a, &b, (dlf_gemm_args){trans_a, trans_b, 1.0, 0.0}));
                OK(dlf_tensor_download(k == 1 ? one : many, &c));
                if (k > 1) assert_memory_equal(one, many, n * sizeof *one);
            }
            dlf_tensor_free(&c);
            dlf_tensor_free(&b);
            dlf_tensor_free(&a);
            free(many);
            free(one);
            free(y);
            free(x);
        }
    kt_dev->info.threads = threads;
}

/* The identity gives the operand back, bit for bit: products with 0 and 1 do not round. */
static void identity(void **state)
{
    enum { N = 37 };
    float eye[N * N] = {0}, *x = kt_random(2 * N * N, 6, 1.0f, 0.0f), got[2 * N * N];
    for (int i = 0; i < N; i++) eye[i * N + i] = 1.0f;
    dlf_tensor a = kt_tensor(kt_dev, eye, 1, N, N), b = kt_tensor(kt_dev, x, 2, N, N);
    dlf_tensor c = kt_tensor(kt_dev, NULL, 2, N, N);
    OK(dlf_gemm(&c, &a, &b, (dlf_gemm_args){false, false, 1.0, 0.0}));
    OK(dlf_tensor_download(got, &c));
    assert_memory_equal(got, x, sizeof got);
    dlf_tensor_free(&c);
    dlf_tensor_free(&b);
    dlf_tensor_free(&a);
    free(x);
}

/* A NaN reaches exactly its row or column; an Inf stays Inf; both also at the ends of blocks. */
static void nan_and_inf_propagate(void **state)
{
    enum { M = 14, N = 35, K = 18 };
    static const int at[] = {0, 12, 13};
    float a[M * K], b[K * N], c[M * N];
    for (int v = 0; v < 6; v++) {
        const int bad = at[v % 3];
        const float poison = v < 3 ? NAN : INFINITY;
        for (int i = 0; i < M * K; i++) a[i] = 1.0f;
        for (int i = 0; i < K * N; i++) b[i] = 0.5f;
        a[bad * K + K - 1] = poison;
        dlf_tensor ta = kt_tensor(kt_dev, a, 1, M, K), tb = kt_tensor(kt_dev, b, 1, K, N);
        dlf_tensor tc = kt_tensor(kt_dev, NULL, 1, M, N);
        OK(dlf_gemm(&tc, &ta, &tb, (dlf_gemm_args){false, false, 1.0, 0.0}));
        OK(dlf_tensor_download(c, &tc));
        for (int i = 0; i < M; i++)
            for (int j = 0; j < N; j++) {
                const float x = c[i * N + j];
                const bool right = i != bad ? x == 0.5f * K : v < 3 ? isnan(x) != 0 : x == INFINITY;
                if (!right) fail_msg("%g in row %d: c[%d,%d] is %g", poison, bad, i, j, x);
            }
        dlf_tensor_free(&tc);
        dlf_tensor_free(&tb);
        dlf_tensor_free(&ta);
    }
}

/* Operands as windows of one arena per role: strided members, rows that start at odd addresses, and
 * gaps that must stay as they were. */
static void strided_views(void **state)
{
    enum { P = 3, M = 19, N = 21, K = 23, GAP = 5 };
    const int64_t size_a = M * K + GAP, size_b = K * N + GAP, size_c = M * N + 2 * GAP;
    float *a = kt_random(P * size_a, 7, 1.0f, 0.0f), *b = kt_random(P * size_b, 8, 1.0f, 0.0f);
    float *c = kt_random(P * size_c, 9, 1.0f, 0.0f);
    dlf_device *devices[2] = {kt_dev, kt_ref};
    dlf_tensor whole_a[2], whole_b[2], whole_c[2];
    for (int d = 0; d < 2; d++) {
        whole_a[d] = kt_tensor(devices[d], a, P, size_a);
        whole_b[d] = kt_tensor(devices[d], b, P, size_b);
        whole_c[d] = kt_tensor(devices[d], c, P, size_c);
        dlf_tensor va = dlf_tensor_window(&whole_a[d], 3, 3, (int64_t[]){P, M, K});
        dlf_tensor vb = dlf_tensor_window(&whole_b[d], 1, 3, (int64_t[]){P, N, K});
        dlf_tensor vc = dlf_tensor_window(&whole_c[d], GAP, 3, (int64_t[]){P, M, N});
        OK(dlf_gemm(&vc, &va, &vb, (dlf_gemm_args){false, true, 1.0, 1.0}));
    }
    assert_true(kt_worst(&whole_c[0], &whole_c[1], 3e-5, 1e-6) <= 1.0); /* 3 eps K + 4 eps |c| */
    float *got = malloc((size_t)(P * size_c) * sizeof *got);
    assert_non_null(got);
    OK(dlf_tensor_download(got, &whole_c[0]));
    for (int64_t p = 0; p < P; p++)
        for (int64_t i = 0; i < size_c; i++)
            if (i < GAP || i >= GAP + M * N) assert_true(got[p * size_c + i] == c[p * size_c + i]);
    free(got);
    for (int d = 0; d < 2; d++) {
        dlf_tensor_free(&whole_c[d]);
        dlf_tensor_free(&whole_b[d]);
        dlf_tensor_free(&whole_a[d]);
    }
    free(c);
    free(b);
    free(a);
}

static void refuse(dlf_tensor *c, const dlf_tensor *a, const dlf_tensor *b, bool trans_a,
                   const char *fragment)
{
    const dlf_status status = dlf_gemm(c, a, b, (dlf_gemm_args){trans_a, false, 1.0, 0.0});
    assert_int_equal(status, DLF_ERR_SHAPE);
    if (!strstr(dlf_error_message(), "gemm") || !strstr(dlf_error_message(), fragment))
        fail_msg("'%s' does not say '%s'", dlf_error_message(), fragment);
}

static void shape_errors(void **state)
{
    dlf_tensor a = kt_tensor(kt_dev, NULL, 2, 3, 4), b = kt_tensor(kt_dev, NULL, 2, 4, 5);
    dlf_tensor c = kt_tensor(kt_dev, NULL, 2, 3, 5), odd = kt_tensor(kt_dev, NULL, 3, 4, 5);
    dlf_tensor flat = kt_tensor(kt_dev, NULL, 3, 4), elsewhere = kt_tensor(kt_ref, NULL, 2, 3, 4);
    refuse(&c, &b, &b, false, "(2,4,5)");
    refuse(&c, &a, &b, true, "transposed a has 3 columns but b has 4 rows");
    refuse(&b, &a, &b, false, "c and b overlap");
    refuse(&c, &a, &odd, false, "axis 0");
    refuse(&odd, &a, &b, false, "c has 4 rows but a has 3");
    refuse(&c, &flat, &b, false, "a must have 3 axes");
    if (kt_dev->backend != kt_ref->backend) refuse(&c, &elsewhere, &b, false, "a is on ref");
    dlf_tensor gone = a;
    gone.data = NULL;
    refuse(&c, &gone, &b, false, "not allocated");
    dlf_tensor_free(&elsewhere);
    dlf_tensor_free(&flat);
    dlf_tensor_free(&odd);
    dlf_tensor_free(&c);
    dlf_tensor_free(&b);
    dlf_tensor_free(&a);
}

int main(int argc, char **argv)
{
    kt_open(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference),
        cmocka_unit_test(large_product),
        cmocka_unit_test(same_bits_for_any_threads),
        cmocka_unit_test(identity),
        cmocka_unit_test(nan_and_inf_propagate),
        cmocka_unit_test(strided_views),
        cmocka_unit_test(shape_errors),
    };
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
