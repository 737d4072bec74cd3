/* SPDX-License-Identifier: MIT
 * run.c -- one run of one experiment: parameters in, result with manifest out. */
#include "experiments/run.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "build_info.h"
#include "experiments/nearest.h"
#include "git_hash.h"

enum { PARAMS_MAX = 64, CHOICE_MAX = 48, STAGE_TEXT = 160 };

typedef struct value {
    double number;           /* CHOICE: its position in the list */
    char choice[CHOICE_MAX]; /* CHOICE only                      */
    bool is_set;             /* typed by the user                */
} value;

struct dlf_run {
    const dlf_experiment *experiment;
    const dlf_run_options *options;
    dlf_result *result;
    int seeds;
    value values[PARAMS_MAX]; /* one per parameter, same order */
};

/* ---- parameters ----------------------------------------------------------------------------- */

bool dlf_parse_number(double *out, const char *text)
{
    if (!*text || text[strspn(text, "+-.0123456789eE")]) return false;
    char *end;
    errno = 0;
    *out = strtod(text, &end);
    return *end == '\0' && isfinite(*out);
}

const char *dlf_choice_at(const char *choices, int i, size_t *n)
{
    const char *item = choices;
    for (; i > 0; i--) {
        item += strcspn(item, ",");
        if (!*item++) return NULL;
    }
    *n = strcspn(item, ",");
    return *n ? item : NULL;
}

static int param_index(const dlf_experiment *e, const char *name)
{
    for (int i = 0; e->params[i].name; i++)
        if (strcmp(e->params[i].name, name) == 0) return i;
    return -1;
}

const dlf_param *dlf_experiment_param(const dlf_experiment *e, const char *name)
{
    const int i = param_index(e, name);
    return i < 0 ? NULL : &e->params[i];
}

static dlf_status unknown_parameter(const dlf_experiment *e, const char *name)
{
    const char *names[PARAMS_MAX + 1] = {NULL};
    for (int i = 0; e->params[i].name; i++) names[i] = e->params[i].name;
    char hint[512];
    if (!names[0])
        return dlf_fail(DLF_ERR_NOT_FOUND, "%s has no parameters, so '%.40s' cannot be set",
                        e->slug, name);
    return dlf_fail(DLF_ERR_NOT_FOUND, "%s has no parameter '%.40s'%s", e->slug, name,
                    dlf_nearest(hint, sizeof hint, name, names));
}

static dlf_status parse_choice(value *v, const dlf_experiment *e, const dlf_param *p,
                               const char *text)
{
    size_t n;
    const char *item;
    for (int i = 0; (item = dlf_choice_at(p->choices, i, &n)); i++) {
        if (strlen(text) != n || strncmp(item, text, n) != 0) continue;
        v->number = i;
        snprintf(v->choice, sizeof v->choice, "%.*s", (int)n, item);
        return DLF_OK;
    }
    return dlf_fail(DLF_ERR_ARG, "%s: %s is one of %s, not '%.40s'", e->slug, p->name, p->choices,
                    text);
}

static dlf_status parse_value(value *v, const dlf_experiment *e, const dlf_param *p,
                              const char *text)
{
    if (p->type == DLF_PARAM_CHOICE) return parse_choice(v, e, p, text);
    double x;
    if (!dlf_parse_number(&x, text))
        return dlf_fail(DLF_ERR_ARG, "%s: %s takes a number, not '%.40s'", e->slug, p->name, text);
    if (!(x >= p->min && x <= p->max))
        return dlf_fail(DLF_ERR_ARG, "%s: %s must lie in %g..%g; %.40s does not", e->slug, p->name,
                        p->min, p->max, text);
    if (p->type == DLF_PARAM_INT && x != floor(x))
        return dlf_fail(DLF_ERR_ARG, "%s: %s takes a whole number, not '%.40s'", e->slug, p->name,
                        text);
    v->number = x;
    return DLF_OK;
}

