/* SPDX-License-Identifier: MIT
 * autoencoder_linear.c -- Q23, Q27, Q32: linear autoencoders, plain and variational, on rows of
 * which everything is known: what they reconstruct, which latents they use, and how far what they
 * generate is from the rows.
 *
 * A linear net sees but second moments of (x, eps). 2 (D + K) rows have exactly the wanted ones,
 * +-sqrt((D+K) lambda_i) q_i with eps = 0 and x = 0 with eps = +-sqrt(D+K) e_j: what is trained on
 * them is trained on the whole population, and on all of the noise, at once. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "autoencoder.h"
#include "autoencoder_nets.h"
#include "dlf/rng.h"
#include "figures.h"
#include "host_arrays.h"
#include "seed_check.h"

enum { D = 20, SHOWN = 3, LATENTS = 6, LAWS = 240 };
static const double lambda[D] = {8,  5,  3,  2,  1.2, .5, .5, .5, .5, .5,
                                 .5, .5, .5, .5, .5,  .5, .5, .5, .5, .5};
static const double noises[] = {0.3, 0.7, 1.5, 2.5, 4.0, 6.0, 10.0};
enum { NOISES = sizeof noises / sizeof noises[0], CHECKED = 2, SIZES = 5 };
static const double learning_rate = 0.2;

/* The noise that fits best (Tipping & Bishop 1999): the mean of what is discarded. */
static double best_noise(int k)
{
    return dlf_pca_loss(lambda, D, k) / (D - k);
}

/* Columns of q (D,D): a random orthogonal basis, by Gram and Schmidt. */
static void basis(double *q, uint64_t seed, uint32_t member)
{
    host_normal(q, D * D, 1.0, seed, dlf_stream(DLF_PURPOSE_DATA, 130), member);
    for (int k = 0; k < D; k++)
        for (int pass = 0; pass < 2; pass++) { /* twice is enough (Giraud et al. 2005) */
            for (int l = 0; l < k; l++) {
                double dot = 0.0;
                for (int i = 0; i < D; i++) dot += q[i * D + k] * q[i * D + l];
                for (int i = 0; i < D; i++) q[i * D + k] -= dot * q[i * D + l];
            }
            double square = 0.0;
            for (int i = 0; i < D; i++) square += q[i * D + k] * q[i * D + k];
            for (int i = 0; i < D; i++) q[i * D + k] /= sqrt(square);
        }
}

/* Of one member. */
typedef struct outcome {
    double loss, elbo; /* |x - out|^2 per row; elbo: meaningless of a plain one */
    double kl, active; /* nats; latents whose mean varies by more than 0.01     */
    double aligned;    /* cos^2 of a decoder's column and the nearest principal axis, on average */
    double codes, prior, noisy; /* squared Frechet distance of what is made from: the codes'
                                   Gaussian; N(0,1); N(0,1) with the noise added               */
} outcome;
enum { MEASURES = sizeof(outcome) / sizeof(double) };

static void rows_of(double *x, double *eps, const double *q, int K)
{
    const int B = 2 * (D + K);
    for (int i = 0; i < B * D; i++) x[i] = 0.0;
    for (int i = 0; i < B * K; i++) eps[i] = 0.0;
    for (int r = 0; r < 2 * D; r++)
        for (int i = 0; i < D; i++)
            x[r * D + i] = (r % 2 ? -1.0 : 1.0) * sqrt((D + K) * lambda[r / 2]) * q[i * D + r / 2];
    for (int r = 2 * D; r < B; r++)
        eps[r * K + (r - 2 * D) / 2] = (r % 2 ? -1.0 : 1.0) * sqrt(D + K);
}

/* c (D,D) = a m a^T + v I, a (D,K), m (K,K) or NULL for I */
static void made_by(double *c, const double *a, const double *m, int K, double v)
{
    for (int i = 0; i < D; i++)
        for (int j = 0; j < D; j++) {
            double sum = i == j ? v : 0.0;
            for (int k = 0; k < K; k++)
                for (int l = 0; l < K; l++)
                    sum += a[i * K + k] * (m ? m[k * K + l] : k == l ? 1.0 : 0.0) * a[j * K + l];
            c[i * D + j] = sum;
        }
}

