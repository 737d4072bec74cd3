/* SPDX-License-Identifier: MIT
 * plot_data.c -- from the tables of a result to the points of a figure. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/plot_internal.h"

static dlf_status oom(void)
{
    return dlf_fail(DLF_ERR_OOM, "out of memory drawing a figure");
}

/* ---- categories of a bar chart ------------------------------------------------------------------
 */

/* Column NAME_zh or NAME_en, which translates the categories of column NAME; else the category. */
static const char *translated(const dlf_table *t, int row, const char *name, const char *lang,
                              const char *otherwise)
{
    char column[128];
    snprintf(column, sizeof column, "%.100s_%s", name, lang);
    const int at = dlf_table_find_column(t, column);
    const char *text = at < 0 ? NULL : dlf_table_cell(t, row, at).text;
    return text ? text : otherwise;
}

static int category_of(plot_data *data, const dlf_table *t, int row, const char *name)
{
    const dlf_cell cell = dlf_table_cell(t, row, dlf_table_find_column(t, name));
    char number[24];
    if (!cell.text) snprintf(number, sizeof number, "%g", cell.number);
    const char *text = cell.text ? cell.text : number;
    for (int i = 0; i < data->n_categories; i++)
        if (!strcmp(data->category[i] ? data->category[i] : data->number_category[i], text))
            return i;
    const size_t n = (size_t)data->n_categories + 1;
    const char **category = realloc(data->category, n * sizeof *category);
    if (!category) return -1;
    data->category = category;
    char(*numbers)[24] = realloc(data->number_category, n * sizeof *numbers);
    if (!numbers) return -1;
    data->number_category = numbers;
    dlf_text *label = realloc(data->category_label, n * sizeof *label);
    if (!label) return -1;
    data->category_label = label;
    label[n - 1] = (dlf_text){translated(t, row, name, "zh", cell.text),
                              translated(t, row, name, "en", cell.text)};
    category[n - 1] = cell.text; /* NULL: see number_category, which may still move */
    memcpy(numbers[n - 1], number, cell.text ? 0 : sizeof number);
    return data->n_categories++;
}

/* ---- points
 * --------------------------------------------------------------------------------------- */

static bool same_cell(dlf_cell a, dlf_cell b)
{
    if (a.text || b.text) return a.text && b.text && !strcmp(a.text, b.text);
    return a.number == b.number || (isnan(a.number) && isnan(b.number));
}

/* Number of the seed of `row`: rows of one seed share the cell in column `by`. */
static int group_of(const dlf_table *t, int by, int row, int *first_row, int *n_groups)
{
    const dlf_cell cell = dlf_table_cell(t, row, by);
    for (int g = *n_groups - 1; g >= 0; g--)
        if (same_cell(cell, dlf_table_cell(t, first_row[g], by))) return g;
    first_row[*n_groups] = row;
    return (*n_groups)++;
}

static int compare_points(const void *a, const void *b)
{
    const plot_point *p = a, *q = b;
    if (p->group != q->group) return p->group < q->group ? -1 : 1;
    if (isnan(p->x) || isnan(q->x)) return isnan(p->x) - isnan(q->x);
    return p->x < q->x ? -1 : p->x > q->x;
}

/* qsort() need not keep the order of equal points; merging does. */
static bool sort_points(plot_point *p, int n)
{
    plot_point *from = p, *to = malloc((size_t)(n ? n : 1) * sizeof *to), *const spare = to;
    if (!to) return false;
    for (int width = 1; width < n; width *= 2) {
        for (int start = 0; start < n; start += 2 * width) {
            const int middle = start + width < n ? start + width : n;
            const int end = middle + width < n ? middle + width : n;
            for (int i = start, j = middle, k = start; k < end; k++)
                to[k] = i < middle && (j >= end || compare_points(&from[i], &from[j]) <= 0)
                            ? from[i++]
                            : from[j++];
        }
        plot_point *swap = from;
        from = to;
        to = swap;
        if (width > n / 2) break;
    }
    if (from != p) memcpy(p, from, (size_t)n * sizeof *p);
    free(spare);
    return true;
}

static double number_at(const dlf_table *t, int row, const char *column)
{
    return column ? dlf_table_cell(t, row, dlf_table_find_column(t, column)).number : (double)NAN;
}

