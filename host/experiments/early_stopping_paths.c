/* SPDX-License-Identifier: MIT
 * early_stopping_paths.c -- Q10 on least squares: gradient descent on the device for many designs
 * and draws at once, with noise and without. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dlf/ops.h"
#include "dlf/rng.h"
#include "dlf/theory.h"
#include "early_stopping_study.h"

const double study_sigma[STUDY_ARMS] = {1.0, 0.0};

static void study_free(study *q)
{
    free(q->x);
    free(q->h);
    free(q->s);
    free(q->vector);
    free(q->b);
    free(q->c);
    free(q->risk);
}

static dlf_status study_new(study *q, dlf_run *run)
{
    *q = (study){.n = dlf_run_int(run, "n"),
                 .p = dlf_run_int(run, "p"),
                 .seeds = dlf_run_seeds(run),
                 .copies = dlf_run_int(run, "copies"),
                 .steps = dlf_run_int(run, "descent_steps")};
    if (q->n < q->p + 4)
        return dlf_fail(DLF_ERR_ARG,
                        "early-stopping: n = %d rows for p = %d weights; it needs p + 4 "
                        "or more",
                        q->n, q->p);
    const size_t S = (size_t)q->seeds, n = (size_t)q->n, p = (size_t)q->p;
    q->members = STUDY_ARMS * q->seeds;
    const size_t draws = (size_t)q->members * (size_t)q->copies * p;
    q->x = malloc(S * n * p * sizeof *q->x);
    q->h = malloc(S * p * p * sizeof *q->h);
    q->s = malloc(S * p * sizeof *q->s);
    q->vector = malloc(S * p * p * sizeof *q->vector);
    q->b = malloc(draws * sizeof *q->b);
    q->c = malloc(draws * sizeof *q->c);
    q->risk = malloc(STUDY_RECORDS * (size_t)q->members * sizeof *q->risk);
    if (!q->x || !q->h || !q->s || !q->vector || !q->b || !q->c || !q->risk)
        return dlf_fail(DLF_ERR_OOM, "early-stopping: out of memory");
    /* steps 1, 2, 3, 4, 6, 8, 11, ..: half octaves */
    for (double k = 1.0; k < q->steps && q->records < STUDY_RECORDS - 1; k *= sqrt(2.0)) {
        const int step = (int)lrint(k);
        if (!q->records || step > q->step[q->records - 1]) q->step[q->records++] = step;
    }
    if (q->step[q->records - 1] < q->steps) q->step[q->records++] = q->steps;
    return DLF_OK;
}

static dlf_status draw_designs(study *q, dlf_run *run)
{
    const int n = q->n, p = q->p;
    double *work = malloc((size_t)p * (size_t)p * sizeof *work);
    if (!work) return dlf_fail(DLF_ERR_OOM, "early-stopping: out of memory");
    for (int s = 0; s < q->seeds; s++) {
        double *x = q->x + (size_t)s * (size_t)(n * p), *h = q->h + (size_t)s * (size_t)(p * p);
        for (int i = 0; i < n * p; i++)
            x[i] = dlf_rng_normal(dlf_run_seed(run), dlf_stream(DLF_PURPOSE_INPUT, 0), (uint32_t)s,
                                  (uint64_t)i);
        memset(h, 0, (size_t)(p * p) * sizeof *h);
        for (int r = 0; r < n; r++)
            for (int i = 0; i < p; i++)
                for (int j = 0; j < p; j++) h[i * p + j] += x[r * p + i] * x[r * p + j] / n;
        memcpy(work, h, (size_t)(p * p) * sizeof *h);
        dlf_symmetric_eigen(work, p, q->s + s * p, q->vector + (size_t)s * (size_t)(p * p));
    }
    free(work);
    return DLF_OK;
}

/* Truths b ~ N(0, I/p) and X^T (X b + sigma e) / n; the arms share b. */
static dlf_status draw_targets(study *q, dlf_run *run)
{
    const int n = q->n, p = q->p, R = q->copies;
    for (int m = 0; m < q->members; m++) {
        const int arm = m / q->seeds, seed = m % q->seeds;
        const double *x = q->x + (size_t)seed * (size_t)(n * p);
        for (int r = 0; r < R; r++) {
            double *b = q->b + ((size_t)m * (size_t)R + (size_t)r) * (size_t)p;
            double *c = q->c + (b - q->b);
            const uint32_t draw = (uint32_t)(seed * R + r);
            memset(c, 0, (size_t)p * sizeof *c);
            for (int k = 0; k < p; k++)
                b[k] = dlf_rng_normal(dlf_run_seed(run), dlf_stream(DLF_PURPOSE_WEIGHTS, 0), draw,
                                      (uint64_t)k) /
                       sqrt(p);
            for (int i = 0; i < n; i++) {
                double y = study_sigma[arm] * dlf_rng_normal(dlf_run_seed(run),
                                                             dlf_stream(DLF_PURPOSE_INPUT, 1), draw,
                                                             (uint64_t)i);
                for (int k = 0; k < p; k++) y += x[i * p + k] * b[k];
                for (int k = 0; k < p; k++) c[k] += x[i * p + k] * y / n;
            }
        }
    }
    return DLF_OK;
}

