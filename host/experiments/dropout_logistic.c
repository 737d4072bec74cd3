/* SPDX-License-Identifier: MIT
 * dropout_logistic.c -- Q31 on logistic regression: the penalty that dropout of the inputs adds,
 * exactly and as the quadratic form of Wager, Wang & Liang 2013, by the scale of the weights. */
#include <math.h>
#include <stdlib.h>

#include "dlf/rng.h"
#include "dropout.h"
#include "seed_check.h"

enum { ROWS = 96, INPUTS = 8, SCALES = 8, ONE = 4, LARGE = 6 };
static const double scales[SCALES] = {0.1, 0.2, 0.3, 0.5, 1.0, 1.5, 2.5, 5.0};
#define KEEP 0.5

/* Ratios of penalties to the quadratic form, summed over rows or over the quarter of the rows with
 * the largest logits, of which the model is sure. */
typedef enum kind { ALL, ALL_NORMAL, FOURTH, SURE, SURE_NORMAL, GAUSSIAN, KINDS } kind;
static const char *const kind_ids[KINDS] = {"all",  "all_normal",  "fourth_order",
                                            "sure", "sure_normal", "least_squares"};

typedef struct penalties {
    double *ratio;     /* (KINDS, SCALES, seeds) */
    double *quadratic; /* (seeds), of scale 1: what the measured penalty is divided by */
    int seeds;
} penalties;

static double *ratio_of(const penalties *r, kind k, int scale)
{
    return r->ratio + (k * SCALES + scale) * r->seeds;
}

/* t[j] = x_j w_j of a row; the logits have the standard deviation `scale`. */
static void row_terms(double *t, uint64_t seed, int member, int row, double scale)
{
    double square = 0.0, w[INPUTS];
    for (int j = 0; j < INPUTS; j++) {
        w[j] = dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_WEIGHTS, 140), (uint32_t)member,
                              (uint64_t)j);
        square += w[j] * w[j];
    }
    for (int j = 0; j < INPUTS; j++)
        t[j] = scale * w[j] / sqrt(square) *
               (double)dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_INPUT, 140), (uint32_t)member,
                                      (uint64_t)(row * INPUTS + j));
}

typedef struct row_penalty {
    double logit, exact, normal, fourth, quadratic, gaussian, square;
} row_penalty;

static int surer_first(const void *a, const void *b)
{
    const double x = ((const row_penalty *)a)->logit, y = ((const row_penalty *)b)->logit;
    return (x < y) - (x > y);
}

static void enumerate_rows(row_penalty *row, uint64_t seed, int member, double scale)
{
    double t[INPUTS];
    for (int i = 0; i < ROWS; i++) {
        row_terms(t, seed, member, i, scale);
        row[i] = (row_penalty){.exact = dlf_dropout_penalty(t, INPUTS, KEEP, false),
                               .normal = dlf_dropout_penalty_normal(t, INPUTS, KEEP),
                               .fourth = dlf_dropout_penalty_fourth(t, INPUTS, KEEP),
                               .quadratic = dlf_dropout_penalty_quadratic(t, INPUTS, KEEP, false),
                               .gaussian = dlf_dropout_penalty(t, INPUTS, KEEP, true),
                               .square = dlf_dropout_penalty_quadratic(t, INPUTS, KEEP, true)};
        for (int j = 0; j < INPUTS; j++) row[i].logit += t[j];
        row[i].logit = fabs(row[i].logit);
    }
    qsort(row, ROWS, sizeof *row, surer_first);
}

static void enumerate(const dlf_run *run, const penalties *r)
{
    for (int k = 0; k < SCALES; k++)
        for (int s = 0; s < r->seeds; s++) {
            row_penalty row[ROWS], sum = {0}, sure = {0};
            enumerate_rows(row, dlf_run_seed(run), s, scales[k]);
            for (int i = 0; i < ROWS; i++) {
                row_penalty *const to[] = {&sum, &sure};
                for (int j = 0; j < (i < ROWS / 4 ? 2 : 1); j++) {
                    to[j]->exact += row[i].exact;
                    to[j]->normal += row[i].normal;
                    to[j]->fourth += row[i].fourth;
                    to[j]->quadratic += row[i].quadratic;
                    to[j]->gaussian += row[i].gaussian;
                    to[j]->square += row[i].square;
                }
            }
            ratio_of(r, ALL, k)[s] = sum.exact / sum.quadratic;
            ratio_of(r, ALL_NORMAL, k)[s] = sum.normal / sum.quadratic;
            ratio_of(r, FOURTH, k)[s] = sum.fourth / sum.quadratic;
            ratio_of(r, SURE, k)[s] = sure.exact / sure.quadratic;
            ratio_of(r, SURE_NORMAL, k)[s] = sure.normal / sure.quadratic;
            ratio_of(r, GAUSSIAN, k)[s] = sum.gaussian / sum.square;
            if (k == ONE) r->quadratic[s] = sum.quadratic;
        }
}

