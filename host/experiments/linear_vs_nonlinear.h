/* SPDX-License-Identifier: MIT
 * linear_vs_nonlinear.h -- the parts of the experiment `linear-vs-nonlinear` (Q14, Q18). */
#ifndef DLF_LINEAR_VS_NONLINEAR_H
#define DLF_LINEAR_VS_NONLINEAR_H
#include "dlf/experiment.h"

/* Each uses the share from..to of the progress bar and adds its tables, checks and figures. */
DLF_MUST_CHECK dlf_status dlf_linear_collapse(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_linear_rank(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_linear_xor(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_linear_modes(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_linear_digits(dlf_run *run, double from, double to);

/* 2 - units - 1, binary cross-entropy: inputs "x" and "target", logit "y". units 0: no hidden
 * layer. Compiled, not drawn. */
DLF_MUST_CHECK dlf_status dlf_xor_network(dlf_graph **out, dlf_device *device, int members,
                                          int batch, int units, dlf_activation_kind kind);

/* ---- closed forms ------------------------------------------------------------------------------
 */

/* |f(u+v) - f(u) - f(v)| / |f(u+v)| of a wide random net of `layers` matrices with ReLU between,
 * u and v independent: the inputs' three correlations go through kappa_1, layers-1 times. */
double dlf_superposition_defect(int layers);
/* Mode of strength s of a two-layer linear net under gradient flow, balanced, from u0 (Saxe et al.
 * 2013): s e^{2st} / (e^{2st} - 1 + s/u0). And of one layer: s + (u0-s) e^{-t}. */
double dlf_deep_mode(double s, double u0, double t);
double dlf_shallow_mode(double s, double u0, double t);
/* Over all labellings of the 4 corners that a line can separate (*separable of 16): the most
 * corners that one of them labels as XOR does. */
int dlf_xor_best_line(int *separable);

#endif
