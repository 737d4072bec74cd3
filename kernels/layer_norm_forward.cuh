/* SPDX-License-Identifier: MIT
 * layer_norm_forward.cuh -- forward kernels of layer and RMS normalization.
 *
 * All are the same three steps -- mean, squared deviations, output -- over a row that lies in
 * registers, in shared memory or in global memory; where it lies is the type `Row`. */
#ifndef DLF_LAYER_NORM_FORWARD_CUH
#define DLF_LAYER_NORM_FORWARD_CUH
#include "layer_norm_common.cuh"

template <class T> struct ln_forward_args : dlf_norm_fwd_views<T> {
    ln_shape s;
};

/* ---- where a row lies ---------------------------------------------------------------------------
 * each(visit) calls visit(k, at, x) for the packs of this thread: its k-th pack starts at element
 * `at` of the row and holds x. k counts only in registers, where it must be known at compile time.
 */

template <class T, int V> struct ln_row_in_global {
    const T *x;
    int64_t first, step, L;
    template <class Visit> __device__ __forceinline__ void each(Visit visit) const
    {
#pragma unroll 4
        for (int64_t at = first; at < L; at += step) {
            float v[V];
            dlf_load<V>(v, x + at);
            visit(0, at, v);
        }
    }
};

/* A thread reads back only what it stored itself: no barrier. */
template <class T, int V> struct ln_row_in_shared {
    T *copy;
    int first, step, L;
    __device__ __forceinline__ void fill(const T *x)
    {
#pragma unroll 4
        for (int at = first; at < L; at += step)
            *reinterpret_cast<ln_raw<T, V> *>(copy + at) = ln_load_raw<V>(x + at);
    }
    template <class Visit> __device__ __forceinline__ void each(Visit visit) const
    {
        for (int at = first; at < L; at += step) {
            float v[V];
            ln_unpack(v, *reinterpret_cast<const ln_raw<T, V> *>(copy + at));
            visit(0, (int64_t)at, v);
        }
    }
};

template <class T, int V, int ITEMS> struct ln_row_in_registers {
    int first, step, L; /* L = 0: a team without a row */
    ln_raw<T, V> packs[ITEMS];
    __device__ __forceinline__ void fill(const T *x)
    {
#pragma unroll
        for (int k = 0; k < ITEMS; k++)
            if (first + k * step < L) packs[k] = ln_load_raw<V>(x + first + k * step);
    }
    template <class Visit> __device__ __forceinline__ void each(Visit visit) const
    {
#pragma unroll
        for (int k = 0; k < ITEMS; k++)
            if (first + k * step < L) {
                float v[V];
                ln_unpack(v, packs[k]);
                visit(k, (int64_t)(first + k * step), v);
            }
    }
};

/* ---- the three steps ----------------------------------------------------------------------------
 */

/* A sum per position in the pack: shorter chains of additions, better rounded. */
template <int V, int LANES, class Row>
static __device__ __forceinline__ dlf_moments2 ln_statistics(const Row &row,
                                                             const ln_team<LANES> &team,
                                                             const ln_shape &s)
{
    float first = 0.0f;
    if (!s.rms) {
        float part[V] = {};
        row.each([&](int, int64_t, const float(&x)[V]) {
#pragma unroll
            for (int j = 0; j < V; j++) part[j] += x[j];
        });
        float sum[1] = {ln_total(part)};
        ln_team_sums<LANES, 1>(team, sum);
        first = sum[0] / (float)s.L;
    }
    float part1[V] = {}, part2[V] = {};
    row.each([&](int, int64_t, const float(&x)[V]) {
#pragma unroll
        for (int j = 0; j < V; j++) {
            const float d = x[j] - first;
            part1[j] += d;
            part2[j] = fmaf(d, d, part2[j]);
        }
    });
    float sums[2] = {ln_total(part1), ln_total(part2)};
    ln_team_sums<LANES, 2>(team, sums);
    return dlf_corrected(first, s.rms ? 0.0f : sums[0], sums[1], (double)s.L);
}

