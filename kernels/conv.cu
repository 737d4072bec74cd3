/* SPDX-License-Identifier: MIT
 * conv.cu -- convolution as a matrix product whose operands are read through index arithmetic
 * ("implicit GEMM": no matrix of windows is ever stored).
 *
 *   forward        y (k, position)   = w (k, tap)          x (tap, position)     tap = (c,r,s)
 *   data gradient  dx (c, position)  = w (c, tap)          dy (tap, position)    tap = (k,r,s)
 *   weight grad.   dw (k, tap)       = dy (k, position)    x (position, tap)     tap = (c,r,s)
 *
 * per member and group; a position is (sample, row, column). The sum of a weight gradient is as
 * long as the batch has positions and its result small, hence it is cut into parts, added in order
 * by a second kernel. cuDNN, where it was found, takes the large shapes. */
#include "conv_dnn.h"
#include "conv_shape.h"
#include "gemm_tile.cuh"
#include "math.cuh"

enum { TILE = DLF_TILE, DEPTH = DLF_TILE_DEPTH, THREADS = DLF_TILE_THREADS, ROW = DLF_TILE_ROW };

/* ---- what is multiplied -----------------------------------------------------------------------
 */

/* (c,r,s) of a tap, in the order in which w lies in memory. */
struct tap_index {
    int channel, r, s;
};

static __device__ __forceinline__ tap_index tap_of(const dlf_conv_shape &s, int channels, int64_t d)
{
    tap_index t;
    if (s.nchw) {
        const int64_t rest = dlf_divide(d, s.kernel[1]);
        t.s = (int)(d - rest * s.kernel[1]);
        t.channel = (int)dlf_divide(rest, s.kernel[0]);
        t.r = (int)(rest - (int64_t)t.channel * s.kernel[0]);
    } else {
        const int64_t rest = dlf_divide(d, channels);
        t.channel = (int)(d - rest * channels);
        t.r = (int)dlf_divide(rest, s.kernel[1]);
        t.s = (int)(rest - (int64_t)t.r * s.kernel[1]);
    }
    return t;
}

/* (n,i,j) of a position of images of H x W. */
struct position {
    int64_t n;
    int i, j;
};

static __device__ __forceinline__ position position_of(int64_t index, const int (&size)[2])
{
    position p;
    const int64_t row = dlf_divide(index, size[1]);
    p.j = (int)(index - row * size[1]);
    p.n = dlf_divide(row, size[0]);
    p.i = (int)(row - p.n * size[0]);
    return p;
}

/* The matrix product of one member and group: m x n, summed over depth; and how it is cut. */
struct product {
    dlf_conv_shape s;
    const float *x, *y, *w; /* of all members, the result's included */
    float *out;
    int64_t m, n, depth;
    int64_t parts, part_depth; /* of depth; more than one part: `out` are the partial results */
    double beta;
};

/* y(k, position) = sum over taps of w(k, tap) x(tap, position) + bias */
struct forward {
    product g;
    const float *bias;
    int64_t bias_stride;
    static constexpr bool A_ALONG_DEPTH = true; /* neighbours in memory are neighbours in depth */
    struct column {
        const float *x; /* of the sample and group; NULL: outside */
        int h, v;       /* of tap 0,0 */
    };
    typedef tap_index term;
    __device__ __forceinline__ term depth(int64_t d) const { return tap_of(g.s, g.s.C, d); }
    __device__ __forceinline__ float a(int64_t p, int group, int64_t row, int64_t d,
                                       const term &) const
    {
        return g.w[p * g.s.w.member + (group * (int64_t)g.s.K + row) * g.s.w.unit + d];
    }
    __device__ __forceinline__ column column_of(int64_t p, int group, int64_t j) const
    {
        const position at = position_of(j, g.s.out);
        return column{g.x + p * g.s.x.member + at.n * g.s.x.sample +
                          group * (int64_t)g.s.C * g.s.x.channel,
                      at.i * g.s.stride[0] - g.s.pad[0], at.j * g.s.stride[1] - g.s.pad[1]};
    }
    __device__ __forceinline__ float b(const column &c, const term &t) const
    {
        const int h = c.h + t.r * g.s.dilation[0], v = c.v + t.s * g.s.dilation[1];
        if (h < 0 || h >= g.s.in[0] || v < 0 || v >= g.s.in[1]) return 0.0f;
        return c.x[t.channel * g.s.x.channel + h * g.s.x.at[0] + v * g.s.x.at[1]];
    }
    __device__ __forceinline__ void store(int64_t p, int group, int64_t, int64_t row, int64_t j,
                                          float sum) const
    {
        const position at = position_of(j, g.s.out);
        const int64_t k = group * (int64_t)g.s.K + row;
        if (bias) sum += bias[p * bias_stride + k];
        g.out[p * g.s.y.member + at.n * g.s.y.sample + k * g.s.y.channel + at.i * g.s.y.at[0] +
              at.j * g.s.y.at[1]] = sum;
    }
};

