/* SPDX-License-Identifier: MIT
 * losses_classes.c -- Q19: what hinge loss, cross-entropy and squared error learn of a class whose
 * probability is known: its sign, its logit, its mean. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dlf/rng.h"
#include "dlf/train.h"
#include "losses.h"
#include "seed_check.h"

/* Ten inputs, one-hot; class 1 has the probability LEVEL(k) at input k, never 1/2. */
enum { LEVELS = 10, HEADS = 3, BCE = 0, HINGE, MSE };
#define LEVEL(k) (0.05 + 0.1 * (k))
static const dlf_loss losses[HEADS] = {
    {.kind = DLF_LOSS_BCE}, {.kind = DLF_LOSS_HINGE}, {.kind = DLF_LOSS_MSE}};
static const char *const ids[HEADS] = {"bce", "hinge", "mse"};
static const dlf_text names[HEADS] = {{"对照：交叉熵", "control: cross-entropy"},
                                      {"hinge", "hinge"},
                                      {"MSE（目标 ±1）", "squared error, targets ±1"}};

/* The score that minimises E l(f, class) at probability p. */
static double wanted(int head, double p)
{
    if (head == BCE) return log(p / (1.0 - p));
    return head == HINGE ? (p > 0.5 ? 1.0 : -1.0) : 2.0 * p - 1.0;
}

/* The probability that a score stands for: its inverse, hinge read as a logit (it has none). */
static double probability(int head, double f)
{
    return head == MSE ? 0.5 * (1.0 + f) : 1.0 / (1.0 + exp(-f));
}

static int copies_of(const dlf_run *run)
{
    return dlf_run_int(run, "rows");
}

/* share[seed * LEVELS + k]: the part of input k's rows that is class 1. */
static dlf_status make_data(dlf_run *run, dlf_dataset *d, double *share, int32_t *base)
{
    const int seeds = dlf_run_seeds(run), copies = copies_of(run), block = LEVELS * copies;
    const size_t rows = (size_t)seeds * (size_t)block;
    *d = (dlf_dataset){.name = "levels", .train = (int)rows, .features = LEVELS, .targets = 2};
    d->x = calloc(rows * LEVELS, sizeof *d->x);
    d->target = malloc(rows * 2 * sizeof *d->target);
    if (!d->x || !d->target) return dlf_fail(DLF_ERR_OOM, "losses: out of memory");
    for (int s = 0; s < seeds; s++) {
        base[s] = s * block;
        for (int i = 0; i < block; i++) {
            const int k = i % LEVELS;
            const size_t row = (size_t)(base[s] + i);
            const bool one =
                (double)dlf_rng_uniform(dlf_run_seed(run), dlf_stream(DLF_PURPOSE_INPUT, 80),
                                        (uint32_t)s, (uint64_t)i) < LEVEL(k);
            d->x[row * LEVELS + (size_t)k] = 1.0f;
            d->target[2 * row] = one;              /* for cross-entropy  */
            d->target[2 * row + 1] = one ? 1 : -1; /* for the other two  */
            share[s * LEVELS + k] += one / (double)copies;
        }
    }
    return DLF_OK;
}

static dlf_status network(dlf_graph **out, dlf_device *dev, int members, int copies)
{
    DLF_TRY(dlf_graph_new(out, dev, members));
    dlf_graph *g = *out;
    const dlf_node x = dlf_input(g, "x", 3, (int64_t[]){members, (int64_t)LEVELS * copies, LEVELS});
    const dlf_node t = dlf_input(g, "target", 3, (int64_t[]){members, (int64_t)LEVELS * copies, 2});
    const dlf_node zero_one = dlf_columns(g, "zero_one", t, 0, 1);
    const dlf_node plus_minus = dlf_columns(g, "plus_minus", t, 1, 1);
    /* scaled to a curvature of about 1 per input in each */
    static const double scale[HEADS] = {4.0, 1.0, 0.5};
    for (int k = 0; k < HEADS; k++) {
        const dlf_node f = dlf_dense_init(g, ids[k], x, 1, dlf_activation_of(DLF_LINEAR),
                                          dlf_init_constant(0.0), NULL);
        char name[16];
        snprintf(name, sizeof name, "%s.loss", ids[k]);
        dlf_graph_minimise(g, dlf_row_loss(g, name, f, k == BCE ? zero_one : plus_minus, losses[k]),
                           scale[k] / copies);
    }
    return dlf_graph_compile(g);
}

