/* SPDX-License-Identifier: MIT */
/* What device code (simt.h) and the fiber runtime (simt_*.cpp) share: one definition of each type.
 * Nothing here spells a CUDA name; simt.h does that. */
#ifndef DLF_SIMT_CORE_H
#define DLF_SIMT_CORE_H

#include <cuda_runtime.h> /* dim3, uint3, cudaError_t, cudaStream_t: fine under plain g++ */
#include <stddef.h>
#include <stdint.h>

namespace simt
{

/* Where in the source something happened. `id` tells two barriers on one line apart. */
struct Site {
    const char *file;
    int line;
    unsigned id;

    /* As a default argument this is the place of the call, not of the declaration. */
    static constexpr Site here(const char *file = __builtin_FILE(), int line = __builtin_LINE())
    {
        return {file, line, 0};
    }
};

enum class State { fresh, running, at_barrier, at_warp_op, done };

struct Fiber;

/* One CUDA thread of the block that is being run. */
struct Thread {
    uint3 index;
    unsigned linear, lane, warp;
    State state;
    const char *waits_in; /* name of the operation, for reports */
    Site site;            /* of the last barrier or warp operation */
    Fiber *fiber;
};

struct Block {
    uint3 index;
    dim3 dim, grid;
};

/* Read for every threadIdx, hence initial-exec: the test bed is never dlopen()ed. And hence
 * __thread: an extern thread_local is reached through a function, of which UBSan of gcc 12 moreover
 * believes that it returns null. */
extern __thread Thread *self __attribute__((tls_model("initial-exec")));
extern __thread const Block *block __attribute__((tls_model("initial-exec")));

[[noreturn]] void fail(Site site, const char *format, ...) __attribute__((format(printf, 2, 3)));
inline void check_aligned(const void *p, size_t bytes, Site site)
{
    if (reinterpret_cast<uintptr_t>(p) % bytes)
        fail(site, "access of %zu bytes at %p, which is no multiple", bytes, p);
}

/* ---- launch ---- */

struct LaunchConfig {
    const char *name;
    dim3 grid, block;
    size_t smem;
    cudaStream_t stream;
};
/* Runs the grid to completion, or takes it down if the stream captures, with a copy of the
 * closure's `size` bytes; an error becomes the runtime's last error, as in the real API. */
void launch(const LaunchConfig &config, void (*thread)(void *), void *closure, size_t size);

/* ---- block-wide barriers ---- */

enum class Vote { count, all, any };
void syncthreads(Site site);
int syncthreads_vote(int predicate, Vote vote, Site site);
void threadfence();
void yield(Site site);

/* ---- warp operations ----
 * Every lane named in the mask arrives with pointers into its own stack; the last one to arrive
 * runs the operation once over all lanes. Shuffles, votes, reductions and mma are all like that. */

struct WarpCall {
    const void *in[32];
    void *out[32];
    int arg[32];
    unsigned mask;   /* as passed by every lane */
    unsigned active; /* mask without the lanes that have returned from the kernel */
};
struct WarpOp {
    const char *name;
    void (*run)(WarpCall &);
};
void warp_call(const WarpOp &op, unsigned mask, const void *in, void *out, int arg, Site site);
void syncwarp(unsigned mask, Site site);

enum class Shuffle { idx, up, down, bfly };
enum class Reduce { add, min, max, bit_and, bit_or, bit_xor };
const WarpOp &shuffle_op(Shuffle kind, size_t size);  /* out: size bytes of lane arg */
const WarpOp &reduce_op(Reduce kind, bool is_signed); /* in, out: 32-bit integers */
const WarpOp &match_op(bool all, size_t size);        /* out: unsigned mask */
extern const WarpOp ballot_op;                        /* arg: predicate, out: unsigned mask */

/* ---- shared memory, asynchronous copies ---- */

void *shared_static(const void *key, size_t size, size_t align, const char *name, Site site);
void *shared_dynamic();
/* Recorded at issue, with the destination poisoned; copied when waited for. Bytes of the
 * destination beyond `valid` become zero, as with the src-size operand of cp.async. */
void cp_async(void *dst, const void *src, unsigned size, unsigned valid, Site site);
void cp_async_commit();
void cp_async_wait(unsigned pending);

/* Race detector: what an atomic sees, it sees after the fence of whoever wrote it. */
void atomic_acquire();

} // namespace simt

/* The race detector must see the kernel's own accesses and none of ours. */
#define SIMT_UNTRACED __attribute__((no_sanitize("thread")))

#endif
