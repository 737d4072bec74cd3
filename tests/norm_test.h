/* SPDX-License-Identifier: MIT
 * norm_test.h -- one case of a normalization, forward and backward, on the device under test and on
 * ref. Shared by the tests of the three families.
 *
 * Tolerances, for x = scale N(0,1) + shift, from 2^-24 = 6e-8 per rounding:
 *   mean   corrected by the second pass: a few roundings of (x - mean) ~ scale        1e-6 scale
 *   rstd   sum of squares by a tree or in lanes, root, division                       1e-6 relative
 *   y      |xhat| < 6 with 1e-6 from rstd and the mean, gamma < 4                      2e-5 +
 * storage dx     three terms of size rstd |g| < rstd 16 that may cancel, 1e-6 each           2e-5
 * max rstd dgamma, dbeta   M terms of size <= 6 |dz| in float lanes, sums ~ sqrt(M)           2e-6
 * relative, 5e-6 (sqrt(M) + 4) absolute Storage adds one rounding of the output: kt_rounding, and
 * 2^-25 for denormal halves. */
#ifndef DLF_NORM_TEST_H
#define DLF_NORM_TEST_H
#include "dlf/norm.h"
#include "kernel_test.h"

typedef struct nt_case {
    dlf_norm_kind kind;
    dlf_layout layout;
    int64_t P, N, C, H, W; /* W = 0: a matrix (P,N,C)                                             */
    int64_t groups;
    dlf_dtype dtype; /* storage; zeroed: f32 */
    dlf_activation_kind activation;
    bool residual, plain; /* plain: no gamma, no beta */
    float scale, shift; /* of x; scale zeroed: 1                                                 */
    double accumulate;
    int version;
    int alone;   /* k > 0: only operand k (nt_operand) stands at an odd address                  */
    int64_t pad; /* members are windows with this many elements before and after */
} nt_case;

enum {
    NT_Y,
    NT_MEAN,
    NT_RSTD,
    NT_RUNNING_MEAN,
    NT_RUNNING_VAR,
    NT_DX,
    NT_DRESIDUAL,
    NT_DGAMMA,
    NT_DBETA,
    NT_OUTPUTS
};
static const char *const nt_names[NT_OUTPUTS] = {
    "y", "mean", "rstd", "running_mean", "running_var", "dx", "dresidual", "dgamma", "dbeta"};

/* One side: arenas (owned) and the windows the op sees. */
typedef struct nt_tensor {
    dlf_tensor arena, t;
} nt_tensor;
typedef struct nt_side {
    nt_tensor x, residual, dy, gamma, beta, out[NT_OUTPUTS];
} nt_side;

/* In the order of nt_case.alone, from 1. */
enum { NT_INPUTS = 5, NT_OPERANDS = NT_INPUTS + NT_OUTPUTS };
static inline nt_tensor *nt_operand(nt_side *s, int k)
{
    nt_tensor *const inputs[NT_INPUTS] = {&s->x, &s->residual, &s->dy, &s->gamma, &s->beta};
    return k <= NT_INPUTS ? inputs[k - 1] : &s->out[k - 1 - NT_INPUTS];
}

static inline int nt_shape(const nt_case *c, int64_t shape[6])
{
    const int64_t nchw[] = {c->P, c->N, c->C, c->H, c->W}, nhwc[] = {c->P, c->N, c->H, c->W, c->C};
    memcpy(shape, c->layout == DLF_NCHW ? nchw : nhwc, sizeof nchw);
    if (c->W) return 5;
    const int64_t matrix[] = {c->P, c->N, c->C};
    memcpy(shape, matrix, sizeof matrix);
    return 3;
}

/* (P, ...) as windows `pad` elements into longer rows; contents from `host` (dense) or NaN. */
static inline void nt_pair(nt_tensor *dev, nt_tensor *ref, dlf_dtype dtype, const float *host,
                           int64_t pad, int ndim, const int64_t *shape)
{
    int64_t n = 1;
    for (int i = 1; i < ndim; i++) n *= shape[i];
    const int64_t arena[] = {shape[0], n + 2 * pad};
    float *all = malloc((size_t)(arena[0] * arena[1]) * sizeof *all);
    assert_non_null(all);
    for (int64_t p = 0; p < shape[0]; p++)
        for (int64_t i = 0; i < arena[1]; i++) {
            const bool inside = host && i >= pad && i < pad + n;
            all[p * arena[1] + i] = inside ? host[p * n + i - pad] : NAN;
        }
    if (dtype == DLF_F64 || dtype == DLF_F32) { /* mean is f64 on every device */
        OK(dlf_tensor_init(&dev->arena, kt_dev, dtype == DLF_F64 ? dtype : kt_dev->real, 2, arena));
        OK(dlf_tensor_init(&ref->arena, kt_ref, DLF_F64, 2, arena));
        OK(dlf_tensor_upload(&dev->arena, all));
        OK(dlf_tensor_upload(&ref->arena, all));
    } else {
        kt_storage_pair(&dev->arena, &ref->arena, dtype, all, 2, arena);
    }
    dev->t = dlf_tensor_window(&dev->arena, pad, ndim, shape);
    ref->t = dlf_tensor_window(&ref->arena, pad, ndim, shape);
    free(all);
}

