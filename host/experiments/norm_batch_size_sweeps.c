/* SPDX-License-Identifier: MIT
 * norm_batch_size_sweeps.c -- Q25, Q33: error against batch size on fully connected and
 * convolutional networks, and against the number of groups. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "figures.h"
#include "norm_batch_size.h"
#include "seed_check.h"

enum { MOST = 7, GROUPS = 8, CONV_GROUPS = 4 };

/* ResNet-50 on ImageNet, validation error in %, 32 samples per GPU and fewer: Wu & He 2018, table 2
 * (BN, GN); LN and IN at 32 in table 1. */
static const struct {
    int batch;
    double bn, gn;
} published[] = {
    {2, 34.7, 24.1}, {4, 27.3, 24.2}, {8, 24.8, 24.0}, {16, 23.7, 24.2}, {32, 23.6, 24.1}};

typedef struct sweep {
    const char *table;
    bool conv;
    const dlf_nbs_kind *kinds;
    int n_kinds, n, batch[MOST], epochs, seeds;
    double *error;                         /* (kinds, batches, seeds), % */
    double diverged[DLF_NBS_KINDS * MOST]; /* (kinds, batches), share of the seeds */
} sweep;

static double *errors_of(const sweep *s, dlf_nbs_kind kind, int batch)
{
    for (int k = 0; k < s->n_kinds; k++)
        for (int i = 0; i < s->n; i++)
            if (s->kinds[k] == kind && s->batch[i] == batch)
                return s->error + (k * s->n + i) * s->seeds;
    return NULL;
}

static dlf_status train_all(dlf_run *run, const dlf_dataset *data, sweep *s, double from, double to)
{
    double total = 0.0, done = 0.0;
    for (int i = 0; i < s->n; i++) total += s->n_kinds * (1.0 / s->batch[i] + 0.03);
    for (int k = 0; k < s->n_kinds; k++)
        for (int i = 0; i < s->n; i++) {
            double *e = s->error + (k * s->n + i) * s->seeds;
            const int width = dlf_run_int(run, "digits_width");
            const dlf_nbs_job job = {.kind = s->kinds[k],
                                     .groups = s->conv          ? CONV_GROUPS
                                               : width % GROUPS ? 1
                                                                : GROUPS,
                                     .batch = s->batch[i],
                                     .epochs = s->epochs,
                                     .conv = s->conv};
            const double next = done + (1.0 / s->batch[i] + 0.03) / total;
            DLF_TRY(dlf_nbs_train(run, data, &job, e, &s->diverged[k * s->n + i],
                                  from + (to - from) * done, from + (to - from) * next));
            done = next;
            for (int seed = 0; seed < s->seeds; seed++) e[seed] *= 100.0;
        }
    return DLF_OK;
}

static dlf_status add_table(dlf_run *run, const sweep *s, dlf_text title)
{
    dlf_table *t;
    DLF_TRY(dlf_result_table(dlf_run_result(run), s->table, title,
                             (const dlf_column[]){{"norm", NULL},
                                                  {"batch", "rows"},
                                                  {"error", "%"},
                                                  {"lo", "%"},
                                                  {"hi", "%"},
                                                  {"diverged", "1"},
                                                  {NULL, NULL}},
                             &t));
    for (int k = 0; k < s->n_kinds; k++)
        for (int i = 0; i < s->n; i++) {
            const dlf_estimate e =
                dlf_estimate_of(s->error + (k * s->n + i) * s->seeds, s->seeds, 1);
            DLF_TRY(dlf_table_row(t, DLF_TXT(dlf_nbs_ids[s->kinds[k]]), DLF_NUM(s->batch[i]),
                                  DLF_NUM(e.mean), DLF_NUM(e.lo), DLF_NUM(e.hi),
                                  DLF_NUM(s->diverged[k * s->n + i])));
        }
    return DLF_OK;
}

/* a - b, seed by seed */
static dlf_estimate gap_of(const double *a, const double *b, int seeds, double *work)
{
    for (int s = 0; s < seeds; s++) work[s] = a[s] - b[s];
    return dlf_estimate_of(work, seeds, 1);
}