/* dx(c, position) = sum over (k,r,s) of w(k,c,r,s) dy(k, the output that reads it by tap r,s) */
struct data_gradient {
    product g;
    static constexpr bool A_ALONG_DEPTH = false;
    struct column {
        const float *y;
        int h, v; /* of the input, pad added */
    };
    typedef tap_index term;
    __device__ __forceinline__ term depth(int64_t d) const { return tap_of(g.s, g.s.K, d); }
    __device__ __forceinline__ float a(int64_t p, int group, int64_t row, int64_t,
                                       const term &t) const
    {
        const auto &w = g.s.w;
        return g.w[p * w.member + (group * (int64_t)g.s.K + t.channel) * w.unit + row * w.channel +
                   t.r * w.tap[0] + t.s * w.tap[1]];
    }
    __device__ __forceinline__ column column_of(int64_t p, int group, int64_t j) const
    {
        const position at = position_of(j, g.s.in);
        return column{g.y + p * g.s.y.member + at.n * g.s.y.sample +
                          group * (int64_t)g.s.K * g.s.y.channel,
                      at.i + g.s.pad[0], at.j + g.s.pad[1]};
    }
    /* The output along an axis whose tap reads position h; -1: none. */
    __device__ __forceinline__ int output(int axis, int h, int tap) const
    {
        const int distance = h - tap * g.s.dilation[axis], stride = g.s.stride[axis];
        if (distance < 0) return -1;
        const int i = stride == 1 ? distance : distance / stride;
        return i < g.s.out[axis] && i * stride == distance ? i : -1;
    }
    __device__ __forceinline__ float b(const column &c, const term &t) const
    {
        const int i = output(0, c.h, t.r), j = output(1, c.v, t.s);
        if (i < 0 || j < 0) return 0.0f;
        return c.y[t.channel * g.s.y.channel + i * g.s.y.at[0] + j * g.s.y.at[1]];
    }
    __device__ __forceinline__ void store(int64_t p, int group, int64_t, int64_t row, int64_t j,
                                          float sum) const
    {
        const position at = position_of(j, g.s.in);
        dlf_store_sum(g.out + p * g.s.x.member + at.n * g.s.x.sample +
                          (group * (int64_t)g.s.C + row) * g.s.x.channel + at.i * g.s.x.at[0] +
                          at.j * g.s.x.at[1],
                      (double)sum, g.beta);
    }
};

