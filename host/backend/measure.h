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
/* "0000:3b:00.0", as NVML takes it; false: not known. */
bool dlf_cuda_pci_bus_id(const dlf_device *dev, char *out, int size);
/* Lines that were set aside as persisting become ordinary ones: an overwritten block evicts those
 * only. A device that has none such is no failure. */
dlf_status dlf_cuda_reset_persisting(const dlf_device *dev);
/* A profiler that waits for it starts, or stops, to look; nothing happens where there is none. */
dlf_status dlf_cuda_profiler(const dlf_device *dev, bool on);
int dlf_cuda_recording_launches(const void *recording);

/* ---- a gate in the stream: cuda only -------------------------------------------------------- */

/* What is queued after dlf_cuda_gate_close starts when the gate is opened, or after about a tenth
 * of a second (at most two): it gives up then, so that nothing can hang. Queue at most some hundred
 * launches behind a closed gate, nothing that waits for the device, and no kernel for the first
 * time (loading it may wait). */
typedef struct dlf_cuda_gate {
    int open, gave_up; /* in host memory that the GPU reads and writes */
} dlf_cuda_gate;

/* *out = NULL where nothing can be held up because launches wait for their end (the CPU test bed,
 * CUDA_LAUNCH_BLOCKING=1): found by trying. */
dlf_status dlf_cuda_gate_new(dlf_cuda_gate **out, dlf_device *dev);
/* Waits for the device. */
void dlf_cuda_gate_free(dlf_cuda_gate *gate, dlf_device *dev);
/* Nothing of the last time may still be queued. */
dlf_status dlf_cuda_gate_close(dlf_cuda_gate *gate, const dlf_device *dev);
/* Again is harmless. */
void dlf_cuda_gate_open(dlf_cuda_gate *gate);
/* Once the device is idle: did it give up before it was opened? */
bool dlf_cuda_gate_gave_up(const dlf_cuda_gate *gate);
/* kernels/hold.cu: its launch. */
dlf_status dlf_cuda_hold(const dlf_device *dev, dlf_cuda_gate *gate);
#endif
