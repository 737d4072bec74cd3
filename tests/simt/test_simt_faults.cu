/* SPDX-License-Identifier: MIT */
/* Planted faults. Each is run in a process of its own by test_simt_main.c, which asserts that the
 * build that should see it does. For the test bed only: on a GPU they would do anything. */
#include "simt_control.h"
#include "tensor_core.cuh"
#include "test_simt.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { N = 1024 }; /* elements of the array that each kernel gets */

/* ---- none, for comparison ---- */

static __global__ void no_fault(float *p)
{
    DLF_SHARED(float, s, [64]);
    const int t = threadIdx.x;
    s[t] = p[t];
    __syncthreads();
    p[t] = s[(t + 1) % 64];
}

/* ---- order ---- */

static __global__ void missing_barrier(float *p)
{
    DLF_SHARED(float, s, [64]);
    const int t = threadIdx.x;
    s[t] = p[t];
    p[t] = s[(t + 1) % 64];
}

/* The second barrier of a tiled loop is missing: the next tile overwrites what is still read. */
static __global__ void missing_second_barrier(float *p)
{
    DLF_SHARED(float, s, [64]);
    const int t = threadIdx.x;
    float sum = 0.0f;
    for (int tile = 0; tile < 4; tile++) {
        s[t] = p[tile * 64 + t];
        __syncthreads();
        for (int i = 0; i < 64; i += 9) sum += s[(t + i) % 64] * (i + 1);
    }
    p[512 + t] = sum;
}

/* A shuffle orders nothing; __syncwarp() would. */
static __global__ void missing_syncwarp(float *p)
{
    DLF_SHARED(float, s, [32]);
    const int t = threadIdx.x;
    s[t] = p[t];
    const float v = __shfl_xor_sync(0xffffffffu, 1.0f, 1);
    p[t] = s[t ^ 1] + v;
}

static __global__ void plain_accumulation(float *p)
{
    p[0] += 1.0f;
}

/* Each block relies on the one before having finished. */
static __global__ void order_of_blocks(float *p)
{
    const unsigned b = blockIdx.x;
    p[b] = b == 0 ? 1.0f : p[b - 1] * 1.5f;
}

static __device__ unsigned blocks_done;

/* Barriers order the threads of one block, not two blocks, nor do the blocks before those two. */
static __global__ void blocks_with_barriers(float *p)
{
    __syncthreads();
    if (blockIdx.x >= 8 && threadIdx.x == blockDim.x - 1) p[0] += 1.0f;
    __syncthreads();
    __syncthreads();
}

static __global__ void missing_fence(float *p)
{
    DLF_SHARED(int, is_last, );
    if (threadIdx.x == 0) {
        p[blockIdx.x] = 1.0f;
        is_last = atomicInc(&blocks_done, gridDim.x - 1) == gridDim.x - 1;
    }
    __syncthreads();
    if (is_last && threadIdx.x < gridDim.x) p[100 + threadIdx.x] = p[threadIdx.x];
}

/* The shared array holds valid numbers already, so that only the copy itself can show. */
static __global__ void missing_async_wait(float *p)
{
    DLF_SHARED(float, s, [128]);
    const int t = threadIdx.x;
    for (int i = t; i < 128; i += 32) s[i] = 1.0f;
    __syncthreads();
    dlf_cp_async<16>(&s[t * 4], &p[t * 4]);
    dlf_cp_async_commit();
    __syncthreads();
    p[t] = s[t];
}

/* Waits for all groups but one, and reads what the last one brings. */
static __global__ void wait_for_wrong_group(float *p)
{
    DLF_SHARED(float, s, [256]);
    const int t = threadIdx.x;
    dlf_cp_async<16>(&s[t * 4], &p[t * 4]);
    dlf_cp_async_commit();
    dlf_cp_async<16>(&s[128 + t * 4], &p[128 + t * 4]);
    dlf_cp_async_commit();
    dlf_cp_async_wait<1>();
    __syncthreads();
    p[t] = s[t] + s[128 + t];
}

static __global__ void missing_async_commit(float *p)
{
    DLF_SHARED(float, s, [128]);
    const int t = threadIdx.x;
    dlf_cp_async<16>(&s[t * 4], &p[t * 4]);
    dlf_cp_async_wait<0>();
    __syncthreads();
    p[t] = s[t];
}

