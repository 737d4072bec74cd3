/* SPDX-License-Identifier: MIT
 * svm_margin.c -- Q35: gradient descent on the logistic loss of points in the plane, against the
 * hard margin that it approaches. Controls: one more point that contradicts a support vector;
 * squared loss, which ends somewhere else. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dlf/rng.h"
#include "figures.h"
#include "hull.h"
#include "seed_check.h"
#include "svm.h"

enum { N = 12, RECORDS = 20, TRIES = 10000 };
/* Other rows lie so many margins away, and the margin is this much of the longest row: else the
 * limit is there, but late. */
static const double apart = 2.0, widest = 0.2, separation = 2.0;

dlf_status dlf_svm_limit_of(dlf_svm_limit *out, bool *usable, const double *a, int n, double rate,
                            double apart_by)
{
    double w[2], lambda[64], matrix[2][2], right[2];
    double spread = 0.0;
    int found = 0;
    dlf_hull hull;
    *usable = false;
    if (n > 64) return dlf_fail(DLF_ERR_ARG, "svm: %d points are more than 64", n);
    DLF_TRY(dlf_hull_nearest(&hull, a, n, 2, w, lambda));
    if (!hull.separable) return DLF_OK;
    out->margin = hull.margin;
    for (int i = 0; i < n; i++) {
        const double far = (w[0] * a[2 * i] + w[1] * a[2 * i + 1]) / hull.margin;
        if (lambda[i] < 1e-3 && far < apart_by) return DLF_OK;
        if (lambda[i] < 1e-3) continue;
        if (found == 2) return DLF_OK;
        spread += lambda[i] * (a[2 * i] * a[2 * i] + a[2 * i + 1] * a[2 * i + 1]);
        matrix[found][0] = a[2 * i];
        matrix[found][1] = a[2 * i + 1];
        right[found++] = -log(n * lambda[i] / (hull.margin * hull.margin * rate));
    }
    const double det = matrix[0][0] * matrix[1][1] - matrix[0][1] * matrix[1][0];
    if (found < 2 || spread < 2.0 * hull.margin * hull.margin) return DLF_OK;
    for (int k = 0; k < 2; k++) out->w_hat[k] = w[k] / hull.margin;
    out->w_tilde[0] = (right[0] * matrix[1][1] - matrix[0][1] * right[1]) / det;
    out->w_tilde[1] = (matrix[0][0] * right[1] - right[0] * matrix[1][0]) / det;
    *usable = true;
    return DLF_OK;
}

/* 1 - cos of two vectors of the plane, without cancellation: sin^2 / (1 + cos). */
static double angle(const double a[2], const double b[2])
{
    const double lengths = sqrt((a[0] * a[0] + a[1] * a[1]) * (b[0] * b[0] + b[1] * b[1]));
    const double sine = (a[0] * b[1] - a[1] * b[0]) / lengths,
                 cosine = (a[0] * b[0] + a[1] * b[1]) / lengths;
    return cosine > 0.0 ? sine * sine / (1.0 + cosine) : 1.0 - cosine;
}

static void at_time(const dlf_svm_limit *l, double t, double w[2])
{
    for (int k = 0; k < 2; k++) w[k] = l->w_hat[k] * log(t) + l->w_tilde[k];
}

double dlf_svm_angle(const dlf_svm_limit *limit, double t)
{
    double w[2];
    at_time(limit, t, w);
    return angle(w, limit->w_hat);
}

double dlf_svm_length(const dlf_svm_limit *limit, double t)
{
    double w[2];
    at_time(limit, t, w);
    return hypot(w[0], w[1]) * limit->margin;
}

typedef struct lab {
    int seeds, records;
    long steps[RECORDS];
    double *angle, *length, *control, *square, *angle_theory, *length_theory; /* (RECORDS, seeds) */
} lab;

