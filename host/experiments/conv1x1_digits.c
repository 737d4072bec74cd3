/* SPDX-License-Identifier: MIT
 * conv1x1_digits.c -- Q15: the same network with 3x3 convolutions and with bottlenecks, trained on
 * the digits: are they equally good, and at what cost? A network with bottlenecks may take twice
 * the steps, which is still fewer multiply-adds. Control: a bottleneck of one channel, also twice.
 */
#include <stdlib.h>

#include "conv1x1.h"
#include "nets_graph.h"
#include "seed_check.h"

enum { PLAIN, HALF, QUARTER, ONE, ARMS, LOOKS = 1 };

static const struct {
    const char *id;
    dlf_text label;
} arms[ARMS] = {{"plain", {"3×3", "3×3"}},
                {"half", {"瓶颈，r＝C/2", "bottleneck, r = C/2"}},
                {"quarter", {"瓶颈，r＝C/4", "bottleneck, r = C/4"}},
                {"one", {"对照：瓶颈，r＝1", "control: bottleneck, r = 1"}}};

typedef struct trained {
    int reduce;
    net_outcome out;
    const double *last; /* (seeds): accuracy at the end */
} trained;

typedef struct plan {
    int width, reduce, classes;
} plan;

static void build(net *n, const void *how)
{
    const plan *p = how;
    net_bottleneck(n, p->width, p->reduce, p->classes);
}

static dlf_status train_arm(dlf_run *run, const dlf_dataset *data, const char *id, trained *t,
                            double from, double to)
{
    const plan how = {dlf_run_int(run, "digits_width"), t->reduce, data->classes};
    const net_job job = {.what = id,
                         .build = build,
                         .how = &how,
                         .data = data,
                         .batch = dlf_run_int(run, "batch"),
                         .steps = dlf_run_int(run, "digits_steps") * (t->reduce ? 2 : 1),
                         .looks = LOOKS,
                         .lr = 1e-2,
                         .seed = dlf_run_seed(run) + 15};
    t->last = t->out.test + (LOOKS - 1) * dlf_run_seeds(run);
    return net_train(run, &job, &t->out, from, to);
}

static dlf_status table_and_figure(dlf_run *run, const trained *t)
{
    dlf_table *table;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "digits",
                             (dlf_text){"有瓶颈与没有瓶颈的网络（手写数字）",
                                        "networks with and without bottlenecks on the digits"},
                             (const dlf_column[]){{"arm", NULL},
                                                  {"arm_zh", NULL},
                                                  {"arm_en", NULL},
                                                  {"reduce", "channel"},
                                                  {"parameters", "1"},
                                                  {"macs", "1"},
                                                  {"accuracy", "1"},
                                                  {"lo", "1"},
                                                  {"hi", "1"},
                                                  {"chance", "1"},
                                                  {NULL}},
                             &table));
    for (int i = 0; i < ARMS; i++) {
        const dlf_estimate e = dlf_estimate_of(t[i].last, dlf_run_seeds(run), 1);
        DLF_TRY(dlf_table_row(table, DLF_TXT(arms[i].id), DLF_TXT(arms[i].label.zh),
                              DLF_TXT(arms[i].label.en), DLF_NUM(t[i].reduce),
                              DLF_NUM(t[i].out.sum.parameters), DLF_NUM(t[i].out.sum.macs),
                              DLF_NUM(e.mean), DLF_NUM(e.lo), DLF_NUM(e.hi), DLF_NUM(0.1)));
    }
    const dlf_figure f = {
        .id = "digits",
        .kind = DLF_BARS,
        .title = {"窄一半的瓶颈与普通 3×3 同样好，再窄就要付出代价",
                  "Bottlenecks of half the channels are as good as 3×3; narrower ones pay"},
        .subtitle =
            {"手写数字，两个残差块；瓶颈网络训练步数加倍，乘加仍更少；误差棒为种子间 95% 区间",
             "digits, two residual blocks; bottlenecks take twice the steps, still fewer "
             "multiply-adds; bars: 95 % over seeds"},
        .x = {{"块", "block"}, false},
        .y = {{"测试集正确率", "test accuracy"}, false},
        .series = {{.role = DLF_MEASURED,
                    .table = "digits",
                    .x = "arm",
                    .y = "accuracy",
                    .lo = "lo",
                    .hi = "hi",
                    .label = {"训练后", "after training"},
                    .colour = 0},
                   {.role = DLF_REFERENCE,
                    .table = "digits",
                    .x = "arm",
                    .y = "chance",
                    .label = {"随机水平", "chance"}}}};
    return dlf_result_figure(dlf_run_result(run), &f);
}

