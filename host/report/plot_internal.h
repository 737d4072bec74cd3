/* SPDX-License-Identifier: MIT
 * plot_internal.h -- what the files plot*.c share. Lengths are px of the finished SVG, measured
 * from the top left corner. Every coordinate goes to gnuplot in axis units: log10 of the value on a
 * logarithmic axis, so that gnuplot only ever sees linear axes and we know where each point lands.
 */
#ifndef DLF_PLOT_INTERNAL_H
#define DLF_PLOT_INTERNAL_H
#include <stdbool.h>

#include "dlf/result.h"
#include "result/buffer.h"

/* ---- plot_data.c: the points of a figure ----------------------------------------------------- */

typedef struct plot_point {
    double x, y, lo, hi, z; /* values as in the table; NaN where the series has no such column */
    int group;              /* seed lines: which one, from 0 */
    double by;              /* the number in column `by`; NaN if text or none */
} plot_point;

typedef struct plot_curve {
    dlf_role role;
    int colour;
    bool points, interval; /* markers only; lo..hi are there */
    bool grey;             /* a control, or the theory of one */
    dlf_text label;
    plot_point *p; /* by group, then in the order of the table; other curves by x */
    int n, n_groups;
} plot_curve;

typedef struct plot_data {
    const dlf_figure *figure;
    plot_curve curve[DLF_FIGURE_SERIES_MAX];
    int n;
    plot_curve residual[DLF_FIGURE_SERIES_MAX]; /* measured / theory */
    int n_residuals;
    const char **category; /* bars: texts of x = 0, 1, ...; owned by the result, except numbers */
    char (*number_category)[24];
    dlf_text *category_label; /* what stands under the bars */
    int n_categories;
} plot_data;

DLF_MUST_CHECK dlf_status plot_data_collect(plot_data *data, const dlf_result *r,
                                            const dlf_figure *f);
void plot_data_free(plot_data *data);
void plot_data_csv(const plot_data *data, dlf_buffer *csv);

/* ---- plot_scale.c: axes -----------------------------------------------------------------------
 */

/* Where a value goes that the axis cannot show. */
typedef enum plot_rail {
    PLOT_ON_AXIS,
    PLOT_NAN,
    PLOT_INF,
    PLOT_NEG_INF,
    PLOT_NOT_POSITIVE
} plot_rail;
enum { PLOT_RAILS = 5, PLOT_TICKS = 96 };

typedef struct plot_tick {
    double at; /* axis units */
    char text[32];
    bool minor;
} plot_tick;

typedef struct plot_scale {
    bool log;
    double lo, hi; /* axis units; lo < hi once fitted */
    plot_tick tick[PLOT_TICKS];
    int n_ticks;
} plot_scale;

/* log10(value) on a logarithmic axis. NaN together with *rail != PLOT_ON_AXIS (rail may be NULL).
 */
double plot_axis_value(const plot_scale *scale, double value, plot_rail *rail);
void plot_scale_start(plot_scale *scale, bool log); /* nothing seen yet: lo > hi */
void plot_scale_include(plot_scale *scale, double value);
/* Widen by `padding` of the range at both ends (0: none) and choose at most about `labels` ticks.
 */
void plot_scale_finish(plot_scale *scale, double padding, int labels);
/* 0 at lo, 1 at hi. */
double plot_scale_unit(const plot_scale *scale, double axis_value);

/* ---- plot_text.c ------------------------------------------------------------------------------
 */

enum { PLOT_LINE = 512, PLOT_LINES = 6 };
double plot_text_width(const char *text, double size);
/* Lines no wider than `width`; the last one allowed ends in "…" if text is left. Returns their
 * number, 0 for an empty text. */
int plot_wrap(const char *text, double size, double width, int max_lines, char lines[][PLOT_LINE]);

/* ---- plot_frame.c: one drawing in one language --------------------------------------------------
 */

typedef struct plot_frame {
    dlf_buffer *script;
    const dlf_result *result;
    const dlf_figure *figure;
    const plot_data *data;
    bool zh;
    const char *font;
    bool ascii_minus; /* the font has no U+2212 */
    double width, height, panel_height;
    double header_bottom, footer_top;
    int n_blocks; /* $d0, $d1, ... */
} plot_frame;