/* Random points until two of them are support vectors and the others lie well apart. */
static dlf_status points(double *a, dlf_svm_limit *limit, double *rate, uint64_t seed,
                         uint32_t member)
{
    bool usable = false;
    for (int at = 0; at < TRIES && !usable; at++) {
        double longest = 0.0;
        for (int i = 0; i < 2 * N; i++) /* a = y x: both classes look alike */
            a[i] =
                (i % 2 ? 0.0 : separation) + dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_INPUT, 86),
                                                            member, (uint64_t)(at * 2 * N + i));
        for (int i = 0; i < N; i++) longest = fmax(longest, hypot(a[2 * i], a[2 * i + 1]));
        *rate = 2.0 / (longest * longest);
        DLF_TRY(dlf_svm_limit_of(limit, &usable, a, N, *rate, apart));
        usable = usable && limit->margin > widest * longest;
    }
    return usable ? DLF_OK
                  : dlf_fail(DLF_ERR_SELF_CHECK, "svm: no usable points in %d tries", TRIES);
}

/* w after every recorded number of steps. */
static void descend(const lab *l, const double *a, int n, double rate, bool square, double (*w)[2])
{
    double now[2] = {0.0, 0.0};
    long t = 0;
    for (int r = 0; r < l->records; r++) {
        for (; t < l->steps[r]; t++) {
            double step[2] = {0.0, 0.0};
            for (int i = 0; i < n; i++) {
                const double z = now[0] * a[2 * i] + now[1] * a[2 * i + 1];
                const double p = square ? 1.0 - z : 1.0 / (1.0 + exp(z)); /* less the slope at z */
                step[0] += p * a[2 * i];
                step[1] += p * a[2 * i + 1];
            }
            now[0] += rate / n * step[0];
            now[1] += rate / n * step[1];
        }
        w[r][0] = now[0];
        w[r][1] = now[1];
    }
}

static dlf_status measure(const lab *l, dlf_run *run, double from, double to)
{
    for (int s = 0; s < l->seeds; s++) {
        double a[2 * N + 2], rate, w[RECORDS][2];
        dlf_svm_limit limit = {0};
        DLF_TRY(dlf_run_stage(run, from + (to - from) * s / l->seeds, "points in the plane"));
        DLF_TRY(points(a, &limit, &rate, dlf_run_seed(run), (uint32_t)s));
        descend(l, a, N, rate, false, w);
        for (int r = 0; r < l->records; r++) {
            const long at = (long)r * l->seeds + s;
            l->angle[at] = angle(w[r], limit.w_hat);
            l->length[at] = hypot(w[r][0], w[r][1]) * limit.margin;
            l->angle_theory[at] = dlf_svm_angle(&limit, (double)l->steps[r]);
            l->length_theory[at] = dlf_svm_length(&limit, (double)l->steps[r]);
        }
        descend(l, a, N, 0.5 * rate, true, w);
        for (int r = 0; r < l->records; r++)
            l->square[(long)r * l->seeds + s] = angle(w[r], limit.w_hat);
        for (int k = 0; k < 2; k++) { /* minus the mean: 0 is inside of the hull */
            a[2 * N + k] = 0.0;
            for (int i = 0; i < N; i++) a[2 * N + k] -= a[2 * i + k] / N;
        }
        descend(l, a, N + 1, rate, false, w);
        for (int r = 0; r < l->records; r++)
            l->control[(long)r * l->seeds + s] = hypot(w[r][0], w[r][1]) * limit.margin;
    }
    return DLF_OK;
}

/* ---- report ---- */

static dlf_estimate mean_at(const lab *l, const double *x, int r)
{
    return dlf_estimate_of(x + (long)r * l->seeds, l->seeds, 1);
}

