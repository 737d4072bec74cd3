/* SPDX-License-Identifier: MIT
 * test_bench_stats.c -- quantiles, intervals and verdicts, with recorded and made-up samples: no
 * test here depends on how fast the machine is. */
#include "bench_sample.h"

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
    const int four[] = {4}, two[] = {2};
    assert_true(isnan(dlf_bench_ratio_paired(x, one, four, 1).value));
    assert_true(isnan(dlf_bench_ratio_paired(one, zero, four, 1).value));
    assert_true(isnan(dlf_bench_ratio_of_levels((dlf_bench_samples){one, four, 1},
                                                (dlf_bench_samples){x, four, 1})
                          .lo));
    assert_true(isnan(dlf_bench_level((dlf_bench_samples){one, four, 0}).value));
    assert_true(isinf(dlf_bench_stats_of(one, 2).hi));
    assert_true(isinf(dlf_bench_ratio_paired(one, one, two, 1).hi));
}

/* 95 % intervals that hold the truth in about 95 of 100 cases: 200 experiments, 190 expected,
 * binomial sd 3.1. `apart`: standard deviation of what a pass does to all of its samples, such as
 * where its memory lies. Where that is nothing, estimating it from six passes costs nothing; where
 * it is half of everything or all of it, the interval has to know. */
static void intervals_cover(double apart)
{
    enum { EXPERIMENTS = 200, N = PASSES * PASS };
    int paired = 0, apart_runs = 0;
    for (uint32_t e = 0; e < EXPERIMENTS; e++) {
        double a[N], b[N], c[N];
        draw(a, N, 1.3, 0.05, 3 * e);
        draw(b, N, 1.0, 0.05, 3 * e + 1);
        draw(c, N, 1.0, 0.05, 3 * e + 2);
        for (int i = 0; i < N; i++) {
            const uint32_t stream = dlf_stream(DLF_PURPOSE_TEST, 3);
            const uint64_t pass = (uint64_t)(i / PASS);
            a[i] *= exp(apart * dlf_rng_normal(6, stream, 3 * e, pass));
            b[i] *= exp(apart * dlf_rng_normal(6, stream, 3 * e + 1, pass));
            c[i] *= exp(apart * dlf_rng_normal(6, stream, 3 * e + 2, pass));
        }
        const dlf_bench_ratio p = dlf_bench_ratio_paired(a, b, ends, PASSES),
                              u = dlf_bench_ratio_of_levels((dlf_bench_samples){a, ends, PASSES},
                                                            (dlf_bench_samples){c, ends, PASSES});
        paired += p.lo <= 1.3 && 1.3 <= p.hi;
        apart_runs += u.lo <= 1.3 && 1.3 <= u.hi;
    }
    assert_in_range(paired, 180, 200);
    assert_in_range(apart_runs, 180, 200);
}

static void the_intervals_cover(void **state)
{
    (void)state;
    intervals_cover(0.0);
    intervals_cover(0.012);
    intervals_cover(0.1);
}

static void the_same_samples_give_the_same_interval(void **state)
{
    (void)state;
    double a[PASSES * PASS], b[PASSES * PASS];
    draw(a, PASSES * PASS, 2.0, 0.1, 1);
    draw(b, PASSES * PASS, 1.0, 0.1, 2);
    const dlf_bench_ratio p = dlf_bench_ratio_paired(a, b, ends, PASSES),
                          q = dlf_bench_ratio_paired(a, b, ends, PASSES);
    assert_memory_equal(&p, &q, sizeof p);
}

/* ---- comparing ------------------------------------------------------------------------------ */

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

/* An unlucky pass widens an interval: that is AMBIGUOUS, now and then, but never the opposite. */
static void count_verdicts(int out[4], double ratio, uint32_t member)
{
    memset(out, 0, 4 * sizeof *out);
    for (uint32_t m = 0; m < 40; m += 2) out[verdict_of(350e3, 350e3 * ratio, 1.0, member + m)]++;
}

