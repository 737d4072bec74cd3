/* SPDX-License-Identifier: MIT
 * plot_terminal.c -- figures in characters: braille dots or ASCII, one letter per curve. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "report/plot.h"
#include "report/plot_internal.h"
#include "result/utf8.h"

enum { LEAST_WIDTH = 40, MOST_WIDTH = 400, LABEL = 9 };

/* A grid of characters; behind characters that are 0 shine 2 x 4 dots per cell (braille). */
typedef struct canvas {
    int columns, rows;
    uint8_t *dots;
    char *mark; /* letters of curves and ASCII lines */
    bool ascii;
} canvas;

typedef struct terminal {
    const dlf_result *result;
    dlf_buffer out;
    const plot_data *data;
    const dlf_figure *figure;
    bool zh, ascii;
    int width;
} terminal;

static const char *pick(const terminal *t, dlf_text text)
{
    const char *picked = t->zh ? text.zh : text.en;
    return picked ? picked : "";
}

static void pad(dlf_buffer *b, int columns)
{
    if (columns > 0) dlf_buffer_printf(b, "%*s", columns, "");
}

/* Text of a result, without control characters: it may come from anyone's file. */
static void put_text(dlf_buffer *b, const char *text)
{
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;
        dlf_buffer_append(b, c < 0x20 || c == 0x7F ? " " : text, 1);
    }
}

static const char *key_of(int curve)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
    static _Thread_local char key[2];
    key[0] = letters[curve % 26];
    return key;
}

/* "10^{-3}" as 1e-3, "2×10^{5}" as 2e5. */
static void plain_tick(const char *text, char plain[32])
{
    const char *power = strstr(text, "10^{");
    if (!power) {
        snprintf(plain, 32, "%s", text);
        return;
    }
    const int mantissa = power == text ? 0 : (int)(power - text) - (int)strlen("×");
    snprintf(plain, 32, "%.*se%.*s", mantissa > 0 ? mantissa : 1, mantissa > 0 ? text : "1",
             (int)strcspn(power + 4, "}"), power + 4);
}

/* ---- lines
 * ----------------------------------------------------------------------------------------- */

