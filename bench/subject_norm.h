/* SPDX-License-Identifier: MIT
 * subject_norm.h -- the operands of a normalization as subject_norm.c lays them out, for the peers.
 */
#ifndef DLF_SUBJECT_NORM_H
#define DLF_SUBJECT_NORM_H
#include <string.h>

#include "bench/subject.h"

enum {
    NORM_X,
    NORM_Y,
    NORM_MEAN,
    NORM_RSTD,
    NORM_RUNNING_MEAN,
    NORM_RUNNING_VAR,
    NORM_GAMMA,
    NORM_BETA,
    NORM_DY,
    NORM_DX,
    NORM_DGAMMA,
    NORM_DBETA,
    NORM_OPERANDS
};

static inline bool norm_infers(const dlf_bench_case *c)
{
    return strcmp(c->direction, "infer") == 0;
}
static inline bool norm_goes_back(const dlf_bench_case *c)
{
    return strcmp(c->direction, "backward") == 0;
}
#endif
