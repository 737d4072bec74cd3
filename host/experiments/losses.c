/* SPDX-License-Identifier: MIT
 * losses.c -- Q19: how do you choose the loss function?
 *
 * Claim   A loss decides what is estimated (mean, median, quantile, probability, side), how well
 *         under which noise, and whether a saturated unit can come back.
 * Control in each figure: symmetric draws, Gaussian noise, cross-entropy, an ordinary start, data
 *         without outliers. */
#include "losses.h"

static const dlf_param params[] = {
    DLF_INT_PARAM("samples", 401, 401, 5, 10001, "rows", "每次估计的样本数（取奇数）",
                  "draws per estimate (made odd)"),
    DLF_INT_PARAM("trials", 2500, 20000, 20, 1000000, "runs", "每个种子的估计次数",
                  "estimates per seed"),
    DLF_INT_PARAM("escape_steps", 2000, 8000, 100, 1000000, "steps", "逃逸时间的步数",
                  "steps of the escape"),
    DLF_INT_PARAM("steps", 400, 1500, 10, 100000, "steps", "手写数字网络的训练步数",
                  "training steps of the digits networks"),
    DLF_INT_PARAM("width", 32, 128, 1, 4096, "units", "手写数字网络的隐藏层宽度",
                  "hidden width of the digits networks"),
    DLF_INT_PARAM("copies", 16, 64, 1, 1024, "fits", "每个种子的回归次数", "regressions per seed"),
    DLF_INT_PARAM("rows", 400, 2000, 4, 100000, "rows", "分类实验中每个输入的样本数",
                  "rows per input of the classes"),
    DLF_INT_PARAM("fit_steps", 300, 600, 10, 100000, "steps", "线性模型的训练步数",
                  "training steps of the linear models"),
    {.name = NULL},
};

static dlf_status run_losses(dlf_run *run)
{
    DLF_TRY(dlf_losses_functionals(run, 0.0, 0.05));
    DLF_TRY(dlf_losses_efficiency(run, 0.05, 0.35));
    DLF_TRY(dlf_losses_escape(run, 0.35, 0.4));
    DLF_TRY(dlf_losses_saturated(run, 0.4, 0.8));
    DLF_TRY(dlf_losses_regression(run, 0.8, 0.92));
    return dlf_losses_classes(run, 0.92, 1.0);
}

static dlf_status network(dlf_graph **out, dlf_device *device)
{
    static const double gains[] = {1.0, 4.0};
    return dlf_losses_network(out, device, 2, 4, 8, gains, true);
}

const dlf_experiment dlf_experiment_losses = {
    .slug = "losses",
    .questions = "Q19",
    .title = {"在深度学习模型中，如何选择损失函数？",
              "How do you choose the loss function of a deep-learning model?"},
    .claim = {"损失决定估计什么（均值、中位数、概率……）、对噪声多敏感、饱和单元能否恢复",
              "the loss decides what is estimated (mean, median, probability, ..), how it takes "
              "noise, and whether a saturated unit comes back"},
    .quick_seeds = 6,
    .full_seeds = 16,
    .params = params,
    .network = network,
    .run = run_losses,
};
