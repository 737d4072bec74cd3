/* SPDX-License-Identifier: MIT
 * test_far.c -- index arithmetic beyond 2^31. Every op runs twice on two members: once side by
 * side, once with more than 2^31 elements between them, and must give the same bits. The memory
 * between is asked for and never touched. On a GPU with room for it, also tensors of more than 2^31
 * elements.
 *
 * A product taken in int somewhere ends in a wild address or in the wrong member. */
#include "kernel_test.h"

enum { MOST = 11 };
static const int64_t far_stride = ((int64_t)1 << 31) + 64;

typedef struct operand {
    dlf_dtype dtype;
    int ndim;
    int64_t shape[6];
} operand;

typedef struct far_case {
    const char *name;
    void (*run)(dlf_tensor *t);
    operand operands[MOST]; /* up to the first without axes */
} far_case;

#define R2(...)                                                                                    \
    {                                                                                              \
        DLF_F32, (int)(sizeof((int64_t[]){2, __VA_ARGS__}) / sizeof(int64_t)),                     \
        {                                                                                          \
            2, __VA_ARGS__                                                                         \
        }                                                                                          \
    }
#define P2                                                                                         \
    {                                                                                              \
        DLF_F32, 1,                                                                                \
        {                                                                                          \
            2                                                                                      \
        }                                                                                          \
    }
#define D2(...)                                                                                    \
    {                                                                                              \
        DLF_F64, (int)(sizeof((int64_t[]){2, __VA_ARGS__}) / sizeof(int64_t)),                     \
        {                                                                                          \
            2, __VA_ARGS__                                                                         \
        }                                                                                          \
    }
#define I2(...)                                                                                    \
    {                                                                                              \
        DLF_I32, (int)(sizeof((int64_t[]){2, __VA_ARGS__}) / sizeof(int64_t)),                     \
        {                                                                                          \
            2, __VA_ARGS__                                                                         \
        }                                                                                          \
    }

static void gemm(dlf_tensor *t)
{
    OK(dlf_gemm(&t[0], &t[1], &t[2], (dlf_gemm_args){.alpha = 1.0, .beta = 1.0}));
}
static void bias(dlf_tensor *t)
{
    OK(dlf_bias_add(&t[0], &t[1], &t[2]));
    OK(dlf_bias_grad(&t[3], &t[1], 1.0));
}
static void combine(dlf_tensor *t)
{
    OK(dlf_axpby(&t[0], &t[1], &t[3], 0.5, 1.0));
    OK(dlf_multiply(&t[2], &t[0], &t[1], 1.0));
    OK(dlf_copy_columns(&t[2], 1, &t[1], 2, 5, 1.0));
    OK(dlf_copy_columns(&t[0], 0, &t[1], 4, 4, 0.0));
}
static void activation(dlf_tensor *t)
{
    OK(dlf_activation_forward(&t[0], &t[1], dlf_activation_of(DLF_TANH)));
    OK(dlf_activation_backward(&t[2], &t[3], NULL, &t[0], dlf_activation_of(DLF_TANH)));
}
static void moments(dlf_tensor *t)
{
    OK(dlf_moments(&t[0], &t[1]));
    OK(dlf_moments_pieces(&t[2], &t[1],
                          &(dlf_tensor){.data = t[3].data,
                                        .device = t[3].device,
                                        .dtype = DLF_I32,
                                        .ndim = 1,
                                        .shape = {3},
                                        .stride = 1,
                                        .view = true}));
}
static void softmax(dlf_tensor *t)
{
    OK(dlf_softmax_xent_forward(&t[0], &t[1], &t[2], &t[3]));
    OK(dlf_softmax_xent_backward(&t[4], &t[2], &t[3], 0.5));
}
static void loss(dlf_tensor *t)
{
    const dlf_loss huber = {DLF_LOSS_HUBER, 1.0};
    OK(dlf_loss_forward(&t[0], &t[1], &t[2], huber));
    OK(dlf_loss_backward(&t[3], &t[1], &t[2], huber, 0.5));
}
static void sgd(dlf_tensor *t)
{
    OK(dlf_clip_by_norm(&t[4], &t[5], &t[2], &t[3]));
    OK(dlf_sgd_step(&t[0], &t[1], &t[2], &t[3], &t[4], (dlf_sgd_args){0.9, 0.01}));
}
static void guard(dlf_tensor *t)
{
    dlf_tensor clock = dlf_tensor_slice(&t[4], 0, 1), second = dlf_tensor_slice(&t[3], 1, 1);
    OK(dlf_tensor_upload_i32(&t[1], (const int32_t[]){-1, -1}));
    OK(dlf_tensor_zero(&second)); /* the first member is bad, the second is not */
    OK(dlf_step_guard(&t[0], &t[1], &t[2], &t[3], &clock));
}
static void adam(dlf_tensor *t)
{
    OK(dlf_adam_step(&t[0], &t[1], &t[2], &t[3], &t[4], NULL, NULL,
                     (dlf_adam_args){0.9, 0.999, 1e-8, 0.01, true, 2}));
}
static void draws(dlf_tensor *t)
{
    const dlf_rng rng = {7, dlf_stream(DLF_PURPOSE_TEST, 9)};
    OK(dlf_random_normal(&t[0], NULL, &t[3], rng));
    OK(dlf_random_uniform(&t[1], NULL, 0.0, 1.0, rng));
    OK(dlf_dropout_apply(&t[2], &t[0], NULL, &t[3], NULL, (dlf_dropout){rng, 5, 0, 1, true}));
}
static void embedding(dlf_tensor *t)
{
    OK(dlf_embedding_forward(&t[0], &t[1], &t[2]));
    OK(dlf_embedding_backward(&t[1], &t[0], &t[2], 1.0));
}
static void pool(dlf_tensor *t)
{
    const dlf_pool p = {DLF_POOL_MAX, DLF_NCHW, {3, 3}, {2, 2}, {1, 1}, false};
    OK(dlf_pool_forward(&t[0], &t[1], p));
    OK(dlf_pool_backward(&t[2], &t[0], &t[1], p));
}
static void conv(dlf_tensor *t)
{
    const dlf_conv c = dlf_conv_of(DLF_NCHW, 3, 2, 1);
    OK(dlf_conv_forward(&t[0], &t[1], &t[2], &t[3], c));
    OK(dlf_conv_data_grad(&t[1], &t[0], &t[2], c, 1.0));
    OK(dlf_conv_weight_grad(&t[2], &t[1], &t[0], c, 1.0));
    OK(dlf_conv_bias_grad(&t[3], &t[0], DLF_NCHW, 1.0));
}

