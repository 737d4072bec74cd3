/* SPDX-License-Identifier: MIT */
/* Tests of the CPU test bed: correct kernels give the right result in any order and no report,
 * planted faults are caught, the runtime API behaves. `test_simt fault <name>` runs one fault. */
#include "simt_control.h"
#include "test_simt.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OK(call) assert_int_equal(call, cudaSuccess)

/* ---- arrays ---- */

static float noise(size_t i)
{
    const unsigned x = ((unsigned)i * 2654435761u + 12345u) >> 8;
    return (float)(x % 20001) / 10000.0f - 1.0f;
}

static void *to_device(const void *host, size_t bytes)
{
    void *device;
    OK(cudaMalloc(&device, bytes));
    if (host) OK(cudaMemcpy(device, host, bytes, cudaMemcpyHostToDevice));
    return device;
}

static float *noise_on_device(float *host, size_t n, size_t salt)
{
    for (size_t i = 0; i < n; i++) host[i] = noise(i + salt);
    return to_device(host, n * sizeof *host);
}

static void check_close(const float *device, const double *want, size_t n, double tolerance)
{
    float *got = malloc(n * sizeof *got);
    assert_non_null(got);
    assert_true(n > 0);
    OK(cudaMemcpy(got, device, n * sizeof *got, cudaMemcpyDeviceToHost));
    for (size_t i = 0; i < n; i++)
        if (!(fabs(got[i] - want[i]) <= tolerance * fmax(1.0, fabs(want[i]))))
            fail_msg("seed %u: element %zu is %g, not %g", simt_seed(), i, (double)got[i], want[i]);
    free(got);
}

/* ---- correct kernels ---- */

static void layernorm(void **state)
{
    enum { ROWS = 3, COLS = 150 };
    float x[ROWS * COLS], gain[COLS], bias[COLS];
    double want[ROWS * COLS];
    (void)state;
    float *d_x = noise_on_device(x, ROWS * COLS, 0), *d_y = to_device(NULL, sizeof x);
    float *d_gain = noise_on_device(gain, COLS, 7), *d_bias = noise_on_device(bias, COLS, 9);
    for (int r = 0; r < ROWS; r++) {
        double mean = 0.0, squares = 0.0;
        for (int c = 0; c < COLS; c++) mean += (double)x[r * COLS + c] / COLS;
        for (int c = 0; c < COLS; c++) squares += pow(x[r * COLS + c] - mean, 2.0);
        const double scale = 1.0 / sqrt(squares / COLS + 1e-5);
        for (int c = 0; c < COLS; c++)
            want[r * COLS + c] = (x[r * COLS + c] - mean) * scale * gain[c] + bias[c];
    }
    OK(test_layernorm(d_y, d_x, d_gain, d_bias, ROWS, COLS, 0));
    check_close(d_y, want, ROWS * COLS, 2e-6);
    OK(cudaFree(d_x));
    OK(cudaFree(d_y));
    OK(cudaFree(d_gain));
    OK(cudaFree(d_bias));
}

static void sgemm(void **state)
{
    enum { M = 45, N = 39, K = 21 }; /* no multiple of the tiles */
    float a[M * K], b[K * N];
    double want[M * N] = {0};
    (void)state;
    float *d_a = noise_on_device(a, M * K, 1), *d_b = noise_on_device(b, K * N, 2);
    float *d_c = to_device(NULL, M * N * sizeof *a);
    for (int i = 0; i < M; i++)
        for (int k = 0; k < K; k++)
            for (int j = 0; j < N; j++)
                want[i * N + j] += (double)a[i * K + k] * (double)b[k * N + j];
    OK(test_sgemm(d_c, d_a, d_b, M, N, K, 0));
    check_close(d_c, want, M * N, 5e-6);
    OK(cudaFree(d_a));
    OK(cudaFree(d_b));
    OK(cudaFree(d_c));
}

