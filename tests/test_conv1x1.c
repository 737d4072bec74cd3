/* SPDX-License-Identifier: MIT
 * test_conv1x1.c -- the 1x1 convolution against the definition: forward with all that is fused into
 * it, the three gradients, in both layouts and all storage types, every version.
 *
 * Tolerances, from 2^-24 = 6e-8 per rounding. Factors are of size 1, w of size 1/sqrt(C): a sum of
 * C products has size 1 and an error that grows like sqrt(C), and stays below 2e-6 (4 + sqrt(C))
 * with the extremes of a few thousand sums. Gradients alike, with K and M terms for C: dx has size
 * sqrt(K/C), dw sqrt(M). Storage adds one rounding of the output. Where factors are rounded before
 * they are multiplied (tf32: by up to 2^-11; the prologue's u on 16-bit tensor cores: by up to half
 * a unit of the type) the errors of the products are independent and have about that size times
 * that of the sum, with extremes at eight times as much. mean and var come from stored values: a
 * mean over M is wrong by that of one y at most. */
#include "kernel_test.h"

enum { VERSIONS = 3 };
static int ran[VERSIONS + 1];

typedef struct c1_case {
    int64_t P, N, C, K, H, W; /* W = 0: matrices (P,N,C), (P,N,K)                      */
    int64_t stride;
    dlf_layout layout;
    dlf_dtype dtype;
    dlf_activation_kind f, g; /* of y, of the input                                    */
    bool scale, bias, residual, statistics, tf32;
    bool shared;   /* x, w and all parameters are the same for all members  */
    bool in_place; /* y is residual                                         */
    double accumulate;
    float shift; /* of bias: |mean| of y against its deviation                */
    int64_t pad; /* members are windows with this many elements before and after */
    int version;
} c1_case;

typedef struct held {
    dlf_tensor arena, t;
} held;

enum {
    X,
    W,
    BIAS,
    RESIDUAL,
    SCALE,
    SHIFT,
    DZ,
    INPUTS,
    Y = INPUTS,
    MEAN,
    VAR,
    DX,
    DW,
    DBIAS,
    OPERANDS
};
static const char *const names[] = {"x", "w",    "bias", "residual", "scale", "shift", "dz",
                                    "y", "mean", "var",  "dx",       "dw",    "dbias"};

typedef struct side {
    held o[OPERANDS];
} side;

/* Windows of the same values on both devices; host NULL: NaN, which nothing may read. */
static void pair(held *dev, held *ref, dlf_dtype dtype, const float *host, int64_t pad, int ndim,
                 const int64_t *shape)
{
    int64_t n = 1;
    for (int i = 1; i < ndim; i++) n *= shape[i];
    const int64_t arena[] = {shape[0], n + 2 * pad};
    float *all = malloc((size_t)(arena[0] * arena[1]) * sizeof *all);
    assert_non_null(all);
    for (int64_t i = 0; i < arena[0] * arena[1]; i++) all[i] = NAN;
    for (int64_t p = 0; host && p < shape[0]; p++)
        memcpy(all + p * arena[1] + pad, host + p * n, (size_t)n * sizeof *all);
    if (dtype == DLF_F64) {
        OK(dlf_tensor_init(&dev->arena, kt_dev, dtype, 2, arena));
        OK(dlf_tensor_init(&ref->arena, kt_ref, dtype, 2, arena));
        OK(dlf_tensor_upload(&dev->arena, all));
        OK(dlf_tensor_upload(&ref->arena, all));
    } else {
        kt_storage_pair(&dev->arena, &ref->arena, dtype, all, 2, arena);
    }
    dev->t = dlf_tensor_window(&dev->arena, pad, ndim, shape);
    ref->t = dlf_tensor_window(&ref->arena, pad, ndim, shape);
    free(all);
}

static int64_t outputs(int64_t in, int64_t stride)
{
    return (in - 1) / (stride ? stride : 1) + 1;
}

static int image_shape(int64_t shape[5], const c1_case *c, int64_t P, bool x)
{
    const int64_t channels = x ? c->C : c->K, H = x ? c->H : outputs(c->H, c->stride);
    const int64_t V = x ? c->W : outputs(c->W, c->stride);
    const int64_t nchw[] = {P, c->N, channels, H, V}, nhwc[] = {P, c->N, H, V, channels};
    memcpy(shape, c->layout == DLF_NCHW || !c->W ? nchw : nhwc, sizeof nchw);
    return c->W ? 5 : 3;
}

static int64_t count(int ndim, const int64_t *shape)
{
    int64_t n = 1;
    for (int i = 0; i < ndim; i++) n *= shape[i];
    return n;
}

