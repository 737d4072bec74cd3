/* SPDX-License-Identifier: MIT
 * bn_dependent_batches.c -- Q25: batch norm assumes that a batch looks like the data. What happens
 * when it does not, and what a batch tells about its members.
 *
 * Claim   Batches of one class each train a network that fails in evaluation; a label that only a
 *         neighbour knows leaks through the statistics; running statistics forget at (1-m)^t and
 * keep the noise m/(2-m). Control The same rows, mixed; layer norm, group norm and no norm, which
 * see one row at a time. */
#include "bn_dependent_batches.h"

static const dlf_param params[] = {
    DLF_INT_PARAM("class_steps", 100, 300, 1, 100000, "steps", "手写数字网络的训练步数",
                  "training steps of the digits networks"),
    DLF_INT_PARAM("digits_width", 64, 64, 4, 1024, "units", "手写数字网络的宽度",
                  "width of the digits networks"),
    DLF_INT_PARAM("game_steps", 200, 400, 1, 100000, "steps", "泄漏游戏的训练步数",
                  "training steps of the leakage game"),
    DLF_INT_PARAM("values", 1 << 18, 1 << 20, 128, 1 << 26, "values",
                  "泄漏份额：每个批大小、每个种子的随机数个数",
                  "share of the leak: random values per batch size and seed"),
    DLF_INT_PARAM("channels", 1000, 4000, 2, 1 << 20, "channels", "滑动统计量的通道数",
                  "channels of the running statistics"),
    {.name = NULL},
};

static dlf_status network(dlf_graph **out, dlf_device *device)
{
    return dlf_lab_network(out, device, 0, 2, 5, 6, 8, 3);
}

static dlf_status run_bn_dependent_batches(dlf_run *run)
{
    DLF_TRY(dlf_bn_classes(run, 0.0, 0.6));
    DLF_TRY(dlf_bn_leakage(run, 0.6, 0.7));
    DLF_TRY(dlf_bn_game(run, 0.7, 0.9));
    return dlf_bn_running(run, 0.9, 1.0);
}

const dlf_experiment dlf_experiment_bn_dependent_batches = {
    .slug = "bn-dependent-batches",
    .questions = "Q25",
    .title = {"在深度神经网络中使用Batch-Norm会有什么问题吗？不独立的批与信息泄漏",
              "What problems can Batch Norm cause? Dependent batches and leakage"},
    .claim = {"批的构成不像数据时，批归一化训练出的网络在推理时失效；同批样本之间会泄漏信息",
              "when a batch does not look like the data, batch norm trains networks that fail in "
              "evaluation, and samples of a batch leak into each other"},
    .network = network,
    .quick_seeds = 5,
    .full_seeds = 12,
    .params = params,
    .run = run_bn_dependent_batches,
};
