/* SPDX-License-Identifier: MIT
 * activation.cu -- one kernel per kind and direction; both are memory-bound, so that a thread moves
 * 2 x 16 bytes per array and round. Unaligned views take the same kernel element by element. */
#include "activation.cuh"
#include "math.cuh"

/* ---- kernels -------------------------------------------------------------------------------- */

/* y = f(x) if K is forward, y = dy f'(x) else: out[i] = op(a[i], b[i]). `b` may be NULL. */
struct operands {
    dlf_view<float> out;
    dlf_view<const float> a, b;
    int64_t members, n;
    float alpha;
};

template <int K, bool BACKWARD>
static __device__ __forceinline__ float apply(float a, float b, float alpha)
{
    if constexpr (BACKWARD) return a * dlf_act_slope<K>(b, alpha);
    return dlf_act_value<K>(a, alpha);
}

template <int K, bool BACKWARD>
static __device__ __forceinline__ float4 apply4(float4 a, float4 b, float alpha)
{
    return make_float4(apply<K, BACKWARD>(a.x, b.x, alpha), apply<K, BACKWARD>(a.y, b.y, alpha),
                       apply<K, BACKWARD>(a.z, b.z, alpha), apply<K, BACKWARD>(a.w, b.w, alpha));
}

/* Every element is read and written by one thread, reads before writes: out may be a or b. */
template <int K, bool BACKWARD>
static __global__ void __launch_bounds__(DLF_BLOCK) elementwise4(operands o)
{
    constexpr bool TWO = BACKWARD && K != DLF_LINEAR; /* linear reads only dy */
    const int64_t vectors = o.n / 4, step = (int64_t)gridDim.x * DLF_BLOCK;
    const int64_t self = (int64_t)blockIdx.x * DLF_BLOCK + threadIdx.x;
    for (int64_t p = blockIdx.y; p < o.members; p += gridDim.y) {
        float *out = o.out.member(p);
        const float *a = o.a.member(p), *b = TWO ? o.b.member(p) : a;
        const float4 *a4 = reinterpret_cast<const float4 *>(a);
        const float4 *b4 = reinterpret_cast<const float4 *>(b);
        float4 *out4 = reinterpret_cast<float4 *>(out);
        for (int64_t i = self; i < vectors; i += 2 * step) {
            const bool second = i + step < vectors; /* all loads go out before the first use */
            const float4 a_0 = a4[i], a_1 = second ? a4[i + step] : a_0;
            const float4 b_0 = TWO ? b4[i] : a_0, b_1 = TWO && second ? b4[i + step] : a_1;
            out4[i] = apply4<K, BACKWARD>(a_0, b_0, o.alpha);
            if (second) out4[i + step] = apply4<K, BACKWARD>(a_1, b_1, o.alpha);
        }
        const int64_t i = 4 * vectors + self; /* at most three left */
        if (i < o.n) out[i] = apply<K, BACKWARD>(a[i], b[i], o.alpha);
    }
}

/* The second bound lets gelu_tanh keep its state in registers across the division. */
template <int K, bool BACKWARD>
static __global__ void __launch_bounds__(DLF_BLOCK, 4) elementwise1(operands o)
{
    constexpr bool TWO = BACKWARD && K != DLF_LINEAR;
    const int64_t step = (int64_t)gridDim.x * DLF_BLOCK;
    for (int64_t p = blockIdx.y; p < o.members; p += gridDim.y) {
        float *out = o.out.member(p);
        const float *a = o.a.member(p), *b = TWO ? o.b.member(p) : a;
        for (int64_t i = (int64_t)blockIdx.x * DLF_BLOCK + threadIdx.x; i < o.n; i += step)
            out[i] = apply<K, BACKWARD>(a[i], b[i], o.alpha);
    }
}

/* ---- launches ------------------------------------------------------------------------------- */

template <int K, bool BACKWARD>
static cudaError_t launch(const dlf_tensor *t, operands o, bool vectors)
{
    const int64_t per_block = vectors ? 8 * DLF_BLOCK : DLF_BLOCK;
    const dim3 grid(dlf_grid_x(t, o.n, per_block), dlf_grid_yz(o.members));
    if (vectors)
        return DLF_LAUNCH((elementwise4<K, BACKWARD>), grid, DLF_BLOCK, 0, dlf_stream_of(t), o);
    return DLF_LAUNCH((elementwise1<K, BACKWARD>), grid, DLF_BLOCK, 0, dlf_stream_of(t), o);
}

template <bool BACKWARD>
static cudaError_t launch_kind(const dlf_tensor *t, int kind, operands o, bool vectors)
{
    switch (kind) {
#define X(name, text)                                                                              \
    case DLF_##name: return launch<DLF_##name, BACKWARD>(t, o, vectors);
        DLF_ACTIVATION_MAP(X)
#undef X
    }
    return cudaErrorInvalidValue;
}

/* Members that lie end to end in every tensor are one long member. */
static void flatten(operands *o, bool contiguous)
{
    if (!contiguous) return;
    o->n *= o->members;
    o->members = 1;
}

extern "C" dlf_status dlf_activation_forward_cuda(dlf_tensor *y, const dlf_tensor *x,
                                                  dlf_activation f)
{
    operands o = {dlf_view_of<float>(y), dlf_view_of<const float>(x), {nullptr, 0},
                  y->shape[0],           dlf_tensor_member_count(y),  (float)f.alpha};
    flatten(&o, dlf_tensor_contiguous(y) && dlf_tensor_contiguous(x));
    const bool vectors = dlf_float4_ok(y, o.members) && dlf_float4_ok(x, o.members);
    return dlf_launched(launch_kind<false>(y, f.kind, o, vectors), "activation_forward");
}

extern "C" dlf_status dlf_activation_backward_cuda(dlf_tensor *dx, const dlf_tensor *dy,
                                                   const dlf_tensor *x, const dlf_tensor *y,
                                                   dlf_activation f)
{
    const bool from_x = f.kind == DLF_GELU || f.kind == DLF_GELU_TANH || f.kind == DLF_SILU;
    const dlf_tensor *xy = f.kind == DLF_LINEAR ? dy : from_x ? x : y;
    operands o = {dlf_view_of<float>(dx),       dlf_view_of<const float>(dy),
                  dlf_view_of<const float>(xy), dx->shape[0],
                  dlf_tensor_member_count(dx),  (float)f.alpha};
    flatten(&o,
            dlf_tensor_contiguous(dx) && dlf_tensor_contiguous(dy) && dlf_tensor_contiguous(xy));
    const bool vectors = dlf_float4_ok(dx, o.members) && dlf_float4_ok(dy, o.members) &&
                         dlf_float4_ok(xy, o.members);
    return dlf_launched(launch_kind<true>(dx, f.kind, o, vectors), "activation_backward");
}
