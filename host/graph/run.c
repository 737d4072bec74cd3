/* SPDX-License-Identifier: MIT
 * run.c -- compile: plan, allocate, point every call at its memory; then forward and backward. */
#include <stdlib.h>
#include <string.h>

#include "graph/graph_internal.h"

/* ---- memory ---- */

static dlf_tensor in_block(const dlf_graph *g, int store, const graph_node *like)
{
    const graph_store *s = &g->store[graph_store_of(g, store)];
    dlf_tensor t = {.data = (char *)g->block.data + (size_t)s->at * dlf_dtype_size(like->dtype),
                    .device = g->device,
                    .dtype = like->dtype,
                    .ndim = like->ndim,
                    .stride = g->row,
                    .view = true};
    memcpy(t.shape, like->shape, sizeof t.shape);
    return t;
}

static dlf_status allocate_leaf(dlf_graph *g, graph_node *n)
{
    if (n->parameter) {
        n->value = dlf_tensor_window(&g->parameters, n->offset, n->ndim, n->shape);
        n->gradient = dlf_tensor_window(&g->gradients, n->offset, n->ndim, n->shape);
        return DLF_OK;
    }
    DLF_TRY(dlf_tensor_init(&n->value, g->device, n->dtype, n->ndim, n->shape));
    if (n->hyper) DLF_TRY(dlf_tensor_upload_f64(&n->value, n->given));
    const int64_t bytes = graph_elements(n) * (int64_t)dlf_dtype_size(n->dtype);
    *(n->hyper ? &g->memory.parameters : &g->memory.inputs) += bytes;
    return DLF_OK;
}

static dlf_status allocate(dlf_graph *g)
{
    dlf_device *dev = g->device;
    const int64_t real = (int64_t)dlf_dtype_size(dev->real);
    DLF_TRY(dlf_tensor_new(&g->clock, dev, DLF_I32, 1));
    DLF_TRY(dlf_tensor_zero(&g->clock));
    DLF_TRY(dlf_tensor_new(&g->draw, dev, DLF_I32, g->members));
    if (g->parameter_elements) {
        DLF_TRY(dlf_tensor_new(&g->parameters, dev, dev->real, g->members, g->parameter_elements));
        DLF_TRY(dlf_tensor_new(&g->gradients, dev, dev->real, g->members, g->parameter_elements));
        DLF_TRY(dlf_tensor_zero(&g->parameters)); /* the padding between parameters stays 0 */
        DLF_TRY(dlf_tensor_zero(&g->gradients));
        g->memory.parameters += 2 * g->members * g->parameter_elements * real;
    }
    if (g->memory.planned) DLF_TRY(dlf_tensor_new(&g->block, dev, dev->real, g->members, g->row));
    for (int id = 1; id <= g->nodes; id++) {
        graph_node *n = &g->node[id];
        if (!n->op) {
            DLF_TRY(allocate_leaf(g, n));
        } else if (n->value_store >= 0) {
            n->value = in_block(g, n->value_store, n);
        } else { /* a view of a leaf */
            n->value = dlf_tensor_reshape(&g->node[n->input[0]].value, n->ndim, n->shape);
        }
        if (n->op && n->op->allocate) DLF_TRY(n->op->allocate(g, n));
        if (n->gradient_store >= 0) {
            n->gradient = in_block(g, n->gradient_store, n);
        } else if (n->want_gradient && !n->parameter) { /* nothing flows here: it stays 0 */
            DLF_TRY(dlf_tensor_init(&n->gradient, dev, n->dtype, n->ndim, n->shape));
            DLF_TRY(dlf_tensor_zero(&n->gradient));
        }
        if (n->seeded) {
            DLF_TRY(dlf_tensor_init(&n->seed, dev, n->dtype, n->ndim, n->shape));
            DLF_TRY(dlf_tensor_zero(&n->seed));
        }
    }
    return DLF_OK;
}

