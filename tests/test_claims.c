/* SPDX-License-Identifier: MIT
 * test_claims.c -- what experiments must find: verdicts of named checks in a configuration that is
 * smaller than the default but large enough for their tolerances; and the helpers they rest on. */
#include "kernel_test.h"

#include "dlf/experiment.h"
#include "experiments/observed_nets.h"

typedef struct expectation {
    const char *id;
    dlf_verdict verdict;
} expectation;

static dlf_result *run(const char *slug, int seeds, const dlf_setting *set, int n_set)
{
    const dlf_run_options options = {
        .device = kt_dev, .seed = 1, .seeds = seeds, .set = set, .n_set = n_set, .command = "test"};
    dlf_result *r = NULL;
    OK(dlf_experiment_run(&r, dlf_experiment_find(slug), &options));
    assert_non_null(r);
    return r;
}

static void expect(const dlf_result *r, const expectation *e)
{
    for (; e->id; e++) {
        const dlf_check *c = dlf_result_find_check(r, e->id);
        if (!c) fail_msg("there is no check %s", e->id);
        if (c->verdict != e->verdict)
            fail_msg("%s: %s, measured %.6g, expected %.6g", e->id, dlf_verdict_name(c->verdict),
                     c->measured, c->expected);
    }
}

static void relu_vs_sigmoid(void **state)
{
    static const dlf_setting set[] = {
        {"width", "192"}, {"depth", "16"},       {"samples", "20000"},  {"trials", "1500"},
        {"steps", "300"}, {"digits_depth", "6"}, {"digits_width", "48"}};
    static const expectation found[] = {
        {"factor_ratio", DLF_SUPPORTED},      {"sigmoid_bound", DLF_SUPPORTED},
        {"condition_sigmoid", DLF_SUPPORTED}, {"condition_relu", DLF_SUPPORTED},
        {"condition_tanh", DLF_SUPPORTED},    {"condition_centred", DLF_SUPPORTED},
        {"half_zero", DLF_SUPPORTED},         {"born_dead_relu_3", DLF_SUPPORTED},
        {"born_dead_relu_5", DLF_SUPPORTED},  {"born_dead_relu_8", DLF_SUPPORTED},
        {"born_dead_leaky_3", DLF_SUPPORTED}, {"steps_ratio", DLF_SUPPORTED},
        {"deep_relu", DLF_SUPPORTED},         {"deep_sigmoid", DLF_SUPPORTED},
        {"named_relu", DLF_SUPPORTED},        {"named_relu_fast", DLF_SUPPORTED},
        {"named_relu_faster", DLF_SUPPORTED}, {"named_sigmoid", DLF_SUPPORTED},
        {"named_sigmoid_400", DLF_SUPPORTED}, {NULL, DLF_SUPPORTED}};
    dlf_result *r = run("relu-vs-sigmoid", 3, set, sizeof set / sizeof set[0]);
    expect(r, found);
    assert_non_null(dlf_result_find_check(r, "fashion_ratio")); /* with or without the data */
    dlf_result_free(r);
}

