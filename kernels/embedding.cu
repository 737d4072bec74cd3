/* SPDX-License-Identifier: MIT
 * embedding.cu -- rows picked by index, and the sum of their gradients.
 *
 * Backward sorts the positions 0..B-1 by their index, stably: a radix sort by bytes, which counts
 * bytes per chunk, adds the counts up and moves each position to its place. The only atomics are
 * additions of integers, whose order does not show. A row of dtable then adds its dy rows in
 * ascending order of position, and no two threads meet. A shared index is sorted once. */
#include "math.cuh"

template <int V> struct floats {
    float x[V];
};
template <> struct alignas(16) floats<4> {
    float x[4];
};

/* Columns along the block's x, rows along its y. */
static dim3 block_for(int64_t columns)
{
    unsigned along = 1;
    while (along < columns && along < DLF_BLOCK) along *= 2;
    return dim3(along, DLF_BLOCK / along);
}

struct index_of {
    const int32_t *data;
    int64_t stride; /* 0: one index for all members */
    int64_t V;      /* rows of the table            */
};

static index_of index_in(const dlf_tensor *index, int64_t V)
{
    return index_of{static_cast<const int32_t *>(index->data),
                    index->shape[0] == 1 ? 0 : index->stride, V};
}

/* ---- forward ----------------------------------------------------------------------------------
 */

/* N and the strides of y and table count units of W floats. */
template <int W>
static __global__ void __launch_bounds__(DLF_BLOCK)
    pick(dlf_view<floats<W>> y, dlf_view<const floats<W>> table, index_of index, int64_t P,
         int64_t B, int64_t N)
{
    for (int64_t p = blockIdx.y; p < P; p += gridDim.y)
        for (int64_t i = (int64_t)blockIdx.x * blockDim.y + threadIdx.y; i < B;
             i += (int64_t)gridDim.x * blockDim.y) {
            const int64_t v = index.data[p * index.stride + i];
            const bool inside = v >= 0 && v < index.V;
            const floats<W> *from = table.member(p) + (inside ? v : 0) * N;
            floats<W> *to = y.member(p) + i * N;
            for (int64_t j = threadIdx.x; j < N; j += blockDim.x) {
                floats<W> row = from[j];
                if (!inside)
#pragma unroll
                    for (int k = 0; k < W; k++) row.x[k] = NAN;
                to[j] = row;
            }
        }
}

template <int W>
static cudaError_t launch_pick(dlf_tensor *y, const dlf_tensor *table, const dlf_tensor *index)
{
    const int64_t P = y->shape[0], B = y->shape[1], N = y->shape[2] / W;
    const dim3 block = block_for(N);
    const dim3 grid(dlf_grid_x(y, B, block.y), dlf_grid_yz(P));
    const dlf_view<floats<W>> to = {static_cast<floats<W> *>(y->data), y->stride / W};
    const dlf_view<const floats<W>> from = {static_cast<const floats<W> *>(table->data),
                                            table->stride / W};
    return DLF_LAUNCH(pick<W>, grid, block, 0, dlf_stream_of(y), to, from,
                      index_in(index, table->shape[1]), P, B, N);
}

extern "C" dlf_status dlf_embedding_forward_cuda(dlf_tensor *y, const dlf_tensor *table,
                                                 const dlf_tensor *index)
{
    const int64_t P = y->shape[0];
    const bool four = y->shape[2] % 4 == 0 && dlf_aligned16(y, P) && dlf_aligned16(table, P);
    return dlf_launched(four ? launch_pick<4>(y, table, index) : launch_pick<1>(y, table, index),
                        "embedding_forward");
}

/* ---- sorting positions by their index ----------------------------------------------------------
 */

enum {
    DIGITS = 256,
    WARPS = DLF_BLOCK / DLF_WARP,
    ROUNDS = 8, /* positions per thread */
    CHUNK = ROUNDS * DLF_BLOCK
};

/* Of each of Q indices. A position is below 2^31; an index out of range counts as row V. */
struct sorting {
    index_of index;
    int64_t Q, B, chunks;
    const uint32_t *key_in, *at_in; /* NULL in the first pass: the index itself, 0, 1, .. */
    uint32_t *key_out, *at_out;
    uint32_t *counts; /* (Q,DIGITS,chunks) */
    uint32_t *totals; /* (Q,DIGITS)        */
    int shift;        /* of the digit      */
};

