/* SPDX-License-Identifier: MIT
 * read_file.h -- a file as text. */
#ifndef DLF_READ_FILE_H
#define DLF_READ_FILE_H
#include "dlf/status.h"
#include "result/buffer.h"

/* Append all of `path` to *out, or the first `limit` bytes and a little more, so that whoever reads
 * the text can refuse it for its size.   errors  DLF_ERR_INPUT with path and reason, DLF_ERR_OOM */
DLF_MUST_CHECK dlf_status dlf_read_file(const char *path, size_t limit, dlf_buffer *out);
#endif
