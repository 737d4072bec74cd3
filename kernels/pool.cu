/* SPDX-License-Identifier: MIT
 * pool.cu -- max and average pooling.
 *
 * Forward: a thread per output (NHWC: per four channels of one). Backward gathers: a thread per dx
 * looks at the windows that hold it, in row-major order, so that nothing is added atomically. For
 * max a window must know its first maximum: where windows do not overlap the thread finds it by
 * itself, otherwise a first pass stores it, in one byte if the window has no more than 256
 * positions. One window over the whole image is a reduction: of a row by a warp or a block (NCHW),
 * or of columns side by side (NHWC). Both layouts are one, see pool_shape.h. */
#include <type_traits>

#include "math.cuh"
#include "pool_shape.h"

/* ---- addressing ------------------------------------------------------------------------------
 */

/* a / b for 0 <= a, 0 < b. 32-bit division is several times faster. */
static __device__ __forceinline__ int64_t quotient(int64_t a, int64_t b)
{
    if (((a | b) >> 32) == 0) return (int64_t)((uint32_t)a / (uint32_t)b);
    return a / b;
}

struct range {
    int first, end;
};

/* Offsets inside window i that are not padding. */
static __device__ __forceinline__ range inside(const dlf_pool_shape &s, int axis, int i)
{
    const int start = i * s.stride[axis] - s.pad[axis], room = s.in[axis] - start;
    return range{start < 0 ? -start : 0, s.kernel[axis] < room ? s.kernel[axis] : room};
}

/* Windows that hold position h. */
static __device__ __forceinline__ range holding(const dlf_pool_shape &s, int axis, int h)
{
    const unsigned at = (unsigned)(h + s.pad[axis]), stride = (unsigned)s.stride[axis];
    const unsigned kernel = (unsigned)s.kernel[axis];
    const int last = (int)(at / stride);
    return range{at < kernel ? 0 : (int)((at - kernel) / stride) + 1,
                 last < s.out[axis] ? last + 1 : s.out[axis]};
}

/* Row i of image o, and on by the rows of a whole grid; rows lie along the block's y and the grid's
 * x. Divided once per thread, not once per row. */
struct row {
    int64_t o, step_o;
    int i, step_i, n;
    __device__ __forceinline__ void next()
    {
        o += step_o;
        i += step_i;
        if (i >= n) {
            i -= n;
            o++;
        }
    }
};

static __device__ __forceinline__ row first_row(int n)
{
    const int64_t r = (int64_t)blockIdx.x * blockDim.y + threadIdx.y;
    const int64_t step = (int64_t)gridDim.x * blockDim.y;
    row at;
    at.n = n;
    at.o = quotient(r, n);
    at.i = (int)(r - at.o * n);
    at.step_o = quotient(step, n);
    at.step_i = (int)(step - at.step_o * n);
    return at;
}

template <int V> static __device__ __forceinline__ void load(float (&v)[V], const float *p)
{
    if constexpr (V == 1) {
        v[0] = *p;
    } else {
        DLF_ALIGNED(p, 16);
        const float4 q = *reinterpret_cast<const float4 *>(p);
        v[0] = q.x, v[1] = q.y, v[2] = q.z, v[3] = q.w;
    }
}

template <int V> static __device__ __forceinline__ void store(float *p, const float (&v)[V])
{
    if constexpr (V == 1)
        *p = v[0];
    else
        *reinterpret_cast<float4 *>(p) = make_float4(v[0], v[1], v[2], v[3]);
}

static __device__ __forceinline__ float divisor(const dlf_pool_shape &s, range a, range b)
{
    return s.count_pad ? (float)s.kernel[0] * (float)s.kernel[1]
                       : (float)(a.end - a.first) * (float)(b.end - b.first);
}

/* V neighbouring offsets of maxima inside their windows. */
template <class I, int V> struct alignas(sizeof(I) * V) offsets {
    I at[V];
};
struct no_index {
}; /* they are not wanted */

