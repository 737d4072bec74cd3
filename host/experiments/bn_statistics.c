/* SPDX-License-Identifier: MIT
 * bn_statistics.c -- Q25: what a batch statistic is worth. The laws of mean, variance and output of
 * batch norm over B values, exactly, against the library's own kernel.
 *
 * Claim   Batch norm's output is uniform on a sphere of dimension B-2: small batches destroy
 *         magnitudes (B = 2 leaves a sign), and what the layer does in training is only correlated
 *         to rho_B with what it does in evaluation.
 * Control Layer norm and group norm on the same draws: their law depends on the number of features,
 *         not on B. */
#include "bn_statistics.h"

#include <stdlib.h>

#include "dlf/rng.h"

static const dlf_param params[] = {
    DLF_INT_PARAM("values", 1 << 18, 1 << 20, 128, 1 << 26, "values",
                  "每个批大小、每个种子的随机数个数", "random values per batch size and seed"),
    DLF_INT_PARAM("features", 32, 32, 8, 1024, "features", "层归一化对照组的特征数（8 的倍数）",
                  "features of the layer-norm control, a multiple of 8"),
    DLF_INT_PARAM("fold_positions", 65536, 262144, 16, 1 << 22, "positions", "折叠测量的位置数",
                  "positions of the folding measurement"),
    {.name = NULL},
};

void dlf_bn_sample_free(dlf_bn_sample *s)
{
    free(s->x);
    free(s->y);
    free(s->mean);
    free(s->rstd);
    *s = (dlf_bn_sample){0};
}

static dlf_status fill(dlf_bn_sample *s, dlf_run *run, dlf_norm norm, dlf_tensor *x,
                       dlf_tensor *mean, dlf_tensor *rstd)
{
    const bool batch = norm.kind == DLF_BATCH_NORM;
    const size_t n = (size_t)dlf_tensor_count(x);
    const dlf_rng rng = {dlf_run_seed(run),
                         dlf_stream(DLF_PURPOSE_INPUT, (uint32_t)(2 * s->rows + !batch))};
    s->x = malloc(n * sizeof *s->x);
    s->y = malloc(n * sizeof *s->y);
    if (!s->x || !s->y) return dlf_fail(DLF_ERR_OOM, "batches of %d: out of memory", s->rows);
    DLF_TRY(dlf_random_normal(x, NULL, NULL, rng));
    DLF_TRY(dlf_tensor_download(s->x, x));
    norm.eps = 1e-30;
    DLF_TRY(dlf_norm_forward(
        &(dlf_norm_fwd){.y = x, .x = x, .mean = batch ? mean : NULL, .rstd = batch ? rstd : NULL},
        &norm));
    DLF_TRY(dlf_tensor_download(s->y, x));
    if (!batch) return DLF_OK;
    s->mean = malloc((size_t)(s->members * s->columns) * sizeof *s->mean);
    s->rstd = malloc((size_t)(s->members * s->columns) * sizeof *s->rstd);
    if (!s->mean || !s->rstd) return dlf_fail(DLF_ERR_OOM, "batches: out of memory");
    DLF_TRY(dlf_tensor_download_f64(s->mean, mean));
    return dlf_tensor_download_f64(s->rstd, rstd);
}

dlf_status dlf_bn_sample_new(dlf_bn_sample *out, dlf_run *run, dlf_norm norm, int members, int rows,
                             int columns)
{
    dlf_device *dev = dlf_run_device(run);
    dlf_tensor x = {0}, mean = {0}, rstd = {0};
    dlf_status status;
    *out = (dlf_bn_sample){.members = members, .rows = rows, .columns = columns};
    DLF_TRY_DONE(dlf_tensor_new(&x, dev, dev->real, out->members, rows, columns));
    DLF_TRY_DONE(dlf_tensor_new(&mean, dev, DLF_F64, out->members, columns));
    DLF_TRY_DONE(dlf_tensor_new(&rstd, dev, dev->real, out->members, columns));
    DLF_TRY_DONE(fill(out, run, norm, &x, &mean, &rstd));
done:
    dlf_tensor_free(&rstd);
    dlf_tensor_free(&mean);
    dlf_tensor_free(&x);
    if (status != DLF_OK) dlf_bn_sample_free(out);
    return status;
}

static dlf_status run_bn_statistics(dlf_run *run)
{
    DLF_TRY(dlf_bn_laws(run, 0.0, 0.45));
    DLF_TRY(dlf_bn_histogram(run, 0.45, 0.7));
    DLF_TRY(dlf_bn_space(run, 0.7, 0.9));
    return dlf_bn_folding(run, 0.9, 1.0);
}

const dlf_experiment dlf_experiment_bn_statistics = {
    .slug = "bn-statistics",
    .questions = "Q25",
    .title = {"在深度神经网络中使用Batch-Norm会有什么问题吗？批统计量的定律",
              "What problems can Batch Norm cause? The laws of batch statistics"},
    .claim =
        {"批越小，批归一化的输出保留的信息越少，训练与推理时做的事也越不一样",
         "the smaller the batch, the less batch norm's output tells, and the less training and "
         "evaluation do the same"},
    .quick_seeds = 5,
    .full_seeds = 16,
    .params = params,
    .run = run_bn_statistics,
};
