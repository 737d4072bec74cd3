/* SPDX-License-Identifier: MIT
 * test_activation.c -- activations against the definition, and the definition against calculus.
 *
 * Tolerances. The float functions are good to 3 units in the last place (gelu: 6), a product or
 * two comes on top: rtol 1e-6 is 8 units. gelu_tanh takes e^u of a u that was rounded twice, which
 * multiplies by |u| <= 104: rtol 3e-5. A slope of gelu, gelu_tanh and silu is a sum that cancels
 * near its zero: atol 5e-7 |dy|. In the far left tail silu multiplies a sigmoid that is denormal,
 * off by half of the smallest one (7e-46), by |x| <= 104. In 16-bit storage the result is rounded
 * once more: kt_rounding, or half of the least denormal (f16 2^-25, bf16 2^-134). */
#include "dlf/half.h"
#include "kernel_test.h"

static const double denormal_atol = 1e-43;

static double rtol_of(dlf_activation f)
{
    return f.kind == DLF_GELU_TANH ? 3e-5 : 1e-6;
}

/* What backward reads for inputs x: x itself or the rounded y. */
static float *backward_input(dlf_activation f, const float *x, int64_t n)
{
    float *v = malloc((size_t)n * sizeof *v);
    assert_non_null(v);
    for (int64_t i = 0; i < n; i++)
        v[i] = dlf_activation_needs_x(f.kind) ? x[i] : (float)dlf_activation_value(f, x[i]);
    return v;
}

/* Worst of forward on both devices, x (P,n). */
static double forward_worst(dlf_activation f, const float *x, int64_t P, int64_t n)
{
    dlf_tensor a = kt_tensor(kt_dev, x, P, n), y = kt_tensor(kt_dev, NULL, P, n);
    dlf_tensor ra = kt_tensor(kt_ref, x, P, n), ry = kt_tensor(kt_ref, NULL, P, n);
    OK(dlf_activation_forward(&y, &a, f));
    OK(dlf_activation_forward(&ry, &ra, f));
    const double worst = kt_worst(&y, &ry, denormal_atol, rtol_of(f));
    dlf_tensor_free(&a), dlf_tensor_free(&y), dlf_tensor_free(&ra), dlf_tensor_free(&ry);
    return worst;
}

static double backward_worst(dlf_activation f, const float *x, const float *dy, int64_t P,
                             int64_t n, double atol)
{
    float *v = backward_input(f, x, P * n);
    dlf_tensor a = kt_tensor(kt_dev, v, P, n), g = kt_tensor(kt_dev, dy, P, n);
    dlf_tensor ra = kt_tensor(kt_ref, v, P, n), rg = kt_tensor(kt_ref, dy, P, n);
    dlf_tensor dx = kt_tensor(kt_dev, NULL, P, n), rdx = kt_tensor(kt_ref, NULL, P, n);
    const bool from_x = dlf_activation_needs_x(f.kind);
    OK(dlf_activation_backward(&dx, &g, from_x ? &a : NULL, from_x ? NULL : &a, f));
    OK(dlf_activation_backward(&rdx, &rg, from_x ? &ra : NULL, from_x ? NULL : &ra, f));
    const double worst = kt_worst(&dx, &rdx, atol, rtol_of(f));
    dlf_tensor_free(&a), dlf_tensor_free(&g), dlf_tensor_free(&dx);
    dlf_tensor_free(&ra), dlf_tensor_free(&rg), dlf_tensor_free(&rdx);
    free(v);
    return worst;
}

static void assert_within(double worst, dlf_activation f, const char *what)
{
    if (!(worst <= 1.0))
        fail_msg("%s %s: %.3g x tolerance", dlf_activation_name(f.kind), what, worst);
}

#define FOR_EACH_KIND(f)                                                                           \
    for (int kind_ = 0; kind_ < DLF_ACTIVATION_COUNT; kind_++)                                     \
        for (dlf_activation f = dlf_activation_of((dlf_activation_kind)kind_), *once_ = &f; once_; \
             once_ = NULL)

/* ---- the definition against calculus and hand-computed values ------------------------------- */

