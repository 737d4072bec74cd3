/* SPDX-License-Identifier: MIT
 * loss.cu -- elementwise losses. Forward: a row belongs to one thread, to 8 or 32 neighbouring
 * lanes, or, beyond LONG columns, to blocks that take fixed chunks of it; the order of the
 * additions, in double, depends on the number of columns alone. */
#include "storage.cuh"

enum {
    LONG = 2048,           /* columns; a longer row is cut into chunks       */
    CHUNK = 32 * DLF_BLOCK /* columns per block: 8 x 16 bytes per thread     */
};

struct loss_args {
    dlf_view<float> out; /* loss, or dx */
    dlf_view<const float> x, t;
    int64_t P, B, N;
    float delta, scale;
};

/* ---- l and l' by x; a NaN in x or t comes out ------------------------------------------------ */

template <int K> static __device__ __forceinline__ float value(float x, float t, float delta)
{
    const float d = x - t, a = fabsf(d);
    if constexpr (K == DLF_LOSS_MSE) return d * d;
    if constexpr (K == DLF_LOSS_MAE) return a;
    if constexpr (K == DLF_LOSS_HUBER)
        return a <= delta ? 0.5f * d * d : delta * (a - 0.5f * delta);
    if constexpr (K == DLF_LOSS_BCE) /* one rounding where hard labels cancel to 0 */
        return fmaf(-x, t, x > 0.0f ? x : 0.0f) + log1pf(expf(-fabsf(x)));
    const float v = fmaf(-t, x, 1.0f);
    return v < 0.0f ? 0.0f : v;
}

template <int K> static __device__ __forceinline__ float slope(float x, float t, float delta)
{
    const float d = x - t;
    if constexpr (K == DLF_LOSS_MSE) return 2.0f * d;
    if constexpr (K == DLF_LOSS_MAE) return d > 0.0f ? 1.0f : d < 0.0f ? -1.0f : d;
    if constexpr (K == DLF_LOSS_HUBER) {
        const float low = d < -delta ? -delta : d;
        return low > delta ? delta : low;
    }
    if constexpr (K == DLF_LOSS_BCE) { /* for x > 0: (1 - t) - (1 - sigmoid(x)), without loss */
        const float e = expf(-fabsf(x)), r = 1.0f / (1.0f + e);
        return x > 0.0f ? (1.0f - t) - e * r : (x < 0.0f ? e * r : r) - t;
    }
    const float v = fmaf(-t, x, 1.0f);
    return v > 0.0f ? -t : v <= 0.0f ? 0.0f : v;
}

/* Sum of what lane `self` of `lanes` takes of n columns, V neighbouring ones at a time. */
template <int K, int V>
static __device__ __forceinline__ double sum_of(const float *x, const float *t, int64_t n, int self,
                                                int lanes, float delta)
{
    double sum = 0.0;
    for (int64_t j = (int64_t)self * V; j < n; j += (int64_t)lanes * V) {
        float a[V], b[V];
        dlf_load<V>(a, x + j);
        dlf_load<V>(b, t + j);
#pragma unroll
        for (int k = 0; k < V; k++) sum += (double)value<K>(a[k], b[k], delta);
    }
    return sum;
}

/* ---- forward -------------------------------------------------------------------------------- */

/* G lanes per row; all lanes of a warp stay in the loop for the shuffles. */
template <int K, int G, int V>
static __global__ void __launch_bounds__(DLF_BLOCK) loss_rows(loss_args a)
{
    constexpr int ROWS = DLF_BLOCK / G;
    const int lane = (int)threadIdx.x % G, group = (int)threadIdx.x / G;
    for (int64_t p = blockIdx.y; p < a.P; p += gridDim.y)
        for (int64_t first = (int64_t)blockIdx.x * ROWS; first < a.B;
             first += (int64_t)gridDim.x * ROWS) {
            const int64_t i = first + group;
            double sum = 0.0;
            if (i < a.B)
                sum = sum_of<K, V>(a.x.member(p) + i * a.N, a.t.member(p) + i * a.N, a.N, lane, G,
                                   a.delta);
#pragma unroll
            for (int d = G / 2; d > 0; d /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, d);
            if (i < a.B && lane == 0) a.out.member(p)[i] = (float)sum;
        }
}

