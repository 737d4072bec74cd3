/* SPDX-License-Identifier: MIT
 * plot_heatmap.c -- z over an (x,y) grid as colours, with curves over it and a colour bar. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/plot_internal.h"

enum { TICK = 11, AXIS = 12, BAR = 14 };

/* Sorted distinct coordinates of the cells along one axis, in axis units. */
typedef struct grid_axis {
    double *at;
    int n;
    bool uniform;
    const dlf_text *name; /* of at[i]; NULL: numbers */
} grid_axis;

static int compare_doubles(const void *a, const void *b)
{
    const double p = *(const double *)a, q = *(const double *)b;
    return (p > q) - (p < q);
}

static bool collect_axis(grid_axis *g, const plot_curve *c, const plot_scale *scale, bool use_y)
{
    g->at = malloc((size_t)(c->n ? c->n : 1) * sizeof *g->at);
    if (!g->at) return false;
    int n = 0;
    for (int i = 0; i < c->n; i++) {
        const double v = plot_axis_value(scale, use_y ? c->p[i].y : c->p[i].x, NULL);
        if (!isnan(v)) g->at[n++] = v;
    }
    qsort(g->at, (size_t)n, sizeof *g->at, compare_doubles);
    const double slack = n ? 1e-9 * fmax(fabs(g->at[0]), fabs(g->at[n - 1])) : 0;
    for (int i = 0; i < n; i++)
        if (g->n == 0 || g->at[i] - g->at[g->n - 1] > slack) g->at[g->n++] = g->at[i];
    g->uniform = g->n > 0;
    const double step = g->n > 1 ? (g->at[g->n - 1] - g->at[0]) / (g->n - 1) : 1;
    for (int i = 1; i < g->n; i++)
        if (fabs(g->at[i] - g->at[0] - i * step) > 1e-4 * step) g->uniform = false;
    return true;
}

/* Edge of a cell: half-way to its neighbour; the outermost cells are as wide as on their inside. */
static double edge(const grid_axis *g, int i, int side)
{
    const int other = i + side;
    if (g->name) return g->at[i] + side * 0.5;
    if (g->n == 1) return g->at[0] + side * 0.5;
    if (other >= 0 && other < g->n) return (g->at[i] + g->at[other]) / 2;
    return g->at[i] + (g->at[i] - g->at[i - side]) / 2;
}

static int index_of(const grid_axis *g, double v)
{
    int lo = 0, hi = g->n - 1;
    while (lo < hi) {
        const int middle = (lo + hi) / 2;
        if (g->at[middle] < v - 1e-9 * (fabs(v) + 1e-300))
            lo = middle + 1;
        else
            hi = middle;
    }
    return lo;
}

/* ---- names
 * ----------------------------------------------------------------------------------------------
 */

/* The names of the ticks, from the text columns COLUMN_zh and COLUMN_en; false: out of memory. */
static bool name_axis(grid_axis *g, dlf_text **owned, const plot_frame *frame, bool use_y)
{
    const dlf_series *s = &frame->figure->series[0];
    const dlf_table *t = dlf_result_find_table(frame->result, s->table);
    const char *column = use_y ? s->y : s->x;
    char zh[128], en[128];
    snprintf(zh, sizeof zh, "%.100s_zh", column);
    snprintf(en, sizeof en, "%.100s_en", column);
    const int number = dlf_table_find_column(t, column), in_zh = dlf_table_find_column(t, zh),
              in_en = dlf_table_find_column(t, en);
    if (in_zh < 0 || in_en < 0 || g->n == 0) return true;
    *owned = calloc((size_t)g->n, sizeof **owned);
    if (!*owned) return false;
    for (int row = 0; row < dlf_table_rows(t); row++) {
        const double at = dlf_table_cell(t, row, number).number;
        const int i = isnan(at) ? 0 : index_of(g, at);
        const dlf_text name = {dlf_table_cell(t, row, in_zh).text,
                               dlf_table_cell(t, row, in_en).text};
        if (g->at[i] == at && name.zh && name.en && name.zh[0]) (*owned)[i] = name;
    }
    g->name = *owned;
    g->uniform = false; /* gaps stay empty, and boxes keep their width */
    return true;
}

