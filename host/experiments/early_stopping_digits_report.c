/* SPDX-License-Identifier: MIT
 * early_stopping_digits_report.c -- Q10 on the digits: curves, rules compared, the document's
 * sentences. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "early_stopping_story.h"
#include "figures.h"
#include "seed_check.h"

static const char *const arm_ids[STORY_ARMS] = {"noisy", "clean"};
static const char *const part_ids[PARTS] = {"train", "validation", "test"};

/* ---- report ---- */

static dlf_status curve_table(dlf_run *run, const story *s)
{
    dlf_table *table;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "curves",
                             (dlf_text){"训练、验证、测试的损失与步数",
                                        "loss on training, validation and test rows by step"},
                             (const dlf_column[]){{"curve", NULL},
                                                  {"step", "step"},
                                                  {"loss", "nat"},
                                                  {"lo", "nat"},
                                                  {"hi", "nat"},
                                                  {"accuracy", "1"},
                                                  {"accuracy_lo", "1"},
                                                  {"accuracy_hi", "1"},
                                                  {NULL, NULL}},
                             &table));
    for (int arm = 0; arm < STORY_ARMS; arm++)
        for (int k = 0; k < PARTS; k++)
            for (int r = 0; r < s->records; r++) {
                char name[32];
                snprintf(name, sizeof name, "%s_%s", arm_ids[arm], part_ids[k]);
                const dlf_estimate e =
                    dlf_estimate_of(story_cell(s, s->loss, r, k, arm * s->seeds), s->seeds, 1);
                const dlf_estimate a =
                    dlf_estimate_of(story_cell(s, s->accuracy, r, k, arm * s->seeds), s->seeds, 1);
                DLF_TRY(dlf_table_row(table, DLF_TXT(name), DLF_NUM(r * STORY_EVERY),
                                      DLF_NUM(e.mean), DLF_NUM(e.lo), DLF_NUM(e.hi),
                                      DLF_NUM(a.mean), DLF_NUM(a.lo), DLF_NUM(a.hi)));
            }
    return DLF_OK;
}

static dlf_series curve(const char *name, const char *y, const char *lo, const char *hi,
                        dlf_text label, int colour)
{
    const bool control = strncmp(name, "clean", 5) == 0;
    return (dlf_series){.role = control ? DLF_CONTROL : DLF_MEASURED,
                        .table = "curves",
                        .where = "curve",
                        .equals = name,
                        .x = "step",
                        .y = y,
                        .lo = lo,
                        .hi = hi,
                        .label = label,
                        .colour = colour};
}

static dlf_status curve_figures(dlf_run *run)
{
    dlf_figure f = {
        .id = "curves",
        .kind = DLF_LINES,
        .title =
            {"标签有错时，训练损失一直降，验证与测试损失先降后升",
             "With wrong labels the training loss keeps falling while validation and test turn "
             "up"},
        .subtitle =
            {"手写数字，训练与验证标签部分错误；灰色对照标签正确，测试损失不回升",
             "digits, part of the training and validation labels wrong; grey control: right "
             "labels, no turn"},
        .x = {{"训练步数", "training step"}, false},
        .y = {{"交叉熵 / nat", "cross-entropy / nat"}, true}};
    f.series[0] = curve("noisy_train", "loss", "lo", "hi", (dlf_text){"训练", "training"}, 0);
    f.series[1] =
        curve("noisy_validation", "loss", "lo", "hi", (dlf_text){"验证", "validation"}, 1);
    f.series[2] = curve("noisy_test", "loss", "lo", "hi", (dlf_text){"测试", "test"}, 2);
    f.series[3] = curve("clean_test", "loss", "lo", "hi",
                        (dlf_text){"对照：测试，标签正确", "control: test, right labels"}, 3);
    DLF_TRY(dlf_result_figure(dlf_run_result(run), &f));
    f = (dlf_figure){
        .id = "generalisation",
        .kind = DLF_LINES,
        .title = {"拟合错误标签的阶段，测试正确率下降；标签正确时几乎不降",
                  "While wrong labels are fitted test accuracy falls; with right labels it hardly "
                  "does"},
        .subtitle = {"同一批网络；训练正确率按（含错的）训练标签计算",
                     "the same networks; training accuracy counts the (partly wrong) labels"},
        .x = {{"训练步数", "training step"}, false},
        .y = {{"正确率", "accuracy"}, false}};
    f.series[0] = curve("noisy_train", "accuracy", "accuracy_lo", "accuracy_hi",
                        (dlf_text){"训练（含错标签）", "training (wrong labels)"}, 0);
    f.series[1] = curve("noisy_test", "accuracy", "accuracy_lo", "accuracy_hi",
                        (dlf_text){"测试", "test"}, 2);
    f.series[2] = curve("clean_test", "accuracy", "accuracy_lo", "accuracy_hi",
                        (dlf_text){"对照：测试，标签正确", "control: test, right labels"}, 3);
    return dlf_result_figure(dlf_run_result(run), &f);
}

