/* SPDX-License-Identifier: MIT
 * json_write.c -- a result as JSON (docs/result-schema.md): a tree of values, then text with short
 * values on one line, so that a row of a table is a line of the file. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "result/buffer.h"
#include "result/internal.h"

/* ---- values ---------------------------------------------------------------------------------- */

/* Whole numbers print as such; the rest keeps all 17 digits. -0.0 is no integer. */
static json_t *number(double x)
{
    if (isnan(x)) return json_string("NaN");
    if (isinf(x)) return json_string(x > 0 ? "Infinity" : "-Infinity");
    if (fabs(x) < 9007199254740992.0 && x == floor(x) && !(x == 0 && signbit(x)))
        return json_integer((json_int_t)x);
    return json_real(x);
}

/* Above 2^53 a JSON number would lose digits in most readers. */
static json_t *unsigned_number(uint64_t x)
{
    if (x <= UINT64_C(1) << 53) return json_integer((json_int_t)x);
    return json_sprintf("%llu", (unsigned long long)x);
}

static json_t *text(dlf_text t)
{
    return json_pack("{s:s, s:s}", "zh", t.zh, "en", t.en);
}

static json_t *axis(const dlf_axis *a)
{
    return json_pack("{s:o, s:b}", "label", text(a->label), "log", (int)a->log);
}

/* Adds `value` (stolen, may be NULL) to the array or object; false when out of memory. */
static bool push(json_t *array, json_t *value)
{
    return json_array_append_new(array, value) == 0;
}
static bool put(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value) == 0;
}

static json_t *failed(json_t *value)
{
    json_decref(value);
    return NULL;
}

/* ---- members --------------------------------------------------------------------------------- */

static json_t *questions(const char *list)
{
    json_t *array = json_array();
    while (array && *list) {
        const size_t length = strcspn(list, ",");
        if (!push(array, json_stringn(list, length))) return failed(array);
        list += length + (list[length] == ',');
    }
    return array;
}

static json_t *manifest(const dlf_manifest *m)
{
    json_t *device = json_pack("{s:s, s:s, s:s, s:i}", "backend", m->backend, "name", m->device,
                               "detail", m->device_detail, "threads", m->threads);
    return json_pack("{s:s, s:s, s:s, s:o, s:i, s:s, s:b, s:b, s:s, s:o, s:s, s:o}", "version",
                     m->version, "git", m->git, "command", m->command, "seed",
                     unsigned_number(m->seed), "seeds", m->seeds, "mode", m->mode, "complete",
                     (int)m->complete, "customised", (int)m->customised, "started", m->started, "seconds", number(m->seconds),
                     "build", m->build, "device", device);
}

static json_t *parameters(const dlf_result *r)
{
    json_t *object = json_object();
    for (int i = 0; object && i < r->n_parameters; i++) {
        const dlf_parameter *p = &r->parameters[i];
        if (!put(object, p->name, p->text ? json_string(p->text) : number(p->number)))
            return failed(object);
    }
    return object;
}

static json_t *facts(const dlf_result *r)
{
    json_t *object = json_object();
    for (int i = 0; object && i < r->n_facts; i++) {
        const dlf_fact *f = &r->facts[i];
        if (!put(object, f->id,
                 json_pack("{s:o, s:s}", "value", number(f->value), "unit", f->unit)))
            return failed(object);
    }
    return object;
}

static json_t *table(const dlf_table *t)
{
    json_t *columns = json_array(), *rows = json_array();
    bool ok = columns && rows;
    for (int c = 0; ok && c < t->n_columns; c++)
        ok = push(columns,
                  json_pack("{s:s, s:s?}", "name", t->columns[c].name, "unit", t->columns[c].unit));
    for (int i = 0; ok && i < t->n_rows; i++) {
        json_t *row = json_array();
        ok = push(rows, row);
        for (int c = 0; ok && c < t->n_columns; c++) {
            const dlf_cell cell = dlf_table_cell(t, i, c);
            ok = push(row, cell.text ? json_string(cell.text) : number(cell.number));
        }
    }
    if (!ok) {
        json_decref(columns);
        return failed(rows);
    }
    return json_pack("{s:o, s:o, s:o}", "title", text(t->title), "columns", columns, "rows", rows);
}

static json_t *tables(const dlf_result *r)
{
    json_t *object = json_object();
    for (int i = 0; object && i < r->n_tables; i++)
        if (!put(object, r->tables[i]->id, table(r->tables[i]))) return failed(object);
    return object;
}

static json_t *check(const dlf_check *c)
{
    json_t *interval = isnan(c->lo) && isnan(c->hi)
                           ? json_null()
                           : json_pack("[o, o]", number(c->lo), number(c->hi));
    return json_pack("{s:s, s:o, s:o, s:o, s:i, s:s, s:o, s:o, s:b, s:s, s:b, s:s, s:s, s:s?}",
                     "id", c->id, "claim", text(c->claim), "measured", number(c->measured), "ci95",
                     interval, "n", c->n, "relation", dlf_relation_name(c->relation), "expected",
                     number(c->expected), "tolerance", number(c->tolerance), "relative",
                     (int)c->relative, "source", c->source, "self_check", (int)c->self_check,
                     "decided_by", c->has_verdict ? "experiment" : "relation", "verdict",
                     dlf_verdict_name(c->verdict), "note", c->note);
}

