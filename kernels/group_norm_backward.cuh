/* SPDX-License-Identifier: MIT
 * group_norm_backward.cuh -- backward kernels over tiles in shared memory. */
#ifndef DLF_GROUP_NORM_BACKWARD_CUH
#define DLF_GROUP_NORM_BACKWARD_CUH
#include "group_norm_forward.cuh"

/* The kept statistics of the tile's groups, and the table. */
template <class T>
static __device__ __forceinline__ void gn_recall(const gn_bwd<T> &io, const gn_tile &t,
                                                 const gn_cut &cut, const gn_memory &m)
{
    for (int g = (int)threadIdx.x; g < t.groups; g += (int)blockDim.x) {
        const dlf_mean mean = dlf_mean_of(io.mean.member(t.p)[t.q + g]);
        m.group[3 * g] = mean.hi, m.group[3 * g + 1] = mean.lo;
        m.group[3 * g + 2] = io.rstd.member(t.p)[t.q + g];
    }
    __syncthreads();
    gn_fill_table(m.table, m.group, t, cut, io.gamma, io.beta);
    __syncthreads();
}

/* xhat and dz = dy f'(z) of a vector. */
template <class T, int V, int E>
static __device__ __forceinline__ void gn_input(const gn_bwd<T> &io, const gn_tile &t,
                                                gn_place<V> place, const gn_affine *table,
                                                float (&xhat)[V], float (&dz)[V])
{
    float r[V] = {};
    dlf_load<V>(xhat, io.x.member(t.p) + place.at);
    dlf_load<V>(dz, io.dy.member(t.p) + place.at);
    if (E != GN_LINEAR && io.residual.data) dlf_load<V>(r, io.residual.member(t.p) + place.at);
    gn_affine a = table[place.u];
#pragma unroll
    for (int i = 0; i < V; i++) {
        if constexpr (E != GN_LINEAR) dz[i] *= gn_slope<E>(gn_z(xhat[i], a, r[i]), io.f);
        xhat[i] = dlf_centred(xhat[i], dlf_mean{a.hi, a.lo}) * a.rstd;
        if (i + 1 < V && place.next(t)) a = table[place.u];
    }
}

/* dx = rstd (gamma dz - mean(g) - xhat mean(g xhat)); means: pairs (g xhat, g) per group. */
template <class T, int V>
static __device__ __forceinline__ void gn_store_dx(const gn_bwd<T> &io, const gn_tile &t,
                                                   gn_place<V> place, const gn_memory &m,
                                                   const float (&xhat)[V], float (&dz)[V])
{
    const int64_t at = place.at;
    gn_affine a = m.table[place.u];
    const float *mean = m.group + 3 * (place.u / t.width);
#pragma unroll
    for (int i = 0; i < V; i++) {
        dz[i] = a.rstd * ((dz[i] * a.gamma - mean[1]) - xhat[i] * mean[0]);
        if (i + 1 < V && place.next(t)) {
            a = m.table[place.u];
            mean = m.group + 3 * (place.u / t.width);
        }
    }
    dlf_store<V>(io.dx.member(t.p) + at, dz);
}

/* Sums of every channel of a resident tile, to m.channel and to io.part, then of every group:
 * done(g, sum g xhat, sum g). */
template <class T, class Done>
static __device__ __forceinline__ void gn_channel_sums(const gn_bwd<T> &io, const gn_tile &t,
                                                       const gn_cut &cut, const gn_memory &m,
                                                       Done done)
{
    const float *xhat = m.data[0], *dz = m.data[1];
    gn_unit_sums<2>(t, cut, m.units, [&](int slot, int, float(&v)[2]) {
        v[0] = fmaf(dz[slot], xhat[slot], v[0]);
        v[1] += dz[slot];
    });
    __syncthreads();
    for (int u = (int)threadIdx.x; u < t.channels; u += (int)blockDim.x) {
        float sum[2] = {0.0f, 0.0f};
        for (int i = 0; i < t.pieces; i++)
            for (int k = 0; k < 2; k++) sum[k] += m.units[2 * (u * t.pieces + i) + k];
        for (int k = 0; k < 2; k++) m.channel[2 * u + k] = sum[k];
        if (!io.part) continue;
        const int64_t sample = t.p * cut.N + gn_sample(t, cut, u);
        float *row = io.part + (sample * cut.chunks + t.chunk_index) * 2 * cut.C;
        for (int k = 0; k < 2; k++) row[k * cut.C + gn_channel(t, cut, u)] = sum[k];
    }
    __syncthreads();
    gn_sums<float, 2>(
        t.groups, t.width, cut.group_lanes,
        [&](int g, int i, float(&v)[2]) {
            const int u = g * t.width + i;
            for (int k = 0; k < 2; k++) v[k] = fmaf(m.table[u].gamma, m.channel[2 * u + k], v[k]);
        },
        [&](int g, float(&v)[2]) { done(g, v[0], v[1]); });
    __syncthreads();
}

