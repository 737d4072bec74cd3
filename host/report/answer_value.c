/* SPDX-License-Identifier: MIT
 * answer_value.c -- what a placeholder stands for. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/answer_internal.h"

/* ---- parsing ------------------------------------------------------------------------------------
 */

const char *answer_next(const char *text, const char **end)
{
    const char *begin = strstr(text, "{{");
    if (!begin) return NULL;
    const size_t line = strcspn(begin, "\n");
    *end = memmem(begin, line, "}}", 2);
    if (*end) *end += 2;
    return begin;
}

/* %[flags][width][.precision]{e,f,g}: one conversion of one double, nothing else. */
static bool is_format(const char *f)
{
    if (*f++ != '%') return false;
    f += strspn(f, "+ #0");
    for (int i = 0; i < 2 && isdigit((unsigned char)*f); i++) f++;
    if (*f == '.') {
        f++;
        for (int i = 0; i < 2 && isdigit((unsigned char)*f); i++) f++;
    }
    return (*f == 'e' || *f == 'f' || *f == 'g') && f[1] == 0;
}

/* Move what lies behind the first `mark` in `text` to `out`; false if it does not fit. */
static bool cut(char *text, char mark, char *out, size_t size)
{
    char *at = strchr(text, mark);
    if (!at) return true;
    *at = 0;
    return snprintf(out, size, "%s", at + 1) < (int)size;
}

/* Take EXPERIMENT/ away from the front of `rest`; false if it is no name. */
static bool cut_experiment(answer_placeholder *p, char *rest)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
    const size_t kind = strcspn(rest, ":"), n = strcspn(rest, "/");
    if (n >= kind) return true;
    if (n == 0 || n >= sizeof p->experiment || strspn(rest, letters) != n) return false;
    memcpy(p->experiment, rest, n);
    memmove(rest, rest + n + 1, strlen(rest + n + 1) + 1);
    return true;
}

const char *answer_parse(answer_placeholder *p, const char *begin, const char *end)
{
    static const char *const kinds[] = {"check",  "fact",     "param", "table",
                                        "figure", "manifest", "checks"};
    *p = (answer_placeholder){0};
    if (!end) return "is not closed with }} on its line";
    const size_t length = (size_t)(end - begin) - 4;
    if (length >= sizeof p->text) return "is too long";
    memcpy(p->text, begin + 2, length);
    char rest[ANSWER_PLACEHOLDER];
    snprintf(rest, sizeof rest, "%s", p->text);
    if (!cut(rest, '|', p->format, sizeof p->format) || (p->format[0] && !is_format(p->format)))
        return "has a format that is not like %.3g";
    if (!cut(rest, '[', p->keys, sizeof p->keys)) return "is too long";
    if (!cut_experiment(p, rest)) return "names an experiment that is none";
    const size_t keys = strlen(p->keys);
    if (strchr(p->text, '[') && (keys < 2 || p->keys[keys - 1] != ']')) return "lacks a ]";
    if (keys) p->keys[keys - 1] = 0;
    char name[ANSWER_PLACEHOLDER] = "";
    if (!cut(rest, ':', name, sizeof name) || !cut(name, '.', p->part, sizeof p->part) ||
        snprintf(p->name, sizeof p->name, "%s", name) >= (int)sizeof p->name ||
        snprintf(p->kind, sizeof p->kind, "%s", rest) >= (int)sizeof p->kind)
        return "is too long";
    bool known = false;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) known |= !strcmp(kinds[i], p->kind);
    if (!known) return "is of no known kind (check, fact, param, table, figure, manifest, checks)";
    if (!strcmp(p->kind, "checks") != !p->name[0]) return "has no name, or one too many";
    if (!strcmp(p->kind, "table") != (p->keys[0] && p->part[0]))
        return "is not like {{table:ID.COLUMN[KEY=VALUE]}}";
    return NULL;
}

/* ---- numbers
 * ---------------------------------------------------------------------------------------- */

