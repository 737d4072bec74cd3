/* SPDX-License-Identifier: MIT
 * test_bench.c -- the harness with recorded and made-up samples: no test here depends on how fast
 * the machine is. `test_bench cuda` runs the GPU half (in the test bed: with its clock). */
#include "kernel_test.h"

#include <unistd.h>

#include "bench/gate.h"
#include "bench/runner.h"
#include "dlf/bench.h"

static void near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance)) fail_msg("got %.17g, expected %.17g", got, want);
}

/* ---- statistics ----------------------------------------------------------------------------- */

/* Computed with numpy: np.quantile(x, q) (its default is type 7), of times that a cold layer norm
 * took on a busy machine, in ns. */
static const double recorded[] = {11652, 11704, 11590, 12011, 11871, 13903, 11640, 11655,
                                  11713, 11602, 25410, 11699, 11688, 11745, 11631};

static void quantiles_are_those_of_type_7(void **state)
{
    (void)state;
    const dlf_bench_stats s = dlf_bench_stats_of(recorded, 15);
    assert_int_equal(s.n, 15);
    near(s.min, 11590, 0);
    near(s.q1, 11646, 1e-9);
    near(s.median, 11699, 1e-9);
    near(s.q3, 11808, 1e-9);
    near(s.p95, 17355.1, 1e-6);
    near(s.mean, 12767.6, 1e-6);
    near(s.noise, 162.0 / 11699, 1e-12);
    near(s.hi - s.median, 1.57 * 162 / sqrt(15), 1e-9);
    near(s.median - s.lo, s.hi - s.median, 1e-9);
}

static void nothing_hides_a_nan(void **state)
{
    (void)state;
    const double x[] = {1, 2, NAN, 4}, one[] = {1, 1, 1, 1}, zero[] = {1, 1, 0, 1};
    assert_true(isnan(dlf_bench_stats_of(x, 4).median));
    assert_true(isnan(dlf_bench_stats_of(x, 0).median));
    assert_true(isnan(dlf_bench_ratio_paired(x, one, 4).value));
    assert_true(isnan(dlf_bench_ratio_paired(one, zero, 4).value));
    assert_true(isnan(dlf_bench_ratio_unpaired(one, 4, x, 4).lo));
    assert_true(isinf(dlf_bench_stats_of(one, 2).hi));
    assert_true(isinf(dlf_bench_ratio_paired(one, one, 2).hi));
}

/* Times of a kernel with a heavy tail, as a virtual machine has it: lognormal, one in ten late. */
static void draw(double *x, int n, double scale, double spread, uint32_t member)
{
    for (int i = 0; i < n; i++) {
        const double z = dlf_rng_normal(5, dlf_stream(DLF_PURPOSE_TEST, 1), member, (uint64_t)i);
        const uint32_t late =
            dlf_rng_bits(5, dlf_stream(DLF_PURPOSE_TEST, 2), member, (uint64_t)i) % 10;
        x[i] = scale * exp(spread * z) * (late == 0 ? 1.5 : 1.0);
    }
}

/* 95 % intervals that hold the truth in about 95 of 100 cases: 120 experiments, 114 expected,
 * binomial sd 2.4; paired and unpaired intervals have somewhat too wide tails.
 */
static void the_intervals_cover(void **state)
{
    (void)state;
    enum { EXPERIMENTS = 120, N = 60 };
    int paired = 0, unpaired = 0, medians = 0;
    for (uint32_t e = 0; e < EXPERIMENTS; e++) {
        double a[N], b[N], c[N], many[4001];
        draw(a, N, 1.3, 0.05, 3 * e);
        draw(b, N, 1.0, 0.05, 3 * e + 1);
        draw(many, 4001, 1.0, 0.05, 1000000 + e % 4);
        const double truth = dlf_bench_stats_of(many, 4001).median;
        for (int i = 0; i < N; i++) c[i] = a[i] / b[i];
        const dlf_bench_ratio p = dlf_bench_ratio_paired(a, b, N),
                              u = dlf_bench_ratio_unpaired(a, N, b, N);
        const dlf_bench_stats s = dlf_bench_stats_of(b, N);
        near(p.value, dlf_bench_stats_of(c, N).median, 1e-12);
        paired += p.lo <= 1.3 && 1.3 <= p.hi;
        unpaired += u.lo <= 1.3 && 1.3 <= u.hi;
        medians += s.lo <= truth && truth <= s.hi;
    }
    assert_in_range(paired, 107, 119);
    assert_in_range(unpaired, 107, 120);
    assert_in_range(medians, 105, 120);
}

