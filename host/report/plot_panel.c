/* SPDX-License-Identifier: MIT
 * plot_panel.c -- axes and curves. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/plot_internal.h"

enum { TICK = 11, AXIS = 12, KEY = 12, RAIL = 15 };

/* ---- looks: Okabe and Ito's palette without its yellow, which white paper swallows
 * ------------------ */

enum { N_COLOURS = 7, N_MARKERS = 6 };
static const char *const colours[N_COLOURS] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                               "#56b4e9", "#e69f00", "#44449a"};
/* The same, darker: theory, and letters on white. */
static const char *const dark_colours[N_COLOURS] = {"#00436b", "#8a3d00", "#00614a", "#8c3f68",
                                                    "#1f6f9f", "#8f6200", "#2a2a66"};
/* Circle, triangle, square, diamond, triangle down, pentagon: filled, and open for the control. */
static const int markers[N_MARKERS] = {7, 9, 5, 13, 11, 15};

/* Over an image, cased in white: told apart on every colour below, and dark enough for print. */
enum { N_IMAGE_COLOURS = 4 };
static const char *const image_colours[N_IMAGE_COLOURS] = {"#000000", "#c2185b", "#5d3a9b",
                                                           "#8a3d00"};

/* Several controls in one figure differ in lightness, as they do in their markers. */
enum { N_GREYS = 4 };
static const char *const greys[N_GREYS] = {"#7a7a7a", "#a6a6a6", "#5a5a5a", "#c4c4c4"};

const char *plot_colour(const plot_curve *c, bool over_image)
{
    if (over_image)
        return c->role == DLF_MEASURED ? image_colours[c->colour % N_IMAGE_COLOURS] : "#000000";
    if (c->grey) return c->role == DLF_THEORY ? "#3a3a3a" : greys[c->colour % N_GREYS];
    if (c->role == DLF_REFERENCE) return "#4d4d4d";
    return (c->role == DLF_THEORY ? dark_colours : colours)[c->colour % N_COLOURS];
}

const char *plot_text_colour(const plot_curve *c, bool over_image)
{
    if (over_image) return plot_colour(c, true);
    if (c->grey || c->role == DLF_REFERENCE) return "#4d4d4d";
    return dark_colours[c->colour % N_COLOURS];
}

int plot_marker_type(const plot_curve *c)
{
    const int type = markers[c->colour % N_MARKERS];
    return c->role == DLF_CONTROL || c->role == DLF_THEORY ? type - 1 : type;
}

static const char *dash_of(const plot_curve *c)
{
    return c->role == DLF_THEORY ? "dt (10,5)" : c->role == DLF_REFERENCE ? "dt (2,4)" : "dt 1";
}

static double width_of(const plot_curve *c)
{
    return c->role == DLF_SEEDS       ? 0.6
           : c->role == DLF_REFERENCE ? 1.4
           : c->role == DLF_THEORY    ? 1.8
                                      : 2;
}

/* ---- axes
 * ------------------------------------------------------------------------------------------------
 */

/* Rails lie inside the axes: at the top NaN above +Inf, at the bottom <= 0 above -Inf. */
static double rail_height(const plot_panel *p, bool top)
{
    return RAIL * (top ? p->rail[PLOT_NAN] + p->rail[PLOT_INF]
                       : p->rail[PLOT_NEG_INF] + p->rail[PLOT_NOT_POSITIVE]);
}

static double rail_y(const plot_panel *p, plot_rail rail)
{
    const double half = RAIL / 2.0;
    switch (rail) {
    case PLOT_NAN: return p->top + half;
    case PLOT_INF: return p->top + half + RAIL * p->rail[PLOT_NAN];
    case PLOT_NEG_INF: return p->bottom - half;
    case PLOT_NOT_POSITIVE: return p->bottom - half - RAIL * p->rail[PLOT_NEG_INF];
    case PLOT_ON_AXIS: break;
    }
    return NAN;
}

