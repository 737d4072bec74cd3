/* SPDX-License-Identifier: MIT
 * test_group_norm.c -- group and instance norm in every version of the device.
 *
 * Tolerances against ref: norm_test.h. Properties use 2e-5 per unit of xhat (|xhat| < 6, each float
 * step 6e-8 relative, the statistics 1e-6) and 1e-5 for means over a group. */
#include "norm_test.h"

enum { VERSIONS = 4 };

#define SHAPE(kind_, layout_, p, n, c, h, w, g)                                                    \
    .kind = (kind_), .layout = (layout_), .P = (p), .N = (n), .C = (c), .H = (h), .W = (w),        \
    .groups = (g)

/* The device's versions, as far as this table of the largest family goes. */
static int versions_here(void)
{
    return strcmp(kt_dev->info.backend, "cuda") == 0 ? VERSIONS : 1;
}

static int ran[VERSIONS + 1];

/* The case in every version that takes it, and as the device chooses. */
static void run_all(nt_case c)
{
    for (c.version = 0; c.version <= versions_here(); c.version++)
        if (nt_run(c)) ran[c.version]++;
}

/* ---- reference --------------------------------------------------------------------------------
 */

/* clang-format off */
static const nt_case shapes[] = {
    /*  kind            layout      P  N   C  H  W  G                                             */
    {SHAPE(DLF_GROUP_NORM,    DLF_NCHW,   1, 1,  1, 1, 1, 1)},
    {SHAPE(DLF_GROUP_NORM,    DLF_NHWC,   1, 1,  2, 1, 1, 1)},
    {SHAPE(DLF_GROUP_NORM,    DLF_NCHW,   2, 3,  6, 5, 7, 2)},   /* width 3, odd S                       */
    {SHAPE(DLF_GROUP_NORM,    DLF_NHWC,   2, 3,  6, 5, 7, 2)},
    {SHAPE(DLF_GROUP_NORM,    DLF_NCHW,   1, 2, 10, 1, 13, 2)},  /* width 5, prime S                     */
    {SHAPE(DLF_GROUP_NORM,    DLF_NHWC,   1, 2, 10, 1, 13, 2)},
    {SHAPE(DLF_GROUP_NORM,    DLF_NCHW,   1, 2, 14, 3, 3, 2)},   /* width 7                              */
    {SHAPE(DLF_GROUP_NORM,    DLF_NHWC,   1, 2, 28, 3, 3, 4)},
    {SHAPE(DLF_GROUP_NORM,    DLF_NCHW,   2, 2, 64, 4, 4, 32)},
    {SHAPE(DLF_GROUP_NORM,    DLF_NHWC,   2, 2, 64, 4, 4, 32)},
    {SHAPE(DLF_GROUP_NORM,    DLF_NHWC,   1, 1, 72, 2, 3, 3)},
    {SHAPE(DLF_GROUP_NORM,    DLF_NCHW,   1, 3, 36, 0, 0, 3)},   /* matrices                             */
    {SHAPE(DLF_GROUP_NORM,    DLF_NHWC,   2, 5, 30, 0, 0, 6)},
    {SHAPE(DLF_GROUP_NORM,    DLF_NCHW,   1, 70, 3, 2, 1, 1)},   /* many small samples                   */
    {SHAPE(DLF_GROUP_NORM,    DLF_NHWC,   1, 70, 3, 2, 1, 1)},
    {SHAPE(DLF_GROUP_NORM,    DLF_NCHW,   1, 1, 4, 37, 29, 1)},  /* several pieces of a channel          */
    {SHAPE(DLF_GROUP_NORM,    DLF_NHWC,   1, 1, 12, 37, 29, 2)},
    {SHAPE(DLF_INSTANCE_NORM, DLF_NCHW,   2, 3,  5, 3, 3, 0)},
    {SHAPE(DLF_INSTANCE_NORM, DLF_NHWC,   2, 3,  5, 3, 3, 0)},
    {SHAPE(DLF_INSTANCE_NORM, DLF_NCHW,   1, 2, 33, 4, 5, 0)},
    {SHAPE(DLF_INSTANCE_NORM, DLF_NHWC,   1, 2, 33, 4, 5, 0)},
    {SHAPE(DLF_INSTANCE_NORM, DLF_NHWC,   1, 1, 40, 8, 8, 0)},
    {SHAPE(DLF_INSTANCE_NORM, DLF_NCHW,   1, 1, 2, 31, 41, 0)},
};
/* clang-format on */
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

static void shapes_match_reference(void **state)
{
    (void)state;
    for (int i = 0; i < SHAPES; i++) run_all(shapes[i]);
}

