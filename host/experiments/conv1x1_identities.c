/* SPDX-License-Identifier: MIT
 * conv1x1_identities.c -- Q15: a 1x1 convolution computed as convolution, as matrix product and as
 * dense layer per pixel; merged into a 3x3; and under a permutation of the pixels. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "conv1x1.h"
#include "dlf/data.h"
#include "dlf/rng.h"
#include "host_arrays.h"
#include "seed_check.h"

/* ---- the same numbers three ways ------------------------------------------------------------- */

typedef struct shape {
    int n, c, side, k;
} shape;
enum { SHAPES = 3 };
typedef struct arrays {
    double *x, *w, *y, *z, *t; /* t: x with pixels as rows */
} arrays;

static void arrays_free(arrays *a)
{
    free(a->x);
    free(a->w);
    free(a->y);
    free(a->z);
    free(a->t);
}

static dlf_status arrays_new(arrays *a, size_t x, size_t w, size_t y)
{
    const size_t t = x > y ? x : y;
    *a =
        (arrays){malloc(x * sizeof(double)), malloc(w * sizeof(double)), malloc(y * sizeof(double)),
                 malloc(y * sizeof(double)), malloc(t * sizeof(double))};
    if (a->x && a->w && a->y && a->z && a->t) return DLF_OK;
    arrays_free(a);
    return dlf_fail(DLF_ERR_OOM, "conv1x1: out of memory");
}

/* (n,c,S) to (n,S,c) */
static void transpose(double *to, const double *from, int n, int c, int S)
{
    for (int i = 0; i < n; i++)
        for (int k = 0; k < c; k++)
            for (int s = 0; s < S; s++)
                to[((size_t)i * (size_t)S + (size_t)s) * (size_t)c + (size_t)k] =
                    from[((size_t)i * (size_t)c + (size_t)k) * (size_t)S + (size_t)s];
}

static dlf_status compare(dlf_device *dev, shape q, uint64_t seed, double *product, double *dense,
                          double *centred)
{
    const int S = q.side * q.side;
    const size_t nx = (size_t)q.n * (size_t)q.c * (size_t)S, ny = nx / (size_t)q.c * (size_t)q.k;
    arrays a;
    dlf_status status;
    DLF_TRY(arrays_new(&a, nx, (size_t)(9 * q.k * q.c), ny));
    host_normal(a.x, (int64_t)nx, 1.0, seed, dlf_stream(DLF_PURPOSE_INPUT, 15), 0);
    host_normal(a.w, q.k * q.c, 1.0, seed, dlf_stream(DLF_PURPOSE_WEIGHTS, 15), 0);
    DLF_TRY_DONE(host_conv(dev, a.y, a.x, (int64_t[]){q.n, q.c, q.side, q.side}, a.w,
                           (int64_t[]){q.k, q.c, 1, 1}, dlf_conv_of(DLF_NCHW, 1, 1, 0)));
    DLF_TRY_DONE(host_product(dev, a.z, a.w, a.x, q.n, q.k, q.c, S));
    *product = host_worst(a.y, a.z, (int64_t)ny);
    transpose(a.t, a.x, q.n, q.c, S);
    DLF_TRY_DONE(host_dense(dev, a.z, a.t, (int64_t)q.n * S, q.c, a.w, q.k));
    transpose(a.t, a.y, q.n, q.k, S);
    *dense = host_worst(a.t, a.z, (int64_t)ny);
    /* A backend may take the same kernels for both where the kernel is 1x1; not where it is 3x3. */
    DLF_TRY_DONE(host_conv1x1(dev, a.z, a.x, (int64_t[]){q.n, q.c, q.side, q.side}, a.w, q.k));
    for (int i = q.k * q.c - 1; i >= 0; i--)
        for (int tap = 8; tap >= 0; tap--) a.w[9 * i + tap] = tap == 4 ? a.w[i] : 0.0;
    DLF_TRY_DONE(host_conv(dev, a.y, a.x, (int64_t[]){q.n, q.c, q.side, q.side}, a.w,
                           (int64_t[]){q.k, q.c, 3, 3}, dlf_conv_of(DLF_NCHW, 3, 1, 1)));
    *centred = host_worst(a.y, a.z, (int64_t)ny);
done:
    arrays_free(&a);
    return status;
}

