/* SPDX-License-Identifier: MIT
 * conv1x1.cuh -- what the versions of the 1x1 convolution share: where an element lies, the
 * prologue, and what is done with a finished tile of sums. Positions and products are those of
 * conv1x1_shape.h. */
#ifndef DLF_CONV1X1_CUH
#define DLF_CONV1X1_CUH
#include "conv1x1_shape.h"
#include "norm.cuh"

/* Element of channel 0 of position q. */
static __device__ __forceinline__ int64_t c1_place(const c1_positions &at, int64_t q)
{
    const int64_t n = dlf_divide(q, at.per_image), s = q - n * at.per_image;
    if (at.dense) return n * at.image + s * at.column;
    const int64_t i = dlf_divide(s, at.OW);
    return n * at.image + i * at.row + (s - i * at.OW) * at.column;
}

/* An operand whose members may be shared. */
template <class T> static inline dlf_view<T> c1_shared_view(const dlf_tensor *t)
{
    dlf_view<T> v = dlf_view_of<T>(t);
    if (t && t->shape[0] == 1) v.stride = 0;
    return v;
}

/* u = g(scale x + shift) */
struct c1_prologue {
    dlf_view<const float> scale, shift;
    dlf_epilogue g;
    bool any;
};

static inline c1_prologue c1_prologue_of(const dlf_tensor *scale, const dlf_tensor *shift,
                                         dlf_activation g)
{
    return c1_prologue{c1_shared_view<const float>(scale), c1_shared_view<const float>(shift),
                       dlf_epilogue_of(g), scale || shift || g.kind != DLF_LINEAR};
}

/* f(z), of a kind that is the same for the whole launch. */
static __device__ __forceinline__ float c1_activation(float z, dlf_epilogue f)
{
    if (f.kind == DLF_LINEAR) return z;
    if (f.kind == DLF_RELU) return dlf_act_value<DLF_RELU>(z, 0.0f);
    return dlf_epilogue_any_value<DLF_EPILOGUE_ANY>(z, f);
}

static __device__ __forceinline__ float c1_prologue_value(float x, const c1_prologue &u, int64_t p,
                                                          int64_t c)
{
    const float scale = u.scale.data ? u.scale.member(p)[c] : 1.0f;
    const float shift = u.shift.data ? u.shift.member(p)[c] : 0.0f;
    return c1_activation(fmaf(scale, x, shift), u.g);
}

/* ---- a finished tile --------------------------------------------------------------------------
 */

/* What happens to sums over channels before they are stored as T. */
template <class T> struct c1_output {
    dlf_view<T> y;
    dlf_view<const T> residual;
    dlf_view<const float> bias;
    c1_positions at;
    dlf_epilogue f;
    float keep;     /* y = f(..) + keep y; 0: not read           */
    dlf_stat *part; /* (P, tiles, columns), or NULL: not wanted  */
    int64_t M, columns, tiles;
    bool along_channels; /* which neighbours in a tile are neighbours in memory */
};

/* Tile (tile_q) of ROWS positions from q0 and COLUMNS channels from k0, as sums in shared memory,
 * row by row, LD floats apart. All THREADS call it; the tile may be overwritten after the next
 * barrier. */