/* Names beside the axis: their width. */
static double names_left(const plot_frame *frame, const plot_panel *panel, const grid_axis *g,
                         bool draw)
{
    double width = 0;
    for (int j = 0; j < g->n; j++) {
        if (!g->name[j].zh) continue;
        const char *text = plot_pick(frame, g->name[j]);
        width = fmax(width, plot_text_width(text, TICK));
        if (draw)
            plot_label(frame, panel->left - 7, plot_panel_y(panel, g->at[j]), text,
                       (plot_style){TICK, PLOT_RIGHT, false, false, "#333333"});
    }
    return width;
}

/* Names below the axis, wrapped to their share of it: their height beyond one line. */
static double names_below(const plot_frame *frame, const plot_panel *panel, const grid_axis *g,
                          bool draw)
{
    int named = 0, most = 1;
    for (int i = 0; i < g->n; i++) named += g->name[i].zh != NULL;
    const double width = (panel->right - panel->left) / (named ? named : 1) - 4;
    for (int i = 0; i < g->n; i++) {
        char lines[3][PLOT_LINE];
        if (!g->name[i].zh) continue;
        const int count = plot_wrap(plot_pick(frame, g->name[i]), TICK, width, 3, lines);
        if (count > most) most = count;
        for (int k = 0; draw && k < count; k++)
            plot_label(frame, plot_panel_x(panel, g->at[i]), panel->bottom + 13 + 14 * k, lines[k],
                       (plot_style){TICK, PLOT_CENTRE, false, false, "#333333"});
    }
    return 14 * (most - 1);
}

/* ---- colours
 * --------------------------------------------------------------------------------------- */

static const char sequential[] = /* viridis: even steps of lightness, also without colour vision */
    "set palette defined (0 '#440154', 1 '#482878', 2 '#3e4989', 3 '#31688e', 4 '#26828e', "
    "5 '#1f9e89', 6 '#35b779', 7 '#6ece58', 8 '#b5de2b', 9 '#fde725')\n";
static const char diverging[] = /* blue below, red above, as light as paper in the middle */
    "set palette defined (0 '#2166ac', 1 '#4393c3', 2 '#92c5de', 3 '#d1e5f0', 4 '#f7f7f7', "
    "5 '#fddbc7', 6 '#f4a582', 7 '#d6604d', 8 '#b2182b')\n";

/* Values on both sides of zero (on a logarithmic scale: of one) share one scale around it. */
static bool fit_colours(plot_scale *z, const plot_curve *cells, bool log)
{
    plot_scale_start(z, log);
    for (int i = 0; i < cells->n; i++) plot_scale_include(z, cells->p[i].z);
    const bool centred = z->lo < 0 && z->hi > 0;
    if (centred) {
        z->hi = fmax(-z->lo, z->hi);
        z->lo = -z->hi;
    }
    plot_scale_finish(z, 0, 6);
    return centred;
}

/* gnuplot would draw its own box with ticks of a fixed kind; ours is a column of rectangles with
 * the ticks of every other axis. */
static void draw_colour_bar(const plot_frame *frame, const plot_panel *panel, const plot_scale *z,
                            double x)
{
    dlf_buffer *b = frame->script;
    dlf_buffer_printf(b,
                      "set cbrange [%.12g:%.12g]\nset colorbox vertical user origin screen "
                      "%.6f,screen %.6f size screen %.6f,screen %.6f noborder front\n",
                      z->lo, z->hi, x / frame->width, 1 - panel->bottom / frame->height,
                      BAR / frame->width, (panel->bottom - panel->top) / frame->height);
    dlf_buffer_puts(b, "unset cbtics\n");
    const plot_style style = {TICK, PLOT_LEFT, false, false, "#333333"};
    for (int i = 0; i < z->n_ticks; i++) {
        const plot_tick *tick = &z->tick[i];
        const double y =
            panel->bottom - plot_scale_unit(z, tick->at) * (panel->bottom - panel->top);
        plot_line(frame, x + BAR, y, x + BAR + (tick->minor ? 2 : 4), y, "lw 0.8 lc rgb '#555555'");
        if (tick->minor) continue;
        char text[64];
        plot_tick_text(frame, tick, text, sizeof text);
        dlf_buffer_printf(b,
                          "set label '%s' at screen %.6f,screen %.6f left enhanced font '%s,%d' "
                          "tc rgb '%s' front\n",
                          text, (x + BAR + 7) / frame->width, 1 - y / frame->height, frame->font,
                          TICK, style.colour);
    }
}

