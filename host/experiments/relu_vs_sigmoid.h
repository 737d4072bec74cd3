/* SPDX-License-Identifier: MIT
 * relu_vs_sigmoid.h -- the parts of the experiment `relu-vs-sigmoid` (Q36). Each uses the share
 * from..to of the progress bar and adds its tables, checks and figures. */
#ifndef DLF_RELU_VS_SIGMOID_H
#define DLF_RELU_VS_SIGMOID_H
#include "dlf/data.h"
#include "dlf/experiment.h"

/* A network to be trained. */
typedef struct dlf_relu_arm {
    const char *id;
    dlf_text label;
    dlf_activation_kind kind;
    double sigma_w2; /* < 0: the edge of chaos */
    dlf_role role;
} dlf_relu_arm;
double dlf_relu_sigma_w2(const dlf_relu_arm *arm);

/* Measurements by learning rate: one line per arm, from column y of the table that is named like
 * the figure (arm, lr, lo, hi), and a guide from column `guide`. */
DLF_MUST_CHECK dlf_status dlf_relu_rate_figure(dlf_run *run, dlf_figure figure,
                                               const dlf_relu_arm *arms, int n, const char *y,
                                               const char *guide, dlf_text guide_label);

DLF_MUST_CHECK dlf_status dlf_relu_spectra(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_relu_sparsity(dlf_run *run);
DLF_MUST_CHECK dlf_status dlf_relu_born_dead(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_relu_speed(dlf_run *run, const dlf_dataset *digits, double from,
                                         double to);
DLF_MUST_CHECK dlf_status dlf_relu_deep(dlf_run *run, const dlf_dataset *digits, double from,
                                        double to);
DLF_MUST_CHECK dlf_status dlf_relu_findings(dlf_run *run, const dlf_dataset *digits, double from,
                                            double to);
#endif
