/* SPDX-License-Identifier: MIT
 * perceptron_noise.c -- Q12: some labels are wrong, so that no hyperplane separates: the perceptron
 * never ends, its weights stay bounded, and their average is worth more than any of them. Control:
 * the same rows with right labels. */
#include <math.h>
#include <stdlib.h>

#include "dlf/data.h"
#include "dlf/rng.h"
#include "perceptron.h"
#include "seed_check.h"

enum { CLEAN, NOISY, ARMS, TESTS = 1000 };
static const double margin = 0.1;
static const char *const arm_ids[ARMS] = {"clean", "noisy"};

typedef struct story {
    int n, d, seeds, members, passes; /* member = arm * seeds + seed                     */
    float *x, *t;                     /* (seeds, n+TESTS, d), (members, n+TESTS)          */
    int32_t *order, *labels;          /* (n, members) rows of x and of t                  */
    double *mistakes, *length;        /* (passes, members)                                */
    double *error, *averaged;         /* (passes, members): of the tests                  */
    double *w, *sum;                  /* (members, d)                                     */
} story;

static dlf_status story_new(story *s, const dlf_run *run)
{
    *s = (story){.n = dlf_run_int(run, "n"),
                 .d = dlf_run_int(run, "p"),
                 .seeds = dlf_run_seeds(run),
                 .passes = dlf_run_int(run, "passes")};
    s->members = ARMS * s->seeds;
    const size_t rows = (size_t)(s->n + TESTS), P = (size_t)s->members;
    s->x = malloc((size_t)s->seeds * rows * (size_t)s->d * sizeof *s->x);
    s->t = malloc(P * rows * sizeof *s->t);
    s->order = malloc(2 * P * (size_t)s->n * sizeof *s->order);
    double **curves[] = {&s->mistakes, &s->length, &s->error, &s->averaged};
    for (int i = 0; i < 4; i++)
        if (!(*curves[i] = malloc((size_t)s->passes * P * sizeof **curves[i])))
            return dlf_fail(DLF_ERR_OOM, "perceptron: out of memory");
    s->w = malloc(2 * P * (size_t)s->d * sizeof *s->w);
    if (!s->x || !s->t || !s->order || !s->w)
        return dlf_fail(DLF_ERR_OOM, "perceptron: out of memory");
    s->labels = s->order + (long)s->members * s->n;
    s->sum = s->w + (long)s->members * s->d;
    return DLF_OK;
}

static void story_free(story *s)
{
    free(s->w);
    free(s->averaged);
    free(s->error);
    free(s->length);
    free(s->mistakes);
    free(s->order);
    free(s->t);
    free(s->x);
}

static dlf_status prepare(story *s, const dlf_run *run)
{
    const int rows = s->n + TESTS;
    const double wrong = dlf_run_real(run, "label_noise");
    const uint64_t seed = dlf_run_seed(run);
    int32_t *own = malloc((size_t)s->n * sizeof *own);
    if (!own) return dlf_fail(DLF_ERR_OOM, "perceptron: out of memory");
    dlf_status status = DLF_OK;
    for (int k = 0; k < s->seeds; k++) {
        float *clean = s->t + (long)k * rows, *noisy = s->t + (long)(s->seeds + k) * rows;
        DLF_TRY_DONE(dlf_perceptron_planted(s->x + (long)k * rows * s->d, clean, NULL, rows, s->d,
                                            margin, seed + 1, (uint32_t)k));
        dlf_permutation(own, s->n, seed, dlf_stream(DLF_PURPOSE_SHUFFLE, 2), (uint32_t)k);
        for (int i = 0; i < rows; i++) {
            const float u =
                dlf_rng_uniform(seed, dlf_stream(DLF_PURPOSE_DATA, 3), (uint32_t)k, (uint64_t)i);
            noisy[i] = i < s->n && u < wrong ? -clean[i] : clean[i];
        }
        for (int arm = 0; arm < ARMS; arm++)
            for (int i = 0; i < s->n; i++) {
                const int m = arm * s->seeds + k;
                s->order[(long)i * s->members + m] = k * rows + own[i];
                s->labels[(long)i * s->members + m] = m * rows + own[i];
            }
    }
done:
    free(own);
    return status;
}