static dlf_status gap_check(dlf_run *run, const sweep *s, const char *id, dlf_text claim,
                            dlf_nbs_kind a, int batch_a, dlf_nbs_kind b, int batch_b,
                            dlf_relation relation, double expected, const char *source)
{
    double *work = malloc((size_t)s->seeds * sizeof *work);
    if (!work) return dlf_fail(DLF_ERR_OOM, "batch sizes: out of memory");
    dlf_check check = dlf_check_of(
        id, claim, gap_of(errors_of(s, a, batch_a), errors_of(s, b, batch_b), s->seeds, work));
    free(work);
    check.expected = expected;
    check.relation = relation;
    check.source = source;
    return dlf_result_check(dlf_run_result(run), check);
}

/* How far the mean error moves from batch size to batch size, up to 32 as in the paper: beyond, a
 * few epochs are too few steps for any norm. */
static dlf_status flat_check(dlf_run *run, const sweep *s, const char *id, dlf_text claim,
                             dlf_nbs_kind kind)
{
    double *spread = malloc((size_t)s->seeds * sizeof *spread);
    double least = INFINITY, most = -INFINITY;
    int low = 0, high = 0;
    if (!spread) return dlf_fail(DLF_ERR_OOM, "batch sizes: out of memory");
    for (int i = 0; i < s->n && s->batch[i] <= 32; i++) {
        const double mean = dlf_estimate_of(errors_of(s, kind, s->batch[i]), s->seeds, 1).mean;
        if (mean < least) {
            least = mean;
            low = s->batch[i];
        }
        if (mean > most) {
            most = mean;
            high = s->batch[i];
        }
    }
    dlf_check check = dlf_check_of(
        id, claim, gap_of(errors_of(s, kind, high), errors_of(s, kind, low), s->seeds, spread));
    free(spread);
    char note[80];
    snprintf(note, sizeof note, "worst at B = %d, best at B = %d", high, low);
    check.expected = 2.0;
    check.tolerance = 100.0 * sqrt(2.0 * 0.03 * 0.97 / (500.0 * s->seeds));
    check.relation = DLF_AT_MOST;
    check.source =
        "Wu & He 2018: GN moves by 0.2 points from 2 to 32; 2 points and one binomial s.e. "
        "of the difference of two means on 500 images, because the extremes are taken";
    check.note = note;
    return dlf_result_check(dlf_run_result(run), check);
}

static void curves(dlf_figure *f, const sweep *s)
{
    for (int k = 0; k < s->n_kinds; k++)
        f->series[k] = dlf_arm_series(k ? DLF_CONTROL : DLF_MEASURED, s->table, "norm",
                                      dlf_nbs_ids[s->kinds[k]], "batch", "error",
                                      dlf_nbs_labels[s->kinds[k]], k);
}

/* ---- fully connected --------------------------------------------------------------------------
 */

static dlf_status published_table(dlf_run *run)
{
    dlf_table *t;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "published",
        (dlf_text){"Wu & He 2018：ResNet-50，ImageNet", "Wu & He 2018: ResNet-50, ImageNet"},
        (const dlf_column[]){{"norm", NULL}, {"batch", "rows"}, {"error", "%"}, {NULL, NULL}}, &t));
    for (size_t i = 0; i < sizeof published / sizeof published[0]; i++) {
        DLF_TRY(dlf_table_row(t, DLF_TXT("batch_norm"), DLF_NUM(published[i].batch),
                              DLF_NUM(published[i].bn)));
        DLF_TRY(dlf_table_row(t, DLF_TXT("group_norm"), DLF_NUM(published[i].batch),
                              DLF_NUM(published[i].gn)));
    }
    return DLF_OK;
}

static dlf_status dense_figure(dlf_run *run, const sweep *s)
{
    dlf_figure f = {
        .id = "batch_size",
        .kind = DLF_LINES,
        .title = {"批归一化怕小批，其他方法不怕", "Small batches hurt batch norm and no other"},
        .subtitle = {"手写数字，三个隐层，学习率 ∝ B；点线为 Wu & He 2018 的 ResNet-50（ImageNet）",
                     "digits, three hidden layers, lr ∝ B; dotted: ResNet-50 on ImageNet, Wu & He "
                     "2018"},
        .x = {{"批大小 B", "batch size B"}, true},
        .y = {{"测试错误率（%）", "test error (%)"}, true}};
    curves(&f, s);
    const char *const norms[] = {"batch_norm", "group_norm"};
    const dlf_text labels[] = {{"论文：批归一化（上）", "published: batch norm (upper)"},
                               {"论文：组归一化（下）", "published: group norm (lower)"}};
    for (int i = 0; i < 2; i++)
        f.series[s->n_kinds + i] = (dlf_series){.role = DLF_REFERENCE,
                                                .table = "published",
                                                .where = "norm",
                                                .equals = norms[i],
                                                .x = "batch",
                                                .y = "error",
                                                .label = labels[i],
                                                .colour = i};
    return dlf_result_figure(dlf_run_result(run), &f);
}

