/* SPDX-License-Identifier: MIT
 * test_bench.c -- the harness with recorded and made-up samples: no test here depends on how fast
 * the machine is. `test_bench cuda` runs the GPU half (in the test bed: with its clock). */
#include "kernel_test.h"

#include <sched.h>
#include <unistd.h>

#include "backend/measure.h"
#include "bench/gate.h"
#include "bench/pin.h"
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

enum { PASSES = 6, PASS = 20 };
static const int ends[PASSES] = {20, 40, 60, 80, 100, 120};

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

enum { ROUNDS = PASSES * PASS };

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
    row->passes = PASSES;
    memcpy(row->pass_end, ends, sizeof ends);
    row->n_runners = 3;
    row->bytes = row->copy_bytes = 4.2e6;
    row->telemetry = (dlf_bench_telemetry){NAN, NAN, NAN, -1};
    static const char *const names[] = {"dlf", "copy", "gemm"};
    const double times[] = {time, 300e3, 70e3};
    for (int i = 0; i < 3; i++) {
        row->runner[i].launches = 2.0 * i - 1.0; /* the first is not known */
        row->runner[i].host_ns = i ? 1e3 * i : NAN;
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

static const char *temporary(void);
static void write_text(const char *text);

/* ---- ceilings ------------------------------------------------------------------------------- */

/* Ceilings that always take the same time: (op, bytes, flops, GB/s or GFLOP/s). */
static void add_ceiling(dlf_bench_report *r, const char *op, double bytes, double flops,
                        double rate)
{
    dlf_bench_report *one = made_up(1.0, 1.0, 1);
    dlf_bench_row *row = one->rows;
    row->c = (dlf_bench_case){.family = "ceiling", .direction = "move", .ndim = 1, .groups = 32};
    snprintf(row->c.op, sizeof row->c.op, "%s", op);
    row->c.shape[0] = (int64_t)bytes;
    row->bytes = row->copy_bytes = bytes;
    row->flops = flops;
    for (int i = 0; i < row->rounds; i++)
        row->runner[0].ns[DLF_BENCH_COLD][i] = (flops > 0.0 ? flops : bytes) / rate;
    r->ceilings = realloc(r->ceilings, (size_t)(r->n_ceilings + 1) * sizeof *r->ceilings);
    assert_non_null(r->ceilings);
    r->ceilings[r->n_ceilings++] = *row;
    one->n = 0;
    dlf_bench_report_free(one);
}

static dlf_bench_report *below_ceilings(void)
{
    dlf_bench_report *r = made_up(350e3, 1.0, 1);
    add_ceiling(r, "copy", 1e6, 0.0, 10.0);
    add_ceiling(r, "copy", 16e6, 0.0, 30.0);
    add_ceiling(r, "read", 1e6, 0.0, 7.0);
    add_ceiling(r, "fma", 1e6, 1e8, 50.0);
    r->rows->read_share = 0.5;
    r->rows->bytes = 4e6; /* half way from 1 MB to 16 MB, in octaves */
    return r;
}

static void a_row_is_seen_below_the_ceilings(void **state)
{
    (void)state;
    dlf_bench_report *r = below_ceilings(), *bare = made_up(350e3, 1.0, 1);
    dlf_bench_row *row = r->rows;
    dlf_bench_summary s;
    assert_true(dlf_bench_summarise(&s, row, 0, DLF_BENCH_COLD, 0.05));
    dlf_bench_roof roof = dlf_bench_roof_of(r, row);
    near(roof.gb_per_s, 20.0, 1e-9);
    near(roof.share, 4e6 / 20.0 / s.time.median, 1e-12);
    assert_false(roof.compute_bound);
    assert_true(isnan(roof.gflop_per_s)); /* no convolution */
    row->bytes = 1e9;
    near(dlf_bench_roof_of(r, row).gb_per_s, 30.0, 1e-9);
    row->read_share = 0.98;
    near(dlf_bench_roof_of(r, row).gb_per_s, 7.0, 1e-9);
    row->read_share = NAN;
    near(dlf_bench_roof_of(r, row).gb_per_s, 30.0, 1e-9);
    row->read_share = 0.1; /* nobody measured writes */
    assert_true(isnan(dlf_bench_roof_of(r, row).share));
    row->read_share = 0.5;
    row->bytes = 4e6;
    row->c.outputs = 64;
    row->flops = 1.5e7; /* 300 us at 50 GFLOP/s; the bytes take 200 us */
    roof = dlf_bench_roof_of(r, row);
    assert_true(roof.compute_bound);
    near(roof.share, 300e3 / s.time.median, 1e-12);
    row->c.tf32 = true; /* other products, not measured: the bytes remain */
    assert_false(dlf_bench_roof_of(r, row).compute_bound);
    assert_true(isnan(dlf_bench_roof_of(bare, bare->rows).share));
    dlf_bench_report_free(r);
    dlf_bench_report_free(bare);
}

static void ceilings_are_stored_joined_and_shown(void **state)
{
    (void)state;
    dlf_bench_report *r = below_ceilings(), *b = NULL, *more = below_ceilings();
    char *text = NULL, *again = NULL, *table = NULL;
    size_t size = 0;
    OK(dlf_bench_to_json(&text, r));
    write_text(text);
    OK(dlf_bench_load(&b, temporary()));
    unlink(temporary());
    OK(dlf_bench_to_json(&again, b));
    assert_string_equal(text, again);
    assert_int_equal(b->n_ceilings, 4);
    more->ceilings[0].c.shape[0] = 7;
    OK(dlf_bench_join(b, more));
    assert_int_equal(b->n_ceilings, 5);
    assert_int_equal(more->n_ceilings, 0);
    for (int format = DLF_BENCH_TABLE; format <= DLF_BENCH_MARKDOWN; format++) {
        FILE *f = open_memstream(&table, &size);
        OK(dlf_bench_print(f, r, (dlf_bench_format)format, false));
        fclose(f);
        static const char *const words[] = {"bytes", ",bytes,", "% bytes |"};
        assert_non_null(strstr(table, words[format]));
        if (format == DLF_BENCH_TABLE) assert_non_null(strstr(table, "15 MiB    copy 30.0 GB/s"));
        free(table);
    }
    free(text);
    free(again);
    dlf_bench_report_free(r);
    dlf_bench_report_free(b);
    dlf_bench_report_free(more);
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

/* Another part of the same suite, and one of its rows measured again. */
static void reports_are_joined(void **state)
{
    (void)state;
    dlf_bench_report *a = made_up(350e3, 1.0, 1), *b = made_up(300e3, 1.0, 2),
                     *c = made_up(200e3, 1.0, 3), *d = made_up(1e5, 1.0, 4);
    b->rows->c.shape[0] = 7;
    const double fresh = c->rows->runner[0].ns[DLF_BENCH_COLD][5];
    free(d->manifest);
    d->manifest = strdup("{\"device\":{\"name\":\"another\"}}");
    OK(dlf_bench_join(a, b));
    assert_int_equal(a->n, 2);
    assert_int_equal(b->n, 0);
    OK(dlf_bench_join(a, c));
    assert_int_equal(a->n, 2);
    near(a->rows[0].runner[0].ns[DLF_BENCH_COLD][5], fresh, 0.0);
    assert_non_null(strstr(a->manifest, "\"parts\":[{},{},{}]"));
    assert_int_equal(dlf_bench_join(a, d), DLF_ERR_INPUT);
    assert_int_equal(d->n, 1);
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    OK(dlf_bench_print_ops(f, a));
    fclose(f);
    assert_non_null(strstr(text, "| layer norm forward | 2 | |")); /* two cases, no peer */
    free(text);
    dlf_bench_report_free(a);
    dlf_bench_report_free(b);
    dlf_bench_report_free(c);
    dlf_bench_report_free(d);
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
            const int64_t small[] = {2, 32, 5, 5};
            memcpy(shape, small, sizeof small);
        } else {
            shape[0] = shape[0] > 1024 ? 1024 : shape[0] > 64 ? 64 : shape[0];
        }
    }
}

