/* SPDX-License-Identifier: MIT
 * result.c -- the result itself: strings, manifest, parameters, facts. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "result/internal.h"
#include "result/utf8.h"

/* ---- strings -------------------------------------------------------------------------------- */

struct dlf_string_block {
    struct dlf_string_block *next;
    size_t used, size;
    char bytes[];
};

static char *reserve(dlf_strings *strings, size_t size)
{
    struct dlf_string_block *block = strings->blocks;
    if (!block || block->size - block->used < size) {
        const size_t block_size = size > 4096 ? size : 4096;
        block = malloc(sizeof *block + block_size);
        if (!block) return NULL;
        *block = (struct dlf_string_block){.next = strings->blocks, .size = block_size};
        strings->blocks = block;
    }
    char *text = block->bytes + block->used;
    block->used += size;
    return text;
}

const char *dlf_strings_copy(dlf_strings *strings, const char *text)
{
    static const char replacement[] = "\xEF\xBF\xBD";
    if (!text) text = "";
    size_t size = 1;
    uint32_t c;
    int length;
    for (const char *p = text; (length = dlf_utf8_decode(p, &c)) != 0; p += length < 0 ? 1 : length)
        size += length < 0 ? 3 : (size_t)length;
    char *copy = reserve(strings, size), *q = copy;
    if (!copy) return NULL;
    for (const char *p = text; (length = dlf_utf8_decode(p, &c)) != 0;) {
        const size_t n = length < 0 ? 3 : (size_t)length;
        memcpy(q, length < 0 ? replacement : p, n);
        q += n;
        p += length < 0 ? 1 : length;
    }
    *q = 0;
    return copy;
}

void dlf_strings_free(dlf_strings *strings)
{
    while (strings->blocks) {
        struct dlf_string_block *next = strings->blocks->next;
        free(strings->blocks);
        strings->blocks = next;
    }
}

/* ---- shared helpers ------------------------------------------------------------------------- */

dlf_status dlf_result_oom(void)
{
    return dlf_fail(DLF_ERR_OOM, "out of memory building a result");
}

bool dlf_is_id(const char *text)
{
    return text && text[0] && !text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_")];
}

/* An experiment's name is typed by people and names a directory: words may be joined by '-'. */
static bool is_slug(const char *text)
{
    return text && text[0] && text[0] != '-' &&
           !text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-")];
}

bool dlf_is_questions(const char *text)
{
    if (!text) return false;
    if (!text[0]) return true;
    for (;;) {
        if (*text++ != 'Q') return false;
        const size_t digits = strspn(text, "0123456789");
        if (digits == 0 || digits > 4) return false;
        text += digits;
        if (!*text) return true;
        if (*text++ != ',') return false;
    }
}

dlf_status dlf_result_copy_text(dlf_result *r, dlf_text *out, dlf_text text, bool optional,
                                const char *what)
{
    const bool zh = text.zh && text.zh[0], en = text.en && text.en[0];
    if (zh != en || (!zh && !optional))
        return dlf_fail(DLF_ERR_ARG, "%s needs its text in both languages; %s is missing", what,
                        zh   ? "English"
                        : en ? "Chinese"
                             : "it");
    out->zh = dlf_strings_copy(&r->strings, text.zh);
    out->en = dlf_strings_copy(&r->strings, text.en);
    return out->zh && out->en ? DLF_OK : dlf_result_oom();
}

dlf_status dlf_result_grow(void *array, int count, size_t size)
{
    if (count > 0 && (count & (count - 1)) != 0) return DLF_OK; /* room up to the next power of 2 */
    void *old;
    memcpy(&old, array, sizeof old);
    void *bigger = realloc(old, (count ? (size_t)count * 2 : 1) * size);
    if (!bigger) return dlf_result_oom();
    memcpy(array, &bigger, sizeof bigger);
    return DLF_OK;
}

/* ---- the whole ------------------------------------------------------------------------------ */

dlf_status dlf_result_new(dlf_result **out, const char *experiment, const char *questions,
                          dlf_text title)
{
    *out = NULL;
    if (!is_slug(experiment))
        return dlf_fail(DLF_ERR_ARG, "experiment name '%s' is not [a-z0-9_-]+",
                        experiment ? experiment : "(null)");
    if (!dlf_is_questions(questions))
        return dlf_fail(DLF_ERR_ARG, "questions of %s: '%s' is not a list like \"Q7,Q8\"",
                        experiment, questions ? questions : "(null)");
    dlf_result *r = calloc(1, sizeof *r);
    if (!r) return dlf_result_oom();
    dlf_status status;
    DLF_TRY_DONE(dlf_result_copy_text(r, &r->title, title, false, "the title of a result"));
    r->experiment = dlf_strings_copy(&r->strings, experiment);
    r->questions = dlf_strings_copy(&r->strings, questions);
    if (!r->experiment || !r->questions) {
        status = dlf_result_oom();
        goto done;
    }
    DLF_TRY_DONE(dlf_result_set_manifest(r, &(dlf_manifest){0}));
done:
    if (status != DLF_OK) {
        dlf_result_free(r);
        r = NULL;
    }
    *out = r;
    return status;
}

