/* SPDX-License-Identifier: MIT */
/* Warp, block and atomic operations against scalar oracles. Builds with nvcc as well, so that the
 * oracles, and with them the test bed, can be held against a GPU. */
#include "test_simt.h"
#include "test_simt_device.cuh"
#include <limits.h>
#include <string.h>

static const unsigned full = 0xffffffffu;

/* ---- shuffles ---- */

enum { WIDTHS = 6, DISTANCES = 7, KINDS = 4, THREADS = 64 };

template <class T> static __global__ void shuffles(T *out, const T *in)
{
    const int t = threadIdx.x;
    const T v = in[t];
    int row = 0;
    for (int w = 0; w < WIDTHS; w++)
        for (int d = 0; d < DISTANCES; d++) {
            const int width = 1 << w, distance = d * d; /* 0 1 4 9 16 25 36 */
            out[THREADS * row++ + t] = __shfl_sync(full, v, distance + t * 5, width);
            out[THREADS * row++ + t] = __shfl_up_sync(full, v, distance, width);
            out[THREADS * row++ + t] = __shfl_down_sync(full, v, distance, width);
            out[THREADS * row++ + t] = __shfl_xor_sync(full, v, distance, width);
        }
}

/* The lane that `lane` reads from, from the pseudocode of shfl.sync in the PTX ISA. */
static int shuffle_source(int kind, int lane, int b, int width)
{
    const int segment_mask = 32 - width, b5 = b & 31;
    const int low = lane & segment_mask, high = low | (31 & ~segment_mask);
    int j;
    switch (kind) {
    case 0: return low | (b5 & ~segment_mask);
    case 1: j = lane - b5; return j >= low ? j : lane;
    case 2: j = lane + b5; return j <= high ? j : lane;
    default: j = lane ^ b5; return j <= high ? j : lane;
    }
}

template <class T> static int test_shuffles_of(const char *type)
{
    std::vector<T> in(THREADS), want(KINDS * WIDTHS * DISTANCES * THREADS);
    for (int t = 0; t < THREADS; t++) in[t] = static_cast<T>(t * 3 + 1);
    size_t row = 0;
    for (int w = 0; w < WIDTHS; w++)
        for (int d = 0; d < DISTANCES; d++)
            for (int kind = 0; kind < KINDS; kind++, row++)
                for (int t = 0; t < THREADS; t++) {
                    const int b = kind == 0 ? d * d + t * 5 : d * d;
                    want[THREADS * row + t] =
                        in[t / 32 * 32 + shuffle_source(kind, t % 32, b, 1 << w)];
                }
    Device<T> d_in(in), d_out(want.size());
    must(DLF_LAUNCH(shuffles<T>, 1, THREADS, 0, 0, d_out.p, d_in.p), "shuffles");
    return compare(type, d_out.get(), want);
}

static __global__ void shuffle_half(__half *out, const __half *in)
{
    out[threadIdx.x] = __shfl_xor_sync(full, in[threadIdx.x], 3);
}

int test_shuffles(void)
{
    int wrong = test_shuffles_of<float>("shuffle float") + test_shuffles_of<int>("shuffle int") +
                test_shuffles_of<unsigned>("shuffle unsigned") +
                test_shuffles_of<double>("shuffle double") +
                test_shuffles_of<long long>("shuffle long long") +
                test_shuffles_of<unsigned long long>("shuffle unsigned long long");
    std::vector<__half> in(32);
    for (int t = 0; t < 32; t++) in[t] = __float2half(static_cast<float>(t));
    Device<__half> d_in(in), d_out(in);
    must(DLF_LAUNCH(shuffle_half, 1, 32, 0, 0, d_out.p, d_in.p), "shuffle_half");
    const std::vector<__half> got = d_out.get();
    for (int t = 0; t < 32; t++) wrong += __half2float(got[t]) != static_cast<float>(t ^ 3);
    return wrong;
}

/* ---- votes: whole warps, halves of a warp, warps of which lanes have left, short warps ---- */

enum { VOTE_THREADS = 80, VOTE_ROWS = 8 };

