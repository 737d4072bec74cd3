/* SPDX-License-Identifier: MIT
 * norm.c -- geometry and checks of the normalizations; the kernels are in three families. */
#include "dlf/norm.h"

#include <math.h>

#include "ops/check.h"

static const struct kind {
    const char *name;
    bool over_samples;
    dlf_norm_channels over_channels;
} kinds[] = {
#define X(name, text, over_samples, over_channels)                                                 \
    [DLF_##name] = {text, over_samples, over_channels},
    DLF_NORM_MAP(X)
#undef X
};

const char *dlf_norm_name(dlf_norm_kind kind)
{
    return (unsigned)kind < DLF_NORM_COUNT ? kinds[kind].name : "?";
}

bool dlf_norm_over_samples(dlf_norm_kind kind)
{
    return (unsigned)kind < DLF_NORM_COUNT && kinds[kind].over_samples;
}

dlf_norm_channels dlf_norm_over_channels(dlf_norm_kind kind)
{
    return (unsigned)kind < DLF_NORM_COUNT ? kinds[kind].over_channels : DLF_ONE_CHANNEL;
}

static int64_t groups_of(dlf_norm norm, int64_t C)
{
    switch (kinds[norm.kind].over_channels) {
    case DLF_ONE_CHANNEL: return C;
    case DLF_A_GROUP: return norm.groups;
    case DLF_ALL_CHANNELS: return 1;
    }
    return 0;
}

dlf_status dlf_norm_geometry_of(dlf_norm_geometry *out, const dlf_tensor *x, dlf_norm norm)
{
    const char *name = dlf_norm_name(norm.kind);
    char text[128];
    if ((unsigned)norm.kind >= DLF_NORM_COUNT)
        return dlf_fail(DLF_ERR_ARG, "there is no normalization number %d", (int)norm.kind);
    if (norm.layout != DLF_NCHW && norm.layout != DLF_NHWC)
        return dlf_fail(DLF_ERR_ARG, "%s: there is no layout number %d", name, (int)norm.layout);
    if (x->ndim < 3)
        return dlf_fail(DLF_ERR_SHAPE, "%s: x must have at least 3 axes (P,N,C), but is %s", name,
                        dlf_tensor_describe(x, text, sizeof text));
    const int channel_axis = norm.layout == DLF_NCHW ? 2 : x->ndim - 1;
    dlf_norm_geometry g = {.P = x->shape[0], .N = x->shape[1], .C = x->shape[channel_axis], .S = 1};
    for (int i = 2; i < x->ndim; i++)
        if (i != channel_axis) g.S *= x->shape[i];
    g.groups = groups_of(norm, g.C);
    if (g.groups < 1 || g.C % g.groups)
        return dlf_fail(DLF_ERR_SHAPE, "%s: %lld groups do not divide %lld channels (x %s)", name,
                        (long long)g.groups, (long long)g.C,
                        dlf_tensor_describe(x, text, sizeof text));
    g.width = g.C / g.groups;
    const bool over_samples = kinds[norm.kind].over_samples;
    g.count = g.S * g.width * (over_samples ? g.N : 1);
    g.statistics = g.groups * (over_samples ? 1 : g.N);
    *out = g;
    return DLF_OK;
}

/* mean, rstd: (P,C), (P,N), (P,N,C) or (P,N,G), and both or neither (rms_norm: rstd alone). */
static dlf_status check_statistics(const dlf_call *call, const dlf_norm_geometry *g, dlf_norm norm,
                                   const dlf_tensor *mean, const dlf_tensor *rstd, bool required)
{
    const bool over_samples = kinds[norm.kind].over_samples, rms = norm.kind == DLF_RMS_NORM;
    const int64_t shape[] = {g->P, over_samples ? g->groups : g->N, g->groups};
    const int ndim = over_samples || dlf_norm_over_channels(norm.kind) == DLF_ALL_CHANNELS ? 2 : 3;
    if (rms && mean) return dlf_call_refuse(call, "rms_norm has no mean");
    if (required && !rstd) return dlf_call_refuse(call, "rstd is missing");
    if (!rms && !mean != !rstd)
        return dlf_call_refuse(call, "mean and rstd must be given together");
    DLF_TRY(dlf_call_shape(call, "mean", mean, ndim, shape));
    return dlf_call_shape(call, "rstd", rstd, ndim, shape);
}

static dlf_status check_parameters(const dlf_call *call, const dlf_norm_geometry *g, dlf_norm norm,
                                   const dlf_tensor *gamma, const dlf_tensor *beta)
{
    DLF_TRY(dlf_call_shape_is(call, "gamma", gamma, g->P, g->C));
    DLF_TRY(dlf_call_shape_is(call, "beta", beta, g->P, g->C));
    if (!(norm.eps >= 0.0))
        return dlf_fail(DLF_ERR_ARG, "%s: eps is %g; it must not be negative", call->op, norm.eps);
    if ((unsigned)norm.activation.kind >= DLF_ACTIVATION_COUNT)
        return dlf_fail(DLF_ERR_ARG, "%s: there is no activation number %d", call->op,
                        (int)norm.activation.kind);
    return DLF_OK;
}

static dlf_status check_running(const dlf_call *call, const dlf_norm_geometry *g, dlf_norm norm,
                                const dlf_norm_fwd *io, bool training)
{
    if (!io->running_mean && !io->running_var && (training || norm.kind != DLF_BATCH_NORM))
        return DLF_OK;
    if (norm.kind != DLF_BATCH_NORM)
        return dlf_call_refuse(call, "only batch_norm has running statistics");
    if (!io->running_mean || !io->running_var)
        return dlf_call_refuse(call, "running_mean and running_var must be given together");
    DLF_TRY(dlf_call_shape_is(call, "running_mean", io->running_mean, g->P, g->C));
    DLF_TRY(dlf_call_shape_is(call, "running_var", io->running_var, g->P, g->C));
    if (!training) return DLF_OK;
    if (g->count == 1)
        return dlf_call_refuse(call, "one value per channel has no unbiased variance: running "
                                     "statistics need N S > 1");
    if (!(norm.momentum >= 0.0 && norm.momentum <= 1.0))
        return dlf_fail(DLF_ERR_ARG, "%s: momentum is %g; it must lie in 0..1", call->op,
                        norm.momentum);
    return DLF_OK;
}

#define FORWARD_OPERANDS(training)                                                                 \
    DLF_OPERAND("y", io->y, DLF_STORAGE, true, "x"),                                               \
        DLF_OPERAND("mean", io->mean, DLF_REAL64, true, NULL),                                     \
        DLF_OPERAND("rstd", io->rstd, DLF_REAL, true, NULL),                                       \
        DLF_OPERAND("running_mean", io->running_mean, DLF_REAL, training, NULL),                   \
        DLF_OPERAND("running_var", io->running_var, DLF_REAL, training, NULL),                     \
        DLF_OPERAND("x", io->x, DLF_STORAGE, false, NULL),                                         \
        DLF_OPERAND("gamma", io->gamma, DLF_REAL, false, NULL),                                    \
        DLF_OPERAND("beta", io->beta, DLF_REAL, false, NULL),                                      \
        DLF_OPERAND("residual", io->residual, DLF_STORAGE, false, NULL)

static dlf_status check_forward(const dlf_call *call, const dlf_norm_fwd *io, dlf_norm norm,
                                bool training)
{
    dlf_norm_geometry g;
    DLF_TRY(dlf_norm_geometry_of(&g, io->x, norm));
    DLF_TRY(dlf_call_shape(call, "y", io->y, io->x->ndim, io->x->shape));
    DLF_TRY(dlf_call_shape(call, "residual", io->residual, io->x->ndim, io->x->shape));
    DLF_TRY(check_statistics(call, &g, norm, io->mean, io->rstd, false));
    DLF_TRY(check_parameters(call, &g, norm, io->gamma, io->beta));
    return check_running(call, &g, norm, io, training);
}

static dlf_status missing(const char *op, const char *name)
{
    return dlf_fail(DLF_ERR_ARG, "%s: %s is missing", op, name);
}

dlf_status dlf_norm_forward(const dlf_norm_fwd *io, const dlf_norm *norm)
{
    if (!io->y || !io->x) return missing("norm_forward", io->x ? "y" : "x");
    DLF_CALL("norm_forward", FORWARD_OPERANDS(true));
    DLF_TRY(check_forward(&call, io, *norm, true));
    switch (norm->kind) {
    case DLF_BATCH_NORM: DLF_RUN(batch_norm_forward, io->y->device, io, norm);
    case DLF_LAYER_NORM:
    case DLF_RMS_NORM: DLF_RUN(layer_norm_forward, io->y->device, io, norm);
    default: DLF_RUN(group_norm_forward, io->y->device, io, norm);
    }
}

dlf_status dlf_norm_infer(const dlf_norm_fwd *io, const dlf_norm *norm)
{
    if (norm->kind != DLF_BATCH_NORM) return dlf_norm_forward(io, norm);
    if (!io->y || !io->x) return missing("norm_infer", io->x ? "y" : "x");
    DLF_CALL("norm_infer", FORWARD_OPERANDS(false));
    DLF_TRY(check_forward(&call, io, *norm, false));
    if (io->mean || io->rstd) return dlf_call_refuse(&call, "mean and rstd must be NULL");
    DLF_RUN(batch_norm_infer, io->y->device, io, norm);
}

dlf_status dlf_norm_backward(const dlf_norm_bwd *io, const dlf_norm *norm)
{
    if (!io->dx || !io->dy || !io->x)
        return missing("norm_backward", !io->dx ? "dx" : !io->dy ? "dy" : "x");
    DLF_CALL("norm_backward", DLF_OPERAND("dx", io->dx, DLF_STORAGE, true, "dy"),
             DLF_OPERAND("dresidual", io->dresidual, DLF_STORAGE, true, "dy"),
             DLF_OPERAND("dgamma", io->dgamma, DLF_REAL, true, NULL),
             DLF_OPERAND("dbeta", io->dbeta, DLF_REAL, true, NULL),
             DLF_OPERAND("dy", io->dy, DLF_STORAGE, false, NULL),
             DLF_OPERAND("x", io->x, DLF_STORAGE, false, NULL),
             DLF_OPERAND("mean", io->mean, DLF_REAL64, false, NULL),
             DLF_OPERAND("rstd", io->rstd, DLF_REAL, false, NULL),
             DLF_OPERAND("gamma", io->gamma, DLF_REAL, false, NULL),
             DLF_OPERAND("beta", io->beta, DLF_REAL, false, NULL),
             DLF_OPERAND("residual", io->residual, DLF_STORAGE, false, NULL));
    dlf_norm_geometry g;
    const dlf_tensor *x = io->x;
    DLF_TRY(dlf_norm_geometry_of(&g, x, *norm));
    DLF_TRY(dlf_call_shape(&call, "dx", io->dx, x->ndim, x->shape));
    DLF_TRY(dlf_call_shape(&call, "dresidual", io->dresidual, x->ndim, x->shape));
    DLF_TRY(dlf_call_shape(&call, "dy", io->dy, x->ndim, x->shape));
    DLF_TRY(dlf_call_shape(&call, "residual", io->residual, x->ndim, x->shape));
    DLF_TRY(dlf_call_shape_is(&call, "dgamma", io->dgamma, g.P, g.C));
    DLF_TRY(dlf_call_shape_is(&call, "dbeta", io->dbeta, g.P, g.C));
    DLF_TRY(check_statistics(&call, &g, *norm, io->mean, io->rstd, true));
    DLF_TRY(check_parameters(&call, &g, *norm, io->gamma, io->beta));
    switch (norm->kind) {
    case DLF_BATCH_NORM: DLF_RUN(batch_norm_backward, io->dx->device, io, norm);
    case DLF_LAYER_NORM:
    case DLF_RMS_NORM: DLF_RUN(layer_norm_backward, io->dx->device, io, norm);
    default: DLF_RUN(group_norm_backward, io->dx->device, io, norm);
    }
}
