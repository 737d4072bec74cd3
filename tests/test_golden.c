/* SPDX-License-Identifier: MIT
 * test_golden.c -- the ops against what PyTorch computes in float64 from the same float32 inputs
 * (tests/golden/make.py writes the numbers). The tests of the families compare a device with ref;
 * this one compares both with an implementation that is not ours.
 *
 * GOLDEN_VERBOSE=1 prints how much of each tolerance is used.
 *
 * Tolerances of ref: both sides are double, so 1e-13 of the value, and 1e-14 times the size of the
 * terms where they cancel. PyTorch's gelus have 1 + erf and 1 + tanh, which leave 2^-53 |x| where
 * ours have erfc: 4e-15 for the x <= 13 where it shows. With mean 3000 and deviation 0.5, x - mean
 * has lost 12 bits: shift/scale of the terms more.
 * Tolerances of the float devices are argued beside each op; 2^-24 = 6e-8 is one rounding. */
#include <jansson.h>

#include "kernel_test.h"

/* ---- cases and their tensors ---------------------------------------------------------------- */

static const json_t *now;   /* the case                    */
static dlf_tensor kept[48]; /* what the case has allocated */
static int n_kept;

static void case_end(void)
{
    while (n_kept) dlf_tensor_free(&kept[--n_kept]);
}

static const json_t *member_of(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    if (!value) fail_msg("no \"%s\" in the file of golden values", name);
    return value;
}

static double number(const char *name)
{
    return json_number_value(member_of(now, name));
}
static bool flag(const char *name)
{
    return json_is_true(member_of(now, name));
}
static const char *text(const char *name)
{
    return json_string_value(member_of(now, name));
}
static bool has(const char *name)
{
    return json_object_get(now, name) != NULL;
}

static int shape_of(const char *name, int64_t shape[DLF_MAX_DIMS])
{
    const json_t *axes = json_array_get(member_of(now, name), 0);
    const int ndim = (int)json_array_size(axes);
    assert_true(ndim >= 1 && ndim <= DLF_MAX_DIMS);
    for (int i = 0; i < ndim; i++) shape[i] = json_integer_value(json_array_get(axes, (size_t)i));
    return ndim;
}

/* (P,N,C,H,W) to (P,N,H,W,C); element k of the result is element `result` of the source. */
static int64_t from_nchw(const int64_t nchw[5], int64_t k)
{
    const int64_t C = nchw[2], S = nchw[3] * nchw[4];
    const int64_t c = k % C, s = k / C % S, pn = k / (C * S);
    return (pn * C + c) * S + s;
}

/* A tensor of the case, on `device`; images are turned to `layout`. */
static dlf_tensor *tensor_on(dlf_device *device, const char *name, dlf_layout layout)
{
    int64_t shape[DLF_MAX_DIMS];
    const int ndim = shape_of(name, shape);
    const json_t *data = json_array_get(member_of(now, name), 1);
    const size_t n = json_array_size(data);
    const bool turn = layout == DLF_NHWC && ndim == 5;
    const bool integers = n && json_is_integer(json_array_get(data, 0));
    double *real = malloc(n * sizeof *real);
    int32_t *integer = malloc(n * sizeof *integer);
    assert_true(real && integer);
    for (size_t i = 0; i < n; i++) {
        const size_t from = turn ? (size_t)from_nchw(shape, (int64_t)i) : i;
        const json_t *value = json_array_get(data, from);
        real[i] = json_number_value(value);
        integer[i] = (int32_t)json_integer_value(value);
    }
    if (turn) {
        const int64_t nhwc[] = {shape[0], shape[1], shape[3], shape[4], shape[2]};
        memcpy(shape, nhwc, sizeof nhwc);
    }
    assert_true(n_kept < (int)(sizeof kept / sizeof *kept));
    dlf_tensor *t = &kept[n_kept++];
    OK(dlf_tensor_init(t, device, integers ? DLF_I32 : device->real, ndim, shape));
    assert_int_equal(n, dlf_tensor_count(t));
    if (integers)
        OK(dlf_tensor_upload_i32(t, integer));
    else
        OK(dlf_tensor_upload_f64(t, real));
    free(real), free(integer);
    return t;
}

