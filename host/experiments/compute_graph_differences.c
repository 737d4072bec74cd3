/* SPDX-License-Identifier: MIT
 * compute_graph_differences.c -- Q13: finite differences, the alternative to a graph.
 *
 *   forward  (L(w + h u) - L(w)) / h             error ~ h   + eps |L| / h
 *   central  (L(w + h u) - L(w - h u)) / (2 h)   error ~ h^2 + eps |L| / h
 *
 * against u . grad L of one backward pass; u random unit directions. Double precision throughout,
 * on device `ref`, whatever the run's device is: in float32 the curve bottoms out at 1e-4. */
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "compute_graph.h"
#include "dlf/rng.h"

enum { STEPS = 25, DIRECTIONS = 8, SCHEMES = 2 };
static const char *const scheme_id[SCHEMES] = {"forward", "central"};

typedef struct job {
    dlf_graph *g;
    int seeds;
    int64_t n;                         /* parameters of a member                            */
    double *start, *moved, *direction; /* (seeds,n)                                         */
    double *here, *up, *down, *slope;  /* (seeds): objectives, u . grad L                   */
    double *error;                     /* (SCHEMES, STEPS, seeds): mean square, relative    */
    double *rounding;                  /* (STEPS): eps |L| / (h |u . grad L|), mean square  */
} job;

static double step_size(int k)
{
    return pow(10.0, -0.5 * k - 0.5); /* 0.32 .. 3e-13 */
}

static void draw_direction(job *j, uint64_t seed, int d)
{
    for (int p = 0; p < j->seeds; p++) {
        double square = 0.0, *u = j->direction + p * j->n;
        for (int64_t i = 0; i < j->n; i++) {
            u[i] = (double)dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_START, 100 + (uint32_t)d),
                                          (uint32_t)p, (uint64_t)i);
            square += u[i] * u[i];
        }
        for (int64_t i = 0; i < j->n; i++) u[i] /= sqrt(square);
    }
}

static dlf_status objective(job *j, double h, double *out)
{
    for (int64_t i = 0; i < j->seeds * j->n; i++) j->moved[i] = j->start[i] + h * j->direction[i];
    DLF_TRY(dlf_tensor_upload_f64(dlf_graph_parameters(j->g), j->moved));
    DLF_TRY(dlf_graph_forward(j->g, DLF_TRAINING));
    return dlf_graph_objective(j->g, out);
}

/* u . grad L of every member, from backward at the start. */
static dlf_status analytic(job *j)
{
    DLF_TRY(objective(j, 0.0, j->here));
    DLF_TRY(dlf_graph_backward(j->g));
    DLF_TRY(dlf_tensor_download_f64(j->moved, dlf_graph_gradients(j->g)));
    for (int p = 0; p < j->seeds; p++) {
        j->slope[p] = 0.0;
        for (int64_t i = p * j->n; i < (p + 1) * j->n; i++)
            j->slope[p] += j->moved[i] * j->direction[i];
    }
    return DLF_OK;
}

static dlf_status measure_direction(job *j)
{
    const int S = j->seeds;
    DLF_TRY(analytic(j));
    for (int k = 0; k < STEPS; k++) {
        const double h = step_size(k);
        DLF_TRY(objective(j, h, j->up));
        DLF_TRY(objective(j, -h, j->down));
        for (int p = 0; p < S; p++) {
            const double by_forward = (j->up[p] - j->here[p]) / h / j->slope[p] - 1.0;
            const double by_central = (j->up[p] - j->down[p]) / (2.0 * h) / j->slope[p] - 1.0;
            const double floor = 0.5 * DBL_EPSILON * j->here[p] / (h * j->slope[p]);
            j->error[k * S + p] += by_forward * by_forward / DIRECTIONS;
            j->error[(STEPS + k) * S + p] += by_central * by_central / DIRECTIONS;
            j->rounding[k] += floor * floor / (DIRECTIONS * S);
        }
    }
    return DLF_OK;
}

/* ---- what the curves say ---- */

static double log_error(const job *j, int scheme, int k, int p)
{
    return 0.5 * log10(j->error[(scheme * STEPS + k) * j->seeds + p]);
}

/* Least-squares slope of log error against log h for steps first..last of one member. */
static double fit_slope(const job *j, int scheme, int first, int last, int p)
{
    double x[STEPS], y[STEPS];
    for (int k = first; k <= last; k++) {
        x[k - first] = log10(step_size(k));
        y[k - first] = log_error(j, scheme, k, p);
    }
    return dlf_slope(x, y, last - first + 1);
}

