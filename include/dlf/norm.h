/* SPDX-License-Identifier: MIT
 * norm.h -- batch, layer, instance, group and RMS normalization, forward and backward.
 *
 * One formula for all. A set A of positions shares one mean and one variance; the five differ in
 * nothing but the axes that A runs over (the table below):
 *
 *   mu   = mean of x over A              var  = mean of (x - mu)^2 over A            (biased)
 *   rstd = 1 / sqrt(var + eps)           xhat = (x - mu) rstd
 *   z    = gamma_c xhat + beta_c + residual          c: the channel of the position
 *   y    = f(z)                                      f: norm.activation, linear = none
 *
 *   RMS (Zhang & Sennrich 2019): mu = 0, rstd = 1 / sqrt(mean of x^2 + eps)
 *
 * Backward, with dz = dy f'(z) and g = dz gamma_c, means over the A of the position:
 *
 *   dx        = rstd (g - mean(g) - xhat mean(g xhat))            RMS: without mean(g)
 *   dresidual = dz        dgamma_c = sum dz xhat        dbeta_c = sum dz       over all but p and c
 *
 * Letters:  P population   N samples   C channels   S positions of a sample (H W, or 1)
 *           G groups of C/G channels
 * Layouts:  DLF_NCHW  x (P,N,C,...)     DLF_NHWC  x (P,N,...,C)     S = product of the dots
 *           A matrix (P,N,C) is both, with S = 1: layer norm over its rows is a transformer's, batch
 *           norm over its columns is BatchNorm1d. */
