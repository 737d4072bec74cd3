/* SPDX-License-Identifier: MIT
 * layer_norm_common.cuh -- rows, channels, reductions and epilogues of layer and RMS normalization,
 * for kernels/layer_norm.cu alone.
 *
 * A row is the L = C S elements of one sample that share a statistic; it is contiguous in both
 * layouts. A thread works on packs of V elements: 16 bytes, or one element where the alignment or
 * the place of the channels does not allow 16 bytes. */
#ifndef DLF_LAYER_NORM_COMMON_CUH
#define DLF_LAYER_NORM_COMMON_CUH
#include "norm.cuh"

struct ln_shape {
    int64_t P, N, C, S, L;
    bool nhwc, rms;
};

static inline dlf_status ln_shape_of(ln_shape *out, const dlf_tensor *x, const dlf_norm *norm)
{
    dlf_norm_geometry g;
    DLF_TRY(dlf_norm_geometry_of(&g, x, *norm));
    *out =
        ln_shape{g.P, g.N, g.C, g.S, g.count, norm->layout == DLF_NHWC, norm->kind == DLF_RMS_NORM};
    return DLF_OK;
}

/* ---- where things are ---------------------------------------------------------------------------
 */

/* a / b. The 64-bit division costs as much as a short row; SMALL: both are below 2^31. */
template <bool SMALL> static __device__ __forceinline__ int64_t ln_quotient(int64_t a, int64_t b)
{
    if constexpr (SMALL)
        return (int64_t)((uint32_t)a / (uint32_t)b);
    else
        return a / b;
}

struct ln_row {
    int64_t p, n;
};

template <bool SMALL>
static __device__ __forceinline__ ln_row ln_row_of(const ln_shape &s, int64_t row)
{
    const int64_t p = s.P == 1 ? 0 : ln_quotient<SMALL>(row, s.N);
    return ln_row{p, row - p * s.N};
}

/* Sample n of a tensor like x. */
template <class T>
static __device__ __forceinline__ T *ln_at(const dlf_view<T> &view, ln_row row, int64_t L)
{
    return view.member(row.p) + row.n * L;
}

/* gamma or beta (NULL: `otherwise`) for the pack at element `at` of a row. A pack lies in one
 * channel (NCHW) or in consecutive ones (NHWC, S = 1): ln_packs_fit. */
template <int V>
static __device__ __forceinline__ void ln_channel_values(float (&v)[V], const float *values,
                                                         float otherwise, const ln_shape &s,
                                                         int64_t at)
{
    const bool constant = !values || (s.S > 1 && !s.nhwc);
    if (constant) {
        const float value = values ? values[ln_quotient<(V > 1)>(at, s.S)] : otherwise;
#pragma unroll
        for (int j = 0; j < V; j++) v[j] = value;
        return;
    }
    const float *from = values + (s.S == 1 ? at : at - ln_quotient<(V > 1)>(at, s.C) * s.C);
    if constexpr (V == 1) {
        v[0] = *from;
    } else {
        DLF_ALIGNED(from, 16);
#pragma unroll
        for (int j = 0; j < V; j += 4) {
            const float4 four = *reinterpret_cast<const float4 *>(from + j);
            v[j] = four.x, v[j + 1] = four.y, v[j + 2] = four.z, v[j + 3] = four.w;
        }
    }
}

/* Can a row be read in packs of 16 bytes, each with its channels in one piece, and counted in 32
 * bits? */
static inline bool ln_packs_fit(const ln_shape &s, const dlf_tensor *x)
{
    const int64_t V = 16 / (int64_t)dlf_dtype_size(x->dtype);
    if (s.L > INT32_MAX || s.P * s.N > INT32_MAX) return false;
    return s.S == 1 ? s.L % V == 0 : (s.nhwc ? s.C : s.S) % V == 0;
}

/* A float tensor (P,C) that NHWC packs read 16 bytes at a time; NCHW reads single values. */
static inline bool ln_parameter_fits(const ln_shape &s, const dlf_tensor *t)
{
    return (s.S > 1 && !s.nhwc) || dlf_rows_aligned(t, s.C);
}

/* ---- packs --------------------------------------------------------------------------------------
 */

/* V elements as they are stored: 16-bit types take half the registers of floats. */
template <class T, int V> struct ln_raw {
    uint4 bits;
};
template <class T> struct ln_raw<T, 1> {
    T value;
};

