/* SPDX-License-Identifier: MIT
 * train.h -- train a population on a data set that lives on the device.
 *
 * One step: gather a minibatch per member, forward, guard, backward, clip, optimiser. Everything
 * that changes from step to step lies in tensors, so that the whole step is recorded once and
 * replayed (on cuda: one CUDA graph launch per step); on cpu it is a loop over ops that allocates
 * nothing.
 *
 * A member whose loss becomes NaN or Inf has diverged: it is frozen with the parameters that did
 * it, reported (dlf_train_diverged), and the others go on. */
#ifndef DLF_TRAIN_H
#define DLF_TRAIN_H
#include "dlf/data.h"
#include "dlf/graph.h"
#ifdef __cplusplus
extern "C" {
#endif

typedef enum dlf_optimiser_kind { DLF_SGD, DLF_ADAM, DLF_ADAMW } dlf_optimiser_kind;

typedef struct dlf_optimiser {
    dlf_optimiser_kind kind;
    double momentum; /* sgd; 0: plain                                                        */
    double beta1, beta2, eps; /* adam, adamw */
    double weight_decay; /* L2 in the gradient; adamw: decoupled                                 */
} dlf_optimiser;
dlf_optimiser dlf_sgd(double momentum, double weight_decay);
dlf_optimiser dlf_adam(double weight_decay); /* 0.9, 0.999, 1e-8 */
dlf_optimiser dlf_adamw(double weight_decay);

/* Learning rate of step t = 0,1,..: lr_p f(t), f as below. */
typedef enum dlf_schedule_kind {
    DLF_SCHEDULE_CONSTANT, /* 1 */
    DLF_SCHEDULE_COSINE, /* (1 + cos(pi t / steps)) / 2 until steps, then `final`, never below it */
    DLF_SCHEDULE_STEP, /* final^floor(t / steps)                                                  */
    DLF_SCHEDULE_LINEAR /* from 1 to `final` at steps, then `final` */
} dlf_schedule_kind;
typedef struct dlf_schedule {
    dlf_schedule_kind kind;
    int warmup; /* f is multiplied by min(1, (t+1) / warmup); 0: none */
    int steps;
    double final;
} dlf_schedule;
double dlf_schedule_factor(dlf_schedule s, int64_t t);

typedef struct dlf_train_spec {
    uint64_t seed;
    const int32_t
        *draw; /* (P) minibatch order; equal draws see equal batches; NULL: 0..P-1. Copied   */
    const double *lr; /* (P) > 0. Copied */
    const double
        *max_norm; /* (P) gradient clipping by global norm, Infinity: none; NULL: no clipping */
    dlf_optimiser optimiser;
    dlf_schedule schedule;
    bool keep_diverged; /* do not freeze what diverged: its NaN spreads, as in a framework */
    int rows; /* train on the first `rows` training rows; 0: all. For learning curves and validation
               */
    /* (P) member p sees the data set from row base[p] on, for training and evaluation: its own noise
     * or split, where the data set is a row of copies. NULL: 0 for all. Copied */
    const int32_t *base;
} dlf_train_spec;

typedef struct dlf_train dlf_train;

/* The graph has the inputs named "x" (P,B,...) and, as the data set has them, "label" (P,B) int32
 * and/or "target" (P,B,T); "logits" (P,B,C), if there is one, gives the accuracy. The features of a
 * row fill x's axes after B in order. `g` and `data` must outlive the training. Parameters are not
 * drawn (dlf_graph_initialise). errors  DLF_ERR_SHAPE  data and graph do not fit; the message says
 * both sides */
DLF_MUST_CHECK dlf_status dlf_train_new(dlf_train **out, dlf_graph *g, const dlf_dataset *data,
                                        const dlf_train_spec *spec);
void dlf_train_free(dlf_train *t);

/* An epoch is floor(rows / B) steps over a fresh permutation per draw. */
int dlf_train_epoch_steps(const dlf_train *t);
int64_t dlf_train_steps_done(const dlf_train *t);
DLF_MUST_CHECK dlf_status dlf_train_step(dlf_train *t);
DLF_MUST_CHECK dlf_status dlf_train_run(dlf_train *t, int steps);
/* Forward and backward of the next minibatch without the update: gradients are left to look at. */
DLF_MUST_CHECK dlf_status dlf_train_probe(dlf_train *t);

/* Mean minibatch loss of the last step, per member. Waits for the device. */
DLF_MUST_CHECK dlf_status dlf_train_loss(dlf_train *t, double *loss);
/* Mean loss and share of correct rows first .. first+count-1 of the data set in evaluation mode,
 * per member (counted from its base); either output may be NULL. A member with NaN outputs has loss NaN, accuracy counts
 * its rows as wrong. accuracy needs "logits" and labels. */
DLF_MUST_CHECK dlf_status dlf_train_evaluate(dlf_train *t, int first, int count, double *loss,
                                             double *accuracy);

/* step[p]: the step at which member p diverged, or -1. */
DLF_MUST_CHECK dlf_status dlf_train_diverged(dlf_train *t, int32_t *step);
/* Stop training member p (early stopping); it keeps its parameters. */
DLF_MUST_CHECK dlf_status dlf_train_stop(dlf_train *t, int member);
/* Remember member p's parameters (and running statistics); give the remembered ones back. */
DLF_MUST_CHECK dlf_status dlf_train_keep(dlf_train *t, int member);
DLF_MUST_CHECK dlf_status dlf_train_restore_kept(dlf_train *t, int member);

/* Take one step and report, per parameter tensor k (in graph order) and member, rms of the update
 * over rms of the parameter before it: out (n_parameters, P). Downloads all parameters twice. */
DLF_MUST_CHECK dlf_status dlf_train_update_ratio(dlf_train *t, double *out);

/* The population as one safetensors file: parameters by name, running statistics, optimiser state,
 * frozen members, and step and spec as metadata. Continuing from it gives the same bits as not
 * having stopped.
 *   errors  DLF_ERR_OUTPUT; DLF_ERR_INPUT (damaged file, or one of another network: says which
 * tensor) */
DLF_MUST_CHECK dlf_status dlf_train_save(dlf_train *t, const char *path);
DLF_MUST_CHECK dlf_status dlf_train_load(dlf_train *t, const char *path);

#ifdef __cplusplus
}
#endif
#endif