static void build(const c1_case *c, side *dev, side *ref)
{
    const int64_t P = c->P, one = c->shared ? 1 : P;
    int64_t x[5], dx[5], y[5];
    const int ndim = image_shape(x, c, one, true);
    image_shape(dx, c, P, true), image_shape(y, c, P, false);
    const int64_t w[] = {one, c->K, c->C}, dw[] = {P, c->K, c->C}, k[] = {one, c->K},
                  per_c[] = {one, c->C}, all_k[] = {P, c->K};
    const bool keeps = c->accumulate != 0.0;
    const struct {
        int ndim;
        const int64_t *shape;
        dlf_dtype dtype;
        float scale, shift;
        bool filled;
    } what[OPERANDS] = {
        [X] = {ndim, x, c->dtype, 1.0f, 0.2f, true},
        [W] = {3, w, c->dtype, 1.0f / sqrtf((float)c->C), 0.0f, true},
        [BIAS] = {2, k, DLF_F32, 0.5f, c->shift, true},
        [RESIDUAL] = {ndim, y, c->dtype, 1.0f, 0.0f, true},
        [SCALE] = {2, per_c, DLF_F32, 0.3f, 1.0f, true},
        [SHIFT] = {2, per_c, DLF_F32, 0.3f, 0.1f, true},
        [DZ] = {ndim, y, c->dtype, 1.0f, 0.1f, true},
        [Y] = {ndim, y, c->dtype, 0.0f, 0.0f, false},
        [MEAN] = {2, all_k, DLF_F64, 0.0f, 0.0f, false},
        [VAR] = {2, all_k, DLF_F64, 0.0f, 0.0f, false},
        [DX] = {ndim, dx, c->dtype, 1.0f, 0.0f, keeps},
        [DW] = {3, dw, DLF_F32, 1.0f, 0.0f, keeps},
        [DBIAS] = {2, all_k, DLF_F32, 1.0f, 0.0f, keeps},
    };
    for (int i = 0; i < OPERANDS; i++) {
        float *host = kt_random(count(what[i].ndim, what[i].shape), (uint32_t)i + 1, what[i].scale,
                                what[i].shift);
        pair(&dev->o[i], &ref->o[i], what[i].dtype, what[i].filled ? host : NULL, c->pad,
             what[i].ndim, what[i].shape);
        free(host);
    }
}

static void release(side *s)
{
    for (int i = 0; i < OPERANDS; i++) dlf_tensor_free(&s->o[i].arena);
}

static dlf_conv1x1 options(const c1_case *c)
{
    return (dlf_conv1x1){.layout = c->layout,
                         .stride = {c->stride, c->stride},
                         .activation = dlf_activation_of(c->f),
                         .input_activation = dlf_activation_of(c->g),
                         .tf32 = c->tf32,
                         .version = c->version};
}

static dlf_conv1x1_fwd forward_of(const c1_case *c, side *s)
{
    return (dlf_conv1x1_fwd){
        .y = c->in_place ? &s->o[RESIDUAL].t : &s->o[Y].t,
        .mean = c->statistics ? &s->o[MEAN].t : NULL,
        .var = c->statistics ? &s->o[VAR].t : NULL,
        .x = &s->o[X].t,
        .w = &s->o[W].t,
        .bias = c->bias ? &s->o[BIAS].t : NULL,
        .residual = c->residual || c->in_place ? &s->o[RESIDUAL].t : NULL,
        .scale = c->scale ? &s->o[SCALE].t : NULL,
        .shift = c->scale ? &s->o[SHIFT].t : NULL,
    };
}

static dlf_conv1x1_bwd backward_of(const c1_case *c, side *s)
{
    return (dlf_conv1x1_bwd){
        .dx = &s->o[DX].t,
        .dw = &s->o[DW].t,
        .dbias = c->bias ? &s->o[DBIAS].t : NULL,
        .dz = &s->o[DZ].t,
        .x = &s->o[X].t,
        .w = &s->o[W].t,
        .scale = c->scale ? &s->o[SCALE].t : NULL,
        .shift = c->scale ? &s->o[SHIFT].t : NULL,
        .accumulate = c->accumulate,
        .accumulate_dx = c->accumulate,
    };
}

/* What stands around the windows must still be NaN. */
static void gaps_untouched(const held *h, const char *name)
{
    const int64_t pitch = h->arena.stride, own = dlf_tensor_member_count(&h->t);
    const int64_t pad = (pitch - own) / 2, n = dlf_tensor_count(&h->arena);
    double *v = malloc((size_t)n * sizeof *v);
    assert_non_null(v);
    OK(dlf_tensor_download_f64(v, &h->arena));
    for (int64_t i = 0; i < n; i++)
        if ((i % pitch < pad || i % pitch >= pad + own) && !isnan(v[i]))
            fail_msg("%s was written outside, at %lld", name, (long long)i);
    free(v);
}

static void agree(const c1_case *c, side *dev, side *ref, int i, double atol, double rtol)
{
    const double worst = kt_worst(&dev->o[i].t, &ref->o[i].t, atol, rtol);
    gaps_untouched(&dev->o[i], names[i]);
    if (!(worst <= 1.0))
        fail_msg("%s of P %lld N %lld C %lld K %lld %lldx%lld stride %lld %s %s%s f %s version %d: "
                 "%.3g x tolerance",
                 names[i], (long long)c->P, (long long)c->N, (long long)c->C, (long long)c->K,
                 (long long)c->H, (long long)c->W, (long long)c->stride,
                 c->layout == DLF_NCHW ? "NCHW" : "NHWC", dlf_dtype_name(c->dtype),
                 c->tf32 ? " tf32" : "", dlf_activation_name(dlf_activation_of(c->f).kind),
                 c->version, worst);
}

/* Mean and variance are those of y as the device has stored it, in 16 bits perhaps: batch norm of y
 * would find the same, 1e-6 of the spread and of the mean apart. */
static void moments_of_what_is_stored(const c1_case *c, const side *s)
{
    const int64_t S = c->W ? outputs(c->H, c->stride) * outputs(c->W, c->stride) : 1;
    const int64_t columns = c->P * c->K, M = c->N * S;
    double *y = malloc((size_t)(columns * (M + 2)) * sizeof *y);
    assert_non_null(y);
    double *mean = y + columns * M, *var = mean + columns;
    OK(dlf_tensor_download_f64(y, &s->o[c->in_place ? RESIDUAL : Y].t));
    OK(dlf_tensor_download_f64(mean, &s->o[MEAN].t));
    OK(dlf_tensor_download_f64(var, &s->o[VAR].t));
    for (int64_t i = 0; i < columns; i++) {
        const int64_t k = i % c->K, step = c->layout == DLF_NCHW ? 1 : c->K;
        const int64_t image = S * c->K, first = c->layout == DLF_NCHW ? k * S : k;
        const double *member = y + i / c->K * M * c->K + first;
        double sum = 0.0, squares = 0.0;
        for (int64_t m = 0; m < M; m++) sum += member[m / S * image + m % S * step];
        for (int64_t m = 0; m < M; m++)
            squares += pow(member[m / S * image + m % S * step] - sum / (double)M, 2.0);
        const double want = sum / (double)M, spread = squares / (double)M;
        if (!(fabs(mean[i] - want) <= 1e-6 * (sqrt(spread) + fabs(want))) ||
            !(fabs(var[i] - spread) <= 1e-5 * spread))
            fail_msg("channel %lld of %s: mean %.9g, variance %.9g, of what is stored %.9g, %.9g",
                     (long long)k, dlf_dtype_name(c->dtype), mean[i], var[i], want, spread);
    }
    free(y);
}