/* score[(head * seeds + seed) * LEVELS + k] after training. */
static dlf_status fit(dlf_run *run, double *score, double *share, double from, double to)
{
    const int seeds = dlf_run_seeds(run), steps = dlf_run_int(run, "fit_steps");
    dlf_status status;
    dlf_dataset data = {0};
    dlf_graph *g = NULL;
    dlf_train *t = NULL;
    double *lr = malloc((size_t)seeds * sizeof *lr);
    int32_t *base = malloc((size_t)seeds * sizeof *base);
    int32_t *draw = calloc((size_t)seeds, sizeof *draw);
    if (!lr || !base || !draw) {
        status = dlf_fail(DLF_ERR_OOM, "losses: out of memory");
        goto done;
    }
    for (int s = 0; s < seeds; s++) lr[s] = 0.1;
    DLF_TRY_DONE(make_data(run, &data, share, base));
    DLF_TRY_DONE(network(&g, dlf_run_device(run), seeds, copies_of(run)));
    DLF_TRY_DONE(dlf_graph_initialise(g, dlf_run_seed(run), NULL));
    const dlf_train_spec spec = {.seed = dlf_run_seed(run),
                                 .draw = draw,
                                 .base = base,
                                 .lr = lr,
                                 .optimiser = dlf_sgd(0.9, 0.0),
                                 .schedule = {DLF_SCHEDULE_COSINE, 0, steps, 1e-3},
                                 .rows = LEVELS * copies_of(run)};
    DLF_TRY_DONE(dlf_train_new(&t, g, &data, &spec));
    for (int step = 0; step < steps; step += 10) {
        DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * step / steps, "hinge, cross-entropy"));
        DLF_TRY_DONE(dlf_train_run(t, 10));
    }
    for (int k = 0; k < HEADS; k++) {
        char name[16];
        snprintf(name, sizeof name, "%s.w", ids[k]);
        DLF_TRY_DONE(dlf_tensor_download_f64(score + k * seeds * LEVELS,
                                             dlf_graph_value(g, dlf_graph_find(g, name))));
    }
done:
    dlf_train_free(t);
    dlf_graph_free(g);
    dlf_dataset_free(&data);
    free(lr);
    free(base);
    free(draw);
    return status;
}

/* ---- report ---- */

static dlf_status add_table(dlf_run *run, const double *score)
{
    const int seeds = dlf_run_seeds(run);
    dlf_table *table;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "classes",
        (dlf_text){"每个概率处学到的得分", "score learnt at each probability"},
        (const dlf_column[]){
            {"loss", NULL}, {"p", "1"}, {"score", "1"}, {"lo", "1"}, {"hi", "1"}, {NULL, NULL}},
        &table));
    for (int h = 0; h < HEADS; h++)
        for (int k = 0; k < LEVELS; k++) {
            const dlf_estimate e = dlf_estimate_of(score + h * seeds * LEVELS + k, seeds, LEVELS);
            DLF_TRY(dlf_table_row(table, DLF_TXT(ids[h]), DLF_NUM(LEVEL(k)), DLF_NUM(e.mean),
                                  DLF_NUM(e.lo), DLF_NUM(e.hi)));
        }
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "minimisers",
        (dlf_text){"各损失的总体最小点", "minimiser of each loss at each probability"},
        (const dlf_column[]){{"loss", NULL}, {"p", "1"}, {"score", "1"}, {NULL, NULL}}, &table));
    for (int h = 0; h < HEADS; h++)
        for (int i = 5; i <= 95; i++)
            DLF_TRY(dlf_table_row(table, DLF_TXT(ids[h]), DLF_NUM(i / 100.0),
                                  DLF_NUM(wanted(h, i / 100.0 - (i == 50 ? 1e-9 : 0.0)))));
    return DLF_OK;
}

