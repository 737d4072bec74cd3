/* SPDX-License-Identifier: MIT
 * peer_cudnn.c -- the peer cudnn: opened at run time, one handle for all cases. */
#include "bench/peer_cudnn.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static bool cudnn_open(void **state, dlf_device *device, char *text, size_t size)
{
    const char *why = "";
    if (!bench_library_allowed(device, "DLF_CUDNN", text, size)) return false;
    peer_cudnn *d = calloc(1, sizeof *d);
    if (!d) {
        snprintf(text, size, "no memory");
        return false;
    }
    d->device = device;
    if (!dlf_cudnn_open(&d->lib, dlf_cuda_stream(device), &why)) {
        snprintf(text, size, "%s", why);
        free(d);
        return false;
    }
    const int v = d->lib.version;
    snprintf(text, size, "cuDNN %d.%d.%d", v / 10000, v / 100 % 100, v % 100);
    *state = d;
    return true;
}

static void cudnn_close(void *state)
{
    peer_cudnn *d = state;
    dlf_cudnn_close(&d->lib);
    free(d);
}

static dlf_status take(void *state, bench_subject *theirs, char *note, size_t size)
{
    const char *family = theirs->c.family;
    if (!strcmp(family, "conv") || !strcmp(family, "conv1x1"))
        return peer_cudnn_conv(state, theirs, note, size);
    if (strstr(family, "_norm")) return peer_cudnn_norm(state, theirs, note, size);
    return dlf_fail(DLF_ERR_NO_KERNEL, "no %s in this peer", theirs->c.op);
}

const bench_inside bench_inside_cudnn = {"cudnn", cudnn_open, cudnn_close, take};

dlf_status peer_cudnn_sizes(const int64_t *from, int n, int *to)
{
    for (int i = 0; i < n; i++) {
        if (from[i] > INT_MAX)
            return dlf_fail(DLF_ERR_NO_KERNEL, "cuDNN counts in int, %lld is more",
                            (long long)from[i]);
        to[i] = (int)from[i];
    }
    return DLF_OK;
}

int peer_cudnn_type(dlf_dtype dtype)
{
    return dtype == DLF_F16 ? CUDNN_HALF : dtype == DLF_BF16 ? CUDNN_BFLOAT16 : CUDNN_FLOAT;
}

int peer_cudnn_format(const dlf_bench_case *c)
{
    return c->layout == DLF_NHWC ? CUDNN_NHWC : CUDNN_NCHW;
}

dlf_status peer_cudnn_status(int status, const char *what)
{
    return status ? dlf_fail(DLF_ERR_NO_KERNEL, "%s: status %d", what, status) : DLF_OK;
}
