/* SPDX-License-Identifier: MIT
 * transfer_digits.c -- Q21, Q24 on handwritten digits: networks trained on digits go on with digits
 * that are shifted, mirrored, or have their pixels permuted, and with digits that they have not
 * seen: from near to unrelated. Controls: from scratch, and a source whose labels are random. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "digits_blocks.h"
#include "dlf/rng.h"
#include "dlf/train.h"
#include "figures.h"
#include "seed_check.h"
#include "transfer.h"
#include "transfer_nets.h"

static const int per_class[] = {1, 2, 5, 10, 30};
enum {
    SIZES = sizeof per_class / sizeof per_class[0],
    FEW = 2, /* per_class[2] labels per class: curves and checks */
    RECORDS = 20,
    SOURCE_ROWS = 600,
    TESTS = 200,
    SIDE = 8
};

typedef enum task { SHIFTED, MIRRORED, OTHERS, PERMUTED, TASKS } task;
static const char *const task_ids[TASKS] = {"shifted", "mirrored", "others", "permuted"};
static const dlf_text task_names[TASKS] = {
    {"右移一个像素", "shifted by a pixel"},
    {"左右镜像", "mirrored"},
    {"没见过的数字（0–4 到 5–9）", "unseen digits (0–4 to 5–9)"},
    {"像素打乱", "pixels permuted"}};

typedef enum start { PRETRAINED, SCRATCH, RANDOM, STARTS } start;
static const char *const start_ids[STARTS] = {"pretrained", "scratch", "random"};
static const dlf_text start_names[STARTS] = {{"预训练", "pre-trained"},
                                             {"对照：从零开始", "control: scratch"},
                                             {"对照：随机标签预训练", "control: random labels"}};

classifier_spec dlf_transfer_net(int members, int batch, int inputs, int width, int classes)
{
    return (classifier_spec){.members = members,
                             .batch = batch,
                             .inputs = inputs,
                             .width = width,
                             .depth = 1,
                             .classes = classes,
                             .f = dlf_activation_of(DLF_RELU),
                             .init = dlf_he()};
}

/* Where pixel i of the task's images comes from; -1: nowhere, background. */
static void sources_of(task k, uint64_t seed, int32_t from[SIDE * SIDE])
{
    if (k == PERMUTED) {
        dlf_permutation(from, SIDE * SIDE, seed, dlf_stream(DLF_PURPOSE_SHUFFLE, 40), 0);
        return;
    }
    for (int i = 0; i < SIDE * SIDE; i++) {
        const int row = i / SIDE, column = i % SIDE;
        from[i] = k == SHIFTED    ? (column ? i - 1 : -1)
                  : k == MIRRORED ? row * SIDE + SIDE - 1 - column
                                  : i;
    }
}

/* Rows first .. first+count-1 of the digits' training rows, and all test rows, of the labels low ..
 * low+classes-1, which then count from 0; seen as the task sees them (TASKS: as they are). */
static dlf_status view(dlf_dataset *out, const dlf_dataset *digits, int first, int count, int low,
                       int classes, task k, uint64_t seed)
{
    const int all = digits->train + digits->test, F = digits->features;
    int32_t from[SIDE * SIDE];
    sources_of(k, seed, from);
    *out = *digits;
    out->classes = classes;
    out->train = out->test = 0;
    out->x = malloc((size_t)all * (size_t)F * sizeof *out->x);
    out->label = malloc((size_t)all * sizeof *out->label);
    if (!out->x || !out->label) {
        dlf_dataset_free(out);
        return dlf_fail(DLF_ERR_OOM, "transfer: out of memory");
    }
    float darkest = digits->x[0]; /* background: the least of a corner that is always empty */
    for (int i = 0; i < all; i++) darkest = fminf(darkest, digits->x[(long)i * F]);
    for (int i = first; i < all; i++) {
        const int32_t label = digits->label[i] - low;
        if (label < 0 || label >= classes || (i >= first + count && i < digits->train)) continue;
        const int to = out->train + out->test;
        for (int j = 0; j < F; j++)
            out->x[(long)to * F + j] = from[j] < 0 ? darkest : digits->x[(long)i * F + from[j]];
        out->label[to] = label;
        (*(i < digits->train ? &out->train : &out->test))++;
    }
    return DLF_OK;
}

