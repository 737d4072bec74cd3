/* SPDX-License-Identifier: MIT
 * measure.h -- what only benchmarks ask of a device. */
#ifndef DLF_MEASURE_H
#define DLF_MEASURE_H
#include "dlf/backend.h"

/* Parallel regions of the CPU kernels so far; -1 where another OpenMP runtime runs them. */
int64_t dlf_team_regions(void);
/* Kernels, fills and copies of a recording; 0: not known. */
int dlf_recording_launches(const dlf_recording *recording);

/* ---- cuda; without the CUDA Toolkit they say that nothing is known -------------------------- */

typedef struct dlf_memory_info {
    int64_t l2_bytes;     /* 0: not known                                            */
    double spec_gb_per_s; /* two transfers per clock on every wire of the bus; 0: not known */
} dlf_memory_info;
dlf_memory_info dlf_cuda_memory_info(const dlf_device *dev);
/* Lines that were set aside as persisting become ordinary ones: an overwritten block evicts those
 * only. A device that has none such is no failure. */
dlf_status dlf_cuda_reset_persisting(const dlf_device *dev);
int dlf_cuda_recording_launches(const void *recording);
#endif
