/* SPDX-License-Identifier: MIT
 * svm_machine.c -- the kernel machine of `svm`. */
#include <math.h>
#include <string.h>

#include "svm.h"

typedef struct machine {
    const float *k, *y;
    long pitch;
    int n;
    double C, *beta;
    float *f;
} machine;

/* May beta_i grow, may it shrink? 0 <= y_i beta_i <= C. */
static bool may_grow(const machine *m, int i)
{
    return m->y[i] > 0.0f ? m->beta[i] < m->C : m->beta[i] < 0.0;
}
static bool may_shrink(const machine *m, int i)
{
    return m->y[i] > 0.0f ? m->beta[i] > 0.0 : m->beta[i] > -m->C;
}

/* The pair whose move gains most, by second order, with the worst offender as first; returns by how
 * much the conditions are violated, between which the bias lies. */
static double choose(const machine *m, int *first, int *second, double *bias)
{
    double most = -INFINITY, least = INFINITY, gain = 0.0;
    *first = *second = -1;
    for (int t = 0; t < m->n; t++)
        if (may_grow(m, t) && m->y[t] - m->f[t] > most) {
            most = m->y[t] - m->f[t];
            *first = t;
        }
    if (*first < 0) return 0.0;
    const float *row = m->k + *first * m->pitch;
    for (int t = 0; t < m->n; t++) {
        if (!may_shrink(m, t)) continue;
        const double value = m->y[t] - m->f[t], gap = most - value;
        least = fmin(least, value);
        const double curvature = row[*first] + m->k[t * m->pitch + t] - 2.0 * row[t];
        if (gap > 0.0 && gap * gap > gain * curvature) {
            gain = gap * gap / fmax(curvature, 1e-12);
            *second = t;
        }
    }
    *bias = 0.5 * (most + least);
    return *second < 0 ? 0.0 : most - least;
}

/* beta_i + step, beta_j - step, as far as the box allows. */
static void move(const machine *m, int i, int j)
{
    const float *a = m->k + i * m->pitch, *b = m->k + j * m->pitch;
    const double curvature = fmax(a[i] + b[j] - 2.0 * a[j], 1e-12);
    double step = ((m->y[i] - m->f[i]) - (m->y[j] - m->f[j])) / curvature;
    step = fmin(step, (m->y[i] > 0.0f ? m->C : 0.0) - m->beta[i]);
    step = fmin(step, m->beta[j] + (m->y[j] > 0.0f ? 0.0 : m->C));
    m->beta[i] += step;
    m->beta[j] -= step;
    const float s = (float)step;
    for (int t = 0; t < m->n; t++) m->f[t] += s * (a[t] - b[t]);
}

double dlf_svm_train(double *beta, float *f, const float *k, long pitch, const float *y, int n,
                     double C, double *gap)
{
    const machine m = {.k = k, .y = y, .pitch = pitch, .n = n, .C = C, .beta = beta, .f = f};
    double bias = 0.0;
    int i, j;
    memset(beta, 0, (size_t)n * sizeof *beta);
    memset(f, 0, (size_t)n * sizeof *f);
    bool both = false;
    for (int t = 1; t < n; t++) both |= y[t] != y[0];
    if (!both) { /* the bias alone says so, with no loss */
        if (gap) *gap = 0.0;
        return y[0];
    }
    for (int step = 0; step < 1000 * n && choose(&m, &i, &j, &bias) > 2e-4; step++) move(&m, i, j);
    if (!gap) return bias;
    double norm = 0.0, loss = 0.0, sum = 0.0;
    for (int t = 0; t < n; t++) {
        norm += beta[t] * f[t];
        loss += fmax(0.0, 1.0 - y[t] * (f[t] + bias));
        sum += fabs(beta[t]);
    }
    const double primal = 0.5 * norm + C * loss;
    *gap = (primal - (sum - 0.5 * norm)) / primal;
    return bias;
}

void dlf_svm_gaussian(float *k, const float *x, int m, const float *z, int n, int d, double width)
{
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            const float *a = x + (long)i * d, *b = z + (long)j * d;
            float square = 0.0f;
            for (int l = 0; l < d; l++) square += (a[l] - b[l]) * (a[l] - b[l]);
            k[(long)i * n + j] = expf((float)-width * square);
        }
}

int dlf_svm_support(const double *beta, int n, double C)
{
    int count = 0;
    for (int i = 0; i < n; i++) count += fabs(beta[i]) > 1e-6 * C;
    return count;
}
