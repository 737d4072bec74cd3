/* SPDX-License-Identifier: MIT
 * store.c -- a result as files: DIR/result.json and DIR/<table>.csv. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "result/atomic_file.h"
#include "result/buffer.h"
#include "result/internal.h"
#include "result/read_file.h"

/* ---- writing --------------------------------------------------------------------------------- */

static dlf_status write_in(const char *dir, const char *name, const char *extension,
                           const void *data, size_t size)
{
    dlf_buffer file_name = {0};
    dlf_buffer_printf(&file_name, "%s%s", name, extension);
    char *path = file_name.failed ? NULL : dlf_path_join(dir, file_name.data);
    dlf_buffer_free(&file_name);
    if (!path) return dlf_result_oom();
    const dlf_status status = dlf_write_file_atomically(path, data, size);
    free(path);
    return status;
}

static dlf_status write_csv_in(const char *dir, const dlf_table *t)
{
    char *data = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&data, &size);
    if (!memory) return dlf_result_oom();
    dlf_status status = dlf_table_write_csv(t, memory);
    if (fclose(memory) != 0 && status == DLF_OK) status = dlf_result_oom();
    if (status == DLF_OK) status = write_in(dir, t->id, ".csv", data, size);
    free(data);
    return status;
}

dlf_status dlf_result_store(const dlf_result *r, const char *dir)
{
    char *json = NULL;
    dlf_status status;
    DLF_TRY(dlf_make_directories(dir));
    for (int i = 0; i < r->n_tables; i++) DLF_TRY(write_csv_in(dir, r->tables[i]));
    /* Last: whoever sees a new result.json finds its tables beside it. */
    DLF_TRY(dlf_result_to_json(r, &json));
    status = write_in(dir, "result", ".json", json, strlen(json));
    free(json);
    return status;
}

/* ---- reading --------------------------------------------------------------------------------- */

enum { FILE_LIMIT = 256 << 20 };

dlf_status dlf_result_load(dlf_result **out, const char *path)
{
    struct stat info;
    *out = NULL;
    const bool is_dir = stat(path, &info) == 0 && S_ISDIR(info.st_mode);
    char *file = is_dir ? dlf_path_join(path, "result.json") : strdup(path);
    if (!file) return dlf_result_oom();
    dlf_buffer text = {0};
    dlf_status status = dlf_read_file(file, FILE_LIMIT, &text);
    if (status == DLF_OK) status = dlf_result_from_json(out, text.data, text.size, file);
    dlf_buffer_free(&text);
    free(file);
    return status;
}