template <int ROWS, int COLUMNS, int LD, int THREADS, class T>
static __device__ void c1_finish(float *tile, const c1_output<T> &out, int64_t p, int64_t tile_q,
                                 int64_t k0)
{
    const int64_t q0 = tile_q * ROWS;
    const int rows = (int)(out.M - q0 < ROWS ? out.M - q0 : ROWS);
    const int columns = (int)(out.columns - k0 < COLUMNS ? out.columns - k0 : COLUMNS);
    T *y = out.y.member(p);
    const T *residual = out.residual.data ? out.residual.member(p) : nullptr;
    const float *bias = out.bias.data ? out.bias.member(p) + k0 : nullptr;
    for (int t = (int)threadIdx.x; t < ROWS * COLUMNS; t += THREADS) {
        const int i = out.along_channels ? t / COLUMNS : t % ROWS;
        const int j = out.along_channels ? t % COLUMNS : t / ROWS;
        if (i >= rows || j >= columns) continue;
        const int64_t at = c1_place(out.at, q0 + i) + (k0 + j) * out.at.channel;
        float z = tile[i * LD + j];
        if (bias) z += bias[j];
        if (residual) z += dlf_to_float(residual[at]);
        z = c1_activation(z, out.f);
        if (out.keep != 0.0f) z = fmaf(out.keep, dlf_to_float(y[at]), z);
        const T stored = dlf_of_float<T>(z);
        y[at] = stored;
        tile[i * LD + j] = dlf_to_float(stored);
    }
    if (!out.part) return;
    __syncthreads();
    for (int j = (int)threadIdx.x; j < columns; j += THREADS) {
        float sum = 0.0f, s1 = 0.0f, s2 = 0.0f;
        for (int i = 0; i < rows; i++) sum += tile[i * LD + j];
        const float first = sum / (float)rows;
        for (int i = 0; i < rows; i++) {
            const float d = tile[i * LD + j] - first;
            s1 += d;
            s2 = fmaf(d, d, s2);
        }
        const dlf_moments2 m = dlf_corrected(first, s1, s2, (double)rows);
        out.part[(p * out.tiles + tile_q) * out.columns + k0 + j] =
            dlf_stat{(double)rows, m.mean, m.var * (double)rows};
    }
}

/* ---- second stages ----------------------------------------------------------------------------
 */

enum { C1_COLUMNS = 32, C1_LANES = 16 };

/* mean and var of each column from its `tiles` parts, in a fixed order. */
static __global__ void __launch_bounds__(C1_COLUMNS *C1_LANES)
    c1_merge(dlf_view<double> mean, dlf_view<double> var, const dlf_stat *part, int64_t P,
             int64_t tiles, int64_t columns, double count)
{
    DLF_SHARED(double, lanes, [C1_LANES][C1_COLUMNS]);
    const int column = (int)threadIdx.x, lane = (int)threadIdx.y;
    const int64_t groups = (columns + C1_COLUMNS - 1) / C1_COLUMNS;
    for (int64_t task = blockIdx.x; task < P * groups; task += gridDim.x) {
        const int64_t p = task / groups, k = task % groups * C1_COLUMNS + column;
        const dlf_stat *first = part + p * tiles * columns + k;
        double total = 0.0, average = 0.0;
        for (int pass = 0; pass < 2; pass++) { /* the mean, then squares about it */
            double sum = 0.0;
            for (int64_t t = lane; k < columns && t < tiles; t += C1_LANES) {
                const dlf_stat s = first[t * columns];
                const double d = s.mean - average;
                sum += pass ? s.m2 + s.n * d * d : s.n * d;
            }
            __syncthreads(); /* the array may still be read */
            lanes[lane][column] = sum;
            __syncthreads();
            total = 0.0;
            for (int i = 0; i < C1_LANES; i++) total += lanes[i][column];
            if (pass == 0) average = total / count;
        }
        if (lane || k >= columns) continue;
        mean.member(p)[k] = average;
        var.member(p)[k] = total / count;
    }
}

/* out[p,i] = sum over `pieces` of part[p][piece][i] + accumulate out[p,i], i < size. */
static __global__ void __launch_bounds__(DLF_BLOCK)
    c1_add_pieces(dlf_view<float> out, const float *part, int64_t P, int64_t pieces, int64_t size,
                  double accumulate)
{
    for (int64_t t = (int64_t)blockIdx.x * DLF_BLOCK + threadIdx.x; t < P * size;
         t += (int64_t)gridDim.x * DLF_BLOCK) {
        const int64_t p = dlf_divide(t, size), i = t - p * size;
        double sum = 0.0;
        for (int64_t k = 0; k < pieces; k++) sum += (double)part[(p * pieces + k) * size + i];
        dlf_store_sum(out.member(p) + i, sum, accumulate);
    }
}

/* ---- calls ------------------------------------------------------------------------------------
 */

