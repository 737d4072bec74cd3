/* SPDX-License-Identifier: MIT
 * svm_features.c -- Q35 where features have to be found: a label that depends on one direction of
 * many, |u . x|. Control: one that depends on all alike, |x|, which is what the kernel measures. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dlf/rng.h"
#include "figures.h"
#include "seed_check.h"
#include "svm.h"
#include "svm_duel.h"

static const int sizes[] = {60, 125, 250, 500, 1000};
enum { SIZES = sizeof sizes / sizeof sizes[0], TESTS = 300, D = 40 };
enum { DIRECTION, RADIUS, TARGETS };
enum { MACHINE, NETWORK, LEARNERS };
static const char *const ids[TARGETS][LEARNERS] = {{"direction_svm", "direction_network"},
                                                   {"radius_svm", "radius_network"}};
/* |x - z|^2 is about 2 D */
static const double widths[DLF_SVM_WIDTHS] = {0.5 / D, 1.0 / D};
static const double median_abs = 0.674489750196082; /* of N(0,1): Phi^-1(3/4) */

typedef struct study {
    int seeds, sizes;
    dlf_svm_duel duel;
    double *error; /* (TARGETS, LEARNERS, SIZES, seeds) */
    double gap;
} study;

static double *cell(const study *s, int target, int learner, int k)
{
    return s->error + (((long)target * LEARNERS + learner) * SIZES + k) * s->seeds;
}

