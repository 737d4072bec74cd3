/* SPDX-License-Identifier: MIT
 * architectures_trained.c -- Q28: LeNet-5 against a residual network of as many multiply-adds and a
 * tenth of its parameters, on Fashion-MNIST; where it is not installed, on the digits, every pixel
 * three times as large. Control: a linear classifier. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "architectures.h"
#include "figures.h"
#include "nets_graph.h"
#include "seed_check.h"

enum { ARMS = 3, LOOKS = 4 };

typedef struct arm {
    const char *id;
    dlf_text label;
    void (*build)(net *n, const void *classes);
    double lr;
    dlf_role role;
} arm;

static void lenet5(net *n, const void *classes)
{
    net_lenet5_28(n, *(const int *)classes);
}
static void resnet(net *n, const void *classes)
{
    net_resnet_28(n, *(const int *)classes);
}
static void linear(net *n, const void *classes)
{
    net_linear(n, *(const int *)classes);
}

static const arm arms[ARMS] = {
    {"lenet5", {"LeNet-5", "LeNet-5"}, lenet5, 4e-3, DLF_MEASURED},
    {"resnet", {"小残差网络", "small ResNet"}, resnet, 2e-2, DLF_MEASURED},
    {"linear", {"对照：线性分类器", "control: linear classifier"}, linear, 2e-3, DLF_CONTROL}};

/* ---- data ----------------------------------------------------------------------------------- */

/* side x side images as wide as `to`: every pixel several times as large, with a margin of 0. */
static dlf_status enlarge(dlf_dataset *d, int to)
{
    const int side = d->height, times = to / side, margin = (to - times * side) / 2;
    const size_t rows = (size_t)(d->train + d->test), area = (size_t)(to * to);
    float *x = calloc(rows * area, sizeof *x);
    if (!x) return dlf_fail(DLF_ERR_OOM, "architectures: out of memory");
    for (size_t r = 0; r < rows; r++)
        for (int i = 0; i < times * side; i++)
            for (int j = 0; j < times * side; j++)
                x[r * area + (size_t)((i + margin) * to + j + margin)] =
                    d->x[r * (size_t)d->features + (size_t)(i / times * side + j / times)];
    free(d->x);
    d->x = x;
    d->height = d->width = to;
    d->features = (int)area;
    return DLF_OK;
}

/* data = auto: Fashion-MNIST if it can be found; what is found must load. */
static dlf_status load(dlf_run *run, dlf_dataset *out)
{
    const char *wish = dlf_run_choice(run, "data"), *dir = dlf_run_data_dir(run);
    char *place = NULL;
    const bool named = strcmp(wish, "fashion-mnist") == 0;
    const bool found =
        strcmp(wish, "digits") != 0 && dlf_dataset_find(&place, "fashion-mnist", dir) == DLF_OK;
    free(place);
    if (found || named) {
        const dlf_dataset_request some = {
            .data = dir, .train = dlf_run_int(run, "rows"), .test = dlf_run_int(run, "rows") / 8};
        return dlf_dataset_load(out, "fashion-mnist", &some);
    }
    DLF_TRY(dlf_digits_load(out));
    out->test = dlf_architectures_test_rows(run, out->test);
    return enlarge(out, dlf_run_int(run, "side"));
}

/* ---- report --------------------------------------------------------------------------------- */

static dlf_status tables(dlf_run *run, const net_outcome *t)
{
    const int seeds = dlf_run_seeds(run);
    dlf_table *curves, *costs;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "curves",
        (dlf_text){"测试正确率与训练步数", "test accuracy by training steps"},
        (const dlf_column[]){
            {"arm", NULL}, {"step", "step"}, {"accuracy", "1"}, {"lo", "1"}, {"hi", "1"}, {NULL}},
        &curves));
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "trained_costs",
        (dlf_text){"参数量、乘加次数、时间、内存", "parameters, multiply-adds, time, memory"},
        (const dlf_column[]){{"arm", NULL},
                             {"parameters", "1"},
                             {"macs", "1"},
                             {"kilobytes", "kB"},
                             {"image_us", "us"},
                             {"us_lo", "us"},
                             {"us_hi", "us"},
                             {NULL}},
        &costs));
    for (int i = 0; i < ARMS; i++) {
        for (int k = 0; k < LOOKS; k++) {
            const dlf_estimate e = dlf_estimate_of(t[i].test + k * seeds, seeds, 1);
            DLF_TRY(dlf_table_row(curves, DLF_TXT(arms[i].id), DLF_NUM(t[i].step[k]),
                                  DLF_NUM(e.mean), DLF_NUM(e.lo), DLF_NUM(e.hi)));
        }
        const dlf_estimate us = dlf_estimate_of(t[i].image_us, LOOKS, 1);
        DLF_TRY(dlf_table_row(costs, DLF_TXT(arms[i].id), DLF_NUM(t[i].sum.parameters),
                              DLF_NUM(t[i].sum.macs), DLF_NUM((double)t[i].bytes / 1e3),
                              DLF_NUM(us.mean), DLF_NUM(us.lo), DLF_NUM(us.hi)));
    }
    return DLF_OK;
}

