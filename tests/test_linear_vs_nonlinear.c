/* SPDX-License-Identifier: MIT
 * test_linear_vs_nonlinear.c -- Q14, Q18: closed forms against independent values, the checks of
 * the experiment in a small configuration. */
#include "kernel_test.h"

#include "experiments/linear_vs_nonlinear.h"

static void near(double got, double want, double relative)
{
    if (!(fabs(got - want) <= relative * fabs(want))) fail_msg("got %.12g, want %.12g", got, want);
}

/* u' = 2 u (s - u) by the midpoint rule with steps of 1e-4: error of the order 1e-8. */
static void modes_solve_their_equation(void **state)
{
    (void)state;
    const double s = 3.0, u0 = 0.01, h = 1e-4;
    double u = u0;
    for (int i = 1; i <= 20000; i++) {
        const double half = u + 0.5 * h * 2.0 * u * (s - u);
        u += h * 2.0 * half * (s - half);
        if (i % 4000 == 0) near(dlf_deep_mode(s, u0, i * h), u, 1e-6);
    }
    near(dlf_deep_mode(s, u0, 0.4), 0.1067, 5e-4); /* tabulated in the survey */
    near(dlf_deep_mode(s, u0, 1.2), 2.4525, 1e-4);
    near(dlf_deep_mode(s, u0, 400.0), s, 1e-15); /* e^{2st} would overflow */
    near(dlf_shallow_mode(s, u0, 0.0), u0, 1e-13);
    near(dlf_shallow_mode(s, u0, log(2.0)), 0.5 * (s + u0), 1e-15);
}

/* At two layers the two correlations are elementary. */
static void superposition_has_its_closed_form(void **state)
{
    (void)state;
    near(dlf_superposition_defect(1) + 1.0, 1.0, 1e-7); /* linear: sqrt of a cancellation */
    /* one relu: kappa_1(0) = 1/pi, kappa_1(1/sqrt 2) = (1/sqrt 2 + (3 pi/4)/sqrt 2)/pi */
    const double pi = acos(-1.0), r = sqrt(0.5), k = (r + 0.75 * pi * r) / pi;
    near(dlf_superposition_defect(2), sqrt(2.0 + 1.0 / pi - 2.0 * sqrt(2.0) * k), 1e-12);
}

static void fourteen_labellings_have_a_line(void **state)
{
    (void)state;
    int separable;
    assert_int_equal(dlf_xor_best_line(&separable), 3);
    assert_int_equal(separable, 14);
}

static void checks_hold_in_a_small_run(void **state)
{
    (void)state;
    const dlf_setting set[] = {{"width", "128"},      {"depth", "8"},       {"steps", "1500"},
                               {"starts", "4"},       {"rate", "0.002"},    {"digits_steps", "4"},
                               {"digits_depth", "1"}, {"digits_width", "8"}};
    static const char *const ids[] = {
        "superposition_relu", "collapse_device", "collapse_double", "rank_linear", "rank_relu",
        "xor_linear",         "xor_deep_linear", "xor_relu",        "xor_tanh",    "xor_line",
        "modes_deep",         "modes_order",     "modes_shallow"};
    const dlf_run_options options = {.device = kt_dev,
                                     .seed = 3,
                                     .seeds = 5,
                                     .set = set,
                                     .n_set = sizeof set / sizeof set[0],
                                     .command = "test"};
    dlf_result *r = NULL;
    OK(dlf_experiment_run(&r, dlf_experiment_find("Q18"), &options));
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        const dlf_check *c = dlf_result_find_check(r, ids[i]);
        if (!c) fail_msg("no check %s", ids[i]);
        if (c->verdict != DLF_SUPPORTED)
            fail_msg("%s: measured %.6g, expected %.6g", ids[i], c->measured, c->expected);
    }
    dlf_result_free(r);
}

int main(int argc, char **argv)
{
    kt_open(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(modes_solve_their_equation),
        cmocka_unit_test(superposition_has_its_closed_form),
        cmocka_unit_test(fourteen_labellings_have_a_line),
        cmocka_unit_test(checks_hold_in_a_small_run),
    };
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