/* mu (B,K), s (K) of the first row, miss (B,D), a (D,K): the decoder. generate: distances, too. */
static outcome judge(const double *mu, const double *s, const double *miss, const double *a,
                     const double *q, int K, double sigma2, double objective, bool generate)
{
    const int B = 2 * (D + K);
    double C[D * D], made[D * D], m[D * D] = {0};
    outcome o = {.elbo = -objective + 0.5 * K - 0.5 * D * log(2.0 * M_PI * sigma2)};
    for (int i = 0; i < B * D; i++) o.loss += miss[i] * miss[i] / B;
    for (int r = 0; r < B; r++)
        for (int k = 0; k < K; k++)
            for (int l = 0; l < K; l++) m[k * K + l] += mu[r * K + k] * mu[r * K + l] / B;
    for (int k = 0; k < K; k++) {
        double square = 0.0, best = 0.0;
        o.kl += 0.5 * (m[k * K + k] + s[k] * s[k] - 1.0) - log(s[k]);
        o.active += m[k * K + k] > 0.01;
        for (int i = 0; i < D; i++) square += a[i * K + k] * a[i * K + k];
        for (int l = 0; l < D; l++) {
            double dot = 0.0;
            for (int i = 0; i < D; i++) dot += a[i * K + k] * q[i * D + l];
            best = fmax(best, dot * dot / square);
        }
        o.aligned += best / K;
    }
    if (!generate) return o;
    for (int i = 0; i < D; i++)
        for (int j = 0; j < D; j++) {
            C[i * D + j] = 0.0;
            for (int l = 0; l < D; l++) C[i * D + j] += q[i * D + l] * lambda[l] * q[j * D + l];
        }
    made_by(made, a, m, K, 0.0);
    o.codes = dlf_frechet(C, made, D);
    made_by(made, a, NULL, K, 0.0);
    o.prior = dlf_frechet(C, made, D);
    made_by(made, a, NULL, K, sigma2);
    o.noisy = dlf_frechet(C, made, D);
    return o;
}

/* Autoencoders and VAEs of K latents for each of n noises sigma2: out (n, 2, seeds), plain first.
 */