static void definition_derivative_is_the_slope_of_value(void **state)
{
    (void)state;
    const double h = 1e-5; /* error h^2 f'''/6 + 1e-16 |f| / h, both below 1e-10 */
    FOR_EACH_KIND(f)
    for (double x = -8.03; x < 8.0; x += 0.0717) {
        if (fabs(x) < 2 * h) continue; /* kinks */
        const double slope =
            (dlf_activation_value(f, x + h) - dlf_activation_value(f, x - h)) / (2 * h);
        const double d = dlf_activation_derivative(f, x);
        if (!(fabs(slope - d) <= 1e-6 * fabs(d) + 3e-10))
            fail_msg("%s at %g: %.12g, difference quotient %.12g", dlf_activation_name(f.kind), x,
                     d, slope);
    }
}

/* The op on ref, which takes most slopes from y, against difference quotients of the value. */
static void backward_on_ref_is_the_difference_quotient(void **state)
{
    (void)state;
    enum { N = 301 };
    const double h = 1e-5;
    double x[N], y[N], dy[N], dx[N];
    FOR_EACH_KIND(f)
    {
        for (int i = 0; i < N; i++) {
            x[i] = (i - 150) / 37.0 + 0.003;
            y[i] = dlf_activation_value(f, x[i]);
            dy[i] = i % 2 ? -1.7 : 0.6;
        }
        dlf_tensor tx, ty, tg;
        OK(dlf_tensor_new(&tx, kt_ref, DLF_F64, 1, N));
        OK(dlf_tensor_new(&ty, kt_ref, DLF_F64, 1, N));
        OK(dlf_tensor_new(&tg, kt_ref, DLF_F64, 1, N));
        OK(dlf_tensor_upload_f64(&tx, x));
        OK(dlf_tensor_upload_f64(&ty, y));
        OK(dlf_tensor_upload_f64(&tg, dy));
        OK(dlf_activation_backward(&tg, &tg, &tx, &ty, f)); /* in place */
        OK(dlf_tensor_download_f64(dx, &tg));
        for (int i = 0; i < N; i++) {
            const double want =
                dy[i] * (dlf_activation_value(f, x[i] + h) - dlf_activation_value(f, x[i] - h)) /
                (2 * h);
            if (!(fabs(dx[i] - want) <= 1e-6 * fabs(want) + 1e-9))
                fail_msg("%s at %g: dx %.12g, difference quotient %.12g",
                         dlf_activation_name(f.kind), x[i], dx[i], want);
        }
        dlf_tensor_free(&tx), dlf_tensor_free(&ty), dlf_tensor_free(&tg);
    }
}

static void assert_value(dlf_activation_kind kind, double x, double want)
{
    const double got = dlf_activation_value(dlf_activation_of(kind), x);
    if (!(fabs(got - want) <= 1e-14 * fabs(want)))
        fail_msg("%s(%g) = %.17g, not %.17g", dlf_activation_name(kind), x, got, want);
}

static void assert_derivative(dlf_activation_kind kind, double x, double want)
{
    const double got = dlf_activation_derivative(dlf_activation_of(kind), x);
    if (!(fabs(got - want) <= 1e-13 * fabs(want)))
        fail_msg("%s'(%g) = %.17g, not %.17g", dlf_activation_name(kind), x, got, want);
}

static void definition_has_known_values(void **state)
{
    (void)state;
    assert_value(DLF_SIGMOID, 0.0, 0.5);
    assert_value(DLF_SIGMOID, log(3.0), 0.75);
    assert_value(DLF_SIGMOID, -700.0, 9.8596765437597708567e-305); /* e^-700 */
    assert_value(DLF_TANH, 0.5 * log(3.0), 0.5);
    assert_value(DLF_RELU, -2.0, 0.0);
    assert_value(DLF_LEAKY_RELU, -2.0, -0.02);
    assert_value(DLF_ELU, -log(2.0), -0.5);
    assert_value(DLF_ELU, -1e-300, -1e-300);
    assert_value(DLF_GELU, 1.0, 0.84134474606854294859);
    assert_value(DLF_GELU, -10.0, -7.6198530241605260660e-23);
    assert_value(DLF_GELU_TANH, 1.0, 0.84119199060827670478);
    assert_value(DLF_SILU, log(3.0), 0.75 * log(3.0));
    assert_value(DLF_SOFTPLUS, 0.0, 0.69314718055994530942);
    assert_value(DLF_SOFTPLUS, -700.0, 9.8596765437597708567e-305);
    assert_value(DLF_SOFTPLUS, 800.0, 800.0);

    assert_derivative(DLF_RELU, 0.0, 0.0);
    assert_derivative(DLF_LEAKY_RELU, 0.0, 0.01);
    assert_derivative(DLF_SIGMOID, 0.0, 0.25);
    assert_derivative(DLF_TANH, 20.0, 1.6993417021166355837e-17); /* 4 e^-40 */
    assert_derivative(DLF_GELU, 0.0, 0.5);
    assert_derivative(DLF_SILU, 0.0, 0.5);
    assert_derivative(DLF_SOFTPLUS, -700.0, 9.8596765437597708567e-305);
}