static bool with_ceilings;

static dlf_status run_small(dlf_bench_report **out, const char *filter, const char *dtypes,
                            unsigned distort, int versions)
{
    dlf_bench_case *cases = NULL;
    int n = 0;
    OK(dlf_bench_cases(
        &cases, &n, &(dlf_bench_choice){.filter = filter, .dtypes = dtypes, .versions = versions}));
    shrink(cases, n);
    const dlf_bench_options o = {.device = kt_dev,
                                 .passes = 2,
                                 .pin = true,
                                 .min_rounds = 3,
                                 .max_rounds = 3,
                                 .max_noise = 0.0,
                                 .seconds = 60.0,
                                 .hot_ns = versions ? 0.0 : 1.0,
                                 .seed = 1,
                                 .gate = true,
                                 .ceilings = with_ceilings,
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
        assert_int_equal(row->passes, 2);
        assert_int_equal(row->pass_end[0], 1);
        assert_int_equal(row->pass_end[1], 3);
        assert_int_equal(row->stop, DLF_STOP_ROUNDS);
        for (int m = 0; m < DLF_BENCH_MODES; m++) {
            const double *ns = row->runner[0].ns[m];
            assert_int_equal(ns != NULL, m != DLF_BENCH_GRAPH || dlf_device_records(kt_dev));
            for (int k = 0; ns && k < row->rounds; k++) assert_true(ns[k] >= 0.0);
        }
        assert_true(row->runner[0].launches >= 1.0 || row->runner[0].launches == -1.0);
        if (dlf_device_records(kt_dev)) assert_true(row->runner[0].launches >= 1.0);
        assert_true(row->runner[0].host_ns > 0.0);
        assert_true(row->bytes > 0.0 && row->bytes_moved >= row->bytes);
        assert_true(fabs(row->copy_bytes / row->bytes - 1.0) < 0.01);
    }
    dlf_bench_report_free(r);
}

