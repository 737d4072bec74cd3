/* SPDX-License-Identifier: MIT
 * early_stopping_theory.c -- closed forms of Q10. */
#include <math.h>

#include "early_stopping.h"

/* ---- risks ---- */

static double term(const dlf_ridge_problem *q, double s, double phi)
{
    const double bias = 1.0 - phi;
    return bias * bias / q->p + q->sigma * q->sigma / q->n * phi * phi / s;
}

double dlf_ridge_risk(const dlf_ridge_problem *q, double lambda)
{
    double sum = 0.0;
    for (int i = 0; i < q->p; i++) sum += term(q, q->s[i], q->s[i] / (q->s[i] + lambda));
    return sum;
}

double dlf_flow_risk(const dlf_ridge_problem *q, double t)
{
    double sum = 0.0;
    for (int i = 0; i < q->p; i++) sum += term(q, q->s[i], -expm1(-t * q->s[i]));
    return sum;
}

double dlf_descent_risk(const dlf_ridge_problem *q, double eta, double steps, double *spread)
{
    double sum = 0.0, square = 0.0;
    for (int i = 0; i < q->p; i++) {
        const double m = term(q, q->s[i], 1.0 - pow(1.0 - eta * q->s[i], steps));
        sum += m; /* of independent N(0, m): E x^2 = m, Var x^2 = 2 m^2 */
        square += 2.0 * m * m;
    }
    if (spread) *spread = sqrt(square);
    return sum;
}

double dlf_converged_risk(const dlf_ridge_problem *q)
{
    double sum = 0.0;
    for (int i = 0; i < q->p; i++) sum += term(q, q->s[i], 1.0);
    return sum;
}

/* ---- extrema ---- */

typedef double (*curve)(const void *user, double x);

/* Least value on the logarithmic scale between low and high: scan, then golden section. */
static double least(curve f, const void *user, double low, double high, double *where)
{
    enum { SCAN = 400 };
    const double a = log(low), h = (log(high) - a) / SCAN, golden = 0.5 * (sqrt(5.0) - 1.0);
    int best = 0;
    for (int i = 1; i <= SCAN; i++)
        if (f(user, exp(a + i * h)) < f(user, exp(a + best * h))) best = i;
    double left = a + (best - 1) * h, right = a + (best + 1) * h;
    if (best == 0) left = a;
    if (best == SCAN) right = log(high);
    for (int i = 0; i < 80; i++) {
        const double x = right - golden * (right - left), y = left + golden * (right - left);
        if (f(user, exp(x)) < f(user, exp(y)))
            right = y;
        else
            left = x;
    }
    const double x = exp(0.5 * (left + right));
    if (where) *where = x;
    return f(user, x);
}

static double flow_at(const void *user, double t)
{
    return dlf_flow_risk(user, t);
}
static double ridge_at(const void *user, double lambda)
{
    return dlf_ridge_risk(user, lambda);
}

double dlf_best_flow(const dlf_ridge_problem *q, double *t)
{
    return least(flow_at, q, 1e-4, 1e4, t);
}
double dlf_best_ridge(const dlf_ridge_problem *q, double *lambda)
{
    return least(ridge_at, q, 1e-4, 1e4, lambda);
}

double dlf_flow_variance_ratio(double x)
{
    const double r = -expm1(-x) * (1.0 + x) / x;
    return r * r;
}
double dlf_flow_bias_ratio(double x)
{
    const double r = exp(-x) * (1.0 + x);
    return r * r;
}
double dlf_flow_tuned_ratio(double x)
{
    const double grown = -expm1(-x);
    return (1.0 + x) * (exp(-2.0 * x) + grown * grown / x);
}

typedef struct negated {
    double (*f)(double);
} negated;

static double minus(const void *user, double x)
{
    return -((const negated *)user)->f(x);
}

double dlf_greatest(double (*f)(double), double *x)
{
    const negated user = {f};
    return -least(minus, &user, 1e-6, 100.0, x);
}
