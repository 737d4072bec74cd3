/* SPDX-License-Identifier: MIT
 * autoencoder_nets.h -- autoencoders and variational ones as one population: which of the two a
 * member is, is a number.
 *
 *   "x" -> depth hidden layers (ReLU) -> mu "mu", s = sigmoid(a)   K latents
 *   z = mu + noise_p s eps,  eps N(0,1) from the input "eps"
 *   z -> depth hidden layers (ReLU) -> "out"
 *
 *   minimised   |x - out|^2 / (2 sd_p^2) + prior_p |mu|^2 / 2 + sum_k (s_k^2 / 2 - ln s_k)
 *
 * noise = prior = 1: minus the ELBO (Kingma & Welling 2014), less K/2 and the constant of the
 * Gaussian; sigmoid serves because no posterior is wider than the prior. noise = prior = 0: an
 * autoencoder; s then goes to 1 and does nothing. With depth 0 all is linear, without biases, and s
 * is one number per latent. */
#ifndef DLF_AUTOENCODER_NETS_H
#define DLF_AUTOENCODER_NETS_H
#include "dlf/graph.h"
#include "dlf/ops.h"

typedef struct dlf_coder_spec {
    int members, batch, inputs, width, depth, latents;
    const double *sd, *noise, *prior; /* (members)                                             */
} dlf_coder_spec;

DLF_MUST_CHECK dlf_status dlf_coder_graph(dlf_graph **out, dlf_device *device,
                                          const dlf_coder_spec *spec);

typedef struct dlf_coder {
    int members, batch, inputs, latents;
    dlf_graph *graph;   /* feed x and eps                                                     */
    dlf_graph *decoder; /* "z" (P,B,K) -> "out": the same decoder, of which it holds a copy   */
    dlf_tensor m, v, lr;
} dlf_coder;

/* Drawn from (seed, draw). Free what was made also on failure. */
DLF_MUST_CHECK dlf_status dlf_coder_new(dlf_coder *c, dlf_device *device,
                                        const dlf_coder_spec *spec, uint64_t seed,
                                        const int32_t *draw);
void dlf_coder_free(dlf_coder *c);
/* A step of Adam with learning rate `rate` times half a cosine of step/steps. */
DLF_MUST_CHECK dlf_status dlf_coder_step(dlf_coder *c, int step, int steps, double rate);
/* z (P,B,K) through the decoder: x (P,B,inputs), on the host. */
DLF_MUST_CHECK dlf_status dlf_coder_decode(dlf_coder *c, const double *z, double *x);
/* A parameter or a kept value ("mu", "out") by name, on the host. */
DLF_MUST_CHECK dlf_status dlf_coder_read(dlf_graph *g, const char *name, double *x);
DLF_MUST_CHECK dlf_status dlf_coder_feed(dlf_graph *g, const char *name, const double *x);
#endif
