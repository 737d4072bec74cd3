/* SPDX-License-Identifier: MIT
 * cuda_measure.c -- what only benchmarks ask of a GPU. */
#include "backend/measure.h"

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

int dlf_cuda_recording_launches(const void *recording)
{
    return (int)((const dlf_cuda_recording *)recording)->nodes;
}
