/* SPDX-License-Identifier: MIT
 * architectures_blocks.c -- Q28: the block of each architecture at equal multiply-adds on the
 * digits: accuracy, time and memory. At one resolution equal multiply-adds are equal weights too,
 * so what differs is how they are connected. Control the plain blocks on digits whose pixels are in
 * a fixed random order: what convolutions win from neighbourhood is gone. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "architectures.h"
#include "nets_graph.h"
#include "seed_check.h"

enum { ARMS = NET_BLOCKS + 1, LOOKS = 3 };

typedef struct arm {
    const char *id;
    dlf_text label;
    net_block block;
    bool shuffled;
} arm;

static const arm arms[ARMS] = {
    {"plain", {"普通（VGG）", "plain (VGG)"}, NET_BLOCK_PLAIN, false},
    {"residual", {"残差（ResNet）", "residual (ResNet)"}, NET_BLOCK_RESIDUAL, false},
    {"inception", {"并行分支（Inception）", "branches (Inception)"}, NET_BLOCK_INCEPTION, false},
    {"dense", {"密集（DenseNet）", "dense (DenseNet)"}, NET_BLOCK_DENSE, false},
    {"depthwise", {"深度可分离（MobileNet）", "separable (MobileNet)"}, NET_BLOCK_DEPTHWISE, false},
    {"shuffled",
     {"对照：普通，像素乱序", "control: plain, pixels shuffled"},
     NET_BLOCK_PLAIN,
     true}};

typedef struct trained {
    int width;
    int64_t step; /* multiply-adds of a channel more; 0: the width was not looked for */
    net_outcome out;
    const double *last; /* (seeds): accuracy at the end */
} trained;

int dlf_architectures_test_rows(const dlf_run *run, int all)
{
    const int wanted = dlf_run_int(run, "rows") / 8;
    return wanted < all ? wanted : all;
}

/* The same permutation of the pixels for every image. */
static dlf_status shuffle(dlf_dataset *d)
{
    const size_t F = (size_t)d->features, rows = (size_t)(d->train + d->test);
    int32_t *order = malloc(F * sizeof *order);
    float *row = malloc(F * sizeof *row);
    if (!order || !row) {
        free(order);
        free(row);
        return dlf_fail(DLF_ERR_OOM, "architectures: out of memory");
    }
    dlf_permutation(order, (int32_t)F, 28, 0, 0);
    for (size_t i = 0; i < rows; i++) {
        memcpy(row, d->x + i * F, F * sizeof *row);
        for (size_t k = 0; k < F; k++) d->x[i * F + k] = row[order[k]];
    }
    free(row);
    free(order);
    return DLF_OK;
}

typedef struct plan {
    net_block block;
    int width, classes;
} plan;

static void build(net *n, const void *how)
{
    const plan *p = how;
    net_of_blocks(n, p->block, p->width, p->classes);
}

static dlf_status train_arm(dlf_run *run, const arm *a, const dlf_dataset *data, trained *t,
                            double from, double to)
{
    const plan how = {a->block, t->width, data->classes};
    const net_job job = {.what = a->id,
                         .build = build,
                         .how = &how,
                         .data = data,
                         .batch = dlf_run_int(run, "batch"),
                         .steps = dlf_run_int(run, "digits_steps"),
                         .looks = LOOKS,
                         .lr = 1e-2,
                         .seed = dlf_run_seed(run) + 28};
    t->last = t->out.test + (LOOKS - 1) * dlf_run_seeds(run);
    return net_train(run, &job, &t->out, from, to);
}

/* ---- report --------------------------------------------------------------------------------- */

