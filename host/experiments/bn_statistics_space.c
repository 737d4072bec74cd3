/* SPDX-License-Identifier: MIT
 * bn_statistics_space.c -- Q25: a convolutional layer takes its statistics over B H W positions,
 * but neighbouring pixels are alike. Var mu = (1 + (HW-1) r) / (B HW) = 1/B_eff: with r the mean
 * correlation within an image, a batch of B images is worth at most B/r independent values, however
 * large the images are.
 *
 * Synthetic images first (r given), then the digits (r measured), the counter-example: their
 * neighbouring pixels are alike, but over all pairs the correlation is 0, and nothing is lost. */
#include <math.h>
#include <stdlib.h>

#include "bn_statistics.h"
#include "bn_theory.h"
#include "dlf/data.h"
#include "dlf/rng.h"
#include "seed_check.h"

enum { BATCH = 4, POSITIONS = 16, POINTS = 6 };
static const double correlations[POINTS] = {0.0, 0.05, 0.15, 0.3, 0.6, 1.0};

/* x (S,C,B,HW+1) mixed into pixels sqrt(r) x_0 + sqrt(1-r) x_p. */
static dlf_status mix(dlf_tensor *pixels, const dlf_tensor *source, double r)
{
    double m[(POSITIONS + 1) * POSITIONS] = {0.0};
    dlf_tensor matrix = {0};
    dlf_status status;
    for (int p = 0; p < POSITIONS; p++) {
        m[p] = sqrt(r);
        m[(p + 1) * POSITIONS + p] = sqrt(1.0 - r);
    }
    DLF_TRY_DONE(
        dlf_tensor_new(&matrix, source->device, source->device->real, 1, POSITIONS + 1, POSITIONS));
    DLF_TRY_DONE(dlf_tensor_upload_f64(&matrix, m));
    DLF_TRY_DONE(dlf_gemm(pixels, source, &matrix, (dlf_gemm_args){.alpha = 1.0}));
done:
    dlf_tensor_free(&matrix);
    return status;
}

/* Per seed the mean square of the batch mean over `channels` batches. */
static dlf_status noise_of(dlf_run *run, double r, int index, int channels, double *out)
{
    dlf_device *dev = dlf_run_device(run);
    const int S = dlf_run_seeds(run);
    dlf_tensor source = {0}, x = {0}, mean = {0}, rstd = {0};
    dlf_status status;
    double *mu = malloc((size_t)(S * channels) * sizeof *mu);
    if (!mu) return dlf_fail(DLF_ERR_OOM, "correlated pixels: out of memory");
    DLF_TRY_DONE(dlf_tensor_new(&source, dev, dev->real, S, BATCH * channels, POSITIONS + 1));
    DLF_TRY_DONE(dlf_tensor_new(&x, dev, dev->real, S, BATCH * channels, POSITIONS));
    DLF_TRY_DONE(dlf_tensor_new(&mean, dev, DLF_F64, S, channels));
    DLF_TRY_DONE(dlf_tensor_new(&rstd, dev, dev->real, S, channels));
    DLF_TRY_DONE(dlf_random_normal(
        &source, NULL, NULL,
        (dlf_rng){dlf_run_seed(run), dlf_stream(DLF_PURPOSE_INPUT, 0x1000u + (uint32_t)index)}));
    DLF_TRY_DONE(mix(&x, &source, r));
    dlf_tensor images = dlf_tensor_reshape(&x, 4, (int64_t[]){S, BATCH, channels, POSITIONS});
    DLF_TRY_DONE(
        dlf_norm_forward(&(dlf_norm_fwd){.y = &images, .x = &images, .mean = &mean, .rstd = &rstd},
                         &(dlf_norm){.kind = DLF_BATCH_NORM, .eps = 1e-30}));
    DLF_TRY_DONE(dlf_tensor_download_f64(mu, &mean));
    for (int s = 0; s < S; s++) {
        out[s] = 0.0;
        for (int c = 0; c < channels; c++)
            out[s] += mu[s * channels + c] * mu[s * channels + c] / channels;
    }
done:
    dlf_tensor_free(&rstd);
    dlf_tensor_free(&mean);
    dlf_tensor_free(&x);
    dlf_tensor_free(&source);
    free(mu);
    return status;
}

/* ---- the digits -------------------------------------------------------------------------------
 */