/* 1.2e-05 as 1.2×10⁻⁵. */
static void put_exponent(dlf_buffer *out, const char *e)
{
    static const char *const superscript[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
    const long exponent = strtol(e + 1, NULL, 10);
    char digits[24];
    snprintf(digits, sizeof digits, "%ld", labs(exponent));
    dlf_buffer_puts(out, exponent < 0 ? "×10⁻" : "×10");
    for (const char *d = digits; *d; d++) dlf_buffer_puts(out, superscript[*d - '0']);
}

static void put_number(dlf_buffer *out, double x, const char *format)
{
    if (isnan(x)) {
        dlf_buffer_puts(out, "NaN");
        return;
    }
    if (isinf(x)) {
        dlf_buffer_puts(out, x > 0 ? "∞" : "−∞");
        return;
    }
    char text[512]; /* %99.99f of the largest double has 410 characters */
    const bool whole = x == floor(x) && fabs(x) < 1e6;
    /* Formats passed is_format(): one conversion of one double. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(text, sizeof text, format[0] ? format : whole ? "%.0f" : "%.3g", x);
#pragma GCC diagnostic pop
    for (const char *p = text; *p; p++) {
        if (*p == 'e') {
            put_exponent(out, p);
            return;
        }
        if (*p == '-')
            dlf_buffer_puts(out, "−");
        else
            dlf_buffer_append(out, *p == ',' ? "." : p, 1); /* a comma: the locale's point */
    }
}

static bool has_interval(const dlf_check *c)
{
    return !(isnan(c->lo) && isnan(c->hi));
}

/* As many decimals as the interval supports: 1.002 (0.996…1.008), never 1 (0.996…1.01). A check
 * without an interval, or with numbers far from one, keeps three digits. */
static const char *digits_of(const dlf_check *c, const char *asked, char format[ANSWER_FORMAT])
{
    const double half = (c->hi - c->lo) / 2, size = fmax(fabs(c->measured), fabs(c->expected));
    if (asked[0] || !(half > 0) || !isfinite(half) || !(size >= 1e-3 && size < 1e5)) return asked;
    const int decimals = (int)ceil(-log10(half));
    if (decimals > 8) return asked;
    snprintf(format, ANSWER_FORMAT, "%%.%df", decimals < 0 ? 0 : decimals);
    return format;
}

static void put_interval(dlf_buffer *out, const dlf_check *c, const char *format)
{
    put_number(out, c->lo, format);
    dlf_buffer_puts(out, "…");
    put_number(out, c->hi, format);
}

static void put_measured(dlf_buffer *out, const dlf_check *c, const char *format)
{
    put_number(out, c->measured, format);
    if (!has_interval(c)) return;
    dlf_buffer_puts(out, " (");
    put_interval(out, c, format);
    dlf_buffer_puts(out, ")");
}

/* ---- words
 * --------------------------------------------------------------------------------------------- */

/* Text of a result in Markdown: on one line, and not as markup. */
static void put_text(dlf_buffer *out, const char *text, bool in_code)
{
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c < 0x20 || c == 0x7F)
            dlf_buffer_puts(out, " ");
        else if (c == '`')
            dlf_buffer_puts(out, "'");
        else if (in_code)
            dlf_buffer_append(out, text, 1);
        else if (c == '<')
            dlf_buffer_puts(out, "&lt;");
        else if (c == '&')
            dlf_buffer_puts(out, "&amp;");
        else if (strchr("\\|*[]", c))
            dlf_buffer_printf(out, "\\%c", c);
        else
            dlf_buffer_append(out, text, 1);
    }
}

const char *dlf_answer_verdict(dlf_verdict v, bool zh)
{
    switch (v) {
    case DLF_SUPPORTED: return zh ? "支持" : "supported";
    case DLF_REFUTED: return zh ? "不支持" : "refuted";
    case DLF_DEPENDS: return zh ? "视条件而定" : "depends";
    case DLF_DEFINITIONAL: return zh ? "定义性" : "definitional";
    case DLF_UNDECIDED: return zh ? "未定" : "undecided";
    }
    return "";
}

static const char *pick(dlf_text text, bool zh)
{
    return zh ? text.zh : text.en;
}

/* ---- kinds
 * ------------------------------------------------------------------------------------------------
 */

