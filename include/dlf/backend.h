/* SPDX-License-Identifier: MIT
 * backend.h -- where memory lives and who runs the ops.
 *
 * A backend is a table of functions; a device is one opened instance of it. Four exist:
 *
 *   cpu    OpenMP + SIMD twins, OpenBLAS for large GEMM      float32
 *   cuda   CUDA kernels, cuBLAS opened at run time           float32
 *   ref    the definitions: plain loops in double            float64 (slow; the yardstick)
 *   (simt  the cuda backend linked against the CPU test bed; test builds only)
 *
 * Work on a device is queued in order on one stream and may be asynchronous; downloads and
 * dlf_device_sync wait. A device belongs to one host thread at a time. */
#ifndef DLF_BACKEND_H
#define DLF_BACKEND_H
#include "dlf/ops.h"
#include "dlf/tensor.h"
#ifdef __cplusplus
extern "C" {
#endif

/* One slot per line of kernels.def; NULL means "not on this backend". */
typedef struct dlf_ops {
#define KERNEL(family, op, args) dlf_status(*op) args;
#include "dlf/kernels.def"
#undef KERNEL
} dlf_ops;

typedef struct dlf_device_info {
    char backend[8];      /* "cpu", "cuda", "ref"                                          */
    char name[128];       /* "AMD EPYC ...", "NVIDIA H200"                                 */
    char detail[256];     /* cpu: SIMD level, BLAS and core type; cuda: cc, driver, cuBLAS */
    int ordinal;          /* cuda:N                                                        */
    int threads;          /* cpu: OpenMP threads; cuda: multiprocessors                    */
    int64_t memory_bytes; /* device memory, 0 if unknown                                   */
    int64_t shared_bytes; /* cuda: the most shared memory that a block may have; else 0    */
} dlf_device_info;

typedef struct dlf_backend {
    const char *name;
    /* Fill dev->info, dev->ops, dev->impl. Fails with DLF_ERR_NO_DEVICE and a sentence. */
    dlf_status (*open)(dlf_device *dev, int ordinal);
    void (*close)(dlf_device *dev);
    dlf_status (*alloc)(dlf_device *dev, void **out, size_t bytes); /* 256-byte aligned */
    void (*release)(dlf_device *dev, void *p, size_t bytes);
    /* 2-D copies: `rows` rows of `row_bytes`, with pitches; a plain copy has rows == 1. */
    dlf_status (*upload)(dlf_device *dev, void *dst, size_t dst_pitch, const void *src,
                         size_t src_pitch, size_t row_bytes, size_t rows);
    dlf_status (*download)(dlf_device *dev, void *dst, size_t dst_pitch, const void *src,
                           size_t src_pitch, size_t row_bytes, size_t rows);
    dlf_status (*copy)(dlf_device *dev, void *dst, size_t dst_pitch, const void *src,
                       size_t src_pitch, size_t row_bytes, size_t rows);
    dlf_status (*zero)(dlf_device *dev, void *dst, size_t pitch, size_t row_bytes, size_t rows);
    dlf_status (*sync)(dlf_device *dev);
    /* Recording, see dlf_record_begin; NULL where work is not queued (cpu, ref). */
    dlf_status (*record_begin)(dlf_device *dev);
    dlf_status (*record_end)(dlf_device *dev, void **recording); /* NULL: drop what was recorded */
    dlf_status (*replay)(dlf_device *dev, void *recording);
    void (*recording_free)(dlf_device *dev, void *recording);
    /* Device-time stopwatch for benchmarks: start, then stop returns nanoseconds of device work. */
    dlf_status (*time_start)(dlf_device *dev);
    dlf_status (*time_stop)(dlf_device *dev, double *ns);
} dlf_backend;

struct dlf_device {
    const dlf_backend *backend;
    const dlf_ops *ops;
    dlf_dtype real; /* type of activations and parameters: F32, or F64 on ref */
    dlf_device_info info;
    size_t bytes_live; /* in tensors now                                */
    size_t bytes_peak; /* the most there ever was                       */
    bool recording;    /* between dlf_record_begin and dlf_record_end   */
    void *impl;        /* backend's own state                           */
};

/* Open a device.
 *
 *   spec     "auto" (first usable CUDA device, else cpu), "cpu", "cuda", "cuda:N", "ref"
 *   errors   DLF_ERR_ARG        not a device name; the message lists them
 *            DLF_ERR_NO_DEVICE  well-formed but unusable here; the message says why and what to do
 */
DLF_MUST_CHECK dlf_status dlf_device_open(dlf_device **out, const char *spec);

/* Release everything. Tensors of the device must be freed before. NULL is fine. */
void dlf_device_close(dlf_device *dev);

DLF_MUST_CHECK dlf_status dlf_device_sync(dlf_device *dev);

/* Record a fixed sequence of ops once, replay it with one call (on cuda: a CUDA graph).
 *
 * Between begin and end, ops, dlf_tensor_zero and dlf_tensor_copy are taken down instead of run; uploads,
 * downloads, dlf_tensor_init and dlf_device_sync are refused (DLF_ERR_DEVICE). Arguments passed by
 * value (alpha, a learning rate as a double) are frozen into the recording; what changes from replay
 * to replay lives in tensors, whose memory must outlive the recording. Scratch memory of the ops, and
 * of tensors freed in between, belongs to the recording until that is freed. Run the sequence once
 * for real before: its first run may allocate or compile. An op that is refused in between is not
 * part of it, so look at every status. Recordings are freed before their device is closed.
 *   errors of begin   DLF_ERR_NO_KERNEL   the device does not record (cpu, ref): just run the ops
 *   errors of end     DLF_ERR_DEVICE      something in between cannot be recorded; *out is NULL, and
 *                                         the device is as before begin                            */
typedef struct dlf_recording dlf_recording;
DLF_MUST_CHECK dlf_status dlf_record_begin(dlf_device *dev);
DLF_MUST_CHECK dlf_status dlf_record_end(dlf_device *dev, dlf_recording **out);
DLF_MUST_CHECK dlf_status dlf_replay(dlf_recording *recording);
void dlf_recording_free(dlf_recording *recording); /* NULL is fine */
bool dlf_device_records(const dlf_device *dev);

/* How many CUDA devices could be opened now; 0 with a reason in *why (static text) if none. */
int dlf_cuda_device_count(const char **why);

extern const dlf_backend dlf_backend_cpu;
extern const dlf_backend dlf_backend_ref;
extern const dlf_backend dlf_backend_cuda; /* without the CUDA Toolkit it never opens */

/* The stream of a cuda device as an opaque pointer (cudaStream_t), for kernels/X.cu. */
void *dlf_cuda_stream(const dlf_device *dev);

#ifdef __cplusplus
}
#endif
#endif