/* y, mean, var, x, w, bias, dz, dx, dw, dbias */
static void conv1x1_of(dlf_tensor *t, dlf_layout layout)
{
    const dlf_conv1x1 conv = {.layout = layout};
    const dlf_conv1x1_fwd fwd = {
        .y = &t[0], .mean = &t[1], .var = &t[2], .x = &t[3], .w = &t[4], .bias = &t[5]};
    const dlf_conv1x1_bwd bwd = {
        .dx = &t[7], .dw = &t[8], .dbias = &t[9], .dz = &t[6], .x = &t[3], .w = &t[4]};
    OK(dlf_conv1x1_forward(&fwd, &conv));
    OK(dlf_conv1x1_backward(&bwd, &conv));
}
static void conv1x1_nchw(dlf_tensor *t)
{
    conv1x1_of(t, DLF_NCHW);
}
static void conv1x1_nhwc(dlf_tensor *t)
{
    conv1x1_of(t, DLF_NHWC);
}

/* y, mean, rstd, x, gamma, beta, residual, dx, dresidual, dgamma, dbeta */
static void norm_of(dlf_tensor *t, dlf_norm_kind kind, dlf_layout layout)
{
    const bool rms = kind == DLF_RMS_NORM;
    const dlf_norm norm = {
        .kind = kind, .layout = layout, .groups = 2, .eps = 1e-5, .activation = {DLF_RELU, 0.0}};
    const dlf_norm_fwd fwd = {.y = &t[0],
                              .mean = rms ? NULL : &t[1],
                              .rstd = &t[2],
                              .x = &t[3],
                              .gamma = &t[4],
                              .beta = &t[5],
                              .residual = &t[6]};
    const dlf_norm_bwd bwd = {.dx = &t[7],
                              .dresidual = &t[8],
                              .dgamma = &t[9],
                              .dbeta = &t[10],
                              .dy = &t[0],
                              .x = &t[3],
                              .mean = rms ? NULL : &t[1],
                              .rstd = &t[2],
                              .gamma = &t[4],
                              .beta = &t[5],
                              .residual = &t[6]};
    OK(dlf_norm_forward(&fwd, &norm));
    OK(dlf_norm_backward(&bwd, &norm));
}
#define NORM(name, kind, layout)                                                                   \
    static void name(dlf_tensor *t)                                                                \
    {                                                                                              \
        norm_of(t, kind, layout);                                                                  \
    }
