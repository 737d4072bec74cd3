/* SPDX-License-Identifier: MIT
 * fake_cudnn_norm.c -- normalizations of the stand-in for cuDNN: the formulas on plain loops, and
 * batch norm's functions of the older interface. */
#include <math.h>

#include "fake_cudnn.h"

/* ---- formulas ------------------------------------------------------------------------------- */

static long at(const fake_view *v, const long i[4])
{
    long sum = 0;
    for (int k = 0; k < 4; k++) sum += v->size[k] > 1 ? i[k] * v->stride[k] : 0;
    return sum;
}

static double get(const fake_view *v, const long i[4])
{
    return fake_load(v->data, v->type, at(v, i));
}

static void put(const fake_view *v, const long i[4], double x)
{
    fake_store(v->data, v->type, at(v, i), x);
}

#define EACH(v, i)                                                                                 \
    for (long i[4] = {0}; i[0] < (v).size[0]; i[0]++)                                              \
        for (i[1] = 0; i[1] < (v).size[1]; i[1]++)                                                 \
            for (i[2] = 0; i[2] < (v).size[2]; i[2]++)                                             \
                for (i[3] = 0; i[3] < (v).size[3]; i[3]++)

static long count(const fake_view *v)
{
    return v->size[0] * v->size[1] * v->size[2] * v->size[3];
}

/* A view of doubles, dense, like v. */
typedef struct sums {
    long stride0;
    bool axis[2];
    double *value;
} sums;

static sums sums_like(const fake_view *v)
{
    return (sums){
        v->size[1], {v->size[0] > 1, v->size[1] > 1}, calloc((size_t)count(v), sizeof(double))};
}

static double *of(const sums *s, const long i[4])
{
    return &s->value[(s->axis[0] ? i[0] * s->stride0 : 0) + (s->axis[1] ? i[1] : 0)];
}

bool fake_norm_forward(const fake_norm *n)
{
    const double m = (double)count(&n->x) / (double)count(&n->rstd);
    const bool rms = !n->mean.data;
    sums mean = sums_like(&n->rstd), square = sums_like(&n->rstd);
    if (!mean.value || !square.value) return false;
    if (!rms) EACH(n->x, i) * of(&mean, i) += get(&n->x, i) / m;
    EACH(n->x, i) * of(&square, i) += pow(get(&n->x, i) - *of(&mean, i), 2.0) / m;
    EACH(n->rstd, i) put(&n->rstd, i, 1.0 / sqrt(*of(&square, i) + n->epsilon));
    if (!rms) EACH(n->mean, i) put(&n->mean, i, *of(&mean, i));
    EACH(n->x, i)
    put(&n->y, i,
        (get(&n->x, i) - *of(&mean, i)) / sqrt(*of(&square, i) + n->epsilon) * get(&n->scale, i) +
            get(&n->bias, i));
    if (fake_is_told("wrong")) fake_store(n->y.data, n->y.type, count(&n->y) / 2, 1e3);
    free(mean.value);
    free(square.value);
    return true;
}

static double xhat(const fake_norm *n, const long i[4])
{
    return (get(&n->x, i) - (n->mean.data ? get(&n->mean, i) : 0.0)) * get(&n->rstd, i);
}

bool fake_norm_backward(const fake_norm *n)
{
    const double m = (double)count(&n->x) / (double)count(&n->rstd);
    sums dscale = sums_like(&n->scale), dbias = sums_like(&n->scale);
    sums first = sums_like(&n->rstd), second = sums_like(&n->rstd);
    if (!dscale.value || !dbias.value || !first.value || !second.value) return false;
    EACH(n->x, i)
    {
        const double dy = get(&n->dy, i), g = get(&n->scale, i) * dy;
        *of(&dscale, i) += dy * xhat(n, i);
        *of(&dbias, i) += dy;
        if (n->mean.data) *of(&first, i) += g / m;
        *of(&second, i) += g * xhat(n, i) / m;
    }
    EACH(n->x, i)
    put(&n->dx, i,
        get(&n->rstd, i) *
            (get(&n->scale, i) * get(&n->dy, i) - *of(&first, i) - xhat(n, i) * *of(&second, i)));
    EACH(n->scale, i) put(&n->dscale, i, *of(&dscale, i));
    EACH(n->scale, i) put(&n->dbias, i, *of(&dbias, i));
    if (fake_is_told("wrong")) fake_store(n->dx.data, n->dx.type, count(&n->dx) / 2, 1e3);
    free(dscale.value);
    free(dbias.value);
    free(first.value);
    free(second.value);
    return true;
}

