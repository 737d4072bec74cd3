/* SPDX-License-Identifier: MIT
 * conv1x1_ref.c -- the definition: every output by itself, in double. */
#include <math.h>
#include <stdlib.h>

#include "dlf/backend.h"

#define KERNEL(family, op, args) dlf_status dlf_##op##_ref args;
#include "dlf/kernels.def"
#undef KERNEL

/* An image of either layout, of member p. */
typedef struct image {
    double *v;
    int64_t channels, H, W;
    bool nhwc;
} image;

static image image_of(const dlf_tensor *t, int64_t p, const dlf_conv1x1 *conv, bool is_x,
                      const dlf_conv1x1_geometry *g)
{
    return (image){.v = (double *)t->data + (t->shape[0] == 1 ? 0 : p * t->stride),
                   .channels = is_x ? g->C : g->K,
                   .H = is_x ? g->H : g->OH,
                   .W = is_x ? g->W : g->OW,
                   .nhwc = conv->layout == DLF_NHWC};
}

static double *at(const image *a, int64_t n, int64_t channel, int64_t h, int64_t w)
{
    if (a->nhwc) return a->v + ((n * a->H + h) * a->W + w) * a->channels + channel;
    return a->v + ((n * a->channels + channel) * a->H + h) * a->W + w;
}

/* Row p, column i of a matrix that may be shared; NULL: `otherwise`. */
static double parameter(const dlf_tensor *t, int64_t p, int64_t i, double otherwise)
{
    return t ? ((const double *)t->data)[(t->shape[0] == 1 ? 0 : p * t->stride) + i] : otherwise;
}

#define EACH_POSITION(g)                                                                           \
    for (int64_t n = 0; n < (g).N; n++)                                                            \
        for (int64_t i = 0; i < (g).OH; i++)                                                       \
            for (int64_t j = 0; j < (g).OW; j++)

static dlf_conv1x1_geometry geometry(const dlf_tensor *x, const dlf_tensor *y, dlf_conv1x1 conv)
{
    dlf_conv1x1_geometry g;
    if (dlf_conv1x1_geometry_of(&g, x, NULL, conv) != DLF_OK) abort(); /* the caller has checked */
    g.K = y->shape[conv.layout == DLF_NCHW ? 2 : y->ndim - 1];
    g.P = y->shape[0];
    return g;
}

static void statistics(const dlf_conv1x1_fwd *io, const dlf_conv1x1_geometry *g, const image *y,
                       int64_t p)
{
    for (int64_t k = 0; k < g->K; k++) {
        double mean = 0.0, rest = 0.0, var = 0.0;
        EACH_POSITION(*g) mean += *at(y, n, k, i, j) / (double)g->M;
        EACH_POSITION(*g) rest += (*at(y, n, k, i, j) - mean) / (double)g->M;
        mean += rest; /* the second pass corrects the first */
        EACH_POSITION(*g) var += pow(*at(y, n, k, i, j) - mean, 2.0) / (double)g->M;
        ((double *)io->mean->data)[p * io->mean->stride + k] = mean;
        ((double *)io->var->data)[p * io->var->stride + k] = var;
    }
}

/* Packed weights are w itself. */
dlf_status dlf_conv1x1_packed_form_ref(dlf_dtype *dtype, int64_t *rows, const dlf_tensor *w,
                                       dlf_layout layout)
{
    (void)layout;
    *dtype = w->dtype;
    *rows = w->shape[1];
    return DLF_OK;
}

dlf_status dlf_conv1x1_pack_ref(dlf_tensor *packed, const dlf_tensor *w, dlf_layout layout)
{
    (void)layout;
    return dlf_tensor_copy(packed, w);
}

dlf_status dlf_conv1x1_forward_ref(const dlf_conv1x1_fwd *io, const dlf_conv1x1 *conv)
{
    const dlf_conv1x1_geometry g = geometry(io->x, io->y, *conv);
    for (int64_t p = 0; p < g.P; p++) {
        const image x = image_of(io->x, p, conv, true, &g);
        const image y = image_of(io->y, p, conv, false, &g);
        EACH_POSITION(g)
        for (int64_t k = 0; k < g.K; k++) {
            double z = parameter(io->bias, p, k, 0.0);
            for (int64_t c = 0; c < g.C; c++) {
                const double v = *at(&x, n, c, i * g.stride[0], j * g.stride[1]);
                const double u = dlf_activation_value(conv->input_activation,
                                                      parameter(io->scale, p, c, 1.0) * v +
                                                          parameter(io->shift, p, c, 0.0));
                z += parameter(io->w, p, k * g.C + c, 0.0) * u;
            }
            if (io->residual) {
                const image residual = image_of(io->residual, p, conv, false, &g);
                z += *at(&residual, n, k, i, j);
            }
            *at(&y, n, k, i, j) = dlf_activation_value(conv->activation, z);
        }
        if (io->mean) statistics(io, &g, &y, p);
    }
    return DLF_OK;
}