static double best_step(const job *j, int scheme, int p)
{
    int best = 0;
    for (int k = 1; k < STEPS; k++)
        if (log_error(j, scheme, k, p) < log_error(j, scheme, best, p)) best = k;
    return log10(step_size(best));
}

/* log10 of the step where C h^order + F / h is least: C from the truncation branch at h = 1e-3, F
 * from rounding eps |L| / |u . grad L|. Mean over seeds. */
static double predicted_best(const job *j, int scheme)
{
    enum { AT = 5 };
    const double h = step_size(AT), order = scheme + 1.0, F = sqrt(j->rounding[AT]) * h;
    double sum = 0.0;
    for (int p = 0; p < j->seeds; p++) {
        const double C = pow(10.0, log_error(j, scheme, AT, p)) / pow(h, order);
        sum += log10(F / (order * C)) / (order + 1.0);
    }
    return sum / j->seeds;
}

typedef struct finding {
    const char *id;
    dlf_text claim;
    int scheme, first, last; /* first < 0: the best step instead of a slope */
    double expected, tolerance;
    const char *source;
} finding;

/* Steps 3..7 are 1e-2 .. 1e-4, 17..23 are 1e-9 .. 1e-12. */
static const finding findings[] = {
    {"central_truncation",
     {"中心差分的误差在大步长处按 h² 下降",
      "central differences: the error falls as h² at large h"},
     1,
     3,
     7,
     2.0,
     0.1,
     "Taylor: h^2 L''' / 6"},
    {"forward_truncation",
     {"前向差分的误差在大步长处按 h 下降", "forward differences: the error falls as h at large h"},
     0,
     3,
     11,
     1.0,
     0.1,
     "Taylor: h L'' / 2"},
    {"central_rounding",
     {"步长再小，舍入误差按 1/h 上升", "at small h rounding makes it rise as 1/h"},
     1,
     14,
     23,
     -1.0,
     0.1,
     "rounding: eps |L| / h"},
    {"central_best",
     {"中心差分最好的步长约 ε^(1/3)，由截断与舍入之和的最小值算出（log₁₀ h）",
      "the best step of central differences, of order eps^(1/3), is where truncation plus rounding "
      "is least (log10 h)"},
     1,
     -1,
     0,
     0.0,
     0.75,
     "minimum of C h^2 + F / h"},
    {"forward_best",
     {"前向差分最好的步长约 ε^(1/2)，由截断与舍入之和的最小值算出（log₁₀ h）",
      "the best step of forward differences, of order eps^(1/2), is where truncation plus rounding "
      "is least (log10 h)"},
     0,
     -1,
     0,
     0.0,
     0.75,
     "minimum of C h + F / h"},
};

static dlf_status add_finding(dlf_run *run, const job *j, const finding *f)
{
    double *value = malloc((size_t)j->seeds * sizeof *value);
    if (!value) return dlf_fail(DLF_ERR_OOM, "compute-graph: out of memory");
    for (int p = 0; p < j->seeds; p++)
        value[p] = f->first < 0 ? best_step(j, f->scheme, p)
                                : fit_slope(j, f->scheme, f->first, f->last, p);
    dlf_check check = dlf_check_of(f->id, f->claim, dlf_estimate_of(value, j->seeds, 1));
    free(value);
    check.expected = f->first < 0 ? predicted_best(j, f->scheme) : f->expected;
    check.tolerance = f->tolerance;
    check.source = f->source;
    return dlf_result_check(dlf_run_result(run), check);
}

static dlf_status add_table(dlf_run *run, const job *j)
{
    dlf_table *table;
    DLF_TRY(
        dlf_result_table(dlf_run_result(run), "differences",
                         (dlf_text){"有限差分的相对误差", "relative error of finite differences"},
                         (const dlf_column[]){{"scheme", NULL},
                                              {"h", "1"},
                                              {"error", "1"},
                                              {"lo", "1"},
                                              {"hi", "1"},
                                              {"rounding", "1"},
                                              {NULL}},
                         &table));
    double *logs = malloc((size_t)j->seeds * sizeof *logs);
    if (!logs) return dlf_fail(DLF_ERR_OOM, "compute-graph: out of memory");
    dlf_status status = DLF_OK;
    for (int s = 0; s < SCHEMES; s++)
        for (int k = 0; k < STEPS && status == DLF_OK; k++) {
            for (int p = 0; p < j->seeds; p++) logs[p] = log_error(j, s, k, p);
            const dlf_estimate e = dlf_estimate_of(logs, j->seeds, 1);
            status = dlf_table_row(table, DLF_TXT(scheme_id[s]), DLF_NUM(step_size(k)),
                                   DLF_NUM(pow(10.0, e.mean)), DLF_NUM(pow(10.0, e.lo)),
                                   DLF_NUM(pow(10.0, e.hi)), DLF_NUM(sqrt(j->rounding[k])));
        }
    free(logs);
    return status;
}

