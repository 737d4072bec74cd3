/* SPDX-License-Identifier: MIT
 * exploding_digits.c -- Q8 on real data: too large an initialisation with and without clipping, and
 * the audit of the document's own criteria. */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "audit.h"
#include "digits_nets.h"
#include "exploding.h"

enum { BATCH = 64, WIDTH = 64, CURVE_EVERY = 2 };
#define FIELD(name) offsetof(dlf_digits_outcome, name)

/* ---- NaN without clipping ----------------------------------------------------------------------
 */

typedef struct clip_net {
    const char *id;
    dlf_text label;
    dlf_digits_net net;
} clip_net;

static const clip_net clip_nets[] = {
    {"he", {"σw²=2（He），不裁剪", "σw²=2 (He), no clipping"}, {2.0, 0.01, INFINITY}},
    {"large", {"σw²=4，不裁剪", "σw²=4, no clipping"}, {4.0, 0.01, INFINITY}},
    {"huge", {"σw²=8，不裁剪", "σw²=8, no clipping"}, {8.0, 0.01, INFINITY}},
    {"huge_clipped", {"σw²=8，裁剪到 1", "σw²=8, clipped at 1"}, {8.0, 0.01, 1.0}},
};
enum { NETS = sizeof clip_nets / sizeof clip_nets[0] };

static dlf_status curve_table(dlf_run *run, const double *curve, int records)
{
    const int seeds = dlf_run_seeds(run);
    dlf_table *table, *each;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "clip_curves",
                             (dlf_text){"训练损失：几何平均", "training loss: geometric mean"},
                             (const dlf_column[]){{"net", NULL},
                                                  {"step", "step"},
                                                  {"loss", "nat"},
                                                  {"lo", "nat"},
                                                  {"hi", "nat"},
                                                  {NULL, NULL}},
                             &table));
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "clip_curve_seeds",
        (dlf_text){"同上，每个种子", "the same, every seed"},
        (const dlf_column[]){
            {"net", NULL}, {"seed", "1"}, {"step", "step"}, {"loss", "nat"}, {NULL, NULL}},
        &each));
    double *logs = malloc((size_t)seeds * sizeof *logs);
    if (!logs) return dlf_fail(DLF_ERR_OOM, "clipping: out of memory");
    dlf_status status = DLF_OK;
    for (int i = 0; i < NETS; i++)
        for (int k = 0; k < records; k++) {
            const double *row = curve + (k * NETS + i) * seeds;
            for (int s = 0; s < seeds; s++) logs[s] = log(row[s]);
            const dlf_estimate e = dlf_estimate_of(logs, seeds, 1);
            DLF_TRY_DONE(dlf_table_row(table, DLF_TXT(clip_nets[i].id), DLF_NUM(k * CURVE_EVERY),
                                       DLF_NUM(exp(e.mean)), DLF_NUM(exp(e.lo)),
                                       DLF_NUM(exp(e.hi))));
            for (int s = 0; s < seeds; s++)
                DLF_TRY_DONE(dlf_table_row(each, DLF_TXT(clip_nets[i].id), DLF_NUM(s),
                                           DLF_NUM(k * CURVE_EVERY), DLF_NUM(row[s])));
        }
done:
    free(logs);
    return status;
}

static dlf_status curve_figure(dlf_run *run)
{
    dlf_figure figure = {
        .id = "clipping",
        .kind = DLF_LINES,
        .title =
            {"初始化过大时损失变为 NaN；裁剪使它保持有限并能训练",
             "Too large an initialisation turns the loss into NaN; clipping keeps it finite and "
             "training"},
        .subtitle = {"ReLU，10 层 × 64，手写数字，学习率 0.01，动量 0.9",
                     "ReLU, 10 layers of 64, digits, learning rate 0.01, momentum 0.9"},
        .x = {{"训练步数", "training step"}, false},
        .y = {{"小批量损失（nat）", "minibatch loss (nat)"}, true}};
    for (int i = 0; i < NETS; i++) {
        figure.series[2 * i] = (dlf_series){.role = DLF_SEEDS,
                                            .table = "clip_curve_seeds",
                                            .where = "net",
                                            .equals = clip_nets[i].id,
                                            .x = "step",
                                            .y = "loss",
                                            .by = "seed",
                                            .label = {"", ""},
                                            .colour = i};
        figure.series[2 * i + 1] = (dlf_series){.role = i == 0 ? DLF_CONTROL : DLF_MEASURED,
                                                .table = "clip_curves",
                                                .where = "net",
                                                .equals = clip_nets[i].id,
                                                .x = "step",
                                                .y = "loss",
                                                .label = clip_nets[i].label,
                                                .colour = i};
    }
    return dlf_result_figure(dlf_run_result(run), &figure);
}