double plot_panel_x(const plot_panel *p, double v)
{
    return p->left + plot_scale_unit(&p->x, v) * (p->right - p->left);
}

double plot_panel_y(const plot_panel *p, double v)
{
    const double bottom = p->bottom - rail_height(p, false), top = p->top + rail_height(p, true);
    return bottom - plot_scale_unit(&p->y, v) * (bottom - top);
}

/* y in axis units at a height in px: the range of gnuplot's axis includes the rails. */
static double y_at_px(const plot_panel *p, double px)
{
    const double bottom = p->bottom - rail_height(p, false), top = p->top + rail_height(p, true);
    return p->y.lo + (bottom - px) / (bottom - top) * (p->y.hi - p->y.lo);
}

static const char *rail_name(plot_rail rail)
{
    static const char *const names[] = {"", "NaN", "+Inf", "−Inf", "≤ 0"};
    return names[rail];
}

/* Width of a tick label: braces and carets of 10^{-3} are not drawn, the exponent is small. */
static double tick_width(const char *text)
{
    char base[32] = "", exponent[32] = "";
    sscanf(text, "%31[^^]^{%31[^}]}", base, exponent);
    return plot_text_width(base, TICK) + plot_text_width(exponent, TICK * 0.8);
}

double plot_left_margin(const plot_frame *frame, const plot_panel *p, bool has_label)
{
    double width = 0;
    (void)frame;
    for (int i = 0; i < p->y.n_ticks; i++) width = fmax(width, tick_width(p->y.tick[i].text));
    for (int i = PLOT_NAN; i < PLOT_RAILS; i++)
        if (p->rail[i]) width = fmax(width, plot_text_width(rail_name((plot_rail)i), TICK));
    return 14 + (has_label ? AXIS + 8 : 0) + width + 10;
}

/* With the minus sign of typography, if the font has it. */
void plot_tick_text(const plot_frame *frame, const plot_tick *tick, char *text, size_t size)
{
    const char *minus = frame->ascii_minus ? "-" : "−";
    text[0] = 0;
    for (const char *p = tick->text; *p; p++)
        strncat(text, *p == '-' ? minus : (char[]){*p, 0}, size - strlen(text) - 1);
}

static void ticks(const plot_frame *frame, const plot_scale *s, const char *axis, bool labels)
{
    dlf_buffer *b = frame->script;
    if (s->n_ticks == 0) {
        dlf_buffer_printf(b, "unset %stics\n", axis);
        return;
    }
    dlf_buffer_printf(b,
                      "set %stics nomirror out scale 0.6,0.35 enhanced font '%s,%d' tc rgb "
                      "'#333333' offset %s (",
                      axis, frame->font, TICK, axis[0] == 'x' ? "0,0.45" : "0.4,0");
    for (int i = 0; i < s->n_ticks; i++) {
        char text[64] = "";
        if (labels) plot_tick_text(frame, &s->tick[i], text, sizeof text);
        dlf_buffer_printf(b, "%s'%s' %.12g%s", i ? ", " : "", text, s->tick[i].at,
                          s->tick[i].minor ? " 1" : "");
    }
    dlf_buffer_puts(b, ")\n");
}

static void rails(const plot_frame *frame, const plot_panel *p)
{
    for (int i = PLOT_NAN; i < PLOT_RAILS; i++) {
        if (!p->rail[i]) continue;
        const double y = rail_y(p, (plot_rail)i);
        plot_rectangle(frame, p->left, y - RAIL / 2.0 + 0.5, p->right, y + RAIL / 2.0 - 0.5,
                       "behind fc rgb '#f3ecec' fs solid 1 noborder");
        plot_label(frame, p->left - 7, y, rail_name((plot_rail)i),
                   (plot_style){TICK, PLOT_RIGHT, false, false, "#9b1c1c"});
    }
}

