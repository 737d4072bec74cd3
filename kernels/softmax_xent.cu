/* SPDX-License-Identifier: MIT
 * softmax_xent.cu -- softmax cross-entropy. A group of 8 or 32 neighbouring lanes, or for long rows
 * a whole block, works on a row; the second and third look at it come from the caches.
 *
 * The largest term of the sum is exp(0) = 1 and left out: `rest` is the sum of the others, so that
 * loss and gradient keep their digits when the prediction is almost sure. A NaN, a +Inf or nothing
 * but -Inf makes the row NaN, by Inf - Inf. */
#include "math.cuh"

enum { LONG_ROW = 1024 /* columns; a row longer than this gets a block */ };

struct xent_args {
    dlf_view<float> out; /* loss, or dlogits */
    dlf_view<float> hit; /* data NULL: not wanted */
    dlf_view<const float> logits;
    dlf_view<const int32_t> labels;
    int64_t P, B, C;
    float scale;
};

/* A row's maximum and its lowest column. NaN beats every number. */
struct best {
    float z;
    int64_t c;
};

static __device__ __forceinline__ best better(best a, best b)
{
    const bool b_wins = b.z > a.z || (b.z != b.z && a.z == a.z) || (b.z == a.z && b.c < a.c);
    return b_wins ? b : a;
}

/* Reductions over G threads that work on one row; all of them get the result. */
template <int G> static __device__ __forceinline__ best group_best(best v)
{
    constexpr int WIDTH = G < DLF_WARP ? G : DLF_WARP;
    for (int d = WIDTH / 2; d > 0; d /= 2) {
        const best other = {__shfl_xor_sync(0xffffffffu, v.z, d),
                            (int64_t)__shfl_xor_sync(0xffffffffu, (long long)v.c, d)};
        v = better(v, other);
    }
    if constexpr (G > DLF_WARP) {
        DLF_SHARED(best, warps, [G / DLF_WARP]);
        __syncthreads(); /* still read from the row before */
        if (threadIdx.x % DLF_WARP == 0) warps[threadIdx.x / DLF_WARP] = v;
        __syncthreads();
        v = warps[0];
        for (int i = 1; i < G / DLF_WARP; i++) v = better(v, warps[i]);
    }
    return v;
}

template <int G> static __device__ __forceinline__ float group_sum(float v)
{
    constexpr int WIDTH = G < DLF_WARP ? G : DLF_WARP;
    for (int d = WIDTH / 2; d > 0; d /= 2) v += __shfl_xor_sync(0xffffffffu, v, d);
    if constexpr (G > DLF_WARP) {
        DLF_SHARED(float, warps, [G / DLF_WARP]);
        __syncthreads();
        if (threadIdx.x % DLF_WARP == 0) warps[threadIdx.x / DLF_WARP] = v;
        __syncthreads();
        v = warps[0];
        for (int i = 1; i < G / DLF_WARP; i++) v += warps[i];
    }
    return v;
}

struct row_stats {
    best top;
    float rest; /* sum of exp(z - max) without the maximum itself */
};

/* `active` is false for lanes whose row does not exist: they take part in shuffles only. */
template <int G>
static __device__ __forceinline__ row_stats stats_of(const float *z, int64_t C, int lane,
                                                     bool active)
{
    best v = {-INFINITY, INT64_MAX};
    if (active)
        for (int64_t c = lane; c < C; c += G) v = better(v, best{z[c], c});
    row_stats s = {group_best<G>(v), 0.0f};
    float rest = 0.0f;
    if (active)
        for (int64_t c = lane; c < C; c += G)
            if (c != s.top.c) rest += expf(z[c] - s.top.z);
    s.rest = group_sum<G>(rest) + (s.top.z - s.top.z); /* + 0, or NaN */
    return s;
}

/* Loops run the same number of rounds for all threads of a block, as the reductions need. In place,
 * a lane overwrites only columns that it alone reads after the last reduction. */
template <int G, bool BACKWARD>
static __global__ void __launch_bounds__(DLF_BLOCK, 4) xent(xent_args a)
{
    const int lane = (int)threadIdx.x % G, group = (int)threadIdx.x / G;
    const int64_t rows = DLF_BLOCK / G, C = a.C; /* rows per block and round */
    for (int64_t p = blockIdx.y; p < a.P; p += gridDim.y)
        for (int64_t i0 = blockIdx.x * rows; i0 < a.B; i0 += gridDim.x * rows) {
            const int64_t i = i0 + group;
            const bool active = i < a.B;
            const float *z = a.logits.member(p) + i * C;
            const row_stats s = stats_of<G>(z, C, lane, active);
            if (!active) continue;
            const int64_t label = a.labels.member(p)[i];
            const bool valid = label >= 0 && label < C;
            if constexpr (BACKWARD) {
                float *dz = a.out.member(p) + i * C;
                const float sum = 1.0f + s.rest;
                for (int64_t c = lane; c < C; c += G) {
                    const float e = c == s.top.c ? 1.0f : expf(z[c] - s.top.z);
                    float d = e / sum;
                    if (c == label) d = c == s.top.c ? -(s.rest / sum) : d - 1.0f;
                    dz[c] = valid ? a.scale * d : NAN;
                }
            } else if (lane == 0) {
                a.out.member(p)[i] = valid ? log1pf(s.rest) - (z[label] - s.top.z) : NAN;
                if (a.hit.data)
                    a.hit.member(p)[i] =
                        valid && s.top.c == label && s.top.z == s.top.z ? 1.0f : 0.0f;
            }
        }
}

template <int G, bool BACKWARD> static cudaError_t launch(const dlf_tensor *t, const xent_args &a)
{
    const dim3 grid(dlf_grid_x(t, a.B, DLF_BLOCK / G), dlf_grid_yz(a.P));
    return DLF_LAUNCH((xent<G, BACKWARD>), grid, DLF_BLOCK, 0, dlf_stream_of(t), a);
}

template <bool BACKWARD> static cudaError_t launch_for_rows(const dlf_tensor *t, const xent_args &a)
{
    if (a.C <= 16) return launch<8, BACKWARD>(t, a);
    if (a.C <= LONG_ROW) return launch<DLF_WARP, BACKWARD>(t, a);
    return launch<DLF_BLOCK, BACKWARD>(t, a);
}

static xent_args args_of(const dlf_tensor *out, const dlf_tensor *hit, const dlf_tensor *logits,
                         const dlf_tensor *labels, double scale)
{
    xent_args a = {dlf_view_of<float>(out),
                   dlf_view_of<float>(hit),
                   dlf_view_of<const float>(logits),
                   dlf_view_of<const int32_t>(labels),
                   logits->shape[0],
                   logits->shape[1],
                   logits->shape[2],
                   (float)scale};
    if (labels->shape[0] == 1) a.labels.stride = 0; /* the same labels for every member */
    return a;
}

extern "C" dlf_status dlf_softmax_xent_forward_cuda(dlf_tensor *loss, dlf_tensor *hit,
                                                    const dlf_tensor *logits,
                                                    const dlf_tensor *labels)
{
    return dlf_launched(launch_for_rows<false>(loss, args_of(loss, hit, logits, labels, 1.0)),
                        "softmax_xent_forward");
}

extern "C" dlf_status dlf_softmax_xent_backward_cuda(dlf_tensor *dlogits, const dlf_tensor *logits,
                                                     const dlf_tensor *labels, double scale)
{
    return dlf_launched(
        launch_for_rows<true>(dlogits, args_of(dlogits, nullptr, logits, labels, scale)),
        "softmax_xent_backward");
}