static __device__ __forceinline__ uint32_t key_at(const sorting &s, int64_t q, int64_t k)
{
    if (s.key_in) return s.key_in[q * s.B + k];
    const int32_t v = s.index.data[q * s.index.stride + k];
    return v >= 0 && v < s.index.V ? (uint32_t)v : (uint32_t)s.index.V;
}

static __device__ __forceinline__ int digit_of(const sorting &s, uint32_t key)
{
    return (int)(key >> s.shift) & (DIGITS - 1);
}

static __global__ void __launch_bounds__(DLF_BLOCK) count_digits(sorting s)
{
    DLF_SHARED(unsigned, n, [DIGITS]);
    for (int64_t q = blockIdx.y; q < s.Q; q += gridDim.y)
        for (int64_t chunk = blockIdx.x; chunk < s.chunks; chunk += gridDim.x) {
            n[threadIdx.x] = 0;
            __syncthreads();
            for (int k = 0; k < ROUNDS; k++) {
                const int64_t at = chunk * CHUNK + k * DLF_BLOCK + threadIdx.x;
                if (at >= s.B) continue;
                const int digit = digit_of(s, key_at(s, q, at));
                atomicAdd(&n[digit], 1u); /* atomics: integer counts */
            }
            __syncthreads();
            s.counts[(q * DIGITS + threadIdx.x) * s.chunks + chunk] = n[threadIdx.x];
        }
}

/* A warp per row of `counts`: each becomes the sum of those before it; the sum of all goes to
 * `totals`. */
static __global__ void __launch_bounds__(DLF_BLOCK) add_up_counts(sorting s)
{
    const int lane = (int)threadIdx.x % DLF_WARP;
    const int64_t first = ((int64_t)blockIdx.x * DLF_BLOCK + threadIdx.x) / DLF_WARP;
    for (int64_t row = first; row < s.Q * DIGITS; row += (int64_t)gridDim.x * WARPS) {
        uint32_t *counts = s.counts + row * s.chunks, before = 0;
        for (int64_t k0 = 0; k0 < s.chunks; k0 += DLF_WARP) {
            const int64_t k = k0 + lane;
            const uint32_t self = k < s.chunks ? counts[k] : 0;
            uint32_t sum = self;
            for (int d = 1; d < DLF_WARP; d *= 2) {
                const uint32_t lower = __shfl_up_sync(0xffffffffu, sum, d);
                if (lane >= d) sum += lower;
            }
            if (k < s.chunks) counts[k] = before + sum - self;
            before += __shfl_sync(0xffffffffu, sum, DLF_WARP - 1);
        }
        if (lane == 0) s.totals[row] = before;
    }
}

/* Sum of totals[q][..] below this thread's digit. */
static __device__ uint32_t digits_below(const sorting &s, int64_t q)
{
    DLF_SHARED(uint32_t, sums, [DIGITS]);
    const int digit = (int)threadIdx.x;
    const uint32_t self = s.totals[q * DIGITS + digit];
    uint32_t sum = self;
    for (int d = 1; d < DIGITS; d *= 2) {
        __syncthreads();
        sums[digit] = sum;
        __syncthreads();
        if (digit >= d) sum += sums[digit - d];
    }
    return sum - self;
}

/* Warp w moves the w-th part of a chunk, 32 positions at a time, so that equal digits keep their
 * order. */
static __global__ void __launch_bounds__(DLF_BLOCK) move_positions(sorting s)
{
    DLF_SHARED(unsigned, next, [WARPS][DIGITS]); /* where the warp's next such digit goes */
    const int warp = (int)threadIdx.x / DLF_WARP, lane = (int)threadIdx.x % DLF_WARP;
    for (int64_t q = blockIdx.y; q < s.Q; q += gridDim.y) {
        const uint32_t below = digits_below(s, q);
        for (int64_t chunk = blockIdx.x; chunk < s.chunks; chunk += gridDim.x) {
            const int64_t first = chunk * CHUNK + warp * (CHUNK / WARPS) + lane;
            __syncthreads(); /* `next` may still be read for the chunk before */
            for (int w = 0; w < WARPS; w++) next[w][threadIdx.x] = 0;
            __syncthreads();
            for (int k = 0; k < ROUNDS; k++) {
                const int64_t at = first + k * DLF_WARP;
                if (at >= s.B) continue;
                const int digit = digit_of(s, key_at(s, q, at));
                atomicAdd(&next[warp][digit], 1u); /* atomics: integer counts */
            }
            __syncthreads();
            unsigned to = below + s.counts[(q * DIGITS + threadIdx.x) * s.chunks + chunk];
            for (int w = 0; w < WARPS; w++) {
                const unsigned n = next[w][threadIdx.x];
                next[w][threadIdx.x] = to;
                to += n;
            }
            __syncthreads();
            for (int k = 0; k < ROUNDS; k++) {
                const int64_t at = first + k * DLF_WARP;
                const bool valid = at < s.B;
                const uint32_t key = valid ? key_at(s, q, at) : 0;
                const int digit = valid ? digit_of(s, key) : DIGITS;
                const unsigned same = __match_any_sync(0xffffffffu, digit);
                const int lower = __popc(same & ((1u << lane) - 1));
                const unsigned place = valid ? next[warp][digit] + lower : 0;
                __syncwarp();
                if (valid && lower == 0) next[warp][digit] += __popc(same);
                __syncwarp();
                if (!valid) continue;
                s.key_out[q * s.B + place] = key;
                s.at_out[q * s.B + place] = s.at_in ? s.at_in[q * s.B + at] : (uint32_t)at;
            }
        }
    }
}

