/* SPDX-License-Identifier: MIT
 * compare.c -- is B faster than A, or was the machine? */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/bench.h"
#include "dlf/theory.h"

static const char *const verdict_names[] = {"SAME", "FASTER", "SLOWER", "AMBIGUOUS"};
const char *dlf_bench_verdict_name(dlf_bench_verdict v)
{
    return verdict_names[v];
}

static const dlf_bench_row *find(const dlf_bench_report *r, const char *name)
{
    for (int i = 0; i < r->n; i++) {
        char other[DLF_BENCH_NAME];
        if (!r->rows[i].skipped[0] && !strcmp(dlf_bench_case_name(other, &r->rows[i].c), name))
            return &r->rows[i];
    }
    return NULL;
}

static dlf_bench_samples samples_of(const dlf_bench_row *row, const double *x)
{
    return (dlf_bench_samples){x, row->pass_end, row->passes};
}

/* ns / anchor's ns, round by round. */
static double *anchored(const dlf_bench_row *row, int anchor, dlf_bench_mode mode)
{
    const double *us = row->runner[0].ns[mode], *them = row->runner[anchor].ns[mode];
    double *out = us && them && row->rounds ? malloc((size_t)row->rounds * sizeof *out) : NULL;
    for (int i = 0; out && i < row->rounds; i++) out[i] = us[i] / them[i];
    return out;
}

/* Spread of us / anchor: small if both follow the machine in the same way. */
static double spread(const dlf_bench_row *row, int anchor, dlf_bench_mode mode)
{
    double *x = anchored(row, anchor, mode);
    const double noise = x ? dlf_bench_stats_of(x, row->rounds).noise : INFINITY;
    free(x);
    return isnan(noise) ? INFINITY : noise;
}

static bool within(dlf_bench_ratio r, double lo, double hi)
{
    return r.lo >= lo && r.hi <= hi;
}
static bool holds_one(dlf_bench_ratio r)
{
    return r.lo <= 1.0 && r.hi >= 1.0;
}

static void judge(dlf_bench_comparison *c, double least)
{
    const dlf_bench_ratio t = c->time, a = c->anchored;
    const double slow = 1.0 + least, fast = 1.0 / (1.0 + least);
    c->verdict = DLF_AMBIGUOUS;
    if (isnan(t.value) || isnan(a.value))
        c->why = "a sample is NaN, or an anchor is missing";
    else if (isinf(t.hi) || isinf(a.hi))
        c->why = "fewer than 3 rounds";
    else if (t.lo > slow && a.lo > slow)
        c->verdict = DLF_SLOWER, c->why = "more time, and more than the anchor explains";
    else if (t.hi < fast && a.hi < fast)
        c->verdict = DLF_FASTER, c->why = "less time, and less than the anchor explains";
    else if ((holds_one(t) || within(t, fast, slow)) && (holds_one(a) || within(a, fast, slow)))
        c->verdict = DLF_SAME, c->why = "no difference beyond the intervals";
    else if ((t.lo > slow && a.hi < slow) || (t.hi < fast && a.lo > fast))
        c->why = "the machine changed, not the kernel: the anchor moved as much";
    else if ((a.lo > slow && t.hi < slow) || (a.hi < fast && t.lo > fast))
        c->why = "the time is the same, the anchor moved";
    else
        c->why = "the intervals reach across the threshold; more rounds would tell";
}

/* ---- what the runs did to code that nobody changed ---------------------------------------------
 */

/* Squares of logarithms of ratios that would all be 1 if two runs did not differ. */
typedef struct null_ratios {
    double squares;
    int n;
} null_ratios;

/* Fewer rows say too little about how they scatter. */
enum { LEAST_ROWS = 5 };

static void note_null(null_ratios *z, const dlf_bench_row *a, const double *x,
                      const dlf_bench_row *b, const double *y)
{
    if (!x || !y) return;
    const dlf_bench_ratio r = dlf_bench_ratio_of_levels(samples_of(b, y), samples_of(a, x));
    if (isnan(r.value) || isinf(r.hi)) return;
    z->squares += log(r.value) * log(r.value);
    z->n++;
}

/* A run has a process, memory and minutes of its own, which no pass of it can show. The anchors
 * can: they are the same code in both, so that what their ratios scatter is the runs' (an empirical
 * null, Efron 2004). It goes into the interval of every row, whole: a part of it is the anchors'
 * own noise, which makes the interval rather too wide. */
static void widen(dlf_bench_ratio *r, const null_ratios *z)
{
    if (z->n < LEAST_ROWS || isnan(r->value) || isinf(r->hi)) return;
    const double half =
        hypot(0.5 * log(r->hi / r->lo), dlf_student_t975(z->n) * sqrt(z->squares / z->n));
    r->lo = r->value * exp(-half);
    r->hi = r->value * exp(half);
}

/* copy / gemm of a row; malloc'ed. */
static double *between_anchors(const dlf_bench_row *row, dlf_bench_mode mode)
{
    const double *x = row->runner[1].ns[mode], *y = row->runner[2].ns[mode];
    double *out = x && y && row->rounds ? malloc((size_t)row->rounds * sizeof *out) : NULL;
    for (int i = 0; out && i < row->rounds; i++) out[i] = x[i] / y[i];
    return out;
}

typedef struct null_of_mode {
    null_ratios time, anchored;
} null_of_mode;

