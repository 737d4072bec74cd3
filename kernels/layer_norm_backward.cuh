/* SPDX-License-Identifier: MIT
 * layer_norm_backward.cuh -- backward kernels of layer and RMS normalization.
 *
 * Either one kernel does all (registers: x and dy are read once, S = 1), or one sums dz xhat and dz
 * over each channel and a second one, after it because dx may overwrite dy, makes dx row by row.
 * Both leave pairs of partial sums for dlf_norm_finish. */
#ifndef DLF_LAYER_NORM_BACKWARD_CUH
#define DLF_LAYER_NORM_BACKWARD_CUH
#include "layer_norm_common.cuh"

template <class T> struct ln_backward_args : dlf_norm_bwd_views<T> {
    ln_shape s;
    float *part;   /* per member `parts` pairs of rows of C sums; NULL: not wanted */
    int64_t parts; /* = blocks of the kernel that sums                             */
};

struct ln_statistic {
    dlf_mean mean;
    float rstd;
};

template <class T>
static __device__ __forceinline__ ln_statistic ln_statistic_of(const ln_backward_args<T> &a,
                                                               ln_row row)
{
    const double mean = a.mean.data ? a.mean.member(row.p)[row.n] : 0.0;
    return ln_statistic{dlf_mean_of(mean), a.rstd.member(row.p)[row.n]};
}

/* dz = dy f'(z) for a pack. gamma is there already; beta and the residual are read if needed. */
template <bool ACTIVE, int V, class T>
static __device__ __forceinline__ void
ln_dz(float (&dz)[V], const ln_backward_args<T> &a, ln_row row, int64_t at, const float (&x)[V],
      const float (&dy)[V], const float (&gamma)[V], ln_statistic s)
{
    float beta[V] = {}, residual[V] = {};
    if constexpr (ACTIVE) {
        ln_channel_values(beta, a.beta.data ? a.beta.member(row.p) : nullptr, 0.0f, a.s, at);
        if (a.residual.data) dlf_load<V>(residual, ln_at(a.residual, row, a.s.L) + at);
    }
#pragma unroll
    for (int j = 0; j < V; j++) {
        dz[j] = dy[j];
        if constexpr (ACTIVE)
            dz[j] *= ln_slope<ACTIVE>(
                dlf_norm_z(x[j], s.mean, s.rstd, gamma[j], beta[j], residual[j]), a.f);
    }
}

/* The means of g and g xhat over a row, from the sums of the threads. */
template <int LANES>
static __device__ __forceinline__ void ln_row_means(const ln_team<LANES> &team, float (&sums)[2],
                                                    const ln_shape &s)
{
    ln_team_sums<LANES, 2>(team, sums);
    sums[0] = s.rms ? 0.0f : sums[0] / (float)s.L;
    sums[1] /= (float)s.L;
}

static __device__ __forceinline__ float ln_dx(float g, float xhat, const float (&means)[2],
                                              float rstd)
{
    return rstd * fmaf(-means[1], xhat, g - means[0]);
}

/* ---- everything at once -------------------------------------------------------------------------
 */

/* dgamma and dbeta of a block for the columns of a thread, while the block walks over rows. A team
 * of a warp or less keeps them in registers; a wider one in shared memory, because x, dy and both
 * sums of a long row are more than the registers hold. Both end in `room`: for either sum, float4 h
 * of pack k of a thread is number (k * V/4 + h) * threads + thread, so that neighbouring threads
 * reach neighbouring banks. */
