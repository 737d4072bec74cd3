/* SPDX-License-Identifier: MIT
 * relu_vs_sigmoid_training.c -- Q36 on real data: steps to a given training error at one learning
 * rate and at each network's best. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/theory.h"
#include "figures.h"
#include "observed_nets.h"
#include "relu_vs_sigmoid.h"

enum { BATCH = 64, LOOKS = 64, RATES = 4, SHALLOW = 2 };
#define LEVEL 0.25

double dlf_relu_sigma_w2(const dlf_relu_arm *arm)
{
    return arm->sigma_w2 > 0.0 ? arm->sigma_w2
                               : dlf_meanfield_edge(dlf_activation_of(arm->kind), 0.0);
}

/* ---- curves -------------------------------------------------------------------------------------
 */

typedef struct curve_tables {
    dlf_table *mean, *each;
} curve_tables;

static dlf_status add_curve_tables(dlf_run *run, curve_tables *t)
{
    DLF_TRY(dlf_result_table(dlf_run_result(run), "curves",
                             (dlf_text){"学习率 0.05 时的训练误差，种子平均",
                                        "training error at learning rate 0.05, mean over seeds"},
                             (const dlf_column[]){{"arm", NULL},
                                                  {"step", "step"},
                                                  {"error", "1"},
                                                  {"lo", "1"},
                                                  {"hi", "1"},
                                                  {"level", "1"},
                                                  {NULL, NULL}},
                             &t->mean));
    return dlf_result_table(
        dlf_run_result(run), "curve_seeds", (dlf_text){"同上，每个种子", "the same, every seed"},
        (const dlf_column[]){
            {"arm", NULL}, {"seed", "1"}, {"step", "step"}, {"error", "1"}, {NULL, NULL}},
        &t->each);
}

/* The curves of net 0 of a job. */
static dlf_status add_curves(const curve_tables *t, const char *arm, const dlf_observed_job *job,
                             const double *error)
{
    for (int k = 0; k < job->looks; k++) {
        const double *row = error + k * job->nets * job->seeds;
        const dlf_estimate e = dlf_estimate_of(row, job->seeds, 1);
        DLF_TRY(dlf_table_row(t->mean, DLF_TXT(arm), DLF_NUM(job->look[k]), DLF_NUM(e.mean),
                              DLF_NUM(e.lo), DLF_NUM(e.hi), DLF_NUM(LEVEL)));
        for (int s = 0; s < job->seeds; s++)
            DLF_TRY(dlf_table_row(t->each, DLF_TXT(arm), DLF_NUM(s), DLF_NUM(job->look[k]),
                                  DLF_NUM(row[s])));
    }
    return DLF_OK;
}

/* exp of mean and interval of ln(values). */
static dlf_estimate geometric(const double *values, int n)
{
    dlf_estimate e = {.mean = NAN, .lo = NAN, .hi = NAN, .sd = NAN, .n = n};
    double *logs = malloc((size_t)n * sizeof *logs);
    if (!logs) return e;
    for (int i = 0; i < n; i++) logs[i] = log(values[i]);
    e = dlf_estimate_of(logs, n, 1);
    free(logs);
    return (dlf_estimate){exp(e.mean), exp(e.lo), exp(e.hi), e.sd, n};
}

/* How many times as many steps `slow` needs as `fast`, paired by seed. */
static dlf_estimate ratio_of(const double *slow, const double *fast, int seeds)
{
    dlf_estimate e = {.mean = NAN, .lo = NAN, .hi = NAN, .sd = NAN, .n = seeds};
    double *ratio = malloc((size_t)seeds * sizeof *ratio);
    if (!ratio) return e;
    for (int s = 0; s < seeds; s++) ratio[s] = slow[s] / fast[s];
    e = geometric(ratio, seeds);
    free(ratio);
    return e;
}

/* ---- (e) shallow networks: one learning rate, and every network's best -------------------------
 */

