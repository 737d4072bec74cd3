/* SPDX-License-Identifier: MIT
 * test_every_op.c -- every op once or a few times, all versions, on shapes of a few thousand
 * threads: for what looks at a run from outside and is slow. In tests/simt that is the race
 * detector, on a GPU compute-sanitizer (scripts/hardware_pass.sh). Results are left to the
 * families' own tests, except for the normalizations; here "it ran" counts.
 *
 * Shapes are chosen for the paths: one warp, several warps, several blocks per reduction. */
#include "norm_test.h"

enum { MAX_TENSORS = 24 };
static dlf_tensor pool[MAX_TENSORS];
static int pooled;

/* A tensor of normal numbers that lives until the end of the test. */
static dlf_tensor *real_of(int ndim, const int64_t *shape)
{
    assert_true(pooled < MAX_TENSORS);
    int64_t n = 1;
    for (int i = 0; i < ndim; i++) n *= shape[i];
    float *x = kt_random(n, (uint32_t)pooled + 1, 1.0f, 0.0f);
    pool[pooled] = kt_tensor_of(kt_dev, x, ndim, shape);
    free(x);
    return &pool[pooled++];
}

static dlf_tensor *typed_of(dlf_dtype dtype, int ndim, const int64_t *shape, int modulus)
{
    assert_true(pooled < MAX_TENSORS);
    dlf_tensor *t = &pool[pooled++];
    OK(dlf_tensor_init(t, kt_dev, dtype, ndim, shape));
    if (dtype != DLF_I32) return t;
    const int64_t n = dlf_tensor_count(t);
    int32_t *host = malloc((size_t)n * sizeof *host);
    assert_non_null(host);
    for (int64_t i = 0; i < n; i++) host[i] = (int32_t)(i * 7 % modulus);
    OK(dlf_tensor_upload_i32(t, host));
    free(host);
    return t;
}

#define SHAPE(...)                                                                                 \
    (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[])                   \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define REAL(...)         real_of(SHAPE(__VA_ARGS__))
#define INT(modulus, ...) typed_of(DLF_I32, SHAPE(__VA_ARGS__), modulus)
#define F64(...)          typed_of(DLF_F64, SHAPE(__VA_ARGS__), 0)

static int release(void **state)
{
    (void)state;
    while (pooled > 0) dlf_tensor_free(&pool[--pooled]);
    return 0;
}

static void dense_layers(void **state)
{
    (void)state;
    for (int t = 0; t < 4; t++) {
        const dlf_gemm_args args = {.trans_a = t & 1, .trans_b = t & 2, .alpha = 1.0, .beta = 1.0};
        dlf_tensor *a = args.trans_a ? REAL(2, 19, 33) : REAL(2, 33, 19);
        dlf_tensor *b = args.trans_b ? REAL(2, 35, 19) : REAL(2, 19, 35);
        OK(dlf_gemm(REAL(2, 33, 35), a, b, args));
    }
    release(NULL);
    dlf_tensor *x = REAL(2, 600, 5), *bias = REAL(2, 5);
    OK(dlf_bias_add(x, x, bias));
    OK(dlf_bias_grad(bias, x, 1.0)); /* two chunks of rows */
}

static void elementwise(void **state)
{
    (void)state;
    dlf_tensor *x = REAL(2, 700), *y = REAL(2, 700), *dy = REAL(2, 700);
    for (int k = 0; k < DLF_ACTIVATION_COUNT; k++) {
        const dlf_activation f = dlf_activation_of((dlf_activation_kind)k);
        OK(dlf_activation_forward(y, x, f));
        OK(dlf_activation_backward(dy, dy, x, y, f));
    }
    const dlf_rng rng = {1, dlf_stream(DLF_PURPOSE_TEST, 0)};
    OK(dlf_random_normal(x, NULL, NULL, rng));
    OK(dlf_random_uniform(x, NULL, 0.25, 0.75, rng));
    dlf_tensor *rate = REAL(2);
    OK(dlf_dropout_apply(y, x, NULL, rate, NULL, (dlf_dropout){rng, 3, 0, 1, true}));
    OK(dlf_dropout_apply(y, x, NULL, rate, INT(1, 1), (dlf_dropout){rng, 0, 9, 7, false}));
}

static void sums_and_products(void **state)
{
    (void)state;
    dlf_tensor *y = REAL(2, 9, 70), *x = REAL(2, 9, 70), *one = REAL(1, 9, 70), *s = REAL(2);
    OK(dlf_axpby(y, one, s, 0.5, 1.0));
    OK(dlf_multiply(y, y, x, 0.5));
    OK(dlf_copy_columns(y, 4, x, 9, 60, 1.0));
    OK(dlf_copy_columns(y, 4, x, 8, 60, 0.0));
}

