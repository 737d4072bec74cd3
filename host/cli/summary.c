/* SPDX-License-Identifier: MIT
 * summary.c -- a result as the few lines somebody reads after `dlf run`. */
#include "cli/summary.h"

#include <math.h>
#include <string.h>

#include "cli/words.h"
#include "experiments/run.h"
#include "result/utf8.h"

const char *cli_number(char text[CLI_NUMBER], double x)
{
    if (isnan(x))
        snprintf(text, CLI_NUMBER, "NaN");
    else if (isinf(x))
        snprintf(text, CLI_NUMBER, x > 0 ? "Inf" : "-Inf");
    else
        snprintf(text, CLI_NUMBER, "%.4g", x);
    return text;
}

static dlf_text verdict_words(dlf_verdict v)
{
    switch (v) {
    case DLF_SUPPORTED: return CLI_SUPPORTED_;
    case DLF_REFUTED: return CLI_REFUTED_;
    case DLF_DEPENDS: return CLI_DEPENDS_;
    case DLF_DEFINITIONAL: return CLI_DEFINITIONAL_;
    case DLF_UNDECIDED: return CLI_UNDECIDED_;
    }
    return CLI_UNDECIDED_;
}

void cli_print_verdict(FILE *out, dlf_verdict verdict, const cli_language *language, int columns)
{
    static const char *const colours[] = {[DLF_SUPPORTED] = "\x1b[32m",
                                          [DLF_REFUTED] = "\x1b[31m",
                                          [DLF_DEPENDS] = "\x1b[33m",
                                          [DLF_DEFINITIONAL] = "\x1b[36m",
                                          [DLF_UNDECIDED] = "\x1b[33m"};
    const bool coloured = cli_has_colours(out);
    if (coloured) fputs(colours[verdict], out);
    cli_print_padded(out, cli_say(language, verdict_words(verdict)), columns);
    if (coloured) fputs("\x1b[0m", out);
}

/* ---- the lines of a check -----------------------------------------------------------------------
 */

void cli_describe_measured(dlf_buffer *b, const dlf_check *c)
{
    char x[CLI_NUMBER], lo[CLI_NUMBER], hi[CLI_NUMBER];
    dlf_buffer_puts(b, cli_number(x, c->measured));
    if (!isnan(c->lo) && !isnan(c->hi))
        dlf_buffer_printf(b, " (%s…%s)", cli_number(lo, c->lo), cli_number(hi, c->hi));
}

void cli_describe_expected(dlf_buffer *b, const dlf_check *c, const cli_language *language)
{
    char x[CLI_NUMBER], tolerance[CLI_NUMBER];
    const double margin = c->relative ? c->tolerance * fabs(c->expected) : c->tolerance;
    switch (c->relation) {
    case DLF_NOT_FINITE: dlf_buffer_puts(b, cli_say(language, CLI_NOT_FINITE_)); break;
    /* One-sided: what decides is the bound with its tolerance, so that is what is printed. */
    case DLF_AT_MOST: dlf_buffer_printf(b, "≤ %s", cli_number(x, c->expected + margin)); break;
    case DLF_AT_LEAST: dlf_buffer_printf(b, "≥ %s", cli_number(x, c->expected - margin)); break;
    case DLF_EQUAL:
        dlf_buffer_puts(b, cli_number(x, c->expected));
        if (c->tolerance > 0.0 && c->relative)
            dlf_buffer_printf(b, " ±%s%%", cli_number(tolerance, 100.0 * c->tolerance));
        else if (c->tolerance > 0.0)
            dlf_buffer_printf(b, " ±%s", cli_number(tolerance, c->tolerance));
        break;
    }
}

typedef struct widths {
    int measured, expected, verdict;
} widths;

static int wider(int columns, const dlf_buffer *b)
{
    const int n = b->data ? dlf_utf8_string_columns(b->data) : 0;
    return n > columns ? n : columns;
}

static bool is_finding(const dlf_check *c)
{
    return !c->self_check;
}

static widths measure_columns(const dlf_result *r, const cli_language *language)
{
    widths w = {0};
    for (int i = 0; i < dlf_result_checks(r); i++) {
        const dlf_check *c = dlf_result_get_check(r, i);
        if (!is_finding(c)) continue;
        dlf_buffer measured = {0}, expected = {0};
        cli_describe_measured(&measured, c);
        cli_describe_expected(&expected, c, language);
        w.measured = wider(w.measured, &measured);
        w.expected = wider(w.expected, &expected);
        const int verdict = dlf_utf8_string_columns(cli_say(language, verdict_words(c->verdict)));
        if (verdict > w.verdict) w.verdict = verdict;
        dlf_buffer_free(&measured);
        dlf_buffer_free(&expected);
    }
    return w;
}

