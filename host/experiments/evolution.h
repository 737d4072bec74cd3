/* SPDX-License-Identifier: MIT
 * evolution.h -- the parts of the experiment `evolution` (Q47), and its closed forms. */
#ifndef DLF_EVOLUTION_H
#define DLF_EVOLUTION_H
#include "dlf/experiment.h"

/* Each uses the share from..to of the progress bar and adds its tables, checks and figures. */
DLF_MUST_CHECK dlf_status dlf_evolution_sphere(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_evolution_onemax(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_evolution_weights(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_evolution_search(dlf_run *run, double from, double to);

/* ---- closed forms --------------------------------------------------------------------------- */

/* (1+1)-ES on |x|^2 in d -> infinity dimensions, step sigma = s |x| / d (Rechenberg 1973, Beyer
 * 2001): success   P(better) = Phi(-s/2) progress  d E(1 - |x'|/|x|) = s e^(-s^2/8) / sqrt(2 pi) -
 * s^2 Phi(-s/2) / 2 */
double dlf_sphere_success(double s);
double dlf_sphere_progress(double s);

/* Expected evaluations of the (1+1)-EA, every bit flipped with probability 1/n, from a random
 * string to n ones, by its Markov chain (Droste, Jansen & Wegener 2002). n <= 200 */
double dlf_onemax_time(int n);

/* E cos^2 of the gradient and its estimate by m antithetic pairs of Gaussian directions in d
 * dimensions, as the ratio of the means: m / (m + d + 1). */
double dlf_es_alignment(double m, double d);
#endif