/* Share of the test rows that w errs on. */
static double test_error(const story *s, int m, const double *w)
{
    const int rows = s->n + TESTS;
    const float *x = s->x + ((long)(m % s->seeds) * rows + s->n) * s->d;
    const float *t = s->t + (long)m * rows + s->n;
    int wrong = 0;
    for (int i = 0; i < TESTS; i++) {
        double z = 0.0;
        for (int j = 0; j < s->d; j++) z += w[(long)m * s->d + j] * x[(long)i * s->d + j];
        wrong += !(t[i] * z > 0.0);
    }
    return (double)wrong / TESTS;
}

static dlf_status observe(story *s, dlf_perceptrons *machine, int pass)
{
    double *total = s->mistakes + (long)pass * s->members;
    DLF_TRY(dlf_tensor_download_f64(total, &machine->mistakes));
    DLF_TRY(dlf_tensor_download_f64(s->w, &machine->w));
    DLF_TRY(dlf_tensor_download_f64(s->sum, &machine->sum));
    for (int m = 0; m < s->members; m++) {
        const long at = (long)pass * s->members + m;
        double square = 0.0;
        for (int j = 0; j < s->d; j++) square += pow(s->w[(long)m * s->d + j], 2.0);
        s->length[at] = sqrt(square);
        s->error[at] = test_error(s, m, s->w);
        s->averaged[at] = test_error(s, m, s->sum);
    }
    return DLF_OK;
}

static dlf_status train(story *s, dlf_run *run, double from, double to)
{
    dlf_perceptrons machine;
    const int rows = s->n + TESTS;
    dlf_status status;
    DLF_TRY_DONE(dlf_perceptrons_new(&machine, dlf_run_device(run), s->members, s->seeds * rows,
                                     s->d, s->x, s->members * rows, 1, s->t, true));
    DLF_TRY_DONE(dlf_perceptrons_order(&machine, s->n, s->order, s->labels));
    for (int pass = 0; pass < s->passes; pass++) {
        DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * pass / s->passes, "wrong labels"));
        DLF_TRY_DONE(dlf_perceptrons_present(&machine, 0, s->n));
        DLF_TRY_DONE(observe(s, &machine, pass));
    }
    for (int pass = s->passes - 1; pass > 0; pass--) /* totals become counts of the pass */
        for (int m = 0; m < s->members; m++)
            s->mistakes[(long)pass * s->members + m] -=
                s->mistakes[(long)(pass - 1) * s->members + m];
done:
    dlf_perceptrons_free(&machine);
    return status;
}

static dlf_status table(const story *s, dlf_run *run)
{
    dlf_table *t;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "noise",
                             (dlf_text){"标签有错与无错时逐遍的错误次数与测试错误率",
                                        "mistakes and test error by pass, with and without wrong "
                                        "labels"},
                             (const dlf_column[]){{"arm", NULL},
                                                  {"pass", "pass"},
                                                  {"mistakes", "1"},
                                                  {"mistakes_lo", "1"},
                                                  {"mistakes_hi", "1"},
                                                  {"error", "1"},
                                                  {"error_lo", "1"},
                                                  {"error_hi", "1"},
                                                  {"averaged", "1"},
                                                  {"averaged_lo", "1"},
                                                  {"averaged_hi", "1"},
                                                  {"length", "1"},
                                                  {NULL, NULL}},
                             &t));
    for (int arm = 0; arm < ARMS; arm++)
        for (int pass = 0; pass < s->passes; pass++) {
            const long at = (long)pass * s->members + (long)arm * s->seeds;
            const dlf_estimate m = dlf_estimate_of(s->mistakes + at, s->seeds, 1),
                               e = dlf_estimate_of(s->error + at, s->seeds, 1),
                               a = dlf_estimate_of(s->averaged + at, s->seeds, 1),
                               l = dlf_estimate_of(s->length + at, s->seeds, 1);
            DLF_TRY(dlf_table_row(t, DLF_TXT(arm_ids[arm]), DLF_NUM(pass + 1), DLF_NUM(m.mean),
                                  DLF_NUM(m.lo), DLF_NUM(m.hi), DLF_NUM(e.mean), DLF_NUM(e.lo),
                                  DLF_NUM(e.hi), DLF_NUM(a.mean), DLF_NUM(a.lo), DLF_NUM(a.hi),
                                  DLF_NUM(l.mean)));
        }
    return DLF_OK;
}

