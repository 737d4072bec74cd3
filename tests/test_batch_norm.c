/* SPDX-License-Identifier: MIT
 * test_batch_norm.c -- batch normalization: training, evaluation, backward, in all versions.
 *
 * Tolerances of comparisons with ref are argued in norm_test.h. Those of the properties: a float
 * output of size A carries A 2^-24 from its last rounding and a few times that from xhat; the mean
 * of n of them, summed in double here, has at most the same, hence 1e-6 A unless said otherwise. */
#include "norm_test.h"

enum { VERSIONS = 3 };

static int ran[VERSIONS + 1]; /* cases that version k took */

/* The case in every version that fits it. */
static void in_all_versions(nt_case c)
{
    c.kind = DLF_BATCH_NORM;
    for (c.version = 0; c.version <= VERSIONS; c.version++) ran[c.version] += nt_run(c);
}

/* ---- reference ------------------------------------------------------------------------------ */

/* P, N, C, H, W (W = 0: matrix). Splits need more than 2048 values in a plane or 32 rows of a wide
 * matrix; 16-byte units need rows of whole units. */
static const int64_t shapes[][5] = {
    {1, 1, 1, 0, 0},  {2, 2, 3, 0, 0},   {1, 64, 10, 0, 0},  {3, 37, 5, 0, 0}, {1, 97, 132, 0, 0},
    {2, 5, 8, 4, 4},  {1, 3, 2, 37, 41}, {1, 2, 3, 52, 40},  {2, 7, 1, 3, 5},  {1, 1, 7, 6, 8},
    {4, 3, 16, 1, 1}, {1, 1, 1, 53, 47}, {1, 9, 16, 16, 16}, {16, 4, 8, 2, 2}, {1, 70, 261, 0, 0},
};
enum { N_SHAPES = sizeof shapes / sizeof shapes[0] };

static nt_case shape_case(int k)
{
    return (nt_case){.P = shapes[k][0],
                     .N = shapes[k][1],
                     .C = shapes[k][2],
                     .H = shapes[k][3],
                     .W = shapes[k][4]};
}

static void matches_reference(void **state)
{
    (void)state;
    for (int k = 0; k < N_SHAPES; k++)
        for (int layout = 0; layout < 2; layout++) {
            nt_case c = shape_case(k);
            c.layout = (dlf_layout)layout;
            c.plain = k % 4 == 1;
            c.residual = k % 3 == 0;
            c.activation = k % 2 ? DLF_RELU : DLF_LINEAR;
            c.accumulate = k % 3 == 1 ? -0.5 : 0.0;
            c.shift = 0.3f;
            in_all_versions(c);
        }
}

static void half_storage_matches_reference(void **state)
{
    (void)state;
    const int some[] = {0, 3, 4, 5, 7, 12};
    for (int i = 0; i < 6; i++)
        for (int layout = 0; layout < 2; layout++) {
            nt_case c = shape_case(some[i]);
            c.layout = (dlf_layout)layout;
            c.dtype = (i + layout) % 2 ? DLF_F16 : DLF_BF16;
            c.residual = i % 2;
            c.activation = i % 3 == 2 ? DLF_RELU : DLF_LINEAR;
            in_all_versions(c);
        }
}

/* Sizes at which the cpu kernels cut: pieces of two uneven chunks, a channel shared by threads,
 * rows of several tiles in several blocks, many short rows in several blocks. */
static void sizes_that_are_cut(void **state)
{
    (void)state;
    const nt_case cases[] = {
        {.P = 1, .N = 1, .C = 2, .H = 71, .W = 59, .layout = DLF_NCHW},
        /* short pieces worked on where they lie: whole vectors, one more value, several chunks */
        {.P = 2, .N = 4, .C = 9, .H = 4, .W = 12, .layout = DLF_NCHW, .shift = 0.3f},
        {.P = 2, .N = 3, .C = 5, .H = 11, .W = 3, .layout = DLF_NCHW, .accumulate = 0.5},
        {.P = 1, .N = 45, .C = 3, .H = 7, .W = 7, .layout = DLF_NCHW, .shift = 0.3f},
        {.P = 1, .N = 2, .C = 1, .H = 131, .W = 127, .layout = DLF_NCHW, .activation = DLF_RELU},
        {.P = 1, .N = 137, .C = 521, .residual = true, .activation = DLF_RELU},
        {.P = 1, .N = 70, .C = 1031, .dtype = DLF_BF16},
        {.P = 1, .N = 6700, .C = 10, .plain = true},
        {.P = 1, .N = 3, .C = 600, .H = 5, .W = 5, .dtype = DLF_F16, .layout = DLF_NHWC},
    };
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        nt_case c = cases[k];
        c.kind = DLF_BATCH_NORM;
        assert_true(nt_run(c));
    }
}

