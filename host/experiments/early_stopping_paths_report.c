/* SPDX-License-Identifier: MIT
 * early_stopping_paths_report.c -- Q10 in closed form: gradient descent on least squares is ridge
 * with lambda ~ 1/t. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "early_stopping_study.h"
#include "seed_check.h"

enum { GRID = 61 }; /* times of the theory curves */
#define T_LOW  0.05
#define T_HIGH 1e3
static const char *const arm_ids[STUDY_ARMS] = {"noisy", "noiseless"};

static dlf_ridge_problem problem(const study *q, int arm, int seed)
{
    return (dlf_ridge_problem){q->n, q->p, study_sigma[arm], q->s + seed * q->p};
}

/* ---- the iterate, in double ---- */

/* Largest relative difference between 200 iterated steps and (I - (I - eta H)^k) H^-1 c. */
static dlf_status identity_check(dlf_run *run, const study *q)
{
    enum { STEPS = 200 };
    const int p = q->p;
    double worst = 0.0;
    double *w = malloc(3 * (size_t)p * sizeof *w), *next = w + p, *closed = w + 2 * p;
    if (!w) return dlf_fail(DLF_ERR_OOM, "early-stopping: out of memory");
    for (int seed = 0; seed < q->seeds; seed++) {
        const double *h = q->h + (size_t)seed * (size_t)(p * p);
        const double *v = q->vector + (size_t)seed * (size_t)(p * p);
        const double *c = q->c + (size_t)seed * (size_t)q->copies * (size_t)p;
        memset(w, 0, 3 * (size_t)p * sizeof *w);
        for (int step = 0; step < STEPS; step++) {
            for (int i = 0; i < p; i++) {
                double gradient = -c[i];
                for (int j = 0; j < p; j++) gradient += h[i * p + j] * w[j];
                next[i] = w[i] - STUDY_ETA * gradient;
            }
            memcpy(w, next, (size_t)p * sizeof *w);
        }
        for (int k = 0; k < p; k++) {
            const double s = q->s[seed * p + k], phi = 1.0 - pow(1.0 - STUDY_ETA * s, STEPS);
            double along = 0.0;
            for (int j = 0; j < p; j++) along += v[k * p + j] * c[j];
            for (int j = 0; j < p; j++) closed[j] += phi / s * along * v[k * p + j];
        }
        double difference = 0.0, norm = 0.0;
        for (int j = 0; j < p; j++) {
            difference += (w[j] - closed[j]) * (w[j] - closed[j]);
            norm += closed[j] * closed[j];
        }
        worst = fmax(worst, sqrt(difference / norm));
    }
    free(w);
    dlf_check c = dlf_check_exact(
        "iterate_identity",
        (dlf_text){
            "梯度下降的第 k 步就是 (I − (I − ηH)^k) 乘以最小二乘解",
            "step k of gradient descent is (I − (I − ηH)^k) times the least-squares solution"},
        worst);
    c.expected = 0.0;
    c.tolerance = 1e-10;
    c.source = "closed form of a linear recursion; relative difference in double";
    c.self_check = true;
    return dlf_result_check(dlf_run_result(run), c);
}

/* ---- tables and figures ---- */

static double grid_time(int i)
{
    return T_LOW * pow(T_HIGH / T_LOW, (double)i / (GRID - 1));
}

