/* SPDX-License-Identifier: MIT
 * norm_cost.c -- Q33: what a norm costs. Two sources, and no verdict on either: times depend on the
 * machine.
 *
 *   stored   time and share of the copy ceiling of every kernel, from bench/results
 * (bench_store.h); of this device if it has been measured, else of another, which is then named
 *   here     the share of a training step, of a small classifier with and without each norm, in
 * turns
 *
 * What can be checked is the traffic: the bytes that the benchmark counts are those of norm.h.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_store.h"
#include "dlf/train.h"
#include "figures.h"
#include "norm_landscape.h"
#include "seed_check.h"
#include "stopwatch.h"

enum { FORWARD, BACKWARD, DIRECTIONS, DEPTH = 4, BATCH = 64 };
static const char *const directions[DIRECTIONS] = {"forward", "backward"};
/* Smaller ones stay in a cache, where the ceiling is another. */
static const double least_bytes = 4e6;

static const dlf_param params[] = {
    DLF_INT_PARAM("digits_width", 64, 64, 8, 1024, "units", "每层宽度", "units per layer"),
    DLF_INT_PARAM("step_repeats", 20, 40, 1, 10000, "steps", "每轮计时的训练步数",
                  "training steps that a round times"),
    {.name = NULL},
};

/* Elements that must be moved per position (norm.h, "cost"): forward reads x and writes y, batch
 * norm reads x twice; backward reads x and dy and writes dx, batch norm reads both twice. */
static int ideal_elements(int kind, int direction)
{
    const bool batch = kind == DLF_BATCH_NORM;
    return direction == FORWARD ? (batch ? 3 : 2) : (batch ? 5 : 3);
}

/* ---- stored -----------------------------------------------------------------------------------
 */

/* Product of the sizes in "batch_norm forward nchw 8x64x56x56". */
static double positions_of(const char *name)
{
    const char *shape = strrchr(name, ' ');
    double n = 1.0;
    for (const char *p = shape ? shape + 1 : ""; *p; p += *p == 'x') {
        char *end;
        n *= strtod(p, &end);
        if (end == p) return NAN;
        p = end;
    }
    return n;
}

/* "KIND DIRECTION ..." */
static bool is_row(const bench_row *r, int kind, int direction)
{
    char start[64];
    const int n = snprintf(start, sizeof start, "%s %s ", dlf_norm_name((dlf_norm_kind)kind),
                           directions[direction]);
    return strncmp(r->name, start, (size_t)n) == 0;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median, least and largest of n values, which are sorted; NaN if there are none. */
typedef struct spread {
    double middle, lo, hi;
} spread;

static spread spread_of(double *v, int n)
{
    if (n == 0) return (spread){(double)NAN, (double)NAN, (double)NAN};
    qsort(v, (size_t)n, sizeof *v, compare);
    return (spread){n % 2 ? v[n / 2] : 0.5 * (v[n / 2 - 1] + v[n / 2]), v[0], v[n - 1]};
}

typedef struct cost {
    spread of_copy, ns; /* share of the ceiling; nanoseconds per position */
    int shapes;
} cost;

static dlf_status cost_of(const bench_store *s, int kind, int direction, cost *out)
{
    double *v = malloc((size_t)(2 * s->rows + 2) * sizeof *v);
    int n = 0;
    if (!v) return dlf_fail(DLF_ERR_OOM, "norm-cost: out of memory");
    for (int i = 0; i < s->rows; i++) {
        const bench_row *r = &s->row[i];
        if (!is_row(r, kind, direction) || r->bytes < least_bytes) continue;
        v[n] = r->of_copy;
        v[s->rows + 1 + n++] = 1e3 * r->us / positions_of(r->name);
    }
    *out = (cost){.of_copy = spread_of(v, n), .ns = spread_of(v + s->rows + 1, n), .shapes = n};
    free(v);
    return DLF_OK;
}

static dlf_status cost_table(dlf_run *run, const bench_store *s)
{
    dlf_table *t;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "cost",
        (dlf_text){"各归一化的开销（存储的测量）", "cost of each norm (stored measurements)"},
        (const dlf_column[]){{"norm", NULL},
                             {"norm_zh", NULL},
                             {"norm_en", NULL},
                             {"direction", NULL},
                             {"elements", "1"},
                             {"shapes", "1"},
                             {"of_copy", "1"},
                             {"lo", "1"},
                             {"hi", "1"},
                             {"ns", "ns"},
                             {"us", "us"},
                             {NULL, NULL}},
        &t));
    for (int kind = 0; kind < DLF_NORM_COUNT; kind++)
        for (int d = 0; d < DIRECTIONS; d++) {
            cost c = {.shapes = 0};
            DLF_TRY(cost_of(s, kind, d, &c));
            DLF_TRY(dlf_table_row(
                t, DLF_TXT(norm_method_id(kind)), DLF_TXT(norm_method_name(kind).zh),
                DLF_TXT(norm_method_name(kind).en), DLF_TXT(directions[d]),
                DLF_NUM(ideal_elements(kind, d)), DLF_NUM(c.shapes), DLF_NUM(c.of_copy.middle),
                DLF_NUM(c.of_copy.lo), DLF_NUM(c.of_copy.hi), DLF_NUM(c.ns.middle),
                DLF_NUM(c.ns.middle * 1e-3 * (1 << 20))));
        }
    return DLF_OK;
}