/* Outputs that the cpu kernels write past the caches, in either layout, pieces long and short. */
static void large_outputs_match_reference(void **state)
{
    (void)state;
    if (strcmp(kt_dev->info.backend, "cpu") != 0) skip();
    const nt_case cases[] = {
        {.P = 1, .N = 2, .C = 17, .H = 249, .W = 251, .layout = DLF_NCHW, .residual = true},
        {.P = 1, .N = 2, .C = 17, .H = 249, .W = 251, .layout = DLF_NCHW, .shift = 0.3f},
        {.P = 1, .N = 3, .C = 4219, .H = 13, .W = 13, .layout = DLF_NCHW},
        {.P = 1, .N = 1, .C = 37, .H = 239, .W = 241, .layout = DLF_NHWC},
    };
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        nt_case c = cases[k];
        c.kind = DLF_BATCH_NORM;
        assert_true(nt_run(c));
    }
}

static void every_activation(void **state)
{
    (void)state;
    for (int f = 0; f < DLF_ACTIVATION_COUNT; f++) {
        nt_case c = {.P = 2, .N = 3, .C = 8, .H = 3, .W = 4, .residual = f % 2};
        c.layout = f % 3 ? DLF_NCHW : DLF_NHWC;
        c.activation = (dlf_activation_kind)f;
        in_all_versions(c);
    }
}

/* Members that start anywhere: 3 elements break every vector, 8 keep them all. */
static void strided_members(void **state)
{
    (void)state;
    const int64_t pads[] = {3, 8};
    for (int i = 0; i < 2; i++)
        for (int layout = 0; layout < 2; layout++) {
            nt_case c = {.P = 3, .N = 5, .C = 8, .H = 4, .W = 2, .residual = true};
            c.layout = (dlf_layout)layout;
            c.pad = pads[i];
            c.activation = DLF_SILU;
            in_all_versions(c);
            c.dtype = DLF_BF16;
            in_all_versions(c);
        }
}

/* All values of a float at 1e4 are 2^-10 apart, a tenth of the standard deviation. */
static void mean_1e4_variance_1e_4(void **state)
{
    (void)state;
    for (int layout = 0; layout < 2; layout++) {
        nt_case c = {.P = 2, .N = 31, .C = 8, .H = 12, .W = 8, .scale = 1e-2f, .shift = 1e4f};
        c.layout = (dlf_layout)layout;
        in_all_versions(c);
        c.N = 300, c.H = c.W = 0, c.P = 1;
        in_all_versions(c);
    }
}

/* Must be the last of the cases. */
static void every_version_ran(void **state)
{
    (void)state;
    if (strcmp(kt_dev->backend->name, "cuda") != 0) return;
    for (int k = 0; k <= VERSIONS; k++) assert_true(ran[k] > 0);
}

/* ---- a small world for the properties ---------------------------------------------------------
 */

typedef struct world {
    int64_t P, N, C, S;
    dlf_layout layout;
    dlf_tensor x, y, dy, dx, gamma, beta, mean, rstd, dgamma, dbeta, running_mean, running_var;
} world;

static int64_t world_at(const world *w, int64_t n, int64_t c, int64_t s)
{
    return w->layout == DLF_NCHW ? (n * w->C + c) * w->S + s : (n * w->S + s) * w->C + c;
}

