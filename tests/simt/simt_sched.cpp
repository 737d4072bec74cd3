/* SPDX-License-Identifier: MIT */
/* One block: which thread runs next, block-wide barriers, and what to say when nobody can run. */
#include "simt_rt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utility>

namespace simt
{

__thread Thread *self __attribute__((tls_model("initial-exec")));
__thread const Block *block __attribute__((tls_model("initial-exec")));
__thread Scheduler *sched;

uint32_t Scheduler::random()
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return static_cast<uint32_t>(rng >> 32);
}

/* The same order whatever the number of workers: a function of seed and block alone. */
static uint64_t block_rng(unsigned long long id)
{
    uint64_t x = (id + 1) * 0x9E3779B97F4A7C15u + (g_seed + 1ull) * 0xD1B54A32D192ED03u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    x ^= x >> 31;
    return x ? x : 1;
}

static bool same_site(const Site &a, const Site &b)
{
    return a.line == b.line && a.id == b.id && !strcmp(a.file, b.file);
}

static bool is_waiting(const Thread &t)
{
    return t.state == State::at_barrier || t.state == State::at_warp_op;
}

/* One line for all threads of a warp that wait in the same operation. */
static void print_waiting(const std::vector<Thread> &threads, size_t first)
{
    const Thread &t = threads[first];
    unsigned lanes = 0;
    for (size_t i = first; i < threads.size() && threads[i].warp == t.warp; i++)
        if (is_waiting(threads[i]) && same_site(threads[i].site, t.site))
            lanes |= 1u << threads[i].lane;
    fprintf(stderr, "  thread (%u,%u,%u) waits in %s at %s:%d; warp %u, lanes %08x", t.index.x,
            t.index.y, t.index.z, t.waits_in, t.site.file, t.site.line, t.warp, lanes);
    if (t.state == State::at_warp_op) {
        const Warp &w = sched->warps[t.warp];
        const unsigned mask = w.mask[t.lane];
        fprintf(stderr, ", mask %08x, absent %08x", mask, mask & w.alive & ~w.pending);
    }
    fputc('\n', stderr);
}

[[noreturn]] static void deadlock()
{
    const Scheduler &s = *sched;
    self = nullptr;
    report_header(Site{nullptr, 0, 0}, "deadlock");
    fprintf(stderr, "  %u of %u threads have not returned, and all of them wait:\n", s.alive,
            s.count);
    const int lines_max = 16;
    int lines = 0;
    for (size_t i = 0; i < s.threads.size(); i++) {
        const Thread &t = s.threads[i];
        bool is_first = is_waiting(t);
        for (size_t k = i - t.lane; k < i && is_first; k++)
            is_first = !is_waiting(s.threads[k]) || !same_site(s.threads[k].site, t.site);
        if (!is_first) continue;
        if (lines++ == lines_max) {
            fprintf(stderr, "  ...\n");
            break;
        }
        print_waiting(s.threads, i);
    }
    abort();
}

/* The fiber to run next: one whose wait is over, or one for a thread that has not started. */
static Fiber *pick()
{
    Scheduler &s = *sched;
    const unsigned n_fresh = s.count - s.next_fresh;
    const unsigned n_ready = static_cast<unsigned>(s.ready.size());
    if (n_ready && (!n_fresh || !g_seed || (s.random() & 1))) {
        const unsigned i = g_seed ? s.random() % n_ready : n_ready - 1;
        Thread *t = s.ready[i];
        s.ready[i] = s.ready.back();
        s.ready.pop_back();
        return t->fiber;
    }
    if (n_fresh) return fiber_take();
    if (s.alive) deadlock();
    return &s.host;
}

void wait_as(Thread *thread, State state)
{
    thread->state = state;
    fiber_switch(pick());
    self = thread;
    thread->state = State::running;
}

/* ---- barriers ---- */

/* All threads that have not returned are at a barrier: lets them go. `last` is the thread that is
 * still running, or null when the release is due to a thread that returned. */
static void barrier_release(Thread *last)
{
    Scheduler &s = *sched;
    const Thread *first = nullptr;
    for (Thread &t : s.threads) {
        if (t.state != State::at_barrier && &t != last) continue;
        if (first && !same_site(first->site, t.site)) {
            self = &t;
            fail(t.site, "divergent %s: thread (%u,%u,%u) waits in %s at %s:%d", t.waits_in,
                 first->index.x, first->index.y, first->index.z, first->waits_in, first->site.file,
                 first->site.line);
        }
        if (!first) first = &t;
    }
    /* Pushed in reverse, so that seed 0 resumes low thread indices first. */
    for (unsigned i = s.count; i-- > 0;) {
        Thread *t = &s.threads[i];
        if (t != last && t->state == State::at_barrier) {
            t->state = State::running;
            s.ready.push_back(t);
        }
    }
    s.at_barrier = 0;
    s.generation++;
    s.result_for = s.votes_for;
    s.result_against = s.votes_against;
    s.votes_for = s.votes_against = 0;
}

static void barrier_wait(const char *what, Site site)
{
    Quiet quiet;
    Scheduler &s = *sched;
    Thread *t = self;
    t->site = site;
    t->waits_in = what;
    s.at_barrier++;
    char *tag = barrier_tag(BLOCK_TAG, s.generation);
    tsan_release(tag);
    if (s.at_barrier == s.alive)
        barrier_release(t);
    else
        wait_as(t, State::at_barrier);
    tsan_acquire(tag);
}

