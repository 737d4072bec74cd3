/* SPDX-License-Identifier: MIT
 * detection.c -- Q42, Q44: what distinguishes R-CNN, Fast R-CNN and Faster R-CNN, and which
 * networks for detecting objects there are.
 *
 * Claim   R-CNN convolves every proposal, Fast R-CNN the image once, Faster R-CNN finds the
 * proposals in the same map; what a shared map costs is rounding to its stride, which RoIAlign
 * undoes. A detector is a classifier of windows with three more parts: examples of nothing, above
 * all hard ones; suppression of what overlaps; proposals, whose recall bounds the rest. Control
 * crops off the stride; padding; a detector without each of its parts. */
#include "detection.h"
#include "classifier.h"

static const dlf_param params[] = {
    DLF_INT_PARAM("scenes", 300, 600, 17, 10000, "scenes", "训练场景数", "training scenes"),
    DLF_INT_PARAM("test_scenes", 100, 200, 2, 10000, "scenes", "测试场景数", "test scenes"),
    DLF_INT_PARAM("steps", 800, 2000, 1, 1000000, "steps", "训练步数", "training steps"),
    DLF_INT_PARAM("boxes", 4000, 40000, 10, 10000000, "boxes", "每种边长随机取的框数",
                  "random boxes per size"),
    DLF_INT_PARAM("proposals", 64, 256, 4, 4096, "crops", "计时用的最多候选区域数",
                  "most proposals that are timed"),
    {.name = NULL},
};

static dlf_status run_detection(dlf_run *run)
{
    DLF_TRY(dlf_detection_counts(run, 0.0, 0.05));
    DLF_TRY(dlf_detection_shared(run, 0.05, 0.2));
    DLF_TRY(dlf_detection_rounding(run, 0.2, 0.25));
    return dlf_detection_digits(run, 0.25, 1.0);
}

static dlf_status network(dlf_graph **out, dlf_device *device)
{
    const classifier_spec spec = {.members = 2,
                                  .batch = 3,
                                  .inputs = DLF_WINDOW_PIXELS,
                                  .width = 8,
                                  .depth = 1,
                                  .classes = DLF_DETECTION_CLASSES,
                                  .f = dlf_activation_of(DLF_RELU),
                                  .init = dlf_he()};
    return classifier_new(out, device, &spec);
}

const dlf_experiment dlf_experiment_detection = {
    .slug = "detection",
    .questions = "Q42,Q44",
    .title = {"R-CNN、Fast R-CNN、Faster R-CNN 的区别与目标检测的网络结构",
              "R-CNN, Fast R-CNN and Faster R-CNN, and networks for object detection"},
    .claim = {"R-CNN 对每个候选区域做一遍卷积，Fast R-CNN 整图只做一遍，Faster R-CNN "
              "连候选区域也从同一张特征图里找；共享的代价是取整误差",
              "R-CNN convolves every proposal, Fast R-CNN the image once, Faster R-CNN finds the "
              "proposals in the same map; the price of sharing is rounding"},
    .quick_seeds = 5,
    .full_seeds = 10,
    .params = params,
    .network = network,
    .run = run_detection,
};