static void activations(void **state)
{
    static const dlf_setting set[] = {
        {"width", "256"}, {"depth", "16"}, {"steps", "120"}, {"digits_depth", "6"}};
    static const expectation found[] = {
        {"chi_sigmoid", DLF_SUPPORTED},        {"chi_tanh", DLF_SUPPORTED},
        {"chi_selu", DLF_SUPPORTED},           {"chi_softplus", DLF_SUPPORTED},
        {"poincare", DLF_SUPPORTED},           {"gain_is_stable", DLF_REFUTED},
        {"tanh_is_sigmoid", DLF_SUPPORTED},    {"gradient_sigmoid_bce", DLF_SUPPORTED},
        {"gradient_tanh_mse", DLF_SUPPORTED},  {"gain_trains", DLF_SUPPORTED},
        {"sigmoid_gain_fails", DLF_SUPPORTED}, {NULL, DLF_SUPPORTED}};
    dlf_result *r = run("activations", 3, set, sizeof set / sizeof set[0]);
    expect(r, found);
    /* at its gain every activation has the length 1, and selu's gain is 1 (Klambauer et al. 2017)
     */
    const dlf_table *growth = dlf_result_find_table(r, "growth");
    const int q = dlf_table_find_column(growth, "q_star");
    const int w = dlf_table_find_column(growth, "sigma_w2");
    assert_int_equal(dlf_table_rows(growth), DLF_ACTIVATION_COUNT);
    for (int i = 0; i < DLF_ACTIVATION_COUNT; i++)
        assert_true(fabs(dlf_table_cell(growth, i, q).number - 1.0) < 1e-6);
    assert_true(fabs(dlf_table_cell(growth, DLF_SELU, w).number - 1.0) < 1e-12);
    assert_true(fabs(dlf_table_cell(growth, DLF_RELU, w).number - 2.0) < 1e-12);
    /* 2(p-1)p(1-p) at z = -8, against p-1: the saturated pair has lost 3.5 decades */
    const dlf_table *t = dlf_result_find_table(r, "output_gradient");
    const int z = dlf_table_find_column(t, "z"), g = dlf_table_find_column(t, "gradient");
    int seen = 0;
    for (int i = 0; i < dlf_table_rows(t); i++) {
        const char *pair = dlf_table_cell(t, i, 0).text;
        if (dlf_table_cell(t, i, z).number != -8.0) continue;
        const double p = 1.0 / (1.0 + exp(8.0)), got = dlf_table_cell(t, i, g).number;
        if (!strcmp(pair, "sigmoid_bce")) assert_true(fabs(got - (1.0 - p)) < 1e-15);
        if (!strcmp(pair, "sigmoid_mse"))
            assert_true(fabs(got - 2.0 * (1.0 - p) * p * (1.0 - p)) < 1e-15);
        seen++;
    }
    assert_int_equal(seen, 4);
    dlf_result_free(r);
}

/* Two members; errors at steps 2, 4, 8. */
static void steps_are_interpolated(void **state)
{
    static const int look[] = {2, 4, 8};
    static const dlf_observed_net net[2];
    const dlf_observed_job job = {.net = net, .nets = 2, .seeds = 1, .look = look, .looks = 3};
    const double error[] = {0.9, 0.1, 0.5, 0.4, 0.1, 0.4};
    bool reached;
    assert_true(dlf_steps_to(&job, error, 0, 0.5, &reached) == 4.0 && reached);
    /* half of the way from 0.5 to 0.1 at 0.3, in log(step): sqrt(4 * 8) */
    assert_true(fabs(dlf_steps_to(&job, error, 0, 0.3, &reached) - sqrt(32.0)) < 1e-12);
    assert_true(dlf_steps_to(&job, error, 1, 0.2, &reached) == 2.0 && reached);
    assert_true(dlf_steps_to(&job, error, 0, 0.05, &reached) == 8.0 && !reached);
    int at[8];
    assert_int_equal(dlf_observed_looks(at, 8, 5), 4);
    assert_int_equal(at[3], 5);
    assert_int_equal(dlf_observed_looks(at, 8, 100000), 8);
    assert_int_equal(at[7], 100000);
}

/* ---- batch norm: Q25 ---- */

static void bn_statistics(void **state)
{
    static const dlf_setting set[] = {{"values", "32768"}, {"fold_positions", "512"}};
    static const expectation found[] = {
        {"mean_noise", DLF_SUPPORTED},       {"variance_bias", DLF_SUPPORTED},
        {"variance_noise", DLF_SUPPORTED},   {"fourth_moment", DLF_SUPPORTED},
        {"relu_mean", DLF_SUPPORTED},        {"correlation", DLF_SUPPORTED},
        {"layer_norm_batch", DLF_SUPPORTED}, {"group_norm_batch", DLF_SUPPORTED},
        {"beta_3", DLF_SUPPORTED},           {"beta_4", DLF_SUPPORTED},
        {"beta_8", DLF_SUPPORTED},           {"beta_32", DLF_SUPPORTED},
        {"two_signs", DLF_SUPPORTED},        {"bounded", DLF_SUPPORTED},
        {"effective_batch", DLF_SUPPORTED},  {"digits_effective", DLF_SUPPORTED},
        {"fold_dense", DLF_SUPPORTED},       {"fold_conv1x1", DLF_SUPPORTED},
        {"fold_conv3x3", DLF_SUPPORTED},     {NULL, DLF_SUPPORTED}};
    dlf_result *r = run("bn-statistics", 3, set, sizeof set / sizeof set[0]);
    expect(r, found);
    dlf_result_free(r);
}

