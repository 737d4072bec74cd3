/* SPDX-License-Identifier: MIT
 * few_labels_digits.c -- Q46 on handwritten digits: label propagation over a graph of neighbours
 * (Zhou et al. 2004) against the nearest labelled image. Control: a label that cuts through the
 * clusters. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/data.h"
#include "dlf/rng.h"
#include "few_labels.h"
#include "figures.h"
#include "seed_check.h"

static const int per_class[] = {1, 2, 5, 10, 20};
enum {
    SIZES = sizeof per_class / sizeof per_class[0],
    NEIGHBOURS = 10,
    C = 10,
    FEW = 1,
    DIGIT = 0,
    INK,
    TARGETS
};
static const double alpha = 0.99;

typedef struct atlas {
    int n, features;
    dlf_dataset data;
    double *distance; /* (n,n)                                             */
    int *near;        /* (n,NEIGHBOURS)                                    */
    int *start, *to;  /* rows of the symmetric graph: start (n+1)          */
    double *weight;   /* of every edge, 1/sqrt(degree degree)              */
    int32_t *label[TARGETS];
    int classes[TARGETS];
    double *f, *next; /* (n,C)                                             */
} atlas;

static void atlas_free(atlas *a)
{
    free(a->f);
    free(a->label[INK]);
    free(a->weight);
    free(a->to);
    free(a->start);
    free(a->near);
    free(a->distance);
    dlf_dataset_free(&a->data);
}

static void find_neighbours(atlas *a)
{
    for (int i = 0; i < a->n; i++) {
        int *near = a->near + (long)i * NEIGHBOURS, kept = 0;
        const double *row = a->distance + (long)i * a->n;
        for (int j = 0; j < a->n; j++) {
            if (j == i || (kept == NEIGHBOURS && row[j] >= row[near[kept - 1]])) continue;
            int at = kept < NEIGHBOURS ? kept++ : NEIGHBOURS - 1;
            for (; at > 0 && row[near[at - 1]] > row[j]; at--) near[at] = near[at - 1];
            near[at] = j;
        }
    }
}

static bool is_near(const atlas *a, int i, int j)
{
    for (int k = 0; k < NEIGHBOURS; k++)
        if (a->near[(long)i * NEIGHBOURS + k] == j) return true;
    return false;
}

/* Symmetric: i and j are joined if either is a neighbour of the other. */
static void join(atlas *a)
{
    int edges = 0;
    for (int i = 0; i < a->n; i++) {
        a->start[i] = edges;
        for (int j = 0; j < a->n; j++)
            if (is_near(a, i, j) || is_near(a, j, i)) a->to[edges++] = j;
    }
    a->start[a->n] = edges;
    for (int i = 0; i < a->n; i++)
        for (int e = a->start[i]; e < a->start[i + 1]; e++) {
            const int j = a->to[e];
            a->weight[e] = 1.0 / sqrt((double)(a->start[i + 1] - a->start[i]) *
                                      (a->start[j + 1] - a->start[j]));
        }
}

