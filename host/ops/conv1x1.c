/* SPDX-License-Identifier: MIT
 * conv1x1.c -- geometry and checks of the 1x1 convolution. */
#include "dlf/conv1x1.h"

#include <string.h>

#include "ops/check.h"

dlf_status dlf_conv1x1_geometry_of(dlf_conv1x1_geometry *out, const dlf_tensor *x,
                                   const dlf_tensor *w, dlf_conv1x1 conv)
{
    char text[128];
    if (conv.layout != DLF_NCHW && conv.layout != DLF_NHWC)
        return dlf_fail(DLF_ERR_ARG, "conv1x1: there is no layout number %d", (int)conv.layout);
    if (conv.stride[0] < 0 || conv.stride[1] < 0)
        return dlf_fail(DLF_ERR_ARG, "conv1x1: stride %lldx%lld must not be negative",
                        (long long)conv.stride[0], (long long)conv.stride[1]);
    if (x->ndim != 3 && x->ndim != 5)
        return dlf_fail(DLF_ERR_SHAPE, "conv1x1: x must have 3 axes (P,N,C) or 5, but is %s",
                        dlf_tensor_describe(x, text, sizeof text));
    const bool nhwc = conv.layout == DLF_NHWC, matrix = x->ndim == 3;
    dlf_conv1x1_geometry g = {
        .P = x->shape[0],
        .N = x->shape[1],
        .C = x->shape[matrix || !nhwc ? 2 : 4],
        .H = matrix ? 1 : x->shape[nhwc ? 2 : 3],
        .W = matrix ? 1 : x->shape[nhwc ? 3 : 4],
        .stride = {conv.stride[0] ? conv.stride[0] : 1, conv.stride[1] ? conv.stride[1] : 1},
    };
    g.OH = (g.H - 1) / g.stride[0] + 1;
    g.OW = (g.W - 1) / g.stride[1] + 1;
    g.M = g.N * g.OH * g.OW;
    if (w) {
        if (w->ndim != 3 || w->shape[2] != g.C)
            return dlf_fail(DLF_ERR_SHAPE, "conv1x1: w must be (P,K,%lld), but is %s",
                            (long long)g.C, dlf_tensor_describe(w, text, sizeof text));
        g.K = w->shape[1];
    }
    *out = g;
    return DLF_OK;
}

/* The shape of y. */
static int y_shape(int64_t shape[5], const dlf_conv1x1_geometry *g, const dlf_tensor *x,
                   dlf_layout layout)
{
    const int64_t matrix[] = {g->P, g->N, g->K}, nchw[] = {g->P, g->N, g->K, g->OH, g->OW},
                  nhwc[] = {g->P, g->N, g->OH, g->OW, g->K};
    if (x->ndim == 3)
        memcpy(shape, matrix, sizeof matrix);
    else
        memcpy(shape, layout == DLF_NCHW ? nchw : nhwc, sizeof nchw);
    return x->ndim;
}

/* An input of this shape, or of one member. */
static dlf_status input(const dlf_call *call, const char *name, const dlf_tensor *t, int ndim,
                        const int64_t *shape)
{
    int64_t shared[DLF_MAX_DIMS];
    memcpy(shared, shape, (size_t)ndim * sizeof *shape);
    if (t && t->shape[0] == 1) shared[0] = 1;
    return dlf_call_shape(call, name, t, ndim, shared);
}
#define INPUT(name, t, ...)                                                                        \
    input(&call, name, (t), (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)),             \
          (const int64_t[]){__VA_ARGS__})

static dlf_status check_options(const dlf_conv1x1 *conv)
{
    const dlf_activation_kind kinds[] = {conv->activation.kind, conv->input_activation.kind};
    for (int i = 0; i < 2; i++)
        if ((unsigned)kinds[i] >= DLF_ACTIVATION_COUNT)
            return dlf_fail(DLF_ERR_ARG, "conv1x1: there is no activation number %d",
                            (int)kinds[i]);
    return DLF_OK;
}

static dlf_status missing(const char *op, const char *name)
{
    return dlf_fail(DLF_ERR_ARG, "%s: %s is missing", op, name);
}