static void print_check(FILE *out, const dlf_check *c, const widths *w,
                        const cli_language *language)
{
    dlf_buffer measured = {0}, expected = {0};
    cli_describe_measured(&measured, c);
    cli_describe_expected(&expected, c, language);
    fputs("  ", out);
    cli_print_padded(out, measured.data ? measured.data : "", w->measured);
    fprintf(out, "  %s ", cli_say(language, CLI_EXPECTED));
    cli_print_padded(out, expected.data ? expected.data : "", w->expected);
    fputs("  → ", out);
    cli_print_verdict(out, c->verdict, language, w->verdict);
    fprintf(out, "  %s\n", cli_say(language, c->claim));
    dlf_buffer_free(&measured);
    dlf_buffer_free(&expected);
}

/* Self-checks are ours, not the reader's: one line when all hold, the culprits when not. */
static void print_self_checks(FILE *out, const dlf_result *r, const cli_language *language)
{
    int all = 0, hold = 0;
    for (int i = 0; i < dlf_result_checks(r); i++) {
        const dlf_check *c = dlf_result_get_check(r, i);
        if (!c->self_check) continue;
        all++;
        hold += c->verdict != DLF_REFUTED;
        if (c->verdict == DLF_REFUTED)
            fprintf(out, "  %s %s: %.9g, %s %.9g  %s\n", cli_say(language, CLI_FAILED), c->id,
                    c->measured, cli_say(language, CLI_EXPECTED), c->expected,
                    cli_say(language, c->claim));
    }
    if (all) fprintf(out, "  %d/%d %s\n", hold, all, cli_say(language, CLI_SELF_CHECKS));
}

/* "depth=50 width=512": every parameter as used. */
static void print_parameters(FILE *out, const dlf_result *r)
{
    const dlf_experiment *e = dlf_experiment_find(dlf_result_experiment(r));
    if (!e || !e->params[0].name) return;
    fputc(' ', out);
    for (const dlf_param *p = e->params; p->name; p++) {
        char x[CLI_NUMBER];
        const char *text = dlf_result_find_parameter_text(r, p->name);
        fprintf(out, " %s=%s", p->name,
                text ? text : cli_number(x, dlf_result_find_parameter(r, p->name)));
    }
    fputc('\n', out);
}

void cli_print_summary(FILE *out, const dlf_result *r, const cli_language *language)
{
    const dlf_manifest *m = dlf_result_manifest(r);
    fprintf(out, "%s  %s\n", dlf_result_questions(r), cli_say(language, dlf_result_title(r)));
    fprintf(out, "  %s · %s (%s) · %s · %d %s · %s %llu · %.1f s\n", dlf_result_experiment(r),
            m->backend, m->device, m->mode, m->seeds, cli_say(language, CLI_SEEDS),
            cli_say(language, CLI_SEED), (unsigned long long)m->seed, m->seconds);
    print_parameters(out, r);
    if (!m->complete) fprintf(out, "  %s\n", cli_say(language, CLI_PARTIAL));
    const widths w = measure_columns(r, language);
    for (int i = 0; i < dlf_result_checks(r); i++) {
        const dlf_check *c = dlf_result_get_check(r, i);
        if (is_finding(c)) print_check(out, c, &w, language);
    }
    print_self_checks(out, r, language);
}

/* ---- CSV ----------------------------------------------------------------------------------------
 */

static void print_quoted(FILE *out, const char *text)
{
    if (!text[strcspn(text, ",\"\r\n")]) {
        fputs(text, out);
        return;
    }
    fputc('"', out);
    for (; *text; text++) {
        if (*text == '"') fputc('"', out);
        fputc(*text, out);
    }
    fputc('"', out);
}

void cli_print_checks_csv(FILE *out, const dlf_result *r, bool header)
{
    static const char *const relations[] = {"equal", "at_most", "at_least", "not_finite"};
    if (header)
        fputs("experiment,check,measured,lo,hi,n,relation,expected,tolerance,relative,verdict,"
              "source\r\n",
              out);
    for (int i = 0; i < dlf_result_checks(r); i++) {
        const dlf_check *c = dlf_result_get_check(r, i);
        char x[4][DLF_NUMBER_TEXT], tolerance[DLF_NUMBER_TEXT];
        fprintf(out, "%s,%s,%s,%s,%s,%d,%s,%s,%s,%d,%s,", dlf_result_experiment(r), c->id,
                dlf_number_text(x[0], c->measured), dlf_number_text(x[1], c->lo),
                dlf_number_text(x[2], c->hi), c->n, relations[c->relation],
                dlf_number_text(x[3], c->expected), dlf_number_text(tolerance, c->tolerance),
                c->relative, dlf_verdict_name(c->verdict));
        print_quoted(out, c->source);
        fputs("\r\n", out);
    }
}