static dlf_status checks(const lab *l, dlf_run *run)
{
    const int last = l->records - 1, before = last - 2; /* a decade before */
    double *slope = malloc(2 * (size_t)l->seeds * sizeof *slope), *flat = slope + l->seeds;
    if (!slope) return dlf_fail(DLF_ERR_OOM, "svm: out of memory");
    const double decade = log((double)l->steps[last] / (double)l->steps[before]);
    for (int s = 0; s < l->seeds; s++) {
        const long a = (long)last * l->seeds + s, b = (long)before * l->seeds + s;
        slope[s] = (l->length[a] - l->length[b]) / decade;
        flat[s] = (l->control[a] - l->control[b]) / decade;
    }
    dlf_status status;
    DLF_TRY_DONE(dlf_add_law(
        run, "length_slope",
        (dlf_text){"权重长度每个自然对数时间的增长，乘以间隔（最后十倍步数）",
                   "growth of the weights per unit of ln t, times the margin (last decade)"},
        dlf_estimate_of(slope, l->seeds, 1), 1.0, 0.05,
        "Soudry et al. 2018, theorem 3: |w| = ln t / margin; 4 standard errors or 5 %"));
    dlf_check c = dlf_check_of("angle_law",
                               (dlf_text){"最后一步离最大间隔方向的 1−cos",
                                          "1−cos to the largest margin at the last step"},
                               mean_at(l, l->angle, last));
    c.expected = mean_at(l, l->angle_theory, last).mean;
    c.tolerance = 0.01;
    c.relative = true;
    c.source = "w^ ln t + w~ (Soudry et al. 2018), w~ from the two support vectors; 1 %: other "
               "points are not quite silent";
    DLF_TRY_DONE(dlf_result_check(dlf_run_result(run), c));
    DLF_TRY_DONE(dlf_add_bound(
        run, "control_flat",
        (dlf_text){
            "对照，加一个不可分的点：权重长度不再增长（同样的斜率）",
            "control, one more point that cannot be separated: the weights stop (same slope)"},
        dlf_estimate_of(flat, l->seeds, 1), DLF_AT_MOST, 0.01,
        "the loss has a minimum: below a hundredth of the slope above"));
    DLF_TRY_DONE(dlf_result_fact(dlf_run_result(run), "angle_square",
                                 mean_at(l, l->square, last).mean, "1"));
    DLF_TRY_DONE(dlf_result_fact(dlf_run_result(run), "angle_before",
                                 mean_at(l, l->angle, last - 4 > 0 ? last - 4 : 0).mean, "1"));
    status = dlf_result_fact(dlf_run_result(run), "last_step", (double)l->steps[last], "step");
done:
    free(slope);
    return status;
}

static dlf_status tables(const lab *l, dlf_run *run)
{
    dlf_table *t, *limit;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "margin",
        (dlf_text){"梯度下降与最大间隔", "gradient descent and the largest margin"},
        (const dlf_column[]){{"step", "step"},
                             {"angle", "1"},
                             {"angle_lo", "1"},
                             {"angle_hi", "1"},
                             {"length", "1"},
                             {"length_lo", "1"},
                             {"length_hi", "1"},
                             {"control", "1"},
                             {"square", "1"},
                             {NULL, NULL}},
        &t));
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "margin_limit",
        (dlf_text){"理论：最后的步数", "theory: the last steps"},
        (const dlf_column[]){{"step", "step"}, {"angle", "1"}, {"length", "1"}, {NULL, NULL}},
        &limit));
    for (int r = 0; r < l->records; r++) {
        const dlf_estimate a = mean_at(l, l->angle, r), n = mean_at(l, l->length, r);
        DLF_TRY(dlf_table_row(t, DLF_NUM(l->steps[r]), DLF_NUM(a.mean),
                              DLF_NUM(fmax(a.lo, 0.1 * a.mean)), DLF_NUM(a.hi), DLF_NUM(n.mean),
                              DLF_NUM(n.lo), DLF_NUM(n.hi), DLF_NUM(mean_at(l, l->control, r).mean),
                              DLF_NUM(mean_at(l, l->square, r).mean)));
        if (r >= l->records - 4) /* before that the other points still speak */
            DLF_TRY(dlf_table_row(limit, DLF_NUM(l->steps[r]),
                                  DLF_NUM(mean_at(l, l->angle_theory, r).mean),
                                  DLF_NUM(mean_at(l, l->length_theory, r).mean)));
    }
    return DLF_OK;
}