static double colour_labels_width(const plot_scale *z)
{
    double width = 0;
    for (int i = 0; i < z->n_ticks; i++) { /* braces are not drawn: a little too wide is safe */
        const double w =
            plot_text_width(z->tick[i].text, TICK) * (strchr(z->tick[i].text, '{') ? 0.8 : 1);
        if (!z->tick[i].minor) width = fmax(width, w);
    }
    return width;
}

/* ---- cells
 * ------------------------------------------------------------------------------------------- */

typedef struct cell_counts {
    int nan, inf;
} cell_counts;

/* Regular cells as one bitmap: a matrix with a value per cell, NaN where there is none. */
static void image_block(plot_frame *frame, const plot_panel *panel, const plot_curve *cells,
                        const plot_scale *z, const grid_axis *gx, const grid_axis *gy)
{
    const size_t size = (size_t)gx->n * (size_t)gy->n;
    double *value = malloc(size * sizeof *value);
    if (!value) {
        frame->script->failed = true;
        return;
    }
    for (size_t i = 0; i < size; i++) value[i] = NAN;
    for (int i = 0; i < cells->n; i++) {
        const double x = plot_axis_value(&panel->x, cells->p[i].x, NULL);
        const double y = plot_axis_value(&panel->y, cells->p[i].y, NULL);
        if (isnan(x) || isnan(y)) continue;
        value[(size_t)index_of(gy, y) * (size_t)gx->n + (size_t)index_of(gx, x)] =
            plot_axis_value(z, cells->p[i].z, NULL);
    }
    dlf_buffer_puts(frame->script, "$cells << EOD\n");
    for (int j = 0; j < gy->n; j++)
        for (int i = 0; i < gx->n; i++) {
            const double v = value[(size_t)j * (size_t)gx->n + (size_t)i];
            const double x =
                gx->at[0] + i * (gx->n > 1 ? (gx->at[gx->n - 1] - gx->at[0]) / (gx->n - 1) : 1);
            const double y =
                gy->at[0] + j * (gy->n > 1 ? (gy->at[gy->n - 1] - gy->at[0]) / (gy->n - 1) : 1);
            if (isnan(v))
                dlf_buffer_printf(frame->script, "%.12g %.12g NaN\n", x, y);
            else
                dlf_buffer_printf(frame->script, "%.12g %.12g %.9g\n", x, y, v);
        }
    dlf_buffer_puts(frame->script, "EOD\n");
    free(value);
}

/* "x y x1 x2 y1 y2 z" of the cells chosen: finite ones, or those that are NaN or infinite. */
static void box_block(plot_frame *frame, const char *name, const plot_panel *panel,
                      const plot_curve *cells, const plot_scale *z, const grid_axis *gx,
                      const grid_axis *gy, bool finite, cell_counts *counts)
{
    dlf_buffer *b = frame->script;
    dlf_buffer_printf(b, "%s << EOD\n", name);
    /* Boxes that only touch show a seam where both are anti-aliased: overlap by half a pixel. */
    const double overlap_x = 0.5 * (panel->x.hi - panel->x.lo) / (panel->right - panel->left);
    const double overlap_y = 0.5 * (panel->y.hi - panel->y.lo) / (panel->bottom - panel->top);
    int n = 0;
    for (int k = 0; k < cells->n; k++) {
        plot_rail rail;
        const double x = plot_axis_value(&panel->x, cells->p[k].x, NULL);
        const double y = plot_axis_value(&panel->y, cells->p[k].y, NULL);
        const double v = plot_axis_value(z, cells->p[k].z, &rail);
        if (isnan(x) || isnan(y) || finite != (rail == PLOT_ON_AXIS)) continue;
        const int i = index_of(gx, x), j = index_of(gy, y);
        dlf_buffer_printf(b, "%.9g %.9g %.9g %.9g %.9g %.9g %.9g\n", x, y, edge(gx, i, -1),
                          edge(gx, i, 1) + overlap_x, edge(gy, j, -1), edge(gy, j, 1) + overlap_y,
                          finite             ? v
                          : rail == PLOT_NAN ? 0.0
                                             : 1.0);
        counts->nan += rail == PLOT_NAN;
        counts->inf += rail == PLOT_INF || rail == PLOT_NEG_INF || rail == PLOT_NOT_POSITIVE;
        n++;
    }
    if (n == 0) dlf_buffer_puts(b, "NaN NaN NaN NaN NaN NaN NaN\n");
    dlf_buffer_puts(b, "EOD\n");
}

