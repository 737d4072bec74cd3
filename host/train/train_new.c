/* SPDX-License-Identifier: MIT
 * train_new.c -- bring data set, graph and optimiser together: what fits, and what is allocated. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/graph_internal.h"
#include "train/train_internal.h"

int train_losses(const dlf_graph *g, dlf_node *out, double *scale)
{
    int n = 0;
    for (int id = 1; id <= g->nodes; id++) {
        if (!g->node[id].minimised) continue;
        if (out) out[n] = (dlf_node){id};
        if (scale) scale[n] = g->node[id].scale;
        n++;
    }
    return n;
}

void dlf_train_free(dlf_train *t)
{
    if (!t) return;
    dlf_recording_free(t->recording);
    for (int id = 1; t->kept_running && id <= dlf_graph_nodes(t->g); id++) {
        dlf_tensor_free(&t->kept_running[id].mean);
        dlf_tensor_free(&t->kept_running[id].var);
    }
    dlf_tensor *all[] = {&t->all_x,   &t->all_label, &t->all_target, &t->orders,  &t->rates,
                         &t->clocks,  &t->index,     &t->rate,       &t->lr_now,  &t->first_bad,
                         &t->moments, &t->clip,      &t->norm,       &t->g_scale, &t->velocity,
                         &t->square,  &t->eval_loss, &t->eval_hit,   &t->kept};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) dlf_tensor_free(all[i]);
    free(t->kept_running);
    free(t->loss);
    free(t->scale);
    free(t->order);
    free(t->stopped);
    free(t->max_norm);
    free(t->lr);
    free(t->base);
    free(t->draw);
    free(t);
}

/* ---- do they fit? ---- */

static dlf_status misfit(const dlf_train *t, const char *name, const char *wanted)
{
    char shape[80] = "no such input";
    const dlf_node node = dlf_graph_find(t->g, name);
    if (node.id) graph_shape_text(&t->g->node[node.id], shape, sizeof shape);
    return dlf_fail(DLF_ERR_SHAPE,
                    "training: '%s' is %s in the graph; data set %s (%d training rows) needs %s "
                    "with (%d or 1, B, ..)",
                    name, shape, t->data->name, t->data->train, wanted, t->members);
}

/* The input of that name holds `per_row` numbers per row of the batch. */
static dlf_status find_input(dlf_train *t, const char *name, dlf_dtype dtype, int64_t per_row,
                             dlf_node *out, const char *wanted)
{
    *out = dlf_graph_find(t->g, name);
    if (!out->id) return DLF_OK;
    const graph_node *n = &t->g->node[out->id];
    const bool good = n->external && n->dtype == dtype && n->ndim >= 2 && per_row > 0 &&
                      n->shape[0] == t->owners && n->shape[1] == t->batch &&
                      graph_elements(n) == n->shape[0] * n->shape[1] * per_row;
    return good ? DLF_OK : misfit(t, name, wanted);
}

