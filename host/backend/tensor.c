/* SPDX-License-Identifier: MIT
 * tensor.c -- shapes, views and copies; the bytes themselves belong to the backend. */
#include "dlf/tensor.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/record.h"
#include "dlf/half.h"

static const int64_t max_bytes = (int64_t)1 << 62;

size_t dlf_dtype_size(dlf_dtype dtype)
{
    switch (dtype) {
    case DLF_F64: return 8;
    case DLF_F16:
    case DLF_BF16: return 2;
    default: return 4;
    }
}

const char *dlf_dtype_name(dlf_dtype dtype)
{
    switch (dtype) {
    case DLF_F32: return "f32";
    case DLF_F64: return "f64";
    case DLF_I32: return "i32";
    case DLF_F16: return "f16";
    case DLF_BF16: return "bf16";
    }
    return "?";
}

static int64_t product(int ndim, const int64_t *shape)
{
    int64_t n = 1;
    for (int i = 0; i < ndim; i++) n *= shape[i];
    return n;
}

int64_t dlf_tensor_count(const dlf_tensor *t)
{
    return product(t->ndim, t->shape);
}

int64_t dlf_tensor_member_count(const dlf_tensor *t)
{
    return product(t->ndim - 1, t->shape + 1);
}

bool dlf_tensor_contiguous(const dlf_tensor *t)
{
    return t->shape[0] == 1 || t->stride == dlf_tensor_member_count(t);
}

bool dlf_tensor_same_shape(const dlf_tensor *a, const dlf_tensor *b)
{
    return a->ndim == b->ndim && !memcmp(a->shape, b->shape, (size_t)a->ndim * sizeof a->shape[0]);
}

const char *dlf_tensor_describe(const dlf_tensor *t, char *text, size_t size)
{
    size_t at = 0;
#define APPEND(...)                                                                                \
    do {                                                                                           \
        if (at < size) at += (size_t)snprintf(text + at, size - at, __VA_ARGS__);                  \
    } while (0)
    if (size) text[0] = '\0';
    APPEND("%s(", dlf_dtype_name(t->dtype));
    for (int i = 0; i < t->ndim; i++) APPEND(i ? ",%lld" : "%lld", (long long)t->shape[i]);
    APPEND(")");
#undef APPEND
    return text;
}

dlf_status dlf_tensor_init(dlf_tensor *out, dlf_device *device, dlf_dtype dtype, int ndim,
                           const int64_t *shape)
{
    memset(out, 0, sizeof *out);
    if (ndim < 1 || ndim > DLF_MAX_DIMS)
        return dlf_fail(DLF_ERR_ARG, "a tensor has 1 to %d axes, not %d", DLF_MAX_DIMS, ndim);
    int64_t room = max_bytes / (int64_t)dlf_dtype_size(dtype);
    for (int i = 0; i < ndim; i++) {
        if (shape[i] < 1)
            return dlf_fail(DLF_ERR_ARG, "axis %d of a tensor has size %lld; the least is 1", i,
                            (long long)shape[i]);
        room /= shape[i];
    }
    if (room < 1) return dlf_fail(DLF_ERR_ARG, "a tensor of more than 2^62 bytes was asked for");

    dlf_tensor t = {.device = device, .dtype = dtype, .ndim = ndim};
    memcpy(t.shape, shape, (size_t)ndim * sizeof *shape);
    t.stride = dlf_tensor_member_count(&t);
    const size_t bytes = (size_t)dlf_tensor_count(&t) * dlf_dtype_size(dtype);
    DLF_TRY(dlf_not_recording(device, "a new tensor"));
    DLF_TRY(device->backend->alloc(device, &t.data, bytes));
    device->bytes_live += bytes;
    if (device->bytes_live > device->bytes_peak) device->bytes_peak = device->bytes_live;
    *out = t;
    return DLF_OK;
}

void dlf_tensor_free(dlf_tensor *t)
{
    if (!t) return;
    if (t->data && !t->view) {
        const size_t bytes = (size_t)dlf_tensor_count(t) * dlf_dtype_size(t->dtype);
        t->device->backend->release(t->device, t->data, bytes);
        t->device->bytes_live -= bytes;
    }
    memset(t, 0, sizeof *t);
}

