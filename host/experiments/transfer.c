/* SPDX-License-Identifier: MIT
 * transfer.c -- Q21, Q24: what is transfer learning, and what does pre-training bring?
 *
 * Claim   Starting from weights of another task helps exactly where they are nearer to the target
 * than nothing is (a cosine above 1/2); it saves the logarithm of the distance in time, and labels;
 *         with enough labels and steps the advantage goes.
 * Control a source of random labels; a source at cosine 1/2. */
#include "transfer.h"

#include "classifier.h"
#include "transfer_nets.h"

static const dlf_param params[] = {
    DLF_INT_PARAM("features", 100, 100, 10, 1000, "weights", "线性任务的权重数",
                  "weights of the linear tasks"),
    DLF_INT_PARAM("copies", 40, 200, 1, 100000, "fits", "每个种子的回归次数",
                  "regressions per seed"),
    DLF_REAL_PARAM("saxe_rate", 0.002, 0.0005, 1e-5, 0.05, "1", "两层线性单元的学习率",
                   "learning rate of the two-layer linear units"),
    DLF_INT_PARAM("width", 64, 128, 1, 4096, "units", "手写数字网络的隐藏层宽度",
                  "hidden width of the digits networks"),
    DLF_INT_PARAM("source_steps", 400, 1000, 1, 1000000, "steps", "预训练步数",
                  "steps of pre-training"),
    DLF_INT_PARAM("steps", 200, 600, 10, 1000000, "steps", "在目标任务上的训练步数",
                  "steps on the target task"),
    {.name = NULL},
};

static dlf_status run_transfer(dlf_run *run)
{
    DLF_TRY(dlf_transfer_law(run, 0.0, 0.3));
    DLF_TRY(dlf_transfer_time(run, 0.3, 0.4));
    return dlf_transfer_digits(run, 0.4, 1.0);
}

static dlf_status network(dlf_graph **out, dlf_device *device)
{
    const classifier_spec net = dlf_transfer_net(2, 4, 64, 8, 10);
    return classifier_new(out, device, &net);
}

const dlf_experiment dlf_experiment_transfer = {
    .slug = "transfer",
    .questions = "Q21,Q24",
    .title = {"什么是迁移学习？预训练有什么好处？",
              "What is transfer learning, and what does pre-training bring?"},
    .claim =
        {"源权重离目标比零点更近（余弦大于 1/2）时迁移有益；它省时间、省标签，标签足够多时优势消失",
         "transfer helps where the source's weights are nearer to the target than zero is (cosine "
         "above 1/2); it saves time and labels, and with labels enough the advantage goes"},
    .quick_seeds = 8,
    .full_seeds = 16,
    .params = params,
    .network = network,
    .run = run_transfer,
};
