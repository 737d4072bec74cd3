/* SPDX-License-Identifier: MIT
 * train_internal.h -- the state of a training, shared by train.c and checkpoint.c. */
#ifndef DLF_TRAIN_INTERNAL_H
#define DLF_TRAIN_INTERNAL_H
#include "dlf/train.h"

/* A pair of running statistics of one batch norm node, remembered. */
typedef struct train_running {
    dlf_tensor mean, var;
} train_running;

struct dlf_train {
    dlf_graph *g;
    const dlf_dataset *data;
    dlf_train_spec spec;  /* its arrays point to the copies below */
    int32_t *draw, *base; /* base: all 0 if the user gave none */
    int32_t last_base;    /* the largest */
    double *lr, *max_norm;
    bool *stopped; /* by dlf_train_stop */
    int members, batch, rows;

    dlf_node x, label, target, logits, hits; /* hits: a cross_entropy node; invalid where absent */
    int64_t owners; /* axis 0 of the batch: members, or 1 where all share one */

    int epoch, step, epoch_steps; /* step: position in the epoch */
    int64_t steps_done;
    bool tables_stale; /* learning rates of this epoch must be uploaded again */
    int32_t *order; /* (epoch_steps, owners, B), host                                             */

    dlf_tensor all_x, all_label, all_target; /* the data set, on the device */
    dlf_tensor orders, rates, clocks; /* of the epoch: (S,owners,B), (S,P), (S)                */
    dlf_tensor index, rate;           /* of this step: (owners,B), (P)                         */
    dlf_tensor lr_now;                /* (P): rate, or 0 for members that diverged             */
    dlf_tensor first_bad;             /* (P) int32                                             */
    dlf_tensor moments;               /* (losses,P,DLF_MOMENTS) float64                        */
    dlf_tensor clip, norm, g_scale;   /* (P)                                                   */
    dlf_tensor velocity, square;      /* (P,n): momentum or first moment; second moment        */
    dlf_tensor eval_loss, eval_hit;   /* (P,B), where no cross_entropy node gives hits         */
    dlf_tensor kept;                  /* (P,n)                                                 */
    train_running *kept_running;      /* by node id                                            */
    int losses;
    dlf_node *loss; /* the minimised nodes */
    double *scale;

    dlf_recording *recording; /* of one step, on devices that record */
};

/* Rows t->index of `all` into the input `node`; nothing if the graph has no such input. */
dlf_status train_gather(dlf_train *t, dlf_node node, const dlf_tensor *all);

/* Go on at step `step` of epoch `epoch` (0: nothing was done), after steps_done steps in all. */
dlf_status train_resume(dlf_train *t, int epoch, int step, int64_t steps_done);

/* Minimised nodes of the graph, in order: out and scale may be NULL to count. */
int train_losses(const dlf_graph *g, dlf_node *out, double *scale);
#endif
