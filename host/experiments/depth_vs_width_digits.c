/* SPDX-License-Identifier: MIT
 * depth_vs_width_digits.c -- Q16, Q34 on real data: width against depth at equal parameter count,
 * and the verdict on the document's premise. */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "depth_vs_width.h"
#include "digits_nets.h"

typedef struct shape {
    int depth, width;
} shape;

/* Of equal size; then the control, deep without being narrow. */
static const int depths[] = {1, 2, 4, 8, 16, 4, 16};
enum { SHAPES = sizeof depths / sizeof depths[0], EQUAL = 5, DEEP = 3 };
#define FIELD(name) offsetof(dlf_digits_outcome, name)

static int parameters_of(shape s)
{
    return 75 * s.width + (s.depth - 1) * s.width * (s.width + 1) + 10;
}

static void choose_shapes(shape *shapes, int parameters)
{
    for (int i = 0; i < SHAPES; i++) {
        shape s = {depths[i], 1};
        while (parameters_of((shape){s.depth, s.width + 1}) <= parameters) s.width++;
        if (i >= EQUAL) s.width = shapes[0].width;
        shapes[i] = s;
    }
}

/* All learning rates of a shape are trained together; per seed the best training loss counts. */
static const dlf_digits_net nets[] = {
    {2.0, 0.005, INFINITY}, {2.0, 0.02, INFINITY}, {2.0, 0.08, INFINITY}};
enum { NETS = sizeof nets / sizeof nets[0] };

typedef struct score {
    double accuracy, loss; /* test accuracy and training loss of the best learning rate */
} score;

static dlf_status train_shape(dlf_run *run, const dlf_dataset *data, shape s, score *out,
                              double from, double to)
{
    const int seeds = dlf_run_seeds(run);
    const dlf_digits_job job = {.what = "digits",
                                .kind = DLF_RELU,
                                .depth = s.depth,
                                .width = s.width,
                                .batch = 64,
                                .steps = dlf_run_int(run, "steps"),
                                .momentum = 0.9,
                                .loss_scale = 1.0,
                                .net = nets,
                                .nets = NETS};
    dlf_digits_outcome *o = malloc((size_t)(NETS * seeds) * sizeof *o);
    if (!o) return dlf_fail(DLF_ERR_OOM, "digits: out of memory");
    const dlf_status status = dlf_digits_run(run, data, &job, o, NULL, from, to);
    for (int i = 0; i < seeds && status == DLF_OK; i++) {
        out[i] = (score){0.0, INFINITY};
        for (int n = 0; n < NETS; n++) {
            const dlf_digits_outcome *net = &o[n * seeds + i];
            if (net->loss_end < out[i].loss) out[i] = (score){net->accuracy, net->loss_end};
        }
    }
    free(o);
    return status;
}

static dlf_status shape_table(dlf_run *run, const shape *shapes, const score *scores)
{
    const int seeds = dlf_run_seeds(run);
    dlf_table *table;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "digits",
                             (dlf_text){"手写数字：参数量相同、深度不同的网络",
                                        "digits: networks of as many parameters"},
                             (const dlf_column[]){{"arm", NULL},
                                                  {"depth", "layers"},
                                                  {"width", "units"},
                                                  {"parameters", "1"},
                                                  {"accuracy", "1"},
                                                  {"lo", "1"},
                                                  {"hi", "1"},
                                                  {"loss", "nat"},
                                                  {NULL, NULL}},
                             &table));
    for (int i = 0; i < SHAPES; i++) {
        const dlf_estimate a = dlf_estimate_of(&scores[i * seeds].accuracy, seeds, 2);
        const dlf_estimate l = dlf_estimate_of(&scores[i * seeds].loss, seeds, 2);
        DLF_TRY(dlf_table_row(table, DLF_TXT(i < EQUAL ? "equal" : "wide"),
                              DLF_NUM(shapes[i].depth), DLF_NUM(shapes[i].width),
                              DLF_NUM(parameters_of(shapes[i])), DLF_NUM(a.mean), DLF_NUM(a.lo),
                              DLF_NUM(a.hi), DLF_NUM(l.mean)));
    }
    return DLF_OK;
}

static dlf_status shape_figure(dlf_run *run)
{
    const dlf_figure figure = {
        .id = "digits",
        .kind = DLF_LINES,
        .title = {"手写数字：参数量相同，加深并不提高正确率，过深反而变差",
                  "Digits: at equal size more depth does not help, and too much hurts"},
        .subtitle = {"参数量相同（越深越窄）；ReLU，He 初始化，三种学习率按训练损失取最好",
                     "as many parameters (the deeper, the narrower); ReLU, He, best of three "
                     "rates by training "
                     "loss"},
        .x = {{"隐藏层数", "hidden layers"}, true},
        .y = {{"测试正确率", "test accuracy"}, false},
        .series = {{.role = DLF_MEASURED,
                    .table = "digits",
                    .where = "arm",
                    .equals = "equal",
                    .x = "depth",
                    .y = "accuracy",
                    .lo = "lo",
                    .hi = "hi",
                    .label = {"参数量相同的网络", "as many parameters"}},
                   {.role = DLF_CONTROL,
                    .table = "digits",
                    .where = "arm",
                    .equals = "wide",
                    .x = "depth",
                    .y = "accuracy",
                    .lo = "lo",
                    .hi = "hi",
                    .label = {"对照：每层都与单层网络一样宽",
                              "control: every layer as wide as the single one"},
                    .colour = 1}}};
    return dlf_result_figure(dlf_run_result(run), &figure);
}