static void the_same_samples_give_the_same_interval(void **state)
{
    (void)state;
    double a[40], b[40];
    draw(a, 40, 2.0, 0.1, 1);
    draw(b, 40, 1.0, 0.1, 2);
    const dlf_bench_ratio p = dlf_bench_ratio_paired(a, b, 40),
                          q = dlf_bench_ratio_paired(a, b, 40);
    assert_memory_equal(&p, &q, sizeof p);
}

/* ---- comparing ------------------------------------------------------------------------------ */

enum { ROUNDS = 60 };

static double *of(double scale, uint32_t member)
{
    double *x = malloc(ROUNDS * sizeof *x);
    assert_non_null(x);
    draw(x, ROUNDS, scale, 0.02, member);
    return x;
}

/* A row of one case whose kernel takes `time`, on a machine that goes at `machine` (2: half as
 * fast). */
static dlf_bench_report *made_up(double time, double machine, uint32_t member)
{
    dlf_bench_report *r = calloc(1, sizeof *r);
    r->rows = calloc(1, sizeof *r->rows);
    r->n = 1;
    r->complete = true;
    r->manifest = strdup("{}");
    dlf_bench_row *row = r->rows;
    row->c = (dlf_bench_case){.family = "layer_norm",
                              .op = "layer_norm",
                              .direction = "forward",
                              .ndim = 2,
                              .shape = {512, 1024},
                              .groups = 32};
    row->rounds = ROUNDS;
    row->n_runners = 3;
    row->bytes = row->copy_bytes = 4.2e6;
    row->telemetry = (dlf_bench_telemetry){NAN, NAN, NAN, -1};
    static const char *const names[] = {"dlf", "copy", "gemm"};
    const double times[] = {time, 300e3, 70e3};
    for (int i = 0; i < 3; i++) {
        snprintf(row->runner[i].name, sizeof row->runner[i].name, "%s", names[i]);
        row->runner[i].ns[DLF_BENCH_COLD] = of(machine * times[i], 10 * member + (uint32_t)i);
    }
    return r;
}

static dlf_bench_verdict verdict_of(double before, double after, double machine, uint32_t member)
{
    dlf_bench_report *a = made_up(before, 1.0, member), *b = made_up(after, machine, member + 1);
    dlf_bench_comparison *c = NULL;
    int n = 0;
    OK(dlf_bench_compare(&c, &n, a, b, 0.02));
    assert_int_equal(n, 1);
    assert_non_null(c->why);
    const dlf_bench_verdict v = c->verdict;
    free(c);
    dlf_bench_report_free(a);
    dlf_bench_report_free(b);
    return v;
}

static void five_percent_are_noticed_and_identity_is_the_same(void **state)
{
    (void)state;
    int same = 0;
    for (uint32_t m = 0; m < 40; m += 2) {
        assert_int_equal(verdict_of(350e3, 350e3 * 1.06, 1.0, 100 + m), DLF_SLOWER);
        assert_int_equal(verdict_of(350e3, 350e3 / 1.06, 1.0, 200 + m), DLF_FASTER);
        const dlf_bench_verdict v = verdict_of(350e3, 350e3, 1.0, 300 + m);
        assert_true(v == DLF_SAME || v == DLF_AMBIGUOUS);
        same += v == DLF_SAME;
    }
    assert_in_range(same, 17, 20);
}