/* Elements of a row along the block's x and the grid's y. */
#define EACH_COLUMN(t, width)                                                                      \
    for (int64_t t = (int64_t)blockIdx.y * blockDim.x + threadIdx.x; t < (width);                  \
         t += (int64_t)gridDim.y * blockDim.x)

struct shape_of_launch {
    dim3 grid, block;
};

static shape_of_launch launch_shape(const dlf_tensor *t, int64_t P, int64_t rows, int64_t width)
{
    unsigned along = 1;
    while (along < width && along < DLF_BLOCK) along *= 2;
    const dim3 block(along, DLF_BLOCK / along);
    return {dim3(dlf_grid_x(t, rows, 2 * block.y), dlf_grid_yz(dlf_ceil_div(width, along)),
                 dlf_grid_yz(P)),
            block};
}

/* ---- windows: y, and where the maxima are ---------------------------------------------------- */

/* The first maximum so far; the first NaN stays. */
static __device__ __forceinline__ void consider(float v, int u, float &best, int &at)
{
    const bool better = v > best || (v != v && best == best);
    best = better ? v : best;
    at = better ? u : at;
}

/* K x K windows are unrolled where they lie inside; K = 0: any size. y may be empty. */
template <int K, bool MAX, int V, class I>
static __global__ void __launch_bounds__(DLF_BLOCK, 3) /* without the 3 some spill */
    windows(dlf_pool_shape s, dlf_view<float> y, dlf_view<const float> x, I *index)
{
    constexpr bool INDEXED = !std::is_same<I, no_index>::value;
    const int64_t vectors = s.inner / V, width = s.out[1] * vectors;
    const int64_t x_row = s.in[1] * s.inner, y_row = s.out[1] * s.inner;
    const row start = first_row(s.out[0]);
    for (int64_t p = blockIdx.z; p < s.P; p += gridDim.z) EACH_COLUMN(t, width)
        {
            const int j = (int)(vectors == 1 ? t : quotient(t, vectors));
            const int64_t c = (t - j * vectors) * V;
            const range b_in = inside(s, DLF_HORIZONTAL, j);
            const float *column = x.member(p) + (j * s.stride[1] - s.pad[1]) * s.inner + c;
            for (row r = start; r.o < s.outer; r.next()) {
                const range a_in = inside(s, DLF_VERTICAL, r.i);
                const float *corner =
                    column + (r.o * s.in[0] + r.i * s.stride[0] - s.pad[0]) * x_row;
                float result[V];
                int at[V];
#pragma unroll
                for (int k = 0; k < V; k++) {
                    result[k] = MAX ? -INFINITY : 0.0f;
                    at[k] = INDEXED ? a_in.first * s.kernel[1] + b_in.first : 0;
                }
                auto take = [&](int a, int b) {
                    float v[V];
                    load(v, corner + a * x_row + b * s.inner);
#pragma unroll
                    for (int k = 0; k < V; k++)
                        if constexpr (MAX)
                            consider(v[k], INDEXED ? a * s.kernel[1] + b : 0, result[k], at[k]);
                        else
                            result[k] += v[k];
                };
                if (K > 0 && a_in.end - a_in.first == K && b_in.end - b_in.first == K) {
#pragma unroll
                    for (int a = 0; a < K; a++)
#pragma unroll
                        for (int b = 0; b < K; b++) take(a, b);
                } else {
                    for (int a = a_in.first; a < a_in.end; a++)
                        for (int b = b_in.first; b < b_in.end; b++) take(a, b);
                }
                if constexpr (!MAX) {
                    const float d = divisor(s, a_in, b_in);
#pragma unroll
                    for (int k = 0; k < V; k++) result[k] /= d;
                }
                const int64_t to = (r.o * s.out[0] + r.i) * y_row + j * s.inner + c;
                if (y.data) store(y.member(p) + to, result);
                if constexpr (INDEXED) {
                    offsets<I, V> found;
#pragma unroll
                    for (int k = 0; k < V; k++) found.at[k] = (I)at[k];
                    *reinterpret_cast<offsets<I, V> *>(index + p * s.outer * s.out[0] * y_row +
                                                       to) = found;
                }
            }
        }
}