/* Test accuracies that are compared, per member. */
typedef enum rule { END, STOPPED, DECAYED, RULES } rule;
static const char *const rule_ids[RULES] = {"end", "stopped", "decay"};
static const dlf_text rule_names[RULES] = {
    {"训练到底", "to the end"}, {"早停", "early stopping"}, {"权重衰减", "weight decay"}};

static double accuracy_by(const story *s, rule r, int member)
{
    if (r == STOPPED) return s->stopped[member];
    if (r == DECAYED) return s->decayed[member];
    return *story_cell(s, s->accuracy, s->records - 1, TEST_PART, member);
}

static dlf_status rule_table(dlf_run *run, const story *s, double *value)
{
    dlf_table *table;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "rules",
                             (dlf_text){"每种做法的测试正确率", "test accuracy by each rule"},
                             (const dlf_column[]){{"rule", NULL},
                                                  {"rule_zh", NULL},
                                                  {"rule_en", NULL},
                                                  {"arm", NULL},
                                                  {"accuracy", "1"},
                                                  {"lo", "1"},
                                                  {"hi", "1"},
                                                  {NULL, NULL}},
                             &table));
    for (int k = 0; k < RULES; k++)
        for (int arm = 0; arm < STORY_ARMS; arm++) {
            for (int i = 0; i < s->seeds; i++)
                value[i] = accuracy_by(s, (rule)k, arm * s->seeds + i);
            const dlf_estimate e = dlf_estimate_of(value, s->seeds, 1);
            DLF_TRY(dlf_table_row(table, DLF_TXT(rule_ids[k]), DLF_TXT(rule_names[k].zh),
                                  DLF_TXT(rule_names[k].en), DLF_TXT(arm_ids[arm]), DLF_NUM(e.mean),
                                  DLF_NUM(e.lo), DLF_NUM(e.hi)));
        }
    dlf_figure f = {
        .id = "rules",
        .kind = DLF_BARS,
        .title =
            {"标签有错时，早停挽回一部分正确率，权重衰减挽回更多；标签正确时三者差不多",
             "With wrong labels stopping helps, weight decay helps more; with right ones neither"},
        .subtitle = {"手写数字测试集；停止时刻与衰减系数都由验证集选",
                     "test digits; the time to stop and the decay are chosen on validation rows"},
        .x = {{"做法", "rule"}, false},
        .y = {{"测试正确率", "test accuracy"}, false}};
    static const dlf_text arms[STORY_ARMS] = {{"标签有错", "wrong labels"},
                                              {"对照：标签正确", "control: right labels"}};
    for (int arm = 0; arm < STORY_ARMS; arm++)
        f.series[arm] = dlf_arm_series(arm ? DLF_CONTROL : DLF_MEASURED, "rules", "arm",
                                       arm_ids[arm], "rule", "accuracy", arms[arm], arm);
    return dlf_result_figure(dlf_run_result(run), &f);
}

/* ---- checks ---- */

static dlf_estimate difference(const story *s, rule a, rule b, int arm, double *value)
{
    for (int i = 0; i < s->seeds; i++)
        value[i] = accuracy_by(s, a, arm * s->seeds + i) - accuracy_by(s, b, arm * s->seeds + i);
    return dlf_estimate_of(value, s->seeds, 1);
}

/* Best accuracy on the way minus that of early stopping. */
static dlf_estimate regret(const story *s, double *value)
{
    for (int i = 0; i < s->seeds; i++) {
        double most = 0.0;
        for (int r = 0; r < s->records; r++)
            most = fmax(most, *story_cell(s, s->accuracy, r, TEST_PART, i));
        value[i] = most - s->stopped[i];
    }
    return dlf_estimate_of(value, s->seeds, 1);
}

/* How much later the best point comes with right labels: ratio of steps, mean of logarithms. */
static dlf_estimate later(const story *s, double *value)
{
    for (int i = 0; i < s->seeds; i++)
        value[i] = log(fmax(s->best[s->seeds + i], 0.5) / fmax(s->best[i], 0.5));
    dlf_estimate e = dlf_estimate_of(value, s->seeds, 1);
    e.mean = exp(e.mean);
    e.lo = exp(e.lo);
    e.hi = exp(e.hi);
    return e;
}

static dlf_status kept_check(dlf_run *run, const story *s)
{
    double worst = 0.0;
    for (int p = 0; p < s->members; p++)
        worst = fmax(worst,
                     fabs(s->stopped[p] - *story_cell(s, s->accuracy, s->best[p], TEST_PART, p)));
    dlf_check c = dlf_check_exact("kept_is_best",
                                  (dlf_text){"取回的参数就是验证损失最小时的参数",
                                             "the parameters given back are those of the least "
                                             "validation loss"},
                                  worst);
    c.expected = 0.0;
    c.source = "test accuracy before and after, exactly";
    c.self_check = true;
    return dlf_result_check(dlf_run_result(run), c);
}