static void world_open(world *w, dlf_device *dev, int64_t P, int64_t N, int64_t C, int64_t S,
                       dlf_layout layout, const float *x)
{
    *w = (world){.P = P, .N = N, .C = C, .S = S, .layout = layout};
    const int64_t shape[] = {P, N, layout == DLF_NCHW ? C : S, layout == DLF_NCHW ? S : C};
    float *own = kt_random(P * N * C * S, 1, 2.0f, 0.7f),
          *dy = kt_random(P * N * C * S, 2, 1.0f, 0);
    float *gamma = kt_random(P * C, 3, 0.5f, 1.0f), *beta = kt_random(P * C, 4, 1.0f, 0.0f);
    float *zeros = calloc((size_t)(P * C), sizeof *zeros);
    w->x = kt_tensor_of(dev, x ? x : own, 4, shape), w->dy = kt_tensor_of(dev, dy, 4, shape);
    w->y = kt_tensor_of(dev, NULL, 4, shape), w->dx = kt_tensor_of(dev, NULL, 4, shape);
    dlf_tensor *parameters[] = {&w->dgamma, &w->dbeta, &w->rstd};
    for (int i = 0; i < 3; i++) *parameters[i] = kt_tensor(dev, NULL, P, C);
    w->gamma = kt_tensor(dev, gamma, P, C), w->beta = kt_tensor(dev, beta, P, C);
    w->running_mean = kt_tensor(dev, zeros, P, C), w->running_var = kt_tensor(dev, zeros, P, C);
    const int64_t stats[] = {P, C};
    OK(dlf_tensor_init(&w->mean, dev, DLF_F64, 2, stats));
    free(own), free(dy), free(gamma), free(beta), free(zeros);
}

static void world_close(world *w)
{
    dlf_tensor *all[] = {&w->x,      &w->y,     &w->dy,           &w->dx,
                         &w->gamma,  &w->beta,  &w->mean,         &w->rstd,
                         &w->dgamma, &w->dbeta, &w->running_mean, &w->running_var};
    for (int i = 0; i < 12; i++) dlf_tensor_free(all[i]);
}

static dlf_norm world_norm(const world *w, int version)
{
    return (dlf_norm){
        .kind = DLF_BATCH_NORM, .layout = w->layout, .momentum = 0.1, .version = version};
}

/* False: the version does not fit. */
static bool world_forward(world *w, const dlf_norm *norm)
{
    const dlf_norm_fwd io = {.y = &w->y,
                             .mean = &w->mean,
                             .rstd = &w->rstd,
                             .x = &w->x,
                             .gamma = &w->gamma,
                             .beta = &w->beta};
    const dlf_status status = dlf_norm_forward(&io, norm);
    if (status != DLF_ERR_NO_KERNEL || norm->version < 2) OK(status);
    return status == DLF_OK;
}

static bool world_backward(world *w, const dlf_norm *norm)
{
    const dlf_norm_bwd io = {.dx = &w->dx,
                             .dgamma = &w->dgamma,
                             .dbeta = &w->dbeta,
                             .dy = &w->dy,
                             .x = &w->x,
                             .mean = &w->mean,
                             .rstd = &w->rstd,
                             .gamma = &w->gamma,
                             .beta = &w->beta};
    const dlf_status status = dlf_norm_backward(&io, norm);
    if (status != DLF_ERR_NO_KERNEL || norm->version < 2) OK(status);
    return status == DLF_OK;
}

static double *values(const dlf_tensor *t)
{
    double *v = malloc((size_t)dlf_tensor_count(t) * sizeof *v);
    assert_non_null(v);
    OK(dlf_tensor_download_f64(v, t));
    return v;
}

static void assert_close(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance)) fail_msg("%.9g, not %.9g +- %.3g", got, want, tolerance);
}

/* ---- properties -------------------------------------------------------------------------------
 */

/* Mean of y over a channel is beta, its standard deviation |gamma| (eps = 0); sum dx = 0 and
 * sum dx xhat = 0: dx cannot move the two numbers that normalization throws away. dx is up to
 * rstd |g| ~ 3, the sums are over 150 of them. */
static void means_deviations_and_null_directions(void **state)
{
    (void)state;
    for (int layout = 0; layout < 2; layout++)
        for (int version = 0; version <= VERSIONS; version++) {
            world w;
            world_open(&w, kt_dev, 2, 5, 4, 30, (dlf_layout)layout, NULL);
            const dlf_norm norm = world_norm(&w, version);
            if (!world_forward(&w, &norm) || !world_backward(&w, &norm)) {
                world_close(&w);
                continue;
            }
            double *y = values(&w.y), *dx = values(&w.dx), *gamma = values(&w.gamma);
            double *beta = values(&w.beta);
            for (int64_t p = 0; p < w.P; p++)
                for (int64_t c = 0; c < w.C; c++) {
                    const double M = (double)(w.N * w.S), k = gamma[p * w.C + c];
                    double sum = 0, squares = 0, dx_sum = 0, dx_xhat = 0;
                    for (int64_t n = 0; n < w.N; n++)
                        for (int64_t s = 0; s < w.S; s++) {
                            const int64_t at = p * w.N * w.C * w.S + world_at(&w, n, c, s);
                            const double centred = y[at] - beta[p * w.C + c];
                            sum += centred, squares += centred * centred;
                            dx_sum += dx[at], dx_xhat += dx[at] * centred / k;
                        }
                    assert_close(sum / M, 0.0, 1e-6 * (1.0 + fabs(k)));
                    assert_close(sqrt(squares / M), fabs(k), 2e-6 * (1.0 + fabs(k)));
                    assert_close(dx_sum, 0.0, M * 1e-6);
                    assert_close(dx_xhat, 0.0, M * 1e-6);
                }
            free(y), free(dx), free(gamma), free(beta);
            world_close(&w);
        }
}

