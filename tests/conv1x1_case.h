/* SPDX-License-Identifier: MIT
 * conv1x1_case.h -- a 1x1 convolution with all of its operands, on the device under test and on the
 * definition's, for the tests of the family. */
#ifndef DLF_CONV1X1_CASE_H
#define DLF_CONV1X1_CASE_H
#include "kernel_test.h"

enum { VERSIONS = 3 };

typedef struct c1_case {
    int64_t P, N, C, K, H, W; /* W = 0: matrices (P,N,C), (P,N,K)                      */
    int64_t stride;
    dlf_layout layout;
    dlf_dtype dtype;
    dlf_activation_kind f, g; /* of y, of the input                                    */
    bool scale, bias, residual, statistics, tf32;
    bool shared;   /* x, w and all parameters are the same for all members  */
    bool in_place; /* y is residual                                         */
    double accumulate;
    float shift; /* of bias: |mean| of y against its deviation                */
    int64_t pad; /* members are windows with this many elements before and after */
    int version;
} c1_case;

typedef struct held {
    dlf_tensor arena, t;
} held;

enum {
    X,
    W,
    BIAS,
    RESIDUAL,
    SCALE,
    SHIFT,
    DZ,
    INPUTS,
    Y = INPUTS,
    MEAN,
    VAR,
    DX,
    DW,
    DBIAS,
    OPERANDS
};

typedef struct side {
    held o[OPERANDS];
} side;

/* Windows of the same values on both devices; host NULL: NaN, which nothing may read. */
static inline void pair(held *dev, held *ref, dlf_dtype dtype, const float *host, int64_t pad,
                        int ndim, const int64_t *shape)
{
    int64_t n = 1;
    for (int i = 1; i < ndim; i++) n *= shape[i];
    const int64_t arena[] = {shape[0], n + 2 * pad};
    float *all = malloc((size_t)(arena[0] * arena[1]) * sizeof *all);
    assert_non_null(all);
    for (int64_t i = 0; i < arena[0] * arena[1]; i++) all[i] = NAN;
    for (int64_t p = 0; host && p < shape[0]; p++)
        memcpy(all + p * arena[1] + pad, host + p * n, (size_t)n * sizeof *all);
    if (dtype == DLF_F64) {
        OK(dlf_tensor_init(&dev->arena, kt_dev, dtype, 2, arena));
        OK(dlf_tensor_init(&ref->arena, kt_ref, dtype, 2, arena));
        OK(dlf_tensor_upload(&dev->arena, all));
        OK(dlf_tensor_upload(&ref->arena, all));
    } else {
        kt_storage_pair(&dev->arena, &ref->arena, dtype, all, 2, arena);
    }
    dev->t = dlf_tensor_window(&dev->arena, pad, ndim, shape);
    ref->t = dlf_tensor_window(&ref->arena, pad, ndim, shape);
    free(all);
}

static inline int64_t outputs(int64_t in, int64_t stride)
{
    return (in - 1) / (stride ? stride : 1) + 1;
}

static inline int image_shape(int64_t shape[5], const c1_case *c, int64_t P, bool x)
{
    const int64_t channels = x ? c->C : c->K, H = x ? c->H : outputs(c->H, c->stride);
    const int64_t V = x ? c->W : outputs(c->W, c->stride);
    const int64_t nchw[] = {P, c->N, channels, H, V}, nhwc[] = {P, c->N, H, V, channels};
    memcpy(shape, c->layout == DLF_NCHW || !c->W ? nchw : nhwc, sizeof nchw);
    return c->W ? 5 : 3;
}

static inline int64_t count(int ndim, const int64_t *shape)
{
    int64_t n = 1;
    for (int i = 0; i < ndim; i++) n *= shape[i];
    return n;
}