static const double rates[RATES] = {0.05, 0.2, 0.8, 3.2}; /* the first is the catalogue's */
enum { RELU, SIGMOID, SIGMOID_WIDE, TANH, SHALLOW_ARMS };

static const dlf_relu_arm shallow[SHALLOW_ARMS] = {
    [RELU] = {"relu", {"ReLU，σw²=2", "ReLU, σw²=2"}, DLF_RELU, 2.0, DLF_MEASURED},
    [SIGMOID] = {"sigmoid", {"sigmoid，σw²=1", "sigmoid, σw²=1"}, DLF_SIGMOID, 1.0, DLF_MEASURED},
    [SIGMOID_WIDE] =
        {"sigmoid_16", {"sigmoid，σw²=16", "sigmoid, σw²=16"}, DLF_SIGMOID, 16.0, DLF_MEASURED},
    [TANH] = {"tanh", {"对照：tanh，σw²=1", "control: tanh, σw²=1"}, DLF_TANH, 1.0, DLF_CONTROL},
};

/* Train one arm at all rates; steps[rate * seeds + s]: steps to the level. */
static dlf_status train_arm(dlf_run *run, const dlf_dataset *digits, const dlf_relu_arm *arm,
                            const curve_tables *curves, dlf_table *speed, double *steps,
                            double from, double to)
{
    const int S = dlf_run_seeds(run);
    int look[LOOKS];
    dlf_observed_net net[RATES];
    dlf_status status;
    for (int i = 0; i < RATES; i++) net[i] = (dlf_observed_net){dlf_relu_sigma_w2(arm), rates[i]};
    dlf_observed_job job = {.what = arm->id,
                            .kind = arm->kind,
                            .depth = SHALLOW,
                            .width = dlf_run_int(run, "digits_width"),
                            .batch = BATCH,
                            .steps = dlf_run_int(run, "steps"),
                            .net = net,
                            .nets = RATES,
                            .seeds = S,
                            .look = look,
                            .rows = dlf_run_int(run, "rows")};
    job.looks = dlf_observed_looks(look, LOOKS, job.steps);
    const size_t members = (size_t)(RATES * S);
    dlf_observed_outcome *out = malloc(members * sizeof *out);
    double *error = malloc((size_t)job.looks * members * sizeof *error);
    if (!out || !error) {
        status = dlf_fail(DLF_ERR_OOM, "training: out of memory");
        goto done;
    }
    DLF_TRY_DONE(dlf_observed_run(run, digits, &job, out, error, from, to));
    DLF_TRY_DONE(add_curves(curves, arm->id, &job, error));
    for (int i = 0; i < RATES; i++) {
        int reached = 0, diverged = 0;
        for (int s = 0; s < S; s++) {
            bool ok;
            steps[i * S + s] = dlf_steps_to(&job, error, i * S + s, LEVEL, &ok);
            reached += ok;
            diverged += out[i * S + s].diverged >= 0;
        }
        const dlf_estimate e = geometric(steps + i * S, S);
        DLF_TRY_DONE(dlf_table_row(speed, DLF_TXT(arm->id), DLF_NUM(rates[i]), DLF_NUM(e.mean),
                                   DLF_NUM(e.lo), DLF_NUM(e.hi), DLF_NUM((double)reached / S),
                                   DLF_NUM((double)diverged / S), DLF_NUM(job.steps)));
    }
done:
    free(error);
    free(out);
    return status;
}

/* The steps of the rate with the smallest geometric mean. */
static const double *best_rate(const double *steps, int S, double *rate)
{
    int best = 0;
    for (int i = 1; i < RATES; i++)
        if (geometric(steps + i * S, S).mean < geometric(steps + best * S, S).mean) best = i;
    if (rate) *rate = rates[best];
    return steps + best * S;
}

