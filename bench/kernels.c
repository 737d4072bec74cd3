/* SPDX-License-Identifier: MIT
 * kernels.c -- one normalization, activation or 1x1 convolution at a time, timed on request. A peer
 * script (bench/peers/conv1x1.py) drives it over stdin and stdout and takes turns with
 * it:
 *
 *   norm KIND DIRECTION LAYOUT DTYPE ACTIVATION GROUPS VERSION P N C H W   prepare; "ok BYTES"
 *   act KIND DIRECTION DTYPE N                                             prepare; "ok BYTES"
 *   conv1x1 FUSED LAYOUT DTYPE VERSION N C K H W STRIDE                    prepare; "ok BYTES"
 *   copy BYTES                                   y = x over BYTES in all;   "ok BYTES"
 *   run COUNT                                    time COUNT calls;          "ok SECONDS"
 *
 *   DIRECTION  forward, backward, infer      LAYOUT  nchw, nhwc (W = 0: a matrix)
 *   FUSED      plain, relu (bias and relu), stats (mean and variance of y)
 *   BYTES      ideal traffic: every operand once (norm.h, "cost"); batch_norm training reads x
 * twice
 *
 * One warm-up call precedes the first timing. Buffers are reused: what fits in a cache stays there,
 * for the peer as well. A refused request answers "error SENTENCE" and the program goes on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/backend.h"

enum { X, Y, MEAN, RSTD, RUNNING_MEAN, RUNNING_VAR, GAMMA, BETA, DY, DX, DGAMMA, DBETA, TENSORS };
typedef enum what {
    NOTHING,
    NORM_FORWARD,
    NORM_BACKWARD,
    NORM_INFER,
    ACT_FORWARD,
    ACT_BACKWARD,
    CONV1X1,
    COPY
} what;

typedef struct bench {
    dlf_device *device;
    dlf_tensor t[TENSORS];
    what what;
    dlf_norm norm;
    dlf_activation f;
    dlf_conv1x1 pointwise;
    bool with_bias, with_statistics; /* conv1x1 */
    double bytes;
} bench;

static void clear(bench *b)
{
    for (int i = 0; i < TENSORS; i++) dlf_tensor_free(&b->t[i]);
    b->what = NOTHING;
}

/* On the cpu with all threads, which dlf_tensor_copy is not. */
static dlf_status copy(bench *b)
{
    if (!strcmp(b->device->info.backend, "cuda")) return dlf_tensor_copy(&b->t[Y], &b->t[X]);
    return dlf_activation_forward(&b->t[Y], &b->t[X], dlf_activation_of(DLF_LINEAR));
}

static dlf_status run_once(bench *b)
{
    dlf_tensor *t = b->t;
    const bool batch = b->norm.kind == DLF_BATCH_NORM, rms = b->norm.kind == DLF_RMS_NORM;
    dlf_norm_fwd fwd = {.y = &t[Y],
                        .mean = rms ? NULL : &t[MEAN],
                        .rstd = &t[RSTD],
                        .x = &t[X],
                        .gamma = &t[GAMMA],
                        .beta = &t[BETA],
                        .running_mean = batch ? &t[RUNNING_MEAN] : NULL,
                        .running_var = batch ? &t[RUNNING_VAR] : NULL};
    const dlf_norm_bwd bwd = {.dx = &t[DX],
                              .dgamma = &t[DGAMMA],
                              .dbeta = &t[DBETA],
                              .dy = &t[DY],
                              .x = &t[X],
                              .mean = rms ? NULL : &t[MEAN],
                              .rstd = &t[RSTD],
                              .gamma = &t[GAMMA],
                              .beta = &t[BETA]};
    const dlf_conv1x1_fwd pointwise = {.y = &t[Y],
                                       .mean = b->with_statistics ? &t[MEAN] : NULL,
                                       .var = b->with_statistics ? &t[RSTD] : NULL,
                                       .x = &t[X],
                                       .w = &t[GAMMA],
                                       .bias = b->with_bias ? &t[BETA] : NULL};
    switch (b->what) {
    case CONV1X1: return dlf_conv1x1_forward(&pointwise, &b->pointwise);
    case NORM_FORWARD: return dlf_norm_forward(&fwd, &b->norm);
    case NORM_BACKWARD: return dlf_norm_backward(&bwd, &b->norm);
    case NORM_INFER: fwd.mean = fwd.rstd = NULL; return dlf_norm_infer(&fwd, &b->norm);
    case ACT_FORWARD: return dlf_activation_forward(&t[Y], &t[X], b->f);
    case ACT_BACKWARD: return dlf_activation_backward(&t[DX], &t[DY], &t[X], &t[Y], b->f);
    case COPY: return copy(b);
    case NOTHING: break;
    }
    return dlf_fail(DLF_ERR_ARG, "nothing is prepared");
}

