/* SPDX-License-Identifier: MIT
 * forgetting_digits_report.c -- Q11: what five tasks of digits left of each other. */
#include <stdio.h>
#include <stdlib.h>

#include "figures.h"
#include "forgetting.h"
#include "forgetting_story.h"
#include "seed_check.h"

enum {
    TASKS = DLF_FORGETTING_TASKS,
    LAST = TASKS - 1,
    STRENGTHS = DLF_FORGETTING_STRENGTHS,
    CHOSEN = DLF_EWC + 1,            /* the strength for permuted pixels */
    STRONG = DLF_EWC + 3,            /* and for new classes */
    STIFF = DLF_FORGETTING_ARMS - 1, /* the greatest                                */
    JOINT = DLF_FORGETTING_ARMS      /* in tables: all tasks at once                */
};
static const int shown[] = {DLF_NAIVE, CHOSEN, DLF_REPLAY, DLF_SAME};
enum { SHOWN = sizeof shown / sizeof shown[0] };
static const char *const arm_ids[SHOWN] = {"naive", "ewc", "replay", "same"};

/* Accuracy at the end of seed s on tasks first..last, trained after all. */
static double at_end(const dlf_forgetting_story *y, int scene, int arm, int first, int last, int s)
{
    double sum = 0.0;
    if (arm == JOINT) return y->joint[(long)scene * y->seeds + s];
    for (int k = first; k <= last; k++) sum += dlf_forgetting_at(y, scene, arm, LAST, k)[s];
    return sum / (last - first + 1);
}

/* Mean over the tasks but the last of what was lost since they were learned. */
static double lost(const dlf_forgetting_story *y, int scene, int arm, int s)
{
    double sum = 0.0;
    for (int k = 0; k < LAST; k++)
        sum += dlf_forgetting_at(y, scene, arm, k, k)[s] -
               dlf_forgetting_at(y, scene, arm, LAST, k)[s];
    return sum / LAST;
}

/* Mean over the tasks but the first of the accuracy right after they were learned. */
static double learned(const dlf_forgetting_story *y, int scene, int arm, int s)
{
    double sum = 0.0;
    for (int k = 1; k < TASKS; k++) sum += dlf_forgetting_at(y, scene, arm, k, k)[s];
    return sum / LAST;
}

typedef struct desk {
    const dlf_forgetting_story *y;
    dlf_run *run;
    double *value; /* (seeds) */
} desk;

static dlf_estimate final(const desk *d, int scene, int arm, int first, int last)
{
    for (int s = 0; s < d->y->seeds; s++) d->value[s] = at_end(d->y, scene, arm, first, last, s);
    return dlf_estimate_of(d->value, d->y->seeds, 1);
}

static dlf_estimate learning(const desk *d, int scene, int arm)
{
    for (int s = 0; s < d->y->seeds; s++) d->value[s] = learned(d->y, scene, arm, s);
    return dlf_estimate_of(d->value, d->y->seeds, 1);
}

static dlf_estimate loss_of(const desk *d, int scene, int arm, int less)
{
    for (int s = 0; s < d->y->seeds; s++)
        d->value[s] = lost(d->y, scene, arm, s) - (less < 0 ? 0.0 : lost(d->y, scene, less, s));
    return dlf_estimate_of(d->value, d->y->seeds, 1);
}

