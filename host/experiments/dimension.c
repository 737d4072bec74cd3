/* SPDX-License-Identifier: MIT
 * dimension.c -- Q5, Q39: what deep learning has over classical methods, and how it escapes the
 * curse of dimensionality.
 *
 * Claim   In many dimensions all points are about equally far away and neighbours are far, so
 * methods that compare inputs as they are fail; a network that learns the few directions which
 * matter does not. Control a target without such directions, on which the network fails as well;
 * the right feature made by hand, with which a linear model needs no network. */
#include "dimension.h"
#include "regressor.h"

static const dlf_param params[] = {
    DLF_INT_PARAM("pairs_of_points", 3000, 20000, 10, 1000000, "pairs", "每个种子的点对数",
                  "pairs of points per seed"),
    DLF_INT_PARAM("queries", 200, 1000, 4, 100000, "points", "最近邻的查询数，也是测试样本数",
                  "queries of nearest neighbours, and test rows"),
    DLF_INT_PARAM("points", 2000, 4000, 16, 20000, "rows", "训练样本数", "training rows"),
    DLF_INT_PARAM("steps", 1200, 3000, 1, 1000000, "steps", "网络的训练步数",
                  "training steps of the networks"),
    {.name = NULL},
};

static dlf_status run_dimension(dlf_run *run)
{
    DLF_TRY(dlf_dimension_distances(run, 0.0, 0.2));
    return dlf_dimension_learners(run, 0.2, 1.0);
}

static dlf_status network(dlf_graph **out, dlf_device *device)
{
    return regressor_new(out, device, 2, 4, 8, 64);
}

const dlf_experiment dlf_experiment_dimension = {
    .slug = "dimension",
    .questions = "Q5,Q39",
    .title = {"深度学习的优势，以及它怎样避开维度诅咒",
              "What deep learning has over classical methods, and how it escapes the curse of "
              "dimensionality"},
    .claim =
        {"高维空间里所有点几乎等距，直接比较输入的方法失效；网络学到起作用的少数方向，因而不受影响",
         "in many dimensions all points are about equally far, and methods that compare inputs "
         "fail; "
         "a network learns the few directions that matter and does not"},
    .quick_seeds = 4,
    .full_seeds = 8,
    .params = params,
    .network = network,
    .run = run_dimension,
};
