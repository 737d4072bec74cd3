/* SPDX-License-Identifier: MIT
 * multi_task.c -- Q26: what is multi-task learning, and when is it suitable?
 *
 * Claim   Sharing helps exactly where tasks differ by less than the noise of learning one alone;
 * how much can be computed. Control tasks that have nothing in common; random labels as companions;
 * a trunk too small for all. */
#include "multi_task.h"

#include <math.h>

#include "multi_task_nets.h"

double dlf_mean_pooled(double tau, int T, double v)
{
    return tau * tau * (1.0 - 1.0 / T) + v / T;
}

double dlf_mean_james_stein(double tau, int T, double v)
{
    return v - (T - 3.0) / T * v * v / (v + tau * tau);
}

double dlf_shared_risk(int d, int k, int T, double x)
{
    const double b = (double)(d - k) / T, x2 = x * x;
    return x2 * x2 > b ? k * (1.0 + b * (1.0 + 3.0 / x2)) : k * (pow(1.0 + sqrt(b), 2.0) + x2);
}

double dlf_alone_ridge_risk(int d, int k, double x)
{
    const double q = k * x * x / d;
    return d * q / (1.0 + q);
}

static const dlf_param params[] = {
    DLF_INT_PARAM("copies", 200, 1000, 1, 100000, "data sets", "每个种子的数据集数（估计均值）",
                  "data sets per seed (means)"),
    DLF_INT_PARAM("features", 40, 40, 10, 400, "weights", "共享表示的线性任务的权重数",
                  "weights of the linear tasks with a shared representation"),
    DLF_INT_PARAM("draws", 3, 10, 1, 100000, "draws", "每个种子的线性任务组数",
                  "sets of linear tasks per seed"),
    DLF_INT_PARAM("width", 64, 64, 1, 4096, "units", "手写数字网络的隐藏层宽度",
                  "hidden width of the digits networks"),
    DLF_INT_PARAM("steps", 400, 800, 1, 1000000, "steps", "训练步数", "training steps"),
    DLF_INT_PARAM("test_rows", 500, 500, 1, 500, "rows", "测试样本数", "test rows"),
    {.name = NULL},
};

static dlf_status run_multi_task(dlf_run *run)
{
    DLF_TRY(dlf_multi_task_means(run, 0.0, 0.1));
    DLF_TRY(dlf_multi_task_representation(run, 0.1, 0.3));
    return dlf_multi_task_digits(run, 0.3, 1.0);
}

static dlf_status network(dlf_graph **out, dlf_device *device)
{
    return dlf_multi_task_net(out, device, 2, 4, 64, 8, 5);
}

const dlf_experiment dlf_experiment_multi_task = {
    .slug = "multi-task",
    .questions = "Q26",
    .title = {"什么是 multitask learning？什么时候使用它较为合适？",
              "What is multi-task learning, and when is it suitable?"},
    .claim =
        {"任务之间的差别小于单独学一个任务的噪声时，共享有益，好处可以算出；毫不相干的任务、"
         "太小的共享网络则有害",
         "sharing helps where tasks differ by less than the noise of learning one alone, by an "
         "amount that can be computed; unrelated tasks and too small a trunk do harm"},
    .quick_seeds = 8,
    .full_seeds = 12,
    .params = params,
    .network = network,
    .run = run_multi_task,
};