/* x -> a_c x + b_c with a > 0 leaves y as it is (eps = 0): what makes the scale of the weights
 * before a normalization immaterial. Powers of two and no shift: to the bit. */
static void scale_and_shift_of_x_do_not_matter(void **state)
{
    (void)state;
    enum { N = 6, C = 4, S = 9 };
    for (int layout = 0; layout < 2; layout++)
        for (int version = 0; version <= VERSIONS; version++) {
            float *x = kt_random(N * C * S, 1, 2.0f, 0.7f);
            world a, b, d;
            world_open(&a, kt_dev, 1, N, C, S, (dlf_layout)layout, x);
            float scaled[N * C * S], moved[N * C * S];
            for (int n = 0; n < N; n++)
                for (int c = 0; c < C; c++)
                    for (int s = 0; s < S; s++) {
                        const int64_t at = world_at(&a, n, c, s);
                        scaled[at] = ldexpf(x[at], 3 * c - 4);
                        moved[at] = x[at] * (0.3f + (float)c) + (float)(c - 1);
                    }
            world_open(&b, kt_dev, 1, N, C, S, (dlf_layout)layout, scaled);
            world_open(&d, kt_dev, 1, N, C, S, (dlf_layout)layout, moved);
            const dlf_norm norm = world_norm(&a, version);
            if (world_forward(&a, &norm)) {
                assert_true(world_forward(&b, &norm) && world_forward(&d, &norm));
                double *ya = values(&a.y), *yb = values(&b.y);
                assert_memory_equal(ya, yb, N * C * S * sizeof *ya);
                assert_true(kt_worst(&d.y, &a.y, 2e-5, 1e-6) <= 1.0);
                free(ya), free(yb);
            }
            world_close(&a), world_close(&b), world_close(&d);
            free(x);
        }
}

/* One sample: batch and instance normalization are the same formula. */
static void one_sample_is_instance_norm(void **state)
{
    (void)state;
    for (int layout = 0; layout < 2; layout++) {
        world w, r;
        world_open(&w, kt_dev, 3, 1, 5, 24, (dlf_layout)layout, NULL);
        world_open(&r, kt_ref, 3, 1, 5, 24, (dlf_layout)layout, NULL);
        const dlf_norm norm = world_norm(&w, 0);
        dlf_norm instance = norm;
        instance.kind = DLF_INSTANCE_NORM;
        const dlf_norm_fwd io = {.y = &r.y, .x = &r.x, .gamma = &r.gamma, .beta = &r.beta};
        assert_true(world_forward(&w, &norm));
        OK(dlf_norm_forward(&io, &instance));
        assert_true(kt_worst(&w.y, &r.y, 2e-5, 1e-6) <= 1.0);
        world_close(&w), world_close(&r);
    }
}

/* Two values a distance 2h apart become -+ h / sqrt(h^2 + eps), whatever they were. */
static void a_batch_of_two_is_signs(void **state)
{
    (void)state;
    const float x[] = {1.0f, -3.0f, 5.0f, 2.0f, 1.0f, 5.5f};
    const double h[] = {0.5, 2.0, 0.25}, eps = 1e-2;
    for (int version = 0; version <= VERSIONS; version++) {
        dlf_tensor tx = kt_tensor(kt_dev, x, 1, 2, 3), ty = kt_tensor(kt_dev, NULL, 1, 2, 3);
        const dlf_norm norm = {.kind = DLF_BATCH_NORM, .eps = eps, .version = version};
        const dlf_norm_fwd io = {.y = &ty, .x = &tx};
        const dlf_status status = dlf_norm_forward(&io, &norm);
        if (status == DLF_OK) {
            double *y = values(&ty);
            for (int c = 0; c < 3; c++) {
                const double want = h[c] / sqrt(h[c] * h[c] + eps);
                assert_close(y[c], x[c] < x[3 + c] ? -want : want, 1e-6);
                assert_close(y[3 + c], x[c] < x[3 + c] ? want : -want, 1e-6);
            }
            free(y);
        }
        dlf_tensor_free(&tx), dlf_tensor_free(&ty);
    }
}

