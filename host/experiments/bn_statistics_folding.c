/* SPDX-License-Identifier: MIT
 * bn_statistics_folding.c -- Q25, the other side: in evaluation the statistics are constants, batch
 * norm is one affine map per channel, and dlf_norm_fold puts it into the weights of the layer
 * below. The output is the same up to rounding, and a pass over it is saved. Layer norm cannot be
 * folded: its statistics are those of every sample.
 *
 * 1x1 convolution + batch norm + relu: one call that writes and one that reads and writes, against
 * one call with bias and relu in its epilogue. The 3x3 convolution and the dense layer are checked
 * for their output. */
#include <math.h>
#include <stdlib.h>

#include "bn_statistics.h"
#include "dlf/conv.h"
#include "dlf/conv1x1.h"
#include "dlf/rng.h"
#include "seed_check.h"
#include "stopwatch.h"

enum { IN = 32, OUT = 32, KINDS = 3 };
typedef enum layer_kind { DENSE, CONV1X1, CONV3X3 } layer_kind;
static const char *const ids[KINDS] = {"dense", "conv1x1", "conv3x3"};
#define EPS 1e-5

typedef struct layer {
    layer_kind kind;
    dlf_tensor x, w, y, z;             /* z: the layer's own output, y: after norm and relu */
    dlf_tensor mean, var, gamma, beta; /* (1,OUT) */
    dlf_tensor folded_w, folded_b;
    dlf_norm norm;
    dlf_norm_fwd io;
} layer;

static void layer_free(layer *l)
{
    dlf_tensor *all[] = {&l->x,   &l->w,     &l->y,    &l->z,        &l->mean,
                         &l->var, &l->gamma, &l->beta, &l->folded_w, &l->folded_b};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) dlf_tensor_free(all[i]);
}

static dlf_status normal(dlf_tensor *t, dlf_run *run, uint32_t which, double scale)
{
    dlf_tensor s = {0};
    dlf_status status;
    DLF_TRY_DONE(dlf_tensor_new(&s, t->device, t->device->real, 1));
    DLF_TRY_DONE(dlf_tensor_upload_f64(&s, &scale));
    DLF_TRY_DONE(dlf_random_normal(
        t, NULL, &s,
        (dlf_rng){dlf_run_seed(run), dlf_stream(DLF_PURPOSE_WEIGHTS, 0x5000u + which)}));
done:
    dlf_tensor_free(&s);
    return status;
}

/* Shapes of about `positions` positions. */
static dlf_status make(layer *l, dlf_run *run, int64_t positions)
{
    dlf_device *dev = dlf_run_device(run);
    const int64_t side = 16,
                  samples = positions / (side * side) > 1 ? positions / (side * side) : 1;
    const int64_t taps = l->kind == CONV3X3 ? 3 : 1;
    if (l->kind == DENSE) {
        DLF_TRY(dlf_tensor_new(&l->x, dev, dev->real, 1, positions, IN));
        DLF_TRY(dlf_tensor_new(&l->y, dev, dev->real, 1, positions, OUT));
        DLF_TRY(dlf_tensor_new(&l->w, dev, dev->real, 1, OUT, IN));
    } else {
        DLF_TRY(dlf_tensor_new(&l->x, dev, dev->real, 1, samples, IN, side, side));
        DLF_TRY(dlf_tensor_new(&l->y, dev, dev->real, 1, samples, OUT, side, side));
        if (l->kind == CONV1X1)
            DLF_TRY(dlf_tensor_new(&l->w, dev, dev->real, 1, OUT, IN));
        else
            DLF_TRY(dlf_tensor_new(&l->w, dev, dev->real, 1, OUT, IN, taps, taps));
    }
    DLF_TRY(dlf_tensor_init(&l->z, dev, dev->real, l->y.ndim, l->y.shape));
    DLF_TRY(dlf_tensor_init(&l->folded_w, dev, dev->real, l->w.ndim, l->w.shape));
    dlf_tensor *vectors[] = {&l->mean, &l->var, &l->gamma, &l->beta, &l->folded_b};
    for (int i = 0; i < 5; i++) {
        double host[OUT];
        DLF_TRY(dlf_tensor_new(vectors[i], dev, dev->real, 1, OUT));
        for (int c = 0; c < OUT; c++) {
            const double u = dlf_rng_uniform(dlf_run_seed(run), dlf_stream(DLF_PURPOSE_BIAS, 9),
                                             (uint32_t)i, (uint64_t)c);
            host[c] = i == 1 || i == 2 ? 0.5 + u : u - 0.5; /* variance and gamma are positive */
        }
        DLF_TRY(dlf_tensor_upload_f64(vectors[i], host));
    }
    DLF_TRY(normal(&l->x, run, 0, 1.0));
    DLF_TRY(normal(&l->w, run, 1, 1.0 / sqrt((double)(IN * taps * taps))));
    l->norm = (dlf_norm){.kind = DLF_BATCH_NORM,
                         .layout = DLF_NCHW,
                         .eps = EPS,
                         .activation = dlf_activation_of(DLF_RELU)};
    l->io = (dlf_norm_fwd){.y = &l->y,
                           .x = &l->z,
                           .running_mean = &l->mean,
                           .running_var = &l->var,
                           .gamma = &l->gamma,
                           .beta = &l->beta};
    return dlf_norm_fold(&l->folded_w, &l->folded_b, &l->w, NULL, &l->io, &l->norm);
}

