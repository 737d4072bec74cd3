/* SPDX-License-Identifier: MIT
 * test_bench.c -- the harness itself, on small cases: no test here depends on how fast the machine
 * is. `test_bench cuda` runs the GPU half (in the test bed: with its clock). */
#include "bench_sample.h"

#include <sched.h>

#include "backend/measure.h"
#include "bench/gate.h"
#include "bench/pin.h"
#include "bench/runner.h"

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
        if (!strcmp(row->c.op, "conv1x1_packed") && !strcmp(kt_dev->backend->name, "cuda")) {
            assert_non_null(strstr(row->skipped, "cuda packs no weights"));
            continue;
        }
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
    const struct CMUnitTest tests[] = {
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
    return kt_close(cmocka_run_group_tests_name("bench on a device", tests, NULL, NULL));
}