/* The bits of what a forward call wrote, as doubles. */
typedef struct written {
    double *v[3];
} written;

static written outputs_of(const dlf_conv1x1_fwd *io)
{
    const dlf_tensor *const out[] = {io->y, io->mean, io->var};
    written w = {{NULL}};
    for (int i = 0; i < 3; i++) {
        if (!out[i]) continue;
        w.v[i] = malloc((size_t)dlf_tensor_count(out[i]) * sizeof(double));
        assert_non_null(w.v[i]);
        OK(dlf_tensor_download_f64(w.v[i], out[i]));
    }
    return w;
}

/* With weights packed beforehand the same bits come out, all of them, over whatever was there. */
static void packed_gives_the_same(const dlf_conv1x1_fwd *with_w, const dlf_conv1x1 *conv)
{
    dlf_conv1x1_fwd io = *with_w;
    dlf_conv1x1_packed packed = {.K = 0};
    const dlf_tensor *const out[] = {io.y, io.mean, io.var};
    const written want = outputs_of(&io);
    for (int i = 0; i < 3; i++)
        if (out[i]) OK(dlf_tensor_zero((dlf_tensor *)(uintptr_t)out[i]));
    OK(dlf_conv1x1_pack(&packed, io.w, conv->layout));
    io.w = NULL, io.packed = &packed;
    OK(dlf_conv1x1_forward(&io, conv));
    const written got = outputs_of(&io);
    for (int i = 0; i < 3; i++) {
        if (!out[i]) continue;
        const size_t bytes = (size_t)dlf_tensor_count(out[i]) * sizeof(double);
        if (memcmp(want.v[i], got.v[i], bytes))
            fail_msg("%s differs with packed weights", i == 0 ? "y" : i == 1 ? "mean" : "var");
        free(want.v[i]), free(got.v[i]);
    }
    dlf_conv1x1_packed_free(&packed);
}

/* Runs the case. False: this version does not fit the case (never for version 0 and 1). */
static bool run(c1_case c)
{
    side dev = {0}, ref = {0};
    build(&c, &dev, &ref);
    c1_case definition = c;
    definition.version = 0;
    const dlf_conv1x1 conv = options(&c), ref_conv = options(&definition);
    const dlf_conv1x1_fwd fwd = forward_of(&c, &dev), ref_fwd = forward_of(&c, &ref);
    const dlf_conv1x1_bwd bwd = backward_of(&c, &dev), ref_bwd = backward_of(&c, &ref);
    const double M = (double)(c.N * (c.W ? outputs(c.H, c.stride) * outputs(c.W, c.stride) : 1));
    const double round = kt_rounding(c.dtype), tiny = c.dtype == DLF_F16 ? 0x1p-25 : 0.0;
    const double C = (double)c.C, K = (double)c.K;
    const bool prologue = c.scale || c.g != DLF_LINEAR;
    const double tf32 = c.tf32 ? 8.0 * 0x1p-11 : 0.0;
    const double u = tf32 + (prologue && c.dtype != DLF_F32 && c.version != 1 ? 8.0 * round : 0.0);
    const double z = 2e-6 * (4.0 + sqrt(C)) + u + 1e-7 * (double)c.shift;

    dlf_status status = dlf_conv1x1_forward(&fwd, &conv);
    const bool forward = status != DLF_ERR_NO_KERNEL;
    if (forward) {
        OK(status);
        OK(dlf_conv1x1_forward(&ref_fwd, &ref_conv));
        agree(&c, &dev, &ref, c.in_place ? RESIDUAL : Y, z + tiny, round + 1e-6);
        if (c.statistics) {
            const double y = z + (round + 1e-6) * (4.0 + (double)c.shift);
            agree(&c, &dev, &ref, MEAN, y, 0.0);
            agree(&c, &dev, &ref, VAR, 4.0 * y, 1e-5);
            moments_of_what_is_stored(&c, &dev);
        }
        if (!c.in_place && c.version <= 1) packed_gives_the_same(&fwd, &conv);
    }
    status = dlf_conv1x1_backward(&bwd, &conv);
    const bool backward = status != DLF_ERR_NO_KERNEL;
    if (backward) {
        OK(status);
        OK(dlf_conv1x1_backward(&ref_bwd, &ref_conv));
        const double size = sqrt(K / C); /* of dx: K products of dz and w */
        agree(&c, &dev, &ref, DX, size * (2e-6 * (4.0 + sqrt(K)) + tf32) + 1e-6 + tiny,
              round + 1e-6);
        agree(&c, &dev, &ref, DW, sqrt(M) * (2e-6 * (4.0 + sqrt(M)) + u), 2e-6);
        if (c.bias) agree(&c, &dev, &ref, DBIAS, 2e-6 * (4.0 + sqrt(M)), 2e-6);
    }
    release(&dev), release(&ref);
    if (forward && backward && c.version <= VERSIONS) ran[c.version]++;
    return forward || backward;
}