static dlf_status add_figure(dlf_run *run)
{
    const dlf_figure figure = {
        .id = "differences",
        .kind = DLF_LINES,
        .title =
            {"有限差分的误差是一个 V：步长大了截断，小了舍入，永远不精确",
             "Finite differences err in a V: truncation at large steps, rounding at small ones"},
        .subtitle = {"双精度，64-16-16-10 tanh 网络，随机方向；对照为一次反向传播的结果",
                     "double precision, 64-16-16-10 tanh networks, random directions, against one "
                     "backward pass"},
        .x = {{"步长 h", "step h"}, true},
        .y = {{"相对误差", "relative error"}, true},
        .series = {{.role = DLF_MEASURED,
                    .table = "differences",
                    .where = "scheme",
                    .equals = "central",
                    .x = "h",
                    .y = "error",
                    .lo = "lo",
                    .hi = "hi",
                    .label = {"中心差分", "central"},
                    .colour = 0},
                   {.role = DLF_CONTROL,
                    .table = "differences",
                    .where = "scheme",
                    .equals = "forward",
                    .x = "h",
                    .y = "error",
                    .lo = "lo",
                    .hi = "hi",
                    .label = {"前向差分", "forward"},
                    .colour = 1},
                   {.role = DLF_THEORY,
                    .table = "differences",
                    .where = "scheme",
                    .equals = "central",
                    .x = "h",
                    .y = "rounding",
                    .label = {"舍入 ε|L| / (h|∇L·u|)", "rounding ε|L| / (h|∇L·u|)"},
                    .colour = 0}}};
    return dlf_result_figure(dlf_run_result(run), &figure);
}

/* ---- the whole ---- */

static dlf_status set_up(job *j, dlf_run *run, dlf_device *ref)
{
    const classifier_spec spec = {.members = j->seeds,
                                  .batch = 8,
                                  .inputs = 64,
                                  .width = 16,
                                  .depth = 2,
                                  .classes = 10,
                                  .f = dlf_activation_of(DLF_TANH),
                                  .init = dlf_lecun()};
    DLF_TRY(classifier_new(&j->g, ref, &spec));
    DLF_TRY(dlf_graph_initialise(j->g, dlf_run_seed(run), NULL));
    DLF_TRY(dlf_compute_graph_fill(j->g, &spec));
    const size_t S = (size_t)j->seeds;
    j->n = dlf_graph_parameters(j->g)->shape[1];
    const size_t row = S * (size_t)j->n;
    j->start = calloc(3 * row + 4 * S + SCHEMES * STEPS * S + STEPS, sizeof *j->start);
    if (!j->start) return dlf_fail(DLF_ERR_OOM, "compute-graph: out of memory");
    j->moved = j->start + row;
    j->direction = j->moved + row;
    j->here = j->direction + row;
    j->up = j->here + S;
    j->down = j->up + S;
    j->slope = j->down + S;
    j->error = j->slope + S;
    j->rounding = j->error + SCHEMES * STEPS * S;
    return dlf_tensor_download_f64(j->start, dlf_graph_parameters(j->g));
}

dlf_status dlf_compute_graph_differences(dlf_run *run, double from, double to)
{
    dlf_status status;
    dlf_device *ref = NULL;
    job j = {.seeds = dlf_run_seeds(run)};
    DLF_TRY_DONE(dlf_device_open(&ref, "ref"));
    DLF_TRY_DONE(set_up(&j, run, ref));
    for (int d = 0; d < DIRECTIONS; d++) {
        DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * d / DIRECTIONS,
                                   "finite differences, direction %d", d));
        draw_direction(&j, dlf_run_seed(run), d);
        DLF_TRY_DONE(measure_direction(&j));
    }
    DLF_TRY_DONE(add_table(run, &j));
    DLF_TRY_DONE(add_figure(run));
    for (size_t i = 0; i < sizeof findings / sizeof findings[0]; i++)
        DLF_TRY_DONE(add_finding(run, &j, &findings[i]));
done:
    free(j.start);
    dlf_graph_free(j.g);
    dlf_device_close(ref);
    return status;
}
