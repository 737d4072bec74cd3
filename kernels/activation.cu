/* SPDX-License-Identifier: MIT
 * activation.cu -- one kernel per kind, direction and storage type; all are memory-bound, so that a
 * thread moves 2 x 16 bytes per array and round. Unaligned views take one kernel per direction and
 * type, which goes element by element and asks for the kind as it runs. */
#include "activation.cuh"
#include "storage.cuh"

/* ---- kernels -------------------------------------------------------------------------------- */

/* Forward out = f(a), backward out = a f'(b). */
template <class T> struct operands {
    dlf_view<T> out;
    dlf_view<const T> a, b;
    int64_t members, n;
    float alpha;
};

template <int K, bool BACKWARD>
static __device__ __forceinline__ float apply(float a, float b, float alpha)
{
    if constexpr (BACKWARD) return a * dlf_act_slope<K>(b, alpha);
    return dlf_act_value<K>(a, alpha);
}

template <int K, bool BACKWARD, class T>
static __device__ __forceinline__ T apply1(T a, T b, float alpha)
{
    return dlf_of_float<T>(apply<K, BACKWARD>(dlf_to_float(a), dlf_to_float(b), alpha));
}

/* 16 bytes of each. They stay packed until here, so that what is in flight takes few registers. */
template <int K, bool BACKWARD, class T>
static __device__ __forceinline__ uint4 apply16(uint4 a, uint4 b, float alpha)
{
    T a_t[dlf_vector<T>], b_t[dlf_vector<T>];
    memcpy(static_cast<void *>(a_t), &a, sizeof a);
    memcpy(static_cast<void *>(b_t), &b, sizeof b);
#pragma unroll
    for (int i = 0; i < dlf_vector<T>; i++) a_t[i] = apply1<K, BACKWARD>(a_t[i], b_t[i], alpha);
    memcpy(&a, a_t, sizeof a);
    return a;
}

/* Every element is read and written by one thread, reads before writes: out may be a or b. */
template <int K, bool BACKWARD, class T>
static __global__ void __launch_bounds__(DLF_BLOCK) elementwise16(operands<T> o)
{
    constexpr bool TWO = BACKWARD && K != DLF_LINEAR; /* linear reads only dy */
    const int64_t vectors = o.n / dlf_vector<T>, step = (int64_t)gridDim.x * DLF_BLOCK;
    const int64_t self = (int64_t)blockIdx.x * DLF_BLOCK + threadIdx.x;
    for (int64_t p = blockIdx.y; p < o.members; p += gridDim.y) {
        T *out = o.out.member(p);
        const T *a = o.a.member(p), *b = TWO ? o.b.member(p) : a;
        const uint4 *a16 = reinterpret_cast<const uint4 *>(a);
        const uint4 *b16 = reinterpret_cast<const uint4 *>(b);
        uint4 *out16 = reinterpret_cast<uint4 *>(out);
        for (int64_t i = self; i < vectors; i += 2 * step) {
            const bool second = i + step < vectors; /* all loads go out before the first use */
            const uint4 a_0 = a16[i], a_1 = second ? a16[i + step] : a_0;
            const uint4 b_0 = TWO ? b16[i] : a_0, b_1 = TWO && second ? b16[i + step] : a_1;
            out16[i] = apply16<K, BACKWARD, T>(a_0, b_0, o.alpha);
            if (second) out16[i + step] = apply16<K, BACKWARD, T>(a_1, b_1, o.alpha);
        }
        const int64_t i = dlf_vector<T> * vectors + self; /* less than a vector is left */
        if (i < o.n) out[i] = apply1<K, BACKWARD>(a[i], b[i], o.alpha);
    }
}

template <bool BACKWARD, class T>
static __device__ __forceinline__ T apply_kind(int kind, T a, T b, float alpha)
{
    switch (kind) {
#define X(name, text)                                                                              \
    case DLF_##name: return apply1<DLF_##name, BACKWARD>(a, b, alpha);
        DLF_ACTIVATION_MAP(X)
#undef X
    }
    return a;
}

template <bool BACKWARD, class T>
static __global__ void __launch_bounds__(DLF_BLOCK) elementwise1(operands<T> o, int kind)
{
    const int64_t step = (int64_t)gridDim.x * DLF_BLOCK;
    for (int64_t p = blockIdx.y; p < o.members; p += gridDim.y) {
        T *out = o.out.member(p);
        const T *a = o.a.member(p), *b = BACKWARD ? o.b.member(p) : a;
        for (int64_t i = (int64_t)blockIdx.x * DLF_BLOCK + threadIdx.x; i < o.n; i += step)
            out[i] = apply_kind<BACKWARD>(kind, a[i], b[i], o.alpha);
    }
}

/* ---- launches ------------------------------------------------------------------------------- */

template <bool BACKWARD, class T>
static cudaError_t launch(const dlf_tensor *t, int kind, operands<T> o, bool vectors)
{
    const int64_t per_block = (vectors ? 2 * dlf_vector<T> : 1) * DLF_BLOCK;
    const dim3 grid(dlf_grid_x(t, o.n, per_block), dlf_grid_yz(o.members));
    const cudaStream_t stream = dlf_stream_of(t);
    if (!vectors)
        return DLF_LAUNCH((elementwise1<BACKWARD, T>), grid, DLF_BLOCK, 0, stream, o, kind);
    switch (kind) {
#define X(name, text)                                                                              \
    case DLF_##name:                                                                               \
        return DLF_LAUNCH((elementwise16<DLF_##name, BACKWARD, T>), grid, DLF_BLOCK, 0, stream, o);
        DLF_ACTIVATION_MAP(X)
#undef X
    }
    return cudaErrorInvalidValue;
}

/* out = f(a), or a f'(b) if BACKWARD; else b is a. */
template <bool BACKWARD>
static dlf_status run(dlf_tensor *out, const dlf_tensor *a, const dlf_tensor *b, dlf_activation f,
                      const char *op)
{
    int64_t members = out->shape[0], n = dlf_tensor_member_count(out);
    if (dlf_tensor_contiguous(out) && dlf_tensor_contiguous(a) && dlf_tensor_contiguous(b)) {
        n *= members; /* end to end in every tensor: one long member */
        members = 1;
    }
    const bool vectors =
        dlf_aligned16(out, members) && dlf_aligned16(a, members) && dlf_aligned16(b, members);
    return dlf_with_storage(out, [=](auto element) {
        using T = decltype(element);
        const operands<T> o = {
            dlf_view_of<T>(out), dlf_view_of<const T>(a), dlf_view_of<const T>(b), members, n,
            (float)f.alpha};
        return dlf_launched(launch<BACKWARD, T>(out, f.kind, o, vectors), op);
    });
}

extern "C" dlf_status dlf_activation_forward_cuda(dlf_tensor *y, const dlf_tensor *x,
                                                  dlf_activation f)
{
    return run<false>(y, x, x, f, "activation_forward");
}

extern "C" dlf_status dlf_activation_backward_cuda(dlf_tensor *dx, const dlf_tensor *dy,
                                                   const dlf_tensor *x, const dlf_tensor *y,
                                                   dlf_activation f)
{
    const dlf_tensor *xy = f.kind == DLF_LINEAR ? dy : dlf_activation_needs_x(f.kind) ? x : y;
    return run<true>(dx, dy, xy, f, "activation_backward");
}
