/* SPDX-License-Identifier: MIT
 * transfer.h -- the parts of the experiment `transfer` (Q21, Q24), and its closed forms. */
#ifndef DLF_TRANSFER_H
#define DLF_TRANSFER_H
#include "dlf/experiment.h"

/* Each uses the share from..to of the progress bar and adds its tables, checks and figures. */
DLF_MUST_CHECK dlf_status dlf_transfer_law(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_transfer_time(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_transfer_digits(dlf_run *run, double from, double to);

/* Time that gradient flow on (s - w1 w2)^2 / 2 takes from w1 w2 = u0 to u, w1 = w2
 * (Saxe, McClelland & Ganguli 2014):  du/dt = 2 u (s - u),  t = ln[u (s - u0) / (u0 (s - u))] / 2s
 */
double dlf_saxe_time(double s, double u0, double u);
#endif
