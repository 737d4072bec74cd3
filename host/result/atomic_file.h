/* SPDX-License-Identifier: MIT
 * atomic_file.h -- files that are either the old one or the complete new one. */
#ifndef DLF_ATOMIC_FILE_H
#define DLF_ATOMIC_FILE_H
#include <stddef.h>

#include "dlf/status.h"

/* Write `data` to a new file beside `path`, sync it, rename it over `path`, sync the directory. On
 * failure (full disk, kill, no permission) whatever was at `path` is intact and no debris is left.
 * A write beyond a file size limit is an error only if the program ignores SIGXFSZ.
 *   errors  DLF_ERR_OUTPUT with path and reason, DLF_ERR_OOM                                     */
DLF_MUST_CHECK dlf_status dlf_write_file_atomically(const char *path, const void *data,
                                                    size_t size);

/* Would it begin to write? For asking before the work whose result it is.
 *   errors  as dlf_write_file_atomically's, but for those of a full disk */
DLF_MUST_CHECK dlf_status dlf_can_write_file(const char *path);
/* mkdir -p.  errors  DLF_ERR_OUTPUT with path and reason, DLF_ERR_OOM */
DLF_MUST_CHECK dlf_status dlf_make_directories(const char *path);

/* "dir/name" malloc'ed, one slash between; NULL when out of memory. */
char *dlf_path_join(const char *dir, const char *name);
#endif
