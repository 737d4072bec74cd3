/* SPDX-License-Identifier: MIT
 * json_read.c -- strict reading of docs/result-schema.md. The text may come from anywhere: every
 * member is checked for presence, type and range, and the result is built through the same
 * functions an experiment calls, so nothing enters that an experiment could not have made. */
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "result/internal.h"

enum { SIZE_LIMIT = 256 << 20, COLUMNS_LIMIT = 1024 };

/* Where a value sits in the document: a list that grows with the call depth. */
struct at {
    const struct at *up; /* NULL: the document, `key` is then its name */
    const char *key;     /* NULL: element `index` of an array */
    size_t index;
};

static void append_path(const struct at *at, char *path, size_t size)
{
    if (!at->up) {
        snprintf(path, size, "%s", at->key);
        return;
    }
    append_path(at->up, path, size);
    const size_t used = strlen(path);
    if (!at->key)
        snprintf(path + used, size - used, "[%zu]", at->index);
    else
        snprintf(path + used, size - used, "%s%.40s", at->up->up ? "." : ": ", at->key);
}

static dlf_status wrong(const struct at *at, const char *what)
{
    char path[400], text[600];
    append_path(at, path, sizeof path);
    snprintf(text, sizeof text, "%s", what); /* `what` may be the very message we replace */
    return dlf_fail(DLF_ERR_INPUT, "%s: %s", path, text);
}

/* What the building functions call a wrong argument is wrong input here. */
static dlf_status as_input(const struct at *at, dlf_status status)
{
    return status == DLF_ERR_ARG || status == DLF_ERR_SHAPE ? wrong(at, dlf_error_message())
                                                            : status;
}
#define READ(at, call) DLF_TRY(as_input((at), (call)))

/* ---- members --------------------------------------------------------------------------------- */

/* For errors in member `key` of the object at `at`. */
static dlf_status wrong_member(const struct at *at, const char *key, const char *what)
{
    return wrong(&(struct at){.up = at, .key = key}, what);
}

static dlf_status get(const struct at *at, const json_t *object, const char *key, json_t **out)
{
    *out = json_object_get(object, key);
    return *out ? DLF_OK : wrong_member(at, key, "missing");
}

static dlf_status get_string(const struct at *at, const json_t *object, const char *key,
                             const char **out)
{
    json_t *value;
    DLF_TRY(get(at, object, key, &value));
    *out = json_string_value(value);
    return *out ? DLF_OK : wrong_member(at, key, "must be a string");
}

/* A string, or null: *out is then NULL. */
static dlf_status get_optional(const struct at *at, const json_t *object, const char *key,
                               const char **out)
{
    json_t *value;
    DLF_TRY(get(at, object, key, &value));
    *out = json_string_value(value);
    return *out || json_is_null(value) ? DLF_OK : wrong_member(at, key, "must be a string or null");
}

static dlf_status get_bool(const struct at *at, const json_t *object, const char *key, bool *out)
{
    json_t *value;
    DLF_TRY(get(at, object, key, &value));
    *out = json_is_true(value);
    return json_is_boolean(value) ? DLF_OK : wrong_member(at, key, "must be true or false");
}

static dlf_status get_int(const struct at *at, const json_t *object, const char *key, int *out)
{
    json_t *value;
    DLF_TRY(get(at, object, key, &value));
    const json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < 0 || number > INT_MAX)
        return wrong_member(at, key, "must be an integer from 0 to 2147483647");
    *out = (int)number;
    return DLF_OK;
}

static bool to_number(const json_t *value, double *out)
{
    const char *text = json_string_value(value);
    if (!text) {
        *out = json_number_value(value);
        return json_is_number(value);
    }
    *out = !strcmp(text, "NaN")         ? (double)NAN
           : !strcmp(text, "Infinity")  ? (double)INFINITY
           : !strcmp(text, "-Infinity") ? (double)-INFINITY
                                        : 0;
    return *out != 0;
}

static dlf_status get_number(const struct at *at, const json_t *object, const char *key,
                             double *out)
{
    json_t *value;
    DLF_TRY(get(at, object, key, &value));
    return to_number(value, out)
               ? DLF_OK
               : wrong_member(at, key, "must be a number or \"NaN\", \"Infinity\", \"-Infinity\"");
}

