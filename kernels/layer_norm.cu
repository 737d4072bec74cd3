/* SPDX-License-Identifier: MIT
 * layer_norm.cu -- layer and RMS normalization: the versions of both directions, and which fits. */
#include <type_traits>

#include "layer_norm_backward.cuh"
#include "layer_norm_forward.cuh"

/* What a block of this device may have, less the static arrays of the reductions. */
static int64_t shared_memory(const dlf_tensor *x)
{
    return x->device->info.shared_bytes - 2048;
}

/* ---- forward ------------------------------------------------------------------------------------
 */

struct ln_forward_call {
    const dlf_norm_fwd *io;
    const dlf_norm *norm;
    ln_shape s;
};

template <class T> static ln_forward_args<T> args_of(const ln_forward_call &call)
{
    return ln_forward_args<T>{dlf_views_of<T>(call.io, call.norm), call.s};
}

static bool forward_packs_fit(const ln_forward_call &call)
{
    const dlf_norm_fwd *io = call.io;
    const ln_shape &s = call.s;
    return ln_packs_fit(s, io->x) && dlf_rows_aligned(io->x, s.L) && dlf_rows_aligned(io->y, s.L) &&
           dlf_rows_aligned(io->residual, s.L) && ln_parameter_fits(s, io->gamma) &&
           ln_parameter_fits(s, io->beta);
}

template <bool SHARED, int V, class T, class Active>
static dlf_status forward_block(const ln_forward_call &call, T, Active)
{
    const int threads = ln_threads(call.s.L / V, LN_WIDE_BLOCK);
    const size_t room = SHARED ? (size_t)call.s.L * sizeof(T) : 0;
    return dlf_launched(DLF_LAUNCH((ln_forward_block<T, Active::value, V, SHARED>),
                                   dlf_grid_x(call.io->y, call.s.P * call.s.N, 1), threads, room,
                                   dlf_stream_of(call.io->y), args_of<T>(call)),
                        "layer_norm_forward");
}

template <bool SHARED, bool PACKS> static dlf_status forward_blocks(const ln_forward_call &call)
{
    return ln_with(call.io->x, call.norm->activation, [&](auto zero, auto active) {
        if constexpr (PACKS)
            return forward_block<SHARED, dlf_vector<decltype(zero)>>(call, zero, active);
        else
            return forward_block<SHARED, 1>(call, zero, active);
    });
}

static bool always(const ln_forward_call &)
{
    return true;
}

static bool forward_shared_fits(const ln_forward_call &call)
{
    return call.s.L * (int64_t)dlf_dtype_size(call.io->x->dtype) <= shared_memory(call.io->x);
}

static dlf_status forward_shared(const ln_forward_call &call)
{
    return forward_packs_fit(call) ? forward_blocks<true, true>(call)
                                   : forward_blocks<true, false>(call);
}

/* Rows in registers. The ladder goes by packs per row; single elements only for short rows. */
enum { LN_MOST_PACKS = 8 * LN_WIDE_BLOCK, LN_MOST_SINGLE = 8 * DLF_WARP };

static bool forward_registers_fits(const ln_forward_call &call)
{
    const int64_t V = 16 / (int64_t)dlf_dtype_size(call.io->x->dtype);
    return forward_packs_fit(call) ? call.s.L / V <= LN_MOST_PACKS : call.s.L <= LN_MOST_SINGLE;
}

template <int V, int LANES, int ITEMS, class T, class Active>
static dlf_status forward_team(const ln_forward_call &call, T, Active, int threads)
{
    const int per_block = LANES ? LN_TEAM_BLOCK / LANES : 1;
    const dim3 block = LANES ? dim3(LN_TEAM_BLOCK) : dim3((unsigned)threads);
    return dlf_launched(DLF_LAUNCH((ln_forward_registers<T, Active::value, V, LANES, ITEMS>),
                                   dlf_grid_x(call.io->y, call.s.P * call.s.N, per_block), block, 0,
                                   dlf_stream_of(call.io->y), args_of<T>(call)),
                        "layer_norm_forward");
}

