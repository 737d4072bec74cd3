/* SPDX-License-Identifier: MIT
 * perceptron_bound.c -- Q12: at most (R/gamma)^2 mistakes (Novikoff 1962). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dlf/data.h"
#include "dlf/rng.h"
#include "hull.h"
#include "perceptron.h"
#include "seed_check.h"

static const double planted[] = {0.3, 0.1, 0.03, 0.01};
enum { PLANTED = sizeof planted / sizeof planted[0], AXES = 100 };

dlf_status dlf_perceptron_planted(float *x, float *t, double *u, int n, int d, double margin,
                                  uint64_t seed, uint32_t member)
{
    const uint32_t stream = dlf_stream(DLF_PURPOSE_DATA, 1);
    uint64_t index = 0;
    double *row = malloc(2 * (size_t)d * sizeof *row), *plane = row + d;
    if (!row) return dlf_fail(DLF_ERR_OOM, "perceptron: out of memory");
    long draws = 0;
    int i = -1; /* the first draw is the plane */
    while (i < n && draws++ < 1000L * (n + 1)) {
        double length = 0.0, z = 0.0;
        for (int j = 0; j < d; j++) {
            row[j] = dlf_rng_normal(seed, stream, member, index++);
            length += row[j] * row[j];
        }
        for (int j = 0; j < d; j++) row[j] /= sqrt(length);
        if (i < 0) {
            for (int j = 0; j < d; j++) plane[j] = row[j];
            if (u)
                for (int j = 0; j < d; j++) u[j] = row[j];
        } else {
            for (int j = 0; j < d; j++) z += plane[j] * row[j];
            if (!(fabs(z) >= margin)) continue;
            for (int j = 0; j < d; j++) x[(long)i * d + j] = (float)row[j];
            t[i] = z > 0.0 ? 1.0f : -1.0f;
        }
        i++;
    }
    free(row);
    if (i == n) return DLF_OK;
    return dlf_fail(DLF_ERR_ARG,
                    "perceptron: a margin of %g in %d dimensions leaves no data: set fewer "
                    "dimensions (--set p=..)",
                    margin, d);
}

dlf_status dlf_perceptron_margin(double *margin, double *R, const float *x, const float *t, int n,
                                 int d)
{
    double *a = calloc((size_t)n * (size_t)d, sizeof *a), longest = 0.0;
    *margin = 0.0;
    if (!a) return dlf_fail(DLF_ERR_OOM, "perceptron: out of memory");
    for (int i = 0; i < n; i++) {
        double square = 0.0;
        for (int j = 0; j < d; j++) {
            const double v = x[(long)i * d + j];
            a[(long)i * d + j] = v * t[i];
            square += v * v;
        }
        longest = fmax(longest, square);
    }
    dlf_hull hull;
    const dlf_status status = dlf_hull_nearest(&hull, a, n, d, NULL, NULL);
    free(a);
    *margin = hull.margin;
    if (R) *R = sqrt(longest);
    return status;
}

typedef struct study {
    int n, d, seeds, members;
    float *x, *t; /* (members, n, d), (members, n) */
    int32_t *order;
    double *margin, *mistakes;
    double *w; /* (members, d) at the end */
    int *last;
} study;

static dlf_status study_new(study *s, const dlf_run *run)
{
    *s = (study){
        .n = dlf_run_int(run, "n"), .d = dlf_run_int(run, "p"), .seeds = dlf_run_seeds(run)};
    s->members = s->seeds * PLANTED;
    const size_t P = (size_t)s->members, rows = P * (size_t)s->n;
    s->x = malloc(rows * (size_t)s->d * sizeof *s->x);
    s->t = malloc(rows * sizeof *s->t);
    s->order = malloc(2 * rows * sizeof *s->order);
    s->margin = malloc(P * sizeof *s->margin);
    s->mistakes = malloc(P * sizeof *s->mistakes);
    s->last = malloc(P * sizeof *s->last);
    s->w = malloc(P * (size_t)s->d * sizeof *s->w);
    if (s->x && s->t && s->order && s->margin && s->mistakes && s->last && s->w) return DLF_OK;
    return dlf_fail(DLF_ERR_OOM, "perceptron: out of memory");
}

