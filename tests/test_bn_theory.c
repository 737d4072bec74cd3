/* SPDX-License-Identifier: MIT
 * test_bn_theory.c -- the closed forms of Q25 against integrals, recursions and samples from the
 * sphere, none of which uses them. */
#include "kernel_test.h"

#include "experiments/bn_theory.h"

static void density_integrates_to_its_moments(void **state)
{
    for (int B = 5; B <= 40; B += 7) {
        const double end = sqrt(B - 1.0), step = end / 200000;
        double mass = 0.0, square = 0.0, fourth = 0.0, relu = 0.0;
        for (double h = step / 2; h < end; h += step) {
            const double p = 2.0 * step * dlf_bn_density(h, B);
            mass += p;
            square += p * h * h;
            fourth += p * h * h * h * h;
            relu += 0.5 * p * h;
        }
        assert_true(fabs(mass - 1.0) < 1e-6);
        assert_true(fabs(square - 1.0) < 1e-6);
        assert_true(fabs(fourth - dlf_bn_fourth(B)) < 1e-5);
        assert_true(fabs(relu - dlf_bn_relu(B)) < 1e-6);
        double below = 0.0;
        for (int i = 0; i < 100000; i++) below += 1e-5 * dlf_bn_density((i + 0.5) * 1e-5, B);
        assert_true(fabs(0.5 + below - dlf_bn_cdf(1.0, B)) < 1e-8);
        assert_true(fabs(dlf_bn_cdf(-1.0, B) + dlf_bn_cdf(1.0, B) - 1.0) < 1e-12);
    }
}

static void special_batches(void **state)
{
    /* B = 2: a sign. B = 3: arcsine law. B = 4: uniform (Archimedes). */
    assert_true(fabs(dlf_bn_fourth(2) - 1.0) < 1e-15);
    assert_true(fabs(dlf_bn_relu(2) - 0.5) < 1e-12);
    assert_true(fabs(dlf_bn_correlation(2) - 1.0 / sqrt(M_PI)) < 1e-12); /* E|z1-z2|/2 */
    for (double h = -1.4; h < 1.5; h += 0.2) {
        assert_true(fabs(dlf_bn_density(h, 3) - 1.0 / (M_PI * sqrt(2.0 - h * h))) < 1e-12);
        assert_true(fabs(dlf_bn_density(h, 4) - 0.5 / sqrt(3.0)) < 1e-12);
        assert_true(fabs(dlf_bn_cdf(h, 3) - (0.5 + asin(h / sqrt(2.0)) / M_PI)) < 1e-10);
        assert_true(fabs(dlf_bn_cdf(h, 4) - (0.5 + 0.5 * h / sqrt(3.0))) < 1e-10);
    }
    assert_true(dlf_bn_cdf(5.0, 4) == 1.0 && dlf_bn_cdf(-5.0, 4) == 0.0);
    assert_true(dlf_bn_density(1.8, 4) == 0.0);
    assert_true(fabs(dlf_bn_correlation(1e4) - (1.0 - 0.75e-4)) < 1e-8);
    assert_true(dlf_bn_effective(4, 16, 0.0) == 64 && dlf_bn_effective(4, 16, 1.0) == 4);
}

/* rho_B = E h z = E s, and B s^2 is chi-square of B-1 degrees of freedom. */
static void correlation_is_the_mean_deviation(void **state)
{
    for (int B = 3; B < 30; B += 4) {
        const double half = 0.5 * (B - 1), step = 1e-3;
        double mean = 0.0;
        for (double c = step / 2; c < 200.0; c += step)
            mean += step * sqrt(c / B) * exp((half - 1) * log(c / 2) - c / 2 - lgamma(half)) / 2;
        assert_true(fabs(mean - dlf_bn_correlation(B)) < 2e-5);
    }
}

/* A random h: centred, of length sqrt(B). */
static void draw(double *h, int B, uint64_t index)
{
    double mean = 0.0, square = 0.0;
    for (int i = 0; i < B; i++) {
        h[i] = dlf_rng_normal(11, 0, (uint32_t)B, index * (uint64_t)B + (uint64_t)i);
        mean += h[i] / B;
    }
    for (int i = 0; i < B; i++) square += (h[i] - mean) * (h[i] - mean) / B;
    for (int i = 0; i < B; i++) h[i] = (h[i] - mean) / sqrt(square);
}

