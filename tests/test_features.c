/* SPDX-License-Identifier: MIT
 * test_features.c -- Q1: what a set of features explains, against what is known of it, and a small
 * run. */
#include "small_run.h"

#include "experiments/features.h"

/* Parities themselves as features: they explain themselves and nothing else, and a column that is
 * there twice, or 0, counts once or not. */
static void parities_explain_themselves(void **state)
{
    enum { UNITS = 4 };
    static double h[DLF_CUBE * UNITS], explained[DLF_CUBE];
    int rank;
    for (int i = 0; i < DLF_CUBE; i++) {
        h[i * UNITS] = 3.0 * dlf_cube_parity(i, 2);
        h[i * UNITS + 1] = dlf_cube_parity(i, 2) + dlf_cube_parity(i, 5);
        h[i * UNITS + 2] = 1e6 * dlf_cube_parity(i, 5);
        h[i * UNITS + 3] = 0.0;
    }
    dlf_cube_explained(explained, h, UNITS, &rank);
    assert_int_equal(rank, 2);
    for (int s = 0; s < DLF_CUBE; s++)
        assert_true(fabs(explained[s] - (s == 3 || s == 31)) < 1e-12);
}

/* The law: whatever the features are, the shares sum to the rank; each lies in 0..1. */
static void shares_sum_to_the_rank(void **state)
{
    enum { UNITS = 100 };
    static double h[DLF_CUBE * UNITS], explained[DLF_CUBE];
    for (uint32_t member = 0; member < 3; member++) {
        double sum = 0.0;
        int rank;
        dlf_cube_units(h, UNITS, 1, member);
        dlf_cube_explained(explained, h, UNITS, &rank);
        assert_true(rank > 90 && rank <= UNITS);
        for (int s = 0; s < DLF_CUBE; s++) {
            assert_true(explained[s] > -1e-12 && explained[s] < 1.0 + 1e-12);
            sum += explained[s];
        }
        assert_true(fabs(sum - rank) < 1e-9);
        assert_true(explained[0] > explained[255]);
    }
}

static void small_run_finds_what_it_should(void **state)
{
    const small_run run = {
        .question = "Q1",
        .slug = "features",
        .seed = 1,
        .seeds = 6,
        .set = {{"steps", "500"}, {"digits_steps", "100"}},
    };
    small_run_holds(&run);
}

int main(int argc, char **argv)
{
    kt_open(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parities_explain_themselves),
        cmocka_unit_test(shares_sum_to_the_rank),
        cmocka_unit_test(small_run_finds_what_it_should),
    };
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