static void count_cells(const plot_curve *cells, const plot_scale *z, cell_counts *counts)
{
    for (int k = 0; k < cells->n; k++) {
        plot_rail rail;
        plot_axis_value(z, cells->p[k].z, &rail);
        counts->nan += rail == PLOT_NAN;
        counts->inf += rail != PLOT_NAN && rail != PLOT_ON_AXIS;
    }
}

/* Key to the grey cells, right of the other keys' row. */
static void draw_cell_key(const plot_frame *frame, const plot_curve *cells, const plot_scale *z,
                          double y)
{
    cell_counts counts = {0};
    count_cells(cells, z, &counts);
    double x = frame->width - 14;
    const struct {
        int count;
        const char *name, *fill;
    } kinds[] = {
        {counts.inf, z->log ? "Inf, ≤ 0" : "Inf", "front fc rgb '#3a3a3a' fs solid 1 noborder"},
        {counts.nan, "NaN", "front fc rgb '#b8b8b8' fs solid 1 noborder"}};
    for (int i = 0; i < 2; i++) {
        if (!kinds[i].count) continue;
        char text[64];
        snprintf(text, sizeof text, "%s (%d)", kinds[i].name, kinds[i].count);
        x -= plot_text_width(text, AXIS);
        plot_label(frame, x, y, text, (plot_style){AXIS, PLOT_LEFT, false, false, "#333333"});
        x -= 18;
        plot_rectangle(frame, x, y - 6, x + 12, y + 6, kinds[i].fill);
        x -= 14;
    }
}

/* ---- the figure
 * ----------------------------------------------------------------------------------------- */

static void fit_grid(plot_scale *scale, const grid_axis *g, int labels)
{
    scale->lo = g->n ? edge(g, 0, -1) : 1;
    scale->hi = g->n ? edge(g, g->n - 1, 1) : 0;
    plot_scale_finish(scale, 0, labels);
    if (g->name) scale->n_ticks = 0;
}

static void draw_grid(plot_frame *frame, const plot_panel *panel, const plot_curve *cells,
                      const plot_scale *z, const grid_axis *gx, const grid_axis *gy)
{
    cell_counts counts = {0};
    const bool image = gx->uniform && gy->uniform && gx->n > 1 && gy->n > 1;
    if (image)
        image_block(frame, panel, cells, z, gx, gy);
    else
        box_block(frame, "$cells", panel, cells, z, gx, gy, true, &counts);
    box_block(frame, "$grey", panel, cells, z, gx, gy, false, &counts);
    /* The image of the grid, the cells without a value in two greys, then the axes again on top. */
    dlf_buffer_printf(frame->script,
                      "plot $cells using %s, $grey using 1:2:3:4:5:6:($7 > 0 ? "
                      "0x3a3a3a : 0xb8b8b8) with boxxyerror fs solid 1 noborder lc "
                      "rgb variable\n",
                      image ? "1:2:3 with image"
                            : "1:2:3:4:5:6:7 with boxxyerror fs solid 1 noborder lc palette");
}

/* Where everything goes; returns the height of the key below the axes. */
static double lay_out(plot_frame *frame, plot_panel *panel, int height, const plot_scale *z,
                      const grid_axis *gx, const grid_axis *gy, bool has_grey)
{
    const dlf_figure *f = frame->figure;
    const double header = plot_header_height(frame), footer = plot_footer_height(frame);
    double rows = plot_key_rows(frame, 0, true, false);
    if (rows == 0 && has_grey) rows = 18;
    const double z_label = f->z.label.en[0] ? AXIS + 10 : 0;
    panel->left = plot_left_margin(frame, panel, f->y.label.en[0] != 0);
    if (gy->name) panel->left += names_left(frame, panel, gy, false);
    panel->right = frame->width - 14 - z_label - colour_labels_width(z) - 7 - BAR - 16;
    const double below = 50 + rows + (gx->name ? names_below(frame, panel, gx, false) : 0);
    const double main =
        height ? fmax(height - header - footer - below, 100) : fmax(310, frame->width * 0.46);
    frame->height = header + main + below + footer;
    panel->top = header + 4;
    panel->bottom = header + main;
    return rows;
}

