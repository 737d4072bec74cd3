/* SPDX-License-Identifier: MIT
 * hidden_layers_kernel.c -- Q17: what a hidden layer computes before it has learnt anything. The
 * inner product of two inputs after N random ReLU units is the arc-cosine kernel of their angle
 * (Cho & Saul 2009), with an error whose size is known as well:
 *
 *   k_N = (1/N) sum_i relu(w_i x) relu(w_i y),  w ~ N(0, 2/D), |x|^2 = |y|^2 = D
 *   E k_N = kappa_1(cos t)      Var k_N = (2 kappa_2 - kappa_1^2) / N
 *
 * Control: the same units without the ReLU. Their kernel is cos t, what the inputs had already. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dlf/rng.h"
#include "dlf/theory.h"
#include "figures.h"
#include "hidden_layers.h"
#include "seed_check.h"

enum { ANGLES = 13, WIDTHS = 5, INPUTS = 8, LAYERS = 5, ARMS = 2 };

static const char *const arm_ids[ARMS] = {"relu", "linear"};

static double angle_of(int k)
{
    return M_PI * k / (ANGLES - 1);
}

/* The kernel of N = infinity, and N times the variance of k_N. */
static double limit(int arm, double c)
{
    return arm ? c : dlf_arccos_kernel1(c);
}

static double variance(int arm, double c)
{
    const double k = dlf_arccos_kernel1(c);
    return arm ? 1.0 + c * c : 2.0 * dlf_arccos_kernel2(c) - k * k;
}

/* Rows at the angles 0, 15, .. 180 degrees from the first, in a plane of their own for every
 * member, of length sqrt(INPUTS). */
static dlf_status upload_inputs(dlf_run *run, dlf_tensor *x, int members)
{
    float *rows = malloc((size_t)members * ANGLES * INPUTS * sizeof *rows);
    if (!rows) return dlf_fail(DLF_ERR_OOM, "kernel: out of memory");
    for (int p = 0; p < members; p++) {
        double u[INPUTS], v[INPUTS], uu = 0.0, uv = 0.0, vv = 0.0;
        for (int d = 0; d < INPUTS; d++) {
            const uint32_t stream = dlf_stream(DLF_PURPOSE_INPUT, 170);
            u[d] = dlf_rng_normal(dlf_run_seed(run), stream, (uint32_t)p, (uint64_t)d);
            v[d] = dlf_rng_normal(dlf_run_seed(run), stream, (uint32_t)p, (uint64_t)(d + INPUTS));
            uu += u[d] * u[d];
            uv += u[d] * v[d];
        }
        for (int d = 0; d < INPUTS; d++) {
            v[d] -= uv / uu * u[d];
            vv += v[d] * v[d];
        }
        for (int k = 0; k < ANGLES; k++)
            for (int d = 0; d < INPUTS; d++)
                rows[(p * ANGLES + k) * INPUTS + d] =
                    (float)(sqrt(INPUTS) * (cos(angle_of(k)) * u[d] / sqrt(uu) +
                                            sin(angle_of(k)) * v[d] / sqrt(vv)));
    }
    const dlf_status status = dlf_tensor_upload(x, rows);
    free(rows);
    return status;
}

/* kernel[(p * arms + arm) * ANGLES + k] of one random layer of `width` units: ReLU, and linear. */
static dlf_status one_layer(dlf_run *run, int width, int members, double *kernel)
{
    dlf_graph *g = NULL;
    dlf_status status;
    double *gram = malloc((size_t)members * ANGLES * ANGLES * sizeof *gram);
    if (!gram) return dlf_fail(DLF_ERR_OOM, "kernel: out of memory");
    DLF_TRY_DONE(dlf_graph_new(&g, dlf_run_device(run), members));
    const dlf_node x = dlf_input(g, "x", 3, (int64_t[]){members, ANGLES, INPUTS});
    const dlf_node z =
        dlf_dense_init(g, "hidden", x, width, dlf_activation_of(DLF_LINEAR), dlf_he(), NULL);
    const dlf_node h = dlf_activate(g, "relu", z, dlf_activation_of(DLF_RELU));
    const dlf_node out[ARMS] = {dlf_matmul(g, "gram", h, false, h, true, 1.0 / width),
                                dlf_matmul(g, "linear", z, false, z, true, 0.5 / width)};
    for (int a = 0; a < ARMS; a++) dlf_want_value(g, out[a]);
    DLF_TRY_DONE(dlf_graph_compile(g));
    DLF_TRY_DONE(dlf_graph_initialise(g, dlf_run_seed(run) + (uint64_t)width, NULL));
    DLF_TRY_DONE(upload_inputs(run, dlf_graph_value(g, x), members));
    DLF_TRY_DONE(dlf_graph_forward(g, DLF_EVALUATION));
    for (int a = 0; a < ARMS; a++) {
        DLF_TRY_DONE(dlf_tensor_download_f64(gram, dlf_graph_value(g, out[a])));
        for (int p = 0; p < members; p++)
            for (int k = 0; k < ANGLES; k++)
                kernel[(p * ARMS + a) * ANGLES + k] = gram[p * ANGLES * ANGLES + k];
    }
done:
    dlf_graph_free(g);
    free(gram);
    return status;
}

