/* SPDX-License-Identifier: MIT
 * ensemble.c -- Q3, Q38: what is ensemble learning, and what is it good for in deep learning?
 *
 * Claim   A mean of K predictors has the error of one, less what they disagree: a straight line in
 * 1/K, known from one population. Dropout, DropConnect and zoneout are ensembles exactly as long as
 *         the network is linear in their masks.
 * Control members that are the same network: nothing gained; voters that are independent. */
#include "ensemble.h"

#include "classifier.h"
#include "ensemble_nets.h"

static const dlf_param params[] = {
    DLF_INT_PARAM("voters", 4000, 20000, 10, 10000000, "draws", "每个种子的投票次数",
                  "votes per seed"),
    DLF_INT_PARAM("models", 16, 32, 2, 256, "networks", "每个集成的网络数",
                  "networks per ensemble"),
    DLF_INT_PARAM("train_rows", 200, 200, 16, 1297, "rows", "每个网络的训练样本数",
                  "training rows of a network"),
    DLF_INT_PARAM("width", 64, 128, 1, 4096, "units", "隐藏层宽度", "hidden width"),
    DLF_INT_PARAM("steps", 200, 400, 1, 1000000, "steps", "训练步数", "training steps"),
    {.name = NULL},
};

static dlf_status run_ensemble(dlf_run *run)
{
    DLF_TRY(dlf_ensemble_laws(run, 0.0, 0.1));
    DLF_TRY(dlf_ensemble_digits(run, 0.1, 0.9));
    return dlf_ensemble_masks(run, 0.9, 1.0);
}

static dlf_status network(dlf_graph **out, dlf_device *device)
{
    const classifier_spec net = dlf_ensemble_net(2, 4, 64, 8);
    return classifier_new(out, device, &net);
}

const dlf_experiment dlf_experiment_ensemble = {
    .slug = "ensemble",
    .questions = "Q3,Q38",
    .title = {"什么是ensemble learning，在深度学习中有何运用？",
              "What is ensemble learning, and how is it used in deep learning?"},
    .claim =
        {"K 个模型取平均，误差等于单个模型的误差减去它们的分歧：对 1/K 是一条直线",
         "the mean of K models errs as one of them, less what they disagree: a straight line in "
         "1/K"},
    .quick_seeds = 5,
    .full_seeds = 10,
    .params = params,
    .network = network,
    .run = run_ensemble,
};