void syncthreads(Site site)
{
    barrier_wait("__syncthreads", site);
}

int syncthreads_vote(int predicate, Vote vote, Site site)
{
    static const char *const names[] = {"__syncthreads_count", "__syncthreads_and",
                                        "__syncthreads_or"};
    Scheduler &s = *sched;
    ++(predicate ? s.votes_for : s.votes_against);
    barrier_wait(names[static_cast<int>(vote)], site);
    /* The next vote cannot overwrite these before this thread has arrived there. */
    switch (vote) {
    case Vote::count: return s.result_for;
    case Vote::all: return s.result_against == 0;
    default: return s.result_for != 0;
    }
}

/* To the back of the queue. */
void yield(Site site)
{
    Quiet quiet;
    Scheduler &s = *sched;
    Thread *t = self;
    t->site = site;
    s.ready.insert(s.ready.begin(), t);
    /* With seed 0 the last of the queue runs next, so this thread comes after all others that can
     * run; fresh threads go first of all, or a spinning thread would keep them from starting. */
    t->state = State::running;
    Fiber *next = s.next_fresh < s.count ? fiber_take() : pick();
    fiber_switch(next);
    self = t;
}

/* ---- fences ---- */

/* The race detector knows no fences. They become: what was written before any fence is visible
 * after any later atomic. That is one order too many between unrelated fences, but accepts the
 * "last block done" pattern and still reports it when the fence is missing. */
static char fence_tag;

void threadfence()
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    tsan_release(&fence_tag);
}

void atomic_acquire()
{
    tsan_acquire(&fence_tag);
}

/* ---- threads of a block ---- */

static void thread_exit(Thread *t)
{
    Quiet quiet;
    Scheduler &s = *sched;
    t->state = State::done;
    s.alive--;
    tsan_release(&s.finished);
    warp_lane_exits(t);
    /* As on the GPU, a barrier waits for those threads only that have not returned. */
    if (s.alive && s.at_barrier == s.alive) barrier_release(nullptr);
}

static void run_fresh_thread()
{
    Scheduler &s = *sched;
    Thread *t = &s.threads[s.order[s.next_fresh++]];
    t->fiber = s.current;
    t->state = State::running;
    self = t;
    s.thread_body(s.closure);
    thread_exit(t);
}

#if !defined(SIMT_TSAN)
/* Fresh threads run back to back on one fiber until one of them has to wait, so that kernels
 * without barriers need no switch at all. The race detector needs a context for each. */
static bool start_another()
{
    const Scheduler &s = *sched;
    if (s.next_fresh == s.count) return false;
    return s.ready.empty() || !g_seed || (sched->random() & 1);
}
#endif

void fiber_main()
{
    fiber_entered();
    Scheduler &s = *sched;
    for (;;) {
        Fiber *to;
#if defined(SIMT_TSAN)
        run_fresh_thread();
        {
            Quiet quiet;
            to = pick();
            s.idle.insert(s.idle.begin(), s.current); /* last in line: needs a new context first */
        }
#else
        while (start_another()) run_fresh_thread();
        s.idle.push_back(s.current);
        to = pick();
#endif
        fiber_switch(to);
    }
}

static void number_threads(dim3 dim)
{
    Scheduler &s = *sched;
    const unsigned n = dim.x * dim.y * dim.z;
    if (s.count == n && s.block.dim.x == dim.x && s.block.dim.y == dim.y) return;
    s.count = n;
    s.threads.resize(n);
    s.order.resize(n);
    s.async.resize(n);
    s.warps.resize((n + 31) / 32);
    for (unsigned i = 0; i < n; i++) {
        Thread &t = s.threads[i];
        t.index = {i % dim.x, i / dim.x % dim.y, i / dim.x / dim.y};
        t.linear = i;
        t.lane = i % 32;
        t.warp = i / 32;
    }
}

void run_block(const LaunchConfig &config, unsigned long long id)
{
    Scheduler &s = *sched;
    const dim3 grid = config.grid;
    number_threads(config.block);
    s.block.grid = grid;
    s.block.dim = config.block;
    s.block.index = {static_cast<unsigned>(id % grid.x),
                     static_cast<unsigned>(id / grid.x % grid.y),
                     static_cast<unsigned>(id / grid.x / grid.y)};
    block = &s.block;
    for (Thread &t : s.threads) t.state = State::fresh;
    for (unsigned i = 0; i < s.warps.size(); i++) {
        const unsigned lanes = s.count - i * 32;
        s.warps[i].alive = lanes >= 32 ? ~0u : (1u << lanes) - 1;
        s.warps[i].pending = 0;
    }
    s.next_fresh = 0;
    s.alive = s.count;
    s.at_barrier = 0;
    s.votes_for = s.votes_against = 0;
    s.rng = block_rng(id);
    for (unsigned i = 0; i < s.count; i++) s.order[i] = i;
    if (g_seed)
        for (unsigned i = s.count; i > 1; i--) std::swap(s.order[i - 1], s.order[s.random() % i]);
    async_begin();
    shared_begin(config.smem);
    fibers_prepare(s.count);
    fiber_switch(pick());
    self = nullptr;
    shared_end();
}

} // namespace simt
