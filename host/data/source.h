/* SPDX-License-Identifier: MIT
 * source.h -- a file that nobody vouches for, read from front to back, gzip'ed or not. */
#ifndef DLF_DATA_SOURCE_H
#define DLF_DATA_SOURCE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zlib.h>

#include "dlf/status.h"

typedef struct dlf_source {
    char *path;
    gzFile file;
    bool plain;   /* not gzip'ed                                                            */
    int64_t at;   /* bytes read so far, after inflating                                     */
    int64_t most; /* so many bytes it can hold: its size, or what gzip can make of its size */
} dlf_source;

/* Regular files only.  errors  DLF_ERR_INPUT, DLF_ERR_OOM.  Close in every case. */
DLF_MUST_CHECK dlf_status dlf_source_open(dlf_source *s, const char *path);
void dlf_source_close(dlf_source *s); /* zeroed is fine */

/* Exactly n bytes; what is missing or damaged is DLF_ERR_INPUT with the offset. */
DLF_MUST_CHECK dlf_status dlf_source_read(dlf_source *s, void *out, size_t n);
DLF_MUST_CHECK dlf_status dlf_source_skip(dlf_source *s, int64_t n);
/* Can there be n more bytes? To be asked before anything is allocated for them. A plain file must
 * hold just n more. */
DLF_MUST_CHECK dlf_status dlf_source_promises(const dlf_source *s, int64_t n);
/* The file ends here, and gzip's checksum is right. */
DLF_MUST_CHECK dlf_status dlf_source_end(dlf_source *s);

#endif
