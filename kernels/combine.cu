/* SPDX-License-Identifier: MIT
 * combine.cu -- sums, products and columns. V is the unit of access: 4 floats where all operands
 * are aligned, else 1. */
#include "storage.cuh"

/* beta 0 does not read what was there. */
template <int V>
static __device__ __forceinline__ void store_sum(float *y, float (&v)[V], float beta)
{
    if (beta != 0.0f) {
        float before[V];
        dlf_load<V>(before, y);
#pragma unroll
        for (int k = 0; k < V; k++) v[k] = fmaf(beta, before[k], v[k]);
    }
    dlf_store<V>(y, v);
}

/* ---- y = alpha s x + beta y ----------------------------------------------------------------- */

struct sum_args {
    dlf_view<float> y;
    dlf_view<const float> x, scale; /* scale.data NULL: 1 */
    int64_t P, n;
    double alpha;
    float beta;
};

template <int V>
static __device__ __forceinline__ void sum_at(const sum_args &a, float *y, const float *x, float f)
{
    float v[V];
    dlf_load<V>(v, x);
#pragma unroll
    for (int k = 0; k < V; k++) v[k] *= f;
    store_sum<V>(y, v, a.beta);
}

template <int V> static __global__ void __launch_bounds__(DLF_BLOCK, 4) scaled_sum(sum_args a)
{
    const int64_t self = (int64_t)blockIdx.x * DLF_BLOCK + threadIdx.x;
    const int64_t stride = (int64_t)gridDim.x * DLF_BLOCK, whole = a.n / V;
    for (int64_t p = blockIdx.y; p < a.P; p += gridDim.y) {
        const float f = (float)(a.alpha * (a.scale.data ? (double)*a.scale.member(p) : 1.0));
        float *y = a.y.member(p);
        const float *x = a.x.member(p);
        for (int64_t i = self; i < whole; i += stride) sum_at<V>(a, y + i * V, x + i * V, f);
        for (int64_t i = whole * V + self; i < a.n; i += stride) sum_at<1>(a, y + i, x + i, f);
    }
}

extern "C" dlf_status dlf_axpby_cuda(dlf_tensor *y, const dlf_tensor *x, const dlf_tensor *scale,
                                     double alpha, double beta)
{
    sum_args a = {dlf_view_of<float>(y),
                  dlf_view_of<const float>(x),
                  dlf_view_of<const float>(scale),
                  y->shape[0],
                  dlf_tensor_member_count(y),
                  alpha,
                  (float)beta};
    if (x->shape[0] == 1) a.x.stride = 0; /* the same for every member */
    const bool vectors = dlf_aligned16(y, a.P) && dlf_aligned16(x, x->shape[0]);
    const dim3 grid(dlf_grid_x(y, a.n, (vectors ? 4 : 1) * DLF_BLOCK), dlf_grid_yz(a.P));
    const cudaStream_t stream = dlf_stream_of(y);
    return dlf_launched(vectors ? DLF_LAUNCH(scaled_sum<4>, grid, DLF_BLOCK, 0, stream, a)
                                : DLF_LAUNCH(scaled_sum<1>, grid, DLF_BLOCK, 0, stream, a),
                        "axpby");
}

/* ---- y = a b + beta y ----------------------------------------------------------------------- */

struct product_args {
    dlf_view<float> y;
    dlf_view<const float> a, b;
    int64_t P, n;
    float beta;
};

template <int V>
static __device__ __forceinline__ void product_at(float *y, const float *a, const float *b,
                                                  float beta)
{
    float v[V], w[V];
    dlf_load<V>(v, a);
    dlf_load<V>(w, b);
#pragma unroll
    for (int k = 0; k < V; k++) v[k] *= w[k];
    store_sum<V>(y, v, beta);
}