static dlf_status train(dlf_run *run, int K, const double *sigma2, int n, outcome *out)
{
    const int seeds = dlf_run_seeds(run), P = n * 2 * seeds, B = 2 * (D + K),
              steps = dlf_run_int(run, "pca_steps");
    const size_t members = (size_t)P, rows = (size_t)B;
    dlf_coder c = {0};
    dlf_status status;
    double *sd = malloc(4 * members * sizeof *sd), *q = malloc((size_t)seeds * D * D * sizeof *q),
           *x = malloc(members * rows * D * sizeof *x),
           *mu = malloc(members * rows * (size_t)K * sizeof *mu),
           *s = malloc(members * rows * (size_t)K * sizeof *s),
           *a = malloc(members * D * (size_t)K * sizeof *a);
    int32_t *draw = malloc(members * sizeof *draw);
    if (!sd || !q || !x || !mu || !s || !a || !draw) {
        status = dlf_fail(DLF_ERR_OOM, "autoencoder: out of memory");
        goto done;
    }
    double *noise = sd + P, *objective = noise + P, *miss = x;
    for (int i = 0; i < seeds; i++) basis(q + (long)i * D * D, dlf_run_seed(run), (uint32_t)i);
    for (int p = 0; p < P; p++) {
        draw[p] = p % seeds;
        sd[p] = sqrt(sigma2[p / (2 * seeds)]);
        noise[p] = p / seeds % 2;
        rows_of(x + (long)p * B * D, mu + (long)p * B * K, q + (long)(p % seeds) * D * D, K);
    }
    const dlf_coder_spec spec = {.members = P,
                                 .batch = B,
                                 .inputs = D,
                                 .latents = K,
                                 .sd = sd,
                                 .noise = noise,
                                 .prior = noise};
    DLF_TRY_DONE(dlf_coder_new(&c, dlf_run_device(run), &spec, dlf_run_seed(run), draw));
    DLF_TRY_DONE(dlf_coder_feed(c.graph, "x", x));
    DLF_TRY_DONE(dlf_coder_feed(c.graph, "eps", mu));
    for (int t = 0; t < steps; t++) DLF_TRY_DONE(dlf_coder_step(&c, t, steps, learning_rate));
    DLF_TRY_DONE(dlf_graph_forward(c.graph, DLF_TRAINING));
    DLF_TRY_DONE(dlf_graph_objective(c.graph, objective));
    DLF_TRY_DONE(dlf_coder_read(c.graph, "mu", mu));
    DLF_TRY_DONE(dlf_coder_read(c.graph, "s", s));
    DLF_TRY_DONE(dlf_coder_read(c.graph, "miss", miss));
    DLF_TRY_DONE(dlf_coder_read(c.graph, "out.w", a));
    for (int p = 0; p < P; p++)
        out[p] = judge(mu + (long)p * B * K, s + (long)p * B * K, miss + (long)p * B * D,
                       a + (long)p * D * K, q + (long)(p % seeds) * D * D, K, sd[p] * sd[p],
                       objective[p], n == 1);
done:
    dlf_coder_free(&c);
    free(draw);
    free(a);
    free(s);
    free(mu);
    free(x);
    free(q);
    free(sd);
    return status;
}

/* One measure of one cell (seeds) of the outcomes. */
#define ESTIMATE(cell, measure) dlf_estimate_of(&(cell)->measure, dlf_run_seeds(run), MEASURES)

/* ---- which latents are used ---- */

