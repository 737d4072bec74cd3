/* SPDX-License-Identifier: MIT
 * autoencoder.c -- Q23: GAN and autoencoder; Q27: AE and VAE; Q32: features, and samples, from an
 * AE.
 *
 * Claim   An autoencoder reconstructs and nothing else: it is PCA where it is linear, and its codes
 * have no known distribution. A VAE pays KL for a prior, turns latents off that are worth less, and
 * can be sampled. What one generates with follows in closed form: which directions are missing,
 * where the density of the codes is wrong, what a denoiser knows of the density. Control the
 * autoencoder's decoder fed with N(0,1); an autoencoder without noise has no score. */
#include "autoencoder.h"

#include "autoencoder_nets.h"

static const dlf_param params[] = {
    DLF_INT_PARAM("pca_steps", 1500, 6000, 1, 1000000, "steps", "线性网络的训练步数",
                  "training steps of the linear nets"),
    DLF_INT_PARAM("coder_steps", 1500, 6000, 1, 1000000, "steps", "环上自编码器的训练步数",
                  "training steps on the ring"),
    DLF_INT_PARAM("coder_digits_steps", 600, 4000, 1, 1000000, "steps", "手写数字上的训练步数",
                  "training steps on the digits"),
    DLF_INT_PARAM("coder_digits_width", 64, 128, 2, 1024, "units", "手写数字上的网络宽度",
                  "width on the digits"),
    DLF_INT_PARAM("score_rows", 8192, 32768, 64, 1000000, "rows", "去噪自编码器的训练样本数",
                  "rows of the denoising autoencoder"),
    DLF_INT_PARAM("score_steps", 1500, 6000, 1, 1000000, "steps", "去噪自编码器的训练步数",
                  "training steps of the denoising autoencoder"),
    DLF_INT_PARAM("walk_steps", 200, 1000, 20, 1000000, "steps", "朗之万步数", "steps of Langevin"),
    {.name = NULL},
};

static dlf_status run_autoencoder(dlf_run *run)
{
    DLF_TRY(dlf_autoencoder_linear(run, 0.0, 0.3));
    DLF_TRY(dlf_autoencoder_ring(run, 0.3, 0.5));
    DLF_TRY(dlf_autoencoder_digits(run, 0.5, 0.85));
    return dlf_autoencoder_score(run, 0.85, 1.0);
}

static dlf_status network(dlf_graph **out, dlf_device *device)
{
    static const double sd[] = {0.5, 1.0}, noise[] = {0.0, 1.0};
    const dlf_coder_spec spec = {.members = 2,
                                 .batch = 3,
                                 .inputs = 4,
                                 .width = 6,
                                 .depth = 2,
                                 .latents = 2,
                                 .sd = sd,
                                 .noise = noise,
                                 .prior = noise};
    return dlf_coder_graph(out, device, &spec);
}

const dlf_experiment dlf_experiment_autoencoder = {
    .slug = "autoencoder",
    .questions = "Q23,Q27,Q32",
    .title = {"自编码器：与 GAN、VAE 的区别，怎样用来产生特征与样本",
              "Autoencoders: against GANs, against VAEs, and how to make features and samples with "
              "them"},
    .claim =
        {"自编码器只管重建，线性时就是 PCA；VAE 为先验付出 KL，关掉不值得的隐变量，因此能采样",
         "an autoencoder reconstructs, PCA where it is linear; a VAE pays KL for a prior, turns "
         "off latents that are not worth it, and can be sampled"},
    .quick_seeds = 5,
    .full_seeds = 10,
    .params = params,
    .network = network,
    .run = run_autoencoder,
};
