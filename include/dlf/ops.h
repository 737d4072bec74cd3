/* SPDX-License-Identifier: MIT
 * ops.h -- every op an experiment may call.
 *
 * Letters:  P population (seeds, sweep points, ablation arms)   B batch rows   N features
 *           M,N,K of a matrix product   C classes               S segments
 * Conventions
 *   - `real` is the device's floating type: float32 on cpu and cuda, float64 on ref.
 *   - All tensors of a call live on one device. Members (axis 0) may be strided views.
 *   - Inputs and outputs must not overlap unless the op says "may alias".
 *   - No op allocates device memory that outlives it. All are deterministic: the same inputs give
 *     the same bits on the same device, for any number of threads; no float atomics.
 *   - NaN and Inf are values: an op never hides one (relu(NaN) is NaN) and never fails on one.
 *   - Ops are queued; results are visible to later ops, and to the host after a download.
 *   errors of every op
 *     DLF_ERR_SHAPE      dtype, shape or device do not fit; the message prints both sides
 *     DLF_ERR_NO_KERNEL  the device has no such op
 *     DLF_ERR_DEVICE     launch failed
 *     DLF_ERR_OOM        scratch memory refused
 * "cost" counts ideal device-memory traffic in bytes at 4 bytes per real, and flops. */
#ifndef DLF_OPS_H
#define DLF_OPS_H
#include <stdint.h>

