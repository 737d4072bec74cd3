/* SPDX-License-Identifier: MIT
 * dropout_digits_report.c -- Q31 on real images: where dropout helps and where it does not, what it
 * does to training, and how a network trained with it is used. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dropout_story.h"
#include "figures.h"
#include "seed_check.h"

static const char *const setting_ids[STORY_SETTINGS] = {"noisy", "small", "clean"};
static const dlf_text setting_names[STORY_SETTINGS] = {{"标签有错", "wrong labels"},
                                                       {"样本很少", "few rows"},
                                                       {"对照：标签正确", "control: right labels"}};

/* ---- numbers ---- */

typedef double (*measure)(const story *s, int member);

static double last(const story *s, double *field, int part, int member)
{
    return *story_cell(s, field, s->records - 1, part, member);
}
static double test_accuracy(const story *s, int member)
{
    return last(s, s->accuracy, STORY_TEST, member);
}
static double train_accuracy(const story *s, int member)
{
    return last(s, s->accuracy, STORY_TRAIN, member);
}

static dlf_estimate of(const story *s, measure m, int setting, int arm)
{
    double value[256];
    for (int i = 0; i < s->seeds; i++) value[i] = m(s, story_member(s, setting, arm, i));
    return dlf_estimate_of(value, s->seeds, 1);
}

/* Paired by seed: arm a minus arm b. */
static dlf_estimate difference(const story *s, measure m, int setting, int a, int b)
{
    double value[256];
    for (int i = 0; i < s->seeds; i++)
        value[i] = m(s, story_member(s, setting, a, i)) - m(s, story_member(s, setting, b, i));
    return dlf_estimate_of(value, s->seeds, 1);
}

/* Test accuracy of the rate with the most validation accuracy (the least of equal ones), chosen
 * seed by seed, minus that of rate 0. */
static dlf_estimate chosen_gain(const story *s, int setting, double *mean_rate)
{
    double value[256];
    *mean_rate = 0.0;
    for (int i = 0; i < s->seeds; i++) {
        int best = 0;
        for (int arm = 1; arm < STORY_RATES; arm++)
            if (last(s, s->accuracy, STORY_VALID, story_member(s, setting, arm, i)) >
                last(s, s->accuracy, STORY_VALID, story_member(s, setting, best, i)))
                best = arm;
        value[i] = test_accuracy(s, story_member(s, setting, best, i)) -
                   test_accuracy(s, story_member(s, setting, 0, i));
        *mean_rate += dropout_rates[best] / s->seeds;
    }
    return dlf_estimate_of(value, s->seeds, 1);
}

/* ---- tables and figures ---- */

dlf_status dropout_story_rates(dlf_run *run, const story *s, const char *id)
{
    dlf_table *t;
    DLF_TRY(dlf_result_table(dlf_run_result(run), id,
                             (dlf_text){"不同 dropout 概率下的正确率", "accuracy by dropout rate"},
                             (const dlf_column[]){{"setting", NULL},
                                                  {"way", NULL},
                                                  {"rate", "1"},
                                                  {"test", "1"},
                                                  {"lo", "1"},
                                                  {"hi", "1"},
                                                  {"train", "1"},
                                                  {"train_lo", "1"},
                                                  {"train_hi", "1"},
                                                  {NULL, NULL}},
                             &t));
    for (int k = 0; k < STORY_SETTINGS; k++)
        for (int arm = 0; arm < STORY_ARMS; arm++) {
            const bool connect = arm == STORY_CONNECT;
            char way[40];
            snprintf(way, sizeof way, "%s%s", setting_ids[k], connect ? "_connect" : "");
            const dlf_estimate e = of(s, test_accuracy, k, arm), f = of(s, train_accuracy, k, arm);
            DLF_TRY(dlf_table_row(t, DLF_TXT(setting_ids[k]), DLF_TXT(way),
                                  DLF_NUM(dropout_rates[connect ? STORY_HALF : arm]),
                                  DLF_NUM(e.mean), DLF_NUM(e.lo), DLF_NUM(e.hi), DLF_NUM(f.mean),
                                  DLF_NUM(f.lo), DLF_NUM(f.hi)));
        }
    return DLF_OK;
}