template <int LANES, int V, int ITEMS> struct ln_column_sums {
    static constexpr bool IN_REGISTERS = LANES != 0;
    static constexpr int QUARTERS = V / 4;
    float4 *room;
    int thread, threads;
    float sums[2][IN_REGISTERS ? ITEMS : 1][V];

    __device__ __forceinline__ float4 &at(int which, int k, int h)
    {
        return room[((which * ITEMS + k) * QUARTERS + h) * threads + thread];
    }
    __device__ __forceinline__ void clear()
    {
#pragma unroll
        for (int i = 0; i < 2 * ITEMS; i++)
#pragma unroll
            for (int j = 0; j < V; j++) {
                if constexpr (IN_REGISTERS)
                    sums[i / ITEMS][i % ITEMS][j] = 0.0f;
                else if (j % 4 == 0)
                    at(i / ITEMS, i % ITEMS, j / 4) = float4{0.0f, 0.0f, 0.0f, 0.0f};
            }
    }
    __device__ __forceinline__ void add(int which, int k, const float (&v)[V])
    {
        if constexpr (IN_REGISTERS) {
#pragma unroll
            for (int j = 0; j < V; j++) sums[which][k][j] += v[j];
        } else {
#pragma unroll
            for (int h = 0; h < QUARTERS; h++) {
                float4 &to = at(which, k, h);
                const float4 old = to;
                to = float4{old.x + v[4 * h], old.y + v[4 * h + 1], old.z + v[4 * h + 2],
                            old.w + v[4 * h + 3]};
            }
        }
    }
    /* out[which][c] = the teams' sums for column c < L, added in team order */
    __device__ __forceinline__ void write(float *out, const ln_team<LANES> &team, int L)
    {
        if constexpr (IN_REGISTERS)
#pragma unroll
            for (int i = 0; i < 2 * ITEMS; i++)
#pragma unroll
                for (int h = 0; h < QUARTERS; h++) {
                    const float *v = sums[i / ITEMS][i % ITEMS] + 4 * h;
                    at(i / ITEMS, i % ITEMS, h) = float4{v[0], v[1], v[2], v[3]};
                }
        __syncthreads();
        for (int c = thread; c < L; c += threads) {
            const int pack = c / V, k = pack / team.lanes, lane = pack % team.lanes;
            for (int which = 0; which < 2; which++) {
                const int quarter = (which * ITEMS + k) * QUARTERS + c % V / 4;
                const float *from =
                    reinterpret_cast<const float *>(room + quarter * threads + lane) + c % 4;
                float total = *from;
                for (int i = 1; i < team.groups; i++) total += from[4 * i * team.lanes];
                out[(int64_t)which * L + c] = total;
            }
        }
        __syncthreads(); /* room is cleared for the next member */
    }
};

/* Threads of a wide block: as many as the registers serve without spilling. */
constexpr int ln_wide_threads(int element_size, int elements, bool active)
{
    return element_size == 4 && (active || elements > 16) ? 384 : 512;
}

/* Blocks that stay: each walks over rows gridDim.x teams apart. x and dy stay in registers between
 * the two passes over a row. */
template <class T, bool ACTIVE, int LANES, int ITEMS>
static __global__ void
__launch_bounds__(LANES ? 256 : ln_wide_threads(sizeof(T), ITEMS *dlf_vector<T>, ACTIVE))
    ln_backward_registers(ln_backward_args<T> a)
{
    constexpr int V = dlf_vector<T>;
    DLF_DYN_SHARED(float4, room);
    const ln_team<LANES> team;
    const int L = (int)a.s.L, first = team.lane * V, step = team.lanes * V;
    const int64_t stride = (int64_t)gridDim.x * team.groups;
    ln_column_sums<LANES, V, ITEMS> columns;
    columns.room = room;
    columns.thread = team.group * team.lanes + team.lane;
    columns.threads = team.groups * team.lanes;
    for (int64_t p = blockIdx.y; p < a.s.P; p += gridDim.y) {
        const float *gamma = a.gamma.data ? a.gamma.member(p) : nullptr;
        if (a.part) columns.clear();
        for (int64_t base = (int64_t)blockIdx.x * team.groups; base < a.s.N; base += stride) {
            const bool exists = base + team.group < a.s.N;
            const int length = exists ? L : 0;
            const ln_row row{p, exists ? base + team.group : base};
            const ln_statistic s = ln_statistic_of(a, row);
            const T *x_row = ln_at(a.x, row, L), *dy_row = ln_at(a.dy, row, L);
            ln_raw<T, V> xs[ITEMS], dys[ITEMS];
            float dzs[ACTIVE ? ITEMS : 1][V]; /* a second f' would cost more than registers */
#pragma unroll
            for (int k = 0; k < ITEMS; k++)
                if (first + k * step < length) {
                    xs[k] = ln_load_raw<V>(x_row + first + k * step);
                    dys[k] = ln_load_raw<V>(dy_row + first + k * step);
                }
            float sums[2] = {};
#pragma unroll
            for (int k = 0; k < ITEMS; k++)
                if (first + k * step < length) {
                    float x[V], dy[V], dz[V], g[V], dz_xhat[V];
                    ln_unpack(x, xs[k]), ln_unpack(dy, dys[k]);
                    ln_channel_values(g, gamma, 1.0f, a.s, first + k * step);
                    ln_dz<ACTIVE>(dz, a, row, first + k * step, x, dy, g, s);
#pragma unroll
                    for (int j = 0; j < V; j++) {
                        const float xhat = dlf_centred(x[j], s.mean) * s.rstd;
                        sums[0] += dz[j] * g[j];
                        sums[1] = fmaf(dz[j] * g[j], xhat, sums[1]);
                        dz_xhat[j] = dz[j] * xhat;
                        if constexpr (ACTIVE) dzs[k][j] = dz[j];
                    }
                    if (a.part) columns.add(0, k, dz_xhat), columns.add(1, k, dz);
                }
            ln_row_means(team, sums, a.s);
#pragma unroll
            for (int k = 0; k < ITEMS; k++)
                if (first + k * step < length) {
                    float x[V], dz[V], g[V], dx[V];
                    ln_unpack(x, xs[k]);
                    ln_channel_values(g, gamma, 1.0f, a.s, first + k * step);
                    if constexpr (ACTIVE) {
#pragma unroll
                        for (int j = 0; j < V; j++) dz[j] = dzs[k][j];
                    } else {
                        ln_unpack(dz, dys[k]);
                    }
#pragma unroll
                    for (int j = 0; j < V; j++)
                        dx[j] =
                            ln_dx(dz[j] * g[j], dlf_centred(x[j], s.mean) * s.rstd, sums, s.rstd);
                    dlf_store<V>(ln_at(a.dx, row, L) + first + k * step, dx);
                    if (a.dresidual.data)
                        dlf_store<V>(ln_at(a.dresidual, row, L) + first + k * step, dz);
                }
        }
        if (a.part) columns.write(a.part + (p * a.parts + blockIdx.x) * 2 * L, team, L);
    }
}

