/* SPDX-License-Identifier: MIT
 * conv1x1.cu -- the versions of the 1x1 convolution, and which one a call gets.
 *
 *   1 readable   64 x 64 tiles, float multiply-adds, any shape and architecture
 *   2 tensor     128 x 64 tiles on tensor cores, both factors streamed: for what arithmetic bounds
 *   3 resident   weights stay in shared memory, one pipeline through all tiles: for what memory
 *                bounds; tensor cores, or float for f32 without tf32
 *
 * Which one is dlf_conv1x1_plan's to say (host/ops/conv1x1_plan.c). */
#include <stdlib.h>

#include "conv1x1_resident.cuh"
#include "conv1x1_tensor.cuh"
#include "conv1x1_tiled.cuh"

template <class Call> static bool anything_fits(const Call &)
{
    return true;
}

/* The GPU as the plan wants to see it: its data sheet, or where that is unknown the balance of an
 * H100 scaled to its size. */
static dlf_conv1x1_gpu gpu_of(const dlf_device *dev)
{
    dlf_conv1x1_gpu gpu;
    int major = 0, minor = 0;
    (void)cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, dev->info.ordinal);
    (void)cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, dev->info.ordinal);
    if (dlf_conv1x1_gpu_find(&gpu, dev->info.name) != DLF_OK &&
        dlf_conv1x1_gpu_find(&gpu, "H100") != DLF_OK)
        abort(); /* it is in the table */
    const double part = (double)dev->info.threads / gpu.processors;
    if (dev->info.threads > 0 && dev->info.threads != gpu.processors) {
        gpu.bytes_per_s *= part;
        for (double &rate : gpu.flops_per_s) rate *= part;
        gpu.processors = dev->info.threads;
    }
    gpu.capability = 10 * major + minor;
    gpu.shared_bytes = dev->info.shared_bytes;
    return gpu;
}

static bool on_tensor_cores(const dlf_tensor *t, const dlf_conv1x1 *conv)
{
    return gpu_of(t->device).capability >= 80 && (t->dtype != DLF_F32 || conv->tf32);
}

static int planned(dlf_conv1x1_op op, const dlf_conv1x1_geometry &g, const dlf_tensor *t,
                   const dlf_conv1x1 *conv)
{
    dlf_conv1x1_choice choice;
    const dlf_conv1x1_gpu gpu = gpu_of(t->device);
    dlf_conv1x1_plan(&choice, op, &g, t->dtype, conv, &gpu);
    return choice.version;
}

/* ---- forward and data gradient ----------------------------------------------------------------
 */

static bool tensor_fits(const c1_call &call)
{
    return on_tensor_cores(call.out, call.conv);
}

static bool resident_fits(const c1_call &call)
{
    const bool full_float = call.out->dtype == DLF_F32 && !call.conv->tf32;
    const int64_t depth = call.fwd ? call.g.C : call.g.K;
    const int64_t bytes = c1_resident_bytes(depth, (int64_t)dlf_dtype_size(call.out->dtype));
    return bytes <= call.out->device->info.shared_bytes &&
           (full_float || on_tensor_cores(call.out, call.conv));
}

static const dlf_version<c1_call> product_versions[] = {
    {"readable", "nothing", "float multiply-adds on 64 x 64 tiles", anything_fits<c1_call>,
     c1_tiled::run_product},
    {"tensor", "sm_80, and f16, bf16 or tf32", "tensor cores, for what arithmetic bounds",
     tensor_fits, c1_tensor::run_product},
    {"resident", "64 columns of w in shared memory; sm_80 but for f32",
     "weights stay on chip, for what memory bounds", resident_fits, c1_resident::run_product},
};

static int choose_product(const c1_call &call)
{
    return planned(call.fwd ? DLF_CONV1X1_FORWARD : DLF_CONV1X1_BACKWARD_DATA, call.g, call.out,
                   call.conv);
}

static dlf_conv1x1_geometry geometry_of(const dlf_tensor *x, const dlf_tensor *y,
                                        const dlf_conv1x1 *conv)
{
    dlf_conv1x1_geometry g = {};
    if (dlf_conv1x1_geometry_of(&g, x, nullptr, *conv) != DLF_OK) abort(); /* has been checked */
    g.K = y->shape[conv->layout == DLF_NCHW ? 2 : y->ndim - 1];
    return g;
}