/* selu's constants are fixed by: mean 0 and variance 1 in, mean 0 and variance 1 out. */
static void selu_keeps_a_standard_normal(void **state)
{
    (void)state;
    const dlf_activation f = dlf_activation_of(DLF_SELU);
    const double h = 1e-4;
    double mean = 0.0, square = 0.0;
    for (double x = -12.0 + h / 2; x < 12.0; x += h) { /* midpoints: the kink is on an edge */
        const double weight = exp(-0.5 * x * x) / sqrt(2.0 * M_PI) * h;
        mean += weight * dlf_activation_value(f, x);
        square += weight * dlf_activation_value(f, x) * dlf_activation_value(f, x);
    }
    assert_true(fabs(mean) < 1e-8);
    assert_true(fabs(square - 1.0) < 1e-8);
}

/* ---- reference ------------------------------------------------------------------------------ */

static void matches_reference(void **state)
{
    (void)state;
    const int64_t shapes[][2] = {{1, 1}, {3, 7}, {2, 33}, {1, 1009}, {5, 4099}, {1, 40009}};
    FOR_EACH_KIND(f)
    for (size_t k = 0; k < sizeof shapes / sizeof shapes[0]; k++) {
        const int64_t P = shapes[k][0], n = shapes[k][1];
        float *x = kt_random(P * n, 1, 3.0f, 0.0f), *dy = kt_random(P * n, 2, 1.0f, 0.0f);
        assert_within(forward_worst(f, x, P, n), f, "forward");
        assert_within(backward_worst(f, x, dy, P, n, 2.5e-6), f, "backward"); /* |dy| < 5 */
        free(x), free(dy);
    }
}

/* Every exponent and sign, and mantissas spread over all of theirs. */
static void matches_reference_over_all_magnitudes(void **state)
{
    (void)state;
    enum { N = 1 << 16 };
    float *x = malloc(N * sizeof *x), *dy = malloc(N * sizeof *dy);
    assert_non_null(x), assert_non_null(dy);
    for (uint32_t i = 0; i < N; i++) {
        const uint32_t bits = (i << 16) | (i * 40503u & 0xffffu);
        memcpy(&x[i], &bits, sizeof bits);
        if (fabsf(x[i]) > 3e38f) x[i] = 1e38f; /* selu's factor would overflow float, not double */
        dy[i] = 1.0f;
    }
    FOR_EACH_KIND(f)
    {
        assert_within(forward_worst(f, x, 1, N), f, "forward");
        assert_within(backward_worst(f, x, dy, 1, N, 5e-7), f, "backward");
    }
    free(x), free(dy);
}

/* Forward and backward of x and dy (P,n) in storage `dtype`, every member `offset` elements into a
 * row of n + 3: offset 0 with n a multiple of 8 less 3 lets 16 bytes be read at a time. */
