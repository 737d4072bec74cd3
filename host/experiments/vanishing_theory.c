/* SPDX-License-Identifier: MIT
 * vanishing_theory.c -- Q7: the phase diagram with its chi_1 = 1 contour, and the exact law of
 * finite width. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/propagate.h"
#include "dlf/rng.h"
#include "dlf/theory.h"
#include "gradient_arms.h"
#include "vanishing.h"

/* ---- phase diagram ----------------------------------------------------------------------------
 */

enum { PHASE_DEPTH = 20, PHASE_BATCH = 4 };
#define W2_FIRST 0.75
#define W2_STEP  0.25
#define B2_STEP  0.05

static dlf_status phase_activation(dlf_run *run, dlf_activation *f)
{
    const char *name = dlf_run_choice(run, "activation");
    return dlf_activation_find(f, strcmp(name, "all") == 0 ? "tanh" : name);
}

/* The contour chi_1 = 1 from the solver, not from the grid. */
static dlf_status edge_table(dlf_run *run, dlf_activation f, int rows)
{
    dlf_table *edge;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "edge", (dlf_text){"χ₁ = 1 的等值线", "the contour χ₁ = 1"},
        (const dlf_column[]){{"sigma_w2", "1"}, {"sigma_b2", "1"}, {NULL, NULL}}, &edge));
    enum { POINTS = 24 };
    const double top = B2_STEP * (rows - 0.5); /* upper rim of the last row of cells */
    for (int i = 0; i <= POINTS; i++) {
        const double b2 = top * i * i / (POINTS * POINTS); /* dense where the curve is flat */
        const double w2 = dlf_meanfield_edge(f, b2);
        if (isfinite(w2) && w2 <= W2_FIRST + W2_STEP * 16)
            DLF_TRY(dlf_table_row(edge, DLF_NUM(w2), DLF_NUM(b2)));
    }
    return DLF_OK;
}

static dlf_status phase_tables(dlf_run *run, dlf_activation f, const dlf_propagation *p,
                               const dlf_random_net *net, int cells)
{
    dlf_table *phase;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "phase",
                             (dlf_text){"相图：每个格子是一个实测网络",
                                        "phase diagram: every cell is a measured network"},
                             (const dlf_column[]){{"sigma_w2", "1"},
                                                  {"sigma_b2", "1"},
                                                  {"chi_theory", "1"},
                                                  {"chi_measured", "1"},
                                                  {"log10_chi", "1"},
                                                  {NULL, NULL}},
                             &phase));
    const double noise = 3.0 * sqrt(5.0 / ((double)dlf_run_int(run, "phase_width") * PHASE_DEPTH));
    int decided = 0, right = 0;
    for (int i = 0; i < cells; i++) {
        const double theory = dlf_meanfield_solve(f, net[i].sigma_w2, net[i].sigma_b2, false).chi_1;
        const double measured = dlf_growth_factor(p, i, 1, -1);
        DLF_TRY(dlf_table_row(phase, DLF_NUM(net[i].sigma_w2), DLF_NUM(net[i].sigma_b2),
                              DLF_NUM(theory), DLF_NUM(measured), DLF_NUM(log10(measured))));
        if (fabs(log(theory)) < noise) continue; /* too close to the edge for one small network */
        decided++;
        right += (measured > 1.0) == (theory > 1.0);
    }
    return dlf_result_check(
        dlf_run_result(run),
        (dlf_check){
            .id = "phase_side",
            .claim = {"相图中 χ₁ = 1 的曲线把梯度消失与梯度爆炸分开",
                      "the curve χ₁ = 1 separates vanishing from exploding gradients in the "
                      "phase diagram"},
            .measured = decided ? (double)right / decided : NAN,
            .lo = NAN,
            .hi = NAN,
            .n = decided,
            .expected = 1.0,
            .tolerance = 0.02,
            .relation = DLF_AT_LEAST,
            .source = "Poole et al. 2016; Schoenholz et al. 2017; cells nearer to the edge "
                      "than three standard errors are left out"});
}