static void optimisers(void **state)
{
    (void)state;
    dlf_tensor *w = REAL(2, 700), *m = REAL(2, 700), *v = REAL(2, 700), *g = REAL(2, 700);
    dlf_tensor *lr = REAL(2), *scale = REAL(2), *norm = REAL(2), *limit = REAL(2);
    OK(dlf_clip_by_norm(scale, norm, g, limit));
    dlf_tensor *moments = F64(2, DLF_MOMENTS);
    OK(dlf_moments(moments, g));
    OK(dlf_step_guard(norm, INT(1, 2), lr, moments, INT(1, 1)));
    OK(dlf_sgd_step(w, v, g, lr, scale, (dlf_sgd_args){0.9, 0.01}));
    OK(dlf_adam_step(w, m, v, g, lr, scale, INT(1, 1),
                     (dlf_adam_args){.beta1 = 0.9, .beta2 = 0.99}));
    OK(dlf_adam_step(w, m, v, g, lr, scale, NULL,
                     (dlf_adam_args){0.9, 0.999, 1e-8, 0.01, true, 3}));
}

static void statistics(void **state)
{
    (void)state;
    OK(dlf_moments(F64(2, DLF_MOMENTS), REAL(2, 8200))); /* two chunks */
    const int32_t cuts[] = {0, 3, 3, 500, 8200};
    dlf_tensor *offsets = INT(1, 5);
    OK(dlf_tensor_upload_i32(offsets, cuts));
    OK(dlf_moments_pieces(F64(2, 4, DLF_MOMENTS), REAL(2, 8200), offsets));
}

static void losses(void **state)
{
    (void)state;
    dlf_tensor *z = REAL(2, 9, 37), *labels = INT(37, 2, 9), *loss = REAL(2, 9), *hit = REAL(2, 9);
    OK(dlf_softmax_xent_forward(loss, hit, z, labels));
    OK(dlf_softmax_xent_backward(z, z, labels, 0.1));
    dlf_tensor *t = REAL(1, 9, 37);
    for (int k = 0; k < DLF_LOSS_COUNT; k++) {
        const dlf_loss l = {(dlf_loss_kind)k, 1.0};
        OK(dlf_loss_forward(loss, z, t, l));
        OK(dlf_loss_backward(z, z, t, l, 0.1));
    }
}

static void rows_and_windows(void **state)
{
    (void)state;
    dlf_tensor *index = INT(11, 2, 40), *rows = REAL(2, 40, 5);
    OK(dlf_gather_rows(rows, REAL(11, 5), index));
    dlf_tensor *table = REAL(2, 11, 5);
    OK(dlf_embedding_forward(rows, table, index));
    OK(dlf_embedding_backward(table, rows, index, 1.0));
    for (int k = 0; k < 4; k++) {
        release(NULL);
        const dlf_pool p = {k % 2 ? DLF_POOL_AVERAGE : DLF_POOL_MAX,
                            k / 2 ? DLF_NHWC : DLF_NCHW,
                            {3, 3},
                            {2, 2},
                            {1, 1},
                            false};
        dlf_tensor *x = k / 2 ? REAL(1, 2, 9, 9, 3) : REAL(1, 2, 3, 9, 9);
        dlf_tensor *y = k / 2 ? REAL(1, 2, 5, 5, 3) : REAL(1, 2, 3, 5, 5);
        dlf_tensor *dx = k / 2 ? REAL(1, 2, 9, 9, 3) : REAL(1, 2, 3, 9, 9);
        OK(dlf_pool_forward(y, x, p));
        OK(dlf_pool_backward(dx, y, x, p));
    }
    release(NULL);
    const dlf_pool whole = {DLF_POOL_AVERAGE, DLF_NCHW, {9, 9}, {1, 1}, {0, 0}, false};
    dlf_tensor *x = REAL(1, 2, 3, 9, 9), *y = REAL(1, 2, 3, 1, 1);
    OK(dlf_pool_forward(y, x, whole));
    OK(dlf_pool_backward(x, y, NULL, whole));
}

static void convolutions(void **state)
{
    (void)state;
    for (int k = 0; k < 4; k++) {
        release(NULL);
        dlf_conv c = dlf_conv_of(k / 2 ? DLF_NHWC : DLF_NCHW, 3, 2, 1);
        c.groups = 1 + k % 2;
        const int64_t each = 4 / c.groups;
        dlf_tensor *x = k / 2 ? REAL(1, 2, 9, 9, 4) : REAL(1, 2, 4, 9, 9);
        dlf_tensor *w = k / 2 ? REAL(1, 6, 3, 3, each) : REAL(1, 6, each, 3, 3);
        dlf_tensor *y = k / 2 ? REAL(1, 2, 5, 5, 6) : REAL(1, 2, 6, 5, 5), *b = REAL(1, 6);
        OK(dlf_conv_forward(y, x, w, b, c));
        OK(dlf_conv_data_grad(x, y, w, c, 1.0));
        OK(dlf_conv_weight_grad(w, x, y, c, 1.0));
        OK(dlf_conv_bias_grad(b, y, c.layout, 1.0));
    }
    release(NULL);
    const dlf_conv c = dlf_conv_of(DLF_NCHW, 1, 1, 0);
    dlf_tensor *x = REAL(1, 1, 2, 33, 33), *w = REAL(1, 2, 2, 1, 1);
    OK(dlf_conv_weight_grad(w, x, x, c, 1.0)); /* two parts of the sum */
}