static __global__ void uninitialised_shared(float *p)
{
    DLF_SHARED(float, s, [64]);
    if (threadIdx.x != 3) s[threadIdx.x] = 1.0f;
    __syncthreads();
    p[threadIdx.x] = s[threadIdx.x];
}

/* ---- bounds ---- */

static __global__ void global_write_past_end(float *p)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i <= N) p[i] = 1.0f;
}

static __global__ void global_read_past_end(float *p)
{
    if (threadIdx.x == 0) p[0] = p[N];
}

static __global__ void shared_write_past_end(float *p)
{
    DLF_SHARED(float, s, [64]);
    const int t = threadIdx.x;
    float *q = s; /* a pointer, or the compiler itself would see it */
    q[t + 1] = p[t];
    __syncthreads();
    p[t] = s[t];
}

static __global__ void shared_read_before_start(float *p)
{
    DLF_SHARED(float, s, [64]);
    const int t = threadIdx.x;
    const float *q = s;
    s[t] = p[t];
    __syncthreads();
    p[t] = q[t - 1];
}

static __global__ void dynamic_write_past_end(float *p)
{
    DLF_DYN_SHARED(float, s);
    s[threadIdx.x + 1] = p[threadIdx.x];
}

static __global__ void misaligned_async(float *p)
{
    DLF_SHARED(float, s, [64]);
    if (threadIdx.x == 0) dlf_cp_async<16>(s, p + 1);
}

/* ---- barriers and warps ---- */

static __global__ void misaligned_vector(float *p)
{
    const float *from = p + 4 * threadIdx.x + 1;
    DLF_ALIGNED(from, 16);
    p[threadIdx.x] = from[0];
}

static __global__ void divergent_barrier(float *p)
{
    if (threadIdx.x < 32) {
        p[threadIdx.x] = 1.0f;
        __syncthreads(); /* first of two */
    } else {
        p[threadIdx.x] = 2.0f;
        __syncthreads(); /* second of two */
    }
}

static __global__ void absent_lane(float *p)
{
    const int t = threadIdx.x;
    if (t % 32 < 16)
        p[t] = __shfl_xor_sync(0xffffffffu, p[t], 1);
    else
        __syncthreads();
}

static __global__ void lane_not_in_mask(float *p)
{
    p[threadIdx.x] = __shfl_xor_sync(0x0000ffffu, p[threadIdx.x], 1);
}

static __global__ void different_operations(float *p)
{
    const int t = threadIdx.x;
    if (t < 16)
        p[t] = __shfl_xor_sync(0xffffffffu, p[t], 1);
    else
        p[t] = static_cast<float>(__ballot_sync(0xffffffffu, 1));
}

static __global__ void lane_that_left(float *p)
{
    const int t = threadIdx.x;
    if (t == 5) return;
    p[t] = __shfl_sync(0xffffffffu, p[t], 5);
}

static __global__ void active_mask(float *p)
{
    p[0] = static_cast<float>(__activemask());
}

static __global__ void trap(float *)
{
    __trap();
}

/* ---- resources ---- */

static __global__ void static_shared_overuse(float *p)
{
    DLF_SHARED(float, first, [8192]); /* 32 KiB each: every one alone would be fine */
    DLF_SHARED(float, second, [8192]);
    first[threadIdx.x] = second[threadIdx.x] = 1.0f;
    p[threadIdx.x] = first[0] + second[0];
}

static __global__ void total_shared_overuse(float *p)
{
    DLF_SHARED(float, s, [8192]);
    s[threadIdx.x] = 1.0f;
    p[threadIdx.x] = s[0];
}

/* ---- running one ---- */

