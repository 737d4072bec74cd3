/* SPDX-License-Identifier: MIT
 * device.c -- from a device name to an opened device. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/record.h"

static dlf_status open_on(dlf_device **out, const dlf_backend *backend, int ordinal)
{
    dlf_device *dev = calloc(1, sizeof *dev);
    if (!dev) return dlf_fail(DLF_ERR_OOM, "no host memory for a device");
    dev->backend = backend;
    dev->real = DLF_F32;
    dev->info.ordinal = ordinal;
    snprintf(dev->info.backend, sizeof dev->info.backend, "%s", backend->name);
    const dlf_status status = backend->open(dev, ordinal);
    if (status != DLF_OK) {
        free(dev);
        return status;
    }
    *out = dev;
    return DLF_OK;
}

/* N of "cuda:N", or -1. */
static int parse_ordinal(const char *digits)
{
    const size_t n = strspn(digits, "0123456789");
    if (n == 0 || n > 6 || digits[n]) return -1;
    return atoi(digits);
}

static dlf_status open_auto(dlf_device **out)
{
    const int count = dlf_cuda_device_count(NULL);
    for (int i = 0; i < count; i++)
        if (open_on(out, &dlf_backend_cuda, i) == DLF_OK) return DLF_OK;
    dlf_error_clear();
    return open_on(out, &dlf_backend_cpu, 0);
}

dlf_status dlf_device_open(dlf_device **out, const char *spec)
{
    *out = NULL;
    const char *name = spec ? spec : "auto";
    if (!strcmp(name, "auto")) return open_auto(out);
    if (!strcmp(name, "cpu")) return open_on(out, &dlf_backend_cpu, 0);
    if (!strcmp(name, "ref")) return open_on(out, &dlf_backend_ref, 0);
    if (!strcmp(name, "cuda")) return open_on(out, &dlf_backend_cuda, 0);
    if (!strncmp(name, "cuda:", 5)) {
        const int ordinal = parse_ordinal(name + 5);
        if (ordinal >= 0) return open_on(out, &dlf_backend_cuda, ordinal);
    }
    return dlf_fail(DLF_ERR_ARG,
                    "'%s' is not a device; use auto, cpu, cuda, cuda:N (N = 0, 1, ...) or ref",
                    name);
}

void dlf_device_close(dlf_device *dev)
{
    if (!dev) return;
    dev->backend->close(dev);
    free(dev);
}

dlf_status dlf_device_sync(dlf_device *dev)
{
    DLF_TRY(dlf_not_recording(dev, "waiting"));
    return dev->backend->sync(dev);
}
