/* SPDX-License-Identifier: MIT
 * conv1x1_pipe.cuh -- how versions 2 and 3 multiply: pieces of both factors come to shared memory
 * by cp.async while earlier ones are multiplied, by tensor cores (mma.sync, sm_80 and later) or by
 * float multiply-adds.
 *
 * A tile is ROWS x COLUMNS sums, a step 64 bytes of depth. A factor lies in shared memory as it
 * does in global memory: 64 bytes of depth for each row, or, where rows are contiguous, a line of
 * rows for each depth. Pitches are odd multiples of 16 bytes: what a warp reads lies in different
 * banks. */
#ifndef DLF_CONV1X1_PIPE_CUH
#define DLF_CONV1X1_PIPE_CUH
#include "conv1x1.cuh"
#include "tensor_core.cuh"

namespace c1_pipe
{
enum {
    ROWS = C1_ROWS,
    COLUMNS = C1_PIPE_COLUMNS,
    THREADS = 256, /* 4 x 2 warps of 32 x 32 sums */
    STEP_BYTES = C1_STEP_BYTES,
    CHUNK = 16,
    DEEP_PITCH = C1_PITCH,          /* bytes from row to row                        */
    ROWS_BYTES = ROWS * DEEP_PITCH, /* of a step's rows; lines of rows need less    */
    COLUMNS_BYTES = COLUMNS * DEEP_PITCH,
    STAGES = C1_STAGES,
    LD = COLUMNS + 1, /* floats from row to row of finished sums */
    SUMS_BYTES = C1_SUMS_BYTES
};

template <class T> constexpr int step_depth = STEP_BYTES / (int)sizeof(T);

/* Bytes from one depth to the next where rows are contiguous. */
template <class T, int N> constexpr int line_pitch = N *(int)sizeof(T) + (sizeof(T) == 2 ? 16 : 32);

/* ---- a factor in global memory ----------------------------------------------------------------
 */

enum c1_axis { NO_POSITIONS, ROWS_ARE_POSITIONS, DEPTH_IS_POSITIONS };

/* Element (row, depth): weights: row row_stride + depth depth_stride; an image: its channel and
 * position, of which one is the row and the other the depth. */
template <class T> struct factor {
    dlf_view<const T> v;
    c1_positions at;
    c1_prologue u;
    int64_t rows, depth;
    int64_t row_stride, depth_stride;
    c1_axis axis;
    bool vectors; /* 16 bytes may be copied at a time */
};

/* May chunks of an image be copied? `t` NULL is nobody's operand. */
template <class T>
static inline bool image_vectors(const dlf_tensor *t, const c1_positions &at, int64_t channels,
                                 bool nhwc, int64_t M)
{
    const int64_t V = dlf_vector<T>;
    if (!dlf_aligned16(t, t->shape[0])) return false;
    if (nhwc) return channels % V == 0;
    return at.dense && at.column == 1 && at.per_image % V == 0 && at.channel % V == 0 &&
           (at.per_image == M || at.image % V == 0);
}

/* Chunks of a step that this thread copies: N rows, contiguous along the depth or along the rows.
 */
template <class T, int N, bool DEEP> struct copier {
    static constexpr int V = dlf_vector<T>;
    static constexpr int LOADS = N * STEP_BYTES / CHUNK / THREADS;
    static constexpr int PER_LINE = DEEP ? STEP_BYTES / CHUNK : N / V;

    int64_t base[LOADS]; /* element of the row at depth 0 (position 0); -1: there is no such row */

    static __device__ __forceinline__ int row_of(int r)
    {
        const int t = (int)threadIdx.x + r * THREADS;
        return DEEP ? t / PER_LINE : t % PER_LINE * V;
    }
    static __device__ __forceinline__ int depth_of(int r)
    {
        const int t = (int)threadIdx.x + r * THREADS;
        return DEEP ? t % PER_LINE * V : t / PER_LINE;
    }
    static __device__ __forceinline__ unsigned char *chunk_of(unsigned char *smem, int r)
    {
        return DEEP ? smem + row_of(r) * DEEP_PITCH + depth_of(r) * (int)sizeof(T)
                    : smem + depth_of(r) * line_pitch<T, N> + row_of(r) * (int)sizeof(T);
    }
    static __device__ __forceinline__ int64_t row_base(const factor<T> &f, int64_t row)
    {
        return f.axis == ROWS_ARE_POSITIONS   ? c1_place(f.at, row)
               : f.axis == DEPTH_IS_POSITIONS ? row * f.at.channel
                                              : row * f.row_stride;
    }
    static __device__ __forceinline__ int64_t depth_base(const factor<T> &f, int64_t d)
    {
        return f.axis == ROWS_ARE_POSITIONS   ? d * f.at.channel
               : f.axis == DEPTH_IS_POSITIONS ? c1_place(f.at, d)
                                              : d * f.depth_stride;
    }

    __device__ __forceinline__ void start(const factor<T> &f, int64_t row0)
    {
#pragma unroll
        for (int r = 0; r < LOADS; r++) {
            const int64_t row = row0 + row_of(r);
            base[r] = row < f.rows ? row_base(f, row) : -1;
        }
    }

    /* How many elements of chunk r exist, from depth d0 on below `end`. */
    __device__ __forceinline__ int valid(const factor<T> &f, int r, int64_t row0, int64_t d0,
                                         int64_t end) const
    {
        const int64_t d = d0 + depth_of(r), left = DEEP ? end - d : f.rows - (row0 + row_of(r));
        if (base[r] < 0 || d >= end) return 0;
        return left < V ? (int)left : V;
    }

    /* u of element e of chunk r. */
    __device__ __forceinline__ float prologue(const factor<T> &f, float v, int r, int e, int64_t p,
                                              int64_t row0, int64_t d0) const
    {
        const int64_t row = row0 + row_of(r) + (DEEP ? 0 : e);
        const int64_t d = d0 + depth_of(r) + (DEEP ? e : 0);
        return c1_prologue_value(v, f.u, p, f.axis == ROWS_ARE_POSITIONS ? d : row);
    }

    /* Asks for depths d0 .. of the rows from row0; what does not exist becomes 0. */
    __device__ __forceinline__ void load(unsigned char *smem, const factor<T> &f, int64_t p,
                                         int64_t row0, int64_t d0, int64_t end) const
    {
        const T *data = f.v.member(p);
#pragma unroll
        for (int r = 0; r < LOADS; r++) {
            const int n = valid(f, r, row0, d0, end);
            unsigned char *to = chunk_of(smem, r);
            const int64_t from = n ? base[r] + depth_base(f, d0 + depth_of(r)) : 0;
            if (f.vectors) {
                dlf_cp_async_zfill<CHUNK>(to, data + from, (unsigned)(n * (int)sizeof(T)));
                continue;
            }
#pragma unroll 1 /* unrolled, its addresses would cost registers of the fast path */
            for (int e = 0; e < V; e++) {
                float v = 0.0f;
                if (e < n) {
                    const int64_t row = row0 + row_of(r), d = d0 + depth_of(r);
                    const int64_t at = DEEP ? base[r] + depth_base(f, d + e)
                                            : row_base(f, row + e) + depth_base(f, d);
                    v = dlf_to_float(data[at]);
                }
                reinterpret_cast<T *>(to)[e] = dlf_of_float<T>(v);
            }
        }
    }

    /* The prologue, on what this thread has copied and nobody has read. */
    __device__ __forceinline__ void transform(unsigned char *smem, const factor<T> &f, int64_t p,
                                              int64_t row0, int64_t d0, int64_t end) const
    {
#pragma unroll
        for (int r = 0; r < LOADS; r++) {
            const int n = valid(f, r, row0, d0, end);
            T *v = reinterpret_cast<T *>(chunk_of(smem, r));
#pragma unroll 1
            for (int e = 0; e < n; e++)
                v[e] = dlf_of_float<T>(prologue(f, dlf_to_float(v[e]), r, e, p, row0, d0));
        }
    }
};

/* ---- multiplying what is in shared memory -----------------------------------------------------
 */

/* Element (row, depth) of a factor of N rows. */
template <class T, int N, bool DEEP>
static __device__ __forceinline__ const T *element(const unsigned char *smem, int row, int d)
{
    return reinterpret_cast<const T *>(DEEP ? smem + row * DEEP_PITCH + d * (int)sizeof(T)
                                            : smem + d * line_pitch<T, N> + row * (int)sizeof(T));
}

static __device__ __forceinline__ void mma(float (&c)[4], const uint32_t (&a)[4],
                                           const uint32_t (&b)[2], __half)
{
    dlf_mma_f16(c, a, b);
}
static __device__ __forceinline__ void mma(float (&c)[4], const uint32_t (&a)[4],
                                           const uint32_t (&b)[2], __nv_bfloat16)
{
    dlf_mma_bf16(c, a, b);
}
static __device__ __forceinline__ void mma(float (&c)[4], const uint32_t (&a)[4],
                                           const uint32_t (&b)[2], float)
{
    dlf_mma_tf32(c, a, b);
}

/* The sums of a thread on tensor cores: 2 x 4 tiles of 16 x 8 for its warp. */
template <class T> struct tensor_sums {
    float c[2][4][4];

    __device__ __forceinline__ void zero()
    {
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
            for (int j = 0; j < 4; j++)
#pragma unroll
                for (int k = 0; k < 4; k++) c[i][j][k] = 0.0f;
    }

    /* 16 rows x 16 (tf32: 8) depths as the a of mma. */
    template <bool DEEP>
    static __device__ __forceinline__ void rows(uint32_t (&a)[4], const unsigned char *smem,
                                                int row, int d)
    {
        const int lane = (int)threadIdx.x % DLF_WARP, g = lane / 4, t = lane % 4;
        if constexpr (sizeof(T) == 4) {
#pragma unroll
            for (int i = 0; i < 4; i++)
                a[i] = dlf_to_tf32(dlf_to_float(
                    *element<T, ROWS, DEEP>(smem, row + g + 8 * (i % 2), d + t + 4 * (i / 2))));
        } else if constexpr (DEEP) {
            dlf_ldmatrix_x4(a, element<T, ROWS, DEEP>(smem, row + lane % 16, d + lane / 16 * 8));
        } else {
            dlf_ldmatrix_x4_trans(a, element<T, ROWS, DEEP>(smem, row + lane / 8 % 2 * 8,
                                                            d + lane / 16 * 8 + lane % 8));
        }
    }

    /* 16 columns as the b of two mma. */
    template <bool DEEP>
    static __device__ __forceinline__ void columns(uint32_t (&b)[2][2], const unsigned char *smem,
                                                   int column, int d)
    {
        const int lane = (int)threadIdx.x % DLF_WARP, g = lane / 4, t = lane % 4;
        uint32_t r[4];
        if constexpr (sizeof(T) == 4) {
#pragma unroll
            for (int i = 0; i < 4; i++)
                r[i] = dlf_to_tf32(dlf_to_float(*element<T, COLUMNS, DEEP>(
                    smem, column + g + 8 * (i / 2), d + t + 4 * (i % 2))));
        } else if constexpr (DEEP) {
            dlf_ldmatrix_x4(r, element<T, COLUMNS, DEEP>(smem, column + lane / 16 * 8 + lane % 8,
                                                         d + lane / 8 % 2 * 8));
        } else {
            dlf_ldmatrix_x4_trans(r, element<T, COLUMNS, DEEP>(smem, column + lane / 16 * 8,
                                                               d + lane / 8 % 2 * 8 + lane % 8));
        }
        b[0][0] = r[0], b[0][1] = r[1], b[1][0] = r[2], b[1][1] = r[3];
    }

    template <bool A_DEEP, bool B_DEEP>
    __device__ __forceinline__ void step(const unsigned char *a_smem, const unsigned char *b_smem)
    {
        const int warp = (int)threadIdx.x / DLF_WARP, row = warp % 4 * 32, column = warp / 4 * 32;
        constexpr int DEPTH = sizeof(T) == 4 ? 8 : 16;
#pragma unroll
        for (int d = 0; d < step_depth<T>; d += DEPTH) {
            uint32_t a[2][4], b[2][2][2];
#pragma unroll
            for (int i = 0; i < 2; i++) rows<A_DEEP>(a[i], a_smem, row + 16 * i, d);
#pragma unroll
            for (int j = 0; j < 2; j++) columns<B_DEEP>(b[j], b_smem, column + 16 * j, d);
#pragma unroll
            for (int i = 0; i < 2; i++)
#pragma unroll
                for (int j = 0; j < 4; j++) mma(c[i][j], a[i], b[j / 2][j % 2], T());
        }
    }

    /* Into the tile of finished sums. */
    __device__ __forceinline__ void store(float *tile) const
    {
        const int warp = (int)threadIdx.x / DLF_WARP, lane = (int)threadIdx.x % DLF_WARP;
        const int row = warp % 4 * 32 + lane / 4, column = warp / 4 * 32 + lane % 4 * 2;
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
            for (int j = 0; j < 4; j++)
#pragma unroll
                for (int k = 0; k < 4; k++)
                    tile[(row + 16 * i + k / 2 * 8) * LD + column + 8 * j + k % 2] = c[i][j][k];
    }
};

/* The same in float: 8 x 4 sums a thread, 16 rows and 16 columns apart. */
struct float_sums {
    float c[8][4];

