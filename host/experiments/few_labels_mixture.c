/* SPDX-License-Identifier: MIT
 * few_labels_mixture.c -- Q46: two Gaussian classes: labelled rows against unlabelled ones and ten
 * labels. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dlf/backend.h"
#include "dlf/ops.h"
#include "dlf/rng.h"
#include "dlf/theory.h"
#include "few_labels.h"
#include "figures.h"
#include "seed_check.h"

double dlf_supervised_error(double s, double d, double n)
{
    return dlf_normal_cdf(-s / sqrt(s + d / n));
}

double dlf_pca_alignment(double s, double d, double n)
{
    const double c = d / n;
    return c < s * s ? (1.0 - c / (s * s)) / (1.0 + c / s) : 0.0;
}

double dlf_unsupervised_error(double s, double d, double n)
{
    return dlf_normal_cdf(-sqrt(s * dlf_pca_alignment(s, d, n)));
}

/* s / sqrt(s + d/n') = sqrt(s cos^2)  =>  d/n' = s (1/cos^2 - 1) */
double dlf_worth_labels(double s, double d, double n)
{
    const double cos2 = dlf_pca_alignment(s, d, n);
    return cos2 > 0.0 ? d / (s * (1.0 / cos2 - 1.0)) : 0.0;
}

static const double signal = 2.0; /* |mu|^2 */
enum { SIZES = 6, SIGNS = 10, POWER = 80, TOO_FEW = 0, MANY = 4 };

/* Rows of each size; the first is half the threshold d/s^2. */
static int size_of(const dlf_run *run, int k)
{
    const double d = dlf_run_int(run, "features"), most = dlf_run_int(run, "largest_sample");
    static const double shares[SIZES] = {0.0, 1.0 / 30, 0.1, 1.0 / 6, 1.0 / 3, 1.0};
    return k == TOO_FEW ? (int)fmax(2.0, 0.5 * d / (signal * signal))
                        : (int)fmax(4.0, shares[k] * most);
}

/* Members: data sets. x (P,n,d) holds y mu + noise with mu = sqrt(s) e_1; w (P,d,1). */
typedef struct sample {
    int P, n, d;
    dlf_tensor x, y, w, z; /* (P,n,d), (P,n,1), (P,d,1), (P,n,1) */
    float *host, *label;
    double *direction; /* (P,d) */
} sample;

static void sample_free(sample *t)
{
    dlf_tensor *all[] = {&t->x, &t->y, &t->w, &t->z};
    for (int i = 0; i < 4; i++) dlf_tensor_free(all[i]);
    free(t->direction);
    free(t->label);
    free(t->host);
}

static dlf_status sample_new(sample *t, dlf_run *run, int k)
{
    dlf_device *dev = dlf_run_device(run);
    *t = (sample){.P = dlf_run_seeds(run) * dlf_run_int(run, "copies"),
                  .n = size_of(run, k),
                  .d = dlf_run_int(run, "features")};
    const uint32_t layer = 200 + (uint32_t)k;
    DLF_TRY(dlf_tensor_new(&t->x, dev, dev->real, t->P, t->n, t->d));
    DLF_TRY(dlf_tensor_new(&t->y, dev, dev->real, t->P, t->n, 1));
    DLF_TRY(dlf_tensor_new(&t->z, dev, dev->real, t->P, t->n, 1));
    DLF_TRY(dlf_tensor_new(&t->w, dev, dev->real, t->P, t->d, 1));
    t->host = malloc((size_t)dlf_tensor_count(&t->x) * sizeof *t->host);
    t->label = malloc((size_t)(t->P * t->n) * sizeof *t->label);
    t->direction = malloc((size_t)(t->P * t->d) * sizeof *t->direction);
    if (!t->host || !t->label || !t->direction)
        return dlf_fail(DLF_ERR_OOM, "few-labels: out of memory");
    DLF_TRY(dlf_random_normal(&t->x, NULL, NULL,
                              (dlf_rng){dlf_run_seed(run), dlf_stream(DLF_PURPOSE_INPUT, layer)}));
    DLF_TRY(dlf_tensor_download(t->host, &t->x));
    for (int p = 0; p < t->P; p++)
        for (int i = 0; i < t->n; i++) {
            const long at = (long)p * t->n + i;
            t->label[at] = dlf_rng_bits(dlf_run_seed(run), dlf_stream(DLF_PURPOSE_TEST, layer),
                                        (uint32_t)p, (uint64_t)i) &
                                   1
                               ? 1.0f
                               : -1.0f;
            t->host[at * t->d] += t->label[at] * (float)sqrt(signal);
        }
    DLF_TRY(dlf_tensor_upload(&t->x, t->host));
    return dlf_tensor_upload(&t->y, t->label);
}