static dlf_status rates_figure(dlf_run *run)
{
    dlf_figure f = {
        .id = "rates",
        .kind = DLF_LINES,
        .title = {"标签有错时 dropout 明显提高测试正确率，标签正确时没有好处，太强则有害",
                  "Dropout helps with wrong labels, not with right ones; too strong, it hurts"},
        .subtitle = {"手写数字，两个隐藏层；单独的点：DropConnect；灰色对照：标签正确",
                     "digits, two hidden layers; single points: DropConnect; grey control: right "
                     "labels"},
        .x = {{"dropout 概率", "dropout rate"}, false},
        .y = {{"测试正确率", "test accuracy"}, false}};
    for (int k = 0; k < STORY_SETTINGS; k++)
        f.series[k] = dlf_arm_series(k == STORY_CLEAN ? DLF_CONTROL : DLF_MEASURED, "rates", "way",
                                     setting_ids[k], "rate", "test", setting_names[k], k);
    static const char *const connect[] = {"noisy_connect", "small_connect"};
    for (int k = 0; k < 2; k++) {
        f.series[STORY_SETTINGS + k] = f.series[k];
        f.series[STORY_SETTINGS + k].equals = connect[k];
        f.series[STORY_SETTINGS + k].points = true;
        f.series[STORY_SETTINGS + k].label =
            k ? (dlf_text){"DropConnect，样本很少", "DropConnect, few rows"}
              : (dlf_text){"DropConnect，标签有错", "DropConnect, wrong labels"};
    }
    return dlf_result_figure(dlf_run_result(run), &f);
}

static dlf_status curves(dlf_run *run, const story *s)
{
    static const char *const parts[STORY_PARTS] = {"train", "validation", "test"};
    static const int arms[] = {0, STORY_HALF};
    dlf_table *t;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "curves",
                             (dlf_text){"训练过程中的损失", "loss during training"},
                             (const dlf_column[]){{"curve", NULL},
                                                  {"step", "step"},
                                                  {"loss", "nat"},
                                                  {"lo", "nat"},
                                                  {"hi", "nat"},
                                                  {NULL, NULL}},
                             &t));
    for (int k = 0; k < STORY_SETTINGS; k++)
        for (int a = 0; a < 2; a++)
            for (int part = 0; part < STORY_PARTS; part++)
                for (int r = 0; r < s->records; r++) {
                    char name[40];
                    snprintf(name, sizeof name, "%s_%s_%s", setting_ids[k], a ? "half" : "none",
                             parts[part]);
                    const dlf_estimate e = dlf_estimate_of(
                        story_cell(s, s->loss, r, part, story_member(s, k, arms[a], 0)), s->seeds,
                        1);
                    DLF_TRY(dlf_table_row(t, DLF_TXT(name),
                                          DLF_NUM((double)s->steps * r / (s->records - 1)),
                                          DLF_NUM(e.mean), DLF_NUM(e.lo), DLF_NUM(e.hi)));
                }
    static const struct {
        const char *curve;
        dlf_role role;
        dlf_text label;
    } shown[] = {
        {"noisy_none_train", DLF_MEASURED, {"训练，无 dropout", "training, no dropout"}},
        {"noisy_none_test", DLF_MEASURED, {"测试，无 dropout", "test, no dropout"}},
        {"noisy_half_train", DLF_MEASURED, {"训练，概率 0.5", "training, rate 0.5"}},
        {"noisy_half_test", DLF_MEASURED, {"测试，概率 0.5", "test, rate 0.5"}},
        {"clean_none_test", DLF_CONTROL, {"对照：测试，标签正确", "control: test, right labels"}},
    };
    dlf_figure f = {
        .id = "curves",
        .kind = DLF_LINES,
        .title = {"dropout 减慢对错误标签的记忆：训练损失降得慢，测试损失涨得少",
                  "Dropout slows the memorising of wrong labels: training loss falls less, test "
                  "loss rises less"},
        .subtitle = {"手写数字，标签部分有错；损失都在评估模式下计算",
                     "digits, part of the labels wrong; all losses in evaluation mode"},
        .x = {{"训练步数", "training step"}, false},
        .y = {{"交叉熵 / nat", "cross-entropy / nat"}, true}};
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++)
        f.series[i] = dlf_arm_series(shown[i].role, "curves", "curve", shown[i].curve, "step",
                                     "loss", shown[i].label, (int)i);
    return dlf_result_figure(dlf_run_result(run), &f);
}

