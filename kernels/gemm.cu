/* SPDX-License-Identifier: MIT
 * gemm.cu -- matrix products: cuBLAS where it was found, else a tiled kernel of our own. */
#include "common.cuh"
#include "gemm_blas.h"
#include "gemm_tile.cuh"

enum { TILE = DLF_TILE, DEPTH = DLF_TILE_DEPTH, THREADS = DLF_TILE_THREADS, ROW = DLF_TILE_ROW };

/* Loads a TILE x DEPTH piece of op(x) as tile[k][i]; zeros outside. The matrix is (rows, K), or
 * (K, rows) if T; consecutive threads read consecutive addresses in both cases. */
template <bool T>
static __device__ __forceinline__ void load_tile(float (*tile)[ROW], const float *x, int64_t rows,
                                                 int64_t K, int64_t row0, int64_t k0)
{
#pragma unroll
    for (int r = 0; r < TILE * DEPTH / THREADS; r++) {
        const int t = (int)threadIdx.x + r * THREADS;
        const int i = T ? t % TILE : t / DEPTH, k = T ? t / TILE : t % DEPTH;
        const int64_t row = row0 + i, col = k0 + k;
        const bool inside = row < rows && col < K;
        tile[k][i] = inside ? x[T ? col * rows + row : row * K + col] : 0.0f;
    }
}

/* One block per 64 x 64 tile of c, 4 x 4 elements per thread; b' rows are columns of c. */
template <bool TA, bool TB>
static __global__ void __launch_bounds__(THREADS) gemm_tiled(dlf_sgemm_batch g)
{
    DLF_SHARED(float, a_tile, [DEPTH][ROW]);
    DLF_SHARED(float, b_tile, [DEPTH][ROW]);
    const int64_t tiles_n = (g.n + TILE - 1) / TILE, tiles = (g.m + TILE - 1) / TILE * tiles_n;
    const int ti = (int)threadIdx.x / 16 * 4, tj = (int)threadIdx.x % 16 * 4;

    for (int64_t block = blockIdx.x; block < g.count * tiles; block += gridDim.x) {
        const int64_t p = block / tiles, in = block % tiles;
        const int64_t i0 = in / tiles_n * TILE, j0 = in % tiles_n * TILE;
        const float *a = g.a + p * g.stride_a, *b = g.b + p * g.stride_b;
        float sum[4][4] = {};
        for (int64_t k0 = 0; k0 < g.k; k0 += DEPTH) {
            load_tile<TA>(a_tile, a, g.m, g.k, i0, k0);
            load_tile<!TB>(b_tile, b, g.n, g.k, j0, k0);
            __syncthreads();
            dlf_tile_multiply(sum, a_tile, b_tile, ti, tj);
            __syncthreads();
        }
        float *c = g.c + p * g.stride_c;
#pragma unroll
        for (int i = 0; i < 4; i++)
#pragma unroll
            for (int j = 0; j < 4; j++) {
                const int64_t row = i0 + ti + i, col = j0 + tj + j;
                if (row >= g.m || col >= g.n) continue;
                float *to = c + row * g.n + col;
                const float v = g.alpha * sum[i][j];
                *to = g.beta == 0.0f ? v : fmaf(g.beta, *to, v);
            }
    }
}

static dlf_status tiled(const dlf_sgemm_batch *g, cudaStream_t stream)
{
    const int64_t blocks = g->count * dlf_ceil_div(g->m, TILE) * dlf_ceil_div(g->n, TILE);
    const unsigned grid = (unsigned)(blocks < 0x7fffffff ? blocks : 0x7fffffff);
    cudaError_t error;
    if (g->trans_a)
        error = g->trans_b ? DLF_LAUNCH((gemm_tiled<true, true>), grid, THREADS, 0, stream, *g)
                           : DLF_LAUNCH((gemm_tiled<true, false>), grid, THREADS, 0, stream, *g);
    else
        error = g->trans_b ? DLF_LAUNCH((gemm_tiled<false, true>), grid, THREADS, 0, stream, *g)
                           : DLF_LAUNCH((gemm_tiled<false, false>), grid, THREADS, 0, stream, *g);
    return dlf_launched(error, "gemm");
}

extern "C" dlf_status dlf_gemm_cuda(dlf_tensor *c, const dlf_tensor *a, const dlf_tensor *b,
                                    dlf_gemm_args args)
{
    dlf_sgemm_batch g;
    g.trans_a = args.trans_a;
    g.trans_b = args.trans_b;
    g.count = c->shape[0];
    g.m = c->shape[1];
    g.n = c->shape[2];
    g.k = a->shape[args.trans_a ? 1 : 2];
    g.alpha = (float)args.alpha;
    g.beta = (float)args.beta;
    g.a = static_cast<const float *>(a->data);
    g.b = static_cast<const float *>(b->data);
    g.c = static_cast<float *>(c->data);
    g.stride_a = a->shape[0] == 1 ? 0 : a->stride;
    g.stride_b = b->shape[0] == 1 ? 0 : b->stride;
    g.stride_c = c->stride;
    const cudaStream_t stream = dlf_stream_of(c);
    const dlf_status status = dlf_cuda_sgemm(c->device, &g);
    return status == DLF_ERR_NO_KERNEL ? tiled(&g, stream) : status;
}