/* z = layer(x), with bias and relu where `folded` */
static dlf_status apply(layer *l, bool folded)
{
    const dlf_tensor *w = folded ? &l->folded_w : &l->w, *b = folded ? &l->folded_b : NULL;
    const dlf_activation f = dlf_activation_of(folded ? DLF_RELU : DLF_LINEAR);
    if (l->kind == CONV3X3) {
        DLF_TRY(dlf_conv_forward(&l->z, &l->x, w, b, dlf_conv_of(DLF_NCHW, 3, 1, 1)));
        return folded ? dlf_activation_forward(&l->z, &l->z, f) : DLF_OK;
    }
    return dlf_conv1x1_forward(&(dlf_conv1x1_fwd){.y = &l->z, .x = &l->x, .w = w, .bias = b},
                               &(dlf_conv1x1){.layout = DLF_NCHW, .activation = f});
}

static dlf_status unfolded(layer *l)
{
    DLF_TRY(apply(l, false));
    return dlf_norm_infer(&l->io, &l->norm);
}

/* Largest difference over the largest output. */
static dlf_status difference(layer *l, double *out)
{
    const size_t n = (size_t)dlf_tensor_count(&l->y);
    dlf_status status;
    double *a = malloc(2 * n * sizeof *a), *b = a + n, most = 0.0, largest = 0.0;
    if (!a) return dlf_fail(DLF_ERR_OOM, "folding: out of memory");
    DLF_TRY_DONE(unfolded(l));
    DLF_TRY_DONE(dlf_tensor_download_f64(a, &l->y));
    DLF_TRY_DONE(apply(l, true));
    DLF_TRY_DONE(dlf_tensor_download_f64(b, &l->z));
    for (size_t i = 0; i < n; i++) {
        if (!(fabs(a[i] - b[i]) <= most)) most = fabs(a[i] - b[i]);
        largest = fmax(largest, fabs(a[i]));
    }
    *out = most / largest;
done:
    free(a);
    return status;
}

/* Rounds in turns; microseconds of the fastest of a few runs each, and their ratio. */
static dlf_status time_both(layer *l, int rounds, double *us, double *ratio)
{
    enum { REPEATS = 15 };
    const dlf_device *dev = l->x.device;
    for (int r = -1; r < rounds; r++) { /* -1: warm */
        double least[2] = {INFINITY, INFINITY};
        for (int i = 0; i < 2 * REPEATS; i++) {
            DLF_TRY(dlf_device_sync(l->x.device));
            const double start = dlf_stopwatch_us(dev);
            DLF_TRY(i % 2 ? apply(l, true) : unfolded(l));
            DLF_TRY(dlf_device_sync(l->x.device));
            const double taken = dlf_stopwatch_us(dev) - start;
            if (taken < least[i % 2]) least[i % 2] = taken;
        }
        if (r < 0) continue;
        us[2 * r] = least[0];
        us[2 * r + 1] = least[1];
        ratio[r] = least[0] / least[1];
    }
    return DLF_OK;
}