/* ---- batch norm, older interface ------------------------------------------------------------ */

enum { SPATIAL = 1, PERSISTENT = 2 };

static fake_view view(const descriptor *d, const void *data)
{
    const long C = d->c, H = d->h, W = d->w;
    fake_view v = {.size = {d->n, C, H, W}, .type = d->type};
    const long nchw[] = {C * H * W, H * W, W, 1}, nhwc[] = {C * H * W, 1, W * C, C};
    memcpy(v.stride, d->format ? nhwc : nchw, sizeof nchw);
    memcpy(&v.data, &data, sizeof data);
    return v;
}

static bool good(const void *handle, int mode, const descriptor *x, const descriptor *row)
{
    return fake_is_handle(handle) && (mode == SPATIAL || mode == PERSISTENT) && x && x->set &&
           row && row->set && row->type == FAKE_FLOAT && row->n * row->h * row->w == 1 &&
           row->c == x->c && !fake_is_told("none");
}

int cudnnBatchNormalizationForwardInference(void *handle, int mode, const float *alpha,
                                            const float *beta, descriptor *xd, const void *x,
                                            descriptor *yd, void *y, descriptor *row,
                                            const void *scale, const void *bias, const void *mean,
                                            const void *var, double epsilon)
{
    if (!good(handle, mode, xd, row) || *alpha != 1.0f || *beta != 0.0f || xd != yd)
        return BAD_PARAM;
    const fake_view vx = view(xd, x), vy = view(yd, y), g = view(row, scale), b = view(row, bias),
                    m = view(row, mean), s = view(row, var);
    simt_memory_open();
    EACH(vx, i)
    put(&vy, i, (get(&vx, i) - get(&m, i)) / sqrt(get(&s, i) + epsilon) * get(&g, i) + get(&b, i));
    simt_memory_close();
    return SUCCESS;
}

int cudnnBatchNormalizationForwardTraining(void *handle, int mode, const float *alpha,
                                           const float *beta, descriptor *xd, const void *x,
                                           descriptor *yd, void *y, descriptor *row,
                                           const void *scale, const void *bias, double factor,
                                           void *running_mean, void *running_var, double epsilon,
                                           void *mean, void *rstd)
{
    if (!good(handle, mode, xd, row) || *alpha != 1.0f || *beta != 0.0f || xd != yd ||
        factor != 0.1 || !running_mean || !running_var)
        return BAD_PARAM;
    const fake_norm n = {.x = view(xd, x),
                         .y = view(yd, y),
                         .scale = view(row, scale),
                         .bias = view(row, bias),
                         .mean = view(row, mean),
                         .rstd = view(row, rstd),
                         .epsilon = epsilon};
    simt_memory_open();
    const bool ok = fake_norm_forward(&n);
    simt_memory_close();
    return ok ? SUCCESS : BAD_PARAM;
}

int cudnnBatchNormalizationBackward(void *handle, int mode, const float *alpha, const float *beta,
                                    const float *palpha, const float *pbeta, descriptor *xd,
                                    const void *x, descriptor *dyd, const void *dy, descriptor *dxd,
                                    void *dx, descriptor *row, const void *scale, void *dscale,
                                    void *dbias, double epsilon, const void *mean, const void *rstd)
{
    if (!good(handle, mode, xd, row) || *alpha != 1.0f || *beta != 0.0f || *palpha != 1.0f ||
        *pbeta != 0.0f || xd != dyd || xd != dxd || !(epsilon > 0.0))
        return BAD_PARAM;
    const fake_norm n = {.x = view(xd, x),
                         .dy = view(xd, dy),
                         .dx = view(xd, dx),
                         .scale = view(row, scale),
                         .mean = view(row, mean),
                         .rstd = view(row, rstd),
                         .dscale = view(row, dscale),
                         .dbias = view(row, dbias)};
    simt_memory_open();
    const bool ok = fake_norm_backward(&n);
    simt_memory_close();
    return ok ? SUCCESS : BAD_PARAM;
}