/* An input: its text is short, the number meant is the float32 next to it. Uploading it to a float
 * device rounds; on ref it is rounded here. */
static dlf_tensor *input_as(const char *name, dlf_layout layout)
{
    dlf_tensor *t = tensor_on(kt_dev, name, layout);
    if (t->dtype != DLF_F64) return t;
    const size_t n = (size_t)dlf_tensor_count(t);
    float *rounded = malloc(n * sizeof *rounded);
    assert_non_null(rounded);
    OK(dlf_tensor_download(rounded, t));
    OK(dlf_tensor_upload(t, rounded));
    free(rounded);
    return t;
}
static dlf_tensor *input(const char *name)
{
    return input_as(name, DLF_NCHW);
}

/* Room for an output, full of NaN. */
static dlf_tensor *output_of(dlf_dtype dtype, int ndim, const int64_t *shape)
{
    assert_true(n_kept < (int)(sizeof kept / sizeof *kept));
    dlf_tensor *t = &kept[n_kept++];
    OK(dlf_tensor_init(t, kt_dev, dtype, ndim, shape));
    const size_t n = (size_t)dlf_tensor_count(t);
    double *nan = malloc(n * sizeof *nan);
    assert_non_null(nan);
    for (size_t i = 0; i < n; i++) nan[i] = (double)NAN;
    OK(dlf_tensor_upload_f64(t, nan));
    free(nan);
    return t;
}
static dlf_tensor *output_like(const dlf_tensor *t)
{
    return output_of(kt_dev->real, t->ndim, t->shape);
}

typedef struct tolerance {
    double atol, rtol; /* of a float device            */
    double ref_atol;   /* of ref, whose rtol is 1e-13  */
} tolerance;

/* "op=pool kind=max stride=[2,2]": the parameters of the case, without its tensors. */
static const char *parameters(void)
{
    static char line[512];
    const char *key;
    json_t *value;
    size_t at = 0;
    line[0] = 0;
    json_object_foreach((json_t *)(uintptr_t)now, key, value)
    {
        if (json_is_array(json_array_get(value, 0))) continue;
        char *value_text =
            json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6));
        if (at < sizeof line)
            at += (size_t)snprintf(line + at, sizeof line - at, "%s=%s ", key, value_text);
        free(value_text);
    }
    return line;
}

static void expect_tensor(const dlf_tensor *got, const dlf_tensor *want, const char *name,
                          tolerance tol)
{
    const bool ref = kt_dev->real == DLF_F64;
    const double worst = kt_worst(got, want, ref ? tol.ref_atol : tol.atol, ref ? 1e-13 : tol.rtol);
    if (getenv("GOLDEN_VERBOSE")) printf("  %-18s %8.2g  %s\n", name, worst, parameters());
    if (!(worst <= 1.0)) fail_msg("%s of %s: %.3g x tolerance", name, parameters(), worst);
}

static void expect_as(const dlf_tensor *got, const char *name, dlf_layout layout, tolerance tol)
{
    expect_tensor(got, tensor_on(kt_ref, name, layout), name, tol);
}

static void expect(const dlf_tensor *got, const char *name, tolerance tol)
{
    expect_as(got, name, DLF_NCHW, tol);
}

/* Calls one(case) for the cases of FILE.json whose "op" is `op`. */
static void for_each_case(const char *name, const char *op, void (*one)(void))
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s.json", DLF_GOLDEN_DIR, name);
    json_error_t error;
    json_t *file = json_load_file(path, 0, &error);
    if (!file) fail_msg("%s:%d: %s", path, error.line, error.text);
    int count = 0;
    size_t i;
    json_t *value;
    json_array_foreach(json_object_get(file, "cases"), i, value)
    {
        now = value;
        if (strcmp(text("op"), op) != 0) continue;
        one();
        case_end();
        count++;
    }
    if (!count) fail_msg("%s has no case of %s", path, op);
    json_decref(file);
}

