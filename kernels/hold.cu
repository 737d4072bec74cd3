/* SPDX-License-Identifier: MIT
 * hold.cu -- a kernel that holds up what is queued behind it, so that the host queues all of a timed
 * run before its first kernel starts (the blocking kernel of nvbench). No op: the harness's. */
#include "common.cuh"

extern "C" {
#include "backend/measure.h"
}

/* Looks about a microsecond apart: a tenth of a second, give or take two times. */
static const int most_looks = 50000;

/* Bounded by the number of looks and not by a clock: it ends whatever the host does. */
static __global__ void __launch_bounds__(1) hold(volatile dlf_cuda_gate *gate, int looks)
{
    for (int i = 0; i < looks && !gate->open; i++) __nanosleep(1000);
    if (!gate->open) gate->gave_up = 1;
}

extern "C" dlf_status dlf_cuda_hold(const dlf_device *dev, dlf_cuda_gate *gate)
{
    return dlf_launched(DLF_LAUNCH(hold, 1, 1, 0, (cudaStream_t)dlf_cuda_stream(dev), gate,
                                   most_looks),
                        "hold");
}
