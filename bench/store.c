/* SPDX-License-Identifier: MIT
 * store.c -- a report as JSON, and back. */
#include "bench/store.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- out ------------------------------------------------------------------------------------ */

/* Numbers that are none are strings. */
static json_t *number(double x)
{
    if (isnan(x)) return json_string("NaN");
    if (isinf(x)) return json_string(x > 0 ? "Infinity" : "-Infinity");
    return json_real(x);
}

/* Six digits say more than a clock knows. */
static double rounded(double x)
{
    char text[32];
    if (!isfinite(x)) return x;
    snprintf(text, sizeof text, "%.6g", x);
    return strtod(text, NULL);
}

static json_t *samples(const double *ns, int n)
{
    json_t *array = json_array();
    for (int i = 0; i < n; i++) json_array_append_new(array, number(ns[i]));
    return array;
}

/* The statistics are those of the stored samples, so that a report read again says the same. */
static json_t *mode_object(const double *full, int n)
{
    double *ns = malloc((size_t)(n ? n : 1) * sizeof *ns);
    if (!ns) return NULL;
    for (int i = 0; i < n; i++) ns[i] = rounded(full[i]);
    const dlf_bench_stats s = dlf_bench_stats_of(ns, n);
    json_t *o =
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:[o,o], s:o}", "median", number(rounded(s.median)),
                  "q1", number(rounded(s.q1)), "q3", number(rounded(s.q3)), "p95",
                  number(rounded(s.p95)), "min", number(rounded(s.min)), "ci95",
                  number(rounded(s.lo)), number(rounded(s.hi)), "ns", samples(ns, n));
    free(ns);
    return o;
}

static json_t *runner_object(const dlf_bench_runner_result *r, int rounds)
{
    json_t *o = json_pack("{s:s, s:s}", "name", r->name, "note", r->note);
    for (int m = 0; m < DLF_BENCH_MODES; m++)
        if (r->ns[m])
            json_object_set_new(o, dlf_bench_mode_name((dlf_bench_mode)m),
                                mode_object(r->ns[m], rounds));
    if (r->launches >= 0.0) json_object_set_new(o, "launches", number(r->launches));
    if (!isnan(r->host_ns)) json_object_set_new(o, "host_ns", number(rounded(r->host_ns)));
    const dlf_bench_check *c = &r->check;
    if (c->done)
        json_object_set_new(o, "check",
                            json_pack("{s:o, s:o, s:b, s:b}", "error", number(c->error),
                                      "tolerance", number(c->tolerance), "ok", (int)c->ok,
                                      "same_bits", (int)c->same_bits));
    return o;
}

static json_t *telemetry_object(const dlf_bench_telemetry *t)
{
    return json_pack("{s:o, s:o, s:o, s:i}", "sm_mhz", number(t->sm_mhz), "power_w",
                     number(t->power_w), "temperature_c", number(t->temperature_c), "throttled",
                     t->throttled);
}

json_t *bench_case_to_json(const dlf_bench_case *c)
{
    char name[DLF_BENCH_NAME];
    json_t *shape = json_array();
    for (int i = 0; i < c->ndim; i++)
        json_array_append_new(shape, json_integer((json_int_t)c->shape[i]));
    json_t *o =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:I, s:i}", "name",
                  dlf_bench_case_name(name, c), "family", c->family, "op", c->op, "direction",
                  c->direction, "dtype", c->tf32 ? "tf32" : dlf_dtype_name(c->dtype), "layout",
                  c->layout == DLF_NHWC ? "nhwc" : "nchw", "shape", shape, "groups",
                  (json_int_t)c->groups, "version", c->version);
    if (c->outputs)
        json_object_set_new(o, "convolution",
                            json_pack("{s:I, s:I, s:I, s:I}", "outputs", (json_int_t)c->outputs,
                                      "kernel", (json_int_t)c->kernel, "stride",
                                      (json_int_t)c->stride, "pad", (json_int_t)c->pad));
    return o;
}