/* Every stored row of every norm, and how many of them count other bytes than norm.h says. */
static dlf_status kernel_table(dlf_run *run, const bench_store *s, int *rows, int *differ)
{
    dlf_table *t;
    DLF_TRY(
        dlf_result_table(dlf_run_result(run), "kernels",
                         (dlf_text){"存储的测量，逐个形状", "stored measurements, shape by shape"},
                         (const dlf_column[]){{"kernel", NULL},
                                              {"bytes", "byte"},
                                              {"us", "us"},
                                              {"gigabytes_per_second", "GB/s"},
                                              {"of_copy", "1"},
                                              {NULL, NULL}},
                         &t));
    *rows = *differ = 0;
    for (int kind = 0; kind < DLF_NORM_COUNT; kind++)
        for (int d = 0; d < DIRECTIONS; d++)
            for (int i = 0; i < s->rows; i++) {
                const bench_row *r = &s->row[i];
                if (!is_row(r, kind, d)) continue;
                const double ideal = 4.0 * ideal_elements(kind, d) * positions_of(r->name);
                (*rows)++;
                *differ += !(fabs(r->bytes / ideal - 1.0) < 0.1); /* gamma, statistics: little */
                DLF_TRY(dlf_table_row(t, DLF_TXT(r->name), DLF_NUM(r->bytes), DLF_NUM(r->us),
                                      DLF_NUM(1e-3 * r->bytes / r->us), DLF_NUM(r->of_copy)));
            }
    return DLF_OK;
}

/* Whose measurements these are, as a sentence for the answer. */
static dlf_status whose(dlf_result *r, const bench_store *s)
{
    char zh[400] = "没有存储的测量", en[400] = "there are no stored measurements";
    if (s->rows) {
        snprintf(zh, sizeof zh, "存储的测量来自%s %s%s", s->this_device ? "本机" : "另一台设备",
                 s->device, s->this_device ? "" : "，本机未测量");
        snprintf(en, sizeof en, "the stored measurements are of %s, %s%s",
                 s->this_device ? "this device" : "another device", s->device,
                 s->this_device ? "" : "; not measured on this device");
    }
    dlf_check c = dlf_check_exact("store", (dlf_text){zh, en}, s->this_device);
    c.has_verdict = true;
    c.verdict = DLF_DEFINITIONAL;
    c.source = "bench/results";
    return dlf_result_check(r, c);
}

