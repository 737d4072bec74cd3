/* SPDX-License-Identifier: MIT
 * test_run.c -- the machinery around an experiment: parameters, seeds, cancelling, manifest, the
 * interval over seeds, and the nearest name. Uses an experiment of its own. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "build_info.h"
#include "experiments/nearest.h"
#include "experiments/run.h"

/* ---- an experiment whose outcome the test chooses ---------------------------------------------
 */

static struct {
    dlf_status status; /* what run() ends with              */
    bool self_check_fails;
    int depth, seeds; /* what run() saw                     */
    double rate;
    char kind[32];
    bool depth_is_set, full;
    uint64_t seed;
    const char *data_dir;
} fake;

static dlf_status fake_run(dlf_run *run)
{
    fake.depth = dlf_run_int(run, "depth");
    fake.rate = dlf_run_real(run, "rate");
    snprintf(fake.kind, sizeof fake.kind, "%s", dlf_run_choice(run, "kind"));
    fake.depth_is_set = dlf_run_is_set(run, "depth");
    fake.seeds = dlf_run_seeds(run);
    fake.seed = dlf_run_seed(run);
    fake.full = dlf_run_full(run);
    fake.data_dir = dlf_run_data_dir(run);
    dlf_table *table;
    const dlf_column columns[] = {{"step", "1"}, {NULL, NULL}};
    DLF_TRY(
        dlf_result_table(dlf_run_result(run), "steps", (dlf_text){"步", "steps"}, columns, &table));
    for (int i = 0; i < 4; i++) {
        DLF_TRY(dlf_table_row(table, DLF_NUM(i)));
        DLF_TRY(dlf_run_stage(run, i / 4.0, "step %d", i));
    }
    DLF_TRY(dlf_result_check(dlf_run_result(run),
                             (dlf_check){.id = "own",
                                         .claim = {"恒等", "identity"},
                                         .measured = fake.self_check_fails ? NAN : 1.0,
                                         .lo = NAN,
                                         .hi = NAN,
                                         .expected = 1.0,
                                         .source = "identity",
                                         .self_check = true}));
    if (fake.status == DLF_ERR_DEVICE) return dlf_fail(DLF_ERR_DEVICE, "the fake device fell over");
    return fake.status;
}

static const dlf_param fake_params[] = {
    {"depth", DLF_PARAM_INT, 10, 50, 1, 100, NULL, "layers", {"深度", "depth"}},
    {"rate", DLF_PARAM_REAL, 0.5, 0.25, 0, 1, NULL, "1", {"学习率", "rate"}},
    {"kind", DLF_PARAM_CHOICE, 0, 0, 0, 0, "all,tanh,relu", "1", {"种类", "kind"}},
    {.name = NULL}};
static const dlf_experiment fake_experiment = {
    "fake",   "Q7,Q8", {"问题？", "A question?"}, {"论断", "a claim"}, 5, 16, fake_params,
    fake_run, NULL};

static dlf_device *device;

static int open_device(void **state)
{
    return dlf_device_open(&device, "ref") == DLF_OK ? 0 : -1;
}

static int close_device(void **state)
{
    dlf_device_close(device);
    return 0;
}

static int reset(void **state)
{
    memset(&fake, 0, sizeof fake);
    dlf_error_clear();
    return 0;
}

static dlf_status run_with(dlf_result **out, const char *name, const char *value)
{
    const dlf_setting set = {name, value};
    return dlf_experiment_run(out, &fake_experiment,
                              &(dlf_run_options){.device = device,
                                                 .seed = 7,
                                                 .set = &set,
                                                 .n_set = name != NULL,
                                                 .command = "dlf run fake"});
}

/* The setting is refused with `status`, and the sentence mentions `word`. */
static void refused(const char *name, const char *value, dlf_status status, const char *word)
{
    dlf_result *r = (dlf_result *)&fake;
    const dlf_setting set = {name, value};
    assert_int_equal(run_with(&r, name, value), status);
    assert_null(r);
    if (!strstr(dlf_error_message(), word))
        fail_msg("'%s' does not mention '%s'", dlf_error_message(), word);
    assert_int_equal(dlf_experiment_check_settings(&fake_experiment, &set, 1), status);
}

