/* SPDX-License-Identifier: MIT */
/* Controls of the CPU test bed: for tests, in C or C++. None of it exists on a GPU. */
#ifndef DLF_SIMT_CONTROL_H
#define DLF_SIMT_CONTROL_H

#include <cuda_runtime_api.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- order of execution ----
 * Seed 0 runs threads and blocks in index order. Any other seed shuffles the threads of a block,
 * the moment at which each one resumes after a wait, and the blocks; the order depends on nothing
 * but the seed and the grid. A kernel whose result changes with the seed has a race.
 * Default: environment variable SIMT_SEED, or 0. */
void simt_set_seed(unsigned seed);
unsigned simt_seed(void);

/* Worker threads that share the blocks of a large grid. Default: environment variable
 * SIMT_THREADS, or 1; always 1 in builds with a sanitizer. */
void simt_set_threads(int threads);

/* Totals since the start: CUDA threads run, fiber switches made, kernels launched. */
struct simt_stats {
    unsigned long long threads, switches, launches;
};
struct simt_stats simt_get_stats(void);

/* ---- faults ----
 * The nth call from now (1 = the next one, 0 = every one) of the named function, for example
 * "cudaMalloc", or "launch" for kernel launches, does nothing and returns err. With sticky set,
 * every function then returns err until cudaDeviceReset(), as after a fault inside a kernel.
 * Environment variable SIMT_INJECT=name:nth:err[:sticky][,...] does the same from the start. */
void simt_inject(const char *api_name, int nth_call, cudaError_t err, int sticky);
void simt_inject_clear(void);
/* How many injections have not fired yet: lets a test count n up until nothing fails any more. */
int simt_inject_pending(void);

/* ---- resources ---- */
size_t simt_live_allocations(void); /* device and pinned host memory not yet freed */
size_t simt_live_bytes(void);       /* of device memory */
size_t simt_live_streams(void);
size_t simt_live_events(void);
size_t simt_live_graphs(void); /* captured, being captured, and executable ones */
/* Lists the allocations that are still alive on stderr; returns how many. */
size_t simt_report_leaks(void);

/* What cudaMemGetInfo() reports as total and cudaMalloc() enforces. Default 2 GiB. */
void simt_set_capacity(size_t bytes);

#ifdef __cplusplus
}
#endif

#endif