static json_t *checks(const dlf_result *r)
{
    json_t *array = json_array();
    for (int i = 0; array && i < r->n_checks; i++)
        if (!push(array, check(r->checks[i]))) return failed(array);
    return array;
}

static json_t *series(const dlf_series *s)
{
    json_t *where =
        s->where ? json_pack("{s:s, s:s}", "column", s->where, "equals", s->equals) : json_null();
    return json_pack("{s:s, s:s, s:o, s:s, s:s, s:s?, s:s?, s:s?, s:s?, s:o, s:i, s:b}", "role",
                     dlf_role_name(s->role), "table", s->table, "where", where, "x", s->x, "y",
                     s->y, "lo", s->lo, "hi", s->hi, "z", s->z, "by", s->by, "label",
                     text(s->label), "colour", s->colour, "points", (int)s->points);
}

static json_t *figure(const dlf_figure *f)
{
    json_t *list = json_array();
    for (int i = 0; list && i < DLF_FIGURE_SERIES_MAX && f->series[i].table; i++)
        if (!push(list, series(&f->series[i]))) return failed(list);
    return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:b, s:o}", "id", f->id, "kind",
                     dlf_figure_kind_name(f->kind), "title", text(f->title), "subtitle",
                     text(f->subtitle), "x", axis(&f->x), "y", axis(&f->y), "z", axis(&f->z),
                     "residuals", (int)f->residuals, "series", list);
}

static json_t *figures(const dlf_result *r)
{
    json_t *array = json_array();
    for (int i = 0; array && i < r->n_figures; i++)
        if (!push(array, figure(r->figures[i]))) return failed(array);
    return array;
}

/* ---- text ------------------------------------------------------------------------------------ */

enum { LINE_LENGTH = 160, LEAVES_PER_LINE = 32 };

static int append(const char *data, size_t size, void *buffer)
{
    dlf_buffer_append(buffer, data, size);
    return 0;
}

static void write_flat(dlf_buffer *b, const json_t *value)
{
    if (json_dump_callback(value, append, b, JSON_ENCODE_ANY | JSON_REAL_PRECISION(17)) != 0)
        b->failed = true;
}

/* Scalars in `value`; stops counting behind LEAVES_PER_LINE. */
static int leaves(json_t *value)
{
    int n = 0;
    size_t i;
    const char *key;
    json_t *child;
    if (json_is_array(value)) {
        json_array_foreach(value, i, child) if ((n += leaves(child)) > LEAVES_PER_LINE) break;
    } else if (json_is_object(value)) {
        json_object_foreach(value, key, child) if ((n += leaves(child)) > LEAVES_PER_LINE) break;
    } else {
        n = 1;
    }
    return n;
}

/* A row of a table is always one line, anything else if it is short. */
static bool write_on_one_line(dlf_buffer *b, json_t *value)
{
    const bool row = json_is_array(value) && !json_is_object(json_array_get(value, 0)) &&
                     !json_is_array(json_array_get(value, 0));
    if (!row && leaves(value) > LEAVES_PER_LINE) return false;
    const size_t start = b->size;
    write_flat(b, value);
    if (row || b->size - start <= LINE_LENGTH) return true;
    b->size = start;
    return false;
}

static void write_value(dlf_buffer *b, json_t *value, int depth);

static void begin_member(dlf_buffer *b, int depth, bool first)
{
    dlf_buffer_printf(b, "%s\n%*s", first ? "" : ",", depth + 1, "");
}

static void write_value(dlf_buffer *b, json_t *value, int depth)
{
    if (depth > 0 && write_on_one_line(b, value)) return;
    if (!json_is_object(value) && !json_is_array(value)) {
        write_flat(b, value); /* a long string */
        return;
    }
    const char *const brackets = json_is_object(value) ? "{}" : "[]";
    bool first = true;
    size_t i;
    const char *key;
    json_t *child;
    dlf_buffer_append(b, &brackets[0], 1);
    if (json_is_object(value)) {
        json_object_foreach(value, key, child)
        {
            begin_member(b, depth, first);
            dlf_buffer_printf(b, "\"%s\": ", key); /* keys are ids: nothing to escape */
            write_value(b, child, depth + 1);
            first = false;
        }
    } else {
        json_array_foreach(value, i, child)
        {
            begin_member(b, depth, first);
            write_value(b, child, depth + 1);
            first = false;
        }
    }
    if (!first) dlf_buffer_printf(b, "\n%*s", depth, "");
    dlf_buffer_append(b, &brackets[1], 1);
}

dlf_status dlf_result_to_json(const dlf_result *r, char **out)
{
    *out = NULL;
    json_t *root = json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "schema",
                             DLF_RESULT_SCHEMA, "experiment", r->experiment, "questions",
                             questions(r->questions), "title", text(r->title), "manifest",
                             manifest(&r->manifest), "parameters", parameters(r), "facts", facts(r),
                             "checks", checks(r), "tables", tables(r), "figures", figures(r));
    if (!root) return dlf_result_oom();
    dlf_buffer buffer = {0};
    write_value(&buffer, root, 0);
    dlf_buffer_puts(&buffer, "\n");
    json_decref(root);
    if (buffer.failed) {
        dlf_buffer_free(&buffer);
        return dlf_result_oom();
    }
    *out = buffer.data;
    return DLF_OK;
}