typedef struct study {
    int seeds;
    dlf_dataset digits;
    double *error;   /* (TASKS, STARTS, SIZES, seeds) after all steps         */
    double *curve;   /* (STARTS, RECORDS+1, seeds): SHIFTED at FEW labels     */
    double *at_once; /* (TASKS, seeds): the source's network on the target    */
} study;

static double *cell(const study *s, task k, start a, int size)
{
    return s->error + (((long)k * STARTS + a) * SIZES + size) * s->seeds;
}
static double *record(const study *s, start a, int r)
{
    return s->curve + ((long)a * (RECORDS + 1) + r) * s->seeds;
}

/* ---- one training ---- */

typedef struct job {
    dlf_graph *g;
    dlf_train *t;
    dlf_dataset data;
} job;

static void job_end(job *j)
{
    dlf_train_free(j->t);
    dlf_graph_free(j->g);
    dlf_dataset_free(&j->data);
}

/* Rows of every seed's own, a share of the labels wrong. The draw of start and rows differs between
 * source and target by `seed`. */
static dlf_status job_start(job *j, dlf_run *run, const dlf_dataset *from, int rows, double wrong,
                            uint64_t seed)
{
    const int P = dlf_run_seeds(run);
    *j = (job){0};
    dlf_status status = DLF_OK;
    dlf_block *block = malloc((size_t)P * sizeof *block);
    int32_t *base = malloc((size_t)P * sizeof *base);
    double *lr = malloc((size_t)P * sizeof *lr);
    if (!block || !base || !lr) {
        status = dlf_fail(DLF_ERR_OOM, "transfer: out of memory");
        goto done;
    }
    for (int p = 0; p < P; p++) {
        block[p] = (dlf_block){.draw = (uint32_t)p, .wrong = wrong};
        lr[p] = 0.002;
    }
    DLF_TRY_DONE(
        dlf_blocks_make(&j->data, base, from, seed, (dlf_block_size){rows, 0, TESTS}, block, P));
    const classifier_spec net = dlf_transfer_net(P, rows < 25 ? from->classes : 25, from->features,
                                                 dlf_run_int(run, "width"), from->classes);
    DLF_TRY_DONE(classifier_new(&j->g, dlf_run_device(run), &net));
    DLF_TRY_DONE(dlf_graph_initialise(j->g, seed, NULL));
    const dlf_train_spec spec = {
        .seed = seed, .base = base, .lr = lr, .optimiser = dlf_adam(0.0), .rows = rows};
    status = dlf_train_new(&j->t, j->g, &j->data, &spec);
done:
    free(lr);
    free(base);
    free(block);
    return status;
}

static dlf_status test_error(job *j, int rows, int P, double *error)
{
    DLF_TRY(dlf_train_evaluate(j->t, rows, TESTS, NULL, error));
    for (int p = 0; p < P; p++) error[p] = 1.0 - error[p];
    return DLF_OK;
}

/* What a source leaves behind: its network's parameters. */
typedef struct legacy {
    dlf_tensor w, b, out_w, out_b;
} legacy;
static const char *const parts[] = {"h1.w", "h1.b", "logits.w", "logits.b"};
enum { PARTS = 4 };

static dlf_tensor *part_of(legacy *l, int i)
{
    dlf_tensor *all[] = {&l->w, &l->b, &l->out_w, &l->out_b};
    return all[i];
}

static void legacy_free(legacy *l)
{
    for (int i = 0; i < PARTS; i++) dlf_tensor_free(part_of(l, i));
}

static dlf_status learn_source(const study *s, dlf_run *run, task k, start a, legacy *out)
{
    job j = {0};
    dlf_dataset source = {0};
    dlf_status status;
    const bool half = k == OTHERS;
    DLF_TRY_DONE(view(&source, &s->digits, 0,
                      s->digits.train / 2 + (half ? s->digits.train / 2 : 0), 0, half ? 5 : 10,
                      TASKS, 0));
    const int rows = source.train < SOURCE_ROWS ? source.train : SOURCE_ROWS;
    DLF_TRY_DONE(job_start(&j, run, &source, rows, a == RANDOM ? 1.0 - 1.0 / source.classes : 0.0,
                           dlf_run_seed(run) + 100));
    DLF_TRY_DONE(dlf_train_run(j.t, dlf_run_int(run, "source_steps")));
    for (int i = 0; i < PARTS; i++) {
        const dlf_tensor *p = dlf_graph_value(j.g, dlf_graph_find(j.g, parts[i]));
        DLF_TRY_DONE(dlf_tensor_init(part_of(out, i), p->device, p->dtype, p->ndim, p->shape));
        DLF_TRY_DONE(dlf_tensor_copy(part_of(out, i), p));
    }
done:
    job_end(&j);
    dlf_dataset_free(&source);
    return status;
}

