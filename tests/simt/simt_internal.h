/* SPDX-License-Identifier: MIT */
/* Between the fiber runtime (C++) and the runtime API shim (C). */
#ifndef DLF_SIMT_INTERNAL_H
#define DLF_SIMT_INTERNAL_H

#include <cuda_runtime_api.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    SIMT_SMEM_STATIC_MAX = 48 << 10,
    SIMT_SMEM_MAX = 227 << 10,
    SIMT_THREADS_MAX = 1024,
    SIMT_BLOCK_Z_MAX = 64,
    SIMT_GRID_YZ_MAX = 65535,
    SIMT_SM_COUNT = 4
};

/* First thing in every API function: the sticky error, an injected one, or cudaSuccess. */
cudaError_t simt_enter(const char *api);
/* Makes err the thread's last error unless it is cudaSuccess; returns it. */
cudaError_t simt_record(cudaError_t err);

void simt_clear_errors(void);

int simt_stream_is_valid(cudaStream_t stream);
int simt_stream_is_blocking(cudaStream_t stream); /* waits for the legacy stream */

/* ---- stream capture ----
 * Work that can be done later: a function of the bytes that are copied now. */
typedef cudaError_t (*simt_work)(const void *bytes);
/* 0: the stream does not capture, so do it. 1: it does; *err says whether the work was taken down.
 * A NULL is work that no graph can hold, which invalidates the capture. */
int simt_capture(cudaStream_t stream, simt_work run, const void *bytes, size_t size,
                 cudaError_t *err);
int simt_is_capturing(cudaStream_t stream);
/* What forbids a call at this moment; the capture that does is then invalid. */
cudaError_t simt_unsafe(void); /* cudaMalloc and others that are no work of a stream */
cudaError_t simt_wait_for_stream(cudaStream_t stream);
cudaError_t simt_wait_for_device(void);
cudaError_t simt_use_legacy_stream(void); /* cudaMemcpy and others that name no stream */
void simt_capture_forget(cudaStream_t stream);
void simt_graphs_reset(void);

/* Device memory is out of bounds for the host except while a kernel or a copy runs: in ASan builds
 * these poison and unpoison it, elsewhere they do nothing. */
void simt_memory_open(void);
void simt_memory_close(void);
/* Aborts when a kernel has written outside an allocation. */
void simt_memory_check(const char *kernel);

/* Frees everything, as cudaDeviceReset() does. */
void simt_memory_reset(void);

/* For messages about misuse that the real runtime would only answer with an error code. */
void simt_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

#ifdef __cplusplus
}
#endif

/* Returns from the calling API function unless `check` gives cudaSuccess. */
#define SIMT_TRY(check)                                                                            \
    do {                                                                                           \
        const cudaError_t try_ = (check);                                                          \
        if (try_ != cudaSuccess) return simt_record(try_);                                         \
    } while (0)

/* Returns from the calling API function when it is to fail before doing anything. */
#define SIMT_ENTER()                                                                               \
    do {                                                                                           \
        const cudaError_t enter_ = simt_enter(__func__);                                           \
        if (enter_ != cudaSuccess) return simt_record(enter_);                                     \
    } while (0)

#endif
