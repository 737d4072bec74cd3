/* SPDX-License-Identifier: MIT
 * lanes.c -- on host memory, threads take members instead of sharing every op.
 *
 * Members do not see each other. A thread that runs the whole graph for some members at a time
 * meets the others once per run instead of once per op, and what it works on stays in its own
 * cache: a member of a small network needs half a megabyte, a population of 128 sixty. A lane is a
 * copy of the graph's nodes whose tensors are windows into the graph's memory; results are the same
 * bits, because no op mixes members. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "graph/graph_internal.h"

enum { LANES_PER_THREAD = 4, MESSAGE = 512 };

struct graph_lane {
    dlf_graph g;
    dlf_device device; /* as the graph's, but ops stay on the lane's thread */
    int first, count;  /* members of this lane */
    dlf_status status;
    char message[MESSAGE];
};

/* Does the device run ops where they are called, on memory that all threads see? */
static bool on_host(const dlf_device *dev)
{
    return strcmp(dev->backend->name, "cpu") == 0 || strcmp(dev->backend->name, "ref") == 0;
}

/* What a member's values, gradients, parameters and their gradients come to. */
static int64_t bytes_per_member(const dlf_graph *g)
{
    return (g->memory.planned + g->memory.parameters + g->memory.inputs) / g->members;
}

/* As many members at a time as fit a core's second-level cache with room to spare. */
static int tile_members(const dlf_graph *g)
{
    const long cache = sysconf(_SC_LEVEL2_CACHE_SIZE);
    const int64_t room = (cache > 0 ? (int64_t)cache : 1 << 20) * 3 / 4, each = bytes_per_member(g);
    const int64_t tile = each > 0 ? room / each : 1;
    return tile < 1 ? 1 : tile > g->members ? g->members : (int)tile;
}

/* ---- windows ---- */

static void window(dlf_tensor *t, const dlf_tensor *home, int first, int count, int members)
{
    if (!home->data || home->shape[0] != members) return;
    const int64_t offset = first * home->stride * (int64_t)dlf_dtype_size(home->dtype);
    t->data = (char *)home->data + offset;
    t->shape[0] = count;
}

static void window_node(graph_node *n, const graph_node *home, int first, int count, int members)
{
    dlf_tensor *mine[] = {&n->value,        &n->gradient,    &n->seed, &n->mean, &n->rstd,
                          &n->running_mean, &n->running_var, &n->hit,  &n->keep};
    const dlf_tensor *full[] = {&home->value,       &home->gradient, &home->seed,
                                &home->mean,        &home->rstd,     &home->running_mean,
                                &home->running_var, &home->hit,      &home->keep};
    for (size_t i = 0; i < sizeof mine / sizeof mine[0]; i++)
        window(mine[i], full[i], first, count, members);
    for (int i = 0; i < n->inputs; i++) {
        window(&n->target[i], &home->target[i], first, count, members);
        window(&n->temp[i], &home->temp[i], first, count, members);
    }
}

static void window_graph(graph_lane *lane, const dlf_graph *home, int first, int count)
{
    dlf_graph *g = &lane->g;
    const int P = home->members;
    for (int id = 1; id <= g->nodes; id++)
        window_node(&g->node[id], &home->node[id], first, count, P);
    window(&g->parameters, &home->parameters, first, count, P);
    window(&g->gradients, &home->gradients, first, count, P);
    window(&g->draw, &home->draw, first, count, P);
    g->seed = home->seed;
    g->keep_running = home->keep_running;
}

/* ---- making lanes ---- */

static void adopt(dlf_tensor *t, dlf_device *device)
{
    if (t->data) t->device = device;
}

