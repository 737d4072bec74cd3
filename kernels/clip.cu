/* SPDX-License-Identifier: MIT
 * clip.cu -- sums of squares of fixed chunks in double, then one block per member adds the chunks
 * in order and derives norm and factor. The guard of a step is a thread per member. */
#include "math.cuh"

enum { CHUNK = 32 * DLF_BLOCK };

template <bool VECTORS>
static __global__ void __launch_bounds__(DLF_BLOCK)
    squares(double *part, dlf_view<const float> g, int64_t P, int64_t n, int64_t chunks)
{
    for (int64_t p = blockIdx.y; p < P; p += gridDim.y)
        for (int64_t chunk = blockIdx.x; chunk < chunks; chunk += gridDim.x) {
            const float *g_c = g.member(p) + chunk * CHUNK;
            const int count = n - chunk * CHUNK < CHUNK ? (int)(n - chunk * CHUNK) : (int)CHUNK;
            const int vectors = VECTORS ? count / 4 : 0;
            double sum = 0.0;
            for (int i = (int)threadIdx.x; i < vectors; i += DLF_BLOCK) {
                const float4 v = reinterpret_cast<const float4 *>(g_c)[i];
                sum += (double)v.x * (double)v.x;
                sum += (double)v.y * (double)v.y;
                sum += (double)v.z * (double)v.z;
                sum += (double)v.w * (double)v.w;
            }
            for (int i = 4 * vectors + (int)threadIdx.x; i < count; i += DLF_BLOCK)
                sum += (double)g_c[i] * (double)g_c[i];
            sum = dlf_block_sum(sum);
            if (threadIdx.x == 0) part[p * chunks + chunk] = sum;
        }
}

static __global__ void __launch_bounds__(DLF_BLOCK)
    factors(dlf_view<float> g_scale, dlf_view<float> norm, const double *part,
            dlf_view<const float> max_norm, int64_t P, int64_t chunks)
{
    for (int64_t p = blockIdx.x; p < P; p += gridDim.x) {
        double sum = 0.0;
        for (int64_t i = threadIdx.x; i < chunks; i += DLF_BLOCK) sum += part[p * chunks + i];
        sum = dlf_block_sum(sum);
        if (threadIdx.x != 0) continue;
        const double length = sqrt(sum), limit = (double)*max_norm.member(p);
        const bool keep = length <= limit || limit == (double)INFINITY; /* NaN <= limit is false */
        *norm.member(p) = (float)length;
        *g_scale.member(p) = keep ? 1.0f : (float)(limit / length);
    }
}

extern "C" dlf_status dlf_clip_by_norm_cuda(dlf_tensor *g_scale, dlf_tensor *norm,
                                            const dlf_tensor *g, const dlf_tensor *max_norm)
{
    const int64_t P = g->shape[0], n = dlf_tensor_member_count(g);
    const int64_t chunks = dlf_ceil_div(n, CHUNK);
    const size_t bytes = (size_t)(P * chunks) * sizeof(double);
    const cudaStream_t stream = dlf_stream_of(g);
    void *part = nullptr;
    DLF_TRY(dlf_scratch(g, &part, bytes));

    const dim3 grid(dlf_grid_x(g, chunks, 1), dlf_grid_yz(P));
    const dlf_view<const float> in = dlf_view_of<const float>(g);
    cudaError_t error =
        dlf_aligned16(g, P)
            ? DLF_LAUNCH(squares<true>, grid, DLF_BLOCK, 0, stream, part, in, P, n, chunks)
            : DLF_LAUNCH(squares<false>, grid, DLF_BLOCK, 0, stream, part, in, P, n, chunks);
    if (error == cudaSuccess)
        error = DLF_LAUNCH(factors, dlf_grid_x(g, P, 1), DLF_BLOCK, 0, stream,
                           dlf_view_of<float>(g_scale), dlf_view_of<float>(norm), part,
                           dlf_view_of<const float>(max_norm), P, chunks);
    dlf_scratch_done(g, part, bytes);
    return dlf_launched(error, "clip_by_norm");
}

/* ---- the guard of a step -------------------------------------------------------------------- */

static __global__ void __launch_bounds__(DLF_BLOCK, 4)
    guard(dlf_view<float> lr_out, dlf_view<int32_t> first_bad, dlf_view<const float> lr,
          dlf_view<const double> moments, const int32_t *clock, int64_t P)
{
    const int32_t now = *clock;
    for (int64_t p = (int64_t)blockIdx.x * DLF_BLOCK + threadIdx.x; p < P;
         p += (int64_t)gridDim.x * DLF_BLOCK) {
        int32_t since = *first_bad.member(p);
        if (since < 0 && moments.member(p)[DLF_MOMENT_NONFINITE] > 0.0)
            *first_bad.member(p) = since = now;
        *lr_out.member(p) = since < 0 ? *lr.member(p) : 0.0f;
    }
}

extern "C" dlf_status dlf_step_guard_cuda(dlf_tensor *lr_out, dlf_tensor *first_bad,
                                          const dlf_tensor *lr, const dlf_tensor *moments,
                                          const dlf_tensor *clock)
{
    const int64_t P = lr_out->shape[0];
    return dlf_launched(DLF_LAUNCH(guard, dlf_grid_x(lr_out, P, DLF_BLOCK), DLF_BLOCK, 0,
                                   dlf_stream_of(lr_out), dlf_view_of<float>(lr_out),
                                   dlf_view_of<int32_t>(first_bad), dlf_view_of<const float>(lr),
                                   dlf_view_of<const double>(moments), clock->data, P),
                        "step_guard");
}
