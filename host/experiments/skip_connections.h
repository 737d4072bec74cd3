/* SPDX-License-Identifier: MIT
 * skip_connections.h -- the parts of the experiment `skip-connections` (Q40), and the random stacks
 * of blocks that they measure. */
#ifndef DLF_SKIP_CONNECTIONS_H
#define DLF_SKIP_CONNECTIONS_H
#include "dlf/experiment.h"

/* Each uses the share from..to of the progress bar and adds its tables, checks and figures. */
DLF_MUST_CHECK dlf_status dlf_skip_energy(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_skip_batch_norm(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_skip_shattering(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_skip_heat_maps(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_skip_digits(dlf_run *run, double from, double to);

/* A trainable stack of `depth` blocks x + W relu(x) + b (skip false: W relu(x) + b) between a
 * linear stem and the logits; W ~ N(0, gain2/width). Compiled, not drawn. */
typedef struct dlf_skip_classifier {
    int members, batch, inputs, width, depth, classes;
    bool skip;
    double gain2;
} dlf_skip_classifier;
DLF_MUST_CHECK dlf_status dlf_skip_classifier_new(dlf_graph **out, dlf_device *device,
                                                  const dlf_skip_classifier *spec);

/* ---- random stacks ----------------------------------------------------------------------------
 *
 *   SUM         x <- s x + a W relu(x)             s, a per member: plain s = 0, residual s = 1,
 *                                                  highway with a constant gate t: s = 1-t, a = t
 *   NORM_SUM    x <- s x + a W phi(norm(x))        s = 0: a plain network with norms; phi and norm
 *                                                  are relu and batch norm unless given
 *   CONCAT      x <- [x, W relu(x)]                DenseNet: every block adds `width` columns
 *   GATE        x <- (1-T) x + T W relu(x)         T = sigmoid(V x + b), b per member, V of gain 1
 *
 * W ~ N(0, 2/fan_in). The input is x_0 = mix u with u ~ N(0,1), the gradient at the top is
 * gradient_mix r with r ~ N(0,1): a row of ones makes all rows share one, the identity none. */
typedef enum dlf_skip_kind {
    DLF_SKIP_SUM,
    DLF_SKIP_NORM_SUM,
    DLF_SKIP_CONCAT,
    DLF_SKIP_GATE
} dlf_skip_kind;

typedef struct dlf_skip_stack {
    dlf_skip_kind kind;
    int width, depth, batch;
    int arms;             /* stacks side by side that share their draws               */
    const double *skip;   /* (arms) s; GATE: b                                        */
    const double *branch; /* (arms) a                                                 */
    const double *mix;    /* (batch, mix_columns)                                     */
    int mix_columns;
    const double *gradient_mix; /* (batch, gradient_columns)                           */
    int gradient_columns;
    int every; /* look at x_0, x_every, x_2every, .. (depth is a multiple); 0: x_0 only */
    bool gram; /* fill `gram`                                                          */
    /* NORM_SUM; NULL: relu, and batch norm with eps 0 */
    const dlf_activation *activation;
    const dlf_norm *norm;
} dlf_skip_stack;

/* What was seen at looks k = 0.. (x_{k every}), of arm a and network n. */
typedef struct dlf_skip_view {
    int nets, arms, looks, batch;
    double *energy;   /* (nets, arms, looks): mean square gradient over that of the top       */
    double *variance; /* (nets, arms, looks): mean over units of the variance over the batch  */
    double *gram;     /* (nets, arms, looks, batch, batch): g_i g_j / width, top energy 1     */
} dlf_skip_view;

static inline size_t dlf_skip_at(const dlf_skip_view *v, int net, int arm, int look)
{
    return ((size_t)net * (size_t)v->arms + (size_t)arm) * (size_t)v->looks + (size_t)look;
}

/* Draw `nets` networks (as many at a time as fit 256 MiB) and look. Weights are redrawn, never
 * differentiated. *out is zeroed on failure.  Progress: from..to, `what`. */
DLF_MUST_CHECK dlf_status dlf_skip_look(dlf_skip_view *out, dlf_run *run,
                                        const dlf_skip_stack *stack, int nets, uint64_t seed,
                                        double from, double to, const char *what);
void dlf_skip_view_free(dlf_skip_view *v);

/* Mean over the networks of every seed, then over seeds: out[s] of `seeds` values. */
void dlf_skip_by_seed(double *out, const double *values, int nets, int stride, int seeds);

/* Of every seed: mean over pairs of rows of sign_i sign_j g_i g_j over the mean of |g_i|^2 at look
 * `look`: the correlation of the gradients of two rows, where the seed's rows are a common vector
 * times sign_i. */
void dlf_skip_correlations(double *out, const dlf_skip_view *v, int arm, int look,
                           const double *sign, int seeds);

/* (n,n) identity, malloc'ed; NULL when out of memory. */
double *dlf_skip_identity(int n);

/* ---- closed forms (derived at the top of skip_connections_energy.c) ----------------------------
 */

/* v_l: variance over the batch of the input of block l, residual stack with BN in the branch. */
double dlf_skip_variance(int l);
/* Its gradient energy at x_from over that at x_to. */
double dlf_skip_norm_energy(int from, int to);
/* The energy of highways with the gate sigmoid(V x + bias). */
double dlf_skip_gate_energy(double bias, int depth);
/* Correlation of the gradients of two inputs of correlation c after `depth` blocks of
 * x <- s x + a W relu(x): prod (s^2 + a^2 kappa_0(c_l)) / (s^2 + a^2). */
double dlf_skip_shattering_law(double skip, double branch, double c, int depth);
/* The same for independent inputs and BN in the branch: prod (1 + 1/(2 v_l)) / (1 + 1/v_l). */
double dlf_skip_norm_shattering(int depth);

#endif
