/* SPDX-License-Identifier: MIT
 * bench_store.c -- stored measurements of kernels. */
#include "bench_store.h"

#include <dirent.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dlf/bench.h"

static dlf_status oom(void)
{
    return dlf_fail(DLF_ERR_OOM, "out of memory reading stored measurements");
}

void bench_store_free(bench_store *s)
{
    free(s->row);
    *s = (bench_store){.rows = 0};
}

/* rows.NAME.KEY.median, or NaN. */
static double median_of(const json_t *row, const char *key)
{
    const json_t *value = json_object_get(json_object_get(row, key), "median");
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static dlf_status read_rows(bench_store *out, json_t *rows)
{
    const char *name;
    json_t *value;
    out->row = calloc(json_object_size(rows) + 1, sizeof *out->row);
    if (!out->row) return oom();
    json_object_foreach(rows, name, value)
    {
        bench_row *r = &out->row[out->rows];
        const json_t *bytes = json_object_get(value, "bytes");
        r->bytes = json_is_number(bytes) ? json_number_value(bytes) : (double)NAN;
        r->us = median_of(value, "dlf_us");
        r->of_copy = median_of(value, "of_copy");
        const bool fits = snprintf(r->name, sizeof r->name, "%s", name) < (int)sizeof r->name;
        out->rows += fits && r->bytes > 0.0 && r->us > 0.0 && r->of_copy > 0.0;
    }
    return DLF_OK;
}

/* A report of `dlf bench` (bench.h): its own f32 kernels, in the version that dlf would take. */
static dlf_status read_report(bench_store *out, json_t *root, const char *path)
{
    const json_t *device = json_object_get(json_object_get(root, "manifest"), "device");
    const char *name = json_string_value(json_object_get(device, "name"));
    const char *detail = json_string_value(json_object_get(device, "detail"));
    dlf_bench_report *report;
    DLF_TRY(dlf_bench_load(&report, path));
    snprintf(out->device, sizeof out->device, "%.120s | %.120s", name ? name : "?",
             detail ? detail : "?");
    out->row = calloc((size_t)report->n + 1, sizeof *out->row);
    for (int i = 0; out->row && i < report->n; i++) {
        const dlf_bench_row *from = &report->rows[i];
        const dlf_bench_case *c = &from->c;
        dlf_bench_summary s;
        bench_row *r = &out->row[out->rows];
        if (c->dtype != DLF_F32 || c->version != 0 || from->n_runners < 1 ||
            !dlf_bench_summarise(&s, from, 0, DLF_BENCH_COLD, 0.1))
            continue;
        int n = snprintf(r->name, sizeof r->name, "%s %s ", c->op, c->direction);
        if (c->ndim == 4)
            n += snprintf(r->name + n, sizeof r->name - (size_t)n, "%s ",
                          c->layout == DLF_NHWC ? "nhwc" : "nchw");
        for (int k = 0; k < c->ndim; k++)
            n += snprintf(r->name + n, sizeof r->name - (size_t)n, "%s%lld", k ? "x" : "",
                          (long long)c->shape[k]);
        r->bytes = from->bytes_moved;
        r->us = 1e-3 * s.time.median;
        r->of_copy = s.of_copy.value;
        out->rows += r->bytes > 0.0 && r->us > 0.0 && r->of_copy > 0.0;
    }
    dlf_bench_report_free(report);
    return out->row ? DLF_OK : oom();
}

dlf_status bench_store_read(bench_store *out, const char *path)
{
    json_error_t error;
    *out = (bench_store){.rows = 0};
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (!root) return dlf_fail(DLF_ERR_INPUT, "%s, line %d: %s", path, error.line, error.text);
    json_t *rows = json_object_get(root, "rows");
    const char *device = json_string_value(json_object_get(root, "device"));
    dlf_status status;
    const char *schema = json_string_value(json_object_get(root, "schema"));
    if (schema && !strcmp(schema, "dlf.bench/1")) {
        status = read_report(out, root, path);
    } else if (json_is_object(rows) && device) {
        snprintf(out->device, sizeof out->device, "%s", device);
        status = read_rows(out, rows);
    } else {
        status = dlf_fail(DLF_ERR_INPUT, "%s: not measurements of kernels (no rows, or no device)",
                          path);
    }
    json_decref(root);
    if (status != DLF_OK) bench_store_free(out);
    return status;
}

/* ---- where they are -----------------------------------------------------------------------------
 */

static bool is_device(const bench_store *s, const dlf_device_info *info)
{
    return info->name[0] && strncmp(s->device, info->name, strlen(info->name)) == 0 &&
           strstr(s->device, info->detail);
}

static int visible(const struct dirent *d)
{
    return d->d_name[0] != '.';
}

static int is_json(const struct dirent *d)
{
    const size_t n = strlen(d->d_name);
    return n > 5 && !strcmp(d->d_name + n - 5, ".json");
}

/* Does it say anything about norms? The other files of a directory are about something else. */
static bool has_norms(const bench_store *s)
{
    for (int i = 0; i < s->rows; i++)
        if (strstr(s->row[i].name, "_norm ")) return true;
    return false;
}

/* Takes the directory results/name if it fits better than what there is. */
static dlf_status look_at(bench_store *out, const char *results, const char *name,
                          const dlf_device_info *info)
{
    char directory[PATH_MAX], path[2 * PATH_MAX];
    struct dirent **entry;
    dlf_status status = DLF_OK;
    if (snprintf(directory, sizeof directory, "%s/%s", results, name) >= PATH_MAX) return DLF_OK;
    const int n = scandir(directory, &entry, is_json, alphasort);
    for (int i = 0; i < n; i++) {
        bench_store s = {.rows = 0};
        snprintf(path, sizeof path, "%s/%s", directory, entry[i]->d_name);
        if (status == DLF_OK && !out->this_device) {
            status = bench_store_read(&s, path);
            if (status == DLF_ERR_INPUT) status = DLF_OK; /* damaged: as if it were not there */
        }
        s.this_device = is_device(&s, info);
        if (has_norms(&s) && (!out->rows || s.this_device)) {
            bench_store_free(out);
            *out = s;
            snprintf(out->name, sizeof out->name, "%.63s", name);
        } else {
            bench_store_free(&s);
        }
        free(entry[i]);
    }
    if (n >= 0) free(entry);
    return status;
}

/* The store in `results` that fits best. */
static dlf_status look_in(bench_store *out, const char *results, const dlf_device_info *info)
{
    struct dirent **entry;
    const int n = scandir(results, &entry, visible, alphasort);
    dlf_status status = DLF_OK;
    for (int i = 0; i < n; i++) {
        if (status == DLF_OK) status = look_at(out, results, entry[i]->d_name, info);
        free(entry[i]);
    }
    if (n >= 0) free(entry);
    return status;
}

dlf_status bench_store_find(bench_store *out, const dlf_run *run)
{
    enum { ABOVE = 5 };
    static const char tail[] = "/bench/results";
    const dlf_device_info *info = &dlf_run_device(run)->info;
    char root[PATH_MAX], path[PATH_MAX + sizeof tail];
    *out = (bench_store){.rows = 0};
    if (dlf_run_data_dir(run)) {
        snprintf(path, sizeof path, "%s%s", dlf_run_data_dir(run), tail);
        DLF_TRY(look_in(out, path, info));
    }
    if (!out->rows) DLF_TRY(look_in(out, tail + 1, info));
    const ssize_t n = readlink("/proc/self/exe", root, sizeof root - 1);
    root[n > 0 ? n : 0] = 0;
    for (int i = 0; i < ABOVE && !out->rows && strrchr(root, '/'); i++) {
        *strrchr(root, '/') = 0;
        snprintf(path, sizeof path, "%s%s", root, tail);
        DLF_TRY(look_in(out, path, info));
    }
    return DLF_OK;
}
