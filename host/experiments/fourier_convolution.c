/* SPDX-License-Identifier: MIT
 * fourier_convolution.c -- Q37: the convolution theorem, what it costs and when it pays. Control: a
 * transform without zero padding, which wraps around. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/ops.h"
#include "dlf/rng.h"
#include "fft.h"
#include "fourier.h"
#include "host_arrays.h"
#include "seed_check.h"
#include "stopwatch.h"

static const int kernels[] = {3, 5, 9, 17, 33, 63};
enum {
    KERNELS = sizeof kernels / sizeof kernels[0],
    REPEATS = 5,
    DIRECT = 0,
    FFT,
    WAYS,
    LAYER_CHANNELS = 64,
    LAYER_IMAGES = 32
};

double dlf_fourier_direct_flops(double N, double K, double B, double C)
{
    return 2.0 * K * K * N * N * B * C * C;
}

double dlf_fourier_fft_flops(double M, double B, double C)
{
    return M * M * ((2.0 * B * C + C * C) * 10.0 * log2(M) + (C > 1.0 ? 8.0 : 6.0) * B * C * C);
}

double dlf_fourier_crossover(double N, double M, double B, double C)
{
    return sqrt(dlf_fourier_fft_flops(M, B, C) / dlf_fourier_direct_flops(N, 1.0, B, C));
}

/* The power of two that holds a full convolution. */
static int transform_size(int side, int K)
{
    int M = 1;
    while (M < side + K - 1) M *= 2;
    return M;
}

static int largest(const dlf_run *run)
{
    int k = 0;
    while (k + 1 < KERNELS && kernels[k + 1] <= dlf_run_int(run, "side")) k++;
    return k;
}

/* One image (side,side) and one kernel (K,K). */
typedef struct pair {
    int side, K, M;
    double *image, *kernel, *turned, *full; /* full (side+K-1)^2 */
    double complex *a, *b;                  /* (M,M) */
} pair;

static void pair_free(pair *p)
{
    free(p->a);
    free(p->image);
}

static dlf_status pair_new(pair *p, const dlf_run *run, int side, int K, int M, int member)
{
    const int F = side + K - 1;
    *p = (pair){.side = side, .K = K, .M = M};
    p->image = malloc((size_t)(side * side + 2 * K * K + F * F) * sizeof *p->image);
    p->a = malloc(2 * (size_t)M * (size_t)M * sizeof *p->a);
    if (!p->image || !p->a) return dlf_fail(DLF_ERR_OOM, "fourier: out of memory");
    p->kernel = p->image + side * side;
    p->turned = p->kernel + K * K;
    p->full = p->turned + K * K;
    p->b = p->a + (long)M * M;
    host_normal(p->image, side * side, 1.0, dlf_run_seed(run), dlf_stream(DLF_PURPOSE_INPUT, 37),
                (uint32_t)member);
    host_normal(p->kernel, K * K, 1.0 / K, dlf_run_seed(run), dlf_stream(DLF_PURPOSE_WEIGHTS, 37),
                (uint32_t)member);
    for (int i = 0; i < K * K; i++) p->turned[i] = p->kernel[K * K - 1 - i];
    return DLF_OK;
}

static void embed(double complex *to, int M, const double *from, int n)
{
    memset(to, 0, (size_t)M * (size_t)M * sizeof *to);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) to[(long)i * M + j] = from[i * n + j];
}

/* a = image * kernel, circular in M. */
static dlf_status by_fft(pair *p, double *flops)
{
    embed(p->a, p->M, p->image, p->side);
    embed(p->b, p->M, p->kernel, p->K);
    DLF_TRY(dlf_fft2(p->a, p->M, false, flops));
    DLF_TRY(dlf_fft2(p->b, p->M, false, flops));
    for (long i = 0; i < (long)p->M * p->M; i++) {
        const double ar = creal(p->a[i]), ai = cimag(p->a[i]);
        const double br = creal(p->b[i]), bi = cimag(p->b[i]);
        p->a[i] = CMPLX(ar * br - ai * bi, ar * bi + ai * br);
    }
    if (flops) *flops += 6.0 * p->M * p->M;
    return dlf_fft2(p->a, p->M, true, flops);
}

