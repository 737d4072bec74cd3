/* SPDX-License-Identifier: MIT
 * losses_saturated.c -- Q19: sigmoid outputs on the digits, trained with squared error and with
 * cross-entropy from a saturated and from an ordinary start. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/train.h"
#include "figures.h"
#include "losses.h"
#include "seed_check.h"

enum { BATCH = 32, RATES = 4, STARTS = 2, LOSSES = 2, ARMS = STARTS * RATES, EVERY = 10 };
static const double rates[RATES] = {0.1, 0.4, 1.6, 6.4};
static const double gains[STARTS] = {1.0, 400.0}; /* ordinary, saturated */
#define GOAL 0.9                                  /* training accuracy */

dlf_status dlf_losses_network(dlf_graph **out, dlf_device *device, int members, int batch,
                              int width, const double *gain, bool squared)
{
    DLF_TRY(dlf_graph_new(out, device, members));
    dlf_graph *g = *out;
    const dlf_node x = dlf_input(g, "x", 3, (int64_t[]){members, batch, 64});
    const dlf_node target = dlf_input(g, "target", 3, (int64_t[]){members, batch, 10});
    const dlf_node label = dlf_input_int(g, "label", 2, (int64_t[]){members, batch});
    const dlf_node h = dlf_dense(g, "h", x, width, dlf_activation_of(DLF_RELU), dlf_he());
    dlf_init last = dlf_lecun();
    last.gains = gain;
    const dlf_node z = dlf_dense(g, "logits", h, 10, dlf_activation_of(DLF_LINEAR), last);
    dlf_node loss;
    dlf_want_value(g, z);
    (void)label; /* fed for the accuracy */
    if (squared) {
        const dlf_node y = dlf_activate(g, "y", z, dlf_activation_of(DLF_SIGMOID));
        loss = dlf_row_loss(g, "loss", y, target, (dlf_loss){.kind = DLF_LOSS_MSE});
    } else {
        loss = dlf_row_loss(g, "loss", z, target, (dlf_loss){.kind = DLF_LOSS_BCE});
    }
    /* (y - t)^2 / 2 on both sides of z = 0: the same gradient where the unit is right in the middle
     */
    dlf_graph_minimise(g, loss, (squared ? 0.5 : 1.0) / batch);
    const dlf_status status = dlf_graph_compile(g);
    if (status != DLF_OK) {
        dlf_graph_free(g);
        *out = NULL;
    }
    return status;
}

static dlf_status one_hot(dlf_dataset *d)
{
    const size_t rows = (size_t)(d->train + d->test);
    d->targets = d->classes;
    d->target = calloc(rows * (size_t)d->classes, sizeof *d->target);
    if (!d->target) return dlf_fail(DLF_ERR_OOM, "losses: out of memory");
    for (size_t i = 0; i < rows; i++)
        d->target[i * (size_t)d->classes + (size_t)d->label[i]] = 1.0f;
    return DLF_OK;
}

/* Training accuracy (records, start, rate, seed) of one loss, and steps to the goal. */
typedef struct course {
    int seeds, records;
    double *accuracy, *steps;
    int best[STARTS]; /* rate with the fewest steps to the goal */
} course;

static int member_of(const course *c, int start, int rate, int seed)
{
    return (start * RATES + rate) * c->seeds + seed;
}

static dlf_status course_new(course *c, int seeds, int records)
{
    const size_t P = (size_t)(ARMS * seeds);
    *c = (course){.seeds = seeds, .records = records};
    c->accuracy = malloc((size_t)records * P * sizeof *c->accuracy);
    c->steps = malloc(P * sizeof *c->steps);
    return c->accuracy && c->steps ? DLF_OK : dlf_fail(DLF_ERR_OOM, "losses: out of memory");
}

/* First record at which the goal is reached; one beyond the last where it never is. */
static void find_goal(course *c)
{
    const int P = ARMS * c->seeds;
    for (int p = 0; p < P; p++) {
        int r = 0;
        while (r < c->records && !(c->accuracy[r * P + p] >= GOAL)) r++;
        c->steps[p] = (double)EVERY * fmax(r, 1);
    }
    for (int start = 0; start < STARTS; start++) {
        double least = INFINITY;
        for (int rate = 0; rate < RATES; rate++) {
            double sum = 0.0;
            for (int s = 0; s < c->seeds; s++) sum += log(c->steps[member_of(c, start, rate, s)]);
            if (sum >= least) continue;
            least = sum;
            c->best[start] = rate;
        }
    }
}

