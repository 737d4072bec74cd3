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
    DLF_TRY(dlf_host_open(dev));
    snprintf(dev->info.detail, sizeof dev->info.detail, "definitions, plain loops in float64");
    dev->info.threads = 1;
    dev->real = DLF_F64;
    dev->ops = &ops;
    return DLF_OK;
}

const dlf_backend dlf_backend_ref = {.name = "ref", .open = ref_open, DLF_HOST_SLOTS};
