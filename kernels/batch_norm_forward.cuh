/* SPDX-License-Identifier: MIT
 * batch_norm_forward.cuh -- training: statistics, then y. */
#ifndef DLF_BATCH_NORM_FORWARD_CUH
#define DLF_BATCH_NORM_FORWARD_CUH
#include "batch_norm_apply.cuh"

/* What the statistics of a channel become, besides y. */
struct bn_statistics {
    dlf_view<double> mean;
    dlf_view<float> rstd, running_mean, running_var;
    double eps, momentum, count;
};

static inline bn_statistics bn_statistics_of(const bn_fwd_call &call)
{
    const dlf_norm_fwd *io = call.io;
    return bn_statistics{dlf_view_of<double>(io->mean),
                         dlf_view_of<float>(io->rstd),
                         dlf_view_of<float>(io->running_mean),
                         dlf_view_of<float>(io->running_var),
                         call.norm->eps,
                         call.norm->momentum,
                         (double)(call.s.N * call.s.S)};
}

static __device__ __forceinline__ float bn_running(float before, double now, double momentum)
{
    return (float)((1.0 - momentum) * (double)before + momentum * now);
}

static __device__ void bn_write(const bn_statistics &out, int64_t p, int64_t c, double mean,
                                double var)
{
    if (out.mean.data) {
        out.mean.member(p)[c] = mean;
        out.rstd.member(p)[c] = dlf_rstd(var, out.eps);
    }
    if (!out.running_mean.data) return;
    float *running_mean = out.running_mean.member(p) + c,
          *running_var = out.running_var.member(p) + c;
    *running_mean = bn_running(*running_mean, mean, out.momentum);
    *running_var = bn_running(*running_var, var * (out.count / (out.count - 1.0)), out.momentum);
}

/* ---- version 1: a block per channel, x read three times ---------------------------------------
 */

template <class T>
static __global__ void __launch_bounds__(DLF_BLOCK)
    bn_fwd_readable(bn_fwd<T> io, bn_statistics out, int64_t P, int64_t C, int64_t S, int64_t count)
{
    const double M = (double)count;
    for (int64_t task = blockIdx.x; task < P * C; task += gridDim.x) {
        const int64_t p = task / C, c = task % C;
        const T *x = io.x.member(p), *residual = io.residual.data ? io.residual.member(p) : nullptr;
        T *y = io.y.member(p);
        double sum = 0.0, deviations = 0.0, squares = 0.0;
        for (int64_t m = threadIdx.x; m < count; m += DLF_BLOCK)
            sum += (double)dlf_to_float(x[bn_position(m, c, C, S)]);
        const double first = bn_sum_for_all(sum) / M;
        for (int64_t m = threadIdx.x; m < count; m += DLF_BLOCK) {
            const double d = (double)dlf_to_float(x[bn_position(m, c, C, S)]) - first;
            deviations += d;
            squares += d * d;
        }
        const double shift = bn_sum_for_all(deviations) / M;
        const double biased = bn_sum_for_all(squares) / M - shift * shift;
        const double mean = first + shift, var = biased < 0.0 ? 0.0 : biased;
        if (threadIdx.x == 0) bn_write(out, p, c, mean, var);
        const bn_coef k = bn_coef_of(io.w, p, c, mean, dlf_rstd(var, out.eps));
        for (int64_t m = threadIdx.x; m < count; m += DLF_BLOCK) {
            const int64_t at = bn_position(m, c, C, S);
            const float z =
                bn_z(dlf_to_float(x[at]), k, residual ? dlf_to_float(residual[at]) : 0.0f);
            y[at] = dlf_of_float<T>(dlf_epilogue_value<DLF_EPILOGUE_ANY>(z, io.f));
        }
    }
}

static dlf_status bn_fwd_run_readable(const bn_fwd_call &call)
{
    const bn_shape &s = call.s;
    return dlf_with_storage(call.io->x, [&](auto t) {
        using T = decltype(t);
        return dlf_launched(DLF_LAUNCH(bn_fwd_readable<T>, dlf_grid_x(call.io->x, s.P * s.C, 1),
                                       DLF_BLOCK, 0, dlf_stream_of(call.io->x), bn_fwd_of<T>(call),
                                       bn_statistics_of(call), s.P, s.C, s.S, s.N * s.S),
                            "norm_forward");
    });
}

