/* SPDX-License-Identifier: MIT
 * checkpoint.c -- a training as one safetensors file, and back.
 *
 *   8 bytes  length N of the header, little endian
 *   N bytes  JSON: name -> {"dtype", "shape", "data_offsets": [begin, end]}, and "__metadata__"
 *   the rest the tensors, one behind another
 *
 * Everything else a training needs is a pure function of its seed and its step. Reading takes
 * nothing on trust, and touches no tensor before the whole file has been found good. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "graph/graph_internal.h"
#include "result/atomic_file.h"
#include "train/train_internal.h"

enum { NAME = GRAPH_NAME + 16, HEADER_LIMIT = 16 << 20, PREFIX = 8 };

typedef struct entry {
    char name[NAME];
    dlf_tensor *t;
    int64_t begin, end; /* bytes behind the header */
} entry;

typedef struct catalogue {
    entry *entry;
    int n;
    int64_t bytes;
} catalogue;

static void add(catalogue *c, const char *prefix, const char *name, dlf_tensor *t)
{
    if (!t || !t->data) return;
    entry *e = &c->entry[c->n++];
    snprintf(e->name, sizeof e->name, "%s%s", prefix, name);
    e->t = t;
    e->begin = c->bytes;
    c->bytes += dlf_tensor_count(t) * (int64_t)dlf_dtype_size(t->dtype);
    e->end = c->bytes;
}

/* What belongs into the file, in a fixed order. */
static dlf_status list(catalogue *c, dlf_train *t)
{
    dlf_graph *g = t->g;
    *c = (catalogue){.entry = calloc(3 * (size_t)g->nodes + 4, sizeof *c->entry)};
    if (!c->entry) return dlf_fail(DLF_ERR_OOM, "checkpoint: out of memory");
    for (int id = 1; id <= g->nodes; id++) {
        graph_node *n = &g->node[id];
        if (n->parameter) add(c, "", n->name, &n->value);
        add(c, n->name, ".running_mean", &n->running_mean);
        add(c, n->name, ".running_var", &n->running_var);
    }
    add(c, "optimiser.", t->square.data ? "first_moment" : "velocity", &t->velocity);
    add(c, "optimiser.", "second_moment", &t->square);
    add(c, "train.", "first_bad", &t->first_bad);
    return DLF_OK;
}

static const char *type_name(dlf_dtype dtype)
{
    return dtype == DLF_F64 ? "F64" : dtype == DLF_I32 ? "I32" : "F32";
}

static dlf_status download(void *to, const dlf_tensor *t)
{
    if (t->dtype == DLF_I32) return dlf_tensor_download_i32(to, t);
    return t->dtype == DLF_F64 ? dlf_tensor_download_f64(to, t) : dlf_tensor_download(to, t);
}

static dlf_status upload(dlf_tensor *t, const void *from)
{
    if (t->dtype == DLF_I32) return dlf_tensor_upload_i32(t, from);
    return t->dtype == DLF_F64 ? dlf_tensor_upload_f64(t, from) : dlf_tensor_upload(t, from);
}

/* ---- writing ---- */

/* The format knows only strings as metadata. */
static json_t *metadata(const dlf_train *t)
{
    char steps[32], epoch[32], step[32], seed[32];
    snprintf(steps, sizeof steps, "%" PRId64, t->steps_done);
    snprintf(epoch, sizeof epoch, "%d", t->epoch);
    snprintf(step, sizeof step, "%d", t->step);
    snprintf(seed, sizeof seed, "%" PRIu64, t->spec.seed);
    json_t *stopped = json_array();
    for (int p = 0; p < t->members; p++)
        if (t->stopped[p]) json_array_append_new(stopped, json_integer(p));
    char *text = json_dumps(stopped, JSON_COMPACT);
    json_decref(stopped);
    json_t *m = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "format", "pt", "dlf", "dlf.train/1",
                          "steps_done", steps, "epoch", epoch, "step_of_epoch", step, "seed", seed,
                          "stopped", text ? text : "[]");
    free(text);
    return m;
}

