/* SPDX-License-Identifier: MIT
 * svm_digits.c -- Q35 where the features are good: handwritten digits, by a Gaussian kernel machine
 * and by a network, as the rows grow. Control: labels that follow nothing. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/rng.h"
#include "figures.h"
#include "seed_check.h"
#include "svm.h"
#include "svm_duel.h"

static const int sizes[] = {50, 100, 200, 400, 1000};
enum { SIZES = sizeof sizes / sizeof sizes[0], TESTS = 300, FEW = 1 };
enum { MACHINE, NETWORK, TOSSED, ARMS };
static const char *const arm_ids[ARMS] = {"svm", "network", "tossed"};
/* of 64 pixels with mean square 1: 1/64, or half as much */
static const double widths[DLF_SVM_WIDTHS] = {1.0 / 128, 1.0 / 64};

typedef struct study {
    int seeds, sizes;
    dlf_svm_duel duel, tossed;
    double *error; /* (ARMS, SIZES, seeds) */
    double gap;
} study;

static double *cell(const study *s, int arm, int k)
{
    return s->error + ((long)arm * SIZES + k) * s->seeds;
}

/* Every seed's own order of the training rows; the test rows are the same for all. */
static dlf_status deal(study *s, dlf_run *run)
{
    const int n = sizes[s->sizes - 1], each = n + TESTS;
    dlf_dataset digits = {0};
    int32_t *order = NULL;
    dlf_status status;
    DLF_TRY_DONE(dlf_digits_load(&digits));
    const int F = digits.features;
    const size_t rows = (size_t)s->seeds * (size_t)each;
    order = malloc((size_t)digits.train * sizeof *order);
    s->duel.data = (dlf_dataset){.name = "digits",
                                 .train = (int)rows,
                                 .features = F,
                                 .classes = digits.classes,
                                 .x = malloc(rows * (size_t)F * sizeof(float)),
                                 .label = malloc(2 * rows * sizeof(int32_t))};
    dlf_dataset *d = &s->duel.data;
    if (!order || !d->x || !d->label) {
        status = dlf_fail(DLF_ERR_OOM, "svm: out of memory");
        goto done;
    }
    for (int seed = 0; seed < s->seeds; seed++) {
        dlf_permutation(order, digits.train, dlf_run_seed(run), dlf_stream(DLF_PURPOSE_SHUFFLE, 87),
                        (uint32_t)seed);
        for (int i = 0; i < each; i++) {
            const int from = i < n ? order[i] : digits.train + i - n;
            const long to = (long)seed * each + i;
            memcpy(d->x + to * F, digits.x + (long)from * F, (size_t)F * sizeof(float));
            d->label[to] = digits.label[from];
            d->label[(long)rows + to] =
                (int32_t)(dlf_rng_bits(dlf_run_seed(run), dlf_stream(DLF_PURPOSE_DATA, 87),
                                       (uint32_t)seed, (uint64_t)i) %
                          10u);
        }
    }
    s->duel.train = n;
    s->duel.test = TESTS;
    s->duel.width = widths;
    s->duel.C = 10.0;
    s->tossed = s->duel;
    s->tossed.data.label = d->label + rows;
done:
    free(order);
    dlf_dataset_free(&digits);
    return status;
}

static dlf_status measure(study *s, dlf_run *run, double from, double to)
{
    for (int k = 0; k < s->sizes; k++) {
        DLF_TRY(dlf_run_stage(run, from + (to - from) * k / s->sizes, "digits, %d rows", sizes[k]));
        DLF_TRY(dlf_svm_duel_machine(&s->duel, sizes[k], s->seeds, cell(s, MACHINE, k), &s->gap));
        DLF_TRY(dlf_svm_duel_network(&s->duel, run, sizes[k], cell(s, NETWORK, k)));
        DLF_TRY(dlf_svm_duel_network(&s->tossed, run, sizes[k], cell(s, TOSSED, k)));
    }
    return DLF_OK;
}

/* ---- report ---- */

