/* SPDX-License-Identifier: MIT
 * bn_dependent_batches.h -- the parts of the experiment `bn-dependent-batches` (Q25), and the small
 * classifier that they feed batch by batch. */
#ifndef DLF_BN_DEPENDENT_BATCHES_H
#define DLF_BN_DEPENDENT_BATCHES_H
#include "dlf/experiment.h"
#include "dlf/graph.h"

/* Each uses the share from..to of the progress bar and adds its tables, checks and figures. */
DLF_MUST_CHECK dlf_status dlf_bn_classes(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_bn_leakage(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_bn_game(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_bn_running(dlf_run *run, double from, double to);

/* ---- a classifier whose batches are composed by hand -------------------------------------------
 *
 *   x -> dense (no bias) -> norm -> relu -> logits -> cross-entropy, SGD with momentum 0.9
 *
 * train.h draws its batches at random; here who shares a batch with whom is the question. */
enum { DLF_LAB_NORMS = 4 };
/* batch_norm, layer_norm, group_norm of 8 units, none; for text columns and rows. */
extern const char *const dlf_lab_norms[DLF_LAB_NORMS];
extern const dlf_text dlf_lab_labels[DLF_LAB_NORMS];

typedef struct dlf_lab {
    int members, batch, features, classes;
    dlf_graph *g;
    dlf_node x, label, normed, beta, logits; /* normed: the norm's output, invalid without norm */
    dlf_tensor rate, velocity, sum;          /* learning rates; sum of gradients of a step */
    double *host;                            /* logits on the host */
} dlf_lab;

/* norm: an index into dlf_lab_norms. draw[p]: which weights member p starts from. *lab is zeroed on
 * failure. */
DLF_MUST_CHECK dlf_status dlf_lab_new(dlf_lab *lab, dlf_device *device, int norm, int members,
                                      int batch, int features, int hidden, int classes, double rate,
                                      uint64_t seed, const int32_t *draw);
void dlf_lab_free(dlf_lab *lab);
/* The network alone, for dlf_experiment.network. */
DLF_MUST_CHECK dlf_status dlf_lab_network(dlf_graph **out, dlf_device *device, int norm,
                                          int members, int batch, int features, int hidden,
                                          int classes);

/* x (members,batch,features), label (members,batch). */
DLF_MUST_CHECK dlf_status dlf_lab_forward(dlf_lab *lab, const float *x, const int32_t *label,
                                          dlf_graph_mode mode);
/* forward and backward; the gradient is added to that of the step with the weight `share`. */
DLF_MUST_CHECK dlf_status dlf_lab_learn(dlf_lab *lab, const float *x, const int32_t *label,
                                        double share);
DLF_MUST_CHECK dlf_status dlf_lab_step(dlf_lab *lab);
/* After forward: wrong[p] += how many of the rows from `first` on are not classified as `label`. */
DLF_MUST_CHECK dlf_status dlf_lab_count(dlf_lab *lab, const int32_t *label, int first,
                                        double *wrong);

#endif