/* ---- parameters ---------------------------------------------------------------------------------
 */

static void defaults_follow_the_mode(void **state)
{
    dlf_result *r;
    assert_int_equal(run_with(&r, NULL, NULL), DLF_OK);
    assert_int_equal(fake.depth, 10);
    assert_true(fake.rate == 0.5);
    assert_string_equal(fake.kind, "all");
    assert_false(fake.depth_is_set);
    assert_int_equal(fake.seeds, 5);
    assert_true(dlf_result_find_parameter(r, "depth") == 10.0);
    assert_string_equal(dlf_result_find_parameter_text(r, "kind"), "all");
    assert_string_equal(dlf_result_manifest(r)->mode, "quick");
    dlf_result_free(r);

    const dlf_run_options full = {.device = device, .full = true};
    assert_int_equal(dlf_experiment_run(&r, &fake_experiment, &full), DLF_OK);
    assert_int_equal(fake.depth, 50);
    assert_true(fake.rate == 0.25);
    assert_int_equal(fake.seeds, 16);
    assert_true(fake.full);
    assert_string_equal(dlf_result_manifest(r)->mode, "full");
    dlf_result_free(r);
}

static void settings_arrive(void **state)
{
    dlf_result *r;
    assert_int_equal(run_with(&r, "depth", "100"), DLF_OK); /* bounds are inclusive */
    assert_int_equal(fake.depth, 100);
    assert_true(fake.depth_is_set);
    dlf_result_free(r);
    assert_int_equal(run_with(&r, "depth", "1e1"), DLF_OK);
    assert_int_equal(fake.depth, 10);
    dlf_result_free(r);
    assert_int_equal(run_with(&r, "rate", "2.5e-3"), DLF_OK);
    assert_true(fake.rate == 2.5e-3);
    dlf_result_free(r);
    assert_int_equal(run_with(&r, "kind", "relu"), DLF_OK);
    assert_string_equal(fake.kind, "relu");
    assert_string_equal(dlf_result_find_parameter_text(r, "kind"), "relu");
    dlf_result_free(r);
}

static void nonsense_is_refused(void **state)
{
    static const char *const no_numbers[] = {"",   "nan", "inf",  "-inf", "0x10",
                                             " 5", "5 ",  "5,",   "five", "1e999",
                                             "1e", "--5", "5..6", "+-1",  "NaN"};
    for (size_t i = 0; i < sizeof no_numbers / sizeof no_numbers[0]; i++) {
        refused("rate", no_numbers[i], DLF_ERR_ARG, "number");
        refused("depth", no_numbers[i], DLF_ERR_ARG, "number");
    }
    refused("depth", "0", DLF_ERR_ARG, "1..100");
    refused("depth", "101", DLF_ERR_ARG, "1..100");
    refused("depth", "-1e300", DLF_ERR_ARG, "1..100");
    refused("depth", "2.5", DLF_ERR_ARG, "whole");
    refused("rate", "1.0000001", DLF_ERR_ARG, "0..1");
    refused("kind", "tan", DLF_ERR_ARG, "all,tanh,relu");
    refused("kind", "", DLF_ERR_ARG, "all,tanh,relu");
    refused("kind", "all,tanh", DLF_ERR_ARG, "all,tanh,relu");
    refused("dpeth", "5", DLF_ERR_NOT_FOUND, "did you mean 'depth'");
    refused("", "5", DLF_ERR_NOT_FOUND, "depth");
}

static void long_names_and_values_are_refused(void **state)
{
    char *text = malloc(100001);
    memset(text, '9', 100000);
    text[100000] = '\0';
    refused("depth", text, DLF_ERR_ARG, "depth"); /* overflows to infinity */
    refused("kind", text, DLF_ERR_ARG, "kind");
    refused(text, "5", DLF_ERR_NOT_FOUND, "has no parameter");
    free(text);
}