static void members_with_gaps_match_reference(void **state)
{
    (void)state;
    for (int i = 0; i < SHAPES; i++) {
        nt_case c = shapes[i];
        c.P = 2;
        c.pad = i % 2 ? 1 : 8; /* misaligned, or aligned */
        c.accumulate = -0.5;
        if (c.N * c.C * c.H * c.W <= 600) run_all(c);
    }
}

static void storage_matches_reference(void **state)
{
    (void)state;
    const dlf_dtype dtypes[] = {DLF_F16, DLF_BF16};
    for (int i = 2; i < SHAPES; i++) {
        nt_case c = shapes[i];
        c.dtype = dtypes[i / 2 % 2];
        c.residual = i % 3 == 0;
        if (c.N * c.C * c.H * c.W <= 2048) run_all(c);
    }
    for (int layout = 0; layout < 2; layout++)
        for (int d = 0; d < 2; d++)
            run_all((nt_case){.kind = DLF_GROUP_NORM,
                              .layout = layout ? DLF_NHWC : DLF_NCHW,
                              .P = 1,
                              .N = 2,
                              .C = 32,
                              .H = 4,
                              .W = 4,
                              .groups = 4,
                              .dtype = dtypes[d],
                              .residual = true,
                              .activation = DLF_SILU});
}

static void epilogues_match_reference(void **state)
{
    (void)state;
    for (int f = 0; f < DLF_ACTIVATION_COUNT; f++)
        for (int layout = 0; layout < 2; layout++) {
            nt_case c = {.kind = f % 2 ? DLF_GROUP_NORM : DLF_INSTANCE_NORM,
                         .layout = layout ? DLF_NHWC : DLF_NCHW,
                         .P = 2,
                         .N = 2,
                         .C = 8,
                         .H = 3,
                         .W = 4,
                         .groups = 2,
                         .activation = (dlf_activation_kind)f,
                         .residual = f % 3 != 1,
                         .plain = f % 4 == 3};
            run_all(c);
        }
}

/* ---- properties -------------------------------------------------------------------------------
 */

/* Run forward and backward of `c` on the device alone. */
static void run_device(const nt_case *c, nt_side *dev, nt_side *ref)
{
    nt_build(c, dev, ref);
    const dlf_norm norm = nt_norm(c);
    const dlf_norm_fwd fwd = nt_fwd(c, dev);
    const dlf_norm_bwd bwd = nt_bwd(c, dev);
    OK(dlf_norm_forward(&fwd, &norm));
    OK(dlf_norm_backward(&bwd, &norm));
}

static double *values_of(const dlf_tensor *t)
{
    double *v = malloc((size_t)dlf_tensor_count(t) * sizeof *v);
    assert_non_null(v);
    OK(dlf_tensor_download_f64(v, t));
    return v;
}

static void expect_same_bits(const dlf_tensor *a, const dlf_tensor *b, const char *what)
{
    double *x = values_of(a), *y = values_of(b);
    if (memcmp(x, y, (size_t)dlf_tensor_count(a) * sizeof *x)) fail_msg("%s: other bits", what);
    free(x), free(y);
}

/* Position of (n, c, s) in a member of `k`. */
static int64_t at(const nt_case *k, int64_t n, int64_t c, int64_t s)
{
    const int64_t S = k->W ? k->H * k->W : 1;
    return k->layout == DLF_NHWC ? (n * S + s) * k->C + c : (n * k->C + c) * S + s;
}

static const nt_case both_layouts[] = {
    {SHAPE(DLF_GROUP_NORM, DLF_NCHW, 1, 2, 12, 5, 6, 3), .plain = true},
    {SHAPE(DLF_GROUP_NORM, DLF_NHWC, 1, 2, 12, 5, 6, 3), .plain = true},
};

/* Each version that takes the case: true, and version set, until there is none left. */
static bool next_version(nt_case *c)
{
    while (++c->version <= versions_here()) {
        nt_side dev, ref;
        nt_build(c, &dev, &ref);
        const dlf_norm norm = nt_norm(c);
        const dlf_norm_fwd fwd = nt_fwd(c, &dev);
        const dlf_status status = dlf_norm_forward(&fwd, &norm);
        nt_free(&dev), nt_free(&ref);
        if (status == DLF_OK) return true;
    }
    return false;
}

