/* SPDX-License-Identifier: MIT
 * norm_ref.h -- all five normalizations by definition, in double: one loop over positions, in which
 * only the number of a position's statistic tells the kinds apart (include/dlf/norm.h). */
#ifndef DLF_NORM_REF_H
#define DLF_NORM_REF_H
#include <math.h>
#include <stdlib.h>

#include "dlf/backend.h"
#include "dlf/norm.h"

typedef struct norm_ref {
    dlf_norm_geometry g;
    bool over_samples, nhwc, rms;
    double eps;
    dlf_activation f;
} norm_ref;

static inline norm_ref norm_ref_of(const dlf_tensor *x, const dlf_norm *norm)
{
    norm_ref r = {.over_samples = dlf_norm_over_samples(norm->kind),
                  .nhwc = norm->layout == DLF_NHWC,
                  .rms = norm->kind == DLF_RMS_NORM,
                  .eps = norm->eps,
                  .f = norm->activation};
    if (dlf_norm_geometry_of(&r.g, x, *norm) != DLF_OK) abort(); /* the caller has checked */
    return r;
}

static inline int64_t norm_ref_at(const norm_ref *r, int64_t n, int64_t c, int64_t s)
{
    return r->nhwc ? (n * r->g.S + s) * r->g.C + c : (n * r->g.C + c) * r->g.S + s;
}

static inline int64_t norm_ref_statistic(const norm_ref *r, int64_t n, int64_t c)
{
    return r->over_samples ? c : n * r->g.groups + c / r->g.width;
}

/* `at` is the position in a member, `c` its channel, `k` its statistic. */
#define NORM_REF_EACH(r)                                                                           \
    for (int64_t n = 0; n < (r)->g.N; n++)                                                         \
        for (int64_t c = 0; c < (r)->g.C; c++)                                                     \
            for (int64_t s = 0, k = norm_ref_statistic(r, n, c), at = norm_ref_at(r, n, c, 0);     \
                 s < (r)->g.S; s++, at = norm_ref_at(r, n, c, s < (r)->g.S ? s : 0))

/* Member p of an operand; NULL stays NULL. */
static inline double *norm_ref_member(const dlf_tensor *t, int64_t p)
{
    return t ? (double *)t->data + p * t->stride : NULL;
}

static inline double norm_ref_or(const double *a, int64_t i, double otherwise)
{
    return a ? a[i] : otherwise;
}

/* Mean and biased variance of every statistic; the second pass corrects the first. */
static inline void norm_ref_statistics(const norm_ref *r, const double *x, double *mean,
                                       double *var)
{
    const double count = (double)r->g.count;
    for (int64_t k = 0; k < r->g.statistics; k++) mean[k] = var[k] = 0.0;
    if (!r->rms) {
        NORM_REF_EACH(r) mean[k] += x[at] / count;
        for (int64_t k = 0; k < r->g.statistics; k++) var[k] = 0.0;
        NORM_REF_EACH(r) var[k] += (x[at] - mean[k]) / count;
        for (int64_t k = 0; k < r->g.statistics; k++) {
            mean[k] += var[k];
            var[k] = 0.0;
        }
    }
    NORM_REF_EACH(r) var[k] += (x[at] - mean[k]) * (x[at] - mean[k]) / count;
}

/* y of one member, given the statistics. */
static inline void norm_ref_apply(const norm_ref *r, const dlf_norm_fwd *io, int64_t p,
                                  const double *mean, const double *rstd)
{
    const double *x = norm_ref_member(io->x, p), *residual = norm_ref_member(io->residual, p);
    const double *gamma = norm_ref_member(io->gamma, p), *beta = norm_ref_member(io->beta, p);
    double *y = norm_ref_member(io->y, p);
    NORM_REF_EACH(r)
    {
        const double xhat = (x[at] - mean[k]) * rstd[k];
        const double z = norm_ref_or(gamma, c, 1.0) * xhat + norm_ref_or(beta, c, 0.0) +
                         norm_ref_or(residual, at, 0.0);
        y[at] = dlf_activation_value(r->f, z);
    }
}