/* starts[q][v] = how many sorted keys are below v, v = 0..V */
static __global__ void __launch_bounds__(DLF_BLOCK)
    find_starts(uint32_t *starts, const uint32_t *keys, int64_t Q, int64_t B, int64_t V)
{
    for (int64_t q = blockIdx.y; q < Q; q += gridDim.y)
        for (int64_t v = (int64_t)blockIdx.x * DLF_BLOCK + threadIdx.x; v <= V;
             v += (int64_t)gridDim.x * DLF_BLOCK) {
            int64_t low = 0, high = B; /* keys below `low` are smaller, from `high` on not */
            while (low < high) {
                const int64_t middle = (low + high) / 2;
                if ((int64_t)keys[q * B + middle] < v)
                    low = middle + 1;
                else
                    high = middle;
            }
            starts[q * (V + 1) + v] = (uint32_t)low;
        }
}

/* ---- backward ---------------------------------------------------------------------------------
 */

/* N and the strides of dtable and dy count units of W floats. `shared`: one order for all members.
 */
template <int W>
static __global__ void __launch_bounds__(DLF_BLOCK)
    add_rows(dlf_view<floats<W>> dtable, dlf_view<const floats<W>> dy, const uint32_t *starts,
             const uint32_t *order, bool shared, int64_t P, int64_t B, int64_t V, int64_t N,
             float beta)
{
    const int64_t columns = (N + blockDim.x - 1) / blockDim.x;
    for (int64_t p = blockIdx.y; p < P; p += gridDim.y) {
        const uint32_t *start = starts + (shared ? 0 : p) * (V + 1);
        const uint32_t *at = order + (shared ? 0 : p) * B;
        for (int64_t task = (int64_t)blockIdx.x * blockDim.y + threadIdx.y; task < V * columns;
             task += (int64_t)gridDim.x * blockDim.y) {
            const int64_t v = columns == 1 ? task : task / columns;
            const int64_t j = (task - v * columns) * blockDim.x + threadIdx.x;
            if (j >= N) continue;
            floats<W> *to = dtable.member(p) + v * N + j;
            const floats<W> *from = dy.member(p) + j;
            floats<W> sum = {};
            if (beta != 0.0f) {
                sum = *to;
#pragma unroll
                for (int c = 0; c < W; c++) sum.x[c] *= beta;
            }
            const uint32_t end = start[v + 1];
            uint32_t k = start[v];
            constexpr int AHEAD = 8; /* loads in flight; the additions keep their order */
            for (; end - k >= AHEAD; k += AHEAD) {
                floats<W> row[AHEAD];
#pragma unroll
                for (int i = 0; i < AHEAD; i++) row[i] = from[(int64_t)at[k + i] * N];
#pragma unroll
                for (int i = 0; i < AHEAD; i++)
#pragma unroll
                    for (int c = 0; c < W; c++) sum.x[c] += row[i].x[c];
            }
            for (; k < end; k++) {
                const floats<W> row = from[(int64_t)at[k] * N];
#pragma unroll
                for (int c = 0; c < W; c++) sum.x[c] += row.x[c];
            }
            *to = sum;
        }
    }
}

