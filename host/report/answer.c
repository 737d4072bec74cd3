/* SPDX-License-Identifier: MIT
 * answer.c -- from templates and a result to Markdown. */
#include "report/answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/embedded.h"
#include "report/answer_internal.h"

static dlf_status oom(void)
{
    return dlf_fail(DLF_ERR_OOM, "out of memory writing an answer");
}

/* Whose numbers there are, and the language. */
typedef struct answer_sources {
    const dlf_result *own;
    const dlf_result *const *others; /* NULL-terminated; NULL: none */
    bool zh;
} answer_sources;

/* Is the end of `line` (up to `at`) inside a code span? */
static bool in_span(const char *line, const char *at)
{
    bool inside = false;
    for (; line < at; line++) inside ^= *line == '`';
    return inside;
}

/* The run that a placeholder speaks of; NULL: another's that has not been run. */
static const dlf_result *source_of(const answer_sources *from, const answer_placeholder *p)
{
    const char *wanted = p->experiment;
    if (!wanted[0] || !strcmp(wanted, dlf_result_experiment(from->own))) return from->own;
    for (const dlf_result *const *r = from->others; r && *r; r++)
        if (!strcmp(wanted, dlf_result_experiment(*r))) return *r;
    return NULL;
}

/* An interrupted run has not got to every number, one with parameters of the user's own has other
 * networks than the text speaks of, and another version's may have had other numbers. A plain run
 * has them all, or the text is wrong. */
static bool may_miss(const answer_sources *from, const dlf_result *r)
{
    const dlf_manifest *m = dlf_result_manifest(r), *own = dlf_result_manifest(from->own);
    return !m->complete || m->customised || (r != from->own && strcmp(m->git, own->git) != 0);
}

/* The value of a placeholder, or — for what may be missing. NULL, or what is wrong with it. */
static const char *put_value(dlf_buffer *out, const answer_sources *from, answer_placeholder *p,
                             bool in_code)
{
    const dlf_result *r = source_of(from, p);
    if (!r) {
        dlf_buffer_puts(out, "—");
        return NULL;
    }
    if (r == from->own) p->experiment[0] = 0; /* its figures lie beside the text */
    const size_t before = out->size;
    bool missing = false;
    const char *wrong = answer_value(out, r, p, from->zh, in_code, &missing);
    if (!wrong || !missing || !may_miss(from, r)) return wrong;
    out->size = before;
    dlf_buffer_puts(out, "—");
    return NULL;
}

/* Fill the placeholders of one line. */
static dlf_status fill_line(dlf_buffer *out, const answer_sources *from, const char *name,
                            int number, const char *line, bool in_block)
{
    const char *begin, *end, *at = line;
    while ((begin = answer_next(at, &end)) != NULL) {
        answer_placeholder p;
        dlf_buffer_append(out, at, (size_t)(begin - at));
        const char *wrong = answer_parse(&p, begin, end);
        if (!wrong) wrong = put_value(out, from, &p, in_block || in_span(line, begin));
        if (wrong)
            return dlf_fail(DLF_ERR_INPUT, "%s, line %d: {{%.80s}}: %s", name, number,
                            end ? p.text : begin + 2, wrong);
        at = end;
    }
    dlf_buffer_puts(out, at);
    return DLF_OK;
}

bool dlf_answer_experiment(const char *text, const char **at, char name[DLF_ANSWER_EXPERIMENT])
{
    const char *begin = *at ? *at : text, *end;
    for (; (begin = answer_next(begin, &end)) != NULL; begin = end ? end : begin + 2) {
        answer_placeholder p;
        char seen[DLF_ANSWER_EXPERIMENT];
        if (answer_parse(&p, begin, end) || !p.experiment[0]) continue;
        bool first = true;
        for (const char *before = text, *e; first && (before = answer_next(before, &e)) != begin;
             before = e ? e : before + 2) {
            answer_placeholder q;
            if (!answer_parse(&q, before, e)) first = strcmp(q.experiment, p.experiment) != 0;
        }
        if (!first) continue;
        snprintf(seen, sizeof seen, "%s", p.experiment);
        memcpy(name, seen, sizeof seen);
        *at = end;
        return true;
    }
    return false;
}