/* 3x3 C -> M, then 1x1 M -> K, against one 3x3 C -> K with the merged weights; and with a ReLU
 * between, which cannot be merged. */
static dlf_status merge(dlf_device *dev, uint64_t seed, double *linear, double *relu)
{
    enum { N = 4, C = 8, M = 16, K = 8, SIDE = 7, S = SIDE * SIDE, TAPS = 9 };
    const dlf_conv three = dlf_conv_of(DLF_NCHW, 3, 1, 1), one = dlf_conv_of(DLF_NCHW, 1, 1, 0);
    const int64_t xs[] = {N, C, SIDE, SIDE}, ms[] = {N, M, SIDE, SIDE};
    arrays a;
    dlf_status status;
    double point[K * M], merged[K * C * TAPS] = {0};
    DLF_TRY(arrays_new(&a, N * M * S, M * C * TAPS, N * M * S));
    host_normal(a.x, N * C * S, 1.0, seed, dlf_stream(DLF_PURPOSE_INPUT, 16), 0);
    host_normal(a.w, M * C * TAPS, 1.0, seed, dlf_stream(DLF_PURPOSE_WEIGHTS, 16), 0);
    host_normal(point, K * M, 1.0, seed, dlf_stream(DLF_PURPOSE_WEIGHTS, 17), 0);
    for (int k = 0; k < K; k++)
        for (int m = 0; m < M; m++)
            for (int i = 0; i < C * TAPS; i++)
                merged[k * C * TAPS + i] += point[k * M + m] * a.w[m * C * TAPS + i];
    DLF_TRY_DONE(host_conv(dev, a.t, a.x, xs, a.w, (int64_t[]){M, C, 3, 3}, three));
    DLF_TRY_DONE(host_conv(dev, a.z, a.x, xs, merged, (int64_t[]){K, C, 3, 3}, three));
    DLF_TRY_DONE(host_conv(dev, a.y, a.t, ms, point, (int64_t[]){K, M, 1, 1}, one));
    *linear = host_worst(a.y, a.z, N * K * S);
    for (int i = 0; i < N * M * S; i++) a.t[i] = a.t[i] > 0.0 ? a.t[i] : 0.0;
    DLF_TRY_DONE(host_conv(dev, a.y, a.t, ms, point, (int64_t[]){K, M, 1, 1}, one));
    *relu = host_distance(a.y, a.z, N * K * S);
done:
    arrays_free(&a);
    return status;
}

/* An identity of our own arithmetic: the worst of the seeds. */
static dlf_status identity(dlf_run *run, const char *id, dlf_text claim, const double *off, int n)
{
    double worst = 0.0;
    for (int i = 0; i < n; i++)
        if (off[i] > worst || isnan(off[i])) worst = off[i]; /* a NaN stays */
    dlf_check c = dlf_check_exact(id, claim, worst);
    c.n = dlf_run_seeds(run);
    c.tolerance = 1e-5;
    c.source = "identity; float32 sums of up to 256 products in two orders";
    c.self_check = true;
    return dlf_result_check(dlf_run_result(run), c);
}

static dlf_status identity_checks(dlf_run *run, const double *product, const double *dense,
                                  const double *centred, const double *linear, const double *relu)
{
    const int seeds = dlf_run_seeds(run);
    DLF_TRY(identity(run, "product",
                     (dlf_text){"1×1 卷积＝通道上的矩阵乘法（最大相对误差）",
                                "1x1 convolution = matrix product over channels (worst relative "
                                "difference)"},
                     product, SHAPES * seeds));
    DLF_TRY(identity(run, "dense",
                     (dlf_text){"1×1 卷积＝逐像素共用的全连接层",
                                "1x1 convolution = one dense layer shared by all pixels"},
                     dense, SHAPES * seeds));
    DLF_TRY(identity(run, "centred",
                     (dlf_text){"1×1 卷积＝除中心外权重全为零的 3×3（最大相对误差）",
                                "1x1 convolution = a 3x3 whose weights are 0 but in the centre "
                                "(worst relative difference)"},
                     centred, SHAPES * seeds));
    DLF_TRY(identity(run, "merged",
                     (dlf_text){"中间没有激活时，3×3 之后的 1×1 可以并进 3×3",
                                "without an activation a 1x1 behind a 3x3 merges into it"},
                     linear, seeds));
    dlf_check c = dlf_check_of("merged_relu",
                               (dlf_text){"对照：中间有 ReLU，就并不进去（相对差）",
                                          "control: with a ReLU in between it does not (relative "
                                          "difference)"},
                               dlf_estimate_of(relu, seeds, 1));
    c.expected = 0.3;
    c.relation = DLF_AT_LEAST;
    c.source = "half of the summands are cut: a difference of order 1";
    return dlf_result_check(dlf_run_result(run), c);
}

