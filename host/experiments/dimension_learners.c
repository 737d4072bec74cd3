/* SPDX-License-Identifier: MIT
 * dimension_learners.c -- Q5, Q39: y = |w . x|, which depends on one direction of d, learned by
 * nearest neighbours, by a linear model, by a linear model that is given the right feature, and by
 * a network. Control: the product of the signs of all inputs, which depends on no few directions.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dimension.h"
#include "dlf/rng.h"
#include "dlf/train.h"
#include "figures.h"
#include "least_squares.h"
#include "regressor.h"
#include "seed_check.h"

static const int dims[] = {2, 4, 8, 16, 32, 64};
enum { DIMS = sizeof dims / sizeof dims[0], BATCH = 50, HIDDEN = 64, FEW = 50, HIGH = DIMS - 1 };
typedef enum learner {
    NEIGHBOURS,
    LINEAR,
    BY_HAND,
    NETWORK,
    NETWORK_FEW,
    NETWORK_PARITY,
    LEARNERS
} learner;
static const char *const learner_ids[LEARNERS] = {"neighbours", "linear",      "by_hand",
                                                  "network",    "network_few", "network_parity"};
static const dlf_text learner_names[LEARNERS] = {
    {"k 近邻", "nearest neighbours"},
    {"线性回归", "linear"},
    {"线性回归 + 手工特征 |w·x|", "linear, feature |w·x| by hand"},
    {"网络", "network"},
    {"网络，只有 50 个样本", "network, 50 rows only"},
    {"对照：网络，目标是符号之积", "control: network, product of signs"}};

/* Blocks of n training and m test rows, one per seed; targets have mean 0 and variance 1. */
typedef struct task {
    int seeds, n, m, d;
    dlf_dataset data;
    int32_t *base;
    double *w; /* (seeds, d) unit vectors */
} task;

static void task_free(task *t)
{
    free(t->w);
    free(t->base);
    dlf_dataset_free(&t->data);
}

static double target_of(const task *t, int seed, const float *x, bool parity)
{
    double z = 0.0;
    int negative = 0;
    for (int j = 0; j < t->d; j++) {
        z += t->w[(long)seed * t->d + j] * x[j];
        negative += x[j] < 0.0f;
    }
    if (parity) return negative % 2 ? -1.0 : 1.0;
    return (fabs(z) - sqrt(2.0 / M_PI)) / sqrt(1.0 - 2.0 / M_PI); /* |N(0,1)| */
}

static dlf_status task_new(task *t, const dlf_run *run, int d, int n, bool parity)
{
    *t = (task){.seeds = dlf_run_seeds(run), .n = n, .m = dlf_run_int(run, "queries"), .d = d};
    const long rows = (long)t->seeds * (n + t->m);
    const uint64_t seed = dlf_run_seed(run);
    t->data =
        (dlf_dataset){.name = "ridge function", .train = (int)rows, .features = d, .targets = 1};
    t->data.x = malloc((size_t)rows * (size_t)d * sizeof *t->data.x);
    t->data.target = malloc((size_t)rows * sizeof *t->data.target);
    t->base = malloc((size_t)t->seeds * sizeof *t->base);
    t->w = malloc((size_t)(t->seeds * d) * sizeof *t->w);
    if (!t->data.x || !t->data.target || !t->base || !t->w)
        return dlf_fail(DLF_ERR_OOM, "dimension: out of memory");
    for (int s = 0; s < t->seeds; s++) {
        double length = 0.0, *w = t->w + (long)s * d;
        t->base[s] = s * (n + t->m);
        for (int j = 0; j < d; j++) {
            w[j] =
                dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_WEIGHTS, 90), (uint32_t)s, (uint64_t)j);
            length += w[j] * w[j];
        }
        for (int j = 0; j < d; j++) w[j] /= sqrt(length);
        for (int i = 0; i < n + t->m; i++) {
            float *x = t->data.x + ((long)t->base[s] + i) * d;
            for (int j = 0; j < d; j++)
                x[j] = dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_INPUT, 90 + (uint32_t)d),
                                      (uint32_t)s, (uint64_t)i * (uint64_t)d + (uint64_t)j);
            t->data.target[t->base[s] + i] = (float)target_of(t, s, x, parity);
        }
    }
    return DLF_OK;
}

/* ---- learners ---- */

/* Mean squared error of the mean over the k nearest training rows, the best of several k: a favour.
 */