static dlf_status risk_tables(dlf_run *run, const study *q, double *value)
{
    dlf_table *measured, *theory;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "paths",
        (dlf_text){"实测风险与训练时间", "measured risk by training time"},
        (const dlf_column[]){
            {"arm", NULL}, {"time", "1"}, {"risk", "1"}, {"lo", "1"}, {"hi", "1"}, {NULL, NULL}},
        &measured));
    for (int m = 0; m < STUDY_ARMS; m++)
        for (int r = 0; r < q->records; r++) {
            const dlf_estimate e =
                dlf_estimate_of(q->risk + r * q->members + m * q->seeds, q->seeds, 1);
            DLF_TRY(dlf_table_row(measured, DLF_TXT(arm_ids[m]), DLF_NUM(STUDY_ETA * q->step[r]),
                                  DLF_NUM(e.mean), DLF_NUM(e.lo), DLF_NUM(e.hi)));
        }
    DLF_TRY(dlf_result_table(dlf_run_result(run), "risks",
                             (dlf_text){"理论风险：梯度流与 λ = 1/t 的岭回归",
                                        "risk in theory: flow, and ridge at λ = 1/t"},
                             (const dlf_column[]){{"arm", NULL},
                                                  {"time", "1"},
                                                  {"flow", "1"},
                                                  {"ridge", "1"},
                                                  {"bound", "1"},
                                                  {"ratio", "1"},
                                                  {"ratio_lo", "1"},
                                                  {"ratio_hi", "1"},
                                                  {"most", "1"},
                                                  {NULL, NULL}},
                             &theory));
    const double most = dlf_greatest(dlf_flow_variance_ratio, NULL);
    for (int m = 0; m < STUDY_ARMS; m++)
        for (int i = 0; i < GRID; i++) {
            const double t = grid_time(i);
            double flow = 0.0, ridge = 0.0;
            for (int s = 0; s < q->seeds; s++) {
                const dlf_ridge_problem w = problem(q, m, s);
                const double a = dlf_flow_risk(&w, t), b = dlf_ridge_risk(&w, 1.0 / t);
                flow += a / q->seeds;
                ridge += b / q->seeds;
                value[s] = a / b;
            }
            const dlf_estimate e = dlf_estimate_of(value, q->seeds, 1);
            DLF_TRY(dlf_table_row(theory, DLF_TXT(arm_ids[m]), DLF_NUM(t), DLF_NUM(flow),
                                  DLF_NUM(ridge), DLF_NUM(most * ridge), DLF_NUM(e.mean),
                                  DLF_NUM(e.lo), DLF_NUM(e.hi), DLF_NUM(most)));
        }
    return DLF_OK;
}

static dlf_status risk_figure(dlf_run *run)
{
    const dlf_figure f = {
        .id = "risk",
        .kind = DLF_LINES,
        .title = {"训练时间 t 就是正则化：梯度下降的风险贴着 λ = 1/t 的岭回归",
                  "Training time is regularisation: descent follows ridge at λ = 1/t"},
        .subtitle =
            {"最小二乘，高斯设计；灰色对照没有噪声：训练越久越好，不必早停",
             "least squares, Gaussian design; grey control without noise: longer is better, "
             "nothing to stop"},
        .x = {{"训练时间 t = η × 步数（岭回归为 1/λ）", "time t = η × steps (ridge: 1/λ)"}, true},
        .y = {{"风险 E|w − b|²", "risk E|w − b|²"}, false},
        .series = {{.role = DLF_MEASURED,
                    .table = "paths",
                    .where = "arm",
                    .equals = "noisy",
                    .x = "time",
                    .y = "risk",
                    .lo = "lo",
                    .hi = "hi",
                    .label = {"梯度下降，有噪声", "gradient descent, noisy"},
                    .points = true},
                   {.role = DLF_THEORY,
                    .table = "risks",
                    .where = "arm",
                    .equals = "noisy",
                    .x = "time",
                    .y = "flow",
                    .label = {"梯度流，理论", "gradient flow, theory"}},
                   {.role = DLF_THEORY,
                    .table = "risks",
                    .where = "arm",
                    .equals = "noisy",
                    .x = "time",
                    .y = "ridge",
                    .label = {"岭回归 λ=1/t", "ridge λ=1/t"},
                    .colour = 1},
                   {.role = DLF_REFERENCE,
                    .table = "risks",
                    .where = "arm",
                    .equals = "noisy",
                    .x = "time",
                    .y = "bound",
                    .label = {"1.69 × 岭回归", "1.69 × ridge"}},
                   {.role = DLF_CONTROL,
                    .table = "paths",
                    .where = "arm",
                    .equals = "noiseless",
                    .x = "time",
                    .y = "risk",
                    .label = {"对照：无噪声", "control: no noise"},
                    .colour = 2,
                    .points = true},
                   {.role = DLF_THEORY,
                    .table = "risks",
                    .where = "arm",
                    .equals = "noiseless",
                    .x = "time",
                    .y = "flow",
                    .label = {"梯度流，理论", "gradient flow, theory"},
                    .colour = 2}}};
    return dlf_result_figure(dlf_run_result(run), &f);
}

