/* SPDX-License-Identifier: MIT
 * test_bench_peers.c -- the peers inside dlf bench, in the test bed: own pipelines for real, cuDNN
 * and cuBLASLt against libraries of our own with their entry points (fake_*.c). */
#include "kernel_test.h"

#include "bench/peers.h"
#include "dlf/bench.h"

static char lines[2048];

static void note(void *user, const char *text)
{
    (void)user;
    const size_t at = strlen(lines);
    snprintf(lines + at, sizeof lines - at, "%s\n", text);
}

/* The cases of the small suite whose names match, in a size that the bed does in no time; hot only:
 * the bed's clock is the host's, and eviction takes long. */
static int passes = 1;

static dlf_bench_report *run(const char *peers, const char *filter, const char *dtypes)
{
    dlf_bench_case *cases = NULL;
    dlf_bench_report *r = NULL;
    int n = 0;
    lines[0] = '\0';
    OK(dlf_bench_cases(&cases, &n, &(dlf_bench_choice){.filter = filter, .dtypes = dtypes}));
    for (int i = 0; i < n; i++) {
        dlf_bench_case *c = &cases[i];
        c->shape[0] = c->ndim == 4 ? 2 : 16;
        if (c->ndim == 4) c->shape[2] = 5, c->shape[3] = 4;
        if (!c->outputs) c->shape[1] = 32;
        if (c->outputs && c->groups == 1) c->shape[1] = 8, c->outputs = 12;
    }
    const dlf_bench_options o = {.device = kt_dev,
                                 .peers = peers,
                                 .python = STAND_IN_PYTHON,
                                 .modes = 1u << DLF_BENCH_HOT,
                                 .min_rounds = 3,
                                 .max_rounds = 3,
                                 .seconds = 60.0,
                                 .hot_ns = 1.0,
                                 .passes = passes,
                                 .gate = true,
                                 .warn = note};
    OK(dlf_bench_run(&r, cases, n, &o, "test"));
    free(cases);
    return r;
}

static const dlf_bench_runner_result *find(const dlf_bench_row *row, const char *name)
{
    for (int i = 3; i < row->n_runners; i++)
        if (!strcmp(row->runner[i].name, name)) return &row->runner[i];
    fail_msg("there is no runner %s", name);
    return NULL;
}

/* Whoever takes part is right and timed; whoever does not says why. Returns how many did. */
static int count_part(const dlf_bench_report *r, const char *peer)
{
    int n = 0;
    for (int i = 0; i < r->n; i++) {
        char name[DLF_BENCH_NAME];
        const dlf_bench_runner_result *x = find(&r->rows[i], peer);
        dlf_bench_case_name(name, &r->rows[i].c);
        if (r->rows[i].skipped[0]) fail_msg("%s: %s", name, r->rows[i].skipped);
        if (!x->note[0]) fail_msg("%s: %s says nothing", name, peer);
        if (!x->ns[DLF_BENCH_HOT]) continue;
        if (!(x->check.done && x->check.ok))
            fail_msg("%s: %s is off by %g (%g)", name, peer, x->check.error, x->check.tolerance);
        n++;
    }
    return n;
}

static void expect_note(const dlf_bench_report *r, const char *peer, const char *words)
{
    for (int i = 0; i < r->n; i++) {
        const dlf_bench_runner_result *x = find(&r->rows[i], peer);
        assert_null(x->ns[DLF_BENCH_HOT]);
        if (!strstr(x->note, words)) fail_msg("%s: '%s'", peer, x->note);
    }
}

static void with_libraries(const char *told)
{
    setenv("DLF_CUDNN", FAKE_CUDNN, 1);
    setenv("DLF_CUBLASLT", FAKE_CUBLASLT, 1);
    setenv("FAKE_LIBRARY", told, 1);
}

static void peers_that_are_not_there_are_told_and_the_row_goes_on(void **state)
{
    (void)state;
    unsetenv("DLF_CUBLASLT");
    setenv("DLF_CUDNN", "none", 1);
    dlf_bench_report *r = run("cudnn,cublaslt", "^conv1x1 data .* nhwc 4x32x", "f32");
    assert_string_equal(lines, "peer cudnn: not available here: no cuDNN\n"
                               "peer cublaslt: not available here: in the test bed only one that "
                               "DLF_CUBLASLT names\n");
    expect_note(r, "cudnn", "not available here: no cuDNN");
    expect_note(r, "cublaslt", "not available here");
    assert_non_null(r->rows[0].runner[0].ns[DLF_BENCH_HOT]);
    dlf_bench_summary s;
    assert_true(dlf_bench_summarise(&s, r->rows, 0, DLF_BENCH_HOT, 1.0));
    assert_null(s.peer_name);
    assert_int_equal(s.flags & DLF_FLAG_PEER_WRONG, 0);
    dlf_bench_report_free(r);
}

