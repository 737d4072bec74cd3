/* SPDX-License-Identifier: MIT
 * plot_bars.c -- one bar per category and series, with intervals; theory as a dashed rung across
 * the bar of its colour, seeds as dots, guides across the panel. */
#include <math.h>
#include <string.h>

#include "report/plot_internal.h"

enum { TICK = 11, VALUE = 11, MOST_VALUES = 12 };

static bool is_bar(const plot_curve *c)
{
    return c->role == DLF_MEASURED || c->role == DLF_CONTROL;
}

/* Bars stand side by side within a category: left edge and width of the bar of `c`, in categories.
 */
static void slot(const plot_frame *frame, const plot_curve *c, double *offset, double *width)
{
    int n = 0, mine = 0;
    for (int i = 0; i < frame->data->n; i++) {
        const plot_curve *other = &frame->data->curve[i];
        if (!is_bar(other)) continue;
        /* Theory and seeds share the slot of the bar they belong to. */
        if (other == c || (!is_bar(c) && other->colour == c->colour)) mine = n;
        n++;
    }
    *width = 0.76 / (n ? n : 1);
    *offset = -0.38 + mine * *width;
}

static void fit(const plot_frame *frame, plot_panel *panel)
{
    plot_scale_start(&panel->y, frame->figure->y.log);
    for (int i = 0; i < frame->data->n; i++) {
        const plot_curve *c = &frame->data->curve[i];
        for (int k = 0; k < c->n; k++) {
            plot_scale_include(&panel->y, c->p[k].y);
            if (!c->interval) continue;
            plot_scale_include(&panel->y, c->p[k].lo);
            plot_scale_include(&panel->y, c->p[k].hi);
        }
        plot_note_rails(panel, c);
    }
    if (!frame->figure->y.log) plot_scale_include(&panel->y, 0); /* a bar is as long as its value */
    const bool from_zero = !frame->figure->y.log && panel->y.lo == 0;
    plot_scale_finish(&panel->y, 0.07, 6);
    if (from_zero) panel->y.lo = 0;
    panel->x = (plot_scale){.lo = -0.55, .hi = frame->data->n_categories - 0.45};
    if (frame->data->n_categories == 0) panel->x.hi = 0.55;
}

/* Category names under the axis, wrapped to the width of a category. Returns their height. */
static double names(const plot_frame *frame, const plot_panel *panel, bool draw)
{
    const int n = frame->data->n_categories;
    const double width = (panel->right - panel->left) / (n ? n + 0.1 : 1) - 4;
    int most = 1;
    for (int i = 0; i < n; i++) {
        char lines[3][PLOT_LINE];
        const int count =
            plot_wrap(plot_pick(frame, frame->data->category_label[i]), TICK, width, 3, lines);
        if (count > most) most = count;
        for (int k = 0; draw && k < count; k++)
            plot_label(frame, plot_panel_x(panel, i), panel->bottom + 13 + 14 * k, lines[k],
                       (plot_style){TICK, PLOT_CENTRE, false, false, "#333333"});
    }
    return 6 + 14 * most;
}

/* "x y x1 x2 y1 y2" of the bars, or "x y lo hi" of intervals, or the ends of rungs. */
static int bar_block(plot_frame *frame, const plot_panel *panel, const plot_curve *c)
{
    dlf_buffer *b = frame->script;
    double offset, width;
    slot(frame, c, &offset, &width);
    const double base = frame->figure->y.log ? panel->y.lo : fmax(panel->y.lo, 0);
    dlf_buffer_printf(b, "$d%d << EOD\n", frame->n_blocks);
    int n = 0;
    for (int i = 0; i < c->n; i++) {
        const double x = c->p[i].x, y = plot_axis_value(&panel->y, c->p[i].y, NULL);
        if (isnan(y)) continue;
        const double lo = plot_axis_value(&panel->y, c->p[i].lo, NULL);
        const double hi = plot_axis_value(&panel->y, c->p[i].hi, NULL);
        dlf_buffer_printf(b, "%.9g %.9g %.9g %.9g %.9g %.9g %.9g %.9g\n", x + offset + width / 2, y,
                          x + offset + width * 0.06, x + offset + width * 0.94, fmin(base, y),
                          fmax(base, y), isnan(lo) ? (c->p[i].lo <= 0 ? panel->y.lo : y) : lo,
                          isnan(hi) ? y : hi);
        n++;
    }
    if (n == 0) dlf_buffer_puts(b, "NaN NaN NaN NaN NaN NaN NaN NaN\n");
    dlf_buffer_puts(b, "EOD\n");
    return frame->n_blocks++;
}

static void values(const plot_frame *frame, const plot_panel *panel, const plot_curve *c)
{
    double offset, width;
    slot(frame, c, &offset, &width);
    const double room = width * (panel->right - panel->left) / (panel->x.hi - panel->x.lo);
    for (int i = 0; i < c->n; i++) {
        char text[32];
        const double y = plot_axis_value(&panel->y, c->p[i].y, NULL);
        const double hi = plot_axis_value(&panel->y, c->p[i].hi, NULL);
        if (isnan(y)) continue;
        snprintf(text, sizeof text, "%.3g", c->p[i].y);
        if (plot_text_width(text, VALUE) > room + 6) continue;
        plot_label(frame, plot_panel_x(panel, c->p[i].x + offset + width / 2),
                   plot_panel_y(panel, isnan(hi) ? fmax(y, 0) : fmax(hi, 0)) - 8, text,
                   (plot_style){VALUE, PLOT_CENTRE, false, false, "#333333"});
    }
}

