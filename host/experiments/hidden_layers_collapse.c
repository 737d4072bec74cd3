/* SPDX-License-Identifier: MIT
 * hidden_layers_collapse.c -- Q17: how near real networks come to the simplex that unconstrained
 * features reach (Papyan, Han & Donoho 2020), before, during and after training. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "hidden_layers.h"
#include "seed_check.h"

enum { COLLAPSE, NO_DECAY, PLAIN, ARMS, PANELS = 5 };

#define LOOK(part) offsetof(dlf_hidden_look, part)

/* ---- tables and figures ---- */

static dlf_status path_table(dlf_run *run, const dlf_hidden_story *arms, int n)
{
    dlf_table *table;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "collapse",
        (dlf_text){"最后一个隐藏层在训练中的塌缩", "collapse of the last hidden layer in training"},
        (const dlf_column[]){{"arm", NULL},
                             {"step", "step"},
                             {"spread", "1"},
                             {"spread_lo", "1"},
                             {"spread_hi", "1"},
                             {"within", "1"},
                             {"within_lo", "1"},
                             {"within_hi", "1"},
                             {"mean_cosine", "1"},
                             {"alignment", "1"},
                             {"test_spread", "1"},
                             {"test_within", "1"},
                             {"train_accuracy", "1"},
                             {"test_accuracy", "1"},
                             {NULL, NULL}},
        &table));
    for (int a = 0; a < n; a++)
        for (int k = 0; k < arms[a].looks; k++) {
            const dlf_hidden_story *s = &arms[a];
            const dlf_estimate spread = dlf_hidden_at(s, k, LOOK(train.spread)),
                               within = dlf_hidden_at(s, k, LOOK(train.within));
            DLF_TRY(dlf_table_row(table, DLF_TXT(s->arm->id), DLF_NUM(s->at[k] + 1),
                                  DLF_NUM(spread.mean), DLF_NUM(fmax(spread.lo, 0.5 * spread.mean)),
                                  DLF_NUM(spread.hi), DLF_NUM(within.mean),
                                  DLF_NUM(fmax(within.lo, 0.5 * within.mean)), DLF_NUM(within.hi),
                                  DLF_NUM(dlf_hidden_at(s, k, LOOK(train.mean_cosine)).mean),
                                  DLF_NUM(dlf_hidden_at(s, k, LOOK(train.alignment)).mean),
                                  DLF_NUM(dlf_hidden_at(s, k, LOOK(test.spread)).mean),
                                  DLF_NUM(dlf_hidden_at(s, k, LOOK(test.within)).mean),
                                  DLF_NUM(dlf_hidden_at(s, k, LOOK(train_accuracy)).mean),
                                  DLF_NUM(dlf_hidden_at(s, k, LOOK(test_accuracy)).mean)));
        }
    return DLF_OK;
}

static dlf_status path_figure(dlf_run *run, const dlf_hidden_story *arms, int n, dlf_figure figure,
                              const char *y, const char *lo, const char *hi)
{
    for (int a = 0; a < n; a++)
        figure.series[a] = (dlf_series){.role = a == NO_DECAY ? DLF_CONTROL : DLF_MEASURED,
                                        .table = "collapse",
                                        .where = "arm",
                                        .equals = arms[a].arm->id,
                                        .x = "step",
                                        .y = y,
                                        .lo = lo,
                                        .hi = hi,
                                        .label = arms[a].arm->label,
                                        .colour = a};
    return dlf_result_figure(dlf_run_result(run), &figure);
}

static dlf_status path_figures(dlf_run *run, const dlf_hidden_story *arms, int n)
{
    const dlf_axis step = {{"训练步数 + 1", "training step + 1"}, true};
    const dlf_text subtitle = {"手写数字，最后一个隐藏层，训练集；误差带为种子间 95% 区间",
                               "digits, last hidden layer, training rows; bands: 95 % over seeds"};
    DLF_TRY(path_figure(
        run, arms, n,
        (dlf_figure){.id = "angles",
                     .kind = DLF_LINES,
                     .title = {"只有批归一化加权重衰减，才使类均值的夹角相等",
                               "Only batch norm with weight decay makes the angles between class "
                               "means equal"},
                     .subtitle = subtitle,
                     .x = step,
                     .y = {{"余弦与 −1/(C−1) 的均方根偏差", "rms of cosine + 1/(C−1)"}, true}},
        "spread", "spread_lo", "spread_hi"));
    return path_figure(
        run, arms, n,
        (dlf_figure){.id = "within",
                     .kind = DLF_LINES,
                     .title = {"训练误差为零之后，只有批归一化加权重衰减使同类继续收拢",
                               "Once every row is right, only batch norm with weight decay goes on "
                               "drawing classes together"},
                     .subtitle = subtitle,
                     .x = step,
                     .y = {{"类内方差 / 类间方差", "variance within / between classes"}, true}},
        "within", "within_lo", "within_hi");
}