static inline int64_t nt_pad(const nt_case *c, nt_side *side, const nt_tensor *t)
{
    return c->alone && nt_operand(side, c->alone) == t ? 1 : c->pad;
}

static inline void nt_build(const nt_case *c, nt_side *dev, nt_side *ref)
{
    int64_t shape[6];
    const int ndim = nt_shape(c, shape);
    const int64_t S = c->W ? c->H * c->W : 1, n = c->P * c->N * c->C * S, PC = c->P * c->C;
    float *x = kt_random(n, 1, c->scale ? c->scale : 1.0f, c->shift);
    float *r = kt_random(n, 2, 1.0f, 0.0f), *dy = kt_random(n, 3, 1.0f, 0.1f);
    float *gamma = kt_random(PC, 4, 0.5f, 1.0f), *beta = kt_random(PC, 5, 0.5f, 0.0f);
    float *before = kt_random(PC, 6, 1.0f, 0.0f), *positive = kt_random(PC, 7, 0.1f, 2.0f);
    memset(dev, 0, sizeof *dev), memset(ref, 0, sizeof *ref);
    nt_pair(&dev->x, &ref->x, c->dtype, x, nt_pad(c, dev, &dev->x), ndim, shape);
    nt_pair(&dev->residual, &ref->residual, c->dtype, r, nt_pad(c, dev, &dev->residual), ndim,
            shape);
    nt_pair(&dev->dy, &ref->dy, c->dtype, dy, nt_pad(c, dev, &dev->dy), ndim, shape);
    const int64_t per_channel[] = {c->P, c->C};
    nt_pair(&dev->gamma, &ref->gamma, DLF_F32, gamma, nt_pad(c, dev, &dev->gamma), 2, per_channel);
    nt_pair(&dev->beta, &ref->beta, DLF_F32, beta, nt_pad(c, dev, &dev->beta), 2, per_channel);

    dlf_norm norm = {.kind = c->kind, .layout = c->layout, .groups = c->groups};
    dlf_norm_geometry g;
    OK(dlf_norm_geometry_of(&g, &dev->x.t, norm));
    const int64_t stats[] = {c->P, dlf_norm_over_samples(c->kind) ? g.groups : g.N, g.groups};
    const int stat_axes = c->kind == DLF_INSTANCE_NORM || c->kind == DLF_GROUP_NORM ? 3 : 2;
    const float *had =
        c->accumulate != 0.0 ? before : NULL; /* NaN: accumulate 0 must not read it */
    const int like_x[] = {NT_Y, NT_DX, NT_DRESIDUAL};
    for (int i = 0; i < 3; i++)
        nt_pair(&dev->out[like_x[i]], &ref->out[like_x[i]], c->dtype, NULL,
                nt_pad(c, dev, &dev->out[like_x[i]]), ndim, shape);
    nt_pair(&dev->out[NT_MEAN], &ref->out[NT_MEAN], DLF_F64, NULL,
            nt_pad(c, dev, &dev->out[NT_MEAN]), stat_axes, stats);
    nt_pair(&dev->out[NT_RSTD], &ref->out[NT_RSTD], DLF_F32, NULL,
            nt_pad(c, dev, &dev->out[NT_RSTD]), stat_axes, stats);
    nt_pair(&dev->out[NT_RUNNING_MEAN], &ref->out[NT_RUNNING_MEAN], DLF_F32, before,
            nt_pad(c, dev, &dev->out[NT_RUNNING_MEAN]), 2, per_channel);
    nt_pair(&dev->out[NT_RUNNING_VAR], &ref->out[NT_RUNNING_VAR], DLF_F32, positive,
            nt_pad(c, dev, &dev->out[NT_RUNNING_VAR]), 2, per_channel);
    nt_pair(&dev->out[NT_DGAMMA], &ref->out[NT_DGAMMA], DLF_F32, had,
            nt_pad(c, dev, &dev->out[NT_DGAMMA]), 2, per_channel);
    nt_pair(&dev->out[NT_DBETA], &ref->out[NT_DBETA], DLF_F32, had,
            nt_pad(c, dev, &dev->out[NT_DBETA]), 2, per_channel);
    free(x), free(r), free(dy), free(gamma), free(beta), free(before), free(positive);
}