/* Below the title: what the gaps are for. */
static void put_missing(dlf_buffer *out, const answer_sources *from, const char *text)
{
    bool any = false;
    answer_placeholder p = {0};
    for (const char *at = NULL; dlf_answer_experiment(text, &at, p.experiment);) {
        if (source_of(from, &p)) continue;
        if (!any)
            dlf_buffer_puts(out, from->zh ? "\n> 标为 — 的数字还没有运行；补齐：`dlf run"
                                          : "\n> Numbers shown as — have not been run; to fill "
                                            "them in: `dlf run");
        dlf_buffer_printf(out, " %s", p.experiment);
        any = true;
    }
    if (any) dlf_buffer_puts(out, "`\n");
}

static dlf_status fill(dlf_buffer *out, const answer_sources *from, const char *name,
                       const char *text, size_t size)
{
    bool in_block = false;
    int number = 0;
    for (const char *p = text, *end = text + size; p < end;) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        const char *next = newline ? newline + 1 : end;
        char *line = strndup(p, (size_t)(next - p));
        if (!line) return oom();
        number++;
        if (!strncmp(line, "```", 3)) in_block = !in_block;
        const dlf_status status = fill_line(out, from, name, number, line, in_block);
        free(line);
        if (status != DLF_OK) return status;
        if (number == 1) put_missing(out, from, text);
        p = next;
    }
    return out->failed ? oom() : DLF_OK;
}

static dlf_status language(const char *lang, bool *zh)
{
    *zh = !strcmp(lang, "zh");
    return *zh || !strcmp(lang, "en")
               ? DLF_OK
               : dlf_fail(DLF_ERR_ARG, "answers are in zh and en, not in '%s'", lang);
}

/* Hand over a buffer, or free it on failure. */
static dlf_status finish(dlf_buffer *b, dlf_status status, char **out)
{
    if (status == DLF_OK && !b->data) dlf_buffer_puts(b, "");
    if (status == DLF_OK && b->failed) status = oom();
    if (status != DLF_OK) dlf_buffer_free(b);
    *out = b->data;
    return status;
}

dlf_status dlf_answer_fill(const dlf_result *r, const dlf_result *const *others, const char *lang,
                           const char *name, const char *text, size_t size, char **out)
{
    dlf_buffer b = {0};
    answer_sources from = {.own = r, .others = others};
    *out = NULL;
    DLF_TRY(language(lang, &from.zh));
    char *copy = strndup(text, size); /* templates in memory need not end */
    if (!copy) return oom();
    const dlf_status status = fill(&b, &from, name, copy, strlen(copy));
    free(copy);
    return finish(&b, status, out);
}

const char *answer_template(int question, bool zh, char name[ANSWER_NAME])
{
    snprintf(name, ANSWER_NAME, "answers/q%02d.%s.md", question, zh ? "zh" : "en");
    return (const char *)dlf_embedded_find(name, NULL);
}

int answer_question(const dlf_result *r, const char **at)
{
    const char *q = *at ? *at : dlf_result_questions(r);
    if (!*q) return 0;
    *at = q + strcspn(q, ",");
    *at += **at == ',';
    return atoi(q + 1); /* behind the Q */
}

dlf_status dlf_answer_render(const dlf_result *r, const dlf_result *const *others, const char *lang,
                             char **out)
{
    dlf_buffer b = {0};
    answer_sources from = {.own = r, .others = others};
    *out = NULL;
    DLF_TRY(language(lang, &from.zh));
    dlf_status status = DLF_OK;
    const char *at = NULL;
    for (int question; status == DLF_OK && (question = answer_question(r, &at)) != 0;) {
        char name[ANSWER_NAME];
        const char *text = answer_template(question, from.zh, name);
        if (b.size) dlf_buffer_puts(&b, "\n");
        status = text ? fill(&b, &from, name, text, strlen(text))
                      : dlf_fail(DLF_ERR_NOT_FOUND, "there is no answer text %s", name);
    }
    return finish(&b, status, out);
}