/* Everything took 30 % longer, the copy too: nobody changed the kernel. */
static void a_slow_machine_is_no_slow_kernel(void **state)
{
    (void)state;
    for (uint32_t m = 0; m < 10; m += 2)
        assert_int_equal(verdict_of(350e3, 350e3, 1.3, 400 + m), DLF_AMBIGUOUS);
}

static void nan_is_never_the_same(void **state)
{
    (void)state;
    dlf_bench_report *a = made_up(1e5, 1.0, 1), *b = made_up(1e5, 1.0, 2);
    b->rows->runner[0].ns[DLF_BENCH_COLD][7] = NAN;
    dlf_bench_comparison *c = NULL;
    int n = 0;
    OK(dlf_bench_compare(&c, &n, a, b, 0.02));
    assert_int_equal(c->verdict, DLF_AMBIGUOUS);
    free(c);
    dlf_bench_report_free(a);
    dlf_bench_report_free(b);
}

/* ---- flags ---------------------------------------------------------------------------------- */

static unsigned flags_of(dlf_bench_report *r)
{
    dlf_bench_summary s;
    assert_true(dlf_bench_summarise(&s, r->rows, 0, DLF_BENCH_COLD, 0.05));
    return s.flags;
}

static void what_is_too_good_is_suspect(void **state)
{
    (void)state;
    dlf_bench_report *honest = made_up(350e3, 1.0, 1), *fast = made_up(250e3, 1.0, 1),
                     *liar = made_up(350e3, 1.0, 1);
    liar->rows->bytes *= 2.0; /* twice the bytes in the same time */
    assert_int_equal(flags_of(honest), 0);
    assert_int_equal(flags_of(fast), DLF_FLAG_SUSPECT);
    assert_int_equal(flags_of(liar), DLF_FLAG_SUSPECT);
    honest->rows->telemetry.throttled = 4;
    assert_int_equal(flags_of(honest), DLF_FLAG_THROTTLED);
    honest->rows->telemetry.throttled = 0;
    honest->rows->runner[0].check = (dlf_bench_check){true, 1.0, 1e-5, false, false};
    assert_int_equal(flags_of(honest), DLF_FLAG_WRONG | DLF_FLAG_BITS);
    dlf_bench_summary s;
    assert_true(dlf_bench_summarise(&s, fast->rows, 0, DLF_BENCH_COLD, 1e-6));
    assert_true(s.flags & DLF_FLAG_NOISY);
    dlf_bench_report_free(honest);
    dlf_bench_report_free(fast);
    dlf_bench_report_free(liar);
}

/* ---- stored and read again ------------------------------------------------------------------ */

static const char *temporary(void)
{
    static char path[64];
    snprintf(path, sizeof path, "test_bench.%ld.json", (long)getpid());
    return path;
}

