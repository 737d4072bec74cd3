/* SPDX-License-Identifier: MIT
 * source.c -- zlib reads plain and gzip'ed files alike; this adds offsets, bounds and sentences. */
#include "data/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Deflate encodes at most 258 bytes in 2 bits: nothing inflates to more than 1032 times its size.
 */
enum { GZIP_MOST = 1032, BUFFER = 1 << 16, CHUNK = 1 << 12, WORTH_SEEKING = 1 << 20 };

static dlf_status unreadable(const char *path, const char *reason)
{
    return dlf_fail(DLF_ERR_INPUT, "cannot read %s: %s", path, reason);
}

dlf_status dlf_source_open(dlf_source *s, const char *path)
{
    *s = (dlf_source){.path = strdup(path)};
    if (!s->path) return dlf_fail(DLF_ERR_OOM, "no memory to read %s", path);
    /* O_NONBLOCK: opening a pipe that nobody writes to must not wait. */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return unreadable(path, strerror(errno));
    struct stat info;
    const bool regular = fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
    s->file = regular ? gzdopen(fd, "rb") : NULL;
    if (!s->file) {
        close(fd);
        return regular ? dlf_fail(DLF_ERR_OOM, "no memory to read %s", path)
                       : unreadable(path, "not a regular file");
    }
    gzbuffer(s->file, BUFFER);
    s->plain = gzdirect(s->file);
    s->most = info.st_size;
    if (!s->plain && __builtin_mul_overflow(s->most, GZIP_MOST, &s->most)) s->most = INT64_MAX;
    return DLF_OK;
}

void dlf_source_close(dlf_source *s)
{
    if (s->file) gzclose(s->file);
    free(s->path);
    *s = (dlf_source){0};
}

static dlf_status missing(const dlf_source *s, size_t wanted)
{
    int code = Z_OK;
    gzerror(s->file, &code);
    const long long at = (long long)s->at;
    if (code == Z_MEM_ERROR) return dlf_fail(DLF_ERR_OOM, "no memory to read %s", s->path);
    if (code == Z_ERRNO)
        return dlf_fail(DLF_ERR_INPUT, "cannot read %s at offset %lld: %s", s->path, at,
                        strerror(errno));
    if (code == Z_DATA_ERROR || code == Z_STREAM_ERROR)
        return dlf_fail(DLF_ERR_INPUT, "%s: offset %lld: damaged gzip data", s->path, at);
    return dlf_fail(DLF_ERR_INPUT, "%s: truncated: it ends at offset %lld, %zu bytes too early",
                    s->path, at, wanted);
}

dlf_status dlf_source_read(dlf_source *s, void *out, size_t n)
{
    for (char *to = out; n > 0;) {
        const unsigned part = n < (1u << 30) ? (unsigned)n : 1u << 30;
        const int got = gzread(s->file, to, part);
        if (got > 0) {
            s->at += got;
            to += got;
            n -= (size_t)got;
        }
        if (got < (int)part) return missing(s, n);
    }
    return DLF_OK;
}

dlf_status dlf_source_skip(dlf_source *s, int64_t n)
{
    char chunk[CHUNK];
    if (s->plain && n >= WORTH_SEEKING) {
        if (gzseek(s->file, n, SEEK_CUR) < 0) return missing(s, (size_t)n);
        s->at += n;
        return DLF_OK;
    }
    for (; n > 0; n -= n < CHUNK ? n : CHUNK)
        DLF_TRY(dlf_source_read(s, chunk, (size_t)(n < CHUNK ? n : CHUNK)));
    return DLF_OK;
}

dlf_status dlf_source_promises(const dlf_source *s, int64_t n)
{
    const int64_t left = s->most - s->at;
    if (n > left)
        return dlf_fail(DLF_ERR_INPUT,
                        "%s: truncated: from offset %lld on %lld bytes should follow, %lld %s",
                        s->path, (long long)s->at, (long long)n, (long long)left,
                        s->plain ? "do" : "are the most that can");
    if (s->plain && n < left)
        return dlf_fail(DLF_ERR_INPUT, "%s: %lld bytes too many, from offset %lld on", s->path,
                        (long long)(left - n), (long long)(s->at + n));
    return DLF_OK;
}

dlf_status dlf_source_end(dlf_source *s)
{
    char byte;
    int code = Z_OK;
    if (gzread(s->file, &byte, 1) > 0)
        return dlf_fail(DLF_ERR_INPUT, "%s: more data than it announces, from offset %lld on",
                        s->path, (long long)s->at);
    gzerror(s->file, &code);
    return code == Z_OK || code == Z_STREAM_END ? DLF_OK : missing(s, 1);
}