static void setting_twice_is_refused(void **state)
{
    const dlf_setting set[] = {{"depth", "5"}, {"depth", "5"}};
    dlf_result *r;
    const dlf_run_options o = {.device = device, .set = set, .n_set = 2};
    assert_int_equal(dlf_experiment_run(&r, &fake_experiment, &o), DLF_ERR_ARG);
    assert_non_null(strstr(dlf_error_message(), "twice"));
}

/* ---- seeds, cancelling, failures
 * ------------------------------------------------------------------ */

static void seeds_are_passed_and_checked(void **state)
{
    dlf_result *r;
    dlf_run_options o = {.device = device, .seed = UINT64_C(1) << 40, .seeds = 3};
    assert_int_equal(dlf_experiment_run(&r, &fake_experiment, &o), DLF_OK);
    assert_int_equal(fake.seeds, 3);
    assert_true(fake.seed == UINT64_C(1) << 40);
    assert_int_equal(dlf_result_manifest(r)->seeds, 3);
    dlf_result_free(r);
    o.seeds = -1;
    assert_int_equal(dlf_experiment_run(&r, &fake_experiment, &o), DLF_ERR_ARG);
    assert_null(r);
}

typedef struct watcher {
    volatile int cancel;
    int calls, cancel_at;
    double last;
    char text[64];
} watcher;

static void watch(void *user, double fraction, const char *text)
{
    watcher *w = user;
    assert_true(fraction >= w->last && fraction <= 1.0);
    w->last = fraction;
    snprintf(w->text, sizeof w->text, "%s", text);
    if (++w->calls == w->cancel_at) w->cancel = 1;
}

static void cancelling_keeps_what_is_there(void **state)
{
    watcher w = {.cancel_at = 2};
    dlf_result *r;
    const dlf_run_options o = {
        .device = device, .progress = watch, .user = &w, .cancel = &w.cancel};
    assert_int_equal(dlf_experiment_run(&r, &fake_experiment, &o), DLF_ERR_CANCELLED);
    assert_int_equal(w.calls, 2);
    assert_string_equal(w.text, "step 1");
    assert_non_null(r);
    assert_false(dlf_result_manifest(r)->complete);
    assert_string_equal(dlf_result_manifest(r)->version, DLF_VERSION);
    assert_int_equal(dlf_result_manifest(r)->seeds, 5);
    assert_int_equal(dlf_table_rows(dlf_result_find_table(r, "steps")), 2);
    dlf_result_free(r);
}

static void progress_is_optional_and_complete(void **state)
{
    watcher w = {.cancel_at = -1};
    dlf_result *r;
    const dlf_run_options o = {
        .device = device, .progress = watch, .user = &w, .cancel = &w.cancel};
    assert_int_equal(dlf_experiment_run(&r, &fake_experiment, &o), DLF_OK);
    assert_int_equal(w.calls, 4);
    assert_true(dlf_result_manifest(r)->complete);
    dlf_result_free(r);
}

static void data_directory_arrives_and_is_recorded(void **state)
{
    dlf_result *r = NULL;
    dlf_run_options o = {.device = device};
    assert_int_equal(dlf_experiment_run(&r, &fake_experiment, &o), DLF_OK);
    assert_null(fake.data_dir);
    assert_null(dlf_result_find_parameter_text(r, "data_dir"));
    dlf_result_free(r);
    o.data_dir = "some/where";
    assert_int_equal(dlf_experiment_run(&r, &fake_experiment, &o), DLF_OK);
    assert_string_equal(fake.data_dir, "some/where");
    assert_string_equal(dlf_result_find_parameter_text(r, "data_dir"), "some/where");
    dlf_result_free(r);
}

static void failed_self_check_keeps_the_result(void **state)
{
    dlf_result *r;
    fake.self_check_fails = true;
    assert_int_equal(run_with(&r, NULL, NULL), DLF_ERR_SELF_CHECK);
    assert_non_null(r);
    assert_true(dlf_result_manifest(r)->complete);
    assert_non_null(strstr(dlf_error_message(), "own"));
    dlf_result_free(r);
}