static dlf_status make_lane(graph_lane *lane, dlf_graph *home)
{
    dlf_graph *g = &lane->g;
    *g = *home;
    lane->device = *home->device;
    lane->device.info.threads = 1;
    g->device = &lane->device;
    g->lane = NULL;
    g->lanes = 0;
    g->node = malloc((size_t)(home->nodes + 1) * sizeof *g->node);
    if (!g->node) return dlf_fail(DLF_ERR_OOM, "graph: out of memory");
    memcpy(g->node, home->node, (size_t)(home->nodes + 1) * sizeof *g->node);
    for (int id = 1; id <= g->nodes; id++) {
        graph_node *n = &g->node[id];
        const graph_node *from = &home->node[id];
        dlf_tensor *all[] = {&n->value,        &n->gradient,    &n->seed, &n->mean, &n->rstd,
                             &n->running_mean, &n->running_var, &n->hit,  &n->keep};
        for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) adopt(all[i], &lane->device);
        if (from->call.dy) n->call.dy = &n->gradient;
        for (int i = 0; i < GRAPH_INPUTS; i++) {
            adopt(&n->target[i], &lane->device);
            adopt(&n->temp[i], &lane->device);
            if (!from->call.dx[i]) continue;
            n->call.dx[i] = from->call.dx[i] == &from->temp[i] ? &n->temp[i] : &n->target[i];
        }
    }
    adopt(&g->parameters, &lane->device);
    adopt(&g->gradients, &lane->device);
    adopt(&g->draw, &lane->device);
    adopt(&g->clock, &lane->device);
    return DLF_OK;
}

/* Lanes pay where every thread gets members; a population smaller than the machine shares the ops.
 */
dlf_status graph_make_lanes(dlf_graph *g)
{
    const int threads = g->device->info.threads > 0 ? g->device->info.threads : 1;
    if (!on_host(g->device) || g->members < 2 || g->members < threads) return DLF_OK;
    const int most = LANES_PER_THREAD * threads, n = g->members < most ? g->members : most;
    g->lane = calloc((size_t)n, sizeof *g->lane);
    if (!g->lane) return dlf_fail(DLF_ERR_OOM, "graph: out of memory");
    for (g->lanes = 0; g->lanes < n; g->lanes++) {
        graph_lane *lane = &g->lane[g->lanes];
        lane->first = (int)((int64_t)g->members * g->lanes / n);
        lane->count = (int)((int64_t)g->members * (g->lanes + 1) / n) - lane->first;
        DLF_TRY(make_lane(lane, g));
    }
    g->tile = tile_members(g);
    return DLF_OK;
}

void graph_free_lanes(dlf_graph *g)
{
    for (int k = 0; k < g->lanes; k++) free(g->lane[k].g.node);
    free(g->lane);
    g->lane = NULL;
    g->lanes = 0;
}

/* ---- running ---- */

static void run_lane(graph_lane *lane, dlf_graph *home, graph_body body, void *user)
{
    lane->status = DLF_OK;
    for (int done = 0; done < lane->count && lane->status == DLF_OK; done += home->tile) {
        const int first = lane->first + done, rest = lane->count - done;
        const int count = rest < home->tile ? rest : home->tile;
        window_graph(lane, home, first, count);
        lane->status = body(&lane->g, first, count, user);
    }
    if (lane->status != DLF_OK) /* messages belong to threads: carry it over */
        snprintf(lane->message, sizeof lane->message, "%s", dlf_error_message());
}

dlf_status graph_for_members(dlf_graph *g, graph_body body, void *user)
{
    const int lanes = g->lanes;
    if (lanes == 0) return body(g, 0, g->members, user);
#pragma omp parallel for num_threads(g->device->info.threads) schedule(static)
    for (int k = 0; k < lanes; k++) run_lane(&g->lane[k], g, body, user);
    for (int k = 0; k < lanes; k++)
        if (g->lane[k].status != DLF_OK)
            return dlf_fail(g->lane[k].status, "%s", g->lane[k].message);
    return DLF_OK;
}

dlf_tensor graph_part(const dlf_graph *lane, const dlf_tensor *t, int first, int count)
{
    dlf_tensor part = *t;
    part.view = true;
    part.device = lane->device;
    if (count == t->shape[0]) return part;
    part.data = (char *)t->data + first * t->stride * (int64_t)dlf_dtype_size(t->dtype);
    part.shape[0] = count;
    return part;
}
