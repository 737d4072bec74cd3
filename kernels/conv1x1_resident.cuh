/* SPDX-License-Identifier: MIT
 * conv1x1_resident.cuh -- version 3, for shapes that memory bounds: the weights of 64 columns stay
 * in shared memory, and one pipeline runs through all the tiles of positions that a block gets, so
 * that the next tile is on its way while the last one is finished. Tensor cores for f16, bf16 and
 * tf32, float multiply-adds for f32. */
#ifndef DLF_CONV1X1_RESIDENT_CUH
#define DLF_CONV1X1_RESIDENT_CUH
#include "conv1x1_pipe.cuh"

namespace c1_resident
{
using namespace c1_pipe;

/* Block b of `columns` x `lanes`: the columns from b % columns * 64, and every lanes-th tile. */
template <class T, bool A_DEEP, bool B_DEEP, class Sums>
static __global__ void __launch_bounds__(THREADS)
    product(factor<T> a, factor<T> w, c1_output<T> out, int64_t P)
{
    DLF_DYN_SHARED(unsigned char, smem);
    constexpr int DEPTH = step_depth<T>;
    const int steps = (int)((a.depth + DEPTH - 1) / DEPTH);
    const int columns = (int)((out.columns + COLUMNS - 1) / COLUMNS);
    const int64_t tiles = (out.M + ROWS - 1) / ROWS, lanes = gridDim.x / columns;
    const int64_t k0 = (int64_t)(blockIdx.x % columns) * COLUMNS, lane = blockIdx.x / columns;
    unsigned char *weights = smem, *stages = smem + steps * COLUMNS_BYTES;
    float *tile = reinterpret_cast<float *>(stages + STAGES * ROWS_BYTES);
    copier<T, ROWS, A_DEEP> rows;
    copier<T, COLUMNS, B_DEEP> columns_of;
    Sums sums;
    columns_of.start(w, k0);
    for (int64_t p = 0; p < P; p++) {
        const int64_t mine = lane < tiles ? (tiles - lane + lanes - 1) / lanes : 0;
        for (int s = 0; s < steps; s++)
            columns_of.load(weights + s * COLUMNS_BYTES, w, p, k0, (int64_t)s * DEPTH, w.depth);
        /* step n of the pipeline is step n % steps of this block's tile n / steps */
        int64_t asked_tile = lane;
        int asked_step = 0, stage_to = 0, stage = 0;
        auto ask = [&]() {
            if (asked_tile < tiles) {
                if (asked_step == 0) rows.start(a, asked_tile * ROWS);
                rows.load(stages + stage_to * ROWS_BYTES, a, p, asked_tile * ROWS,
                          (int64_t)asked_step * DEPTH, a.depth);
                if (++asked_step == steps) {
                    asked_step = 0;
                    asked_tile += lanes;
                }
            }
            stage_to = stage_to + 1 == STAGES ? 0 : stage_to + 1;
            dlf_cp_async_commit();
        };
        for (int s = 0; s < STAGES - 1; s++) ask();
        for (int64_t t = 0, tile_q = lane; t < mine; t++, tile_q += lanes) {
            sums.zero();
            for (int s = 0; s < steps; s++) {
                unsigned char *now = stages + stage * ROWS_BYTES;
                dlf_cp_async_wait<STAGES - 2>();
                if (a.u.any) {
                    copier<T, ROWS, A_DEEP> own; /* `rows` may be a tile ahead */
                    own.start(a, tile_q * ROWS);
                    own.transform(now, a, p, tile_q * ROWS, (int64_t)s * DEPTH, a.depth);
                }
                __syncthreads(); /* the stage is complete, and the one before it has been read */
                sums.template step<A_DEEP, B_DEEP>(now, weights + s * COLUMNS_BYTES);
                ask();
                stage = stage + 1 == STAGES ? 0 : stage + 1;
            }
            sums.store(tile);
            __syncthreads();
            c1_finish<ROWS, COLUMNS, LD, THREADS>(tile, out, p, tile_q, k0);
            __syncthreads(); /* `tile` is free for the next one */
        }
        dlf_cp_async_wait<0>();
        __syncthreads(); /* so are weights and stages for the next member */
    }
}

template <class T, class Sums> static inline dlf_status run(const c1_call &call)
{
    return c1_run_product<T>(call, ROWS, [&](const c1_product<T> &a) {
        const factor<T> in = input_factor<T>(a, call), w = weight_factor<T>(a, call);
        const size_t bytes = (size_t)c1_resident_bytes(a.depth, (int64_t)sizeof(T));
        const int64_t columns = dlf_ceil_div(a.columns, COLUMNS), tiles = dlf_ceil_div(a.M, ROWS);
        const int64_t processors = call.out->device->info.threads;
        const int64_t lanes = dlf_ceil_div(2 * (processors > 0 ? processors : 1), columns);
        const unsigned grid = (unsigned)(columns * (lanes < tiles ? lanes : tiles));
        return with_directions(a.along_channels, a.w_depth == 1, [&](auto a_deep, auto b_deep) {
            return DLF_LAUNCH((product<T, decltype(a_deep)::value, decltype(b_deep)::value, Sums>),
                              grid, THREADS, bytes, dlf_stream_of(call.out), in, w, a.out, a.P);
        });
    });
}

static inline dlf_status run_product(const c1_call &call)
{
    return dlf_with_storage(call.out, [&](auto t) {
        typedef decltype(t) T;
        if constexpr (sizeof(T) == 4)
            if (!call.conv->tf32) return run<T, float_sums>(call);
        return run<T, tensor_sums<T>>(call);
    });
}
} // namespace c1_resident
#endif