void dlf_result_free(dlf_result *r)
{
    if (!r) return;
    for (int i = 0; i < r->n_tables; i++) {
        free(r->tables[i]->columns);
        free(r->tables[i]->cells);
        free(r->tables[i]);
    }
    for (int i = 0; i < r->n_checks; i++) free(r->checks[i]);
    for (int i = 0; i < r->n_figures; i++) free(r->figures[i]);
    free(r->tables);
    free(r->checks);
    free(r->figures);
    free(r->parameters);
    free(r->facts);
    dlf_strings_free(&r->strings);
    free(r);
}

const char *dlf_result_experiment(const dlf_result *r)
{
    return r->experiment;
}
const char *dlf_result_questions(const dlf_result *r)
{
    return r->questions;
}
dlf_text dlf_result_title(const dlf_result *r)
{
    return r->title;
}
const dlf_manifest *dlf_result_manifest(const dlf_result *r)
{
    return &r->manifest;
}

dlf_status dlf_result_set_manifest(dlf_result *r, const dlf_manifest *m)
{
    if (m->seeds < 0 || m->threads < 0)
        return dlf_fail(DLF_ERR_ARG, "manifest: %d seeds, %d threads; neither may be negative",
                        m->seeds, m->threads);
    dlf_manifest copy = *m;
    const char **texts[] = {&copy.version, &copy.git,           &copy.command,
                            &copy.started, &copy.build,         &copy.backend,
                            &copy.device,  &copy.device_detail, &copy.mode};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        *texts[i] = dlf_strings_copy(&r->strings, *texts[i]);
        if (!*texts[i]) return dlf_result_oom();
    }
    r->manifest = copy;
    return DLF_OK;
}

/* ---- parameters ----------------------------------------------------------------------------- */

static const dlf_parameter *find_parameter(const dlf_result *r, const char *name)
{
    for (int i = 0; i < r->n_parameters; i++)
        if (!strcmp(r->parameters[i].name, name)) return &r->parameters[i];
    return NULL;
}

static dlf_status add_parameter(dlf_result *r, const char *name, const char *text, double number)
{
    if (!dlf_is_id(name))
        return dlf_fail(DLF_ERR_ARG, "parameter name '%s' is not [a-z0-9_]+",
                        name ? name : "(null)");
    if (find_parameter(r, name))
        return dlf_fail(DLF_ERR_ARG, "parameter %s is recorded twice", name);
    dlf_parameter p = {.name = dlf_strings_copy(&r->strings, name), .number = number};
    if (!p.name) return dlf_result_oom();
    if (text && !(p.text = dlf_strings_copy(&r->strings, text))) return dlf_result_oom();
    DLF_TRY(dlf_result_grow(&r->parameters, r->n_parameters, sizeof p));
    r->parameters[r->n_parameters++] = p;
    return DLF_OK;
}

dlf_status dlf_result_parameter(dlf_result *r, const char *name, double value)
{
    /* In JSON "NaN" would be indistinguishable from a text parameter, and no parameter is NaN. */
    if (!isfinite(value))
        return dlf_fail(DLF_ERR_ARG, "parameter %s is not a finite number", name ? name : "(null)");
    return add_parameter(r, name, NULL, value);
}

dlf_status dlf_result_parameter_text(dlf_result *r, const char *name, const char *value)
{
    return add_parameter(r, name, value ? value : "", NAN);
}

double dlf_result_find_parameter(const dlf_result *r, const char *name)
{
    const dlf_parameter *p = find_parameter(r, name);
    return p && !p->text ? p->number : NAN;
}

const char *dlf_result_find_parameter_text(const dlf_result *r, const char *name)
{
    const dlf_parameter *p = find_parameter(r, name);
    return p ? p->text : NULL;
}

/* ---- facts ---------------------------------------------------------------------------------- */

dlf_status dlf_result_fact(dlf_result *r, const char *id, double value, const char *unit)
{
    if (!dlf_is_id(id))
        return dlf_fail(DLF_ERR_ARG, "fact id '%s' is not [a-z0-9_]+", id ? id : "(null)");
    if (dlf_result_find_fact(r, id, NULL))
        return dlf_fail(DLF_ERR_ARG, "fact %s is recorded twice", id);
    if (!unit) return dlf_fail(DLF_ERR_ARG, "fact %s has no unit; \"1\" if it is a ratio", id);
    const dlf_fact fact = {.id = dlf_strings_copy(&r->strings, id),
                           .unit = dlf_strings_copy(&r->strings, unit),
                           .value = value};
    if (!fact.id || !fact.unit) return dlf_result_oom();
    DLF_TRY(dlf_result_grow(&r->facts, r->n_facts, sizeof fact));
    r->facts[r->n_facts++] = fact;
    return DLF_OK;
}

bool dlf_result_find_fact(const dlf_result *r, const char *id, double *value)
{
    for (int i = 0; i < r->n_facts; i++) {
        if (strcmp(r->facts[i].id, id)) continue;
        if (value) *value = r->facts[i].value;
        return true;
    }
    if (value) *value = NAN;
    return false;
}