static dlf_status dense_report(dlf_run *run, const sweep *s)
{
    DLF_TRY(add_table(
        run, s, (dlf_text){"全连接网络：错误率与批大小", "fully connected: error by batch size"}));
    DLF_TRY(published_table(run));
    DLF_TRY(gap_check(run, s, "bn_2_4",
                      (dlf_text){"批归一化：B = 2 比 B = 4 差（错误率之差，百分点）",
                                 "batch norm: B = 2 errs more than B = 4 (points)"},
                      DLF_NBS_BN, 2, DLF_NBS_BN, 4, DLF_AT_LEAST, 2.0,
                      "Wu & He 2018: 7.4 points; 2 points are 2 binomial s.e. on 500 images"));
    DLF_TRY(gap_check(run, s, "bn_4_8",
                      (dlf_text){"批归一化：B = 4 比 B = 8 差（百分点）",
                                 "batch norm: B = 4 errs more than B = 8 (points)"},
                      DLF_NBS_BN, 4, DLF_NBS_BN, 8, DLF_AT_LEAST, 0.0,
                      "Wu & He 2018: 2.5 points; the order only"));
    DLF_TRY(gap_check(run, s, "bn_gn_2",
                      (dlf_text){"B = 2：批归一化比组归一化差 5 个百分点以上",
                                 "B = 2: batch norm errs at least 5 points more than group norm"},
                      DLF_NBS_BN, 2, DLF_NBS_GN, 2, DLF_AT_LEAST, 5.0,
                      "Wu & He 2018: 10.6 points; half of that, another network and data"));
    DLF_TRY(flat_check(run, s, "gn_flat",
                       (dlf_text){"对照，组归一化：B 从 2 到 32，错误率几乎不变（最大差，百分点）",
                                  "control, group norm: hardly a difference from B = 2 to 32 "
                                  "(largest, points)"},
                       DLF_NBS_GN));
    DLF_TRY(flat_check(run, s, "ln_flat",
                       (dlf_text){"对照，层归一化：B 从 2 到 32，错误率几乎不变（最大差，百分点）",
                                  "control, layer norm: hardly a difference from B = 2 to 32 "
                                  "(largest, points)"},
                       DLF_NBS_LN));
    return dense_figure(run, s);
}

static dlf_status sweep_run(dlf_run *run, const dlf_dataset *data, sweep *s,
                            dlf_status (*report)(dlf_run *, const sweep *), double from, double to)
{
    s->seeds = dlf_run_seeds(run);
    s->error = malloc((size_t)(s->n_kinds * s->n * s->seeds) * sizeof *s->error);
    if (!s->error) return dlf_fail(DLF_ERR_OOM, "batch sizes: out of memory");
    dlf_status status = train_all(run, data, s, from, to);
    if (status == DLF_OK) status = report(run, s);
    free(s->error);
    return status;
}

/* The first `train_rows` training rows; the test rows follow them. */
static void shorten(dlf_dataset *d, int rows)
{
    if (rows >= d->train) return;
    const size_t F = (size_t)d->features;
    memmove(d->x + (size_t)rows * F, d->x + (size_t)d->train * F,
            (size_t)d->test * F * sizeof *d->x);
    memmove(d->label + rows, d->label + d->train, (size_t)d->test * sizeof *d->label);
    d->train = rows;
}

dlf_status dlf_nbs_dense(dlf_run *run, double from, double to)
{
    static const dlf_nbs_kind kinds[] = {DLF_NBS_BN, DLF_NBS_GN, DLF_NBS_LN, DLF_NBS_NONE};
    static const sweep quick = {.n = 5, .batch = {2, 4, 8, 32, 128}};
    static const sweep full = {.n = 7, .batch = {2, 4, 8, 16, 32, 64, 128}};
    sweep s = dlf_run_full(run) ? full : quick;
    s.table = "dense";
    s.kinds = kinds;
    s.n_kinds = 4;
    s.epochs = dlf_run_int(run, "epochs");
    dlf_dataset data = {0};
    DLF_TRY(dlf_digits_load(&data));
    shorten(&data, dlf_run_int(run, "train_rows"));
    const dlf_status status = sweep_run(run, &data, &s, dense_report, from, to);
    dlf_dataset_free(&data);
    return status;
}

