/* SPDX-License-Identifier: MIT
 * peers.h -- everyone who competes with dlf in a run: processes (peer.c), and peers inside this
 * process, which compute the very operands of the case on our device. */
#ifndef DLF_BENCH_PEERS_H
#define DLF_BENCH_PEERS_H
#include "bench/gate.h"
#include "bench/runner.h"

typedef struct bench_peers bench_peers;

/* Those of o->peers: "torch,cudnn,cublaslt,unfused", or "best": every library that works here. A
 * peer inside this process that does not work here is told once (o->warn) and in the notes of the
 * rows, which go on without it.
 *   errors  DLF_ERR_NOT_FOUND  there is no such peer, or a process that was named does not start
 *           DLF_ERR_ARG        too many */
DLF_MUST_CHECK dlf_status bench_peers_open(bench_peers **out, const dlf_bench_options *o);
void bench_peers_close(bench_peers *p);
/* For another pass: the processes of --baseline anew, in the other order, because where a process's
 * memory and code lie is the same for all its life, and worth some per cent. */
DLF_MUST_CHECK dlf_status bench_peers_renew(bench_peers *p, int pass);
/* Into out[0..], ends with NULL. */
void bench_peers_versions(const bench_peers *p, const char *out[DLF_BENCH_RUNNERS]);

/* A runner for each peer from runner[*n] on; gate NULL: unchecked. A peer that computes something
 * else than `gate` wants does not take part: its check and its note say so. */
DLF_MUST_CHECK dlf_status bench_peers_join(bench_peers *p, bench_runner *runner, int *n,
                                           bench_subject *ours, bench_gate *gate, bench_evictor *e);
/* After the case, when its runners are released. */
void bench_peers_leave(bench_peers *p);

/* ---- peers inside this process -------------------------------------------------------------- */

typedef struct bench_inside {
    const char *name;
    /* *state for this device; false: `text` says why not, else the version. */
    bool (*open)(void **state, dlf_device *device, char *text, size_t size);
    void (*close)(void *state);
    /* `theirs` is the case, ready to be called with our kernel: from now on its call is the peer's,
     * its fastest; note: which that is.
     *   errors  DLF_ERR_NO_KERNEL  no such op, or none of its plans runs; the message says which */
    dlf_status (*take)(void *state, bench_subject *theirs, char *note, size_t size);
} bench_inside;

extern const bench_inside bench_inside_cudnn, bench_inside_cublaslt, bench_inside_unfused;

/* A library of NVIDIA's can be looked for: a CUDA device, and in the test bed only one that
 * environment variable `variable` names, because a real one would not understand its memory. */
bool bench_library_allowed(const dlf_device *device, const char *variable, char *text, size_t size);

/* Candidates 0 .. n-1 are tried: `choose` makes one the subject's, and it is called and timed. The
 * fastest stays chosen, and is taken untimed in later passes (s->way). DLF_ERR_NO_KERNEL: none ran.
 */
DLF_MUST_CHECK dlf_status bench_fastest(bench_subject *s, int n,
                                        dlf_status (*choose)(bench_subject *s, int which),
                                        int *best);

/* t[i] in another type: an input's numbers are rounded to it. */
DLF_MUST_CHECK dlf_status bench_retype(bench_subject *s, int i, dlf_dtype dtype);

/* Of device memory, for a library; what a plan may ask for at the most. */
extern const size_t bench_workspace_most;
typedef struct bench_workspace {
    dlf_device *device;
    void *memory;
    size_t bytes;
} bench_workspace;
DLF_MUST_CHECK dlf_status bench_workspace_new(bench_workspace *out, dlf_device *device,
                                              size_t bytes);
void bench_workspace_free(bench_workspace *w);
#endif
