/* SPDX-License-Identifier: MIT
 * vanishing_digits.c -- Q7 on real data: the symptoms by depth, which initialisations still train,
 * and the audit of the document's own criteria. */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit.h"
#include "digits_nets.h"
#include "dlf/theory.h"
#include "figures.h"
#include "vanishing.h"

enum { BATCH = 64 };
#define FIELD(name) offsetof(dlf_digits_outcome, name)

/* A job of one net with plain settings; the callers change what they need. */
static dlf_digits_job job_of(dlf_run *run, const char *what, dlf_activation_kind kind,
                             const dlf_digits_net *net, int nets)
{
    return (dlf_digits_job){.what = what,
                            .kind = kind,
                            .depth = dlf_run_int(run, "digits_depth"),
                            .width = dlf_run_int(run, "digits_width"),
                            .batch = BATCH,
                            .steps = dlf_run_int(run, "steps"),
                            .momentum = 0.9,
                            .loss_scale = 1.0,
                            .net = net,
                            .nets = nets};
}

/* ---- symptoms by depth: sigmoid at Xavier scale --------------------------------------------- */

static dlf_status add_depth_row(dlf_table *table, int depth, const dlf_digits_outcome *o, int seeds)
{
    const dlf_estimate accuracy = dlf_digits_estimate(o, seeds, FIELD(accuracy));
    const dlf_estimate loss = dlf_digits_estimate(o, seeds, FIELD(loss_end));
    const dlf_estimate growth = dlf_digits_estimate(o, seeds, FIELD(growth));
    const dlf_estimate first = dlf_digits_estimate(o, seeds, FIELD(move[1]));
    const dlf_estimate last =
        dlf_digits_estimate(o, seeds, FIELD(move) + (size_t)depth * sizeof(double));
    const dlf_estimate ratio = dlf_digits_estimate(o, seeds, FIELD(norm_ratio[1]));
    return dlf_table_row(table, DLF_NUM(depth), DLF_NUM(accuracy.mean), DLF_NUM(accuracy.lo),
                         DLF_NUM(accuracy.hi), DLF_NUM(loss.mean), DLF_NUM(growth.mean),
                         DLF_NUM(first.mean), DLF_NUM(last.mean), DLF_NUM(ratio.mean));
}

static dlf_status layer_table(dlf_run *run, const dlf_digits_outcome *o, int depth)
{
    const int seeds = dlf_run_seeds(run);
    dlf_table *table;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "frozen",
        (dlf_text){"训练后各层权重：范数之比与相对位移",
                   "weights of each layer after training: norm ratio and relative move"},
        (const dlf_column[]){{"layer", "layer"},
                             {"norm_ratio", "1"},
                             {"ratio_lo", "1"},
                             {"ratio_hi", "1"},
                             {"move", "1"},
                             {"move_lo", "1"},
                             {"move_hi", "1"},
                             {NULL, NULL}},
        &table));
    for (int l = 1; l <= depth; l++) {
        const size_t at = (size_t)l * sizeof(double);
        const dlf_estimate ratio = dlf_digits_estimate(o, seeds, FIELD(norm_ratio) + at);
        const dlf_estimate move = dlf_digits_estimate(o, seeds, FIELD(move) + at);
        DLF_TRY(dlf_table_row(table, DLF_NUM(l), DLF_NUM(ratio.mean), DLF_NUM(ratio.lo),
                              DLF_NUM(ratio.hi), DLF_NUM(move.mean),
                              DLF_NUM(fmax(move.lo, move.mean * 1e-2)), DLF_NUM(move.hi)));
    }
    return DLF_OK;
}