static json_t *row_object(const dlf_bench_row *row)
{
    json_t *o = bench_case_to_json(&row->c), *runners = json_array();
    for (int i = 0; i < row->n_runners; i++)
        json_array_append_new(runners, runner_object(&row->runner[i], row->rounds));
    if (row->skipped[0]) {
        json_object_set_new(o, "skipped", json_string(row->skipped));
        json_decref(runners);
        return o;
    }
    json_object_set_new(o, "bytes", number(row->bytes));
    json_object_set_new(o, "bytes_moved", number(row->bytes_moved));
    if (!isnan(row->read_share)) json_object_set_new(o, "read_share", number(row->read_share));
    json_object_set_new(o, "copy_bytes", number(row->copy_bytes));
    json_object_set_new(o, "flops", number(row->flops));
    json_object_set_new(o, "rounds", json_integer(row->rounds));
    json_t *passes = json_array();
    for (int i = 0; i < row->passes; i++)
        json_array_append_new(passes, json_integer(row->pass_end[i]));
    json_object_set_new(o, "pass_end", passes);
    json_object_set_new(o, "stopped", json_string(dlf_bench_stop_name(row->stop)));
    json_object_set_new(o, "seconds", number(rounded(row->seconds)));
    if (row->telemetry.throttled >= 0 || !isnan(row->telemetry.sm_mhz))
        json_object_set_new(o, "telemetry", telemetry_object(&row->telemetry));
    json_object_set_new(o, "runners", runners);
    return o;
}

static json_t *rows_array(const dlf_bench_row *rows, int n)
{
    json_t *array = json_array();
    for (int i = 0; i < n; i++) json_array_append_new(array, row_object(&rows[i]));
    return array;
}

