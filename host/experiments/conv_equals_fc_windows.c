/* SPDX-License-Identifier: MIT
 * conv_equals_fc_windows.c -- Q22: what the equality is good for. A classifier whose dense layers
 * are rewritten as convolutions slides over a larger image at once, and shares what overlapping
 * windows have in common. Counted for VGG-16, and run for a small network.
 *
 * An image of side H = 224 + 32 (n-1) gives n x n outputs. Each window by itself costs n^2
 * networks; the convolutions of the image cost (H/224)^2. At 384: 36 against 2.94, a factor 12.25.
 *
 * Control padding. A window padded with zeros sees zeros where the image has pixels, so a network
 * with padding, VGG too, does not give at once what it gives window by window. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conv_equals_fc.h"
#include "dlf/rng.h"
#include "nets.h"
#include "seed_check.h"
#include "stopwatch.h"

/* ---- counts --------------------------------------------------------------------------------- */

typedef struct sliding {
    int outputs;       /* along one axis */
    int64_t conv, all; /* multiply-adds: of the 3x3 convolutions, of everything */
    int64_t parameters;
} sliding;

static dlf_status count_fcn(int side, sliding *out)
{
    net_totals sum;
    net *n = net_new();
    if (!n) return dlf_fail(DLF_ERR_OOM, "conv-equals-fc: out of memory");
    net_vgg_convolutional(n, 16);
    const dlf_status status = net_count(n, 3, side, side, &sum);
    if (status == DLF_OK) {
        *out = (sliding){.all = sum.macs, .parameters = sum.parameters};
        for (int i = 0; i < net_layers(n); i++) {
            const net_layer *l = net_layer_at(n, i);
            if (l->kind == NET_CONV && l->kernel == 3) out->conv += l->macs;
            out->outputs = l->h;
        }
    }
    net_free(n);
    return status;
}

static dlf_status count_checks(dlf_run *run, const sliding *one, const sliding *at384)
{
    const double windows = (double)at384->outputs * at384->outputs;
    const double cost = (double)at384->conv / (double)one->conv;
    const double saving = windows * (double)one->all / (double)at384->all;
    DLF_TRY(
        dlf_add_exact(run, "fcn_parameters",
                      (dlf_text){"VGG-16 的全连接层改写成卷积，参数量不变",
                                 "VGG-16 with its dense layers written as convolutions has as many "
                                 "parameters"},
                      (double)one->parameters, (double)net_find("vgg16")->parameters, 0.0,
                      "torchvision, num_params of vgg16", NULL));
    DLF_TRY(dlf_add_exact(
        run, "fcn_outputs",
        (dlf_text){"384×384 的图一次给出 36 个输出", "a 384x384 image gives 36 outputs at once"},
        windows, pow((384 - 224) / 32 + 1, 2), 0.0, "closed form: ((384 - 224) / 32 + 1)^2", NULL));
    DLF_TRY(dlf_add_exact(run, "fcn_cost",
                          (dlf_text){"其卷积层的代价只是 224×224 的 2.94 倍",
                                     "its convolutions cost 2.94 times those of 224x224"},
                          cost, 384.0 * 384.0 / (224.0 * 224.0), 1e-12,
                          "closed form: (384 / 224)^2", NULL));
    DLF_TRY(dlf_add_exact(
        run, "fcn_saving",
        (dlf_text){"比逐窗口计算省 12.25 倍（只计卷积层）",
                   "12.25 times less than window by window (convolutions alone)"},
        windows / cost, 36.0 * 224.0 * 224.0 / (384.0 * 384.0), 1e-12,
        "closed form: 36 (224 / 384)^2; Long, Shelhamer & Darrell 2015, Sermanet et al. 2014 in "
        "principle",
        NULL));
    DLF_TRY(dlf_result_fact(dlf_run_result(run), "saving_all", saving, "1"));
    return dlf_result_fact(dlf_run_result(run), "dense_share",
                           1.0 - (double)one->conv / (double)one->all, "1");
}