static void storage_matches(dlf_activation f, dlf_dtype dtype, const float *x, const float *dy,
                            int64_t P, int64_t n, int64_t offset)
{
    const int64_t whole[] = {P, n + 3}, shape[] = {P, n};
    const double rtol = rtol_of(f) + kt_rounding(dtype);
    const double atol = denormal_atol + (dtype == DLF_F16 ? 0x1p-25 : 0x1p-134);
    float *v = calloc((size_t)(P * (n + 3)), sizeof *v), *g = calloc((size_t)(P * (n + 3)), 4);
    assert_non_null(v), assert_non_null(g);
    dlf_tensor in[2], out[2], slope[2], grad[2], result[2], a[2], b[2], c[2];
    for (int64_t p = 0; p < P; p++)
        for (int64_t i = 0; i < n; i++) v[p * (n + 3) + offset + i] = x[p * n + i];
    kt_storage_pair(&in[0], &in[1], dtype, v, 2, whole);
    kt_storage_pair(&out[0], &out[1], dtype, NULL, 2, shape);
    for (int k = 0; k < 2; k++) {
        a[k] = dlf_tensor_window(&in[k], offset, 2, shape);
        OK(dlf_activation_forward(&out[k], &a[k], f));
    }
    assert_within(kt_worst(&out[0], &out[1], atol, rtol), f, "forward in 16 bits");

    for (int64_t p = 0; p < P; p++)
        for (int64_t i = 0; i < n; i++) {
            const int64_t at = p * (n + 3) + offset + i;
            if (!dlf_activation_needs_x(f.kind)) v[at] = (float)dlf_activation_value(f, v[at]);
            g[at] = dy[p * n + i];
        }
    kt_storage_pair(&slope[0], &slope[1], dtype, v, 2, whole);
    kt_storage_pair(&grad[0], &grad[1], dtype, g, 2, whole);
    kt_storage_pair(&result[0], &result[1], dtype, NULL, 2, whole);
    for (int k = 0; k < 2; k++) {
        a[k] = dlf_tensor_window(&slope[k], offset, 2, shape);
        b[k] = dlf_tensor_window(&grad[k], offset, 2, shape);
        c[k] = dlf_tensor_window(&result[k], offset, 2, shape);
        OK(dlf_activation_backward(&c[k], &b[k], &a[k], &a[k], f));
    }
    /* what is around the members stays NaN */
    assert_within(kt_worst(&result[0], &result[1], atol + 2.5e-6, rtol), f, "backward in 16 bits");
    for (int k = 0; k < 2; k++) {
        dlf_tensor_free(&in[k]), dlf_tensor_free(&out[k]), dlf_tensor_free(&slope[k]);
        dlf_tensor_free(&grad[k]), dlf_tensor_free(&result[k]);
    }
    free(v), free(g);
}

static const dlf_dtype halves[] = {DLF_F16, DLF_BF16};

static void storage_in_16_bits_matches_reference(void **state)
{
    (void)state;
    /* one vector and a tail; aligned rows; one element; pieces and a rest */
    const int64_t shapes[][2] = {{1, 1}, {3, 7}, {2, 13}, {5, 61}, {2, 1033}, {1, 9001}};
    FOR_EACH_KIND(f)
    for (size_t k = 0; k < sizeof shapes / sizeof shapes[0]; k++) {
        const int64_t P = shapes[k][0], n = shapes[k][1];
        float *x = kt_random(P * n, 21, 3.0f, 0.0f), *dy = kt_random(P * n, 22, 1.0f, 0.0f);
        for (int d = 0; d < 2; d++)
            for (int64_t offset = 0; offset < 2; offset++)
                storage_matches(f, halves[d], x, dy, P, n, offset);
        free(x), free(dy);
    }
}

/* Every number of either format, except those whose selu would overflow, and Inf and NaN. */
static void every_16_bit_number_matches_reference(void **state)
{
    (void)state;
    enum { N = 1 << 16 };
    float *x = malloc(N * sizeof *x), *dy = malloc(N * sizeof *dy);
    assert_non_null(x), assert_non_null(dy);
    for (int d = 0; d < 2; d++) {
        const float most = halves[d] == DLF_F16 ? 6e4f : 3e38f;
        for (uint32_t i = 0; i < N; i++) {
            const uint16_t bits = (uint16_t)i;
            x[i] = halves[d] == DLF_F16 ? dlf_float_of_f16(bits) : dlf_float_of_bf16(bits);
            if (isfinite(x[i]) && fabsf(x[i]) > most) x[i] = 1.0f;
            dy[i] = 1.0f;
        }
        FOR_EACH_KIND(f) storage_matches(f, halves[d], x, dy, 1, N, 0);
    }
    free(x), free(dy);
}

/* ---- property ------------------------------------------------------------------------------- */

static float *forward_on_device(dlf_activation_kind kind, const float *x, int64_t n)
{
    float *y = malloc((size_t)n * sizeof *y);
    assert_non_null(y);
    dlf_tensor a = kt_tensor(kt_dev, x, 1, n), b = kt_tensor(kt_dev, NULL, 1, n);
    OK(dlf_activation_forward(&b, &a, dlf_activation_of(kind)));
    OK(dlf_tensor_download(y, &b));
    dlf_tensor_free(&a), dlf_tensor_free(&b);
    return y;
}