static __global__ void votes(unsigned *out, const int *in)
{
    const int t = threadIdx.x, lane = t % 32;
    const unsigned mask = t < 64 ? full : 0xffffu; /* the third warp has 16 lanes */
    const unsigned half_warp = lane < 16 ? 0xffffu : 0xffff0000u;
    const int p = in[t];
    out[VOTE_THREADS * 0 + t] = __ballot_sync(mask, p);
    out[VOTE_THREADS * 1 + t] = static_cast<unsigned>(__any_sync(mask, p));
    out[VOTE_THREADS * 2 + t] = static_cast<unsigned>(__all_sync(mask, p));
    out[VOTE_THREADS * 3 + t] = __ballot_sync(half_warp, p);
    out[VOTE_THREADS * 4 + t] = static_cast<unsigned>(__any_sync(half_warp, p == 4));
    out[VOTE_THREADS * 5 + t] = static_cast<unsigned>(__all_sync(half_warp, p >= 0));
    if (lane == 7) return;
    out[VOTE_THREADS * 6 + t] = __ballot_sync(mask & ~(1u << 7), p);
    __syncwarp(mask & ~(1u << 7));
    if (lane < 16) out[VOTE_THREADS * 7 + t] = __ballot_sync(0xffffu & ~(1u << 7), p);
}

int test_votes(void)
{
    std::vector<int> in(VOTE_THREADS);
    for (int t = 0; t < VOTE_THREADS; t++) in[t] = t < 32 ? t * t % 7 % 5 : t < 64 ? t : t % 2;
    std::vector<unsigned> want(VOTE_ROWS * VOTE_THREADS, 77u);
    for (int t = 0; t < VOTE_THREADS; t++) {
        const int lane = t % 32, warp = t - lane, lanes = t < 64 ? 32 : 16;
        const int begin = lane / 16 * 16; /* of the half warp */
        unsigned ballot = 0, in_half = 0, all = 1, fours = 0;
        for (int l = 0; l < lanes; l++) {
            const unsigned p = in[warp + l] != 0;
            ballot |= p << l;
            all &= p;
            if (l / 16 * 16 != begin) continue;
            in_half |= p << l;
            fours |= in[warp + l] == 4;
        }
        want[VOTE_THREADS * 0 + t] = ballot;
        want[VOTE_THREADS * 1 + t] = ballot != 0;
        want[VOTE_THREADS * 2 + t] = all;
        want[VOTE_THREADS * 3 + t] = in_half;
        want[VOTE_THREADS * 4 + t] = fours;
        want[VOTE_THREADS * 5 + t] = 1;
        if (lane == 7) continue;
        want[VOTE_THREADS * 6 + t] = ballot & ~(1u << 7);
        if (lane < 16) want[VOTE_THREADS * 7 + t] = ballot & 0xffffu & ~(1u << 7);
    }
    Device<int> d_in(in);
    Device<unsigned> d_out(std::vector<unsigned>(want.size(), 77u));
    must(DLF_LAUNCH(votes, 1, VOTE_THREADS, 0, 0, d_out.p, d_in.p), "votes");
    return compare("votes", d_out.get(), want);
}

/* ---- match and reduce ---- */

enum { MATCH_ROWS = 17 };

static __global__ void match_and_reduce(unsigned *out, const int *in)
{
    const int t = threadIdx.x, lane = t % 32;
    const unsigned quarter = 0xffu << lane / 8 * 8;
    const int v = in[t];
    const unsigned u = static_cast<unsigned>(v);
    int row = 0, predicate = 0;
    auto put = [&](unsigned value) { out[32 * row++ + t] = value; };
    put(__match_any_sync(full, v));
    put(__match_any_sync(full, v * (1ll << 33)));
    put(__match_any_sync(quarter, u));
    put(__match_any_sync(full, static_cast<float>(v)));
    put(__match_all_sync(full, v, &predicate));
    put(static_cast<unsigned>(predicate));
    put(__match_all_sync(quarter, lane / 8, &predicate));
    put(static_cast<unsigned>(predicate));
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
    put(static_cast<unsigned>(__reduce_add_sync(full, v)));
    put(__reduce_add_sync(quarter, u));
    put(static_cast<unsigned>(__reduce_min_sync(full, v)));
    put(__reduce_min_sync(full, u));
    put(static_cast<unsigned>(__reduce_max_sync(quarter, v)));
    put(__reduce_max_sync(full, u));
    put(__reduce_and_sync(quarter, u));
    put(__reduce_or_sync(quarter, u));
    put(__reduce_xor_sync(full, u));
#endif
}