/* full = image * kernel by the device: every output that a tap of the kernel reaches. */
static dlf_status direct(pair *p, dlf_device *device)
{
    const int64_t x[4] = {1, 1, p->side, p->side}, w[4] = {1, 1, p->K, p->K};
    return host_conv(device, p->full, p->image, x, p->turned, w,
                     dlf_conv_of(DLF_NCHW, p->K, 1, p->K - 1));
}

/* Largest difference over the largest value; right: how many outputs agree within 1e-5 of it. */
static double difference(const pair *p, int rows, int *right)
{
    const int F = p->side + p->K - 1;
    double worst = 0.0, size = 0.0;
    for (int i = 0; i < F * F; i++) size = fmax(size, fabs(p->full[i]));
    *right = 0;
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < rows; j++) {
            const double d = fabs(creal(p->a[(long)i * p->M + j]) - p->full[i * F + j]) / size;
            if (!(d <= worst)) worst = d;
            *right += d < 1e-5;
        }
    return worst;
}

/* ---- exact ---- */

static dlf_status identity(dlf_run *run, const char *id, dlf_text claim, double worst, double bound)
{
    dlf_check c = dlf_check_exact(id, claim, worst);
    c.expected = bound;
    c.relation = DLF_AT_MOST;
    c.self_check = true;
    c.source = "identity: the convolution theorem; rounding only";
    return dlf_result_check(dlf_run_result(run), c);
}

static dlf_status one_theorem(dlf_run *run, dlf_device *device, int k, int member, double *worst,
                              double *flops)
{
    const int side = dlf_run_int(run, "side"), K = kernels[k];
    pair p;
    int right;
    dlf_status status;
    DLF_TRY_DONE(pair_new(&p, run, side, K, transform_size(side, K), member));
    DLF_TRY_DONE(direct(&p, device));
    DLF_TRY_DONE(by_fft(&p, flops));
    const double d = difference(&p, side + K - 1, &right);
    if (!(d <= *worst)) *worst = d;
done:
    pair_free(&p);
    return status;
}

/* The transform as long as the image: outputs whose taps leave it on one side see the other. */
static dlf_status wrap_around(dlf_run *run)
{
    enum { SIDE = 64, K = 9 };
    pair p;
    int right = 0;
    dlf_status status;
    DLF_TRY_DONE(pair_new(&p, run, SIDE, K, SIDE, 0));
    DLF_TRY_DONE(direct(&p, dlf_run_device(run)));
    DLF_TRY_DONE(by_fft(&p, NULL));
    (void)difference(&p, SIDE, &right);
    const double wrong = SIDE * SIDE - right;
    status = dlf_add_exact(
        run, "wrap_around",
        (dlf_text){"对照，不补零的 FFT 是循环卷积：64×64 图像、9×9 核，边上算错的输出个数",
                   "control, without zero padding the convolution is circular: outputs that are "
                   "wrong, 64×64 image, 9×9 kernel"},
        wrong, SIDE * SIDE - (SIDE - K + 1) * (SIDE - K + 1), 2.0,
        "closed form: N^2 - (N-K+1)^2; a wrapped sum may be right within 1e-5 by chance", NULL);
done:
    pair_free(&p);
    return status;
}

static dlf_status exact(dlf_run *run)
{
    dlf_device *ref = NULL;
    dlf_status status = DLF_OK;
    const int last = largest(run), seeds = dlf_run_seeds(run), side = dlf_run_int(run, "side");
    double worst = 0.0, precise = 0.0, flops = 0.0;
    for (int k = 0; k <= last; k++) {
        DLF_TRY_DONE(one_theorem(run, dlf_run_device(run), k, 0, &worst, NULL));
        for (int s = 1; s < seeds && k == 1; s++)
            DLF_TRY_DONE(one_theorem(run, dlf_run_device(run), k, s, &worst, NULL));
    }
    DLF_TRY_DONE(dlf_device_open(&ref, "ref"));
    DLF_TRY_DONE(one_theorem(run, ref, 1, 0, &precise, &flops));
    DLF_TRY_DONE(identity(run, "theorem",
                          (dlf_text){"卷积定理：FFT 相乘与设备上的卷积相同（单精度，最大相对误差）",
                                     "convolution theorem: product of transforms and the device's "
                                     "convolution agree (float32, largest relative difference)"},
                          worst, 1e-5));
    DLF_TRY_DONE(identity(run, "theorem_double", (dlf_text){"同上，双精度", "the same in double"},
                          precise, 1e-12));
    const int M = transform_size(side, kernels[1]);
    DLF_TRY_DONE(dlf_add_exact(
        run, "counted",
        (dlf_text){"一次 FFT 卷积的浮点运算数（运行时逐个计数）",
                   "flops of a convolution by FFT, counted as it runs"},
        flops, dlf_fourier_fft_flops(M, 1.0, 1.0), 0.5,
        "closed form: 30 M^2 log2 M + 6 M^2 (Cooley & Tukey 1965; Mathieu et al. 2014)", NULL));
    status = wrap_around(run);
done:
    dlf_device_close(ref);
    return status;
}

