/* SPDX-License-Identifier: MIT
 * batch_norm_backward.cuh -- backward: kernels and their launches.
 *
 * With a = mean of dz and b = mean of dz xhat over the channel, dx = rstd gamma (dz - a - xhat b):
 * gamma is one number per channel and leaves the means of include/dlf/norm.h. */
#ifndef DLF_BATCH_NORM_BACKWARD_CUH
#define DLF_BATCH_NORM_BACKWARD_CUH
#include "batch_norm_forward.cuh"

struct bn_bwd_call {
    const dlf_norm_bwd *io;
    const dlf_norm *norm;
    bn_shape s;
};

template <class T> using bn_bwd = dlf_norm_bwd_views<T>;

struct bn_sums_out {
    dlf_view<float> dgamma, dbeta;
    double accumulate, count;
};

static inline bn_sums_out bn_sums_out_of(const bn_bwd_call &call)
{
    return bn_sums_out{dlf_view_of<float>(call.io->dgamma), dlf_view_of<float>(call.io->dbeta),
                       call.io->accumulate, (double)(call.s.N * call.s.S)};
}

static __device__ __forceinline__ void bn_write_sum(dlf_view<float> out, int64_t p, int64_t c,
                                                    double sum, double accumulate)
{
    if (out.data) dlf_store_sum(out.member(p) + c, sum, accumulate);
}

template <class T>
static __device__ __forceinline__ bn_coef bn_bwd_coef(const bn_bwd<T> &io, int64_t p, int64_t c)
{
    return bn_coef_of({io.gamma, io.beta}, p, c, io.mean.member(p)[c], io.rstd.member(p)[c]);
}

static __device__ __forceinline__ float bn_xhat(float x, const bn_coef &k)
{
    return dlf_centred(x, dlf_mean{k.hi, k.lo}) * k.rstd;
}

static __device__ __forceinline__ float bn_dx(float dz, float xhat, const bn_coef &k)
{
    return k.rstd * k.gamma * (dz - k.a - xhat * k.b);
}

/* Member p's operands; residual and dresidual may be NULL. */
template <class T> struct bn_bwd_member {
    T *dx, *dresidual;
    const T *dy, *x, *residual;
};

template <class T>
static __device__ __forceinline__ bn_bwd_member<T> bn_member(const bn_bwd<T> &io, int64_t p)
{
    return bn_bwd_member<T>{io.dx.member(p), io.dresidual.data ? io.dresidual.member(p) : nullptr,
                            io.dy.member(p), io.x.member(p),
                            io.residual.data ? io.residual.member(p) : nullptr};
}

/* dz and xhat of one unit. */
template <int V, int E, class T>
static __device__ __forceinline__ void bn_bwd_unit(float (&dz)[V], float (&xhat)[V],
                                                   const bn_bwd_member<T> &m, int64_t at,
                                                   const bn_coef *k, int k_step, dlf_epilogue f)
{
    float r[V];
    dlf_load<V>(xhat, m.x + at);
    dlf_load<V>(dz, m.dy + at);
    bn_load_or_zero<V>(r, E == DLF_EPILOGUE_NONE ? nullptr : m.residual, at);
#pragma unroll
    for (int j = 0; j < V; j++) {
        dz[j] = bn_dz<E>(dz[j], xhat[j], k[j * k_step], r[j], f);
        xhat[j] = bn_xhat(xhat[j], k[j * k_step]);
    }
}

template <int V, class T>
static __device__ __forceinline__ void bn_bwd_write(const bn_bwd_member<T> &m, int64_t at,
                                                    const float (&dz)[V], float (&xhat)[V],
                                                    const bn_coef *k, int k_step)
{
#pragma unroll
    for (int j = 0; j < V; j++) xhat[j] = bn_dx(dz[j], xhat[j], k[j * k_step]);
    if (m.dresidual) dlf_store<V>(m.dresidual + at, dz);
    dlf_store<V>(m.dx + at, xhat);
}

