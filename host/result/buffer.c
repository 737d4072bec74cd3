/* SPDX-License-Identifier: MIT */
#include "result/buffer.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Room for `size` more bytes and the terminating zero. */
static bool grow(dlf_buffer *b, size_t size)
{
    if (b->failed) return false;
    if (b->capacity - b->size > size) return true;
    size_t capacity = b->capacity ? b->capacity * 2 : 256;
    while (capacity - b->size <= size) capacity *= 2;
    char *data = realloc(b->data, capacity);
    if (!data) {
        b->failed = true;
        return false;
    }
    b->data = data;
    b->capacity = capacity;
    return true;
}

void dlf_buffer_append(dlf_buffer *b, const void *data, size_t size)
{
    if (!grow(b, size)) return;
    if (size) memcpy(b->data + b->size, data, size);
    b->size += size;
    b->data[b->size] = 0;
}

void dlf_buffer_puts(dlf_buffer *b, const char *text)
{
    dlf_buffer_append(b, text, strlen(text));
}

void dlf_buffer_printf(dlf_buffer *b, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    const int size = vsnprintf(NULL, 0, format, args);
    if (size >= 0 && grow(b, (size_t)size)) {
        vsnprintf(b->data + b->size, (size_t)size + 1, format, again);
        b->size += (size_t)size;
    }
    va_end(again);
    va_end(args);
}

void dlf_buffer_free(dlf_buffer *b)
{
    free(b->data);
    *b = (dlf_buffer){0};
}

char *dlf_number_text(char text[DLF_NUMBER_TEXT], double number)
{
    if (isnan(number)) return strcpy(text, "NaN");
    if (isinf(number)) return strcpy(text, number > 0 ? "Infinity" : "-Infinity");
    snprintf(text, DLF_NUMBER_TEXT, "%.17g", number);
    char *comma = strchr(text, ','); /* %g groups nothing: a comma can only be the locale's point */
    if (comma) *comma = '.';
    return text;
}
