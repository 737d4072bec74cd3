/* SPDX-License-Identifier: MIT
 * conv1x1_tensor.cuh -- version 2: 128 x 64 tiles on tensor cores, both factors streamed through
 * three stages of shared memory. */
#ifndef DLF_CONV1X1_TENSOR_CUH
#define DLF_CONV1X1_TENSOR_CUH
#include "conv1x1_pipe.cuh"

namespace c1_tensor
{
using namespace c1_pipe;

enum {
    PIPE_BYTES = STAGES * (ROWS_BYTES + COLUMNS_BYTES),
    SMEM = PIPE_BYTES > SUMS_BYTES ? PIPE_BYTES : SUMS_BYTES /* one after the other */
};

/* Forward and data gradient. */
template <class T, bool A_DEEP, bool B_DEEP>
static __global__ void __launch_bounds__(THREADS)
    product(factor<T> a, factor<T> w, c1_output<T> out, int64_t P)
{
    DLF_DYN_SHARED(unsigned char, smem);
    const int64_t rows = (out.M + ROWS - 1) / ROWS;
    const int64_t columns = (out.columns + COLUMNS - 1) / COLUMNS;
    for (int64_t block = blockIdx.x; block < P * rows * columns; block += gridDim.x) {
        const int64_t p = block / (rows * columns), in = block % (rows * columns);
        const int64_t tile_q = in / columns, k0 = in % columns * COLUMNS;
        tensor_sums<T> sums;
        multiply<T, A_DEEP, B_DEEP>(sums, a, w, p, tile_q * ROWS, k0, 0, a.depth, smem);
        float *tile = reinterpret_cast<float *>(smem);
        __syncthreads();
        sums.store(tile);
        __syncthreads(); /* the tile is complete */
        c1_finish<ROWS, COLUMNS, LD, THREADS>(tile, out, p, tile_q, k0);
        __syncthreads();
    }
}

/* Weight gradient: one piece of the positions for one tile of dw. */
template <class T, bool DEEP>
static __global__ void __launch_bounds__(THREADS)
    weight(factor<T> z, factor<T> u, float *part, int64_t P, int64_t M, int64_t pieces,
           int64_t piece)
{
    DLF_DYN_SHARED(unsigned char, smem);
    const int64_t K = z.rows, C = u.rows;
    const int64_t rows = (K + ROWS - 1) / ROWS, columns = (C + COLUMNS - 1) / COLUMNS;
    const int64_t tiles = pieces * rows * columns;
    for (int64_t block = blockIdx.x; block < P * tiles; block += gridDim.x) {
        const int64_t p = block / tiles, in = block % tiles;
        const int64_t i = in / (rows * columns), at = in % (rows * columns);
        const int64_t k0 = at / columns * ROWS, c0 = at % columns * COLUMNS;
        const int64_t end = (i + 1) * piece < M ? (i + 1) * piece : M;
        tensor_sums<T> sums;
        multiply<T, DEEP, DEEP>(sums, z, u, p, k0, c0, i * piece, end, smem);
        float *tile = reinterpret_cast<float *>(smem);
        __syncthreads();
        sums.store(tile);
        __syncthreads();
        float *to = part + (p * pieces + i) * K * C;
        for (int t = (int)threadIdx.x; t < ROWS * COLUMNS; t += THREADS) {
            const int64_t k = k0 + t / COLUMNS, c = c0 + t % COLUMNS;
            if (k < K && c < C) to[k * C + c] = tile[t / COLUMNS * LD + t % COLUMNS];
        }
        __syncthreads();
    }
}

static inline dlf_status run_product(const c1_call &call)
{
    return dlf_with_storage(call.out, [&](auto t) {
        typedef decltype(t) T;
        return c1_run_product<T>(call, ROWS, [&](const c1_product<T> &a) {
            const factor<T> in = input_factor<T>(a, call), w = weight_factor<T>(a, call);
            const int64_t blocks = a.P * dlf_ceil_div(a.M, ROWS) * dlf_ceil_div(a.columns, COLUMNS);
            return with_directions(a.along_channels, a.w_depth == 1, [&](auto a_deep, auto b_deep) {
                return DLF_LAUNCH((product<T, decltype(a_deep)::value, decltype(b_deep)::value>),
                                  dlf_grid_x(call.out, blocks, 1), THREADS, SMEM,
                                  dlf_stream_of(call.out), in, w, a.out, a.P);
            });
        });
    });
}

static inline dlf_status run_weight(const c1_weight_call &call)
{
    return dlf_with_storage(call.io->dz, [&](auto t) {
        typedef decltype(t) T;
        return c1_run_weight<T>(call, ROWS, COLUMNS, step_depth<T>, [&](const c1_weight<T> &a) {
            const dlf_activation none = {DLF_LINEAR, 0.0};
            const c1_prologue nothing = c1_prologue_of(nullptr, nullptr, none);
            const bool nhwc = a.along_channels;
            const factor<T> z = {a.dz,
                                 a.z_at,
                                 nothing,
                                 a.K,
                                 a.M,
                                 0,
                                 0,
                                 DEPTH_IS_POSITIONS,
                                 image_vectors<T>(call.io->dz, a.z_at, a.K, nhwc, a.M)};
            const factor<T> u = {a.x,
                                 a.x_at,
                                 a.u,
                                 a.C,
                                 a.M,
                                 0,
                                 0,
                                 DEPTH_IS_POSITIONS,
                                 image_vectors<T>(call.io->x, a.x_at, a.C, nhwc, a.M)};
            const int64_t blocks =
                a.P * a.pieces * dlf_ceil_div(a.K, ROWS) * dlf_ceil_div(a.C, COLUMNS);
            const unsigned grid = dlf_grid_x(call.io->dw, blocks, 1);
            const cudaStream_t stream = dlf_stream_of(call.io->dw);
            if (nhwc)
                return DLF_LAUNCH((weight<T, false>), grid, THREADS, SMEM, stream, z, u, a.part,
                                  a.P, a.M, a.pieces, a.piece);
            return DLF_LAUNCH((weight<T, true>), grid, THREADS, SMEM, stream, z, u, a.part, a.P,
                              a.M, a.pieces, a.piece);
        });
    });
}
} // namespace c1_tensor
#endif