void plot_axes(const plot_frame *frame, const plot_panel *p, const char *x_label,
               const char *y_label)
{
    const double w = frame->width, h = frame->height;
    dlf_buffer_printf(
        frame->script,
        "set lmargin at screen %.6f\nset rmargin at screen %.6f\n"
        "set tmargin at screen %.6f\nset bmargin at screen %.6f\n"
        "set xrange [%.12g:%.12g]\nset yrange [%.12g:%.12g]\n"
        "set border 3 lw 1 lc rgb '#555555'\n"
        "set grid noxtics ytics nomxtics nomytics back lt 1 lw 0.6 lc rgb '#e4e4e4'\n",
        p->left / w, p->right / w, 1 - p->top / h, 1 - p->bottom / h, p->x.lo, p->x.hi,
        y_at_px(p, p->bottom), y_at_px(p, p->top));
    ticks(frame, &p->x, "x", p->x_labels);
    ticks(frame, &p->y, "y", true);
    rails(frame, p);
    const plot_style style = {AXIS, PLOT_CENTRE, false, false, "#1a1a1a"};
    plot_style upright = style;
    upright.upright = true;
    char lines[1][PLOT_LINE];
    if (plot_wrap(x_label, AXIS, p->right - p->left + 40, 1, lines))
        plot_label(frame, (p->left + p->right) / 2, p->bottom + 30, lines[0], style);
    if (plot_wrap(y_label, AXIS, p->bottom - p->top + 40, 1, lines))
        plot_label(frame, 8 + AXIS, (p->top + p->bottom) / 2, lines[0], upright);
}

void plot_note_rails(plot_panel *panel, const plot_curve *c)
{
    for (int i = 0; i < c->n; i++) {
        plot_rail rail;
        plot_axis_value(&panel->y, c->p[i].y, &rail);
        if (rail != PLOT_ON_AXIS) panel->rail[rail] = true;
    }
}

/* ---- curves
 * ---------------------------------------------------------------------------------------------- */

static void draw_rail_points(const plot_frame *frame, const plot_panel *panel, const plot_curve *c,
                             bool over_image)
{
    int last[PLOT_RAILS] = {-1, -1, -1, -1, -1}; /* one marker per 3 px is all one can see */
    for (int i = 0; i < c->n; i++) {
        plot_rail rail;
        plot_axis_value(&panel->y, c->p[i].y, &rail);
        const double x = plot_axis_value(&panel->x, c->p[i].x, NULL);
        if (rail == PLOT_ON_AXIS || isnan(x)) continue;
        const double px = plot_panel_x(panel, x);
        if ((int)(px / 3) == last[rail]) continue;
        last[rail] = (int)(px / 3);
        plot_marker(frame, px, rail_y(panel, rail), plot_marker_type(c),
                    c->role == DLF_SEEDS ? 0.45 : 0.8, plot_colour(c, over_image));
    }
}

/* Axis value of a bound of an interval; what lies beyond the axis ends at its edge. */
static double bound(const plot_panel *panel, double value)
{
    plot_rail rail;
    const double v = plot_axis_value(&panel->y, value, &rail);
    if (rail == PLOT_NEG_INF || rail == PLOT_NOT_POSITIVE) return panel->y.lo;
    if (rail == PLOT_INF) return panel->y.hi;
    return fmin(fmax(v, panel->y.lo), panel->y.hi);
}

/* A datablock "x y lo hi"; a blank line where the curve is interrupted. Returns its number. */
static int block(plot_frame *frame, const plot_panel *panel, const plot_curve *c, bool bands)
{
    dlf_buffer *b = frame->script;
    dlf_buffer_printf(b, "$d%d << EOD\n", frame->n_blocks);
    bool gap = false;
    int group = -1, n = 0;
    for (int i = 0; i < c->n; i++) {
        const plot_point *p = &c->p[i];
        const double x = plot_axis_value(&panel->x, p->x, NULL);
        const double y = plot_axis_value(&panel->y, p->y, NULL);
        const double lo = isnan(p->lo) ? NAN : bound(panel, p->lo);
        const double hi = isnan(p->hi) ? NAN : bound(panel, p->hi);
        if (isnan(x) || isnan(y) || (bands && isnan(lo + hi))) {
            gap = true;
            continue;
        }
        if (n && (gap || p->group != group)) dlf_buffer_puts(b, "\n");
        gap = false;
        group = p->group;
        dlf_buffer_printf(b, "%.9g %.9g %.9g %.9g\n", x, y, isnan(lo) ? y : lo, isnan(hi) ? y : hi);
        n++;
    }
    /* An empty block would be an error: a point outside every axis. */
    if (n == 0) dlf_buffer_puts(b, "NaN NaN NaN NaN\n");
    dlf_buffer_puts(b, "EOD\n");
    return frame->n_blocks++;
}

