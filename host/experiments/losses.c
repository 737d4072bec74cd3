/* SPDX-License-Identifier: MIT
 * losses.c -- Q19: how do you choose the loss function?
 *
 * Claim   A loss decides what is estimated (mean, median, quantile, probability, side), how well
 *         under which noise, and whether a saturated unit can come back.
 * Control in each figure: symmetric draws, Gaussian noise, cross-entropy, an ordinary start, data
 *         without outliers. */
#include "losses.h"

static const dlf_param params[] = {
    {"samples",
     DLF_PARAM_INT,
     401,
     401,
     5,
     10001,
     NULL,
     "rows",
     {"每次估计的样本数（取奇数）", "draws per estimate (made odd)"}},
    {"trials",
     DLF_PARAM_INT,
     2500,
     20000,
     20,
     1000000,
     NULL,
     "runs",
     {"每个种子的估计次数", "estimates per seed"}},
    {"escape_steps",
     DLF_PARAM_INT,
     2000,
     8000,
     100,
     1000000,
     NULL,
     "steps",
     {"逃逸时间的步数", "steps of the escape"}},
    {"steps",
     DLF_PARAM_INT,
     400,
     1500,
     10,
     100000,
     NULL,
     "steps",
     {"手写数字网络的训练步数", "training steps of the digits networks"}},
    {"width",
     DLF_PARAM_INT,
     32,
     128,
     1,
     4096,
     NULL,
     "units",
     {"手写数字网络的隐藏层宽度", "hidden width of the digits networks"}},
    {"copies",
     DLF_PARAM_INT,
     16,
     64,
     1,
     1024,
     NULL,
     "fits",
     {"每个种子的回归次数", "regressions per seed"}},
    {"rows",
     DLF_PARAM_INT,
     400,
     2000,
     4,
     100000,
     NULL,
     "rows",
     {"分类实验中每个输入的样本数", "rows per input of the classes"}},
    {"fit_steps",
     DLF_PARAM_INT,
     300,
     600,
     10,
     100000,
     NULL,
     "steps",
     {"线性模型的训练步数", "training steps of the linear models"}},
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
