/* SPDX-License-Identifier: MIT
 * norm.cuh -- what the normalization kernels share: their operands, how a mean is kept, the one
 * expression for z, and the second stage of dgamma and dbeta. include/dlf/norm.h has the formulas.
 */
#ifndef DLF_NORM_CUH
#define DLF_NORM_CUH
#include "activation.cuh"
#include "storage.cuh"

/* ---- operands ---------------------------------------------------------------------------------
 */

/* A call as kernels see it; what it leaves out has no data. */
template <class T> struct dlf_norm_fwd_views {
    dlf_view<T> y;
    dlf_view<double> mean;
    dlf_view<float> rstd;
    dlf_view<const T> x, residual;
    dlf_view<const float> gamma, beta;
    double eps;
    dlf_epilogue f;
};

template <class T> struct dlf_norm_bwd_views {
    dlf_view<T> dx, dresidual;
    dlf_view<const T> dy, x, residual;
    dlf_view<const double> mean;
    dlf_view<const float> rstd, gamma, beta;
    dlf_epilogue f;
};

template <class T>
static inline dlf_norm_fwd_views<T> dlf_views_of(const dlf_norm_fwd *io, const dlf_norm *norm)
{
    return dlf_norm_fwd_views<T>{dlf_view_of<T>(io->y),
                                 dlf_view_of<double>(io->mean),
                                 dlf_view_of<float>(io->rstd),
                                 dlf_view_of<const T>(io->x),
                                 dlf_view_of<const T>(io->residual),
                                 dlf_view_of<const float>(io->gamma),
                                 dlf_view_of<const float>(io->beta),
                                 norm->eps,
                                 dlf_epilogue_of(norm->activation)};
}

template <class T>
static inline dlf_norm_bwd_views<T> dlf_views_of(const dlf_norm_bwd *io, const dlf_norm *norm)
{
    return dlf_norm_bwd_views<T>{dlf_view_of<T>(io->dx),
                                 dlf_view_of<T>(io->dresidual),
                                 dlf_view_of<const T>(io->dy),
                                 dlf_view_of<const T>(io->x),
                                 dlf_view_of<const T>(io->residual),
                                 dlf_view_of<const double>(io->mean),
                                 dlf_view_of<const float>(io->rstd),
                                 dlf_view_of<const float>(io->gamma),
                                 dlf_view_of<const float>(io->beta),
                                 dlf_epilogue_of(norm->activation)};
}

/* ---- statistics -------------------------------------------------------------------------------
 */

/* A mean as two floats: (x - hi) - lo keeps the digits that one float would lose where |mean| is
 * large against the standard deviation; x - hi is exact there. */
struct dlf_mean {
    float hi, lo;
};

static __device__ __forceinline__ dlf_mean dlf_mean_of(double mean)
{
    const float hi = (float)mean;
    return dlf_mean{hi, (float)(mean - (double)hi)};
}

static __device__ __forceinline__ float dlf_centred(float x, dlf_mean mean)
{
    return (x - mean.hi) - mean.lo;
}

/* z = gamma xhat + beta + residual: the same bits in forward and backward. */
static __device__ __forceinline__ float dlf_norm_z(float x, dlf_mean mean, float rstd, float gamma,
                                                   float beta, float residual)
{
    return fmaf(dlf_centred(x, mean) * rstd, gamma, beta) + residual;
}

/* Corrected two-pass variance of n resident values: `first` is their mean as a float sum gave it,
 * s1 and s2 the sums of (x - first) and (x - first)^2. */
struct dlf_moments2 {
    double mean, var;
};

static __device__ __forceinline__ dlf_moments2 dlf_corrected(float first, float s1, float s2,
                                                             double n)
{
    const double shift = (double)s1 / n, var = (double)s2 / n - shift * shift;
    return dlf_moments2{(double)first + shift, var < 0.0 ? 0.0 : var}; /* NaN is not < 0 */
}

static __device__ __forceinline__ float dlf_rstd(double var, double eps)
{
    return 1.0f / sqrtf((float)(var + eps));
}

/* Count, mean and sum of squared deviations of a part. */
struct dlf_stat {
    double n, mean, m2;
};

/* ---- reductions -------------------------------------------------------------------------------
 */

/* Sums over WIDTH neighbouring lanes (a power of two), the same bits in each of them. */
template <int WIDTH, int K> static __device__ __forceinline__ void dlf_lane_sums(float (&v)[K])
{
#pragma unroll
    for (int d = WIDTH / 2; d > 0; d /= 2)
#pragma unroll
        for (int k = 0; k < K; k++) v[k] += __shfl_xor_sync(0xffffffffu, v[k], d);
}

/* Sums over a block of THREADS (a multiple of 32), the same bits in every thread: butterfly in a
 * warp, then the warps in order. All threads must call it. */
