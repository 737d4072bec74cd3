/* SPDX-License-Identifier: MIT
 * peer_cudnn_batch.c -- batch norm by cuDNN's older interface: two modes, each through the plain
 * functions and through the extended ones, which have the faster kernels for NHWC. */
#include <stdlib.h>

#include "backend/cuda_library.h"
#include "bench/peer_cudnn.h"
#include "bench/subject_norm.h"

enum { SPATIAL = 1, SPATIAL_PERSISTENT = 2, BATCH_NORM_ONLY = 0 };

struct cudnn_batch {
    const peer_cudnn *d;
    void *x, *row; /* descriptors of data and of what there is one of per channel */
    int way;
    bench_workspace workspace, reserve;
    int (*infer)(void *handle, int mode, const float *alpha, const float *beta, void *x_descriptor,
                 const void *x, void *y_descriptor, void *y, void *row, const void *scale,
                 const void *bias, const void *mean, const void *var, double epsilon);
    int (*forward)(void *handle, int mode, const float *alpha, const float *beta,
                   void *x_descriptor, const void *x, void *y_descriptor, void *y, void *row,
                   const void *scale, const void *bias, double factor, void *running_mean,
                   void *running_var, double epsilon, void *mean, void *rstd);
    int (*forward_ex)(void *handle, int mode, int ops, const float *alpha, const float *beta,
                      void *x_descriptor, const void *x, void *z_descriptor, const void *z,
                      void *y_descriptor, void *y, void *row, const void *scale, const void *bias,
                      double factor, void *running_mean, void *running_var, double epsilon,
                      void *mean, void *rstd, void *activation, void *workspace,
                      size_t workspace_bytes, void *reserve, size_t reserve_bytes);
    int (*backward)(void *handle, int mode, const float *alpha, const float *beta,
                    const float *parameter_alpha, const float *parameter_beta, void *x_descriptor,
                    const void *x, void *dy_descriptor, const void *dy, void *dx_descriptor,
                    void *dx, void *row, const void *scale, void *dscale, void *dbias,
                    double epsilon, const void *mean, const void *rstd);
    int (*backward_ex)(void *handle, int mode, int ops, const float *alpha, const float *beta,
                       const float *parameter_alpha, const float *parameter_beta,
                       void *x_descriptor, const void *x, void *y_descriptor, const void *y,
                       void *dy_descriptor, const void *dy, void *dz_descriptor, void *dz,
                       void *dx_descriptor, void *dx, void *row, const void *scale,
                       const void *bias, void *dscale, void *dbias, double epsilon,
                       const void *mean, const void *rstd, void *activation, void *workspace,
                       size_t workspace_bytes, void *reserve, size_t reserve_bytes);
    int (*forward_workspace)(void *handle, int mode, int ops, void *x, void *z, void *y, void *row,
                             void *activation, size_t *bytes);
    int (*backward_workspace)(void *handle, int mode, int ops, void *x, void *y, void *dy, void *dz,
                              void *dx, void *row, void *activation, size_t *bytes);
    int (*reserve_space)(void *handle, int mode, int ops, void *activation, void *x, size_t *bytes);
};

static bool load(cudnn_batch *b)
{
    const dlf_cuda_wanted wanted[] = {
        {&b->infer, "cudnnBatchNormalizationForwardInference"},
        {&b->forward, "cudnnBatchNormalizationForwardTraining"},
        {&b->forward_ex, "cudnnBatchNormalizationForwardTrainingEx"},
        {&b->backward, "cudnnBatchNormalizationBackward"},
        {&b->backward_ex, "cudnnBatchNormalizationBackwardEx"},
        {&b->forward_workspace, "cudnnGetBatchNormalizationForwardTrainingExWorkspaceSize"},
        {&b->backward_workspace, "cudnnGetBatchNormalizationBackwardExWorkspaceSize"},
        {&b->reserve_space, "cudnnGetBatchNormalizationTrainingExReserveSpaceSize"},
    };
    return dlf_cuda_symbols(b->d->lib.library, wanted, sizeof wanted / sizeof *wanted);
}

void cudnn_batch_free(cudnn_batch *b)
{
    if (!b) return;
    if (b->x) b->d->lib.destroy_tensor(b->x);
    if (b->row) b->d->lib.destroy_tensor(b->row);
    bench_workspace_free(&b->workspace);
    bench_workspace_free(&b->reserve);
    free(b);
}

dlf_status cudnn_batch_new(cudnn_batch **out, const peer_cudnn *d, bench_subject *s)
{
    const dlf_bench_case *c = &s->c;
    const bool image = c->ndim == 4;
    const int64_t all[] = {c->shape[0], c->shape[1], image ? c->shape[2] : 1,
                           image ? c->shape[3] : 1};
    const int format = image ? peer_cudnn_format(c) : CUDNN_NCHW;
    const dlf_cudnn *lib = &d->lib;
    int n[4];
    *out = NULL;
    DLF_TRY(peer_cudnn_sizes(all, 4, n));
    cudnn_batch *b = calloc(1, sizeof *b);
    if (!b) return dlf_fail(DLF_ERR_OOM, "dlf bench: no memory for a plan");
    b->d = d;
    const bool ok =
        load(b) && lib->create_tensor(&b->x) == 0 && lib->create_tensor(&b->row) == 0 &&
        lib->set_tensor(b->x, format, peer_cudnn_type(c->dtype), n[0], n[1], n[2], n[3]) == 0 &&
        lib->set_tensor(b->row, format, CUDNN_FLOAT, 1, n[1], 1, 1) == 0;
    if (!ok) {
        cudnn_batch_free(b);
        return dlf_fail(DLF_ERR_NO_KERNEL, "this cuDNN has no batch norm of the older interface");
    }
    *out = b;
    return DLF_OK;
}