static dlf_status checks(const study *s, dlf_run *run)
{
    double *value = malloc((size_t)s->seeds * sizeof *value);
    if (!value) return dlf_fail(DLF_ERR_OOM, "svm: out of memory");
    dlf_status status;
    char zh[160], en[160];
    for (int i = 0; i < s->seeds; i++)
        value[i] = cell(s, MACHINE, FEW)[i] - cell(s, NETWORK, FEW)[i];
    snprintf(zh, sizeof zh, "“深度学习更准”：手写数字 %d 行，网络错得比 SVM 少（SVM 减网络）",
             sizes[FEW]);
    snprintf(
        en, sizeof en,
        "\"deep learning is more accurate\": %d digits, the network errs less (SVM less network)",
        sizes[FEW]);
    DLF_TRY_DONE(dlf_add_above(run, "digits_network_wins", (dlf_text){zh, en},
                               dlf_estimate_of(value, s->seeds, 1),
                               "the sentence; decided by the whole interval"));
    dlf_check c = dlf_check_of(
        "digits_tossed", (dlf_text){"对照，标签随机：错误率", "control, random labels: error"},
        dlf_estimate_of(cell(s, TOSSED, s->sizes - 1), s->seeds, 1));
    c.expected = 1.0 - 1.0 / 10;
    c.tolerance = 0.03;
    c.source = "chance of ten classes; 300 test rows, three points";
    DLF_TRY_DONE(dlf_result_check(dlf_run_result(run), c));
    c = dlf_check_exact(
        "dual_gap",
        (dlf_text){"SVM 解到了最优（相对对偶间隙的最大值）",
                   "the machines are at their optimum (largest relative duality gap)"},
        s->gap);
    c.expected = 0.01;
    c.relation = DLF_AT_MOST;
    c.self_check = true;
    c.source = "weak duality: no more can be gained";
    DLF_TRY_DONE(dlf_result_check(dlf_run_result(run), c));
    for (int k = FEW; k<s->sizes; k += s->sizes - 1 - FEW> 0 ? s->sizes - 1 - FEW : 1)
        for (int arm = 0; arm < TOSSED; arm++) {
            char id[40];
            snprintf(id, sizeof id, "digits_%s_%s", arm_ids[arm], k == FEW ? "few" : "many");
            DLF_TRY_DONE(dlf_result_fact(dlf_run_result(run), id,
                                         dlf_estimate_of(cell(s, arm, k), s->seeds, 1).mean, "1"));
        }
done:
    free(value);
    return status;
}

static dlf_status table_and_figure(const study *s, dlf_run *run)
{
    static const dlf_text names[ARMS] = {{"SVM（高斯核）", "SVM (Gaussian kernel)"},
                                         {"网络", "network"},
                                         {"对照：随机标签", "control: random labels"}};
    dlf_table *t;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "digits",
        (dlf_text){"手写数字：错误率与样本数", "digits: error by rows"},
        (const dlf_column[]){
            {"arm", NULL}, {"rows", "1"}, {"error", "1"}, {"lo", "1"}, {"hi", "1"}, {NULL, NULL}},
        &t));
    for (int arm = 0; arm < ARMS; arm++)
        for (int k = 0; k < s->sizes; k++) {
            const dlf_estimate e = dlf_estimate_of(cell(s, arm, k), s->seeds, 1);
            DLF_TRY(dlf_table_row(t, DLF_TXT(arm_ids[arm]), DLF_NUM(sizes[k]), DLF_NUM(e.mean),
                                  DLF_NUM(fmax(e.lo, 0.1 * e.mean)), DLF_NUM(e.hi)));
        }
    dlf_figure f = {.id = "digits",
                    .kind = DLF_LINES,
                    .title = {"8×8 手写数字上，SVM 不输给网络",
                              "On 8×8 digits an SVM is no worse than a network"},
                    .subtitle = {"SVM 的核宽取两个中更好的；带为种子间 95 % 区间",
                                 "the SVM gets the better of two widths; bands: 95 % over seeds"},
                    .x = {{"训练样本数", "training rows"}, true},
                    .y = {{"测试错误率", "test error"}, true}};
    for (int arm = 0; arm < ARMS; arm++)
        f.series[arm] = dlf_arm_series(arm == TOSSED ? DLF_CONTROL : DLF_MEASURED, "digits", "arm",
                                       arm_ids[arm], "rows", "error", names[arm], arm);
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_svm_digits(dlf_run *run, double from, double to)
{
    study s = {.seeds = dlf_run_seeds(run)};
    const int largest = dlf_run_int(run, "largest_sample");
    while (s.sizes < SIZES && sizes[s.sizes] <= largest) s.sizes++;
    s.error = malloc((size_t)(ARMS * SIZES * s.seeds) * sizeof *s.error);
    if (!s.error) return dlf_fail(DLF_ERR_OOM, "svm: out of memory");
    dlf_status status;
    DLF_TRY_DONE(deal(&s, run));
    DLF_TRY_DONE(measure(&s, run, from, to));
    DLF_TRY_DONE(checks(&s, run));
    status = table_and_figure(&s, run);
done:
    dlf_dataset_free(&s.duel.data);
    free(s.error);
    return status;
}