static void dot(canvas *c, double x, double y, char mark)
{
    static const uint8_t bit[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
    const int px = (int)x, py = (int)y;
    if (px < 0 || py < 0 || px >= 2 * c->columns || py >= 4 * c->rows) return;
    const int cell = py / 4 * c->columns + px / 2;
    c->dots[cell] |= bit[py % 4][px % 2];
    if (c->ascii) c->mark[cell] = mark;
}

/* `on` of every `period` dots are drawn. */
static void segment(canvas *c, double x1, double y1, double x2, double y2, char mark, int on,
                    int period, int *phase)
{
    const int n = (int)ceil(fmax(fmax(fabs(x2 - x1), fabs(y2 - y1)), 1));
    for (int i = 0; i <= n; i++, (*phase)++)
        if (*phase % period < on) dot(c, x1 + (x2 - x1) * i / n, y1 + (y2 - y1) * i / n, mark);
}

static void draw_curve(canvas *c, const plot_scale *sx, const plot_scale *sy,
                       const plot_curve *curve, char mark)
{
    const double w = 2 * c->columns - 1, h = 4 * c->rows - 1;
    const int on = curve->role == DLF_THEORY ? 4 : 1;
    const int period = curve->role == DLF_THEORY ? 8 : curve->role == DLF_REFERENCE ? 4 : 1;
    double last_x = NAN, last_y = NAN;
    int phase = 0;
    if (curve->role == DLF_REFERENCE && curve->n == 1) {
        const double y = plot_axis_value(sy, curve->p[0].y, NULL);
        if (!isnan(y)) {
            const double py = h * (1 - plot_scale_unit(sy, y));
            segment(c, 0, py, w, py, mark, on, period, &phase);
        }
        return;
    }
    for (int i = 0; i < curve->n; i++) {
        const double x = plot_axis_value(sx, curve->p[i].x, NULL);
        const double y = plot_axis_value(sy, curve->p[i].y, NULL);
        const double px = w * plot_scale_unit(sx, x), py = h * (1 - plot_scale_unit(sy, y));
        if (!isnan(px) && !isnan(py)) {
            const bool join = !curve->points && !isnan(last_x) && !isnan(last_y);
            segment(c, join ? last_x : px, join ? last_y : py, px, py, mark, on, period, &phase);
        }
        last_x = px;
        last_y = py;
    }
}

/* The letter of a curve at its last point, or beside it if another letter stands there. */
static void name_end(canvas *c, const plot_scale *sx, const plot_scale *sy, const plot_curve *curve,
                     char mark)
{
    for (int i = curve->n - 1; i >= 0; i--) {
        const double x = plot_axis_value(sx, curve->p[i].x, NULL);
        const double y = plot_axis_value(sy, curve->p[i].y, NULL);
        if (isnan(x) || isnan(y)) continue;
        int column = (int)((c->columns - 1) * plot_scale_unit(sx, x));
        const int row = (int)((c->rows - 1) * (1 - plot_scale_unit(sy, y)) + 0.5);
        if (curve->role == DLF_REFERENCE && curve->n == 1) column = c->columns / 8;
        if (row < 0 || row >= c->rows || column >= c->columns) return;
        while (column > 0 && c->mark[row * c->columns + column] && !c->ascii) column--;
        if (column >= 0) c->mark[row * c->columns + column] = mark;
        return;
    }
}

static void put_cell(dlf_buffer *b, const canvas *c, int cell)
{
    if (c->mark[cell]) {
        dlf_buffer_append(b, &c->mark[cell], 1);
    } else if (c->ascii || !c->dots[cell]) {
        dlf_buffer_puts(b, " ");
    } else { /* U+2800 + dots */
        const unsigned code = 0x2800u + c->dots[cell];
        dlf_buffer_append(b,
                          (const char[]){(char)(0xE0 | code >> 12),
                                         (char)(0x80 | (code >> 6 & 0x3F)),
                                         (char)(0x80 | (code & 0x3F))},
                          3);
    }
}

static void axis_label(dlf_buffer *b, const char *label, const char *edge)
{
    pad(b, LABEL - dlf_utf8_string_columns(label));
    dlf_buffer_printf(b, "%s %s", label, edge);
}

/* One row of letters for values off the axis. */
static void put_rail(terminal *t, const canvas *c, const plot_scale *sx, const plot_scale *sy,
                     plot_rail rail, const char *name)
{
    char *row = calloc(1, (size_t)c->columns + 1);
    if (!row) {
        t->out.failed = true;
        return;
    }
    memset(row, ' ', (size_t)c->columns);
    bool any = false;
    for (int i = 0; i < t->data->n; i++) {
        const plot_curve *curve = &t->data->curve[i];
        for (int k = 0; k < curve->n; k++) {
            plot_rail where;
            const double x = plot_axis_value(sx, curve->p[k].x, NULL);
            plot_axis_value(sy, curve->p[k].y, &where);
            if (where != rail || isnan(x) || curve->role == DLF_SEEDS) continue;
            row[(int)((c->columns - 1) * plot_scale_unit(sx, x))] = *key_of(i);
            any = true;
        }
    }
    if (any) {
        axis_label(&t->out, name, t->ascii ? "!" : "┊");
        dlf_buffer_printf(&t->out, "%s\n", row);
    }
    free(row);
}

static void put_x_axis(terminal *t, const plot_scale *sx, int columns)
{
    dlf_buffer *b = &t->out;
    axis_label(b, "", t->ascii ? "+" : "└");
    for (int i = 0; i < columns; i++) dlf_buffer_puts(b, t->ascii ? "-" : "─");
    dlf_buffer_puts(b, "\n");
    pad(b, LABEL + 2);
    int at = 0;
    for (int i = 0; i < sx->n_ticks; i++) {
        char text[32];
        if (sx->tick[i].minor) continue;
        plain_tick(sx->tick[i].text, text);
        const int length = (int)strlen(text);
        int start = (int)(plot_scale_unit(sx, sx->tick[i].at) * (columns - 1)) - length / 2;
        if (start + length > columns) start = columns - length;
        if (start < 0) start = 0;
        if (start < at + (at > 0)) continue; /* no room: the next tick will do */
        pad(b, start - at);
        dlf_buffer_puts(b, text);
        at = start + length;
    }
    dlf_buffer_puts(b, "\n");
}

static void put_key(terminal *t, int first)
{
    static const char *const role_zh[] = {"实测", "理论", "对照", "", "参考"};
    static const char *const role_en[] = {"measured", "theory", "control", "", "reference"};
    for (int i = first; i < t->data->n; i++) {
        const plot_curve *c = &t->data->curve[i];
        if (c->role == DLF_SEEDS) continue;
        dlf_buffer_printf(&t->out, "  %s  ", key_of(i));
        put_text(&t->out, pick(t, c->label));
        dlf_buffer_printf(&t->out, "  [%s]\n", (t->zh ? role_zh : role_en)[c->role]);
    }
}

static void fit_scales(const terminal *t, plot_scale *sx, plot_scale *sy, int columns)
{
    plot_scale_start(sx, t->figure->x.log);
    plot_scale_start(sy, t->figure->y.log);
    for (int i = 0; i < t->data->n; i++) {
        const plot_curve *c = &t->data->curve[i];
        for (int k = 0; k < c->n && c->role != DLF_SEEDS; k++) {
            if (c->role != DLF_REFERENCE || c->n > 1) plot_scale_include(sx, c->p[k].x);
            plot_scale_include(sy, c->p[k].y);
        }
    }
    plot_scale_finish(sx, 0, columns / 10);
    plot_scale_finish(sy, 0.02, 6);
}

static void draw_lines(terminal *t)
{
    const int columns = t->width - LABEL - 2, rows = t->width < 60 ? 12 : t->width < 120 ? 18 : 26;
    canvas c = {.columns = columns, .rows = rows, .ascii = t->ascii};
    plot_scale sx, sy;
    fit_scales(t, &sx, &sy, columns);
    c.dots = calloc((size_t)columns * (size_t)rows, 1);
    c.mark = calloc((size_t)columns * (size_t)rows, 1);
    t->out.failed |= !c.dots || !c.mark;
    for (int i = t->data->n - 1; i >= 0 && !t->out.failed; i--) /* the first series ends on top */
        if (t->data->curve[i].role != DLF_SEEDS)
            draw_curve(&c, &sx, &sy, &t->data->curve[i], *key_of(i));
    for (int i = 0; i < t->data->n && !t->out.failed; i++)
        if (t->data->curve[i].role != DLF_SEEDS)
            name_end(&c, &sx, &sy, &t->data->curve[i], *key_of(i));
    put_rail(t, &c, &sx, &sy, PLOT_NAN, "NaN");
    put_rail(t, &c, &sx, &sy, PLOT_INF, "+Inf");
    for (int row = 0; row < rows && !t->out.failed; row++) {
        char label[32] = "";
        for (int i = 0; i < sy.n_ticks; i++)
            if (!sy.tick[i].minor &&
                (int)((rows - 1) * (1 - plot_scale_unit(&sy, sy.tick[i].at)) + 0.5) == row)
                plain_tick(sy.tick[i].text, label);
        axis_label(&t->out, label, t->ascii ? "|" : label[0] ? "┤" : "│");
        for (int i = 0; i < columns; i++) put_cell(&t->out, &c, row * columns + i);
        dlf_buffer_puts(&t->out, "\n");
    }
    put_rail(t, &c, &sx, &sy, PLOT_NOT_POSITIVE, "<= 0");
    put_rail(t, &c, &sx, &sy, PLOT_NEG_INF, "-Inf");
    put_x_axis(t, &sx, columns);
    free(c.dots);
    free(c.mark);
}

/* ---- bars
 * ---------------------------------------------------------------------------------------------- */

static void put_bar(terminal *t, const plot_scale *scale, double value, int room)
{
    plot_rail rail;
    const double v = plot_axis_value(scale, value, &rail);
    const int length = rail == PLOT_ON_AXIS ? (int)(plot_scale_unit(scale, v) * room + 0.5) : 0;
    for (int i = 0; i < length; i++) dlf_buffer_puts(&t->out, t->ascii ? "#" : "█");
    char number[DLF_NUMBER_TEXT];
    if (rail == PLOT_NAN || rail == PLOT_INF || rail == PLOT_NEG_INF)
        dlf_buffer_printf(&t->out, " %s", dlf_number_text(number, value));
    else
        dlf_buffer_printf(&t->out, " %.4g", value);
}

static void draw_bars(terminal *t)
{
    plot_scale scale;
    plot_scale_start(&scale, t->figure->y.log);
    if (!scale.log) plot_scale_include(&scale, 0);
    for (int i = 0; i < t->data->n; i++)
        for (int k = 0; k < t->data->curve[i].n; k++)
            plot_scale_include(&scale, t->data->curve[i].p[k].y);
    const bool from_zero = !scale.log && scale.lo == 0;
    plot_scale_finish(&scale, scale.log ? 0.1 : 0, 4);
    if (from_zero) scale.lo = 0;
    const int room = t->width - 8 - 30;
    for (int k = 0; k < t->data->n_categories; k++) {
        put_text(&t->out, t->data->category[k]);
        dlf_buffer_puts(&t->out, "\n");
        for (int i = 0; i < t->data->n; i++) {
            const plot_curve *c = &t->data->curve[i];
            for (int p = 0; p < c->n && c->role != DLF_SEEDS; p++) {
                if ((int)c->p[p].x != k) continue;
                dlf_buffer_printf(&t->out, "  %s %s", key_of(i), t->ascii ? "|" : "│");
                put_bar(t, &scale, c->p[p].y, room);
                if (c->interval && !isnan(c->p[p].lo + c->p[p].hi))
                    dlf_buffer_printf(&t->out, " (%.4g%s%.4g)", c->p[p].lo, t->ascii ? ".." : "…",
                                      c->p[p].hi);
                dlf_buffer_puts(&t->out, "\n");
            }
        }
    }
}

/* ---- heat maps
 * --------------------------------------------------------------------------------------------- */

/* "1 weight scale   2 data scale": the names of an axis, where its table has them (result.h). */
static void put_names(terminal *t, const char *axis, const char *column)
{
    const dlf_table *table = dlf_result_find_table(t->result, t->figure->series[0].table);
    char name[128];
    snprintf(name, sizeof name, "%.100s_%s", column, t->zh ? "zh" : "en");
    const int text = dlf_table_find_column(table, name);
    const int number = dlf_table_find_column(table, column);
    if (text < 0) return;
    dlf_buffer_printf(&t->out, "  %s ", axis);
    for (int row = 0; row < dlf_table_rows(table); row++) {
        const dlf_cell at = dlf_table_cell(table, row, number);
        bool first = dlf_table_cell(table, row, text).text[0] != 0;
        for (int k = 0; k < row && first; k++)
            first = dlf_table_cell(table, k, number).number != at.number;
        if (!first) continue;
        dlf_buffer_printf(&t->out, "  %g ", at.number);
        put_text(&t->out, dlf_table_cell(table, row, text).text);
    }
    dlf_buffer_puts(&t->out, "\n");
}

/* Ten steps from low to high; what is no number gets its own sign. */
static void draw_heatmap(terminal *t)
{
    static const char shade[] = " .:-=+*#%@";
    const plot_curve *cells = &t->data->curve[0];
    const int columns = t->width - LABEL - 2, rows = t->width < 60 ? 12 : 20;
    plot_scale sx, sy, sz;
    plot_scale_start(&sx, t->figure->x.log);
    plot_scale_start(&sy, t->figure->y.log);
    plot_scale_start(&sz, t->figure->z.log);
    for (int i = 0; i < cells->n; i++) {
        plot_scale_include(&sx, cells->p[i].x);
        plot_scale_include(&sy, cells->p[i].y);
        plot_scale_include(&sz, cells->p[i].z);
    }
    plot_scale_finish(&sx, 0, columns / 10);
    plot_scale_finish(&sy, 0, 6);
    plot_scale_finish(&sz, 0, 4);
    for (int row = 0; row < rows; row++) {
        char label[32] = "";
        for (int i = 0; i < sy.n_ticks; i++)
            if (!sy.tick[i].minor &&
                (int)((rows - 1) * (1 - plot_scale_unit(&sy, sy.tick[i].at)) + 0.5) == row)
                plain_tick(sy.tick[i].text, label);
        axis_label(&t->out, label, t->ascii ? "|" : label[0] ? "┤" : "│");
        for (int column = 0; column < columns; column++) {
            /* The nearest cell of the grid. */
            double best = INFINITY, z = NAN;
            for (int i = 0; i < cells->n; i++) {
                const double dx = plot_scale_unit(&sx, plot_axis_value(&sx, cells->p[i].x, NULL)) -
                                  (column + 0.5) / columns;
                const double dy = plot_scale_unit(&sy, plot_axis_value(&sy, cells->p[i].y, NULL)) -
                                  (1 - (row + 0.5) / rows);
                if (!(dx * dx + dy * dy < best)) continue;
                best = dx * dx + dy * dy;
                z = cells->p[i].z;
            }
            plot_rail rail;
            const double v = plot_axis_value(&sz, z, &rail);
            const char sign = rail == PLOT_NAN   ? '?'
                              : rail == PLOT_INF ? '^'
                              : rail != PLOT_ON_AXIS
                                  ? '_'
                                  : shade[(int)fmin(9, floor(plot_scale_unit(&sz, v) * 10))];
            dlf_buffer_append(&t->out, &sign, 1);
        }
        dlf_buffer_puts(&t->out, "\n");
    }
    put_x_axis(t, &sx, columns);
    dlf_buffer_puts(&t->out, "  z  ");
    put_text(&t->out, pick(t, t->figure->z.label));
    dlf_buffer_printf(&t->out, "  '%c' %.4g %s '%c' %.4g   ? NaN   ^ Inf\n", shade[0],
                      sz.log ? pow(10, sz.lo) : sz.lo, t->ascii ? ".." : "…", shade[9],
                      sz.log ? pow(10, sz.hi) : sz.hi);
    put_names(t, "x", t->figure->series[0].x);
    put_names(t, "y", t->figure->series[0].y);
}

/* ---- the figure
 * ---------------------------------------------------------------------------------------------------
 */

static void put_axis_name(terminal *t, const char *name, const dlf_axis *axis)
{
    const char *label = pick(t, axis->label);
    if (!label[0]) return;
    dlf_buffer_printf(&t->out, "  %s  ", name);
    put_text(&t->out, label);
    dlf_buffer_puts(&t->out, axis->log ? (t->zh ? "  [对数]\n" : "  [log]\n") : "\n");
}

static void draw(terminal *t)
{
    put_text(&t->out, pick(t, t->figure->title));
    dlf_buffer_puts(&t->out, "\n");
    put_text(&t->out, pick(t, t->figure->subtitle));
    dlf_buffer_puts(&t->out, "\n\n");
    switch (t->figure->kind) {
    case DLF_LINES: draw_lines(t); break;
    case DLF_HEATMAP: draw_heatmap(t); break;
    case DLF_BARS: draw_bars(t); break;
    }
    put_axis_name(t, "x", &t->figure->x);
    put_axis_name(t, "y", &t->figure->y);
    if (t->figure->kind != DLF_HEATMAP) put_key(t, 0);
}

dlf_status dlf_plot_terminal(const dlf_result *r, const char *figure, const char *lang, FILE *file,
                             int width, bool ascii)
{
    const dlf_figure *f = NULL;
    for (int i = 0; i < dlf_result_figures(r) && !f; i++)
        if (!strcmp(dlf_result_get_figure(r, i)->id, figure)) f = dlf_result_get_figure(r, i);
    if (!f)
        return dlf_fail(DLF_ERR_NOT_FOUND, "%s has no figure '%s'", dlf_result_experiment(r),
                        figure);
    plot_data data;
    DLF_TRY(plot_data_collect(&data, r, f));
    terminal t = {.data = &data,
                  .result = r,
                  .figure = f,
                  .zh = !strcmp(lang, "zh"),
                  .ascii = ascii,
                  .width = width < LEAST_WIDTH  ? LEAST_WIDTH
                           : width > MOST_WIDTH ? MOST_WIDTH
                                                : width};
    draw(&t);
    dlf_status status = DLF_OK;
    if (t.out.failed)
        status = dlf_fail(DLF_ERR_OOM, "out of memory drawing figure %s", figure);
    else if (fwrite(t.out.data, 1, t.out.size, file) != t.out.size || fflush(file) != 0)
        status = dlf_fail(DLF_ERR_OUTPUT, "cannot write figure %s", figure);
    dlf_buffer_free(&t.out);
    plot_data_free(&data);
    return status;
}
