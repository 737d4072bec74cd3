/* SPDX-License-Identifier: MIT
 * runner.h -- who takes part in the rounds of a case. */
#ifndef DLF_BENCH_RUNNER_H
#define DLF_BENCH_RUNNER_H
#include "bench/evict.h"
#include "bench/subject.h"

typedef struct bench_runner bench_runner;
struct bench_runner {
    char name[16], note[160];
    dlf_bench_check check;
    unsigned
        modes; /* 1 << mode: what it can be timed in; 0: it does not take part (note says why) */
    dlf_status (*sample)(bench_runner *r, dlf_bench_mode mode, double *ns); /* per call */
    void (*release)(bench_runner *r);
    /* a subject on our device */
    bench_subject *subject;
    bench_evictor *evictor;
    double slow; /* spin until this many times the time has passed; 0: no */
    bool evicts;
    int given_up; /* times that the gate gave up: who waits for the device itself soon gets none */
    int calls;    /* of a hot sample, so that the clock's resolution does not matter */
    int graph_calls; /* of a recording */
    double launches; /* of a call: kernels, fills and copies (cuda), parallel regions (cpu); -1   */
    double host_ns;  /* the least that queueing a hot call took; NaN: not known                   */
    dlf_recording *recording;
    /* a peer process */
    struct bench_peer *peer;
    int slot; /* of the case in the peer */
};

/* Calls of a hot sample: as many as last `hot_ns` (0: 0.2 ms) on the device, and not much longer on
 * the host: a device whose clock says nothing (the test bed's) gets few calls. */
int bench_hot_calls(double hot_ns, double device_ns, double host_ns);

/* The subject must outlive the runner. */
DLF_MUST_CHECK dlf_status bench_runner_of(bench_runner *r, const char *name, bench_subject *s,
                                          bench_evictor *e, double hot_ns, unsigned distort);

/* A process that is asked on stdin and answers on stdout, one line each (docs/benchmarking.md). */
typedef struct bench_peer bench_peer;
/*   errors  DLF_ERR_NOT_FOUND  unknown peer, or it does not start; the message carries its words */
DLF_MUST_CHECK dlf_status bench_peer_start(bench_peer **out, const char *name,
                                           const dlf_bench_options *o);
/* DLF_BENCH_BEFORE: the program o->baseline; DLF_BENCH_NOW: this one. */
DLF_MUST_CHECK dlf_status bench_peer_start_dlf(bench_peer **out, const char *name,
                                               const dlf_bench_options *o);
void bench_peer_stop(bench_peer *p);
const char *bench_peer_version(const bench_peer *p);
/* r->modes = 0 and r->note = its reason when the peer has no such op. tolerance: of how far its
 * result is off, which is then in r->check (too far: r->modes = 0); NaN: nobody looks. */
DLF_MUST_CHECK dlf_status bench_runner_of_peer(bench_runner *r, bench_peer *p,
                                               const dlf_bench_case *c, double hot_ns,
                                               double tolerance);

#endif
