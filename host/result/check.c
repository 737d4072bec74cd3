/* SPDX-License-Identifier: MIT
 * check.c -- claims with numbers, and how a verdict follows from them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "result/internal.h"

static const char *const verdict_names[] = {
#define X(name, text) text,
    DLF_VERDICT_MAP(X)
#undef X
};
static const char *const relation_names[] = {"equal", "at_most", "at_least", "not_finite"};
enum { N_VERDICTS = sizeof verdict_names / sizeof verdict_names[0], N_RELATIONS = 4 };

static int find_name(const char *const *names, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (!strcmp(names[i], name)) return i;
    return -1;
}

const char *dlf_verdict_name(dlf_verdict v)
{
    return (unsigned)v < N_VERDICTS ? verdict_names[v] : "unknown";
}
int dlf_verdict_from_name(const char *name)
{
    return find_name(verdict_names, N_VERDICTS, name);
}
const char *dlf_relation_name(dlf_relation relation)
{
    return relation_names[relation];
}
int dlf_relation_from_name(const char *name)
{
    return find_name(relation_names, N_RELATIONS, name);
}

/* Written so that a NaN anywhere satisfies no comparison. */
static bool relation_holds(const dlf_check *c)
{
    const double margin = c->relative ? c->tolerance * fabs(c->expected) : c->tolerance;
    switch (c->relation) {
    case DLF_EQUAL: return fabs(c->measured - c->expected) <= margin;
    case DLF_AT_MOST: return c->measured <= c->expected + margin;
    case DLF_AT_LEAST: return c->measured >= c->expected - margin;
    case DLF_NOT_FINITE: return !isfinite(c->measured);
    }
    return false;
}

/* A claim about a population needs 3 seeds, whoever decides; an identity of our own arithmetic
 * (self-check) holds or fails on one, and a definition needs none. */
static dlf_verdict verdict_of(const dlf_check *c)
{
    const dlf_verdict verdict = c->has_verdict      ? c->verdict
                                : relation_holds(c) ? DLF_SUPPORTED
                                                    : DLF_REFUTED;
    const bool too_few = c->n > 0 && c->n < 3 && !c->self_check;
    return too_few && verdict != DLF_DEFINITIONAL ? DLF_UNDECIDED : verdict;
}

dlf_status dlf_result_check(dlf_result *r, dlf_check check)
{
    if (!dlf_is_id(check.id))
        return dlf_fail(DLF_ERR_ARG, "check id '%s' is not [a-z0-9_]+",
                        check.id ? check.id : "(null)");
    if (dlf_result_find_check(r, check.id))
        return dlf_fail(DLF_ERR_ARG, "check %s is there twice", check.id);
    if (check.n < 0) return dlf_fail(DLF_ERR_ARG, "check %s: %d seeds", check.id, check.n);
    if (check.tolerance < 0)
        return dlf_fail(DLF_ERR_ARG, "check %s: negative tolerance %g", check.id, check.tolerance);
    if (check.lo > check.hi)
        return dlf_fail(DLF_ERR_ARG, "check %s: interval %g...%g is upside down", check.id,
                        check.lo, check.hi);
    if ((unsigned)check.relation >= N_RELATIONS ||
        (check.has_verdict && (unsigned)check.verdict >= N_VERDICTS))
        return dlf_fail(DLF_ERR_ARG, "check %s: no such relation or verdict", check.id);
    if (!check.source || !check.source[0])
        return dlf_fail(DLF_ERR_ARG, "check %s does not say where its expectation comes from",
                        check.id);
    dlf_check *copy = malloc(sizeof *copy);
    if (!copy) return dlf_result_oom();
    *copy = check;
    dlf_status status;
    DLF_TRY_DONE(dlf_result_copy_text(r, &copy->claim, check.claim, false, check.id));
    copy->id = dlf_strings_copy(&r->strings, check.id);
    copy->source = dlf_strings_copy(&r->strings, check.source);
    copy->note = check.note && check.note[0] ? dlf_strings_copy(&r->strings, check.note) : NULL;
    if (!copy->id || !copy->source || (check.note && check.note[0] && !copy->note)) {
        status = dlf_result_oom();
        goto done;
    }
    copy->verdict = verdict_of(copy);
    DLF_TRY_DONE(dlf_result_grow(&r->checks, r->n_checks, sizeof *r->checks));
    r->checks[r->n_checks++] = copy;
done:
    if (status != DLF_OK) free(copy);
    return status;
}

int dlf_result_checks(const dlf_result *r)
{
    return r->n_checks;
}

const dlf_check *dlf_result_get_check(const dlf_result *r, int i)
{
    return i >= 0 && i < r->n_checks ? r->checks[i] : NULL;
}

const dlf_check *dlf_result_find_check(const dlf_result *r, const char *id)
{
    for (int i = 0; i < r->n_checks; i++)
        if (!strcmp(r->checks[i]->id, id)) return r->checks[i];
    return NULL;
}

bool dlf_result_self_checks_hold(const dlf_result *r)
{
    for (int i = 0; i < r->n_checks; i++)
        if (r->checks[i]->self_check && r->checks[i]->verdict == DLF_REFUTED) return false;
    return true;
}