/* ---- row by row ---------------------------------------------------------------------------------
 */

/* One block per row, which reads x and dy twice. V = 1 fits everything. */
template <class T, bool ACTIVE, int V>
static __global__ void __launch_bounds__(512) ln_backward_rows(ln_backward_args<T> a)
{
    const ln_team<0> team;
    const int64_t rows = a.s.P * a.s.N, L = a.s.L;
    for (int64_t i = blockIdx.x; i < rows; i += gridDim.x) {
        const ln_row row = ln_row_of<(V > 1)>(a.s, i);
        const ln_statistic s = ln_statistic_of(a, row);
        const float *gamma = a.gamma.data ? a.gamma.member(row.p) : nullptr;
        const auto each = [&](auto visit) { /* visit(at, x, dz, gamma) for this thread's packs */
                                            for (int64_t at = (int64_t)team.lane * V; at < L;
                                                 at += (int64_t)team.lanes * V) {
                                                float x[V], dy[V], dz[V], g[V];
                                                dlf_load<V>(x, ln_at(a.x, row, L) + at);
                                                dlf_load<V>(dy, ln_at(a.dy, row, L) + at);
                                                ln_channel_values(g, gamma, 1.0f, a.s, at);
                                                ln_dz<ACTIVE>(dz, a, row, at, x, dy, g, s);
                                                visit(at, x, dz, g);
                                            }
        };
        float sums[2] = {};
        each([&](int64_t, const float(&x)[V], const float(&dz)[V], const float(&g)[V]) {
#pragma unroll
            for (int j = 0; j < V; j++) {
                sums[0] += dz[j] * g[j];
                sums[1] = fmaf(dz[j] * g[j], dlf_centred(x[j], s.mean) * s.rstd, sums[1]);
            }
        });
        ln_row_means(team, sums, a.s);
        each([&](int64_t at, const float(&x)[V], const float(&dz)[V], const float(&g)[V]) {
            float dx[V];
#pragma unroll
            for (int j = 0; j < V; j++)
                dx[j] = ln_dx(dz[j] * g[j], dlf_centred(x[j], s.mean) * s.rstd, sums, s.rstd);
            dlf_store<V>(ln_at(a.dx, row, L) + at, dx);
            if (a.dresidual.data) dlf_store<V>(ln_at(a.dresidual, row, L) + at, dz);
        });
    }
}

/* ---- sums over a channel ------------------------------------------------------------------------
 */