/* dw(k, tap) = sum over positions of dy(k, position) x(position, tap) */
template <bool NCHW> struct weight_gradient {
    product g;
    static constexpr bool A_ALONG_DEPTH = NCHW;
    struct column {
        const float *x; /* of the group's channel */
        int h, v;       /* offset of the tap */
    };
    struct term {
        int64_t x, y; /* where sample and position begin */
        int h, v;     /* of tap 0,0 */
    };
    __device__ __forceinline__ term depth(int64_t d) const
    {
        const position to = position_of(d, g.s.out);
        return term{to.n * g.s.x.sample,
                    to.n * g.s.y.sample + to.i * g.s.y.at[0] + to.j * g.s.y.at[1],
                    to.i * g.s.stride[0] - g.s.pad[0], to.j * g.s.stride[1] - g.s.pad[1]};
    }
    __device__ __forceinline__ float a(int64_t p, int group, int64_t row, int64_t,
                                       const term &t) const
    {
        return g.y[p * g.s.y.member + (group * (int64_t)g.s.K + row) * g.s.y.channel + t.y];
    }
    __device__ __forceinline__ column column_of(int64_t p, int group, int64_t j) const
    {
        const tap_index t = tap_of(g.s, g.s.C, j);
        return column{g.x + p * g.s.x.member + (group * (int64_t)g.s.C + t.channel) * g.s.x.channel,
                      t.r * g.s.dilation[0], t.s * g.s.dilation[1]};
    }
    __device__ __forceinline__ float b(const column &c, const term &t) const
    {
        const int h = c.h + t.h, v = c.v + t.v;
        if (h < 0 || h >= g.s.in[0] || v < 0 || v >= g.s.in[1]) return 0.0f;
        return c.x[t.x + h * g.s.x.at[0] + v * g.s.x.at[1]];
    }
    __device__ __forceinline__ void store(int64_t p, int group, int64_t part, int64_t row,
                                          int64_t j, float sum) const
    {
        const int64_t to = (group * (int64_t)g.s.K + row) * g.s.w.unit + j;
        if (g.parts > 1)
            g.out[(part * g.s.P + p) * g.s.groups * g.s.K * g.s.w.unit + to] = sum;
        else
            dlf_store_sum(g.out + p * g.s.w.member + to, (double)sum, g.beta);
    }
};

/* ---- the product ------------------------------------------------------------------------------
 */

