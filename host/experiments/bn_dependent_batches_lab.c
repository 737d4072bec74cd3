/* SPDX-License-Identifier: MIT
 * bn_dependent_batches_lab.c -- a small classifier, fed by hand. */
#include <stdlib.h>

#include "bn_dependent_batches.h"

enum { MOST_GROUPS = 8 };
const char *const dlf_lab_norms[DLF_LAB_NORMS] = {"batch_norm", "layer_norm", "group_norm", "none"};
const dlf_text dlf_lab_labels[DLF_LAB_NORMS] = {{"批归一化", "batch norm"},
                                                {"层归一化", "layer norm"},
                                                {"组归一化", "group norm"},
                                                {"不归一化", "none"}};

static dlf_node norm_layer(dlf_graph *g, dlf_node h, int norm, int hidden)
{
    static const dlf_norm_kind kinds[] = {DLF_BATCH_NORM, DLF_LAYER_NORM, DLF_GROUP_NORM};
    /* an average over 50 batches: five rounds of the ten classes */
    const dlf_norm n = {.kind = kinds[norm],
                        .groups = hidden % MOST_GROUPS ? 1 : MOST_GROUPS,
                        .eps = 1e-5,
                        .momentum = 0.02};
    return dlf_norm_layer(g, "norm", h, n);
}

static dlf_status build(dlf_graph *g, int norm, int members, int batch, int features, int hidden,
                        int classes)
{
    const dlf_activation linear = dlf_activation_of(DLF_LINEAR);
    const dlf_node x = dlf_input(g, "x", 3, (int64_t[]){members, batch, features});
    const dlf_node label = dlf_input_int(g, "label", 2, (int64_t[]){members, batch});
    dlf_node h = dlf_dense_init(g, "h", x, hidden, linear, dlf_he(), NULL);
    if (norm < DLF_LAB_NORMS - 1) h = norm_layer(g, h, norm, hidden);
    dlf_want_value(g, h);
    h = dlf_activate(g, "relu", h, dlf_activation_of(DLF_RELU));
    h = dlf_dense(g, "logits", h, classes, linear, dlf_lecun());
    dlf_want_value(g, h);
    dlf_graph_minimise(g, dlf_cross_entropy(g, "loss", h, label), 1.0 / batch);
    return dlf_graph_compile(g);
}

dlf_status dlf_lab_network(dlf_graph **out, dlf_device *device, int norm, int members, int batch,
                           int features, int hidden, int classes)
{
    DLF_TRY(dlf_graph_new(out, device, members));
    const dlf_status status = build(*out, norm, members, batch, features, hidden, classes);
    if (status == DLF_OK) return DLF_OK;
    dlf_graph_free(*out);
    *out = NULL;
    return status;
}

void dlf_lab_free(dlf_lab *lab)
{
    dlf_tensor_free(&lab->sum);
    dlf_tensor_free(&lab->velocity);
    dlf_tensor_free(&lab->rate);
    dlf_graph_free(lab->g);
    free(lab->host);
    *lab = (dlf_lab){0};
}

static dlf_status prepare(dlf_lab *lab, double rate, uint64_t seed, const int32_t *draw)
{
    const dlf_tensor *w = dlf_graph_parameters(lab->g);
    dlf_device *dev = dlf_graph_device(lab->g);
    lab->x = dlf_graph_find(lab->g, "x");
    lab->label = dlf_graph_find(lab->g, "label");
    lab->normed = dlf_graph_find(lab->g, "norm");
    lab->beta = dlf_graph_find(lab->g, "norm.beta");
    lab->logits = dlf_graph_find(lab->g, "logits");
    lab->host = malloc((size_t)(lab->members * lab->batch * lab->classes) * sizeof *lab->host);
    if (!lab->host) return dlf_fail(DLF_ERR_OOM, "dependent batches: out of memory");
    DLF_TRY(dlf_tensor_new(&lab->rate, dev, dev->real, lab->members));
    DLF_TRY(dlf_tensor_init(&lab->velocity, dev, dev->real, 2, w->shape));
    DLF_TRY(dlf_tensor_init(&lab->sum, dev, dev->real, 2, w->shape));
    DLF_TRY(dlf_tensor_zero(&lab->velocity));
    DLF_TRY(dlf_tensor_zero(&lab->sum));
    for (int p = 0; p < lab->members; p++) lab->host[p] = rate;
    DLF_TRY(dlf_tensor_upload_f64(&lab->rate, lab->host));
    return dlf_graph_initialise(lab->g, seed, draw);
}

dlf_status dlf_lab_new(dlf_lab *lab, dlf_device *device, int norm, int members, int batch,
                       int features, int hidden, int classes, double rate, uint64_t seed,
                       const int32_t *draw)
{
    *lab = (dlf_lab){.members = members, .batch = batch, .features = features, .classes = classes};
    dlf_status status =
        dlf_lab_network(&lab->g, device, norm, members, batch, features, hidden, classes);
    if (status == DLF_OK) status = prepare(lab, rate, seed, draw);
    if (status != DLF_OK) dlf_lab_free(lab);
    return status;
}

dlf_status dlf_lab_forward(dlf_lab *lab, const float *x, const int32_t *label, dlf_graph_mode mode)
{
    DLF_TRY(dlf_tensor_upload(dlf_graph_value(lab->g, lab->x), x));
    DLF_TRY(dlf_tensor_upload_i32(dlf_graph_value(lab->g, lab->label), label));
    return dlf_graph_forward(lab->g, mode);
}

dlf_status dlf_lab_learn(dlf_lab *lab, const float *x, const int32_t *label, double share)
{
    DLF_TRY(dlf_lab_forward(lab, x, label, DLF_TRAINING));
    DLF_TRY(dlf_graph_backward(lab->g));
    return dlf_axpby(&lab->sum, dlf_graph_gradients(lab->g), NULL, share, 1.0);
}

dlf_status dlf_lab_step(dlf_lab *lab)
{
    DLF_TRY(dlf_sgd_step(dlf_graph_parameters(lab->g), &lab->velocity, &lab->sum, &lab->rate, NULL,
                         (dlf_sgd_args){.momentum = 0.9}));
    return dlf_tensor_zero(&lab->sum);
}

dlf_status dlf_lab_count(dlf_lab *lab, const int32_t *label, int first, double *wrong)
{
    DLF_TRY(dlf_tensor_download_f64(lab->host, dlf_graph_value(lab->g, lab->logits)));
    for (int p = 0; p < lab->members; p++)
        for (int i = first; i < lab->batch; i++) {
            const double *z = lab->host + (p * lab->batch + i) * lab->classes;
            int best = 0;
            for (int c = 1; c < lab->classes; c++)
                if (z[c] > z[best]) best = c;
            wrong[p] += best != label[p * lab->batch + i] || !(z[best] == z[best]);
        }
    return DLF_OK;
}
