/* SPDX-License-Identifier: MIT
 * subject_conv.h -- the operands of a convolution as subject_conv.c lays them out, for the peers.
 */
#ifndef DLF_SUBJECT_CONV_H
#define DLF_SUBJECT_CONV_H
#include <string.h>

#include "bench/subject.h"

/* Forward: X, W, BIAS -> Y, MEAN, VAR. Gradients: DY and W -> DX, X and DY -> DW. PACKED: W in the
 * order that our kernels read, made before the first call. */
enum {
    CONV_X,
    CONV_W,
    CONV_BIAS,
    CONV_Y,
    CONV_MEAN,
    CONV_VAR,
    CONV_DY,
    CONV_DX,
    CONV_DW,
    CONV_PACKED
};

typedef enum conv_direction { CONV_FORWARD, CONV_DATA, CONV_WEIGHT } conv_direction;

static inline conv_direction conv_direction_of(const dlf_bench_case *c)
{
    return c->direction[0] == 'f' ? CONV_FORWARD : c->direction[0] == 'd' ? CONV_DATA : CONV_WEIGHT;
}

/* Height = width of y. */
static inline int64_t conv_positions(const dlf_bench_case *c, int axis)
{
    return (c->shape[2 + axis] + 2 * c->pad - c->kernel) / c->stride + 1;
}

/* Bias, relu and statistics, as the op's name says. */
static inline bool conv_has_relu(const dlf_bench_case *c)
{
    return strcmp(c->op, "conv1x1_relu") == 0 || strcmp(c->op, "conv1x1_stats") == 0;
}
static inline bool conv_has_statistics(const dlf_bench_case *c)
{
    return strcmp(c->op, "conv1x1_stats") == 0;
}
static inline bool conv_is_packed(const dlf_bench_case *c)
{
    return strcmp(c->op, "conv1x1_packed") == 0;
}
static inline bool conv_is_pointwise(const dlf_bench_case *c)
{
    return strcmp(c->family, "conv1x1") == 0;
}
#endif