static int by_value(const void *x, const void *y)
{
    const double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

/* Labels of a block: above the median of |u x|, u = (1,1,..)/sqrt(D), or of |x|. Without loss of
 * generality u is the same for all: the rows have no direction of their own. */
static void label(int32_t *out, const float *x, int rows, int target, double *room)
{
    double median = median_abs;
    for (int i = 0; i < rows; i++) {
        double sum = 0.0, square = 0.0;
        for (int j = 0; j < D; j++) {
            sum += x[(long)i * D + j];
            square += (double)x[(long)i * D + j] * x[(long)i * D + j];
        }
        room[i] = target == DIRECTION ? fabs(sum) / sqrt(D) : square;
        room[rows + i] = room[i];
    }
    if (target == RADIUS) {
        qsort(room + rows, (size_t)rows, sizeof *room, by_value);
        median = room[rows + rows / 2];
    }
    for (int i = 0; i < rows; i++) out[i] = room[i] > median;
}

static dlf_status deal(study *s, dlf_run *run, int target)
{
    const int n = sizes[s->sizes - 1], each = n + TESTS;
    const size_t rows = (size_t)s->seeds * (size_t)each;
    double *room = malloc(2 * (size_t)each * sizeof *room);
    dlf_dataset_free(&s->duel.data);
    s->duel = (dlf_svm_duel){.train = n, .test = TESTS, .width = widths, .C = 10.0};
    dlf_dataset *d = &s->duel.data;
    *d = (dlf_dataset){.name = "features",
                       .train = (int)rows,
                       .features = D,
                       .classes = 2,
                       .x = malloc(rows * D * sizeof(float)),
                       .label = malloc(rows * sizeof(int32_t))};
    if (!room || !d->x || !d->label) {
        free(room);
        return dlf_fail(DLF_ERR_OOM, "svm: out of memory");
    }
    for (int seed = 0; seed < s->seeds; seed++) {
        float *x = d->x + (long)seed * each * D;
        for (long i = 0; i < (long)each * D; i++)
            x[i] = dlf_rng_normal(dlf_run_seed(run), dlf_stream(DLF_PURPOSE_INPUT, 88),
                                  (uint32_t)seed, (uint64_t)i);
        label(d->label + (long)seed * each, x, each, target, room);
    }
    free(room);
    return DLF_OK;
}

static dlf_status measure(study *s, dlf_run *run, double from, double to)
{
    for (int target = 0; target < TARGETS; target++) {
        DLF_TRY(deal(s, run, target));
        for (int k = 0; k < s->sizes; k++) {
            DLF_TRY(dlf_run_stage(run,
                                  from + (to - from) * (target + k / (double)s->sizes) / TARGETS,
                                  "features, %d rows", sizes[k]));
            DLF_TRY(dlf_svm_duel_machine(&s->duel, sizes[k], s->seeds, cell(s, target, MACHINE, k),
                                         &s->gap));
            DLF_TRY(dlf_svm_duel_network(&s->duel, run, sizes[k], cell(s, target, NETWORK, k)));
        }
    }
    return DLF_OK;
}

/* ---- report ---- */

static dlf_status checks(const study *s, dlf_run *run)
{
    const int last = s->sizes - 1;
    double *value = malloc((size_t)s->seeds * sizeof *value);
    if (!value) return dlf_fail(DLF_ERR_OOM, "svm: out of memory");
    dlf_status status;
    for (int target = 0; target < TARGETS; target++) {
        for (int i = 0; i < s->seeds; i++)
            value[i] = cell(s, target, MACHINE, last)[i] - cell(s, target, NETWORK, last)[i];
        DLF_TRY_DONE(dlf_add_above(
            run, target == DIRECTION ? "direction_network_wins" : "radius_network_wins",
            target == DIRECTION
                ? (dlf_text){"标签取决于 40 维中的一个方向：网络错得比 SVM 少（SVM 减网络）",
                             "the label depends on one direction of 40: the network errs less (SVM "
                             "less network)"}
                : (dlf_text){"对照，标签取决于长度，正是核所量的：网络也错得少（SVM 减网络）",
                             "control, the label depends on the length, which the kernel measures: "
                             "the network errs less, too (SVM less network)"},
            dlf_estimate_of(value, s->seeds, 1),
            target == DIRECTION
                ? "Ghorbani et al. 2020, in direction: a kernel needs about d^2 rows for degree 2"
                : "the sentence; decided by the whole interval"));
        for (int learner = 0; learner < LEARNERS; learner++)
            DLF_TRY_DONE(dlf_result_fact(
                dlf_run_result(run), ids[target][learner],
                dlf_estimate_of(cell(s, target, learner, last), s->seeds, 1).mean, "1"));
    }
    status = dlf_result_fact(dlf_run_result(run), "features_rows", sizes[last], "1");
done:
    free(value);
    return status;
}

static dlf_status table_and_figure(const study *s, dlf_run *run)
{
    static const dlf_text names[TARGETS][LEARNERS] = {
        {{"一个方向：SVM", "one direction: SVM"}, {"一个方向：网络", "one direction: network"}},
        {{"对照，长度：SVM", "control, length: SVM"},
         {"对照，长度：网络", "control, length: network"}}};
    dlf_table *t;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "features",
        (dlf_text){"错误率与样本数：一个方向，或长度",
                   "error by rows: one direction, or the length"},
        (const dlf_column[]){
            {"arm", NULL}, {"rows", "1"}, {"error", "1"}, {"lo", "1"}, {"hi", "1"}, {NULL, NULL}},
        &t));
    dlf_figure f = {
        .id = "features",
        .kind = DLF_LINES,
        .title =
            {"特征要自己找时网络赢；核正好合适时 SVM 赢",
             "Where the feature has to be found the network wins; where the kernel fits, the SVM"},
        .subtitle =
            {"40 维高斯输入，两类各半；SVM 的核宽取两个中更好的；带为种子间 95 % 区间",
             "40 Gaussian inputs, two equal classes; the SVM gets the better of two widths; "
             "bands: 95 %"},
        .x = {{"训练样本数", "training rows"}, true},
        .y = {{"测试错误率", "test error"}, false}};
    for (int target = 0; target < TARGETS; target++)
        for (int learner = 0; learner < LEARNERS; learner++) {
            for (int k = 0; k < s->sizes; k++) {
                const dlf_estimate e = dlf_estimate_of(cell(s, target, learner, k), s->seeds, 1);
                DLF_TRY(dlf_table_row(t, DLF_TXT(ids[target][learner]), DLF_NUM(sizes[k]),
                                      DLF_NUM(e.mean), DLF_NUM(e.lo), DLF_NUM(e.hi)));
            }
            const int at = target * LEARNERS + learner;
            f.series[at] =
                dlf_arm_series(target == RADIUS ? DLF_CONTROL : DLF_MEASURED, "features", "arm",
                               ids[target][learner], "rows", "error", names[target][learner], at);
        }
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_svm_features(dlf_run *run, double from, double to)
{
    study s = {.seeds = dlf_run_seeds(run)};
    const int largest = dlf_run_int(run, "largest_sample");
    while (s.sizes < SIZES && sizes[s.sizes] <= largest) s.sizes++;
    s.error = malloc((size_t)(TARGETS * LEARNERS * SIZES * s.seeds) * sizeof *s.error);
    if (!s.error) return dlf_fail(DLF_ERR_OOM, "svm: out of memory");
    dlf_status status;
    DLF_TRY_DONE(measure(&s, run, from, to));
    DLF_TRY_DONE(checks(&s, run));
    status = table_and_figure(&s, run);
done:
    dlf_dataset_free(&s.duel.data);
    free(s.error);
    return status;
}