/* A call of one of the two products over channels: forward or data gradient. */
struct c1_call {
    dlf_conv1x1_geometry g;
    const dlf_conv1x1_fwd *fwd; /* one of the two */
    const dlf_conv1x1_bwd *bwd;
    const dlf_conv1x1 *conv;
    const dlf_tensor *in, *w, *out; /* x or dz, w, y or dx */
};

/* ... as its kernels see it. */
template <class T> struct c1_product {
    dlf_view<const T> in, w;
    c1_positions at; /* of `in` */
    c1_prologue u;
    c1_output<T> out;
    int64_t P, M, columns, depth;
    int64_t w_column, w_depth; /* elements of w from column to column, and along the depth */
    bool along_channels;
};

template <class T> static inline c1_product<T> c1_product_of(const c1_call &call)
{
    const dlf_conv1x1_geometry &g = call.g;
    const bool forward = call.fwd != nullptr, nhwc = call.conv->layout == DLF_NHWC;
    c1_product<T> a;
    a.in = c1_shared_view<const T>(call.in);
    a.w = c1_shared_view<const T>(call.w);
    a.at = c1_positions_of(&g, nhwc, forward);
    a.P = g.P, a.M = g.M;
    a.columns = forward ? g.K : g.C;
    a.depth = forward ? g.C : g.K;
    a.w_column = forward ? g.C : 1;
    a.w_depth = forward ? 1 : g.C;
    a.along_channels = nhwc;
    const dlf_activation none = {DLF_LINEAR, 0.0};
    a.u = forward ? c1_prologue_of(call.fwd->scale, call.fwd->shift, call.conv->input_activation)
                  : c1_prologue_of(nullptr, nullptr, none);
    a.out.y = dlf_view_of<T>(call.out);
    a.out.residual = c1_shared_view<const T>(forward ? call.fwd->residual : nullptr);
    a.out.bias = c1_shared_view<const float>(forward ? call.fwd->bias : nullptr);
    a.out.at = c1_positions_of(&g, nhwc, !forward);
    a.out.f = dlf_epilogue_of(forward ? call.conv->activation : none);
    a.out.keep = forward ? 0.0f : (float)call.bwd->accumulate_dx;
    a.out.part = nullptr;
    a.out.M = g.M;
    a.out.columns = a.columns;
    a.out.tiles = 0;
    a.out.along_channels = nhwc;
    return a;
}

/* x's positions that the stride skips get accumulate_dx dx; the others wait for their sums. */
template <class T>
static __global__ void __launch_bounds__(DLF_BLOCK)
    c1_skipped(dlf_view<T> dx, int64_t P, int64_t own, int64_t H, int64_t W, int64_t pixel,
               int64_t sh, int64_t sw, float keep)
{
    for (int64_t t = (int64_t)blockIdx.x * DLF_BLOCK + threadIdx.x; t < P * own;
         t += (int64_t)gridDim.x * DLF_BLOCK) {
        const int64_t p = dlf_divide(t, own), i = t - p * own;
        const int64_t position = dlf_divide(i, pixel), row = dlf_divide(position, W);
        const int64_t h = row - dlf_divide(row, H) * H, w = position - row * W;
        if (h % sh == 0 && w % sw == 0) continue;
        T *to = dx.member(p) + i;
        *to = dlf_of_float<T>(keep == 0.0f ? 0.0f : keep * dlf_to_float(*to));
    }
}

/* What every version does around its kernel: skipped positions before, statistics after it.
 * launch(c1_product) with `rows` positions to a tile. */
