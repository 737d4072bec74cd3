/* SPDX-License-Identifier: MIT
 * svm_sparsity.c -- Q35: how many support vectors there are. With noise in the labels a share of
 * the rows, so that the machine grows with its data; a network does not. Control: no noise. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dlf/rng.h"
#include "figures.h"
#include "seed_check.h"
#include "svm.h"

static const int sizes[] = {50, 100, 200, 400, 1000};
enum { SIZES = sizeof sizes / sizeof sizes[0], NOISY = 0, CLEAN, ARMS };
static const double flipped = 0.1, centre = 3.0, C = 1.0, width = 0.5;
static const char *const arm_ids[ARMS] = {"noisy", "clean"};

typedef struct study {
    int seeds, sizes;
    float *x, *y, *k, *f;
    double *beta;
    double *share; /* (ARMS, SIZES, seeds) */
} study;

static double *cell(const study *s, int arm, int k)
{
    return s->share + ((long)arm * SIZES + k) * s->seeds;
}

static dlf_status measure(const study *s, dlf_run *run, double from, double to)
{
    const uint64_t seed = dlf_run_seed(run);
    const int n = sizes[s->sizes - 1];
    for (int p = 0; p < s->seeds; p++) {
        DLF_TRY(dlf_run_stage(run, from + (to - from) * p / s->seeds, "support vectors"));
        for (int i = 0; i < 2 * n; i++)
            s->x[i] =
                (i % 2 ? 0.0f : (i / 2 % 2 ? 1.0f : -1.0f) * (float)centre) +
                dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_INPUT, 89), (uint32_t)p, (uint64_t)i);
        dlf_svm_gaussian(s->k, s->x, n, s->x, n, 2, width);
        for (int arm = 0; arm < ARMS; arm++)
            for (int k = 0; k < s->sizes; k++) {
                for (int i = 0; i < sizes[k]; i++) {
                    const float toss = dlf_rng_uniform(seed, dlf_stream(DLF_PURPOSE_DATA, 89),
                                                       (uint32_t)p, (uint64_t)i);
                    const bool wrong = arm == NOISY && toss < flipped;
                    s->y[i] = (i % 2 ? 1.0f : -1.0f) * (wrong ? -1.0f : 1.0f);
                }
                (void)dlf_svm_train(s->beta, s->f, s->k, n, s->y, sizes[k], C, NULL);
                cell(s, arm, k)[p] = dlf_svm_support(s->beta, sizes[k], C) / (double)sizes[k];
            }
    }
    return DLF_OK;
}

static dlf_status report(const study *s, dlf_run *run)
{
    const int last = s->sizes - 1;
    dlf_table *t;
    DLF_TRY(dlf_add_bound(run, "support_noisy",
                          (dlf_text){"一成标签出错：支持向量占样本的比例",
                                     "a tenth of the labels are wrong: share of support vectors"},
                          dlf_estimate_of(cell(s, NOISY, last), s->seeds, 1), DLF_AT_LEAST,
                          2.0 * flipped,
                          "Steinwart 2003: twice the Bayes error, in the limit and from above"));
    DLF_TRY(dlf_add_bound(run, "support_clean",
                          (dlf_text){"对照，标签无误：支持向量也占这么多",
                                     "control, no wrong labels: as large a share"},
                          dlf_estimate_of(cell(s, CLEAN, last), s->seeds, 1), DLF_AT_LEAST,
                          2.0 * flipped, "the same bound, where it does not hold"));
    DLF_TRY(
        dlf_result_table(dlf_run_result(run), "support",
                         (dlf_text){"支持向量的比例与样本数", "share of support vectors by rows"},
                         (const dlf_column[]){{"arm", NULL},
                                              {"rows", "1"},
                                              {"share", "1"},
                                              {"lo", "1"},
                                              {"hi", "1"},
                                              {"bound", "1"},
                                              {NULL, NULL}},
                         &t));
    for (int arm = 0; arm < ARMS; arm++)
        for (int k = 0; k < s->sizes; k++) {
            const dlf_estimate e = dlf_estimate_of(cell(s, arm, k), s->seeds, 1);
            DLF_TRY(dlf_table_row(t, DLF_TXT(arm_ids[arm]), DLF_NUM(sizes[k]), DLF_NUM(e.mean),
                                  DLF_NUM(e.lo), DLF_NUM(e.hi), DLF_NUM(2.0 * flipped)));
        }
    dlf_figure f = {
        .id = "support",
        .kind = DLF_LINES,
        .title = {"标签有噪声时，SVM 记住固定比例的样本",
                  "With noise an SVM keeps a fixed share of its rows"},
        .subtitle =
            {"平面上两个高斯类，一成标签出错；虚线：贝叶斯错误率的两倍；带为 95 % 区间",
             "two Gaussian classes in the plane, a tenth of the labels wrong; dashed: twice "
             "the Bayes error; bands: 95 %"},
        .x = {{"训练样本数", "training rows"}, true},
        .y = {{"支持向量的比例", "share of support vectors"}, false}};
    static const dlf_text names[ARMS] = {{"一成标签出错", "a tenth wrong"},
                                         {"对照：标签无误", "control: none wrong"}};
    for (int arm = 0; arm < ARMS; arm++)
        f.series[arm] = dlf_arm_series(arm == CLEAN ? DLF_CONTROL : DLF_MEASURED, "support", "arm",
                                       arm_ids[arm], "rows", "share", names[arm], arm);
    f.series[2] = (dlf_series){.role = DLF_THEORY,
                               .table = "support",
                               .where = "arm",
                               .equals = arm_ids[NOISY],
                               .x = "rows",
                               .y = "bound",
                               .label = {"下限（理论）", "lower bound (theory)"},
                               .colour = 0};
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_svm_sparsity(dlf_run *run, double from, double to)
{
    study s = {.seeds = dlf_run_seeds(run)};
    const int largest = dlf_run_int(run, "largest_sample");
    while (s.sizes < SIZES && sizes[s.sizes] <= largest) s.sizes++;
    const size_t n = (size_t)sizes[s.sizes - 1];
    s.x = malloc((n * n + 4 * n) * sizeof *s.x);
    s.beta = malloc((n + (size_t)(ARMS * SIZES * s.seeds)) * sizeof *s.beta);
    dlf_status status;
    if (!s.x || !s.beta) {
        status = dlf_fail(DLF_ERR_OOM, "svm: out of memory");
        goto done;
    }
    s.y = s.x + 2 * n;
    s.k = s.y + n;
    s.f = s.k + n * n;
    s.share = s.beta + n;
    DLF_TRY_DONE(measure(&s, run, from, to));
    status = report(&s, run);
done:
    free(s.beta);
    free(s.x);
    return status;
}