static void note_row(null_of_mode *z, const dlf_bench_row *a, const dlf_bench_row *b,
                     dlf_bench_mode mode)
{
    for (int k = 1; k < 3; k++)
        note_null(&z->time, a, a->runner[k].ns[mode], b, b->runner[k].ns[mode]);
    double *x = between_anchors(a, mode), *y = between_anchors(b, mode);
    note_null(&z->anchored, a, x, b, y);
    free(x);
    free(y);
}

static dlf_status compare_row(dlf_bench_comparison *c, const dlf_bench_row *a,
                              const dlf_bench_row *b, dlf_bench_mode mode)
{
    const int anchor =
        spread(a, 1, mode) + spread(b, 1, mode) <= spread(a, 2, mode) + spread(b, 2, mode) ? 1 : 2;
    dlf_bench_case_name(c->name, &a->c);
    c->mode = mode;
    c->anchor = a->runner[anchor].name;
    c->time = dlf_bench_ratio_of_levels(samples_of(b, b->runner[0].ns[mode]),
                                        samples_of(a, a->runner[0].ns[mode]));
    double *x = anchored(a, anchor, mode), *y = anchored(b, anchor, mode);
    c->anchored = (dlf_bench_ratio){NAN, NAN, NAN};
    if (x && y) c->anchored = dlf_bench_ratio_of_levels(samples_of(b, y), samples_of(a, x));
    free(x);
    free(y);
    return DLF_OK;
}

/* One interval is enough: whatever the machine did, it did to both. */
static void judge_before(dlf_bench_comparison *c, double least)
{
    const dlf_bench_ratio t = c->time;
    const double slow = 1.0 + least, fast = 1.0 / (1.0 + least);
    c->verdict = DLF_AMBIGUOUS;
    if (isnan(t.value))
        c->why = "a sample is NaN";
    else if (isinf(t.hi))
        c->why = "fewer than 3 rounds";
    else if (t.lo > slow)
        c->verdict = DLF_SLOWER, c->why = "more time than before, in the same rounds";
    else if (t.hi < fast)
        c->verdict = DLF_FASTER, c->why = "less time than before, in the same rounds";
    else if (holds_one(t) || within(t, fast, slow))
        c->verdict = DLF_SAME, c->why = "no difference beyond the interval";
    else
        c->why = "the interval reaches across the threshold; more rounds would tell";
}

/* Samples of a runner, by its name; NULL: it did not take part. */
static const double *samples_by_name(const dlf_bench_row *row, const char *name, int mode)
{
    for (int i = 3; i < row->n_runners; i++)
        if (!strcmp(row->runner[i].name, name)) return row->runner[i].ns[mode];
    return NULL;
}

dlf_status dlf_bench_compare_before(dlf_bench_comparison **out, int *n, const dlf_bench_report *r,
                                    double least)
{
    *n = 0;
    *out = calloc((size_t)(r->n ? r->n : 1) * DLF_BENCH_MODES, sizeof **out);
    if (!*out) return dlf_fail(DLF_ERR_OOM, "dlf compare: no memory for %d rows", r->n);
    for (int i = 0; i < r->n; i++) {
        const dlf_bench_row *row = &r->rows[i];
        for (int m = 0; !row->skipped[0] && m < DLF_BENCH_MODES; m++) {
            const double *now = samples_by_name(row, DLF_BENCH_NOW, m),
                         *then = samples_by_name(row, DLF_BENCH_BEFORE, m);
            if (!now || !then) continue;
            dlf_bench_comparison *c = &(*out)[(*n)++];
            dlf_bench_case_name(c->name, &row->c);
            c->mode = (dlf_bench_mode)m;
            c->anchor = DLF_BENCH_BEFORE;
            c->time = dlf_bench_ratio_paired(now, then, row->pass_end, row->passes);
            c->anchored = c->time;
            judge_before(c, least);
        }
    }
    return DLF_OK;
}

dlf_status dlf_bench_compare(dlf_bench_comparison **out, int *n, const dlf_bench_report *a,
                             const dlf_bench_report *b, double least)
{
    null_of_mode null[DLF_BENCH_MODES] = {{{0.0, 0}, {0.0, 0}}};
    *n = 0;
    *out = calloc((size_t)(a->n ? a->n : 1) * DLF_BENCH_MODES, sizeof **out);
    if (!*out) return dlf_fail(DLF_ERR_OOM, "dlf compare: no memory for %d rows", a->n);
    for (int i = 0; i < a->n; i++) {
        char name[DLF_BENCH_NAME];
        const dlf_bench_row *ra = &a->rows[i], *rb = find(b, dlf_bench_case_name(name, &ra->c));
        if (ra->skipped[0] || !rb) continue;
        for (int m = 0; m < DLF_BENCH_MODES; m++)
            if (ra->runner[0].ns[m] && rb->runner[0].ns[m]) {
                DLF_TRY(compare_row(&(*out)[(*n)++], ra, rb, (dlf_bench_mode)m));
                note_row(&null[m], ra, rb, (dlf_bench_mode)m);
            }
    }
    for (int i = 0; i < *n; i++) {
        dlf_bench_comparison *c = &(*out)[i];
        widen(&c->time, &null[c->mode].time);
        widen(&c->anchored, &null[c->mode].anchored);
        judge(c, least);
    }
    return DLF_OK;
}
