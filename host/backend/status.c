/* SPDX-License-Identifier: MIT
 * status.c -- texts of the status list, and the sentence that goes with the last error. */
#include "dlf/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char message[1024];

const char *dlf_status_text(dlf_status status)
{
    switch (status) {
#define X(name, value, exit_code, text)                                                            \
    case DLF_##name: return text;
        DLF_STATUS_MAP(X)
#undef X
    }
    return "unknown status";
}

int dlf_status_exit_code(dlf_status status)
{
    switch (status) {
#define X(name, value, exit_code, text)                                                            \
    case DLF_##name: return exit_code;
        DLF_STATUS_MAP(X)
#undef X
    }
    return 1;
}

dlf_status dlf_fail(dlf_status status, const char *format, ...)
{
    char text[sizeof message]; /* an argument may be the last message itself */
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    memcpy(message, text, sizeof message);
    return status;
}

const char *dlf_error_message(void)
{
    return message;
}

void dlf_error_clear(void)
{
    message[0] = '\0';
}
