/* SPDX-License-Identifier: MIT
 * tensor.h -- a dense array that knows its type, its shape and where it lives.
 *
 * Axis 0 is the population axis P wherever an op says so: seeds, sweep points and ablation arms
 * lie side by side and are computed together. Inside one member the array is row-major and
 * contiguous; `stride` is the distance between members, so that a parameter tensor (P,out,in) may
 * be a view into the arena (P,n_params) of a whole model. */
#ifndef DLF_TENSOR_H
#define DLF_TENSOR_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dlf/status.h"
#ifdef __cplusplus
extern "C" {
#endif

enum { DLF_MAX_DIMS = 6 };

typedef struct dlf_device dlf_device;

/* F16 and BF16 (half.h) are storage: ops that take them compute in float. */
typedef enum dlf_dtype { DLF_F32, DLF_F64, DLF_I32, DLF_F16, DLF_BF16 } dlf_dtype;

typedef struct dlf_tensor {
    void *data;                  /* on the device; owned unless `view`                          */
    dlf_device *device;          /* not owned; must outlive the tensor                          */
    dlf_dtype dtype;             /*                                                             */
    int ndim;                    /* 1..DLF_MAX_DIMS                                             */
    int64_t shape[DLF_MAX_DIMS]; /* each >= 1                                                   */
    int64_t stride;              /* elements from member p to member p+1 of axis 0              */
    bool view;                   /* dlf_tensor_free leaves the memory alone                     */
} dlf_tensor;

size_t dlf_dtype_size(dlf_dtype dtype);      /* bytes of one element */
const char *dlf_dtype_name(dlf_dtype dtype); /* "f32", "f64", "i32", "f16", "bf16" */

/* Allocate an uninitialised tensor.
 *
 *   out      zeroed on failure, so dlf_tensor_free is always safe
 *   errors   DLF_ERR_ARG     ndim outside 1..DLF_MAX_DIMS, an axis < 1, or more than 2^62 bytes
 *            DLF_ERR_OOM     the device has no such memory; the message says how much was asked
 */
DLF_MUST_CHECK dlf_status dlf_tensor_init(dlf_tensor *out, dlf_device *device, dlf_dtype dtype,
                                          int ndim, const int64_t *shape);

/* dlf_tensor_new(&t, device, DLF_F32, P, B, N): the same, shape as arguments. */
#define dlf_tensor_new(out, device, dtype, ...)                                                    \
    dlf_tensor_init((out), (device), (dtype),                                                      \
                    (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)),                     \
                    (const int64_t[]){__VA_ARGS__})

/* Release. NULL and zeroed tensors are fine; the tensor is zeroed afterwards. */
void dlf_tensor_free(dlf_tensor *t);

/* Views (no copy, nothing to free; valid as long as the owner).
 *   slice    members first .. first+count-1 of axis 0
 *   window   per member `offset .. ` reinterpreted as shape[1..]: a parameter inside an arena
 * Arguments out of range are a programming error and abort in debug builds (assert). */
dlf_tensor dlf_tensor_slice(const dlf_tensor *t, int64_t first, int64_t count);
dlf_tensor dlf_tensor_window(const dlf_tensor *t, int64_t offset, int ndim, const int64_t *shape);
dlf_tensor dlf_tensor_reshape(const dlf_tensor *t, int ndim, const int64_t *shape);

int64_t dlf_tensor_count(const dlf_tensor *t);        /* all elements                   */
int64_t dlf_tensor_member_count(const dlf_tensor *t); /* elements of one member: count/P */
bool dlf_tensor_contiguous(const dlf_tensor *t);      /* stride == member_count or P == 1 */
bool dlf_tensor_same_shape(const dlf_tensor *a, const dlf_tensor *b);

/* "f32(16,64,10)" into `text`; returns `text`. For messages. */
const char *dlf_tensor_describe(const dlf_tensor *t, char *text, size_t size);

/* Copies between host and device. Host side: contiguous, dlf_tensor_count(t) elements. Floating
 * tensors take and give either float or double (rounded to nearest, once); I32 only int32_t.
 * All four return after the data has arrived.
 *   errors   DLF_ERR_ARG (dtype), DLF_ERR_DEVICE (copy failed)                                */
DLF_MUST_CHECK dlf_status dlf_tensor_upload(dlf_tensor *dst, const float *src);
DLF_MUST_CHECK dlf_status dlf_tensor_upload_f64(dlf_tensor *dst, const double *src);
DLF_MUST_CHECK dlf_status dlf_tensor_upload_i32(dlf_tensor *dst, const int32_t *src);
DLF_MUST_CHECK dlf_status dlf_tensor_download(float *dst, const dlf_tensor *src);
DLF_MUST_CHECK dlf_status dlf_tensor_download_f64(double *dst, const dlf_tensor *src);
DLF_MUST_CHECK dlf_status dlf_tensor_download_i32(int32_t *dst, const dlf_tensor *src);

/* All bytes zero (also of a strided view, whose gaps are left alone). Asynchronous. */
DLF_MUST_CHECK dlf_status dlf_tensor_zero(dlf_tensor *t);
/* dst[...] = src[...]; same device, dtype and shape; strides may differ. Asynchronous. */
DLF_MUST_CHECK dlf_status dlf_tensor_copy(dlf_tensor *dst, const dlf_tensor *src);

#ifdef __cplusplus
}
#endif
#endif
