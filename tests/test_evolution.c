/* SPDX-License-Identifier: MIT
 * test_evolution.c -- Q47: the closed forms by integration and by enumeration, and a small run. */
#include "small_run.h"

#include "experiments/evolution.h"

/* In d -> infinity dimensions d (1 - |x'|/|x|) of a mutation is s z - s^2/2, z ~ N(0,1): its mean
 * where it is positive, by the midpoint rule. */
static void sphere_by_integration(void **state)
{
    for (double s = 0.1; s < 5.0; s *= 1.7) {
        double progress = 0.0, success = 0.0;
        const double h = 1e-4;
        for (double z = -8.0 + h / 2; z < 8.0; z += h) {
            const double gain = s * z - 0.5 * s * s, p = h * exp(-0.5 * z * z) / sqrt(2.0 * M_PI);
            if (gain <= 0.0) continue;
            progress += p * gain;
            success += p;
        }
        assert_true(fabs(dlf_sphere_progress(s) - progress) < 1e-6);
        assert_true(fabs(dlf_sphere_success(s) - success) < 1e-4);
    }
    /* the best step, to three digits */
    for (double s = 0.3; s < 3.0; s += 0.1)
        assert_true(dlf_sphere_progress(1.224) >= dlf_sphere_progress(s) - 1e-6);
}

/* All strings of n bits and all flips: the chain of 2^n states, solved from the top down by rounds.
 */
static double onemax_by_enumeration(int n)
{
    const int states = 1 << n;
    double time[64] = {0}, mean = 0.0;
    for (int round = 0; round < 20000; round++)
        for (int x = 0; x < states - 1; x++) {
            double stay = 0.0, later = 0.0;
            for (int y = 0; y < states; y++) {
                const int flips = __builtin_popcount((unsigned)(x ^ y));
                const double p = pow(1.0 / n, flips) * pow(1.0 - 1.0 / n, n - flips);
                if (__builtin_popcount((unsigned)y) < __builtin_popcount((unsigned)x) || y == x)
                    stay += p;
                else
                    later += p * time[y];
            }
            time[x] = (1.0 + later) / (1.0 - stay);
        }
    for (int x = 0; x < states; x++) mean += time[x] / states;
    return mean;
}

static void onemax_by_all_strings(void **state)
{
    for (int n = 2; n <= 4; n++)
        assert_true(fabs(dlf_onemax_time(n) / onemax_by_enumeration(n) - 1.0) < 1e-9);
    assert_true(fabs(dlf_onemax_time(100) - 1069.54) < 0.01);
}

static void small_run_supports_its_claims(void **state)
{
    const small_run run = {
        .question = "Q47",
        .slug = "evolution",
        .seed = 1,
        .seeds = 4,
        .set = {{"samples", "500"},
                {"runs", "20"},
                {"bits", "30"},
                {"generations", "180"},
                {"rows", "40"},
                {"search_steps", "10"}},
        .left_out = {"search_better"}, /* a question, not a claim */
    };
    small_run_holds(&run);
}

int main(int argc, char **argv)
{
    kt_open(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sphere_by_integration),
        cmocka_unit_test(onemax_by_all_strings),
        cmocka_unit_test(small_run_supports_its_claims),
    };
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