/* ---- one window over everything ---------------------------------------------------------------
 */

struct first_max {
    float v;
    int at;
};

/* The larger, NaN above all; of equals the first. */
static __device__ __forceinline__ first_max better(first_max a, first_max b)
{
    const bool a_nan = a.v != a.v, b_nan = b.v != b.v;
    const bool equal = a_nan ? b_nan : a.v == b.v;
    const bool take_b = equal ? b.at < a.at : b_nan || (!a_nan && b.v > a.v);
    return take_b ? b : a;
}

/* Sum or first maximum of x[k step], k = lane, lane + lanes .., < n. */
template <bool MAX>
static __device__ __forceinline__ first_max part_of(const float *x, int n, int64_t step, int lane,
                                                    int lanes)
{
    first_max r = {MAX ? -INFINITY : 0.0f, lane}; /* a lane without elements loses every tie */
#pragma unroll 4
    for (int64_t k = lane; k < n; k += lanes) { /* k + lanes may pass 2^31 */
        const float v = x[k * step];
        if constexpr (MAX)
            consider(v, (int)k, r.v, r.at);
        else
            r.v += v;
    }
    return r;
}

template <bool MAX> static __device__ __forceinline__ first_max merge(first_max a, first_max b)
{
    if constexpr (MAX) return better(a, b);
    return first_max{a.v + b.v, 0};
}

/* inner = 1: rows of s.in[1] elements, each reduced by LANES threads (a warp or the block). */
template <bool MAX, int LANES>
static __global__ void __launch_bounds__(DLF_BLOCK)
    whole_rows(dlf_pool_shape s, dlf_view<float> y, dlf_view<const float> x, int32_t *index)
{
    constexpr int WARPS = DLF_BLOCK / DLF_WARP, ROWS = DLF_BLOCK / LANES;
    DLF_SHARED(first_max, parts, [WARPS]);
    const int n = s.in[1];
    const int64_t rows = s.P * s.outer, steps = (rows + ROWS - 1) / ROWS;
    const int lane = (int)threadIdx.x % LANES;
    for (int64_t step = blockIdx.x; step < steps; step += gridDim.x) {
        const int64_t row = step * ROWS + threadIdx.x / LANES;
        const int64_t p = quotient(row < rows ? row : 0, s.outer);
        const int64_t o = (row < rows ? row : 0) - p * s.outer;
        first_max r = part_of<MAX>(x.member(p) + o * n, n, 1, lane, LANES);
        for (int d = DLF_WARP / 2; d > 0; d /= 2) {
            first_max other;
            other.v = __shfl_xor_sync(0xffffffffu, r.v, d);
            other.at = __shfl_xor_sync(0xffffffffu, r.at, d);
            r = merge<MAX>(r, other);
        }
        if constexpr (LANES > DLF_WARP) {
            __syncthreads(); /* the array may still be read for the row before */
            if (threadIdx.x % DLF_WARP == 0) parts[threadIdx.x / DLF_WARP] = r;
            __syncthreads();
            r = parts[0];
            for (int k = 1; k < WARPS; k++) r = merge<MAX>(r, parts[k]);
        }
        if (lane != 0 || row >= rows) continue;
        if (y.data) y.member(p)[o] = MAX ? r.v : r.v / (float)n;
        if (MAX && index) index[row] = r.at;
    }
}

enum { COLUMNS = 32, COLUMN_LANES = 16 };

