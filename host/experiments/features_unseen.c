/* SPDX-License-Identifier: MIT
 * features_unseen.c -- Q1: the product of three of eight bits from some of the 256 points, judged
 * on the others: one feature made by hand, 64 random ones, 64 trained ones. Control: random labels.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "classifier.h"
#include "dlf/rng.h"
#include "dlf/train.h"
#include "features.h"
#include "figures.h"
#include "least_squares.h"
#include "seed_check.h"

static const int rows[] = {32, 64, 96, 128, 160, 192};
enum {
    N = DLF_CUBE,
    D = DLF_CUBE_BITS,
    BITS = 3,
    UNITS = 64,
    BATCH = 32,
    SIZES = sizeof rows / sizeof rows[0],
    FEW = 0,
    MANY = SIZES - 1
};
typedef enum learner { BY_HAND, FIXED, TRAINED, NO_STRUCTURE, LEARNERS } learner;

/* One block of all points per member, in the order of its seed: first the parity for every seed,
 * then random labels for every seed. */
typedef struct task {
    int seeds, members;
    dlf_dataset data;
    int32_t *base;
    double *lr;
    double *accuracy; /* (LEARNERS, SIZES, seeds) on unseen points */
} task;

static void task_free(task *t)
{
    free(t->accuracy);
    free(t->lr);
    free(t->base);
    dlf_dataset_free(&t->data);
}

static double *cell(const task *t, int l, int k)
{
    return t->accuracy + ((long)l * SIZES + k) * t->seeds;
}

static dlf_status task_new(task *t, const dlf_run *run)
{
    const uint64_t seed = dlf_run_seed(run);
    *t = (task){.seeds = dlf_run_seeds(run), .members = 2 * dlf_run_seeds(run)};
    const int all = t->members * N;
    t->data = (dlf_dataset){.name = "cube", .train = all, .features = D, .classes = 2};
    t->data.x = malloc((size_t)all * D * sizeof *t->data.x);
    t->data.label = malloc((size_t)all * sizeof *t->data.label);
    t->base = malloc((size_t)t->members * sizeof *t->base);
    t->lr = malloc((size_t)t->members * sizeof *t->lr);
    t->accuracy = malloc((size_t)(LEARNERS * SIZES * t->seeds) * sizeof *t->accuracy);
    if (!t->data.x || !t->data.label || !t->base || !t->lr || !t->accuracy)
        return dlf_fail(DLF_ERR_OOM, "features: out of memory");
    for (int p = 0; p < t->members; p++) {
        int32_t order[N];
        const uint32_t s = (uint32_t)(p % t->seeds);
        dlf_permutation(order, N, seed, dlf_stream(DLF_PURPOSE_SHUFFLE, 60), s);
        t->base[p] = p * N;
        t->lr[p] = 0.01;
        for (int i = 0; i < N; i++) {
            const long row = (long)p * N + i;
            for (int j = 0; j < D; j++) t->data.x[row * D + j] = dlf_cube_bit(order[i], j);
            t->data.label[row] =
                p < t->seeds
                    ? dlf_cube_parity(order[i], BITS) > 0.0
                    : dlf_rng_bits(seed, dlf_stream(DLF_PURPOSE_TEST, 60), s, (uint64_t)i) & 1;
        }
    }
    return DLF_OK;
}

/* ---- learners ---- */

static dlf_status train(task *t, dlf_run *run, int k)
{
    const int steps = dlf_run_int(run, "steps");
    dlf_graph *g = NULL;
    dlf_train *trainer = NULL;
    dlf_status status;
    const classifier_spec net = {.members = t->members,
                                 .batch = BATCH,
                                 .inputs = D,
                                 .width = UNITS,
                                 .depth = 1,
                                 .classes = 2,
                                 .f = dlf_activation_of(DLF_RELU),
                                 .init = dlf_he()};
    const dlf_train_spec spec = {
        .seed = dlf_run_seed(run),
        .base = t->base,
        .lr = t->lr,
        .rows = rows[k],
        .optimiser = dlf_adam(0.0),
        .schedule = {.kind = DLF_SCHEDULE_COSINE, .steps = steps, .final = 0.0}};
    double *accuracy = malloc((size_t)t->members * sizeof *accuracy);
    if (!accuracy) return dlf_fail(DLF_ERR_OOM, "features: out of memory");
    DLF_TRY_DONE(classifier_new(&g, dlf_run_device(run), &net));
    DLF_TRY_DONE(dlf_graph_initialise(g, dlf_run_seed(run), NULL));
    DLF_TRY_DONE(dlf_train_new(&trainer, g, &t->data, &spec));
    DLF_TRY_DONE(dlf_train_run(trainer, steps));
    DLF_TRY_DONE(dlf_train_evaluate(trainer, rows[k], N - rows[k], NULL, accuracy));
    memcpy(cell(t, TRAINED, k), accuracy, (size_t)t->seeds * sizeof *accuracy);
    memcpy(cell(t, NO_STRUCTURE, k), accuracy + t->seeds, (size_t)t->seeds * sizeof *accuracy);
done:
    dlf_train_free(trainer);
    dlf_graph_free(g);
    free(accuracy);
    return status;
}