/* x and dy are read once; xhat and dz wait in shared memory for the sums. With io.g_part only the
 * sums of the tile are wanted. */
template <class T, int V, int E>
static __global__ void __launch_bounds__(GN_THREADS, 1) gn_backward(gn_bwd<T> io, gn_cut cut)
{
    DLF_DYN_SHARED(float, shared);
    for (int64_t task = blockIdx.x; task < cut.P * cut.tiles * cut.chunks; task += gridDim.x) {
        const gn_tile t = gn_tile_of(cut, task);
        const gn_memory m = gn_memory_of<2>(shared, t);
        const int vectors = t.channels * t.len / V;
        const float count = (float)t.width * (float)t.len;
        __syncthreads(); /* the memory may still be read for the tile before */
        gn_recall(io, t, cut, m);
#pragma unroll 2
        for (int i = (int)threadIdx.x; i < vectors; i += (int)blockDim.x) {
            gn_place<V> place(t, i);
            float xhat[V], dz[V];
            gn_input<T, V, E>(io, t, place, m.table, xhat, dz);
            if (io.dresidual.data && !io.g_part)
                dlf_store<V>(io.dresidual.member(t.p) + place.at, dz);
#pragma unroll
            for (int k = 0; k < V; k++) {
                m.data[0][place.slot(t)] = xhat[k];
                m.data[1][place.slot(t)] = dz[k];
                place.next(t);
            }
        }
        __syncthreads();
        gn_channel_sums(io, t, cut, m, [&](int g, float gx, float sum) {
            if (io.g_part) {
                const int64_t q = t.p * cut.N * cut.groups + t.q + g;
                float *out = io.g_part + 2 * (q * cut.chunks + t.chunk_index);
                out[0] = gx, out[1] = sum;
            } else {
                m.group[3 * g] = gx / count, m.group[3 * g + 1] = sum / count;
            }
        });
        if (io.g_part) continue;
        for (int i = (int)threadIdx.x; i < vectors; i += (int)blockDim.x) {
            const gn_place<V> place(t, i);
            gn_place<V> walk = place;
            float xhat[V], dz[V];
#pragma unroll
            for (int k = 0; k < V; k++) {
                xhat[k] = m.data[0][walk.slot(t)];
                dz[k] = m.data[1][walk.slot(t)];
                walk.next(t);
            }
            gn_store_dx<T, V>(io, t, place, m, xhat, dz);
        }
    }
}

/* Second stage of the split: adds the chunks of its groups in order, then reads x and dy again. */
template <class T, int V, int E>
static __global__ void __launch_bounds__(GN_THREADS, 1) gn_dx(gn_bwd<T> io, gn_cut cut)
{
    DLF_DYN_SHARED(float, shared);
    for (int64_t task = blockIdx.x; task < cut.P * cut.tiles * cut.chunks; task += gridDim.x) {
        const gn_tile t = gn_tile_of(cut, task);
        const gn_memory m = gn_memory_of<0>(shared, t);
        const int vectors = t.channels * t.len / V;
        const float *part = io.g_part + 2 * (t.p * cut.N * cut.groups + t.q) * cut.chunks;
        const double count = (double)t.width * (double)cut.S;
        __syncthreads();
        gn_recall(io, t, cut, m);
        gn_sums<double, 2>(
            t.groups, (int)cut.chunks, DLF_WARP,
            [&](int g, int i, double(&v)[2]) {
                for (int k = 0; k < 2; k++) v[k] += part[2 * (g * cut.chunks + i) + k];
            },
            [&](int g, double(&v)[2]) {
                for (int k = 0; k < 2; k++) m.group[3 * g + k] = (float)(v[k] / count);
            });
        __syncthreads();
        for (int i = (int)threadIdx.x; i < vectors; i += (int)blockDim.x) {
            const gn_place<V> place(t, i);
            float xhat[V], dz[V];
            gn_input<T, V, E>(io, t, place, m.table, xhat, dz);
            if (io.dresidual.data) dlf_store<V>(io.dresidual.member(t.p) + place.at, dz);
            gn_store_dx<T, V>(io, t, place, m, xhat, dz);
        }
    }
}
#endif