static char *header(const dlf_train *t, const catalogue *c)
{
    json_t *root = json_object();
    json_object_set_new(root, "__metadata__", metadata(t));
    for (int i = 0; i < c->n; i++) {
        const entry *e = &c->entry[i];
        json_t *shape = json_array();
        for (int k = 0; k < e->t->ndim; k++)
            json_array_append_new(shape, json_integer(e->t->shape[k]));
        json_object_set_new(root, e->name,
                            json_pack("{s:s,s:o,s:[I,I]}", "dtype", type_name(e->t->dtype), "shape",
                                      shape, "data_offsets", (json_int_t)e->begin,
                                      (json_int_t)e->end));
    }
    char *text = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    return text;
}

dlf_status dlf_train_save(dlf_train *t, const char *path)
{
    catalogue c;
    dlf_status status;
    char *text = NULL, *file = NULL;
    DLF_TRY_DONE(list(&c, t));
    text = header(t, &c);
    if (text) {
        const size_t length = strlen(text),
                     padded = (length + 7) / 8 * 8; /* tensors stay aligned */
        file = malloc(PREFIX + padded + (size_t)c.bytes);
        for (int i = 0; file && i < PREFIX; i++) file[i] = (char)(padded >> 8 * i & 0xff);
        if (file) memset(file + PREFIX, ' ', padded);
        if (file) memcpy(file + PREFIX, text, length);
        for (int i = 0; file && i < c.n; i++)
            DLF_TRY_DONE(download(file + PREFIX + padded + c.entry[i].begin, c.entry[i].t));
        if (file)
            DLF_TRY_DONE(dlf_write_file_atomically(path, file, PREFIX + padded + (size_t)c.bytes));
    }
    if (!file) status = dlf_fail(DLF_ERR_OOM, "checkpoint: out of memory");
done:
    free(file);
    free(text);
    free(c.entry);
    return status;
}

/* ---- reading ---- */

static dlf_status bad(const char *path, const char *why)
{
    return dlf_fail(DLF_ERR_INPUT, "checkpoint %s: %s", path, why);
}

/* The whole file, if it is no longer than it can be. */
static dlf_status slurp(const char *path, int64_t most, char **out, int64_t *size)
{
    FILE *f = fopen(path, "rbe");
    if (!f) return dlf_fail(DLF_ERR_INPUT, "checkpoint %s: %s", path, strerror(errno));
    dlf_status status = DLF_OK;
    *out = malloc((size_t)most + 1);
    *size = *out ? (int64_t)fread(*out, 1, (size_t)most + 1, f) : 0;
    if (!*out)
        status = dlf_fail(DLF_ERR_OOM, "checkpoint: out of memory");
    else if (ferror(f))
        status = dlf_fail(DLF_ERR_INPUT, "checkpoint %s: %s", path, strerror(errno));
    else if (*size > most)
        status = bad(path, "longer than any checkpoint of this network");
    fclose(f);
    return status;
}

/* The tensor is there, of this type and shape, and its bytes lie in the file. */
static dlf_status match(const char *path, const json_t *root, entry *e, int64_t bytes)
{
    char why[NAME + 96];
    const json_t *t = json_object_get(root, e->name);
    const json_t *shape = json_object_get(t, "shape"), *at = json_object_get(t, "data_offsets");
    const char *type = json_string_value(json_object_get(t, "dtype"));
    const int64_t size = e->end - e->begin;
    bool same = type && strcmp(type, type_name(e->t->dtype)) == 0 &&
                json_array_size(shape) == (size_t)e->t->ndim;
    for (int k = 0; same && k < e->t->ndim; k++)
        same = json_integer_value(json_array_get(shape, (size_t)k)) == e->t->shape[k];
    if (!same) {
        char wanted[96];
        snprintf(why, sizeof why, "tensor '%s' is %s; the network has %s", e->name,
                 t ? "of another type or shape" : "missing",
                 dlf_tensor_describe(e->t, wanted, sizeof wanted));
        return bad(path, why);
    }
    e->begin = json_integer_value(json_array_get(at, 0));
    e->end = json_integer_value(json_array_get(at, 1));
    if (json_array_size(at) == 2 && e->begin >= 0 && e->end - e->begin == size && e->end <= bytes)
        return DLF_OK;
    snprintf(why, sizeof why, "tensor '%s' lies outside the file", e->name);
    return bad(path, why);
}