static inline void nt_free(nt_side *s)
{
    for (int k = 1; k <= NT_OPERANDS; k++) dlf_tensor_free(&nt_operand(s, k)->arena);
}

static inline dlf_norm nt_norm(const nt_case *c)
{
    return (dlf_norm){.kind = c->kind,
                      .layout = c->layout,
                      .groups = c->groups,
                      .eps = 1e-5,
                      .momentum = 0.1,
                      .activation = dlf_activation_of(c->activation),
                      .version = c->version};
}

static inline bool nt_running(const nt_case *c)
{
    return c->kind == DLF_BATCH_NORM && c->N * (c->W ? c->H * c->W : 1) > 1;
}

static inline dlf_norm_fwd nt_fwd(const nt_case *c, nt_side *s)
{
    const bool running = nt_running(c);
    return (dlf_norm_fwd){.y = &s->out[NT_Y].t,
                          .mean = c->kind == DLF_RMS_NORM ? NULL : &s->out[NT_MEAN].t,
                          .rstd = &s->out[NT_RSTD].t,
                          .running_mean = running ? &s->out[NT_RUNNING_MEAN].t : NULL,
                          .running_var = running ? &s->out[NT_RUNNING_VAR].t : NULL,
                          .x = &s->x.t,
                          .gamma = c->plain ? NULL : &s->gamma.t,
                          .beta = c->plain ? NULL : &s->beta.t,
                          .residual = c->residual ? &s->residual.t : NULL};
}

static inline dlf_norm_bwd nt_bwd(const nt_case *c, nt_side *s)
{
    return (dlf_norm_bwd){.dx = &s->out[NT_DX].t,
                          .dresidual = c->residual ? &s->out[NT_DRESIDUAL].t : NULL,
                          .dgamma = c->plain ? NULL : &s->out[NT_DGAMMA].t,
                          .dbeta = c->plain ? NULL : &s->out[NT_DBETA].t,
                          .dy = &s->dy.t,
                          .x = &s->x.t,
                          .mean = c->kind == DLF_RMS_NORM ? NULL : &s->out[NT_MEAN].t,
                          .rstd = &s->out[NT_RSTD].t,
                          .gamma = c->plain ? NULL : &s->gamma.t,
                          .beta = c->plain ? NULL : &s->beta.t,
                          .residual = c->residual ? &s->residual.t : NULL,
                          .accumulate = c->accumulate};
}

/* Where |z| is within rounding of a kink, the two sides may take different slopes: dy = 0 there. */
static inline void nt_avoid_kinks(const nt_case *c, nt_side *dev, nt_side *ref)
{
    if (c->activation == DLF_LINEAR) return;
    nt_case linear = *c;
    linear.activation = DLF_LINEAR;
    linear.version = 0;
    const dlf_norm norm = nt_norm(&linear);
    dlf_norm_fwd io = nt_fwd(c, ref);
    io.running_mean = io.running_var = NULL;
    OK(dlf_norm_forward(&io, &norm));
    const size_t n = (size_t)dlf_tensor_count(io.y);
    double *z = malloc(n * sizeof *z), *dy = malloc(n * sizeof *dy);
    assert_true(z && dy);
    OK(dlf_tensor_download_f64(z, io.y));
    OK(dlf_tensor_download_f64(dy, &ref->dy.t));
    for (size_t i = 0; i < n; i++)
        if (fabs(z[i]) < 1e-4) dy[i] = 0.0;
    OK(dlf_tensor_upload_f64(&ref->dy.t, dy));
    OK(dlf_tensor_upload_f64(&dev->dy.t, dy));
    free(z), free(dy);
}

static inline double nt_largest(const dlf_tensor *t)
{
    const size_t n = (size_t)dlf_tensor_count(t);
    double *v = malloc(n * sizeof *v), largest = 0.0;
    assert_non_null(v);
    OK(dlf_tensor_download_f64(v, t));
    for (size_t i = 0; i < n; i++)
        if (fabs(v[i]) > largest) largest = fabs(v[i]);
    free(v);
    return largest;
}

/* What stands around the windows must still be NaN. */
static inline void nt_gaps_untouched(const nt_tensor *t, const char *name)
{
    const int64_t pitch = t->arena.stride, own = dlf_tensor_member_count(&t->t);
    const int64_t pad = (pitch - own) / 2, n = dlf_tensor_count(&t->arena);
    double *v = malloc((size_t)n * sizeof *v);
    assert_non_null(v);
    OK(dlf_tensor_download_f64(v, &t->arena));
    for (int64_t i = 0; i < n; i++)
        if ((i % pitch < pad || i % pitch >= pad + own) && !isnan(v[i]))
            fail_msg("%s was written outside, at %lld", name, (long long)i);
    free(v);
}