static dlf_status layer_figure(dlf_run *run)
{
    const dlf_figure figure = {
        .id = "frozen_not_small",
        .kind = DLF_LINES,
        .title = {"梯度消失的症状是前层权重冻结，而不是变小或变为零",
                  "Vanishing gradients freeze the first layers; they do not shrink or zero the "
                  "weights"},
        .subtitle = {"sigmoid 深层网络在手写数字上训练后",
                     "deep sigmoid network after training on the digits"},
        .x = {{"层（1 最靠近输入）", "layer (1 is next to the input)"}, false},
        .y = {{"相对值", "relative value"}, true},
        .series = {{.role = DLF_CONTROL,
                    .table = "frozen",
                    .x = "layer",
                    .y = "norm_ratio",
                    .lo = "ratio_lo",
                    .hi = "ratio_hi",
                    .label = {"‖W‖/‖W₀‖（文档称会变小）", "‖W‖/‖W₀‖ (said to shrink)"}},
                   {.role = DLF_MEASURED,
                    .table = "frozen",
                    .x = "layer",
                    .y = "move",
                    .lo = "move_lo",
                    .hi = "move_hi",
                    .colour = 1,
                    .label = {"‖W−W₀‖/‖W₀‖ 相对位移", "‖W−W₀‖/‖W₀‖ relative move"}}}};
    return dlf_result_figure(dlf_run_result(run), &figure);
}

static dlf_status depth_checks(dlf_run *run, const dlf_digits_outcome *o, int depth)
{
    const int seeds = dlf_run_seeds(run);
    const dlf_estimate growth = dlf_digits_estimate(o, seeds, FIELD(growth));
    const dlf_meanfield theory =
        dlf_meanfield_solve(dlf_activation_of(DLF_SIGMOID), 1.0, 0.0, false);
    char zh[160], en[200];
    snprintf(zh, sizeof zh, "真实数据、有限宽度：%d 层 sigmoid 网络训练前每层因子仍为 χ₁", depth);
    snprintf(en, sizeof en,
             "on real data too, a sigmoid network of %d layers has the factor χ₁ per layer before "
             "training",
             depth);
    return dlf_result_check(
        dlf_run_result(run),
        (dlf_check){.id = "digits_factor",
                    .claim = {zh, en},
                    .measured = growth.mean,
                    .lo = growth.lo,
                    .hi = growth.hi,
                    .n = seeds,
                    .expected = theory.chi_1,
                    .tolerance = 0.1,
                    .relative = true,
                    .relation = DLF_EQUAL,
                    .source =
                        "mean field, as chi_sigmoid_1; 10 % because the width is small and the "
                        "inputs are not Gaussian"});
}

static dlf_status accuracy_check(dlf_run *run, const dlf_digits_outcome *o, int depth)
{
    const dlf_estimate e = dlf_digits_estimate(o, dlf_run_seeds(run), FIELD(accuracy));
    char zh[160], en[160];
    snprintf(zh, sizeof zh, "%d 层 sigmoid 网络训练后停留在随机水平", depth);
    snprintf(en, sizeof en, "a sigmoid network of %d layers stays at chance after training", depth);
    return dlf_result_check(
        dlf_run_result(run),
        (dlf_check){.id = "digits_stuck",
                    .claim = {zh, en},
                    .measured = e.mean,
                    .lo = e.lo,
                    .hi = e.hi,
                    .n = e.n,
                    .expected = 0.1,
                    .tolerance = 0.1,
                    .relation = DLF_AT_MOST,
                    .source = "chance among 10 classes; the bound is twice it"});
}