/* tr(Q D P D Q), a = phi^2, b = phi phi' and the leak, from samples; d = phi' */
static void gradient_rates_and_leak(void **state)
{
    enum { B = 7, DRAWS = 40000 };
    double first = 0.0, trace = 0.0, linear = 0.0, a = 0.0, b = 0.0, own = 0.0, all = 0.0;
    for (int n = 0; n < DRAWS; n++) {
        double h[B];
        draw(h, B, (uint64_t)n);
        for (int i = 0; i < B; i++)
            for (int j = 0; j < B; j++) {
                const double Q = (i == j) - 1.0 / B - h[i] * h[j] / B;
                const double P = (i == j) - 1.0 / B;
                const double di = h[i] > 0, dj = h[j] > 0;
                trace += Q * di * P * dj / DRAWS; /* tr(Q D P D) = sum Q_ij (DPD)_ji */
                linear += Q * P / DRAWS;
                if (i == j) first += Q * di * di / B / DRAWS;
                if (i == j)
                    a += di * h[i] * h[i] / B / DRAWS;
                else
                    b += di * dj * h[i] * h[j] / (B * (B - 1.0)) / DRAWS;
                if (i == 0) all += Q * Q / DRAWS;
                if (i == 0 && j == 0) own += Q * Q / DRAWS;
            }
    }
    const double rate = B / ((B - 3.0) * (a - b)) * trace / (B - 1);
    assert_true(fabs(rate / dlf_bn_rate_relu(B) - 1.0) < 0.01); /* 0.2 % is one s.e. */
    assert_true(fabs(B / ((B - 3.0) * (a - b)) * first / dlf_bn_first_relu(B) - 1.0) < 0.01);
    assert_true(fabs(linear - (B - 2)) < 1e-9);
    assert_true(fabs(dlf_bn_first_linear(B) - B / ((B - 3.0) * B / (B - 1.0)) * (B - 2) / B) <
                1e-12);
    assert_true(fabs(1.0 - own / all - dlf_bn_leak(B)) < 0.01);
    /* a - b = B/(B-1) where phi is linear */
    assert_true(fabs(B / ((B - 3.0) * B / (B - 1.0)) * (B - 2) / (B - 1) - dlf_bn_rate_linear(B)) <
                1e-12);
}

static void wide_limits(void **state)
{
    const double relu = M_PI / (M_PI - 1.0);
    assert_true(fabs(dlf_bn_rate_relu(1e7) - relu) < 1e-6);
    assert_true(fabs(dlf_bn_rate_wide(dlf_activation_of(DLF_RELU)) - relu) < 1e-9);
    assert_true(fabs(dlf_bn_rate_wide(dlf_activation_of(DLF_LINEAR)) - 1.0) < 1e-9);
    assert_true(fabs(dlf_ln_rate_wide(dlf_activation_of(DLF_RELU)) - 1.0) < 1e-9);
    /* Gaussian Poincare: no activation is below 1 */
    for (int k = 0; k < DLF_ACTIVATION_COUNT; k++)
        assert_true(dlf_bn_rate_wide(dlf_activation_of((dlf_activation_kind)k)) > 1.0 - 1e-9);
}

static void averages_follow_their_recursion(void **state)
{
    const double m = 0.1;
    double bias = 1.0, variance = 0.0;
    for (int t = 1; t <= 60; t++) {
        bias = (1 - m) * bias;
        variance = (1 - m) * (1 - m) * variance + m * m;
        assert_true(fabs(dlf_ema_bias(m, t) - bias) < 1e-12);
        assert_true(fabs(dlf_ema_spread(m, t) - variance) < 1e-12);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(density_integrates_to_its_moments),
        cmocka_unit_test(special_batches),
        cmocka_unit_test(correlation_is_the_mean_deviation),
        cmocka_unit_test(gradient_rates_and_leak),
        cmocka_unit_test(wide_limits),
        cmocka_unit_test(averages_follow_their_recursion),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
