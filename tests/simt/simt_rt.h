/* SPDX-License-Identifier: MIT */
/* Inside of the fiber runtime: simt_fiber.cpp (stacks and switches), simt_sched.cpp (who runs
 * next), simt_warp.cpp and simt_tensor.cpp (warp operations), simt_shared.cpp (shared memory,
 * cp.async), simt_launch.cpp (grids, workers, reports). */
#ifndef DLF_SIMT_RT_H
#define DLF_SIMT_RT_H

#include "simt_core.h"
#include "simt_internal.h"
#include <stddef.h>
#include <stdint.h>
#include <vector>

#if !defined(__x86_64__) && !defined(__aarch64__) && !defined(SIMT_UCONTEXT)
#define SIMT_UCONTEXT
#endif
#if defined(SIMT_UCONTEXT)
#include <ucontext.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#define SIMT_ASAN
extern "C" {
void __asan_poison_memory_region(void const volatile *, size_t);
void __asan_unpoison_memory_region(void const volatile *, size_t);
void *__asan_region_is_poisoned(void *, size_t);
void __sanitizer_start_switch_fiber(void **, const void *, size_t);
void __sanitizer_finish_switch_fiber(void *, const void **, size_t *);
}
#endif

/* With the race detector only kernels are instrumented: the runtime is compiled with -DSIMT_TSAN
 * and without -fsanitize=thread, and tells the detector by hand what orders what. */
#if defined(__SANITIZE_THREAD__)
#error "compile the runtime with -fno-sanitize=thread -DSIMT_TSAN"
#endif
#if defined(SIMT_TSAN)
extern "C" {
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned);
void __tsan_destroy_fiber(void *);
void __tsan_switch_to_fiber(void *, unsigned);
void __tsan_acquire(void *);
void __tsan_release(void *);
void __tsan_read_range(void *, unsigned long);
void __tsan_write_range(void *, unsigned long);
void AnnotateIgnoreReadsBegin(const char *, int);
void AnnotateIgnoreReadsEnd(const char *, int);
}
#endif

namespace simt
{

#if defined(SIMT_TSAN)
/* Uninstrumented code still reaches the detector through memcpy, malloc and mmap. Without this,
 * the runtime's own memory, which moves from thread to thread of a block, gives false reports.
 * Despite its name the annotation ignores reads and writes. */
struct Quiet {
    Quiet() { AnnotateIgnoreReadsBegin(__FILE__, __LINE__); }
    ~Quiet() { AnnotateIgnoreReadsEnd(__FILE__, __LINE__); }
};
inline void tsan_acquire(void *tag)
{
    __tsan_acquire(tag);
}
inline void tsan_release(void *tag)
{
    __tsan_release(tag);
}
#else
struct Quiet {
    Quiet() {}
};
inline void tsan_acquire(void *) {}
inline void tsan_release(void *) {}
#endif

#if defined(SIMT_ASAN)
constexpr size_t stack_bytes = 512 << 10; /* red zones around every local array */
#else
constexpr size_t stack_bytes = 128 << 10;
#endif
constexpr size_t guard_page_bytes = 4096;
constexpr size_t red_zone_bytes = 64;
constexpr size_t arena_bytes = 256 << 10;
constexpr int shared_vars_max = 64;

struct Fiber {
    void *sp = nullptr;
    char *stack = nullptr; /* lowest address; for the host's own stack: learned when known */
    size_t stack_size = 0;
    unsigned color = 0;
    void *tsan = nullptr;
#if defined(SIMT_UCONTEXT)
    ucontext_t context;
#endif
};

struct Warp {
    WarpCall call;
    unsigned pending; /* lanes that wait in a warp operation */
    unsigned alive;   /* lanes that have not returned */
    unsigned mask[32];
    const WarpOp *op[32];
    unsigned generation;
};

struct SharedVar {
    const void *key;
    const char *name;
    char *p;
    size_t size;
};

struct AsyncCopy {
    void *dst;
    const void *src;
    unsigned size, valid, group;
};
struct AsyncQueue {
    std::vector<AsyncCopy> copies;
    unsigned committed = 0;
};

/* One per worker; runs one block at a time. */
struct Scheduler {
    /* the block */
    std::vector<Thread> threads;
    std::vector<Warp> warps;
    Block block;
    std::vector<unsigned> order; /* in which fresh threads start */
    unsigned count = 0, next_fresh = 0, alive = 0;
    std::vector<Thread *> ready; /* those whose wait is over */
    void (*thread_body)(void *) = nullptr;
    void *closure = nullptr;

    /* the block-wide barrier */
    unsigned at_barrier = 0, generation = 0;
    int votes_for = 0, votes_against = 0;
    int result_for = 0, result_against = 0;

    /* race detector: addresses that stand for what orders what, see barrier_tag() */
    char *tags = nullptr;
    char started, finished;
    std::vector<void *> used_contexts, spare_contexts;

    /* fibers */
    Fiber host;
    Fiber *current = &host;
    std::vector<Fiber *> idle;
    unsigned fibers_made = 0;

    /* shared memory */
    char *arena = nullptr;
    size_t arena_used = 0, dynamic_size = 0, static_size = 0;
    char *dynamic = nullptr;
    SharedVar vars[shared_vars_max];
    int n_vars = 0;

    std::vector<AsyncQueue> async;
    bool async_used = false;

    uint64_t rng = 0;
    unsigned long long switches = 0;

    uint32_t random();
};
extern __thread Scheduler *sched;

extern unsigned g_seed;
extern const char *g_kernel; /* for reports */

/* What names a barrier to the race detector: two addresses for the block and two for each warp,
 * used in turn. They are allocated anew for each block; had the next block the same ones, it would
 * be ordered after this one, and races between blocks with barriers would go unseen. */
enum { BLOCK_TAG = 0, FIRST_WARP_TAG = 1 };
inline char *barrier_tag(unsigned owner, unsigned generation)
{
#if defined(SIMT_TSAN)
    return &sched->tags[2 * owner + (generation & 1)];
#else
    (void)owner, (void)generation;
    return nullptr;
#endif
}

/* simt_fiber.cpp */
Fiber *fiber_take();
void fibers_prepare(unsigned count);
void fibers_finish();
void fiber_switch(Fiber *to);
void fiber_entered();

/* simt_sched.cpp */
[[noreturn]] void fiber_main();
void run_block(const LaunchConfig &config, unsigned long long id);
void wait_as(Thread *thread, State state);

/* simt_warp.cpp */
void warp_lane_exits(Thread *thread);

/* simt_shared.cpp */
void shared_begin(size_t dynamic_bytes);
void shared_end();
void async_begin();

/* simt_launch.cpp */
void report_header(Site site, const char *what);

} // namespace simt

#endif