/* Panels side by side, arms below each other: one matrix of cosines per look, and the simplex. */
static dlf_status gram_table(dlf_run *run, const dlf_hidden_story *arms, int n, const int *shown)
{
    const int C = arms[0].data->classes, pitch = C + 1;
    dlf_table *table;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "gram",
        (dlf_text){"类均值两两夹角的余弦，每格一个矩阵（格间为 0）",
                   "cosines between class means, one matrix per panel (0 between the panels)"},
        (const dlf_column[]){{"panel", "1"}, {"row", "1"}, {"cosine", "1"}, {NULL, NULL}}, &table));
    for (int y = 0; y < n * pitch - 1; y++)
        for (int x = 0; x < (PANELS + 1) * pitch - 1; x++) {
            const int panel = x / pitch, j = x % pitch, i = C - 1 - y % pitch;
            double cosine = 0.0;
            if (j < C && i >= 0 && panel == PANELS) {
                cosine = i == j ? 1.0 : -1.0 / (C - 1.0);
            } else if (j < C && i >= 0) {
                const double *g = arms[n - 1 - y / pitch].gram + shown[panel] * C * C;
                cosine = g[i * C + j] / sqrt(g[i * C + i] * g[j * C + j]);
            }
            const double centre = 1.0 - 0.5 * (C - 1.0) / pitch;
            DLF_TRY(dlf_table_row(table, DLF_NUM((double)x / pitch + centre),
                                  DLF_NUM((double)y / pitch + centre), DLF_NUM(cosine)));
        }
    return DLF_OK;
}

static dlf_status gram_figure(dlf_run *run, const dlf_hidden_story *arms, int n)
{
    int shown[PANELS];
    char zh[160], en[160], rows_zh[200], rows_en[200];
    for (int i = 0; i < PANELS; i++) shown[i] = (arms[0].looks - 1) * i / (PANELS - 1);
    DLF_TRY(gram_table(run, arms, n, shown));
    snprintf(zh, sizeof zh, "从左到右：第 %d、%d、%d、%d、%d 步，最右为单纯形（首个种子）",
             arms[0].at[shown[0]], arms[0].at[shown[1]], arms[0].at[shown[2]], arms[0].at[shown[3]],
             arms[0].at[shown[4]]);
    snprintf(en, sizeof en,
             "left to right: step %d, %d, %d, %d, %d; last: the simplex (first seed)",
             arms[0].at[shown[0]], arms[0].at[shown[1]], arms[0].at[shown[2]], arms[0].at[shown[3]],
             arms[0].at[shown[4]]);
    snprintf(rows_zh, sizeof rows_zh, "从上到下：%s；%s；%s", arms[COLLAPSE].arm->label.zh,
             arms[NO_DECAY].arm->label.zh, arms[PLAIN].arm->label.zh);
    snprintf(rows_en, sizeof rows_en, "top to bottom: %s; %s; %s", arms[COLLAPSE].arm->label.en,
             arms[NO_DECAY].arm->label.en, arms[PLAIN].arm->label.en);
    const dlf_figure figure = {
        .id = "gram",
        .kind = DLF_HEATMAP,
        .title = {"最后一个隐藏层把十个类推到单纯形的十个顶点（左上到右上）",
                  "The last hidden layer pushes ten classes to the ten corners of a simplex (top "
                  "row)"},
        .subtitle = {rows_zh, rows_en},
        .x = {{zh, en}, false},
        .y = {{"三种网络，每格 C×C 个类", "three networks, C×C classes each"}, false},
        .z = {{"类均值夹角的余弦", "cosine between class means"}, false},
        .series = {{.role = DLF_MEASURED,
                    .table = "gram",
                    .x = "panel",
                    .y = "row",
                    .z = "cosine",
                    .label = {"实测", "measured"}}}};
    return dlf_result_figure(dlf_run_result(run), &figure);
}

/* ---- checks ---- */

static double value_at(const dlf_hidden_story *s, int look, int seed, size_t offset)
{
    return *(const double *)(const void *)((const char *)&s->look[look * s->seeds + seed] + offset);
}

/* Of every seed: a quantity of one arm at one look over the same of another. */
static dlf_status ratio(dlf_estimate *out, const dlf_hidden_story *a, int look_a,
                        const dlf_hidden_story *b, int look_b, size_t offset_a, size_t offset_b)
{
    double *value = malloc((size_t)a->seeds * sizeof *value);
    if (!value) return dlf_fail(DLF_ERR_OOM, "collapse: out of memory");
    for (int i = 0; i < a->seeds; i++)
        value[i] = value_at(a, look_a, i, offset_a) / value_at(b, look_b, i, offset_b);
    *out = dlf_estimate_of(value, a->seeds, 1);
    free(value);
    return DLF_OK;
}

static dlf_status bounded(dlf_run *run, const char *id, dlf_text claim, dlf_estimate e,
                          dlf_relation relation, double expected, const char *source)
{
    dlf_check c = dlf_check_of(id, claim, e);
    c.relation = relation;
    c.expected = expected;
    c.source = source;
    return dlf_result_check(dlf_run_result(run), c);
}