static void groups_have_mean_0_and_square_1(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++)
        for (nt_case c = both_layouts[i]; next_version(&c);) {
            nt_side dev, ref;
            run_device(&c, &dev, &ref);
            double *y = values_of(&dev.out[NT_Y].t), *dx = values_of(&dev.out[NT_DX].t);
            const int64_t width = c.C / c.groups, S = c.H * c.W;
            for (int64_t n = 0; n < c.N; n++)
                for (int64_t g = 0; g < c.groups; g++) {
                    double sum = 0, square = 0, dx_sum = 0, dx_xhat = 0;
                    for (int64_t ch = g * width; ch < (g + 1) * width; ch++)
                        for (int64_t s = 0; s < S; s++) {
                            const double v = y[at(&c, n, ch, s)], d = dx[at(&c, n, ch, s)];
                            sum += v, square += v * v, dx_sum += d, dx_xhat += d * v;
                        }
                    const double count = (double)(width * S);
                    assert_true(fabs(sum / count) < 1e-5);
                    assert_true(fabs(square / count - 1.0) < 5e-5); /* eps: 1e-5 */
                    assert_true(fabs(dx_sum / count) < 1e-5);
                    /* eps leaves 1e-5 of it, the mean of |g| is about 1 */
                    assert_true(fabs(dx_xhat / count) < 5e-5);
                }
            free(y), free(dx);
            nt_free(&dev), nt_free(&ref);
        }
}

/* x -> 4 x + 2 per group: y stays. With eps = 0 the scale by a power of two alone is exact. */
static void scale_and_shift_do_not_matter(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++)
        for (nt_case c = both_layouts[i]; next_version(&c);) {
            nt_side dev[3], ref[3];
            for (int k = 0; k < 3; k++) {
                nt_build(&c, &dev[k], &ref[k]);
                double *x = values_of(&dev[k].x.t);
                for (int64_t e = 0; e < dlf_tensor_count(&dev[k].x.t); e++)
                    x[e] = k == 0 ? x[e] : k == 1 ? 4.0 * x[e] : 4.0 * x[e] + 2.0;
                OK(dlf_tensor_upload_f64(&dev[k].x.t, x));
                free(x);
                dlf_norm norm = nt_norm(&c);
                norm.eps = 0.0;
                const dlf_norm_fwd fwd = nt_fwd(&c, &dev[k]);
                OK(dlf_norm_forward(&fwd, &norm));
            }
            expect_same_bits(&dev[1].out[NT_Y].t, &dev[0].out[NT_Y].t, "y of 4 x");
            assert_true(kt_worst(&dev[2].out[NT_Y].t, &dev[0].out[NT_Y].t, 2e-5, 1e-6) <= 1.0);
            for (int k = 0; k < 3; k++) nt_free(&dev[k]), nt_free(&ref[k]);
        }
}

/* The results of `c` on the device, in `dev`, are those of `kind` on ref. */
static void expect_as_kind_on_ref(nt_case c, const nt_side *dev, dlf_norm_kind kind)
{
    c.kind = kind, c.version = 0;
    nt_side other, ref;
    nt_build(&c, &other, &ref);
    const dlf_norm norm = nt_norm(&c);
    const dlf_norm_fwd fwd = nt_fwd(&c, &ref);
    const dlf_norm_bwd bwd = nt_bwd(&c, &ref);
    OK(dlf_norm_forward(&fwd, &norm));
    OK(dlf_norm_backward(&bwd, &norm));
    assert_true(kt_worst(&dev->out[NT_Y].t, &ref.out[NT_Y].t, 2e-5, 1e-6) <= 1.0);
    assert_true(kt_worst(&dev->out[NT_DX].t, &ref.out[NT_DX].t, 4e-5, 1e-6) <= 1.0);
    assert_true(kt_worst(&dev->out[NT_DGAMMA].t, &ref.out[NT_DGAMMA].t, 5e-5, 2e-6) <= 1.0);
    assert_true(kt_worst(&dev->out[NT_DBETA].t, &ref.out[NT_DBETA].t, 5e-5, 2e-6) <= 1.0);
    nt_free(&other), nt_free(&ref);
}

