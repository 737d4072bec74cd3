/* SPDX-License-Identifier: MIT
 * multi_task_representation.c -- Q26: linear tasks whose weights lie in one small subspace, which
 * all of them together show. Control: tasks of the same length that have nothing in common. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/rng.h"
#include "dlf/theory.h"
#include "figures.h"
#include "multi_task.h"
#include "multi_task_checks.h"

static const int counts[] = {8, 16, 32, 64, 128, 256, 512};
enum { COUNTS = sizeof counts / sizeof counts[0], K = 3, FEW = 0, SOME = 3, MANY = COUNTS - 1 };
enum { RELATED, UNRELATED, KINDS };
static const double strength =
    2.0; /* singular values of the weights over those of the noise, each */

typedef struct lab {
    int d, seeds, draws;
    double *w, *y, *axes, *loads;  /* (T,d) weights, estimates; (K,d); (K,T)  */
    double *gram, *value, *vector; /* (d,d), (d), (d,d)                        */
    double *risk;                  /* (KINDS, COUNTS, seeds)                   */
    double *ridge;                 /* (seeds)                                  */
} lab;

static double *cell(const lab *l, int kind, int c)
{
    return l->risk + (kind * COUNTS + c) * l->seeds;
}

static double dot(const double *a, const double *b, int n)
{
    double s = 0.0;
    for (int i = 0; i < n; i++) s += a[i] * b[i];
    return s;
}

/* K random orthonormal rows of n (Gram-Schmidt). */
static void orthonormal(double *a, int n, uint64_t seed, uint32_t stream, uint32_t member)
{
    for (int k = 0; k < K; k++) {
        double *row = a + (long)k * n;
        for (int i = 0; i < n; i++)
            row[i] = dlf_rng_normal(seed, stream, member, (uint64_t)((long)k * n + i));
        for (int twice = 0; twice < 2; twice++)
            for (int other = 0; other < k; other++) {
                const double c = dot(row, a + (long)other * n, n);
                for (int i = 0; i < n; i++) row[i] -= c * a[(long)other * n + i];
            }
        const double length = sqrt(dot(row, row, n));
        for (int i = 0; i < n; i++) row[i] /= length;
    }
}

/* Weights of T tasks, mean |w|^2 = K strength^2: in K directions, or in all. */
static void make_tasks(const lab *l, int kind, int T, uint64_t seed, uint32_t member)
{
    const double each = strength * sqrt((double)K / l->d);
    if (kind == RELATED) {
        orthonormal(l->axes, l->d, seed, dlf_stream(DLF_PURPOSE_WEIGHTS, 85), member);
        orthonormal(l->loads, T, seed, dlf_stream(DLF_PURPOSE_WEIGHTS, 86), member);
    }
    for (int t = 0; t < T; t++)
        for (int j = 0; j < l->d; j++) {
            double w = 0.0;
            for (int k = 0; k < K && kind == RELATED; k++)
                w += strength * sqrt(T) * l->loads[(long)k * T + t] * l->axes[k * l->d + j];
            if (kind == UNRELATED)
                w = each * dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_WEIGHTS, 87), member,
                                          (uint64_t)((long)t * l->d + j));
            l->w[(long)t * l->d + j] = w;
        }
}

/* Risk per task of the estimates y, projected on their K principal directions. */
static double shared(const lab *l, int T)
{
    const int d = l->d;
    memset(l->gram, 0, (size_t)(d * d) * sizeof *l->gram);
    for (int t = 0; t < T; t++)
        for (int i = 0; i < d; i++)
            for (int j = 0; j < d; j++)
                l->gram[i * d + j] += l->y[(long)t * d + i] * l->y[(long)t * d + j];
    dlf_symmetric_eigen(l->gram, d, l->value, l->vector);
    double risk = 0.0;
    for (int t = 0; t < T; t++) {
        const double *y = l->y + (long)t * d, *w = l->w + (long)t * d;
        double part[K];
        for (int k = 0; k < K; k++) part[k] = dot(l->vector + (long)k * d, y, d);
        for (int j = 0; j < d; j++) {
            double estimate = 0.0;
            for (int k = 0; k < K; k++) estimate += part[k] * l->vector[(long)k * d + j];
            risk += pow(estimate - w[j], 2.0) / T;
        }
    }
    return risk;
}

