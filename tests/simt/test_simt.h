/* SPDX-License-Identifier: MIT */
/* C entry points of the kernels that test the test bed itself. */
#ifndef DLF_TEST_SIMT_H
#define DLF_TEST_SIMT_H

#include <cuda_runtime_api.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- test_simt.cu: correct kernels ---- */
enum { TEST_LN_THREADS = 64, TEST_LAST_BLOCK_THREADS = 64 };

cudaError_t test_layernorm(float *y, const float *x, const float *gain, const float *bias, int rows,
                           int cols, cudaStream_t stream);
/* c (m,n) = a (m,k) b (k,n), row-major, any sizes */
cudaError_t test_sgemm(float *c, const float *a, const float *b, int m, int n, int k,
                       cudaStream_t stream);
/* c (m,n) = a (m,k) bt(n,k)^T; m % 16 == 0, n % 8 == 0, k % 16 == 0 */
enum test_mma_type { TEST_BF16, TEST_F16, TEST_TF32, TEST_BF16_LDMATRIX };
cudaError_t test_mma_gemm(enum test_mma_type type, float *c, const void *a, const void *bt, int m,
                          int n, int k, cudaStream_t stream);
/* The sum of x by the block that finishes last, counted by a __device__ variable. */
cudaError_t test_last_block_sum(float *sum, float *partial, const float *x, int n,
                                cudaStream_t stream);
/* y[i] = table[i % 4], table being a __constant__ variable; sets it first */
cudaError_t test_constant(float *y, const float table[4], int n, cudaStream_t stream);
/* Reverses n <= 1024 numbers in dynamic shared memory of `smem` bytes. */
cudaError_t test_reverse(float *x, int n, size_t smem, cudaStream_t stream);
/* Writes one number for each thread of any grid, numbered in order. */
cudaError_t test_number_threads(unsigned *out, dim3 grid, dim3 block, cudaStream_t stream);
/* Occupancy of that kernel; -1 if one of the calls that take a kernel failed. */
int test_blocks_per_sm(int block_size, size_t smem);
/* One thread waits for another with __nanosleep() between looks. */
cudaError_t test_spin(unsigned *out, cudaStream_t stream);

/* ---- test_simt_ops.cu: intrinsics against oracles ---- */
/* Each returns the number of wrong results and prints the first few. */
int test_shuffles(void);
int test_votes(void);
int test_match_and_reduce(void);
int test_block_votes(void);
int test_atomics(void);
/* ---- test_simt_math.cu: the same ---- */
int test_math(void);
int test_half(void);

/* ---- test_simt_faults.cu ---- */
/* Runs the named planted fault and prints what came of it; nonzero if there is no such fault. */
int test_run_fault(const char *name);
const char *test_fault_name(size_t i); /* NULL after the last */

/* ---- test_simt_children.c, test_simt_cudart.c: cmocka tests ---- */
void faults_are_caught(void **state);
void faults_all_have_an_expectation(void **state);
void injection_from_environment(void **state);

void allocations(void **state);
void capacity(void **state);
void copies(void **state);
void pinned_memory(void **state);
void streams_and_events(void **state);
void device_queries(void **state);
void launch_limits(void **state);
void injected_failures(void **state);
void sticky_failures(void **state);
void graphs(void **state);
void captures_forbid(void **state);
void captured_events(void **state);

#ifdef __cplusplus
}
#endif

#endif
