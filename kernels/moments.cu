/* SPDX-License-Identifier: MIT
 * moments.cu -- five moments of a segment: fixed chunks to scratch memory, then the chunks in
 * order. Squares of floats are exact in double, so that sums lose nothing that matters. */
#include "math.cuh"

enum { CHUNK = 32 * DLF_BLOCK }; /* elements per block: 8 x 16 bytes per thread */

struct moments {
    double sum, squares, max, nonfinite, zeros;
};

static __device__ __forceinline__ void take(moments &m, float x)
{
    const double v = (double)x;
    m.sum += v;
    m.squares += v * v;
    m.max = dlf_max_nan(m.max, fabs(v));
    m.nonfinite += isfinite(x) ? 0.0 : 1.0;
    m.zeros += x == 0.0f ? 1.0 : 0.0;
}

static __device__ __forceinline__ void take(moments &m, const double *part)
{
    m.sum += part[DLF_MOMENT_SUM];
    m.squares += part[DLF_MOMENT_SUM_SQUARES];
    m.max = dlf_max_nan(m.max, part[DLF_MOMENT_MAX_ABS]);
    m.nonfinite += part[DLF_MOMENT_NONFINITE];
    m.zeros += part[DLF_MOMENT_ZEROS];
}

/* The block's moments to out[0..4]. */
static __device__ __forceinline__ void block_store(double *out, const moments &m)
{
    const double sum = dlf_block_sum(m.sum), squares = dlf_block_sum(m.squares);
    const double max = dlf_block_max_nan(m.max);
    const double nonfinite = dlf_block_sum(m.nonfinite), zeros = dlf_block_sum(m.zeros);
    if (threadIdx.x != 0) return;
    out[DLF_MOMENT_SUM] = sum;
    out[DLF_MOMENT_SUM_SQUARES] = squares;
    out[DLF_MOMENT_MAX_ABS] = max;
    out[DLF_MOMENT_NONFINITE] = nonfinite;
    out[DLF_MOMENT_ZEROS] = zeros;
}

/* out.member(s) + DLF_MOMENTS * chunk takes the moments of that chunk of segment s. */
template <bool VECTORS>
static __global__ void __launch_bounds__(DLF_BLOCK)
    of_chunks(dlf_view<double> out, dlf_view<const float> x, int64_t S, int64_t n, int64_t chunks)
{
    for (int64_t s = blockIdx.y; s < S; s += gridDim.y)
        for (int64_t chunk = blockIdx.x; chunk < chunks; chunk += gridDim.x) {
            const float *x_c = x.member(s) + chunk * CHUNK;
            const int count = n - chunk * CHUNK < CHUNK ? (int)(n - chunk * CHUNK) : (int)CHUNK;
            const int vectors = VECTORS ? count / 4 : 0;
            moments m = {0.0, 0.0, 0.0, 0.0, 0.0};
            for (int i = (int)threadIdx.x; i < vectors; i += DLF_BLOCK) {
                const float4 v = reinterpret_cast<const float4 *>(x_c)[i];
                take(m, v.x);
                take(m, v.y);
                take(m, v.z);
                take(m, v.w);
            }
            for (int i = 4 * vectors + (int)threadIdx.x; i < count; i += DLF_BLOCK) take(m, x_c[i]);
            block_store(out.member(s) + DLF_MOMENTS * chunk, m);
        }
}

static __global__ void __launch_bounds__(DLF_BLOCK)
    of_parts(dlf_view<double> out, const double *part, int64_t S, int64_t chunks)
{
    for (int64_t s = blockIdx.x; s < S; s += gridDim.x) {
        moments m = {0.0, 0.0, 0.0, 0.0, 0.0};
        for (int64_t i = threadIdx.x; i < chunks; i += DLF_BLOCK)
            take(m, part + DLF_MOMENTS * (s * chunks + i));
        block_store(out.member(s), m);
    }
}

extern "C" dlf_status dlf_moments_cuda(dlf_tensor *out, const dlf_tensor *x)
{
    const int64_t S = x->shape[0], n = dlf_tensor_member_count(x);
    const int64_t chunks = dlf_ceil_div(n, CHUNK);
    const size_t bytes = chunks == 1 ? 0 : (size_t)(S * chunks * DLF_MOMENTS) * sizeof(double);
    const cudaStream_t stream = dlf_stream_of(x);
    const dlf_view<double> result = dlf_view_of<double>(out);
    void *part = nullptr;
    if (bytes) DLF_TRY(dlf_scratch(x, &part, bytes));

    dlf_view<double> first = result; /* one chunk: its moments are the result */
    if (bytes) first = dlf_view<double>{static_cast<double *>(part), chunks * DLF_MOMENTS};
    const dim3 grid(dlf_grid_x(x, chunks, 1), dlf_grid_yz(S));
    const dlf_view<const float> in = dlf_view_of<const float>(x);
    cudaError_t error =
        dlf_float4_ok(x, S)
            ? DLF_LAUNCH(of_chunks<true>, grid, DLF_BLOCK, 0, stream, first, in, S, n, chunks)
            : DLF_LAUNCH(of_chunks<false>, grid, DLF_BLOCK, 0, stream, first, in, S, n, chunks);
    if (bytes && error == cudaSuccess)
        error = DLF_LAUNCH(of_parts, dlf_grid_x(x, S, 1), DLF_BLOCK, 0, stream, result, part, S,
                           chunks);
    if (bytes) dlf_scratch_done(x, part, bytes);
    return dlf_launched(error, "moments");
}

extern "C" dlf_status dlf_moments_pieces_cuda(dlf_tensor *out, const dlf_tensor *x,
                                              const dlf_tensor *offsets)
{
    return dlf_fail(DLF_ERR_NO_KERNEL, "moments_pieces: not written yet");
}