/* The whole network goes over; of new classes only the hidden layer can. */
static dlf_status inherit(job *j, task k, legacy *from)
{
    for (int i = 0; i < (k == OTHERS ? 2 : PARTS); i++)
        DLF_TRY(dlf_tensor_copy(dlf_graph_value(j->g, dlf_graph_find(j->g, parts[i])),
                                part_of(from, i)));
    return DLF_OK;
}

static dlf_status learn_target(study *s, dlf_run *run, task k, start a, int size,
                               const dlf_dataset *target, legacy *from)
{
    const int rows = target->classes * per_class[size], steps = dlf_run_int(run, "steps");
    const bool curve = k == SHIFTED && size == FEW;
    job j;
    dlf_status status;
    DLF_TRY_DONE(job_start(&j, run, target, rows, 0.0, dlf_run_seed(run)));
    if (a != SCRATCH) DLF_TRY_DONE(inherit(&j, k, from));
    if (a == PRETRAINED && size == 0)
        DLF_TRY_DONE(test_error(&j, rows, s->seeds, s->at_once + (long)k * s->seeds));
    for (int r = 0; r <= RECORDS; r++) {
        if (r) DLF_TRY_DONE(dlf_train_run(j.t, steps / RECORDS > 0 ? steps / RECORDS : 1));
        if (curve) DLF_TRY_DONE(test_error(&j, rows, s->seeds, record(s, a, r)));
    }
    status = test_error(&j, rows, s->seeds, cell(s, k, a, size));
done:
    job_end(&j);
    return status;
}

/* All starts and sizes of a task; its rows are others than the source's. */
static dlf_status learn_task(study *s, dlf_run *run, task k, double from, double to)
{
    dlf_dataset target = {0};
    legacy left = {0};
    dlf_status status;
    const bool half = k == OTHERS;
    const int middle = s->digits.train / 2;
    DLF_TRY_DONE(view(&target, &s->digits, half ? 0 : middle, s->digits.train, half ? 5 : 0,
                      half ? 5 : 10, k, dlf_run_seed(run)));
    for (int a = 0; a < STARTS; a++) {
        DLF_TRY_DONE(
            dlf_run_stage(run, from + (to - from) * a / STARTS, "digits, %s", task_ids[k]));
        legacy_free(&left);
        if (a != SCRATCH) DLF_TRY_DONE(learn_source(s, run, k, (start)a, &left));
        for (int size = 0; size < SIZES; size++)
            DLF_TRY_DONE(learn_target(s, run, k, (start)a, size, &target, &left));
    }
done:
    legacy_free(&left);
    dlf_dataset_free(&target);
    return status;
}

/* ---- report ---- */

/* value[p]: what a start gains over scratch. */
static void gains(const study *s, task k, start a, int size, double *value)
{
    for (int p = 0; p < s->seeds; p++)
        value[p] = cell(s, k, SCRATCH, size)[p] - cell(s, k, a, size)[p];
}

