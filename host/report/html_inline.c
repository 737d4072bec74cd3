/* SPDX-License-Identifier: MIT
 * html_inline.c -- what stands inside a paragraph. */
#include <ctype.h>
#include <string.h>

#include "report/html.h"
#include "result/utf8.h"

void dlf_html_escape(dlf_buffer *out, const char *text, size_t size)
{
    const char *at = text, *end = text + size;
    while (at < end) {
        const unsigned char c = (unsigned char)*at;
        if (c < 0x80) {
            switch (c) {
            case '&': dlf_buffer_puts(out, "&amp;"); break;
            case '<': dlf_buffer_puts(out, "&lt;"); break;
            case '>': dlf_buffer_puts(out, "&gt;"); break;
            case '"': dlf_buffer_puts(out, "&quot;"); break;
            case '\'': dlf_buffer_puts(out, "&#39;"); break;
            default:
                if ((c >= 0x20 && c != 0x7f) || c == '\n' || c == '\t')
                    dlf_buffer_append(out, at, 1);
            }
            at++;
            continue;
        }
        char four[5] = "";
        uint32_t point;
        memcpy(four, at, end - at < 4 ? (size_t)(end - at) : 4);
        const int n = dlf_utf8_decode(four, &point);
        if (n > 0 && point >= 0xa0) /* below: C1 control characters */
            dlf_buffer_append(out, at, (size_t)n);
        else
            dlf_buffer_puts(out, "\xEF\xBF\xBD");
        at += n > 0 ? n : 1;
    }
}

enum { MOST_DEPTH = 6 };

/* A delimiter that has no partner in the rest of a span has none later either: remembering that
 * keeps a text of nothing but delimiters from being searched again for each of them. */
enum { CODE, MATH, DISPLAY, BOLD, ITALIC, LINK, CLOSE, N_DELIMITERS };

typedef struct span {
    const char *at, *end;
    int depth;
    bool dead[N_DELIMITERS];
    const dlf_html_images *images;
} span;

static void write_span(dlf_buffer *out, const char *at, const char *end, int depth,
                       const dlf_html_images *images);

/* `what` in from..end, not behind a backslash; NULL, and never asked again, if there is none. */
static const char *partner(span *s, int kind, const char *from, const char *what)
{
    const size_t n = strlen(what);
    if (s->dead[kind]) return NULL;
    for (const char *p = from; p + n <= s->end; p++) {
        if (*p == '\\' && kind != CODE)
            p++;
        else if (memcmp(p, what, n) == 0)
            return p;
    }
    s->dead[kind] = true;
    return NULL;
}

static bool starts(const span *s, const char *what)
{
    const size_t n = strlen(what);
    return s->at + n <= s->end && memcmp(s->at, what, n) == 0;
}

static bool blank(char c)
{
    return c == ' ' || c == '\n' || c == '\t';
}

/* &amp; and the like, which answers use where text might be taken for HTML: its length, else 0. */
static size_t entity(const char *at, const char *end)
{
    static const char *const known[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const size_t n = strlen(known[i]);
        if (at + n <= end && memcmp(at, known[i], n) == 0) return n;
    }
    return 0;
}

static bool write_code(dlf_buffer *out, span *s)
{
    if (*s->at != '`') return false;
    const char *close = partner(s, CODE, s->at + 1, "`");
    if (!close) return false;
    dlf_buffer_puts(out, "<code>");
    dlf_html_escape(out, s->at + 1, (size_t)(close - s->at - 1));
    dlf_buffer_puts(out, "</code>");
    s->at = close + 1;
    return true;
}

static bool write_math(dlf_buffer *out, span *s)
{
    if (*s->at != '$') return false;
    const bool display = starts(s, "$$");
    const char *begin = s->at + (display ? 2 : 1);
    if (begin >= s->end || (!display && blank(*begin))) return false;
    const char *close = partner(s, display ? DISPLAY : MATH, begin, display ? "$$" : "$");
    if (!close || close == begin) return false;
    dlf_html_math(out, begin, (size_t)(close - begin), display);
    s->at = close + (display ? 2 : 1);
    return true;
}

