/* SPDX-License-Identifier: MIT
 * optimiser_test.h -- the operands that the tests of sgd and adam have in common. */
#ifndef DLF_OPTIMISER_TEST_H
#define DLF_OPTIMISER_TEST_H
#include "kernel_test.h"

/* Weights, a gradient, learning rates around 0.1 and gradient scales around 0.8 of P members. */
typedef struct problem {
    int64_t P, n;
    float *w, *g, *lr, *s;
} problem;

static inline problem problem_of(int64_t P, int64_t n)
{
    return (problem){P,
                     n,
                     kt_random(P * n, 1, 1.0f, 0.0f),
                     kt_random(P * n, 2, 1.0f, 0.1f),
                     kt_random(P, 3, 0.01f, 0.1f),
                     kt_random(P, 4, 0.1f, 0.8f)};
}

static inline void problem_free(problem *q)
{
    free(q->w), free(q->g), free(q->lr), free(q->s);
}
#endif
