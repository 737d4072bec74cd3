/* SPDX-License-Identifier: MIT */
/* Correct kernels of the kinds that the project uses: the test bed has to run them to the right
 * result, in any order, and has to find nothing wrong with them. */
#include "tensor_core.cuh"
#include "test_simt.h"

static __device__ float warp_sum(float v)
{
    for (int d = 16; d > 0; d /= 2) v += __shfl_xor_sync(0xffffffffu, v, d);
    return v;
}

template <int THREADS> static __device__ float block_sum(float v)
{
    DLF_SHARED(float, part, [THREADS / 32]);
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    v = warp_sum(v);
    __syncthreads(); /* part may still be read from the previous call */
    if (lane == 0) part[warp] = v;
    __syncthreads();
    return warp_sum(lane < THREADS / 32 ? part[lane] : 0.0f);
}

/* ---- LayerNorm: one block per row, two passes ---- */

template <int THREADS>
static __global__ void __launch_bounds__(THREADS)
    layernorm(float *y, const float *x, const float *gain, const float *bias, int cols)
{
    const float *xr = x + static_cast<size_t>(blockIdx.x) * cols;
    float *yr = y + static_cast<size_t>(blockIdx.x) * cols;
    float sum = 0.0f, squares = 0.0f;
    for (int c = threadIdx.x; c < cols; c += THREADS) sum += xr[c];
    const float mean = block_sum<THREADS>(sum) / cols;
    for (int c = threadIdx.x; c < cols; c += THREADS) squares += (xr[c] - mean) * (xr[c] - mean);
    const float scale = rsqrtf(block_sum<THREADS>(squares) / cols + 1e-5f);
    for (int c = threadIdx.x; c < cols; c += THREADS)
        yr[c] = (xr[c] - mean) * scale * __ldg(&gain[c]) + __ldg(&bias[c]);
}

cudaError_t test_layernorm(float *y, const float *x, const float *gain, const float *bias, int rows,
                           int cols, cudaStream_t stream)
{
    return DLF_LAUNCH(layernorm<TEST_LN_THREADS>, rows, TEST_LN_THREADS, 0, stream, y, x, gain,
                      bias, cols);
}

/* ---- tiled SGEMM ---- */

template <int TILE, int DEPTH, int PER>
static __global__ void sgemm(float *c, const float *a, const float *b, int m, int n, int k)
{
    constexpr int threads = (TILE / PER) * (TILE / PER);
    DLF_SHARED(float, as, [DEPTH][TILE]);
    DLF_SHARED(float, bs, [DEPTH][TILE]);
    const int t = threadIdx.x, tx = t % (TILE / PER), ty = t / (TILE / PER);
    const int m0 = blockIdx.y * TILE, n0 = blockIdx.x * TILE;
    float acc[PER][PER] = {};
    for (int k0 = 0; k0 < k; k0 += DEPTH) {
        for (int i = t; i < TILE * DEPTH; i += threads) {
            const int row = m0 + i / DEPTH, col = k0 + i % DEPTH;
            as[i % DEPTH][i / DEPTH] = row < m && col < k ? a[row * k + col] : 0.0f;
        }
        for (int i = t; i < TILE * DEPTH; i += threads) {
            const int row = k0 + i / TILE, col = n0 + i % TILE;
            bs[i / TILE][i % TILE] = row < k && col < n ? b[row * n + col] : 0.0f;
        }
        __syncthreads();
        for (int d = 0; d < DEPTH; d++)
            for (int i = 0; i < PER; i++)
                for (int j = 0; j < PER; j++)
                    acc[i][j] += as[d][ty * PER + i] * bs[d][tx * PER + j];
        __syncthreads();
    }
    for (int i = 0; i < PER; i++)
        for (int j = 0; j < PER; j++) {
            const int row = m0 + ty * PER + i, col = n0 + tx * PER + j;
            if (row < m && col < n) c[row * n + col] = acc[i][j];
        }
}

cudaError_t test_sgemm(float *c, const float *a, const float *b, int m, int n, int k,
                       cudaStream_t stream)
{
    const dim3 grid((n + 31) / 32, (m + 31) / 32);
    return DLF_LAUNCH((sgemm<32, 8, 4>), grid, 64, 0, stream, c, a, b, m, n, k);
}