/* ---- version 1: a block per channel, x and dy read twice ---------------------------------------
 */

template <class T>
static __global__ void __launch_bounds__(DLF_BLOCK)
    bn_bwd_readable(bn_bwd<T> io, bn_sums_out out, int64_t P, int64_t C, int64_t S, int64_t count)
{
    for (int64_t task = blockIdx.x; task < P * C; task += gridDim.x) {
        const int64_t p = task / C, c = task % C;
        const bn_bwd_member<T> member = bn_member(io, p);
        bn_coef k = bn_bwd_coef(io, p, c);
        double sum = 0.0, product = 0.0;
        float dz[1], xhat[1];
        for (int64_t m = threadIdx.x; m < count; m += DLF_BLOCK) {
            bn_bwd_unit<1, DLF_EPILOGUE_ANY>(dz, xhat, member, bn_position(m, c, C, S), &k, 0,
                                             io.f);
            sum += (double)dz[0];
            product += (double)dz[0] * (double)xhat[0];
        }
        sum = bn_sum_for_all(sum);
        product = bn_sum_for_all(product);
        if (threadIdx.x == 0) {
            bn_write_sum(out.dgamma, p, c, product, out.accumulate);
            bn_write_sum(out.dbeta, p, c, sum, out.accumulate);
        }
        k.a = (float)(sum / out.count);
        k.b = (float)(product / out.count);
        for (int64_t m = threadIdx.x; m < count; m += DLF_BLOCK) {
            const int64_t at = bn_position(m, c, C, S);
            bn_bwd_unit<1, DLF_EPILOGUE_ANY>(dz, xhat, member, at, &k, 0, io.f);
            bn_bwd_write<1>(member, at, dz, xhat, &k, 0);
        }
    }
}

static dlf_status bn_bwd_run_readable(const bn_bwd_call &call)
{
    const bn_shape &s = call.s;
    return dlf_with_storage(call.io->x, [&](auto t) {
        using T = decltype(t);
        return dlf_launched(DLF_LAUNCH(bn_bwd_readable<T>, dlf_grid_x(call.io->x, s.P * s.C, 1),
                                       DLF_BLOCK, 0, dlf_stream_of(call.io->x),
                                       dlf_views_of<T>(call.io, call.norm), bn_sums_out_of(call),
                                       s.P, s.C, s.S, s.N * s.S),
                            "norm_backward");
    });
}

/* ---- sums of dz and dz xhat over a task --------------------------------------------------------
 */

template <int V, int E, bool COLUMNS, bool KEEP, class T, int A>
static __device__ __forceinline__ void
bn_bwd_sums(float (&sum)[A], float (&product)[A], const bn_bwd_member<T> &m,
            const bn_walk<V, COLUMNS> &walk, const bn_coef (&k)[A], dlf_epilogue f, int width,
            float *keep, float *keep_xhat)
{
#pragma unroll
    for (int a = 0; a < A; a++) sum[a] = product[a] = 0.0f;
    if (walk.active) {
        uint32_t slot = 0;
        for (uint32_t q = walk.q; q < walk.end; q += walk.step, slot++) {
            float dz[V], xhat[V];
            bn_bwd_unit<V, E>(dz, xhat, m, walk.at(q), k, COLUMNS ? 1 : 0, f);
            if constexpr (KEEP) {
                bn_keep<V>(keep, slot, dz);
                bn_keep<V>(keep_xhat, slot, xhat);
            }
#pragma unroll
            for (int j = 0; j < V; j++) {
                sum[COLUMNS ? j : 0] += dz[j];
                product[COLUMNS ? j : 0] = fmaf(dz[j], xhat[j], product[COLUMNS ? j : 0]);
            }
        }
    }
    bn_sums<A>(sum, width);
    bn_sums<A>(product, width);
}

