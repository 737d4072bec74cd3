/* SPDX-License-Identifier: MIT
 * early_stopping_study.h -- least squares of Q10: what is simulated, and what is reported of it. */
#ifndef DLF_EARLY_STOPPING_STUDY_H
#define DLF_EARLY_STOPPING_STUDY_H
#include "early_stopping.h"

/* Arms: with noise, sigma = 1, and without. */
enum { STUDY_ARMS = 2, STUDY_RECORDS = 64 };
extern const double study_sigma[STUDY_ARMS];
#define STUDY_ETA 0.1

/* A design per seed, with its spectrum, and `copies` draws of (b, e) per arm and design. */
typedef struct study {
    int n, p, seeds, copies, steps, members; /* members: (arm, seed) */
    double *x, *h, *s, *vector;              /* (seeds, n, p), (seeds, p, p), (seeds, p), .. */
    double *b, *c;                           /* (members, copies, p): truth, X^T y / n */
    int records, step[STUDY_RECORDS];
    double *risk; /* (records, members): mean |w - b|^2 over the copies */
} study;

/* Adds tables, figures and checks. value: room for STUDY_VALUES numbers per seed. */
enum { STUDY_VALUES = 8 };
DLF_MUST_CHECK dlf_status study_report(dlf_run *run, const study *q, double *value);
#endif