/* ---- groups -----------------------------------------------------------------------------------
 */

static dlf_status group_checks(dlf_run *run, const double *one, const double *all, const double *ln,
                               int seeds, double *work)
{
    dlf_check check =
        dlf_check_of("gn_one_is_ln",
                     (dlf_text){"一个组就是层归一化（错误率之差，百分点）",
                                "one group is layer norm (difference of errors, points)"},
                     gap_of(one, ln, seeds, work));
    check.tolerance = 0.6;
    check.source = "identity, but for the order of sums; 0.6 points: 3 of 500 images at a border";
    DLF_TRY(dlf_result_check(dlf_run_result(run), check));
    check = dlf_check_of(
        "gn_all_is_chance",
        (dlf_text){"每组一个单元：x − μ = 0，什么也不剩，错误率是瞎猜（%）",
                   "one unit per group: x − μ = 0, nothing is left, the error is chance (%)"},
        dlf_estimate_of(all, seeds, 1));
    check.expected = 90.0;
    check.tolerance = 4.0; /* the share of the largest class in 500 rows */
    check.source =
        "closed form: the output is a constant; 10 classes, 4 points for unequal classes";
    return dlf_result_check(dlf_run_result(run), check);
}

static dlf_status groups_figure(dlf_run *run)
{
    const dlf_figure f = {
        .id = "groups",
        .kind = DLF_LINES,
        .title = {"组数可以放心选，只要每组还有几个单元",
                  "The number of groups hardly matters, as long as a group has a few units"},
        .subtitle =
            {"手写数字，三个隐层，批大小 32；每组 1 个单元时输出恒为 0",
             "digits, three hidden layers, batch 32; with 1 unit per group the output is 0"},
        .x = {{"每组的单元数", "units per group"}, true},
        .y = {{"测试错误率（%）", "test error (%)"}, true},
        .series = {{.role = DLF_MEASURED,
                    .table = "groups",
                    .x = "units",
                    .y = "error",
                    .lo = "lo",
                    .hi = "hi",
                    .label = {"组归一化", "group norm"}},
                   {.role = DLF_CONTROL,
                    .table = "groups",
                    .x = "units",
                    .y = "layer_norm",
                    .label = {"对照：层归一化", "control: layer norm"},
                    .colour = 1}}};
    return dlf_result_figure(dlf_run_result(run), &f);
}

static dlf_status groups(dlf_run *run, const dlf_dataset *data, double *memory, double from,
                         double to)
{
    const int S = dlf_run_seeds(run), width = dlf_run_int(run, "digits_width");
    double *ln = memory, *e = ln + S, *one = e + S, *work = one + S;
    dlf_nbs_job job = {.kind = DLF_NBS_LN, .batch = 32, .epochs = dlf_run_int(run, "epochs")};
    dlf_table *t;
    double diverged = 0.0;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "groups",
                             (dlf_text){"组归一化的组数", "groups of group norm"},
                             (const dlf_column[]){{"groups", "groups"},
                                                  {"units", "units"},
                                                  {"error", "%"},
                                                  {"lo", "%"},
                                                  {"hi", "%"},
                                                  {"layer_norm", "%"},
                                                  {"diverged", "1"},
                                                  {NULL, NULL}},
                             &t));
    DLF_TRY(dlf_nbs_train(run, data, &job, ln, &diverged, from, from));
    for (int s = 0; s < S; s++) ln[s] *= 100.0;
    job.kind = DLF_NBS_GN;
    for (int units = width; units >= 1; units /= units % 2 ? units : 2) {
        job.groups = width / units;
        DLF_TRY(dlf_nbs_train(run, data, &job, e, &diverged, from, to));
        for (int s = 0; s < S; s++) e[s] *= 100.0;
        if (units == width) memcpy(one, e, (size_t)S * sizeof *e);
        const dlf_estimate m = dlf_estimate_of(e, S, 1);
        DLF_TRY(dlf_table_row(t, DLF_NUM(job.groups), DLF_NUM(units), DLF_NUM(m.mean),
                              DLF_NUM(m.lo), DLF_NUM(m.hi), DLF_NUM(dlf_estimate_of(ln, S, 1).mean),
                              DLF_NUM(diverged)));
        if (units == 1) break;
    }
    DLF_TRY(group_checks(run, one, e, ln, S, work));
    return groups_figure(run);
}