static inline dlf_status norm_ref_forward(const dlf_norm_fwd *io, const dlf_norm *norm)
{
    const norm_ref r = norm_ref_of(io->x, norm);
    const double M = (double)r.g.count, m = norm->momentum;
    double *mean = malloc(3 * (size_t)r.g.statistics * sizeof *mean);
    if (!mean) return dlf_fail(DLF_ERR_OOM, "norm_forward on ref: no memory for the statistics");
    double *var = mean + r.g.statistics, *rstd = var + r.g.statistics;
    for (int64_t p = 0; p < r.g.P; p++) {
        norm_ref_statistics(&r, norm_ref_member(io->x, p), mean, var);
        for (int64_t k = 0; k < r.g.statistics; k++) {
            rstd[k] = 1.0 / sqrt(var[k] + r.eps);
            if (io->mean) norm_ref_member(io->mean, p)[k] = mean[k];
            if (io->rstd) norm_ref_member(io->rstd, p)[k] = rstd[k];
            if (!io->running_mean) continue;
            double *running_mean = norm_ref_member(io->running_mean, p) + k;
            double *running_var = norm_ref_member(io->running_var, p) + k;
            *running_mean = (1.0 - m) * *running_mean + m * mean[k];
            *running_var = (1.0 - m) * *running_var + m * var[k] * M / (M - 1.0);
        }
        norm_ref_apply(&r, io, p, mean, rstd);
    }
    free(mean);
    return DLF_OK;
}

static inline dlf_status norm_ref_infer(const dlf_norm_fwd *io, const dlf_norm *norm)
{
    const norm_ref r = norm_ref_of(io->x, norm);
    double *rstd = malloc((size_t)r.g.statistics * sizeof *rstd);
    if (!rstd) return dlf_fail(DLF_ERR_OOM, "norm_infer on ref: no memory for the statistics");
    for (int64_t p = 0; p < r.g.P; p++) {
        for (int64_t k = 0; k < r.g.statistics; k++)
            rstd[k] = 1.0 / sqrt(norm_ref_member(io->running_var, p)[k] + r.eps);
        norm_ref_apply(&r, io, p, norm_ref_member(io->running_mean, p), rstd);
    }
    free(rstd);
    return DLF_OK;
}

/* One member. a[k], b[k]: means of g and of g xhat over the statistic's positions. */
static inline void norm_ref_backward_member(const norm_ref *r, const dlf_norm_bwd *io, int64_t p,
                                            double *a, double *b, double *dgamma, double *dbeta)
{
    const double *x = norm_ref_member(io->x, p), *dy = norm_ref_member(io->dy, p);
    const double *gamma = norm_ref_member(io->gamma, p), *beta = norm_ref_member(io->beta, p);
    const double *residual = norm_ref_member(io->residual, p);
    const double *mean = norm_ref_member(io->mean, p), *rstd = norm_ref_member(io->rstd, p);
    double *dx = norm_ref_member(io->dx, p), *dresidual = norm_ref_member(io->dresidual, p);
    for (int64_t k = 0; k < r->g.statistics; k++) a[k] = b[k] = 0.0;
    for (int64_t c = 0; c < r->g.C; c++) dgamma[c] = dbeta[c] = 0.0;
    for (int pass = 0; pass < 2; pass++) NORM_REF_EACH(r)
        {
            const double xhat = (x[at] - norm_ref_or(mean, k, 0.0)) * rstd[k];
            const double scale = norm_ref_or(gamma, c, 1.0);
            double slope = 1.0;
            if (r->f.kind != DLF_LINEAR)
                slope = dlf_activation_derivative(r->f, scale * xhat + norm_ref_or(beta, c, 0.0) +
                                                            norm_ref_or(residual, at, 0.0));
            const double dz = dy[at] * slope, g = dz * scale;
            if (pass == 0) {
                a[k] += g / (double)r->g.count;
                b[k] += g * xhat / (double)r->g.count;
                dgamma[c] += dz * xhat;
                dbeta[c] += dz;
                continue;
            }
            if (dresidual) dresidual[at] = dz; /* before dx, which may be dy */
            dx[at] = rstd[k] * (g - (r->rms ? 0.0 : a[k]) - xhat * b[k]);
        }
}

static inline dlf_status norm_ref_backward(const dlf_norm_bwd *io, const dlf_norm *norm)
{
    const norm_ref r = norm_ref_of(io->x, norm);
    double *a = malloc(2 * (size_t)(r.g.statistics + r.g.C) * sizeof *a);
    if (!a) return dlf_fail(DLF_ERR_OOM, "norm_backward on ref: no memory for the sums");
    double *b = a + r.g.statistics, *dgamma = b + r.g.statistics, *dbeta = dgamma + r.g.C;
    for (int64_t p = 0; p < r.g.P; p++) {
        norm_ref_backward_member(&r, io, p, a, b, dgamma, dbeta);
        double *out[] = {norm_ref_member(io->dgamma, p), norm_ref_member(io->dbeta, p)};
        const double *sum[] = {dgamma, dbeta};
        for (int i = 0; i < 2; i++)
            for (int64_t c = 0; out[i] && c < r.g.C; c++)
                out[i][c] = sum[i][c] + (io->accumulate != 0.0 ? io->accumulate * out[i][c] : 0.0);
    }
    free(a);
    return DLF_OK;
}
#endif
