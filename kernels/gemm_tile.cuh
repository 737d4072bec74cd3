/* SPDX-License-Identifier: MIT
 * gemm_tile.cuh -- the inner loop of products that go through shared memory in 64 x 64 tiles. */
#ifndef DLF_GEMM_TILE_CUH
#define DLF_GEMM_TILE_CUH
#include "common.cuh"

enum {
    DLF_TILE = 64,
    DLF_TILE_DEPTH = 16,
    DLF_TILE_THREADS = 256,
    DLF_TILE_ROW = DLF_TILE + 4 /* keeps 16-byte rows, spreads the banks */
};

/* sum[i][j] += sum_k a[k][row+i] b[k][column+j]: 4 x 4 elements of a tile, of each of 256 threads.
 */
static __device__ __forceinline__ void dlf_tile_multiply(float (&sum)[4][4],
                                                         const float (*a)[DLF_TILE_ROW],
                                                         const float (*b)[DLF_TILE_ROW], int row,
                                                         int column)
{
#pragma unroll
    for (int k = 0; k < DLF_TILE_DEPTH; k++) {
        const float4 av = *reinterpret_cast<const float4 *>(&a[k][row]);
        const float4 bv = *reinterpret_cast<const float4 *>(&b[k][column]);
        const float ar[4] = {av.x, av.y, av.z, av.w}, br[4] = {bv.x, bv.y, bv.z, bv.w};
#pragma unroll
        for (int i = 0; i < 4; i++)
#pragma unroll
            for (int j = 0; j < 4; j++) sum[i][j] = fmaf(ar[i], br[j], sum[i][j]);
    }
}
#endif
