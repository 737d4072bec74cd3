/* SPDX-License-Identifier: MIT
 * norm_batch_size_nets.c -- the networks of `norm-batch-size` and their training. */
#include <stdio.h>
#include <stdlib.h>

#include "dlf/conv.h"
#include "dlf/train.h"
#include "norm_batch_size.h"

enum { HIDDEN = 3, CHANNELS = 8 };

const char *const dlf_nbs_ids[DLF_NBS_KINDS] = {"batch_norm", "layer_norm", "group_norm",
                                                "instance_norm", "none"};
const dlf_text dlf_nbs_labels[DLF_NBS_KINDS] = {{"批归一化", "batch norm"},
                                                {"层归一化", "layer norm"},
                                                {"组归一化", "group norm"},
                                                {"实例归一化", "instance norm"},
                                                {"不归一化（学习率 1/5）", "no norm (lr/5)"}};

/* norm and relu; without norm relu alone */
static dlf_node normed(dlf_graph *g, const dlf_nbs_job *job, const char *name, dlf_node x)
{
    static const dlf_norm_kind kinds[] = {DLF_BATCH_NORM, DLF_LAYER_NORM, DLF_GROUP_NORM,
                                          DLF_INSTANCE_NORM};
    if (job->kind == DLF_NBS_NONE) return dlf_activate(g, name, x, dlf_activation_of(DLF_RELU));
    /* small batches: a longer average for the noisier statistics (norm.h: running) */
    const dlf_norm norm = {.kind = kinds[job->kind],
                           .groups = job->groups,
                           .eps = 1e-5,
                           .momentum = job->batch <= 8 ? 0.01 : 0.1,
                           .activation = dlf_activation_of(DLF_RELU)};
    return dlf_norm_layer(g, name, x, norm);
}

/* A bias is of no use below a norm, which subtracts it. */
static dlf_node dense_body(dlf_graph *g, const dlf_nbs_job *job, dlf_node h, int width)
{
    const dlf_init zero = dlf_init_constant(0.0);
    for (int l = 1; l <= HIDDEN; l++) {
        char name[16], norm[16];
        snprintf(name, sizeof name, "h%d", l);
        snprintf(norm, sizeof norm, "norm%d", l);
        h = dlf_dense_init(g, name, h, width, dlf_activation_of(DLF_LINEAR), dlf_he(),
                           job->kind == DLF_NBS_NONE ? &zero : NULL);
        h = normed(g, job, norm, h);
    }
    return h;
}

/* Twice: 3x3 convolution, norm, relu, 2x2 maximum. */
static dlf_node conv_body(dlf_graph *g, const dlf_nbs_job *job, dlf_node h)
{
    const dlf_init zero = dlf_init_constant(0.0);
    const dlf_pool pool = {.kind = DLF_POOL_MAX, .kernel = {2, 2}, .stride = {2, 2}};
    for (int l = 1; l <= 2; l++) {
        char name[16], norm[16];
        snprintf(name, sizeof name, "conv%d", l);
        snprintf(norm, sizeof norm, "norm%d", l);
        h = dlf_conv_layer_init(g, name, h, CHANNELS * l, dlf_conv_of(DLF_NCHW, 3, 1, 1),
                                dlf_activation_of(DLF_LINEAR), dlf_he(),
                                job->kind == DLF_NBS_NONE ? &zero : NULL);
        h = dlf_pooling(g, NULL, normed(g, job, norm, h), pool);
    }
    const dlf_node_info info = dlf_graph_node(g, h);
    if (info.ndim != 5) return h; /* an earlier error, which compile reports */
    return dlf_view(
        g, "flat", h, 3,
        (int64_t[]){info.shape[0], info.shape[1], info.shape[2] * info.shape[3] * info.shape[4]});
}

static dlf_status build(dlf_graph *g, const dlf_nbs_job *job, int width, const dlf_dataset *d)
{
    const int64_t P = dlf_graph_members(g), B = job->batch;
    const dlf_node x =
        job->conv ? dlf_input(g, "x", 5, (int64_t[]){P, B, d->channels, d->height, d->width})
                  : dlf_input(g, "x", 3, (int64_t[]){P, B, d->features});
    const dlf_node label = dlf_input_int(g, "label", 2, (int64_t[]){P, B});
    const dlf_node h = job->conv ? conv_body(g, job, x) : dense_body(g, job, x, width);
    const dlf_node z =
        dlf_dense(g, "logits", h, d->classes, dlf_activation_of(DLF_LINEAR), dlf_lecun());
    dlf_graph_minimise(g, dlf_cross_entropy(g, "loss", z, label), 1.0 / (double)B);
    return dlf_graph_compile(g);
}

dlf_status dlf_nbs_network(dlf_graph **out, dlf_device *device, const dlf_nbs_job *job, int members,
                           int width, const dlf_dataset *shape)
{
    DLF_TRY(dlf_graph_new(out, device, members));
    const dlf_status status = build(*out, job, width, shape);
    if (status == DLF_OK) return DLF_OK;
    dlf_graph_free(*out);
    *out = NULL;
    return status;
}

static dlf_status steps(dlf_run *run, dlf_train *t, const dlf_nbs_job *job, double from, double to)
{
    const int wanted = dlf_train_epoch_steps(t) * job->epochs;
    const int most = dlf_run_int(run, "most_steps"), n = wanted < most ? wanted : most;
    for (int i = 0; i < n; i += 50) {
        DLF_TRY(dlf_run_stage(run, from + (to - from) * i / n, "%s, batch %d",
                              dlf_nbs_labels[job->kind].en, job->batch));
        DLF_TRY(dlf_train_run(t, n - i < 50 ? n - i : 50));
    }
    return DLF_OK;
}

dlf_status dlf_nbs_train(dlf_run *run, const dlf_dataset *data, const dlf_nbs_job *job,
                         double *error, double *diverged, double from, double to)
{
    const int S = dlf_run_seeds(run), most = dlf_run_int(run, "test_rows");
    const int rows = data->test < most ? data->test : most;
    dlf_graph *g = NULL;
    dlf_train *t = NULL;
    dlf_status status;
    double *lr = malloc((size_t)S * sizeof *lr);
    int32_t *bad = malloc((size_t)S * sizeof *bad);
    if (!lr || !bad) {
        status = dlf_fail(DLF_ERR_OOM, "batch sizes: out of memory");
        goto done;
    }
    for (int s = 0; s < S; s++)
        lr[s] = 0.1 * job->batch / 32.0 * (job->kind == DLF_NBS_NONE ? 0.2 : 1.0);
    DLF_TRY_DONE(
        dlf_nbs_network(&g, dlf_run_device(run), job, S, dlf_run_int(run, "digits_width"), data));
    DLF_TRY_DONE(dlf_graph_initialise(g, dlf_run_seed(run), NULL));
    DLF_TRY_DONE(dlf_train_new(
        &t, g, data,
        &(dlf_train_spec){.seed = dlf_run_seed(run), .lr = lr, .optimiser = dlf_sgd(0.9, 0.0)}));
    DLF_TRY_DONE(steps(run, t, job, from, to));
    DLF_TRY_DONE(dlf_train_evaluate(t, data->train, rows, NULL, error));
    DLF_TRY_DONE(dlf_train_diverged(t, bad));
    *diverged = 0.0;
    for (int s = 0; s < S; s++) {
        error[s] = 1.0 - error[s];
        *diverged += (double)(bad[s] >= 0) / S;
    }
done:
    dlf_train_free(t);
    dlf_graph_free(g);
    free(bad);
    free(lr);
    return status;
}