static dlf_status ratio_check(dlf_run *run, const char *id, dlf_text claim, dlf_estimate e,
                              double least, const char *note)
{
    return dlf_result_check(
        dlf_run_result(run),
        (dlf_check){.id = id,
                    .claim = claim,
                    .measured = e.mean,
                    .lo = e.lo,
                    .hi = e.hi,
                    .n = e.n,
                    .expected = least,
                    .relation = DLF_AT_LEAST,
                    .source =
                        "geometric mean over seeds of steps to 25 % training error; threshold "
                        "chosen before the run, from 8 to 32 of a pilot",
                    .note = note});
}

static dlf_status speed_checks(dlf_run *run, const double *steps)
{
    const int S = dlf_run_seeds(run);
    const double *arm[SHALLOW_ARMS], *best[SHALLOW_ARMS];
    double rate[SHALLOW_ARMS];
    for (int a = 0; a < SHALLOW_ARMS; a++) {
        arm[a] = steps + a * RATES * S;
        best[a] = best_rate(arm[a], S, &rate[a]);
    }
    DLF_TRY(dlf_result_fact(dlf_run_result(run), "best_rate_relu", rate[RELU], "1"));
    DLF_TRY(dlf_result_fact(dlf_run_result(run), "best_rate_sigmoid", rate[SIGMOID], "1"));
    DLF_TRY(dlf_result_fact(dlf_run_result(run), "ratio_sigmoid_16",
                            ratio_of(best[SIGMOID_WIDE], best[RELU], S).mean, "1"));
    DLF_TRY(ratio_check(run, "steps_ratio",
                        (dlf_text){"同一学习率 0.05 下，sigmoid 所需步数是 ReLU 的 8 倍以上",
                                   "at one learning rate, 0.05, sigmoid needs more than 8 times as "
                                   "many steps as ReLU"},
                        ratio_of(arm[SIGMOID], arm[RELU], S), 8.0,
                        "a network that does not get there counts with the steps it was given"));
    return ratio_check(run, "steps_ratio_tuned",
                       (dlf_text){"各用最佳学习率时，浅层 sigmoid 仍慢 8 倍以上",
                                  "with each at its best learning rate, shallow sigmoid is still "
                                  "more than 8 times slower"},
                       ratio_of(best[SIGMOID], best[RELU], S), 8.0,
                       "the first look is after 10 steps: a faster network counts 10");
}

static dlf_status curve_figure(dlf_run *run, bool fashion)
{
    static const struct {
        const char *arm;
        dlf_text label;
        dlf_role role;
    } lines[] = {
        {"relu", {"ReLU，手写数字", "ReLU, digits"}, DLF_MEASURED},
        {"sigmoid", {"sigmoid，手写数字", "sigmoid, digits"}, DLF_MEASURED},
        {"tanh", {"对照：tanh，手写数字", "control: tanh, digits"}, DLF_CONTROL},
        {"fashion_relu", {"ReLU，Fashion-MNIST", "ReLU, Fashion-MNIST"}, DLF_MEASURED},
        {"fashion_sigmoid", {"sigmoid，Fashion-MNIST", "sigmoid, Fashion-MNIST"}, DLF_MEASURED},
    };
    dlf_figure figure = {
        .id = "curves",
        .kind = DLF_LINES,
        .title =
            {"同一学习率下 sigmoid 需要多一个数量级的步数；零均值的 tanh 不需要",
             "At one learning rate sigmoid needs ten times the steps; tanh, its twin without a "
             "mean, does not"},
        .subtitle = {"2 个隐藏层 × 64，SGD，学习率 0.05，批大小 64",
                     "2 hidden layers of 64, SGD, learning rate 0.05, batches of 64"},
        .x = {{"训练步数", "training step"}, true},
        .y = {{"训练误差", "training error"}, false}};
    const int n = fashion ? 5 : 3;
    dlf_series *s = figure.series;
    for (int i = 0; i < n; i++) {
        *s++ = (dlf_series){.role = DLF_SEEDS,
                            .table = "curve_seeds",
                            .where = "arm",
                            .equals = lines[i].arm,
                            .x = "step",
                            .y = "error",
                            .by = "seed",
                            .label = {"", ""},
                            .colour = i};
        *s++ = (dlf_series){.role = lines[i].role,
                            .table = "curves",
                            .where = "arm",
                            .equals = lines[i].arm,
                            .x = "step",
                            .y = "error",
                            .label = lines[i].label,
                            .colour = i};
    }
    *s = (dlf_series){.role = DLF_REFERENCE,
                      .table = "curves",
                      .where = "arm",
                      .equals = "relu",
                      .x = "step",
                      .y = "level",
                      .label = {"25 %", "25 %"}};
    return dlf_result_figure(dlf_run_result(run), &figure);
}