/* A block takes a 64 x 64 tile of the result at a time, a thread 4 x 4 elements of it. */
template <class Op> static __global__ void __launch_bounds__(THREADS, 2) conv_tiled(Op op)
{
    DLF_SHARED(float, a_tile, [DEPTH][ROW]);
    DLF_SHARED(float, b_tile, [DEPTH][ROW]);
    const product &g = op.g;
    const int64_t tiles_m = (g.m + TILE - 1) / TILE, tiles_n = (g.n + TILE - 1) / TILE;
    const int64_t blocks = g.s.P * g.s.groups * g.parts * tiles_m * tiles_n;
    const int t = (int)threadIdx.x, ti = t / 16 * 4, tj = t % 16 * 4;

    for (int64_t block = blockIdx.x; block < blocks; block += gridDim.x) {
        int64_t rest = dlf_divide(block, tiles_n), next = dlf_divide(rest, tiles_m);
        const int64_t n0 = (block - rest * tiles_n) * TILE, m0 = (rest - next * tiles_m) * TILE;
        rest = dlf_divide(next, g.parts);
        const int64_t part = next - rest * g.parts, p = dlf_divide(rest, g.s.groups);
        const int group = (int)(rest - p * g.s.groups);
        const int64_t first = part * g.part_depth;
        const int64_t end = first + g.part_depth < g.depth ? first + g.part_depth : g.depth;

        const int64_t my_n = n0 + t % TILE;
        typename Op::column column = {};
        if (my_n < g.n) column = op.column_of(p, group, my_n);
        float sum[4][4] = {};
        for (int64_t d0 = first; d0 < end; d0 += DEPTH) {
#pragma unroll
            for (int r = 0; r < TILE * DEPTH / THREADS; r++) {
                const int k = t / TILE + r * (THREADS / TILE);
                const int64_t d = d0 + k, row = m0 + t % TILE;
                const bool inside = d < end;
                const auto at = op.depth(inside ? d : first);
                b_tile[k][t % TILE] = inside && my_n < g.n ? op.b(column, at) : 0.0f;
                if constexpr (!Op::A_ALONG_DEPTH)
                    a_tile[k][t % TILE] = inside && row < g.m ? op.a(p, group, row, d, at) : 0.0f;
            }
            if constexpr (Op::A_ALONG_DEPTH) {
                const int k = t % DEPTH;
                const int64_t d = d0 + k;
                const auto at = op.depth(d < end ? d : first);
#pragma unroll
                for (int r = 0; r < TILE * DEPTH / THREADS; r++) {
                    const int i = t / DEPTH + r * (THREADS / DEPTH);
                    a_tile[k][i] = d < end && m0 + i < g.m ? op.a(p, group, m0 + i, d, at) : 0.0f;
                }
            }
            __syncthreads();
            dlf_tile_multiply(sum, a_tile, b_tile, ti, tj);
            __syncthreads();
        }
#pragma unroll
        for (int j = 0; j < 4; j++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                if (m0 + ti + i < g.m && n0 + tj + j < g.n)
                    op.store(p, group, part, m0 + ti + i, n0 + tj + j, sum[i][j]);
    }
}

/* out[p,i] = sum over parts of partial[part,p,i] + beta out[p,i], in ascending order. */
static __global__ void __launch_bounds__(DLF_BLOCK)
    add_parts(dlf_view<float> out, const float *partial, int64_t P, int64_t n, int64_t parts,
              double beta)
{
    const int64_t all = P * n;
    for (int64_t i = (int64_t)blockIdx.x * DLF_BLOCK + threadIdx.x; i < all;
         i += (int64_t)gridDim.x * DLF_BLOCK) {
        const int64_t p = dlf_divide(i, n);
        double sum = 0.0;
        for (int64_t part = 0; part < parts; part++) sum += (double)partial[part * all + i];
        dlf_store_sum(out.member(p) + (i - p * n), sum, beta);
    }
}

/* y += bias. A channel's elements lie `inner` side by side. */
static __global__ void __launch_bounds__(DLF_BLOCK)
    add_bias(dlf_view<float> y, dlf_view<const float> bias, int64_t P, int64_t n, int64_t K,
             int64_t inner)
{
    for (int64_t i = (int64_t)blockIdx.x * DLF_BLOCK + threadIdx.x; i < P * n;
         i += (int64_t)gridDim.x * DLF_BLOCK) {
        const int64_t p = dlf_divide(i, n), at = i - p * n, channel = dlf_divide(at, inner);
        y.member(p)[at] += bias.member(p)[channel - dlf_divide(channel, K) * K];
    }
}

/* dbias[p,k] of NCHW: a block per channel. */
static __global__ void __launch_bounds__(DLF_BLOCK)
    sum_channels(dlf_view<float> dbias, dlf_view<const float> dy, int64_t P, int64_t N, int64_t K,
                 int64_t positions, double beta)
{
    for (int64_t task = blockIdx.x; task < P * K; task += gridDim.x) {
        const int64_t p = dlf_divide(task, K), k = task - p * K;
        double sum = 0.0;
        for (int64_t n = 0; n < N; n++) {
            const float *from = dy.member(p) + (n * K + k) * positions;
            for (int64_t i = threadIdx.x; i < positions; i += DLF_BLOCK) sum += (double)from[i];
        }
        sum = dlf_block_sum(sum);
        if (threadIdx.x == 0) dlf_store_sum(dbias.member(p) + k, sum, beta);
    }
}

/* ---- launches ---------------------------------------------------------------------------------
 */

static product product_of(const dlf_conv_shape &s, const dlf_tensor *y, const dlf_tensor *x,
                          const dlf_tensor *w, double beta)
{
    product g = {};
    g.s = s;
    g.y = static_cast<const float *>(y->data);
    g.x = static_cast<const float *>(x->data);
    g.w = static_cast<const float *>(w->data);
    g.beta = beta;
    return g;
}

static void set_size(product *g, int64_t m, int64_t n, int64_t depth, int64_t parts)
{
    g->m = m;
    g->n = n;
    g->depth = depth;
    g->part_depth = dlf_ceil_div(dlf_ceil_div(depth, parts), DEPTH) * DEPTH;
    g->parts = dlf_ceil_div(depth, g->part_depth);
}

template <class Op> static cudaError_t launch(const Op &op, const dlf_tensor *t)
{
    const int64_t blocks = op.g.s.P * op.g.s.groups * op.g.parts * dlf_ceil_div(op.g.m, TILE) *
                           dlf_ceil_div(op.g.n, TILE);
    return DLF_LAUNCH(conv_tiled<Op>, (unsigned)(blocks < 0x7fffffff ? blocks : 0x7fffffff),
                      THREADS, 0, dlf_stream_of(t), op);
}

/* ---- cuDNN ------------------------------------------------------------------------------------
 */

/* Small members of a population are one launch of ours, and would be one call each of cuDNN's.
 * Chosen on paper: at 3e7 products a member keeps a large GPU busy for as long as a launch takes.
 */
static bool for_cudnn(const dlf_conv_shape &s)
{
    const double products = (double)s.N * s.groups * s.K * s.out[0] * s.out[1] * (double)s.w.unit;
    return s.P == 1 || products > 3e7;
}

static dlf_conv_problem problem_of(const dlf_conv_shape &s, const dlf_conv &conv,
                                   dlf_conv_result result)
{
    dlf_conv_problem p = {};
    p.result = result;
    p.layout = conv.layout;
    p.N = s.N;
    p.C = (int64_t)s.C * s.groups;
    p.K = (int64_t)s.K * s.groups;
    p.H = s.in[0], p.W = s.in[1], p.OH = s.out[0], p.OW = s.out[1];
    for (int k = 0; k < 2; k++) {
        p.kernel[k] = s.kernel[k];
        p.stride[k] = s.stride[k];
        p.pad[k] = s.pad[k];
        p.dilation[k] = s.dilation[k];
    }
    p.groups = s.groups;
    return p;
}

/* DLF_ERR_NO_KERNEL: ours is to be used. */
static dlf_status by_cudnn(dlf_tensor *out, const dlf_tensor *a, const dlf_tensor *b,
                           const dlf_conv_shape &s, const dlf_conv &conv, dlf_conv_result result,
                           double beta)
{
    if (!for_cudnn(s)) return DLF_ERR_NO_KERNEL;
    const dlf_conv_problem problem = problem_of(s, conv, result);
    return dlf_cuda_conv(out->device, &problem, s.P, static_cast<const float *>(a->data),
                         a->shape[0] == 1 ? 0 : a->stride, static_cast<const float *>(b->data),
                         b->shape[0] == 1 ? 0 : b->stride, static_cast<float *>(out->data),
                         out->stride, beta);
}

extern "C" dlf_status dlf_conv_forward_cuda(dlf_tensor *y, const dlf_tensor *x, const dlf_tensor *w,
                                            const dlf_tensor *bias, dlf_conv conv)
{
    const dlf_conv_shape s = dlf_conv_shape_of(y, x, w, y, &conv);
    dlf_status status = by_cudnn(y, x, w, s, conv, DLF_CONV_Y, 0.0);
    if (status == DLF_OK && bias) {
        const int64_t n = s.N * s.y.sample, K = (int64_t)s.K * s.groups;
        const cudaError_t error = DLF_LAUNCH(
            add_bias, dlf_grid_x(y, s.P * n, DLF_BLOCK), DLF_BLOCK, 0, dlf_stream_of(y),
            dlf_view_of<float>(y), dlf_view_of<const float>(bias), s.P, n, K, s.y.channel);
        status = dlf_launched(error, "conv_forward");
    }
    if (status != DLF_ERR_NO_KERNEL) return status;
    forward op = {product_of(s, y, x, w, 0.0),
                  bias ? static_cast<const float *>(bias->data) : nullptr, bias ? bias->stride : 0};
    op.g.out = static_cast<float *>(y->data);
    set_size(&op.g, s.K, s.N * s.out[0] * s.out[1], s.w.unit, 1);
    return dlf_launched(launch(op, y), "conv_forward");
}

extern "C" dlf_status dlf_conv_data_grad_cuda(dlf_tensor *dx, const dlf_tensor *dy,
                                              const dlf_tensor *w, dlf_conv conv, double beta)
{
    const dlf_conv_shape s = dlf_conv_shape_of(dy, dx, w, dx, &conv);
    const dlf_status status = by_cudnn(dx, w, dy, s, conv, DLF_CONV_DX, beta);
    if (status != DLF_ERR_NO_KERNEL) return status;
    data_gradient op = {product_of(s, dy, dx, w, beta)};
    op.g.out = static_cast<float *>(dx->data);
    set_size(&op.g, s.C, s.N * s.in[0] * s.in[1], (int64_t)s.K * s.kernel[0] * s.kernel[1], 1);
    return dlf_launched(launch(op, dx), "conv_data_grad");
}

/* Parts of 1024 positions or more, until there are about four blocks for each multiprocessor of a
 * large GPU; from the shape alone, so that every GPU adds in the same order. */
static int64_t parts_for(const dlf_conv_shape &s, int64_t depth)
{
    const int64_t tiles = s.P * s.groups * dlf_ceil_div(s.K, TILE) * dlf_ceil_div(s.w.unit, TILE);
    const int64_t wanted = dlf_ceil_div(512, tiles), most = dlf_ceil_div(depth, 1024);
    return wanted < most ? wanted : most;
}

template <bool NCHW>
static dlf_status weight_grad(dlf_tensor *dw, const dlf_tensor *x, const dlf_tensor *dy,
                              const dlf_conv_shape &s, double beta)
{
    weight_gradient<NCHW> op = {product_of(s, dy, x, dw, beta)};
    op.g.out = static_cast<float *>(dw->data);
    const int64_t depth = s.N * s.out[0] * s.out[1], n = s.w.unit * s.K * s.groups;
    set_size(&op.g, s.K, s.w.unit, depth, parts_for(s, depth));
    if (op.g.parts == 1) return dlf_launched(launch(op, dw), "conv_weight_grad");

    void *partial;
    const size_t bytes = (size_t)(op.g.parts * s.P * n) * sizeof(float);
    DLF_TRY(dlf_scratch(dw, &partial, bytes));
    op.g.out = static_cast<float *>(partial);
    cudaError_t error = launch(op, dw);
    if (error == cudaSuccess)
        error = DLF_LAUNCH(add_parts, dlf_grid_x(dw, s.P * n, DLF_BLOCK), DLF_BLOCK, 0,
                           dlf_stream_of(dw), dlf_view_of<float>(dw), partial, s.P, n, op.g.parts,
                           beta);
    dlf_scratch_done(dw, partial, bytes);
    return dlf_launched(error, "conv_weight_grad");
}

extern "C" dlf_status dlf_conv_weight_grad_cuda(dlf_tensor *dw, const dlf_tensor *x,
                                                const dlf_tensor *dy, dlf_conv conv, double beta)
{
    const dlf_conv_shape s = dlf_conv_shape_of(dy, x, dw, dw, &conv);
    const dlf_status status = by_cudnn(dw, x, dy, s, conv, DLF_CONV_DW, beta);
    if (status != DLF_ERR_NO_KERNEL) return status;
    return s.nchw ? weight_grad<true>(dw, x, dy, s, beta) : weight_grad<false>(dw, x, dy, s, beta);
}

/* DLF_NCHW; the other layout is bias_grad. */
extern "C" dlf_status dlf_conv_bias_grad_cuda(dlf_tensor *dbias, const dlf_tensor *dy, double beta)
{
    const int64_t P = dy->shape[0], N = dy->shape[1], K = dy->shape[2];
    const cudaError_t error =
        DLF_LAUNCH(sum_channels, dlf_grid_x(dy, P * K, 1), DLF_BLOCK, 0, dlf_stream_of(dy),
                   dlf_view_of<float>(dbias), dlf_view_of<const float>(dy), P, N, K,
                   dy->shape[3] * dy->shape[4], beta);
    return dlf_launched(error, "conv_bias_grad");
}