/* Share of the unseen points whose sign least squares on columns h (N,p) gets right, the best of
 * several ridges: a favour to features that do not learn. */
static dlf_status fit(const task *t, int s, const double *h, int p, int n, double *accuracy)
{
    static const double ridges[] = {1e-6, 1e-3, 1e-1, 1.0, 10.0};
    const int32_t *label = t->data.label + t->base[s];
    double y[N], w[UNITS + 1];
    for (int i = 0; i < N; i++) y[i] = label[i] ? 1.0 : -1.0;
    *accuracy = 0.0;
    for (int r = 0; r < 5; r++) {
        int right = 0;
        DLF_TRY(dlf_least_squares(w, h, y, n, p, ridges[r]));
        for (int i = n; i < N; i++) {
            double sum = 0.0;
            for (int j = 0; j < p; j++) sum += w[j] * h[(long)i * p + j];
            right += sum * y[i] > 0.0;
        }
        *accuracy = fmax(*accuracy, (double)right / (N - n));
    }
    return DLF_OK;
}

/* The columns in the order of the points of member s, with a constant. */
static void arrange(const task *t, int s, double *h, const double *units, int p)
{
    for (int i = 0; i < N; i++) {
        const float *x = t->data.x + ((long)t->base[s] + i) * D;
        int point = 0;
        for (int j = 0; j < D; j++) point |= (x[j] > 0.0f) << j;
        for (int j = 0; j < p - 1; j++)
            h[(long)i * p + j] =
                units ? units[(long)point * (p - 1) + j] : dlf_cube_parity(point, BITS);
        h[(long)i * p + p - 1] = 1.0;
    }
}

static dlf_status classical(task *t, const dlf_run *run)
{
    double *units = malloc((size_t)N * (2 * UNITS + 1) * sizeof *units), *h = units + N * UNITS;
    if (!units) return dlf_fail(DLF_ERR_OOM, "features: out of memory");
    dlf_status status = DLF_OK;
    for (int s = 0; s < t->seeds; s++) {
        dlf_cube_units(units, UNITS, dlf_run_seed(run), 1000u + (uint32_t)s);
        arrange(t, s, h, units, UNITS + 1);
        for (int k = 0; k < SIZES; k++)
            DLF_TRY_DONE(fit(t, s, h, UNITS + 1, rows[k], cell(t, FIXED, k) + s));
        arrange(t, s, h, NULL, 2);
        for (int k = 0; k < SIZES; k++)
            DLF_TRY_DONE(fit(t, s, h, 2, rows[k], cell(t, BY_HAND, k) + s));
    }
done:
    free(units);
    return status;
}

/* ---- report ---- */