dlf_status dlf_conv1x1_identities(dlf_run *run, double from, double to)
{
    const int seeds = dlf_run_seeds(run);
    const int C = dlf_run_int(run, "channels"), side = dlf_run_int(run, "side");
    const shape shapes[SHAPES] = {
        {4, 16, 7, 32}, {8, C, side, (C + 1) / 2}, {2, 4 * C, 2 * side, C}};
    dlf_device *dev = dlf_run_device(run);
    dlf_status status;
    double *v = malloc((size_t)((3 * SHAPES + 2) * seeds) * sizeof *v);
    if (!v) return dlf_fail(DLF_ERR_OOM, "conv1x1: out of memory");
    double *dense = v + SHAPES * seeds, *centred = dense + SHAPES * seeds;
    double *linear = centred + SHAPES * seeds, *relu = linear + seeds;
    for (int s = 0; s < seeds; s++) {
        const uint64_t seed = dlf_run_seed(run) + 1000 * (uint64_t)s;
        for (int i = 0; i < SHAPES; i++) {
            DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * s / seeds, "identities"));
            if (i == SHAPES - 1 && s > 0) { /* the large one once: sizes matter, not draws */
                v[i * seeds + s] = v[i * seeds];
                dense[i * seeds + s] = dense[i * seeds];
                centred[i * seeds + s] = centred[i * seeds];
                continue;
            }
            DLF_TRY_DONE(compare(dev, shapes[i], seed, &v[i * seeds + s], &dense[i * seeds + s],
                                 &centred[i * seeds + s]));
        }
        DLF_TRY_DONE(merge(dev, seed, &linear[s], &relu[s]));
    }
    DLF_TRY_DONE(identity_checks(run, v, dense, centred, linear, relu));
done:
    free(v);
    return status;
}

/* ---- permuted pixels --------------------------------------------------------------------------
 */

enum { KERNELS = 4, CHANNELS = 6, MAPS = 12, IMAGES = 2 };
static const int kernels[KERNELS] = {1, 3, 5, 7};

/* y[.., i] = x[.., order[i]] */
static void permute(double *y, const double *x, const int32_t *order, int planes, int S)
{
    for (int p = 0; p < planes; p++)
        for (int s = 0; s < S; s++) y[p * S + s] = x[p * S + order[s]];
}

static dlf_status permuted(dlf_run *run, int k, int member, double *off)
{
    const int side = dlf_run_int(run, "side"), S = side * side;
    const int64_t xs[] = {IMAGES, CHANNELS, side, side}, ws[] = {MAPS, CHANNELS, k, k};
    const dlf_conv conv = dlf_conv_of(DLF_NCHW, k, 1, (k - 1) / 2);
    dlf_device *dev = dlf_run_device(run);
    const uint64_t seed = dlf_run_seed(run);
    arrays a;
    dlf_status status;
    int32_t *order = malloc((size_t)S * sizeof *order);
    if (!order) return dlf_fail(DLF_ERR_OOM, "conv1x1: out of memory");
    status = arrays_new(&a, (size_t)(IMAGES * CHANNELS * S), (size_t)(MAPS * CHANNELS * k * k),
                        (size_t)(IMAGES * MAPS * S));
    if (status != DLF_OK) {
        free(order);
        return status;
    }
    host_normal(a.x, IMAGES * CHANNELS * S, 1.0, seed, dlf_stream(DLF_PURPOSE_INPUT, 18),
                (uint32_t)member);
    host_normal(a.w, MAPS * CHANNELS * k * k, 1.0, seed, dlf_stream(DLF_PURPOSE_WEIGHTS, 18),
                (uint32_t)member);
    dlf_permutation(order, S, seed, dlf_stream(DLF_PURPOSE_SHUFFLE, 18), (uint32_t)member);
    DLF_TRY_DONE(host_conv(dev, a.y, a.x, xs, a.w, ws, conv));
    permute(a.z, a.y, order, IMAGES * MAPS, S); /* permuted after */
    permute(a.t, a.x, order, IMAGES * CHANNELS, S);
    DLF_TRY_DONE(host_conv(dev, a.y, a.t, xs, a.w, ws, conv)); /* permuted before */
    *off = host_distance(a.y, a.z, IMAGES * MAPS * S);
done:
    arrays_free(&a);
    free(order);
    return status;
}