static void tensor_cores_have_a_ceiling_on_a_gpu(void **state)
{
    (void)state;
    dlf_bench_report *r = NULL;
    const bool gpu = !strcmp(kt_dev->backend->name, "cuda");
    OK(run_small(&r, "^tensor move .* 16384$", "f32,tf32,bf16", 0, 0));
    assert_int_equal(r->n, 2);
    for (int i = 0; i < r->n; i++) {
        const dlf_bench_row *row = &r->rows[i];
        if (gpu) {
            assert_string_equal(row->skipped, "");
            assert_true(row->runner[0].check.done && row->runner[0].check.ok);
            near(row->flops, 2.0 * 32 * 32 * 32, 0.0);
        } else {
            assert_non_null(strstr(row->skipped, "--device cuda"));
        }
    }
    dlf_bench_report_free(r);
}

/* At the sizes of the cases, each once, gated, with neither peers nor lies. */
static void ceilings_come_first(void **state)
{
    (void)state;
    static const char *const want[] = {"copy move f32 2048", "add move f32 1365",
                                       "read move f32 4096", "write move f32 4096",
                                       "fma move f32 4096"};
    dlf_bench_report *r = NULL;
    with_ceilings = true;
    OK(run_small(&r, "^(relu|conv) forward .*( 16384| nchw 4x8x12x12.*)$", "f32", DLF_DISTORT_BYTES,
                 0));
    with_ceilings = false;
    assert_int_equal(r->n, 2);
    assert_int_equal(r->n_ceilings, 5);
    for (int i = 0; i < 5; i++) {
        const dlf_bench_row *row = &r->ceilings[i];
        char name[DLF_BENCH_NAME];
        assert_string_equal(dlf_bench_case_name(name, &row->c), want[i]);
        assert_true(row->runner[0].check.done && row->runner[0].check.ok);
        assert_null(row->runner[0].ns[DLF_BENCH_HOT]);
        assert_int_equal(row->passes, 1);
        near(row->bytes, i == 4 ? 12 * 64 * 64 : 16384, 4.0);
        near(row->flops, i == 4 ? 2 * 64 * 64 * 64 : 0.0, 0.0);
    }
    for (int i = 0; i < 2; i++) {
        const dlf_bench_roof roof = dlf_bench_roof_of(r, &r->rows[i]);
        assert_true(roof.share > 0.0);
        assert_int_equal(isnan(roof.gflop_per_s), i == 0);
    }
    dlf_bench_report_free(r);
}

/* In the bed every gate gives up: after three times no more is tried. */
static void hot_samples_use_the_gate(dlf_cuda_gate *gate, int given_up)
{
    const dlf_bench_case relu = {
        .family = "activation", .op = "relu", .direction = "forward", .ndim = 1, .shape = {4096}};
    bench_subject s;
    bench_runner r;
    bench_evictor e = {.device = kt_dev, .gate = gate};
    OK(bench_subject_new(&s, kt_dev, &relu, false));
    OK(bench_runner_of(&r, "dlf", &s, &e, 1.0, 0));
    for (int k = 1; k <= 5; k++) {
        double ns = NAN;
        OK(r.sample(&r, DLF_BENCH_HOT, &ns));
        assert_true(ns > 0.0);
        assert_int_equal(r.given_up, k < given_up ? k : given_up);
    }
    r.release(&r);
    bench_subject_free(&s);
}

