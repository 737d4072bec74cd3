/* SPDX-License-Identifier: MIT */
/* Grids: checking a launch, spreading its blocks over workers, and reporting what went wrong. */
#include "simt_control.h"
#include "simt_rt.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vector>

namespace simt
{

unsigned g_seed;
const char *g_kernel = "?";
static int g_workers = 1;
static simt_stats g_stats;

/* ---- reports ---- */

/* "kernel" from "(kernel<float, 4>)" */
static void print_kernel_name()
{
    size_t n = strlen(g_kernel);
    const char *name = g_kernel;
    if (n > 1 && name[0] == '(' && name[n - 1] == ')') {
        name++;
        n -= 2;
    }
    fprintf(stderr, "%.*s", static_cast<int>(n), name);
}

void report_header(Site site, const char *what)
{
    const Block &b = *block; /* nothing fails before the first block */
    fprintf(stderr, "simt: %s in kernel ", what);
    print_kernel_name();
    fprintf(stderr, "\n  block (%u,%u,%u) of (%u,%u,%u)", b.index.x, b.index.y, b.index.z, b.grid.x,
            b.grid.y, b.grid.z);
    if (self)
        fprintf(stderr, ", thread (%u,%u,%u) of (%u,%u,%u)", self->index.x, self->index.y,
                self->index.z, b.dim.x, b.dim.y, b.dim.z);
    fprintf(stderr, ", seed %u\n", g_seed);
    if (site.file) fprintf(stderr, "  at %s:%d\n", site.file, site.line);
}

void fail(Site site, const char *format, ...)
{
    report_header(site, "fault");
    va_list args;
    va_start(args, format);
    fputs("  ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    abort();
}

/* ---- settings ---- */

static void read_environment()
{
    static bool done;
    if (done) return;
    done = true;
    if (const char *text = getenv("SIMT_SEED"))
        g_seed = static_cast<unsigned>(strtoul(text, nullptr, 10));
    if (const char *text = getenv("SIMT_THREADS")) simt_set_threads(atoi(text));
}

/* ---- one grid ---- */

struct Job {
    LaunchConfig config;
    void (*thread)(void *);
    void *closure;
    unsigned long long blocks, next;
    int workers;
};
static Job job;

/* Not in index order unless the seed is 0: seed 1 runs the blocks backwards, further ones step
 * through them with a stride that has no factor in common with their number. */
static unsigned long long block_at(unsigned long long i)
{
    if (g_seed == 0) return i;
    if (g_seed == 1) return job.blocks - 1 - i;
    unsigned long long stride = (job.blocks * (g_seed * 2ull + 1)) / (g_seed * 5ull) + g_seed;
    for (;; stride++) {
        unsigned long long a = stride, b = job.blocks;
        while (b) {
            const unsigned long long rest = a % b;
            a = b;
            b = rest;
        }
        if (a == 1) break;
    }
    return static_cast<unsigned long long>((static_cast<unsigned __int128>(i) * stride + g_seed) %
                                           job.blocks);
}

static void work_on_job()
{
    if (!sched) sched = new Scheduler;
    sched->thread_body = job.thread;
    sched->closure = job.closure;
    const unsigned long long fair = job.blocks / (static_cast<unsigned>(job.workers) * 8ull);
    const unsigned long long chunk = fair ? fair : 1;
    for (;;) {
        const unsigned long long begin = __atomic_fetch_add(&job.next, chunk, __ATOMIC_RELAXED);
        if (begin >= job.blocks) break;
        for (unsigned long long i = begin; i < begin + chunk && i < job.blocks; i++)
            run_block(job.config, block_at(i));
    }
    __atomic_fetch_add(&g_stats.switches, sched->switches, __ATOMIC_RELAXED);
    sched->switches = 0;
    fibers_finish();
}

/* ---- workers ---- */

static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t pool_work = PTHREAD_COND_INITIALIZER;
static pthread_cond_t pool_done = PTHREAD_COND_INITIALIZER;
static unsigned long long pool_epoch;
static int pool_size, pool_busy;

static void *worker_main(void *arg)
{
    const int number = static_cast<int>(reinterpret_cast<intptr_t>(arg)); /* 1, 2, ... */
    unsigned long long seen = 0;
    for (;;) {
        pthread_mutex_lock(&pool_lock);
        while (pool_epoch == seen) pthread_cond_wait(&pool_work, &pool_lock);
        seen = pool_epoch;
        pthread_mutex_unlock(&pool_lock);
        if (number < job.workers) work_on_job();
        pthread_mutex_lock(&pool_lock);
        if (!--pool_busy) pthread_cond_signal(&pool_done);
        pthread_mutex_unlock(&pool_lock);
    }
}

static void run_with_pool()
{
    pthread_mutex_lock(&pool_lock);
    while (pool_size < job.workers - 1) {
        pthread_t thread;
        const intptr_t number = pool_size + 1;
        if (pthread_create(&thread, nullptr, worker_main, reinterpret_cast<void *>(number))) break;
        pthread_detach(thread);
        pool_size++;
    }
    pool_busy = pool_size;
    pool_epoch++;
    pthread_cond_broadcast(&pool_work);
    pthread_mutex_unlock(&pool_lock);
    work_on_job();
    pthread_mutex_lock(&pool_lock);
    while (pool_busy) pthread_cond_wait(&pool_done, &pool_lock);
    pthread_mutex_unlock(&pool_lock);
}

/* ---- launch ---- */

static cudaError_t check_config(const LaunchConfig &c)
{
    const dim3 g = c.grid, b = c.block;
    const unsigned long long threads = 1ull * b.x * b.y * b.z;
    const unsigned grid_x_max = 0x7fffffff;
    if (!g.x || !g.y || !g.z || g.x > grid_x_max || g.y > SIMT_GRID_YZ_MAX ||
        g.z > SIMT_GRID_YZ_MAX)
        return cudaErrorInvalidConfiguration;
    if (b.x > SIMT_THREADS_MAX || b.y > SIMT_THREADS_MAX || b.z > SIMT_BLOCK_Z_MAX || !threads ||
        threads > SIMT_THREADS_MAX)
        return cudaErrorInvalidConfiguration;
    if (c.smem > SIMT_SMEM_MAX)
        return cudaErrorInvalidValue; /* what cudaFuncSetAttribute() would say */
    if (!simt_stream_is_valid(c.stream)) return cudaErrorInvalidResourceHandle;
    return cudaSuccess;
}

static void run_grid(const LaunchConfig &config, void (*thread)(void *), void *closure)
{
    /* Streams are all one: a launch from another host thread waits for this one. */
    static pthread_mutex_t one_grid_at_a_time = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&one_grid_at_a_time);
    const unsigned long long blocks = 1ull * config.grid.x * config.grid.y * config.grid.z;
    const unsigned long long threads = blocks * config.block.x * config.block.y * config.block.z;
    const unsigned long long worth_waking_workers = 16384; /* it costs tens of microseconds */
    job = Job{config, thread, closure, blocks, 0, 1};
    if (blocks > 1 && threads >= worth_waking_workers) job.workers = g_workers;
    g_kernel = config.name;
    simt_memory_open();
    if (job.workers > 1)
        run_with_pool();
    else
        work_on_job();
    simt_memory_close();
    simt_memory_check(config.name);
    g_stats.threads += threads;
    g_stats.launches++;
    pthread_mutex_unlock(&one_grid_at_a_time);
}

/* A launch as a node of a graph; the bytes of the closure follow at `closure_at`. */
struct Captured {
    LaunchConfig config;
    void (*thread)(void *);
};
static const size_t closure_at = (sizeof(Captured) + 15) / 16 * 16;

static cudaError_t run_captured(const void *bytes)
{
    Captured c;
    memcpy(&c, bytes, sizeof c);
    run_grid(c.config, c.thread, static_cast<char *>(const_cast<void *>(bytes)) + closure_at);
    return cudaSuccess;
}

/* True: the stream captures, and has taken the launch down or says in *err why not. */
static bool capture(const LaunchConfig &config, void (*thread)(void *), const void *closure,
                    size_t size, cudaError_t *err)
{
    if (!simt_is_capturing(config.stream)) return false;
    std::vector<char> bytes(closure_at + size);
    const Captured c = {config, thread};
    memcpy(bytes.data(), &c, sizeof c);
    memcpy(bytes.data() + closure_at, closure, size);
    return simt_capture(config.stream, run_captured, bytes.data(), bytes.size(), err) != 0;
}

void launch(const LaunchConfig &config, void (*thread)(void *), void *closure, size_t size)
{
    if (self) fail(Site{nullptr, 0, 0}, "a kernel launches %s: not modelled", config.name);
    read_environment();
    cudaError_t err = simt_enter("launch");
    if (err == cudaSuccess) err = check_config(config);
    if (err == cudaSuccess && capture(config, thread, closure, size, &err)) {
        simt_record(err);
        return;
    }
    if (err == cudaSuccess)
        run_grid(config, thread, closure);
    else
        simt_record(err);
}

} // namespace simt

/* ---- control API ---- */

void simt_set_seed(unsigned seed)
{
    simt::read_environment();
    simt::g_seed = seed;
}

unsigned simt_seed(void)
{
    simt::read_environment();
    return simt::g_seed;
}

void simt_set_threads(int threads)
{
#if defined(SIMT_ASAN) || defined(SIMT_TSAN)
    (void)threads; /* reports and their order stay reproducible */
#else
    simt::g_workers = threads > 1 ? threads : 1;
#endif
}

struct simt_stats simt_get_stats(void)
{
    return simt::g_stats;
}