/* Small multiples of 1/8 are exact in bf16, fp16 and tf32, and so are these sums in fp32. */
static float eighths(size_t i)
{
    return (float)((int)(i * 7 % 31) - 15) / 8.0f;
}

static uint16_t bits16(enum test_mma_type type, float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (type != TEST_F16) return (uint16_t)(bits >> 16);
    if (x == 0.0f) return 0;
    const uint32_t exponent = (bits >> 23 & 0xff) - 127 + 15;
    return (uint16_t)(bits >> 31 << 15 | exponent << 10 | (bits >> 13 & 0x3ff));
}

static void mma_gemm(void **state)
{
    enum { M = 32, N = 16, K = 48 };
    static const enum test_mma_type types[] = {TEST_BF16, TEST_F16, TEST_TF32, TEST_BF16_LDMATRIX};
    float a[M * K], bt[N * K];
    uint16_t a16[M * K], bt16[N * K];
    double want[M * N] = {0};
    (void)state;
    for (int i = 0; i < M * K; i++) a[i] = eighths((size_t)i);
    for (int i = 0; i < N * K; i++) bt[i] = eighths((size_t)i + 5);
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++)
            for (int k = 0; k < K; k++)
                want[i * N + j] += (double)a[i * K + k] * (double)bt[j * K + k];
    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++) {
        const int is_16_bit = types[t] != TEST_TF32;
        for (int i = 0; i < M * K; i++) a16[i] = bits16(types[t], a[i]);
        for (int i = 0; i < N * K; i++) bt16[i] = bits16(types[t], bt[i]);
        void *d_a = is_16_bit ? to_device(a16, sizeof a16) : to_device(a, sizeof a);
        void *d_b = is_16_bit ? to_device(bt16, sizeof bt16) : to_device(bt, sizeof bt);
        float *d_c = to_device(NULL, M * N * sizeof *d_c);
        OK(test_mma_gemm(types[t], d_c, d_a, d_b, M, N, K, 0));
        check_close(d_c, want, M * N, 0.0);
        OK(cudaFree(d_a));
        OK(cudaFree(d_b));
        OK(cudaFree(d_c));
    }
}

static void last_block(void **state)
{
    enum { N = 1000 };
    float x[N];
    double want = 0.0;
    (void)state;
    float *d_x = noise_on_device(x, N, 3), *d_sum = to_device(NULL, sizeof *x);
    float *d_partial = to_device(NULL, 4 * sizeof *x);
    for (int i = 0; i < N; i++) want += x[i];
    for (int round = 0; round < 2; round++) { /* the counter has to wrap to zero */
        OK(cudaMemset(d_sum, 0xFF, sizeof *x));
        OK(test_last_block_sum(d_sum, d_partial, d_x, N, 0));
        check_close(d_sum, &want, 1, 1e-5);
    }
    OK(cudaFree(d_x));
    OK(cudaFree(d_sum));
    OK(cudaFree(d_partial));
}

static void memory_spaces(void **state)
{
    enum { N = 64 };
    const float table[4] = {3.0f, 1.0f, 4.0f, 1.5f};
    float x[N];
    double want[N], reversed[N];
    (void)state;
    float *d = noise_on_device(x, N, 4);
    for (int i = 0; i < N; i++) {
        want[i] = table[i % 4];
        reversed[i] = table[(N - 1 - i) % 4];
    }
    OK(test_constant(d, table, N, 0));
    check_close(d, want, N, 0.0);
    OK(test_reverse(d, N, N * sizeof *x, 0));
    check_close(d, reversed, N, 0.0);
    OK(test_reverse(d, N, 60000, 0)); /* over 48 KiB: DLF_LAUNCH has to ask for it */
    check_close(d, want, N, 0.0);
    OK(cudaFree(d));
}