static dlf_status train_course(course *c, dlf_run *run, const dlf_dataset *data, bool squared,
                               double from, double to)
{
    const int P = ARMS * c->seeds, rows = data->train < 320 ? data->train : 320;
    dlf_status status;
    dlf_graph *g = NULL;
    dlf_train *t = NULL;
    double *values = malloc((size_t)P * 2 * sizeof *values), *gain = values, *lr = values + P;
    int32_t *draw = malloc((size_t)P * sizeof *draw);
    if (!values || !draw) {
        status = dlf_fail(DLF_ERR_OOM, "losses: out of memory");
        goto done;
    }
    for (int p = 0; p < P; p++) {
        gain[p] = gains[p / c->seeds / RATES];
        lr[p] = rates[p / c->seeds % RATES];
        draw[p] = p % c->seeds;
    }
    DLF_TRY_DONE(dlf_losses_network(&g, dlf_run_device(run), P, BATCH, dlf_run_int(run, "width"),
                                    gain, squared));
    DLF_TRY_DONE(dlf_graph_initialise(g, dlf_run_seed(run), draw));
    const dlf_train_spec spec = {
        .seed = dlf_run_seed(run), .draw = draw, .lr = lr, .optimiser = dlf_sgd(0.0, 0.0)};
    DLF_TRY_DONE(dlf_train_new(&t, g, data, &spec));
    for (int r = 0; r < c->records; r++) {
        DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * r / c->records,
                                   squared ? "saturated start: squared error"
                                           : "saturated start: cross-entropy"));
        DLF_TRY_DONE(dlf_train_evaluate(t, 0, rows, NULL, c->accuracy + r * P));
        DLF_TRY_DONE(dlf_train_run(t, EVERY));
    }
    find_goal(c);
done:
    dlf_train_free(t);
    dlf_graph_free(g);
    free(draw);
    free(values);
    return status;
}

/* ---- report ---- */

static const char *const arm_ids[LOSSES][STARTS] = {{"ce_plain", "ce_saturated"},
                                                    {"mse_plain", "mse_saturated"}};

static dlf_status curve_table(dlf_run *run, const course c[LOSSES])
{
    const int P = ARMS * c[0].seeds;
    dlf_table *table;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "saturated",
                             (dlf_text){"训练集正确率与步数", "training accuracy by step"},
                             (const dlf_column[]){{"arm", NULL},
                                                  {"step", "step"},
                                                  {"accuracy", "1"},
                                                  {"lo", "1"},
                                                  {"hi", "1"},
                                                  {"rate", "1"},
                                                  {NULL, NULL}},
                             &table));
    for (int k = 0; k < LOSSES; k++)
        for (int start = 0; start < STARTS; start++)
            for (int r = 0; r < c[k].records; r++) {
                const int first = member_of(&c[k], start, c[k].best[start], 0);
                const dlf_estimate e =
                    dlf_estimate_of(c[k].accuracy + r * P + first, c[k].seeds, 1);
                DLF_TRY(dlf_table_row(table, DLF_TXT(arm_ids[k][start]), DLF_NUM(r * EVERY),
                                      DLF_NUM(e.mean), DLF_NUM(e.lo), DLF_NUM(e.hi),
                                      DLF_NUM(rates[c[k].best[start]])));
            }
    return DLF_OK;
}

static dlf_status figure(dlf_run *run)
{
    dlf_figure f = {
        .id = "saturated",
        .kind = DLF_LINES,
        .title = {"从饱和的起点，MSE 网络学得极慢，交叉熵网络照样学会",
                  "From a saturated start squared error crawls; cross-entropy learns as ever"},
        .subtitle =
            {"手写数字，sigmoid 输出，各自最好的学习率；灰色：普通起点，两种损失差不多",
             "digits, sigmoid outputs, the best learning rate of each; grey: ordinary start, "
             "where both do"},
        .x = {{"训练步数", "training step"}, false},
        .y = {{"训练集正确率", "training accuracy"}, false}};
    static const dlf_text names[LOSSES][STARTS] = {
        {{"对照：交叉熵", "control: cross-entropy"},
         {"交叉熵，饱和起点", "cross-entropy, saturated"}},
        {{"对照：MSE", "control: squared error"}, {"MSE，饱和起点", "squared error, saturated"}}};
    for (int k = 0; k < LOSSES; k++)
        for (int start = 0; start < STARTS; start++)
            f.series[k * STARTS + start] =
                dlf_arm_series(start ? DLF_MEASURED : DLF_CONTROL, "saturated", "arm",
                               arm_ids[k][start], "step", "accuracy", names[k][start], k);
    return dlf_result_figure(dlf_run_result(run), &f);
}

