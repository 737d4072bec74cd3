/* SPDX-License-Identifier: MIT
 * perceptron.h -- the parts of the experiment `perceptron` (Q12), its machine and its closed forms.
 */
#ifndef DLF_PERCEPTRON_H
#define DLF_PERCEPTRON_H
#include "dlf/experiment.h"
#include "dlf/tensor.h"

/* Each uses the share from..to of the progress bar and adds its tables, checks and figures. */
DLF_MUST_CHECK dlf_status dlf_perceptron_bound(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_perceptron_capacity(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_perceptron_boolean(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_perceptron_noise(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_perceptron_digits(dlf_run *run, double from, double to);

/* ---- closed forms --------------------------------------------------------------------------- */

/* How many of the 2^points labelings of points in general position a hyperplane through the origin
 * of R^dim separates: 2 sum_{k < dim} C(points-1, k)  (Cover 1965, eq. 5). Exact up to 2^53. */
double dlf_cover_count(int points, int dim);
/* The same as a share, count / 2^points, for any number of points. */
double dlf_cover_share(int points, int dim);

/* ---- data ------------------------------------------------------------------------------------ */

/* n unit vectors of R^d, uniform where |u . x| >= margin for a random direction u, and t = sign(u .
 * x). A pure function of (seed, member); u (d) may be NULL. errors  DLF_ERR_ARG where less than one
 * draw in 1000 is far enough from the plane */
DLF_MUST_CHECK dlf_status dlf_perceptron_planted(float *x, float *t, double *u, int n, int d,
                                                 double margin, uint64_t seed, uint32_t member);

/* The largest margin of t_i x_i, exactly: no perceptron can have a larger one. 0: none.
 *   R (may be NULL) gets max |x_i| */
DLF_MUST_CHECK dlf_status dlf_perceptron_margin(double *margin, double *R, const float *x,
                                                const float *t, int n, int d);

/* ---- the machine ---------------------------------------------------------------------------- */

/* A population of P perceptrons with C outputs each; every output is a perceptron of its own.
 *
 *   z_c = w_c . x,   mistake where t_c z_c <= 0:   w_c += t_c x,   t = +-1     (Rosenblatt 1958)
 *
 * That is a step of rate 1 on the hinge loss max(0, 1 - t s z) / s with a huge s: only z of the
 * wrong sign, or 0, has a gradient, and it is -t. */
typedef struct dlf_perceptrons {
    dlf_tensor x, t;     /* (R,d) inputs and (Q,C) labels of all members               */
    dlf_tensor w;        /* (P,d,C)                                                    */
    dlf_tensor mistakes; /* (P,1,C) so far                                             */
    dlf_tensor sum;      /* (P,d,C) of w after every step, where it is averaged        */
    dlf_tensor xt, tt, z, dz, dw, rate;
    dlf_tensor x_index, t_index; /* (steps * P, 1) rows of x and t, step by step        */
    int members, features, outputs, steps;
    bool averaged;
} dlf_perceptrons;

/* x (rows,features), t (labels,outputs) as +-1; starts from w = 0.  `dlf_perceptrons_free` is safe
 * after an error. */
DLF_MUST_CHECK dlf_status dlf_perceptrons_new(dlf_perceptrons *out, dlf_device *device, int members,
                                              int rows, int features, const float *x, int labels,
                                              int outputs, const float *t, bool averaged);
void dlf_perceptrons_free(dlf_perceptrons *p);

/* The order of presentation: in step s member m sees row x_index[s*P + m] and label
 * t_index[s*P + m]. t_index NULL: the same. */
DLF_MUST_CHECK dlf_status dlf_perceptrons_order(dlf_perceptrons *p, int steps,
                                                const int32_t *x_index, const int32_t *t_index);
/* Steps first .. first+count-1 of that order. */
DLF_MUST_CHECK dlf_status dlf_perceptrons_present(dlf_perceptrons *p, int first, int count);

/* All steps, again and again, until nobody makes a mistake in a whole pass or `passes` are over.
 *   total  (members*outputs)  mistakes up to the end
 *   last   (members*outputs)  the pass of the last mistake, 1..; 0: none; passes: not yet done
 * run may be NULL: no progress. */
DLF_MUST_CHECK dlf_status dlf_perceptrons_converge(dlf_perceptrons *p, int passes, double *total,
                                                   int *last, dlf_run *run, double from, double to,
                                                   const char *what);
#endif