static void write_text(const char *text)
{
    FILE *f = fopen(temporary(), "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void a_report_survives_storing(void **state)
{
    (void)state;
    dlf_bench_report *a = made_up(350e3, 1.0, 1), *b = NULL;
    a->rows->runner[0].ns[DLF_BENCH_COLD][3] = NAN;
    a->rows->runner[0].ns[DLF_BENCH_COLD][4] = INFINITY;
    a->rows->runner[0].check = (dlf_bench_check){true, 1e-7, 2e-5, true, true};
    a->rows->stop = DLF_STOP_TIME;
    a->rows->c.tf32 = true;
    a->rows->c.outputs = 96;
    a->rows->c.kernel = 3;
    a->rows->c.stride = 2;
    a->rows->c.pad = 1;
    char *text = NULL, *again = NULL;
    OK(dlf_bench_to_json(&text, a));
    write_text(text);
    OK(dlf_bench_load(&b, temporary()));
    OK(dlf_bench_to_json(&again, b));
    assert_string_equal(text, again);
    assert_memory_equal(&a->rows->c, &b->rows->c, sizeof a->rows->c);
    assert_true(isnan(b->rows->runner[0].ns[DLF_BENCH_COLD][3]));
    assert_true(isinf(b->rows->runner[0].ns[DLF_BENCH_COLD][4]));
    unlink(temporary());
    free(text);
    free(again);
    dlf_bench_report_free(a);
    dlf_bench_report_free(b);
}

static void hostile_files_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "{",
        "[]",
        "{\"schema\":\"dlf.bench/1\"}",
        "{\"schema\":\"dlf.result/1\",\"rows\":[]}",
        "{\"schema\":\"dlf.bench/1\",\"rows\":[3]}",
        "{\"schema\":\"dlf.bench/"
        "1\",\"rows\":[{\"family\":\"a\",\"op\":\"b\",\"direction\":\"c\",\"dtype\":\"f32\","
        "\"shape\":[1,2,3,4,5]}]}",
        "{\"schema\":\"dlf.bench/"
        "1\",\"rows\":[{\"family\":\"a\",\"op\":\"b\",\"direction\":\"c\",\"dtype\":\"f33\","
        "\"shape\":[1]}]}",
        "{\"schema\":\"dlf.bench/"
        "1\",\"rows\":[{\"family\":\"a\",\"op\":\"b\",\"direction\":\"c\",\"dtype\":\"f32\","
        "\"shape\":[1],\"rounds\":1000000000,\"runners\":[{\"cold\":{\"ns\":[1]}},{},{}]}]}",
        "{\"schema\":\"dlf.bench/"
        "1\",\"rows\":[{\"family\":\"a\",\"op\":\"b\",\"direction\":\"c\",\"dtype\":\"f32\","
        "\"shape\":[1],\"rounds\":-1,\"runners\":[{},{},{}]}]}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        dlf_bench_report *r = NULL;
        write_text(bad[i]);
        assert_int_equal(dlf_bench_load(&r, temporary()), DLF_ERR_INPUT);
        assert_null(r);
        assert_non_null(strstr(dlf_error_message(), temporary()));
    }
    unlink(temporary());
    dlf_bench_report *r = NULL;
    assert_int_equal(dlf_bench_load(&r, temporary()), DLF_ERR_INPUT);
}

static void figures_come_from_what_is_stored(void **state)
{
    (void)state;
    dlf_bench_report *r = made_up(350e3, 1.0, 1);
    dlf_result *result = NULL;
    r->rows->flops = 7.0 * 512 * 1024;
    OK(dlf_bench_to_result(&result, r));
    assert_int_equal(dlf_result_figures(result), 2); /* no peers, no figure of them */
    const dlf_table *cold = dlf_result_find_table(result, "cold");
    assert_int_equal(dlf_table_rows(cold), 1);
    dlf_bench_summary s;
    assert_true(dlf_bench_summarise(&s, r->rows, 0, DLF_BENCH_COLD, 0.05));
    near(dlf_table_cell(cold, 0, dlf_table_find_column(cold, "of_copy")).number, s.of_copy.value,
         0.0);
    assert_int_equal(dlf_table_rows(dlf_result_find_table(result, "intensities")), 1);
    dlf_result_free(result);
    dlf_bench_report_free(r);
}

/* ---- cases ---------------------------------------------------------------------------------- */

static int count_cases(dlf_bench_choice choice)
{
    dlf_bench_case *cases = NULL;
    int n = 0;
    const dlf_status status = dlf_bench_cases(&cases, &n, &choice);
    free(cases);
    return status == DLF_OK ? n : (int)status;
}

