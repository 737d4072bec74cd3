/* SPDX-License-Identifier: MIT
 * activations.h -- the parts of the experiment `activations` (Q4). */
#ifndef DLF_ACTIVATIONS_H
#define DLF_ACTIVATIONS_H
#include "dlf/experiment.h"

/* Which output activation belongs to which loss: identities in double, and dLoss/dz against z. */
DLF_MUST_CHECK dlf_status dlf_activations_output(dlf_run *run);
/* Hidden layers: deep digits networks of every activation, started at its gain and at 1. */
DLF_MUST_CHECK dlf_status dlf_activations_trained(dlf_run *run, double from, double to);
/* sigma_w^2 = 1 / E f(z)^2, z ~ N(0,1): keeps the length q = 1. */
double dlf_activation_gain2(dlf_activation_kind kind);

#endif