/* inner > 1: columns of s.in[1] elements, 32 side by side. */
template <bool MAX>
static __global__ void __launch_bounds__(COLUMNS *COLUMN_LANES)
    whole_columns(dlf_pool_shape s, dlf_view<float> y, dlf_view<const float> x, int32_t *index)
{
    DLF_SHARED(first_max, parts, [COLUMN_LANES][COLUMNS]);
    const int n = s.in[1];
    const int64_t tiles = (s.inner + COLUMNS - 1) / COLUMNS;
    const int64_t tasks = s.P * s.outer * tiles;
    const int column = (int)threadIdx.x, lane = (int)threadIdx.y;
    for (int64_t task = blockIdx.x; task < tasks; task += gridDim.x) {
        const int64_t image = quotient(task, tiles), p = quotient(image, s.outer);
        const int64_t o = image - p * s.outer, c = (task - image * tiles) * COLUMNS + column;
        first_max r = {0.0f, 0};
        if (c < s.inner)
            r = part_of<MAX>(x.member(p) + o * n * s.inner + c, n, s.inner, lane, COLUMN_LANES);
        __syncthreads(); /* the array may still be read for the tile before */
        parts[lane][column] = r;
        __syncthreads();
        if (lane != 0 || c >= s.inner) continue;
        for (int k = 1; k < COLUMN_LANES; k++) r = merge<MAX>(r, parts[k][column]);
        if (y.data) y.member(p)[o * s.inner + c] = MAX ? r.v : r.v / (float)n;
        if (MAX && index) index[image * s.inner + c] = r.at;
    }
}

template <bool MAX>
static cudaError_t launch_whole(const dlf_tensor *t, const dlf_pool_shape &s, dlf_view<float> y,
                                dlf_view<const float> x, int32_t *index)
{
    const cudaStream_t stream = dlf_stream_of(t);
    const int64_t rows = s.P * s.outer;
    if (s.inner > 1) {
        const int64_t tasks = rows * dlf_ceil_div(s.inner, COLUMNS);
        return DLF_LAUNCH(whole_columns<MAX>, dlf_grid_x(t, tasks, 1), dim3(COLUMNS, COLUMN_LANES),
                          0, stream, s, y, x, index);
    }
    if (s.in[1] <= 1024)
        return DLF_LAUNCH((whole_rows<MAX, DLF_WARP>), dlf_grid_x(t, rows, DLF_BLOCK / DLF_WARP),
                          DLF_BLOCK, 0, stream, s, y, x, index);
    return DLF_LAUNCH((whole_rows<MAX, DLF_BLOCK>), dlf_grid_x(t, rows, 1), DLF_BLOCK, 0, stream, s,
                      y, x, index);
}

/* ---- forward ----------------------------------------------------------------------------------
 */

template <bool MAX, int V, class I>
static cudaError_t launch_windows(const dlf_tensor *t, const dlf_pool_shape &s, dlf_view<float> y,
                                  dlf_view<const float> x, I *index)
{
    const auto at = launch_shape(t, s.P, s.outer * s.out[0], s.out[1] * (s.inner / V));
    const cudaStream_t stream = dlf_stream_of(t);
    const int64_t k = s.kernel[0] == s.kernel[1] ? s.kernel[0] : 0;
    if (k == 2)
        return DLF_LAUNCH((windows<2, MAX, V, I>), at.grid, at.block, 0, stream, s, y, x, index);
    if (k == 3)
        return DLF_LAUNCH((windows<3, MAX, V, I>), at.grid, at.block, 0, stream, s, y, x, index);
    return DLF_LAUNCH((windows<0, MAX, V, I>), at.grid, at.block, 0, stream, s, y, x, index);
}

/* Can four channels be moved at a time in every operand? */
static bool four(const dlf_pool_shape &s, const dlf_tensor *a, const dlf_tensor *b)
{
    return s.inner % 4 == 0 && dlf_aligned16(a, s.P) && (!b || dlf_aligned16(b, s.P));
}

