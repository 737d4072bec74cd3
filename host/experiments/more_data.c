/* SPDX-License-Identifier: MIT
 * more_data.c -- Q2: why does performance improve with more data?
 *
 * Claim   What has not been seen cannot be answered: its mass falls as a power of n that the tail
 * of the cases decides; estimates get sharper as 1/n; networks follow. Not always: at n about p
 * least squares without regularisation gets worse with more rows. Control copies of the same rows:
 * nothing new, nothing gained; ridge: no peak. */
#include "more_data.h"

#include "classifier.h"

static const dlf_param params[] = {
    DLF_INT_PARAM("cases", 300000, 2000000, 100, 20000000, "cases", "情形总数", "number of cases"),
    DLF_INT_PARAM("largest_sample", 30000, 300000, 100, 10000000, "rows", "最多抽样多少次",
                  "largest number of draws"),
    DLF_INT_PARAM("p", 50, 50, 5, 500, "weights", "最小二乘的权重数",
                  "weights of the least squares"),
    DLF_INT_PARAM("copies", 30, 200, 1, 100000, "fits", "每个种子的回归次数",
                  "regressions per seed"),
    DLF_INT_PARAM("hebb_dim", 400, 800, 2, 10000, "units", "教师—学生实验的维数",
                  "dimensions of teacher and student"),
    DLF_INT_PARAM("width", 64, 128, 1, 4096, "units", "手写数字网络的隐藏层宽度",
                  "hidden width of the digits networks"),
    DLF_INT_PARAM("steps", 300, 1000, 1, 1000000, "steps", "手写数字网络的训练步数",
                  "training steps of the digits networks"),
    {.name = NULL},
};

static dlf_status run_more_data(dlf_run *run)
{
    DLF_TRY(dlf_more_cases(run, 0.0, 0.2));
    DLF_TRY(dlf_more_rows(run, 0.2, 0.4));
    DLF_TRY(dlf_more_examples(run, 0.4, 0.5));
    return dlf_more_digits(run, 0.5, 1.0);
}

static dlf_status network(dlf_graph **out, dlf_device *device)
{
    const classifier_spec net = {.members = 2,
                                 .batch = 4,
                                 .inputs = 64,
                                 .width = 8,
                                 .depth = 1,
                                 .classes = 10,
                                 .f = dlf_activation_of(DLF_RELU),
                                 .init = dlf_he()};
    return classifier_new(out, device, &net);
}

const dlf_experiment dlf_experiment_more_data = {
    .slug = "more-data",
    .questions = "Q2",
    .title = {"深度学习的性能为什么会随着数据增多而提高？",
              "Why does the performance of deep learning improve with more data?"},
    .claim =
        {"没见过的情形无从判断，它们的总概率按 n 的幂下降；但在 n≈p 处，更多数据会使最小二乘更差",
         "cases not seen cannot be answered, and their probability falls as a power of n; but near "
         "n = p more rows make least squares worse"},
    .quick_seeds = 8,
    .full_seeds = 16,
    .params = params,
    .network = network,
    .run = run_more_data,
};
