/* SPDX-License-Identifier: MIT
 * graph_net.h -- a network under construction, for the tests of the graph. */
#ifndef DLF_GRAPH_NET_H
#define DLF_GRAPH_NET_H
#include "kernel_test.h"

#include "dlf/graph.h"

enum { P = 3, B = 5, N = 8 };
static const dlf_node none = {0};

typedef struct net {
    dlf_graph *g;
    dlf_node x, label, target, index;
} net;

static inline dlf_node dense(net *n, const char *name, dlf_node x, int units, dlf_activation_kind f)
{
    return dlf_dense(n->g, name, x, units, dlf_activation_of(f), dlf_lecun());
}

#endif