/* ---- time ---- */

typedef struct timings {
    double us[WAYS][KERNELS];
    int n;
} timings;

static dlf_status time_direct(const pair *p, dlf_device *dev, double *us)
{
    dlf_tensor x = {0}, w = {0}, y = {0};
    const dlf_conv conv = dlf_conv_of(DLF_NCHW, p->K, 1, p->K / 2);
    dlf_status status;
    DLF_TRY_DONE(dlf_tensor_new(&x, dev, dev->real, 1, 1, 1, p->side, p->side));
    DLF_TRY_DONE(dlf_tensor_new(&y, dev, dev->real, 1, 1, 1, p->side, p->side));
    DLF_TRY_DONE(dlf_tensor_new(&w, dev, dev->real, 1, 1, 1, p->K, p->K));
    DLF_TRY_DONE(dlf_tensor_upload_f64(&x, p->image));
    DLF_TRY_DONE(dlf_tensor_upload_f64(&w, p->kernel));
    DLF_TRY_DONE(dlf_device_sync(dev));
    const double start = dlf_stopwatch_us(dev);
    DLF_TRY_DONE(dlf_conv_forward(&y, &x, &w, NULL, conv));
    DLF_TRY_DONE(dlf_device_sync(dev));
    *us = fmin(*us, dlf_stopwatch_us(dev) - start);
done:
    dlf_tensor_free(&w);
    dlf_tensor_free(&y);
    dlf_tensor_free(&x);
    return status;
}

static dlf_status time_both(timings *t, dlf_run *run, int k)
{
    dlf_device *dev = dlf_run_device(run);
    const int side = dlf_run_int(run, "side"), last = largest(run);
    pair p;
    dlf_status status;
    DLF_TRY_DONE(pair_new(&p, run, side, kernels[k], transform_size(side, kernels[last]), 0));
    DLF_TRY_DONE(time_direct(&p, dev, &t->us[DIRECT][k]));
    const double start = dlf_stopwatch_us(dev);
    DLF_TRY_DONE(by_fft(&p, NULL));
    t->us[FFT][k] = fmin(t->us[FFT][k], dlf_stopwatch_us(dev) - start);
done:
    pair_free(&p);
    return status;
}

/* Power of K in the time of a way, over the upper half of the kernels. */
static double exponent(const timings *t, int way)
{
    double x[KERNELS], y[KERNELS];
    const int first = t->n / 2;
    for (int k = first; k < t->n; k++) {
        x[k - first] = log(kernels[k]);
        y[k - first] = log(t->us[way][k]);
    }
    return dlf_slope(x, y, t->n - first);
}

static dlf_status time_checks(const timings *t, dlf_run *run)
{
    static const struct {
        const char *id;
        dlf_text claim;
        double expected, tolerance;
        const char *source;
    } ways[WAYS] = {
        {"time_direct",
         {"直接卷积的时间 ∝ K²（K 的几次方）", "time of a direct convolution ∝ K² (power of K)"},
         2.0,
         0.5,
         "2 K^2 N^2 flops; small kernels and caches bend the line"},
        {"time_fft",
         {"FFT 卷积的时间与核大小无关（K 的几次方）",
          "time by FFT does not depend on the kernel (power of K)"},
         0.0,
         0.2,
         "the transforms are of M x M whatever K is"}};
    for (int way = 0; way < WAYS; way++)
        DLF_TRY(dlf_add_exact(run, ways[way].id, ways[way].claim, exponent(t, way),
                              ways[way].expected, ways[way].tolerance, ways[way].source,
                              "the fastest of five runs, all kernels in turns"));
    int first = 0;
    while (first < t->n && t->us[FFT][first] >= t->us[DIRECT][first]) first++;
    return dlf_result_fact(dlf_run_result(run), "fft_faster_from",
                           first < t->n ? (double)kernels[first] : (double)INFINITY, "1");
}

