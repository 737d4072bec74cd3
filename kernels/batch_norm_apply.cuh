/* SPDX-License-Identifier: MIT
 * batch_norm_apply.cuh -- y from x and the coefficients of its channel: the last stage of training,
 * and all of evaluation mode. */
#ifndef DLF_BATCH_NORM_APPLY_CUH
#define DLF_BATCH_NORM_APPLY_CUH
#include "batch_norm_walk.cuh"

struct bn_fwd_call {
    const dlf_norm_fwd *io;
    const dlf_norm *norm;
    bn_shape s;
};

template <class T> struct bn_fwd {
    dlf_view<T> y;
    dlf_view<const T> x, residual;
    bn_parameters w;
    dlf_epilogue f;
};

template <class T> static inline bn_fwd<T> bn_fwd_of(const bn_fwd_call &call)
{
    const dlf_norm_fwd *io = call.io;
    return bn_fwd<T>{
        dlf_view_of<T>(io->y),
        dlf_view_of<const T>(io->x),
        dlf_view_of<const T>(io->residual),
        {dlf_view_of<const float>(io->gamma), dlf_view_of<const float>(io->beta)},
        dlf_epilogue_of(call.norm->activation),
    };
}

/* Where y finds the coefficients of a channel: in coef, or evaluation mode's running statistics. */
struct bn_source {
    const bn_coef *coef;
    dlf_view<const float> running_mean, running_var;
    double eps;
    int64_t C;
};

static __device__ __forceinline__ bn_coef bn_fetch(const bn_source &from, bn_parameters w,
                                                   int64_t p, int64_t c)
{
    if (from.coef) return from.coef[p * from.C + c];
    return bn_coef_of(w, p, c, (double)from.running_mean.member(p)[c],
                      dlf_rstd((double)from.running_var.member(p)[c], from.eps));
}

template <int V, int E, class T>
static __device__ __forceinline__ void bn_apply_unit(T *y, const float (&x)[V], const T *residual,
                                                     int64_t at, const bn_coef *k, int k_step,
                                                     dlf_epilogue f)
{
    float r[V], out[V];
    bn_load_or_zero<V>(r, residual, at);
#pragma unroll
    for (int j = 0; j < V; j++) out[j] = dlf_epilogue_value<E>(bn_z(x[j], k[j * k_step], r[j]), f);
    dlf_store<V>(y + at, out);
}

/* Planes: units in storage order; row n C + c has `piece` units. */
template <int V, int E, class T>
static __global__ void __launch_bounds__(BN_THREADS)
    bn_apply_planes(bn_fwd<T> io, bn_source from, int64_t P, uint32_t units, bn_divisor piece,
                    bn_divisor channels)
{
    for (int64_t p = blockIdx.y; p < P; p += gridDim.y) {
        const T *x = io.x.member(p), *residual = io.residual.data ? io.residual.member(p) : nullptr;
        for (uint32_t q = blockIdx.x * BN_THREADS + threadIdx.x; q < units;
             q += gridDim.x * BN_THREADS) {
            const uint32_t row = bn_quotient(q, piece);
            const uint32_t c = row - bn_quotient(row, channels) * channels.d;
            const bn_coef k = bn_fetch(from, io.w, p, c);
            float v[V];
            dlf_load<V>(v, x + (int64_t)q * V);
            bn_apply_unit<V, E>(io.y.member(p), v, residual, (int64_t)q * V, &k, 0, io.f);
        }
    }
}

/* Columns: a thread keeps the coefficients of its V channels and walks down the rows. */
template <int V, int E, class T>
static __global__ void __launch_bounds__(BN_THREADS)
    bn_apply_columns(bn_fwd<T> io, bn_source from, int64_t P, int64_t rows, int64_t C)
{
    const int64_t step = (int64_t)gridDim.x * blockDim.y;
    for (int64_t p = blockIdx.z; p < P; p += gridDim.z)
        for (int64_t c = ((int64_t)blockIdx.y * blockDim.x + threadIdx.x) * V; c < C;
             c += (int64_t)gridDim.y * blockDim.x * V) {
            const T *x = io.x.member(p) + c;
            const T *residual = io.residual.data ? io.residual.member(p) + c : nullptr;
            bn_coef k[V];
#pragma unroll
            for (int j = 0; j < V; j++) k[j] = bn_fetch(from, io.w, p, c + j);
            for (int64_t i = (int64_t)blockIdx.x * blockDim.y + threadIdx.y; i < rows; i += step) {
                float v[V];
                dlf_load<V>(v, x + i * C);
                bn_apply_unit<V, E>(io.y.member(p) + c, v, residual, i * C, k, 1, io.f);
            }
        }
}

