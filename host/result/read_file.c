/* SPDX-License-Identifier: MIT
 * read_file.c -- a file as text. */
#include "result/read_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 1 << 16 };

dlf_status dlf_read_file(const char *path, size_t limit, dlf_buffer *out)
{
    FILE *file = fopen(path, "rbe");
    if (!file) return dlf_fail(DLF_ERR_INPUT, "cannot read %s: %s", path, strerror(errno));
    char *chunk = malloc(CHUNK);
    size_t n = 1;
    /* One chunk more than allowed is enough for the reader to refuse it. */
    while (chunk && n > 0 && out->size <= limit) {
        n = fread(chunk, 1, CHUNK, file);
        dlf_buffer_append(out, chunk, n);
    }
    dlf_status status = DLF_OK;
    if (!chunk || out->failed)
        status = dlf_fail(DLF_ERR_OOM, "out of memory reading %s", path);
    else if (ferror(file))
        status = dlf_fail(DLF_ERR_INPUT, "cannot read %s: %s", path, strerror(errno));
    free(chunk);
    fclose(file);
    return status;
}