static dlf_status get_seed(const struct at *at, const json_t *object, const char *key,
                           uint64_t *out)
{
    json_t *value;
    DLF_TRY(get(at, object, key, &value));
    const char *digits = json_string_value(value);
    if (digits && digits[0] && !digits[strspn(digits, "0123456789")]) {
        errno = 0;
        *out = strtoull(digits, NULL, 10);
        if (errno == 0) return DLF_OK;
    }
    *out = (uint64_t)json_integer_value(value);
    return json_is_integer(value) && json_integer_value(value) >= 0
               ? DLF_OK
               : wrong_member(at, key, "must be an integer from 0 to 2^64-1 (a string above 2^53)");
}

static dlf_status get_object(const struct at *at, const json_t *object, const char *key,
                             json_t **out)
{
    DLF_TRY(get(at, object, key, out));
    return json_is_object(*out) ? DLF_OK : wrong_member(at, key, "must be an object");
}

static dlf_status get_array(const struct at *at, const json_t *object, const char *key,
                            json_t **out)
{
    DLF_TRY(get(at, object, key, out));
    return json_is_array(*out) ? DLF_OK : wrong_member(at, key, "must be an array");
}

static dlf_status get_text(const struct at *at, const json_t *object, const char *key,
                           dlf_text *out)
{
    const struct at here = {.up = at, .key = key};
    json_t *value;
    DLF_TRY(get_object(at, object, key, &value));
    DLF_TRY(get_string(&here, value, "zh", &out->zh));
    return get_string(&here, value, "en", &out->en);
}

/* A string out of a list of names; `find` gives -1 for others. */
static dlf_status get_name(const struct at *at, const json_t *object, const char *key,
                           int (*find)(const char *name), int *out)
{
    const char *name;
    DLF_TRY(get_string(at, object, key, &name));
    *out = find(name);
    return *out >= 0 ? DLF_OK : wrong_member(at, key, "unknown name");
}

/* ---- the parts ------------------------------------------------------------------------------- */

static dlf_status read_manifest(dlf_result *r, const struct at *root, const json_t *document)
{
    const struct at at = {.up = root, .key = "manifest"}, at_device = {.up = &at, .key = "device"};
    json_t *object, *device;
    dlf_manifest m = {0};
    DLF_TRY(get_object(root, document, at.key, &object));
    DLF_TRY(get_string(&at, object, "version", &m.version));
    DLF_TRY(get_string(&at, object, "git", &m.git));
    DLF_TRY(get_string(&at, object, "command", &m.command));
    DLF_TRY(get_seed(&at, object, "seed", &m.seed));
    DLF_TRY(get_int(&at, object, "seeds", &m.seeds));
    DLF_TRY(get_string(&at, object, "mode", &m.mode));
    DLF_TRY(get_bool(&at, object, "complete", &m.complete));
    DLF_TRY(get_bool(&at, object, "customised", &m.customised));
    DLF_TRY(get_string(&at, object, "started", &m.started));
    DLF_TRY(get_number(&at, object, "seconds", &m.seconds));
    DLF_TRY(get_string(&at, object, "build", &m.build));
    DLF_TRY(get_object(&at, object, at_device.key, &device));
    DLF_TRY(get_string(&at_device, device, "backend", &m.backend));
    DLF_TRY(get_string(&at_device, device, "name", &m.device));
    DLF_TRY(get_string(&at_device, device, "detail", &m.device_detail));
    DLF_TRY(get_int(&at_device, device, "threads", &m.threads));
    READ(&at, dlf_result_set_manifest(r, &m));
    return DLF_OK;
}

static dlf_status read_parameters(dlf_result *r, const struct at *root, const json_t *document)
{
    const struct at at = {.up = root, .key = "parameters"};
    json_t *object, *value;
    const char *name;
    DLF_TRY(get_object(root, document, at.key, &object));
    json_object_foreach(object, name, value)
    {
        const struct at here = {.up = &at, .key = name};
        if (json_is_string(value))
            READ(&here, dlf_result_parameter_text(r, name, json_string_value(value)));
        else if (json_is_number(value))
            READ(&here, dlf_result_parameter(r, name, json_number_value(value)));
        else
            return wrong(&here, "must be a number or a string");
    }
    return DLF_OK;
}

