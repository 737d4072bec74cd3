/* SPDX-License-Identifier: MIT
 * gather.cu -- rows picked by index. float32 and int32 are both moved as 32-bit words. */
#include "common.cuh"

enum { THREADS = 256 };

struct gather {
    uint32_t *y;
    const uint32_t *x;
    const int32_t *index;
    int64_t B, N, R, rows, y_stride, x_stride, index_stride;
    uint32_t outside; /* what an index out of range gives */
};

/* threadIdx.x runs along a row; threadIdx.y takes further rows, so that short rows fill a block. */
static __global__ void __launch_bounds__(THREADS) gather_words(gather g)
{
    for (int64_t row = (int64_t)blockIdx.x * blockDim.y + threadIdx.y; row < g.rows;
         row += (int64_t)gridDim.x * blockDim.y) {
        const int64_t p = row / g.B, i = row % g.B;
        const int64_t r = g.index[p * g.index_stride + i];
        const bool inside = r >= 0 && r < g.R;
        const uint32_t *from = g.x + (inside ? r : 0) * g.x_stride;
        uint32_t *to = g.y + p * g.y_stride + i * g.N;
        for (int64_t j = threadIdx.x; j < g.N; j += blockDim.x)
            to[j] = inside ? from[j] : g.outside;
    }
}

extern "C" dlf_status dlf_gather_rows_cuda(dlf_tensor *y, const dlf_tensor *x,
                                           const dlf_tensor *index)
{
    gather g;
    g.y = static_cast<uint32_t *>(y->data);
    g.x = static_cast<const uint32_t *>(x->data);
    g.index = static_cast<const int32_t *>(index->data);
    g.B = y->shape[1];
    g.N = dlf_tensor_member_count(x);
    g.R = x->shape[0];
    g.rows = y->shape[0] * g.B;
    g.y_stride = y->stride;
    g.x_stride = x->stride;
    g.index_stride = index->shape[0] == 1 ? 0 : index->stride;
    g.outside = y->dtype == DLF_I32 ? 0x80000000u : 0x7fc00000u; /* INT32_MIN, NaN */
    unsigned along = 1;
    while (along < THREADS && along < g.N) along *= 2;
    const dim3 block(along, THREADS / along);
    const int64_t blocks = dlf_ceil_div(g.rows, block.y);
    const unsigned grid = (unsigned)(blocks < 1 << 20 ? blocks : 1 << 20);
    return dlf_launched(DLF_LAUNCH(gather_words, grid, block, 0, dlf_stream_of(y), g),
                        "gather_rows");
}