/* ---- normalizations ------------------------------------------------------------------------- */

/* |xhat| < 4, gamma and |dy| < 4, counts up to 36.
 * device  y: 1e-6 of rstd and mean times |gamma xhat|; dx: three terms of rstd |g| that may cancel;
 *         sums of M terms of size |dz xhat| in float lanes; running statistics: two products.
 * rstd    is at most 2 (mostly 1), and 1/scale where x was scaled. */
static void one_norm(dlf_layout layout)
{
    dlf_norm norm = {.layout = layout,
                     .groups = (int64_t)number("groups"),
                     .eps = number("eps"),
                     .momentum = number("momentum")};
    while (strcmp(dlf_norm_name(norm.kind), text("kind")) != 0)
        if (++norm.kind == DLF_NORM_COUNT) fail_msg("no normalization %s", text("kind"));
    norm.activation = dlf_activation_of(flag("relu") ? DLF_RELU : DLF_LINEAR);
    const bool batch = norm.kind == DLF_BATCH_NORM, residual = has("residual");

    dlf_tensor *x = input_as("x", layout), *gamma = input("gamma"), *beta = input("beta");
    dlf_tensor *r = residual ? input_as("residual", layout) : NULL, *y = output_like(x);
    dlf_norm_geometry g;
    OK(dlf_norm_geometry_of(&g, x, norm));
    const int64_t stats[] = {g.P, g.statistics};
    const int64_t by_group[] = {g.P, g.N, g.groups};
    const bool grouped = norm.kind == DLF_INSTANCE_NORM || norm.kind == DLF_GROUP_NORM;
    const int axes = grouped ? 3 : 2;
    const int64_t *shape = grouped ? by_group : stats;
    dlf_tensor *mean = norm.kind == DLF_RMS_NORM ? NULL : output_of(DLF_F64, axes, shape);
    dlf_tensor *rstd = output_of(kt_dev->real, axes, shape);
    dlf_tensor *running_mean = batch ? input("running_mean") : NULL;
    dlf_tensor *running_var = batch ? input("running_var") : NULL;

    const double scale = number("scale"), shift = number("shift");
    const double lost = 1.0 + shift / scale; /* x - mean: this much of a rounding of xhat */
    const tolerance y_tol = {2e-6, 1e-6, 1e-14 * lost}, dx_tol = {4e-6 / scale, 1e-6, 1e-13 * lost};
    const tolerance sum_tol = {1e-5, 1e-6, 1e-13 * lost};
    const tolerance running_tol = {1e-6 + 1e-7 * shift, 2e-6, 1e-14 * lost};
    if (batch) { /* before forward changes the running statistics */
        const dlf_norm_fwd infer = {.y = y,
                                    .running_mean = running_mean,
                                    .running_var = running_var,
                                    .x = x,
                                    .gamma = gamma,
                                    .beta = beta,
                                    .residual = r};
        OK(dlf_norm_infer(&infer, &norm));
        const double largest = 1.0 + shift; /* (x - running_mean) / 1.4 times gamma, not small */
        const tolerance tol = {2e-6, 1e-6, 1e-14 * largest};
        expect_as(y, "y_infer", layout, tol);
    }
    const dlf_norm_fwd fwd = {.y = y,
                              .mean = mean,
                              .rstd = rstd,
                              .running_mean = running_mean,
                              .running_var = running_var,
                              .x = x,
                              .gamma = gamma,
                              .beta = beta,
                              .residual = r};
    OK(dlf_norm_forward(&fwd, &norm));
    expect_as(y, "y", layout, y_tol);
    if (batch) {
        expect(running_mean, "running_mean_after", running_tol);
        expect(running_var, "running_var_after", running_tol);
    }
    dlf_tensor *dy = input_as("dy", layout), *dx = output_like(x), *dr = r ? output_like(r) : NULL;
    dlf_tensor *dgamma = output_like(gamma), *dbeta = output_like(beta);
    const dlf_norm_bwd bwd = {.dx = dx,
                              .dresidual = dr,
                              .dgamma = dgamma,
                              .dbeta = dbeta,
                              .dy = dy,
                              .x = x,
                              .mean = mean,
                              .rstd = rstd,
                              .gamma = gamma,
                              .beta = beta,
                              .residual = r};
    OK(dlf_norm_backward(&bwd, &norm));
    expect_as(dx, "dx", layout, dx_tol);
    if (dr) expect_as(dr, "dresidual", layout, (tolerance){0.0, 0.0, 0.0}); /* dy or 0 */
    expect(dgamma, "dgamma", sum_tol);
    expect(dbeta, "dbeta", sum_tol);
}