static dlf_status figure(dlf_run *run)
{
    dlf_figure f = {
        .id = "classes",
        .kind = DLF_LINES,
        .title = {"交叉熵学到概率（logit），hinge 只学到正负号",
                  "Cross-entropy learns the probability (its logit), hinge loss only the side"},
        .subtitle =
            {"十个输入，类 1 的真实概率已知；虚线为各损失的总体最小点",
             "ten inputs with known probability of class 1; dashed: minimiser of each loss"},
        .x = {{"类 1 的真实概率", "true probability of class 1"}, false},
        .y = {{"学到的得分 f", "score f learnt"}, false}};
    for (int h = 0; h < HEADS; h++) {
        const dlf_series s = {.role = h == BCE ? DLF_CONTROL : DLF_MEASURED,
                              .table = "classes",
                              .where = "loss",
                              .equals = ids[h],
                              .x = "p",
                              .y = "score",
                              .lo = "lo",
                              .hi = "hi",
                              .label = names[h],
                              .colour = h,
                              .points = true};
        f.series[2 * h] = f.series[2 * h + 1] = s;
        f.series[2 * h + 1].role = DLF_THEORY;
        f.series[2 * h + 1].table = "minimisers";
        f.series[2 * h + 1].lo = f.series[2 * h + 1].hi = NULL;
        f.series[2 * h + 1].points = false;
        f.series[2 * h + 1].label = (dlf_text){"理论", "theory"};
    }
    return dlf_result_figure(dlf_run_result(run), &f);
}

/* Largest distance from the minimiser of the same sample. Hinge loss has the slope |2p - 1| and
 * nothing else: within 0.02 of 1/2 it is too flat to arrive in this training. */
static double worst_distance(int head, const double *score, const double *share, int n)
{
    double worst = 0.0;
    for (int i = 0; i < n; i++) {
        if (head == HINGE && fabs(share[i] - 0.5) < 0.02) continue;
        const double f = score[head * n + i];
        worst = fmax(worst, head == HINGE ? fabs(f - wanted(head, share[i]))
                                          : fabs(probability(head, f) - share[i]));
    }
    return worst;
}

static dlf_status minimiser_checks(dlf_run *run, const double *score, const double *share)
{
    static const dlf_text claims[HEADS] = {
        {"交叉熵的得分就是 logit：其 sigmoid 等于样本频率",
         "cross-entropy's score is the logit: its sigmoid is the frequency in the sample"},
        {"hinge 的得分是 ±1：只有正负号", "hinge loss's score is ±1: only the side"},
        {"MSE 的得分是 2p − 1：频率的线性函数", "squared error's score is 2p − 1"}};
    for (int h = 0; h < HEADS; h++) {
        char id[32];
        snprintf(id, sizeof id, "minimiser_%s", ids[h]);
        dlf_check c = dlf_check_exact(id, claims[h],
                                      worst_distance(h, score, share, dlf_run_seeds(run) * LEVELS));
        c.n = dlf_run_seeds(run);
        c.expected = 0.0;
        c.tolerance = h == HINGE ? 0.05 : 0.005;
        c.source = h == HINGE ? "minimiser sign(2p − 1) (Bartlett, Jordan & McAuliffe 2006); 0.05: "
                                "the last steps of a loss without curvature"
                              : "minimiser of the sample mean, closed form; 0.005: end of training";
        DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    }
    return DLF_OK;
}

/* Mean |probability read off the score - true probability|, and share of inputs on the wrong side.
 */