static dlf_status permutation_figure(dlf_run *run)
{
    const dlf_figure f = {
        .id = "permutation",
        .kind = DLF_LINES,
        .title = {"只有 1×1 卷积不在乎像素的排列",
                  "Only the 1×1 convolution does not care where pixels are"},
        .subtitle =
            {"先打乱像素再卷积，与先卷积再打乱之差；随机权重，填充保持大小；误差棒为种子间 95% "
             "区间",
             "pixels permuted before against after the convolution; random weights, padded; "
             "bars: 95 % over seeds"},
        .x = {{"核的边长 k", "side of the kernel k"}, false},
        .y = {{"相对差（均方根）", "relative difference (rms)"}, false},
        .series = {{.role = DLF_MEASURED,
                    .table = "permutation",
                    .x = "kernel",
                    .y = "difference",
                    .lo = "lo",
                    .hi = "hi",
                    .label = {"实测", "measured"}},
                   {.role = DLF_THEORY,
                    .table = "permutation",
                    .x = "kernel",
                    .y = "theory",
                    .label = {"公式 √(2(1−1/n))", "formula √(2(1−1/n))"}}}};
    return dlf_result_figure(dlf_run_result(run), &f);
}

static dlf_status permutation_row(dlf_run *run, dlf_table *t, int k, const double *off)
{
    const dlf_estimate e = dlf_estimate_of(off, dlf_run_seeds(run), 1);
    const double law = dlf_conv1x1_permutation_law(k, dlf_run_int(run, "side"));
    char id[24], zh[120], en[120];
    DLF_TRY(
        dlf_table_row(t, DLF_NUM(k), DLF_NUM(e.mean), DLF_NUM(e.lo), DLF_NUM(e.hi), DLF_NUM(law)));
    snprintf(id, sizeof id, "permutation_%d", k);
    snprintf(zh, sizeof zh,
             k == 1 ? "1×1 卷积与像素的任意排列可交换" : "对照：%d×%d 卷积与像素的排列不可交换", k,
             k);
    snprintf(en, sizeof en,
             k == 1 ? "a 1x1 convolution commutes with any permutation of the pixels"
                    : "control: a %dx%d convolution does not",
             k, k);
    dlf_check c = dlf_check_of(id, (dlf_text){zh, en}, e);
    c.expected = law;
    c.tolerance = k == 1 ? 1e-5 : 0.04;
    c.source =
        k == 1
            ? "identity: no pixel sees another"
            : "closed form: sqrt(2 (1 - 1/n)), n taps inside the image on average; 0.04 is 4 s.e. "
              "of a few thousand correlated outputs";
    return dlf_result_check(dlf_run_result(run), c);
}

dlf_status dlf_conv1x1_permutations(dlf_run *run, double from, double to)
{
    const int seeds = dlf_run_seeds(run);
    dlf_table *t;
    dlf_status status;
    double *off = malloc((size_t)seeds * sizeof *off);
    if (!off) return dlf_fail(DLF_ERR_OOM, "conv1x1: out of memory");
    DLF_TRY_DONE(dlf_result_table(dlf_run_result(run), "permutation",
                                  (dlf_text){"打乱像素与卷积的次序之差",
                                             "permuting pixels before against after a convolution"},
                                  (const dlf_column[]){{"kernel", "pixel"},
                                                       {"difference", "1"},
                                                       {"lo", "1"},
                                                       {"hi", "1"},
                                                       {"theory", "1"},
                                                       {NULL}},
                                  &t));
    for (int i = 0; i < KERNELS; i++) {
        DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * i / KERNELS, "permutations"));
        for (int s = 0; s < seeds; s++) DLF_TRY_DONE(permuted(run, kernels[i], s, &off[s]));
        DLF_TRY_DONE(permutation_row(run, t, kernels[i], off));
    }
    DLF_TRY_DONE(permutation_figure(run));
done:
    free(off);
    return status;
}
