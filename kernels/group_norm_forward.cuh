/* SPDX-License-Identifier: MIT
 * group_norm_forward.cuh -- forward kernels over tiles in shared memory. */
#ifndef DLF_GROUP_NORM_FORWARD_CUH
#define DLF_GROUP_NORM_FORWARD_CUH
#include "group_norm_tile.cuh"

/* The shared memory of a tile with K floats per element. Backward keeps xhat and dz. */
struct gn_memory {
    float *data[2];
    gn_affine *table; /* per channel                                 */
    float *group;     /* 3 per group                                 */
    float *units;     /* 2 per unit                                  */
    float *channel;   /* 2 per channel: backward                     */
};

template <int K>
static __device__ __forceinline__ gn_memory gn_memory_of(float *shared, const gn_tile &t)
{
    gn_memory m;
    const int size = K ? t.channels * t.pitch : 0;
    m.data[0] = shared;
    m.data[1] = shared + size;
    m.table = reinterpret_cast<gn_affine *>(shared + K * size);
    m.group = shared + K * size + 5 * t.channels;
    m.channel = m.group + 3 * t.groups;
    m.units = m.channel + 2 * t.channels;
    return m;
}

/* Bytes of the largest tile. */
static inline size_t gn_memory_bytes(const gn_cut &cut, int K)
{
    const int64_t channels = cut.tile_groups * cut.width;
    const int64_t pitch = cut.nhwc ? cut.chunk | 1 : cut.chunk;
    const int64_t pieces = K ? dlf_ceil_div(cut.chunk, GN_PIECE) : 0;
    return (size_t)(channels * (K * pitch + 7 + 2 * pieces) + 3 * cut.tile_groups) * sizeof(float);
}

/* Statistics of a resident tile: mean and squared deviations of every group, corrected. done(g,
 * first, s1, s2) in one thread per group. */
template <class Done>
static __device__ __forceinline__ void gn_statistics(const gn_tile &t, const gn_cut &cut,
                                                     const gn_memory &m, Done done)
{
    const float *data = m.data[0];
    const int per_group = t.width * t.pieces;
    const float count = (float)t.width * (float)t.len;
    gn_unit_sums<1>(t, cut, m.units, [&](int slot, int, float(&v)[1]) { v[0] += data[slot]; });
    __syncthreads();
    gn_sums<float, 1>(
        t.groups, per_group, cut.group_lanes,
        [&](int g, int i, float(&v)[1]) { v[0] += m.units[g * per_group + i]; },
        [&](int g, float(&v)[1]) { m.group[3 * g] = v[0] / count; });
    __syncthreads();
    gn_unit_sums<2>(t, cut, m.units, [&](int slot, int u, float(&v)[2]) {
        const float d = data[slot] - m.group[3 * (u / t.width)];
        v[0] += d;
        v[1] = fmaf(d, d, v[1]);
    });
    __syncthreads();
    gn_sums<float, 2>(
        t.groups, per_group, cut.group_lanes,
        [&](int g, int i, float(&v)[2]) {
            v[0] += m.units[2 * (g * per_group + i)];
            v[1] += m.units[2 * (g * per_group + i) + 1];
        },
        [&](int g, float(&v)[2]) { done(g, m.group[3 * g], v[0], v[1]); });
    __syncthreads();
}

/* Keep the statistics of group g, in global memory and for the table. */
template <class T>
static __device__ __forceinline__ void gn_keep(const gn_fwd<T> &io, const gn_tile &t, float *group,
                                               int g, double mean, double var, bool write)
{
    const dlf_mean split = dlf_mean_of(mean);
    const float rstd = dlf_rstd(var, io.eps);
    group[3 * g] = split.hi, group[3 * g + 1] = split.lo, group[3 * g + 2] = rstd;
    if (write && io.mean.data) io.mean.member(t.p)[t.q + g] = mean;
    if (write && io.rstd.data) io.rstd.member(t.p)[t.q + g] = rstd;
}

/* y of vector i, whose x is in v. */
template <class T, int V, int E>
static __device__ __forceinline__ void gn_output(const gn_fwd<T> &io, const gn_tile &t,
                                                 gn_place<V> place, const gn_affine *table,
                                                 float (&v)[V])
{
    const int64_t at = place.at;
    float r[V] = {};
    if (io.residual.data) dlf_load<V>(r, io.residual.member(t.p) + at);
    gn_affine a = table[place.u];
#pragma unroll
    for (int i = 0; i < V; i++) {
        v[i] = gn_value<E>(gn_z(v[i], a, r[i]), io.f);
        if (i + 1 < V && place.next(t)) a = table[place.u];
    }
    dlf_store<V>(io.y.member(t.p) + at, v);
}

/* use(place, values) for every vector of the tile. A thread has several loads in flight before the
 * first is used; it uses what it loaded before it loads more, so y may be x. */