static const char *check_value(dlf_buffer *out, const dlf_result *r, const answer_placeholder *p,
                               bool zh, bool in_code, bool *missing)
{
    const dlf_check *c = dlf_result_find_check(r, p->name);
    const char *part = p->part, *f = p->format;
    char format[ANSWER_FORMAT];
    *missing = !c;
    if (!c) return "no such check in this result";
    if (strcmp(part, "n")) f = digits_of(c, f, format);
    if (!part[0])
        put_measured(out, c, f);
    else if (!strcmp(part, "measured"))
        put_number(out, c->measured, f);
    else if (!strcmp(part, "expected"))
        put_number(out, c->expected, f);
    else if (!strcmp(part, "n"))
        put_number(out, c->n, f);
    else if (!strcmp(part, "verdict"))
        dlf_buffer_puts(out, dlf_answer_verdict(c->verdict, zh));
    else if (!strcmp(part, "source"))
        put_text(out, c->source, in_code);
    else if (!strcmp(part, "claim"))
        put_text(out, pick(c->claim, zh), in_code);
    else if (!strcmp(part, "note"))
        put_text(out, c->note ? c->note : "", in_code);
    else if (!strcmp(part, "ci") && has_interval(c))
        put_interval(out, c, f);
    else if (!strcmp(part, "ci"))
        dlf_buffer_puts(out, "—");
    else
        return "a check has measured, expected, ci, n, verdict, source, claim, note";
    return NULL;
}

static const char *fact_value(dlf_buffer *out, const dlf_result *r, const answer_placeholder *p,
                              bool *missing)
{
    double value;
    *missing = !dlf_result_find_fact(r, p->name, &value);
    if (*missing) return "no such fact in this result";
    put_number(out, value, p->format);
    return NULL;
}

static const char *param_value(dlf_buffer *out, const dlf_result *r, const answer_placeholder *p,
                               bool in_code, bool *missing)
{
    const char *text = dlf_result_find_parameter_text(r, p->name);
    const double number = dlf_result_find_parameter(r, p->name);
    *missing = !text && isnan(number);
    if (*missing) return "no such parameter in this result";
    if (text)
        put_text(out, text, in_code);
    else
        put_number(out, number, p->format);
    return NULL;
}

/* Does the row satisfy every KEY=VALUE of the list? -1: a key is no column. */
static int row_matches(const dlf_table *t, int row, const char *keys)
{
    char list[128], *save = NULL;
    snprintf(list, sizeof list, "%s", keys);
    for (char *key = strtok_r(list, ",", &save); key; key = strtok_r(NULL, ",", &save)) {
        char value[128] = "", *end;
        cut(key, '=', value, sizeof value);
        const int column = dlf_table_find_column(t, key);
        if (column < 0) return -1;
        const dlf_cell cell = dlf_table_cell(t, row, column);
        if (cell.text ? strcmp(cell.text, value) != 0
                      : fabs(cell.number - strtod(value, &end)) > 1e-9 * fabs(cell.number))
            return 0;
        if (!cell.text && (end == value || *end)) return 0;
        if (!cell.text && isnan(cell.number)) return 0;
    }
    return 1;
}

static const char *table_value(dlf_buffer *out, const dlf_result *r, const answer_placeholder *p,
                               bool in_code, bool *missing)
{
    const dlf_table *t = dlf_result_find_table(r, p->name);
    *missing = !t;
    if (!t) return "no such table in this result";
    const int column = dlf_table_find_column(t, p->part);
    if (column < 0) return "the table has no such column";
    for (int row = 0; row < dlf_table_rows(t); row++) {
        const int matches = row_matches(t, row, p->keys);
        if (matches < 0) return "a key is no column of the table";
        if (!matches) continue;
        const dlf_cell cell = dlf_table_cell(t, row, column);
        if (cell.text)
            put_text(out, cell.text, in_code);
        else
            put_number(out, cell.number, p->format);
        return NULL;
    }
    *missing = true;
    return "no row of the table has this key";
}

static const char *figure_value(dlf_buffer *out, const dlf_result *r, const answer_placeholder *p,
                                bool zh, bool *missing)
{
    for (int i = 0; i < dlf_result_figures(r); i++) {
        const dlf_figure *f = dlf_result_get_figure(r, i);
        if (strcmp(f->id, p->name)) continue;
        dlf_buffer_puts(out, "![");
        put_text(out, pick(f->title, zh), false);
        const char *up = p->experiment[0] ? "../" : "", *slash = p->experiment[0] ? "/" : "";
        dlf_buffer_printf(out, "](%s%s%s%s.%s.svg)", up, p->experiment, slash, f->id,
                          zh ? "zh" : "en");
        return NULL;
    }
    *missing = true;
    return "no such figure in this result";
}