static void bn_gradient_explosion(void **state)
{
    static const dlf_setting set[] = {
        {"width", "256"}, {"depth", "12"}, {"largest_batch", "64"}, {"shatter_batch", "64"}};
    static const expectation found[] = {{"bn_relu_64", DLF_SUPPORTED},
                                        {"bn_relu_large", DLF_SUPPORTED},
                                        {"bn_linear_64", DLF_SUPPORTED},
                                        {"ln_relu_64", DLF_SUPPORTED},
                                        {"plain_relu_64", DLF_SUPPORTED},
                                        {"scale_free", DLF_SUPPORTED},
                                        {"shattering", DLF_SUPPORTED},
                                        {"shattering_layer_norm", DLF_SUPPORTED},
                                        {NULL, DLF_SUPPORTED}};
    dlf_result *r = run("bn-gradient-explosion", 3, set, sizeof set / sizeof set[0]);
    expect(r, found);
    dlf_result_free(r);
}

static void bn_dependent_batches(void **state)
{
    static const dlf_setting set[] = {
        {"values", "32768"}, {"class_steps", "60"}, {"channels", "400"}};
    static const expectation found[] = {{"sorted_fails", DLF_SUPPORTED},
                                        {"mixed_works", DLF_SUPPORTED},
                                        {"sorted_layer_norm", DLF_SUPPORTED},
                                        {"sorted_group_norm", DLF_SUPPORTED},
                                        {"sorted_none", DLF_SUPPORTED},
                                        {"class_mean", DLF_SUPPORTED},
                                        {"silent_pair", DLF_SUPPORTED},
                                        {"leak", DLF_SUPPORTED},
                                        {"leak_layer_norm", DLF_SUPPORTED},
                                        {"game_batch_norm", DLF_SUPPORTED},
                                        {"game_batch_norm_evaluation", DLF_SUPPORTED},
                                        {"game_layer_norm", DLF_SUPPORTED},
                                        {"running_bias", DLF_SUPPORTED},
                                        {"running_noise", DLF_SUPPORTED},
                                        {"running_variance", DLF_SUPPORTED},
                                        {"modes_layer_norm", DLF_SUPPORTED},
                                        {NULL, DLF_SUPPORTED}};
    dlf_result *r = run("bn-dependent-batches", 3, set, sizeof set / sizeof set[0]);
    expect(r, found);
    dlf_result_free(r);
}

static void norm_batch_size(void **state)
{
    static const dlf_setting set[] = {{"epochs", "3"}, {"conv_epochs", "1"}, {"train_rows", "800"}};
    static const expectation found[] = {{"bn_2_4", DLF_SUPPORTED},
                                        {"bn_gn_2", DLF_SUPPORTED},
                                        {"gn_one_is_ln", DLF_SUPPORTED},
                                        {"gn_all_is_chance", DLF_SUPPORTED},
                                        {NULL, DLF_SUPPORTED}};
    dlf_result *r = run("norm-batch-size", 3, set, sizeof set / sizeof set[0]);
    expect(r, found);
    dlf_result_free(r);
}

int main(int argc, char **argv)
{
    kt_open(argc, argv);
    if (argc > 2) cmocka_set_test_filter(argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bn_statistics),          cmocka_unit_test(bn_gradient_explosion),
        cmocka_unit_test(bn_dependent_batches),   cmocka_unit_test(norm_batch_size),
        cmocka_unit_test(steps_are_interpolated), cmocka_unit_test(activations),
        cmocka_unit_test(relu_vs_sigmoid),
    };
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