static bool is_cuda(void)
{
    return strcmp(kt_dev->info.backend, "cuda") == 0;
}

static void in_all_versions(c1_case c)
{
    for (c.version = 1; c.version <= (is_cuda() ? VERSIONS : 1); c.version++)
        if (!run(c)) assert_true(c.version > 1);
}

/* ---- against the definition ----------------------------------------------------------------- */

static const c1_case shapes[] = {
    {.P = 1, .N = 1, .C = 1, .K = 1, .H = 1, .W = 1},
    {.P = 2, .N = 2, .C = 3, .K = 5, .H = 5, .W = 7, .bias = true},
    {.P = 1, .N = 3, .C = 17, .K = 33, .H = 7, .W = 7, .statistics = true},
    {.P = 2, .N = 1, .C = 64, .K = 64, .H = 8, .W = 16, .residual = true},
    {.P = 1, .N = 2, .C = 32, .K = 16, .H = 9, .W = 13, .stride = 2, .bias = true},
    {.P = 2, .N = 5, .C = 7, .K = 70, .H = 3, .W = 5, .stride = 3, .statistics = true},
    {.P = 3, .N = 37, .C = 24, .K = 40, .bias = true, .statistics = true},
    {.P = 1, .N = 1, .C = 300, .K = 20, .H = 4, .W = 8, .scale = true, .g = DLF_RELU},
    {.P = 1, .N = 9, .C = 8, .K = 8, .H = 5, .W = 8, .scale = true, .accumulate = 0.5},
    {.P = 1, .N = 2, .C = 16, .K = 136, .H = 8, .W = 8, .stride = 2, .accumulate = -1.5},
    {.P = 2, .N = 3, .C = 12, .K = 72, .H = 7, .W = 1, .shared = true, .scale = true, .bias = true},
    {.P = 1, .N = 2, .C = 9, .K = 6, .H = 13, .W = 11, .in_place = true, .f = DLF_RELU},
    {.P = 1, .N = 3, .C = 6, .K = 9, .H = 5, .W = 7, .stride = 2, .accumulate = 0.5},
};
enum { N_SHAPES = sizeof shapes / sizeof shapes[0] };

static void matches_reference(void **state)
{
    (void)state;
    for (int i = 0; i < N_SHAPES; i++)
        for (int layout = 0; layout < 2; layout++) {
            c1_case c = shapes[i];
            c.layout = (dlf_layout)layout;
            in_all_versions(c);
            assert_true(run(c)); /* and in the one that is chosen */
        }
}

static void sixteen_bit_types(void **state)
{
    (void)state;
    for (int i = 1; i < N_SHAPES; i++)
        for (int layout = 0; layout < 2; layout++) {
            c1_case c = shapes[i];
            c.layout = (dlf_layout)layout;
            c.dtype = (i + layout) % 2 ? DLF_F16 : DLF_BF16;
            in_all_versions(c);
        }
}

static void tf32_is_close(void **state)
{
    (void)state;
    for (int i = 2; i < N_SHAPES; i += 2)
        for (int layout = 0; layout < 2; layout++) {
            c1_case c = shapes[i];
            c.layout = (dlf_layout)layout;
            c.tf32 = true;
            in_all_versions(c);
        }
}

static void every_activation(void **state)
{
    (void)state;
    for (int f = 0; f < DLF_ACTIVATION_COUNT; f++) {
        c1_case c = {.P = 1, .N = 2, .C = 16, .K = 24, .H = 4, .W = 4, .bias = true};
        c.layout = f % 2 ? DLF_NCHW : DLF_NHWC;
        c.f = (dlf_activation_kind)f;
        c.g = (dlf_activation_kind)((f * 3 + 1) % DLF_ACTIVATION_COUNT);
        c.residual = f % 3 == 0, c.scale = f % 3 != 1;
        in_all_versions(c);
    }
}

/* Members that start anywhere: 3 elements break every vector, 8 keep them all. */
static void strided_members(void **state)
{
    (void)state;
    const int64_t pads[] = {1, 3, 8};
    for (int i = 0; i < 3; i++)
        for (int layout = 0; layout < 2; layout++) {
            c1_case c = {.P = 2, .N = 3, .C = 16, .K = 24, .H = 4, .W = 4, .residual = true};
            c.layout = (dlf_layout)layout;
            c.pad = pads[i];
            c.bias = c.scale = c.statistics = true;
            in_all_versions(c);
            c.dtype = DLF_BF16;
            in_all_versions(c);
        }
}

/* Sizes at which the kernels cut: several tiles of positions and of channels, depth of several
 * pieces, tiles that end in the middle of an image. */
static void sizes_that_are_cut(void **state)
{
    (void)state;
    const c1_case cases[] = {
        {.P = 1, .N = 1, .C = 530, .K = 9, .H = 3, .W = 4, .statistics = true},
        {.P = 1, .N = 5, .C = 20, .K = 210, .H = 7, .W = 7, .statistics = true, .bias = true},
        {.P = 1, .N = 2, .C = 130, .K = 66, .H = 10, .W = 16, .residual = true},
        {.P = 1, .N = 1, .C = 6, .K = 67, .H = 23, .W = 29, .statistics = true, .f = DLF_RELU},
        {.P = 1, .N = 3, .C = 40, .K = 12, .H = 24, .W = 24, .scale = true, .g = DLF_RELU},
        {.P = 1, .N = 1, .C = 2100, .K = 34, .H = 8, .W = 16, .statistics = true},
        {.P = 1, .N = 3, .C = 2100, .K = 34, .H = 7, .W = 7, .bias = true},
        {.P = 1, .N = 20, .C = 40, .K = 50, .H = 7, .W = 7},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int layout = 0; layout < 2; layout++) {
            c1_case c = cases[i];
            /* Deep and wide is for the CPU's tiles, and slow in the test bed. */
            if (c.C == 2100 && kt_in_bed()) continue;
            c.layout = (dlf_layout)layout;
            in_all_versions(c);
            c.dtype = layout ? DLF_F16 : DLF_BF16;
            in_all_versions(c);
        }
}

