/* SPDX-License-Identifier: MIT
 * moments.cu -- five moments of a segment: fixed chunks to scratch memory, then the chunks in
 * order. Squares of floats are exact in double, so that sums lose nothing that matters. The order
 * of the additions does not depend on where a segment lies. */
#include "math.cuh"

enum {
    CHUNK = 32 * DLF_BLOCK, /* elements per block                                              */
    MOST_CHUNKS = 2048      /* dlf_moments_pieces: longer members are cut into larger chunks   */
};

/* What a thread has seen: of elements, float and unsigned will do. */
template <class Max, class Count> struct moments {
    double sum, squares;
    Max max;
    Count nonfinite, zeros;
};

static __device__ __forceinline__ void take(moments<float, unsigned> &m, float x)
{
    const double v = (double)x;
    m.sum += v;
    m.squares += v * v;
    m.max = dlf_max_nan(m.max, fabsf(x));
    m.nonfinite += isfinite(x) ? 0 : 1;
    m.zeros += x == 0.0f ? 1 : 0;
}

/* Thread t takes x[t], x[t + DLF_BLOCK], .., eight loads ahead of their use. */
static __device__ __forceinline__ moments<float, unsigned> of_elements(const float *x, int64_t n)
{
    constexpr int AHEAD = 8;
    moments<float, unsigned> m = {0.0, 0.0, 0.0f, 0, 0};
    int64_t i = threadIdx.x;
    for (; i + (AHEAD - 1) * DLF_BLOCK < n; i += AHEAD * DLF_BLOCK) {
        float e[AHEAD];
#pragma unroll
        for (int k = 0; k < AHEAD; k++) e[k] = x[i + k * DLF_BLOCK];
#pragma unroll
        for (int k = 0; k < AHEAD; k++) take(m, e[k]);
    }
    for (; i < n; i += DLF_BLOCK) take(m, x[i]);
    return m;
}

static __device__ __forceinline__ moments<double, double> of_parts(const double *part, int64_t n)
{
    moments<double, double> m = {0.0, 0.0, 0.0, 0.0, 0.0};
    for (int64_t i = threadIdx.x; i < n; i += DLF_BLOCK) {
        const double *from = part + DLF_MOMENTS * i;
        m.sum += from[DLF_MOMENT_SUM];
        m.squares += from[DLF_MOMENT_SUM_SQUARES];
        m.max = dlf_max_nan(m.max, from[DLF_MOMENT_MAX_ABS]);
        m.nonfinite += from[DLF_MOMENT_NONFINITE];
        m.zeros += from[DLF_MOMENT_ZEROS];
    }
    return m;
}

/* The block's moments to out[0..4]: a butterfly in each warp, then thread k adds up moment k. */
template <class Max, class Count>
static __device__ __forceinline__ void block_store(double *out, const moments<Max, Count> &m)
{
    DLF_SHARED(double, warps, [DLF_MOMENTS][DLF_BLOCK / DLF_WARP]);
    const int warp = (int)threadIdx.x / DLF_WARP, k = (int)threadIdx.x;
    const double sum = dlf_warp_sum(m.sum), squares = dlf_warp_sum(m.squares);
    const Max max = dlf_warp_max_nan(m.max);
    const Count nonfinite = dlf_warp_sum(m.nonfinite), zeros = dlf_warp_sum(m.zeros);
    __syncthreads(); /* the array may still be read from the chunk before */
    if (threadIdx.x % DLF_WARP == 0) {
        warps[DLF_MOMENT_SUM][warp] = sum;
        warps[DLF_MOMENT_SUM_SQUARES][warp] = squares;
        warps[DLF_MOMENT_MAX_ABS][warp] = (double)max;
        warps[DLF_MOMENT_NONFINITE][warp] = (double)nonfinite;
        warps[DLF_MOMENT_ZEROS][warp] = (double)zeros;
    }
    __syncthreads();
    if (k >= DLF_MOMENTS) return;
    double all = warps[k][0];
    for (int i = 1; i < DLF_BLOCK / DLF_WARP; i++)
        all = k == DLF_MOMENT_MAX_ABS ? dlf_max_nan(all, warps[k][i]) : all + warps[k][i];
    out[k] = all;
}

/* ---- whole segments ------------------------------------------------------------------------- */

/* out.member(s) + DLF_MOMENTS * chunk takes the moments of that chunk of segment s. */
static __global__ void __launch_bounds__(DLF_BLOCK)
    chunk_moments(dlf_view<double> out, dlf_view<const float> x, int64_t S, int64_t n,
                  int64_t chunks)
{
    for (int64_t s = blockIdx.y; s < S; s += gridDim.y)
        for (int64_t chunk = blockIdx.x; chunk < chunks; chunk += gridDim.x) {
            const int64_t i = chunk * CHUNK, left = n - i;
            block_store(out.member(s) + DLF_MOMENTS * chunk,
                        of_elements(x.member(s) + i, left < CHUNK ? left : (int64_t)CHUNK));
        }
}