/* x = 1, 2, 3, 6: mean 3, biased variance 3.5, unbiased 14/3. */
static void running_statistics_by_hand(void **state)
{
    (void)state;
    const double momenta[] = {0.0, 0.1, 1.0};
    for (int m = 0; m < 3; m++)
        for (int version = 0; version <= VERSIONS; version++) {
            const float x[] = {1, 2, 3, 6}, before_mean[] = {-2}, before_var[] = {5};
            dlf_tensor tx = kt_tensor(kt_dev, x, 1, 2, 1, 2),
                       ty = kt_tensor(kt_dev, NULL, 1, 2, 1, 2);
            dlf_tensor mean = kt_tensor(kt_dev, before_mean, 1, 1);
            dlf_tensor var = kt_tensor(kt_dev, before_var, 1, 1);
            const dlf_norm norm = {
                .kind = DLF_BATCH_NORM, .momentum = momenta[m], .version = version};
            const dlf_norm_fwd io = {
                .y = &ty, .x = &tx, .running_mean = &mean, .running_var = &var};
            if (dlf_norm_forward(&io, &norm) == DLF_OK) {
                double *got_mean = values(&mean), *got_var = values(&var);
                assert_close(got_mean[0], -2 * (1 - momenta[m]) + 3 * momenta[m], 3e-7);
                assert_close(got_var[0], 5 * (1 - momenta[m]) + 14.0 / 3 * momenta[m], 6e-7);
                free(got_mean), free(got_var);
            } else {
                assert_true(version > 1);
            }
            dlf_tensor_free(&tx), dlf_tensor_free(&ty);
            dlf_tensor_free(&mean), dlf_tensor_free(&var);
        }
}

static void one_value_has_no_unbiased_variance(void **state)
{
    (void)state;
    world w;
    world_open(&w, kt_dev, 1, 1, 3, 1, DLF_NCHW, NULL);
    const dlf_norm norm = world_norm(&w, 0);
    const dlf_norm_fwd io = {
        .y = &w.y, .x = &w.x, .running_mean = &w.running_mean, .running_var = &w.running_var};
    assert_int_equal(dlf_norm_forward(&io, &norm), DLF_ERR_SHAPE);
    world_close(&w);
}

/* Evaluation mode against ref, with residual and activation, in both versions and layouts; running
 * statistics keep their bits. */
static void infer_matches_reference(void **state)
{
    (void)state;
    const dlf_dtype types[] = {DLF_F32, DLF_F16, DLF_BF16};
    for (int k = 0; k < N_SHAPES; k++)
        for (int i = 0; i < 6; i++) {
            nt_case c = shape_case(k);
            c.kind = DLF_BATCH_NORM;
            c.layout = i % 2 ? DLF_NHWC : DLF_NCHW;
            c.dtype = types[(k + i) % 3];
            c.residual = (k + i) % 2, c.plain = k % 5 == 0, c.version = i / 2;
            c.activation = k % 3 == 0 ? DLF_RELU : k % 3 == 1 ? DLF_GELU : DLF_LINEAR;
            c.pad = k % 4 == 3 ? 3 : 0;
            nt_side dev, ref;
            nt_build(&c, &dev, &ref);
            const dlf_norm norm = nt_norm(&c);
            dlf_norm_fwd io = nt_fwd(&c, &dev), ref_io = nt_fwd(&c, &ref);
            io.mean = io.rstd = ref_io.mean = ref_io.rstd = NULL;
            io.running_mean = &dev.out[NT_RUNNING_MEAN].t,
            io.running_var = &dev.out[NT_RUNNING_VAR].t;
            ref_io.running_mean = &ref.out[NT_RUNNING_MEAN].t;
            ref_io.running_var = &ref.out[NT_RUNNING_VAR].t;
            double *before[] = {values(io.running_mean), values(io.running_var)};
            const dlf_status status = dlf_norm_infer(&io, &norm);
            if (status == DLF_OK) {
                OK(dlf_norm_infer(&ref_io, &norm));
                const double tiny = c.dtype == DLF_F16 ? 0x1p-25 : 0.0;
                assert_true(kt_worst(io.y, ref_io.y, 2e-5 + tiny, kt_rounding(c.dtype) + 1e-6) <=
                            1.0);
                nt_gaps_untouched(&dev.out[NT_Y], "y");
                double *after[] = {values(io.running_mean), values(io.running_var)};
                for (int v = 0; v < 2; v++) {
                    assert_memory_equal(after[v], before[v], (size_t)(c.P * c.C) * sizeof(double));
                    free(after[v]);
                }
            } else {
                assert_true(status == DLF_ERR_NO_KERNEL && c.version == 2);
            }
            free(before[0]), free(before[1]);
            nt_free(&dev), nt_free(&ref);
        }
}