static dlf_status cost_figure(dlf_run *run)
{
    const dlf_figure f = {
        .id = "fcn_cost",
        .kind = DLF_LINES,
        .title = {"全连接改写成卷积之后，大图只算一次",
                  "Dense layers as convolutions: one pass over "
                  "the large image"},
        .subtitle =
            {"VGG-16，边长每增加 32 多一行一列输出；乘加次数由层列表计数",
             "VGG-16, one more row and column of outputs per 32 pixels; multiply-adds from the "
             "layer list"},
        .x = {{"图像边长（像素）", "side of the image (pixels)"}, false},
        .y = {{"乘加次数（10⁹）", "multiply-adds (10⁹)"}, true},
        .series = {{.role = DLF_CONTROL,
                    .table = "fcn_cost",
                    .x = "side",
                    .y = "windows_gmacs",
                    .label = {"对照：逐窗口", "control: window by window"},
                    .colour = 1},
                   {.role = DLF_MEASURED,
                    .table = "fcn_cost",
                    .x = "side",
                    .y = "fcn_gmacs",
                    .label = {"一次卷积", "one pass"},
                    .colour = 0},
                   {.role = DLF_THEORY,
                    .table = "fcn_cost",
                    .x = "side",
                    .y = "theory_gmacs",
                    .label = {"公式", "formula"},
                    .colour = 0}}};
    return dlf_result_figure(dlf_run_result(run), &f);
}

/* Weights of a layer C -> 2C that keeps its side, as convolution and as dense layer. */
static dlf_status parameters_figure(dlf_run *run)
{
    dlf_table *t;
    DLF_TRY(
        dlf_result_table(dlf_run_result(run), "parameters",
                         (dlf_text){"一层的参数量与输入边长", "parameters of a layer by its side"},
                         (const dlf_column[]){{"side", "pixel"},
                                              {"conv", "1"},
                                              {"local", "1"},
                                              {"dense", "1"},
                                              {"dense_theory", "1"},
                                              {NULL}},
                         &t));
    const int C = dlf_run_int(run, "channels");
    for (int side = 3; side <= 96; side *= 2) {
        const double o = side - 2, conv = 9.0 * C * 2 * C;
        net_totals dense;
        net *n = net_new();
        if (!n) return dlf_fail(DLF_ERR_OOM, "conv-equals-fc: out of memory");
        DENSE(n, (int)(2 * C * o * o), .no_bias = true);
        const dlf_status status = net_count(n, C, side, side, &dense);
        net_free(n);
        DLF_TRY(status);
        DLF_TRY(dlf_table_row(t, DLF_NUM(side), DLF_NUM(conv), DLF_NUM(conv * o * o),
                              DLF_NUM(dense.parameters),
                              DLF_NUM(conv * o * o * side * side / 9.0)));
    }
    const dlf_figure f = {
        .id = "parameters",
        .kind = DLF_LINES,
        .title = {"全连接的参数量是卷积的 HoWoHW/k² 倍；核等于输入时两者相同",
                  "A dense layer has Ho Wo H W / k² times the parameters"},
        .subtitle = {"3×3 卷积，不填充，最左端边长为 3：核等于输入",
                     "3×3 without padding; at the left end the side is 3: the kernel is the input"},
        .x = {{"输入边长 H＝W", "side of the input H = W"}, true},
        .y = {{"参数量", "parameters"}, true},
        .series = {{.role = DLF_MEASURED,
                    .table = "parameters",
                    .x = "side",
                    .y = "dense",
                    .label = {"全连接", "dense"},
                    .colour = 0},
                   {.role = DLF_THEORY,
                    .table = "parameters",
                    .x = "side",
                    .y = "dense_theory",
                    .label = {"卷积 × HoWoHW/k²", "convolution × Ho Wo H W / k²"},
                    .colour = 0},
                   {.role = DLF_CONTROL,
                    .table = "parameters",
                    .x = "side",
                    .y = "local",
                    .label = {"对照：局部连接（不共用）", "control: locally connected"},
                    .colour = 1},
                   {.role = DLF_MEASURED,
                    .table = "parameters",
                    .x = "side",
                    .y = "conv",
                    .label = {"卷积", "convolution"},
                    .colour = 2}}};
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_conv_fc_counts(dlf_run *run, double from)
{
    sliding one, at = {0}, at384 = {0};
    dlf_table *t;
    DLF_TRY(dlf_run_stage(run, from, "counting VGG-16"));
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "fcn_cost",
        (dlf_text){"VGG-16 在大图上的乘加次数", "multiply-adds of VGG-16 on larger images"},
        (const dlf_column[]){{"side", "pixel"},
                             {"outputs", "1"},
                             {"fcn_gmacs", "1e9"},
                             {"windows_gmacs", "1e9"},
                             {"theory_gmacs", "1e9"},
                             {NULL}},
        &t));
    DLF_TRY(count_fcn(224, &one));
    const double dense = (double)(one.all - one.conv);
    for (int side = 224; side <= 640; side += 32) {
        DLF_TRY(count_fcn(side, &at));
        const double windows = (double)at.outputs * at.outputs, scale = side / 224.0;
        DLF_TRY(dlf_table_row(t, DLF_NUM(side), DLF_NUM(windows), DLF_NUM((double)at.all / 1e9),
                              DLF_NUM(windows * (double)one.all / 1e9),
                              DLF_NUM(((double)one.conv * scale * scale + dense * windows) / 1e9)));
        if (side == 384) at384 = at;
    }
    DLF_TRY(count_checks(run, &one, &at384));
    DLF_TRY(cost_figure(run));
    return parameters_figure(run);
}