static void indices(void **state)
{
    const struct dim3 grid = {3, 2, 2}, block = {5, 3, 2};
    enum { N = 12 * 30 };
    unsigned got[N];
    (void)state;
    unsigned *d = to_device(NULL, sizeof got);
    OK(test_number_threads(d, grid, block, 0));
    OK(cudaMemcpy(got, d, sizeof got, cudaMemcpyDeviceToHost));
    for (unsigned i = 0; i < N; i++) assert_int_equal(got[i], i);
    OK(cudaFree(d));
}

static void spinning(void **state)
{
    unsigned got = 0, *d = to_device(NULL, sizeof got);
    (void)state;
    OK(test_spin(d, 0));
    OK(cudaMemcpy(&got, d, sizeof got, cudaMemcpyDeviceToHost));
    assert_int_equal(got, 1);
    OK(cudaFree(d));
}

/* ---- intrinsics ---- */

#define ORACLE_TEST(name)                                                                          \
    static void name(void **state)                                                                 \
    {                                                                                              \
        (void)state;                                                                               \
        assert_int_equal(test_##name(), 0);                                                        \
    }
ORACLE_TEST(shuffles)
ORACLE_TEST(votes)
ORACLE_TEST(match_and_reduce)
ORACLE_TEST(block_votes)
ORACLE_TEST(atomics)
ORACLE_TEST(math)
ORACLE_TEST(half)

/* A grid large enough to be shared by the workers. */
static void atomics_with_workers(void **state)
{
    (void)state;
    simt_set_threads(3);
    assert_int_equal(test_atomics(), 0);
    simt_set_threads(1);
    assert_int_equal(test_atomics(), 0);
}

/* ---- all of it ---- */

/* The seed that a test starts with is passed as its initial state. */
static int use_seed(void **state)
{
    simt_set_seed(*state ? *(unsigned *)*state : 0);
    return 0;
}

/* Every test puts back what it takes. */
static int nothing_left(void **state)
{
    (void)state;
    return simt_report_leaks() != 0 || simt_live_streams() != 0 || simt_live_events() != 0 ||
           simt_inject_pending() != 0 || cudaGetLastError() != cudaSuccess;
}

#define TEST(function)                                                                             \
    {                                                                                              \
#function, function, use_seed, nothing_left, NULL                                          \
    }
#define TEST_WITH_SEEDS(function)                                                                  \
    {#function " seed 0", function, use_seed, nothing_left, &seeds[0]},                            \
        {#function " seed 1", function, use_seed, nothing_left, &seeds[1]},                        \
    {                                                                                              \
#function " seed 2", function, use_seed, nothing_left, &seeds[2]                           \
    }

int main(int argc, char **argv)
{
    static unsigned seeds[] = {0, 1, 2};
    if (argc == 3 && !strcmp(argv[1], "fault")) return test_run_fault(argv[2]);
    const struct CMUnitTest tests[] = {
        TEST_WITH_SEEDS(layernorm),
        TEST_WITH_SEEDS(sgemm),
        TEST_WITH_SEEDS(mma_gemm),
        TEST_WITH_SEEDS(last_block),
        TEST_WITH_SEEDS(memory_spaces),
        TEST_WITH_SEEDS(indices),
        TEST_WITH_SEEDS(spinning),
        TEST_WITH_SEEDS(shuffles),
        TEST_WITH_SEEDS(votes),
        TEST_WITH_SEEDS(match_and_reduce),
        TEST_WITH_SEEDS(block_votes),
        TEST_WITH_SEEDS(atomics),
        TEST_WITH_SEEDS(atomics_with_workers),
        TEST(math),
        TEST(half),
        TEST(allocations),
        TEST(capacity),
        TEST(copies),
        TEST(pinned_memory),
        TEST(streams_and_events),
        TEST(device_queries),
        TEST(launch_limits),
        TEST(injected_failures),
        TEST(sticky_failures),
        TEST(graphs),
        TEST(captures_forbid),
        TEST(captured_events),
        TEST(faults_all_have_an_expectation),
        TEST(faults_are_caught),
        TEST(injection_from_environment),
    };
    return cmocka_run_group_tests_name("simt", tests, NULL, NULL);
}
