/* SPDX-License-Identifier: MIT
 * meanfield.c -- fixed points of the length and correlation maps; see theory.h for the formulas. */
#include <math.h>

#include "dlf/theory.h"
#include "theory/quadrature.h"

enum { ITERATIONS_MAX = 400 };
#define Q_DIVERGED 1e14 /* beyond: sqrt(q) z saturates or is homogeneous; only limits matter */
#define Q_VANISHED 1e-14

double dlf_gaussian_mean(double (*g)(double z, const void *user), const void *user)
{
    const dlf_gauss_rule *rule = dlf_gauss_fine();
    double sum = 0.0;
    for (int i = 0; i < rule->n; i++) sum += rule->w[i] * g(rule->z[i], user);
    return sum;
}

/* E[g(sqrt(q) z)^2] for g = f or f'. */
static double mean_square(double (*g)(dlf_activation f, double x), dlf_activation f, double q)
{
    const dlf_gauss_rule *rule = dlf_gauss_fine();
    const double s = sqrt(q);
    double sum = 0.0;
    for (int i = 0; i < rule->n; i++) {
        const double value = g(f, s * rule->z[i]);
        sum += rule->w[i] * value * value;
    }
    return sum;
}

double dlf_meanfield_chi(dlf_activation f, double sigma_w2, double q)
{
    return sigma_w2 * mean_square(dlf_activation_derivative, f, q);
}

/* Iterate x <- map(x) with Aitken's acceleration. A jump is taken only where the map contracts
 * (elsewhere Aitken converges to unstable fixed points, such as q = 0 of ReLU above criticality)
 * and only if it brings map(x)-x closer to 0. */
static double fixed_point(double (*map)(double x, const void *user), const void *user, double x,
                          double low, double high)
{
    for (int i = 0; i < ITERATIONS_MAX; i++) {
        const double x1 = map(x, user);
        if (!(x1 > low)) return low;
        if (!(x1 < high)) return high;
        const double x2 = map(x1, user);
        if (!(x2 > low)) return low;
        if (!(x2 < high)) return high;
        const double bend = (x2 - x1) - (x1 - x);
        double next = x2;
        if (fabs(x2 - x1) < fabs(x1 - x) && bend != 0.0) {
            const double jump = x - (x1 - x) * (x1 - x) / bend;
            if (jump > low && jump < high && fabs(map(jump, user) - jump) < fabs(x2 - x1))
                next = jump;
        }
        if (fabs(next - x) <= 1e-13 * fabs(next)) return next;
        x = next;
    }
    return x;
}

typedef struct length_map {
    dlf_activation f;
    double sigma_w2, sigma_b2;
} length_map;

static double next_length(double q, const void *user)
{
    const length_map *m = user;
    return m->sigma_w2 * mean_square(dlf_activation_value, m->f, q) + m->sigma_b2;
}

typedef struct correlation_map {
    dlf_activation f;
    double sigma_w2, sigma_b2, q;
} correlation_map;

/* E[g(u) g(v)] for u, v ~ N(0,q) with correlation c. The kink of g(v) lies on a slanted line that
 * no product rule can follow, so the inner integral runs over v given u, split at v = 0: v = c u +
 * sqrt(q (1-c^2)) z. For smooth g both rules agree to 1e-10; see the tests. */
static double mean_product(double (*g)(dlf_activation f, double x), const correlation_map *m,
                           double c)
{
    const dlf_gauss_rule *rule = dlf_gauss_coarse();
    const double s = sqrt(m->q), t = sqrt(fmax(0.0, 1.0 - c * c));
    double sum = 0.0;
    for (int i = 0; i < rule->n; i++) {
        double inner = 0.0;
        for (int j = 0; j < rule->n; j++)
            inner += rule->w[j] * g(m->f, s * (c * rule->z[i] + t * rule->z[j]));
        sum += rule->w[i] * g(m->f, s * rule->z[i]) * inner;
    }
    return sum;
}

static double next_correlation(double c, const void *user)
{
    const correlation_map *m = user;
    return (m->sigma_w2 * mean_product(dlf_activation_value, m, c) + m->sigma_b2) / m->q;
}

static void solve_correlation(dlf_meanfield *r, dlf_activation f)
{
    r->c_star = 1.0;
    r->chi_c = r->chi_1;
    const bool proper = r->q_star > 0.0 && isfinite(r->q_star);
    if (r->chi_1 > 1.0 + 1e-9 && proper) { /* chaotic: c = 1 is unstable */
        const correlation_map m = {f, r->sigma_w2, r->sigma_b2, r->q_star};
        const double c = fixed_point(next_correlation, &m, 0.5, -1.0 + 1e-12, 1.0 - 1e-12);
        r->c_star = c;
        r->chi_c = r->sigma_w2 * mean_product(dlf_activation_derivative, &m, c);
    }
    r->xi_c = r->chi_c == 1.0 ? INFINITY : -1.0 / log(r->chi_c);
    if (r->xi_c < 0.0) r->xi_c = INFINITY;
}

dlf_meanfield dlf_meanfield_solve(dlf_activation f, double sigma_w2, double sigma_b2,
                                  bool with_correlation)
{
    dlf_meanfield r = {
        .sigma_w2 = sigma_w2, .sigma_b2 = sigma_b2, .c_star = NAN, .chi_c = NAN, .xi_c = NAN};
    const length_map m = {f, sigma_w2, sigma_b2};
    const double q = fixed_point(next_length, &m, 1.0, Q_VANISHED, Q_DIVERGED);
    r.chi_1 = dlf_meanfield_chi(f, sigma_w2, q);
    r.q_star = q >= Q_DIVERGED ? INFINITY : q <= Q_VANISHED ? 0.0 : q;
    if (with_correlation) solve_correlation(&r, f);
    return r;
}

/* ln chi_1 at this sigma_w^2: its sign tells the phase. */
static double log_chi(dlf_activation f, double log_w2, double sigma_b2)
{
    return log(dlf_meanfield_solve(f, exp(log_w2), sigma_b2, false).chi_1);
}

double dlf_meanfield_edge(dlf_activation f, double sigma_b2)
{
    /* chi_1 need not grow with sigma_w^2 everywhere: scan for the first crossing ... */
    const double step = log(1.5), last = log(1e4);
    double a = log(1e-3), b = a, fa = log_chi(f, a, sigma_b2), fb = fa;
    while (fb < 0.0 && b < last) {
        a = b;
        fa = fb;
        b = a + step;
        fb = log_chi(f, b, sigma_b2);
    }
    if (!(fb >= 0.0)) return NAN;
    /* ... then regula falsi with the Illinois weight, which keeps the root bracketed. */
    for (int i = 0, side = 0; i < 100 && b - a > 1e-12 && fb != 0.0; i++) {
        const double c = (fa * b - fb * a) / (fa - fb), fc = log_chi(f, c, sigma_b2);
        if (fc == 0.0 || c <= a || c >= b) return exp(c);
        if (fc > 0.0) {
            b = c;
            fb = fc;
            if (side == 1) fa *= 0.5;
            side = 1;
        } else {
            a = c;
            fa = fc;
            if (side == -1) fb *= 0.5;
            side = -1;
        }
        if (fabs(fc) < 1e-13) return exp(c);
    }
    return exp(b);
}
