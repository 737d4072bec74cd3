/* SPDX-License-Identifier: MIT
 * losses_regression.c -- Q19: linear regression with and without outliers, trained with squared,
 * absolute and Huber loss; the error of the weights against Huber's asymptotic variance. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dlf/rng.h"
#include "dlf/train.h"
#include "losses.h"
#include "seed_check.h"

enum { FEATURES = 8, ROWS = 240, HEADS = 3, ARMS = 2 };
static const dlf_loss losses[HEADS] = {
    {.kind = DLF_LOSS_MSE}, {.kind = DLF_LOSS_MAE}, {DLF_LOSS_HUBER, 1.345}};
static const char *const head_ids[HEADS] = {"mse", "mae", "huber"};
static const char *const head_names[HEADS] = {"MSE", "MAE", "Huber δ=1.345"};
static const char *const arm_ids[ARMS] = {"clean", "outliers"};
static const dlf_text arm_names[ARMS] = {{"无离群点", "no outliers"},
                                         {"10% 离群点，σ=10", "10 % outliers, σ=10"}};
static const dlf_noise noises[ARMS] = {{false, 0.0, 1.0}, {false, 0.1, 10.0}};

/* Member (arm, seed, copy) has its own rows, weights and noise: block number = member. */
static int members_of(const dlf_run *run)
{
    return ARMS * dlf_run_seeds(run) * dlf_run_int(run, "copies");
}

static dlf_status make_data(dlf_run *run, dlf_dataset *d, double *truth, int32_t *base)
{
    const int P = members_of(run), per_arm = P / ARMS;
    const uint64_t seed = dlf_run_seed(run);
    const int64_t rows = (int64_t)P * ROWS;
    *d = (dlf_dataset){.name = "outliers", .train = (int)rows, .features = FEATURES, .targets = 1};
    d->x = malloc((size_t)rows * FEATURES * sizeof *d->x);
    d->target = malloc((size_t)rows * sizeof *d->target);
    if (!d->x || !d->target) return dlf_fail(DLF_ERR_OOM, "losses: out of memory");
    for (int p = 0; p < P; p++) {
        /* both arms share x, weights and Gaussian noise: their difference is paired */
        const uint32_t draw = (uint32_t)(p % per_arm);
        const dlf_noise f = noises[p / per_arm];
        base[p] = p * ROWS;
        for (int k = 0; k < FEATURES; k++)
            truth[p * FEATURES + k] =
                dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_WEIGHTS, 64), draw, (uint64_t)k);
        for (int i = 0; i < ROWS; i++) {
            const int64_t row = base[p] + i;
            double y = dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_INPUT, 65), draw, (uint64_t)i);
            if (dlf_rng_uniform(seed, dlf_stream(DLF_PURPOSE_INPUT, 66), draw, (uint64_t)i) <
                f.share)
                y *= f.outlier;
            for (int k = 0; k < FEATURES; k++) {
                const float x = dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_INPUT, 67), draw,
                                               (uint64_t)(i * FEATURES + k));
                d->x[row * FEATURES + k] = x;
                y += (double)x * truth[p * FEATURES + k];
            }
            d->target[row] = (float)y;
        }
    }
    return DLF_OK;
}

/* Three linear heads on the same rows, one per loss: independent of each other. */
static dlf_status network(dlf_graph **out, dlf_device *dev, int members)
{
    DLF_TRY(dlf_graph_new(out, dev, members));
    dlf_graph *g = *out;
    const dlf_node x = dlf_input(g, "x", 3, (int64_t[]){members, ROWS, FEATURES});
    const dlf_node y = dlf_input(g, "target", 3, (int64_t[]){members, ROWS, 1});
    for (int k = 0; k < HEADS; k++) {
        const dlf_node f = dlf_dense_init(g, head_ids[k], x, 1, dlf_activation_of(DLF_LINEAR),
                                          dlf_init_constant(0.0), NULL);
        char name[16];
        snprintf(name, sizeof name, "%s.loss", head_ids[k]);
        /* one curvature for all: (x - t)^2 has 2, the others near 1 */
        dlf_graph_minimise(g, dlf_row_loss(g, name, f, y, losses[k]), (k ? 1.0 : 0.5) / ROWS);
    }
    return dlf_graph_compile(g);
}