static dlf_status collapse(dlf_run *run, const outcome *o)
{
    const int seeds = dlf_run_seeds(run);
    dlf_table *t, *laws;
    DLF_TRY(dlf_result_table(dlf_run_result(run), "collapse",
                             (dlf_text){"用到的隐变量与 KL", "latents in use, and KL"},
                             (const dlf_column[]){{"sigma2", "1"},
                                                  {"kl", "1"},
                                                  {"kl_lo", "1"},
                                                  {"kl_hi", "1"},
                                                  {"kl_theory", "1"},
                                                  {"active", "1"},
                                                  {"active_lo", "1"},
                                                  {"active_hi", "1"},
                                                  {"plain", "1"},
                                                  {"plain_lo", "1"},
                                                  {"plain_hi", "1"},
                                                  {NULL, NULL}},
                             &t));
    for (int i = 0; i < NOISES; i++) {
        const outcome *plain = o + (long)(2 * i) * seeds, *vae = plain + seeds;
        const dlf_estimate kl = ESTIMATE(vae, kl), active = ESTIMATE(vae, active),
                           all = ESTIMATE(plain, active);
        double theory = 0.0;
        for (int k = 0; k < LATENTS; k++) theory += dlf_ppca_kl(lambda[k], noises[i]);
        DLF_TRY(dlf_table_row(t, DLF_NUM(noises[i]), DLF_NUM(kl.mean), DLF_NUM(kl.lo),
                              DLF_NUM(kl.hi), DLF_NUM(theory), DLF_NUM(active.mean),
                              DLF_NUM(active.lo), DLF_NUM(active.hi), DLF_NUM(all.mean),
                              DLF_NUM(all.lo), DLF_NUM(all.hi)));
        if (i != CHECKED) continue;
        double in_use = 0.0;
        for (int k = 0; k < LATENTS; k++) in_use += lambda[k] > noises[i];
        DLF_TRY(dlf_add_near(
            run, "vae_kl", (dlf_text){"VAE，σ²=1.5：KL 之和", "VAE, σ²=1.5: sum of the KLs"}, kl,
            theory, 0.01 * theory,
            "closed form: sum of ln(lambda/sigma^2)/2 over lambda > sigma^2 (Lucas "
            "et al. 2019); 1 %: training ends after finitely many steps"));
        DLF_TRY(dlf_add_near(run, "vae_active",
                             (dlf_text){"VAE，σ²=1.5，六个隐变量：用到几个",
                                        "VAE, σ²=1.5, six latents: how many are in use"},
                             active, in_use, 1e-9,
                             "closed form: as many as eigenvalues above sigma^2 (Lucas et al. "
                             "2019); latents of Burda et al. 2016, variance of the mean > 0.01"));
        DLF_TRY(dlf_add_near(run, "plain_active",
                             (dlf_text){"对照，自编码器，六个隐变量：全部用到",
                                        "control, autoencoder, six latents: all are in use"},
                             all, LATENTS, 1e-9, "it has no prior that could turn one off"));
        const double elbo = dlf_ppca_elbo(lambda, D, LATENTS, noises[i]);
        DLF_TRY(dlf_add_near(run, "vae_elbo",
                             (dlf_text){"VAE，σ²=1.5：ELBO 就是 pPCA 的对数似然",
                                        "VAE, σ²=1.5: the ELBO is the log-likelihood of pPCA"},
                             ESTIMATE(vae, elbo), elbo, 0.005,
                             "Tipping & Bishop 1999; Lucas et al. 2019; 0.005 nats or 4 standard "
                             "errors"));
    }
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "collapse_laws", (dlf_text){"隐变量的理论值", "latents in theory"},
        (const dlf_column[]){{"sigma2", "1"}, {"kl", "1"}, {"active", "1"}, {NULL, NULL}}, &laws));
    for (int i = 0; i <= LAWS; i++) {
        const double sigma2 = 0.25 * pow(48.0, (double)i / LAWS);
        double kl = 0.0, active = 0.0;
        for (int k = 0; k < LATENTS; k++) {
            kl += dlf_ppca_kl(lambda[k], sigma2);
            active += lambda[k] > sigma2;
        }
        DLF_TRY(dlf_table_row(laws, DLF_NUM(sigma2), DLF_NUM(kl), DLF_NUM(active)));
    }
    dlf_figure f = {
        .id = "collapse",
        .kind = DLF_LINES,
        .title =
            {"VAE 的隐变量在 σ² 越过特征值时一个个关掉；自编码器的全部用着",
             "Latents of a VAE turn off as σ² passes an eigenvalue; an autoencoder's never do"},
        .subtitle = {"六个隐变量，线性，D=20；虚线为理论，没有拟合参数",
                     "six latents, linear, D=20; theory dashed, nothing fitted"},
        .x = {{"解码器的噪声 σ²", "noise σ² of the decoder"}, true},
        .y = {{"用到的隐变量数；KL（nat）", "latents in use; KL (nats)"}, false}};
    static const struct {
        const char *y, *lo, *hi, *law;
        dlf_text label;
        dlf_role role;
    } lines[] = {
        {"active",
         "active_lo",
         "active_hi",
         "active",
         {"VAE：用到的", "VAE: in use"},
         DLF_MEASURED},
        {"kl", "kl_lo", "kl_hi", "kl", {"VAE：KL", "VAE: KL"}, DLF_MEASURED},
        {"plain",
         "plain_lo",
         "plain_hi",
         NULL,
         {"自编码器：用到的", "autoencoder: in use"},
         DLF_CONTROL},
    };
    int at = 0;
    for (int i = 0; i < 3; i++) {
        f.series[at] = (dlf_series){.role = lines[i].role,
                                    .table = "collapse",
                                    .x = "sigma2",
                                    .y = lines[i].y,
                                    .lo = lines[i].lo,
                                    .hi = lines[i].hi,
                                    .label = lines[i].label,
                                    .colour = i,
                                    .points = true};
        if (lines[i].law) {
            dlf_theory_of(&f, at, at + 1, lines[i].law);
            f.series[++at].table = "collapse_laws";
        }
        at++;
    }
    return dlf_result_figure(dlf_run_result(run), &f);
}

