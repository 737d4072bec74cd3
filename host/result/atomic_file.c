/* SPDX-License-Identifier: MIT */
#include "result/atomic_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static dlf_status output_error(const char *what, const char *path, int error)
{
    return dlf_fail(DLF_ERR_OUTPUT, "cannot %s %s: %s", what, path, strerror(error));
}

/* 0 or errno. */
static int write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        const ssize_t written = write(fd, data, size);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return errno;
        data += written;
        size -= (size_t)written;
    }
    return 0;
}

/* Without this a crash after rename() may bring the old directory entry back. Some file systems
 * cannot sync a directory, and a directory may be writable but not readable: not our failure. */
static int sync_directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *dir = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
    if (!dir) return ENOMEM;
    const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(dir);
    if (fd < 0) return errno == EACCES ? 0 : errno;
    const int error = fsync(fd) == 0 || errno == EINVAL || errno == ENOTSUP ? 0 : errno;
    close(fd);
    return error;
}

/* A name beside `path` that nobody else uses: process id and a counter. mkstemp() would do, but
 * makes files that only their owner may read. */
static char *temporary_name(const char *path)
{
    static atomic_uint counter;
    const size_t size = strlen(path) + 48;
    char *name = malloc(size);
    if (name)
        snprintf(name, size, "%s.%ld.%u.tmp", path, (long)getpid(), atomic_fetch_add(&counter, 1));
    return name;
}

dlf_status dlf_write_file_atomically(const char *path, const void *data, size_t size)
{
    char *temporary = temporary_name(path);
    if (!temporary) return dlf_fail(DLF_ERR_OOM, "out of memory writing %s", path);
    const int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    int error = fd < 0 ? errno : 0;
    if (fd >= 0) {
        error = write_all(fd, data, size);
        if (!error && fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP) error = errno;
        if (close(fd) != 0 && !error) error = errno;
        if (!error && rename(temporary, path) != 0) error = errno;
        if (error) unlink(temporary);
    }
    free(temporary);
    if (!error) error = sync_directory_of(path);
    return error ? output_error("write", path, error) : DLF_OK;
}

dlf_status dlf_can_write_file(const char *path)
{
    struct stat info;
    char *temporary = temporary_name(path);
    if (!temporary) return dlf_fail(DLF_ERR_OOM, "out of memory writing %s", path);
    const int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    int error = fd < 0 ? errno : 0;
    if (fd >= 0) {
        close(fd);
        unlink(temporary);
    }
    free(temporary);
    if (!error && stat(path, &info) == 0 && S_ISDIR(info.st_mode)) error = EISDIR;
    return error ? output_error("write", path, error) : DLF_OK;
}

dlf_status dlf_make_directories(const char *path)
{
    char *copy = strdup(path);
    if (!copy) return dlf_fail(DLF_ERR_OOM, "out of memory creating %s", path);
    int error = copy[0] ? 0 : ENOENT;
    for (char *p = copy; *p && !error;) {
        p += strspn(p, "/");
        p += strcspn(p, "/");
        const char end = *p;
        *p = 0;
        struct stat info;
        if (mkdir(copy, 0777) != 0) {
            error = errno;
            if (stat(copy, &info) == 0) error = S_ISDIR(info.st_mode) ? 0 : ENOTDIR;
        }
        *p = end;
    }
    free(copy);
    return error ? output_error("create directory", path, error) : DLF_OK;
}

char *dlf_path_join(const char *dir, const char *name)
{
    const size_t length = strlen(dir);
    const char *slash = length && dir[length - 1] == '/' ? "" : "/";
    const size_t size = length + strlen(name) + 2;
    char *path = malloc(size);
    if (path) snprintf(path, size, "%s%s%s", length ? dir : ".", slash, name);
    return path;
}
