/* SPDX-License-Identifier: MIT
 * forgetting_quadratic.c -- Q11: elastic weight consolidation (Kirkpatrick et al. 2017) where it is
 * exact, on least squares, and what is lost by keeping only the diagonal of the Fisher information.
 * Control: the whole matrix. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/rng.h"
#include "figures.h"
#include "forgetting.h"
#include "least_squares.h"
#include "seed_check.h"

static const double correlations[] = {0.0, 0.1, 0.3, 0.6, 0.9};
enum { SWEEP = sizeof correlations / sizeof correlations[0], D = 20, STRONG = 3, TASKS = 2 };
static const double noise = 0.1;

typedef struct pair {
    int rows;
    double *x[TASKS], *y[TASKS];         /* (rows,D), (rows); the second right behind the first */
    double h[TASKS][D * D], q[TASKS][D]; /* X'X / rows, X'y / rows                             */
    double best[TASKS][D], joint[D];     /* of each task, of both                              */
} pair;

/* Two tasks whose difference has the same length in the direction of equal weights as in any other:
 * without that a few draws would decide the mean. */
static void tasks(double w[TASKS][D], uint64_t seed, uint32_t member)
{
    double mean = 0.0, square = 0.0;
    for (int t = 0; t < TASKS; t++)
        for (int j = 0; j < D; j++)
            w[t][j] = dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_WEIGHTS, 82), member,
                                     (uint64_t)(t * D + j));
    for (int j = 0; j < D; j++) mean += w[1][j] / D;
    for (int j = 0; j < D; j++) square += pow(w[1][j] - mean, 2.0);
    for (int j = 0; j < D; j++)
        w[1][j] = w[0][j] + (w[1][j] - mean) * sqrt((D - 1) / square) + 1.0 / sqrt(D);
}

/* x = sqrt(1-rho) z + sqrt(rho) z_0: correlation rho between any two features. */
static dlf_status draw(pair *p, uint64_t seed, uint32_t member, double rho)
{
    double w[TASKS][D];
    tasks(w, seed, member);
    for (int t = 0; t < TASKS; t++) {
        const uint32_t m = TASKS * member + (uint32_t)t;
        for (int i = 0; i < p->rows; i++) {
            const uint64_t at = (uint64_t)i * (D + 2);
            const uint32_t stream = dlf_stream(DLF_PURPOSE_INPUT, 82);
            const double common = sqrt(rho) * dlf_rng_normal(seed, stream, m, at);
            p->y[t][i] = noise * dlf_rng_normal(seed, stream, m, at + 1);
            for (int j = 0; j < D; j++) {
                const double x = common + sqrt(1.0 - rho) *
                                              dlf_rng_normal(seed, stream, m, at + 2 + (uint64_t)j);
                p->x[t][(long)i * D + j] = x;
                p->y[t][i] += w[t][j] * x;
            }
        }
        memset(p->h[t], 0, sizeof p->h[t]);
        memset(p->q[t], 0, sizeof p->q[t]);
        for (int i = 0; i < p->rows; i++) {
            const double *x = p->x[t] + (long)i * D;
            for (int j = 0; j < D; j++) {
                p->q[t][j] += x[j] * p->y[t][i] / p->rows;
                for (int k = 0; k < D; k++) p->h[t][j * D + k] += x[j] * x[k] / p->rows;
            }
        }
        DLF_TRY(dlf_least_squares(p->best[t], p->x[t], p->y[t], p->rows, D, 0.0));
    }
    return dlf_least_squares(p->joint, p->x[0], p->y[0], TASKS * p->rows, D, 0.0);
}

/* Mean squared error over the rows of both tasks, above that of the joint fit. */
static double excess(const pair *p, const double *w)
{
    double sum = 0.0;
    for (int t = 0; t < TASKS; t++)
        for (int j = 0; j < D; j++)
            for (int k = 0; k < D; k++)
                sum += 0.5 * (w[j] - p->joint[j]) * p->h[t][j * D + k] * (w[k] - p->joint[k]);
    return sum;
}

/* The second task with the penalty (w - w_1)' H_1 (w - w_1), whole or its diagonal. */
static dlf_status consolidate(const pair *p, bool diagonal, double *w)
{
    double a[D * D];
    for (int j = 0; j < D; j++) {
        w[j] = p->q[1][j];
        for (int k = 0; k < D; k++) {
            const double keep = diagonal && j != k ? 0.0 : p->h[0][j * D + k];
            a[j * D + k] = p->h[1][j * D + k] + keep;
            w[j] += keep * p->best[0][k];
        }
    }
    return dlf_solve_positive(a, D, w, 1)
               ? DLF_OK
               : dlf_fail(DLF_ERR_SELF_CHECK, "forgetting: the Fisher information is singular");
}

typedef struct outcome {
    double *diagonal, *full; /* (SWEEP, seeds) */
    double worst;            /* |full - joint| / |joint| */
} outcome;

static dlf_status measure(outcome *o, pair *p, dlf_run *run, double from, double to)
{
    const int seeds = dlf_run_seeds(run);
    double full[D], diagonal[D];
    for (int s = 0; s < seeds; s++)
        for (int r = 0; r < SWEEP; r++) {
            DLF_TRY(dlf_run_stage(run, from + (to - from) * s / seeds, "quadratic losses"));
            DLF_TRY(draw(p, dlf_run_seed(run), (uint32_t)(s * SWEEP + r), correlations[r]));
            DLF_TRY(consolidate(p, false, full));
            DLF_TRY(consolidate(p, true, diagonal));
            const double naive = excess(p, p->best[1]);
            o->full[r * seeds + s] = excess(p, full) / naive;
            o->diagonal[r * seeds + s] = excess(p, diagonal) / naive;
            double gap = 0.0, length = 0.0;
            for (int j = 0; j < D; j++) {
                gap += pow(full[j] - p->joint[j], 2.0);
                length += p->joint[j] * p->joint[j];
            }
            const double relative = sqrt(gap / length);
            if (!(relative <= o->worst)) o->worst = relative;
        }
    return DLF_OK;
}

