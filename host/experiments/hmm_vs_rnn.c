/* SPDX-License-Identifier: MIT
 * hmm_vs_rnn.c -- Q43: hidden Markov models and recurrent networks on sequences.
 *
 * Claim   On data of a hidden Markov model its forward algorithm is the least loss there is; a
 * recurrent network reaches it with enough data. Where k bits have to be remembered a hidden Markov
 * model of K states loses at least (k - log2 K) ln 2 nats, a recurrent network of k units nothing.
 * Control little data of the first kind, where the network loses to the right model. */
#include "hmm_vs_rnn.h"

static const dlf_param params[] = {
    DLF_INT_PARAM("symbols", 100000, 300000, 400, 100000000, "symbols",
                  "训练序列的长度，也是测试序列的长度",
                  "length of the training and test sequences"),
    DLF_INT_PARAM("time", 24, 32, 3, 1000, "steps", "循环网络展开的步数",
                  "steps that recurrent networks are unrolled"),
    DLF_INT_PARAM("steps", 500, 1500, 1, 1000000, "steps", "循环网络的训练步数",
                  "training steps of the recurrent networks"),
    DLF_INT_PARAM("rounds", 30, 60, 1, 10000, "rounds", "Baum-Welch 的轮数",
                  "rounds of Baum-Welch"),
    DLF_INT_PARAM("memory_bits", 6, 6, 2, 8, "bits", "要记住的比特数", "bits to remember"),
    DLF_INT_PARAM("copy_steps", 1000, 3000, 1, 1000000, "steps", "记忆任务的训练步数",
                  "training steps of the memory task"),
    {.name = NULL},
};

static dlf_status run_hmm_vs_rnn(dlf_run *run)
{
    DLF_TRY(dlf_hmm_floor(run, 0.0, 0.7));
    return dlf_hmm_memory(run, 0.7, 1.0);
}

static dlf_status network(dlf_graph **out, dlf_device *device)
{
    return dlf_next_symbol_network(
        out, device, &(dlf_next_symbol){.members = 2, .batch = 3, .hidden = 4, .steps = 4});
}

const dlf_experiment dlf_experiment_hmm_vs_rnn = {
    .slug = "hmm-vs-rnn",
    .questions = "Q43",
    .title = {"在处理序列问题上，比较 HMM 模型和 RNN 模型",
              "Hidden Markov models and recurrent networks: compare them on sequences"},
    .claim = {"数据来自 HMM 时，前向算法就是损失的下限，RNN 数据够多才追得上；要记住 k 个比特时，"
              "K 个状态的 HMM 至少多损失 (k − log₂K) ln 2，而 k 个单元的 RNN 一点不损失",
              "on data of a hidden Markov model its forward algorithm is the least loss and an RNN "
              "needs enough data to reach it; to remember k bits K states lose at least "
              "(k - log2 K) ln 2, k units of an RNN nothing"},
    .quick_seeds = 5,
    .full_seeds = 10,
    .params = params,
    .network = network,
    .run = run_hmm_vs_rnn,
};
