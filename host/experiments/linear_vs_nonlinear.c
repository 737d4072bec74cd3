/* SPDX-License-Identifier: MIT
 * linear_vs_nonlinear.c -- Q14: how do linear and non-linear activations differ?  Q18: may one
 * replace the other?
 *
 * Claim   With linear activations a net of any depth is one matrix, of the rank of its narrowest
 *         layer: it cannot do XOR. It does not learn like one matrix, though.
 * Control the same nets with ReLU or tanh; one linear layer where two are shown. */
#include "linear_vs_nonlinear.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>

#include "digits_nets.h"
#include "dlf/data.h"

static const dlf_param params[] = {
    DLF_INT_PARAM("width", 128, 256, 4, 2048, "units", "叠加实验中网络的宽度",
                  "width of the nets of the superposition part"),
    DLF_INT_PARAM("depth", 32, 32, 4, 32, "layers", "叠加实验的最大层数",
                  "most layers of the superposition part"),
    DLF_INT_PARAM("units", 4, 4, 2, 1024, "units", "XOR 网络的隐藏单元数",
                  "hidden units of the XOR nets"),
    DLF_INT_PARAM("starts", 8, 16, 1, 1000, "runs", "XOR：每个种子的起点数",
                  "XOR: starts per seed"),
    DLF_INT_PARAM("steps", 2000, 4000, 1, 1000000, "steps", "XOR 的训练步数",
                  "training steps on XOR"),
    DLF_REAL_PARAM("rate", 1e-3, 5e-4, 1e-4, 5e-2, "1", "奇异模实验的学习率（时间步长）",
                   "learning rate (time step) of the singular modes"),
    DLF_INT_PARAM("digits_depth", 3, 3, 1, 32, "layers", "手写数字网络的隐藏层数",
                  "hidden layers of the digits networks"),
    DLF_INT_PARAM("digits_width", 64, 64, 4, 1024, "units", "手写数字网络的宽度",
                  "width of the digits networks"),
    DLF_INT_PARAM("digits_steps", 400, 1600, 1, 100000, "steps", "手写数字上的训练步数",
                  "training steps on the digits"),
    {.name = NULL},
};

/* ---- digits -------------------------------------------------------------------------------------
 */

enum { SINGLE, DEEP, RELU, NETS };

/* Difference of two nets' test accuracies, seed by seed. */
static dlf_estimate gap_of(const dlf_digits_outcome *a, const dlf_digits_outcome *b, double *gap,
                           int seeds)
{
    for (int s = 0; s < seeds; s++) gap[s] = a[s].accuracy - b[s].accuracy;
    return dlf_estimate_of(gap, seeds, 1);
}

static dlf_status digits_checks(dlf_run *run, const dlf_digits_outcome *o)
{
    const int S = dlf_run_seeds(run);
    double *gap = malloc((size_t)S * sizeof *gap);
    if (!gap) return dlf_fail(DLF_ERR_OOM, "digits: out of memory");
    const dlf_estimate same = gap_of(o + DEEP * S, o + SINGLE * S, gap, S);
    const dlf_estimate relu = gap_of(o + RELU * S, o + DEEP * S, gap, S);
    free(gap);
    DLF_TRY(dlf_result_check(
        dlf_run_result(run),
        (dlf_check){.id = "digits_same",
                    .claim = {"手写数字：多层线性网络与一层线性的测试正确率相差不到两个百分点",
                              "digits: deep linear and one linear layer are within 2 points on the "
                              "test set"},
                    .measured = same.mean,
                    .lo = same.lo,
                    .hi = same.hi,
                    .n = same.n,
                    .expected = 0.0,
                    .tolerance = 0.02,
                    .relation = DLF_EQUAL,
                    .source = "both are softmax regression; 2 points are 2 binomial s.e. of one "
                              "net on 500 images; the optima found in finite time differ"}));
    const dlf_verdict verdict = relu.lo > 0.0   ? DLF_SUPPORTED
                                : relu.hi < 0.0 ? DLF_REFUTED
                                                : DLF_DEPENDS;
    return dlf_result_check(
        dlf_run_result(run),
        (dlf_check){.id = "digits_relu",
                    .claim = {"手写数字：同样的网络换成 ReLU，测试正确率更高",
                              "digits: the same net with ReLU has a higher test accuracy"},
                    .measured = relu.mean,
                    .lo = relu.lo,
                    .hi = relu.hi,
                    .n = relu.n,
                    .expected = 0.0,
                    .relation = DLF_AT_LEAST,
                    .source = "ordering only: supported if the whole interval is above 0",
                    .has_verdict = true,
                    .verdict = verdict,
                    .note = "depends: the classes of this data set are almost linearly separable, "
                            "so that a linear net may do as well"});
}