/* Mean over pairs of pixels of the covariance, over the mean variance; and that variance. */
static double pixel_correlation(const dlf_dataset *d, double *variance, double *neighbours)
{
    const int n = d->train, F = d->features;
    /* variance of the sum of the pixels; sum of their variances; of covariances side by side */
    double total = 0.0, own = 0.0, beside = 0.0;
    double *mean = calloc((size_t)F + 1, sizeof *mean);
    if (!mean) return NAN;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < n; i++) {
            const float *row = d->x + (size_t)i * (size_t)F;
            double sum = 0.0;
            for (int j = 0; j < F; j++) {
                const double x = row[j];
                sum += x;
                if (pass) own += (x - mean[j]) * (x - mean[j]) / n;
                if (pass && (j + 1) % d->width)
                    beside += (x - mean[j]) * (row[j + 1] - mean[j + 1]) / n;
                if (!pass) mean[j] += x / n;
            }
            if (pass)
                total += (sum - mean[F]) * (sum - mean[F]) / n;
            else
                mean[F] += sum / n;
        }
    free(mean);
    *variance = own / F;
    *neighbours = beside / (d->height * (d->width - 1)) / *variance;
    return (total - own) / ((F - 1) * own);
}

/* Var of the mean over batches of BATCH digits drawn with replacement, per seed. The mean pixel of
 * the set is 0 (data.h). */
static dlf_status digit_noise(dlf_run *run, const dlf_dataset *d, int batches, double *out)
{
    dlf_device *dev = dlf_run_device(run);
    const int S = dlf_run_seeds(run), F = d->features;
    const int64_t rows = (int64_t)BATCH * batches;
    dlf_tensor x = {0}, mean = {0}, rstd = {0};
    dlf_status status;
    float *host = malloc((size_t)(S * rows * F) * sizeof *host);
    double *mu = malloc((size_t)(S * batches) * sizeof *mu);
    if (!host || !mu) {
        status = dlf_fail(DLF_ERR_OOM, "digits: out of memory");
        goto done;
    }
    for (int s = 0; s < S; s++)
        for (int64_t i = 0; i < rows; i++) {
            const uint32_t bits = dlf_rng_bits(dlf_run_seed(run), dlf_stream(DLF_PURPOSE_DATA, 7),
                                               (uint32_t)s, (uint64_t)i);
            const int64_t row = (int64_t)((uint64_t)bits * (uint64_t)d->train >> 32);
            for (int j = 0; j < F; j++) host[(s * rows + i) * F + j] = d->x[row * F + j];
        }
    DLF_TRY_DONE(dlf_tensor_new(&x, dev, dev->real, S, BATCH, batches, F));
    DLF_TRY_DONE(dlf_tensor_new(&mean, dev, DLF_F64, S, batches));
    DLF_TRY_DONE(dlf_tensor_new(&rstd, dev, dev->real, S, batches));
    DLF_TRY_DONE(dlf_tensor_upload(&x, host));
    DLF_TRY_DONE(dlf_norm_forward(&(dlf_norm_fwd){.y = &x, .x = &x, .mean = &mean, .rstd = &rstd},
                                  &(dlf_norm){.kind = DLF_BATCH_NORM, .eps = 1e-30}));
    DLF_TRY_DONE(dlf_tensor_download_f64(mu, &mean));
    for (int s = 0; s < S; s++) {
        out[s] = 0.0;
        for (int c = 0; c < batches; c++)
            out[s] += mu[s * batches + c] * mu[s * batches + c] / batches;
    }
done:
    dlf_tensor_free(&rstd);
    dlf_tensor_free(&mean);
    dlf_tensor_free(&x);
    free(mu);
    free(host);
    return status;
}

static dlf_status digits(dlf_run *run, int channels, double *noise)
{
    const int S = dlf_run_seeds(run);
    dlf_dataset d = {0};
    double variance = 1.0, neighbours = 0.0;
    DLF_TRY(dlf_digits_load(&d));
    const double r = pixel_correlation(&d, &variance, &neighbours);
    const dlf_status status = digit_noise(run, &d, channels, noise);
    const int F = d.features;
    dlf_dataset_free(&d);
    DLF_TRY(status);
    dlf_result *out = dlf_run_result(run);
    DLF_TRY(dlf_result_fact(out, "digit_pixels", F, "pixels"));
    DLF_TRY(dlf_result_fact(out, "digit_neighbours", neighbours, "1"));
    DLF_TRY(dlf_result_fact(out, "digit_correlation", r, "1"));
    DLF_TRY(dlf_result_fact(out, "digit_worth", dlf_bn_effective(1.0, F, r), "pixels"));
    for (int s = 0; s < S; s++) noise[s] = variance / noise[s]; /* the batch that is as quiet */
    dlf_check check = dlf_check_of(
        "digits_effective",
        (dlf_text){
            "反例，手写数字：相邻像素相似，但所有像素对的平均相关几乎为 0，4 张 64 "
            "像素的图几乎不损失",
            "counter-example, digits: neighbours are alike, but over all pairs r is nearly 0, "
            "and 4 images of 64 pixels lose nothing"},
        dlf_estimate_of(noise, S, 1));
    check.expected = dlf_bn_effective(BATCH, F, r);
    /* the mean of 4 digits is nearly Gaussian: the variance of n of them has the error sqrt(2/n) */
    check.tolerance = fmax(0.02, 4.0 * sqrt(2.0 / ((double)channels * S)));
    check.relative = true;
    check.source = "closed form: B HW/(1+(HW-1) r), r from the pixels' covariances; 2 % or 4 "
                   "standard errors";
    return dlf_result_check(out, check);
}