/* Every task alone, its estimate shrunk as ridge does with the best strength. */
static double alone(const lab *l, int T)
{
    const double q = K * strength * strength / l->d, keep = q / (1.0 + q);
    double risk = 0.0;
    for (long i = 0; i < (long)T * l->d; i++) risk += pow(keep * l->y[i] - l->w[i], 2.0) / T;
    return risk;
}

static dlf_status measure(const lab *l, dlf_run *run, double from, double to)
{
    const uint64_t seed = dlf_run_seed(run);
    for (int s = 0; s < l->seeds; s++)
        for (int c = 0; c < COUNTS; c++) {
            DLF_TRY(dlf_run_stage(run, from + (to - from) * s / l->seeds, "shared representation"));
            for (int draw = 0; draw < l->draws; draw++)
                for (int kind = 0; kind < KINDS; kind++) {
                    const int T = counts[c];
                    const uint32_t member =
                        (uint32_t)(((s * COUNTS + c) * l->draws + draw) * KINDS + kind);
                    make_tasks(l, kind, T, seed, member);
                    for (long i = 0; i < (long)T * l->d; i++)
                        l->y[i] = l->w[i] + dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_INPUT, 85),
                                                           member, (uint64_t)i);
                    cell(l, kind, c)[s] += shared(l, T) / l->draws;
                    if (c == MANY && kind == RELATED) l->ridge[s] += alone(l, T) / l->draws;
                }
        }
    return DLF_OK;
}

/* ---- report ---- */

static dlf_status checks(const lab *l, dlf_run *run)
{
    static const char source[] = "Benaych-Georges & Nadakuditi 2012, with d-k for d; 4 standard "
                                 "errors or 2 %";
    char zh[160], en[160];
    for (int i = 0; i < 2; i++) {
        const int c = i ? MANY : SOME;
        snprintf(zh, sizeof zh, "%d 个任务共用 %d 维表示（共 %d 维）：每个任务的误差", counts[c], K,
                 l->d);
        snprintf(en, sizeof en,
                 "%d tasks share a representation of %d of %d dimensions: error per "
                 "task",
                 counts[c], K, l->d);
        DLF_TRY(law(run, i ? "shared_many" : "shared_some", (dlf_text){zh, en}, cell(l, RELATED, c),
                    dlf_shared_risk(l->d, K, counts[c], strength), source));
    }
    DLF_TRY(law(run, "alone_ridge",
                (dlf_text){"每个任务单独学，岭回归取最好的强度：误差",
                           "every task alone, with the best ridge: error"},
                l->ridge, dlf_alone_ridge_risk(l->d, K, strength),
                "closed form: d q/(1+q); 4 standard errors or 2 %"));
    DLF_TRY(
        at_most(run, "unrelated_shared",
                (dlf_text){"对照，任务毫无共同之处：共用表示也不比单独学差（误差）",
                           "control, tasks with nothing in common: sharing is no worse than alone "
                           "(error)"},
                cell(l, UNRELATED, MANY), dlf_alone_ridge_risk(l->d, K, strength),
                "the sentence \"sharing helps\"; tasks alone: closed form"));
    DLF_TRY(at_most(run, "few_tasks",
                    (dlf_text){"只有八个任务：共用表示也不比单独学差（误差）",
                               "only eight tasks: sharing is no worse than alone (error)"},
                    cell(l, RELATED, FEW), dlf_alone_ridge_risk(l->d, K, strength),
                    "the sentence \"sharing helps\"; tasks alone: closed form"));
    return dlf_result_fact(dlf_run_result(run), "oracle", K, "1");
}

