/* SPDX-License-Identifier: MIT
 * group_norm.cu -- group and instance norm: the readable version, and which version takes a call.
 *
 *   1  readable   one block per group, reads x three times (backward twice)
 *   2  resident   NCHW: tiles of whole groups wait in shared memory: one read, one write
 *   3  resident   NHWC: the same, 128 bytes of channels wide and transposed on the way
 *   4  split      few large groups: blocks take positions of a group, then all read x again */
#include "group_norm_backward.cuh"

/* ---- version 1 --------------------------------------------------------------------------------
 */

/* Address of position k of channel u of group q, counted over samples. */
static __device__ __forceinline__ int64_t gn_address(const gn_cut &cut, int64_t q, int64_t u,
                                                     int64_t k)
{
    const int64_t row = q * cut.width + u;
    return cut.nhwc ? (row / cut.C * cut.S + k) * cut.C + row % cut.C : row * cut.S + k;
}

/* Address of element e of group q, in the order of memory; its channel within the group to *u. */
static __device__ __forceinline__ int64_t gn_element(const gn_cut &cut, int64_t q, int64_t e,
                                                     int64_t *u)
{
    *u = cut.nhwc ? e % cut.width : e / cut.S;
    return gn_address(cut, q, *u, cut.nhwc ? e / cut.width : e % cut.S);
}

template <class T>
static __device__ __forceinline__ float gn_or(dlf_view<T> v, int64_t p, int64_t i, float otherwise)
{
    return v.data ? dlf_to_float(v.member(p)[i]) : otherwise;
}

/* Bounded to 64 registers; of its own accord ptxas takes fewer and spills at the call. */
template <class T>
static __global__ void __launch_bounds__(DLF_BLOCK, 4) gn_forward_simple(gn_fwd<T> io, gn_cut cut)
{
    const int64_t groups = cut.N * cut.groups, count = cut.width * cut.S;
    for (int64_t task = blockIdx.x; task < cut.P * groups; task += gridDim.x) {
        const int64_t p = task / groups, q = task % groups;
        const T *x = io.x.member(p);
        int64_t u;
        float sum[1] = {0.0f}, s[2] = {0.0f, 0.0f};
        for (int64_t e = threadIdx.x; e < count; e += DLF_BLOCK)
            sum[0] += dlf_to_float(x[gn_element(cut, q, e, &u)]);
        dlf_block_sums<DLF_BLOCK>(sum);
        const float first = sum[0] / (float)count;
        for (int64_t e = threadIdx.x; e < count; e += DLF_BLOCK) {
            const float d = dlf_to_float(x[gn_element(cut, q, e, &u)]) - first;
            s[0] += d;
            s[1] = fmaf(d, d, s[1]);
        }
        dlf_block_sums<DLF_BLOCK>(s);
        const dlf_moments2 m = dlf_corrected(first, s[0], s[1], (double)count);
        const dlf_mean mean = dlf_mean_of(m.mean);
        const float rstd = dlf_rstd(m.var, io.eps);
        if (threadIdx.x == 0 && io.mean.data) io.mean.member(p)[q] = m.mean;
        if (threadIdx.x == 0 && io.rstd.data) io.rstd.member(p)[q] = rstd;
        for (int64_t e = threadIdx.x; e < count; e += DLF_BLOCK) {
            const int64_t at = gn_element(cut, q, e, &u), c = (q * cut.width + u) % cut.C;
            const float z = dlf_norm_z(dlf_to_float(x[at]), mean, rstd, gn_or(io.gamma, p, c, 1.0f),
                                       gn_or(io.beta, p, c, 0.0f), gn_or(io.residual, p, at, 0.0f));
            io.y.member(p)[at] = dlf_of_float<T>(dlf_epilogue_value<DLF_EPILOGUE_ANY>(z, io.f));
        }
    }
}

/* xhat and dz at one position of channel c. */
template <class T>
static __device__ __forceinline__ void gn_input_simple(const gn_bwd<T> &io, int64_t p, int64_t c,
                                                       int64_t at, dlf_mean mean, float rstd,
                                                       float *xhat, float *dz)
{
    const float x = dlf_to_float(io.x.member(p)[at]);
    const float z = dlf_norm_z(x, mean, rstd, gn_or(io.gamma, p, c, 1.0f),
                               gn_or(io.beta, p, c, 0.0f), gn_or(io.residual, p, at, 0.0f));
    *xhat = dlf_centred(x, mean) * rstd;
    *dz = dlf_to_float(io.dy.member(p)[at]) * dlf_epilogue_slope<DLF_EPILOGUE_ANY>(z, io.f);
}

