/* SPDX-License-Identifier: MIT
 * transfer_law.c -- Q21: fine-tuning of linear models, exactly: the difference to the source is
 * what is learned, so its length stands where that of the target stood. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dlf/rng.h"
#include "figures.h"
#include "least_squares.h"
#include "seed_check.h"
#include "transfer.h"

static const double cosines[] = {-0.5, 0.0, 0.25, 0.5, 0.75, 0.9, 1.0};
enum {
    COSINES = sizeof cosines / sizeof cosines[0],
    SCRATCH = COSINES,
    ARMS,
    HALF = 3,
    NEAR = 5,
    FAR = 1
};
static const double sigma = 0.3, share = 0.3; /* noise; rows per weight */

/* |w_s - w_t| of unit vectors */
static double distance(double cosine)
{
    return sqrt(2.0 - 2.0 * cosine);
}

static double theory(int arm, int n, int d)
{
    return dlf_least_squares_risk(n, d, sigma, arm == SCRATCH ? 1.0 : distance(cosines[arm]));
}

/* A target e1 and sources at all cosines to it; risk (ARMS) of one draw of n rows. Without loss of
 * generality the source lies in the plane of e1 and e2: the rows have no direction of their own. */
static dlf_status draw(const dlf_run *run, int n, int d, uint32_t member, double *room,
                       double *risk)
{
    double *x = room, *y = x + (long)n * d, *left = y + n, *w = left + n;
    const uint64_t seed = dlf_run_seed(run);
    for (long i = 0; i < (long)n * d; i++)
        x[i] = dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_INPUT, 70), member, (uint64_t)i);
    for (int i = 0; i < n; i++)
        y[i] = x[(long)i * d] +
               sigma * dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_TEST, 70), member, (uint64_t)i);
    for (int arm = 0; arm < ARMS; arm++) {
        const double c = arm == SCRATCH ? 0.0 : cosines[arm];
        const double source[2] = {arm == SCRATCH ? 0.0 : c,
                                  arm == SCRATCH ? 0.0 : sqrt(1.0 - c * c)};
        for (int i = 0; i < n; i++)
            left[i] = y[i] - source[0] * x[(long)i * d] - source[1] * x[(long)i * d + 1];
        DLF_TRY(dlf_least_squares(w, x, left, n, d,
                                  0.0)); /* where gradient descent from the source ends */
        risk[arm] = 0.0;
        for (int j = 0; j < d; j++)
            risk[arm] += pow(w[j] + (j < 2 ? source[j] : 0.0) - (j == 0), 2.0);
    }
    return DLF_OK;
}

static dlf_status checks(dlf_run *run, const double *risk, int n, int d)
{
    static const int checked[] = {FAR, HALF, NEAR, SCRATCH};
    static const char *const ids[] = {"law_far", "law_half", "law_near", "law_scratch"};
    const int seeds = dlf_run_seeds(run);
    for (int i = 0; i < 4; i++) {
        const int arm = checked[i];
        const dlf_estimate e = dlf_estimate_of(risk + arm * seeds, seeds, 1);
        char zh[160], en[160];
        if (arm == SCRATCH) {
            snprintf(zh, sizeof zh, "对照，从零开始：%d 行、%d 个权重的风险", n, d);
            snprintf(en, sizeof en, "control, from scratch: risk of %d rows and %d weights", n, d);
        } else {
            snprintf(zh, sizeof zh, "从余弦 %g 的源权重微调：风险", cosines[arm]);
            snprintf(en, sizeof en, "fine-tuned from a source of cosine %g: risk", cosines[arm]);
        }
        dlf_check c = dlf_check_of(ids[i], (dlf_text){zh, en}, e);
        c.expected = theory(arm, n, d);
        c.tolerance = fmax(4.0 * e.sd / sqrt(seeds), 0.01 * c.expected);
        c.source =
            "closed form: (1 - n/d) |w_s - w_t|^2 + sigma^2 n/(d-n-1); 4 standard errors or 1 %";
        DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    }
    return DLF_OK;
}