/* ---- on the device ---- */

static void note_risk(study *q, int record, const double *w)
{
    const size_t per_member = (size_t)q->copies * (size_t)q->p;
    for (int m = 0; m < q->members; m++) {
        double sum = 0.0;
        for (size_t i = 0; i < per_member; i++) {
            const double d = w[(size_t)m * per_member + i] - q->b[(size_t)m * per_member + i];
            sum += d * d;
        }
        q->risk[record * q->members + m] = sum / q->copies;
    }
}

/* w <- w - eta (w H - c) = w (I - eta H) + eta c, all members and draws at once. */
static dlf_status descend(study *q, dlf_run *run, double from, double to)
{
    const int64_t M = q->members, R = q->copies, p = q->p;
    dlf_device *dev = dlf_run_device(run);
    dlf_status status;
    dlf_tensor shrink = {0}, push = {0}, w[2] = {{0}, {0}};
    double *host = malloc((size_t)(M * R * p) * sizeof *host);
    double *matrix = malloc((size_t)(M * p * p) * sizeof *matrix);
    if (!host || !matrix) {
        status = dlf_fail(DLF_ERR_OOM, "early-stopping: out of memory");
        goto done;
    }
    DLF_TRY_DONE(dlf_tensor_new(&shrink, dev, dev->real, M, p, p));
    DLF_TRY_DONE(dlf_tensor_new(&push, dev, dev->real, M, R, p));
    for (int k = 0; k < 2; k++) DLF_TRY_DONE(dlf_tensor_new(&w[k], dev, dev->real, M, R, p));
    for (int64_t i = 0; i < M * p * p; i++) {
        const int64_t cell = i % (p * p), seed = i / (p * p) % q->seeds;
        matrix[i] = (cell / p == cell % p) - STUDY_ETA * q->h[seed * p * p + cell];
    }
    for (int64_t i = 0; i < M * R * p; i++) host[i] = STUDY_ETA * q->c[i];
    DLF_TRY_DONE(dlf_tensor_upload_f64(&shrink, matrix));
    DLF_TRY_DONE(dlf_tensor_upload_f64(&push, host));
    DLF_TRY_DONE(dlf_tensor_zero(&w[0]));
    for (int step = 1, record = 0; record < q->records; step++) {
        dlf_tensor *now = &w[step % 2];
        if (step % 20 == 1)
            DLF_TRY_DONE(dlf_run_stage(run, from + (to - from) * step / q->steps,
                                       "least squares: step %d", step));
        DLF_TRY_DONE(dlf_tensor_copy(now, &push));
        DLF_TRY_DONE(
            dlf_gemm(now, &w[1 - step % 2], &shrink, (dlf_gemm_args){false, false, 1.0, 1.0}));
        if (step != q->step[record]) continue;
        DLF_TRY_DONE(dlf_tensor_download_f64(host, now));
        note_risk(q, record++, host);
    }
done:
    dlf_tensor_free(&shrink);
    dlf_tensor_free(&push);
    dlf_tensor_free(&w[0]);
    dlf_tensor_free(&w[1]);
    free(host);
    free(matrix);
    return status;
}

dlf_status dlf_early_paths(dlf_run *run, double from, double to)
{
    dlf_status status;
    study q = {0};
    double *value = malloc((size_t)(STUDY_VALUES * dlf_run_seeds(run)) * sizeof *value);
    if (!value) return dlf_fail(DLF_ERR_OOM, "early-stopping: out of memory");
    DLF_TRY_DONE(study_new(&q, run));
    DLF_TRY_DONE(dlf_run_stage(run, from, "least squares: designs"));
    DLF_TRY_DONE(draw_designs(&q, run));
    DLF_TRY_DONE(draw_targets(&q, run));
    DLF_TRY_DONE(descend(&q, run, from, to));
    DLF_TRY_DONE(study_report(run, &q, value));
done:
    study_free(&q);
    free(value);
    return status;
}
