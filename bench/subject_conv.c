/* SPDX-License-Identifier: MIT
 * subject_conv.c -- convolutions: conv, conv1x1 and what conv1x1 fuses. */
#include "bench/subject_conv.h"

static dlf_conv conv_of(const bench_subject *s)
{
    const dlf_bench_case *c = &s->c;
    dlf_conv conv = dlf_conv_of(c->layout, c->kernel, c->stride, c->pad);
    conv.groups = c->groups;
    return conv;
}

static dlf_status general(bench_subject *s)
{
    dlf_tensor *t = s->t;
    const dlf_conv conv = conv_of(s);
    if (s->c.version > 1)
        return dlf_fail(DLF_ERR_NO_KERNEL, "conv has version 1 only, not %d", s->c.version);
    switch (conv_direction_of(&s->c)) {
    case CONV_FORWARD: return dlf_conv_forward(&t[CONV_Y], &t[CONV_X], &t[CONV_W], NULL, conv);
    case CONV_DATA: return dlf_conv_data_grad(&t[CONV_DX], &t[CONV_DY], &t[CONV_W], conv, 0.0);
    case CONV_WEIGHT: break;
    }
    return dlf_conv_weight_grad(&t[CONV_DW], &t[CONV_X], &t[CONV_DY], conv, 0.0);
}

/* t[CONV_PACKED] as what the op takes. */
static dlf_conv1x1_packed packed_of(const bench_subject *s)
{
    return (dlf_conv1x1_packed){.t = s->t[CONV_PACKED],
                                .K = s->c.outputs,
                                .layout = s->c.layout,
                                .dtype = bench_storage(s)};
}

static dlf_status pack(bench_subject *s)
{
    dlf_conv1x1_packed packed = {.K = 0};
    if (!strcmp(s->device->backend->name, "cuda"))
        return dlf_fail(DLF_ERR_NO_KERNEL, "cuda packs no weights: this would be conv1x1 again");
    const dlf_status status = dlf_conv1x1_pack(&packed, &s->t[CONV_W], s->c.layout);
    s->t[CONV_PACKED] = packed.t;
    s->role[CONV_PACKED] = INPUT; /* each device has made its own */
    return status;
}

static dlf_status pointwise(bench_subject *s)
{
    dlf_tensor *t = s->t;
    const dlf_bench_case *c = &s->c;
    const bool relu = conv_has_relu(c), statistics = conv_has_statistics(c);
    const dlf_conv1x1 conv = {.layout = c->layout,
                              .stride = {c->stride, c->stride},
                              .activation = {relu ? DLF_RELU : DLF_LINEAR, 0.0},
                              .tf32 = c->tf32,
                              .version = c->version};
    const dlf_conv1x1_packed packed = packed_of(s);
    const dlf_conv1x1_fwd forward = {.y = &t[CONV_Y],
                                     .mean = statistics ? &t[CONV_MEAN] : NULL,
                                     .var = statistics ? &t[CONV_VAR] : NULL,
                                     .x = &t[CONV_X],
                                     .w = packed.t.data ? NULL : &t[CONV_W],
                                     .packed = packed.t.data ? &packed : NULL,
                                     .bias = relu ? &t[CONV_BIAS] : NULL};
    const bool data = conv_direction_of(c) == CONV_DATA;
    const dlf_conv1x1_bwd backward = {.dx = data ? &t[CONV_DX] : NULL,
                                      .dw = data ? NULL : &t[CONV_DW],
                                      .dz = &t[CONV_DY],
                                      .x = data ? NULL : &t[CONV_X],
                                      .w = data ? &t[CONV_W] : NULL};
    return conv_direction_of(c) == CONV_FORWARD ? dlf_conv1x1_forward(&forward, &conv)
                                                : dlf_conv1x1_backward(&backward, &conv);
}

