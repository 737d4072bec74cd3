/* SPDX-License-Identifier: MIT
 * skip_connections_digits.c -- Q40: does it matter for training? The same blocks with and without
 * the skip on the digits, every arm at its best learning rate. Controls: shallow stacks, where the
 * skip must not matter, and a residual stack whose branch is not scaled down, where it must not
 * help. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dlf/train.h"
#include "figures.h"
#include "skip_connections.h"

enum { RATES = 3, DEPTHS = 3, ARMS = 3 };
static const double rates[RATES] = {0.003, 0.01, 0.03};

typedef struct digits_arm {
    const char *id;
    dlf_text label;
    bool skip, scaled, control; /* scaled: sigma_w^2 = 2/L, else 2 */
} digits_arm;

static const digits_arm arms[ARMS] = {
    {"plain", {"普通 ReLU，σw²=2", "plain ReLU, σw²=2"}, false, false, false},
    {"residual", {"残差，σw²=2/L", "residual, σw²=2/L"}, true, true, false},
    {"unscaled", {"对照：残差，σw²=2", "control: residual, σw²=2"}, true, false, true}};

/* ---- the network ------------------------------------------------------------------------------
 */

static dlf_status build(dlf_graph *g, const dlf_skip_classifier *s)
{
    const dlf_activation linear = dlf_activation_of(DLF_LINEAR), relu = dlf_activation_of(DLF_RELU);
    const dlf_node x = dlf_input(g, "x", 3, (int64_t[]){s->members, s->batch, s->inputs});
    const dlf_node label = dlf_input_int(g, "label", 2, (int64_t[]){s->members, s->batch});
    dlf_node h = dlf_dense(g, "stem", x, s->width, linear, dlf_lecun());
    for (int l = 1; l <= s->depth; l++) {
        char name[24];
        snprintf(name, sizeof name, "block%d", l);
        const dlf_node f = dlf_dense(g, name, dlf_activate(g, NULL, h, relu), s->width, linear,
                                     dlf_init_normal(s->gain2));
        h = s->skip ? dlf_add(g, NULL, h, f) : f;
    }
    h = dlf_dense(g, "logits", dlf_activate(g, NULL, h, relu), s->classes, linear, dlf_lecun());
    dlf_graph_minimise(g, dlf_cross_entropy(g, "loss", h, label), 1.0 / s->batch);
    return dlf_graph_compile(g);
}

dlf_status dlf_skip_classifier_new(dlf_graph **out, dlf_device *device,
                                   const dlf_skip_classifier *spec)
{
    DLF_TRY(dlf_graph_new(out, device, spec->members));
    const dlf_status status = build(*out, spec);
    if (status == DLF_OK) return DLF_OK;
    dlf_graph_free(*out);
    *out = NULL;
    return status;
}

/* ---- training ---------------------------------------------------------------------------------
 */

/* What came of one arm at one depth: per seed, at the rate with the smallest mean training loss. */
typedef struct trained {
    double rate;
    double *test, *train; /* accuracies, (seeds) */
    double diverged;      /* share of runs of all rates whose loss became NaN or Inf */
} trained;

static int best_rate(const double *loss, int seeds)
{
    int best = 0;
    double least = INFINITY;
    for (int r = 0; r < RATES; r++) {
        double sum = 0.0;
        for (int s = 0; s < seeds; s++)
            sum += isfinite(loss[r * seeds + s]) ? loss[r * seeds + s] : 1e30;
        if (sum < least) {
            least = sum;
            best = r;
        }
    }
    return best;
}

static dlf_status steps(dlf_run *run, dlf_train *t, const char *id, int depth, double from,
                        double to)
{
    const int n = dlf_run_int(run, "steps");
    for (int i = 0; i < n; i++) {
        if (i % 10 == 0)
            DLF_TRY(
                dlf_run_stage(run, from + (to - from) * i / n, "digits: %s, %d blocks", id, depth));
        DLF_TRY(dlf_train_step(t));
    }
    return DLF_OK;
}

