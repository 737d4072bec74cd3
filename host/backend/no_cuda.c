/* SPDX-License-Identifier: MIT
 * no_cuda.c -- the CUDA half of a build without the CUDA Toolkit: there is no such device. */
#include <stddef.h>

#include "backend/measure.h"

static const char reason[] = "this dlf was built without the CUDA Toolkit";

int dlf_cuda_device_count(const char **why)
{
    if (why) *why = reason;
    return 0;
}

static dlf_status no_open(dlf_device *dev, int ordinal)
{
    return dlf_fail(DLF_ERR_NO_DEVICE,
                    "no usable CUDA device: %s; use --device cpu or run 'dlf doctor'", reason);
}

const dlf_backend dlf_backend_cuda = {.name = "cuda", .open = no_open};

void *dlf_cuda_stream(const dlf_device *dev)
{
    return NULL;
}

dlf_memory_info dlf_cuda_memory_info(const dlf_device *dev)
{
    return (dlf_memory_info){0, 0.0};
}

bool dlf_cuda_pci_bus_id(const dlf_device *dev, char *out, int size)
{
    return false;
}

dlf_status dlf_cuda_reset_persisting(const dlf_device *dev)
{
    return DLF_OK;
}

dlf_status dlf_cuda_profiler(const dlf_device *dev, bool on)
{
    return DLF_OK;
}

int dlf_cuda_recording_launches(const void *recording)
{
    return 0;
}

dlf_status dlf_cuda_hold(const dlf_device *dev, dlf_cuda_gate *gate)
{
    return DLF_OK;
}

dlf_status dlf_cuda_gate_new(dlf_cuda_gate **out, dlf_device *dev)
{
    *out = NULL;
    return DLF_OK;
}

void dlf_cuda_gate_free(dlf_cuda_gate *gate, dlf_device *dev) {}

dlf_status dlf_cuda_gate_close(dlf_cuda_gate *gate, const dlf_device *dev)
{
    return DLF_OK;
}

void dlf_cuda_gate_open(dlf_cuda_gate *gate) {}

bool dlf_cuda_gate_gave_up(const dlf_cuda_gate *gate)
{
    return false;
}