template <int W>
static cudaError_t launch_add(dlf_tensor *dtable, const dlf_tensor *dy, const uint32_t *starts,
                              const uint32_t *order, bool shared, double beta)
{
    const int64_t P = dy->shape[0], B = dy->shape[1], V = dtable->shape[1], N = dy->shape[2] / W;
    const dim3 block = block_for(N);
    const int64_t tasks = V * dlf_ceil_div(N, block.x);
    const dim3 grid(dlf_grid_x(dy, tasks, block.y), dlf_grid_yz(P));
    const dlf_view<floats<W>> to = {static_cast<floats<W> *>(dtable->data), dtable->stride / W};
    const dlf_view<const floats<W>> from = {static_cast<const floats<W> *>(dy->data),
                                            dy->stride / W};
    return DLF_LAUNCH(add_rows<W>, grid, block, 0, dlf_stream_of(dy), to, from, starts, order,
                      shared, P, B, V, N, (float)beta);
}

/* One pass per byte of V; what it wrote is what the next one reads. */
static cudaError_t sort(const dlf_tensor *t, sorting s, uint32_t *buffers[2][2],
                        const uint32_t **keys, const uint32_t **order)
{
    const cudaStream_t stream = dlf_stream_of(t);
    const dim3 grid(dlf_grid_x(t, s.chunks, 1), dlf_grid_yz(s.Q));
    const unsigned rows = dlf_grid_x(t, s.Q * DIGITS, WARPS);
    cudaError_t error = cudaSuccess;
    int side = 0;
    for (s.shift = 0; s.shift == 0 || (s.shift < 32 && s.index.V >> s.shift); s.shift += 8) {
        s.key_out = buffers[side][0];
        s.at_out = buffers[side][1];
        error = DLF_LAUNCH(count_digits, grid, DLF_BLOCK, 0, stream, s);
        if (error == cudaSuccess) error = DLF_LAUNCH(add_up_counts, rows, DLF_BLOCK, 0, stream, s);
        if (error == cudaSuccess) error = DLF_LAUNCH(move_positions, grid, DLF_BLOCK, 0, stream, s);
        if (error != cudaSuccess) break;
        s.key_in = s.key_out;
        s.at_in = s.at_out;
        side = 1 - side;
    }
    *keys = s.key_in;
    *order = s.at_in;
    return error;
}

extern "C" dlf_status dlf_embedding_backward_cuda(dlf_tensor *dtable, const dlf_tensor *dy,
                                                  const dlf_tensor *index, double beta)
{
    const int64_t P = dy->shape[0], B = dy->shape[1], V = dtable->shape[1], Q = index->shape[0];
    if (B > INT32_MAX || V > INT32_MAX)
        return dlf_fail(DLF_ERR_NO_KERNEL,
                        "embedding_backward: %lld rows of dy and %lld of dtable; at most 2^31-1",
                        (long long)B, (long long)V);
    const int64_t chunks = dlf_ceil_div(B, CHUNK);
    const size_t words = (size_t)Q * (4 * (size_t)B + DIGITS * (size_t)chunks + DIGITS + V + 1);
    void *scratch = nullptr;
    DLF_TRY(dlf_scratch(dy, &scratch, words * sizeof(uint32_t)));
    uint32_t *free_words = static_cast<uint32_t *>(scratch), *buffers[2][2];
    for (int k = 0; k < 4; k++, free_words += Q * B) buffers[k / 2][k % 2] = free_words;
    sorting s = {
        index_in(index, V), Q, B, chunks, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, 0};
    s.counts = free_words;
    s.totals = s.counts + Q * DIGITS * chunks;
    uint32_t *starts = s.totals + Q * DIGITS;

    const uint32_t *keys = nullptr, *order = nullptr;
    cudaError_t error = sort(dy, s, buffers, &keys, &order);
    if (error == cudaSuccess)
        error = DLF_LAUNCH(find_starts, dim3(dlf_grid_x(dy, V + 1, DLF_BLOCK), dlf_grid_yz(Q)),
                           DLF_BLOCK, 0, dlf_stream_of(dy), starts, keys, Q, B, V);
    const bool four = dy->shape[2] % 4 == 0 && dlf_aligned16(dtable, P) && dlf_aligned16(dy, P);
    /* few rows, many positions: more threads bring more than wider accesses */
    const bool many = P * V * (dy->shape[2] / 4) >= 1 << 15;
    if (error == cudaSuccess)
        error = four && many ? launch_add<4>(dtable, dy, starts, order, Q == 1, beta)
                             : launch_add<1>(dtable, dy, starts, order, Q == 1, beta);
    dlf_scratch_done(dy, scratch, words * sizeof(uint32_t));
    return dlf_launched(error, "embedding_backward");
}