/* All rates and seeds together; value: loss, train and test accuracy of every member. */
static dlf_status train(dlf_run *run, const dlf_dataset *data, const digits_arm *arm, int depth,
                        int seeds, trained *out, double from, double to)
{
    const int P = RATES * seeds;
    dlf_graph *g = NULL;
    dlf_train *t = NULL;
    dlf_status status;
    double *value = malloc((size_t)(3 * P) * sizeof *value), *lr = malloc((size_t)P * sizeof *lr);
    int32_t *draw = malloc((size_t)P * sizeof *draw), *bad = malloc((size_t)P * sizeof *bad);
    if (!value || !lr || !draw || !bad) {
        status = dlf_fail(DLF_ERR_OOM, "skip connections: out of memory");
        goto done;
    }
    for (int p = 0; p < P; p++) {
        draw[p] = p % seeds; /* the same starts and batches at every rate and in every arm */
        lr[p] = rates[p / seeds];
    }
    const dlf_skip_classifier spec = {.members = P,
                                      .batch = 32,
                                      .inputs = data->features,
                                      .width = dlf_run_int(run, "digits_width"),
                                      .depth = depth,
                                      .classes = data->classes,
                                      .skip = arm->skip,
                                      .gain2 = arm->scaled ? 2.0 / depth : 2.0};
    DLF_TRY_DONE(dlf_skip_classifier_new(&g, dlf_run_device(run), &spec));
    DLF_TRY_DONE(dlf_graph_initialise(g, dlf_run_seed(run) + 4, draw));
    DLF_TRY_DONE(dlf_train_new(&t, g, data,
                               &(dlf_train_spec){.seed = dlf_run_seed(run) + 4,
                                                 .draw = draw,
                                                 .lr = lr,
                                                 .optimiser = dlf_sgd(0.9, 0.0)}));
    DLF_TRY_DONE(steps(run, t, arm->id, depth, from, to));
    DLF_TRY_DONE(dlf_train_evaluate(t, 0, data->train, value, value + P));
    DLF_TRY_DONE(dlf_train_evaluate(t, data->train, data->test, NULL, value + 2 * P));
    DLF_TRY_DONE(dlf_train_diverged(t, bad));
    const int best = best_rate(value, seeds);
    out->rate = rates[best];
    out->diverged = 0.0;
    for (int p = 0; p < P; p++) out->diverged += (double)(bad[p] >= 0) / P;
    for (int s = 0; s < seeds; s++) {
        out->train[s] = value[P + best * seeds + s];
        out->test[s] = value[2 * P + best * seeds + s];
    }
done:
    dlf_train_free(t);
    dlf_graph_free(g);
    free(bad);
    free(draw);
    free(lr);
    free(value);
    return status;
}

/* ---- report -----------------------------------------------------------------------------------
 */

static dlf_status digits_figure(dlf_run *run)
{
    dlf_figure figure = {
        .id = "digits",
        .kind = DLF_LINES,
        .title = {"浅时跳转无所谓；深时只有缩小了分支的残差网络还能训练",
                  "Shallow, the skip does not matter; deep, only the residual stack with a scaled "
                  "branch still trains"},
        .subtitle = {"手写数字，SGD 动量 0.9，每组取最佳学习率；误差棒为种子间 95% 区间",
                     "digits, SGD with momentum 0.9, best learning rate of each; bars: 95 % over "
                     "seeds"},
        .x = {{"块数 L", "blocks L"}, true},
        .y = {{"测试集正确率", "test accuracy"}, false}};
    for (int i = 0; i < ARMS; i++)
        figure.series[i] = dlf_arm_series(arms[i].control ? DLF_CONTROL : DLF_MEASURED, "digits",
                                          "arm", arms[i].id, "depth", "accuracy", arms[i].label, i);
    figure.series[ARMS] = (dlf_series){.role = DLF_REFERENCE,
                                       .table = "digits",
                                       .where = "arm",
                                       .equals = "plain",
                                       .x = "depth",
                                       .y = "chance",
                                       .label = {"随机水平", "chance"}};
    return dlf_result_figure(dlf_run_result(run), &figure);
}

/* Residual minus plain, seed by seed. */
static dlf_status gap_check(dlf_run *run, const trained *t, int seeds, int depth, bool deep)
{
    double *gap = malloc((size_t)seeds * sizeof *gap);
    if (!gap) return dlf_fail(DLF_ERR_OOM, "skip connections: out of memory");
    for (int s = 0; s < seeds; s++) gap[s] = t[1].test[s] - t[0].test[s];
    const dlf_estimate e = dlf_estimate_of(gap, seeds, 1);
    free(gap);
    char zh[200], en[200];
    snprintf(zh, sizeof zh,
             deep ? "%d 块时，残差网络的测试正确率明显高于普通网络"
                  : "对照，%d 块时：有无跳转没有差别",
             depth);
    snprintf(en, sizeof en,
             deep ? "with %d blocks the residual network is clearly better on the test set"
                  : "control, %d blocks: the skip makes no difference",
             depth);
    return dlf_result_check(
        dlf_run_result(run),
        (dlf_check){.id = deep ? "digits_gap" : "digits_shallow",
                    .claim = {zh, en},
                    .measured = e.mean,
                    .lo = e.lo,
                    .hi = e.hi,
                    .n = e.n,
                    .expected = deep ? 0.05 : 0.0,
                    .tolerance = deep ? 0.0 : 0.03,
                    .relation = deep ? DLF_AT_LEAST : DLF_EQUAL,
                    .source = deep ? "He et al. 2016 in direction; 5 points are 3.5 times the "
                                     "binomial s.e. of two nets on 500 images"
                                   : "no theory asks for a difference; 3 points are 3 binomial "
                                     "s.e. of two nets on 500 images"});
}