dlf_status dlf_bench_to_json(char **out, const dlf_bench_report *r)
{
    json_t *manifest = json_loads(r->manifest ? r->manifest : "{}", 0, NULL);
    json_t *o = json_pack("{s:s, s:b, s:f, s:o, s:o, s:o}", "schema", "dlf.bench/1", "complete",
                          (int)r->complete, "spec_gb_per_s", r->spec_gb_per_s, "manifest", manifest,
                          "ceilings", rows_array(r->ceilings, r->n_ceilings), "rows",
                          rows_array(r->rows, r->n));
    *out = o ? json_dumps(o, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(o);
    return *out ? DLF_OK : dlf_fail(DLF_ERR_OOM, "dlf bench: no memory for the JSON text");
}

/* ---- in ------------------------------------------------------------------------------------- */

typedef struct reader {
    const char *path;
    int row;
} reader;

static dlf_status bad(const reader *r, const char *what)
{
    return dlf_fail(DLF_ERR_INPUT, "%s: row %d: %s", r->path, r->row, what);
}

static double number_of(const json_t *j)
{
    if (json_is_number(j)) return json_number_value(j);
    const char *s = json_string_value(j);
    return s && !strcmp(s, "Infinity") ? INFINITY : s && !strcmp(s, "-Infinity") ? -INFINITY : NAN;
}

static void copy_text(char *out, size_t size, const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    snprintf(out, size, "%s", s ? s : "");
}

const char *bench_case_of_json(dlf_bench_case *c, const json_t *row)
{
    static const dlf_dtype dtypes[] = {DLF_F32, DLF_F16, DLF_BF16};
    const char *dtype = json_string_value(json_object_get(row, "dtype"));
    const char *layout = json_string_value(json_object_get(row, "layout"));
    const json_t *shape = json_object_get(row, "shape");
    *c = (dlf_bench_case){.layout = layout && !strcmp(layout, "nhwc") ? DLF_NHWC : DLF_NCHW,
                          .ndim = (int)json_array_size(shape),
                          .groups = json_integer_value(json_object_get(row, "groups")),
                          .version = (int)json_integer_value(json_object_get(row, "version"))};
    copy_text(c->family, sizeof c->family, row, "family");
    copy_text(c->op, sizeof c->op, row, "op");
    copy_text(c->direction, sizeof c->direction, row, "direction");
    if (!c->family[0] || !c->op[0] || !c->direction[0] || !dtype)
        return "family, op, direction or dtype is missing";
    if (c->ndim < 1 || c->ndim > 4) return "shape has 1 to 4 numbers";
    for (int i = 0; i < c->ndim; i++)
        c->shape[i] = json_integer_value(json_array_get(shape, (size_t)i));
    const json_t *convolution = json_object_get(row, "convolution");
    c->outputs = json_integer_value(json_object_get(convolution, "outputs"));
    c->kernel = json_integer_value(json_object_get(convolution, "kernel"));
    c->stride = json_integer_value(json_object_get(convolution, "stride"));
    c->pad = json_integer_value(json_object_get(convolution, "pad"));
    c->tf32 = !strcmp(dtype, "tf32");
    if (c->tf32) dtype = "f32";
    for (int i = 0; i < 3; i++)
        if (!strcmp(dtype, dlf_dtype_name(dtypes[i]))) {
            c->dtype = dtypes[i];
            return NULL;
        }
    return "dtype is none of f32, tf32, f16, bf16";
}

static dlf_status read_samples(double **out, const json_t *mode, int rounds, const reader *r)
{
    const json_t *ns = json_object_get(mode, "ns");
    if ((int)json_array_size(ns) != rounds)
        return bad(r, "a mode has not as many samples as there are rounds");
    *out = malloc((size_t)(rounds ? rounds : 1) * sizeof **out);
    if (!*out) return dlf_fail(DLF_ERR_OOM, "%s: no memory for %d samples", r->path, rounds);
    for (int i = 0; i < rounds; i++) (*out)[i] = number_of(json_array_get(ns, (size_t)i));
    return DLF_OK;
}

static dlf_status read_runner(dlf_bench_runner_result *out, const json_t *j, int rounds,
                              const reader *r)
{
    copy_text(out->name, sizeof out->name, j, "name");
    copy_text(out->note, sizeof out->note, j, "note");
    for (int m = 0; m < DLF_BENCH_MODES; m++) {
        const json_t *mode = json_object_get(j, dlf_bench_mode_name((dlf_bench_mode)m));
        if (mode) DLF_TRY(read_samples(&out->ns[m], mode, rounds, r));
    }
    const json_t *launches = json_object_get(j, "launches");
    out->launches = launches ? number_of(launches) : -1.0;
    out->host_ns = number_of(json_object_get(j, "host_ns"));
    const json_t *c = json_object_get(j, "check");
    out->check = (dlf_bench_check){.done = c != NULL,
                                   .error = number_of(json_object_get(c, "error")),
                                   .tolerance = number_of(json_object_get(c, "tolerance")),
                                   .ok = json_is_true(json_object_get(c, "ok")),
                                   .same_bits = json_is_true(json_object_get(c, "same_bits"))};
    return DLF_OK;
}

/* Results of before there were passes: one. */
static dlf_status read_passes(dlf_bench_row *row, const json_t *ends, const reader *r)
{
    row->passes = ends ? (int)json_array_size(ends) : 1;
    if (row->passes < 1 || row->passes > DLF_BENCH_PASSES)
        return bad(r, "there are 1 to 16 passes");
    for (int i = 0, from = 0; i < row->passes; from = row->pass_end[i++]) {
        row->pass_end[i] =
            ends ? (int)json_integer_value(json_array_get(ends, (size_t)i)) : row->rounds;
        if (row->pass_end[i] < from || row->pass_end[i] > row->rounds)
            return bad(r, "pass_end does not rise to the number of rounds");
    }
    return row->pass_end[row->passes - 1] == row->rounds
               ? DLF_OK
               : bad(r, "pass_end does not rise to the number of rounds");
}

static dlf_status read_row(dlf_bench_row *row, const json_t *j, const reader *r)
{
    const char *why = bench_case_of_json(&row->c, j);
    if (why) return bad(r, why);
    copy_text(row->skipped, sizeof row->skipped, j, "skipped");
    row->telemetry = (dlf_bench_telemetry){NAN, NAN, NAN, -1};
    if (row->skipped[0]) return DLF_OK;
    row->bytes = number_of(json_object_get(j, "bytes"));
    row->bytes_moved = number_of(json_object_get(j, "bytes_moved"));
    row->read_share = number_of(json_object_get(j, "read_share"));
    row->copy_bytes = number_of(json_object_get(j, "copy_bytes"));
    row->flops = number_of(json_object_get(j, "flops"));
    row->seconds = number_of(json_object_get(j, "seconds"));
    row->rounds = (int)json_integer_value(json_object_get(j, "rounds"));
    const char *stop = json_string_value(json_object_get(j, "stopped"));
    for (int i = 0; stop && i <= DLF_STOP_SEQUENTIAL; i++)
        if (!strcmp(stop, dlf_bench_stop_name((dlf_bench_stop)i))) row->stop = (dlf_bench_stop)i;
    const json_t *t = json_object_get(j, "telemetry");
    if (t)
        row->telemetry = (dlf_bench_telemetry){
            number_of(json_object_get(t, "sm_mhz")), number_of(json_object_get(t, "power_w")),
            number_of(json_object_get(t, "temperature_c")),
            (int)json_integer_value(json_object_get(t, "throttled"))};
    const json_t *runners = json_object_get(j, "runners");
    row->n_runners = (int)json_array_size(runners);
    if (row->n_runners < 3 || row->n_runners > DLF_BENCH_RUNNERS || row->rounds < 0)
        return bad(r, "there are 3 to 12 runners: dlf, copy, gemm, and peers");
    DLF_TRY(read_passes(row, json_object_get(j, "pass_end"), r));
    for (int i = 0; i < row->n_runners; i++)
        DLF_TRY(read_runner(&row->runner[i], json_array_get(runners, (size_t)i), row->rounds, r));
    return DLF_OK;
}

/* Counts up *n as it goes, so that what was read can be released. NULL: there are none. */
static dlf_status read_rows(dlf_bench_row **out, int *n, const json_t *rows, const char *path)
{
    *out = calloc(json_array_size(rows) + 1, sizeof **out);
    if (!*out) return dlf_fail(DLF_ERR_OOM, "%s: no memory", path);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const reader where = {path, (int)i};
        *n = (int)i + 1;
        DLF_TRY(read_row(&(*out)[i], json_array_get(rows, i), &where));
    }
    return DLF_OK;
}