static dlf_status ratio_figure(dlf_run *run)
{
    const dlf_figure f = {
        .id = "ratio",
        .kind = DLF_LINES,
        .title = {"整条路径上，梯度流的风险不超过岭回归的 1.69 倍",
                  "Along the whole path the risk of gradient flow stays below 1.69 times ridge's"},
        .subtitle = {"同一设计矩阵上 t 时刻与 λ = 1/t 之比；灰色：无噪声，只剩偏差，比值不超过 1",
                     "time t over λ = 1/t for the same design; grey: no noise, bias only, never "
                     "above 1"},
        .x = {{"训练时间 t", "time t"}, true},
        .y = {{"梯度流风险 / 岭回归风险", "risk of flow / risk of ridge"}, false},
        .series = {{.role = DLF_MEASURED,
                    .table = "risks",
                    .where = "arm",
                    .equals = "noisy",
                    .x = "time",
                    .y = "ratio",
                    .lo = "ratio_lo",
                    .hi = "ratio_hi",
                    .label = {"有噪声", "noisy"}},
                   {.role = DLF_CONTROL,
                    .table = "risks",
                    .where = "arm",
                    .equals = "noiseless",
                    .x = "time",
                    .y = "ratio",
                    .lo = "ratio_lo",
                    .hi = "ratio_hi",
                    .label = {"对照：无噪声", "control: no noise"},
                    .colour = 1},
                   {.role = DLF_REFERENCE,
                    .table = "risks",
                    .where = "arm",
                    .equals = "noisy",
                    .x = "time",
                    .y = "most",
                    .label = {"定理的上界", "bound of the theorem"}}}};
    return dlf_result_figure(dlf_run_result(run), &f);
}

/* ---- checks ---- */

static dlf_status constant_checks(dlf_run *run)
{
    double at;
    dlf_check c = dlf_check_exact(
        "theorem_constant",
        (dlf_text){"方差之比的最大值就是定理中的常数，不超过 1.69",
                   "the greatest ratio of variances is the theorem's constant, at most 1.69"},
        dlf_greatest(dlf_flow_variance_ratio, &at));
    c.expected = 1.69;
    c.relation = DLF_AT_MOST;
    c.source = "Ali, Kolter & Tibshirani 2019, abstract; maximised here";
    DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    DLF_TRY(dlf_result_fact(dlf_run_result(run), "constant_at", at, "1"));
    c = dlf_check_exact("bias_constant",
                        (dlf_text){"偏差之比从不超过 1", "the ratio of biases never exceeds 1"},
                        dlf_greatest(dlf_flow_bias_ratio, NULL));
    c.expected = 1.0;
    c.relation = DLF_AT_MOST;
    c.source = "closed form: e^−x (1 + x) <= 1; maximised here";
    DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    return dlf_result_fact(dlf_run_result(run), "tuned_constant",
                           dlf_greatest(dlf_flow_tuned_ratio, NULL), "1");
}

/* What the checks compare, per seed. */
typedef enum per_seed {
    WORST_RATIO, /* max over t of flow / ridge(1/t)          */
    TUNED,       /* least flow / least ridge                  */
    LAMBDA,      /* best lambda                               */
    TIME_LAMBDA, /* best t x best lambda                      */
    CONVERGED,   /* least squares                             */
    OVERFIT,     /* converged / least flow                    */
    SIMULATED,   /* simulated / theory at the best step       */
    QUIET,       /* noiseless: last / least risk of the path  */
    PER_SEED
} per_seed;

static void measure(const study *q, double *value, double *noise)
{
    const int S = q->seeds;
    *noise = 0.0;
    for (int s = 0; s < S; s++) {
        const dlf_ridge_problem w = problem(q, 0, s);
        double t, lambda, spread, worst = 0.0;
        const double flow = dlf_best_flow(&w, &t), ridge = dlf_best_ridge(&w, &lambda);
        for (int i = 0; i < 10 * GRID; i++) {
            const double at = T_LOW * pow(T_HIGH / T_LOW, i / (10.0 * GRID));
            worst = fmax(worst, dlf_flow_risk(&w, at) / dlf_ridge_risk(&w, 1.0 / at));
        }
        int best = 0; /* the recorded step nearest to the best time */
        for (int r = 1; r < q->records; r++)
            if (fabs(log(STUDY_ETA * q->step[r] / t)) < fabs(log(STUDY_ETA * q->step[best] / t)))
                best = r;
        const double theory = dlf_descent_risk(&w, STUDY_ETA, q->step[best], &spread);
        value[WORST_RATIO * S + s] = worst;
        value[TUNED * S + s] = flow / ridge;
        value[LAMBDA * S + s] = lambda;
        value[TIME_LAMBDA * S + s] = t * lambda;
        value[CONVERGED * S + s] = dlf_converged_risk(&w);
        value[OVERFIT * S + s] = dlf_converged_risk(&w) / flow;
        value[SIMULATED * S + s] = q->risk[best * q->members + s] / theory;
        *noise += spread / theory / S; /* standard deviation of one copy, relative */
        double least = INFINITY;
        for (int r = 0; r < q->records; r++) least = fmin(least, q->risk[r * q->members + S + s]);
        value[QUIET * S + s] = q->risk[(q->records - 1) * q->members + S + s] / least;
    }
}