/* ---- views ---- */

static dlf_tensor view_at(const dlf_tensor *t, int64_t offset)
{
    dlf_tensor v = *t;
    v.data = (char *)t->data + offset * (int64_t)dlf_dtype_size(t->dtype);
    v.view = true;
    return v;
}

static void set_shape(dlf_tensor *t, int ndim, const int64_t *shape)
{
    assert(ndim >= 1 && ndim <= DLF_MAX_DIMS);
    t->ndim = ndim;
    memset(t->shape, 0, sizeof t->shape);
    memcpy(t->shape, shape, (size_t)ndim * sizeof *shape);
}

dlf_tensor dlf_tensor_slice(const dlf_tensor *t, int64_t first, int64_t count)
{
    assert(first >= 0 && count >= 1 && first + count <= t->shape[0]);
    dlf_tensor v = view_at(t, first * t->stride);
    v.shape[0] = count;
    return v;
}

dlf_tensor dlf_tensor_window(const dlf_tensor *t, int64_t offset, int ndim, const int64_t *shape)
{
    assert(shape[0] == t->shape[0]);
    assert(offset >= 0 && offset + product(ndim - 1, shape + 1) <= dlf_tensor_member_count(t));
    dlf_tensor v = view_at(t, offset);
    set_shape(&v, ndim, shape);
    return v;
}

dlf_tensor dlf_tensor_reshape(const dlf_tensor *t, int ndim, const int64_t *shape)
{
    assert(product(ndim, shape) == dlf_tensor_count(t));
    dlf_tensor v = view_at(t, 0);
    set_shape(&v, ndim, shape);
    if (shape[0] != t->shape[0]) { /* only then do members move */
        assert(dlf_tensor_contiguous(t));
        v.stride = dlf_tensor_member_count(&v);
    }
    return v;
}

/* ---- copies ---- */

/* A tensor as the 2-D copy that covers it: one row if it is contiguous, else one per member. */
typedef struct copy_plan {
    size_t pitch, row_bytes, rows;
} copy_plan;

static copy_plan plan_of(const dlf_tensor *t, bool as_rows)
{
    const size_t size = dlf_dtype_size(t->dtype);
    if (dlf_tensor_contiguous(t) && !as_rows) {
        const size_t all = (size_t)dlf_tensor_count(t) * size;
        return (copy_plan){all, all, 1};
    }
    return (copy_plan){(size_t)t->stride * size, (size_t)dlf_tensor_member_count(t) * size,
                       (size_t)t->shape[0]};
}

static dlf_status to_device(dlf_tensor *dst, const void *src)
{
    DLF_TRY(dlf_not_recording(dst->device, "an upload"));
    const copy_plan p = plan_of(dst, false);
    return dst->device->backend->upload(dst->device, dst->data, p.pitch, src, p.row_bytes,
                                        p.row_bytes, p.rows);
}

static dlf_status to_host(void *dst, const dlf_tensor *src)
{
    DLF_TRY(dlf_not_recording(src->device, "a download"));
    const copy_plan p = plan_of(src, false);
    return src->device->backend->download(src->device, dst, p.row_bytes, src->data, p.pitch,
                                          p.row_bytes, p.rows);
}

static dlf_status check_dtype(const dlf_tensor *t, bool host_is_int, const char *verb)
{
    if ((t->dtype == DLF_I32) == host_is_int) return DLF_OK;
    char text[128];
    return dlf_fail(DLF_ERR_ARG, "%s: the tensor is %s but the host array is %s", verb,
                    dlf_tensor_describe(t, text, sizeof text), host_is_int ? "int32" : "real");
}

static dlf_status staging(void **out, const dlf_tensor *t)
{
    const size_t bytes = (size_t)dlf_tensor_count(t) * dlf_dtype_size(t->dtype);
    *out = malloc(bytes);
    if (*out) return DLF_OK;
    return dlf_fail(DLF_ERR_OOM, "no host memory for a copy of %zu bytes", bytes);
}

