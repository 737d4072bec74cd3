/* SPDX-License-Identifier: MIT
 * compute_graph.c -- Q13: what is a computational graph, and which algorithms are one?
 *
 * Claim   A computation written as a graph of differentiable ops gives all its derivatives in one
 * pass backwards for less than three times (bound: five times) the forward operations, whatever the
 *         number of parameters; hidden Markov models are such graphs, and the gradient of their
 *         likelihood is the forward-backward algorithm.
 * Control finite differences: P + 1 passes, and never exact. */
#include "compute_graph.h"

#include <stdlib.h>

#include "dlf/data.h"

static const dlf_param params[] = {
    DLF_INT_PARAM("width", 128, 256, 4, 2048, "units", "隐藏层宽度", "hidden width"),
    DLF_INT_PARAM("batch", 64, 128, 1, 1024, "rows", "每批样本数", "rows per batch"),
    DLF_INT_PARAM("repeats", 12, 40, 1, 1000, "runs", "每轮计时的重复次数",
                  "runs timed in each round"),
    DLF_INT_PARAM("time", 20, 60, 2, 300, "steps", "隐马尔可夫模型的观测长度",
                  "observations of the hidden Markov models"),
    {.name = NULL},
};

dlf_status dlf_compute_graph_fill(dlf_graph *g, const classifier_spec *spec)
{
    dlf_status status;
    dlf_dataset data = {0};
    const size_t rows = (size_t)spec->members * (size_t)spec->batch;
    float *x = malloc(rows * (size_t)spec->inputs * sizeof *x);
    int32_t *label = malloc(rows * sizeof *label);
    if (!x || !label) {
        status = dlf_fail(DLF_ERR_OOM, "compute-graph: out of memory");
        goto done;
    }
    DLF_TRY_DONE(dlf_digits_load(&data));
    for (size_t i = 0; i < rows; i++) {
        const size_t row = i % (size_t)data.train;
        for (int k = 0; k < spec->inputs; k++)
            x[i * (size_t)spec->inputs + (size_t)k] =
                data.x[row * (size_t)data.features + (size_t)(k % data.features)];
        label[i] = data.label[row];
    }
    DLF_TRY_DONE(dlf_tensor_upload(dlf_graph_value(g, dlf_graph_find(g, "x")), x));
    DLF_TRY_DONE(dlf_tensor_upload_i32(dlf_graph_value(g, dlf_graph_find(g, "label")), label));
done:
    dlf_dataset_free(&data);
    free(label);
    free(x);
    return status;
}

static dlf_status run_compute_graph(dlf_run *run)
{
    DLF_TRY(dlf_compute_graph_cost(run, 0.0, 0.5));
    DLF_TRY(dlf_compute_graph_differences(run, 0.5, 0.8));
    return dlf_compute_graph_hmm(run, 0.8);
}

/* 64-256-256-256-10, the network of the exact counts. */
static dlf_status network(dlf_graph **out, dlf_device *device)
{
    const classifier_spec spec = {.members = 2,
                                  .batch = 16,
                                  .inputs = 64,
                                  .width = 256,
                                  .depth = 3,
                                  .classes = 10,
                                  .f = dlf_activation_of(DLF_TANH),
                                  .init = dlf_lecun()};
    return classifier_new(out, device, &spec);
}

const dlf_experiment dlf_experiment_compute_graph = {
    .slug = "compute-graph",
    .questions = "Q13",
    .title = {"什么是计算图？哪些算法属于计算图模型？",
              "What is a computational graph, and which algorithms are one?"},
    .claim =
        {"一次反向传播给出全部导数，乘加次数不到前向的两倍，与参数个数无关；隐马尔可夫模型的"
         "前向后向算法就是其似然的反向传播",
         "One backward pass gives every derivative for less than twice the multiply-adds of the "
         "forward pass, whatever the number of parameters; the forward-backward algorithm of a "
         "hidden Markov model is the backward pass of its likelihood"},
    .quick_seeds = 8,
    .full_seeds = 24,
    .params = params,
    .run = run_compute_graph,
    .network = network,
};
