/* SPDX-License-Identifier: MIT
 * peer_cudnn_norm.c -- normalizations by cuDNN: the ways of the older interface (batch norm) and
 * the plans of the graph interface (batch norm in training, layer, instance and RMS norm), each
 * timed; the fastest competes. Statistics are float there, ours keep the mean in double. Batch
 * norm's graph is asked for without running statistics. */
#include <stdlib.h>

#include "bench/peer_cudnn.h"
#include "bench/subject_norm.h"

typedef struct plan {
    cudnn_batch *batch; /* ways 0 .. n_ways-1 */
    cudnn_graph *graph; /* n_ways .. */
    int n_ways, n_plans, chosen;
} plan;

static void drop(bench_subject *s)
{
    plan *p = s->plan;
    if (!p) return;
    cudnn_batch_free(p->batch);
    cudnn_graph_free(p->graph);
    free(p);
    s->plan = NULL;
}

static dlf_status call(bench_subject *s)
{
    const plan *p = s->plan;
    return p->chosen < p->n_ways ? cudnn_batch_call(p->batch, s) : cudnn_graph_call(p->graph);
}

static dlf_status choose(bench_subject *s, int which)
{
    plan *p = s->plan;
    p->chosen = which;
    return which < p->n_ways ? cudnn_batch_choose(p->batch, s, which)
                             : cudnn_graph_choose(p->graph, which - p->n_ways);
}

/* What there is of both; neither: the reason of the graph. */
static dlf_status gather(plan *p, peer_cudnn *d, bench_subject *s)
{
    if (s->norm.kind == DLF_BATCH_NORM && cudnn_batch_new(&p->batch, d, s) == DLF_OK)
        p->n_ways = CUDNN_BATCH_WAYS;
    dlf_status status = cudnn_graph_new(&p->graph, d, s);
    if (status == DLF_OK) status = cudnn_graph_plans(p->graph, &p->n_plans);
    return p->n_ways ? DLF_OK : status;
}

dlf_status peer_cudnn_norm(peer_cudnn *d, bench_subject *theirs, char *note, size_t size)
{
    plan *p = calloc(1, sizeof *p);
    if (!p) return dlf_fail(DLF_ERR_OOM, "dlf bench: no memory for a plan");
    theirs->plan = p;
    theirs->drop = drop;
    theirs->call = call;
    if (theirs->role[NORM_MEAN] != ABSENT) DLF_TRY(bench_retype(theirs, NORM_MEAN, DLF_F32));
    DLF_TRY(gather(p, d, theirs));
    int best;
    DLF_TRY(bench_fastest(theirs, p->n_ways + p->n_plans, choose, &best));
    if (best < p->n_ways)
        snprintf(note, size, "older interface, %s; fastest of %d and %d graph plans",
                 cudnn_batch_name(best), p->n_ways, p->n_plans);
    else
        snprintf(note, size, "graph plan %d of %d, workspace %.1f MB", best - p->n_ways + 1,
                 p->n_plans, 1e-6 * (double)cudnn_graph_workspace(p->graph, best - p->n_ways));
    return DLF_OK;
}