/* The axis labels are ours where names are: below as many lines as those have. */
static void draw_axes(const plot_frame *frame, const plot_panel *panel, const grid_axis *gx,
                      const grid_axis *gy)
{
    const char *x_label = plot_pick(frame, frame->figure->x.label);
    plot_axes(frame, panel, gx->name ? "" : x_label, plot_pick(frame, frame->figure->y.label));
    dlf_buffer_puts(frame->script, "unset grid\n");
    if (gy->name) names_left(frame, panel, gy, true);
    if (!gx->name) return;
    const double extra = names_below(frame, panel, gx, true);
    plot_label(frame, (panel->left + panel->right) / 2, panel->bottom + 32 + extra, x_label,
               (plot_style){AXIS, PLOT_CENTRE, false, false, "#1a1a1a"});
}

static void draw(plot_frame *frame, int height, const grid_axis *gx, const grid_axis *gy)
{
    const plot_curve *cells = &frame->data->curve[0];
    const dlf_figure *f = frame->figure;
    plot_panel panel = {.x_labels = true};
    plot_scale z;
    cell_counts counts = {0};
    plot_scale_start(&panel.x, f->x.log);
    plot_scale_start(&panel.y, f->y.log);
    fit_grid(&panel.x, gx, 7);
    fit_grid(&panel.y, gy, 6);
    const bool centred = fit_colours(&z, cells, f->z.log);
    count_cells(cells, &z, &counts);
    const double rows = lay_out(frame, &panel, height, &z, gx, gy, counts.nan + counts.inf > 0);

    plot_begin(frame);
    dlf_buffer_puts(frame->script, "set style fill solid 1 noborder\n");
    dlf_buffer_puts(frame->script, centred ? diverging : sequential);
    draw_colour_bar(frame, &panel, &z, panel.right + 16);
    char lines[1][PLOT_LINE];
    if (plot_wrap(plot_pick(frame, f->z.label), AXIS, panel.bottom - panel.top + 20, 1, lines))
        plot_label(frame, frame->width - 10 - AXIS / 2.0, (panel.top + panel.bottom) / 2, lines[0],
                   (plot_style){AXIS, PLOT_CENTRE, false, true, "#1a1a1a"});
    const double keys = frame->height - plot_footer_height(frame) - rows - 2;
    plot_key_rows(frame, keys, true, true);
    draw_cell_key(frame, cells, &z, keys + rows - 9);
    draw_axes(frame, &panel, gx, gy);
    draw_grid(frame, &panel, cells, &z, gx, gy);
    plot_next_panel(frame);
    dlf_buffer_puts(frame->script, "unset colorbox\nunset xtics\nunset ytics\nset border 15\n");
    /* Curves may leave the grid: their range is not that of the axes, so gnuplot clips them. */
    plot_curves(frame, &panel, frame->data->curve + 1, frame->data->n - 1, true);
}

void plot_draw_heatmap(plot_frame *frame, int height)
{
    const plot_curve *cells = &frame->data->curve[0];
    grid_axis gx = {0}, gy = {0};
    dlf_text *names[2] = {NULL, NULL};
    plot_scale x, y;
    plot_scale_start(&x, frame->figure->x.log);
    plot_scale_start(&y, frame->figure->y.log);
    if (collect_axis(&gx, cells, &x, false) && collect_axis(&gy, cells, &y, true) &&
        name_axis(&gx, &names[0], frame, false) && name_axis(&gy, &names[1], frame, true))
        draw(frame, height, &gx, &gy);
    else
        frame->script->failed = true;
    free(names[0]);
    free(names[1]);
    free(gx.at);
    free(gy.at);
}
