/* SPDX-License-Identifier: MIT
 * ring.c -- eight Gaussians on a ring: rows, counts, closed forms. */
#include "ring.h"

#include <math.h>

#include "dlf/rng.h"

static const double radius = 2.0, sd = 0.05, near = 4.0;

void dlf_ring_centre(int mode, double centre[2])
{
    centre[0] = radius * cos(2.0 * M_PI * mode / DLF_RING_MODES);
    centre[1] = radius * sin(2.0 * M_PI * mode / DLF_RING_MODES);
}

void dlf_ring_rows(double *x, long n, uint64_t seed, uint32_t member)
{
    for (long i = 0; i < n; i++) {
        double centre[2];
        dlf_ring_centre(
            (int)(dlf_rng_bits(seed, dlf_stream(DLF_PURPOSE_DATA, 122), member, (uint64_t)i) %
                  DLF_RING_MODES),
            centre);
        for (int j = 0; j < 2; j++)
            x[2 * i + j] = centre[j] + sd * dlf_rng_normal(seed, dlf_stream(DLF_PURPOSE_DATA, 123),
                                                           member, (uint64_t)(2 * i + j));
    }
}

void dlf_ring_add(dlf_ring_count *c, const double *x, long n)
{
    for (long i = 0; i < n; i++) {
        const double angle = atan2(x[2 * i + 1], x[2 * i]);
        /* NaN lands anywhere and is no hit */
        const long turn = isfinite(angle) ? lround(angle / (2.0 * M_PI) * DLF_RING_MODES) : 0;
        const int k = (int)(turn + DLF_RING_MODES) % DLF_RING_MODES;
        double centre[2];
        dlf_ring_centre(k, centre);
        c->n += 1.0;
        c->share[k] += 1.0;
        c->hits += hypot(x[2 * i] - centre[0], x[2 * i + 1] - centre[1]) < near * sd;
    }
}

double dlf_ring_effective(const dlf_ring_count *c)
{
    double entropy = 0.0;
    for (int k = 0; k < DLF_RING_MODES; k++)
        if (c->share[k] > 0.0) entropy -= c->share[k] / c->n * log(c->share[k] / c->n);
    return exp(entropy);
}

double dlf_ring_divergence(double n)
{
    return (DLF_RING_MODES - 1) / (2.0 * n);
}

/* In rings about a mode, by the midpoint rule: the discs do not meet. */
double dlf_ring_gaussian_hits(void)
{
    enum { STEPS = 200 };
    const double v = 0.5 * radius * radius + sd * sd, dr = near * sd / STEPS;
    double sum = 0.0;
    for (int i = 0; i < STEPS; i++)
        for (int j = 0; j < STEPS; j++) {
            const double r = (i + 0.5) * dr, turn = 2.0 * M_PI * j / STEPS,
                         square = radius * radius + r * r + 2.0 * radius * r * cos(turn);
            sum += dr * r * 2.0 * M_PI / STEPS * exp(-0.5 * square / v) / (2.0 * M_PI * v);
        }
    return DLF_RING_MODES * sum;
}