static dlf_status collect_curve(plot_data *data, plot_curve *c, const dlf_result *r,
                                const dlf_series *s)
{
    const dlf_table *t = dlf_result_find_table(r, s->table);
    const int rows = dlf_table_rows(t), where = s->where ? dlf_table_find_column(t, s->where) : -1;
    const int by = s->by ? dlf_table_find_column(t, s->by) : -1;
    const int x = dlf_table_find_column(t, s->x);
    *c = (plot_curve){.role = s->role,
                      .colour = s->colour,
                      .points = s->points,
                      .interval = s->lo != NULL,
                      .label = s->label,
                      .n_groups = 1};
    c->p = malloc((size_t)(rows ? rows : 1) * sizeof *c->p);
    int *first_row = malloc((size_t)(rows ? rows : 1) * sizeof *first_row);
    bool ok = c->p && first_row;
    int n_groups = 0;
    for (int row = 0; ok && row < rows; row++) {
        if (where >= 0 && strcmp(dlf_table_cell(t, row, where).text, s->equals)) continue;
        plot_point p = {.x = dlf_table_cell(t, row, x).number,
                        .y = number_at(t, row, s->y),
                        .lo = number_at(t, row, s->lo),
                        .hi = number_at(t, row, s->hi),
                        .z = number_at(t, row, s->z),
                        .by = NAN};
        if (data->figure->kind == DLF_BARS) {
            const int category = category_of(data, t, row, s->x);
            ok = category >= 0;
            p.x = category;
        }
        if (by >= 0) {
            p.group = group_of(t, by, row, first_row, &n_groups);
            if (!dlf_table_cell(t, row, by).text) p.by = number_at(t, row, s->by);
        }
        c->p[c->n++] = p;
    }
    if (by >= 0) c->n_groups = n_groups;
    free(first_row);
    /* Over a heat map a curve need not be a function of x (the edge of a phase): leave its order.
     */
    if (ok && data->figure->kind != DLF_HEATMAP) ok = sort_points(c->p, c->n);
    return ok ? DLF_OK : oom();
}

/* ---- measured / theory
 * ------------------------------------------------------------------------------ */

/* Theory at x: its own value where it has one, else between its neighbours (on the scale of the
 * axis), NaN outside. `p` is sorted by x. */
static double theory_at(const plot_curve *theory, double x, bool log_x, bool log_y)
{
    for (int i = 0; i < theory->n; i++) {
        if (theory->p[i].x == x) return theory->p[i].y;
        if (theory->p[i].x < x) continue;
        if (i == 0) return NAN;
        const plot_point *a = &theory->p[i - 1], *b = &theory->p[i];
        const double t = log_x ? log(x / a->x) / log(b->x / a->x) : (x - a->x) / (b->x - a->x);
        return log_y && a->y > 0 && b->y > 0 ? exp(log(a->y) + t * (log(b->y) - log(a->y)))
                                             : a->y + t * (b->y - a->y);
    }
    return NAN;
}

static dlf_status add_residual(plot_data *data, const plot_curve *measured,
                               const plot_curve *theory)
{
    plot_curve *c = &data->residual[data->n_residuals];
    *c = *measured;
    c->p = malloc((size_t)(measured->n ? measured->n : 1) * sizeof *c->p);
    if (!c->p) return oom();
    data->n_residuals++;
    c->n = 0;
    for (int i = 0; i < measured->n; i++) {
        plot_point p = measured->p[i];
        const double expected = theory_at(theory, p.x, data->figure->x.log, data->figure->y.log);
        if (isnan(expected)) continue; /* the theory says nothing here */
        p.y /= expected;
        p.lo /= expected;
        p.hi /= expected;
        if (p.lo > p.hi) { /* negative theory */
            const double swap = p.lo;
            p.lo = p.hi;
            p.hi = swap;
        }
        c->p[c->n++] = p;
    }
    return DLF_OK;
}

/* A control is grey, and so is a theory that belongs to no other curve. */
static void mark_grey(plot_data *data)
{
    for (int i = 0; i < data->n; i++) {
        plot_curve *c = &data->curve[i];
        bool of_control = false, of_measured = false;
        for (int k = 0; k < data->n; k++) {
            if (data->curve[k].colour != c->colour) continue;
            of_control |= data->curve[k].role == DLF_CONTROL;
            of_measured |= data->curve[k].role == DLF_MEASURED;
        }
        const bool follows = c->role == DLF_THEORY || c->role == DLF_SEEDS;
        c->grey = c->role == DLF_CONTROL || (follows && of_control && !of_measured);
    }
}