/* The 1x1 ops that have peers on cuda: all but the one of weights packed beforehand. */
#define FUSED "(_relu|_stats)?"

/* Per layout: conv forward, data, weight of two shapes, one of them depthwise, which the stand-in
 * has in NCHW only. conv1x1 of two shapes, one of them with a stride: forward and gradients, with
 * bias and relu, with statistics. */
static void convolutions(void **state)
{
    (void)state;
    with_libraries("right");
    dlf_bench_report *r = run("cudnn,cublaslt,unfused", "^conv(1x1" FUSED ")? .* 4x", "f32");
    assert_string_equal(lines, "");
    assert_int_equal(r->n, 12 + 20);
    assert_int_equal(count_part(r, "cudnn"), 9 + 16);
    /* NHWC without stride: forward, its two gradients, relu; NCHW: forward, data */
    assert_int_equal(count_part(r, "cublaslt"), 4 + 2);
    assert_int_equal(count_part(r, "unfused"), 8);
    const dlf_bench_runner_result *x = find(&r->rows[0], "cudnn");
    assert_non_null(strstr(x->note, "(5), math 3, workspace 0.0 MB; fastest of 2"));
    dlf_bench_report_free(r);
}

static void convolutions_in_other_types(void **state)
{
    (void)state;
    with_libraries("right");
    dlf_bench_report *r =
        run("cudnn,cublaslt,unfused", "^conv1x1" FUSED " .* nhwc 4x32x", "tf32,f16,bf16");
    assert_int_equal(r->n, 15);
    assert_int_equal(count_part(r, "cudnn"), 12);
    assert_int_equal(count_part(r, "cublaslt"), 12);
    assert_int_equal(count_part(r, "unfused"), 6);
    dlf_bench_report_free(r);
}

/* batch_norm by both interfaces, layer, instance and RMS norm as graphs; group norm has no engine.
 */
static void normalizations(void **state)
{
    (void)state;
    with_libraries("right");
    dlf_bench_report *r =
        run("cudnn", "norm .*(f32.*(64x64|512x256)|(f32 nhwc|bf16 nchw).*8x512x7x7)$", "f32,bf16");
    int expected = 0;
    for (int i = 0; i < r->n; i++) {
        const dlf_bench_case *c = &r->rows[i].c;
        const char *text = find(&r->rows[i], "cudnn")->note;
        const bool batch = !strcmp(c->op, "batch_norm"), group = !strcmp(c->op, "group_norm");
        expected += !group;
        if (group)
            assert_non_null(strstr(text, "no group_norm forward in cuDNN's graphs")
                                ? text
                                : strstr(text, "no group_norm backward"));
        if (batch)
            assert_non_null(strstr(text, "older interface") ? text : strstr(text, "graph plan"));
        if (!batch && !group) assert_non_null(strstr(text, "of 3, workspace 0.0 MB"));
    }
    assert_int_equal(r->n, 4 + 3 + 2 * 7);
    assert_int_equal(count_part(r, "cudnn"), expected);
    dlf_bench_report_free(r);
}

static int calls, chosen;

static dlf_status count_call(bench_subject *s)
{
    calls++;
    return chosen == 1 ? dlf_fail(DLF_ERR_NO_KERNEL, "not this one") : DLF_OK;
}

static dlf_status choose_this(bench_subject *s, int which)
{
    chosen = which;
    return DLF_OK;
}

static void a_way_that_was_found_is_not_searched_for_again(void **state)
{
    (void)state;
    bench_subject s = {.device = kt_dev, .call = count_call};
    int best = -1;
    calls = 0;
    OK(bench_fastest(&s, 3, choose_this, &best));
    assert_int_equal(calls, 4 + 1 + 4);
    assert_true(best == 0 || best == 2);
    assert_int_equal(s.way, best + 1);
    assert_int_equal(chosen, best);
    s.way = 3;
    calls = 0;
    OK(bench_fastest(&s, 3, choose_this, &best));
    assert_int_equal(calls, 1);
    assert_int_equal(best, 2);
    s.way = 2; /* one that does not run any more */
    OK(bench_fastest(&s, 3, choose_this, &best));
    assert_true(best != 1 && s.way == best + 1);
}

static void later_passes_go_on_with_the_peer(void **state)
{
    (void)state;
    with_libraries("right");
    passes = 2;
    dlf_bench_report *r =
        run("cudnn,cublaslt", "^conv1x1 forward .* nhwc 4x32x|layer_norm .*64x64", "f32");
    passes = 1;
    assert_int_equal(count_part(r, "cudnn"), r->n);
    for (int i = 0; i < r->n; i++) {
        assert_int_equal(r->rows[i].passes, 2);
        for (int k = 0; k < r->rows[i].rounds; k++)
            assert_true(find(&r->rows[i], "cudnn")->ns[DLF_BENCH_HOT][k] >= 0.0);
    }
    dlf_bench_report_free(r);
}