/* The extended functions: sizes are asked for, and the space must be as large as was answered. */
int cudnnGetBatchNormalizationForwardTrainingExWorkspaceSize(void *handle, int mode, int ops,
                                                             descriptor *x, descriptor *z,
                                                             descriptor *y, descriptor *row,
                                                             descriptor *activation, size_t *bytes)
{
    *bytes = WORKSPACE;
    return good(handle, mode, x, row) && ops == 0 && !z && !activation && y == x ? SUCCESS
                                                                                 : BAD_PARAM;
}

int cudnnGetBatchNormalizationBackwardExWorkspaceSize(void *handle, int mode, int ops,
                                                      descriptor *x, descriptor *y, descriptor *dy,
                                                      descriptor *dz, descriptor *dx,
                                                      descriptor *row, descriptor *activation,
                                                      size_t *bytes)
{
    *bytes = WORKSPACE;
    return good(handle, mode, x, row) && ops == 0 && !y && dy == x && !dz && dx == x && !activation
               ? SUCCESS
               : BAD_PARAM;
}

int cudnnGetBatchNormalizationTrainingExReserveSpaceSize(void *handle, int mode, int ops,
                                                         descriptor *activation, descriptor *x,
                                                         size_t *bytes)
{
    *bytes = 2 * WORKSPACE;
    return fake_is_handle(handle) && ops == 0 && !activation && x->set ? SUCCESS : BAD_PARAM;
}

static bool space(float *workspace, size_t bytes, float *reserve, size_t reserve_bytes)
{
    if (!workspace || bytes != WORKSPACE || !reserve || reserve_bytes != 2 * WORKSPACE)
        return false;
    simt_memory_open();
    workspace[0] = workspace[WORKSPACE / 4 - 1] = reserve[0] = reserve[WORKSPACE / 2 - 1] = 1.0f;
    simt_memory_close();
    return true;
}

int cudnnBatchNormalizationForwardTrainingEx(void *handle, int mode, int ops, const float *alpha,
                                             const float *beta, descriptor *xd, const void *x,
                                             descriptor *zd, const void *z, descriptor *yd, void *y,
                                             descriptor *row, const void *scale, const void *bias,
                                             double factor, void *running_mean, void *running_var,
                                             double epsilon, void *mean, void *rstd,
                                             descriptor *activation, void *workspace, size_t bytes,
                                             void *reserve, size_t reserve_bytes)
{
    if (ops != 0 || zd || z || activation || !space(workspace, bytes, reserve, reserve_bytes))
        return BAD_PARAM;
    return cudnnBatchNormalizationForwardTraining(handle, mode, alpha, beta, xd, x, yd, y, row,
                                                  scale, bias, factor, running_mean, running_var,
                                                  epsilon, mean, rstd);
}

int cudnnBatchNormalizationBackwardEx(void *handle, int mode, int ops, const float *alpha,
                                      const float *beta, const float *palpha, const float *pbeta,
                                      descriptor *xd, const void *x, descriptor *yd, const void *y,
                                      descriptor *dyd, const void *dy, descriptor *dzd, void *dz,
                                      descriptor *dxd, void *dx, descriptor *row, const void *scale,
                                      const void *bias, void *dscale, void *dbias, double epsilon,
                                      const void *mean, const void *rstd, descriptor *activation,
                                      void *workspace, size_t bytes, void *reserve,
                                      size_t reserve_bytes)
{
    if (ops != 0 || yd || y || dzd || dz || bias || activation ||
        !space(workspace, bytes, reserve, reserve_bytes))
        return BAD_PARAM;
    return cudnnBatchNormalizationBackward(handle, mode, alpha, beta, palpha, pbeta, xd, x, dyd, dy,
                                           dxd, dx, row, scale, dscale, dbias, epsilon, mean, rstd);
}
