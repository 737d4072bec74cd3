/* SPDX-License-Identifier: MIT
 * bn_dependent_batches_classes.c -- Q25: digits in batches of one class each. A step averages the
 * gradients of ten batches of 32 rows, the same 320 rows whether they are sorted by class or mixed:
 * for a network that looks at one row at a time the two are the same step. With batch norm they are
 * not, because the batch mean of every normalized unit is 0 for every class: in training nothing is
 * left of the class's mean, in evaluation, against the running statistics, it is there again. (So
 * it is with data sorted by class, or one client or one sequence per device.) */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bn_dependent_batches.h"
#include "dlf/data.h"
#include "dlf/rng.h"
#include "figures.h"
#include "seed_check.h"

enum {
    CLASSES = 10,
    ROWS = 32,
    STEP = CLASSES * ROWS,
    GROUPINGS = 2,
    MIXED = 0,
    SORTED,
    MODES = 3
};
/* MODES: evaluation; training mode with mixed batches; training mode with sorted batches */

typedef struct setting {
    const dlf_dataset *data;
    int seeds;
    int *of_class;             /* training rows, then test rows, sorted by class        */
    int first[2][CLASSES + 1]; /* of_class[first[part][c] ..]: of the part and class    */
    float *x;                  /* (2 seeds, ROWS, features)                              */
    int32_t *label;            /* (2 seeds, ROWS)                                        */
    int *row;                  /* (seeds, STEP): the rows of a step, sorted by class     */
    double *wrong;             /* (MODES, 2 seeds) share of wrong answers                */
    double class_mean;         /* largest |batch mean of h| of a batch of one class      */
} setting;

static void sort_rows(setting *s)
{
    int n = 0;
    for (int part = 0; part < 2; part++)
        for (int c = 0; c <= CLASSES; c++) {
            s->first[part][c] = n;
            if (c == CLASSES) break;
            const int from = part ? s->data->train : 0;
            const int count = part ? s->data->test : s->data->train;
            for (int i = from; i < from + count; i++)
                if (s->data->label[i] == c) s->of_class[n++] = i;
        }
}

/* The 320 rows of step `step`: 32 of each class, with replacement. */
static void draw_rows(setting *s, uint64_t seed, int step)
{
    for (int k = 0; k < s->seeds * STEP; k++) {
        const int c = k % STEP / ROWS, *first = s->first[0];
        const uint32_t bits = dlf_rng_bits(seed, dlf_stream(DLF_PURPOSE_DATA, 1),
                                           (uint32_t)(k / STEP), (uint64_t)step * STEP + k % STEP);
        const uint64_t n = (uint64_t)(first[c + 1] - first[c]);
        s->row[k] = s->of_class[first[c] + (int)(bits * n >> 32)];
    }
}

/* 320 test rows, 32 of each class (as many as there are, from the first again). */
static void test_rows(setting *s)
{
    for (int k = 0; k < s->seeds * STEP; k++) {
        const int c = k % STEP / ROWS, *first = s->first[1], n = first[c + 1] - first[c];
        s->row[k] = s->of_class[first[c] + k % ROWS % n];
    }
}

/* Batch `b` of ten, of every member: sorted members get class b, mixed ones every tenth row. */
static void compose(setting *s, int b, const int *order)
{
    const int F = s->data->features;
    for (int p = 0; p < GROUPINGS * s->seeds; p++)
        for (int i = 0; i < ROWS; i++) {
            const int *row = s->row + p % s->seeds * STEP;
            const bool sorted = p / s->seeds == SORTED;
            const int from = row[sorted ? order[b] * ROWS + i : i * CLASSES + b];
            const int to = p * ROWS + i;
            for (int j = 0; j < F; j++) s->x[to * F + j] = s->data->x[from * F + j];
            s->label[to] = s->data->label[from];
        }
}

