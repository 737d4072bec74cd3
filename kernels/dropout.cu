/* SPDX-License-Identifier: MIT
 * dropout.cu -- dropout with the mask drawn on the fly, four elements and one or two Philox blocks
 * per thread. Philox costs about 15 instructions an element, which hides behind its 8 bytes. */
#include "dlf/rng.h"
#include "storage.cuh"

struct dropout_args {
    dlf_view<float> y;
    dlf_view<const float> x, rate;
    dlf_view<const int32_t> member; /* data NULL: the index of the member itself */
    const int32_t *clock;           /* NULL: 0                                           */
    int64_t P, n, run;
    uint64_t seed, first, clock_stride;
    uint32_t stream;
    bool rescale;
};

/* What is the same for a whole member. */
struct dropout_mask {
    uint32_t member;
    uint32_t limit; /* u < rate is the same as: the upper 24 bits < limit */
    float keep;     /* factor of what is kept                             */
    uint64_t first; /* draw of element 0                                  */
};

static __device__ dropout_mask mask_of(const dropout_args &a, int64_t p)
{
    const float rate = *a.rate.member(p);
    dropout_mask m = {a.member.data ? (uint32_t)*a.member.member(p) : (uint32_t)p, 0,
                      a.rescale ? 1.0f / (1.0f - rate) : 1.0f, a.first};
    if (a.clock) m.first += a.clock_stride * (uint64_t)*a.clock;
    if (rate >= 1.0f)
        m.limit = 1u << 24;
    else if (rate > 0.0f)
        m.limit = (uint32_t)ceilf(rate * 0x1p24f);
    if (rate != rate) m.keep = rate;
    return m;
}

static __device__ __forceinline__ dlf_philox_block block_at(const dropout_args &a, uint32_t member,
                                                            uint64_t block)
{
    return dlf_rng_block(a.seed, a.stream, member, block);
}

/* Word `at` of two blocks side by side. Not an index, which would put the blocks in memory. */
static __device__ __forceinline__ uint32_t word_at(const dlf_philox_block &lo,
                                                   const dlf_philox_block &hi, unsigned at)
{
    uint32_t word = lo.v[0];
#pragma unroll
    for (unsigned k = 1; k < 8; k++)
        if (at == k) word = k < 4 ? lo.v[k % 4] : hi.v[k % 4];
    return word;
}

/* The words of elements i .. i+3: consecutive draws, or one draw for `run` elements. */
static __device__ __forceinline__ void words_of(uint32_t (&word)[4], const dropout_args &a,
                                                const dropout_mask &m, int64_t i)
{
    const int64_t draw = a.run == 1 ? i : dlf_divide(i, a.run);
    const uint64_t index = m.first + (uint64_t)draw;
    const dlf_philox_block lo = block_at(a, m.member, index / 4);
    unsigned at = (unsigned)(index % 4);
    if (a.run == 1 && at == 0) {
#pragma unroll
        for (int k = 0; k < 4; k++) word[k] = lo.v[k];
        return;
    }
    unsigned place[4];
    int64_t in_run = i - draw * a.run;
#pragma unroll
    for (int k = 0; k < 4; k++) {
        place[k] = at;
        if (++in_run == a.run) {
            in_run = 0;
            at++;
        }
    }
    const dlf_philox_block hi = place[3] > 3 ? block_at(a, m.member, index / 4 + 1) : lo;
#pragma unroll
    for (int k = 0; k < 4; k++) word[k] = word_at(lo, hi, place[k]);
}

template <bool VECTORS> static __global__ void __launch_bounds__(DLF_BLOCK, 4) drop(dropout_args a)
{
    const int64_t self = 4 * ((int64_t)blockIdx.x * DLF_BLOCK + threadIdx.x);
    const int64_t stride = 4 * (int64_t)gridDim.x * DLF_BLOCK;
    for (int64_t p = blockIdx.y; p < a.P; p += gridDim.y) {
        const dropout_mask m = mask_of(a, p);
        const float *x = a.x.member(p);
        float *y = a.y.member(p);
        for (int64_t i = self; i < a.n; i += stride) {
            const int64_t left = a.n - i;
            float v[4];
            if (VECTORS && left >= 4) {
                dlf_load<4>(v, x + i);
            } else {
#pragma unroll
                for (int k = 0; k < 4; k++) v[k] = k < left ? x[i + k] : 0.0f;
            }
            uint32_t word[4];
            words_of(word, a, m, i);
#pragma unroll
            for (int k = 0; k < 4; k++) v[k] *= word[k] >> 8 < m.limit ? 0.0f : m.keep;
            if (VECTORS && left >= 4) {
                dlf_store<4>(y + i, v);
            } else {
#pragma unroll
                for (int k = 0; k < 4; k++)
                    if (k < left) y[i + k] = v[k];
            }
        }
    }
}

extern "C" dlf_status dlf_dropout_apply_cuda(dlf_tensor *y, const dlf_tensor *x,
                                             const dlf_tensor *member, const dlf_tensor *rate,
                                             const dlf_tensor *clock, dlf_dropout dropout)
{
    dropout_args a = {};
    a.y = dlf_view_of<float>(y);
    a.x = dlf_view_of<const float>(x);
    a.rate = dlf_view_of<const float>(rate);
    a.member = dlf_view_of<const int32_t>(member);
    a.clock = clock ? static_cast<const int32_t *>(clock->data) : nullptr;
    a.P = y->shape[0];
    a.n = dlf_tensor_member_count(y);
    a.run = dropout.run;
    a.seed = dropout.rng.seed;
    a.stream = dropout.rng.stream;
    a.first = dropout.first;
    a.clock_stride = dropout.stride;
    a.rescale = dropout.rescale;
    const dim3 grid(dlf_grid_x(y, a.n, 4 * DLF_BLOCK), dlf_grid_yz(a.P));
    const cudaStream_t stream = dlf_stream_of(y);
    return dlf_launched(dlf_aligned16(y, a.P) && dlf_aligned16(x, a.P)
                            ? DLF_LAUNCH(drop<true>, grid, DLF_BLOCK, 0, stream, a)
                            : DLF_LAUNCH(drop<false>, grid, DLF_BLOCK, 0, stream, a),
                        "dropout_apply");
}
