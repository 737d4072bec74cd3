/* SPDX-License-Identifier: MIT
 * architectures.c -- Q28: which CNN architectures do you know?
 *
 * Claim   The layer lists reproduce the published numbers of parameters and multiply-adds exactly.
 * Control fully connected networks, networks without 1x1 convolutions, pixels in a fixed random
 *         order, a linear classifier. */
#include "architectures.h"

#include "nets_graph.h"

static const dlf_param params[] = {
    DLF_INT_PARAM("batch", 16, 64, 1, 4096, "images", "批大小", "images per batch"),
    DLF_INT_PARAM("channels", 12, 16, 2, 256, "channels", "普通块的通道数",
                  "channels of the plain blocks"),
    DLF_INT_PARAM("digits_steps", 180, 4000, 4, 1000000, "steps", "训练步数", "training steps"),
    {"data",
     DLF_PARAM_CHOICE,
     0,
     0,
     0,
     0,
     "auto,fashion-mnist,digits",
     NULL,
     {"LeNet-5 的数据；auto：装了 Fashion-MNIST 就用它，否则用手写数字",
      "images for LeNet-5; auto: Fashion-MNIST where it is installed, else the digits"}},
    DLF_INT_PARAM("rows", 4000, 60000, 8, 60000, "images", "训练图数；测试图为其八分之一",
                  "training images at most; an eighth as many to test on"),
    DLF_INT_PARAM("side", 28, 28, 12, 28, "pixels", "手写数字放大后的边长",
                  "side of the enlarged digits"),
    {.name = NULL},
};

/* One of each kind of layer: the small residual network. */
static dlf_status network(dlf_graph **out, dlf_device *device)
{
    net_totals sum;
    const net_shape shape = {2, 6, 1, 12, 12};
    net *n = net_new();
    if (!n) return dlf_fail(DLF_ERR_OOM, "architectures: out of memory");
    net_resnet_28(n, 4);
    dlf_status status = net_count(n, shape.c, shape.h, shape.w, &sum);
    if (status == DLF_OK) status = net_graph_new(out, device, n, &shape);
    net_free(n);
    return status;
}

static dlf_status run_architectures(dlf_run *run)
{
    DLF_TRY(dlf_architectures_counts(run, 0.0));
    DLF_TRY(dlf_architectures_blocks(run, 0.0, 0.5));
    return dlf_architectures_trained(run, 0.5, 1.0);
}

const dlf_experiment dlf_experiment_architectures = {
    .slug = "architectures",
    .questions = "Q28",
    .title = {"说一些你知道的 CNN 架构", "Which CNN architectures do you know?"},
    .claim =
        {"按层列表逐层计算，参数量与乘加次数与已发表的数逐位相同",
         "walking the layer lists reproduces the published parameters and multiply-adds to the "
         "digit"},
    .quick_seeds = 3,
    .full_seeds = 5,
    .params = params,
    .run = run_architectures,
    .network = network,
};