/* No version wants w in another order: packed weights are w itself. */
extern "C" dlf_status dlf_conv1x1_packed_form_cuda(dlf_dtype *dtype, int64_t *rows,
                                                   const dlf_tensor *w, dlf_layout)
{
    *dtype = w->dtype;
    *rows = w->shape[1];
    return DLF_OK;
}

extern "C" dlf_status dlf_conv1x1_pack_cuda(dlf_tensor *packed, const dlf_tensor *w, dlf_layout)
{
    return dlf_tensor_copy(packed, w);
}

extern "C" dlf_status dlf_conv1x1_forward_cuda(const dlf_conv1x1_fwd *io, const dlf_conv1x1 *conv)
{
    c1_call call = {geometry_of(io->x, io->y, conv), io, nullptr, conv, io->x, io->w, io->y};
    call.g.P = io->y->shape[0];
    return dlf_run_version(product_versions, call, conv->version, choose_product,
                           "conv1x1_forward");
}

extern "C" dlf_status dlf_conv1x1_backward_data_cuda(const dlf_conv1x1_bwd *io,
                                                     const dlf_conv1x1 *conv)
{
    const c1_call call = {
        geometry_of(io->dx, io->dz, conv), nullptr, io, conv, io->dz, io->w, io->dx};
    return dlf_run_version(product_versions, call, conv->version, choose_product,
                           "conv1x1_backward");
}

/* ---- weight gradient --------------------------------------------------------------------------
 */

static bool weight_tensor_fits(const c1_weight_call &call)
{
    return on_tensor_cores(call.io->dz, call.conv);
}

static const dlf_version<c1_weight_call> weight_versions[] = {
    {"readable", "nothing", "float multiply-adds on 64 x 64 tiles", anything_fits<c1_weight_call>,
     c1_tiled::run_weight},
    {"tensor", "sm_80, and f16, bf16 or tf32", "tensor cores, positions cut into pieces",
     weight_tensor_fits, c1_tensor::run_weight},
};

static int choose_weight(const c1_weight_call &call)
{
    return planned(DLF_CONV1X1_BACKWARD_WEIGHT, call.g, call.io->dz, call.conv);
}

/* part[p][piece][k] = sum of dz over a piece of `piece` positions: a block per piece and 32
 * channels. */
template <class T>
static __global__ void __launch_bounds__(C1_COLUMNS *C1_LANES)
    bias_pieces(float *part, dlf_view<const T> dz, c1_positions at, int64_t P, int64_t M, int64_t K,
                int64_t pieces, int64_t piece, bool along_channels)
{
    enum { THREADS = C1_COLUMNS * C1_LANES };
    DLF_SHARED(float, lanes, [THREADS]);
    const int t = (int)threadIdx.x;
    /* NHWC: threads t, t + 32, .. share a channel; NCHW: one channel at a time */
    const int columns = along_channels ? C1_COLUMNS : 1, column = t % columns, lane = t / columns;
    const int64_t groups = (K + columns - 1) / columns;
    for (int64_t task = blockIdx.x; task < P * pieces * groups; task += gridDim.x) {
        const int64_t p = task / (pieces * groups), in = task % (pieces * groups);
        const int64_t i = in / groups, k = in % groups * columns + column;
        const int64_t end = (i + 1) * piece < M ? (i + 1) * piece : M;
        const T *z = dz.member(p);
        float sum = 0.0f;
        for (int64_t q = i * piece + lane; k < K && q < end; q += THREADS / columns)
            sum += dlf_to_float(z[c1_place(at, q) + k * at.channel]);
        __syncthreads(); /* the array may still be read */
        lanes[t] = sum;
        for (int n = THREADS / 2; n >= columns; n /= 2) {
            __syncthreads();
            if (t < n) lanes[t] += lanes[t + n];
        }
        if (t < columns && k < K) part[(p * pieces + i) * K + k] = lanes[t];
    }
}