static dlf_status tables(const study *s, dlf_run *run, double *value)
{
    const int steps = dlf_run_int(run, "steps");
    dlf_table *labels, *curves;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "labels",
        (dlf_text){"目标任务的错误率与每类标签数", "error on the target by labels per class"},
        (const dlf_column[]){{"task", NULL},
                             {"labels", "1"},
                             {"pretrained", "1"},
                             {"scratch", "1"},
                             {"random", "1"},
                             {"gain", "1"},
                             {"lo", "1"},
                             {"hi", "1"},
                             {NULL, NULL}},
        &labels));
    DLF_TRY(dlf_result_table(dlf_run_result(run), "curves",
                             (dlf_text){"右移的数字：错误率与步数（每类五个标签）",
                                        "shifted digits: error by step (five labels per class)"},
                             (const dlf_column[]){{"start", NULL},
                                                  {"step", "step"},
                                                  {"error", "1"},
                                                  {"lo", "1"},
                                                  {"hi", "1"},
                                                  {NULL, NULL}},
                             &curves));
    for (int k = 0; k < TASKS; k++)
        for (int size = 0; size < SIZES; size++) {
            gains(s, (task)k, PRETRAINED, size, value);
            const dlf_estimate e = dlf_estimate_of(value, s->seeds, 1);
            double mean[STARTS];
            for (int a = 0; a < STARTS; a++)
                mean[a] = dlf_estimate_of(cell(s, (task)k, (start)a, size), s->seeds, 1).mean;
            DLF_TRY(dlf_table_row(labels, DLF_TXT(task_ids[k]), DLF_NUM(per_class[size]),
                                  DLF_NUM(mean[PRETRAINED]), DLF_NUM(mean[SCRATCH]),
                                  DLF_NUM(mean[RANDOM]), DLF_NUM(e.mean), DLF_NUM(e.lo),
                                  DLF_NUM(e.hi)));
        }
    for (int a = 0; a < STARTS; a++)
        for (int r = 0; r <= RECORDS; r++) {
            const dlf_estimate e = dlf_estimate_of(record(s, (start)a, r), s->seeds, 1);
            DLF_TRY(dlf_table_row(curves, DLF_TXT(start_ids[a]), DLF_NUM(r * (steps / RECORDS)),
                                  DLF_NUM(e.mean), DLF_NUM(e.lo), DLF_NUM(e.hi)));
        }
    return DLF_OK;
}

/* A gain that the whole interval decides. */
static dlf_status gain_check(const study *s, dlf_run *run, const char *id, dlf_text claim,
                             const double *value, const char *source)
{
    const dlf_estimate e = dlf_estimate_of(value, s->seeds, 1);
    return dlf_add_above(run, id, claim, e, source);
}

static dlf_status checks(const study *s, dlf_run *run, double *value)
{
    static const dlf_text claims[TASKS] = {
        {"右移一个像素、每类五个标签：预训练降低错误率（从零减预训练）",
         "shifted by a pixel, five labels per class: pre-training lowers the error (scratch less "
         "pre-trained)"},
        {"左右镜像：预训练也降低错误率", "mirrored: pre-training lowers the error, too"},
        {"没见过的数字：预训练也降低错误率", "unseen digits: pre-training lowers the error, too"},
        {"像素打乱：预训练也降低错误率", "pixels permuted: pre-training lowers the error, too"}};
    dlf_result *r = dlf_run_result(run);
    char id[40];
    for (int k = 0; k < TASKS; k++) {
        gains(s, (task)k, PRETRAINED, FEW, value);
        snprintf(id, sizeof id, "gain_%s", task_ids[k]);
        DLF_TRY(gain_check(
            s, run, id, claims[k], value,
            k == SHIFTED ? "Yosinski et al. 2014, in direction; decided by the whole interval"
                         : "the sentence \"pre-training helps\"; decided by the whole interval"));
        const dlf_estimate once = dlf_estimate_of(s->at_once + (long)k * s->seeds, s->seeds, 1);
        snprintf(id, sizeof id, "at_once_%s", task_ids[k]);
        DLF_TRY(dlf_result_fact(r, id, once.mean, "1"));
        snprintf(id, sizeof id, "scratch_%s", task_ids[k]);
        DLF_TRY(dlf_result_fact(
            r, id, dlf_estimate_of(cell(s, (task)k, SCRATCH, FEW), s->seeds, 1).mean, "1"));
        snprintf(id, sizeof id, "pretrained_%s", task_ids[k]);
        DLF_TRY(dlf_result_fact(
            r, id, dlf_estimate_of(cell(s, (task)k, PRETRAINED, FEW), s->seeds, 1).mean, "1"));
    }
    gains(s, SHIFTED, RANDOM, FEW, value);
    DLF_TRY(gain_check(
        s, run, "gain_random",
        (dlf_text){"对照，随机标签的源任务：也降低错误率（从零减随机）",
                   "control, a source of random labels: lowers the error, too (scratch less "
                   "random)"},
        value, "a source must mean something; decided by the whole interval"));
    for (int p = 0; p < s->seeds; p++) {
        const int last = SIZES - 1;
        value[p] = (cell(s, SHIFTED, SCRATCH, FEW)[p] - cell(s, SHIFTED, PRETRAINED, FEW)[p]) -
                   (cell(s, SHIFTED, SCRATCH, last)[p] - cell(s, SHIFTED, PRETRAINED, last)[p]);
    }
    DLF_TRY(gain_check(
        s, run, "gain_shrinks",
        (dlf_text){"标签越多收益越小（每类 5 个的收益减每类 30 个的收益）",
                   "the gain shrinks with labels (gain at 5 per class less gain at 30)"},
        value, "He, Girshick & Dollar 2019, in direction; decided by the whole interval"));
    for (int p = 0; p < s->seeds; p++)
        value[p] = record(s, SCRATCH, RECORDS / 10)[p] - record(s, PRETRAINED, RECORDS / 10)[p];
    return gain_check(
        s, run, "early_steps",
        (dlf_text){"训练刚开始（全程的十分之一）：预训练的网络已经好得多（从零减预训练）",
                   "after a tenth of the steps the pre-trained network is ahead (scratch less "
                   "pre-trained)"},
        value, "decided by the whole interval");
}

