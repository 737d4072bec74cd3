/* SPDX-License-Identifier: MIT
 * batch_norm_walk.cuh -- which values of x belong to a channel, which block and thread reads them,
 * and how the threads of a block add up. Shared by forward and backward.
 *
 * Two shapes cover all layouts:
 *   planes    NCHW: a channel is N pieces of S neighbouring values, C S apart
 *   columns   NHWC and matrices: a channel is a column of an (N S, C) matrix
 *
 * A task is a channel (planes) or a tile of neighbouring channels (columns), or one of several
 * equal chunks of it. A unit is one access of V values: V values of a channel, or one value of each
 * of V channels. */
#ifndef DLF_BATCH_NORM_WALK_CUH
#define DLF_BATCH_NORM_WALK_CUH
#include <type_traits>

#include "norm.cuh"

enum {
    BN_THREADS = 256,
    BN_WARPS = BN_THREADS / DLF_WARP,
    BN_KEEP_BYTES = 36 << 10, /* of a block's values on chip: with the static arrays below 48 KiB */
    BN_WAVE = 8               /* blocks of 256 threads that a multiprocessor can hold             */
};

struct bn_shape {
    int64_t P, N, C, S; /* columns: N rows, S = 1 */
    bool columns;
};

/* With a single channel the positions are neighbours in either layout. */
static inline bn_shape bn_shape_of(const dlf_tensor *x, const dlf_norm *norm)
{
    dlf_norm_geometry g = {};
    if (dlf_norm_geometry_of(&g, x, *norm) != DLF_OK) return bn_shape{}; /* the op has checked */
    if (g.C == 1) return bn_shape{g.P, 1, 1, g.N * g.S, false};
    if (norm->layout == DLF_NHWC || g.S == 1) return bn_shape{g.P, g.N * g.S, g.C, 1, true};
    return bn_shape{g.P, g.N, g.C, g.S, false};
}

static inline int64_t bn_row(const bn_shape &s) /* values that lie side by side */
{
    return s.columns ? s.C : s.S;
}

/* n / d for n < 2^31 by one multiplication (Granlund, Montgomery 1994). */
struct bn_divisor {
    uint32_t d, multiplier, shift;
};

static inline bn_divisor bn_divisor_of(int64_t d)
{
    uint32_t shift = 0;
    while (((int64_t)1 << shift) < d) shift++;
    const uint64_t multiplier =
        (((uint64_t)1 << 32) * (((uint64_t)1 << shift) - (uint64_t)d)) / (uint64_t)d + 1;
    return bn_divisor{(uint32_t)d, (uint32_t)multiplier, shift};
}

static __device__ __forceinline__ uint32_t bn_quotient(uint32_t n, bn_divisor v)
{
    return ((uint32_t)(((uint64_t)v.multiplier * n) >> 32) + n) >> v.shift;
}

/* ---- tasks ------------------------------------------------------------------------------------
 */

struct bn_tasks {
    int64_t C, S, tiles, splits, count; /* count = P tiles splits                                */
    uint32_t units, chunk;              /* of a tile, of a task                                  */
    int width;                          /* columns: threads side by side, a power of two; else 1 */
    bn_divisor piece;                   /* planes: units of a piece                              */
};

/* Do units fit 31 bits? The readable version takes what is larger. */
static inline bool bn_countable(const bn_shape &s)
{
    return s.N * s.C * s.S < (int64_t)1 << 31;
}

/* One task per tile. `width`: at most so many threads side by side. */
static inline bn_tasks bn_whole(const bn_shape &s, int V, int width)
{
    bn_tasks t = {};
    t.C = s.C, t.S = s.S, t.width = 1;
    const int64_t units = s.columns ? s.N : s.N * (s.S / V);
    while (s.columns && t.width < width && (int64_t)t.width * V < s.C) t.width *= 2;
    t.tiles = s.columns ? dlf_ceil_div(s.C, (int64_t)t.width * V) : s.C;
    t.units = t.chunk = (uint32_t)units;
    t.splits = 1;
    t.count = s.P * t.tiles;
    t.piece = bn_divisor_of(s.columns ? 1 : s.S / V);
    return t;
}

/* Units that a thread reads before it looks at them. */
template <int V> constexpr int bn_batch = V == 1 ? 8 : 4;

/* Cut each tile so that the tasks fill the device once, but no thread has less than a batch. */
template <int V> static inline bn_tasks bn_split(const bn_shape &s, const dlf_tensor *x)
{
    bn_tasks t = bn_whole(s, V, DLF_WARP);
    const int64_t blocks =
        BN_WAVE * (int64_t)(x->device->info.threads > 0 ? x->device->info.threads : 1);
    const int64_t unit = (int64_t)bn_batch<V> * BN_THREADS / t.width;
    const int64_t wanted = dlf_ceil_div(blocks, t.count);
    const int64_t chunk = dlf_ceil_div(dlf_ceil_div(t.units, wanted), unit) * unit;
    t.splits = dlf_ceil_div(t.units, chunk);
    t.chunk = (uint32_t)(chunk < t.units ? chunk : t.units);
    t.count *= t.splits;
    return t;
}