static void choices_choose(void **state)
{
    (void)state;
    const char *const norm[] = {"norm", NULL}, *const gelu[] = {"gelu", NULL},
                      *const typo[] = {"layernorm", NULL};
    const char *const convs[] = {"conv", NULL};
    const int all = count_cases((dlf_bench_choice){.suite = "small"});
    assert_true(all > 40);
    assert_int_equal(count_cases((dlf_bench_choice){.what = gelu}), 4);
    assert_int_equal(count_cases((dlf_bench_choice){.what = gelu, .dtypes = "f32,bf16"}), 8);
    assert_int_equal(count_cases((dlf_bench_choice){.what = gelu, .versions = 2}), 12);
    assert_int_equal(count_cases((dlf_bench_choice){.what = norm, .directions = "infer"}), 5);
    assert_int_equal(count_cases((dlf_bench_choice){.what = norm, .filter = "^instance.*nhwc"}), 4);
    assert_int_equal(count_cases((dlf_bench_choice){.what = convs}), 12);
    assert_int_equal(
        count_cases((dlf_bench_choice){.filter = "^conv1x1 data", .suite = "resnet50"}), 30);
    assert_int_equal(count_cases((dlf_bench_choice){.filter = "^conv1x1_stats", .dtypes = "tf32"}),
                     6);
    assert_int_equal(count_cases((dlf_bench_choice){.what = typo}), DLF_ERR_NOT_FOUND);
    assert_non_null(strstr(dlf_error_message(), "layer_norm"));
    assert_int_equal(count_cases((dlf_bench_choice){.suite = "smal"}), DLF_ERR_NOT_FOUND);
    assert_int_equal(count_cases((dlf_bench_choice){.dtypes = "f32,int8"}), DLF_ERR_NOT_FOUND);
    assert_int_equal(count_cases((dlf_bench_choice){.filter = "("}), DLF_ERR_ARG);
    assert_int_equal(count_cases((dlf_bench_choice){.filter = "nothing"}), DLF_ERR_NOT_FOUND);
}

/* ---- the real thing, small ------------------------------------------------------------------ */

/* A suite's ops and types, on shapes that suit a device of fibers under a sanitizer. */
static void shrink(dlf_bench_case *cases, int n)
{
    for (int i = 0; i < n; i++) {
        int64_t *shape = cases[i].shape;
        if (cases[i].ndim == 4) {
            const int64_t small[] = {2, 64, 5, 5};
            memcpy(shape, small, sizeof small);
        } else {
            shape[0] = shape[0] > 1024 ? 1024 : shape[0] > 64 ? 64 : shape[0];
        }
    }
}

static dlf_status run_small(dlf_bench_report **out, const char *filter, const char *dtypes,
                            unsigned distort, int versions)
{
    dlf_bench_case *cases = NULL;
    int n = 0;
    OK(dlf_bench_cases(
        &cases, &n, &(dlf_bench_choice){.filter = filter, .dtypes = dtypes, .versions = versions}));
    shrink(cases, n);
    const dlf_bench_options o = {.device = kt_dev,
                                 .min_rounds = 3,
                                 .max_rounds = 3,
                                 .max_noise = 0.0,
                                 .seconds = 60.0,
                                 .hot_ns = versions ? 0.0 : 1.0,
                                 .seed = 1,
                                 .gate = true,
                                 .distort = distort};
    const dlf_status status = dlf_bench_run(out, cases, n, &o, "test");
    free(cases);
    return status;
}

static void every_family_passes_the_gate(void **state)
{
    (void)state;
    dlf_bench_report *r = NULL;
    OK(run_small(&r,
                 "norm .*(64x64|8x512x7x7)$|(relu|gelu) .* 16384|xent .*1024x10$|"
                 "^conv .* nchw 4x8x|^conv1x1.* (tf32|bf16) nhwc 4x64x",
                 "f32,tf32,bf16", 0, 0));
    assert_true(r->complete && r->n >= 33);
    for (int i = 0; i < r->n; i++) {
        const dlf_bench_row *row = &r->rows[i];
        const dlf_bench_check *c = &row->runner[0].check;
        char name[DLF_BENCH_NAME];
        if (!(c->done && c->ok && c->same_bits))
            fail_msg("%s: error %g, tolerance %g, %s", dlf_bench_case_name(name, &row->c), c->error,
                     c->tolerance, row->skipped);
        assert_int_equal(row->rounds, 3);
        assert_int_equal(row->stop, DLF_STOP_ROUNDS);
        for (int m = 0; m < DLF_BENCH_MODES; m++) {
            const double *ns = row->runner[0].ns[m];
            assert_int_equal(ns != NULL, m != DLF_BENCH_GRAPH || dlf_device_records(kt_dev));
            for (int k = 0; ns && k < row->rounds; k++) assert_true(ns[k] >= 0.0);
        }
        assert_true(row->bytes > 0.0 && row->bytes_moved >= row->bytes);
        assert_true(fabs(row->copy_bytes / row->bytes - 1.0) < 0.01);
    }
    dlf_bench_report_free(r);
}