/* A number of the metadata, 0..most. */
static bool number(const json_t *meta, const char *key, int64_t most, int64_t *out)
{
    const char *text = json_string_value(json_object_get(meta, key));
    char *end = NULL;
    if (!text || text[0] < '0' || text[0] > '9') return false;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return errno == 0 && *end == '\0' && *out <= most;
}

typedef struct position {
    int64_t steps_done, epoch, step;
    json_t *stopped;
} position;

static dlf_status read_position(const char *path, const json_t *root, const dlf_train *t,
                                position *out)
{
    const json_t *meta = json_object_get(root, "__metadata__");
    const char *kind = json_string_value(json_object_get(meta, "dlf"));
    const char *stopped = json_string_value(json_object_get(meta, "stopped"));
    const char *seed = json_string_value(json_object_get(meta, "seed"));
    char own_seed[32];
    snprintf(own_seed, sizeof own_seed, "%" PRIu64, t->spec.seed);
    if (!kind || strcmp(kind, "dlf.train/1") != 0) return bad(path, "not one of dlf.train/1");
    if (!seed || strcmp(seed, own_seed) != 0)
        return bad(path, "its training had another seed, so it cannot be continued with this one");
    const bool good = number(meta, "steps_done", INT32_MAX, &out->steps_done) &&
                      number(meta, "epoch", INT32_MAX, &out->epoch) &&
                      number(meta, "step_of_epoch", t->epoch_steps, &out->step) &&
                      out->step <= out->steps_done && (out->epoch > 0 || out->steps_done == 0);
    out->stopped = stopped ? json_loads(stopped, 0, NULL) : NULL;
    if (!good || !json_is_array(out->stopped)) return bad(path, "its metadata make no sense");
    return DLF_OK;
}

static dlf_status parse(const char *path, const char *file, int64_t size, dlf_train *t,
                        catalogue *c, position *where, int64_t *data)
{
    uint64_t length = 0;
    if (size < PREFIX) return bad(path, "too short");
    for (int i = 0; i < PREFIX; i++) length |= (uint64_t)(unsigned char)file[i] << 8 * i;
    if (length > HEADER_LIMIT || (int64_t)length > size - PREFIX)
        return bad(path, "the header is longer than the file");
    *data = PREFIX + (int64_t)length;
    json_error_t error;
    json_t *root = json_loadb(file + PREFIX, (size_t)length, JSON_REJECT_DUPLICATES, &error);
    if (!root) return bad(path, "the header is no JSON");
    dlf_status status = read_position(path, root, t, where);
    for (int i = 0; i < c->n && status == DLF_OK; i++)
        status = match(path, root, &c->entry[i], size - *data);
    if (status == DLF_OK && json_object_size(root) != (size_t)c->n + 1)
        status = bad(path, "it holds tensors that the network does not have");
    json_decref(root);
    return status;
}

static dlf_status take_over(dlf_train *t, const catalogue *c, const position *where,
                            const char *data)
{
    for (int i = 0; i < c->n; i++) DLF_TRY(upload(c->entry[i].t, data + c->entry[i].begin));
    for (int p = 0; p < t->members; p++) t->stopped[p] = false;
    for (size_t i = 0; i < json_array_size(where->stopped); i++) {
        const json_int_t p = json_integer_value(json_array_get(where->stopped, i));
        if (p >= 0 && p < t->members) t->stopped[p] = true;
    }
    return train_resume(t, (int)where->epoch, (int)where->step, where->steps_done);
}

dlf_status dlf_train_load(dlf_train *t, const char *path)
{
    catalogue c;
    position where = {0};
    char *file = NULL;
    int64_t size = 0, data = 0;
    dlf_status status;
    DLF_TRY_DONE(list(&c, t));
    DLF_TRY_DONE(slurp(path, PREFIX + HEADER_LIMIT + c.bytes, &file, &size));
    DLF_TRY_DONE(parse(path, file, size, t, &c, &where, &data));
    DLF_TRY_DONE(take_over(t, &c, &where, file + data));
done:
    json_decref(where.stopped);
    free(file);
    free(c.entry);
    return status;
}