/* ---- test time ---- */

static dlf_estimate reading(const story *s, const story_reading *r, int setting, bool error)
{
    const double *first = error ? &r[setting * s->seeds].error : &r[setting * s->seeds].loss;
    return dlf_estimate_of(first, s->seeds, (int)(sizeof *r / sizeof(double)));
}

static dlf_status reading_rows(dlf_table *t, const story *s, const char *way,
                               const story_reading *r, int masks)
{
    for (int k = 0; k < STORY_SETTINGS; k++) {
        char name[40];
        const dlf_estimate loss = reading(s, r, k, false), error = reading(s, r, k, true);
        snprintf(name, sizeof name, "%s_%s", setting_ids[k], way);
        DLF_TRY(dlf_table_row(t, DLF_TXT(name), DLF_TXT(setting_ids[k]), DLF_NUM(masks),
                              DLF_NUM(loss.mean), DLF_NUM(loss.lo), DLF_NUM(loss.hi),
                              DLF_NUM(error.mean), DLF_NUM(error.lo), DLF_NUM(error.hi)));
    }
    return DLF_OK;
}

static dlf_status readings(dlf_run *run, const story *s)
{
    dlf_table *t;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "test_time",
                             (dlf_text){"测试时的用法：权重缩放与掩码平均",
                                        "test time: weight scaling and means over masks"},
                             (const dlf_column[]){{"curve", NULL},
                                                  {"setting", NULL},
                                                  {"masks", "1"},
                                                  {"loss", "nat"},
                                                  {"lo", "nat"},
                                                  {"hi", "nat"},
                                                  {"error", "1"},
                                                  {"error_lo", "1"},
                                                  {"error_hi", "1"},
                                                  {NULL, NULL}},
                             &t));
    for (int k = 0; k < STORY_COUNTS; k++) {
        DLF_TRY(reading_rows(t, s, "monte_carlo", s->masks[k], 1 << k));
        DLF_TRY(reading_rows(t, s, "scaled", s->scaled, 1 << k)); /* a level line */
        DLF_TRY(reading_rows(t, s, "geometric", s->geometric, 1 << k));
    }
    dlf_figure f = {
        .id = "test_time",
        .kind = DLF_LINES,
        .title = {"一次权重缩放抵得上几十个掩码的平均",
                  "One pass with scaled weights is worth the mean of dozens of masks"},
        .subtitle = {"手写数字，标签部分有错，dropout 概率 0.5；灰色对照：标签正确，蒙特卡洛",
                     "digits, part of the labels wrong, dropout rate 0.5; grey control: right "
                     "labels, Monte Carlo"},
        .x = {{"平均的掩码数", "masks averaged"}, true},
        .y = {{"测试错误率", "test error"}, false}};
    static const struct {
        const char *curve;
        dlf_role role;
        dlf_text label;
    } shown[] = {
        {"noisy_monte_carlo", DLF_MEASURED, {"蒙特卡洛 dropout", "Monte Carlo dropout"}},
        {"noisy_scaled", DLF_MEASURED, {"权重缩放", "weight scaling"}},
        {"noisy_geometric", DLF_MEASURED, {"几何平均", "geometric mean"}},
        {"clean_monte_carlo", DLF_CONTROL, {"对照：标签正确", "control: right labels"}},
    };
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++)
        f.series[i] = (dlf_series){.role = shown[i].role,
                                   .table = "test_time",
                                   .where = "curve",
                                   .equals = shown[i].curve,
                                   .x = "masks",
                                   .y = "error",
                                   .lo = i == 0 ? "error_lo" : NULL,
                                   .hi = i == 0 ? "error_hi" : NULL,
                                   .label = shown[i].label,
                                   .colour = (int)i};
    return dlf_result_figure(dlf_run_result(run), &f);
}

/* ---- checks ---- */