static void rail_marks(const plot_frame *frame, const plot_panel *panel, const plot_curve *c)
{
    static const char *const text[] = {"", "NaN", "Inf", "Inf", "≤ 0"};
    double offset, width;
    slot(frame, c, &offset, &width);
    for (int i = 0; i < c->n; i++) {
        plot_rail rail;
        plot_axis_value(&panel->y, c->p[i].y, &rail);
        if (rail == PLOT_ON_AXIS) continue;
        const bool top = rail == PLOT_NAN || rail == PLOT_INF;
        const double y = rail == PLOT_INF ? panel->top + 7.5 + 15 * panel->rail[PLOT_NAN]
                         : top            ? panel->top + 7.5
                         : rail == PLOT_NEG_INF
                             ? panel->bottom - 7.5
                             : panel->bottom - 7.5 - 15 * panel->rail[PLOT_NEG_INF];
        const double x = plot_panel_x(panel, c->p[i].x + offset + width / 2);
        plot_label(frame, x, y, text[rail],
                   (plot_style){VALUE, PLOT_CENTRE, true, false, plot_text_colour(c, false)});
    }
}

static void draw_series(plot_frame *frame, const plot_panel *panel, const plot_curve *c,
                        dlf_buffer *plots)
{
    const char *colour = plot_colour(c, false);
    if (c->n == 0) return;
    if (c->role == DLF_REFERENCE) {
        for (int i = 0; i < c->n;
             i++) { /* each point of a guide spans its category, one spans all */
            const double y = plot_axis_value(&panel->y, c->p[i].y, NULL);
            if (isnan(y)) continue;
            const double px = plot_panel_y(panel, y);
            char style[64];
            snprintf(style, sizeof style, "lw 1.4 dt (2,4) lc rgb '%s'", colour);
            plot_line(frame, c->n == 1 ? panel->left : plot_panel_x(panel, c->p[i].x - 0.5), px,
                      c->n == 1 ? panel->right : plot_panel_x(panel, c->p[i].x + 0.5), px, style);
        }
        return;
    }
    const int data = bar_block(frame, panel, c);
    rail_marks(frame, panel, c);
    if (c->role == DLF_SEEDS)
        dlf_buffer_printf(plots, ", $d%d using 1:2 with points pt 6 ps 0.4 lw 0.8 lc rgb '#222222'",
                          data);
    else if (c->role == DLF_THEORY)
        dlf_buffer_printf(
            plots, ", $d%d using 3:2:($4-$3):(0) with vectors nohead lw 2.4 dt (6,3) lc rgb '%s'",
            data, colour);
    else
        dlf_buffer_printf(
            plots, ", $d%d using 1:2:3:4:5:6 with boxxyerror fs solid 0.85 noborder lc rgb '%s'",
            data, colour);
    if (c->interval) plot_intervals(plots, data, 7, "#222222");
}

void plot_draw_bars(plot_frame *frame, int height)
{
    static const dlf_role order[] = {DLF_CONTROL, DLF_MEASURED, DLF_THEORY, DLF_SEEDS,
                                     DLF_REFERENCE};
    plot_panel panel = {0};
    fit(frame, &panel);
    panel.left = plot_left_margin(frame, &panel, frame->figure->y.label.en[0] != 0);
    panel.right = frame->width - 18;
    const double header = plot_header_height(frame), footer = plot_footer_height(frame);
    const double rows = plot_key_rows(frame, 0, false, false);
    const double x_label = frame->figure->x.label.en[0] ? 20 : 0;
    const double name_height = names(frame, &panel, false);
    const double below = 12 + name_height + x_label + rows;
    const double main =
        height ? fmax(height - header - footer - below, 100) : fmax(270, frame->width * 0.38);
    frame->height = header + main + below + footer;
    panel.top = header + 4;
    panel.bottom = header + main;

    plot_begin(frame);
    plot_axes(frame, &panel, "", plot_pick(frame, frame->figure->y.label));
    names(frame, &panel, true);
    if (x_label > 0)
        plot_label(frame, (panel.left + panel.right) / 2, panel.bottom + name_height + 14,
                   plot_pick(frame, frame->figure->x.label),
                   (plot_style){12, PLOT_CENTRE, false, false, "#1a1a1a"});
    plot_key_rows(frame, frame->height - footer - rows - 2, false, true);
    dlf_buffer plots = {0};
    int bars = 0;
    for (int k = 0; k < 5; k++)
        for (int i = 0; i < frame->data->n; i++)
            if (frame->data->curve[i].role == order[k])
                draw_series(frame, &panel, &frame->data->curve[i], &plots);
    for (int i = 0; i < frame->data->n; i++)
        bars += is_bar(&frame->data->curve[i]) ? frame->data->curve[i].n : 0;
    for (int i = 0; i < frame->data->n && bars <= MOST_VALUES; i++)
        if (is_bar(&frame->data->curve[i])) values(frame, &panel, &frame->data->curve[i]);
    dlf_buffer_printf(frame->script, "plot NaN notitle%s\n", plots.data ? plots.data : "");
    frame->script->failed |= plots.failed;
    dlf_buffer_free(&plots);
}
