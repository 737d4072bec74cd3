/* SPDX-License-Identifier: MIT
 * norm_axes.h -- the parts of the experiment `norm-axes` (Q33). */
#ifndef DLF_NORM_AXES_H
#define DLF_NORM_AXES_H
#include "norm_layer.h"

/* Axes of an activation, beside the population. */
enum { AXIS_SAMPLES = 1, AXIS_CHANNELS = 2, AXIS_POSITIONS = 4 };

/* The axes that a norm's A runs over, from the table of norm.h. A fully connected layer (spatial
 * false) has no positions. */
unsigned norm_axes_of(dlf_norm_kind kind, bool spatial);

/* Each adds its tables, checks and figures. `exact` is the device `ref`: the same in double. */
DLF_MUST_CHECK dlf_status norm_axes_sets(dlf_run *run);
DLF_MUST_CHECK dlf_status norm_axes_identities(dlf_run *run, dlf_device *exact);
DLF_MUST_CHECK dlf_status norm_axes_invariance(dlf_run *run, dlf_device *exact);
DLF_MUST_CHECK dlf_status norm_axes_geometry(dlf_run *run);

#endif