/* The same penalty at scale 1 by the op, from `count` random masks: ratio[s] to the quadratic one,
 * error[s] its standard error. */
static dlf_status sample(dlf_run *run, int count, double *ratio, double *error,
                         const double *quadratic)
{
    const int seeds = dlf_run_seeds(run);
    dlf_device *dev = dlf_run_device(run);
    const int64_t each = (int64_t)count * ROWS, all = seeds * each;
    dlf_status status;
    dlf_tensor x = {0}, ones = {0}, z = {0}, target = {0}, loss = {0}, rate = {0};
    float *tile = malloc((size_t)(all * INPUTS) * sizeof *tile);
    double *host = calloc((size_t)(all + ROWS), sizeof *host), *plain = host + all;
    if (!tile || !host) {
        status = dlf_fail(DLF_ERR_OOM, "dropout: out of memory");
        goto done;
    }
    for (int s = 0; s < seeds; s++) {
        double t[INPUTS];
        for (int64_t i = 0; i < each; i++) {
            if (i < ROWS) {
                row_terms(t, dlf_run_seed(run), s, (int)i, 1.0);
                for (int j = 0; j < INPUTS; j++) tile[(s * each + i) * INPUTS + j] = (float)t[j];
            } else {
                for (int j = 0; j < INPUTS; j++)
                    tile[(s * each + i) * INPUTS + j] = tile[(s * each + i % ROWS) * INPUTS + j];
            }
        }
        host[s] = 1.0 - KEEP;
    }
    DLF_TRY_DONE(dlf_tensor_new(&rate, dev, dev->real, seeds));
    DLF_TRY_DONE(dlf_tensor_upload_f64(&rate, host));
    DLF_TRY_DONE(dlf_tensor_new(&x, dev, dev->real, seeds, each, INPUTS));
    DLF_TRY_DONE(dlf_tensor_upload(&x, tile));
    for (int j = 0; j < INPUTS; j++) host[j] = 1.0;
    DLF_TRY_DONE(dlf_tensor_new(&ones, dev, dev->real, 1, INPUTS, 1));
    DLF_TRY_DONE(dlf_tensor_upload_f64(&ones, host));
    DLF_TRY_DONE(dlf_tensor_new(&z, dev, dev->real, seeds, each, 1));
    DLF_TRY_DONE(dlf_tensor_new(&target, dev, dev->real, 1, each, 1));
    DLF_TRY_DONE(dlf_tensor_zero(&target)); /* label 0: the loss is A(z); label 1 subtracts z */
    DLF_TRY_DONE(dlf_tensor_new(&loss, dev, dev->real, seeds, each));
    const dlf_dropout how = {.rng = {dlf_run_seed(run), dlf_stream(DLF_PURPOSE_DROPOUT, 140)},
                             .run = 1,
                             .rescale = true};
    DLF_TRY_DONE(dlf_dropout_apply(&x, &x, NULL, &rate, NULL, how));
    DLF_TRY_DONE(dlf_gemm(&z, &x, &ones, (dlf_gemm_args){.alpha = 1.0}));
    DLF_TRY_DONE(dlf_loss_forward(&loss, &z, &target, (dlf_loss){.kind = DLF_LOSS_BCE}));
    DLF_TRY_DONE(dlf_tensor_download_f64(host, &loss));
    for (int s = 0; s < seeds; s++) {
        double base = 0.0, sum = 0.0, square = 0.0;
        for (int i = 0; i < ROWS; i++) {
            double t[INPUTS], logit = 0.0;
            row_terms(t, dlf_run_seed(run), s, i, 1.0);
            for (int j = 0; j < INPUTS; j++) logit += t[j];
            plain[i] = fmax(logit, 0.0) + log1p(exp(-fabs(logit)));
            base += plain[i];
        }
        for (int m = 0; m < count; m++) {
            double total = 0.0;
            for (int i = 0; i < ROWS; i++) total += host[s * each + m * ROWS + i];
            sum += total;
            square += total * total;
        }
        const double mean = sum / count;
        ratio[s] = (mean - base) / quadratic[s];
        error[s] = sqrt((square / count - mean * mean) / count) / quadratic[s];
    }
done:
    dlf_tensor_free(&x);
    dlf_tensor_free(&ones);
    dlf_tensor_free(&z);
    dlf_tensor_free(&target);
    dlf_tensor_free(&loss);
    dlf_tensor_free(&rate);
    free(tile);
    free(host);
    return status;
}

