/* SPDX-License-Identifier: MIT
 * plot.c -- figures as files: collect points, write a gnuplot script per language, run it for each
 * format, name the SVG for screen readers, store. */
#include "report/plot.h"

#include <stdlib.h>
#include <string.h>

#include "report/plot_internal.h"
#include "result/atomic_file.h"

enum { DEFAULT_WIDTH = 720, LEAST_SIZE = 360, MOST_SIZE = 4000 };

/* Families of viewers that do not have the font the figure was laid out with. */
static const char fallback_fonts[] =
    ", 'Noto Sans CJK SC', 'Microsoft YaHei', 'PingFang SC', SimHei, sans-serif";

static dlf_status oom(void)
{
    return dlf_fail(DLF_ERR_OOM, "out of memory drawing a figure");
}

/* ---- script -------------------------------------------------------------------------------------
 */

/* gnuplot counts PNG font sizes in points of 4/3 px and SVG ones in px; PNG has two pixels per px.
 */
static void terminal(dlf_buffer *b, const plot_frame *frame, bool svg)
{
    if (svg)
        dlf_buffer_printf(b,
                          "set terminal svg size %.0f,%.0f enhanced font '%s,12' background "
                          "'#ffffff'\n",
                          frame->width, frame->height, frame->font);
    else
        dlf_buffer_printf(b,
                          "set terminal pngcairo size %.0f,%.0f enhanced font '%s,12' fontscale "
                          "1.5 linewidth 2 pointscale 2 background '#ffffff'\n",
                          2 * frame->width, 2 * frame->height, frame->font);
}

static void draw(plot_frame *frame, int height)
{
    switch (frame->figure->kind) {
    case DLF_LINES: plot_draw_lines(frame, height); break;
    case DLF_HEATMAP: plot_draw_heatmap(frame, height); break;
    case DLF_BARS: plot_draw_bars(frame, height); break;
    }
    dlf_buffer_puts(frame->script, "unset multiplot\n");
}

/* ---- SVG after gnuplot
 * ---------------------------------------------------------------------------- */

static void xml_text(dlf_buffer *b, const char *text)
{
    for (; *text; text++) {
        if (*text == '&')
            dlf_buffer_puts(b, "&amp;");
        else if (*text == '<')
            dlf_buffer_puts(b, "&lt;");
        else if (*text == '>')
            dlf_buffer_puts(b, "&gt;");
        else if ((unsigned char)*text < 0x20)
            dlf_buffer_puts(b, " ");
        else
            dlf_buffer_append(b, text, 1);
    }
}

static bool starts(const char *text, const char *word)
{
    return !strncmp(text, word, strlen(word));
}

/* Skip `text` from its opening tag up to and with `end`. */
static const char *behind(const char *text, const char *end)
{
    const char *found = strstr(text, end);
    return found ? found + strlen(end) : text + strlen(text);
}

static void font_attribute(dlf_buffer *b, const char **text)
{
    const char *name = *text + strlen("font-family=\"");
    const size_t length = strcspn(name, ":\"");
    const bool bold = starts(name + length, ":Bold");
    dlf_buffer_printf(b, "font-family=\"'%.*s'%s\"%s", (int)length, name, fallback_fonts,
                      bold ? " font-weight=\"bold\"" : "");
    *text = name + strcspn(name, "\"") + 1;
}

/* gnuplot's SVG with our title and description, fonts that other machines have, crisp images, and
 * without the tool tips "gnuplot_plot_1". */
