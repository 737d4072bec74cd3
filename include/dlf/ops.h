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

#include "dlf/activation.h"
#include "dlf/conv.h"
#include "dlf/conv1x1.h"
#include "dlf/norm.h"
#include "dlf/tensor.h"
#ifdef __cplusplus
extern "C" {
#endif

/* ---- sums and products ---------------------------------------------------------------------- */

/* y[p,...] = alpha s_p x[p,...] + beta y[p,...]        (beta == 0: y is not read)
 *   y  (P,...);  x  same shape, or (1,...) for all p; y may alias x
 *   scale s  (P), or NULL: 1                            cost 8 bytes per element, 12 if beta != 0 */
DLF_MUST_CHECK dlf_status dlf_axpby(dlf_tensor *y, const dlf_tensor *x, const dlf_tensor *scale,
                                    double alpha, double beta);

/* y[p,...] = a[p,...] b[p,...] + beta y[p,...]         (beta == 0: y is not read)
 *   y, a, b  (P,...), same shape; y may alias a or b    cost 12 bytes per element, 16 if beta != 0 */
DLF_MUST_CHECK dlf_status dlf_multiply(dlf_tensor *y, const dlf_tensor *a, const dlf_tensor *b,
                                       double beta);

/* y[p,i,to+j] = x[p,i,from+j] + beta y[p,i,to+j],  j = 0..count-1; the other columns of y are left
 * alone: concatenation, its inverse, and the sums of their gradients.      (beta == 0: y not read)
 *   y (P,B,N), to + count <= N;  x (P,B,K), from + count <= K              cost 8PB count bytes */
DLF_MUST_CHECK dlf_status dlf_copy_columns(dlf_tensor *y, int64_t to, const dlf_tensor *x,
                                           int64_t from, int64_t count, double beta);

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

/* y = f(x)                 y, x same shape, contiguous members; y may alias x
 *   storage   all tensors real, or on cpu and cuda all f16 or all bf16; arithmetic is float
 *   cost 8 bytes per element (16-bit: 4) */
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

/* The same for pieces of each member: all layers of a population in one call.
 * out[p,k] = moments of x[p, offsets[k] .. offsets[k+1]-1]
 *
 *   out      (P,K,DLF_MOMENTS) float64;  x (P,n);  offsets (K+1) int32
 *   offsets  outside 0..n are clamped; an empty piece (offsets[k+1] <= offsets[k]) gives zeros
 *   cost     4 bytes per element */
DLF_MUST_CHECK dlf_status dlf_moments_pieces(dlf_tensor *out, const dlf_tensor *x,
                                             const dlf_tensor *offsets);

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

/* ---- elementwise losses ------------------------------------------------------------------- */

/*        name         text        l(x,t), and where its derivative is a choice                 */
#define DLF_LOSS_MAP(X)                                                                         \
    X(LOSS_MSE,    "mse")       /* (x-t)^2                                                     */ \
    X(LOSS_MAE,    "mae")       /* |x-t|                                        l'(t) = 0      */ \
    X(LOSS_HUBER,  "huber")     /* d = x-t: |d| <= delta ? d^2/2 : delta (|d| - delta/2)       */ \
    X(LOSS_BCE,    "bce")       /* max(x,0) - x t + log(1+e^-|x|): cross-entropy of sigmoid(x) */ \
    X(LOSS_HINGE,  "hinge")     /* max(0, 1 - t x), t = +-1                     l'(1/t) = 0    */

typedef enum dlf_loss_kind {
#define X(name, text) DLF_##name,
    DLF_LOSS_MAP(X)
#undef X
    DLF_LOSS_COUNT
} dlf_loss_kind;

typedef struct dlf_loss {
    dlf_loss_kind kind;
    double delta; /* huber only, > 0 */
} dlf_loss;

const char *dlf_loss_name(dlf_loss_kind kind);

/* loss[p,i] = sum_j l(x[p,i,j], t[p,i,j])
 *   loss (P,B);  x (P,B,N);  t (P,B,N), or (1,B,N) for all p           cost 8PBN bytes */
DLF_MUST_CHECK dlf_status dlf_loss_forward(dlf_tensor *loss, const dlf_tensor *x,
                                           const dlf_tensor *t, dlf_loss l);

/* dx[p,i,j] = scale l'(x[p,i,j], t[p,i,j])         l' by x; 1/(B N) is the mean of mse
 *   dx may alias x. NaN in x or t: NaN.                                cost 12PBN bytes */
DLF_MUST_CHECK dlf_status dlf_loss_backward(dlf_tensor *dx, const dlf_tensor *x,
                                            const dlf_tensor *t, dlf_loss l, double scale);

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
 *   frozen   a member with lr exactly 0 is left alone: not a bit of its w and v changes, whatever g is
 *   cost     4Pn (3 reads + 2 writes) bytes */
DLF_MUST_CHECK dlf_status dlf_sgd_step(dlf_tensor *w, dlf_tensor *v, const dlf_tensor *g,
                                       const dlf_tensor *lr, const dlf_tensor *g_scale,
                                       dlf_sgd_args args);

typedef struct dlf_adam_args {
    double beta1, beta2; /* in [0,1): 0.9, 0.999                                        */
    double eps;          /* >= 0, outside the root: 1e-8                                */
    double weight_decay; /* lambda >= 0                                                 */
    bool decoupled;      /* true: AdamW (Loshchilov & Hutter 2019); false: L2 in d      */
    int64_t step;        /* t = 1, 2, ..: which step this is, where `clock` is NULL     */
} dlf_adam_args;

/* d = s_p g (+ lambda w unless decoupled);  m = beta1 m + (1-beta1) d;  v = beta2 v + (1-beta2) d^2
 * w = w - lr_p (m / (1-beta1^t)) / (sqrt(v / (1-beta2^t)) + eps)   (- lr_p lambda w if decoupled)
 *                                                 Kingma & Ba 2015, Algorithm 1; PyTorch's order
 *   w, g     (P,n)  all parameters of a member in one row
 *   m, v     (P,n)  moments, start from zeros; d^2 beyond the range of v (float: |d| > 5e20) makes v
 *                   Inf and stops that parameter, as in PyTorch
 *   lr       (P);   g_scale (P), NULL means 1
 *   clock    (1) int32 on the device, or NULL: t = clock[0] + 1 instead of args.step, so that a
 *            recorded step (backend.h) can be replayed. The powers are computed in double.
 *   frozen   as sgd: lr exactly 0 leaves w, m and v alone
 *   cost     4Pn (4 reads + 3 writes) bytes */
DLF_MUST_CHECK dlf_status dlf_adam_step(dlf_tensor *w, dlf_tensor *m, dlf_tensor *v,
                                        const dlf_tensor *g, const dlf_tensor *lr,
                                        const dlf_tensor *g_scale, const dlf_tensor *clock,
                                        dlf_adam_args args);

/* norm[p] = |g[p]|_2;   g_scale[p] = min(1, max_norm[p] / norm[p])       (Pascanu et al. 2013)
 *   g_scale, norm (P);  g (P,n);  max_norm (P), Inf = no clipping (g_scale exactly 1)
 *   norm NaN: g_scale NaN. norm Inf: g_scale 0, so that Inf entries become NaN in the step.
 *   The square is accumulated in float64: |g| up to 1e38 does not overflow.  cost 4Pn bytes */
DLF_MUST_CHECK dlf_status dlf_clip_by_norm(dlf_tensor *g_scale, dlf_tensor *norm,
                                           const dlf_tensor *g, const dlf_tensor *max_norm);

/* Stops a member whose loss is not a number, and says when.
 *
 *   bad = moments[p,DLF_MOMENT_NONFINITE] > 0
 *   first_bad[p] = clock[0] if it was negative and bad, else unchanged
 *   lr_out[p]    = first_bad[p] < 0 ? lr[p] : 0             after that: the optimiser leaves it alone
 *
 *   lr_out, lr (P); may alias only if no member shall ever be thawed;  first_bad (P) int32, start
 *   from -1;  moments (P,DLF_MOMENTS) float64, of the row losses;  clock (1) int32: the step
 *   cost  a few bytes per member */
DLF_MUST_CHECK dlf_status dlf_step_guard(dlf_tensor *lr_out, dlf_tensor *first_bad,
                                         const dlf_tensor *lr, const dlf_tensor *moments,
                                         const dlf_tensor *clock);

/* ---- data --------------------------------------------------------------------------------- */

/* y[p,i,:] = x[index[p,i],:]
 *   y (P,B,N); x (R,N); if N == 1 also y (P,B), x (R); index (P,B) or (1,B) int32; y and x both
 *   real or both int32
 *   An index outside 0..R-1 gives NaN (real) or INT32_MIN (int32).   cost 8PBN bytes */
DLF_MUST_CHECK dlf_status dlf_gather_rows(dlf_tensor *y, const dlf_tensor *x,
                                          const dlf_tensor *index);

/* y[p,i,:] = table[p, index[p,i], :]                  an embedding: every member has its own table
 *   y (P,B,N); table (P,V,N); index (P,B) or (1,B) int32
 *   An index outside 0..V-1 gives NaN.                cost 8PBN bytes */
DLF_MUST_CHECK dlf_status dlf_embedding_forward(dlf_tensor *y, const dlf_tensor *table,
                                                const dlf_tensor *index);

/* dtable[p,v,:] = sum over i with index[p,i] == v of dy[p,i,:] + beta dtable[p,v,:]
 *   dtable (P,V,N); dy (P,B,N); index as in forward; beta == 0: dtable is not read, every row is
 *   written. The sum runs in ascending i, hence the same bits always; an index outside 0..V-1 adds
 *   to no row.                                        cost 4P(BN+VN) bytes */
DLF_MUST_CHECK dlf_status dlf_embedding_backward(dlf_tensor *dtable, const dlf_tensor *dy,
                                                 const dlf_tensor *index, double beta);

/* ---- pooling ------------------------------------------------------------------------------ */

typedef enum dlf_pool_kind { DLF_POOL_MAX, DLF_POOL_AVERAGE } dlf_pool_kind;

typedef struct dlf_pool {
    dlf_pool_kind kind;
    dlf_layout layout;
    int64_t kernel[2], stride[2], pad[2]; /* vertical, horizontal; 0 <= pad <= kernel/2         */
    bool count_pad; /* average: divide by the kernel's size, not by the positions inside x      */
} dlf_pool;

/* y[p,n,c,i,j] = max or mean of x[p,n,c, i stride - pad + 0..kernel-1, j ..], padding left out
 *   DLF_NCHW  x (P,N,C,H,W), y (P,N,C,OH,OW);  DLF_NHWC  x (P,N,H,W,C), y (P,N,OH,OW,C)
 *   OH = (H + 2 pad - kernel) / stride + 1, rounded down; H, W, kernel, stride at most 2^30
 *   A NaN in the window gives NaN.                    cost one read of x, one write of y */
DLF_MUST_CHECK dlf_status dlf_pool_forward(dlf_tensor *y, const dlf_tensor *x, dlf_pool pool);

/* dx = sum over the windows that hold the position: max: dy where it is the window's maximum (the
 * first in row-major order, or the first NaN); average: dy / divisor.
 *   dx, dy as x, y of forward; x: needed by max, else may be NULL
 *   Each dx is a sum in a fixed order: no atomics.    cost read dy (and x), write dx */
DLF_MUST_CHECK dlf_status dlf_pool_backward(dlf_tensor *dx, const dlf_tensor *dy,
                                            const dlf_tensor *x, dlf_pool pool);

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

typedef struct dlf_dropout {
    dlf_rng rng;
    uint64_t first;  /* index of the first draw: advance it from step to step                       */
    uint64_t stride; /* first += stride clock[0], where a clock is given                            */
    int64_t run;     /* elements in a row that share one draw: 1; S = whole channels of NCHW        */
    bool rescale;    /* divide what is kept by 1 - rate ("inverted dropout")                        */
} dlf_dropout;

/* y[p,i] = x[p,i] k / (rescale ? 1 - rate[p] : 1)
 * k = 0 if dlf_rng_uniform(seed, stream, member[p], first + i / run) < rate[p], else 1
 *
 *   Dropout on activations (Srivastava et al. 2014), DropConnect on weights (Wan et al. 2013), whole
 *   channels (Tompson et al. 2015). Its own backward: call it on dy with the same arguments.
 *   y, x     (P,...), same shape; y may alias x;  member (P) int32 or NULL for 0,1,..,P-1
 *   rate     (P) in [0,1]; 0: y = x, 1: y = 0 x; NaN: y = NaN. Compared as float on every device,
 *            so that all drop the same elements
 *   clock    (1) int32 on the device, >= 0, or NULL: see dlf_dropout.stride
 *   k is multiplied: a dropped NaN or Inf gives NaN.   cost 8 bytes per element; no mask is stored */
DLF_MUST_CHECK dlf_status dlf_dropout_apply(dlf_tensor *y, const dlf_tensor *x,
                                            const dlf_tensor *member, const dlf_tensor *rate,
                                            const dlf_tensor *clock, dlf_dropout dropout);

#ifdef __cplusplus
}
#endif
#endif