/* Per seed: what the last quarter of the passes says, in which single passes are averaged. */
typedef struct verdict_data {
    double *mistakes, *gain, *clean_gain, *growth; /* (seeds) each, one block */
} verdict_data;

static void collect(const story *s, verdict_data v)
{
    const int first = s->passes - (s->passes + 3) / 4, half = s->passes / 2;
    for (int k = 0; k < s->seeds; k++) {
        double sums[3] = {0.0, 0.0, 0.0}, early = 0.0, late = 0.0;
        for (int pass = first; pass < s->passes; pass++) {
            const long noisy = (long)pass * s->members + s->seeds + k, clean = noisy - s->seeds;
            sums[0] += s->mistakes[noisy] / s->n;
            sums[1] += s->error[noisy] - s->averaged[noisy];
            sums[2] += s->error[clean] - s->averaged[clean];
        }
        for (int pass = 0; pass < s->passes; pass++) {
            const double l = s->length[(long)pass * s->members + s->seeds + k];
            double *largest = pass < half ? &early : &late;
            if (!(l <= *largest)) *largest = l;
        }
        v.mistakes[k] = sums[0] / (s->passes - first);
        v.gain[k] = sums[1] / (s->passes - first);
        v.clean_gain[k] = sums[2] / (s->passes - first);
        v.growth[k] = late / early;
    }
}

static dlf_status checks(const story *s, dlf_run *run)
{
    double *block = malloc(4 * (size_t)s->seeds * sizeof *block);
    if (!block) return dlf_fail(DLF_ERR_OOM, "perceptron: out of memory");
    const verdict_data v = {block, block + s->seeds, block + 2L * s->seeds, block + 3L * s->seeds};
    dlf_status status = DLF_OK;
    collect(s, v);

    const double wrong = dlf_run_real(run, "label_noise");
    dlf_estimate e = dlf_estimate_of(v.mistakes, s->seeds, 1);
    dlf_check c = dlf_check_of(
        "noise_never_ends",
        (dlf_text){
            "对照，部分标签出错：永远停不下来（最后四分之一各遍中每个样本的错误率）",
            "control, some labels wrong: it never ends (mistakes per row in the last quarter "
            "of the passes)"},
        e);
    c.expected = wrong;
    c.relation = DLF_AT_LEAST;
    c.source =
        "no hyperplane is right on a wrong label and on its neighbours: at least the share of "
        "wrong labels";
    DLF_TRY_DONE(dlf_result_check(dlf_run_result(run), c));

    c = dlf_check_of(
        "noise_bounded",
        (dlf_text){"权重长度却有界（后一半与前一半各遍的最大长度之比）",
                   "yet the weights stay bounded (largest length of the second half of "
                   "the passes over that of the first)"},
        dlf_estimate_of(v.growth, s->seeds, 1));
    c.expected = 1.0;
    c.tolerance = 0.25;
    c.source = "Block & Levin 1970, theorem 1 (bounded); sqrt(2) if they grew as a random walk";
    DLF_TRY_DONE(dlf_result_check(dlf_run_result(run), c));

    e = dlf_estimate_of(v.gain, s->seeds, 1);
    DLF_TRY_DONE(
        dlf_add_above(run, "averaged_better",
                      (dlf_text){"标签有错时，权重的平均优于最后的权重（测试错误率之差）",
                                 "with wrong labels the average of the weights is better than the "
                                 "last ones (difference of test errors)"},
                      e, "Freund & Schapire 1999, in direction; decided by the whole interval"));

    e = dlf_estimate_of(v.clean_gain, s->seeds, 1);
    DLF_TRY_DONE(dlf_add_within(
        run, "averaged_clean",
        (dlf_text){"标签无错时，平均与否几乎没有差别（测试错误率之差）",
                   "with right labels averaging makes hardly a difference (difference "
                   "of test errors)"},
        e, 0.02, "an equivalence test: the whole interval within 2 %"));
    const long last = (long)(s->passes - 1) * s->members + s->seeds;
    DLF_TRY_DONE(dlf_result_fact(dlf_run_result(run), "noisy_last_error",
                                 dlf_estimate_of(s->error + last, s->seeds, 1).mean, "1"));
    DLF_TRY_DONE(dlf_result_fact(dlf_run_result(run), "noisy_averaged_error",
                                 dlf_estimate_of(s->averaged + last, s->seeds, 1).mean, "1"));
done:
    free(block);
    return status;
}