/* Must be the last of the cases. */
static void every_version_ran(void **state)
{
    (void)state;
    if (!is_cuda()) return;
    for (int k = 0; k <= VERSIONS; k++)
        if (!ran[k]) fail_msg("version %d ran in no case", k);
}

/* ---- properties ----------------------------------------------------------------------------- */

/* Of y = 1000 + N(0, 0.5): sums of y and y^2 in float would leave nothing of the variance. */
static void statistics_do_not_cancel(void **state)
{
    (void)state;
    for (int layout = 0; layout < 2; layout++) {
        side dev = {0}, ref = {0};
        const c1_case c = {.P = 1,
                           .N = 4,
                           .C = 8,
                           .K = 20,
                           .H = 16,
                           .W = 16,
                           .bias = true,
                           .statistics = true,
                           .shift = 1000.0f,
                           .layout = (dlf_layout)layout};
        build(&c, &dev, &ref);
        const dlf_conv1x1_fwd fwd = forward_of(&c, &dev);
        for (int version = 1; version <= (is_cuda() ? VERSIONS : 1); version++) {
            dlf_conv1x1 conv = options(&c);
            conv.version = version;
            const dlf_status status = dlf_conv1x1_forward(&fwd, &conv);
            if (status == DLF_ERR_NO_KERNEL) continue;
            OK(status);
            double y[4 * 20 * 16 * 16];
            double mean[20], var[20];
            OK(dlf_tensor_download_f64(y, fwd.y));
            OK(dlf_tensor_download_f64(mean, fwd.mean));
            OK(dlf_tensor_download_f64(var, fwd.var));
            for (int k = 0; k < 20; k++) { /* of the very values stored, in double */
                double m = 0.0, v = 0.0;
                for (int pass = 0; pass < 2; pass++)
                    for (int n = 0; n < 4; n++)
                        for (int s = 0; s < 256; s++) {
                            const double e = y[layout == DLF_NCHW ? (n * 20 + k) * 256 + s
                                                                  : (n * 256 + s) * 20 + k];
                            if (pass)
                                v += (e - m) * (e - m) / 1024.0;
                            else
                                m += e / 1024.0;
                        }
                if (!(fabs(mean[k] - m) <= 1e-9 * m && fabs(var[k] - v) <= 1e-5 * v))
                    fail_msg("channel %d, version %d: mean %.12g var %.9g, not %.12g %.9g", k,
                             version, mean[k], var[k], m, v);
            }
        }
        release(&dev), release(&ref);
    }
}

/* conv -> statistics -> fold -> conv with prologue is conv -> batch norm -> relu -> conv. */
static void folded_batch_norm_is_batch_norm(void **state)
{
    (void)state;
    const c1_case c = {.P = 2, .N = 3, .C = 12, .K = 16, .H = 5, .W = 5};
    const int64_t inner[] = {2, 3, 16, 5, 5}, back[] = {2, 16, 16}, row[] = {2, 16};
    side dev = {0}, ref = {0};
    build(&c, &dev, &ref);
    float *host = kt_random(2 * 16 * 16, 40, 0.25f, 0.0f);
    float *gamma = kt_random(2 * 16, 41, 0.3f, 1.0f), *beta = kt_random(2 * 16, 42, 0.3f, 0.0f);
    dlf_tensor w2 = kt_tensor_of(kt_dev, host, 3, back), tg = kt_tensor_of(kt_dev, gamma, 2, row);
    dlf_tensor tb = kt_tensor_of(kt_dev, beta, 2, row), scale = kt_tensor_of(kt_dev, NULL, 2, row);
    dlf_tensor shift = kt_tensor_of(kt_dev, NULL, 2, row);
    dlf_tensor fused = kt_tensor_of(kt_dev, NULL, 5, inner);
    dlf_tensor normed = kt_tensor_of(kt_dev, NULL, 5, inner);
    dlf_tensor plain = kt_tensor_of(kt_dev, NULL, 5, inner);
    dlf_conv1x1 conv = {.layout = DLF_NCHW};
    dlf_conv1x1_fwd first = forward_of(&c, &dev);
    first.mean = &dev.o[MEAN].t, first.var = &dev.o[VAR].t;
    OK(dlf_conv1x1_forward(&first, &conv));
    const dlf_norm norm = {.kind = DLF_BATCH_NORM, .eps = 1e-5, .activation = {DLF_RELU, 0.0}};
    const dlf_norm_fwd nf = {.y = &normed, .x = first.y, .gamma = &tg, .beta = &tb};
    OK(dlf_norm_forward(&nf, &norm));
    const dlf_conv1x1_fwd unfused = {.y = &plain, .x = &normed, .w = &w2};
    OK(dlf_conv1x1_forward(&unfused, &conv));
    OK(dlf_conv1x1_fold(&scale, &shift, first.mean, first.var, &tg, &tb, 1e-5));
    conv.input_activation = dlf_activation_of(DLF_RELU);
    const dlf_conv1x1_fwd second = {
        .y = &fused, .x = first.y, .w = &w2, .scale = &scale, .shift = &shift};
    OK(dlf_conv1x1_forward(&second, &conv));
    assert_true(kt_worst(&fused, &plain, 1e-5, 1e-5) <= 1.0);
    dlf_tensor *all[] = {&w2, &tg, &tb, &scale, &shift, &fused, &normed, &plain};
    for (int i = 0; i < 8; i++) dlf_tensor_free(all[i]);
    release(&dev), release(&ref);
    free(host), free(gamma), free(beta);
}

