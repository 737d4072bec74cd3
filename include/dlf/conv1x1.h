/* SPDX-License-Identifier: MIT
 * conv1x1.h -- the 1x1 convolution (Lin, Chen, Yan 2014): one matrix product per position, with
 * what stands before and after it in a network fused in. Forward and backward, f32, f16 and bf16.
 *
 *   u[p,n,c,h,w] = g(scale[p,c] x[p,n,c,h,w] + shift[p,c])              prologue: a folded batch
 * norm z[p,n,k,i,j] = sum_c w[p,k,c] u[p,n,c, i sh, j sw] + bias[p,k] + residual[p,n,k,i,j] y =
 * f(z)                                                 epilogue mean[p,k], var[p,k] = mean and
 * biased variance of y over n, i, j    what batch norm needs of y
 *
 * Backward, from dz = dy f'(z) (dy itself if f is linear; else dlf_activation_backward or
 * dlf_norm_backward give it; the gradient of residual is dz):
 *
 *   du[p,n,c, i sh, j sw] = sum_k w[p,k,c] dz[p,n,k,i,j], 0 at positions that the stride skips
 *   dw[p,k,c]   = sum_{n,i,j} dz[p,n,k,i,j] u[p,n,c, i sh, j sw]        dbias[p,k] = sum_{n,i,j} dz
 *
 * Letters:  P population  N samples  C, K input, output channels  H W height, width of x
 *           OH = (H - 1) / sh + 1, OW alike: of y    sh sw strides    M = N OH OW positions of y
 * Layouts:  DLF_NCHW  x (P,N,C,H,W), y (P,N,K,OH,OW)      DLF_NHWC  x (P,N,H,W,C), y (P,N,OH,OW,K)
 *           Matrices x (P,N,C), y (P,N,K) are both, with H = W = 1: a fully connected layer.
 * Sharing:  every input may have axis 0 of 1 instead of P: the same for all members. P is that of
 * the outputs. Types:    x, w, y, residual, dz and dx are all f32, all f16 or all bf16 on cpu and
 * cuda (f64 on ref); products are summed in float. mean and var are f64 on every device; bias,
 * scale, shift, dw and dbias are real, because weights that are trained are kept in real. */