int test_match_and_reduce(void)
{
    std::vector<int> in(32);
    for (int t = 0; t < 32; t++) in[t] = (t * 11 % 5 - 2) * 1000003;
    std::vector<unsigned> want(MATCH_ROWS * 32);
    for (int t = 0; t < 32; t++) {
        const int q = t / 8 * 8;
        unsigned same = 0, same_in_quarter = 0, bits_or = 0, bits_and = full, bits_xor = 0;
        unsigned sum = 0, quarter_sum = 0, umin = UINT_MAX, umax = 0;
        int min_all = INT_MAX, quarter_max = INT_MIN;
        for (int l = 0; l < 32; l++) {
            const unsigned u = static_cast<unsigned>(in[l]);
            same |= static_cast<unsigned>(in[l] == in[t]) << l;
            sum += u;
            bits_xor ^= u;
            if (u < umin) umin = u;
            if (u > umax) umax = u;
            if (in[l] < min_all) min_all = in[l];
            if (l < q || l >= q + 8) continue;
            same_in_quarter |= static_cast<unsigned>(in[l] == in[t]) << l;
            quarter_sum += u;
            bits_or |= u;
            bits_and &= u;
            if (in[l] > quarter_max) quarter_max = in[l];
        }
        const unsigned rows[MATCH_ROWS] = {same,
                                           same,
                                           same_in_quarter,
                                           same,
                                           0,
                                           0,
                                           0xffu << q,
                                           1,
                                           sum,
                                           quarter_sum,
                                           static_cast<unsigned>(min_all),
                                           umin,
                                           static_cast<unsigned>(quarter_max),
                                           umax,
                                           bits_and,
                                           bits_or,
                                           bits_xor};
        for (int row = 0; row < MATCH_ROWS; row++) want[32 * row + t] = rows[row];
    }
    Device<int> d_in(in);
    Device<unsigned> d_out(want.size());
    must(DLF_LAUNCH(match_and_reduce, 1, 32, 0, 0, d_out.p, d_in.p), "match_and_reduce");
    return compare("match and reduce", d_out.get(), want);
}

/* ---- __syncthreads_count, _and, _or, several in a row ---- */

enum { BLOCK_VOTES = 70, BLOCK_ROUNDS = 3 };

static __global__ void block_votes(int *out)
{
    const int t = threadIdx.x;
    for (int round = 0; round < BLOCK_ROUNDS; round++) {
        const int limit = round * 35; /* nobody, half of them, everybody */
        const int p = t < limit;
        int *o = out + round * 3 * BLOCK_VOTES + t;
        o[0] = __syncthreads_count(p);
        o[BLOCK_VOTES] = __syncthreads_and(p);
        o[2 * BLOCK_VOTES] = __syncthreads_or(p);
    }
}

int test_block_votes(void)
{
    std::vector<int> want(BLOCK_ROUNDS * 3 * BLOCK_VOTES);
    for (int round = 0; round < BLOCK_ROUNDS; round++)
        for (int t = 0; t < BLOCK_VOTES; t++) {
            want[(round * 3 + 0) * BLOCK_VOTES + t] = round * 35;
            want[(round * 3 + 1) * BLOCK_VOTES + t] = round == 2;
            want[(round * 3 + 2) * BLOCK_VOTES + t] = round > 0;
        }
    Device<int> d_out(want.size());
    must(DLF_LAUNCH(block_votes, 1, BLOCK_VOTES, 0, 0, d_out.p), "block_votes");
    return compare("block votes", d_out.get(), want);
}

/* ---- atomics: results that do not depend on the order ---- */

typedef unsigned long long u64;

struct Atomics {
    int add_i, sub_i, min_i, max_i, cas_i;
    unsigned add_u, min_u, max_u, and_u, or_u, xor_u, inc_u, dec_u, exch_sum;
    u64 add_64, max_64, cas_64, exch_64;
    float add_f;
    double add_d;
    __half add_h[2];
    __nv_bfloat16 add_b[2];
};