static dlf_status phase_figure(dlf_run *run)
{
    const dlf_figure figure = {
        .id = "phase",
        .kind = DLF_HEATMAP,
        .title =
            {"实测增长因子的正负号恰在理论曲线 χ₁ = 1 上改变",
             "The measured growth factor changes sign exactly on the theoretical curve χ₁ = 1"},
        .subtitle = {"每格一个随机网络，深 20；曲线由求解器给出",
                     "one random network per cell, depth 20; curve from the solver"},
        .x = {{"权重方差 σw²", "weight variance σw²"}, false},
        .y = {{"偏置方差 σb²", "bias variance σb²"}, false},
        .z = {{"log₁₀(每层因子)", "log₁₀(factor per layer)"}, false},
        .series = {{.role = DLF_MEASURED,
                    .table = "phase",
                    .x = "sigma_w2",
                    .y = "sigma_b2",
                    .z = "log10_chi",
                    .label = {"实测", "measured"}},
                   {.role = DLF_THEORY,
                    .table = "edge",
                    .x = "sigma_w2",
                    .y = "sigma_b2",
                    .label = {"理论 χ₁ = 1", "theory χ₁ = 1"}}}};
    return dlf_result_figure(dlf_run_result(run), &figure);
}

dlf_status dlf_vanishing_phase(dlf_run *run, double from, double to)
{
    const int columns = 16, rows = dlf_run_full(run) ? 13 : 9, cells = columns * rows;
    dlf_status status;
    dlf_activation f;
    dlf_propagation p = {0};
    DLF_TRY(phase_activation(run, &f));
    dlf_random_net *net = malloc((size_t)cells * sizeof *net);
    if (!net) return dlf_fail(DLF_ERR_OOM, "phase diagram: out of memory");
    for (int i = 0; i < cells; i++)
        net[i] = dlf_random_net_of(f, W2_FIRST + W2_STEP * (i % columns), B2_STEP * (i / columns),
                                   PHASE_DEPTH, i);
    dlf_stage progress = {run, from, to, "phase diagram"};
    DLF_TRY_DONE(dlf_propagate(&p, dlf_run_device(run), dlf_run_seed(run) + 1,
                               dlf_run_int(run, "phase_width"), PHASE_DEPTH, PHASE_BATCH, net,
                               cells, dlf_report_stage, &progress));
    DLF_TRY_DONE(edge_table(run, f, rows));
    DLF_TRY_DONE(phase_tables(run, f, &p, net, cells));
    DLF_TRY_DONE(phase_figure(run));
done:
    dlf_propagation_free(&p);
    free(net);
    return status;
}

/* ---- finite width -----------------------------------------------------------------------------
 */

enum { WIDTH_DEPTH = 50 };

typedef struct width_sample {
    double mean, variance; /* of ln|v^l|^2 - ln|v^{l-1}|^2 */
    double variance_se;    /* from the fourth moment: the increments are not Gaussian */
    int64_t steps;         /* trials x layers that were alive */
    int dead;              /* trials whose signal died         */
} width_sample;

typedef struct chain {
    dlf_tensor v, next, w, w_scale, moments;
} chain;

static void chain_free(chain *c)
{
    dlf_tensor_free(&c->v);
    dlf_tensor_free(&c->next);
    dlf_tensor_free(&c->w);
    dlf_tensor_free(&c->w_scale);
    dlf_tensor_free(&c->moments);
}

static dlf_status chain_new(chain *c, dlf_device *dev, int trials, int width, double gain,
                            double *host)
{
    const int64_t P = trials, N = width;
    DLF_TRY(dlf_tensor_new(&c->v, dev, dev->real, P, 1, N));
    DLF_TRY(dlf_tensor_new(&c->next, dev, dev->real, P, 1, N));
    DLF_TRY(dlf_tensor_new(&c->w, dev, dev->real, P, N, N));
    DLF_TRY(dlf_tensor_new(&c->w_scale, dev, dev->real, P));
    DLF_TRY(dlf_tensor_new(&c->moments, dev, DLF_F64, P, DLF_MOMENTS));
    for (int p = 0; p < trials; p++) host[p] = sqrt(gain / width);
    return dlf_tensor_upload_f64(&c->w_scale, host);
}

