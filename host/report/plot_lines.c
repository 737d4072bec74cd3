/* SPDX-License-Identifier: MIT
 * plot_lines.c -- y against x, with the names of curves at their ends and the strip of residuals.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/plot_internal.h"

enum {
    KEY = 12,
    KEY_LINE = 15,
    KEY_GAP = 5,
    DIRECT_LABELS = 7,
    FARTHEST_LABEL = 44,
    WIDE_ENOUGH = 560
};

/* One name beside the panel. */
typedef struct key_entry {
    plot_curve curve;
    int series;
    char line[3][PLOT_LINE];
    int n_lines;
    double target, y, height; /* of its middle: wanted, given */
} key_entry;

/* Height at which a curve leaves the panel: that of its last point on the axes. */
static double end_of(const plot_panel *panel, const plot_curve *c)
{
    for (int i = c->n - 1; i >= 0; i--) {
        const double y = plot_axis_value(&panel->y, c->p[i].y, NULL);
        if (!isnan(y) && !isnan(plot_axis_value(&panel->x, c->p[i].x, NULL)))
            return plot_panel_y(panel, y);
    }
    return panel->top;
}

static int collect_entries(const plot_frame *frame, key_entry *entry, double width)
{
    int n = 0;
    for (int i = 0; i < frame->data->n; i++) {
        const plot_curve common = plot_key_curve(frame->data, i), *c = &common;
        if (c->role == DLF_SEEDS || c->n == 0) continue;
        key_entry *e = &entry[n];
        e->curve = common;
        e->series = i;
        e->n_lines = plot_wrap(plot_pick(frame, c->label), KEY, width - PLOT_SWATCH, 3, e->line);
        e->height = KEY_LINE * e->n_lines;
        n += e->n_lines > 0;
    }
    return n;
}

/* Width of the column of names. */
static double key_width(const plot_frame *frame)
{
    key_entry entry[DLF_FIGURE_SERIES_MAX];
    const double most = frame->width * 0.29;
    double width = 0;
    const int n = collect_entries(frame, entry, most);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < entry[i].n_lines; k++)
            width = fmax(width, PLOT_SWATCH + plot_text_width(entry[i].line[k], KEY));
    return width;
}

static int by_target(const void *a, const void *b)
{
    const key_entry *p = a, *q = b;
    if (p->target != q->target) return p->target < q->target ? -1 : 1;
    return p->series < q->series ? -1 : 1; /* same end: order of the series */
}

/* Names move apart until none overlaps, staying as near to their curves as the panel lets them. */
static void spread(key_entry *entry, int n, double top, double bottom)
{
    double edge = top;
    for (int i = 0; i < n; i++) { /* push down */
        entry[i].y = fmax(entry[i].target, edge + entry[i].height / 2);
        edge = entry[i].y + entry[i].height / 2 + KEY_GAP;
    }
    edge = bottom;
    for (int i = n - 1; i >= 0; i--) { /* and up again from the bottom */
        entry[i].y = fmin(entry[i].y, edge - entry[i].height / 2);
        edge = entry[i].y - entry[i].height / 2 - KEY_GAP;
    }
}

/* Height at which a curve enters the panel. */
static double start_of(const plot_panel *panel, const plot_curve *c)
{
    for (int i = 0; i < c->n; i++) {
        const double y = plot_axis_value(&panel->y, c->p[i].y, NULL);
        if (!isnan(y)) return plot_panel_y(panel, y);
    }
    return panel->top;
}

static double worst_displacement(const key_entry *entry, int n)
{
    double worst = 0;
    for (int i = 0; i < n; i++) worst = fmax(worst, fabs(entry[i].y - entry[i].target));
    return worst;
}

/* Places the names; returns whether they stand at the ends of their curves. Curves that all meet at
 * the right cannot be named there: they get a list in the order in which they enter. */
static bool place_names(key_entry *entry, int n, const plot_panel *panel, double bottom)
{
    const double top = panel->top - 6;
    if (n <= DIRECT_LABELS) {
        for (int i = 0; i < n; i++) entry[i].target = end_of(panel, &entry[i].curve);
        qsort(entry, (size_t)n, sizeof *entry, by_target);
        spread(entry, n, top, bottom);
        if (worst_displacement(entry, n) <= FARTHEST_LABEL) return true;
        for (int i = 0; i < n; i++) entry[i].target = start_of(panel, &entry[i].curve);
        qsort(entry, (size_t)n, sizeof *entry, by_target);
    }
    for (int i = 0; i < n; i++) entry[i].target = panel->top;
    spread(entry, n, top, bottom);
    return false;
}

static void draw_names(const plot_frame *frame, const plot_panel *panel, double width,
                       double bottom)
{
    key_entry entry[DLF_FIGURE_SERIES_MAX];
    const int n = collect_entries(frame, entry, width + 1);
    const bool direct = place_names(entry, n, panel, bottom);
    const double x = panel->right + 16;
    for (int i = 0; i < n; i++) {
        const key_entry *e = &entry[i];
        const char *colour = plot_text_colour(&e->curve, false);
        const double first = e->y - e->height / 2 + KEY_LINE / 2.0;
        char style[64];
        snprintf(style, sizeof style, "lw 0.6 lc rgb '%s'", colour);
        if (direct && fabs(first - e->target) > 3)
            plot_line(frame, panel->right + 2, e->target, x - 3, first, style);
        plot_swatch(frame, x, first, &e->curve, false);
        for (int k = 0; k < e->n_lines; k++)
            plot_label(frame, x + PLOT_SWATCH, first + KEY_LINE * k, e->line[k],
                       (plot_style){KEY, PLOT_LEFT, false, false, colour});
    }
}

