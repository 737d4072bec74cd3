/* SPDX-License-Identifier: MIT
 * test_fourier.c -- Q37: the transform against its definition, the closed forms against each other,
 * and a small run. */
#include "small_run.h"

#include <complex.h>

#include "dlf/rng.h"
#include "experiments/fft.h"
#include "experiments/fourier.h"

static double complex draw(int i)
{
    return CMPLX((double)dlf_rng_normal(5, 6, 7, (uint64_t)(2 * i)),
                 (double)dlf_rng_normal(5, 6, 7, (uint64_t)(2 * i + 1)));
}

static void transform_is_its_definition(void **state)
{
    for (int M = 1; M <= 16; M *= 2) {
        double complex x[16 * 16];
        double flops = 0.0;
        for (int i = 0; i < M * M; i++) x[i] = draw(i);
        OK(dlf_fft2(x, M, false, &flops));
        assert_true(flops == 10.0 * M * M * log2(M));
        for (int u = 0; u < M; u++)
            for (int v = 0; v < M; v++) {
                double complex sum = 0.0;
                for (int i = 0; i < M; i++)
                    for (int j = 0; j < M; j++)
                        sum += draw(i * M + j) * cexp(-2.0 * M_PI * I * (u * i + v * j) / M);
                assert_true(cabs(sum - x[u * M + v]) < 1e-11);
            }
        OK(dlf_fft2(x, M, true, NULL));
        for (int i = 0; i < M * M; i++) assert_true(cabs(x[i] - draw(i)) < 1e-13);
    }
}

static void costs_cross_where_they_are_equal(void **state)
{
    const double K = dlf_fourier_crossover(192, 256, 1, 1);
    assert_true(fabs(dlf_fourier_direct_flops(192, K, 1, 1) - dlf_fourier_fft_flops(256, 1, 1)) <
                1e-3);
    /* one channel, no padding: sqrt(15 log2 N + 3) */
    assert_true(fabs(dlf_fourier_crossover(256, 256, 1, 1) - sqrt(15.0 * 8.0 + 3.0)) < 1e-12);
    /* many channels and images: transforms cost nothing, a product of 8 flops for 2 K^2 */
    assert_true(fabs(dlf_fourier_crossover(256, 256, 1e9, 1e9) - 2.0) < 1e-6);
}

/* The limit of many points, by hand: integrals of the kernel over the circle. */
static double limit(int m, bool bias)
{
    const double pi2 = M_PI * M_PI;
    if (m == 1) return 0.25 + bias / pi2;
    if (m % 2) return bias / (pi2 * m * m);
    return (2.0 / pow(m * m - 1.0, 2.0) + 0.5 / pow(m - 1.0, 2.0) + 0.5 / pow(m + 1.0, 2.0)) / pi2;
}

static void rates_are_fourier_coefficients(void **state)
{
    for (int m = 1; m <= 8; m++)
        for (int bias = 0; bias < 2; bias++)
            assert_true(fabs(dlf_fourier_rate(m, 4096, 1, bias) - limit(m, bias)) < 1e-7);
    for (int m = 3; m <= 15; m += 2) /* exactly none, on any even number of points */
        assert_true(fabs(dlf_fourier_rate(m, 32, 1, false)) < 1e-15);
    /* Fourier features: never above the whole kernel, Theta(1) = 1, and about alike up to K */
    double sum = dlf_fourier_rate(0, 64, 8, false);
    for (int m = 1; m < 64; m++) sum += dlf_fourier_rate(m, 64, 8, false);
    assert_true(fabs(sum - 1.0) < 1e-12);
    assert_true(dlf_fourier_rate(8, 64, 8, false) > 0.7 * dlf_fourier_rate(1, 64, 8, false));
    assert_true(dlf_fourier_rate(9, 64, 8, false) < 0.5 * dlf_fourier_rate(8, 64, 8, false));
}

static void small_run_finds_what_it_should(void **state)
{
    const small_run run = {
        .question = "Q37",
        .slug = "fourier",
        .seed = 1,
        .seeds = 4,
        .set = {{"side", "40"}, {"width", "1024"}, {"steps", "200"}},
        .refuted = {"reshaped_norm", "all_frequencies_alike", "rate_large_goal"},
        .left_out = {"time_"},
    };
    small_run_holds(&run);
}

int main(int argc, char **argv)
{
    kt_open(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transform_is_its_definition),
        cmocka_unit_test(costs_cross_where_they_are_equal),
        cmocka_unit_test(rates_are_fourier_coefficients),
        cmocka_unit_test(small_run_finds_what_it_should),
    };
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