/* Sums of four uniforms, normal enough here. Zeros would be faster than data. */
static dlf_status upload_normal(dlf_tensor *t, uint32_t state, double shift)
{
    const int64_t n = dlf_tensor_count(t);
    float *host = malloc((size_t)n * sizeof *host);
    if (!host) return dlf_fail(DLF_ERR_OOM, "no host memory for %lld numbers", (long long)n);
    for (int64_t i = 0; i < n; i++) {
        float sum = 0.0f;
        for (int k = 0; k < 4; k++) {
            state = state * 1664525u + 1013904223u;
            sum += (float)(state >> 8) * 0x1p-24f - 0.5f;
        }
        host[i] = 1.7f * sum + (float)shift;
    }
    const dlf_status status = dlf_tensor_upload(t, host);
    free(host);
    return status;
}

/* A million of them, again and again: the copies are made on the device. */
static dlf_status fill(bench *b, int which, dlf_dtype dtype, int ndim, const int64_t *shape,
                       double shift)
{
    DLF_TRY(dlf_tensor_init(&b->t[which], b->device, dtype, ndim, shape));
    const int64_t n = dlf_tensor_count(&b->t[which]), most = 1 << 20, flat[] = {1, n};
    dlf_tensor tile, all = dlf_tensor_reshape(&b->t[which], 2, flat);
    DLF_TRY(dlf_tensor_new(&tile, b->device, dtype, 1, n < most ? n : most));
    dlf_status status = upload_normal(&tile, 12345u + (uint32_t)which, shift);
    for (int64_t i = 0; i < n && status == DLF_OK; i += most) {
        const int64_t piece[] = {1, n - i < most ? n - i : most};
        const dlf_tensor from = dlf_tensor_window(&tile, 0, 2, piece);
        dlf_tensor to = dlf_tensor_window(&all, i, 2, piece);
        status = dlf_tensor_copy(&to, &from);
    }
    dlf_tensor_free(&tile);
    return status;
}

static dlf_status direction_of(what *out, const char *text, what forward, what backward, what infer)
{
    const bool known =
        !strcmp(text, "forward") || !strcmp(text, "backward") || !strcmp(text, "infer");
    if (!known) return dlf_fail(DLF_ERR_ARG, "no direction '%s'", text);
    *out = text[0] == 'f' ? forward : text[0] == 'b' ? backward : infer;
    return DLF_OK;
}

static dlf_status dtype_of(dlf_dtype *out, const char *text)
{
    const dlf_dtype types[] = {DLF_F32, DLF_F16, DLF_BF16};
    for (int i = 0; i < 3; i++)
        if (!strcmp(text, dlf_dtype_name(types[i]))) {
            *out = types[i];
            return DLF_OK;
        }
    return dlf_fail(DLF_ERR_ARG, "no storage type '%s'", text);
}