static void has_its_symmetry(void **state)
{
    (void)state;
    enum { N = 2003 };
    float *x = kt_random(N, 3, 4.0f, 0.0f), minus[N];
    for (int i = 0; i < N; i++) minus[i] = -x[i];
    FOR_EACH_KIND(f)
    {
        float *a = forward_on_device(f.kind, x, N), *b = forward_on_device(f.kind, minus, N);
        for (int i = 0; i < N; i++) {
            const double size = fmax(1.0, fabs(x[i])), tolerance = 1e-6 * size;
            double zero = 0.0;
            switch (f.kind) {
            case DLF_LINEAR:
            case DLF_TANH: zero = (double)a[i] + b[i]; break;
            case DLF_SIGMOID: zero = (double)a[i] + b[i] - 1.0; break;
            case DLF_RELU:
            case DLF_GELU:
            case DLF_GELU_TANH:
            case DLF_SILU:
            case DLF_SOFTPLUS: zero = (double)a[i] - b[i] - x[i]; break;
            default: break; /* leaky_relu, elu, selu have none */
            }
            if (!(fabs(zero) <= tolerance))
                fail_msg("%s at %g: off by %g", dlf_activation_name(f.kind), x[i], zero);
        }
        free(a), free(b);
    }
    free(x);
}

/* Same bits whatever runs it: the number of threads, the SIMD level, in place or not. */
static void assert_same_bits(dlf_device *a_dev, dlf_device *b_dev)
{
    enum { P = 3, N = 30011 };
    float *x = kt_random(P * N, 4, 5.0f, 0.0f);
    float *got[2] = {malloc(P * N * sizeof *x), malloc(P * N * sizeof *x)};
    dlf_device *dev[2] = {a_dev, b_dev};
    FOR_EACH_KIND(f)
    for (int backward = 0; backward < 2; backward++) {
        for (int k = 0; k < 2; k++) {
            assert_non_null(got[k]);
            if (a_dev == b_dev) dev[k]->info.threads = 1 + k;
            dlf_tensor a = kt_tensor(dev[k], x, P, N), y = kt_tensor(dev[k], NULL, P, N);
            if (backward)
                OK(dlf_activation_backward(&y, &a, &a, &a, f));
            else
                OK(dlf_activation_forward(&y, &a, f));
            OK(dlf_tensor_download(got[k], &y));
            dlf_tensor_free(&a), dlf_tensor_free(&y);
        }
        if (memcmp(got[0], got[1], P * N * sizeof *x))
            fail_msg("%s: bits differ", dlf_activation_name(f.kind));
    }
    free(got[0]), free(got[1]), free(x);
}

static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    const int threads = kt_dev->info.threads;
    assert_same_bits(kt_dev, kt_dev);
    kt_dev->info.threads = threads;
}

/* An output too large for the caches is written another way than one that overwrites its input. */
static void large_outputs_have_the_bits_of_small_ones(void **state)
{
    (void)state;
    if (strcmp(kt_dev->info.backend, "cpu") != 0) skip();
    enum { N = (8 << 20) + 1037, AT = 3 }; /* 32 MiB, and a window that starts off a cache line */
    const int64_t shape[] = {1, N};
    float *x = kt_random(N, 31, 3.0f, 0.0f), *want = malloc(N * sizeof *x);
    float *got = malloc((N + 2 * AT) * sizeof *x);
    assert_non_null(want), assert_non_null(got);
    dlf_tensor a = kt_tensor(kt_dev, x, 1, N), in_place = kt_tensor(kt_dev, x, 1, N);
    dlf_tensor whole = kt_tensor(kt_dev, NULL, 1, N + 2 * AT);
    dlf_tensor y = dlf_tensor_window(&whole, AT, 2, shape);
    const dlf_activation f = dlf_activation_of(DLF_SILU);
    for (int backward = 0; backward < 2; backward++) {
        OK(dlf_tensor_upload(&in_place, x));
        if (backward) {
            OK(dlf_activation_backward(&y, &a, &a, NULL, f));
            OK(dlf_activation_backward(&in_place, &in_place, &a, NULL, f));
        } else {
            OK(dlf_activation_forward(&y, &a, f));
            OK(dlf_activation_forward(&in_place, &in_place, f));
        }
        OK(dlf_tensor_download(got, &whole));
        OK(dlf_tensor_download(want, &in_place));
        assert_memory_equal(got + AT, want, N * sizeof *x);
        for (int i = 0; i < AT; i++) assert_true(isnan(got[i]) && isnan(got[AT + N + i]));
    }
    dlf_tensor_free(&a), dlf_tensor_free(&in_place), dlf_tensor_free(&whole);
    free(x), free(want), free(got);
}

