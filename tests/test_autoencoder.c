/* SPDX-License-Identifier: MIT
 * test_autoencoder.c -- Q23, Q27 and Q32: the closed forms by likelihoods, by diagonal matrices and
 * by integration, and a small run. */
#include "small_run.h"

#include "experiments/autoencoder.h"
#include "experiments/autoencoder_study.h"

enum { D = 5 };
static const double lambda[D] = {4.0, 2.5, 1.0, 0.5, 0.5};

/* The log-likelihood of rows with covariance diag(lambda) under a Gaussian of the covariance that k
 * latents and noise sigma2 can make, written out; and no other signal variance is better. */
static void elbo_is_the_best_likelihood(void **state)
{
    for (int k = 0; k <= D; k++)
        for (double sigma2 = 0.3; sigma2 < 6.0; sigma2 *= 1.6) {
            double best = 0.0;
            for (int i = 0; i < D; i++) {
                double most = -INFINITY; /* over what latent i adds to the noise */
                for (double w = 0.0; w < (i < k ? 6.0 : 1e-9); w += 4e-3) {
                    const double v = sigma2 + w;
                    most = fmax(most, -0.5 * (log(2.0 * M_PI * v) + lambda[i] / v));
                }
                best += most;
            }
            assert_true(fabs(dlf_ppca_elbo(lambda, D, k, sigma2) - best) < 1e-4);
        }
    assert_true(dlf_pca_loss(lambda, D, 2) == 2.0 && dlf_pca_loss(lambda, D, D) == 0.0);
    assert_true(dlf_ppca_kl(2.0, 3.0) == 0.0 && fabs(dlf_ppca_kl(exp(1.0), 1.0) - 0.5) < 1e-15);
}

/* Of diagonal matrices it is a sum; turning both leaves it alone; the distance to itself is 0. */
static void frechet_by_diagonals(void **state)
{
    enum { N = 3 };
    const double a[N] = {2.0, 1.0, 0.25}, b[N] = {0.5, 3.0, 0.0}, c = cos(0.7), s = sin(0.7);
    const double turn[N * N] = {c, -s, 0, s * c, c * c, -s, s * s, s * c, c};
    double A[N * N] = {0}, B[N * N] = {0}, want = 0.0, TA[N * N] = {0}, TB[N * N] = {0};
    for (int i = 0; i < N; i++) {
        A[i * N + i] = a[i];
        B[i * N + i] = b[i];
        want += pow(sqrt(a[i]) - sqrt(b[i]), 2.0);
    }
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            for (int k = 0; k < N; k++) {
                TA[i * N + j] += turn[i * N + k] * a[k] * turn[j * N + k];
                TB[i * N + j] += turn[i * N + k] * b[k] * turn[j * N + k];
            }
    assert_true(fabs(dlf_frechet(A, B, N) - want) < 1e-12);
    assert_true(fabs(dlf_frechet(TA, TB, N) - want) < 1e-7);
    assert_true(fabs(dlf_frechet(TA, TA, N)) < 1e-7);
    /* covariances that do not commute: 2 x 2, by the closed form tr sqrt(M) = sqrt(tr M + 2 sqrt
     * det M) */
    const double P[4] = {2.0, 0.6, 0.6, 1.0}, Q[4] = {1.0, -0.5, -0.5, 3.0};
    const double trace = P[0] * Q[0] + 2.0 * P[1] * Q[1] + P[3] * Q[3],
                 det = (P[0] * P[3] - P[1] * P[1]) * (Q[0] * Q[3] - Q[1] * Q[1]);
    assert_true(fabs(dlf_frechet(P, Q, 2) -
                     (P[0] + P[3] + Q[0] + Q[3] - 2.0 * sqrt(trace + 2.0 * sqrt(det)))) < 1e-12);
}