/* A claim that the mean over seeds exceeds `bound`, decided by its interval. */
static dlf_status above(dlf_run *run, const char *id, dlf_text claim, dlf_estimate e, double bound,
                        const char *source, const char *note)
{
    dlf_check c = dlf_check_of(id, claim, e);
    c.expected = bound;
    c.relation = DLF_AT_LEAST;
    c.source = source;
    c.note = note;
    c.has_verdict = true;
    c.verdict = dlf_verdict_above(e, bound);
    return dlf_result_check(dlf_run_result(run), c);
}

static dlf_status equal(dlf_run *run, const char *id, dlf_text claim, dlf_estimate e,
                        double tolerance, const char *source)
{
    dlf_check c = dlf_check_of(id, claim, e);
    c.expected = 0.0;
    c.tolerance = tolerance;
    c.source = source;
    return dlf_result_check(dlf_run_result(run), c);
}

static dlf_status gain_checks(dlf_run *run, const story *s)
{
    static const dlf_text claims[STORY_SETTINGS] = {
        {"标签有错：dropout（概率由验证集选）提高测试正确率",
         "wrong labels: dropout, its rate chosen on validation rows, raises test accuracy"},
        {"样本很少、标签正确：dropout 提高测试正确率",
         "few rows, right labels: dropout raises test accuracy"},
        {"对照，标签正确：dropout 不改变测试正确率",
         "control, right labels: dropout leaves test accuracy alone"}};
    double rate;
    for (int k = 0; k < STORY_SETTINGS; k++) {
        char id[40];
        const dlf_estimate e = chosen_gain(s, k, &rate);
        snprintf(id, sizeof id, "%s_gain", setting_ids[k]);
        if (k == STORY_CLEAN)
            DLF_TRY(equal(run, id, claims[k], e, 0.02,
                          "nothing to remember; two points of 500 test images"));
        else
            DLF_TRY(
                above(run, id, claims[k], e, 0.0,
                      "Srivastava et al. 2014, ordering; decided by the interval over seeds",
                      "accuracy at the chosen rate minus that without dropout, paired by seed"));
        snprintf(id, sizeof id, "%s_rate", setting_ids[k]);
        DLF_TRY(dlf_result_fact(dlf_run_result(run), id, rate, "1"));
        snprintf(id, sizeof id, "%s_without", setting_ids[k]);
        DLF_TRY(dlf_result_fact(dlf_run_result(run), id, of(s, test_accuracy, k, 0).mean, "1"));
        snprintf(id, sizeof id, "%s_half", setting_ids[k]);
        DLF_TRY(dlf_result_fact(dlf_run_result(run), id, of(s, test_accuracy, k, STORY_HALF).mean,
                                "1"));
    }
    return DLF_OK;
}

static dlf_status training_checks(dlf_run *run, const story *s)
{
    DLF_TRY(above(run, "remembers_less",
                  (dlf_text){"标签有错：dropout 使网络记住的（含错的）训练标签变少",
                             "wrong labels: with dropout fewer of the training labels, wrong ones "
                             "included, are remembered"},
                  difference(s, train_accuracy, STORY_NOISY, 0, STORY_HALF), 0.0,
                  "ordering; decided by the interval over seeds",
                  "training accuracy without dropout minus that at rate 0.5"));
    DLF_TRY(above(run, "too_strong",
                  (dlf_text){"标签正确时，概率 0.85 的 dropout 降低测试正确率（欠拟合）",
                             "with right labels dropout at rate 0.85 lowers test accuracy: it "
                             "underfits"},
                  difference(s, test_accuracy, STORY_CLEAN, 0, STORY_RATES - 1), 0.0,
                  "ordering; decided by the interval over seeds",
                  "accuracy without dropout minus that at rate 0.85"));
    return above(run, "connect_gain",
                 (dlf_text){"标签有错：DropConnect 也提高测试正确率",
                            "wrong labels: DropConnect raises test accuracy too"},
                 difference(s, test_accuracy, STORY_NOISY, STORY_CONNECT, 0), 0.0,
                 "Wan et al. 2013, ordering; decided by the interval over seeds",
                 "accuracy with DropConnect at rate 0.5 minus that without");
}

