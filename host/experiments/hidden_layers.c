/* SPDX-License-Identifier: MIT
 * hidden_layers.c -- Q17: what do the hidden layers of a network compute?
 *
 * Claim   Before training a ReLU layer computes a fixed kernel of the angle between inputs, and
 * every further one makes inputs more alike. Training turns the layers into a machine that shrinks
 *         each class and spreads the classes as far apart as there is room: a simplex.
 * Control layers without ReLU, training without weight decay, networks without batch norm, random
 *         layers. */
#include "hidden_layers.h"

static const dlf_param params[] = {
    DLF_INT_PARAM("width", 1024, 4096, 4, 16384, "units", "随机层的最大宽度",
                  "widest random layer"),
    DLF_INT_PARAM("nets", 256, 64, 1, 1000, "layers", "每个种子和宽度的随机层数",
                  "random layers per seed and width"),
    DLF_INT_PARAM("deep_width", 256, 512, 4, 4096, "units", "多层随机网络的宽度",
                  "width of the random networks of several layers"),
    DLF_INT_PARAM("descent_steps", 600, 3000, 1, 100000, "steps", "自由特征的梯度下降步数",
                  "descent steps of the unconstrained features"),
    DLF_INT_PARAM("digits_depth", 5, 5, 2, 16, "layers", "手写数字网络的隐藏层数",
                  "hidden layers of the digits networks"),
    DLF_INT_PARAM("digits_width", 64, 64, 2, 1024, "units", "手写数字网络的宽度",
                  "width of the digits networks"),
    DLF_INT_PARAM("steps", 1500, 4000, 1, 100000, "steps", "手写数字网络的训练步数",
                  "training steps of the digits networks"),
    DLF_INT_PARAM("fit_steps", 400, 1000, 1, 100000, "steps", "线性探针的训练步数",
                  "training steps of the linear probes"),
    {.name = NULL},
};

static dlf_status run_hidden_layers(dlf_run *run)
{
    DLF_TRY(dlf_hidden_kernel(run, 0.0, 0.15));
    DLF_TRY(dlf_hidden_unconstrained(run, 0.15, 0.3));
    return dlf_hidden_networks(run, 0.3, 1.0);
}

static dlf_status network(dlf_graph **out, dlf_device *device)
{
    return dlf_unconstrained_new(out, device, &(dlf_unconstrained){2, 4, 3, 5});
}

const dlf_experiment dlf_experiment_hidden_layers = {
    .slug = "hidden-layers",
    .questions = "Q17",
    .title = {"神经网络中的隐藏层计算的内容是什么？",
              "What do the hidden layers of a neural network compute?"},
    .claim = {"随机的隐藏层计算输入夹角的核；训练使各层把同类的输入收拢、把类推向单纯形的顶点",
              "random hidden layers compute a kernel of the angle between inputs; training makes "
              "them draw each class together and push the classes to the corners of a simplex"},
    .network = network,
    .quick_seeds = 5,
    .full_seeds = 16,
    .params = params,
    .run = run_hidden_layers,
};