static dlf_status table_and_figure(const lab *l, dlf_run *run)
{
    dlf_table *t;
    const double ridge = dlf_alone_ridge_risk(l->d, K, strength);
    DLF_TRY(
        dlf_result_table(dlf_run_result(run), "representation",
                         (dlf_text){"每个任务的误差与任务数", "error per task by number of tasks"},
                         (const dlf_column[]){{"tasks", "1"},
                                              {"risk", "1"},
                                              {"lo", "1"},
                                              {"hi", "1"},
                                              {"theory", "1"},
                                              {"unrelated", "1"},
                                              {"unrelated_lo", "1"},
                                              {"unrelated_hi", "1"},
                                              {"alone", "1"},
                                              {"oracle", "1"},
                                              {NULL, NULL}},
                         &t));
    for (int c = 0; c < COUNTS; c++) {
        const dlf_estimate r = dlf_estimate_of(cell(l, RELATED, c), l->seeds, 1),
                           u = dlf_estimate_of(cell(l, UNRELATED, c), l->seeds, 1);
        DLF_TRY(dlf_table_row(t, DLF_NUM(counts[c]), DLF_NUM(r.mean), DLF_NUM(r.lo), DLF_NUM(r.hi),
                              DLF_NUM(dlf_shared_risk(l->d, K, counts[c], strength)),
                              DLF_NUM(u.mean), DLF_NUM(u.lo), DLF_NUM(u.hi), DLF_NUM(ridge),
                              DLF_NUM(K)));
    }
    dlf_figure f = {
        .id = "representation",
        .kind = DLF_LINES,
        .title =
            {"任务足够多，共用的表示才学得出来；没有共同之处就永远吃亏",
             "It takes many tasks to learn what they share; with nothing shared it never pays"},
        .subtitle = {"线性任务的权重都在一个 3 维子空间里；虚线为渐近理论，没有拟合参数",
                     "linear tasks with weights in one subspace of 3; asymptotic theory dashed, "
                     "nothing fitted"},
        .x = {{"任务数", "tasks"}, true},
        .y = {{"每个任务的误差", "error per task"}, true}};
    f.series[0] = (dlf_series){.role = DLF_MEASURED,
                               .table = "representation",
                               .x = "tasks",
                               .y = "risk",
                               .lo = "lo",
                               .hi = "hi",
                               .label = {"共用表示", "shared"},
                               .colour = 0,
                               .points = true};
    dlf_theory_of(&f, 0, 1, "theory");
    f.series[2] = (dlf_series){.role = DLF_CONTROL,
                               .table = "representation",
                               .x = "tasks",
                               .y = "unrelated",
                               .lo = "unrelated_lo",
                               .hi = "unrelated_hi",
                               .label = {"对照：无共同之处", "control: nothing shared"},
                               .colour = 1};
    f.series[3] = (dlf_series){.role = DLF_THEORY,
                               .table = "representation",
                               .x = "tasks",
                               .y = "alone",
                               .label = {"单独学，岭回归", "alone, ridge"},
                               .colour = 2};
    f.series[4] = (dlf_series){.role = DLF_REFERENCE,
                               .table = "representation",
                               .x = "tasks",
                               .y = "oracle",
                               .label = {"表示已知", "representation known"}};
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_multi_task_representation(dlf_run *run, double from, double to)
{
    lab l = {.d = dlf_run_int(run, "features"),
             .seeds = dlf_run_seeds(run),
             .draws = dlf_run_int(run, "draws")};
    const size_t d = (size_t)l.d, most = counts[MANY], S = (size_t)l.seeds;
    l.risk = calloc((KINDS * COUNTS + 1) * S, sizeof *l.risk);
    l.w = malloc((2 * most * d + K * (d + most) + 2 * d * d + d) * sizeof *l.w);
    dlf_status status;
    if (!l.risk || !l.w) {
        status = dlf_fail(DLF_ERR_OOM, "multi-task: out of memory");
        goto done;
    }
    l.ridge = l.risk + KINDS * COUNTS * S;
    l.y = l.w + most * d;
    l.axes = l.y + most * d;
    l.loads = l.axes + K * d;
    l.gram = l.loads + K * most;
    l.vector = l.gram + d * d;
    l.value = l.vector + d * d;
    DLF_TRY_DONE(measure(&l, run, from, to));
    DLF_TRY_DONE(checks(&l, run));
    status = table_and_figure(&l, run);
done:
    free(l.w);
    free(l.risk);
    return status;
}