static bool write_emphasis(dlf_buffer *out, span *s)
{
    if (*s->at != '*') return false;
    const bool bold = starts(s, "**");
    const char *begin = s->at + (bold ? 2 : 1);
    if (begin >= s->end || blank(*begin)) return false;
    const char *close = partner(s, bold ? BOLD : ITALIC, begin, bold ? "**" : "*");
    if (!close || close == begin || blank(close[-1])) return false;
    const char *tag = bold ? "strong" : "em";
    dlf_buffer_printf(out, "<%s>", tag);
    write_span(out, begin, close, s->depth + 1, s->images);
    dlf_buffer_printf(out, "</%s>", tag);
    s->at = close + (bold ? 2 : 1);
    return true;
}

static bool is_web(const char *target, size_t n)
{
    return (n > 8 && memcmp(target, "https://", 8) == 0) ||
           (n > 7 && memcmp(target, "http://", 7) == 0);
}

/* Math in an alternative text stays TeX: an attribute holds no elements. */
static void write_image(dlf_buffer *out, const span *s, const char *alt, const char *alt_end,
                        const char *target, size_t n)
{
    dlf_buffer plain = {0}, escaped = {0};
    for (const char *p = alt; p < alt_end; p++) {
        if (*p == '\\' && p + 1 < alt_end && ispunct((unsigned char)p[1])) p++;
        dlf_buffer_append(&plain, p, 1);
    }
    dlf_html_escape(&escaped, plain.data ? plain.data : "", plain.size);
    dlf_buffer_puts(&escaped, "");
    const char *text = escaped.data ? escaped.data : "";
    if (s->images)
        s->images->write(s->images->user, out, text, target, n);
    else
        dlf_buffer_puts(out, text);
    out->failed |= plain.failed || escaped.failed;
    dlf_buffer_free(&plain);
    dlf_buffer_free(&escaped);
}

static bool write_link(dlf_buffer *out, span *s)
{
    const bool image = starts(s, "![");
    if (!image && *s->at != '[') return false;
    const char *begin = s->at + (image ? 2 : 1);
    const char *middle = partner(s, LINK, begin, "](");
    const char *close = middle ? partner(s, CLOSE, middle + 2, ")") : NULL;
    if (!close) return false;
    const char *target = middle + 2;
    const size_t n = (size_t)(close - target);
    if (image) {
        write_image(out, s, begin, middle, target, n);
    } else if (is_web(target, n)) {
        dlf_buffer_puts(out, "<a href=\"");
        dlf_html_escape(out, target, n);
        dlf_buffer_puts(out, "\" rel=\"noreferrer\">");
        write_span(out, begin, middle, s->depth + 1, s->images);
        dlf_buffer_puts(out, "</a>");
    } else { /* no other scheme, and no file: they need not exist where the page is read */
        write_span(out, begin, middle, s->depth + 1, s->images);
    }
    s->at = close + 1;
    return true;
}

static void write_span(dlf_buffer *out, const char *at, const char *end, int depth,
                       const dlf_html_images *images)
{
    span s = {.at = at, .end = end, .depth = depth, .images = images};
    if (depth > MOST_DEPTH) {
        dlf_html_escape(out, at, (size_t)(end - at));
        return;
    }
    while (s.at < end) {
        if (*s.at == '\\' && s.at + 1 < end && ispunct((unsigned char)s.at[1])) {
            dlf_html_escape(out, s.at + 1, 1);
            s.at += 2;
            continue;
        }
        const size_t named = *s.at == '&' ? entity(s.at, end) : 0;
        if (named) {
            dlf_buffer_append(out, s.at, named);
            s.at += named;
            continue;
        }
        if (write_code(out, &s) || write_math(out, &s) || write_emphasis(out, &s) ||
            write_link(out, &s))
            continue;
        size_t n = 1;
        while (s.at + n < end && !strchr("\\&`$*![", s.at[n])) n++;
        /* A delimiter of two characters that found no partner is text as a whole. */
        if (n == 1 && (starts(&s, "**") || starts(&s, "$$"))) n = 2;
        dlf_html_escape(out, s.at, n);
        s.at += n;
    }
}

void dlf_html_inline(dlf_buffer *out, const char *text, size_t size, const dlf_html_images *images)
{
    write_span(out, text, text + size, 0, images);
}