extern "C" dlf_status dlf_pool_forward_cuda(dlf_tensor *y, const dlf_tensor *x, dlf_pool pool)
{
    const dlf_pool_shape s = dlf_pool_shape_of(x, y, &pool);
    const auto out = dlf_view_of<float>(y);
    const auto in = dlf_view_of<const float>(x);
    const bool max = pool.kind == DLF_POOL_MAX;
    no_index *none = nullptr;
    cudaError_t error;
    if (s.whole)
        error = max ? launch_whole<true>(x, s, out, in, nullptr)
                    : launch_whole<false>(x, s, out, in, nullptr);
    else if (four(s, x, y))
        error = max ? launch_windows<true, 4>(x, s, out, in, none)
                    : launch_windows<false, 4>(x, s, out, in, none);
    else
        error = max ? launch_windows<true, 1>(x, s, out, in, none)
                    : launch_windows<false, 1>(x, s, out, in, none);
    return dlf_launched(error, "pool_forward");
}

/* ---- backward ---------------------------------------------------------------------------------
 */

/* Which of V neighbours at (h,w) are the first maximum of window (i,j)? `plane`: their image. */
template <int V>
static __device__ __forceinline__ void is_first_max(bool (&is)[V], const dlf_pool_shape &s,
                                                    const float *plane, int i, int j, int h, int w)
{
    const range a_in = inside(s, DLF_VERTICAL, i), b_in = inside(s, DLF_HORIZONTAL, j);
    const int h0 = i * s.stride[0] - s.pad[0], w0 = j * s.stride[1] - s.pad[1];
    float self[V];
    load(self, plane + ((int64_t)h * s.in[1] + w) * s.inner);
#pragma unroll
    for (int k = 0; k < V; k++) is[k] = true;
    for (int a = h0 + a_in.first; a < h0 + a_in.end; a++)
        for (int b = w0 + b_in.first; b < w0 + b_in.end; b++) {
            const bool before = a < h || (a == h && b < w);
            float v[V];
            load(v, plane + ((int64_t)a * s.in[1] + b) * s.inner);
#pragma unroll
            for (int k = 0; k < V; k++)
                if (self[k] != self[k])
                    is[k] = is[k] && !(before && v[k] != v[k]);
                else
                    is[k] = is[k] && (before ? v[k] < self[k] : v[k] <= self[k]);
        }
}

enum source { FROM_X, FROM_INDEX, AVERAGE };

template <source SOURCE, int V, class I>
static __global__ void __launch_bounds__(DLF_BLOCK, 3)
    gather(dlf_pool_shape s, dlf_view<float> dx, dlf_view<const float> dy, dlf_view<const float> x,
           const I *index)
{
    const int64_t vectors = s.inner / V, width = s.in[1] * vectors;
    const int64_t x_row = s.in[1] * s.inner, y_row = s.out[1] * s.inner;
    const row start = first_row(s.in[0]);
    for (int64_t p = blockIdx.z; p < s.P; p += gridDim.z) EACH_COLUMN(t, width)
        {
            const int w = (int)(vectors == 1 ? t : quotient(t, vectors));
            const int64_t c = (t - w * vectors) * V;
            const range js = holding(s, DLF_HORIZONTAL, w);
            for (row r = start; r.o < s.outer; r.next()) {
                const int h = r.i;
                const range is = holding(s, DLF_VERTICAL, h);
                float sum[V] = {};
                for (int i = is.first; i < is.end; i++)
                    for (int j = js.first; j < js.end; j++) {
                        const int64_t at = (r.o * s.out[0] + i) * y_row + j * s.inner + c;
                        float g[V];
                        load(g, dy.member(p) + at);
                        bool mine[V];
                        if constexpr (SOURCE == AVERAGE) {
                            const float d = divisor(s, inside(s, DLF_VERTICAL, i),
                                                    inside(s, DLF_HORIZONTAL, j));
#pragma unroll
                            for (int k = 0; k < V; k++) g[k] /= d, mine[k] = true;
                        } else if constexpr (SOURCE == FROM_INDEX) {
                            const int u = (h - i * s.stride[0] + s.pad[0]) * s.kernel[1] +
                                          (w - j * s.stride[1] + s.pad[1]);
                            const auto found = *reinterpret_cast<const offsets<I, V> *>(
                                index + p * s.outer * s.out[0] * y_row + at);
#pragma unroll
                            for (int k = 0; k < V; k++) mine[k] = (int)found.at[k] == u;
                        } else {
                            is_first_max(mine, s, x.member(p) + r.o * s.in[0] * x_row + c, i, j, h,
                                         w);
                        }
#pragma unroll
                        for (int k = 0; k < V; k++)
                            if (mine[k]) sum[k] += g[k];
                    }
                store(dx.member(p) + (r.o * s.in[0] + h) * x_row + w * s.inner + c, sum);
            }
        }
}