/* The same numbers in the two layouts. */
static void layouts_agree(void **state)
{
    (void)state;
    enum { N = 5, C = 12, S = 20, COUNT = N * C * S };
    world a, b;
    world_open(&a, kt_dev, 1, N, C, S, DLF_NCHW, NULL);
    world_open(&b, kt_dev, 1, N, C, S, DLF_NHWC, NULL);
    double *x = values(&a.x), *dy = values(&a.dy), t[COUNT];
    dlf_tensor *moved[] = {&b.x, &b.dy};
    const double *from[] = {x, dy};
    for (int i = 0; i < 2; i++) {
        for (int n = 0; n < N; n++)
            for (int c = 0; c < C; c++)
                for (int s = 0; s < S; s++)
                    t[world_at(&b, n, c, s)] = from[i][world_at(&a, n, c, s)];
        OK(dlf_tensor_upload_f64(moved[i], t));
    }
    const dlf_norm norm_a = world_norm(&a, 0), norm_b = world_norm(&b, 0);
    assert_true(world_forward(&a, &norm_a) && world_backward(&a, &norm_a));
    assert_true(world_forward(&b, &norm_b) && world_backward(&b, &norm_b));
    double *ya = values(&a.y), *yb = values(&b.y), *da = values(&a.dx), *db = values(&b.dx);
    for (int n = 0; n < N; n++)
        for (int c = 0; c < C; c++)
            for (int s = 0; s < S; s++) {
                assert_close(yb[world_at(&b, n, c, s)], ya[world_at(&a, n, c, s)], 1e-5);
                assert_close(db[world_at(&b, n, c, s)], da[world_at(&a, n, c, s)], 1e-5);
            }
    assert_true(kt_worst(&b.dgamma, &a.dgamma, 1e-4, 1e-6) <= 1.0);
    free(x), free(dy), free(ya), free(yb), free(da), free(db);
    world_close(&a), world_close(&b);
}

/* L = sum w y(x): dL/dx, dL/dgamma and dL/dbeta of ref are its central differences. Their error is
 * h^2 f'''/6 ~ 1e-10 and rounding / h ~ 1e-11. */
static void backward_on_ref_is_the_difference_quotient(void **state)
{
    (void)state;
    enum { N = 4, C = 2, S = 3, COUNT = N * C * S };
    const double h = 1e-5;
    world w;
    world_open(&w, kt_ref, 1, N, C, S, DLF_NHWC, NULL);
    dlf_norm norm = world_norm(&w, 0);
    norm.eps = 0.1;
    norm.activation = dlf_activation_of(DLF_TANH);
    assert_true(world_forward(&w, &norm) && world_backward(&w, &norm));
    dlf_tensor *in[] = {&w.x, &w.gamma, &w.beta}, *grad[] = {&w.dx, &w.dgamma, &w.dbeta};
    double *dy = values(&w.dy);
    for (int k = 0; k < 3; k++) {
        double *v = values(in[k]), *g = values(grad[k]);
        for (int64_t i = 0; i < dlf_tensor_count(in[k]); i++) {
            const double here = v[i];
            double loss[2] = {0.0, 0.0};
            for (int side = 0; side < 2; side++) {
                v[i] = here + (side ? h : -h);
                OK(dlf_tensor_upload_f64(in[k], v));
                assert_true(world_forward(&w, &norm));
                double *y = values(&w.y);
                for (int j = 0; j < COUNT; j++) loss[side] += dy[j] * y[j];
                free(y);
            }
            v[i] = here;
            assert_close((loss[1] - loss[0]) / (2 * h), g[i], 1e-8);
        }
        OK(dlf_tensor_upload_f64(in[k], v));
        free(v), free(g);
    }
    free(dy);
    world_close(&w);
}

