/* SPDX-License-Identifier: MIT
 * plan.c -- which nodes have gradients, how long every value and gradient lives, and where in one
 * block it lies.
 *
 * Steps are numbered through: forward 0..F-1 in the order the nodes were made, backward F.. in the
 * opposite order. A value lives from its forward to the last step that reads it; a gradient from
 * the first backward step that writes it to the backward step of its node. Two pieces may share
 * bytes if their intervals do not meet (at one step reads and writes overlap, so touching intervals
 * do). What an op may do in place is merged first: then the two are one piece. */
#include <stdlib.h>
#include <string.h>

#include "graph/graph_internal.h"

int graph_store_of(const dlf_graph *g, int store)
{
    while (store >= 0 && g->store[store].merged >= 0) store = g->store[store].merged;
    return store;
}

unsigned graph_saves(const dlf_graph *g, const graph_node *n)
{
    return n->active && n->op->saves ? n->op->saves(g, n) : 0;
}

/* ---- who takes part ---- */

static dlf_status find_active(dlf_graph *g)
{
    for (int id = 1; id <= g->nodes; id++) {
        graph_node *n = &g->node[id];
        n->has_gradient = n->parameter || n->want_gradient;
        for (int i = 0; i < n->inputs; i++) {
            const graph_node *x = graph_input(g, n, i);
            n->has_gradient |= x && x->has_gradient;
            if (x && x->has_gradient && n->op->constant >> i & 1u)
                return graph_refuse(g, n, "'%s' has a gradient that this op does not pass on",
                                    x->name);
        }
    }
    for (int id = g->nodes; id >= 1; id--) {
        graph_node *n = &g->node[id];
        if (n->minimised || n->seeded) n->active = n->has_gradient;
        for (int i = 0; i < n->inputs && n->active; i++)
            if (n->input[i]) g->node[n->input[i]].active |= g->node[n->input[i]].has_gradient;
    }
    return DLF_OK;
}

static void number_steps(dlf_graph *g)
{
    for (int id = 1; id <= g->nodes; id++)
        g->node[id].forward_step = g->node[id].op ? g->forward_steps++ : -1;
    for (int id = g->nodes; id >= 1; id--) {
        graph_node *n = &g->node[id];
        const bool runs = n->op && n->active;
        n->backward_step = runs ? g->forward_steps + g->backward_steps++ : -1;
    }
}

/* ---- pieces ---- */

static int new_store(dlf_graph *g, const graph_node *n, int first, int last)
{
    enum { ALIGN = 64 };                               /* elements: 256 bytes of float */
    int64_t elements = graph_elements(n) / g->members; /* of one member: see graph->row */
    if (g->stores == g->stores_room) {
        const int room = g->stores_room ? 2 * g->stores_room : 64;
        graph_store *grown = realloc(g->store, (size_t)room * sizeof *grown);
        if (!grown) return -1;
        g->store = grown;
        g->stores_room = room;
    }
    elements = (elements + ALIGN - 1) / ALIGN * ALIGN;
    g->store[g->stores] = (graph_store){elements, 0, first, last, -1};
    return g->stores++;
}

/* b becomes part of a. */
static void merge(dlf_graph *g, int a, int b)
{
    a = graph_store_of(g, a);
    b = graph_store_of(g, b);
    if (a == b) return;
    graph_store *x = &g->store[a], *y = &g->store[b];
    if (y->first < x->first) x->first = y->first;
    if (y->last > x->last) x->last = y->last;
    if (y->elements > x->elements) x->elements = y->elements;
    y->merged = a;
}

/* The step after which nobody reads the value of node id any more. */
static int last_read(const dlf_graph *g, int id)
{
    const graph_node *n = &g->node[id];
    int last = g->node[id].forward_step;
    if (n->want_value || (n->op && n->op->is_loss)) return g->forward_steps + g->backward_steps;
    if (n->op && graph_saves(g, n) & SAVES_OUTPUT) last = g->node[id].backward_step;
    for (int k = id + 1; k <= g->nodes; k++) {
        const graph_node *reader = &g->node[k];
        for (int i = 0; i < reader->inputs; i++) {
            if (reader->input[i] != id) continue;
            int step = reader->forward_step;
            if (graph_saves(g, reader) >> i & 1u) step = reader->backward_step;
            if (step > last) last = step;
        }
    }
    return last;
}