/* ---- the statistics of a task in one read -----------------------------------------------------
 *
 * All deviations are taken from the task's first value, which keeps their digits where the mean is
 * large: if that value is an outlier, its own square dominates the task's variance, and what the
 * others lose is below the rounding of the sum. A thread takes mean and squares of a batch in
 * registers, by two passes, and merges it into its own. */

template <int A> struct bn_running_stat {
    float n, mean[A], m2[A];
};

/* d: U units of V deviations. */
template <int U, int V, bool COLUMNS, int A>
static __device__ __forceinline__ void bn_merge_batch(bn_running_stat<A> &s, const float (&d)[U][V])
{
    constexpr float n = COLUMNS ? (float)U : (float)(U * V);
    const float total = s.n + n, part = n / total, weight = s.n * part;
#pragma unroll
    for (int a = 0; a < A; a++) {
        float sum = 0.0f, squares = 0.0f;
#pragma unroll
        for (int u = 0; u < U; u++)
#pragma unroll
            for (int j = 0; j < V; j++)
                if (!COLUMNS || j == a) sum += d[u][j];
        const float mean = sum * (1.0f / n);
#pragma unroll
        for (int u = 0; u < U; u++)
#pragma unroll
            for (int j = 0; j < V; j++)
                if (!COLUMNS || j == a) squares = fmaf(d[u][j] - mean, d[u][j] - mean, squares);
        const float delta = mean - s.mean[a];
        s.mean[a] = fmaf(delta, part, s.mean[a]);
        s.m2[a] += fmaf(delta * delta, weight, squares);
    }
    s.n = total;
}

template <int U, int V, bool COLUMNS, bool KEEP, class T, int A>
static __device__ __forceinline__ void
bn_read_batch(bn_running_stat<A> &s, const T *x, const bn_walk<V, COLUMNS> &walk, uint32_t q,
              const float (&origin)[A], float *keep, uint32_t slot)
{
    float d[U][V];
#pragma unroll
    for (int u = 0; u < U; u++) dlf_load<V>(d[u], x + walk.at(q + (uint32_t)u * walk.step));
#pragma unroll
    for (int u = 0; u < U; u++) {
        if constexpr (KEEP) bn_keep<V>(keep, slot + (uint32_t)u, d[u]);
#pragma unroll
        for (int j = 0; j < V; j++) d[u][j] -= origin[COLUMNS ? j : 0];
    }
    bn_merge_batch<U, V, COLUMNS, A>(s, d);
}

/* Means and sums of squared deviations of the task's channels, in all threads of the channel. */
template <int V, bool COLUMNS, bool KEEP, class T, int A>
static __device__ __forceinline__ void bn_moments_of(double (&mean)[A], float (&m2)[A], const T *x,
                                                     const bn_walk<V, COLUMNS> &walk, int width,
                                                     float *keep)
{
    constexpr int U = bn_batch<V>;
    bn_running_stat<A> s = {};
    float origin[A] = {};
    if (walk.active) {
        dlf_load<(COLUMNS ? V : 1)>(origin, x + walk.at(walk.first));
        uint32_t q = walk.q, slot = 0;
        for (; q + (U - 1) * walk.step < walk.end; q += U * walk.step, slot += U)
            bn_read_batch<U, V, COLUMNS, KEEP>(s, x, walk, q, origin, keep, slot);
        for (; q < walk.end; q += walk.step, slot++)
            bn_read_batch<1, V, COLUMNS, KEEP>(s, x, walk, q, origin, keep, slot);
    }
    const float n = walk.values();
    float sum[A];
#pragma unroll
    for (int a = 0; a < A; a++) sum[a] = s.n * s.mean[a];
    bn_sums<A>(sum, width);
#pragma unroll
    for (int a = 0; a < A; a++) {
        sum[a] /= n;
        mean[a] = (double)origin[a] + (double)sum[a];
        const float delta = s.mean[a] - sum[a];
        m2[a] = fmaf(s.n * delta, delta, s.m2[a]);
    }
    bn_sums<A>(m2, width);
}

/* ---- version 2: several blocks per channel, then y --------------------------------------------
 */