#ifndef DLF_NORM_H
#define DLF_NORM_H
#include "dlf/activation.h"
#include "dlf/tensor.h"
#ifdef __cplusplus
extern "C" {
#endif

/* How much of the channel axis A covers. */
typedef enum dlf_norm_channels { DLF_ONE_CHANNEL, DLF_A_GROUP, DLF_ALL_CHANNELS } dlf_norm_channels;

/*        name           text             A over samples  channels          statistics  paper      */
#define DLF_NORM_MAP(X)                                                                             \
    X(BATCH_NORM,    "batch_norm",    true,   DLF_ONE_CHANNEL)  /* (P,C)    Ioffe & Szegedy 2015   */ \
    X(LAYER_NORM,    "layer_norm",    false,  DLF_ALL_CHANNELS) /* (P,N)    Ba, Kiros, Hinton 2016 */ \
    X(INSTANCE_NORM, "instance_norm", false,  DLF_ONE_CHANNEL)  /* (P,N,C)  Ulyanov et al. 2016    */ \
    X(GROUP_NORM,    "group_norm",    false,  DLF_A_GROUP)      /* (P,N,G)  Wu & He 2018           */ \
    X(RMS_NORM,      "rms_norm",      false,  DLF_ALL_CHANNELS) /* (P,N)    Zhang & Sennrich 2019  */

typedef enum dlf_norm_kind {
#define X(name, text, over_samples, over_channels) DLF_##name,
    DLF_NORM_MAP(X)
#undef X
    DLF_NORM_COUNT
} dlf_norm_kind;

typedef enum dlf_layout { DLF_NCHW, DLF_NHWC } dlf_layout;

typedef struct dlf_norm {
    dlf_norm_kind kind;
    dlf_layout layout;
    int64_t groups;            /* group_norm: G, divides C; ignored by the others                  */
    double eps;                /* >= 0; added to the variance, inside the root                     */
    double momentum;           /* batch_norm, see dlf_norm_forward                                 */
    dlf_activation activation; /* f; zeroed = linear = none                                        */
    int version;               /* cuda: 0: the fastest that fits; k: row k of the family's version
                                  table (docs/kernels.md), DLF_ERR_NO_KERNEL if there is none or it
                                  does not fit. cpu has version 1 only; ref ignores it             */
} dlf_norm;

/* What the axes of x and the kind come to. */
typedef struct dlf_norm_geometry {
    int64_t P, N, C, S; /* see Letters                                             */
    int64_t groups;     /* along C of one sample: 1, G or C                        */
    int64_t width;      /* channels of A: C / groups                               */
    int64_t count;      /* positions in A                                          */
    int64_t statistics; /* statistics of one member: C, N, N C or N G              */
} dlf_norm_geometry;

const char *dlf_norm_name(dlf_norm_kind kind);
/* What A runs over: the table above. */
bool dlf_norm_over_samples(dlf_norm_kind kind);
dlf_norm_channels dlf_norm_over_channels(dlf_norm_kind kind);
/* x has 3 axes or more, and group_norm's G divides C; else DLF_ERR_SHAPE. */
DLF_MUST_CHECK dlf_status dlf_norm_geometry_of(dlf_norm_geometry *out, const dlf_tensor *x,
                                               dlf_norm norm);

/* Operands. Storage type: x, y, residual and their gradients are all f32, all f16 or all bf16 on
 * cpu and cuda (f64 on ref); arithmetic and statistics are float whatever the storage. Everything
 * else is real, except mean: float64 on every device, because at mean 1e4 and variance 1e-4 a float
 * mean is wrong by a twentieth of the standard deviation, and with it every xhat in backward. */
typedef struct dlf_norm_fwd {
    dlf_tensor *y;            /* like x; may alias x                                               */
    dlf_tensor *mean;         /* f64; NULL together with rstd: not kept. rms_norm: always NULL     */
    dlf_tensor *rstd;         /* real; mean and rstd have the shape in the table                   */
    dlf_tensor *running_mean; /* (P,C), batch_norm only; NULL together with running_var            */
    dlf_tensor *running_var;  /* (P,C)                                                             */
    const dlf_tensor *x;
    const dlf_tensor *gamma;    /* (P,C), NULL: 1                                                  */
    const dlf_tensor *beta;     /* (P,C), NULL: 0                                                  */
    const dlf_tensor *residual; /* like x, NULL: 0                                                 */
} dlf_norm_fwd;

typedef struct dlf_norm_bwd {
    dlf_tensor *dx;        /* like x; may alias dy                                                 */
    dlf_tensor *dresidual; /* like x, NULL: not wanted; may alias dy if dx does not                */
    dlf_tensor *dgamma;    /* (P,C), NULL: not wanted                                              */
    dlf_tensor *dbeta;     /* (P,C), NULL: not wanted                                              */
    const dlf_tensor *dy;
    const dlf_tensor *x;
    const dlf_tensor *mean; /* as forward left them; rms_norm: mean NULL                           */
    const dlf_tensor *rstd;
    const dlf_tensor *gamma;    /* as in forward                                                   */
    const dlf_tensor *beta;     /* as in forward; read only if there is an activation              */
    const dlf_tensor *residual; /* as in forward; read only if there is an activation              */
    double accumulate;          /* dgamma = sum + accumulate dgamma, dbeta alike; 0: not read      */
} dlf_norm_bwd;

/* Forward, with the statistics of x. batch_norm: training mode.
 *
 *   running   as PyTorch and cuDNN (exponentialAverageFactor = momentum), M = N S positions:
 *                 running_mean = (1 - momentum) running_mean + momentum mu
 *                 running_var  = (1 - momentum) running_var  + momentum var M / (M - 1)   (unbiased)
 *             M = 1 has no unbiased variance: DLF_ERR_SHAPE if running_var is given
 *   extremes  count = 1: xhat = 0 (rms: +-1). var = 0 and eps = 0: rstd = Inf, xhat = NaN.
 *             A NaN or Inf in A makes all of its xhat NaN (rms with Inf: 0 and NaN), and no other's.
 *   accuracy  corrected two-pass variance (Chan, Golub, LeVeque 1983), never E[x^2] - E[x]^2
 *   cost      read x (and residual) once, write y: 2 (3) elements per position. Where A does not fit
 *             on chip, x is read twice: batch_norm 3 (4).
 *   errors    as every op (ops.h); DLF_ERR_ARG: eps < 0 or NaN, momentum outside 0..1             */
DLF_MUST_CHECK dlf_status dlf_norm_forward(const dlf_norm_fwd *io, const dlf_norm *norm);

/* Batch norm in evaluation mode: mu = running_mean, var = running_var (both read, never written;
 * required; mean and rstd NULL). Other kinds: the same as dlf_norm_forward, which knows no modes.
 *   cost      2 (3 with residual) elements per position                                            */
DLF_MUST_CHECK dlf_status dlf_norm_infer(const dlf_norm_fwd *io, const dlf_norm *norm);

/* Batch norm in evaluation mode is one fixed affine map per channel, and goes into the layer below:
 *
 *   k_c = gamma_c / sqrt(running_var_c + eps)        w'[p,c,..] = k_c w[p,c,..]
 *                                                    b'[p,c]    = k_c (b_c - running_mean_c) + beta_c
 *
 * so that dense(x, w', b') or convolution(x, w', b') is dlf_norm_infer of the layer with w and b, up
 * to rounding, without reading and writing its output once more.
 *   folded_w  like w; may alias it;  folded_b (P,C); may alias b
 *   w         (P,C,..): output channels on axis 1: (P,units,inputs), (P,C,C_in,kh,kw), ..
 *   b         (P,C), NULL: 0
 *   io        of dlf_norm_infer: running_mean, running_var, gamma, beta are read, the rest is not;
 *             an activation is not folded, and a residual cannot be
 *   cost      all pass through the host in double: once per network, not per batch
 *   errors    DLF_ERR_ARG    not batch_norm; no running statistics; eps < 0 or NaN
 *             DLF_ERR_SHAPE  axes do not fit; tensors that are not floating; a (P,..) of another P */
DLF_MUST_CHECK dlf_status dlf_norm_fold(dlf_tensor *folded_w, dlf_tensor *folded_b,
                                        const dlf_tensor *w, const dlf_tensor *b,
                                        const dlf_norm_fwd *io, const dlf_norm *norm);

/* Backward of dlf_norm_forward. z is computed again from x, gamma, beta and residual by the very
 * expression of forward, so that y is not read and relu's mask is forward's to the bit.
 *   cost      read x, dy (residual), write dx (dresidual): 3 elements per position; batch_norm 5   */
DLF_MUST_CHECK dlf_status dlf_norm_backward(const dlf_norm_bwd *io, const dlf_norm *norm);

#ifdef __cplusplus
}
#endif
#endif
