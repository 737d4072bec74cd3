/* SPDX-License-Identifier: MIT
 * test_bench_report.c -- what a row says, what is stored and read again, what is chosen. */
#include "bench_sample.h"

#include <unistd.h>

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

/* ---- files ---------------------------------------------------------------------------------- */

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
    row->runner[0].ns[DLF_BENCH_HOT] = row->runner[0].ns[DLF_BENCH_COLD];
    row->runner[0].ns[DLF_BENCH_COLD] = NULL; /* only hot was timed */
    assert_true(isnan(dlf_bench_roof_of(r, row).share));
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

static void a_ledger_counts_what_is_right_and_fast(void **state)
{
    (void)state;
    dlf_bench_report *r = made_up(350e3, 1.0, 1), *more = made_up(250e3, 1.0, 2),
                     *none = made_up(1e3, 1.0, 3), *other = made_up(1e3, 1.0, 4);
    r->rows->runner[0].check = (dlf_bench_check){true, 1e-5, 2e-5, true, true};
    more->rows->c.shape[0] = 2;
    more->rows->runner[0].check = (dlf_bench_check){true, NAN, 2e-5, false, true};
    none->rows->c.shape[0] = 3;
    snprintf(none->rows->skipped, sizeof none->rows->skipped, "no such version");
    snprintf(other->rows->c.op, sizeof other->rows->c.op, "rms_norm");
    OK(dlf_bench_join(r, more));
    OK(dlf_bench_join(r, none));
    OK(dlf_bench_join(r, other));
    dlf_bench_report *last = made_up(1e6, 1.0, 5); /* a right one does not hide the NaN before */
    last->rows->c.shape[0] = 4;
    last->rows->runner[0].check = (dlf_bench_check){true, 1e-6, 2e-5, true, true};
    OK(dlf_bench_join(r, last));
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    OK(dlf_bench_print_ledger(f, r));
    fclose(f);
    assert_non_null(strstr(text,
                           "| layer_norm | layer_norm | 3 (1 skipped) | 2 of 3 right, worst nan "
                           "% of the tolerance | "));
    assert_non_null(strstr(text, "%, SUSPECT |  |\n"));
    assert_non_null(strstr(text, "| layer_norm | rms_norm | 1 | not checked | "));
    free(text);
    dlf_bench_report_free(r);
    dlf_bench_report_free(more);
    dlf_bench_report_free(none);
    dlf_bench_report_free(other);
    dlf_bench_report_free(last);
}

/* A peer that takes `times` as long as dlf in every round; NAN: it was not timed. */
static void add_peer(dlf_bench_row *row, const char *name, double times)
{
    dlf_bench_runner_result *peer = &row->runner[row->n_runners++];
    snprintf(peer->name, sizeof peer->name, "%s", name);
    if (isnan(times)) return;
    peer->ns[DLF_BENCH_HOT] = of(0.0, 0);
    for (int i = 0; i < ROUNDS; i++)
        peer->ns[DLF_BENCH_HOT][i] = times * row->runner[0].ns[DLF_BENCH_HOT][i];
}

static void every_peer_has_a_column(void **state)
{
    (void)state;
    dlf_bench_report *r = made_up(350e3, 1.0, 1), *more = made_up(350e3, 1.0, 2),
                     *none = made_up(350e3, 1.0, 3);
    for (int i = 0; i < 2; i++)
        (i ? more : r)->rows->runner[0].ns[DLF_BENCH_HOT] = of(200e3, (uint32_t)i);
    add_peer(r->rows, "slow", 1.5), add_peer(r->rows, "fast", 0.75);
    add_peer(more->rows, "absent", NAN), add_peer(more->rows, "slow", 1.25);
    more->rows->c.shape[0] = 2;
    none->rows->c.shape[0] = 3;
    snprintf(none->rows->skipped, sizeof none->rows->skipped, "no such version");
    OK(dlf_bench_join(r, more));
    OK(dlf_bench_join(r, none));
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    OK(dlf_bench_print_peers(f, r));
    fclose(f);
    assert_non_null(strstr(text, "| case | µs, hot | GFLOP/s | over slow | over fast |\n"));
    assert_non_null(strstr(text, "| 1.50 (1.50…1.50) | 0.75 (0.75…0.75) |\n| layer_norm"));
    assert_non_null(strstr(text, "| 1.25 (1.25…1.25) | |\n\n"));
    assert_null(strstr(text, "3x1024"));
    assert_non_null(strstr(
        text, "\n\nslow: 2 of 2 rows at least as fast, 2 with their whole interval, median 1.38, "
              "least 1.25; fast: 0 of 1 rows at least as fast, 0 with their whole "
              "interval, median 0.75, least 0.75.\n"));
    free(text);
    dlf_bench_report_free(r);
    dlf_bench_report_free(more);
    dlf_bench_report_free(none);
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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_too_good_is_suspect),
                                       cmocka_unit_test(a_row_is_seen_below_the_ceilings),
                                       cmocka_unit_test(ceilings_are_stored_joined_and_shown),
                                       cmocka_unit_test(a_report_survives_storing),
                                       cmocka_unit_test(reports_are_joined),
                                       cmocka_unit_test(hostile_files_are_refused),
                                       cmocka_unit_test(a_ledger_counts_what_is_right_and_fast),
                                       cmocka_unit_test(every_peer_has_a_column),
                                       cmocka_unit_test(figures_come_from_what_is_stored),
                                       cmocka_unit_test(choices_choose)};
    return cmocka_run_group_tests_name("reports of the bench", tests, NULL, NULL);
}