/* gamma and beta are at hand already (EARLY, by pack number) or are read here. */
template <bool ACTIVE, bool EARLY, int V, int ITEMS, class T, class Row>
static __device__ __forceinline__ void
ln_output(const ln_forward_args<T> &a, const Row &row, ln_row at_row, dlf_moments2 m, float rstd,
          const float (&gammas)[ITEMS][V], const float (&betas)[ITEMS][V])
{
    const dlf_mean mean = dlf_mean_of(m.mean);
    T *y = ln_at(a.y, at_row, a.s.L);
    const T *residual = a.residual.data ? ln_at(a.residual, at_row, a.s.L) : nullptr;
    const float *gamma = a.gamma.data ? a.gamma.member(at_row.p) : nullptr;
    const float *beta = a.beta.data ? a.beta.member(at_row.p) : nullptr;
    row.each([&](int k, int64_t at, const float(&x)[V]) {
        float g[V], b[V], r[V] = {}, out[V];
        if constexpr (EARLY) {
#pragma unroll
            for (int j = 0; j < V; j++) g[j] = gammas[k][j], b[j] = betas[k][j];
        } else {
            ln_channel_values(g, gamma, 1.0f, a.s, at);
            ln_channel_values(b, beta, 0.0f, a.s, at);
        }
        if (residual) dlf_load<V>(r, residual + at);
#pragma unroll
        for (int j = 0; j < V; j++)
            out[j] = ln_value<ACTIVE>(dlf_norm_z(x[j], mean, rstd, g[j], b[j], r[j]), a.f);
        dlf_store<V>(y + at, out);
    });
}

template <class T>
static __device__ __forceinline__ void ln_keep(const ln_forward_args<T> &a, ln_row row,
                                               dlf_moments2 m, float rstd)
{
    if (a.mean.data) a.mean.member(row.p)[row.n] = m.mean;
    if (a.rstd.data) a.rstd.member(row.p)[row.n] = rstd;
}

/* ---- kernels ------------------------------------------------------------------------------------
 */

enum { LN_TEAM_BLOCK = 256, LN_WIDE_BLOCK = 512 };

/* Registers: the row is read once. Up to 16 elements per thread, gamma and beta are fetched before
 * the reductions, whose wait hides them. */
template <class T, bool ACTIVE, int V, int LANES, int ITEMS>
static __global__ void __launch_bounds__(LANES ? LN_TEAM_BLOCK : LN_WIDE_BLOCK)
    ln_forward_registers(ln_forward_args<T> a)
{
    constexpr bool EARLY = ITEMS * V <= 16;
    const ln_team<LANES> team;
    const int64_t rows = a.s.P * a.s.N, step = (int64_t)gridDim.x * team.groups;
    for (int64_t base = (int64_t)blockIdx.x * team.groups; base < rows; base += step) {
        const bool exists = base + team.group < rows;
        const ln_row at_row = ln_row_of<(V > 1)>(a.s, exists ? base + team.group : base);
        ln_row_in_registers<T, V, ITEMS> row{
            team.lane * V, team.lanes * V, exists ? (int)a.s.L : 0, {}};
        row.fill(ln_at(a.x, at_row, a.s.L));
        float gammas[EARLY ? ITEMS : 1][V] = {}, betas[EARLY ? ITEMS : 1][V] = {};
        if constexpr (EARLY) {
            const float *gamma = a.gamma.data ? a.gamma.member(at_row.p) : nullptr;
            const float *beta = a.beta.data ? a.beta.member(at_row.p) : nullptr;
            row.each([&](int k, int64_t at, const float(&)[V]) {
                ln_channel_values(gammas[k], gamma, 1.0f, a.s, at);
                ln_channel_values(betas[k], beta, 0.0f, a.s, at);
            });
        }
        const dlf_moments2 m = ln_statistics<V>(row, team, a.s);
        const float rstd = dlf_rstd(m.var, a.eps);
        if (exists && team.lane == 0) ln_keep(a, at_row, m, rstd);
        ln_output<ACTIVE, EARLY, V>(a, row, at_row, m, rstd, gammas, betas);
    }
}

/* One block per row, which is copied to shared memory (SHARED) or read from global memory three
 * times. With V = 1 this is the readable version and fits everything. */
template <class T, bool ACTIVE, int V, bool SHARED>
static __global__ void __launch_bounds__(LN_WIDE_BLOCK) ln_forward_block(ln_forward_args<T> a)
{
    const ln_team<0> team;
    const float none[1][V] = {};
    const int64_t rows = a.s.P * a.s.N;
    for (int64_t i = blockIdx.x; i < rows; i += gridDim.x) {
        const ln_row at_row = ln_row_of<(V > 1)>(a.s, i);
        const T *x = ln_at(a.x, at_row, a.s.L);
        const auto normalise = [&](const auto &row) {
            const dlf_moments2 m = ln_statistics<V>(row, team, a.s);
            const float rstd = dlf_rstd(m.var, a.eps);
            if (team.lane == 0) ln_keep(a, at_row, m, rstd);
            ln_output<ACTIVE, false, V>(a, row, at_row, m, rstd, none, none);
        };
        if constexpr (SHARED) {
            DLF_DYN_SHARED(T, room);
            ln_row_in_shared<T, V> row{room, team.lane * V, team.lanes * V, (int)a.s.L};
            row.fill(x);
            normalise(row);
        } else {
            normalise(ln_row_in_global<T, V>{x, team.lane * V, team.lanes * V, a.s.L});
        }
    }
}
#endif