    __device__ __forceinline__ void zero()
    {
#pragma unroll
        for (int i = 0; i < 8; i++)
#pragma unroll
            for (int j = 0; j < 4; j++) c[i][j] = 0.0f;
    }

    template <bool A_DEEP, bool B_DEEP>
    __device__ __forceinline__ void step(const unsigned char *a_smem, const unsigned char *b_smem)
    {
        const int row = (int)threadIdx.x / 16, column = (int)threadIdx.x % 16;
#pragma unroll 4
        for (int d = 0; d < step_depth<float>; d++) {
            float a[8], b[4];
#pragma unroll
            for (int i = 0; i < 8; i++)
                a[i] = *element<float, ROWS, A_DEEP>(a_smem, row + 16 * i, d);
#pragma unroll
            for (int j = 0; j < 4; j++)
                b[j] = *element<float, COLUMNS, B_DEEP>(b_smem, column + 16 * j, d);
#pragma unroll
            for (int i = 0; i < 8; i++)
#pragma unroll
                for (int j = 0; j < 4; j++) c[i][j] = fmaf(a[i], b[j], c[i][j]);
        }
    }

    __device__ __forceinline__ void store(float *tile) const
    {
        const int row = (int)threadIdx.x / 16, column = (int)threadIdx.x % 16;
#pragma unroll
        for (int i = 0; i < 8; i++)
#pragma unroll
            for (int j = 0; j < 4; j++) tile[(row + 16 * i) * LD + column + 16 * j] = c[i][j];
    }
};

/* sums of rows row0 .. and columns column0 .. over depths first .. end. All threads; `smem` may be
 * overwritten after the next barrier. */
template <class T, bool A_DEEP, bool B_DEEP, class Sums>
static __device__ __forceinline__ void multiply(Sums &sums, const factor<T> &a, const factor<T> &b,
                                                int64_t p, int64_t row0, int64_t column0,
                                                int64_t first, int64_t end, unsigned char *smem)
{
    copier<T, ROWS, A_DEEP> rows;
    copier<T, COLUMNS, B_DEEP> columns;
    constexpr int STAGE = ROWS_BYTES + COLUMNS_BYTES, DEPTH = step_depth<T>;
    const int64_t steps = (end - first + DEPTH - 1) / DEPTH;
    rows.start(a, row0);
    columns.start(b, column0);
    sums.zero();
    auto ask = [&](int64_t s) {
        unsigned char *stage = smem + s % STAGES * STAGE;
        if (s < steps) {
            rows.load(stage, a, p, row0, first + s * DEPTH, end);
            columns.load(stage + ROWS_BYTES, b, p, column0, first + s * DEPTH, end);
        }
        dlf_cp_async_commit(); /* an empty group counts too */
    };
    for (int s = 0; s < STAGES - 1; s++) ask(s);
    for (int64_t s = 0; s < steps; s++) {
        unsigned char *stage = smem + s % STAGES * STAGE;
        dlf_cp_async_wait<STAGES - 2>();
        if (a.u.any) rows.transform(stage, a, p, row0, first + s * DEPTH, end);
        if (b.u.any) columns.transform(stage + ROWS_BYTES, b, p, column0, first + s * DEPTH, end);
        __syncthreads(); /* the stage is complete, and the one before it has been read */
        sums.template step<A_DEEP, B_DEEP>(stage, stage + ROWS_BYTES);
        ask(s + STAGES - 1);
    }
}

/* The factors of a product over channels. */
template <class T> static inline factor<T> input_factor(const c1_product<T> &a, const c1_call &call)
{
    factor<T> f;
    f.v = a.in, f.at = a.at, f.u = a.u;
    f.rows = a.M, f.depth = a.depth;
    f.row_stride = f.depth_stride = 0;
    f.axis = ROWS_ARE_POSITIONS;
    f.vectors = image_vectors<T>(call.in, a.at, a.depth, a.along_channels, a.M);
    return f;
}

template <class T>
static inline factor<T> weight_factor(const c1_product<T> &a, const c1_call &call)
{
    factor<T> f;
    const dlf_activation none = {DLF_LINEAR, 0.0};
    f.v = a.w, f.at = a.at;
    f.u = c1_prologue_of(nullptr, nullptr, none);
    f.rows = a.columns, f.depth = a.depth;
    f.row_stride = a.w_column, f.depth_stride = a.w_depth;
    f.axis = NO_POSITIONS;
    f.vectors = call.g.C % dlf_vector<T> == 0 && dlf_aligned16(call.w, call.w->shape[0]);
    return f;
}

/* launch(bool A_DEEP, bool B_DEEP) as types: where x's channels and w's depth are contiguous. */
template <class F> static inline cudaError_t with_directions(bool a_deep, bool b_deep, F launch)
{
    typedef std::integral_constant<bool, true> yes;
    typedef std::integral_constant<bool, false> no;
    if (a_deep) return b_deep ? launch(yes(), yes()) : launch(yes(), no());
    return b_deep ? launch(no(), yes()) : launch(no(), no());
}
} // namespace c1_pipe
#endif
