/* SPDX-License-Identifier: MIT
 * detection_counts.c -- Q42: multiply-adds of R-CNN, Fast R-CNN and Faster R-CNN with VGG-16, from
 * its list of layers. */
#include <math.h>

#include "detection.h"
#include "nets.h"
#include "seed_check.h"

enum {
    HEIGHT = 600,
    WIDTH = 1000,
    CROP = 224,
    OUTPUTS = 21 + 4 * 21, /* classes of PASCAL VOC with nothing, and a box for each */
    ANCHORS = 9,
    MANY = 2000, /* proposals of selective search */
    FEW = 300    /* of the proposal network */
};

typedef struct costs {
    double image, crop, head, rpn; /* multiply-adds */
    int h, w;                      /* of the feature map */
} costs;

/* Of the 3x3 convolutions on an image; *map may be NULL. */
static dlf_status convolutions(int height, int width, double *macs, costs *map)
{
    net_totals sum;
    net *n = net_new();
    if (!n) return dlf_fail(DLF_ERR_OOM, "detection: out of memory");
    net_vgg_convolutional(n, 16);
    const dlf_status status = net_count(n, 3, height, width, &sum);
    *macs = 0.0;
    for (int i = 0; status == DLF_OK && i < net_layers(n); i++) {
        const net_layer *l = net_layer_at(n, i);
        if (l->kind != NET_CONV || l->kernel != 3) continue;
        *macs += (double)l->macs;
        if (map) {
            map->h = l->h;
            map->w = l->w;
        }
    }
    net_free(n);
    return status;
}

static dlf_status count(costs *c)
{
    DLF_TRY(convolutions(HEIGHT, WIDTH, &c->image, c));
    DLF_TRY(convolutions(CROP, CROP, &c->crop, NULL));
    c->head = 512.0 * 7 * 7 * 4096 + 4096.0 * 4096 + 4096.0 * OUTPUTS;
    c->rpn = (double)c->h * c->w * 512.0 * (9 * 512 + ANCHORS * (2 + 4));
    return DLF_OK;
}

static double rcnn(const costs *c, double n)
{
    return n * (c->crop + c->head);
}

static double fast(const costs *c, double n)
{
    return c->image + n * c->head;
}

static double faster(const costs *c, double n)
{
    return fast(c, n) + c->rpn;
}

static dlf_status checks(dlf_run *run, const costs *c)
{
    dlf_result *r = dlf_run_result(run);
    DLF_TRY(dlf_add_exact(
        run, "limit",
        (dlf_text){"候选区域再多，乘加之比的极限（每多一个区域的代价之比）",
                   "limit of the ratio of multiply-adds for many proposals (cost of one more)"},
        (rcnn(c, 1e12) - rcnn(c, 0.0)) / (fast(c, 1e12) - fast(c, 0.0)), 1.0 + c->crop / c->head,
        1e-6, "closed form: 1 + convolutions of a crop / head", NULL));
    DLF_TRY(dlf_add_exact(run, "map",
                          (dlf_text){"600×1000 的图，VGG-16 特征图的位置数（步长 16）",
                                     "positions of VGG-16's map of a 600x1000 image (stride 16)"},
                          (double)c->h * c->w, floor(HEIGHT / 16.0) * floor(WIDTH / 16.0), 0.0,
                          "four poolings by two: floor(600/16) floor(1000/16)", NULL));
    dlf_check check = dlf_check_exact(
        "saving",
        (dlf_text){"2000 个候选区域：Fast R-CNN 的乘加少一个数量级以上（R-CNN 与之比）",
                   "2,000 proposals: Fast R-CNN takes more than ten times fewer multiply-adds "
                   "(ratio of R-CNN to it)"},
        rcnn(c, MANY) / fast(c, MANY));
    check.relation = DLF_AT_LEAST;
    check.expected = 10.0;
    check.source = "Girshick 2015, in order of magnitude: 47 s against 0.32 s per image (VGG-16), "
                   "146 times; times hold more than multiply-adds";
    DLF_TRY(dlf_result_check(r, check));
    DLF_TRY(dlf_result_fact(r, "rcnn", 1e-9 * rcnn(c, MANY), "1e9"));
    DLF_TRY(dlf_result_fact(r, "fast", 1e-9 * fast(c, MANY), "1e9"));
    DLF_TRY(dlf_result_fact(r, "faster", 1e-9 * faster(c, FEW), "1e9"));
    DLF_TRY(dlf_result_fact(r, "faster_ratio", rcnn(c, MANY) / faster(c, FEW), "1"));
    DLF_TRY(dlf_result_fact(r, "rpn_share", c->rpn / faster(c, FEW), "1"));
    DLF_TRY(dlf_result_fact(r, "head_share", MANY * c->head / fast(c, MANY), "1"));
    /* truncated SVD of the two large layers, 1024 and 256 values kept */
    const double full = 25088.0 * 4096 + 4096.0 * 4096,
                 cut = 1024.0 * (25088 + 4096) + 256.0 * (4096 + 4096);
    return dlf_result_fact(r, "svd", full / cut, "1");
}

static dlf_status table_and_figure(dlf_run *run, const costs *c)
{
    dlf_table *t;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "counts",
        (dlf_text){"乘加次数与候选区域数", "multiply-adds by proposals"},
        (const dlf_column[]){
            {"proposals", "1"}, {"rcnn", "1e9"}, {"fast", "1e9"}, {"faster", "1e9"}, {NULL, NULL}},
        &t));
    for (int n = 10; n <= 3000; n = n < 100 ? n * 2 : n * 3 / 2)
        DLF_TRY(dlf_table_row(t, DLF_NUM(n), DLF_NUM(1e-9 * rcnn(c, n)), DLF_NUM(1e-9 * fast(c, n)),
                              DLF_NUM(1e-9 * faster(c, n))));
    const dlf_figure f = {
        .id = "counts",
        .kind = DLF_LINES,
        .title = {"共享卷积之后，多一个候选区域只多一次全连接",
                  "With a shared map one proposal more costs its dense layers alone"},
        .subtitle = {"VGG-16，600×1000 的图；由层列表计数",
                     "VGG-16, an image of 600x1000; from the list of layers"},
        .x = {{"候选区域数", "proposals"}, true},
        .y = {{"乘加次数（10⁹）", "multiply-adds (10⁹)"}, true},
        .series = {{.role = DLF_CONTROL,
                    .table = "counts",
                    .x = "proposals",
                    .y = "rcnn",
                    .label = {"R-CNN：逐区域卷积", "R-CNN: a convolution each"},
                    .colour = 2},
                   {.role = DLF_MEASURED,
                    .table = "counts",
                    .x = "proposals",
                    .y = "fast",
                    .label = {"Fast：整图一次", "Fast: one per image"},
                    .colour = 0},
                   {.role = DLF_MEASURED,
                    .table = "counts",
                    .x = "proposals",
                    .y = "faster",
                    .label = {"Faster：再加 RPN", "Faster: and the RPN"},
                    .colour = 1}}};
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_detection_counts(dlf_run *run, double from, double to)
{
    costs c;
    DLF_TRY(dlf_run_stage(run, 0.5 * (from + to), "multiply-adds of three detectors"));
    DLF_TRY(count(&c));
    DLF_TRY(checks(run, &c));
    return table_and_figure(run, &c);
}
