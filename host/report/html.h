/* SPDX-License-Identifier: MIT
 * html.h -- Markdown and TeX of the answers as HTML and MathML.
 *
 * What is converted is the subset that answers are written in: headings, paragraphs, flat lists,
 * quotes, fenced code, tables; bold, italic, `code`, images, links to http(s), $math$ and
 * $$math$$. Anything else stays text. Input is hostile: every character is escaped, no HTML passes,
 * and the time taken is at most linear in the size times a small depth.
 *
 * Unlike CommonMark, ** and * need no blank or punctuation around them: Chinese has no blanks, and
 * **反例：**只对 is meant to be bold. */
#ifndef DLF_HTML_H
#define DLF_HTML_H
#include <stdbool.h>
#include <stddef.h>

#include "result/buffer.h"

/* Text for between tags and in "attributes": & < > " ' as entities, control characters left out,
 * what is not UTF-8 as U+FFFD. */
void dlf_html_escape(dlf_buffer *out, const char *text, size_t size);

/* TeX as a <math> element. What is not understood (an unknown macro, a brace without its partner)
 * appears as its source in <code>, whole. */
void dlf_html_math(dlf_buffer *out, const char *tex, size_t size, bool display);

/* Where an image is written: `alt` is escaped text, `source` the target as it stands. */
typedef struct dlf_html_images {
    void (*write)(void *user, dlf_buffer *out, const char *alt, const char *source, size_t size);
    void *user;
} dlf_html_images;

/* `shift`: "# x" becomes <h(1+shift)>, at most h6. `images` NULL: their alternative text. The text
 * ends with '\0' at text[size]. */
void dlf_html_markdown(dlf_buffer *out, const char *text, size_t size, int shift,
                       const dlf_html_images *images);
/* The text of one line or paragraph, without a block around it. */
void dlf_html_inline(dlf_buffer *out, const char *text, size_t size, const dlf_html_images *images);
#endif