/* ---- packed weights ---- */

/* Memory for them, in the form that the device's kernels want. */
static dlf_status new_packed(dlf_conv1x1_packed *packed, const dlf_tensor *w, dlf_layout layout)
{
    int64_t shape[] = {w->shape[0], 0, w->shape[2]};
    dlf_dtype dtype;
    DLF_TRY(w->device->ops->conv1x1_packed_form(&dtype, &shape[1], w, layout));
    DLF_TRY(dlf_tensor_init(&packed->t, w->device, dtype, 3, shape));
    packed->K = w->shape[1];
    packed->layout = layout;
    packed->dtype = w->dtype;
    return DLF_OK;
}

static bool packed_like(const dlf_conv1x1_packed *packed, const dlf_tensor *w, dlf_layout layout)
{
    const dlf_tensor *t = &packed->t;
    return t->device == w->device && packed->dtype == w->dtype && packed->layout == layout &&
           t->shape[0] == w->shape[0] && packed->K == w->shape[1] && t->shape[2] == w->shape[2];
}

dlf_status dlf_conv1x1_pack(dlf_conv1x1_packed *packed, const dlf_tensor *w, dlf_layout layout)
{
    DLF_CALL("conv1x1_pack", DLF_OPERAND("w", w, DLF_STORAGE, false, NULL));
    if (layout != DLF_NCHW && layout != DLF_NHWC)
        return dlf_fail(DLF_ERR_ARG, "conv1x1_pack: there is no layout number %d", (int)layout);
    DLF_TRY(dlf_call_axes(&call, "w", w, 3));
    if (!packed->t.data) DLF_TRY(new_packed(packed, w, layout));
    if (!packed_like(packed, w, layout))
        return dlf_call_refuse(&call,
                               "packed was filled from a w (%lld,%lld,%lld) %s on %s for %s; free "
                               "it first",
                               (long long)packed->t.shape[0], (long long)packed->K,
                               (long long)packed->t.shape[2], dlf_dtype_name(packed->dtype),
                               packed->t.device->info.backend,
                               packed->layout == DLF_NHWC ? "NHWC" : "NCHW");
    DLF_RUN(conv1x1_pack, w->device, &packed->t, w, layout);
}

void dlf_conv1x1_packed_free(dlf_conv1x1_packed *packed)
{
    if (!packed) return;
    dlf_tensor_free(&packed->t);
    *packed = (dlf_conv1x1_packed){.K = 0};
}

/* Do they fit x (P,..) and this layout? */
static dlf_status check_packed(const dlf_call *call, const dlf_conv1x1_packed *packed,
                               const dlf_conv1x1_geometry *g, dlf_dtype dtype, dlf_layout layout)
{
    const dlf_tensor *t = &packed->t;
    if (packed->layout != layout)
        return dlf_call_refuse(call, "packed is for %s",
                               packed->layout == DLF_NHWC ? "NHWC" : "NCHW");
    if (packed->dtype != dtype)
        return dlf_call_refuse(call, "packed is of a w in %s", dlf_dtype_name(packed->dtype));
    if (t->shape[2] != g->C || (t->shape[0] != 1 && t->shape[0] != g->P))
        return dlf_call_refuse(call,
                               "packed is of a w (%lld,%lld,%lld), which must be (%lld,K,%lld)",
                               (long long)t->shape[0], (long long)packed->K, (long long)t->shape[2],
                               (long long)g->P, (long long)g->C);
    return DLF_OK;
}

/* ---- forward ---- */

static dlf_status run_forward(const dlf_conv1x1_fwd *io, const dlf_conv1x1 *conv)
{
    dlf_conv1x1_fwd with = *io;
    if (io->packed) with.w = &io->packed->t;
    DLF_RUN(conv1x1_forward, io->y->device, &with, conv);
}