static dlf_status calibration_checks(dlf_run *run, const double *score)
{
    const int seeds = dlf_run_seeds(run);
    double *gap = malloc((size_t)(HEADS * seeds) * 2 * sizeof *gap);
    if (!gap) return dlf_fail(DLF_ERR_OOM, "losses: out of memory");
    double *regret = gap + HEADS * seeds, theory[HEADS] = {0.0};
    for (int h = 0; h < HEADS; h++)
        for (int s = 0; s < seeds; s++) {
            double sum = 0.0, lost = 0.0;
            for (int k = 0; k < LEVELS; k++) {
                const double p = LEVEL(k), f = score[(h * seeds + s) * LEVELS + k];
                sum += fabs(probability(h, f) - p) / LEVELS;
                lost += ((f > 0) != (p > 0.5) ? fabs(2 * p - 1) : 0.0) / LEVELS;
                if (s) continue;
                /* a frequency of n draws is off by sqrt(2 p (1-p) / (pi n)) on average */
                theory[h] += h == HINGE ? fabs(probability(h, wanted(h, p)) - p) / LEVELS
                                        : sqrt(2 * p * (1 - p) / (M_PI * copies_of(run))) / LEVELS;
            }
            gap[h * seeds + s] = sum;
            regret[h * seeds + s] = lost;
        }
    dlf_status status = DLF_OK;
    for (int h = 0; h < 2 && status == DLF_OK; h++) {
        dlf_check c = dlf_check_of(
            h == HINGE ? "hinge_calibration" : "bce_calibration",
            h == HINGE ? (dlf_text){"把 hinge 得分当作 logit 读出的概率与真实概率的平均偏差",
                                    "read as a logit, hinge loss's score misses the probability by "
                                    "this on average"}
                       : (dlf_text){"对照：交叉熵读出的概率只差抽样误差",
                                    "control: the probability by cross-entropy is off by sampling "
                                    "error only"},
            dlf_estimate_of(gap + h * seeds, seeds, 1));
        c.expected = theory[h];
        c.relative = true;
        /* LEVELS x seeds absolute deviations, each with sd 0.76 of its mean; an input near 1/2 that
         * falls on the other side moves hinge loss's gap little */
        c.tolerance = h == HINGE ? 0.05 : 4.0 * 0.76 / sqrt((double)LEVELS * seeds);
        c.source = h == HINGE ? "closed form: mean |sigmoid(±1) − p| over the ten inputs"
                              : "mean deviation of a binomial frequency; four standard errors";
        status = dlf_result_check(dlf_run_result(run), c);
    }
    if (status == DLF_OK) {
        for (int s = 0; s < seeds; s++) regret[s] -= regret[seeds + s];
        dlf_check c = dlf_check_of("same_decisions",
                                   (dlf_text){"若只看分类，交叉熵与 hinge 的错误率相同",
                                              "for the decision alone, cross-entropy and hinge "
                                              "loss err alike"},
                                   dlf_estimate_of(regret, seeds, 1));
        c.expected = 0.0;
        c.tolerance = 0.01;
        c.source = "both are classification-calibrated (Bartlett, Jordan & McAuliffe 2006)";
        status = dlf_result_check(dlf_run_result(run), c);
    }
    free(gap);
    return status;
}

dlf_status dlf_losses_classes(dlf_run *run, double from, double to)
{
    const size_t n = (size_t)dlf_run_seeds(run) * LEVELS;
    dlf_status status;
    double *score = malloc(HEADS * n * sizeof *score), *share = calloc(n, sizeof *share);
    if (!score || !share) {
        status = dlf_fail(DLF_ERR_OOM, "losses: out of memory");
        goto done;
    }
    DLF_TRY_DONE(fit(run, score, share, from, to));
    DLF_TRY_DONE(add_table(run, score));
    DLF_TRY_DONE(figure(run));
    DLF_TRY_DONE(minimiser_checks(run, score, share));
    DLF_TRY_DONE(calibration_checks(run, score));
done:
    free(score);
    free(share);
    return status;
}