/* A guide of one point crosses the whole panel. */
static int guide_block(plot_frame *frame, const plot_panel *panel, const plot_curve *c)
{
    const double y = plot_axis_value(&panel->y, c->p[0].y, NULL);
    dlf_buffer_printf(frame->script, "$d%d << EOD\n", frame->n_blocks);
    if (isnan(y))
        dlf_buffer_puts(frame->script, "NaN NaN\n");
    else
        dlf_buffer_printf(frame->script, "%.9g %.9g\n%.9g %.9g\n", panel->x.lo, y, panel->x.hi, y);
    dlf_buffer_puts(frame->script, "EOD\n");
    return frame->n_blocks++;
}

static void add_band(dlf_buffer *plots, int data, const plot_curve *c, bool over_image)
{
    dlf_buffer_printf(plots,
                      ", $d%d using 1:3:4 with filledcurves fs transparent solid 0.2 "
                      "noborder lc rgb '%s'",
                      data, plot_colour(c, over_image));
}

/* gnuplot's own error bars cut a white disc around the point. */
void plot_intervals(dlf_buffer *plots, int data, int lo_column, const char *colour)
{
    dlf_buffer_printf(plots,
                      ", $d%d using 1:%d:(0):($%d-$%d) with vectors heads size screen 0.005,90 "
                      "nofilled lw 1.2 lc rgb '%s'",
                      data, lo_column, lo_column + 1, lo_column, colour);
}

static void add_curve(dlf_buffer *plots, int data, const plot_curve *c, bool over_image)
{
    const char *colour = plot_colour(c, over_image);
    const int type = plot_marker_type(c);
    if (c->role == DLF_SEEDS) {
        /* The first two digits are the transparency. */
        dlf_buffer_printf(plots, ", $d%d using 1:2 with lines lw 0.6 lc rgb '#80%s'", data,
                          colour + 1);
        return;
    }
    if (over_image && c->points) /* white below keeps a mark visible on every colour */
        dlf_buffer_printf(plots, ", $d%d using 1:2 with points pt %d ps 1 lc rgb '#ffffff'", data,
                          type);
    else if (over_image)
        dlf_buffer_printf(plots, ", $d%d using 1:2 with lines lw 4.5 lc rgb '#ffffff'", data);
    if (c->points) {
        if (c->interval) plot_intervals(plots, data, 3, colour);
        dlf_buffer_printf(plots, ", $d%d using 1:2 with points pt %d ps %g lw 1.3 lc rgb '%s'",
                          data, over_image ? type - 1 : type, over_image ? 1.0 : 0.8, colour);
        return;
    }
    dlf_buffer_printf(plots, ", $d%d using 1:2 with lines lw %g %s lc rgb '%s'", data, width_of(c),
                      dash_of(c), colour);
    const bool marked = (c->role == DLF_MEASURED || c->role == DLF_CONTROL) && !over_image;
    if (marked) /* markers tell curves apart without colour; not so many that they hide the line */
        dlf_buffer_printf(plots,
                          ", $d%d every %d using 1:2 with points pt %d ps 0.7 lw 1.2 lc rgb '%s'",
                          data, c->n > 24 ? c->n / 12 : 1, type, colour);
}