/* Cross-entropy of weight scaling minus that of all masks. */
static dlf_estimate averaging_gain(const story *s, int setting)
{
    double value[256];
    for (int i = 0; i < s->seeds; i++)
        value[i] = s->scaled[setting * s->seeds + i].loss -
                   s->masks[STORY_COUNTS - 1][setting * s->seeds + i].loss;
    return dlf_estimate_of(value, s->seeds, 1);
}

/* "Monte Carlo dropout gives better probabilities": in all settings, in some, in none? */
static dlf_status averaging_check(dlf_run *run, const story *s)
{
    static const char *const facts[STORY_SETTINGS] = {"averaging_noisy", "averaging_small",
                                                      "averaging_clean"};
    int better = 0, worse = 0;
    for (int k = 0; k < STORY_SETTINGS; k++) {
        const dlf_estimate e = averaging_gain(s, k);
        better += e.lo > 0.0;
        worse += e.hi < 0.0;
        DLF_TRY(dlf_result_fact(dlf_run_result(run), facts[k], e.mean, "nat"));
    }
    const dlf_estimate e = averaging_gain(s, STORY_SMALL);
    dlf_check c = dlf_check_of(
        "monte_carlo_loss",
        (dlf_text){"蒙特卡洛 dropout 的概率比权重缩放更可信（交叉熵更低）",
                   "Monte Carlo dropout gives better probabilities than weight scaling: less "
                   "cross-entropy"},
        e);
    c.expected = 0.0;
    c.relation = DLF_AT_LEAST;
    c.source = "Gal & Ghahramani 2016; supported if so in all three settings, by intervals";
    c.note = "cross-entropy of weight scaling minus that of 32 masks, few rows; the other settings "
             "are facts averaging_*";
    c.has_verdict = true;
    c.verdict = e.n < 3                    ? DLF_UNDECIDED
                : better == STORY_SETTINGS ? DLF_SUPPORTED
                : worse == STORY_SETTINGS  ? DLF_REFUTED
                                           : DLF_DEPENDS;
    return dlf_result_check(dlf_run_result(run), c);
}

static dlf_status test_time_checks(dlf_run *run, const story *s)
{
    double value[256];
    const story_reading *all = s->masks[STORY_COUNTS - 1], *one = s->masks[0];
    for (int i = 0; i < s->seeds; i++) value[i] = s->scaled[i].error - all[i].error;
    DLF_TRY(equal(run, "scaling_is_enough",
                  (dlf_text){"权重缩放的错误率与 32 个掩码的平均相同",
                             "weight scaling errs as often as the mean of 32 masks"},
                  dlf_estimate_of(value, s->seeds, 1), 0.02,
                  "Srivastava et al. 2014, section 7.5; two points of 500 test images"));
    DLF_TRY(averaging_check(run, s));
    for (int i = 0; i < s->seeds; i++) value[i] = one[i].error - s->scaled[i].error;
    DLF_TRY(above(run, "one_mask_is_worse",
                  (dlf_text){"测试时忘了关 dropout（只用一个掩码）错误率更高",
                             "dropout left on at test time, a single mask, errs more often"},
                  dlf_estimate_of(value, s->seeds, 1), 0.0,
                  "ordering; decided by the interval over seeds",
                  "test error of one mask minus that of weight scaling, wrong labels"));
    for (int i = 0; i < s->seeds; i++) value[i] = s->geometric[i].error - s->scaled[i].error;
    return equal(run, "geometric_is_scaling",
                 (dlf_text){"两层 dropout 的几何平均与权重缩放的错误率相同",
                            "with two layers of dropout the geometric mean errs as often as weight "
                            "scaling"},
                 dlf_estimate_of(value, s->seeds, 1), 0.02,
                 "exact for one layer (geometric_identity); two points of 500 test images");
}

dlf_status dropout_story_report(dlf_run *run, const story *s)
{
    if (s->seeds > 256) return dlf_fail(DLF_ERR_ARG, "dropout: at most 256 seeds");
    DLF_TRY(dropout_story_rates(run, s, "rates"));
    DLF_TRY(rates_figure(run));
    DLF_TRY(curves(run, s));
    DLF_TRY(readings(run, s));
    DLF_TRY(gain_checks(run, s));
    DLF_TRY(training_checks(run, s));
    return test_time_checks(run, s);
}