static dlf_status gain_checks(dlf_run *run, const story *s, double *value)
{
    /* a difference of two accuracies on the same 500 images: at most a few images per seed */
    const double points = 0.02;
    dlf_estimate e = difference(s, STOPPED, END, 0, value);
    dlf_check c =
        dlf_check_of("stopping_gain",
                     (dlf_text){"标签有错：早停的测试正确率高于训练到底",
                                "wrong labels: early stopping has more test accuracy than "
                                "training to the end"},
                     e);
    c.expected = 0.0;
    c.relation = DLF_AT_LEAST;
    c.source = "ordering; decided by the interval over seeds";
    c.has_verdict = true;
    c.verdict = dlf_verdict_above(e, 0.0);
    DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    c = dlf_check_of("clean_gain",
                     (dlf_text){"对照，标签正确：早停与训练到底一样好",
                                "control, right labels: early stopping and training to the end are "
                                "equal"},
                     difference(s, STOPPED, END, 1, value));
    c.expected = 0.0;
    c.tolerance = points;
    c.source = "nothing to overfit; two points of 500 test images";
    DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    c = dlf_check_of("as_good_as_decay",
                     (dlf_text){"早停不比验证集选出的权重衰减差",
                                "early stopping is no worse than weight decay chosen on the same "
                                "validation rows"},
                     difference(s, STOPPED, DECAYED, 0, value));
    c.expected = 0.0;
    c.tolerance = points;
    c.relation = DLF_AT_LEAST;
    c.source = "both shrink the same directions (Goodfellow et al. 2016, 7.8); two points";
    DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    c = dlf_check_of(
        "regret",
        (dlf_text){"验证集选的停止点离全程最好的测试正确率不超过 5 个百分点",
                   "the point chosen on validation rows is within 5 points of the best "
                   "test accuracy on the way"},
        regret(s, value));
    c.expected = 0.05;
    c.relation = DLF_AT_MOST;
    c.source = "size of validation noise: 200 rows";
    return dlf_result_check(dlf_run_result(run), c);
}

/* The two sentences of the document. */
static dlf_status document_checks(dlf_run *run, const story *s, double *value)
{
    const dlf_estimate clean = difference(s, STOPPED, END, 1, value);
    const dlf_estimate noisy = difference(s, STOPPED, END, 0, value);
    dlf_check c = dlf_check_of(
        "document_turn",
        (dlf_text){"过了某个训练阶段，继续拟合训练数据会使泛化误差增加",
                   "beyond some stage of training, fitting the training data better increases the "
                   "generalisation error"},
        noisy);
    c.expected = 0.0;
    c.relation = DLF_AT_LEAST;
    c.source = "sentence of the document; supported if errors rise in both arms";
    c.note = "wrong labels; with right labels see clean_gain";
    c.has_verdict = true;
    c.verdict = noisy.n < 3                                             ? DLF_UNDECIDED
                : noisy.lo > 0.0 && clean.mean > 0.01 && clean.lo > 0.0 ? DLF_SUPPORTED
                : noisy.lo > 0.0                                        ? DLF_DEPENDS
                                                                        : DLF_REFUTED;
    DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    const dlf_estimate e = later(s, value);
    c = dlf_check_of(
        "document_number",
        (dlf_text){"早停规定了网络可以训练的迭代次数（可以事先定好一个数）",
                   "early stopping prescribes a number of iterations (one number, fixed "
                   "beforehand)"},
        e);
    c.expected = 1.0;
    c.tolerance = 0.5;
    c.source =
        "sentence of the document: then networks that differ in their labels only would stop "
        "at the same step";
    c.note = "best step with right labels over best step with wrong ones";
    DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    double stop = 0.0, best = 0.0, memorised = 0.0, rise = 0.0;
    for (int i = 0; i < s->seeds; i++) {
        stop += (double)s->stop[i] * STORY_EVERY / s->seeds;
        best += (double)s->best[i] * STORY_EVERY / s->seeds;
        memorised += *story_cell(s, s->accuracy, s->records - 1, TRAIN_PART, i) / s->seeds;
        rise += log(*story_cell(s, s->loss, s->records - 1, TEST_PART, i) /
                    *story_cell(s, s->loss, s->best[i], TEST_PART, i)) /
                s->seeds;
    }
    DLF_TRY(dlf_result_fact(dlf_run_result(run), "stop_step", stop, "step"));
    DLF_TRY(dlf_result_fact(dlf_run_result(run), "best_step", best, "step"));
    DLF_TRY(dlf_result_fact(dlf_run_result(run), "memorised", memorised, "1"));
    return dlf_result_fact(dlf_run_result(run), "loss_rise", exp(rise), "1");
}

dlf_status story_report(dlf_run *run, const story *s, double *value)
{
    DLF_TRY(curve_table(run, s));
    DLF_TRY(curve_figures(run));
    DLF_TRY(rule_table(run, s, value));
    DLF_TRY(kept_check(run, s));
    DLF_TRY(gain_checks(run, s, value));
    return document_checks(run, s, value);
}