dlf_status dlf_relu_rate_figure(dlf_run *run, dlf_figure figure, const dlf_relu_arm *arms, int n,
                                const char *y, const char *guide, dlf_text guide_label)
{
    for (int i = 0; i < n; i++)
        figure.series[i] =
            dlf_arm_series(arms[i].role, figure.id, "arm", arms[i].id, "lr", y, arms[i].label, i);
    figure.series[n] = (dlf_series){.role = DLF_REFERENCE,
                                    .table = figure.id,
                                    .where = "arm",
                                    .equals = arms[0].id,
                                    .x = "lr",
                                    .y = guide,
                                    .label = guide_label};
    return dlf_result_figure(dlf_run_result(run), &figure);
}

/* ---- the same on Fashion-MNIST, where it is installed ------------------------------------------
 */

static dlf_status fashion_missing(dlf_run *run)
{
    return dlf_result_check(
        dlf_run_result(run),
        (dlf_check){.id = "fashion_ratio",
                    .claim = {"本机没有安装 Fashion-MNIST，这一部分没有运行",
                              "Fashion-MNIST is not installed on this machine: this part has not "
                              "been run"},
                    .measured = NAN,
                    .lo = NAN,
                    .hi = NAN,
                    .expected = 4.0,
                    .relation = DLF_AT_LEAST,
                    .source = "Xiao, Rasul & Vollgraf 2017",
                    .has_verdict = true,
                    .verdict = DLF_UNDECIDED,
                    .note = dlf_error_message()});
}

static dlf_status fashion_arms(dlf_run *run, const dlf_dataset *data, const curve_tables *curves,
                               double from, double to)
{
    const int S = dlf_run_full(run) || dlf_run_seeds(run) < 3 ? dlf_run_seeds(run) : 3;
    int look[LOOKS];
    dlf_status status = DLF_OK;
    double *steps = malloc(2 * (size_t)S * sizeof *steps);
    double *error = malloc((size_t)(LOOKS * S) * sizeof *error);
    dlf_observed_outcome *out = malloc((size_t)S * sizeof *out);
    if (!steps || !error || !out) {
        status = dlf_fail(DLF_ERR_OOM, "training: out of memory");
        goto done;
    }
    static const char *const ids[] = {"fashion_relu", "fashion_sigmoid"};
    for (int a = 0; a < 2; a++) {
        const dlf_relu_arm *arm = &shallow[a == 0 ? RELU : SIGMOID];
        const dlf_observed_net net = {arm->sigma_w2, rates[0]};
        dlf_observed_job job = {.what = ids[a],
                                .kind = arm->kind,
                                .depth = SHALLOW,
                                .width = dlf_run_int(run, "digits_width"),
                                .batch = BATCH,
                                .steps = dlf_run_int(run, "steps"),
                                .net = &net,
                                .nets = 1,
                                .seeds = S,
                                .look = look,
                                .rows = dlf_run_int(run, "rows")};
        job.looks = dlf_observed_looks(look, LOOKS, job.steps);
        DLF_TRY_DONE(dlf_observed_run(run, data, &job, out, error, from + 0.5 * a * (to - from),
                                      from + 0.5 * (a + 1) * (to - from)));
        DLF_TRY_DONE(add_curves(curves, ids[a], &job, error));
        for (int s = 0; s < S; s++) steps[a * S + s] = dlf_steps_to(&job, error, s, LEVEL, NULL);
    }
    DLF_TRY_DONE(ratio_check(run, "fashion_ratio",
                             (dlf_text){"在 Fashion-MNIST 上同样如此：同一学习率下 sigmoid "
                                        "所需步数是 ReLU 的 4 倍以上",
                                        "on Fashion-MNIST too: at one learning rate sigmoid needs "
                                        "more than 4 times as many steps as ReLU"},
                             ratio_of(steps + S, steps, S), 4.0,
                             "data: Xiao, Rasul & Vollgraf 2017; a network that does not get there "
                             "counts with the steps it was given"));
done:
    free(out);
    free(error);
    free(steps);
    return status;
}

