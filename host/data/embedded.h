/* SPDX-License-Identifier: MIT
 * embedded.h -- answers and data sets that travel inside the binary. */
#ifndef DLF_EMBEDDED_H
#define DLF_EMBEDDED_H
#include <stddef.h>

typedef struct dlf_embedded_file {
    const char *name;                  /* path in the repository: "answers/q07.zh.md" */
    const unsigned char *begin, *end;  /* end points behind one terminating zero byte */
} dlf_embedded_file;

extern const dlf_embedded_file dlf_embedded_files[]; /* ends with a NULL name */

/* NULL if there is no such file; *size excludes the terminating zero. */
const unsigned char *dlf_embedded_find(const char *name, size_t *size);
#endif
