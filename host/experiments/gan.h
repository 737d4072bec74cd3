/* SPDX-License-Identifier: MIT
 * gan.h -- the parts of the experiment `gan` (Q20, Q45), and its closed forms. */
#ifndef DLF_GAN_H
#define DLF_GAN_H
#include "dlf/experiment.h"

/* Each uses the share from..to of the progress bar and adds its tables, checks and figures. */
DLF_MUST_CHECK dlf_status dlf_gan_discriminators(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_gan_orbits(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_gan_ring(dlf_run *run, double from, double to);
/* The discriminator of the ring, also for dlf_experiment.network. x (P,3B,2): B real rows, the same
 * nudged, B generated ones. penalty (P): gamma. */
DLF_MUST_CHECK dlf_status dlf_gan_judge(dlf_graph **out, dlf_device *device, int members, int batch,
                                        int width, const double *penalty);

/* ---- closed forms --------------------------------------------------------------------------- */

/* A density on the line: the mean of N(centre - half, sd^2) and N(centre + half, sd^2). */
typedef struct dlf_humps {
    double centre, half, sd;
} dlf_humps;
double dlf_humps_density(dlf_humps h, double x);

/* What real rows p and generated rows q leave to the best discriminator (Goodfellow et al. 2014,
 * Proposition 1 and Theorem 1), by the trapezoidal rule, which is exact to rounding here:
 *   D*(x) = p / (p + q)
 *   V(D*) = E_p log D* + E_q log(1 - D*) = 2 JS(p, q) - log 4,  0 <= JS <= log 2 */
double dlf_best_discriminator(dlf_humps p, dlf_humps q, double x);
double dlf_gan_value(dlf_humps p, dlf_humps q);

/* |d loss / d shift| of a generator z + shift against N(0,1) at D*, whose logit is
 * -shift x + shift^2/2:
 *   saturating      E log(1 - D)    shift E sigmoid(-shift z - shift^2/2)
 *   non-saturating  E -log D        shift - the saturating one */
double dlf_gan_saturating(double shift);
double dlf_gan_non_saturating(double shift);

/* The Dirac-GAN (Mescheder et al. 2018): real rows are 0, generated ones theta, D(x) = psi x, and
 * both sides follow f(theta psi), f(t) = -log(1 + e^-t), f'(0) = 1/2, with step h and a penalty
 * gamma/2 psi^2, which is R1. Spectral radius of one step at the equilibrium (0,0):
 *   at once      I + h [[0, -1/2], [1/2, -gamma]]
 *   in turns     psi first, then theta against the new psi */
double dlf_dirac_rate(double h, double gamma, bool in_turns);
#endif