/* sigmoid networks of growing depth; the outcomes of the audit's depth stay in `sick`. */
static dlf_status symptoms_by_depth(dlf_run *run, const dlf_dataset *data, dlf_digits_outcome *sick,
                                    double from, double to)
{
    const int audited = dlf_run_int(run, "digits_depth"), seeds = dlf_run_seeds(run);
    const int depths[] = {1, 2, 4, audited, 16};
    enum { N = sizeof depths / sizeof depths[0] };
    const dlf_digits_net net = {.sigma_w2 = 1.0, .lr = 0.05, .max_norm = INFINITY};
    dlf_status status = DLF_OK;
    dlf_table *table;
    dlf_digits_outcome *o = malloc((size_t)seeds * sizeof *o);
    if (!o) return dlf_fail(DLF_ERR_OOM, "symptoms: out of memory");
    DLF_TRY_DONE(dlf_result_table(
        dlf_run_result(run), "depth",
        (dlf_text){"sigmoid 网络的症状与深度", "symptoms of sigmoid networks by depth"},
        (const dlf_column[]){{"depth", "layers"},
                             {"accuracy", "1"},
                             {"accuracy_lo", "1"},
                             {"accuracy_hi", "1"},
                             {"loss_end", "nat"},
                             {"factor", "1"},
                             {"move_first", "1"},
                             {"move_last", "1"},
                             {"norm_ratio_first", "1"},
                             {NULL, NULL}},
        &table));
    for (int i = 0; i < N; i++) {
        dlf_digits_outcome *into = depths[i] == audited ? sick : o;
        dlf_digits_job job = job_of(run, "sigmoid by depth", DLF_SIGMOID, &net, 1);
        job.depth = depths[i];
        const double size = (to - from) / N;
        DLF_TRY_DONE(
            dlf_digits_run(run, data, &job, into, NULL, from + size * i, from + size * (i + 1)));
        DLF_TRY_DONE(add_depth_row(table, depths[i], into, seeds));
    }
    DLF_TRY_DONE(layer_table(run, sick, audited));
    DLF_TRY_DONE(layer_figure(run));
    DLF_TRY_DONE(depth_checks(run, sick, audited));
    DLF_TRY_DONE(accuracy_check(run, sick, audited));
done:
    free(o);
    return status;
}

/* ---- trainability -----------------------------------------------------------------------------
 */

typedef struct phase_line {
    const char *id;
    dlf_text label;
    double sigma_w2; /* < 0: the edge for sigma_b = 0 */
} phase_line;

/* The networks start with zero biases, so the edge of chaos of tanh is sigma_w^2 = 1 exactly. */
static const phase_line phase_lines[] = {
    {"ordered", {"有序 σw²=0.5", "ordered σw²=0.5"}, 0.5},
    {"critical", {"临界 σw²=1", "critical σw²=1"}, 1.0},
    {"chaotic", {"混沌 σw²=4", "chaotic σw²=4"}, 4.0},
};
enum { PHASES = sizeof phase_lines / sizeof phase_lines[0] };

static dlf_status trainability_figure(dlf_run *run)
{
    dlf_figure figure = {
        .id = "trainability",
        .kind = DLF_LINES,
        .title = {"深层网络只有在 χ₁ ≈ 1 附近初始化才能训练",
                  "Deep networks train only when initialised near χ₁ = 1"},
        .subtitle = {"tanh 网络在手写数字上训练后的训练集正确率",
                     "tanh networks on the digits: training accuracy after training"},
        .x = {{"隐藏层数 L", "hidden layers L"}, true},
        .y = {{"训练集正确率", "training accuracy"}, false}};
    for (int i = 0; i < PHASES; i++)
        figure.series[i] =
            dlf_arm_series(i == 1 ? DLF_CONTROL : DLF_MEASURED, "trainability", "phase",
                           phase_lines[i].id, "depth", "accuracy", phase_lines[i].label, i);
    figure.series[PHASES] = (dlf_series){.role = DLF_REFERENCE,
                                         .table = "trainability",
                                         .where = "phase",
                                         .equals = "critical",
                                         .x = "depth",
                                         .y = "chance",
                                         .label = {"随机水平", "chance"}};
    return dlf_result_figure(dlf_run_result(run), &figure);
}

static dlf_status trainability_check(dlf_run *run, const dlf_digits_outcome *o, int depth,
                                     int seeds)
{
    double *gap = malloc((size_t)seeds * sizeof *gap);
    if (!gap) return dlf_fail(DLF_ERR_OOM, "trainability: out of memory");
    for (int s = 0; s < seeds; s++)
        gap[s] = o[seeds + s].train_accuracy -
                 fmax(o[s].train_accuracy, o[2 * seeds + s].train_accuracy);
    const dlf_estimate e = dlf_estimate_of(gap, seeds, 1);
    free(gap);
    char zh[160], en[160];
    snprintf(zh, sizeof zh, "%d 层时，临界初始化比有序与混沌两侧都训练得好", depth);
    snprintf(en, sizeof en, "at depth %d the critical initialisation trains better than both sides",
             depth);
    return dlf_result_check(
        dlf_run_result(run),
        (dlf_check){.id = "trainability",
                    .claim = {zh, en},
                    .measured = e.mean,
                    .lo = e.lo,
                    .hi = e.hi,
                    .n = e.n,
                    .expected = 0.0,
                    .relation = DLF_AT_LEAST,
                    .source = "Schoenholz et al. 2017: trainable depth follows xi_c; ordering only",
                    .note = "accuracy at the edge minus the better of the two sides"});
}