template <class T, class F>
static inline dlf_status c1_run_product(const c1_call &call, int rows, F launch)
{
    c1_product<T> a = c1_product_of<T>(call);
    const dlf_conv1x1_geometry &g = call.g;
    const char *op = call.fwd ? "conv1x1_forward" : "conv1x1_backward";
    if (call.bwd && g.stride[0] * g.stride[1] > 1) {
        const int64_t own = dlf_tensor_member_count(call.out);
        DLF_TRY(dlf_launched(DLF_LAUNCH(c1_skipped<T>, dlf_grid_x(call.out, g.P * own, DLF_BLOCK),
                                        DLF_BLOCK, 0, dlf_stream_of(call.out), a.out.y, g.P, own,
                                        g.H, g.W, call.conv->layout == DLF_NHWC ? g.C : 1,
                                        g.stride[0], g.stride[1], a.out.keep),
                             op));
    }
    const dlf_tensor *mean = call.fwd ? call.fwd->mean : nullptr;
    if (!mean) return dlf_launched(launch(a), op);
    a.out.tiles = dlf_ceil_div(g.M, rows);
    const size_t bytes = (size_t)(g.P * a.out.tiles * g.K) * sizeof(dlf_stat);
    void *part = nullptr;
    DLF_TRY(dlf_scratch(call.out, &part, bytes));
    a.out.part = static_cast<dlf_stat *>(part);
    cudaError_t error = launch(a);
    if (error == cudaSuccess)
        error = DLF_LAUNCH(c1_merge, dlf_grid_x(call.out, g.P * dlf_ceil_div(g.K, C1_COLUMNS), 1),
                           dim3(C1_COLUMNS, C1_LANES), 0, dlf_stream_of(call.out),
                           dlf_view_of<double>(mean), dlf_view_of<double>(call.fwd->var),
                           a.out.part, g.P, a.out.tiles, g.K, (double)g.M);
    dlf_scratch_done(call.out, part, bytes);
    return dlf_launched(error, op);
}

/* The weight gradient. */
struct c1_weight_call {
    dlf_conv1x1_geometry g;
    const dlf_conv1x1_bwd *io;
    const dlf_conv1x1 *conv;
};

template <class T> struct c1_weight {
    dlf_view<const T> dz, x;
    c1_positions z_at, x_at;
    c1_prologue u;
    float *part;                       /* (P, pieces, K, C) */
    int64_t P, M, K, C, pieces, piece; /* positions in a piece */
    bool along_channels;
};

/* launch(c1_weight): a kernel of tiles of `rows` x `columns`, depth steps of `step` positions. Cuts
 * the positions so that about two tiles for each multiprocessor exist. */
template <class T, class F>
static inline dlf_status c1_run_weight(const c1_weight_call &call, int rows, int columns, int step,
                                       F launch)
{
    const dlf_conv1x1_geometry &g = call.g;
    const dlf_tensor *dw = call.io->dw;
    const bool nhwc = call.conv->layout == DLF_NHWC;
    const int64_t tiles = g.P * dlf_ceil_div(g.K, rows) * dlf_ceil_div(g.C, columns);
    const int64_t processors = dw->device->info.threads > 0 ? dw->device->info.threads : 1;
    const int64_t wanted = dlf_ceil_div(2 * processors, tiles), most = dlf_ceil_div(g.M, 4 * step);
    const int64_t pieces = wanted < most ? wanted : most;
    c1_weight<T> a;
    a.dz = c1_shared_view<const T>(call.io->dz);
    a.x = c1_shared_view<const T>(call.io->x);
    a.z_at = c1_positions_of(&g, nhwc, false);
    a.x_at = c1_positions_of(&g, nhwc, true);
    a.u = c1_prologue_of(call.io->scale, call.io->shift, call.conv->input_activation);
    a.P = g.P, a.M = g.M, a.K = g.K, a.C = g.C;
    a.piece = dlf_ceil_div(dlf_ceil_div(g.M, pieces), step) * step;
    a.pieces = dlf_ceil_div(g.M, a.piece);
    a.along_channels = nhwc;
    const size_t bytes = (size_t)(g.P * a.pieces * g.K * g.C) * sizeof(float);
    void *part = nullptr;
    DLF_TRY(dlf_scratch(dw, &part, bytes));
    a.part = static_cast<float *>(part);
    cudaError_t error = launch(a);
    if (error == cudaSuccess)
        error = DLF_LAUNCH(c1_add_pieces, dlf_grid_x(dw, g.P * g.K * g.C, DLF_BLOCK), DLF_BLOCK, 0,
                           dlf_stream_of(dw), dlf_view_of<float>(dw), a.part, g.P, a.pieces,
                           g.K * g.C, call.io->accumulate);
    dlf_scratch_done(dw, part, bytes);
    return dlf_launched(error, "conv1x1_backward");
}
#endif