static void finish_svg(dlf_buffer *out, const char *svg, const plot_frame *frame)
{
    bool named = false;
    while (*svg) {
        if (starts(svg, "<svg ")) {
            dlf_buffer_printf(out, "<svg role=\"img\" lang=\"%s\" ", frame->zh ? "zh-CN" : "en");
            svg += strlen("<svg ");
        } else if (starts(svg, "<title>")) {
            svg = behind(svg, "</title>");
            if (named) continue;
            named = true;
            dlf_buffer_puts(out, "<title>");
            xml_text(out, plot_pick(frame, frame->figure->title));
            dlf_buffer_puts(out, "</title>");
        } else if (starts(svg, "<desc>")) {
            svg = behind(svg, "</desc>");
            dlf_buffer_puts(out, "<desc>");
            xml_text(out, plot_pick(frame, frame->figure->subtitle));
            dlf_buffer_puts(out, "</desc>");
        } else if (starts(svg, "font-family=\"")) {
            font_attribute(out, &svg);
        } else if (starts(svg, "<image ")) {
            dlf_buffer_puts(out, "<image style=\"image-rendering:pixelated\" ");
            svg += strlen("<image ");
        } else {
            const size_t n = 1 + strcspn(svg + 1, "<f");
            dlf_buffer_append(out, svg, n);
            svg += n;
        }
    }
}

/* ---- files
 * ---------------------------------------------------------------------------------------- */

static dlf_status write_as(const char *dir, const char *id, const char *extension,
                           const dlf_buffer *data)
{
    char name[300];
    snprintf(name, sizeof name, "%.200s.%s", id, extension);
    char *path = data->failed ? NULL : dlf_path_join(dir, name);
    if (!path) return oom();
    const dlf_status status = dlf_write_file_atomically(path, data->data, data->size);
    free(path);
    return status;
}

typedef struct drawing {
    plot_frame frame;
    dlf_buffer body, script[2], output[2], svg; /* [0] SVG, [1] PNG */
    plot_job job[2];
    bool wanted[2], running[2];
} drawing;

static dlf_status start(drawing *d, int height)
{
    d->frame.script = &d->body;
    draw(&d->frame, height);
    for (int k = 0; k < 2; k++) {
        if (!d->wanted[k]) continue;
        terminal(&d->script[k], &d->frame, k == 0);
        if (d->body.data) dlf_buffer_puts(&d->script[k], d->body.data);
        if (d->body.failed || d->script[k].failed) return oom();
        const char *const argv[] = {"gnuplot", "-d", NULL}; /* no start-up files of the user */
        const dlf_status status =
            plot_job_start(&d->job[k], argv, d->script[k].data, d->script[k].size);
        if (status == DLF_ERR_NOT_FOUND)
            return dlf_fail(DLF_ERR_NOT_FOUND,
                            "figures need gnuplot, which is not on PATH; install "
                            "it (Debian, Ubuntu: apt-get install gnuplot-nox) or "
                            "plot to the terminal");
        if (status != DLF_OK) return status;
        d->running[k] = true;
    }
    return DLF_OK;
}

/* Wait for what runs (also after a failure: nobody else would). */
static dlf_status finish(drawing *d, dlf_status status)
{
    for (int k = 0; k < 2; k++) {
        if (!d->running[k]) continue;
        const dlf_status done = plot_job_finish(&d->job[k], &d->output[k]);
        if (status == DLF_OK) status = done;
        if (status == DLF_OK && d->output[k].size == 0)
            status = dlf_fail(DLF_ERR_INTERNAL, "gnuplot drew nothing for figure %s",
                              d->frame.figure->id);
    }
    return status;
}

/* `zh` is the name of the file, whatever the language of its words. */
static dlf_status store(drawing *d, const char *dir, bool zh, bool keep_script)
{
    const char *id = d->frame.figure->id;
    if (d->wanted[0]) {
        finish_svg(&d->svg, d->output[0].data, &d->frame);
        DLF_TRY(write_as(dir, id, zh ? "zh.svg" : "en.svg", &d->svg));
    }
    if (d->wanted[1]) DLF_TRY(write_as(dir, id, zh ? "zh.png" : "en.png", &d->output[1]));
    if (keep_script)
        DLF_TRY(write_as(dir, id, zh ? "zh.gp" : "en.gp", &d->script[d->wanted[0] ? 0 : 1]));
    return DLF_OK;
}

static void drawing_free(drawing *d)
{
    dlf_buffer_free(&d->body);
    dlf_buffer_free(&d->svg);
    for (int k = 0; k < 2; k++) {
        dlf_buffer_free(&d->script[k]);
        dlf_buffer_free(&d->output[k]);
    }
}

