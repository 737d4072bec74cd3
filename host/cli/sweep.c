/* SPDX-License-Identifier: MIT
 * sweep.c -- one parameter, several values. */
#include "cli/sweep.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "experiments/run.h"

static dlf_status malformed(const char *text)
{
    return dlf_fail(DLF_ERR_ARG, "--sweep is name=first..last:count or name=v1,v2,..., not '%.60s'",
                    text);
}

static dlf_status add_value(cli_sweep *s, const char *value, size_t length)
{
    if (length == 0) return dlf_fail(DLF_ERR_ARG, "--sweep %s: an empty value", s->name);
    if (length >= CLI_SWEEP_TEXT)
        return dlf_fail(DLF_ERR_ARG, "--sweep %s: '%.40s...' is no value", s->name, value);
    for (int i = 0; i < s->n; i++)
        if (strlen(s->value[i]) == length && strncmp(s->value[i], value, length) == 0)
            return dlf_fail(DLF_ERR_ARG, "--sweep %s: %s is there twice", s->name, s->value[i]);
    if (s->n == CLI_SWEEP_MAX)
        return dlf_fail(DLF_ERR_ARG, "--sweep %s: more than %d values", s->name, CLI_SWEEP_MAX);
    snprintf(s->value[s->n++], CLI_SWEEP_TEXT, "%.*s", (int)length, value);
    return DLF_OK;
}

static dlf_status add_list(cli_sweep *s, const char *text)
{
    for (;;) {
        const size_t n = strcspn(text, ",");
        DLF_TRY(add_value(s, text, n));
        if (!text[n]) return DLF_OK;
        text += n + 1;
    }
}

/* "a..b:n"; `dots` points to the two dots. */
static dlf_status add_range(cli_sweep *s, const char *text, const char *dots, bool whole,
                            const char *all)
{
    char first[CLI_SWEEP_TEXT], last[CLI_SWEEP_TEXT];
    const char *colon = strchr(dots, ':');
    if (!colon || dots - text >= CLI_SWEEP_TEXT || colon - dots >= CLI_SWEEP_TEXT)
        return malformed(all);
    snprintf(first, sizeof first, "%.*s", (int)(dots - text), text);
    snprintf(last, sizeof last, "%.*s", (int)(colon - dots - 2), dots + 2);
    double a, b, count;
    if (!dlf_parse_number(&a, first) || !dlf_parse_number(&b, last) ||
        !dlf_parse_number(&count, colon + 1))
        return malformed(all);
    if (!(count >= 2 && count <= CLI_SWEEP_MAX) || count != floor(count))
        return dlf_fail(DLF_ERR_ARG,
                        "--sweep %s: the count is a whole number in 2..%d, not '%.20s'", s->name,
                        CLI_SWEEP_MAX, colon + 1);
    for (int i = 0; i < (int)count; i++) {
        const double x = a + (b - a) * i / (count - 1);
        char value[CLI_SWEEP_TEXT];
        snprintf(value, sizeof value, "%.10g", whole ? round(x) : x);
        if (s->n && strcmp(s->value[s->n - 1], value) == 0) continue; /* rounded to its neighbour */
        DLF_TRY(add_value(s, value, strlen(value)));
    }
    return DLF_OK;
}

dlf_status cli_sweep_parse(cli_sweep *out, const char *text, const dlf_experiment *e)
{
    out->n = 0;
    const size_t n = strcspn(text, "=");
    if (n == 0 || !text[n] || n >= sizeof out->name) return malformed(text);
    snprintf(out->name, sizeof out->name, "%.*s", (int)n, text);
    const char *values = text + n + 1;
    const dlf_param *p = dlf_experiment_param(e, out->name);
    const char *dots = p && p->type != DLF_PARAM_CHOICE ? strstr(values, "..") : NULL;
    if (dots)
        DLF_TRY(add_range(out, values, dots, p->type == DLF_PARAM_INT, text));
    else
        DLF_TRY(add_list(out, values));
    for (int i = 0; i < out->n; i++) {
        const dlf_setting set = {out->name, out->value[i]};
        DLF_TRY(dlf_experiment_check_settings(e, &set, 1));
    }
    return DLF_OK;
}

void cli_sweep_csv(dlf_buffer *b, const char *value, const dlf_result *r)
{
    if (b->size == 0) dlf_buffer_puts(b, "value,check,measured,lo,hi,expected,verdict\r\n");
    for (int i = 0; i < dlf_result_checks(r); i++) {
        const dlf_check *c = dlf_result_get_check(r, i);
        char x[4][DLF_NUMBER_TEXT];
        dlf_buffer_printf(b, "%s,%s,%s,%s,%s,%s,%s\r\n", value, c->id,
                          dlf_number_text(x[0], c->measured), dlf_number_text(x[1], c->lo),
                          dlf_number_text(x[2], c->hi), dlf_number_text(x[3], c->expected),
                          dlf_verdict_name(c->verdict));
    }
}