/* old + accumulate, where 0 does not read what was there. */
static double plus(double accumulate, double old)
{
    return accumulate == 0.0 ? 0.0 : accumulate * old;
}

dlf_status dlf_conv1x1_backward_data_ref(const dlf_conv1x1_bwd *io, const dlf_conv1x1 *conv)
{
    const dlf_conv1x1_geometry g = geometry(io->dx, io->dz, *conv);
    for (int64_t p = 0; p < g.P; p++) {
        const image dx = image_of(io->dx, p, conv, true, &g);
        const image dz = image_of(io->dz, p, conv, false, &g);
        const int64_t own = dlf_tensor_member_count(io->dx);
        double *all = (double *)io->dx->data + p * io->dx->stride;
        for (int64_t e = 0; e < own; e++) all[e] = plus(io->accumulate_dx, all[e]);
        EACH_POSITION(g)
        for (int64_t c = 0; c < g.C; c++) {
            double sum = 0.0;
            for (int64_t k = 0; k < g.K; k++)
                sum += parameter(io->w, p, k * g.C + c, 0.0) * *at(&dz, n, k, i, j);
            *at(&dx, n, c, i * g.stride[0], j * g.stride[1]) += sum;
        }
    }
    return DLF_OK;
}

dlf_status dlf_conv1x1_backward_weight_ref(const dlf_conv1x1_bwd *io, const dlf_conv1x1 *conv)
{
    const dlf_tensor *out = io->dw ? io->dw : io->dbias;
    dlf_conv1x1_geometry g = geometry(io->x ? io->x : io->dz, io->dz, *conv);
    g.P = out->shape[0];
    if (!io->x) g.C = 0; /* dbias alone, whatever the strides: M is dz's */
    if (!io->x) g.OH = g.H, g.OW = g.W;
    for (int64_t p = 0; p < g.P; p++) {
        const image dz = image_of(io->dz, p, conv, false, &g);
        for (int64_t k = 0; k < g.K; k++) {
            double dbias = 0.0;
            EACH_POSITION(g) dbias += *at(&dz, n, k, i, j);
            if (io->dbias) {
                double *to = (double *)io->dbias->data + p * io->dbias->stride + k;
                *to = dbias + plus(io->accumulate, *to);
            }
            for (int64_t c = 0; io->dw && c < g.C; c++) {
                const image x = image_of(io->x, p, conv, true, &g);
                double sum = 0.0;
                EACH_POSITION(g)
                {
                    const double v = *at(&x, n, c, i * g.stride[0], j * g.stride[1]);
                    const double u = dlf_activation_value(conv->input_activation,
                                                          parameter(io->scale, p, c, 1.0) * v +
                                                              parameter(io->shift, p, c, 0.0));
                    sum += *at(&dz, n, k, i, j) * u;
                }
                double *to = (double *)io->dw->data + p * io->dw->stride + k * g.C + c;
                *to = sum + plus(io->accumulate, *to);
            }
        }
    }
    return DLF_OK;
}

dlf_status dlf_conv1x1_fold_ref(dlf_tensor *scale, dlf_tensor *shift, const dlf_tensor *mean,
                                const dlf_tensor *var, const dlf_tensor *gamma,
                                const dlf_tensor *beta, double eps)
{
    for (int64_t p = 0; p < scale->shape[0]; p++)
        for (int64_t c = 0; c < scale->shape[1]; c++) {
            const double s = parameter(gamma, p, c, 1.0) / sqrt(parameter(var, p, c, 0.0) + eps);
            ((double *)scale->data)[p * scale->stride + c] = s;
            ((double *)shift->data)[p * shift->stride + c] =
                parameter(beta, p, c, 0.0) - parameter(mean, p, c, 0.0) * s;
        }
    return DLF_OK;
}
