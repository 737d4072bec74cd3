/* SPDX-License-Identifier: MIT
 * test_more_data.c -- Q2: least squares against what defines it, the closed forms against draws,
 * and a small run. */
#include "small_run.h"

#include "dlf/rng.h"
#include "experiments/least_squares.h"
#include "experiments/more_data.h"

static double normal(uint32_t member, uint64_t i)
{
    return dlf_rng_normal(7, dlf_stream(DLF_PURPOSE_TEST, 9), member, i);
}

/* X^T (y - X w) = ridge w, and without a penalty for n < p: X w = y with w in the span of the rows.
 */
static void least_squares_are_stationary(void **state)
{
    enum { N = 12, P = 7 };
    double x[N * N], y[N], w[N];
    for (int flip = 0; flip < 2; flip++)
        for (int penalty = 0; penalty < 2; penalty++) {
            const int n = flip ? P : N, p = flip ? N : P;
            const double ridge = penalty ? 0.7 : 0.0;
            for (int i = 0; i < n * p; i++) x[i] = normal(1, (uint64_t)i);
            for (int i = 0; i < n; i++) y[i] = normal(2, (uint64_t)i);
            OK(dlf_least_squares(w, x, y, n, p, ridge));
            double left[N];
            for (int i = 0; i < n; i++) {
                left[i] = y[i];
                for (int j = 0; j < p; j++) left[i] -= x[i * p + j] * w[j];
                if (flip && !penalty) assert_true(fabs(left[i]) < 1e-12);
            }
            for (int j = 0; j < p; j++) {
                double slope = -ridge * w[j];
                for (int i = 0; i < n; i++) slope += x[i * p + j] * left[i];
                assert_true(fabs(slope) < 1e-11);
            }
        }
    /* least norm: longer by any direction that the rows do not see */
    double length = 0.0;
    OK(dlf_least_squares(w, (const double[]){1, 1, 0}, (const double[]){2}, 1, 3, 0.0));
    for (int j = 0; j < 3; j++) length += w[j] * w[j];
    assert_true(fabs(w[0] - 1) < 1e-15 && fabs(w[1] - 1) < 1e-15 && fabs(length - 2.0) < 1e-14);
    assert_int_equal(dlf_least_squares(w, (const double[]){1, 1, 1, 1}, y, 2, 2, 0.0),
                     DLF_ERR_SELF_CHECK);
}

/* p = 1 by hand: E sigma^2 / sum x^2 = sigma^2 / (n - 2), the mean of an inverse chi-square. */
static void risks_of_least_squares(void **state)
{
    assert_true(fabs(dlf_least_squares_risk(12, 1, 2.0, 5.0) - 0.4) < 1e-15);
    assert_true(isinf(dlf_least_squares_risk(50, 50, 1, 1)) &&
                isinf(dlf_least_squares_risk(51, 50, 1, 1)));
    assert_true(isinf(dlf_least_squares_risk(49, 50, 1, 1)));
    /* one row, p = 4: w is x (x.beta + e) / |x|^2: E = (1 - 1/4) + 1/(4 - 2) */
    double sum = 0.0, square = 0.0;
    enum { DRAWS = 40000 };
    for (int d = 0; d < DRAWS; d++) {
        double x[4], w[4], risk = 0.0;
        for (int j = 0; j < 4; j++) x[j] = normal(3, (uint64_t)(5 * d + j));
        const double y = x[0] + normal(3, (uint64_t)(5 * d + 4));
        OK(dlf_least_squares(w, x, &y, 1, 4, 0.0));
        for (int j = 0; j < 4; j++) risk += pow(w[j] - (j == 0), 2);
        sum += fmin(risk, 1e3);
        square += pow(fmin(risk, 1e3), 2);
    }
    const double mean = sum / DRAWS, error = sqrt((square / DRAWS - mean * mean) / DRAWS);
    assert_true(fabs(mean - dlf_least_squares_risk(1, 4, 1, 1)) < 5 * error);
    assert_true(fabs(dlf_least_squares_risk(1, 4, 1, 1) - 1.25) < 1e-15);
}

static void hebb_limits(void **state)
{
    assert_true(fabs(dlf_hebb_error(1e-12) - 0.5) < 1e-5);
    /* large alpha: 1 / sqrt(2 pi alpha) */
    assert_true(fabs(dlf_hebb_error(1e8) * sqrt(2 * M_PI * 1e8) - 1.0) < 1e-6);
    assert_true(fabs(dlf_hebb_error(M_PI / 2) - 0.25) < 1e-15);
}

static void small_run_finds_what_it_should(void **state)
{
    const small_run run = {
        .question = "Q2",
        .slug = "more-data",
        .seed = 1,
        .seeds = 5,
        .set = {{"cases", "50000"},
                {"largest_sample", "5000"},
                {"p", "30"},
                {"copies", "30"},
                {"hebb_dim", "200"},
                {"width", "24"},
                {"steps", "200"}},
        .refuted = {"never_worse"},
        .left_out = {"digits_capacity"}, /* five seeds may not see it */
    };
    small_run_holds(&run);
}

int main(int argc, char **argv)
{
    kt_open(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(least_squares_are_stationary),
        cmocka_unit_test(risks_of_least_squares),
        cmocka_unit_test(hebb_limits),
        cmocka_unit_test(small_run_finds_what_it_should),
    };
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
