/* SPDX-License-Identifier: MIT
 * peer_cudnn_conv.c -- convolutions by cuDNN: every algorithm that its heuristics list and that
 * fits the workspace is timed, deterministic or not; the fastest competes.
 *
 * f32 is held to FMA arithmetic (as ours is), tf32, f16 and bf16 are not. The gradient of w is
 * stored like x: cuDNN has no float gradient of 16-bit operands. */
#include <stdlib.h>
#include <string.h>

#include "backend/cuda_library.h"
#include "bench/peer_cudnn.h"
#include "bench/subject_conv.h"

enum { DEFAULT_MATH = 0, TENSOR_MATH = 1, FMA_MATH = 3 };
enum { CROSS_CORRELATION = 1, RELU = 1, ALGORITHMS_MOST = 16 };

static const char *const names[3][8] = {
    {"implicit GEMM", "implicit precomp GEMM", "GEMM", "direct", "FFT", "FFT tiling", "Winograd",
     "Winograd nonfused"},
    {"0", "1", "FFT", "FFT tiling", "Winograd", "Winograd nonfused", "?", "?"},
    {"0", "1", "FFT", "3", "Winograd", "Winograd nonfused", "FFT tiling", "?"}};

typedef struct plan {
    const peer_cudnn *d;
    void *x, *y, *w, *bias, *convolution, *activation; /* descriptors */
    dlf_cudnn_algorithm list[ALGORITHMS_MOST];         /* those that may run */
    int n, chosen;
    bench_workspace workspace;
    /* of conv1x1_relu */
    int (*create_activation)(void **), (*destroy_activation)(void *);
    int (*set_activation)(void *, int mode, int nan, double coefficient);
    int (*fused)(void *handle, const void *alpha, void *x_descriptor, const void *x,
                 void *w_descriptor, const void *w, void *convolution, int algorithm,
                 void *workspace, size_t bytes, const void *alpha2, void *z_descriptor,
                 const void *z, void *bias_descriptor, const void *bias, void *activation,
                 void *y_descriptor, void *y);
} plan;

static void drop(bench_subject *s)
{
    plan *p = s->plan;
    if (!p) return;
    const dlf_cudnn *lib = &p->d->lib;
    if (p->x) lib->destroy_tensor(p->x);
    if (p->y) lib->destroy_tensor(p->y);
    if (p->bias) lib->destroy_tensor(p->bias);
    if (p->w) lib->destroy_filter(p->w);
    if (p->convolution) lib->destroy_convolution(p->convolution);
    if (p->activation) p->destroy_activation(p->activation);
    bench_workspace_free(&p->workspace);
    free(p);
    s->plan = NULL;
}

/* ---- calls ---------------------------------------------------------------------------------- */

/* Descriptors and data of a, b and the result, in the order in which the calls take them. */
typedef struct operands {
    void *a, *b, *out;
    const void *a_data, *b_data;
    void *out_data;
} operands;

static operands operands_of(bench_subject *s)
{
    const plan *p = s->plan;
    dlf_tensor *t = s->t;
    switch (conv_direction_of(&s->c)) {
    case CONV_FORWARD:
        return (operands){p->x, p->w, p->y, t[CONV_X].data, t[CONV_W].data, t[CONV_Y].data};
    case CONV_DATA:
        return (operands){p->w, p->y, p->x, t[CONV_W].data, t[CONV_DY].data, t[CONV_DX].data};
    case CONV_WEIGHT: break;
    }
    return (operands){p->x, p->y, p->w, t[CONV_X].data, t[CONV_DY].data, t[CONV_DW].data};
}

static dlf_status call(bench_subject *s)
{
    const plan *p = s->plan;
    const dlf_cudnn *lib = &p->d->lib;
    const dlf_cudnn_algorithm *a = &p->list[p->chosen];
    const float one = 1.0f, zero = 0.0f;
    const operands o = operands_of(s);
    if (conv_has_relu(&s->c))
        return peer_cudnn_status(p->fused(lib->handle, &one, o.a, o.a_data, o.b, o.b_data,
                                          p->convolution, a->algorithm, p->workspace.memory,
                                          p->workspace.bytes, &zero, o.out, o.out_data, p->bias,
                                          s->t[CONV_BIAS].data, p->activation, o.out, o.out_data),
                                 "cudnnConvolutionBiasActivationForward");
    return peer_cudnn_status(
        lib->run[conv_direction_of(&s->c)](lib->handle, &one, o.a, o.a_data, o.b, o.b_data,
                                           p->convolution, a->algorithm, p->workspace.memory,
                                           p->workspace.bytes, &zero, o.out, o.out_data),
        "the convolution");
}

static dlf_status choose(bench_subject *s, int which)
{
    plan *p = s->plan;
    p->chosen = which;
    bench_workspace_free(&p->workspace);
    DLF_TRY(bench_workspace_new(&p->workspace, s->device, p->list[which].memory));
    return peer_cudnn_status(p->d->lib.set_math(p->convolution, p->list[which].math),
                             "cudnnSetConvolutionMathType");
}

/* ---- plans ---------------------------------------------------------------------------------- */

static int math_of(const dlf_bench_case *c)
{
    if (c->dtype != DLF_F32) return TENSOR_MATH;
    return c->tf32 ? DEFAULT_MATH : FMA_MATH;
}