static dlf_status fashion(dlf_run *run, const curve_tables *curves, bool *found, double from,
                          double to)
{
    const dlf_dataset_request request = {dlf_run_data_dir(run), dlf_run_full(run) ? 60000 : 6000,
                                         1000};
    char *place = NULL;
    dlf_dataset data = {0};
    *found = dlf_dataset_find(&place, "fashion-mnist", request.data) == DLF_OK;
    free(place);
    if (!*found) return fashion_missing(run);
    DLF_TRY(dlf_dataset_load(&data, "fashion-mnist", &request));
    const dlf_status status = fashion_arms(run, &data, curves, from, to);
    dlf_dataset_free(&data);
    return status;
}

dlf_status dlf_relu_speed(dlf_run *run, const dlf_dataset *digits, double from, double to)
{
    const int S = dlf_run_seeds(run);
    const double part = (to - from) / (SHALLOW_ARMS + 1);
    dlf_status status;
    curve_tables curves;
    dlf_table *speed;
    bool found;
    double *steps = malloc((size_t)(SHALLOW_ARMS * RATES * S) * sizeof *steps);
    if (!steps) return dlf_fail(DLF_ERR_OOM, "training: out of memory");
    DLF_TRY_DONE(add_curve_tables(run, &curves));
    DLF_TRY_DONE(
        dlf_result_table(dlf_run_result(run), "speed",
                         (dlf_text){"到 25 % 训练误差的步数", "steps to 25 % training error"},
                         (const dlf_column[]){{"arm", NULL},
                                              {"lr", "1"},
                                              {"steps", "step"},
                                              {"lo", "step"},
                                              {"hi", "step"},
                                              {"reached", "1"},
                                              {"diverged", "1"},
                                              {"limit", "step"},
                                              {NULL, NULL}},
                         &speed));
    for (int a = 0; a < SHALLOW_ARMS; a++)
        DLF_TRY_DONE(train_arm(run, digits, &shallow[a], &curves, speed, steps + a * RATES * S,
                               from + part * a, from + part * (a + 1)));
    DLF_TRY_DONE(speed_checks(run, steps));
    DLF_TRY_DONE(fashion(run, &curves, &found, to - part, to));
    DLF_TRY_DONE(curve_figure(run, found));
    DLF_TRY_DONE(dlf_relu_rate_figure(
        run,
        (dlf_figure){
            .id = "speed",
            .kind = DLF_LINES,
            .title = {"浅层网络中，调学习率与初始化便补上大部分差距",
                      "In shallow networks learning rate and initialisation close most of the gap"},
            .subtitle = {"2 × 64，手写数字；到 25 % 训练误差的步数，上限为所给步数",
                         "2 × 64, digits; steps to 25 % training error, at most the steps given"},
            .x = {{"学习率", "learning rate"}, true},
            .y = {{"步数", "steps"}, true}},
        shallow, SHALLOW_ARMS, "steps", "limit", (dlf_text){"未达到", "not reached"}));
done:
    free(steps);
    return status;
}