static dlf_status figures(dlf_run *run)
{
    dlf_figure f = {
        .id = "length",
        .kind = DLF_LINES,
        .title = {"可分时权重永远增长，像时间的对数",
                  "On separable data weights grow for ever, like ln t"},
        .subtitle = {"平面上 12 个点，逻辑损失，梯度下降；虚线为 t 很大时的理论，没有拟合参数",
                     "12 points in the plane, logistic loss, gradient descent; theory for large t "
                     "dashed, nothing fitted"},
        .x = {{"步数 t", "step t"}, true},
        .y = {{"权重长度 × 间隔", "length of the weights × margin"}, false}};
    f.series[0] = (dlf_series){.role = DLF_MEASURED,
                               .table = "margin",
                               .x = "step",
                               .y = "length",
                               .lo = "length_lo",
                               .hi = "length_hi",
                               .label = {"可分", "separable"},
                               .points = true};
    dlf_theory_of(&f, 0, 1, "length");
    f.series[1].table = "margin_limit";
    f.series[2] = (dlf_series){.role = DLF_CONTROL,
                               .table = "margin",
                               .x = "step",
                               .y = "control",
                               .label = {"对照：不可分", "control: not separable"},
                               .colour = 1};
    DLF_TRY(dlf_result_figure(dlf_run_result(run), &f));
    dlf_figure g = {
        .id = "angle",
        .kind = DLF_LINES,
        .title = {"方向趋于 SVM 的最大间隔，慢到 1/ln² t；平方损失不去那里",
                  "The direction turns to the SVM's, like 1/ln² t; squared loss goes elsewhere"},
        .subtitle = {"同样的 12 个点；虚线为 t 很大时的理论，没有拟合参数",
                     "the same 12 points; theory for large t dashed, nothing fitted"},
        .x = {{"步数 t", "step t"}, true},
        .y = {{"1 − cos", "1 − cos"}, true}};
    g.series[0] = (dlf_series){.role = DLF_MEASURED,
                               .table = "margin",
                               .x = "step",
                               .y = "angle",
                               .lo = "angle_lo",
                               .hi = "angle_hi",
                               .label = {"逻辑损失", "logistic loss"},
                               .points = true};
    dlf_theory_of(&g, 0, 1, "angle");
    g.series[1].table = "margin_limit";
    g.series[2] = (dlf_series){.role = DLF_CONTROL,
                               .table = "margin",
                               .x = "step",
                               .y = "square",
                               .label = {"对照：平方损失", "control: squared loss"},
                               .colour = 1};
    return dlf_result_figure(dlf_run_result(run), &g);
}

dlf_status dlf_svm_margin(dlf_run *run, double from, double to)
{
    lab l = {.seeds = dlf_run_seeds(run)};
    const long most = dlf_run_int(run, "descent_steps");
    for (int r = 0; r < RECORDS; r++) { /* half decades that end with the last step */
        const double step = (double)most * pow(10.0, -0.5 * (RECORDS - 1 - r));
        if (step < 2.9) continue;
        l.steps[l.records++] = lround(step);
    }
    const size_t cells = RECORDS * (size_t)l.seeds;
    l.angle = malloc(6 * cells * sizeof *l.angle);
    if (!l.angle) return dlf_fail(DLF_ERR_OOM, "svm: out of memory");
    l.length = l.angle + cells;
    l.control = l.length + cells;
    l.square = l.control + cells;
    l.angle_theory = l.square + cells;
    l.length_theory = l.angle_theory + cells;
    dlf_status status;
    DLF_TRY_DONE(measure(&l, run, from, to));
    DLF_TRY_DONE(checks(&l, run));
    DLF_TRY_DONE(tables(&l, run));
    status = figures(run);
done:
    free(l.angle);
    return status;
}
