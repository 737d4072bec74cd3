/* SPDX-License-Identifier: MIT
 * autoencoder.h -- the parts of the experiment `autoencoder` (Q23, Q27, Q32), and its closed forms.
 */
#ifndef DLF_AUTOENCODER_H
#define DLF_AUTOENCODER_H
#include "dlf/experiment.h"
#include "gan.h"

/* Each uses the share from..to of the progress bar and adds its tables, checks and figures. */
DLF_MUST_CHECK dlf_status dlf_autoencoder_linear(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_autoencoder_ring(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_autoencoder_digits(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_autoencoder_score(dlf_run *run, double from, double to);

/* ---- closed forms --------------------------------------------------------------------------- */

/* Rows N(0, C) of D dimensions; lambda (D): the eigenvalues of C, descending.
 *   linear autoencoder of k latents   loss = what the best projection leaves: sum of the last D - k
 *                                     (Baldi & Hornik 1989)
 *   linear VAE of k latents with noise sigma^2 = probabilistic PCA (Tipping & Bishop 1999; Lucas et
 *   al. 2019): latent i has KL(posterior || prior) ln(lambda_i / sigma^2) / 2 where lambda_i >
 *   sigma^2, and is off, KL 0, where not; q latents are on, and
 *   ELBO = -1/2 (D ln 2 pi + sum_on (ln lambda_i + 1) + sum_off (ln sigma^2 + lambda_i / sigma^2))
 */
double dlf_pca_loss(const double *lambda, int D, int k);
double dlf_ppca_kl(double lambda, double sigma2);
double dlf_ppca_elbo(const double *lambda, int D, int k, double sigma2);

/* Squared Frechet distance (Wasserstein-2 of Gaussians) of N(0, a) and N(0, b), a and b (n,n)
 * symmetric, not negative: tr a + tr b - 2 tr (a^1/2 b a^1/2)^1/2. Infinity where memory is out. */
double dlf_frechet(const double *a, const double *b, int n);
/* In two steps, for many b: root (n,n) gets a^1/2. False, or Infinity, where memory is out. */
bool dlf_symmetric_root(double *root, const double *a, int n);
double dlf_frechet_by_root(const double *root, const double *a, const double *b, int n);
/* The same of the rows and what is generated from k latents drawn from a Gaussian:
 *   AE, codes' own covariance          sum of the last D - k eigenvalues
 *   VAE, prior, with noise sigma^2     sum_off (sqrt lambda_i - sigma)^2
 *   VAE, prior, mean of the decoder    sum_on (sqrt lambda_i - sqrt(lambda_i - sigma^2))^2
 *                                      + sum_off lambda_i */
double dlf_ppca_frechet(const double *lambda, int D, int k, double sigma2, bool with_noise);

/* Denoising a row x + N(0, noise^2), x of density h: the best guess of x is (Tweedie)
 *   x + noise^2 d/dx log p_noise(x), p_noise = h blurred by noise (Alain & Bengio 2014). */
double dlf_denoised(dlf_humps h, double noise, double x);
/* P(row <= x) */
double dlf_humps_cdf(dlf_humps h, double x);
#endif
