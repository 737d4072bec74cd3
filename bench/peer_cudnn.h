/* SPDX-License-Identifier: MIT
 * peer_cudnn.h -- cuDNN 9 as a peer: what its files share. Prototypes are our own, as in
 * host/backend/cudnn.h; numbers of enumerations are those of cuDNN's headers. */
#ifndef DLF_PEER_CUDNN_H
#define DLF_PEER_CUDNN_H
#include "backend/cudnn.h"
#include "bench/peers.h"

/* cudnnDataType_t, cudnnTensorFormat_t. */
enum { CUDNN_FLOAT = 0, CUDNN_HALF = 2, CUDNN_BFLOAT16 = 9 };
enum { CUDNN_NCHW = 0, CUDNN_NHWC = 1 };

typedef struct peer_cudnn {
    dlf_device *device;
    dlf_cudnn lib;
} peer_cudnn;

/* Sizes into ints. DLF_ERR_NO_KERNEL: one is too large. */
dlf_status peer_cudnn_sizes(const int64_t *from, int n, int *to);
int peer_cudnn_type(dlf_dtype dtype);
int peer_cudnn_format(const dlf_bench_case *c);
/* Zero, or DLF_ERR_NO_KERNEL with what was called. */
dlf_status peer_cudnn_status(int status, const char *what);

dlf_status peer_cudnn_conv(peer_cudnn *d, bench_subject *theirs, char *note, size_t size);
#endif
