/* SPDX-License-Identifier: MIT
 * meanfield_dropout.c -- fixed points of wide random networks with dropout; see theory.h. */
#include <math.h>

#include "dlf/theory.h"
#include "theory/quadrature.h"

/* a[k] = E[f(sqrt(q) z) h_k(z)] with the normalised Hermite polynomials h_k: then
 * E[f(u) f(v)] = sum a_k^2 c^k (Mehler), and its derivative by c is q E[f'(u) f'(v)]. */
enum { TERMS = 128 };
typedef struct correlation_series {
    double square[TERMS]; /* a_k^2                               */
    double rest;          /* E f^2 less their sum: beyond TERMS */
} correlation_series;

static void expand(correlation_series *s, dlf_activation f, double q)
{
    const dlf_gauss_rule *rule = dlf_gauss_fine();
    double total = 0.0, sum = 0.0;
    double a[TERMS] = {0.0};
    for (int i = 0; i < rule->n; i++) {
        const double z = rule->z[i], value = dlf_activation_value(f, sqrt(q) * z);
        const double weighted = rule->w[i] * value;
        double previous = 0.0, h = 1.0;
        total += weighted * value;
        for (int k = 0; k < TERMS; k++) {
            a[k] += weighted * h;
            const double next = (z * h - sqrt(k) * previous) / sqrt(k + 1.0);
            previous = h;
            h = next;
        }
    }
    for (int k = 0; k < TERMS; k++) {
        s->square[k] = a[k] * a[k];
        sum += s->square[k];
    }
    s->rest = fmax(0.0, total - sum);
}

/* E[f(u) f(v)] at correlation c; *slope: its derivative. What is left out is taken as one term. */
static double mean_product(const correlation_series *s, double c, double *slope)
{
    double value = s->rest, derivative = 0.0;
    for (int k = TERMS; k-- > 0;) {
        derivative = derivative * c + value;
        value = value * c + s->square[k];
    }
    *slope = derivative;
    return value;
}

/* Root of sigma_w^2 E[f(u) f(v)] + sigma_b^2 - c q on [0, 1): the left side is convex in c (all its
 * terms are), not negative at 0 and negative at 1, so that Newton from 0 rises to the first root.
 */
static void solve_correlation(dlf_meanfield *r, dlf_activation f)
{
    correlation_series s;
    double c = 0.0, slope;
    expand(&s, f, r->q_star);
    for (int i = 0; i < 200; i++) {
        const double value = mean_product(&s, c, &slope);
        const double gap = r->sigma_w2 * value + r->sigma_b2 - c * r->q_star;
        const double next = c + gap / (r->q_star - r->sigma_w2 * slope);
        if (!(next > c)) break;
        c = fmin(next, 1.0);
    }
    mean_product(&s, c, &slope);
    r->c_star = c;
    r->chi_c = r->sigma_w2 * slope / r->q_star;
    r->xi_c = -1.0 / log(r->chi_c);
}

dlf_meanfield dlf_meanfield_dropout(dlf_activation f, double sigma_w2, double sigma_b2, double keep)
{
    if (keep == 1.0) return dlf_meanfield_solve(f, sigma_w2, sigma_b2, true);
    /* lengths and gradients: noise adds (1 - keep) / keep of the second moment */
    dlf_meanfield r = dlf_meanfield_solve(f, sigma_w2 / keep, sigma_b2, false);
    r.sigma_w2 = sigma_w2;
    if (r.q_star > 0.0 && isfinite(r.q_star)) solve_correlation(&r, f);
    return r;
}

void dlf_meanfield_dropout_path(const dlf_meanfield *m, dlf_activation f, double *c, int layers)
{
    correlation_series s;
    double slope;
    expand(&s, f, m->q_star);
    for (int l = 0; l < layers; l++)
        c[l + 1] = (m->sigma_w2 * mean_product(&s, c[l], &slope) + m->sigma_b2) / m->q_star;
}