/* ---- report -----------------------------------------------------------------------------------
 */

static dlf_status figure(dlf_run *run)
{
    const dlf_figure f = {
        .id = "space",
        .kind = DLF_LINES,
        .title = {"像素越相似，一批图像的有效样本越少",
                  "The more alike the pixels, the less a batch of images is worth"},
        .subtitle = {"4 张 16 个位置的图；相关 r；虚线 B·HW/(1+(HW−1)r)",
                     "4 images of 16 positions; correlation r; dashed: B·HW/(1+(HW−1)r)"},
        .x = {{"图内像素的相关 r", "correlation r of pixels in an image"}, false},
        .y = {{"有效批大小 1/Var μ", "effective batch 1/Var μ"}, true},
        .series = {{.role = DLF_MEASURED,
                    .table = "space",
                    .x = "correlation",
                    .y = "effective",
                    .lo = "lo",
                    .hi = "hi",
                    .label = {"实测", "measured"},
                    .points = true},
                   {.role = DLF_THEORY,
                    .table = "space",
                    .x = "correlation",
                    .y = "theory",
                    .label = {"公式", "law"}},
                   {.role = DLF_REFERENCE,
                    .table = "space",
                    .x = "correlation",
                    .y = "positions",
                    .label = {"若像素独立：B·HW", "if pixels were independent: B·HW"}},
                   {.role = DLF_REFERENCE,
                    .table = "space",
                    .x = "correlation",
                    .y = "images",
                    .label = {"图像数 B", "number of images B"},
                    .colour = 1}}};
    return dlf_result_figure(dlf_run_result(run), &f);
}

static dlf_status points(dlf_run *run, double *noise, double from, double to)
{
    const int S = dlf_run_seeds(run);
    const int wanted = dlf_run_int(run, "values") / (BATCH * POSITIONS);
    const int channels = wanted > 2 ? wanted : 2;
    dlf_table *table;
    double worst = 0.0;
    dlf_estimate at = {0};
    double expected = 1.0, r_worst = 0.0;
    DLF_TRY(dlf_result_table(
        dlf_run_result(run), "space",
        (dlf_text){"相关像素与有效批大小", "correlated pixels and the effective batch"},
        (const dlf_column[]){{"correlation", "1"},
                             {"effective", "values"},
                             {"lo", "values"},
                             {"hi", "values"},
                             {"theory", "values"},
                             {"positions", "values"},
                             {"images", "values"},
                             {NULL, NULL}},
        &table));
    for (int i = 0; i < POINTS; i++) {
        const double r = correlations[i], law = dlf_bn_effective(BATCH, POSITIONS, r);
        DLF_TRY(dlf_run_stage(run, from + (to - from) * i / POINTS, "correlated pixels, r %g", r));
        DLF_TRY(noise_of(run, r, i, channels, noise));
        for (int s = 0; s < S; s++) noise[s] = 1.0 / noise[s];
        const dlf_estimate e = dlf_estimate_of(noise, S, 1);
        DLF_TRY(dlf_table_row(table, DLF_NUM(r), DLF_NUM(e.mean), DLF_NUM(e.lo), DLF_NUM(e.hi),
                              DLF_NUM(law), DLF_NUM(BATCH * POSITIONS), DLF_NUM(BATCH)));
        if (!(fabs(e.mean / law - 1.0) <= worst)) {
            worst = fabs(e.mean / law - 1.0);
            at = e;
            expected = law;
            r_worst = r;
        }
    }
    DLF_TRY(dlf_result_fact(dlf_run_result(run), "space_worst_correlation", r_worst, "1"));
    dlf_check check =
        dlf_check_of("effective_batch",
                     (dlf_text){"有效批大小是 B·HW/(1+(HW−1)r)（偏差最大的 r）",
                                "the effective batch is B·HW/(1+(HW−1)r) (at the worst r)"},
                     at);
    check.expected = expected;
    check.tolerance = fmax(0.01, 4.0 * sqrt(2.0 / ((double)channels * S)));
    check.relative = true;
    check.source = "closed form: Var mu = (1+(HW-1) r)/(B HW); 1 % or 4 standard errors of a "
                   "variance, sqrt(2/n)";
    return dlf_result_check(dlf_run_result(run), check);
}

dlf_status dlf_bn_space(dlf_run *run, double from, double to)
{
    const int values = dlf_run_int(run, "values"), channels = values / (BATCH * 64);
    double *noise = malloc((size_t)dlf_run_seeds(run) * sizeof *noise);
    if (!noise) return dlf_fail(DLF_ERR_OOM, "correlated pixels: out of memory");
    dlf_status status = points(run, noise, from, to);
    if (status == DLF_OK) status = digits(run, channels > 2 ? channels : 2, noise);
    if (status == DLF_OK) status = figure(run);
    free(noise);
    return status;
}