template <int V, class T> static __device__ __forceinline__ ln_raw<T, V> ln_load_raw(const T *p)
{
    if constexpr (V == 1) {
        return ln_raw<T, 1>{*p};
    } else {
        DLF_ALIGNED(p, 16);
        return ln_raw<T, V>{*reinterpret_cast<const uint4 *>(p)};
    }
}

template <class T, int V>
static __device__ __forceinline__ void ln_unpack(float (&v)[V], const ln_raw<T, V> &raw)
{
    if constexpr (V == 1) {
        v[0] = dlf_to_float(raw.value);
    } else {
        T t[V];
        memcpy(static_cast<void *>(t), &raw.bits, sizeof raw.bits);
#pragma unroll
        for (int j = 0; j < V; j++) v[j] = dlf_to_float(t[j]);
    }
}

template <int V> static __device__ __forceinline__ float ln_total(const float (&v)[V])
{
    float sum = v[0];
#pragma unroll
    for (int j = 1; j < V; j++) sum += v[j];
    return sum;
}

/* ---- reductions ---------------------------------------------------------------------------------
 */

/* Threads of a row: LANES = 8 or 32 neighbours in a warp, or (LANES = 0) blockDim.x threads, a
 * multiple of 32; blockDim.y rows then share a block. */
template <int LANES> struct ln_team {
    int lane, lanes, group, groups;
    __device__ __forceinline__ ln_team()
    {
        if constexpr (LANES == 0) {
            lane = (int)threadIdx.x, lanes = (int)blockDim.x;
            group = (int)threadIdx.y, groups = (int)blockDim.y;
        } else {
            lane = (int)threadIdx.x % LANES, lanes = LANES;
            group = (int)threadIdx.x / LANES, groups = (int)blockDim.x / LANES;
        }
    }
};

/* Sums over the team, the same bits in all of its threads, in a fixed order. All threads of the
 * block must call it. */
template <int LANES, int K>
static __device__ __forceinline__ void ln_team_sums(const ln_team<LANES> &team, float (&v)[K])
{
    if constexpr (LANES != 0) {
        dlf_lane_sums<LANES, K>(v);
    } else {
        DLF_SHARED(float, warps, [K][DLF_WARP]); /* a block has 32 warps at most */
        dlf_lane_sums<DLF_WARP, K>(v);
        const int per_row = team.lanes / DLF_WARP, first = team.group * per_row;
        __syncthreads(); /* the array may still be read from the reduction before */
        if (team.lane % DLF_WARP == 0)
            for (int k = 0; k < K; k++) warps[k][first + team.lane / DLF_WARP] = v[k];
        __syncthreads();
#pragma unroll
        for (int k = 0; k < K; k++) {
            float sum = warps[k][first];
            for (int i = 1; i < per_row; i++) sum += warps[k][first + i];
            v[k] = sum;
        }
    }
}

/* ---- epilogues ----------------------------------------------------------------------------------
 */

/* relu is inlined also where any may come: it costs less than the call. */
template <bool ACTIVE> static __device__ __forceinline__ float ln_value(float z, dlf_epilogue f)
{
    if constexpr (!ACTIVE) return z;
    return f.kind == DLF_RELU ? dlf_epilogue_value<DLF_EPILOGUE_RELU>(z, f)
                              : dlf_epilogue_value<DLF_EPILOGUE_ANY>(z, f);
}

template <bool ACTIVE> static __device__ __forceinline__ float ln_slope(float z, dlf_epilogue f)
{
    if constexpr (!ACTIVE) return 1.0f;
    return f.kind == DLF_RELU ? dlf_epilogue_slope<DLF_EPILOGUE_RELU>(z, f)
                              : dlf_epilogue_slope<DLF_EPILOGUE_ANY>(z, f);
}

/* ---- launches -----------------------------------------------------------------------------------
 */

/* Threads for a row of so many packs: 4 packs each, as far as that goes. */
static inline int ln_threads(int64_t packs, int most)
{
    int threads = DLF_WARP;
    while (threads < most && 4 * (int64_t)threads < packs) threads *= 2;
    return threads;
}

static inline int64_t ln_multiprocessors(const dlf_tensor *t)
{
    return t->device->info.threads > 0 ? t->device->info.threads : 1;
}

/* launch(T(), active) with the element type of `t`; active: there is an activation. */
template <class F> static inline dlf_status ln_with(const dlf_tensor *t, dlf_activation f, F launch)
{
    return dlf_with_storage(t, [&](auto zero) {
        return f.kind == DLF_LINEAR ? launch(zero, std::false_type())
                                    : launch(zero, std::true_type());
    });
}
#endif