static dlf_status prepare_norm(bench *b, const char *line)
{
    char kind[32], direction[32], layout[32], dtype_name[32], activation[32];
    long long groups, P, N, C, H, W;
    int version;
    if (sscanf(line, "norm %31s %31s %31s %31s %31s %lld %d %lld %lld %lld %lld %lld", kind,
               direction, layout, dtype_name, activation, &groups, &version, &P, &N, &C, &H,
               &W) != 12)
        return dlf_fail(DLF_ERR_ARG, "norm needs 12 words");
    what task = NOTHING;
    dlf_dtype dtype = DLF_F32;
    DLF_TRY(direction_of(&task, direction, NORM_FORWARD, NORM_BACKWARD, NORM_INFER));
    DLF_TRY(dtype_of(&dtype, dtype_name));
    b->norm = (dlf_norm){.kind = DLF_NORM_COUNT,
                         .layout = strcmp(layout, "nhwc") ? DLF_NCHW : DLF_NHWC,
                         .groups = groups,
                         .eps = 1e-5,
                         .momentum = 0.1,
                         .version = version};
    for (int k = 0; k < DLF_NORM_COUNT; k++)
        if (!strcmp(kind, dlf_norm_name((dlf_norm_kind)k))) b->norm.kind = (dlf_norm_kind)k;
    DLF_TRY(dlf_activation_find(&b->norm.activation, activation));
    const int64_t nchw[] = {P, N, C, H, W}, nhwc[] = {P, N, H, W, C}, row[] = {P, C};
    const int64_t *shape = b->norm.layout == DLF_NCHW || !W ? nchw : nhwc;
    const int ndim = W ? 5 : 3;
    DLF_TRY(fill(b, X, dtype, ndim, shape, 0.3));
    dlf_norm_geometry g;
    DLF_TRY(dlf_norm_geometry_of(&g, &b->t[X], b->norm));
    const int like_x[] = {Y, DY, DX},
              per_channel[] = {RUNNING_MEAN, RUNNING_VAR, GAMMA, BETA, DGAMMA, DBETA};
    for (int i = 0; i < 3; i++) DLF_TRY(fill(b, like_x[i], dtype, ndim, shape, 0.0));
    for (int i = 0; i < 6; i++) DLF_TRY(fill(b, per_channel[i], b->device->real, 2, row, 1.5));
    const int64_t statistics[] = {P, dlf_norm_over_samples(b->norm.kind) ? g.groups : g.N,
                                  g.groups};
    const int axes = b->norm.kind == DLF_GROUP_NORM || b->norm.kind == DLF_INSTANCE_NORM ? 3 : 2;
    DLF_TRY(fill(b, MEAN, DLF_F64, axes, statistics, 0.3));
    DLF_TRY(fill(b, RSTD, b->device->real, axes, statistics, 1.0));
    const bool training_batch = b->norm.kind == DLF_BATCH_NORM && task != NORM_INFER;
    const double operands =
        (task == NORM_BACKWARD ? 3 : 2) + (training_batch ? (task == NORM_BACKWARD ? 2 : 1) : 0);
    b->bytes = operands * (double)(dlf_tensor_count(&b->t[X]) * (int64_t)dlf_dtype_size(dtype));
    b->what = task;
    return DLF_OK;
}

static dlf_status prepare_act(bench *b, const char *line)
{
    char kind[32], direction[32], dtype_name[32];
    long long n;
    if (sscanf(line, "act %31s %31s %31s %lld", kind, direction, dtype_name, &n) != 4)
        return dlf_fail(DLF_ERR_ARG, "act needs 4 words");
    what task = NOTHING;
    dlf_dtype dtype = DLF_F32;
    DLF_TRY(direction_of(&task, direction, ACT_FORWARD, ACT_BACKWARD, NOTHING));
    DLF_TRY(dtype_of(&dtype, dtype_name));
    DLF_TRY(dlf_activation_find(&b->f, kind));
    const int64_t shape[] = {1, n};
    const int all[] = {X, Y, DY, DX};
    for (int i = 0; i < 4; i++) DLF_TRY(fill(b, all[i], dtype, 2, shape, 0.0));
    DLF_TRY(dlf_activation_forward(&b->t[Y], &b->t[X], b->f));
    b->bytes = (task == ACT_FORWARD ? 2.0 : 3.0) * (double)(n * (int64_t)dlf_dtype_size(dtype));
    b->what = task;
    return DLF_OK;
}

