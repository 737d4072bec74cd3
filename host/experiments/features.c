/* SPDX-License-Identifier: MIT
 * features.c -- Q1: what is the essential difference between deep learning and machine learning?
 *
 * Claim   N features that are chosen before the target is known explain the share N / 2^d of all
 * targets' variance, whatever they are: what they are good at is decided by whoever chose them. The
 * same number of learned features adapts to its target. Control labels without structure, which no
 * features help to predict; the right feature made by hand, with which a handful of rows is enough.
 */
#include "features.h"
#include "regressor.h"

static const dlf_param params[] = {
    DLF_INT_PARAM("steps", 800, 2000, 1, 1000000, "steps", "超立方体上网络的训练步数",
                  "training steps of the networks on the cube"),
    DLF_INT_PARAM("digits_steps", 600, 2000, 1, 1000000, "steps", "手写数字网络的训练步数",
                  "training steps of the networks on digits"),
    DLF_INT_PARAM("most_units", 512, 1024, 32, 1024, "features", "手写数字上最多的固定特征数",
                  "most fixed features on digits"),
    {.name = NULL},
};

static dlf_status run_features(dlf_run *run)
{
    DLF_TRY(dlf_features_cube(run, 0.0, 0.3));
    DLF_TRY(dlf_features_unseen(run, 0.3, 0.6));
    return dlf_features_digits(run, 0.6, 1.0);
}

static dlf_status network(dlf_graph **out, dlf_device *device)
{
    return regressor_new(out, device, 2, 4, DLF_CUBE_BITS, 16);
}

const dlf_experiment dlf_experiment_features = {
    .slug = "features",
    .questions = "Q1",
    .title = {"深度学习和机器学习本质的区别在哪里？",
              "What is the essential difference between deep learning and machine learning?"},
    .claim =
        {"事先选定的 N 个特征，对所有目标平均只能解释 N/2^d 的方差；学出来的特征随目标而变",
         "N features chosen beforehand explain N/2^d of the variance, averaged over all targets; "
         "learned features adapt to the target"},
    .quick_seeds = 6,
    .full_seeds = 12,
    .params = params,
    .network = network,
    .run = run_features,
};