static dlf_status forward_registers(const ln_forward_call &call)
{
    const bool packs = forward_packs_fit(call);
    return ln_with(call.io->x, call.norm->activation, [&](auto zero, auto active) {
        constexpr int V = dlf_vector<decltype(zero)>;
        const int64_t n = packs ? call.s.L / V : call.s.L;
        if (!packs)
            return n <= 4 * 8 ? forward_team<1, 8, 4>(call, zero, active, 0)
                              : forward_team<1, 32, 8>(call, zero, active, 0);
        if (n <= 2 * 8) return forward_team<V, 8, 2>(call, zero, active, 0);
        if (n <= 4 * 32) return forward_team<V, 32, 4>(call, zero, active, 0);
        if (n <= 8 * 32) return forward_team<V, 32, 8>(call, zero, active, 0);
        const int threads = ln_threads(n, LN_WIDE_BLOCK);
        return n <= 4 * LN_WIDE_BLOCK ? forward_team<V, 0, 4>(call, zero, active, threads)
                                      : forward_team<V, 0, 8>(call, zero, active, threads);
    });
}

/* A cluster of blocks per row, with sums exchanged through distributed shared memory, would come
 * after `shared`: for the rows that one block cannot hold, and for few long rows, which leave most
 * of a large GPU idle. */
static const dlf_version<ln_forward_call> forward_versions[] = {
    {"rows", "nothing", "readable: a block per row, three reads", always,
     forward_blocks<false, false>},
    {"registers", "rows of at most 4096 packs of 16 bytes, or of 256 elements if not aligned",
     "one read, one write; short rows share a block", forward_registers_fits, forward_registers},
    {"shared", "a row that fits the shared memory of a block", "one read for longer rows",
     forward_shared_fits, forward_shared},
    {"packs", "16-byte alignment", "three reads, two of them from the second-level cache",
     forward_packs_fit, forward_blocks<false, true>},
};

static int choose_forward(const ln_forward_call &call)
{
    return forward_registers_fits(call) ? 2
           : forward_shared_fits(call)  ? 3
           : forward_packs_fit(call)    ? 4
                                        : 1;
}

extern "C" dlf_status dlf_layer_norm_forward_cuda(const dlf_norm_fwd *io, const dlf_norm *norm)
{
    ln_forward_call call = {io, norm, {}};
    DLF_TRY(ln_shape_of(&call.s, io->x, norm));
    return dlf_run_version(forward_versions, call, norm->version, choose_forward,
                           "layer_norm_forward");
}

/* ---- backward -----------------------------------------------------------------------------------
 */

struct ln_backward_call {
    const dlf_norm_bwd *io;
    const dlf_norm *norm;
    ln_shape s;
};

template <class T>
static ln_backward_args<T> args_of(const ln_backward_call &call, void *part, int64_t parts)
{
    return ln_backward_args<T>{dlf_views_of<T>(call.io, call.norm), call.s,
                               static_cast<float *>(part), parts};
}

static bool wants_sums(const ln_backward_call &call)
{
    return call.io->dgamma || call.io->dbeta;
}

/* run(part) with room for `parts` pairs of rows, then the second stage, if the sums are wanted. */
template <class Run>
static dlf_status with_parts(const ln_backward_call &call, int64_t parts, Run run)
{
    const ln_shape &s = call.s;
    if (!wants_sums(call)) return run(nullptr);
    const size_t bytes = (size_t)(s.P * parts * 2 * s.C) * sizeof(float);
    void *part;
    DLF_TRY(dlf_scratch(call.io->dx, &part, bytes));
    dlf_status status = run(part);
    if (status == DLF_OK)
        status = dlf_launched(
            dlf_norm_finish_launch(call.io, static_cast<float *>(part), s.P, parts, s.C),
            "layer_norm_backward");
    dlf_scratch_done(call.io->dx, part, bytes);
    return status;
}