NORM(batch_nchw, DLF_BATCH_NORM, DLF_NCHW)
NORM(batch_nhwc, DLF_BATCH_NORM, DLF_NHWC)
NORM(layer, DLF_LAYER_NORM, DLF_NCHW)
NORM(rms, DLF_RMS_NORM, DLF_NHWC)
NORM(group_nchw, DLF_GROUP_NORM, DLF_NCHW)
NORM(group_nhwc, DLF_GROUP_NORM, DLF_NHWC)
NORM(instance_nchw, DLF_INSTANCE_NORM, DLF_NCHW)

#define NORM_OPERANDS(x, ...)                                                                      \
    {                                                                                              \
        x, D2(__VA_ARGS__), R2(__VA_ARGS__), x, R2(4), R2(4), x, x, x, R2(4), R2(4)                \
    }
static const far_case cases[] = {
    {"gemm", gemm, {R2(5, 7), R2(5, 3), R2(3, 7)}},
    {"bias", bias, {R2(5, 8), R2(5, 8), R2(8), R2(8)}},
    {"combine", combine, {R2(5, 8), R2(5, 8), R2(5, 8), P2}},
    {"activation", activation, {R2(40), R2(40), R2(40), R2(40)}},
    {"moments", moments, {D2(DLF_MOMENTS), R2(40), D2(2, DLF_MOMENTS), I2(3)}},
    {"softmax_xent", softmax, {R2(3), R2(3), R2(3, 5), I2(3), R2(3, 5)}},
    {"loss", loss, {R2(3), R2(3, 5), R2(3, 5), R2(3, 5)}},
    {"sgd, clip", sgd, {R2(40), R2(40), R2(40), P2, P2, P2}},
    {"step_guard", guard, {P2, {DLF_I32, 1, {2}}, P2, D2(DLF_MOMENTS), {DLF_I32, 1, {2}}}},
    {"adam", adam, {R2(40), R2(40), R2(40), R2(40), P2}},
    {"random, dropout", draws, {R2(40), R2(40), R2(40), P2}},
    {"embedding", embedding, {R2(6, 4), R2(5, 4), I2(6)}},
    {"pool", pool, {R2(1, 2, 3, 3), R2(1, 2, 5, 5), R2(1, 2, 5, 5)}},
    {"conv", conv, {R2(1, 3, 3, 3), R2(1, 2, 5, 5), R2(3, 2, 3, 3), R2(3)}},
    {"conv1x1 nchw",
     conv1x1_nchw,
     {R2(3, 5, 2, 4), D2(5), D2(5), R2(3, 4, 2, 4), R2(5, 4), R2(5), R2(3, 5, 2, 4), R2(3, 4, 2, 4),
      R2(5, 4), R2(5)}},
    {"conv1x1 nhwc",
     conv1x1_nhwc,
     {R2(3, 2, 4, 5), D2(5), D2(5), R2(3, 2, 4, 4), R2(5, 4), R2(5), R2(3, 2, 4, 5), R2(3, 2, 4, 4),
      R2(5, 4), R2(5)}},
    {"batch_norm nchw", batch_nchw, NORM_OPERANDS(R2(3, 4, 2, 4), 4)},
    {"batch_norm nhwc", batch_nhwc, NORM_OPERANDS(R2(3, 2, 4, 4), 4)},
    {"layer_norm", layer, NORM_OPERANDS(R2(3, 4, 2, 4), 3)},
    {"rms_norm", rms, NORM_OPERANDS(R2(3, 4), 3)},
    {"group_norm nchw", group_nchw, NORM_OPERANDS(R2(3, 4, 2, 4), 3, 2)},
    {"group_norm nhwc", group_nhwc, NORM_OPERANDS(R2(3, 2, 4, 4), 3, 2)},
    {"instance_norm", instance_nchw, NORM_OPERANDS(R2(3, 4, 2, 4), 3, 4)},
};

/* Two members `stride` apart, filled with small positive numbers. False: no such memory here. */
static bool operand_new(dlf_tensor *arena, dlf_tensor *t, operand o, int64_t stride,
                        uint32_t stream)
{
    const dlf_dtype dtype = o.dtype == DLF_F32 ? kt_dev->real : o.dtype;
    int64_t own = 1;
    for (int i = 1; i < o.ndim; i++) own *= o.shape[i];
    if (stride < own) stride = own;
    const dlf_status status = dlf_tensor_new(arena, kt_dev, dtype, stride + own);
    if (status == DLF_ERR_OOM) return false;
    OK(status);
    *t = *arena;
    t->view = true;
    t->ndim = o.ndim;
    memcpy(t->shape, o.shape, sizeof t->shape);
    t->stride = stride;
    const int64_t n = dlf_tensor_count(t);
    float *x = kt_random(n, stream, 1.0f, 0.0f);
    int32_t *k = malloc((size_t)n * sizeof *k);
    assert_non_null(k);
    for (int64_t i = 0; i < n; i++) {
        x[i] = o.ndim == 1 ? 0.25f + 0.5f * (float)i : fabsf(x[i]);
        k[i] = (int32_t)(i % 3);
    }
    if (dtype == DLF_I32)
        OK(dlf_tensor_upload_i32(t, k));
    else
        OK(dlf_tensor_upload(t, x));
    free(x), free(k);
    return true;
}