static dlf_status trainability(dlf_run *run, const dlf_dataset *data, double from, double to)
{
    const int depths[] = {4, 8, 16, 32};
    const int seeds = dlf_run_full(run) || dlf_run_seeds(run) < 3 ? dlf_run_seeds(run) : 3;
    enum { N = sizeof depths / sizeof depths[0] };
    dlf_digits_net net[PHASES];
    dlf_status status = DLF_OK;
    dlf_table *table;
    dlf_digits_outcome *o = malloc((size_t)(PHASES * seeds) * sizeof *o);
    if (!o) return dlf_fail(DLF_ERR_OOM, "trainability: out of memory");
    double six_xi[PHASES];
    for (int i = 0; i < PHASES; i++) {
        const dlf_activation f = dlf_activation_of(DLF_TANH);
        net[i] = (dlf_digits_net){phase_lines[i].sigma_w2, 0.005, INFINITY};
        six_xi[i] = 6 * dlf_meanfield_solve(f, net[i].sigma_w2, 0.0, true).xi_c;
    }
    DLF_TRY_DONE(dlf_result_table(dlf_run_result(run), "trainability",
                                  (dlf_text){"训练后的正确率与深度、初始化",
                                             "accuracy after training by depth and initialisation"},
                                  (const dlf_column[]){{"phase", NULL},
                                                       {"sigma_w2", "1"},
                                                       {"depth", "layers"},
                                                       {"accuracy", "1"},
                                                       {"lo", "1"},
                                                       {"hi", "1"},
                                                       {"six_xi", "layers"},
                                                       {"chance", "1"},
                                                       {NULL, NULL}},
                                  &table));
    for (int d = 0; d < N; d++) {
        dlf_digits_job job = job_of(run, "trainability", DLF_TANH, net, PHASES);
        job.depth = depths[d];
        job.steps = dlf_run_full(run) ? job.steps : job.steps / 2;
        job.seeds = seeds;
        const double size = (to - from) / 60.0, done = d ? 2 * depths[d] - 8 : 0;
        DLF_TRY_DONE(dlf_digits_run(run, data, &job, o, NULL, from + 0.5 * size * done,
                                    from + 0.5 * size * (done + 2 * depths[d])));
        for (int i = 0; i < PHASES; i++) {
            const dlf_estimate e = dlf_digits_estimate(o + i * seeds, seeds, FIELD(train_accuracy));
            DLF_TRY_DONE(dlf_table_row(table, DLF_TXT(phase_lines[i].id), DLF_NUM(net[i].sigma_w2),
                                       DLF_NUM(depths[d]), DLF_NUM(e.mean), DLF_NUM(e.lo),
                                       DLF_NUM(e.hi), DLF_NUM(six_xi[i]), DLF_NUM(0.1)));
        }
    }
    DLF_TRY_DONE(trainability_figure(run));
    DLF_TRY_DONE(trainability_check(run, o, depths[N - 1], seeds));
done:
    free(o);
    return status;
}

/* ---- the audit --------------------------------------------------------------------------------
 */

static bool loss_slow(const dlf_digits_outcome *o)
{
    return !(o->loss_start - o->loss_end > 0.1 * o->loss_start);
}

static bool weights_shrink(const dlf_digits_outcome *o)
{
    for (int l = 1; l < DLF_DIGITS_LAYERS && o->norm_ratio[l] > 0.0; l++)
        if (o->norm_ratio[l] < 0.5) return true;
    return false;
}

static bool weights_zero(const dlf_digits_outcome *o)
{
    return o->zero_weights > 0.01;
}

/* Two decades of |delta| lost from the top hidden layer to the first: unit-free, so independent of
 * the scale of the loss, of sum or mean reduction, of mixed-precision scaling. */
