/* SPDX-License-Identifier: MIT
 * bn_gradient_explosion.h -- the parts of the experiment `bn-gradient-explosion` (Q25). */
#ifndef DLF_BN_GRADIENT_EXPLOSION_H
#define DLF_BN_GRADIENT_EXPLOSION_H
#include "dlf/experiment.h"

/* Each uses the share from..to of the progress bar and adds its tables, checks and figures. */
DLF_MUST_CHECK dlf_status dlf_bn_rates(dlf_run *run, double from, double to);
DLF_MUST_CHECK dlf_status dlf_bn_shattering(dlf_run *run, double from, double to);

#endif
