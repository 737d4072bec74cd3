/* SPDX-License-Identifier: MIT
 * forgetting.h -- the parts of the experiment `forgetting` (Q11), and its closed forms. */
#ifndef DLF_FORGETTING_H
#define DLF_FORGETTING_H
#include "dlf/experiment.h"

/* Each uses the share from..to of the progress bar and adds its tables, checks and figures. */
DLF_MUST_CHECK dlf_status dlf_forgetting_linear(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_forgetting_quadratic(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_forgetting_digits(dlf_run *run, double from, double to);

/* ---- closed forms --------------------------------------------------------------------------- */

/* Two random tasks of a and b rows in d dimensions that one w fits, learned one after the other,
 * each by the nearest solution (where gradient descent ends; cf. Evron et al. 2022): start error
 * e0, projection P_A on the rows of the first, error e2 at the end.
 *
 *   E |P_A e2|^2 / |e0|^2 = (1 - a/d) a b (d-b) / (d (d+2) (d-1))
 *
 * With u = e1/|e1|, orthogonal to A: |P_B u|^2 - (u'P_B u)^2 is what B moves across u, and
 * u'P_B u ~ Beta(b/2, (d-b)/2); a share a/(d-1) of it lies in A. The loss on A's rows comes back to
 * d/a of it (Wishart), counted in the loss at the start. */
double dlf_forgotten_random(double a, double b, double d);

/* The same where every row of the second task is one of the first turned by `angle` out of their
 * span (k rows each): k/d sin^2 cos^2. */
double dlf_forgotten_turned(double k, double d, double angle);

/* Two tasks with the loss (w - w_k)' H (w - w_k) each, H with ones on its diagonal and eigenvalues
 * lambda. Elastic weight consolidation that keeps the diagonal alone ends at an excess over the
 * best common w, counted in that of no protection,
 *
 *   sum lambda ((lambda-1)/(lambda+1))^2 delta^2 / sum lambda delta^2,  delta = w_2 - w_1
 *
 * Here H has rho everywhere off its diagonal: lambda = 1 + (d-1) rho once, with the share `along`
 * of |delta|^2, else 1 - rho. */
double dlf_diagonal_excess(double rho, int d, double along);

/* ---- networks ------------------------------------------------------------------------------- */

/* Diagonal of the Fisher information of inputs - width (relu) - classes over `rows` rows, the
 * labels drawn from the network itself and averaged exactly:
 *
 *   logits c, unit j   mean p_c (1-p_c) h_j^2          unit j, input i   mean x_i^2 Var_c~p(v_cj)
 * [h_j>0]
 *
 *   w, out  a member's row of dlf_graph_parameters; out is added to
 *   at      where w1 (W,F), b1 (W), v (C,W) and b2 (C) begin in it; W <= 512, C <= 64 */
void dlf_fisher_diagonal(double *out, const float *w, const long at[4], const float *x, int rows,
                         int inputs, int width, int classes);
void dlf_forgetting_places(dlf_graph *g, long at[4]);
#endif