/* ---- a small network, run both ways --------------------------------------------------------- */

static dlf_node conv(dlf_graph *g, const char *name, dlf_node x, int maps, int kernel, int pad,
                     bool relu)
{
    return dlf_conv_layer(g, name, x, maps, dlf_conv_of(DLF_NCHW, kernel, 1, pad),
                          dlf_activation_of(relu ? DLF_RELU : DLF_LINEAR),
                          relu ? dlf_he() : dlf_lecun());
}

static void build(dlf_graph *g, const dlf_conv_fc_net *s, bool loss)
{
    const dlf_pool half = {
        .kind = DLF_POOL_MAX, .layout = DLF_NCHW, .kernel = {2, 2}, .stride = {2, 2}};
    const int pad = s->padded, last = s->padded ? 4 : 3;
    dlf_node x = dlf_input(g, "x", 5, (int64_t[]){s->members, s->batch, 1, s->side, s->side});
    x = dlf_pooling(g, NULL, conv(g, "conv1", x, s->maps, 3, pad, true), half);
    x = dlf_pooling(g, NULL, conv(g, "conv2", x, 2 * s->maps, 3, pad, true), half);
    x = conv(g, "out", x, DLF_CONV_FC_CLASSES, last, 0, false);
    dlf_want_value(g, x);
    if (!loss) return;
    const dlf_node label = dlf_input_int(g, "label", 2, (int64_t[]){s->members, s->batch});
    x = dlf_view(g, "logits", x, 3, (int64_t[]){s->members, s->batch, DLF_CONV_FC_CLASSES});
    dlf_graph_minimise(g, dlf_cross_entropy(g, "loss", x, label), 1.0 / s->batch);
}

dlf_status dlf_conv_fc_net_new(dlf_graph **out, dlf_device *device, const dlf_conv_fc_net *spec,
                               bool loss)
{
    DLF_TRY(dlf_graph_new(out, device, spec->members));
    build(*out, spec, loss);
    const dlf_status status = dlf_graph_compile(*out);
    if (status == DLF_OK) return DLF_OK;
    dlf_graph_free(*out);
    *out = NULL;
    return status;
}

enum { SHIFTS = 5, WINDOWS = SHIFTS * SHIFTS, REPEATS = 3 };

typedef struct both {
    dlf_graph *whole, *each; /* one image; its windows as a batch */
    int window, side;
    double *image, *windows, *y, *z;
} both;

static void both_free(both *b)
{
    dlf_graph_free(b->whole);
    dlf_graph_free(b->each);
    free(b->image);
    free(b->windows);
    free(b->y);
    free(b->z);
}

static dlf_status both_new(both *b, dlf_run *run, bool padded)
{
    const int P = dlf_run_seeds(run), maps = (dlf_run_int(run, "channels") + 1) / 2;
    const int window = dlf_conv_fc_window(padded), side = window + DLF_CONV_FC_STEP * (SHIFTS - 1);
    const size_t outputs = (size_t)(P * WINDOWS * DLF_CONV_FC_CLASSES);
    *b = (both){.window = window, .side = side};
    b->image = malloc((size_t)(P * side * side) * sizeof *b->image);
    b->windows = malloc((size_t)(P * WINDOWS * window * window) * sizeof *b->windows);
    b->y = malloc(outputs * sizeof *b->y);
    b->z = malloc(outputs * sizeof *b->z);
    if (!b->image || !b->windows || !b->y || !b->z)
        return dlf_fail(DLF_ERR_OOM, "conv-equals-fc: out of memory");
    const dlf_conv_fc_net whole = {P, 1, side, maps, padded};
    const dlf_conv_fc_net each = {P, WINDOWS, window, maps, padded};
    DLF_TRY(dlf_conv_fc_net_new(&b->whole, dlf_run_device(run), &whole, false));
    DLF_TRY(dlf_conv_fc_net_new(&b->each, dlf_run_device(run), &each, false));
    DLF_TRY(dlf_graph_initialise(b->whole, dlf_run_seed(run), NULL));
    return dlf_graph_initialise(b->each, dlf_run_seed(run), NULL);
}

