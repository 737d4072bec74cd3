/* SPDX-License-Identifier: MIT
 * perceptron_boolean.c -- Q12: which Boolean functions one perceptron can learn: all of them are
 * tried at once, each by one output of a layer. XOR is the smallest that it cannot. */
#include <math.h>
#include <stdlib.h>

#include "hull.h"
#include "perceptron.h"
#include "seed_check.h"

enum { MOST_INPUTS = 4 };

typedef struct functions {
    int inputs, rows, count; /* rows 2^inputs, count 2^rows           */
    float *x, *t;            /* (rows, inputs+1), (rows, count)       */
    double *total;           /* (count)                               */
    int *last;               /* (count)                               */
} functions;

static void functions_free(functions *f)
{
    free(f->last);
    free(f->total);
    free(f->t);
    free(f->x);
}

/* Inputs and outputs are -1 and +1; the last feature is 1, for the threshold. Output number f has
 * the bits of f as its truth table. */
static dlf_status functions_new(functions *f, int inputs)
{
    *f = (functions){.inputs = inputs, .rows = 1 << inputs, .count = 1 << (1 << inputs)};
    const size_t n = (size_t)f->count, rows = (size_t)f->rows;
    f->x = malloc(rows * (size_t)(inputs + 1) * sizeof *f->x);
    f->t = malloc(rows * n * sizeof *f->t);
    f->total = malloc(n * sizeof *f->total);
    f->last = malloc(n * sizeof *f->last);
    if (!f->x || !f->t || !f->total || !f->last)
        return dlf_fail(DLF_ERR_OOM, "perceptron: out of memory");
    for (int i = 0; i < f->rows; i++) {
        for (int j = 0; j < inputs; j++) f->x[i * (inputs + 1) + j] = i >> j & 1 ? 1.0f : -1.0f;
        f->x[i * (inputs + 1) + inputs] = 1.0f;
        for (int c = 0; c < f->count; c++) f->t[(long)i * f->count + c] = c >> i & 1 ? 1.0f : -1.0f;
    }
    return DLF_OK;
}

static dlf_status learn(functions *f, dlf_run *run, int passes, double from, double to)
{
    dlf_perceptrons machine;
    dlf_status status;
    int32_t order[1 << MOST_INPUTS];
    for (int i = 0; i < f->rows; i++) order[i] = i;
    DLF_TRY_DONE(dlf_perceptrons_new(&machine, dlf_run_device(run), 1, f->rows, f->inputs + 1, f->x,
                                     f->rows, f->count, f->t, false));
    DLF_TRY_DONE(dlf_perceptrons_order(&machine, f->rows, order, NULL));
    DLF_TRY_DONE(dlf_perceptrons_converge(&machine, passes, f->total, f->last, run, from, to,
                                          "all Boolean functions"));
done:
    dlf_perceptrons_free(&machine);
    return status;
}

/* How many functions a hyperplane can separate, by proof; f and not f alike. */
static dlf_status prove(const functions *f, double *separable)
{
    double a[(1 << MOST_INPUTS) * (MOST_INPUTS + 1)];
    const int d = f->inputs + 1;
    *separable = 0.0;
    for (int c = 0; c < f->count / 2; c++) {
        dlf_hull hull;
        for (int i = 0; i < f->rows; i++)
            for (int j = 0; j < d; j++)
                a[i * d + j] = f->x[i * d + j] * f->t[(long)i * f->count + c];
        DLF_TRY(dlf_hull_nearest(&hull, a, f->rows, d, NULL, NULL));
        *separable += hull.separable ? 2.0 : 0.0;
    }
    return DLF_OK;
}

/* Threshold functions of n variables: Muroga 1971, "Threshold Logic and Its Applications"; OEIS
 * A000609. */
static const double published[MOST_INPUTS + 1] = {2, 4, 14, 104, 1882};