/* Steps by squared error over steps by cross-entropy, as mean of logarithms over the seeds: of one
 * start, or (start < 0) that ratio of the saturated start over that of the ordinary one. */
static dlf_status slowdown(const course c[LOSSES], int start, dlf_estimate *out)
{
    double *value = calloc((size_t)c[0].seeds, sizeof *value);
    if (!value) return dlf_fail(DLF_ERR_OOM, "losses: out of memory");
    for (int s = 0; s < c[0].seeds; s++)
        for (int i = 0; i < STARTS; i++) {
            const double sign = start < 0 ? (i ? 1.0 : -1.0) : i == start;
            value[s] += sign * log(c[1].steps[member_of(&c[1], i, c[1].best[i], s)] /
                                   c[0].steps[member_of(&c[0], i, c[0].best[i], s)]);
        }
    *out = dlf_estimate_of(value, c[0].seeds, 1);
    free(value);
    out->mean = exp(out->mean);
    out->lo = exp(out->lo);
    out->hi = exp(out->hi);
    return DLF_OK;
}

static dlf_status slowdown_check(dlf_run *run, const char *id, dlf_text claim, dlf_estimate e)
{
    dlf_check c = dlf_check_of(id, claim, e);
    c.expected = 1.0;
    c.relation = DLF_AT_LEAST;
    c.source = "Glorot & Bengio 2010: plateaus of the quadratic cost; ordering only, best learning "
               "rate of each";
    c.note = "runs that never arrive count as the whole training";
    c.has_verdict = true;
    c.verdict = dlf_verdict_above(e, 1.0);
    return dlf_result_check(dlf_run_result(run), c);
}

static dlf_status checks(dlf_run *run, const course c[LOSSES])
{
    dlf_estimate saturated, plain, beyond;
    DLF_TRY(slowdown(c, 1, &saturated));
    DLF_TRY(slowdown(c, 0, &plain));
    DLF_TRY(slowdown(c, -1, &beyond));
    DLF_TRY(slowdown_check(
        run, "saturated_slowdown",
        (dlf_text){"饱和起点：MSE 到达 90 % 训练正确率的步数是交叉熵的若干倍",
                   "saturated start: squared error takes this many times cross-entropy's steps to "
                   "90 % training accuracy"},
        saturated));
    DLF_TRY(slowdown_check(run, "saturation_is_why",
                           (dlf_text){"这个倍数来自饱和：比普通起点（对照）的倍数大",
                                      "it comes from saturation: the ratio exceeds that of an "
                                      "ordinary start (the control)"},
                           beyond));
    DLF_TRY(dlf_result_fact(dlf_run_result(run), "ordinary_slowdown", plain.mean, "1"));
    const int last = c[0].records - 1, P = ARMS * c[0].seeds;
    for (int k = 0; k < LOSSES; k++) {
        const int first = member_of(&c[k], 1, c[k].best[1], 0);
        const dlf_estimate e = dlf_estimate_of(c[k].accuracy + last * P + first, c[k].seeds, 1);
        DLF_TRY(dlf_result_fact(dlf_run_result(run),
                                k ? "saturated_mse_accuracy" : "saturated_ce_accuracy", e.mean,
                                "1"));
    }
    return DLF_OK;
}

dlf_status dlf_losses_saturated(dlf_run *run, double from, double to)
{
    dlf_status status;
    dlf_dataset data = {0};
    course c[LOSSES] = {{0}, {0}};
    const int steps = dlf_run_int(run, "steps"), records = steps / EVERY + 1;
    const double middle = 0.5 * (from + to);
    DLF_TRY_DONE(dlf_digits_load(&data));
    DLF_TRY_DONE(one_hot(&data));
    for (int k = 0; k < LOSSES; k++) {
        DLF_TRY_DONE(course_new(&c[k], dlf_run_seeds(run), records));
        DLF_TRY_DONE(train_course(&c[k], run, &data, k == 1, k ? middle : from, k ? to : middle));
    }
    DLF_TRY_DONE(curve_table(run, c));
    DLF_TRY_DONE(figure(run));
    DLF_TRY_DONE(checks(run, c));
done:
    for (int k = 0; k < LOSSES; k++) {
        free(c[k].accuracy);
        free(c[k].steps);
    }
    dlf_dataset_free(&data);
    return status;
}