static dlf_status difference_check(dlf_run *run, const score *scores, int deep, const char *id,
                                   dlf_text claim, double expected, dlf_relation relation,
                                   dlf_estimate *out)
{
    const int seeds = dlf_run_seeds(run);
    double *difference = malloc((size_t)seeds * sizeof *difference);
    if (!difference) return dlf_fail(DLF_ERR_OOM, "digits: out of memory");
    for (int s = 0; s < seeds; s++)
        difference[s] = scores[deep * seeds + s].accuracy - scores[s].accuracy;
    *out = dlf_estimate_of(difference, seeds, 1);
    free(difference);
    return dlf_result_check(
        dlf_run_result(run),
        (dlf_check){.id = id,
                    .claim = claim,
                    .measured = out->mean,
                    .lo = out->lo,
                    .hi = out->hi,
                    .n = seeds,
                    .expected = expected,
                    .relation = relation,
                    .source = "paired by seed; two points: the standard error of an accuracy of "
                              "0.97 on 500 images is 0.008"});
}

/* "With equal parameters deep networks do better": true on tent^4, false on the digits? */
static dlf_status premise(dlf_run *run, dlf_estimate digits)
{
    const dlf_check *tent = dlf_result_find_check(dlf_run_result(run), "trained_deep_wins");
    const bool on_tents = tent && tent->hi<0.0, on_digits = digits.lo> 0.0;
    return dlf_result_check(
        dlf_run_result(run),
        (dlf_check){.id = "premise",
                    .claim = {"文档的前提：同等参数量时，深层网络比浅层网络效果好",
                              "the document's premise: with as many parameters deep networks do "
                              "better than shallow ones"},
                    .measured = 0.5 * (on_tents + on_digits),
                    .lo = NAN,
                    .hi = NAN,
                    .n = dlf_run_seeds(run),
                    .expected = 1.0,
                    .relation = DLF_AT_LEAST,
                    .source = "share of the tasks (tent^4, digits) on which the 95 % interval of "
                              "the paired difference favours the deep network",
                    .has_verdict = true,
                    .verdict = on_tents && on_digits   ? DLF_SUPPORTED
                               : on_tents || on_digits ? DLF_DEPENDS
                                                       : DLF_REFUTED,
                    .note = "depth pays where the target is a composition; random networks and "
                            "the digits show no gain"});
}

dlf_status dlf_depth_digits(dlf_run *run, double from, double to)
{
    const int seeds = dlf_run_seeds(run);
    dlf_status status;
    dlf_dataset data = {0};
    dlf_estimate deep, deepest;
    shape shapes[SHAPES];
    choose_shapes(shapes, dlf_run_int(run, "parameters"));
    score *scores = malloc((size_t)(SHAPES * seeds) * sizeof *scores);
    if (!scores) return dlf_fail(DLF_ERR_OOM, "digits: out of memory");
    DLF_TRY_DONE(dlf_digits_load(&data));
    for (int i = 0; i < SHAPES; i++)
        DLF_TRY_DONE(train_shape(run, &data, shapes[i], scores + i * seeds,
                                 from + (to - from) * i / SHAPES,
                                 from + (to - from) * (i + 1) / SHAPES));
    DLF_TRY_DONE(shape_table(run, shapes, scores));
    DLF_TRY_DONE(shape_figure(run));
    DLF_TRY_DONE(difference_check(
        run, scores, DEEP, "digits_depth_8",
        (dlf_text){"手写数字，参数量相同：8 层比 1 层高不到两个百分点",
                   "digits, as many parameters: 8 layers gain less than two points over 1"},
        0.02, DLF_AT_MOST, &deep));
    DLF_TRY_DONE(difference_check(
        run, scores, EQUAL - 1, "digits_depth_16",
        (dlf_text){"手写数字，参数量相同：16 层比 1 层至少低两个百分点",
                   "digits, as many parameters: 16 layers lose at least two points to 1"},
        -0.02, DLF_AT_MOST, &deepest));
    DLF_TRY_DONE(difference_check(
        run, scores, SHAPES - 1, "digits_wide_16",
        (dlf_text){"对照：同样 16 层，但每层与单层网络一样宽，比 1 层低不到五个百分点",
                   "control: 16 layers as wide as the single one lose less than five points to 1"},
        -0.05, DLF_AT_LEAST, &deepest));
    DLF_TRY_DONE(premise(run, deep));
done:
    dlf_dataset_free(&data);
    free(scores);
    return status;
}