/* part[p][i][chunk] */
template <int K, int V>
static __global__ void __launch_bounds__(DLF_BLOCK)
    loss_chunks(loss_args a, double *part, int64_t chunks)
{
    for (int64_t p = blockIdx.y; p < a.P; p += gridDim.y)
        for (int64_t task = blockIdx.x; task < a.B * chunks; task += gridDim.x) {
            const int64_t i = task / chunks, j = task % chunks * CHUNK;
            const int64_t n = a.N - j < CHUNK ? a.N - j : (int64_t)CHUNK;
            const double sum =
                dlf_block_sum(sum_of<K, V>(a.x.member(p) + i * a.N + j, a.t.member(p) + i * a.N + j,
                                           n, (int)threadIdx.x, DLF_BLOCK, a.delta));
            if (threadIdx.x == 0) part[p * a.B * chunks + task] = sum;
        }
}

static __global__ void __launch_bounds__(DLF_BLOCK)
    loss_finish(dlf_view<float> loss, const double *part, int64_t P, int64_t B, int64_t chunks)
{
    for (int64_t p = blockIdx.y; p < P; p += gridDim.y)
        for (int64_t i = blockIdx.x; i < B; i += gridDim.x) {
            double sum = 0.0;
            for (int64_t k = threadIdx.x; k < chunks; k += DLF_BLOCK)
                sum += part[(p * B + i) * chunks + k];
            sum = dlf_block_sum(sum);
            if (threadIdx.x == 0) loss.member(p)[i] = (float)sum;
        }
}

template <int K, int G, int V>
static dlf_status launch_rows(const dlf_tensor *x, const loss_args &a)
{
    const dim3 grid(dlf_grid_x(x, a.B, DLF_BLOCK / G), dlf_grid_yz(a.P));
    return dlf_launched(DLF_LAUNCH((loss_rows<K, G, V>), grid, DLF_BLOCK, 0, dlf_stream_of(x), a),
                        "loss_forward");
}

template <int K, int V> static dlf_status launch_chunks(const dlf_tensor *x, const loss_args &a)
{
    const int64_t chunks = dlf_ceil_div(a.N, CHUNK);
    const size_t bytes = (size_t)(a.P * a.B * chunks) * sizeof(double);
    void *part = nullptr;
    DLF_TRY(dlf_scratch(x, &part, bytes));
    const dim3 grid(dlf_grid_x(x, a.B * chunks, 1), dlf_grid_yz(a.P));
    cudaError_t error =
        DLF_LAUNCH((loss_chunks<K, V>), grid, DLF_BLOCK, 0, dlf_stream_of(x), a, part, chunks);
    if (error == cudaSuccess)
        error = DLF_LAUNCH(loss_finish, dim3(dlf_grid_x(x, a.B, 1), dlf_grid_yz(a.P)), DLF_BLOCK, 0,
                           dlf_stream_of(x), a.out, part, a.P, a.B, chunks);
    dlf_scratch_done(x, part, bytes);
    return dlf_launched(error, "loss_forward");
}

template <int K> static dlf_status forward(const dlf_tensor *x, const loss_args &a, bool vectors)
{
    if (a.N > LONG) return vectors ? launch_chunks<K, 4>(x, a) : launch_chunks<K, 1>(x, a);
    if (a.N < 8) return launch_rows<K, 1, 1>(x, a);
    if (a.N < 64) return launch_rows<K, 8, 1>(x, a);
    return vectors ? launch_rows<K, 32, 4>(x, a) : launch_rows<K, 32, 1>(x, a);
}