static dlf_status fill(both *b, dlf_run *run)
{
    const int P = dlf_run_seeds(run), H = b->side, W = b->window;
    for (int p = 0; p < P; p++)
        for (int i = 0; i < H * H; i++)
            b->image[p * H * H + i] = (double)dlf_rng_normal(
                dlf_run_seed(run), dlf_stream(DLF_PURPOSE_INPUT, 23), (uint32_t)p, (uint64_t)i);
    double *to = b->windows;
    for (int p = 0; p < P; p++)
        for (int k = 0; k < WINDOWS; k++)
            for (int i = 0; i < W; i++, to += W)
                memcpy(to,
                       b->image + p * H * H + (i + k / SHIFTS * DLF_CONV_FC_STEP) * H +
                           k % SHIFTS * DLF_CONV_FC_STEP,
                       (size_t)W * sizeof *to);
    DLF_TRY(
        dlf_tensor_upload_f64(dlf_graph_value(b->whole, dlf_graph_find(b->whole, "x")), b->image));
    return dlf_tensor_upload_f64(dlf_graph_value(b->each, dlf_graph_find(b->each, "x")),
                                 b->windows);
}

/* Microseconds of the fastest of some forward passes. */
static dlf_status time_forward(dlf_graph *g, double *us)
{
    dlf_device *dev = dlf_graph_device(g);
    *us = INFINITY;
    for (int i = 0; i < REPEATS; i++) {
        DLF_TRY(dlf_device_sync(dev));
        const double start = dlf_stopwatch_us(dev);
        DLF_TRY(dlf_graph_forward(g, DLF_EVALUATION));
        DLF_TRY(dlf_device_sync(dev));
        *us = fmin(*us, dlf_stopwatch_us(dev) - start);
    }
    return DLF_OK;
}

/* off (seeds): distance of the outputs at once from those window by window; speed (seeds): ratio of
 * times, one sample per round. */
static dlf_status compare(dlf_run *run, bool padded, double *off, double *speed, double *macs)
{
    const int P = dlf_run_seeds(run), K = DLF_CONV_FC_CLASSES;
    both b;
    dlf_status status;
    DLF_TRY_DONE(both_new(&b, run, padded));
    DLF_TRY_DONE(fill(&b, run));
    for (int s = 0; s < P; s++) {
        double whole, each;
        DLF_TRY_DONE(time_forward(b.whole, &whole));
        DLF_TRY_DONE(time_forward(b.each, &each));
        speed[s] = each / whole;
    }
    DLF_TRY_DONE(
        dlf_tensor_download_f64(b.y, dlf_graph_value(b.whole, dlf_graph_find(b.whole, "out"))));
    DLF_TRY_DONE(
        dlf_tensor_download_f64(b.z, dlf_graph_value(b.each, dlf_graph_find(b.each, "out"))));
    for (int p = 0; p < P; p++) { /* (K, windows) against (windows, K) */
        double sum = 0.0, size = 0.0;
        for (int k = 0; k < K; k++)
            for (int at = 0; at < WINDOWS; at++) {
                const double y = b.y[(p * K + k) * WINDOWS + at];
                const double z = b.z[(p * WINDOWS + at) * K + k];
                sum += (y - z) * (y - z);
                size += z * z;
            }
        off[p] = sqrt(sum / size);
    }
    *macs = (double)dlf_graph_cost_of(b.each).forward_macs /
            (double)dlf_graph_cost_of(b.whole).forward_macs;
done:
    both_free(&b);
    return status;
}

static dlf_status window_row(dlf_run *run, dlf_table *t, const char *id, dlf_text label,
                             const double *off)
{
    const dlf_estimate e = dlf_estimate_of(off, dlf_run_seeds(run), 1);
    return dlf_table_row(t, DLF_TXT(id), DLF_TXT(label.zh), DLF_TXT(label.en), DLF_NUM(e.mean),
                         DLF_NUM(e.lo > 0.0 ? e.lo : 0.0), DLF_NUM(e.hi));
}

