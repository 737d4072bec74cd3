/* SPDX-License-Identifier: MIT
 * detection_shared.c -- Q42: the map of a crop is a crop of the map, if the crop begins on the
 * stride and nothing is padded; and the time that takes, by proposals. */
#include <math.h>
#include <stdlib.h>

#include "detection.h"
#include "dlf/conv.h"
#include "dlf/ops.h"
#include "dlf/rng.h"
#include "host_arrays.h"
#include "seed_check.h"
#include "stopwatch.h"

enum { SIDE = 64, CROP = 16, K1 = 8, K2 = 16, REPEATS = 5 };

/* conv 3x3 -> max pool 2 -> conv 3x3, stride 2 in all */
typedef struct backbone {
    dlf_tensor w1, w2, x, a, b, y;
    dlf_conv conv;
    dlf_pool pool;
} backbone;

static void backbone_free(backbone *t)
{
    dlf_tensor *all[] = {&t->w1, &t->w2, &t->x, &t->a, &t->b, &t->y};
    for (int i = 0; i < 6; i++) dlf_tensor_free(all[i]);
}

static dlf_status backbone_new(backbone *t, dlf_run *run, int images, int side, int pad)
{
    dlf_device *dev = dlf_run_device(run);
    const uint64_t seed = dlf_run_seed(run);
    const int a = side - 2 + 2 * pad, b = a / 2, y = b - 2 + 2 * pad;
    *t = (backbone){.conv = dlf_conv_of(DLF_NCHW, 3, 1, pad),
                    .pool = {.kind = DLF_POOL_MAX, .layout = DLF_NCHW, {2, 2}, {2, 2}, {0, 0}}};
    DLF_TRY(dlf_tensor_new(&t->w1, dev, dev->real, 1, K1, 1, 3, 3));
    DLF_TRY(dlf_tensor_new(&t->w2, dev, dev->real, 1, K2, K1, 3, 3));
    DLF_TRY(dlf_tensor_new(&t->x, dev, dev->real, 1, images, 1, side, side));
    DLF_TRY(dlf_tensor_new(&t->a, dev, dev->real, 1, images, K1, a, a));
    DLF_TRY(dlf_tensor_new(&t->b, dev, dev->real, 1, images, K1, b, b));
    DLF_TRY(dlf_tensor_new(&t->y, dev, dev->real, 1, images, K2, y, y));
    DLF_TRY(dlf_random_normal(&t->w1, NULL, NULL,
                              (dlf_rng){seed, dlf_stream(DLF_PURPOSE_WEIGHTS, 96)}));
    return dlf_random_normal(&t->w2, NULL, NULL,
                             (dlf_rng){seed, dlf_stream(DLF_PURPOSE_WEIGHTS, 97)});
}

static dlf_status backbone_run(backbone *t)
{
    DLF_TRY(dlf_conv_forward(&t->a, &t->x, &t->w1, NULL, t->conv));
    DLF_TRY(dlf_pool_forward(&t->b, &t->a, t->pool));
    return dlf_conv_forward(&t->y, &t->b, &t->w2, NULL, t->conv);
}

/* Largest relative difference between the map of the crop at (oy, ox) and that part of the image's
 * map. */
static dlf_status difference(dlf_run *run, int oy, int ox, int pad, double *worst)
{
    enum { MAX = K2 * SIDE * SIDE };
    backbone whole = {0}, crop = {0};
    dlf_status status;
    double *x = malloc((2 * MAX + SIDE * SIDE) * sizeof *x), *big = x + SIDE * SIDE,
           *small = big + MAX;
    if (!x) return dlf_fail(DLF_ERR_OOM, "detection: out of memory");
    DLF_TRY_DONE(backbone_new(&whole, run, 1, SIDE, pad));
    DLF_TRY_DONE(backbone_new(&crop, run, 1, CROP, pad));
    host_normal(x, SIDE * SIDE, 1.0, dlf_run_seed(run), dlf_stream(DLF_PURPOSE_INPUT, 96), 0);
    DLF_TRY_DONE(dlf_tensor_upload_f64(&whole.x, x));
    for (int i = 0; i < CROP; i++)
        for (int j = 0; j < CROP; j++) small[i * CROP + j] = x[(oy + i) * SIDE + ox + j];
    DLF_TRY_DONE(dlf_tensor_upload_f64(&crop.x, small));
    DLF_TRY_DONE(backbone_run(&whole));
    DLF_TRY_DONE(backbone_run(&crop));
    DLF_TRY_DONE(dlf_tensor_download_f64(big, &whole.y));
    DLF_TRY_DONE(dlf_tensor_download_f64(small, &crop.y));
    const int n = (int)whole.y.shape[3], m = (int)crop.y.shape[3];
    double most = 0.0, gap = 0.0;
    for (int k = 0; k < K2; k++)
        for (int i = 0; i < m; i++)
            for (int j = 0; j < m; j++) {
                const double a = big[(k * n + oy / 2 + i) * n + ox / 2 + j],
                             b = small[(k * m + i) * m + j];
                most = fmax(most, fabs(a));
                if (!(fabs(a - b) <= gap)) gap = fabs(a - b);
            }
    *worst = gap / most;
done:
    backbone_free(&crop);
    backbone_free(&whole);
    free(x);
    return status;
}

