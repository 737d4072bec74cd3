/* SPDX-License-Identifier: MIT
 * conv1x1.h -- the 1x1 convolution (Lin, Chen, Yan 2014): one matrix product per position, with
 * what stands before and after it in a network fused in. Forward and backward, f32, f16 and bf16.
 *
 *   u[p,n,c,h,w] = g(scale[p,c] x[p,n,c,h,w] + shift[p,c])         prologue: a folded batch norm
 *   z[p,n,k,i,j] = sum_c w[p,k,c] u[p,n,c, i sh, j sw] + bias[p,k] + residual[p,n,k,i,j]
 *   y            = f(z)                                            epilogue
 *   mean[p,k], var[p,k] = mean and biased variance of y over n, i, j: what batch norm needs of y
 *
 * Backward, from dz = dy f'(z) (dy itself if f is linear; else dlf_activation_backward or
 * dlf_norm_backward give it; the gradient of residual is dz):
 *
 *   du[p,n,c, i sh, j sw] = sum_k w[p,k,c] dz[p,n,k,i,j], 0 at positions that the stride skips
 *   dw[p,k,c]  = sum_{n,i,j} dz[p,n,k,i,j] u[p,n,c, i sh, j sw]
 *   dbias[p,k] = sum_{n,i,j} dz[p,n,k,i,j]
 *
 * Letters:  P population  N samples  C, K input, output channels  H W height, width of x
 *           OH = (H - 1) / sh + 1, OW alike: of y   sh sw strides   M = N OH OW positions of y
 * Layouts:  DLF_NCHW  x (P,N,C,H,W), y (P,N,K,OH,OW);  DLF_NHWC  x (P,N,H,W,C), y (P,N,OH,OW,K)
 *           Matrices x (P,N,C), y (P,N,K) are both, with H = W = 1: a fully connected layer.
 * Sharing:  every input may have axis 0 of 1 instead of P: the same for all members. P is that
 *           of the outputs.
 * Types:    x, w, y, residual, dz and dx are all f32, all f16 or all bf16 on cpu and cuda (f64
 *           on ref); products are summed in float. mean and var are f64 on every device; bias,
 *           scale, shift, dw and dbias are real: weights that are trained are kept in real. */
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

/* Weights in the order that the kernels of a device read them, for layers that run many times with
 * the same w: see dlf_conv1x1_pack. Zeroed: none yet. */
typedef struct dlf_conv1x1_packed {
    dlf_tensor t;      /* (P, >= K, C) in that order: opaque                                   */
    int64_t K;         /* of w                                                                 */
    dlf_layout layout; /* of the convolutions that it is for                                   */
    dlf_dtype dtype;   /* of w                                                                 */
} dlf_conv1x1_packed;

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
    const dlf_conv1x1_packed *packed; /* instead of w, which is then NULL; NULL: w              */
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
 *   mean, var  of y as it is stored, so that batch norm of y would find the same. Float only
 *              within pieces of at most 192 positions and there centred on the piece's own mean;
 *              pieces merge in double and in a fixed order (Chan, Golub, LeVeque 1983). So var
 *              is good to 1e-5 relative, where sums of y and y^2 in float would lose all digits
 *              at |mean| = 1000 deviations. Sum y = M mean; sum y^2 = M (var + mean^2).
 *   accuracy   z: C products and C + 2 additions in float in any order: error <= (C + 2) 2^-24
 *              times the sum of their magnitudes; typically sqrt(C) of it. Tensor cores
 *              (versions 2 and 3) take u rounded to the storage type
 *   NaN, Inf   in x reach all channels of their position, and no other position. Products with
 *              0 are formed: 0 Inf is NaN
 *   cost       read x (what the stride leaves) and residual, write y, once each, w from the
 *              cache; 2 P M C K flop. mean and var: 24 bytes per channel and piece on top
 *   errors     as every op (ops.h); DLF_ERR_ARG: stride < 0, unknown layout or activation */
DLF_MUST_CHECK dlf_status dlf_conv1x1_forward(const dlf_conv1x1_fwd *io, const dlf_conv1x1 *conv);

