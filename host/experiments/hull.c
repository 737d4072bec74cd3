/* SPDX-License-Identifier: MIT
 * hull.c -- Wolfe's nearest point in a polytope. */
#include "hull.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_D = 256, MAX_K = MAX_D + 2 };
static const double zero_weight = 1e-12; /* a corner of less weight is dropped */

typedef struct polytope {
    const double *a;
    int n, d;
    double scale;  /* max |a|                                                   */
    int k;         /* corners kept                                              */
    int *corner;   /* (MAX_K)                                                   */
    double *beta;  /* (MAX_K) their weights                                     */
    double *alpha; /* (MAX_K) weights of the nearest point of their affine hull */
    double *gram;  /* (MAX_K, MAX_K)                                            */
    double *v;     /* (d) the point                                             */
} polytope;

static double dot(const double *x, const double *y, int d)
{
    double sum = 0.0;
    for (int j = 0; j < d; j++) sum += x[j] * y[j];
    return sum;
}

static const double *corner(const polytope *p, int i)
{
    return p->a + (long)p->corner[i] * p->d;
}

static void point(polytope *p)
{
    memset(p->v, 0, (size_t)p->d * sizeof *p->v);
    for (int i = 0; i < p->k; i++)
        for (int j = 0; j < p->d; j++) p->v[j] += p->beta[i] * corner(p, i)[j];
}

/* alpha: sum 1 and least |sum alpha_i corner_i|. (G + 1 1^T) u = 1, alpha = u / sum u, with G the
 * products of corners over scale^2; positive definite as long as the corners are affinely
 * independent. False where rounding has ended that. */
static bool affine_nearest(polytope *p)
{
    const int k = p->k;
    double *g = p->gram, *u = p->alpha, sum = 0.0;
    for (int i = 0; i < k; i++) {
        for (int j = 0; j <= i; j++)
            g[i * k + j] = 1.0 + dot(corner(p, i), corner(p, j), p->d) / (p->scale * p->scale);
        u[i] = 1.0;
    }
    for (int i = 0; i < k; i++) { /* Cholesky, and forward substitution on the way */
        for (int j = 0; j < i; j++) {
            g[i * k + j] = (g[i * k + j] - dot(g + i * k, g + j * k, j)) / g[j * k + j];
            u[i] -= g[i * k + j] * u[j];
        }
        const double square = g[i * k + i] - dot(g + i * k, g + i * k, i);
        if (!(square > 1e-14 * g[i * k + i])) return false;
        g[i * k + i] = sqrt(square);
        u[i] /= g[i * k + i];
    }
    for (int i = k - 1; i >= 0; i--) {
        for (int j = i + 1; j < k; j++) u[i] -= g[j * k + i] * u[j];
        u[i] /= g[i * k + i];
    }
    for (int i = 0; i < k; i++) sum += u[i];
    for (int i = 0; i < k; i++) u[i] /= sum;
    return true;
}

static void drop(polytope *p, int i)
{
    for (; i + 1 < p->k; i++) {
        p->corner[i] = p->corner[i + 1];
        p->beta[i] = p->beta[i + 1];
    }
    p->k--;
}

/* Walks from beta to the nearest point of the affine hull; where that lies outside of the corners'
 * hull, to its border, and on without the corner that has no weight left. */
static void settle(polytope *p)
{
    while (affine_nearest(p)) {
        double step = 1.0;
        int out = -1;
        for (int i = 0; i < p->k; i++)
            if (p->alpha[i] <= zero_weight) {
                const double back = p->beta[i] - p->alpha[i];
                const double most = back > 0.0 ? p->beta[i] / back : 0.0;
                if (out < 0 || most < step) {
                    step = most;
                    out = i;
                }
            }
        for (int i = 0; i < p->k; i++) p->beta[i] += step * (p->alpha[i] - p->beta[i]);
        if (out < 0) break;
        drop(p, out);
    }
    point(p);
}

