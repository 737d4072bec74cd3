/* SPDX-License-Identifier: MIT
 * norm_layer.c -- one linear layer with a normalization behind it. */
#include "norm_layer.h"

#include <math.h>

static const struct {
    const char *id;
    dlf_text name;
} methods[NORM_METHODS] = {
    [DLF_BATCH_NORM] = {"batch_norm", {"批归一化 BN", "batch norm BN"}},
    [DLF_LAYER_NORM] = {"layer_norm", {"层归一化 LN", "layer norm LN"}},
    [DLF_INSTANCE_NORM] = {"instance_norm", {"实例归一化 IN", "instance norm IN"}},
    [DLF_GROUP_NORM] = {"group_norm", {"组归一化 GN", "group norm GN"}},
    [DLF_RMS_NORM] = {"rms_norm", {"均方根归一化 RMS", "RMS norm"}},
    [NORM_NONE] = {"none", {"对照：无", "control: none"}},
    [NORM_WEIGHT] = {"weight_norm", {"权重归一化 WN", "weight norm WN"}},
};

const char *norm_method_id(int method)
{
    return methods[method].id;
}

dlf_text norm_method_name(int method)
{
    return methods[method].name;
}

void norm_draw(double *out, int64_t n, uint64_t seed, enum dlf_purpose what, uint32_t layer,
               uint32_t member)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = dlf_rng_normal(seed, dlf_stream(what, layer), member, (uint64_t)i);
}

static dlf_status statistics(norm_layer *l, dlf_device *device)
{
    dlf_norm_geometry e;
    const int64_t P = l->P;
    DLF_TRY(dlf_norm_geometry_of(&e, &l->z, l->norm));
    const bool batch = l->norm.kind == DLF_BATCH_NORM;
    const bool three = l->norm.kind == DLF_INSTANCE_NORM || l->norm.kind == DLF_GROUP_NORM;
    const int64_t shape[] = {P, batch ? e.C : e.N, e.groups};
    if (l->norm.kind != DLF_RMS_NORM)
        DLF_TRY(dlf_tensor_init(&l->mean, device, DLF_F64, three ? 3 : 2, shape));
    return dlf_tensor_init(&l->rstd, device, device->real, three ? 3 : 2, shape);
}

static dlf_status allocate(norm_layer *l, dlf_device *device)
{
    const dlf_dtype real = device->real;
    DLF_TRY(dlf_tensor_new(&l->a, device, real, l->P, l->N, l->S, l->K));
    DLF_TRY(dlf_tensor_new(&l->w, device, real, l->P, l->C, l->K));
    DLF_TRY(dlf_tensor_new(&l->dw, device, real, l->P, l->C, l->K));
    dlf_tensor *const like_z[] = {&l->z, &l->y, &l->dy, &l->dz};
    for (int i = 0; i < 4; i++)
        DLF_TRY(dlf_tensor_new(like_z[i], device, real, l->P, l->N, l->S, l->C));
    if (l->method < DLF_NORM_COUNT) return statistics(l, device);
    if (l->method != NORM_WEIGHT) return DLF_OK;
    return dlf_tensor_new(&l->unit, device, real, l->P, l->C, l->K);
}

dlf_status norm_layer_new(norm_layer *out, dlf_device *device, int method, int64_t groups,
                          double eps, int64_t P, int64_t N, int64_t S, int64_t K, int64_t C)
{
    *out = (norm_layer){
        .method = method,
        .norm = {.kind = method < DLF_NORM_COUNT ? (dlf_norm_kind)method : DLF_RMS_NORM,
                 .layout = DLF_NHWC,
                 .groups = groups,
                 .eps = eps},
        .P = P,
        .N = N,
        .S = S,
        .K = K,
        .C = C};
    const dlf_status status = allocate(out, device);
    if (status != DLF_OK) norm_layer_free(out);
    return status;
}

void norm_layer_free(norm_layer *l)
{
    dlf_tensor *const all[] = {&l->a,    &l->w,    &l->unit, &l->z,  &l->y,
                               &l->mean, &l->rstd, &l->dy,   &l->dz, &l->dw};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) dlf_tensor_free(all[i]);
    *l = (norm_layer){.P = 0};
}

/* (P,N,S,n) as the matrix (P,NS,n). */
static dlf_tensor rows_of(const norm_layer *l, const dlf_tensor *t)
{
    const int64_t shape[] = {l->P, l->N * l->S, t->shape[3]};
    return dlf_tensor_reshape(t, 3, shape);
}

dlf_status norm_layer_product(norm_layer *l)
{
    dlf_tensor z = rows_of(l, &l->z);
    const dlf_tensor a = rows_of(l, &l->a), *w = &l->w;
    double alpha = 1.0;
    if (l->method == NORM_WEIGHT) {
        const dlf_norm_fwd io = {.y = &l->unit, .x = w};
        /* Row by row: the C rows of a member are C samples of one RMS norm over K. */
        const dlf_norm rms = {.kind = DLF_RMS_NORM, .layout = DLF_NHWC};
        DLF_TRY(dlf_norm_forward(&io, &rms));
        w = &l->unit;
        alpha = 1.0 / sqrt((double)l->K);
    }
    return dlf_gemm(&z, &a, w, (dlf_gemm_args){.trans_b = true, .alpha = alpha});
}

dlf_status norm_layer_normalise(norm_layer *l)
{
    if (l->method >= DLF_NORM_COUNT) return dlf_tensor_copy(&l->y, &l->z);
    const dlf_norm_fwd io = {
        .y = &l->y, .mean = l->mean.data ? &l->mean : NULL, .rstd = &l->rstd, .x = &l->z};
    return dlf_norm_forward(&io, &l->norm);
}

dlf_status norm_layer_backward(norm_layer *l)
{
    if (l->method < DLF_NORM_COUNT) {
        const dlf_norm_bwd io = {.dx = &l->dz,
                                 .dy = &l->dy,
                                 .x = &l->z,
                                 .mean = l->mean.data ? &l->mean : NULL,
                                 .rstd = &l->rstd};
        DLF_TRY(dlf_norm_backward(&io, &l->norm));
    } else {
        DLF_TRY(dlf_tensor_copy(&l->dz, &l->dy));
    }
    const dlf_tensor dz = rows_of(l, &l->dz), a = rows_of(l, &l->a);
    return dlf_gemm(&l->dw, &dz, &a, (dlf_gemm_args){.trans_a = true, .alpha = 1.0});
}
