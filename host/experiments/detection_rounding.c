/* SPDX-License-Identifier: MIT
 * detection_rounding.c -- Q42: what rounding a box to the stride of the map costs (RoI pooling),
 * and what it does not cost if nothing is rounded (RoIAlign). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "detection.h"
#include "dlf/rng.h"
#include "figures.h"
#include "seed_check.h"

static const int sides[] = {32, 64, 128, 256};
enum { SIDES = sizeof sides / sizeof sides[0], STRIDE = 16, PLACES = 32 * STRIDE };

/* A number in [0, 1) */
static double uniform(const dlf_run *run, int seed, uint64_t i)
{
    return dlf_rng_bits(dlf_run_seed(run), dlf_stream(DLF_PURPOSE_TEST, 98), (uint32_t)seed, i) /
           4294967296.0;
}

static double rounded(double v)
{
    return dlf_round_to(v, STRIDE);
}

/* iou (SIDES, seeds) and shift (seeds): the mean distance of an edge from where it is put */
static void measure(const dlf_run *run, double *iou, double *shift)
{
    const int seeds = dlf_run_seeds(run), boxes = dlf_run_int(run, "boxes");
    for (int s = 0; s < seeds; s++) {
        shift[s] = 0.0;
        for (int k = 0; k < SIDES; k++) {
            iou[k * seeds + s] = 0.0;
            for (int i = 0; i < boxes; i++) {
                const uint64_t at = ((uint64_t)k * (uint64_t)boxes + (uint64_t)i) * 4;
                const double y = PLACES * uniform(run, s, at), x = PLACES * uniform(run, s, at + 1),
                             h = sides[k] + STRIDE * (uniform(run, s, at + 2) - 0.5),
                             w = sides[k] + STRIDE * (uniform(run, s, at + 3) - 0.5);
                const double top = rounded(y), left = rounded(x);
                iou[k * seeds + s] +=
                    dlf_iou((dlf_box){y, x, h, w},
                            (dlf_box){top, left, rounded(y + h) - top, rounded(x + w) - left}) /
                    boxes;
                shift[s] += fabs(y - top) / boxes / SIDES;
            }
        }
    }
}

static dlf_status checks(dlf_run *run, const double *iou, const double *shift)
{
    const int seeds = dlf_run_seeds(run);
    dlf_estimate e = dlf_estimate_of(shift, seeds, 1);
    dlf_check c = dlf_check_of("edge_shift",
                               (dlf_text){"取整使一条边平均移动的像素数（步长 16）",
                                          "pixels that rounding moves an edge by, on average "
                                          "(stride 16)"},
                               e);
    c.expected = STRIDE / 4.0;
    c.tolerance = fmax(0.01, 4.0 * e.sd / sqrt(seeds));
    c.source = "closed form: the mean of |U(-s/2, s/2)| is s/4";
    DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    for (int k = 0; k < SIDES; k += SIDES - 1) {
        char id[24], zh[120], en[120];
        snprintf(id, sizeof id, "iou_%d", sides[k]);
        snprintf(zh, sizeof zh, "边长约 %d 像素的框，取整后与自己的 IoU", sides[k]);
        snprintf(en, sizeof en, "box of about %d pixels: IoU of the rounded one with itself",
                 sides[k]);
        e = dlf_estimate_of(iou + k * seeds, seeds, 1);
        c = dlf_check_of(id, (dlf_text){zh, en}, e);
        c.expected = dlf_rounded_iou(sides[k], STRIDE);
        c.tolerance = fmax(0.003, 4.0 * e.sd / sqrt(seeds));
        c.source = "quadrature over places and sides; He et al. 2017 (RoIAlign), in principle";
        DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    }
    return DLF_OK;
}

static dlf_status table_and_figure(dlf_run *run, const double *iou)
{
    const int seeds = dlf_run_seeds(run);
    dlf_table *t;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "rounding",
                             (dlf_text){"取整后的 IoU 与框的边长", "IoU after rounding by side"},
                             (const dlf_column[]){{"side", "pixel"},
                                                  {"iou", "1"},
                                                  {"lo", "1"},
                                                  {"hi", "1"},
                                                  {"theory", "1"},
                                                  {"aligned", "1"},
                                                  {NULL, NULL}},
                             &t));
    for (int k = 0; k < SIDES; k++) {
        const dlf_estimate e = dlf_estimate_of(iou + k * seeds, seeds, 1);
        DLF_TRY(dlf_table_row(t, DLF_NUM(sides[k]), DLF_NUM(e.mean), DLF_NUM(e.lo), DLF_NUM(e.hi),
                              DLF_NUM(dlf_rounded_iou(sides[k], STRIDE)), DLF_NUM(1.0)));
    }
    dlf_figure f = {
        .id = "rounding",
        .kind = DLF_LINES,
        .title = {"取整毁掉小目标的框，对大目标几乎无妨",
                  "Rounding ruins the boxes of small objects and hardly those of large ones"},
        .subtitle = {"四条边取整到步长 16；误差棒为种子间 95 % 区间；虚线为求积，没有拟合",
                     "four edges rounded to a stride of 16; bars: 95 % over seeds; dashed: "
                     "quadrature, nothing fitted"},
        .x = {{"框的边长（像素）", "side of the box (pixels)"}, true},
        .y = {{"与原框的 IoU", "IoU with the box itself"}, false},
        .series = {{.role = DLF_MEASURED,
                    .table = "rounding",
                    .x = "side",
                    .y = "iou",
                    .lo = "lo",
                    .hi = "hi",
                    .label = {"RoI 池化：取整", "RoI pooling: rounded"},
                    .colour = 0,
                    .points = true}}};
    dlf_theory_of(&f, 0, 1, "theory");
    f.series[2] =
        (dlf_series){.role = DLF_CONTROL,
                     .table = "rounding",
                     .x = "side",
                     .y = "aligned",
                     .label = {"对照：不取整（RoIAlign）", "control: not rounded (RoIAlign)"}};
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_detection_rounding(dlf_run *run, double from, double to)
{
    const int seeds = dlf_run_seeds(run);
    double *iou = malloc((size_t)((SIDES + 1) * seeds) * sizeof *iou);
    if (!iou) return dlf_fail(DLF_ERR_OOM, "detection: out of memory");
    dlf_status status;
    DLF_TRY_DONE(dlf_run_stage(run, 0.5 * (from + to), "rounding boxes"));
    measure(run, iou, iou + SIDES * seeds);
    DLF_TRY_DONE(checks(run, iou, iou + SIDES * seeds));
    status = table_and_figure(run, iou);
done:
    free(iou);
    return status;
}
