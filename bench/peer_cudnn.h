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
dlf_status peer_cudnn_norm(peer_cudnn *d, bench_subject *theirs, char *note, size_t size);

/* ---- batch norm by the older interface (peer_cudnn_batch.c) --------------------------------- */

typedef struct cudnn_batch cudnn_batch;
/* Modes and functions that it can be tried with. */
enum { CUDNN_BATCH_WAYS = 4 };
dlf_status cudnn_batch_new(cudnn_batch **out, const peer_cudnn *d, bench_subject *s);
void cudnn_batch_free(cudnn_batch *b);
const char *cudnn_batch_name(int way);
dlf_status cudnn_batch_choose(cudnn_batch *b, bench_subject *s, int way);
dlf_status cudnn_batch_call(cudnn_batch *b, bench_subject *s);

/* ---- normalizations as a graph (peer_cudnn_graph.c) ----------------------------------------- */

typedef struct cudnn_graph cudnn_graph;
/* Describes the case up to the finished operation graph, which takes no GPU.
 *   errors  DLF_ERR_NO_KERNEL  no such op in the graph interface, or cuDNN refuses it */
dlf_status cudnn_graph_new(cudnn_graph **out, const peer_cudnn *d, bench_subject *s);
void cudnn_graph_free(cudnn_graph *g);
/* The operation graph's descriptor. */
void *cudnn_graph_operations(const cudnn_graph *g);
/* Configurations that cuDNN's heuristics list, eight at the most; the plan of one is made when it
 * is chosen. */
dlf_status cudnn_graph_plans(cudnn_graph *g, int *n);
dlf_status cudnn_graph_choose(cudnn_graph *g, int plan);
dlf_status cudnn_graph_call(cudnn_graph *g);
size_t cudnn_graph_workspace(const cudnn_graph *g, int plan);
#endif
