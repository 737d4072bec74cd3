/* SPDX-License-Identifier: MIT
 * conv1x1_tiled.cuh -- version 1, the readable one: a block per 64 x 64 tile, 4 x 4 sums a thread,
 * every product a float multiply-add. Any shape, type and layout, any architecture. */
#ifndef DLF_CONV1X1_TILED_CUH
#define DLF_CONV1X1_TILED_CUH
#include "conv1x1.cuh"

namespace c1_tiled
{
enum { TILE = 64, DEPTH = 16, THREADS = 256, PAD = 4, LOADS = TILE * DEPTH / THREADS };

typedef float panel[TILE + PAD]; /* what row or column i of the tile has at one depth */

/* Thread's element `r` of a TILE x DEPTH piece: consecutive threads along what is consecutive in
 * memory. */
struct slot {
    int i, d;
};
static __device__ __forceinline__ slot slot_of(int r, bool along_depth)
{
    const int t = (int)threadIdx.x + r * THREADS;
    return along_depth ? slot{t / DEPTH, t % DEPTH} : slot{t % TILE, t / TILE};
}

/* sum[i][j] += a[d][i] b[d][j] over the depth of a piece. */
static __device__ __forceinline__ void multiply(float (&sum)[4][4], const panel *a, const panel *b,
                                                int ti, int tj)
{
#pragma unroll
    for (int d = 0; d < DEPTH; d++) {
        const float4 av = *reinterpret_cast<const float4 *>(&a[d][ti]);
        const float4 bv = *reinterpret_cast<const float4 *>(&b[d][tj]);
        const float ar[4] = {av.x, av.y, av.z, av.w}, br[4] = {bv.x, bv.y, bv.z, bv.w};
#pragma unroll
        for (int i = 0; i < 4; i++)
#pragma unroll
            for (int j = 0; j < 4; j++) sum[i][j] = fmaf(ar[i], br[j], sum[i][j]);
    }
}

/* Forward and data gradient. */
template <class T> static __global__ void __launch_bounds__(THREADS) product(c1_product<T> a)
{
    DLF_SHARED(float, in_tile, [DEPTH][TILE + PAD]);
    DLF_SHARED(float, w_tile, [DEPTH][TILE + PAD]);
    DLF_SHARED(float, result, [TILE][TILE + 1]);
    const int64_t rows = (a.M + TILE - 1) / TILE, columns = (a.columns + TILE - 1) / TILE;
    const int ti = (int)threadIdx.x / 16 * 4, tj = (int)threadIdx.x % 16 * 4;
    for (int64_t block = blockIdx.x; block < a.P * rows * columns; block += gridDim.x) {
        const int64_t p = block / (rows * columns), in = block % (rows * columns);
        const int64_t tile_q = in / columns, k0 = in % columns * TILE;
        const T *x = a.in.member(p), *w = a.w.member(p);
        int64_t place[LOADS]; /* of this thread's positions; -1: there is none */
#pragma unroll
        for (int r = 0; r < LOADS; r++) {
            const int64_t q = tile_q * TILE + slot_of(r, a.along_channels).i;
            place[r] = q < a.M ? c1_place(a.at, q) : -1;
        }
        float sum[4][4] = {};
        for (int64_t d0 = 0; d0 < a.depth; d0 += DEPTH) {
#pragma unroll
            for (int r = 0; r < LOADS; r++) {
                const slot s = slot_of(r, a.along_channels);
                const int64_t d = d0 + s.d;
                float v = 0.0f;
                if (place[r] >= 0 && d < a.depth) {
                    v = dlf_to_float(x[place[r] + d * a.at.channel]);
                    if (a.u.any) v = c1_prologue_value(v, a.u, p, d);
                }
                in_tile[s.d][s.i] = v;
                const slot b = slot_of(r, a.w_depth == 1);
                const int64_t k = k0 + b.i, e = d0 + b.d;
                const bool inside = k < a.columns && e < a.depth;
                w_tile[b.d][b.i] = inside ? dlf_to_float(w[k * a.w_column + e * a.w_depth]) : 0.0f;
            }
            __syncthreads();
            multiply(sum, in_tile, w_tile, ti, tj);
            __syncthreads();
        }
        for (int i = 0; i < 4; i++)
            for (int j = 0; j < 4; j++) result[ti + i][tj + j] = sum[i][j];
        __syncthreads();
        c1_finish<TILE, TILE, TILE + 1, THREADS>(&result[0][0], a.out, p, tile_q, k0);
        __syncthreads();
    }
}

/* Weight gradient: one piece of the positions for one tile of dw. */
template <class T> static __global__ void __launch_bounds__(THREADS) weight(c1_weight<T> a)
{
    DLF_SHARED(float, z_tile, [DEPTH][TILE + PAD]);
    DLF_SHARED(float, u_tile, [DEPTH][TILE + PAD]);
    const int64_t rows = (a.K + TILE - 1) / TILE, columns = (a.C + TILE - 1) / TILE;
    const int64_t tiles = a.pieces * rows * columns;
    const int ti = (int)threadIdx.x / 16 * 4, tj = (int)threadIdx.x % 16 * 4;
    for (int64_t block = blockIdx.x; block < a.P * tiles; block += gridDim.x) {
        const int64_t p = block / tiles, in = block % tiles;
        const int64_t piece = in / (rows * columns), tile = in % (rows * columns);
        const int64_t k0 = tile / columns * TILE, c0 = tile % columns * TILE;
        const int64_t end = (piece + 1) * a.piece < a.M ? (piece + 1) * a.piece : a.M;
        const T *dz = a.dz.member(p), *x = a.x.member(p);
        float sum[4][4] = {};
        for (int64_t q0 = piece * a.piece; q0 < end; q0 += DEPTH) {
#pragma unroll
            for (int r = 0; r < LOADS; r++) {
                const slot s = slot_of(r, !a.along_channels);
                const int64_t q = q0 + s.d, k = k0 + s.i, c = c0 + s.i;
                float z = 0.0f, u = 0.0f;
                if (q < end && k < a.K)
                    z = dlf_to_float(dz[c1_place(a.z_at, q) + k * a.z_at.channel]);
                if (q < end && c < a.C) {
                    u = dlf_to_float(x[c1_place(a.x_at, q) + c * a.x_at.channel]);
                    if (a.u.any) u = c1_prologue_value(u, a.u, p, c);
                }
                z_tile[s.d][s.i] = z;
                u_tile[s.d][s.i] = u;
            }
            __syncthreads();
            multiply(sum, z_tile, u_tile, ti, tj);
            __syncthreads();
        }
        float *part = a.part + (p * a.pieces + piece) * a.K * a.C;
        for (int i = 0; i < 4; i++)
            for (int j = 0; j < 4; j++) {
                const int64_t k = k0 + ti + i, c = c0 + tj + j;
                if (k < a.K && c < a.C) part[k * a.C + c] = sum[i][j];
            }
    }
}

static inline dlf_status run_product(const c1_call &call)
{
    return dlf_with_storage(call.out, [&](auto t) {
        typedef decltype(t) T;
        return c1_run_product<T>(call, TILE, [&](const c1_product<T> &a) {
            const int64_t blocks = a.P * dlf_ceil_div(a.M, TILE) * dlf_ceil_div(a.columns, TILE);
            return DLF_LAUNCH(product<T>, dlf_grid_x(call.out, blocks, 1), THREADS, 0,
                              dlf_stream_of(call.out), a);
        });
    });
}

static inline dlf_status run_weight(const c1_weight_call &call)
{
    return dlf_with_storage(call.io->dz, [&](auto t) {
        typedef decltype(t) T;
        return c1_run_weight<T>(call, TILE, TILE, DEPTH, [&](const c1_weight<T> &a) {
            const int64_t blocks =
                a.P * a.pieces * dlf_ceil_div(a.K, TILE) * dlf_ceil_div(a.C, TILE);
            return DLF_LAUNCH(weight<T>, dlf_grid_x(call.io->dw, blocks, 1), THREADS, 0,
                              dlf_stream_of(call.io->dw), a);
        });
    });
}
} // namespace c1_tiled
#endif