static dlf_status digits_table(dlf_run *run, const dlf_digits_outcome *o)
{
    static const char *const ids[NETS] = {"single", "deep_linear", "relu"};
    static const dlf_text names[NETS] = {
        {"一层线性", "one linear layer"}, {"多层线性", "deep linear"}, {"多层 ReLU", "deep ReLU"}};
    const int S = dlf_run_seeds(run);
    dlf_table *table;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "digits",
                             (dlf_text){"手写数字测试正确率", "test accuracy on the digits"},
                             (const dlf_column[]){{"net", NULL},
                                                  {"net_zh", NULL},
                                                  {"net_en", NULL},
                                                  {"accuracy", "1"},
                                                  {"lo", "1"},
                                                  {"hi", "1"},
                                                  {"train_accuracy", "1"},
                                                  {NULL, NULL}},
                             &table));
    for (int i = 0; i < NETS; i++) {
        const dlf_estimate e =
            dlf_digits_estimate(o + i * S, S, offsetof(dlf_digits_outcome, accuracy));
        const dlf_estimate t =
            dlf_digits_estimate(o + i * S, S, offsetof(dlf_digits_outcome, train_accuracy));
        DLF_TRY(dlf_table_row(table, DLF_TXT(ids[i]), DLF_TXT(names[i].zh), DLF_TXT(names[i].en),
                              DLF_NUM(e.mean), DLF_NUM(e.lo), DLF_NUM(e.hi), DLF_NUM(t.mean)));
    }
    return DLF_OK;
}

dlf_status dlf_linear_digits(dlf_run *run, double from, double to)
{
    const int S = dlf_run_seeds(run), depth = dlf_run_int(run, "digits_depth");
    const dlf_digits_net linear = {1.0, 0.01, INFINITY}, relu = {2.0, 0.01, INFINITY};
    dlf_dataset data = {0};
    dlf_status status;
    dlf_digits_outcome *o = malloc((size_t)(NETS * S) * sizeof *o);
    if (!o) return dlf_fail(DLF_ERR_OOM, "digits: out of memory");
    DLF_TRY_DONE(dlf_digits_load(&data));
    for (int i = 0; i < NETS; i++) {
        const dlf_digits_job job = {.what = "digits: linear against ReLU",
                                    .kind = i == RELU ? DLF_RELU : DLF_LINEAR,
                                    .depth = i == SINGLE ? 0 : depth,
                                    .width = dlf_run_int(run, "digits_width"),
                                    .batch = 32,
                                    .steps = dlf_run_int(run, "digits_steps"),
                                    .momentum = 0.9,
                                    .loss_scale = 1.0,
                                    .net = i == RELU ? &relu : &linear,
                                    .nets = 1};
        const double size = (to - from) / NETS;
        DLF_TRY_DONE(dlf_digits_run(run, &data, &job, o + i * S, NULL, from + size * i,
                                    from + size * (i + 1)));
    }
    DLF_TRY_DONE(digits_table(run, o));
    DLF_TRY_DONE(digits_checks(run, o));
done:
    dlf_dataset_free(&data);
    free(o);
    return status;
}

/* ---- the whole ----------------------------------------------------------------------------------
 */

static dlf_status network(dlf_graph **out, dlf_device *device)
{
    return dlf_xor_network(out, device, 2, 4, 4, DLF_TANH);
}

static dlf_status run_linear_vs_nonlinear(dlf_run *run)
{
    DLF_TRY(dlf_linear_collapse(run, 0.0, 0.2));
    DLF_TRY(dlf_linear_rank(run, 0.2, 0.25));
    DLF_TRY(dlf_linear_xor(run, 0.25, 0.5));
    DLF_TRY(dlf_linear_modes(run, 0.5, 0.75));
    return dlf_linear_digits(run, 0.75, 1.0);
}

const dlf_experiment dlf_experiment_linear_vs_nonlinear = {
    .slug = "linear-vs-nonlinear",
    .questions = "Q14,Q18",
    .title = {"线性与非线性激活函数有什么区别，可以互换吗？",
              "How do linear and non-linear activations differ, and may one replace the other?"},
    .claim = {"激活函数是线性的，任意深的网络就是一个矩阵：做不了 XOR；但学习过程不同",
              "with linear activations a net of any depth is one matrix and cannot do XOR; only "
              "its learning differs"},
    .network = network,
    .quick_seeds = 8,
    .full_seeds = 16,
    .params = params,
    .run = run_linear_vs_nonlinear,
};