/* The sentence "transfer always helps", and where it starts to. */
static dlf_status sentences(dlf_run *run, const double *risk)
{
    const int seeds = dlf_run_seeds(run);
    double *value = malloc((size_t)seeds * sizeof *value);
    if (!value) return dlf_fail(DLF_ERR_OOM, "transfer: out of memory");
    dlf_status status = DLF_OK;
    for (int k = 0; k < 2; k++) {
        const int arm = k ? NEAR : FAR;
        for (int s = 0; s < seeds; s++)
            value[s] = risk[arm * seeds + s] / risk[SCRATCH * seeds + s];
        dlf_check c =
            dlf_check_of(k ? "helps_near" : "helps_always",
                         k ? (dlf_text){"源任务相近（余弦 0.9）：微调优于从零开始（风险之比）",
                                        "near source (cosine 0.9): fine-tuning is better than "
                                        "scratch (ratio of risks)"}
                           : (dlf_text){"源任务无关（余弦 0）：微调也不比从零开始差（风险之比）",
                                        "unrelated source (cosine 0): fine-tuning is no worse than "
                                        "scratch (ratio of risks)"},
                         dlf_estimate_of(value, seeds, 1));
        c.expected = 1.0;
        c.relation = DLF_AT_MOST;
        c.source = "closed form: below 1 where |w_s - w_t| < |w_t|";
        DLF_TRY_DONE(dlf_result_check(dlf_run_result(run), c));
    }
done:
    free(value);
    return status;
}

static dlf_status table_and_figure(dlf_run *run, const double *risk, int n, int d)
{
    const int seeds = dlf_run_seeds(run);
    const dlf_estimate scratch = dlf_estimate_of(risk + SCRATCH * seeds, seeds, 1);
    dlf_table *t;
    DLF_TRY(
        dlf_result_table(dlf_run_result(run), "law",
                         (dlf_text){"微调的风险与源任务的余弦", "risk of fine-tuning by cosine"},
                         (const dlf_column[]){{"cosine", "1"},
                                              {"risk", "1"},
                                              {"lo", "1"},
                                              {"hi", "1"},
                                              {"theory", "1"},
                                              {"scratch", "1"},
                                              {"scratch_theory", "1"},
                                              {NULL, NULL}},
                         &t));
    for (int arm = 0; arm < SCRATCH; arm++) {
        const dlf_estimate e = dlf_estimate_of(risk + arm * seeds, seeds, 1);
        DLF_TRY(dlf_table_row(t, DLF_NUM(cosines[arm]), DLF_NUM(e.mean), DLF_NUM(e.lo),
                              DLF_NUM(e.hi), DLF_NUM(theory(arm, n, d)), DLF_NUM(scratch.mean),
                              DLF_NUM(theory(SCRATCH, n, d))));
    }
    dlf_figure f = {
        .id = "law",
        .kind = DLF_LINES,
        .title = {"余弦小于 1/2 的源任务，迁移有害", "Below a cosine of 1/2 transfer does harm"},
        .subtitle =
            {"线性任务，权重长度 1，行数是权重数的 0.3 倍；虚线为闭式解，没有拟合参数",
             "linear tasks, weights of length 1, 0.3 rows per weight; closed form dashed, nothing "
             "fitted"},
        .x = {{"源权重与目标权重的余弦", "cosine of the source's and the target's weights"}, false},
        .y = {{"目标任务的风险", "risk on the target"}, false}};
    f.series[0] = (dlf_series){.role = DLF_MEASURED,
                               .table = "law",
                               .x = "cosine",
                               .y = "risk",
                               .lo = "lo",
                               .hi = "hi",
                               .label = {"微调", "fine-tuned"},
                               .colour = 0,
                               .points = true};
    dlf_theory_of(&f, 0, 1, "theory");
    f.series[2] = (dlf_series){.role = DLF_CONTROL,
                               .table = "law",
                               .x = "cosine",
                               .y = "scratch",
                               .label = {"对照：从零开始", "control: scratch"},
                               .colour = 1};
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_transfer_law(dlf_run *run, double from, double to)
{
    const int seeds = dlf_run_seeds(run), copies = dlf_run_int(run, "copies");
    const int d = dlf_run_int(run, "features"), n = (int)lround(share * d);
    double *risk = calloc((size_t)(ARMS * seeds), sizeof *risk), one[ARMS];
    double *room = malloc(((size_t)n * (size_t)(d + 2) + (size_t)d) * sizeof *room);
    dlf_status status = DLF_OK;
    if (!risk || !room) {
        status = dlf_fail(DLF_ERR_OOM, "transfer: out of memory");
        goto done;
    }
    for (int s = 0; s < seeds; s++) {
        DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * s / seeds, "linear tasks"));
        for (int c = 0; c < copies; c++) {
            DLF_TRY_DONE(draw(run, n, d, (uint32_t)(s * copies + c), room, one));
            for (int arm = 0; arm < ARMS; arm++) risk[arm * seeds + s] += one[arm] / copies;
        }
    }
    DLF_TRY_DONE(checks(run, risk, n, d));
    DLF_TRY_DONE(sentences(run, risk));
    status = table_and_figure(run, risk, n, d);
done:
    free(room);
    free(risk);
    return status;
}