static dlf_status set_defaults(value *values, const dlf_experiment *e, bool full)
{
    for (int i = 0; e->params[i].name; i++) {
        const dlf_param *p = &e->params[i];
        if (i == PARAMS_MAX)
            return dlf_fail(DLF_ERR_INTERNAL, "%s declares more than %d parameters", e->slug,
                            PARAMS_MAX);
        values[i] = (value){.number = full ? p->full : p->quick};
        if (p->type != DLF_PARAM_CHOICE) continue;
        size_t n = 0;
        const char *first = dlf_choice_at(p->choices, 0, &n);
        if (!first || n >= CHOICE_MAX)
            return dlf_fail(DLF_ERR_INTERNAL, "%s: parameter %s has no usable choices", e->slug,
                            p->name);
        values[i].number = 0.0;
        snprintf(values[i].choice, sizeof values[i].choice, "%.*s", (int)n, first);
    }
    return DLF_OK;
}

static dlf_status set_values(value *values, const dlf_experiment *e, bool full,
                             const dlf_setting *set, int n_set)
{
    DLF_TRY(set_defaults(values, e, full));
    for (int s = 0; s < n_set; s++) {
        const int i = param_index(e, set[s].name);
        if (i < 0) return unknown_parameter(e, set[s].name);
        if (values[i].is_set)
            return dlf_fail(DLF_ERR_ARG, "%s: %s is set twice", e->slug, set[s].name);
        DLF_TRY(parse_value(&values[i], e, &e->params[i], set[s].value));
        values[i].is_set = true;
    }
    return DLF_OK;
}

dlf_status dlf_experiment_check_settings(const dlf_experiment *e, const dlf_setting *set, int n_set)
{
    value values[PARAMS_MAX];
    return set_values(values, e, false, set, n_set);
}

/* ---- what an experiment asks ------------------------------------------------------------------
 */

dlf_device *dlf_run_device(const dlf_run *run)
{
    return run->options->device;
}
dlf_result *dlf_run_result(const dlf_run *run)
{
    return run->result;
}
uint64_t dlf_run_seed(const dlf_run *run)
{
    return run->options->seed;
}
int dlf_run_seeds(const dlf_run *run)
{
    return run->seeds;
}
bool dlf_run_full(const dlf_run *run)
{
    return run->options->full;
}

const char *dlf_run_data_dir(const dlf_run *run)
{
    return run->options->data_dir;
}

/* Asking for a parameter that the experiment did not declare is a bug of the experiment. */
static const value *declared(const dlf_run *run, const char *param)
{
    static const value none = {.number = NAN};
    const int i = param_index(run->experiment, param);
    assert(i >= 0 && "parameter is not in the experiment's list");
    return i < 0 ? &none : &run->values[i];
}

double dlf_run_real(const dlf_run *run, const char *param)
{
    return declared(run, param)->number;
}

int dlf_run_int(const dlf_run *run, const char *param)
{
    const double x = declared(run, param)->number;
    return x >= -2147483648.0 && x <= 2147483647.0 ? (int)x : 0;
}

const char *dlf_run_choice(const dlf_run *run, const char *param)
{
    return declared(run, param)->choice;
}

bool dlf_run_is_set(const dlf_run *run, const char *param)
{
    return declared(run, param)->is_set;
}

dlf_status dlf_run_stage(dlf_run *run, double fraction, const char *format, ...)
{
    const dlf_run_options *o = run->options;
    if (o->progress) {
        char text[STAGE_TEXT];
        va_list args;
        va_start(args, format);
        vsnprintf(text, sizeof text, format, args);
        va_end(args);
        o->progress(o->user, fmin(fmax(fraction, 0.0), 1.0), text);
    }
    if (o->cancel && *o->cancel)
        return dlf_fail(DLF_ERR_CANCELLED, "%s was interrupted; finished parts are kept",
                        run->experiment->slug);
    return DLF_OK;
}

/* ---- the run ----------------------------------------------------------------------------------
 */

