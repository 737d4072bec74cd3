/* SPDX-License-Identifier: MIT
 * skip_connections.c -- Q40: which skip connections are there, and what does each do?
 *
 * Claim   The gradient energy that reaches the bottom is set by how the skip is made: 2^L for x+F,
 *         (1+1/L)^L -> e if the branch is scaled by 1/sqrt(L), a power of L with batch norm in the
 *         branch, L+1 for concatenation, ((1-t)^2+t^2)^L for gates.
 * Control plain networks (energy 1), a branch of zero (exactly 1), shallow stacks on the digits. */
#include "skip_connections.h"

static const dlf_param params[] = {
    DLF_INT_PARAM("width", 256, 256, 4, 4096, "units", "随机网络的宽度",
                  "width of the random networks"),
    DLF_INT_PARAM("depth", 40, 40, 4, 120, "blocks", "能量曲线的最大块数",
                  "most blocks of the energy curves"),
    DLF_INT_PARAM("channels", 64, 64, 2, 1024, "units", "稠密连接每块新增的通道",
                  "columns that a dense block adds"),
    DLF_INT_PARAM("batch", 16, 16, 2, 512, "rows", "每个网络的输入数", "inputs per network"),
    DLF_INT_PARAM("nets", 2, 8, 1, 1000, "networks", "每个种子的随机网络数",
                  "random networks per seed"),
    DLF_INT_PARAM("norm_depth", 100, 200, 2, 400, "blocks", "批归一化曲线的块数",
                  "blocks of the batch-norm profile"),
    DLF_INT_PARAM("norm_batch", 256, 256, 4, 1024, "rows", "批归一化网络的批大小",
                  "batch of the networks with batch norm"),
    DLF_INT_PARAM("shatter_depth", 20, 20, 1, 20, "blocks", "梯度相关曲线的最大块数",
                  "most blocks of the correlation curves"),
    DLF_INT_PARAM("digits_depth", 32, 32, 2, 120, "blocks", "手写数字网络的块数",
                  "blocks of the digits networks"),
    DLF_INT_PARAM("digits_width", 64, 64, 4, 1024, "units", "手写数字网络的宽度",
                  "width of the digits networks"),
    DLF_INT_PARAM("steps", 200, 800, 1, 100000, "steps", "手写数字网络的训练步数",
                  "training steps of the digits networks"),
    {.name = NULL},
};

static dlf_status network(dlf_graph **out, dlf_device *device)
{
    const dlf_skip_classifier spec = {2, 3, 8, 6, 3, 4, true, 2.0 / 3.0};
    return dlf_skip_classifier_new(out, device, &spec);
}

static dlf_status run_skip_connections(dlf_run *run)
{
    DLF_TRY(dlf_skip_energy(run, 0.0, 0.35));
    DLF_TRY(dlf_skip_batch_norm(run, 0.35, 0.5));
    DLF_TRY(dlf_skip_shattering(run, 0.5, 0.65));
    DLF_TRY(dlf_skip_heat_maps(run, 0.65, 0.7));
    return dlf_skip_digits(run, 0.7, 1.0);
}

const dlf_experiment dlf_experiment_skip_connections = {
    .slug = "skip-connections",
    .questions = "Q40",
    .title = {"你了解多少种跳转链接（skip-connection）方法？",
              "Which skip connections do you know?"},
    .claim =
        {"跳转的方式（相加、缩放、门、拼接、分支内归一化）决定梯度能量与深度的关系",
         "how the skip is made (sum, scaled sum, gate, concatenation, norm in the branch) sets "
         "how the gradient energy depends on depth"},
    .network = network,
    .quick_seeds = 8,
    .full_seeds = 16,
    .params = params,
    .run = run_skip_connections,
};