static __device__ void add_once_by_cas(int *p, int v)
{
    int old = atomicAdd(p, 0), seen; /* not a plain read: that would be a race */
    while ((seen = atomicCAS(p, old, old + v)) != old) old = seen;
}

static __global__ void atomics(Atomics *a)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    const unsigned u = static_cast<unsigned>(i);
    atomicAdd(&a->add_i, i - 7);
    atomicSub(&a->sub_i, 3);
    atomicMin(&a->min_i, 5 - i);
    atomicMax(&a->max_i, i - 5);
    atomicAdd(&a->add_u, u);
    atomicMin(&a->min_u, u + 9);
    atomicMax(&a->max_u, u);
    atomicAnd(&a->and_u, ~(1u << u % 7));
    atomicOr(&a->or_u, 1u << u % 11);
    atomicXor(&a->xor_u, u);
    atomicInc(&a->inc_u, 9);
    atomicDec(&a->dec_u, 9);
    atomicAdd(&a->exch_sum, static_cast<unsigned>(atomicExch(&a->exch_64, u64(i) + 1)));
    atomicAdd(&a->add_64, u64(i) << 20);
    atomicMax(&a->max_64, u64(i) << 32);
    atomicCAS(&a->cas_64, 1ull, 2ull);
    atomicAdd(&a->add_f, 1.0f);
    atomicAdd(&a->add_d, 0.5);
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
    if (i % 32 == 0) {
        atomicAdd(&a->add_h[0], __float2half(1.0f));
        atomicAdd(&a->add_b[0], __float2bfloat16(1.0f));
    }
#endif
    if (i % 8 == 0) add_once_by_cas(&a->cas_i, 2);
}

int test_atomics(void)
{
#if defined(__SANITIZE_THREAD__)
    const int blocks = 2; /* contexts of the race detector are slow to make */
#else
    const int blocks = 64; /* enough to be spread over several workers */
#endif
    const int n = blocks * 256;
    int wrong = 0;
    Atomics start;
    memset(&start, 0, sizeof start);
    start.min_u = start.and_u = UINT_MAX;
    start.cas_64 = 1;
    Device<Atomics> d(std::vector<Atomics>(1, start));
#if defined(__SANITIZE_THREAD__)
    must(DLF_LAUNCH(atomics, 8, 64, 0, 0, d.p), "atomics");
#else
    must(DLF_LAUNCH(atomics, blocks, 256, 0, 0, d.p), "atomics");
#endif
    const Atomics a = d.get()[0];
    unsigned xor_all = 0, sum_all = 0;
    for (int i = 0; i < n; i++) {
        xor_all ^= static_cast<unsigned>(i);
        sum_all += static_cast<unsigned>(i);
    }
    CHECK(a.add_i == static_cast<int>(sum_all) - 7 * n);
    CHECK(a.sub_i == -3 * n);
    CHECK(a.min_i == 5 - (n - 1));
    CHECK(a.max_i == n - 1 - 5);
    CHECK(a.add_u == sum_all);
    CHECK(a.min_u == 9);
    CHECK(a.max_u == static_cast<unsigned>(n - 1));
    CHECK(a.and_u == ~0x7fu);
    CHECK(a.or_u == 0x7ffu);
    CHECK(a.xor_u == xor_all);
    CHECK(a.inc_u == static_cast<unsigned>(n % 10));
    CHECK(a.dec_u == static_cast<unsigned>((10 - n % 10) % 10));
    CHECK(a.exch_sum + static_cast<unsigned>(a.exch_64) == sum_all + static_cast<unsigned>(n));
    CHECK(a.add_64 == static_cast<u64>(sum_all) << 20);
    CHECK(a.max_64 == static_cast<u64>(n - 1) << 32);
    CHECK(a.cas_64 == 2);
    CHECK(a.add_f == static_cast<float>(n));
    CHECK(a.add_d == 0.5 * n);
    const float sixteen_bit_sum = static_cast<float>(n / 32);
    CHECK(__half2float(a.add_h[0]) == sixteen_bit_sum);
    CHECK(__bfloat162float(a.add_b[0]) == (sixteen_bit_sum > 256 ? 256 : sixteen_bit_sum));
    CHECK(a.cas_i == n / 8 * 2);
    return wrong;
}