/* y == x, and dx == dy or dresidual == dy, give the bits of separate tensors. */
static void in_place_gives_the_same_bits(void **state)
{
    (void)state;
    for (int layout = 0; layout < 2; layout++)
        for (int version = 0; version <= VERSIONS; version++)
            for (int which = 0; which < 2; which++) {
                nt_case c = {.kind = DLF_BATCH_NORM, .P = 2, .N = 3, .C = 4, .H = 5, .W = 4};
                c.layout = (dlf_layout)layout, c.version = version, c.residual = true;
                c.activation = DLF_RELU;
                nt_side dev, ref;
                nt_build(&c, &dev, &ref);
                const dlf_norm norm = nt_norm(&c);
                dlf_norm_fwd fwd = nt_fwd(&c, &dev);
                dlf_norm_bwd bwd = nt_bwd(&c, &dev);
                fwd.running_mean = fwd.running_var = NULL;
                if (dlf_norm_forward(&fwd, &norm) == DLF_OK) {
                    OK(dlf_norm_backward(&bwd, &norm));
                    double *y = values(fwd.y), *dx = values(bwd.dx), *dr = values(bwd.dresidual);
                    *(which ? &bwd.dresidual : &bwd.dx) = &dev.dy.t;
                    OK(dlf_norm_backward(&bwd, &norm));
                    fwd.y = &dev.x.t;
                    OK(dlf_norm_forward(&fwd, &norm));
                    double *y2 = values(fwd.y), *dx2 = values(bwd.dx), *dr2 = values(bwd.dresidual);
                    const size_t bytes = (size_t)dlf_tensor_count(fwd.y) * sizeof *y;
                    assert_memory_equal(y, y2, bytes);
                    assert_memory_equal(dx, dx2, bytes);
                    assert_memory_equal(dr, dr2, bytes);
                    free(y), free(dx), free(dr), free(y2), free(dx2), free(dr2);
                } else {
                    assert_true(version > 1);
                }
                nt_free(&dev), nt_free(&ref);
            }
}

/* ---- extremes ---------------------------------------------------------------------------------
 */

/* A NaN or Inf makes its channel NaN and no other; a constant channel with eps = 0 is NaN, with eps
 * it is beta; denormals are numbers. */
static void extremes(void **state)
{
    (void)state;
    enum { N = 40, C = 6 };
    float x[N * C];
    for (int i = 0; i < N; i++) {
        for (int c = 0; c < C; c++) x[i * C + c] = (float)((i * 7 + c) % 11) - 5.0f;
        x[i * C + 3] = 4.0f;
        x[i * C + 4] = (float)(i % 3) * 1e-41f;
    }
    x[39 * C + 0] = NAN, x[0 * C + 1] = INFINITY;
    for (int layout = 0; layout < 2; layout++) /* columns, and planes of 40 */
        for (int version = 0; version <= VERSIONS; version++)
            for (int with_eps = 0; with_eps < 2; with_eps++) {
                float planes[N * C];
                for (int i = 0; i < N; i++)
                    for (int c = 0; c < C; c++) planes[c * N + i] = x[i * C + c];
                dlf_tensor tx = layout ? kt_tensor(kt_dev, x, 1, 1, N, C)
                                       : kt_tensor(kt_dev, planes, 1, 1, C, N);
                dlf_tensor ty = layout ? kt_tensor(kt_dev, NULL, 1, 1, N, C)
                                       : kt_tensor(kt_dev, NULL, 1, 1, C, N);
                const dlf_norm norm = {.kind = DLF_BATCH_NORM,
                                       .layout = (dlf_layout)layout,
                                       .eps = with_eps ? 1e-5 : 0.0,
                                       .version = version};
                const dlf_norm_fwd io = {.y = &ty, .x = &tx};
                if (dlf_norm_forward(&io, &norm) == DLF_OK) {
                    double *y = values(&ty);
                    for (int i = 0; i < N; i++) {
                        double v[C];
                        for (int c = 0; c < C; c++) v[c] = y[layout ? i * C + c : c * N + i];
                        assert_true(isnan(v[0]) && isnan(v[1]));
                        assert_true(isfinite(v[2]) && isfinite(v[5]) && fabs(v[2]) < 3.0);
                        assert_true(with_eps ? v[3] == 0.0 : isnan(v[3]));
                        if (with_eps) assert_close(v[4], 0.0, 1e-35);
                    }
                    free(y);
                } else {
                    assert_true(version > 1);
                }
                dlf_tensor_free(&tx), dlf_tensor_free(&ty);
            }
}