static double neighbours(const task *t, int s)
{
    static const int ks[] = {1, 2, 5, 10, 20, 50};
    enum { KS = 6, MOST = 50 };
    double error[KS] = {0.0}, best = INFINITY;
    const float *x = t->data.x + (long)t->base[s] * t->d, *y = t->data.target + t->base[s];
    for (int q = t->n; q < t->n + t->m; q++) {
        double distance[MOST + 1], value[MOST + 1];
        int kept = 0;
        for (int i = 0; i < t->n; i++) {
            double square = 0.0;
            for (int j = 0; j < t->d; j++) {
                const double gap = (double)x[(long)q * t->d + j] - x[(long)i * t->d + j];
                square += gap * gap;
            }
            int at = kept;
            if (kept == MOST && square >= distance[MOST - 1]) continue;
            if (kept < MOST)
                kept++;
            else
                at = MOST - 1;
            for (; at > 0 && distance[at - 1] > square; at--) { /* the nearest, in order */
                distance[at] = distance[at - 1];
                value[at] = value[at - 1];
            }
            distance[at] = square;
            value[at] = y[i];
        }
        double sum = 0.0;
        for (int i = 0, k = 0; i < kept && k < KS; i++) {
            sum += value[i];
            if (i + 1 != ks[k]) continue;
            error[k] += pow(sum / ks[k] - y[q], 2.0) / t->m;
            k++;
        }
    }
    for (int k = 0; k < KS && ks[k] <= t->n; k++) best = fmin(best, error[k]);
    return best;
}

/* Least squares on the inputs, or on |w . x| alone, with a constant. */
static dlf_status linear(const task *t, int s, bool by_hand, double *error)
{
    const int p = by_hand ? 2 : t->d + 1, all = t->n + t->m;
    double *x = malloc(((size_t)all * (size_t)(p + 1) + (size_t)p) * sizeof *x);
    if (!x) return dlf_fail(DLF_ERR_OOM, "dimension: out of memory");
    double *y = x + (long)all * p, *w = y + all;
    for (int i = 0; i < all; i++) {
        const float *row = t->data.x + ((long)t->base[s] + i) * t->d;
        double z = 0.0;
        for (int j = 0; j < t->d; j++) z += t->w[(long)s * t->d + j] * row[j];
        for (int j = 0; j < p - 1; j++) x[(long)i * p + j] = by_hand ? fabs(z) : row[j];
        x[(long)i * p + p - 1] = 1.0;
        y[i] = t->data.target[t->base[s] + i];
    }
    const dlf_status status = dlf_least_squares(w, x, y, t->n, p, 1e-9);
    *error = 0.0;
    for (int i = t->n; i < all; i++) {
        double sum = -y[i];
        for (int j = 0; j < p; j++) sum += w[j] * x[(long)i * p + j];
        *error += sum * sum / t->m;
    }
    free(x);
    return status;
}

static dlf_status train(const task *t, dlf_run *run, double *error)
{
    dlf_graph *g = NULL;
    dlf_train *trainer = NULL;
    dlf_status status;
    const int steps = dlf_run_int(run, "steps");
    double *lr = malloc((size_t)t->seeds * sizeof *lr);
    if (!lr) return dlf_fail(DLF_ERR_OOM, "dimension: out of memory");
    for (int s = 0; s < t->seeds; s++) lr[s] = 0.01;
    DLF_TRY_DONE(regressor_new(&g, dlf_run_device(run), t->seeds, t->n < BATCH ? t->n : BATCH, t->d,
                               HIDDEN));
    DLF_TRY_DONE(dlf_graph_initialise(g, dlf_run_seed(run), NULL));
    const dlf_train_spec spec = {
        .seed = dlf_run_seed(run),
        .base = t->base,
        .lr = lr,
        .optimiser = dlf_adam(0.0),
        .schedule = {.kind = DLF_SCHEDULE_COSINE, .steps = steps, .final = 0.0},
        .rows = t->n};
    DLF_TRY_DONE(dlf_train_new(&trainer, g, &t->data, &spec));
    DLF_TRY_DONE(dlf_train_run(trainer, steps));
    status = dlf_train_evaluate(trainer, t->n, t->m, error, NULL);
done:
    dlf_train_free(trainer);
    dlf_graph_free(g);
    free(lr);
    return status;
}

/* error (LEARNERS, DIMS, seeds) */
static double *cell(double *error, int seeds, int l, int k)
{
    return error + ((long)l * DIMS + k) * seeds;
}

static dlf_status learn(dlf_run *run, double *error, int k)
{
    const int seeds = dlf_run_seeds(run), n = dlf_run_int(run, "points");
    task t;
    dlf_status status;
    DLF_TRY_DONE(task_new(&t, run, dims[k], n, false));
    for (int s = 0; s < seeds; s++) {
        cell(error, seeds, NEIGHBOURS, k)[s] = neighbours(&t, s);
        DLF_TRY_DONE(linear(&t, s, false, cell(error, seeds, LINEAR, k) + s));
        DLF_TRY_DONE(linear(&t, s, true, cell(error, seeds, BY_HAND, k) + s));
    }
    DLF_TRY_DONE(train(&t, run, cell(error, seeds, NETWORK, k)));
    task_free(&t);
    DLF_TRY_DONE(task_new(&t, run, dims[k], n < FEW ? n : FEW, false));
    DLF_TRY_DONE(train(&t, run, cell(error, seeds, NETWORK_FEW, k)));
    task_free(&t);
    DLF_TRY_DONE(task_new(&t, run, dims[k], n, true));
    status = train(&t, run, cell(error, seeds, NETWORK_PARITY, k));
done:
    task_free(&t);
    return status;
}

/* ---- report ---- */

