/* SPDX-License-Identifier: MIT
 * softmax_xent_ref.c -- softmax cross-entropy by definition, in double.
 *
 * Rows are shifted by their maximum and follow the arithmetic from there: a NaN, a +Inf or nothing
 * but -Inf makes the whole row NaN (Inf - Inf); a single -Inf is a class of probability 0. */
#include <math.h>

#include "dlf/backend.h"
#include "dlf/ops.h"

typedef struct row {
    double max, sum; /* sum of exp(z - max) */
    int64_t best;    /* argmax, -1 with a NaN in the row */
} row;

static row row_of(const double *z, int64_t C)
{
    row r = {.max = z[0], .sum = 0.0, .best = 0};
    for (int64_t c = 0; c < C; c++) {
        if (z[c] > r.max) r.max = z[c], r.best = c;
    }
    for (int64_t c = 0; c < C; c++) {
        if (isnan(z[c])) r.best = -1;
        r.sum += exp(z[c] - r.max);
    }
    return r;
}

static int64_t label_of(const dlf_tensor *labels, int64_t p, int64_t i)
{
    return ((const int32_t *)labels->data)[(labels->shape[0] == 1 ? 0 : p) * labels->stride + i];
}

dlf_status dlf_softmax_xent_forward_ref(dlf_tensor *loss, dlf_tensor *hit, const dlf_tensor *logits,
                                        const dlf_tensor *labels)
{
    const int64_t P = logits->shape[0], B = logits->shape[1], C = logits->shape[2];
    for (int64_t p = 0; p < P; p++)
        for (int64_t i = 0; i < B; i++) {
            const double *z = (const double *)logits->data + p * logits->stride + i * C;
            const int64_t label = label_of(labels, p, i);
            const bool valid = label >= 0 && label < C;
            const row r = row_of(z, C);
            ((double *)loss->data)[p * loss->stride + i] =
                valid ? log(r.sum) - (z[label] - r.max) : NAN;
            if (hit)
                ((double *)hit->data)[p * hit->stride + i] = valid && r.best == label ? 1.0 : 0.0;
        }
    return DLF_OK;
}

dlf_status dlf_softmax_xent_backward_ref(dlf_tensor *dlogits, const dlf_tensor *logits,
                                         const dlf_tensor *labels, double scale)
{
    const int64_t P = logits->shape[0], B = logits->shape[1], C = logits->shape[2];
    for (int64_t p = 0; p < P; p++)
        for (int64_t i = 0; i < B; i++) {
            const double *z = (const double *)logits->data + p * logits->stride + i * C;
            double *dz = (double *)dlogits->data + p * dlogits->stride + i * C;
            const int64_t label = label_of(labels, p, i);
            const bool valid = label >= 0 && label < C;
            const row r = row_of(z, C);
            for (int64_t c = 0; c < C; c++) {
                const double softmax = exp(z[c] - r.max) / r.sum;
                dz[c] = valid ? scale * (softmax - (c == label ? 1.0 : 0.0)) : NAN;
            }
        }
    return DLF_OK;
}