static dlf_status fit(dlf_train *t)
{
    const dlf_dataset *d = t->data;
    char wanted[96];
    const dlf_node x = dlf_graph_find(t->g, "x");
    if (!t->g->compiled) return dlf_fail(DLF_ERR_ARG, "training: compile the graph first");
    if (!x.id || t->g->node[x.id].ndim < 2) return misfit(t, "x", "an input 'x'");
    t->owners = t->g->node[x.id].shape[0];
    t->batch = (int)t->g->node[x.id].shape[1];
    snprintf(wanted, sizeof wanted, "%d numbers per row", d->features);
    DLF_TRY(find_input(t, "x", t->g->device->real, d->features, &t->x, wanted));
    DLF_TRY(find_input(t, "label", DLF_I32, d->label ? 1 : 0, &t->label, "one label per row"));
    snprintf(wanted, sizeof wanted, "%d targets per row", d->targets);
    DLF_TRY(find_input(t, "target", t->g->device->real, d->targets, &t->target, wanted));
    if (t->batch > t->rows || t->rows > d->train - t->last_base)
        return dlf_fail(DLF_ERR_SHAPE,
                        "training: batches of %d from %d rows after row %d; data set %s has %d "
                        "training rows",
                        t->batch, t->rows, t->last_base, d->name, d->train);
    for (int p = 1; p < t->members && t->owners == 1; p++)
        if (t->draw[p] != t->draw[0] || t->base[p] != t->base[0])
            return dlf_fail(DLF_ERR_ARG, "training: 'x' is shared by all members, so all draws and "
                                         "bases must be equal");
    for (int id = 1; id <= t->g->nodes; id++) {
        const graph_node *n = &t->g->node[id];
        if (n->hit.data && !t->hits.id) t->hits = (dlf_node){id};
    }
    t->logits = dlf_graph_find(t->g, "logits");
    t->losses = train_losses(t->g, NULL, NULL);
    if (t->losses == 0) return dlf_fail(DLF_ERR_ARG, "training: the graph minimises nothing");
    if (!dlf_graph_parameters(t->g))
        return dlf_fail(DLF_ERR_ARG, "training: the graph has no parameters");
    return DLF_OK;
}

/* ---- the user's arrays ---- */

static dlf_status copy_spec(dlf_train *t, const dlf_train_spec *spec)
{
    const size_t P = (size_t)t->members;
    t->draw = malloc(P * sizeof *t->draw);
    t->base = calloc(P, sizeof *t->base);
    t->lr = malloc(P * sizeof *t->lr);
    t->stopped = calloc(P, sizeof *t->stopped);
    if (spec->max_norm) t->max_norm = malloc(P * sizeof *t->max_norm);
    if (!t->draw || !t->base || !t->lr || !t->stopped || (spec->max_norm && !t->max_norm))
        return dlf_fail(DLF_ERR_OOM, "training: out of memory");
    for (size_t p = 0; p < P; p++) {
        t->draw[p] = spec->draw ? spec->draw[p] : (int32_t)p;
        if (spec->base) t->base[p] = spec->base[p];
        if (t->base[p] > t->last_base) t->last_base = t->base[p];
        t->lr[p] = spec->lr[p];
        if (spec->max_norm) t->max_norm[p] = spec->max_norm[p];
        if (!(spec->lr[p] > 0.0 && isfinite(spec->lr[p])))
            return dlf_fail(DLF_ERR_ARG, "training: learning rate %g of member %zu; it must be > 0",
                            spec->lr[p], p);
        if (t->base[p] < 0)
            return dlf_fail(DLF_ERR_ARG, "training: base %d of member %zu; rows count from 0",
                            t->base[p], p);
    }
    t->spec = *spec;
    t->spec.draw = t->draw;
    t->spec.base = t->base;
    t->spec.lr = t->lr;
    t->spec.max_norm = t->max_norm;
    t->rows = spec->rows ? spec->rows : t->data->train;
    return DLF_OK;
}

/* ---- memory ---- */

static dlf_status upload_data(dlf_train *t)
{
    const dlf_dataset *d = t->data;
    dlf_device *dev = t->g->device;
    const int64_t rows = d->train + d->test;
    DLF_TRY(dlf_tensor_new(&t->all_x, dev, dev->real, rows, d->features));
    DLF_TRY(dlf_tensor_upload(&t->all_x, d->x));
    if (t->label.id) {
        DLF_TRY(dlf_tensor_new(&t->all_label, dev, DLF_I32, rows));
        DLF_TRY(dlf_tensor_upload_i32(&t->all_label, d->label));
    }
    if (t->target.id) {
        DLF_TRY(dlf_tensor_new(&t->all_target, dev, dev->real, rows, d->targets));
        DLF_TRY(dlf_tensor_upload(&t->all_target, d->target));
    }
    return DLF_OK;
}