/* ---- error against width ---- */

/* Root mean square over `nets` layers and all angles of k - kappa_1. */
static double rms_error(const double *kernel, int arm, int nets)
{
    double square = 0.0;
    for (int n = 0; n < nets; n++)
        for (int k = 0; k < ANGLES; k++) {
            const double d =
                kernel[(n * ARMS + arm) * ANGLES + k] - dlf_arccos_kernel1(cos(angle_of(k)));
            square += d * d / (nets * ANGLES);
        }
    return sqrt(square);
}

static double expected_error(int arm, int width)
{
    double square = 0.0;
    for (int k = 0; k < ANGLES; k++) {
        const double c = cos(angle_of(k)), bias = limit(arm, c) - dlf_arccos_kernel1(c);
        square += (bias * bias + variance(arm, c) / width) / ANGLES;
    }
    return sqrt(square);
}

typedef struct kernel_study {
    int seeds, nets, widths;
    int width[WIDTHS];
    double *error;  /* (arms, widths, seeds)                     */
    double *kernel; /* (seeds nets, arms, ANGLES): of the widest */
} kernel_study;

static dlf_status error_table(dlf_run *run, const kernel_study *q)
{
    dlf_table *table;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "kernel_error",
                             (dlf_text){"随机层的核与反余弦核之差（均方根）",
                                        "kernel of a random layer against the arc-cosine kernel, "
                                        "root mean square"},
                             (const dlf_column[]){{"arm", NULL},
                                                  {"width", "unit"},
                                                  {"error", "1"},
                                                  {"lo", "1"},
                                                  {"hi", "1"},
                                                  {"theory", "1"},
                                                  {NULL, NULL}},
                             &table));
    for (int a = 0; a < ARMS; a++)
        for (int w = 0; w < q->widths; w++) {
            const dlf_estimate e =
                dlf_estimate_of(q->error + (a * q->widths + w) * q->seeds, q->seeds, 1);
            DLF_TRY(dlf_table_row(table, DLF_TXT(arm_ids[a]), DLF_NUM(q->width[w]), DLF_NUM(e.mean),
                                  DLF_NUM(e.lo), DLF_NUM(e.hi),
                                  DLF_NUM(expected_error(a, q->width[w]))));
        }
    const dlf_figure figure = {
        .id = "kernel_error",
        .kind = DLF_LINES,
        .title = {"随机 ReLU 层以 1/√N 的误差计算反余弦核；没有 ReLU 的层永远算不出它",
                  "A random ReLU layer computes the arc-cosine kernel with an error of 1/√N; one "
                  "without ReLU never does"},
        .subtitle = {"未训练的一层，13 个夹角的均方根误差；虚线为闭式解，无拟合参数",
                     "one untrained layer, rms error over 13 angles; dashed: closed form, nothing "
                     "fitted"},
        .x = {{"宽度 N", "width N"}, true},
        .y = {{"核的误差", "error of the kernel"}, true},
        .residuals = true,
        .series = {{.role = DLF_MEASURED,
                    .table = "kernel_error",
                    .where = "arm",
                    .equals = "relu",
                    .x = "width",
                    .y = "error",
                    .lo = "lo",
                    .hi = "hi",
                    .label = {"ReLU", "ReLU"},
                    .points = true},
                   {.role = DLF_THEORY,
                    .table = "kernel_error",
                    .where = "arm",
                    .equals = "relu",
                    .x = "width",
                    .y = "theory",
                    .label = {"√((2κ₂ − κ₁²)/N)", "√((2κ₂ − κ₁²)/N)"}},
                   {.role = DLF_CONTROL,
                    .table = "kernel_error",
                    .where = "arm",
                    .equals = "linear",
                    .x = "width",
                    .y = "error",
                    .lo = "lo",
                    .hi = "hi",
                    .label = {"对照：线性层", "control: linear layer"},
                    .colour = 1,
                    .points = true},
                   {.role = DLF_THEORY,
                    .table = "kernel_error",
                    .where = "arm",
                    .equals = "linear",
                    .x = "width",
                    .y = "theory",
                    .label = {"cos θ 与 κ₁ 之差", "cos θ against κ₁"},
                    .colour = 1}}};
    return dlf_result_figure(dlf_run_result(run), &figure);
}

