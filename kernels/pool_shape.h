/* SPDX-License-Identifier: MIT
 * pool_shape.h -- both layouts of a pooling as one, for pool.cu and pool_cpu.c.
 *
 *   x (P, outer, H, W, inner)     y (P, outer, OH, OW, inner)
 *   NCHW: outer = N C, inner = 1          NHWC: outer = N, inner = C
 *
 * One window over the whole image is one window over a row of H W positions. */
#ifndef DLF_POOL_SHAPE_H
#define DLF_POOL_SHAPE_H
#include "dlf/ops.h"

enum { DLF_VERTICAL, DLF_HORIZONTAL };

typedef struct dlf_pool_shape {
    int64_t P, outer, inner;
    int32_t in[2], out[2]; /* H, W; OH, OW; the op refuses what is above 2^30 */
    int32_t kernel[2], stride[2], pad[2];
    bool count_pad, whole; /* whole: one window over the whole image */
} dlf_pool_shape;

static inline dlf_pool_shape dlf_pool_shape_of(const dlf_tensor *x, const dlf_tensor *y,
                                               const dlf_pool *pool)
{
    const bool nchw = pool->layout == DLF_NCHW;
    dlf_pool_shape s;
    s.P = x->shape[0];
    s.outer = nchw ? x->shape[1] * x->shape[2] : x->shape[1];
    s.inner = nchw ? 1 : x->shape[4];
    s.count_pad = pool->count_pad;
    s.whole = true;
    for (int k = 0; k < 2; k++) {
        s.in[k] = (int32_t)x->shape[(nchw ? 3 : 2) + k];
        s.out[k] = (int32_t)y->shape[(nchw ? 3 : 2) + k];
        s.kernel[k] = (int32_t)pool->kernel[k];
        s.stride[k] = (int32_t)pool->stride[k];
        s.pad[k] = (int32_t)pool->pad[k];
        if (s.out[k] != 1 || s.pad[k] != 0 || s.kernel[k] != s.in[k]) s.whole = false;
    }
    if ((int64_t)s.in[0] * s.in[1] > INT32_MAX) s.whole = false;
    if (s.whole) {
        s.in[1] = s.kernel[1] = s.in[0] * s.in[1];
        s.in[0] = s.kernel[0] = 1;
        s.stride[0] = s.stride[1] = 1;
    }
    return s;
}
#endif