static bool backward_packs_fit(const ln_backward_call &call)
{
    const dlf_norm_bwd *io = call.io;
    const ln_shape &s = call.s;
    return ln_packs_fit(s, io->x) && dlf_rows_aligned(io->x, s.L) &&
           dlf_rows_aligned(io->dy, s.L) && dlf_rows_aligned(io->dx, s.L) &&
           dlf_rows_aligned(io->dresidual, s.L) && dlf_rows_aligned(io->residual, s.L) &&
           ln_parameter_fits(s, io->gamma) && ln_parameter_fits(s, io->beta);
}

static int64_t between(int64_t least, int64_t value, int64_t most)
{
    return value > most ? most : value < least ? least : value;
}

/* Into how many runs the samples (or lines) of a member are cut: enough for 16 blocks of 256
 * threads on every multiprocessor, at least 64 elements each. By shape and device alone. */
static int64_t runs_of(const ln_backward_call &call)
{
    const ln_shape &s = call.s;
    const int64_t blocks = 16 * ln_multiprocessors(call.io->dx);
    if (s.S > 1 && !s.nhwc)
        return between(1, 8 * blocks / (s.P * s.C),
                       dlf_ceil_div(s.N * s.S, 512) < s.N ? dlf_ceil_div(s.N * s.S, 512) : s.N);
    return between(1, blocks / (s.P * dlf_ceil_div(s.C, LN_COLUMNS)), dlf_ceil_div(s.N * s.S, 64));
}

template <class T, bool ACTIVE>
static cudaError_t sum_channels(const ln_backward_call &call, const ln_backward_args<T> &a)
{
    const ln_shape &s = call.s;
    const cudaStream_t stream = dlf_stream_of(call.io->dx);
    if (s.S > 1 && !s.nhwc)
        return DLF_LAUNCH((ln_sum_planes<T, ACTIVE>),
                          dlf_grid_x(call.io->dx, s.P * a.parts * s.C, DLF_BLOCK / DLF_WARP),
                          DLF_BLOCK, 0, stream, a);
    const int64_t tasks = s.P * a.parts * dlf_ceil_div(s.C, LN_COLUMNS);
    return DLF_LAUNCH((ln_sum_columns<T, ACTIVE>), dlf_grid_x(call.io->dx, tasks, 1),
                      dim3(LN_COLUMNS, LN_COLUMN_LANES), 0, stream, a);
}

template <int V, class T, class Active>
static dlf_status backward_two_steps(const ln_backward_call &call, T, Active)
{
    const int64_t parts = runs_of(call);
    return with_parts(call, parts, [&](void *part) {
        const ln_backward_args<T> a = args_of<T>(call, part, parts);
        cudaError_t error = cudaSuccess;
        if (part) error = sum_channels<T, Active::value>(call, a);
        if (error == cudaSuccess)
            error = DLF_LAUNCH((ln_backward_rows<T, Active::value, V>),
                               dlf_grid_x(call.io->dx, call.s.P * call.s.N, 1),
                               ln_threads(call.s.L / V, 512), 0, dlf_stream_of(call.io->dx), a);
        return dlf_launched(error, "layer_norm_backward");
    });
}

template <bool PACKS> static dlf_status backward_rows(const ln_backward_call &call)
{
    return ln_with(call.io->x, call.norm->activation, [&](auto zero, auto active) {
        if constexpr (PACKS)
            return backward_two_steps<dlf_vector<decltype(zero)>>(call, zero, active);
        else
            return backward_two_steps<1>(call, zero, active);
    });
}

static bool backward_always(const ln_backward_call &)
{
    return true;
}

/* Threads of a row, and elements for each of them. */
struct ln_team_size {
    int lanes, elements;
};

/* A thread of a long row holds 16 elements of x and dy, or, while no activation needs registers for
 * itself, 32. Rows too long for that: elements = 0. */