static void bits_do_not_depend_on_simd_level(void **state)
{
    (void)state;
    if (strcmp(kt_dev->info.backend, "cpu") != 0) skip();
    const char *levels[] = {"v1", "v3", "v4"};
    char before[16] = "";
    if (getenv("DLF_CPU_LEVEL")) snprintf(before, sizeof before, "%s", getenv("DLF_CPU_LEVEL"));
    for (int i = 0; i < 3; i++) {
        dlf_device *dev = NULL;
        setenv("DLF_CPU_LEVEL", levels[i], 1);
        if (dlf_device_open(&dev, "cpu") == DLF_OK) assert_same_bits(kt_dev, dev);
        dlf_device_close(dev);
    }
    if (before[0])
        setenv("DLF_CPU_LEVEL", before, 1);
    else
        unsetenv("DLF_CPU_LEVEL");
}

/* ---- extremes ------------------------------------------------------------------------------- */

static const float specials[] = {
    NAN,    INFINITY, -INFINITY, 0.0f,     -0.0f,  1e-45f, -1e-45f, 1e-39f, -1e-39f,
    1e-20f, -1e-20f,  1e-8f,     -1e-8f,   1e38f,  -1e38f, 1e20f,   -1e20f, 16.0f,
    -16.0f, 40.0f,    -40.0f,    87.5f,    -87.5f, 88.8f,  -88.8f,  103.9f, -103.9f,
    105.0f, -105.0f,  1000.0f,   -1000.0f, -14.1f, -14.4f, -13.3f,  9.2f,   -9.2f,
};
enum { N_SPECIALS = sizeof specials / sizeof specials[0] };

static void extremes_match_reference(void **state)
{
    (void)state;
    float dy[N_SPECIALS];
    FOR_EACH_KIND(f)
    {
        assert_within(forward_worst(f, specials, 1, N_SPECIALS), f, "forward of extremes");
        const float slopes_of[] = {1.0f, NAN, INFINITY, 1e38f, 1e-40f};
        for (int k = 0; k < 5; k++) {
            for (int i = 0; i < N_SPECIALS; i++) dy[i] = slopes_of[k];
            if (slopes_of[k] == INFINITY && f.kind != DLF_RELU && f.kind != DLF_LINEAR)
                continue; /* a slope of 1e-50 is 0 in float: 0 * Inf on one side only */
            if (slopes_of[k] == 1e38f && f.kind == DLF_SELU) continue; /* overflows float only */
            const double atol = slopes_of[k] == 1e38f    ? 5e31
                                : slopes_of[k] == 1e-40f ? 1e-44
                                                         : 5e-7;
            assert_within(backward_worst(f, specials, dy, 1, N_SPECIALS, atol), f,
                          "backward of extremes");
        }
    }
}

static void nan_comes_through(void **state)
{
    (void)state;
    float x[37], got[37]; /* vector body and tail */
    for (int i = 0; i < 37; i++) x[i] = NAN;
    FOR_EACH_KIND(f)
    {
        float *y = forward_on_device(f.kind, x, 37);
        for (int i = 0; i < 37; i++) assert_true(isnan(y[i]));
        free(y);
        if (f.kind == DLF_LINEAR) continue; /* its slope reads nothing */
        const float ones[37] = {[0 ... 36] = 1.0f};
        dlf_tensor v = kt_tensor(kt_dev, x, 1, 37), g = kt_tensor(kt_dev, ones, 1, 37);
        OK(dlf_activation_backward(&g, &g, &v, &v, f));
        OK(dlf_tensor_download(got, &g));
        for (int i = 0; i < 37; i++) assert_true(isnan(got[i]));
        dlf_tensor_free(&v), dlf_tensor_free(&g);
    }
}

