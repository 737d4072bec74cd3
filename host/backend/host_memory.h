/* SPDX-License-Identifier: MIT
 * host_memory.h -- the memory half of the backends that live in host memory (cpu, ref). */
#ifndef DLF_HOST_MEMORY_H
#define DLF_HOST_MEMORY_H
#include <time.h>

#include "dlf/backend.h"

dlf_status dlf_host_alloc(dlf_device *dev, void **out, size_t bytes);
void dlf_host_release(dlf_device *dev, void *p, size_t bytes);
dlf_status dlf_host_copy(dlf_device *dev, void *dst, size_t dst_pitch, const void *src,
                         size_t src_pitch, size_t row_bytes, size_t rows);
dlf_status dlf_host_zero(dlf_device *dev, void *dst, size_t pitch, size_t row_bytes, size_t rows);
dlf_status dlf_host_sync(dlf_device *dev);
/* The stopwatch keeps its start time here, in dev->impl's first bytes. */
typedef struct dlf_host_clock {
    struct timespec start;
} dlf_host_clock;
dlf_status dlf_host_time_start(dlf_device *dev);
dlf_status dlf_host_time_stop(dlf_device *dev, double *ns);

/* What both do when a device is opened: the clock, dev->info.name and memory_bytes. */
dlf_status dlf_host_open(dlf_device *dev);
void dlf_host_close(dlf_device *dev);
/* OMP_NUM_THREADS if set, else the CPUs this process may use: affinity mask and cgroup quota. */
int dlf_host_threads(void);

/* The slots of dlf_backend that both fill alike. */
#define DLF_HOST_SLOTS                                                                             \
    .close = dlf_host_close, .alloc = dlf_host_alloc, .release = dlf_host_release,                 \
    .upload = dlf_host_copy, .download = dlf_host_copy, .copy = dlf_host_copy,                     \
    .zero = dlf_host_zero, .sync = dlf_host_sync, .time_start = dlf_host_time_start,               \
    .time_stop = dlf_host_time_stop
#endif
