/* SPDX-License-Identifier: MIT
 * group_norm_tile.cuh -- the part of a sample that a block of group norm works on.
 *
 * A tile is some neighbouring groups (all of their channels) times a range of positions. It stands
 * in shared memory as [channel][position] whatever the layout of x, so that only loads and stores
 * know the layout:
 *
 *   NCHW  a group is contiguous; tiles may run over the end of a sample into the next. pitch = len
 *   NHWC  positions are C apart; a tile takes as many groups as make 128 bytes of channels, stays
 * in its sample, and is transposed on the way. An odd pitch spreads the V channels of a vector over
 * V banks
 *
 * Sums go in two steps of fixed order: over units (a piece of one channel), then over the units of
 * a group. */
#ifndef DLF_GROUP_NORM_TILE_CUH
#define DLF_GROUP_NORM_TILE_CUH
#include "norm.cuh"

enum {
    GN_PIECE = 512,   /* positions of a unit          */
    GN_THREADS = 512, /* most threads of a tile block */
};

/* Shape and cut of a call; the same for every block. */
struct gn_cut {
    int64_t P, N, C, S, groups, width;
    int64_t tile_groups; /* groups of a tile                          */
    int64_t tiles;       /* per member, along groups                  */
    int64_t chunk;       /* positions of a tile; chunks of them are S */
    int64_t chunks;
    int unit_lanes, group_lanes; /* threads that share one sum: powers of two up to 32 */
    bool nhwc;
};

struct gn_tile {
    int64_t p, q, chunk_index; /* q: first group, counted over samples             */
    int64_t base;              /* of channel 0, position 0, in the member          */
    int64_t across, along;     /* elements from channel to channel, to position    */
    int groups, channels, len, pitch, pieces, width;
    bool nhwc;
};

static __device__ __forceinline__ gn_tile gn_tile_of(const gn_cut &cut, int64_t task)
{
    gn_tile t;
    t.chunk_index = task % cut.chunks;
    const int64_t tile = task / cut.chunks % cut.tiles, start = t.chunk_index * cut.chunk;
    t.p = task / cut.chunks / cut.tiles;
    int64_t end; /* of the groups that this tile may take */
    if (cut.nhwc) {
        const int64_t per_sample = (cut.groups + cut.tile_groups - 1) / cut.tile_groups;
        const int64_t n = tile / per_sample, first = tile % per_sample * cut.tile_groups;
        t.q = n * cut.groups + first;
        end = (n + 1) * cut.groups;
        t.base = (n * cut.S + start) * cut.C + first * cut.width;
        t.across = 1, t.along = cut.C;
    } else {
        t.q = tile * cut.tile_groups;
        end = cut.N * cut.groups;
        t.base = t.q * cut.width * cut.S + start;
        t.across = cut.S, t.along = 1;
    }
    t.groups = (int)(end - t.q < cut.tile_groups ? end - t.q : cut.tile_groups);
    t.width = (int)cut.width;
    t.channels = t.groups * t.width;
    t.len = (int)(cut.S - start < cut.chunk ? cut.S - start : cut.chunk);
    t.pitch = cut.nhwc ? t.len | 1 : t.len;
    t.pieces = (t.len + GN_PIECE - 1) / GN_PIECE;
    t.nhwc = cut.nhwc;
    return t;
}

/* Channel, position and address of the first element of vector i; next() goes on inside it. */
template <int V> struct gn_place {
    int u, k;
    int64_t at;

    __device__ __forceinline__ gn_place(const gn_tile &t, int i)
    {
        if (t.nhwc) {
            const int vectors = t.channels / V;
            k = i / vectors;
            u = (i - k * vectors) * V;
        } else {
            u = i * V / t.len;
            k = i * V - u * t.len;
        }
        at = t.base + u * t.across + k * t.along;
    }
    __device__ __forceinline__ int slot(const gn_tile &t) const { return u * t.pitch + k; }
    /* True if the channel has changed. */
    __device__ __forceinline__ bool next(const gn_tile &t)
    {
        if (t.nhwc) {
            u++;
            return true;
        }
        if (++k < t.len) return false;
        k = 0;
        u++;
        return true;
    }
};

/* Channel of local channel u, and its sample. */
static __device__ __forceinline__ int64_t gn_channel(const gn_tile &t, const gn_cut &cut, int u)
{
    return (t.q * cut.width + u) % cut.C;
}

static __device__ __forceinline__ int64_t gn_sample(const gn_tile &t, const gn_cut &cut, int u)
{
    return (t.q * cut.width + u) / cut.C;
}