/* ---- scales
 * -------------------------------------------------------------------------------------- */

static void include_curve(plot_panel *panel, const plot_curve *c)
{
    for (int i = 0; i < c->n; i++) {
        plot_scale_include(&panel->x, c->p[i].x);
        plot_scale_include(&panel->y, c->p[i].y);
        if (!c->interval) continue;
        plot_scale_include(&panel->y, c->p[i].lo);
        plot_scale_include(&panel->y, c->p[i].hi);
    }
}

static void fit_main(const plot_frame *frame, plot_panel *panel)
{
    plot_scale_start(&panel->x, frame->figure->x.log);
    plot_scale_start(&panel->y, frame->figure->y.log);
    for (int i = 0; i < frame->data->n; i++) {
        const plot_curve *c = &frame->data->curve[i];
        /* The x of a guide across the panel says nothing about the range of x. */
        if (c->role == DLF_REFERENCE && c->n == 1)
            plot_scale_include(&panel->y, c->p[0].y);
        else
            include_curve(panel, c);
        plot_note_rails(panel, c);
    }
    plot_scale_finish(&panel->x, 0.015, frame->width > WIDE_ENOUGH ? 7 : 5);
    plot_scale_finish(&panel->y, 0.04, 6);
}

/* Ratios around 1; logarithmic when measurement and theory differ by orders of magnitude. */
static void fit_residuals(const plot_frame *frame, plot_panel *panel, const plot_panel *main)
{
    double lo = 1, hi = 1, least = 1;
    for (int i = 0; i < frame->data->n_residuals; i++)
        for (int k = 0; k < frame->data->residual[i].n; k++) {
            const plot_point *p = &frame->data->residual[i].p[k];
            if (p->y > 0 && p->y < lo) lo = p->y;
            if (isfinite(p->y) && p->y < least) least = p->y;
            if (isfinite(p->y) && p->y > hi) hi = p->y;
            /* Intervals count too, but a wide one must not flatten the points. */
            if (isfinite(p->y) && p->lo < lo) lo = fmin(lo, fmax(p->lo, 0.5));
            if (isfinite(p->y) && p->hi > hi) hi = fmax(hi, fmin(p->hi, 2));
        }
    panel->x = main->x;
    plot_scale_start(&panel->y, hi / lo > 20);
    if (!panel->y.log) lo = fmin(lo, least); /* zero and below have a place there */
    plot_scale_include(&panel->y, fmin(lo, 0.98));
    plot_scale_include(&panel->y, fmax(hi, 1.02));
    for (int i = 0; i < frame->data->n_residuals; i++)
        plot_note_rails(panel, &frame->data->residual[i]);
    plot_scale_finish(&panel->y, 0.08, 4);
}

/* ---- the figure
 * ---------------------------------------------------------------------------------------- */

static void draw_residuals(plot_frame *frame, const plot_panel *panel)
{
    plot_next_panel(frame);
    plot_axes(frame, panel, plot_pick(frame, frame->figure->x.label),
              frame->zh ? "实测 / 理论" : "measured / theory");
    char style[] = "lw 1 lc rgb '#555555'";
    const double one = plot_panel_y(panel, panel->y.log ? 0 : 1);
    plot_line(frame, panel->left, one, panel->right, one, style);
    plot_curves(frame, panel, frame->data->residual, frame->data->n_residuals, false);
}

void plot_draw_lines(plot_frame *frame, int height)
{
    plot_panel panel = {0}, strip = {0};
    const bool residuals = frame->data->n_residuals > 0;
    fit_main(frame, &panel);
    if (residuals) fit_residuals(frame, &strip, &panel);
    const bool beside = frame->width >= WIDE_ENOUGH;
    const double key = beside ? key_width(frame) : 0;
    const double header = plot_header_height(frame), footer = plot_footer_height(frame);
    const double rows = beside ? 0 : plot_key_rows(frame, 0, false, false);
    const double below =
        52 + rows + (residuals ? 110 : 0); /* tick labels, axis label, keys, strip */
    const double main =
        height ? fmax(height - header - footer - below, 100) : fmax(300, frame->width * 0.42);
    frame->height = header + main + below + footer;

    panel.left = fmax(plot_left_margin(frame, &panel, frame->figure->y.label.en[0] != 0),
                      residuals ? plot_left_margin(frame, &strip, true) : 0);
    panel.right = frame->width - (key > 0 ? key + 16 + 10 : 22);
    panel.top = header + 4;
    panel.bottom = header + main;
    panel.x_labels = !residuals;
    strip.left = panel.left;
    strip.right = panel.right;
    strip.top = panel.bottom + 16;
    strip.bottom = panel.bottom + 110;
    strip.x_labels = true;

    plot_begin(frame);
    if (beside)
        draw_names(frame, &panel, key, residuals ? strip.bottom : panel.bottom + 30);
    else
        plot_key_rows(frame, frame->height - footer - rows - 2, false, true);
    plot_axes(frame, &panel, residuals ? "" : plot_pick(frame, frame->figure->x.label),
              plot_pick(frame, frame->figure->y.label));
    plot_curves(frame, &panel, frame->data->curve, frame->data->n, false);
    if (residuals) draw_residuals(frame, &strip);
}