template <class T>
static __global__ void __launch_bounds__(DLF_BLOCK) gn_backward_simple(gn_bwd<T> io, gn_cut cut)
{
    const int64_t groups = cut.N * cut.groups, count = cut.width * cut.S;
    for (int64_t task = blockIdx.x; task < cut.P * groups; task += gridDim.x) {
        const int64_t p = task / groups, q = task % groups;
        const dlf_mean mean = dlf_mean_of(io.mean.member(p)[q]);
        const float rstd = io.rstd.member(p)[q];
        float xhat, dz, g = 0.0f, gx = 0.0f;
        for (int64_t u = 0; u < cut.width; u++) {
            const int64_t row = q * cut.width + u, c = row % cut.C;
            float s[2] = {0.0f, 0.0f};
            for (int64_t k = threadIdx.x; k < cut.S; k += DLF_BLOCK) {
                gn_input_simple(io, p, c, gn_address(cut, q, u, k), mean, rstd, &xhat, &dz);
                s[0] = fmaf(dz, xhat, s[0]);
                s[1] += dz;
            }
            dlf_block_sums<DLF_BLOCK>(s);
            const float gamma = gn_or(io.gamma, p, c, 1.0f);
            gx = fmaf(gamma, s[0], gx);
            g = fmaf(gamma, s[1], g);
            float *part = io.part ? io.part + (p * cut.N + row / cut.C) * 2 * cut.C : nullptr;
            if (part && threadIdx.x == 0) part[c] = s[0];
            if (part && threadIdx.x == 0) part[cut.C + c] = s[1];
        }
        gx /= (float)count;
        g /= (float)count;
        for (int64_t e = threadIdx.x; e < count; e += DLF_BLOCK) {
            int64_t u;
            const int64_t at = gn_element(cut, q, e, &u), c = (q * cut.width + u) % cut.C;
            gn_input_simple(io, p, c, at, mean, rstd, &xhat, &dz);
            if (io.dresidual.data) io.dresidual.member(p)[at] = dlf_of_float<T>(dz);
            const float dx = rstd * ((dz * gn_or(io.gamma, p, c, 1.0f) - g) - xhat * gx);
            io.dx.member(p)[at] = dlf_of_float<T>(dx);
        }
    }
}

/* ---- how a call is cut ------------------------------------------------------------------------
 */

/* A call of either direction; the other's io is NULL. */
struct gn_call {
    const dlf_norm_fwd *fwd;
    const dlf_norm_bwd *bwd;
    const dlf_norm *norm;
    const dlf_tensor *x;
    dlf_norm_geometry g;
    int floats; /* per element in shared memory: 1 forward, 2 backward */
};