/* ---- report ---- */

static dlf_status table(dlf_run *run, const penalties *r)
{
    dlf_table *t;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "logistic",
        (dlf_text){"dropout 惩罚与其二次近似之比", "dropout penalty over its quadratic form"},
        (const dlf_column[]){{"curve", NULL},
                             {"scale", "1"},
                             {"ratio", "1"},
                             {"lo", "1"},
                             {"hi", "1"},
                             {NULL, NULL}},
        &t));
    for (int i = 0; i < KINDS; i++)
        for (int k = 0; k < SCALES; k++) {
            const dlf_estimate e = dlf_estimate_of(ratio_of(r, (kind)i, k), r->seeds, 1);
            if (i == FOURTH && k > ONE) continue; /* the expansion has no meaning there */
            DLF_TRY(dlf_table_row(t, DLF_TXT(kind_ids[i]), DLF_NUM(scales[k]), DLF_NUM(e.mean),
                                  DLF_NUM(e.lo), DLF_NUM(e.hi)));
        }
    return DLF_OK;
}

static dlf_status small_check(dlf_run *run, const penalties *r)
{
    dlf_check c = dlf_check_of("logistic_small",
                               (dlf_text){"权重小时，logistic 回归的 dropout 惩罚等于 Wager 的二次"
                                          "近似",
                                          "for small weights the dropout penalty of logistic "
                                          "regression is Wager's quadratic form"},
                               dlf_estimate_of(ratio_of(r, ALL, 0), r->seeds, 1));
    c.expected = dlf_estimate_of(ratio_of(r, FOURTH, 0), r->seeds, 1).mean;
    /* terms of sixth order: about the square of those of fourth */
    c.tolerance = 10.0 * (c.expected - 1.0) * (c.expected - 1.0);
    c.source =
        "Wager, Wang & Liang 2013, the quadratic penalty, and the cumulants of fourth order; "
        "scale 0.1";
    return dlf_result_check(dlf_run_result(run), c);
}

static dlf_status checks(dlf_run *run, const penalties *r, const double *ratio, const double *error)
{
    dlf_result *out = dlf_run_result(run);
    double worst = 0.0, square = 0.0;
    DLF_TRY(small_check(run, r));
    dlf_check c = dlf_check_of("logistic_one",
                               (dlf_text){"logit 的标准差为 1 时，二次近似仍准到 10%",
                                          "with logits of standard deviation 1 the quadratic form "
                                          "is within 10 %"},
                               dlf_estimate_of(ratio_of(r, ALL, ONE), r->seeds, 1));
    c.expected = 1.0;
    c.tolerance = 0.1;
    c.source = "Wager, Wang & Liang 2013; what is missing is of fourth order";
    DLF_TRY(dlf_result_check(out, c));
    const dlf_estimate sure = dlf_estimate_of(ratio_of(r, SURE, LARGE), r->seeds, 1);
    c = dlf_check_of(
        "logistic_sure",
        (dlf_text){"权重大时，模型有把握的那些样本，二次近似漏掉大半惩罚",
                   "for large weights the quadratic form misses most of the penalty on "
                   "the rows the model is sure of"},
        sure);
    c.expected = dlf_estimate_of(ratio_of(r, SURE_NORMAL, LARGE), r->seeds, 1).mean;
    c.relative = true;
    c.tolerance = 0.15; /* eight masked terms are not quite normal */
    c.source = "E A(z + σξ) − A(z), ξ normal, by quadrature; the quarter of the rows with the "
               "largest logits, scale 2.5";
    DLF_TRY(dlf_result_check(out, c));
    for (int i = 0; i < SCALES * r->seeds; i++)
        worst = fmax(worst, fabs(ratio_of(r, GAUSSIAN, 0)[i] - 1.0));
    c = dlf_check_exact("logistic_control",
                        (dlf_text){"对照：最小二乘的 dropout 惩罚恰好是二次的",
                                   "control: for least squares the penalty is quadratic exactly"},
                        worst);
    c.tolerance = 1e-9; /* a difference of two sums of 2^8 terms */
    c.source = "identity; all scales and seeds";
    c.self_check = true;
    DLF_TRY(dlf_result_check(out, c));
    c = dlf_check_of("logistic_masks",
                     (dlf_text){"随机掩码测得的惩罚等于枚举全部掩码的",
                                "the penalty from random masks is that of all masks enumerated"},
                     dlf_estimate_of(ratio, r->seeds, 1));
    c.expected = dlf_estimate_of(ratio_of(r, ALL, ONE), r->seeds, 1).mean;
    for (int s = 0; s < r->seeds; s++) square += error[s] * error[s];
    c.tolerance = 4.0 * sqrt(square) / r->seeds;
    c.source = "enumeration of all masks; four standard errors; scale 1";
    return dlf_result_check(out, c);
}

