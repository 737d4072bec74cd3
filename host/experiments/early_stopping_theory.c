/* SPDX-License-Identifier: MIT
 * early_stopping_theory.c -- closed forms of Q10. */
#include <math.h>
#include <string.h>

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

/* ---- eigenvalues ---- */

/* Rotate rows and columns i, j so that a_ij = 0 (Golub & Van Loan 2013, 8.5). */
static void rotate(double *a, int n, int i, int j, double *vector)
{
    const double off = a[i * n + j];
    if (off == 0.0) return;
    const double tau = (a[j * n + j] - a[i * n + i]) / (2.0 * off);
    const double t = (tau < 0.0 ? -1.0 : 1.0) / (fabs(tau) + sqrt(1.0 + tau * tau));
    const double c = 1.0 / sqrt(1.0 + t * t), s = t * c;
    for (int k = 0; k < n; k++) {
        const double x = a[k * n + i], y = a[k * n + j];
        a[k * n + i] = c * x - s * y;
        a[k * n + j] = s * x + c * y;
    }
    for (int k = 0; k < n; k++) {
        const double x = a[i * n + k], y = a[j * n + k];
        a[i * n + k] = c * x - s * y;
        a[j * n + k] = s * x + c * y;
    }
    for (int k = 0; k < n; k++) {
        const double x = vector[i * n + k], y = vector[j * n + k];
        vector[i * n + k] = c * x - s * y;
        vector[j * n + k] = s * x + c * y;
    }
}

void dlf_symmetric_eigen(double *a, int n, double *value, double *vector)
{
    memset(vector, 0, (size_t)n * (size_t)n * sizeof *vector);
    for (int i = 0; i < n; i++) vector[i * n + i] = 1.0;
    for (int sweep = 0; sweep < 30; sweep++) { /* quadratic convergence: 8 or so are needed */
        double off = 0.0, diagonal = 0.0;
        for (int i = 0; i < n; i++) {
            diagonal += a[i * n + i] * a[i * n + i];
            for (int j = 0; j < i; j++) off += a[i * n + j] * a[i * n + j];
        }
        if (off <= 1e-32 * diagonal) break;
        for (int i = 0; i < n; i++)
            for (int j = i + 1; j < n; j++) rotate(a, n, i, j, vector);
    }
    for (int i = 0; i < n; i++) value[i] = a[i * n + i];
}