static dlf_status checks(const task *t, dlf_run *run)
{
    const int seeds = t->seeds;
    dlf_estimate few[LEARNERS], many[LEARNERS];
    for (int l = 0; l < LEARNERS; l++) {
        few[l] = dlf_estimate_of(cell(t, l, FEW), seeds, 1);
        many[l] = dlf_estimate_of(cell(t, l, MANY), seeds, 1);
    }
    DLF_TRY(dlf_add_bound(run, "trained_many",
                          (dlf_text){"192 个样本：训练出来的特征在没见过的点上的正确率",
                                     "192 rows: accuracy of trained features on unseen points"},
                          many[TRAINED], DLF_AT_LEAST, 0.95,
                          "Daniely & Malach 2020, in direction: they find the bits that matter"));
    DLF_TRY(
        dlf_add_bound(run, "fixed_many",
                      (dlf_text){"同样 192 个样本：同样多的固定特征，正则取最有利的",
                                 "the same 192 rows: as many fixed features, at their best ridge"},
                      many[FIXED], DLF_AT_MOST, 0.9, "the features do not follow the target"));
    DLF_TRY(dlf_add_bound(
        run, "by_hand_few",
        (dlf_text){"32 个样本：一个手工特征就够", "32 rows: one feature by hand is enough"},
        few[BY_HAND], DLF_AT_LEAST, 0.999, "identity: the target is the feature"));
    DLF_TRY(dlf_add_bound(run, "trained_few",
                          (dlf_text){"32 个样本：训练特征的网络也不会",
                                     "32 rows: a network that trains its features fails, too"},
                          few[TRAINED], DLF_AT_MOST, 0.75,
                          "the features have to be found from the rows"));
    double *mean = malloc((size_t)seeds * sizeof *mean);
    if (!mean) return dlf_fail(DLF_ERR_OOM, "features: out of memory");
    for (int s = 0; s < seeds; s++) {
        mean[s] = -0.5;
        for (int k = 0; k < SIZES; k++) mean[s] += cell(t, NO_STRUCTURE, k)[s] / SIZES;
    }
    const dlf_status status = dlf_add_within(
        run, "no_free_lunch",
        (dlf_text){"对照，随机标签：没见过的点上与猜一样（正确率减去 1/2）",
                   "control, random labels: a guess on unseen points (accuracy minus 1/2)"},
        dlf_estimate_of(mean, seeds, 1), 0.08,
        "Wolpert 1996: averaged over all labelings every learner is right on half of them");
    free(mean);
    return status;
}

static dlf_status table_and_figure(const task *t, dlf_run *run)
{
    static const char *const ids[LEARNERS] = {"by_hand", "fixed", "trained", "no_structure"};
    static const dlf_text names[LEARNERS] = {
        {"一个手工特征", "one feature by hand"},
        {"64 个固定的随机特征", "64 fixed random features"},
        {"64 个训练出来的特征", "64 trained features"},
        {"对照：训练，随机标签", "control: trained, random labels"}};
    dlf_table *table;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "unseen",
                             (dlf_text){"没见过的点上的正确率", "accuracy on unseen points"},
                             (const dlf_column[]){{"learner", NULL},
                                                  {"rows", "1"},
                                                  {"accuracy", "1"},
                                                  {"lo", "1"},
                                                  {"hi", "1"},
                                                  {NULL, NULL}},
                             &table));
    dlf_figure f = {
        .id = "unseen",
        .kind = DLF_LINES,
        .title = {"手工特征省数据，学特征费数据；没有结构，谁也不会",
                  "A feature by hand saves data, learning one costs data; without structure nobody "
                  "can"},
        .subtitle =
            {"8 位中 3 位的乘积，其余点上的正确率；带为种子间 95 % 区间",
             "the product of 3 of 8 bits, accuracy on all other points; bands: 95 % over seeds"},
        .x = {{"训练样本（共 256 个点）", "training rows (of 256 points)"}, false},
        .y = {{"正确率", "accuracy"}, false}};
    for (int l = 0; l < LEARNERS; l++) {
        for (int k = 0; k < SIZES; k++) {
            const dlf_estimate e = dlf_estimate_of(cell(t, l, k), t->seeds, 1);
            DLF_TRY(dlf_table_row(table, DLF_TXT(ids[l]), DLF_NUM(rows[k]), DLF_NUM(e.mean),
                                  DLF_NUM(e.lo), DLF_NUM(e.hi)));
        }
        f.series[l] = dlf_arm_series(l == NO_STRUCTURE ? DLF_CONTROL : DLF_MEASURED, "unseen",
                                     "learner", ids[l], "rows", "accuracy", names[l], l);
    }
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_features_unseen(dlf_run *run, double from, double to)
{
    task t;
    dlf_status status;
    DLF_TRY_DONE(task_new(&t, run));
    DLF_TRY_DONE(classical(&t, run));
    for (int k = 0; k < SIZES; k++) {
        DLF_TRY_DONE(
            dlf_run_stage(run, from + (to - from) * k / SIZES, "training on %d points", rows[k]));
        DLF_TRY_DONE(train(&t, run, k));
    }
    DLF_TRY_DONE(checks(&t, run));
    status = table_and_figure(&t, run);
done:
    task_free(&t);
    return status;
}