static void a_wrong_result_is_told(void **state)
{
    (void)state;
    dlf_bench_report *r = NULL;
    assert_int_equal(run_small(&r, "layer_norm .* 64x64$", NULL, DLF_DISTORT_WRONG, 0),
                     DLF_ERR_SELF_CHECK);
    assert_non_null(strstr(dlf_error_message(), "layer_norm forward f32 64x64"));
    assert_non_null(r);
    assert_false(r->rows[0].runner[0].check.ok);
    dlf_bench_report_free(r);
}

static void versions_that_are_not_there_are_skipped_with_a_reason(void **state)
{
    (void)state;
    dlf_bench_report *r = NULL;
    OK(run_small(&r, "layer_norm forward .* 64x64", NULL, 0, 9));
    assert_int_equal(r->n, 10);
    assert_string_equal(r->rows[0].skipped, "");
    assert_string_equal(r->rows[1].skipped, "");
    assert_true(r->rows[9].skipped[0] != '\0');
    char *text = NULL;
    OK(dlf_bench_to_json(&text, r));
    assert_non_null(strstr(text, "\"skipped\""));
    free(text);
    dlf_bench_report_free(r);
}

/* The gate's own eyes: an output that is not written stays poisoned, and is seen. */
static dlf_status lazy(bench_subject *s)
{
    (void)s;
    return DLF_OK;
}

static void an_output_that_is_not_written_is_wrong(void **state)
{
    (void)state;
    bench_subject s;
    bench_gate g;
    const dlf_bench_case c = {.family = "layer_norm",
                              .op = "layer_norm",
                              .direction = "backward",
                              .ndim = 2,
                              .shape = {8, 16},
                              .groups = 32};
    OK(bench_subject_new(&s, kt_dev, &c, false));
    OK(bench_gate_open(&g, &s, false));
    assert_true(g.check.ok);
    bench_gate_close(&g);
    s.call = lazy;
    OK(bench_gate_again(&g, &s));
    assert_false(g.check.same_bits);
    OK(bench_gate_open(&g, &s, false));
    assert_false(g.check.ok);
    assert_true(isinf(g.check.error));
    bench_gate_close(&g);
    bench_subject_free(&s);
}

int main(int argc, char **argv)
{
    kt_open(argc, argv);
    const struct CMUnitTest host[] = {
        cmocka_unit_test(quantiles_are_those_of_type_7),
        cmocka_unit_test(nothing_hides_a_nan),
        cmocka_unit_test(the_intervals_cover),
        cmocka_unit_test(the_same_samples_give_the_same_interval),
        cmocka_unit_test(five_percent_are_noticed_and_identity_is_the_same),
        cmocka_unit_test(a_slow_machine_is_no_slow_kernel),
        cmocka_unit_test(nan_is_never_the_same),
        cmocka_unit_test(what_is_too_good_is_suspect),
        cmocka_unit_test(a_report_survives_storing),
        cmocka_unit_test(hostile_files_are_refused),
        cmocka_unit_test(figures_come_from_what_is_stored),
        cmocka_unit_test(choices_choose)};
    const struct CMUnitTest device[] = {
        cmocka_unit_test(every_family_passes_the_gate), cmocka_unit_test(a_wrong_result_is_told),
        cmocka_unit_test(versions_that_are_not_there_are_skipped_with_a_reason),
        cmocka_unit_test(an_output_that_is_not_written_is_wrong)};
    int failed = 0;
    if (argc < 2) failed += cmocka_run_group_tests_name("bench", host, NULL, NULL);
    failed += cmocka_run_group_tests_name("bench on a device", device, NULL, NULL);
    return kt_close(failed);
}