static dlf_status tables(dlf_run *run, const trained *t)
{
    const int seeds = dlf_run_seeds(run);
    dlf_table *blocks, *costs;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "blocks",
                             (dlf_text){"乘加次数相同的各种块（手写数字）",
                                        "blocks of equal multiply-adds on the digits"},
                             (const dlf_column[]){{"arm", NULL},
                                                  {"arm_zh", NULL},
                                                  {"arm_en", NULL},
                                                  {"width", "channel"},
                                                  {"macs", "1"},
                                                  {"parameters", "1"},
                                                  {"accuracy", "1"},
                                                  {"lo", "1"},
                                                  {"hi", "1"},
                                                  {"kilobytes", "kB"},
                                                  {"chance", "1"},
                                                  {NULL}},
                             &blocks));
    DLF_TRY(dlf_result_table(dlf_run_result(run), "block_costs",
                             (dlf_text){"训练一步的时间与内存，以普通块为 1",
                                        "time and memory of a training step, plain = 1"},
                             (const dlf_column[]){{"arm", NULL},
                                                  {"arm_zh", NULL},
                                                  {"arm_en", NULL},
                                                  {"image_us", "us"},
                                                  {"time", "1"},
                                                  {"time_lo", "1"},
                                                  {"time_hi", "1"},
                                                  {"memory", "1"},
                                                  {NULL}},
                             &costs));
    for (int i = 0; i < ARMS; i++) {
        const arm *a = &arms[i];
        const dlf_estimate e = dlf_estimate_of(t[i].last, seeds, 1);
        DLF_TRY(dlf_table_row(blocks, DLF_TXT(a->id), DLF_TXT(a->label.zh), DLF_TXT(a->label.en),
                              DLF_NUM(t[i].width), DLF_NUM(t[i].out.sum.macs),
                              DLF_NUM(t[i].out.sum.parameters), DLF_NUM(e.mean), DLF_NUM(e.lo),
                              DLF_NUM(e.hi), DLF_NUM((double)t[i].out.bytes / 1e3), DLF_NUM(0.1)));
        if (a->shuffled) continue;
        double ratio[LOOKS];
        for (int k = 0; k < LOOKS; k++) ratio[k] = t[i].out.image_us[k] / t[0].out.image_us[k];
        const dlf_estimate r = dlf_estimate_of(ratio, LOOKS, 1);
        DLF_TRY(dlf_table_row(costs, DLF_TXT(a->id), DLF_TXT(a->label.zh), DLF_TXT(a->label.en),
                              DLF_NUM(dlf_estimate_of(t[i].out.image_us, LOOKS, 1).mean),
                              DLF_NUM(r.mean), DLF_NUM(r.lo), DLF_NUM(r.hi),
                              DLF_NUM((double)t[i].out.bytes / (double)t[0].out.bytes)));
    }
    return DLF_OK;
}

static dlf_status figures(dlf_run *run)
{
    dlf_figure blocks = {
        .id = "blocks",
        .kind = DLF_BARS,
        .title = {"乘加次数相同时，各种块在手写数字上的正确率",
                  "The blocks at equal multiply-adds: accuracy on the digits"},
        .subtitle = {"3×3 入口、池化、两个块、全局平均；误差棒为种子间 95% 区间",
                     "3×3 stem, pooling, two blocks, mean over positions; bars: 95 % over seeds"},
        .x = {{"块", "block"}, false},
        .y = {{"测试集正确率", "test accuracy"}, false},
        .series = {{.role = DLF_MEASURED,
                    .table = "blocks",
                    .x = "arm",
                    .y = "accuracy",
                    .lo = "lo",
                    .hi = "hi",
                    .label = {"训练后", "after training"},
                    .colour = 0},
                   {.role = DLF_REFERENCE,
                    .table = "blocks",
                    .x = "arm",
                    .y = "chance",
                    .label = {"随机水平", "chance"}}}};
    dlf_figure costs = {
        .id = "block_costs",
        .kind = DLF_BARS,
        .title = {"乘加次数相同，时间与内存不同", "Equal multiply-adds, unequal time and memory"},
        .subtitle = {"训练一步，以普通块为 1；误差棒为训练各段间的 95% 区间",
                     "one training step, plain blocks = 1; bars: 95 % over parts of the training"},
        .x = {{"块", "block"}, false},
        .y = {{"相对普通块", "relative to plain"}, false},
        .series = {{.role = DLF_MEASURED,
                    .table = "block_costs",
                    .x = "arm",
                    .y = "time",
                    .lo = "time_lo",
                    .hi = "time_hi",
                    .label = {"时间", "time"},
                    .colour = 0},
                   {.role = DLF_MEASURED,
                    .table = "block_costs",
                    .x = "arm",
                    .y = "memory",
                    .label = {"峰值内存", "peak memory"},
                    .colour = 1}}};
    DLF_TRY(dlf_result_figure(dlf_run_result(run), &blocks));
    return dlf_result_figure(dlf_run_result(run), &costs);
}

/* How far the multiply-adds of the arms are from those of the plain one, and the graph's own count
 * of both multiply-adds and parameters from the counter's. */
static dlf_status count_checks(dlf_run *run, const trained *t)
{
    double off = 0.0, graph = 0.0, half_step = 0.0;
    for (int i = 0; i < ARMS; i++) {
        half_step = fmax(half_step, 0.5 * (double)t[i].step / (double)t[0].out.sum.macs);
        off = fmax(off, fabs((double)t[i].out.sum.macs / (double)t[0].out.sum.macs - 1.0));
        graph += fabs((double)(t[i].out.sum.macs - t[i].out.macs)) +
                 fabs((double)(t[i].out.sum.parameters - t[i].out.parameters));
    }
    dlf_check c =
        dlf_check_exact("blocks_equal",
                        (dlf_text){"各种块的乘加次数与普通块之差（最大者）",
                                   "the blocks' multiply-adds are those of the plain one (worst)"},
                        off);
    c.tolerance = half_step;
    c.source =
        "widths are whole numbers, and the nearest one is taken: at most half of what one channel "
        "more changes";
    DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    c = dlf_check_exact(
        "two_counters",
        (dlf_text){"层列表与计算图两种计数相差的参数量与乘加次数之和",
                   "parameters and multiply-adds by which the list's counter and the "
                   "graph's differ, summed"},
        graph);
    c.source = "identity: one network counted by two programs";
    c.self_check = true;
    return dlf_result_check(dlf_run_result(run), c);
}