template <int V, bool COLUMNS, class T, int A>
static __device__ __forceinline__ void bn_bwd_coefs(bn_coef (&k)[A], const bn_bwd<T> &io,
                                                    const bn_walk<V, COLUMNS> &walk)
{
#pragma unroll
    for (int a = 0; a < A; a++) {
        k[a] = bn_coef{};
        if (walk.active) k[a] = bn_bwd_coef(io, walk.p, walk.c + a);
    }
}

/* ---- version 2: several blocks per channel, then dx --------------------------------------------
 */

struct bn_bwd_part {
    float sum, product;
};

/* part[p][split][c] */
template <int V, int E, bool COLUMNS, class T>
static __global__ void __launch_bounds__(BN_THREADS)
    bn_bwd_parts(bn_bwd<T> io, bn_bwd_part *part, bn_tasks t)
{
    constexpr int A = bn_walk<V, COLUMNS>::A;
    for (int64_t task = blockIdx.x; task < t.count; task += gridDim.x) {
        const bn_walk<V, COLUMNS> walk(t, task);
        bn_coef k[A];
        bn_bwd_coefs(k, io, walk);
        float sum[A], product[A];
        bn_bwd_sums<V, E, COLUMNS, false>(sum, product, bn_member(io, walk.p), walk, k, io.f,
                                          t.width, nullptr, nullptr);
        if (walk.leads)
            for (int a = 0; a < A; a++)
                part[(walk.p * t.splits + walk.split) * t.C + walk.c + a] =
                    bn_bwd_part{sum[a], product[a]};
    }
}

template <class T>
static __global__ void __launch_bounds__(DLF_FINISH_COLUMNS *DLF_FINISH_LANES)
    bn_bwd_finish(bn_bwd<T> io, bn_sums_out out, bn_coef *coef, const bn_bwd_part *part, int64_t P,
                  int64_t C, int64_t splits)
{
    const int64_t tiles = (C + DLF_FINISH_COLUMNS - 1) / DLF_FINISH_COLUMNS;
    for (int64_t task = blockIdx.x; task < P * tiles; task += gridDim.x) {
        const int64_t p = task / tiles, c = task % tiles * DLF_FINISH_COLUMNS + threadIdx.x;
        const bn_bwd_part *channel = part + p * splits * C + c;
        double sum = 0.0, product = 0.0;
        for (int64_t k = threadIdx.y; k < (c < C ? splits : 0); k += DLF_FINISH_LANES) {
            sum += (double)channel[k * C].sum;
            product += (double)channel[k * C].product;
        }
        sum = bn_lanes(sum);
        product = bn_lanes(product);
        if (threadIdx.y != 0 || c >= C) continue;
        bn_write_sum(out.dgamma, p, c, product, out.accumulate);
        bn_write_sum(out.dbeta, p, c, sum, out.accumulate);
        bn_coef k = bn_bwd_coef(io, p, c);
        k.a = (float)(sum / out.count);
        k.b = (float)(product / out.count);
        coef[p * C + c] = k;
    }
}

template <int V, int E, class T>
static __global__ void __launch_bounds__(BN_THREADS)
    bn_bwd_planes(bn_bwd<T> io, const bn_coef *coef, int64_t P, int64_t C, uint32_t units,
                  bn_divisor piece, bn_divisor channels)
{
    for (int64_t p = blockIdx.y; p < P; p += gridDim.y) {
        const bn_bwd_member<T> member = bn_member(io, p);
        for (uint32_t q = blockIdx.x * BN_THREADS + threadIdx.x; q < units;
             q += gridDim.x * BN_THREADS) {
            const uint32_t row = bn_quotient(q, piece);
            const uint32_t c = row - bn_quotient(row, channels) * channels.d;
            const bn_coef k = coef[p * C + c];
            float dz[V], xhat[V];
            bn_bwd_unit<V, E>(dz, xhat, member, (int64_t)q * V, &k, 0, io.f);
            bn_bwd_write<V>(member, (int64_t)q * V, dz, xhat, &k, 0);
        }
    }
}