/* GN(C) is instance norm to the bit; GN(1) is layer norm, which ref computes. */
static void is_instance_norm_and_layer_norm(void **state)
{
    (void)state;
    for (int layout = 0; layout < 2; layout++)
        for (nt_case c = {.kind = DLF_GROUP_NORM,
                         .layout = layout ? DLF_NHWC : DLF_NCHW,
                         .P = 2,
                         .N = 2,
                         .C = 6,
                         .H = 3,
                         .W = 5,
                         .groups = 6,
                         .activation = DLF_SILU};
             next_version(&c);) {
            nt_side gn, in, ref;
            run_device(&c, &gn, &ref), nt_free(&ref);
            nt_case instance = c;
            instance.kind = DLF_INSTANCE_NORM;
            run_device(&instance, &in, &ref), nt_free(&ref);
            const int outputs[] = {NT_Y, NT_MEAN, NT_RSTD, NT_DX, NT_DGAMMA, NT_DBETA};
            for (int i = 0; i < 6; i++)
                expect_same_bits(&gn.out[outputs[i]].t, &in.out[outputs[i]].t, "GN(C) and IN");
            nt_free(&gn), nt_free(&in);

            nt_case one = c;
            one.groups = 1;
            run_device(&one, &gn, &ref), nt_free(&ref);
            expect_as_kind_on_ref(one, &gn, DLF_LAYER_NORM);
            nt_free(&gn);
        }
}

/* With one sample, instance norm is batch norm, which ref computes. */
static void of_one_sample_is_batch_norm(void **state)
{
    (void)state;
    const nt_case c = {SHAPE(DLF_INSTANCE_NORM, DLF_NCHW, 2, 1, 5, 4, 7, 0)};
    nt_side in, ref;
    run_device(&c, &in, &ref), nt_free(&ref);
    expect_as_kind_on_ref(c, &in, DLF_BATCH_NORM);
    nt_free(&in);
}

/* The same numbers in the other layout give the same results. */
static void layouts_agree(void **state)
{
    (void)state;
    for (nt_case c = {SHAPE(DLF_GROUP_NORM, DLF_NCHW, 1, 2, 6, 7, 5, 2), .activation = DLF_TANH};
         next_version(&c);) {
        nt_side side[2], ref[2];
        nt_case k[2] = {c, c};
        k[1].layout = DLF_NHWC;
        k[1].version = c.version == 1 ? 1 : 0;
        for (int i = 0; i < 2; i++) nt_build(&k[i], &side[i], &ref[i]);
        dlf_tensor *from[] = {&side[0].x.t, &side[0].dy.t}, *to[] = {&side[1].x.t, &side[1].dy.t};
        double *v[2][2];
        for (int t = 0; t < 2; t++) {
            v[0][t] = values_of(from[t]), v[1][t] = values_of(to[t]);
            for (int64_t n = 0; n < c.N; n++)
                for (int64_t ch = 0; ch < c.C; ch++)
                    for (int64_t s = 0; s < c.H * c.W; s++)
                        v[1][t][at(&k[1], n, ch, s)] = v[0][t][at(&k[0], n, ch, s)];
            OK(dlf_tensor_upload_f64(to[t], v[1][t]));
            free(v[0][t]), free(v[1][t]);
        }
        for (int i = 0; i < 2; i++) {
            const dlf_norm norm = nt_norm(&k[i]);
            const dlf_norm_fwd fwd = nt_fwd(&k[i], &side[i]);
            const dlf_norm_bwd bwd = nt_bwd(&k[i], &side[i]);
            OK(dlf_norm_forward(&fwd, &norm));
            OK(dlf_norm_backward(&bwd, &norm));
        }
        const int like_x[] = {NT_Y, NT_DX};
        for (int t = 0; t < 2; t++) {
            double *a = values_of(&side[0].out[like_x[t]].t);
            double *b = values_of(&side[1].out[like_x[t]].t);
            for (int64_t n = 0; n < c.N; n++)
                for (int64_t ch = 0; ch < c.C; ch++)
                    for (int64_t s = 0; s < c.H * c.W; s++)
                        assert_true(fabs(a[at(&k[0], n, ch, s)] - b[at(&k[1], n, ch, s)]) <= 4e-5);
            free(a), free(b);
        }
        assert_true(kt_worst(&side[0].out[NT_DGAMMA].t, &side[1].out[NT_DGAMMA].t, 5e-5, 2e-6) <=
                    1.0);
        for (int i = 0; i < 2; i++) nt_free(&side[i]), nt_free(&ref[i]);
    }
}

/* L = sum w y on ref: central differences of every x, gamma and beta against backward. h^2 of the
 * third derivative: 1e-6 h = 1e-4 gives about 1e-7. */
