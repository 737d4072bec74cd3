/* SPDX-License-Identifier: MIT
 * peer_unfused.c -- the peer unfused: what conv1x1 fuses, by our own kernels one after another.
 *
 *   conv1x1_relu    1x1 convolution; bias and relu in one elementwise pass
 *   conv1x1_stats   the same, then batch norm's forward for its statistics
 *
 * The elementwise pass is batch norm in evaluation mode with mean 0 and variance 1. Batch norm's
 * forward also writes the normalised tensor, which a network without fusion needs anyway; with
 * fusion it is never written, because the next layer normalises what it reads (conv1x1.h,
 * prologue). */
#include <stdlib.h>

#include "bench/peers.h"
#include "bench/subject_conv.h"

enum { ZEROS = CONV_DW + 1, ONES, RSTD, NORMALISED };

static bool unfused_open(void **state, dlf_device *device, char *text, size_t size)
{
    *state = NULL;
    snprintf(text, size, "unfused: own kernels one after another");
    return true;
}

static void unfused_close(void *state)
{
    (void)state;
}

static dlf_status call(bench_subject *s)
{
    dlf_tensor *t = s->t;
    const dlf_bench_case *c = &s->c;
    const dlf_conv1x1 conv = {
        .layout = c->layout, .stride = {c->stride, c->stride}, .tf32 = c->tf32};
    const dlf_norm pass = {
        .kind = DLF_BATCH_NORM, .layout = c->layout, .activation = dlf_activation_of(DLF_RELU)};
    const dlf_norm statistics = {.kind = DLF_BATCH_NORM, .layout = c->layout};
    DLF_TRY(dlf_conv1x1_forward(
        &(dlf_conv1x1_fwd){.y = &t[CONV_Y], .x = &t[CONV_X], .w = &t[CONV_W]}, &conv));
    DLF_TRY(dlf_norm_infer(&(dlf_norm_fwd){.y = &t[CONV_Y],
                                           .x = &t[CONV_Y],
                                           .beta = &t[CONV_BIAS],
                                           .running_mean = &t[ZEROS],
                                           .running_var = &t[ONES]},
                           &pass));
    if (!conv_has_statistics(c)) return DLF_OK;
    return dlf_norm_forward(
        &(dlf_norm_fwd){
            .y = &t[NORMALISED], .mean = &t[CONV_MEAN], .rstd = &t[RSTD], .x = &t[CONV_Y]},
        &statistics);
}

/* rstd = 1 / sqrt(var), since eps is 0. */
static dlf_status settle(bench_subject *s)
{
    const int64_t n = dlf_tensor_count(&s->t[RSTD]);
    double *host = malloc((size_t)n * sizeof *host);
    if (!host) return dlf_fail(DLF_ERR_OOM, "dlf bench: no host memory");
    dlf_status status = dlf_tensor_download_f64(host, &s->t[RSTD]);
    for (int64_t i = 0; i < n; i++) host[i] = 1.0 / (host[i] * host[i]);
    if (status == DLF_OK) status = dlf_tensor_upload_f64(&s->t[CONV_VAR], host);
    free(host);
    return status;
}

/* Whatever the operands are. */
static dlf_status ones(bench_subject *s, dlf_dtype real, const int64_t row[2])
{
    double *host = malloc((size_t)row[1] * sizeof *host);
    if (!host) return dlf_fail(DLF_ERR_OOM, "dlf bench: no host memory");
    for (int64_t i = 0; i < row[1]; i++) host[i] = 1.0;
    dlf_status status = bench_output(s, ONES, real, 2, row);
    s->role[ONES] = INPUT;
    if (status == DLF_OK) status = dlf_tensor_upload_f64(&s->t[ONES], host);
    free(host);
    return status;
}

static dlf_status take(void *state, bench_subject *s, char *note, size_t size)
{
    if (!conv_has_relu(&s->c)) return dlf_fail(DLF_ERR_NO_KERNEL, "%s fuses nothing", s->c.op);
    const int64_t row[] = {1, s->c.outputs};
    const dlf_dtype real = s->device->real;
    s->call = call;
    DLF_TRY(bench_input(s, ZEROS, real, DLF_F32, 2, row, 0.0, 0.0));
    DLF_TRY(ones(s, real, row));
    if (conv_has_statistics(&s->c)) {
        DLF_TRY(bench_output(s, RSTD, real, 2, row));
        DLF_TRY(bench_output(s, NORMALISED, s->t[CONV_Y].dtype, 5, s->t[CONV_Y].shape));
        s->role[RSTD] = s->role[NORMALISED] = KEPT; /* no outputs of the case */
        s->settle = settle;
    }
    snprintf(note, size, "conv1x1, bias and relu%s",
             conv_has_statistics(&s->c) ? ", batch_norm for its statistics" : "");
    return s->call(s);
}

const bench_inside bench_inside_unfused = {"unfused", unfused_open, unfused_close, take};