static void five_percent_are_noticed_and_identity_is_the_same(void **state)
{
    (void)state;
    int n[4];
    count_verdicts(n, 1.06, 100);
    assert_in_range(n[DLF_SLOWER], 18, 20);
    assert_int_equal(n[DLF_SLOWER] + n[DLF_AMBIGUOUS], 20);
    count_verdicts(n, 1.0 / 1.06, 200);
    assert_in_range(n[DLF_FASTER], 18, 20);
    assert_int_equal(n[DLF_FASTER] + n[DLF_AMBIGUOUS], 20);
    count_verdicts(n, 1.0, 300);
    assert_in_range(n[DLF_SAME], 18, 20);
    assert_int_equal(n[DLF_SAME] + n[DLF_AMBIGUOUS], 20);
}

/* Everything took 30 % longer, the copy too: nobody changed the kernel. */
static void a_slow_machine_is_no_slow_kernel(void **state)
{
    (void)state;
    for (uint32_t m = 0; m < 10; m += 2)
        assert_int_equal(verdict_of(350e3, 350e3, 1.3, 400 + m), DLF_AMBIGUOUS);
}

/* now and before on a machine that halves its speed from pass to pass and back. */
static dlf_bench_verdict verdict_in_one_run(double ratio, uint32_t member)
{
    dlf_bench_report *r = made_up(350e3, 1.0, member);
    dlf_bench_row *row = r->rows;
    static const char *const names[] = {DLF_BENCH_BEFORE, DLF_BENCH_NOW};
    row->n_runners = 5;
    for (int i = 0; i < 2; i++) {
        dlf_bench_runner_result *b = &row->runner[3 + i];
        snprintf(b->name, sizeof b->name, "%s", names[i]);
        b->ns[DLF_BENCH_COLD] = of(i ? ratio : 1.0, 10 * member + 5 + (uint32_t)i);
        for (int k = 0; k < ROUNDS; k++) b->ns[DLF_BENCH_COLD][k] *= k / PASS % 2 ? 100e3 : 200e3;
    }
    dlf_bench_comparison *c = NULL;
    int n = 0;
    OK(dlf_bench_compare_before(&c, &n, r, 0.02));
    assert_int_equal(n, 1);
    const dlf_bench_verdict v = c->verdict;
    dlf_bench_summary s;
    assert_true(dlf_bench_summarise(&s, row, 0, DLF_BENCH_COLD, 0.05));
    near(s.before.value, c->time.value, 0.0);
    assert_null(s.peer_name); /* the two builds are no peers */
    free(c);
    dlf_bench_report_free(r);
    return v;
}

static void in_the_same_rounds_the_machine_does_not_matter(void **state)
{
    (void)state;
    int same = 0;
    for (uint32_t m = 0; m < 20; m++) {
        assert_int_equal(verdict_in_one_run(1.06, 500 + m), DLF_SLOWER);
        assert_int_equal(verdict_in_one_run(1.0 / 1.06, 600 + m), DLF_FASTER);
        same += verdict_in_one_run(1.0, 700 + m) == DLF_SAME;
    }
    assert_in_range(same, 18, 20);
    dlf_bench_report *r = made_up(1e5, 1.0, 1);
    dlf_bench_comparison *c = NULL;
    int n = 1;
    OK(dlf_bench_compare_before(&c, &n, r, 0.02));
    assert_int_equal(n, 0); /* without --baseline */
    free(c);
    dlf_bench_report_free(r);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_are_those_of_type_7),
        cmocka_unit_test(nothing_hides_a_nan),
        cmocka_unit_test(the_intervals_cover),
        cmocka_unit_test(the_same_samples_give_the_same_interval),
        cmocka_unit_test(five_percent_are_noticed_and_identity_is_the_same),
        cmocka_unit_test(a_slow_machine_is_no_slow_kernel),
        cmocka_unit_test(in_the_same_rounds_the_machine_does_not_matter),
        cmocka_unit_test(nan_is_never_the_same)};
    return cmocka_run_group_tests_name("statistics of the bench", tests, NULL, NULL);
}