static void study_free(study *s)
{
    free(s->w);
    free(s->last);
    free(s->mistakes);
    free(s->margin);
    free(s->order);
    free(s->t);
    free(s->x);
}

/* Member k * seeds + seed has margin planted[k]; each sees its rows in an order of its own. */
static dlf_status prepare(study *s, dlf_run *run, double from, double to)
{
    int32_t *own = s->order + (long)s->members * s->n; /* second half: scratch */
    for (int m = 0; m < s->members; m++) {
        float *x = s->x + (long)m * s->n * s->d, *t = s->t + (long)m * s->n;
        DLF_TRY(dlf_run_stage(run, from + (to - from) * m / s->members, "largest margins"));
        DLF_TRY(dlf_perceptron_planted(x, t, NULL, s->n, s->d, planted[m / s->seeds],
                                       dlf_run_seed(run), (uint32_t)m));
        DLF_TRY(dlf_perceptron_margin(s->margin + m, NULL, x, t, s->n, s->d));
        dlf_permutation(own, s->n, dlf_run_seed(run), dlf_stream(DLF_PURPOSE_SHUFFLE, 1),
                        (uint32_t)m);
        for (int i = 0; i < s->n; i++) s->order[(long)i * s->members + m] = m * s->n + own[i];
    }
    return DLF_OK;
}

/* ---- where the bound is reached ---- */

/* n unit vectors along different axes: w . x is exactly 0 before x is seen, so each is a mistake
 * once; gamma = 1/sqrt(n), R = 1, bound n. */
static dlf_status axes(dlf_run *run, dlf_table *table)
{
    static const int counts[] = {5, 20, AXES};
    enum { MEMBERS = 3 };
    float x[AXES * AXES] = {0}, t[AXES];
    int32_t order[AXES * MEMBERS];
    double total[MEMBERS], worst = 0.0;
    int last[MEMBERS];
    dlf_perceptrons machine;
    dlf_status status;
    for (int i = 0; i < AXES; i++) {
        x[i * AXES + i] = 1.0f;
        t[i] = dlf_rng_bits(dlf_run_seed(run), dlf_stream(DLF_PURPOSE_DATA, 2), 0, (uint64_t)i) & 1
                   ? 1.0f
                   : -1.0f;
        for (int m = 0; m < MEMBERS; m++) order[i * MEMBERS + m] = i % counts[m];
    }
    DLF_TRY_DONE(dlf_perceptrons_new(&machine, dlf_run_device(run), MEMBERS, AXES, AXES, x, AXES, 1,
                                     t, false));
    DLF_TRY_DONE(dlf_perceptrons_order(&machine, AXES, order, NULL));
    DLF_TRY_DONE(dlf_perceptrons_converge(&machine, 3, total, last, NULL, 0, 0, ""));
    for (int m = 0; m < MEMBERS; m++) {
        double margin;
        DLF_TRY_DONE(dlf_perceptron_margin(&margin, NULL, x, t, counts[m], AXES));
        const double bound = 1.0 / (margin * margin);
        worst = fmax(worst, fabs(total[m] / bound - 1.0));
        if (isnan(margin)) worst = NAN;
        DLF_TRY_DONE(dlf_table_row(table, DLF_TXT("axes"), DLF_NUM(margin), DLF_NUM(m),
                                   DLF_NUM(margin), DLF_NUM(bound), DLF_NUM(total[m]),
                                   DLF_NUM(last[m])));
    }
    DLF_TRY_DONE(dlf_add_exact(
        run, "bound_tight",
        (dlf_text){"正交的样本：错误次数恰好等于 (R/γ)²，界不能再改进（最大相对差）",
                   "orthogonal rows: as many mistakes as (R/γ)², so the bound cannot be better "
                   "(largest relative difference)"},
        worst, 0.0, 1e-9, "closed form: n unit vectors on n axes, gamma = 1/sqrt(n)", NULL));
done:
    dlf_perceptrons_free(&machine);
    return status;
}