static dlf_status record_parameters(const dlf_run *run)
{
    const dlf_param *p = run->experiment->params;
    for (int i = 0; p[i].name; i++) {
        if (p[i].type == DLF_PARAM_CHOICE)
            DLF_TRY(dlf_result_parameter_text(run->result, p[i].name, run->values[i].choice));
        else
            DLF_TRY(dlf_result_parameter(run->result, p[i].name, run->values[i].number));
    }
    if (run->options->data_dir)
        DLF_TRY(dlf_result_parameter_text(run->result, "data_dir", run->options->data_dir));
    return DLF_OK;
}

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void utc_now(char *out, size_t size)
{
    const time_t now = time(NULL);
    struct tm parts;
    gmtime_r(&now, &parts);
    strftime(out, size, "%Y-%m-%dT%H:%M:%SZ", &parts);
}

static dlf_status record_manifest(const dlf_run *run, const char *started, double seconds,
                                  bool complete)
{
    const dlf_device_info *info = &run->options->device->info;
    const dlf_manifest m = {
        .version = DLF_VERSION,
        .git = DLF_GIT,
        .command = run->options->command ? run->options->command : "",
        .started = started,
        .build = DLF_BUILD,
        .seed = run->options->seed,
        .seeds = run->seeds,
        .seconds = seconds,
        .backend = info->backend,
        .device = info->name,
        .device_detail = info->detail,
        .threads = info->threads,
        .mode = run->options->full ? "full" : "quick",
        .complete = complete,
        .customised = run->options->n_set > 0,
    };
    return dlf_result_set_manifest(run->result, &m);
}

static dlf_status failed_self_check(const dlf_run *run)
{
    for (int i = 0; i < dlf_result_checks(run->result); i++) {
        const dlf_check *c = dlf_result_get_check(run->result, i);
        if (c->self_check && c->verdict == DLF_REFUTED)
            return dlf_fail(DLF_ERR_SELF_CHECK,
                            "%s: self-check %s failed: measured %.9g, expected %.9g "
                            "(tolerance %g); the numbers of this run cannot be trusted",
                            run->experiment->slug, c->id, c->measured, c->expected, c->tolerance);
    }
    return dlf_fail(DLF_ERR_SELF_CHECK, "%s: a self-check failed", run->experiment->slug);
}

/* Run and describe. Everything but OK, CANCELLED and SELF_CHECK means: no result. */
static dlf_status run_and_record(dlf_run *run)
{
    char started[32];
    utc_now(started, sizeof started);
    const double start = seconds_now();
    DLF_TRY(record_parameters(run));

    dlf_status status = run->experiment->run(run);
    if (status == DLF_OK) status = dlf_device_sync(run->options->device);
    const bool complete = status == DLF_OK || status == DLF_ERR_SELF_CHECK;
    if (!complete && status != DLF_ERR_CANCELLED) return status;

    DLF_TRY(record_manifest(run, started, seconds_now() - start, complete));
    if (complete && !dlf_result_self_checks_hold(run->result)) return failed_self_check(run);
    return status;
}

dlf_status dlf_experiment_run(dlf_result **out, const dlf_experiment *e,
                              const dlf_run_options *options)
{
    *out = NULL;
    dlf_run run = {.experiment = e, .options = options, .seeds = options->seeds};
    if (options->seeds < 0)
        return dlf_fail(DLF_ERR_ARG, "%s needs at least 1 seed, not %d", e->slug, options->seeds);
    if (run.seeds == 0) run.seeds = options->full ? e->full_seeds : e->quick_seeds;
    if (run.seeds < 1)
        return dlf_fail(DLF_ERR_INTERNAL, "%s declares no default number of seeds", e->slug);
    DLF_TRY(set_values(run.values, e, options->full, options->set, options->n_set));

    DLF_TRY(dlf_result_new(&run.result, e->slug, e->questions, e->title));
    const dlf_status status = run_and_record(&run);
    if (status == DLF_OK || status == DLF_ERR_CANCELLED || status == DLF_ERR_SELF_CHECK)
        *out = run.result;
    else
        dlf_result_free(run.result);
    return status;
}