template <int V, int E, class T>
static __global__ void __launch_bounds__(BN_THREADS)
    bn_bwd_columns(bn_bwd<T> io, const bn_coef *coef, int64_t P, int64_t rows, int64_t C)
{
    const int64_t step = (int64_t)gridDim.x * blockDim.y;
    for (int64_t p = blockIdx.z; p < P; p += gridDim.z) {
        const bn_bwd_member<T> member = bn_member(io, p);
        for (int64_t c = ((int64_t)blockIdx.y * blockDim.x + threadIdx.x) * V; c < C;
             c += (int64_t)gridDim.y * blockDim.x * V) {
            bn_coef k[V];
#pragma unroll
            for (int j = 0; j < V; j++) k[j] = coef[p * C + c + j];
            for (int64_t i = (int64_t)blockIdx.x * blockDim.y + threadIdx.y; i < rows; i += step) {
                float dz[V], xhat[V];
                bn_bwd_unit<V, E>(dz, xhat, member, i * C + c, k, 1, io.f);
                bn_bwd_write<V>(member, i * C + c, dz, xhat, k, 1);
            }
        }
    }
}

template <int V, int E, bool COLUMNS, class T>
static cudaError_t bn_bwd_stages(const bn_bwd_call &call, const bn_tasks &t, bn_bwd_part *part,
                                 bn_coef *coef)
{
    const bn_shape &s = call.s;
    const dlf_tensor *x = call.io->x;
    const bn_bwd<T> io = dlf_views_of<T>(call.io, call.norm);
    cudaError_t error = DLF_LAUNCH((bn_bwd_parts<V, E, COLUMNS, T>), dlf_grid_x(x, t.count, 1),
                                   BN_THREADS, 0, dlf_stream_of(x), io, part, t);
    if (error != cudaSuccess) return error;
    error =
        DLF_LAUNCH(bn_bwd_finish<T>, dlf_grid_x(x, s.P * dlf_ceil_div(s.C, DLF_FINISH_COLUMNS), 1),
                   dim3(DLF_FINISH_COLUMNS, DLF_FINISH_LANES), 0, dlf_stream_of(x), io,
                   bn_sums_out_of(call), coef, part, s.P, s.C, t.splits);
    if (error != cudaSuccess) return error;
    if constexpr (COLUMNS) {
        const dim3 block = bn_column_block(dlf_ceil_div(s.C, V));
        return DLF_LAUNCH((bn_bwd_columns<V, E, T>), bn_column_grid(x, s, V, block), block, 0,
                          dlf_stream_of(x), io, coef, s.P, s.N, s.C);
    } else {
        return DLF_LAUNCH((bn_bwd_planes<V, E, T>), bn_plane_grid(x, s, V), BN_THREADS, 0,
                          dlf_stream_of(x), io, coef, s.P, s.C, (uint32_t)(s.N * s.C * (s.S / V)),
                          bn_divisor_of(s.S / V), bn_divisor_of(s.C));
    }
}

/* The residual is read only if there is an activation. */
static inline bool bn_bwd_vectors(const bn_bwd_call &call)
{
    const dlf_norm_bwd *io = call.io;
    const int64_t row = bn_row(call.s);
    const bool reads_residual = call.norm->activation.kind != DLF_LINEAR;
    return dlf_rows_aligned(io->x, row) && dlf_rows_aligned(io->dy, row) &&
           dlf_rows_aligned(io->dx, row) && dlf_rows_aligned(io->dresidual, row) &&
           dlf_rows_aligned(reads_residual ? io->residual : nullptr, row);
}