static dlf_status run_bias(const c1_weight_call &call)
{
    enum { PIECE = 4096 };
    const dlf_conv1x1_geometry &g = call.g;
    const dlf_tensor *out = call.io->dbias;
    const bool nhwc = call.conv->layout == DLF_NHWC;
    const int64_t P = out->shape[0], pieces = dlf_ceil_div(g.M, PIECE);
    const size_t bytes = (size_t)(P * pieces * g.K) * sizeof(float);
    void *part = nullptr;
    DLF_TRY(dlf_scratch(out, &part, bytes));
    const dlf_status status = dlf_with_storage(call.io->dz, [&](auto t) {
        typedef decltype(t) T;
        const int64_t tasks = P * pieces * (nhwc ? dlf_ceil_div(g.K, C1_COLUMNS) : g.K);
        return dlf_launched(
            DLF_LAUNCH(bias_pieces<T>, dlf_grid_x(out, tasks, 1), C1_COLUMNS * C1_LANES, 0,
                       dlf_stream_of(out), static_cast<float *>(part),
                       c1_shared_view<const T>(call.io->dz), c1_positions_of(&g, nhwc, false), P,
                       g.M, g.K, pieces, PIECE, nhwc),
            "conv1x1_backward");
    });
    cudaError_t error = cudaSuccess;
    if (status == DLF_OK)
        error = DLF_LAUNCH(c1_add_pieces, dlf_grid_x(out, P * g.K, DLF_BLOCK), DLF_BLOCK, 0,
                           dlf_stream_of(out), dlf_view_of<float>(out),
                           static_cast<const float *>(part), P, pieces, g.K, call.io->accumulate);
    dlf_scratch_done(out, part, bytes);
    return status == DLF_OK ? dlf_launched(error, "conv1x1_backward") : status;
}

extern "C" dlf_status dlf_conv1x1_backward_weight_cuda(const dlf_conv1x1_bwd *io,
                                                       const dlf_conv1x1 *conv)
{
    dlf_conv1x1 dense = *conv;
    if (!io->x) dense.stride[0] = dense.stride[1] = 1; /* dbias alone: positions are dz's */
    c1_weight_call call = {geometry_of(io->x ? io->x : io->dz, io->dz, &dense), io, conv};
    call.g.P = (io->dw ? io->dw : io->dbias)->shape[0];
    if (io->dbias) DLF_TRY(run_bias(call));
    if (!io->dw) return DLF_OK;
    /* Version 3 is about weights that are read; here they are written. */
    const int version = conv->version == 3 ? 0 : conv->version;
    return dlf_run_version(weight_versions, call, version, choose_weight, "conv1x1_backward");
}

/* ---- batch norm as scale and shift ------------------------------------------------------------
 */

static __global__ void __launch_bounds__(DLF_BLOCK)
    fold(dlf_view<float> scale, dlf_view<float> shift, dlf_view<const double> mean,
         dlf_view<const double> var, dlf_view<const float> gamma, dlf_view<const float> beta,
         int64_t P, int64_t C, double eps)
{
    for (int64_t t = (int64_t)blockIdx.x * DLF_BLOCK + threadIdx.x; t < P * C;
         t += (int64_t)gridDim.x * DLF_BLOCK) {
        const int64_t p = t / C, c = t % C;
        const double g = gamma.data ? (double)gamma.member(p)[c] : 1.0;
        const double b = beta.data ? (double)beta.member(p)[c] : 0.0;
        const double s = g / sqrt(var.member(p)[c] + eps);
        scale.member(p)[c] = (float)s;
        shift.member(p)[c] = (float)(b - mean.member(p)[c] * s);
    }
}

extern "C" dlf_status dlf_conv1x1_fold_cuda(dlf_tensor *scale, dlf_tensor *shift,
                                            const dlf_tensor *mean, const dlf_tensor *var,
                                            const dlf_tensor *gamma, const dlf_tensor *beta,
                                            double eps)
{
    const int64_t P = scale->shape[0], C = scale->shape[1];
    return dlf_launched(DLF_LAUNCH(fold, dlf_grid_x(scale, P * C, DLF_BLOCK), DLF_BLOCK, 0,
                                   dlf_stream_of(scale), dlf_view_of<float>(scale),
                                   dlf_view_of<float>(shift), dlf_view_of<const double>(mean),
                                   dlf_view_of<const double>(var),
                                   c1_shared_view<const float>(gamma),
                                   c1_shared_view<const float>(beta), P, C, eps),
                        "conv1x1_fold");
}