/* ---- cp.async and mma.sync: one warp per 16x8 tile, two stages ---- */

static __device__ void store_fragment(float *out, const float (&c)[4], int n)
{
    const int lane = threadIdx.x, g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; i++)
        out[(blockIdx.y * 16 + g + i / 2 * 8) * n + blockIdx.x * 8 + t * 2 + i % 2] = c[i];
}

template <int TYPE>
static __global__ void mma_gemm_16bit(float *out, const uint16_t *a, const uint16_t *bt, int n,
                                      int k)
{
    DLF_SHARED(uint16_t, as, [2][16][16]);
    DLF_SHARED(uint16_t, bs, [2][8][16]);
    const int lane = threadIdx.x, g = lane / 4, t = lane % 4;
    const int row = lane / 2, col = lane % 2 * 8;
    const uint16_t *a0 = a + static_cast<size_t>(blockIdx.y * 16 + row) * k + col;
    const uint16_t *b0 = bt + static_cast<size_t>(blockIdx.x * 8 + row) * k + col;
    auto load = [&](int step) {
        dlf_cp_async<16>(&as[step % 2][row][col], a0 + step * 16);
        if (row < 8) dlf_cp_async<16>(&bs[step % 2][row][col], b0 + step * 16);
        dlf_cp_async_commit();
    };
    float c[4] = {};
    const int steps = k / 16;
    load(0);
    for (int i = 0; i < steps; i++) {
        if (i + 1 < steps) {
            load(i + 1);
            dlf_cp_async_wait<1>();
        } else {
            dlf_cp_async_wait<0>();
        }
        __syncwarp();
        uint32_t fa[4], fb[2];
        if (TYPE == TEST_BF16_LDMATRIX) {
            dlf_ldmatrix_x4(fa, &as[i % 2][lane % 16][lane / 16 * 8]);
        } else {
            for (int r = 0; r < 4; r++)
                fa[r] = *reinterpret_cast<const uint32_t *>(
                    &as[i % 2][g + r % 2 * 8][t * 2 + r / 2 * 8]);
        }
        for (int r = 0; r < 2; r++)
            fb[r] = *reinterpret_cast<const uint32_t *>(&bs[i % 2][g][t * 2 + r * 8]);
        if (TYPE == TEST_F16)
            dlf_mma_f16(c, fa, fb);
        else
            dlf_mma_bf16(c, fa, fb);
        __syncwarp();
    }
    store_fragment(out, c, n);
}

static __global__ void mma_gemm_tf32(float *out, const float *a, const float *bt, int n, int k)
{
    const int lane = threadIdx.x, g = lane / 4, t = lane % 4;
    const float *a0 = a + static_cast<size_t>(blockIdx.y * 16) * k;
    const float *b0 = bt + static_cast<size_t>(blockIdx.x * 8) * k;
    float c[4] = {};
    for (int k0 = 0; k0 < k; k0 += 8) {
        uint32_t fa[4], fb[2];
        for (int r = 0; r < 4; r++)
            fa[r] = dlf_to_tf32(a0[(g + r % 2 * 8) * k + k0 + t + r / 2 * 4]);
        for (int r = 0; r < 2; r++) fb[r] = dlf_to_tf32(b0[g * k + k0 + t + r * 4]);
        dlf_mma_tf32(c, fa, fb);
    }
    store_fragment(out, c, n);
}

cudaError_t test_mma_gemm(enum test_mma_type type, float *c, const void *a, const void *bt, int m,
                          int n, int k, cudaStream_t stream)
{
    const dim3 grid(n / 8, m / 16);
    switch (type) {
    case TEST_BF16:
        return DLF_LAUNCH(mma_gemm_16bit<TEST_BF16>, grid, 32, 0, stream, c, a, bt, n, k);
    case TEST_F16: return DLF_LAUNCH(mma_gemm_16bit<TEST_F16>, grid, 32, 0, stream, c, a, bt, n, k);
    case TEST_BF16_LDMATRIX:
        return DLF_LAUNCH(mma_gemm_16bit<TEST_BF16_LDMATRIX>, grid, 32, 0, stream, c, a, bt, n, k);
    default: return DLF_LAUNCH(mma_gemm_tf32, grid, 32, 0, stream, c, a, bt, n, k);
    }
}