/* The same rows for both halves of the members: all sorted, or all mixed. */
static void compose_test(setting *s, int b, bool sorted)
{
    const int F = s->data->features;
    for (int p = 0; p < GROUPINGS * s->seeds; p++)
        for (int i = 0; i < ROWS; i++) {
            const int from = s->row[sorted ? b * ROWS + i : i * CLASSES + b], to = p * ROWS + i;
            for (int j = 0; j < F; j++) s->x[to * F + j] = s->data->x[from * F + j];
            s->label[to] = s->data->label[from];
        }
}

/* In a batch of one class every unit of norm's output has the mean beta: |mean - beta|, largest. */
static dlf_status class_mean_of(setting *s, dlf_lab *lab)
{
    const dlf_tensor *h = dlf_graph_value(lab->g, lab->normed);
    const int P = lab->members, N = (int)h->shape[2];
    double *value = malloc((size_t)(P * (ROWS + 1) * N) * sizeof *value);
    if (!value) return dlf_fail(DLF_ERR_OOM, "dependent batches: out of memory");
    double *beta = value + P * ROWS * N;
    dlf_status status = dlf_tensor_download_f64(value, h);
    if (status == DLF_OK)
        status = dlf_tensor_download_f64(beta, dlf_graph_value(lab->g, lab->beta));
    for (int k = 0; status == DLF_OK && k < P * N; k++) {
        double mean = 0.0;
        for (int i = 0; i < ROWS; i++) mean += value[(k / N * ROWS + i) * N + k % N] / ROWS;
        if (!(fabs(mean - beta[k]) <= s->class_mean)) s->class_mean = fabs(mean - beta[k]);
    }
    free(value);
    return status;
}

static dlf_status train(dlf_run *run, setting *s, dlf_lab *lab, const char *what, double from,
                        double to)
{
    const int steps = dlf_run_int(run, "class_steps");
    for (int t = 0; t < steps; t++) {
        int32_t order[CLASSES];
        int as_int[CLASSES];
        if (t % 5 == 0)
            DLF_TRY(dlf_run_stage(run, from + (to - from) * t / steps, "batches of one class: %s",
                                  what));
        draw_rows(s, dlf_run_seed(run), t);
        dlf_permutation(order, CLASSES, dlf_run_seed(run), dlf_stream(DLF_PURPOSE_SHUFFLE, 3),
                        (uint32_t)t);
        for (int b = 0; b < CLASSES; b++) as_int[b] = order[b];
        for (int b = 0; b < CLASSES; b++) {
            compose(s, b, as_int);
            DLF_TRY(dlf_lab_learn(lab, s->x, s->label, 1.0 / CLASSES));
        }
        DLF_TRY(dlf_lab_step(lab));
    }
    return DLF_OK;
}

static dlf_status test(setting *s, dlf_lab *lab, bool batch_norm)
{
    const int P = lab->members;
    test_rows(s);
    for (int i = 0; i < MODES * P; i++) s->wrong[i] = 0.0;
    for (int mode = 0; mode < MODES; mode++)
        for (int b = 0; b < CLASSES; b++) {
            compose_test(s, b, mode == 2);
            DLF_TRY(dlf_lab_forward(lab, s->x, s->label, mode ? DLF_TRAINING : DLF_EVALUATION));
            DLF_TRY(dlf_lab_count(lab, s->label, 0, s->wrong + mode * P));
            if (batch_norm && mode == 2) DLF_TRY(class_mean_of(s, lab));
        }
    for (int i = 0; i < MODES * P; i++) s->wrong[i] /= STEP;
    return DLF_OK;
}

/* ---- report -----------------------------------------------------------------------------------
 */

static dlf_status rows_of(dlf_table *t, const setting *s, int norm)
{
    static const char *const groupings[] = {"mixed", "sorted"};
    static const char *const modes[] = {"evaluation", "training_mixed", "training_sorted"};
    const int P = GROUPINGS * s->seeds;
    for (int g = 0; g < GROUPINGS; g++)
        for (int m = 0; m < MODES; m++) {
            char arm[48];
            snprintf(arm, sizeof arm, "%s_%s", groupings[g], modes[m]);
            const dlf_estimate e = dlf_estimate_of(s->wrong + m * P + g * s->seeds, s->seeds, 1);
            DLF_TRY(dlf_table_row(t, DLF_TXT(dlf_lab_norms[norm]), DLF_TXT(dlf_lab_labels[norm].zh),
                                  DLF_TXT(dlf_lab_labels[norm].en), DLF_TXT(arm), DLF_NUM(e.mean),
                                  DLF_NUM(e.lo), DLF_NUM(e.hi)));
        }
    return DLF_OK;
}