/* sum dz dy/dp = the derivative of sum dz y along p, by differences of the definition itself. */
static void gradients_are_derivatives(void **state)
{
    (void)state;
    for (int layout = 0; layout < 2; layout++) {
        const c1_case c = {.P = 1,
                           .N = 2,
                           .C = 3,
                           .K = 4,
                           .H = 5,
                           .W = 4,
                           .stride = 2,
                           .bias = true,
                           .layout = (dlf_layout)layout};
        side dev = {0}, ref = {0};
        build(&c, &dev, &ref);
        const dlf_conv1x1 conv = options(&c);
        const dlf_conv1x1_fwd fwd = forward_of(&c, &ref);
        const dlf_conv1x1_bwd bwd = backward_of(&c, &ref);
        OK(dlf_conv1x1_backward(&bwd, &conv));
        dlf_tensor *const of[] = {&ref.o[X].t, &ref.o[W].t, &ref.o[BIAS].t};
        const dlf_tensor *const gradient[] = {bwd.dx, bwd.dw, bwd.dbias};
        const int64_t n_y = dlf_tensor_count(fwd.y);
        double y[2][64], dz[64];
        assert_true(n_y <= 64);
        OK(dlf_tensor_download_f64(dz, bwd.dz));
        for (int i = 0; i < 3; i++) {
            double value[128], analytic[128];
            const int64_t n = dlf_tensor_count(of[i]);
            assert_true(n <= 128);
            OK(dlf_tensor_download_f64(value, of[i]));
            OK(dlf_tensor_download_f64(analytic, gradient[i]));
            for (int64_t e = 0; e < n; e++) {
                const double was = value[e], h = 1e-3;
                for (int s = 0; s < 2; s++) {
                    value[e] = was + (s ? -h : h);
                    OK(dlf_tensor_upload_f64(of[i], value));
                    OK(dlf_conv1x1_forward(&fwd, &conv));
                    OK(dlf_tensor_download_f64(y[s], fwd.y));
                }
                value[e] = was;
                double slope = 0.0; /* y is linear in each of them: no error but rounding */
                for (int64_t k = 0; k < n_y; k++) slope += dz[k] * (y[0][k] - y[1][k]) / (2.0 * h);
                if (!(fabs(slope - analytic[e]) <= 1e-10 * (1.0 + fabs(slope))))
                    fail_msg("gradient %d [%lld]: %.12g, by differences %.12g", i, (long long)e,
                             analytic[e], slope);
            }
            OK(dlf_tensor_upload_f64(of[i], value));
        }
        release(&dev), release(&ref);
    }
}

static void same_bits_again(void **state)
{
    (void)state;
    for (int layout = 0; layout < 2; layout++) {
        const c1_case c = {.P = 1,
                           .N = 3,
                           .C = 40,
                           .K = 50,
                           .H = 13,
                           .W = 13,
                           .bias = true,
                           .statistics = true,
                           .layout = (dlf_layout)layout};
        side dev = {0}, ref = {0};
        build(&c, &dev, &ref);
        const dlf_conv1x1 conv = options(&c);
        const dlf_conv1x1_fwd fwd = forward_of(&c, &dev);
        const dlf_conv1x1_bwd bwd = backward_of(&c, &dev);
        const dlf_tensor *const out[] = {fwd.y, fwd.mean, fwd.var, bwd.dx, bwd.dw, bwd.dbias};
        double *first[6], *again;
        const int threads = kt_dev->info.threads;
        for (int round = 0; round < 2; round++) {
            if (round && !is_cuda()) kt_dev->info.threads = 1; /* nor for any number of threads */
            OK(dlf_conv1x1_forward(&fwd, &conv));
            OK(dlf_conv1x1_backward(&bwd, &conv));
            for (int i = 0; i < 6; i++) {
                const size_t bytes = (size_t)dlf_tensor_count(out[i]) * sizeof(double);
                again = malloc(bytes);
                assert_non_null(again);
                OK(dlf_tensor_download_f64(again, out[i]));
                if (round == 0) {
                    first[i] = again;
                    continue;
                }
                assert_memory_equal(first[i], again, bytes);
                free(first[i]), free(again);
            }
        }
        kt_dev->info.threads = threads;
        release(&dev), release(&ref);
    }
}

/* What happens to w after packing does not show, until it is packed again. */
static void packed_weights_are_a_copy(void **state)
{
    (void)state;
    for (int layout = 0; layout < 2; layout++) {
        const c1_case c = {.P = 2, .N = 2, .C = 9, .K = 11, .H = 4, .W = 4, .layout = layout};
        side dev = {0}, ref = {0};
        build(&c, &dev, &ref);
        const dlf_conv1x1 conv = options(&c);
        dlf_conv1x1_fwd io = forward_of(&c, &dev);
        dlf_tensor *w = &dev.o[W].t;
        dlf_conv1x1_packed packed = {.K = 0};
        OK(dlf_conv1x1_pack(&packed, w, conv.layout));
        OK(dlf_conv1x1_forward(&io, &conv));
        const written before = outputs_of(&io);
        float *other = kt_random(dlf_tensor_count(w), 99, 1.0f, 0.0f);
        OK(dlf_tensor_upload(w, other));
        OK(dlf_conv1x1_forward(&io, &conv));
        const written after = outputs_of(&io);
        const size_t bytes = (size_t)dlf_tensor_count(io.y) * sizeof(double);
        assert_memory_not_equal(before.v[0], after.v[0], bytes);
        io.w = NULL, io.packed = &packed;
        for (int again = 0; again < 2; again++) {
            if (again) OK(dlf_conv1x1_pack(&packed, w, conv.layout));
            OK(dlf_conv1x1_forward(&io, &conv));
            const written now = outputs_of(&io);
            assert_memory_equal(now.v[0], again ? after.v[0] : before.v[0], bytes);
            free(now.v[0]);
        }
        free(before.v[0]), free(after.v[0]), free(other);
        dlf_conv1x1_packed_free(&packed);
        release(&dev), release(&ref);
    }
    dlf_conv1x1_packed_free(NULL);
}

