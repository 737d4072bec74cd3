/* SPDX-License-Identifier: MIT
 * cpu_group_norm.h -- what both ways of group_norm_cpu.c share: the call's sizes, statistics that
 * merge, and outputs that may bypass the cache. */
#ifndef DLF_CPU_GROUP_NORM_H
#define DLF_CPU_GROUP_NORM_H
#include <stdlib.h>

#include "cpu_storage.h"
#include "dlf/norm.h"

enum {
    PIECE = 512,               /* elements at a time in buffers on the stack                     */
    SUM = 8 * PIECE,           /* NCHW: elements of one float sum, to stay in the first cache    */
    RUN = 2 * SUM,             /* NCHW: elements of one task where groups are few                */
    CHUNK = 64 * 1024,         /* NHWC: elements of a chunk of rows, to stay in the second cache */
    CHUNK_ROWS = 1024,         /* NHWC: rows of a chunk: the longest float sum                   */
    SECOND_CACHE = 256 * 1024, /* NHWC: elements of a sample that stays in the second cache   */
    SAMPLE_BLOCKS = 64,        /* NHWC backward: partial sums of dgamma per member               */
};

typedef struct stat {
    double n, mean, m2;
} stat;

static stat merge(stat a, stat b)
{
    if (a.n == 0.0) return b;
    const double n = a.n + b.n, d = b.mean - a.mean;
    return (stat){n, a.mean + d * (b.n / n), a.m2 + b.m2 + d * d * (a.n * (b.n / n))};
}

/* From sums of (x - first) and (x - first)^2 of n values. */
static stat corrected(float first, double s1, double s2, double n)
{
    const double m2 = s2 - s1 * (s1 / n);
    return (stat){n, (double)first + s1 / n, m2 < 0.0 ? 0.0 : m2}; /* NaN is not < 0 */
}

/* What one channel takes, the same in forward and backward; hi + lo is the mean:
 *   xhat = fma(x - hi, rstd, offset),  offset = -lo rstd
 *   z = fma(x - hi, scale, shift) + residual,  scale = gamma rstd, shift = beta - lo scale */
typedef struct affine {
    float hi, lo, rstd, offset, scale, shift;
} affine;

typedef struct job {
    dlf_norm_geometry g;
    dlf_dtype dtype;
    dlf_activation f;
    double eps;
    bool stream; /* outputs bypass the cache */
    int threads;
} job;

/* `out` is the large output, `aliased` the input it may stand on. */
static dlf_status job_of(job *j, const dlf_tensor *x, const dlf_tensor *out,
                         const dlf_tensor *aliased, const dlf_norm *norm, double cost)
{
    const int64_t count = dlf_tensor_count(x);
    *j = (job){.dtype = x->dtype, .f = norm->activation, .eps = norm->eps};
    if (norm->version < 0 || norm->version > 1)
        return dlf_fail(DLF_ERR_NO_KERNEL, "group_norm on cpu has 1 version, not %d",
                        norm->version);
    j->stream = j->dtype == DLF_F32 && out->data != aliased->data &&
                dlf_cpu_streams(2 * count * (int64_t)sizeof(float));
    j->threads = dlf_cpu_threads(x, (double)count * cost);
    return dlf_norm_geometry_of(&j->g, x, *norm);
}

static bool by_rows(const job *j, const dlf_norm *norm)
{
    return norm->layout == DLF_NHWC || j->g.S == 1;
}

/* Member p of an operand in storage, of a real one, and of mean; NULL stays NULL. */
static void *storage_of(const dlf_tensor *t, int64_t p)
{
    return t ? (char *)t->data + p * t->stride * (t->dtype == DLF_F32 ? 4 : 2) : NULL;
}

static float *real_of(const dlf_tensor *t, int64_t p)
{
    return t ? (float *)t->data + p * t->stride : NULL;
}

static double *mean_of(const dlf_tensor *t, int64_t p)
{
    return t ? (double *)t->data + p * t->stride : NULL;
}

static dlf_status no_memory(const char *op)
{
    return dlf_fail(DLF_ERR_OOM, "%s on cpu: no memory for partial sums", op);
}

static inline affine affine_of(double mean, float rstd)
{
    const float hi = (float)mean, lo = (float)(mean - (double)hi);
    return (affine){hi, lo, rstd, -lo * rstd, rstd, -lo * rstd};
}

/* gamma and beta of channel c into `a`. */
static inline affine affine_at(affine a, const float *gamma, const float *beta, int64_t c)
{
    a.scale = gamma ? gamma[c] * a.rstd : a.rstd;
    a.shift = fmaf(-a.lo, a.scale, beta ? beta[c] : 0.0f);
    return a;
}

/* Keep the statistic of group q of member p, and return it as the affine of a channel. */
static affine keep(const job *j, const dlf_norm_fwd *io, int64_t p, int64_t q, stat s)
{
    const float rstd = 1.0f / sqrtf((float)(s.m2 / s.n + j->eps));
    if (io->mean) mean_of(io->mean, p)[q] = s.mean;
    if (io->rstd) real_of(io->rstd, p)[q] = rstd;
    return affine_of(s.mean, rstd);
}

static affine kept(const dlf_norm_bwd *io, int64_t p, int64_t q)
{
    return affine_of(mean_of(io->mean, p)[q], real_of(io->rstd, p)[q]);
}

/* The output of a piece goes to `v`, which store() then puts in place. */
static float *target(const job *j, float *buffer, void *out, int64_t at)
{
    return j->stream ? buffer : dlf_cpu_target(buffer, out, j->dtype, at);
}

static void store(const job *j, void *out, int64_t at, const float *v, int64_t n)
{
    if (j->stream)
        dlf_cpu_stream((float *)out + at, v, n);
    else
        dlf_cpu_store(out, j->dtype, at, v, n);
}

/* dgamma, dbeta of every member from `parts` partial sums, pairs (dgamma, dbeta) of C channels. */
static void finish(const job *j, const dlf_norm_bwd *io, const double *part, int64_t parts)
{
    for (int64_t p = 0; p < j->g.P; p++)
        for (int which = 0; which < 2; which++) {
            float *out = real_of(which ? io->dbeta : io->dgamma, p);
            for (int64_t c = 0; out && c < j->g.C; c++) {
                double sum = 0.0;
                for (int64_t k = 0; k < parts; k++)
                    sum += part[2 * ((p * parts + k) * j->g.C + c) + which];
                out[c] = (float)(io->accumulate == 0.0 ? sum : sum + io->accumulate * out[c]);
            }
        }
}
#endif