struct bn_part {
    double mean, m2;
};

/* part[p][split][c] */
template <int V, bool COLUMNS, class T>
static __global__ void __launch_bounds__(BN_THREADS)
    bn_fwd_parts(dlf_view<const T> x, bn_part *part, bn_tasks t)
{
    constexpr int A = bn_walk<V, COLUMNS>::A;
    for (int64_t task = blockIdx.x; task < t.count; task += gridDim.x) {
        const bn_walk<V, COLUMNS> walk(t, task);
        double mean[A];
        float m2[A];
        bn_moments_of<V, COLUMNS, false>(mean, m2, x.member(walk.p), walk, t.width, nullptr);
        if (walk.leads)
            for (int a = 0; a < A; a++)
                part[(walk.p * t.splits + walk.split) * t.C + walk.c + a] =
                    bn_part{mean[a], (double)m2[a]};
    }
}

/* Sum over the lanes of a column, in all of them; call with all threads of the block. */
static __device__ __forceinline__ double bn_lanes(double v)
{
    DLF_SHARED(double, lanes, [DLF_FINISH_LANES][DLF_FINISH_COLUMNS]);
    __syncthreads(); /* the array may still be read from the sum before */
    lanes[threadIdx.y][threadIdx.x] = v;
    __syncthreads();
    double sum = 0.0;
    for (int k = 0; k < DLF_FINISH_LANES; k++) sum += lanes[k][threadIdx.x];
    return sum;
}

/* Values of a channel in part k. */
static __device__ __forceinline__ double bn_part_count(int64_t k, int64_t splits, double chunk,
                                                       double count)
{
    return k + 1 < splits ? chunk : count - (double)(splits - 1) * chunk;
}

/* The parts of a channel, about their common mean; then its statistics and what y needs. */
static __global__ void __launch_bounds__(DLF_FINISH_COLUMNS *DLF_FINISH_LANES)
    bn_fwd_finish(bn_statistics out, bn_parameters w, bn_coef *coef, const bn_part *part, int64_t P,
                  int64_t C, int64_t splits, double chunk)
{
    const int64_t tiles = (C + DLF_FINISH_COLUMNS - 1) / DLF_FINISH_COLUMNS;
    for (int64_t task = blockIdx.x; task < P * tiles; task += gridDim.x) {
        const int64_t p = task / tiles, c = task % tiles * DLF_FINISH_COLUMNS + threadIdx.x;
        const bn_part *channel = part + p * splits * C + c;
        const int64_t mine = c < C ? splits : 0;
        const double origin = c < C ? channel[0].mean : 0.0;
        double sum = 0.0, squares = 0.0;
        for (int64_t k = threadIdx.y; k < mine; k += DLF_FINISH_LANES)
            sum += bn_part_count(k, splits, chunk, out.count) * (channel[k * C].mean - origin);
        const double shift = bn_lanes(sum) / out.count;
        for (int64_t k = threadIdx.y; k < mine; k += DLF_FINISH_LANES) {
            const double d = channel[k * C].mean - origin - shift;
            squares += channel[k * C].m2 + bn_part_count(k, splits, chunk, out.count) * d * d;
        }
        const double mean = origin + shift, var = bn_lanes(squares) / out.count;
        if (threadIdx.y != 0 || c >= C) continue;
        bn_write(out, p, c, mean, var);
        coef[p * C + c] = bn_coef_of(w, p, c, mean, dlf_rstd(var, out.eps));
    }
}

template <int V, bool COLUMNS, class T>
static cudaError_t bn_fwd_stages(const bn_fwd_call &call, const bn_tasks &t, bn_part *part,
                                 bn_coef *coef)
{
    const bn_shape &s = call.s;
    const dlf_tensor *x = call.io->x;
    cudaError_t error =
        DLF_LAUNCH((bn_fwd_parts<V, COLUMNS, T>), dlf_grid_x(x, t.count, 1), BN_THREADS, 0,
                   dlf_stream_of(x), dlf_view_of<const T>(x), part, t);
    if (error != cudaSuccess) return error;
    error = DLF_LAUNCH(bn_fwd_finish, dlf_grid_x(x, s.P * dlf_ceil_div(s.C, DLF_FINISH_COLUMNS), 1),
                       dim3(DLF_FINISH_COLUMNS, DLF_FINISH_LANES), 0, dlf_stream_of(x),
                       bn_statistics_of(call), bn_fwd_of<T>(call).w, coef, part, s.P, s.C, t.splits,
                       (double)t.chunk * (COLUMNS ? 1.0 : (double)V));
    if (error != cudaSuccess) return error;
    return bn_fwd_apply<V, COLUMNS, T>(call, bn_source{coef, {}, {}, 0.0, s.C});
}