/* Every version that fits, in all directions: several blocks, rest tiles, a stride, statistics. */
static void pointwise(void **state)
{
    (void)state;
    for (int layout = 0; layout < 2; layout++)
        for (int version = 1; version <= 3; version++) {
            release(NULL);
            const bool nhwc = layout == DLF_NHWC;
            dlf_tensor *x = nhwc ? REAL(1, 2, 9, 9, 20) : REAL(1, 2, 20, 9, 9);
            dlf_tensor *dx = nhwc ? REAL(1, 2, 9, 9, 20) : REAL(1, 2, 20, 9, 9);
            dlf_tensor *y = nhwc ? REAL(1, 2, 5, 5, 36) : REAL(1, 2, 36, 5, 5);
            dlf_tensor *w = REAL(1, 36, 20), *bias = REAL(1, 36), *scale = REAL(1, 20);
            dlf_tensor *shift = REAL(1, 20);
            const dlf_conv1x1 conv = {.layout = (dlf_layout)layout,
                                      .stride = {2, 2},
                                      .activation = {DLF_RELU, 0.0},
                                      .tf32 = true,
                                      .version = version};
            const dlf_conv1x1_fwd fwd = {.y = y,
                                         .mean = F64(1, 36),
                                         .var = F64(1, 36),
                                         .x = x,
                                         .w = w,
                                         .bias = bias,
                                         .scale = scale,
                                         .shift = shift};
            const dlf_conv1x1_bwd bwd = {.dx = dx,
                                         .dw = REAL(1, 36, 20),
                                         .dbias = REAL(1, 36),
                                         .dz = y,
                                         .x = x,
                                         .w = w,
                                         .scale = scale,
                                         .shift = shift};
            dlf_conv1x1_packed packed = {.K = 0};
            OK(dlf_conv1x1_pack(&packed, w, conv.layout));
            dlf_conv1x1_packed_free(&packed);
            dlf_status status = dlf_conv1x1_forward(&fwd, &conv);
            if (status != DLF_ERR_NO_KERNEL || version == 1) OK(status);
            status = dlf_conv1x1_backward(&bwd, &conv);
            if (status != DLF_ERR_NO_KERNEL || version == 1) OK(status);
            OK(dlf_conv1x1_fold(scale, shift, F64(1, 20), F64(1, 20), NULL, NULL, 1.0));
        }
}

/* Every version of every kernel that fits. The race detector pays per thread: few blocks. */
static void normalizations(dlf_norm_kind kind)
{
    const nt_case shapes[] = {
        {.P = 1, .N = 2, .C = 4, .H = 3, .W = 3},
        {.P = 2,
         .N = 2,
         .C = 4,
         .H = 5,
         .W = 8,
         .activation = DLF_RELU,
         .residual = true,
         .pad = 3},
        {.P = 1, .N = 1, .C = 2, .H = 17, .W = 31, .activation = DLF_SILU},
        {.P = 1, .N = 12, .C = 20},
    };
    const bool rows = dlf_norm_over_channels(kind) == DLF_ALL_CHANNELS || kind == DLF_BATCH_NORM;
    for (int k = 0; k < (rows ? 4 : 3); k++)
        for (int layout = 0; layout < (shapes[k].W ? 2 : 1); layout++)
            for (int version = 1; version <= 4; version++) {
                nt_case c = shapes[k];
                c.kind = kind, c.layout = (dlf_layout)layout, c.groups = 2, c.version = version;
                const bool ran = nt_run(c);
                assert_true(ran || version > 1);
            }
}

static void batch_norm(void **state)
{
    (void)state;
    normalizations(DLF_BATCH_NORM);
}

static void layer_norms(void **state)
{
    (void)state;
    normalizations(DLF_LAYER_NORM);
    normalizations(DLF_RMS_NORM);
}

static void group_norms(void **state)
{
    (void)state;
    normalizations(DLF_GROUP_NORM);
    normalizations(DLF_INSTANCE_NORM);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(dense_layers, release),
        cmocka_unit_test_teardown(elementwise, release),
        cmocka_unit_test_teardown(sums_and_products, release),
        cmocka_unit_test_teardown(optimisers, release),
        cmocka_unit_test_teardown(statistics, release),
        cmocka_unit_test_teardown(losses, release),
        cmocka_unit_test_teardown(rows_and_windows, release),
        cmocka_unit_test_teardown(convolutions, release),
        cmocka_unit_test_teardown(pointwise, release),
        cmocka_unit_test(batch_norm),
        cmocka_unit_test(layer_norms),
        cmocka_unit_test(group_norms),
    };
    kt_open(argc, argv);
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