/* ---- the block that finishes last adds up what the others left ---- */

static __device__ unsigned blocks_done;

template <int THREADS>
static __global__ void last_block_sum(float *sum, float *partial, const float *x, int n)
{
    DLF_SHARED(int, is_last, );
    float v = 0.0f;
    for (int i = blockIdx.x * THREADS + threadIdx.x; i < n; i += gridDim.x * THREADS) v += x[i];
    v = block_sum<THREADS>(v);
    if (threadIdx.x == 0) {
        partial[blockIdx.x] = v;
        __threadfence(); /* partial before the count */
        is_last = atomicInc(&blocks_done, gridDim.x - 1) == gridDim.x - 1;
    }
    __syncthreads();
    if (!is_last) return;
    v = 0.0f;
    for (int i = threadIdx.x; i < static_cast<int>(gridDim.x); i += THREADS) v += partial[i];
    v = block_sum<THREADS>(v);
    if (threadIdx.x == 0) *sum = v;
}

cudaError_t test_last_block_sum(float *sum, float *partial, const float *x, int n,
                                cudaStream_t stream)
{
    return DLF_LAUNCH(last_block_sum<TEST_LAST_BLOCK_THREADS>, 4, TEST_LAST_BLOCK_THREADS, 0,
                      stream, sum, partial, x, n);
}

/* ---- memory spaces, indices, yielding ---- */

static __constant__ float constant_table[4];

static __global__ void read_constant(float *y, int n)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = constant_table[i % 4];
}

cudaError_t test_constant(float *y, const float table[4], int n, cudaStream_t stream)
{
    cudaError_t err = cudaMemcpyToSymbol(constant_table, table, sizeof constant_table);
    if (err != cudaSuccess) return err;
    float read_back[2];
    err = cudaMemcpyFromSymbol(read_back, constant_table, sizeof read_back, 2 * sizeof(float));
    if (err != cudaSuccess) return err;
    if (read_back[0] != table[2] || read_back[1] != table[3]) return cudaErrorUnknown;
    return DLF_LAUNCH(read_constant, (n + 31) / 32, 32, 0, stream, y, n);
}

static __global__ void reverse(float *x, int n)
{
    DLF_DYN_SHARED(float, s);
    const int i = threadIdx.x;
    s[i] = x[i];
    __syncthreads();
    x[i] = s[n - 1 - i];
}

cudaError_t test_reverse(float *x, int n, size_t smem, cudaStream_t stream)
{
    return DLF_LAUNCH(reverse, 1, n, smem, stream, x, n);
}

static __global__ void number_threads(unsigned *out)
{
    const unsigned b = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    const unsigned t = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    const unsigned i = b * (blockDim.x * blockDim.y * blockDim.z) + t;
    out[i] = i;
}

int test_blocks_per_sm(int block_size, size_t smem)
{
    int blocks = -1;
    cudaFuncAttributes attributes;
    if (cudaFuncGetAttributes(&attributes, number_threads) != cudaSuccess) return -1;
    if (cudaFuncSetAttribute(number_threads, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(smem)) != cudaSuccess)
        return -1;
    if (cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, number_threads, block_size, smem) !=
        cudaSuccess)
        return -1;
    return blocks;
}

cudaError_t test_number_threads(unsigned *out, dim3 grid, dim3 block, cudaStream_t stream)
{
    return DLF_LAUNCH(number_threads, grid, block, 0, stream, out);
}

static __global__ void spin(unsigned *out)
{
    DLF_SHARED(unsigned, flag, );
    if (threadIdx.x == 0) flag = 0;
    __syncthreads();
    if (threadIdx.x == 5) {
        while (atomicAdd(&flag, 0u) == 0) __nanosleep(20);
        *out = 1;
    } else if (threadIdx.x == 40) {
        atomicExch(&flag, 1u);
    }
}

cudaError_t test_spin(unsigned *out, cudaStream_t stream)
{
    return DLF_LAUNCH(spin, 1, 64, 0, stream, out);
}