static int64_t gn_at_most(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t gn_at_least(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* The smallest power of two that is not below n, at most `most`. */
static int gn_power(int64_t n, int most)
{
    int p = 1;
    while (p < n && p < most) p *= 2;
    return p;
}

/* What a block of this device may have, less the static arrays. */
static int64_t gn_memory_limit(const gn_call &call)
{
    return call.x->device->info.shared_bytes - 8192;
}

static bool gn_nhwc(const gn_call &call)
{
    return call.norm->layout == DLF_NHWC && call.g.S > 1; /* S = 1: both are the same */
}

static gn_cut gn_cut_of(const gn_call &call)
{
    gn_cut cut = {};
    cut.P = call.g.P, cut.N = call.g.N, cut.C = call.g.C, cut.S = call.g.S;
    cut.groups = call.g.groups, cut.width = call.g.width;
    cut.nhwc = gn_nhwc(call);
    cut.tile_groups = 1, cut.chunk = cut.S, cut.chunks = 1;
    return cut;
}

/* What follows from tile_groups and chunk. */
static void gn_finish_cut(gn_cut *cut)
{
    const int64_t of = cut->nhwc ? cut->groups : cut->N * cut->groups;
    cut->tiles = dlf_ceil_div(of, cut->tile_groups) * (cut->nhwc ? cut->N : 1);
    cut->chunks = dlf_ceil_div(cut->S, cut->chunk);
    cut->unit_lanes = gn_power(dlf_ceil_div(gn_at_most(cut->chunk, GN_PIECE), 8), DLF_WARP);
    cut->group_lanes =
        gn_power(dlf_ceil_div(cut->width * dlf_ceil_div(cut->chunk, GN_PIECE), 4), DLF_WARP);
}

/* Is there a kernel for vectors, and are all tensors and every tile of the cut made of them? */
static bool gn_vectors(const gn_call &call, const gn_cut &cut)
{
    const int64_t vector = 16 / (int64_t)dlf_dtype_size(call.x->dtype), C = cut.C;
    const int64_t member = cut.N * C * cut.S, tile = cut.tile_groups * cut.width;
    const dlf_activation_kind kind = call.norm->activation.kind;
    if (kind != DLF_LINEAR && kind != DLF_RELU && kind != DLF_SILU) return false; /* GN_PICK */
    if (cut.nhwc && (C % vector || tile % vector)) return false;
    if (!cut.nhwc && cut.chunks > 1 && (cut.S % vector || cut.chunk % vector)) return false;
    if (!cut.nhwc && tile * cut.S % vector) return false;
    const dlf_tensor *fwd[] = {call.x, nullptr, nullptr, nullptr, nullptr};
    if (call.fwd) {
        fwd[1] = call.fwd->y, fwd[2] = call.fwd->residual;
    } else {
        fwd[1] = call.bwd->dx, fwd[2] = call.bwd->residual;
        fwd[3] = call.bwd->dy, fwd[4] = call.bwd->dresidual;
    }
    for (int i = 0; i < 5; i++)
        if (!dlf_rows_aligned(fwd[i], member)) return false;
    return true;
}

/* Groups that make `bytes` of neighbouring channels and whole vectors, if G allows. */
static int64_t gn_groups_of_bytes(const gn_call &call, int64_t bytes)
{
    const int64_t size = (int64_t)dlf_dtype_size(call.x->dtype), vector = 16 / size;
    int64_t k = dlf_ceil_div(bytes, size * call.g.width);
    while (k * call.g.width % vector) k++;
    return gn_at_most(k, call.g.groups);
}

static bool gn_fits_memory(const gn_call &call, const gn_cut &cut)
{
    return cut.tile_groups * cut.width <= (1 << 20) && cut.chunk <= (1 << 20) &&
           (int64_t)gn_memory_bytes(cut, call.floats) <= gn_memory_limit(call);
}

/* Tiles of whole groups: as large as they still fill the device, 128 bytes of channels in NHWC if
 * the memory allows. False: a group does not fit. */
static bool gn_cut_resident(const gn_call &call, gn_cut *out)
{
    gn_cut cut = gn_cut_of(call);
    const int64_t L = cut.width * cut.S, all = cut.N * cut.groups;
    const int64_t sms = gn_at_least(call.x->device->info.threads, 1);
    const int64_t vector = 16 / (int64_t)dlf_dtype_size(call.x->dtype);
    int64_t k = gn_at_most(8192 / call.floats / L, cut.P * all / (2 * sms));
    if (cut.nhwc) {
        const int64_t step = gn_groups_of_bytes(call, 16);
        const int64_t wide = gn_groups_of_bytes(call, 128);
        k = gn_at_most(gn_at_least(k / step * step, wide), cut.groups);
        for (cut.tile_groups = k; k > step; cut.tile_groups = k) {
            if (gn_fits_memory(call, cut)) break;
            k = gn_at_least(k / 2 / step * step, step);
        }
    } else {
        int64_t step = 1;
        while (step * L % vector) step *= 2;
        k = gn_at_least(k / step * step, step * L <= 8192 ? step : 1);
        k = gn_at_most(k, gn_at_least(all, 1));
    }
    cut.tile_groups = k;
    gn_finish_cut(&cut);
    *out = cut;
    return gn_fits_memory(call, cut);
}

/* Tiles of some positions: about 32 KiB, more where that would be more than 128 chunks. */
static bool gn_cut_split(const gn_call &call, gn_cut *out)
{
    gn_cut cut = gn_cut_of(call);
    if (cut.nhwc) cut.tile_groups = gn_groups_of_bytes(call, 128);
    if (cut.tile_groups > GN_THREADS) return false;
    const int64_t channels = cut.tile_groups * cut.width;
    int64_t elements = 8192 / call.floats;
    if (channels * cut.S > 128 * elements) elements *= 3;
    cut.chunk = gn_at_most(gn_at_least(elements / channels, 1), cut.S);
    if (!cut.nhwc && cut.chunk < cut.S)
        cut.chunk = gn_at_most(dlf_ceil_div(cut.chunk, 32) * 32, cut.S);
    gn_finish_cut(&cut);
    *out = cut;
    return gn_fits_memory(call, cut);
}

static bool gn_always(const gn_call &)
{
    return true;
}

static bool gn_fits_nchw(const gn_call &call)
{
    gn_cut cut;
    return !gn_nhwc(call) && gn_cut_resident(call, &cut);
}

static bool gn_fits_nhwc(const gn_call &call)
{
    gn_cut cut;
    return gn_nhwc(call) && gn_cut_resident(call, &cut);
}

static bool gn_fits_split(const gn_call &call)
{
    gn_cut cut;
    return gn_cut_split(call, &cut);
}

/* Splitting costs a second launch and a second read: only where tiles of whole groups would leave
 * half of the device idle with more than 16 Ki elements each. */
static int gn_choose(const gn_call &call)
{
    gn_cut cut;
    const bool resident = gn_cut_resident(call, &cut), split = gn_fits_split(call);
    const int64_t tiles = cut.P * cut.tiles, elements = cut.tile_groups * call.g.count;
    const bool idle = 2 * tiles < call.x->device->info.threads && elements > 16384;
    if (split && (!resident || idle)) return 4;
    return resident ? (cut.nhwc ? 3 : 2) : 1;
}

/* ---- launches ---------------------------------------------------------------------------------
 */

template <class T, class Kernel, class Io>
static cudaError_t gn_launch(const gn_call &call, Kernel kernel, const gn_cut &cut, int floats,
                             const Io &io)
{
    const int64_t elements = cut.tile_groups * cut.width * cut.chunk;
    const int threads = (int)gn_at_least(gn_power(dlf_ceil_div(elements, 16), GN_THREADS), 64);
    return DLF_LAUNCH(kernel, dlf_grid_x(call.x, cut.P * cut.tiles * cut.chunks, 1), threads,
                      gn_memory_bytes(cut, floats), dlf_stream_of(call.x), io, cut);
}

/* Instances: vectors with no activation, relu or silu; single elements with none or any. */
#define GN_PICK(kernel, T)                                                                         \
    (vectors              ? kind == DLF_LINEAR ? kernel<T, dlf_vector<T>, GN_LINEAR>               \
                            : kind == DLF_RELU ? kernel<T, dlf_vector<T>, GN_RELU>                 \
                                               : kernel<T, dlf_vector<T>, GN_SILU>                 \
                  : kind == DLF_LINEAR ? kernel<T, 1, GN_LINEAR>                                   \
                          : kernel<T, 1, GN_ANY>)

template <class T>
static dlf_status gn_run_forward(const gn_call &call, const gn_cut &cut, bool split)
{
    gn_fwd<T> io = {dlf_views_of<T>(call.fwd, call.norm), nullptr};
    const dlf_activation_kind kind = call.norm->activation.kind;
    const bool vectors = gn_vectors(call, cut);
    const size_t bytes =
        split ? (size_t)(cut.P * cut.N * cut.groups * cut.chunks) * sizeof(dlf_stat) : 0;
    void *part = nullptr;
    if (bytes) DLF_TRY(dlf_scratch(call.x, &part, bytes));
    io.part = static_cast<dlf_stat *>(part);
    cudaError_t error;
    if (split) {
        error = gn_launch<T>(
            call, vectors ? gn_forward<T, dlf_vector<T>, GN_LINEAR> : gn_forward<T, 1, GN_LINEAR>,
            cut, 1, io);
        if (error == cudaSuccess) error = gn_launch<T>(call, GN_PICK(gn_apply, T), cut, 0, io);
    } else {
        error = gn_launch<T>(call, GN_PICK(gn_forward, T), cut, 1, io);
    }
    if (bytes) dlf_scratch_done(call.x, part, bytes);
    return dlf_launched(error, "group_norm_forward");
}

/* The launches of backward: `run` gets io with its partial sums; dgamma and dbeta come after. */
template <class T, class Run>
static dlf_status gn_with_parts(const gn_call &call, const gn_cut &cut, bool split, Run run)
{
    gn_bwd<T> io = {dlf_views_of<T>(call.bwd, call.norm), nullptr, nullptr};
    const bool wanted = call.bwd->dgamma || call.bwd->dbeta;
    const int64_t rows = wanted ? cut.P * cut.N * cut.chunks * 2 * cut.C : 0;
    const int64_t sums = split ? cut.P * cut.N * cut.groups * cut.chunks * 2 : 0;
    const size_t bytes = (size_t)(rows + sums) * sizeof(float);
    void *part = nullptr;
    if (bytes) DLF_TRY(dlf_scratch(call.x, &part, bytes));
    if (wanted) io.part = static_cast<float *>(part);
    if (split) io.g_part = static_cast<float *>(part) + rows;
    cudaError_t error = run(io);
    if (error == cudaSuccess && wanted)
        error = dlf_norm_finish_launch(call.bwd, io.part, cut.P, cut.N * cut.chunks, cut.C);
    if (bytes) dlf_scratch_done(call.x, part, bytes);
    return dlf_launched(error, "group_norm_backward");
}

template <class T>
static dlf_status gn_run_backward(const gn_call &call, const gn_cut &cut, bool split)
{
    return gn_with_parts<T>(call, cut, split, [&](const gn_bwd<T> &io) {
        const dlf_activation_kind kind = call.norm->activation.kind;
        const bool vectors = gn_vectors(call, cut);
        cudaError_t error = gn_launch<T>(call, GN_PICK(gn_backward, T), cut, 2, io);
        if (split && error == cudaSuccess)
            error = gn_launch<T>(call, GN_PICK(gn_dx, T), cut, 0, io);
        return error;
    });
}

static dlf_status gn_run_simple(const gn_call &call)
{
    const gn_cut cut = gn_cut_of(call);
    const unsigned grid = dlf_grid_x(call.x, cut.P * cut.N * cut.groups, 1);
    const cudaStream_t stream = dlf_stream_of(call.x);
    return dlf_with_storage(call.x, [&](auto zero) -> dlf_status {
        typedef decltype(zero) T;
        if (call.fwd) {
            const gn_fwd<T> io = {dlf_views_of<T>(call.fwd, call.norm), nullptr};
            return dlf_launched(
                DLF_LAUNCH(gn_forward_simple<T>, grid, DLF_BLOCK, 0, stream, io, cut),
                "group_norm_forward");
        }
        return gn_with_parts<T>(call, cut, false, [&](const gn_bwd<T> &io) {
            return DLF_LAUNCH(gn_backward_simple<T>, grid, DLF_BLOCK, 0, stream, io, cut);
        });
    });
}

static dlf_status gn_run_tiles(const gn_call &call, const gn_cut &cut, bool split)
{
    return dlf_with_storage(call.x, [&](auto zero) -> dlf_status {
        typedef decltype(zero) T;
        return call.fwd ? gn_run_forward<T>(call, cut, split)
                        : gn_run_backward<T>(call, cut, split);
    });
}

static dlf_status gn_run_resident(const gn_call &call)
{
    gn_cut cut;
    (void)gn_cut_resident(call, &cut);
    return gn_run_tiles(call, cut, false);
}

static dlf_status gn_run_split(const gn_call &call)
{
    gn_cut cut;
    (void)gn_cut_split(call, &cut);
    return gn_run_tiles(call, cut, true);
}

static const dlf_version<gn_call> gn_versions[] = {
    {"readable", "nothing", "one block per group", gn_always, gn_run_simple},
    {"resident", "NCHW and a group that fits into shared memory", "x is read once", gn_fits_nchw,
     gn_run_resident},
    {"resident, channels last", "NHWC and a group that fits into shared memory",
     "x is read once, 128 bytes at a time", gn_fits_nhwc, gn_run_resident},
    {"split", "groups whose channels at one position fit into shared memory",
     "few large groups fill the device", gn_fits_split, gn_run_split},
};

static dlf_status gn_run(gn_call call, const char *op)
{
    call.x = call.fwd ? call.fwd->x : call.bwd->x;
    call.floats = call.fwd ? 1 : 2;
    DLF_TRY(dlf_norm_geometry_of(&call.g, call.x, *call.norm));
    return dlf_run_version(gn_versions, call, call.norm->version, gn_choose, op);
}

extern "C" dlf_status dlf_group_norm_forward_cuda(const dlf_norm_fwd *io, const dlf_norm *norm)
{
    return gn_run(gn_call{io, nullptr, norm, nullptr, {}, 0}, "group_norm_forward");
}

extern "C" dlf_status dlf_group_norm_backward_cuda(const dlf_norm_bwd *io, const dlf_norm *norm)
{
    return gn_run(gn_call{nullptr, io, norm, nullptr, {}, 0}, "group_norm_backward");
}