dlf_status dlf_nbs_groups(dlf_run *run, double from, double to)
{
    dlf_dataset data = {0};
    DLF_TRY(dlf_digits_load(&data));
    shorten(&data, dlf_run_int(run, "train_rows"));
    double *memory = malloc((size_t)(4 * dlf_run_seeds(run)) * sizeof *memory);
    const dlf_status status = memory ? groups(run, &data, memory, from, to)
                                     : dlf_fail(DLF_ERR_OOM, "groups: out of memory");
    free(memory);
    dlf_dataset_free(&data);
    return status;
}

/* ---- convolutional ----------------------------------------------------------------------------
 */

static dlf_status conv_report(dlf_run *run, const sweep *s)
{
    DLF_TRY(add_table(
        run, s, (dlf_text){"卷积网络：错误率与批大小", "convolutional: error by batch size"}));
    DLF_TRY(flat_check(run, s, "conv_gn_flat",
                       (dlf_text){"对照，卷积、组归一化：错误率几乎不随批大小变（最大差，百分点）",
                                  "control, convolution, group norm: hardly a difference between "
                                  "batch sizes (largest, points)"},
                       DLF_NBS_GN));
    DLF_TRY(
        gap_check(run, s, "conv_bn_2",
                  (dlf_text){"卷积：批归一化在 B = 2 与 B = 16 之间相差不到 5 个百分点，统计量来自 "
                             "B·H·W 个位置",
                             "convolution: batch norm at B = 2 and B = 16 are within 5 points: its "
                             "statistics come from B·H·W positions"},
                  DLF_NBS_BN, 2, DLF_NBS_BN, 16, DLF_AT_MOST, 5.0,
                  "the effective batch (bn-statistics): 64 positions of each image; 5 points are "
                  "what the dense network loses and more, see bn_gn_2"));
    dlf_figure f = {
        .id = "conv_batch_size",
        .kind = DLF_LINES,
        .title = {"卷积网络：统计量来自 B·H·W 个位置，小批的伤害小得多",
                  "Convolutions: with B·H·W positions small batches hurt far less"},
        .subtitle = {"两层 3×3 卷积，学习率 ∝ B", "two layers of 3×3 convolutions, lr ∝ B"},
        .x = {{"批大小 B", "batch size B"}, true},
        .y = {{"测试错误率（%）", "test error (%)"}, true}};
    curves(&f, s);
    return dlf_result_figure(dlf_run_result(run), &f);
}

/* fashion-mnist where it was asked for and is there. */
static dlf_status conv_data(dlf_run *run, dlf_dataset *data)
{
    const dlf_dataset_request request = {
        .data = dlf_run_data_dir(run), .train = dlf_run_int(run, "train_rows"), .test = 1000};
    if (!strcmp(dlf_run_choice(run, "conv_data"), "fashion-mnist") &&
        dlf_dataset_load(data, "fashion-mnist", &request) == DLF_OK)
        return DLF_OK;
    DLF_TRY(dlf_digits_load(data));
    shorten(data, dlf_run_int(run, "train_rows"));
    return DLF_OK;
}

dlf_status dlf_nbs_conv(dlf_run *run, double from, double to)
{
    static const dlf_nbs_kind kinds[] = {DLF_NBS_BN, DLF_NBS_GN, DLF_NBS_LN, DLF_NBS_IN};
    static const sweep quick = {.n = 2, .batch = {2, 16}};
    static const sweep full = {.n = 6, .batch = {2, 4, 8, 16, 32, 64}};
    sweep s = dlf_run_full(run) ? full : quick;
    s.table = "conv";
    s.conv = true;
    s.kinds = kinds;
    s.n_kinds = 4;
    s.epochs = dlf_run_int(run, "conv_epochs");
    dlf_dataset data = {0};
    DLF_TRY(conv_data(run, &data));
    DLF_TRY(dlf_result_parameter_text(dlf_run_result(run), "conv_data_used", data.name));
    const dlf_status status = sweep_run(run, &data, &s, conv_report, from, to);
    dlf_dataset_free(&data);
    return status;
}