static dlf_series curve(const char *arm, const char *y, const char *lo, const char *hi,
                        dlf_text label, int colour)
{
    return (dlf_series){.role = arm == arm_ids[CLEAN] ? DLF_CONTROL : DLF_MEASURED,
                        .table = "noise",
                        .where = "arm",
                        .equals = arm,
                        .x = "pass",
                        .y = y,
                        .lo = lo,
                        .hi = hi,
                        .label = label,
                        .colour = colour};
}

static dlf_status figures(dlf_run *run)
{
    dlf_figure f = {
        .id = "passes",
        .kind = DLF_LINES,
        .title = {"标签全对，感知机停下来；有错标签，永远停不下来",
                  "With right labels the perceptron ends; with wrong ones it never does"},
        .subtitle =
            {"同样的样本，一组有部分标签出错；每遍看完全部样本；带为 95 % 区间",
             "the same rows, in one arm some labels are wrong; a pass sees all rows; bands: 95 "
             "%"},
        .x = {{"第几遍", "pass"}, true},
        .y = {{"这一遍的错误次数", "mistakes in the pass"}, false}};
    f.series[0] = curve(arm_ids[NOISY], "mistakes", "mistakes_lo", "mistakes_hi",
                        (dlf_text){"部分标签出错", "some labels wrong"}, 0);
    f.series[1] = curve(arm_ids[CLEAN], "mistakes", "mistakes_lo", "mistakes_hi",
                        (dlf_text){"对照：标签全对", "control: right labels"}, 1);
    DLF_TRY(dlf_result_figure(dlf_run_result(run), &f));
    f = (dlf_figure){
        .id = "averaged",
        .kind = DLF_LINES,
        .title = {"标签有错时，取权重的平均值，而不是最后的值",
                  "With wrong labels take the average of the weights, not the last ones"},
        .subtitle = {"测试样本的标签全对；带为 95 % 区间",
                     "the labels of the test rows are right; bands: 95 %"},
        .x = {{"第几遍", "pass"}, true},
        .y = {{"测试错误率", "test error"}, false}};
    f.series[0] = curve(arm_ids[NOISY], "error", "error_lo", "error_hi",
                        (dlf_text){"标签有错，最后的权重", "wrong labels, last weights"}, 0);
    f.series[1] = curve(arm_ids[NOISY], "averaged", "averaged_lo", "averaged_hi",
                        (dlf_text){"标签有错，平均权重", "wrong labels, averaged weights"}, 2);
    f.series[2] =
        curve(arm_ids[CLEAN], "error", "error_lo", "error_hi",
              (dlf_text){"对照：标签全对，最后的权重", "control: right labels, last weights"}, 1);
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_perceptron_noise(dlf_run *run, double from, double to)
{
    story s;
    dlf_status status;
    DLF_TRY_DONE(story_new(&s, run));
    DLF_TRY_DONE(prepare(&s, run));
    DLF_TRY_DONE(train(&s, run, from, to));
    DLF_TRY_DONE(table(&s, run));
    DLF_TRY_DONE(checks(&s, run));
    DLF_TRY_DONE(figures(run));
done:
    story_free(&s);
    return status;
}
