/* SPDX-License-Identifier: MIT
 * recurrent.h -- Elman's recurrent network (1990), unrolled over time as a graph, and the same on
 * the host, step by step, for sequences of any length.
 *
 *   h_t = tanh(w [h_{t-1}, x_t]),  h_0 = 0        out_t = v h_t + c
 *
 * w has no bias of its own: give x a feature that is always 1. Letters: H hidden units, I inputs
 * and O outputs per step, T steps. */
#ifndef DLF_RECURRENT_H
#define DLF_RECURRENT_H
#include "dlf/graph.h"

typedef struct dlf_elman_spec {
    int members, batch, hidden, inputs, outputs, steps;
    double gain2; /* of the start of w and v; 0 stands for 1 */
} dlf_elman_spec;

/* x (P,B,T I) -> (P,B,T O): step by step beside each other. Parameters "w" (P,H,H+I), "v" (P,O,H),
 * "c" (P,O), starting as N(0, gain2 / fan-in) and 0. One set of parameters for all steps: their
 * gradient is backpropagation through time (Werbos 1990). */
dlf_node dlf_elman(dlf_graph *g, const dlf_elman_spec *s, dlf_node x);

/* One member's parameters on the host. */
typedef struct dlf_elman_weights {
    int hidden, inputs, outputs;
    double *w, *v, *c; /* (H,H+I), (O,H), (O); w owns all three */
} dlf_elman_weights;

DLF_MUST_CHECK dlf_status dlf_elman_weights_new(dlf_elman_weights *e, int hidden, int inputs,
                                                int outputs); /* all zeros */
void dlf_elman_weights_free(dlf_elman_weights *e);            /* zeroed is fine */
/* Of member p of a graph with dlf_elman in it. */
DLF_MUST_CHECK dlf_status dlf_elman_download(dlf_elman_weights *e, dlf_graph *g, int member);
/* h (H) and x (I) -> the next h, in place, and out (O). H at most 256. */
void dlf_elman_step(const dlf_elman_weights *e, double *h, const double *x, double *out);
#endif