static dlf_status describe(plan *p, const dlf_bench_case *c)
{
    const dlf_cudnn *lib = &p->d->lib;
    const int format = peer_cudnn_format(c), type = peer_cudnn_type(c->dtype);
    const int64_t all[] = {c->shape[0],
                           c->shape[1],
                           c->shape[2],
                           c->shape[3],
                           c->outputs,
                           conv_positions(c, 0),
                           conv_positions(c, 1),
                           c->kernel,
                           c->stride,
                           c->pad,
                           c->groups};
    int n[11];
    DLF_TRY(peer_cudnn_sizes(all, 11, n));
    const bool ok = lib->create_tensor(&p->x) == 0 && lib->create_tensor(&p->y) == 0 &&
                    lib->create_filter(&p->w) == 0 &&
                    lib->create_convolution(&p->convolution) == 0 &&
                    lib->set_tensor(p->x, format, type, n[0], n[1], n[2], n[3]) == 0 &&
                    lib->set_tensor(p->y, format, type, n[0], n[4], n[5], n[6]) == 0 &&
                    lib->set_filter(p->w, type, format, n[4], n[1] / n[10], n[7], n[7]) == 0 &&
                    lib->set_convolution(p->convolution, n[9], n[9], n[8], n[8], 1, 1,
                                         CROSS_CORRELATION, CUDNN_FLOAT) == 0 &&
                    lib->set_groups(p->convolution, n[10]) == 0 &&
                    lib->set_math(p->convolution, math_of(c)) == 0;
    return peer_cudnn_status(!ok, "descriptors of the convolution");
}

static dlf_status describe_relu(plan *p, bench_subject *s)
{
    const dlf_cuda_wanted wanted[] = {
        {&p->fused, "cudnnConvolutionBiasActivationForward"},
        {&p->create_activation, "cudnnCreateActivationDescriptor"},
        {&p->set_activation, "cudnnSetActivationDescriptor"},
        {&p->destroy_activation, "cudnnDestroyActivationDescriptor"},
    };
    if (!dlf_cuda_symbols(p->d->lib.library, wanted, sizeof wanted / sizeof *wanted))
        return dlf_fail(DLF_ERR_NO_KERNEL, "this cuDNN has no fused bias and activation");
    DLF_TRY(bench_retype(s, CONV_BIAS, s->c.dtype));
    const bool ok =
        p->d->lib.create_tensor(&p->bias) == 0 &&
        p->d->lib.set_tensor(p->bias, peer_cudnn_format(&s->c), peer_cudnn_type(s->c.dtype), 1,
                             (int)s->c.outputs, 1, 1) == 0 &&
        p->create_activation(&p->activation) == 0 &&
        p->set_activation(p->activation, RELU, 0, 0.0) == 0;
    return peer_cudnn_status(!ok, "descriptors of bias and activation");
}

/* What cuDNN lists, without what cannot run, wants too much memory, or is less than float. */
static dlf_status list_algorithms(plan *p, bench_subject *s)
{
    dlf_cudnn_algorithm all[ALGORITHMS_MOST];
    const operands o = operands_of(s);
    const bool exact = math_of(&s->c) == FMA_MATH;
    int n = 0;
    DLF_TRY(peer_cudnn_status(p->d->lib.choose[conv_direction_of(&s->c)](p->d->lib.handle, o.a, o.b,
                                                                         p->convolution, o.out,
                                                                         ALGORITHMS_MOST, &n, all),
                              "the list of algorithms"));
    for (int i = 0; i < n; i++)
        if (all[i].status == 0 && all[i].memory <= bench_workspace_most &&
            (!exact || all[i].math == FMA_MATH || all[i].math == DEFAULT_MATH)) {
            if (exact) all[i].math = FMA_MATH;
            p->list[p->n++] = all[i];
        }
    return DLF_OK;
}

dlf_status peer_cudnn_conv(peer_cudnn *d, bench_subject *theirs, char *note, size_t size)
{
    const conv_direction direction = conv_direction_of(&theirs->c);
    if (conv_has_statistics(&theirs->c))
        return dlf_fail(DLF_ERR_NO_KERNEL, "no statistics in cuDNN's epilogue");
    plan *p = calloc(1, sizeof *p);
    if (!p) return dlf_fail(DLF_ERR_OOM, "dlf bench: no memory for a plan");
    p->d = d;
    theirs->plan = p;
    theirs->drop = drop;
    theirs->call = call;
    if (direction == CONV_WEIGHT) DLF_TRY(bench_retype(theirs, CONV_DW, theirs->c.dtype));
    DLF_TRY(describe(p, &theirs->c));
    if (conv_has_relu(&theirs->c)) DLF_TRY(describe_relu(p, theirs));
    DLF_TRY(list_algorithms(p, theirs));
    int best;
    DLF_TRY(bench_fastest(theirs, p->n, choose, &best));
    const dlf_cudnn_algorithm *a = &p->list[best];
    const bool known = a->algorithm >= 0 && a->algorithm < 8;
    snprintf(note, size, "algorithm %s (%d), math %d, workspace %.1f MB; fastest of %d",
             known ? names[direction][a->algorithm] : "?", a->algorithm, a->math,
             1e-6 * (double)a->memory, p->n);
    return DLF_OK;
}