/* Threads side by side and rows above each other for columns of `units` units. */
static inline dim3 bn_column_block(int64_t units)
{
    unsigned width = 1;
    while (width < units && width < BN_THREADS) width *= 2;
    return dim3(width, BN_THREADS / width);
}

static inline dim3 bn_column_grid(const dlf_tensor *x, const bn_shape &s, int V, dim3 block)
{
    const int64_t rows_per_thread = 8; /* for one read of V coefficients */
    return dim3(dlf_grid_x(x, s.N, rows_per_thread * block.y),
                dlf_grid_yz(dlf_ceil_div(s.C, (int64_t)block.x * V)), dlf_grid_yz(s.P));
}

static inline dim3 bn_plane_grid(const dlf_tensor *x, const bn_shape &s, int V)
{
    return dim3(dlf_grid_x(x, s.N * s.C * (s.S / V), BN_THREADS), dlf_grid_yz(s.P));
}

template <int V, bool COLUMNS, class T>
static cudaError_t bn_fwd_apply(const bn_fwd_call &call, const bn_source &from)
{
    const bn_shape &s = call.s;
    const dlf_tensor *x = call.io->x;
    cudaError_t error = cudaSuccess;
    (void)bn_with_epilogue(call.norm->activation, [&](auto e) {
        constexpr int E = decltype(e)::value;
        if constexpr (COLUMNS) {
            const dim3 block = bn_column_block(dlf_ceil_div(s.C, V));
            error = DLF_LAUNCH((bn_apply_columns<V, E, T>), bn_column_grid(x, s, V, block), block,
                               0, dlf_stream_of(x), bn_fwd_of<T>(call), from, s.P, s.N, s.C);
        } else {
            error = DLF_LAUNCH((bn_apply_planes<V, E, T>), bn_plane_grid(x, s, V), BN_THREADS, 0,
                               dlf_stream_of(x), bn_fwd_of<T>(call), from, s.P,
                               (uint32_t)(s.N * s.C * (s.S / V)), bn_divisor_of(s.S / V),
                               bn_divisor_of(s.C));
        }
        return DLF_OK;
    });
    return error;
}

static inline bool bn_fwd_vectors(const bn_fwd_call &call)
{
    const int64_t row = bn_row(call.s);
    return dlf_rows_aligned(call.io->x, row) && dlf_rows_aligned(call.io->y, row) &&
           dlf_rows_aligned(call.io->residual, row);
}

/* ---- evaluation mode --------------------------------------------------------------------------
 */

/* Version 1: the formula, whatever the size. */
template <class T>
static __global__ void __launch_bounds__(DLF_BLOCK)
    bn_infer_readable(bn_fwd<T> io, bn_source from, int64_t P, int64_t C, int64_t S, int64_t count)
{
    for (int64_t p = blockIdx.y; p < P; p += gridDim.y) {
        const T *residual = io.residual.data ? io.residual.member(p) : nullptr;
        for (int64_t at = (int64_t)blockIdx.x * DLF_BLOCK + threadIdx.x; at < count;
             at += (int64_t)gridDim.x * DLF_BLOCK) {
            const bn_coef k = bn_fetch(from, io.w, p, at / S % C);
            const float v[1] = {dlf_to_float(io.x.member(p)[at])};
            bn_apply_unit<1, DLF_EPILOGUE_ANY>(io.y.member(p), v, residual, at, &k, 0, io.f);
        }
    }
}

static inline bn_source bn_running_source(const bn_fwd_call &call)
{
    return bn_source{nullptr, dlf_view_of<const float>(call.io->running_mean),
                     dlf_view_of<const float>(call.io->running_var), call.norm->eps, call.s.C};
}

static dlf_status bn_infer_run_readable(const bn_fwd_call &call)
{
    const bn_shape &s = call.s;
    const dlf_tensor *x = call.io->x;
    const int64_t count = s.N * s.C * s.S;
    return dlf_with_storage(x, [&](auto t) {
        using T = decltype(t);
        return dlf_launched(DLF_LAUNCH(bn_infer_readable<T>,
                                       dim3(dlf_grid_x(x, count, DLF_BLOCK), dlf_grid_yz(s.P)),
                                       DLF_BLOCK, 0, dlf_stream_of(x), bn_fwd_of<T>(call),
                                       bn_running_source(call), s.P, s.C, s.S, count),
                            "norm_infer");
    });
}

/* Version 2: the elementwise pass of training. */
static dlf_status bn_infer_run_units(const bn_fwd_call &call)
{
    return bn_with_access(
        call.io->x, bn_fwd_vectors(call), call.s.columns, [&](auto t, auto v, auto columns) {
            return dlf_launched(
                bn_fwd_apply<decltype(v)::value, decltype(columns)::value, decltype(t)>(
                    call, bn_running_source(call)),
                "norm_infer");
        });
}
#endif