static bool not_finite(const dlf_digits_outcome *o)
{
    return o->first_bad_step >= 0 || !isfinite(o->loss_end);
}

static dlf_status clip_check(dlf_run *run, const char *id, dlf_text claim, double measured,
                             dlf_estimate *interval, double expected, dlf_relation relation)
{
    return dlf_result_check(
        dlf_run_result(run),
        (dlf_check){.id = id,
                    .claim = claim,
                    .measured = measured,
                    .lo = interval ? interval->lo : NAN,
                    .hi = interval ? interval->hi : NAN,
                    .n = dlf_run_seeds(run),
                    .expected = expected,
                    .relation = relation,
                    .source = "Pascanu, Mikolov & Bengio 2013; threshold chosen before the run"});
}

static dlf_status clip_checks(dlf_run *run, const dlf_digits_outcome *o)
{
    const int seeds = dlf_run_seeds(run);
    dlf_table *table;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "clip_outcome",
                             (dlf_text){"裁剪实验的结果", "outcome of the clipping experiment"},
                             (const dlf_column[]){{"net", NULL},
                                                  {"sigma_w2", "1"},
                                                  {"not_finite", "1"},
                                                  {"accuracy", "1"},
                                                  {"accuracy_lo", "1"},
                                                  {"accuracy_hi", "1"},
                                                  {NULL, NULL}},
                             &table));
    for (int i = 0; i < NETS; i++) {
        const dlf_estimate e = dlf_digits_estimate(o + i * seeds, seeds, FIELD(accuracy));
        DLF_TRY(dlf_table_row(table, DLF_TXT(clip_nets[i].id), DLF_NUM(clip_nets[i].net.sigma_w2),
                              DLF_NUM(dlf_digits_share(o + i * seeds, seeds, not_finite)),
                              DLF_NUM(e.mean), DLF_NUM(e.lo), DLF_NUM(e.hi)));
    }
    dlf_estimate he = dlf_digits_estimate(o, seeds, FIELD(accuracy));
    DLF_TRY(clip_check(run, "nan_without_clipping",
                       (dlf_text){"σw²=8 不裁剪：损失变为 NaN 或 Inf",
                                  "σw²=8 without clipping: the loss becomes NaN or Inf"},
                       dlf_digits_share(o + 2 * seeds, seeds, not_finite), NULL, 0.9,
                       DLF_AT_LEAST));
    DLF_TRY(clip_check(
        run, "finite_with_clipping",
        (dlf_text){"σw²=8 裁剪到 1：损失始终有限", "σw²=8 clipped at 1: the loss stays finite"},
        dlf_digits_share(o + 3 * seeds, seeds, not_finite), NULL, 0.0, DLF_AT_MOST));
    return clip_check(run, "he_trains",
                      (dlf_text){"对照 σw²=2（χ₁=1）：无需裁剪即可训练",
                                 "control σw²=2 (χ₁=1): trains without clipping"},
                      he.mean, &he, 0.85, DLF_AT_LEAST);
}

static dlf_status clipping(dlf_run *run, const dlf_dataset *data, dlf_digits_outcome *o,
                           double from, double to)
{
    const int seeds = dlf_run_seeds(run), steps = dlf_run_int(run, "steps");
    const int records = (steps + CURVE_EVERY - 1) / CURVE_EVERY;
    dlf_digits_net net[NETS];
    for (int i = 0; i < NETS; i++) net[i] = clip_nets[i].net;
    dlf_status status;
    double *curve = malloc((size_t)(records * NETS * seeds) * sizeof *curve);
    if (!curve) return dlf_fail(DLF_ERR_OOM, "clipping: out of memory");
    const dlf_digits_job job = {.what = "clipping",
                                .kind = DLF_RELU,
                                .depth = 10,
                                .width = WIDTH,
                                .batch = BATCH,
                                .steps = steps,
                                .momentum = 0.9,
                                .loss_scale = 1.0,
                                .net = net,
                                .nets = NETS,
                                .curve_every = CURVE_EVERY};
    DLF_TRY_DONE(dlf_digits_run(run, data, &job, o, curve, from, to));
    DLF_TRY_DONE(curve_table(run, curve, records));
    DLF_TRY_DONE(curve_figure(run));
    DLF_TRY_DONE(clip_checks(run, o));
done:
    free(curve);
    return status;
}

/* ---- the audit ----------------------------------------------------------------------------------
 */

static bool loss_unstable(const dlf_digits_outcome *o)
{
    return !(o->roughness < 0.5);
}
static bool weights_nan(const dlf_digits_outcome *o)
{
    return o->bad_weights > 0.0;
}
static bool gradient_above_one(const dlf_digits_outcome *o)
{
    return o->min_gradient > 1.0;
}

/* Two decades of |delta| gained from the top hidden layer to the first: unit-free. */
static bool depth_slope(const dlf_digits_outcome *o)
{
    return !(o->depth_ratio < 1e2);
}