static dlf_status path_checks(dlf_run *run, const study *q, double *value)
{
    const int S = q->seeds;
    double noise;
    measure(q, value, &noise);
    /* Var tr W^-1 of a Wishart matrix (von Rosen 1988); H = W/n, risk = tr H^-1 / n */
    const double d = q->n - q->p, mean = q->p / (d - 1.0);
    const double variance =
        2.0 * q->p / ((d - 1.0) * (d - 1.0) * (d - 3.0)) * (1.0 + (q->p - 1.0) / d);
    const struct {
        const char *id;
        dlf_text claim;
        per_seed which;
        double expected, tolerance;
        dlf_relation relation;
        const char *source;
    } checks[] = {
        {"path_ratio",
         {"整条路径上，梯度流的风险不超过 λ = 1/t 的岭回归的 1.69 倍",
          "along the whole path flow's risk is at most 1.69 times that of ridge at λ = 1/t"},
         WORST_RATIO,
         dlf_greatest(dlf_flow_variance_ratio, NULL),
         0.0,
         DLF_AT_MOST,
         "Ali, Kolter & Tibshirani 2019, theorem 1; constant maximised here"},
        {"tuned_ratio",
         {"各自调到最好时，早停的风险至多是岭回归的 1.22 倍",
          "both at their best, early stopping has at most 1.22 times ridge's risk"},
         TUNED,
         dlf_greatest(dlf_flow_tuned_ratio, NULL),
         0.0,
         DLF_AT_MOST,
         "Ali, Kolter & Tibshirani 2019 (1.22); constant maximised here"},
        {"ridge_wins",
         {"早停从不优于调好的岭回归", "early stopping never beats tuned ridge"},
         TUNED,
         1.0,
         1e-12,
         DLF_AT_LEAST,
         "ridge at σ²p/n is the posterior mean: no estimate has less Bayes risk"},
        {"ridge_lambda",
         {"岭回归的最优 λ 是 σ²p/n", "the best λ of ridge is σ²p/n"},
         LAMBDA,
         (double)q->p / q->n,
         1e-5,
         DLF_EQUAL,
         "closed form: every term of the risk is least there; 1e-5: minimum of a rounded curve"},
        {"overfit_risk",
         {"训练到收敛的风险是 σ²p/(n−p−1)", "trained to convergence the risk is σ²p/(n−p−1)"},
         CONVERGED,
         mean,
         4.0 * sqrt(variance / S),
         DLF_EQUAL,
         "mean of the inverse Wishart distribution; four standard errors over designs"},
        {"overfit_factor",
         {"训练到收敛的风险比及时停下的大",
          "trained to convergence the risk exceeds that of stopping "
          "in time"},
         OVERFIT,
         1.0,
         0.0,
         DLF_AT_LEAST,
         "ordering"},
        {"simulated_risk",
         {"在最优停止时刻，实测风险与闭式解之比为 1",
          "at the best time simulated risk over closed form is 1"},
         SIMULATED,
         1.0,
         4.0 * noise / sqrt((double)S * q->copies),
         DLF_EQUAL,
         "closed form of the discrete path; four standard errors over draws"},
        {"no_noise_no_stop",
         {"对照：没有噪声时，风险在训练结束时最小",
          "control: without noise the risk is least at the "
          "end"},
         QUIET,
         1.0,
         1e-6,
         DLF_EQUAL,
         "closed form: only the bias is left, and it falls"},
    };
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        dlf_check c = dlf_check_of(checks[i].id, checks[i].claim,
                                   dlf_estimate_of(value + checks[i].which * S, S, 1));
        c.expected = checks[i].expected;
        c.tolerance = checks[i].tolerance;
        c.relation = checks[i].relation;
        c.source = checks[i].source;
        DLF_TRY(dlf_result_check(dlf_run_result(run), c));
    }
    const dlf_estimate product = dlf_estimate_of(value + TIME_LAMBDA * S, S, 1);
    return dlf_result_fact(dlf_run_result(run), "time_times_lambda", product.mean, "1");
}

dlf_status study_report(dlf_run *run, const study *q, double *value)
{
    _Static_assert((int)PER_SEED == (int)STUDY_VALUES, "room for what is compared per seed");
    DLF_TRY(identity_check(run, q));
    DLF_TRY(risk_tables(run, q, value));
    DLF_TRY(risk_figure(run));
    DLF_TRY(ratio_figure(run));
    DLF_TRY(constant_checks(run));
    return path_checks(run, q, value);
}
