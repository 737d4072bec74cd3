/* SPDX-License-Identifier: MIT
 * compute_graph.h -- the parts of Q13: what a computational graph is, and what it costs. */
#ifndef DLF_COMPUTE_GRAPH_H
#define DLF_COMPUTE_GRAPH_H
#include "classifier.h"
#include "dlf/experiment.h"
#include "seed_check.h"

/* Operations and time of backward against forward, by depth. Uses from..to of the progress bar. */
DLF_MUST_CHECK dlf_status dlf_compute_graph_cost(dlf_run *run, double from, double to);
/* Error of finite differences against reverse mode, by step; in double. */
DLF_MUST_CHECK dlf_status dlf_compute_graph_differences(dlf_run *run, double from, double to);
/* Hidden Markov models: the gradient of the log-likelihood against forward-backward counts. */
DLF_MUST_CHECK dlf_status dlf_compute_graph_hmm(dlf_run *run, double from);

/* Digits images and labels into "x" and "label" of a classifier: rows first.. of the training set.
 */
DLF_MUST_CHECK dlf_status dlf_compute_graph_fill(dlf_graph *g, const classifier_spec *spec);

#endif