/* packed = w (P or 1,K,C) for forward calls in this layout, which give the same bits as with w. A
 * zeroed *packed is given memory of w's device; one that was filled before is filled anew, with a w
 * of the same shape, type and device, for the same layout. It is a copy: what happens to w later
 * does not show, so pack again after a step of training.
 *   what it holds  cpu: panels of 64 (narrow layers 32) channels in NHWC, of 8 in NCHW, as floats
 *                  whatever w's type; K is rounded up to whole panels (fewer without AVX-512).
 *                  cuda, ref: w as it is: their kernels pack nothing, so nothing is gained
 *   cost           one read of w, one write of packed, which forward calls on a cpu without it
 *                  pay every time (but for f32 in NCHW with less than 1024 positions)
 *   lifetime       dlf_conv1x1_packed_free, before its device is closed
 *   errors         as every op (ops.h); DLF_ERR_ARG: unknown layout; DLF_ERR_SHAPE: filled before
 *                  from a w of another shape, type or device, or for another layout */
DLF_MUST_CHECK dlf_status dlf_conv1x1_pack(dlf_conv1x1_packed *packed, const dlf_tensor *w,
                                           dlf_layout layout);

/* NULL and zeroed are fine; zeroed afterwards. */
void dlf_conv1x1_packed_free(dlf_conv1x1_packed *packed);

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

/* ---- which version a shape gets on a GPU ------------------------------------------------------
 */

typedef enum dlf_conv1x1_op {
    DLF_CONV1X1_FORWARD,
    DLF_CONV1X1_BACKWARD_DATA,
    DLF_CONV1X1_BACKWARD_WEIGHT
} dlf_conv1x1_op;

typedef enum dlf_conv1x1_rate {
    DLF_CONV1X1_FLOAT,
    DLF_CONV1X1_TF32,
    DLF_CONV1X1_16_BIT
} dlf_conv1x1_rate;

/* What a plan wants to know about a GPU. */
typedef struct dlf_conv1x1_gpu {
    const char *name;
    int capability;        /* 90 for 9.0                                                       */
    int processors;        /* multiprocessors                                                  */
    int64_t shared_bytes;  /* the most that a block may have                                   */
    double bytes_per_s;    /* of device memory                                                 */
    double flops_per_s[3]; /* by dlf_conv1x1_rate                                              */
} dlf_conv1x1_gpu;

/* Data sheet of the GPU whose name contains one that is known ("NVIDIA H200" has "H200").
 *   errors   DLF_ERR_NOT_FOUND; the message lists the names */
DLF_MUST_CHECK dlf_status dlf_conv1x1_gpu_find(dlf_conv1x1_gpu *out, const char *name);

typedef struct dlf_conv1x1_choice {
    int version;
    char reason[240];      /* one sentence                                                     */
    dlf_conv1x1_rate rate; /* what multiplies                                                  */
    double bytes, flops;   /* every operand once; 2 P M C K                                    */
    double intensity;      /* flops / bytes                                                    */
    double ridge;          /* intensity at which memory and arithmetic take equally long       */
    double floor_us;       /* max(bytes / bytes_per_s, flops / flops_per_s)                    */
    bool memory_bound;
} dlf_conv1x1_choice;

/* The roofline model (Williams, Waterman, Patterson 2009): memory-bound shapes keep w on chip
 * (version 3), the others stream both factors through tensor cores (2); float without tf32, and
 * GPUs before sm_80, get 1. The rows of a table of measured crossovers, where there are any, go
 * before the model. `g` with P, M, C, K set. Never fails. */
void dlf_conv1x1_plan(dlf_conv1x1_choice *out, dlf_conv1x1_op op, const dlf_conv1x1_geometry *g,
                      dlf_dtype dtype, const dlf_conv1x1 *conv, const dlf_conv1x1_gpu *gpu);

/* "On this GPU `version` is the fastest for intensities from .. to"; a table ends with gpu NULL. */
typedef struct dlf_conv1x1_crossover {
    const char *gpu;
    dlf_conv1x1_op op;
    dlf_conv1x1_rate rate;
    double from, to;
    int version;
} dlf_conv1x1_crossover;

/* The same with another table (NULL: none). */
void dlf_conv1x1_plan_with(dlf_conv1x1_choice *out, dlf_conv1x1_op op,
                           const dlf_conv1x1_geometry *g, dlf_dtype dtype, const dlf_conv1x1 *conv,
                           const dlf_conv1x1_gpu *gpu, const dlf_conv1x1_crossover *table);

#ifdef __cplusplus
}
#endif
#endif
