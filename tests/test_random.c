/* SPDX-License-Identifier: MIT
 * test_random.c -- the generator against its published vectors, the normal quantile against an
 * oracle in double, and every device bit for bit against rng.h. */
#include "kernel_test.h"

/* Random123 1.14, kat_vectors, philox4x32 10. */
static void known_answers(void **state)
{
    static const struct {
        uint32_t counter[4], key[2], want[4];
    } kat[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (int i = 0; i < 3; i++) {
        const uint32_t *c = kat[i].counter;
        const dlf_philox_block got =
            dlf_philox4x32(c[0], c[1], c[2], c[3], kat[i].key[0], kat[i].key[1]);
        for (int w = 0; w < 4; w++) assert_int_equal(got.v[w], kat[i].want[w]);
        /* The way rng.h fills counter and key: block 64 bits, stream, member; seed. */
        const uint64_t seed = (uint64_t)kat[i].key[1] << 32 | kat[i].key[0];
        const uint64_t block = (uint64_t)c[1] << 32 | c[0];
        const dlf_philox_block named = dlf_rng_block(seed, c[2], c[3], block);
        assert_memory_equal(&named, &got, sizeof got);
    }
}

/* x with Phi(x) = t for t in (0, 1/2], by Newton on log erfc: double precision all the way. */
static double lower_quantile(double t)
{
    double x = t > 0.02 ? (t - 0.5) * 2.5066 : -sqrt(-2.0 * log(t)) + 0.5;
    for (int i = 0; i < 50; i++) {
        const double tail = 0.5 * erfc(-x * M_SQRT1_2);
        const double density = exp(-0.5 * x * x) * 0.3989422804014327;
        /* d log Phi / dx = density/Phi: Newton in the logarithm converges from far out, too. */
        const double step = (log(tail) - log(t)) * tail / density;
        x -= step;
        if (fabs(step) < 1e-14 * (1.0 + fabs(x))) break;
    }
    return x;
}

static double quantile_error(uint32_t bits)
{
    const uint32_t folded = bits & 0x80000000u ? ~bits : bits;
    const double t = ((double)folded + 0.5) * 0x1p-32;
    const double exact = bits & 0x80000000u ? -lower_quantile(t) : lower_quantile(t);
    return fabs((double)dlf_normal_of_bits(bits) - exact);
}

static void quantile_is_exact_to_2e_6(void **state)
{
    double worst = 0.0;
    uint32_t where = 0;
    for (uint64_t i = 0; i < 2000000; i++) { /* spread over all inputs ...         */
        const uint32_t bits = (uint32_t)(i * 2147 + 12345);
        const double e = quantile_error(bits);
        if (!(e <= worst)) worst = e, where = bits;
    }
    for (uint32_t i = 0; i < 200000; i++) { /* ... and all of both extreme tails */
        const double e = fmax(quantile_error(i), quantile_error(~i));
        if (!(e <= worst)) worst = e, where = i;
    }
    print_message("largest quantile error %.3g at bits %#x\n", worst, where);
    assert_true(worst <= 2e-6);
    assert_true(worst > 1e-9); /* an error of zero would mean that nothing was measured */
    assert_true(dlf_normal_of_bits(0) == -dlf_normal_of_bits(0xffffffffu));
    assert_true(fabsf(dlf_normal_of_bits(0)) < 6.35f);
}

/* The draws are part of every stored result: a change of any bit must be meant. */
static void draws_never_change(void **state)
{
    uint32_t hash = 2166136261u; /* FNV-1a over the words */
    for (uint32_t i = 0; i < 65536; i++) {
        const float x = dlf_normal_of_bits(i * 65537u);
        uint32_t word;
        memcpy(&word, &x, sizeof word);
        hash = (hash ^ word) * 16777619u;
    }
    assert_int_equal(hash, 0xdb52f663u);
}

/* The draws of a device are those of rng.h, whatever the sizes, members, views and threads. */
static void compare_normal(int64_t P, int64_t n, int64_t gap, bool named, bool scaled)
{
    dlf_tensor whole = kt_tensor(kt_dev, NULL, P, n + 2 * gap), member = {0}, scale = {0};
    dlf_tensor x = dlf_tensor_window(&whole, gap, 2, (int64_t[]){P, n});
    int32_t *ids = malloc((size_t)P * sizeof *ids);
    float *factors = malloc((size_t)P * sizeof *factors);
    float *got = malloc((size_t)(P * (n + 2 * gap)) * sizeof *got);
    assert_true(ids && factors && got);
    for (int64_t p = 0; p < P; p++) {
        ids[p] = (int32_t)(1000000007 * (p + 1) % 5003);
        factors[p] = 0.25f + 0.1f * (float)p;
    }
    if (named) {
        OK(dlf_tensor_new(&member, kt_dev, DLF_I32, P));
        OK(dlf_tensor_upload_i32(&member, ids));
    }
    if (scaled) scale = kt_tensor(kt_dev, factors, P);
    const dlf_rng rng = {0x123456789abcdef0u, dlf_stream(DLF_PURPOSE_TEST, 30)};
    OK(dlf_random_normal(&x, named ? &member : NULL, scaled ? &scale : NULL, rng));
    OK(dlf_tensor_download(got, &whole));
    for (int64_t p = 0; p < P; p++)
        for (int64_t i = -gap; i < n + gap; i++) {
            const float g = got[p * (n + 2 * gap) + gap + i];
            if (i < 0 || i >= n) {
                if (!isnan(g))
                    fail_msg("wrote outside its member: p %lld i %lld", (long long)p, (long long)i);
                continue;
            }
            float want =
                dlf_rng_normal(rng.seed, rng.stream, (uint32_t)(named ? ids[p] : p), (uint64_t)i);
            if (scaled) want *= factors[p]; /* float times float: one rounding everywhere */
            if (scaled && kt_dev->real == DLF_F64)
                want = (float)((double)factors[p] * dlf_rng_normal(rng.seed, rng.stream,
                                                                   (uint32_t)(named ? ids[p] : p),
                                                                   (uint64_t)i));
            if (memcmp(&g, &want, sizeof g) != 0)
                fail_msg("P %lld n %lld: [%lld,%lld] is %.9g, rng.h says %.9g", (long long)P,
                         (long long)n, (long long)p, (long long)i, g, want);
        }
    free(got);
    free(factors);
    free(ids);
    dlf_tensor_free(&scale);
    dlf_tensor_free(&member);
    dlf_tensor_free(&whole);
}

static void normal_bits(void **state)
{
    static const int64_t sizes[] = {1,  2,  3,  4,   5,   15,  16,  17,
                                    31, 63, 65, 127, 447, 448, 449, 1000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int v = 0; v < 4; v++) compare_normal(1 + v, sizes[i], (v * 3) % 4, v & 1, v & 2);
    compare_normal(3, 20011, 1, true, true); /* several pieces per member */
}

static void uniform_bits(void **state)
{
    enum { P = 3, N = 777 };
    const dlf_rng rng = {42, dlf_stream(DLF_PURPOSE_TEST, 31)};
    dlf_tensor x = kt_tensor(kt_dev, NULL, P, N);
    float got[P * N];
    OK(dlf_random_uniform(&x, NULL, -0.3, 1.7, rng));
    OK(dlf_tensor_download(got, &x));
    for (int i = 0; i < P * N; i++) {
        const float u = dlf_rng_uniform(rng.seed, rng.stream, (uint32_t)(i / N), (uint64_t)(i % N));
        const float want = kt_dev->real == DLF_F64 ? (float)fma(2.0, u, -0.3)
                                                   : fmaf((float)(1.7 - -0.3), u, (float)-0.3);
        assert_true(got[i] == want);
        assert_true(got[i] >= -0.3f && got[i] <= 1.7f);
    }
    dlf_tensor_free(&x);
}

/* ref is what the other families start from, so it is tested like a device. */
static dlf_device *device_under_test;

static int onto_ref(void **state)
{
    device_under_test = kt_dev;
    kt_dev = kt_ref;
    return 0;
}

static int onto_device(void **state)
{
    kt_dev = device_under_test;
    return 0;
}

static void ref_draws_the_same(void **state)
{
    compare_normal(3, 17, 2, false, false);
    compare_normal(5, 33, 1, true, true);
    uniform_bits(state);
}

/* Bits must not depend on the number of threads or on the SIMD level of the CPU. */
static void same_bits_for_any_threads_and_level(void **state)
{
    if (strcmp(kt_dev->info.backend, "cpu") != 0) skip();
    const int threads = kt_dev->info.threads;
    for (int t = 1; t <= 4; t++) {
        kt_dev->info.threads = t;
        compare_normal(2, 30001, 1, false, true);
    }
    kt_dev->info.threads = threads;

    const char *old = getenv("DLF_CPU_LEVEL");
    char *keep = old ? strdup(old) : NULL;
    dlf_device *main_device = kt_dev;
    int opened = 0;
    for (const char *const *level = (const char *const[]){"v1", "v3", "v4", NULL}; *level;
         level++) {
        setenv("DLF_CPU_LEVEL", *level, 1);
        if (dlf_device_open(&kt_dev, "cpu") != DLF_OK) continue; /* this CPU has no such level */
        opened++;
        for (int64_t n = 1; n < 70; n += 3) compare_normal(2, n, n % 3, true, true);
        compare_normal(1, 9001, 0, false, false);
        assert_int_equal(kt_dev->bytes_live, 0);
        dlf_device_close(kt_dev);
    }
    kt_dev = main_device;
    if (keep)
        setenv("DLF_CPU_LEVEL", keep, 1);
    else
        unsetenv("DLF_CPU_LEVEL");
    free(keep);
    assert_true(opened >= 1);
}

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The draws of one stream look normal, and two streams, members or seeds look independent. */
static void draws_are_standard_normal(void **state)
{
    enum { N = 100000 };
    dlf_tensor x = kt_tensor(kt_dev, NULL, 3, N);
    float *v = malloc(3 * N * sizeof *v);
    assert_non_null(v);
    dlf_tensor first = dlf_tensor_slice(&x, 0, 2), last = dlf_tensor_slice(&x, 2, 1);
    OK(dlf_random_normal(&first, NULL, NULL, (dlf_rng){7, dlf_stream(DLF_PURPOSE_TEST, 32)}));
    OK(dlf_random_normal(&last, NULL, NULL, (dlf_rng){7, dlf_stream(DLF_PURPOSE_TEST, 33)}));
    OK(dlf_tensor_download(v, &x));

    double m[5] = {0}, across[3] = {0};
    for (int i = 0; i < N; i++) {
        const double a = v[i], b = v[N + i], c = v[2 * N + i];
        for (int k = 1; k <= 4; k++) m[k] += pow(a, k) / N;
        across[0] += a * b / N;
        across[1] += a * c / N;
        across[2] += b * c / N;
    }
    /* Standard errors: sqrt(var(x^k)/N) with var = 1, 2, 15, 96; five of them. */
    const double want[5] = {0, 0, 1, 0, 3}, variance[5] = {0, 1, 2, 15, 96};
    for (int k = 1; k <= 4; k++) assert_true(fabs(m[k] - want[k]) < 5.0 * sqrt(variance[k] / N));
    for (int k = 0; k < 3; k++) assert_true(fabs(across[k]) < 5.0 / sqrt(N));

    qsort(v, N, sizeof *v, by_value);
    double ks = 0.0;
    for (int i = 0; i < N; i++) {
        const double cdf = 0.5 * erfc(-v[i] * M_SQRT1_2);
        ks = fmax(ks, fmax(fabs(cdf - i / (double)N), fabs(cdf - (i + 1) / (double)N)));
    }
    assert_true(ks * sqrt(N) < 1.95); /* Kolmogorov: exceeded once in 1000 */
    assert_true(ks > 0.0);
    free(v);
    dlf_tensor_free(&x);
}

/* A NaN or Inf scale comes out; a zero gives zeros. */
static void odd_scales(void **state)
{
    enum { N = 37 };
    const float factors[4] = {NAN, INFINITY, 0.0f, -2.0f};
    dlf_tensor x = kt_tensor(kt_dev, NULL, 4, N), scale = kt_tensor(kt_dev, factors, 4);
    float v[4 * N];
    OK(dlf_random_normal(&x, NULL, &scale, (dlf_rng){1, 2}));
    OK(dlf_tensor_download(v, &x));
    for (int i = 0; i < N; i++) {
        assert_true(isnan(v[i]));
        assert_true(isinf(v[N + i]));
        assert_true(v[2 * N + i] == 0.0f);
        assert_true(v[3 * N + i] == -2.0f * dlf_rng_normal(1, 2, 3, (uint64_t)i));
    }
    dlf_tensor_free(&scale);
    dlf_tensor_free(&x);
}

static void shape_errors(void **state)
{
    dlf_tensor x = kt_tensor(kt_dev, NULL, 3, 4), scale = kt_tensor(kt_dev, NULL, 2);
    const dlf_rng rng = {1, 2};
    assert_int_equal(dlf_random_normal(&x, NULL, &scale, rng), DLF_ERR_SHAPE);
    assert_non_null(strstr(dlf_error_message(), "random_normal"));
    assert_non_null(strstr(dlf_error_message(), "scale must be"));
    assert_int_equal(dlf_random_uniform(&x, &scale, 0.0, 1.0, rng), DLF_ERR_SHAPE);
    assert_non_null(strstr(dlf_error_message(), "member must be i32"));
    dlf_tensor_free(&scale);
    dlf_tensor_free(&x);
}

int main(int argc, char **argv)
{
    kt_open(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(quantile_is_exact_to_2e_6),
        cmocka_unit_test(draws_never_change),
        cmocka_unit_test(normal_bits),
        cmocka_unit_test(uniform_bits),
        cmocka_unit_test_setup_teardown(ref_draws_the_same, onto_ref, onto_device),
        cmocka_unit_test(same_bits_for_any_threads_and_level),
        cmocka_unit_test(draws_are_standard_normal),
        cmocka_unit_test(odd_scales),
        cmocka_unit_test(shape_errors),
    };
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
