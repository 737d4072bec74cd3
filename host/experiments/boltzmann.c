/* SPDX-License-Identifier: MIT
 * boltzmann.c -- Q29: what is a Boltzmann machine?
 *
 * Claim   p = exp(-E)/Z; its gradient is a difference of two means, the model's of which costs
 * sampling: short chains bias it by an amount that can be computed, annealing gives Z. Control no
 * coupling; no hidden units; untrained weights; importance sampling without annealing. */
#include "boltzmann.h"

#include <stdlib.h>

static const dlf_param params[] = {
    DLF_INT_PARAM("sweeps", 20000, 60000, 10, 100000000, "sweeps", "环的 Gibbs 采样遍数",
                  "sweeps of Gibbs sampling on the ring"),
    DLF_INT_PARAM("learn_steps", 2000, 4000, 10, 1000000, "steps", "受限玻尔兹曼机的训练步数",
                  "training steps of the restricted Boltzmann machines"),
    DLF_INT_PARAM("rounds", 400, 400, 3, 10000, "steps", "计算 CD-k 偏差时链的最多步数",
                  "most steps of the chain whose bias is computed"),
    DLF_INT_PARAM("chains", 100, 500, 2, 100000, "chains", "退火重要性采样的链数",
                  "chains of annealed importance sampling"),
    DLF_INT_PARAM("temperatures", 1000, 3000, 10, 100000, "temperatures",
                  "退火重要性采样最多的温度数",
                  "most temperatures of annealed importance sampling"),
    {.name = NULL},
};

static dlf_status run_boltzmann(dlf_run *run)
{
    const size_t S = (size_t)dlf_run_seeds(run);
    dlf_rbm_models m = {.start = calloc(3 * S, sizeof *m.start)};
    if (!m.start) return dlf_fail(DLF_ERR_OOM, "boltzmann: out of memory");
    m.early = m.start + S;
    m.trained = m.early + S;
    dlf_status status;
    DLF_TRY_DONE(dlf_boltzmann_ring(run, 0.0, 0.1));
    DLF_TRY_DONE(dlf_boltzmann_training(run, &m, 0.1, 0.7));
    DLF_TRY_DONE(dlf_boltzmann_bias(run, &m, 0.7, 0.85));
    status = dlf_boltzmann_annealing(run, &m, 0.85, 1.0);
done:
    free(m.start);
    return status;
}

static dlf_status network(dlf_graph **out, dlf_device *device)
{
    return dlf_boltzmann_net(out, device, 2, 8, 3, 4, 5, 1.0);
}

const dlf_experiment dlf_experiment_boltzmann = {
    .slug = "boltzmann",
    .questions = "Q29",
    .title = {"什么是玻尔兹曼机？", "What is a Boltzmann machine?"},
    .claim =
        {"p = e^−E/Z；梯度是数据与模型两个均值之差，难在后者：短链（CD-k）有可以算出的偏差，"
         "退火能估计 Z",
         "p = e^−E/Z; the gradient is the difference of two means, of the data and of the "
         "model, and the latter is what is hard: short chains (CD-k) bias it by an amount that "
         "can be computed, annealing estimates Z"},
    .quick_seeds = 5,
    .full_seeds = 10,
    .params = params,
    .network = network,
    .run = run_boltzmann,
};