struct gradient {
    dlf_tensor *dx;
    const dlf_tensor *dy, *x;
    dlf_pool_shape s;
    bool four;
};

template <source SOURCE, class I>
static cudaError_t launch_gather(const gradient &g, const I *index)
{
    const dlf_pool_shape &s = g.s;
    const int V = g.four ? 4 : 1;
    const auto at = launch_shape(g.dx, s.P, s.outer * s.in[0], s.in[1] * (s.inner / V));
    const cudaStream_t stream = dlf_stream_of(g.dx);
    const auto dx = dlf_view_of<float>(g.dx);
    const auto dy = dlf_view_of<const float>(g.dy), x = dlf_view_of<const float>(g.x);
    if (g.four)
        return DLF_LAUNCH((gather<SOURCE, 4, I>), at.grid, at.block, 0, stream, s, dx, dy, x,
                          index);
    return DLF_LAUNCH((gather<SOURCE, 1, I>), at.grid, at.block, 0, stream, s, dx, dy, x, index);
}

/* First the offset of every window's maximum, then dx. */
template <class I> static dlf_status through_index(const gradient &g)
{
    const dlf_pool_shape &s = g.s;
    const size_t bytes = (size_t)(s.P * dlf_tensor_member_count(g.dy)) * sizeof(I);
    const dlf_view<float> no_y = {nullptr, 0};
    const auto x = dlf_view_of<const float>(g.x);
    void *scratch = nullptr;
    DLF_TRY(dlf_scratch(g.dx, &scratch, bytes));
    I *index = static_cast<I *>(scratch);
    cudaError_t error;
    if constexpr (std::is_same<I, int32_t>::value) {
        error = s.whole  ? launch_whole<true>(g.dx, s, no_y, x, index)
                : g.four ? launch_windows<true, 4, I>(g.dx, s, no_y, x, index)
                         : launch_windows<true, 1, I>(g.dx, s, no_y, x, index);
    } else {
        error = g.four ? launch_windows<true, 4, I>(g.dx, s, no_y, x, index)
                       : launch_windows<true, 1, I>(g.dx, s, no_y, x, index);
    }
    if (error == cudaSuccess) error = launch_gather<FROM_INDEX, I>(g, index);
    dlf_scratch_done(g.dx, scratch, bytes);
    return dlf_launched(error, "pool_backward");
}

extern "C" dlf_status dlf_pool_backward_cuda(dlf_tensor *dx, const dlf_tensor *dy,
                                             const dlf_tensor *x, dlf_pool pool)
{
    const bool max = pool.kind == DLF_POOL_MAX;
    const no_index *none = nullptr;
    gradient g = {dx, dy, max ? x : nullptr, dlf_pool_shape_of(dx, dy, &pool), false};
    const dlf_pool_shape &s = g.s;
    g.four = four(s, dx, dy) && (!max || dlf_aligned16(x, s.P));
    if (!max) return dlf_launched(launch_gather<AVERAGE>(g, none), "pool_backward");
    const int64_t area = (int64_t)s.kernel[0] * s.kernel[1];
    const bool apart = s.kernel[0] <= s.stride[0] && s.kernel[1] <= s.stride[1];
    if ((apart && area <= 16) || area > INT32_MAX)
        return dlf_launched(launch_gather<FROM_X>(g, none), "pool_backward");
    return area <= 256 && !s.whole ? through_index<uint8_t>(g) : through_index<int32_t>(g);
}
