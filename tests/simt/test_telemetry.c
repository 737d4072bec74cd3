/* SPDX-License-Identifier: MIT
 * test_telemetry.c -- what dlf bench learns from NVML, whole, old, new, broken, or something else
 * (fake_nvml.c), and what it falls back to. */
#include "kernel_test.h"

#include "backend/measure.h"
#include "bench/telemetry.h"

static bench_telemetry *open_nvml(const char *library, const char *wrong)
{
    assert_int_equal(setenv("DLF_NVML", library, 1), 0);
    assert_int_equal(setenv("FAKE_NVML", wrong, 1), 0);
    return bench_telemetry_open(kt_dev);
}

static dlf_bench_telemetry ask(bench_telemetry *t)
{
    bench_telemetry_begin(t);
    return bench_telemetry_end(t);
}

static void everything_is_read(void **state)
{
    (void)state;
    static const char *const libraries[] = {FAKE_NVML, FAKE_NVML_NEW, FAKE_NVML_OLD};
    for (int i = 0; i < 3; i++) {
        bench_telemetry *t = open_nvml(libraries[i], "");
        assert_non_null(t);
        const dlf_bench_telemetry now = ask(t);
        assert_true(now.sm_mhz == 1980.0 && now.power_w == 512.5 && now.temperature_c == 61.0);
        assert_int_equal(now.throttled, 4);
        /* H200: 3201 MHz x 2 x 6144 bits; the old one does not know the bits */
        assert_true(fabs(bench_telemetry_spec(t) - (i < 2 ? 4916.736 : 0.0)) < 1e-9);
        bench_telemetry_close(t);
    }
}

static void what_is_not_supported_is_not_known(void **state)
{
    (void)state;
    bench_telemetry *t = open_nvml(FAKE_NVML, "questions");
    assert_non_null(t);
    const dlf_bench_telemetry now = ask(t);
    assert_true(isnan(now.sm_mhz) && isnan(now.power_w) && isnan(now.temperature_c));
    assert_int_equal(now.throttled, -1);
    assert_true(bench_telemetry_spec(t) == 0.0);
    bench_telemetry_close(t);
}

static void no_nvml_is_no_telemetry(void **state)
{
    (void)state;
    assert_null(open_nvml(FAKE_NVML, "init"));
    assert_null(open_nvml(FAKE_NVML, "handle"));
    assert_null(open_nvml(NO_NVML, "")); /* a library without one of its symbols */
    assert_null(open_nvml("/nowhere/libnvidia-ml.so.1", ""));
    assert_null(open_nvml("none", ""));
    assert_null(open_nvml("", "")); /* the bed never asks a real one */
    assert_true(bench_telemetry_spec(NULL) == 0.0);
    assert_int_equal(ask(NULL).throttled, -1);
    bench_telemetry_close(NULL);
}

static dlf_bench_report *run(void)
{
    const dlf_bench_case relu = {
        .family = "activation", .op = "relu", .direction = "forward", .ndim = 1, .shape = {64}};
    const dlf_bench_options o = {
        .device = kt_dev, .min_rounds = 3, .max_rounds = 3, .passes = 1, .hot_ns = 1.0};
    dlf_bench_report *r = NULL;
    OK(dlf_bench_run(&r, &relu, 1, &o, "test"));
    return r;
}

static void a_run_notes_it(void **state)
{
    (void)state;
    bench_telemetry_close(open_nvml(FAKE_NVML, ""));
    dlf_bench_report *r = run();
    dlf_bench_summary s;
    assert_true(fabs(r->spec_gb_per_s - 4916.736) < 1e-9);
    assert_true(r->rows->telemetry.sm_mhz == 1980.0);
    assert_true(dlf_bench_summarise(&s, r->rows, 0, DLF_BENCH_HOT, 1e9));
    assert_true(s.flags & DLF_FLAG_THROTTLED);
    dlf_bench_report_free(r);
}

/* The bed's: 1 GHz x 2 x 64 bits. */
static void the_runtime_is_asked_where_nvml_does_not_say(void **state)
{
    (void)state;
    static const struct {
        const char *library, *wrong;
    } cases[] = {
        {FAKE_NVML_OLD, ""}, {FAKE_NVML, "questions"}, {FAKE_NVML, "handle"}, {"none", ""}};
    for (int i = 0; i < 4; i++) {
        bench_telemetry_close(open_nvml(cases[i].library, cases[i].wrong));
        dlf_bench_report *r = run();
        assert_true(r->spec_gb_per_s == 16.0);
        dlf_bench_report_free(r);
    }
}

int main(int argc, char **argv)
{
    kt_open(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_is_read), cmocka_unit_test(what_is_not_supported_is_not_known),
        cmocka_unit_test(no_nvml_is_no_telemetry), cmocka_unit_test(a_run_notes_it),
        cmocka_unit_test(the_runtime_is_asked_where_nvml_does_not_say)};
    return kt_close(cmocka_run_group_tests_name("telemetry", tests, NULL, NULL));
}