static dlf_status error_checks(dlf_run *run, const kernel_study *q)
{
    dlf_result *r = dlf_run_result(run);
    const int S = q->seeds, last = q->widths - 1;
    double x[WIDTHS], y[WIDTHS], *value = malloc((size_t)(2 * S) * sizeof *value);
    if (!value) return dlf_fail(DLF_ERR_OOM, "kernel: out of memory");
    double *slope = value, *constant = value + S;
    for (int s = 0; s < S; s++) {
        constant[s] = 0.0;
        for (int w = 0; w < q->widths; w++) {
            x[w] = log(q->width[w]);
            y[w] = log(q->error[w * S + s]);
            constant[s] += exp(y[w] + 0.5 * x[w]) / q->widths;
        }
        slope[s] = dlf_slope(x, y, q->widths);
    }
    const dlf_estimate e[2] = {dlf_estimate_of(slope, S, 1), dlf_estimate_of(constant, S, 1)};
    free(value);
    dlf_check c = dlf_check_of("kernel_slope",
                               (dlf_text){"误差随宽度的对数斜率为 −1/2",
                                          "the error falls as the root of the width: slope −1/2"},
                               e[0]);
    c.expected = -0.5;
    c.tolerance = 0.05;
    c.source = "independent units: standard deviation ~ N^-1/2; Rahimi & Recht 2007";
    DLF_TRY(dlf_result_check(r, c));
    c = dlf_check_of("kernel_constant",
                     (dlf_text){"误差乘 √N 等于闭式解", "the error times √N is the closed form"},
                     e[1]);
    c.expected = expected_error(0, 1);
    c.relative = true;
    c.tolerance = 0.05;
    c.source = "closed form: Var = (2 kappa_2 − kappa_1²)/N, Cho & Saul 2009 eq. 5-7; 5 %: four "
               "standard errors of the sample variance";
    DLF_TRY(dlf_result_check(r, c));
    c = dlf_check_of("kernel_linear",
                     (dlf_text){"对照：线性层的误差不随宽度消失，等于 cos θ 与 κ₁ 之差",
                                "control: without the ReLU the error does not vanish with width: "
                                "it is cos θ against κ₁"},
                     dlf_estimate_of(q->error + (q->widths + last) * S, S, 1));
    c.expected = expected_error(1, q->width[last]);
    c.relative = true;
    c.tolerance = 0.03;
    c.source = "closed form: E k = cos θ, Var = (1 + cos² θ)/N";
    return dlf_result_check(r, c);
}

/* ---- the kernel itself ---- */

/* Correlation of the outputs after each of LAYERS random ReLU layers, mean over the nets of a seed:
 * deep[(s * (LAYERS+1) + l) * ANGLES + k]. */
static dlf_status deep_layers(dlf_run *run, int width, int seeds, int nets, double *deep)
{
    const int members = seeds * nets;
    dlf_graph *g = NULL;
    dlf_status status;
    dlf_node out[LAYERS + 1];
    double *gram = malloc((size_t)members * ANGLES * ANGLES * sizeof *gram);
    if (!gram) return dlf_fail(DLF_ERR_OOM, "kernel: out of memory");
    DLF_TRY_DONE(dlf_graph_new(&g, dlf_run_device(run), members));
    const dlf_node x = dlf_input(g, "x", 3, (int64_t[]){members, ANGLES, INPUTS});
    dlf_node h = x;
    for (int l = 1; l <= LAYERS; l++) {
        char name[16];
        snprintf(name, sizeof name, "h%d", l);
        h = dlf_dense_init(g, name, h, width, dlf_activation_of(DLF_RELU), dlf_he(), NULL);
        out[l] = dlf_matmul(g, NULL, h, false, h, true, 1.0 / width);
        dlf_want_value(g, out[l]);
    }
    DLF_TRY_DONE(dlf_graph_compile(g));
    DLF_TRY_DONE(dlf_graph_initialise(g, dlf_run_seed(run) + 170, NULL));
    DLF_TRY_DONE(upload_inputs(run, dlf_graph_value(g, x), members));
    DLF_TRY_DONE(dlf_graph_forward(g, DLF_EVALUATION));
    for (int l = 1; l <= LAYERS; l++) {
        DLF_TRY_DONE(dlf_tensor_download_f64(gram, dlf_graph_value(g, out[l])));
        for (int p = 0; p < members; p++)
            for (int k = 0; k < ANGLES; k++) {
                const double *a = gram + p * ANGLES * ANGLES;
                deep[(p / nets * (LAYERS + 1) + l) * ANGLES + k] +=
                    a[k] / sqrt(a[0] * a[k * ANGLES + k]) / nets;
            }
    }
done:
    dlf_graph_free(g);
    free(gram);
    return status;
}