static dlf_estimate loss_of(dlf_run *run, const trained *t, int arm, double *scratch)
{
    const int seeds = dlf_run_seeds(run);
    for (int s = 0; s < seeds; s++) scratch[s] = t[PLAIN].last[s] - t[arm].last[s];
    return dlf_estimate_of(scratch, seeds, 1);
}

static dlf_status checks(dlf_run *run, const trained *t, double *scratch)
{
    const double equivalent = 0.03;
    dlf_result *r = dlf_run_result(run);
    dlf_estimate e = loss_of(run, t, HALF, scratch);
    dlf_check c = dlf_check_of(
        "digits_equal",
        (dlf_text){"r＝C/2 的瓶颈网络与普通网络的正确率等价（普通减瓶颈，等价界 ±3 个百分点）",
                   "with r = C/2 bottleneck and plain network are equally accurate (plain minus "
                   "bottleneck, equivalent within 3 points)"},
        e);
    c.tolerance = equivalent;
    c.has_verdict = true;
    c.verdict = dlf_verdict_within(e, equivalent);
    c.source =
        "equivalence test: the whole 95 % interval within the bound; 3 points are 3 binomial "
        "s.e. of two networks on 500 images";
    DLF_TRY(dlf_result_check(r, c));
    e = loss_of(run, t, ONE, scratch);
    c = dlf_check_of("digits_one",
                     (dlf_text){"对照，瓶颈只有一个通道：明显变差（普通减瓶颈）",
                                "control, a bottleneck of one channel: clearly worse (plain minus "
                                "bottleneck)"},
                     e);
    c.expected = equivalent;
    c.relation = DLF_AT_LEAST;
    c.source =
        "control of the equivalence test: where one number per position is all that the branches "
        "see, the same test must not call them equal, however long they are trained";
    DLF_TRY(dlf_result_check(r, c));
    DLF_TRY(dlf_result_fact(r, "digits_macs",
                            (double)t[PLAIN].out.sum.macs / (double)t[HALF].out.sum.macs, "1"));
    return dlf_result_fact(r, "digits_parameters",
                           (double)t[PLAIN].out.sum.parameters / (double)t[HALF].out.sum.parameters,
                           "1");
}

dlf_status dlf_conv1x1_digits(dlf_run *run, double from, double to)
{
    static const double until[ARMS] = {0.35, 0.65, 0.85, 1.0};
    const size_t seeds = (size_t)dlf_run_seeds(run);
    const int C = dlf_run_int(run, "digits_width");
    dlf_dataset data = {0};
    trained t[ARMS] = {{.reduce = 0}, {.reduce = C / 2}, {.reduce = C / 4}, {.reduce = 1}};
    dlf_status status;
    double *memory = malloc((ARMS * LOOKS + 1) * seeds * sizeof *memory);
    if (!memory) return dlf_fail(DLF_ERR_OOM, "conv1x1: out of memory");
    for (size_t i = 0; i < ARMS; i++) t[i].out.test = memory + i * LOOKS * seeds;
    DLF_TRY_DONE(dlf_digits_load(&data));
    data.test = dlf_run_int(run, "rows") < data.test ? dlf_run_int(run, "rows") : data.test;
    for (int i = 0; i < ARMS; i++)
        DLF_TRY_DONE(train_arm(run, &data, arms[i].id, &t[i],
                               from + (to - from) * (i ? until[i - 1] : 0.0),
                               from + (to - from) * until[i]));
    DLF_TRY_DONE(table_and_figure(run, t));
    DLF_TRY_DONE(checks(run, t, memory + ARMS * LOOKS * seeds));
done:
    dlf_dataset_free(&data);
    free(memory);
    return status;
}
