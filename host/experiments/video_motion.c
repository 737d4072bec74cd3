/* SPDX-License-Identifier: MIT
 * video_motion.c -- Q30: which way does the bar move? By seven networks and clips to learn from. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "figures.h"
#include "seed_check.h"
#include "video.h"

enum { SIZES = 3, MANY = SIZES - 1 };

static const char *const ids[DLF_VIDEO_NETS] = {"frame", "pooled", "linear",   "stacked",
                                                "flow",  "conv",   "recurrent"};
static const dlf_text names[DLF_VIDEO_NETS] = {{"单帧", "one frame"},
                                               {"逐帧卷积再平均", "frames, averaged"},
                                               {"全部帧，线性", "all frames, linear"},
                                               {"全部帧，一个隐藏层", "all frames, hidden layer"},
                                               {"帧差卷积（双流）", "differences (two-stream)"},
                                               {"时空卷积（3-D）", "kernels over time (3-D)"},
                                               {"循环网络", "recurrent"}};

static int size_of(const dlf_run *run, int k)
{
    const int most = dlf_run_int(run, "clips"), n = k == MANY ? most
                                                    : k == 0  ? most / 16
                                                              : most / 4;
    return n > DLF_VIDEO_BATCH ? n : DLF_VIDEO_BATCH;
}

/* accuracy (NETS, SIZES, seeds) */
typedef struct outcome {
    double *accuracy, parameters[DLF_VIDEO_NETS];
} outcome;

static double *cell(const outcome *o, int seeds, int net, int k)
{
    return o->accuracy + ((long)net * SIZES + k) * seeds;
}

static dlf_status measure(outcome *o, dlf_run *run, double from, double to)
{
    const int seeds = dlf_run_seeds(run), test = dlf_run_int(run, "test_clips");
    dlf_dataset clips = {0};
    dlf_status status;
    DLF_TRY_DONE(
        dlf_clips_new(&clips, dlf_run_seed(run), seeds, dlf_run_int(run, "clips") + test, 1.0));
    for (int net = 0; net < DLF_VIDEO_NETS; net++)
        for (int k = 0; k < SIZES; k++) {
            const int n = size_of(run, k);
            DLF_TRY_DONE(
                dlf_run_stage(run, from + (to - from) * (net * SIZES + k) / DLF_VIDEO_NETS / SIZES,
                              "%s, %d clips", names[net].en, n));
            DLF_TRY_DONE(dlf_video_train(run, &clips, seeds, n, test, net, cell(o, seeds, net, k),
                                         &o->parameters[net]));
        }
done:
    dlf_dataset_free(&clips);
    return status;
}

/* ---- report ---- */