/* error[head * P + member] = n |w - truth|^2 / features: estimates the loss's variance. */
static dlf_status read_errors(dlf_graph *g, const double *truth, double *error)
{
    const int P = dlf_graph_members(g);
    double *w = malloc((size_t)P * FEATURES * sizeof *w);
    if (!w) return dlf_fail(DLF_ERR_OOM, "losses: out of memory");
    dlf_status status = DLF_OK;
    for (int k = 0; k < HEADS && status == DLF_OK; k++) {
        char name[16];
        snprintf(name, sizeof name, "%s.w", head_ids[k]);
        status = dlf_tensor_download_f64(w, dlf_graph_value(g, dlf_graph_find(g, name)));
        for (int p = 0; p < P && status == DLF_OK; p++) {
            double square = 0.0;
            for (int i = 0; i < FEATURES; i++) {
                const double d = w[p * FEATURES + i] - truth[p * FEATURES + i];
                square += d * d;
            }
            error[k * P + p] = ROWS * square / FEATURES;
        }
    }
    free(w);
    return status;
}

static dlf_status fit(dlf_run *run, double *error, double from, double to)
{
    const int P = members_of(run), steps = dlf_run_int(run, "fit_steps");
    dlf_status status;
    dlf_dataset data = {0};
    dlf_graph *g = NULL;
    dlf_train *t = NULL;
    double *truth = malloc((size_t)P * FEATURES * sizeof *truth);
    double *lr = malloc((size_t)P * sizeof *lr);
    int32_t *base = malloc((size_t)P * sizeof *base), *draw = calloc((size_t)P, sizeof *draw);
    if (!truth || !lr || !base || !draw) {
        status = dlf_fail(DLF_ERR_OOM, "losses: out of memory");
        goto done;
    }
    for (int p = 0; p < P; p++) lr[p] = 0.1;
    DLF_TRY_DONE(make_data(run, &data, truth, base));
    DLF_TRY_DONE(network(&g, dlf_run_device(run), P));
    DLF_TRY_DONE(dlf_graph_initialise(g, dlf_run_seed(run), NULL));
    /* Whole batches; the rate falls to nothing because |x - t| has no curvature to settle in. */
    const dlf_train_spec spec = {.seed = dlf_run_seed(run),
                                 .draw = draw,
                                 .base = base,
                                 .lr = lr,
                                 .optimiser = dlf_sgd(0.9, 0.0),
                                 .schedule = {DLF_SCHEDULE_COSINE, 0, steps, 1e-3},
                                 .rows = ROWS};
    DLF_TRY_DONE(dlf_train_new(&t, g, &data, &spec));
    for (int step = 0; step < steps; step += 10) {
        DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * step / steps, "robust regression"));
        DLF_TRY_DONE(dlf_train_run(t, 10));
    }
    DLF_TRY_DONE(read_errors(g, truth, error));
done:
    dlf_train_free(t);
    dlf_graph_free(g);
    dlf_dataset_free(&data);
    free(truth);
    free(lr);
    free(base);
    free(draw);
    return status;
}

/* Least squares on Gaussian x: Var = s^2 (X^T X)^-1, E tr = s^2 p / (n - p - 1), exactly; the same
 * factor n / (n - p - 1) is the first correction for the others. */
static double expected(int arm, int head)
{
    return dlf_loss_variance(noises[arm], losses[head]) * ROWS / (ROWS - FEATURES - 1.0);
}

static dlf_status variance_check(dlf_run *run, int arm, int head, dlf_estimate e)
{
    const double runs = (double)dlf_run_seeds(run) * dlf_run_int(run, "copies");
    char id[40], zh[160], en[200];
    snprintf(id, sizeof id, "regression_%s_%s", arm_ids[arm], head_ids[head]);
    snprintf(zh, sizeof zh, "线性回归（%s）中 %s 损失训练所得权重的误差等于其渐近方差",
             arm_names[arm].zh, dlf_loss_name(losses[head].kind));
    snprintf(en, sizeof en,
             "linear regression, %s: the error of weights trained with %s is its asymptotic "
             "variance",
             arm_names[arm].en, dlf_loss_name(losses[head].kind));
    dlf_check c = dlf_check_of(id, (dlf_text){zh, en}, e);
    c.expected = expected(arm, head);
    c.relative = true;
    /* squares of runs x p nearly normal errors; 0.08: terms of order 1/n beyond the correction, and
     * the median's 240 rows */
    c.tolerance = fmax(0.08, 4.0 * sqrt(2.0 / (runs * FEATURES)));
    c.source =
        "Huber 1973: E psi^2 / (E psi')^2 times n/(n−p−1); four standard errors, at least 8 %";
    return dlf_result_check(dlf_run_result(run), c);
}