#include "dlf/tensor.h"
#ifdef __cplusplus
extern "C" {
#endif

/* ---- matrix product ----------------------------------------------------------------------- */

typedef struct dlf_gemm_args {
    bool trans_a, trans_b;
    double alpha, beta; /* beta == 0: c is not read (it may hold NaN) */
} dlf_gemm_args;

/* c[p] = alpha op(a[p]) op(b[p]) + beta c[p]
 *
 *   c    (P,M,N)  in/out
 *   a    (P,M,K), or (P,K,M) if trans_a; axis 0 may be 1: the same matrix for every p
 *   b    (P,K,N), or (P,N,K) if trans_b; axis 0 may be 1
 *   cost 4P(MK+KN+MN) bytes, 2PMNK flop. cuBLAS strided-batched SGEMM (fp32, no TF32) / OpenBLAS */
DLF_MUST_CHECK dlf_status dlf_gemm(dlf_tensor *c, const dlf_tensor *a, const dlf_tensor *b,
                                   dlf_gemm_args args);

/* ---- bias --------------------------------------------------------------------------------- */

/* y[p,i,j] = x[p,i,j] + bias[p,j]
 *   y, x (P,B,N) y may alias x;  bias (P,N)            cost 4P(2BN+N) bytes */
DLF_MUST_CHECK dlf_status dlf_bias_add(dlf_tensor *y, const dlf_tensor *x, const dlf_tensor *bias);

/* dbias[p,j] = sum_i dy[p,i,j] + beta dbias[p,j]       (beta == 0: dbias is not read)
 *   dbias (P,N);  dy (P,B,N)                           cost 4P(BN+N) bytes */
DLF_MUST_CHECK dlf_status dlf_bias_grad(dlf_tensor *dbias, const dlf_tensor *dy, double beta);

/* ---- activations -------------------------------------------------------------------------- */

/*        name        text          value                                                       */
#define DLF_ACTIVATION_MAP(X)                                                                   \
    X(LINEAR,     "linear")      /* x                                                          */ \
    X(SIGMOID,    "sigmoid")     /* 1/(1+e^-x)                                                 */ \
    X(TANH,       "tanh")        /* tanh x                                                     */ \
    X(RELU,       "relu")        /* x > 0 ? x : 0                              derivative(0)=0 */ \
    X(LEAKY_RELU, "leaky_relu")  /* x > 0 ? x : alpha x      alpha = 0.01      derivative(0)=alpha */ \
    X(ELU,        "elu")         /* x > 0 ? x : alpha (e^x-1)  alpha = 1                       */ \
    X(SELU,       "selu")        /* s ELU(x), s = 1.0507.., alpha = 1.6732..  Klambauer 2017   */ \
    X(GELU,       "gelu")        /* x Phi(x), Phi by erf            Hendrycks & Gimpel 2016    */ \
    X(GELU_TANH,  "gelu_tanh")   /* x/2 (1+tanh(sqrt(2/pi)(x+0.044715x^3)))                    */ \
    X(SILU,       "silu")        /* x sigmoid(x)                    Elfwing et al. 2017        */ \
    X(SOFTPLUS,   "softplus")    /* log(1+e^x)                                                 */

typedef enum dlf_activation_kind {
#define X(name, text) DLF_##name,
    DLF_ACTIVATION_MAP(X)
#undef X
    DLF_ACTIVATION_COUNT
} dlf_activation_kind;

typedef struct dlf_activation {
    dlf_activation_kind kind;
    double alpha; /* leaky_relu slope, elu scale; ignored by the others */
} dlf_activation;

/* The activation with its default alpha. */
dlf_activation dlf_activation_of(dlf_activation_kind kind);
const char *dlf_activation_name(dlf_activation_kind kind);
/* DLF_ERR_NOT_FOUND with the list of names in the message. */
DLF_MUST_CHECK dlf_status dlf_activation_find(dlf_activation *out, const char *name);
/* The definition, in double. Used by the reference, by theory and by finite differences. */
double dlf_activation_value(dlf_activation f, double x);
double dlf_activation_derivative(dlf_activation f, double x);
/* What dlf_activation_backward reads: true = x (gelu, gelu_tanh, silu), false = y (all others). */
bool dlf_activation_needs_x(dlf_activation_kind kind);

/* y = f(x)                 y, x same shape, contiguous members; y may alias x
 *   cost 8 bytes per element */
DLF_MUST_CHECK dlf_status dlf_activation_forward(dlf_tensor *y, const dlf_tensor *x,
                                                 dlf_activation f);

/* dx = dy f'(x)            f' is taken from y where y determines it, else from x
 *   dx, dy  same shape; dx may alias dy
 *   x       needed if dlf_activation_needs_x, else may be NULL
 *   y       needed otherwise, else may be NULL
 *   A NaN in the x or y that is read makes dx NaN.        cost 12 bytes per element */
DLF_MUST_CHECK dlf_status dlf_activation_backward(dlf_tensor *dx, const dlf_tensor *dy,
                                                  const dlf_tensor *x, const dlf_tensor *y,
                                                  dlf_activation f);

/* ---- statistics --------------------------------------------------------------------------- */

enum { DLF_MOMENT_SUM, DLF_MOMENT_SUM_SQUARES, DLF_MOMENT_MAX_ABS, DLF_MOMENT_NONFINITE,
       DLF_MOMENT_ZEROS, DLF_MOMENTS };

/* Per segment s:  sum x, sum x^2, max |x|, how many are NaN or Inf, how many are exactly 0.
 *
 *   out   (S,DLF_MOMENTS)  float64 on every device: gradients span 300 decades when squared
 *   x     (S,...)          any shape; members may be strided; accumulated in float64
 *   NaN   sums and max become NaN if any element is NaN; the count still counts
 *   cost  4 bytes per element */
DLF_MUST_CHECK dlf_status dlf_moments(dlf_tensor *out, const dlf_tensor *x);

/* ---- classification loss ------------------------------------------------------------------ */

/* loss[p,i] = log sum_c exp(z[p,i,c]) - z[p,i,label]     (rows shifted by their maximum)
 * hit[p,i]  = 1 if argmax_c z[p,i,c] == label (ties: lowest c; a row with NaN: 0), else 0
 *   loss (P,B), hit (P,B) or NULL;  logits z (P,B,C);  labels (P,B) int32, or (1,B) for all p
 *   A label outside 0..C-1 gives loss NaN and hit 0.      cost 4PBC bytes */
DLF_MUST_CHECK dlf_status dlf_softmax_xent_forward(dlf_tensor *loss, dlf_tensor *hit,
                                                   const dlf_tensor *logits,
                                                   const dlf_tensor *labels);

/* dlogits[p,i,c] = scale (softmax(z[p,i])[c] - [c == label])
 *   scale is 1/B for the mean loss. dlogits may alias logits. Label out of range: row is NaN.
 *   cost 8PBC bytes */
DLF_MUST_CHECK dlf_status dlf_softmax_xent_backward(dlf_tensor *dlogits, const dlf_tensor *logits,
                                                    const dlf_tensor *labels, double scale);

/* ---- optimiser ---------------------------------------------------------------------------- */

typedef struct dlf_sgd_args {
    double momentum;     /* mu >= 0                                */
    double weight_decay; /* lambda >= 0, added to the gradient (L2) */
} dlf_sgd_args;

/* d = s_p g + lambda w;   v = mu v + d;   w = w - lr_p v           (PyTorch's SGD, dampening 0)
 *   w, g     (P,n)  all parameters of a member in one row
 *   v        (P,n)  velocity, start from zeros; NULL only if momentum == 0 (then v = d)
 *   lr       (P)    learning rate of each member
 *   g_scale  (P)    s_p, from dlf_clip_by_norm; NULL means 1
 *   cost     4Pn (3 reads + 2 writes) bytes */
DLF_MUST_CHECK dlf_status dlf_sgd_step(dlf_tensor *w, dlf_tensor *v, const dlf_tensor *g,
                                       const dlf_tensor *lr, const dlf_tensor *g_scale,
                                       dlf_sgd_args args);

/* norm[p] = |g[p]|_2;   g_scale[p] = min(1, max_norm[p] / norm[p])       (Pascanu et al. 2013)
 *   g_scale, norm (P);  g (P,n);  max_norm (P), Inf = no clipping (g_scale exactly 1)
 *   norm NaN: g_scale NaN. norm Inf: g_scale 0, so that Inf entries become NaN in the step.
 *   The square is accumulated in float64: |g| up to 1e38 does not overflow.  cost 4Pn bytes */
DLF_MUST_CHECK dlf_status dlf_clip_by_norm(dlf_tensor *g_scale, dlf_tensor *norm,
                                           const dlf_tensor *g, const dlf_tensor *max_norm);

/* ---- data --------------------------------------------------------------------------------- */

/* y[p,i,:] = x[index[p,i],:]
 *   y (P,B,N); x (R,N); if N == 1 also y (P,B), x (R); index (P,B) or (1,B) int32; y and x both
 *   real or both int32
 *   An index outside 0..R-1 gives NaN (real) or INT32_MIN (int32).   cost 8PBN bytes */
DLF_MUST_CHECK dlf_status dlf_gather_rows(dlf_tensor *y, const dlf_tensor *x,
                                          const dlf_tensor *index);

/* ---- random numbers (see rng.h: the same bits on every device) ------------------------------ */

typedef struct dlf_rng {
    uint64_t seed;   /* of the run                                          */
    uint32_t stream; /* what the numbers are for: dlf_stream(purpose, layer) */
} dlf_rng;

/* x[p,i] = scale[p] dlf_rng_normal(seed, stream, member[p], i)
 *   x (P,...) real; member (P) int32 or NULL for 0,1,..,P-1; scale (P) real or NULL for 1
 *   On ref the float32 draw is stored as float64, then scaled: all devices start from one draw.
 *   cost 4 bytes per element */
DLF_MUST_CHECK dlf_status dlf_random_normal(dlf_tensor *x, const dlf_tensor *member,
                                            const dlf_tensor *scale, dlf_rng rng);

/* x[p,i] = lo + (hi-lo) dlf_rng_uniform(seed, stream, member[p], i), rounded as one fma */
DLF_MUST_CHECK dlf_status dlf_random_uniform(dlf_tensor *x, const dlf_tensor *member, double lo,
                                             double hi, dlf_rng rng);

#ifdef __cplusplus
}
#endif
#endif
