/* SPDX-License-Identifier: MIT
 * norm_batch_size.c -- Q25, Q33: test error against batch size for batch, layer, group and instance
 * norm, beside the curve of Wu & He 2018 on ImageNet.
 *
 * Claim   Batch norm gets worse below a batch of about 8, the others do not care.
 * Control The same networks with norms of one sample, and without norm. */
#include "norm_batch_size.h"

static const dlf_param params[] = {
    DLF_INT_PARAM("digits_width", 64, 64, 4, 1024, "units", "全连接网络的宽度",
                  "width of the fully connected networks"),
    DLF_INT_PARAM("epochs", 4, 15, 1, 1000, "epochs", "全连接网络的训练轮数",
                  "epochs of the fully connected networks"),
    DLF_INT_PARAM("conv_epochs", 3, 10, 1, 1000, "epochs", "卷积网络的训练轮数",
                  "epochs of the convolutional networks"),
    DLF_INT_PARAM("most_steps", 1000000, 1000000, 1, 1000000, "steps", "每个网络最多的训练步数",
                  "most training steps of a network"),
    DLF_INT_PARAM("test_rows", 500, 1000, 1, 10000, "rows", "最多的测试样本数", "most test rows"),
    DLF_INT_PARAM("train_rows", 1297, 1297, 128, 60000, "rows", "训练样本数", "training rows"),
    {"conv_data",
     DLF_PARAM_CHOICE,
     0,
     0,
     0,
     0,
     "digits,fashion-mnist",
     NULL,
     {"卷积网络的数据；没有安装 fashion-mnist 时用 digits",
      "data of the convolutional networks; digits where fashion-mnist is not installed"}},
    {.name = NULL},
};

static dlf_status network(dlf_graph **out, dlf_device *device)
{
    const dlf_dataset shape = {
        .features = 36, .channels = 1, .height = 6, .width = 6, .classes = 3};
    const dlf_nbs_job job = {.kind = DLF_NBS_BN, .batch = 3, .conv = true};
    return dlf_nbs_network(out, device, &job, 2, 8, &shape);
}

static dlf_status run_norm_batch_size(dlf_run *run)
{
    DLF_TRY(dlf_nbs_dense(run, 0.0, 0.45));
    DLF_TRY(dlf_nbs_groups(run, 0.45, 0.5));
    return dlf_nbs_conv(run, 0.5, 1.0);
}

const dlf_experiment dlf_experiment_norm_batch_size = {
    .slug = "norm-batch-size",
    .questions = "Q25,Q33",
    .title = {"在深度神经网络中使用Batch-Norm会有什么问题吗？批大小",
              "What problems can Batch Norm cause? The batch size"},
    .claim =
        {"批小于 8 时批归一化的错误率上升，层、组、实例归一化不受批大小影响",
         "below a batch of about 8 batch norm errs more; layer, group and instance norm do not "
         "care"},
    .network = network,
    .quick_seeds = 5,
    .full_seeds = 8,
    .params = params,
    .run = run_norm_batch_size,
};
