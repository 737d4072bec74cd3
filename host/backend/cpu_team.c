/* SPDX-License-Identifier: MIT
 * cpu_team.c -- the threads behind `#pragma omp parallel` in the CPU kernels.
 *
 * gcc turns our loops into calls of a few functions that libgomp normally provides; this file
 * provides them instead, for one reason: libgomp's threads wait for each other. A region cannot end
 * before every thread of the team has been scheduled, and on a machine that is busy, or virtual
 * with a busy host, that takes milliseconds for regions of microseconds: training on two cores ran
 * four times slower than on one. Here a region is cut into more parts than there are threads;
 * whoever runs takes the next part, the caller takes what nobody else took, and nobody waits for a
 * thread that has not started. Under load two threads are then never slower than one; on a quiet
 * machine the workers spin briefly between regions and answer within a microsecond.
 *
 * What our kernels may use: parallel regions, static or dynamic loops (one dynamic loop per region,
 * with nowait), reductions, atomics. A barrier inside a region cannot work when parts run one after
 * the other, so it aborts. Nested regions run on the thread that meets them.
 *
 * Other compilers call other runtimes (clang: libomp) and never come here. */
#include "backend/measure.h"

#if defined(__GNUC__) && !defined(__clang__)
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { WORKERS_MAX = 255, PARTS_PER_THREAD = 4, PARTS_MAX = 0xffff, SPINS = 4000 };

/* The prototypes that gcc's generated calls assume (libgomp ABI, GOMP_4.0 and GOMP_4.5). */
void GOMP_parallel(void (*body)(void *), void *data, unsigned threads, unsigned flags);
bool GOMP_loop_nonmonotonic_dynamic_start(long first, long last, long step, long chunk, long *from,
                                          long *to);
bool GOMP_loop_nonmonotonic_dynamic_next(long *from, long *to);
void GOMP_loop_end(void);
void GOMP_loop_end_nowait(void);
void GOMP_barrier(void);
void GOMP_atomic_start(void);
void GOMP_atomic_end(void);
int omp_get_thread_num(void);
int omp_get_num_threads(void);

static struct {
    /* generation << 32 | parts << 16 | next part: one word, so that a part can be claimed only
     * while its region is still the current one. Everything below is constant while a region runs.
     */
    _Atomic uint64_t ticket;
    _Atomic unsigned done; /* parts finished */
    void (*body)(void *);
    void *data;
    _Atomic bool loop_open; /* the region's dynamic loop has begun */
    _Atomic long loop_next;
    long loop_last, loop_step, loop_chunk;
    pthread_mutex_t loop_lock;

    _Atomic int64_t regions; /* begun so far */
    _Atomic bool busy; /* a region is running: a second host thread then runs its own alone */
    int workers;
    _Atomic int sleepers;
    pthread_mutex_t sleep_lock;
    pthread_cond_t wake;
} team = {.loop_lock = PTHREAD_MUTEX_INITIALIZER,
          .sleep_lock = PTHREAD_MUTEX_INITIALIZER,
          .wake = PTHREAD_COND_INITIALIZER};

static _Thread_local int part_number, part_count = 1;

int omp_get_thread_num(void)
{
    return part_number;
}

int omp_get_num_threads(void)
{
    return part_count;
}

static void pause_briefly(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Run one part of the current region if one is left. */
static bool run_a_part(void)
{
    uint64_t t = atomic_load(&team.ticket);
    for (;;) {
        const int next = (int)(t & 0xffff), parts = (int)(t >> 16 & 0xffff);
        if (next >= parts) return false;
        if (atomic_compare_exchange_weak(&team.ticket, &t, t + 1)) {
            part_number = next;
            part_count = parts;
            team.body(team.data);
            part_number = 0;
            part_count = 1;
            atomic_fetch_add(&team.done, 1);
            return true;
        }
    }
}

static bool work_is_there(void)
{
    const uint64_t t = atomic_load(&team.ticket);
    return (t & 0xffff) < (t >> 16 & 0xffff);
}

static void *worker(void *unused)
{
    for (;;) {
        while (run_a_part()) {
        }
        int spins = 0;
        while (!work_is_there() && spins++ < SPINS) pause_briefly();
        if (work_is_there()) continue;
        pthread_mutex_lock(&team.sleep_lock);
        atomic_fetch_add(&team.sleepers, 1);
        while (!work_is_there()) pthread_cond_wait(&team.wake, &team.sleep_lock);
        atomic_fetch_sub(&team.sleepers, 1);
        pthread_mutex_unlock(&team.sleep_lock);
    }
    return unused;
}

/* Fewer workers than asked for is no failure: the caller does what they do not. */
static void have_workers(int wanted)
{
    while (team.workers < wanted && team.workers < WORKERS_MAX) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, worker, NULL) != 0) return;
        pthread_detach(thread);
        team.workers++;
    }
}

