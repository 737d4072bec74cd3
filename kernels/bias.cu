/* SPDX-License-Identifier: MIT
 * bias.cu -- bias over rows, and its gradient as column sums in two fixed stages. */
#include "math.cuh"

/* ---- y = x + bias --------------------------------------------------------------------------- */

struct float1_value {
    float x;
};
static __device__ __forceinline__ float1_value sum(float1_value a, float1_value b)
{
    return float1_value{a.x + b.x};
}
static __device__ __forceinline__ float4 sum(float4 a, float4 b)
{
    return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}

/* V is the unit of access (1 or 4 floats), `columns` and all strides count such units. A thread
 * keeps one unit of the bias in registers and walks down the rows. */
template <class V>
static __global__ void __launch_bounds__(DLF_BLOCK)
    add(dlf_view<V> y, dlf_view<const V> x, dlf_view<const V> bias, int64_t P, int64_t B,
        int64_t columns)
{
    const int64_t row_step = (int64_t)gridDim.x * blockDim.y;
    for (int64_t p = blockIdx.z; p < P; p += gridDim.z)
        for (int64_t j = (int64_t)blockIdx.y * blockDim.x + threadIdx.x; j < columns;
             j += (int64_t)gridDim.y * blockDim.x) {
            const V b = bias.member(p)[j];
            const V *x_j = x.member(p) + j;
            V *y_j = y.member(p) + j;
            for (int64_t i = (int64_t)blockIdx.x * blockDim.y + threadIdx.y; i < B; i += row_step)
                y_j[i * columns] = sum(x_j[i * columns], b);
        }
}

/* As wide as the row, in a power of two, so that a warp covers neighbouring rows of a short one. */
static dim3 block_for(int64_t columns)
{
    unsigned width = 1;
    while (width < columns && width < DLF_BLOCK) width *= 2;
    return dim3(width, DLF_BLOCK / width);
}

template <class V>
static cudaError_t launch_add(dlf_tensor *y, const dlf_tensor *x, const dlf_tensor *bias)
{
    const int64_t unit = sizeof(V) / sizeof(float);
    const int64_t P = y->shape[0], B = y->shape[1], columns = y->shape[2] / unit;
    const dim3 block = block_for(columns);
    const int64_t rows_per_thread = 4;
    const dim3 grid(dlf_grid_x(y, B, rows_per_thread * block.y),
                    dlf_grid_yz(dlf_ceil_div(columns, block.x)), dlf_grid_yz(P));
    const dlf_view<V> yv = {static_cast<V *>(y->data), y->stride / unit};
    const dlf_view<const V> xv = {static_cast<const V *>(x->data), x->stride / unit};
    const dlf_view<const V> bv = {static_cast<const V *>(bias->data), bias->stride / unit};
    return DLF_LAUNCH(add<V>, grid, block, 0, dlf_stream_of(y), yv, xv, bv, P, B, columns);
}

extern "C" dlf_status dlf_bias_add_cuda(dlf_tensor *y, const dlf_tensor *x, const dlf_tensor *bias)
{
    const int64_t P = y->shape[0], N = y->shape[2];
    const bool vectors =
        N % 4 == 0 && dlf_aligned16(y, P) && dlf_aligned16(x, P) && dlf_aligned16(bias, P);
    return dlf_launched(vectors ? launch_add<float4>(y, x, bias)
                                : launch_add<float1_value>(y, x, bias),
                        "bias_add");
}

/* ---- dbias = column sums of dy + beta dbias ------------------------------------------------- */

enum {
    TILE = 32,              /* columns per block: one warp reads 128 bytes of a row        */
    LANES = 8,              /* rows read side by side                                      */
    CHUNK_ROWS = LANES * 64 /* rows per block; 64 floats are summed in float, then double */
};

/* Sum of the rows of chunk blockIdx.x in columns of tile blockIdx.y, valid where threadIdx.y == 0.
 */