static ln_team_size team_size(const ln_backward_call &call)
{
    const int64_t L = call.s.L;
    const int bytes = (int)dlf_dtype_size(call.io->x->dtype);
    const bool active = call.norm->activation.kind != DLF_LINEAR;
    if (L <= 8 * 16) return ln_team_size{8, 16};
    for (int lanes = 32; lanes <= 256; lanes *= 2)
        if (L <= lanes * 16) return ln_team_size{lanes, 16};
    for (int elements = 16; elements <= (active ? 16 : 32); elements += 16) {
        const int lanes = ln_wide_threads(bytes, elements, active);
        if (L <= lanes * elements) return ln_team_size{lanes, elements};
    }
    return ln_team_size{0, 0};
}

/* Short rows share a block of 256 threads. */
static int block_threads(ln_team_size size)
{
    return size.lanes > 256 ? size.lanes : 256;
}

static size_t sums_room(const ln_backward_call &call, ln_team_size size)
{
    if (!wants_sums(call)) return 0;
    return (size_t)block_threads(size) * (size_t)size.elements * 2 * sizeof(float);
}

static bool backward_registers_fits(const ln_backward_call &call)
{
    const ln_team_size size = team_size(call);
    return call.s.S == 1 && size.elements && backward_packs_fit(call) &&
           (int64_t)sums_room(call, size) <= shared_memory(call.io->x);
}

template <int LANES, int ELEMENTS, class T, class Active>
static dlf_status backward_team(const ln_backward_call &call, T, Active, int lanes)
{
    constexpr int ITEMS = ELEMENTS / dlf_vector<T>;
    const ln_shape &s = call.s;
    const ln_team_size size = {lanes, ELEMENTS};
    const int threads = block_threads(size), groups = threads / lanes;
    const dim3 block = LANES ? dim3((unsigned)threads) : dim3((unsigned)lanes, (unsigned)groups);
    /* As many blocks as the registers let stay, each with its pair of partial sums per column. */
    const int64_t stay = ln_multiprocessors(call.io->dx) * (512 / threads);
    const int64_t parts = between(1, stay / s.P, dlf_ceil_div(s.N, groups));
    return with_parts(call, parts, [&](void *part) {
        return dlf_launched(DLF_LAUNCH((ln_backward_registers<T, Active::value, LANES, ITEMS>),
                                       dim3((unsigned)parts, dlf_grid_yz(s.P)), block,
                                       sums_room(call, size), dlf_stream_of(call.io->dx),
                                       args_of<T>(call, part, parts)),
                            "layer_norm_backward");
    });
}

static dlf_status backward_registers(const ln_backward_call &call)
{
    return ln_with(call.io->x, call.norm->activation, [&](auto zero, auto active) {
        const ln_team_size size = team_size(call);
        if (size.lanes == 8) return backward_team<8, 16>(call, zero, active, 8);
        if (size.lanes == 32) return backward_team<32, 16>(call, zero, active, 32);
        if constexpr (!decltype(active)::value)
            if (size.elements > 16) return backward_team<0, 32>(call, zero, active, size.lanes);
        return backward_team<0, 16>(call, zero, active, size.lanes);
    });
}

static const dlf_version<ln_backward_call> backward_versions[] = {
    {"rows", "nothing", "readable: sums over channels, then a block per row", backward_always,
     backward_rows<false>},
    {"registers",
     "S = 1, 16-byte alignment, rows of at most 16384 elements (f32: 12288, with an activation: "
     "8192)",
     "x and dy are read once; sums over channels stay on chip", backward_registers_fits,
     backward_registers},
    {"packs", "16-byte alignment", "as rows, 16 bytes at a time", backward_packs_fit,
     backward_rows<true>},
};

static int choose_backward(const ln_backward_call &call)
{
    return backward_registers_fits(call) ? 2 : backward_packs_fit(call) ? 3 : 1;
}

extern "C" dlf_status dlf_layer_norm_backward_cuda(const dlf_norm_bwd *io, const dlf_norm *norm)
{
    ln_backward_call call = {io, norm, {}};
    DLF_TRY(ln_shape_of(&call.s, io->x, norm));
    return dlf_run_version(backward_versions, call, norm->version, choose_backward,
                           "layer_norm_backward");
}
