/* SPDX-License-Identifier: MIT
 * seed_check.h -- checks whose measured value is a mean over seeds. */
#ifndef DLF_SEED_CHECK_H
#define DLF_SEED_CHECK_H
#include <math.h>

#include "dlf/experiment.h"

/* A check with the measured side filled in; the caller adds what is expected. */
static inline dlf_check dlf_check_of(const char *id, dlf_text claim, dlf_estimate e)
{
    return (dlf_check){.id = id,
                       .claim = claim,
                       .measured = e.mean,
                       .lo = e.lo,
                       .hi = e.hi,
                       .n = e.n,
                       .relation = DLF_EQUAL};
}

/* Adds a check of the mean against a bound: DLF_AT_MOST or DLF_AT_LEAST. */
static inline dlf_status dlf_add_bound(dlf_run *run, const char *id, dlf_text claim, dlf_estimate e,
                                       dlf_relation relation, double bound, const char *source)
{
    dlf_check c = dlf_check_of(id, claim, e);
    c.relation = relation;
    c.expected = bound;
    c.source = source;
    return dlf_result_check(dlf_run_result(run), c);
}

/* Adds a check of the mean against a number: within `tolerance`, or 4 standard errors where these
 * are more. */
static inline dlf_status dlf_add_near(dlf_run *run, const char *id, dlf_text claim, dlf_estimate e,
                                      double expected, double tolerance, const char *source)
{
    dlf_check c = dlf_check_of(id, claim, e);
    c.expected = expected;
    c.tolerance = fmax(tolerance, 4.0 * e.sd / sqrt(e.n));
    c.source = source;
    return dlf_result_check(dlf_run_result(run), c);
}

/* Is the mean above `bound`? Decided by the whole interval; `depends` where it holds the bound. */
static inline dlf_verdict dlf_verdict_above(dlf_estimate e, double bound)
{
    if (e.n < 3) return DLF_UNDECIDED;
    return e.lo > bound ? DLF_SUPPORTED : e.hi < bound ? DLF_REFUTED : DLF_DEPENDS;
}

/* Is the mean below `bound`? The same, the other way round. */
static inline dlf_verdict dlf_verdict_below(dlf_estimate e, double bound)
{
    if (e.n < 3) return DLF_UNDECIDED;
    return e.hi < bound ? DLF_SUPPORTED : e.lo > bound ? DLF_REFUTED : DLF_DEPENDS;
}

/* Is the mean 0, give or take `bound`? The whole interval must lie inside (an equivalence test), or
 * outside to refute it. */
static inline dlf_verdict dlf_verdict_within(dlf_estimate e, double bound)
{
    if (e.n < 3) return DLF_UNDECIDED;
    if (e.lo > -bound && e.hi < bound) return DLF_SUPPORTED;
    return e.lo > bound || e.hi < -bound ? DLF_REFUTED : DLF_DEPENDS;
}

/* Adds a check that the whole interval decides: the mean is above 0 (a direction). */
static inline dlf_status dlf_add_above(dlf_run *run, const char *id, dlf_text claim, dlf_estimate e,
                                       const char *source)
{
    dlf_check c = dlf_check_of(id, claim, e);
    c.relation = DLF_AT_LEAST;
    c.has_verdict = true;
    c.verdict = dlf_verdict_above(e, 0.0);
    c.source = source;
    return dlf_result_check(dlf_run_result(run), c);
}

/* The same for an equivalence test: the mean is 0, give or take `bound`. */
static inline dlf_status dlf_add_within(dlf_run *run, const char *id, dlf_text claim,
                                        dlf_estimate e, double bound, const char *source)
{
    dlf_check c = dlf_check_of(id, claim, e);
    c.tolerance = bound;
    c.has_verdict = true;
    c.verdict = dlf_verdict_within(e, bound);
    c.source = source;
    return dlf_result_check(dlf_run_result(run), c);
}

/* The mean over seeds follows a law: `expected`, give or take 4 standard errors, or `share` of it
 * where that is more. */
static inline dlf_status dlf_add_law(dlf_run *run, const char *id, dlf_text claim, dlf_estimate e,
                                     double expected, double share, const char *source)
{
    return dlf_add_near(run, id, claim, e, expected, share * fabs(expected), source);
}

/* Exact arithmetic: no seeds, no interval. */
static inline dlf_check dlf_check_exact(const char *id, dlf_text claim, double measured)
{
    return (dlf_check){.id = id,
                       .claim = claim,
                       .measured = measured,
                       .lo = (double)NAN,
                       .hi = (double)NAN,
                       .relation = DLF_EQUAL};
}

/* The same with the expected side, added to the run's result. */
static inline dlf_status dlf_add_exact(dlf_run *run, const char *id, dlf_text claim,
                                       double measured, double expected, double tolerance,
                                       const char *source, const char *note)
{
    dlf_check c = dlf_check_exact(id, claim, measured);
    c.expected = expected;
    c.tolerance = tolerance;
    c.source = source;
    c.note = note;
    return dlf_result_check(dlf_run_result(run), c);
}
#endif
