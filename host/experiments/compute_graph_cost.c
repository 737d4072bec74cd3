/* SPDX-License-Identifier: MIT
 * compute_graph_cost.c -- Q13: what the backward pass costs, counted and timed.
 *
 * A dense layer d_{l-1} -> d_l takes d_{l-1} d_l multiply-adds per row forward, as many again for
 * the gradient of its weights and as many for the gradient of its input; the first layer needs none
 * of the last kind. Hence with S = sum d_{l-1} d_l
 *
 *     backward / forward = 2 - d_0 d_1 / S */
#include <math.h>
#include <stdlib.h>

#include "compute_graph.h"
#include "seed_check.h"
#include "stopwatch.h"

enum { INPUTS = 64, CLASSES = 10, MEMBERS = 2, DEPTHS = 4 };
static const int depths[DEPTHS] = {1, 2, 4, 8};

static classifier_spec spec_of(int members, int batch, int width, int depth)
{
    return (classifier_spec){.members = members,
                             .batch = batch,
                             .inputs = INPUTS,
                             .width = width,
                             .depth = depth,
                             .classes = CLASSES,
                             .f = dlf_activation_of(DLF_TANH),
                             .init = dlf_lecun()};
}

/* Multiply-adds of one row, forward; the first layer's separately. */
static int64_t macs_by_hand(int width, int depth, int64_t *first)
{
    *first = (int64_t)INPUTS * width;
    return *first + (int64_t)(depth - 1) * width * width + (int64_t)width * CLASSES;
}

/* ---- counts: 64-256-256-256-10, as a textbook would count ---- */

static dlf_status count(dlf_run *run)
{
    enum { WIDTH = 256, DEPTH = 3 };
    dlf_graph *g = NULL;
    int64_t first;
    const classifier_spec spec = spec_of(1, 1, WIDTH, DEPTH);
    const int64_t forward = macs_by_hand(WIDTH, DEPTH, &first);
    DLF_TRY(classifier_new(&g, dlf_run_device(run), &spec));
    const dlf_graph_cost cost = dlf_graph_cost_of(g);
    const int64_t parameters = dlf_graph_parameter_count(g);
    dlf_graph_free(g);

    dlf_result *r = dlf_run_result(run);
    DLF_TRY(dlf_add_exact(run, "forward_macs",
                          (dlf_text){"64-256-256-256-10 前向的乘加次数",
                                     "multiply-adds of 64-256-256-256-10, forward"},
                          (double)cost.forward_macs, (double)forward, 0.0,
                          "counted by hand: sum of d_{l-1} d_l", NULL));
    DLF_TRY(dlf_add_exact(run, "backward_macs",
                          (dlf_text){"反向的乘加次数（不求输入的梯度）",
                                     "its multiply-adds backward (no gradient of the input)"},
                          (double)cost.backward_macs, (double)(2 * forward - first), 0.0,
                          "counted by hand: 2 S - d_0 d_1", NULL));
    DLF_TRY(dlf_result_fact(
        r, "total_over_forward",
        (double)(cost.forward_macs + cost.backward_macs) / (double)cost.forward_macs, "1"));
    DLF_TRY(dlf_result_fact(r, "parameters", (double)parameters, "1"));
    return dlf_result_fact(r, "difference_passes", (double)parameters + 1.0, "passes");
}

/* ---- time, by depth ---- */

/* Microseconds of the fastest of some forward passes and of some forward and backward ones: other
 * programs can only make them slower. In turns, so that a slow phase of the machine hits both. */
static dlf_status time_runs(dlf_graph *g, int repeats, double *forward_us, double *both_us)
{
    dlf_device *dev = dlf_graph_device(g);
    double *fastest[] = {forward_us, both_us};
    *forward_us = *both_us = INFINITY;
    for (int i = 0; i < 2 * repeats; i++) {
        DLF_TRY(dlf_device_sync(dev));
        const double start = dlf_stopwatch_us(dev);
        DLF_TRY(dlf_graph_forward(g, DLF_TRAINING));
        if (i % 2) DLF_TRY(dlf_graph_backward(g));
        DLF_TRY(dlf_device_sync(dev));
        const double taken = dlf_stopwatch_us(dev) - start;
        if (taken < *fastest[i % 2]) *fastest[i % 2] = taken;
    }
    return DLF_OK;
}

/* Rounds of forward and forward + backward in turns; ratio[round]. */
static dlf_status time_depth(dlf_run *run, int depth, double *forward_us, double *ratio)
{
    dlf_status status;
    dlf_graph *g = NULL;
    const int rounds = dlf_run_seeds(run), repeats = dlf_run_int(run, "repeats");
    const classifier_spec spec =
        spec_of(MEMBERS, dlf_run_int(run, "batch"), dlf_run_int(run, "width"), depth);
    double both;
    DLF_TRY_DONE(classifier_new(&g, dlf_run_device(run), &spec));
    DLF_TRY_DONE(dlf_graph_initialise(g, dlf_run_seed(run), NULL));
    DLF_TRY_DONE(dlf_compute_graph_fill(g, &spec));
    DLF_TRY_DONE(time_runs(g, 1, &forward_us[0], &both)); /* warm */
    for (int i = 0; i < rounds; i++) {
        DLF_TRY_DONE(time_runs(g, repeats, &forward_us[i], &both));
        ratio[i] = both / forward_us[i];
    }
done:
    dlf_graph_free(g);
    return status;
}