static dlf_status window_tables(dlf_run *run, const double *off, const double *padded,
                                const double *speed, double macs)
{
    dlf_table *t, *times;
    const dlf_estimate s = dlf_estimate_of(speed, dlf_run_seeds(run), 1);
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "windows",
        (dlf_text){"整图一次与逐窗口的输出之差", "outputs at once against window by window"},
        (const dlf_column[]){{"net", NULL},
                             {"net_zh", NULL},
                             {"net_en", NULL},
                             {"difference", "1"},
                             {"lo", "1"},
                             {"hi", "1"},
                             {NULL}},
        &t));
    DLF_TRY(window_row(run, t, "valid", (dlf_text){"不填充", "no padding"}, off));
    DLF_TRY(window_row(run, t, "padded", (dlf_text){"对照：填充 1", "control: padding 1"}, padded));
    DLF_TRY(dlf_result_table(dlf_run_result(run), "window_times",
                             (dlf_text){"逐窗口对一次：乘加次数之比与时间之比",
                                        "window by window over at once: multiply-adds and time"},
                             (const dlf_column[]){{"windows", "1"},
                                                  {"macs", "1"},
                                                  {"time", "us/us"},
                                                  {"lo", "us/us"},
                                                  {"hi", "us/us"},
                                                  {NULL}},
                             &times));
    DLF_TRY(dlf_table_row(times, DLF_NUM(WINDOWS), DLF_NUM(macs), DLF_NUM(s.mean), DLF_NUM(s.lo),
                          DLF_NUM(s.hi)));
    const dlf_figure f = {
        .id = "windows",
        .kind = DLF_BARS,
        .title = {"整图一次等于逐窗口，除非网络带填充",
                  "At once is window by window, unless the network pads"},
        .subtitle = {"小网络，25 个重叠窗口；误差棒为种子间 95% 区间",
                     "a small network, 25 overlapping windows; bars: 95 % over seeds"},
        .x = {{"网络", "network"}, false},
        .y = {{"两种输出的相对差（均方根）", "relative difference of the outputs (rms)"}, false},
        .series = {{.role = DLF_MEASURED,
                    .table = "windows",
                    .x = "net",
                    .y = "difference",
                    .lo = "lo",
                    .hi = "hi",
                    .label = {"整图一次 − 逐窗口", "at once − window by window"}}}};
    return dlf_result_figure(dlf_run_result(run), &f);
}

static dlf_status window_checks(dlf_run *run, const double *off, const double *padded)
{
    const int seeds = dlf_run_seeds(run);
    dlf_check c = dlf_check_of("windows_equal",
                               (dlf_text){"不填充的网络：整图一次的输出等于逐窗口的输出",
                                          "without padding the outputs at once are those of every "
                                          "window"},
                               dlf_estimate_of(off, seeds, 1));
    c.tolerance = 1e-5;
    c.source = "identity: the same sums; float32";
    c.self_check = true;
    DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    const dlf_estimate e = dlf_estimate_of(padded, seeds, 1);
    c = dlf_check_of("windows_padded",
                     (dlf_text){"对照，填充 1 的网络（VGG 也如此）：两者不等",
                                "control, with padding 1 (as in VGG): they differ"},
                     e);
    c.expected = 0.01;
    c.relation = DLF_AT_LEAST;
    c.source = "a window's padding is 0 where the image has pixels";
    return dlf_result_check(dlf_run_result(run), c);
}

dlf_status dlf_conv_fc_windows(dlf_run *run, double from, double to)
{
    const size_t seeds = (size_t)dlf_run_seeds(run);
    dlf_status status;
    double macs, macs_padded;
    double *v = malloc(4 * seeds * sizeof *v);
    if (!v) return dlf_fail(DLF_ERR_OOM, "conv-equals-fc: out of memory");
    DLF_TRY_DONE(dlf_run_stage(run, from, "windows"));
    DLF_TRY_DONE(compare(run, false, v, v + seeds, &macs));
    DLF_TRY_DONE(dlf_run_stage(run, (from + to) / 2, "windows, padded"));
    DLF_TRY_DONE(compare(run, true, v + 2 * seeds, v + 3 * seeds, &macs_padded));
    DLF_TRY_DONE(window_tables(run, v, v + 2 * seeds, v + seeds, macs));
    DLF_TRY_DONE(window_checks(run, v, v + 2 * seeds));
done:
    free(v);
    return status;
}
