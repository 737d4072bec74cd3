/* SPDX-License-Identifier: MIT
 * dropout_theory.c -- closed forms of Q31. */
#include <math.h>
#include <string.h>

#include "dlf/theory.h"
#include "dropout.h"
#include "least_squares.h"

/* ---- sums ---- */

dlf_dropped_sum dlf_dropout_sum(const double *t, int n, double keep, bool rescale)
{
    dlf_dropped_sum s = {0.0, 0.0};
    const double c = rescale ? keep : 1.0;
    for (int j = 0; j < n; j++) {
        s.mean += keep * t[j] / c;
        s.variance += keep * (1.0 - keep) * t[j] * t[j] / (c * c);
    }
    return s;
}

/* ---- least squares ---- */

double dlf_dropout_loss(const double *x, const double *y, const double *w, int n, int p,
                        double keep, double *noise)
{
    double fit = 0.0, variance = 0.0, t[64];
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < p; j++) t[j] = x[i * p + j] * w[j];
        const dlf_dropped_sum s = dlf_dropout_sum(t, p, keep, false);
        fit += (y[i] - s.mean) * (y[i] - s.mean);
        variance += s.variance;
    }
    if (noise) *noise = variance;
    return fit + variance;
}

void dlf_dropout_ridge(const double *gram, const double *xty, const double *d, int p, double keep,
                       double *w)
{
    double a[32 * 32]; /* positive definite where X has full rank or keep < 1 */
    for (int i = 0; i < p; i++) {
        for (int j = 0; j <= i; j++)
            a[i * p + j] = gram[i * p + j] + (i == j ? (1.0 - keep) / keep * d[i] : 0.0);
        w[i] = xty[i];
    }
    dlf_solve_positive(a, p, w, 1);
}

/* ---- logistic regression ---- */

static double log_partition(double z, bool gaussian)
{
    return gaussian ? 0.5 * z * z : fmax(z, 0.0) + log1p(exp(-fabs(z)));
}

double dlf_dropout_penalty(const double *t, int n, double keep, bool gaussian)
{
    double full = 0.0, z = 0.0, sum = 0.0, share[25];
    for (int k = 0; k <= n; k++) share[k] = pow(keep, k) * pow(1.0 - keep, n - k);
    for (int j = 0; j < n; j++) full += t[j];
    /* masks in Gray's order: one unit comes or goes at a time. z starts anew every 1024 masks, so
     * that rounding does not add up. */
    uint32_t mask = 0;
    int kept = 0;
    for (uint32_t i = 0; i < 1u << n; i++) {
        if (i % 1024 == 0) {
            z = 0.0;
            for (int j = 0; j < n; j++) z += mask >> j & 1u ? t[j] : 0.0;
        }
        sum += share[kept] * log_partition(z / keep, gaussian);
        const int j = __builtin_ctz(i + 1);
        mask ^= 1u << j;
        const bool comes = mask >> j & 1u;
        if (j < n) z += comes ? t[j] : -t[j];
        kept += comes ? 1 : -1;
    }
    return sum - log_partition(full, gaussian);
}

double dlf_dropout_penalty_quadratic(const double *t, int n, double keep, bool gaussian)
{
    const dlf_dropped_sum s = dlf_dropout_sum(t, n, keep, true);
    const double y = 1.0 / (1.0 + exp(-s.mean));
    return 0.5 * (gaussian ? 1.0 : y * (1.0 - y)) * s.variance;
}

static double shifted(double z, const void *user)
{
    const dlf_dropped_sum *s = user;
    return log_partition(s->mean + sqrt(s->variance) * z, false);
}

double dlf_dropout_penalty_normal(const double *t, int n, double keep)
{
    const dlf_dropped_sum s = dlf_dropout_sum(t, n, keep, true);
    return dlf_gaussian_mean(shifted, &s) - log_partition(s.mean, false);
}

double dlf_dropout_penalty_fourth(const double *t, int n, double keep)
{
    double k2 = 0.0, k3 = 0.0, k4 = 0.0, z = 0.0;
    for (int j = 0; j < n; j++) {
        const double u = t[j] / keep, v = keep * (1.0 - keep);
        z += t[j];
        k2 += u * u * v;
        k3 += u * u * u * v * (1.0 - 2.0 * keep);
        k4 += u * u * u * u * v * (1.0 - 6.0 * v);
    }
    const double y = 1.0 / (1.0 + exp(-z)), a2 = y * (1.0 - y), a3 = a2 * (1.0 - 2.0 * y);
    const double a4 = a2 * (1.0 - 6.0 * a2);
    return a2 * k2 / 2.0 + a3 * k3 / 6.0 + a4 * (k4 + 3.0 * k2 * k2) / 24.0;
}

/* ---- ensembles of masks ---- */

void dlf_log_softmax(double *z, int classes)
{
    double most = z[0], sum = 0.0;
    for (int c = 1; c < classes; c++) most = fmax(most, z[c]);
    for (int c = 0; c < classes; c++) sum += exp(z[c] - most);
    for (int c = 0; c < classes; c++) z[c] -= most + log(sum);
}

double dlf_total_variation(const double *a, const double *b, int classes)
{
    double sum = 0.0;
    for (int c = 0; c < classes; c++) sum += 0.5 * fabs(exp(a[c]) - exp(b[c]));
    return sum;
}

void dlf_mask_ensemble_of(dlf_mask_ensemble *out, dlf_masked_logits logits, const void *user, int n,
                          int classes, double keep)
{
    double factor[20];
    memset(out, 0, sizeof *out);
    for (uint32_t mask = 0; mask < 1u << n; mask++) {
        double z[16], share = 1.0;
        for (int j = 0; j < n; j++) {
            const bool stays = mask >> j & 1u;
            factor[j] = stays ? 1.0 / keep : 0.0;
            share *= stays ? keep : 1.0 - keep;
        }
        logits(user, factor, z);
        dlf_log_softmax(z, classes);
        for (int c = 0; c < classes; c++) {
            out->geometric[c] += share * z[c];
            out->arithmetic[c] += share * exp(z[c]);
        }
    }
    dlf_log_softmax(out->geometric, classes);
    for (int c = 0; c < classes; c++) out->arithmetic[c] = log(out->arithmetic[c]);
    for (int j = 0; j < n; j++) factor[j] = 1.0;
    logits(user, factor, out->scaled);
    dlf_log_softmax(out->scaled, classes);
}
