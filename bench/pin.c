/* SPDX-License-Identifier: MIT
 * pin.c -- threads and CPUs. The threads are those that the system lists, whoever started them. */
#include "bench/pin.h"

#include <string.h>

#if defined(__linux__)
#include <dirent.h>
#include <sched.h>
#include <stdlib.h>

enum { THREADS_MOST = 1024 };

struct bench_pinning {
    int n;
    pid_t thread[THREADS_MOST];
    cpu_set_t before[THREADS_MOST];
};

static bool list_threads(bench_pinning *p)
{
    DIR *dir = opendir("/proc/self/task");
    if (!dir) return false;
    p->n = 0;
    bool all = true;
    for (const struct dirent *e; (e = readdir(dir));) {
        if (e->d_name[0] == '.') continue;
        if (p->n == THREADS_MOST) {
            all = false;
            break;
        }
        p->thread[p->n] = (pid_t)strtol(e->d_name, NULL, 10);
        all = all && !sched_getaffinity(p->thread[p->n], sizeof p->before[0], &p->before[p->n]);
        p->n++;
    }
    closedir(dir);
    return all;
}

/* The `which`-th CPU of the set; -1: it has fewer. */
static int cpu_of(const cpu_set_t *set, int which)
{
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, set) && which-- == 0) return cpu;
    return -1;
}

bench_pinning *bench_pin(const dlf_device *device)
{
    if (strcmp(device->backend->name, "cpu") != 0) return NULL;
    bench_pinning *p = malloc(sizeof *p);
    if (!p) return NULL;
    cpu_set_t allowed;
    bool ok = !sched_getaffinity(0, sizeof allowed, &allowed) && list_threads(p) &&
              p->n <= CPU_COUNT(&allowed);
    const int n = p->n;
    for (int i = 0; ok && i < n; i++) {
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(cpu_of(&allowed, i), &one);
        ok = !sched_setaffinity(p->thread[i], sizeof one, &one);
    }
    if (ok) return p;
    for (int i = 0; i < n; i++)
        (void)sched_setaffinity(p->thread[i], sizeof p->before[0], &p->before[i]);
    free(p);
    return NULL;
}

int bench_pinned(const bench_pinning *p)
{
    return p ? p->n : 0;
}

/* A thread that ended meanwhile is no failure. */
void bench_unpin(bench_pinning *p)
{
    for (int i = 0; p && i < p->n; i++)
        (void)sched_setaffinity(p->thread[i], sizeof p->before[0], &p->before[i]);
    free(p);
}
#else
bench_pinning *bench_pin(const dlf_device *device)
{
    (void)device;
    return NULL;
}
int bench_pinned(const bench_pinning *p)
{
    (void)p;
    return 0;
}
void bench_unpin(bench_pinning *p)
{
    (void)p;
}
#endif