static void backward_on_ref_is_the_difference_quotient(void **state)
{
    (void)state;
    const double h = 1e-4;
    for (int layout = 0; layout < 2; layout++) {
        nt_case c = {SHAPE(DLF_GROUP_NORM, layout ? DLF_NHWC : DLF_NCHW, 1, 2, 4, 1, 3, 2),
                     .activation = DLF_SILU, .residual = true};
        nt_side dev, s;
        nt_build(&c, &dev, &s);
        const dlf_norm norm = nt_norm(&c);
        const dlf_norm_fwd fwd = nt_fwd(&c, &s);
        const dlf_norm_bwd bwd = nt_bwd(&c, &s);
        OK(dlf_norm_forward(&fwd, &norm));
        OK(dlf_norm_backward(&bwd, &norm));
        double *w = values_of(&s.dy.t);
        dlf_tensor *of[] = {&s.x.t, &s.gamma.t, &s.beta.t, &s.residual.t};
        const int slope[] = {NT_DX, NT_DGAMMA, NT_DBETA, NT_DRESIDUAL};
        for (int t = 0; t < 4; t++) {
            double *v = values_of(of[t]), *want = values_of(&s.out[slope[t]].t);
            for (int64_t i = 0; i < dlf_tensor_count(of[t]); i++) {
                double loss[2] = {0, 0};
                const double kept = v[i];
                for (int side = 0; side < 2; side++) {
                    v[i] = kept + (side ? h : -h);
                    OK(dlf_tensor_upload_f64(of[t], v));
                    OK(dlf_norm_forward(&fwd, &norm));
                    double *y = values_of(&s.out[NT_Y].t);
                    for (int64_t e = 0; e < dlf_tensor_count(&s.out[NT_Y].t); e++)
                        loss[side] += w[e] * y[e];
                    free(y);
                }
                v[i] = kept;
                assert_true(fabs((loss[1] - loss[0]) / (2 * h) - want[i]) <= 1e-5);
            }
            OK(dlf_tensor_upload_f64(of[t], v));
            free(v), free(want);
        }
        free(w);
        nt_free(&dev), nt_free(&s);
    }
}

/* One value per group: xhat = 0, y = beta, dx = 0. */
static void a_group_of_one_value_gives_beta(void **state)
{
    (void)state;
    for (int layout = 0; layout < 2; layout++)
        for (nt_case c = {SHAPE(DLF_INSTANCE_NORM, layout ? DLF_NHWC : DLF_NCHW, 2, 3, 5, 1, 1, 0)};
             next_version(&c);) {
            nt_side dev, ref;
            run_device(&c, &dev, &ref);
            double *y = values_of(&dev.out[NT_Y].t), *beta = values_of(&dev.beta.t);
            for (int64_t i = 0; i < c.P * c.N * c.C; i++)
                assert_true(y[i] == beta[i / (c.N * c.C) * c.C + i % c.C]);
            assert_true(nt_largest(&dev.out[NT_DX].t) <= 1e-4); /* rstd 316 times a rounding */
            assert_true(nt_largest(&dev.out[NT_DGAMMA].t) == 0.0);
            free(y), free(beta);
            nt_free(&dev), nt_free(&ref);
        }
}

static void in_place_gives_the_same_bits(void **state)
{
    (void)state;
    for (int layout = 0; layout < 2; layout++)
        for (int dtype = 0; dtype < 2; dtype++)
            for (nt_case c = {SHAPE(DLF_GROUP_NORM, layout ? DLF_NHWC : DLF_NCHW, 2, 2, 8, 3, 4, 2),
                              .dtype = dtype ? DLF_BF16 : DLF_F32, .activation = DLF_SILU,
                              .residual = true};
                 next_version(&c);) {
                nt_side a, b, ref;
                run_device(&c, &a, &ref), nt_free(&ref);
                nt_build(&c, &b, &ref), nt_free(&ref);
                const dlf_norm norm = nt_norm(&c);
                dlf_norm_fwd fwd = nt_fwd(&c, &b);
                dlf_norm_bwd bwd = nt_bwd(&c, &b);
                OK(dlf_norm_forward(&fwd, &norm)); /* x is needed once more */
                bwd.dx = &b.dy.t;
                OK(dlf_norm_backward(&bwd, &norm));
                expect_same_bits(&b.dy.t, &a.out[NT_DX].t, "dx in place of dy");
                expect_same_bits(&b.out[NT_DRESIDUAL].t, &a.out[NT_DRESIDUAL].t, "dresidual");
                fwd.y = &b.x.t;
                OK(dlf_norm_forward(&fwd, &norm));
                expect_same_bits(&b.x.t, &a.out[NT_Y].t, "y in place of x");
                nt_free(&b);
                nt_build(&c, &b, &ref), nt_free(&ref);
                fwd = nt_fwd(&c, &b), bwd = nt_bwd(&c, &b);
                OK(dlf_norm_forward(&fwd, &norm));
                bwd.dresidual = &b.dy.t;
                OK(dlf_norm_backward(&bwd, &norm));
                expect_same_bits(&b.dy.t, &a.out[NT_DRESIDUAL].t, "dresidual in place of dy");
                expect_same_bits(&b.out[NT_DX].t, &a.out[NT_DX].t, "dx beside it");
                nt_free(&a), nt_free(&b);
            }
}

