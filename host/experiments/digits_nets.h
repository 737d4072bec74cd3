/* SPDX-License-Identifier: MIT
 * digits_nets.h -- populations of fully connected networks trained on the shipped digits, with
 * every quantity that textbooks name as a symptom of vanishing or exploding gradients. */
#ifndef DLF_DIGITS_NETS_H
#define DLF_DIGITS_NETS_H
#include "dlf/data.h"
#include "dlf/experiment.h"

enum { DLF_DIGITS_LAYERS = 72 }; /* room for depth <= 70 */

/* Nets of one job share the architecture; each is trained with every seed, all together. */
typedef struct dlf_digits_net {
    double sigma_w2, lr;
    double max_norm; /* Infinity: no clipping */
} dlf_digits_net;

typedef struct dlf_digits_job {
    const char *what; /* shown as progress */
    dlf_activation_kind kind;
    int depth, width, batch, steps;
    double momentum, weight_decay, loss_scale;
    const dlf_digits_net *net;
    int nets;
    int seeds;       /* 0: the run's */
    int curve_every; /* record the minibatch loss every so many steps; 0: never */
} dlf_digits_job;

/* Of one net and one seed. Arrays are indexed by layer, 1..depth hidden, depth+1 output. */
typedef struct dlf_digits_outcome {
    double loss_start, loss_end; /* mean over the training set, before and after    */
    double accuracy;             /* test set, after                                 */
    double train_accuracy;
    double roughness;                     /* mean |loss(t+1)-loss(t)| / loss_start, last half     */
    int first_bad_step;                   /* first step with a NaN or Inf loss; -1: none         */
    double bad_weights;                   /* share of parameters that are NaN or Inf at the end  */
    double zero_weights;                  /* share of weights that are exactly 0 at the end      */
    double growth;                        /* |delta^1|^2 over |delta^depth|^2, per layer, before */
    double depth_ratio;                   /* |delta^1| over |delta^depth|, before                */
    double min_gradient;                  /* smallest and largest |dW^l| over hidden layers,     */
    double max_gradient;                  /*   before training                                   */
    double delta2[DLF_DIGITS_LAYERS];     /* mean delta^2, before                      */
    double norm_ratio[DLF_DIGITS_LAYERS]; /* |W_T| / |W_0|                         */
    double move[DLF_DIGITS_LAYERS];       /* |W_T - W_0| / |W_0|                   */
} dlf_digits_outcome;

/* Train; out[net * seeds + seed]; curve[(record * nets + net) * seeds + seed] or NULL.
 * Uses the share from..to of the progress bar. */
DLF_MUST_CHECK dlf_status dlf_digits_run(dlf_run *run, const dlf_dataset *data,
                                         const dlf_digits_job *job, dlf_digits_outcome *out,
                                         double *curve, double from, double to);

/* The network that jobs train, for dlf_experiment.network: two members, as deep as given. */
DLF_MUST_CHECK dlf_status dlf_digits_network(dlf_graph **out, dlf_device *device,
                                             dlf_activation_kind kind, int depth, int width);

/* Mean and interval over seeds of the double at `offset` bytes into each outcome. */
dlf_estimate dlf_digits_estimate(const dlf_digits_outcome *first, int seeds, size_t offset);

/* Share of seeds for which the rule holds. */
double dlf_digits_share(const dlf_digits_outcome *first, int seeds,
                        bool (*rule)(const dlf_digits_outcome *o));

/* The loss is still above half of chance, ln(10) / 2; or not a number. */
bool dlf_digits_loss_high(const dlf_digits_outcome *o);

#endif