static dlf_status figure(dlf_run *run)
{
    static const struct {
        kind kind;
        dlf_role role;
        int colour;
        dlf_text label;
    } curves[] = {
        {ALL, DLF_MEASURED, 0, {"全部样本", "all rows"}},
        {ALL_NORMAL, DLF_THEORY, 0, {"正态近似", "normal approximation"}},
        {SURE, DLF_MEASURED, 1, {"最有把握的四分之一", "the surest quarter"}},
        {SURE_NORMAL, DLF_THEORY, 1, {"正态近似", "normal approximation"}},
        {FOURTH, DLF_REFERENCE, 2, {"展开到四阶", "to fourth order"}},
        {GAUSSIAN, DLF_CONTROL, 3, {"对照：最小二乘", "control: least squares"}},
    };
    dlf_figure f = {
        .id = "logistic",
        .kind = DLF_LINES,
        .title = {"logistic 回归：权重小时 dropout 就是二次惩罚；有把握的样本上不再是",
                  "Logistic regression: dropout is a quadratic penalty, except where the model is "
                  "sure"},
        .subtitle = {"八个输入，枚举全部掩码，keep = 0.5；灰色对照：最小二乘，恒为 1",
                     "eight inputs, all masks enumerated, keep = 0.5; grey control: least squares, "
                     "always 1"},
        .x = {{"logit 的标准差", "standard deviation of the logits"}, true},
        .y = {{"惩罚 / 二次近似", "penalty / quadratic form"}, true}};
    for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++)
        f.series[i] = (dlf_series){.role = curves[i].role,
                                   .table = "logistic",
                                   .where = "curve",
                                   .equals = kind_ids[curves[i].kind],
                                   .x = "scale",
                                   .y = "ratio",
                                   .lo = curves[i].role == DLF_MEASURED ? "lo" : NULL,
                                   .hi = curves[i].role == DLF_MEASURED ? "hi" : NULL,
                                   .label = curves[i].label,
                                   .colour = curves[i].colour};
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_dropout_logistic(dlf_run *run, double from, double to)
{
    const int seeds = dlf_run_seeds(run), n = KINDS * SCALES * seeds;
    dlf_status status;
    double *memory = calloc((size_t)(n + 3 * seeds), sizeof *memory);
    if (!memory) return dlf_fail(DLF_ERR_OOM, "dropout: out of memory");
    const penalties r = {memory, memory + n, seeds};
    double *ratio = r.quadratic + seeds, *error = ratio + seeds;
    DLF_TRY_DONE(dlf_run_stage(run, from, "logistic regression: all masks"));
    enumerate(run, &r);
    DLF_TRY_DONE(dlf_run_stage(run, 0.5 * (from + to), "logistic regression: random masks"));
    DLF_TRY_DONE(sample(run, dlf_run_int(run, "masks"), ratio, error, r.quadratic));
    DLF_TRY_DONE(table(run, &r));
    DLF_TRY_DONE(checks(run, &r, ratio, error));
    DLF_TRY_DONE(figure(run));
done:
    free(memory);
    return status;
}
