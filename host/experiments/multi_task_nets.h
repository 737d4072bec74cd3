/* SPDX-License-Identifier: MIT
 * multi_task_nets.h -- the network of `multi-task`. */
#ifndef DLF_MULTI_TASK_NETS_H
#define DLF_MULTI_TASK_NETS_H
#include "dlf/graph.h"

/* "x": pixels and, behind them, a mark per task where a row asks it. pixels - "h1": width (relu) -
 * "heads": one logit per task, times its mark; "loss": cross-entropy against "target"
 * (P,batch,tasks) of 0 and 1, mean over rows, sum over tasks; what is not asked has target 0 and no
 * gradient. Compiled, not drawn; NULL on failure. */
DLF_MUST_CHECK dlf_status dlf_multi_task_net(dlf_graph **out, dlf_device *device, int members,
                                             int batch, int inputs, int width, int tasks);
#endif