/* What a thread reads of a task: units q, q + step, .. below end. */
template <int V, bool COLUMNS> struct bn_walk {
    static constexpr int A = COLUMNS ? V : 1; /* channels of a unit */
    int64_t p, c, split, base, pitch;         /* c: the first of the A channels */
    uint32_t first, end, step, q;
    bool leads, active; /* active: c < C. leads: and it is the one that writes for them */
    bn_divisor piece;

    __device__ __forceinline__ bn_walk(const bn_tasks &t, int64_t task)
    {
        split = task % t.splits;
        const int64_t tile = task / t.splits % t.tiles;
        p = task / t.splits / t.tiles;
        const uint32_t side = threadIdx.x & (uint32_t)(t.width - 1);
        const uint32_t lane = threadIdx.x / (uint32_t)t.width;
        step = (uint32_t)(BN_THREADS / t.width);
        first = (uint32_t)split * t.chunk;
        end = t.units - first < t.chunk ? t.units : first + t.chunk;
        q = first + lane;
        c = COLUMNS ? (tile * t.width + side) * V : tile;
        active = c < t.C;
        leads = active && lane == 0;
        base = COLUMNS ? c : c * t.S;
        pitch = COLUMNS ? t.C : t.C * t.S;
        piece = t.piece;
    }

    __device__ __forceinline__ float values() const /* of each channel, in the task */
    {
        return (float)(end - first) * (COLUMNS ? 1.0f : (float)V);
    }

    __device__ __forceinline__ int64_t at(uint32_t unit) const
    {
        if constexpr (COLUMNS) return base + (int64_t)unit * pitch;
        const uint32_t n = bn_quotient(unit, piece);
        return base + (int64_t)n * pitch + (int64_t)(unit - n * piece.d) * V;
    }
};

/* Slots of V floats in which a thread keeps what it has read; nobody else touches them. */
static inline size_t bn_keep_bytes(const bn_tasks &t, int V)
{
    const int64_t slots = dlf_ceil_div(t.chunk, BN_THREADS / t.width);
    return (size_t)slots * BN_THREADS * (size_t)V * sizeof(float);
}

template <int V> static __device__ __forceinline__ float *bn_slot(float *keep, uint32_t i)
{
    if constexpr (V == 1) return keep + i * BN_THREADS + threadIdx.x;
    return keep + (i * (V / 4) * BN_THREADS + threadIdx.x) * 4;
}

template <int V>
static __device__ __forceinline__ void bn_keep(float *keep, uint32_t i, const float (&v)[V])
{
    float *slot = bn_slot<V>(keep, i);
    if constexpr (V == 1)
        *slot = v[0];
    else
#pragma unroll
        for (int h = 0; h < V / 4; h++)
            *reinterpret_cast<float4 *>(slot + h * BN_THREADS * 4) =
                make_float4(v[4 * h], v[4 * h + 1], v[4 * h + 2], v[4 * h + 3]);
}

template <int V>
static __device__ __forceinline__ void bn_kept(float (&v)[V], float *keep, uint32_t i)
{
    const float *slot = bn_slot<V>(keep, i);
    if constexpr (V == 1)
        v[0] = *slot;
    else
#pragma unroll
        for (int h = 0; h < V / 4; h++) {
            const float4 f = *reinterpret_cast<const float4 *>(slot + h * BN_THREADS * 4);
            v[4 * h] = f.x, v[4 * h + 1] = f.y, v[4 * h + 2] = f.z, v[4 * h + 3] = f.w;
        }
}

/* Sums over the threads of a block that have the same place modulo `width`, the same bits in each
 * of them: butterfly in a warp, then the warps in order. All threads must call it. */
template <int A> static __device__ __forceinline__ void bn_sums(float (&v)[A], int width)
{
    DLF_SHARED(float, warps, [A][BN_WARPS][DLF_WARP]);
    const int warp = (int)threadIdx.x / DLF_WARP, lane = (int)threadIdx.x % DLF_WARP;
    for (int d = DLF_WARP / 2; d >= width; d /= 2)
#pragma unroll
        for (int k = 0; k < A; k++) v[k] += __shfl_xor_sync(0xffffffffu, v[k], d);
    __syncthreads(); /* the array may still be read from the reduction before */
    if (lane < width)
#pragma unroll
        for (int k = 0; k < A; k++) warps[k][warp][lane] = v[k];
    __syncthreads();
    const int place = lane & (width - 1);
#pragma unroll
    for (int k = 0; k < A; k++) {
        float sum = warps[k][0][place];
        for (int w = 1; w < BN_WARPS; w++) sum += warps[k][w][place];
        v[k] = sum;
    }
}

