/* SPDX-License-Identifier: MIT
 * utf8.h -- the little of UTF-8 that results, figures and answers need. */
#ifndef DLF_UTF8_H
#define DLF_UTF8_H
#include <stddef.h>
#include <stdint.h>

/* Decode the character at `s` (zero-terminated). Returns its length 1..4 in bytes; 0 at the end of
 * the string; -1 for a byte sequence that is not UTF-8 (overlong, surrogate, truncated). */
int dlf_utf8_decode(const char *s, uint32_t *codepoint);

/* Columns on a terminal or half-em widths: 2 for East Asian wide characters, 0 for combining marks,
 * 1 for the rest. */
int dlf_utf8_columns(uint32_t codepoint);
int dlf_utf8_string_columns(const char *s);
#endif