void plot_curves(plot_frame *frame, const plot_panel *panel, const plot_curve *curve, int n,
                 bool over_image)
{
    static const dlf_role order[] = {DLF_SEEDS, DLF_REFERENCE, DLF_CONTROL, DLF_MEASURED,
                                     DLF_THEORY};
    dlf_buffer bands = {0}, plots = {0};
    for (int k = 0; k < 10; k++) { /* lines first, markers on top of them */
        for (int i = 0; i < n; i++) {
            const plot_curve *c = &curve[i];
            if (c->role != order[k % 5] || c->points != (k >= 5) || c->n == 0) continue;
            draw_rail_points(frame, panel, c, over_image);
            if (c->interval && !c->points)
                add_band(&bands, block(frame, panel, c, true), c, over_image);
            const bool guide = c->role == DLF_REFERENCE && c->n == 1;
            add_curve(&plots, guide ? guide_block(frame, panel, c) : block(frame, panel, c, false),
                      c, over_image);
        }
    }
    dlf_buffer *b = frame->script;
    dlf_buffer_puts(b, "plot NaN notitle");
    if (bands.data) dlf_buffer_puts(b, bands.data);
    if (plots.data) dlf_buffer_puts(b, plots.data);
    dlf_buffer_puts(b, "\n");
    b->failed |= bands.failed | plots.failed;
    dlf_buffer_free(&bands);
    dlf_buffer_free(&plots);
}

/* ---- keys
 * ----------------------------------------------------------------------------------------------------
 */

void plot_swatch(const plot_frame *frame, double x, double y, const plot_curve *c, bool over_image)
{
    char style[96];
    snprintf(style, sizeof style, "lw %g %s lc rgb '%s'", width_of(c), dash_of(c),
             plot_colour(c, over_image));
    const bool bars = frame->figure->kind == DLF_BARS;
    if (bars && (c->role == DLF_MEASURED || c->role == DLF_CONTROL)) {
        snprintf(style, sizeof style, "front fc rgb '%s' fs solid 0.85 noborder",
                 plot_colour(c, false));
        plot_rectangle(frame, x + 4, y - 5, x + PLOT_SWATCH - 8, y + 5, style);
        return;
    }
    if (!c->points) plot_line(frame, x, y, x + PLOT_SWATCH - 4, y, style);
    if (c->points || ((c->role == DLF_MEASURED || c->role == DLF_CONTROL) && !over_image))
        plot_marker(frame, x + (PLOT_SWATCH - 4) / 2.0, y, plot_marker_type(c) - over_image, 0.8,
                    plot_colour(c, over_image));
}

plot_curve plot_key_curve(const plot_data *data, int i)
{
    plot_curve c = data->curve[i];
    for (int k = 0; k < data->n && c.role == DLF_THEORY && c.label.en; k++) {
        const plot_curve *other = &data->curve[k];
        if (k == i || other->role != DLF_THEORY || strcmp(other->label.en, c.label.en)) continue;
        if (k < i) c.n = 0; /* named already */
        c.grey = true;
    }
    return c;
}

double plot_key_rows(const plot_frame *frame, double top, bool over_image, bool draw)
{
    const double left = 14, right = frame->width - 14, row = 18;
    double x = left, y = top + row / 2;
    bool any = false;
    for (int i = over_image ? 1 : 0; i < frame->data->n; i++) {
        const plot_curve common = plot_key_curve(frame->data, i), *c = &common;
        char lines[1][PLOT_LINE];
        if (c->role == DLF_SEEDS || c->n == 0) continue;
        if (!plot_wrap(plot_pick(frame, c->label), KEY, right - left - PLOT_SWATCH, 1, lines))
            continue;
        const double width = PLOT_SWATCH + plot_text_width(lines[0], KEY);
        if (any && x + width > right) {
            x = left;
            y += row;
        }
        if (draw) {
            plot_swatch(frame, x, y, c, over_image);
            plot_label(frame, x + PLOT_SWATCH, y, lines[0],
                       (plot_style){KEY, PLOT_LEFT, false, false, plot_text_colour(c, over_image)});
        }
        x += width + 18;
        any = true;
    }
    return any ? y + row / 2 - top : 0;
}