static dlf_status checks(const desk *d)
{
    const int S = d->y->seeds;
    DLF_TRY(dlf_add_above(
        d->run, "naive_forgets",
        (dlf_text){"手写数字，像素打乱的五个任务依次学习：旧任务损失的准确率",
                   "digits, five tasks with permuted pixels one after the other: accuracy that "
                   "earlier tasks lose"},
        loss_of(d, DLF_PERMUTED, DLF_NAIVE, -1),
        "McCloskey & Cohen 1989, in direction; decided by the whole interval"));
    dlf_check c = dlf_check_of("same_again",
                               (dlf_text){"对照，五次都是同一个任务：损失的准确率",
                                          "control, the same task five times: accuracy lost"},
                               loss_of(d, DLF_PERMUTED, DLF_SAME, -1));
    c.tolerance = 0.02;
    c.relation = DLF_AT_MOST;
    c.source = "nothing to forget; two points for 200 test rows";
    DLF_TRY(dlf_result_check(dlf_run_result(d->run), c));
    DLF_TRY(dlf_add_above(d->run, "ewc_permuted",
                          (dlf_text){"像素打乱：EWC 减少遗忘（不保护减 EWC）",
                                     "permuted pixels: EWC forgets less (no protection less EWC)"},
                          loss_of(d, DLF_PERMUTED, DLF_NAIVE, CHOSEN),
                          "Kirkpatrick et al. 2017, in direction; decided by the whole interval"));
    DLF_TRY(dlf_add_above(
        d->run, "replay_permuted",
        (dlf_text){
            "像素打乱：重放几行旧样本减少遗忘（不保护减重放）",
            "permuted pixels: replay of a few rows forgets less (no protection less replay)"},
        loss_of(d, DLF_PERMUTED, DLF_NAIVE, DLF_REPLAY),
        "Robins 1995, in direction; decided by the whole interval"));
    for (int s = 0; s < S; s++)
        d->value[s] =
            learned(d->y, DLF_PERMUTED, DLF_NAIVE, s) - learned(d->y, DLF_PERMUTED, STIFF, s);
    DLF_TRY(dlf_add_above(
        d->run, "stiff_learns_less",
        (dlf_text){"EWC 强度过大：新任务学得差（不保护减 EWC，刚学完时）",
                   "EWC too strong: new tasks are learned less well (no protection less EWC, right "
                   "after)"},
        dlf_estimate_of(d->value, S, 1),
        "stability against plasticity; decided by the whole interval"));
    c = dlf_check_of("new_classes_naive",
                     (dlf_text){"数字两两到来、最后十类一起考，不保护：只剩最后两类（准确率）",
                                "digits come in pairs, in the end all ten are asked for, no "
                                "protection: nothing but the last two is left (accuracy)"},
                     final(d, DLF_SPLIT, DLF_NAIVE, 0, LAST));
    c.expected = final(d, DLF_SPLIT, DLF_NAIVE, LAST, LAST).mean / TASKS;
    c.tolerance = 0.02;
    c.source = "the sentence \"catastrophic\": one task of five is left; two points";
    DLF_TRY(dlf_result_check(dlf_run_result(d->run), c));
    for (int s = 0; s < S; s++)
        d->value[s] = at_end(d->y, DLF_SPLIT, STRONG, 0, LAST, s) -
                      at_end(d->y, DLF_SPLIT, DLF_NAIVE, 0, LAST, s);
    DLF_TRY(dlf_add_bound(
        d->run, "new_classes_ewc",
        (dlf_text){"“来的是新类别时 EWC 毫无帮助”：比不保护至多高五个百分点",
                   "\"where new classes come EWC is of no help\": at most five points above no "
                   "protection"},
        dlf_estimate_of(d->value, S, 1), DLF_AT_MOST, 0.05,
        "van de Ven & Tolias 2019 on MNIST, in direction"));
    for (int s = 0; s < S; s++)
        d->value[s] = at_end(d->y, DLF_SPLIT, STRONG, 0, LAST, s) -
                      at_end(d->y, DLF_SPLIT, CHOSEN, 0, LAST, s);
    DLF_TRY(dlf_add_bound(
        d->run, "strength_carries_over",
        (dlf_text){"“EWC 的强度可以照搬”：在新类别上，像素打乱的好强度与强一百倍的相差"
                   "不到五个百分点",
                   "\"EWC's strength carries over\": with new classes what is good "
                   "for permuted pixels is within five points of a hundred times it"},
        dlf_estimate_of(d->value, S, 1), DLF_AT_MOST, 0.05,
        "the sentence; both strengths are shown in figure strength"));
    for (int s = 0; s < S; s++)
        d->value[s] =
            at_end(d->y, DLF_SPLIT, DLF_REPLAY, 0, LAST, s) / d->y->joint[(long)DLF_SPLIT * S + s];
    return dlf_add_bound(
        d->run, "new_classes_replay",
        (dlf_text){"新类别：重放几行旧样本保住联合训练准确率的一半以上",
                   "new classes: replay of a few rows keeps more than half of joint "
                   "training's accuracy"},
        dlf_estimate_of(d->value, S, 1), DLF_AT_LEAST, 0.5,
        "van de Ven & Tolias 2019, in direction");
}

static dlf_status facts(const desk *d)
{
    static const char *const scenes[DLF_FORGETTING_SCENES] = {"permuted", "split"};
    static const struct {
        const char *id;
        int arm;
    } arms[] = {{"naive", DLF_NAIVE},
                {"ewc", CHOSEN},
                {"strong", STRONG},
                {"replay", DLF_REPLAY},
                {"joint", JOINT}};
    char id[40];
    for (int scene = 0; scene < DLF_FORGETTING_SCENES; scene++)
        for (int i = 0; i < 5; i++) {
            snprintf(id, sizeof id, "%s_%s", scenes[scene], arms[i].id);
            DLF_TRY(dlf_result_fact(dlf_run_result(d->run), id,
                                    final(d, scene, arms[i].arm, 0, LAST).mean, "1"));
        }
    DLF_TRY(dlf_result_fact(dlf_run_result(d->run), "lost_ewc",
                            loss_of(d, DLF_PERMUTED, CHOSEN, -1).mean, "1"));
    DLF_TRY(dlf_result_fact(dlf_run_result(d->run), "lost_replay",
                            loss_of(d, DLF_PERMUTED, DLF_REPLAY, -1).mean, "1"));
    return dlf_result_fact(dlf_run_result(d->run), "ewc_strength",
                           dlf_forgetting_strength[CHOSEN - DLF_EWC], "1");
}