static dlf_status plan_values(dlf_graph *g)
{
    for (int id = 1; id <= g->nodes; id++) {
        graph_node *n = &g->node[id];
        if (!n->op) continue;
        const int shared = n->op->shares ? n->input[0] : 0;
        if (shared && g->node[shared].value_store < 0) continue; /* a view of a leaf */
        n->value_store = new_store(g, n, g->node[id].forward_step, last_read(g, id));
        if (n->value_store < 0) return graph_fail(g, DLF_ERR_OOM, "graph: out of memory");
        if (shared) merge(g, g->node[shared].value_store, n->value_store);
    }
    /* In place, where the input's last reader is this very step. Views are merged by now, so a
     * piece's `last` speaks for all names of the memory. */
    for (int id = 1; id <= g->nodes; id++) {
        graph_node *n = &g->node[id];
        for (int i = 0; i < n->inputs && n->op; i++) {
            const int x = n->input[i] ? graph_store_of(g, g->node[n->input[i]].value_store) : -1;
            const int y = graph_store_of(g, n->value_store);
            if (!(n->op->value_alias >> i & 1u) || x < 0 || x == y) continue;
            if (g->store[x].last != g->node[id].forward_step ||
                graph_elements(&g->node[n->input[i]]) != graph_elements(n))
                continue;
            merge(g, x, y);
            break;
        }
    }
    return DLF_OK;
}

/* The first backward step that writes the gradient of node id; -1: none. */
static int first_write(const dlf_graph *g, int id)
{
    if (g->node[id].seeded) return g->node[id].backward_step >= 0 ? g->forward_steps : -1;
    for (int k = g->nodes; k > id; k--) {
        const graph_node *reader = &g->node[k];
        if (!reader->active || !reader->op) continue;
        for (int i = 0; i < reader->inputs; i++)
            if (reader->input[i] == id) return reader->backward_step;
    }
    return -1;
}

static bool planned_gradient(const graph_node *n)
{
    return n->active && !n->parameter && !(n->op && n->op->is_loss);
}

static dlf_status plan_gradients(dlf_graph *g)
{
    const int end = g->forward_steps + g->backward_steps;
    for (int id = g->nodes; id >= 1; id--) {
        graph_node *n = &g->node[id];
        if (!planned_gradient(n)) continue;
        const int first = first_write(g, id);
        const int last = n->want_gradient ? end : g->node[id].backward_step;
        n->gradient_store = new_store(g, n, first, last < first ? first : last);
        if (n->gradient_store < 0) return graph_fail(g, DLF_ERR_OOM, "graph: out of memory");
    }
    /* In place: dx is first written here, and dy has no other reader. */
    for (int id = g->nodes; id >= 1; id--) {
        const graph_node *n = &g->node[id];
        if (!planned_gradient(n) || !n->op || n->want_gradient) continue;
        for (int i = 0; i < n->inputs; i++) {
            const graph_node *x = graph_input(g, n, i);
            if (!x || !(n->op->gradient_alias >> i & 1u) || !planned_gradient(x) || x->seeded)
                continue;
            int uses = 0;
            for (int j = 0; j < n->inputs; j++) uses += n->input[j] == n->input[i];
            if (uses > 1 || first_write(g, n->input[i]) != g->node[id].backward_step) continue;
            merge(g, n->gradient_store, x->gradient_store);
            break;
        }
    }
    return DLF_OK;
}

/* Where an op overwrites dx but another has written to it before, or nobody wants dx but the op
 * writes it all the same: memory for its result. */
static dlf_status plan_temporaries(dlf_graph *g)
{
    for (int id = g->nodes; id >= 1; id--) {
        graph_node *n = &g->node[id];
        if (!n->op || !n->active) continue;
        const int step = g->node[id].backward_step;
        for (int i = 0; i < n->inputs; i++) {
            const graph_node *x = graph_input(g, n, i);
            if (!x || (!x->active && !(n->op->always_writes >> i & 1u))) continue;
            bool before = x->seeded || first_write(g, n->input[i]) < step;
            for (int j = 0; j < i; j++) before |= n->input[j] == n->input[i];
            n->call.beta[i] = before ? 1.0 : 0.0;
            if (x->active && (!before || n->op->accumulates >> i & 1u)) continue;
            n->temp_store[i] = new_store(g, x, step, step);
            if (n->temp_store[i] < 0) return graph_fail(g, DLF_ERR_OOM, "graph: out of memory");
            n->call.beta[i] = 0.0;
        }
    }
    return DLF_OK;
}