static dlf_status stored(dlf_run *run, const bench_store *s)
{
    dlf_result *r = dlf_run_result(run);
    int rows, differ;
    DLF_TRY(cost_table(run, s));
    DLF_TRY(kernel_table(run, s, &rows, &differ));
    DLF_TRY(dlf_result_parameter_text(r, "store", s->rows ? s->name : "none"));
    DLF_TRY(dlf_result_parameter_text(r, "store_device", s->rows ? s->device : "none"));
    DLF_TRY(whose(r, s));
    DLF_TRY(dlf_result_fact(r, "store_rows", rows, "1"));
    dlf_check c =
        dlf_check_exact("bytes_differ",
                        (dlf_text){"存储的测量所记的字节数与公式不符的行数",
                                   "stored rows whose bytes are not those of the formula"},
                        differ);
    c.source = "norm.h, cost: 2 or 3 elements forward, 3 or 5 backward, 4 bytes each; 10 % for "
               "gamma, beta and statistics";
    return dlf_result_check(r, c);
}

/* ---- here -------------------------------------------------------------------------------------
 */

static const int methods[] = {NORM_NONE, DLF_BATCH_NORM, DLF_LAYER_NORM, DLF_GROUP_NORM,
                              DLF_RMS_NORM};
enum { METHODS = sizeof methods / sizeof methods[0], ROUNDS = 7, MEMBERS = 4 };

typedef struct trainer {
    dlf_graph *g;
    dlf_train *t;
} trainer;

static dlf_status trainer_new(trainer *out, dlf_run *run, const dlf_dataset *data, int method)
{
    double lr[MEMBERS];
    for (int p = 0; p < MEMBERS; p++) lr[p] = 0.01;
    DLF_TRY(landscape_network(&out->g, dlf_run_device(run), method, MEMBERS, BATCH, data->features,
                              dlf_run_int(run, "digits_width"), DEPTH, data->classes));
    DLF_TRY(dlf_graph_initialise(out->g, dlf_run_seed(run), NULL));
    DLF_TRY(dlf_train_new(
        &out->t, out->g, data,
        &(dlf_train_spec){.seed = dlf_run_seed(run), .lr = lr, .optimiser = dlf_sgd(0.9, 0.0)}));
    return dlf_train_run(out->t, 3); /* warm, and recorded where steps are replayed */
}

/* Microseconds per step and member. */
static dlf_status time_steps(dlf_run *run, trainer *t, double *us)
{
    const int steps = dlf_run_int(run, "step_repeats");
    DLF_TRY(dlf_device_sync(dlf_run_device(run)));
    const double start = dlf_stopwatch_us(dlf_run_device(run));
    DLF_TRY(dlf_train_run(t->t, steps));
    DLF_TRY(dlf_device_sync(dlf_run_device(run)));
    *us = (dlf_stopwatch_us(dlf_run_device(run)) - start) / steps / MEMBERS;
    return DLF_OK;
}

static dlf_status share_table(dlf_run *run, double us[METHODS][ROUNDS])
{
    dlf_table *t;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "share",
        (dlf_text){"训练一步中归一化所占的时间", "share of a norm in a training step"},
        (const dlf_column[]){{"norm", NULL},
                             {"norm_zh", NULL},
                             {"norm_en", NULL},
                             {"step", "us"},
                             {"share", "1"},
                             {"lo", "1"},
                             {"hi", "1"},
                             {NULL, NULL}},
        &t));
    for (int m = 0; m < METHODS; m++) {
        double v[ROUNDS], w[ROUNDS];
        for (int i = 0; i < ROUNDS; i++) {
            v[i] = 1.0 - us[0][i] / us[m][i];
            w[i] = us[m][i];
        }
        const spread share = spread_of(v, ROUNDS);
        DLF_TRY(dlf_table_row(
            t, DLF_TXT(norm_method_id(methods[m])), DLF_TXT(norm_method_name(methods[m]).zh),
            DLF_TXT(norm_method_name(methods[m]).en), DLF_NUM(spread_of(w, ROUNDS).middle),
            DLF_NUM(share.middle), DLF_NUM(share.lo), DLF_NUM(share.hi)));
    }
    return DLF_OK;
}

