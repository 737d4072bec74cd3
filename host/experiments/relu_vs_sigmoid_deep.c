/* SPDX-License-Identifier: MIT
 * relu_vs_sigmoid_deep.c -- Q36 in deep networks: where no learning rate helps the standard
 * sigmoid, and an initialisation at chi_1 = 1 does. */
#include <math.h>
#include <stdlib.h>

#include "observed_nets.h"
#include "relu_vs_sigmoid.h"

enum { BATCH = 64, RATES = 3 };
static const double rates[RATES] = {0.05, 0.2, 0.8};

static const dlf_relu_arm deep[] = {
    {"relu", {"ReLU，σw²=2，χ₁=1", "ReLU, σw²=2, χ₁=1"}, DLF_RELU, 2.0, DLF_MEASURED},
    {"sigmoid",
     {"sigmoid，σw²=1，χ₁=1/18", "sigmoid, σw²=1, χ₁=1/18"},
     DLF_SIGMOID,
     1.0,
     DLF_MEASURED},
    {"sigmoid_16", {"sigmoid，σw²=16", "sigmoid, σw²=16"}, DLF_SIGMOID, 16.0, DLF_MEASURED},
    {"sigmoid_edge",
     {"对照：sigmoid，χ₁=1", "control: sigmoid, χ₁=1"},
     DLF_SIGMOID,
     -1.0,
     DLF_CONTROL},
};
enum { DEEP_ARMS = sizeof deep / sizeof deep[0] };

/* Means over seeds by rate; the best rate is the one with the least training error. */
typedef struct deep_result {
    dlf_estimate train, test; /* at the best rate */
    double lr;
} deep_result;

static dlf_status train_deep(dlf_run *run, const dlf_dataset *digits, const dlf_relu_arm *arm,
                             int seeds, dlf_table *table, deep_result *best, double from, double to)
{
    dlf_observed_net net[RATES];
    dlf_status status = DLF_OK;
    for (int i = 0; i < RATES; i++) net[i] = (dlf_observed_net){dlf_relu_sigma_w2(arm), rates[i]};
    const dlf_observed_job job = {.what = arm->id,
                                  .kind = arm->kind,
                                  .depth = dlf_run_int(run, "digits_depth"),
                                  .width = dlf_run_int(run, "digits_width"),
                                  .batch = BATCH,
                                  .steps = dlf_run_int(run, "steps"),
                                  .net = net,
                                  .nets = RATES,
                                  .seeds = seeds,
                                  .rows = dlf_run_int(run, "rows")};
    dlf_observed_outcome *out = malloc((size_t)(RATES * seeds) * sizeof *out);
    if (!out) return dlf_fail(DLF_ERR_OOM, "training: out of memory");
    DLF_TRY_DONE(dlf_observed_run(run, digits, &job, out, NULL, from, to));
    const int stride = (int)(sizeof *out / sizeof(double));
    for (int i = 0; i < RATES; i++) {
        const dlf_observed_outcome *o = out + i * seeds;
        const dlf_estimate train = dlf_estimate_of(&o->train_error, seeds, stride);
        const dlf_estimate test = dlf_estimate_of(&o->test_error, seeds, stride);
        DLF_TRY_DONE(dlf_table_row(table, DLF_TXT(arm->id), DLF_NUM(rates[i]), DLF_NUM(train.mean),
                                   DLF_NUM(fmax(0.0, train.lo)), DLF_NUM(fmin(1.0, train.hi)),
                                   DLF_NUM(test.mean), DLF_NUM(0.9)));
        if (i == 0 || train.mean < best->train.mean) *best = (deep_result){train, test, rates[i]};
    }
done:
    free(out);
    return status;
}

static dlf_status deep_check(dlf_run *run, const char *id, dlf_text claim, dlf_estimate e,
                             dlf_relation relation, double bound, const char *note)
{
    return dlf_result_check(
        dlf_run_result(run),
        (dlf_check){.id = id,
                    .claim = claim,
                    .measured = e.mean,
                    .lo = e.lo,
                    .hi = e.hi,
                    .n = e.n,
                    .expected = bound,
                    .relation = relation,
                    .source = "Schoenholz et al. 2017: deep networks train near chi_1 = 1; bounds "
                              "chosen before the run, chance is 0.9",
                    .note = note});
}