static dlf_status figures(dlf_run *run)
{
    dlf_figure f = {
        .id = "labels",
        .kind = DLF_LINES,
        .title = {"源任务越近、标签越少，预训练越有用；不相关时有害",
                  "Pre-training helps the more the nearer the source and the fewer the labels; "
                  "unrelated it "
                  "harms"},
        .subtitle =
            {"手写数字；从零开始的错误率减预训练的错误率；带为种子间 95 % 区间",
             "digits; error from scratch less error of the pre-trained; bands: 95 % over seeds"},
        .x = {{"每类的标签数", "labels per class"}, true},
        .y = {{"预训练的收益", "gain of pre-training"}, false}};
    for (int k = 0; k < TASKS; k++)
        f.series[k] = dlf_arm_series(k == PERMUTED ? DLF_CONTROL : DLF_MEASURED, "labels", "task",
                                     task_ids[k], "labels", "gain", task_names[k], k);
    DLF_TRY(dlf_result_figure(dlf_run_result(run), &f));
    dlf_figure g = {
        .id = "curves",
        .kind = DLF_LINES,
        .title = {"相近的源任务：学得快，也停在更低处",
                  "A near source: faster, and lower in the end"},
        .subtitle = {"右移一个像素的手写数字，每类五个标签；带为种子间 95 % 区间",
                     "digits shifted by a pixel, five labels per class; bands: 95 % over seeds"},
        .x = {{"训练步数", "training step"}, false},
        .y = {{"目标任务的测试错误率", "test error on the target"}, false}};
    for (int a = 0; a < STARTS; a++)
        g.series[a] = dlf_arm_series(a == PRETRAINED ? DLF_MEASURED : DLF_CONTROL, "curves",
                                     "start", start_ids[a], "step", "error", start_names[a], a);
    return dlf_result_figure(dlf_run_result(run), &g);
}

dlf_status dlf_transfer_digits(dlf_run *run, double from, double to)
{
    study s = {.seeds = dlf_run_seeds(run)};
    const size_t S = (size_t)s.seeds, cells = TASKS * STARTS * SIZES,
                 curves = STARTS * (RECORDS + 1);
    dlf_status status = dlf_digits_load(&s.digits);
    if (status != DLF_OK) return status;
    s.error = malloc((cells + curves + TASKS + 1) * S * sizeof *s.error);
    if (!s.error) {
        status = dlf_fail(DLF_ERR_OOM, "transfer: out of memory");
        goto done;
    }
    s.curve = s.error + cells * S;
    s.at_once = s.curve + curves * S;
    double *value = s.at_once + TASKS * S;
    for (int k = 0; k < TASKS; k++)
        DLF_TRY_DONE(learn_task(&s, run, (task)k, from + (to - from) * k / TASKS,
                                from + (to - from) * (k + 1) / TASKS));
    DLF_TRY_DONE(tables(&s, run, value));
    DLF_TRY_DONE(checks(&s, run, value));
    status = figures(run);
done:
    free(s.error);
    dlf_dataset_free(&s.digits);
    return status;
}
