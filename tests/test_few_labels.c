/* SPDX-License-Identifier: MIT
 * test_few_labels.c -- Q46: the closed forms against each other and by their limits, and a small
 * run. */
#include "small_run.h"

#include "experiments/few_labels.h"

static double cdf(double x)
{
    return 0.5 * erfc(-x * M_SQRT1_2);
}

static void closed_forms(void **state)
{
    for (double s = 0.5; s < 5.0; s *= 1.5)
        for (double n = 400.0; n < 1e6; n *= 7.0) {
            const double d = 200.0, worth = dlf_worth_labels(s, d, n);
            /* so many labels have the same error, and fewer than there are rows */
            if (dlf_pca_alignment(s, d, n) > 0.0) {
                assert_true(fabs(dlf_supervised_error(s, d, worth) -
                                 dlf_unsupervised_error(s, d, n)) < 1e-12);
                assert_true(worth < n);
            }
            assert_true(dlf_supervised_error(s, d, n) < dlf_unsupervised_error(s, d, n));
            assert_true(dlf_supervised_error(s, d, n) > cdf(-sqrt(s))); /* Bayes */
        }
    assert_true(fabs(dlf_supervised_error(2.0, 200, 1e12) - cdf(-sqrt(2.0))) < 1e-9);
    assert_true(fabs(dlf_unsupervised_error(2.0, 200, 1e12) - cdf(-sqrt(2.0))) < 1e-9);
    /* the threshold d/s^2, and chance below */
    assert_true(dlf_pca_alignment(2.0, 200, 49.9) == 0.0 &&
                dlf_pca_alignment(2.0, 200, 50.1) > 0.0);
    assert_true(dlf_unsupervised_error(2.0, 200, 49.9) == 0.5 &&
                dlf_worth_labels(2.0, 200, 49.9) == 0.0);
}

static void small_run_finds_what_it_should(void **state)
{
    const small_run run = {
        .question = "Q46",
        .slug = "few-labels",
        .seed = 1,
        .seeds = 4,
        .set = {{"features", "100"},
                {"copies", "4"},
                {"largest_sample", "1500"},
                {"digit_rows", "700"},
                {"rounds", "40"}},
        .refuted = {"ink_propagates"},
    };
    small_run_holds(&run);
}

int main(int argc, char **argv)
{
    kt_open(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(closed_forms),
        cmocka_unit_test(small_run_finds_what_it_should),
    };
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