/* What z of a channel takes. */
struct gn_affine {
    float hi, lo, rstd, gamma, beta;
};

static __device__ __forceinline__ float gn_z(float x, const gn_affine &a, float residual)
{
    return dlf_norm_z(x, dlf_mean{a.hi, a.lo}, a.rstd, a.gamma, a.beta, residual);
}

/* For `items` sums of K numbers: add(item, i, v) for i < count, by `lanes` threads, then
 * done(item, v) in one of them. All threads of the block must call it. */
template <class Real, int K, class Add, class Done>
static __device__ __forceinline__ void gn_sums(int items, int count, int lanes, Add add, Done done)
{
    const int per_round = (int)blockDim.x / lanes, lane = (int)threadIdx.x % lanes;
    for (int first = 0; first < items; first += per_round) {
        const int item = first + (int)threadIdx.x / lanes;
        Real v[K] = {};
        if (item < items)
            for (int i = lane; i < count; i += lanes) add(item, i, v);
        for (int d = lanes / 2; d > 0; d /= 2)
#pragma unroll
            for (int k = 0; k < K; k++) v[k] += __shfl_xor_sync(0xffffffffu, v[k], d);
        if (item < items && lane == 0) done(item, v);
    }
}

/* The same over units: add(slot, unit's channel, v) for every position of the unit. */
template <int K, class Add>
static __device__ __forceinline__ void gn_unit_sums(const gn_tile &t, const gn_cut &cut,
                                                    float *units, Add add)
{
    gn_sums<float, K>(
        t.channels * t.pieces, GN_PIECE, cut.unit_lanes,
        [&](int unit, int i, float(&v)[K]) {
            const int u = unit / t.pieces, k = (unit - u * t.pieces) * GN_PIECE + i;
            if (k < t.len) add(u * t.pitch + k, u, v);
        },
        [&](int unit, float(&v)[K]) {
#pragma unroll
            for (int k = 0; k < K; k++) units[K * unit + k] = v[k];
        });
}

/* ---- epilogues --------------------------------------------------------------------------------
 */

/* What a kernel is compiled for: no activation, relu, silu (diffusion models), or any by a call,
 * one element at a time, because eleven activations inside each kernel would make all of them long.
 */
enum { GN_LINEAR, GN_RELU, GN_SILU, GN_ANY };

template <int E> static __device__ __forceinline__ float gn_value(float z, dlf_epilogue f)
{
    if constexpr (E == GN_LINEAR) return z;
    if constexpr (E == GN_RELU) return dlf_act_value<DLF_RELU>(z, 0.0f);
    if constexpr (E == GN_SILU) return dlf_act_value<DLF_SILU>(z, 0.0f);
    if constexpr (E == GN_ANY) return dlf_epilogue_value<DLF_EPILOGUE_ANY>(z, f);
}

template <int E> static __device__ __forceinline__ float gn_slope(float z, dlf_epilogue f)
{
    if constexpr (E == GN_LINEAR) return 1.0f;
    if constexpr (E == GN_RELU) return dlf_act_slope<DLF_RELU>(z, 0.0f);
    if constexpr (E == GN_SILU) return dlf_act_slope<DLF_SILU>(z, 0.0f);
    if constexpr (E == GN_ANY) return dlf_epilogue_slope<DLF_EPILOGUE_ANY>(z, f);
}

/* ---- operands ---------------------------------------------------------------------------------
 */

template <class T> struct gn_fwd : dlf_norm_fwd_views<T> {
    dlf_stat *part; /* split: of (member, group, chunk) */
};

template <class T> struct gn_bwd : dlf_norm_bwd_views<T> {
    float *part;   /* rows of C: (member, sample, chunk, dgamma or dbeta); NULL: not wanted   */
    float *g_part; /* split: sums of g xhat and g of (member, group, chunk)                   */
};

/* Parameters of every channel into the table; the statistics are those of `group`, 3 per group. */
static __device__ __forceinline__ void gn_fill_table(gn_affine *table, const float *group,
                                                     const gn_tile &t, const gn_cut &cut,
                                                     dlf_view<const float> gamma,
                                                     dlf_view<const float> beta)
{
    for (int u = (int)threadIdx.x; u < t.channels; u += (int)blockDim.x) {
        const int64_t c = gn_channel(t, cut, u);
        const float *s = group + 3 * (u / t.width);
        table[u] = gn_affine{s[0], s[1], s[2], gamma.data ? gamma.member(t.p)[c] : 1.0f,
                             beta.data ? beta.member(t.p)[c] : 0.0f};
    }
}
#endif