static dlf_status batch_norm_checks(dlf_run *run, const setting *s)
{
    dlf_result *r = dlf_run_result(run);
    dlf_check check =
        dlf_check_of("sorted_fails",
                     (dlf_text){"批归一化、每批只有一类：推理时几乎全错（测试错误率）",
                                "batch norm, batches of one class: nearly all wrong in evaluation "
                                "(test error)"},
                     dlf_estimate_of(s->wrong + SORTED * s->seeds, s->seeds, 1));
    check.expected = 0.6;
    check.relation = DLF_AT_LEAST;
    check.source =
        "the class mean is lost, see class_mean; 0.6: chance is 0.9, mixed batches below "
        "0.06";
    DLF_TRY(dlf_result_check(r, check));
    check = dlf_check_of("mixed_works",
                         (dlf_text){"同样的样本打乱后：批归一化正常（测试错误率）",
                                    "the same rows, mixed: batch norm works (test error)"},
                         dlf_estimate_of(s->wrong, s->seeds, 1));
    check.expected = 0.06;
    check.relation = DLF_AT_MOST;
    check.tolerance = 0.0;
    check.source = "a network of this size errs on 3 to 4 of 100 digits; 0.06 is 2 binomial s.e. "
                   "more on 320 rows";
    DLF_TRY(dlf_result_check(r, check));
    check =
        dlf_check_exact("class_mean",
                        (dlf_text){"单类批里，每个归一化单元的批均值都恰为 0（加 β 之前），类均值"
                                   "信息被抹掉（最大偏差）",
                                   "in a batch of one class every normalized unit has the mean 0 "
                                   "(before β): nothing is left of the class mean (largest "
                                   "deviation)"},
                        s->class_mean);
    check.expected = 0.0;
    check.tolerance = 1e-5;
    check.relation = DLF_AT_MOST;
    check.self_check = true;
    check.source = "identity: sum of (x - mean) is 0; 1e-5: float32 of values up to 10";
    return dlf_result_check(r, check);
}

static dlf_status control_check(dlf_run *run, const setting *s, int norm)
{
    char id[48], zh[160], en[160];
    double *gap = malloc((size_t)s->seeds * sizeof *gap);
    if (!gap) return dlf_fail(DLF_ERR_OOM, "dependent batches: out of memory");
    for (int i = 0; i < s->seeds; i++) gap[i] = s->wrong[s->seeds + i] - s->wrong[i];
    snprintf(id, sizeof id, "sorted_%s", dlf_lab_norms[norm]);
    snprintf(zh, sizeof zh, "对照，%s：按类分批与打乱没有差别（错误率之差）",
             dlf_lab_labels[norm].zh);
    snprintf(en, sizeof en,
             "control, %s: sorted or mixed makes no difference (difference of errors)",
             dlf_lab_labels[norm].en);
    dlf_check check = dlf_check_of(id, (dlf_text){zh, en}, dlf_estimate_of(gap, s->seeds, 1));
    free(gap);
    check.expected = 0.0;
    check.tolerance = 0.01;
    check.source =
        "identity up to the order of sums: the gradient of a step is the same; 1 %: 3 of "
        "320 rows at the border of two classes";
    return dlf_result_check(dlf_run_result(run), check);
}

