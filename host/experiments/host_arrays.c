/* SPDX-License-Identifier: MIT
 * host_arrays.c -- arrays on the host through the ops of a device. */
#include "host_arrays.h"

#include <math.h>

#include "dlf/ops.h"
#include "dlf/rng.h"

static dlf_status upload(dlf_tensor *t, dlf_device *device, const double *x, int ndim,
                         const int64_t *shape)
{
    DLF_TRY(dlf_tensor_init(t, device, device->real, ndim, shape));
    return dlf_tensor_upload_f64(t, x);
}

dlf_status host_conv(dlf_device *device, double *y, const double *x, const int64_t x_shape[4],
                     const double *w, const int64_t w_shape[4], dlf_conv conv)
{
    dlf_tensor tx = {0}, tw = {0}, ty = {0};
    dlf_status status;
    DLF_TRY_DONE(
        upload(&tx, device, x, 5, (int64_t[]){1, x_shape[0], x_shape[1], x_shape[2], x_shape[3]}));
    DLF_TRY_DONE(
        upload(&tw, device, w, 5, (int64_t[]){1, w_shape[0], w_shape[1], w_shape[2], w_shape[3]}));
    DLF_TRY_DONE(dlf_tensor_new(&ty, device, device->real, 1, x_shape[0], w_shape[0],
                                dlf_conv_positions(&conv, 0, x_shape[2]),
                                dlf_conv_positions(&conv, 1, x_shape[3])));
    DLF_TRY_DONE(dlf_conv_forward(&ty, &tx, &tw, NULL, conv));
    DLF_TRY_DONE(dlf_tensor_download_f64(y, &ty));
done:
    dlf_tensor_free(&ty);
    dlf_tensor_free(&tw);
    dlf_tensor_free(&tx);
    return status;
}

dlf_status host_conv1x1(dlf_device *device, double *y, const double *x, const int64_t x_shape[4],
                        const double *w, int64_t K)
{
    dlf_tensor tx = {0}, tw = {0}, ty = {0};
    dlf_status status;
    const dlf_conv1x1 conv = {.layout = DLF_NCHW};
    DLF_TRY_DONE(
        upload(&tx, device, x, 5, (int64_t[]){1, x_shape[0], x_shape[1], x_shape[2], x_shape[3]}));
    DLF_TRY_DONE(upload(&tw, device, w, 3, (int64_t[]){1, K, x_shape[1]}));
    DLF_TRY_DONE(
        dlf_tensor_new(&ty, device, device->real, 1, x_shape[0], K, x_shape[2], x_shape[3]));
    DLF_TRY_DONE(dlf_conv1x1_forward(&(dlf_conv1x1_fwd){.y = &ty, .x = &tx, .w = &tw}, &conv));
    DLF_TRY_DONE(dlf_tensor_download_f64(y, &ty));
done:
    dlf_tensor_free(&ty);
    dlf_tensor_free(&tw);
    dlf_tensor_free(&tx);
    return status;
}

/* y (P,M,N) = a b, or a b^T; a (1 or P,M,K), b (1 or P,..). */
static dlf_status product(dlf_device *device, double *y, const int64_t y_shape[3], const double *a,
                          const int64_t a_shape[3], const double *b, const int64_t b_shape[3],
                          bool trans_b)
{
    dlf_tensor ta = {0}, tb = {0}, ty = {0};
    dlf_status status;
    DLF_TRY_DONE(upload(&ta, device, a, 3, a_shape));
    DLF_TRY_DONE(upload(&tb, device, b, 3, b_shape));
    DLF_TRY_DONE(dlf_tensor_init(&ty, device, device->real, 3, y_shape));
    DLF_TRY_DONE(dlf_gemm(&ty, &ta, &tb, (dlf_gemm_args){.trans_b = trans_b, .alpha = 1.0}));
    DLF_TRY_DONE(dlf_tensor_download_f64(y, &ty));
done:
    dlf_tensor_free(&ty);
    dlf_tensor_free(&tb);
    dlf_tensor_free(&ta);
    return status;
}

dlf_status host_dense(dlf_device *device, double *y, const double *x, int64_t rows, int64_t in,
                      const double *w, int64_t out)
{
    return product(device, y, (int64_t[]){1, rows, out}, x, (int64_t[]){1, rows, in}, w,
                   (int64_t[]){1, out, in}, true);
}

dlf_status host_product(dlf_device *device, double *y, const double *w, const double *x, int64_t n,
                        int64_t K, int64_t C, int64_t S)
{
    return product(device, y, (int64_t[]){n, K, S}, w, (int64_t[]){1, K, C}, x,
                   (int64_t[]){n, C, S}, false);
}

void host_normal(double *x, int64_t n, double scale, uint64_t seed, uint32_t stream,
                 uint32_t member)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = scale * (double)dlf_rng_normal(seed, stream, member, (uint64_t)i);
}

double host_worst(const double *a, const double *b, int64_t n)
{
    double off = 0.0, size = 0.0;
    for (int64_t i = 0; i < n; i++) {
        const double d = fabs(a[i] - b[i]);
        if (isnan(d)) return NAN;
        off = fmax(off, d);
        size = fmax(size, fabs(b[i]));
    }
    return off / size;
}

double host_distance(const double *a, const double *b, int64_t n)
{
    double off = 0.0, size = 0.0;
    for (int64_t i = 0; i < n; i++) {
        off += (a[i] - b[i]) * (a[i] - b[i]);
        size += b[i] * b[i];
    }
    return sqrt(off / size);
}