static inline void build(const c1_case *c, side *dev, side *ref)
{
    const int64_t P = c->P, one = c->shared ? 1 : P;
    int64_t x[5], dx[5], y[5];
    const int ndim = image_shape(x, c, one, true);
    image_shape(dx, c, P, true), image_shape(y, c, P, false);
    const int64_t w[] = {one, c->K, c->C}, dw[] = {P, c->K, c->C}, k[] = {one, c->K},
                  per_c[] = {one, c->C}, all_k[] = {P, c->K};
    const bool keeps = c->accumulate != 0.0;
    const struct {
        int ndim;
        const int64_t *shape;
        dlf_dtype dtype;
        float scale, shift;
        bool filled;
    } what[OPERANDS] = {
        [X] = {ndim, x, c->dtype, 1.0f, 0.2f, true},
        [W] = {3, w, c->dtype, 1.0f / sqrtf((float)c->C), 0.0f, true},
        [BIAS] = {2, k, DLF_F32, 0.5f, c->shift, true},
        [RESIDUAL] = {ndim, y, c->dtype, 1.0f, 0.0f, true},
        [SCALE] = {2, per_c, DLF_F32, 0.3f, 1.0f, true},
        [SHIFT] = {2, per_c, DLF_F32, 0.3f, 0.1f, true},
        [DZ] = {ndim, y, c->dtype, 1.0f, 0.1f, true},
        [Y] = {ndim, y, c->dtype, 0.0f, 0.0f, false},
        [MEAN] = {2, all_k, DLF_F64, 0.0f, 0.0f, false},
        [VAR] = {2, all_k, DLF_F64, 0.0f, 0.0f, false},
        [DX] = {ndim, dx, c->dtype, 1.0f, 0.0f, keeps},
        [DW] = {3, dw, DLF_F32, 1.0f, 0.0f, keeps},
        [DBIAS] = {2, all_k, DLF_F32, 1.0f, 0.0f, keeps},
    };
    for (int i = 0; i < OPERANDS; i++) {
        float *host = kt_random(count(what[i].ndim, what[i].shape), (uint32_t)i + 1, what[i].scale,
                                what[i].shift);
        pair(&dev->o[i], &ref->o[i], what[i].dtype, what[i].filled ? host : NULL, c->pad,
             what[i].ndim, what[i].shape);
        free(host);
    }
}

static inline void release(side *s)
{
    for (int i = 0; i < OPERANDS; i++) dlf_tensor_free(&s->o[i].arena);
}

static inline dlf_conv1x1 options(const c1_case *c)
{
    return (dlf_conv1x1){.layout = c->layout,
                         .stride = {c->stride, c->stride},
                         .activation = dlf_activation_of(c->f),
                         .input_activation = dlf_activation_of(c->g),
                         .tf32 = c->tf32,
                         .version = c->version};
}

static inline dlf_conv1x1_fwd forward_of(const c1_case *c, side *s)
{
    return (dlf_conv1x1_fwd){
        .y = c->in_place ? &s->o[RESIDUAL].t : &s->o[Y].t,
        .mean = c->statistics ? &s->o[MEAN].t : NULL,
        .var = c->statistics ? &s->o[VAR].t : NULL,
        .x = &s->o[X].t,
        .w = &s->o[W].t,
        .bias = c->bias ? &s->o[BIAS].t : NULL,
        .residual = c->residual || c->in_place ? &s->o[RESIDUAL].t : NULL,
        .scale = c->scale ? &s->o[SCALE].t : NULL,
        .shift = c->scale ? &s->o[SHIFT].t : NULL,
    };
}

static inline dlf_conv1x1_bwd backward_of(const c1_case *c, side *s)
{
    return (dlf_conv1x1_bwd){
        .dx = &s->o[DX].t,
        .dw = &s->o[DW].t,
        .dbias = c->bias ? &s->o[DBIAS].t : NULL,
        .dz = &s->o[DZ].t,
        .x = &s->o[X].t,
        .w = &s->o[W].t,
        .scale = c->scale ? &s->o[SCALE].t : NULL,
        .shift = c->scale ? &s->o[SHIFT].t : NULL,
        .accumulate = c->accumulate,
        .accumulate_dx = c->accumulate,
    };
}

/* The bits of what a forward call wrote, as doubles. */
typedef struct written {
    double *v[3];
} written;

static inline written outputs_of(const dlf_conv1x1_fwd *io)
{
    const dlf_tensor *const out[] = {io->y, io->mean, io->var};
    written w = {{NULL}};
    for (int i = 0; i < 3; i++) {
        if (!out[i]) continue;
        w.v[i] = malloc((size_t)dlf_tensor_count(out[i]) * sizeof(double));
        assert_non_null(w.v[i]);
        OK(dlf_tensor_download_f64(w.v[i], out[i]));
    }
    return w;
}

static inline bool is_cuda(void)
{
    return strcmp(kt_dev->info.backend, "cuda") == 0;
}

#endif