static dlf_status trains_check(dlf_run *run, const trained *t, int seeds, int depth)
{
    const dlf_estimate e = dlf_estimate_of(t[1].test, seeds, 1);
    char zh[200], en[200];
    snprintf(zh, sizeof zh, "%d 块的残差网络（σw²=2/L）能训练", depth);
    snprintf(en, sizeof en, "the residual network of %d blocks (σw²=2/L) trains", depth);
    return dlf_result_check(
        dlf_run_result(run),
        (dlf_check){.id = "digits_trains",
                    .claim = {zh, en},
                    .measured = e.mean,
                    .lo = e.lo,
                    .hi = e.hi,
                    .n = e.n,
                    .expected = 0.95,
                    .tolerance = 0.02,
                    .relation = DLF_AT_LEAST,
                    .source = "a shallow network reaches 0.96 on this split; 2 points are 2 "
                              "binomial s.e. on 500 images"});
}

static dlf_status unscaled_check(dlf_run *run, const trained *t, int seeds, int depth)
{
    double *gap = malloc((size_t)seeds * sizeof *gap);
    if (!gap) return dlf_fail(DLF_ERR_OOM, "skip connections: out of memory");
    for (int s = 0; s < seeds; s++) gap[s] = t[1].test[s] - t[2].test[s];
    const dlf_estimate e = dlf_estimate_of(gap, seeds, 1);
    free(gap);
    char zh[200], en[200];
    snprintf(zh, sizeof zh, "%d 块时只加跳转、不缩小分支（σw²=2），不如缩小分支", depth);
    snprintf(en, sizeof en,
             "with %d blocks a skip whose branch is not scaled down (σw²=2) is worse than one "
             "that is",
             depth);
    return dlf_result_check(
        dlf_run_result(run),
        (dlf_check){.id = "digits_scale_matters",
                    .claim = {zh, en},
                    .measured = e.mean,
                    .lo = e.lo,
                    .hi = e.hi,
                    .n = e.n,
                    .expected = 0.05,
                    .relation = DLF_AT_LEAST,
                    .source = "energy 2^L against e, see energy_residual and energy_scaled; De & "
                              "Smith 2020; 5 points: as digits_gap"});
}

static dlf_status all_depths(dlf_run *run, const dlf_dataset *data, trained *t, int seeds,
                             double from, double to)
{
    const int deep = dlf_run_int(run, "digits_depth");
    const int depth[DEPTHS] = {2, deep >= 8 ? deep / 4 : 1, deep};
    dlf_table *table;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "digits",
        (dlf_text){"手写数字上训练后的正确率", "accuracy on the digits after training"},
        (const dlf_column[]){{"arm", NULL},
                             {"depth", "blocks"},
                             {"accuracy", "1"},
                             {"lo", "1"},
                             {"hi", "1"},
                             {"train_accuracy", "1"},
                             {"rate", "1"},
                             {"diverged", "1"},
                             {"chance", "1"},
                             {NULL, NULL}},
        &table));
    double done = 0.0, total = ARMS * (depth[0] + depth[1] + depth[2]);
    for (int d = 0; d < DEPTHS; d++) {
        for (int a = 0; a < ARMS; a++) {
            const double next = done + depth[d] / total;
            DLF_TRY(train(run, data, &arms[a], depth[d], seeds, &t[a], from + (to - from) * done,
                          from + (to - from) * next));
            done = next;
            const dlf_estimate e = dlf_estimate_of(t[a].test, seeds, 1);
            DLF_TRY(dlf_table_row(
                table, DLF_TXT(arms[a].id), DLF_NUM(depth[d]), DLF_NUM(e.mean), DLF_NUM(e.lo),
                DLF_NUM(e.hi), DLF_NUM(dlf_estimate_of(t[a].train, seeds, 1).mean),
                DLF_NUM(t[a].rate), DLF_NUM(t[a].diverged), DLF_NUM(1.0 / data->classes)));
        }
        if (d == 0) DLF_TRY(gap_check(run, t, seeds, depth[d], false));
    }
    DLF_TRY(gap_check(run, t, seeds, deep, true));
    DLF_TRY(trains_check(run, t, seeds, deep));
    DLF_TRY(unscaled_check(run, t, seeds, deep));
    return digits_figure(run);
}

dlf_status dlf_skip_digits(dlf_run *run, double from, double to)
{
    const int seeds = dlf_run_full(run) || dlf_run_seeds(run) < 3 ? dlf_run_seeds(run) : 3;
    trained t[ARMS];
    dlf_dataset data = {0};
    dlf_status status;
    double *values = malloc((size_t)(2 * ARMS * seeds) * sizeof *values);
    if (!values) return dlf_fail(DLF_ERR_OOM, "skip connections: out of memory");
    for (int a = 0; a < ARMS; a++)
        t[a] = (trained){.test = values + 2 * a * seeds, .train = values + (2 * a + 1) * seeds};
    DLF_TRY_DONE(dlf_digits_load(&data));
    DLF_TRY_DONE(all_depths(run, &data, t, seeds, from, to));
done:
    dlf_dataset_free(&data);
    free(values);
    return status;
}