/* Members with gaps, the first element not 16-byte aligned, in place; the gaps stay untouched. */
static void works_in_place_on_misaligned_views(void **state)
{
    (void)state;
    enum { P = 3, N = 1030, PITCH = 1037, OFFSET = 3 };
    const int64_t shape[] = {P, N};
    float *x = kt_random(P * PITCH, 5, 2.0f, 0.0f), got[P * PITCH];
    FOR_EACH_KIND(f)
    for (int backward = 0; backward < 2; backward++) {
        dlf_tensor whole = kt_tensor(kt_dev, x, P, PITCH);
        dlf_tensor v = dlf_tensor_window(&whole, OFFSET, 2, shape);
        dlf_tensor xy = kt_tensor(kt_dev, x, P, N); /* other stride than v */
        if (backward)
            OK(dlf_activation_backward(&v, &v, &xy, &xy, f));
        else
            OK(dlf_activation_forward(&v, &v, f));
        OK(dlf_tensor_download(got, &whole));
        for (int p = 0; p < P; p++)
            for (int i = 0; i < PITCH; i++) {
                const double before = x[p * PITCH + i];
                const bool inside = i >= OFFSET && i < OFFSET + N;
                double want = before;
                if (inside && !backward) want = dlf_activation_value(f, before);
                if (inside && backward) { /* slope from the reference op */
                    const float one = 1.0f, at = x[p * N + i - OFFSET];
                    dlf_tensor rv = kt_tensor(kt_ref, &at, 1, 1);
                    dlf_tensor rg = kt_tensor(kt_ref, &one, 1, 1);
                    OK(dlf_activation_backward(&rg, &rg, &rv, &rv, f));
                    OK(dlf_tensor_download_f64(&want, &rg));
                    want *= before;
                    dlf_tensor_free(&rv), dlf_tensor_free(&rg);
                }
                const double tolerance =
                    inside ? 5e-7 * fabs(before) + rtol_of(f) * fabs(want) : 0.0;
                if (!(fabs(got[p * PITCH + i] - want) <= tolerance))
                    fail_msg("%s backward=%d [%d,%d]: %g not %g", dlf_activation_name(f.kind),
                             backward, p, i, got[p * PITCH + i], want);
            }
        dlf_tensor_free(&xy), dlf_tensor_free(&whole);
    }
    free(x);
}

/* Input and output with different member strides, one of the two aligned to 16 bytes, one not. */
static void works_between_different_views(void **state)
{
    (void)state;
    enum { P = 3, N = 64, PITCH = 77, OFFSET = 1 };
    const int64_t shape[] = {P, N};
    const dlf_activation f = dlf_activation_of(DLF_TANH);
    float *x = kt_random(P * PITCH, 6, 1.0f, 0.0f), ones[P * N], got[P * N];
    for (int i = 0; i < P * N; i++) ones[i] = 1.0f;
    dlf_tensor wide = kt_tensor(kt_dev, x, P, PITCH), y = kt_tensor(kt_dev, NULL, P, N);
    dlf_tensor v = dlf_tensor_window(&wide, OFFSET, 2, shape), dy = kt_tensor(kt_dev, ones, P, N);
    OK(dlf_activation_forward(&y, &v, f));
    OK(dlf_tensor_download(got, &y));
    for (int i = 0; i < P * N; i++)
        assert_true(fabs(got[i] - tanh(x[i / N * PITCH + OFFSET + i % N])) < 5e-7);
    OK(dlf_activation_backward(&v, &dy, NULL, &y, f)); /* from aligned to misaligned */
    OK(dlf_tensor_copy(&dy, &v));
    OK(dlf_tensor_download(ones, &dy));
    for (int i = 0; i < P * N; i++)
        assert_true(fabs(ones[i] - (1.0 - (double)got[i] * got[i])) < 5e-7);
    dlf_tensor_free(&wide), dlf_tensor_free(&y), dlf_tensor_free(&dy);
    free(x);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(definition_derivative_is_the_slope_of_value),
        cmocka_unit_test(backward_on_ref_is_the_difference_quotient),
        cmocka_unit_test(definition_has_known_values),
        cmocka_unit_test(selu_keeps_a_standard_normal),
        cmocka_unit_test(matches_reference),
        cmocka_unit_test(matches_reference_over_all_magnitudes),
        cmocka_unit_test(storage_in_16_bits_matches_reference),
        cmocka_unit_test(every_16_bit_number_matches_reference),
        cmocka_unit_test(has_its_symmetry),
        cmocka_unit_test(bits_do_not_depend_on_threads),
        cmocka_unit_test(large_outputs_have_the_bits_of_small_ones),
        cmocka_unit_test(bits_do_not_depend_on_simd_level),
        cmocka_unit_test(extremes_match_reference),
        cmocka_unit_test(nan_comes_through),
        cmocka_unit_test(works_in_place_on_misaligned_views),
        cmocka_unit_test(works_between_different_views),
    };
    kt_open(argc, argv);
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