/* v <- f(W v), 50 times, for all trials at once; statistics of the log increments. */
static dlf_status sample_width(dlf_run *run, width_sample *out, dlf_activation_kind kind, int width,
                               int trials)
{
    dlf_status status;
    chain c = {0};
    const dlf_rng rng = {dlf_run_seed(run) + 2, 0};
    const double centre =
        (kind == DLF_RELU ? dlf_log_law_relu(width) : dlf_log_law_linear(width)).mean;
    double sum = 0.0, square = 0.0, fourth = 0.0;
    double *host = malloc((size_t)trials * DLF_MOMENTS * sizeof *host);
    double *last = malloc((size_t)trials * sizeof *last);
    memset(out, 0, sizeof *out);
    if (!host || !last) {
        status = dlf_fail(DLF_ERR_OOM, "finite width: out of memory");
        goto done;
    }
    DLF_TRY_DONE(
        chain_new(&c, dlf_run_device(run), trials, width, kind == DLF_RELU ? 2.0 : 1.0, host));
    DLF_TRY_DONE(
        dlf_random_normal(&c.v, NULL, NULL, (dlf_rng){rng.seed, dlf_stream(DLF_PURPOSE_INPUT, 0)}));
    for (int l = 0; l <= WIDTH_DEPTH; l++) {
        if (l > 0) {
            DLF_TRY_DONE(dlf_random_normal(
                &c.w, NULL, &c.w_scale,
                (dlf_rng){rng.seed, dlf_stream(DLF_PURPOSE_WEIGHTS, (uint32_t)l)}));
            DLF_TRY_DONE(
                dlf_gemm(&c.next, &c.v, &c.w, (dlf_gemm_args){.trans_b = true, .alpha = 1.0}));
            DLF_TRY_DONE(dlf_activation_forward(&c.v, &c.next, dlf_activation_of(kind)));
        }
        DLF_TRY_DONE(dlf_moments(&c.moments, &c.v));
        DLF_TRY_DONE(dlf_tensor_download_f64(host, &c.moments));
        for (int p = 0; p < trials; p++) {
            const double now = host[p * DLF_MOMENTS + DLF_MOMENT_SUM_SQUARES];
            if (l > 0 && now > 0.0) {
                const double step = log(now / last[p]) - centre;
                sum += step;
                square += step * step;
                fourth += step * step * step * step;
                out->steps++;
            } else if (l > 0 && last[p] > 0.0) {
                out->dead++;
            }
            last[p] = now;
        }
    }
    const double n = (double)out->steps, shift = sum / n;
    out->mean = centre + shift;
    out->variance = square / n - shift * shift;
    out->variance_se = sqrt((fourth / n - out->variance * out->variance) / n);
done:
    chain_free(&c);
    free(last);
    free(host);
    return status;
}

static dlf_status width_checks(dlf_run *run, const char *kind, int width, const width_sample *s,
                               dlf_log_law law)
{
    char id[64], zh[200], en[200];
    const double n = (double)s->steps;
    const double se_mean = sqrt(law.variance / n), se_variance = s->variance_se;
    snprintf(id, sizeof id, "width_mean_%s_%d", kind, width);
    snprintf(zh, sizeof zh, "%s，宽 %d：临界初始化下 ln|v|² 每层的均值服从 digamma 定律", kind,
             width);
    snprintf(en, sizeof en,
             "%s, width %d: at criticality ln|v|² drifts by the digamma law per layer", kind,
             width);
    dlf_check check = {.id = id,
                       .claim = {zh, en},
                       .measured = s->mean,
                       .lo = s->mean - 1.96 * se_mean,
                       .hi = s->mean + 1.96 * se_mean,
                       .n = (int)s->steps,
                       .expected = law.mean,
                       .tolerance = 3.0 * se_mean,
                       .relation = DLF_EQUAL,
                       .source = "closed form: psi(N/2)+ln(2/N), ReLU: mixture over Bin(N,1/2); "
                                 "tolerance 3 s.e. (Hanin 2018)"};
    DLF_TRY(dlf_result_check(dlf_run_result(run), check));
    snprintf(id, sizeof id, "width_variance_%s_%d", kind, width);
    snprintf(zh, sizeof zh, "%s，宽 %d：ln|v|² 每层的方差服从 trigamma 定律", kind, width);
    snprintf(en, sizeof en,
             "%s, width %d: the variance of ln|v|² per layer follows the trigamma law", kind,
             width);
    check.measured = s->variance;
    check.lo = s->variance - 1.96 * se_variance;
    check.hi = s->variance + 1.96 * se_variance;
    check.expected = law.variance;
    check.tolerance = 3.0 * se_variance;
    return dlf_result_check(dlf_run_result(run), check);
}

