/* SPDX-License-Identifier: MIT
 * conv_cpu.c -- convolution on the CPU: images side by side in the lanes of vectors (cpu_conv*.h),
 * so that one way serves both layouts, every stride, and depthwise convolutions, too.
 *
 * Every result is written by one thread, which adds its products in an order that follows from the
 * shape. */
#include "cpu_conv_product.h"
#include "cpu_conv_weight.h"

static double work_of(const dlf_conv_shape *s)
{
    return (double)s->P * (double)s->N * s->groups * s->K * s->out[0] * s->out[1] * s->C *
           s->kernel[0] * s->kernel[1] / VEC;
}

/* A 1x1 kernel without padding is a family of its own, which reads x where it lies. */
static bool is_1x1(const dlf_conv_shape *s)
{
    return s->kernel[0] == 1 && s->kernel[1] == 1 && s->pad[0] == 0 && s->pad[1] == 0 &&
           s->groups == 1;
}

/* w (P,K,C,1,1) or (P,K,1,1,C) as that family has it. */
static dlf_tensor matrix_of(const dlf_tensor *w, const dlf_conv_shape *s)
{
    const int64_t shape[] = {w->shape[0], s->K, s->C};
    return dlf_tensor_window(w, 0, 3, shape);
}

static dlf_conv1x1 conv1x1_of(const dlf_conv *conv)
{
    return (dlf_conv1x1){.layout = conv->layout, .stride = {conv->stride[0], conv->stride[1]}};
}

dlf_status DLF_CPU(conv_forward)(dlf_tensor *y, const dlf_tensor *x, const dlf_tensor *w,
                                 const dlf_tensor *bias, dlf_conv conv)
{
    const dlf_conv_shape s = dlf_conv_shape_of(y, x, w, y, &conv);
    const int threads = dlf_cpu_threads(y, work_of(&s));
    if (is_1x1(&s)) {
        const dlf_tensor matrix = matrix_of(w, &s);
        const dlf_conv1x1 one = conv1x1_of(&conv);
        const dlf_conv1x1_fwd io = {.y = y, .x = x, .w = &matrix, .bias = bias};
        return DLF_CPU(conv1x1_forward)(&io, &one);
    }
    product p;
    dlf_status status = product_of(&p, &s, false, y->data, x->data, w->data, threads);
    if (bias) {
        p.bias = bias->data;
        p.bias_member = bias->stride;
    }
    if (status == DLF_OK) status = run_product(&p, &s, threads);
    product_free(&p);
    return status;
}

dlf_status DLF_CPU(conv_data_grad)(dlf_tensor *dx, const dlf_tensor *dy, const dlf_tensor *w,
                                   dlf_conv conv, double beta)
{
    const dlf_conv_shape s = dlf_conv_shape_of(dy, dx, w, dx, &conv);
    const int threads = dlf_cpu_threads(dx, work_of(&s));
    if (is_1x1(&s)) {
        const dlf_tensor matrix = matrix_of(w, &s);
        const dlf_conv1x1 one = conv1x1_of(&conv);
        const dlf_conv1x1_bwd io = {.dx = dx, .dz = dy, .w = &matrix, .accumulate_dx = beta};
        return DLF_CPU(conv1x1_backward_data)(&io, &one);
    }
    product p;
    dlf_status status = product_of(&p, &s, true, dx->data, dy->data, w->data, threads);
    p.beta = (float)beta;
    if (status == DLF_OK) status = run_product(&p, &s, threads);
    product_free(&p);
    return status;
}

dlf_status DLF_CPU(conv_weight_grad)(dlf_tensor *dw, const dlf_tensor *x, const dlf_tensor *dy,
                                     dlf_conv conv, double beta)
{
    const dlf_conv_shape s = dlf_conv_shape_of(dy, x, dw, dw, &conv);
    const int threads = dlf_cpu_threads(dw, work_of(&s));
    if (is_1x1(&s)) {
        dlf_tensor matrix = matrix_of(dw, &s);
        const dlf_conv1x1 one = conv1x1_of(&conv);
        const dlf_conv1x1_bwd io = {.dw = &matrix, .dz = dy, .x = x, .accumulate = beta};
        return DLF_CPU(conv1x1_backward_weight)(&io, &one);
    }
    weight_plan w = {.s = &s, .x = x->data, .dy = dy->data, .dw = dw->data, .beta = beta};
    const dlf_status status = run_weight(&w, threads);
    weight_free(&w);
    return status;
}

/* DLF_NCHW; the other layout is bias_grad. */
dlf_status DLF_CPU(conv_bias_grad)(dlf_tensor *dbias, const dlf_tensor *dy, double beta)
{
    const int64_t P = dy->shape[0], N = dy->shape[1], K = dy->shape[2];
    const int64_t positions = dy->shape[3] * dy->shape[4];
    const int threads = dlf_cpu_threads(dbias, (double)dlf_tensor_count(dy) / VEC);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t task = 0; task < P * K; task++) {
        const int64_t p = task / K, k = task % K;
        double sum = 0.0;
        for (int64_t n = 0; n < N; n++) {
            const float *from = (const float *)dy->data + p * dy->stride + (n * K + k) * positions;
            vec part = vec_all(0.0f);
            int64_t i = 0;
            for (; i + VEC <= positions; i += VEC) part += vec_load(from + i);
            if (i < positions) part += vec_load_some(from + i, positions - i, vec_all(0.0f));
            sum += (double)vec_sum(part);
        }
        float *to = (float *)dbias->data + p * dbias->stride + k;
        *to = (float)(beta == 0.0 ? sum : sum + beta * (double)*to);
    }
    return DLF_OK;
}
