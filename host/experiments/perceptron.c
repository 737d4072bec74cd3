/* SPDX-License-Identifier: MIT
 * perceptron.c -- Q12: explain how the perceptron works.
 *
 * Claim   Where a hyperplane separates the classes with margin gamma the perceptron finds one after
 *         at most (R/gamma)^2 mistakes; a random labeling of P points in N dimensions can be
 * separated as long as P < 2N; of the Boolean functions of 4 variables 1,882 of 65,536 can. Control
 * labels of which some are wrong: it never ends, and only the average of its weights is of use. */
#include "perceptron.h"

static const dlf_param params[] = {
    DLF_INT_PARAM("n", 500, 1000, 4, 100000, "rows", "每个随机数据集的样本数",
                  "rows of a random data set"),
    DLF_INT_PARAM("p", 10, 10, 2, 200, "features", "随机数据集的维数",
                  "dimensions of a random data set"),
    DLF_REAL_PARAM("label_noise", 0.1, 0.1, 0.0, 0.5, "1", "对照组中出错的标签比例",
                   "share of wrong labels in the control"),
    DLF_INT_PARAM("passes", 100, 400, 2, 100000, "passes", "最多训练多少遍", "passes at most"),
    DLF_INT_PARAM("draws", 100, 400, 1, 100000, "labelings", "每个种子、每种负载的随机标记数",
                  "random labelings per seed and load"),
    DLF_INT_PARAM("boolean_passes", 60, 60, 1, 100000, "passes", "布尔函数的真值表最多看多少遍",
                  "passes over the truth tables at most"),
    DLF_INT_PARAM("pair_rows", 240, 240, 8, 250, "rows", "每对数字的训练样本数",
                  "training rows per pair of digits"),
    DLF_INT_PARAM("digits_passes", 40, 200, 2, 100000, "passes", "手写数字最多训练多少遍",
                  "passes over the digits at most"),
    {.name = NULL},
};

static dlf_status run_perceptron(dlf_run *run)
{
    DLF_TRY(dlf_perceptron_bound(run, 0.0, 0.3));
    DLF_TRY(dlf_perceptron_noise(run, 0.3, 0.4));
    DLF_TRY(dlf_perceptron_capacity(run, 0.4, 0.7));
    DLF_TRY(dlf_perceptron_boolean(run, 0.7, 0.8));
    return dlf_perceptron_digits(run, 0.8, 1.0);
}

const dlf_experiment dlf_experiment_perceptron = {
    .slug = "perceptron",
    .questions = "Q12",
    .title = {"解释感知机的原理", "Explain how the perceptron works."},
    .claim = {"数据可分时，感知机至多犯 (R/γ)² 次错就找到分离超平面；N "
              "维空间中的随机标记，样本数超过 2N 就不再可分",
              "on separable data the perceptron finds a hyperplane after at most (R/γ)² mistakes; "
              "random labels of more than 2N points in N dimensions cannot be separated"},
    .quick_seeds = 8,
    .full_seeds = 16,
    .params = params,
    .run = run_perceptron,
};