static void one_norm_nchw(void)
{
    one_norm(DLF_NCHW);
}
static void one_norm_nhwc(void)
{
    one_norm(DLF_NHWC);
}

static void norms(void **state)
{
    (void)state;
    for_each_case("norms", "norm", one_norm_nchw);
    for_each_case("norms", "norm", one_norm_nhwc);
}

/* ---- activations ---------------------------------------------------------------------------- */

/* device  functions are good to 3 units in the last place, rtol 1e-6; gelu_tanh's e^u multiplies
 * two roundings of u by |u| <= 104, rtol 3e-5; denormals 1e-43 (as in test_activation.c). Slopes
 * are taken from the rounded y: 3 units of a y of at most 1.8, times |dy| <= 1.5, and cancel where
 * y is near 1: atol 1e-6. */
static unsigned activations_seen;

static void one_activation(void)
{
    dlf_activation f;
    OK(dlf_activation_find(&f, text("kind")));
    activations_seen |= 1u << f.kind;
    const bool gelu = f.kind == DLF_GELU || f.kind == DLF_GELU_TANH;
    const double rtol = f.kind == DLF_GELU_TANH ? 3e-5 : 1e-6;
    dlf_tensor *x = input("x"), *dy = input("dy"), *y = output_like(x), *dx = output_like(x);
    OK(dlf_activation_forward(y, x, f));
    expect(y, "y", (tolerance){gelu ? 4e-15 : 1e-43, rtol, gelu ? 4e-15 : 1e-300});
    OK(dlf_activation_backward(dx, dy, x, y, f));
    expect(dx, "dx", (tolerance){1e-6, rtol, gelu ? 6e-15 : 1e-15});
}

static void activations(void **state)
{
    (void)state;
    activations_seen = 0;
    for_each_case("activations", "activation", one_activation);
    assert_int_equal(activations_seen, (1u << DLF_ACTIVATION_COUNT) - 1);
}

/* ---- optimisers ----------------------------------------------------------------------------- */

/* Step t of a path (steps,P,n) as (P,n). */
static dlf_tensor step_of(const dlf_tensor *path, int64_t t)
{
    const dlf_tensor one = dlf_tensor_slice(path, t, 1);
    return dlf_tensor_reshape(&one, 2, path->shape + 1);
}

/* device  a step adds a few roundings of its terms, and there are five. Gradients are of order 1
 *         (column 2: 1e6, column 1: 1e-6); sums with the signs of g lose up to a digit: rtol 2e-6.
 *         adam: an update is at most lr 3 = 1, w a few units; sgd: w takes part with
 *         2^-24 each step. */
static const tolerance path_tol = {1e-6, 2e-6, 1e-14}, moment_tol = {1e-6, 2e-6, 1e-14};