/* The rectangle of axes inside a frame. */
typedef struct plot_panel {
    double left, right, top, bottom;
    plot_scale x, y;
    bool rail[PLOT_RAILS]; /* wanted */
    bool x_labels;
} plot_panel;

typedef enum plot_align { PLOT_LEFT, PLOT_CENTRE, PLOT_RIGHT } plot_align;
typedef struct plot_style {
    double size;
    plot_align align;
    bool bold, upright; /* upright: turned by 90 degrees */
    const char *colour;
} plot_style;

const char *plot_pick(const plot_frame *frame, dlf_text text);
void plot_quote(const plot_frame *frame, const char *text); /* as a gnuplot string */
/* `text` with its middle at height y. */
void plot_label(const plot_frame *frame, double x, double y, const char *text, plot_style style);
void plot_line(const plot_frame *frame, double x1, double y1, double x2, double y2,
               const char *style);
void plot_rectangle(const plot_frame *frame, double x1, double y1, double x2, double y2,
                    const char *fill);
void plot_marker(const plot_frame *frame, double x, double y, int type, double size,
                 const char *colour);

/* Frame height from its parts; then terminal-independent settings, title, footer. */
double plot_header_height(const plot_frame *frame);
double plot_footer_height(const plot_frame *frame);
void plot_begin(const plot_frame *frame);
/* Forget the labels, lines and rectangles of the panel before. */
void plot_next_panel(const plot_frame *frame);

/* ---- plot_panel.c: axes, curves, keys -----------------------------------------------------------
 */

double plot_panel_x(const plot_panel *panel, double axis_value);
double plot_panel_y(const plot_panel *panel, double axis_value);
/* Space to the left of the axes for tick labels (and rails' names) and the axis label. */
double plot_left_margin(const plot_frame *frame, const plot_panel *panel, bool has_label);
void plot_tick_text(const plot_frame *frame, const plot_tick *tick, char *text, size_t size);
void plot_axes(const plot_frame *frame, const plot_panel *panel, const char *x_label,
               const char *y_label);
/* Draw curves in a panel: datablocks, rails, then one plot command. */
void plot_curves(plot_frame *frame, const plot_panel *panel, const plot_curve *curve, int n,
                 bool over_image);
/* Bars with caps from column lo_column to the next one of datablock `data`, added to `plots`. */
void plot_intervals(dlf_buffer *plots, int data, int lo_column, const char *colour);
void plot_note_rails(plot_panel *panel, const plot_curve *curve);

const char *plot_colour(const plot_curve *curve, bool over_image);
const char *plot_text_colour(const plot_curve *curve, bool over_image);
int plot_marker_type(const plot_curve *curve);
/* The sample of a curve as it appears in a key. */
void plot_swatch(const plot_frame *frame, double x, double y, const plot_curve *curve,
                 bool over_image);
enum { PLOT_SWATCH = 26 };
/* Curve `i` as its key shows it: theories of one name have one entry (the first; n == 0 in the
 * others), in grey. */
plot_curve plot_key_curve(const plot_data *data, int i);
/* A key as rows of entries; with draw == false only its height. */
double plot_key_rows(const plot_frame *frame, double top, bool over_image, bool draw);

/* ---- the kinds
 * ------------------------------------------------------------------------------------ */

void plot_draw_lines(plot_frame *frame, int height);
void plot_draw_heatmap(plot_frame *frame, int height);
void plot_draw_bars(plot_frame *frame, int height);

/* ---- gnuplot.c: other programs
 * ---------------------------------------------------------------------- */

typedef struct plot_job {
    int pid;
    void *in, *out, *err; /* FILE * */
} plot_job;
/* Start `argv` with `input` on its stdin, no shell. errors DLF_ERR_NOT_FOUND (no such program). */
DLF_MUST_CHECK dlf_status plot_job_start(plot_job *job, const char *const *argv, const char *input,
                                         size_t size);
/* Wait; its stdout in `out`. errors DLF_ERR_INTERNAL with what it wrote to stderr. */
DLF_MUST_CHECK dlf_status plot_job_finish(plot_job *job, dlf_buffer *out);

typedef struct plot_fonts {
    bool has_zh, has_minus;
    char family[128];
} plot_fonts;
const plot_fonts *plot_find_fonts(void); /* asked once per process */
#endif
