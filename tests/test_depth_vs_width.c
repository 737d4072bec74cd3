/* SPDX-License-Identifier: MIT
 * test_depth_vs_width.c -- the laws of Q16 and Q34 against independent arithmetic, and what must
 * hold in a small run on cpu. */
#include "kernel_test.h"

#include "dlf/experiment.h"
#include "experiments/depth_vs_width.h"

static void square_laws(void **state)
{
    /* the literature survey's table, and its crossover at 15 units */
    assert_true(fabs(dlf_square_error_deep(4) - 9.8e-4) < 1e-5);
    assert_true(fabs(dlf_square_error_deep(8) - 3.8e-6) < 2e-8);
    assert_true(fabs(dlf_square_error_shallow(dlf_square_shallow_units(4, false) + 1) - 7.4e-4) <
                1e-6);
    assert_true(fabs(dlf_square_error_shallow(dlf_square_shallow_units(8, false) + 1) - 2.0e-4) <
                1e-6);
    assert_int_equal(dlf_square_crossover(false), 5);
    /* counted by hand for m = 2: deep 6 + 12 weights and biases, 6 readouts, skip, bias = 26;
     * shallow 3 u + 2 = 26 */
    assert_int_equal(dlf_square_shallow_units(2, true), 8);
    assert_int_equal(dlf_square_crossover(true), 6);
}

/* Kac-Rice with the three moments carried from layer to layer, integrated on a grid. */
static double pieces_by_integration(int layers, int width, double reach, double deep_bias2)
{
    enum { STEPS = 20000 };
    double pieces = 1.0;
    for (int i = 0; i < STEPS; i++) {
        const double x = reach * (2.0 * (i + 0.5) / STEPS - 1.0);
        double zz = x * x + 1.0, zd = x, dd = 1.0; /* E z^2, E z z', E z'^2 */
        for (int l = 0; l < layers; l++) {
            if (l) { /* relu halves all three, w ~ N(0, 2/width) doubles them */
                zz = 2.0 * (0.5 * zz) + deep_bias2;
                zd = 2.0 * (0.5 * zd);
                dd = 2.0 * (0.5 * dd);
            }
            pieces += width * sqrt(zz * dd - zd * zd) / (M_PI * zz) * 2.0 * reach / STEPS;
        }
    }
    return pieces;
}

static void line_law(void **state)
{
    assert_true(fabs(dlf_line_pieces(1, 256, 1.0, 0.0) - 129.0) < 1e-9); /* atan 1 = pi/4 */
    const double arms[][3] = {{1.0, 0.0, 1}, {1.0, 1.0, 4}, {2.5, 0.3, 3}};
    for (int i = 0; i < 3; i++) {
        const double got = dlf_line_pieces((int)arms[i][2], 64, arms[i][0], arms[i][1]);
        const double want = pieces_by_integration((int)arms[i][2], 64, arms[i][0], arms[i][1]);
        assert_true(fabs(got - want) < 1e-5 * want);
    }
}

/* No training: one step of the smallest networks. */
static void built_and_random_networks(void **state)
{
    static const char *const supported[] = {
        "tent_pieces",      "tent_every_depth", "square_deep",
        "square_shallow",   "square_crossover", "square_crossover_parameters",
        "square_linear",    "random_one_layer", "random_four_layers",
        "random_deep_bias", "random_shapes",    "random_resolution"};
    static const dlf_setting set[] = {{"tents", "10"},     {"draws", "32"}, {"tent_steps", "1"},
                                      {"tent_width", "2"}, {"steps", "10"}, {"parameters", "310"}};
    const dlf_run_options options = {.device = kt_dev,
                                     .seed = 7,
                                     .seeds = 3,
                                     .set = set,
                                     .n_set = sizeof set / sizeof set[0],
                                     .command = "test"};
    dlf_result *r = NULL;
    OK(dlf_experiment_run(&r, dlf_experiment_find("Q34"), &options));
    for (size_t i = 0; i < sizeof supported / sizeof supported[0]; i++) {
        const dlf_check *c = dlf_result_find_check(r, supported[i]);
        if (!c || c->verdict != DLF_SUPPORTED)
            fail_msg("%s: measured %.9g, expected %.9g", supported[i], c ? c->measured : NAN,
                     c ? c->expected : NAN);
    }
    assert_true(dlf_result_find_check(r, "tent_pieces")->measured == 1024.0);
    dlf_result_free(r);
}

int main(int argc, char **argv)
{
    kt_open(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(square_laws),
        cmocka_unit_test(line_law),
        cmocka_unit_test(built_and_random_networks),
    };
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
