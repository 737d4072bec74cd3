/* SPDX-License-Identifier: MIT
 * plot.h -- the figures of a result, as files and on a terminal. Pure functions of the result: the
 * same result gives the same bytes (SVG: with the same gnuplot; PNG: with the same fonts too).
 *
 * A figure reads like this: the title is the claim, the subtitle the set-up; every seed a thin
 * line, the centre thick with its 95 % band; theory dashed in a darker tone of the measured colour,
 * the control grey, guides dotted; with `residuals` a strip below shows measured / theory. Values
 * that an axis cannot show (NaN, Inf, and <= 0 on a logarithmic one) sit on rails at the edge of
 * the panel, and a line under the subtitle says where they begin. The footer names the run. */
#ifndef DLF_PLOT_H
#define DLF_PLOT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "dlf/result.h"

enum { DLF_PLOT_ZH = 1, DLF_PLOT_EN = 2 };
enum { DLF_PLOT_SVG = 1, DLF_PLOT_PNG = 2 };

/* Zero-initialised: every figure, both languages, both formats, default size. */
typedef struct dlf_plot_options {
    unsigned languages; /* DLF_PLOT_ZH | DLF_PLOT_EN; 0: both */
    unsigned formats;  /* DLF_PLOT_SVG | DLF_PLOT_PNG; 0: both                                    */
    int width, height; /* px, 360..4000; 0: 720 and as high as the contents need. Letters keep
                          their size (11 px and more: >= 7 pt when 720 px are printed 16 cm wide,
                          or 400 px 8.9 cm wide). PNG has twice as many pixels.                   */
    const char *figure; /* id of the only figure to draw; NULL: all                               */
    bool keep_script; /* also write <id>.<lang>.gp                                               */
    char *note;       /* if not NULL: receives "" or a sentence about what was replaced, e.g.
                         English labels because no Chinese font is installed                     */
    size_t note_size;
} dlf_plot_options;

/* Write DIR/<figure id>.<lang>.{svg,png} and DIR/<figure id>.points.csv (exactly the points drawn;
 * the middle name keeps it apart from a table of the same id). Creates DIR.
 *   needs   gnuplot 5.2 or newer with cairo terminals on PATH; fontconfig's fc-list for Chinese
 *   errors  DLF_ERR_NOT_FOUND  no gnuplot (the message says what to install; nothing is written),
 *                              or no figure `options.figure`
 *           DLF_ERR_ARG        width or height out of range
 *           DLF_ERR_OUTPUT, DLF_ERR_OOM, DLF_ERR_INTERNAL (gnuplot refused; its words follow) */
DLF_MUST_CHECK dlf_status dlf_plot(const dlf_result *r, const char *dir, dlf_plot_options options);

/* Draw one figure with characters, `width` columns wide (40..400, others are clamped), claim line
 * first. `lang` is "zh" or "en"; `ascii` avoids braille and every other non-ASCII mark of our own.
 *   errors  DLF_ERR_NOT_FOUND  no such figure
 *           DLF_ERR_OUTPUT, DLF_ERR_OOM */
DLF_MUST_CHECK dlf_status dlf_plot_terminal(const dlf_result *r, const char *figure,
                                            const char *lang, FILE *file, int width, bool ascii);
#endif
