/* SPDX-License-Identifier: MIT
 * plot_frame.c -- what surrounds the axes: title, set-up, remarks about values off the axes,
 * footer; and the primitives everything is drawn with. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report/plot_internal.h"
#include "result/utf8.h"

enum { MARGIN = 14, TITLE = 16, SUBTITLE = 12, REMARK = 11, FOOTER = 11, REMARKS = 4 };
static const double title_line = 21, subtitle_line = 17, remark_line = 15, footer_line = 14;

/* ---- primitives ---------------------------------------------------------------------------------
 */

const char *plot_pick(const plot_frame *frame, dlf_text text)
{
    const char *picked = frame->zh ? text.zh : text.en;
    return picked ? picked : "";
}

/* In single quotes gnuplot expands nothing; the quote itself is doubled. Results come from files
 * that anyone may have written: a title must not become a command. */
void plot_quote(const plot_frame *frame, const char *text)
{
    dlf_buffer *b = frame->script;
    dlf_buffer_puts(b, "'");
    uint32_t c;
    for (int n; (n = dlf_utf8_decode(text, &c)) != 0; text += n < 0 ? 1 : n) {
        if (n < 0 || c < 0x20 || c == 0x7F)
            dlf_buffer_puts(b, " ");
        else if (c == '\'')
            dlf_buffer_puts(b, "''");
        else if (c == 0x2212 && frame->ascii_minus)
            dlf_buffer_puts(b, "-");
        else
            dlf_buffer_append(b, text, (size_t)n);
    }
    dlf_buffer_puts(b, "'");
}

static void at(const plot_frame *frame, double x, double y)
{
    dlf_buffer_printf(frame->script, " screen %.6f,screen %.6f", x / frame->width,
                      1 - y / frame->height);
}

void plot_label(const plot_frame *frame, double x, double y, const char *text, plot_style style)
{
    static const char *const align[] = {"left", "center", "right"};
    dlf_buffer_puts(frame->script, "set label ");
    plot_quote(frame, text);
    dlf_buffer_puts(frame->script, " at");
    at(frame, x, y);
    dlf_buffer_printf(frame->script, " %s%s noenhanced font '%s%s,%g' tc rgb '%s' front\n",
                      align[style.align], style.upright ? " rotate by 90" : "", frame->font,
                      style.bold ? ":Bold" : "", style.size, style.colour);
}

void plot_line(const plot_frame *frame, double x1, double y1, double x2, double y2,
               const char *style)
{
    dlf_buffer_puts(frame->script, "set arrow from");
    at(frame, x1, y1);
    dlf_buffer_puts(frame->script, " to");
    at(frame, x2, y2);
    dlf_buffer_printf(frame->script, " nohead %s front\n", style);
}

void plot_rectangle(const plot_frame *frame, double x1, double y1, double x2, double y2,
                    const char *fill)
{
    dlf_buffer_puts(frame->script, "set object rectangle from");
    at(frame, x1, y1);
    dlf_buffer_puts(frame->script, " to");
    at(frame, x2, y2);
    dlf_buffer_printf(frame->script, " %s\n", fill);
}

void plot_marker(const plot_frame *frame, double x, double y, int type, double size,
                 const char *colour)
{
    dlf_buffer_puts(frame->script, "set label '' at");
    at(frame, x, y);
    dlf_buffer_printf(frame->script, " point pt %d ps %g lw 1.2 lc rgb '%s' front\n", type, size,
                      colour);
}

/* ---- remarks: values that are on rails or nowhere
 * -------------------------------------------------- */

/* Label of the arm a curve belongs to: seed lines have none of their own. */
static dlf_text arm_label(const plot_data *data, const plot_curve *c)
{
    for (int i = 0; i < data->n && !(c->label.en && c->label.en[0]); i++)
        if (data->curve[i].colour == c->colour && data->curve[i].role != DLF_SEEDS &&
            data->curve[i].role != DLF_REFERENCE)
            return data->curve[i].label;
    return c->label;
}

