/* SPDX-License-Identifier: MIT
 * cuda_impl.h -- what the files of the cuda backend share. */
#ifndef DLF_CUDA_IMPL_H
#define DLF_CUDA_IMPL_H
#include <cuda_runtime_api.h>

#include "backend/cublas.h"
#include "backend/cudnn.h"
#include "dlf/backend.h"

/* ---- memory (cuda_memory.c) ----
 * Released blocks are kept, because cudaMalloc and cudaFree wait for the device. Sizes are rounded
 * up to classes, four per power of two (at most 25 % is wasted); each class has a list. One stream
 * uses them all, so a block can be handed out again while earlier work on it is still queued.
 * DLF_CUDA_CACHE=0 turns it off: tools that watch for reads beyond the end, such as
 * compute-sanitizer and the CPU test bed, then see every tensor's true size. */
enum { DLF_CUDA_CLASSES_PER_OCTAVE = 4, DLF_CUDA_CLASSES = 64 * DLF_CUDA_CLASSES_PER_OCTAVE };

typedef struct dlf_cuda_block {
    struct dlf_cuda_block *next;
    void *memory;
} dlf_cuda_block;

typedef struct dlf_cuda_pool {
    dlf_cuda_block *free[DLF_CUDA_CLASSES];
} dlf_cuda_pool;

/* ---- recording (cuda_record.c) ---- */

typedef struct dlf_cuda_recording {
    struct dlf_cuda_recording *next; /* in `retired` */
    cudaGraphExec_t exec;
    size_t nodes;          /* 0: the runtime did not say */
    dlf_cuda_pool scratch; /* what was released while recording: a replay writes it */
    bool lost;             /* a block could not be remembered there                 */
} dlf_cuda_recording;

typedef struct dlf_cuda {
    cudaStream_t stream;
    cudaEvent_t start, stop;
    void *workspace; /* of cuBLAS */
    bool has_cublas, has_cudnn, cached;
    dlf_cublas cublas;
    dlf_cudnn cudnn;
    dlf_cuda_pool cache;
    dlf_cuda_recording *recording; /* being taken down, or NULL                    */
    dlf_cuda_recording *retired;   /* freed meanwhile: destroying waits for the end */
} dlf_cuda;

static inline dlf_cuda *dlf_cuda_of(const dlf_device *dev)
{
    return dev->impl;
}

/* Turn a runtime error into a status with a sentence, and clear it: otherwise the next, innocent
 * call would report it. */
dlf_status dlf_cuda_check(cudaError_t error, const char *what);
/* Several devices may be open in one thread; the runtime's current device follows the call. */
dlf_status dlf_cuda_bind(const dlf_device *dev);
/* Where a failure cannot be reported; the call that follows then fails and is. */
void dlf_cuda_bind_quietly(const dlf_device *dev);

/* Convolutions by cuDNN (cuda_conv.c). `text`: what was found, for the device's description. */
void dlf_cuda_open_cudnn(dlf_device *dev, const char *device_name, char *text, size_t size);

dlf_status dlf_cuda_alloc(dlf_device *dev, void **out, size_t bytes);
void dlf_cuda_release(dlf_device *dev, void *p, size_t bytes);
/* Give all blocks back to the runtime. */
void dlf_cuda_pool_flush(dlf_cuda_pool *pool);
/* Hand all blocks to the device, for whoever asks next. */
void dlf_cuda_pool_return(dlf_device *dev, dlf_cuda_pool *pool);

dlf_status dlf_cuda_record_begin(dlf_device *dev);
dlf_status dlf_cuda_record_end(dlf_device *dev, void **out);
dlf_status dlf_cuda_replay(dlf_device *dev, void *recording);
void dlf_cuda_recording_free(dlf_device *dev, void *recording);
#endif