/* Error by squared loss over error by Huber's, per seed. */
static dlf_status gain_check(dlf_run *run, int arm, const double *seed_error)
{
    const int seeds = dlf_run_seeds(run);
    double *ratio = malloc((size_t)seeds * sizeof *ratio);
    if (!ratio) return dlf_fail(DLF_ERR_OOM, "losses: out of memory");
    for (int s = 0; s < seeds; s++)
        ratio[s] =
            seed_error[(arm * HEADS + 0) * seeds + s] / seed_error[(arm * HEADS + 2) * seeds + s];
    const dlf_estimate e = dlf_estimate_of(ratio, seeds, 1);
    free(ratio);
    dlf_check c = dlf_check_of(
        arm ? "outliers_favour_huber" : "clean_favours_mse",
        arm ? (dlf_text){"有离群点时 MSE 的误差大于 Huber 的",
                         "with outliers the error of squared loss exceeds Huber's"}
            : (dlf_text){"对照：没有离群点时 MSE 的误差不大于 Huber 的",
                         "control: without outliers the error of squared loss does not exceed "
                         "Huber's"},
        e);
    c.expected = 1.0;
    c.relation = arm ? DLF_AT_LEAST : DLF_AT_MOST;
    c.source = arm ? "Huber 1964; ordering" : "Gauss–Markov; ordering";
    c.note = "ratio of mean squared errors of the weights";
    return dlf_result_check(dlf_run_result(run), c);
}

static dlf_status figure(dlf_run *run)
{
    dlf_figure f = {
        .id = "regression",
        .kind = DLF_BARS,
        .title = {"少量离群点就毁掉 MSE，MAE 与 Huber 几乎不受影响",
                  "A few outliers ruin squared error; absolute and Huber loss hardly notice"},
        .subtitle = {"训练所得线性模型的权重误差，虚线为渐近理论；灰色：无离群点的对照",
                     "error of the weights of trained linear models, asymptotic theory dashed; "
                     "grey: control without outliers"},
        .x = {{"损失", "loss"}, false},
        .y = {{"n·|w − w*|²/p", "n·|w − w*|²/p"}, true}};
    for (int arm = 0; arm < ARMS; arm++) {
        const dlf_series bar = {.role = arm ? DLF_MEASURED : DLF_CONTROL,
                                .table = "regression",
                                .where = "arm",
                                .equals = arm_ids[arm],
                                .x = "loss",
                                .y = "error",
                                .lo = "lo",
                                .hi = "hi",
                                .label = arm_names[arm],
                                .colour = arm};
        f.series[2 * arm] = f.series[2 * arm + 1] = bar;
        f.series[2 * arm + 1].role = DLF_THEORY;
        f.series[2 * arm + 1].y = "theory";
        f.series[2 * arm + 1].lo = f.series[2 * arm + 1].hi = NULL;
        f.series[2 * arm + 1].label = (dlf_text){"理论", "theory"};
    }
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_losses_regression(dlf_run *run, double from, double to)
{
    const int P = members_of(run), seeds = dlf_run_seeds(run), copies = dlf_run_int(run, "copies");
    dlf_status status;
    dlf_table *table;
    double *error = malloc((size_t)(HEADS * P) * sizeof *error);
    double *seed_error = calloc((size_t)(ARMS * HEADS * seeds), sizeof *seed_error);
    if (!error || !seed_error) {
        status = dlf_fail(DLF_ERR_OOM, "losses: out of memory");
        goto done;
    }
    DLF_TRY_DONE(fit(run, error, from, to));
    DLF_TRY_DONE(dlf_result_table(
        dlf_run_result(run), "regression",
        (dlf_text){"训练所得权重的误差 n|w − w*|²/p", "error n|w − w*|²/p of trained weights"},
        (const dlf_column[]){{"arm", NULL},
                             {"loss", NULL},
                             {"loss_zh", NULL},
                             {"loss_en", NULL},
                             {"error", "1"},
                             {"lo", "1"},
                             {"hi", "1"},
                             {"theory", "1"},
                             {NULL, NULL}},
        &table));
    for (int arm = 0; arm < ARMS; arm++) {
        for (int k = 0; k < HEADS; k++) {
            double *mean = seed_error + (arm * HEADS + k) * seeds;
            for (int i = 0; i < P / ARMS; i++)
                mean[i / copies] += error[k * P + arm * (P / ARMS) + i] / copies;
            const dlf_estimate e = dlf_estimate_of(mean, seeds, 1);
            DLF_TRY_DONE(dlf_table_row(table, DLF_TXT(arm_ids[arm]), DLF_TXT(head_ids[k]),
                                       DLF_TXT(head_names[k]), DLF_TXT(head_names[k]),
                                       DLF_NUM(e.mean), DLF_NUM(e.lo), DLF_NUM(e.hi),
                                       DLF_NUM(expected(arm, k))));
            DLF_TRY_DONE(variance_check(run, arm, k, e));
        }
        DLF_TRY_DONE(gain_check(run, arm, seed_error));
    }
    DLF_TRY_DONE(figure(run));
done:
    free(error);
    free(seed_error);
    return status;
}
