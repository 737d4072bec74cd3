/* SPDX-License-Identifier: MIT */
#include "result/utf8.h"

int dlf_utf8_decode(const char *s, uint32_t *codepoint)
{
    const unsigned char *u = (const unsigned char *)s;
    if (u[0] == 0) return 0;
    if (u[0] < 0x80) {
        *codepoint = u[0];
        return 1;
    }
    const int length = u[0] >= 0xF0 ? 4 : u[0] >= 0xE0 ? 3 : 2;
    if (u[0] < 0xC2 || u[0] > 0xF4) return -1;
    uint32_t c = u[0] & (0xFFu >> (length + 1));
    for (int i = 1; i < length; i++) { /* a terminating zero is no continuation byte: stops here */
        if ((u[i] & 0xC0) != 0x80) return -1;
        c = c << 6 | (u[i] & 0x3F);
    }
    static const uint32_t smallest[5] = {0, 0, 0x80, 0x800, 0x10000};
    if (c < smallest[length] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) return -1;
    *codepoint = c;
    return length;
}

int dlf_utf8_columns(uint32_t c)
{
    if ((c >= 0x0300 && c <= 0x036F) || (c >= 0x200B && c <= 0x200F) || c == 0xFEFF) return 0;
    const int wide = (c >= 0x1100 && c <= 0x115F) || (c >= 0x2E80 && c <= 0xA4CF) ||
                     (c >= 0xAC00 && c <= 0xD7A3) || (c >= 0xF900 && c <= 0xFAFF) ||
                     (c >= 0xFE30 && c <= 0xFE6F) || (c >= 0xFF00 && c <= 0xFF60) ||
                     (c >= 0xFFE0 && c <= 0xFFE6) || (c >= 0x1F300 && c <= 0x1FAFF) ||
                     (c >= 0x20000 && c <= 0x3FFFD);
    return wide ? 2 : 1;
}

int dlf_utf8_string_columns(const char *s)
{
    int columns = 0, length;
    uint32_t c;
    while ((length = dlf_utf8_decode(s, &c)) != 0) {
        columns += length < 0 ? 1 : dlf_utf8_columns(c);
        s += length < 0 ? 1 : length;
    }
    return columns;
}
