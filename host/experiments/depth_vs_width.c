/* SPDX-License-Identifier: MIT
 * depth_vs_width.c -- Q16: width or depth? Q34: why do deep networks beat shallow ones of as many
 * parameters?
 *
 * Claim   Composition multiplies linear pieces (2^k from 3k units), one layer adds them (units +
 * 1); x^2 is approximated to 4^-(m+1) instead of 1/(8 N^2). But that is what depth CAN do: at
 *         random initialisation the number of pieces is the number of units whatever the shape, and
 *         on data without such structure the deep network of equal size wins nothing.
 * Control linear activations (depth does nothing), random networks, one tent, the digits. */
#include "depth_vs_width.h"

#include <math.h>

#include "digits_nets.h"

static const dlf_param params[] = {
    DLF_INT_PARAM("tents", 14, 14, 1, 14, "layers", "复合的帐篷映射层数", "tent maps composed"),
    DLF_INT_PARAM("draws", 32, 64, 1, 4096, "networks", "每个种子、每种形状的随机网络个数",
                  "random networks per seed and shape"),
    DLF_INT_PARAM("points", 512, 2048, 16, 65536, "intervals", "数折点时线段的等分数",
                  "intervals of the line on which breakpoints are counted"),
    DLF_REAL_PARAM("reach", 1, 1, 0.01, 100, "1", "线段为 [−reach, reach]",
                   "the line is [-reach, reach]"),
    DLF_INT_PARAM("tent_steps", 1500, 8000, 1, 1000000, "steps", "拟合帐篷映射的训练步数",
                  "training steps on the tent maps"),
    DLF_INT_PARAM("tent_width", 16, 16, 2, 256, "units", "拟合帐篷映射的 5 层网络的宽度",
                  "width of the five layers that learn the tent maps"),
    DLF_INT_PARAM("parameters", 4810, 4810, 300, 1000000, "1", "手写数字网络的参数量",
                  "parameters of the digits networks"),
    DLF_INT_PARAM("steps", 300, 1000, 10, 100000, "steps", "手写数字网络的训练步数",
                  "training steps of the digits networks"),
    {.name = NULL},
};

double dlf_square_error_deep(int tents)
{
    return ldexp(1.0, -2 * (tents + 1));
}

double dlf_square_error_shallow(int pieces)
{
    return 1.0 / (8.0 * pieces * pieces);
}

int dlf_square_shallow_units(int tents, bool equal_parameters)
{
    /* deep: 6 in the first tent, 12 in each other, 3 readout weights per tent, skip and bias;
     * shallow: weight, bias and readout weight per unit, skip and bias. */
    const int deep = 6 + 12 * (tents - 1) + 3 * tents + 2;
    return equal_parameters ? (deep - 2) / 3 : 3 * tents;
}

int dlf_square_crossover(bool equal_parameters)
{
    int m = 1;
    while (dlf_square_error_deep(m) >=
           dlf_square_error_shallow(dlf_square_shallow_units(m, equal_parameters) + 1))
        m++;
    return m;
}

double dlf_line_pieces(int layers, int width, double reach, double deep_bias2)
{
    double pieces = 1.0;
    for (int l = 0; l < layers; l++)
        pieces += width * 2.0 / M_PI * atan(reach / sqrt(1.0 + l * deep_bias2));
    return pieces;
}

static dlf_status network(dlf_graph **out, dlf_device *device)
{
    return dlf_digits_network(out, device, DLF_RELU, 4, 29);
}

static dlf_status run_depth(dlf_run *run)
{
    DLF_TRY(dlf_depth_built(run, 0.0, 0.05));
    DLF_TRY(dlf_depth_random(run, 0.05, 0.3));
    DLF_TRY(dlf_depth_trained(run, 0.3, 0.8));
    return dlf_depth_digits(run, 0.8, 1.0);
}

const dlf_experiment dlf_experiment_depth_vs_width = {
    .slug = "depth-vs-width",
    .questions = "Q16,Q34",
    .title = {"神经网络的广度和深度哪个更重要？同等参数量时深层为何更好？",
              "Width or depth? Why do deep networks beat shallow ones of as many parameters?"},
    .claim = {"复合使线性片段数相乘（3k 个单元得 2^k 片），一层只能相加（单元数 + 1 片）",
              "composition multiplies linear pieces (2^k from 3k units), one layer adds them "
              "(units + 1)"},
    .quick_seeds = 5,
    .full_seeds = 16,
    .params = params,
    .run = run_depth,
    .network = network,
};