static dlf_status bn_bwd_run_split(const bn_bwd_call &call)
{
    const dlf_tensor *x = call.io->x;
    return bn_with_access(
        x, bn_bwd_vectors(call), call.s.columns, [&](auto t, auto v, auto columns) {
            constexpr int V = decltype(v)::value;
            constexpr bool COLUMNS = decltype(columns)::value;
            const bn_tasks tasks = bn_split<V>(call.s, x);
            const size_t coefs = (size_t)(call.s.P * call.s.C) * sizeof(bn_coef);
            const size_t bytes =
                coefs + (size_t)(call.s.P * call.s.C * tasks.splits) * sizeof(bn_bwd_part);
            void *scratch = nullptr;
            DLF_TRY(dlf_scratch(x, &scratch, bytes));
            bn_bwd_part *part =
                reinterpret_cast<bn_bwd_part *>(static_cast<char *>(scratch) + coefs);
            const dlf_status status = bn_with_epilogue(call.norm->activation, [&](auto e) {
                return dlf_launched(bn_bwd_stages<V, decltype(e)::value, COLUMNS, decltype(t)>(
                                        call, tasks, part, static_cast<bn_coef *>(scratch)),
                                    "norm_backward");
            });
            dlf_scratch_done(x, scratch, bytes);
            return status;
        });
}

/* ---- version 3: dz and xhat of a channel or tile stay in the shared memory of one block ---------
 */

template <int V, int E, bool COLUMNS, class T>
static __global__ void __launch_bounds__(BN_THREADS)
    bn_bwd_resident(bn_bwd<T> io, bn_sums_out out, bn_tasks t, uint32_t kept)
{
    constexpr int A = bn_walk<V, COLUMNS>::A;
    DLF_DYN_SHARED(float, keep);
    float *keep_xhat = keep + kept;
    for (int64_t task = blockIdx.x; task < t.count; task += gridDim.x) {
        const bn_walk<V, COLUMNS> walk(t, task);
        const bn_bwd_member<T> member = bn_member(io, walk.p);
        bn_coef k[A];
        bn_bwd_coefs(k, io, walk);
        float sum[A], product[A];
        bn_bwd_sums<V, E, COLUMNS, true>(sum, product, member, walk, k, io.f, t.width, keep,
                                         keep_xhat);
        if (!walk.active) continue;
#pragma unroll
        for (int a = 0; a < A; a++) {
            if (walk.leads) {
                bn_write_sum(out.dgamma, walk.p, walk.c + a, (double)product[a], out.accumulate);
                bn_write_sum(out.dbeta, walk.p, walk.c + a, (double)sum[a], out.accumulate);
            }
            k[a].a = sum[a] / (float)out.count;
            k[a].b = product[a] / (float)out.count;
        }
        uint32_t slot = 0;
        for (uint32_t q = walk.q; q < walk.end; q += walk.step, slot++) {
            float dz[V], xhat[V];
            bn_kept<V>(dz, keep, slot);
            bn_kept<V>(xhat, keep_xhat, slot);
            bn_bwd_write<V>(member, walk.at(q), dz, xhat, k, COLUMNS ? 1 : 0);
        }
    }
}

template <int V, bool COLUMNS, class T>
static dlf_status bn_bwd_launch_resident(const bn_bwd_call &call)
{
    const dlf_tensor *x = call.io->x;
    const bn_tasks t = bn_resident<T>(call.s, x, V, 2);
    const size_t bytes = bn_keep_bytes(t, V);
    return bn_with_epilogue(call.norm->activation, [&](auto e) {
        return dlf_launched(DLF_LAUNCH((bn_bwd_resident<V, decltype(e)::value, COLUMNS, T>),
                                       dlf_grid_x(x, t.count, 1), BN_THREADS, 2 * bytes,
                                       dlf_stream_of(x), dlf_views_of<T>(call.io, call.norm),
                                       bn_sums_out_of(call), t, (uint32_t)(bytes / sizeof(float))),
                            "norm_backward");
    });
}

static dlf_status bn_bwd_run_resident(const bn_bwd_call &call)
{
    return bn_with_access(
        call.io->x, bn_bwd_vectors(call), call.s.columns, [&](auto t, auto v, auto columns) {
            return bn_bwd_launch_resident<decltype(v)::value, decltype(columns)::value,
                                          decltype(t)>(call);
        });
}
#endif