static dlf_status allocate_step(dlf_train *t)
{
    dlf_device *dev = t->g->device;
    const int64_t P = t->members, B = t->batch, S = t->epoch_steps;
    DLF_TRY(dlf_tensor_new(&t->orders, dev, DLF_I32, S, t->owners, B));
    DLF_TRY(dlf_tensor_new(&t->rates, dev, dev->real, S, P));
    DLF_TRY(dlf_tensor_new(&t->clocks, dev, DLF_I32, S, 1));
    DLF_TRY(dlf_tensor_new(&t->index, dev, DLF_I32, t->owners, B));
    DLF_TRY(dlf_tensor_new(&t->rate, dev, dev->real, P));
    DLF_TRY(dlf_tensor_new(&t->lr_now, dev, dev->real, P));
    DLF_TRY(dlf_tensor_new(&t->first_bad, dev, DLF_I32, P));
    DLF_TRY(dlf_tensor_new(&t->moments, dev, DLF_F64, t->losses, P, DLF_MOMENTS));
    DLF_TRY(dlf_tensor_zero(&t->moments));
    int32_t *never = malloc((size_t)P * sizeof *never);
    if (!never) return dlf_fail(DLF_ERR_OOM, "training: out of memory");
    for (int64_t p = 0; p < P; p++) never[p] = -1;
    const dlf_status status = dlf_tensor_upload_i32(&t->first_bad, never);
    free(never);
    return status;
}

static dlf_status allocate_optimiser(dlf_train *t)
{
    dlf_device *dev = t->g->device;
    const dlf_tensor *w = dlf_graph_parameters(t->g);
    const dlf_optimiser o = t->spec.optimiser;
    if (o.kind != DLF_SGD || o.momentum > 0.0) {
        DLF_TRY(dlf_tensor_init(&t->velocity, dev, w->dtype, w->ndim, w->shape));
        DLF_TRY(dlf_tensor_zero(&t->velocity));
    }
    if (o.kind != DLF_SGD) {
        DLF_TRY(dlf_tensor_init(&t->square, dev, w->dtype, w->ndim, w->shape));
        DLF_TRY(dlf_tensor_zero(&t->square));
    }
    if (!t->max_norm) return DLF_OK;
    DLF_TRY(dlf_tensor_new(&t->clip, dev, dev->real, t->members));
    DLF_TRY(dlf_tensor_new(&t->norm, dev, dev->real, t->members));
    DLF_TRY(dlf_tensor_new(&t->g_scale, dev, dev->real, t->members));
    return dlf_tensor_upload_f64(&t->clip, t->max_norm);
}

static dlf_status set_up(dlf_train *t, const dlf_train_spec *spec)
{
    DLF_TRY(copy_spec(t, spec));
    DLF_TRY(fit(t));
    t->epoch_steps = t->rows / t->batch;
    t->order = malloc((size_t)(t->epoch_steps * t->owners * t->batch) * sizeof *t->order);
    t->loss = malloc((size_t)t->losses * sizeof *t->loss);
    t->scale = malloc((size_t)t->losses * sizeof *t->scale);
    if (!t->order || !t->loss || !t->scale) return dlf_fail(DLF_ERR_OOM, "training: out of memory");
    train_losses(t->g, t->loss, t->scale);
    DLF_TRY(upload_data(t));
    DLF_TRY(allocate_step(t));
    return allocate_optimiser(t);
}

dlf_status dlf_train_new(dlf_train **out, dlf_graph *g, const dlf_dataset *data,
                         const dlf_train_spec *spec)
{
    *out = NULL;
    dlf_train *t = calloc(1, sizeof *t);
    if (!t) return dlf_fail(DLF_ERR_OOM, "training: out of memory");
    t->g = g;
    t->data = data;
    t->members = dlf_graph_members(g);
    const dlf_status status = set_up(t, spec);
    if (status == DLF_OK)
        *out = t;
    else
        dlf_train_free(t);
    return status;
}