/* A first value far from the rest: deviations are taken from it. */
static void an_outlier_first(void **state)
{
    (void)state;
    for (int layout = 0; layout < 2; layout++)
        for (int version = 0; version <= VERSIONS; version++) {
            enum { N = 3, C = 2, S = 900, COUNT = N * C * S };
            float *x = kt_random(COUNT, 1, 1e-2f, 1e4f);
            x[0] = 0.0f;
            world w, r;
            world_open(&w, kt_dev, 1, N, C, S, (dlf_layout)layout, x);
            world_open(&r, kt_ref, 1, N, C, S, (dlf_layout)layout, x);
            const dlf_norm norm = world_norm(&w, version), ref_norm = world_norm(&w, 0);
            if (world_forward(&w, &norm)) {
                assert_true(world_forward(&r, &ref_norm));
                /* mean within 2^-24 sqrt(M) standard deviations, here 192 */
                assert_true(kt_worst(&w.mean, &r.mean, 1e-3, 0.0) <= 1.0);
                /* up to 225 squares of 123 are added to one of 1e8 in a row: 225 2^-24, halved by
                 * the root */
                assert_true(kt_worst(&w.rstd, &r.rstd, 0.0, 1e-5) <= 1.0);
            }
            world_close(&w), world_close(&r);
            free(x);
        }
}

/* Same bits with one thread and with several; on cuda: when run twice. */
static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    const int64_t some[][4] = {{1, 3, 2, 5000}, {3, 40, 33, 6}, {1, 700, 70, 1}, {7, 5, 3, 4}};
    const int threads = kt_dev->info.threads;
    for (int k = 0; k < 4; k++)
        for (int layout = 0; layout < 2; layout++) {
            double *got[2][3];
            for (int i = 0; i < 2; i++) {
                if (!strcmp(kt_dev->backend->name, "cpu")) kt_dev->info.threads = 1 + 2 * i;
                world w;
                world_open(&w, kt_dev, some[k][0], some[k][1], some[k][2], some[k][3],
                           (dlf_layout)layout, NULL);
                const dlf_norm norm = world_norm(&w, 0);
                assert_true(world_forward(&w, &norm) && world_backward(&w, &norm));
                got[i][0] = values(&w.y), got[i][1] = values(&w.dx), got[i][2] = values(&w.dgamma);
                world_close(&w);
            }
            const size_t PC = (size_t)(some[k][0] * some[k][2]);
            const size_t n = PC * (size_t)(some[k][1] * some[k][3]);
            for (int v = 0; v < 3; v++) {
                assert_memory_equal(got[0][v], got[1][v], (v < 2 ? n : PC) * sizeof(double));
                free(got[0][v]), free(got[1][v]);
            }
        }
    kt_dev->info.threads = threads;
}

static void versions_beyond_the_table_are_refused(void **state)
{
    (void)state;
    world w;
    world_open(&w, kt_dev, 1, 4, 3, 2, DLF_NCHW, NULL);
    const dlf_norm norm = world_norm(&w, 99);
    assert_false(world_forward(&w, &norm));
    assert_false(world_backward(&w, &norm));
    world_close(&w);
}

static void one_operand_misaligned(void **state)
{
    (void)state;
    nt_one_operand_misaligned(DLF_BATCH_NORM);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_operand_misaligned),
        cmocka_unit_test(backward_on_ref_is_the_difference_quotient),
        cmocka_unit_test(a_batch_of_two_is_signs),
        cmocka_unit_test(running_statistics_by_hand),
        cmocka_unit_test(one_value_has_no_unbiased_variance),
        cmocka_unit_test(matches_reference),
        cmocka_unit_test(half_storage_matches_reference),
        cmocka_unit_test(sizes_that_are_cut),
        cmocka_unit_test(large_outputs_match_reference),
        cmocka_unit_test(every_activation),
        cmocka_unit_test(strided_members),
        cmocka_unit_test(mean_1e4_variance_1e_4),
        cmocka_unit_test(every_version_ran),
        cmocka_unit_test(infer_matches_reference),
        cmocka_unit_test(means_deviations_and_null_directions),
        cmocka_unit_test(scale_and_shift_of_x_do_not_matter),
        cmocka_unit_test(one_sample_is_instance_norm),
        cmocka_unit_test(layouts_agree),
        cmocka_unit_test(in_place_gives_the_same_bits),
        cmocka_unit_test(extremes),
        cmocka_unit_test(an_outlier_first),
        cmocka_unit_test(bits_do_not_depend_on_threads),
        cmocka_unit_test(versions_beyond_the_table_are_refused),
    };
    kt_open(argc, argv);
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