static dlf_status tables(const desk *d)
{
    dlf_table *first, *strength, *scenes;
    DLF_TRY(dlf_result_table(dlf_run_result(d->run), "first_task",
                             (dlf_text){"第一个任务的准确率（像素打乱）",
                                        "accuracy on the first task (permuted pixels)"},
                             (const dlf_column[]){{"arm", NULL},
                                                  {"tasks", "1"},
                                                  {"accuracy", "1"},
                                                  {"lo", "1"},
                                                  {"hi", "1"},
                                                  {NULL, NULL}},
                             &first));
    for (int i = 0; i < SHOWN; i++)
        for (int t = 0; t < TASKS; t++) {
            const dlf_estimate e = dlf_estimate_of(
                dlf_forgetting_at(d->y, DLF_PERMUTED, shown[i], t, 0), d->y->seeds, 1);
            DLF_TRY(dlf_table_row(first, DLF_TXT(arm_ids[i]), DLF_NUM(t + 1), DLF_NUM(e.mean),
                                  DLF_NUM(e.lo), DLF_NUM(e.hi)));
        }
    DLF_TRY(dlf_result_table(
        dlf_run_result(d->run), "strength",
        (dlf_text){"EWC 的强度：旧任务与新任务的准确率（像素打乱）",
                   "strength of EWC: accuracy on old and on new tasks (permuted pixels)"},
        (const dlf_column[]){{"strength", "1"},
                             {"old", "1"},
                             {"old_lo", "1"},
                             {"old_hi", "1"},
                             {"new", "1"},
                             {"new_lo", "1"},
                             {"new_hi", "1"},
                             {"naive", "1"},
                             {"split", "1"},
                             {"split_lo", "1"},
                             {"split_hi", "1"},
                             {NULL, NULL}},
        &strength));
    for (int i = 0; i < STRENGTHS; i++) {
        const int arm = DLF_EWC + i;
        const dlf_estimate o = final(d, DLF_PERMUTED, arm, 0, LAST - 1),
                           n = learning(d, DLF_PERMUTED, arm),
                           c = final(d, DLF_SPLIT, arm, 0, LAST);
        DLF_TRY(dlf_table_row(strength, DLF_NUM(dlf_forgetting_strength[i]), DLF_NUM(o.mean),
                              DLF_NUM(o.lo), DLF_NUM(o.hi), DLF_NUM(n.mean), DLF_NUM(n.lo),
                              DLF_NUM(n.hi),
                              DLF_NUM(final(d, DLF_PERMUTED, DLF_NAIVE, 0, LAST - 1).mean),
                              DLF_NUM(c.mean), DLF_NUM(c.lo), DLF_NUM(c.hi)));
    }
    static const int arms[] = {DLF_NAIVE, CHOSEN, STRONG, DLF_REPLAY, JOINT};
    static const char *const ids[] = {"naive", "ewc", "ewc_strong", "replay", "joint"},
                             *const zh[] = {"依次学习", "EWC，弱", "EWC，强", "重放", "联合训练"},
                             *const en[] = {"one by one", "EWC, weak", "EWC, strong", "replay",
                                            "joint"};
    DLF_TRY(
        dlf_result_table(dlf_run_result(d->run), "scenes",
                         (dlf_text){"学完五个任务后的平均准确率", "mean accuracy after five tasks"},
                         (const dlf_column[]){{"arm", NULL},
                                              {"arm_zh", NULL},
                                              {"arm_en", NULL},
                                              {"permuted", "1"},
                                              {"permuted_lo", "1"},
                                              {"permuted_hi", "1"},
                                              {"split", "1"},
                                              {"split_lo", "1"},
                                              {"split_hi", "1"},
                                              {NULL, NULL}},
                         &scenes));
    for (int i = 0; i < 5; i++) {
        const dlf_estimate p = final(d, DLF_PERMUTED, arms[i], 0, LAST),
                           n = final(d, DLF_SPLIT, arms[i], 0, LAST);
        DLF_TRY(dlf_table_row(scenes, DLF_TXT(ids[i]), DLF_TXT(zh[i]), DLF_TXT(en[i]),
                              DLF_NUM(p.mean), DLF_NUM(p.lo), DLF_NUM(p.hi), DLF_NUM(n.mean),
                              DLF_NUM(n.lo), DLF_NUM(n.hi)));
    }
    return DLF_OK;
}

