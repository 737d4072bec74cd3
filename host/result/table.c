/* SPDX-License-Identifier: MIT
 * table.c -- tables and their CSV. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "result/buffer.h"
#include "result/internal.h"

static dlf_status copy_columns(dlf_table *t, const dlf_column *columns)
{
    int n = 0;
    while (columns[n].name) n++;
    if (n == 0) return dlf_fail(DLF_ERR_ARG, "table %s has no columns", t->id);
    t->columns = calloc((size_t)n, sizeof *t->columns);
    if (!t->columns) return dlf_result_oom();
    for (int i = 0; i < n; i++) {
        if (!dlf_is_id(columns[i].name))
            return dlf_fail(DLF_ERR_ARG, "table %s: column name '%s' is not [a-z0-9_]+", t->id,
                            columns[i].name);
        if (dlf_table_find_column(t, columns[i].name) >= 0)
            return dlf_fail(DLF_ERR_ARG, "table %s: column %s is there twice", t->id,
                            columns[i].name);
        t->columns[i].name = dlf_strings_copy(&t->result->strings, columns[i].name);
        if (columns[i].unit)
            t->columns[i].unit = dlf_strings_copy(&t->result->strings, columns[i].unit);
        if (!t->columns[i].name || (columns[i].unit && !t->columns[i].unit))
            return dlf_result_oom();
        t->n_columns = i + 1;
    }
    return DLF_OK;
}

dlf_status dlf_result_table(dlf_result *r, const char *id, dlf_text title,
                            const dlf_column *columns, dlf_table **out)
{
    *out = NULL;
    if (!dlf_is_id(id))
        return dlf_fail(DLF_ERR_ARG, "table id '%s' is not [a-z0-9_]+", id ? id : "(null)");
    if (dlf_result_find_table(r, id)) return dlf_fail(DLF_ERR_ARG, "table %s is there twice", id);
    dlf_table *t = calloc(1, sizeof *t);
    if (!t) return dlf_result_oom();
    t->result = r;
    t->id = dlf_strings_copy(&r->strings, id);
    dlf_status status = t->id ? DLF_OK : dlf_result_oom();
    if (status != DLF_OK) goto done;
    DLF_TRY_DONE(dlf_result_copy_text(r, &t->title, title, false, "the title of a table"));
    DLF_TRY_DONE(copy_columns(t, columns));
    DLF_TRY_DONE(dlf_result_grow(&r->tables, r->n_tables, sizeof *r->tables));
    r->tables[r->n_tables++] = t;
    *out = t;
done:
    if (status != DLF_OK) {
        free(t->columns);
        free(t);
    }
    return status;
}

static dlf_status grow_rows(dlf_table *t)
{
    if (t->n_rows < t->capacity) return DLF_OK;
    if (t->capacity > INT_MAX / 2) return dlf_result_oom();
    const int capacity = t->capacity ? t->capacity * 2 : 16;
    dlf_cell *cells = realloc(t->cells, (size_t)capacity * (size_t)t->n_columns * sizeof *t->cells);
    if (!cells) return dlf_result_oom();
    t->cells = cells;
    t->capacity = capacity;
    return DLF_OK;
}

dlf_status dlf_table_append(dlf_table *t, int n_cells, const dlf_cell *cells)
{
    if (n_cells != t->n_columns)
        return dlf_fail(DLF_ERR_ARG, "table %s: a row of %d cells for %d columns", t->id, n_cells,
                        t->n_columns);
    for (int i = 0; i < n_cells; i++)
        if (!cells[i].text != (t->columns[i].unit != NULL))
            return dlf_fail(DLF_ERR_ARG, "table %s, column %s takes %s, got %s", t->id,
                            t->columns[i].name, t->columns[i].unit ? "numbers" : "text",
                            cells[i].text ? "text" : "a number");
    DLF_TRY(grow_rows(t));
    dlf_cell *row = t->cells + (size_t)t->n_rows * (size_t)t->n_columns;
    for (int i = 0; i < n_cells; i++) {
        row[i] = cells[i];
        if (!cells[i].text) continue;
        /* Text columns name arms: the row above mostly says the same. */
        const char *above = t->n_rows ? row[i - t->n_columns].text : NULL;
        row[i].number = 0;
        row[i].text = above && !strcmp(above, cells[i].text)
                          ? above
                          : dlf_strings_copy(&t->result->strings, cells[i].text);
        if (!row[i].text) return dlf_result_oom();
    }
    t->n_rows++;
    return DLF_OK;
}

const dlf_table *dlf_result_find_table(const dlf_result *r, const char *id)
{
    for (int i = 0; i < r->n_tables; i++)
        if (!strcmp(r->tables[i]->id, id)) return r->tables[i];
    return NULL;
}

const char *dlf_table_id(const dlf_table *t)
{
    return t->id;
}
int dlf_table_rows(const dlf_table *t)
{
    return t->n_rows;
}
int dlf_table_columns(const dlf_table *t)
{
    return t->n_columns;
}

const dlf_column *dlf_table_column(const dlf_table *t, int column)
{
    return column >= 0 && column < t->n_columns ? &t->columns[column] : NULL;
}

int dlf_table_find_column(const dlf_table *t, const char *name)
{
    for (int i = 0; i < t->n_columns; i++)
        if (!strcmp(t->columns[i].name, name)) return i;
    return -1;
}

dlf_cell dlf_table_cell(const dlf_table *t, int row, int column)
{
    return t->cells[(size_t)row * (size_t)t->n_columns + (size_t)column];
}

/* ---- CSV ------------------------------------------------------------------------------------ */

static void write_field(FILE *file, const char *text)
{
    if (!text[strcspn(text, ",\"\r\n")]) {
        fputs(text, file);
        return;
    }
    fputc('"', file);
    for (; *text; text++) {
        if (*text == '"') fputc('"', file);
        fputc(*text, file);
    }
    fputc('"', file);
}

dlf_status dlf_table_write_csv(const dlf_table *t, FILE *file)
{
    char number[DLF_NUMBER_TEXT];
    for (int c = 0; c < t->n_columns; c++) {
        if (c) fputc(',', file);
        fputs(t->columns[c].name, file);
    }
    fputs("\r\n", file); /* RFC 4180, section 2 */
    for (int r = 0; r < t->n_rows; r++) {
        for (int c = 0; c < t->n_columns; c++) {
            const dlf_cell cell = dlf_table_cell(t, r, c);
            if (c) fputc(',', file);
            write_field(file, cell.text ? cell.text : dlf_number_text(number, cell.number));
        }
        fputs("\r\n", file);
    }
    if (fflush(file) != 0 || ferror(file))
        return dlf_fail(DLF_ERR_OUTPUT, "cannot write table %s as CSV: %s", t->id, strerror(errno));
    return DLF_OK;
}
