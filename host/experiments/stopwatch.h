/* SPDX-License-Identifier: MIT
 * stopwatch.h -- how long work on a device took. */
#ifndef DLF_STOPWATCH_H
#define DLF_STOPWATCH_H
#include <string.h>
#include <time.h>

#include "dlf/backend.h"

/* Microseconds: processor time of all threads where ops run on the host, so that other programs do
 * not count; wall time where a device works for us. Call dlf_device_sync first. */
static inline double dlf_stopwatch_us(const dlf_device *device)
{
    struct timespec t;
    const bool queued = strcmp(device->info.backend, "cuda") == 0;
    clock_gettime(queued ? CLOCK_MONOTONIC : CLOCK_PROCESS_CPUTIME_ID, &t);
    return 1e6 * (double)t.tv_sec + 1e-3 * (double)t.tv_nsec;
}
#endif
