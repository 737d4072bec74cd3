/* SPDX-License-Identifier: MIT
 * norm_equilibrium.h -- many one-layer networks at a balance of steps and weight decay (Q33). */
#ifndef DLF_NORM_EQUILIBRIUM_H
#define DLF_NORM_EQUILIBRIUM_H
#include "norm_layer.h"

/* One setting: its members are the seeds. */
typedef struct balance_arm {
    double eta, lambda; /* learning rate; weight decay, in the gradient */
    double start;       /* length of w at step 0 over the one predicted */
} balance_arm;

enum { BALANCE_ARMS = 8, BALANCE_RECORDS = 4096 };

/* Means over what was seen after the burn-in, per arm and seed: at [arm * seeds + seed]. A vector
 * is one unit's w, or with layer norm the whole matrix, which is what its invariance is about. */
typedef struct balance {
    int arms, seeds, records, every; /* records of |w|^4 every so many steps */
    double *angle2;                  /* <theta^2>, theta between w before and after a step */
    double *log_cos;                 /* <-ln cos theta>                                    */
    double *w4, *g2;                 /* <|w|^4>, <|g~|^2>, g~ = |w| g                      */
    double *course; /* (records, arms, seeds): mean |w|^4 over the vectors                 */
} balance;

typedef struct balance_spec {
    int method; /* of norm_layer.h */
    const balance_arm *arm;
    int arms, units, steps, burn, every;
} balance_spec;

/* Minimises 1/(2B) sum (y - t)^2 with fresh x and t, N(0,1), in every step: there is nothing to
 * learn, so that only the norm, the steps and the decay act on w. Progress: from..to. */
DLF_MUST_CHECK dlf_status balance_run(balance *out, dlf_run *run, const balance_spec *spec,
                                      double from, double to);
void balance_free(balance *b);

#endif
