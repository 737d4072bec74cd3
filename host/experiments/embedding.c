/* SPDX-License-Identifier: MIT
 * embedding.c -- Q9: what does an embedding layer do?
 *
 * Claim   Looking a row up is multiplying by a one-hot vector, forward and backward, without the
 * V-fold work; the rows that skip-gram learns are a factorisation of the table of pointwise mutual
 *         information, so words that have the same neighbours come to lie together.
 * Control the one-hot product itself; a language whose words are independent. */
#include "embedding.h"

static const dlf_param params[] = {
    DLF_INT_PARAM("vocabulary", 1000, 4000, 4, 1000000, "rows", "比较两种算法时的词表大小",
                  "vocabulary where both ways are compared"),
    DLF_INT_PARAM("dim", 16, 64, 1, 4096, "units", "嵌入的维数", "dimensions of the embedding"),
    DLF_INT_PARAM("batch", 64, 64, 1, 65536, "rows", "一批的大小", "rows of a batch"),
    DLF_INT_PARAM("identity_steps", 20, 50, 1, 10000, "steps", "两种算法各训练的步数",
                  "training steps in both ways"),
    DLF_INT_PARAM("largest", 14, 17, 8, 22, "bits", "计时的最大词表，2 的幂",
                  "largest vocabulary that is timed, as a power of 2"),
    DLF_INT_PARAM("word_steps", 8000, 20000, 1, 1000000, "steps", "词向量的训练步数",
                  "training steps of the word vectors"),
    DLF_REAL_PARAM("negatives", 5.0, 5.0, 0.1, 1000.0, "1", "每个正样本的负样本数 k",
                   "negative samples per positive one, k"),
    {.name = NULL},
};

static dlf_status run_embedding(dlf_run *run)
{
    DLF_TRY(dlf_embedding_identity(run, 0.0, 0.1));
    DLF_TRY(dlf_embedding_words(run, 0.1, 0.8));
    return dlf_embedding_cost(run, 0.8, 1.0);
}

const dlf_experiment dlf_experiment_embedding = {
    .slug = "embedding",
    .questions = "Q9",
    .title = {"Embedding Layer的作用是什么？", "What does an embedding layer do?"},
    .claim =
        {"查表等于与 one-hot 向量相乘，却省去 V 倍的计算；学到的词向量是点互信息矩阵的低秩分解",
         "a lookup is a product with a one-hot vector without the V-fold work; learned word "
         "vectors are a low-rank factorisation of pointwise mutual information"},
    .quick_seeds = 5,
    .full_seeds = 16,
    .params = params,
    .run = run_embedding,
};
