/* SPDX-License-Identifier: MIT
 * more_data_digits.c -- Q2 on handwritten digits: error by number of training rows, of a network,
 * of a linear classifier, and of a network whose rows are copies of a hundred (control). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "classifier.h"
#include "digits_blocks.h"
#include "dlf/train.h"
#include "figures.h"
#include "more_data.h"
#include "seed_check.h"

static const int sizes[] = {25, 50, 100, 200, 400, 800};
enum {
    SIZES = sizeof sizes / sizeof sizes[0],
    BATCH = 25,
    TESTS = 500,
    FIXED = 2,
    NETWORK = 0,
    LINEAR,
    COPIES,
    ARMS
};
static const char *const arm_ids[ARMS] = {"network", "linear", "copies"};

static dlf_status train(dlf_run *run, const dlf_dataset *data, const int32_t *base, int arm,
                        int rows, double *error)
{
    const int P = dlf_run_seeds(run);
    dlf_graph *g = NULL;
    dlf_train *t = NULL;
    dlf_status status;
    double *lr = malloc((size_t)P * sizeof *lr);
    if (!lr) return dlf_fail(DLF_ERR_OOM, "more-data: out of memory");
    for (int p = 0; p < P; p++) lr[p] = arm == LINEAR ? 0.01 : 0.005;
    const classifier_spec net = {.members = P,
                                 .batch = BATCH,
                                 .inputs = data->features,
                                 .width = dlf_run_int(run, "width"),
                                 .depth = arm == LINEAR ? 0 : 1,
                                 .classes = data->classes,
                                 .f = dlf_activation_of(DLF_RELU),
                                 .init = dlf_he()};
    DLF_TRY_DONE(classifier_new(&g, dlf_run_device(run), &net));
    DLF_TRY_DONE(dlf_graph_initialise(g, dlf_run_seed(run), NULL));
    const dlf_train_spec spec = {.seed = dlf_run_seed(run),
                                 .base = base,
                                 .lr = lr,
                                 .optimiser = dlf_adam(0.0),
                                 .rows = rows};
    DLF_TRY_DONE(dlf_train_new(&t, g, data, &spec));
    DLF_TRY_DONE(dlf_train_run(t, dlf_run_int(run, "steps")));
    DLF_TRY_DONE(dlf_train_evaluate(t, rows, TESTS, NULL, error));
    for (int p = 0; p < P; p++) error[p] = 1.0 - error[p];
done:
    dlf_train_free(t);
    dlf_graph_free(g);
    free(lr);
    return status;
}

/* error (ARMS, SIZES, seeds) */
static dlf_status measure(dlf_run *run, double *error, double from, double to)
{
    const int P = dlf_run_seeds(run);
    dlf_dataset digits;
    DLF_TRY(dlf_digits_load(&digits));
    dlf_status status = DLF_OK;
    dlf_block *block = malloc((size_t)P * sizeof *block);
    int32_t *base = malloc((size_t)P * sizeof *base);
    if (!block || !base) {
        status = dlf_fail(DLF_ERR_OOM, "more-data: out of memory");
        goto done;
    }
    for (int arm = 0; arm < ARMS; arm++)
        for (int k = 0; k < SIZES; k++) {
            dlf_dataset data = {0};
            for (int p = 0; p < P; p++)
                block[p] = (dlf_block){.draw = (uint32_t)p,
                                       .distinct = arm == COPIES && k > FIXED ? sizes[FIXED] : 0};
            DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * (arm * SIZES + k) / (ARMS * SIZES),
                                       "digits, %d rows", sizes[k]));
            status = dlf_blocks_make(&data, base, &digits, dlf_run_seed(run),
                                     (dlf_block_size){sizes[k], 0, TESTS}, block, P);
            if (status == DLF_OK)
                status = train(run, &data, base, arm, sizes[k], error + (arm * SIZES + k) * P);
            dlf_dataset_free(&data);
            if (status != DLF_OK) goto done;
        }
done:
    free(base);
    free(block);
    dlf_dataset_free(&digits);
    return status;
}

/* Slope of ln error against ln n over the sizes from 50 on, per seed. */
static void slopes(const double *error, int arm, int P, double *out)
{
    for (int p = 0; p < P; p++) {
        double x[SIZES], y[SIZES];
        for (int k = 1; k < SIZES; k++) {
            x[k - 1] = log(sizes[k]);
            y[k - 1] = log(fmax(error[(arm * SIZES + k) * P + p], 0.5 / TESTS));
        }
        out[p] = dlf_slope(x, y, SIZES - 1);
    }
}

