/* SPDX-License-Identifier: MIT
 * plot_text.c -- how wide a text is and where it may break. gnuplot guesses widths from the number
 * of bytes, which fails for Chinese; these are the advance widths of the font we ask for. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "report/plot_internal.h"
#include "result/utf8.h"

/* U+0020..U+007E of Noto Sans CJK SC, 1/1000 em. */
static const short ascii_width[95] = {
    224, 323, 474, 555, 555, 921, 680, 278, 338, 338, 467, 555, 278, 347, 278, 392, 555, 555, 555,
    555, 555, 555, 555, 555, 555, 555, 278, 278, 555, 555, 555, 474, 946, 608, 657, 638, 688, 589,
    552, 689, 728, 293, 535, 646, 543, 812, 723, 742, 633, 742, 635, 596, 599, 721, 575, 878, 573,
    531, 603, 338, 392, 338, 555, 559, 606, 563, 618, 510, 620, 554, 325, 564, 607, 275, 275, 552,
    284, 926, 610, 606, 620, 620, 388, 468, 377, 607, 521, 802, 498, 521, 475, 338, 270, 338, 555};

static double character_width(uint32_t c)
{
    if (c >= 0x20 && c <= 0x7E) return ascii_width[c - 0x20] / 1000.0;
    if (dlf_utf8_columns(c) == 0) return 0;
    /* Greek and Latin letters are narrow; what else is not ASCII is a full square in this font. */
    return c < 0x2000 && c != 0xB7 && c != 0xD7 && c != 0xB1 ? 0.62 : 1.0;
}

double plot_text_width(const char *text, double size)
{
    double width = 0;
    uint32_t c;
    for (int n; (n = dlf_utf8_decode(text, &c)) != 0; text += n < 0 ? 1 : n)
        width += n < 0 ? 0.6 : character_width(c);
    return width * size;
}

/* Chinese may break before any character that does not belong to the one before it. */
static bool may_break_before(uint32_t c)
{
    static const uint32_t closing[] = {0xFF0C, 0x3002, 0xFF1B, 0xFF1A, 0x3001, 0xFF09, 0xFF01,
                                       0xFF1F, 0x300B, 0x300D, 0x201D, 0x2026, 0x3011};
    for (size_t i = 0; i < sizeof closing / sizeof closing[0]; i++)
        if (c == closing[i]) return false;
    return dlf_utf8_columns(c) == 2;
}

static bool opens(uint32_t c)
{
    return c == 0xFF08 || c == 0x201C || c == 0x300A || c == 0x300C;
}

/* Bytes of `text` that fit on one line. */
static size_t line_length(const char *text, double size, double width)
{
    double used = 0;
    size_t at = 0, break_at = 0;
    uint32_t c, previous = 0;
    for (int n; (n = dlf_utf8_decode(text + at, &c)) != 0; at += (size_t)(n < 0 ? 1 : n)) {
        if (n < 0) c = '?';
        const bool after_wide = dlf_utf8_columns(previous) == 2 && c > 0x7E ? may_break_before(c)
                                : dlf_utf8_columns(previous) == 2 ? c != ' ' && c != ',' && c != '.'
                                                                  : may_break_before(c);
        /* "95 %" stays together. */
        const bool space = c == ' ' && text[at + 1] != '%';
        if (at > 0 && (space || (after_wide && !opens(previous)))) break_at = at;
        used += character_width(c) * size;
        if (used > width && at > 0) return c == ' ' ? at : break_at ? break_at : at;
        previous = c;
    }
    return at;
}

/* Cut `line` until it fits with "…" behind it. */
static void shorten(char *line, double size, double width)
{
    size_t n = strlen(line);
    while (n > 0 && (plot_text_width(line, size) + size > width || n + 4 > PLOT_LINE)) {
        do n--;
        while (n > 0 && ((unsigned char)line[n] & 0xC0) == 0x80);
        line[n] = 0;
    }
    while (n > 0 && line[n - 1] == ' ') line[--n] = 0;
    memcpy(line + n, "…", sizeof "…");
}

int plot_wrap(const char *text, double size, double width, int max_lines, char lines[][PLOT_LINE])
{
    int n = 0;
    for (;;) {
        while (*text == ' ') text++;
        if (!*text || n == max_lines) return n;
        size_t length = line_length(text, size, width);
        /* The last line allowed takes all it can, up to the middle of a word. */
        const bool cut = n == max_lines - 1 && text[length + strspn(text + length, " ")];
        if (cut) length = strlen(text);
        const size_t kept = length < PLOT_LINE - 1 ? length : PLOT_LINE - 1;
        memcpy(lines[n], text, kept);
        lines[n][kept] = 0;
        if (cut) shorten(lines[n], size, width);
        text += length;
        n++;
    }
}