/* Outputs that are not wanted change nothing in the others. */
static void optional_outputs(void **state)
{
    (void)state;
    for (int layout = 0; layout < 2; layout++)
        for (nt_case c = {SHAPE(DLF_GROUP_NORM, layout ? DLF_NHWC : DLF_NCHW, 1, 2, 8, 3, 4, 2)};
             next_version(&c);) {
            nt_side a, b, ref;
            run_device(&c, &a, &ref), nt_free(&ref);
            nt_build(&c, &b, &ref), nt_free(&ref);
            const dlf_norm norm = nt_norm(&c);
            dlf_norm_fwd fwd = nt_fwd(&c, &b);
            dlf_norm_bwd bwd = nt_bwd(&c, &b);
            bwd.mean = &a.out[NT_MEAN].t, bwd.rstd = &a.out[NT_RSTD].t;
            fwd.mean = fwd.rstd = NULL;
            bwd.dgamma = NULL;
            OK(dlf_norm_forward(&fwd, &norm));
            OK(dlf_norm_backward(&bwd, &norm));
            expect_same_bits(&b.out[NT_Y].t, &a.out[NT_Y].t, "y without statistics");
            expect_same_bits(&b.out[NT_DX].t, &a.out[NT_DX].t, "dx without dgamma");
            expect_same_bits(&b.out[NT_DBETA].t, &a.out[NT_DBETA].t, "dbeta alone");
            nt_free(&a), nt_free(&b);
        }
}

/* ---- extremes ---------------------------------------------------------------------------------
 */

/* Mean 1e4, variance 1e-4: half a step of x (2^-11) is 5 % of a standard deviation, but x itself is
 * given, and y and dx of these x must be right. rstd = 1/sqrt(1.1e-4) = 95; nt_run scales by it. */
static void large_mean_small_variance(void **state)
{
    (void)state;
    for (int layout = 0; layout < 2; layout++) {
        nt_case c = {SHAPE(DLF_GROUP_NORM, layout ? DLF_NHWC : DLF_NCHW, 1, 2, 12, 9, 11, 3),
                     .scale = 1e-2f, .shift = 1e4f};
        run_all(c);
        c.kind = DLF_INSTANCE_NORM;
        run_all(c);
    }
}

/* NaN, +-Inf in one group make that group NaN and leave the bits of all others alone. */
static void nan_stays_in_its_group(void **state)
{
    (void)state;
    const double bad[] = {NAN, INFINITY, -INFINITY};
    for (int layout = 0; layout < 2; layout++)
        for (nt_case c = {SHAPE(DLF_GROUP_NORM, layout ? DLF_NHWC : DLF_NCHW, 1, 2, 12, 3, 5, 4)};
             next_version(&c);)
            for (int b = 0; b < 3; b++) {
                nt_side clean, dirty, ref;
                run_device(&c, &clean, &ref), nt_free(&ref);
                nt_build(&c, &dirty, &ref), nt_free(&ref);
                double *x = values_of(&dirty.x.t);
                x[at(&c, 1, 4, 7)] = bad[b]; /* group 1 of sample 1 */
                OK(dlf_tensor_upload_f64(&dirty.x.t, x));
                const dlf_norm norm = nt_norm(&c);
                const dlf_norm_fwd fwd = nt_fwd(&c, &dirty);
                const dlf_norm_bwd bwd = nt_bwd(&c, &dirty);
                OK(dlf_norm_forward(&fwd, &norm));
                OK(dlf_norm_backward(&bwd, &norm));
                const int like_x[] = {NT_Y, NT_DX};
                for (int t = 0; t < 2; t++) {
                    double *v = values_of(&dirty.out[like_x[t]].t);
                    double *w = values_of(&clean.out[like_x[t]].t);
                    for (int64_t n = 0; n < c.N; n++)
                        for (int64_t ch = 0; ch < c.C; ch++)
                            for (int64_t s = 0; s < c.H * c.W; s++) {
                                const int64_t e = at(&c, n, ch, s);
                                if (n == 1 && ch / 3 == 1)
                                    assert_true(isnan(v[e]));
                                else
                                    assert_true(v[e] == w[e]);
                            }
                    free(v), free(w);
                }
                double *dgamma = values_of(&dirty.out[NT_DGAMMA].t);
                for (int64_t ch = 0; ch < c.C; ch++)
                    assert_int_equal(isnan(dgamma[ch]) != 0, ch / 3 == 1);
                free(dgamma), free(x);
                nt_free(&clean), nt_free(&dirty);
            }
}