static dlf_status checks(dlf_run *run, double *error)
{
    const int seeds = dlf_run_seeds(run);
    dlf_estimate at[LEARNERS];
    for (int l = 0; l < LEARNERS; l++)
        at[l] = dlf_estimate_of(cell(error, seeds, l, HIGH), seeds, 1);
    DLF_TRY(dlf_add_bound(
        run, "network_high",
        (dlf_text){"网络在 64 维仍然学得会（均方误差 / 方差）",
                   "the network still learns in 64 dimensions (mean squared error over variance)"},
        at[NETWORK], DLF_AT_MOST, 0.1,
        "Bach 2017, in direction: the error of what depends on one direction"));
    DLF_TRY(
        dlf_add_bound(run, "neighbours_high",
                      (dlf_text){"k 近邻在 64 维失效", "nearest neighbours fail in 64 dimensions"},
                      at[NEIGHBOURS], DLF_AT_LEAST, 0.7,
                      "neighbours are no nearer than others; 1 is as good as the mean of all"));
    DLF_TRY(dlf_add_bound(run, "linear_high",
                          (dlf_text){"线性回归一点也学不到", "a linear model learns nothing"},
                          at[LINEAR], DLF_AT_LEAST, 0.9,
                          "|z| is not correlated with z: exactly 1 for the population"));
    DLF_TRY(
        dlf_add_bound(run, "by_hand",
                      (dlf_text){"手工做出特征 |w·x|：线性回归就够了",
                                 "with the feature |w·x| made by hand a linear model is enough"},
                      at[BY_HAND], DLF_AT_MOST, 1e-6, "identity: the target is linear in it"));
    DLF_TRY(dlf_add_bound(run, "few_rows",
                          (dlf_text){"只有 50 个样本时，网络在 64 维也失效",
                                     "with 50 rows the network fails in 64 dimensions, too"},
                          at[NETWORK_FEW], DLF_AT_LEAST, 0.7,
                          "fewer rows than directions: the direction cannot be found"));
    return dlf_add_bound(
        run, "no_structure",
        (dlf_text){
            "对照，目标不依赖少数方向（符号之积）：网络也失效",
            "control, a target of no few directions (product of signs): the network fails, too"},
        at[NETWORK_PARITY], DLF_AT_LEAST, 0.9,
        "every input is needed at once; Shalev-Shwartz, Shamir & Shammah 2017, in direction");
}

static dlf_status table_and_figure(dlf_run *run, double *error)
{
    const int seeds = dlf_run_seeds(run);
    dlf_table *t;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "learners",
                             (dlf_text){"误差与维数", "error by dimensions"},
                             (const dlf_column[]){{"learner", NULL},
                                                  {"dim", "1"},
                                                  {"error", "1"},
                                                  {"lo", "1"},
                                                  {"hi", "1"},
                                                  {NULL, NULL}},
                             &t));
    for (int l = 0; l < LEARNERS; l++)
        for (int k = 0; k < DIMS; k++) {
            const dlf_estimate e = dlf_estimate_of(cell(error, seeds, l, k), seeds, 1);
            DLF_TRY(dlf_table_row(t, DLF_TXT(learner_ids[l]), DLF_NUM(dims[k]), DLF_NUM(e.mean),
                                  DLF_NUM(fmax(e.lo, 0.1 * e.mean)), DLF_NUM(e.hi)));
        }
    dlf_figure f = {
        .id = "learners",
        .kind = DLF_LINES,
        .title =
            {"目标只依赖一个方向：近邻随维数失效，网络不会",
             "A target of one direction: neighbours fail as dimensions grow, the network does not"},
        .subtitle =
            {"y = |w·x|，1 相当于只猜均值；带为种子间 95 % 区间；对照目标没有这样的方向",
             "y = |w·x|, 1 is as good as the mean; bands: 95 % over seeds; the control has no such "
             "direction"},
        .x = {{"维数 d", "dimensions d"}, true},
        .y = {{"均方误差 / 方差", "mean squared error over variance"}, true}};
    int n = 0;
    for (int l = 0; l < LEARNERS; l++) {
        if (l == BY_HAND) continue; /* 1e-15 would stretch the axis */
        f.series[n++] =
            dlf_arm_series(l == NETWORK_PARITY ? DLF_CONTROL : DLF_MEASURED, "learners", "learner",
                           learner_ids[l], "dim", "error", learner_names[l], l);
    }
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_dimension_learners(dlf_run *run, double from, double to)
{
    double *error = malloc((size_t)(LEARNERS * DIMS * dlf_run_seeds(run)) * sizeof *error);
    if (!error) return dlf_fail(DLF_ERR_OOM, "dimension: out of memory");
    dlf_status status = DLF_OK;
    for (int k = 0; k < DIMS; k++) {
        DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * k / DIMS, "learning in %d dimensions",
                                   dims[k]));
        DLF_TRY_DONE(learn(run, error, k));
    }
    DLF_TRY_DONE(checks(run, error));
    status = table_and_figure(run, error);
done:
    free(error);
    return status;
}
