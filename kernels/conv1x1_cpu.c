/* SPDX-License-Identifier: MIT
 * conv1x1_cpu.c -- 1x1 convolution on the CPU: what the kernels of the family do with the product
 * of cpu_conv1x1_product.h and the sums of cpu_conv1x1_weight.h. */
#include "cpu_conv1x1_weight.h"

/* mean and var of each channel from its tiles, in their order. */
static void merge(const job *j, const dlf_conv1x1_fwd *io)
{
    for (int64_t p = 0; p < j->P; p++)
        for (int64_t k = 0; k < j->columns; k++) {
            const c1_stat *s = j->part + p * j->tiles * j->columns + k;
            double mean = 0.0, m2 = 0.0;
            for (int64_t t = 0; t < j->tiles; t++)
                mean += s[t * j->columns].n * s[t * j->columns].mean;
            mean /= (double)j->M;
            for (int64_t t = 0; t < j->tiles; t++) {
                const c1_stat part = s[t * j->columns];
                m2 += part.m2 + part.n * (part.mean - mean) * (part.mean - mean);
            }
            ((double *)io->mean->data)[p * io->mean->stride + k] = mean;
            ((double *)io->var->data)[p * io->var->stride + k] = m2 / (double)j->M;
        }
}

static dlf_conv1x1_geometry geometry_of(const dlf_tensor *x, const dlf_tensor *y,
                                        const dlf_conv1x1 *conv)
{
    dlf_conv1x1_geometry g = {0};
    if (dlf_conv1x1_geometry_of(&g, x, NULL, *conv) != DLF_OK) abort(); /* has been checked */
    g.K = y->shape[conv->layout == DLF_NCHW ? 2 : y->ndim - 1];
    return g;
}

/* Of w (P,K,C), as far as its panels go. */
static job weights_job(const dlf_tensor *w, dlf_layout layout)
{
    job j = {.columns = w->shape[1], .depth = w->shape[2], .nhwc = layout == DLF_NHWC};
    cut_blocks(&j);
    return j;
}

dlf_status DLF_CPU(conv1x1_packed_form)(dlf_dtype *dtype, int64_t *rows, const dlf_tensor *w,
                                        dlf_layout layout)
{
    const job j = weights_job(w, layout);
    *dtype = DLF_F32;
    *rows = panels_size(&j) / j.depth;
    return DLF_OK;
}

dlf_status DLF_CPU(conv1x1_pack)(dlf_tensor *packed, const dlf_tensor *w, dlf_layout layout)
{
    const job j = weights_job(w, layout);
    const int threads = dlf_cpu_threads(w, (double)dlf_tensor_count(w));
    return pack_members(packed->data, packed->stride, &j, w, true, j.depth, threads);
}

dlf_status DLF_CPU(conv1x1_forward)(const dlf_conv1x1_fwd *io, const dlf_conv1x1 *conv)
{
    if (conv->version > 1)
        return dlf_fail(DLF_ERR_NO_KERNEL, "conv1x1_forward on cpu has version 1 only");
    const dlf_conv1x1_geometry g = geometry_of(io->x, io->y, conv);
    const bool nhwc = conv->layout == DLF_NHWC;
    job j = {.in = c1_input_of(io->x, &g, nhwc, true, io->scale, io->shift, conv->input_activation),
             .out = {.t = io->y,
                     .residual = io->residual,
                     .bias = io->bias,
                     .at = c1_positions_of(&g, nhwc, false),
                     .f = conv->activation},
             .P = io->y->shape[0],
             .M = g.M,
             .columns = g.K,
             .depth = g.C,
             .nhwc = nhwc};
    j.packed = io->packed != NULL;
    j.out.finished = !io->residual && !io->bias && conv->activation.kind == DLF_LINEAR;
    if (!io->mean) return product(&j, io->w, true, g.C);
    cut(&j);
    j.part = malloc((size_t)(j.P * j.tiles * j.columns) * sizeof *j.part);
    if (!j.part) return dlf_fail(DLF_ERR_OOM, "conv1x1_forward: no memory for statistics");
    const dlf_status status = product(&j, io->w, true, g.C);
    if (status == DLF_OK) merge(&j, io);
    free(j.part);
    return status;
}

/* data[at ..] = keep data[at ..] for n elements `step` apart. */
static void keep_some(const dlf_tensor *t, int64_t at, int64_t n, int64_t step, float keep)
{
    for (int64_t i = 0; i < n; i++) {
        float v = 0.0f;
        if (keep != 0.0f) v = keep * *dlf_cpu_load(&v, t->data, t->dtype, at + i * step, 1);
        dlf_cpu_store(t->data, t->dtype, at + i * step, &v, 1);
    }
}