/* A 1x1 kernel with a stride reads only the positions that the stride leaves. */
static double positions_read(const dlf_bench_case *c)
{
    const bool all = c->kernel > 1 || conv_direction_of(c) == CONV_DATA;
    return (double)c->shape[0] * (double)(all ? c->shape[2] : conv_positions(c, 0)) *
           (double)(all ? c->shape[3] : conv_positions(c, 1));
}

/* Every operand once, and the longest sum. */
static void account(bench_subject *s)
{
    const dlf_bench_case *c = &s->c;
    const double C = (double)c->shape[1], K = (double)c->outputs;
    const double taps = (double)(c->kernel * c->kernel) / (double)c->groups;
    const double M = (double)(c->shape[0] * conv_positions(c, 0) * conv_positions(c, 1));
    const double size = (double)dlf_dtype_size(c->dtype);
    const conv_direction direction = conv_direction_of(c);
    const double of_w = direction == CONV_WEIGHT ? 4.0 : size; /* the gradient is real */
    s->flops = 2.0 * M * K * C * taps;
    s->bytes = size * (positions_read(c) * C + M * K) + of_w * K * C * taps;
    if (conv_has_relu(c)) s->bytes += 4.0 * K;
    if (conv_has_statistics(c)) s->bytes += 16.0 * K;
    s->bytes_moved = s->bytes;
    s->depth = direction == CONV_WEIGHT ? M : taps * (direction == CONV_DATA ? K : C);
}

dlf_status bench_build_conv(bench_subject *s)
{
    const dlf_bench_case *c = &s->c;
    const int64_t N = c->shape[0], C = c->shape[1], H = c->shape[2], W = c->shape[3];
    const int64_t K = c->outputs, R = c->kernel, G = c->groups;
    const int64_t OH = conv_positions(c, 0), OW = conv_positions(c, 1);
    const bool nhwc = c->layout == DLF_NHWC, matrix = conv_is_pointwise(c);
    const int64_t x[2][5] = {{1, N, C, H, W}, {1, N, H, W, C}};
    const int64_t y[2][5] = {{1, N, K, OH, OW}, {1, N, OH, OW, K}};
    const int64_t windows[2][5] = {{1, K, C / G, R, R}, {1, K, R, R, C / G}};
    const int64_t weights[] = {1, K, C}, row[] = {1, K};
    const int64_t *w = matrix ? weights : windows[nhwc];
    const int w_axes = matrix ? 3 : 5;
    const dlf_dtype store = bench_storage(s), real = s->device->real;
    const conv_direction direction = conv_direction_of(c);
    s->call = matrix ? pointwise : general;
    if (conv_is_packed(c)) s->setup = pack;
    account(s);
    if (direction != CONV_DATA)
        DLF_TRY(bench_input(s, CONV_X, store, c->dtype, 5, x[nhwc], 0.3, 1.0));
    if (direction != CONV_WEIGHT)
        DLF_TRY(bench_input(s, CONV_W, store, c->dtype, w_axes, w, 0.0, 1.0));
    if (direction != CONV_FORWARD)
        DLF_TRY(bench_input(s, CONV_DY, store, c->dtype, 5, y[nhwc], 0.0, 1.0));
    if (conv_has_relu(c)) DLF_TRY(bench_input(s, CONV_BIAS, real, DLF_F32, 2, row, 0.1, 1.0));
    if (conv_has_statistics(c)) {
        DLF_TRY(bench_output(s, CONV_MEAN, DLF_F64, 2, row));
        DLF_TRY(bench_output(s, CONV_VAR, DLF_F64, 2, row));
    }
    switch (direction) {
    case CONV_FORWARD: return bench_output(s, CONV_Y, store, 5, y[nhwc]);
    case CONV_DATA: return bench_output(s, CONV_DX, store, 5, x[nhwc]);
    case CONV_WEIGHT: break;
    }
    return bench_output(s, CONV_DW, real, w_axes, w);
}