template <int THREADS, int K> static __device__ __forceinline__ void dlf_block_sums(float (&v)[K])
{
    constexpr int WARPS = THREADS / DLF_WARP;
    dlf_lane_sums<DLF_WARP, K>(v);
    if constexpr (WARPS > 1) {
        DLF_SHARED(float, warps, [K][WARPS]);
        const int warp = (int)threadIdx.x / DLF_WARP, lane = (int)threadIdx.x % DLF_WARP;
        __syncthreads(); /* the array may still be read from the reduction before */
        if (lane == 0)
            for (int k = 0; k < K; k++) warps[k][warp] = v[k];
        __syncthreads();
#pragma unroll
        for (int k = 0; k < K; k++) {
            float sum = warps[k][0];
            for (int i = 1; i < WARPS; i++) sum += warps[k][i];
            v[k] = sum;
        }
    }
}

/* ---- dgamma, dbeta: the second stage ----------------------------------------------------------
 */

enum { DLF_FINISH_COLUMNS = 32, DLF_FINISH_LANES = 8 };

/* part holds, for each member, `parts` pairs of rows of C floats: sum dz xhat, then sum dz.
 *   dgamma[p,c] = sum over k of part[p][k][0][c] + accumulate dgamma[p,c];  dbeta alike from [1]
 * in a fixed order, in double. An output without data is skipped. */
static __global__ void __launch_bounds__(DLF_FINISH_COLUMNS *DLF_FINISH_LANES)
    dlf_norm_finish(dlf_view<float> dgamma, dlf_view<float> dbeta, const float *part, int64_t P,
                    int64_t parts, int64_t C, double accumulate)
{
    DLF_SHARED(double, lanes, [2][DLF_FINISH_LANES][DLF_FINISH_COLUMNS]);
    const int column = (int)threadIdx.x, lane = (int)threadIdx.y;
    const int64_t tiles = (C + DLF_FINISH_COLUMNS - 1) / DLF_FINISH_COLUMNS;
    for (int64_t task = blockIdx.x; task < P * tiles; task += gridDim.x) {
        const int64_t p = task / tiles, c = task % tiles * DLF_FINISH_COLUMNS + column;
        const float *member = part + p * parts * 2 * C;
        double sum[2] = {0.0, 0.0};
        if (c < C)
            for (int64_t k = lane; k < parts; k += DLF_FINISH_LANES)
                for (int which = 0; which < 2; which++)
                    sum[which] += member[(2 * k + which) * C + c];
        __syncthreads(); /* the array may still be read for the tile before */
        lanes[0][lane][column] = sum[0];
        lanes[1][lane][column] = sum[1];
        __syncthreads();
        if (lane >= 2 || c >= C) continue; /* lane 0 finishes dgamma, lane 1 dbeta */
        float *out = (lane ? dbeta : dgamma).data;
        if (!out) continue;
        out += p * (lane ? dbeta : dgamma).stride + c;
        double total = 0.0;
        for (int k = 0; k < DLF_FINISH_LANES; k++) total += lanes[lane][k][column];
        dlf_store_sum(out, total, accumulate);
    }
}

static inline cudaError_t dlf_norm_finish_launch(const dlf_norm_bwd *io, const float *part,
                                                 int64_t P, int64_t parts, int64_t C)
{
    const int64_t tasks = P * dlf_ceil_div(C, DLF_FINISH_COLUMNS);
    return DLF_LAUNCH(dlf_norm_finish, dlf_grid_x(io->dx, tasks, 1),
                      dim3(DLF_FINISH_COLUMNS, DLF_FINISH_LANES), 0, dlf_stream_of(io->dx),
                      dlf_view_of<float>(io->dgamma), dlf_view_of<float>(io->dbeta), part, P, parts,
                      C, io->accumulate);
}

/* ---- versions ---------------------------------------------------------------------------------
 */

/* A row of a family's version table; row 0 is version 1, the readable one, and fits everything. */
template <class Call> struct dlf_version {
    const char *name, *needs, *why;
    bool (*fits)(const Call &);
    dlf_status (*run)(const Call &);
};

/* Run version `wanted`; 0: what `choose` says. */
template <class Call, int N>
static inline dlf_status dlf_run_version(const dlf_version<Call> (&table)[N], const Call &call,
                                         int wanted, int (*choose)(const Call &), const char *op)
{
    const int version = wanted ? wanted : choose(call);
    if (version < 1 || version > N)
        return dlf_fail(DLF_ERR_NO_KERNEL, "%s has versions 1 to %d, not %d", op, N, version);
    const dlf_version<Call> &row = table[version - 1];
    if (!row.fits(call))
        return dlf_fail(DLF_ERR_NO_KERNEL, "%s version %d (%s) needs %s", op, version, row.name,
                        row.needs);
    return row.run(call);
}
#endif