static dlf_status measured_here(dlf_run *run)
{
    trainer t[METHODS] = {{.g = NULL}};
    dlf_dataset data = {0};
    double us[METHODS][ROUNDS];
    dlf_status status;
    DLF_TRY_DONE(dlf_digits_load(&data));
    for (int m = 0; m < METHODS; m++) DLF_TRY_DONE(trainer_new(&t[m], run, &data, methods[m]));
    for (int i = 0; i < ROUNDS; i++) {
        DLF_TRY_DONE(dlf_run_stage(run, (double)i / ROUNDS, "training steps, in turns"));
        for (int m = 0; m < METHODS; m++) DLF_TRY_DONE(time_steps(run, &t[m], &us[m][i]));
    }
    DLF_TRY_DONE(share_table(run, us));
done:
    for (int m = 0; m < METHODS; m++) {
        dlf_train_free(t[m].t);
        dlf_graph_free(t[m].g);
    }
    dlf_dataset_free(&data);
    return status;
}

/* ---- figures ----------------------------------------------------------------------------------
 */

/* `where`: whose measurements. */
static dlf_status figures(dlf_run *run, const char *where_zh, const char *where_en)
{
    const dlf_text labels[DIRECTIONS] = {{"前向", "forward"}, {"反向", "backward"}};
    dlf_figure ceiling = {
        .id = "ceiling",
        .kind = DLF_BARS,
        .title = {"归一化受内存带宽限制：以拷贝同样多的字节为上限，各达到几成",
                  "Norms are bound by memory: how close each comes to copying as many bytes"},
        .subtitle = {where_zh, where_en},
        .y = {{"拷贝时间 / 实测时间", "time of the copy / time"}, false}};
    for (int d = 0; d < DIRECTIONS; d++)
        ceiling.series[d] = dlf_arm_series(DLF_MEASURED, "cost", "direction", directions[d], "norm",
                                           "of_copy", labels[d], d);
    DLF_TRY(dlf_result_figure(dlf_run_result(run), &ceiling));
    const dlf_figure share = {
        .id = "share",
        .kind = DLF_BARS,
        .title = {"小网络训练一步，归一化占去多少时间",
                  "How much of a small network's training step goes into the norm"},
        .subtitle = {"手写数字，4 层 ReLU，批 64，4 个网络一起训练；轮流计时 7 轮，中位数与范围；"
                     "与没有归一化的网络相比",
                     "digits, 4 layers of ReLU, batch 64, 4 networks together; 7 rounds in turns, "
                     "median and range; against the network without a norm"},
        .y = {{"占一步的时间", "share of the step"}, false},
        .series = {{.role = DLF_MEASURED,
                    .table = "share",
                    .x = "norm",
                    .y = "share",
                    .lo = "lo",
                    .hi = "hi",
                    .label = {"实测", "measured"}}}};
    return dlf_result_figure(dlf_run_result(run), &share);
}

static dlf_status run_norm_cost(dlf_run *run)
{
    char zh[400] = "没有存储的测量", en[400] = "there are no stored measurements";
    bench_store s;
    DLF_TRY(bench_store_find(&s, run));
    if (s.rows) {
        snprintf(zh, sizeof zh, "存储的测量，4 MB 以上的形状：中位数与范围。设备 %s%s", s.device,
                 s.this_device ? "" : "（本机未测量）");
        snprintf(en, sizeof en,
                 "stored measurements, shapes above 4 MB: median and range. Device %s%s", s.device,
                 s.this_device ? "" : " (not measured on this device)");
    }
    const dlf_status status = stored(run, &s);
    bench_store_free(&s);
    DLF_TRY(status);
    DLF_TRY(measured_here(run));
    return figures(run, zh, en);
}

const dlf_experiment dlf_experiment_norm_cost = {
    .slug = "norm-cost",
    .questions = "Q33",
    .title = {"Batch Normalization、Instance Normalization、Layer Normalization、Group "
              "Normalization之间有什么区别？",
              "What is the difference between Batch, Instance, Layer and Group Normalization?"},
    .claim = {"归一化的开销是内存流量：前向 2 个元素，BN 3 个；反向 3 个，BN 5 个",
              "what a norm costs is memory traffic: 2 elements per position forward, 3 for batch "
              "norm; 3 backward, 5 for batch norm"},
    .quick_seeds = 3,
    .full_seeds = 5,
    .params = params,
    .run = run_norm_cost,
};