/* dz and dz xhat of one element. */
template <class T, bool ACTIVE>
static __device__ __forceinline__ void
ln_add_element(float (&sums)[2], const ln_backward_args<T> &a, ln_row row, int64_t at, int64_t c)
{
    const ln_statistic s = ln_statistic_of(a, row);
    float x[1], dy[1], dz[1];
    dlf_load<1>(x, ln_at(a.x, row, a.s.L) + at);
    dlf_load<1>(dy, ln_at(a.dy, row, a.s.L) + at);
    const float gamma[1] = {a.gamma.data ? a.gamma.member(row.p)[c] : 1.0f};
    ln_dz<ACTIVE>(dz, a, row, at, x, dy, gamma, s);
    sums[0] = fmaf(dz[0], dlf_centred(x[0], s.mean) * s.rstd, sums[0]);
    sums[1] += dz[0];
}

enum { LN_COLUMNS = 32, LN_COLUMN_LANES = 8 };

/* Channels side by side (NHWC, or S = 1): a member is a matrix of N S lines and C columns. A block
 * sums 32 columns over one of a.parts runs of lines. */
template <class T, bool ACTIVE>
static __global__ void __launch_bounds__(LN_COLUMNS *LN_COLUMN_LANES)
    ln_sum_columns(ln_backward_args<T> a)
{
    DLF_SHARED(float, lanes, [2][LN_COLUMN_LANES][LN_COLUMNS]);
    const int column = (int)threadIdx.x, lane = (int)threadIdx.y;
    const int64_t C = a.s.C, lines = a.s.N * a.s.S, tiles = (C + LN_COLUMNS - 1) / LN_COLUMNS;
    const int64_t per_part = (lines + a.parts - 1) / a.parts;
    for (int64_t task = blockIdx.x; task < a.s.P * tiles * a.parts; task += gridDim.x) {
        const int64_t tile = task % tiles, k = task / tiles % a.parts, p = task / tiles / a.parts;
        const int64_t c = tile * LN_COLUMNS + column;
        const int64_t end = (k + 1) * per_part < lines ? (k + 1) * per_part : lines;
        float sums[2] = {};
        if (c < C)
            for (int64_t i = k * per_part + lane; i < end; i += LN_COLUMN_LANES) {
                const int64_t n = a.s.S == 1 ? i : ln_quotient<false>(i, a.s.S);
                ln_add_element<T, ACTIVE>(sums, a, ln_row{p, n}, (i - n * a.s.S) * C + c, c);
            }
        __syncthreads(); /* the array may still be read for the task before */
        lanes[0][lane][column] = sums[0];
        lanes[1][lane][column] = sums[1];
        __syncthreads();
        if (lane >= 2 || c >= C) continue; /* lane 0 adds up the first sums, lane 1 the second */
        float total = lanes[lane][0][column];
        for (int l = 1; l < LN_COLUMN_LANES; l++) total += lanes[lane][l][column];
        a.part[((p * a.parts + k) * 2 + lane) * C + c] = total;
    }
}

/* S elements of a channel side by side (NCHW): a warp sums one channel over one of a.parts runs of
 * samples. */
template <class T, bool ACTIVE>
static __global__ void __launch_bounds__(DLF_BLOCK) ln_sum_planes(ln_backward_args<T> a)
{
    const int lane = (int)threadIdx.x % DLF_WARP, warps = DLF_BLOCK / DLF_WARP;
    const int64_t C = a.s.C, S = a.s.S, per_part = (a.s.N + a.parts - 1) / a.parts;
    const int64_t step = (int64_t)gridDim.x * warps;
    for (int64_t task = (int64_t)blockIdx.x * warps + threadIdx.x / DLF_WARP;
         task < a.s.P * a.parts * C; task += step) {
        const int64_t c = task % C, k = task / C % a.parts, p = task / C / a.parts;
        const int64_t end = (k + 1) * per_part < a.s.N ? (k + 1) * per_part : a.s.N;
        float sums[2] = {};
        for (int64_t n = k * per_part; n < end; n++)
            for (int64_t i = lane; i < S; i += DLF_WARP)
                ln_add_element<T, ACTIVE>(sums, a, ln_row{p, n}, c * S + i, c);
        dlf_lane_sums<DLF_WARP, 2>(sums);
        if (lane < 2) a.part[((p * a.parts + k) * 2 + lane) * C + c] = lane ? sums[1] : sums[0];
    }
}
#endif