/* ---- extremes ------------------------------------------------------------------------------- */

/* A NaN in x makes its position NaN in all channels and no other; relu does not hide it. */
static void nan_stays_at_its_position(void **state)
{
    (void)state;
    enum { N = 2, C = 5, K = 3, S = 12 };
    for (int layout = 0; layout < 2; layout++)
        for (int version = 1; version <= (is_cuda() ? VERSIONS : 1); version++) {
            const bool nhwc = layout == DLF_NHWC;
            const int64_t in[] = {1, N, nhwc ? 3 : C, nhwc ? 4 : 3, nhwc ? C : 4};
            const int64_t out[] = {1, N, nhwc ? 3 : K, nhwc ? 4 : 3, nhwc ? K : 4};
            float *x = kt_random(N * C * S, 1, 1.0f, 0.0f), *w = kt_random(K * C, 2, 1.0f, 0.0f);
            x[nhwc ? (S + 7) * C + 2 : (C + 2) * S + 7] = NAN;
            dlf_tensor tx = kt_tensor_of(kt_dev, x, 5, in), tw = kt_tensor(kt_dev, w, 1, K, C);
            dlf_tensor ty = kt_tensor_of(kt_dev, NULL, 5, out);
            const dlf_conv1x1 conv = {.layout = (dlf_layout)layout,
                                      .activation = dlf_activation_of(DLF_RELU),
                                      .input_activation = dlf_activation_of(DLF_RELU),
                                      .version = version};
            const dlf_conv1x1_fwd io = {.y = &ty, .x = &tx, .w = &tw};
            const dlf_status status = dlf_conv1x1_forward(&io, &conv);
            float y[N * K * S];
            if (status != DLF_ERR_NO_KERNEL) {
                OK(status);
                OK(dlf_tensor_download(y, &ty));
                for (int n = 0; n < N; n++)
                    for (int k = 0; k < K; k++)
                        for (int s = 0; s < S; s++) {
                            const float v = y[nhwc ? (n * S + s) * K + k : (n * K + k) * S + s];
                            assert_int_equal(isnan(v) != 0, n == 1 && s == 7);
                        }
            }
            dlf_tensor_free(&tx), dlf_tensor_free(&tw), dlf_tensor_free(&ty);
            free(x), free(w);
        }
}

/* Inf times a weight of 0 is NaN: no version may skip products with 0. Large sums become Inf. */
static void infinities(void **state)
{
    (void)state;
    const float x[] = {INFINITY, 1.0f, 3e38f, 3e38f}, w[] = {0.0f, 1.0f, 1.0f, 1.0f};
    for (int version = 1; version <= (is_cuda() ? VERSIONS : 1); version++) {
        dlf_tensor tx = kt_tensor(kt_dev, x, 1, 2, 2), tw = kt_tensor(kt_dev, w, 1, 2, 2);
        dlf_tensor ty = kt_tensor(kt_dev, NULL, 1, 2, 2);
        const dlf_conv1x1 conv = {.layout = DLF_NHWC, .version = version};
        const dlf_conv1x1_fwd io = {.y = &ty, .x = &tx, .w = &tw};
        const dlf_status status = dlf_conv1x1_forward(&io, &conv);
        double y[4];
        if (status != DLF_ERR_NO_KERNEL) {
            OK(status);
            OK(dlf_tensor_download_f64(y, &ty));
            assert_true(isnan(y[0]) && isinf(y[1]) && y[1] > 0.0);
            assert_true(fabs(y[2] / 3e38 - 1.0) < 1e-6);
            if (kt_dev->real == DLF_F32) assert_true(isinf(y[3]));
        }
        dlf_tensor_free(&tx), dlf_tensor_free(&tw), dlf_tensor_free(&ty);
    }
}

/* ---- refusals ------------------------------------------------------------------------------- */

static void refusals_say_why(void **state)
{
    (void)state;
    dlf_tensor x = kt_tensor(kt_dev, NULL, 2, 3, 4, 5, 5), w = kt_tensor(kt_dev, NULL, 2, 6, 4);
    dlf_tensor y = kt_tensor(kt_dev, NULL, 2, 3, 6, 5, 5), bad = kt_tensor(kt_dev, NULL, 2, 6, 5);
    const dlf_conv1x1 conv = {.layout = DLF_NCHW};
    dlf_conv1x1 other = conv;
    dlf_conv1x1_fwd io = {.y = &y, .x = &x, .w = &bad};
    assert_int_equal(dlf_conv1x1_forward(&io, &conv), DLF_ERR_SHAPE);
    assert_non_null(strstr(dlf_error_message(), "w must be (P,K,4)"));
    io.w = &w;
    other.stride[0] = -1;
    assert_int_equal(dlf_conv1x1_forward(&io, &other), DLF_ERR_ARG);
    other = conv, other.stride[1] = 2;
    assert_int_equal(dlf_conv1x1_forward(&io, &other), DLF_ERR_SHAPE);
    assert_non_null(strstr(dlf_error_message(), "y must be"));
    io.bias = &w;
    assert_int_equal(dlf_conv1x1_forward(&io, &conv), DLF_ERR_SHAPE);
    io.bias = NULL, io.y = NULL;
    assert_int_equal(dlf_conv1x1_forward(&io, &conv), DLF_ERR_ARG);
    io.y = &y;
    other = conv, other.version = 99;
    if (kt_dev->real == DLF_F32)
        assert_int_equal(dlf_conv1x1_forward(&io, &other), DLF_ERR_NO_KERNEL);
    dlf_conv1x1_bwd bwd = {.dz = &y, .x = &x};
    assert_int_equal(dlf_conv1x1_backward(&bwd, &conv), DLF_ERR_ARG);
    bwd.dx = &x;
    assert_int_equal(dlf_conv1x1_backward(&bwd, &conv), DLF_ERR_ARG);
    assert_non_null(strstr(dlf_error_message(), "w, which dx needs"));
    dlf_tensor_free(&x), dlf_tensor_free(&w), dlf_tensor_free(&y), dlf_tensor_free(&bad);
}