static dlf_status deep_checks(dlf_run *run, const deep_result *best)
{
    static const char note[] = "training error at the best of the learning rates";
    DLF_TRY(deep_check(run, "deep_relu",
                       (dlf_text){"深层 ReLU（σw²=2）能训练", "deep ReLU (σw²=2) trains"},
                       best[0].train, DLF_AT_MOST, 0.05, note));
    DLF_TRY(deep_check(run, "deep_sigmoid",
                       (dlf_text){"深层 sigmoid（σw²=1）用任何学习率都停留在随机水平",
                                  "deep sigmoid (σw²=1) stays at chance at every learning rate"},
                       best[1].train, DLF_AT_LEAST, 0.8, note));
    DLF_TRY(deep_check(run, "deep_sigmoid_edge",
                       (dlf_text){"原因是初始化而不是函数本身：χ₁ = 1 的深层 sigmoid 也能训练",
                                  "the initialisation, not the function: deep sigmoid at χ₁ = 1 "
                                  "trains as well"},
                       best[3].train, DLF_AT_MOST, 0.05, note));
    dlf_estimate gap = best[3].test;
    gap.mean -= best[0].test.mean;
    gap.lo -= best[0].test.hi;
    gap.hi -= best[0].test.lo;
    return deep_check(run, "deep_edge_generalises_worse",
                      (dlf_text){"但它的测试误差比 ReLU 高：χ₁ = 1 需要巨大的权重",
                                 "but its test error is higher than ReLU's: χ₁ = 1 takes huge "
                                 "weights"},
                      gap, DLF_AT_LEAST, 0.0,
                      "test error of sigmoid at the edge minus ReLU's, each at its best rate");
}

dlf_status dlf_relu_deep(dlf_run *run, const dlf_dataset *digits, double from, double to)
{
    const int seeds = dlf_run_full(run) || dlf_run_seeds(run) < 3 ? dlf_run_seeds(run) : 3;
    const double part = (to - from) / DEEP_ARMS;
    deep_result best[DEEP_ARMS];
    dlf_table *table;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "deep",
        (dlf_text){"深层网络训练后的误差", "errors of deep networks after training"},
        (const dlf_column[]){{"arm", NULL},
                             {"lr", "1"},
                             {"error", "1"},
                             {"lo", "1"},
                             {"hi", "1"},
                             {"test_error", "1"},
                             {"chance", "1"},
                             {NULL, NULL}},
        &table));
    for (int a = 0; a < DEEP_ARMS; a++)
        DLF_TRY(train_deep(run, digits, &deep[a], seeds, table, &best[a], from + part * a,
                           from + part * (a + 1)));
    DLF_TRY(deep_checks(run, best));
    DLF_TRY(dlf_result_fact(dlf_run_result(run), "deep_test_relu", best[0].test.mean, "1"));
    DLF_TRY(dlf_result_fact(dlf_run_result(run), "deep_test_edge", best[3].test.mean, "1"));
    DLF_TRY(dlf_result_fact(dlf_run_result(run), "deep_train_sigmoid_16", best[2].train.mean, "1"));
    return dlf_relu_rate_figure(
        run,
        (dlf_figure){
            .id = "deep",
            .kind = DLF_LINES,
            .title = {"深层网络中没有学习率能救标准初始化的 sigmoid；χ₁ = 1 的初始化可以",
                      "In deep networks no learning rate saves sigmoid at its standard start; a "
                      "start at χ₁ = 1 does"},
            .subtitle = {"8 × 64（默认），手写数字，训练后的训练误差",
                         "8 × 64 by default, digits, training error after training"},
            .x = {{"学习率", "learning rate"}, true},
            .y = {{"训练误差", "training error"}, false}},
        deep, DEEP_ARMS, "error", "chance", (dlf_text){"随机水平", "chance"});
}