/* ---- report ---- */

/* Margin of the hyperplane that member m ended with, over the largest there is. */
static double margin_share(const study *s, int m)
{
    const double *w = s->w + (long)m * s->d;
    double least = INFINITY, length = 0.0;
    for (int j = 0; j < s->d; j++) length += w[j] * w[j];
    for (int i = 0; i < s->n; i++) {
        double z = 0.0;
        for (int j = 0; j < s->d; j++) z += w[j] * s->x[((long)m * s->n + i) * s->d + j];
        z *= s->t[(long)m * s->n + i];
        if (!(z >= least)) least = z;
    }
    return least / sqrt(length) / s->margin[m];
}

static dlf_status report(const study *s, dlf_run *run, dlf_table *table)
{
    double worst = 0.0, unfinished = 0.0, share = 0.0,
           *slope = malloc((size_t)s->seeds * sizeof *slope);
    if (!slope) return dlf_fail(DLF_ERR_OOM, "perceptron: out of memory");
    dlf_status status = DLF_OK;
    const int passes = dlf_run_int(run, "passes");
    for (int m = 0; m < s->members; m++) {
        const double bound = 1.0 / (s->margin[m] * s->margin[m]);
        const double ratio = s->mistakes[m] / bound;
        if (!(ratio <= worst)) worst = ratio;
        if (s->last[m] == passes) unfinished += 1.0;
        share += margin_share(s, m) / s->members;
        DLF_TRY_DONE(dlf_table_row(table, DLF_TXT("random"), DLF_NUM(planted[m / s->seeds]),
                                   DLF_NUM(m % s->seeds), DLF_NUM(s->margin[m]), DLF_NUM(bound),
                                   DLF_NUM(s->mistakes[m]), DLF_NUM(s->last[m])));
    }
    for (int seed = 0; seed < s->seeds; seed++) {
        double x[PLANTED], y[PLANTED];
        for (int k = 0; k < PLANTED; k++) {
            x[k] = -log(s->margin[k * s->seeds + seed]);
            y[k] = log(s->mistakes[k * s->seeds + seed]);
        }
        slope[seed] = dlf_slope(x, y, PLANTED);
    }
    dlf_check c = dlf_check_exact(
        "bound",
        (dlf_text){"错误次数从不超过 (R/γ)²，γ 是数据本身的最大间隔（最大比值）",
                   "never more mistakes than (R/γ)², γ the largest margin that the data "
                   "have (largest ratio)"},
        worst);
    c.expected = 1.0;
    c.relation = DLF_AT_MOST;
    c.source = "Novikoff 1962, theorem 1; the margin is exact (nearest point of the hull)";
    c.self_check = true;
    DLF_TRY_DONE(dlf_result_check(dlf_run_result(run), c));
    DLF_TRY_DONE(dlf_add_exact(
        run, "ends",
        (dlf_text){"数据可分：每次都停下来，训练错误为零（没有停下的次数）",
                   "separable data: it ends every time, with no training error (how often not)"},
        unfinished, 0.0, 0.0, "Rosenblatt 1962: perceptron convergence theorem", NULL));
    c = dlf_check_of("bound_slope",
                     (dlf_text){"随机数据上错误次数随 1/γ 的增长慢于界的平方（双对数斜率）",
                                "on random data mistakes grow more slowly in 1/γ than the bound's "
                                "square (slope in logarithms)"},
                     dlf_estimate_of(slope, s->seeds, 1));
    c.expected = 2.0;
    c.relation = DLF_AT_MOST;
    c.source = "Novikoff 1962: slope 2 is the worst case";
    DLF_TRY_DONE(dlf_result_check(dlf_run_result(run), c));
    DLF_TRY_DONE(dlf_result_fact(dlf_run_result(run), "margin_share", share, "1"));
done:
    free(slope);
    return status;
}