template <class T, int V, class Use>
static __device__ __forceinline__ void gn_batches(const gn_tile &t, const T *x, int vectors,
                                                  Use use)
{
    constexpr int BATCH = V == 8 ? 2 : 4;
    const int threads = (int)blockDim.x;
    for (int first = (int)threadIdx.x; first < vectors; first += BATCH * threads) {
        float v[BATCH][V] = {};
#pragma unroll
        for (int b = 0; b < BATCH; b++)
            if (first + b * threads < vectors)
                dlf_load<V>(v[b], x + gn_place<V>(t, first + b * threads).at);
#pragma unroll
        for (int b = 0; b < BATCH; b++)
            if (first + b * threads < vectors) use(gn_place<V>(t, first + b * threads), v[b]);
    }
}

/* x is read once and waits in shared memory for its statistics. With io.part only the statistics
 * of the tile are wanted. */
template <class T, int V, int E>
static __global__ void __launch_bounds__(GN_THREADS, 2) gn_forward(gn_fwd<T> io, gn_cut cut)
{
    DLF_DYN_SHARED(float, shared);
    for (int64_t task = blockIdx.x; task < cut.P * cut.tiles * cut.chunks; task += gridDim.x) {
        const gn_tile t = gn_tile_of(cut, task);
        const gn_memory m = gn_memory_of<1>(shared, t);
        const int vectors = t.channels * t.len / V;
        const double count = (double)t.width * t.len;
        const T *x = io.x.member(t.p);
        __syncthreads(); /* the memory may still be read for the tile before */
        gn_batches<T, V>(t, x, vectors, [&](gn_place<V> place, float(&v)[V]) {
#pragma unroll
            for (int k = 0; k < V; k++) {
                m.data[0][place.slot(t)] = v[k];
                place.next(t);
            }
        });
        __syncthreads();
        gn_statistics(t, cut, m, [&](int g, float first, float s1, float s2) {
            const dlf_moments2 s = dlf_corrected(first, s1, s2, count);
            if (io.part)
                io.part[(t.p * cut.N * cut.groups + t.q + g) * cut.chunks + t.chunk_index] =
                    dlf_stat{count, s.mean, s.var * count};
            else
                gn_keep(io, t, m.group, g, s.mean, s.var, true);
        });
        if (io.part) continue;
        gn_fill_table(m.table, m.group, t, cut, io.gamma, io.beta);
        __syncthreads();
        for (int i = (int)threadIdx.x; i < vectors; i += (int)blockDim.x) {
            const gn_place<V> place(t, i);
            gn_place<V> walk = place;
            float v[V];
#pragma unroll
            for (int k = 0; k < V; k++) {
                v[k] = m.data[0][walk.slot(t)];
                walk.next(t);
            }
            gn_output<T, V, E>(io, t, place, m.table, v);
        }
    }
}

/* Second stage of the split: merges the chunks of its groups (every block the same way), then reads
 * x again. With m chunks of n_i values: mean = sum n_i mean_i / n, M2 = sum M2_i + n_i (mean_i -
 * mean)^2, by two passes over the chunks. */
template <class T, int V, int E>
static __global__ void __launch_bounds__(GN_THREADS, 2) gn_apply(gn_fwd<T> io, gn_cut cut)
{
    DLF_DYN_SHARED(float, shared);
    DLF_SHARED(double, means, [GN_THREADS]);
    for (int64_t task = blockIdx.x; task < cut.P * cut.tiles * cut.chunks; task += gridDim.x) {
        const gn_tile t = gn_tile_of(cut, task);
        const gn_memory m = gn_memory_of<0>(shared, t);
        const int vectors = t.channels * t.len / V, chunks = (int)cut.chunks;
        const dlf_stat *part = io.part + (t.p * cut.N * cut.groups + t.q) * cut.chunks;
        const double n = (double)t.width * (double)cut.S;
        __syncthreads();
        gn_sums<double, 1>(
            t.groups, chunks, DLF_WARP,
            [&](int g, int i, double(&v)[1]) {
                const dlf_stat s = part[(int64_t)g * chunks + i];
                v[0] += s.n * (s.mean - part[(int64_t)g * chunks].mean);
            },
            [&](int g, double(&v)[1]) { means[g] = part[(int64_t)g * chunks].mean + v[0] / n; });
        __syncthreads();
        gn_sums<double, 1>(
            t.groups, chunks, DLF_WARP,
            [&](int g, int i, double(&v)[1]) {
                const dlf_stat s = part[(int64_t)g * chunks + i];
                v[0] += s.m2 + s.n * (s.mean - means[g]) * (s.mean - means[g]);
            },
            [&](int g, double(&v)[1]) {
                gn_keep(io, t, m.group, g, means[g], v[0] / n, t.chunk_index == 0);
            });
        __syncthreads();
        gn_fill_table(m.table, m.group, t, cut, io.gamma, io.beta);
        __syncthreads();
        gn_batches<T, V>(t, io.x.member(t.p), vectors, [&](gn_place<V> place, float(&v)[V]) {
            gn_output<T, V, E>(io, t, place, m.table, v);
        });
    }
}
#endif
