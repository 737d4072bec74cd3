/* SPDX-License-Identifier: MIT
 * sgd.cu -- the optimiser step in one pass over w, v and g. */
#include "math.cuh"

struct step_args {
    dlf_view<float> w, v;
    dlf_view<const float> g, lr, g_scale; /* g_scale.data NULL: 1 */
    int64_t P, n;
    float momentum, decay;
};

/* What is the same for a whole member. */
struct factors {
    float rate, s, momentum, decay;
};

template <bool VELOCITY>
static __device__ __forceinline__ void update(float &w, float &v, float g, const factors &k)
{
    float d = fmaf(k.decay, w, k.s * g);
    if (VELOCITY) d = v = fmaf(k.momentum, v, d);
    w = fmaf(-k.rate, d, w);
}

/* The second bound allows 80 registers, so that the unrolled loop does not spill. */
template <bool VELOCITY, bool VECTORS>
static __global__ void __launch_bounds__(DLF_BLOCK, 3) step(step_args a)
{
    const int64_t self = (int64_t)blockIdx.x * DLF_BLOCK + threadIdx.x;
    const int64_t stride = (int64_t)gridDim.x * DLF_BLOCK;
    for (int64_t p = blockIdx.y; p < a.P; p += gridDim.y) {
        const factors k = {*a.lr.member(p), a.g_scale.data ? *a.g_scale.member(p) : 1.0f,
                           a.momentum, a.decay};
        if (k.rate == 0.0f) continue; /* frozen */
        float *w = a.w.member(p), *v = VELOCITY ? a.v.member(p) : nullptr;
        const float *g = a.g.member(p);
        const int64_t vectors = VECTORS ? a.n / 4 : 0;
        for (int64_t i = self; i < vectors; i += stride) {
            float4 w4 = reinterpret_cast<float4 *>(w)[i];
            const float4 g4 = reinterpret_cast<const float4 *>(g)[i];
            float4 v4 = VELOCITY ? reinterpret_cast<float4 *>(v)[i] : g4;
            update<VELOCITY>(w4.x, v4.x, g4.x, k);
            update<VELOCITY>(w4.y, v4.y, g4.y, k);
            update<VELOCITY>(w4.z, v4.z, g4.z, k);
            update<VELOCITY>(w4.w, v4.w, g4.w, k);
            reinterpret_cast<float4 *>(w)[i] = w4;
            if (VELOCITY) reinterpret_cast<float4 *>(v)[i] = v4;
        }
        for (int64_t i = 4 * vectors + self; i < a.n; i += stride) {
            float unused = 0.0f;
            update<VELOCITY>(w[i], VELOCITY ? v[i] : unused, g[i], k);
        }
    }
}

template <bool VELOCITY>
static cudaError_t launch(const dlf_tensor *w, const step_args &a, bool vectors)
{
    const dim3 grid(dlf_grid_x(w, a.n, (vectors ? 4 : 1) * DLF_BLOCK), dlf_grid_yz(a.P));
    if (vectors) return DLF_LAUNCH((step<VELOCITY, true>), grid, DLF_BLOCK, 0, dlf_stream_of(w), a);
    return DLF_LAUNCH((step<VELOCITY, false>), grid, DLF_BLOCK, 0, dlf_stream_of(w), a);
}

extern "C" dlf_status dlf_sgd_step_cuda(dlf_tensor *w, dlf_tensor *v, const dlf_tensor *g,
                                        const dlf_tensor *lr, const dlf_tensor *g_scale,
                                        dlf_sgd_args args)
{
    const step_args a = {dlf_view_of<float>(w),
                         dlf_view_of<float>(v),
                         dlf_view_of<const float>(g),
                         dlf_view_of<const float>(lr),
                         dlf_view_of<const float>(g_scale),
                         w->shape[0],
                         dlf_tensor_member_count(w),
                         (float)args.momentum,
                         (float)args.weight_decay};
    const bool vectors =
        dlf_aligned16(w, a.P) && dlf_aligned16(g, a.P) && (!v || dlf_aligned16(v, a.P));
    return dlf_launched(v ? launch<true>(w, a, vectors) : launch<false>(w, a, vectors), "sgd_step");
}