static double composed(double c, int layers)
{
    for (int l = 0; l < layers; l++) c = dlf_arccos_kernel1(fmin(c, 1.0));
    return c;
}

static dlf_status curve_rows(dlf_table *table, const char *id, const double *values, int stride,
                             int n, int layers, bool linear)
{
    for (int k = 0; k < ANGLES; k++) {
        const double c = cos(angle_of(k));
        const dlf_estimate e = dlf_estimate_of(values + k, n, stride);
        DLF_TRY(dlf_table_row(table, DLF_TXT(id), DLF_NUM(180.0 * k / (ANGLES - 1)),
                              DLF_NUM(e.mean), DLF_NUM(e.lo), DLF_NUM(e.hi),
                              DLF_NUM(linear ? c : composed(c, layers))));
    }
    return DLF_OK;
}

static dlf_status kernel_figure(dlf_run *run)
{
    static const struct {
        const char *id;
        dlf_role role;
        dlf_text label;
    } curve[] = {{"relu", DLF_MEASURED, {"一层 ReLU", "one ReLU layer"}},
                 {"deep", DLF_MEASURED, {"五层 ReLU", "five ReLU layers"}},
                 {"linear", DLF_CONTROL, {"对照：线性层", "control: linear layer"}}};
    dlf_figure figure = {
        .id = "kernel",
        .kind = DLF_LINES,
        .title = {"未训练的隐藏层按夹角重排输入：ReLU 使所有输入靠拢，越深越像",
                  "Untrained hidden layers map angles to angles: ReLU draws inputs together, the "
                  "deeper the more"},
        .subtitle = {"两个输入在随机层之后的相关；虚线：反余弦核 κ₁ 及其五次复合，线性层为 cos θ",
                     "correlation of two inputs after random layers; dashed: arc-cosine kernel κ₁, "
                     "composed five times, cos θ"},
        .x = {{"输入的夹角 (°)", "angle of the inputs (°)"}, false},
        .y = {{"核", "kernel"}, false}};
    for (int i = 0; i < 3; i++) {
        figure.series[2 * i] = (dlf_series){.role = curve[i].role,
                                            .table = "kernel",
                                            .where = "arm",
                                            .equals = curve[i].id,
                                            .x = "angle",
                                            .y = "kernel",
                                            .lo = "lo",
                                            .hi = "hi",
                                            .label = curve[i].label,
                                            .colour = i,
                                            .points = true};
        dlf_theory_of(&figure, 2 * i, 2 * i + 1, "theory");
    }
    return dlf_result_figure(dlf_run_result(run), &figure);
}

/* by_seed (seeds, ANGLES) */
static dlf_status value_checks(dlf_run *run, const kernel_study *q, const double *by_seed,
                               const double *deep)
{
    static const int at[] = {2, 6, 10}; /* 30, 90, 150 degrees */
    const double draws = (double)q->seeds * q->nets * q->width[q->widths - 1];
    for (int i = 0; i < 3; i++) {
        const double c = cos(angle_of(at[i]));
        char id[32], zh[120], en[120];
        snprintf(id, sizeof id, "kernel_%d", 180 * at[i] / (ANGLES - 1));
        snprintf(zh, sizeof zh, "夹角 %d°：随机 ReLU 层的核等于反余弦核",
                 180 * at[i] / (ANGLES - 1));
        snprintf(en, sizeof en, "at %d° the kernel of a random ReLU layer is the arc-cosine kernel",
                 180 * at[i] / (ANGLES - 1));
        dlf_check check = dlf_check_of(id, (dlf_text){zh, en},
                                       dlf_estimate_of(by_seed + at[i], q->seeds, ANGLES));
        check.expected = dlf_arccos_kernel1(c);
        check.tolerance = 4.0 * sqrt(variance(0, c) / draws);
        check.source =
            "Cho & Saul 2009, order 1; tolerance: four standard errors of all units drawn";
        DLF_TRY(dlf_result_check(dlf_run_result(run), check));
    }
    dlf_check check = dlf_check_of(
        "kernel_deep",
        (dlf_text){
            "五层之后，原来正交的两个输入的相关等于反余弦核的五次复合",
            "after five layers the correlation of two orthogonal inputs is the kernel composed "
            "five times"},
        dlf_estimate_of(deep + LAYERS * ANGLES + ANGLES / 2, q->seeds, (LAYERS + 1) * ANGLES));
    check.expected = composed(0.0, LAYERS);
    check.tolerance = 0.02;
    check.source = "Cho & Saul 2009, composition; tolerance: corrections of order layers/width";
    return dlf_result_check(dlf_run_result(run), check);
}

