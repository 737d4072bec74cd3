/* SPDX-License-Identifier: MIT
 * dimension.h -- the parts of the experiment `dimension` (Q5, Q39), and its closed forms. */
#ifndef DLF_DIMENSION_H
#define DLF_DIMENSION_H
#include "dlf/experiment.h"

/* Each uses the share from..to of the progress bar and adds its tables, checks and figures. */
DLF_MUST_CHECK dlf_status dlf_dimension_distances(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_dimension_learners(dlf_run *run, double from, double to);

/* Spread of the squared distance of two uniform points of the unit cube: sd(D^2) / E D^2 =
 * 6 sqrt(7 / (180 d)). */
double dlf_cube_spread(double d);
/* Mean distance to the nearest of n uniform points on the unit torus of d dimensions, n large:
 * Gamma(1 + 1/d) / (n V_d)^(1/d), V_d the volume of the unit ball. */
double dlf_torus_nearest(int d, double n);
#endif