dlf_status dlf_conv1x1_forward(const dlf_conv1x1_fwd *io, const dlf_conv1x1 *conv)
{
    const dlf_tensor *packed = io->packed ? &io->packed->t : NULL;
    if (!io->y || !io->x || (!io->w && !packed))
        return missing("conv1x1_forward", !io->y ? "y" : !io->x ? "x" : "w");
    if (io->w && packed)
        return dlf_fail(DLF_ERR_ARG, "conv1x1_forward: w and packed: only one can be given");
    const bool as_w = !packed || packed->dtype == io->packed->dtype; /* else as real as on cpu */
    DLF_CALL("conv1x1_forward", DLF_OPERAND("y", io->y, DLF_STORAGE, true, "residual"),
             DLF_OPERAND("mean", io->mean, DLF_REAL64, true, NULL),
             DLF_OPERAND("var", io->var, DLF_REAL64, true, NULL),
             DLF_OPERAND("x", io->x, DLF_STORAGE, false, NULL),
             DLF_OPERAND("w", io->w, DLF_STORAGE, false, NULL),
             DLF_OPERAND("bias", io->bias, DLF_REAL, false, NULL),
             DLF_OPERAND("residual", io->residual, DLF_STORAGE, false, NULL),
             DLF_OPERAND("scale", io->scale, DLF_REAL, false, NULL),
             DLF_OPERAND("shift", io->shift, DLF_REAL, false, NULL),
             DLF_OPERAND("packed", packed, as_w ? DLF_STORAGE : DLF_REAL, false, NULL));
    dlf_conv1x1_geometry g;
    DLF_TRY(check_options(conv));
    DLF_TRY(dlf_conv1x1_geometry_of(&g, io->x, io->w, *conv));
    g.P = io->y->shape[0];
    if (packed) {
        DLF_TRY(check_packed(&call, io->packed, &g, io->x->dtype, conv->layout));
        g.K = io->packed->K;
    }
    int64_t shape[5];
    const int ndim = y_shape(shape, &g, io->x, conv->layout);
    DLF_TRY(dlf_call_shape(&call, "y", io->y, ndim, shape));
    DLF_TRY(input(&call, "residual", io->residual, ndim, shape));
    if (io->x->shape[0] != 1 && io->x->shape[0] != g.P)
        return dlf_call_refuse(&call, "x must have %lld members, or one for all", (long long)g.P);
    DLF_TRY(INPUT("w", io->w, g.P, g.K, g.C));
    DLF_TRY(INPUT("bias", io->bias, g.P, g.K));
    DLF_TRY(INPUT("scale", io->scale, g.P, g.C));
    DLF_TRY(INPUT("shift", io->shift, g.P, g.C));
    if (!io->mean != !io->var) return dlf_call_refuse(&call, "mean and var must be given together");
    DLF_TRY(dlf_call_shape_is(&call, "mean", io->mean, g.P, g.K));
    DLF_TRY(dlf_call_shape_is(&call, "var", io->var, g.P, g.K));
    return run_forward(io, conv);
}

/* dbias alone: x is not needed, and K and the positions are those of dz. */
static dlf_status backward_geometry(dlf_conv1x1_geometry *g, const dlf_conv1x1_bwd *io,
                                    const dlf_conv1x1 *conv)
{
    const dlf_tensor *x = io->dx ? io->dx : io->x ? io->x : io->dz;
    dlf_conv1x1 without = *conv;
    if (x == io->dz) without.stride[0] = without.stride[1] = 1;
    DLF_TRY(dlf_conv1x1_geometry_of(g, x, NULL, without));
    const bool nhwc = conv->layout == DLF_NHWC;
    g->P = (io->dx ? io->dx : io->dw ? io->dw : io->dbias)->shape[0];
    g->K = io->dz->shape[io->dz->ndim == 3 || !nhwc ? 2 : io->dz->ndim - 1];
    return DLF_OK;
}

static dlf_status run_data(const dlf_conv1x1_bwd *io, const dlf_conv1x1 *conv)
{
    DLF_RUN(conv1x1_backward_data, io->dz->device, io, conv);
}

static dlf_status run_weight(const dlf_conv1x1_bwd *io, const dlf_conv1x1 *conv)
{
    DLF_RUN(conv1x1_backward_weight, io->dz->device, io, conv);
}