static dlf_status report_kernel(dlf_run *run, const kernel_study *q, const double *deep)
{
    dlf_table *table;
    const int S = q->seeds;
    dlf_status status;
    double *by_seed = calloc((size_t)(ARMS * S * ANGLES), sizeof *by_seed);
    if (!by_seed) return dlf_fail(DLF_ERR_OOM, "kernel: out of memory");
    for (int p = 0; p < S * q->nets; p++)
        for (int i = 0; i < ARMS * ANGLES; i++)
            by_seed[(i / ANGLES * S + p / q->nets) * ANGLES + i % ANGLES] +=
                q->kernel[p * ARMS * ANGLES + i] / q->nets;
    DLF_TRY_DONE(dlf_result_table(
        dlf_run_result(run), "kernel",
        (dlf_text){"随机层之后两个输入的核", "kernel of two inputs after random layers"},
        (const dlf_column[]){{"arm", NULL},
                             {"angle", "degree"},
                             {"kernel", "1"},
                             {"lo", "1"},
                             {"hi", "1"},
                             {"theory", "1"},
                             {NULL, NULL}},
        &table));
    DLF_TRY_DONE(curve_rows(table, "relu", by_seed, ANGLES, S, 1, false));
    DLF_TRY_DONE(curve_rows(table, "linear", by_seed + S * ANGLES, ANGLES, S, 1, true));
    DLF_TRY_DONE(
        curve_rows(table, "deep", deep + LAYERS * ANGLES, (LAYERS + 1) * ANGLES, S, LAYERS, false));
    DLF_TRY_DONE(value_checks(run, q, by_seed, deep));
    DLF_TRY_DONE(kernel_figure(run));
done:
    free(by_seed);
    return status;
}

/* width, width/4, .. while at least 4 units are left, ascending */
static void choose_widths(kernel_study *q, int width)
{
    q->widths = 1;
    for (int w = width; q->widths < WIDTHS && w / 4 >= 4; w /= 4) q->widths++;
    for (int i = q->widths - 1; i >= 0; i--, width /= 4) q->width[i] = width;
}

dlf_status dlf_hidden_kernel(dlf_run *run, double from, double to)
{
    kernel_study q = {.seeds = dlf_run_seeds(run), .nets = dlf_run_int(run, "nets")};
    const int P = q.seeds * q.nets, some = q.nets < 16 ? q.nets : 16;
    dlf_status status;
    double *deep = calloc((size_t)(q.seeds * (LAYERS + 1) * ANGLES), sizeof *deep);
    q.error = malloc((size_t)(ARMS * WIDTHS * q.seeds) * sizeof *q.error);
    q.kernel = malloc((size_t)(P * ARMS * ANGLES) * sizeof *q.kernel);
    if (!q.error || !q.kernel || !deep) {
        status = dlf_fail(DLF_ERR_OOM, "kernel: out of memory");
        goto done;
    }
    choose_widths(&q, dlf_run_int(run, "width"));
    for (int w = 0; w < q.widths; w++) {
        DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * w / (q.widths + 1),
                                   "random layer of %d units", q.width[w]));
        DLF_TRY_DONE(one_layer(run, q.width[w], P, q.kernel));
        for (int i = 0; i < ARMS * q.seeds; i++)
            q.error[(i / q.seeds * q.widths + w) * q.seeds + i % q.seeds] = rms_error(
                q.kernel + (size_t)(i % q.seeds * q.nets) * ARMS * ANGLES, i / q.seeds, q.nets);
    }
    DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * q.widths / (q.widths + 1.0),
                               "%d random layers", LAYERS));
    DLF_TRY_DONE(deep_layers(run, dlf_run_int(run, "deep_width"), q.seeds, some, deep));
    DLF_TRY_DONE(report_kernel(run, &q, deep));
    DLF_TRY_DONE(error_table(run, &q));
    DLF_TRY_DONE(error_checks(run, &q));
done:
    free(deep);
    free(q.error);
    free(q.kernel);
    return status;
}
