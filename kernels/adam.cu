/* SPDX-License-Identifier: MIT
 * adam.cu -- Adam and AdamW for all parameters of all members in one pass over w, m, v and g. */
#include "adam_power.h"
#include "math.cuh"

struct adam_args {
    dlf_view<float> w, m, v;
    dlf_view<const float> g, lr, g_scale; /* g_scale.data NULL: 1 */
    const int32_t *clock;                 /* NULL: `at` is right           */
    int64_t P, n;
    double weight_decay, decay1, decay2; /* decay1, decay2: beta1, beta2 */
    dlf_adam_corrections at;
    float beta1, gain1, beta2, gain2; /* gain = 1 - beta, rounded from double  */
    float eps;
};

/* What is the same for a whole member. */
struct adam_factors {
    float s, l2, rate, shrinkage, root;
};

/* One thread of a block raises to powers: a GPU may have few units for double. */
static __device__ dlf_adam_corrections corrections_of(const adam_args &a)
{
    DLF_SHARED(dlf_adam_corrections, now, );
    if (!a.clock) return a.at;
    if (threadIdx.x == 0) now = dlf_adam_corrections_at(a.decay1, a.decay2, (int64_t)*a.clock + 1);
    __syncthreads();
    return now;
}

template <bool DECOUPLED>
static __device__ __forceinline__ void update(float &w, float &m, float &v, float g,
                                              const adam_factors &k, const adam_args &a)
{
    const float d = DECOUPLED ? k.s * g : fmaf(k.l2, w, k.s * g);
    m = fmaf(a.beta1, m, a.gain1 * d);
    v = fmaf(a.gain2 * d, d, a.beta2 * v);
    const float kept = DECOUPLED ? fmaf(-k.shrinkage, w, w) : w;
    w = fmaf(-k.rate, m / fmaf(sqrtf(v), k.root, a.eps), kept);
}

template <bool DECOUPLED, bool VECTORS>
static __global__ void __launch_bounds__(DLF_BLOCK, 4) step(adam_args a)
{
    const int64_t self = (int64_t)blockIdx.x * DLF_BLOCK + threadIdx.x;
    const int64_t stride = (int64_t)gridDim.x * DLF_BLOCK;
    const dlf_adam_corrections c = corrections_of(a);
    for (int64_t p = blockIdx.y; p < a.P; p += gridDim.y) {
        const double lr = (double)*a.lr.member(p);
        const adam_factors k = {a.g_scale.data ? *a.g_scale.member(p) : 1.0f, (float)a.weight_decay,
                                (float)(lr / c.first), (float)(lr * a.weight_decay), c.root};
        if (lr == 0.0) continue; /* frozen */
        float *w = a.w.member(p), *m = a.m.member(p), *v = a.v.member(p);
        const float *g = a.g.member(p);
        const int64_t vectors = VECTORS ? a.n / 4 : 0;
        for (int64_t i = self; i < vectors; i += stride) {
            float4 w4 = reinterpret_cast<float4 *>(w)[i], m4 = reinterpret_cast<float4 *>(m)[i];
            float4 v4 = reinterpret_cast<float4 *>(v)[i];
            const float4 g4 = reinterpret_cast<const float4 *>(g)[i];
            update<DECOUPLED>(w4.x, m4.x, v4.x, g4.x, k, a);
            update<DECOUPLED>(w4.y, m4.y, v4.y, g4.y, k, a);
            update<DECOUPLED>(w4.z, m4.z, v4.z, g4.z, k, a);
            update<DECOUPLED>(w4.w, m4.w, v4.w, g4.w, k, a);
            reinterpret_cast<float4 *>(w)[i] = w4;
            reinterpret_cast<float4 *>(m)[i] = m4;
            reinterpret_cast<float4 *>(v)[i] = v4;
        }
        for (int64_t i = 4 * vectors + self; i < a.n; i += stride)
            update<DECOUPLED>(w[i], m[i], v[i], g[i], k, a);
    }
}

template <bool DECOUPLED>
static cudaError_t launch(const dlf_tensor *w, const adam_args &a, bool vectors)
{
    const dim3 grid(dlf_grid_x(w, a.n, (vectors ? 4 : 1) * DLF_BLOCK), dlf_grid_yz(a.P));
    if (vectors)
        return DLF_LAUNCH((step<DECOUPLED, true>), grid, DLF_BLOCK, 0, dlf_stream_of(w), a);
    return DLF_LAUNCH((step<DECOUPLED, false>), grid, DLF_BLOCK, 0, dlf_stream_of(w), a);
}

extern "C" dlf_status dlf_adam_step_cuda(dlf_tensor *w, dlf_tensor *m, dlf_tensor *v,
                                         const dlf_tensor *g, const dlf_tensor *lr,
                                         const dlf_tensor *g_scale, const dlf_tensor *clock,
                                         dlf_adam_args args)
{
    adam_args a = {};
    a.w = dlf_view_of<float>(w);
    a.m = dlf_view_of<float>(m);
    a.v = dlf_view_of<float>(v);
    a.g = dlf_view_of<const float>(g);
    a.lr = dlf_view_of<const float>(lr);
    a.g_scale = dlf_view_of<const float>(g_scale);
    a.clock = clock ? static_cast<const int32_t *>(clock->data) : nullptr;
    a.P = w->shape[0];
    a.n = dlf_tensor_member_count(w);
    a.decay1 = args.beta1;
    a.decay2 = args.beta2;
    a.at = dlf_adam_corrections_at(args.beta1, args.beta2, clock ? 1 : args.step);
    a.weight_decay = args.weight_decay;
    a.beta1 = (float)args.beta1;
    a.gain1 = (float)(1.0 - args.beta1);
    a.beta2 = (float)args.beta2;
    a.gain2 = (float)(1.0 - args.beta2);
    a.eps = (float)args.eps;
    const bool vectors = dlf_aligned16(w, a.P) && dlf_aligned16(m, a.P) && dlf_aligned16(v, a.P) &&
                         dlf_aligned16(g, a.P);
    return dlf_launched(args.decoupled ? launch<true>(w, a, vectors) : launch<false>(w, a, vectors),
                        "adam_step");
}