static int count_groups_off_axis(const plot_curve *c, const plot_scale *y)
{
    int groups = 0;
    for (int i = 0, last = -1; i < c->n; i++) {
        plot_rail rail;
        plot_axis_value(y, c->p[i].y, &rail);
        if (rail == PLOT_ON_AXIS || c->p[i].group == last) continue;
        last = c->p[i].group;
        groups++;
    }
    return groups;
}

/* "from 12 on (2 of 3 seeds)"; of bars the first category, as they have no order. */
static void remark_tail(const plot_frame *frame, const plot_curve *c, const plot_scale *y,
                        double first, int count, char *text, size_t size)
{
    const bool zh = frame->zh;
    char where[200];
    if (frame->figure->kind == DLF_BARS)
        snprintf(where, sizeof where, "%.100s%s",
                 plot_pick(frame, frame->data->category_label[(int)first]),
                 count > 1 ? (zh ? " 等" : ", ...") : "");
    else
        snprintf(where, sizeof where, zh ? "自 %.4g 起" : "from %.4g on", first);
    if (c->role == DLF_SEEDS)
        snprintf(text, size, zh ? "%s（%d/%d 个种子）" : "%s (%d of %d seeds)", where,
                 count_groups_off_axis(c, y), c->n_groups);
    else
        snprintf(text, size,
                 zh           ? "%s（%d 个点）"
                 : count == 1 ? "%s (%d point)"
                              : "%s (%d points)",
                 where, count);
}

/* "sigmoid: NaN/Inf from 12 on (2 of 3 seeds)". */
static bool remark(const plot_frame *frame, const plot_curve *c, char *text, size_t size)
{
    const plot_scale y = {.log = frame->figure->y.log};
    int count = 0;
    bool seen[PLOT_RAILS] = {false};
    double first = INFINITY;
    for (int i = 0; i < c->n; i++) {
        plot_rail rail;
        plot_axis_value(&y, c->p[i].y, &rail);
        seen[rail] = true;
        if (rail == PLOT_ON_AXIS) continue;
        count++;
        if (c->p[i].x < first) first = c->p[i].x;
    }
    if (count == 0) return false;
    const bool inf = seen[PLOT_INF] || seen[PLOT_NEG_INF], low = seen[PLOT_NOT_POSITIVE];
    char tail[300];
    remark_tail(frame, c, &y, first, count, tail, sizeof tail);
    snprintf(text, size, frame->zh ? "%.200s：%s%s%s%s%s，%s" : "%.200s: %s%s%s%s%s %s",
             plot_pick(frame, arm_label(frame->data, c)), seen[PLOT_NAN] ? "NaN" : "",
             seen[PLOT_NAN] && inf ? "/" : "", inf ? "Inf" : "",
             low && (inf || seen[PLOT_NAN]) ? "/" : "", low ? "≤ 0" : "", tail);
    return true;
}

static int count_lost(const plot_frame *frame)
{
    const plot_scale x = {.log = frame->figure->x.log};
    int lost = 0;
    for (int i = 0; i < frame->data->n; i++)
        for (int k = 0; k < frame->data->curve[i].n; k++) {
            plot_rail rail;
            plot_axis_value(&x, frame->data->curve[i].p[k].x, &rail);
            lost += rail != PLOT_ON_AXIS;
        }
    return lost;
}

/* The seeds of an arm tell more than its centre, which is NaN as soon as one of them is. */
static bool seeds_say_it(const plot_frame *frame, int curve)
{
    const plot_scale y = {.log = frame->figure->y.log};
    const plot_curve *c = &frame->data->curve[curve];
    for (int i = 0; i < frame->data->n; i++) {
        const plot_curve *seeds = &frame->data->curve[i];
        if (i != curve && seeds->role == DLF_SEEDS && seeds->colour == c->colour &&
            c->role != DLF_SEEDS && count_groups_off_axis(seeds, &y) > 0)
            return true;
    }
    return false;
}

static int remarks(const plot_frame *frame, char lines[REMARKS][PLOT_LINE])
{
    int n = 0;
    const int lost = frame->figure->kind == DLF_BARS ? 0 : count_lost(frame);
    if (lost)
        snprintf(lines[n++], PLOT_LINE,
                 frame->zh ? "未画出：%d 个点的横坐标不是有限值，或在对数轴上 ≤ 0"
                           : "Not drawn: %d points whose x is not finite, or ≤ 0 on a log axis",
                 lost);
    for (int i = 0; i < frame->data->n && n < REMARKS; i++) {
        if (frame->figure->kind == DLF_HEATMAP && i == 0) continue; /* grey cells, see its key */
        if (seeds_say_it(frame, i)) continue;
        n += remark(frame, &frame->data->curve[i], lines[n], PLOT_LINE);
    }
    return n;
}