/* A constant group has variance 0: y = beta with eps > 0, NaN with eps = 0; denormals stay finite.
 */
static void no_variance(void **state)
{
    (void)state;
    for (int layout = 0; layout < 2; layout++)
        for (nt_case c = {SHAPE(DLF_GROUP_NORM, layout ? DLF_NHWC : DLF_NCHW, 1, 2, 4, 3, 5, 2)};
             next_version(&c);)
            for (int k = 0; k < 3; k++) {
                nt_side dev, ref;
                nt_build(&c, &dev, &ref), nt_free(&ref);
                double x[2 * 4 * 15], *beta = values_of(&dev.beta.t);
                for (int i = 0; i < 2 * 4 * 15; i++) x[i] = k == 2 ? i % 7 * 1e-45 : 2.5;
                OK(dlf_tensor_upload_f64(&dev.x.t, x));
                dlf_norm norm = nt_norm(&c);
                if (k == 1) norm.eps = 0.0;
                const dlf_norm_fwd fwd = nt_fwd(&c, &dev);
                OK(dlf_norm_forward(&fwd, &norm));
                double *y = values_of(&dev.out[NT_Y].t);
                for (int64_t ch = 0; ch < c.C; ch++)
                    for (int64_t s = 0; s < 15; s++) {
                        const double v = y[at(&c, 1, ch, s)];
                        assert_true(k == 1 ? isnan(v) : fabs(v - beta[ch]) < 1e-6);
                    }
                free(beta), free(y);
                nt_free(&dev);
            }
}

/* ---- determinism, versions --------------------------------------------------------------------
 */

static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    if (strcmp(kt_dev->info.backend, "cpu")) skip(); /* cuda: threads are multiprocessors */
    const int threads = kt_dev->info.threads;
    const nt_case cases[] = {{SHAPE(DLF_GROUP_NORM, DLF_NCHW, 1, 3, 24, 32, 32, 8)},
                             {SHAPE(DLF_GROUP_NORM, DLF_NHWC, 1, 3, 24, 64, 64, 8)},
                             {SHAPE(DLF_GROUP_NORM, DLF_NCHW, 1, 1, 8, 64, 64, 1)}, /* few groups */
                             {SHAPE(DLF_GROUP_NORM, DLF_NHWC, 1, 1, 96, 64, 64, 2)},
                             {SHAPE(DLF_GROUP_NORM, DLF_NHWC, 1, 90, 24, 9, 9, 2)}};
    for (int i = 0; i < 5; i++) {
        nt_side side[3], ref;
        for (int k = 0; k < 3; k++) {
            kt_dev->info.threads = k == 0 ? 1 : k == 1 ? 2 : 5;
            run_device(&cases[i], &side[k], &ref), nt_free(&ref);
        }
        kt_dev->info.threads = threads;
        const int outputs[] = {NT_Y, NT_MEAN, NT_RSTD, NT_DX, NT_DGAMMA, NT_DBETA};
        for (int k = 1; k < 3; k++)
            for (int o = 0; o < 6; o++)
                expect_same_bits(&side[k].out[outputs[o]].t, &side[0].out[outputs[o]].t,
                                 nt_names[outputs[o]]);
        for (int k = 0; k < 3; k++) nt_free(&side[k]);
    }
}

/* Sizes that only a compiled kernel takes in no time: several runs and chunks, streamed outputs. */
static void large_shapes_match_reference(void **state)
{
    (void)state;
    if (strcmp(kt_dev->info.backend, "cpu")) skip();
    assert_true(nt_run((nt_case){SHAPE(DLF_GROUP_NORM, DLF_NCHW, 1, 1, 3, 101, 103, 1)}));
    assert_true(nt_run((nt_case){SHAPE(DLF_GROUP_NORM, DLF_NHWC, 1, 1, 700, 15, 19, 7)}));
    assert_true(nt_run((nt_case){SHAPE(DLF_GROUP_NORM, DLF_NHWC, 2, 1, 5, 301, 100, 1),
                                 .activation = DLF_GELU, .residual = true}));
    assert_true(nt_run((nt_case){SHAPE(DLF_INSTANCE_NORM, DLF_NHWC, 1, 2, 1100, 9, 9, 0)}));
    for (int layout = 0; layout < 2; layout++)
        assert_true(nt_run(
            (nt_case){SHAPE(DLF_GROUP_NORM, layout ? DLF_NHWC : DLF_NCHW, 1, 8, 33, 180, 181, 3)}));
}