static int compare(const void *x, const void *y)
{
    const double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

/* Label 1: more ink than the median image. */
static void label_ink(atlas *a, double *ink)
{
    for (int i = 0; i < a->n; i++) {
        ink[i] = 0.0;
        for (int j = 0; j < a->features; j++) ink[i] += a->data.x[(long)i * a->features + j];
        a->f[i] = ink[i];
    }
    qsort(a->f, (size_t)a->n, sizeof *a->f, compare);
    for (int i = 0; i < a->n; i++) a->label[INK][i] = ink[i] > a->f[a->n / 2];
}

static dlf_status atlas_new(atlas *a, const dlf_run *run)
{
    *a = (atlas){.n = dlf_run_int(run, "digit_rows"), .classes = {10, 2}};
    DLF_TRY(dlf_digits_load(&a->data));
    const size_t n = (size_t)a->n;
    a->features = a->data.features;
    a->distance = malloc(n * n * sizeof *a->distance);
    a->near = malloc(n * NEIGHBOURS * sizeof *a->near);
    a->start = malloc((n + 1) * sizeof *a->start);
    a->to = malloc(2 * n * NEIGHBOURS * sizeof *a->to);
    a->weight = malloc(2 * n * NEIGHBOURS * sizeof *a->weight);
    a->label[DIGIT] = a->data.label;
    a->label[INK] = malloc(n * sizeof *a->label[INK]);
    a->f = malloc(2 * n * C * sizeof *a->f);
    if (!a->distance || !a->near || !a->start || !a->to || !a->weight || !a->label[INK] || !a->f)
        return dlf_fail(DLF_ERR_OOM, "few-labels: out of memory");
    a->next = a->f + n * C;
    for (int i = 0; i < a->n; i++)
        for (int j = 0; j <= i; j++) {
            double square = 0.0;
            for (int k = 0; k < a->features; k++) {
                const double gap = (double)a->data.x[(long)i * a->features + k] -
                                   a->data.x[(long)j * a->features + k];
                square += gap * gap;
            }
            a->distance[(long)i * a->n + j] = a->distance[(long)j * a->n + i] = square;
        }
    find_neighbours(a);
    join(a);
    label_ink(a, a->next);
    return DLF_OK;
}

/* The first per_class labels of every class in the order of the seed: labelled[i] = 1. */
static void choose(const atlas *a, int target, int count, const int32_t *order,
                   unsigned char *labelled)
{
    int taken[C] = {0};
    memset(labelled, 0, (size_t)a->n);
    for (int i = 0; i < a->n; i++) {
        const int32_t row = order[i], label = a->label[target][row];
        if (taken[label] == count) continue;
        taken[label]++;
        labelled[row] = 1;
    }
}

/* Share of the unlabelled rows whose nearest labelled row has another label. */
static double nearest_error(const atlas *a, int target, const unsigned char *labelled)
{
    int wrong = 0, judged = 0;
    for (int i = 0; i < a->n; i++) {
        if (labelled[i]) continue;
        int best = -1;
        for (int j = 0; j < a->n; j++)
            if (labelled[j] &&
                (best < 0 || a->distance[(long)i * a->n + j] < a->distance[(long)i * a->n + best]))
                best = j;
        judged++;
        wrong += a->label[target][best] != a->label[target][i];
    }
    return (double)wrong / judged;
}

/* F <- alpha S F + (1 - alpha) Y, S the normalised graph: what it says after many rounds. */
static double propagated_error(atlas *a, int target, const unsigned char *labelled, int rounds)
{
    const int classes = a->classes[target];
    double *f = a->f, *next = a->next;
    memset(f, 0, (size_t)a->n * C * sizeof *f);
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < a->n; i++) {
            double sum[C] = {0.0};
            for (int e = a->start[i]; e < a->start[i + 1]; e++)
                for (int c = 0; c < classes; c++)
                    sum[c] += a->weight[e] * f[(long)a->to[e] * C + c];
            for (int c = 0; c < classes; c++)
                next[(long)i * C + c] =
                    alpha * sum[c] + (labelled[i] && a->label[target][i] == c ? 1.0 - alpha : 0.0);
        }
        double *swap = f;
        f = next;
        next = swap;
    }
    int wrong = 0, judged = 0;
    for (int i = 0; i < a->n; i++) {
        if (labelled[i]) continue;
        int best = 0;
        for (int c = 1; c < classes; c++)
            if (f[(long)i * C + c] > f[(long)i * C + best]) best = c;
        judged++;
        wrong += best != a->label[target][i];
    }
    return (double)wrong / judged;
}

/* ---- report ---- */

enum { NEAREST, PROPAGATED, METHODS };

/* error (TARGETS, METHODS, SIZES, seeds) */
static double *cell(double *error, int seeds, int target, int method, int k)
{
    return error + (((long)target * METHODS + method) * SIZES + k) * seeds;
}

static dlf_status measure(dlf_run *run, double *error, double from, double to)
{
    const int seeds = dlf_run_seeds(run), rounds = dlf_run_int(run, "rounds");
    atlas a;
    int32_t *order = NULL;
    unsigned char *labelled = NULL;
    dlf_status status;
    DLF_TRY_DONE(atlas_new(&a, run));
    order = malloc((size_t)a.n * sizeof *order);
    labelled = malloc((size_t)a.n);
    if (!order || !labelled) {
        status = dlf_fail(DLF_ERR_OOM, "few-labels: out of memory");
        goto done;
    }
    for (int s = 0; s < seeds; s++) {
        dlf_permutation(order, a.n, dlf_run_seed(run), dlf_stream(DLF_PURPOSE_SHUFFLE, 70),
                        (uint32_t)s);
        for (int target = 0; target < TARGETS; target++)
            for (int k = 0; k < SIZES; k++) {
                DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * s / seeds,
                                           "digits, %d labels per class", per_class[k]));
                choose(&a, target, per_class[k], order, labelled);
                cell(error, seeds, target, NEAREST, k)[s] = nearest_error(&a, target, labelled);
                cell(error, seeds, target, PROPAGATED, k)[s] =
                    propagated_error(&a, target, labelled, rounds);
            }
    }
done:
    free(labelled);
    free(order);
    atlas_free(&a);
    return status;
}