/* ---- header and footer
 * ------------------------------------------------------------------------------- */

static int title_lines(const plot_frame *frame, char lines[][PLOT_LINE])
{
    return plot_wrap(plot_pick(frame, frame->figure->title), TITLE * 1.04,
                     frame->width - 2 * MARGIN, 3, lines);
}

static int subtitle_lines(const plot_frame *frame, char lines[][PLOT_LINE])
{
    return plot_wrap(plot_pick(frame, frame->figure->subtitle), SUBTITLE, frame->width - 2 * MARGIN,
                     3, lines);
}

static int footer_lines(const plot_frame *frame, char lines[][PLOT_LINE])
{
    const dlf_manifest *m = dlf_result_manifest(frame->result);
    char text[1024];
    snprintf(text, sizeof text,
             frame->zh ? "%s · git %s · %s · %d 个种子 · %s %.200s"
                       : "%s · git %s · %s · %d seeds · %s %.200s",
             dlf_result_experiment(frame->result), m->git, m->mode, m->seeds, m->backend,
             m->device);
    const double width = frame->width - 2 * MARGIN;
    int n = plot_wrap(text, FOOTER, width, 1, lines);
    snprintf(text, sizeof text, "$ %.900s", m->command);
    if (m->command[0]) n += plot_wrap(text, FOOTER, width, 1, lines + n);
    return n;
}

double plot_header_height(const plot_frame *frame)
{
    char lines[PLOT_LINES][PLOT_LINE];
    double height = 12 + title_line * title_lines(frame, lines);
    height += subtitle_line * subtitle_lines(frame, lines);
    return height + remark_line * remarks(frame, lines) + 8;
}

double plot_footer_height(const plot_frame *frame)
{
    char lines[PLOT_LINES][PLOT_LINE];
    return 8 + footer_line * footer_lines(frame, lines) + 8;
}

void plot_begin(const plot_frame *frame)
{
    char lines[PLOT_LINES][PLOT_LINE];
    double y = 12;
    dlf_buffer_puts(frame->script, "set encoding utf8\nset multiplot\nunset key\nunset colorbox\n"
                                   "set style fill transparent solid 0.2 noborder\n");
    int n = title_lines(frame, lines);
    for (int i = 0; i < n; i++, y += title_line)
        plot_label(frame, MARGIN, y + title_line / 2, lines[i],
                   (plot_style){TITLE, PLOT_LEFT, true, false, "#1a1a1a"});
    n = subtitle_lines(frame, lines);
    for (int i = 0; i < n; i++, y += subtitle_line)
        plot_label(frame, MARGIN, y + subtitle_line / 2, lines[i],
                   (plot_style){SUBTITLE, PLOT_LEFT, false, false, "#505050"});
    n = remarks(frame, lines);
    for (int i = 0; i < n; i++, y += remark_line) {
        char line[1][PLOT_LINE];
        plot_wrap(lines[i], REMARK, frame->width - 2 * MARGIN, 1, line);
        plot_label(frame, MARGIN, y + remark_line / 2, line[0],
                   (plot_style){REMARK, PLOT_LEFT, false, false, "#9b1c1c"});
    }
    n = footer_lines(frame, lines);
    y = frame->height - 8 - footer_line * n;
    plot_line(frame, MARGIN, y - 4, frame->width - MARGIN, y - 4, "lw 0.75 lc rgb '#d0d0d0'");
    for (int i = 0; i < n; i++, y += footer_line)
        plot_label(frame, MARGIN, y + footer_line / 2, lines[i],
                   (plot_style){FOOTER, PLOT_LEFT, false, false, "#707070"});
}

void plot_next_panel(const plot_frame *frame)
{
    dlf_buffer_puts(frame->script, "unset label\nunset arrow\nunset object\n");
}