static __device__ double tile_sum(const float *dy, int64_t B, int64_t N, int64_t chunk, int64_t j)
{
    DLF_SHARED(double, lanes, [LANES][TILE]);
    const int64_t end = (chunk + 1) * CHUNK_ROWS < B ? (chunk + 1) * CHUNK_ROWS : B;
    float s = 0.0f;
    if (j < N)
        for (int64_t i = chunk * CHUNK_ROWS + threadIdx.y; i < end; i += LANES) s += dy[i * N + j];
    __syncthreads(); /* the array may still be read for the tile before */
    lanes[threadIdx.y][threadIdx.x] = (double)s;
    __syncthreads();
    double total = 0.0;
    if (threadIdx.y == 0)
        for (int k = 0; k < LANES; k++) total += lanes[k][threadIdx.x];
    return total;
}

/* One chunk: straight to dbias. More: to part[p][chunk][j], which `finish` adds up in order. */
static __global__ void __launch_bounds__(TILE *LANES)
    grad(dlf_view<float> dbias, dlf_view<const float> dy, double *part, int64_t P, int64_t B,
         int64_t N, int64_t chunks, double beta)
{
    for (int64_t p = blockIdx.z; p < P; p += gridDim.z)
        for (int64_t j0 = (int64_t)blockIdx.y * TILE; j0 < N; j0 += (int64_t)gridDim.y * TILE)
            for (int64_t chunk = blockIdx.x; chunk < chunks; chunk += gridDim.x) {
                const int64_t j = j0 + threadIdx.x;
                const double total = tile_sum(dy.member(p), B, N, chunk, j);
                if (threadIdx.y != 0 || j >= N) continue;
                if (chunks == 1)
                    dlf_store_sum(dbias.member(p) + j, total, beta);
                else
                    part[(p * chunks + chunk) * N + j] = total;
            }
}

static __global__ void __launch_bounds__(DLF_BLOCK)
    finish(dlf_view<float> dbias, const double *part, int64_t P, int64_t N, int64_t chunks,
           double beta)
{
    for (int64_t p = blockIdx.y; p < P; p += gridDim.y)
        for (int64_t j = (int64_t)blockIdx.x * DLF_BLOCK + threadIdx.x; j < N;
             j += (int64_t)gridDim.x * DLF_BLOCK) {
            double total = 0.0;
            for (int64_t k = 0; k < chunks; k++) total += part[(p * chunks + k) * N + j];
            dlf_store_sum(dbias.member(p) + j, total, beta);
        }
}

extern "C" dlf_status dlf_bias_grad_cuda(dlf_tensor *dbias, const dlf_tensor *dy, double beta)
{
    const int64_t P = dy->shape[0], B = dy->shape[1], N = dy->shape[2];
    const int64_t chunks = dlf_ceil_div(B, CHUNK_ROWS);
    const size_t bytes = chunks == 1 ? 0 : (size_t)(P * chunks * N) * sizeof(double);
    const dlf_view<float> out = dlf_view_of<float>(dbias);
    const cudaStream_t stream = dlf_stream_of(dy);
    void *part = nullptr;
    if (bytes) DLF_TRY(dlf_scratch(dy, &part, bytes));

    const dim3 grid(dlf_grid_x(dy, chunks, 1), dlf_grid_yz(dlf_ceil_div(N, TILE)), dlf_grid_yz(P));
    cudaError_t error = DLF_LAUNCH(grad, grid, dim3(TILE, LANES), 0, stream, out,
                                   dlf_view_of<const float>(dy), part, P, B, N, chunks, beta);
    if (bytes && error == cudaSuccess)
        error = DLF_LAUNCH(finish, dim3(dlf_grid_x(dy, N, DLF_BLOCK), dlf_grid_yz(P)), DLF_BLOCK, 0,
                           stream, out, part, P, N, chunks, beta);
    if (bytes) dlf_scratch_done(dy, part, bytes);
    return dlf_launched(error, "bias_grad");
}
