/* SPDX-License-Identifier: MIT
 * buffer.h -- text that grows. Failure sticks: append freely, look at `failed` once at the end. */
#ifndef DLF_BUFFER_H
#define DLF_BUFFER_H
#include <stdbool.h>
#include <stddef.h>

typedef struct dlf_buffer {
    char *data; /* zero-terminated once anything was appended; NULL before */
    size_t size, capacity;
    bool failed; /* out of memory; everything since is dropped */
} dlf_buffer;

void dlf_buffer_append(dlf_buffer *b, const void *data, size_t size);
void dlf_buffer_puts(dlf_buffer *b, const char *text);
void dlf_buffer_printf(dlf_buffer *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void dlf_buffer_free(dlf_buffer *b); /* also a zeroed one */

/* "%.17g" with '.' whatever the locale; "NaN", "Infinity", "-Infinity". Returns `text`. */
enum { DLF_NUMBER_TEXT = 32 };
char *dlf_number_text(char text[DLF_NUMBER_TEXT], double number);
#endif