/* Error of sign(w . x) for w = direction[p]: exactly, by its angle to e_1. */
static double error_of(const sample *t, int p)
{
    const double *w = t->direction + (long)p * t->d;
    double square = 0.0;
    for (int j = 0; j < t->d; j++) square += w[j] * w[j];
    return dlf_normal_cdf(-sqrt(signal) * w[0] / sqrt(square));
}

/* The mean of y x. */
static dlf_status supervised(sample *t, double *error)
{
    DLF_TRY(dlf_gemm(&t->w, &t->x, &t->y, (dlf_gemm_args){.trans_a = true, .alpha = 1.0}));
    DLF_TRY(dlf_tensor_download_f64(t->direction, &t->w));
    for (int p = 0; p < t->P; p++) error[p] = error_of(t, p);
    return DLF_OK;
}

/* The first principal direction by power iteration, its sign from the first SIGNS labels. */
static dlf_status unsupervised(sample *t, dlf_run *run, double *error, double *cos2)
{
    const dlf_gemm_args plain = {.alpha = 1.0}, transposed = {.trans_a = true, .alpha = 1.0};
    DLF_TRY(dlf_random_normal(&t->w, NULL, NULL,
                              (dlf_rng){dlf_run_seed(run), dlf_stream(DLF_PURPOSE_START, 70)}));
    for (int round = 0; round < POWER; round++) {
        DLF_TRY(dlf_gemm(&t->z, &t->x, &t->w, plain));
        DLF_TRY(dlf_gemm(&t->w, &t->x, &t->z, transposed));
        DLF_TRY(dlf_tensor_download_f64(t->direction, &t->w));
        for (int p = 0; p < t->P; p++) {
            double *w = t->direction + (long)p * t->d, square = 0.0;
            for (int j = 0; j < t->d; j++) square += w[j] * w[j];
            for (int j = 0; j < t->d; j++) w[j] /= sqrt(square);
        }
        DLF_TRY(dlf_tensor_upload_f64(&t->w, t->direction));
    }
    for (int p = 0; p < t->P; p++) {
        double *w = t->direction + (long)p * t->d, vote = 0.0;
        for (int i = 0; i < SIGNS && i < t->n; i++)
            for (int j = 0; j < t->d; j++)
                vote +=
                    t->label[(long)p * t->n + i] * t->host[((long)p * t->n + i) * t->d + j] * w[j];
        if (vote < 0.0)
            for (int j = 0; j < t->d; j++) w[j] = -w[j];
        cos2[p] = w[0] * w[0];
        error[p] = error_of(t, p);
    }
    return DLF_OK;
}

/* ---- report ---- */

/* Of one size: means over the data sets of a seed. */
typedef struct outcome {
    double *supervised, *unsupervised, *cos2; /* (SIZES, seeds) */
} outcome;