static void packed_weights_that_do_not_fit(void **state)
{
    (void)state;
    dlf_tensor x = kt_tensor(kt_dev, NULL, 2, 3, 4, 5, 5), w = kt_tensor(kt_dev, NULL, 2, 6, 4);
    dlf_tensor y = kt_tensor(kt_dev, NULL, 2, 3, 6, 5, 5), w3 = kt_tensor(kt_dev, NULL, 3, 6, 4);
    dlf_tensor w5 = kt_tensor(kt_dev, NULL, 2, 6, 5), w7 = kt_tensor(kt_dev, NULL, 2, 7, 4);
    const dlf_conv1x1 conv = {.layout = DLF_NCHW};
    dlf_conv1x1_packed packed = {.K = 0};
    dlf_conv1x1_fwd io = {.y = &y, .x = &x, .packed = &packed};
    assert_int_equal(dlf_conv1x1_pack(&packed, &x, DLF_NCHW), DLF_ERR_SHAPE); /* not 3 axes */
    assert_int_equal(dlf_conv1x1_pack(&packed, &w, (dlf_layout)7), DLF_ERR_ARG);
    assert_null(packed.t.data);
    assert_int_equal(dlf_conv1x1_forward(&io, &conv), DLF_ERR_SHAPE); /* never packed */
    assert_non_null(strstr(dlf_error_message(), "packed is not allocated"));
    OK(dlf_conv1x1_pack(&packed, &w, DLF_NCHW));
    OK(dlf_conv1x1_forward(&io, &conv));
    io.w = &w;
    assert_int_equal(dlf_conv1x1_forward(&io, &conv), DLF_ERR_ARG);
    assert_non_null(strstr(dlf_error_message(), "only one"));
    io.w = NULL;
    /* filled anew from another shape, for another layout */
    const dlf_tensor *const others[] = {&w3, &w5, &w7};
    for (int i = 0; i < 3; i++)
        assert_int_equal(dlf_conv1x1_pack(&packed, others[i], DLF_NCHW), DLF_ERR_SHAPE);
    assert_int_equal(dlf_conv1x1_pack(&packed, &w, DLF_NHWC), DLF_ERR_SHAPE);
    assert_non_null(strstr(dlf_error_message(), "free it first"));
    /* used for another layout, depth, number of channels or of members */
    for (int i = 0; i < 3; i++) {
        dlf_conv1x1_packed other = {.K = 0};
        OK(dlf_conv1x1_pack(&other, others[i], DLF_NCHW));
        io.packed = &other;
        assert_int_equal(dlf_conv1x1_forward(&io, &conv), DLF_ERR_SHAPE);
        dlf_conv1x1_packed_free(&other);
    }
    dlf_conv1x1_packed last = {.K = 0};
    OK(dlf_conv1x1_pack(&last, &w, DLF_NHWC));
    io.packed = &last;
    assert_int_equal(dlf_conv1x1_forward(&io, &conv), DLF_ERR_SHAPE);
    assert_non_null(strstr(dlf_error_message(), "packed is for NHWC"));
    dlf_conv1x1_packed_free(&last), dlf_conv1x1_packed_free(&packed);
    if (kt_dev->real == DLF_F32) { /* of another type */
        const int64_t shape[] = {2, 6, 4};
        dlf_tensor half;
        OK(dlf_tensor_init(&half, kt_dev, DLF_F16, 3, shape));
        OK(dlf_tensor_zero(&half));
        OK(dlf_conv1x1_pack(&packed, &half, DLF_NCHW));
        io.packed = &packed;
        assert_int_equal(dlf_conv1x1_forward(&io, &conv), DLF_ERR_SHAPE);
        dlf_conv1x1_packed_free(&packed), dlf_tensor_free(&half);
    }
    dlf_tensor *all[] = {&x, &y, &w, &w3, &w5, &w7};
    for (int i = 0; i < 6; i++) dlf_tensor_free(all[i]);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_reference),
        cmocka_unit_test(sixteen_bit_types),
        cmocka_unit_test(tf32_is_close),
        cmocka_unit_test(every_activation),
        cmocka_unit_test(strided_members),
        cmocka_unit_test(sizes_that_are_cut),
        cmocka_unit_test(every_version_ran),
        cmocka_unit_test(statistics_do_not_cancel),
        cmocka_unit_test(folded_batch_norm_is_batch_norm),
        cmocka_unit_test(gradients_are_derivatives),
        cmocka_unit_test(same_bits_again),
        cmocka_unit_test(nan_stays_at_its_position),
        cmocka_unit_test(infinities),
        cmocka_unit_test(refusals_say_why),
        cmocka_unit_test(packed_weights_are_a_copy),
        cmocka_unit_test(packed_weights_that_do_not_fit),
    };
    kt_open(argc, argv);
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