dlf_status dlf_bench_load(dlf_bench_report **out, const char *path)
{
    *out = NULL;
    json_error_t error;
    json_t *document = json_load_file(path, 0, &error);
    if (!document) return dlf_fail(DLF_ERR_INPUT, "%s: %s (line %d)", path, error.text, error.line);
    const char *schema = json_string_value(json_object_get(document, "schema"));
    const json_t *rows = json_object_get(document, "rows");
    dlf_bench_report *r = NULL;
    dlf_status status = DLF_OK;
    if (!schema || strcmp(schema, "dlf.bench/1") != 0 || !json_is_array(rows)) {
        status = dlf_fail(DLF_ERR_INPUT,
                          "%s is no result of dlf bench (schema dlf.bench/1 expected, found %s)",
                          path, schema ? schema : "none");
        goto done;
    }
    r = calloc(1, sizeof *r);
    if (!r) {
        status = dlf_fail(DLF_ERR_OOM, "%s: no memory", path);
        goto done;
    }
    r->manifest = json_dumps(json_object_get(document, "manifest"), JSON_COMPACT);
    r->complete = json_is_true(json_object_get(document, "complete"));
    r->spec_gb_per_s = json_number_value(json_object_get(document, "spec_gb_per_s"));
    DLF_TRY_DONE(
        read_rows(&r->ceilings, &r->n_ceilings, json_object_get(document, "ceilings"), path));
    DLF_TRY_DONE(read_rows(&r->rows, &r->n, rows, path));
    *out = r;
done:
    if (status != DLF_OK) dlf_bench_report_free(r);
    json_decref(document);
    return status;
}