static const dlf_audit_rule rules[] = {
    {"loss_high",
     {"loss 仍很大", "loss stays high"},
     {"模型无法很好地学习：loss 一直很高", "the model learns badly: the loss stays high"},
     dlf_digits_loss_high,
     false},
    {"loss_unstable",
     {"loss 变化大", "loss unstable"},
     {"训练不稳定：每次更新 loss 变化很大",
      "training is unstable: the loss changes much at every update"},
     loss_unstable,
     false},
    {"loss_nan",
     {"loss 为 NaN", "loss is NaN"},
     {"训练时 loss 变为 NaN", "the loss becomes NaN"},
     not_finite,
     false},
    {"weights_nan",
     {"权重为 NaN", "weights are NaN"},
     {"训练阶段模型权重变为 NaN", "the weights become NaN"},
     weights_nan,
     false},
    {"gradient_above_1",
     {"梯度 > 1.0", "gradients > 1.0"},
     {"每层的梯度值始终高于 1.0", "the gradient of every layer is above 1.0"},
     gradient_above_one,
     false},
    {"depth_slope",
     {"逐层斜率（本项目）", "depth slope (ours)"},
     {"每层梯度比值：从顶层到首层增长两个数量级",
      "gradient ratio by layer: two decades gained from top to first"},
     depth_slope,
     true},
};

/* The four further networks of the audit: one sick that stays finite, three that are not sick. */
static dlf_status train_audited(dlf_run *run, const dlf_dataset *data, dlf_digits_outcome *o,
                                double from, double to)
{
    const int seeds = dlf_run_seeds(run), steps = dlf_run_int(run, "steps");
    const double size = (to - from) / 3;
    const dlf_digits_net chaotic = {16.0, 0.001, INFINITY};
    const dlf_digits_net scaled = {2.0, 0.01 / 1024, INFINITY}, fast = {2.0, 50.0, INFINITY};
    dlf_digits_job job = {.what = "audit: chaotic tanh",
                          .kind = DLF_TANH,
                          .depth = 20,
                          .width = WIDTH,
                          .batch = BATCH,
                          .steps = steps / 2,
                          .momentum = 0.9,
                          .loss_scale = 1.0,
                          .net = &chaotic,
                          .nets = 1};
    DLF_TRY(dlf_digits_run(run, data, &job, o, NULL, from, from + size));
    job.what = "audit: loss x 1024";
    job.kind = DLF_RELU;
    job.depth = 10;
    job.steps = steps;
    job.net = &scaled;
    job.loss_scale = 1024.0;
    DLF_TRY(dlf_digits_run(run, data, &job, o + seeds, NULL, from + size, from + 2 * size));
    job.what = "audit: learning rate 50";
    job.net = &fast;
    job.loss_scale = 1.0;
    return dlf_digits_run(run, data, &job, o + 2 * seeds, NULL, from + 2 * size, to);
}

dlf_status dlf_exploding_digits(dlf_run *run, double from, double to)
{
    const int seeds = dlf_run_seeds(run);
    const double middle = from + 0.5 * (to - from);
    dlf_status status;
    dlf_dataset data = {0};
    dlf_digits_outcome *o = malloc((size_t)((NETS + 3) * seeds) * sizeof *o);
    if (!o) return dlf_fail(DLF_ERR_OOM, "digits: out of memory");
    DLF_TRY_DONE(dlf_digits_load(&data));
    DLF_TRY_DONE(clipping(run, &data, o, from, middle));
    DLF_TRY_DONE(train_audited(run, &data, o + NETS * seeds, middle, to));
    const dlf_audit_net nets[] = {
        {"relu_8", {"ReLU σw²=8，爆炸", "ReLU σw²=8, exploding"}, true, o + 2 * seeds},
        {"tanh_16", {"tanh σw²=16，爆炸", "tanh σw²=16, exploding"}, true, o + NETS * seeds},
        {"healthy", {"ReLU + He，健康", "ReLU + He, healthy"}, false, o},
        {"loss_1024", {"同上，loss × 1024", "same, loss × 1024"}, false, o + (NETS + 1) * seeds},
        {"lr_50", {"同上，学习率 50", "same, learning rate 50"}, false, o + (NETS + 2) * seeds},
    };
    DLF_TRY_DONE(dlf_audit(run, rules, sizeof rules / sizeof rules[0], nets,
                           sizeof nets / sizeof nets[0],
                           (dlf_text){"只有逐层斜率恰好在梯度爆炸的网络中触发",
                                      "Only the depth slope fires exactly where gradients explode"},
                           (dlf_text){"手写数字上的网络，真相由构造已知",
                                      "networks on the digits, truth known by construction"}));
done:
    dlf_dataset_free(&data);
    free(o);
    return status;
}