static dlf_check difference(dlf_run *run, const char *id, dlf_text claim, const double *a,
                            const double *b, double *scratch)
{
    const int seeds = dlf_run_seeds(run);
    for (int s = 0; s < seeds; s++) scratch[s] = a[s] - b[s];
    return dlf_check_of(id, claim, dlf_estimate_of(scratch, seeds, 1));
}

static dlf_status accuracy_checks(dlf_run *run, const trained *t, double *scratch)
{
    const int seeds = dlf_run_seeds(run);
    dlf_result *r = dlf_run_result(run);
    int worst = 0;
    for (int i = 1; i < NET_BLOCKS; i++)
        if (dlf_estimate_of(t[i].last, seeds, 1).mean <
            dlf_estimate_of(t[worst].last, seeds, 1).mean)
            worst = i;
    dlf_check c =
        dlf_check_of("blocks_learn",
                     (dlf_text){"每一种块都学得会（最差者的测试正确率）",
                                "every block learns the digits (test accuracy of the worst)"},
                     dlf_estimate_of(t[worst].last, seeds, 1));
    c.expected = 0.93;
    c.tolerance = 0.02;
    c.relation = DLF_AT_LEAST;
    c.source =
        "a linear classifier reaches 0.93 on this split; 2 points are 2 binomial s.e. on 500 "
        "images";
    DLF_TRY(dlf_result_check(r, c));
    c = difference(
        run, "blocks_locality",
        (dlf_text){"像素乱序之后，同一个网络变差（正确率之差）",
                   "with shuffled pixels the same network does worse (difference in accuracy)"},
        t[0].last, t[ARMS - 1].last, scratch);
    c.relation = DLF_AT_LEAST;
    c.has_verdict = true;
    c.verdict = dlf_verdict_above(dlf_estimate_of(scratch, seeds, 1), 0.0);
    c.source = "weight sharing assumes that neighbours belong together: LeCun et al. 1998";
    DLF_TRY(dlf_result_check(r, c));
    c = difference(
        run, "blocks_residual",
        (dlf_text){"两个块这么浅时，跳转没有差别（残差减普通）",
                   "as shallow as two blocks, the skip makes no difference (residual minus "
                   "plain)"},
        t[1].last, t[0].last, scratch);
    c.tolerance = 0.03;
    c.source =
        "no theory asks for a difference; 3 points are 3 binomial s.e. of two networks on 500 "
        "images";
    return dlf_result_check(r, c);
}

static dlf_status all_arms(dlf_run *run, const dlf_dataset *plain, const dlf_dataset *shuffled,
                           trained *t, double from, double to)
{
    const int side = plain->height, classes = plain->classes;
    for (int i = 0; i < ARMS; i++) {
        const net_block block = arms[i].block;
        t[i].width = dlf_run_int(run, "channels");
        if (block != NET_BLOCK_PLAIN && block != NET_BLOCK_RESIDUAL)
            DLF_TRY(
                net_width_for(&t[i].width, &t[i].step, block, t[0].out.sum.macs, side, classes));
        DLF_TRY(train_arm(run, &arms[i], arms[i].shuffled ? shuffled : plain, &t[i],
                          from + (to - from) * i / ARMS, from + (to - from) * (i + 1) / ARMS));
    }
    DLF_TRY(tables(run, t));
    return figures(run);
}

dlf_status dlf_architectures_blocks(dlf_run *run, double from, double to)
{
    const size_t seeds = (size_t)dlf_run_seeds(run);
    dlf_dataset plain = {0}, shuffled = {0};
    trained t[ARMS] = {0};
    dlf_status status;
    double *memory = malloc((ARMS * LOOKS + 1) * seeds * sizeof *memory);
    if (!memory) return dlf_fail(DLF_ERR_OOM, "architectures: out of memory");
    for (size_t i = 0; i < ARMS; i++) t[i].out.test = memory + i * LOOKS * seeds;
    DLF_TRY_DONE(dlf_digits_load(&plain));
    DLF_TRY_DONE(dlf_digits_load(&shuffled));
    DLF_TRY_DONE(shuffle(&shuffled));
    plain.test = shuffled.test = dlf_architectures_test_rows(run, plain.test);
    DLF_TRY_DONE(all_arms(run, &plain, &shuffled, t, from, to));
    DLF_TRY_DONE(count_checks(run, t));
    DLF_TRY_DONE(accuracy_checks(run, t, memory + ARMS * LOOKS * seeds));
done:
    dlf_dataset_free(&plain);
    dlf_dataset_free(&shuffled);
    free(memory);
    return status;
}