static dlf_status read_facts(dlf_result *r, const struct at *root, const json_t *document)
{
    const struct at at = {.up = root, .key = "facts"};
    json_t *object, *fact;
    const char *id;
    DLF_TRY(get_object(root, document, at.key, &object));
    json_object_foreach(object, id, fact)
    {
        const struct at here = {.up = &at, .key = id};
        double value;
        const char *unit;
        if (!json_is_object(fact)) return wrong(&here, "must be an object");
        DLF_TRY(get_number(&here, fact, "value", &value));
        DLF_TRY(get_string(&here, fact, "unit", &unit));
        READ(&here, dlf_result_fact(r, id, value, unit));
    }
    return DLF_OK;
}

static dlf_status read_check(dlf_result *r, const struct at *at, const json_t *object)
{
    dlf_check c = {.lo = NAN, .hi = NAN};
    json_t *interval;
    int relation, verdict;
    const char *decided_by;
    if (!json_is_object(object)) return wrong(at, "must be an object");
    DLF_TRY(get_string(at, object, "id", &c.id));
    DLF_TRY(get_text(at, object, "claim", &c.claim));
    DLF_TRY(get_number(at, object, "measured", &c.measured));
    DLF_TRY(get(at, object, "ci95", &interval));
    const bool pair = json_is_array(interval) && json_array_size(interval) == 2 &&
                      to_number(json_array_get(interval, 0), &c.lo) &&
                      to_number(json_array_get(interval, 1), &c.hi);
    if (!pair && !json_is_null(interval))
        return wrong_member(at, "ci95", "must be [number, number] or null");
    DLF_TRY(get_int(at, object, "n", &c.n));
    DLF_TRY(get_name(at, object, "relation", dlf_relation_from_name, &relation));
    DLF_TRY(get_number(at, object, "expected", &c.expected));
    DLF_TRY(get_number(at, object, "tolerance", &c.tolerance));
    DLF_TRY(get_bool(at, object, "relative", &c.relative));
    DLF_TRY(get_string(at, object, "source", &c.source));
    DLF_TRY(get_bool(at, object, "self_check", &c.self_check));
    DLF_TRY(get_string(at, object, "decided_by", &decided_by));
    DLF_TRY(get_name(at, object, "verdict", dlf_verdict_from_name, &verdict));
    DLF_TRY(get_optional(at, object, "note", &c.note));
    c.relation = (dlf_relation)relation;
    c.verdict = (dlf_verdict)verdict;
    c.has_verdict = !strcmp(decided_by, "experiment");
    if (!c.has_verdict && strcmp(decided_by, "relation"))
        return wrong_member(at, "decided_by", "must be \"experiment\" or \"relation\"");
    READ(at, dlf_result_check(r, c));
    if (dlf_result_find_check(r, c.id)->verdict != c.verdict)
        return wrong_member(at, "verdict", "does not follow from the numbers of this check");
    return DLF_OK;
}

static dlf_status read_checks(dlf_result *r, const struct at *root, const json_t *document)
{
    const struct at at = {.up = root, .key = "checks"};
    json_t *array, *element;
    size_t i;
    DLF_TRY(get_array(root, document, at.key, &array));
    json_array_foreach(array, i, element)
        DLF_TRY(read_check(r, &(struct at){.up = &at, .index = i}, element));
    return DLF_OK;
}

/* ---- tables ---------------------------------------------------------------------------------- */

static dlf_status read_rows(dlf_table *t, const struct at *at, const json_t *rows)
{
    const size_t n = (size_t)dlf_table_columns(t);
    dlf_cell cells[COLUMNS_LIMIT];
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        const struct at here = {.up = at, .index = i};
        if (!json_is_array(row) || json_array_size(row) != n)
            return wrong(&here, "must be an array with one cell per column");
        for (size_t c = 0; c < n; c++) {
            const json_t *value = json_array_get(row, c);
            const struct at cell = {.up = &here, .index = c};
            cells[c] = (dlf_cell){0};
            if (!dlf_table_column(t, (int)c)->unit) {
                cells[c].text = json_string_value(value);
                if (!cells[c].text) return wrong(&cell, "must be a string: the column has no unit");
            } else if (!to_number(value, &cells[c].number)) {
                return wrong(&cell, "must be a number: the column has a unit");
            }
        }
        READ(&here, dlf_table_append(t, (int)n, cells));
    }
    return DLF_OK;
}

