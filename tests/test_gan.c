/* SPDX-License-Identifier: MIT
 * test_gan.c -- Q20 and Q45: the closed forms by integration, by limits and by powers of a matrix,
 * and a small run. */
#include "small_run.h"

#include "dlf/rng.h"
#include "experiments/gan.h"
#include "experiments/ring.h"

static const dlf_humps one = {0.0, 0.0, 1.0};

/* The same means over samples: 4 standard errors of 2e5 draws. */
static void value_by_sampling(void **state)
{
    const dlf_humps two = {0.3, 2.0, 0.7}, wide = {-0.2, 0.5, 1.5};
    const int n = 200000;
    double sum = 0.0, squares = 0.0;
    for (int i = 0; i < n; i++) {
        const double side = i % 2 ? 1.0 : -1.0;
        const double x = two.centre + side * two.half +
                         two.sd * dlf_rng_normal(1, 1, 0, (uint64_t)i),
                     y = wide.centre + side * wide.half +
                         wide.sd * dlf_rng_normal(1, 2, 0, (uint64_t)i),
                     v = log(dlf_best_discriminator(two, wide, x)) +
                         log(1.0 - dlf_best_discriminator(two, wide, y));
        sum += v;
        squares += v * v;
    }
    const double mean = sum / n, error = sqrt((squares / n - mean * mean) / n);
    assert_true(fabs(mean - dlf_gan_value(two, wide)) < 4.0 * error && error < 0.005);
    /* a density has mass 1 */
    double mass = 0.0;
    for (double x = -20.0; x < 20.0; x += 0.01) mass += 0.01 * dlf_humps_density(two, x);
    assert_true(fabs(mass - 1.0) < 1e-9);
}

static void value_by_limits(void **state)
{
    assert_true(fabs(dlf_gan_value(one, one) + log(4.0)) < 1e-12);
    assert_true(dlf_best_discriminator(one, one, 1.3) == 0.5);
    double before = -log(4.0);
    for (double d = 0.5; d < 9.0; d += 0.5) { /* grows to 0, the same from either side */
        const dlf_humps far = {d, 0.0, 1.0};
        const double now = dlf_gan_value(one, far);
        assert_true(now > before && now < 0.0);
        assert_true(fabs(now - dlf_gan_value(far, one)) < 1e-12);
        before = now;
    }
    /* JS is half the Fisher information d^2/4 at small shifts: V + log 4 = d^2/4 */
    const dlf_humps near = {1e-2, 0.0, 1.0};
    assert_true(fabs((dlf_gan_value(one, near) + log(4.0)) / (0.25e-4) - 1.0) < 1e-3);
}

/* The saturating loss at a fixed D*: its derivative by the shift of the generated rows. */
static void gradients_by_differences(void **state)
{
    for (double d = 0.5; d < 6.0; d *= 2.0) {
        const dlf_humps fake = {d, 0.0, 1.0};
        double loss[2][2] = {{0}};
        const double h = 1e-4;
        for (int side = 0; side < 2; side++) {
            const dlf_humps moved = {d + (side ? h : -h), 0.0, 1.0};
            for (double x = -12.0; x < 18.0; x += 1e-3) {
                const double q = 1e-3 * dlf_humps_density(moved, x), logit = -d * x + 0.5 * d * d;
                assert_true(fabs(dlf_best_discriminator(one, fake, x) - 1.0 / (1.0 + exp(-logit))) <
                            1e-12);
                loss[0][side] -= q * log1p(exp(logit));  /* log(1-D) */
                loss[1][side] += q * log1p(exp(-logit)); /* -log D   */
            }
        }
        assert_true(fabs(fabs(loss[0][1] - loss[0][0]) / (2 * h) - dlf_gan_saturating(d)) < 1e-6);
        assert_true(fabs(fabs(loss[1][1] - loss[1][0]) / (2 * h) - dlf_gan_non_saturating(d)) <
                    1e-6);
    }
}

/* |M^n x| of the step's matrix grows as the rate to the n. */
static void rates_by_powers(void **state)
{
    for (int turns = 0; turns < 2; turns++)
        for (double gamma = 0.0; gamma < 3.0; gamma += 0.3) {
            const double h = 0.2;
            double theta = 0.3, psi = 0.8, log_norm[2] = {0.0, 0.0};
            for (int n = 0; n < 40000; n++) {
                const double before = psi;
                psi += h * (0.5 * theta - gamma * psi);
                theta -= h * 0.5 * (turns ? psi : before);
                const double norm = hypot(theta, psi);
                theta /= norm;
                psi /= norm;
                log_norm[n >= 20000] += log(norm);
            }
            assert_true(fabs(exp(log_norm[1] / 20000) - dlf_dirac_rate(h, gamma, turns)) < 1e-3);
        }
    assert_true(fabs(dlf_dirac_rate(0.1, 0.0, false) - sqrt(1.0 + 0.0025)) < 1e-15);
    assert_true(fabs(dlf_dirac_rate(0.1, 0.0, true) - 1.0) < 1e-15);
    assert_true(fabs(dlf_dirac_rate(0.1, 1.0, false) - 0.95) < 1e-7);
}

/* Rows of the ring hit their modes evenly; rows of the Gaussian with its moments by the closed
 * form; one mode alone counts as one. */
static void ring_by_counting(void **state)
{
    enum { N = 200000 };
    double *x = malloc(2 * N * sizeof *x);
    assert_non_null(x);
    dlf_ring_count c = {0}, gaussian = {0}, one_mode = {0};
    dlf_ring_rows(x, N, 5, 0);
    dlf_ring_add(&c, x, N);
    double square = 0.0;
    for (int i = 0; i < 2 * N; i++) square += x[i] * x[i] / (2 * N);
    assert_true(fabs(square - 2.0025) < 0.01);
    assert_true(c.n == N && fabs(c.hits / N - (1.0 - exp(-8.0))) < 2e-4);
    const double divergence = log(8.0 / dlf_ring_effective(&c));
    assert_true(divergence > 0.0 && divergence < 4.0 * dlf_ring_divergence(N));
    for (int i = 0; i < 2 * N; i++) x[i] = sqrt(2.0025) * dlf_rng_normal(5, 9, 0, (uint64_t)i);
    dlf_ring_add(&gaussian, x, N);
    const double p = dlf_ring_gaussian_hits();
    assert_true(fabs(gaussian.hits / N - p) < 4.0 * sqrt(p / N) && p > 0.02 && p < 0.04);
    dlf_ring_centre(3, x);
    dlf_ring_add(&one_mode, x, 1);
    assert_true(one_mode.share[3] == 1.0 && one_mode.hits == 1.0 &&
                dlf_ring_effective(&one_mode) == 1.0);
    free(x);
}

static void small_run_finds_what_it_should(void **state)
{
    const small_run run = {
        .question = "Q20",
        .slug = "gan",
        .seed = 1,
        .seeds = 4,
        .set = {{"judge_rows", "4096"},
                {"judge_steps", "1000"},
                {"orbit_steps", "2000"},
                {"ring_steps", "400"},
                {"ring_width", "32"},
                {"ring_batch", "32"}},
        .refuted = {"gradient_far"},
        .left_out = {"penalty_keeps", "miss"}, /* need the whole training */
    };
    small_run_holds(&run);
}

int main(int argc, char **argv)
{
    kt_open(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(value_by_sampling),
        cmocka_unit_test(value_by_limits),
        cmocka_unit_test(gradients_by_differences),
        cmocka_unit_test(rates_by_powers),
        cmocka_unit_test(ring_by_counting),
        cmocka_unit_test(small_run_finds_what_it_should),
    };
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
