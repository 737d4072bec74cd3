/* SPDX-License-Identifier: MIT
 * mlp.h -- a population of fully connected classifiers, trained together.
 *
 *   a^0 = x;   z^l = W^l a^{l-1} + b^l,   a^l = f(z^l)  for l = 1..depth;   logits = z^{depth+1}
 *   delta^l = dLoss/dz^l
 *
 * Letters: P members, B batch rows, L = depth + 1 weight layers. Members share the architecture and
 * differ in seed, initial scale, learning rate, clipping threshold and minibatch order. */
#ifndef DLF_MLP_H
#define DLF_MLP_H
#include "dlf/backend.h"
#include "dlf/data.h"
#ifdef __cplusplus
extern "C" {
#endif

typedef struct dlf_mlp_spec {
    int members, batch, inputs, width, depth, classes; /* depth: hidden layers, >= 0 */
    dlf_activation activation;
} dlf_mlp_spec;

/* Views into the population's arenas; index l = 1..L, entry 0 unused. */
typedef struct dlf_mlp_layer {
    dlf_tensor w, b;   /* (P,out,in), (P,out)                                          */
    dlf_tensor dw, db; /* gradients of the same shapes                                 */
    dlf_tensor z;      /* (P,B,out) pre-activation; zeroed struct where f' needs only a */
    dlf_tensor a;      /* (P,B,out) output; the logits for l = L                       */
    dlf_tensor delta;  /* (P,B,out)                                                    */
} dlf_mlp_layer;

typedef struct dlf_mlp {
    dlf_mlp_spec spec;
    dlf_device *device;
    int layers;                         /* L                                           */
    dlf_tensor params, grads, velocity; /* (P,n)                                       */
    dlf_mlp_layer *layer;
} dlf_mlp;

/* cost 3 P n reals for parameters, 2 P B width per layer for activations. Zeroed on failure. */
DLF_MUST_CHECK dlf_status dlf_mlp_new(dlf_mlp *out, dlf_device *device, const dlf_mlp_spec *spec);
void dlf_mlp_free(dlf_mlp *m);

/* W^l_ij ~ N(0, sigma_w2[p] / fan_in), b ~ N(0, sigma_b2[p]), drawn for (seed, layer, draw[p]);
 * velocity = 0. Two members with the same draw[p] start from the same normals. */
DLF_MUST_CHECK dlf_status dlf_mlp_init(dlf_mlp *m, uint64_t seed, const int32_t *draw,
                                       const double *sigma_w2, const double *sigma_b2);

/* x is (P,B,inputs), or (1,B,inputs) for the same batch everywhere. */
DLF_MUST_CHECK dlf_status dlf_mlp_forward(dlf_mlp *m, const dlf_tensor *x);

/* Gradients of scale * sum of row losses into grads (overwritten) and delta. Call after forward. */
DLF_MUST_CHECK dlf_status dlf_mlp_backward(dlf_mlp *m, const dlf_tensor *x,
                                           const dlf_tensor *labels, double scale);

/* Per member and layer: out[p * (L+1) + l] = mean of delta^l squared (entry l = 0 unused), from the
 * last backward pass. */
DLF_MUST_CHECK dlf_status dlf_mlp_delta_squares(dlf_mlp *m, double *out);
/* Per member and layer, of the weight matrix: sum of squares / of its gradient. */
DLF_MUST_CHECK dlf_status dlf_mlp_weight_squares(dlf_mlp *m, bool gradient, double *out);

/* ---- training -------------------------------------------------------------------------------- */

typedef struct dlf_training_spec {
    uint64_t seed;
    const int32_t *draw;    /* (P) minibatch order; members with equal draw see equal batches    */
    const double *lr;       /* (P)                                                               */
    const double *max_norm; /* (P) clipping threshold, Infinity = none; NULL = no clipping op    */
    double momentum, weight_decay;
    double loss_scale; /* the loss is multiplied by this (1 = mean cross-entropy)           */
} dlf_training_spec;

typedef struct dlf_training dlf_training;

/* Copies the data set to the device. `m` must outlive the training. */
DLF_MUST_CHECK dlf_status dlf_training_new(dlf_training **out, dlf_mlp *m, const dlf_dataset *data,
                                           const dlf_training_spec *spec);
void dlf_training_free(dlf_training *t);

/* One minibatch: gather, forward, loss, backward, clip, SGD. Allocation-free. An epoch is
 * floor(train / B) steps over a fresh permutation. */
DLF_MUST_CHECK dlf_status dlf_training_step(dlf_training *t);
int dlf_training_epoch_steps(const dlf_training *t);

/* The gradient of the next minibatch without the update: deltas and grads are left to look at. */
DLF_MUST_CHECK dlf_status dlf_training_probe(dlf_training *t);

/* Mean loss (unscaled) of the last step's minibatch, per member. Waits for the device. */
DLF_MUST_CHECK dlf_status dlf_training_loss(dlf_training *t, double *loss);
/* Mean loss and share of correct answers over rows first .. first+count-1, per member; either
 * output may be NULL. A member with NaN weights gets loss NaN and accuracy 0. */
DLF_MUST_CHECK dlf_status dlf_training_evaluate(dlf_training *t, int first, int count, double *loss,
                                                double *accuracy);

#ifdef __cplusplus
}
#endif
#endif
