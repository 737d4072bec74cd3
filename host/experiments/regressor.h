/* SPDX-License-Identifier: MIT
 * regressor.h -- one hidden layer of ReLU units on one target, as a graph:
 *
 *   "x" (P,B,d) -> "hidden" (relu, He) -> "output" (P,B,1) -> mean over the batch of (y - t)^2
 *
 * with "target" (P,B,1). */
#ifndef DLF_REGRESSOR_H
#define DLF_REGRESSOR_H
#include "dlf/graph.h"

/* Built and compiled; not drawn. *out is NULL on failure. */
DLF_MUST_CHECK dlf_status regressor_new(dlf_graph **out, dlf_device *device, int members, int batch,
                                        int inputs, int width);
#endif