static dlf_status read_table(dlf_result *r, const struct at *at, const char *id,
                             const json_t *object)
{
    const struct at at_columns = {.up = at, .key = "columns"}, at_rows = {.up = at, .key = "rows"};
    dlf_column columns[COLUMNS_LIMIT + 1] = {{0}};
    dlf_text title;
    json_t *array, *column;
    size_t i;
    dlf_table *t;
    if (!json_is_object(object)) return wrong(at, "must be an object");
    DLF_TRY(get_text(at, object, "title", &title));
    DLF_TRY(get_array(at, object, at_columns.key, &array));
    if (json_array_size(array) > COLUMNS_LIMIT) return wrong(&at_columns, "has too many columns");
    json_array_foreach(array, i, column)
    {
        const struct at here = {.up = &at_columns, .index = i};
        if (!json_is_object(column)) return wrong(&here, "must be an object");
        DLF_TRY(get_string(&here, column, "name", &columns[i].name));
        DLF_TRY(get_optional(&here, column, "unit", &columns[i].unit));
    }
    READ(at, dlf_result_table(r, id, title, columns, &t));
    DLF_TRY(get_array(at, object, at_rows.key, &array));
    return read_rows(t, &at_rows, array);
}

static dlf_status read_tables(dlf_result *r, const struct at *root, const json_t *document)
{
    const struct at at = {.up = root, .key = "tables"};
    json_t *object, *value;
    const char *id;
    DLF_TRY(get_object(root, document, at.key, &object));
    json_object_foreach(object, id, value)
        DLF_TRY(read_table(r, &(struct at){.up = &at, .key = id}, id, value));
    return DLF_OK;
}

/* ---- figures --------------------------------------------------------------------------------- */

static dlf_status read_series(dlf_series *s, const struct at *at, const json_t *object)
{
    json_t *where;
    int role;
    if (!json_is_object(object)) return wrong(at, "must be an object");
    DLF_TRY(get_name(at, object, "role", dlf_role_from_name, &role));
    s->role = (dlf_role)role;
    DLF_TRY(get_string(at, object, "table", &s->table));
    DLF_TRY(get(at, object, "where", &where));
    if (json_is_object(where)) {
        const struct at here = {.up = at, .key = "where"};
        DLF_TRY(get_string(&here, where, "column", &s->where));
        DLF_TRY(get_string(&here, where, "equals", &s->equals));
    } else if (!json_is_null(where)) {
        return wrong_member(at, "where", "must be an object or null");
    }
    DLF_TRY(get_string(at, object, "x", &s->x));
    DLF_TRY(get_string(at, object, "y", &s->y));
    DLF_TRY(get_optional(at, object, "lo", &s->lo));
    DLF_TRY(get_optional(at, object, "hi", &s->hi));
    DLF_TRY(get_optional(at, object, "z", &s->z));
    DLF_TRY(get_optional(at, object, "by", &s->by));
    DLF_TRY(get_text(at, object, "label", &s->label));
    DLF_TRY(get_int(at, object, "colour", &s->colour));
    return get_bool(at, object, "points", &s->points);
}

static dlf_status read_axis(dlf_axis *axis, const struct at *at, const json_t *object,
                            const char *key)
{
    const struct at here = {.up = at, .key = key};
    json_t *value;
    DLF_TRY(get_object(at, object, key, &value));
    DLF_TRY(get_text(&here, value, "label", &axis->label));
    return get_bool(&here, value, "log", &axis->log);
}