/* ---- what is generated ---- */

static const struct {
    const char *id;
    dlf_text name;
    dlf_role role;
} ways[] = {
    {"prior", {"对照：自编码器，N(0,1)", "control: autoencoder, N(0,1)"}, DLF_CONTROL},
    {"codes", {"自编码器，编码的高斯", "autoencoder, codes' Gaussian"}, DLF_MEASURED},
    {"mean", {"VAE，只取均值", "VAE, mean only"}, DLF_MEASURED},
    {"noisy", {"VAE，加上噪声", "VAE, with its noise"}, DLF_MEASURED},
};
enum { WAYS = sizeof ways / sizeof ways[0], PRIOR = 0, CODES, MEAN, NOISY };

static dlf_status generated_checks(dlf_run *run, const outcome *o)
{
    const int seeds = dlf_run_seeds(run);
    const outcome *plain = o + (long)(SHOWN - 1) * 2 * seeds, *vae = plain + seeds;
    const double left = dlf_pca_loss(lambda, D, SHOWN), sigma2 = best_noise(SHOWN);
    DLF_TRY(dlf_add_near(run, "plain_loss",
                         (dlf_text){"线性自编码器，三个隐变量：重建误差",
                                    "linear autoencoder, three latents: reconstruction error"},
                         ESTIMATE(plain, loss), left, 0.001 * left,
                         "Baldi & Hornik 1989: sum of the discarded eigenvalues; 0.1 %"));
    DLF_TRY(dlf_add_bound(run, "vae_aligned",
                          (dlf_text){"VAE：解码器的列就是主方向（cos²）",
                                     "VAE: columns of the decoder are principal axes (cos²)"},
                          ESTIMATE(vae, aligned), DLF_AT_LEAST, 0.99,
                          "Lucas et al. 2019, Rolinek et al. 2019: a diagonal posterior"));
    DLF_TRY(dlf_add_bound(run, "plain_aligned",
                          (dlf_text){"自编码器的解码器的列也是主方向（cos²）",
                                     "columns of the autoencoder's decoder are principal axes, too "
                                     "(cos²)"},
                          ESTIMATE(plain, aligned), DLF_AT_LEAST, 0.99,
                          "Baldi & Hornik 1989: any basis of the same space is as good"));
    DLF_TRY(dlf_add_near(run, "frechet_codes",
                         (dlf_text){"自编码器，编码的高斯：Fréchet 距离就是重建误差",
                                    "autoencoder, codes' Gaussian: the Fréchet distance is the "
                                    "reconstruction error"},
                         ESTIMATE(plain, codes), left, 0.005 * left,
                         "closed form: sum of the discarded eigenvalues; 0.5 %"));
    const double noisy = dlf_ppca_frechet(lambda, D, SHOWN, sigma2, true),
                 mean = dlf_ppca_frechet(lambda, D, SHOWN, sigma2, false);
    DLF_TRY(dlf_add_near(run, "frechet_noisy",
                         (dlf_text){"VAE，三个隐变量，加上噪声：Fréchet 距离",
                                    "VAE, three latents, with its noise: Fréchet distance"},
                         ESTIMATE(vae, noisy), noisy, 0.01 * noisy,
                         "closed form: sum_off (sqrt lambda - sigma)^2; 1 %"));
    return dlf_add_near(run, "frechet_mean",
                        (dlf_text){"VAE，三个隐变量，只取解码器的均值：Fréchet 距离",
                                   "VAE, three latents, the decoder's mean alone: Fréchet "
                                   "distance"},
                        ESTIMATE(vae, prior), mean, 0.005 * mean,
                        "closed form: sum_on (sqrt lambda - sqrt(lambda - sigma^2))^2 + sum_off "
                        "lambda; 0.5 %");
}

