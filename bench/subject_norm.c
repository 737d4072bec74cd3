/* SPDX-License-Identifier: MIT
 * subject_norm.c -- batch, layer, instance, group and RMS norm. */
#include "bench/subject_norm.h"

static dlf_norm_fwd operands(bench_subject *s)
{
    dlf_tensor *t = s->t;
    const bool kept = !norm_infers(&s->c), batch = s->norm.kind == DLF_BATCH_NORM;
    return (dlf_norm_fwd){
        .y = &t[NORM_Y],
        .mean = kept && s->norm.kind != DLF_RMS_NORM ? &t[NORM_MEAN] : NULL,
        .rstd = kept ? &t[NORM_RSTD] : NULL,
        .running_mean = batch && !norm_goes_back(&s->c) ? &t[NORM_RUNNING_MEAN] : NULL,
        .running_var = batch && !norm_goes_back(&s->c) ? &t[NORM_RUNNING_VAR] : NULL,
        .x = &t[NORM_X],
        .gamma = &t[NORM_GAMMA],
        .beta = &t[NORM_BETA]};
}

static dlf_status forward(bench_subject *s)
{
    const dlf_norm_fwd io = operands(s);
    return norm_infers(&s->c) ? dlf_norm_infer(&io, &s->norm) : dlf_norm_forward(&io, &s->norm);
}

static dlf_status backward(bench_subject *s)
{
    dlf_tensor *t = s->t;
    const dlf_norm_bwd io = {.dx = &t[NORM_DX],
                             .dgamma = &t[NORM_DGAMMA],
                             .dbeta = &t[NORM_DBETA],
                             .dy = &t[NORM_DY],
                             .x = &t[NORM_X],
                             .mean = s->norm.kind == DLF_RMS_NORM ? NULL : &t[NORM_MEAN],
                             .rstd = &t[NORM_RSTD],
                             .gamma = &t[NORM_GAMMA],
                             .beta = &t[NORM_BETA]};
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
    dlf_tensor_free(&s->t[NORM_Y]);
    s->role[NORM_Y] = ABSENT;
    return status;
}

static dlf_status statistics(bench_subject *s, role r, int64_t *count)
{
    dlf_norm_geometry g;
    DLF_TRY(dlf_norm_geometry_of(&g, &s->t[NORM_X], s->norm));
    const bool per_group = s->norm.kind == DLF_GROUP_NORM || s->norm.kind == DLF_INSTANCE_NORM;
    const int64_t shape[] = {1, dlf_norm_over_samples(s->norm.kind) ? g.statistics : g.N, g.groups};
    *count = g.statistics;
    const int ndim = per_group ? 3 : 2;
    if (s->norm.kind != DLF_RMS_NORM) {
        DLF_TRY(bench_output(s, NORM_MEAN, DLF_F64, ndim, shape));
        s->role[NORM_MEAN] = r;
    }
    DLF_TRY(bench_output(s, NORM_RSTD, s->device->real, ndim, shape));
    s->role[NORM_RSTD] = r;
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
    DLF_TRY(bench_input(s, NORM_X, store, c->dtype, ndim, shape, 0.3, 1.0));
    DLF_TRY(bench_input(s, NORM_GAMMA, real, DLF_F32, 2, row, 1.0, 0.2));
    DLF_TRY(bench_input(s, NORM_BETA, real, DLF_F32, 2, row, 0.0, 0.2));
    DLF_TRY(bench_output(s, NORM_Y, store, ndim, shape));
    int64_t count = 0;
    if (!norm_infers(&s->c)) DLF_TRY(statistics(s, norm_goes_back(&s->c) ? KEPT : OUTPUT, &count));
    if (s->norm.kind == DLF_BATCH_NORM && !norm_goes_back(&s->c)) {
        DLF_TRY(bench_input(s, NORM_RUNNING_MEAN, real, DLF_F32, 2, row, 0.1, 0.1));
        DLF_TRY(bench_input(s, NORM_RUNNING_VAR, real, DLF_F32, 2, row, 2.0, 0.1));
    }
    if (norm_goes_back(&s->c)) {
        DLF_TRY(bench_input(s, NORM_DY, store, c->dtype, ndim, shape, 0.0, 1.0));
        DLF_TRY(bench_output(s, NORM_DX, store, ndim, shape));
        DLF_TRY(bench_output(s, NORM_DGAMMA, real, 2, row));
        DLF_TRY(bench_output(s, NORM_DBETA, real, 2, row));
        s->setup = keep_statistics;
    }
    s->call = norm_goes_back(&s->c) ? backward : forward;
    /* Ideal traffic: every operand once. Training batch norm walks x (and dy) twice. */
    const double data = bytes_of(s, NORM_X);
    for (int i = 0; i < SUBJECT_TENSORS; i++)
        if (!(norm_goes_back(&s->c) && i == NORM_Y)) s->bytes += bytes_of(s, i);
    s->bytes_moved = s->bytes + (s->norm.kind == DLF_BATCH_NORM && !norm_infers(&s->c)
                                     ? (norm_goes_back(&s->c) ? 2.0 : 1.0) * data
                                     : 0.0);
    s->flops = (norm_goes_back(&s->c) ? 12.0
                : norm_infers(&s->c)  ? 2.0
                                      : 7.0) *
               (double)dlf_tensor_count(&s->t[NORM_X]);
    return DLF_OK;
}