static dlf_status time_figure(dlf_run *run)
{
    dlf_figure f = {
        .id = "time",
        .kind = DLF_LINES,
        .title = {"核越大，直接卷积越慢；FFT 卷积的时间不变",
                  "Direct convolution slows down with the kernel, by FFT the time is the same"},
        .subtitle =
            {"一张图、一个通道；直接：本项目的卷积；FFT：教科书的基二变换，在主机上",
             "one image, one channel; direct: our convolution; FFT: the textbook's radix 2, "
             "on the host"},
        .x = {{"核的边长 K", "side of the kernel, K"}, true},
        .y = {{"时间（微秒）", "time (µs)"}, true}};
    f.series[0] = (dlf_series){.role = DLF_MEASURED,
                               .table = "time",
                               .x = "kernel",
                               .y = "direct",
                               .label = {"直接卷积", "direct"},
                               .colour = 0};
    f.series[1] = (dlf_series){.role = DLF_MEASURED,
                               .table = "time",
                               .x = "kernel",
                               .y = "fft",
                               .label = {"FFT", "by FFT"},
                               .colour = 1};
    return dlf_result_figure(dlf_run_result(run), &f);
}

static dlf_status facts(dlf_run *run)
{
    dlf_result *r = dlf_run_result(run);
    const int side = dlf_run_int(run, "side"), M = transform_size(side, kernels[largest(run)]);
    const double C = LAYER_CHANNELS, B = LAYER_IMAGES;
    DLF_TRY(dlf_result_fact(r, "transform", M, "1"));
    DLF_TRY(dlf_result_fact(r, "crossover", dlf_fourier_crossover(side, M, 1.0, 1.0), "1"));
    DLF_TRY(dlf_result_fact(r, "crossover_unpadded", dlf_fourier_crossover(M, M, 1.0, 1.0), "1"));
    DLF_TRY(dlf_result_fact(r, "layer_channels", C, "1"));
    DLF_TRY(dlf_result_fact(r, "layer_images", B, "1"));
    return dlf_result_fact(r, "crossover_layer", dlf_fourier_crossover(side, M, B, C), "1");
}

dlf_status dlf_fourier_convolution(dlf_run *run, double from, double to)
{
    timings t = {.n = largest(run) + 1};
    const double side = dlf_run_int(run, "side");
    dlf_table *table;
    DLF_TRY(dlf_run_stage(run, from, "convolution theorem"));
    DLF_TRY(exact(run));
    DLF_TRY(dlf_result_table(dlf_run_result(run), "time",
                             (dlf_text){"卷积的时间与运算量", "convolution: time and operations"},
                             (const dlf_column[]){{"kernel", "1"},
                                                  {"direct", "us"},
                                                  {"fft", "us"},
                                                  {"direct_flops", "1"},
                                                  {"fft_flops", "1"},
                                                  {NULL, NULL}},
                             &table));
    for (int k = 0; k < t.n; k++) t.us[DIRECT][k] = t.us[FFT][k] = INFINITY;
    for (int i = 0; i < REPEATS * t.n; i++) { /* all kernels in turns: slow phases meet them all */
        DLF_TRY(dlf_run_stage(run, from + (to - from) * (i + 1) / (REPEATS * t.n + 1), "kernel %d",
                              kernels[i % t.n]));
        DLF_TRY(time_both(&t, run, i % t.n));
    }
    for (int k = 0; k < t.n; k++) {
        DLF_TRY(dlf_table_row(
            table, DLF_NUM(kernels[k]), DLF_NUM(t.us[DIRECT][k]), DLF_NUM(t.us[FFT][k]),
            DLF_NUM(dlf_fourier_direct_flops(side, kernels[k], 1.0, 1.0)),
            DLF_NUM(dlf_fourier_fft_flops(transform_size((int)side, kernels[t.n - 1]), 1.0, 1.0))));
    }
    DLF_TRY(time_checks(&t, run));
    DLF_TRY(time_figure(run));
    return facts(run);
}
