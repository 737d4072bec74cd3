/* SPDX-License-Identifier: MIT
 * autoencoder_theory.c -- closed forms of Q23, Q27 and Q32. */
#include <math.h>
#include <stdlib.h>

#include "autoencoder.h"
#include "dlf/theory.h"

double dlf_pca_loss(const double *lambda, int D, int k)
{
    double sum = 0.0;
    for (int i = k; i < D; i++) sum += lambda[i];
    return sum;
}

double dlf_ppca_kl(double lambda, double sigma2)
{
    return lambda > sigma2 ? 0.5 * log(lambda / sigma2) : 0.0;
}

static bool on(const double *lambda, int i, int k, double sigma2)
{
    return i < k && lambda[i] > sigma2;
}

double dlf_ppca_elbo(const double *lambda, int D, int k, double sigma2)
{
    double sum = D * log(2.0 * M_PI);
    for (int i = 0; i < D; i++)
        sum += on(lambda, i, k, sigma2) ? log(lambda[i]) + 1.0 : log(sigma2) + lambda[i] / sigma2;
    return -0.5 * sum;
}

double dlf_ppca_frechet(const double *lambda, int D, int k, double sigma2, bool with_noise)
{
    double sum = 0.0;
    for (int i = 0; i < D; i++) {
        const double made =
            (on(lambda, i, k, sigma2) ? lambda[i] - sigma2 : 0.0) + (with_noise ? sigma2 : 0.0);
        sum += pow(sqrt(lambda[i]) - sqrt(made), 2.0);
    }
    return sum;
}

/* c = a b, all (n,n) */
static void product(double *c, const double *a, const double *b, int n)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            double sum = 0.0;
            for (int l = 0; l < n; l++) sum += a[i * n + l] * b[l * n + j];
            c[i * n + j] = sum;
        }
}

bool dlf_symmetric_root(double *root, const double *a, int n)
{
    const long square = (long)n * n;
    double *work = malloc((2 * (size_t)square + (size_t)n) * sizeof *work);
    if (!work) return false;
    double *vector = work + square, *value = vector + square;
    for (long i = 0; i < square; i++) work[i] = a[i];
    dlf_symmetric_eigen(work, n, value, vector);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            double r = 0.0;
            for (int k = 0; k < n; k++)
                r += sqrt(fmax(value[k], 0.0)) * vector[k * n + i] * vector[k * n + j];
            root[i * n + j] = r;
        }
    free(work);
    return true;
}

double dlf_frechet_by_root(const double *root, const double *a, const double *b, int n)
{
    const long square = (long)n * n;
    double *work = malloc((2 * (size_t)square + (size_t)n) * sizeof *work), sum = 0.0;
    if (!work) return INFINITY;
    double *both = work + square, *value = both + square;
    product(work, root, b, n);
    product(both, work, root, n);
    dlf_symmetric_eigen(both, n, value, NULL);
    for (int i = 0; i < n; i++)
        sum += a[i * n + i] + b[i * n + i] - 2.0 * sqrt(fmax(value[i], 0.0));
    free(work);
    return sum;
}

double dlf_frechet(const double *a, const double *b, int n)
{
    double *root = malloc((size_t)n * (size_t)n * sizeof *root);
    const double d = root && dlf_symmetric_root(root, a, n) ? dlf_frechet_by_root(root, a, b, n)
                                                            : (double)INFINITY;
    free(root);
    return d;
}

double dlf_denoised(dlf_humps h, double noise, double x)
{
    const double v = h.sd * h.sd + noise * noise, gap = x - h.centre;
    /* of p(left) phi(gap + half) + p(right) phi(gap - half): the mean of their scores */
    const double right = 1.0 / (1.0 + exp(-2.0 * h.half * gap / v));
    return x + noise * noise * ((2.0 * right - 1.0) * h.half - gap) / v;
}

double dlf_humps_cdf(dlf_humps h, double x)
{
    return 0.5 * (dlf_normal_cdf((x - h.centre - h.half) / h.sd) +
                  dlf_normal_cdf((x - h.centre + h.half) / h.sd));
}
