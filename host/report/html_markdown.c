/* SPDX-License-Identifier: MIT
 * html_markdown.c -- the blocks of a Markdown text: what begins a line. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "report/html.h"

typedef struct line {
    const char *at;
    size_t size; /* without the line end */
} line;

typedef struct reader {
    const char *at, *end;
    int shift, depth;
    const dlf_html_images *images;
} reader;

enum { MOST_DEPTH = 4 };

static void write_blocks(dlf_buffer *out, reader r);

static bool peek(const reader *r, line *out)
{
    *out = (line){r->at, 0};
    if (r->at >= r->end) return false;
    const char *newline = memchr(r->at, '\n', (size_t)(r->end - r->at));
    *out = (line){r->at, (size_t)((newline ? newline : r->end) - r->at)};
    if (out->size && out->at[out->size - 1] == '\r') out->size--;
    return true;
}

static void advance(reader *r)
{
    if (r->at >= r->end) return;
    const char *newline = memchr(r->at, '\n', (size_t)(r->end - r->at));
    r->at = newline ? newline + 1 : r->end;
}

static bool is_blank(line l)
{
    for (size_t i = 0; i < l.size; i++)
        if (l.at[i] != ' ' && l.at[i] != '\t') return false;
    return true;
}

static bool is_fence(line l)
{
    return l.size >= 3 && memcmp(l.at, "```", 3) == 0;
}

/* Number of #; 0: no heading. */
static int heading_level(line l)
{
    size_t n = 0;
    while (n < l.size && l.at[n] == '#') n++;
    return n >= 1 && n <= 6 && n < l.size && l.at[n] == ' ' ? (int)n : 0;
}

/* Where the text of a list item begins; 0: no item. */
static size_t item_offset(line l, bool *ordered)
{
    size_t n = 0;
    *ordered = false;
    if (l.size > 2 && (l.at[0] == '-' || l.at[0] == '*' || l.at[0] == '+') && l.at[1] == ' ')
        return 2;
    while (n < l.size && n < 9 && isdigit((unsigned char)l.at[n])) n++;
    if (n == 0 || n + 1 >= l.size || (l.at[n] != '.' && l.at[n] != ')') || l.at[n + 1] != ' ')
        return 0;
    *ordered = true;
    return n + 2;
}

static bool is_rule(line l)
{
    return l.size >= 3 && strspn(l.at, "-") >= 3 && strspn(l.at, "- ") >= l.size;
}

/* "|---|:--:|": what makes the row above it the head of a table. */
static bool is_separator(line l)
{
    bool dash = false;
    for (size_t i = 0; i < l.size; i++) {
        if (!strchr("|-: \t", l.at[i]) || !l.at[i]) return false;
        dash |= l.at[i] == '-';
    }
    return dash && l.size > 0 && l.at[0] == '|';
}

static bool begins_block(line l)
{
    bool ordered;
    return is_blank(l) || is_fence(l) || heading_level(l) || item_offset(l, &ordered) ||
           (l.size && (l.at[0] == '|' || l.at[0] == '>'));
}

/* ---- tables ---------------------------------------------------------------------------------- */

/* One cell: "\|" is a bar there, in code and math too. */
static void write_cell(dlf_buffer *out, const char *at, const char *end, const char *tag,
                       const dlf_html_images *images)
{
    dlf_buffer text = {0};
    while (at < end && (*at == ' ' || *at == '\t')) at++;
    while (end > at && (end[-1] == ' ' || end[-1] == '\t')) end--;
    for (; at < end; at++)
        if (!(*at == '\\' && at + 1 < end && at[1] == '|')) dlf_buffer_append(&text, at, 1);
    dlf_buffer_printf(out, "<%s>", tag);
    if (text.data) dlf_html_inline(out, text.data, text.size, images);
    dlf_buffer_printf(out, "</%s>", tag);
    out->failed |= text.failed;
    dlf_buffer_free(&text);
}

static void write_row(dlf_buffer *out, line l, const char *tag, const dlf_html_images *images)
{
    const char *at = l.at, *end = l.at + l.size;
    while (end > at && (end[-1] == ' ' || end[-1] == '\t')) end--;
    if (at < end && *at == '|') at++;
    if (end > at && end[-1] == '|' && !(end - 1 > at && end[-2] == '\\')) end--;
    dlf_buffer_puts(out, "<tr>");
    for (const char *begin = at;; at++) {
        if (at < end && *at == '\\' && at + 1 < end) {
            at++;
            continue;
        }
        if (at < end && *at != '|') continue;
        write_cell(out, begin, at < end ? at : end, tag, images);
        if (at >= end) break;
        begin = at + 1;
    }
    dlf_buffer_puts(out, "</tr>\n");
}

static bool write_table(dlf_buffer *out, reader *r)
{
    line head, below;
    reader after = *r;
    if (!peek(r, &head) || !head.size || head.at[0] != '|') return false;
    advance(&after);
    if (!peek(&after, &below) || !is_separator(below)) return false;
    advance(&after);
    /* May be wider than the page: then it scrolls by itself, also by keyboard. */
    dlf_buffer_puts(out, "<div class=\"scroll\" tabindex=\"0\"><table>\n<thead>");
    write_row(out, head, "th", r->images);
    dlf_buffer_puts(out, "</thead>\n<tbody>\n");
    for (line l; peek(&after, &l) && l.size && l.at[0] == '|'; advance(&after))
        write_row(out, l, "td", r->images);
    dlf_buffer_puts(out, "</tbody></table></div>\n");
    r->at = after.at;
    return true;
}

