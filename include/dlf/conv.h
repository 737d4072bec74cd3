/* SPDX-License-Identifier: MIT
 * conv.h -- convolution in two dimensions: forward and its three gradients.
 *
 * Cross-correlation, as everywhere in deep learning (the kernel is not turned over). With
 * h = i stride - pad + r dilation, and v in the same way; k belongs to group k / (K/G), whose input
 * channels are c = 0..C/G-1:
 *
 *   y[p,n,k,i,j]  = bias[p,k] + sum_{c,r,s} x[p,n,c,h,v] w[p,k,c,r,s]          x is 0 in the
 * padding dx[p,n,c,h,v] = sum over the k,i,j,r,s that read it of dy[p,n,k,i,j] w[p,k,c,r,s]
 *   dw[p,k,c,r,s] = sum_{n,i,j} dy[p,n,k,i,j] x[p,n,c,h,v]
 *   dbias[p,k]    = sum_{n,i,j} dy[p,n,k,i,j]
 *
 * dx is the transposed map of y: <dy, conv(x)> = <dx, x>. A kernel as large as the image without
 * padding is a fully connected layer; a 1x1 kernel is one at every position.
 *
 * Letters:  P population   N samples   C, K input and output channels   G groups (C: depthwise)
 *           H,W and OH,OW positions    R,S kernel
 * Shapes:   DLF_NCHW  x (P,N,C,H,W)  w (P,K,C/G,R,S)  y (P,N,K,OH,OW)
 *           DLF_NHWC  x (P,N,H,W,C)  w (P,K,R,S,C/G)  y (P,N,OH,OW,K)
 *           OH = (H + 2 pad - dilation (R-1) - 1) / stride + 1, rounded down; OW likewise
 * Axis 0 of x, w and dy may be 1 where they are read: the same for all p.
 *
 * Whether a product 0 Inf or 0 NaN counts where a kernel looks into the padding, or where in the
 * sum of a dx no output lies, is left open: such a sum is NaN or what it is without that product.
 * Every other NaN and Inf arrives where the formula puts it. Each result is a sum in a fixed order:
 * no atomics, the same bits for any number of threads. */
#ifndef DLF_CONV_H
#define DLF_CONV_H
#include "dlf/norm.h" /* dlf_layout */
#include "dlf/tensor.h"
#ifdef __cplusplus
extern "C" {
#endif

typedef struct dlf_conv {
    dlf_layout layout;
    int64_t kernel[2], stride[2], pad[2]; /* vertical, horizontal; pad >= 0 on both sides         */
    int64_t dilation[2];                  /* >= 1: positions from tap to tap of the kernel        */
    int64_t groups;                       /* >= 1, divides C and K                                */
} dlf_conv;

/* A square kernel; dilation 1, one group. */
dlf_conv dlf_conv_of(dlf_layout layout, int64_t kernel, int64_t stride, int64_t pad);

/* Positions along axis 0 (vertical) or 1 of the output for `positions` of the input; 0 if the
 * kernel fits nowhere or an argument is out of range. */
int64_t dlf_conv_positions(const dlf_conv *conv, int axis, int64_t positions);

/* y = conv(x, w) + bias            bias (P,K), or NULL: 0
 *   errors   DLF_ERR_SHAPE also when the kernel does not fit; axes at most 2^30 long
 *   cost     one read of x and w, one write of y; 2 P N K OH OW (C/G) R S flop */
DLF_MUST_CHECK dlf_status dlf_conv_forward(dlf_tensor *y, const dlf_tensor *x, const dlf_tensor *w,
                                           const dlf_tensor *bias, dlf_conv conv);

/* dx = conv^T(dy, w) + beta dx     (beta == 0: dx is not read); flop as forward */
DLF_MUST_CHECK dlf_status dlf_conv_data_grad(dlf_tensor *dx, const dlf_tensor *dy,
                                             const dlf_tensor *w, dlf_conv conv, double beta);

/* dw = ... + beta dw               (beta == 0: dw is not read); flop as forward */
DLF_MUST_CHECK dlf_status dlf_conv_weight_grad(dlf_tensor *dw, const dlf_tensor *x,
                                               const dlf_tensor *dy, dlf_conv conv, double beta);

/* dbias = ... + beta dbias         (beta == 0: dbias is not read); dy (P,N,K,..) or (P,N,..,K) */
DLF_MUST_CHECK dlf_status dlf_conv_bias_grad(dlf_tensor *dbias, const dlf_tensor *dy,
                                             dlf_layout layout, double beta);

#ifdef __cplusplus
}
#endif
#endif