static dlf_status figure(dlf_run *run)
{
    dlf_table *line;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "limit", (dlf_text){"诺维科夫界", "Novikoff's bound"},
        (const dlf_column[]){{"bound", "1"}, {"mistakes", "1"}, {NULL, NULL}}, &line));
    for (int i = 0; i <= 8; i++) {
        const double v = pow(10.0, 0.5 * i);
        DLF_TRY(dlf_table_row(line, DLF_NUM(v), DLF_NUM(v)));
    }
    dlf_figure f = {
        .id = "bound",
        .kind = DLF_LINES,
        .title = {"感知机的错误次数有上界：至多 (R/γ)²，与维数和样本数无关",
                  "A perceptron's mistakes are bounded by (R/γ)², whatever the dimension and the "
                  "number of rows"},
        .subtitle =
            {"每点一个数据集；γ 为该数据集的最大间隔（精确值），R = 1；虚线为界",
             "one point per data set; γ its largest margin (exact), R = 1; the bound dashed"},
        .x = {{"界 (R/γ)²", "bound (R/γ)²"}, true},
        .y = {{"收敛前的错误次数", "mistakes until convergence"}, true}};
    f.series[0] = (dlf_series){.role = DLF_MEASURED,
                               .table = "bound",
                               .where = "arm",
                               .equals = "random",
                               .x = "bound",
                               .y = "mistakes",
                               .label = {"随机数据", "random data"},
                               .colour = 0,
                               .points = true};
    f.series[1] = f.series[0];
    f.series[1].equals = "axes";
    f.series[1].label = (dlf_text){"正交的样本：恰好达到", "orthogonal rows: reached"};
    f.series[1].colour = 1;
    f.series[2] = (dlf_series){.role = DLF_THEORY,
                               .table = "limit",
                               .x = "bound",
                               .y = "mistakes",
                               .label = {"诺维科夫界", "Novikoff's bound"},
                               .colour = 1};
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_perceptron_bound(dlf_run *run, double from, double to)
{
    const double middle = from + 0.3 * (to - from);
    dlf_status status;
    dlf_table *table;
    dlf_perceptrons machine = {0};
    study s;
    DLF_TRY_DONE(study_new(&s, run));
    DLF_TRY_DONE(prepare(&s, run, from, middle));
    DLF_TRY_DONE(dlf_perceptrons_new(&machine, dlf_run_device(run), s.members, s.members * s.n, s.d,
                                     s.x, s.members * s.n, 1, s.t, false));
    DLF_TRY_DONE(dlf_perceptrons_order(&machine, s.n, s.order, NULL));
    DLF_TRY_DONE(dlf_perceptrons_converge(&machine, dlf_run_int(run, "passes"), s.mistakes, s.last,
                                          run, middle, to, "mistakes until convergence"));
    DLF_TRY_DONE(dlf_tensor_download_f64(s.w, &machine.w));
    DLF_TRY_DONE(
        dlf_result_table(dlf_run_result(run), "bound",
                         (dlf_text){"错误次数与诺维科夫界", "mistakes and Novikoff's bound"},
                         (const dlf_column[]){{"arm", NULL},
                                              {"planted_margin", "1"},
                                              {"seed", "1"},
                                              {"margin", "1"},
                                              {"bound", "1"},
                                              {"mistakes", "1"},
                                              {"last_pass", "pass"},
                                              {NULL, NULL}},
                         &table));
    DLF_TRY_DONE(report(&s, run, table));
    DLF_TRY_DONE(axes(run, table));
    DLF_TRY_DONE(figure(run));
done:
    dlf_perceptrons_free(&machine);
    study_free(&s);
    return status;
}