static const char *manifest_value(dlf_buffer *out, const dlf_result *r, const answer_placeholder *p,
                                  bool in_code)
{
    const dlf_manifest *m = dlf_result_manifest(r);
    char date[11], seed[24];
    snprintf(date, sizeof date, "%s", m->started); /* YYYY-MM-DD */
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)m->seed);
    const struct {
        const char *name, *text;
        double number;
    } members[] = {{"version", m->version, 0},      {"git", m->git, 0},
                   {"command", m->command, 0},      {"seed", seed, 0},
                   {"seeds", NULL, m->seeds},       {"mode", m->mode, 0},
                   {"started", m->started, 0},      {"date", date, 0},
                   {"seconds", NULL, m->seconds},   {"build", m->build, 0},
                   {"backend", m->backend, 0},      {"device", m->device, 0},
                   {"detail", m->device_detail, 0}, {"threads", NULL, m->threads}};
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        if (strcmp(members[i].name, p->name)) continue;
        if (members[i].text)
            put_text(out, members[i].text, in_code);
        else
            put_number(out, members[i].number, p->format);
        return NULL;
    }
    return "no such member of the manifest";
}

/* The bound that the measurement was held against, tolerance included. */
static void put_expected(dlf_buffer *out, const dlf_check *c, bool zh)
{
    char format[ANSWER_FORMAT];
    const double margin = c->relative ? c->tolerance * fabs(c->expected) : c->tolerance;
    if (c->verdict == DLF_DEFINITIONAL) {
        dlf_buffer_puts(out, "—");
    } else if (c->relation == DLF_NOT_FINITE) {
        dlf_buffer_puts(out, zh ? "NaN 或 ∞" : "NaN or ∞");
    } else {
        const char *digits = digits_of(c, "", format);
        const char *sign = c->relation == DLF_AT_MOST    ? "≤ "
                           : c->relation == DLF_AT_LEAST ? "≥ "
                                                         : "";
        const double edge = c->relation == DLF_AT_MOST    ? margin
                            : c->relation == DLF_AT_LEAST ? -margin
                                                          : 0;
        dlf_buffer_puts(out, sign);
        put_number(out, c->expected + edge, digits);
        if (c->relation != DLF_EQUAL) return;
        dlf_buffer_puts(out, " ± ");
        put_number(out, c->relative ? 100 * c->tolerance : margin, "%.2g");
        if (c->relative) dlf_buffer_puts(out, " %");
    }
}

static void checks_value(dlf_buffer *out, const dlf_result *r, bool zh)
{
    dlf_buffer_puts(out,
                    zh ? "| 论断 | 实测（95 % 区间） | 预期 | 判定 | 依据 |\n|---|---|---|---|---|"
                       : "| Claim | Measured (95 % interval) | Expected | Verdict | Source |\n"
                         "|---|---|---|---|---|");
    for (int i = 0; i < dlf_result_checks(r); i++) {
        char format[ANSWER_FORMAT];
        const dlf_check *c = dlf_result_get_check(r, i);
        dlf_buffer_puts(out, "\n| ");
        put_text(out, pick(c->claim, zh), false);
        dlf_buffer_puts(out, " | ");
        if (c->verdict == DLF_DEFINITIONAL)
            dlf_buffer_puts(out, "—");
        else
            put_measured(out, c, digits_of(c, "", format));
        dlf_buffer_puts(out, " | ");
        put_expected(out, c, zh);
        dlf_buffer_printf(out, " | %s | ", dlf_answer_verdict(c->verdict, zh));
        put_text(out, c->source, false);
        dlf_buffer_puts(out, " |");
    }
}

const char *answer_value(dlf_buffer *out, const dlf_result *r, const answer_placeholder *p, bool zh,
                         bool in_code, bool *missing)
{
    *missing = false;
    if (!strcmp(p->kind, "check")) return check_value(out, r, p, zh, in_code, missing);
    if (!strcmp(p->kind, "fact")) return fact_value(out, r, p, missing);
    if (!strcmp(p->kind, "param")) return param_value(out, r, p, in_code, missing);
    if (!strcmp(p->kind, "table")) return table_value(out, r, p, in_code, missing);
    if (!strcmp(p->kind, "figure")) return figure_value(out, r, p, zh, missing);
    if (!strcmp(p->kind, "manifest")) return manifest_value(out, r, p, in_code);
    checks_value(out, r, zh);
    return NULL;
}