static void one_adam(void)
{
    dlf_tensor *w = input("w"), *lr = input("lr"), *g = input("g");
    dlf_tensor *m = output_like(w), *v = output_like(w), *path = tensor_on(kt_ref, "path", 0);
    OK(dlf_tensor_zero(m));
    OK(dlf_tensor_zero(v));
    dlf_adam_args args = {.beta1 = number("beta1"),
                          .beta2 = number("beta2"),
                          .eps = number("eps"),
                          .weight_decay = number("weight_decay"),
                          .decoupled = flag("decoupled")};
    for (int64_t t = 0; t < g->shape[0]; t++) {
        const dlf_tensor g_t = step_of(g, t), want = step_of(path, t);
        args.step = t + 1;
        OK(dlf_adam_step(w, m, v, &g_t, lr, NULL, NULL, args));
        expect_tensor(w, &want, "path", path_tol);
    }
    expect(m, "m", moment_tol);
    expect(v, "v", (tolerance){1e-18, 2e-6, 1e-30}); /* squares: nothing cancels */
}

static void one_sgd(void)
{
    dlf_tensor *w = input("w"), *lr = input("lr"), *g = input("g");
    const dlf_sgd_args args = {number("momentum"), number("weight_decay")};
    dlf_tensor *v = args.momentum != 0.0 ? output_like(w) : NULL;
    const dlf_tensor *path = tensor_on(kt_ref, "path", DLF_NCHW);
    if (v) OK(dlf_tensor_zero(v));
    for (int64_t t = 0; t < g->shape[0]; t++) {
        const dlf_tensor g_t = step_of(g, t), want = step_of(path, t);
        OK(dlf_sgd_step(w, v, &g_t, lr, NULL, args));
        expect_tensor(w, &want, "path", path_tol);
    }
    if (v) expect(v, "v", moment_tol);
}

static void adam(void **state)
{
    (void)state;
    for_each_case("optimizers", "adam", one_adam);
}

static void sgd(void **state)
{
    (void)state;
    for_each_case("optimizers", "sgd", one_sgd);
}

/* ---- pooling -------------------------------------------------------------------------------- */

/* device  the maximum is an element; a mean or a dx is a sum of at most 12 terms below 4. */
static void one_pool(dlf_layout layout)
{
    const bool max = !strcmp(text("kind"), "max");
    dlf_pool pool = {.kind = max ? DLF_POOL_MAX : DLF_POOL_AVERAGE,
                     .layout = layout,
                     .count_pad = flag("count_pad")};
    for (size_t i = 0; i < 2; i++) {
        pool.kernel[i] = json_integer_value(json_array_get(member_of(now, "kernel"), i));
        pool.stride[i] = json_integer_value(json_array_get(member_of(now, "stride"), i));
        pool.pad[i] = json_integer_value(json_array_get(member_of(now, "pad"), i));
    }
    const tolerance sums = {2e-6, 1e-6, 1e-15};
    dlf_tensor *x = input_as("x", layout), *dy = input_as("dy", layout);
    dlf_tensor *y = output_like(dy), *dx = output_like(x);
    OK(dlf_pool_forward(y, x, pool));
    expect_as(y, "y", layout, max ? (tolerance){0.0, 0.0, 0.0} : sums);
    OK(dlf_pool_backward(dx, dy, max ? x : NULL, pool));
    expect_as(dx, "dx", layout, sums);
}

static void one_pool_nchw(void)
{
    one_pool(DLF_NCHW);
}
static void one_pool_nhwc(void)
{
    one_pool(DLF_NHWC);
}

static void pools(void **state)
{
    (void)state;
    for_each_case("pools", "pool", one_pool_nchw);
    for_each_case("pools", "pool", one_pool_nhwc);
}

/* ---- convolution ---------------------------------------------------------------------------- */

