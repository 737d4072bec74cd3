/* SPDX-License-Identifier: MIT
 * norm_landscape.c -- Q33: what a norm does for training. How large may the learning rate be, at
 * which depth, with and without each norm; and what does the loss look like along the gradient
 * (Santurkar et al. 2018, figure 4)?
 *
 * Control the same network without a norm, same draws, same batches. */
#include "norm_landscape.h"

static const dlf_param params[] = {
    DLF_INT_PARAM("digits_width", 32, 64, 8, 1024, "units", "每层宽度", "units per layer"),
    DLF_INT_PARAM("digits_depth", 10, 12, 2, 100, "layers", "最多的隐藏层数", "most hidden layers"),
    DLF_INT_PARAM("rate_steps", 120, 300, 4, 100000, "steps", "每个学习率训练的步数",
                  "training steps at every learning rate"),
    {.name = NULL},
};

dlf_status landscape_network(dlf_graph **out, dlf_device *device, int method, int members,
                             int batch, int inputs, int width, int depth, int classes)
{
    const dlf_norm norm = {.kind = (dlf_norm_kind)(method < DLF_NORM_COUNT ? method : 0),
                           .groups = 4,
                           .eps = 1e-5,
                           .momentum = 0.1};
    const dlf_init last = dlf_lecun();
    const classifier_spec spec = {.members = members,
                                  .batch = batch,
                                  .inputs = inputs,
                                  .width = width,
                                  .depth = depth,
                                  .classes = classes,
                                  .f = dlf_activation_of(DLF_RELU),
                                  .init = dlf_he(),
                                  .last = &last,
                                  .norm = method < DLF_NORM_COUNT ? &norm : NULL};
    return classifier_new(out, device, &spec);
}

static dlf_status network(dlf_graph **out, dlf_device *device)
{
    return landscape_network(out, device, DLF_BATCH_NORM, 2, 6, 5, 8, 2, 3);
}

static dlf_status run_norm_landscape(dlf_run *run)
{
    dlf_dataset data = {0};
    dlf_status status;
    DLF_TRY_DONE(dlf_digits_load(&data));
    DLF_TRY_DONE(landscape_rates(run, &data, 0.0, 0.8));
    DLF_TRY_DONE(landscape_slices(run, &data, 0.8, 1.0));
done:
    dlf_dataset_free(&data);
    return status;
}

const dlf_experiment dlf_experiment_norm_landscape = {
    .slug = "norm-landscape",
    .questions = "Q33",
    .title = {"Batch Normalization、Instance Normalization、Layer Normalization、Group "
              "Normalization之间有什么区别？",
              "What is the difference between Batch, Instance, Layer and Group Normalization?"},
    .claim =
        {"BN 允许大得多的学习率，网络越深越明显，只做缩放的归一化则不然；归一化使走一步之后的梯度"
         "更可信",
         "batch norm allows much larger learning rates, the more so the deeper the network, and "
         "norms that only rescale do not; with a norm the gradient can be trusted further"},
    .network = network,
    .quick_seeds = 4,
    .full_seeds = 6,
    .params = params,
    .run = run_norm_landscape,
};