static dlf_status measure(outcome *o, dlf_run *run, double from, double to)
{
    const int seeds = dlf_run_seeds(run), copies = dlf_run_int(run, "copies"), P = seeds * copies;
    double *value = malloc(3 * (size_t)P * sizeof *value);
    if (!value) return dlf_fail(DLF_ERR_OOM, "few-labels: out of memory");
    dlf_status status = DLF_OK;
    for (int k = 0; k < SIZES && status == DLF_OK; k++) {
        sample t;
        status = dlf_run_stage(run, from + (to - from) * k / SIZES, "two classes, %d rows",
                               size_of(run, k));
        if (status != DLF_OK) break;
        status = sample_new(&t, run, k);
        if (status == DLF_OK) status = supervised(&t, value);
        if (status == DLF_OK) status = unsupervised(&t, run, value + P, value + 2 * P);
        sample_free(&t);
        double *to_[] = {o->supervised, o->unsupervised, o->cos2};
        for (int i = 0; i < 3 && status == DLF_OK; i++)
            for (int s = 0; s < seeds; s++) {
                to_[i][k * seeds + s] = 0.0;
                for (int c = 0; c < copies; c++)
                    to_[i][k * seeds + s] += value[i * P + s * copies + c] / copies;
            }
    }
    free(value);
    return status;
}

static dlf_status checks(const outcome *o, dlf_run *run)
{
    const int seeds = dlf_run_seeds(run), n = size_of(run, MANY);
    const double d = dlf_run_int(run, "features");
    char zh[200], en[200];
    snprintf(zh, sizeof zh, "有标签：%d 行的错误率", n);
    snprintf(en, sizeof en, "labelled: error of %d rows", n);
    DLF_TRY(dlf_add_near(run, "labelled", (dlf_text){zh, en},
                         dlf_estimate_of(o->supervised + MANY * seeds, seeds, 1),
                         dlf_supervised_error(signal, d, n), 0.003,
                         "closed form: Phi(-s/sqrt(s + d/n)); 0.003 or 4 standard errors"));
    snprintf(zh, sizeof zh, "无标签：%d 行加 10 个标签的错误率", n);
    snprintf(en, sizeof en, "unlabelled: error of %d rows and 10 labels", n);
    DLF_TRY(dlf_add_near(
        run, "unlabelled", (dlf_text){zh, en},
        dlf_estimate_of(o->unsupervised + MANY * seeds, seeds, 1),
        dlf_unsupervised_error(signal, d, n), 0.003,
        "Baik, Ben Arous & Peche 2005 and the error of a direction; 0.003 or 4 standard errors"));
    snprintf(zh, sizeof zh, "无标签：第一主方向与类均值方向的 cos²（%d 行）", n);
    snprintf(en, sizeof en,
             "unlabelled: cos² of the first principal direction and the classes' (%d rows)", n);
    DLF_TRY(dlf_add_near(
        run, "alignment", (dlf_text){zh, en}, dlf_estimate_of(o->cos2 + MANY * seeds, seeds, 1),
        dlf_pca_alignment(signal, d, n), 0.02,
        "Baik, Ben Arous & Peche 2005: (1 - c/s^2)/(1 + c/s); 0.02 or 4 standard errors"));
    const dlf_estimate few = dlf_estimate_of(o->cos2 + TOO_FEW * seeds, seeds, 1);
    dlf_check c = dlf_check_of(
        "too_few",
        (dlf_text){"对照，无标签数据少于阈值 d/s² 的一半：主方向与类别无关（cos²）",
                   "control, half the threshold d/s² of unlabelled rows: the principal "
                   "direction has nothing to do with the classes (cos²)"},
        few);
    c.expected = 0.25;
    c.relation = DLF_AT_MOST;
    c.source = "0 for d large (Baik, Ben Arous & Peche 2005); finite size rounds the transition";
    DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    DLF_TRY(dlf_result_fact(dlf_run_result(run), "worth", dlf_worth_labels(signal, d, n), "rows"));
    DLF_TRY(dlf_result_fact(dlf_run_result(run), "unlabelled_rows", n, "rows"));
    DLF_TRY(dlf_result_fact(dlf_run_result(run), "threshold", d / (signal * signal), "rows"));
    DLF_TRY(dlf_result_fact(dlf_run_result(run), "ten_labels",
                            dlf_supervised_error(signal, d, SIGNS), "1"));
    return dlf_result_fact(dlf_run_result(run), "bayes", dlf_normal_cdf(-sqrt(signal)), "1");
}