/* ---- what a channel's values are multiplied by ------------------------------------------------
 */

struct __align__(16) bn_coef
{
    float hi, lo, rstd, gamma, beta;
    float a, b; /* backward: means of dz and dz xhat */
    float unused;
};

struct bn_parameters {
    dlf_view<const float> gamma, beta; /* without data: 1, 0 */
};

static __device__ __forceinline__ bn_coef bn_coef_of(bn_parameters w, int64_t p, int64_t c,
                                                     double mean, float rstd)
{
    const dlf_mean m = dlf_mean_of(mean);
    return bn_coef{m.hi,
                   m.lo,
                   rstd,
                   w.gamma.data ? w.gamma.member(p)[c] : 1.0f,
                   w.beta.data ? w.beta.member(p)[c] : 0.0f,
                   0.0f,
                   0.0f,
                   0.0f};
}

static __device__ __forceinline__ float bn_z(float x, const bn_coef &k, float residual)
{
    return dlf_norm_z(x, dlf_mean{k.hi, k.lo}, k.rstd, k.gamma, k.beta, residual);
}

/* dz = dy f'(z); without an activation dy itself. */
template <int E>
static __device__ __forceinline__ float bn_dz(float dy, float x, const bn_coef &k, float residual,
                                              dlf_epilogue f)
{
    if constexpr (E == DLF_EPILOGUE_NONE) return dy;
    return dy * dlf_epilogue_slope<E>(bn_z(x, k, residual), f);
}

template <int V, class T>
static __device__ __forceinline__ void bn_load_or_zero(float (&v)[V], const T *data, int64_t at)
{
    if (data) return dlf_load<V>(v, data + at);
#pragma unroll
    for (int j = 0; j < V; j++) v[j] = 0.0f;
}

/* ---- from run-time choices to template arguments ----------------------------------------------
 */

template <int N> using bn_int = std::integral_constant<int, N>;

/* launch(T(), V, COLUMNS) */
template <class F>
static inline dlf_status bn_with_access(const dlf_tensor *x, bool vectors, bool columns, F launch)
{
    return dlf_with_storage(x, [&](auto t) {
        constexpr int V = dlf_vector<decltype(t)>;
        if (vectors)
            return columns ? launch(t, bn_int<V>(), std::true_type())
                           : launch(t, bn_int<V>(), std::false_type());
        return columns ? launch(t, bn_int<1>(), std::true_type())
                       : launch(t, bn_int<1>(), std::false_type());
    });
}

/* launch(E) */
template <class F> static inline dlf_status bn_with_epilogue(dlf_activation f, F launch)
{
    switch (dlf_epilogue_case(f)) {
    case DLF_EPILOGUE_NONE: return launch(bn_int<DLF_EPILOGUE_NONE>());
    case DLF_EPILOGUE_RELU: return launch(bn_int<DLF_EPILOGUE_RELU>());
    default: return launch(bn_int<DLF_EPILOGUE_ANY>());
    }
}

/* The widest tile that one block keeps on chip, `floats` per value; width 0: none does. A tile of
 * a wide matrix is at least 32 bytes of a row; one that leaves multiprocessors idle is halved. */
template <class T>
static inline bn_tasks bn_resident(const bn_shape &s, const dlf_tensor *x, int V, int floats)
{
    for (int width = 8; width >= 1; width /= 2) {
        const bn_tasks t = bn_whole(s, V, width);
        const bool narrow =
            s.columns && width * V * (int)sizeof(T) < 32 && (int64_t)width * V < s.C;
        const bool halve = s.columns && width * V * (int)sizeof(T) > 32 && width > 1 &&
                           t.count < x->device->info.threads;
        if (narrow) break;
        if (!halve && bn_keep_bytes(t, V) * (size_t)floats <= BN_KEEP_BYTES) return t;
        if (!s.columns) break;
    }
    return bn_tasks{};
}

/* A sum over a block of DLF_BLOCK threads, in all of them. */
static __device__ double bn_sum_for_all(double v)
{
    DLF_SHARED(double, sum, );
    v = dlf_block_sum(v);
    if (threadIdx.x == 0) sum = v;
    __syncthreads();
    v = sum;
    __syncthreads();
    return v;
}

/* Position m of channel c, by definition. */
static __device__ __forceinline__ int64_t bn_position(int64_t m, int64_t c, int64_t C, int64_t S)
{
    return (m / S * C + c) * S + m % S; /* columns: S = 1 */
}
#endif
