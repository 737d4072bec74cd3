/* SPDX-License-Identifier: MIT
 * forgetting.c -- Q11: what is incremental learning?
 *
 * Claim   A model that goes on learning forgets an amount that can be computed: most where tasks
 * are neither the same nor unrelated. Penalties on what mattered (EWC) or a few kept rows (replay)
 * prevent it, the penalty only where its assumptions hold.
 * Control replay of all rows; a second task that is the first, or orthogonal to it; the same task
 * again and again. */
#include "forgetting.h"

#include <math.h>

#include "transfer_nets.h"

double dlf_forgotten_random(double a, double b, double d)
{
    return (1.0 - a / d) * a * b * (d - b) / (d * (d + 2.0) * (d - 1.0));
}

double dlf_forgotten_turned(double k, double d, double angle)
{
    return k / d * pow(sin(angle) * cos(angle), 2.0);
}

double dlf_diagonal_excess(double rho, int d, double along)
{
    const double lambda[2] = {1.0 + (d - 1) * rho, 1.0 - rho}, share[2] = {along, 1.0 - along};
    double kept = 0.0, all = 0.0;
    for (int i = 0; i < 2; i++) {
        kept += lambda[i] * share[i] * pow((lambda[i] - 1.0) / (lambda[i] + 1.0), 2.0);
        all += lambda[i] * share[i];
    }
    return kept / all;
}

static const dlf_param params[] = {
    DLF_INT_PARAM("task_features", 60, 60, 12, 1000, "weights", "线性任务的权重数",
                  "weights of the linear tasks"),
    DLF_INT_PARAM("task_pairs", 160, 400, 1, 100000, "pairs", "每个种子的随机任务对数",
                  "random pairs of tasks per seed"),
    DLF_INT_PARAM("quadratic_rows", 4000, 10000, 100, 1000000, "rows", "二次损失任务的样本数",
                  "rows of the tasks with quadratic losses"),
    DLF_INT_PARAM("width", 64, 128, 1, 512, "units", "手写数字网络的隐藏层宽度",
                  "hidden width of the digits networks"),
    DLF_INT_PARAM("task_steps", 250, 600, 1, 1000000, "steps", "每个任务的训练步数",
                  "training steps per task"),
    DLF_INT_PARAM("kept_rows", 20, 20, 1, 200, "rows", "重放时每个旧任务保留的样本数",
                  "rows that replay keeps of every old task"),
    DLF_INT_PARAM("test_rows", 200, 200, 1, 200, "rows", "每个任务最多的测试样本数",
                  "most test rows per task"),
    {.name = NULL},
};

static dlf_status run_forgetting(dlf_run *run)
{
    DLF_TRY(dlf_forgetting_linear(run, 0.0, 0.25));
    DLF_TRY(dlf_forgetting_quadratic(run, 0.25, 0.3));
    return dlf_forgetting_digits(run, 0.3, 1.0);
}

static dlf_status network(dlf_graph **out, dlf_device *device)
{
    const classifier_spec net = dlf_transfer_net(2, 4, 64, 8, 10);
    return classifier_new(out, device, &net);
}

const dlf_experiment dlf_experiment_forgetting = {
    .slug = "forgetting",
    .questions = "Q11",
    .title = {"什么是增量学习？", "What is incremental learning?"},
    .claim =
        {"依次学习会遗忘，遗忘多少可以算出，在任务部分相似时最多；保护重要的权重或重放几行旧数据"
         "可以防止它，前者只在其假设成立时有效",
         "learning one task after another forgets an amount that can be computed, most where "
         "tasks are half alike; protecting important weights or replaying a few old rows "
         "prevents it, the former only where its assumptions hold"},
    .quick_seeds = 6,
    .full_seeds = 12,
    .params = params,
    .network = network,
    .run = run_forgetting,
};
