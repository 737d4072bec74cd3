/* SPDX-License-Identifier: MIT
 * embedding_ref.c -- the definition: rows picked by index, and their gradients added in order. */
#include <math.h>

#include "dlf/backend.h"

dlf_status dlf_embedding_forward_ref(dlf_tensor *y, const dlf_tensor *table,
                                     const dlf_tensor *index);
dlf_status dlf_embedding_backward_ref(dlf_tensor *dtable, const dlf_tensor *dy,
                                      const dlf_tensor *index, double beta);

/* The row that position i of member p names; -1: none. */
static int64_t row_of(const dlf_tensor *index, int64_t p, int64_t i, int64_t V)
{
    const int32_t *rows = index->data;
    const int64_t v = rows[(index->shape[0] == 1 ? 0 : p * index->stride) + i];
    return v >= 0 && v < V ? v : -1;
}

dlf_status dlf_embedding_forward_ref(dlf_tensor *y, const dlf_tensor *table,
                                     const dlf_tensor *index)
{
    const int64_t P = y->shape[0], B = y->shape[1], N = y->shape[2], V = table->shape[1];
    for (int64_t p = 0; p < P; p++)
        for (int64_t i = 0; i < B; i++) {
            const int64_t v = row_of(index, p, i, V);
            for (int64_t j = 0; j < N; j++)
                ((double *)y->data)[p * y->stride + i * N + j] =
                    v < 0 ? NAN : ((const double *)table->data)[p * table->stride + v * N + j];
        }
    return DLF_OK;
}

dlf_status dlf_embedding_backward_ref(dlf_tensor *dtable, const dlf_tensor *dy,
                                      const dlf_tensor *index, double beta)
{
    const int64_t P = dy->shape[0], B = dy->shape[1], N = dy->shape[2], V = dtable->shape[1];
    for (int64_t p = 0; p < P; p++) {
        double *to = (double *)dtable->data + p * dtable->stride;
        for (int64_t k = 0; k < V * N; k++) to[k] = beta == 0.0 ? 0.0 : beta * to[k];
        for (int64_t i = 0; i < B; i++) {
            const int64_t v = row_of(index, p, i, V);
            for (int64_t j = 0; v >= 0 && j < N; j++)
                to[v * N + j] += ((const double *)dy->data)[p * dy->stride + i * N + j];
        }
    }
    return DLF_OK;
}
