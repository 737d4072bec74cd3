/* SPDX-License-Identifier: MIT
 * cuda_measure.c -- what only benchmarks ask of a GPU. */
#include "backend/measure.h"

#include <string.h>

#include "backend/cuda_impl.h"

/* 0 where the runtime does not say. */
static int attribute(const dlf_device *dev, enum cudaDeviceAttr which)
{
    int value = 0;
    if (cudaDeviceGetAttribute(&value, which, dev->info.ordinal) == cudaSuccess) return value;
    (void)cudaGetLastError();
    return 0;
}

dlf_memory_info dlf_cuda_memory_info(const dlf_device *dev)
{
    const double khz = attribute(dev, cudaDevAttrMemoryClockRate);
    return (dlf_memory_info){
        .l2_bytes = attribute(dev, cudaDevAttrL2CacheSize),
        .spec_gb_per_s = 2e-6 * khz * (attribute(dev, cudaDevAttrGlobalMemoryBusWidth) / 8)};
}

bool dlf_cuda_pci_bus_id(const dlf_device *dev, char *out, int size)
{
    if (cudaDeviceGetPCIBusId(out, size, dev->info.ordinal) == cudaSuccess) return true;
    (void)cudaGetLastError();
    return false;
}

dlf_status dlf_cuda_reset_persisting(const dlf_device *dev)
{
    DLF_TRY(dlf_cuda_bind(dev));
    const cudaError_t error = cudaCtxResetPersistingL2Cache();
    if (error == cudaErrorNotSupported) {
        (void)cudaGetLastError();
        return DLF_OK;
    }
    return dlf_cuda_check(error, "cudaCtxResetPersistingL2Cache");
}

/* As in cuda_profiler_api.h, which not every toolkit brings. */
cudaError_t CUDARTAPI cudaProfilerStart(void);
cudaError_t CUDARTAPI cudaProfilerStop(void);

dlf_status dlf_cuda_profiler(const dlf_device *dev, bool on)
{
    if (strcmp(dev->backend->name, "cuda") != 0) return DLF_OK;
    DLF_TRY(dlf_cuda_bind(dev));
    return dlf_cuda_check(on ? cudaProfilerStart() : cudaProfilerStop(), "cudaProfilerStart/Stop");
}

int dlf_cuda_recording_launches(const void *recording)
{
    return (int)((const dlf_cuda_recording *)recording)->nodes;
}

/* ---- the gate ------------------------------------------------------------------------------- */

dlf_status dlf_cuda_gate_close(dlf_cuda_gate *gate, const dlf_device *dev)
{
    __atomic_store_n(&gate->gave_up, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&gate->open, 0, __ATOMIC_RELEASE);
    return dlf_cuda_hold(dev, gate);
}

void dlf_cuda_gate_open(dlf_cuda_gate *gate)
{
    __atomic_store_n(&gate->open, 1, __ATOMIC_RELEASE);
}

bool dlf_cuda_gate_gave_up(const dlf_cuda_gate *gate)
{
    return __atomic_load_n(&gate->gave_up, __ATOMIC_ACQUIRE);
}

/* Closed, a launch that comes back with the gate given up has waited for its end. An open one comes
 * first: it loads the kernel, which may take its time. */
static dlf_status holds(dlf_cuda_gate *gate, dlf_device *dev, bool *yes)
{
    gate->open = 1;
    DLF_TRY(dlf_cuda_hold(dev, gate));
    DLF_TRY(dev->backend->sync(dev));
    DLF_TRY(dlf_cuda_gate_close(gate, dev));
    *yes = !dlf_cuda_gate_gave_up(gate);
    dlf_cuda_gate_open(gate);
    return dev->backend->sync(dev);
}

dlf_status dlf_cuda_gate_new(dlf_cuda_gate **out, dlf_device *dev)
{
    dlf_cuda_gate *gate = NULL;
    bool yes = false;
    *out = NULL;
    DLF_TRY(dlf_cuda_bind(dev));
    DLF_TRY(dlf_cuda_check(cudaHostAlloc((void **)&gate, sizeof *gate, cudaHostAllocMapped),
                           "memory of the gate"));
    const dlf_status status = holds(gate, dev, &yes);
    if (status == DLF_OK && yes)
        *out = gate;
    else
        dlf_cuda_gate_free(gate, dev);
    return status;
}

void dlf_cuda_gate_free(dlf_cuda_gate *gate, dlf_device *dev)
{
    if (!gate) return;
    dlf_cuda_gate_open(gate);
    dlf_cuda_bind_quietly(dev);
    (void)cudaStreamSynchronize(dlf_cuda_of(dev)->stream);
    (void)cudaFreeHost(gate);
    (void)cudaGetLastError(); /* of these two: not the next call's */
}
