/* SPDX-License-Identifier: MIT
 * video_labels.c -- Q30: what motion is worth where some labels can be told from a still. */
#include <math.h>
#include <stdlib.h>

#include "figures.h"
#include "seed_check.h"
#include "video.h"

static const double shares[] = {0.0, 0.25, 0.5, 0.75, 1.0};
enum { SHARES = sizeof shares / sizeof shares[0], STILL = 1, MOVING = 3, FRAME = 0, CLIP, ARMS };

static double *cell(double *accuracy, int seeds, int arm, int k)
{
    return accuracy + ((long)arm * SHARES + k) * seeds;
}

static dlf_status measure(dlf_run *run, double *accuracy, double from, double to)
{
    static const dlf_video_net nets[ARMS] = {DLF_VIDEO_FRAME, DLF_VIDEO_CONV};
    const int seeds = dlf_run_seeds(run), n = dlf_run_int(run, "clips"),
              test = dlf_run_int(run, "test_clips");
    for (int k = 0; k < SHARES; k++) {
        dlf_dataset clips = {0};
        dlf_status status = dlf_run_stage(run, from + (to - from) * k / SHARES,
                                          "labels by motion: %g of them", shares[k]);
        if (status == DLF_OK)
            status = dlf_clips_new(&clips, dlf_run_seed(run) + 1, seeds, n + test, shares[k]);
        for (int arm = 0; arm < ARMS && status == DLF_OK; arm++)
            status = dlf_video_train(run, &clips, seeds, n, test, nets[arm],
                                     cell(accuracy, seeds, arm, k), NULL);
        dlf_dataset_free(&clips);
        DLF_TRY(status);
    }
    return DLF_OK;
}

static dlf_status check_gain(dlf_run *run, const char *id, dlf_text claim, double *accuracy, int k)
{
    const int seeds = dlf_run_seeds(run);
    double *gain = malloc((size_t)seeds * sizeof *gain);
    if (!gain) return dlf_fail(DLF_ERR_OOM, "video: out of memory");
    for (int s = 0; s < seeds; s++)
        gain[s] = cell(accuracy, seeds, CLIP, k)[s] - cell(accuracy, seeds, FRAME, k)[s];
    dlf_check c = dlf_check_of(id, claim, dlf_estimate_of(gain, seeds, 1));
    c.expected = dlf_video_best(shares[k], true) - dlf_video_best(shares[k], false);
    c.tolerance = 0.04;
    c.source = "Bayes: 1 - m/2 from a still, 1/2 + max(m, 1-m)/2 from the clip; 0.04 for learning "
               "from a finite number of clips";
    free(gain);
    return dlf_result_check(dlf_run_result(run), c);
}

static dlf_status table_and_figure(dlf_run *run, double *accuracy)
{
    const int seeds = dlf_run_seeds(run);
    static const char *const ids[ARMS] = {"frame", "clip"};
    static const dlf_text names[ARMS] = {{"单帧", "one frame"}, {"时空卷积", "kernels over time"}};
    dlf_table *t;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "labels",
                             (dlf_text){"正确率与由运动决定的标签比例",
                                        "accuracy by the share of labels that motion decides"},
                             (const dlf_column[]){{"sees", NULL},
                                                  {"motion", "1"},
                                                  {"accuracy", "1"},
                                                  {"lo", "1"},
                                                  {"hi", "1"},
                                                  {"theory", "1"},
                                                  {NULL, NULL}},
                             &t));
    dlf_figure f = {
        .id = "labels",
        .kind = DLF_LINES,
        .title = {"静止画面定得下的标签占一半以上，运动就不添一分",
                  "While stills decide half of the labels or more, motion adds nothing"},
        .subtitle = {"其余标签由杆的宽度决定；虚线为贝叶斯最优，没有拟合；误差棒为种子间 95 % 区间",
                     "the other labels are the bar's width; dashed: Bayes, nothing fitted; bars: "
                     "95 % over seeds"},
        .x = {{"由运动决定的标签比例", "share of labels that motion decides"}, false},
        .y = {{"正确率", "accuracy"}, false}};
    for (int arm = 0; arm < ARMS; arm++) {
        for (int k = 0; k < SHARES; k++) {
            const dlf_estimate e = dlf_estimate_of(cell(accuracy, seeds, arm, k), seeds, 1);
            DLF_TRY(dlf_table_row(t, DLF_TXT(ids[arm]), DLF_NUM(shares[k]), DLF_NUM(e.mean),
                                  DLF_NUM(e.lo), DLF_NUM(e.hi),
                                  DLF_NUM(dlf_video_best(shares[k], arm == CLIP))));
        }
        f.series[2 * arm] = dlf_arm_series(arm == FRAME ? DLF_CONTROL : DLF_MEASURED, "labels",
                                           "sees", ids[arm], "motion", "accuracy", names[arm], arm);
        f.series[2 * arm].points = true;
        dlf_theory_of(&f, 2 * arm, 2 * arm + 1, "theory");
    }
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_video_labels(dlf_run *run, double from, double to)
{
    double *accuracy = malloc((size_t)(ARMS * SHARES * dlf_run_seeds(run)) * sizeof *accuracy);
    if (!accuracy) return dlf_fail(DLF_ERR_OOM, "video: out of memory");
    dlf_status status;
    DLF_TRY_DONE(measure(run, accuracy, from, to));
    DLF_TRY_DONE(check_gain(
        run, "gain_still",
        (dlf_text){"四分之一的标签由运动决定：看整段不比看单帧好（正确率之差）",
                   "a quarter of the labels by motion: the clip is no better than a still "
                   "(difference of accuracies)"},
        accuracy, STILL));
    DLF_TRY_DONE(check_gain(run, "gain_moving",
                            (dlf_text){"四分之三由运动决定：差别正好是贝叶斯之差",
                                       "three quarters: the difference is that of Bayes"},
                            accuracy, MOVING));
    status = table_and_figure(run, accuracy);
done:
    free(accuracy);
    return status;
}
