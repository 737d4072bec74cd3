/* SPDX-License-Identifier: MIT
 * svm.c -- Q35: compare support vector machines and deep learning.
 *
 * Claim   They meet: gradient descent on logistic loss turns towards the hard margin, at a rate
 * that can be computed. They part: a kernel is fixed and its machine grows with the data, a network
 * finds its features. Control labels that cannot be separated; a target that the kernel fits;
 * labels without noise. */
#include "svm.h"

static const dlf_param params[] = {
    DLF_INT_PARAM("descent_steps", 300000, 10000000, 30, 1000000000, "steps",
                  "梯度下降的步数（平面上的点）",
                  "steps of gradient descent (points in the plane)"),
    DLF_INT_PARAM("largest_sample", 1000, 1200, 100, 1200, "rows", "最多的训练样本数",
                  "most training rows"),
    DLF_INT_PARAM("width", 64, 128, 1, 4096, "units", "网络的隐藏层宽度",
                  "hidden width of the networks"),
    DLF_INT_PARAM("steps", 600, 1500, 1, 1000000, "steps", "网络的训练步数",
                  "training steps of the networks"),
    {.name = NULL},
};

static dlf_status run_svm(dlf_run *run)
{
    DLF_TRY(dlf_svm_margin(run, 0.0, 0.2));
    DLF_TRY(dlf_svm_digits(run, 0.2, 0.6));
    DLF_TRY(dlf_svm_features(run, 0.6, 0.95));
    return dlf_svm_sparsity(run, 0.95, 1.0);
}

const dlf_experiment dlf_experiment_svm = {
    .slug = "svm",
    .questions = "Q35",
    .title = {"比较svm和deep learning", "Compare support vector machines and deep learning."},
    .claim =
        {"线性可分时，逻辑损失上的梯度下降转向 SVM 的最大间隔，慢到对数；特征已经合适时 SVM 不输，"
         "需要学特征时网络赢；有噪声时 SVM 的大小随数据增长",
         "on separable data gradient descent on logistic loss turns to the SVM's largest margin, "
         "logarithmically slowly; with good features SVMs do not lose, where features have to be "
         "learned networks win; with noise an SVM grows with the data"},
    .quick_seeds = 5,
    .full_seeds = 10,
    .params = params,
    .run = run_svm,
};