dlf_status dlf_conv1x1_backward(const dlf_conv1x1_bwd *io, const dlf_conv1x1 *conv)
{
    if (!io->dz) return missing("conv1x1_backward", "dz");
    if (!io->dx && !io->dw && !io->dbias) return missing("conv1x1_backward", "dx, dw or dbias");
    if (io->dx && !io->w) return missing("conv1x1_backward", "w, which dx needs,");
    if (io->dw && !io->x) return missing("conv1x1_backward", "x, which dw needs,");
    DLF_CALL("conv1x1_backward", DLF_OPERAND("dz", io->dz, DLF_STORAGE, false, NULL),
             DLF_OPERAND("dx", io->dx, DLF_STORAGE, true, NULL),
             DLF_OPERAND("dw", io->dw, DLF_REAL, true, NULL),
             DLF_OPERAND("dbias", io->dbias, DLF_REAL, true, NULL),
             DLF_OPERAND("x", io->x, DLF_STORAGE, false, NULL),
             DLF_OPERAND("w", io->w, DLF_STORAGE, false, NULL),
             DLF_OPERAND("scale", io->scale, DLF_REAL, false, NULL),
             DLF_OPERAND("shift", io->shift, DLF_REAL, false, NULL));
    dlf_conv1x1_geometry g;
    DLF_TRY(check_options(conv));
    if (io->dz->ndim != 3 && io->dz->ndim != 5)
        return dlf_call_refuse(&call, "dz must have 3 or 5 axes");
    DLF_TRY(backward_geometry(&g, io, conv));
    int64_t shape[5];
    const dlf_tensor *x = io->dx ? io->dx : io->x ? io->x : io->dz;
    const int ndim = y_shape(shape, &g, x, conv->layout);
    DLF_TRY(input(&call, "dz", io->dz, ndim, shape));
    if (io->dx && io->x) {
        int64_t like_dx[DLF_MAX_DIMS];
        memcpy(like_dx, io->dx->shape, sizeof like_dx);
        DLF_TRY(input(&call, "x", io->x, io->dx->ndim, like_dx));
    } else if (io->x && io->x->shape[0] != 1 && io->x->shape[0] != g.P) {
        return dlf_call_refuse(&call, "x must have %lld members, or one for all", (long long)g.P);
    }
    DLF_TRY(INPUT("w", io->w, g.P, g.K, g.C));
    DLF_TRY(dlf_call_shape_is(&call, "dw", io->dw, g.P, g.K, g.C));
    DLF_TRY(dlf_call_shape_is(&call, "dbias", io->dbias, g.P, g.K));
    DLF_TRY(INPUT("scale", io->scale, g.P, g.C));
    DLF_TRY(INPUT("shift", io->shift, g.P, g.C));
    if (io->dx) DLF_TRY(run_data(io, conv));
    return io->dw || io->dbias ? run_weight(io, conv) : DLF_OK;
}

dlf_status dlf_conv1x1_fold(dlf_tensor *scale, dlf_tensor *shift, const dlf_tensor *mean,
                            const dlf_tensor *var, const dlf_tensor *gamma, const dlf_tensor *beta,
                            double eps)
{
    DLF_CALL("conv1x1_fold", DLF_OUT(scale), DLF_OUT(shift),
             DLF_OPERAND("mean", mean, DLF_REAL64, false, NULL),
             DLF_OPERAND("var", var, DLF_REAL64, false, NULL), DLF_IN(gamma), DLF_IN(beta));
    DLF_TRY(dlf_call_axes(&call, "scale", scale, 2));
    const int64_t *shape = scale->shape;
    DLF_TRY(dlf_call_shape(&call, "shift", shift, 2, shape));
    DLF_TRY(dlf_call_shape(&call, "mean", mean, 2, shape));
    DLF_TRY(dlf_call_shape(&call, "var", var, 2, shape));
    DLF_TRY(input(&call, "gamma", gamma, 2, shape));
    DLF_TRY(input(&call, "beta", beta, 2, shape));
    if (!(eps >= 0.0))
        return dlf_fail(DLF_ERR_ARG, "conv1x1_fold: eps is %g; it must not be negative", eps);
    DLF_RUN(conv1x1_fold, scale->device, scale, shift, mean, var, gamma, beta, eps);
}