static dlf_status prepare_conv1x1(bench *b, const char *line)
{
    char fused[32], layout[32], dtype_name[32];
    long long N, C, K, H, W, stride;
    int version;
    if (sscanf(line, "conv1x1 %31s %31s %31s %d %lld %lld %lld %lld %lld %lld", fused, layout,
               dtype_name, &version, &N, &C, &K, &H, &W, &stride) != 10)
        return dlf_fail(DLF_ERR_ARG, "conv1x1 needs 10 words");
    dlf_dtype dtype = DLF_F32;
    DLF_TRY(dtype_of(&dtype, dtype_name));
    const bool nhwc = !strcmp(layout, "nhwc");
    b->with_bias = !strcmp(fused, "relu"), b->with_statistics = !strcmp(fused, "stats");
    b->pointwise = (dlf_conv1x1){.layout = nhwc ? DLF_NHWC : DLF_NCHW,
                                 .stride = {stride, stride},
                                 .activation = {b->with_bias ? DLF_RELU : DLF_LINEAR, 0.0},
                                 .version = version};
    const int64_t OH = (H - 1) / stride + 1, OW = (W - 1) / stride + 1;
    const int64_t x[2][5] = {{1, N, C, H, W}, {1, N, H, W, C}};
    const int64_t y[2][5] = {{1, N, K, OH, OW}, {1, N, OH, OW, K}};
    const int64_t w[] = {1, K, C}, row[] = {1, K};
    DLF_TRY(fill(b, X, dtype, 5, x[nhwc], 0.3));
    DLF_TRY(fill(b, Y, dtype, 5, y[nhwc], 0.0));
    DLF_TRY(fill(b, GAMMA, dtype, 3, w, 0.0));
    DLF_TRY(fill(b, BETA, b->device->real, 2, row, 0.1));
    DLF_TRY(fill(b, MEAN, DLF_F64, 2, row, 0.0));
    DLF_TRY(fill(b, RSTD, DLF_F64, 2, row, 0.0));
    b->bytes = (double)((N * OH * OW * (C + K) + K * C) * (int64_t)dlf_dtype_size(dtype));
    b->what = CONV1X1;
    return DLF_OK;
}

static dlf_status prepare_copy(bench *b, const char *line)
{
    long long bytes;
    if (sscanf(line, "copy %lld", &bytes) != 1) return dlf_fail(DLF_ERR_ARG, "copy needs bytes");
    const int64_t shape[] = {1, bytes / 8 > 0 ? bytes / 8 : 1}; /* half is read, half is written */
    DLF_TRY(fill(b, X, DLF_F32, 2, shape, 0.0));
    DLF_TRY(fill(b, Y, DLF_F32, 2, shape, 0.0));
    b->bytes = 8.0 * (double)shape[1];
    b->what = COPY;
    return DLF_OK;
}

static dlf_status run_many(bench *b, long long count, double *seconds)
{
    double ns = 0.0;
    DLF_TRY(b->device->backend->time_start(b->device));
    for (long long i = 0; i < count; i++) DLF_TRY(run_once(b));
    DLF_TRY(b->device->backend->time_stop(b->device, &ns));
    *seconds = 1e-9 * ns;
    return DLF_OK;
}

static dlf_status answer(bench *b, const char *line, double *value)
{
    long long count;
    if (sscanf(line, "run %lld", &count) == 1) return run_many(b, count, value);
    clear(b);
    if (!strncmp(line, "norm ", 5))
        DLF_TRY(prepare_norm(b, line));
    else if (!strncmp(line, "act ", 4))
        DLF_TRY(prepare_act(b, line));
    else if (!strncmp(line, "conv1x1 ", 8))
        DLF_TRY(prepare_conv1x1(b, line));
    else if (!strncmp(line, "copy ", 5))
        DLF_TRY(prepare_copy(b, line));
    else
        return dlf_fail(DLF_ERR_ARG, "no such request");
    if (b->what == NORM_BACKWARD) { /* statistics that belong to x */
        b->what = NORM_FORWARD;
        DLF_TRY(run_once(b));
        b->what = NORM_BACKWARD;
    }
    DLF_TRY(run_once(b));
    DLF_TRY(dlf_device_sync(b->device));
    *value = b->bytes;
    return DLF_OK;
}

int main(int argc, char **argv)
{
    bench b = {.device = NULL};
    dlf_status status = dlf_device_open(&b.device, argc > 1 ? argv[1] : "cpu");
    if (status != DLF_OK) {
        fprintf(stderr, "bench_kernels: %s\n", dlf_error_message());
        return dlf_status_exit_code(status);
    }
    printf("%s | %s | %d threads\n", b.device->info.name, b.device->info.detail,
           b.device->info.threads);
    fflush(stdout);
    char line[512];
    while (fgets(line, sizeof line, stdin)) {
        double value = 0.0;
        if (answer(&b, line, &value) == DLF_OK)
            printf("ok %.17g\n", value);
        else
            printf("error %s\n", dlf_error_message());
        fflush(stdout);
    }
    clear(&b);
    dlf_device_close(b.device);
    return 0;
}
