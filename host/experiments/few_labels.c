/* SPDX-License-Identifier: MIT
 * few_labels.c -- Q46: many unlabelled rows and few labels: how do you proceed?
 *
 * Claim   Unlabelled rows show where the classes lie apart, a handful of labels says which is
 * which: what they are worth in labels can be computed, and is nothing below a threshold. Control
 * too few unlabelled rows; a label that does not follow the clusters of the data. */
#include "few_labels.h"

static const dlf_param params[] = {
    DLF_INT_PARAM("features", 200, 200, 10, 2000, "features", "混合高斯的维数",
                  "dimensions of the mixture"),
    DLF_INT_PARAM("copies", 4, 10, 1, 1000, "data sets", "每个种子的数据集数",
                  "data sets per seed"),
    DLF_INT_PARAM("largest_sample", 3000, 10000, 60, 100000, "rows", "最多的样本数", "most rows"),
    DLF_INT_PARAM("digit_rows", 1797, 1797, 60, 1797, "rows", "手写数字的样本数",
                  "rows of the digits"),
    DLF_INT_PARAM("rounds", 60, 200, 1, 10000, "rounds", "标签传播的轮数",
                  "rounds of label propagation"),
    {.name = NULL},
};

static dlf_status run_few_labels(dlf_run *run)
{
    DLF_TRY(dlf_labels_mixture(run, 0.0, 0.5));
    return dlf_labels_digits(run, 0.5, 1.0);
}

const dlf_experiment dlf_experiment_few_labels = {
    .slug = "few-labels",
    .questions = "Q46",
    .title =
        {"假设你想训练一个分类器，你有大量未标记的训练数据，但只有几千个标记实例。你将如何进行？",
         "You want to train a classifier with much unlabelled data but only a few thousand "
         "labelled "
         "examples. How do you proceed?"},
    .claim = {"无标签数据指出类别在哪里分开，少数标签说明哪边是哪类；它值多少标签可以算出，低于阈值"
              "则一文不值",
              "unlabelled rows show where classes part, a few labels which is which; what they are "
              "worth in "
              "labels can be computed, and is nothing below a threshold"},
    .quick_seeds = 8,
    .full_seeds = 16,
    .params = params,
    .run = run_few_labels,
};
