/* SPDX-License-Identifier: MIT
 * test_dimension.c -- Q5, Q39: the closed forms by hand and by integration, and a small run. */
#include "small_run.h"

#include "experiments/dimension.h"

/* One axis: (u - v)^2 has mean 1/6 and second moment E (u - v)^4 = 1/15, by the midpoint rule on
 * the triangular density of u - v; d axes add. */
static void spread_by_integration(void **state)
{
    double mean = 0.0, square = 0.0;
    const double h = 1e-5;
    for (double z = -1.0 + h / 2; z < 1.0; z += h) {
        mean += h * (1.0 - fabs(z)) * z * z;
        square += h * (1.0 - fabs(z)) * z * z * z * z;
    }
    assert_true(fabs(mean - 1.0 / 6.0) < 1e-9);
    for (double d = 1.0; d < 1000.0; d *= 3.0) {
        const double sd = sqrt(d * (square - mean * mean));
        assert_true(fabs(dlf_cube_spread(d) / (sd / (d * mean)) - 1.0) < 1e-8);
    }
}

/* P(no point within r) = e^(-n V r^d): the mean of r by the midpoint rule. d = 1 by hand: 1 / (2
 * n). */
static void nearest_by_integration(void **state)
{
    static const double volumes[] = {0.0, 2.0, 3.14159265358979323846, 4.18879020478639098};
    for (int d = 1; d <= 3; d++) {
        const double n = 5000.0, scale = pow(n * volumes[d], -1.0 / d), h = 1e-4;
        double mean = 0.0;
        for (double r = h / 2; r < 30.0; r += h) mean += h * exp(-pow(r, d));
        assert_true(fabs(dlf_torus_nearest(d, n) / (mean * scale) - 1.0) < 1e-6);
    }
    assert_true(fabs(dlf_torus_nearest(1, 1000.0) - 0.0005) < 1e-15);
}

static void small_run_supports_its_claims(void **state)
{
    const small_run run = {
        .question = "Q39",
        .slug = "dimension",
        .seed = 1,
        .seeds = 3,
        .set = {{"pairs_of_points", "1500"},
                {"queries", "100"},
                {"points", "1500"},
                {"steps", "800"}},
    };
    small_run_holds(&run);
}

int main(int argc, char **argv)
{
    kt_open(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spread_by_integration),
        cmocka_unit_test(nearest_by_integration),
        cmocka_unit_test(small_run_supports_its_claims),
    };
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