/* ---- one figure
 * -------------------------------------------------------------------------------------- */

static dlf_status draw_languages(const dlf_result *r, const plot_data *data, const char *dir,
                                 const dlf_plot_options *o)
{
    const plot_fonts *fonts = plot_find_fonts();
    drawing d[2] = {0};
    dlf_status status = DLF_OK;
    for (int k = 0; k < 2 && status == DLF_OK; k++) {
        if (!(o->languages & (k == 0 ? DLF_PLOT_ZH : DLF_PLOT_EN))) continue;
        d[k].frame = (plot_frame){.result = r,
                                  .figure = data->figure,
                                  .data = data,
                                  .zh = k == 0,
                                  .font = fonts->family,
                                  .ascii_minus = !fonts->has_minus,
                                  .width = o->width};
        /* Boxes instead of letters help nobody: the Chinese file then speaks English. */
        if (!fonts->has_zh) d[k].frame.zh = false;
        d[k].wanted[0] = o->formats & DLF_PLOT_SVG;
        d[k].wanted[1] = o->formats & DLF_PLOT_PNG;
        status = start(&d[k], o->height);
    }
    for (int k = 0; k < 2; k++) status = finish(&d[k], status);
    for (int k = 0; k < 2 && status == DLF_OK; k++) {
        if (!d[k].frame.figure) continue;
        status = store(&d[k], dir, k == 0, o->keep_script);
    }
    for (int k = 0; k < 2; k++) drawing_free(&d[k]);
    return status;
}

static dlf_status draw_figure(const dlf_result *r, const dlf_figure *f, const char *dir,
                              const dlf_plot_options *o)
{
    plot_data data;
    dlf_buffer csv = {0};
    DLF_TRY(plot_data_collect(&data, r, f));
    dlf_status status = draw_languages(r, &data, dir, o);
    if (status == DLF_OK) {
        plot_data_csv(&data, &csv);
        status = write_as(dir, f->id, "points.csv", &csv);
    }
    dlf_buffer_free(&csv);
    plot_data_free(&data);
    return status;
}

static void note_fonts(const dlf_plot_options *o)
{
    const plot_fonts *fonts = plot_find_fonts();
    if (!o->note || o->note_size == 0) return;
    const bool replaced = (o->languages & DLF_PLOT_ZH) && !fonts->has_zh;
    snprintf(o->note, o->note_size, "%s",
             replaced
                 ? "no Chinese font was found, so the .zh figures carry English labels; install "
                   "one (Debian, Ubuntu: apt-get install fonts-noto-cjk)"
                 : "");
}

static bool size_is_bad(int size)
{
    return size != 0 && (size < LEAST_SIZE || size > MOST_SIZE);
}

dlf_status dlf_plot(const dlf_result *r, const char *dir, dlf_plot_options options)
{
    dlf_plot_options *o = &options;
    if (size_is_bad(o->width) || size_is_bad(o->height))
        return dlf_fail(DLF_ERR_ARG, "a figure of %d x %d px; both must lie in %d..%d", o->width,
                        o->height, LEAST_SIZE, MOST_SIZE);
    if (!o->width) o->width = DEFAULT_WIDTH;
    if (!o->languages) o->languages = DLF_PLOT_ZH | DLF_PLOT_EN;
    if (!o->formats) o->formats = DLF_PLOT_SVG | DLF_PLOT_PNG;
    note_fonts(o);
    DLF_TRY(dlf_make_directories(dir));
    bool found = !o->figure;
    for (int i = 0; i < dlf_result_figures(r); i++) {
        const dlf_figure *f = dlf_result_get_figure(r, i);
        if (o->figure && strcmp(o->figure, f->id)) continue;
        found = true;
        DLF_TRY(draw_figure(r, f, dir, o));
    }
    return found ? DLF_OK
                 : dlf_fail(DLF_ERR_NOT_FOUND, "%s has no figure '%s'", dlf_result_experiment(r),
                            o->figure);
}
