/* SPDX-License-Identifier: MIT
 * propagate.h -- how signal lengths and gradients change from layer to layer in random networks.
 *
 *   forward    z^l = W^l f(z^{l-1}) + b^l                       l = 1..depth, f(z^0) = x
 *   backward   delta^l = (W^{l+1}^T delta^{l+1}) * f'(z^l)      delta^depth ~ N(0, s^2)
 *
 * A population of P networks is propagated together. Weights are never stored for more than one
 * layer: the backward pass draws them again from the counter-based generator, so that memory is
 * O(P width^2) and not O(P width^2 depth). */
#ifndef DLF_PROPAGATE_H
#define DLF_PROPAGATE_H
#include <stdint.h>

#include "dlf/backend.h"
#ifdef __cplusplus
extern "C" {
#endif

typedef struct dlf_random_net {
    dlf_activation f;
    double sigma_w2, sigma_b2;
    double x_scale; /* x ~ N(0, x_scale^2): choose E f(z)^2 at q* to start on the fixed point  */
    double delta_scale; /* s; the map is linear in it, use it to keep float32 from underflowing   */
    int32_t draw;       /* which normals: nets with equal draw share W, b, x and delta            */
} dlf_random_net;

typedef struct dlf_propagation {
    int nets, depth;
    double *length;   /* (nets, depth+1): mean z^2 of layer l; entry 0 is mean x^2               */
    double *gradient; /* (nets, depth+1): mean delta^2 / delta_scale^2 of layer l; entry 0 is 0  */
} dlf_propagation;

/* Propagate `batch` inputs through every net. Nets with the same activation should be neighbours.
 *   memory  about 256 MB of weights at a time, whatever P is
 *   progress(user, fraction) is called between layers and may return an error to stop; may be NULL
 *   errors  those of the ops; *out is zeroed                                                     */
DLF_MUST_CHECK dlf_status dlf_propagate(dlf_propagation *out, dlf_device *device, uint64_t seed,
                                        int width, int depth, int batch, const dlf_random_net *net,
                                        int nets,
                                        dlf_status (*progress)(void *user, double fraction),
                                        void *user);
void dlf_propagation_free(dlf_propagation *p);

/* A net that starts on its length fixed point q*, so that every layer has the same law (q* = 0 or
 * Infinity: on a small or unit length), with delta_scale chosen so that float32 holds the whole
 * profile over `depth` layers: half of the predicted decades above 1, half below. */
dlf_random_net dlf_random_net_of(dlf_activation f, double sigma_w2, double sigma_b2, int depth,
                                 int32_t draw);

/* Growth factor per layer of mean delta^2 towards the input, from layers depth..1:
 * exp(slope of ln(mean over nets of gradient[l]) against -l), least squares, over the nets
 * first..first+count-1 without net `skip` (-1: all; used for jackknife intervals).
 * Layers whose gradient is 0 or not finite are left out; NaN if fewer than 2 remain. */
double dlf_growth_factor(const dlf_propagation *p, int first, int count, int skip);

#ifdef __cplusplus
}
#endif
#endif
