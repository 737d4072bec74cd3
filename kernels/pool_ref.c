/* SPDX-License-Identifier: MIT
 * pool_ref.c -- the definition: every window by itself. */
#include <math.h>

#include "dlf/backend.h"

dlf_status dlf_pool_forward_ref(dlf_tensor *y, const dlf_tensor *x, dlf_pool pool);
dlf_status dlf_pool_backward_ref(dlf_tensor *dx, const dlf_tensor *dy, const dlf_tensor *x,
                                 dlf_pool pool);

/* (N,C,H,W) of a tensor in either layout. */
typedef struct extent {
    int64_t N, C, H, W;
    dlf_layout layout;
} extent;

static extent extent_of(const dlf_tensor *t, dlf_layout layout)
{
    const int64_t *s = t->shape;
    return layout == DLF_NCHW ? (extent){s[1], s[2], s[3], s[4], layout}
                              : (extent){s[1], s[4], s[2], s[3], layout};
}

static int64_t at(const extent *e, int64_t n, int64_t c, int64_t h, int64_t w)
{
    return e->layout == DLF_NCHW ? ((n * e->C + c) * e->H + h) * e->W + w
                                 : ((n * e->H + h) * e->W + w) * e->C + c;
}

/* What window (i,j) of channel c of sample n comes to. */
typedef struct window {
    double max, sum;
    int64_t argmax, inside; /* where in x; how many positions are not padding */
} window;

static window window_of(const double *x, const extent *e, const dlf_pool *pool, int64_t n,
                        int64_t c, int64_t i, int64_t j)
{
    window r = {.max = NAN, .sum = 0.0, .argmax = -1, .inside = 0};
    for (int64_t a = 0; a < pool->kernel[0]; a++)
        for (int64_t b = 0; b < pool->kernel[1]; b++) {
            const int64_t h = i * pool->stride[0] - pool->pad[0] + a;
            const int64_t w = j * pool->stride[1] - pool->pad[1] + b;
            if (h < 0 || h >= e->H || w < 0 || w >= e->W) continue;
            r.inside++;
            if (!x) continue; /* average, backward */
            const double v = x[at(e, n, c, h, w)];
            r.sum += v;
            if (r.argmax < 0 || v > r.max || (isnan(v) && !isnan(r.max))) {
                r.max = v;
                r.argmax = at(e, n, c, h, w);
            }
        }
    return r;
}

static double divisor(const dlf_pool *pool, const window *r)
{
    return (double)(pool->count_pad ? pool->kernel[0] * pool->kernel[1] : r->inside);
}

#define EACH_OUTPUT(e)                                                                             \
    for (int64_t n = 0; n < (e).N; n++)                                                            \
        for (int64_t c = 0; c < (e).C; c++)                                                        \
            for (int64_t i = 0; i < (e).H; i++)                                                    \
                for (int64_t j = 0; j < (e).W; j++)

dlf_status dlf_pool_forward_ref(dlf_tensor *y, const dlf_tensor *x, dlf_pool pool)
{
    const extent in = extent_of(x, pool.layout), out = extent_of(y, pool.layout);
    for (int64_t p = 0; p < x->shape[0]; p++) {
        const double *x_p = (const double *)x->data + p * x->stride;
        double *y_p = (double *)y->data + p * y->stride;
        EACH_OUTPUT(out)
        {
            const window r = window_of(x_p, &in, &pool, n, c, i, j);
            y_p[at(&out, n, c, i, j)] =
                pool.kind == DLF_POOL_MAX ? r.max : r.sum / divisor(&pool, &r);
        }
    }
    return DLF_OK;
}

dlf_status dlf_pool_backward_ref(dlf_tensor *dx, const dlf_tensor *dy, const dlf_tensor *x,
                                 dlf_pool pool)
{
    const extent in = extent_of(dx, pool.layout), out = extent_of(dy, pool.layout);
    for (int64_t p = 0; p < dx->shape[0]; p++) {
        const double *x_p =
            pool.kind == DLF_POOL_MAX ? (const double *)x->data + p * x->stride : NULL;
        const double *dy_p = (const double *)dy->data + p * dy->stride;
        double *dx_p = (double *)dx->data + p * dx->stride;
        for (int64_t k = 0; k < dlf_tensor_member_count(dx); k++) dx_p[k] = 0.0;
        EACH_OUTPUT(out)
        {
            const window r = window_of(x_p, &in, &pool, n, c, i, j);
            const double g = dy_p[at(&out, n, c, i, j)];
            if (pool.kind == DLF_POOL_MAX) {
                dx_p[r.argmax] += g;
                continue;
            }
            for (int64_t a = 0; a < pool.kernel[0]; a++)
                for (int64_t b = 0; b < pool.kernel[1]; b++) {
                    const int64_t h = i * pool.stride[0] - pool.pad[0] + a;
                    const int64_t w = j * pool.stride[1] - pool.pad[1] + b;
                    if (h < 0 || h >= in.H || w < 0 || w >= in.W) continue;
                    dx_p[at(&in, n, c, h, w)] += g / divisor(&pool, &r);
                }
        }
    }
    return DLF_OK;
}