static void wake_sleepers(void)
{
    if (atomic_load(&team.sleepers) == 0) return;
    pthread_mutex_lock(&team.sleep_lock);
    pthread_cond_broadcast(&team.wake);
    pthread_mutex_unlock(&team.sleep_lock);
}

void GOMP_parallel(void (*body)(void *), void *data, unsigned threads, unsigned flags)
{
    (void)flags; /* proc_bind */
    bool free_team = false;
    atomic_fetch_add_explicit(&team.regions, 1, memory_order_relaxed);
    if (threads > 1 && part_count == 1 &&
        atomic_compare_exchange_strong(&team.busy, &free_team, true)) {
        have_workers((int)threads - 1);
        const unsigned parts =
            threads * PARTS_PER_THREAD < PARTS_MAX ? threads * PARTS_PER_THREAD : PARTS_MAX;
        const uint64_t generation = (atomic_load(&team.ticket) >> 32) + 1;
        team.body = body;
        team.data = data;
        atomic_store(&team.loop_open, false);
        atomic_store(&team.done, 0);
        atomic_store(&team.ticket, generation << 32 | (uint64_t)parts << 16);
        wake_sleepers();
        while (run_a_part()) {
        }
        while (atomic_load(&team.done) < parts) pause_briefly(); /* parts that others have begun */
        atomic_store(&team.busy, false);
        return;
    }
    /* Alone: as a team of one. A dynamic loop then needs no sharing, see below. */
    const int number = part_number, count = part_count;
    part_number = 0;
    part_count = 1;
    body(data);
    part_number = number;
    part_count = count;
}

/* ---- dynamic loops: chunks in the order in which parts ask for them -----------------------------
 */

static _Thread_local struct {
    long next, last, step, chunk;
} alone;

static bool take(long *from, long *to)
{
    if (part_count == 1) { /* serial region */
        if (alone.next >= alone.last) return false;
        *from = alone.next;
        *to = alone.last;
        alone.next = alone.last;
        return true;
    }
    const long stride = team.loop_chunk * team.loop_step;
    const long at = atomic_fetch_add(&team.loop_next, stride);
    if (at >= team.loop_last) return false;
    *from = at;
    *to = at + stride < team.loop_last ? at + stride : team.loop_last;
    return true;
}

bool GOMP_loop_nonmonotonic_dynamic_start(long first, long last, long step, long chunk, long *from,
                                          long *to)
{
    if (part_count == 1) {
        alone.next = first;
        alone.last = last;
    } else {
        pthread_mutex_lock(&team.loop_lock);
        if (!atomic_load(&team.loop_open)) {
            atomic_store(&team.loop_next, first);
            team.loop_last = last;
            team.loop_step = step;
            team.loop_chunk = chunk;
            atomic_store(&team.loop_open, true);
        }
        pthread_mutex_unlock(&team.loop_lock);
    }
    return take(from, to);
}

bool GOMP_loop_nonmonotonic_dynamic_next(long *from, long *to)
{
    return take(from, to);
}

void GOMP_loop_end_nowait(void) {}

static _Noreturn void no_barrier(const char *what)
{
    fprintf(stderr,
            "dlf: %s inside a parallel region: the parts of a region may run one after the "
            "other; use nowait (host/backend/cpu_team.c)\n",
            what);
    abort();
}

void GOMP_loop_end(void)
{
    no_barrier("a loop that waits");
}

void GOMP_barrier(void)
{
    no_barrier("a barrier");
}

/* ---- atomics that the machine has no instruction for: reductions over several variables
 * ---------- */

static pthread_mutex_t atomic_lock = PTHREAD_MUTEX_INITIALIZER;

void GOMP_atomic_start(void)
{
    pthread_mutex_lock(&atomic_lock);
}

void GOMP_atomic_end(void)
{
    pthread_mutex_unlock(&atomic_lock);
}

int64_t dlf_team_regions(void)
{
    return atomic_load(&team.regions);
}
#else
int64_t dlf_team_regions(void)
{
    return -1;
}
#endif