static dlf_status checks(const outcome *o, dlf_run *run)
{
    static const struct {
        dlf_video_net net;
        const char *id;
        dlf_text claim;
        const char *source;
    } blind[] = {
        {DLF_VIDEO_FRAME,
         "frame_blind",
         {"对照，只看一帧：等于猜（正确率减去 1/2）",
          "control, one frame: no better than a guess (accuracy minus 1/2)"},
         "identity: a frame has the same distribution for both directions"},
        {DLF_VIDEO_POOLED,
         "pooled_blind",
         {"对照，逐帧再平均，不管次序：等于猜（正确率减去 1/2）",
          "control, the mean of all frames, without their order: a guess (accuracy minus 1/2)"},
         "identity: the set of frames has the same distribution for both directions"},
        {DLF_VIDEO_LINEAR,
         "linear_blind",
         {"对照，用交叉熵训练的线性分类，看有序的全部帧：等于猜（正确率减去 1/2）",
          "control, linear in all ordered frames, trained by cross-entropy: a guess (accuracy "
          "minus "
          "1/2)"},
         "E[y x] = 0 for every pixel of every frame, and the loss is convex: weights 0 are best"}};
    const int seeds = dlf_run_seeds(run);
    double *gap = malloc((size_t)seeds * sizeof *gap);
    if (!gap) return dlf_fail(DLF_ERR_OOM, "video: out of memory");
    dlf_status status;
    for (size_t i = 0; i < sizeof blind / sizeof blind[0]; i++) {
        for (int s = 0; s < seeds; s++) gap[s] = cell(o, seeds, blind[i].net, MANY)[s] - 0.5;
        DLF_TRY_DONE(dlf_add_within(run, blind[i].id, blind[i].claim,
                                    dlf_estimate_of(gap, seeds, 1), 0.05, blind[i].source));
    }
    DLF_TRY_DONE(dlf_add_bound(
        run, "conv_sees", (dlf_text){"时空卷积学会方向", "kernels over time learn the direction"},
        dlf_estimate_of(cell(o, seeds, DLF_VIDEO_CONV, MANY), seeds, 1), DLF_AT_LEAST, 0.98,
        "two neighbouring frames show it everywhere: Tran et al. 2015, in direction"));
    DLF_TRY_DONE(dlf_add_bound(
        run, "flow_sees",
        (dlf_text){"帧差上的卷积（双流）也学会", "so does a convolution of differences"},
        dlf_estimate_of(cell(o, seeds, DLF_VIDEO_FLOW, MANY), seeds, 1), DLF_AT_LEAST, 0.98,
        "Simonyan & Zisserman 2014, in direction"));
    for (int s = 0; s < seeds; s++)
        gap[s] = cell(o, seeds, DLF_VIDEO_CONV, 0)[s] - cell(o, seeds, DLF_VIDEO_STACKED, 0)[s];
    DLF_TRY_DONE(dlf_add_above(
        run, "kernels_need_less",
        (dlf_text){"片段少时，时空卷积好过没有结构的隐藏层（正确率之差）",
                   "with few clips kernels over time beat a hidden layer without structure "
                   "(difference of accuracies)"},
        dlf_estimate_of(gap, seeds, 1), "one kernel is trained by every place and time of a clip"));
    for (int net = DLF_VIDEO_LINEAR; net < DLF_VIDEO_NETS; net++) {
        char id[32];
        snprintf(id, sizeof id, "few_%s", ids[net]);
        DLF_TRY_DONE(dlf_result_fact(dlf_run_result(run), id,
                                     dlf_estimate_of(cell(o, seeds, net, 0), seeds, 1).mean, "1"));
    }
    status = dlf_result_fact(dlf_run_result(run), "few_clips", size_of(run, 0), "clips");
done:
    free(gap);
    return status;
}

static dlf_status table_and_figure(const outcome *o, dlf_run *run)
{
    const int seeds = dlf_run_seeds(run);
    dlf_table *t;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "motion",
        (dlf_text){"方向的正确率与训练片段数", "accuracy of the direction by training clips"},
        (const dlf_column[]){{"net", NULL},
                             {"clips", "1"},
                             {"accuracy", "1"},
                             {"lo", "1"},
                             {"hi", "1"},
                             {"parameters", "1"},
                             {NULL, NULL}},
        &t));
    dlf_figure f = {
        .id = "motion",
        .kind = DLF_LINES,
        .title = {"只有次序说明的东西，看单帧、平均或线性都学不会",
                  "What only the order tells: one frame, averages and linear models are blind"},
        .subtitle = {"环上的一条杆向左或向右移动，8 帧；带为种子间 95 % 区间；灰色为对照",
                     "a bar on a ring moves left or right, 8 frames; bands: 95 % over seeds; grey: "
                     "controls"},
        .x = {{"训练片段数", "training clips"}, true},
        .y = {{"正确率", "accuracy"}, false}};
    for (int net = 0; net < DLF_VIDEO_NETS; net++) {
        for (int k = 0; k < SIZES; k++) {
            const dlf_estimate e = dlf_estimate_of(cell(o, seeds, net, k), seeds, 1);
            DLF_TRY(dlf_table_row(t, DLF_TXT(ids[net]), DLF_NUM(size_of(run, k)), DLF_NUM(e.mean),
                                  DLF_NUM(e.lo), DLF_NUM(e.hi), DLF_NUM(o->parameters[net])));
        }
        f.series[net] =
            dlf_arm_series(net <= DLF_VIDEO_LINEAR ? DLF_CONTROL : DLF_MEASURED, "motion", "net",
                           ids[net], "clips", "accuracy", names[net], net);
    }
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_video_motion(dlf_run *run, double from, double to)
{
    outcome o = {
        .accuracy = malloc((size_t)(DLF_VIDEO_NETS * SIZES * dlf_run_seeds(run)) * sizeof(double))};
    if (!o.accuracy) return dlf_fail(DLF_ERR_OOM, "video: out of memory");
    dlf_status status;
    DLF_TRY_DONE(measure(&o, run, from, to));
    DLF_TRY_DONE(checks(&o, run));
    status = table_and_figure(&o, run);
done:
    free(o.accuracy);
    return status;
}