#ifndef DLF_CONV1X1_H
#define DLF_CONV1X1_H
#include "dlf/activation.h"
#include "dlf/norm.h"
#include "dlf/tensor.h"
#ifdef __cplusplus
extern "C" {
#endif

typedef struct dlf_conv1x1 {
    dlf_layout layout;
    int64_t stride[2];         /* sh, sw; 0 means 1                                          */
    dlf_activation activation; /* f; zeroed = linear                                         */
    dlf_activation input_activation; /* g; zeroed = linear */
    bool tf32;   /* f32 on cuda: may round factors to 10 bits of fraction (relative 2^-11) and use
                    tensor cores; others ignore it                                                 */
    int version; /* cuda: 0: what dlf_conv1x1_plan says; k: row k of the family's version table
                    (docs/kernels.md), DLF_ERR_NO_KERNEL if there is none or it does not fit. cpu
                    has version 1 only; ref ignores it */
} dlf_conv1x1;

/* What the axes come to. */
typedef struct dlf_conv1x1_geometry {
    int64_t P, N, C, K, H, W, OH, OW;
    int64_t stride[2]; /* >= 1 */
    int64_t M;         /* N OH OW */
} dlf_conv1x1_geometry;

typedef struct dlf_conv1x1_fwd {
    dlf_tensor *y;          /* may alias residual                                              */
    dlf_tensor *mean;       /* f64 (P,K); NULL together with var: not wanted                   */
    dlf_tensor *var;        /* f64 (P,K)                                                       */
    const dlf_tensor *x;    /*                                                                 */
    const dlf_tensor *w;    /* (P,K,C)                                                         */
    const dlf_tensor *bias; /* (P,K), NULL: 0                                                  */
    const dlf_tensor *residual; /* like y, NULL: 0 */
    const dlf_tensor *scale; /* (P,C), NULL: 1                                                  */
    const dlf_tensor *shift; /* (P,C), NULL: 0                                                  */
} dlf_conv1x1_fwd;

typedef struct dlf_conv1x1_bwd {
    dlf_tensor *dx;       /* du, like x with P members; NULL: not wanted                        */
    dlf_tensor *dw;       /* real (P,K,C); NULL: not wanted                                     */
    dlf_tensor *dbias;    /* real (P,K); NULL: not wanted                                       */
    const dlf_tensor *dz; /* like y                                                             */
    const dlf_tensor *x;  /* for dw; else NULL                                                  */
    const dlf_tensor *w;  /* for dx; else NULL                                                  */
    const dlf_tensor *scale; /* as in forward; for dw */
    const dlf_tensor *shift;
    double accumulate; /* dw = sum + accumulate dw, dbias alike; 0: not read                    */
    double accumulate_dx; /* dx = sum + accumulate_dx dx; 0: not read */
} dlf_conv1x1_bwd;

/* x has 3 or 5 axes, strides are not negative; else DLF_ERR_SHAPE or DLF_ERR_ARG. P is x's and K is
 * w's, whose last axis must be C; w == NULL: K = 0. */
DLF_MUST_CHECK dlf_status dlf_conv1x1_geometry_of(dlf_conv1x1_geometry *out, const dlf_tensor *x,
                                                  const dlf_tensor *w, dlf_conv1x1 conv);

/* Forward.
 *   mean, var  of y as it is stored, so that batch norm of y would find the same. Float only within
 *              pieces of at most 128 positions and there centred on the piece's own mean; pieces
 * merge in double and in a fixed order (Chan, Golub, LeVeque 1983). So var is good to 1e-5 relative
 * + 1e-12 mean^2 absolute, where sums of y and y^2 in float would lose all digits at |mean| = 1000
 * standard deviations. Sum y = M mean; sum y^2 = M (var + mean^2). accuracy   z: C products and C +
 * 2 additions in float in any order: error <= (C + 2) 2^-24 times the sum of their magnitudes;
 * typically sqrt(C) of it NaN, Inf   in x reach all channels of their position, and no other
 * position. Products with 0 are formed: 0 Inf is NaN. cost       read x (what the stride leaves)
 * and residual, write y, once each, w from the cache; 2 P M C K flop. mean and var: 24 bytes per
 * channel and piece on top errors     as every op (ops.h); DLF_ERR_ARG: stride < 0, unknown layout
 * or activation          */
DLF_MUST_CHECK dlf_status dlf_conv1x1_forward(const dlf_conv1x1_fwd *io, const dlf_conv1x1 *conv);

/* Backward: dx, dw and dbias, as far as given. conv.activation is not applied: see dz above.
 * dw, dbias: float sums within pieces of positions, the pieces added in a fixed order.
 *   cost       dx: read dz, write dx; dw: read dz and x; 2 P M C K flop each */
DLF_MUST_CHECK dlf_status dlf_conv1x1_backward(const dlf_conv1x1_bwd *io, const dlf_conv1x1 *conv);

/* What a batch norm with these statistics does to a channel, for the prologue of the next layer:
 *   scale = gamma / sqrt(var + eps)      shift = beta - mean scale
 *   scale, shift (P,C) real;  mean, var (P,C) f64;  gamma, beta (P,C) real, NULL: 1, 0
 * conv -> fold -> conv with scale, shift and input_activation is conv -> batch norm -> activation
 * -> conv with one read and one write of the tensor less. */
DLF_MUST_CHECK dlf_status dlf_conv1x1_fold(dlf_tensor *scale, dlf_tensor *shift,
                                           const dlf_tensor *mean, const dlf_tensor *var,
                                           const dlf_tensor *gamma, const dlf_tensor *beta,
                                           double eps);

#ifdef __cplusplus
}
#endif
#endif
