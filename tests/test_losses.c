/* SPDX-License-Identifier: MIT
 * test_losses.c -- Q19: the closed forms against independent arithmetic, and a small run. */
#include "kernel_test.h"

#include "dlf/experiment.h"
#include "experiments/losses.h"

/* ---- closed forms ---- */

static double sigmoid(double z)
{
    return 1.0 / (1.0 + exp(-z));
}

/* Time from -z0 to 0 by the midpoint rule on dt = dz / speed. */
static double travel(double z0, bool squared)
{
    enum { PANELS = 200000 };
    double t = 0.0;
    for (int i = 0; i < PANELS; i++) {
        const double s = sigmoid(-z0 * (i + 0.5) / PANELS);
        t += z0 / PANELS / (squared ? s * (1 - s) * (1 - s) : 1 - s);
    }
    return t;
}

static void escape_times_integrate_the_flow(void **state)
{
    for (double z0 = 0.5; z0 < 9.0; z0 += 1.5) {
        const double ce = travel(z0, false), mse = travel(z0, true);
        assert_true(fabs(dlf_losses_escape_ce(z0) / ce - 1.0) < 1e-8);
        assert_true(fabs(dlf_losses_escape_mse(z0) / mse - 1.0) < 1e-8);
    }
}

static const dlf_noise gaussian = {false, 0.0, 1.0}, laplace = {true, 0.0, 1.0},
                       outliers = {false, 0.1, 10.0};

static void noises_integrate_to_their_moments(void **state)
{
    const dlf_noise all[] = {gaussian, laplace, outliers};
    for (int k = 0; k < 3; k++) {
        const double far = 120.0, h = 1e-3;
        double mass = 0.0, square = 0.0, absolute = 0.0;
        for (double x = h / 2; x < far; x += h) {
            const double p = 2.0 * h * dlf_noise_density(all[k], x);
            mass += p;
            absolute += p * x;
            square += p * x * x;
        }
        assert_true(fabs(mass - 1.0) < 1e-6);
        assert_true(fabs(square / dlf_noise_variance(all[k]) - 1.0) < 1e-6);
        assert_true(fabs(absolute / dlf_noise_mean_abs(all[k]) - 1.0) < 1e-6);
        /* the distribution function is the integral of the density */
        const double d = 1e-4,
                     slope = (dlf_noise_cdf(all[k], 0.7 + d) - dlf_noise_cdf(all[k], 0.7 - d)) /
                             (2 * d);
        assert_true(fabs(slope / dlf_noise_density(all[k], 0.7) - 1.0) < 1e-6);
    }
}

/* E psi^2 / (E psi')^2 by brute force. */
static double brute_huber(dlf_noise f, double k)
{
    const double h = 1e-3;
    double square = 0.0, slope = 0.0;
    for (double x = h / 2; x < 120.0; x += h) {
        const double p = 2.0 * h * dlf_noise_density(f, x), psi = fmin(x, k);
        square += p * psi * psi;
        slope += x < k ? p : 0.0;
    }
    return square / (slope * slope);
}

static void variances_of_estimates(void **state)
{
    const dlf_noise all[] = {gaussian, laplace, outliers};
    const dlf_loss mae = {.kind = DLF_LOSS_MAE}, huber = {DLF_LOSS_HUBER, 1.345};
    assert_true(fabs(dlf_loss_variance(gaussian, mae) - M_PI / 2) < 1e-12);
    assert_true(fabs(dlf_loss_variance(laplace, mae) - 1.0) < 1e-12);
    /* Huber's k = 1.345 is chosen for an efficiency of 95 % */
    assert_true(fabs(1.0 / dlf_loss_variance(gaussian, huber) - 0.95) < 1e-3);
    for (int k = 0; k < 3; k++)
        assert_true(fabs(dlf_loss_variance(all[k], huber) / brute_huber(all[k], 1.345) - 1) < 2e-3);
    /* one draw is its own median; many reach the limit; three Gaussians: Var = 1 - sqrt(3)/pi
     * (David & Nagaraja 2003) is 0.4487 */
    assert_true(fabs(dlf_median_variance(laplace, 1) - 2.0) < 1e-8);
    assert_true(fabs(dlf_median_variance(gaussian, 3) / 3.0 - (1.0 - sqrt(3.0) / M_PI)) < 1e-8);
    for (int k = 0; k < 3; k++)
        assert_true(fabs(dlf_median_variance(all[k], 4000001) / dlf_loss_variance(all[k], mae) -
                         1.0) < 2e-3);
}

static void huber_location_balances(void **state)
{
    for (double delta = 0.1; delta < 4.0; delta *= 2.0) {
        const double m = dlf_loss_location_exponential((dlf_loss){DLF_LOSS_HUBER, delta});
        const double h = 1e-4;
        double balance = 0.0;
        for (double x = h / 2; x < 40.0; x += h)
            balance += h * exp(-x) * fmax(-delta, fmin(delta, x - m));
        assert_true(fabs(balance) < 1e-7);
    }
}

/* ---- a small run on the device ---- */

static void small_run_supports_its_claims(void **state)
{
    const dlf_experiment *e = dlf_experiment_find("Q19");
    assert_non_null(e);
    assert_string_equal(e->slug, "losses");
    const dlf_setting set[] = {{"samples", "101"}, {"trials", "300"}, {"escape_steps", "500"},
                               {"steps", "200"},   {"width", "16"},   {"copies", "4"},
                               {"rows", "100"}};
    const dlf_run_options options = {.device = kt_dev,
                                     .seed = 3,
                                     .seeds = 4,
                                     .set = set,
                                     .n_set = sizeof set / sizeof set[0],
                                     .command = "test"};
    dlf_result *r = NULL;
    OK(dlf_experiment_run(&r, e, &options));
    for (int i = 0; i < dlf_result_checks(r); i++) {
        const dlf_check *c = dlf_result_get_check(r, i);
        const bool wrong = strcmp(c->id, "one_loss_for_all") == 0; /* a sentence that fails */
        if (c->verdict != (wrong ? DLF_REFUTED : DLF_SUPPORTED))
            fail_msg("%s: %s, %g for %g +- %g", c->id, dlf_verdict_name(c->verdict), c->measured,
                     c->expected, c->tolerance);
    }
    dlf_result_free(r);
}

int main(int argc, char **argv)
{
    kt_open(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(escape_times_integrate_the_flow),
        cmocka_unit_test(noises_integrate_to_their_moments),
        cmocka_unit_test(variances_of_estimates),
        cmocka_unit_test(huber_location_balances),
        cmocka_unit_test(small_run_supports_its_claims),
    };
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
