/* SPDX-License-Identifier: MIT
 * features.h -- the parts of the experiment `features` (Q1): features chosen beforehand against
 * features that are learned. */
#ifndef DLF_FEATURES_H
#define DLF_FEATURES_H
#include "dlf/experiment.h"

/* Each uses the share from..to of the progress bar and adds its tables, checks and figures. */
DLF_MUST_CHECK dlf_status dlf_features_cube(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_features_unseen(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_features_digits(dlf_run *run, double from, double to);

enum { DLF_CUBE_BITS = 8, DLF_CUBE = 1 << DLF_CUBE_BITS };

/* Bit j of point i as -1 or +1. */
static inline float dlf_cube_bit(int i, int j)
{
    return i >> j & 1 ? 1.0f : -1.0f;
}

/* The product of the first k bits of point i. */
double dlf_cube_parity(int i, int k);

/* N random units relu(w . x / sqrt(d) + b) of He's scale on all points of the cube, drawn before
 * anybody has seen a target: h (DLF_CUBE, N), w and b from (seed, member). */
void dlf_cube_units(double *h, int N, uint64_t seed, uint32_t member);

/* How much of every parity's variance the columns of h explain by least squares:
 *   explained[S] = |projection of chi_S|^2 / 2^d,   chi_S(x) = prod_{j in S} x_j
 * for the 2^d sets S, as bit masks. Averaged over all S it is rank / 2^d, whatever h is: the chi_S
 * are an orthonormal basis, and the trace of a projection is its rank.
 *   h (DLF_CUBE, N) is destroyed; *rank: the columns that are independent to 1e-9 */
void dlf_cube_explained(double *explained, double *h, int N, int *rank);
#endif