static dlf_status report_time(dlf_run *run, const double *us, const double *ratio, int rounds)
{
    dlf_table *t;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "folding",
        (dlf_text){"1×1 卷积 + 批归一化 + ReLU 的推理时间", "evaluation of 1x1 convolution, batch "
                                                            "norm and ReLU: time"},
        (const dlf_column[]){
            {"arm", NULL}, {"time", "us"}, {"lo", "us"}, {"hi", "us"}, {NULL, NULL}},
        &t));
    for (int i = 0; i < 2; i++) {
        const dlf_estimate e = dlf_estimate_of(us + i, rounds, 2);
        DLF_TRY(dlf_table_row(t, DLF_TXT(i ? "folded" : "unfolded"), DLF_NUM(e.mean), DLF_NUM(e.lo),
                              DLF_NUM(e.hi)));
    }
    dlf_check check = dlf_check_of(
        "fold_saves",
        (dlf_text){"1×1 卷积 + 批归一化 + ReLU：折叠后不会更慢（速度是原来的倍数）",
                   "1x1 convolution + batch norm + ReLU: folded it is no slower (times as fast)"},
        dlf_estimate_of(ratio, rounds, 1));
    check.expected = 1.0;
    check.relation = DLF_AT_LEAST;
    check.source =
        "traffic: read x, write z, read z, write y against read x, write y: at most 2 times "
        "with as many channels in as out; 1: the product costs nothing less";
    return dlf_result_check(dlf_run_result(run), check);
}

static dlf_status one_kind(dlf_run *run, layer_kind kind, double *us)
{
    static const dlf_text claims[KINDS] = {
        {"全连接层 + 批归一化：折叠前后输出相同（最大相对差）",
         "dense layer + batch norm: folded, the same output (largest relative difference)"},
        {"1×1 卷积 + 批归一化：折叠前后输出相同（最大相对差）",
         "1x1 convolution + batch norm: folded, the same output (largest relative difference)"},
        {"3×3 卷积 + 批归一化：折叠前后输出相同（最大相对差）",
         "3x3 convolution + batch norm: folded, the same output (largest relative difference)"}};
    static const char *const check_ids[KINDS] = {"fold_dense", "fold_conv1x1", "fold_conv3x3"};
    const int rounds = dlf_run_seeds(run);
    layer l = {.kind = kind};
    dlf_status status;
    double d = NAN;
    DLF_TRY_DONE(make(&l, run, dlf_run_int(run, "fold_positions")));
    DLF_TRY_DONE(difference(&l, &d));
    dlf_check check = dlf_check_exact(check_ids[kind], claims[kind], d);
    check.tolerance = 1e-6;
    check.relation = DLF_AT_MOST;
    check.self_check = true;
    check.source =
        "identity: an affine map after a linear one; 1e-6 of the largest output: float32";
    DLF_TRY_DONE(dlf_result_check(dlf_run_result(run), check));
    if (kind == CONV1X1) {
        DLF_TRY_DONE(time_both(&l, rounds, us, us + 2 * rounds));
        DLF_TRY_DONE(report_time(run, us, us + 2 * rounds, rounds));
    }
done:
    layer_free(&l);
    return status;
}

dlf_status dlf_bn_folding(dlf_run *run, double from, double to)
{
    double *us = malloc((size_t)(3 * dlf_run_seeds(run)) * sizeof *us);
    dlf_status status = us ? DLF_OK : dlf_fail(DLF_ERR_OOM, "folding: out of memory");
    for (int k = 0; k < KINDS && status == DLF_OK; k++) {
        status = dlf_run_stage(run, from + (to - from) * k / KINDS, "folding: %s", ids[k]);
        if (status == DLF_OK) status = one_kind(run, (layer_kind)k, us);
    }
    free(us);
    return status;
}
