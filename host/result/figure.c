/* SPDX-License-Identifier: MIT
 * figure.c -- descriptions of figures, checked against the tables they draw from. */
#include <stdlib.h>
#include <string.h>

#include "result/internal.h"

static const char *const kind_names[] = {"lines", "heatmap", "bars"};
static const char *const role_names[] = {"measured", "theory", "control", "seeds", "reference"};
enum { N_KINDS = 3, N_ROLES = 5, N_COLOURS_MAX = 1000 };

const char *dlf_figure_kind_name(dlf_figure_kind kind)
{
    return kind_names[kind];
}
const char *dlf_role_name(dlf_role role)
{
    return role_names[role];
}

static int find_name(const char *const *names, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (!strcmp(names[i], name)) return i;
    return -1;
}

int dlf_figure_kind_from_name(const char *name)
{
    return find_name(kind_names, N_KINDS, name);
}
int dlf_role_from_name(const char *name)
{
    return find_name(role_names, N_ROLES, name);
}

/* What a column of a series has to hold. */
enum column_kind { ANY_COLUMN, NUMBER_COLUMN, TEXT_COLUMN };

struct figure_context {
    dlf_result *result;
    const char *figure;
    int series;
};

static dlf_status copy_column(const struct figure_context *context, const dlf_table *t,
                              const char **name, bool required, enum column_kind kind,
                              const char *what)
{
    if (!*name || !(*name)[0]) {
        *name = NULL;
        if (!required) return DLF_OK;
        return dlf_fail(DLF_ERR_ARG, "figure %s, series %d has no column for %s", context->figure,
                        context->series, what);
    }
    const int column = dlf_table_find_column(t, *name);
    if (column < 0)
        return dlf_fail(DLF_ERR_ARG, "figure %s, series %d: table %s has no column '%s' for %s",
                        context->figure, context->series, t->id, *name, what);
    const bool number = t->columns[column].unit != NULL;
    if ((kind == NUMBER_COLUMN && !number) || (kind == TEXT_COLUMN && number))
        return dlf_fail(DLF_ERR_ARG, "figure %s, series %d: %s needs a %s column, '%s' is none",
                        context->figure, context->series, what, number ? "text" : "number", *name);
    *name = t->columns[column].name; /* lives as long as the result */
    return DLF_OK;
}

static dlf_status copy_series(const struct figure_context *context, dlf_series *s,
                              dlf_figure_kind kind)
{
    const dlf_table *t = dlf_result_find_table(context->result, s->table);
    if (!t)
        return dlf_fail(DLF_ERR_ARG, "figure %s, series %d: there is no table '%s'",
                        context->figure, context->series, s->table);
    s->table = t->id;
    if ((unsigned)s->role >= N_ROLES || s->colour < 0 || s->colour > N_COLOURS_MAX)
        return dlf_fail(DLF_ERR_ARG, "figure %s, series %d: no such role or colour",
                        context->figure, context->series);
    const bool image = kind == DLF_HEATMAP && context->series == 0;
    const enum column_kind x_kind = kind == DLF_BARS ? ANY_COLUMN : NUMBER_COLUMN;
    DLF_TRY(copy_column(context, t, &s->x, true, x_kind, "x"));
    DLF_TRY(copy_column(context, t, &s->y, true, NUMBER_COLUMN, "y"));
    DLF_TRY(copy_column(context, t, &s->z, image, NUMBER_COLUMN, "z"));
    DLF_TRY(copy_column(context, t, &s->lo, s->hi != NULL, NUMBER_COLUMN, "lo"));
    DLF_TRY(copy_column(context, t, &s->hi, s->lo != NULL, NUMBER_COLUMN, "hi"));
    DLF_TRY(copy_column(context, t, &s->by, s->role == DLF_SEEDS, ANY_COLUMN, "by"));
    DLF_TRY(copy_column(context, t, &s->where, s->equals != NULL, TEXT_COLUMN, "where"));
    if (s->where && !s->equals)
        return dlf_fail(DLF_ERR_ARG, "figure %s, series %d: where %s equals what?", context->figure,
                        context->series, s->where);
    if (s->equals && !(s->equals = dlf_strings_copy(&context->result->strings, s->equals)))
        return dlf_result_oom();
    return dlf_result_copy_text(context->result, &s->label, s->label, true, "a series label");
}

static dlf_status copy_axis(dlf_result *r, dlf_axis *axis)
{
    return dlf_result_copy_text(r, &axis->label, axis->label, true, "an axis label");
}

static dlf_status copy_figure(dlf_result *r, dlf_figure *f)
{
    f->id = dlf_strings_copy(&r->strings, f->id);
    if (!f->id) return dlf_result_oom();
    DLF_TRY(dlf_result_copy_text(r, &f->title, f->title, false, "a figure title"));
    DLF_TRY(dlf_result_copy_text(r, &f->subtitle, f->subtitle, true, "a figure subtitle"));
    DLF_TRY(copy_axis(r, &f->x));
    DLF_TRY(copy_axis(r, &f->y));
    DLF_TRY(copy_axis(r, &f->z));
    struct figure_context context = {.result = r, .figure = f->id};
    int n = 0;
    for (; n < DLF_FIGURE_SERIES_MAX && f->series[n].table; n++) {
        context.series = n;
        DLF_TRY(copy_series(&context, &f->series[n], f->kind));
    }
    if (n == 0) return dlf_fail(DLF_ERR_ARG, "figure %s has no series", f->id);
    /* What lies behind the end is not part of the figure: same result, same bytes. */
    for (; n < DLF_FIGURE_SERIES_MAX; n++) f->series[n] = (dlf_series){0};
    return DLF_OK;
}

dlf_status dlf_result_figure(dlf_result *r, const dlf_figure *figure)
{
    if (!dlf_is_id(figure->id))
        return dlf_fail(DLF_ERR_ARG, "figure id '%s' is not [a-z0-9_]+",
                        figure->id ? figure->id : "(null)");
    for (int i = 0; i < r->n_figures; i++)
        if (!strcmp(r->figures[i]->id, figure->id))
            return dlf_fail(DLF_ERR_ARG, "figure %s is there twice", figure->id);
    if ((unsigned)figure->kind >= N_KINDS)
        return dlf_fail(DLF_ERR_ARG, "figure %s: no such kind", figure->id);
    dlf_figure *copy = malloc(sizeof *copy);
    if (!copy) return dlf_result_oom();
    *copy = *figure;
    dlf_status status;
    DLF_TRY_DONE(copy_figure(r, copy));
    DLF_TRY_DONE(dlf_result_grow(&r->figures, r->n_figures, sizeof *r->figures));
    r->figures[r->n_figures++] = copy;
done:
    if (status != DLF_OK) free(copy);
    return status;
}

int dlf_result_figures(const dlf_result *r)
{
    return r->n_figures;
}

const dlf_figure *dlf_result_get_figure(const dlf_result *r, int i)
{
    return i >= 0 && i < r->n_figures ? r->figures[i] : NULL;
}