/* ---- the other blocks ------------------------------------------------------------------------ */

static bool write_fence(dlf_buffer *out, reader *r)
{
    line l;
    if (!peek(r, &l) || !is_fence(l)) return false;
    dlf_buffer_puts(out, "<pre tabindex=\"0\"><code>");
    for (advance(r); peek(r, &l) && !is_fence(l); advance(r)) {
        dlf_html_escape(out, l.at, l.size);
        dlf_buffer_puts(out, "\n");
    }
    advance(r);
    dlf_buffer_puts(out, "</code></pre>\n");
    return true;
}

static bool write_heading(dlf_buffer *out, reader *r)
{
    line l;
    const int level = peek(r, &l) ? heading_level(l) : 0;
    if (!level) return false;
    const int h = level + r->shift > 6 ? 6 : level + r->shift;
    dlf_buffer_printf(out, "<h%d>", h);
    dlf_html_inline(out, l.at + level + 1, l.size - (size_t)level - 1, r->images);
    dlf_buffer_printf(out, "</h%d>\n", h);
    advance(r);
    return true;
}

static void append_line(dlf_buffer *text, const char *at, size_t size)
{
    if (text->size) dlf_buffer_append(text, "\n", 1);
    dlf_buffer_append(text, at, size);
}

static void write_text(dlf_buffer *out, dlf_buffer *text, const reader *r)
{
    if (text->data) dlf_html_inline(out, text->data, text->size, r->images);
    out->failed |= text->failed;
    dlf_buffer_free(text);
}

/* Flat lists; lines that begin no block belong to the item above. */
static bool write_list(dlf_buffer *out, reader *r)
{
    line l;
    bool ordered, same;
    if (!peek(r, &l) || !item_offset(l, &ordered)) return false;
    const int first = ordered ? (int)strtol(l.at, NULL, 10) : 1;
    if (first != 1)
        dlf_buffer_printf(out, "<ol start=\"%d\">\n", first);
    else
        dlf_buffer_puts(out, ordered ? "<ol>\n" : "<ul>\n");
    while (peek(r, &l)) {
        const size_t offset = item_offset(l, &same);
        if (!offset || same != ordered) break;
        dlf_buffer text = {0};
        append_line(&text, l.at + offset, l.size - offset);
        for (advance(r); peek(r, &l) && !begins_block(l); advance(r)) {
            size_t i = 0;
            while (i < l.size && l.at[i] == ' ') i++;
            append_line(&text, l.at + i, l.size - i);
        }
        dlf_buffer_puts(out, "<li>");
        write_text(out, &text, r);
        dlf_buffer_puts(out, "</li>\n");
        /* A blank line between two items does not end the list. */
        reader after = *r;
        while (peek(&after, &l) && is_blank(l)) advance(&after);
        if (peek(&after, &l) && item_offset(l, &same) && same == ordered) r->at = after.at;
    }
    dlf_buffer_puts(out, ordered ? "</ol>\n" : "</ul>\n");
    return true;
}

static bool write_quote(dlf_buffer *out, reader *r)
{
    line l;
    if (!peek(r, &l) || !l.size || l.at[0] != '>' || r->depth >= MOST_DEPTH) return false;
    dlf_buffer text = {0};
    for (; peek(r, &l) && l.size && l.at[0] == '>'; advance(r)) {
        const size_t offset = l.size > 1 && l.at[1] == ' ' ? 2 : 1;
        dlf_buffer_append(&text, l.at + offset, l.size - offset);
        dlf_buffer_append(&text, "\n", 1);
    }
    dlf_buffer_puts(out, "<blockquote>\n");
    if (text.data)
        write_blocks(out,
                     (reader){text.data, text.data + text.size, r->shift, r->depth + 1, r->images});
    dlf_buffer_puts(out, "</blockquote>\n");
    out->failed |= text.failed;
    dlf_buffer_free(&text);
    return true;
}

/* Is this text one image and nothing else? */
static bool is_image(const dlf_buffer *text)
{
    if (!text->data || text->size < 5 || memcmp(text->data, "![", 2) != 0) return false;
    const char *close = strstr(text->data, "](");
    close = close ? strchr(close, ')') : NULL;
    return close && close + 1 == text->data + text->size;
}

static void write_paragraph(dlf_buffer *out, reader *r)
{
    line l;
    dlf_buffer text = {0};
    /* The first line is text whatever it looks like: nothing else wanted it. */
    for (bool first = true; peek(r, &l) && (first || !begins_block(l)); advance(r), first = false)
        append_line(&text, l.at, l.size);
    const char *tag = is_image(&text) ? "figure" : "p";
    dlf_buffer_printf(out, "<%s>", tag);
    write_text(out, &text, r);
    dlf_buffer_printf(out, "</%s>\n", tag);
}

static void write_blocks(dlf_buffer *out, reader r)
{
    for (line l; peek(&r, &l);) {
        if (is_blank(l)) {
            advance(&r);
        } else if (is_rule(l)) {
            dlf_buffer_puts(out, "<hr>\n");
            advance(&r);
        } else if (!write_fence(out, &r) && !write_heading(out, &r) && !write_table(out, &r) &&
                   !write_list(out, &r) && !write_quote(out, &r)) {
            write_paragraph(out, &r);
        }
    }
}

void dlf_html_markdown(dlf_buffer *out, const char *text, size_t size, int shift,
                       const dlf_html_images *images)
{
    write_blocks(out, (reader){text, text + size, shift, 0, images});
}
