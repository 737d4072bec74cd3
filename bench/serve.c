/* SPDX-License-Identifier: MIT
 * serve.c -- dlf as the peer of another dlf: the requests of docs/benchmarking.md ("Peers") on
 * standard input, answers on standard output. */
#include <stdlib.h>
#include <string.h>

#include "bench/pin.h"
#include "bench/runner.h"
#include "bench/store.h"
#include "build_info.h"
#include "git_hash.h"

typedef struct server {
    dlf_device *device;
    bench_evictor evictor;
    bench_subject subject;
    bench_runner runner;
    bool wants_pin;
    unsigned distort;
    double hot_ns;
    bench_pinning *pinning;
} server;

static void forget(server *s)
{
    if (s->runner.release) s->runner.release(&s->runner);
    bench_subject_free(&s->subject);
    s->runner = (bench_runner){.modes = 0};
    s->subject = (bench_subject){.device = NULL};
}

static dlf_status open(server *s, const json_t *request, json_t **reply)
{
    const char *device = json_string_value(json_object_get(request, "device"));
    if (s->device) return dlf_fail(DLF_ERR_ARG, "the device is open");
    DLF_TRY(dlf_device_open(&s->device, device ? device : ""));
    DLF_TRY(bench_evictor_new(&s->evictor, s->device));
    s->wants_pin = json_is_true(json_object_get(request, "pin"));
    s->distort = (unsigned)json_integer_value(json_object_get(request, "distort"));
    s->hot_ns = json_number_value(json_object_get(request, "hot_ns"));
    char text[120];
    snprintf(text, sizeof text, "dlf %s, %s, %d threads", DLF_VERSION, DLF_GIT,
             s->device->info.threads);
    *reply = json_pack("{s:s}", "version", text);
    return DLF_OK;
}

static dlf_status prepare(server *s, const json_t *object, json_t **reply)
{
    dlf_bench_case c;
    if (!s->device) return dlf_fail(DLF_ERR_ARG, "no device is open");
    forget(s);
    const char *why = bench_case_of_json(&c, object);
    if (why) return dlf_fail(DLF_ERR_ARG, "%s", why);
    DLF_TRY(bench_subject_new(&s->subject, s->device, &c, s->distort & DLF_DISTORT_ZEROS));
    if (s->wants_pin && !s->pinning) s->pinning = bench_pin(s->device); /* all threads have begun */
    DLF_TRY(bench_runner_of(&s->runner, "dlf", &s->subject, &s->evictor, s->hot_ns, s->distort));
    json_t *modes = json_array();
    for (int m = 0; m < DLF_BENCH_MODES; m++)
        if (s->runner.modes & 1u << m)
            json_array_append_new(modes, json_string(dlf_bench_mode_name((dlf_bench_mode)m)));
    *reply = json_pack("{s:o}", "modes", modes);
    return DLF_OK;
}

static dlf_status time_calls(server *s, const json_t *request, json_t **reply)
{
    const char *mode = json_string_value(json_object_get(request, "run"));
    const int calls = (int)json_integer_value(json_object_get(request, "calls"));
    double ns = 0.0;
    for (int m = 0; m < DLF_BENCH_MODES; m++) {
        if (!mode || strcmp(mode, dlf_bench_mode_name((dlf_bench_mode)m)) != 0) continue;
        if (!(s->runner.modes & 1u << m)) break;
        if (m == DLF_BENCH_HOT && calls > 0) s->runner.calls = calls;
        DLF_TRY(s->runner.sample(&s->runner, (dlf_bench_mode)m, &ns));
        *reply = json_pack("{s:f}", "ns", ns);
        return DLF_OK;
    }
    return dlf_fail(DLF_ERR_ARG, "nothing is prepared that can be timed so");
}

static dlf_status answer(server *s, const json_t *request, json_t **reply)
{
    const json_t *object = json_object_get(request, "prepare");
    if (json_object_get(request, "device")) return open(s, request, reply);
    return object ? prepare(s, object, reply) : time_calls(s, request, reply);
}

dlf_status dlf_bench_serve(FILE *in, FILE *out)
{
    server s = {.device = NULL};
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, in) > 0) {
        json_t *request = json_loads(line, 0, NULL), *reply = NULL;
        if (answer(&s, request, &reply) != DLF_OK) /* a refusal is an answer */
            reply = json_pack("{s:s}", "error", dlf_error_message());
        char *text = json_dumps(reply, JSON_COMPACT);
        fprintf(out, "%s\n", text ? text : "{}");
        fflush(out);
        free(text);
        json_decref(reply);
        json_decref(request);
    }
    free(line);
    forget(&s);
    bench_unpin(s.pinning);
    if (s.device) bench_evictor_free(&s.evictor);
    dlf_device_close(s.device);
    return DLF_OK;
}
