/* SPDX-License-Identifier: MIT
 * autoencoder_study.h -- autoencoders and VAEs of all seeds trained side by side on the same rows,
 * and what is needed to generate with them. */
#ifndef DLF_AUTOENCODER_STUDY_H
#define DLF_AUTOENCODER_STUDY_H
#include "autoencoder_nets.h"
#include "dlf/data.h"
#include "dlf/experiment.h"
#include "dlf/rng.h"

enum { DLF_CODES_MAX = 16 };

/* Members p = arm seeds + seed; arms: plain, variational. Arms of a seed start equal and see equal
 * rows and noise. */
typedef struct dlf_coder_study {
    int P, seeds, batch, pool, inputs, latents;
    uint64_t seed;
    dlf_coder c;
    double *rows;         /* (pool, P, batch, inputs): the user fills it                       */
    double *eps, *mu, *z; /* (P, batch, latents)                                              */
    double *made;         /* (P, batch, inputs)                                               */
} dlf_coder_study;

/* Of the spec inputs, width, depth, latents <= DLF_CODES_MAX and batch count. sd: of the decoder.
 * Free it also on failure. */
DLF_MUST_CHECK dlf_status dlf_coder_study_new(dlf_coder_study *s, const dlf_run *run,
                                              dlf_coder_spec shape, int pool, double sd);
void dlf_coder_study_free(dlf_coder_study *s);
/* z (P,batch,latents): N(0,1), equal for the arms of a seed. */
void dlf_coder_study_noise(double *z, const dlf_coder_study *s, enum dlf_purpose purpose,
                           int number);
/* Batch number `batch` of the pool, and noise of its own, into the graph. */
DLF_MUST_CHECK dlf_status dlf_coder_study_feed(dlf_coder_study *s, int batch,
                                               enum dlf_purpose purpose, int number);
/* Adam, one batch of the pool after the other. stage: what the progress bar says. */
DLF_MUST_CHECK dlf_status dlf_coder_study_train(dlf_coder_study *s, dlf_run *run, int steps,
                                                double rate, const char *stage, double from,
                                                double to);

/* Codes of all rows of d as features: tables, checks and a figure of `autoencoder`. */
DLF_MUST_CHECK dlf_status dlf_autoencoder_features(dlf_run *run, dlf_coder_study *s,
                                                   const dlf_dataset *d);

/* First and second moments of rows of n dimensions, n <= 64. */
typedef struct dlf_row_moments {
    int n;
    double rows, sum[64], square[64 * 64];
} dlf_row_moments;
void dlf_row_moments_add(dlf_row_moments *m, const double *x, long rows);
/* mean (n) and covariance (n,n) */
void dlf_row_moments_of(const dlf_row_moments *m, double *mean, double *covariance);
/* z (rows,n), N(0,1), becomes N(mean, covariance) of m; n <= DLF_CODES_MAX. A direction without
 * variance gets none. */
void dlf_row_moments_colour(const dlf_row_moments *m, double *z, long rows);
#endif