/* The a_i that lies farthest back along v. */
static int lowest(const polytope *p, double *product)
{
    int best = 0;
    *product = INFINITY;
    for (int i = 0; i < p->n; i++) {
        const double s = dot(p->v, p->a + (long)i * p->d, p->d);
        if (s < *product) {
            *product = s;
            best = i;
        }
    }
    return best;
}

static dlf_status nearest(polytope *p, dlf_hull *out)
{
    const double square = p->scale * p->scale;
    double product, last = INFINITY;
    for (long step = 0; step < 100L * (p->n + p->d); step++) {
        const double vv = dot(p->v, p->v, p->d);
        const int i = lowest(p, &product);
        bool known = false;
        for (int c = 0; c < p->k; c++) known |= p->corner[c] == i;
        /* vv - product bounds |v|^2 - margin^2 (Wolfe's stopping rule); no progress is rounding */
        const bool done = vv - product <= 1e-14 * square || known || vv >= last;
        if (done || vv <= 1e-20 * square || p->k >= p->d + 2) {
            out->separable = product > 0.0 && vv > 1e-18 * square;
            out->margin = out->separable ? product / sqrt(vv) : 0.0;
            if (p->scale > 0.0) out->proof = (out->separable ? out->margin : sqrt(vv)) / p->scale;
            return DLF_OK;
        }
        last = vv;
        p->corner[p->k] = i;
        p->beta[p->k++] = 0.0;
        settle(p);
    }
    return dlf_fail(DLF_ERR_SELF_CHECK,
                    "hull: %d points in %d dimensions: no end after %ld steps; this is a bug", p->n,
                    p->d, 100L * (p->n + p->d));
}

static dlf_status begin(polytope *p)
{
    double shortest = INFINITY;
    p->corner[0] = 0;
    for (int i = 0; i < p->n; i++) {
        const double s = dot(p->a + (long)i * p->d, p->a + (long)i * p->d, p->d);
        if (!isfinite(s))
            return dlf_fail(DLF_ERR_ARG, "hull: point %d of %d is not finite", i, p->n);
        p->scale = fmax(p->scale, sqrt(s));
        if (s < shortest) {
            shortest = s;
            p->corner[0] = i;
        }
    }
    p->beta[0] = 1.0;
    p->k = 1;
    point(p);
    return DLF_OK;
}

dlf_status dlf_hull_nearest(dlf_hull *out, const double *a, int n, int d, double *w, double *lambda)
{
    *out = (dlf_hull){0};
    if (n < 1 || d < 1 || d > MAX_D)
        return dlf_fail(DLF_ERR_ARG, "hull: %d points in %d dimensions; 1.. in 1..%d", n, d, MAX_D);
    dlf_status status;
    polytope p = {.a = a, .n = n, .d = d};
    const size_t k = (size_t)(d + 2 < MAX_K ? d + 2 : MAX_K);
    p.corner = malloc(MAX_K * sizeof *p.corner);
    p.beta = malloc(MAX_K * sizeof *p.beta);
    p.alpha = malloc(MAX_K * sizeof *p.alpha);
    p.gram = malloc(k * k * sizeof *p.gram);
    p.v = malloc((size_t)d * sizeof *p.v);
    if (!p.corner || !p.beta || !p.alpha || !p.gram || !p.v) {
        status = dlf_fail(DLF_ERR_OOM, "hull: out of memory");
        goto done;
    }
    DLF_TRY_DONE(begin(&p));
    DLF_TRY_DONE(nearest(&p, out));
    if (w && out->separable) {
        const double length = sqrt(dot(p.v, p.v, d));
        for (int j = 0; j < d; j++) w[j] = p.v[j] / length;
    }
    if (lambda) {
        for (int i = 0; i < n; i++) lambda[i] = 0.0;
        for (int i = 0; i < p.k; i++) lambda[p.corner[i]] = p.beta[i];
    }
done:
    free(p.v);
    free(p.gram);
    free(p.alpha);
    free(p.beta);
    free(p.corner);
    return status;
}
