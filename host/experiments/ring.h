/* SPDX-License-Identifier: MIT
 * ring.h -- eight Gaussians on a ring in the plane: what generators are judged by where samples can
 * be counted (Metz et al. 2017). Radius 2, standard deviation 0.05. */
#ifndef DLF_RING_H
#define DLF_RING_H
#include <stdint.h>

enum { DLF_RING_MODES = 8 };

/* x (n,2): rows of the ring, a pure function of (seed, member). */
void dlf_ring_rows(double *x, long n, uint64_t seed, uint32_t member);
void dlf_ring_centre(int mode, double centre[2]);

typedef struct dlf_ring_count {
    double n, share[DLF_RING_MODES]; /* rows, and by the nearest mode            */
    double hits;                     /* rows within 4 standard deviations of it */
} dlf_ring_count;

/* Adds x (n,2) to c, which starts from zeros. */
void dlf_ring_add(dlf_ring_count *c, const double *x, long n);
/* How many equally likely modes have the entropy of the shares: 8 e^-KL(shares || 1/8). */
double dlf_ring_effective(const dlf_ring_count *c);

/* KL(shares of n draws || 1/8) that a perfect sampler has on average, n large: 7 / 2n. */
double dlf_ring_divergence(double n);
/* Share of the Gaussian with the ring's mean and covariance within 4 standard deviations of a mode:
 * what a model that knows these two moments and nothing else hits. */
double dlf_ring_gaussian_hits(void);
#endif
