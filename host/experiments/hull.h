/* SPDX-License-Identifier: MIT
 * hull.h -- the point of a convex hull nearest to the origin: the hard margin, and whether there is
 * one.
 *
 * For a_i = y_i x_i:   max over |w| = 1 of min_i w . a_i  =  min over the hull of the a_i of |v|
 * (duality of margin and distance, Crisp & Burges 1999); the best w is v / |v|. If the origin lies
 * in the hull no w has all w . a_i > 0, and the weights that make it are the proof (Gordan 1873).
 */
#ifndef DLF_HULL_H
#define DLF_HULL_H
#include <stdbool.h>

#include "dlf/status.h"

typedef struct dlf_hull {
    double margin; /* |v|; 0: the origin is in the hull                                          */
    bool separable;
    /* The certificate, as a number. separable: min_i w . a_i / max |a|, which proves it where it is
     * above 0. Not separable: |sum lambda_i a_i| / max |a| for weights lambda >= 0 of sum 1, which
     * proves it up to rounding. */
    double proof;
} dlf_hull;

/* Wolfe's algorithm (1976, "Finding the nearest point in a polytope"): ends after finitely many
 * steps, because every set of corners that it keeps is nearer than the last.
 *
 *   a       (n,d) row-major; d <= 256
 *   w       (d) gets v / |v|, or NULL; left alone where not separable
 *   lambda  (n) gets the weights of v, >= 0, sum 1, or NULL
 *   a margin below 1e-9 max |a| counts as none
 *   cost    O(n d + k^3) per step, k <= d + 1 corners; as many steps as there are corners, roughly
 *   errors  DLF_ERR_OOM; DLF_ERR_ARG (n < 1, d outside 1..256, an a that is not finite);
 *           DLF_ERR_SELF_CHECK after 100 (n + d) steps: rounding went wrong */
DLF_MUST_CHECK dlf_status dlf_hull_nearest(dlf_hull *out, const double *a, int n, int d, double *w,
                                           double *lambda);
#endif
