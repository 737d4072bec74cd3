/* SPDX-License-Identifier: MIT
 * observed_nets.h -- populations of fully connected classifiers on the computational graph: how the
 * training error falls, and what the graph's observers see in every layer. */
#ifndef DLF_OBSERVED_NETS_H
#define DLF_OBSERVED_NETS_H
#include "dlf/data.h"
#include "dlf/experiment.h"
#include "dlf/graph.h"

enum { DLF_OBSERVED_DEPTH = 32 };

/* Nets of one job share the architecture; each is trained with every seed, all together. */
typedef struct dlf_observed_net {
    double sigma_w2; /* hidden layers; the output layer starts with variance 1 / fan_in */
    double lr;
} dlf_observed_net;

typedef struct dlf_observed_job {
    const char *what; /* shown as progress */
    dlf_activation_kind kind;
    int depth, width, batch, steps; /* plain SGD */
    const dlf_observed_net *net;
    int nets, seeds;
    const int *look; /* training error is evaluated after so many steps; ascending, last: steps */
    int looks;
    int rows;     /* training rows that are evaluated and observed; 0: all */
    bool observe; /* fill the layers of the outcomes                       */
} dlf_observed_job;

/* One layer over all rows looked at. */
typedef struct dlf_observed_layer {
    double rms, gradient_rms; /* of the output, of dLoss/d(output); loss: the mean over the rows  */
    double zeros;             /* share of outputs that are exactly 0                              */
    double dead, saturated, nonfinite; /* as in dlf_observation                                   */
} dlf_observed_layer;

typedef struct dlf_observed_outcome {
    double train_error, test_error;
    int diverged; /* step at which the loss stopped being a number; -1: never */
    /* Layers 1..depth hidden, depth+1 the logits. A member that diverged is frozen with the
     * parameters whose loss was not a number. */
    dlf_observed_layer before[DLF_OBSERVED_DEPTH + 2], after[DLF_OBSERVED_DEPTH + 2];
} dlf_observed_outcome;

/* Train; out[net * seeds + seed]; error[(look * nets + net) * seeds + seed], or NULL.
 * Uses the share from..to of the progress bar. */
DLF_MUST_CHECK dlf_status dlf_observed_run(dlf_run *run, const dlf_dataset *data,
                                           const dlf_observed_job *job, dlf_observed_outcome *out,
                                           double *error, double from, double to);

/* The network that jobs train, for dlf_experiment.network: two members. */
DLF_MUST_CHECK dlf_status dlf_observed_network(dlf_graph **out, dlf_device *device,
                                               dlf_activation_kind kind, int depth, int width);

/* 2, 3, .. 8, then each 25 % later, and `steps`; at most `room`. Returns how many. */
int dlf_observed_looks(int *look, int room, int steps);

/* First step at which the error of `member` is at most `level`, by interpolation in log(step);
 * look[looks-1] if it never is, and then *reached is false (reached may be NULL). */
double dlf_steps_to(const dlf_observed_job *job, const double *error, int member, double level,
                    bool *reached);

#endif