/* device  sums of at most 70 products of two normals. */
static void one_conv(dlf_layout layout)
{
    dlf_conv conv = {.layout = layout, .groups = (int64_t)number("groups")};
    for (size_t i = 0; i < 2; i++) {
        conv.kernel[i] = json_integer_value(json_array_get(member_of(now, "kernel"), i));
        conv.stride[i] = json_integer_value(json_array_get(member_of(now, "stride"), i));
        conv.pad[i] = json_integer_value(json_array_get(member_of(now, "pad"), i));
        conv.dilation[i] = json_integer_value(json_array_get(member_of(now, "dilation"), i));
    }
    const tolerance sums = {1e-5, 1e-6, 1e-13};
    dlf_tensor *x = input_as("x", layout), *w = input_as("w", layout), *bias = input("bias");
    dlf_tensor *dy = input_as("dy", layout), *y = output_like(dy), *dx = output_like(x);
    dlf_tensor *dw = output_like(w), *dbias = output_like(bias);
    OK(dlf_conv_forward(y, x, w, bias, conv));
    expect_as(y, "y", layout, sums);
    OK(dlf_conv_data_grad(dx, dy, w, conv, 0.0));
    expect_as(dx, "dx", layout, sums);
    OK(dlf_conv_weight_grad(dw, x, dy, conv, 0.0));
    expect_as(dw, "dw", layout, sums);
    OK(dlf_conv_bias_grad(dbias, dy, layout, 0.0));
    expect(dbias, "dbias", sums);
    OK(dlf_conv_weight_grad(w, x, dy, conv, number("beta")));
    expect_as(w, "dw_added", layout, sums);
}

static void one_conv_nchw(void)
{
    one_conv(DLF_NCHW);
}
static void one_conv_nhwc(void)
{
    one_conv(DLF_NHWC);
}

static void convs(void **state)
{
    (void)state;
    for_each_case("convs", "conv", one_conv_nchw);
    for_each_case("convs", "conv", one_conv_nhwc);
}

/* ---- 1x1 convolution ------------------------------------------------------------------------ */

/* device  sums of at most 9 products, and of at most 42 for gradients; statistics are of y. */
static void one_conv1x1(dlf_layout layout)
{
    dlf_conv1x1 conv = {.layout = layout};
    for (size_t i = 0; i < 2; i++)
        conv.stride[i] = json_integer_value(json_array_get(member_of(now, "stride"), i));
    OK(dlf_activation_find(&conv.input_activation, text("before")));
    OK(dlf_activation_find(&conv.activation, text("after")));
    const tolerance sums = {1e-5, 1e-6, 1e-13};
    dlf_tensor *x = input_as("x", layout), *w = input("w"), *bias = input("bias");
    dlf_tensor *scale = input("scale"), *shift = input("shift");
    dlf_tensor *residual = input_as("residual", layout), *dz = input_as("dz", layout);
    dlf_tensor *y = output_like(dz), *dx = output_like(x), *dw = output_like(w);
    dlf_tensor *dbias = output_like(bias);
    dlf_tensor *mean = output_of(DLF_F64, bias->ndim, bias->shape);
    dlf_tensor *var = output_of(DLF_F64, bias->ndim, bias->shape);
    const dlf_conv1x1_fwd forward = {.y = y,
                                     .mean = mean,
                                     .var = var,
                                     .x = x,
                                     .w = w,
                                     .bias = bias,
                                     .residual = residual,
                                     .scale = scale,
                                     .shift = shift};
    OK(dlf_conv1x1_forward(&forward, &conv));
    expect_as(y, "y", layout, sums);
    expect(mean, "mean", sums);
    expect(var, "var", sums);
    const dlf_conv1x1_bwd backward = {.dx = dx,
                                      .dw = dw,
                                      .dbias = dbias,
                                      .dz = dz,
                                      .x = x,
                                      .w = w,
                                      .scale = scale,
                                      .shift = shift};
    OK(dlf_conv1x1_backward(&backward, &conv));
    expect_as(dx, "dx", layout, sums);
    expect(dw, "dw", sums);
    expect(dbias, "dbias", sums);
}

static void one_conv1x1_nchw(void)
{
    one_conv1x1(DLF_NCHW);
}
static void one_conv1x1_nhwc(void)
{
    one_conv1x1(DLF_NHWC);
}