static void failure_leaves_no_result(void **state)
{
    dlf_result *r = (dlf_result *)&fake;
    fake.status = DLF_ERR_DEVICE;
    assert_int_equal(run_with(&r, NULL, NULL), DLF_ERR_DEVICE);
    assert_null(r);
    assert_string_equal(dlf_error_message(), "the fake device fell over");
}

static void manifest_says_who_and_how(void **state)
{
    dlf_result *r;
    assert_int_equal(run_with(&r, NULL, NULL), DLF_OK);
    const dlf_manifest *m = dlf_result_manifest(r);
    assert_string_equal(m->version, DLF_VERSION);
    assert_string_equal(m->build, DLF_BUILD);
    assert_true(strlen(m->git) > 0);
    assert_string_equal(m->command, "dlf run fake");
    assert_string_equal(m->backend, "ref");
    assert_string_equal(m->device, device->info.name);
    assert_string_equal(m->device_detail, device->info.detail);
    assert_int_equal(m->threads, device->info.threads);
    assert_true(m->seed == 7);
    assert_true(m->seconds >= 0.0 && m->seconds < 60.0);
    int year, month, day, hour, minute, second, length = 0;
    assert_int_equal(sscanf(m->started, "%4d-%2d-%2dT%2d:%2d:%2dZ%n", &year, &month, &day, &hour,
                            &minute, &second, &length),
                     6);
    assert_int_equal(length, (int)strlen(m->started));
    assert_string_equal(dlf_result_questions(r), "Q7,Q8");
    dlf_result_free(r);
}

/* ---- estimates
 * ------------------------------------------------------------------------------------ */

/* Two-sided 95 %, from the printed tables (e.g. Abramowitz & Stegun table 26.10). */
static void student_t_matches_the_table(void **state)
{
    static const struct {
        int v;
        double t;
    } table[] = {{1, 12.706},  {2, 4.303},    {3, 3.182},      {4, 2.776},  {5, 2.571},
                 {6, 2.447},   {7, 2.365},    {8, 2.306},      {9, 2.262},  {10, 2.228},
                 {11, 2.201},  {15, 2.131},   {20, 2.086},     {24, 2.064}, {30, 2.042},
                 {31, 2.040},  {40, 2.021},   {60, 2.000},     {63, 1.998}, {100, 1.984},
                 {120, 1.980}, {1000, 1.962}, {1000000, 1.960}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const double t = dlf_student_t95(table[i].v);
        if (!(fabs(t - table[i].t) <= 0.00051))
            fail_msg("t(%d) is %.5f, table %.3f", table[i].v, t, table[i].t);
    }
    /* The exact sum and the expansion meet. */
    assert_true(fabs(dlf_student_t95(400) - dlf_student_t95(401)) < 2e-5);
    assert_true(dlf_student_t95(400) > dlf_student_t95(401));
    assert_true(isnan(dlf_student_t95(0)));
}

static void assert_near(double x, double expected, double relative)
{
    if (!(fabs(x - expected) <= relative * fabs(expected)))
        fail_msg("%.17g is not %.17g", x, expected);
}

static void estimate_of_known_numbers(void **state)
{
    /* every second value; mean 3, sd sqrt(2.5), t(4) = 2.776445 */
    const double values[] = {1, 99, 2, 99, 3, 99, 4, 99, 5, 99};
    const dlf_estimate e = dlf_estimate_of(values, 5, 2);
    assert_int_equal(e.n, 5);
    assert_near(e.mean, 3.0, 1e-15);
    assert_near(e.sd, sqrt(2.5), 1e-15);
    assert_near(e.hi - e.mean, 2.7764451052 * sqrt(2.5) / sqrt(5.0), 1e-9);
    assert_near(e.mean - e.lo, 2.7764451052 * sqrt(2.5) / sqrt(5.0), 1e-9);
}

