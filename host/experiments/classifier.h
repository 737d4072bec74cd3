/* SPDX-License-Identifier: MIT
 * classifier.h -- the fully connected classifier of many experiments, as a graph:
 *
 *   "x" -> "h1" .. "h<depth>" (f) -> "logits" -> "loss" = mean cross-entropy x loss_scale
 *
 * with parameters h1.w, h1.b, .., logits.w, logits.b and pre-activations h1.z, ..
 *
 * With a norm a layer is f(norm(w x)), without h1.b, with h1.n.gamma and h1.n.beta. */
#ifndef DLF_CLASSIFIER_H
#define DLF_CLASSIFIER_H
#include "dlf/graph.h"

typedef struct classifier_spec {
    int members, batch, inputs, width, depth, classes; /* depth: hidden layers, >= 0 */
    dlf_activation f;
    dlf_init init;        /* of the weights; biases start at 0                                    */
    const dlf_init *last; /* of the logits' weights; NULL: init                                 */
    double loss_scale;    /* 0 stands for 1                                                       */
    bool watch;           /* keep delta^l: the gradients at the pre-activations and the logits    */
    bool observe;         /* keep values and gradients of h1 .. and the logits                    */
    const dlf_norm *norm; /* between the products and f; NULL: none                             */
    bool shared;          /* all members see one batch: x (1,B,N), label (1,B)                    */
} classifier_spec;

/* Built and compiled; not drawn. *out is NULL on failure. */
DLF_MUST_CHECK dlf_status classifier_new(dlf_graph **out, dlf_device *device,
                                         const classifier_spec *spec);

/* Weight matrix and pre-activation of layer l = 1..depth+1 (the last: the logits). */
dlf_node classifier_weight(const dlf_graph *g, const classifier_spec *spec, int l);
dlf_node classifier_z(const dlf_graph *g, const classifier_spec *spec, int l);
/* Output of layer l: h1 .. h<depth>, logits. */
dlf_node classifier_output(const dlf_graph *g, const classifier_spec *spec, int l);

/* out[p * pitch] = sum of squares of member p of t. */
DLF_MUST_CHECK dlf_status classifier_squares(const dlf_tensor *t, double *out, int64_t pitch);

#endif