/* Where each backward call reads and writes. */
static void point_calls(dlf_graph *g)
{
    for (int id = 1; id <= g->nodes; id++) {
        graph_node *n = &g->node[id];
        if (n->backward_step < 0) continue;
        n->call.dy = n->op->is_loss ? NULL : &n->gradient;
        for (int i = 0; i < n->inputs; i++) {
            const graph_node *x = graph_input(g, n, i);
            if (!x) continue;
            if (x->active) {
                n->target[i] = x->gradient;
                n->target[i].view = true;
                n->call.dx[i] = &n->target[i];
            }
            if (n->temp_store[i] < 0) continue;
            n->temp[i] = in_block(g, n->temp_store[i], x);
            n->call.dx[i] = &n->temp[i];
        }
    }
}

dlf_status dlf_graph_compile(dlf_graph *g)
{
    if (g->failed != DLF_OK) return dlf_fail(g->failed, "%s", g->message);
    if (g->compiled) return dlf_fail(DLF_ERR_ARG, "graph: it is compiled already");
    DLF_TRY(graph_plan(g));
    DLF_TRY(allocate(g));
    point_calls(g);
    g->compiled = true;
    return graph_make_lanes(g);
}

/* ---- run ---- */

static dlf_status must_be_compiled(const dlf_graph *g)
{
    if (g->compiled) return DLF_OK;
    if (g->failed != DLF_OK) return dlf_fail(g->failed, "%s", g->message);
    return dlf_fail(DLF_ERR_ARG, "graph: call dlf_graph_compile first");
}

dlf_status graph_run_forward(dlf_graph *g, dlf_graph_mode mode)
{
    for (int id = 1; id <= g->nodes; id++) {
        graph_node *n = &g->node[id];
        if (n->op) DLF_TRY(n->op->forward(g, n, mode));
    }
    return DLF_OK;
}

static dlf_status run_backward(dlf_graph *g, graph_node *n)
{
    DLF_TRY(n->op->backward(g, n, &n->call));
    for (int i = 0; i < n->inputs; i++)
        if (n->temp_store[i] >= 0 && n->target[i].data)
            DLF_TRY(dlf_axpby(&n->target[i], &n->temp[i], NULL, 1.0, 1.0));
    return DLF_OK;
}

dlf_status graph_run_backward(dlf_graph *g)
{
    for (int id = 1; id <= g->nodes; id++) {
        graph_node *n = &g->node[id];
        if (n->seeded && n->active) DLF_TRY(dlf_tensor_copy(&n->gradient, &n->seed));
    }
    for (int id = g->nodes; id >= 1; id--) {
        graph_node *n = &g->node[id];
        if (n->backward_step >= 0) DLF_TRY(run_backward(g, n));
    }
    return DLF_OK;
}

static dlf_status forward_body(dlf_graph *lane, int first, int count, void *user)
{
    (void)first, (void)count;
    return graph_run_forward(lane, *(const dlf_graph_mode *)user);
}

static dlf_status backward_body(dlf_graph *lane, int first, int count, void *user)
{
    (void)first, (void)count, (void)user;
    return graph_run_backward(lane);
}

dlf_status dlf_graph_forward(dlf_graph *g, dlf_graph_mode mode)
{
    DLF_TRY(must_be_compiled(g));
    return graph_for_members(g, forward_body, &mode);
}

dlf_status dlf_graph_backward(dlf_graph *g)
{
    DLF_TRY(must_be_compiled(g));
    return graph_for_members(g, backward_body, NULL);
}

dlf_status dlf_graph_set_hyper(dlf_graph *g, dlf_node hyper, const double *values)
{
    graph_node *n = graph_at(g, hyper);
    DLF_TRY(must_be_compiled(g));
    if (!n || !n->hyper) return dlf_fail(DLF_ERR_ARG, "graph: set_hyper on a node that is none");
    memcpy(n->given, values, (size_t)g->members * sizeof *values);
    DLF_TRY(dlf_tensor_upload_f64(&n->value, values));
    for (int id = 1; id <= g->nodes; id++) { /* what ops derived from it */
        graph_node *reader = &g->node[id];
        for (int i = 0; i < reader->inputs; i++)
            if (reader->input[i] == hyper.id && reader->op->hyper_changed)
                DLF_TRY(reader->op->hyper_changed(g, reader));
    }
    return DLF_OK;
}
