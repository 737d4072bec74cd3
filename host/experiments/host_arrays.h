/* SPDX-License-Identifier: MIT
 * host_arrays.h -- arrays on the host through the ops of a device: for experiments that compare two
 * ways to compute the same numbers. All return double; on a device whose real is float32 the inputs
 * are rounded to it once. */
#ifndef DLF_HOST_ARRAYS_H
#define DLF_HOST_ARRAYS_H
#include "dlf/backend.h"
#include "dlf/conv.h"

/* y = conv(x, w), NCHW: x (N,C,H,W), w (K,C/groups,R,S), y (N,K,OH,OW) contiguous; shapes without
 * the population axis. */
DLF_MUST_CHECK dlf_status host_conv(dlf_device *device, double *y, const double *x,
                                    const int64_t x_shape[4], const double *w,
                                    const int64_t w_shape[4], dlf_conv conv);

/* The same for a 1x1 kernel, by the kernels that are made for it (conv1x1.h); w (K,C). */
DLF_MUST_CHECK dlf_status host_conv1x1(dlf_device *device, double *y, const double *x,
                                       const int64_t x_shape[4], const double *w, int64_t K);

/* y (rows,out) = x (rows,in) w^T, w (out,in): a fully connected layer without bias. */
DLF_MUST_CHECK dlf_status host_dense(dlf_device *device, double *y, const double *x, int64_t rows,
                                     int64_t in, const double *w, int64_t out);

/* y[n] (K,S) = w x[n] (C,S) for n images, w (K,C): a matrix product over channels. */
DLF_MUST_CHECK dlf_status host_product(dlf_device *device, double *y, const double *w,
                                       const double *x, int64_t n, int64_t K, int64_t C, int64_t S);

/* x[i] = scale N(0,1) of (seed, purpose and layer, member, i). */
void host_normal(double *x, int64_t n, double scale, uint64_t seed, uint32_t stream,
                 uint32_t member);

/* max |a-b| / max |b|: NaN if either holds one. */
double host_worst(const double *a, const double *b, int64_t n);
/* sqrt(sum (a-b)^2 / sum b^2) */
double host_distance(const double *a, const double *b, int64_t n);
#endif
