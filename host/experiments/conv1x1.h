/* SPDX-License-Identifier: MIT
 * conv1x1.h -- the parts of the experiment `conv1x1` (Q15). */
#ifndef DLF_EXPERIMENT_CONV1X1_H
#define DLF_EXPERIMENT_CONV1X1_H
#include "dlf/experiment.h"

/* Each uses the share from..to of the progress bar and adds its tables, checks and figures. */
DLF_MUST_CHECK dlf_status dlf_conv1x1_identities(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_conv1x1_permutations(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_conv1x1_counts(dlf_run *run);
DLF_MUST_CHECK dlf_status dlf_conv1x1_speed(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_conv1x1_digits(dlf_run *run, double from, double to);

/* Mean number of a k x k kernel's taps (k odd, zero padding (k-1)/2) inside a side x side image:
 * (k - p(p+1)/side)^2, p = (k-1)/2 <= side. */
double dlf_conv1x1_taps(int kernel, int side);
/* Relative rms difference between convolving permuted pixels and permuting convolved ones, random
 * weights and independent pixels: the centre tap agrees, the others are strangers:
 * sqrt(2 (1 - 1/taps)). */
double dlf_conv1x1_permutation_law(int kernel, int side);
/* Multiply-adds of a k x k convolution C -> C over those of its bottleneck 1x1 C -> r, k x k r ->
 * r, 1x1 r -> C: k^2 C^2 / (2 C r + k^2 r^2). */
double dlf_conv1x1_mac_ratio(int kernel, int channels, int reduce);
#endif
