/* SPDX-License-Identifier: MIT
 * test_conv1x1_plan.c -- which version of the 1x1 convolution a GPU gets, and the reason given. */
#include "kernel_test.h"

static dlf_conv1x1_choice plan(const char *name, dlf_conv1x1_op op, dlf_dtype dtype, bool tf32,
                               int64_t C, int64_t K, int64_t M)
{
    dlf_conv1x1_gpu gpu;
    dlf_conv1x1_choice c;
    OK(dlf_conv1x1_gpu_find(&gpu, name));
    const dlf_conv1x1_geometry g = {.P = 1, .N = 1, .C = C, .K = K, .M = M};
    const dlf_conv1x1 conv = {.tf32 = tf32};
    dlf_conv1x1_plan(&c, op, &g, dtype, &conv, &gpu);
    return c;
}

static void expect(dlf_conv1x1_choice c, int version, bool memory_bound, const char *why)
{
    if (c.version != version || c.memory_bound != memory_bound || !strstr(c.reason, why))
        fail_msg("version %d, %s-bound, \"%s\"; expected %d, \"%s\"", c.version,
                 c.memory_bound ? "memory" : "compute", c.reason, version, why);
}

/* Every branch of it, and the numbers of one case by hand. */
static void plan_says_which_and_why(void **state)
{
    (void)state;
    const dlf_conv1x1_op fwd = DLF_CONV1X1_FORWARD, dw = DLF_CONV1X1_BACKWARD_WEIGHT;
    const int64_t M = 128 * 56 * 56;
    const dlf_conv1x1_choice c = plan("NVIDIA H200", fwd, DLF_BF16, false, 64, 256, M);
    expect(c, 3, true, "stays on chip");
    assert_true(c.bytes == 2.0 * ((double)M * 320.0 + 64.0 * 256.0));
    assert_true(c.flops == 2.0 * (double)M * 64.0 * 256.0 && c.rate == DLF_CONV1X1_16_BIT);
    assert_true(fabs(c.intensity / (c.flops / c.bytes) - 1.0) < 1e-12);
    assert_true(fabs(c.floor_us / (1e6 * c.bytes / 4.8e12) - 1.0) < 1e-12);
    expect(plan("H200", fwd, DLF_BF16, false, 512, 2048, 128 * 49), 2, false, "compute-bound");
    expect(plan("H200", fwd, DLF_F32, false, 256, 256, M), 1, false, "float multiply-adds");
    expect(plan("H200", fwd, DLF_F32, false, 8, 8, M), 3, true, "stays on chip");
    expect(plan("H200", fwd, DLF_F32, true, 64, 64, M), 3, true, "tf32");
    expect(plan("H200", fwd, DLF_F32, true, 1024, 1024, M), 2, false, "tf32");
    expect(plan("H200", fwd, DLF_BF16, false, 1280, 64, M), 2, true, "KiB of shared memory");
    expect(plan("H200", fwd, DLF_BF16, false, 64, 64, 49), 2, true, "no second one");
    expect(plan("H200", DLF_CONV1X1_BACKWARD_DATA, DLF_BF16, false, 64, 1280, M), 2, true,
           "KiB of shared memory"); /* its depth is K */
    expect(plan("H200", dw, DLF_F16, false, 64, 64, M), 2, true, "weight gradient");
    expect(plan("H200", dw, DLF_F32, false, 8, 8, M), 1, true, "memory-bound");
    expect(plan("Tesla T4", fwd, DLF_F16, false, 512, 512, M), 1, false, "7.5");
    expect(plan("Tesla T4", dw, DLF_F16, false, 512, 512, M), 1, false, "7.5");
    expect(plan("Tesla T4", fwd, DLF_F32, false, 8, 8, M), 1, true, "67 KiB of shared memory");
    dlf_conv1x1_gpu gpu;
    assert_int_equal(dlf_conv1x1_gpu_find(&gpu, "Voodoo 2"), DLF_ERR_NOT_FOUND);
    assert_non_null(strstr(dlf_error_message(), "H200"));
}

/* A measured row goes before the model, for its GPU, op, rate and intensities only. */
static void measured_crossovers_win(void **state)
{
    (void)state;
    const dlf_conv1x1_crossover table[] = {
        {"H200", DLF_CONV1X1_FORWARD, DLF_CONV1X1_16_BIT, 0.0, 40.0, 1},
        {"H200", DLF_CONV1X1_FORWARD, DLF_CONV1X1_16_BIT, 40.0, 90.0, 2},
        {NULL, 0, 0, 0.0, 0.0, 0}};
    const int64_t M = 128 * 56 * 56;
    const struct {
        const char *gpu;
        dlf_conv1x1_op op;
        dlf_dtype dtype;
        int64_t K;
        int version;
        bool by_table;
    } rows[] = {{"H200", DLF_CONV1X1_FORWARD, DLF_BF16, 64, 1, true},
                {"H200", DLF_CONV1X1_FORWARD, DLF_BF16, 256, 2, true},
                {"A100", DLF_CONV1X1_FORWARD, DLF_BF16, 64, 3, false},
                {"H200", DLF_CONV1X1_BACKWARD_DATA, DLF_BF16, 64, 3, false},
                {"H200", DLF_CONV1X1_FORWARD, DLF_F32, 64, 1, false}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        dlf_conv1x1_gpu gpu;
        dlf_conv1x1_choice c;
        OK(dlf_conv1x1_gpu_find(&gpu, rows[i].gpu));
        const dlf_conv1x1_geometry g = {.P = 1, .N = 1, .C = 64, .K = rows[i].K, .M = M};
        const dlf_conv1x1 conv = {.version = 0};
        dlf_conv1x1_plan_with(&c, rows[i].op, &g, rows[i].dtype, &conv, &gpu, table);
        expect(c, rows[i].version, c.memory_bound, rows[i].by_table ? "measured" : "");
        assert_true(rows[i].by_table || !strstr(c.reason, "measured"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plan_says_which_and_why),
        cmocka_unit_test(measured_crossovers_win),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
