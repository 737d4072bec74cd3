/* SPDX-License-Identifier: MIT
 * evolution.c -- Q47: how can genetic algorithms optimise neural networks?
 *
 * Claim   Evolving weights is gradient descent with a noisy gradient: of m pairs in d dimensions
 * the cosine^2 is m/(m+d+1), and so many times more generations are needed. What it is good for are
 * few and not differentiable choices: hyperparameters, structure. Control backpropagation from the
 * same start; random search with the same budget. */
#include "evolution.h"

#include "classifier.h"
#include "evolution_nets.h"

static const dlf_param params[] = {
    DLF_INT_PARAM("samples", 2000, 10000, 10, 1000000, "draws", "球面模型每个种子的样本数",
                  "draws per seed on the sphere"),
    DLF_INT_PARAM("runs", 60, 300, 1, 100000, "runs", "OneMax 每个种子的运行次数",
                  "runs of OneMax per seed"),
    DLF_INT_PARAM("bits", 60, 100, 4, 200, "bits", "OneMax 的最大位数", "most bits of OneMax"),
    DLF_INT_PARAM("pairs", 50, 50, 1, 1000, "pairs", "每一代的对称扰动对数",
                  "pairs of perturbations per generation"),
    DLF_INT_PARAM("generations", 250, 400, 1, 100000, "generations", "权重进化的代数",
                  "generations of the weights"),
    DLF_INT_PARAM("rows", 100, 200, 4, 1000, "rows", "训练样本数", "training rows"),
    DLF_INT_PARAM("search_steps", 40, 100, 1, 100000, "steps", "每组超参数的训练步数",
                  "training steps per set of hyperparameters"),
    {.name = NULL},
};

static dlf_status run_evolution(dlf_run *run)
{
    DLF_TRY(dlf_evolution_sphere(run, 0.0, 0.1));
    DLF_TRY(dlf_evolution_onemax(run, 0.1, 0.2));
    DLF_TRY(dlf_evolution_weights(run, 0.2, 0.7));
    return dlf_evolution_search(run, 0.7, 1.0);
}

static dlf_status network(dlf_graph **out, dlf_device *device)
{
    const classifier_spec net = dlf_evolution_net(2, 4, 8, false);
    return classifier_new(out, device, &net);
}

const dlf_experiment dlf_experiment_evolution = {
    .slug = "evolution",
    .questions = "Q47",
    .title = {"怎样使用遗传算法优化神经网络？",
              "How can genetic algorithms be used to optimise a neural network?"},
    .claim =
        {"用进化优化权重等于用噪声很大的梯度下降，代价随参数个数增长；它适合少数、不可微的选择",
         "evolving weights is descent by a very noisy gradient, at a cost that grows with their "
         "number; it suits few choices that cannot be differentiated"},
    .quick_seeds = 5,
    .full_seeds = 10,
    .params = params,
    .network = network,
    .run = run_evolution,
};
