/* SPDX-License-Identifier: MIT
 * test_ensemble.c -- Q3, Q38: the closed forms by enumeration, and a small run. */
#include "small_run.h"

#include "experiments/ensemble.h"

/* All 2^n votes. */
static double by_enumeration(int n, double p)
{
    double sum = 0.0;
    for (uint32_t votes = 0; votes < 1u << n; votes++) {
        const int right = __builtin_popcount(votes);
        if (2 * right > n) sum += pow(p, right) * pow(1.0 - p, n - right);
    }
    return sum;
}

static void majority_by_enumeration(void **state)
{
    for (int n = 1; n <= 13; n += 2)
        for (double p = 0.1; p < 1.0; p += 0.2)
            assert_true(fabs(dlf_condorcet(n, p) - by_enumeration(n, p)) < 1e-12);
    assert_true(fabs(dlf_condorcet(1001, 0.5) - 0.5) < 1e-10);
}

/* Four predictors of two numbers: the mean score over all subsets of K, by enumeration. */
static void brier_line_is_exact_over_all_subsets(void **state)
{
    enum { M = 4 };
    const double p[M][2] = {{0.9, 0.1}, {0.4, 0.6}, {0.7, 0.3}, {0.2, 0.8}}, target[2] = {1, 0};
    double one = 0.0, spread = 0.0, mean[2] = {0, 0};
    for (int m = 0; m < M; m++)
        for (int c = 0; c < 2; c++) {
            one += pow(p[m][c] - target[c], 2) / M;
            mean[c] += p[m][c] / M;
        }
    for (int m = 0; m < M; m++)
        for (int c = 0; c < 2; c++) spread += pow(p[m][c] - mean[c], 2) / M;
    for (int K = 1; K <= M; K++) {
        double total = 0.0;
        int subsets = 0;
        for (uint32_t set = 0; set < 1u << M; set++) {
            if (__builtin_popcount(set) != K) continue;
            subsets++;
            for (int c = 0; c < 2; c++) {
                double q = 0.0;
                for (int m = 0; m < M; m++) q += (set >> m & 1) * p[m][c] / K;
                total += pow(q - target[c], 2);
            }
        }
        assert_true(fabs(dlf_brier_of(K, M, one, spread) - total / subsets) < 1e-14);
    }
}

static void small_run_finds_what_it_should(void **state)
{
    const small_run run = {
        .question = "Q38",
        .slug = "ensemble",
        .seed = 3,
        .seeds = 4,
        .set = {{"voters", "1000"}, {"models", "8"}, {"steps", "100"}, {"width", "24"}},
        .refuted = {"votes_independent", "exact_dropout_input", "exact_zoneout_tanh"},
    };
    small_run_holds(&run);
}

int main(int argc, char **argv)
{
    kt_open(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(majority_by_enumeration),
        cmocka_unit_test(brier_line_is_exact_over_all_subsets),
        cmocka_unit_test(small_run_finds_what_it_should),
    };
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