/* ---- offsets ---- */

typedef int (*store_order)(const graph_store *a, const graph_store *b);

static int64_t span(const graph_store *s)
{
    return s->last - s->first + 1;
}
static int compare(int64_t a, int64_t b)
{
    return a < b ? -1 : a > b;
}
static int larger_first(const graph_store *a, const graph_store *b)
{
    const int c = compare(b->elements, a->elements);
    return c ? c : compare(a->first, b->first);
}
static int earlier_first(const graph_store *a, const graph_store *b)
{
    const int c = compare(a->first, b->first);
    return c ? c : compare(b->elements, a->elements);
}
static int longer_first(const graph_store *a, const graph_store *b)
{
    const int c = compare(span(b), span(a));
    return c ? c : compare(b->elements, a->elements);
}
static int heavier_first(const graph_store *a, const graph_store *b)
{
    const int c = compare(b->elements * span(b), a->elements * span(a));
    return c ? c : compare(a->first, b->first);
}

/* Lowest offset at which piece k meets none of the placed ones. */
static int64_t lowest_gap(const dlf_graph *g, const int *placed, int n, int k)
{
    const graph_store *s = &g->store[k];
    int64_t at = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (int i = 0; i < n; i++) {
            const graph_store *t = &g->store[placed[i]];
            const bool meet = t->first <= s->last && s->first <= t->last;
            if (meet && at < t->at + t->elements && t->at < at + s->elements) {
                at = t->at + t->elements;
                moved = true;
            }
        }
    }
    return at;
}

/* Place all pieces in the given order; returns the size of the block. */
static int64_t place(dlf_graph *g, int *order, int n, store_order before)
{
    for (int i = 1; i < n; i++) /* insertion sort: n is hundreds */
        for (int j = i; j > 0; j--) {
            int c = before(&g->store[order[j]], &g->store[order[j - 1]]);
            if (c == 0) c = order[j] - order[j - 1];
            if (c > 0) break;
            const int swap = order[j];
            order[j] = order[j - 1];
            order[j - 1] = swap;
        }
    int64_t size = 0;
    for (int i = 0; i < n; i++) {
        graph_store *s = &g->store[order[i]];
        s->at = lowest_gap(g, order, i, order[i]);
        if (s->at + s->elements > size) size = s->at + s->elements;
    }
    return size;
}

static dlf_status plan_offsets(dlf_graph *g)
{
    static const store_order orders[] = {larger_first, heavier_first, earlier_first, longer_first};
    enum { ORDERS = sizeof orders / sizeof orders[0] };
    const int64_t real = (int64_t)dlf_dtype_size(g->device->real) * g->members;
    int *order = malloc((size_t)(g->stores + 1) * sizeof *order);
    if (!order) return graph_fail(g, DLF_ERR_OOM, "graph: out of memory");
    int n = 0;
    for (int k = 0; k < g->stores; k++)
        if (g->store[k].merged < 0) {
            order[n++] = k;
            g->memory.unshared += g->store[k].elements * real;
        }
    for (int step = 0; step < g->forward_steps + g->backward_steps; step++) {
        int64_t live = 0;
        for (int i = 0; i < n; i++) {
            const graph_store *s = &g->store[order[i]];
            if (s->first <= step && step <= s->last) live += s->elements;
        }
        if (live * real > g->memory.lower_bound) {
            g->memory.lower_bound = live * real;
            g->memory.peak_step = step;
        }
    }
    int best = 0;
    int64_t least = INT64_MAX;
    for (int i = 0; i < ORDERS; i++) {
        const int64_t size = place(g, order, n, orders[i]);
        if (size < least) {
            least = size;
            best = i;
        }
    }
    g->row = place(g, order, n, orders[best]);
    g->memory.planned = g->row * real;
    free(order);
    return DLF_OK;
}

dlf_status graph_plan(dlf_graph *g)
{
    DLF_TRY(find_active(g));
    number_steps(g);
    DLF_TRY(plan_values(g));
    DLF_TRY(plan_gradients(g));
    DLF_TRY(plan_temporaries(g));
    return plan_offsets(g);
}