static double *values_of(const dlf_tensor *t)
{
    const int64_t n = dlf_tensor_count(t);
    double *v = calloc((size_t)n, sizeof *v);
    assert_non_null(v);
    if (t->dtype != DLF_I32) OK(dlf_tensor_download_f64(v, t));
    return v;
}

/* False: no room for it. */
static bool run_case(const far_case *c)
{
    dlf_tensor arenas[2][MOST] = {{{0}}}, t[2][MOST] = {{{0}}};
    int n = 0;
    bool room = true;
    for (; n < MOST && c->operands[n].ndim; n++)
        for (int far = 0; far < 2; far++)
            room = room && operand_new(&arenas[far][n], &t[far][n], c->operands[n],
                                       far ? far_stride : 0, (uint32_t)n + 1);
    if (room) {
        c->run(t[0]);
        c->run(t[1]);
        for (int i = 0; i < n; i++) {
            double *near = values_of(&t[0][i]), *far = values_of(&t[1][i]);
            if (memcmp(near, far, (size_t)dlf_tensor_count(&t[0][i]) * sizeof *near) != 0)
                fail_msg("%s: operand %d differs when its members are far apart", c->name, i);
            free(near), free(far);
        }
    }
    for (int i = 0; i < MOST; i++) dlf_tensor_free(&arenas[0][i]), dlf_tensor_free(&arenas[1][i]);
    return room;
}

static void members_far_apart(void **state)
{
    (void)state;
    int ran = 0;
#ifdef __SANITIZE_ADDRESS__
    skip(); /* its shadow of untouched memory is an eighth of it, and touched */
#endif
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++)
        if (run_case(&cases[k]))
            ran++;
        else
            printf("  %s: no room\n", cases[k].name);
    if (!ran) skip();
}

/* One member of more than 2^31 elements; the last rows are checked. Only where 2^31 elements are
 * cheap, which is a GPU with 40 GiB. */
static void more_elements_than_int_counts(void **state)
{
    (void)state;
    const bool gpu = !strcmp(kt_dev->info.backend, "cuda") && !kt_in_bed();
    if (!gpu || kt_dev->info.memory_bytes < (int64_t)40 << 30) skip();
    const int64_t C = 1024, M = far_stride / C + 3, tail[] = {1, 3 * C};
    dlf_tensor x = {0}, y = {0}, small = kt_tensor(kt_dev, NULL, 1, 3, C), want = {0};
    OK(dlf_tensor_new(&x, kt_dev, DLF_F32, 1, M, C));
    OK(dlf_tensor_new(&y, kt_dev, DLF_F32, 1, M, C));
    OK(dlf_tensor_new(&want, kt_dev, DLF_F32, 1, 3, C));
    OK(dlf_random_normal(&x, NULL, NULL, (dlf_rng){1, 1}));
    dlf_tensor last = dlf_tensor_window(&x, (M - 3) * C, 2, tail);
    dlf_tensor flat = dlf_tensor_reshape(&small, 2, tail);
    OK(dlf_tensor_copy(&flat, &last));
    last = dlf_tensor_window(&y, (M - 3) * C, 3, small.shape);
    const dlf_norm norm = {.kind = DLF_LAYER_NORM, .eps = 1e-5};
    OK(dlf_norm_forward(&(dlf_norm_fwd){.y = &y, .x = &x}, &norm));
    OK(dlf_norm_forward(&(dlf_norm_fwd){.y = &want, .x = &small}, &norm));
    assert_true(kt_worst(&last, &want, 1e-6, 1e-6) <= 1.0);
    OK(dlf_activation_forward(&y, &x, dlf_activation_of(DLF_GELU)));
    OK(dlf_activation_forward(&want, &small, dlf_activation_of(DLF_GELU)));
    assert_true(kt_worst(&last, &want, 0.0, 1e-6) <= 1.0);
    dlf_tensor_free(&x), dlf_tensor_free(&y), dlf_tensor_free(&small), dlf_tensor_free(&want);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_far_apart),
        cmocka_unit_test(more_elements_than_int_counts),
    };
    kt_open(argc, argv);
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