static void conv1x1s(void **state)
{
    (void)state;
    for_each_case("conv1x1s", "conv1x1", one_conv1x1_nchw);
    for_each_case("conv1x1s", "conv1x1", one_conv1x1_nhwc);
}

/* ---- embedding ------------------------------------------------------------------------------ */

/* device  a row is copied; a gradient is a sum of at most 11 terms below 4. */
static void one_embedding(void)
{
    const tolerance sums = {3e-6, 1e-6, 1e-14};
    dlf_tensor *table = input("table"), *index = input("index"), *dy = input("dy");
    dlf_tensor *y = output_like(dy), *dtable = output_like(table), *before = input("before");
    OK(dlf_embedding_forward(y, table, index));
    expect(y, "y", (tolerance){0.0, 0.0, 0.0});
    OK(dlf_embedding_backward(dtable, dy, index, 0.0));
    expect(dtable, "dtable", sums);
    OK(dlf_embedding_backward(before, dy, index, number("beta")));
    expect(before, "dtable_added", sums);
}

static void embeddings(void **state)
{
    (void)state;
    for_each_case("embeddings", "embedding", one_embedding);
}

/* ---- losses --------------------------------------------------------------------------------- */

/* device  seven positive terms; slopes are x - t (exact to a rounding of the larger), or sigmoid -
 * t, which cancels: 2e-7 of the scale, which is 1/21. */
static void one_loss(void)
{
    dlf_loss loss = {.delta = number("delta")};
    while (strcmp(dlf_loss_name(loss.kind), text("kind")) != 0)
        if (++loss.kind == DLF_LOSS_COUNT) fail_msg("no loss %s", text("kind"));
    dlf_tensor *x = input("x"), *t = input("t"), *dx = output_like(x);
    dlf_tensor *y = output_of(kt_dev->real, 2, x->shape);
    OK(dlf_loss_forward(y, x, t, loss));
    expect(y, "loss", (tolerance){1e-6, 1e-6, 1e-14});
    OK(dlf_loss_backward(dx, x, t, loss, number("scale")));
    expect(dx, "dx", (tolerance){2e-8, 1e-6, 1e-16});
}

static void losses(void **state)
{
    (void)state;
    for_each_case("losses", "loss", one_loss);
}

/* device  z - max is rounded, so exp(z - max) is off by 4e-7/e of the largest; the loss by a
 *         rounding of z[label] - max besides (as in test_softmax_xent.c); scale is 1/4. */
static void one_softmax_xent(void)
{
    dlf_tensor *z = input("logits"), *labels = input("labels"), *dz = output_like(z);
    dlf_tensor *loss = output_of(kt_dev->real, 2, z->shape);
    OK(dlf_softmax_xent_forward(loss, NULL, z, labels));
    expect(loss, "loss", (tolerance){1e-6, 5e-7, 1e-13}); /* ref: z is up to 600 */
    OK(dlf_softmax_xent_backward(dz, z, labels, number("scale")));
    expect(dz, "dlogits", (tolerance){2.5e-7, 1e-6, 1e-15});
}

static void softmax_xent(void **state)
{
    (void)state;
    for_each_case("losses", "softmax_xent", one_softmax_xent);
}

static int after_each(void **state)
{
    (void)state;
    case_end(); /* where a failure left off */
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(norms, after_each),
        cmocka_unit_test_teardown(activations, after_each),
        cmocka_unit_test_teardown(adam, after_each),
        cmocka_unit_test_teardown(sgd, after_each),
        cmocka_unit_test_teardown(pools, after_each),
        cmocka_unit_test_teardown(convs, after_each),
        cmocka_unit_test_teardown(conv1x1s, after_each),
        cmocka_unit_test_teardown(embeddings, after_each),
        cmocka_unit_test_teardown(losses, after_each),
        cmocka_unit_test_teardown(softmax_xent, after_each),
    };
    kt_open(argc, argv);
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
