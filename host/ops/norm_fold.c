/* SPDX-License-Identifier: MIT
 * norm_fold.c -- batch norm of evaluation, folded into the weights of the layer below it. */
#include <math.h>
#include <stdlib.h>

#include "dlf/norm.h"

static dlf_status refuse(const char *name, const dlf_tensor *t, const dlf_tensor *w)
{
    char a[128], b[128];
    return dlf_fail(DLF_ERR_SHAPE, "norm_fold: %s is %s, which does not fit w %s", name,
                    dlf_tensor_describe(t, a, sizeof a), dlf_tensor_describe(w, b, sizeof b));
}

/* (P,C), floating, where it is there. */
static dlf_status check_vector(const char *name, const dlf_tensor *t, const dlf_tensor *w)
{
    if (!t) return DLF_OK;
    if (t->ndim != 2 || t->shape[0] != w->shape[0] || t->shape[1] != w->shape[1] ||
        t->dtype == DLF_I32)
        return refuse(name, t, w);
    return DLF_OK;
}

static dlf_status check(const dlf_tensor *folded_w, const dlf_tensor *folded_b, const dlf_tensor *w,
                        const dlf_tensor *b, const dlf_norm_fwd *io, const dlf_norm *norm)
{
    if (norm->kind != DLF_BATCH_NORM)
        return dlf_fail(DLF_ERR_ARG,
                        "norm_fold: %s takes its statistics from every sample; only batch_norm has "
                        "fixed ones to fold",
                        dlf_norm_name(norm->kind));
    if (!io->running_mean || !io->running_var)
        return dlf_fail(DLF_ERR_ARG, "norm_fold: running_mean and running_var are needed");
    if (!(norm->eps >= 0.0))
        return dlf_fail(DLF_ERR_ARG, "norm_fold: eps is %g, but must be >= 0", norm->eps);
    if (w->ndim < 3 || w->dtype == DLF_I32) return refuse("w", w, w);
    if (!dlf_tensor_same_shape(folded_w, w) || folded_w->dtype == DLF_I32)
        return refuse("folded_w", folded_w, w);
    DLF_TRY(check_vector("folded_b", folded_b, w));
    DLF_TRY(check_vector("b", b, w));
    DLF_TRY(check_vector("running_mean", io->running_mean, w));
    DLF_TRY(check_vector("running_var", io->running_var, w));
    DLF_TRY(check_vector("gamma", io->gamma, w));
    return check_vector("beta", io->beta, w);
}

/* The values of t (P,C), or `missing` in all places. */
static dlf_status fetch(double *out, const dlf_tensor *t, double missing, int64_t n)
{
    if (t) return dlf_tensor_download_f64(out, t);
    for (int64_t i = 0; i < n; i++) out[i] = missing;
    return DLF_OK;
}

dlf_status dlf_norm_fold(dlf_tensor *folded_w, dlf_tensor *folded_b, const dlf_tensor *w,
                         const dlf_tensor *b, const dlf_norm_fwd *io, const dlf_norm *norm)
{
    DLF_TRY(check(folded_w, folded_b, w, b, io, norm));
    const int64_t n = w->shape[0] * w->shape[1], each = dlf_tensor_count(w) / n;
    double *memory = malloc((size_t)(n * (each + 5)) * sizeof *memory);
    if (!memory) return dlf_fail(DLF_ERR_OOM, "norm_fold: out of memory");
    double *mean = memory, *var = mean + n, *gamma = var + n, *beta = gamma + n, *bias = beta + n;
    double *weight = bias + n;
    dlf_status status;
    DLF_TRY_DONE(fetch(mean, io->running_mean, 0.0, n));
    DLF_TRY_DONE(fetch(var, io->running_var, 1.0, n));
    DLF_TRY_DONE(fetch(gamma, io->gamma, 1.0, n));
    DLF_TRY_DONE(fetch(beta, io->beta, 0.0, n));
    DLF_TRY_DONE(fetch(bias, b, 0.0, n));
    DLF_TRY_DONE(dlf_tensor_download_f64(weight, w));
    for (int64_t i = 0; i < n; i++) {
        const double k = gamma[i] / sqrt(var[i] + norm->eps);
        for (int64_t j = 0; j < each; j++) weight[i * each + j] *= k;
        bias[i] = k * (bias[i] - mean[i]) + beta[i];
    }
    DLF_TRY_DONE(dlf_tensor_upload_f64(folded_w, weight));
    DLF_TRY_DONE(dlf_tensor_upload_f64(folded_b, bias));
done:
    free(memory);
    return status;
}