static dlf_status read_figure(dlf_result *r, const struct at *at, const json_t *object)
{
    const struct at at_series = {.up = at, .key = "series"};
    dlf_figure f = {0};
    json_t *array, *element;
    size_t i;
    int kind;
    if (!json_is_object(object)) return wrong(at, "must be an object");
    DLF_TRY(get_string(at, object, "id", &f.id));
    DLF_TRY(get_name(at, object, "kind", dlf_figure_kind_from_name, &kind));
    f.kind = (dlf_figure_kind)kind;
    DLF_TRY(get_text(at, object, "title", &f.title));
    DLF_TRY(get_text(at, object, "subtitle", &f.subtitle));
    DLF_TRY(read_axis(&f.x, at, object, "x"));
    DLF_TRY(read_axis(&f.y, at, object, "y"));
    DLF_TRY(read_axis(&f.z, at, object, "z"));
    DLF_TRY(get_bool(at, object, "residuals", &f.residuals));
    DLF_TRY(get_array(at, object, at_series.key, &array));
    if (json_array_size(array) > DLF_FIGURE_SERIES_MAX)
        return wrong(&at_series, "has too many series");
    json_array_foreach(array, i, element)
        DLF_TRY(read_series(&f.series[i], &(struct at){.up = &at_series, .index = i}, element));
    READ(at, dlf_result_figure(r, &f));
    return DLF_OK;
}

static dlf_status read_figures(dlf_result *r, const struct at *root, const json_t *document)
{
    const struct at at = {.up = root, .key = "figures"};
    json_t *array, *element;
    size_t i;
    DLF_TRY(get_array(root, document, at.key, &array));
    json_array_foreach(array, i, element)
        DLF_TRY(read_figure(r, &(struct at){.up = &at, .index = i}, element));
    return DLF_OK;
}

/* ---- the document ---------------------------------------------------------------------------- */

/* ["Q7", "Q8"] as "Q7,Q8" in `list`. */
static dlf_status read_questions(const struct at *root, const json_t *document, char *list,
                                 size_t size)
{
    const struct at at = {.up = root, .key = "questions"};
    json_t *array, *element;
    size_t i, used = 0;
    DLF_TRY(get_array(root, document, at.key, &array));
    list[0] = 0;
    json_array_foreach(array, i, element)
    {
        const char *question = json_string_value(element);
        const struct at here = {.up = &at, .index = i};
        if (!question || !question[0] || strchr(question, ',') || !dlf_is_questions(question))
            return wrong(&here, "must be a string like \"Q7\"");
        if (used + strlen(question) + 2 > size) return wrong(&at, "has too many questions");
        used += (size_t)snprintf(list + used, size - used, "%s%s", i ? "," : "", question);
    }
    return DLF_OK;
}

static dlf_status read_document(dlf_result **out, const struct at *at, const json_t *document)
{
    const char *schema, *experiment;
    char list[512];
    dlf_text title;
    if (!json_is_object(document)) return wrong(at, "must be a JSON object");
    DLF_TRY(get_string(at, document, "schema", &schema));
    if (strcmp(schema, DLF_RESULT_SCHEMA))
        return wrong_member(at, "schema", "must be \"" DLF_RESULT_SCHEMA "\"");
    DLF_TRY(get_string(at, document, "experiment", &experiment));
    DLF_TRY(get_text(at, document, "title", &title));
    DLF_TRY(read_questions(at, document, list, sizeof list));
    READ(at, dlf_result_new(out, experiment, list, title));
    DLF_TRY(read_manifest(*out, at, document));
    DLF_TRY(read_parameters(*out, at, document));
    DLF_TRY(read_facts(*out, at, document));
    DLF_TRY(read_checks(*out, at, document));
    DLF_TRY(read_tables(*out, at, document));
    return read_figures(*out, at, document);
}

dlf_status dlf_result_from_json(dlf_result **out, const char *text, size_t size, const char *name)
{
    const struct at at = {.key = name ? name : "(result)"};
    json_error_t error;
    *out = NULL;
    if (size > SIZE_LIMIT) return wrong(&at, "is larger than 256 MiB");
    if (!text) text = ""; /* an empty file */
    json_t *document = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (!document)
        return dlf_fail(DLF_ERR_INPUT, "%s: line %d, column %d: %s", at.key, error.line,
                        error.column, error.text);
    const dlf_status status = read_document(out, &at, document);
    json_decref(document);
    if (status != DLF_OK) {
        dlf_result_free(*out);
        *out = NULL;
    }
    return status;
}