static dlf_status cost_figure(dlf_run *run)
{
    const dlf_figure figure = {
        .id = "cost",
        .kind = DLF_LINES,
        .title = {"一次反向给出全部导数：总乘加不到前向的三倍，与深度、参数个数无关",
                  "One backward pass gives every derivative: below three times the forward "
                  "operations, at any depth"},
        .subtitle = {"全连接 tanh 网络 64-宽^深-10；实线为本机所用处理器时间（各轮 95% 区间）",
                     "dense tanh networks 64-width^depth-10; solid: processor time here (95 % over "
                     "rounds)"},
        .x = {{"隐藏层数", "hidden layers"}, true},
        .y = {{"（前向＋反向）/ 前向", "(forward + backward) / forward"}, false},
        .series = {{.role = DLF_MEASURED,
                    .table = "cost",
                    .x = "depth",
                    .y = "time_ratio",
                    .lo = "time_lo",
                    .hi = "time_hi",
                    .label = {"时间", "time"},
                    .colour = 0},
                   {.role = DLF_THEORY,
                    .table = "cost",
                    .x = "depth",
                    .y = "mac_ratio",
                    .label = {"乘加次数，3 − d₀d₁/S", "multiply-adds, 3 − d₀d₁/S"},
                    .colour = 1},
                   {.role = DLF_REFERENCE,
                    .table = "cost",
                    .x = "depth",
                    .y = "bound",
                    .label = {"一般上界 5", "bound for any program: 5"}}}};
    return dlf_result_figure(dlf_run_result(run), &figure);
}

static dlf_status add_row(dlf_run *run, dlf_table *table, int depth, const double *us,
                          const double *ratio, double *worst_ratio)
{
    int64_t first;
    const int rounds = dlf_run_seeds(run), width = dlf_run_int(run, "width");
    const double forward = (double)macs_by_hand(width, depth, &first);
    const dlf_estimate t = dlf_estimate_of(ratio, rounds, 1), f = dlf_estimate_of(us, rounds, 1);
    /* the worst in the mean: the largest of every round would be the noisiest */
    if (!(t.mean <= dlf_estimate_of(worst_ratio, rounds, 1).mean))
        for (int i = 0; i < rounds; i++) worst_ratio[i] = ratio[i];
    return dlf_table_row(table, DLF_NUM(depth), DLF_NUM(forward),
                         DLF_NUM(3.0 - (double)first / forward), DLF_NUM(t.mean), DLF_NUM(t.lo),
                         DLF_NUM(t.hi), DLF_NUM(f.mean), DLF_NUM(5.0));
}

static dlf_status measure(dlf_run *run, double *us, double *ratio, double *worst_ratio, double from,
                          double to)
{
    const int rounds = dlf_run_seeds(run);
    dlf_result *r = dlf_run_result(run);
    dlf_table *table;
    DLF_TRY(dlf_result_table(r, "cost",
                             (dlf_text){"反向对前向：乘加次数与时间",
                                        "backward against forward: multiply-adds and time"},
                             (const dlf_column[]){{"depth", "layer"},
                                                  {"forward_macs", "1"},
                                                  {"mac_ratio", "1"},
                                                  {"time_ratio", "1"},
                                                  {"time_lo", "1"},
                                                  {"time_hi", "1"},
                                                  {"forward_us", "us"},
                                                  {"bound", "1"},
                                                  {NULL}},
                             &table));
    for (int i = 0; i < rounds; i++) worst_ratio[i] = 0.0;
    for (int k = 0; k < DEPTHS; k++) {
        DLF_TRY(dlf_run_stage(run, from + (to - from) * k / DEPTHS, "timing depth %d", depths[k]));
        DLF_TRY(time_depth(run, depths[k], us, ratio));
        DLF_TRY(add_row(run, table, depths[k], us, ratio, worst_ratio));
    }
    DLF_TRY(cost_figure(run));
    dlf_check check = dlf_check_of(
        "reverse_mode_time",
        (dlf_text){"前向加反向的时间不超过前向的四倍（各深度中最差者）",
                   "forward and backward together take at most four times the forward pass (worst "
                   "depth)"},
        dlf_estimate_of(worst_ratio, rounds, 1));
    check.expected = 4.0;
    check.relation = DLF_AT_MOST;
    /* by the whole interval: a round that shared its caches with another machine widens it */
    check.has_verdict = true;
    check.verdict = dlf_verdict_below(dlf_estimate_of(worst_ratio, rounds, 1), check.expected);
    check.source = "cheap gradient principle: at most 5 operations per operation (Baur & Strassen "
                   "1983; Griewank & Walther 2008, ch. 3); 3 - d_0 d_1 / S for dense layers";
    return dlf_result_check(r, check);
}

dlf_status dlf_compute_graph_cost(dlf_run *run, double from, double to)
{
    const size_t rounds = (size_t)dlf_run_seeds(run);
    DLF_TRY(count(run));
    double *memory = malloc(3 * rounds * sizeof *memory);
    if (!memory) return dlf_fail(DLF_ERR_OOM, "compute-graph: out of memory");
    const dlf_status status = measure(run, memory, memory + rounds, memory + 2 * rounds, from, to);
    free(memory);
    return status;
}
