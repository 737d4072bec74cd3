/* SPDX-License-Identifier: MIT
 * random.cu -- normal and uniform draws, one Philox block (four numbers) per thread. */
#include "common.cuh"
#include "dlf/rng.h"

enum { THREADS = 256 };

struct draw {
    float *x;
    const int32_t *member; /* NULL: the index of the member itself */
    const float *scale;    /* NULL: 1                              */
    int64_t members, n, quads, x_stride, member_stride, scale_stride;
    uint64_t seed;
    uint32_t stream;
    float lo, range; /* uniform */
};

template <bool NORMAL> static __global__ void __launch_bounds__(THREADS) draw_numbers(draw d)
{
    const int64_t all = d.members * d.quads, step = (int64_t)gridDim.x * THREADS;
    for (int64_t t = (int64_t)blockIdx.x * THREADS + threadIdx.x; t < all; t += step) {
        const int64_t p = t / d.quads, quad = t % d.quads;
        const uint32_t member = d.member ? (uint32_t)d.member[p * d.member_stride] : (uint32_t)p;
        const dlf_philox_block bits = dlf_rng_block(d.seed, d.stream, member, (uint64_t)quad);
        const float scale = NORMAL && d.scale ? d.scale[p * d.scale_stride] : 1.0f;
        float v[4];
#pragma unroll
        for (int i = 0; i < 4; i++)
            v[i] = NORMAL ? scale * dlf_normal_of_bits(bits.v[i])
                          : fmaf(d.range, dlf_uniform_of_bits(bits.v[i]), d.lo);
        float *to = d.x + p * d.x_stride + 4 * quad;
        const int64_t left = d.n - 4 * quad;
        if (left >= 4 && reinterpret_cast<uintptr_t>(to) % 16 == 0) {
            *reinterpret_cast<float4 *>(to) = make_float4(v[0], v[1], v[2], v[3]);
        } else {
#pragma unroll
            for (int i = 0; i < 4; i++)
                if (i < left) to[i] = v[i];
        }
    }
}

static draw draw_of(const dlf_tensor *x, const dlf_tensor *member, dlf_rng rng)
{
    draw d = {};
    d.x = static_cast<float *>(x->data);
    d.members = x->shape[0];
    d.n = dlf_tensor_member_count(x);
    d.quads = dlf_ceil_div(d.n, 4);
    d.x_stride = x->stride;
    if (member) {
        d.member = static_cast<const int32_t *>(member->data);
        d.member_stride = member->stride;
    }
    d.seed = rng.seed;
    d.stream = rng.stream;
    return d;
}

template <bool NORMAL> static dlf_status launch(const draw &d, const dlf_tensor *x, const char *op)
{
    const int64_t blocks = dlf_ceil_div(d.members * d.quads, THREADS);
    const unsigned grid = (unsigned)(blocks < 1 << 20 ? blocks : 1 << 20);
    return dlf_launched(DLF_LAUNCH(draw_numbers<NORMAL>, grid, THREADS, 0, dlf_stream_of(x), d),
                        op);
}

extern "C" dlf_status dlf_random_normal_cuda(dlf_tensor *x, const dlf_tensor *member,
                                             const dlf_tensor *scale, dlf_rng rng)
{
    draw d = draw_of(x, member, rng);
    if (scale) {
        d.scale = static_cast<const float *>(scale->data);
        d.scale_stride = scale->stride;
    }
    return launch<true>(d, x, "random_normal");
}

extern "C" dlf_status dlf_random_uniform_cuda(dlf_tensor *x, const dlf_tensor *member, double lo,
                                              double hi, dlf_rng rng)
{
    draw d = draw_of(x, member, rng);
    d.lo = (float)lo;
    d.range = (float)(hi - lo);
    return launch<false>(d, x, "random_uniform");
}