static void no_plan_is_told(void **state)
{
    (void)state;
    with_libraries("none");
    dlf_bench_report *r = run("cudnn,cublaslt", "^conv1x1" FUSED " .* nhwc 4x32x", "f32");
    assert_int_equal(r->n, 5);
    expect_note(r, "cudnn", "no");
    assert_string_equal(find(&r->rows[0], "cudnn")->note, "none of 0 plans runs");
    assert_string_equal(find(&r->rows[0], "cublaslt")->note, "none of 0 plans runs");
    dlf_bench_report_free(r);
    r = run("cudnn", "(batch|layer)_norm backward .*(64x64|512x256)$", "f32");
    assert_int_equal(r->n, 2);
    expect_note(r, "cudnn", "");
    assert_string_equal(find(&r->rows[0], "cudnn")->note, "cuDNN has no plan for its graph");
    assert_non_null(strstr(find(&r->rows[1], "cudnn")->note, "none of 4 plans runs; the last: "));
    dlf_bench_report_free(r);
}

static void a_wrong_peer_is_told_and_not_timed(void **state)
{
    (void)state;
    with_libraries("wrong");
    dlf_bench_report *r = run("cudnn,cublaslt", "^conv1x1 weight .* nhwc 4x32x", "f32");
    assert_int_equal(r->n, 1);
    expect_note(r, "cudnn", "WRONG: off by ");
    expect_note(r, "cublaslt", "WRONG: off by ");
    assert_false(find(r->rows, "cudnn")->check.ok);
    assert_non_null(strstr(lines, "peer cudnn is WRONG: off by "));
    dlf_bench_summary s;
    assert_true(dlf_bench_summarise(&s, r->rows, 0, DLF_BENCH_HOT, 1.0));
    assert_int_equal(s.flags & (DLF_FLAG_PEER_WRONG | DLF_FLAG_WRONG), DLF_FLAG_PEER_WRONG);
    assert_null(s.peer_name);
    dlf_bench_report_free(r);
    r = run("cudnn", "(batch|layer)_norm .*(64x64|512x256)$", "f32");
    for (int i = 0; i < r->n; i++) /* the stand-in's evaluation mode is always right */
        assert_int_equal(find(&r->rows[i], "cudnn")->check.ok,
                         !strcmp(r->rows[i].c.direction, "infer"));
    dlf_bench_report_free(r);
}

/* Processes: the result is off by what they say, and judged here. Whoever is not installed is told.
 */
static void peers_in_python(void **state)
{
    (void)state;
    passes = 2;
    dlf_bench_report *r = run("liger,quack,liger",
                              "_norm (forward|infer) .*(64x64|512x256)$|xent for.*1024x10$", "f32");
    passes = 1;
    assert_string_equal(lines,
                        "peer quack: not available here: the peer quack does not work "
                        "with " STAND_IN_PYTHON ": RuntimeError: no quack-kernels in this Python "
                        "(--python names another interpreter)\n"
                        "peer liger is WRONG: off by 0.5 (tolerance 2e-05) and not timed: rms_norm "
                        "forward f32 16x32\n"
                        "peer liger is WRONG: off by inf (tolerance 2e-05) and not timed: "
                        "softmax_xent forward f32 16x32\n");
    assert_int_equal(r->n, 5);
    expect_note(r, "quack", "not available here: ");
    for (int i = 0; i < r->n; i++) {
        const dlf_bench_runner_result *liger = find(&r->rows[i], "liger");
        const bool right = !strcmp(r->rows[i].c.op, "layer_norm");
        assert_int_equal(r->rows[i].n_runners, 5);
        assert_int_equal(liger->ns[DLF_BENCH_HOT] != NULL, right);
        if (!right) continue;
        assert_true(liger->check.done && liger->check.ok);
        assert_true(liger->check.error == 1e-7 && liger->check.tolerance == 2e-5);
        assert_string_equal(liger->note, "its way");
        assert_true(liger->ns[DLF_BENCH_HOT][1] == 1000.0);
    }
    assert_non_null(strstr(r->manifest, "stand-in of liger"));
    dlf_bench_report_free(r);
}

int main(int argc, char **argv)
{
    kt_open(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peers_that_are_not_there_are_told_and_the_row_goes_on),
        cmocka_unit_test(convolutions),
        cmocka_unit_test(convolutions_in_other_types),
        cmocka_unit_test(normalizations),
        cmocka_unit_test(a_way_that_was_found_is_not_searched_for_again),
        cmocka_unit_test(later_passes_go_on_with_the_peer),
        cmocka_unit_test(no_plan_is_told),
        cmocka_unit_test(a_wrong_peer_is_told_and_not_timed),
        cmocka_unit_test(peers_in_python)};
    return kt_close(cmocka_run_group_tests_name("peers of the bench", tests, NULL, NULL));
}