static __global__ void __launch_bounds__(DLF_BLOCK)
    segment_moments(dlf_view<double> out, const double *part, int64_t S, int64_t chunks)
{
    for (int64_t s = blockIdx.x; s < S; s += gridDim.x)
        block_store(out.member(s), of_parts(part + DLF_MOMENTS * s * chunks, chunks));
}

extern "C" dlf_status dlf_moments_cuda(dlf_tensor *out, const dlf_tensor *x)
{
    const int64_t S = x->shape[0], n = dlf_tensor_member_count(x);
    const int64_t chunks = dlf_ceil_div(n, CHUNK);
    const size_t bytes = chunks == 1 ? 0 : (size_t)(S * chunks * DLF_MOMENTS) * sizeof(double);
    const cudaStream_t stream = dlf_stream_of(x);
    const dlf_view<double> result = dlf_view_of<double>(out);
    void *part = nullptr;
    if (bytes) DLF_TRY(dlf_scratch(x, &part, bytes));

    dlf_view<double> first = result; /* one chunk: its moments are the result */
    if (bytes) first = dlf_view<double>{static_cast<double *>(part), chunks * DLF_MOMENTS};
    const dim3 grid(dlf_grid_x(x, chunks, 1), dlf_grid_yz(S));
    cudaError_t error = DLF_LAUNCH(chunk_moments, grid, DLF_BLOCK, 0, stream, first,
                                   dlf_view_of<const float>(x), S, n, chunks);
    if (bytes && error == cudaSuccess)
        error = DLF_LAUNCH(segment_moments, dlf_grid_x(x, S, 1), DLF_BLOCK, 0, stream, result, part,
                           S, chunks);
    if (bytes) dlf_scratch_done(x, part, bytes);
    return dlf_launched(error, "moments");
}

/* ---- pieces of each member ------------------------------------------------------------------
 *
 * The offsets are on the device, so the host does not know how many chunks there are: a first
 * kernel counts them. Pieces may overlap; the chunk is doubled until there are no more chunks than
 * disjoint pieces could have, K + n / chunk, for which there is memory. */

/* How the members are cut into tasks, which are chunks of pieces. */
struct piece_plan {
    const int32_t *offsets;
    int64_t offset_stride, K, n;
    int64_t chunk;  /* the least                                                     */
    int64_t budget; /* most tasks of a member                                        */
    int64_t *first; /* [K + 1] first task of each piece; [K + 1]: the chunk in use   */
};

struct piece_range {
    int64_t begin, length;
};

static __device__ __forceinline__ int64_t clamped_offset(const piece_plan &plan, int64_t k)
{
    const int64_t offset = plan.offsets[k * plan.offset_stride];
    return offset < 0 ? 0 : offset > plan.n ? plan.n : offset;
}

static __device__ __forceinline__ piece_range range_of(const piece_plan &plan, int64_t k)
{
    const int64_t begin = clamped_offset(plan, k), length = clamped_offset(plan, k + 1) - begin;
    return piece_range{begin, length < 0 ? 0 : length};
}

/* An empty piece is one task, too, which finds nothing. */
static __device__ __forceinline__ int64_t tasks_of(int64_t length, int64_t chunk)
{
    return length <= chunk ? 1 : (length + chunk - 1) / chunk;
}

/* One block. Thread t counts the pieces t * share .. of its share, then all add up. */
static __global__ void __launch_bounds__(DLF_BLOCK) plan_pieces(piece_plan plan)
{
    DLF_SHARED(int64_t, until, [DLF_BLOCK]); /* tasks of the threads up to and including t */
    const int t = (int)threadIdx.x;
    const int64_t share = (plan.K + DLF_BLOCK - 1) / DLF_BLOCK;
    const int64_t from = t * share < plan.K ? t * share : plan.K;
    const int64_t to = from + share < plan.K ? from + share : plan.K;
    int64_t chunk = plan.chunk, mine;
    for (;; chunk *= 2) {
        mine = 0;
        for (int64_t k = from; k < to; k++) mine += tasks_of(range_of(plan, k).length, chunk);
        until[t] = mine;
        __syncthreads();
        for (int d = 1; d < DLF_BLOCK; d *= 2) {
            const int64_t before = t >= d ? until[t - d] : 0;
            __syncthreads();
            until[t] += before;
            __syncthreads();
        }
        const bool fits = until[DLF_BLOCK - 1] <= plan.budget; /* at last: K tasks */
        __syncthreads();
        if (fits) break;
    }
    int64_t task = until[t] - mine;
    for (int64_t k = from; k < to; k++) {
        plan.first[k] = task;
        task += tasks_of(range_of(plan, k).length, chunk);
    }
    if (t == DLF_BLOCK - 1) {
        plan.first[plan.K] = until[t];
        plan.first[plan.K + 1] = chunk;
    }
}

