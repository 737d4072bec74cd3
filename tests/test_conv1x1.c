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
#include "conv1x1_case.h"

static int ran[VERSIONS + 1];

static const char *const names[] = {"x", "w",    "bias", "residual", "scale", "shift", "dz",
                                    "y", "mean", "var",  "dx",       "dw",    "dbias"};

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
        cmocka_unit_test(nan_stays_at_its_position),
        cmocka_unit_test(infinities),
    };
    kt_open(argc, argv);
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