static dlf_status report(const outcome *o, dlf_run *run)
{
    const int seeds = dlf_run_seeds(run);
    dlf_result *result = dlf_run_result(run);
    dlf_check c = dlf_check_exact(
        "ewc_is_joint",
        (dlf_text){"二次损失、完整的 Fisher 矩阵：EWC 就是联合训练（权重的最大相对差）",
                   "quadratic losses, the whole Fisher matrix: EWC is joint "
                   "training (largest relative difference of the weights)"},
        o->worst);
    c.tolerance = 1e-9;
    c.self_check = true;
    c.source = "identity: the first task's loss is its penalty; rounding";
    DLF_TRY(dlf_result_check(result, c));
    for (int k = 0; k < 2; k++) {
        const int r = k ? STRONG : 0;
        c = dlf_check_of(
            k ? "ewc_diagonal" : "ewc_uncorrelated",
            k ? (dlf_text){"特征相关 0.6：只留对角线的 EWC 剩下多少额外损失（不保护为 1）",
                           "features correlate 0.6: excess loss that EWC with the "
                           "diagonal alone leaves (1 without protection)"}
              : (dlf_text){"特征不相关：只留对角线的 EWC 剩下的额外损失",
                           "uncorrelated features: excess loss that EWC with the "
                           "diagonal alone leaves"},
            dlf_estimate_of(o->diagonal + r * seeds, seeds, 1));
        c.expected = dlf_diagonal_excess(correlations[r], D, 1.0 / D);
        const dlf_estimate e = dlf_estimate_of(o->diagonal + r * seeds, seeds, 1);
        c.tolerance = 4.0 * e.sd / sqrt(seeds) + (double)D / dlf_run_int(run, "quadratic_rows");
        c.source = "closed form: sum lambda ((lambda-1)/(lambda+1))^2 delta^2 / sum lambda "
                   "delta^2; 4 standard errors, and d/n for the spread of measured eigenvalues";
        DLF_TRY(dlf_result_check(result, c));
    }
    dlf_table *t;
    DLF_TRY(dlf_result_table(result, "diagonal",
                             (dlf_text){"EWC 剩下的额外损失与特征的相关系数",
                                        "excess loss that EWC leaves, by correlation of features"},
                             (const dlf_column[]){{"correlation", "1"},
                                                  {"diagonal", "1"},
                                                  {"lo", "1"},
                                                  {"hi", "1"},
                                                  {"theory", "1"},
                                                  {"full", "1"},
                                                  {NULL, NULL}},
                             &t));
    for (int r = 0; r < SWEEP; r++) {
        const dlf_estimate e = dlf_estimate_of(o->diagonal + r * seeds, seeds, 1);
        DLF_TRY(dlf_table_row(t, DLF_NUM(correlations[r]), DLF_NUM(e.mean), DLF_NUM(e.lo),
                              DLF_NUM(e.hi),
                              DLF_NUM(dlf_diagonal_excess(correlations[r], D, 1.0 / D)),
                              DLF_NUM(dlf_estimate_of(o->full + r * seeds, seeds, 1).mean)));
    }
    dlf_figure f = {
        .id = "diagonal",
        .kind = DLF_LINES,
        .title = {"只留对角线的 EWC 在特征相关时漏掉大半",
                  "EWC with the diagonal alone misses most where features correlate"},
        .subtitle = {"两个最小二乘任务；0：联合训练，1：不保护；虚线为闭式解，没有拟合参数",
                     "two least-squares tasks; 0: joint training, 1: no protection; closed form "
                     "dashed, nothing fitted"},
        .x = {{"特征之间的相关系数", "correlation of features"}, false},
        .y = {{"剩下的额外损失", "excess loss left"}, false}};
    f.series[0] = (dlf_series){.role = DLF_MEASURED,
                               .table = "diagonal",
                               .x = "correlation",
                               .y = "diagonal",
                               .lo = "lo",
                               .hi = "hi",
                               .label = {"EWC，对角线", "EWC, diagonal"},
                               .points = true};
    dlf_theory_of(&f, 0, 1, "theory");
    f.series[2] = (dlf_series){.role = DLF_CONTROL,
                               .table = "diagonal",
                               .x = "correlation",
                               .y = "full",
                               .label = {"对照：EWC，完整矩阵", "control: EWC, whole matrix"},
                               .colour = 1};
    return dlf_result_figure(result, &f);
}

dlf_status dlf_forgetting_quadratic(dlf_run *run, double from, double to)
{
    const int seeds = dlf_run_seeds(run);
    pair p = {.rows = dlf_run_int(run, "quadratic_rows")};
    outcome o = {.diagonal = malloc((size_t)(2 * SWEEP * seeds) * sizeof *o.diagonal)};
    p.x[0] = malloc((size_t)p.rows * TASKS * (D + 1) * sizeof *p.x[0]);
    dlf_status status;
    if (!o.diagonal || !p.x[0]) {
        status = dlf_fail(DLF_ERR_OOM, "forgetting: out of memory");
        goto done;
    }
    o.full = o.diagonal + SWEEP * seeds;
    p.x[1] = p.x[0] + (long)p.rows * D;
    p.y[0] = p.x[1] + (long)p.rows * D;
    p.y[1] = p.y[0] + p.rows;
    DLF_TRY_DONE(measure(&o, &p, run, from, to));
    status = report(&o, run);
done:
    free(p.x[0]);
    free(o.diagonal);
    return status;
}
