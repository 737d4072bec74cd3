/* SPDX-License-Identifier: MIT
 * depth_vs_width.h -- the parts of depth_vs_width.c (Q16, Q34), and the laws they are held against.
 */
#ifndef DLF_DEPTH_VS_WIDTH_H
#define DLF_DEPTH_VS_WIDTH_H
#include "dlf/experiment.h"

/* Each uses the share from..to of the progress bar. */
DLF_MUST_CHECK dlf_status dlf_depth_built(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_depth_random(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_depth_trained(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_depth_digits(dlf_run *run, double from, double to);

/* ---- x^2 on [0,1], sup norm ------------------------------------------------------------------ */

/* m composed tents, 3 units each (Yarotsky 2017, proposition 2): the interpolant of x^2 on 2^m
 * equal pieces, 4^-(m+1). */
double dlf_square_error_deep(int tents);
/* The best linear spline of `pieces` free pieces. A line misses x^2 by at least h^2/8 on an
 * interval of length h, and some piece is at least 1/pieces long: 1 / (8 pieces^2), reached by
 * equal ones. */
double dlf_square_error_shallow(int pieces);
/* Hidden units that one layer gets for what m tents cost: as many units, or as many parameters.
 * Both networks see x at the output too, so that `units` units make units + 1 pieces. */
int dlf_square_shallow_units(int tents, bool equal_parameters);
/* The smallest m at which the deep law is below the shallow one. */
int dlf_square_crossover(bool equal_parameters);

/* ---- random networks along a line ------------------------------------------------------------ */

/* Expected number of pieces along x in [-reach, reach] of a ReLU network whose first layer has
 * w, b ~ N(0,1), whose deeper ones have w ~ N(0, 2/width), b ~ N(0, deep_bias2).
 *
 * A unit of layer l is a Gaussian process of x with E z^2 = x^2 + c, E z'^2 = 1, E z z' = x,
 * c = 1 + (l-1) deep_bias2: every layer halves (ReLU) and doubles (2/width) all three and adds the
 * bias. By Kac and Rice its zeros have density sqrt(E z^2 E z'^2 - (E z z')^2) / (pi E z^2), hence
 * (2/pi) atan(reach / sqrt c) of them: exact in layer 1, the limit of wide layers behind it. */
double dlf_line_pieces(int layers, int width, double reach, double deep_bias2);

#endif