static dlf_status bn_fwd_run_split(const bn_fwd_call &call)
{
    const dlf_tensor *x = call.io->x;
    return bn_with_access(
        x, bn_fwd_vectors(call), call.s.columns, [&](auto t, auto v, auto columns) {
            constexpr int V = decltype(v)::value;
            const bn_tasks tasks = bn_split<V>(call.s, x);
            const size_t coefs = (size_t)(call.s.P * call.s.C) * sizeof(bn_coef);
            const size_t bytes =
                coefs + (size_t)(call.s.P * call.s.C * tasks.splits) * sizeof(bn_part);
            void *scratch = nullptr;
            DLF_TRY(dlf_scratch(x, &scratch, bytes));
            const cudaError_t error = bn_fwd_stages<V, decltype(columns)::value, decltype(t)>(
                call, tasks, reinterpret_cast<bn_part *>(static_cast<char *>(scratch) + coefs),
                static_cast<bn_coef *>(scratch));
            dlf_scratch_done(x, scratch, bytes);
            return dlf_launched(error, "norm_forward");
        });
}

/* ---- version 3: a channel or tile of channels stays in the shared memory of one block ----------
 */

template <int V, int E, bool COLUMNS, class T>
static __global__ void __launch_bounds__(BN_THREADS)
    bn_fwd_resident(bn_fwd<T> io, bn_statistics out, bn_tasks t)
{
    constexpr int A = bn_walk<V, COLUMNS>::A;
    DLF_DYN_SHARED(float, keep);
    for (int64_t task = blockIdx.x; task < t.count; task += gridDim.x) {
        const bn_walk<V, COLUMNS> walk(t, task);
        double mean[A];
        float m2[A];
        bn_moments_of<V, COLUMNS, true>(mean, m2, io.x.member(walk.p), walk, t.width, keep);
        if (!walk.active) continue;
        bn_coef k[A];
#pragma unroll
        for (int a = 0; a < A; a++) {
            const double var = (double)m2[a] / out.count;
            if (walk.leads) bn_write(out, walk.p, walk.c + a, mean[a], var);
            k[a] = bn_coef_of(io.w, walk.p, walk.c + a, mean[a], dlf_rstd(var, out.eps));
        }
        const T *residual = io.residual.data ? io.residual.member(walk.p) : nullptr;
        uint32_t slot = 0;
        for (uint32_t q = walk.q; q < walk.end; q += walk.step, slot++) {
            float v[V];
            bn_kept<V>(v, keep, slot);
            bn_apply_unit<V, E>(io.y.member(walk.p), v, residual, walk.at(q), k, COLUMNS ? 1 : 0,
                                io.f);
        }
    }
}

template <int V, bool COLUMNS, class T>
static dlf_status bn_fwd_launch_resident(const bn_fwd_call &call)
{
    const dlf_tensor *x = call.io->x;
    const bn_tasks t = bn_resident<T>(call.s, x, V, 1);
    return bn_with_epilogue(call.norm->activation, [&](auto e) {
        return dlf_launched(DLF_LAUNCH((bn_fwd_resident<V, decltype(e)::value, COLUMNS, T>),
                                       dlf_grid_x(x, t.count, 1), BN_THREADS, bn_keep_bytes(t, V),
                                       dlf_stream_of(x), bn_fwd_of<T>(call), bn_statistics_of(call),
                                       t),
                            "norm_forward");
    });
}

static dlf_status bn_fwd_run_resident(const bn_fwd_call &call)
{
    return bn_with_access(
        call.io->x, bn_fwd_vectors(call), call.s.columns, [&](auto t, auto v, auto columns) {
            return bn_fwd_launch_resident<decltype(v)::value, decltype(columns)::value,
                                          decltype(t)>(call);
        });
}

#endif
