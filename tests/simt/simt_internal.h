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

/* Returns from the calling API function when it is to fail before doing anything. */
#define SIMT_ENTER()                                                                               \
    do {                                                                                           \
        const cudaError_t enter_ = simt_enter(__func__);                                           \
        if (enter_ != cudaSuccess) return simt_record(enter_);                                     \
    } while (0)

#endif