static int mode_of(int way)
{
    return way % 2 ? SPATIAL_PERSISTENT : SPATIAL;
}

static bool is_extended(int way)
{
    return way >= 2;
}

const char *cudnn_batch_name(int way)
{
    static const char *const names[CUDNN_BATCH_WAYS] = {
        "spatial", "spatial persistent", "spatial, extended", "spatial persistent, extended"};
    return names[way];
}

dlf_status cudnn_batch_choose(cudnn_batch *b, bench_subject *s, int way)
{
    size_t bytes = 0, reserve = 0;
    void *handle = b->d->lib.handle;
    const int mode = mode_of(way);
    b->way = way;
    bench_workspace_free(&b->workspace);
    bench_workspace_free(&b->reserve);
    if (!is_extended(way)) return DLF_OK;
    if (norm_infers(&s->c)) return dlf_fail(DLF_ERR_NO_KERNEL, "no extended evaluation mode");
    DLF_TRY(peer_cudnn_status(norm_goes_back(&s->c)
                                  ? b->backward_workspace(handle, mode, BATCH_NORM_ONLY, b->x, NULL,
                                                          b->x, NULL, b->x, b->row, NULL, &bytes)
                                  : b->forward_workspace(handle, mode, BATCH_NORM_ONLY, b->x, NULL,
                                                         b->x, b->row, NULL, &bytes),
                              "the workspace of batch norm"));
    DLF_TRY(peer_cudnn_status(b->reserve_space(handle, mode, BATCH_NORM_ONLY, NULL, b->x, &reserve),
                              "the reserve space of batch norm"));
    if (bytes + reserve > bench_workspace_most)
        return dlf_fail(DLF_ERR_NO_KERNEL, "batch norm wants %zu bytes", bytes + reserve);
    DLF_TRY(bench_workspace_new(&b->workspace, s->device, bytes));
    return bench_workspace_new(&b->reserve, s->device, reserve);
}

dlf_status cudnn_batch_call(cudnn_batch *b, bench_subject *s)
{
    const dlf_norm *norm = &s->norm;
    void *handle = b->d->lib.handle;
    const float one = 1.0f, zero = 0.0f;
    const int mode = mode_of(b->way);
    dlf_tensor *t = s->t;
    if (norm_infers(&s->c))
        return peer_cudnn_status(b->infer(handle, mode, &one, &zero, b->x, t[NORM_X].data, b->x,
                                          t[NORM_Y].data, b->row, t[NORM_GAMMA].data,
                                          t[NORM_BETA].data, t[NORM_RUNNING_MEAN].data,
                                          t[NORM_RUNNING_VAR].data, norm->eps),
                                 "batch norm, evaluation mode");
    if (norm_goes_back(&s->c))
        return peer_cudnn_status(
            is_extended(b->way)
                ? b->backward_ex(handle, mode, BATCH_NORM_ONLY, &one, &zero, &one, &zero, b->x,
                                 t[NORM_X].data, NULL, NULL, b->x, t[NORM_DY].data, NULL, NULL,
                                 b->x, t[NORM_DX].data, b->row, t[NORM_GAMMA].data, NULL,
                                 t[NORM_DGAMMA].data, t[NORM_DBETA].data, norm->eps,
                                 t[NORM_MEAN].data, t[NORM_RSTD].data, NULL, b->workspace.memory,
                                 b->workspace.bytes, b->reserve.memory, b->reserve.bytes)
                : b->backward(handle, mode, &one, &zero, &one, &zero, b->x, t[NORM_X].data, b->x,
                              t[NORM_DY].data, b->x, t[NORM_DX].data, b->row, t[NORM_GAMMA].data,
                              t[NORM_DGAMMA].data, t[NORM_DBETA].data, norm->eps, t[NORM_MEAN].data,
                              t[NORM_RSTD].data),
            "batch norm, backward");
    return peer_cudnn_status(
        is_extended(b->way)
            ? b->forward_ex(handle, mode, BATCH_NORM_ONLY, &one, &zero, b->x, t[NORM_X].data, NULL,
                            NULL, b->x, t[NORM_Y].data, b->row, t[NORM_GAMMA].data,
                            t[NORM_BETA].data, norm->momentum, t[NORM_RUNNING_MEAN].data,
                            t[NORM_RUNNING_VAR].data, norm->eps, t[NORM_MEAN].data,
                            t[NORM_RSTD].data, NULL, b->workspace.memory, b->workspace.bytes,
                            b->reserve.memory, b->reserve.bytes)
            : b->forward(handle, mode, &one, &zero, b->x, t[NORM_X].data, b->x, t[NORM_Y].data,
                         b->row, t[NORM_GAMMA].data, t[NORM_BETA].data, norm->momentum,
                         t[NORM_RUNNING_MEAN].data, t[NORM_RUNNING_VAR].data, norm->eps,
                         t[NORM_MEAN].data, t[NORM_RSTD].data),
        "batch norm, forward");
}
