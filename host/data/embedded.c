/* SPDX-License-Identifier: MIT
 * embedded.c -- lookup among the files that travel inside the binary. */
#include "data/embedded.h"

#include <string.h>

const unsigned char *dlf_embedded_find(const char *name, size_t *size)
{
    for (const dlf_embedded_file *f = dlf_embedded_files; f->name; f++) {
        if (strcmp(f->name, name) != 0) continue;
        if (size) *size = (size_t)(f->end - f->begin) - 1;
        return f->begin;
    }
    return NULL;
}