static dlf_status table_and_figure(const outcome *o, dlf_run *run)
{
    const int seeds = dlf_run_seeds(run);
    const double d = dlf_run_int(run, "features");
    dlf_table *t;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "mixture",
        (dlf_text){"两个高斯类：错误率与样本数", "two Gaussian classes: error by rows"},
        (const dlf_column[]){{"rows", "1"},
                             {"labelled", "1"},
                             {"labelled_lo", "1"},
                             {"labelled_hi", "1"},
                             {"labelled_theory", "1"},
                             {"unlabelled", "1"},
                             {"unlabelled_lo", "1"},
                             {"unlabelled_hi", "1"},
                             {"unlabelled_theory", "1"},
                             {"cos2", "1"},
                             {"bayes", "1"},
                             {NULL, NULL}},
        &t));
    for (int k = 0; k < SIZES; k++) {
        const int n = size_of(run, k);
        const dlf_estimate l = dlf_estimate_of(o->supervised + k * seeds, seeds, 1),
                           u = dlf_estimate_of(o->unsupervised + k * seeds, seeds, 1),
                           c = dlf_estimate_of(o->cos2 + k * seeds, seeds, 1);
        DLF_TRY(dlf_table_row(t, DLF_NUM(n), DLF_NUM(l.mean), DLF_NUM(l.lo), DLF_NUM(l.hi),
                              DLF_NUM(dlf_supervised_error(signal, d, n)), DLF_NUM(u.mean),
                              DLF_NUM(u.lo), DLF_NUM(u.hi),
                              DLF_NUM(dlf_unsupervised_error(signal, d, n)), DLF_NUM(c.mean),
                              DLF_NUM(dlf_normal_cdf(-sqrt(signal)))));
    }
    dlf_figure f = {
        .id = "mixture",
        .kind = DLF_LINES,
        .title = {"无标签的样本加 10 个标签，几乎抵得上全部有标签",
                  "Unlabelled rows and ten labels are worth nearly as many labels"},
        .subtitle = {"两个高斯类；误差棒为种子间 95 % 区间；虚线为理论，没有拟合参数",
                     "two Gaussian classes; bars: 95 % over seeds; theory dashed, nothing fitted"},
        .x = {{"样本数", "rows"}, true},
        .y = {{"错误率", "error"}, false}};
    static const char *const y[2] = {"labelled", "unlabelled"},
                             *const lo[2] = {"labelled_lo", "unlabelled_lo"},
                             *const hi[2] = {"labelled_hi", "unlabelled_hi"},
                             *const theory[2] = {"labelled_theory", "unlabelled_theory"};
    static const dlf_text names[2] = {{"有标签", "labelled"},
                                      {"无标签 + 10 个标签", "unlabelled + 10 labels"}};
    for (int i = 0; i < 2; i++) {
        f.series[2 * i] = (dlf_series){.role = DLF_MEASURED,
                                       .table = "mixture",
                                       .x = "rows",
                                       .y = y[i],
                                       .lo = lo[i],
                                       .hi = hi[i],
                                       .label = names[i],
                                       .colour = i,
                                       .points = true};
        dlf_theory_of(&f, 2 * i, 2 * i + 1, theory[i]);
    }
    f.series[4] = (dlf_series){.role = DLF_REFERENCE,
                               .table = "mixture",
                               .x = "rows",
                               .y = "bayes",
                               .label = {"贝叶斯错误率", "Bayes error"}};
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_labels_mixture(dlf_run *run, double from, double to)
{
    const int cells = SIZES * dlf_run_seeds(run);
    outcome o = {.supervised = malloc(3 * (size_t)cells * sizeof *o.supervised)};
    if (!o.supervised) return dlf_fail(DLF_ERR_OOM, "few-labels: out of memory");
    o.unsupervised = o.supervised + cells;
    o.cos2 = o.unsupervised + cells;
    dlf_status status;
    DLF_TRY_DONE(measure(&o, run, from, to));
    DLF_TRY_DONE(checks(&o, run));
    status = table_and_figure(&o, run);
done:
    free(o.supervised);
    return status;
}