static dlf_status checks(dlf_run *run, const dlf_hidden_story *arms)
{
    const dlf_hidden_story *s = &arms[COLLAPSE];
    const int end = s->looks - 1;
    dlf_estimate e;
    DLF_TRY(
        bounded(run, "digits_fitted",
                (dlf_text){"训练越过了训练误差为零的点", "training went past zero training error"},
                dlf_hidden_at(s, end, LOOK(train_accuracy)), DLF_AT_LEAST, 0.995,
                "the phase in which Papyan, Han & Donoho 2020 see collapse; 0.995: 6 rows"));
    DLF_TRY(ratio(&e, s, end, s, 0, LOOK(train.spread), LOOK(train.spread)));
    DLF_TRY(bounded(run, "digits_angles",
                    (dlf_text){"批归一化加权重衰减：夹角的不均匀度降到训练前的五分之一以下",
                               "batch norm with decay: the inequality of the angles falls below a "
                               "fifth of what it was before training"},
                    e, DLF_AT_MOST, 0.2,
                    "0 in the limit (Papyan, Han & Donoho 2020, NC2); a fifth: finite training"));
    DLF_TRY(ratio(&e, s, end, s, 0, LOOK(train.within), LOOK(train.within)));
    DLF_TRY(
        bounded(run, "digits_within",
                (dlf_text){"类内方差与类间方差之比降到训练前的二十分之一以下",
                           "variance within over between classes falls below a twentieth of what "
                           "it was before training"},
                e, DLF_AT_MOST, 0.05,
                "0 in the limit (Papyan, Han & Donoho 2020, NC1); a twentieth: finite training"));
    DLF_TRY(bounded(run, "digits_alignment",
                    (dlf_text){"最后一层的权重与类均值近乎成比例",
                               "the weights of the last layer are nearly proportional to the class "
                               "means"},
                    dlf_hidden_at(s, end, LOOK(train.alignment)), DLF_AT_MOST, 0.2,
                    "0 in the limit (NC3), √2 for unrelated directions; 0.2: finite training"));
    DLF_TRY(ratio(&e, &arms[NO_DECAY], end, s, end, LOOK(train.within), LOOK(train.within)));
    DLF_TRY(bounded(run, "digits_no_decay",
                    (dlf_text){"对照：没有权重衰减，类内方差之比是有衰减时的五倍以上",
                               "control: without weight decay the ratio stays more than five times "
                               "as large"},
                    e, DLF_AT_LEAST, 5.0, "unconstrained features without decay: no collapse"));
    DLF_TRY(ratio(&e, &arms[PLAIN], end, &arms[PLAIN], 0, LOOK(train.spread), LOOK(train.spread)));
    DLF_TRY(
        bounded(run, "digits_plain",
                (dlf_text){"没有批归一化，只靠权重衰减也会得到单纯形（不均匀度之比）",
                           "decay alone, without batch norm, gives a simplex as well (inequality "
                           "after over before)"},
                e, DLF_AT_MOST, 0.2,
                "the same bound; Súkeník, Mondelli & Lampert 2024: in deep networks decay "
                "prefers low rank to a simplex"));
    DLF_TRY(ratio(&e, s, end, s, end, LOOK(test.within), LOOK(train.within)));
    dlf_check c = dlf_check_of(
        "digits_test",
        (dlf_text){"测试集上的塌缩弱于训练集（类内方差之比的比值）",
                   "test rows collapse less than training rows (quotient of the ratios)"},
        e);
    c.expected = 1.0;
    c.relation = DLF_AT_LEAST;
    c.source = "Hui, Belkin & Nakkiran 2022; ordering";
    c.has_verdict = true;
    c.verdict = dlf_verdict_above(e, 1.0);
    return dlf_result_check(dlf_run_result(run), c);
}

static dlf_status facts(dlf_run *run, const dlf_hidden_story *arms, int n)
{
    static const struct {
        const char *id;
        size_t offset;
    } fact[] = {{"spread", LOOK(train.spread)},
                {"within", LOOK(train.within)},
                {"cosine", LOOK(train.mean_cosine)},
                {"alignment", LOOK(train.alignment)},
                {"accuracy", LOOK(test_accuracy)}};
    dlf_result *r = dlf_run_result(run);
    for (int a = 0; a < n; a++)
        for (size_t i = 0; i < sizeof fact / sizeof fact[0]; i++) {
            char id[64];
            snprintf(id, sizeof id, "%s_%s", arms[a].arm->id, fact[i].id);
            DLF_TRY(dlf_result_fact(
                r, id, dlf_hidden_at(&arms[a], arms[a].looks - 1, fact[i].offset).mean, "1"));
            if (a) continue;
            snprintf(id, sizeof id, "before_%s", fact[i].id);
            DLF_TRY(dlf_result_fact(r, id, dlf_hidden_at(&arms[a], 0, fact[i].offset).mean, "1"));
        }
    return DLF_OK;
}

dlf_status dlf_hidden_collapse_report(dlf_run *run, const dlf_hidden_story *arms, int n)
{
    DLF_TRY(path_table(run, arms, n));
    DLF_TRY(gram_figure(run, arms, n));
    DLF_TRY(path_figures(run, arms, n));
    DLF_TRY(checks(run, arms));
    return facts(run, arms, n);
}