/* What pPCA makes is diagonal where the rows are. */
static void frechet_of_models(void **state)
{
    for (int k = 0; k < D; k++)
        for (int noisy = 0; noisy < 2; noisy++) {
            const double sigma2 = 0.8;
            double C[D * D] = {0}, made[D * D] = {0};
            for (int i = 0; i < D; i++) {
                C[i * D + i] = lambda[i];
                made[i * D + i] =
                    (i < k && lambda[i] > sigma2 ? lambda[i] - sigma2 : 0.0) + noisy * sigma2;
            }
            assert_true(fabs(dlf_ppca_frechet(lambda, D, k, sigma2, noisy) -
                             dlf_frechet(C, made, D)) < 1e-10);
        }
}

/* E(x | x + noise) by integration over x. */
static void denoised_by_integration(void **state)
{
    const dlf_humps h = {0.4, 1.5, 0.6};
    const double noise = 0.8, step = 1e-3;
    for (double seen = -4.0; seen < 4.0; seen += 0.37) {
        double mass = 0.0, mean = 0.0;
        for (double x = -8.0; x < 8.0; x += step) {
            const double p = dlf_humps_density(h, x) * exp(-0.5 * pow((seen - x) / noise, 2.0));
            mass += p;
            mean += p * x;
        }
        assert_true(fabs(dlf_denoised(h, noise, seen) - mean / mass) < 1e-9);
    }
    double below = 0.0;
    for (double x = -8.0 + step / 2; x < 1.0; x += step) below += step * dlf_humps_density(h, x);
    assert_true(fabs(dlf_humps_cdf(h, 1.0) - below) < 1e-6);
}

/* Rows +-sqrt(n) e_k have mean 0 and covariance 1 exactly: coloured they have the moments asked
 * for, also where a direction has no variance. */
static void colour_has_the_moments(void **state)
{
    enum { N = 3, ROWS = 2 * N };
    const double given[4 * N] = {1, 2, 3, 0, -1, 3, 4, 0, 3, -2, 1, 3};
    double mean[2][N], covariance[2][N * N], z[ROWS * N] = {0};
    dlf_row_moments *m = calloc(2, sizeof *m);
    assert_non_null(m);
    m[0].n = m[1].n = N;
    dlf_row_moments_add(&m[0], given, 4);
    for (int r = 0; r < ROWS; r++) z[r * N + r / 2] = (r % 2 ? -1.0 : 1.0) * sqrt(N);
    dlf_row_moments_colour(&m[0], z, ROWS);
    dlf_row_moments_add(&m[1], z, ROWS);
    for (int i = 0; i < 2; i++) dlf_row_moments_of(&m[i], mean[i], covariance[i]);
    assert_true(covariance[0][0] == 4.6875 && covariance[0][8] == 0.0); /* by hand */
    for (int i = 0; i < N; i++) {
        assert_true(fabs(mean[0][i] - mean[1][i]) < 1e-12);
        for (int j = 0; j < N; j++)
            assert_true(fabs(covariance[0][i * N + j] - covariance[1][i * N + j]) < 1e-12);
    }
    free(m);
}

static void small_run_finds_what_it_should(void **state)
{
    const small_run run = {
        .question = "Q27",
        .slug = "autoencoder",
        .seed = 1,
        .seeds = 3,
        .set = {{"pca_steps", "600"},
                {"coder_steps", "300"},
                {"coder_digits_steps", "300"},
                {"coder_digits_width", "32"},
                {"score_rows", "2048"},
                {"score_steps", "900"},
                {"walk_steps", "100"}},
        .refuted = {"plain_aligned", "plain_langevin"},
        .left_out = {"digits_pca", "digits_codes", "features_pca", "ring_vae", "langevin",
                     "vae_aligned"}, /* need more */
    };
    small_run_holds(&run);
}

int main(int argc, char **argv)
{
    kt_open(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elbo_is_the_best_likelihood),
        cmocka_unit_test(frechet_by_diagonals),
        cmocka_unit_test(frechet_of_models),
        cmocka_unit_test(denoised_by_integration),
        cmocka_unit_test(colour_has_the_moments),
        cmocka_unit_test(small_run_finds_what_it_should),
    };
    return kt_close(cmocka_run_group_tests(tests, NULL, NULL));
}