static bool depth_slope(const dlf_digits_outcome *o)
{
    return !(o->depth_ratio > 1e-2);
}

static dlf_status audit(dlf_run *run, const dlf_dataset *data, const dlf_digits_outcome *sick,
                        double from, double to)
{
    static const dlf_audit_rule rules[] = {
        {"loss_slow",
         {"loss 下降慢", "loss falls slowly"},
         {"模型 loss 在训练阶段下降非常缓慢", "the loss falls very slowly"},
         loss_slow,
         false},
        {"loss_high",
         {"loss 仍很大", "loss stays high"},
         {"训练停止后 loss 仍然很大", "the loss is still large at the end"},
         dlf_digits_loss_high,
         false},
        {"weights_shrink",
         {"权重缩小", "weights shrink"},
         {"模型权重呈指数级缩小", "the weights shrink exponentially"},
         weights_shrink,
         false},
        {"weights_zero",
         {"权重为零", "weights are zero"},
         {"模型权重变为零值", "the weights become zero"},
         weights_zero,
         false},
        {"depth_slope",
         {"逐层斜率（本项目）", "depth slope (ours)"},
         {"每层梯度比值：从顶层到首层损失两个数量级",
          "gradient ratio by layer: two decades lost from top to first"},
         depth_slope,
         true},
    };
    const int seeds = dlf_run_seeds(run);
    const dlf_digits_net healthy = {2.0, 0.01, INFINITY}, slow = {2.0, 1e-7, INFINITY};
    dlf_status status = DLF_OK;
    dlf_digits_outcome *o = malloc((size_t)(3 * seeds) * sizeof *o);
    if (!o) return dlf_fail(DLF_ERR_OOM, "audit: out of memory");
    const double size = (to - from) / 3;
    dlf_digits_job job = job_of(run, "audit: healthy", DLF_RELU, &healthy, 1);
    DLF_TRY_DONE(dlf_digits_run(run, data, &job, o, NULL, from, from + size));
    job.what = "audit: weight decay";
    job.weight_decay = 0.1;
    DLF_TRY_DONE(dlf_digits_run(run, data, &job, o + seeds, NULL, from + size, from + 2 * size));
    job = job_of(run, "audit: tiny learning rate", DLF_RELU, &slow, 1);
    DLF_TRY_DONE(dlf_digits_run(run, data, &job, o + 2 * seeds, NULL, from + 2 * size, to));
    const dlf_audit_net nets[] = {
        {"vanishing", {"sigmoid，梯度消失", "sigmoid, vanishing"}, true, sick},
        {"healthy", {"ReLU + He，健康", "ReLU + He, healthy"}, false, o},
        {"weight_decay", {"同上 + 权重衰减", "same + weight decay"}, false, o + seeds},
        {"tiny_lr", {"同上，学习率过小", "same, tiny learning rate"}, false, o + 2 * seeds},
    };
    DLF_TRY_DONE(dlf_audit(run, rules, sizeof rules / sizeof rules[0], nets,
                           sizeof nets / sizeof nets[0],
                           (dlf_text){"只有逐层斜率恰好在梯度消失的网络中触发",
                                      "Only the depth slope fires exactly where gradients vanish"},
                           (dlf_text){"手写数字上的网络，真相由构造已知",
                                      "networks on the digits, truth known by construction"}));
done:
    free(o);
    return status;
}

dlf_status dlf_vanishing_digits(dlf_run *run, double from, double to)
{
    dlf_status status;
    dlf_dataset data = {0};
    dlf_digits_outcome *sick = malloc((size_t)dlf_run_seeds(run) * sizeof *sick);
    if (!sick) return dlf_fail(DLF_ERR_OOM, "digits: out of memory");
    DLF_TRY_DONE(dlf_digits_load(&data));
    const double a = from + 0.3 * (to - from), b = from + 0.8 * (to - from);
    DLF_TRY_DONE(symptoms_by_depth(run, &data, sick, from, a));
    DLF_TRY_DONE(trainability(run, &data, a, b));
    DLF_TRY_DONE(audit(run, &data, sick, b, to));
done:
    dlf_dataset_free(&data);
    free(sick);
    return status;
}