static void store(void *data, dlf_dtype dtype, int64_t i, double x)
{
    switch (dtype) {
    case DLF_F32: ((float *)data)[i] = (float)x; break;
    case DLF_F64: ((double *)data)[i] = x; break;
    case DLF_F16: ((uint16_t *)data)[i] = dlf_f16_of_double(x); break;
    case DLF_BF16: ((uint16_t *)data)[i] = dlf_bf16_of_double(x); break;
    case DLF_I32: break; /* refused by check_dtype */
    }
}

static double load(const void *data, dlf_dtype dtype, int64_t i)
{
    switch (dtype) {
    case DLF_F32: return ((const float *)data)[i];
    case DLF_F64: return ((const double *)data)[i];
    case DLF_F16: return dlf_float_of_f16(((const uint16_t *)data)[i]);
    case DLF_BF16: return dlf_float_of_bf16(((const uint16_t *)data)[i]);
    case DLF_I32: break;
    }
    return 0.0;
}

/* `src` holds `host` elements, converted on the way if the tensor's are others. */
static dlf_status upload(dlf_tensor *dst, const void *src, dlf_dtype host)
{
    DLF_TRY(check_dtype(dst, false, "upload"));
    if (dst->dtype == host) return to_device(dst, src);
    void *copy;
    DLF_TRY(staging(&copy, dst));
    for (int64_t i = 0, n = dlf_tensor_count(dst); i < n; i++)
        store(copy, dst->dtype, i, load(src, host, i));
    const dlf_status status = to_device(dst, copy);
    free(copy);
    return status;
}

static dlf_status download(void *dst, const dlf_tensor *src, dlf_dtype host)
{
    DLF_TRY(check_dtype(src, false, "download"));
    if (src->dtype == host) return to_host(dst, src);
    void *copy;
    DLF_TRY(staging(&copy, src));
    const dlf_status status = to_host(copy, src);
    if (status == DLF_OK)
        for (int64_t i = 0, n = dlf_tensor_count(src); i < n; i++)
            store(dst, host, i, load(copy, src->dtype, i));
    free(copy);
    return status;
}

dlf_status dlf_tensor_upload(dlf_tensor *dst, const float *src)
{
    return upload(dst, src, DLF_F32);
}

dlf_status dlf_tensor_upload_f64(dlf_tensor *dst, const double *src)
{
    return upload(dst, src, DLF_F64);
}

dlf_status dlf_tensor_upload_i32(dlf_tensor *dst, const int32_t *src)
{
    DLF_TRY(check_dtype(dst, true, "upload_i32"));
    return to_device(dst, src);
}

dlf_status dlf_tensor_download(float *dst, const dlf_tensor *src)
{
    return download(dst, src, DLF_F32);
}

dlf_status dlf_tensor_download_f64(double *dst, const dlf_tensor *src)
{
    return download(dst, src, DLF_F64);
}

dlf_status dlf_tensor_download_i32(int32_t *dst, const dlf_tensor *src)
{
    DLF_TRY(check_dtype(src, true, "download_i32"));
    return to_host(dst, src);
}

dlf_status dlf_tensor_zero(dlf_tensor *t)
{
    const copy_plan p = plan_of(t, false);
    return t->device->backend->zero(t->device, t->data, p.pitch, p.row_bytes, p.rows);
}

dlf_status dlf_tensor_copy(dlf_tensor *dst, const dlf_tensor *src)
{
    if (dst->device != src->device || dst->dtype != src->dtype ||
        !dlf_tensor_same_shape(dst, src)) {
        char d[128], s[128];
        return dlf_fail(DLF_ERR_SHAPE, "copy: dst is %s on %s, src is %s on %s",
                        dlf_tensor_describe(dst, d, sizeof d), dst->device->info.backend,
                        dlf_tensor_describe(src, s, sizeof s), src->device->info.backend);
    }
    const bool as_rows = !dlf_tensor_contiguous(dst) || !dlf_tensor_contiguous(src);
    const copy_plan d = plan_of(dst, as_rows), s = plan_of(src, as_rows);
    return dst->device->backend->copy(dst->device, dst->data, d.pitch, src->data, s.pitch,
                                      d.row_bytes, d.rows);
}