static dlf_status checks(dlf_run *run, const double *error)
{
    const int P = dlf_run_seeds(run), last = SIZES - 1;
    dlf_result *r = dlf_run_result(run);
    double *value = malloc(2 * (size_t)P * sizeof *value), *other = value + P;
    if (!value) return dlf_fail(DLF_ERR_OOM, "more-data: out of memory");
    dlf_status status;
    slopes(error, NETWORK, P, value);
    slopes(error, LINEAR, P, other);
    dlf_estimate e = dlf_estimate_of(value, P, 1);
    dlf_check c =
        dlf_check_of("digits_power",
                     (dlf_text){"手写数字：网络的错误率按 n 的负幂下降（双对数斜率）",
                                "digits: the network's error falls as a power of n (slope in "
                                "logarithms)"},
                     e);
    c.expected = -0.3;
    c.relation = DLF_AT_MOST;
    c.source =
        "Hestness et al. 2017 in direction: exponents of real tasks are -0.07 to -0.35, ours is "
        "steeper; -0.3: well below no gain";
    DLF_TRY_DONE(dlf_result_check(r, c));

    for (int p = 0; p < P; p++) value[p] -= other[p];
    e = dlf_estimate_of(value, P, 1);
    c = dlf_check_of(
        "digits_capacity",
        (dlf_text){"线性分类器从更多数据中得到的更少（斜率：网络减线性）",
                   "a linear classifier gains less from more data (slope: network less linear)"},
        e);
    c.relation = DLF_AT_MOST;
    c.has_verdict = true;
    c.verdict = e.n < 3      ? DLF_UNDECIDED
                : e.hi < 0.0 ? DLF_SUPPORTED
                : e.lo > 0.0 ? DLF_REFUTED
                             : DLF_DEPENDS;
    c.source = "its bias does not fall with n; decided by the whole interval";
    DLF_TRY_DONE(dlf_result_check(r, c));

    for (int arm = 0; arm < ARMS; arm += COPIES) {
        for (int p = 0; p < P; p++)
            value[p] = error[(arm * SIZES + FIXED) * P + p] - error[(arm * SIZES + last) * P + p];
        e = dlf_estimate_of(value, P, 1);
        const dlf_text claim =
            arm == COPIES
                ? (dlf_text){"对照，复制同样的 100 行到 800 行：错误率不降（降幅）",
                             "control, 100 rows copied to 800: the error does not fall (by)"}
                : (dlf_text){"从 100 行到 800 个新行：错误率下降（降幅）",
                             "from 100 to 800 fresh rows: the error falls (by)"};
        DLF_TRY_DONE(
            arm == COPIES
                ? dlf_add_within(
                      run, "digits_copies", claim, e, 0.03,
                      "copies hold no case that was not seen; an equivalence test at 3 %")
                : dlf_add_above(run, "digits_fresh", claim, e, "decided by the whole interval"));
    }
    status = dlf_result_fact(r, "digits_error_all",
                             dlf_estimate_of(error + (NETWORK * SIZES + last) * P, P, 1).mean, "1");
done:
    free(value);
    return status;
}

static dlf_status table_and_figure(dlf_run *run, const double *error)
{
    const int P = dlf_run_seeds(run);
    dlf_table *t;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "digits",
        (dlf_text){"手写数字的错误率与训练样本数", "digits: error by rows"},
        (const dlf_column[]){
            {"arm", NULL}, {"rows", "1"}, {"error", "1"}, {"lo", "1"}, {"hi", "1"}, {NULL, NULL}},
        &t));
    for (int arm = 0; arm < ARMS; arm++)
        for (int k = 0; k < SIZES; k++) {
            const dlf_estimate e = dlf_estimate_of(error + (arm * SIZES + k) * P, P, 1);
            DLF_TRY(dlf_table_row(t, DLF_TXT(arm_ids[arm]), DLF_NUM(sizes[k]), DLF_NUM(e.mean),
                                  DLF_NUM(fmax(e.lo, 1e-3)), DLF_NUM(e.hi)));
        }
    dlf_figure f = {
        .id = "digits",
        .kind = DLF_LINES,
        .title =
            {"手写数字：新的样本使错误率按幂律下降，复制旧样本毫无用处",
             "Digits: fresh rows lower the error as a power law, copies of old ones do nothing"},
        .subtitle = {"每个点训练步数相同；带为种子间 95 % 区间",
                     "as many training steps at every point; bands: 95 % over seeds"},
        .x = {{"训练样本数", "training rows"}, true},
        .y = {{"测试错误率", "test error"}, true}};
    static const dlf_text labels[ARMS] = {
        {"网络", "network"},
        {"线性分类器", "linear classifier"},
        {"对照：网络，100 行的复制", "control: network, copies of 100"}};
    for (int arm = 0; arm < ARMS; arm++)
        f.series[arm] = dlf_arm_series(arm == COPIES ? DLF_CONTROL : DLF_MEASURED, "digits", "arm",
                                       arm_ids[arm], "rows", "error", labels[arm], arm);
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_more_digits(dlf_run *run, double from, double to)
{
    double *error = malloc((size_t)(ARMS * SIZES * dlf_run_seeds(run)) * sizeof *error);
    if (!error) return dlf_fail(DLF_ERR_OOM, "more-data: out of memory");
    dlf_status status;
    DLF_TRY_DONE(measure(run, error, from, to));
    DLF_TRY_DONE(checks(run, error));
    status = table_and_figure(run, error);
done:
    free(error);
    return status;
}