/* The piece that the task belongs to. */
static __device__ int64_t piece_of(const piece_plan &plan, int64_t task)
{
    int64_t low = 0, high = plan.K; /* first[low] <= task < first[high] */
    while (high - low > 1) {
        const int64_t middle = low + (high - low) / 2;
        if (plan.first[middle] <= task)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* PLANNED: a piece of one task goes to `out`, tasks of larger ones to part[p][task]. Not PLANNED:
 * every piece is one task. */
template <bool PLANNED>
static __global__ void __launch_bounds__(DLF_BLOCK)
    task_moments(dlf_view<double> out, dlf_view<const float> x, double *part, piece_plan plan,
                 int64_t P)
{
    const int64_t tasks = PLANNED ? plan.first[plan.K] : plan.K;
    const int64_t chunk = PLANNED ? plan.first[plan.K + 1] : plan.n;
    for (int64_t p = blockIdx.y; p < P; p += gridDim.y)
        for (int64_t task = blockIdx.x; task < tasks; task += gridDim.x) {
            const int64_t k = PLANNED ? piece_of(plan, task) : task;
            const piece_range piece = range_of(plan, k);
            const int64_t at = PLANNED ? (task - plan.first[k]) * chunk : 0;
            const int64_t left = piece.length - at;
            const bool whole = piece.length <= chunk;
            block_store(whole ? out.member(p) + DLF_MOMENTS * k
                              : part + DLF_MOMENTS * (p * plan.budget + task),
                        of_elements(x.member(p) + piece.begin + at, left < chunk ? left : chunk));
        }
}

static __global__ void __launch_bounds__(DLF_BLOCK)
    piece_moments(dlf_view<double> out, const double *part, piece_plan plan, int64_t P)
{
    for (int64_t p = blockIdx.y; p < P; p += gridDim.y)
        for (int64_t k = blockIdx.x; k < plan.K; k += gridDim.x) {
            const int64_t first = plan.first[k], tasks = plan.first[k + 1] - first;
            if (tasks == 1) continue;
            block_store(out.member(p) + DLF_MOMENTS * k,
                        of_parts(part + DLF_MOMENTS * (p * plan.budget + first), tasks));
        }
}

/* More than one chunk fits a member: plan, tasks, pieces. */
static dlf_status planned_moments(dlf_view<double> out, const dlf_tensor *x, piece_plan plan)
{
    const int64_t P = x->shape[0];
    const cudaStream_t stream = dlf_stream_of(x);
    while (plan.n / plan.chunk > MOST_CHUNKS) plan.chunk *= 2;
    plan.budget = plan.K + plan.n / plan.chunk;
    const size_t firsts = (size_t)(plan.K + 2) * sizeof(int64_t);
    const size_t bytes = firsts + (size_t)(P * plan.budget * DLF_MOMENTS) * sizeof(double);
    void *scratch = nullptr;
    DLF_TRY(dlf_scratch(x, &scratch, bytes));
    plan.first = static_cast<int64_t *>(scratch);
    void *part = static_cast<char *>(scratch) + firsts;

    cudaError_t error = DLF_LAUNCH(plan_pieces, 1, DLF_BLOCK, 0, stream, plan);
    if (error == cudaSuccess)
        error = DLF_LAUNCH(task_moments<true>, dim3(dlf_grid_x(x, plan.budget, 1), dlf_grid_yz(P)),
                           DLF_BLOCK, 0, stream, out, dlf_view_of<const float>(x), part, plan, P);
    if (error == cudaSuccess)
        error = DLF_LAUNCH(piece_moments, dim3(dlf_grid_x(x, plan.K, 4), dlf_grid_yz(P)), DLF_BLOCK,
                           0, stream, out, part, plan, P);
    dlf_scratch_done(x, scratch, bytes);
    return dlf_launched(error, "moments_pieces");
}

extern "C" dlf_status dlf_moments_pieces_cuda(dlf_tensor *out, const dlf_tensor *x,
                                              const dlf_tensor *offsets)
{
    const int64_t P = x->shape[0];
    const dlf_view<double> result = dlf_view_of<double>(out);
    piece_plan plan = {};
    plan.offsets = static_cast<const int32_t *>(offsets->data);
    plan.offset_stride = offsets->stride;
    plan.K = offsets->shape[0] - 1;
    plan.n = x->shape[1];
    plan.chunk = CHUNK;
    if (plan.n > CHUNK) return planned_moments(result, x, plan);
    const dim3 grid(dlf_grid_x(x, plan.K, 1), dlf_grid_yz(P));
    void *no_parts = nullptr;
    return dlf_launched(DLF_LAUNCH(task_moments<false>, grid, DLF_BLOCK, 0, dlf_stream_of(x),
                                   result, dlf_view_of<const float>(x), no_parts, plan, P),
                        "moments_pieces");
}