static dlf_status collect_residuals(plot_data *data)
{
    for (int m = 0; m < data->n; m++) {
        if (data->curve[m].role != DLF_MEASURED && data->curve[m].role != DLF_CONTROL) continue;
        for (int t = 0; t < data->n; t++) {
            if (data->curve[t].role != DLF_THEORY) continue;
            if (data->curve[t].colour != data->curve[m].colour) continue;
            DLF_TRY(add_residual(data, &data->curve[m], &data->curve[t]));
            break;
        }
    }
    return DLF_OK;
}

/* ---- the figure
 * ----------------------------------------------------------------------------------------- */

dlf_status plot_data_collect(plot_data *data, const dlf_result *r, const dlf_figure *f)
{
    *data = (plot_data){.figure = f};
    dlf_status status = DLF_OK;
    for (int i = 0; status == DLF_OK && i < DLF_FIGURE_SERIES_MAX && f->series[i].table; i++)
        status = collect_curve(data, &data->curve[data->n++], r, &f->series[i]);
    for (int i = 0; status == DLF_OK && i < data->n_categories; i++)
        if (!data->category[i]) {
            const char *number = data->number_category[i];
            data->category[i] = number;
            data->category_label[i] = (dlf_text){number, number};
        }
    mark_grey(data);
    if (status == DLF_OK && f->residuals && f->kind == DLF_LINES) status = collect_residuals(data);
    if (status != DLF_OK) plot_data_free(data);
    return status;
}

void plot_data_free(plot_data *data)
{
    for (int i = 0; i < data->n; i++) free(data->curve[i].p);
    for (int i = 0; i < data->n_residuals; i++) free(data->residual[i].p);
    free(data->category);
    free(data->number_category);
    free(data->category_label);
    *data = (plot_data){0};
}

/* ---- CSV
 * ----------------------------------------------------------------------------------------------------
 */

static void csv_text(dlf_buffer *csv, const char *text)
{
    dlf_buffer_puts(csv, "\"");
    for (; *text; text++)
        dlf_buffer_append(csv, *text == '"' ? "\"\"" : text, *text == '"' ? 2 : 1);
    dlf_buffer_puts(csv, "\"");
}

static void csv_curve(const plot_data *data, dlf_buffer *csv, const plot_curve *c, int series,
                      const char *role)
{
    char number[DLF_NUMBER_TEXT];
    for (int i = 0; i < c->n; i++) {
        const plot_point *p = &c->p[i];
        const bool has_z = data->figure->kind == DLF_HEATMAP && series == 0;
        dlf_buffer_printf(csv, "%d,%s,", series, role);
        csv_text(csv, c->label.zh);
        dlf_buffer_puts(csv, ",");
        csv_text(csv, c->label.en);
        dlf_buffer_printf(csv, ",%d,", p->group);
        if (data->figure->kind == DLF_BARS)
            csv_text(csv, data->category[(int)p->x]);
        else
            dlf_buffer_puts(csv, dlf_number_text(number, p->x));
        dlf_buffer_printf(csv, ",%s", dlf_number_text(number, p->y));
        dlf_buffer_printf(csv, ",%s", c->interval ? dlf_number_text(number, p->lo) : "");
        dlf_buffer_printf(csv, ",%s", c->interval ? dlf_number_text(number, p->hi) : "");
        dlf_buffer_printf(csv, ",%s\r\n", has_z ? dlf_number_text(number, p->z) : "");
    }
}

void plot_data_csv(const plot_data *data, dlf_buffer *csv)
{
    dlf_buffer_puts(csv, "series,role,label_zh,label_en,group,x,y,lo,hi,z\r\n");
    for (int i = 0; i < data->n; i++)
        csv_curve(data, csv, &data->curve[i], i,
                  (const char *[]){"measured", "theory", "control", "seeds",
                                   "reference"}[data->curve[i].role]);
    for (int i = 0; i < data->n_residuals; i++)
        csv_curve(data, csv, &data->residual[i], i, "residual");
}
