/* SPDX-License-Identifier: MIT
 * norm_layer.h -- one linear layer with a normalization behind it, on a device, taken apart:
 *
 *   z = a w^T        a (P,N,S,K) patches, w (P,C,K); a 3x3 convolution is a product of patches
 *   y = norm(z)      z, y (P,N,S,C): NHWC; a fully connected layer has S = 1
 *   dz, dw           from dy
 *
 * Besides the norms of norm.h there are two rows of every comparison that are none: y = z, and
 * weight norm (Salimans & Kingma 2016), z = a (w/|w|)^T, which is RMS norm of the rows of w. */
#ifndef DLF_NORM_LAYER_H
#define DLF_NORM_LAYER_H
#include <math.h>

#include "dlf/experiment.h"
#include "dlf/rng.h"

enum { NORM_NONE = DLF_NORM_COUNT, NORM_WEIGHT, NORM_METHODS };

/* "BN", "LN", .., "none", "WN" and the full names, in both languages. */
const char *norm_method_id(int method); /* batch_norm, .., none, weight_norm */
dlf_text norm_method_name(int method);

typedef struct norm_layer {
    int method;
    dlf_norm norm;
    int64_t P, N, S, K, C;
    dlf_tensor a, w, unit; /* unit (P,C,K): sqrt(K) w/|w|, weight norm only */
    dlf_tensor z, y, mean, rstd, dy, dz, dw;
} norm_layer;

/* eps of the norm, 0 for exact identities. *out is zeroed on failure. */
DLF_MUST_CHECK dlf_status norm_layer_new(norm_layer *out, dlf_device *device, int method,
                                         int64_t groups, double eps, int64_t P, int64_t N,
                                         int64_t S, int64_t K, int64_t C);
void norm_layer_free(norm_layer *l);
DLF_MUST_CHECK dlf_status norm_layer_product(norm_layer *l);   /* z from a and w  */
DLF_MUST_CHECK dlf_status norm_layer_normalise(norm_layer *l); /* y from z        */
DLF_MUST_CHECK dlf_status norm_layer_backward(norm_layer *l);  /* dz, dw from dy; not weight norm */

/* N(0,1) of (seed, what, layer, member), n of them: the same on every device. */
void norm_draw(double *out, int64_t n, uint64_t seed, enum dlf_purpose what, uint32_t layer,
               uint32_t member);

/* The larger and the smaller; a NaN stays. */
static inline double norm_larger(double most, double d)
{
    return d <= most || isnan(most) ? most : d;
}
static inline double norm_smaller(double least, double d)
{
    return d >= least || isnan(least) ? least : d;
}

#endif