static dlf_status figures(dlf_run *run)
{
    static const dlf_text names[SHOWN] = {{"依次学习", "one after the other"},
                                          {"EWC", "EWC"},
                                          {"重放", "replay"},
                                          {"对照：同一任务", "control: same task"}};
    dlf_figure f = {
        .id = "first_task",
        .kind = DLF_LINES,
        .title = {"学新任务时旧任务被忘掉；EWC 与重放保住更多",
                  "New tasks wipe out old ones; EWC and replay keep more of them"},
        .subtitle = {"手写数字，每个任务的像素按自己的方式打乱；带为种子间 95 % 区间",
                     "digits, every task with its own permutation of the pixels; bands: 95 % over "
                     "seeds"},
        .x = {{"已学的任务数", "tasks learned"}, false},
        .y = {{"第一个任务的测试准确率", "test accuracy on the first task"}, false}};
    for (int i = 0; i < SHOWN; i++)
        f.series[i] =
            dlf_arm_series(shown[i] == DLF_SAME ? DLF_CONTROL : DLF_MEASURED, "first_task", "arm",
                           arm_ids[i], "tasks", "accuracy", names[i], i);
    DLF_TRY(dlf_result_figure(dlf_run_result(run), &f));
    dlf_figure g = {
        .id = "strength",
        .kind = DLF_LINES,
        .title = {"EWC 太弱会忘，太强学不进",
                  "Too weak, EWC forgets; too strong, it does not learn"},
        .subtitle = {"五个像素打乱的任务；新任务：刚学完时；带为种子间 95 % 区间",
                     "five tasks with permuted pixels; new: right after learning; bands: 95 % over "
                     "seeds"},
        .x = {{"EWC 的强度 λ", "strength of EWC λ"}, true},
        .y = {{"测试准确率", "test accuracy"}, false}};
    static const char *const y[2] = {"old", "new"}, *const lo[2] = {"old_lo", "new_lo"},
                             *const hi[2] = {"old_hi", "new_hi"};
    static const dlf_text labels[2] = {{"旧任务，最后", "old tasks, in the end"},
                                       {"新任务", "new tasks"}};
    for (int i = 0; i < 2; i++)
        g.series[i] = (dlf_series){.role = DLF_MEASURED,
                                   .table = "strength",
                                   .x = "strength",
                                   .y = y[i],
                                   .lo = lo[i],
                                   .hi = hi[i],
                                   .label = labels[i],
                                   .colour = i,
                                   .points = false};
    g.series[2] =
        (dlf_series){.role = DLF_CONTROL,
                     .table = "strength",
                     .x = "strength",
                     .y = "naive",
                     .label = {"对照：不保护，旧任务", "control: no protection, old tasks"},
                     .colour = 2};
    g.series[3] = (dlf_series){.role = DLF_MEASURED,
                               .table = "strength",
                               .x = "strength",
                               .y = "split",
                               .lo = "split_lo",
                               .hi = "split_hi",
                               .label = {"新类别：十类，最后", "new classes: all ten, in the end"},
                               .colour = 3};
    DLF_TRY(dlf_result_figure(dlf_run_result(run), &g));
    dlf_figure h = {
        .id = "scenes",
        .kind = DLF_BARS,
        .title = {"EWC 的强度因任务而异，相差百倍；重放不用调",
                  "EWC's strength depends on the tasks, a hundredfold; replay needs no tuning"},
        .subtitle =
            {"学完五个任务后，全部任务的平均准确率；EWC 的强度 λ = 10 与 1000；误差棒为 95 % 区间",
             "mean accuracy on all after five tasks; strengths of EWC λ = 10 and 1000; bars: 95 %"},
        .x = {{"方法", "method"}, false},
        .y = {{"测试准确率", "test accuracy"}, false}};
    h.series[0] = (dlf_series){.role = DLF_MEASURED,
                               .table = "scenes",
                               .x = "arm",
                               .y = "permuted",
                               .lo = "permuted_lo",
                               .hi = "permuted_hi",
                               .label = {"像素打乱", "permuted pixels"},
                               .colour = 0};
    h.series[1] = (dlf_series){.role = DLF_MEASURED,
                               .table = "scenes",
                               .x = "arm",
                               .y = "split",
                               .lo = "split_lo",
                               .hi = "split_hi",
                               .label = {"新类别", "new classes"},
                               .colour = 1};
    return dlf_result_figure(dlf_run_result(run), &h);
}

dlf_status dlf_forgetting_report(const dlf_forgetting_story *s, dlf_run *run)
{
    const desk d = {s, run, malloc((size_t)s->seeds * sizeof *d.value)};
    if (!d.value) return dlf_fail(DLF_ERR_OOM, "forgetting: out of memory");
    dlf_status status;
    DLF_TRY_DONE(checks(&d));
    DLF_TRY_DONE(facts(&d));
    DLF_TRY_DONE(tables(&d));
    status = figures(run);
done:
    free(d.value);
    return status;
}