/* Two members more than 2^31 elements apart. The memory is mapped, not filled; where a device will
 * not give so much, there is nothing to test. */
static void members_beyond_two_to_the_31(void **state)
{
    (void)state;
    const int64_t far = ((int64_t)1 << 31) + 64, n = 2 * 8 * 2 * 3;
    dlf_tensor arena;
    if (strcmp(kt_dev->info.backend, "cpu") ||
        dlf_tensor_new(&arena, kt_dev, DLF_BF16, 2, far) != DLF_OK)
        skip();
    for (int layout = 0; layout < 2; layout++) {
        nt_case c = {SHAPE(DLF_GROUP_NORM, layout ? DLF_NHWC : DLF_NCHW, 2, 2, 8, 2, 3, 4),
                     .dtype = DLF_BF16, .activation = DLF_SILU};
        nt_side near, apart, ref;
        run_device(&c, &near, &ref), nt_free(&ref);
        nt_build(&c, &apart, &ref), nt_free(&ref);
        dlf_tensor in[] = {apart.x.t, apart.dy.t};
        for (int i = 0; i < 4; i++) { /* x, dy, y, dx */
            dlf_tensor *t = i == 0   ? &apart.x.t
                            : i == 1 ? &apart.dy.t
                                     : &apart.out[i == 2 ? NT_Y : NT_DX].t;
            *t = dlf_tensor_window(&arena, i * n, 5, t->shape);
            if (i < 2) OK(dlf_tensor_copy(t, &in[i]));
        }
        const dlf_norm norm = nt_norm(&c);
        const dlf_norm_fwd fwd = nt_fwd(&c, &apart);
        const dlf_norm_bwd bwd = nt_bwd(&c, &apart);
        OK(dlf_norm_forward(&fwd, &norm));
        OK(dlf_norm_backward(&bwd, &norm));
        expect_same_bits(&apart.out[NT_Y].t, &near.out[NT_Y].t, "y");
        expect_same_bits(&apart.out[NT_DX].t, &near.out[NT_DX].t, "dx");
        nt_free(&near), nt_free(&apart);
    }
    dlf_tensor_free(&arena);
}

static void every_version_ran(void **state)
{
    (void)state;
    for (int v = 1; v <= versions_here(); v++)
        if (!ran[v]) fail_msg("version %d took none of the cases", v);
    nt_case c = shapes[2];
    c.version = versions_here() + 1;
    nt_side dev, ref;
    nt_build(&c, &dev, &ref);
    const dlf_norm norm = nt_norm(&c);
    const dlf_norm_fwd fwd = nt_fwd(&c, &dev);
    const dlf_norm_bwd bwd = nt_bwd(&c, &dev);
    assert_int_equal(dlf_norm_forward(&fwd, &norm), DLF_ERR_NO_KERNEL);
    assert_int_equal(dlf_norm_backward(&bwd, &norm), DLF_ERR_NO_KERNEL);
    const dlf_norm negative = {.kind = c.kind, .groups = c.groups, .version = -1};
    assert_int_equal(dlf_norm_forward(&fwd, &negative), DLF_ERR_NO_KERNEL);
    nt_free(&dev), nt_free(&ref);
}

static void one_operand_misaligned(void **state)
{
    (void)state;
    nt_one_operand_misaligned(DLF_GROUP_NORM);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_operand_misaligned),
        cmocka_unit_test(shapes_match_reference),
        cmocka_unit_test(members_with_gaps_match_reference),
        cmocka_unit_test(storage_matches_reference),
        cmocka_unit_test(epilogues_match_reference),
        cmocka_unit_test(groups_have_mean_0_and_square_1),
        cmocka_unit_test(scale_and_shift_do_not_matter),
        cmocka_unit_test(is_instance_norm_and_layer_norm),
        cmocka_unit_test(of_one_sample_is_batch_norm),
        cmocka_unit_test(layouts_agree),
        cmocka_unit_test(backward_on_ref_is_the_difference_quotient),
        cmocka_unit_test(a_group_of_one_value_gives_beta),
        cmocka_unit_test(in_place_gives_the_same_bits),
        cmocka_unit_test(optional_outputs),
        cmocka_unit_test(large_mean_small_variance),
        cmocka_unit_test(nan_stays_in_its_group),
        cmocka_unit_test(no_variance),
        cmocka_unit_test(bits_do_not_depend_on_threads),
        cmocka_unit_test(large_shapes_match_reference),
        cmocka_unit_test(members_beyond_two_to_the_31),
        cmocka_unit_test(every_version_ran),
    };
    kt_open(argc, argv);
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