static void estimate_survives_extremes(void **state)
{
    const double one[] = {4.0}, huge[] = {1e300, 3e300}, tiny[] = {1e-310, 3e-310},
                 nan_inside[] = {1.0, NAN, 2.0}, infinite[] = {1.0, INFINITY};
    dlf_estimate e = dlf_estimate_of(one, 1, 1);
    assert_true(e.mean == 4.0 && isnan(e.lo) && isnan(e.hi) && isnan(e.sd));
    e = dlf_estimate_of(one, 0, 1);
    assert_true(isnan(e.mean) && isnan(e.lo) && e.n == 0);
    e = dlf_estimate_of(huge, 2, 1);
    assert_near(e.mean, 2e300, 1e-15);
    assert_near(e.sd, sqrt(2.0) * 1e300, 1e-15);
    e = dlf_estimate_of(tiny, 2, 1);
    assert_near(e.mean, 2e-310, 1e-10);
    assert_near(e.sd, sqrt(2.0) * 1e-310, 1e-10);
    e = dlf_estimate_of(nan_inside, 3, 1);
    assert_true(isnan(e.mean) && isnan(e.lo) && isnan(e.hi));
    e = dlf_estimate_of(infinite, 2, 1);
    assert_true(isinf(e.mean) && isnan(e.lo));
}

/* ---- names
 * ------------------------------------------------------------------------------------------ */

static void nearest_names(void **state)
{
    static const char *const names[] = {"vanishing", "exploding", "depth", "width", NULL};
    char out[256], shorter[24];
    assert_int_equal(dlf_edit_distance("", "abc"), 3);
    assert_int_equal(dlf_edit_distance("Depth", "dpeth"), 1); /* neighbours swapped, case free */
    assert_int_equal(dlf_edit_distance("kitten", "sitting"), 3);
    assert_non_null(strstr(dlf_nearest(out, sizeof out, "vanish", names), "'vanishing'?"));
    assert_non_null(strstr(dlf_nearest(out, sizeof out, "widht", names), "'width'?"));
    assert_null(strstr(dlf_nearest(out, sizeof out, "qqqqqqqq", names), "mean"));
    assert_non_null(strstr(out, "vanishing, exploding"));
    dlf_nearest(shorter, sizeof shorter, "zzzzzzzzzzzz", names); /* truncated, not overrun */
    assert_true(strlen(shorter) < sizeof shorter);
}

static void experiments_are_found_by_slug_and_question(void **state)
{
    assert_null(dlf_experiment_find(""));
    assert_null(dlf_experiment_find("no such thing"));
    assert_null(dlf_experiment_find("Q6"));
    assert_null(dlf_experiment_find("Q"));
    for (int i = 0; dlf_experiments[i]; i++)
        assert_ptr_equal(dlf_experiment_find(dlf_experiments[i]->slug), dlf_experiments[i]);
    assert_true(dlf_experiment_answers(&fake_experiment, "q8"));
    assert_false(dlf_experiment_answers(&fake_experiment, "Q"));
    assert_false(dlf_experiment_answers(&fake_experiment, "Q7,Q8"));
    assert_false(dlf_experiment_answers(&fake_experiment, "Q78"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(defaults_follow_the_mode, reset),
        cmocka_unit_test_setup(settings_arrive, reset),
        cmocka_unit_test_setup(nonsense_is_refused, reset),
        cmocka_unit_test_setup(long_names_and_values_are_refused, reset),
        cmocka_unit_test_setup(setting_twice_is_refused, reset),
        cmocka_unit_test_setup(seeds_are_passed_and_checked, reset),
        cmocka_unit_test_setup(cancelling_keeps_what_is_there, reset),
        cmocka_unit_test_setup(progress_is_optional_and_complete, reset),
        cmocka_unit_test_setup(data_directory_arrives_and_is_recorded, reset),
        cmocka_unit_test_setup(failed_self_check_keeps_the_result, reset),
        cmocka_unit_test_setup(failure_leaves_no_result, reset),
        cmocka_unit_test_setup(manifest_says_who_and_how, reset),
        cmocka_unit_test_setup(student_t_matches_the_table, reset),
        cmocka_unit_test_setup(estimate_of_known_numbers, reset),
        cmocka_unit_test_setup(estimate_survives_extremes, reset),
        cmocka_unit_test_setup(nearest_names, reset),
        cmocka_unit_test_setup(experiments_are_found_by_slug_and_question, reset),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
