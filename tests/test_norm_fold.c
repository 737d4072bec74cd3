/* SPDX-License-Identifier: MIT
 * test_norm_fold.c -- batch norm folded into the layer below: the same output as layer and norm one
 * after the other, on the device under test and in double. */
#include "kernel_test.h"

enum { P = 2, N = 5, K = 7, C = 6 };

typedef struct setup {
    dlf_tensor x, w, b, z, y, mean, var, gamma, beta, folded_w, folded_b;
} setup;

static void setup_new(setup *s, dlf_device *dev)
{
    float *x = kt_random(P * N * K, 1, 1.0f, 0.5f), *w = kt_random(P * C * K, 2, 0.4f, 0.0f);
    float *b = kt_random(P * C, 3, 1.0f, 0.0f), *m = kt_random(P * C, 4, 1.0f, 0.0f);
    float *v = kt_random(P * C, 5, 1.0f, 0.0f), *g = kt_random(P * C, 6, 1.0f, 1.0f);
    for (int i = 0; i < P * C; i++) v[i] = expf(2.0f * v[i]); /* variances over 4 decades */
    s->x = kt_tensor(dev, x, P, N, K);
    s->w = kt_tensor(dev, w, P, C, K);
    s->b = kt_tensor(dev, b, P, C);
    s->mean = kt_tensor(dev, m, P, C);
    s->var = kt_tensor(dev, v, P, C);
    s->gamma = kt_tensor(dev, g, P, C);
    s->beta = kt_tensor(dev, b, P, C);
    s->z = kt_tensor(dev, NULL, P, N, C);
    s->y = kt_tensor(dev, NULL, P, N, C);
    s->folded_w = kt_tensor(dev, NULL, P, C, K);
    s->folded_b = kt_tensor(dev, NULL, P, C);
    free(x), free(w), free(b), free(m), free(v), free(g);
}

static void setup_free(setup *s)
{
    dlf_tensor *all[] = {&s->x,   &s->w,     &s->b,    &s->z,        &s->y,       &s->mean,
                         &s->var, &s->gamma, &s->beta, &s->folded_w, &s->folded_b};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) dlf_tensor_free(all[i]);
}

static void layer(dlf_tensor *z, const setup *s, const dlf_tensor *w, const dlf_tensor *b)
{
    OK(dlf_gemm(z, &s->x, w, (dlf_gemm_args){.trans_b = true, .alpha = 1.0}));
    if (b) OK(dlf_bias_add(z, z, b));
}

/* Which operands are there: bit 0 bias, 1 gamma, 2 beta; bit 3: folded in place. */
static void folded_is_the_same(dlf_device *dev, int parts, double tolerance)
{
    setup s;
    setup_new(&s, dev);
    const dlf_norm norm = {.kind = DLF_BATCH_NORM, .eps = 0.01};
    dlf_norm_fwd io = {.y = &s.y, .x = &s.z, .running_mean = &s.mean, .running_var = &s.var};
    const dlf_tensor *b = parts & 1 ? &s.b : NULL;
    io.gamma = parts & 2 ? &s.gamma : NULL;
    io.beta = parts & 4 ? &s.beta : NULL;
    layer(&s.z, &s, &s.w, b);
    OK(dlf_norm_infer(&io, &norm));
    dlf_tensor *w = parts & 8 ? &s.w : &s.folded_w;
    OK(dlf_norm_fold(w, &s.folded_b, &s.w, b, &io, &norm));
    layer(&s.z, &s, w, &s.folded_b);
    double want[P * N * C], got[P * N * C];
    OK(dlf_tensor_download_f64(want, &s.y));
    OK(dlf_tensor_download_f64(got, &s.z));
    for (int i = 0; i < P * N * C; i++)
        if (!(fabs(got[i] - want[i]) <= tolerance * (1.0 + fabs(want[i]))))
            fail_msg("parts %d, element %d: %.9g, unfolded %.9g", parts, i, got[i], want[i]);
    setup_free(&s);
}

/* float: a sum of 7 products and three roundings more, of terms below 20 in sum: 2e-6 of them */
static void device_agrees(void **state)
{
    for (int parts = 0; parts < 16; parts++) folded_is_the_same(kt_dev, parts, 4e-5);
}

static void double_agrees(void **state)
{
    for (int parts = 0; parts < 16; parts++) folded_is_the_same(kt_ref, parts, 1e-13);
}

/* Numbers by hand: k = 3 / sqrt(4) = 1.5. A kernel of more axes is scaled by its output channel. */
static void by_hand(void **state)
{
    const float w0[] = {1, 2, 3, 4, 5, 6, 7, 8}, mean[] = {1, 0}, var[] = {3, 0}, gamma[] = {3, 2};
    const float beta[] = {10, 20}, b0[] = {5, 1};
    dlf_tensor w = kt_tensor(kt_dev, w0, 1, 2, 1, 2, 2), b = kt_tensor(kt_dev, b0, 1, 2);
    dlf_tensor m = kt_tensor(kt_dev, mean, 1, 2), v = kt_tensor(kt_dev, var, 1, 2);
    dlf_tensor g = kt_tensor(kt_dev, gamma, 1, 2), e = kt_tensor(kt_dev, beta, 1, 2);
    const dlf_norm_fwd io = {.running_mean = &m, .running_var = &v, .gamma = &g, .beta = &e};
    OK(dlf_norm_fold(&w, &b, &w, &b, &io, &(dlf_norm){.kind = DLF_BATCH_NORM, .eps = 1.0}));
    float got[8], bias[2];
    OK(dlf_tensor_download(got, &w));
    OK(dlf_tensor_download(bias, &b));
    for (int i = 0; i < 8; i++) assert_true(got[i] == w0[i] * (i < 4 ? 1.5f : 2.0f));
    assert_true(bias[0] == 1.5f * (5 - 1) + 10 && bias[1] == 2.0f * 1 + 20);
    dlf_tensor *all[] = {&w, &b, &m, &v, &g, &e};
    for (int i = 0; i < 6; i++) dlf_tensor_free(all[i]);
}

static void refuses(void **state)
{
    setup s;
    setup_new(&s, kt_dev);
    const dlf_norm norm = {.kind = DLF_BATCH_NORM, .eps = 0.0};
    const dlf_norm_fwd io = {.running_mean = &s.mean, .running_var = &s.var};
    dlf_norm other = norm;
    other.kind = DLF_LAYER_NORM;
    assert_int_equal(dlf_norm_fold(&s.folded_w, &s.folded_b, &s.w, NULL, &io, &other), DLF_ERR_ARG);
    other = norm;
    other.eps = NAN;
    assert_int_equal(dlf_norm_fold(&s.folded_w, &s.folded_b, &s.w, NULL, &io, &other), DLF_ERR_ARG);
    dlf_norm_fwd half = io;
    half.running_var = NULL;
    assert_int_equal(dlf_norm_fold(&s.folded_w, &s.folded_b, &s.w, NULL, &half, &norm),
                     DLF_ERR_ARG);
    assert_int_equal(dlf_norm_fold(&s.x, &s.folded_b, &s.w, NULL, &io, &norm), DLF_ERR_SHAPE);
    assert_int_equal(dlf_norm_fold(&s.folded_w, &s.z, &s.w, NULL, &io, &norm), DLF_ERR_SHAPE);
    assert_non_null(strstr(dlf_error_message(), "folded_b"));
    setup_free(&s);
}

int main(int argc, char **argv)
{
    kt_open(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(device_agrees),
        cmocka_unit_test(double_agrees),
        cmocka_unit_test(by_hand),
        cmocka_unit_test(refuses),
    };
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