static dlf_status figure(dlf_run *run, const dlf_dataset *data)
{
    char zh[200], en[200];
    const bool fashion = strcmp(data->name, "fashion-mnist") == 0;
    snprintf(zh, sizeof zh, "%s，%d×%d，批大小 %d，Adam；误差带为种子间 95%% 区间",
             fashion ? "Fashion-MNIST" : "手写数字（放大）", data->height, data->width,
             dlf_run_int(run, "batch"));
    snprintf(en, sizeof en, "%s, %d×%d, batches of %d, Adam; bands: 95 %% over seeds",
             fashion ? "Fashion-MNIST" : "digits, enlarged", data->height, data->width,
             dlf_run_int(run, "batch"));
    dlf_figure f = {.id = "trained",
                    .kind = DLF_LINES,
                    .title = {"乘加次数相同，参数只有十分之一：小残差网络与 LeNet-5",
                              "As many multiply-adds, a tenth of the parameters: a small ResNet "
                              "against LeNet-5"},
                    .subtitle = {zh, en},
                    .x = {{"训练步数", "training steps"}, false},
                    .y = {{"测试集正确率", "test accuracy"}, false}};
    for (int i = 0; i < ARMS; i++)
        f.series[i] = dlf_arm_series(arms[i].role, "curves", "arm", arms[i].id, "step", "accuracy",
                                     arms[i].label, i);
    return dlf_result_figure(dlf_run_result(run), &f);
}

static dlf_status against(dlf_run *run, const char *id, dlf_text claim, const net_outcome *a,
                          const net_outcome *b, const char *source)
{
    const int seeds = dlf_run_seeds(run), last = (LOOKS - 1) * seeds;
    double *gap = malloc((size_t)seeds * sizeof *gap);
    if (!gap) return dlf_fail(DLF_ERR_OOM, "architectures: out of memory");
    for (int s = 0; s < seeds; s++) gap[s] = a->test[last + s] - b->test[last + s];
    const dlf_estimate e = dlf_estimate_of(gap, seeds, 1);
    free(gap);
    dlf_check c = dlf_check_of(id, claim, e);
    c.relation = DLF_AT_LEAST;
    c.has_verdict = true;
    c.verdict = dlf_verdict_above(e, 0.0);
    c.source = source;
    return dlf_result_check(dlf_run_result(run), c);
}

static dlf_status checks(dlf_run *run, const net_outcome *t)
{
    dlf_check c =
        dlf_check_exact("lenet5_trained",
                        (dlf_text){"所训练的 LeNet-5 就是计数的那一个（参数量）",
                                   "the LeNet-5 that is trained is the one that is counted "
                                   "(parameters)"},
                        (double)t[0].parameters);
    c.expected = (double)net_find("lenet5_dense")->parameters;
    c.source = "net_infos; padding in place of a larger image changes no weight";
    DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    DLF_TRY(against(run, "convolution_wins",
                    (dlf_text){"LeNet-5 优于线性分类器（测试正确率之差）",
                               "LeNet-5 beats the linear classifier (difference in test accuracy)"},
                    &t[0], &t[2], "LeCun et al. 1998: the direction"));
    return against(
        run, "residual_wins",
        (dlf_text){"乘加次数相同时，小残差网络优于 LeNet-5（测试正确率之差）",
                   "at equal multiply-adds the small ResNet beats LeNet-5 (difference in "
                   "test accuracy)"},
        &t[1], &t[0],
        "no theory: batch norm and 3x3 against 5x5 and dense layers, He et al. 2016 in "
        "direction");
}

/* ---- all of it ------------------------------------------------------------------------------ */

static dlf_status train_arm(dlf_run *run, const arm *a, const dlf_dataset *data, net_outcome *out,
                            double from, double to)
{
    const net_job job = {.what = a->id,
                         .build = a->build,
                         .how = &data->classes,
                         .data = data,
                         .batch = dlf_run_int(run, "batch"),
                         .steps = dlf_run_int(run, "digits_steps"),
                         .looks = LOOKS,
                         .lr = a->lr,
                         .seed = dlf_run_seed(run) + 29};
    return net_train(run, &job, out, from, to);
}

dlf_status dlf_architectures_trained(dlf_run *run, double from, double to)
{
    static const double until[ARMS] = {0.48, 0.98, 1.0}; /* of the time, by multiply-adds */
    const size_t seeds = (size_t)dlf_run_seeds(run);
    dlf_dataset data = {0};
    net_outcome t[ARMS] = {0};
    dlf_status status;
    double *memory = malloc(ARMS * LOOKS * seeds * sizeof *memory);
    if (!memory) return dlf_fail(DLF_ERR_OOM, "architectures: out of memory");
    for (size_t i = 0; i < ARMS; i++) t[i].test = memory + i * LOOKS * seeds;
    DLF_TRY_DONE(load(run, &data));
    DLF_TRY_DONE(dlf_result_parameter_text(dlf_run_result(run), "trained_on", data.name));
    for (int i = 0; i < ARMS; i++)
        DLF_TRY_DONE(train_arm(run, &arms[i], &data, &t[i],
                               from + (to - from) * (i ? until[i - 1] : 0.0),
                               from + (to - from) * until[i]));
    DLF_TRY_DONE(tables(run, t));
    DLF_TRY_DONE(checks(run, t));
    DLF_TRY_DONE(figure(run, &data));
done:
    dlf_dataset_free(&data);
    free(memory);
    return status;
}