static dlf_status figure(dlf_run *run)
{
    static const struct {
        const char *arm;
        dlf_text label;
        dlf_role role;
    } arms[] = {
        {"mixed_evaluation",
         {"对照：打乱训练，推理", "control: trained mixed, evaluation"},
         DLF_CONTROL},
        {"sorted_evaluation", {"按类分批训练，推理", "trained by class, evaluation"}, DLF_MEASURED},
        {"sorted_training_sorted",
         {"按类分批训练，训练模式、按类分批测试",
          "trained by class, tested by class in training mode"},
         DLF_MEASURED}};
    dlf_figure f = {
        .id = "classes",
        .kind = DLF_BARS,
        .title =
            {"每批只有一类：批归一化几乎什么也学不到，其他方法毫无影响",
             "Batches of one class: batch norm learns next to nothing, the others do not notice"},
        .subtitle =
            {"手写数字，一步是 10 个 32 行的批；同样的 320 行，打乱或按类分批",
             "digits, a step is 10 batches of 32 rows; the same 320 rows, mixed or by class"},
        .x = {{"归一化方法", "normalization"}, false},
        .y = {{"测试错误率", "test error"}, false}};
    for (int i = 0; i < 3; i++)
        f.series[i] = dlf_arm_series(arms[i].role, "classes", "arm", arms[i].arm, "norm", "error",
                                     arms[i].label, i);
    return dlf_result_figure(dlf_run_result(run), &f);
}

static dlf_status all_norms(dlf_run *run, setting *s, const int32_t *draw, double from, double to)
{
    dlf_table *table;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "classes",
        (dlf_text){"按类分批与打乱：测试错误率", "batches by class or mixed: test error"},
        (const dlf_column[]){{"norm", NULL},
                             {"norm_zh", NULL},
                             {"norm_en", NULL},
                             {"arm", NULL},
                             {"error", "1"},
                             {"lo", "1"},
                             {"hi", "1"},
                             {NULL, NULL}},
        &table));
    sort_rows(s);
    for (int norm = 0; norm < DLF_LAB_NORMS; norm++) {
        const double at = from + (to - from) * norm / DLF_LAB_NORMS;
        dlf_lab lab;
        DLF_TRY(dlf_lab_new(&lab, dlf_run_device(run), norm, GROUPINGS * s->seeds, ROWS,
                            s->data->features, dlf_run_int(run, "digits_width"), CLASSES, 0.1,
                            dlf_run_seed(run) + 1, draw));
        dlf_status status =
            train(run, s, &lab, dlf_lab_labels[norm].en, at, at + (to - from) / DLF_LAB_NORMS);
        if (status == DLF_OK) status = test(s, &lab, norm == 0);
        dlf_lab_free(&lab);
        DLF_TRY(status);
        DLF_TRY(rows_of(table, s, norm));
        DLF_TRY(norm == 0 ? batch_norm_checks(run, s) : control_check(run, s, norm));
    }
    return figure(run);
}

dlf_status dlf_bn_classes(dlf_run *run, double from, double to)
{
    dlf_dataset data = {0};
    DLF_TRY(dlf_digits_load(&data));
    const int S = dlf_run_seeds(run), P = GROUPINGS * S;
    setting s = {.data = &data, .seeds = S};
    s.of_class = malloc((size_t)(data.train + data.test) * sizeof *s.of_class);
    s.x = malloc((size_t)(P * ROWS * data.features) * sizeof *s.x);
    s.label = malloc((size_t)(P * ROWS) * sizeof *s.label);
    s.row = malloc((size_t)(S * STEP) * sizeof *s.row);
    s.wrong = malloc((size_t)(MODES * P) * sizeof *s.wrong);
    int32_t *draw = malloc((size_t)P * sizeof *draw);
    dlf_status status = dlf_fail(DLF_ERR_OOM, "dependent batches: out of memory");
    if (s.of_class && s.x && s.label && s.row && s.wrong && draw) {
        for (int p = 0; p < P; p++) draw[p] = p % S; /* mixed and sorted start equal */
        status = all_norms(run, &s, draw, from, to);
    }
    free(draw);
    free(s.wrong);
    free(s.row);
    free(s.label);
    free(s.x);
    free(s.of_class);
    dlf_dataset_free(&data);
    return status;
}
