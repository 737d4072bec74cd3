/* SPDX-License-Identifier: MIT
 * answer.c -- from templates and a result to Markdown. */
#include "report/answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/embedded.h"
#include "report/answer_internal.h"
#include "result/atomic_file.h"

static dlf_status oom(void)
{
    return dlf_fail(DLF_ERR_OOM, "out of memory writing an answer");
}

/* Is the end of `line` (up to `at`) inside a code span? */
static bool in_span(const char *line, const char *at)
{
    bool inside = false;
    for (; line < at; line++) inside ^= *line == '`';
    return inside;
}

/* An interrupted run has not got to every number, and one with parameters of the user's own has
 * other networks than the text speaks of. A plain run has them all, or the text is wrong. */
static bool may_miss(const dlf_result *r)
{
    const dlf_manifest *m = dlf_result_manifest(r);
    return !m->complete || m->customised;
}

/* Fill the placeholders of one line. */
static dlf_status fill_line(dlf_buffer *out, const dlf_result *r, bool zh, const char *name,
                            int number, const char *line, bool in_block)
{
    const char *begin, *end, *at = line;
    while ((begin = answer_next(at, &end)) != NULL) {
        answer_placeholder p;
        bool missing = false;
        dlf_buffer_append(out, at, (size_t)(begin - at));
        const char *wrong = answer_parse(&p, begin, end);
        if (!wrong) {
            const size_t before = out->size;
            wrong = answer_value(out, r, &p, zh, in_block || in_span(line, begin), &missing);
            if (wrong && missing && may_miss(r)) {
                out->size = before;
                dlf_buffer_puts(out, "—");
                wrong = NULL;
            }
        }
        if (wrong)
            return dlf_fail(DLF_ERR_INPUT, "%s, line %d: {{%.80s}}: %s", name, number,
                            end ? p.text : begin + 2, wrong);
        at = end;
    }
    dlf_buffer_puts(out, at);
    return DLF_OK;
}

static dlf_status fill(dlf_buffer *out, const dlf_result *r, bool zh, const char *name,
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
        const dlf_status status = fill_line(out, r, zh, name, number, line, in_block);
        free(line);
        if (status != DLF_OK) return status;
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

dlf_status dlf_answer_fill(const dlf_result *r, const char *lang, const char *name,
                           const char *text, size_t size, char **out)
{
    dlf_buffer b = {0};
    bool zh;
    *out = NULL;
    DLF_TRY(language(lang, &zh));
    return finish(&b, fill(&b, r, zh, name, text, size), out);
}

static dlf_status fill_question(dlf_buffer *b, const dlf_result *r, bool zh, int question)
{
    char name[64];
    size_t size;
    snprintf(name, sizeof name, "answers/q%02d.%s.md", question, zh ? "zh" : "en");
    const unsigned char *text = dlf_embedded_find(name, &size);
    if (!text) return dlf_fail(DLF_ERR_NOT_FOUND, "there is no answer text %s", name);
    if (b->size) dlf_buffer_puts(b, "\n");
    return fill(b, r, zh, name, (const char *)text, size);
}

dlf_status dlf_answer_render(const dlf_result *r, const char *lang, char **out)
{
    dlf_buffer b = {0};
    bool zh;
    *out = NULL;
    DLF_TRY(language(lang, &zh));
    dlf_status status = DLF_OK;
    for (const char *q = dlf_result_questions(r); *q && status == DLF_OK;) {
        status = fill_question(&b, r, zh, atoi(q + 1)); /* behind the Q */
        q += strcspn(q, ",");
        q += *q == ',';
    }
    return finish(&b, status, out);
}

dlf_status dlf_answer_write(const dlf_result *r, const char *dir, const char *lang)
{
    char *text = NULL, name[32];
    DLF_TRY(dlf_answer_render(r, lang, &text));
    snprintf(name, sizeof name, "answer.%s.md", !strcmp(lang, "zh") ? "zh" : "en");
    char *path = dlf_path_join(dir, name);
    dlf_status status = path ? dlf_make_directories(dir) : oom();
    if (status == DLF_OK) status = dlf_write_file_atomically(path, text, strlen(text));
    free(path);
    free(text);
    return status;
}