/* Positions of dx that the stride skips: keep dx. What has nothing to keep becomes 0 as a whole,
 * the positions in between too, which will be written. */
static void skipped(const dlf_tensor *dx, const dlf_conv1x1_geometry *g, bool nhwc, double keep)
{
    const int threads = dlf_cpu_threads(dx, (double)dlf_tensor_count(dx));
    const int64_t pixel = nhwc ? g->C : 1, row = g->W * pixel, sw = g->stride[1];
    const int64_t rows = dlf_tensor_member_count(dx) / row;
    const size_t size = dlf_dtype_size(dx->dtype);
#pragma omp parallel for collapse(2) schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t p = 0; p < dx->shape[0]; p++)
        for (int64_t r = 0; r < rows; r++) {
            const int64_t at = p * dx->stride + r * row;
            if (keep == 0.0) {
                memset((char *)dx->data + (size_t)at * size, 0, (size_t)row * size);
                continue;
            }
            if (r % g->H % g->stride[0] != 0) {
                keep_some(dx, at, row, 1, (float)keep);
                continue;
            }
            for (int64_t w = 1; w < sw; w++) /* column w of every sw */
                for (int64_t c = 0; c < pixel; c++)
                    keep_some(dx, at + w * pixel + c, (g->W - w + sw - 1) / sw, sw * pixel,
                              (float)keep);
        }
}

dlf_status DLF_CPU(conv1x1_backward_data)(const dlf_conv1x1_bwd *io, const dlf_conv1x1 *conv)
{
    if (conv->version > 1)
        return dlf_fail(DLF_ERR_NO_KERNEL, "conv1x1_backward on cpu has version 1 only");
    const dlf_conv1x1_geometry g = geometry_of(io->dx, io->dz, conv);
    const bool nhwc = conv->layout == DLF_NHWC;
    const dlf_activation none = {DLF_LINEAR, 0.0};
    job j = {.in = c1_input_of(io->dz, &g, nhwc, false, NULL, NULL, none),
             .out = {.t = io->dx,
                     .at = c1_positions_of(&g, nhwc, true),
                     .f = none,
                     .keep = (float)io->accumulate_dx,
                     .finished = true},
             .P = io->dx->shape[0],
             .M = g.M,
             .columns = g.C,
             .depth = g.K,
             .nhwc = nhwc};
    if (g.stride[0] * g.stride[1] > 1) skipped(io->dx, &g, nhwc, io->accumulate_dx);
    return product(&j, io->w, false, g.C);
}

/* ---- gradients of weights and bias ---- */

dlf_status DLF_CPU(conv1x1_backward_weight)(const dlf_conv1x1_bwd *io, const dlf_conv1x1 *conv)
{
    if (conv->version > 1)
        return dlf_fail(DLF_ERR_NO_KERNEL, "conv1x1_backward on cpu has version 1 only");
    dlf_conv1x1 dense = *conv;
    if (!io->x) dense.stride[0] = dense.stride[1] = 1; /* dbias alone: positions are dz's */
    const dlf_conv1x1_geometry g = geometry_of(io->x ? io->x : io->dz, io->dz, &dense);
    if (io->dbias) bias_gradient(io, &g, conv->layout == DLF_NHWC);
    return io->dw ? weight_gradient(io, conv, &g) : DLF_OK;
}

/* ---- batch norm as scale and shift ---- */

dlf_status DLF_CPU(conv1x1_fold)(dlf_tensor *scale, dlf_tensor *shift, const dlf_tensor *mean,
                                 const dlf_tensor *var, const dlf_tensor *gamma,
                                 const dlf_tensor *beta, double eps)
{
    for (int64_t p = 0; p < scale->shape[0]; p++) {
        const float *g = c1_parameter(gamma, p), *b = c1_parameter(beta, p);
        const double *mu = (const double *)mean->data + p * mean->stride;
        const double *v = (const double *)var->data + p * var->stride;
        for (int64_t c = 0; c < scale->shape[1]; c++) {
            const double s = (g ? (double)g[c] : 1.0) / sqrt(v[c] + eps);
            ((float *)scale->data)[p * scale->stride + c] = (float)s;
            ((float *)shift->data)[p * shift->stride + c] =
                (float)((b ? (double)b[c] : 0.0) - mu[c] * s);
        }
    }
    return DLF_OK;
}
