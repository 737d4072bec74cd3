/* SPDX-License-Identifier: MIT
 * runner.c -- one sample of a subject: cold, hot, or as a replayed recording. */
#include "bench/runner.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "backend/measure.h"

enum {
    MOST_CALLS = 4096,
    GRAPH_CALLS = 32,
    HOST_PER_DEVICE = 100,
    /* Launches behind a closed gate. A stream takes about a thousand before the host has to wait,
     * which nobody promises; what is beyond follows while these run. */
    MOST_QUEUED = 512,
    LAUNCHES = 8, /* of a call that does not say */
    MOST_GIVEN_UP = 3
};

int bench_hot_calls(double hot_ns, double device_ns, double host_ns)
{
    const double wanted = hot_ns > 0.0 ? hot_ns : 2e5;
    const double calls = fmin(wanted / device_ns, HOST_PER_DEVICE * wanted / host_ns);
    return calls > 1.0 ? (int)fmin(calls + 0.5, MOST_CALLS) : 1;
}

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

/* The same work, `slow` times as long. Only where the clock is the host's. */
static void spin(double since, double slow)
{
    const double until = since + slow * (now_ns() - since);
    while (now_ns() < until) {
    }
}

static dlf_status call(bench_runner *r)
{
    const double start = r->slow > 0.0 ? now_ns() : 0.0;
    DLF_TRY(r->subject->call(r->subject));
    if (r->slow > 0.0) spin(start, r->slow);
    return DLF_OK;
}

/* `gate`, if any, is closed until all calls are queued, or as many as the queue takes. */
static dlf_status time_queued(bench_runner *r, int calls, double *ns, dlf_cuda_gate *gate)
{
    const dlf_backend *b = r->subject->device->backend;
    const int held = (int)(MOST_QUEUED / (r->launches > 0.0 ? r->launches : LAUNCHES));
    DLF_TRY(b->time_start(r->subject->device));
    const double start = now_ns();
    for (int i = 0; i < calls; i++) {
        if (gate && i == held) dlf_cuda_gate_open(gate);
        DLF_TRY(call(r));
    }
    if (gate) dlf_cuda_gate_open(gate);
    r->host_ns = fmin(r->host_ns, (now_ns() - start) / calls); /* NaN gives way */
    DLF_TRY(b->time_stop(r->subject->device, ns));
    *ns /= calls;
    return DLF_OK;
}

static dlf_status time_calls(bench_runner *r, int calls, double *ns)
{
    return time_queued(r, calls, ns, NULL);
}

/* Without launch latency where the device can be held up. A sample for which the gate gave up, with
 * the host late, is taken again without. */
static dlf_status time_hot(bench_runner *r, double *ns)
{
    dlf_cuda_gate *gate = r->given_up < MOST_GIVEN_UP ? r->evictor->gate : NULL;
    if (!gate) return time_calls(r, r->calls, ns);
    DLF_TRY(dlf_cuda_gate_close(gate, r->subject->device));
    const dlf_status status = time_queued(r, r->calls, ns, gate);
    dlf_cuda_gate_open(gate);
    if (status != DLF_OK || !dlf_cuda_gate_gave_up(gate)) return status;
    r->given_up++;
    return time_calls(r, r->calls, ns);
}

static dlf_status time_graph(bench_runner *r, double *ns)
{
    const dlf_backend *b = r->subject->device->backend;
    DLF_TRY(b->time_start(r->subject->device));
    DLF_TRY(dlf_replay(r->recording));
    DLF_TRY(b->time_stop(r->subject->device, ns));
    *ns /= r->graph_calls;
    return DLF_OK;
}

static dlf_status sample(bench_runner *r, dlf_bench_mode mode, double *ns)
{
    if (mode == DLF_BENCH_GRAPH) return time_graph(r, ns);
    if (mode == DLF_BENCH_HOT) { /* whoever was before us left other operands in the caches */
        DLF_TRY(r->subject->call(r->subject));
        return time_hot(r, ns);
    }
    if (r->evicts) DLF_TRY(bench_evict(r->evictor, r->subject));
    return time_calls(r, 1, ns);
}

static void release(bench_runner *r)
{
    dlf_recording_free(r->recording);
    r->recording = NULL;
}

/* What cannot be recorded is not timed as a graph. */
static void record(bench_runner *r)
{
    dlf_device *dev = r->subject->device;
    if (!dlf_device_records(dev) || dlf_record_begin(dev) != DLF_OK) return;
    dlf_status status = DLF_OK;
    for (int i = 0; i < r->graph_calls && status == DLF_OK; i++)
        status = r->subject->call(r->subject);
    if (dlf_record_end(dev, &r->recording) != DLF_OK || status != DLF_OK) return;
    r->modes |= 1u << DLF_BENCH_GRAPH;
    if (dlf_recording_launches(r->recording) > 0)
        r->launches = (double)dlf_recording_launches(r->recording) / r->graph_calls;
}

dlf_status bench_runner_of(bench_runner *r, const char *name, bench_subject *s, bench_evictor *e,
                           double hot_ns, unsigned distort)
{
    *r = (bench_runner){.modes = 1u << DLF_BENCH_COLD | 1u << DLF_BENCH_HOT,
                        .sample = sample,
                        .release = release,
                        .subject = s,
                        .evictor = e,
                        .slow = distort & DLF_DISTORT_SLOW ? 1.05 : 0.0,
                        .evicts = !(distort & DLF_DISTORT_NO_EVICT),
                        .calls = 1,
                        .launches = -1.0,
                        .host_ns = NAN};
    snprintf(r->name, sizeof r->name, "%s", name);
    double ns;
    DLF_TRY(time_calls(r, 1, &ns));
    const double start = now_ns();
    const int64_t regions = dlf_team_regions();
    DLF_TRY(time_calls(r, 2, &ns));
    if (regions >= 0 && !strcmp(s->device->backend->name, "cpu"))
        r->launches = 0.5 * (double)(dlf_team_regions() - regions);
    r->calls = bench_hot_calls(hot_ns, ns, 0.5 * (now_ns() - start));
    r->graph_calls = r->calls < GRAPH_CALLS ? r->calls : GRAPH_CALLS;
    record(r);
    return DLF_OK;
}
