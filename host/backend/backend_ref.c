/* SPDX-License-Identifier: MIT
 * backend_ref.c -- the definitions as a device: plain loops in double. Slow; the yardstick. */
#include <stdio.h>
#include <stdlib.h>

#include "backend/host_memory.h"

#define KERNEL(family, op, args) dlf_status dlf_##op##_ref args;
#include "dlf/kernels.def"
#undef KERNEL

static const dlf_ops ops = {
#define KERNEL(family, op, args) .op = dlf_##op##_ref,
#include "dlf/kernels.def"
#undef KERNEL
};

static dlf_status ref_open(dlf_device *dev, int ordinal)
{
    dev->impl = calloc(1, sizeof(dlf_host_clock));
    if (!dev->impl) return dlf_fail(DLF_ERR_OOM, "no host memory for a device");
    dlf_host_describe(dev);
    snprintf(dev->info.detail, sizeof dev->info.detail, "definitions, plain loops in float64");
    dev->info.threads = 1;
    dev->real = DLF_F64;
    dev->ops = &ops;
    return DLF_OK;
}

static void ref_close(dlf_device *dev)
{
    free(dev->impl);
}

const dlf_backend dlf_backend_ref = {
    .name = "ref",
    .open = ref_open,
    .close = ref_close,
    .alloc = dlf_host_alloc,
    .release = dlf_host_release,
    .upload = dlf_host_copy,
    .download = dlf_host_copy,
    .copy = dlf_host_copy,
    .zero = dlf_host_zero,
    .sync = dlf_host_sync,
    .time_start = dlf_host_time_start,
    .time_stop = dlf_host_time_stop,
};
