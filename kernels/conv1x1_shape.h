/* SPDX-License-Identifier: MIT
 * conv1x1_shape.h -- where the positions of y lie in x and in y, for the CPU and the CUDA kernels.
 *
 * A 1x1 convolution is a matrix product over positions q = (n, i, j) of y, numbered 0 .. M-1 in
 * both layouts:
 *
 *   forward   z[q,k]  = sum_c u[q,c] w[k,c]         rows q, columns k, depth c
 *   data      du[q,c] = sum_k dz[q,k] w[k,c]        rows q, columns c, depth k
 *   weight    dw[k,c] = sum_q dz[q,k] u[q,c]        rows k, columns c, depth q */
#ifndef DLF_CONV1X1_SHAPE_H
#define DLF_CONV1X1_SHAPE_H
#include "dlf/conv1x1.h"

/* Tiles of versions 2 and 3 on cuda: positions x channels, steps of 64 bytes of depth, of which a
 * row takes 16 more; three stages of rows; sums as floats, a row one longer. */
enum {
    C1_ROWS = 128,
    C1_PIPE_COLUMNS = 64,
    C1_STEP_BYTES = 64,
    C1_PITCH = C1_STEP_BYTES + 16,
    C1_STAGES = 3,
    C1_SUMS_BYTES = C1_ROWS * (C1_PIPE_COLUMNS + 1) * 4
};

/* Shared memory of a block of version 3: weights of 64 columns, stages of rows, sums. */
static inline int64_t c1_resident_bytes(int64_t depth, int64_t element_size)
{
    const int64_t step = C1_STEP_BYTES / element_size;
    return (depth + step - 1) / step * C1_PIPE_COLUMNS * C1_PITCH + C1_STAGES * C1_ROWS * C1_PITCH +
           C1_SUMS_BYTES;
}

/* The positions in an image (x or y): all of them, or every sh-th row and sw-th column. Channel c
 * of position q = (n, i, j) is element n image + i row + j column + c channel. */
typedef struct c1_positions {
    int64_t per_image, OW;      /* OH OW (M where images follow each other as if one), OW       */
    int64_t image, row, column; /* elements from image to image, row to row, position to position */
    int64_t channel;            /* elements from channel to channel                             */
    bool dense;                 /* rows follow each other: q = (n, s) is n image + s column     */
} c1_positions;

/* x's (channels C, strided) or y's (channels K). */
static inline c1_positions c1_positions_of(const dlf_conv1x1_geometry *g, bool nhwc, bool x)
{
    const int64_t channels = x ? g->C : g->K, H = x ? g->H : g->OH, W = x ? g->W : g->OW;
    const int64_t sh = x ? g->stride[0] : 1, sw = x ? g->stride[1] : 1, pixel = nhwc ? channels : 1;
    c1_positions at;
    at.per_image = g->OH * g->OW;
    at.OW = g->OW;
    at.image = channels * H * W;
    at.row = sh * W * pixel;
    at.column = sw * pixel;
    at.channel = nhwc ? 1 : H * W;
    at.dense = at.row == g->OW * at.column || g->OH == 1;
    if (at.dense && (at.image == at.per_image * at.column || g->N == 1)) at.per_image = g->M;
    return at;
}
#endif
