/* SPDX-License-Identifier: MIT
 * subject_norm.c -- batch, layer, instance, group and RMS norm. */
#include <string.h>

#include "bench/subject.h"

enum { X, Y, MEAN, RSTD, RUNNING_MEAN, RUNNING_VAR, GAMMA, BETA, DY, DX, DGAMMA, DBETA };

static bool infers(const bench_subject *s)
{
    return !strcmp(s->c.direction, "infer");
}
static bool goes_back(const bench_subject *s)
{
    return !strcmp(s->c.direction, "backward");
}

static dlf_norm_fwd operands(bench_subject *s)
{
    dlf_tensor *t = s->t;
    const bool kept = !infers(s), batch = s->norm.kind == DLF_BATCH_NORM;
    return (dlf_norm_fwd){.y = &t[Y],
                          .mean = kept && s->norm.kind != DLF_RMS_NORM ? &t[MEAN] : NULL,
                          .rstd = kept ? &t[RSTD] : NULL,
                          .running_mean = batch && !goes_back(s) ? &t[RUNNING_MEAN] : NULL,
                          .running_var = batch && !goes_back(s) ? &t[RUNNING_VAR] : NULL,
                          .x = &t[X],
                          .gamma = &t[GAMMA],
                          .beta = &t[BETA]};
}

static dlf_status forward(bench_subject *s)
{
    const dlf_norm_fwd io = operands(s);
    return infers(s) ? dlf_norm_infer(&io, &s->norm) : dlf_norm_forward(&io, &s->norm);
}

static dlf_status backward(bench_subject *s)
{
    dlf_tensor *t = s->t;
    const dlf_norm_bwd io = {.dx = &t[DX],
                             .dgamma = &t[DGAMMA],
                             .dbeta = &t[DBETA],
                             .dy = &t[DY],
                             .x = &t[X],
                             .mean = s->norm.kind == DLF_RMS_NORM ? NULL : &t[MEAN],
                             .rstd = &t[RSTD],
                             .gamma = &t[GAMMA],
                             .beta = &t[BETA]};
    return dlf_norm_backward(&io, &s->norm);
}

/* Backward needs the statistics of x; its version is chosen by itself, forward's is not asked for.
 */
static dlf_status keep_statistics(bench_subject *s)
{
    const int version = s->norm.version;
    s->norm.version = 0;
    const dlf_status status = forward(s);
    s->norm.version = version;
    dlf_tensor_free(&s->t[Y]);
    s->role[Y] = ABSENT;
    return status;
}

static dlf_status statistics(bench_subject *s, role r, int64_t *count)
{
    dlf_norm_geometry g;
    DLF_TRY(dlf_norm_geometry_of(&g, &s->t[X], s->norm));
    const bool per_group = s->norm.kind == DLF_GROUP_NORM || s->norm.kind == DLF_INSTANCE_NORM;
    const int64_t shape[] = {1, dlf_norm_over_samples(s->norm.kind) ? g.statistics : g.N, g.groups};
    *count = g.statistics;
    const int ndim = per_group ? 3 : 2;
    if (s->norm.kind != DLF_RMS_NORM) {
        DLF_TRY(bench_output(s, MEAN, DLF_F64, ndim, shape));
        s->role[MEAN] = r;
    }
    DLF_TRY(bench_output(s, RSTD, s->device->real, ndim, shape));
    s->role[RSTD] = r;
    return DLF_OK;
}

static double bytes_of(const bench_subject *s, int i)
{
    return s->role[i] == ABSENT
               ? 0.0
               : (double)(dlf_tensor_count(&s->t[i]) * (int64_t)dlf_dtype_size(s->t[i].dtype));
}

dlf_status bench_build_norm(bench_subject *s)
{
    const dlf_bench_case *c = &s->c;
    s->norm = (dlf_norm){.kind = DLF_NORM_COUNT,
                         .layout = c->layout,
                         .groups = c->groups,
                         .eps = 1e-5,
                         .momentum = 0.1,
                         .version = c->version};
    for (int k = 0; k < DLF_NORM_COUNT; k++)
        if (!strcmp(c->op, dlf_norm_name((dlf_norm_kind)k))) s->norm.kind = (dlf_norm_kind)k;
    const int64_t N = c->shape[0], C = c->shape[1], H = c->shape[2], W = c->shape[3];
    const int64_t nchw[] = {1, N, C, H, W}, nhwc[] = {1, N, H, W, C}, row[] = {1, C};
    const int64_t *shape = c->ndim == 2 || c->layout == DLF_NCHW ? nchw : nhwc;
    const int ndim = c->ndim + 1;
    const dlf_dtype store = bench_storage(s), real = s->device->real;
    DLF_TRY(bench_input(s, X, store, c->dtype, ndim, shape, 0.3, 1.0));
    DLF_TRY(bench_input(s, GAMMA, real, DLF_F32, 2, row, 1.0, 0.2));
    DLF_TRY(bench_input(s, BETA, real, DLF_F32, 2, row, 0.0, 0.2));
    DLF_TRY(bench_output(s, Y, store, ndim, shape));
    int64_t count = 0;
    if (!infers(s)) DLF_TRY(statistics(s, goes_back(s) ? KEPT : OUTPUT, &count));
    if (s->norm.kind == DLF_BATCH_NORM && !goes_back(s)) {
        DLF_TRY(bench_input(s, RUNNING_MEAN, real, DLF_F32, 2, row, 0.1, 0.1));
        DLF_TRY(bench_input(s, RUNNING_VAR, real, DLF_F32, 2, row, 2.0, 0.1));
    }
    if (goes_back(s)) {
        DLF_TRY(bench_input(s, DY, store, c->dtype, ndim, shape, 0.0, 1.0));
        DLF_TRY(bench_output(s, DX, store, ndim, shape));
        DLF_TRY(bench_output(s, DGAMMA, real, 2, row));
        DLF_TRY(bench_output(s, DBETA, real, 2, row));
        s->setup = keep_statistics;
    }
    s->call = goes_back(s) ? backward : forward;
    /* Ideal traffic: every operand once. Training batch norm walks x (and dy) twice. */
    const double data = bytes_of(s, X);
    for (int i = 0; i < SUBJECT_TENSORS; i++)
        if (!(goes_back(s) && i == Y)) s->bytes += bytes_of(s, i);
    s->bytes_moved =
        s->bytes +
        (s->norm.kind == DLF_BATCH_NORM && !infers(s) ? (goes_back(s) ? 2.0 : 1.0) * data : 0.0);
    s->flops = (goes_back(s) ? 12.0 : infers(s) ? 2.0 : 7.0) * (double)dlf_tensor_count(&s->t[X]);
    return DLF_OK;
}
