/* SPDX-License-Identifier: MIT
 * shapes.c -- shape rules that several ops share. */
#include <string.h>

#include "graph/graph_internal.h"

dlf_status graph_same_as(dlf_graph *g, graph_node *n, int input)
{
    const graph_node *x = graph_input(g, n, input);
    if (x->dtype != g->device->real) return graph_refuse(g, n, "it takes real numbers");
    n->ndim = x->ndim;
    memcpy(n->shape, x->shape, sizeof n->shape);
    return DLF_OK;
}

dlf_status graph_expect_axes(dlf_graph *g, const graph_node *n, int input, int ndim)
{
    const graph_node *x = graph_input(g, n, input);
    if (x->ndim == ndim && x->dtype == g->device->real) return DLF_OK;
    return graph_refuse(g, n, "'%s' must be real with %d axes", x->name, ndim);
}

bool graph_same_shape(const graph_node *a, const graph_node *b)
{
    return a->dtype == b->dtype && a->ndim == b->ndim &&
           memcmp(a->shape, b->shape, (size_t)a->ndim * sizeof *a->shape) == 0;
}
