/* SPDX-License-Identifier: MIT
 * norm_landscape.h -- the parts of the experiment `norm-landscape` (Q33). */
#ifndef DLF_NORM_LANDSCAPE_H
#define DLF_NORM_LANDSCAPE_H
#include "classifier.h"
#include "dlf/data.h"
#include "norm_layer.h"

/* A digits classifier with this norm (NORM_NONE: without; group norm: 4 groups); compiled. */
DLF_MUST_CHECK dlf_status landscape_network(dlf_graph **out, dlf_device *device, int method,
                                            int members, int batch, int inputs, int width,
                                            int depth, int classes);

/* Each adds its tables, checks and figures. */
DLF_MUST_CHECK dlf_status landscape_rates(dlf_run *run, const dlf_dataset *data, double from,
                                          double to);
DLF_MUST_CHECK dlf_status landscape_slices(dlf_run *run, const dlf_dataset *data, double from,
                                           double to);

#endif
