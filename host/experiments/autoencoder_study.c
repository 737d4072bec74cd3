/* SPDX-License-Identifier: MIT
 * autoencoder_study.c -- autoencoders and VAEs of all seeds trained side by side. */
#include "autoencoder_study.h"

#include <math.h>
#include <stdlib.h>

#include "host_arrays.h"

dlf_status dlf_coder_study_new(dlf_coder_study *s, const dlf_run *run, dlf_coder_spec shape,
                               int pool, double sd)
{
    const int seeds = dlf_run_seeds(run), P = 2 * seeds;
    const size_t codes = (size_t)P * (size_t)shape.batch * (size_t)shape.latents,
                 rows = (size_t)P * (size_t)shape.batch * (size_t)shape.inputs;
    *s = (dlf_coder_study){.P = P,
                           .seeds = seeds,
                           .batch = shape.batch,
                           .pool = pool,
                           .inputs = shape.inputs,
                           .latents = shape.latents,
                           .seed = dlf_run_seed(run)};
    s->rows = malloc(rows * (size_t)pool * sizeof *s->rows);
    s->eps = malloc((3 * codes + rows) * sizeof *s->eps);
    double *noise = malloc(2 * (size_t)P * sizeof *noise);
    int32_t *draw = malloc((size_t)P * sizeof *draw);
    dlf_status status;
    if (!s->rows || !s->eps || !noise || !draw) {
        status = dlf_fail(DLF_ERR_OOM, "autoencoder: out of memory");
        goto done;
    }
    s->mu = s->eps + codes;
    s->z = s->mu + codes;
    s->made = s->z + codes;
    for (int p = 0; p < P; p++) {
        draw[p] = p % seeds;
        noise[p] = p / seeds;
        noise[P + p] = sd;
    }
    shape.members = P;
    shape.sd = noise + P;
    shape.noise = shape.prior = noise;
    status = dlf_coder_new(&s->c, dlf_run_device(run), &shape, s->seed, draw);
done:
    free(draw);
    free(noise);
    return status;
}

void dlf_coder_study_free(dlf_coder_study *s)
{
    dlf_coder_free(&s->c);
    free(s->rows);
    free(s->eps);
}

void dlf_coder_study_noise(double *z, const dlf_coder_study *s, enum dlf_purpose purpose,
                           int number)
{
    const long n = (long)s->batch * s->latents;
    for (int p = 0; p < s->P; p++)
        host_normal(z + p * n, n, 1.0, s->seed, dlf_stream(purpose, (uint32_t)number),
                    (uint32_t)(p % s->seeds));
}

dlf_status dlf_coder_study_feed(dlf_coder_study *s, int batch, enum dlf_purpose purpose, int number)
{
    dlf_coder_study_noise(s->eps, s, purpose, number);
    DLF_TRY(dlf_coder_feed(s->c.graph, "eps", s->eps));
    return dlf_coder_feed(s->c.graph, "x", s->rows + (long)batch * s->P * s->batch * s->inputs);
}

dlf_status dlf_coder_study_train(dlf_coder_study *s, dlf_run *run, int steps, double rate,
                                 const char *stage, double from, double to)
{
    for (int t = 0; t < steps; t++) {
        if (t % 50 == 0) DLF_TRY(dlf_run_stage(run, from + (to - from) * t / steps, "%s", stage));
        DLF_TRY(dlf_coder_study_feed(s, t % s->pool, DLF_PURPOSE_INPUT, t));
        DLF_TRY(dlf_coder_step(&s->c, t, steps, rate));
    }
    return DLF_OK;
}

void dlf_row_moments_add(dlf_row_moments *m, const double *x, long rows)
{
    const int n = m->n;
    for (long i = 0; i < rows; i++, x += n) {
        m->rows += 1.0;
        for (int k = 0; k < n; k++) {
            m->sum[k] += x[k];
            for (int l = 0; l < n; l++) m->square[k * n + l] += x[k] * x[l];
        }
    }
}

void dlf_row_moments_of(const dlf_row_moments *m, double *mean, double *covariance)
{
    const int n = m->n;
    for (int k = 0; k < n; k++) mean[k] = m->sum[k] / m->rows;
    for (int k = 0; k < n; k++)
        for (int l = 0; l < n; l++)
            covariance[k * n + l] = m->square[k * n + l] / m->rows - mean[k] * mean[l];
}

void dlf_row_moments_colour(const dlf_row_moments *m, double *z, long rows)
{
    const int n = m->n;
    double mean[64], c[64 * 64], L[DLF_CODES_MAX * DLF_CODES_MAX] = {0}, y[DLF_CODES_MAX];
    dlf_row_moments_of(m, mean, c);
    for (int k = 0; k < n; k++) /* Cholesky; not least_squares.h's, which refuses a zero */
        for (int l = 0; l <= k; l++) {
            double sum = c[k * n + l];
            for (int j = 0; j < l; j++) sum -= L[k * n + j] * L[l * n + j];
            if (k == l)
                L[k * n + k] = sqrt(fmax(sum, 0.0));
            else
                L[k * n + l] = L[l * n + l] > 0.0 ? sum / L[l * n + l] : 0.0;
        }
    for (long i = 0; i < rows; i++, z += n) {
        for (int k = 0; k < n; k++) {
            y[k] = mean[k];
            for (int l = 0; l <= k; l++) y[k] += L[k * n + l] * z[l];
        }
        for (int k = 0; k < n; k++) z[k] = y[k];
    }
}