/* Where nothing can be held up, as in the bed, the kernel itself can be tried with any memory. */
static void a_gate_holds_or_gives_up(void **state)
{
    (void)state;
    if (strcmp(kt_dev->backend->name, "cuda") != 0) return;
    dlf_cuda_gate *made = NULL, local = {.open = 0};
    OK(dlf_cuda_gate_new(&made, kt_dev));
    assert_int_equal(made == NULL, kt_in_bed());
    dlf_cuda_gate *gate = made ? made : &local;
    dlf_cuda_gate_open(gate);
    OK(dlf_cuda_hold(kt_dev, gate));
    OK(kt_dev->backend->sync(kt_dev));
    assert_false(dlf_cuda_gate_gave_up(gate));
    OK(dlf_cuda_gate_close(gate, kt_dev)); /* never opened */
    OK(kt_dev->backend->sync(kt_dev));
    assert_true(dlf_cuda_gate_gave_up(gate));
    hot_samples_use_the_gate(gate, made ? 0 : 3);
    dlf_cuda_gate_free(made, kt_dev);
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

static void a_profiler_gets_the_calls_alone(void **state)
{
    (void)state;
    const dlf_bench_case cases[] = {
        {.family = "activation", .op = "relu", .direction = "forward", .ndim = 1, .shape = {64}},
        {.family = "layer_norm",
         .op = "layer_norm",
         .direction = "forward",
         .ndim = 2,
         .shape = {4, 8},
         .version = 99}};
    OK(dlf_bench_profile(kt_dev, cases, 1, 3));
    assert_int_equal(dlf_bench_profile(kt_dev, cases, 2, 3), DLF_ERR_NO_KERNEL);
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

/* What `dlf bench --baseline` asks of another dlf, and what it must not be moved by. */
static void another_dlf_can_be_asked(void **state)
{
    (void)state;
    char requests[1024], *answers = NULL, *at, *line;
    size_t size = 0;
    snprintf(requests, sizeof requests,
             "{\"run\":\"hot\",\"calls\":1}\nno json\n"
             "{\"device\":\"%s\",\"threads\":1,\"hot_ns\":1}\n"
             "{\"prepare\":{\"family\":\"layer_norm\",\"op\":\"layer_norm\",\"direction\":"
             "\"forward\",\"dtype\":\"f32\",\"shape\":[4,8]}}\n"
             "{\"run\":\"hot\",\"calls\":3}\n{\"run\":\"cold\",\"calls\":1}\n"
             "{\"prepare\":{\"op\":\"layer_norm\"}}\n{\"run\":\"cold\",\"calls\":1}\n",
             kt_dev->info.backend);
    FILE *in = fmemopen(requests, strlen(requests), "r"), *out = open_memstream(&answers, &size);
    assert_true(in && out);
    OK(dlf_bench_serve(in, out));
    fclose(in);
    fclose(out);
    static const char *const keys[] = {"error", "error", "version", "modes",
                                       "ns",    "ns",    "error",   "error"};
    int n = 0;
    for (line = strtok_r(answers, "\n", &at); line; line = strtok_r(NULL, "\n", &at), n++) {
        char key[32];
        assert_true(n < 8);
        snprintf(key, sizeof key, "{\"%s\":", keys[n]);
        if (strncmp(line, key, strlen(key)) != 0) fail_msg("%s expected in: %s", key, line);
    }
    assert_int_equal(n, 8);
    free(answers);
}

static void pinned_threads_are_free_again(void **state)
{
    (void)state;
    cpu_set_t before, during, after;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    bench_pinning *p = bench_pin(kt_dev);
    assert_int_equal(sched_getaffinity(0, sizeof during, &during), 0);
    if (p) assert_int_equal(CPU_COUNT(&during), 1);
    if (!p) assert_true(CPU_EQUAL(&before, &during));
    bench_unpin(p);
    assert_int_equal(sched_getaffinity(0, sizeof after, &after), 0);
    assert_true(CPU_EQUAL(&before, &after));
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
        cmocka_unit_test(in_the_same_rounds_the_machine_does_not_matter),
        cmocka_unit_test(nan_is_never_the_same),
        cmocka_unit_test(what_is_too_good_is_suspect),
        cmocka_unit_test(a_row_is_seen_below_the_ceilings),
        cmocka_unit_test(ceilings_are_stored_joined_and_shown),
        cmocka_unit_test(a_report_survives_storing),
        cmocka_unit_test(reports_are_joined),
        cmocka_unit_test(hostile_files_are_refused),
        cmocka_unit_test(figures_come_from_what_is_stored),
        cmocka_unit_test(choices_choose)};
    const struct CMUnitTest device[] = {
        cmocka_unit_test(pinned_threads_are_free_again), /* before a run could leave them bound */
        cmocka_unit_test(every_family_passes_the_gate),
        cmocka_unit_test(ceilings_come_first),
        cmocka_unit_test(tensor_cores_have_a_ceiling_on_a_gpu),
        cmocka_unit_test(a_gate_holds_or_gives_up),
        cmocka_unit_test(a_wrong_result_is_told),
        cmocka_unit_test(versions_that_are_not_there_are_skipped_with_a_reason),
        cmocka_unit_test(another_dlf_can_be_asked),
        cmocka_unit_test(a_profiler_gets_the_calls_alone),
        cmocka_unit_test(an_output_that_is_not_written_is_wrong)};
    int failed = 0;
    if (argc < 2) failed += cmocka_run_group_tests_name("bench", host, NULL, NULL);
    failed += cmocka_run_group_tests_name("bench on a device", device, NULL, NULL);
    return kt_close(failed);
}