/* ---- backward ------------------------------------------------------------------------------- */

template <int K, int V> static __global__ void __launch_bounds__(DLF_BLOCK) loss_slopes(loss_args a)
{
    const int64_t self = (int64_t)blockIdx.x * DLF_BLOCK + threadIdx.x, n = a.B * a.N;
    const int64_t stride = (int64_t)gridDim.x * DLF_BLOCK, whole = n / V;
    for (int64_t p = blockIdx.y; p < a.P; p += gridDim.y) {
        const float *x = a.x.member(p), *t = a.t.member(p);
        float *dx = a.out.member(p);
        for (int64_t i = self; i < whole; i += stride) {
            float b[V], d[V];
            dlf_load<V>(d, x + i * V);
            dlf_load<V>(b, t + i * V);
#pragma unroll
            for (int k = 0; k < V; k++) d[k] = a.scale * slope<K>(d[k], b[k], a.delta);
            dlf_store<V>(dx + i * V, d);
        }
        for (int64_t i = whole * V + self; i < n; i += stride)
            dx[i] = a.scale * slope<K>(x[i], t[i], a.delta);
    }
}

template <int K> static dlf_status backward(const dlf_tensor *dx, const loss_args &a, bool vectors)
{
    const dim3 grid(dlf_grid_x(dx, a.B * a.N, (vectors ? 4 : 1) * DLF_BLOCK), dlf_grid_yz(a.P));
    const cudaStream_t stream = dlf_stream_of(dx);
    return dlf_launched(vectors ? DLF_LAUNCH((loss_slopes<K, 4>), grid, DLF_BLOCK, 0, stream, a)
                                : DLF_LAUNCH((loss_slopes<K, 1>), grid, DLF_BLOCK, 0, stream, a),
                        "loss_backward");
}

/* ---- ops ------------------------------------------------------------------------------------ */

static loss_args args_of(const dlf_tensor *out, const dlf_tensor *x, const dlf_tensor *t,
                         dlf_loss l, double scale)
{
    loss_args a = {dlf_view_of<float>(out),
                   dlf_view_of<const float>(x),
                   dlf_view_of<const float>(t),
                   x->shape[0],
                   x->shape[1],
                   x->shape[2],
                   (float)l.delta,
                   (float)scale};
    if (t->shape[0] == 1) a.t.stride = 0; /* the same targets for every member */
    return a;
}

extern "C" dlf_status dlf_loss_forward_cuda(dlf_tensor *loss, const dlf_tensor *x,
                                            const dlf_tensor *t, dlf_loss l)
{
    const loss_args a = args_of(loss, x, t, l, 1.0);
    const bool vectors = dlf_rows_aligned(x, a.N) && dlf_rows_aligned(t, a.N);
    switch (l.kind) {
#define X(name, text)                                                                              \
    case DLF_##name: return forward<DLF_##name>(x, a, vectors);
        DLF_LOSS_MAP(X)
#undef X
    case DLF_LOSS_COUNT: break;
    }
    return dlf_fail(DLF_ERR_ARG, "loss_forward: no loss number %d", (int)l.kind);
}

extern "C" dlf_status dlf_loss_backward_cuda(dlf_tensor *dx, const dlf_tensor *x,
                                             const dlf_tensor *t, dlf_loss l, double scale)
{
    const loss_args a = args_of(dx, x, t, l, scale);
    const bool vectors =
        dlf_aligned16(dx, a.P) && dlf_aligned16(x, a.P) && dlf_aligned16(t, t->shape[0]);
    switch (l.kind) {
#define X(name, text)                                                                              \
    case DLF_##name: return backward<DLF_##name>(dx, a, vectors);
        DLF_LOSS_MAP(X)
#undef X
    case DLF_LOSS_COUNT: break;
    }
    return dlf_fail(DLF_ERR_ARG, "loss_backward: no loss number %d", (int)l.kind);
}