static dlf_status generated(dlf_run *run, const outcome *o)
{
    const int seeds = dlf_run_seeds(run);
    dlf_table *t;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "frechet",
        (dlf_text){"生成的样本到数据的 Fréchet 距离", "Fréchet distance of what is generated"},
        (const dlf_column[]){{"way", NULL},
                             {"latents", "1"},
                             {"distance", "1"},
                             {"lo", "1"},
                             {"hi", "1"},
                             {"theory", "1"},
                             {NULL, NULL}},
        &t));
    for (int w = 0; w < WAYS; w++)
        for (int k = 1; k <= SIZES; k++) {
            const outcome *plain = o + (long)(k - 1) * 2 * seeds, *vae = plain + seeds;
            const dlf_estimate e = w == PRIOR   ? ESTIMATE(plain, prior)
                                   : w == CODES ? ESTIMATE(plain, codes)
                                   : w == MEAN  ? ESTIMATE(vae, prior)
                                                : ESTIMATE(vae, noisy);
            const double theory = w == PRIOR ? (double)NAN
                                  : w == CODES
                                      ? dlf_pca_loss(lambda, D, k)
                                      : dlf_ppca_frechet(lambda, D, k, best_noise(k), w == NOISY);
            DLF_TRY(dlf_table_row(t, DLF_TXT(ways[w].id), DLF_NUM(k), DLF_NUM(e.mean),
                                  DLF_NUM(e.lo), DLF_NUM(e.hi), DLF_NUM(theory)));
        }
    dlf_figure f = {
        .id = "frechet",
        .kind = DLF_LINES,
        .title = {"自编码器生成的样本缺了丢掉的方向；VAE 加上噪声就补了回来",
                  "An autoencoder's samples lack the discarded directions; a VAE's noise has them"},
        .subtitle = {"线性，D=20，高斯数据；虚线为理论，没有拟合参数",
                     "linear, D=20, Gaussian rows; theory dashed, nothing fitted"},
        .x = {{"隐变量数", "latents"}, false},
        .y = {{"到数据的 Fréchet 距离（平方）", "squared Fréchet distance to the rows"}, false}};
    for (int w = 0, at = 0; w < WAYS; w++, at++) {
        f.series[at] = (dlf_series){.role = ways[w].role,
                                    .table = "frechet",
                                    .where = "way",
                                    .equals = ways[w].id,
                                    .x = "latents",
                                    .y = "distance",
                                    .lo = "lo",
                                    .hi = "hi",
                                    .label = ways[w].name,
                                    .colour = w,
                                    .points = w != PRIOR};
        if (w == PRIOR) continue;
        dlf_theory_of(&f, at, at + 1, "theory");
        at++;
    }
    DLF_TRY(dlf_result_figure(dlf_run_result(run), &f));
    return generated_checks(run, o);
}

dlf_status dlf_autoencoder_linear(dlf_run *run, double from, double to)
{
    const int seeds = dlf_run_seeds(run);
    outcome *o = malloc(2 * (size_t)(seeds * NOISES) * sizeof *o);
    if (!o) return dlf_fail(DLF_ERR_OOM, "autoencoder: out of memory");
    const double piece = (to - from) / (SIZES + 1);
    dlf_status status;
    DLF_TRY_DONE(dlf_run_stage(run, from, "latents in use"));
    DLF_TRY_DONE(train(run, LATENTS, noises, NOISES, o));
    DLF_TRY_DONE(collapse(run, o));
    for (int k = 1; k <= SIZES; k++) {
        const double sigma2 = best_noise(k);
        DLF_TRY_DONE(dlf_run_stage(run, from + k * piece, "what is generated, %d latents", k));
        DLF_TRY_DONE(train(run, k, &sigma2, 1, o + (long)(k - 1) * 2 * seeds));
    }
    status = generated(run, o);
done:
    free(o);
    return status;
}