static dlf_status identities(dlf_run *run)
{
    double aligned, odd, padded;
    DLF_TRY(difference(run, 12, 30, 0, &aligned));
    DLF_TRY(difference(run, 13, 31, 0, &odd));
    DLF_TRY(difference(run, 12, 30, 1, &padded));
    DLF_TRY(dlf_add_exact(
        run, "shared",
        (dlf_text){"裁剪的特征图等于特征图的裁剪（不补零，起点在步长上）",
                   "the map of a crop is the crop of the map (no padding, begins on the stride)"},
        aligned, 0.0, 1e-5, "identity: convolution and aligned pooling commute with crops", NULL));
    dlf_check c = dlf_check_exact(
        "off_stride",
        (dlf_text){"对照，起点偏离步长一个像素：不等（相对误差）",
                   "control, begins one pixel off the stride: not equal (relative error)"},
        odd);
    c.relation = DLF_AT_LEAST;
    c.expected = 0.05;
    c.source = "the map knows multiples of its stride alone: what RoI pooling rounds away";
    DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    c = dlf_check_exact("padded",
                        (dlf_text){"对照，卷积补零：边上不等（相对误差）",
                                   "control, padded convolutions: not equal at the border"},
                        padded);
    c.relation = DLF_AT_LEAST;
    c.expected = 0.05;
    c.source = "a crop is padded with zeros where the image has pixels";
    return dlf_result_check(dlf_run_result(run), c);
}

/* ---- time ---- */

static dlf_status time_backbone(dlf_run *run, int images, int side, double *us)
{
    dlf_device *dev = dlf_run_device(run);
    backbone t;
    dlf_status status;
    DLF_TRY_DONE(backbone_new(&t, run, images, side, 0));
    DLF_TRY_DONE(dlf_random_normal(
        &t.x, NULL, NULL, (dlf_rng){dlf_run_seed(run), dlf_stream(DLF_PURPOSE_INPUT, 97)}));
    *us = INFINITY;
    for (int i = 0; i < REPEATS; i++) {
        DLF_TRY_DONE(dlf_device_sync(dev));
        const double start = dlf_stopwatch_us(dev);
        DLF_TRY_DONE(backbone_run(&t));
        DLF_TRY_DONE(dlf_device_sync(dev));
        *us = fmin(*us, dlf_stopwatch_us(dev) - start);
    }
done:
    backbone_free(&t);
    return status;
}

static dlf_status time_both(dlf_run *run)
{
    dlf_table *t;
    double shared, crops = NAN;
    const int most = dlf_run_int(run, "proposals");
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "time",
        (dlf_text){"卷积部分的时间与候选区域数", "time of the convolutions by proposals"},
        (const dlf_column[]){
            {"proposals", "1"}, {"crops_us", "us"}, {"shared_us", "us"}, {NULL, NULL}},
        &t));
    DLF_TRY(time_backbone(run, 1, SIDE, &shared));
    for (int n = 1; n <= most; n *= 2) {
        DLF_TRY(time_backbone(run, n, CROP, &crops));
        DLF_TRY(dlf_table_row(t, DLF_NUM(n), DLF_NUM(crops), DLF_NUM(shared)));
    }
    const dlf_figure f = {
        .id = "time",
        .kind = DLF_LINES,
        .title = {"逐区域卷积的时间与区域数成正比，共享的与区域数无关",
                  "A convolution per proposal takes time in proportion; a shared one does not"},
        .subtitle = {"两层卷积，64×64 的图，16×16 的区域；本机实测",
                     "a small convolutional network, image 64x64, proposals 16x16; measured here"},
        .x = {{"候选区域数", "proposals"}, true},
        .y = {{"时间（µs）", "time (µs)"}, true},
        .series = {{.role = DLF_CONTROL,
                    .table = "time",
                    .x = "proposals",
                    .y = "crops_us",
                    .label = {"逐区域", "each proposal"},
                    .colour = 2},
                   {.role = DLF_MEASURED,
                    .table = "time",
                    .x = "proposals",
                    .y = "shared_us",
                    .label = {"整图一次", "the image once"},
                    .colour = 0}}};
    DLF_TRY(dlf_result_figure(dlf_run_result(run), &f));
    DLF_TRY(dlf_result_fact(dlf_run_result(run), "time_ratio", crops / shared, "1"));
    return dlf_result_fact(dlf_run_result(run), "area_ratio",
                           most * (double)(CROP * CROP) / (SIDE * SIDE), "1");
}

dlf_status dlf_detection_shared(dlf_run *run, double from, double to)
{
    DLF_TRY(dlf_run_stage(run, from, "maps of crops and crops of maps"));
    DLF_TRY(identities(run));
    DLF_TRY(dlf_run_stage(run, 0.5 * (from + to), "timing proposals"));
    return time_both(run);
}