static const struct {
    const char *name;
    void (*kernel)(float *);
    unsigned grid, block;
    size_t smem;
} faults[] = {
    {"no_fault", no_fault, 1, 64, 0},
    {"missing_barrier", missing_barrier, 1, 64, 0},
    {"missing_second_barrier", missing_second_barrier, 1, 64, 0},
    {"missing_syncwarp", missing_syncwarp, 1, 32, 0},
    {"plain_accumulation", plain_accumulation, 1, 32, 0},
    {"plain_accumulation_of_blocks", plain_accumulation, 4, 1, 0},
    {"order_of_blocks", order_of_blocks, 9, 1, 0},
    {"blocks_with_barriers", blocks_with_barriers, 16, 32, 0},
    {"missing_fence", missing_fence, 4, 32, 0},
    {"missing_async_wait", missing_async_wait, 1, 32, 0},
    {"wait_for_wrong_group", wait_for_wrong_group, 1, 32, 0},
    {"missing_async_commit", missing_async_commit, 1, 32, 0},
    {"uninitialised_shared", uninitialised_shared, 1, 64, 0},
    {"global_write_past_end", global_write_past_end, N / 64 + 1, 64, 0},
    {"global_read_past_end", global_read_past_end, 1, 32, 0},
    {"shared_write_past_end", shared_write_past_end, 1, 64, 0},
    {"shared_read_before_start", shared_read_before_start, 1, 64, 0},
    {"dynamic_write_past_end", dynamic_write_past_end, 1, 64, 64 * sizeof(float)},
    {"misaligned_async", misaligned_async, 1, 32, 0},
    {"misaligned_vector", misaligned_vector, 1, 32, 0},
    {"divergent_barrier", divergent_barrier, 1, 64, 0},
    {"absent_lane", absent_lane, 1, 32, 0},
    {"lane_not_in_mask", lane_not_in_mask, 1, 32, 0},
    {"different_operations", different_operations, 1, 32, 0},
    {"lane_that_left", lane_that_left, 1, 32, 0},
    {"active_mask", active_mask, 1, 32, 0},
    {"trap", trap, 1, 32, 0},
    {"static_shared_overuse", static_shared_overuse, 1, 32, 0},
    {"total_shared_overuse", total_shared_overuse, 1, 32, 200 << 10},
};

/* Faults of the host. */
static const char *const host_faults[] = {"host_reads_device_memory", "kernel_uses_freed_memory",
                                          "leak", "three_allocations"};

static int run_host_fault(const char *name, float *p)
{
    if (!strcmp(name, "three_allocations")) { /* of which SIMT_INJECT lets one fail */
        for (int i = 0; i < 3; i++) {
            void *q = nullptr;
            printf("%s\n", cudaGetErrorName(cudaMalloc(&q, 16)));
            cudaFree(q);
        }
        return 0;
    }
    if (!strcmp(name, "host_reads_device_memory")) {
        DLF_LAUNCH(no_fault, 1, 64, 0, 0, p); /* for which device memory is opened and closed */
        printf("read %g\n", static_cast<double>(*static_cast<volatile float *>(p)));
        return 0;
    }
    if (!strcmp(name, "kernel_uses_freed_memory")) {
        cudaFree(p);
        return DLF_LAUNCH(plain_accumulation, 1, 1, 0, 0, p);
    }
    if (!strcmp(name, "leak")) {
        void *kept = nullptr;
        cudaMalloc(&kept, 123);
        cudaFree(p);
        printf("leaks: %zu\n", simt_report_leaks());
        return 0;
    }
    return -1;
}

const char *test_fault_name(size_t i)
{
    const size_t n = sizeof faults / sizeof faults[0];
    const size_t n_host = sizeof host_faults / sizeof host_faults[0];
    if (i < n) return faults[i].name;
    return i - n < n_host ? host_faults[i - n] : nullptr;
}

int test_run_fault(const char *name)
{
    static float host[N];
    float *p = nullptr;
    for (int i = 0; i < N; i++) host[i] = static_cast<float>(i % 97 + 1);
    if (cudaMalloc(reinterpret_cast<void **>(&p), sizeof host) != cudaSuccess ||
        cudaMemcpy(p, host, sizeof host, cudaMemcpyHostToDevice) != cudaSuccess)
        return 1;
    for (const auto &f : faults) {
        if (strcmp(f.name, name) != 0) continue;
        /* Of two grids, so that the second one finds stacks, arenas and contexts already used. */
        DLF_LAUNCH(no_fault, 1, 64, 0, nullptr, p);
        cudaMemcpy(p, host, sizeof host, cudaMemcpyHostToDevice);
        const cudaError_t err =
            dlf_launch(f.name, f.kernel, dim3(f.grid), dim3(f.block), f.smem, nullptr, p);
        if (err != cudaSuccess) printf("error %s\n", cudaGetErrorName(err));
        cudaMemcpy(host, p, sizeof host, cudaMemcpyDeviceToHost);
        cudaFree(p);
        int nans = 0;
        double checksum = 0.0;
        for (int i = 0; i < N; i++) {
            if (isnan(host[i]))
                nans++;
            else
                checksum += host[i] * (1.0 + i % 13);
        }
        printf("finished: %d NaN, checksum %.9g\n", nans, checksum);
        return 0;
    }
    return run_host_fault(name, p);
}
