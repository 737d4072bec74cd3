/* SPDX-License-Identifier: MIT
 * activations_trained.c -- Q4, hidden layers on real data: deep digits networks of every
 * activation, started at its own gain and at sigma_w^2 = 1. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "activations.h"
#include "figures.h"
#include "observed_nets.h"

enum { BATCH = 64, RATES = 3, STARTS = 2 };
static const double rates[RATES] = {0.05, 0.2, 0.8};

/* Test errors of the best rate (least training error) for both starts. */
typedef struct outcome {
    dlf_estimate test[STARTS], train[STARTS];
} outcome;

static dlf_status train(dlf_run *run, const dlf_dataset *digits, dlf_activation_kind kind, int S,
                        outcome *best, double from, double to)
{
    dlf_observed_net net[STARTS * RATES];
    dlf_status status;
    for (int i = 0; i < STARTS * RATES; i++)
        net[i] = (dlf_observed_net){i < RATES ? dlf_activation_gain2(kind) : 1.0, rates[i % RATES]};
    const dlf_observed_job job = {.what = dlf_activation_name(kind),
                                  .kind = kind,
                                  .depth = dlf_run_int(run, "digits_depth"),
                                  .width = dlf_run_int(run, "digits_width"),
                                  .batch = BATCH,
                                  .steps = dlf_run_int(run, "steps"),
                                  .net = net,
                                  .nets = STARTS * RATES,
                                  .seeds = S};
    dlf_observed_outcome *out = malloc((size_t)(job.nets * S) * sizeof *out);
    if (!out) return dlf_fail(DLF_ERR_OOM, "activations: out of memory");
    DLF_TRY_DONE(dlf_observed_run(run, digits, &job, out, NULL, from, to));
    const int stride = (int)(sizeof *out / sizeof(double));
    for (int i = 0; i < job.nets; i++) {
        const dlf_observed_outcome *o = out + i * S;
        const dlf_estimate e = dlf_estimate_of(&o->train_error, S, stride);
        if (i % RATES && !(e.mean < best->train[i / RATES].mean)) continue;
        best->train[i / RATES] = e;
        best->test[i / RATES] = dlf_estimate_of(&o->test_error, S, stride);
    }
done:
    free(out);
    return status;
}

static dlf_status figure(dlf_run *run)
{
    static const struct {
        const char *id;
        dlf_text label;
        dlf_role role;
    } starts[STARTS] = {{"gain", {"σw² = 1/E φ²（增益）", "σw² = 1/E φ² (gain)"}, DLF_MEASURED},
                        {"one", {"对照：σw² = 1", "control: σw² = 1"}, DLF_CONTROL}};
    dlf_figure f = {
        .id = "trained",
        .kind = DLF_BARS,
        .title = {"给每个激活函数它的增益，深层网络的差别就小得多",
                  "With its own gain almost every activation trains a deep network"},
        .subtitle =
            {"深层网络，手写数字，训练误差，学习率取三个中最好的",
             "deep networks on the digits, training error, the best of three learning rates"},
        .x = {{"激活函数", "activation"}, false},
        .y = {{"训练误差", "training error"}, false}};
    for (int i = 0; i < STARTS; i++)
        f.series[i] = dlf_arm_series(starts[i].role, "trained", "start", starts[i].id, "activation",
                                     "error", starts[i].label, i);
    return dlf_result_figure(dlf_run_result(run), &f);
}

static dlf_status checks(dlf_run *run, const outcome *best, int S)
{
    int gain = 0, one = 0, zero_mean = 0;
    for (int k = 0; k < DLF_ACTIVATION_COUNT; k++) {
        if (k == DLF_LINEAR) continue;
        gain += best[k].train[0].mean <= 0.1;
        one += best[k].train[1].mean <= 0.1;
        zero_mean += k != DLF_SIGMOID && k != DLF_SOFTPLUS;
    }
    DLF_TRY(dlf_result_fact(dlf_run_result(run), "train_at_gain", gain, "1"));
    DLF_TRY(dlf_result_fact(dlf_run_result(run), "train_at_one", one, "1"));
    DLF_TRY(dlf_result_fact(dlf_run_result(run), "compared", DLF_ACTIVATION_COUNT - 1, "1"));
    DLF_TRY(dlf_result_check(
        dlf_run_result(run),
        (dlf_check){
            .id = "gain_trains",
            .claim = {"用各自的增益初始化，除 sigmoid 与 softplus 外的激活函数都能训练深层网络",
                      "started at its gain every activation but sigmoid and softplus trains "
                      "a deep network"},
            .measured = gain,
            .lo = NAN,
            .hi = NAN,
            .n = S,
            .expected = zero_mean,
            .relation = DLF_AT_LEAST,
            .source = "factor per layer between 0.5 and 1.3 (table gains); Schoenholz et "
                      "al. 2017; bound of 0.1 on the training error chosen before the run",
            .note = "how many reach a mean training error of at most 0.1"}));
    const dlf_estimate s = best[DLF_SIGMOID].train[0];
    return dlf_result_check(
        dlf_run_result(run),
        (dlf_check){.id = "sigmoid_gain_fails",
                    .claim = {"sigmoid 用保住长度的增益仍训练不动深层网络",
                              "sigmoid at the gain that keeps its length still does not train a "
                              "deep network"},
                    .measured = s.mean,
                    .lo = s.lo,
                    .hi = s.hi,
                    .n = s.n,
                    .expected = 0.5,
                    .relation = DLF_AT_LEAST,
                    .source = "its factor per layer, E f'^2 / E f^2, is far below 1: the length is "
                              "spent on the mean"});
}

dlf_status dlf_activations_trained(dlf_run *run, double from, double to)
{
    const int S = dlf_run_full(run) || dlf_run_seeds(run) < 3 ? dlf_run_seeds(run) : 3;
    dlf_status status;
    dlf_dataset digits = {0};
    dlf_table *table;
    outcome best[DLF_ACTIVATION_COUNT];
    DLF_TRY(dlf_digits_load(&digits));
    DLF_TRY_DONE(dlf_result_table(
        dlf_run_result(run), "trained",
        (dlf_text){"训练后的误差，最佳学习率", "errors after training, best learning rate"},
        (const dlf_column[]){{"activation", NULL},
                             {"start", NULL},
                             {"error", "1"},
                             {"lo", "1"},
                             {"hi", "1"},
                             {"test_error", "1"},
                             {NULL, NULL}},
        &table));
    for (int k = 0; k < DLF_ACTIVATION_COUNT; k++) {
        const double part = (to - from) / DLF_ACTIVATION_COUNT;
        DLF_TRY_DONE(train(run, &digits, (dlf_activation_kind)k, S, &best[k], from + part * k,
                           from + part * (k + 1)));
        for (int i = 0; i < STARTS; i++) {
            const dlf_estimate *e = &best[k].train[i];
            DLF_TRY_DONE(dlf_table_row(table, DLF_TXT(dlf_activation_name((dlf_activation_kind)k)),
                                       DLF_TXT(i == 0 ? "gain" : "one"), DLF_NUM(e->mean),
                                       DLF_NUM(fmax(0.0, e->lo)), DLF_NUM(fmin(1.0, e->hi)),
                                       DLF_NUM(best[k].test[i].mean)));
        }
    }
    DLF_TRY_DONE(checks(run, best, S));
    DLF_TRY_DONE(figure(run));
done:
    dlf_dataset_free(&digits);
    return status;
}
