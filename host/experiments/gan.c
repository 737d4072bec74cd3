/* SPDX-License-Identifier: MIT
 * gan.c -- Q20: how does a GAN work? Q23: and an autoencoder? Q45: what makes its training hard?
 *
 * Claim   The discriminator learns p/(p+q), its value is 2 JS - log 4, and the generator descends
 * it. Three things go wrong, each by a law: where the discriminator is sure the saturating gradient
 * vanishes; gradient steps of two players turn about the equilibrium instead of reaching it;
 * generators leave modes out. Control equal distributions, of which no discriminator makes
 * anything; no penalty, in the same game from the same start. */
#include "gan.h"

static const dlf_param params[] = {
    DLF_INT_PARAM("judge_rows", 8192, 32768, 64, 1000000, "rows", "判别器的训练样本数（真假各半）",
                  "rows of a discriminator, half of them real"),
    DLF_INT_PARAM("judge_steps", 1500, 6000, 1, 1000000, "steps", "判别器的训练步数",
                  "training steps of a discriminator"),
    DLF_INT_PARAM("orbit_steps", 2000, 2500, 20, 3000, "steps", "Dirac-GAN 的步数",
                  "steps of the Dirac-GAN"),
    DLF_INT_PARAM("ring_steps", 2000, 6000, 20, 1000000, "steps", "环上 GAN 的训练步数",
                  "training steps on the ring"),
    DLF_INT_PARAM("ring_width", 32, 64, 2, 1024, "units", "环上两个网络的宽度",
                  "width of both networks on the ring"),
    DLF_INT_PARAM("ring_batch", 64, 128, 2, 4096, "rows", "环上的批大小", "batch on the ring"),
    DLF_INT_PARAM("ring_noise", 8, 8, 1, 1024, "1", "环上生成器的噪声维数",
                  "dimensions of the generator's noise on the ring"),
    DLF_REAL_PARAM("ring_rate", 0.01, 0.01, 1e-6, 1.0, "1", "环上的学习率",
                   "learning rate on the ring"),
    {.name = NULL},
};

static dlf_status run_gan(dlf_run *run)
{
    DLF_TRY(dlf_gan_discriminators(run, 0.0, 0.25));
    DLF_TRY(dlf_gan_orbits(run, 0.25, 0.3));
    return dlf_gan_ring(run, 0.3, 1.0);
}

static dlf_status network(dlf_graph **out, dlf_device *device)
{
    return dlf_gan_judge(out, device, 2, 4, 8, (const double[]){0.0, 1.0});
}

const dlf_experiment dlf_experiment_gan = {
    .slug = "gan",
    .questions = "Q20,Q23,Q45",
    .title = {"GAN 的原理是什么？训练时的难点是什么？",
              "How does a GAN work, and what makes its training hard?"},
    .claim = {"判别器学到 p/(p+q)，其值是 2JS−log 4；训练难在饱和的梯度、绕着均衡转圈、丢失模态",
              "the discriminator learns p/(p+q), worth 2 JS - log 4; training is hard because "
              "gradients saturate, the players turn about the equilibrium, and modes get lost"},
    .quick_seeds = 8,
    .full_seeds = 16,
    .params = params,
    .network = network,
    .run = run_gan,
};