/* Runs the case. False: this version does not fit the case (never for version 0 and 1). */
static inline bool nt_run(nt_case c)
{
    nt_side dev, ref;
    nt_build(&c, &dev, &ref);
    nt_avoid_kinks(&c, &dev, &ref);
    const dlf_norm norm = nt_norm(&c);
    dlf_norm ref_norm = norm;
    ref_norm.version = 0;
    const dlf_norm_fwd fwd = nt_fwd(&c, &dev), ref_fwd = nt_fwd(&c, &ref);
    const dlf_norm_bwd bwd = nt_bwd(&c, &dev), ref_bwd = nt_bwd(&c, &ref);
    dlf_status status = dlf_norm_forward(&fwd, &norm);
    const bool fits_forward = status != DLF_ERR_NO_KERNEL;
    dlf_norm other = norm; /* backward may have more versions than forward, or fewer */
    if (!fits_forward && c.version > 1) {
        other.version = 0;
        status = dlf_norm_forward(&fwd, &other);
    }
    OK(status);
    status = dlf_norm_backward(&bwd, &norm);
    const bool fits_backward = status != DLF_ERR_NO_KERNEL;
    if (!fits_backward && c.version > 1) {
        other.version = 0;
        status = dlf_norm_backward(&bwd, &other);
    }
    OK(status);
    OK(dlf_norm_forward(&ref_fwd, &ref_norm));
    OK(dlf_norm_backward(&ref_bwd, &ref_norm));

    const double scale = c.scale ? (double)c.scale : 1.0;
    const double round = kt_rounding(c.dtype), tiny = c.dtype == DLF_F16 ? 0x1p-25 : 0.0;
    const double M = (double)(c.N * (c.W ? c.H * c.W : 1));
    const double rstd = nt_largest(&ref.out[NT_RSTD].t), column = 5e-6 * (sqrt(M) + 4.0);
    const double shift =
        fabs((double)c.shift); /* rms: xhat is not centred, and as large as it is */
    const double atol[NT_OUTPUTS] = {
        2e-5 + tiny, 1e-6 * scale, 0.0,   1e-7 * shift + 1e-6 * scale, 1e-7, 2e-5 * rstd + tiny,
        1e-6 + tiny, column,       column};
    const double rtol[NT_OUTPUTS] = {round + 1e-6, 1e-12,        1e-6, 1e-6, 2e-6,
                                     round + 1e-6, round + 1e-6, 2e-6, 2e-6};
    for (int i = 0; i < NT_OUTPUTS; i++) {
        if (i == NT_MEAN && c.kind == DLF_RMS_NORM) continue;
        if ((i == NT_RUNNING_MEAN || i == NT_RUNNING_VAR) && !nt_running(&c)) continue;
        if (i == NT_DRESIDUAL && !c.residual) continue;
        if ((i == NT_DGAMMA || i == NT_DBETA) && c.plain) continue;
        const double worst = kt_worst(&dev.out[i].t, &ref.out[i].t, atol[i], rtol[i]);
        nt_gaps_untouched(&dev.out[i], nt_names[i]);
        if (!(worst <= 1.0))
            fail_msg("%s of %s %s P %lld N %lld C %lld %lldx%lld G %lld %s %s version %d: %.3g x "
                     "tolerance",
                     nt_names[i], dlf_norm_name(c.kind), c.layout == DLF_NCHW ? "NCHW" : "NHWC",
                     (long long)c.P, (long long)c.N, (long long)c.C, (long long)c.H, (long long)c.W,
                     (long long)c.groups, dlf_dtype_name(c.dtype),
                     dlf_activation_name(c.activation), c.version, worst);
    }
    nt_free(&dev), nt_free(&ref);
    return fits_forward || fits_backward;
}

/* Every operand alone at an odd address, in every version that takes the case. */
static inline void nt_run_each_misaligned(nt_case c)
{
    for (c.alone = 1; c.alone <= NT_OPERANDS; c.alone++)
        for (c.version = 0; c.version <= 4; c.version++) (void)nt_run(c);
}

/* The vector paths are for calls in which everything is aligned. */
static inline void nt_one_operand_misaligned(dlf_norm_kind kind)
{
    const nt_case matrix = {.kind = kind,
                            .P = 2,
                            .N = 3,
                            .C = 32,
                            .groups = 2,
                            .activation = DLF_RELU,
                            .residual = true};
    nt_case image = matrix;
    image.C = 8, image.H = 2, image.W = 8;
    for (int k = 0; k < 2; k++) {
        image.layout = k ? DLF_NHWC : DLF_NCHW;
        nt_run_each_misaligned(image);
    }
    nt_run_each_misaligned(matrix);
    image.dtype = DLF_BF16;
    nt_run_each_misaligned(image);
}
#endif