template <int V> static __global__ void __launch_bounds__(DLF_BLOCK) product(product_args k)
{
    const int64_t self = (int64_t)blockIdx.x * DLF_BLOCK + threadIdx.x;
    const int64_t stride = (int64_t)gridDim.x * DLF_BLOCK, whole = k.n / V;
    for (int64_t p = blockIdx.y; p < k.P; p += gridDim.y) {
        float *y = k.y.member(p);
        const float *a = k.a.member(p), *b = k.b.member(p);
        for (int64_t i = self; i < whole; i += stride)
            product_at<V>(y + i * V, a + i * V, b + i * V, k.beta);
        for (int64_t i = whole * V + self; i < k.n; i += stride)
            product_at<1>(y + i, a + i, b + i, k.beta);
    }
}

extern "C" dlf_status dlf_multiply_cuda(dlf_tensor *y, const dlf_tensor *a, const dlf_tensor *b,
                                        double beta)
{
    const product_args k = {dlf_view_of<float>(y),       dlf_view_of<const float>(a),
                            dlf_view_of<const float>(b), y->shape[0],
                            dlf_tensor_member_count(y),  (float)beta};
    const bool vectors = dlf_aligned16(y, k.P) && dlf_aligned16(a, k.P) && dlf_aligned16(b, k.P);
    const dim3 grid(dlf_grid_x(y, k.n, (vectors ? 4 : 1) * DLF_BLOCK), dlf_grid_yz(k.P));
    const cudaStream_t stream = dlf_stream_of(y);
    return dlf_launched(vectors ? DLF_LAUNCH(product<4>, grid, DLF_BLOCK, 0, stream, k)
                                : DLF_LAUNCH(product<1>, grid, DLF_BLOCK, 0, stream, k),
                        "multiply");
}

/* ---- columns -------------------------------------------------------------------------------- */

struct column_args {
    dlf_view<float> y; /* from column `to` on   */
    dlf_view<const float> x;
    int64_t P, B, N, K, count; /* N, K: from row to row */
    float beta;
};

/* The block of columns as one row of units, whatever its height and width. */
template <int V> static __global__ void __launch_bounds__(DLF_BLOCK) columns(column_args a)
{
    const int64_t units = a.count / V, stride = (int64_t)gridDim.x * DLF_BLOCK;
    const int64_t self = (int64_t)blockIdx.x * DLF_BLOCK + threadIdx.x;
    const int64_t i0 = dlf_divide(self, units), j0 = self - i0 * units;
    const int64_t rows = dlf_divide(stride, units), rest = stride - rows * units; /* of a stride */
    for (int64_t p = blockIdx.y; p < a.P; p += gridDim.y)
        for (int64_t i = i0, j = j0; i < a.B;) {
            float v[V];
            dlf_load<V>(v, a.x.member(p) + i * a.K + j * V);
            store_sum<V>(a.y.member(p) + i * a.N + j * V, v, a.beta);
            i += rows;
            j += rest;
            if (j >= units) {
                j -= units;
                i++;
            }
        }
}

extern "C" dlf_status dlf_copy_columns_cuda(dlf_tensor *y, int64_t to, const dlf_tensor *x,
                                            int64_t from, int64_t count, double beta)
{
    column_args a = {dlf_view_of<float>(y),
                     dlf_view_of<const float>(x),
                     y->shape[0],
                     y->shape[1],
                     y->shape[2],
                     x->shape[2],
                     count,
                     (float)beta};
    a.y.data += to;
    a.x.data += from;
    const bool vectors = count % 4 == 0 && to % 4 == 0 && from % 4 == 0 &&
                         dlf_rows_aligned(y, a.N) && dlf_rows_aligned(x, a.K);
    const dim3 grid(dlf_grid_x(y, a.B * count, (vectors ? 4 : 1) * DLF_BLOCK), dlf_grid_yz(a.P));
    const cudaStream_t stream = dlf_stream_of(y);
    return dlf_launched(vectors ? DLF_LAUNCH(columns<4>, grid, DLF_BLOCK, 0, stream, a)
                                : DLF_LAUNCH(columns<1>, grid, DLF_BLOCK, 0, stream, a),
                        "copy_columns");
}