static dlf_status checks(dlf_run *run, double *error)
{
    const int seeds = dlf_run_seeds(run);
    double *ratio = malloc((size_t)seeds * sizeof *ratio);
    if (!ratio) return dlf_fail(DLF_ERR_OOM, "few-labels: out of memory");
    dlf_status status = DLF_OK;
    for (int target = 0; target < TARGETS; target++) {
        for (int s = 0; s < seeds; s++)
            ratio[s] = cell(error, seeds, target, PROPAGATED, FEW)[s] /
                       cell(error, seeds, target, NEAREST, FEW)[s];
        dlf_check c = dlf_check_of(
            target == INK ? "ink_propagates" : "digits_propagate",
            target == INK
                ? (dlf_text){"对照，标签（墨多墨少）不沿着聚类：传播也使错误率减少四成（与最近邻之"
                             "比）",
                             "control, a label (much or little ink) that cuts through the "
                             "clusters: "
                             "propagation lowers the error by 40 %, too (ratio to nearest "
                             "neighbour)"}
                : (dlf_text){"手写数字，每类两个标签：标签传播使错误率减少四成以上（与最近邻之比）",
                             "digits, two labels per class: propagation lowers the error by more "
                             "than "
                             "40 % (ratio to nearest neighbour)"},
            dlf_estimate_of(ratio, seeds, 1));
        c.expected = 0.6;
        c.relation = DLF_AT_MOST;
        c.source = target == INK
                       ? "the cluster assumption does not hold (Chapelle, Scholkopf & Zien 2006)"
                       : "Zhou et al. 2004, in direction: classes are clusters of the graph";
        DLF_TRY_DONE(dlf_result_check(dlf_run_result(run), c));
    }
    for (int k = FEW; k < SIZES; k += SIZES - 1 - FEW) {
        char id[32];
        snprintf(id, sizeof id, "propagated_%d", per_class[k]);
        DLF_TRY_DONE(dlf_result_fact(
            dlf_run_result(run), id,
            dlf_estimate_of(cell(error, seeds, DIGIT, PROPAGATED, k), seeds, 1).mean, "1"));
        snprintf(id, sizeof id, "nearest_%d", per_class[k]);
        DLF_TRY_DONE(dlf_result_fact(
            dlf_run_result(run), id,
            dlf_estimate_of(cell(error, seeds, DIGIT, NEAREST, k), seeds, 1).mean, "1"));
    }
done:
    free(ratio);
    return status;
}

static dlf_status table_and_figure(dlf_run *run, double *error)
{
    static const char *const arms[TARGETS][METHODS] = {{"digit_nearest", "digit_propagated"},
                                                       {"ink_nearest", "ink_propagated"}};
    static const dlf_text names[TARGETS][METHODS] = {
        {{"数字，最近邻", "digit, nearest neighbour"}, {"数字，标签传播", "digit, propagation"}},
        {{"对照：墨多墨少，最近邻", "control: ink, nearest"},
         {"对照：墨多墨少，标签传播", "control: ink, propagation"}}};
    const int seeds = dlf_run_seeds(run);
    dlf_table *t;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "digits",
        (dlf_text){"手写数字：错误率与每类标签数", "digits: error by labels per class"},
        (const dlf_column[]){
            {"arm", NULL}, {"labels", "1"}, {"error", "1"}, {"lo", "1"}, {"hi", "1"}, {NULL, NULL}},
        &t));
    dlf_figure f = {
        .id = "digits",
        .kind = DLF_LINES,
        .title = {"类别就是聚类时，标签沿着无标签的样本传播；否则没有用",
                  "Where classes are clusters labels spread over unlabelled rows; where not it is "
                  "of no use"},
        .subtitle =
            {"手写数字，十近邻图，其余样本无标签；带为种子间 95 % 区间",
             "digits, graph of ten neighbours, all other rows unlabelled; bands: 95 % over seeds"},
        .x = {{"每类的标签数", "labels per class"}, true},
        .y = {{"错误率", "error"}, true}};
    for (int target = 0; target < TARGETS; target++)
        for (int method = 0; method < METHODS; method++) {
            for (int k = 0; k < SIZES; k++) {
                const dlf_estimate e =
                    dlf_estimate_of(cell(error, seeds, target, method, k), seeds, 1);
                DLF_TRY(dlf_table_row(t, DLF_TXT(arms[target][method]), DLF_NUM(per_class[k]),
                                      DLF_NUM(e.mean), DLF_NUM(fmax(e.lo, 1e-3)), DLF_NUM(e.hi)));
            }
            f.series[target * METHODS + method] = dlf_arm_series(
                target == INK ? DLF_CONTROL : DLF_MEASURED, "digits", "arm", arms[target][method],
                "labels", "error", names[target][method], target * METHODS + method);
        }
    return dlf_result_figure(dlf_run_result(run), &f);
}

dlf_status dlf_labels_digits(dlf_run *run, double from, double to)
{
    double *error =
        malloc((size_t)(TARGETS * METHODS * SIZES * dlf_run_seeds(run)) * sizeof *error);
    if (!error) return dlf_fail(DLF_ERR_OOM, "few-labels: out of memory");
    dlf_status status;
    DLF_TRY_DONE(measure(run, error, from, to));
    DLF_TRY_DONE(checks(run, error));
    status = table_and_figure(run, error);
done:
    free(error);
    return status;
}
