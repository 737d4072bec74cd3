/* SPDX-License-Identifier: MIT
 * test_transfer.c -- Q21, Q24: the time of Saxe by integration, and a small run. */
#include "small_run.h"

#include "experiments/transfer.h"

/* dt = du / (2 u (s - u)) by the midpoint rule on ln u. */
static double by_integration(double s, double u0, double u)
{
    enum { PANELS = 100000 };
    const double h = log(u / u0) / PANELS;
    double t = 0.0;
    for (int i = 0; i < PANELS; i++) t += h / (2.0 * (s - u0 * exp((i + 0.5) * h)));
    return t;
}

static void time_integrates_the_flow(void **state)
{
    for (double s = 0.5; s < 4.0; s *= 2.0)
        for (double u0 = 1e-5; u0 < 0.3; u0 *= 10.0)
            assert_true(fabs(dlf_saxe_time(s, u0, 0.9 * s) / by_integration(s, u0, 0.9 * s) - 1.0) <
                        1e-7);
    /* times add up */
    assert_true(fabs(dlf_saxe_time(1, 1e-3, 0.2) + dlf_saxe_time(1, 0.2, 0.9) -
                     dlf_saxe_time(1, 1e-3, 0.9)) < 1e-14);
}

static void small_run_finds_what_it_should(void **state)
{
    const small_run run = {
        .question = "Q24",
        .slug = "transfer",
        .seed = 1,
        .seeds = 4,
        .set = {{"features", "40"},
                {"copies", "20"},
                {"saxe_rate", "0.01"},
                {"width", "24"},
                {"steps", "100"},
                {"source_steps", "200"}},
        .refuted = {"helps_always"},
        .left_out = {"gain_"}, /* what small networks gain is for a full run to decide */
    };
    small_run_holds(&run);
}

int main(int argc, char **argv)
{
    kt_open(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_integrates_the_flow),
        cmocka_unit_test(small_run_finds_what_it_should),
    };
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