static dlf_status report(const functions *f, dlf_run *run, dlf_table *table, int passes)
{
    static const char *const ids[] = {NULL, NULL, "boolean_2", "boolean_3", "boolean_4"};
    static const char *const proved_ids[] = {NULL, NULL, "boolean_2_proved", "boolean_3_proved",
                                             "boolean_4_proved"};
    static const dlf_text claims[] = {
        {NULL, NULL},
        {NULL, NULL},
        {"两个变量的 16 个布尔函数中，感知机学会这么多：除异或与同或以外全部",
         "of the 16 Boolean functions of two variables the perceptron learns so many: all but XOR "
         "and its negation"},
        {"三个变量的 256 个布尔函数中，感知机学会这么多",
         "of the 256 Boolean functions of three variables the perceptron learns so many"},
        {"四个变量的 65,536 个布尔函数中，感知机学会这么多",
         "of the 65,536 Boolean functions of four variables the perceptron learns so many"}};
    double learned = 0.0, most = 0.0, proved;
    for (int c = 0; c < f->count; c++)
        if (f->last[c] < passes) {
            learned += 1.0;
            most = fmax(most, f->total[c]);
        }
    DLF_TRY(prove(f, &proved));
    DLF_TRY(dlf_add_exact(run, ids[f->inputs], claims[f->inputs], learned, published[f->inputs],
                          0.0, "Muroga 1971 (OEIS A000609): threshold functions", NULL));
    if (f->inputs == 2) {
        const double xor_ends = f->last[6] < passes, and_ends = f->last[8] < passes;
        DLF_TRY(dlf_add_exact(run, "xor",
                              (dlf_text){"异或：感知机停下来的次数", "XOR: how often it ends"},
                              xor_ends, 0.0, 0.0, "Minsky & Papert 1969", NULL));
        DLF_TRY(dlf_add_exact(
            run, "and",
            (dlf_text){"对照，与：感知机停下来的次数", "control, AND: how often it ends"}, and_ends,
            1.0, 0.0, "w = (1,1,-1) separates it", NULL));
    }
    dlf_check c = dlf_check_exact(
        proved_ids[f->inputs],
        (dlf_text){"与逐个证明可分的个数相同", "as many as are proved to be separable"}, learned);
    c.expected = proved;
    c.source = "every function decided by the nearest point of the hull";
    DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    if (f->inputs == MOST_INPUTS)
        DLF_TRY(dlf_result_fact(dlf_run_result(run), "boolean_most_mistakes", most, "1"));
    return dlf_table_row(table, DLF_NUM(f->inputs), DLF_NUM(f->count), DLF_NUM(learned),
                         DLF_NUM(learned / f->count), DLF_NUM(published[f->inputs] / f->count),
                         DLF_NUM(fmin(1.0, dlf_cover_share(f->rows, f->inputs + 1))),
                         DLF_NUM(most));
}

static dlf_status figure(dlf_run *run)
{
    dlf_figure f = {
        .id = "boolean",
        .kind = DLF_LINES,
        .title = {"变量越多，一个感知机能学会的布尔函数所占比例越小",
                  "The more variables, the smaller the share of Boolean functions that one "
                  "perceptron can learn"},
        .subtitle = {"每个函数一个感知机，同一层一起训练；虚线为已发表的个数",
                     "one perceptron per function, all trained in one layer; published counts "
                     "dashed"},
        .x = {{"变量个数", "variables"}, false},
        .y = {{"学会的比例", "share learned"}, true}};
    f.series[0] = (dlf_series){.role = DLF_MEASURED,
                               .table = "boolean",
                               .x = "inputs",
                               .y = "share",
                               .label = {"学会的", "learned"},
                               .colour = 0,
                               .points = true};
    f.series[1] = (dlf_series){.role = DLF_THEORY,
                               .table = "boolean",
                               .x = "inputs",
                               .y = "published",
                               .label = {"已发表（Muroga）", "published (Muroga)"},
                               .colour = 0};
    f.series[2] =
        (dlf_series){.role = DLF_REFERENCE,
                     .table = "boolean",
                     .x = "inputs",
                     .y = "cover",
                     .label = {"一般位置的点（Cover）", "points in general position (Cover)"},
                     .colour = 2};
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_perceptron_boolean(dlf_run *run, double from, double to)
{
    const int passes = dlf_run_int(run, "boolean_passes"), most = MOST_INPUTS;
    dlf_table *table;
    DLF_TRY(
        dlf_result_table(dlf_run_result(run), "boolean",
                         (dlf_text){"感知机学会的布尔函数", "Boolean functions that are learned"},
                         (const dlf_column[]){{"inputs", "1"},
                                              {"functions", "1"},
                                              {"learned", "1"},
                                              {"share", "1"},
                                              {"published", "1"},
                                              {"cover", "1"},
                                              {"most_mistakes", "1"},
                                              {NULL, NULL}},
                         &table));
    for (int inputs = 2; inputs <= most; inputs++) {
        functions f;
        const double at = from + (to - from) * (inputs - 2) / (most - 1);
        dlf_status status = functions_new(&f, inputs);
        if (status == DLF_OK) status = learn(&f, run, passes, at, at + (to - from) / (most - 1));
        if (status == DLF_OK) status = report(&f, run, table, passes);
        functions_free(&f);
        DLF_TRY(status);
    }
    return figure(run);
}