static dlf_status width_figure(dlf_run *run)
{
    const dlf_figure figure = {
        .id = "finite_width",
        .kind = DLF_LINES,
        .title = {"即使在临界点，有限宽度也使梯度的对数随机游走：方差 ≈ 5/N（ReLU）",
                  "Even at criticality finite width makes the log-gradient walk: variance ≈ 5/N "
                  "per layer (ReLU)"},
        .subtitle = {"随机矩阵连乘 50 层；虚线为精确的 trigamma 定律",
                     "products of 50 random matrices; dashed: the exact trigamma law"},
        .x = {{"宽度 N", "width N"}, true},
        .y = {{"每层 ln|v|² 的方差", "variance of ln|v|² per layer"}, true},
        .residuals = true,
        .series = {{.role = DLF_MEASURED,
                    .table = "finite_width",
                    .where = "activation",
                    .equals = "linear",
                    .x = "width",
                    .y = "variance",
                    .lo = "variance_lo",
                    .hi = "variance_hi",
                    .label = {"linear", "linear"},
                    .points = true},
                   {.role = DLF_THEORY,
                    .table = "finite_width",
                    .where = "activation",
                    .equals = "linear",
                    .x = "width",
                    .y = "variance_theory",
                    .label = {"ψ'(N/2)", "ψ'(N/2)"}},
                   {.role = DLF_MEASURED,
                    .table = "finite_width",
                    .where = "activation",
                    .equals = "relu",
                    .x = "width",
                    .y = "variance",
                    .lo = "variance_lo",
                    .hi = "variance_hi",
                    .label = {"relu", "relu"},
                    .colour = 1,
                    .points = true},
                   {.role = DLF_THEORY,
                    .table = "finite_width",
                    .where = "activation",
                    .equals = "relu",
                    .x = "width",
                    .y = "variance_theory",
                    .colour = 1,
                    .label = {"Bin(N,½) 混合", "Bin(N,½) mixture"}}}};
    return dlf_result_figure(dlf_run_result(run), &figure);
}

dlf_status dlf_vanishing_width(dlf_run *run, double from, double to)
{
    static const struct {
        int width;
        double share; /* of the trials: the cost grows with the square of the width */
    } plan[] = {{16, 1.0}, {32, 0.6}, {64, 0.2}, {128, 0.1}};
    enum { N = sizeof plan / sizeof plan[0] };
    dlf_table *table;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "finite_width",
                             (dlf_text){"有限宽度下 ln|v|² 每层的均值与方差",
                                        "mean and variance of ln|v|² per layer at finite width"},
                             (const dlf_column[]){{"activation", NULL},
                                                  {"width", "units"},
                                                  {"mean", "1"},
                                                  {"mean_theory", "1"},
                                                  {"variance", "1"},
                                                  {"variance_lo", "1"},
                                                  {"variance_hi", "1"},
                                                  {"variance_theory", "1"},
                                                  {"dead", "trials"},
                                                  {NULL, NULL}},
                             &table));
    for (int i = 0; i < 2 * N; i++) {
        const bool relu = i % 2;
        const int width = plan[i / 2].width;
        const int trials = (int)ceil(plan[i / 2].share * dlf_run_int(run, "trials"));
        DLF_TRY(dlf_run_stage(run, from + (to - from) * i / (2 * N), "finite width N=%d", width));
        width_sample s;
        DLF_TRY(sample_width(run, &s, relu ? DLF_RELU : DLF_LINEAR, width, trials));
        const dlf_log_law law = relu ? dlf_log_law_relu(width) : dlf_log_law_linear(width);
        const double half = 1.96 * s.variance_se;
        DLF_TRY(dlf_table_row(table, DLF_TXT(relu ? "relu" : "linear"), DLF_NUM(width),
                              DLF_NUM(s.mean), DLF_NUM(law.mean), DLF_NUM(s.variance),
                              DLF_NUM(s.variance - half), DLF_NUM(s.variance + half),
                              DLF_NUM(law.variance), DLF_NUM(s.dead)));
        DLF_TRY(width_checks(run, relu ? "relu" : "linear", width, &s, law));
    }
    return width_figure(run);
}
